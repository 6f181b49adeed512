"""How the console's store is opened, a SQLite file or a PostgreSQL database: whole transactions, the newest schema."""

from __future__ import annotations

import re
from contextlib import ExitStack
from pathlib import Path

from sqlalchemy import URL, Connection, Engine, create_engine, event, inspect, make_url
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.pool import ConnectionPoolEntry, StaticPool

from edge.aside import CUT_SHORT, finish, left_of, make_private, tells_damage
from edge.console import damage
from edge.console.tables import metadata
from edge.console.upsert import alone
from edge.migrating import TABLE, number, revisions, step_of, upgrade
from edge.postgres import NoDriver, engine, masked, shown_address

HEAD = "0004"  # the newest step in migrations/versions
STEPS = Path(__file__).parent / "migrations"
OF_0_1_0 = "0001"  # what a file of 0.1.0 is at, though it does not say so
USER_VERSION = 2  # 0.1.0 refuses a file with a higher one than its own 1
MIGRATING = 1986619247  # the first number of the lock under which one console at a time brings the tables along


class SchemaTooNew(RuntimeError):
    """The store was written by a later version."""


class NoStore(RuntimeError):
    """There can be no store at this address; one line."""


class StoreDamaged(NoStore):
    """The file is not what was written; `what` is wrong with it."""

    def __init__(self, path: Path, what: str) -> None:
        super().__init__(f"{shown_place(path)}: is damaged ({what}); start the console: it keeps the file aside and"
                         " goes on in a new one")
        self.what = what


def place_of(address: str) -> Path | str:
    """A file's path, from a path or `sqlite:///path`; a server's address as it is."""
    file = re.sub(r"^sqlite(\+\w+)?:///", "", address)
    return file if "://" in file else Path(file)


def shown_place(place: Path | str) -> str:
    """As a person may see it."""
    return shown_address(str(place))


def words_of(fault: DBAPIError) -> str:
    """What the database said, in one line."""
    return next(iter(masked(str(fault.orig)).strip().splitlines()), type(fault.orig).__name__)


def open_engine(place: Path | str) -> Engine:
    """The engine of the one connection that this console writes through; makes folder and tables, brings older ones
    along. Raises SchemaTooNew, NoStore, sqlalchemy.exc.DBAPIError."""
    if isinstance(place, Path):
        finish(place)
        if what := CUT_SHORT if left_of(place) != place else damage.damage_of(place):
            raise StoreDamaged(place, what)
    opened = _file(place) if isinstance(place, Path) else _server(place)
    with ExitStack() as undo:
        undo.callback(opened.dispose)
        with opened.begin() as connection:
            migrate(connection, place)
        undo.pop_all()
    return opened


def _server(address: str) -> Engine:
    try:
        url = make_url(address)
        return engine(url, "vigil console", keeps=True)
    except (ArgumentError, ValueError, NoDriver) as wrong:
        why = wrong if isinstance(wrong, NoDriver) else "it is no address of a database"
        raise NoStore(f"{shown_address(address)}: {why}") from None


def _file(path: Path) -> Engine:
    """One connection alone: SQLite before 3.51.3 can corrupt a WAL that two connections write and checkpoint
    (sqlite.org/wal.html, "The WAL-reset bug"). FULL: at NORMAL a power cut takes committed events with it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    make_private(path)
    url = URL.create("sqlite", database=str(path))
    opened = tells_damage(create_engine(url, poolclass=StaticPool, connect_args={"check_same_thread": False}))

    @event.listens_for(opened, "connect")
    def _prepare(connection: DBAPIConnection, _: ConnectionPoolEntry) -> None:
        connection.isolation_level = None  # sqlite3 would leave CREATE and DROP outside of transactions
        cursor = connection.cursor()
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "busy_timeout=5000", "foreign_keys=ON"):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(opened, "begin")
    def _begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN")

    return opened


def probe(connection: Connection) -> None:
    """Writes what is there already. Raises sqlalchemy.exc.DBAPIError where nothing can be written."""
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql(f"PRAGMA user_version = {USER_VERSION}")
    else:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = version_num")


def migrate(connection: Connection, place: Path | str) -> None:
    """Brings the store to HEAD inside the caller's transaction: killed half-way, it is what it was. Raises
    SchemaTooNew, NoStore.

    A new one walks the same steps from nothing.
    """
    alone(connection, MIGRATING, "")
    found = _revision(connection, place)
    if found == HEAD:
        return
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql("SET LOCAL statement_timeout = 0")
    upgrade(connection, STEPS, found)
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql(f"PRAGMA user_version = {USER_VERSION}")


def _revision(connection: Connection, place: Path | str) -> str | None:
    """The step the store is at; None: nothing is there."""
    shown, tables = shown_place(place), set(inspect(connection).get_table_names())
    said = revisions(connection)
    if tables and (not tables & set(metadata.tables) or (not said and not isinstance(place, Path))):
        raise NoStore(f"{shown}: is not a console's store: it is a database with other tables ({min(tables)}, ...);"
                      " give the console a database or a schema of its own")
    if not tables:
        return None
    file = connection.exec_driver_sql("PRAGMA user_version").scalar_one() if isinstance(place, Path) else 0
    newest = max(number(step) or 0 for step in [*said, ""])
    if newest > int(HEAD) or file > USER_VERSION:
        newer = f"schema {newest}" if newest > int(HEAD) else f"user_version {file}"
        if isinstance(place, Path) and (step := step_of(connection, STEPS)):
            raise StoreDamaged(place, f"it says {newer}, its tables are those of schema {step}")
        raise SchemaTooNew(f"{shown}: written by a later version of Vigil ({newer}; this one knows {HEAD}); start that"
                           " version, or give this one another data folder or database")
    if not said and file < USER_VERSION:
        return OF_0_1_0
    if said == [f"{newest:04}"] and newest:
        return said[0]
    what = f"its table {TABLE} says {', '.join(said)[:40] or 'nothing'}, which no version wrote"
    raise StoreDamaged(place, what) if isinstance(place, Path) else NoStore(f"{shown}: {what}; restore a backup")
