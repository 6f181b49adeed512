"""The arms of a comparison: what would alarm if rules were limits only, and what each thing a rule adds takes away.

    limits        every number that a device sent counts, also one that it called questionable, and counts at once
    artefacts     the same of readings that can be judged by: no artefact, no single determination where a pair is asked
    rules         as the rules are: with the time for which each condition must hold

Technical alarms and those that look at no reading are the same in all three.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from msgspec.structs import replace as replaced

from edge.core.expression import Compiled, compile_condition
from edge.core.rule import Rule
from edge.core.rules import RuleSet, assemble
from edge.model import Input, RecordedInput, Samples

# Of 716 patients on wards: alarms a patient and day by limits alone, without artefacts, and with a duration by
# severity (Hospital Practice 2023, doi 10.1080/21548331.2023.2298185).
PUBLISHED_A_DAY = (137, 101, 19)


def as_they_are(rules: RuleSet) -> RuleSet:
    """The rules unchanged."""
    return rules


def as_heard(recorded: RecordedInput) -> RecordedInput:
    """The input unchanged."""
    return recorded


@dataclass(frozen=True, slots=True)
class Arm:
    """One way to judge what was recorded. `rules`: a clinic's, None for the recorded ones."""

    name: str
    rules: RuleSet | None = None
    change: Callable[[RuleSet], RuleSet] = as_they_are
    hear: Callable[[RecordedInput], RecordedInput] = as_heard


def three(rules: RuleSet | None, name: str) -> list[Arm]:
    """The three arms of these rules; the last one is as they are."""
    return [Arm("limits alone", rules, limits_alone, all_that_was_sent),
            Arm("without artefacts", rules, at_once), Arm(name, rules)]


def looks_at_readings(rule: Rule) -> bool:
    """Whether a rule compares readings of a patient with a limit."""
    return rule.alarm_class == "physiological" and bool(rule.when.sampled)


def at_once(rules: RuleSet) -> RuleSet:
    """No limit must be broken for any time. What else would raise a rule at once (`at_once`) stays."""
    return _each(rules, lambda rule: replace(rule, hold_s=0.0, clear_hold_s=0.0))


def limits_alone(rules: RuleSet) -> RuleSet:
    """The same, and one determination is enough where a rule asks for two."""
    def bare(rule: Rule) -> Rule:
        conditions = {key: _single(condition) for key, condition in _own(rule).items()}
        return replace(rule, hold_s=0.0, clear_hold_s=0.0, when=conditions["when"],
                       at_once=conditions.get("at_once"), clear=conditions.get("clear"))

    return _each(rules, bare)


def all_that_was_sent(recorded: RecordedInput) -> RecordedInput:
    """Every number that came is valid, whatever the device said of it."""
    if not isinstance(recorded.input, Samples):
        return recorded
    samples = tuple(replaced(sample, validity="valid") if sample.value is not None else sample
                    for sample in recorded.input.samples)
    told: Input = replaced(recorded.input, samples=samples)
    return replaced(recorded, input=told)


def _each(rules: RuleSet, change: Callable[[Rule], Rule]) -> RuleSet:
    changed = [change(rule) if looks_at_readings(rule) else rule for rule in rules]
    return assemble(changed, rules.engine, rules.hash, rules.attention)


def _own(rule: Rule) -> Mapping[str, Compiled]:
    return {key: condition for key, condition in rule.conditions.items() if not key.startswith("raise.")}


def _single(condition: Compiled) -> Compiled:
    tree = _Unpaired().visit(ast.parse(condition.text.strip(), mode="eval"))
    return compile_condition(ast.unparse(ast.fix_missing_locations(tree)))


class _Unpaired(ast.NodeTransformer):
    """`pair(X)` becomes `X`."""

    def visit_Call(self, node: ast.Call) -> ast.expr:
        self.generic_visit(node)
        is_pair = isinstance(node.func, ast.Name) and node.func.id == "pair" and len(node.args) == 1
        return node.args[0] if is_pair else node
