"""The language of conditions in rules.toml: compiled once, evaluated in three-valued logic.

    sbp_mmhg >= 180 or pair(dbp_mmhg >= 110)
    spo2_pct < 90 and link_live()
    sbp_mmhg >= 1.20 * baseline.sbp_mmhg

The grammar is a small part of Python's own expressions (parsed by `ast`; what is written is never executed): numbers,
the facts of `facts.py`, + - *, comparisons, `and` `or` `not`. Anything that cannot be known (no reading, a stale one, a
questionable one, no baseline) makes a comparison unknown. What was read is compiled by `code.py`.
"""

from __future__ import annotations

import ast
import difflib
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, get_args

from edge.core.code import Code, Source, Term
from edge.core.context import RuleContext
from edge.core.fact import Account, Argument, Use
from edge.core.facts import FACTS, FUNCTIONS, OWNERS
from edge.core.pairs import Condition
from edge.model import DeviceAlarm, Phase
from edge.vocabulary import ATTESTATIONS, METRICS, SYMPTOMS

_COMPARE: dict[type[ast.cmpop], tuple[str, str]] = {
    ast.Lt: ("<", "below"), ast.LtE: ("<=", "at most"), ast.Gt: (">", "above"), ast.GtE: (">=", "at least"),
    ast.Eq: ("==", "exactly"), ast.NotEq: ("!=", "not"),
}
_ARITHMETIC: dict[type[ast.operator], tuple[str, str]] = {
    ast.Add: ("+", "+"), ast.Sub: ("-", "−"), ast.Mult: ("*", "×"),
}


class ExpressionError(ValueError):
    """A condition that cannot be understood: what is wrong and what to write instead."""


@dataclass(frozen=True, slots=True)
class Compiled:
    """A condition ready to be evaluated, in words, and with the facts it uses in the order it names them."""

    text: str
    evaluate: Condition
    code: Source
    words: str
    branches: tuple[str, ...]  # in words, what is joined by the outermost "or"; or the whole
    uses: tuple[Use, ...]
    metrics: tuple[str, ...]  # that it looks at, in the order first named
    sampled: tuple[str, ...]  # those of them whose value itself is compared
    rules: frozenset[str]  # rules, or families of them, that it names
    accounts: tuple[Account, ...]  # what must be counted for it
    determinations: int  # how many determinations are its evidence
    worse: Mapping[str, int]  # the metrics it compares with a limit: +1 where higher is worse, -1 where lower is

    @property
    def of_watching(self) -> bool:
        """Whether it is about whether rules can be answered."""
        return any(use.fact.of_watching for use in self.uses)

    def alarms(self, context: RuleContext) -> tuple[DeviceAlarm, ...]:
        """The device's own alarms that it passes on now."""
        return tuple(alarm for use in self.uses for alarm in use.alarms(context))

    def names(self, context: RuleContext) -> frozenset[str]:
        """What it is about now, by name: device alarms, symptoms."""
        return frozenset(name for use in self.uses for name in use.names(context))


@lru_cache(maxsize=512)  # a file is read anew where something in it has changed, and little has
def compile_condition(text: str) -> Compiled:
    """`text` as a condition. Raises ExpressionError."""
    try:
        tree = ast.parse(text.strip(), mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError) as wrong:  # ast.parse: nul bytes, absurd nesting
        raise ExpressionError(f"cannot read {text!r}: {getattr(wrong, 'msg', wrong)}; {_instead(text)}") from None
    compiler = _Compiler()
    try:
        condition = compiler.condition(tree.body)
        evaluate = compiler.function(condition.source)
    except (OverflowError, RecursionError, MemoryError, SyntaxError) as wrong:  # the last two: absurd nesting
        raise ExpressionError(f"cannot read {text[:60]!r}: {wrong}") from None
    uses = tuple(compiler.uses)
    return Compiled(
        text, evaluate, compiler.source(condition.source), condition.words,
        condition.parts if condition.joined == "or" else (condition.words,), uses,
        metrics=tuple(dict.fromkeys(metric for use in uses for metric in use.metrics)),
        sampled=tuple(dict.fromkeys(metric for use in uses if use.fact.sampled for metric in use.metrics)),
        rules=frozenset(name for use in uses for name in use.rules),
        accounts=tuple(account for use in uses if (account := use.account)),
        determinations=max((use.fact.determinations for use in uses), default=1),
        worse=compiler.worse,
    )


@lru_cache(maxsize=256)
def parts_of(text: str, word: Literal["and", "or"]) -> tuple[Compiled, ...]:
    """What the outermost "and", or "or", of a condition joins, each a condition; the whole, where it joins nothing."""
    tree, join = ast.parse(text.strip(), mode="eval").body, ast.And if word == "and" else ast.Or
    values = tree.values if isinstance(tree, ast.BoolOp) and isinstance(tree.op, join) else [tree]
    return tuple(compile_condition(ast.unparse(value)) for value in values)


