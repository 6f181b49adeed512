"""What a command does to a bed that is written down, and what it refuses: each at its limits."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec import UNSET
from msgspec.structs import replace

from edge.core import commands, moving, session
from edge.core.context import RuleContext
from edge.core.protocol import ByHand, Protocols
from edge.core.protocols import as_in_0_1_0
from edge.core.state import BedState, Device, Gone, LatestValue, Order, Session
from edge.model import Arrived, Command, DeviceAlarm, LinkChanged, PumpStatus, Role, iso
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
    assert (now.given, now.lots, now.delivered_mg) == (iso(NOW), (), 18.67)



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


def test_a_device_that_goes_along_is_nothing_to_the_bed_it_left() -> None:
    one, _ = at_two()
    (moved,) = ask(one, "move_session", MOVE)
    assert (moved.to, moved.devices, moved.delivered_mg, moved.phase) == ("c", ("pump",), 0.33, "RECOVERY")
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


def test_a_counter_of_another_pump_does_not_go_along() -> None:
    one, other = at_two()
    one.devices["pump"].volume_of = "P7"
    (_, told) = moving.inputs({"b": one, "c": other}, RULES, Command(
        "c", "main", "nina", "nurse", "b", "move_session", MOVE), (), NOW)[1]
    assert isinstance(told, Arrived)
    assert moving.read(told.carried).devices == {"pump": moving.Counter("pump", "P1")}


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
