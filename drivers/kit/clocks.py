"""A device's own clock in what it sends: it gives no value its age, but shows what is old and what stands still."""

from __future__ import annotations

import math
from collections import deque
from typing import Literal

MOVES = 3  # so many small steps running, and the clock is known to go: a hurt one would make few of them
AHEAD_S, BEHIND_S = 0.25, 5.0  # of the punctual: what is further from it was held up on its way
BURST = 1.3  # times as often as is said a message may come: its device's clock, and what lies between, may be off
GAP_TIMES = 3.5  # of the time from one to the next: more is a gap
EVEN_TIMES, ANYHOW_TIMES = 12, 300  # so many show how fast they come
EVEN, MISSES = 0.95, 1.2  # of that time: no less is even; more, and one is missing between
JITTER = 0.25  # of what may have waited here: what is punctual may itself have waited so long
SETTLE_S = 2.0  # edge time for which the two clocks go alike before their difference is believed
GONE_S = 60.0  # nothing for so long, while the device's clock went on for so long: it was away, and may have been set
AGED_S = 3.0  # edge time: by so much an age may lag that is told in whole seconds, some time after it was asked for
BEHIND_AGE_S = 1.5  # one that lags so much behind the one before does not go on
PROVEN_S = 6.0  # edge time for which an age that has gone on proves what else the device says
TIME_PROVEN_S = 8.0  # the same, of a time that is asked for
TOLD_S = 2.0  # a time of day is told in whole seconds, and within a second of being asked for
DRIFT, EARLIER = 0.01, 0.1  # of the edge time that passes: by so much at most the punctual moves on, and back where
# something came earlier (a crystal drifts 0.0001; the others were held up a little)


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


class InStep:
    """For messages that say when they were made, by a clock that goes as the edge's does, whatever time it shows. It is
    told in steps of `grain_s`; `cycle_s`: where it begins anew. One that was never seen to go says nothing.

    A burst of old messages (a terminal server held them up) says more of the device's time than of the edge's has
    passed: what runs ahead is not of now, and nor is what follows until the two clocks have gone alike for `SETTLE_S`
    of edge time. What comes `BEHIND_S` later than the punctual is old. It is for as long as it stays late: a line that
    holds everything up makes the device's time go on from one message to the next, and shows nothing else. A clock that
    went back was set, or began anew, and counts once it has gone alike for as long; so does one that comes late after
    `GONE_S` of which no message was heard (held up, they would have come).
    """

    def __init__(self, cycle_s: float | None = None, grain_s: float = 0.0) -> None:
        self._cycle_s, self._ahead_s = cycle_s, AHEAD_S + grain_s
        self._known: tuple[float, float] | None = None  # edge and device time of a punctual message
        self._other: tuple[float, float] | None = None  # of the first of those that are not
        self._since_s = 0.0  # edge time since when those go alike
        self._newest_s = 0.0  # device time of the last message that was punctual, or came after one that was
        self._goes = self._may_be_set = False
        self._last: tuple[float, float] | None = None  # edge and device time of the last message
        self._heard: tuple[float, float] | None = None

    def heard(self, at_s: float, unsure_s: float) -> None:
        """The next message came at edge time `at_s`, and may have waited here for `unsure_s` of it."""
        self._heard = at_s, unsure_s

    def forget(self) -> None:
        """Another device is there."""
        self._known = self._other = self._last = None
        self._goes = self._may_be_set = False

    def fault(self, made_s: float) -> str:
        """Why a message made at `made_s` (device) is not of now, in words; empty: it is, or the clock says nothing, or
        nobody said when it came."""
        if self._heard is None:
            return ""
        at_s, unsure_s = self._heard
        now = at_s, made_s
        if self._known is None:
            return self._believed(now, now)
        late_s, went_s = self._late_s(self._known, now), self._step_s(self._newest_s, made_s)
        self._may_be_set |= self._was_away(now)
        self._last = now
        ahead_s, behind_s = self._ahead_s + JITTER * unsure_s, BEHIND_S + unsure_s
        self._goes = self._goes or went_s > 0
        if not self._goes or -ahead_s <= late_s <= behind_s:
            return self._believed(self._followed(self._known, now, late_s) if self._goes else now, now)
        words = f"by the device's clock it comes {abs(late_s):.1f} s {'early' if late_s < 0 else 'late'}"
        if late_s > 0 and went_s >= 0 and not self._may_be_set:
            self._newest_s, self._other = made_s, None
            return words
        other_s = math.inf if self._other is None else self._late_s(self._other, now)
        if self._other is None or not -ahead_s <= other_s <= behind_s:
            self._other, self._since_s = now, at_s
        elif at_s - self._since_s >= SETTLE_S:
            return self._believed(now, now)
        return words

    def _believed(self, punctual: tuple[float, float], now: tuple[float, float]) -> str:
        self._known, self._other, self._newest_s = punctual, None, now[1]
        self._last, self._may_be_set = now, False
        return ""

    def _was_away(self, now: tuple[float, float]) -> bool:
        """Not where it comes as late as the last did: then messages are only rare."""
        return (self._last is not None and now[0] - self._last[0] >= GONE_S
                and self._step_s(self._last[1], now[1]) >= GONE_S
                and self._late_s(self._last, now) > self._ahead_s)

    def _step_s(self, before_s: float, made_s: float) -> float:
        """How much later by the device; negative where it is earlier."""
        step_s = made_s - before_s
        return step_s if self._cycle_s is None else (step_s + self._cycle_s / 2) % self._cycle_s - self._cycle_s / 2

    def _late_s(self, start: tuple[float, float], now: tuple[float, float]) -> float:
        """How much more edge time than device time has passed since `start`."""
        return now[0] - start[0] - self._step_s(start[1], now[1])

    @staticmethod
    def _followed(known: tuple[float, float], now: tuple[float, float], late_s: float) -> tuple[float, float]:
        """What is punctual from now on: as punctual as this one, but for what the clocks may have drifted apart."""
        passed_s = max(now[0] - known[0], 0.0)
        return now[0], now[1] + late_s - min(max(late_s, -EARLIER * passed_s), DRIFT * passed_s)


