"""What a bad disk made of a console's file is never served as true, and never stops the console: each row as it was
stored, or not at all; the file is kept aside, and what is missing is asked for again. `VIGIL_MUTANTS=500` looks longer.
"""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.exc import DBAPIError

from edge import points
from edge.console import accounts, audit, damage, events, history, patients
from edge.console.database import StoreDamaged
from edge.console.service import Console
from edge.console.store import Store
from edge.contract.payloads import EventOut, decode, event_out, event_topic, status_topic
from edge.model import Role
from tests.helpers.console_story import BED, EDGE, START_S, Journal, Wire, hear, settings, status
from tests.helpers.small_disk import fill, remount
from tests.helpers.small_disk import small_disk as small_disk
from tests.helpers.stream_world import Box

pytestmark = pytest.mark.slow

STATUS, EVENT = status_topic(EDGE), event_topic(EDGE)
MUTANTS = int(os.environ.get("VIGIL_MUTANTS", "0")) or 8
COUNT, ROWS = 40, 100
NAMES = {f"session-{n}": f"Name {n}" for n in range(10)}
USERS: dict[str, Role] = {"ann": "nurse", "tom": "technician"}


def clock() -> float:
    return START_S


@dataclass(frozen=True)
class Truth:
    """What was stored, and the file."""

    content: bytes
    token: str
    events: list[EventOut]
    trends: tuple[Sequence[object], Sequence[object]]


@pytest.fixture(scope="module")
def truth(tmp_path_factory: pytest.TempPathFactory) -> Truth:
    path = tmp_path_factory.mktemp("console") / "console.db"
    store = Store(path)
    said = [event_out(event, False) for event in Box().add(COUNT)]
    store.now(events.append, EDGE, said, None, START_S)
    for name, role in USERS.items():
        store.now(accounts.put_account, name, f"hash of {name}", role, START_S)
    token, _ = store.now(accounts.open_session, "ann", START_S, 3600.0)
    for session, name in NAMES.items():
        store.now(patients.name_session, session, EDGE, BED, name, START_S)
    rows: list[history.Row | history.Determination] = [
        history.Row(EDGE, BED, START_S + n, {"spo2_pct": 90.0 + n % 10}) for n in range(ROWS)]
    rows.append(history.Determination(EDGE, BED, START_S, {
        "sbp_mmhg": 120.0, "dbp_mmhg": 70.0, "map_mmhg": None, "nibp_pulse_bpm": 60.0}))
    store.now(history.append, rows)
    for n in range(30):
        store.now(audit.add, START_S + n, "ann", "sounded", EDGE, BED, seq=n)
    trends = store.now(history.rows_since, EDGE, BED, 0.0)
    assert len(trends[0]) == ROWS
    store.close()
    return Truth(path.read_bytes(), token, said, trends)


def spoilt(content: bytes, chance: random.Random) -> bytes:
    changed = bytearray(content)
    at = chance.randrange(1, len(changed))
    match chance.randrange(4):
        case 0:
            del changed[at:]
        case 1:
            page = at - at % 4096
            changed[page:page + 4096] = bytes(4096)
        case _:
            changed[at] ^= 1 << chance.randrange(8)
    return bytes(changed)


def asked(store: Store, question: Callable[..., Any], *args: Any) -> Any:
    """Damage that shows only now ends this one call; the next is answered by the new file."""
    try:
        return store.now(question, *args)
    except DBAPIError:
        return store.now(question, *args)


def served(store: Store) -> list[EventOut]:
    found, _ = asked(store, events.of_bed, EDGE, BED, 100, None)
    return [decode(EventOut, raw) for raw in found]


def check(store: Store, truth: Truth) -> Counter[str]:
    """Nothing false; what is lacking of the events comes again. What of the rest was lost."""
    true = {event.seq: event.hash for event in truth.events}
    assert all(event.hash == true[event.seq] for event in served(store))
    _, wrong = asked(store, events.check, EDGE, 0, 1000)
    cursor = asked(store, events.heal, EDGE, wrong, START_S)
    asked(store, events.append, EDGE, [event for event in truth.events if event.seq > cursor.seq], None, START_S)
    assert {event.seq: event.hash for event in served(store)} == true
    names = asked(store, patients.names)
    assert names.items() <= NAMES.items()
    for ours, was in zip(asked(store, history.rows_since, EDGE, BED, 0.0), truth.trends, strict=True):
        assert all(row in was for row in ours)
    known = {name: asked(store, accounts.account, name) for name in USERS}
    assert all(found in (None, (f"hash of {name}", USERS[name])) for name, found in known.items())
    user = asked(store, accounts.user_of, truth.token, START_S + 1)
    assert user is None or (user.name, user.role) == ("ann", "nurse")
    asked(store, audit.add, START_S, "ann", "logged in")
    return Counter(names=len(NAMES) - len(names), accounts=list(known.values()).count(None), sessions=user is None,
                   aside=bool(store.aside))


