"""When a phase moves and when it must not: the pump's second word, READY left again, the two clocks of discharge."""

from __future__ import annotations

import pytest

from edge.core.alarms import SHOWN
from edge.model import Boot, LinkChanged, PumpState, PumpStatus, Tick
from tests.helpers.bed_story import ORDER, QUIET, T0, BedStory, ticks
from tests.helpers.bodies import body_of
from tests.helpers.parts import sampled


def word(story: BedStory, state: PumpState) -> None:
    story.give(PumpStatus("pump", state))
    story.say("pump", rate_ml_h=52.5 if state == "infusing" else 0.0)
    story.give(Tick())


@pytest.mark.parametrize(("state", "before", "after"), [
    ("infusing", "READY", "INFUSING"), ("stopped", "INFUSING", "PAUSED"),
])
@pytest.mark.parametrize(("apart_s", "moves"), [(1, False), (2, False), (3, True), (9, True)])
def test_a_phase_moves_when_the_pump_has_said_it_twice(
    state: PumpState, before: str, after: str, apart_s: int, moves: bool,
) -> None:
    story = BedStory().opened() if state == "infusing" else BedStory().infusing()
    word(story, state)
    ticks(story, apart_s)
    assert story.session.phase == before, "time alone says nothing"
    word(story, state)
    assert story.session.phase == (after if moves else before)


def test_one_word_and_then_ticks_is_no_infusion() -> None:
    story = BedStory().opened()
    word(story, "infusing")
    ticks(story, 15)
    assert story.session.phase == "READY"


# --- READY ------------------------------------------------------------------------------------------------------------


def worse(story: BedStory, what: str) -> None:
    match what:
        case "pressure":
            story.bp(175, 105)
        case "saturation":
            story.spo2 = 90
        case "sedation":
            story.command("check_in", moaas=4)
        case "checklist":
            story.command("checklist", done=False)


@pytest.mark.parametrize(("what", "says"), [
    ("pressure", "above 140/90"), ("saturation", "below 94"), ("sedation", "MOAA/S 4"),
    ("checklist", "checklist not confirmed"),
])
def test_what_is_open_again_for_ten_seconds_leaves_ready(what: str, says: str) -> None:
    story = BedStory().opened()
    worse(story, what)
    story.until(-7 + 9 / 60)
    assert story.session.phase == "READY"
    story.until(-7 + 12 / 60)
    moved = [body_of(pending) for pending in story.pending_events if pending.kind == "phase"]
    assert [body.phase for body in moved] == ["READY", "PRECHECK"]
    assert says in moved[-1].why


def test_one_bad_second_does_not_leave_ready() -> None:
    story = BedStory().opened()
    for second in range(60):
        story.spo2 = 90.0 if second % 9 == 0 else 98.0
        story.until(-7 + (second + 1) / 60)
    assert story.phases() == ["READY"]


def test_a_probe_that_is_taken_away_leaves_ready_and_brings_it_back() -> None:
    story = BedStory().opened()
    story.give(LinkChanged("oximeter", "lost"))
    story.spo2 = None
    story.until(-6.8)
    assert story.session.phase == "PRECHECK"
    story.give(LinkChanged("oximeter", "live"))
    story.spo2 = 98.0
    assert story.until(-6.7).session.phase == "READY"


# --- dissociation and discharge ---------------------------------------------------------------------------------------


def test_a_ticked_dissociation_opens_the_period() -> None:
    story = BedStory().infusing().until(1)
    story.command("check_in", moaas=5, cadss=4, distress=1, symptoms=["dizziness"])
    assert story.dissociation() == []
    story.command("check_in", moaas=5, cadss=4, distress=1, symptoms=["dizziness", "dissociation"])
    assert story.dissociation() == [("observed", 1.0)]


@pytest.mark.parametrize(("stops_min", "ready_min"), sampled([(40, 105), (10, 105), (50, 115)], 3))
def test_discharge_waits_an_hour_after_the_end_and_100_minutes_after_the_start(stops_min: int, ready_min: int) -> None:
    story = BedStory().until(-10)
    story.command("start_session", **{**ORDER, "duration_min": 30, "dose_mg_kg": 0.1})
    story.bp(120, 75)
    story.until(-8).bp(120, 75)
    story.until(0)
    story.pump, story.rate_ml_h = "infusing", 52.5
    story.until(stops_min)
    story.pump = "stopped"
    story.until(stops_min + 0.5)
    for alarm in list(story.bed.state.alarms.values()):  # it ran faster than ordered, and too long
        if alarm.state in SHOWN:
            story.command("acknowledge", alarm=alarm.id, seq=alarm.seq)
    entered = None
    for minute in range(stops_min + 1, 130):
        story.until(minute)
        if minute % 5 == 0:
            story.bp(120, 75)
            story.command("check_in", **QUIET)
        if story.session.phase == "DISCHARGE_READY":
            entered = (story.at_s - T0) / 60
            break
    assert entered == pytest.approx(ready_min, abs=1.1)


def test_an_infusion_that_a_restart_fell_into_is_one_until_the_pump_says_that_it_stopped() -> None:
    story = BedStory().infusing()
    story.give(Boot("again", 5.0))
    story.give(LinkChanged("pump", "live"))
    assert story.session.infusing_at_boot
    story.pump = "stopped"
    story.until(0.2)
    assert (story.session.infusing_at_boot, story.session.infusing_since_s) == (False, None)
