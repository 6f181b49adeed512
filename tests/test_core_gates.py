"""What gates ask for, how a cuff may be started and a pump stopped: each at its limits."""

from __future__ import annotations

from collections.abc import Iterator
from math import inf
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from edge.contract.commands import ArmInterlock, DisarmInterlock, MeasureBp
from edge.contract.events import CuffAsked, PendingEvent, PumpStop, Requested
from edge.core import gates, interlock, starting
from edge.core.alarms import Alarm
from edge.core.context import RuleContext
from edge.core.entered import Attestation, Dose, Spot
from edge.core.facts import FACTS
from edge.core.interlock_table import read_interlock
from edge.core.refusal import Refused
from edge.core.state import BedState, CuffCycle, Determination, Device, LatestValue, Maintenance, Order, Session
from edge.core.stopping import Interlock, Stop
from edge.model import AlarmState, Command, LinkState, Priority, PumpState
from edge.vocabulary import METRICS
from tests.helpers.bed_story import BedStory, spo2
from tests.helpers.rule_files import PROTOCOLS, RULES

NOW = 1_800_000_000.0
SBP_MOST = float(METRICS["sbp_mmhg"].high)
SESSION = Session("s", "b", Order("iv_racemic_40", 70, 0.5, 40, 1.0), "RECOVERY", NOW - 600, NOW - 3600, "nina",
                  started_s=NOW - 3000, ended_s=NOW - 600)


def bed(**change: Any) -> BedState:
    return BedState("b", engine=RULES.engine, protocols=PROTOCOLS, session=replace(SESSION, **change))


def now(state: BedState) -> RuleContext:
    return RuleContext(state, NOW)


def bp(*before_s: float, sbp: float = 120.0, **more: Any) -> list[Determination]:
    return [Determination(NOW - one, sbp, 75, **more) for one in before_s]


# --- what gates ask for -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("measured_s", "entered_s", "value"), [
    (None, None, None), (0, 10, 95), (None, 60, 91), (None, 60.1, None),
    (-50, 60, None), (-70, 60, 91),  # measured since, and before
])
def test_what_is_measured_now_comes_before_what_was_entered(
    measured_s: float | None, entered_s: float | None, value: float | None,
) -> None:
    state = bed(spots=() if entered_s is None else (Spot(NOW - entered_s, 91, "nina"),))
    if measured_s is not None:
        at_s = NOW + measured_s
        state.latest["spo2_pct"] = LatestValue("o", 95, "valid", None, at_s, 95, at_s)
    assert FACTS["measured_or_entered"].compute(now(state), "spo2_pct", 60) == value
    assert FACTS["measured_or_entered"].compute(RuleContext(BedState("b"), NOW), "spo2_pct", 60) is None


@pytest.mark.parametrize(("sbp", "beyond", "words"), [
    (120, (), "120/75"), (SBP_MOST, ("sbp_mmhg",), f">{SBP_MOST:.0f}/75"), (25, ("sbp_mmhg",), "<25/75")])
def test_the_newest_pressure_in_words(sbp: float, beyond: tuple[str, ...], words: str) -> None:
    state = bed()
    assert gates.last_bp_in_words(now(state)) is None
    state.determinations = [*bp(60), *bp(30, sbp=sbp, beyond=beyond)]
    assert gates.last_bp_in_words(now(state)) == words


@pytest.mark.parametrize(("taken_s", "ended_s", "well", "apart_s"), [
    ((), 600, False, None), ((30,), 600, False, None), ((599, 30), 600, True, 569), ((600, 30), 600, False, 570),
    ((599, 30), None, False, 569), ((900, 599.5, 30), 600, True, 569.5),
])
def test_the_last_two_pressures_after_the_end(
    taken_s: tuple[float, ...], ended_s: float | None, well: bool, apart_s: float | None,
) -> None:
    state = bed(ended_s=None if ended_s is None else NOW - ended_s)
    state.determinations = bp(*taken_s)
    assert gates.last_two_bp(now(state), lambda context: context.metric("sbp_mmhg") == 120) is well
    assert gates.last_two_bp(now(state), lambda _: False) is False
    assert gates.last_two_bp_apart_s(now(state)) == apart_s


