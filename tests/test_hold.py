"""A hold, redrawn by hand: what it says for each truth after each beginning, and what a gap and too few readings do."""

from __future__ import annotations

import pytest

from edge.core.hold import NOTHING, Coverage, Hold, Progress, Verdict
from edge.core.logic import Truth

HOLD = Hold(for_s=10.0, gap_s=5.0, share=0.8)
T, F, U = True, False, None
NOW = 100.0
SINCE_98 = Progress(98.0)
SINCE_90 = Progress(90.0)  # ten seconds ago: long enough
UNKNOWN_5 = Progress(92.0, 95.0)  # unknown for five seconds, which is not yet too long
UNKNOWN_6 = Progress(92.0, 94.0)

TABLE: list[tuple[Progress, Truth, Verdict, Progress]] = [
    # before      now  verdict    after
    (NOTHING,     T,   "pending", Progress(NOW)),
    (NOTHING,     F,   "broken",  NOTHING),
    (NOTHING,     U,   "broken",  NOTHING),
    (SINCE_98,    T,   "pending", SINCE_98),
    (SINCE_98,    F,   "broken",  NOTHING),
    (SINCE_98,    U,   "pending", Progress(98.0, NOW)),
    (SINCE_90,    T,   "held",    SINCE_90),
    (SINCE_90,    F,   "broken",  NOTHING),
    (SINCE_90,    U,   "pending", Progress(90.0, NOW)),
    (UNKNOWN_5,   T,   "pending", Progress(92.0)),
    (UNKNOWN_5,   F,   "broken",  NOTHING),
    (UNKNOWN_5,   U,   "pending", UNKNOWN_5),
    (UNKNOWN_6,   T,   "pending", Progress(NOW)),
    (UNKNOWN_6,   F,   "broken",  NOTHING),
    (UNKNOWN_6,   U,   "broken",  NOTHING),
]


@pytest.mark.parametrize(("before", "truth", "verdict", "after"), TABLE)
def test_the_table(before: Progress, truth: Truth, verdict: Verdict, after: Progress) -> None:
    assert HOLD.feed(before, truth, Coverage(NOW), NOW) == (after, verdict)


@pytest.mark.parametrize(("seen", "verdict", "since_s"), [
    (Coverage(NOW), "held", 90.0),
    (Coverage(89.0), "held", 90.0),  # when it may have begun is of no matter once it runs
    (Coverage(NOW, gap_ended_s=90.0), "held", 90.0),
    (Coverage(NOW, gap_ended_s=90.001), "pending", 90.001),  # what was so before the gap does not count
    (Coverage(NOW, share=0.8), "held", 90.0),
    (Coverage(NOW, share=0.799), "pending", 90.0),  # long enough, but too little of it was seen
])
def test_what_was_seen_of_it(seen: Coverage, verdict: Verdict, since_s: float) -> None:
    assert HOLD.feed(SINCE_90, True, seen, NOW) == (Progress(since_s), verdict)


def test_it_may_have_begun_with_the_reading_before() -> None:
    assert HOLD.feed(NOTHING, True, Coverage(99.0), NOW) == (Progress(99.0), "pending")
    assert Hold(1.0, 5.0, 0.8).feed(NOTHING, True, Coverage(99.0), NOW) == (Progress(99.0), "held")


@pytest.mark.parametrize(("truth", "verdict"), [(T, "held"), (F, "broken"), (U, "broken")])
def test_no_time_is_held_at_once(truth: Truth, verdict: Verdict) -> None:
    assert Hold(0.0, 5.0, 0.8).feed(NOTHING, truth, Coverage(NOW, share=0.0), NOW) == (NOTHING, verdict)


def test_fifteen_readings_second_by_second() -> None:
    hold, progress, verdicts = Hold(15.0, 5.0, 0.8), NOTHING, []
    for second in range(1, 16):
        progress, verdict = hold.feed(progress, True, Coverage(float(second - 1)), float(second))
        verdicts.append(verdict)
    assert verdicts == ["pending"] * 14 + ["held"]
