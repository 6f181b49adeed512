"""Every event is stored once, in any order, and only what is stored, true and without a gap is acknowledged."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from sqlalchemy import Connection, select

from edge.console import events
from edge.console.going_back import GoingBack
from edge.console.store import Store
from edge.console.tables import events as events_table
from edge.console.tables import refused_events
from edge.contract.events import GENESIS
from edge.contract.payloads import EventOut
from tests.helpers.console_story import BED, EDGE, START_S, Journal


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store(tmp_path / "console.db")
    yield opened
    opened.close()


def keep(store: Store, *delivery: EventOut, boot: str | None = "boot-1") -> events.Appended:
    return store.now(events.append, EDGE, delivery, boot, START_S)


def stored(store: Store) -> list[int]:
    return store.now(events.seqs, EDGE)


def seqs(kept: list[EventOut]) -> list[int]:
    return [event.seq for event in kept]


def test_what_was_stored_before_is_not_new_and_not_doubled(store: Store) -> None:
    journal = Journal().fill(5)
    first = keep(store, *(journal.out(n) for n in range(1, 6)))
    again = keep(store, *(journal.out(n, late=True) for n in range(1, 6)))
    assert seqs(first.new) == [1, 2, 3, 4, 5]
    assert (again.new, again.refused) == ([], [])
    assert stored(store) == [1, 2, 3, 4, 5]
    assert again.cursor.seq == 5


GAPS: list[tuple[str, list[list[int]], list[int]]] = [
    ("nothing came", [[]], [0]),
    ("in order", [[1], [2], [3]], [1, 2, 3]),
    ("a hole holds the ack", [[1, 2], [4], [5]], [2, 2, 2]),
    ("the hole filled frees all behind it", [[1, 2], [4, 5], [3]], [2, 2, 5]),
    ("a live alarm overtakes the whole backlog", [[9], [1, 2, 3], [4, 5, 6, 7, 8]], [0, 3, 9]),
    ("two holes", [[1, 3, 5], [2], [4]], [1, 3, 5]),
    ("the first is missing", [[2, 3], [1]], [0, 3]),
    ("a list in the wrong order", [[3, 2, 1]], [3]),
    ("twice in one delivery", [[1, 1, 2, 2]], [2]),
]


@pytest.mark.parametrize(("parts", "acks"), [row[1:] for row in GAPS], ids=[row[0] for row in GAPS])
def test_the_ack_is_the_highest_number_without_a_gap(store: Store, parts: list[list[int]], acks: list[int]) -> None:
    journal = Journal().fill(9)
    told = [keep(store, *(journal.out(n) for n in numbers)).cursor for numbers in parts]
    assert [cursor.seq for cursor in told] == acks
    highest = max((n for numbers in parts for n in numbers), default=0)
    assert told[-1].gap == (highest > acks[-1])


@pytest.mark.parametrize("missing", [1, 255, 256, 257])
def test_a_block_of_any_length_is_missed(store: Store, missing: int) -> None:
    journal = Journal().fill(missing + 20)
    keep(store, *(journal.out(n) for n in range(1, 11)))
    cursor = keep(store, *(journal.out(n) for n in range(11 + missing, missing + 21))).cursor
    assert (cursor.seq, cursor.top, cursor.gap) == (10, missing + 20, True)
    assert keep(store, *(journal.out(n) for n in range(11, 11 + missing))).cursor.seq == missing + 20


@pytest.mark.slow
@given(st.integers(0, 2**32))
@hypothesis_settings(max_examples=15, deadline=None)
def test_doubled_and_shuffled_deliveries_end_the_same(tmp_path_factory: pytest.TempPathFactory, seed: int) -> None:
    chance = random.Random(seed)
    journal = Journal().fill(30)
    delivery = [n for n in range(1, 31) for _ in range(chance.randint(1, 3))]
    chance.shuffle(delivery)
    store = Store(tmp_path_factory.mktemp("shuffled") / "console.db")
    new: list[int] = []
    while delivery:
        size = chance.randint(1, 7)
        new += seqs(keep(store, *(journal.out(n, chance.random() < 0.5) for n in delivery[:size])).new)
        del delivery[:size]
    assert sorted(new) == list(range(1, 31))
    assert store.now(events.cursor_of, EDGE).seq == 30
    store.close()


def forged(event: EventOut, **other: object) -> EventOut:
    return msgspec.structs.replace(event, **other)


def rechained(journal: Journal, seq: int) -> EventOut:
    """An event with a true hash of its own and a `prev` that never was."""
    strange = Journal(journal.boot).fill(seq - 1)
    strange.events[-1] = msgspec.structs.replace(strange.events[-1], hash="f" * 64)
    return strange.add()


def test_what_is_not_true_is_neither_stored_nor_acknowledged(store: Store) -> None:
    journal = Journal().fill(4)
    keep(store, journal.out(1), journal.out(2))
    third = journal.out(3)
    table: list[tuple[EventOut, events.Why]] = [
        (forged(third, body=msgspec.Raw(b'{"state":"inactive"}')), "hash"),
        (forged(third, hash="0" * 64), "hash"),
        (forged(third, at="yesterday"), "hash"),
        (forged(third, edge="clinic-2"), "edge"),
        (forged(third, seq=0), "seq"),
        (forged(third, seq=2**64), "seq"),
        (rechained(journal, 3), "chain"),
        (forged(Journal("boot-1").add(kind="boot")), "fork"),  # number 1 is taken, and by the same boot
    ]
    for event, why in table:
        kept = keep(store, event)
        assert [(refused.event, refused.why) for refused in kept.refused] == [(event, why)]
        assert (kept.new, kept.cursor.seq) == ([], 2)
    assert stored(store) == [1, 2]
    assert keep(store, third, journal.out(4)).cursor.seq == 4, "the true ones still find their place"


def test_an_event_before_its_time_that_does_not_chain_is_put_aside_when_the_gap_closes(store: Store) -> None:
    journal = Journal().fill(3)
    keep(store, journal.out(1))
    liar = rechained(journal, 3)
    assert seqs(keep(store, liar).new) == [3], "nobody can know yet"
    kept = keep(store, journal.out(2))
    assert [refused.why for refused in kept.refused] == ["chain"]
    assert kept.cursor.seq == 2
    assert keep(store, journal.out(3)).cursor.seq == 3


def test_a_forged_first_event_has_no_beginning_to_stand_on(store: Store) -> None:
    first = Journal().add()
    assert first.prev == GENESIS
    orphan = rechained(Journal(), 2)
    assert [r.why for r in keep(store, forged(orphan, seq=1)).refused] == ["hash"]


def test_a_refusal_is_remembered_once_with_its_words(store: Store) -> None:
    bad = forged(Journal().add(), hash="0" * 64)
    for _ in range(3):
        keep(store, bad)

    def refusals(connection: Connection) -> list[tuple[int, str]]:
        return [(row.seq, row.why) for row in connection.execute(select(refused_events))]

    assert store.now(refusals) == [(1, "hash")]


def test_a_journal_that_went_back_is_followed_and_the_old_events_are_kept(store: Store) -> None:
    lost = Journal("boot-1").fill(10)
    keep(store, *(lost.out(n) for n in range(1, 11)))
    journal = lost.rewound(7, "boot-2").fill(9)
    refused = keep(store, journal.out(8), boot="boot-1").refused
    assert [each.why for each in refused] == ["fork"], "without a heartbeat of its boot it is anybody's word"
    kept = keep(store, journal.out(8), boot="boot-2")
    assert (seqs(kept.new), kept.cursor.seq, kept.cursor.top) == ([8], 8, 8)
    assert keep(store, journal.out(9), boot="boot-2").cursor.seq == 9
    assert store.now(events.seqs, f"{EDGE}#2") == [8, 9, 10]


def test_a_new_journal_begins_at_one_beside_the_old(store: Store) -> None:
    keep(store, *(Journal("boot-1").fill(3).out(n) for n in (1, 2, 3)))
    kept = keep(store, Journal("boot-9").add(), boot="boot-9")
    assert (seqs(kept.new), kept.cursor.seq) == ([1], 1)
    assert store.now(events.seqs, f"{EDGE}#2") == [1, 2, 3]


def test_only_a_known_alarm_can_have_sounded(store: Store) -> None:
    journal = Journal().fill(2)
    journal.add(kind="session")
    keep(store, *(journal.out(n) for n in (1, 2, 3)))
    assert store.now(events.sounded, EDGE, 2) == 2
    assert store.now(events.sounded, EDGE, 1) == 2, "the highest is kept"
    assert store.now(events.sounded, EDGE, 3) is None, "a session makes no sound"
    assert store.now(events.sounded, EDGE, 10**9) is None, "a page cannot confirm what is yet to come"
    assert store.now(events.sounded, EDGE, 7, True) == 7, "listed in the bed's state, its event still on the way"
    assert store.now(events.cursor_of, EDGE).sounded_seq == 7


def test_a_bed_reads_its_events_newest_first_by_pages(store: Store) -> None:
    journal = Journal()
    for n in range(1, 11):
        journal.add(bed=BED if n % 2 else "chair-2")
    keep(store, *(journal.out(n) for n in range(1, 11)))

    def page(limit: int, before: int | None) -> list[int]:
        found, damaged = store.now(events.of_bed, EDGE, BED, limit, before)
        assert damaged == []
        return [msgspec.json.decode(each, type=EventOut).seq for each in found]

    assert page(3, None) == [9, 7, 5]
    assert page(3, 5) == [3, 1]


def test_events_survive_closing_and_are_flushed_to_the_disk(tmp_path: Path) -> None:
    path = tmp_path / "console.db"
    first = Store(path)
    keep(first, Journal().add())
    assert first.now(lambda connection: connection.exec_driver_sql("PRAGMA synchronous").scalar_one()) == 2, "FULL"
    assert first.now(lambda connection: connection.exec_driver_sql("PRAGMA journal_mode").scalar_one()) == "wal"
    first.close()
    second = Store(path)
    assert second.now(events.cursor_of, EDGE).seq == 1
    kept = second.now(lambda connection: connection.execute(select(events_table.c.json)).scalar_one())
    assert msgspec.json.decode(kept, type=EventOut) == Journal().add()
    second.close()


def test_a_console_goes_back_twice_as_far_each_time_and_gives_up_at_the_first_event_of_all() -> None:
    journal, back = Journal("boot-2").fill(20), GoingBack()
    cursor = events.Cursor(10, "h", "boot-1", 10, 0)

    def refused(seq: int, why: events.Why = "fork") -> int:
        back.appended(events.Appended([], [events.Refused(journal.out(seq), why)], cursor, []), "boot-2")
        return back.after(cursor)

    assert refused(12, "chain") == 10, "not the one that follows: it has overtaken others"
    assert refused(11, "hash") == 10, "not the edge's own"
    assert [refused(seq) for seq in (11, 10, 9, 7, 3)] == [9, 8, 6, 2, 0]
    assert refused(1) == 10, "it has nothing that follows"
    assert refused(11) == 10, "and is not asked again in this boot"


def test_a_console_that_went_back_goes_on_over_what_it_has_and_a_new_cursor_ends_it() -> None:
    journal, back = Journal("boot-2").fill(20), GoingBack()
    cursor = events.Cursor(10, "h", "boot-1", 10, 0)
    for seq in (11, 10, 9):
        back.appended(events.Appended([], [events.Refused(journal.out(seq), "fork")], cursor, []), "boot-2")
    assert back.after(cursor) == 6
    back.appended(events.Appended([], [], cursor, [journal.out(8), journal.out(7)]), "boot-2")
    assert back.after(cursor) == 8
    moved = events.Cursor(9, "other", "boot-2", 9, 0)
    back.appended(events.Appended([journal.out(9)], [], moved, []), "boot-2")
    assert back.after(moved) == 9


def test_an_edge_of_the_same_boot_is_not_asked_for_what_came_before() -> None:
    back, cursor = GoingBack(), events.Cursor(10, "h", "boot-2", 10, 0)
    wrong = events.Refused(Journal("boot-2").fill(11).out(11), "chain")
    for live_boot in ("boot-2", None):
        back.appended(events.Appended([], [wrong], cursor, []), live_boot)
        assert back.after(cursor) == 10
