"""A disk that fills is noticed at 80 %, or seven days before at its pace; it is over when there is room again."""

from __future__ import annotations

import pytest

from edge.app.space import Space

DAY = 86_400
GB = 10**9
# what was seen (s, free, total), each with whether it is low then, and in how many days full
SEEN: list[tuple[str, list[tuple[float, int, int, bool, float | None]]]] = [
    ("at 80 %", [(0, 201, 1000, False, None), (60, 200, 1000, True, None)]),
    ("over below 78 %", [(0, 200, 1000, True, None), (60, 219, 1000, True, None), (120, 221, 1000, False, None)]),
    ("a pace that fills it in seven days", [
        (0, 800 * GB, 1000 * GB, False, None), (DAY, 700 * GB, 1000 * GB, True, 7.0)]),
    ("in a little more", [(0, 800 * GB, 1000 * GB, False, None), (DAY, 701 * GB, 1000 * GB, False, None)]),
    ("the first ten minutes tell nothing", [
        (0, 800 * GB, 1000 * GB, False, None), (599, 400 * GB, 1000 * GB, False, None),
        (600, 400 * GB, 1000 * GB, True, 600 / DAY)]),
    ("the pace of the last day counts", [
        *((k * 600.0, (800 - k) * GB, 1000 * GB, k > 1, (800 - k) * 600 / DAY if k else None) for k in range(1, 20)),
    ]),
    ("room is made", [(0, 800 * GB, 1000 * GB, False, None), (DAY, 700 * GB, 1000 * GB, True, 7.0),
                      (DAY + 60, 900 * GB, 1000 * GB, False, None)]),
]


@pytest.mark.parametrize("seen", [row[1] for row in SEEN], ids=[row[0] for row in SEEN])
def test_what_is_low(seen: list[tuple[float, int, int, bool, float | None]]) -> None:
    space = Space()
    for at_s, free, total, low, days in seen:
        found = space.feed(at_s, free, total)
        assert (found is not None) is low, (at_s, found)
        if found is not None and days is not None:
            assert found.full_in_s == pytest.approx(days * DAY, rel=0.2)


def test_after_a_day_what_was_before_is_forgotten() -> None:
    space = Space()
    for k in range(200):  # it filled fast, and has not for a day
        space.feed(k * 600.0, max(800 - k * 5, 600) * GB, 1000 * GB)
    assert space.low is None
