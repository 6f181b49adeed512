"""Random short traces out of what lies at the limits: pressures at a threshold and one unit below it, intervals at the
edges of a pair, readings whose spacing just covers a hold, holes that just break one, dips that just are within a
minute.

Traces of one beginning differ in how they end: who evaluates them lives the beginning once. Number and seed give the
same traces anywhere.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from copy import copy
from dataclasses import dataclass, field
from random import Random
from typing import NamedTuple

from edge.model import Phase
from tests.helpers.naive import Trace, Word

ENDINGS = 10  # of one beginning
BASELINES = ((120.0, 75.0), (130.0, 80.0), (100.0, 60.0), None)
PHASES: tuple[Phase | None, ...] = ("INFUSING", "INFUSING", "PAUSED", "RECOVERY", "PRECHECK", None)
APART_S = (45, 59, 60, 61, 180, 300, 300, 360, 599, 600, 601, 719, 720, 721, 779, 780, 781, 900, 1140, 1141)
SATURATIONS = (79, 80, 84, 84, 85, 87, 88, 89, 89, 89.5, 90, 91, 91, 92, 93, 97)


class Traces(NamedTuple):
    """A beginning, and what comes after it in each trace."""

    beginning: Trace
    endings: tuple[tuple[Word, ...], ...]


@dataclass
class Drawing(ABC):
    """A trace that is drawn word by word."""

    random: Random
    at_s: float = 1_000.0

    @abstractmethod
    def bed(self) -> Trace:
        """The bed, before anything came."""

    @abstractmethod
    def begun(self) -> list[Word]:
        """The words that all share."""

    @abstractmethod
    def ended(self) -> list[Word]:
        """Those after them."""


@dataclass
class Pressures(Drawing):
    """Three to six measurements."""

    near: tuple[float, float] = (120.0, 75.0)
    high: tuple[list[float], list[float]] = field(default_factory=lambda: ([], []))

    def bed(self) -> Trace:
        baseline = self.random.choice(BASELINES)
        self.near = baseline or self.near
        self.high = tuple([near * factor + step for factor in (1.15, 1.20, 1.25, 1.30) for step in (0, -1)]  # type: ignore[assignment]
                          for near in self.near)
        self.high[0].extend([155, 154, 160, 159, 170, 169, 180, 179])
        self.high[1].extend([97, 96, 100, 99, 105, 104, 110, 109, 120, 119])
        return Trace(baseline, self.random.choice((300.0, 600.0, 900.0)), self.random.choice(PHASES), ())

    def begun(self) -> list[Word]:
        return [self._word() for _ in range(self.random.randint(2, 5))]

    def ended(self) -> list[Word]:
        return [self._word()]

    def _word(self) -> Word:
        random = self.random
        self.at_s += random.choice(APART_S)
        sbp, dbp = (self.near[n] if random.random() < 0.35 else random.choice(self.high[n]) for n in (0, 1))
        chance = random.random()
        if chance < 0.06:
            return Word(self.at_s, "tick")
        if chance < 0.15:
            return Word(self.at_s, "bp", random.choice(((), (sbp,))))
        return Word(self.at_s, "bp", (max(sbp, dbp + 10), dbp))


@dataclass
class Saturations(Drawing):
    """Eight to seventeen readings of one rhythm, mostly low or mostly coming back, with holes and losses."""

    live: bool = True
    value: float = 0.0
    step_s: float = 1.0

    def bed(self) -> Trace:
        self.value, self.step_s = self.random.choice(SATURATIONS), self.random.choice((1, 1, 1.5, 2, 2, 2.5, 2.5, 3))
        return Trace(None, 300.0, self.random.choice(("INFUSING", None)), ())

    def begun(self) -> list[Word]:
        return [self._word() for _ in range(self.random.randint(7, 14))]

    def ended(self) -> list[Word]:
        return [self._word() for _ in range(self.random.randint(1, 3))]

    def _word(self) -> Word:
        random = self.random
        self.at_s += self.step_s if random.random() < 0.9 else random.choice((0.5, 4, 4.5, 5, 5.5, 6, 10, 11, 30))
        if random.random() < 0.3:
            self.value = random.choice(SATURATIONS)
        chance = random.random()
        if chance < 0.03 or (not self.live and chance < 0.5):
            self.live = not self.live
            return Word(self.at_s, "link", (float(self.live),))
        if chance < 0.08 or not self.live:
            return Word(self.at_s, "tick")
        return Word(self.at_s, "spo2", () if chance < 0.14 else (float(self.value),))


@dataclass
class LongStretches(Drawing):
    """Much the same saturation until a long hold is all but over, and then holes, losses and readings."""

    live: bool = True
    value: float = 0.0

    def bed(self) -> Trace:
        return Trace(None, 300.0, None, ())

    def begun(self) -> list[Word]:
        low = self.random.random() < 0.5
        self.value = 93.0 if low else 95.0
        words = [Word(1_000.0, "spo2", (97.0 if low else 69.0,))]
        words += [Word(1_000.0 + 2 * n, "spo2", (self.value,)) for n in range(1, self.random.randint(15, 20))]
        self.at_s = words[-1].at_s
        return words

    def ended(self) -> list[Word]:
        return [self._word() for _ in range(self.random.randint(2, 5))]

    def _word(self) -> Word:
        random = self.random
        self.at_s += random.choice((0.5, 1, 2, 3, 4, 4.5, 5, 5.5, 6, 7))
        kind = random.choice(("tick", "link", "spo2", "spo2")) if self.live else random.choice(("tick", "link"))
        self.live = self.live != (kind == "link")
        values = {"tick": (), "link": (float(self.live),),
                  "spo2": random.choice(((), (self.value,), (self.value,), (94.0,)))}
        return Word(self.at_s, kind, values[kind])


@dataclass
class Dips(Drawing):
    """Dips of a second or two whose first and last are about a minute apart."""

    def bed(self) -> Trace:
        return Trace(None, 300.0, "INFUSING", ())

    def begun(self) -> list[Word]:
        dips = [word for _ in range(self.random.choice((2, 2, 3))) for word in self.ended()]
        return [Word(999.0, "spo2", (97.0,)), *dips]

    def ended(self) -> list[Word]:
        random = self.random
        self.at_s += random.choice((10, 19, 20, 25, 29, 29.5, 30, 30.5, 31, 40, 45))
        return [Word(self.at_s, "spo2", (random.choice((88.0, 89.0, 90.0)),)),
                Word(self.at_s + 1, "spo2", (random.choice((89.0, 90.0, 95.0)),)),
                Word(self.at_s + 2, "spo2", (95.0,))]


DRAWN: tuple[Callable[[Random], Drawing], ...] = (
    *[Pressures] * 10, *[Saturations] * 5, Dips, Dips, LongStretches)


def drawn(number: int) -> Traces:
    """The traces of beginning `number`: up to ENDINGS, each another."""
    random = Random(f"trace {number}")
    one = DRAWN[number % len(DRAWN)](random)
    bed = one.bed()
    beginning = bed._replace(words=tuple(one.begun()))
    return Traces(beginning, tuple(dict.fromkeys(tuple(copy(one).ended()) for _ in range(ENDINGS))))
