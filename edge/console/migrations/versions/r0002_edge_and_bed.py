"""A bed is (edge, bed); an event carries its signature; a web session knows when its page was last seen."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

# 0.1.0 served one edge, and wrote its name on the events alone. Where it was told another edge later, the trends and
# names belong to the one heard last. A file without one event has none: '' is no edge's name.
THE_EDGE = ("COALESCE((SELECT edge FROM events WHERE edge NOT LIKE '%#%' ORDER BY at_s DESC LIMIT 1),"
            " (SELECT edge FROM edges LIMIT 1), '')")


def upgrade() -> None:
    """Every row is brought along."""
    op.add_column("web_sessions", sa.Column("seen_s", sa.Float, nullable=False, server_default="0"))
    op.add_column("events", sa.Column("sig", sa.String))
    op.add_column("edges", sa.Column("memory", sa.LargeBinary))
    op.add_column("audit", sa.Column("edge", sa.String))
    op.execute(f"UPDATE audit SET edge = {THE_EDGE} WHERE bed IS NOT NULL")
    op.add_column("patients", sa.Column("edge", sa.String, nullable=False, server_default=""))
    op.execute(f"UPDATE patients SET edge = {THE_EDGE}")
    numbers = [sa.Column(name, sa.Float) for name in ("sbp_mmhg", "dbp_mmhg", "map_mmhg", "nibp_pulse_bpm")]
    _with_edge("determinations", numbers)
    _with_edge("vitals", [sa.Column("numerics", sa.LargeBinary, nullable=False)])


def _with_edge(table: str, columns: list[sa.Column[object]]) -> None:
    """The table again with `edge` first in its key: SQLite cannot change a primary key."""
    names = ", ".join(["bed", "at_s", *(column.name for column in columns)])
    op.create_table(
        f"{table}_new", sa.Column("edge", sa.String, primary_key=True), sa.Column("bed", sa.String, primary_key=True),
        sa.Column("at_s", sa.Float, primary_key=True), *columns)
    op.execute(f"INSERT INTO {table}_new (edge, {names}) SELECT {THE_EDGE}, {names} FROM {table}")
    op.drop_table(table)
    op.rename_table(f"{table}_new", table)
