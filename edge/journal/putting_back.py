"""A journal whose file was removed, renamed or replaced while it is written: the connection that is open has all of it.

SQLite goes on writing into a file that has no name, or another one, without an error. Whoever closes it then, loses it.
So it is copied to its place as it is, and the record goes on there without a gap.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import suppress
from pathlib import Path

from sqlalchemy import Connection

from edge import aside

FileId = tuple[int, int]  # device and inode
OPEN_FILES = Path("/proc/self/fd")  # Linux


def id_of(path: Path | str) -> FileId | None:
    """Which file is there; None: none, or it cannot be seen."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def size_of(path: str) -> int:
    """In bytes; 0 where there is none."""
    try:
        return os.stat(path).st_size
    except OSError:
        return 0


def has_no_name(file: FileId) -> bool:
    """Whether `file`, which this process has open, was removed: it is gone when it is closed."""
    for each in OPEN_FILES.iterdir() if OPEN_FILES.is_dir() else ():
        with suppress(OSError):
            found = each.stat()
            if (found.st_dev, found.st_ino) == file:
                return found.st_nlink == 0
    return False


def put_back(connection: Connection, path: Path) -> None:
    """All that `connection` has, in a file at `path`; what is there now is kept aside. Where it is cut short the next
    start finishes it, once the copy is whole. Raises OSError, sqlite3.Error."""
    part = aside.new_part(path)
    try:
        connection.connection.cursor().execute("VACUUM INTO ?", (str(part),))
    except sqlite3.Error:
        part.unlink(missing_ok=True)  # a full disk is not to stay full of it
        raise
    if not path.exists():
        for end in ("-wal", "-shm"):  # of the one that was removed
            Path(f"{path}{end}").unlink(missing_ok=True)
    aside.put_in_place(path, part, aside.free_number(path))
