"""Supervision: every task is named and kept, and a fault of our own ends the process so that it is started afresh.

The one place with `except Exception`. A broken world never comes here: links retry it for ever by themselves. What does
come here is a bug; going on with half a service would be worse than the second it takes systemd to start a whole one.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

log = logging.getLogger(__name__)

CANCEL_TIMEOUT_S = 5.0


class TaskDied(Exception):
    """A task that must run for ever ended: `name`. Its own error is the cause."""

    def __init__(self, name: str) -> None:
        super().__init__(f"task {name} died")
        self.name = name


class Supervisor:
    """Runs named tasks together. `died` gets the name of one that failed and its error, before all are ended."""

    def __init__(self, died: Callable[[str, BaseException], None] | None = None) -> None:
        self._died = died
        self._tasks: dict[str, asyncio.Task[Any]] = {}
        self._changed = asyncio.Event()

    @property
    def names(self) -> tuple[str, ...]:
        """The tasks alive now."""
        return tuple(name for name, task in self._tasks.items() if not task.done())

    def add(self, name: str, coroutine: Coroutine[Any, Any, Any]) -> None:
        """One more task, beside those that run."""
        assert name not in self._tasks, f"two tasks are named {name}"
        self._tasks[name] = asyncio.get_running_loop().create_task(coroutine, name=name)
        self._changed.set()

    async def drop(self, name: str) -> None:
        """End this task; it is no more one that must run for ever."""
        task = self._tasks.pop(name)
        self._changed.set()
        task.cancel()
        if (await asyncio.wait([task], timeout=CANCEL_TIMEOUT_S))[1]:
            log.critical("task %s does not end", name)

    async def run_all(self, tasks: Mapping[str, Coroutine[Any, Any, Any]]) -> None:
        """Run until cancelled, or until one ends. Raises TaskDied for the first that does; the caller exits non-zero.

        However it ends, all tasks are cancelled and waited for, at most CANCEL_TIMEOUT_S.
        """
        loop = asyncio.get_running_loop()  # not a TaskGroup: one whose task will not end waits for it without end
        self._tasks = {name: loop.create_task(coroutine, name=name) for name, coroutine in tasks.items()}
        try:
            while True:
                changed = loop.create_task(self._changed.wait(), name="changed")
                try:
                    await asyncio.wait([*self._tasks.values(), changed], return_when=asyncio.FIRST_COMPLETED)
                finally:
                    changed.cancel()
                self._changed.clear()
                for name, task in self._tasks.items():
                    if task.done():
                        raise self._buried(name, task)
        finally:
            await self._end()

    def _buried(self, name: str, task: asyncio.Task[Any]) -> TaskDied:
        error = None if task.cancelled() else task.exception()
        died = TaskDied(name)
        died.__cause__ = error or RuntimeError(f"{name} ended, and should not have")
        log.critical("task %s died", name, exc_info=died.__cause__)
        if self._died is not None:
            try:
                self._died(name, died.__cause__)
            except Exception:
                log.critical("telling that task %s died failed", name, exc_info=True)
        return died

    async def _end(self) -> None:
        for task in self._tasks.values():
            task.cancel()
        _, stuck = await asyncio.wait(self._tasks.values(), timeout=CANCEL_TIMEOUT_S)
        for task in stuck:
            log.critical("task %s does not end", task.get_name())
        for name, task in self._tasks.items():
            if task.done() and not task.cancelled() and task.exception() is not None:
                log.debug("task %s ended with %r", name, task.exception())
