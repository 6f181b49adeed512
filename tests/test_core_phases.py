"""When a phase moves and when it must not: the pump's second word, READY left again, the two clocks of discharge."""

from __future__ import annotations

from typing import Any

import pytest

from edge.core import views
from edge.model import LinkChanged, PumpState, PumpStatus, Tick
from tests.test_bedside import ORDER, QUIET, T0, Chair
from tests.test_core_edges import ticks


def word(chair: Chair, state: PumpState) -> None:
    chair.give(PumpStatus("pump", state))
    chair.say("pump", rate_ml_h=52.5 if state == "infusing" else 0.0)
    chair.give(Tick())


@pytest.mark.parametrize(("state", "before", "after"), [
    ("infusing", "READY", "INFUSING"), ("stopped", "INFUSING", "PAUSED"),
])
@pytest.mark.parametrize(("apart_s", "moves"), [(1, False), (2, False), (3, True), (9, True)])
def test_a_phase_moves_when_the_pump_has_said_it_twice(
    state: PumpState, before: str, after: str, apart_s: int, moves: bool,
) -> None:
    chair = Chair().opened() if state == "infusing" else Chair().infusing()
    word(chair, state)
    ticks(chair, apart_s)
    assert chair.session.phase == before, "time alone says nothing"
    word(chair, state)
    assert chair.session.phase == (after if moves else before)


def test_one_word_and_then_ticks_is_no_infusion() -> None:
    chair = Chair().opened()
    word(chair, "infusing")
    ticks(chair, 15)
    assert chair.session.phase == "READY"


# --- READY ------------------------------------------------------------------------------------------------------------


def worse(chair: Chair, what: str) -> None:
    match what:
        case "pressure":
            chair.bp(175, 105)
        case "saturation":
            chair.spo2 = 90
        case "sedation":
            chair.ask("check_in", moaas=4)
        case "checklist":
            chair.ask("checklist", done=False)


@pytest.mark.parametrize(("what", "says"), [
    ("pressure", "above 140/90"), ("saturation", "below 94"), ("sedation", "MOAA/S 4"),
    ("checklist", "checklist not confirmed"),
])
def test_what_is_open_again_for_ten_seconds_leaves_ready(what: str, says: str) -> None:
    chair = Chair().opened()
    worse(chair, what)
    chair.until(-7 + 9 / 60)
    assert chair.session.phase == "READY"
    chair.until(-7 + 12 / 60)
    moved = [pending.body for pending in chair.pending_events if pending.kind == "phase"]
    assert [body["phase"] for body in moved] == ["READY", "PRECHECK"]
    assert says in moved[-1]["why"]


def test_one_bad_second_does_not_leave_ready() -> None:
    chair = Chair().opened()
    for second in range(60):
        chair.spo2 = 90.0 if second % 9 == 0 else 98.0
        chair.until(-7 + (second + 1) / 60)
    assert chair.phases() == ["READY"]


def test_a_probe_that_is_taken_away_leaves_ready_and_brings_it_back() -> None:
    chair = Chair().opened()
    chair.give(LinkChanged("oximeter", "lost"))
    chair.spo2 = None
    chair.until(-6.8)
    assert chair.session.phase == "PRECHECK"
    chair.give(LinkChanged("oximeter", "live"))
    chair.spo2 = 98.0
    assert chair.until(-6.7).session.phase == "READY"


# --- dissociation and discharge ---------------------------------------------------------------------------------------


def test_a_ticked_dissociation_opens_the_period() -> None:
    chair = Chair().infusing().until(1)
    chair.ask("check_in", moaas=5, cadss=4, distress=1, symptoms=["dizziness"])
    assert chair.dissociation() == []
    chair.ask("check_in", moaas=5, cadss=4, distress=1, symptoms=["dizziness", "dissociation"])
    assert chair.dissociation() == [("observed", 1.0)]


@pytest.mark.parametrize(("symptoms", "state"), [(["dissociation"], "resolving"), (["dizziness"], "resolved")])
def test_a_ticked_dissociation_keeps_it_open(symptoms: list[str], state: str) -> None:
    chair = Chair().infusing().until(40)
    chair.pump = "stopped"
    chair.until(95).ask("check_in", **QUIET, symptoms=symptoms)
    assert chair.until(102).session.dissociation == state
    session: dict[str, Any] = views.full(chair.bed.state, chair.at_s)["session"]
    assert session["quiet"] is (state == "resolved")


@pytest.mark.parametrize(("stops_min", "ready_min"), [(10, 105), (40, 105), (50, 115)])
def test_discharge_waits_an_hour_after_the_end_and_100_minutes_after_the_start(stops_min: int, ready_min: int) -> None:
    chair = Chair().until(-10)
    chair.ask("start_session", **{**ORDER, "duration_min": 30, "dose_mg_kg": 0.1})
    chair.bp(120, 75)
    chair.until(-8).bp(120, 75)
    chair.until(0)
    chair.pump, chair.rate_ml_h = "infusing", 52.5
    chair.until(stops_min)
    chair.pump = "stopped"
    entered = None
    for minute in range(stops_min + 1, 130):
        chair.until(minute)
        if minute % 5 == 0:
            chair.bp(120, 75)
            chair.ask("check_in", **QUIET)
        if entered is None and chair.session.phase == "DISCHARGE_READY":
            entered = (chair.at_s - T0) / 60
    assert entered == pytest.approx(ready_min, abs=1.1)
