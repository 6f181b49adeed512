"""Who lies behind a session id: the only place where a patient has a name."""

from __future__ import annotations

from sqlalchemy import Connection, delete, select

from edge.console import sums
from edge.console.tables import patients
from edge.console.upsert import insert


def name_session(connection: Connection, session: str, edge: str, bed: str, name: str, at_s: float) -> None:
    """Remembers `name` (or initials) for `session`."""
    said = sums.summed(patients, {"session": session, "edge": edge, "bed": bed, "name": name})
    row = insert(connection, patients).values(**said, made_at_s=at_s)
    connection.execute(row.on_conflict_do_update(index_elements=["session"], set_=said))


def forget_session(connection: Connection, session: str) -> None:
    """The session was never opened."""
    connection.execute(delete(patients).where(patients.c.session == session))


def names(connection: Connection) -> dict[str, str]:
    """Session id to name, all of them that are as they were stored: a wrong name is worse than none."""
    rows = connection.execute(select(patients)).mappings()
    return {row["session"]: row["name"] for row in rows if sums.is_sound(patients, row)}
