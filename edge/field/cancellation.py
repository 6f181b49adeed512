"""Waiting for a library without losing our own stop.

Before Python 3.12 `asyncio.wait_for` returns normally when what it waits for is done in the same moment as the waiting
task is cancelled: the stop is swallowed, the task goes on for ever, and the process does not end. pymodbus waits with
it. So what it does runs in a task of its own, and ours waits with `asyncio.wait`, which swallows nothing.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")
LOOK_S = 0.05  # so often
ENDS_S = 1.0  # within which what was cancelled ends


async def outcome(work: Coroutine[Any, Any, T], timeout_s: float = math.inf,
                  hopeless: Callable[[], bool] = lambda: False) -> T:
    """What `work` gives or raises. It is cancelled with us, after `timeout_s` real seconds, or as soon as it is
    `hopeless`; and has ended before we go on, `ENDS_S` later at most. Raises TimeoutError."""
    loop = asyncio.get_running_loop()
    task, until_s = loop.create_task(work), loop.time() + timeout_s
    try:
        while not task.done() and not hopeless() and (left_s := until_s - loop.time()) > 0:
            await asyncio.wait([task], timeout=min(left_s, LOOK_S))
        in_time = task.done()
    finally:
        if not task.done():
            task.cancel()
            task.add_done_callback(_nobody_waits)
            await asyncio.wait([task], timeout=ENDS_S)
    if not in_time:
        raise TimeoutError
    return task.result()


def _nobody_waits(task: asyncio.Task[Any]) -> None:
    if not task.cancelled():
        task.exception()  # unread, asyncio would log it as an error nobody handled
