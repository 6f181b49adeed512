"""What a rule sees of a bed: readings that are fresh, entries that count, pumps that run; each at its limit."""

from __future__ import annotations

from math import inf
from typing import Any

import pytest
from msgspec.structs import replace

from edge.contract.events import DeviceReturned
from edge.core import channels, oximetry, presence
from edge.core.alarms import Alarm
from edge.core.context import RuleContext
from edge.core.entered import Spot
from edge.core.logic import Truth
from edge.core.protocol import Protocols
from edge.core.protocols import as_in_0_1_0
from edge.core.state import (
    BedState,
    CuffCycle,
    Determination,
    Device,
    Gone,
    LatestValue,
    Order,
    Session,
)
from edge.model import LinkState, PumpRole, PumpState
from tests.helpers.rule_files import PROTOCOLS, RULES

NOW = 1_800_000_000.0
ORDER = Order("iv_racemic_40", 70, 0.5, 40, 1.0)  # 35 mg, 52.5 mL/h, a blood pressure every five minutes
QUIET_S = 10.0  # what a pump said counts for so long


def bed(**change: Any) -> BedState:
    session = Session("s", "b", ORDER, "INFUSING", NOW, NOW - 3600, "nina", started_s=NOW - 3000)
    return BedState("b", engine=RULES.engine, protocols=PROTOCOLS, session=replace(session, **change))


def now(state: BedState, device: str | None = None) -> RuleContext:
    return RuleContext(state, NOW, device)


# --- readings ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("before_s", "known"), [(600, True), (600.1, False)])
def test_a_pressure_is_known_until_it_is_too_old(before_s: float, known: bool) -> None:
    state = bed()
    assert now(state).newest_determination() is None
    state.determinations = [Determination(NOW - before_s, 120, 75)]
    assert (now(state).newest_determination() is not None) is known


@pytest.mark.parametrize(("taken_s", "unknown"), [((360,), False), ((360.1,), True), ((720, 360.1), False)])
def test_a_pair_could_be_there_once_the_next_pressure_is_late(taken_s: tuple[float, ...], unknown: bool) -> None:
    state = bed()
    state.determinations = [Determination(NOW - one, 120, 75) for one in taken_s]
    assert now(state).pair_is_unknown() is unknown


@pytest.mark.parametrize(("before_s", "measured_s", "counts"), [
    (RULES.engine.entered_for_s - 0.1, None, True), (RULES.engine.entered_for_s, None, False),
    (60, 60, True), (60, 59.9, False), (60, 60.1, True), (None, None, False),
])
def test_an_entry_counts_for_a_while_unless_it_is_measured_since(
    before_s: float | None, measured_s: float | None, counts: bool,
) -> None:
    state = bed(spots=() if before_s is None else (Spot(NOW - before_s, 91, "nina"),))
    if measured_s is not None:
        state.latest["spo2_pct"] = LatestValue("o", 95, "valid", None, NOW - measured_s, 95, NOW - measured_s)
    entered = now(state).as_entered()
    assert (entered is not None and entered.metric("spo2_pct") == 91) is counts


@pytest.mark.parametrize(("metric", "lost_s", "from_s", "excused"), [
    ("spo2_pct", 59.9, 59.9, True), ("pulse_bpm", 59.9, 59.9, True), ("resp_bpm", 59.9, 59.9, False),
    ("spo2_pct", 60, 60, False), ("spo2_pct", 60.1, 60.1, False), ("spo2_pct", 50, 59.9, False),
    ("spo2_pct", 50, None, False),
])
def test_a_loss_in_which_the_cuff_inflated_is_excused_for_a_minute(
    metric: str, lost_s: float, from_s: float | None, excused: bool,
) -> None:
    assert RULES.engine.cuff_excuses_s == 60
    state = bed()
    assert not now(state).is_excused(metric)
    state.latest["spo2_pct"] = LatestValue("o", None, "invalid", None, NOW, 95, NOW - lost_s)
    state.cuff = CuffCycle(NOW - 50, NOW - 5, excuses_from_s=None if from_s is None else NOW - from_s)
    assert now(state).is_excused(metric) is excused


# --- alarms -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "device", "found"), [
    ("TEC-4", None, ["a", "b"]), ("TEC", None, ["a", "b", "on"]), ("TEC-4", "cuff", ["a"]), ("TEC", "pump", ["b"]),
    ("HTN", None, []), ("over", None, []),
])
def test_which_alarms_are_active(name: str, device: str | None, found: list[str]) -> None:
    state = bed()
    for alarm in (Alarm("a", "TEC-4", "b", device="cuff", state="active"),
                  Alarm("b", "TEC-4", "b", device="pump", state="acknowledged"), Alarm("on", "TEC-2", "b", on=True),
                  Alarm("c", "TEC-4", "b", state="latched"), Alarm("d", "HTN-3", "b")):
        state.alarms[alarm.key] = alarm
    assert [alarm.key for alarm in now(state, device).active(name)] == found


