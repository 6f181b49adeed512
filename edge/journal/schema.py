"""The journal's tables, what makes them append-only, and how an older journal becomes a newer one.

Portable between SQLite and PostgreSQL: times are integer milliseconds since 1970 UTC of the edge clock, JSON is TEXT.
`input`, `checkpoint`, `event` and `segment` are append-only by trigger (an input that is packed leaves its table for
`segment`); `snapshot` is a cache; `cursor` moves forward.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Select,
    Table,
    Text,
    insert,
    inspect,
    null,
    select,
    update,
)

from edge import points
from edge.journal import postgres
from edge.journal.chain import FIRST, Base

# SQLite's STRICT tables know INTEGER, not BIGINT; and only INTEGER becomes the row id itself.
BIG = BigInteger().with_variant(Integer(), "sqlite")
TABLES = MetaData()


def _table(name: str, *columns: Column[int] | Column[str] | Column[bytes]) -> Table:
    # STRICT: an integer column holds integers and nothing else, so a row has exactly one written form.
    return Table(name, TABLES, *columns, sqlite_strict=True)


def _key(name: str) -> Column[int]:
    return Column(name, BIG, primary_key=True, autoincrement=False)


def _number(name: str) -> Column[int]:
    return Column(name, BIG, nullable=False)


def _text(name: str, *, nullable: bool = False) -> Column[str]:
    return Column(name, Text, nullable=nullable)


META = _table("meta", Column("key", Text, primary_key=True), _text("value"))

INPUT = _table(
    "input", _key("n"), _text("boot"), _text("bed", nullable=True), _number("at_ms"), _text("kind"), _text("body"))

# One row a commit: over the inputs first_n..last_n (none when last_n < first_n) and the events' head at that commit.
CHECKPOINT = _table(
    "seal", _key("id"), _number("first_n"), _number("last_n"), _number("event_seq"), _text("event_hash"),
    _text("prev"), _text("hash"), _text("sig", nullable=True))

EVENT = _table(
    "event", _key("seq"), _text("boot"), _text("edge"), _text("bed", nullable=True), _text("session", nullable=True),
    _number("at_ms"), _text("wall"), _text("kind"), _text("body"), _text("prev"), _text("hash"),
    _text("sig", nullable=True))

# Inputs that were packed (edge.journal.segments): those of the checkpoints first_id..last_id, of which the last stays.
SEGMENT = _table(
    "segment", _key("first_n"), _number("last_n"), _number("first_id"), _number("last_id"), _number("at_ms"),
    Column("body", LargeBinary))
Index("segment_by_checkpoint", SEGMENT.c.first_id)

SNAPSHOT = _table(
    "snapshot", Column("bed", Text, primary_key=True), _key("n"), _number("at_ms"),
    Column("body", LargeBinary, nullable=False), _text("hash"), _text("sig", nullable=True))

# `event_hash` is that of the event at `seq`: a cursor that does not fit it would silently skip events.
CURSOR = _table(
    "cursor", Column("console", Text, primary_key=True), _number("seq"), _text("event_hash"), _number("moved_at_ms"))

APPEND_ONLY = (INPUT, CHECKPOINT, EVENT)
SIGNED = (EVENT, CHECKPOINT, SNAPSHOT)
SIGNED_SINCE = 2
SEGMENTS_SINCE = 3
VERSION = "journal schema"  # under this key a connection's `info` says which version it reads,
BASE = "journal base"  # and under this one what its record goes on from (chain.Base); under the same key in META


def _create(connection: Connection) -> None:
    """All tables as they are now, and triggers that refuse to change what was written. It was version 1."""
    TABLES.create_all(connection, checkfirst=False)
    if connection.dialect.name == "postgresql":
        postgres.guard(connection, APPEND_ONLY)
        return
    for table in APPEND_ONLY:
        for verb in ("UPDATE", "DELETE"):
            connection.exec_driver_sql(
                f"CREATE TRIGGER {table.name}_no_{verb.lower()} BEFORE {verb} ON {table.name} "
                "BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END")


def _add_signatures(connection: Connection) -> None:
    """Version 2: events, checkpoints and snapshots carry the edge's signature over their hash."""
    for table in SIGNED:
        if "sig" not in {column["name"] for column in inspect(connection).get_columns(table.name)}:
            connection.exec_driver_sql(f"ALTER TABLE {table.name} ADD COLUMN sig TEXT")


def _pack_inputs(connection: Connection) -> None:
    """Version 3: inputs can be packed into segments, and only what is in one may leave its table. And META may say that
    the record goes on after a checkpoint of another one (BASE)."""
    if not inspect(connection).has_table(SEGMENT.name):
        TABLES.create_all(connection, tables=[SEGMENT])
    leaving = (INPUT, "n", "first_n", "last_n >= OLD.n"), (CHECKPOINT, "id", "first_id", "last_id > OLD.id")
    if connection.dialect.name == "postgresql":
        postgres.guard_packed(connection, leaving)
        return
    for table, key, first, covers in leaving:
        connection.exec_driver_sql(f"DROP TRIGGER {table.name}_no_delete")
        connection.exec_driver_sql(
            f"CREATE TRIGGER {table.name}_no_delete BEFORE DELETE ON {table.name} WHEN NOT coalesce((SELECT {covers}"
            f" FROM segment WHERE {first} <= OLD.{key} ORDER BY {first} DESC LIMIT 1), 0)"
            " BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END")
    connection.exec_driver_sql(
        "CREATE TRIGGER segment_no_delete BEFORE DELETE ON segment"
        " BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END")
    connection.exec_driver_sql(
        "CREATE TRIGGER segment_no_update BEFORE UPDATE ON segment WHEN NEW.body IS NOT NULL OR"
        " (NEW.first_n, NEW.last_n, NEW.first_id, NEW.last_id, NEW.at_ms)"
        " IS NOT (OLD.first_n, OLD.last_n, OLD.first_id, OLD.last_id, OLD.at_ms)"
        " BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END")


def stored(connection: Connection, table: Table) -> Select[Any]:
    """The rows of `table` as this journal has them: one of 0.1.0 has no signatures, and `sig` is null."""
    if table in SIGNED and connection.info.get(VERSION, version()) < SIGNED_SINCE:
        return select(*(column for column in table.c if column.name != "sig"), null().label("sig"))
    return select(table)


# MIGRATIONS[v] makes version v + 1 out of version v. One that was released is never edited; a new one is appended.
MIGRATIONS: tuple[Callable[[Connection], None], ...] = (_create, _add_signatures, _pack_inputs)


def version() -> int:
    """The schema version this program writes."""
    return len(MIGRATIONS)


def migrate(connection: Connection, found: int, edge: str, base: Base = FIRST) -> None:
    """From version `found` (0: nothing there; then it goes on from `base`) to `version()`. The caller's transaction
    makes it all or nothing."""
    for step in MIGRATIONS[found:]:
        step(connection)
        points.reached("migration")
    if found == 0:
        connection.execute(insert(META), [{"key": "schema", "value": str(version())}, {"key": "edge", "value": edge}])
        if base != FIRST:
            connection.execute(insert(META).values(key=BASE, value=msgspec.json.encode(base).decode()))
        connection.info[BASE] = base
    else:
        connection.execute(update(META).where(META.c.key == "schema").values(value=str(version())))
    connection.info[VERSION] = version()
