"""The tables of a new SQLite store without alembic: hundreds of tests begin with one, and each of alembic's runs takes
as long as many of these tests.

The first new store of a process is made by alembic, and what it has written is kept; each later one is written so
again, statement by statement, in the same transaction. A store that is brought along from an older one, one in
PostgreSQL, and steps of a test's own are alembic's each time; so are those of every process that a test starts.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, event

from edge import migrating

MAKERS = ("edge.journal.schema", "edge.console.database")  # whose steps are kept, and who calls for them
STEP = ""  # stands where a step is done
_Written = list[tuple[str, Any]]  # statements with their parameters
_made: dict[Path, _Written] = {}
_alembic = migrating.upgrade


def install() -> None:
    """For the stores that this process knows by now."""
    for name in MAKERS:
        if (maker := sys.modules.get(name)) is not None:
            maker.upgrade = _upgrade  # type: ignore[attr-defined]


def _upgrade(connection: Connection, folder: Path, found: str | None, each: Callable[[], None] = lambda: None) -> None:
    ours = {getattr(sys.modules.get(name), "STEPS", None) for name in MAKERS}
    is_new_file = found is None and connection.dialect.name == "sqlite" and not migrating.revisions(connection)
    if not is_new_file or folder not in ours:
        _alembic(connection, folder, found, each)
    elif folder in _made:
        for statement, parameters in _made[folder]:
            if statement == STEP:
                each()
            else:
                connection.exec_driver_sql(statement, parameters or None).close()
        migrating.log.info("the tables are brought along from step 0000 to %s", *migrating.revisions(connection))
    else:
        _made[folder] = _watched(connection, folder, each)


def _watched(connection: Connection, folder: Path, each: Callable[[], None]) -> _Written:
    """What alembic writes."""
    written: _Written = []

    def heard(_: Connection, _cursor: object, statement: str, parameters: Any, *_more: object) -> None:
        if not statement.lstrip().upper().startswith(("SELECT", "PRAGMA")):
            written.append((statement, parameters))

    def done() -> None:
        written.append((STEP, None))
        each()

    event.listen(connection, "before_cursor_execute", heard)
    try:
        _alembic(connection, folder, None, done)
    finally:
        event.remove(connection, "before_cursor_execute", heard)
    return written
