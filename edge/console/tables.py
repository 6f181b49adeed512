"""The console's tables, and how its SQLite file is opened."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import (
    URL,
    Boolean,
    Column,
    Connection,
    Engine,
    Float,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    create_engine,
    event,
)
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.pool import ConnectionPoolEntry, StaticPool

SCHEMA = 1

metadata = MetaData()

accounts = Table(
    "accounts", metadata,
    Column("name", String, primary_key=True),
    Column("role", String, nullable=False),
    Column("hash", String, nullable=False),
    Column("made_at_s", Float, nullable=False),
)

web_sessions = Table(
    "web_sessions", metadata,
    Column("token_hash", String, primary_key=True),  # SHA-256: a stolen file opens no session
    Column("name", String, nullable=False),
    Column("csrf", String, nullable=False),
    Column("made_at_s", Float, nullable=False),
    Column("expires_s", Float, nullable=False),
    Column("revoked", Boolean, nullable=False, default=False),
)

patients = Table(
    "patients", metadata,
    Column("session", String, primary_key=True),
    Column("bed", String, nullable=False),
    Column("name", String, nullable=False),
    Column("made_at_s", Float, nullable=False),
)

events = Table(
    "events", metadata,
    Column("edge", String, primary_key=True),
    Column("seq", Integer, primary_key=True, autoincrement=False),
    Column("boot", String, nullable=False),
    Column("bed", String),
    Column("session", String),
    Column("at_s", Float, nullable=False),
    Column("kind", String, nullable=False),
    Column("prev", String, nullable=False),
    Column("hash", String, nullable=False),
    Column("json", LargeBinary, nullable=False),
    Index("events_by_bed", "edge", "bed", "seq"),
)

edges = Table(
    "edges", metadata,
    Column("edge", String, primary_key=True),
    Column("seq", Integer, nullable=False),  # stored up to here without a gap
    Column("hash", String, nullable=False),  # of that event
    Column("boot", String, nullable=False),  # of that event
    Column("sounded_seq", Integer, nullable=False),
)

refused_events = Table(
    "refused_events", metadata,
    Column("n", Integer, primary_key=True),
    Column("edge", String, nullable=False),
    Column("seq", Integer, nullable=False),
    Column("hash", String, nullable=False),
    Column("why", String, nullable=False),
    Column("at_s", Float, nullable=False),
    Column("json", LargeBinary, nullable=False),
    Index("refused_once", "edge", "seq", "hash", "why", unique=True),
)

vitals = Table(
    "vitals", metadata,
    Column("bed", String, primary_key=True),
    Column("at_s", Float, primary_key=True),
    Column("numerics", LargeBinary, nullable=False),  # JSON: metric -> value, only what was valid and not stale
)

determinations = Table(
    "determinations", metadata,
    Column("bed", String, primary_key=True),
    Column("at_s", Float, primary_key=True),
    Column("sbp_mmhg", Float),
    Column("dbp_mmhg", Float),
    Column("map_mmhg", Float),
    Column("nibp_pulse_bpm", Float),
)

audit = Table(
    "audit", metadata,
    Column("n", Integer, primary_key=True),
    Column("at_s", Float, nullable=False),
    Column("user", String, nullable=False),
    Column("what", String, nullable=False),
    Column("bed", String),
    Column("detail", LargeBinary, nullable=False),  # JSON, never a patient's name
)


class SchemaTooNew(RuntimeError):
    """The file was written by a later version."""


def open_engine(path: Path) -> Engine:
    """The engine of the one connection that ever writes to `path`; creates folder and tables. Raises SchemaTooNew.

    One connection alone: SQLite before 3.51.3 can corrupt a WAL that two connections write and checkpoint
   . FULL: at NORMAL a power cut takes committed events with it (0.4).
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    url = URL.create("sqlite", database=str(path))
    engine = create_engine(url, poolclass=StaticPool, connect_args={"check_same_thread": False})

    @event.listens_for(engine, "connect")
    def _pragmas(connection: DBAPIConnection, _: ConnectionPoolEntry) -> None:
        cursor = connection.cursor()
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "busy_timeout=5000", "foreign_keys=ON"):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    with engine.begin() as connection:
        _ensure_schema(connection, path)
    path.chmod(0o600)
    return engine


def probe(connection: Connection) -> None:
    """Writes what is there already. Raises sqlalchemy.exc.DBAPIError where nothing can be written."""
    connection.exec_driver_sql(f"PRAGMA user_version = {SCHEMA}")


def _ensure_schema(connection: Connection, path: Path) -> None:
    found = connection.exec_driver_sql("PRAGMA user_version").scalar_one()
    if found > SCHEMA:
        raise SchemaTooNew(f"{path}: written by a later version (schema {found}, this one knows {SCHEMA})")
    metadata.create_all(connection)
    connection.exec_driver_sql(f"PRAGMA user_version = {SCHEMA}")
