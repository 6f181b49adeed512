"""A journal at rest is reopened, refused or brought up to date; whatever was changed in it is found, never served."""

from __future__ import annotations

import gzip
import itertools
import random
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from nacl.signing import SigningKey
from sqlalchemy import Connection, create_engine, make_url
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.pool import NullPool
from sqlalchemy.schema import CreateTable

from edge.contract.events import GENESIS, Event, PendingEvent, event_hash, numbered, read_body
from edge.contract.signing import Signer
from edge.journal import Journal, JournalDamaged, JournalError, Reader, schema
from edge.journal.chain import START, Wrong, next_checkpoint
from edge.journal.verify import Verdict, Walk, verify
from edge.model import Boot, Command, Input, Sample, Samples, Tick
from tests.helpers.bodies import body
from tests.helpers.parts import sampled
from tests.helpers.stream_world import EDGE_KEY, edge_signer

GOLDEN = Path(__file__).parent / "golden"
AT_S = 1_700_000_000.25
FRAME = Samples("oximeter", (Sample("chair-1", "oximeter", "spo2_pct", 97.0, "valid", AT_S),))
ASKED = Command("c1", "main", "anna", "nurse", "chair-1", "check_in", {"cadss": 12, "text": "schwebt ☁"})


def opened(path: Path | str, *, edge: str = "clinic-1", boot: str = "b1") -> Journal:
    return Journal.open(str(path), edge=edge, boot=boot, wall=lambda: "2023-11-14T22:13:20.250Z",
                        sign=partial(edge_signer().sign_hash, edge))


def alarm(k: int, *, at_s: float = AT_S, bed: str | None = "chair-1") -> PendingEvent:
    return PendingEvent(
        bed, "s1" if k % 2 else None, at_s + k,
        body("alarm", rule="HTN-3", text=f"é {k}", evidence=[{"metric": "sbp_mmhg", "value": 184.0, "age_s": k}])
    )


async def written(path: Path) -> None:
    """A small journal of 12 commits: some with inputs alone, one with events alone, most with both."""
    journal = opened(path)
    journal.record(None, AT_S, Boot("b1", 0.0))
    for k in range(12):
        inputs: list[tuple[str | None, Input]] = [("chair-1", FRAME), (None, Tick()), ("chair-2", ASKED)]
        for bed, said in inputs if k != 5 else ():
            journal.record(bed, AT_S + k, said)
        if k == 4:
            journal.snapshot("chair-1", journal.head.n, AT_S, b"state")
        await (journal.append([alarm(k), alarm(k, bed=None)]).stored if k % 4 != 2 else journal.flush())
    await journal.move_cursor("main", 3)
    await journal.close()


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("original") / "journal.db"
    await written(path)
    return path


@pytest.fixture
def copy(original: Path, tmp_path: Path) -> Path:
    path = tmp_path / "copy.db"
    path.write_bytes(original.read_bytes())
    return path


def tampered(path: Path, *statements: str) -> None:
    """What someone with the sqlite3 shell does: drop the triggers, then change the file."""
    with sqlite3.connect(path) as raw:
        unguard(lambda statement: raw.execute(statement))
        for statement in statements:
            raw.execute(statement)
    raw.close()


def unguard(execute: Callable[[str], Any]) -> None:
    for table in ("input", "seal", "event"):
        for verb in ("update", "delete"):
            execute(f"DROP TRIGGER {table}_no_{verb}")


# --- opened again -----------------------------------------------------------------------------------------------------


