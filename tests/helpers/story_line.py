"""A story's bed ten seconds after the start, and one line said of it."""

from __future__ import annotations

from functools import cache

from edge.core.stories import VERBS, run_story
from edge.core.story_bed import T0, Shown, StoryBed
from edge.core.story_verbs import METRIC, show_metric
from tests.helpers.rule_files import PROTOCOLS, RULES

NOW = T0 + 10
FOUND = {"spo2_pct": Shown(97.0), "pulse_bpm": Shown(70.0)}  # what an oximeter shows from the beginning
MANY = "infusing, background: quiet, two of each, two pumps, role pump drug, role pump-2 carrier"


@cache
def begun(given: str) -> StoryBed:
    """Ten seconds after the start; nobody has said anything."""
    return run_story(f"given {given}\n0:10", "story.txt", RULES, None, PROTOCOLS)


def say(bed: StoryBed, line: str) -> StoryBed:
    """The bed after each deed of this line. Raises Unreadable."""
    for deed in line.split("; "):
        word, *rest = deed.split()
        if word in VERBS:
            VERBS[word][1](bed, rest)
        else:
            show_metric(bed, METRIC[word], rest)
    return bed
