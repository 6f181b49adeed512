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
# Corrupted data, index; no such table, column; one that a step was to make is there already (or a trigger, function).
DAMAGED_STATES = frozenset({"XX001", "XX002", "42P01", "42703", "42P07", "42701", "42710", "42723"})
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


def bytes_of(connection: Connection, tables: Iterable[Table]) -> int:
    """What the tables take on the server's disk, with their indexes."""
    there = set(inspect(connection).get_table_names())
    sizes = (connection.execute(text("SELECT pg_total_relation_size(CAST(:name AS regclass))"), {"name": table.name})
             for table in tables if table.name in there)
    return sum(int(size.scalar_one()) for size in sizes)


def in_options(schema: str) -> str:
    """A schema's name as the search path in a connection's options: quoted, and what ends a word there escaped
    (postgresql.org/docs/15/libpq-connect.html, "options")."""
    quoted = '"' + schema.replace('"', '""') + '"'
    return "".join(f"\\{each}" if each.isspace() or each == "\\" else each for each in quoted)


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
