"""What a bed says is next and what is open, when, since when and who may go on; and what a person's word changes."""

from __future__ import annotations

from math import inf
from typing import Any

import msgspec
import pytest

from edge.contract.events import DeviceReturned, GateOverridden, OrderAmended
from edge.core.bedside import Bedside
from edge.core.context import RuleContext
from edge.core.session import open_items
from edge.core.upcoming import upcoming as soonest
from edge.model import Command, LinkChanged, from_iso
from tests.helpers.bed_story import DEVICES, ORDER, T0, BedStory
from tests.helpers.rule_files import PROTOCOLS, RULES


def bed(**order: Any) -> BedStory:
    story = BedStory(long_step_s=2.0)
    story.bed = Bedside("chair-1", DEVICES, RULES, protocols=PROTOCOLS)
    for device in story.bed.state.devices.values():
        device.link = "live"
    story.until(-10)
    story.command("start_session", **{**ORDER, **order})
    return story.until(-9.9)


def upcoming(story: BedStory) -> list[tuple[str, float | None]]:
    """What is next, with the minute."""
    return [(one["what"], None if one["at"] is None else round((from_iso(one["at"]) - T0) / 60, 1))
            for one in story.full()["session"]["next"]]


def test_before_the_start_it_says_what_is_missing_and_then_to_start() -> None:
    story = bed()
    assert upcoming(story) == [("precheck", None)]
    assert story.full()["session"]["next"][0]["text"] == "no blood pressure measured yet"
    story.bp(120, 75)
    story.until(-8).bp(120, 75)
    story.until(-7.9)
    assert upcoming(story) == [("start", 22)], "READY is over half an hour later"
    assert story.full()["session"]["next"][0]["text"] == "start the pump"


def infusing(minute: float, **order: Any) -> BedStory:
    story = bed(**order)
    story.bp(120, 75)
    story.until(-8).bp(120, 75)
    story.until(0)
    story.pump, story.rate_ml_h = "infusing", 52.5
    return story.until(minute)


def test_while_infusing_it_says_the_cuff_the_check_in_and_the_end() -> None:
    story = infusing(2)
    assert upcoming(story) == [("bp", 5), ("check_in", 10), ("end", 40)]
    story.bp(120, 75)
    story.command("check_in", moaas=5)
    assert upcoming(story.until(2.1)) == [("bp", 7), ("check_in", 12), ("end", 40)]
    story.pump = "stopped"
    assert [what for what, _ in upcoming(story.until(3))] == ["bp", "check_in", "resume"]
    assert upcoming(story)[-1] == ("resume", 32.1)


def test_after_it_says_from_when_the_patient_may_leave_and_what_is_asked() -> None:
    story = infusing(5)
    story.pump = "stopped"
    story.until(6)
    story.command("end_infusion", reason="afraid")
    story.until(6.1)
    told = {one["gate"]: one for one in story.full()["session"]["open_items"]}
    minute = {gate: round((from_iso(one["at"]) - T0) / 60) for gate, one in told.items() if one["at"]}
    assert minute == {"after_the_end": 65, "after_the_start": 100, "check_in": 25}
    assert round((from_iso(told["gait"]["since"]) - T0) / 60, 1) == 6
    assert told["gait"]["override"] == ("prescriber",)
    assert told["check_in"]["override"] == ()
    leave = [(one["text"], one["at"]) for one in story.full()["session"]["next"] if one["what"] == "leave"]
    assert round((from_iso(leave[-1][1] or leave[0][1] or "") - T0) / 60) in (105, 106)
    assert ("walks steadily: not recorded", None) in leave
    assert not any("60 minutes" in text for text, _ in leave), "time alone brings it, nobody is asked for it"
    state, at_s = story.bed.state, story.at_s
    points = open_items(RuleContext(state, at_s))
    due_s = min(state.bp_due_s() or inf, state.check_in_due_s() or inf)
    for kept_s, first in ((due_s, {"bp", "check_in"}), (due_s - 1, {"leave"})):  # what the stay waits for is asked then
        moved = [one if one.at_s is None else one._replace(at_s=kept_s) for one in points]
        assert soonest(state, moved, at_s)[0].what in first
    since = told["gait"]["since"]
    assert {one["gate"]: one for one in story.until(7).full()["session"]["open_items"]}["gait"]["since"] == since


def test_an_override_stands_in_the_record_and_among_the_open_items() -> None:
    story = bed()
    story.bp(150, 85)
    story.until(-8).bp(150, 85)
    story.until(-7.9)
    args = {"gate": "blood_pressure_high", "reason": "150/85 for years, known to Dr Hall"}
    events = story.give(Command("c9", "main", "hall", "prescriber", "chair-1", "override_gate", args))
    body = events[0].body
    assert isinstance(body, GateOverridden)
    assert (body.gate, body.role, body.by) == ("blood_pressure_high", "prescriber", "hall")
    assert body.text == "blood pressure 150/85 is above 140/90: rest and measure again, or ask the prescriber"
    session = story.full()["session"]
    assert not any("above 140/90" in words for words in session["open"])
    mine = next(one for one in session["open_items"] if one["gate"] == "blood_pressure_high")
    assert (mine["overridden_by"], mine["reason"]) == ("hall", args["reason"])