@pytest.mark.parametrize(("doses", "unready", "seconds"), [
    ((), True, None), ((90, 30), True, 30), ((30,), False, None)])
def test_how_long_ago_a_dose_was_given_before_the_precheck_was_done(
    doses: tuple[float, ...], unready: bool, seconds: float | None,
) -> None:
    given = tuple(Dose(NOW - one, 28, 1, "nina") for one in doses)
    assert gates.given_unready_s(now(bed(doses=given, unready_start=unready))) == seconds


@pytest.mark.parametrize(("after_s", "started", "taken"), [
    (9.9, True, False), (10, True, True), (20, True, True), (20.1, True, False), (15, False, False)])
def test_what_was_taken_between_two_times_after_the_start(after_s: float, started: bool, taken: bool) -> None:
    times = (1.0, SESSION.opened_s + after_s, 2.0)
    state = bed(started_s=SESSION.opened_s if started else None, bp_at_s=times, spo2_at_s=times)
    assert (gates.bp_between(now(state), 10, 20), gates.spo2_between(now(state), 10, 20)) == (taken, taken)
    state.session = None
    assert (gates.bp_between(now(state), 10, 20), gates.spo2_between(now(state), 10, 20)) == (False, False)


@pytest.mark.parametrize(("no_pump", "infused", "stray"), [
    (True, True, ("pump",)), (True, False, ()), (False, True, ())])
def test_a_pump_that_infuses_beside_a_dose_by_hand(no_pump: bool, infused: bool, stray: tuple[str, ...]) -> None:
    state = bed()
    state.no_pump = no_pump
    state.devices = {"pump": Device("pump", "p", infused=infused), "cuff": Device("nibp", "c", infused=True)}
    assert (gates.stray_pumps(now(state)), gates.has_stray_pump(now(state))) == (stray, bool(stray))
    stray_in_words, asked_in_words = FACTS["stray_infusion"].reason, FACTS["pump_asked"].reason
    assert stray_in_words is not None and asked_in_words is not None
    assert (stray_in_words(now(state)), asked_in_words(now(state))) == (", ".join(stray) or None, "pump")
    state.devices.pop("pump")
    assert asked_in_words(now(state)) is None


def test_what_a_person_has_seen_in_words() -> None:
    state = bed(attested={"gait": Attestation(True, NOW, "nina"), "escort": Attestation(False, NOW + 60, "nina")})
    assert [gates.attested_in_words(now(state), what) for what in ("gait", "escort", "fluids")] == [
        "yes, 08:00 UTC", "no, 08:01 UTC", "not recorded"]
    assert [gates.attested(now(state), what) for what in ("gait", "escort", "fluids")] == [True, False, False]


@pytest.mark.parametrize(("state", "told_s", "priority", "seconds"), [
    ("inactive", 60, "medium", 60), ("inactive", 60, "high", 60), ("inactive", 60, "low", None),
    ("active", 60, "medium", None), ("inactive", 3600, "medium", 3600), ("inactive", 3600.5, "medium", None),
])
def test_how_long_ago_an_alarm_ended(
    state: AlarmState, told_s: float, priority: Priority, seconds: float | None, ended: Alarm,
) -> None:
    of_bed = bed()
    assert ended.body is not None
    of_bed.alarms = {"A": replace(ended, state=state, told_s=NOW - told_s, body=replace(ended.body, priority=priority)),
                     "B": replace(ended, told_s=NOW, body=None)}
    assert gates.alarm_ended_s(now(of_bed)) == seconds
    of_bed.session = None
    assert gates.alarm_ended_s(now(of_bed)) is None


# --- a cuff that is started -------------------------------------------------------------------------------------------


def cuffs(*links: LinkState) -> BedState:
    """Of each cuff, whether it is connected; all are started over the wire."""
    state = bed(ended_s=None, phase="INFUSING")
    state.devices = {f"cuff-{n}": Device("nibp", "c", link=link, starts_cuff=True) for n, link in enumerate(links)}
    return state


