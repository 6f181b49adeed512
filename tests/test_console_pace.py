"""Who has an edge's key does not fill the console's disk: its events are stored at a pace, for which no alarm waits."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from edge.console import lanes
from edge.console.lanes import BATCH, STEP_S, Lanes
from edge.console.service import Console
from edge.contract.payloads import EventOut, encode, event_topic
from tests.helpers.console_story import EDGE, START_S, STATUS, Journal, Wire, hear, settings, status
from tests.helpers.told_time import told

EVENT = event_topic(EDGE)
COUNT = 40
JOURNAL = Journal().fill(COUNT)


def events(first: int, last: int, late: bool = True) -> list[EventOut]:
    return [JOURNAL.out(seq, late) for seq in range(first, last + 1)]


def bytes_of(some: list[EventOut]) -> int:
    return sum(len(encode(event)) for event in some)


def waiting(some: list[EventOut]) -> Lanes:
    made = Lanes()
    assert all(made.put(event) for event in some)
    return made


def seqs(taken: list[EventOut]) -> list[int]:
    return [event.seq for event in taken]


@pytest.fixture
def ten_of_a_backlog(monkeypatch: pytest.MonkeyPatch) -> None:
    """So many are stored at once, twice as many live ones; then 100 more bytes a second, and as many for each bed."""
    monkeypatch.setattr(lanes, "BURST_BYTES", 2 * bytes_of(events(1, 10)))
    monkeypatch.setattr(lanes, "BYTES_A_S", 100)
    monkeypatch.setattr(lanes, "BED_BYTES_A_S", 100)


@pytest.mark.usefixtures("ten_of_a_backlog")
@pytest.mark.parametrize(("beds", "pace"), [(0, 100), (3, 400)])
def test_of_a_backlog_half_is_stored_at_once_and_then_as_its_pace_allows(beds: int, pace: int) -> None:
    backlog = waiting(events(1, COUNT))
    assert backlog.held_since_s(0.0) is None
    assert seqs(backlog.take(beds, 0.0)) == list(range(1, 11))
    assert backlog.held_since_s(0.0) == 0.0
    assert backlog.take(beds, 0.0) == []
    assert seqs(backlog.take(beds, 1.0)) == [11], "as soon as there is room for some of it"
    owed_s = (bytes_of(events(11, 11)) - pace) / pace
    assert backlog.take(beds, 1.0 + owed_s) == []
    assert seqs(backlog.take(beds, 1.0 + owed_s + 0.01)) == [12]
    held_s = 1.0 + owed_s + 0.01
    assert backlog.held_since_s(held_s + lanes.SAID_S - 0.01) == 0.0
    assert backlog.held_since_s(held_s + lanes.SAID_S) is None


@pytest.mark.usefixtures("ten_of_a_backlog")
def test_what_happens_now_never_waits_behind_a_backlog_and_has_a_pace_too() -> None:
    both = waiting(events(1, 20))
    both.take(0, 0.0)
    assert both.take(0, 0.0) == []
    for event in events(21, COUNT, late=False):
        both.put(event)
    assert seqs(both.take(0, 0.0))[:9] == list(range(21, 30))
    assert both.take(0, 0.0) == []
    assert len(both.late) == 10


@pytest.mark.usefixtures("ten_of_a_backlog")
def test_what_was_stored_before_counts_for_nothing() -> None:
    again = waiting(events(1, COUNT))
    again.give_back(again.take(0, 0.0))
    assert seqs(again.take(0, 0.0)) == list(range(11, 21))


def test_no_more_wait_in_memory_than_are_allowed_by_number_and_by_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    three = events(1, 3)
    for bound, most in (("MAX_WAITING", 3), ("MAX_WAITING_BYTES", bytes_of(three))):
        with monkeypatch.context() as patch:
            patch.setattr(lanes, bound, most)
            full = Lanes()
            assert [full.put(event) for event in events(1, 4)] == [True, True, True, False]
            assert len(full.take(0, 0.0)) == 3
            assert full.put(JOURNAL.out(4)), "there is room again"
            patch.setattr(lanes, bound, most - 1)
            assert [Lanes().put(event) for event in three[:1]] == [True]
            less = Lanes()
            assert [less.put(event) for event in three] == [True, True, False]


def test_ten_thousand_events_after_an_outage_go_at_once_and_a_day_of_them_fills_no_disk() -> None:
    assert 10_000 * len(encode(JOURNAL.out(COUNT))) < lanes.BURST_BYTES / 2
    a_day = lanes.BURST_BYTES + 86_400 * (lanes.BYTES_A_S + 30 * lanes.BED_BYTES_A_S)
    assert a_day < 3.5e9, "of 30 beds"
    assert BATCH * 1.0 / STEP_S >= 100


@pytest.mark.usefixtures("ten_of_a_backlog")
def test_it_is_asked_again_after_a_while_and_at_once_for_what_happens_now() -> None:
    async def story() -> list[float]:
        loop, asked = asyncio.get_running_loop(), []
        some = Lanes()
        loop.call_later(3.0, some.put, JOURNAL.out(1, late=True))
        await some.due()
        asked.append(loop.time())
        for event in events(2, 20):
            some.put(event)
        some.take(0, loop.time())
        await some.due()
        asked.append(loop.time())
        loop.call_later(0.1, some.put, JOURNAL.out(21))
        await some.due()
        asked.append(loop.time())
        for event in events(22, COUNT, late=False):
            some.put(event)
        some.take(0, loop.time())
        await some.due()
        asked.append(loop.time())
        return asked

    assert told(story()) == pytest.approx([3.0, 3.0 + STEP_S, 3.1 + STEP_S, 3.1 + 2 * STEP_S])


@pytest.fixture
async def console(tmp_path: Path) -> AsyncIterator[Console]:
    made = Console(settings(tmp_path), Wire())
    made.edges[EDGE].connected()
    hear(made, STATUS, status(START_S + COUNT, seq=COUNT))
    yield made
    made.store.close()


@pytest.mark.usefixtures("ten_of_a_backlog")
async def test_that_events_are_held_back_is_said_on_every_screen_and_a_live_alarm_is_stored(console: Console) -> None:
    ingest = console.edges[EDGE]
    assert [trouble for trouble in console.troubles() if "more events" in trouble.what] == []
    hear(console, EVENT, JOURNAL.payload(1, COUNT - 1, late=True), False)
    for _ in range(3):
        await ingest.store_batch()
    assert 0 < ingest.cursor.seq < COUNT / 2
    hear(console, EVENT, JOURNAL.payload(COUNT, COUNT), False)
    await ingest.store_batch()
    assert ingest.cursor.top == COUNT
    [said] = [trouble for trouble in console.troubles() if "more events" in trouble.what]
    assert (said.part, said.edge) == ("record", EDGE)
    assert f"{COUNT - 1 - ingest.cursor.seq} wait here" in said.what
