"""What is asked together says what each condition says alone: no cause is passed over that begins."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest

from edge.core.asked import Asked, One, Round, Together
from edge.core.code import any_of
from edge.core.context import RuleContext
from edge.core.expression import ExpressionError, compile_condition
from edge.core.stories import run_story
from edge.model import DeviceAlarm, DeviceAlarmsReported, DeviceKind, Input, LinkChanged, Sample, Samples, Tick
from tests.helpers.rule_files import PROTOCOLS, RULES

LIVED = run_story("given infusing\n2:00 spo2 97 -> nothing\n", "asked", RULES, "RES-1", PROTOCOLS)
BED, AT_S = LIVED.bedside.state.bed, LIVED.at_s


def _of(device: str, **values: float | None) -> Samples:
    return Samples(device, tuple(
        Sample(BED, device, metric, value, "unavailable" if value is None else "valid", AT_S)
        for metric, value in values.items()))


@pytest.mark.parametrize(("texts", "is_any", "is_any_unknown"), [
    ([], False, False),
    (["spo2_pct < 90"], False, False),
    (["spo2_pct < 90", "spo2_pct < 98"], True, True),
    (["spo2_pct < 98", "temp_c < 35"], True, True),
    (["temp_c < 35", "spo2_pct < 90"], False, True),
    (["temp_c < 35 and spo2_pct < 90", "temp_c > 39"], False, True),
    (["not spo2_pct < 90"], True, True),
    (["not temp_c < 35", "not temp_c > 39"], False, True),
])
def test_any_of_is_what_each_of_them_is(texts: list[str], is_any: bool, is_any_unknown: bool) -> None:
    conditions, context = [compile_condition(text) for text in texts], RuleContext(LIVED.bedside.state, AT_S)
    alone = [condition.evaluate(context) for condition in conditions]
    assert (True in alone, True in alone or None in alone) == (is_any, is_any_unknown)
    codes = [condition.code for condition in conditions]
    assert bool(any_of(codes)(context)) is is_any
    assert any_of(codes, unknown=True)(context) is is_any_unknown


@pytest.mark.parametrize(("opens", "inner"), [("not (", "spo2_pct < 90"), ("spo2_pct < 90 or (", "pulse_bpm > 300"),
                                              ("spo2_pct < (1 + ", "1")])
def test_the_deepest_condition_that_is_taken_alone_is_taken_among_others(opens: str, inner: str) -> None:
    taken, again = None, opens.rpartition("(")[2]
    for depth in range(20, 400):
        try:
            more = opens + (f"({again}" if again else opens) * (depth - 1)
            taken = compile_condition(more + inner + ")" * depth)
        except ExpressionError:
            break
    assert taken is not None and depth < 399, "somewhere Python takes no more"
    context = RuleContext(LIVED.bedside.state, AT_S)
    assert bool(any_of([taken.code, taken.code])(context)) is (taken.evaluate(context) is True)


@pytest.mark.parametrize("given", [
    Tick(), _of("oximeter", spo2_pct=84), _of("oximeter", spo2_pct=None), _of("oximeter", pulse_bpm=150),
    _of("cuff", sbp_mmhg=190, dbp_mmhg=125, map_mmhg=140), _of("pump", rate_ml_h=900),
    LinkChanged("oximeter", "lost"), LinkChanged("pump", "lost"), LinkChanged("cuff", "unstable"),
    DeviceAlarmsReported("pump", (DeviceAlarm("occlusion", "high", "7", "occlusion"),)),
], ids=lambda given: type(given).__name__)
def test_a_round_begins_where_a_cause_of_it_does(given: Input) -> None:
    bed = LIVED.bedside.copy()
    bed.apply(given, AT_S)
    assert bed.state.session is not None
    for at_s in (AT_S, AT_S + 3, AT_S + 30, AT_S + 400):
        context = RuleContext(bed.state, at_s)
        for metrics in (None, ("spo2_pct", "pulse_bpm"), ("rate_ml_h",), ("sbp_mmhg", "dbp_mmhg", "map_mmhg")):
            asked = RULES.asked(metrics, bed.state.session)
            assert bool(asked.begins(context)) is any(_begins(cause, context) for cause in asked.causes)
        in_force = RULES.watch.in_force(bed.state.session)
        assert bool(in_force.speaks(context)) is any(
            one.is_so.evaluate(where) is not False for one in in_force.rules if one.always
            for where in (context.for_each(one.rule.for_each) if one.rule.for_each else [context]))


def _begins(cause: Asked, context: RuleContext) -> bool:
    rule = cause.rules[0]
    where = context.for_each(rule.for_each) if rule.for_each else [context]
    return any(cause.begins(one) for one in [*where, *([context] if rule.for_bed else [])])


def test_a_round_is_not_always_quiet() -> None:
    """The table above would hold of a round that says no to everything if nothing began in it."""
    bed = LIVED.bedside.copy()
    asked = RULES.asked(None, bed.state.session)
    assert not asked.begins(RuleContext(bed.state, AT_S))
    bed.apply(_of("oximeter", spo2_pct=84), AT_S)
    assert asked.begins(RuleContext(bed.state, AT_S))


@pytest.mark.parametrize(("hold_s", "is_held"), [(0.0, False), (0.5, True), (15.0, True)])
def test_a_condition_with_a_hold_is_asked_for_it_and_what_is_so_at_once_is_not(hold_s: float, is_held: bool) -> None:
    rule = replace(RULES.named("RES-2"), hold_s=hold_s, at_once=RULES.named("RES-3").when)
    assert Asked.of((rule,), None).conditions == ((rule.when, is_held), (rule.at_once, False))


@pytest.mark.parametrize(("for_bed", "kinds", "of"), [
    (False, (), [()]), (True, (), [()]), (False, ("oximeter",), [("oximeter",)]),
    (True, ("oximeter",), [("oximeter",), ()]),
])
def test_a_rule_is_asked_of_its_devices_and_of_the_bed_where_it_says_so(
    for_bed: bool, kinds: tuple[DeviceKind, ...], of: list[tuple[DeviceKind, ...]], monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = list[One]()

    def together(conditions: Iterable[One]) -> Any:
        found.extend(conditions)
        return Together(lambda _: False, ())

    monkeypatch.setattr(Together, "of", together)
    rule = replace(RULES.named("RES-2"), for_bed=for_bed, for_each=kinds, at_once=None)
    Round.of([Asked.of((rule,), None)])
    assert [one.kinds for one in found] == of and {one.is_held for one in found} == {True}
