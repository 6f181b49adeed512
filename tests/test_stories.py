"""Every rule has a story, and every story comes true."""

from __future__ import annotations

import pytest

from edge.core.rules import parse_rules
from edge.core.stories import StoryError, run_story, stories_of
from tests.helpers.rule_files import FILE, HERE, RULES

STORIES = [
    (path.stem, number, story)
    for path in sorted((HERE / "stories").glob("*.txt"))
    for number, story in enumerate(stories_of(path.read_text()), 1)
]


@pytest.mark.parametrize(("name", "number", "story"), STORIES, ids=[f"{name}-{number}" for name, number, _ in STORIES])
def test_the_story_comes_true(name: str, number: int, story: str) -> None:
    told = run_story(story, f"{name}.txt", RULES)
    assert told.pending_events


def test_every_rule_has_a_story_and_every_story_a_rule() -> None:
    assert {name for name, _, _ in STORIES} == {rule.id for rule in RULES.rules}


@pytest.mark.parametrize("rule", [rule.id for rule in RULES.rules])
def test_a_rule_that_never_fires_fails_its_stories(rule: str) -> None:
    lines = FILE.read_text().split("[[rule]]")
    dead = "[[rule]]".join(part.replace("\nwhen = ", "\nwhen = \"false_\" #", 1) if f'id = "{rule}"' in part else part
                           for part in lines).replace('"false_"', '"1 > 2"')
    dead = dead.replace("at_once = \"satseconds(spo2_pct, 90) >= 50 or violations(spo2_pct, 90, 60) >= 3\"", "") \
        if rule == "RES-2" else dead
    broken = parse_rules(dead)
    mine = [story for name, _, story in STORIES if name == rule]

    def tell() -> None:
        for story in mine:
            run_story(story, f"{rule}.txt", broken)

    with pytest.raises(StoryError):
        tell()
