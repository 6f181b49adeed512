"""Whether a signed payload is fresh: not replayed, not of another boot, not ahead of its sender's clock. Told the time.

A topic is a lane. Where the newest payload is the whole truth (status, vitals, waves, states, acks, wills) a lane's
counter must rise; where each payload counts (events, answers, commands), a payload may overtake another (a broker may
send QoS 0 and 1 in any order) and none is taken twice.

A boot begins only with a signed status whose counter is above everything accepted before. A last will is signed when
it is set, before the birth it belongs to, so its counter is old when it comes: each status names the counter of the
will in force (`will`), and only that one is believed.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Literal

import msgspec

from edge.contract.topics import parse_topic
from edge.model import from_iso

Reason = Literal[
    "unsigned", "forged", "duplicate", "replayed", "other_boot", "two_boxes", "ahead", "bad_shape"
]
MAX_N = 2**53 - 1  # the largest whole number that every JSON reader keeps exactly
AHEAD_S = 5.0  # real seconds a payload's time may be ahead of the edge's clock: its statuses come every 2 s
WINDOW = 512  # counters remembered in a lane where each payload counts
MAX_LANES = 16_384  # topics of one edge: a bed has its vitals, its state and some waves
_EACH_COUNTS = frozenset({"event", "answer", "command"})


class Claim(msgspec.Struct, frozen=True):
    """What a payload says of itself that freshness is judged by. `at` of a command is its `issued`."""

    boot: str | None = None
    at: str | None = None
    state: str | dict[str, msgspec.Raw] | None = None
    will: int = 0
    speed: float = 1.0

    @property
    def at_s(self) -> float | None:
        """Its time, or None where it gives none."""
        return from_iso(self.at) if self.at else None


_CLAIM = msgspec.json.Decoder(Claim)


def claim_of(payload: bytes) -> Claim:
    """Raises ValueError for bytes that are no object of the contract."""
    try:
        claim = _CLAIM.decode(payload)
        _ = claim.at_s
    except (msgspec.MsgspecError, ValueError, OverflowError, RecursionError) as error:
        raise ValueError(str(error)) from None
    return claim


@dataclass(slots=True)
class _Lane:
    """What was accepted on one topic."""

    kind: str
    newest: int = 0
    last: deque[int] = field(default_factory=lambda: deque(maxlen=WINDOW))
    taken: set[int] = field(default_factory=set)

    def reason(self, n: int, floor: int) -> Reason | None:
        """Why `n` may not be taken."""
        if n == self.newest or n in self.taken:
            return "duplicate"
        if n > max(self.newest, floor):
            return None
        if self.kind in _EACH_COUNTS and n > floor and (len(self.last) < WINDOW or n > min(self.taken)):
            return None
        return "replayed"

    def take(self, n: int) -> None:
        """`n` is accepted."""
        self.newest = max(self.newest, n)
        if self.kind in _EACH_COUNTS:
            if len(self.last) == WINDOW:
                self.taken.discard(self.last[0])
            self.last.append(n)
            self.taken.add(n)


@dataclass(frozen=True, slots=True)
class Memory:
    """What to keep of an edge over a console's own restart, so that yesterday's payloads are not believed tomorrow:
    its boot, the counter it began above, and the newest status."""

    boot: str = ""
    floor: int = 0
    status_n: int = 0
    will_n: int = 0


class Freshness:
    """Of one edge. `boot` is the present one ("": none received yet), `clock` its last time."""

    def __init__(self, memory: Memory | None = None) -> None:
        kept = memory or Memory()
        self.boot, self._floor = kept.boot, kept.floor
        self._status_n, self._will_n = kept.status_n, kept.will_n
        self._highest = max(kept.floor, kept.status_n)
        self._lanes: dict[str, _Lane] = {}
        self._born_at_s = 0.0
        self._clock: tuple[float, float, float] | None = None  # edge time, when it was told (real s), speed

    @property
    def memory(self) -> Memory:
        """To be kept whenever the boot changes, and now and then besides."""
        return Memory(self.boot, self._floor, self._status_n, self._will_n)

    def edge_now_s(self, now_s: float) -> float | None:
        """The edge's clock by its last signed status; None before the first one."""
        if self._clock is None:
            return None
        at_s, told_s, speed = self._clock
        return at_s + (now_s - told_s) * speed

    def judge(self, topic: str, n: int, claim: Claim, now_s: float) -> tuple[Reason | None, bool]:
        """See signing.Judge."""
        parsed = parse_topic(topic)
        kind = parsed.kind if parsed is not None else ""
        if kind == "status":
            reason, birth = self._status(n, claim, now_s)
        else:
            reason, birth = self._other(kind, topic, n, claim, now_s), False
        if reason is None:
            self._highest = max(self._highest, n)
        return reason, birth

    def _other(self, kind: str, topic: str, n: int, claim: Claim, now_s: float) -> Reason | None:
        # An event out of the backlog names the boot that made it; that it is sent by the present one its counter says.
        if not self.boot or (kind != "event" and claim.boot != self.boot):
            return "other_boot"
        lane = self._lanes.get(topic)
        if lane is None:
            if len(self._lanes) >= MAX_LANES:
                return "bad_shape"
            lane = self._lanes[topic] = _Lane(kind)
        reason = lane.reason(n, self._floor)
        if reason is None and self._ahead(claim, now_s):
            reason = "ahead"
        if reason is None:
            lane.take(n)
        return reason

    def _ahead(self, claim: Claim, now_s: float) -> bool:
        edge_s, at_s = self.edge_now_s(now_s), claim.at_s
        if edge_s is None or self._clock is None or at_s is None:
            return False
        return at_s > edge_s + AHEAD_S * max(1.0, self._clock[2])

    def _status(self, n: int, claim: Claim, now_s: float) -> tuple[Reason | None, bool]:
        at_s = claim.at_s
        if at_s is None or not claim.boot:
            return "bad_shape", False
        dead = claim.state == "dead"
        birth = claim.boot != self.boot
        if birth:
            if n <= self._highest:
                newer = not dead and self._born_at_s and at_s > self._born_at_s + AHEAD_S * claim.speed
                return "two_boxes" if newer else "other_boot", False
            self._lanes.clear()
            self.boot, self._floor, self._born_at_s = claim.boot, self._highest, at_s
        elif n == self._status_n:
            return "duplicate", False
        elif n < self._status_n:
            return self._will(n, dead), False
        self._status_n, self._will_n = n, claim.will
        self._born_at_s = self._born_at_s or at_s
        if not dead:
            self._clock = at_s, now_s, claim.speed
        return None, birth

    def _will(self, n: int, dead: bool) -> Reason | None:
        """The last will of the connection that the newest status came on, once; no other old status."""
        if not dead or n != self._will_n:
            return "replayed"
        self._will_n = 0
        return None


class ConsoleFreshness:
    """Of one console, as the edge receives it. `boot` is the edge's own: an ack that names another was said to another
    boot, and is no sign of life."""

    def __init__(self, boot: str) -> None:
        self._boot = boot
        self._lanes: dict[str, _Lane] = {}

    def judge(self, topic: str, n: int, claim: Claim, _now_s: float) -> tuple[Reason | None, bool]:
        """See signing.Judge."""
        parsed = parse_topic(topic)
        kind = parsed.kind if parsed is not None else ""
        if kind == "ack" and claim.boot != self._boot:
            return "other_boot", False
        lane = self._lanes.get(topic)
        if lane is None:
            lane = self._lanes[topic] = _Lane(kind)
        reason = lane.reason(n, 0)
        if reason is None:
            lane.take(n)
        return reason, False
