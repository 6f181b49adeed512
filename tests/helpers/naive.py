"""A second evaluator of the default pressure and saturation rules, written apart from edge.core, to compare it with.

It works every answer out anew from the whole trace and keeps nothing but which rules stand. Its definitions:
    unknown        no valid reading, one too old (10 s; a determination: interval + 300 s), or its link is gone
    PAIR(p)        p of the last determination, of one that is 60 s to max(600 s, 1.2 interval + 60 s) before it, and of
                   all between; where there is none so far before it, unknown from interval + 60 s after the last
    SUSTAINED(p)   for so long every valid reading said p, no hole over 5 s, and 80 % of the time was seen:
                   a reading speaks for the 2 s before it, and for nothing before the word that came before it
    SATSECONDS     sum of (limit - reading) x seconds seen below the limit; a reading at the limit empties it.
                   In a hole it stands still, and the reading after it counts as if seen for one second
    a rule         is on from when its condition is true until its clear is
    a group        is one alarm: the highest rule that is on speaks, and has no data while its condition, without the
                   time to hold, is unknown. When a rule that latches no longer speaks, its picture stays until a rule
                   as high as it speaks; a new alarm takes away the picture of every lower one
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

Truth = bool | None
HOLE_S, OLD_S, SPEAKS_FOR_S, STREAM_S, SEEN = 5.0, 10.0, 2.0, 2.0, 0.8


class Word(NamedTuple):
    """What came at `at_s`: "spo2" with one value or none, "bp" with two (one or none: it failed), "link" of the
    oximeter (0 gone, 1 live), or "tick"."""

    at_s: float
    kind: str
    values: tuple[float, ...] = ()


class Trace(NamedTuple):
    """A bed: its baseline pressures or none, its cuff's interval, its phase or none, and what came."""

    baseline: tuple[float, float] | None
    interval_s: float
    phase: str | None
    words: tuple[Word, ...]


def every(*parts: Truth) -> Truth:
    return False if False in parts else None if None in parts else True


def any_of(*parts: Truth) -> Truth:
    return True if True in parts else None if None in parts else False


def opposite(part: Truth) -> Truth:
    return None if part is None else not part


class Past:
    """A trace as far as one moment."""

    def __init__(self, trace: Trace, count: int) -> None:
        self.trace, self.words = trace, trace.words[:count]
        self.now_s = self.words[-1].at_s
        self.cycles = [word for word in self.words if word.kind == "bp" and len(word.values) == 2]
        said = [word for word in self.words if word.kind == "spo2"]
        self.readings = [(word.at_s, word.values[0], last)
                         for last, word in zip([None, *said], said, strict=False) if word.values]
        self.link = next((word.values[0] for word in reversed(self.words) if word.kind == "link"), 1.0)
        self.newest = said[-1] if said else None

    def pressure(self, p: Callable[[float, float], Truth], cycle: Word) -> Truth:
        return None if self.now_s - self.cycles[-1].at_s > self.trace.interval_s + 300 else p(*cycle.values)

    def last(self, p: Callable[[float, float], Truth]) -> Truth:
        return self.pressure(p, self.cycles[-1]) if self.cycles else None

    def pair(self, p: Callable[[float, float], Truth]) -> Truth:
        if not self.cycles or self.now_s - self.cycles[-1].at_s > self.trace.interval_s + 300:
            return None
        last = self.cycles[-1]
        window_s = max(600.0, 1.2 * self.trace.interval_s + 60)
        partners = [n for n, cycle in enumerate(self.cycles) if 60 <= round(last.at_s - cycle.at_s, 3) <= window_s]
        if partners:
            return any_of(*(every(*(self.pressure(p, cycle) for cycle in self.cycles[n:])) for n in partners))
        return None if self.now_s - last.at_s > self.trace.interval_s + 60 else False

    def above(self, factor: float) -> Callable[[float, float], Truth]:
        """Either pressure at `factor` of the baseline or more."""
        if self.trace.baseline is None:
            return lambda sbp, dbp: None
        base_sbp, base_dbp = self.trace.baseline
        return lambda sbp, dbp: sbp >= factor * base_sbp or dbp >= factor * base_dbp

    def value(self, p: Callable[[float], bool], old_s: float = OLD_S) -> Truth:
        newest = self.newest
        if newest is None or not newest.values or self.now_s - newest.at_s > old_s or not self.link:
            return None
        return p(newest.values[0])

    def sustained(self, p: Callable[[float], bool], for_s: float, *, from_before: bool) -> Truth:
        """`from_before`: what is sampled may have begun right after the reading before, if that was of one stream."""
        if (now := self.value(p, HOLE_S)) is not True:
            return now
        first = len(self.readings) - 1
        while first:
            at_s, value, _ = self.readings[first - 1]
            if not p(value) or self.readings[first][0] - at_s > HOLE_S:
                break
            first -= 1
        since_s = self.readings[first][0]
        if from_before and first and since_s - self.readings[first - 1][0] <= STREAM_S:
            since_s = self.readings[first - 1][0]
        seen_s = sum(max(0.0, at_s - max(at_s - SPEAKS_FOR_S, last.at_s, self.now_s - for_s))
                     for at_s, _, last in self.readings if last)
        return self.now_s - since_s >= for_s and seen_s >= SEEN * for_s

    def satseconds(self, limit: float) -> float:
        points = 0.0
        for number, (at_s, value, last) in enumerate(self.readings):
            if value >= limit:
                points = 0.0
            elif number == 0 or at_s - self.readings[number - 1][0] > HOLE_S:
                points += limit - value
            else:
                assert last is not None
                points += (limit - value) * min(SPEAKS_FOR_S, at_s - last.at_s)
        return points

    def dips(self, limit: float, window_s: float) -> int:
        values = [value for _, value, _ in self.readings]
        if not values or values[-1] >= limit:
            return 0
        return sum(value < limit and (n == 0 or values[n - 1] >= limit) and self.now_s - self.readings[n][0] < window_s
                   for n, value in enumerate(values))


