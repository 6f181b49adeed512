"""Rules as data: what rules.toml may say, checked whole before a single reading is judged."""

from __future__ import annotations

import difflib
import hashlib
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from math import inf
from pathlib import PurePath
from string import Formatter
from typing import Any, get_args

from edge.core.alarms import family
from edge.core.expression import Compiled, ExpressionError, compile_condition
from edge.core.facts import Use
from edge.model import AlarmClass, Kind, Phase, Priority
from edge.vocabulary import METRICS

PHASES: tuple[Phase, ...] = get_args(Phase)
EVERYWHERE = "*"
PERIOD = "DISSOCIATION"  # the dissociation period is open, whatever the phase
NO_SESSION = "NO_SESSION"
CONTEXTS = (*PHASES, PERIOD, NO_SESSION, EVERYWHERE)
WORDS = frozenset({*METRICS, "device", "reason", "alarms", "baseline", "bed"})  # what telling.py fills in


class RulesError(ValueError):
    """rules.toml cannot be used: file and line, what is wrong, what to write instead."""


@dataclass(frozen=True, slots=True)
class Raise:
    """A higher priority that a rule has in some context, or once something more is true."""

    priority: Priority
    context: frozenset[str] = frozenset({EVERYWHERE})
    when: Compiled | None = None


@dataclass(frozen=True, slots=True)
class Rule:
    """A condition as data; see deploy/rules.toml for what each field means."""

    id: str
    title: str
    kind: AlarmClass
    priority: Priority
    context: frozenset[str]
    when: Compiled
    text: str
    why: str
    source: str
    clears: str
    limit: str = ""
    hold_s: float = 0.0
    at_once: Compiled | None = None
    clear: Compiled | None = None
    clear_hold_s: float = 0.0
    latch: bool = False
    group: str = ""
    tier: int = 0
    for_each: tuple[Kind, ...] = ()
    raises: tuple[Raise, ...] = ()
    request: bool = False  # no alarm: an event that asks a person for something, once for each determination
    device_priority: bool = False  # at least `priority`, else the worst of the device's own

    @property
    def uses(self) -> list[Use]:
        """The facts it asks of, in the order it names them."""
        return [use for part in (self.when, self.at_once, self.clear) if part for use in part.uses]

    @property
    def metrics(self) -> list[str]:
        """The metrics it looks at, in the order it names them."""
        return list(dict.fromkeys(metric for use in self.uses for metric in use.metrics))


@dataclass(frozen=True, slots=True)
class RuleSet:
    """All rules of a clinic, and what they need kept."""

    rules: tuple[Rule, ...]
    below: tuple[tuple[str, float], ...]
    hash: str
    by_metric: Mapping[str, frozenset[str]] = field(default_factory=dict)

    def __iter__(self) -> Iterator[Rule]:
        return iter(self.rules)

    def named(self, rule_id: str) -> Rule:
        return next(rule for rule in self.rules if rule.id == rule_id)

    @property
    def longest_hold_s(self) -> float:
        """How far back any of them must know its readings."""
        return max((max(rule.hold_s, rule.clear_hold_s) for rule in self.rules), default=0.0)


_TEXTS = ("id", "title", "text", "why", "source", "clears")
_FIELDS = {
    "id", "title", "class", "priority", "context", "when", "text", "why", "source", "clears", "limit", "hold_s",
    "at_once", "clear", "clear_hold_s", "latch", "group", "tier", "for_each", "raise", "request", "device_priority",
}


def parse_rules(text: str, name: str | PurePath = "rules.toml") -> RuleSet:
    """The rules in `text`. Raises RulesError with one line that names `name` and the line number."""
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as wrong:
        raise RulesError(f"{name}: not TOML: {wrong}") from None
    extra = set(data) - {"rule"}
    if extra or not isinstance(data.get("rule"), list):
        raise RulesError(f"{name}: write [[rule]] tables only, not {', '.join(sorted(extra)) or 'an empty file'}")
    rules: list[Rule] = []
    for number, table in enumerate(data["rule"]):
        where = f"{name}:{_line(text, number)}: {table.get('id', '[[rule]]')}"
        try:
            rule = _rule(table)
        except (ExpressionError, _Wrong) as wrong:
            raise RulesError(f"{where}: {wrong}") from None
        if any(rule.id == other.id for other in rules):
            raise RulesError(f"{where}: this id is used twice; give each rule its own")
        rules.append(rule)
    for number, rule in enumerate(rules):
        try:
            _among(rule, rules)
        except _Wrong as wrong:
            raise RulesError(f"{name}:{_line(text, number)}: {rule.id}: {wrong}") from None
    needs = {(account.metric, account.limit) for rule in rules for part in _parts(rule) for account in part.accounts}
    return RuleSet(tuple(rules), tuple(sorted(needs)), hashlib.sha256(text.encode()).hexdigest(), _by_metric(rules))


def _among(rule: Rule, rules: list[Rule]) -> None:
    """What a rule says of others. A name nobody has would quietly never stand; of two rules of one tier, one would
    hide the other."""
    known = {rule.id for rule in rules} | {family(rule.id) for rule in rules}
    for other in sorted({other for part in _parts(rule) for other in part.rules} - known):
        close = difflib.get_close_matches(other, sorted(known), n=1)
        raise _Wrong(f"standing({other!r}): no rule or family has that name"
                     + (f"; did you mean {close[0]!r}?" if close else f"; known: {', '.join(sorted(known))}"))
    first = next(one for one in rules if (one.group, one.tier) == (rule.group, rule.tier))
    if rule.group and first is not rule:
        raise _Wrong(f"tier {rule.tier} of group {rule.group!r} is {first.id}'s; give each its own")


