"""The events of one edge that wait to be stored: live ones before late ones, and no faster than at a pace.

Whoever has an edge's key can sign events without end: at the disk's own pace they would fill it in hours. Real time
comes as `loop_s`, the event loop's.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from edge.contract.payloads import EventOut, encode

BATCH: Final = 200  # events a commit: about 0.1 s, so that a live alarm never waits longer for the backlog
MAX_WAITING: Final = 20_000  # events in memory; beyond it they are dropped, not acknowledged, and sent again
MAX_WAITING_BYTES: Final = 64 << 20  # the same, of their JSON
BURST_BYTES: Final = 256 << 20  # stored as fast as the disk can, half of it of a backlog: 100,000 events of 1 kB
BYTES_A_S: Final = 32 << 10  # and from then on: 2.8 GB a day
BED_BYTES_A_S: Final = 100.0  # and for each bed: six events a minute
STEP_S: Final = 0.5  # real seconds until the next ones: an edge that hears of none stored for longer sends all again
SAID_S: Final = 60.0  # real seconds for which it is said that the pace held something back


@dataclass(frozen=True, slots=True)
class Waiting:
    """An event, and the size of its JSON in bytes."""

    event: EventOut
    size: int


class Lanes:
    """What waits. `speed` is that of the console's clock: a fast one's edges say as much more in a real second."""

    def __init__(self, speed: float = 1.0) -> None:
        self.live: deque[Waiting] = deque()
        self.late: deque[Waiting] = deque()
        self._speed = speed
        self._bytes = 0  # of what waits
        self._free: float = BURST_BYTES  # so many bytes may be stored now
        self._at_s = 0.0
        self._held_since_s = self._held_s = -math.inf
        self._wake = asyncio.Event()  # something live came, or the first of all

    def __len__(self) -> int:
        return len(self.live) + len(self.late)

    def put(self, event: EventOut) -> bool:
        """Whether there was room for it."""
        size = len(encode(event))
        if len(self) >= MAX_WAITING or self._bytes + size > MAX_WAITING_BYTES:
            return False
        if not self or not event.late:
            self._wake.set()
        self._bytes += size
        (self.late if event.late else self.live).append(Waiting(event, size))
        return True

    async def due(self) -> None:
        """Until something may be stored, or the pace is to be asked again."""
        with suppress(TimeoutError):
            async with asyncio.timeout(STEP_S if self else None):
                while not self or self._held:
                    self._wake.clear()
                    await self._wake.wait()

    def take(self, beds: int, loop_s: float) -> list[EventOut]:
        """The next ones of an edge with so many beds, at most BATCH of one lane; none where none may be stored yet."""
        pace = (BYTES_A_S + BED_BYTES_A_S * beds) * self._speed
        self._free = min(BURST_BYTES, self._free + pace * max(0.0, loop_s - self._at_s))
        self._at_s = loop_s
        lane = self.live or self.late
        taken: list[EventOut] = []
        while lane and len(taken) < BATCH and not self._held:
            one = lane.popleft()
            self._bytes -= one.size
            self._free -= one.size
            taken.append(one.event)
        if self._held:
            if self.held_since_s(loop_s) is None:
                self._held_since_s = loop_s
            self._held_s = loop_s
        return taken

    @property
    def _held(self) -> bool:
        """Whether what is next must wait. Of a backlog half is stored at once at most, so that what happens now never
        waits behind it."""
        return bool(self) and self._free <= (0 if self.live else BURST_BYTES / 2)

    def give_back(self, events: Iterable[EventOut]) -> None:
        """These were taken, and took no room."""
        self._free += sum(len(encode(event)) for event in events)

    def held_since_s(self, loop_s: float) -> float | None:
        """Since when the pace holds something back; None: it has not lately."""
        return self._held_since_s if loop_s - self._held_s < SAID_S else None
