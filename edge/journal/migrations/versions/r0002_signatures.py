"""Events, checkpoints and snapshots carry the edge's signature over their hash; those that are there have none."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """No row is written anew."""
    for table in ("event", "seal", "snapshot"):
        op.add_column(table, sa.Column("sig", sa.Text))
