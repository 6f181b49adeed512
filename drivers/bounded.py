"""A file that a person names, read to a length no such file has: a device without an end is refused, and a pipe that
nobody writes to is empty."""

from __future__ import annotations

import errno
import os
from pathlib import Path

MOST_BYTES = 64_000_000  # a capture of a day; a configuration is some pages


def read_file(path: Path, most: int = MOST_BYTES) -> bytes:
    """All of it. Raises OSError, with EFBIG where it is longer than `most` bytes."""
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
        os.set_blocking(file.fileno(), True)  # the opening alone must not wait; a pipe's writer may be slow
        held = file.read(most + 1)
    if len(held) > most:
        raise OSError(errno.EFBIG, os.strerror(errno.EFBIG), str(path))
    return held
