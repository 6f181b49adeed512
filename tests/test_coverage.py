"""Which time readings cover, and what a clinic's own rule with a hold makes of it: a pressure, a metric never heard."""

from __future__ import annotations

import pytest

from edge.core.context import RuleContext
from edge.core.coverage import cover, covers_s, share, to_activate, to_clear
from edge.core.engine import Engine
from edge.core.expression import compile_condition
from edge.core.rules import parse_rules
from edge.core.state import BedState, Determination, LatestValue
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


@pytest.mark.parametrize(("metric", "stream_s", "seconds"), [("spo2_pct", 1, 2), ("spo2_pct", 3, 3), ("temp_c", 2, 60)])
def test_how_far_back_a_reading_covers(metric: str, stream_s: float, seconds: float) -> None:
    assert covers_s(Engine(stream_s=stream_s, stream_of_staleness=0.2), metric) == pytest.approx(seconds)


NOW = 1000.0
LOW = compile_condition("sbp_mmhg < 90 or spo2_pct < 90 or pulse_bpm < 50")


def heard(at_s: float = 0.0, before_s: float | None = 1.0, covers: float = 10.0, value: float | None = 88,
          ) -> LatestValue:
    """So long before now, so long after the one before it; and the time it covers."""
    came_s = NOW - at_s
    return LatestValue("o", value, "valid" if value else "invalid", None, came_s, value, came_s,
                       None if before_s is None else came_s - before_s, [(NOW - covers, NOW)])


@pytest.mark.parametrize(("spo2", "pulse", "began_s", "gap_s", "least"), [
    # what was heard; since when it may be so, when a gap ended, and the part of 10 s that is covered
    (heard(), None, -1, None, 1), (heard(before_s=2), None, -2, None, 1), (heard(before_s=2.1), None, 0, None, 1),
    (heard(at_s=0.1), None, 0, None, 1), (heard(before_s=None), None, 0, None, 1), (None, None, 0, None, 1),
    (heard(before_s=5), None, 0, None, 1), (heard(before_s=5.001), None, 0, 0, 1),
    (heard(at_s=3, before_s=6), None, 0, -3, 1), (heard(at_s=3, before_s=6), heard(at_s=1, before_s=6), 0, -1, 1),
    (heard(at_s=1, before_s=6), heard(at_s=3, before_s=6), 0, -1, 1), (heard(covers=8), None, -1, None, 0.8),
    (heard(covers=8), heard(covers=7), -1, None, 0.7), (heard(covers=8, value=None), heard(covers=9), -1, None, 0.9),
    (None, heard(before_s=1.5), -1.5, None, 1),
])
def test_what_a_hold_knows_of_the_time_before(
    spo2: LatestValue | None, pulse: LatestValue | None, began_s: float, gap_s: float | None, least: float,
) -> None:
    heard_of = {"spo2_pct": spo2, "pulse_bpm": pulse}
    state = BedState("b", latest={name: one for name, one in heard_of.items() if one is not None},
                     determinations=[Determination(NOW, 85, 60)])
    ended_s, context = 0.0 if gap_s is None else NOW + gap_s, RuleContext(state, NOW)
    assert to_activate(LOW, context, 10.0) == (NOW + began_s, ended_s, least)
    assert to_clear(LOW, context, 10.0) == (NOW, ended_s, least)
    assert to_activate(LOW, context, 0.0).share == 1


@pytest.mark.parametrize(("when", "hold_s", "story"), [
    ("sbp_mmhg > 150", 30, "1:00 bp 151/80\n1:29 -> OWN-1 pending\n1:30 -> OWN-1 active\n"),
    ("spo2_pct < 96 or resp_bpm < 8", 10, "1:00 spo2 95\n1:08 -> OWN-1 pending\n1:09 -> OWN-1 active\n"),
])
def test_a_hold_over_what_comes_seldom_or_never(when: str, hold_s: int, story: str) -> None:
    rules = parse_rules(FILE.read_text() + OWN.format(when=when, hold=hold_s))
    run_story(f"given infusing, background: quiet\n{story}", "own", rules, "OWN-1")
