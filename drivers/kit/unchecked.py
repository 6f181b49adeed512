"""What is believed of a pump's rate and volume where the line has no checksum: a flipped bit makes another digit.

A new rate counts when `NEW_TIMES` responses running say it, the one that counted before when two do; none while the
volume stands still and the pump says that it runs. A volume counts
where it follows from the last that counted and from the rate (drivers/kit/tracks.py, `Rising`).
"""

from __future__ import annotations

from drivers.contract import Reading, Validity
from drivers.kit.tracks import Rising

NEW_TIMES = 3  # the same bit may flip twice; in three running it would be rare


class Unchecked:
    """Given the rates and volumes of one pump, one response after the other."""

    def __init__(self) -> None:
        self._total = Rising()
        self.forget()

    def forget(self) -> None:
        """Nothing was said before."""
        self.rate_ml_h: float | None = None  # the last that counted
        self._rates: tuple[float, int] = (-1.0, 0)  # the last that was said, and how often running
        self._total.forget()

    def rate(self, rate_ml_h: float) -> Reading:
        """The rate; questionable until it counts."""
        last, times = self._rates
        self._rates = (rate_ml_h, times + 1 if rate_ml_h == last else 1)
        if self._total.stands or self._rates[1] < (2 if rate_ml_h == self.rate_ml_h else NEW_TIMES):
            return _questionable("rate_ml_h", rate_ml_h)
        self.rate_ml_h = rate_ml_h
        return Reading("rate_ml_h", rate_ml_h)

    def interrupt(self) -> None:
        """A response said no rate: what is said next does not run on from what was said before."""
        self._rates = (-1.0, 0)

    def volume(self, volume_ml: float, requested_s: float, step_ml: float, *, runs: bool) -> Reading:
        """The volume, requested at edge time `requested_s` and told in steps of `step_ml`; questionable until it
        counts, and where it stands still while the pump says that it `runs`."""
        told = Reading("volume_infused_ml", volume_ml)
        reading = self._total.judged(told, requested_s, self.rate_ml_h or 0.0, step_ml, runs)
        return reading if reading.validity is Validity.VALID else _questionable("volume_infused_ml", volume_ml)


def _questionable(metric: str, value: float) -> Reading:
    return Reading(metric, value, Validity.QUESTIONABLE, "low_signal_quality")