def asked(state: BedState, at_s: float = NOW) -> list[PendingEvent] | str:
    """What follows when a person asks for a measurement, or why it is refused."""
    command = Command("c", "main", "nina", "nurse", "b", "measure_bp", {})
    return outcome(starting.measure_bp(state, None, command, MeasureBp(), at_s))


def outcome(events: Iterator[PendingEvent]) -> list[PendingEvent] | str:
    try:
        return list(events)
    except Refused as refused:
        return str(refused)


@pytest.mark.parametrize(("ended_s", "asked_s", "seen_s", "says"), [
    ((), None, None, ""), ((-30,), None, None, ""),
    ((-29.5,), None, None, "too_soon: the arm needs a pause; the cuff can be started again in 1 s"),
    ((), -60, None, "not_now: the cuff is measuring"), ((), None, -5, "not_now: the cuff is measuring"),
    ((), None, -5.1, ""),
])
def test_when_a_person_may_start_a_cuff(
    ended_s: tuple[float, ...], asked_s: float | None, seen_s: float | None, says: str,
) -> None:
    state = cuffs("live")
    state.cuff_ended_s = [NOW + one for one in ended_s]
    state.cuff_asked_s = None if asked_s is None else NOW + asked_s
    state.cuff = None if seen_s is None else CuffCycle(NOW - 20, NOW + seen_s)
    found = asked(state)
    assert found == says if says else [type(one.body) for one in found if not isinstance(one, str)] == [CuffAsked]


def test_a_cuff_that_is_not_there_is_named_and_where_none_is_a_person_measures() -> None:
    assert asked(cuffs("lost")) == "not_now: the cuff-0 is not connected (lost); measure at another cuff"
    away = cuffs("silent", "live")
    away.devices["cuff-0"].away = away.devices["cuff-1"].away = True
    assert asked(away) == "not_now: the cuff-0 is disconnected as planned; measure at another cuff"
    found = asked(cuffs())
    assert not isinstance(found, str) and [type(one.body) for one in found] == [Requested]


@pytest.mark.parametrize(("after_s", "left"), [(239.9, []), (240, [Requested])])
def test_a_measurement_that_does_not_come_is_left_to_a_person(after_s: float, left: list[type]) -> None:
    state = cuffs("live")
    state.cuff_asked_s = NOW
    assert [type(one.body) for one in starting.follow(state, NOW + after_s)] == left
    assert (state.cuff_asked_s is None) is bool(left)


@pytest.mark.parametrize(("failed", "ended_s", "due_s"), [
    (0, 0, 300), (1, 299.9, 329.9), (1, 300, 360), (1, 310, 370), (2, 310, 610)])
def test_when_one_that_failed_is_repeated(failed: int, ended_s: float, due_s: float) -> None:
    state = cuffs("live")
    state.determinations, state.failed_determinations, state.cuff_ended_s = bp(0), failed, [NOW + ended_s]
    assert starting.starts(state, NOW) == [("cuff-0", NOW + due_s)]


@pytest.mark.parametrize(("before_s", "kept"), [(899.9, 2), (900, 1)])
def test_which_measurements_count_against_the_next(before_s: float, kept: int) -> None:
    state = cuffs("live")
    state.cuff_ended_s, state.cuff_asked_s = [NOW - before_s], NOW
    starting.note_ended(state, NOW)
    assert len(state.cuff_ended_s) == kept and state.cuff_asked_s is None


def test_one_that_is_asked_for_is_due_at_once_and_no_other_cuff_starts() -> None:
    state = cuffs("lost", "live", "live")
    state.cuff_asked_s = 0.25
    assert starting.starts(state, NOW) == [("cuff-0", inf), ("cuff-1", 0.25), ("cuff-2", inf)]
    state.devices["cuff-1"].link = state.devices["cuff-2"].link = "lost"
    assert starting.starts(state, NOW) == [("cuff-0", None), ("cuff-1", None), ("cuff-2", None)]


# --- a pump that is stopped -------------------------------------------------------------------------------------------


@pytest.fixture
def ended() -> Alarm:
    """RES-3 as a bed has it, and over."""
    story = BedStory().infusing()
    for _ in range(11):
        spo2(story, 80)
    return replace(story.bed.state.alarms["RES-3"], key="A", state="inactive")


