"""How a store's tables are brought along: by alembic, whose steps are the files of one folder, oldest first.

A step that was released is never edited: what is wrong in it is put right by the next. All that one start has to do is
done in the caller's transaction, so a process that is killed on the way leaves what was there before. Each step changes
the tables: a store that says it is newer than any, and has the tables of a step that there is, was damaged (`step_of`).
"""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, create_engine, inspect

if TYPE_CHECKING:
    from alembic.migration import MigrationContext
    from alembic.runtime.migration import MigrationStep

log = logging.getLogger(__name__)
TABLE = "alembic_version"  # where alembic keeps the revision a database is at
_ONE_AT_A_TIME = threading.Lock()  # alembic's `op` is one for the whole process


def _nothing() -> None:
    """After a step."""


def revisions(connection: Connection) -> list[str]:
    """What the database says it is at: one revision; several or nonsense where it was changed by hand; none where
    alembic was never there. Raises sqlalchemy.exc.DBAPIError."""
    if not inspect(connection).has_table(TABLE):
        return []
    rows = connection.exec_driver_sql(f"SELECT * FROM {TABLE} LIMIT 9").all()
    return [str(said) for row in rows for said in row]


def number(revision: str) -> int | None:
    """The number a revision of ours is; None: it is none of any version's."""
    return int(revision) if re.fullmatch(r"[0-9]{1,9}", revision) else None


Shape = frozenset[tuple[str, str]]  # of a database: table and column


def shape_of(connection: Connection) -> Shape:
    """Its tables, but alembic's own. Raises sqlalchemy.exc.DBAPIError."""
    found = inspect(connection)
    return frozenset((table, column["name"]) for table in found.get_table_names() if table != TABLE
                     for column in found.get_columns(table))


def shapes(folder: Path) -> list[Shape]:
    """What the tables are after each step of `folder`."""
    found: list[Shape] = []
    made = create_engine("sqlite://")
    with made.begin() as connection:
        upgrade(connection, folder, None, lambda: found.append(shape_of(connection)))
    made.dispose()
    return found


def step_of(connection: Connection, folder: Path) -> int | None:
    """The number of the step whose tables these are, whatever they say; None: they are of none that is known here."""
    shape = shape_of(connection)
    return next((number for number, known in enumerate(shapes(folder), 1) if known == shape), None)


def upgrade(connection: Connection, folder: Path, found: str | None, each: Callable[[], None] = _nothing) -> None:
    """Runs the steps of `folder` that come after revision `found` (None: all), and `each` after each of them. Where the
    database says that it is at another, that is put right. Raises sqlalchemy.exc.DBAPIError."""
    # alembic alone takes a third of a second, and is needed only on the first start of a version
    from alembic.migration import MigrationContext
    from alembic.operations import Operations
    from alembic.runtime.migration import MigrationStep
    from alembic.script import ScriptDirectory

    logging.getLogger("alembic").setLevel(logging.WARNING)  # a dozen lines of its plugins; the one below tells it all
    steps = ScriptDirectory(str(folder))

    def after(heads: tuple[str, ...], _: MigrationContext) -> Iterable[MigrationStep]:
        coming = [*steps.iterate_revisions("head", heads or "base")]
        return [MigrationStep.upgrade_from_script(steps.revision_map, step) for step in reversed(coming)]

    def applied(**_: Any) -> None:
        each()

    with _ONE_AT_A_TIME:
        if revisions(connection) != [found]:
            connection.exec_driver_sql(f"DROP TABLE IF EXISTS {TABLE}")
        context = MigrationContext.configure(connection, opts={"fn": after, "on_version_apply": (applied,)})
        if found is not None and not context.get_current_heads():
            context.stamp(steps, found)
        with Operations.context(context):
            context.run_migrations()
        log.info("the tables are brought along from step %s to %s", found or "0000", *context.get_current_heads())
