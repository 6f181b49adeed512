"""The language of conditions in rules.toml: compiled once, evaluated in three-valued logic.

    sbp_mmhg >= 180 or pair(dbp_mmhg >= 110)
    spo2_pct < 90 and link_live()
    sbp_mmhg >= 1.20 * baseline.sbp_mmhg

The grammar is a small part of Python's own expressions (parsed by `ast`, never executed as Python): numbers, metrics,
`baseline.`, `check_in.` and `session.` fields, + - * /, comparisons, `and` `or` `not`, and the functions of FUNCTIONS.
Anything that cannot be known (no reading, a stale one, a questionable one, no baseline) makes a comparison unknown.
"""

from __future__ import annotations

import ast
import difflib
import operator
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Protocol

from edge.core.logic import Truth, both, either, negate
from edge.vocabulary import METRICS

Number = float | None
Condition = Callable[["Scene"], Truth]
Quantity = Callable[["Scene"], Number]


class Scene(Protocol):
    """What a condition may look at: one bed (and, for a rule that holds for each device, one device) at one moment."""

    def metric(self, key: str) -> Number: ...
    def part(self, of: str, name: str) -> Number: ...
    def pair(self, condition: Condition) -> Truth: ...
    def no_valid_s(self, metric: str) -> Number: ...
    def no_word_s(self) -> Number: ...
    def satseconds(self, metric: str, limit: float) -> Number: ...
    def violations(self, metric: str, limit: float, window_s: float) -> Number: ...
    def failed_determinations(self) -> Number: ...
    def link_down(self) -> Truth: ...
    def link_live(self, kind: str | None = None) -> Truth: ...
    def device_alarm(self, *but: str) -> Truth: ...
    def standing(self, name: str) -> Truth: ...
    def infusing(self) -> Truth: ...


FIELDS: dict[str, frozenset[str]] = {
    "baseline": frozenset({"sbp_mmhg", "dbp_mmhg", "map_mmhg", "pulse_bpm", "spo2_pct"}),
    "check_in": frozenset({"moaas", "cadss", "anxiety", "distress", "nausea", "age_s"}),
    "session": frozenset(
        {"weight_kg", "dose_mg_kg", "dose_mg", "delivered_mg", "duration_s", "infused_s", "age_years", "ended_s",
         "nibp_interval_s", "dissociation_s", "phase_s"}
    ),
}

# name: what its arguments are; a trailing * repeats, a ? may be left out
FUNCTIONS: dict[str, tuple[str, ...]] = {
    "pair": ("condition",),  # two consecutive determinations, 60 s to W apart, both so (clinical.md 1.4)
    "no_valid_s": ("metric",),  # seconds since the last valid reading
    "no_word_s": (),  # seconds for which this pump has spoken without saying whether it runs
    "satseconds": ("metric", "number"),  # sum of (limit - value) x seconds while below the limit (clinical.md 3.8)
    "violations": ("metric", "number", "number"),  # times it went below the limit within so many seconds
    "failed_determinations": (),  # failed NIBP cycles in a row
    "link_down": (),  # this device is silent, lost or the wrong one
    "link_live": ("word?",),  # this device, or any device of that kind, is live
    "device_alarm": ("word*",),  # this device has an alarm of its own other than these
    "standing": ("rule",),  # an alarm of this rule or family ('HTN') stands (of this device, if there is one for each)
    "infusing": (),  # the pump says so
}
_TRUTHS = {"pair", "link_down", "link_live", "device_alarm", "standing", "infusing"}

_COMPARE: dict[type[ast.cmpop], Callable[[float, float], bool]] = {
    ast.Lt: operator.lt, ast.LtE: operator.le, ast.Gt: operator.gt, ast.GtE: operator.ge,
    ast.Eq: operator.eq, ast.NotEq: operator.ne,
}
_ARITHMETIC: dict[type[ast.operator], Callable[[float, float], float]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul,
}


class ExpressionError(ValueError):
    """A condition that cannot be understood: what is wrong and what to write instead."""


@dataclass(slots=True)
class Compiled:
    """A condition ready to be asked, and what it depends on."""

    text: str
    ask: Condition
    metrics: list[str] = field(default_factory=list)  # in the order first named
    sampled: set[str] = field(default_factory=set)  # those of them whose value itself is compared
    but: set[str] = field(default_factory=set)  # device alarms that do not count
    below: list[tuple[str, float]] = field(default_factory=list)  # (metric, limit) that need a running account
    uses: set[str] = field(default_factory=set)  # functions
    others: set[str] = field(default_factory=set)  # rules, or families of them, it asks whether they stand


def compile_condition(text: str) -> Compiled:
    """`text` as a condition. Raises ExpressionError."""
    try:
        tree = ast.parse(text.strip(), mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError) as wrong:  # ast.parse: nul bytes, absurd nesting
        raise ExpressionError(f"cannot read {text!r}: {getattr(wrong, 'msg', wrong)}") from None
    compiled = Compiled(text, lambda scene: None)
    try:
        compiled.ask = _Compiler(compiled).condition(tree.body)
    except (OverflowError, RecursionError) as wrong:
        raise ExpressionError(f"cannot read {text[:60]!r}: {wrong}") from None
    return compiled


def _nearest(word: str, known: Collection[str]) -> str:
    close = difflib.get_close_matches(word, sorted(known), n=1)
    return f"; did you mean {close[0]!r}?" if close else f"; known: {', '.join(sorted(known))}"


