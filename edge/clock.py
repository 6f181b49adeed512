"""The edge clock: the only place that reads this machine's clocks.

Edge time is UTC at start plus the time since, so a step of the system clock (NTP, a person, a leap) can neither shorten
nor lengthen a hold. That time goes on while the machine sleeps (CLOCK_BOOTTIME, clock_gettime(2)): a number read before
a lid was closed is as old afterwards as it is. For demonstrations it may run fast: `speed` scales what rules, schedules
and physiology see, while the wire's own time-outs stay real time (`real_s`, and the event loop).
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable

from edge.model import iso

ROUNDING_MS = 0.001  # forgives binary fractions: 9.25 s after a whole millisecond is not rounded down to 9.249


def since_boot_s() -> float:
    """Real seconds since this machine was switched on, those it slept included (where its kernel knows them)."""
    boottime = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if boottime is None else time.clock_gettime(boottime)


class EdgeClock:
    """Time as an edge and its console have it.

    `speed` is edge seconds per real second. `epoch` (seconds since 1970 UTC) is the moment at which a fast clock and
    the machine's agree; processes that share one agree with each other; None: agree now. `not_before` is the last
    time the journal knows: a machine that boots in the past goes on from there. `wall` and `monotonic` are the two
    sources, in seconds.
    """

    def __init__(self, speed: float = 1.0, epoch: float | None = None, *, not_before: float = 0.0,
                 wall: Callable[[], float] = time.time, monotonic: Callable[[], float] = since_boot_s) -> None:
        if not (math.isfinite(speed) and speed > 0):
            raise ValueError(f"speed must be a positive number, not {speed!r}")
        self.speed = speed
        self._wall = wall
        self._monotonic = monotonic
        self._started_real = monotonic()
        at_start = wall()
        if speed != 1 and epoch is not None:
            at_start = epoch + (at_start - epoch) * speed
        self._started_edge = max(at_start, not_before)
        self._last = not_before

    def now(self) -> float:
        """Edge time: seconds since 1970 UTC in whole milliseconds, never smaller than an earlier answer."""
        exact = self._started_edge + (self._monotonic() - self._started_real) * self.speed
        self._last = max(self._last, math.floor(exact * 1000 + ROUNDING_MS) / 1000)
        return self._last

    def real_s(self) -> float:
        """Monotonic real seconds, for the wire and for measuring; comparable only with itself."""
        return self._monotonic()

    def wall(self) -> str:
        """This machine's own UTC clock, steps and all, in ISO form: for the record, never for a decision."""
        return iso(self._wall())

    def wall_s(self) -> float:
        """The same in seconds since 1970."""
        return self._wall()
