"""Rows that nothing else vouches for get a checksum beside them (edge.console.sums); those that are there have none."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Null: stored before there were sums."""
    for name in ("accounts", "patients", "vitals", "determinations"):
        op.add_column(name, sa.Column("sum", sa.BigInteger().with_variant(sa.Integer(), "sqlite")))
