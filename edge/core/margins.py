"""How far each number is from its next alarm, by the rules in force for this bed and this patient.

Only a limit that by itself raises an alarm counts: a metric compared with a number or with a share of the patient's
baseline, alone or joined by "or", also in a pair of blood pressures (`twice`). What needs something else to be true
besides ("and"), a count or a time says nothing of how far a number is.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from math import ceil, floor, isfinite
from typing import Literal

from edge.contract.payloads import AlarmLimitNow
from edge.core.context import Number, RuleContext
from edge.core.facts import FACTS
from edge.core.rule import Rule, applies
from edge.core.rules import RuleSet
from edge.core.state import BedState
from edge.vocabulary import METRICS

_ALMOST = 1e-9  # 1.2 x 120 is 143.99999999999997


@dataclass(frozen=True, slots=True)
class Compared:
    """A metric compared with a number, or with so many times a baseline value."""

    metric: str
    sign: type[ast.cmpop]
    number: float
    baseline: str = ""  # the fact
    twice: bool = False


@dataclass(frozen=True, slots=True)
class AlarmLimit:
    """Where a rule begins: the first value of the metric, as it is shown, that is an alarm. `worse`: 1 where higher is
    worse, -1 where lower is."""

    metric: str
    rule: Rule
    at: float
    worse: Literal[1, -1]
    twice: bool


def limits(state: BedState, rules: RuleSet, at_s: float) -> list[AlarmLimit]:
    """Of every metric that has a number now; by metric, as the rules stand in their file."""
    context, session = RuleContext(state, at_s), state.session
    found = [one for rule in rules.rules if not rule.request and applies(rule.context, session)
             and not (state.no_pump and rule.of_pump)
             for compared in compared_in(rule.when.text) if context.metric(compared.metric) is not None
             if (one := _limit(rule, compared, context)) is not None]
    return sorted(found, key=lambda one: list(METRICS).index(one.metric))


def nearest(state: BedState, rules: RuleSet, at_s: float) -> list[AlarmLimitNow]:
    """Of each metric the next limit upwards and the next one downwards that are not reached."""
    context, found = RuleContext(state, at_s), dict[tuple[str, int], AlarmLimitNow]()
    for one in limits(state, rules, at_s):
        value = context.metric(one.metric)
        away = None if value is None or not isfinite(value) else margin(one, value)
        before = found.get((one.metric, one.worse))
        if away is not None and away > 0 and (before is None or away < before.margin):
            found[one.metric, one.worse] = AlarmLimitNow(
                metric=one.metric, rule=one.rule.id, title=one.rule.title, priority=one.rule.priority, at=one.at,
                worse=one.worse, twice=one.twice, margin=away)
    return list(found.values())


def margin(limit: AlarmLimit, value: float) -> float:
    """How far `value` is from it; 0 or less: it is reached."""
    return round((limit.at - value) * limit.worse, METRICS[limit.metric].decimals)


def _limit(rule: Rule, compared: Compared, context: RuleContext) -> AlarmLimit | None:
    of: Number = FACTS[compared.baseline].compute(context, *FACTS[compared.baseline].of) if compared.baseline else 1.0
    if of is None:
        return None
    steps, step = 10 ** METRICS[compared.metric].decimals, 1 / 10 ** METRICS[compared.metric].decimals
    exact = compared.number * of * steps
    worse: Literal[1, -1]
    match compared.sign:
        case ast.GtE:
            at, worse = ceil(exact - _ALMOST) * step, 1
        case ast.Gt:
            at, worse = (floor(exact + _ALMOST) + 1) * step, 1
        case ast.LtE:
            at, worse = floor(exact + _ALMOST) * step, -1
        case _:
            at, worse = (ceil(exact - _ALMOST) - 1) * step, -1
    return AlarmLimit(compared.metric, rule, round(at, METRICS[compared.metric].decimals), worse, compared.twice)


@lru_cache(maxsize=512)
def compared_in(condition: str) -> tuple[Compared, ...]:
    """The comparisons of which each alone makes this condition true."""
    return tuple(_compared(ast.parse(condition.strip(), mode="eval").body, twice=False))


def _compared(node: ast.expr, *, twice: bool) -> Iterator[Compared]:
    match node:
        case ast.BoolOp(op=ast.Or(), values=values):
            for value in values:
                yield from _compared(value, twice=twice)
        case ast.Call(func=ast.Name(id="pair"), args=[inner]):
            yield from _compared(inner, twice=True)
        case ast.Compare(left=ast.Name(id=metric), ops=[ast.GtE() | ast.Gt() | ast.LtE() | ast.Lt() as sign],
                         comparators=[right]) if metric in METRICS:
            match right:
                case ast.Constant(value=int() | float() as number):
                    yield Compared(metric, type(sign), float(number), twice=twice)
                case ast.BinOp(left=ast.Constant(value=int() | float() as number), op=ast.Mult(),
                               right=ast.Attribute(value=ast.Name(id="baseline"), attr=name)):
                    yield Compared(metric, type(sign), float(number), f"baseline.{name}", twice)
