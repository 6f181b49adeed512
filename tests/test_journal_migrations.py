"""A journal of every format that there ever was is brought along whole; killed at any statement, it is what it was."""

from __future__ import annotations

import gzip
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from itertools import product
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, create_engine, event
from sqlalchemy.engine import Engine

from edge import migrating
from edge.console import database
from edge.contract.events import Event
from edge.journal import Journal, JournalError, Reader, schema
from edge.journal.verify import verify
from edge.model import RecordedInput, Tick
from tests.helpers.parts import sampled

pytestmark = pytest.mark.slow

GOLDEN = Path(__file__).parent / "golden" / "journal-0.1.0.db.gz"
EDGE = "clinic-1"
SIGNED = ";".join(f"ALTER TABLE {name} ADD COLUMN sig TEXT" for name in ("event", "seal", "snapshot"))

# What main wrote, one after the other: the number in `meta`, and how a journal of 0.1.0 becomes such a one.
FORMATS = {
    "1: 0.1.0": (1, ""),
    "2: signed": (2, f"{SIGNED}; UPDATE meta SET value = '2' WHERE key = 'schema'"),
    "3: may go on from another": (2, f"{SIGNED}; UPDATE meta SET value = '3' WHERE key = 'schema'"),
    "3: packed, by steps of its own": (3, "DROP TABLE alembic_version"),
    "3: by alembic": (3, "SELECT 1"),
}


def of_format(path: Path, name: str) -> Path:
    path.write_bytes(gzip.decompress(GOLDEN.read_bytes()))
    version, script = FORMATS[name]
    if version == 3:
        opened(path).close_now()
    with closing(sqlite3.connect(path)) as file:
        file.executescript(script)
    return path


class Opened:
    """A journal as an edge opens it, without its loop: opened, migrated, closed."""

    def __init__(self, path: Path) -> None:
        from edge.journal.database import DatabaseUrl
        from edge.journal.store import Store

        self._store = Store(DatabaseUrl(str(path)), EDGE)
        try:
            self._connection = self._store.open().connection
        except JournalError:
            self._store.release()
            raise

    def close_now(self) -> None:
        self._connection.close()
        self._store.release()


def opened(path: Path) -> Opened:
    return Opened(path)


def records(path: Path) -> tuple[list[Event], list[RecordedInput], dict[str, tuple[int, float, bytes]]]:
    with Reader(str(path)) as reader:
        return list(reader.events()), list(reader.inputs()), reader.snapshots()


def tables(path: Path) -> dict[str, str]:
    with closing(sqlite3.connect(path)) as file:
        return dict(file.execute("SELECT name, sql FROM sqlite_schema WHERE sql IS NOT NULL").fetchall())


def said(path: Path) -> tuple[list[str], list[str]]:
    """What `meta` and alembic's own table say it is at."""
    with closing(sqlite3.connect(path)) as file:
        return ([row[0] for row in file.execute("SELECT value FROM meta WHERE key = 'schema'")],
                [row[0] for row in file.execute("SELECT version_num FROM alembic_version")])


HEAD = [str(schema.version())], [schema.HEAD]


def test_a_new_one_walks_the_same_steps_and_has_the_tables_the_code_knows(tmp_path: Path) -> None:
    new, old = tmp_path / "new.db", of_format(tmp_path / "old.db", "1: 0.1.0")
    for path in (new, old):
        opened(path).close_now()
        with create_engine(f"sqlite:///{path}").connect() as connection:
            assert compare_metadata(MigrationContext.configure(connection), schema.TABLES) == []
    assert tables(new) == tables(old)
    assert said(new) == said(old) == HEAD
    assert ScriptDirectory(str(schema.STEPS)).get_heads() == [schema.HEAD]


@pytest.mark.parametrize("name", sampled(((name,) for name in FORMATS), 3))
def test_each_format_reads_as_it_is_and_is_brought_along_with_every_record(tmp_path: Path, name: str) -> None:
    path = of_format(tmp_path / "journal.db", name)
    before, verdict = records(path), verify(str(path))
    assert (len(before[0]), len(before[1]), verdict.ok) == (70, 1134, True)
    opened(path).close_now()
    assert (records(path), verify(str(path)), said(path)) == (before, verdict, HEAD)
    assert len(tables(path)) == 17, "eight tables, their index, eight guards"
    again = path.read_bytes()
    opened(path).close_now()
    assert path.read_bytes() == again


