"""Watching: what of a rule in force cannot be answered, and of which device that is; a row a case, at its limits."""

from __future__ import annotations

from dataclasses import replace as changed
from typing import Any

import pytest
from msgspec.structs import replace

from edge.core.alarms import Alarm
from edge.core.context import RuleContext
from edge.core.expression import compile_condition
from edge.core.rule import Rule
from edge.core.state import Baseline, BedState, CuffCycle, Determination, Device, LatestValue, Order, Session
from edge.core.unwatched import ALL
from edge.core.watching import look, watch_over
from edge.model import DeviceKind, Phase
from edge.vocabulary import BY_FINGER
from tests.helpers.rule_files import PROTOCOLS, RULES

NOW = 1_800_000_000.0
BASELINE = ""
DEVICES: tuple[tuple[str, DeviceKind], ...] = (("pump", "pump"), ("cuff", "nibp"), ("oximeter", "oximeter"))
PRESSURES = ["dbp_mmhg", "sbp_mmhg"]
FINGER = frozenset(BY_FINGER)
AHEAD_S = RULES.engine.unwatched_ahead_s


def bed(phase: Phase = "INFUSING", *devices: tuple[str, DeviceKind], **change: Any) -> BedState:
    """All is known: a saturation, two pressures and a baseline."""
    session = Session("s", "b", Order("iv_racemic_40", 70, 0.5, 40, 1.0), phase, NOW, NOW - 3600, "nina",
                      started_s=NOW - 600, baseline=Baseline(120, 75, 2, "pair", spo2_pct=97))
    state = BedState("b", engine=RULES.engine, protocols=PROTOCOLS, session=replace(session, **change),
                     said_by=RULES.watch.said_by, watched=RULES.watch.metrics, looked_s=NOW - 1)
    state.devices = {name: Device(kind, "d", link="live", pump="infusing" if kind == "pump" else None, pump_at_s=NOW,
                                  rate_ml_h=52.5, rate_at_s=NOW) for name, kind in devices or DEVICES}
    state.latest["spo2_pct"] = LatestValue("oximeter", 97, "valid", None, NOW, 97, NOW)
    state.determinations = [Determination(NOW - one, 120, 75) for one in (300, 10)]
    return state


def lost(state: BedState, metric: str = "spo2_pct", device: str = "oximeter", valid_s: float = 30) -> BedState:
    state.latest[metric] = LatestValue(device, None, "invalid", "sensor_off", NOW, 97, NOW - valid_s)
    return state


def looked(state: BedState, *rules: str | Rule) -> dict[str, list[str]]:
    """By what is missing: of which device, which metrics; "" for what belongs to none."""
    look(RuleContext(state, NOW), watch_over([RULES.named(one) if isinstance(one, str) else one for one in rules]))
    return {cause: sorted(found.metrics) for cause, found in state.unwatched.items()}


def test_a_reading_that_is_missing_is_its_device_s() -> None:
    assert looked(bed(), "RES-2", "HTN-3", "INF-2") == {}
    assert looked(lost(bed()), "RES-2") == {"oximeter": ["spo2_pct"]}
    found = lost(bed())
    looked(found, "RES-2")
    assert found.unwatched["oximeter"].spans == [(NOW - 1, NOW)] and found.looked_s == NOW


@pytest.mark.parametrize("change", [
    {"session": None}, {"looked_s": None}, {"engine": replace(RULES.engine, unwatched_of_s=0)}, {"looked_s": NOW}])
def test_nothing_is_counted_where_nobody_could_look(change: dict[str, Any]) -> None:
    assert looked(replace(lost(bed()), **change), "RES-2") == {}


def test_only_the_time_of_this_patient_counts() -> None:
    state = lost(bed(opened_s=NOW - 0.25))
    looked(state, "RES-2")
    assert state.unwatched["oximeter"].spans == [(NOW - 0.25, NOW)]
    assert looked(lost(bed(opened_s=NOW)), "RES-2") == {}


@pytest.mark.parametrize(("rule", "state", "counted"), [
    ("TEC-1", "active", False), ("TEC-1", "acknowledged", False), ("TEC-1", "latched", True),
    ("RES-3", "active", True)])
def test_what_another_alarm_says_is_not_said_twice(rule: str, state: Any, counted: bool) -> None:
    of_bed = lost(bed())
    of_bed.alarms = {"A": Alarm("A", rule, "b", device="oximeter", state=state)}
    assert bool(looked(of_bed, "RES-2")) is counted


def test_of_what_is_away_or_excused_nothing_is_missed() -> None:
    away = lost(bed())
    away.devices["oximeter"].away = True
    excused = lost(bed())
    excused.cuff = CuffCycle(NOW - 20, NOW, excuses_from_s=NOW - 30)
    assert (looked(away, "RES-2"), looked(excused, "RES-2")) == ({}, {})


