"""INSERT as both databases have it, with ON CONFLICT; and who writes an edge's events, one console at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import Connection, Table, func, select
from sqlalchemy.dialects import postgresql, sqlite

if TYPE_CHECKING:
    Insert = sqlite.Insert | postgresql.Insert

EVENTS = 1986619245  # the first number of the lock on an edge's events; the second is made of the edge's name
AUDIT = 1986619246


def insert(connection: Connection, table: Table) -> Insert:
    """Into `table` of the database that `connection` leads to."""
    return postgresql.insert(table) if connection.dialect.name == "postgresql" else sqlite.insert(table)


def alone(connection: Connection, what: int, name: str) -> None:
    """Whatever is read and written from here to the transaction's end, no other console changes meanwhile. A file has
    one console anyway."""
    if connection.dialect.name == "postgresql":
        key = func.hashtext(func.concat(func.current_schema(), " ", name))
        connection.execute(select(func.pg_advisory_xact_lock(what, key)))
