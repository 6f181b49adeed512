"""Who did what through this console, refusals included; never a patient's name."""

from __future__ import annotations

from typing import Any

import msgspec
from sqlalchemy import Connection, insert, select

from edge.console.tables import audit


def add(
    connection: Connection, at_s: float, user: str, what: str, edge: str | None = None, bed: str | None = None, /,
    **detail: Any,
) -> None:
    """Adds one line. `at_s` is this console's time; `detail` must be JSON."""
    connection.execute(insert(audit).values(
        at_s=at_s, user=user[:64], what=what, edge=edge, bed=bed, detail=msgspec.json.encode(detail)))


def lines(connection: Connection) -> list[tuple[str, str, str | None, dict[str, Any]]]:
    """All lines, oldest first: user, what, bed, detail."""
    found = select(audit.c.user, audit.c.what, audit.c.bed, audit.c.detail).order_by(audit.c.n)
    return [(row.user, row.what, row.bed, msgspec.json.decode(row.detail)) for row in connection.execute(found)]
