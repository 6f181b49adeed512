"""A journal or a console's store from one database into another, row by row: a backup of a server's is a file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import (
    Connection,
    Row,
    Table,
    create_engine,
    func,
    inspect,
    literal,
    make_url,
    select,
    text,
)
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.pool import NullPool

from edge.aside import tells_damage
from edge.console import tables
from edge.console.database import HEAD, NoStore, SchemaTooNew, shown_place, words_of
from edge.console.store import Store
from edge.journal import schema
from edge.journal.database import DatabaseUrl, identity, writing
from edge.journal.reader import Reader, moment
from edge.migrating import TABLE
from edge.postgres import NoDriver, engine, one_moment
from edge.process import BadUsage

ROWS = 1000  # read and written at a time


def copy_journal(source: str, target: str) -> None:
    """All of it as of one moment, into a place where there is no journal. Raises BadUsage, JournalError."""
    place = DatabaseUrl(target)
    with Reader(source) as reader:
        if reader.version != schema.version():
            raise BadUsage(f"{reader.place}: it is of an older version; start the edge once with it")
        with (closing(writing(place)) as into, reader.place.translating_errors(), moment(reader.connection),
              place.translating_errors(), into.begin()):
            if identity(place, into) != (0, ""):
                raise BadUsage(f"{place}: there is a journal already; give a database that is empty")
            schema.migrate(into, 0, reader.edge, reader.base)
            for table in schema.TABLES.sorted_tables:
                if table is not schema.META:
                    _copy(reader.connection, into, table)


def copy_console(source: Path | str, target: Path | str) -> None:
    """The same with a console's store. Raises BadUsage."""
    try:
        with reading_store(source) as out, closing(Store(target)) as kept:
            kept.now(_fill, out, shown_place(target))
    except DBAPIError as fault:
        words = f"cannot be copied to {shown_place(target)} ({words_of(fault)})"
        raise BadUsage(f"{shown_place(source)}: {words}") from None
    except (SchemaTooNew, NoStore) as fault:
        raise BadUsage(str(fault)) from None


def console_hashes(place: Path | str, edge: str) -> list[tuple[int, str, bytes]]:
    """Number, hash and JSON of every event of `edge` that a console has stored. Raises sqlalchemy.exc.DBAPIError,
    BadUsage."""
    events = tables.events
    with reading_store(place) as connection:
        found = select(events.c.seq, events.c.hash, events.c.json).where(events.c.edge == edge).order_by(events.c.seq)
        return [(row.seq, row.hash, row.json) for row in connection.execute(found)]


def holds_something(place: str) -> bool:
    """Whether a database on a server has any row: a copy that was cut short leaves empty tables. Raises BadUsage."""
    try:
        with reading_store(place) as connection:
            return any(connection.execute(select(literal(1)).select_from(text(f'"{name}"')).limit(1)).first()
                       for name in inspect(connection).get_table_names() if name != TABLE)
    except DBAPIError as fault:
        raise BadUsage(f"{shown_place(place)}: cannot be used ({words_of(fault)})") from None


def is_copy(source: Path, target: str) -> bool:
    """Whether a console's store on a server is what is in `source`, row by row. Raises BadUsage."""
    try:
        with reading_store(source) as ours, reading_store(target) as there:
            return all(_rows(ours, each) == _rows(there, each) for each in tables.metadata.sorted_tables)
    except DBAPIError:
        return False


def _rows(connection: Connection, of: Table) -> list[Row[Any]]:
    return sorted(connection.execute(select(of)).all(), key=repr)


@contextmanager
def reading_store(place: Path | str) -> Iterator[Connection]:
    """What is read is of one moment. Raises BadUsage, sqlalchemy.exc.DBAPIError."""
    try:
        opened = (tells_damage(create_engine(f"sqlite:///file:{place}?mode=ro&uri=true", poolclass=NullPool))
                  if isinstance(place, Path) else engine(make_url(place), "vigil backup", read_only=True))
    except (ArgumentError, ValueError, NoDriver) as wrong:
        why = wrong if isinstance(wrong, NoDriver) else "it is no address of a database"
        raise BadUsage(f"{shown_place(place)}: {why}") from None
    with opened.connect() as connection:
        one_moment(connection)
        yield connection


def _fill(into: Connection, out: Connection, shown: str) -> None:
    if (found := out.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()) != HEAD:
        raise BadUsage(f"the console's store is at schema {found}, this vigil's is {HEAD}: start the console once with"
                       " it")
    for table in tables.metadata.sorted_tables:
        if into.execute(select(func.count()).select_from(table)).scalar_one():
            raise BadUsage(f"{shown}: there is a console's store already; give a database that is empty")
        _copy(out, into, table)
        number = table.autoincrement_column
        if number is not None and into.dialect.name == "postgresql":  # it counts on from what was copied
            into.execute(text("SELECT setval(pg_get_serial_sequence(:name, :key), (SELECT coalesce(max(n), 0) + 1 FROM"
                              f" {table.name}), false)"), {"name": table.name, "key": number.name})


def _copy(out: Connection, into: Connection, table: Table) -> None:
    rows = out.execute(select(table).execution_options(stream_results=True)).mappings()
    for part in rows.partitions(ROWS):
        into.execute(table.insert(), [dict(row) for row in part])