async def test_one_that_is_up_to_date_needs_no_alembic(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = of_format(tmp_path / "journal.db", "3: by alembic")

    def called(*_: object) -> None:
        raise AssertionError("nothing is to be done")

    monkeypatch.setattr(schema, "upgrade", called)
    journal = Journal.open(str(path), edge=EDGE, boot="b2", wall=lambda: "now")
    journal.record("chair-1", 2e9, Tick())
    await journal.close()
    assert verify(str(path)).inputs == 1135


def test_who_opens_one_that_is_up_to_date_loads_no_alembic(tmp_path: Path) -> None:
    path = of_format(tmp_path / "journal.db", "3: by alembic")
    code = ("import sys; from edge.app import run; from edge.journal.database import DatabaseUrl;"
            f" from edge.journal.store import Store; Store(DatabaseUrl({str(path)!r}), {EDGE!r}).open();"
            " print('alembic' in sys.modules)")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "False"


# --- killed on the way ------------------------------------------------------------------------------------------------


def killed_at_each_statement(path: Path, make: Callable[[], object]) -> list[Path]:
    """The files before each statement that writes, as a killed process leaves them."""
    copies: list[Path] = []

    def copy(_connection: Connection, _cursor: object, statement: str, *_: object) -> None:
        if not statement.lstrip().startswith(("SELECT", "PRAGMA", "BEGIN")):
            folder = path.parent / f"killed-{len(copies)}"
            folder.mkdir()
            for file in path.parent.glob(f"{path.name}*"):
                shutil.copy(file, folder / file.name)
            copies.append(folder / path.name)

    event.listen(Engine, "before_cursor_execute", copy)
    try:
        make()
    finally:
        event.remove(Engine, "before_cursor_execute", copy)
    return copies


@pytest.mark.parametrize(("part", "name"), sampled(
    ((part, name) for name in ("2: signed", "1: 0.1.0", "new") for part in range(4)), 12))
def test_a_migration_killed_at_any_statement_is_run_again(tmp_path: Path, part: int, name: str) -> None:
    path = tmp_path / "journal.db"
    before = None if name == "new" else records(of_format(path, name))
    copies = killed_at_each_statement(path, lambda: opened(path).close_now())
    assert len(copies) >= 12
    for killed in copies[part::4]:
        if before is not None:
            assert records(killed) == before, "whoever looks meanwhile"
        opened(killed).close_now()
        assert said(killed) == HEAD, killed
        assert verify(str(killed)).ok
        assert before is None or records(killed) == before, killed
        assert tables(killed) == tables(path)


def test_a_step_that_is_committed_by_itself_is_found(tmp_path: Path) -> None:
    """The sabotaged twin: with a commit in between, a kill leaves what is neither the one nor the other."""
    path = of_format(tmp_path / "journal.db", "1: 0.1.0")

    def make() -> None:
        def commit(_connection: Connection, cursor: sqlite3.Cursor, statement: str, *_: object) -> None:
            if statement.startswith("ALTER TABLE seal"):
                cursor.execute("COMMIT")
                cursor.execute("BEGIN")

        event.listen(Engine, "before_cursor_execute", commit)
        try:
            opened(path).close_now()
        finally:
            event.remove(Engine, "before_cursor_execute", commit)

    half = killed_at_each_statement(path, make)
    assert any(said_half(killed) for killed in half)


def said_half(path: Path) -> bool:
    """Whether it has some of the new columns, and says that it is old."""
    with closing(sqlite3.connect(path)) as file:
        columns = {row[1] for row in file.execute("PRAGMA table_info(event)")}
        (number,), = file.execute("SELECT value FROM meta WHERE key = 'schema'").fetchall()
        return "sig" in columns and number == "1"


# --- what says another thing than it is -------------------------------------------------------------------------------


NEWER = ["UPDATE meta SET value = '4' WHERE key = 'schema'", "UPDATE alembic_version SET version_num = '0004'",
         "UPDATE alembic_version SET version_num = '9999'", "INSERT INTO alembic_version VALUES ('0004')"]


STEPS = ["ALTER TABLE event ADD COLUMN next TEXT", "CREATE TABLE next (id INTEGER PRIMARY KEY)",
         "ALTER TABLE cursor RENAME COLUMN moved_at_ms TO at_ms"]


@pytest.mark.parametrize(("newer", "step"), sampled(product(NEWER, STEPS), 4))
def test_one_of_a_newer_version_is_refused_in_one_line_and_left_as_it_is(
    tmp_path: Path, newer: str, step: str,
) -> None:
    path = changed(tmp_path, f"{newer}; {step}")
    before = path.read_bytes()
    for attempt in (opened, lambda path: Reader(str(path))):
        with pytest.raises(JournalError, match=r"written by a newer vigil \(schema .*, this one knows 3\)") as refused:
            attempt(path)
        assert "\n" not in str(refused.value)
    assert path.read_bytes() == before


def test_each_step_changes_the_tables_so_they_tell_what_a_store_is() -> None:
    for folder, head in ((schema.STEPS, schema.HEAD), (database.STEPS, database.HEAD)):
        found = migrating.shapes(folder)
        assert len(set(found)) == len(found) == int(head)


def held(path: Path, edge: str = EDGE) -> Journal:
    return Journal.open(str(path), edge=edge, boot="b9", wall=lambda: "w", holds=True)


@pytest.mark.parametrize("name", sampled(((name,) for name in FORMATS), 2))
async def test_one_that_says_it_is_newer_and_is_none_is_damaged_and_the_edge_watches(tmp_path: Path, name: str) -> None:
    """A bit of its number is flipped: the tables are those of a version that we know."""
    path = of_format(tmp_path / "journal.db", name)
    with closing(sqlite3.connect(path)) as file:
        file.executescript("UPDATE meta SET value = '7' WHERE key = 'schema'")
    journal = held(path)
    begun = journal.taken_begun()
    assert begun is not None
    assert begun.damage == f"its table 'meta' says schema 7, its tables are those of schema {FORMATS[name][0]}"
    assert path.with_name("journal.db.damaged-1").exists()
    assert begun.checkpoint.event_seq == journal.head.seq > 0, "nothing of it is lost"
    assert journal.snapshots()
    await journal.close()
    assert verify(str(path)).ok


async def test_another_edges_record_that_is_damaged_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    path = changed(tmp_path, "UPDATE meta SET value = '7' WHERE key = 'schema'")
    before = records_of(path)
    for _ in range(2):  # the lock is let go
        with pytest.raises(JournalError, match=r"belongs to edge '.*', not to 'north'"):
            held(path, "north")
    assert records_of(path) == before


def records_of(path: Path) -> list[str]:
    with closing(sqlite3.connect(path)) as file:
        return list(file.iterdump())


def test_what_alembics_own_table_alone_says_is_put_right(tmp_path: Path) -> None:
    for newer in NEWER[1:]:
        path = changed(tmp_path, newer)
        opened(path).close_now()
        assert said(path) == HEAD
        path.unlink()


@pytest.mark.parametrize("nonsense", sampled(((each,) for each in (
    "UPDATE alembic_version SET version_num = 'nonsense'", "UPDATE alembic_version SET version_num = '0001'",
    f"UPDATE alembic_version SET version_num = '{'9' * 5000}'", "UPDATE alembic_version SET version_num = x'ff00'",
    "DELETE FROM alembic_version", "INSERT INTO alembic_version VALUES ('0001')",
    "DROP TABLE alembic_version; CREATE TABLE alembic_version (other INTEGER)")), 4))
def test_nonsense_in_alembics_own_table_stops_nobody_and_is_put_right(tmp_path: Path, nonsense: str) -> None:
    """`meta` says what it is: 0.1.0 looks there, too."""
    path = changed(tmp_path, nonsense)
    before, verdict = records(path), verify(str(path))
    opened(path).close_now()
    assert (records(path), verify(str(path)), said(path)) == (before, verdict, HEAD)


def changed(folder: Path, script: str) -> Path:
    path = of_format(folder / "journal.db", "3: by alembic")
    with closing(sqlite3.connect(path)) as file:
        file.executescript(script)
    return path


@pytest.mark.parametrize("older", sampled([(1,), (2,)], 2))
async def test_one_that_says_it_is_older_than_it_is_is_kept_aside_and_gone_on_from(tmp_path: Path, older: int) -> None:
    path = changed(tmp_path, f"UPDATE meta SET value = '{older}' WHERE key = 'schema'")
    events, inputs, _ = records(path)
    journal = Journal.open(str(path), edge=EDGE, boot="b2", wall=lambda: "now", holds=True)
    begun = journal.taken_begun()
    assert begun is not None
    assert (begun.checkpoint.event_seq, begun.checkpoint.last_n) == (len(events), len(inputs))
    assert journal.record("chair-1", 2e9, Tick()) == len(inputs) + 1
    await journal.close()
    assert verify(str(path)).ok
    assert said(path) == HEAD
