"""console.db through its migrations: what 0.1.0 stored is all there, and no crash on the way loses any of it."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, event
from sqlalchemy.engine import Engine

from edge.console import audit, database, events, history, patients
from edge.console.store import Store
from edge.console.tables import metadata
from tests.helpers.console_server import served
from tests.helpers.parts import sampled

OLD = Path(__file__).parent / "golden" / "console-0.1.0.sql"
EDGE, BED = "demo", "chair-1"


def old_file(folder: Path) -> Path:
    """A console.db as 0.1.0 left it."""
    path = folder / "console.db"
    with closing(sqlite3.connect(path)) as file:
        file.executescript(OLD.read_text())
    return path


def rows(path: Path, columns: str) -> list[tuple[object, ...]]:
    table = columns.rpartition(" FROM ")[2]
    with closing(sqlite3.connect(path)) as file:
        return file.execute(f"SELECT {columns} ORDER BY 1, 2 /* {table} */").fetchall()


KEPT = [  # what 0.1.0 had, column by column
    "name, role, hash, made_at_s FROM accounts",
    "token_hash, name, csrf, made_at_s, expires_s, revoked FROM web_sessions",
    "session, bed, name, made_at_s FROM patients",
    "edge, seq, boot, bed, session, at_s, kind, prev, hash, json FROM events",
    "edge, seq, hash, boot, sounded_seq FROM edges", "n, edge, seq, hash, why, at_s, json FROM refused_events",
    "bed, at_s, numerics FROM vitals", "bed, at_s, sbp_mmhg, dbp_mmhg, map_mmhg, nibp_pulse_bpm FROM determinations",
    "n, at_s, user, what, bed, detail FROM audit",
]


def test_what_0_1_0_stored_is_all_there_and_belongs_to_its_edge(tmp_path: Path) -> None:
    path = old_file(tmp_path)
    before = {columns: rows(path, columns) for columns in KEPT}
    assert [len(found) for found in before.values()] == [2, 1, 1, 14, 1, 0, 40, 6, 5]
    store = Store(path)
    assert {columns: rows(path, columns) for columns in KEPT} == before
    moments, cuffs = store.now(history.rows_since, EDGE, BED, 0.0)
    assert (len(moments), len(cuffs)) == (40, 6)
    assert store.now(patients.names) == {"dd4e34a3b0f54deb855bc8a99576238a": "Ada Example"}
    assert store.now(events.cursor_of, EDGE).seq == 14
    assert len(store.now(audit.lines)) == 5
    assert rows(path, "DISTINCT edge, bed FROM audit") == [(None, None), (EDGE, BED)]
    assert rows(path, "edge, session FROM patients")[0][0] == EDGE
    store.close()
    Store(path).close()  # and it opens again


async def test_what_0_1_0_stored_is_read_over_http_while_its_edge_says_nothing(tmp_path: Path) -> None:
    old_file(tmp_path)
    async with served(tmp_path, edges=("clinic-1", EDGE)) as home:
        await home.login()
        found = await home.http.get(f"/api/edges/{EDGE}/beds/{BED}/events")
        assert [row["kind"] for row in found.json()][:2] == ["dissociation", "check_in"]
        assert len(found.json()) == 12
        assert (await home.http.get(f"/api/edges/{EDGE}/beds/{BED}/history")).status_code == 200
        assert (await home.http.get(f"/api/edges/{EDGE}/beds/chair-77/events")).status_code == 404


def test_a_new_file_walks_the_same_steps_and_has_the_tables_the_code_knows(tmp_path: Path) -> None:
    for path in (tmp_path / "new.db", old_file(tmp_path)):
        store = Store(path)

        def differences(connection: Connection) -> list[object]:
            return list(compare_metadata(MigrationContext.configure(connection), metadata))

        assert store.now(differences) == []
        store.close()


def test_the_newest_step_is_the_one_the_code_expects() -> None:
    scripts = ScriptDirectory(str(Path(database.__file__).parent / "migrations"))
    assert scripts.get_heads() == [database.HEAD]


@pytest.mark.parametrize("part", sampled(((part,) for part in range(4)), 4))
def test_a_migration_killed_at_any_statement_is_run_again(tmp_path: Path, part: int) -> None:
    """Before each statement the files are copied, as a killed process leaves them; each copy then opens whole."""
    path = old_file(tmp_path)
    before = {columns: rows(path, columns) for columns in KEPT}
    copies: list[Path] = []

    def copy(connection: Connection, cursor: object, statement: str, *_: object) -> None:
        if not statement.startswith(("SELECT", "PRAGMA")):
            folder = tmp_path / f"killed-{len(copies)}"
            folder.mkdir()
            for file in tmp_path.glob("console.db*"):
                shutil.copy(file, folder / file.name)
            copies.append(folder / "console.db")

    event.listen(Engine, "before_cursor_execute", copy)
    try:
        Store(path).close()
    finally:
        event.remove(Engine, "before_cursor_execute", copy)
    assert len(copies) > 15
    for killed in copies[part::4]:
        Store(killed).close()
        assert {columns: rows(killed, columns) for columns in KEPT} == before, killed


@pytest.mark.parametrize("newer", [
    "UPDATE alembic_version SET version_num = '9999'", "DROP TABLE alembic_version; PRAGMA user_version = 3"])
def test_a_file_of_a_later_version_is_refused_in_one_line_and_left_as_it_is(tmp_path: Path, newer: str) -> None:
    path = tmp_path / "console.db"
    Store(path).close()
    with closing(sqlite3.connect(path)) as file:
        file.executescript(f"{newer}; ALTER TABLE events ADD COLUMN next")
    before = path.read_bytes()
    with pytest.raises(database.SchemaTooNew, match="written by a later version of Vigil") as refused:
        Store(path)
    assert "\n" not in str(refused.value)
    assert path.read_bytes() == before


def test_a_file_that_says_it_is_newer_and_is_none_is_damaged_and_the_console_serves(tmp_path: Path) -> None:
    """A bit of its number is flipped: the tables are those of a version that we know."""
    path = tmp_path / "console.db"
    Store(path).close()
    with closing(sqlite3.connect(path)) as file:
        file.executescript("UPDATE alembic_version SET version_num = '0084'")
    with pytest.raises(database.StoreDamaged, match="it says schema 84, its tables are those of schema 4"):
        Store(path)
    store = Store(path, serves=lambda: 1.0)
    assert [kept.name for kept in store.aside] == ["console.db.damaged-1"]
    store.close()


@pytest.mark.parametrize("other", ["TABLE account (name TEXT)", "TABLE alembic_version (version_num TEXT)"])
def test_another_database_is_refused_in_one_line_and_left_as_it_is(tmp_path: Path, other: str) -> None:
    path = tmp_path / "console.db"
    with closing(sqlite3.connect(path)) as file:
        file.executescript(f"PRAGMA journal_mode=WAL; CREATE {other}")
    before = path.read_bytes()
    with pytest.raises(database.NoStore, match="is not a console's store: it is a database with other tables"):
        Store(path)
    assert path.read_bytes() == before


@pytest.mark.parametrize("nonsense", sampled(((each,) for each in (
    "UPDATE alembic_version SET version_num = 'nonsense'", "DELETE FROM alembic_version", "DROP TABLE alembic_version",
    "INSERT INTO alembic_version VALUES ('0001')")), 2))
def test_nonsense_where_its_version_should_be_is_damage_and_it_goes_on_in_a_new_one(
        tmp_path: Path, nonsense: str) -> None:
    path = old_file(tmp_path)
    Store(path).close()
    with closing(sqlite3.connect(path)) as file:
        file.executescript(nonsense)
    with pytest.raises(database.StoreDamaged, match=r"its table alembic_version says .*, which no version wrote"):
        Store(path)
    store = Store(path, serves=lambda: 2e9)
    assert [kept.name for kept in store.aside] == ["console.db.damaged-1"]
    assert store.now(patients.names) == {"dd4e34a3b0f54deb855bc8a99576238a": "Ada Example"}
    assert len(store.now(audit.lines)) == 6
    store.close()


def test_0_1_0_refuses_the_file_once_it_is_migrated(tmp_path: Path) -> None:
    path = old_file(tmp_path)
    Store(path).close()
    assert rows(path, "user_version, 1 FROM pragma_user_version")[0][0] == 2, "0.1.0 knows 1 and opens nothing above"
