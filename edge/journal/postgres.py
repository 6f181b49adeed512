"""A journal in PostgreSQL: what is different there. It lives in the schema that the address leads to, `public` by
itself (`?options=-csearch_path%3Dclinic1` names another), one journal a schema.

A damaged journal is kept aside whole: in one transaction its tables move into a schema beside it, `public_damaged_1`,
and the new one is made.
"""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import Connection, Table, inspect, text
from sqlalchemy.exc import DBAPIError

LOCKED = "SELECT pg_advisory_lock(1986619244, hashtext(current_schema()))"  # 'vigl'; until the session ends
DAMAGED_STATES = frozenset({"XX001", "XX002", "42P01", "42703"})  # corrupted data, index; no such table, column
NO_LOCK = "55P03"
MOMENT = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"


def state_of(fault: DBAPIError) -> str:
    """The five letters that say what it is; "" where there are none (the connection itself failed)."""
    return getattr(fault.orig, "sqlstate", None) or ""


def lock(connection: Connection) -> bool:
    """Keep every other writer of this journal out while the connection lives. False: there is one. The session of an
    edge that ended a moment ago is waited for."""
    try:
        connection.exec_driver_sql(LOCKED)
    except DBAPIError as fault:
        if state_of(fault) == NO_LOCK:
            return False
        raise
    return True


def guard(connection: Connection, tables: Iterable[Table]) -> None:
    """`tables` take no change: the schema's version 1."""
    connection.exec_driver_sql(
        "CREATE FUNCTION journal_append_only() RETURNS trigger LANGUAGE plpgsql AS "
        "'BEGIN RAISE EXCEPTION ''the journal is append-only''; END'")
    for table in tables:
        connection.exec_driver_sql(
            f"CREATE TRIGGER {table.name}_append_only BEFORE UPDATE OR DELETE ON {table.name} "
            "FOR EACH ROW EXECUTE FUNCTION journal_append_only()")


def guard_packed(connection: Connection, leaving: Iterable[tuple[Table, str, str, str]]) -> None:
    """What is in a segment may leave its table, and a segment may lose its body: the schema's version 3. Of `leaving`:
    the table, its key, the segment's column for the first of them, and what of the segment covers row OLD."""
    for table, key, first, covers in leaving:
        connection.exec_driver_sql(f"DROP TRIGGER {table.name}_append_only ON {table.name}")
        connection.exec_driver_sql(
            f"CREATE FUNCTION journal_{table.name}_packed() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN"
            f" IF TG_OP = ''DELETE'' AND coalesce((SELECT {covers} FROM segment WHERE {first} <= OLD.{key}"
            f" ORDER BY {first} DESC LIMIT 1), false) THEN RETURN OLD; END IF;"
            " RAISE EXCEPTION ''the journal is append-only''; END'")
        connection.exec_driver_sql(
            f"CREATE TRIGGER {table.name}_append_only BEFORE UPDATE OR DELETE ON {table.name}"
            f" FOR EACH ROW EXECUTE FUNCTION journal_{table.name}_packed()")
    connection.exec_driver_sql(
        "CREATE TRIGGER segment_no_delete BEFORE DELETE ON segment FOR EACH ROW EXECUTE FUNCTION journal_append_only()")
    connection.exec_driver_sql(
        "CREATE TRIGGER segment_no_update BEFORE UPDATE ON segment FOR EACH ROW WHEN (NEW.body IS NOT NULL OR"
        " (NEW.first_n, NEW.last_n, NEW.first_id, NEW.last_id, NEW.at_ms)"
        " IS DISTINCT FROM (OLD.first_n, OLD.last_n, OLD.first_id, OLD.last_id, OLD.at_ms))"
        " EXECUTE FUNCTION journal_append_only()")
    for name in ("input", "seal", "event", "segment"):  # a TRUNCATE passes by every trigger of a row
        connection.exec_driver_sql(
            f"CREATE TRIGGER {name}_no_truncate BEFORE TRUNCATE ON {name} EXECUTE FUNCTION journal_append_only()")


def bytes_of(connection: Connection, tables: Iterable[Table]) -> int:
    """What the tables take on the server's disk, with their indexes."""
    there = set(inspect(connection).get_table_names())
    sizes = (connection.execute(text("SELECT pg_total_relation_size(CAST(:name AS regclass))"), {"name": table.name})
             for table in tables if table.name in there)
    return sum(int(size.scalar_one()) for size in sizes)


def set_aside(connection: Connection) -> str:
    """Move everything of the journal into a new schema beside this one, whose name it returns. Part of the caller's
    transaction."""
    here = str(connection.exec_driver_sql("SELECT current_schema()").scalar_one())
    inspector = inspect(connection)
    schemas = set(inspector.get_schema_names())
    number = next(n for n in range(1, len(schemas) + 2) if f"{here}_damaged_{n}" not in schemas)
    quote = connection.dialect.identifier_preparer.quote
    aside = f"{here}_damaged_{number}"
    connection.exec_driver_sql(f"CREATE SCHEMA {quote(aside)}")
    for table in inspector.get_table_names():
        connection.exec_driver_sql(f"ALTER TABLE {quote(table)} SET SCHEMA {quote(aside)}")
    functions = text("SELECT proname FROM pg_proc WHERE pronamespace = CAST(:here AS regnamespace)"
                     " AND proname LIKE 'journal\\_%'")
    for name in connection.execute(functions, {"here": quote(here)}).scalars().all():
        connection.exec_driver_sql(f"ALTER FUNCTION {quote(name)}() SET SCHEMA {quote(aside)}")
    return aside
