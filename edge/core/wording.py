"""Words of a rule that name another number than its conditions do: whoever changes a threshold changes both, or a nurse
reads a limit that is none.

A number in words may be what a condition compares with, a hold, a share of a baseline (1.20: 20 %), or seconds told as
minutes. Where words name a number that is nowhere in the condition, and the condition one that is nowhere in the words,
one of the two was left behind. An end that is only that the condition is no longer true is told in words alone.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator

from edge.core.expression import Compiled
from edge.core.patient_limits import NUMBER
from edge.core.rule import Rule

_IN_BRACES = re.compile(r"\{[^}]*\}")


def apart(rule: Rule) -> Iterator[str]:
    """One line for each of the rule's words that seem to be of another number."""
    steps = [step.when for step in rule.escalations if step.when]
    for key, words, conditions, hold_s in (
        ("limit", rule.limit, [rule.when, *steps], rule.hold_s),
        ("at_once_limit", rule.at_once_limit, [rule.at_once], 0.0),
        ("clears", rule.clears, [rule.clear], rule.clear_hold_s),
        ("ended", rule.ended, [rule.clear], rule.clear_hold_s),
    ):
        said = {float(number) for number in NUMBER.findall(_IN_BRACES.sub("", words))}
        asked = {hold_s} - {0.0} | {number for one in conditions if one for number in _numbers(one)}
        wrong = {one for one in said if not any(one in _told(number) for number in asked)}
        unsaid = {number for number in asked if said.isdisjoint(_told(number))}
        if wrong and unsaid:
            yield (f"{rule.id}: {key} says {_listed(wrong)}, and what is asked is {_listed(unsaid)}: {words!r};"
                   " change the words with the number")


def _numbers(condition: Compiled) -> Iterator[float]:
    for node in ast.walk(ast.parse(condition.text.strip(), mode="eval")):
        if isinstance(node, ast.Constant) and isinstance(node.value, int | float) and not isinstance(node.value, bool):
            yield float(node.value)


def _told(number: float) -> set[float]:
    """As words may tell it."""
    return {number, round(number / 60, 6), round(abs(number - 1) * 100, 6)}


def _listed(numbers: Iterable[float]) -> str:
    return ", ".join(f"{number:g}" for number in sorted(numbers))
