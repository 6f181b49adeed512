"""Whether the disk fills: told the time and the room, no I/O.

The pace is how fast room has gone over the last day, or for as long as this boot has watched it (ten minutes at least).
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

FULL_AT = 0.80  # of the disk's bytes
EASY_AT = 0.78  # below this, and with more than EASY_S left, it is over
WARN_S = 7 * 86_400.0  # so long before it is full at this pace
EASY_S = 8 * 86_400.0
EVERY_S = 600.0  # seconds between two that are remembered
REMEMBERED = 145  # a day of them


@dataclass(frozen=True, slots=True)
class Low:
    """So much of the disk is used, and (None: it does not fill) in so many seconds it is full."""

    used_pct: float
    full_in_s: float | None


class Space:
    """Fed now and then with real seconds and bytes."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, int]] = deque(maxlen=REMEMBERED)
        self.low: Low | None = None

    def feed(self, at_s: float, free: int, total: int) -> Low | None:
        """What is low now; None while there is room."""
        if not self._seen or at_s - self._seen[-1][0] >= EVERY_S:
            self._seen.append((at_s, free))
        used, full_in_s = 1 - free / total if total else 0.0, self._full_in_s(at_s, free)
        at, within_s = (FULL_AT, WARN_S) if self.low is None else (EASY_AT, EASY_S)
        low = used >= at or (full_in_s is not None and full_in_s <= within_s)
        self.low = Low(round(100 * used, 1), None if full_in_s is None else round(full_in_s)) if low else None
        return self.low

    def _full_in_s(self, at_s: float, free: int) -> float | None:
        since_s, then = self._seen[0]
        passed_s = at_s - since_s
        if passed_s < EVERY_S or then <= free:
            return None
        return free * passed_s / (then - free)
