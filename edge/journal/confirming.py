"""Every caller that waits for the disk gets an answer in time: it is stored, or the disk does not answer.

A disk that is about to die may take half a minute over one fsync, without an error. Nothing that is watched may wait
for it: after STUCK_S the callers are told that what they handed in is in memory alone.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from functools import partial

STUCK_S = 3.5  # real seconds a commit may take: a busy disk takes one or two, and the alarm is due within five
PROMPT_S = 0.5  # a commit that takes no longer than this shows that the disk answers again
LATE_S = 0.5  # if the loop itself was late by more than this, the disk is given more time


class Confirmations:
    """Belongs to `loop`. `on_changed` is called when `stuck` has changed."""

    def __init__(self, loop: asyncio.AbstractEventLoop, on_changed: Callable[[], None]) -> None:
        self.stuck = False
        self._loop = loop
        self._on_changed = on_changed
        self._waiting: deque[tuple[float, asyncio.Future[bool]]] = deque()
        self._timer: asyncio.TimerHandle | None = None

    def expect(self, confirmed: asyncio.Future[bool]) -> asyncio.Future[bool]:
        """What the caller may wait for: as `confirmed`, but False at the latest after STUCK_S, and at once while the
        disk does not answer."""
        stored: asyncio.Future[bool] = self._loop.create_future()
        now_s = self._loop.time()
        if self.stuck:
            stored.set_result(False)
        else:
            self._waiting.append((now_s, stored))
            if self._timer is None:
                self._timer = self._loop.call_later(STUCK_S, self._look, now_s + STUCK_S)
        confirmed.add_done_callback(partial(self._confirmed, stored, now_s))
        return stored

    def stop(self) -> None:
        """Look no more."""
        if self._timer is not None:
            self._timer.cancel()

    def _confirmed(self, stored: asyncio.Future[bool], since_s: float, confirmed: asyncio.Future[bool]) -> None:
        if confirmed.cancelled():
            stored.cancel()
            return
        error = confirmed.exception()
        if not stored.done():
            if error is not None:
                stored.set_exception(error)
            else:
                stored.set_result(confirmed.result())
        if self.stuck and self._loop.time() - since_s <= PROMPT_S:
            self.stuck = False
            self._on_changed()

    def _look(self, due_s: float) -> None:
        now_s, wait_s = self._loop.time(), LATE_S
        self._timer = None
        while self._waiting and self._waiting[0][1].done():
            self._waiting.popleft()
        if not self._waiting:
            return
        if now_s - due_s <= LATE_S:
            wait_s = self._waiting[0][0] + STUCK_S - now_s
            if wait_s <= 0:
                self._give_up()
                return
        self._timer = self._loop.call_later(wait_s, self._look, now_s + wait_s)

    def _give_up(self) -> None:
        self.stuck = True
        waiting, self._waiting = self._waiting, deque()
        for _, stored in waiting:
            if not stored.done():
                stored.set_result(False)
        self._on_changed()