@pytest.mark.parametrize(("phase", "missing"), [
    ("PRECHECK", {}), ("READY", {}), ("INFUSING", {"cuff": PRESSURES}), ("PAUSED", {"cuff": PRESSURES}),
    ("RECOVERY", {"cuff": PRESSURES}), ("DISCHARGE_READY", {"cuff": PRESSURES}),
])
def test_pressures_are_expected_from_the_start_on(phase: Phase, missing: dict[str, list[str]]) -> None:
    state = bed(phase)
    state.determinations.clear()
    assert looked(state, "HTN-3") == missing


@pytest.mark.parametrize(("phase", "period", "missing"), [
    ("PRECHECK", "none", {}), ("INFUSING", "none", {BASELINE: PRESSURES}), ("RECOVERY", "none", {BASELINE: PRESSURES}),
    ("DISCHARGE_READY", "none", {}), ("DISCHARGE_READY", "resolving", {BASELINE: PRESSURES}),
])
def test_a_baseline_is_expected_while_it_is_compared_with(
    phase: Phase, period: str, missing: dict[str, list[str]],
) -> None:
    assert looked(bed(phase, baseline=None, dissociation=period), "HTN-1") == missing


@pytest.mark.parametrize(("devices", "gave", "missing"), [
    ((("monitor", "monitor"),), False, {}), ((("monitor", "monitor"),), True, {"monitor": PRESSURES}),
    ((("monitor", "monitor"), ("cuff", "nibp")), False, {"cuff": PRESSURES}), ((("pump", "pump"),), False, {}),
])
def test_a_pressure_is_expected_of_what_measures_it(
    devices: tuple[tuple[str, DeviceKind], ...], gave: bool, missing: dict[str, list[str]],
) -> None:
    state = bed("INFUSING", *devices)
    state.determinations.clear()
    if gave:
        state.devices["monitor"].newest_s = dict.fromkeys(PRESSURES, NOW - 900)
    assert looked(state, "HTN-3") == missing


@pytest.mark.parametrize(("valid_s", "missing"), [(None, {}), (3600, {"oximeter": ["resp_bpm"]}), (3600.5, {})])
def test_anything_else_is_expected_once_it_was_there(valid_s: float | None, missing: dict[str, list[str]]) -> None:
    state = bed()
    if valid_s is not None:
        lost(state, "resp_bpm", valid_s=valid_s)
    assert looked(state, "RES-4") == missing


@pytest.mark.parametrize(("word", "no_pump", "missing"), [
    ("infusing", False, {}), ("unknown", False, {"pump": ["rate_ml_h"]}), ("unknown", True, {})])
def test_a_pump_s_rate_is_missing_where_its_own_word_is(
    word: Any, no_pump: bool, missing: dict[str, list[str]],
) -> None:
    state = bed()
    state.devices["pump"].pump, state.no_pump = word, no_pump
    assert looked(state, "INF-2") == missing


@pytest.mark.parametrize(("true_s", "state", "above", "counted"), [
    (15, "pending", "inactive", False), (15.1, "pending", "inactive", True), (15.1, "active", "inactive", False),
    (15.1, "inactive", "inactive", True), (15.1, "pending", "active", False), (None, "pending", "inactive", False),
])
def test_holes_that_keep_a_hold_from_filling_count(true_s: float | None, state: Any, above: Any, counted: bool) -> None:
    of_bed = bed()
    of_bed.latest["spo2_pct"] = LatestValue("oximeter", 88, "valid", None, NOW, 88, NOW)
    of_bed.alarms = {
        "RES-2": Alarm("RES-2", "RES-2", "b", state=state, true_from_s=None if true_s is None else NOW - true_s),
        "RES-3": Alarm("RES-3", "RES-3", "b", state=above)}
    assert RULES.named("RES-2").hold_s == 15
    assert looked(of_bed, "RES-2", "RES-3") == ({"oximeter": ["spo2_pct"]} if counted else {})


@pytest.mark.parametrize(("hold_s", "true_s", "counted"), [
    (59.75, 59.75, False), (59.75, 60, True), (60, 60 - AHEAD_S, False), (60, 60.25 - AHEAD_S, True)])
def test_a_hold_as_long_as_what_is_remembered_counts_before_its_end(
    hold_s: float, true_s: float, counted: bool,
) -> None:
    state = bed()
    state.latest["spo2_pct"] = LatestValue("oximeter", 88, "valid", None, NOW, 88, NOW)
    state.alarms = {"RES-2": Alarm("RES-2", "RES-2", "b", state="pending", true_from_s=NOW - true_s)}
    assert bool(looked(state, changed(RULES.named("RES-2"), hold_s=hold_s))) is counted


def asks(rule: str, when: str) -> Rule:
    """This rule with another condition."""
    return changed(RULES.named(rule), when=compile_condition(when))


