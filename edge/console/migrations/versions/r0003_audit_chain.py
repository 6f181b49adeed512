"""Each line of the audit is chained to the one before; those that are there already, from here on."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from edge.console.audit import line_hash  # stored hashes depend on it: it never changes
from edge.contract.events import GENESIS

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Every line is kept, and numbered from 1: the chain shows it where one is missing."""
    for name in ("prev", "hash"):
        op.add_column("audit", sa.Column(name, sa.String, nullable=False, server_default=""))
    table = sa.table("audit", *(sa.column(name) for name in (
        "n", "at_s", "user", "what", "edge", "bed", "detail", "prev", "hash")))
    connection = op.get_bind()
    prev = GENESIS
    for n, row in enumerate(connection.execute(sa.select(table).order_by(table.c.n)).all(), 1):
        digest = line_hash(n, row.at_s, row.user, row.what, row.edge, row.bed, bytes(row.detail), prev)
        connection.execute(sa.update(table).where(table.c.n == row.n).values(n=n, prev=prev, hash=digest))
        prev = digest
