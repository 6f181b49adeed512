"""The edges of the core: holes, boundaries, silence, resumed infusions and the precheck, each told second by second."""

from __future__ import annotations

import pytest

from edge.core.bedside import Bedside
from edge.model import (
    Boot,
    LinkChanged,
    PumpStatus,
    Tick,
    Validity,
)
from tests.helpers.bed_story import DEVICES, ORDER, QUIET, T0, BedStory, spo2, state_of, text_of, ticks
from tests.helpers.bodies import body_of
from tests.helpers.rule_files import RULES

# --- silence inside a hold --------------------------------------------------------------------------------------------


def test_one_low_reading_and_then_silence_raises_nothing() -> None:
    story = BedStory().infusing()
    spo2(story, 80)
    ticks(story, 20)
    assert state_of(story, "RES-3") == state_of(story, "RES-2") == "inactive"


def test_one_good_reading_and_then_silence_ends_nothing() -> None:
    story = BedStory().infusing()
    for _ in range(16):
        spo2(story, 88)
    assert state_of(story, "RES-2") == "active"
    spo2(story, 97)
    ticks(story, 600)
    assert state_of(story, "RES-2") == "active"
    assert story.bed.state.alarms["RES-2"].no_data


@pytest.mark.parametrize(("hole_s", "raised"), [(4.0, True), (5.0, True), (5.1, False), (9.0, False)])
def test_a_hole_of_more_than_five_seconds_breaks_a_hold(hole_s: float, raised: bool) -> None:
    story = BedStory().infusing()
    for _ in range(9):
        spo2(story, 89.9)
    spo2(story, 89.9, after_s=hole_s)
    for _ in range(5):
        spo2(story, 89.9)
    assert (state_of(story, "RES-2") == "active") is raised


def test_a_hole_breaks_the_time_to_clear() -> None:
    story = BedStory().infusing()
    for _ in range(16):
        spo2(story, 88)
    spo2(story, 95)
    spo2(story, 95, after_s=9.5)
    spo2(story, 95)
    assert state_of(story, "RES-2") == "active"


@pytest.mark.parametrize(("readings", "state"), [(149, "pending"), (150, "active")])
def test_a_hold_is_exact_to_the_tenth_of_a_second(readings: int, state: str) -> None:
    story = BedStory().infusing()
    for _ in range(readings):
        spo2(story, 89.9, after_s=0.1)
    assert state_of(story, "RES-2") == state


@pytest.mark.parametrize(("value", "state"), [(90.0, "inactive"), (89.9, "active")])
def test_a_limit_itself_is_not_a_breach(value: float, state: str) -> None:
    story = BedStory().infusing()
    for _ in range(40):
        spo2(story, value)
    assert state_of(story, "RES-2") == state


def test_saturation_seconds_stand_still_in_a_hole() -> None:
    story = BedStory().infusing()
    for _ in range(12):
        spo2(story, 87)
    for _ in range(60):
        spo2(story, None, "invalid")
    for _ in range(4):
        spo2(story, 87)
    assert state_of(story, "RES-2") == "pending", "48 of them"
    spo2(story, 87)
    assert state_of(story, "RES-2") == "active"


# --- validity ---------------------------------------------------------------------------------------------------------


def test_questionable_neither_starts_nor_clears_but_sustains() -> None:
    story = BedStory().infusing()
    for _ in range(60):
        spo2(story, 80, "questionable")
    assert state_of(story, "RES-3") == "inactive"
    for _ in range(11):
        spo2(story, 80)
    assert state_of(story, "RES-3") == "active"
    for _ in range(60):
        spo2(story, 99, "questionable")
    assert state_of(story, "RES-3") == "active"


def test_nothing_but_questionable_readings_is_a_technical_alarm_and_does_not_end_one() -> None:
    story = BedStory().infusing()
    for _ in range(31):
        spo2(story, 97, "questionable")
    assert story.bed.state.alarms["TEC-1:oximeter"].priority == "medium"
    for _ in range(20):
        spo2(story, 97, "questionable")
    assert state_of(story, "TEC-1:oximeter") == "active"


def test_measuring_is_not_a_sample() -> None:
    """It neither refreshes the value before it nor breaks what is being timed."""
    story = BedStory().infusing()
    for second in range(15):
        spo2(story, 88, "measuring" if second % 3 == 1 else "valid")
    assert state_of(story, "RES-2") == "active"
    spo2(story, 97)
    seen_s = story.at_s
    for _ in range(4):
        spo2(story, None, "measuring")
    shown = story.vitals()["numerics"]["spo2_pct"]
    assert (shown["value"], shown["age_s"]) == (97, story.at_s - seen_s)


