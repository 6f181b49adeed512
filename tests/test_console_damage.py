"""What a bad disk made of a console's file is never served as true: each event as the edge said it, or not at all; and
what is missing then is asked for again. `VIGIL_MUTANTS=500` looks longer."""

from __future__ import annotations

import os
import random
import sqlite3
from pathlib import Path

import pytest
from sqlalchemy.exc import DBAPIError

from edge.console import events
from edge.console.store import Store
from edge.contract.payloads import EventOut, decode, event_out
from tests.helpers.stream_world import Box

MUTANTS = int(os.environ.get("VIGIL_MUTANTS", "0")) or 12
EDGE, BED, COUNT = "clinic-1", "chair-1", 40
AT_S = 1_770_000_000.0


def served(store: Store) -> list[EventOut]:
    found, _ = store.now(events.of_bed, EDGE, BED, 100, None)
    return [decode(EventOut, raw) for raw in found]


@pytest.fixture(scope="module")
def truth() -> list[EventOut]:
    return [event_out(event, False) for event in Box().add(COUNT)]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, truth: list[EventOut]) -> bytes:
    path = tmp_path_factory.mktemp("console") / "console.db"
    store = Store(path)
    store.now(events.append, EDGE, truth, None, AT_S)
    store.close()
    return path.read_bytes()


def spoilt(content: bytes, chance: random.Random) -> bytes:
    changed = bytearray(content)
    at = chance.randrange(len(changed))
    match chance.randrange(4):
        case 0:
            del changed[at:]
        case 1:
            page = at - at % 4096
            changed[page:page + 4096] = bytes(4096)
        case _:
            changed[at] ^= 1 << chance.randrange(8)
    return bytes(changed)


def test_whatever_was_changed_nothing_false_is_served_and_the_rest_is_fetched_again(
    tmp_path: Path, whole: bytes, truth: list[EventOut],
) -> None:
    chance, true = random.Random(1), {event.seq: event.hash for event in truth}
    refused = healed = 0
    for number in range(MUTANTS):
        path = tmp_path / f"{number}.db"
        path.write_bytes(spoilt(whole, chance))
        try:
            store = Store(path)
        except (DBAPIError, RuntimeError, ValueError):
            refused += 1
            continue
        try:
            found = served(store)
            assert all(event.hash == true[event.seq] and event.verify() for event in found), number
            _, wrong = store.now(events.check, EDGE, 0, 1000)
            cursor = store.now(events.heal, EDGE, wrong, AT_S)
            store.now(events.append, EDGE, [event for event in truth if event.seq > cursor.seq], None, AT_S)
            again = served(store)
            assert all(event.hash == true[event.seq] for event in again), number
            if wrong:  # found to be damaged: then nothing is missing any more
                assert {event.seq for event in again} == set(true), number
            healed += len(again) == COUNT
        except (DBAPIError, sqlite3.Error):
            refused += 1  # the store says that it is broken, and nothing of it is served
        finally:
            store.close()
    assert healed > MUTANTS / 4
    print(f"{MUTANTS} mutants: {healed} whole, {refused} refused, {MUTANTS - healed - refused} leave out an event of a"
          " bed's list (its index is damaged), 0 false rows")
