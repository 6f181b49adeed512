"""What of the rules is asked in one phase: each cause, and all that is asked together as a few functions."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import NamedTuple, Self

from edge.core.code import Source, any_of
from edge.core.context import RuleContext
from edge.core.expression import Compiled
from edge.core.logic import Truth
from edge.core.rule import Rule, applies
from edge.core.state import Session
from edge.model import DeviceKind

_Asks = Callable[[RuleContext], Truth]


@dataclass(frozen=True, slots=True)
class Asked:
    """A cause as it is asked in one phase: a rule alone, or a group, and which conditions may begin something."""

    rules: tuple[Rule, ...]
    ids: frozenset[str]
    conditions: tuple[tuple[Compiled, bool], ...]  # each with whether it is asked for a hold

    @classmethod
    def of(cls, rules: tuple[Rule, ...], session: Session | None) -> Self:
        """With the conditions of those rules that apply."""
        conditions: list[tuple[Compiled, bool]] = []
        for rule in rules:
            if applies(rule.context, session):
                conditions.append((rule.when, rule.hold_s > 0))
                conditions += [(rule.at_once, False)] if rule.at_once else []
        return cls(rules, frozenset(rule.id for rule in rules), tuple(conditions))

    def begins(self, context: RuleContext) -> bool:
        """Whether a condition of it is true."""
        for condition, is_held in self.conditions:  # any() costs as much as the conditions
            if condition.evaluate(context.for_hold() if is_held else context):
                return True
        return False


class One(NamedTuple):
    """One of them: of which kinds of device it is asked (none: of the bed), and whether for a hold."""

    kinds: tuple[DeviceKind, ...]
    condition: Source
    is_held: bool = False


@dataclass(frozen=True, slots=True)
class Together:
    """Many conditions as few functions: one for the bed, and one for each of its devices of some kinds."""

    of_bed: _Asks
    of_devices: tuple[tuple[tuple[DeviceKind, ...], _Asks], ...]

    @classmethod
    def of(cls, conditions: Iterable[One], *, unknown: bool = False) -> Self:
        """Whether any of them is true; `unknown`: or unknown."""
        given = list(conditions)
        kinds = dict.fromkeys(one.kinds for one in given if one.kinds)
        return cls(_joined([one for one in given if not one.kinds], unknown),
                   tuple((some, _joined([one for one in given if one.kinds == some], unknown)) for some in kinds))

    def any(self, context: RuleContext) -> bool:
        """Whether one of them is, for the bed or one of its devices."""
        if self.of_bed(context):
            return True
        for kinds, asks in self.of_devices:
            for one in context.for_each(kinds):
                if asks(one):
                    return True
        return False


def _joined(conditions: list[One], unknown: bool) -> _Asks:
    now = any_of([one.condition for one in conditions if not one.is_held], unknown=unknown)
    if not any(one.is_held for one in conditions):
        return now
    held = any_of([one.condition for one in conditions if one.is_held], unknown=unknown)
    return lambda context: now(context) or held(context.for_hold())


@dataclass(frozen=True, slots=True)
class Round:
    """The causes that are asked together, in their order, and whether any of them begins: where none does, and no
    alarm moves, judging one after the other would change nothing, so that each would be asked of the same state."""

    causes: tuple[Asked, ...]
    begins: Callable[[RuleContext], bool]

    @classmethod
    def of(cls, causes: Iterable[Asked]) -> Self:
        """All of them."""
        causes = tuple(causes)
        return cls(causes, Together.of(
            One(kinds, condition.code, is_held) for cause in causes for condition, is_held in cause.conditions
            for kinds in _asked_of(cause.rules[0])).any)


def _asked_of(rule: Rule) -> Iterable[tuple[DeviceKind, ...]]:
    return (rule.for_each, ()) if rule.for_bed and rule.for_each else (rule.for_each,)
