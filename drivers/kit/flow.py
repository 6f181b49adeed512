"""What the volume infused says of a pump that does not tell whether it runs: its state, and whether its rate is true.

    the volume rises ........................ infusing
    it does not, and by the rate three steps should have risen ...... stopped
    between the two ......................... as it was; unknown where nothing was seen yet, or it fell

A step is the smallest rise ever seen (how fine the volume is told), but no less than what flows in two seconds. A rate
agrees where the volume rose by what it gives, within a quarter and a step, over the last 30 s and four steps.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from drivers.contract import PumpState

COARSE_ML = 0.1  # as long as no rise was seen
ENOUGH_STEPS, STILL_STEPS = 4, 3
STEP_S, WINDOW_S = 2.0, 30.0  # edge time
OFF = 0.25  # of what should have flowed
POINTS = 2000


@dataclass(frozen=True, slots=True)
class Seen:
    """What the volume says now."""

    state: PumpState
    agrees: bool


class Flow:
    """Given rate and volume of one response after the other."""

    def __init__(self) -> None:
        self._points: deque[tuple[float, float]] = deque(maxlen=POINTS)  # (time, volume) of one rate, one state
        self._rate_ml_s: float | None = None
        self._rose_s = 0.0
        self._grain_ml: float | None = None
        self._state: PumpState = "unknown"

    def heard(self, at_s: float, rate_ml_h: float, volume_ml: float) -> Seen:
        """One response, at edge time `at_s`."""
        rose_ml = round(volume_ml - self._points[-1][1], 6) if self._points else 0.0
        rate_ml_s = rate_ml_h / 3600.0
        if rate_ml_s != self._rate_ml_s or rose_ml < 0:
            self._points.clear()
            self._rate_ml_s, self._rose_s = rate_ml_s, at_s
        if rose_ml < 0:  # it was set, or is an old one: what the pump does must be seen anew
            self._state = "unknown"
        if rose_ml > 0:
            self._rose_s = at_s
            self._grain_ml = min(rose_ml, self._grain_ml or rose_ml)
        state = self._now(at_s, rate_ml_s, rose_ml)
        if state != self._state:
            self._points.clear()
        self._state = state
        self._points.append((at_s, volume_ml))
        return Seen(state, self._agrees(rate_ml_s))

    def _step_ml(self, rate_ml_s: float) -> float:
        return max(COARSE_ML if self._grain_ml is None else self._grain_ml, rate_ml_s * STEP_S)

    def _now(self, at_s: float, rate_ml_s: float, rose_ml: float) -> PumpState:
        if rose_ml > 0:
            return "infusing" if rate_ml_s > 0 else "unknown"
        if rate_ml_s == 0:
            return "stopped"
        owed_ml = rate_ml_s * (at_s - self._rose_s)
        return "stopped" if owed_ml >= STILL_STEPS * self._step_ml(rate_ml_s) else self._state

    def _agrees(self, rate_ml_s: float) -> bool:
        if rate_ml_s == 0:
            return self._state == "stopped"
        points, step_ml = self._points, self._step_ml(rate_ml_s)
        enough_ml = ENOUGH_STEPS * step_ml
        while len(points) > 2 and rate_ml_s * (points[-1][0] - points[1][0]) >= max(enough_ml, rate_ml_s * WINDOW_S):
            points.popleft()
        should_ml = rate_ml_s * (points[-1][0] - points[0][0])
        off_ml = abs(points[-1][1] - points[0][1] - should_ml)
        return should_ml >= enough_ml and off_ml <= OFF * should_ml + step_ml
