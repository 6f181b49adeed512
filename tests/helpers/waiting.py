"""Waiting in real time for what other processes do, on machines that are busy as well as on idle ones.

How long is counted in turns of this process: on a machine where each gets a fifth of a processor a second has fewer of
them, for those who are waited for and for us. On an idle machine it is the time on the clock. So a limit says how soon
something comes, and not how busy the neighbours were.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from typing import Any

AGAIN_S = 0.2  # until a cancel that was lost is said again


async def until(holds: Callable[[], object], within_s: float = 5.0, what: str = "it did not happen",
                every_s: float = 0.01) -> float:
    """Waits until it holds; how long that took by the clock. Raises AssertionError after `within_s`, with `what`."""
    began_s = time.monotonic()
    for _ in range(round(within_s / every_s)):
        if holds():
            return time.monotonic() - began_s
        await asyncio.sleep(every_s)
    assert holds(), f"not within {within_s:g} s: {what}"
    return time.monotonic() - began_s


async def ended(task: asyncio.Task[Any]) -> None:
    """Ends a task that goes on by itself; raises what it fell by. A cancel may be lost: `asyncio.wait_for` of Python
    3.11, and so aiomqtt, takes a reply that comes together with it for all, and a TaskGroup the error of one of its
    tasks. Whoever then connects again would do so for ever, so it is told again until it has ended."""
    while not task.done():
        task.cancel()
        await asyncio.wait([task], timeout=AGAIN_S)
    with contextlib.suppress(asyncio.CancelledError):
        task.result()
