"""A damaged database file is kept aside whole, and a new one takes its place; so does a copy of one that was removed
while it was written. Each step is a rename, so that a start can finish what was cut short.

    x.db.part     the new one while it is made
    x.db.new-1    the same, whole, and not yet in its place
    x.db.damaged-1 (and -wal)    the damaged one, as it was
"""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

from sqlalchemy import Engine, ExceptionContext, event
from sqlalchemy.engine.interfaces import DBAPICursor
from sqlalchemy.exc import DatabaseError

from edge import points

ENDS = ("", "-wal")
TEXT_BYTES = 4096
NOT_IN_TEXT = frozenset(range(32)) - frozenset(b"\r\n\t")


def free_number(path: Path) -> int:
    """The next one kept aside."""
    there = (found.name.rpartition("-")[2] for kind in ("damaged", "new")
             for found in path.parent.glob(f"{path.name}.{kind}-*"))
    return 1 + max((int(number) for number in there if number.isdecimal()), default=0)


def kept_as(path: Path, number: int) -> Path:
    """What the damaged one is then called."""
    return path.with_name(f"{path.name}.damaged-{number}")


def kept(path: Path) -> list[Path]:
    """Those that are kept aside, the oldest first."""
    there = (found for found in path.parent.glob(f"{path.name}.damaged-*")
             if found.name.rpartition("-")[2].isdecimal())
    return sorted(there, key=lambda found: int(found.name.rpartition("-")[2]))


def new_part(path: Path) -> Path:
    """Where the new one is made; nothing is there. Raises OSError."""
    part = path.with_name(f"{path.name}.part")
    for end in (*ENDS, "-shm"):
        Path(f"{part}{end}").unlink(missing_ok=True)
    return part


def put_in_place(path: Path, part: Path, number: int) -> None:
    """The new one, which is whole and closed, takes the place of the one at `path`. Raises OSError."""
    points.reached("quarantine")
    to_disk(part)
    part.rename(path.with_name(f"{path.name}.new-{number}"))
    finish(path)


def finish(path: Path) -> None:
    """The same where it was cut short, at a start. Raises OSError."""
    for new in path.parent.glob(f"{path.name}.new-*"):
        aside = path.with_name(new.name.replace(".new-", ".damaged-"))
        for end in ENDS:
            old, kept_old = Path(f"{path}{end}"), Path(f"{aside}{end}")
            if old.exists() and not kept_old.exists():
                points.reached("quarantine")
                old.rename(kept_old)
        Path(f"{path}-shm").unlink(missing_ok=True)
        points.reached("quarantine")
        new.rename(path)
        points.reached("quarantine")
        to_disk(path.parent)


def put_back(cursor: DBAPICursor, path: Path) -> None:
    """A file that was removed, renamed or replaced while it is open: SQLite goes on writing into it without an error,
    and whoever closes it loses it. All that `cursor` sees is put into a file at `path`; what is there now is kept
    aside. Where it is cut short the next start finishes it, once the copy is whole. Raises OSError, sqlite3.Error."""
    part = new_part(path)
    try:
        cursor.execute("VACUUM INTO ?", (str(part),))
    except sqlite3.Error:
        part.unlink(missing_ok=True)  # a full disk is not to stay full of it
        raise
    if not path.exists():
        for end in ("-wal", "-shm"):  # of the one that was removed
            Path(f"{path}{end}").unlink(missing_ok=True)
    put_in_place(path, part, free_number(path))


def tells_damage(engine: Engine) -> Engine:
    """What SQLite says of a damaged schema holds bytes of it, and Python's sqlite3 raises UnicodeDecodeError over them:
    from here on it is sqlalchemy.exc.DatabaseError, as of any damaged file. The same engine."""
    event.listen(engine, "handle_error", _as_damage)
    return engine


def _as_damage(context: ExceptionContext) -> DatabaseError | None:
    if not isinstance(context.original_exception, UnicodeDecodeError):
        return None
    fault = sqlite3.DatabaseError("malformed database schema: what it says is no text")
    fault.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
    return DatabaseError(context.statement, None, fault)


def is_text(path: Path) -> bool:
    """Whether it was never a database, and somebody gave the name of another file: it begins with lines of text. A
    database whose first page is spoilt has none, or no lines further on."""
    with path.open("rb") as file:
        head = file.read(TEXT_BYTES)
    return b"\n" in head and NOT_IN_TEXT.isdisjoint(head)


def to_disk(path: Path) -> None:
    """A file's content, or a folder's names, are on the disk when this returns. Raises OSError."""
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
