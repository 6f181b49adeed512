"""Who lies behind a session id: the only place where a patient has a name."""

from __future__ import annotations

from sqlalchemy import Connection, delete, select

from edge.console.tables import patients
from edge.console.upsert import insert


def name_session(connection: Connection, session: str, edge: str, bed: str, name: str, at_s: float) -> None:
    """Remembers `name` (or initials) for `session`."""
    row = insert(connection, patients).values(session=session, edge=edge, bed=bed, name=name, made_at_s=at_s)
    connection.execute(row.on_conflict_do_update(index_elements=["session"], set_={"name": name}))


def forget_session(connection: Connection, session: str) -> None:
    """The session was never opened."""
    connection.execute(delete(patients).where(patients.c.session == session))


def names(connection: Connection) -> dict[str, str]:
    """Session id to name, all of them."""
    return {row.session: row.name for row in connection.execute(select(patients.c.session, patients.c.name))}
