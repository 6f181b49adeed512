"""The tables of Vigil 0.1.0, and the triggers that refuse to change what was written."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

APPEND_ONLY = ("input", "seal", "event")


def upgrade() -> None:
    """Makes the tables as 0.1.0 made them: STRICT, so that each row has exactly one written form."""
    number, text = sa.BigInteger().with_variant(sa.Integer(), "sqlite"), sa.Text()

    def key(name: str) -> sa.Column[Any]:
        return sa.Column(name, number, primary_key=True, autoincrement=False)

    def filled(kind: Any, *names: str) -> list[sa.Column[Any]]:
        return [sa.Column(name, kind, nullable=False) for name in names]

    tables: dict[str, list[sa.Column[Any]]] = {
        "meta": [sa.Column("key", text, primary_key=True), *filled(text, "value")],
        "input": [key("n"), *filled(text, "boot"), sa.Column("bed", text), *filled(number, "at_ms"),
                  *filled(text, "kind", "body")],
        "seal": [key("id"), *filled(number, "first_n", "last_n", "event_seq"),
                 *filled(text, "event_hash", "prev", "hash")],
        "event": [key("seq"), *filled(text, "boot", "edge"), sa.Column("bed", text), sa.Column("session", text),
                  *filled(number, "at_ms"), *filled(text, "wall", "kind", "body", "prev", "hash")],
        "snapshot": [sa.Column("bed", text, primary_key=True), key("n"), *filled(number, "at_ms"),
                     sa.Column("body", sa.LargeBinary, nullable=False), *filled(text, "hash")],
        "cursor": [sa.Column("console", text, primary_key=True), *filled(number, "seq"), *filled(text, "event_hash"),
                   *filled(number, "moved_at_ms")],
    }
    for name, columns in tables.items():
        op.create_table(name, *columns, sqlite_strict=True)
    if op.get_bind().dialect.name == "postgresql":
        op.execute("CREATE FUNCTION journal_append_only() RETURNS trigger LANGUAGE plpgsql AS "
                   "'BEGIN RAISE EXCEPTION ''the journal is append-only''; END'")
        for table in APPEND_ONLY:
            op.execute(f"CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE ON {table} "
                       "FOR EACH ROW EXECUTE FUNCTION journal_append_only()")
        return
    for table in APPEND_ONLY:
        for verb in ("UPDATE", "DELETE"):
            op.execute(f"CREATE TRIGGER {table}_no_{verb.lower()} BEFORE {verb} ON {table} "
                       "BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END")