ARMED = Interlock("pump", "anna", NOW - 9, NOW + 111, "ben", NOW - 5)


def stoppable(alarm: Alarm, pump: PumpState | None = "infusing", *, infused: bool = True) -> BedState:
    """Armed; an alarm stands that stops the pump."""
    state = bed(phase="INFUSING", ended_s=None)
    state.devices = {"pump": Device("pump", "p", link="live", stops=True, pump=pump, infused=infused)}
    state.alarms, state.interlock = {"A": replace(alarm, state="active", priority="high")}, ARMED
    return state


@pytest.mark.parametrize(("pump", "infused", "armed", "stop", "stops"), [
    ("infusing", True, ARMED, None, True), ("stopped", True, ARMED, None, False), ("unknown", True, ARMED, None, True),
    ("unknown", False, ARMED, None, False), ("infusing", True, replace(ARMED, armed_s=None), None, False),
    ("infusing", True, ARMED, Stop("pump", "x", "RES-5", "", NOW - 9, NOW - 4, NOW - 9), False),
    ("infusing", True, ARMED, Stop("pump", "x", "RES-5", "", NOW - 9, NOW - 4, NOW - 9, NOW - 8), True),
])
def test_when_an_armed_pump_is_stopped(
    pump: PumpState, infused: bool, armed: Interlock, stop: Stop | None, stops: bool, ended: Alarm,
) -> None:
    state = stoppable(ended, pump, infused=infused)
    state.interlock, state.stop = armed, stop
    list(interlock.follow(state, RULES, NOW))
    assert (state.stop is not None and state.stop.alarm == ended.id) is stops


@pytest.mark.parametrize(("after_s", "sent"), [(4.9, True), (5, False)])
def test_a_stop_is_sent_as_soon_as_the_pump_is_there_and_never_too_late(
    after_s: float, sent: bool, ended: Alarm,
) -> None:
    state = stoppable(ended)
    state.devices["pump"].link = "lost"
    list(interlock.follow(state, RULES, NOW))
    state.devices["pump"].link = "live"
    list(interlock.follow(state, RULES, NOW + after_s))
    assert state.stop is not None and (state.stop.sent_s is not None) is sent


@pytest.mark.parametrize(("own", "other", "waits"), [
    ("active", "inactive", True), ("acknowledged", "inactive", True), ("inactive", "active", False),
    ("latched", "inactive", False),
])
def test_a_stop_that_was_not_sent_waits_while_its_own_alarm_stands(
    own: AlarmState, other: AlarmState, waits: bool, ended: Alarm,
) -> None:
    state = stoppable(ended)
    state.devices["pump"].link = "lost"
    list(interlock.follow(state, RULES, NOW))
    state.alarms = {"A": replace(ended, state=own), "B": replace(ended, id="b", rule="TEC-4", state=other)}
    said = [one.body.stop for one in interlock.follow(state, RULES, NOW + 1) if isinstance(one.body, PumpStop)]
    assert (said, state.stop is not None) == ([] if waits else ["withdrawn"], waits)


@pytest.mark.parametrize(("device", "says", "after_s", "confirmed_s", "now"), [
    ("pump", "stopped", 0.1, None, "confirmed"), ("pump", "stopped", 0, None, "waits"),
    ("pump", "stopped", -1, None, "waits"), ("pump", "paused", 1, None, "confirmed"),
    ("pump", "infusing", 1, None, "waits"), ("pump", "unknown", 1, None, "waits"), ("pump", None, 1, None, "waits"),
    ("second", "stopped", 1, None, "waits"), ("pump", "stopped", 2, NOW + 1, "stood already"),
    ("pump", "infusing", 2, NOW + 1, "forgotten"), ("second", "infusing", 2, NOW + 1, "stood already"),
])
def test_a_stop_is_confirmed_by_its_own_pump_and_by_a_later_word(
    device: str, says: PumpState | None, after_s: float, confirmed_s: float | None, now: str,
) -> None:
    state = bed(phase="INFUSING", ended_s=None)
    state.devices = {name: Device("pump", "p", link="live", pump=says) for name in ("pump", "second")}
    state.stop = Stop("pump", "x", "RES-5", "", NOW, NOW + 5, NOW, confirmed_s)
    said = [one.body.stop for one in interlock.heard(state, device, NOW + after_s) if isinstance(one.body, PumpStop)]
    assert said == (["confirmed"] if now == "confirmed" else [])
    assert (state.stop is None) is (now == "forgotten")
    if state.stop is not None:
        assert state.stop.confirmed_s == (NOW + after_s if now == "confirmed" else confirmed_s)