# --- pumps ------------------------------------------------------------------------------------------------------------


def pumps(*said: tuple[PumpState | None, float | None], before_s: float = 0.0, link: LinkState = "live",
          **change: Any) -> BedState:
    """What each pump says, and its rate."""
    state = bed(**change)
    for n, (word, rate_ml_h) in enumerate(said):
        state.devices[f"pump-{n}"] = Device("pump", "p", link=link, pump=word, pump_at_s=NOW - before_s,
                                            rate_ml_h=rate_ml_h, rate_at_s=NOW)
    return state


@pytest.mark.parametrize(("state", "infusing", "rate_ml_h"), [
    (pumps(), None, None), (pumps(("infusing", 30)), True, 30), (pumps(("stopped", 0)), False, 0),
    (pumps(("infusing", 0.5)), True, 0.5), (pumps(("infusing", 0)), False, 0), (pumps(("infusing", None)), True, None),
    (pumps(("infusing", 30), before_s=QUIET_S), True, 30),
    (pumps(("infusing", 30), before_s=QUIET_S + 0.1), None, None),
    (pumps(("infusing", 30), link="lost"), None, None), (pumps(("unknown", 30)), None, None),
    # two of which nobody has said which gives the drug
    (pumps(("stopped", 0), ("stopped", 0)), False, 0), (pumps(("infusing", 30), ("stopped", 0)), None, None),
    # the dose is in: at 5 mL/h, or a tenth of the ordered rate, it keeps the vein open
    (pumps(("infusing", 5), delivered_ml=0.97 * 35), False, 0),
    (pumps(("infusing", 5.1), delivered_ml=33.95), True, 5.1),
    (pumps(("infusing", 5), delivered_ml=33.9), True, 5),
    (pumps(("infusing", 2), delivered_ml=35, order=replace(ORDER, duration_min=105)), False, 0),
    (pumps(("infusing", 2.1), delivered_ml=35, order=replace(ORDER, duration_min=105)), True, 2.1),
    (pumps(("infusing", 0.05), delivered_ml=35, order=replace(ORDER, duration_min=None)), True, 0.05),
])
def test_whether_the_pump_infuses_and_how_fast(state: BedState, infusing: Truth, rate_ml_h: float | None) -> None:
    assert (now(state).infusing(), now(state).rate_ml_h()) == (infusing, rate_ml_h)
    state = replace(state, no_pump=True)
    assert now(state).infusing() is False


def test_of_no_pump_nothing_was_ever_said() -> None:
    assert (now(bed()).status_at_s(True), now(bed()).status_at_s(False)) == (0, 0)


@pytest.mark.parametrize(("protocols", "second", "found"), [
    (PROTOCOLS, "carrier", ["one"]), (PROTOCOLS, None, ["one"]), (PROTOCOLS, "drug", ["one", "two"]),
    (as_in_0_1_0(), "carrier", ["one", "two"])])
def test_whose_word_moves_the_session(protocols: Protocols, second: PumpRole | None, found: list[str]) -> None:
    state = replace(bed(), protocols=protocols)
    state.devices = {"cuff": Device("nibp", "c"), "one": Device("pump", "one", role="drug"),
                     "two": Device("pump", "two", role=second)}
    assert [pump.driver for pump in channels.of_the_drug(state)] == found
    state.devices.pop("two")
    assert [pump.driver for pump in channels.of_the_drug(state)] == ["one"]


@pytest.mark.parametrize(("kind", "word_s", "since_s", "sent_s", "quiet"), [
    ("pump", 11, 11, 11, True), ("nibp", 11, 11, 11, False), ("pump", 10, 11, 11, False), ("pump", 11, 10, 11, False),
    ("pump", 11, 11, 10, False), ("pump", 10.1, 10.1, None, True),
])
def test_a_pump_that_says_nothing_has_gone_quiet(
    kind: Any, word_s: float, since_s: float, sent_s: float | None, quiet: bool,
) -> None:
    device = Device(kind, "p", pump_at_s=NOW - word_s, since_s=NOW - since_s,
                    newest_s={} if sent_s is None else {"rate_ml_h": NOW - sent_s})
    assert now(bed()).has_gone_quiet(device) is quiet


# --- what is remembered of a session, and what a bed does without -----------------------------------------------------


def test_a_saturation_is_remembered_once_a_minute_from_the_opening_on() -> None:
    state = bed(opened_s=NOW - 600)
    for at_s in (-600.5, -600, -541, -540, -480.5, -480):
        state.latest["spo2_pct"] = LatestValue("oximeter", 97, "valid", None, NOW + at_s, 97, NOW + at_s)
        presence.note_taken(state, NOW + at_s)
    assert state.session is not None
    assert [at_s - NOW for at_s in state.session.spo2_at_s] == [-600, -540, -480]