@pytest.mark.timeout(300 + 2 * MUTANTS)
def test_whatever_was_changed_it_serves_nothing_false_and_fetches_the_rest_again(tmp_path: Path, truth: Truth) -> None:
    chance, lost = random.Random(1), Counter[str]()
    for number in range(MUTANTS):
        path = tmp_path / str(number) / "console.db"
        path.parent.mkdir()
        path.write_bytes(spoilt(truth.content, chance))
        store = Store(path, serves=clock)
        try:
            lost += check(store, truth)
        finally:
            store.close()
        shutil.rmtree(path.parent)
    assert lost["accounts"] <= MUTANTS / 4 + 2
    print(f"{MUTANTS} mutants: {lost['aside']} kept aside, 0 false rows; lost {dict(lost)}")


@pytest.mark.parametrize(("change", "left"), [
    ("UPDATE accounts SET name = 'anm' WHERE name = 'ann'", {"accounts": 1, "sessions": 1}),
    ("UPDATE accounts SET role = 'technician' WHERE name = 'ann'", {"accounts": 1, "sessions": 1}),
    ("UPDATE accounts SET hash = 'hasi' WHERE name = 'ann'", {"accounts": 1, "sessions": 1}),
    ("UPDATE patients SET name = 'Name 8' WHERE session = 'session-3'", {"names": 1}),
    ("UPDATE patients SET session = 'session-99' WHERE session = 'session-3'", {"names": 1}),
    ("UPDATE vitals SET numerics = CAST('{\"spo2_pct\":50.0}' AS BLOB)", {}),
    ("UPDATE vitals SET at_s = at_s + 4096", {}), ("UPDATE vitals SET numerics = 7", {}),
    ("UPDATE determinations SET sbp_mmhg = 184", {}), ("UPDATE determinations SET map_mmhg = 0", {}),
])
def test_a_row_that_is_not_what_was_stored_is_not_believed(
    tmp_path: Path, truth: Truth, change: str, left: dict[str, int],
) -> None:
    path = tmp_path / "console.db"
    path.write_bytes(truth.content)
    store = Store(path)
    store.now(lambda connection: connection.exec_driver_sql(change))
    assert +check(store, truth) == left
    moments, cuffs = store.now(history.rows_since, EDGE, BED, 0.0)
    assert (len(moments), len(cuffs)) == (0 if "vitals" in change else ROWS, 0 if "determinations" in change else 1)
    store.close()


def damaged(path: Path, truth: Truth) -> Path:
    """The first page of the events is gone."""
    path.write_bytes(truth.content)
    with closing(sqlite3.connect(path)) as file:
        (page,) = file.execute("SELECT rootpage FROM sqlite_master WHERE name = 'events'").fetchone()
    with path.open("r+b") as raw:
        raw.seek((page - 1) * 4096)
        raw.write(bytes(4096))
    return path


async def test_a_damaged_file_is_kept_aside_and_the_console_serves_says_so_and_asks_again(
    tmp_path: Path, truth: Truth,
) -> None:
    with pytest.raises(StoreDamaged, match="start the console"):  # who does not serve changes nothing
        Store(damaged(tmp_path / "console.db", truth))
    before = (tmp_path / "console.db").read_bytes()
    wire = Wire()
    console = Console(settings(tmp_path), wire)
    await console.load()
    try:
        assert (tmp_path / "console.db.damaged-1").read_bytes() == before
        assert console.patients == NAMES
        assert console.store.now(accounts.user_of, truth.token, START_S + 1)
        (trouble,) = [one for one in console.troubles() if one.part == "store"]
        assert "console.db.damaged-1" in trouble.what
        hear(console, STATUS, status(), False)
        await console.acknowledge(EDGE)
        assert wire.acks()[-1].seq == 0
        lines = console.store.now(audit.lines)
        assert len(lines) == 31
        assert lines[-1][:2] == ("vigil", "store begun anew")
        (tmp_path / "console.db.damaged-1").unlink()
        assert [one for one in console.troubles() if one.part == "store"] == []
    finally:
        console.store.close()