class Cadence:
    """For messages without a time of which one comes every `every_s`: what comes sooner than that, and did not wait
    here, was held up on its way. Of the first ones after an opening none may have waited here. After a gap, or an
    opening that is not the first, all of it may have been held up, and come a little faster than it was sent: nothing
    is sure until `EVEN_TIMES` of those without one missing between, or `ANYHOW_TIMES` of all, have come no faster than
    that (the clocks may differ by `EVEN`); then what is missing is lost."""

    def __init__(self, every_s: float) -> None:
        self._every_s = every_s
        self._heard: tuple[float, float] | None = None
        self._last_s = 0.0
        self._after_gap = False  # what comes may be old
        self._near: deque[float] = deque(maxlen=EVEN_TIMES)  # since then: times from one to the next
        self._all: deque[float] = deque(maxlen=ANYHOW_TIMES)  # these, with what may be missing between
        self._came = 0  # those of now since the opening, up to `MOVES`
        self.opened()

    def opened(self) -> None:
        """The line was opened, or nobody was heard and it was begun anew."""
        self._room = 1.0  # messages that may come now
        if self._came:
            self._gap()
        self._came = 0

    def heard(self, at_s: float, unsure_s: float) -> None:
        """The next message came at edge time `at_s`, and may have waited here for `unsure_s` of it."""
        self._heard = at_s, unsure_s

    def told(self) -> Literal["now", "unsure", "late"]:
        """What the message that came is; of now, where nobody said when it came."""
        if self._heard is None:
            return "now"
        at_s, unsure_s = self._heard
        passed_s, self._last_s = max(at_s - self._last_s, 0.0), at_s
        most = 1.0 + (unsure_s / self._every_s if self._came >= MOVES else 0.0)
        self._room = min(self._room + BURST * passed_s / self._every_s, most)
        burst = self._room < 1.0
        if not burst:
            self._room -= 1.0
            if passed_s > GAP_TIMES * self._every_s and self._came:
                self._gap()
                passed_s = 0.0
            self._came = min(self._came + 1, MOVES)
        unsure = self._after_gap and not self._is_even(passed_s)
        self._after_gap = unsure
        return "late" if burst else "unsure" if unsure else "now"

    def _gap(self) -> None:
        self._after_gap = True
        self._near.clear()
        self._all.clear()

    def _is_even(self, passed_s: float) -> bool:
        """Whether those since the gap came no faster than they are sent; `passed_s` since the one before."""
        if passed_s > 0:
            self._all.append(passed_s)
            if passed_s <= MISSES * self._every_s:
                self._near.append(passed_s)
        return any(len(these) == these.maxlen and sum(these) >= EVEN * len(these) * self._every_s
                   for these in (self._near, self._all))


