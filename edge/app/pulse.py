"""Whether the edge itself was awake: told the time by three clocks, no I/O.

    real     goes on while the machine sleeps (CLOCK_BOOTTIME)
    loop     stands still meanwhile (CLOCK_MONOTONIC)
    wall     the machine's UTC clock, which people and NTP set

A turn of the loop that comes more than PAUSED_S late judged nobody for so long: the machine slept, if `loop` does not
know of it, or the loop stalled.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

PAUSED_S = 2.0  # real seconds without a turn of the loop; ageing readings are stale after no less
STEPPED_S = 2.0  # so much the wall clock may differ between two turns from the time that passed


@dataclass(frozen=True, slots=True)
class Pause:
    """Nobody was judged for `real_s` seconds of real time."""

    real_s: float
    why: Literal["slept", "stalled"]


class Pulse:
    """Fed at every turn of the loop."""

    def __init__(self, real_s: float, loop_s: float, wall_s: float) -> None:
        self._last = real_s, loop_s, wall_s

    def feed(self, real_s: float, loop_s: float, wall_s: float) -> tuple[Pause | None, float]:
        """The pause that ends now, if there was one; and by how much the wall clock was set since the last turn (0:
        not, or by less than STEPPED_S)."""
        before, self._last = self._last, (real_s, loop_s, wall_s)
        passed_s, turned_s = real_s - before[0], loop_s - before[1]
        step_s = round(wall_s - before[2] - passed_s, 3)
        pause = None
        if passed_s > PAUSED_S:
            pause = Pause(round(passed_s, 3), "slept" if passed_s - turned_s > PAUSED_S / 2 else "stalled")
        return pause, step_s if abs(step_s) >= STEPPED_S else 0.0
