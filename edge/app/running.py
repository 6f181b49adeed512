"""The edge that runs on a data folder, for who wants it to read edge.toml again: its process, and what came of it.

`edge.pid` is locked for as long as the edge lives, so that a number left behind names nobody; `edge.reload` is how
edge.toml was last read again. Neither is needed by the edge: a disk that takes no more stops nothing.
"""

from __future__ import annotations

import fcntl
import logging
import os
import signal
from contextlib import suppress
from pathlib import Path

import msgspec

from edge.contract.payloads import ReloadNow
from edge.process import BadUsage

log = logging.getLogger(__name__)


class Running:
    """This process is the edge of the data folder, until it ends."""

    def __init__(self, data: Path) -> None:
        self._pid, self._again = data / "edge.pid", data / "edge.reload"
        self._fd: int | None = None  # open for good: the lock goes with the process
        try:
            self._again.unlink(missing_ok=True)
            self._fd = os.open(self._pid, os.O_RDWR | os.O_CREAT, 0o600)
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.ftruncate(self._fd, 0)
            os.pwrite(self._fd, f"{os.getpid()}\n".encode(), 0)
        except OSError as fault:
            log.warning("%s: cannot be written (%s); `vigil edge --reload` will not find this edge", self._pid,
                        fault.strerror)

    def say(self, again: ReloadNow) -> None:
        """How edge.toml was read again."""
        whole = self._again.with_suffix(".new")
        try:
            whole.write_bytes(msgspec.json.encode(again))
            whole.replace(self._again)
        except OSError as fault:
            log.warning("%s: cannot be written (%s)", self._again, fault.strerror)


def ask(data: Path) -> None:
    """Have the edge of this data folder read its edge.toml again. Raises BadUsage where none runs, or it is another
    user's."""
    path = data / "edge.pid"
    try:
        fd = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        raise BadUsage(f"no edge runs on {data}; start it: vigil edge --config ...") from None
    except OSError as fault:
        raise BadUsage(f"{path}: cannot be read ({fault.strerror}); ask as the user that the edge runs as") from None
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        number = os.pread(fd, 32, 0).decode("ascii", "replace").strip()
    else:
        raise BadUsage(f"no edge runs on {data}; start it: vigil edge --config ...")
    finally:
        os.close(fd)
    with suppress(FileNotFoundError):
        (data / "edge.reload").unlink()
    try:
        os.kill(int(number), signal.SIGHUP)
    except (OSError, ValueError) as fault:
        raise BadUsage(f"the edge of {data} cannot be asked ({fault}); ask as the user that it runs as") from None


def answer(data: Path) -> ReloadNow | None:
    """What came of it; None: nothing yet."""
    try:
        return msgspec.json.decode((data / "edge.reload").read_bytes(), type=ReloadNow)
    except FileNotFoundError:
        return None
