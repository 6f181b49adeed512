"""What is believed of a pump's rate and volume where the line has no checksum: a flipped bit makes another digit.

A new rate counts when `NEW_TIMES` responses running say it, the one that counted before when two do. A volume counts
where it follows from the last that counted and from the rate, or where `NEW_TIMES` running follow from each other. So a
wrong volume is off by no more than what can have flowed meanwhile.
"""

from __future__ import annotations

from collections.abc import Mapping

from drivers.contract import Reading, Validity

NEW_TIMES = 3  # the same bit may flip twice; in three running it would be rare
MOST_HOLE_S = 10.0  # edge time between two volumes; after a longer hole it has to follow anyway


class Unchecked:
    """Given the rates and volumes of one pump, one response after the other. `limits`: of rate_ml_h, at least."""

    def __init__(self, limits: Mapping[str, tuple[float, float]]) -> None:
        self._most_ml_h = limits["rate_ml_h"][1]
        self.forget()

    def forget(self) -> None:
        """Nothing was said before."""
        self.rate_ml_h: float | None = None  # the last that counted
        self._rates: tuple[float, int] = (-1.0, 0)  # the last that was said, and how often running
        self._volume: tuple[float, float] | None = None  # the last that counted, and when it was requested
        self._volumes: tuple[float, float, int] | None = None  # the last that was said, when, how many running

    def rate(self, rate_ml_h: float) -> Reading:
        """The rate; questionable until it counts."""
        last, times = self._rates
        self._rates = (rate_ml_h, times + 1 if rate_ml_h == last else 1)
        if self._rates[1] < (2 if rate_ml_h == self.rate_ml_h else NEW_TIMES):
            return _questionable("rate_ml_h", rate_ml_h)
        self.rate_ml_h = rate_ml_h
        return Reading("rate_ml_h", rate_ml_h)

    def volume(self, volume_ml: float, requested_s: float, step_ml: float) -> Reading:
        """The volume, requested at edge time `requested_s` and told in steps of `step_ml`; questionable until it
        counts."""
        times = 1
        if self._volumes is not None and self._flowed(self._volumes[:2], volume_ml, requested_s, step_ml):
            times = self._volumes[2] + 1
        self._volumes = (volume_ml, requested_s, times)
        follows = self._volume is not None and self._flowed(self._volume, volume_ml, requested_s, step_ml)
        if times < NEW_TIMES and not follows:
            return _questionable("volume_infused_ml", volume_ml)
        self._volume = (volume_ml, requested_s)
        return Reading("volume_infused_ml", volume_ml)

    def _flowed(self, before: tuple[float, float], volume_ml: float, at_s: float, step_ml: float) -> bool:
        """Whether no more than twice the rate's has flowed since, give or take one step."""
        rate_ml_h = self._most_ml_h if self.rate_ml_h is None else self.rate_ml_h
        hours = min(at_s - before[1], MOST_HOLE_S) / 3600.0
        return -1.01 * step_ml <= volume_ml - before[0] <= 2 * rate_ml_h * hours + 1.01 * step_ml


def _questionable(metric: str, value: float) -> Reading:
    return Reading(metric, value, Validity.QUESTIONABLE, "low_signal_quality")
