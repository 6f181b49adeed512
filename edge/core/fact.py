"""A fact, and a fact as a condition uses it: what `facts.py` has one entry of each for.

Numbers are None, and truths are None, where nobody can know. Times are seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

from edge.core.context import RuleContext
from edge.model import DeviceAlarm
from edge.vocabulary import METRICS

Argument = Literal["metric", "number", "quantity", "condition", "word", "symptom", "rule", "phase", "attestation"]


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter of a fact. `form` puts it into the fact's sentence (of many, all that are given, joined);
    `absent` stands there where it is left out."""

    takes: Argument
    name: str = ""  # as a document names it, where that says more
    many: bool = False
    optional: bool = False
    form: str = "{}"
    absent: str = ""

    def __str__(self) -> str:
        return self.takes + ("*" if self.many else "?" if self.optional else "")


@dataclass(frozen=True, slots=True)
class Account:
    """What a fact needs counted for it: how a metric behaves below a limit, and for how long crossings are kept."""

    metric: str
    limit: float
    window_s: float = 0.0

    @property
    def key(self) -> str:
        """Under which name it is counted."""
        return account_key(self.metric, self.limit)


@cache
def account_key(metric: str, limit: float) -> str:
    """Under which name it is counted how this metric behaves below this limit."""
    return f"{metric}<{limit:g}"


@dataclass(frozen=True, slots=True)
class Fact:
    """One thing that can be known of a bed. `compute` takes the rule context and the arguments, in their order."""

    name: str
    unit: str  # as a nurse reads it, {} for that of its metric; empty for a truth, a score and a count
    sentence: str  # {0}, {1}: its arguments in words; a number's reads on with "is at least ..."
    compute: Callable[..., Any]
    parameters: tuple[Parameter, ...] = ()
    of: tuple[str, ...] = ()  # arguments that it always has, before those that are given
    truth: bool = False  # it is so or not; otherwise it is a number
    denied: str = ""  # the sentence of a truth that is not so
    decimals: int = 0
    metrics: tuple[str, ...] = ()  # it looks at these whatever its arguments
    sampled: bool = False  # a stream of readings, whose coverage a hold needs
    determinations: int = 1  # how many determinations are its evidence, where it is about blood pressure
    reason: Callable[..., str | None] | None = None  # why it is so, in a few words, for a text's {reason}
    alarms: Callable[..., tuple[DeviceAlarm, ...]] | None = None  # the device's own alarms it passes on
    names: Callable[..., tuple[str, ...]] | None = None  # what it is so of; a new name is announced anew
    account: Callable[..., Account] | None = None
    baselines: Callable[..., tuple[str, ...]] | None = None  # the baseline values it compares with
    lost: Callable[..., tuple[str, ...]] | None = None  # the metrics that it says are missing
    of_person: bool = False  # it is what a nurse enters, not what a device measures
    of_box: bool = False  # it is about the box, whichever bed asks
    of_pump: bool = False  # it is the pump's own word
    of_link: bool = False  # it is about the device's connection
    of_device: bool = False  # it is of the alarm's own device, unless it is told a kind: of none, nobody can know
    of_watching: bool = False  # it is about whether rules can be answered

    def use(self, *arguments: Any) -> Use:
        """This fact with these arguments."""
        return Use(self, (*self.of, *arguments))


@dataclass(frozen=True, slots=True)
class Use:
    """A fact as a condition uses it: with its arguments (a nested condition's own uses stand beside this one)."""

    fact: Fact
    arguments: tuple[Any, ...] = ()

    def _taking(self, takes: Argument) -> tuple[Any, ...]:
        kinds, arguments = [parameter.takes for parameter in self.fact.parameters], self.arguments[len(self.fact.of):]
        kinds += kinds[-1:] * (len(arguments) - len(kinds))
        return tuple(value for value, kind in zip(arguments, kinds, strict=False) if kind == takes)

    @property
    def unit(self) -> str:
        """What its number is in, as a nurse reads it."""
        return self.fact.unit.format(*(METRICS[metric].unit for metric in self._taking("metric")))

    @property
    def metrics(self) -> tuple[str, ...]:
        """The metrics it looks at."""
        return (*self.fact.metrics, *self._taking("metric"))

    @property
    def rules(self) -> tuple[str, ...]:
        """The rules, or families of them, that it names."""
        return self._taking("rule")

    @property
    def account(self) -> Account | None:
        """What must be counted for it."""
        return self.fact.account(*self.arguments) if self.fact.account else None

    @property
    def baselines(self) -> tuple[str, ...]:
        """The baseline values it compares with, by metric."""
        return self.fact.baselines(*self.arguments) if self.fact.baselines else ()

    @property
    def lost(self) -> tuple[str, ...]:
        """The metrics that it says are missing."""
        return self.fact.lost(*self.arguments) if self.fact.lost else ()

    def reason(self, context: RuleContext) -> str | None:
        """Why it is so now, in a few words."""
        return self.fact.reason(context, *self.arguments) if self.fact.reason else None

    def alarms(self, context: RuleContext) -> tuple[DeviceAlarm, ...]:
        """The device's own alarms it passes on now."""
        return self.fact.alarms(context, *self.arguments) if self.fact.alarms else ()

    def names(self, context: RuleContext) -> tuple[str, ...]:
        """What it is about now, by name: the codes of the alarms it passes on, the symptoms it finds."""
        named = self.fact.names(context, *self.arguments) if self.fact.names else ()
        return (*named, *(alarm.code for alarm in self.alarms(context)))

    def words(self, *arguments: str) -> str:
        """Its sentence, with its arguments in words."""
        return self.fact.sentence.format(*_in_words(self.fact.parameters, arguments))

    def denied(self, *arguments: str) -> str:
        """The sentence that it is not so."""
        return self.fact.denied.format(*_in_words(self.fact.parameters, arguments))


def _in_words(parameters: Iterable[Parameter], arguments: tuple[str, ...]) -> Iterable[str]:
    for number, parameter in enumerate(parameters):
        given = arguments[number:] if parameter.many else arguments[number:number + 1]
        yield parameter.form.format(", ".join(given)) if given else parameter.absent
