"""A damaged database file is kept aside whole, and a new one takes its place; so does a copy of one that was removed
while it was written. Each step is a rename, so that a start can finish what was cut short.

    x.db.part     the new one while it is made
    x.db.back     the copy of one that was removed, while it is made
    x.db.new-1    the same, whole, and not yet in its place
    x.db.damaged-1 (and -wal)    the damaged one, as it was
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import suppress
from pathlib import Path

from sqlalchemy import Engine, ExceptionContext, event
from sqlalchemy.engine.interfaces import DBAPICursor
from sqlalchemy.exc import DatabaseError

from edge import points

ENDS = ("", "-wal")
BESIDE = (*ENDS, "-shm", "-journal")
CUT_SHORT = "it was removed, and the copy that was being made of it is not whole"
OTHERS, GROUP = 0o007, 0o070
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


def new_part(path: Path, kind: str = "part") -> Path:
    """Where the new one is made; nothing is there. Raises OSError."""
    part = path.with_name(f"{path.name}.{kind}")
    for end in BESIDE:
        Path(f"{part}{end}").unlink(missing_ok=True)
    return part


def make_private(path: Path) -> None:
    """The database at `path`, which need not be there yet, what lies beside it and what is kept aside of it are for
    this user's eyes alone: SQLite gives what it makes beside a file that file's mode. A group alone that may read it
    is somebody's purpose (a backup's, say) and stays. Where a file cannot be changed (it is another user's, or the disk
    takes nothing) its owner decides. `vigil doctor` names both."""
    with suppress(OSError):  # whoever opens it says what is wrong
        path.touch(mode=0o600, exist_ok=False)
    for file in (path, *kept(path)):
        for end in BESIDE:
            one = Path(f"{file}{end}")
            with suppress(OSError):
                if one.stat().st_mode & OTHERS:
                    one.chmod(0o600)


def left_of(path: Path) -> Path:
    """The file at `path`, or, where that was removed and the process ended before `put_back` had a whole copy, what
    there is of the copy: as good as damaged, whatever it looks like."""
    back = path.with_name(f"{path.name}.back")
    return back if back.exists() and not path.exists() else path


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
        old = left_of(path)
        if old != path:
            _forget_ends(path)
            Path(f"{old}-journal").unlink(missing_ok=True)  # of a copy that was not whole: what was there before it
        for end in ENDS:
            one, kept_one = Path(f"{old}{end}"), Path(f"{aside}{end}")
            if one.exists() and not kept_one.exists():
                points.reached("quarantine")
                one.rename(kept_one)
        Path(f"{path}-shm").unlink(missing_ok=True)
        points.reached("quarantine")
        new.rename(path)
        points.reached("quarantine")
        to_disk(path.parent)
    if (back := path.with_name(f"{path.name}.back")).exists() and path.exists():  # another file was put there meanwhile
        back.rename(kept_as(path, free_number(path)))


def put_back(cursor: DBAPICursor, path: Path) -> None:
    """A file that was removed, renamed or replaced while it is open: SQLite goes on writing into it without an error,
    and whoever closes it loses it. All that `cursor` sees is put into a file at `path`; what is there now is kept
    aside. Where it is cut short the next start finishes it, once the copy is whole; before that the copy is what is
    left (`left_of`). Raises OSError, sqlite3.Error."""
    back = new_part(path, "back")
    back.touch(mode=0o600)  # SQLite takes an empty file for none
    try:
        cursor.execute("VACUUM INTO ?", (str(back),))
    except sqlite3.Error:
        new_part(path, "back")  # a full disk is not to stay full of it
        raise
    if not path.exists():
        _forget_ends(path)
    put_in_place(path, back, free_number(path))


def _forget_ends(path: Path) -> None:
    """Those of the one that was removed: SQLite would take them for another's."""
    for end in ("-wal", "-shm"):
        Path(f"{path}{end}").unlink(missing_ok=True)


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