class _Compiler:
    def __init__(self, into: Compiled) -> None:
        self.into = into

    def condition(self, node: ast.expr) -> Condition:
        match node:
            case ast.BoolOp(op=op, values=values):
                parts = [self.condition(value) for value in values]
                combine = both if isinstance(op, ast.And) else either
                return lambda scene: combine(part(scene) for part in parts)
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                inner = self.condition(operand)
                return lambda scene: negate(inner(scene))
            case ast.Compare(left=left, ops=ops, comparators=rights):
                return self._comparison(left, ops, rights)
            case ast.Call() if _name(node) in _TRUTHS:
                return self._truth(node)
            case ast.Constant(value=bool() as value):
                return lambda scene: value
        raise ExpressionError(f"{ast.unparse(node)!r} is not a condition; compare it with something, as in 'x >= 1'")

    def _comparison(self, left: ast.expr, ops: list[ast.cmpop], rights: list[ast.expr]) -> Condition:
        if len(ops) != 1 or type(ops[0]) not in _COMPARE:
            raise ExpressionError("write one comparison at a time, joined by 'and': 'a < b and b < c'")
        compare = _COMPARE[type(ops[0])]
        this, that = self.quantity(left), self.quantity(rights[0])

        def ask(scene: Scene) -> Truth:
            x, y = this(scene), that(scene)
            return None if x is None or y is None else compare(x, y)

        return ask

    def quantity(self, node: ast.expr) -> Quantity:
        match node:
            case ast.Constant(value=int() | float() as value) if not isinstance(value, bool):
                number = float(value)
                return lambda scene: number
            case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as value)):
                negative = -float(value)
                return lambda scene: negative
            case ast.Name(id=key):
                self.into.sampled.add(self._metric(key))
                return lambda scene: scene.metric(key)
            case ast.Attribute(value=ast.Name(id=of), attr=name):
                return self._part(of, name)
            case ast.BinOp(left=left, op=op, right=right) if type(op) in _ARITHMETIC:
                return self._arithmetic(left, _ARITHMETIC[type(op)], right)
            case ast.Call() if _name(node) not in _TRUTHS:
                return self._number(node)
        raise ExpressionError(f"{ast.unparse(node)!r} is not a number this language knows")

    def _arithmetic(self, left: ast.expr, apply: Callable[[float, float], float], right: ast.expr) -> Quantity:
        this, that = self.quantity(left), self.quantity(right)

        def value(scene: Scene) -> Number:
            x, y = this(scene), that(scene)
            return None if x is None or y is None else apply(x, y)

        return value

    def _metric(self, key: str) -> str:
        if key not in METRICS:
            raise ExpressionError(f"no metric is named {key!r}{_nearest(key, METRICS)}")
        if key not in self.into.metrics:
            self.into.metrics.append(key)
        return key

    def _part(self, of: str, name: str) -> Quantity:
        if of not in FIELDS:
            raise ExpressionError(f"nothing is named {of!r}{_nearest(of, FIELDS)}")
        if name not in FIELDS[of]:
            raise ExpressionError(f"{of} has no {name!r}{_nearest(name, FIELDS[of])}")
        return lambda scene: scene.part(of, name)

    def _arguments(self, call: ast.Call) -> tuple[str, list[ast.expr]]:
        name = _name(call)
        if name not in FUNCTIONS:
            raise ExpressionError(f"no function is named {name!r}{_nearest(name, FUNCTIONS)}")
        kinds = FUNCTIONS[name]
        most = len(call.args) if kinds and kinds[-1].endswith("*") else len(kinds)
        least = sum(not kind.endswith(("*", "?")) for kind in kinds)
        if call.keywords or not least <= len(call.args) <= most:
            raise ExpressionError(f"{name} takes ({', '.join(kinds)}), not {ast.unparse(call)!r}")
        self.into.uses.add(name)
        return name, call.args

    def _truth(self, call: ast.Call) -> Condition:
        name, arguments = self._arguments(call)
        if name == "pair":
            inner = self.condition(arguments[0])
            return lambda scene: scene.pair(inner)
        words = [_word(argument) for argument in arguments]
        if name == "link_down":
            return lambda scene: scene.link_down()
        if name == "link_live":
            kind = words[0] if words else None
            return lambda scene: scene.link_live(kind)
        if name == "device_alarm":
            self.into.but.update(words)
            return lambda scene: scene.device_alarm(*words)
        if name == "infusing":
            return lambda scene: scene.infusing()
        name = words[0]
        self.into.others.add(name)
        return lambda scene: scene.standing(name)

    def _number(self, call: ast.Call) -> Quantity:
        name, arguments = self._arguments(call)
        if name == "failed_determinations":
            return lambda scene: scene.failed_determinations()
        if name == "no_word_s":
            return lambda scene: scene.no_word_s()
        metric = self._metric(_word(arguments[0]))
        if name == "no_valid_s":
            return lambda scene: scene.no_valid_s(metric)
        limit, *rest = (_constant(argument) for argument in arguments[1:])
        self.into.below.append((metric, limit))
        if name == "satseconds":
            return lambda scene: scene.satseconds(metric, limit)
        return lambda scene: scene.violations(metric, limit, rest[0])


def _name(call: ast.expr) -> str:
    return call.func.id if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) else ""


def _word(node: ast.expr) -> str:
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    raise ExpressionError(f"write a plain word here, not {ast.unparse(node)!r}")


def _constant(node: ast.expr) -> float:
    if isinstance(node, ast.Constant) and isinstance(node.value, int | float) and not isinstance(node.value, bool):
        return float(node.value)
    raise ExpressionError(f"write a number here, not {ast.unparse(node)!r}")
