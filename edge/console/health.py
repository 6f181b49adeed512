"""Which part of the way from a device to this screen works: broker, edge, console, sound.

No I/O and no clock: real time comes as `loop_s` (the event loop's), edge time as `now_s`.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, replace
from typing import Any

from edge.contract.payloads import DEAD_AFTER_S, Status
from edge.model import iso

MAX_BOOTS = 64


@dataclass(frozen=True, slots=True)
class Part:
    """Whether one part works, since when (edge time), and if it does not, why."""

    ok: bool
    since_s: float
    reason: str | None = None

    def changed(self, ok: bool, now_s: float, reason: str | None = None) -> Part:
        """The part as it is now; `since` moves only when `ok` does."""
        return replace(self, ok=ok, since_s=self.since_s if ok == self.ok else now_s, reason=reason)

    def as_json(self) -> dict[str, Any]:
        """As the page gets it."""
        said: dict[str, Any] = {"ok": self.ok, "since": iso(self.since_s)}
        return said if self.reason is None else said | {"reason": self.reason}


class Heartbeat:
    """Whether the edge lives, by its heartbeats alone.

    A retained status is what someone once said: it is a heartbeat only when `at` advances over an earlier status of
    the same connection, and at a new connection it counts for nothing. A replayed status, or one of a boot that has
    been followed by another, is none. A last will ends only the boot it was made by.
    """

    def __init__(self, now_s: float) -> None:
        self.part = Part(False, now_s, "no heartbeat yet")
        self.boot: str | None = None
        self.last: Status | None = None
        self._at_s = 0.0
        self._heard_loop_s: float | None = None
        self._baseline: tuple[str, float] | None = None
        self._past: OrderedDict[str, None] = OrderedDict()

    def connected(self) -> None:
        """A new connection to the broker: what it retains is old until proven otherwise."""
        self._baseline = None

    def receive(self, status: Status, at_s: float, retained: bool, loop_s: float, now_s: float) -> bool:
        """Takes one status; `at_s` is its `at`. Returns whether it was a fresh heartbeat."""
        if status.boot in self._past:
            return False
        if status.state == "dead":
            self._receive_death(status, now_s)
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
        self.part = self.part.changed(True, now_s)
        return True

    def _receive_death(self, status: Status, now_s: float) -> None:
        if self.last is None:
            self.last = status
        if status.boot == self.boot:
            self.last = status
            self.part = self.part.changed(False, now_s, "dead")
            self._heard_loop_s = None

    def _adopt(self, status: Status, at_s: float) -> None:
        if self.boot is not None and self.boot != status.boot:
            self._past[self.boot] = None
            while len(self._past) > MAX_BOOTS:
                self._past.popitem(last=False)
        self.boot, self._at_s, self.last = status.boot, at_s, status

    def tick(self, loop_s: float, now_s: float) -> None:
        """Time passed: after DEAD_AFTER_S real seconds of silence the edge is dead."""
        if self._heard_loop_s is not None and loop_s - self._heard_loop_s > DEAD_AFTER_S:
            self.part = self.part.changed(False, now_s, "silent")

    def age_s(self, loop_s: float) -> float | None:
        """Real seconds since the last heartbeat; None: none yet, or dead since."""
        return None if self._heard_loop_s is None else round(loop_s - self._heard_loop_s, 3)
