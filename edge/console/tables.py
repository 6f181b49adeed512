"""The console's tables. A change here is a step in `migrations/versions`; a test compares the two."""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Dialect,
    Float,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    TypeDecorator,
)

metadata = MetaData()
BIG = Integer().with_variant(BigInteger(), "postgresql")  # SQLite's integers are as large by themselves


class Words(TypeDecorator[str]):
    """Text, also of people and strangers: PostgreSQL's cannot hold the character 0."""

    impl = String
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> Any:
        """As it is stored and looked for."""
        return value.replace("\0", "\ufffd") if isinstance(value, str) and dialect.name == "postgresql" else value


# `sum` is over the row (edge.console.sums); null: stored before there were sums.
accounts = Table(
    "accounts", metadata,
    Column("name", Words, primary_key=True),
    Column("role", Words, nullable=False),
    Column("hash", Words, nullable=False),
    Column("made_at_s", Float, nullable=False),
    Column("sum", BIG),
)

web_sessions = Table(
    "web_sessions", metadata,
    Column("token_hash", Words, primary_key=True),  # SHA-256: a stolen file opens no session
    Column("name", Words, nullable=False),
    Column("csrf", Words, nullable=False),
    Column("made_at_s", Float, nullable=False),
    Column("expires_s", Float, nullable=False),
    Column("revoked", Boolean, nullable=False, default=False),
    Column("seen_s", Float, nullable=False, server_default="0"),  # when a page of it was last on the live feed
)

patients = Table(
    "patients", metadata,
    Column("session", Words, primary_key=True),
    Column("bed", Words, nullable=False),
    Column("name", Words, nullable=False),
    Column("made_at_s", Float, nullable=False),
    Column("edge", Words, nullable=False, server_default=""),
    Column("sum", BIG),
)

events = Table(
    "events", metadata,
    Column("edge", Words, primary_key=True),
    Column("seq", BIG, primary_key=True, autoincrement=False),
    Column("boot", Words, nullable=False),
    Column("bed", Words),
    Column("session", Words),
    Column("at_s", Float, nullable=False),
    Column("kind", Words, nullable=False),
    Column("prev", Words, nullable=False),
    Column("hash", Words, nullable=False),
    Column("json", LargeBinary, nullable=False),
    Column("sig", Words),  # the edge's signature over `hash`; null: stored by 0.1.0, which had none
    Index("events_by_bed", "edge", "bed", "seq"),
)

edges = Table(
    "edges", metadata,
    Column("edge", Words, primary_key=True),
    Column("seq", BIG, nullable=False),  # stored up to here without a gap
    Column("hash", Words, nullable=False),  # of that event
    Column("boot", Words, nullable=False),  # of that event
    Column("sounded_seq", BIG, nullable=False),
    Column("memory", LargeBinary),  # JSON: what of it was believed last, edge.contract.freshness.Memory
)

refused_events = Table(
    "refused_events", metadata,
    Column("n", BIG, primary_key=True),
    Column("edge", Words, nullable=False),
    Column("seq", BIG, nullable=False),
    Column("hash", Words, nullable=False),
    Column("why", Words, nullable=False),
    Column("at_s", Float, nullable=False),
    Column("json", LargeBinary, nullable=False),
    Index("refused_once", "edge", "seq", "hash", "why", unique=True),
)

vitals = Table(
    "vitals", metadata,
    Column("edge", Words, primary_key=True),
    Column("bed", Words, primary_key=True),
    Column("at_s", Float, primary_key=True),
    Column("numerics", LargeBinary, nullable=False),  # JSON: metric -> value, only what was valid and not stale
    Column("sum", BIG),
)

determinations = Table(
    "determinations", metadata,
    Column("edge", Words, primary_key=True),
    Column("bed", Words, primary_key=True),
    Column("at_s", Float, primary_key=True),
    Column("sbp_mmhg", Float),
    Column("dbp_mmhg", Float),
    Column("map_mmhg", Float),
    Column("nibp_pulse_bpm", Float),
    Column("sum", BIG),
)

audit = Table(
    "audit", metadata,
    Column("n", BIG, primary_key=True),
    Column("at_s", Float, nullable=False),
    Column("user", Words, nullable=False),
    Column("what", Words, nullable=False),
    Column("bed", Words),
    Column("detail", LargeBinary, nullable=False),  # JSON, never a patient's name
    Column("edge", Words),
    Column("prev", Words, nullable=False, server_default=""),
    Column("hash", Words, nullable=False, server_default=""),  # over the line and `prev` (edge.console.audit)
)