def test_an_order_is_a_document_whose_every_form_is_kept() -> None:
    story = infusing(1)
    for dose in (0.6, 0.7):
        events = story.command("amend_order", dose_mg_kg=dose, prescriber="Dr Hall", reason="no response yet")
    body = events[0].body
    assert isinstance(body, OrderAmended)
    assert (body.was.dose_mg, body.order.dose_mg, body.prescriber, body.by) == (42, 49, "Dr Hall", "nina")
    kept = [(one.was.dose_mg_kg, one.prescriber, one.user, one.reason) for one in story.session.amendments]
    assert kept == [(0.5, "Dr Hall", "nina", "no response yet"), (0.6, "Dr Hall", "nina", "no response yet")]


def test_a_snapshot_in_the_middle_of_all_this_is_taken_up_as_it_was() -> None:
    story = infusing(2)
    story.command("attest", what="escort", so=True)
    story.command("device_off", device="oximeter", minutes=5, reason="to the toilet")
    twin = Bedside("chair-1", DEVICES, RULES, protocols=PROTOCOLS)
    twin.restore(story.bed.snapshot())
    assert twin.state == story.bed.state
    assert msgspec.to_builtins(twin.state.devices["oximeter"])["off_until_s"] == T0 + 420


def test_a_device_that_may_be_another_beds_is_this_ones_by_a_persons_word() -> None:
    story = infusing(2)
    why = "away at the same time as chair-2/oximeter"
    story.give(LinkChanged("oximeter", "wrong_device", why, ask=True))
    story.until(2.5)
    device = next(one for one in story.full()["devices"] if one["device"] == "oximeter")
    assert (device["link"], device["ask"], device["reason"]) == ("wrong_device", True, why)
    twin = Bedside("chair-1", DEVICES, RULES, protocols=PROTOCOLS)
    twin.restore(story.bed.snapshot())
    assert twin.state.devices["oximeter"].ask, "a restart does not forget it"
    story.give(LinkChanged("oximeter", "silent", "nothing received for 5 s"))
    assert story.bed.state.devices["oximeter"].ask, "nor does a silence"
    body = story.command("device_back", device="oximeter")[0].body
    assert isinstance(body, DeviceReturned)
    assert (body.why, body.by) == ("its cable was looked at: it is this bed's own", "nina")
    said = story.reason(story.command("device_back", device="oximeter"))
    assert said == "not_now: the oximeter is not away as planned"


def test_closing_with_something_open_needs_a_reason_that_is_one() -> None:
    story = infusing(1)
    story.pump = "stopped"
    story.until(2)
    story.command("end_infusion")
    said = story.reason(story.command("close_session", reason="Discharged"))
    assert said.startswith("reason_needed: 'Discharged' says nothing of what is open: ")
    assert said.endswith(". Write why the session ends all the same"), "what to do next"
    assert story.reason(story.command("close_session", reason="fetched by her brother")) == ""


def test_under_0_1_0_any_reason_did() -> None:
    story = BedStory().infused()
    assert story.reason(story.command("close_session", reason="Discharged")) == ""


@pytest.mark.slow
def test_it_says_when_the_patient_would_have_been_ready_but_for_the_minimum_stay() -> None:
    story = infusing(5)
    story.pump = "stopped"
    story.until(6)
    story.command("end_infusion", reason="afraid")
    for minute in (20, 32, 44):
        story.until(minute).bp(120, 75)
        story.command("check_in", moaas=5, cadss=2, distress=1, anxiety=1, nausea=0)
    assert story.full()["session"]["ready_min"] is None, "nobody has attested that the patient may go"
    for what in ("escort", "oriented", "no_dissociation", "gait", "fluids", "mood"):
        story.command("attest", what=what, so=True)
    told = story.until(46).full()["session"]
    assert told["ready_min"] == 44
    assert {one["gate"] for one in told["open_items"]} == {"after_the_end", "after_the_start"}
    story.command("check_in", moaas=5, cadss=9, distress=1)
    assert story.until(46.2).full()["session"]["ready_min"] is None, "a relapse: not any more"


def test_the_state_says_when_the_words_of_an_alarm_were_true() -> None:
    """They say how long ago something was, and stand for as long as nothing moves the alarm."""
    story = infusing(1)
    shown = []
    for minute in (16, 20, 26, 30):
        story.until(minute)
        [alarm] = [alarm for alarm in story.full()["alarms"] if alarm["rule"] == "DIS-4"]
        shown.append((alarm["text"], round((from_iso(alarm["text_at"]) - T0) / 60)))
    assert shown == [("Check-in overdue: none for 15 min", 15)] * 2 + [("Check-in overdue: none for 25 min", 25)] * 2