_INSTEAD = (  # what is often written, and what to write for it
    (r"&|\|\||\b(?:AND|OR|NOT)\b", "write and, or, not, in small letters"),
    (r"[^=!<>]=[^=]", "write == for what must be the same, else <, <=, > or >="),
    (r"\d\s*(?:%|°|[A-Za-z])(?!\w*\()", "write a number alone, without its unit or any letter"),
    (r"[≥≤≠]", "write >= for ≥, <= for ≤ and != for ≠"),
)


def _instead(text: str) -> str:
    """What to write for a condition that cannot be read."""
    return next((words for form, words in _INSTEAD if re.search(form, text)),
                "write comparisons, as in 'spo2_pct < 90 and resp_bpm < 8', and close each bracket")


def nearest(word: str, known: Collection[str]) -> str:
    """The end of an error about a word that is not known: the one that was meant, or all there are."""
    close = difflib.get_close_matches(word, sorted(known), n=1)
    return f"; did you mean {close[0]!r}?" if close else f"; known: {', '.join(sorted(known))}"


@dataclass(frozen=True, slots=True)
class _Truth:
    source: str
    words: str
    joined: str = ""  # by "and", "or", or ":" after a fact's own words: needs brackets inside another
    parts: tuple[str, ...] = ()  # what is so joined
    denied: str = ""  # that it is not so


@dataclass(frozen=True, slots=True)
class _Number:
    term: Term
    words: str
    unit: str = ""
    is_baseline: bool = False
    is_share: bool = False  # so many percent above or below a baseline value

    def with_unit(self, unit: str) -> str:
        """In words; a constant takes the unit of what it stands beside."""
        return f"{self.words} {unit}" if self.term.is_constant and unit else self.words


