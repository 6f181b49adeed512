"""What a command does to a bed that is written down, and what it refuses: each at its limits."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from msgspec import UNSET
from msgspec.structs import replace

from edge.contract.commands import MoveSession
from edge.contract.events import AlarmMoved
from edge.core import commands, moving, session, treatment_commands
from edge.core.alarms import Alarm
from edge.core.context import RuleContext
from edge.core.protocol import ByHand, Protocols
from edge.core.protocols import as_in_0_1_0
from edge.core.state import BedState, CheckIn, Determination, Device, Gone, LatestValue, Order, Session
from edge.model import Arrived, Command, DeviceAlarm, Dissociation, LinkChanged, Phase, PumpStatus, Role, iso
from tests.helpers.rule_files import PROTOCOLS, RULES

NOW = 1_800_000_000.0
ORDER = Order("iv_racemic_40", 70, 0.5, 40, 1.0)
START: dict[str, Any] = {"session": "session-2", "protocol": "iv_racemic_40", "weight_kg": 70, "dose_mg_kg": 0.5,
                         "duration_min": 40, "concentration_mg_ml": 1}


def bed(protocols: Protocols = PROTOCOLS, *, opened: bool = True, **change: Any) -> BedState:
    """A bed whose infusion runs for fifty minutes; `change`: of its session."""
    state = BedState("b", engine=RULES.engine, protocols=protocols, limits=RULES.limits, devices={
        "pump": Device("pump", "p", link="live"), "oximeter": Device("oximeter", "o", link="live")})
    if opened:
        now = Session("s", "b", ORDER, "INFUSING", NOW - 3000, NOW - 3600, "nina", started_s=NOW - 3000)
        state.session = replace(now, **change)
    return state


def ask(state: BedState, verb: str, args: dict[str, Any], by: str = "nina", role: Role = "nurse") -> list[Any]:
    """The bodies of the events that follow."""
    command = Command("c", "main", by, role, "b", verb, args)
    return [pending.body for pending in commands.obey(state, RULES, command, NOW)]


@pytest.mark.parametrize(("protocols", "asked", "interval_min"), [
    (as_in_0_1_0(), {}, 10), (as_in_0_1_0(), {"nibp_interval_min": 7}, 7), (PROTOCOLS, {}, None),
    (PROTOCOLS, {"nibp_interval_min": 7}, 7),
])
def test_how_often_the_cuff_measures_where_no_interval_is_ordered(
    protocols: Protocols, asked: dict[str, Any], interval_min: float | None,
) -> None:
    state = bed(protocols, opened=False)
    state.nibp_interval_s = 600
    (opened,) = ask(state, "start_session", START | asked)
    assert state.session is not None and state.session.order.nibp_interval_min == interval_min
    assert (opened.order.nibp_interval_min, opened.whose) == (interval_min, UNSET)


def test_an_order_is_published_to_a_hundredth() -> None:
    state = bed(opened=False)
    (opened,) = ask(state, "start_session", START | {"weight_kg": 70.123, "whose": "nobody's"})
    assert (opened.order.dose_mg, opened.whose) == (35.06, "nobody's")
    (amended,) = ask(state, "amend_order", {"dose_mg_kg": 0.7, "prescriber": "Dr Hall", "reason": "she is stable"})
    assert (amended.order.dose_mg, amended.was.dose_mg) == (49.09, 35.06)


def test_a_check_in_says_what_is_no_more() -> None:
    assert ask(bed(), "check_in", {"moaas": 5, "gone": ["headache"]})[0].gone == ("headache",)
    assert ask(bed(), "check_in", {"moaas": 5})[0].gone is UNSET


NASAL = PROTOCOLS.by_id["esketamine_rems"]
BY_THIRDS = replace(NASAL, by_hand=ByHand(device_mg=9.3333, doses_mg=(28.0,), apart_s=300))  # as no clinic has it


def test_a_dose_is_of_the_minute_in_which_it_was_given() -> None:
    state = bed(Protocols({NASAL.id: BY_THIRDS}), order=Order(NASAL.id, 70, None, None, None, by_hand_mg=28.0),
                phase="READY", started_s=None)
    given, moved = ask(state, "give_dose", {"devices": 1, "minutes_ago": 5, "lots": ["A1"]})
    assert (given.given, given.mg, given.delivered_mg, given.lots) == (iso(NOW - 300), 9.3333, 9.33, ("A1",))
    assert (moved.phase, moved.started, moved.delivered_mg) == ("INFUSING", iso(NOW - 300), 9.33)
    (now,) = ask(state, "give_dose", {"devices": 1})
    assert (now.given, now.lots, now.delivered_mg, now.reason) == (iso(NOW), (), 18.67, UNSET)
    assert ask(state, "give_dose", {"devices": 1, "reason": "two were ready"})[0].reason == "two were ready"



CLOSES: list[tuple[str, str, str]] = [  # the phase, the reason that is given, and what follows
    ("DISCHARGE_READY", "", "closed"), ("DISCHARGE_READY", "home", "closed"), ("PRECHECK", "", "in PRECHECK"),
    ("PRECHECK", "she goes home", "closed"), ("PAUSED", "", "in PAUSED"), ("RECOVERY", "", "60 minutes after the end"),
    ("RECOVERY", "ok", "'ok' says nothing of what is open: 60 minutes"), ("RECOVERY", "her son is here", "closed"),
]


@pytest.mark.parametrize(("phase", "reason", "follows"), CLOSES)
def test_a_session_is_closed_early_for_a_reason(phase: str, reason: str, follows: str) -> None:
    state = bed(phase=phase, ended_s=NOW - 60, delivered_ml=1 / 3, order=replace(ORDER, concentration_mg_ml=1.0))
    closed = ask(state, "close_session", {"reason": reason} if reason else {})[0]
    if follows != "closed":
        assert closed.reason.startswith("reason_needed: ") and follows in closed.reason and state.session is not None
        return
    assert (closed.phase, closed.reason, closed.delivered_mg, closed.whose) == ("CLOSED", reason, 0.33, UNSET)
    assert (state.session, state.closed) == (None, ["s"])


def test_who_overrode_a_gate_before_the_dose_has_said_nothing_of_discharge() -> None:
    """A pulse of 48 before it is no reason why one of 130 is well afterwards."""
    state = bed(phase="PRECHECK", started_s=None)
    state.latest["pulse_bpm"] = LatestValue("oximeter", 48.0, "valid", None, NOW, 48.0, NOW)
    (overridden,) = ask(state, "override_gate", {"gate": "pulse", "reason": "an athlete"}, role="prescriber")
    assert overridden.gate == "pulse" and state.session is not None
    state.session = replace(state.session, phase="PAUSED", started_s=NOW - 3000, stopped_since_s=NOW - 60)
    assert ask(state, "end_infusion", {})[0].phase == "RECOVERY"
    pulse = next(point for point in session.open_items(RuleContext(state, NOW)) if point.gate.id == "pulse")
    assert pulse.override is None
    assert ask(state, "override_gate", {"gate": "pulse", "reason": "still"}, role="prescriber")[0].gate == "pulse"
    assert "pulse" not in [point.gate.id for point in session.open_items(RuleContext(state, NOW))
                           if point.override is None]


# --- a device that is away, the period, and which pump gives the drug -------------------------------------------------


def with_two_pumps(drug: str | None = "pump", **change: Any) -> BedState:
    state = bed(drug_pump=drug, **change)
    state.devices["second"] = Device("pump", "q", link="live")
    state.latest = {metric: LatestValue(device, 5.0, "valid", None, NOW, 5.0, NOW) for metric, device in (
        ("rate_ml_h", "pump"), ("spo2_pct", "oximeter"), ("battery_pct", "second"))}
    return state


@pytest.mark.parametrize(("device", "phase", "fine"), [
    ("pump", "INFUSING", False), ("pump", "PAUSED", False), ("pump", "RECOVERY", True), ("second", "INFUSING", True),
    ("oximeter", "INFUSING", True),
])
def test_a_device_is_done_without_unless_it_gives_the_drug(device: str, phase: Phase, fine: bool) -> None:
    state = with_two_pumps(phase=phase)
    (said,) = ask(state, "device_off", {"device": device, "minutes": 5, "reason": "the bathroom"})
    if not fine:
        assert said.reason == "not_now: a pump is not done without while its dose is not over"
        return
    assert (state.devices[device].off_until_s, state.devices[device].away) == (NOW + 300, True)
    assert said.until == iso(NOW + 300)


@pytest.mark.parametrize(("change", "why"), [
    ({"off_until_s": NOW + 60}, "it is back"), ({"gone": Gone("c", "P1", "s")}, "it is back"),
    ({"ask": True}, "its cable was looked at: it is this bed's own"),
    ({}, "not_now: the oximeter is not away as planned"),
])
def test_a_device_is_back_that_was_away_or_asked_for(change: dict[str, Any], why: str) -> None:
    state = bed()
    state.devices["oximeter"] = Device("oximeter", "o", link="live", **change)
    (said,) = ask(state, "device_back", {"device": "oximeter"})
    assert (said.why if change else said.reason) == why
    assert state.devices["oximeter"] == Device("oximeter", "o", link="live")


@pytest.mark.parametrize(("begun", "was", "change", "now"), [
    (True, "none", {}, "observed"), (True, "none", {"started_s": None}, "not_now: nothing has been given yet"),
    (True, "expected", {}, "observed"), (True, "observed", {}, "not_now: the period is open already"),
    (True, "resolving", {"ended_s": NOW - 60}, "observed"), (True, "resolved", {"ended_s": NOW - 60}, "observed"),
    (False, "observed", {}, "not_now: the infusion is not over; the period ends after it at the earliest"),
    (False, "observed", {"ended_s": NOW - 60}, "resolved"), (False, "expected", {"ended_s": NOW - 60}, "resolved"),
    (False, "none", {"ended_s": NOW - 60}, "not_now: the period is not open already"),
    (False, "resolved", {"ended_s": NOW - 60}, "not_now: the period is not open already"),
])
def test_a_person_says_that_the_period_is_open_or_over(
    begun: bool, was: Dissociation, change: dict[str, Any], now: str,
) -> None:
    state = bed(dissociation=was, **change)
    (said,) = ask(state, "dissociation", {"begun": begun, "reason": "she says so"})
    if now.startswith("not_now"):
        assert said.reason == now
    else:
        assert state.session is not None
        assert (said.state, state.session.dissociation, said.basis) == (now, now, "nurse: she says so")


@pytest.mark.parametrize(("rate", "since_s"), [(52.5, NOW - 9), (0.1, NOW - 9), (0.0, None), (None, None)])
def test_the_run_of_the_pump_that_is_named_began_the_infusion(rate: float | None, since_s: float | None) -> None:
    state = with_two_pumps(None, started_s=None, phase="READY", primed_ml=2.0, stopped_since_s=NOW - 60)
    pump = state.devices["second"]
    pump.pump, pump.rate_ml_h, pump.run_since_s, pump.run_ml = "infusing", rate, NOW - 9, 0.5
    (said,) = ask(state, "drug_channel", {"device": "second"})
    now = state.session
    assert now is not None
    assert (now.drug_pump, now.infusing_since_s, now.infused_at_s, now.stopped_since_s) == (
        "second", since_s, since_s, None)
    assert (now.primed_ml, said.device, said.was, said.reason) == (2.5, "second", None, "")
    assert list(state.latest) == ["spo2_pct", "battery_pct"]


@pytest.mark.parametrize(("device", "change", "reason", "says"), [
    ("oximeter", {}, "", "bad_args: the oximeter is no pump; this bed's are pump, second"),
    ("pump", {}, "the other one", "not_now: the pump is the drug's already"),
    ("second", {}, "", "reason_needed: the infusion has begun"), ("second", {}, "ok", "reason_needed: the infusion"),
    ("second", {}, "the line is blocked", ""), ("second", {"started_s": None}, "", ""),
])
def test_which_pump_gives_the_drug_is_said_for_a_reason(
    device: str, change: dict[str, Any], reason: str, says: str,
) -> None:
    state = with_two_pumps(infusing_since_s=NOW - 9, primed_ml=2.0, **change)
    state.devices["second"].pump, state.devices["second"].run_ml = "stopped", 0.5
    (said,) = ask(state, "drug_channel", {"device": device} | ({"reason": reason} if reason else {}))
    assert state.session is not None
    if says:
        assert said.reason.startswith(says) and state.session.drug_pump == "pump"
    else:
        assert (said.was, state.session.drug_pump, state.session.infusing_since_s) == ("pump", "second", None)
        assert state.session.primed_ml == 2.0


def test_an_order_is_amended_to_another_one() -> None:
    state = bed()
    more = {"prescriber": "Dr Hall", "reason": "she is stable"}
    assert ask(state, "amend_order", {"dose_mg_kg": 0.5} | more)[0].reason == "bad_args: the order says so already"
    assert ask(state, "amend_order", {"dose_mg_kg": 0.6} | more)[0].was.dose_mg_kg == 0.5
    assert state.session is not None and [one.was.dose_mg_kg for one in state.session.amendments] == [0.5]


# --- a limit of a patient's own, and what is held ---------------------------------------------------------------------


@pytest.mark.parametrize(("value", "fine"), [(90, True), (89.9, False), (97, True), (97.1, False)])
def test_a_limit_of_a_patients_own_stands_within_its_bounds(value: float, fine: bool) -> None:
    state = bed()
    (said,) = ask(state, "set_limit", {"limit": "spo2_low", "value": value, "reason": "COPD"}, role="prescriber")
    assert state.session is not None
    if not fine:
        assert said.reason == f"bad_args: SpO₂, awareness must be from 90 to 97 %, not {value}; usual is 94"
        return
    assert (said.value, said.was, said.usual) == (value, 94, 94)
    assert [(one.limit, one.value) for one in state.session.limits] == [("spo2_low", value)]
    of_patient = treatment_commands.rules_of(RULES, state.session)
    assert next(one.number for one in of_patient.limits if one.id == "spo2_low") == 94
    assert f"spo2_pct < {value:g}" in of_patient.named("RES-1").when.text
    assert treatment_commands.rules_of(RULES, bed().session) is RULES


@pytest.mark.parametrize(("phase", "seen_s", "says"), [
    ("INFUSING", None, "not_now: before it goes on: a blood pressure of the last 5 minutes; a check-in of"),
    ("INFUSING", 60, ""), ("PAUSED", 301, "not_now: before it goes on: "), ("PRECHECK", None, ""), ("READY", None, ""),
])
def test_what_was_held_goes_on_when_nothing_is_open(phase: Phase, seen_s: float | None, says: str) -> None:
    state = bed(phase=phase)
    assert state.session is not None
    held = ask(state, "hold", {"reason": "she is anxious"})
    assert held[0].held is True and [one.phase for one in held[1:]] == (["PRECHECK"] if phase == "READY" else [])
    if seen_s is not None:
        state.session = replace(state.session, check_ins=(CheckIn(NOW - seen_s, "nina", moaas=5),))
        state.determinations = [Determination(NOW - seen_s, 120, 75)]
    goes_on = ask(state, "unhold", {})[0]
    assert goes_on.reason.startswith(says)
    if not says:
        assert goes_on.held is False and state.session is not None and state.session.held is None


def test_what_was_seen_before_the_dose_was_all_in_is_seen_anew_before_the_patient_leaves() -> None:
    state = bed(phase="PAUSED", stopped_since_s=NOW - 60)
    ask(state, "attest", {"what": "gait", "so": True})
    assert state.session is not None and state.session.attested["gait"].so
    ask(state, "end_infusion", {})
    assert "gait" in [point.gate.id for point in session.open_items(RuleContext(state, NOW))]
    ask(state, "attest", {"what": "gait", "so": True})
    assert "gait" not in [point.gate.id for point in session.open_items(RuleContext(state, NOW))]


# --- the patient goes to another bed ----------------------------------------------------------------------------------

KNOWN: dict[str, Any] = {"link": "live", "identity": "P1", "bound": "P1", "volume_of": "P1"}


def at_two() -> tuple[BedState, BedState]:
    """A bed whose pump stopped at 3 mL, and another one with a pump of its own."""
    one, other = bed(phase="RECOVERY", ended_s=NOW - 60, delivered_ml=1 / 3), bed(opened=False)
    one.devices["pump"] = Device(
        "pump", "p", pump="stopped", rate_ml_h=5.0, rate_at_s=NOW - 1, volume_ml=3.0, volume_at_s=NOW - 1,
        volume_doubtful=True, off_until_s=NOW + 9, is_guest=True, alarms=(DeviceAlarm("x", "low", "x", "x"),), **KNOWN)
    for state in (one, other):
        state.latest = {metric: LatestValue(device, 5.0, "valid", None, NOW, 5.0, NOW)
                        for metric, device in (("rate_ml_h", "pump"), ("battery_pct", "second"))}
        state.devices["second"] = Device("pump", "q", link="live")
    other.bed = "c"
    other.devices["pump"] = Device(
        "pump", "p", pump="paused", rate_ml_h=7.0, rate_at_s=NOW - 1, volume_ml=9.0, volume_at_s=NOW - 2,
        known_at_s=NOW - 1, gone=Gone("d", "P2", "s-9"), alarms=(DeviceAlarm("y", "low", "y", "y"),),
        **KNOWN | {"identity": "P2", "bound": "P2", "volume_of": "P2"})
    return one, other


MOVE: dict[str, Any] = {"to": "c", "reason": "the chair broke", "devices": ["pump"]}


SAID = AlarmMoved(rule="RES-3", alarm="b.RES-3.1", title="t", state="inactive", was="active", priority="high",
                  alarm_class="physiological", device=None, since=None, text="t", why="w", clears="c", limit="84",
                  evidence=(), by=None, phase="RECOVERY", dissociation=None)


def test_an_alarm_that_comes_along_is_told_where_it_stands() -> None:
    _, other = at_two()
    alarms = [Alarm("RES-3", "RES-3", "b", id="b.RES-3.1", state="active", no_data=True, body=SAID),
              Alarm("RES-2", "RES-2", "b", on=True, body=replace(SAID, rule="RES-2"))]
    what = moving.Carried(Session("s", "c", ORDER, "RECOVERY", NOW, NOW, "nina"), [], [], alarms, {})
    told = Arrived("b", msgspec.json.encode(what).decode(), "c", "nina", "the chair broke")
    said: list[Any] = [pending.body for pending in commands.obey(other, RULES, told, NOW)]
    assert [(one.rule, one.alarm_phase) for one in said[1:]] == [("RES-3", "continue")]
    assert (other.alarms["RES-3"].no_data, other.alarms["RES-3"].id) == (False, "c.RES-3.1")
    assert (other.alarms["RES-2"].state, other.alarms["RES-2"].id) == ("inactive", "")


def test_a_device_that_goes_along_is_nothing_to_the_bed_it_left() -> None:
    one, _ = at_two()
    one.alarms = {"RES-3": Alarm("RES-3", "RES-3", "b", body=SAID)}
    (moved,) = ask(one, "move_session", MOVE)  # an alarm that is over is not ended once more
    assert (one.alarms, moved.to, moved.devices, moved.delivered_mg) == ({}, "c", ("pump",), 0.33)
    assert one.devices["pump"] == Device("pump", "p", link="live", identity="P1", volume_at_s=NOW - 1,
                                         volume_doubtful=True, away=True, gone=Gone("c", "P1", "s"))
    assert (one.session, one.closed, list(one.latest)) == (None, ["s"], ["battery_pct"])


@pytest.mark.parametrize("whose", ["", "hers, seen"])
def test_a_device_that_comes_along_goes_on_with_its_own_counter(whose: str) -> None:
    one, other = at_two()
    other.closed = ["s", "s-1"]
    command = Command("c", "main", "nina", "nurse", "b", "move_session", MOVE | ({"whose": whose} if whose else {}))
    (_, asked), (to, told) = moving.inputs({"b": one, "c": other}, RULES, command, (), NOW)
    assert asked == replace(command, objection="") and to == "c" and isinstance(told, Arrived)
    moved: Any = next(commands.obey(other, RULES, told, NOW)).body
    assert (moved.devices, moved.delivered_mg, moved.whose) == ({"pump": "pump"}, 0.33, whose or UNSET)
    assert other.devices["pump"] == Device("pump", "p", link="live", identity="P2", bound="P1", volume_ml=3.0,
                                           volume_at_s=NOW - 1, volume_doubtful=True, volume_of="P1", is_guest=True)
    assert (other.closed, list(other.latest)) == (["s-1"], ["battery_pct"])
    moving.let_go(other)
    assert (other.devices["pump"].is_guest, other.devices["pump"].bound) == (False, None)


@pytest.mark.parametrize(("change", "devices", "goes_on"), [
    ({"infusing_since_s": NOW - 9}, ["pump"], True), ({"infusing_at_boot": True}, ["pump"], True),
    ({}, ["pump"], False), ({"infusing_since_s": NOW - 9}, ["oximeter"], False),
])
def test_what_goes_along_of_an_infusion_and_of_a_pumps_alarms(
    change: dict[str, Any], devices: list[str], goes_on: bool,
) -> None:
    one, other = at_two()
    assert one.session is not None
    one.session = replace(one.session, drug_pump="pump", **change)
    one.alarms = {key: Alarm(key, rule, "b", device=device, state="active") for key, rule, device in (
        ("TEC-8:pump", "TEC-8", "pump"), ("TEC-8:second", "TEC-8", "second"), ("RES-2", "RES-2", None),
        ("TEC-11", "TEC-11", None))}
    other.devices["pump-b"] = other.devices.pop("pump")
    with_them = MoveSession(to="c", reason="the chair broke", devices=devices)
    told = moving.carried(one, other, with_them, RULES, NOW)
    pump = "pump-b" if devices == ["pump"] else None
    now = told.session
    assert (now.infusing_at_boot, now.drug_pump, now.infusing_since_s) == (goes_on, pump, None)
    assert [(alarm.rule, alarm.device) for alarm in told.alarms] == [
        *([("TEC-8", pump)] if pump else []), ("RES-2", None)]


@pytest.mark.parametrize(("bound", "of"), [("P1", "P7"), ("P1", None), (None, None)])
def test_a_counter_of_another_pump_does_not_go_along(bound: str | None, of: str | None) -> None:
    one, other = at_two()
    one.devices["pump"].bound, one.devices["pump"].volume_of = bound, of
    (_, told) = moving.inputs({"b": one, "c": other}, RULES, Command(
        "c", "main", "nina", "nurse", "b", "move_session", MOVE), (), NOW)[1]
    assert isinstance(told, Arrived)
    assert moving.read(told.carried).devices == {"pump": moving.Counter("pump", bound)}


@pytest.mark.parametrize(("gone", "identity", "foreign"), [
    (None, "P1", False), (Gone("c", "P1", "s"), "P1", True), (Gone("c", "P1", "s"), "P2", False),
    (Gone("c", None, "s"), "P2", True), (Gone("c", "P1", "s"), None, False),
])
def test_what_comes_on_the_line_of_a_device_that_went_away(
    gone: Gone | None, identity: str | None, foreign: bool,
) -> None:
    state = bed()
    state.devices["pump"] = Device("pump", "p", link="live", identity=identity, gone=gone)
    assert moving.is_foreign(state, "pump") is foreign
    assert moving.is_dropped(state, PumpStatus("pump", "infusing")) is foreign
    assert not moving.is_dropped(state, LinkChanged("pump", "live"))
    assert moving.over([state]) == {}, "its session goes on"
    state.session = None
    assert moving.over([state]) == ({"b": ("pump",)} if gone else {})