WORKED_ON = Maintenance(NOW, NOW + 60, "tom", "")


@pytest.mark.parametrize(("change", "armed_s", "after_s", "why"), [
    ({}, None, 110.9, ""), ({}, None, 111, "no second person came in time"), ({}, NOW, 999, ""),
    ({"maintenance": WORKED_ON}, NOW, 0, "the pump is not in use"),
    ({"off_until_s": NOW}, NOW, 0, "the pump is not in use"),
    ({"stops": False}, NOW, 0, "the configuration has changed"),
    ({"role": "carrier"}, NOW, 0, "another pump gives the drug"),
])
def test_why_it_is_armed_no_longer(
    change: dict[str, Any], armed_s: float | None, after_s: float, why: str, ended: Alarm,
) -> None:
    state = stoppable(ended, "stopped")
    state.interlock = replace(ARMED, armed_s=armed_s)
    for name, value in change.items():
        setattr(state.devices["pump"], name, value)
    told = list(interlock.follow(state, RULES, NOW + after_s))
    assert [msgspec.to_builtins(one.body)["why"] for one in told] == ([why] if why else [])
    assert (state.interlock is None) is bool(why)


@pytest.mark.parametrize("change", [{"link": "lost"}, {"maintenance": WORKED_ON}, {"off_until_s": NOW}])
def test_a_pump_that_is_not_in_use_is_not_armed(change: dict[str, Any], ended: Alarm) -> None:
    state = stoppable(ended, "stopped")
    state.interlock, state.alarms = None, {}
    command = Command("c", "main", "anna", "nurse", "b", "arm_interlock", {})
    for name, value in change.items():
        setattr(state.devices["pump"], name, value)
    found = outcome(interlock.arm(state, RULES, command, ArmInterlock(), NOW))
    assert found == "not_now: the pump is not connected, or not in use"


@pytest.mark.parametrize(("armed", "waiting", "reason", "says"), [
    (True, False, None, ""), (True, False, "over", "over"), (False, False, None, "not_now: no stop of a pump is armed"),
    (False, True, " ", "reason_needed: a stop is not confirmed; say what the pump does now"),
    (False, True, "off", "off"),
    (True, True, None, "reason_needed: a stop is not confirmed; say what the pump does now"),
])
def test_a_person_takes_it_back(armed: bool, waiting: bool, reason: str | None, says: str, ended: Alarm) -> None:
    state = stoppable(ended)
    state.interlock = ARMED if armed else None
    state.stop = Stop("pump", "x", "RES-5", "", NOW - 9, NOW - 4) if waiting else None
    command = Command("c", "main", "anna", "nurse", "b", "disarm_interlock", {})
    found = outcome(interlock.disarm(state, RULES, command, DisarmInterlock(reason=reason), NOW))
    told = found if isinstance(found, str) else [msgspec.to_builtins(one.body).get("why", "") for one in found]
    assert told == (says if ":" in says else [says])
    assert isinstance(found, str) or (state.interlock, state.stop) == (None, None)


@pytest.mark.parametrize(("rule", "stops"), [
    ("RES-3", {"RES-3"}), ("RES-2", {"RES-2", "RES-3"}), ("RES-1", {"RES-1", "RES-2", "RES-3"}), ("SYM-1", {"SYM-1"})])
def test_the_higher_tiers_of_a_group_stop_a_pump_too(rule: str, stops: set[str]) -> None:
    table = {"stops": [{"rule": rule, "priority": "medium"}], "confirm_s": 5, "second_within_s": 120}
    assert read_interlock(table, RULES.rules).stops[0].rules == stops
