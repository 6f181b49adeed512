"""The tables of Vigil 0.1.0. A console.db of that release is taken to be at this step.

That release had SQLite alone, whose integers are of 64 bits; on PostgreSQL the same is BIGINT.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Makes the tables as 0.1.0 made them."""
    text, real, number = sa.String, sa.Float, sa.Integer().with_variant(sa.BigInteger(), "postgresql")
    op.create_table(
        "accounts", sa.Column("name", text, primary_key=True), sa.Column("role", text, nullable=False),
        sa.Column("hash", text, nullable=False), sa.Column("made_at_s", real, nullable=False))
    op.create_table(
        "web_sessions", sa.Column("token_hash", text, primary_key=True), sa.Column("name", text, nullable=False),
        sa.Column("csrf", text, nullable=False), sa.Column("made_at_s", real, nullable=False),
        sa.Column("expires_s", real, nullable=False), sa.Column("revoked", sa.Boolean, nullable=False))
    op.create_table(
        "patients", sa.Column("session", text, primary_key=True), sa.Column("bed", text, nullable=False),
        sa.Column("name", text, nullable=False), sa.Column("made_at_s", real, nullable=False))
    op.create_table(
        "events", sa.Column("edge", text, primary_key=True),
        sa.Column("seq", number, primary_key=True, autoincrement=False), sa.Column("boot", text, nullable=False),
        sa.Column("bed", text), sa.Column("session", text), sa.Column("at_s", real, nullable=False),
        sa.Column("kind", text, nullable=False), sa.Column("prev", text, nullable=False),
        sa.Column("hash", text, nullable=False), sa.Column("json", sa.LargeBinary, nullable=False))
    op.create_index("events_by_bed", "events", ["edge", "bed", "seq"])
    op.create_table(
        "edges", sa.Column("edge", text, primary_key=True), sa.Column("seq", number, nullable=False),
        sa.Column("hash", text, nullable=False), sa.Column("boot", text, nullable=False),
        sa.Column("sounded_seq", number, nullable=False))
    op.create_table(
        "refused_events", sa.Column("n", number, primary_key=True), sa.Column("edge", text, nullable=False),
        sa.Column("seq", number, nullable=False), sa.Column("hash", text, nullable=False),
        sa.Column("why", text, nullable=False), sa.Column("at_s", real, nullable=False),
        sa.Column("json", sa.LargeBinary, nullable=False))
    op.create_index("refused_once", "refused_events", ["edge", "seq", "hash", "why"], unique=True)
    op.create_table(
        "vitals", sa.Column("bed", text, primary_key=True), sa.Column("at_s", real, primary_key=True),
        sa.Column("numerics", sa.LargeBinary, nullable=False))
    op.create_table(
        "determinations", sa.Column("bed", text, primary_key=True), sa.Column("at_s", real, primary_key=True),
        sa.Column("sbp_mmhg", real), sa.Column("dbp_mmhg", real), sa.Column("map_mmhg", real),
        sa.Column("nibp_pulse_bpm", real))
    op.create_table(
        "audit", sa.Column("n", number, primary_key=True), sa.Column("at_s", real, nullable=False),
        sa.Column("user", text, nullable=False), sa.Column("what", text, nullable=False), sa.Column("bed", text),
        sa.Column("detail", sa.LargeBinary, nullable=False))
