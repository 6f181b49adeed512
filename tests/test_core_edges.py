"""The edges of the core: holes, boundaries, silence, resumed infusions and the precheck, each told second by second."""

from __future__ import annotations

import pytest

from edge.core import views
from edge.core.bedside import Bedside
from edge.model import (
    Boot,
    LinkChanged,
    PendingEvent,
    PumpStatus,
    Sample,
    Samples,
    Tick,
    Validity,
)
from tests.test_bedside import DEVICES, ORDER, QUIET, T0, Chair
from tests.test_stories import RULES


def state_of(chair: Chair, key: str) -> str:
    alarm = chair.bed.state.alarms.get(key)
    return alarm.state if alarm else "inactive"


def spo2(chair: Chair, value: float | None, validity: Validity = "valid", after_s: float = 1.0) -> list[PendingEvent]:
    """One SpO₂ reading and a tick, `after_s` later; nothing else is heard."""
    chair.at_s = round(chair.at_s + after_s, 3)
    pending_events = chair.give(
        Samples("oximeter", (Sample("chair-1", "oximeter", "spo2_pct", value, validity, chair.at_s),))
    )
    return pending_events + chair.give(Tick())


def ticks(chair: Chair, seconds: int) -> None:
    for _ in range(seconds):
        chair.at_s += 1.0
        chair.give(Tick())


# --- silence inside a hold --------------------------------------------------------------------------------------------


def test_one_low_reading_and_then_silence_raises_nothing() -> None:
    chair = Chair().infusing()
    spo2(chair, 80)
    ticks(chair, 20)
    assert state_of(chair, "RES-3") == state_of(chair, "RES-2") == "inactive"


def test_one_good_reading_and_then_silence_ends_nothing() -> None:
    chair = Chair().infusing()
    for _ in range(16):
        spo2(chair, 88)
    assert state_of(chair, "RES-2") == "active"
    spo2(chair, 97)
    ticks(chair, 600)
    assert state_of(chair, "RES-2") == "active"
    assert chair.bed.state.alarms["RES-2"].no_data


@pytest.mark.parametrize(("hole_s", "raised"), [(4.0, True), (5.0, True), (5.1, False), (9.0, False)])
def test_a_hole_of_more_than_five_seconds_breaks_a_hold(hole_s: float, raised: bool) -> None:
    chair = Chair().infusing()
    for _ in range(9):
        spo2(chair, 89.9)
    spo2(chair, 89.9, after_s=hole_s)
    for _ in range(5):
        spo2(chair, 89.9)
    assert (state_of(chair, "RES-2") == "active") is raised


def test_a_hole_breaks_the_time_to_clear() -> None:
    chair = Chair().infusing()
    for _ in range(16):
        spo2(chair, 88)
    spo2(chair, 95)
    spo2(chair, 95, after_s=9.5)
    spo2(chair, 95)
    assert state_of(chair, "RES-2") == "active"


@pytest.mark.parametrize(("readings", "state"), [(149, "pending"), (150, "active")])
def test_a_hold_is_exact_to_the_tenth_of_a_second(readings: int, state: str) -> None:
    chair = Chair().infusing()
    for _ in range(readings):
        spo2(chair, 89.9, after_s=0.1)
    assert state_of(chair, "RES-2") == state


@pytest.mark.parametrize(("value", "state"), [(90.0, "inactive"), (89.9, "active")])
def test_a_limit_itself_is_not_a_breach(value: float, state: str) -> None:
    chair = Chair().infusing()
    for _ in range(40):
        spo2(chair, value)
    assert state_of(chair, "RES-2") == state


def test_saturation_seconds_do_not_outlive_a_hole() -> None:
    chair = Chair().infusing()
    for _ in range(12):
        spo2(chair, 87)
    for _ in range(60):
        spo2(chair, None, "invalid")
    for _ in range(5):
        spo2(chair, 87)
    assert state_of(chair, "RES-2") == "pending"


# --- validity ---------------------------------------------------------------------------------------------------------


