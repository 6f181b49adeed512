"""Which time readings cover, and what a clinic's own rule with a hold makes of it: a pressure, a metric never heard."""

from __future__ import annotations

import pytest

from edge.core.coverage import cover, share
from edge.core.rules import parse_rules
from edge.core.state import LatestValue
from edge.core.stories import run_story
from tests.helpers.rule_files import FILE

Span = tuple[float, float]
KEPT_S = 60.0
OWN = """
[[rule]]
id = "OWN-1"
class = "physiological"
priority = "low"
context = ["*"]
when = "{when}"
hold_s = {hold}
title = "A clinic's own"
text = "-"
limit = "-"
clears = "-"
why = "-"
source = "-"
"""


def covered(*before: Span, at_s: float) -> list[Span]:
    """What is covered once a reading at this second has covered the 2 s before it."""
    latest = LatestValue("oximeter", 97, "valid", None, at_s, covered=list(before))
    cover(latest, 2.0, KEPT_S)
    return latest.covered


@pytest.mark.parametrize(("before", "at_s", "after"), [
    ((), 10, [(8, 10)]),
    (((5, 8),), 10, [(5, 10)]),  # they touch
    (((5, 7.9),), 10, [(5, 7.9), (8, 10)]),
    (((1, 2), (5, 8)), 10, [(1, 2), (5, 10)]),
    (((1, 40),), 100, [(1, 40), (98, 100)]),  # it ended 60 s ago
    (((1, 39.9),), 100, [(98, 100)]),
    (((1, 98),), 100, [(40, 100)]),  # of a long one the last 60 s
])
def test_a_reading_covers_the_time_before_it(before: tuple[Span, ...], at_s: float, after: list[Span]) -> None:
    assert covered(*before, at_s=at_s) == after


@pytest.mark.parametrize(("since_s", "until_s", "part"), [(0, 10, 0.5), (5, 10, 0.6), (2, 4, 1.0), (4, 7, 0.0)])
def test_the_part_of_a_time_that_is_covered(since_s: float, until_s: float, part: float) -> None:
    latest = LatestValue("oximeter", 97, "valid", None, 10, covered=[(2, 4), (7, 12)])
    assert share(latest, since_s, until_s) == part


@pytest.mark.parametrize(("when", "hold_s", "story"), [
    ("sbp_mmhg > 150", 30, "1:00 bp 151/80\n1:29 -> OWN-1 pending\n1:30 -> OWN-1 active\n"),
    ("spo2_pct < 96 or resp_bpm < 8", 10, "1:00 spo2 95\n1:08 -> OWN-1 pending\n1:09 -> OWN-1 active\n"),
])
def test_a_hold_over_what_comes_seldom_or_never(when: str, hold_s: int, story: str) -> None:
    rules = parse_rules(FILE.read_text() + OWN.format(when=when, hold=hold_s))
    run_story(f"given infusing, background: quiet\n{story}", "own", rules, "OWN-1")
