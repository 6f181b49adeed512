"""A stop that is asked for once, given out once, and never late."""

from __future__ import annotations

import math


class StopOnce:
    """Who asks again for the same stop (`asked_s`) changes nothing."""

    def __init__(self) -> None:
        self._asked_s = -math.inf
        self._until_s: float | None = None  # None: none is to be given out

    @property
    def waits(self) -> bool:
        """Whether one is to be given out."""
        return self._until_s is not None

    def ask(self, asked_s: float, until_s: float) -> None:
        """One is to be given out before `until_s` (edge time)."""
        if asked_s > self._asked_s:
            self._asked_s, self._until_s = asked_s, until_s

    def taken(self, at_s: float) -> bool:
        """Whether it is to be sent now; from then on it is over."""
        until_s, self._until_s = self._until_s, None
        return until_s is not None and at_s < until_s

    def forget(self) -> None:
        """What was asked for is not sent any more."""
        self._until_s = None
