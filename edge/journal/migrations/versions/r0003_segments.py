"""Inputs can be packed into segments, and only what is in one may leave its table.

From here on `meta` may also say what the record goes on from (edge.journal.chain.Base); an older program refuses it.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

# a table, its key, the segment's column for the first of them, and what of the segment covers row OLD
LEAVING = (("input", "n", "first_n", "last_n >= OLD.n"), ("seal", "id", "first_id", "last_id > OLD.id"))
FIXED = ("first_n", "last_n", "first_id", "last_id", "at_ms")


def upgrade() -> None:
    """No row is written anew: inputs are packed later, by the writer."""
    number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        "segment", sa.Column("first_n", number, primary_key=True, autoincrement=False),
        *(sa.Column(name, number, nullable=False) for name in FIXED[1:]), sa.Column("body", sa.LargeBinary),
        sqlite_strict=True)
    op.create_index("segment_by_checkpoint", "segment", ["first_id"])
    if op.get_bind().dialect.name == "postgresql":
        _guard_on_server()
    else:
        _guard_in_file()


def _changed(differ: str) -> str:
    """A segment may lose its body, and nothing else."""
    new, old = (", ".join(f"{row}.{name}" for name in FIXED) for row in ("NEW", "OLD"))
    return f"NEW.body IS NOT NULL OR ({new}) {differ} ({old})"


def _guard_in_file() -> None:
    refuse = "BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END"
    for table, key, first, covers in LEAVING:
        op.execute(f"DROP TRIGGER IF EXISTS {table}_no_delete")
        op.execute(
            f"CREATE TRIGGER {table}_no_delete BEFORE DELETE ON {table} WHEN NOT coalesce((SELECT {covers}"
            f" FROM segment WHERE {first} <= OLD.{key} ORDER BY {first} DESC LIMIT 1), 0) {refuse}")
    op.execute(f"CREATE TRIGGER segment_no_delete BEFORE DELETE ON segment {refuse}")
    op.execute(f"CREATE TRIGGER segment_no_update BEFORE UPDATE ON segment WHEN {_changed('IS NOT')} {refuse}")


def _guard_on_server() -> None:
    refuse = "EXECUTE FUNCTION journal_append_only()"
    for table, key, first, covers in LEAVING:
        op.execute(f"DROP TRIGGER IF EXISTS {table}_append_only ON {table}")
        op.execute(
            f"CREATE FUNCTION journal_{table}_packed() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN"
            f" IF TG_OP = ''DELETE'' AND coalesce((SELECT {covers} FROM segment WHERE {first} <= OLD.{key}"
            f" ORDER BY {first} DESC LIMIT 1), false) THEN RETURN OLD; END IF;"
            " RAISE EXCEPTION ''the journal is append-only''; END'")
        op.execute(f"CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE ON {table}"
                   f" FOR EACH ROW EXECUTE FUNCTION journal_{table}_packed()")
    op.execute(f"CREATE TRIGGER segment_no_delete BEFORE DELETE ON segment FOR EACH ROW {refuse}")
    op.execute("CREATE TRIGGER segment_no_update BEFORE UPDATE ON segment FOR EACH ROW WHEN"
               f" ({_changed('IS DISTINCT FROM')}) {refuse}")
    for name in ("input", "seal", "event", "segment"):  # a TRUNCATE passes by every trigger of a row
        op.execute(f"CREATE TRIGGER {name}_no_truncate BEFORE TRUNCATE ON {name} {refuse}")