def _parts(rule: Rule) -> list[Compiled]:
    parts = (rule.when, rule.at_once, rule.clear, *(step.when for step in rule.raises))
    return [part for part in parts if part is not None]


def _by_metric(rules: list[Rule]) -> dict[str, frozenset[str]]:
    return {
        metric: frozenset(rule.id for rule in rules if any(metric in part.metrics for part in _parts(rule)))
        for metric in METRICS
    }


def _line(text: str, number: int) -> int:
    lines = [at for at, line in enumerate(text.splitlines(), 1) if line.strip().startswith("[[rule]]")]
    return lines[number] if number < len(lines) else 1


class _Wrong(ValueError):
    pass


def _rule(table: Mapping[str, Any]) -> Rule:
    unknown = set(table) - _FIELDS
    if unknown:
        raise _Wrong(f"unknown field {', '.join(sorted(unknown))}; a rule has {', '.join(sorted(_FIELDS))}")
    for name in _TEXTS:
        if not isinstance(table.get(name), str) or not table[name]:
            raise _Wrong(f"needs {name} = \"...\"")
    _template(table["text"])
    return Rule(
        id=table["id"], title=table["title"], text=table["text"], why=table["why"], source=table["source"],
        clears=table["clears"], limit=str(table.get("limit", "")),
        kind=_one_of(table, "class", get_args(AlarmClass)),
        priority=_one_of(table, "priority", get_args(Priority)),
        context=_context(table.get("context")),
        when=_condition(table, "when"),
        at_once=_condition(table, "at_once") if "at_once" in table else None,
        clear=_condition(table, "clear") if "clear" in table else None,
        hold_s=_seconds(table, "hold_s"), clear_hold_s=_seconds(table, "clear_hold_s"),
        latch=_flag(table, "latch"), request=_flag(table, "request"),
        device_priority=_flag(table, "device_priority"),
        group=str(table.get("group", "")), tier=_tier(table),
        for_each=tuple(_kind(word) for word in _list(table, "for_each")),
        raises=tuple(_raise(step) for step in _list(table, "raise")),
    )


def _one_of(table: Mapping[str, Any], name: str, words: tuple[Any, ...]) -> Any:
    if table.get(name) not in words:
        raise _Wrong(f"{name} must be one of {', '.join(map(repr, words))}, not {table.get(name)!r}")
    return table[name]


def _kind(word: object) -> Kind:
    kinds: tuple[Kind, ...] = get_args(Kind)
    for kind in kinds:
        if word == kind:
            return kind
    raise _Wrong(f"for_each may name {', '.join(kinds)}, not {word!r}")


def _context(words: object) -> frozenset[str]:
    if not isinstance(words, list) or not words or not all(word in CONTEXTS for word in words):
        raise _Wrong(f"context must be a list of {', '.join(CONTEXTS)}, not {words!r}")
    return frozenset(words)


def _condition(table: Mapping[str, Any], name: str) -> Compiled:
    if not isinstance(table.get(name), str):
        raise _Wrong(f"needs {name} = \"a condition\"")
    return compile_condition(table[name])


def _list(table: Mapping[str, Any], name: str) -> list[Any]:
    value = table.get(name, [])
    if not isinstance(value, list):
        raise _Wrong(f"{name} must be a list, not {value!r}")
    return value


def _tier(table: Mapping[str, Any]) -> int:
    value = table.get("tier", 0)
    if isinstance(value, bool) or not isinstance(value, int):
        raise _Wrong(f"tier must be a whole number, not {value!r}")
    return value


def _template(text: str) -> None:
    """A text that cannot be filled in must fail here, not when its alarm is raised."""
    try:
        parts = list(Formatter().parse(text))
    except ValueError as wrong:
        raise _Wrong(f"text cannot be read: {wrong}; write {{{{ for a brace") from None
    for _, name, spec, conversion in parts:
        if name is not None and (name not in WORDS or spec or conversion):
            raise _Wrong(f"text names {{{name}}}, which nothing fills in; known: {', '.join(sorted(WORDS))}")


def _seconds(table: Mapping[str, Any], name: str) -> float:
    value = table.get(name, 0)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < inf:
        raise _Wrong(f"{name} must be seconds, 0 or more, not {value!r}")
    return float(value)


def _flag(table: Mapping[str, Any], name: str) -> bool:
    value = table.get(name, False)
    if not isinstance(value, bool):
        raise _Wrong(f"{name} must be true or false, not {value!r}")
    return value


def _raise(step: object) -> Raise:
    if not isinstance(step, dict) or set(step) - {"priority", "context", "when"}:
        raise _Wrong(f"raise takes tables of priority, context and when, not {step!r}")
    return Raise(
        priority=_one_of(step, "priority", get_args(Priority)),
        context=_context(step["context"]) if "context" in step else frozenset({EVERYWHERE}),
        when=_condition(step, "when") if "when" in step else None,
    )