def test_questionable_neither_starts_nor_clears_but_sustains() -> None:
    chair = Chair().infusing()
    for _ in range(60):
        spo2(chair, 80, "questionable")
    assert state_of(chair, "RES-3") == "inactive"
    for _ in range(11):
        spo2(chair, 80)
    assert state_of(chair, "RES-3") == "active"
    for _ in range(60):
        spo2(chair, 99, "questionable")
    assert state_of(chair, "RES-3") == "active"


def test_nothing_but_questionable_readings_is_a_technical_alarm_and_does_not_end_one() -> None:
    chair = Chair().infusing()
    for _ in range(31):
        spo2(chair, 97, "questionable")
    assert chair.bed.state.alarms["TEC-1:oximeter"].priority == "medium"
    for _ in range(20):
        spo2(chair, 97, "questionable")
    assert state_of(chair, "TEC-1:oximeter") == "active"


def test_measuring_is_not_a_sample() -> None:
    """It neither refreshes the value before it nor breaks what is being timed (clinical.md 3.7)."""
    chair = Chair().infusing()
    for second in range(15):
        spo2(chair, 88, "measuring" if second % 3 == 1 else "valid")
    assert state_of(chair, "RES-2") == "active"
    spo2(chair, 97)
    seen_s = chair.at_s
    for _ in range(4):
        spo2(chair, None, "measuring")
    shown = views.vitals(chair.bed.state, chair.at_s)["numerics"]["spo2_pct"]
    assert (shown["value"], shown["age_s"]) == (97, chair.at_s - seen_s)


@pytest.mark.parametrize(("validity", "key", "state"), [
    ("underflow", "RES-3", "active"), ("overflow", "RES-3", "inactive"), ("invalid", "RES-3", "inactive"),
])
def test_out_of_range_is_a_breach_in_its_direction_and_never_a_number(
    validity: Validity, key: str, state: str,
) -> None:
    chair = Chair().infusing()
    for _ in range(20):
        spo2(chair, None, validity)
    assert state_of(chair, key) == state
    assert views.vitals(chair.bed.state, chair.at_s)["numerics"]["spo2_pct"]["value"] is None
    assert not any("inf" in str(alarm.body.get("text")) for alarm in chair.bed.state.alarms.values())
    twin = Bedside("chair-1", DEVICES, RULES)
    twin.restore(chair.bed.snapshot())
    assert twin.state == chair.bed.state


@pytest.mark.parametrize("validity", ["invalid", "unavailable"])
def test_the_number_beside_an_invalid_reading_is_not_shown(validity: Validity) -> None:
    chair = Chair().infusing()
    spo2(chair, 50, validity)
    assert views.vitals(chair.bed.state, chair.at_s)["numerics"]["spo2_pct"]["value"] is None


VECTORS: list[tuple[tuple[float, float], int, str, str]] = [  # clinical.md 7.5: baseline, interval (min), what comes
    ((120, 75), 5, "5:124/78 10:131/82 15:136/84 20:133/82 25:126/78", ""),
    ((120, 75), 5, "5:132/80 10:146/86 15:145/88 20:141/86 25:136/85",
     "10 HTN-R, 15 HTN-1 active, 25 HTN-1 inactive"),
    ((120, 75), 5, "5:130/80 10:148/84 15:137/82", "10 HTN-R"),
    ((130, 80), 5, "10:158/92 15:163/96 20:164/98 25:157/94 30:150/90 35:148/90",
     "10 HTN-R, 15 HTN-1 active, 20 HTN-2 active, 20 HTN-1 inactive, 30 HTN-2 latched"),
    ((128, 80), 5, "10:150/92 15:182/104 17:176/100 20:168/98 25:156/92",
     "15 HTN-3 active, 20 HTN-3 latched, 20 HTN-2 active"),
    ((120, 75), 5, "5:146/84 10:none 14:147/84", "5 HTN-R, 14 HTN-1 active"),
    ((120, 75), 10, "10:146/84 20.05:147/84", "10 HTN-R, 20.05 HTN-1 active"),
    ((120, 75), 5, "5:146/84 17:147/84", "5 HTN-R, 17 HTN-R"),
    ((125, 78), 5, "10:150/112 12:151/111 20:140/100",
     "10 HTN-2 active, 12 HTN-3 active, 12 HTN-2 inactive, 20 HTN-3 latched, 20 HTN-2 active"),
]


