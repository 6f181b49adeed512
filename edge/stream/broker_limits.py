"""What one user of the embedded broker may take of it: packets, messages that are kept, and what is subscribed to.

A stolen password of an edge or a console is good for what that user may write and read, and for no more: it fills no
memory and slows nobody else. No I/O; the time is the event loop's.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
from dataclasses import dataclass, field

PRODUCER_PER_S, OTHER_PER_S = 2000.0, 100.0  # packets of a user who may write events, and of any other
PRODUCER_BURST, OTHER_BURST = 400.0, 100.0  # so many at once
BYTES_A_PACKET = 4096  # a longer one counts as several: amqtt copies it for each who reads it
TOPIC_BYTES = 512  # the longest of the contract has some 110
MAX_KEPT = 2048  # retained messages of one user: an edge has one, and one for each bed
MAX_KEPT_BYTES = 32 * 2**20
MAX_FILTERS = 200  # of one user: a console has eight for each edge; amqtt compares each with each message of anybody
SUBSCRIBE_PER_S, SUBSCRIBE_BURST = 4.0, 2.0 * MAX_FILTERS  # filters; each brings all that is retained
MOST_ENDS = 100  # connections remembered by their last packet; those that are behind are as new ones
CONNECT_PER_S, CONNECT_BURST = 1.0, 40.0  # amqtt compares all filters with all that is retained at each


class Pace:
    """How fast the packets of one user are taken, over all its connections: `burst` at once, and `per_s`.

    Connections share it by size, not by packet: a packet begins where its connection's last one ended, or with the
    first of those that wait, if that is later; which ends first goes first (fair queueing; Demers, Keshav and Shenker
    1989). So whoever sends the largest packets without end keeps no small one of the same user waiting.
    """

    def __init__(self, per_s: float, burst: float, now_s: float) -> None:
        self._per_s, self._burst = per_s, burst
        self._tokens, self._filled_s = burst, now_s
        self._begun = 0.0  # where what was taken last began
        self._ends: dict[object, float] = {}  # by connection, of its last packet
        self._queue: list[tuple[float, int, float, asyncio.Future[None]]] = []  # a heap: end, number, size, its future
        self._number = itertools.count()
        self._timer: asyncio.TimerHandle | None = None

    async def take(self, count: float = 1, who: object = None) -> None:
        """Until `count` more of connection `who` may be read; what is more than `burst` counts as that."""
        count, loop = min(count, self._burst), asyncio.get_running_loop()
        first = min((end - size for end, _, size, came in self._queue if not came.done()), default=self._begun)
        end = self._ends[who] = max(first, self._ends.get(who, 0.0)) + count
        if not self._queue and self._filled(loop.time()) >= count:
            self._spend(end, count)
            return
        came: asyncio.Future[None] = loop.create_future()
        heapq.heappush(self._queue, (end, next(self._number), count, came))
        self._give(loop)
        await came

    def taken(self, now_s: float) -> bool:
        """One more, if it may come at once."""
        if self._filled(now_s) < 1:
            return False
        self._tokens -= 1
        return True

    def _give(self, loop: asyncio.AbstractEventLoop) -> None:
        """To those that wait, as far as it goes; the rest when there is enough for the next."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while self._queue:
            end, _, count, came = self._queue[0]
            if not came.done():  # else its connection waits no longer
                if (short := count - self._filled(loop.time())) > 0:
                    self._timer = loop.call_later(short / self._per_s, self._give, loop)
                    return
                self._spend(end, count)
                came.set_result(None)
            heapq.heappop(self._queue)

    def _spend(self, end: float, count: float) -> None:
        self._tokens -= count
        self._begun = end - count
        if len(self._ends) > MOST_ENDS:
            self._ends = {who: last for who, last in self._ends.items() if last > self._begun}

    def _filled(self, now_s: float) -> float:
        self._tokens = min(self._burst, self._tokens + (now_s - self._filled_s) * self._per_s)
        self._filled_s = now_s
        return self._tokens


@dataclass(eq=False, slots=True)
class Share:
    """What one user has of the broker. `producer`: it may write events."""

    producer: bool
    now_s: float
    packets: Pace = field(init=False)
    filters: Pace = field(init=False)
    connects: Pace = field(init=False)
    kept: dict[str, int] = field(default_factory=dict)  # topic -> bytes of its retained message
    kept_bytes: int = 0
    read: dict[tuple[str, str], None] = field(default_factory=dict)  # client id and filter

    def __post_init__(self) -> None:
        self.packets = Pace(PRODUCER_PER_S, PRODUCER_BURST, self.now_s) if self.producer else Pace(
            OTHER_PER_S, OTHER_BURST, self.now_s)
        self.filters = Pace(SUBSCRIBE_PER_S, SUBSCRIBE_BURST, self.now_s)
        self.connects = Pace(CONNECT_PER_S, CONNECT_BURST, self.now_s)

    def keep(self, topic: str, size: int) -> str | None:
        """A retained message of so many bytes takes the place of the topic's last one (0: it is cleared). Why it may
        not; None: it may."""
        was = self.kept.get(topic)
        if size == 0:
            self.kept.pop(topic, None)
        elif was is None and len(self.kept) >= MAX_KEPT:
            return f"{MAX_KEPT} messages of this user are retained already"
        elif self.kept_bytes - (was or 0) + size > MAX_KEPT_BYTES:
            return f"{MAX_KEPT_BYTES >> 20} MiB of this user are retained already"
        else:
            self.kept[topic] = size
        self.kept_bytes += size - (was or 0)
        return None

    def subscribe(self, client: str, filters: list[str]) -> str | None:
        """These are read by this client, too. Why they may not; None: they may."""
        more = {(client, wanted): None for wanted in filters}
        if len(self.read | more) > MAX_FILTERS:
            return f"this user reads {MAX_FILTERS} topics already"
        self.read |= more
        return None

    def unsubscribe(self, client: str, filters: list[str]) -> None:
        """These no longer."""
        for one in filters:
            self.read.pop((client, one), None)

    def gone(self, client: str) -> None:
        """The client's connection has ended."""
        self.read = {one: None for one in self.read if one[0] != client}
