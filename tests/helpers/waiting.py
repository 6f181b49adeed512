"""Waiting in real time for what other processes do, on machines that are busy as well as on idle ones.

How long is counted in turns of this process: on a machine where each gets a fifth of a processor a second has fewer of
them, for those who are waited for and for us. On an idle machine it is the time on the clock. So a limit says how soon
something comes, and not how busy the neighbours were.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable


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