def test_a_schema_that_is_no_text_is_damage_too(tmp_path: Path, truth: Truth) -> None:
    """What SQLite says of it then is no UTF-8, and Python's sqlite3 raises another error over that."""
    path = tmp_path / "console.db"
    spoilt = truth.content.replace(b"accounts", b"\xfeccounts").replace(b"CREATE TABLE \xfe", b"CR.ATE TABLE \xfe")
    assert spoilt.count(b"CR.ATE") == 1
    path.write_bytes(spoilt)
    assert damage.damage_of(path) == "its schema is no text"
    with pytest.raises(StoreDamaged, match="start the console"):
        Store(path)
    Store(path, serves=clock).close()
    assert (tmp_path / "console.db.damaged-1").read_bytes() == spoilt


async def test_damage_that_shows_while_it_serves_costs_one_call(
    tmp_path: Path, truth: Truth, monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(damage, "QUICK_CHECK_UP_TO_BYTES", 0)  # it is too large to be read at a start
    damaged(tmp_path / "console.db", truth)
    wire = Wire()
    console = Console(settings(tmp_path), wire)
    await console.load()
    hear(console, STATUS, status(START_S + 100), False)
    journal = Journal().fill(31)
    try:
        hear(console, EVENT, journal.payload(31, 31), False)
        await console.edges[EDGE].store_batch()
        assert console.health()["console"]["ok"] is False
        await console.store.mend()
        await console._read_again()
        await console.acknowledge(EDGE)
        assert console.health()["console"]["ok"] is True
        assert (wire.acks()[-1].seq, len(console.store.aside)) == (0, 1)
        hear(console, EVENT, journal.payload(1, 31, late=True), False)
        await console.edges[EDGE].store_batch()
        assert console.edges[EDGE].cursor.seq == 31
    finally:
        console.store.close()


class Killed(BaseException):
    """As kill -9 would."""


def test_ended_between_any_two_steps_the_next_start_finishes(
    tmp_path: Path, truth: Truth, monkeypatch: pytest.MonkeyPatch,
) -> None:
    step = 0
    while True:
        step += 1
        path = damaged(tmp_path / f"{step}.db", truth)
        left = step

        def reached(point: points.Point) -> None:
            nonlocal left
            left -= point == "quarantine"
            if left == 0:
                raise Killed

        monkeypatch.setattr(points, "reached", reached)
        try:
            Store(path, serves=clock).close()
            break
        except Killed:
            pass
        monkeypatch.setattr(points, "reached", lambda _: None)
        store = Store(path, serves=clock)
        assert check(store, truth)["names"] == 0
        assert [kept.name for kept in store.aside] == [f"{step}.db.damaged-1"]
        store.close()
    assert step > 3


@pytest.mark.parametrize("how", ["full", "read-only"])
async def test_on_a_disk_that_takes_nothing_it_starts_serves_what_is_there_and_heals(
    truth: Truth, small_disk: Path, how: str,
) -> None:
    (small_disk / "console.db").write_bytes(truth.content)
    filler = fill(small_disk) if how == "full" else None
    if filler is None:
        remount(small_disk, "ro")
    store = Store(small_disk / "console.db", serves=clock)
    try:
        assert store.broken
        assert len(served(store)) == COUNT
        assert store.now(accounts.user_of, truth.token, START_S + 1)
        with pytest.raises(Exception, match=r"full|readonly|unable|I/O"):
            await store.mend()
        assert store.broken
        if filler is not None:
            filler.unlink()
        else:
            remount(small_disk, "rw")
        await store.mend()
        assert store.renewed == 1
        check(store, truth)
    finally:
        store.close()


def test_another_file_by_that_name_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "console.toml"
    path.write_text('edge = "clinic-1"\n' * 100)
    with pytest.raises(DBAPIError, match="not a database"):
        Store(path, serves=clock)
    assert [found.name for found in tmp_path.iterdir() if not found.name.endswith((".part", "-journal"))] == [path.name]
