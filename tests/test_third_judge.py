"""Holds, comparisons and hysteresis against a third judge: rtamt, a monitor of signal temporal logic that others wrote.

An option, in no lock file: `.venv/bin/pip install rtamt==0.4.10` brings it, and without it this is left out. Only clean
signals, a whole number every second: to it a hole means nothing, and it takes what lies before the first number for
granted. `VIGIL_SIGNALS=500` draws so many of each rule instead of two.
"""

from __future__ import annotations

import os
import re
from dataclasses import replace
from random import Random
from typing import Any

import pytest

from edge.core.rule import Rule
from edge.core.rules import assemble
from tests.helpers.rule_files import RULES
from tests.helpers.watched import WHOSE, WatchedBed

rtamt: Any = pytest.importorskip("rtamt", reason="an option: pip install rtamt==0.4.10")

MANY = int(os.environ.get("VIGIL_SIGNALS", "2"))
COMPARISON = re.compile(r"(\w+) ([<>]=?) (\d+)")
DEVICE = {"spo2_pct": "oximeter", "pulse_bpm": "oximeter", "resp_bpm": "capno"}
SIMPLE = [rule for rule in RULES if COMPARISON.fullmatch(rule.when.text) and rule.when.uses[0].metrics[0] in DEVICE]
STRETCHES = 12  # of one value, in a signal


def limits(rule: Rule) -> tuple[str, float, float, int]:
    """Of `when` and `clear`: the metric, where each changes between two whole numbers, and whether it rises (1, -1)."""
    assert rule.clear is not None
    found = [COMPARISON.fullmatch(part.text) for part in (rule.when, rule.clear)]
    when, clear = (one.groups() for one in found if one is not None)
    between = [int(limit) + (0.5 if sign in (">", "<=") else -0.5) for _, sign, limit in (when, clear)]
    assert when[0] == clear[0] and when[1][0] != clear[1][0], "it ends on the other side"
    return when[0], between[0], between[1], 1 if when[1][0] == ">" else -1


def monitor(rule: Rule) -> Any:
    """The rule as a formula: begun, and not ended since. As long as a hold is, so many seconds must have been so: a
    number speaks for the second before it. To end, it must have been seen to be over for the whole time."""
    _, begins, ends, rises = limits(rule)
    above, below = (">=", "<=") if rises > 0 else ("<=", ">=")
    held = f"historically[0,{max(rule.hold_s - 1, 0):g}](x {above} {begins:g})"
    over = f"historically[0,{rule.clear_hold_s:g}](x {below} {ends:g})"
    found = rtamt.StlDiscreteTimeSpecification()
    found.declare_var("x", "float")
    found.spec = f"(not ({over})) since ({held})"
    found.parse()
    return found


def signal(rule: Rule, random: Random) -> list[int]:
    """Stretches by turns of what raises the rule, what is between, and what ends it, each number the last one on its
    side of a limit, each about as long as a time of the rule."""
    _, begins, ends, rises = limits(rule)
    raises, between, ended = (round(one) for one in (begins + rises / 2, begins - rises / 2, ends - rises / 2))
    found = [round(ends - 4 * rises)] * 90
    for _ in range(STRETCHES):
        value, about_s = random.choice(((raises, rule.hold_s), (raises, rule.hold_s), (between, 3.0),
                                        (ended, rule.clear_hold_s), (round(ends + rises / 2), 3.0)))
        found += [value] * max(1, round(about_s) + random.randint(-2, 2))
    return found


@pytest.mark.parametrize("rule", SIMPLE, ids=[rule.id for rule in SIMPLE])
def test_a_rule_that_compares_one_number_is_on_when_the_third_judge_says_so(rule: Rule) -> None:
    metric, *_ = limits(rule)
    device = DEVICE[metric]
    alone = assemble([replace(rule, at_once=None, group="", tier=0)], RULES.engine, rule.id)
    raised = 0
    for number in range(MANY):
        numbers = signal(rule, Random(f"{rule.id} {number}"))
        bed, third = WatchedBed(((device, WHOSE[device], "-"),), alone, "INFUSING"), monitor(rule)
        for second, value in enumerate(numbers):
            bed.send(device, "good", {metric: value})
            ours, theirs = bool(bed.standing(device)), third.update(second, [("x", float(value))]) > 0
            assert ours == theirs, f"{rule.id} {number}: second {second} of {numbers[: second + 1]}: ours {ours}"
            raised += ours
            bed.tick()
    assert len(SIMPLE) >= 7 and raised