@pytest.mark.parametrize(("validity", "key", "state"), [
    ("underflow", "RES-3", "active"), ("overflow", "RES-3", "inactive"), ("invalid", "RES-3", "inactive"),
])
def test_out_of_range_is_a_breach_in_its_direction_and_never_a_number(
    validity: Validity, key: str, state: str,
) -> None:
    story = BedStory().infusing()
    for _ in range(20):
        spo2(story, None, validity)
    assert state_of(story, key) == state
    assert story.vitals()["numerics"]["spo2_pct"]["value"] is None
    assert not any("inf" in text_of(story, key) for key in story.bed.state.alarms)
    twin = Bedside("chair-1", DEVICES, RULES)
    twin.restore(story.bed.snapshot())
    assert twin.state == story.bed.state


@pytest.mark.parametrize("validity", ["invalid", "unavailable"])
def test_the_number_beside_an_invalid_reading_is_not_shown(validity: Validity) -> None:
    story = BedStory().infusing()
    spo2(story, 50, validity)
    assert story.vitals()["numerics"]["spo2_pct"]["value"] is None


VECTORS: list[tuple[tuple[float, float], int, str, str]] = [  # baseline, interval (min), what comes
    ((120, 75), 5, "5:124/78 10:131/82 15:136/84 20:133/82 25:126/78", ""),
    ((120, 75), 5, "5:132/80 10:146/86 15:145/88 20:141/86 25:136/85",
     "10 HTN-R, 15 HTN-1 start, 25 HTN-1 end"),
    ((120, 75), 5, "5:130/80 10:148/84 15:137/82", "10 HTN-R"),
    ((130, 80), 5, "10:158/92 15:163/96 20:164/98 25:157/94 30:150/90 35:148/90",
     "10 HTN-R, 15 HTN-1 start, 20 HTN-2 escalate, 30 HTN-1 deescalate, 35 HTN-2 end"),
    ((128, 80), 5, "10:150/92 15:182/104 17:176/100 20:168/98 25:156/92",
     "15 HTN-3 start, 20 HTN-2 deescalate"),
    ((120, 75), 5, "5:146/84 10:none 14:147/84", "5 HTN-R, 14 HTN-1 start"),
    ((120, 75), 10, "10:146/84 20.05:147/84", "10 HTN-R, 20.05 HTN-1 start"),
    ((120, 75), 5, "5:146/84 17:147/84", "5 HTN-R, 17 HTN-R"),
    ((125, 78), 5, "10:150/112 12:151/111 20:140/100",
     "10 HTN-2 start, 12 HTN-3 escalate, 20 HTN-2 deescalate"),
]


@pytest.mark.parametrize(("baseline", "interval_min", "readings", "expected"), VECTORS, ids=list("ABCDEFGHI"))
def test_the_pressure_alarms_of_sessions_worked_out_by_hand(
    baseline: tuple[float, float], interval_min: int, readings: str, expected: str,
) -> None:
    story = BedStory().until(-10)
    story.command("start_session", **{**ORDER, "nibp_interval_min": interval_min})
    story.bp(*baseline)
    story.until(-8).bp(*baseline)
    story.until(0).pump, story.rate_ml_h = "infusing", 52.5
    found: list[str] = []
    for reading in readings.split():
        minute, _, value = reading.partition(":")
        story.until(float(minute))
        sbp, _, dbp = value.partition("/")
        pending_events = story.bp(*((float(sbp), float(dbp)) if dbp else (None, None)))
        found += [f"{minute} {body_of(pending).rule} {getattr(body_of(pending), 'alarm_phase', '')}".strip()
                  for pending in pending_events if pending.kind in ("alarm", "request")
                  and getattr(body_of(pending), "alarm_phase", "") != "update"]
    assert ", ".join(found) == expected


# --- the pump and the phases ------------------------------------------------------------------------------------------


def test_an_infusion_that_is_resumed_in_recovery_opens_the_period_again() -> None:
    story = BedStory().infused()
    assert story.session.dissociation == "resolving"
    story.pump = "infusing"
    story.until(46)
    assert (story.session.phase, story.session.dissociation) == ("INFUSING", "expected")


def test_a_paused_pump_that_cannot_be_heard_has_not_ended() -> None:
    story = BedStory().infusing().until(10)
    story.pump = "stopped"
    story.until(11)
    story.give(LinkChanged("pump", "lost", "the cable is out"))
    story.pump = None
    assert story.until(60).session.phase == "PAUSED"


@pytest.mark.parametrize("word", ["stopped", "infusing"])
def test_one_word_of_the_pump_and_then_silence_moves_no_phase(word: str) -> None:
    story = BedStory().opened() if word == "infusing" else BedStory().infusing()
    before = story.session.phase
    story.at_s += 1
    story.give(PumpStatus("pump", "infusing" if word == "infusing" else "stopped"))
    story.say("pump", rate_ml_h=52.5 if word == "infusing" else 0.0)
    story.give(LinkChanged("pump", "lost"))
    ticks(story, 15)
    assert story.session.phase == before