class Aged:
    """For a device that is asked, and tells how long ago its last result was taken: no clock, but while that result
    stands its age goes on as the edge's clock does. Where it does not, old answers come again, and nothing else that
    comes the same way is of now. One whose age was never seen to go on says nothing.
    """

    def __init__(self) -> None:
        self._steps = 0
        self._known_s: float | None = None  # edge time at which the result that stands was taken
        self._last: tuple[float, float] | None = None  # when the last age was told, and what it was
        self._proven_s = self._told_s = -math.inf

    def told(self, age_s: float | None, at_s: float) -> None:
        """An age, told at edge time `at_s`; None: the device has no result."""
        last, self._last = self._last, None if age_s is None else (at_s, age_s)
        if age_s is None:
            self._known_s = None
            return
        taken_s, gone_s = at_s - age_s, 0.0 if last is None else age_s - last[1]
        if last is not None and 0 <= gone_s < at_s - last[0] - BEHIND_AGE_S:
            self._proven_s = -math.inf
        elif self._known_s is not None and abs(taken_s - self._known_s) <= AGED_S:
            if gone_s > 0:
                self._proves(taken_s if taken_s < self._known_s else self._known_s + DRIFT * gone_s, at_s)
        elif last is not None and gone_s > 0 and abs(at_s - last[0] - gone_s) <= AGED_S and taken_s >= self._told_s:
            self._proves(taken_s, at_s)  # a new result, which two running tell: taken after the last was told

    def _proves(self, taken_s: float, at_s: float) -> None:
        self._steps = min(self._steps + 1, MOVES)
        self._known_s, self._proven_s, self._told_s = taken_s, at_s, at_s - AGED_S

    @property
    def proven_s(self) -> float:
        """Edge time up to which what came is proven; infinity where the device tells nothing that could prove it."""
        return self._proven_s if self._steps >= MOVES and self._known_s is not None else math.inf

    def holds(self, at_s: float) -> bool:
        """Whether what comes now may be of now."""
        return at_s - self.proven_s <= PROVEN_S


class GoesOn:
    """For a device that is asked, and is asked for its time too, apart from its numbers: those are of now while that
    time goes on as the edge's clock does (`InStep`), and goes on from the last time told. `cycle_s`: where it begins
    anew. One that was never seen to go says nothing."""

    def __init__(self, cycle_s: float) -> None:
        self._cycle_s = cycle_s
        self.forget()

    def forget(self) -> None:
        """Nothing was told before."""
        self._in_step = InStep(self._cycle_s, TOLD_S)
        self._last: tuple[float, float] | None = None  # when the last time was told, and what it was
        self._proven_s: float | None = None
        self._steps = 0  # running, up to `MOVES`

    def told(self, made_s: float, at_s: float) -> None:
        """The time `made_s`, asked for at edge time `at_s`."""
        last, self._last = self._last, (at_s, made_s)
        self._in_step.heard(at_s, 0.0)
        late = self._in_step.fault(made_s)
        passed_s, went_s = (0.0, 0.0) if last is None else (at_s - last[0], (made_s - last[1]) % self._cycle_s)
        if late or abs(went_s - passed_s) > TOLD_S:
            self._proven_s = -math.inf if self._steps >= MOVES else None
        else:
            self._steps = min(self._steps + (went_s > 0), MOVES)
            self._proven_s = at_s if self._steps >= MOVES else None

    def holds(self, at_s: float) -> bool:
        """Whether what comes now may be of now."""
        return self._proven_s is None or at_s - self._proven_s <= TIME_PROVEN_S
