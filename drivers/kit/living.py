"""Whether a wave lives that comes with a device's numbers: one that repeats itself, sample for sample, in less than a
heart beat is a piece that comes again, and the numbers beside it are as old as it is."""

from __future__ import annotations

from collections import deque

from drivers.contract import Reading
from drivers.kit.tracks import doubted

LASTS_S = 3.0  # a wave may be flat for a moment
AFTER = 2  # times so long it lives again, and it is believed: something else may come between two such pieces
SHORTEST_BEAT_S = 0.23  # no heart beats in less (260 /min)
BY_WAVE = "a wave that repeats itself exactly, in pieces shorter than a heart beat"  # see `Spec.age`


class Living:
    """Given the wave, sample after sample, `rate_hz` of them a second, each from 0 to 255."""

    def __init__(self, rate_hz: float) -> None:
        self._samples: deque[int] = deque(maxlen=round(LASTS_S * rate_hz))
        self._longest = int(SHORTEST_BEAT_S * rate_hz)
        self._every, self._since = max(round(rate_hz / 4), 1), 0
        self._doubted = 0  # samples more

    def sample(self, value: int | None) -> None:
        """One more; None: the device has none."""
        if value is None:
            self.forget()
            return
        self._samples.append(value)
        self._since += 1
        self._doubted = max(self._doubted - 1, 0)
        if self._since >= self._every:
            self._since = 0
            if self._is_repeated():
                self._doubted = AFTER * len(self._samples)

    def forget(self) -> None:
        """What comes next has nothing to do with what came."""
        self._samples.clear()
        self._doubted = 0

    @property
    def repeats(self) -> bool:
        """Whether it has repeated itself for `LASTS_S`, a moment ago at most."""
        return self._doubted > 0

    def beside(self, reading: Reading) -> Reading:
        """A number that came with the wave: questionable while that repeats itself."""
        return doubted(reading) if self.repeats else reading

    def _is_repeated(self) -> bool:
        held = bytes(self._samples)
        if len(held) < (self._samples.maxlen or 0):
            return False
        return any(held[step:] == held[:-step] for step in range(1, self._longest + 1))