@pytest.mark.parametrize(("baseline", "interval_min", "readings", "expected"), VECTORS, ids=list("ABCDEFGHI"))
def test_the_vectors_of_clinical_7_5(
    baseline: tuple[float, float], interval_min: int, readings: str, expected: str,
) -> None:
    chair = Chair().until(-10)
    chair.ask("start_session", **{**ORDER, "nibp_interval_min": interval_min})
    chair.bp(*baseline)
    chair.until(-8).bp(*baseline)
    chair.until(0).pump, chair.rate_ml_h = "infusing", 52.5
    found: list[str] = []
    for reading in readings.split():
        minute, _, value = reading.partition(":")
        chair.until(float(minute))
        sbp, _, dbp = value.partition("/")
        pending_events = chair.bp(*((float(sbp), float(dbp)) if dbp else (None, None)))
        found += [f"{minute} {pending.body['rule']} {pending.body.get('state', '')}".strip()
                  for pending in pending_events if pending.kind in ("alarm", "request")]
    assert ", ".join(found) == expected


# --- the pump and the phases ------------------------------------------------------------------------------------------


def test_an_infusion_that_is_resumed_in_recovery_opens_the_period_again() -> None:
    chair = Chair().infused()
    assert chair.session.dissociation == "resolving"
    chair.pump = "infusing"
    chair.until(46)
    assert (chair.session.phase, chair.session.dissociation) == ("INFUSING", "expected")


def test_an_infusion_after_the_period_was_over_opens_it_again() -> None:
    chair = Chair().infused().until(90)
    chair.ask("check_in", **QUIET)
    assert chair.until(101).session.dissociation == "resolved"
    chair.pump = "infusing"
    assert chair.until(102).session.is_open_period


def test_a_paused_pump_that_cannot_be_heard_has_not_ended() -> None:
    chair = Chair().infusing().until(10)
    chair.pump = "stopped"
    chair.until(11)
    chair.give(LinkChanged("pump", "lost", "the cable is out"))
    chair.pump = None
    assert chair.until(60).session.phase == "PAUSED"


@pytest.mark.parametrize("word", ["stopped", "infusing"])
def test_one_word_of_the_pump_and_then_silence_moves_no_phase(word: str) -> None:
    chair = Chair().opened() if word == "infusing" else Chair().infusing()
    before = chair.session.phase
    chair.at_s += 1
    chair.give(PumpStatus("pump", "infusing" if word == "infusing" else "stopped"))
    chair.say("pump", rate_ml_h=52.5 if word == "infusing" else 0.0)
    chair.give(LinkChanged("pump", "lost"))
    ticks(chair, 15)
    assert chair.session.phase == before


def test_a_nurse_can_end_an_infusion_whose_pump_cannot_be_heard() -> None:
    chair = Chair().infusing().until(20)
    chair.give(LinkChanged("pump", "lost"))
    chair.pump = None
    chair.until(21)
    assert chair.reason(chair.ask("end_infusion", reason="seen at the pump")) == ""
    assert chair.until(22).session.phase == "RECOVERY"
    chair.give(LinkChanged("pump", "live"))
    chair.pump = "infusing"
    assert chair.until(23).session.phase == "INFUSING", "the pump's own word counts as soon as it can be heard"


def test_the_same_counter_is_never_counted_twice_over_a_lost_link_and_a_restart() -> None:
    chair = Chair().infusing().until(20)
    before = chair.session.delivered_mg
    snapshot = chair.bed.snapshot()
    chair.bed = Bedside("chair-1", DEVICES, RULES)
    chair.bed.restore(snapshot)
    chair.give(Boot("boot-2", 5.0))
    chair.give(LinkChanged("pump", "live"))
    chair.give(PumpStatus("pump", "infusing"))
    chair.say("pump", rate_ml_h=52.5, volume_infused_ml=chair.volume_ml)
    assert chair.session.delivered_mg == before
    assert (chair.session.phase, chair.session.opened_s) == ("INFUSING", T0 - 600)


