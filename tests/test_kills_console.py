"""Killed at any of its named points while it fetches an edge's events, a console has told the edge and the pages
nothing that it does not know afterwards, goes on exactly where it was, and has each event once.

`VIGIL_KILLS=1000` looks longer.
"""

from __future__ import annotations

import os
import random
from pathlib import Path
from typing import get_args

import pytest

from edge import points
from edge.console.store import Store
from tests.helpers.killed_console import (
    DAMAGED,
    EVENTS,
    SABOTAGES,
    Ended,
    Life,
    Stored,
    begin,
    stored,
    told_by_the_edge,
)
from tests.helpers.postgres import postgres

KILLS = int(os.environ.get("VIGIL_KILLS", "0"))
POINTS: list[points.Point] = [point for point in get_args(points.Point) if point.startswith("console_")]
TRUTH = {event.seq: event.hash for event in told_by_the_edge().events}
LATEST = 7  # how often a life comes to a point, at least


def check(kept: Stored, ended: Ended) -> None:
    """Whatever was told is there, and nothing else; the cursor stands exactly before the first that is lacking."""
    assert kept.hashes.items() <= TRUTH.items()
    assert set(kept.hashes) >= {*range(1, ended.acked + 1), *ended.shown} - {DAMAGED}
    first_lacking = next(seq for seq in range(1, EVENTS + 2) if seq not in kept.hashes)
    assert kept.cursor == first_lacking - 1
    assert kept.asides == 0
    assert set(kept.refused) <= {"damaged"}


def lives(folder: Path, kills: list[tuple[points.Point, int]], sabotage: str = "") -> int:
    """Lives that each end at the so-manieth of a point, one after the other on the same file, and one that goes on to
    the end. How many were killed."""
    killed, cursor = 0, 0
    last: tuple[points.Point, int] = ("console_after_ack", 1_000_000)
    for number, (point, count) in enumerate([*kills, last]):
        ended = begin(Life(folder, number, point, count, sabotage=sabotage))()
        assert ended.begun in (None, cursor), "it goes on where it was"
        kept = stored(folder / "console.db")
        check(kept, ended)
        killed, cursor = killed + ended.killed, kept.cursor
    assert kept.hashes == TRUTH
    assert ended.acked == EVENTS
    return killed


@pytest.mark.slow
@pytest.mark.timeout(300 + 2 * KILLS)
def test_killed_there_it_goes_on_where_it_was_and_has_each_event_once(tmp_path: Path) -> None:
    chance = random.Random(1)
    for number in range(max(1, KILLS // len(POINTS))):
        folder = tmp_path / str(number)
        folder.mkdir()
        kills = [(point, 1 + chance.randrange(LATEST)) for point in chance.sample(POINTS, len(POINTS))]
        assert lives(folder, kills) >= len(POINTS) - 1, "it comes there"


@pytest.mark.slow
@pytest.mark.parametrize(("sabotage", "point"), [
    ("acknowledges_before_it_stores", "console_before_store"), ("shows_before_it_stores", "console_before_store"),
    ("moves_its_cursor_alone", "console_in_commit")])
def test_who_tells_it_before_it_is_stored_is_found(tmp_path: Path, sabotage: str, point: points.Point) -> None:
    assert sabotage in SABOTAGES
    with pytest.raises(AssertionError):
        lives(tmp_path, [(point, 4)], sabotage)


@pytest.mark.slow
@pytest.mark.timeout(300 + 2 * KILLS)
def test_one_of_two_consoles_over_one_database_is_killed_and_the_other_has_all(tmp_path: Path) -> None:
    chance = random.Random(2)
    with postgres() as server:
        for number in range(max(1, KILLS // 10)):
            url, point = server.database(), POINTS[(1 + number) % len(POINTS)]
            Store(url).close()  # a first start waits for another's; `vigil console` tries again
            folders = [tmp_path / f"{number}-{name}" for name in ("one", "two")]
            counts = (1 + chance.randrange(LATEST), 1_000_000)
            ends = [begin(Life(folder, number, point, count, url, name))
                    for folder, name, count in zip(folders, ("one", "two"), counts, strict=True)]
            one, two = (end() for end in ends)
            assert (one.killed, two.killed) == (True, False)
            kept = stored(url)
            check(kept, one)
            check(kept, two)
            assert kept.hashes == TRUTH
            assert two.acked == EVENTS
            again = begin(Life(folders[0], number + KILLS, point, 1_000_000, url, "one"))()
            assert (again.begun, again.acked) == (EVENTS, EVENTS)
            check(stored(url), again)
