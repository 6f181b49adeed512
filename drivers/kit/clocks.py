"""A device's own clock in what it sends: it gives no value its age, but shows what is old and what stands still."""

from __future__ import annotations

import math

MOVES = 3  # so many small steps running, and the clock is known to go: a hurt one would make few of them


class Clocked:
    """For messages that say when they were made, by a clock that may be set, or may never have been started.

    A clock that was never seen to go says nothing. Of one that was: a message that is older than the last, or more
    than `most` later, is an old one come again, until `times` running follow each other (the clock was set); and the
    same time for more than `still` messages running means that nothing new comes. `cycle`: where the clock begins anew.
    While the line was away any time may have passed.
    """

    def __init__(self, most: float, still: int, times: int = 3, cycle: float | None = None) -> None:
        self._most, self._still, self._times, self._cycle = most, still, times, cycle
        self.forget()

    def forget(self) -> None:
        """Nothing was said before."""
        self._last: float | None = None  # of the last message that followed
        self._other: float | None = None  # of the last that did not
        self._steps = self._same = self._running = 0
        self._away = False

    def away(self) -> None:
        """The line was opened anew: the next message may be of any time after the last."""
        self._away = True

    def fault(self, made: float) -> str:
        """Why a message made then is not of now, in words; empty where it is, or where the clock says nothing."""
        if self._last is None:
            self._last = made
            return ""
        goes, step = self._steps >= MOVES, self._step(made, self._last)
        if step == 0:
            self._same += 1
            return f"the device's clock has stood still for {self._same} messages" if (
                goes and self._same > self._still) else ""
        self._same = 0
        if 0 < step <= (math.inf if self._away else self._most):
            self._last, self._other, self._running = made, None, 0
            self._away = False
            self._steps = min(self._steps + 1, MOVES)
            return ""
        near = self._other is not None and 0 <= self._step(made, self._other) <= self._most
        self._other, self._running = made, self._running + 1 if near else 1
        if goes and self._running < self._times:
            return "by the device's clock it does not follow the message before"
        self._last, self._other, self._running = made, None, 0
        if not goes:
            self._steps = 0
        return ""

    def _step(self, made: float, before: float) -> float:
        """How much later; negative where it is earlier."""
        step = made - before
        return step if self._cycle is None else (step + self._cycle / 2) % self._cycle - self._cycle / 2
