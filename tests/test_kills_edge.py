"""Killed at any of the named points, a real edge has told nobody what it does not know afterwards, and has lost nothing
of what it had told. The truth is kept outside: what a console heard, and what the oximeter showed, by its own log.

`VIGIL_KILLS=1000` looks longer.
"""

from __future__ import annotations

import asyncio
import os
import random
from itertools import pairwise
from pathlib import Path

import pytest

from edge import points
from edge.journal import Reader
from edge.journal.verify import verify
from edge.model import Samples
from tests.helpers.killed_edge import VALUES, World, world

KILLS = int(os.environ.get("VIGIL_KILLS", "0"))
OF_THE_STORE: tuple[points.Point, ...] = ("before_store", "in_commit", "after_commit")
POINTS: tuple[points.Point, ...] = (
    "before_publish", "after_publish", "before_cursor", "after_commit",
    *(("after_cursor", "before_store", "in_commit") if KILLS else ()))  # tests/test_kills.py has the last two, too
pytestmark = [pytest.mark.slow, pytest.mark.timeout(300 + 10 * KILLS)]


def check(here: World) -> None:
    """What anybody heard is in the record, as they heard it; what is in the record was shown by the oximeter."""
    verdict = verify(here.journal, expected={seq: event.hash for seq, event in here.heard.items()})
    assert verdict.ok, verdict.problem
    assert not here.refuted, "no number was ever given twice"
    assert not here.unstored
    with Reader(here.journal) as reader:
        boots = list(dict.fromkeys(event.boot for event in reader.events()))
        values = [(recorded.boot, round(sample.value)) for recorded in reader.inputs()
                  if isinstance(recorded.input, Samples) for sample in recorded.input.samples
                  if sample.metric == "spo2_pct" and sample.value is not None]
    shown = {value for _, value in here.shown}
    assert {value for _, value in values} <= shown
    for boot in boots:  # of one life: as shown, one after the other, and none left out or doubled
        of_life = [value for its, value in values if its == boot]
        assert all(two == VALUES[0] + (one + 1 - VALUES[0]) % len(VALUES) for one, two in pairwise(of_life)), of_life


async def test_killed_at_each_point_it_has_told_nothing_that_is_lost(tmp_path: Path) -> None:
    chance = random.Random(1)
    async with world(tmp_path) as here:
        killed = 0
        many = max(1, KILLS // len(POINTS))
        for number in range(many):
            for point in chance.sample(POINTS, len(POINTS)):
                killed += await here.life(point, 1 + chance.randrange(8 if point in OF_THE_STORE else 2))
                if number % 10 == 0 or number == many - 1:
                    check(here)
        assert killed >= 0.7 * many * len(POINTS)  # on a busy machine one may end by itself before its point
        await here.life("after_commit", 10)
        check(here)
        with Reader(here.journal) as reader:
            events = [event.seq for event in reader.events()]
            assert any(isinstance(recorded.input, Samples) for recorded in reader.inputs())
        assert set(here.heard) == set(range(1, max(here.heard) + 1)), "what was kept for the console has all come"
        assert len(events) - max(here.heard) < 10


async def test_who_publishes_before_it_is_committed_is_found(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        for count in (4, 6):
            await here.life("before_store", count, "publishes before it commits")
            await asyncio.sleep(0.1)
        with pytest.raises(AssertionError):
            check(here)
