"""An event loop whose time is told: where every task waits, the time they wait for is there at once."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class _Jump(selectors.SelectSelector):
    """Never waits: what would have been waited is added to the loop's time."""

    passed_s = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        assert timeout is not None, "all tasks wait, and nothing is due"
        self.passed_s += max(timeout, 0.0)
        return super().select(0)


class ToldLoop(asyncio.SelectorEventLoop):
    """Its `time()` begins at 0 and is real in nothing but its unit."""

    def __init__(self) -> None:
        self._jump = _Jump()
        super().__init__(self._jump)

    def time(self) -> float:
        return self._jump.passed_s


def told(work: Coroutine[Any, Any, T]) -> T:
    """What `work` gives, in told time."""
    loop = ToldLoop()
    try:
        return loop.run_until_complete(work)
    finally:
        loop.run_until_complete(_ended(asyncio.all_tasks(loop)))
        loop.close()


async def _ended(left: set[asyncio.Task[Any]]) -> None:
    """What still waits is told that it need not."""
    for task in left:
        task.cancel()
    await asyncio.gather(*left, return_exceptions=True)
