"""Watching: what of a rule in force cannot be answered, and of which device that is; a row a case, at its limits."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from edge.core.alarms import Alarm
from edge.core.context import RuleContext
from edge.core.state import Baseline, BedState, CuffCycle, Determination, Device, LatestValue, Order, Session
from edge.core.watching import look, watch_over
from edge.model import DeviceKind, Phase
from tests.helpers.rule_files import PROTOCOLS, RULES

NOW = 1_800_000_000.0
BASELINE = ""
DEVICES: tuple[tuple[str, DeviceKind], ...] = (("pump", "pump"), ("cuff", "nibp"), ("oximeter", "oximeter"))
PRESSURES = ["dbp_mmhg", "sbp_mmhg"]


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


def looked(state: BedState, *rules: str) -> dict[str, list[str]]:
    """By what is missing: of which device, which metrics; "" for what belongs to none."""
    look(RuleContext(state, NOW), watch_over([RULES.named(one) for one in rules]))
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