def test_each_blood_pressure_is_remembered_once_from_the_opening_on() -> None:
    state = bed(opened_s=NOW - 600)
    for at_s in (-600.5, -600, -600, -300, -300, -299):
        state.determinations = [Determination(NOW + at_s, 120, 75)]
        presence.note_taken(state, NOW)
    assert state.session is not None
    assert [at_s - NOW for at_s in state.session.bp_at_s] == [-600, -300, -299]


@pytest.mark.parametrize(("change", "after_s", "away", "returned"), [
    ({}, 0, False, 0), ({"off_until_s": NOW}, -0.1, True, 0), ({"off_until_s": NOW}, 0, False, 1),
    ({"gone": Gone("chair-2", None, "s")}, 0, True, 0),
])
def test_which_devices_a_bed_does_without(change: dict[str, Any], after_s: float, away: bool, returned: int) -> None:
    state = bed()
    state.devices = {"pump": Device("pump", "p"), "oximeter": replace(Device("oximeter", "o"), **change)}
    events = [one for one in presence.follow(state, NOW + after_s) if isinstance(one.body, DeviceReturned)]
    assert (state.devices["oximeter"].away, len(events), state.devices["pump"].away) == (away, returned, False)


@pytest.mark.parametrize(("protocol", "pump_away"), [
    ("iv_racemic_40", False), ("esketamine_rems", True), (None, False)])
def test_a_pump_is_away_where_the_dose_is_given_by_hand(protocol: str | None, pump_away: bool) -> None:
    state = bed() if protocol is None else bed(order=replace(ORDER, protocol=protocol))
    state.session = state.session if protocol else None
    state.devices = {"pump": Device("pump", "p"), "oximeter": Device("oximeter", "o", off_until_s=NOW + 60)}
    list(presence.follow(state, NOW))
    assert (state.no_pump, state.devices["pump"].away) == (pump_away, pump_away)
    assert state.devices["oximeter"].away is (protocol is not None), "a planned time ends with its session"


@pytest.mark.parametrize(("measured", "entered", "found", "words", "age"), [
    # percent and seconds ago; opened 3600 s ago, started 3000 s ago
    (None, None, None, None, "none for 50 min"), ((97, 60), None, (97, 60, None), "97", "the last one 1 min ago"),
    ((97, 3600), None, (97, 3600, None), "97", "the last one 50 min ago"),
    ((97, 3601), None, None, None, "none for 50 min"),
    ((97, 3601), (93, 30), (93, 30, "nina"), "93", "the last one 0 min ago, 93 % entered by nina"),
    ((97, 60), (93, 30), (93, 30, "nina"), "93", "the last one 0 min ago, 93 % entered by nina"),
    ((97, 30), (93, 61), (97, 30, None), "97", "the last one 0 min ago"),
    ((0, 60), None, (-inf, 60, None), "below the measuring range", "the last one 1 min ago"),
    ((1, 60), None, (1, 60, None), "1", "the last one 1 min ago"),
])
def test_the_saturation_as_last_known(
    measured: tuple[float, float] | None, entered: tuple[int, float] | None,
    found: tuple[float, float, str | None] | None, words: str | None, age: str,
) -> None:
    state = bed(spots=() if entered is None else (Spot(NOW - entered[1], entered[0], "nina"),))
    if measured is not None:
        at_s = NOW - measured[1]
        state.latest["spo2_pct"] = LatestValue("o", measured[0], "valid", None, at_s, measured[0], at_s)
    now_known = oximetry.newest(state)
    assert now_known == (None if found is None else (found[0], NOW - found[1], found[2]))
    assert oximetry.in_words(now(state)) == words
    asked = {fact.name: fact for fact in oximetry.facts()}
    assert asked["last_spo2.pct"].compute(now(state)) == (None if found is None else found[0])
    assert asked["last_spo2.age_s"].compute(now(state)) == (None if found is None else found[1])
    said = asked["spo2_overdue_s"].reason
    assert said is not None and said(now(state)) == age
    state.session = None
    assert (oximetry.newest(state), said(now(state))) == (None, None)


@pytest.mark.parametrize(("every_s", "started", "taken_s", "due_s", "overdue_s"), [
    (None, True, None, None, 0), (600, False, None, None, 0), (600, True, None, -2400, 2400),
    (600, True, 300, 300, 0), (600, True, 601, -1, 1), (600, True, 600, 0, 0)])
def test_when_the_next_oximetry_is_due(
    every_s: float | None, started: bool, taken_s: float | None, due_s: float | None, overdue_s: float,
) -> None:
    state = bed(spo2_at_s=() if taken_s is None else (NOW - 2900, NOW - taken_s), **{} if started else {
        "started_s": None})
    state.oximetry_every_s = every_s
    assert oximetry.due_s(state) == (None if due_s is None else NOW + due_s) == oximetry.asked_s(now(state))
    assert next(one for one in oximetry.facts() if one.name == "spo2_overdue_s").compute(now(state)) == overdue_s
    state.latest["spo2_pct"] = LatestValue("o", 97, "valid", None, NOW, 97, NOW)
    assert oximetry.asked_s(now(state)) is None, "it measures by itself"