@pytest.mark.parametrize("fall_ml", [0.1, 0.5])
def test_a_pump_counter_that_is_rounded_down_does_not_double_the_dose(fall_ml: float) -> None:
    chair = Chair().infusing().until(30)
    before = chair.session.delivered_mg
    chair.say("pump", volume_infused_ml=chair.volume_ml - fall_ml)
    assert chair.session.delivered_mg == before
    assert chair.until(31).session.delivered_mg == pytest.approx(before + 52.5 / 60, abs=0.05)


# --- the precheck, the baseline and discharge -------------------------------------------------------------------------


@pytest.mark.parametrize(("apart_s", "quality"), [(59.999, "single"), (60.0, "pair")])
def test_a_baseline_is_two_readings_a_minute_apart(apart_s: float, quality: str) -> None:
    chair = Chair()
    chair.at_s = T0 - 700.103
    chair.ask("start_session", **ORDER)
    chair.bp(120, 75)
    chair.at_s = round(chair.at_s + apart_s, 3)
    chair.bp(124, 77)
    chair.give(Tick())
    assert chair.session.baseline is not None
    assert chair.session.baseline.quality == quality


def test_a_high_blood_pressure_that_grew_old_still_holds_the_patient() -> None:
    chair = Chair().until(-14)
    chair.ask("start_session", **ORDER)
    chair.bp(150, 95)
    chair.until(-12.5).bp(150, 95)
    chair.until(-0.5)
    assert chair.session.phase == "PRECHECK"
    chair.bp(138, 88)
    assert chair.until(0).session.phase == "READY"


@pytest.mark.parametrize(("moaas", "pulse", "phase"), [
    (5, 70.0, "READY"), (4, 70.0, "PRECHECK"), (5, 49.0, "PRECHECK"), (5, 111.0, "PRECHECK"), (5, 110.0, "READY"),
])
def test_sedation_and_pulse_hold_in_the_precheck(moaas: int, pulse: float, phase: str) -> None:
    chair = Chair()
    chair.ask("start_session", **ORDER)
    chair.ask("check_in", moaas=moaas)
    chair.bp(120, 75)
    chair.at_s += 100
    chair.bp(120, 75)
    chair.say("oximeter", spo2_pct=98.0, pulse_bpm=pulse)
    chair.give(Tick())
    assert chair.session.phase == phase


def test_the_baseline_is_of_the_half_hour_before_the_infusion() -> None:
    chair = Chair()
    chair.at_s = T0 - 45 * 60
    chair.ask("start_session", **ORDER)
    chair.bp(130, 85)
    chair.until(-43).bp(130, 85)
    assert chair.until(-42).session.phase == "READY"
    chair.until(-20).bp(110, 70)
    chair.until(-15).bp(112, 70)
    chair.until(-14).pump, chair.rate_ml_h = "infusing", 52.5
    chair.until(-13)
    assert chair.session.baseline is not None
    assert chair.session.baseline.sbp_mmhg == 112, "130, 112 and 110; the reading of 31 minutes before does not count"


def test_a_resumed_infusion_never_takes_a_baseline_under_ketamine() -> None:
    chair = Chair().until(-10)
    chair.ask("start_session", **ORDER)
    chair.pump, chair.rate_ml_h = "infusing", 52.5
    chair.until(-5).bp(160, 98)
    chair.pump = "stopped"
    chair.until(-4)
    chair.pump = "infusing"
    chair.until(-3)
    assert chair.phases() == ["INFUSING", "PAUSED", "INFUSING"]
    assert chair.session.baseline is None


def test_blood_pressures_of_the_infusion_do_not_discharge() -> None:
    chair = Chair().infusing().until(30)
    chair.bp(122, 76)
    chair.until(35).bp(122, 76)
    chair.until(40).pump = "stopped"
    for minute in (90, 100, 110):
        chair.until(minute).ask("check_in", **QUIET)
    assert chair.until(115).session.phase == "RECOVERY"
    assert any("blood pressures" in point for point in views.full(chair.bed.state, chair.at_s)["session"]["open"])
