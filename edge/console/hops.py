"""Which hop between a device and this screen works: broker, edge, console, sound.

No I/O and no clock: real time comes as `loop_s` (the event loop's), edge time as `house_s`.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, replace
from typing import Any

from edge.contract.payloads import DEAD_AFTER_S, Status
from edge.model import iso

BOOTS_REMEMBERED = 64


@dataclass(frozen=True, slots=True)
class Hop:
    """Whether one hop works, since when (edge time), and if it does not, why."""

    ok: bool
    since_s: float
    reason: str | None = None

    def turned(self, ok: bool, house_s: float, reason: str | None = None) -> Hop:
        """The hop as it is now; `since` moves only when `ok` does."""
        return replace(self, ok=ok, since_s=self.since_s if ok == self.ok else house_s, reason=reason)

    def said(self) -> dict[str, Any]:
        """As the page gets it."""
        said: dict[str, Any] = {"ok": self.ok, "since": iso(self.since_s)}
        return said if self.reason is None else said | {"reason": self.reason}


class EdgeWatch:
    """Whether the edge lives, by its heartbeats alone.

    A retained status is what someone once said: it is a heartbeat only when `at` advances over an earlier status of
    the same connection, and at a new connection it counts for nothing. A replayed status, or one of a boot that has
    been followed by another, is none. A last will ends only the boot it was made by (reliability.md D7, F2).
    """

    def __init__(self, house_s: float) -> None:
        self.hop = Hop(False, house_s, "no heartbeat yet")
        self.boot: str | None = None
        self.last: Status | None = None
        self._at_s = 0.0
        self._heard_loop_s: float | None = None
        self._baseline: tuple[str, float] | None = None
        self._past: OrderedDict[str, None] = OrderedDict()

    def connected(self) -> None:
        """A new connection to the broker: what it retains is old until proven otherwise."""
        self._baseline = None

    def hear(self, status: Status, at_s: float, retained: bool, loop_s: float, house_s: float) -> bool:
        """Takes one status; `at_s` is its `at`. Returns whether it was a fresh heartbeat."""
        if status.boot in self._past:
            return False
        if status.state == "dead":
            self._hear_death(status, house_s)
            return False
        before, self._baseline = self._baseline, (status.boot, at_s)
        if status.boot == self.boot and at_s <= self._at_s:
            return False
        if self.last is None or not retained:
            self.last = status
        if retained and not (before is not None and before[0] == status.boot and before[1] < at_s):
            return False
        self._adopt(status, at_s)
        self._heard_loop_s = loop_s
        self.hop = self.hop.turned(True, house_s)
        return True

    def _hear_death(self, status: Status, house_s: float) -> None:
        if self.last is None:
            self.last = status
        if status.boot == self.boot:
            self.last = status
            self.hop = self.hop.turned(False, house_s, "dead")
            self._heard_loop_s = None

    def _adopt(self, status: Status, at_s: float) -> None:
        if self.boot is not None and self.boot != status.boot:
            self._past[self.boot] = None
            while len(self._past) > BOOTS_REMEMBERED:
                self._past.popitem(last=False)
        self.boot, self._at_s, self.last = status.boot, at_s, status

    def tick(self, loop_s: float, house_s: float) -> None:
        """Time passed: after DEAD_AFTER_S real seconds of silence the edge is dead."""
        if self._heard_loop_s is not None and loop_s - self._heard_loop_s > DEAD_AFTER_S:
            self.hop = self.hop.turned(False, house_s, "silent")

    def age_s(self, loop_s: float) -> float | None:
        """Real seconds since the last heartbeat; None: none yet, or dead since."""
        return None if self._heard_loop_s is None else round(loop_s - self._heard_loop_s, 3)