class _Compiler:
    def __init__(self) -> None:
        self.uses: list[Use] = []
        self.worse: dict[str, int] = {}
        self._code = Code()
        self.function, self.source = self._code.function, self._code.source

    def condition(self, node: ast.expr) -> _Truth:
        match node:
            case ast.BoolOp(op=op, values=values):
                return self._joined(op, values)
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                inner = self.condition(operand)
                return _Truth(self._code.denied(inner.source), inner.denied or f"not ({inner.words})",
                              ":" if inner.joined == ":" else "", denied=inner.words)
            case ast.Compare(left=left, ops=ops, comparators=rights):
                return self._comparison(left, ops, rights)
            case ast.Call() if (name := _name(node)) in FUNCTIONS and FUNCTIONS[name].truth:
                use, words = self._use(node)
                mark = ":" if any(parameter.takes == "condition" for parameter in use.fact.parameters) else ""
                return _Truth(self._call(use), use.words(*words), mark, denied=use.denied(*words))
            case ast.Tuple():
                raise ExpressionError(f"a comma parts {ast.unparse(node)[1:-1]!r}; write a point in a number, as in"
                                      " 0.5, and 'and' or 'or' between conditions")
            case ast.Constant(value=bool() as value):
                return _Truth(str(value), "always" if value else "never")
        if (name := _name(node)) and name not in FUNCTIONS:
            raise ExpressionError(f"no function is named {name!r}{nearest(name, FUNCTIONS)}")
        raise ExpressionError(f"{ast.unparse(node)!r} is not a condition; compare it with something, as in 'x >= 1'")

    def _joined(self, op: ast.boolop, values: list[ast.expr]) -> _Truth:
        parts = [self.condition(value) for value in values]
        word: Literal["and", "or"] = "and" if isinstance(op, ast.And) else "or"
        words = (f"({part.words})" if part.joined not in ("", word) else part.words for part in parts)
        return _Truth(self._code.joined([part.source for part in parts], word), f" {word} ".join(words), word,
                      tuple(part.words for part in parts))

    def _comparison(self, left: ast.expr, ops: list[ast.cmpop], rights: list[ast.expr]) -> _Truth:
        if len(ops) != 1 or type(ops[0]) not in _COMPARE:
            raise ExpressionError("write one comparison at a time, joined by 'and': 'a < b and b < c'")
        sign, word = _COMPARE[type(ops[0])]
        if isinstance(left, ast.Name):
            self.worse[left.id] = {ast.Gt: 1, ast.GtE: 1, ast.Lt: -1, ast.LtE: -1}.get(type(ops[0]), 0)
        this, that = self.quantity(left), self.quantity(rights[0])
        if that.is_share:
            word = {"below": "less than", "above": "more than"}.get(word, word)
        source = self._code.operated(this.term, sign, that.term).source
        if isinstance(left, ast.Name) and left.id in METRICS and isinstance(rights[0], ast.Constant) and (
                sign in ("<", ">=") and rights[0].value == METRICS[left.id].low):
            return _Truth(source, f"{this.words} is {'below what can be ' if sign == '<' else ''}measured")
        return _Truth(source, f"{this.with_unit(that.unit)} is {word} {that.with_unit(this.unit)}")

    def quantity(self, node: ast.expr) -> _Number:
        match node:
            case ast.Constant(value=int() | float() as value) if not isinstance(value, bool):
                return self._constant(float(value))
            case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as value)):
                return self._constant(-float(value))
            case ast.Name(id=key):
                return self._fact(_metric(key))
            case ast.Attribute(value=ast.Name(id=owner), attr=name):
                return self._fact(_field(owner, name))
            case ast.BinOp(left=left, op=op, right=right) if type(op) in _ARITHMETIC:
                return self._arithmetic(left, type(op), right)
            case ast.Call() if (name := _name(node)) not in FUNCTIONS or not FUNCTIONS[name].truth:
                use, words = self._use(node)
                return _Number(Term(self._call(use)), use.words(*words), use.unit)
        raise ExpressionError(f"{ast.unparse(node)!r} is not a number this language knows")

    def _fact(self, name: str) -> _Number:
        use = FACTS[name].use()
        self.uses.append(use)
        return _Number(Term(self._call(use)), use.words(), use.fact.unit, is_baseline=name.startswith("baseline."))

    def _constant(self, number: float) -> _Number:
        return _Number(self._code.constant(number), f"{number:g}")

    def _call(self, use: Use) -> str:
        if use.fact.compute is RuleContext.metric:
            return self._code.metric(*use.arguments)
        return self._code.call(use.fact.compute, use.arguments)

    def _arithmetic(self, left: ast.expr, op: type[ast.operator], right: ast.expr) -> _Number:
        sign, word = _ARITHMETIC[op]
        this, that = self.quantity(left), self.quantity(right)
        term = self._code.operated(this.term, sign, that.term)
        if op is ast.Mult and this.term.is_constant and that.is_baseline:
            percent = round((float(this.words) - 1) * 100, 6)
            words = f"{abs(percent):g} % {'above' if percent >= 0 else 'below'} {that.words}"
            return _Number(term, words, that.unit, is_share=True)
        unit = this.unit or that.unit
        added = unit if op is not ast.Mult else ""
        return _Number(term, f"{this.with_unit(added)} {word} {that.with_unit(added)}", unit)

    def _use(self, call: ast.Call) -> tuple[Use, list[str]]:
        """The fact that is called, with its arguments; these in words."""
        name = _name(call)
        if name not in FUNCTIONS:
            raise ExpressionError(f"no function is named {name!r}{nearest(name, FUNCTIONS)}")
        parameters = FUNCTIONS[name].parameters
        most = len(call.args) if parameters and parameters[-1].many else len(parameters)
        least = sum(not parameter.optional for parameter in parameters)
        if call.keywords or not least <= len(call.args) <= most:
            raise ExpressionError(f"{name} takes ({', '.join(map(str, parameters))}), not {ast.unparse(call)!r}")
        kinds = [parameter.takes for parameter in parameters]
        kinds += kinds[-1:] * (len(call.args) - len(kinds))
        found = [self._argument(kind, argument) for kind, argument in zip(kinds, call.args, strict=False)]
        use = FUNCTIONS[name].use(*(value for value, _ in found))
        self.uses.append(use)
        return use, [words for _, words in found]

    def _argument(self, kind: Argument, node: ast.expr) -> tuple[object, str]:
        """The arguments of a fact, and the same in words."""
        if kind == "condition":
            condition = self.condition(node)
            return self.function(condition.source), condition.words
        if kind == "quantity":
            quantity = self.quantity(node)
            return self.function(quantity.term.source), quantity.words
        if kind == "number":
            number = _constant(node)
            return number, f"{number:g}"
        word = _word(node)
        if kind == "symptom":
            if word not in SYMPTOMS:
                raise ExpressionError(f"no symptom is named {word!r}{nearest(word, SYMPTOMS)}")
            return word, SYMPTOMS[word]
        if kind == "attestation":
            if word not in ATTESTATIONS:
                raise ExpressionError(f"nobody attests {word!r}{nearest(word, ATTESTATIONS)}")
            return word, ATTESTATIONS[word]
        if kind == "phase":
            if word not in get_args(Phase):
                raise ExpressionError(f"no phase is named {word!r}{nearest(word, get_args(Phase))}")
            return word, word
        if kind == "metric":
            return _metric(word), METRICS[word].label
        return word, word.replace("_", " ")


def _metric(key: str) -> str:
    if key not in METRICS:
        raise ExpressionError(f"no metric is named {key!r}{nearest(key, METRICS)}")
    return key


def _field(owner: str, name: str) -> str:
    if owner not in OWNERS:
        raise ExpressionError(f"nothing is named {owner!r}{nearest(owner, OWNERS)}")
    if f"{owner}.{name}" not in FACTS:
        known = [fact.partition(".")[2] for fact in FACTS if fact.startswith(owner + ".")]
        raise ExpressionError(f"{owner} has no {name!r}{nearest(name, known)}")
    return f"{owner}.{name}"


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
