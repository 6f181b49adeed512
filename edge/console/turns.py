"""A few places for costly work, given round those who wait, so that whoever asks for much keeps nobody else waiting."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class TooManyWait(Exception):
    """As many wait under this key as may."""


class Turns:
    """`places` at once. The others wait, at most `waiting` under one key, and the keys come in turn."""

    def __init__(self, places: int, waiting: int) -> None:
        self._free = places
        self._waiting = waiting
        self._lanes: dict[str, deque[asyncio.Future[None]]] = {}  # the key whose turn is next comes first

    @asynccontextmanager
    async def turn(self, key: str) -> AsyncIterator[None]:
        """Waits for a place and holds it for as long as the body runs. Raises TooManyWait."""
        if self._free:
            self._free -= 1
        else:
            await self._wait(key)
        try:
            yield
        finally:
            self._pass_on()

    async def _wait(self, key: str) -> None:
        lane = self._lanes.setdefault(key, deque())
        if len(lane) >= self._waiting:
            raise TooManyWait
        came = asyncio.get_running_loop().create_future()
        lane.append(came)
        try:
            await came
        except asyncio.CancelledError:
            if came.done() and not came.cancelled():  # the place was given just now
                self._pass_on()
            raise

    def _pass_on(self) -> None:
        while self._lanes:
            key = next(iter(self._lanes))
            lane = self._lanes.pop(key)
            came = lane.popleft()
            if lane:
                self._lanes[key] = lane
            if not came.cancelled():
                came.set_result(None)
                return
        self._free += 1
