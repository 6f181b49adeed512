"""Which part of the way from a device to this screen works, and what an edge's clock says.

No I/O and no clock: real time comes as `loop_s` (the event loop's), this console's time as `now_s`.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from edge.contract.clocks import ClockOffset
from edge.contract.payloads import DEAD_AFTER_S, ProtocolNow, Status
from edge.model import iso

MAX_BOOTS = 64

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Part:
    """Whether one part works, since when (this console's time), and if it does not, why."""

    ok: bool
    since_s: float
    reason: str | None = None

    def changed(self, ok: bool, now_s: float, reason: str | None = None) -> Part:
        """The part as it is now; `since` moves only when `ok` does."""
        return replace(self, ok=ok, since_s=self.since_s if ok == self.ok else now_s, reason=reason)

    def as_json(self) -> Json:
        """As the page gets it."""
        told: Json = {"ok": self.ok, "since": iso(self.since_s)}
        return told if self.reason is None else told | {"reason": self.reason}


def together(parts: Mapping[str, Part]) -> Part:
    """The same part of several edges as one: it works where each does, and says which do not."""
    if len(parts) == 1:
        return next(iter(parts.values()))
    broken = {edge: part for edge, part in parts.items() if not part.ok}
    if not broken:
        return Part(True, max(part.since_s for part in parts.values()))
    why = "; ".join(f"{edge}: {part.reason}" for edge, part in broken.items())
    return Part(False, min(part.since_s for part in broken.values()), why)


@dataclass(frozen=True, slots=True)
class Trouble:
    """One thing that is wrong, in words for a screen. `edge` None: it concerns them all."""

    part: str
    edge: str | None
    since_s: float
    what: str
    remedy: str

    def as_json(self) -> Json:
        """As the page gets it."""
        return {"part": self.part, "edge": self.edge, "ok": False, "since": iso(self.since_s), "what": self.what,
                "remedy": self.remedy}


def troubles_json(troubles: Iterable[Trouble]) -> list[Json]:
    """As the page gets them: the newest first."""
    return [each.as_json() for each in sorted(troubles, key=lambda each: -each.since_s)]


class Heartbeat:
    """Whether the edge lives, by its statuses alone.

    A retained status is what someone once said: it is a heartbeat only when `at` advances over an earlier status of
    the same connection, and at a new connection it counts for nothing. A replayed status, or one of a boot that has
    been followed by another, is none. A last will ends only the boot it was made by.
    """

    def __init__(self, now_s: float) -> None:
        self.part = Part(False, now_s, "no heartbeat yet")
        self.boot: str | None = None
        self.last: Status | None = None
        self.clock = ClockOffset()
        self._at_s = 0.0
        self._heard_loop_s: float | None = None
        self._baseline: tuple[str, float] | None = None
        self._past: OrderedDict[str, None] = OrderedDict()
        self.two_boxes = False

    def is_past(self, status: Status) -> bool:
        """Whether a live status is of a boot that another has followed: two boxes with one name take turns."""
        return status.state == "alive" and status.boot in self._past

    def set_two_boxes(self, two: bool, edge: str, now_s: float) -> None:
        """While two boxes have one name nothing they say can be shown as live."""
        self.two_boxes = two
        if two:
            self.part = self.part.changed(False, now_s, f"two boxes call themselves {edge}")

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
        self.clock.heard(at_s, now_s)
        if not self.two_boxes:
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
        if self.boot != status.boot:
            self.clock.forget()
            if self.boot is not None:
                self._past[self.boot] = None
            while len(self._past) > MAX_BOOTS:
                self._past.popitem(last=False)
        self.boot, self._at_s, self.last = status.boot, at_s, status

    def tick(self, loop_s: float, now_s: float) -> None:
        """Time passed: after DEAD_AFTER_S real seconds of silence the edge is dead."""
        if self._heard_loop_s is not None and loop_s - self._heard_loop_s > DEAD_AFTER_S and not self.two_boxes:
            self.part = self.part.changed(False, now_s, "silent")

    @property
    def protocols(self) -> tuple[ProtocolNow, ...]:
        """By which the edge opens sessions, as it said last."""
        return () if self.last is None else self.last.protocols

    def protocols_json(self, edge: str) -> Json:
        """They, as the page gets them."""
        return {"t": "protocols", "edge": edge, "protocols": msgspec.to_builtins(self.protocols)}

    def age_s(self, loop_s: float) -> float | None:
        """Real seconds since the last heartbeat; None: none yet, or dead since."""
        return None if self._heard_loop_s is None else round(loop_s - self._heard_loop_s, 3)
