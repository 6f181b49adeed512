"""The journal's tables as they are now. How an older journal becomes a newer one: `migrations/versions`.

Portable between SQLite and PostgreSQL: times are integer milliseconds since 1970 UTC of the edge clock, JSON is TEXT.
`input`, `checkpoint`, `event` and `segment` are append-only by trigger (an input that is packed leaves its table for
`segment`); `snapshot` is a cache; `cursor` moves forward.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
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
from edge.journal.chain import FIRST, Base
from edge.migrating import upgrade

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

HEAD = "0003"  # the newest step in migrations/versions
STEPS = Path(__file__).parent / "migrations"
SIGNED = (EVENT, CHECKPOINT, SNAPSHOT)
SIGNED_SINCE = 2
SEGMENTS_SINCE = 3
RECORD = frozenset(table.name for table in (INPUT, CHECKPOINT, EVENT, SNAPSHOT, CURSOR))  # every version has them
VERSION = "journal schema"  # under this key a connection's `info` says which version it reads,
IN_STEP = "journal in step"  # under this one whether alembic's own table says the same version,
BASE = "journal base"  # and under this one what its record goes on from (chain.Base); under the same key in META


def stored(connection: Connection, table: Table) -> Select[Any]:
    """The rows of `table` as this journal has them: one of 0.1.0 has no signatures, and `sig` is null."""
    if table in SIGNED and connection.info.get(VERSION, version()) < SIGNED_SINCE:
        return select(*(column for column in table.c if column.name != "sig"), null().label("sig"))
    return select(table)


def version() -> int:
    """The schema version this program writes, a number that a program of any age finds in META: alembic's revision."""
    return int(HEAD)


def revision(found: int) -> str:
    """Alembic's name for schema version `found`."""
    return f"{found:04}"


def seen(connection: Connection, tables: Collection[str]) -> int:
    """The version that `tables`, which are there, are of."""
    if SEGMENT.name in tables:
        return SEGMENTS_SINCE
    columns = inspect(connection).get_columns(EVENT.name) if EVENT.name in tables else []
    return SIGNED_SINCE if any(column["name"] == "sig" for column in columns) else 1


def migrate(connection: Connection, found: int, edge: str, base: Base = FIRST) -> None:
    """From version `found` (0: nothing there; then it goes on from `base`) to `version()`. The caller's transaction
    makes it all or nothing. Raises sqlalchemy.exc.DBAPIError."""
    upgrade(connection, STEPS, revision(found) if found else None, lambda: points.reached("migration"))
    if found == 0:
        connection.execute(insert(META), [{"key": "schema", "value": str(version())}, {"key": "edge", "value": edge}])
        if base != FIRST:
            connection.execute(insert(META).values(key=BASE, value=msgspec.json.encode(base).decode()))
        connection.info[BASE] = base
    else:
        connection.execute(update(META).where(META.c.key == "schema").values(value=str(version())))
    connection.info[VERSION] = version()
