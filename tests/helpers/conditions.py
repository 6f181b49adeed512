"""Conditions of rules and protocols against a truth table drawn by hand (`tests/conditions.txt`): what each says where
its facts are at their limits, and one unit beside them.

    HTN-3 when
    given sbp_mmhg 180, dbp_mmhg 80, paired yes     -> yes
    sbp_mmhg 179                                    -> no

A block has a name: a rule and a key of it, or a protocol, its list and a gate of that. Its first row gives each fact a
value; another row says what differs from the first. A value is a number, yes, no, or ? for unknown; so is the answer.
Of a pair of determinations the earlier one is as the newer, but for what `before METRIC` says; `paired`: there are two.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple
from unittest.mock import patch

from edge.core import expression, facts, logic
from edge.core.context import RuleContext
from edge.core.fact import Fact
from edge.core.logic import Truth
from edge.core.protocol import Protocols
from edge.core.rule import Rule
from tests.helpers.rule_files import HERE

FILE = HERE / "conditions.txt"
Value = float | bool | None
VALUES: dict[str, Value] = {"yes": True, "no": False, "?": None}
AND = re.compile(r", (?![^(]*\))")  # no comma within brackets
BEFORE = "before "  # of the earlier of two determinations
BOTH = ("pair", "last_two_bp")
ITSELF = "known"  # a fact that only looks at another


class Row(NamedTuple):
    """What is given, and what the condition says then."""

    of: str
    line: int
    given: Mapping[str, Value]
    says: Value


def rows(text: str) -> Iterator[Row]:
    """Every row of the table."""
    of, first = "", dict[str, Value]()
    for number, line in enumerate(text.splitlines(), 1):
        said, arrow, answer = line.partition("->")
        if not line.strip() or line.startswith("#"):
            continue
        if not arrow:
            of, first = line.strip(), {}
            continue
        what = said.strip().removeprefix("given ")
        given = {one.rpartition(" ")[0]: _value(one.rpartition(" ")[2]) for one in AND.split(what)}
        if not first:
            first = given
        yield Row(of, number, first | given, VALUES[answer.strip()])


def _value(word: str) -> Value:
    return VALUES[word] if word in VALUES else float(word)


@dataclass
class Given:
    """Instead of the rule context: facts as the row gives them. KeyError: a fact that it does not give."""

    values: Mapping[str, Value]
    asked: set[str] = field(default_factory=set)

    def metric(self, key: str) -> Value:
        """A reading."""
        return self.said(key)

    def said(self, key: str) -> Value:
        """Any fact."""
        self.asked.add(key)
        return self.values[key]

    def both(self, condition: Callable[[Any], Truth]) -> Truth:
        """Whether it is so of two determinations in a row."""
        if self.said("paired") is not True:
            return False
        before = {key.removeprefix(BEFORE): value for key, value in self.values.items() if key.startswith(BEFORE)}
        return logic.both((condition(self), condition(Given({**self.values, **before}, self.asked))))


def _stub(fact: Fact) -> Fact:
    if fact.compute is RuleContext.metric or fact.name == ITSELF:
        return fact
    if fact.name in BOTH:
        return replace(fact, compute=lambda given, condition: given.both(condition))

    def compute(given: Given, *arguments: object) -> Value:
        words = ", ".join(f"{one:g}" if isinstance(one, float) else str(one) for one in arguments)
        return given.said(f"{fact.name}({words})" if words and not fact.of else fact.name)

    return replace(fact, compute=compute)


FACTS = {name: _stub(fact) for name, fact in facts.FACTS.items()}
FUNCTIONS = {name: _stub(fact) for name, fact in facts.FUNCTIONS.items()}


def _says(condition: str) -> Callable[[Any], Truth]:
    """A condition that asks a row instead of a bed; compiled anew: what is kept asks beds."""
    with patch.object(expression, "FACTS", FACTS), patch.object(expression, "FUNCTIONS", FUNCTIONS):
        return expression.compile_condition.__wrapped__(condition).evaluate


def of_rules(rules: Iterable[Rule]) -> dict[str, str]:
    """The conditions of these rules, by the names of their blocks."""
    return {f"{rule.id} {key}": condition.text for rule in rules for key, condition in rule.conditions.items()}


def of_protocols(protocols: Protocols) -> dict[str, str]:
    """Those of protocols: gates, schedules, and what is no baseline. What one takes over from another stands there."""
    found: dict[str, str] = {}
    for name, one in protocols.by_id.items():
        gates = {"ready": one.ready, "go_on": one.go_on, "discharge": one.discharge}
        found |= {f"{name} {key} {gate.id}": gate.open for key, listed in gates.items() for gate in listed}
        steps = {"cuff": one.schedule.cuff, "check_in": one.schedule.check_in, "oximetry": one.schedule.oximetry}
        found |= {f"{name} {key} {number}": step.when
                  for key, listed in steps.items() for number, step in enumerate(listed, 1) if step.when}
        found |= {f"{name} baseline_never": one.baseline_never} if one.baseline_never else {}
    return found


def wrong(conditions: Mapping[str, str], table: Iterable[Row]) -> list[str]:
    """The rows that say otherwise than the condition of that name, and those that give what nobody asks."""
    said = {name: _says(text) for name, text in conditions.items()}
    found, asked, given = [], dict[str, set[str]](), dict[str, set[str]]()
    for row in table:
        if row.of not in said:
            continue
        context = Given(row.given)
        try:
            says: object = said[row.of](context)
        except KeyError as lacks:
            says = f"asks for {lacks}"
        asked.setdefault(row.of, set()).update(context.asked)
        given.setdefault(row.of, set()).update(key for key in row.given if not key.startswith(BEFORE))
        if says is not row.says:
            found.append(f"{FILE.name}:{row.line}: {row.of} {dict(row.given)}: {says}")
    return found + [f"{of}: nobody asks for {sorted(given[of] - asked[of])}" for of in given if given[of] - asked[of]]
