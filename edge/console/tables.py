"""The console's tables. A change here is a step in `migrations/versions`; a test compares the two."""

from __future__ import annotations

from sqlalchemy import Boolean, Column, Float, Index, Integer, LargeBinary, MetaData, String, Table

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
    Column("seen_s", Float, nullable=False, server_default="0"),  # when a page of it was last on the live feed
)

patients = Table(
    "patients", metadata,
    Column("session", String, primary_key=True),
    Column("bed", String, nullable=False),
    Column("name", String, nullable=False),
    Column("made_at_s", Float, nullable=False),
    Column("edge", String, nullable=False, server_default=""),
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
    Column("sig", String),  # the edge's signature over `hash`; null: stored by 0.1.0, which had none
    Index("events_by_bed", "edge", "bed", "seq"),
)

edges = Table(
    "edges", metadata,
    Column("edge", String, primary_key=True),
    Column("seq", Integer, nullable=False),  # stored up to here without a gap
    Column("hash", String, nullable=False),  # of that event
    Column("boot", String, nullable=False),  # of that event
    Column("sounded_seq", Integer, nullable=False),
    Column("memory", LargeBinary),  # JSON: what of it was believed last, edge.contract.freshness.Memory
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
    Column("edge", String, primary_key=True),
    Column("bed", String, primary_key=True),
    Column("at_s", Float, primary_key=True),
    Column("numerics", LargeBinary, nullable=False),  # JSON: metric -> value, only what was valid and not stale
)

determinations = Table(
    "determinations", metadata,
    Column("edge", String, primary_key=True),
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
    Column("edge", String),
)
