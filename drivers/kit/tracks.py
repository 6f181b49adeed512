"""A volume that can only move with the rate: what it proves of the response that carries it.

A controller now and then sends the right number of registers from the wrong place, and no checksum tells. But a volume
moves by no more than the rate times the time, so a response whose volume is where it must be comes from the right
registers, and with it everything else in the same response. One that is elsewhere is questionable until it has stayed
there for `AGAIN` rounds (somebody set the counter to zero, or refilled the cylinder).
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import replace
from itertools import pairwise

from drivers.contract import Reading, Validity

BY_VOLUME = "a volume that stands still while the pump says that it runs"  # see `Spec.age`
COARSE_ML = 0.1  # no pump here tells its volume less finely, but where it is known to
ROUNDED = 1.01  # of a step: what its own rounding may add
SLACK_ML = 0.05  # what a device rounds, and the moment it counts at
EARLY_S = 1.0  # seconds by which its count may be older or newer than the response
UNTOLD = 1.2  # a pump may be so much faster than it says
MOST_ML_H = 1200.0  # no pump of these infuses faster
FIRST, AGAIN = 3, 6  # rounds running, before anything is believed; and after it is elsewhere
FITTING, FASTER_TIMES = 3, 4  # of a count that only grows, before anything is believed; where it ran faster than told
HOLE_S = 10.0  # edge time without a count: what comes then may be as old as the hole
LATELY_S, LEAST_S, POINTS = 30.0, 1.0, 64  # what a count itself shows of the rate
RISES = 6  # by which it is known how fast it rises
COARSE_MOVES = 2  # of a volume, and it is known how coarse it is
STILL_STEPS, STILL_S = 1.5, 3.0  # of these a running pump's count may owe; and for so long it may be late
UNEVEN = 0.5  # of what an even rise would be

Point = tuple[float | None, float]  # when, and how much


class Standing:
    """Whether a volume stands still while the pump runs: for longer than it would take by what it has shown, or by what
    the pump tells of its rate where that is less or nothing was shown yet."""

    def __init__(self) -> None:
        self._moves: deque[tuple[float, float]] = deque(maxlen=RISES)  # when it moved, and to what
        self._steps: deque[float] = deque(maxlen=RISES)  # by how much, where it stood before; else 0
        self._before_ml: float | None = None
        self._stood = False
        self._runs_s: float | None = None  # since when the pump says that it runs

    @property
    def step_ml(self) -> float:
        """How finely the volume is told, by what it has shown: one that always stands between two moves is coarse."""
        return min(self._steps) if len(self._steps) >= COARSE_MOVES else 0.0

    def seen(self, at_s: float, volume_ml: float, rate_ml_h: float | None, step_ml: float, *, runs: bool) -> bool:
        """One volume, asked for at edge time `at_s`; `rate_ml_h` None: the pump tells none. `runs`: it says that it
        infuses. Whether the volume has stood still for too long."""
        self._runs_s = (at_s if self._runs_s is None else self._runs_s) if runs else None
        before_ml, self._before_ml = self._before_ml, volume_ml
        if before_ml is not None and volume_ml != before_ml:
            if self._moves and (volume_ml - before_ml) * (self._moves[-1][1] - self._moves[0][1]) < 0:
                self._moves.clear()  # it was set, or is an old one: how fast it moves must be seen anew
            self._moves.append((at_s, volume_ml))
            self._steps.append(abs(volume_ml - before_ml) if self._stood else 0.0)
        self._stood = volume_ml == before_ml
        step_ml = max(step_ml, self.step_ml)
        if self._runs_s is None:
            return False
        still_s = at_s - max(self._runs_s, self._moves[-1][0] if self._moves else self._runs_s) - STILL_S
        told_ml_s = math.inf if rate_ml_h is None else rate_ml_h / 3600.0
        if len(self._moves) < FITTING:  # how finely it is told is not seen yet
            return told_ml_s < math.inf and told_ml_s * still_s > STILL_STEPS * max(step_ml, COARSE_ML)
        (began_s, began_ml), (moved_s, moved_ml) = self._moves[0], self._moves[-1]
        speed_ml_s = abs(moved_ml - began_ml) / max(moved_s - began_s, LEAST_S)
        return min(speed_ml_s, told_ml_s) * still_s > STILL_STEPS * max(step_ml, SLACK_ML)


class Track:
    """One volume. `sign` 1: it grows with what is infused; -1: it shrinks."""

    def __init__(self, sign: int) -> None:
        self._sign = sign
        self.forget()

    def forget(self) -> None:
        """Nothing is known (the line was opened)."""
        self._standing = Standing()
        self._known: tuple[float, float] | None = None  # when, and how much
        self._candidate: tuple[float, float] | None = None  # the same of what is elsewhere
        self._rounds = 0
        self._slack_ml = SLACK_ML

    def fits(self, volume_ml: float, rate_ml_h: float, at_s: float, *,
             step_ml: float = 0.0, runs: bool = False) -> bool:
        """Whether the volume is where it must be, with a rate of at most `rate_ml_h` since the last that fitted; one
        that stands still while the pump `runs` is an old one repeated (`Standing`). `step_ml`: how finely it is told,
        where that is known."""
        stands = self._standing.seen(at_s, volume_ml, rate_ml_h, step_ml, runs=runs)
        self._slack_ml = max(SLACK_ML, ROUNDED * max(step_ml, self._standing.step_ml))
        return self._leads(volume_ml, rate_ml_h, at_s) and not stands

    def _leads(self, volume_ml: float, rate_ml_h: float, at_s: float) -> bool:
        if self._known is not None and self._led(self._known, volume_ml, rate_ml_h, at_s):
            self._believe(volume_ml, at_s)
            return True
        near = self._candidate is not None and self._led(self._candidate, volume_ml, rate_ml_h, at_s)
        self._rounds = self._rounds + 1 if near else 1
        self._candidate = at_s, volume_ml
        if self._rounds >= (FIRST if self._known is None else AGAIN):
            self._believe(volume_ml, at_s)
            return True
        return False

    def _led(self, start: tuple[float, float], volume_ml: float, rate_ml_h: float, at_s: float) -> bool:
        """Whether it can have come here from there, at that rate at most; back it never goes."""
        moved, slack = self._sign * (volume_ml - start[1]), self._slack_ml + rate_ml_h * EARLY_S / 3600.0
        return -SLACK_ML <= moved <= UNTOLD * rate_ml_h * (at_s - start[0]) / 3600.0 + slack

    def _believe(self, volume_ml: float, at_s: float) -> None:
        self._known, self._candidate, self._rounds = (at_s, volume_ml), None, 0


def doubted(reading: Reading) -> Reading:
    """The reading of a response that nothing proves."""
    if reading.validity is not Validity.VALID:
        return reading
    return replace(reading, validity=Validity.QUESTIONABLE, reason="implausible")


class Rising:
    """A count that only grows, and no faster than the pump runs. One that has fallen, or risen by more, is an old
    response come again, until it has stayed there: for `AGAIN` rounds where it fell or no pump runs so fast (somebody
    set it, or a syringe was put in), for `FASTER_TIMES` where the pump only ran faster than it told. After an opening
    or a hole of `HOLE_S`, `FITTING` rounds running must follow each other.

    How fast the pump runs is what two rounds running told, or, where that is more, what the count itself has shown.
    The count of a pump that runs, and that stands still, is an old one repeated (`Standing`)."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Nothing is known (the line was opened)."""
        self._counted: deque[Point] = deque(maxlen=POINTS)  # of late
        self._elsewhere: list[Point] = []  # those that do not count, running
        self._told_ml_h: float | None = None
        self._slack_ml = SLACK_ML
        self._standing = Standing()
        self.stands = False  # the pump says that it runs, and its count has not moved for too long
        self.strays = False  # the count that came last cannot follow those that counted

    @property
    def proves(self) -> bool:
        """Whether what stood beside the count that came last may be of now."""
        return not self.stands and not self.strays

    def beside(self, reading: Reading) -> Reading:
        """What stood beside that count, as far as it proves it."""
        return reading if self.proves else doubted(reading)

    def judged(self, reading: Reading, at_s: float | None, rate_ml_h: float | None = None,
               step_ml: float = 0.0, runs: bool = False) -> Reading:
        """The reading, questionable where its number, mL, cannot follow the last. `at_s`: when it was asked for, edge
        seconds; None: nobody asked, so that the first counts, and how fast it rises is not known. `rate_ml_h`: what the
        pump tells of its rate with it; None: nothing, and it may be any. `step_ml`: how finely it is told. `runs`: the
        pump says that it infuses."""
        if reading.value is None:
            return reading
        told_ml_h = rate_ml_h or None
        self.stands = at_s is not None and self._standing.seen(at_s, reading.value, told_ml_h, step_ml, runs=runs)
        self._slack_ml = max(SLACK_ML, ROUNDED * max(step_ml, self._standing.step_ml))
        told_ml_h, self._told_ml_h = self._told_ml_h, rate_ml_h
        fastest_ml_h = MOST_ML_H
        if rate_ml_h is not None:
            fastest_ml_h = max(rate_ml_h if told_ml_h is None else min(rate_ml_h, told_ml_h), self._shown_ml_h())
        now = at_s, reading.value
        known = bool(self._counted)
        if not self._counts(now, fastest_ml_h):
            self.strays = known
            return doubted(reading)
        self.strays = False
        if self._elsewhere:
            self._counted, self._elsewhere = deque(self._elsewhere[:-1], maxlen=POINTS), []
        while self._counted and _since(self._counted[0], at_s) > LATELY_S:
            self._counted.popleft()
        self._counted.append(now)
        return doubted(reading) if self.stands else reading

    def _counts(self, now: Point, fastest_ml_h: float) -> bool:
        known = self._counted[-1] if self._counted else None
        if known is None and now[0] is None:
            return True
        if known is not None and self._can_follow(known, now, fastest_ml_h):
            self._elsewhere = []
            return True
        self._elsewhere = [*self._goes_on(now, fastest_ml_h)[1 - AGAIN:], now]
        if not (known is None or _since(known, now[0]) > HOLE_S or self._can_follow(known, now, MOST_ML_H)):
            return len(self._elsewhere) >= AGAIN
        as_told = all(self._can_follow(one, other, fastest_ml_h) for one, other in pairwise(self._elsewhere))
        return len(self._elsewhere) >= (FITTING if as_told else FASTER_TIMES)

    def _goes_on(self, now: Point, fastest_ml_h: float) -> list[Point]:
        """Of those that do not count, the ones that `now` goes on from: as fast as the pump tells, or evenly."""
        before = self._elsewhere
        if not before or not self._can_follow(before[-1], now, MOST_ML_H):
            return []
        if not self._can_follow(before[-1], now, fastest_ml_h):
            return before if len(before) < 2 or self._is_even(now) else []
        first = len(before) - 1
        while first and self._can_follow(before[first - 1], before[first], fastest_ml_h):
            first -= 1
        return before[first:]

    def _is_even(self, now: Point) -> bool:
        (began_s, began_ml), (ended_s, ended_ml) = self._elsewhere[0], self._elsewhere[-1]
        if began_s is None or ended_s is None or now[0] is None:
            return True
        even_ml = (ended_ml - began_ml) / max(ended_s - began_s, LEAST_S) * (now[0] - ended_s)
        return abs(now[1] - ended_ml - even_ml) <= UNEVEN * even_ml + self._slack_ml

    def _shown_ml_h(self) -> float:
        """How fast it rose of late."""
        if len(self._counted) < FITTING:
            return 0.0
        (began_s, began_ml), (ended_s, ended_ml) = self._counted[0], self._counted[-1]
        if began_s is None or ended_s is None:
            return MOST_ML_H
        return min(3600.0 * (ended_ml - began_ml) / max(ended_s - began_s, LEAST_S), MOST_ML_H)

    def _can_follow(self, start: Point, now: Point, fastest_ml_h: float) -> bool:
        """Whether a count that was `start` can be this one by now."""
        if now[0] is None or start[0] is None:
            return now[1] >= start[1]
        passed_s = now[0] - start[0]
        most_ml = (fastest_ml_h if fastest_ml_h == MOST_ML_H else UNTOLD * fastest_ml_h) * (passed_s + EARLY_S) / 3600.0
        return passed_s <= HOLE_S and 0 <= now[1] - start[1] <= most_ml + self._slack_ml


def _since(start: Point, now_s: float | None) -> float:
    return 0.0 if now_s is None or start[0] is None else now_s - start[0]