def test_a_nurse_can_end_an_infusion_whose_pump_cannot_be_heard() -> None:
    story = BedStory().infusing().until(20)
    story.give(LinkChanged("pump", "lost"))
    story.pump = None
    story.until(21)
    assert story.reason(story.command("end_infusion", reason="seen at the pump")) == ""
    assert story.until(22).session.phase == "RECOVERY"
    story.give(LinkChanged("pump", "live"))
    story.pump = "infusing"
    assert story.until(23).session.phase == "INFUSING", "the pump's own word counts as soon as it can be heard"


def test_the_same_counter_is_never_counted_twice_over_a_lost_link_and_a_restart() -> None:
    story = BedStory().infusing().until(20)
    before = story.session.delivered_mg
    snapshot = story.bed.snapshot()
    story.bed = Bedside("chair-1", DEVICES, RULES)
    story.bed.restore(snapshot)
    story.give(Boot("boot-2", 5.0))
    story.give(LinkChanged("pump", "live"))
    story.give(PumpStatus("pump", "infusing"))
    story.say("pump", rate_ml_h=52.5, volume_infused_ml=story.volume_ml)
    assert story.session.delivered_mg == before
    assert (story.session.phase, story.session.opened_s) == ("INFUSING", T0 - 600)


@pytest.mark.parametrize("fall_ml", [0.1, 0.5])
def test_a_pump_counter_that_is_rounded_down_does_not_double_the_dose(fall_ml: float) -> None:
    story = BedStory().infusing().until(30)
    before = story.session.delivered_mg
    story.say("pump", volume_infused_ml=story.volume_ml - fall_ml)
    assert story.session.delivered_mg == before
    assert story.until(31).session.delivered_mg == pytest.approx(before + 52.5 / 60, abs=0.05)


# --- the precheck, the baseline and discharge -------------------------------------------------------------------------


@pytest.mark.parametrize(("apart_s", "quality"), [(59.999, "single"), (60.0, "pair")])
def test_a_baseline_is_two_readings_a_minute_apart(apart_s: float, quality: str) -> None:
    story = BedStory()
    story.at_s = T0 - 700.103
    story.command("start_session", **ORDER)
    story.bp(120, 75)
    story.at_s = round(story.at_s + apart_s, 3)
    story.bp(124, 77)
    story.give(Tick())
    assert story.session.baseline is not None
    assert story.session.baseline.quality == quality


def test_a_high_blood_pressure_that_grew_old_still_holds_the_patient() -> None:
    story = BedStory().until(-14)
    story.command("start_session", **ORDER)
    story.bp(150, 95)
    story.until(-12.5).bp(150, 95)
    story.until(-0.5)
    assert story.session.phase == "PRECHECK"
    story.bp(138, 88)
    assert story.until(0).session.phase == "READY"


@pytest.mark.parametrize(("moaas", "pulse", "phase"), [
    (5, 70.0, "READY"), (4, 70.0, "PRECHECK"), (5, 49.0, "PRECHECK"), (5, 111.0, "PRECHECK"), (5, 110.0, "READY"),
])
def test_sedation_and_pulse_hold_in_the_precheck(moaas: int, pulse: float, phase: str) -> None:
    story = BedStory()
    story.command("start_session", **ORDER)
    story.command("check_in", moaas=moaas)
    story.bp(120, 75)
    story.at_s += 100
    story.bp(120, 75)
    story.say("oximeter", spo2_pct=98.0, pulse_bpm=pulse)
    story.give(Tick())
    assert story.session.phase == phase


def test_the_baseline_is_of_the_half_hour_before_the_infusion() -> None:
    story = BedStory()
    story.at_s = T0 - 45 * 60
    story.command("start_session", **ORDER)
    story.bp(130, 85)
    story.until(-43).bp(130, 85)
    assert story.until(-42).session.phase == "READY"
    story.until(-20).bp(110, 70)
    story.until(-15).bp(112, 70)
    story.until(-14).pump, story.rate_ml_h = "infusing", 52.5
    story.until(-13)
    assert story.session.baseline is not None
    assert story.session.baseline.sbp_mmhg == 112, "130, 112 and 110; the reading of 31 minutes before does not count"


def test_a_resumed_infusion_never_takes_a_baseline_under_ketamine() -> None:
    story = BedStory().until(-10)
    story.command("start_session", **ORDER)
    story.pump, story.rate_ml_h = "infusing", 52.5
    story.until(-5).bp(160, 98)
    story.pump = "stopped"
    story.until(-4)
    story.pump = "infusing"
    story.until(-3)
    assert story.phases() == ["INFUSING", "PAUSED", "INFUSING"]
    assert story.session.baseline is None


def test_blood_pressures_of_the_infusion_do_not_discharge() -> None:
    story = BedStory().infusing().until(30)
    story.bp(122, 76)
    story.until(35).bp(122, 76)
    story.until(40).pump = "stopped"
    for minute in (90, 100, 110):
        story.until(minute).command("check_in", **QUIET)
    assert story.until(115).session.phase == "RECOVERY"
    assert any("blood pressures" in point for point in story.full()["session"]["open"])
