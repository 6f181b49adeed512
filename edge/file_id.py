"""Which file a store has open, and whether that one can still be found: SQLite does not look."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

FileId = tuple[int, int]  # device and inode
OPEN_FILES = Path("/proc/self/fd")  # Linux


def id_of(path: Path | str) -> FileId | None:
    """Which file is there; None: none, or it cannot be seen."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def written(path: Path | str) -> tuple[int, int] | None:
    """When the file was written last, in ns since 1970, and its size in bytes; None: none is there. Who alone writes
    it, and notes this after each time, knows by it that somebody else did."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size


def has_no_name(file: FileId) -> bool:
    """Whether `file`, which this process has open, was removed: it is gone when it is closed."""
    for each in OPEN_FILES.iterdir() if OPEN_FILES.is_dir() else ():
        with suppress(OSError):
            found = each.stat()
            if (found.st_dev, found.st_ino) == file:
                return found.st_nlink == 0
    return False


def is_adrift(path: Path, file: FileId) -> bool:
    """Whether `file`, which is open, is not at `path`, and can be lost: it has no name, or its folder has another one.
    A disk that was mounted over it, or came off, leaves it where it is."""
    if id_of(path) == file:
        return False
    folder = id_of(path.parent)
    return folder is None or folder[0] == file[0] or has_no_name(file)
