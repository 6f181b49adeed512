"""What every service of ours shares as a process: one line for bad usage, one log, one clean end, one command key."""

from __future__ import annotations

import asyncio
import gc
import logging
import multiprocessing
import os
import secrets
import signal
import sys
from collections.abc import Callable, Coroutine, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import uvloop

KEY_BYTES = 32
SWITCH_S = 0.0005
YOUNG = 10_000  # objects that Python's collector of garbage lets come before it looks; at its 700, it looks at inputs
# and events that wait for the disk, ten times a second

Of = TypeVar("Of")
Found = TypeVar("Found")


class BadUsage(Exception):
    """What the person asked for cannot be done; its one line says what, where, and what to write instead."""


def log_to_stderr(name: str) -> None:
    """One line an event, with the service's name."""
    logging.basicConfig(stream=sys.stderr, level=logging.INFO,
                        format=f"%(asctime)s {name} %(levelname)s %(name)s: %(message)s")
    logging.getLogger("pymodbus").setLevel(logging.CRITICAL)  # it dumps the wire at every timeout; links count them


def make_folder(path: Path) -> None:
    """Where data is to be kept. Raises BadUsage."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as wrong:
        raise BadUsage(f"{path}: no folder for data can be made there ({wrong.strerror}); write another one") from None


def command_key(path: Path, *, make: bool) -> bytes:
    """The key that signs commands; the edge makes it on its first start. Raises BadUsage."""
    if make:
        make_folder(path.parent)
    try:
        if make and not path.exists():
            path.touch(mode=0o600)
            path.write_text(secrets.token_hex(KEY_BYTES) + "\n")
        return bytes.fromhex(path.read_text().strip())
    except (OSError, ValueError) as wrong:
        raise BadUsage(f"{path}: no command key ({wrong}); start the edge once, or copy its command.key here") from None


def loop_first() -> None:
    """The event loop waits at most so long for a thread that packs and stores; Python's own is 5 ms, each time."""
    sys.setswitchinterval(SWITCH_S)


def cancel_on_signals(task: asyncio.Future[Any]) -> None:
    """SIGTERM and SIGINT cancel `task`, of the running loop."""
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)


def keep_for_good() -> None:
    """What stands now stays: Python's collector of garbage need not look at all of it again and again (15 ms each
    time for the modules alone, in which nothing is judged and nothing shown)."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG)


def until_stopped(name: str, work: Callable[[], Coroutine[Any, Any, None]]) -> int:
    """Run `work` until SIGTERM or SIGINT, then cancel it and let it finish what it must."""
    log_to_stderr(name)
    loop_first()
    keep_for_good()

    async def main() -> None:
        task = asyncio.ensure_future(work())
        cancel_on_signals(task)
        try:
            await task
        except asyncio.CancelledError:
            logging.getLogger("vigil").info("stopped")

    uvloop.run(main())
    return 0


def in_processes(one: Callable[[Of], Found], many: Sequence[Of]) -> Iterator[Found]:
    """`one` of each of `many`, in their order; all processors work. What a process raises is raised here."""
    if len(many) == 1:
        yield one(many[0])
        return
    # fork: a compiled rule cannot be handed over to a process in another way
    with multiprocessing.get_context("fork").Pool(os.cpu_count(), _remember, (one,)) as pool:
        yield from pool.imap(_recalled, many)


_one: list[Callable[[Any], Any]] = []


def _remember(one: Callable[[Any], Any]) -> None:
    _one[:] = [one]


def _recalled(of: Any) -> Any:
    return _one[0](of)