Rule = tuple[str, bool, Callable[[Past], Truth], Callable[[Past], Truth], Callable[[Past], Truth] | None]
# id, does it latch, on, off, and its condition without the time to hold where there is one; the highest tier first
COURSE = ("INFUSING", "PAUSED", "RECOVERY", "DISCHARGE_READY")
HTN: tuple[Rule, ...] = (
    ("HTN-3", True,
     lambda past: any_of(past.last(lambda s, d: s >= 180 or d >= 120), past.pair(lambda s, d: d >= 110)),
     lambda past: past.last(lambda s, d: s < 170 and d < 105), None),
    ("HTN-2", True,
     lambda past: past.trace.phase in COURSE and any_of(
         past.pair(lambda s, d: any_of(s >= 160 or d >= 100, past.above(1.30)(s, d))),
         past.last(lambda s, d: d >= 110)),
     lambda past: every(past.last(lambda s, d: s < 155 and d < 97),
                        past.trace.baseline is None or opposite(past.last(past.above(1.25)))), None),
    ("HTN-1", False,
     lambda past: past.trace.phase in COURSE and past.pair(past.above(1.20)),
     lambda past: opposite(past.last(past.above(1.15))), None),
)
RES: tuple[Rule, ...] = (
    ("RES-3", True,
     lambda past: past.sustained(lambda v: v < 85, 10, from_before=True),
     lambda past: past.sustained(lambda v: v >= 88, 10, from_before=False),
     lambda past: past.value(lambda v: v < 85)),
    ("RES-2", False,
     lambda past: any_of(past.sustained(lambda v: v < 90, 15, from_before=True),
                         past.satseconds(90) >= 50, past.dips(90, 60) >= 3),
     lambda past: past.sustained(lambda v: v >= 92, 10, from_before=False),
     lambda past: any_of(past.value(lambda v: v < 90), past.satseconds(90) >= 50, past.dips(90, 60) >= 3)),
)
LONG: tuple[Rule, ...] = (  # no default rule: its hold is so long that holes and coverage are not one
    ("LONG-1", False,
     lambda past: any_of(past.sustained(lambda v: v < 94, 40, from_before=True), past.value(lambda v: v < 70)),
     lambda past: past.sustained(lambda v: v >= 95, 40, from_before=False),
     lambda past: past.value(lambda v: v < 94)),
)


@dataclass
class Shown:
    """What is shown of a trace so far. All that it keeps: which rules are on, which tier of each group speaks, whose
    picture stays, and what is asked."""

    on: set[str] = field(default_factory=set)
    speaks: dict[int, int | None] = field(default_factory=dict)
    pictures: dict[int, int | None] = field(default_factory=dict)
    asked: str = ""

    def apart(self) -> Shown:
        """Another one from here on."""
        return Shown(set(self.on), dict(self.speaks), dict(self.pictures), self.asked)

    def after(self, trace: Trace, count: int) -> dict[str, str]:
        """What is shown of each rule after the word before `count`, "active", "active, no data" or "latched"; HTN-R
        "asked" since the last determination."""
        past = Past(trace, count)
        states: dict[str, str] = {}
        for number, group in enumerate((HTN, RES, LONG)):
            states |= self._of_group(past, number, group)
        if (word := past.words[-1]).kind == "bp" and len(word.values) == 2:
            sbp, dbp = word.values
            once = every(past.last(past.above(1.20)), opposite(past.pair(past.above(1.20))), sbp < 180, dbp < 110)
            stands = any(states.get(rule[0], "").startswith("active") for rule in HTN)
            self.asked = "asked" if trace.phase in COURSE and once and not stands else ""
        return states | ({"HTN-R": self.asked} if self.asked else {})

    def _of_group(self, past: Past, number: int, group: tuple[Rule, ...]) -> dict[str, str]:
        states = {}
        for rule, _, begins, ends, _ in group:
            if (ends if rule in self.on else begins)(past) is True:
                self.on ^= {rule}
        before, top = self.speaks.get(number), next((n for n, rule in enumerate(group) if rule[0] in self.on), None)
        picture = self.pictures.get(number)
        if top is None:
            picture = picture if picture is not None or before is None or not group[before][1] else before
        elif before is None:
            picture = picture if picture is not None and picture < top else None
        elif top > before:
            picture = picture if picture is not None or not group[before][1] else before
        elif top < before:
            picture = picture if picture is not None and picture < top else None
        self.speaks[number], self.pictures[number] = top, picture
        if picture is not None:
            states[group[picture][0]] = "latched"
        if top is not None:
            rule, _, begins, _, now = group[top]
            no_data = before is not None and (now or begins)(past) is None
            states[rule] = "active, no data" if no_data else "active"
        return states


def shown(trace: Trace) -> list[dict[str, str]]:
    """After each word: what is shown."""
    so_far = Shown()
    return [so_far.after(trace, count) for count in range(1, len(trace.words) + 1)]