@pytest.mark.parametrize(("rule", "true_s", "missing"), [
    ("PRO-3", 5, {}), ("PRO-3", 5.1, {"pump": []}),
    (asks("RES-2", "spo2_pct < 98 or pulse_bpm > 120"), 15.1, {"oximeter": ["spo2_pct"]}),
    (asks("RES-2", "pulse_bpm > 60 or spo2_pct < 90"), 15.1, {"oximeter": ["pulse_bpm"]}),
    (changed(asks("RES-2", "spo2_pct < 98"), hold_s=1), 1.5, {"oximeter": ["spo2_pct"]}),
    (changed(asks("RES-2", "spo2_pct < 98"), hold_s=0), 1.5, {}),
])
def test_of_a_hold_that_holes_keep_open_the_first_of_what_is_asked_is_missing(
    rule: str | Rule, true_s: float, missing: dict[str, list[str]],
) -> None:
    state = bed(unready_start=True)
    state.latest["pulse_bpm"] = LatestValue("oximeter", 70, "valid", None, NOW, 70, NOW)
    name = rule if isinstance(rule, str) else rule.id
    state.alarms = {name: Alarm(name, name, "b", state="pending", true_from_s=NOW - true_s)}
    assert looked(state, rule) == missing


@pytest.mark.parametrize(("rule", "link", "word", "missing"), [
    ("INF-3", "live", "infusing", {}), ("INF-3", "live", "unknown", {"pump": []}), ("INF-4", "live", "infusing", {}),
    ("INF-4", "lost", "infusing", {"pump": []}), ("TEC-9", "live", "unknown", {}), ("CAR-3", "live", "unknown", {
        BASELINE: ["pulse_bpm"]}),
])
def test_a_device_s_own_word_may_be_all_that_is_missing(
    rule: str, link: Any, word: Any, missing: dict[str, list[str]],
) -> None:
    state = bed()
    state.latest["pulse_bpm"] = LatestValue("oximeter", 70, "valid", None, NOW, 70, NOW)
    state.devices["pump"].link, state.devices["pump"].pump = link, word
    assert looked(state, rule) == missing


@pytest.mark.parametrize(("first", "second", "missing"), [
    (None, None, "one"), ("drug", "carrier", "one"), ("carrier", "drug", "two")])
def test_of_two_pumps_the_drug_s_word_is_missing(first: Any, second: Any, missing: str) -> None:
    state = bed("INFUSING", ("one", "pump"), ("two", "pump"))
    for name, role in (("one", first), ("two", second)):
        state.devices[name].role, state.devices[name].pump = role, "unknown"
    assert looked(state, "INF-3") == {missing: []}


@pytest.mark.parametrize(("rule", "dbp", "missing"), [
    ("HTN-3", 75, {"cuff": PRESSURES}), ("HTN-3", 120, {}),  # from 120 one is enough
    (asks("CAR-5", "sbp_mmhg < 0.5 * baseline.sbp_mmhg"), 75, {BASELINE: ["sbp_mmhg"]}),
])
def test_a_pair_that_could_be_there_is_missing(rule: str | Rule, dbp: float, missing: dict[str, list[str]]) -> None:
    state = bed(baseline=None)
    state.determinations = [Determination(NOW - 400, 125, dbp)]  # the next one is late
    assert looked(state, rule) == missing


# --- what is watched --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("rule", "metrics", "baselines", "of_pump", "always", "above"), [
    ("HTN-1", ("sbp_mmhg", "dbp_mmhg"), ("sbp_mmhg", "dbp_mmhg"), False, False, ("HTN-2", "HTN-3", "HTN-4")),
    ("HTN-3", ("sbp_mmhg", "dbp_mmhg"), (), False, False, ("HTN-4",)), ("RES-3", ("spo2_pct",), (), False, False, ()),
    ("INF-3", (), (), True, True, ()), ("INF-4", (), (), False, True, ()), ("TEC-11", (), (), False, False, ()),
])
def test_what_is_watched_of_a_rule(
    rule: str, metrics: tuple[str, ...], baselines: tuple[str, ...], of_pump: bool, always: bool,
    above: tuple[str, ...],
) -> None:
    found = next(one for one in watch_over(RULES.rules).rules if one.rule.id == rule)
    assert (found.metrics, found.baselines, found.of_pump, found.always, found.above) == (
        metrics, baselines, of_pump, always, above)


def test_requests_what_a_person_enters_and_the_watching_itself_are_not_watched() -> None:
    assert {rule.id for rule in RULES} - {one.rule.id for one in watch_over(RULES.rules).rules} == {
        "HTN-R", "HTN-4", "SYM-1", "SED-1", "SED-2", "DIS-3", "DIS-4", "DIS-5", "PRO-1", "PRO-5", "PRO-7", "PRO-9",
        "TEC-7", "TEC-8", "TEC-10"}


@pytest.mark.parametrize(("when", "said"), [
    ("unwatched_s('TEC-1', 'TEC-4') > 30", {"TEC-1": FINGER, "TEC-4": ALL}),
    ("unwatched_s() > 30 and not own_alarm('TEC-1')", {"TEC-1": ALL}),
    ("unwatched_s('RES') > 30", {"RES-1": ALL, "RES-2": ALL, "RES-3": ALL, "RES-4": ALL, "RES-5": ALL}),
])
def test_whose_alarms_say_that_a_device_is_not_watched(when: str, said: dict[str, frozenset[str]]) -> None:
    rules = [changed(rule, when=compile_condition(when), clear=None) if rule.id == "TEC-10" else rule for rule in RULES]
    assert watch_over(rules).said_by == said
