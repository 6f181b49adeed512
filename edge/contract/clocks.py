"""How far the clock of an edge and that of a console are apart. No I/O."""

from __future__ import annotations

from collections import deque

KEPT = 5  # messages that an offset is judged by: few, so that a clock that is set back is soon known
SKEW_S = 2.0  # real seconds two clocks may differ before somebody is told; TEC-5 says the same of the beds


class ClockOffset:
    """How far another's clock is ahead of one's own, by the time in its messages.

    A message is some time on its way, so each shows the other's clock a little too early. Of the last few, the one
    that shows it latest was on its way the shortest.
    """

    def __init__(self) -> None:
        self._offsets: deque[float] = deque(maxlen=KEPT)

    def heard(self, at_s: float, now_s: float) -> None:
        """A message of the other's time `at_s` came at one's own `now_s`."""
        self._offsets.append(at_s - now_s)

    def forget(self) -> None:
        """The other started again, with a clock of its own."""
        self._offsets.clear()

    @property
    def known(self) -> bool:
        """Whether a message came."""
        return bool(self._offsets)

    @property
    def offset_s(self) -> float:
        """Seconds to add to one's own time; 0 while nothing is known."""
        return max(self._offsets, default=0.0)

    def skew_s(self, speed: float) -> float | None:
        """The offset in real seconds, the other ahead is positive; None: not known. `speed` is of both clocks."""
        return round(self.offset_s / speed, 1) if self._offsets else None