async def test_the_head_goes_on_after_reopening(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    await written(path)
    with Reader(str(path)) as reader:
        last = list(reader.events())[-1]
        assert reader.edge == "clinic-1"
    journal = opened(path, boot="b2")
    assert (journal.head.seq, journal.head.n, journal.head.hash) == (last.seq, 34, last.hash)
    assert journal.head.at_s == AT_S + 11
    assert journal.record(None, AT_S + 90, Boot("b2", 68.0)) == 35
    (event,) = journal.append([alarm(99)]).events
    assert (event.seq, event.prev, event.boot) == (last.seq + 1, last.hash, "b2")
    assert journal.head.at_s == AT_S + 99
    await journal.close()
    assert verify(str(path)) == Verdict(True, last.seq + 1, 35, event.hash, signed_from=1)


async def test_a_cursor_survives_reopening(original: Path, copy: Path) -> None:
    journal = opened(copy)
    assert await journal.cursor("main") == 3
    await journal.close()


async def test_a_failed_opening_lets_the_lock_go(copy: Path) -> None:
    with pytest.raises(JournalError, match="belongs to edge 'clinic-1', not to 'other'"):
        opened(copy, edge="other")
    await opened(copy).close()


def _another_database(path: Path) -> None:
    path.unlink()
    with sqlite3.connect(path) as raw:
        raw.execute("CREATE TABLE account (name TEXT)")
    raw.close()


NEWER = "UPDATE meta SET value = '99' WHERE key = 'schema'", "ALTER TABLE event ADD next TEXT"


@pytest.mark.parametrize(("spoil", "says"), [
    (lambda path: tampered(path, *NEWER), "newer vigil .schema 99"),
    (lambda path: tampered(path, "DELETE FROM meta WHERE key = 'edge'"), "is damaged: its table 'meta'"),
    (lambda path: tampered(path, "UPDATE meta SET value = '0' WHERE key = 'schema'"), "has no schema version"),
    (_another_database, r"is not a journal: .*\(account"),
    (lambda path: path.write_bytes(b"[edge] # 37 \xc2\xb0C\n" * 100), "is not a journal: it is a text file"),
    (lambda path: path.write_bytes(bytes(range(256)) * 32), "another file, or a journal whose first page is damaged"),
    (lambda path: path.write_bytes(path.read_bytes()[:8192]), "damaged"),
])
def test_what_is_no_journal_of_ours_is_refused_in_one_line(
        copy: Path, spoil: Callable[[Path], object], says: str) -> None:
    spoil(copy)
    before = copy.read_bytes()
    for attempt in (lambda: opened(copy), lambda: Reader(str(copy)).inputs().__next__()):
        with pytest.raises(JournalError, match=says) as told:
            attempt()
        assert "\n" not in str(told.value)
        assert str(copy) in str(told.value)
    assert copy.read_bytes() == before


@pytest.mark.parametrize("table", ["input", "seal", "event"])
@pytest.mark.parametrize("change", ["UPDATE {} SET rowid = rowid", "DELETE FROM {}"])
def test_the_database_itself_refuses_to_change_a_record(copy: Path, table: str, change: str) -> None:
    raw = sqlite3.connect(copy)
    with pytest.raises(sqlite3.IntegrityError, match="the journal is append-only"):
        raw.execute(change.format(table))
    raw.close()


# --- the schema -------------------------------------------------------------------------------------------------------


@pytest.fixture
def step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Adds one more step to those of the journal; `monkeypatch.undo` takes it away."""

    def add(upgrade: str) -> None:
        folder = tmp_path / "steps"
        shutil.copytree(schema.STEPS, folder)
        (folder / "versions" / "r0004_next.py").write_text(
            f"from alembic import op\nrevision, down_revision = '0004', '0003'\ndef upgrade():\n    {upgrade}\n")
        monkeypatch.setattr(schema, "STEPS", folder)
        monkeypatch.setattr(schema, "HEAD", "0004")

    return add


async def test_an_older_journal_is_brought_up_to_date(
        copy: Path, monkeypatch: pytest.MonkeyPatch, step: Callable[[str], None]) -> None:
    step("op.execute('CREATE TABLE note (id INTEGER PRIMARY KEY)')")
    await opened(copy).close()
    with Reader(str(copy)) as reader:
        assert reader.version == 4
    assert verify(str(copy)).ok
    monkeypatch.undo()
    with pytest.raises(JournalError, match=r"written by a newer vigil \(schema 4, this one knows 3\): update"):
        opened(copy)


async def test_a_migration_that_fails_halfway_leaves_the_journal_as_it_was(
        copy: Path, monkeypatch: pytest.MonkeyPatch, step: Callable[[str], None]) -> None:
    step("[op.execute(each) for each in ('CREATE TABLE note (id INTEGER PRIMARY KEY)', 'DROP TRIGGER event_no_update',"
         " 'DROP TABLE no_such_table')]")
    with sqlite3.connect(copy) as raw:
        before = raw.execute("SELECT name, sql FROM sqlite_schema ORDER BY 1").fetchall()
    with pytest.raises(JournalError, match="no such table"):
        opened(copy)
    monkeypatch.undo()
    assert raw.execute("SELECT name, sql FROM sqlite_schema ORDER BY 1").fetchall() == before
    raw.close()
    await opened(copy).close()


def test_the_tables_are_portable() -> None:
    dialect = make_url("postgresql+psycopg://").get_dialect()()
    for table in schema.TABLES.sorted_tables:
        ddl = str(CreateTable(table).compile(dialect=dialect))
        assert "STRICT" not in ddl
        assert "SERIAL" not in ddl
        for column in table.columns:
            kind = str(column.type.compile(dialect=dialect))
            assert kind in ("BIGINT", "TEXT", "BYTEA"), (table.name, column.name, kind)


# --- what was changed behind its back ---------------------------------------------------------------------------------

E17 = "event 17"
TAMPERINGS = [
    # one line: what was done, and the words that name the first bad record
    ("UPDATE event SET body = json_set(body, '$.evidence[0].value', 120.0) WHERE seq = 17",
     f"{E17}: its hash does not match"),
    ("UPDATE event SET body = body || ' ' WHERE seq = 17", f"{E17}: its body is not the JSON that was hashed"),
    ("UPDATE event SET body = 'x' WHERE seq = 17", f"{E17}: its body is not JSON"),
    ("UPDATE event SET at_ms = at_ms + 1 WHERE seq = 17", f"{E17}: its hash does not match"),
    ("UPDATE event SET at_ms = 9000000000000000000 WHERE seq = 17", f"{E17}: its time is no time"),
    ("UPDATE event SET bed = NULL WHERE seq = 17", f"{E17}: its hash does not match"),
    ("UPDATE event SET prev = hash WHERE seq = 17", f"{E17}: prev does not match the hash of event 16"),
    ("UPDATE event SET seq = 99 WHERE seq = 17", "event: gap after 16: the next one is 18"),
    ("UPDATE event SET seq = 0 WHERE seq = 17", "event 0 is out of order: 1 should follow 0"),
    ("UPDATE event SET wall = CAST(x'ff' AS TEXT) WHERE seq = 17", "Could not decode to UTF-8"),
    ("DELETE FROM event WHERE seq = 17", "event: gap after 16: the next one is 18"),
    ("DELETE FROM event WHERE seq = 18", "event: gap after 17: checkpoint 12 says they go on to 18"),
    ("DELETE FROM event", "event: gap after 0: checkpoint 1 says they go on to 2"),
    ("INSERT INTO event SELECT 19, boot, edge, bed, session, at_ms, wall, kind, body, prev, hash, sig"
     " FROM event WHERE seq = 1", "event 19 is under no checkpoint: the last one, 12, ends at input 34 and event 18"),
    ("UPDATE input SET body = replace(body, '97', '91') WHERE n = 8", "checkpoint 3 over inputs 8..10 does not match"),
    ("UPDATE input SET body = '{' WHERE n = 8", "input 8: its body is not JSON"),
    ("UPDATE input SET bed = 'chair-9' WHERE n = 9", "checkpoint 3 over inputs 8..10 does not match"),
    ("UPDATE input SET boot = 'b0' WHERE n = 10", "checkpoint 3 over inputs 8..10 does not match"),
    ("UPDATE input SET n = -4 WHERE n = 9", "input -4 is out of order: 1 should follow 0"),
    ("DELETE FROM input WHERE n = 9", "input: gap after 8: the next one is 10"),
    ("DELETE FROM input WHERE n = 34", "input: gap after 33: checkpoint 12 over inputs 32..34 needs more"),
    ("INSERT INTO input SELECT 35, boot, bed, at_ms, kind, body FROM input WHERE n = 1",
     "input 35 is under no checkpoint"),
    ("UPDATE seal SET last_n = last_n + 1 WHERE id = 3", "checkpoint 3 over inputs 8..11 does not match"),
    ("UPDATE seal SET first_n = first_n - 1 WHERE id = 3",
     "checkpoint 3 over inputs 7..10 does not go on after input 7"),
    ("UPDATE seal SET event_seq = 1 WHERE id = 3",
     "checkpoint 3 over inputs 8..10 says events end at 1, the one before said 4"),
    ("UPDATE seal SET hash = prev WHERE id = 3", "checkpoint 3 over inputs 8..10 does not match"),
    ("UPDATE seal SET prev = hash WHERE id = 3", "checkpoint 3: prev does not match the hash of checkpoint 2"),
    ("DELETE FROM seal WHERE id = 6", "checkpoint: gap after 5: the next one is 7"),
    ("DELETE FROM seal WHERE id = 12",
     "input 32 is under no checkpoint: the last one, 11, ends at input 31 and event 16"),
    ("INSERT INTO seal SELECT 13, 35, 34, event_seq, event_hash, hash, hash, sig FROM seal WHERE id = 12",
     "checkpoint 13 over no inputs does not match"),
    ("UPDATE meta SET value = 'clinic-2' WHERE key = 'edge'",
     "event 1 is of edge 'clinic-1', the journal of 'clinic-2'"),
]


def test_the_journal_untouched_is_found_good(original: Path) -> None:
    verdict = verify(str(original))
    assert (verdict.ok, verdict.events, verdict.inputs, verdict.problem) == (True, 18, 34, None)


@pytest.mark.parametrize(("done", "says"), TAMPERINGS)
def test_the_first_bad_record_is_named(copy: Path, done: str, says: str) -> None:
    tampered(copy, done)
    verdict = verify(f"sqlite:///{copy}")
    assert not verdict.ok
    assert says in str(verdict.problem)


def test_a_last_event_written_anew_with_a_hash_that_fits_is_found_by_its_checkpoint(copy: Path) -> None:
    with Reader(str(copy)) as reader:
        *_, last = reader.events(after=16)
    forged = event_hash(
        seq=last.seq, boot=last.boot, edge=last.edge, bed=last.bed, session=last.session, at_s=last.at_s,
        wall=last.wall, kind=last.kind, body={"k": 0}, prev=last.prev)
    tampered(copy, f"""UPDATE event SET body = '{{"k":0}}', hash = '{forged}' WHERE seq = 18""")
    assert verify(str(copy)).problem == "checkpoint 12: its event_hash does not match event 18"
    with pytest.raises(JournalDamaged, match="event 18 is not the one checkpoint 12 was put on"):
        opened(copy)


@pytest.mark.parametrize("done", [done for done, _ in TAMPERINGS])
async def test_a_changed_record_is_never_served(original: Path, copy: Path, done: str) -> None:
    """Opening, or reading it all, stops at the damage; what was read until then is as it was written."""
    with Reader(str(original)) as reader:
        events, inputs = list(reader.events()), list(reader.inputs())
    tampered(copy, done)
    for read in (_read_all, _open_and_read_all):
        found: tuple[list[Event], list[Any]] = ([], [])
        try:
            await read(copy, *found)
        except JournalError:
            pass
        assert found[0] == events[:len(found[0])]
        assert found[1] == inputs[:len(found[1])]


async def _read_all(path: Path, events: list[Event], inputs: list[Any]) -> None:
    with Reader(str(path)) as reader:
        inputs.extend(reader.inputs())
        events.extend(reader.events())


async def _open_and_read_all(path: Path, events: list[Event], inputs: list[Any]) -> None:
    journal = opened(path)
    try:
        inputs.extend(journal.inputs())
        while page := await journal.events_after(len(events), 5):
            events.extend(page)
    finally:
        await journal.close()


async def test_damage_at_an_end_is_found_on_opening_and_says_what_to_do(copy: Path) -> None:
    tampered(copy, "UPDATE event SET at_ms = at_ms + 1 WHERE seq = 18")
    with pytest.raises(JournalDamaged) as told:
        opened(copy)
    assert str(told.value) == (
        f"journal {copy} is damaged: event 18: its hash does not match. Move {copy} with its -wal and -shm files away"
        " and start again with a new one; consoles still have the events: 'main' up to 3")


@pytest.mark.parametrize(("done", "says"), [
    ("INSERT INTO input SELECT 35, boot, bed, at_ms, kind, body FROM input WHERE n = 1", "inputs up to 35"),
    ("DELETE FROM seal WHERE id = 12", "but the last checkpoint, 11, says 31 and 16"),
    ("DELETE FROM event WHERE seq = 18", "events up to 17"),
    ("DELETE FROM input WHERE n = 34", "checkpoint 12 over inputs 32..34 does not match"),
    ("UPDATE seal SET prev = hash WHERE id = 12", "checkpoint 12: prev does not match"),
])
def test_ends_that_do_not_fit_together_are_never_written_on(copy: Path, done: str, says: str) -> None:
    tampered(copy, done)
    with pytest.raises(JournalDamaged, match=says):
        opened(copy)


def test_damage_that_no_record_shows_is_found_on_opening(copy: Path) -> None:
    content = bytearray(copy.read_bytes())
    content[39] ^= 1  # the file's count of free pages
    copy.write_bytes(content)
    assert verify(str(copy)).ok
    with pytest.raises(JournalDamaged, match="quick_check says"):
        opened(copy)


def test_a_journal_on_a_read_only_disk_can_be_verified(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.access", lambda *_: False)
    with Reader(str(copy)) as reader:
        assert len(list(reader.events())) == 18
        assert [path.name for path in copy.parent.iterdir()] == [copy.name]  # no -shm, no -wal was made


async def test_a_cursor_that_was_moved_by_hand_is_not_believed(copy: Path) -> None:
    tampered(copy, "UPDATE cursor SET seq = 17")
    with pytest.raises(JournalDamaged, match="cursor of console 'main': event 17 is not the one it stored"):
        opened(copy)


CUT = ["DELETE FROM event WHERE seq > 16", "DELETE FROM input WHERE n > 28", "DELETE FROM seal WHERE id > 10"]


@pytest.mark.parametrize(("expect", "says"), [
    ({}, None),  # all tables cut at the same commit: from within it cannot be seen
    ({"expect_seq": 16}, None),
    ({"expect_seq": 17}, "event: they end at 16, but 17 was stored elsewhere: the end is missing"),
    ({"expect_seq": 9, "expect_hash": "f" * 64}, "event 9: its hash is not the one expected"),
])
def test_an_end_cut_off_everywhere_is_found_by_what_a_console_stored(
        copy: Path, expect: dict[str, Any], says: str | None) -> None:
    tampered(copy, *CUT)
    verdict = verify(str(copy), **expect)
    assert (verdict.ok, verdict.problem is None) == (says is None, says is None)
    assert says is None or says in str(verdict.problem)


def test_a_hash_expected_of_no_event_is_a_mistake(copy: Path) -> None:
    with pytest.raises(ValueError, match="expect_hash needs expect_seq"):
        verify(str(copy), expect_hash="0" * 64)


# --- signatures -------------------------------------------------------------------------------------------------------


def rechained(path: Path, from_seq: int, sign: Callable[[str], str | None]) -> None:
    """What somebody does who knows how all is hashed: a value changed, and every hash after it made anew."""
    with sqlite3.connect(path) as raw:
        unguard(raw.execute)
        rows = raw.execute("SELECT * FROM event ORDER BY seq").fetchall()
        prev = GENESIS
        for seq, boot, edge, bed, session, at_ms, wall, kind, body, _prev, _hash, sig in rows:
            text = body.replace("184.0", "124.0") if seq == from_seq else body
            pending = PendingEvent(bed, session, at_ms / 1000, read_body(kind, text))
            event = numbered(pending, seq=seq, boot=boot, edge=edge, wall=wall, prev=prev)
            prev = event.hash
            raw.execute("UPDATE event SET body = ?, prev = ?, hash = ?, sig = ? WHERE seq = ?",
                        (text, event.prev, event.hash, sign(event.hash) if seq >= from_seq else sig, seq))
        hashes = dict(raw.execute("SELECT seq, hash FROM event").fetchall())
        before = START
        for row in raw.execute("SELECT * FROM seal ORDER BY id").fetchall():
            inputs = raw.execute("SELECT * FROM input WHERE n BETWEEN ? AND ? ORDER BY n", row[1:3]).fetchall()
            given = [tuple(each) for each in inputs]
            checkpoint = next_checkpoint(before, given, row[3], hashes.get(row[3], GENESIS))
            sig = row[7] if checkpoint.hash == row[6] else sign(checkpoint.hash)
            raw.execute("UPDATE seal SET event_hash = ?, prev = ?, hash = ?, sig = ? WHERE id = ?",
                        (checkpoint.event_hash, checkpoint.prev, checkpoint.hash, sig, checkpoint.id))
            before = checkpoint
    raw.close()


def test_a_chain_made_anew_by_somebody_without_the_key_is_found(copy: Path) -> None:
    key = EDGE_KEY.verify_key
    assert verify(str(copy), keys=[key]) == verify(str(copy))
    other = Signer(SigningKey(b"x" * 32), itertools.count().__next__)
    rechained(copy, 7, partial(other.sign_hash, "clinic-1"))
    assert verify(str(copy)).ok, "the hashes alone cannot show it"
    verdict = verify(str(copy), keys=[key])
    assert (verdict.ok, verdict.events, verdict.problem) == (False, 6, "event 7: its signature is not this edge's")


def test_a_chain_made_anew_with_its_signatures_left_out_is_found(copy: Path) -> None:
    rechained(copy, 7, lambda _: None)
    assert "event 7: it is not signed, but what is before it is" in str(verify(str(copy)).problem)


def test_a_record_stripped_of_every_signature_is_no_older_record_once_there_is_a_key(copy: Path) -> None:
    tampered(copy, "UPDATE event SET sig = NULL", "UPDATE seal SET sig = NULL", "UPDATE snapshot SET sig = NULL")
    assert verify(str(copy)).signed_from is None
    assert "event 1" in str(verify(str(copy), keys=[EDGE_KEY.verify_key]).problem)


def test_a_snapshot_put_in_by_somebody_else_is_found(copy: Path) -> None:
    tampered(copy, "UPDATE snapshot SET sig = NULL")
    assert str(verify(str(copy), keys=[EDGE_KEY.verify_key]).problem).startswith("snapshot of chair-1 after input")


async def test_a_journal_of_0_1_0_goes_on_signed_and_says_from_where(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    path.write_bytes(gzip.decompress((GOLDEN / "journal-0.1.0.db.gz").read_bytes()))
    with Reader(str(path)) as reader:
        old = [event.sig for event in reader.events()]
        assert (reader.version, set(old)) == (1, {None})
    assert verify(str(path), keys=[EDGE_KEY.verify_key]).problem is not None
    assert verify(str(path)).signed_from is None
    journal = opened(path, boot="b2")
    await journal.append([alarm(1)]).stored
    await journal.close()
    verdict = verify(str(path), keys=[EDGE_KEY.verify_key])
    assert (verdict.ok, verdict.signed_from) == (True, len(old) + 1)


# --- thousands of changes, one at a time ------------------------------------------------------------------------------

COLUMNS = {table.name: [column.name for column in table.columns]
           for table in (schema.EVENT, schema.INPUT, schema.CHECKPOINT)}


@pytest.fixture
def raw(copy: Path) -> Iterator[Connection]:
    """One connection on a copy without triggers, on which each change is made, judged, and rolled back."""
    engine = create_engine("sqlite://", poolclass=NullPool, creator=lambda: sqlite3.connect(copy, isolation_level=None))
    with engine.connect() as connection:
        unguard(connection.exec_driver_sql)
        yield connection


def noticed(raw: Connection, *changes: tuple[str, tuple[Any, ...]]) -> bool | None:
    """Whether these changes are found; None if the database would not have them or nothing changed by them."""
    raw.exec_driver_sql("BEGIN")
    try:
        before = contents(raw)
        for statement, values in changes:
            raw.exec_driver_sql(statement, values)
        if contents(raw) == before:
            return None
        Walk(keys=[EDGE_KEY.verify_key]).run(raw, "clinic-1")
    except IntegrityError:
        return None
    except (Wrong, DBAPIError):
        return True
    finally:
        raw.exec_driver_sql("ROLLBACK")
    return False


def contents(raw: Connection) -> list[Any]:
    return [raw.exec_driver_sql(f"SELECT * FROM {table} ORDER BY 1").all() for table in COLUMNS]


def other_values(value: Any, chance: random.Random) -> list[Any]:
    if value is None:
        return ["", "chair-1"]
    if isinstance(value, int):
        return [value + 1, value - 1, -value - 1, value ^ (1 << chance.randrange(40))]
    at = chance.randrange(len(value))
    flipped = value[:at] + chr(ord(value[at]) ^ 1) + value[at + 1:]
    return [flipped, value + " ", value[:-1], None]


@pytest.mark.slow
@pytest.mark.parametrize("table", sampled(((table,) for table in COLUMNS), 3))
def test_any_field_of_any_row_changed_is_noticed(raw: Connection, table: str) -> None:
    chance = random.Random(table)
    tried = 0
    rows = raw.exec_driver_sql(f"SELECT * FROM {table} ORDER BY 1").all()
    for row in rows:
        for column, value in zip(COLUMNS[table], row, strict=True):
            for other in other_values(value, chance):
                edit = f"UPDATE {table} SET {column} = ? WHERE {COLUMNS[table][0]} = ?"
                found = noticed(raw, (edit, (other, row[0])))
                assert found is not False, (table, row[0], column, value, other)
                tried += found is True
    assert tried > len(rows) * len(COLUMNS[table]) * 2


@pytest.mark.parametrize("table", sampled(((table,) for table in COLUMNS), 3))
def test_any_row_deleted_moved_swapped_or_added_is_noticed(raw: Connection, table: str) -> None:
    key, *rest = COLUMNS[table]
    rows = raw.exec_driver_sql(f"SELECT * FROM {table} ORDER BY 1").all()
    setting = ", ".join(f"{column} = ?" for column in rest)
    adding = f"INSERT INTO {table} VALUES ({', '.join('?' * len(COLUMNS[table]))})"
    update = f"UPDATE {table} SET {setting} WHERE {key} = ?"
    for row in rows:
        assert noticed(raw, (f"DELETE FROM {table} WHERE {key} = ?", (row[0],))), row
        for number in (0, -1, rows[-1][0] + 1, rows[-1][0] + 100):
            assert noticed(raw, (adding, (number, *row[1:]))), (row, number)
            assert noticed(raw, (f"UPDATE {table} SET {key} = ? WHERE {key} = ?", (number, row[0]))), (row, number)
        for other in rows:
            if other[0] > row[0]:
                swap = noticed(raw, (update, (*other[1:], row[0])), (update, (*row[1:], other[0])))
                assert swap is not False, (row, other)


@pytest.mark.slow
def test_tables_cut_at_different_ends_are_noticed(raw: Connection) -> None:
    chance = random.Random(7)
    checkpoints = [(0, 0, 0), *raw.exec_driver_sql("SELECT id, last_n, event_seq FROM seal").all()]
    whole = {tuple(each) for each in checkpoints}
    for _ in range(1000):
        cut = (chance.randrange(13), chance.randrange(35), chance.randrange(19))
        found = noticed(raw, *((f"DELETE FROM {table} WHERE {key} > ?", (upto,)) for table, key, upto in zip(
            ("seal", "input", "event"), ("id", "n", "seq"), cut, strict=True)))
        assert found is (cut not in whole), cut
