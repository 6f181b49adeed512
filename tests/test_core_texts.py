"""What an alarm says: the number, the limit that fired, which device, what ended it; never that a low value is over."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from edge.core.alarms import Alarm
from edge.core.bedside import Bedside
from edge.core.context import RuleContext
from edge.core.facts import FACTS
from edge.core.rules import parse_rules
from edge.core.state import Baseline, BedState, Determination, Device, LatestValue, Order, Session
from edge.core.telling import PLACEHOLDERS, alarm_moved, no_longer_fits
from edge.model import DeviceAlarm, DeviceAlarmsReported, LinkChanged, LinkState, Validity
from tests.helpers.bed_story import DEVICES, T0, BedStory, alarms_in, spo2, ticks
from tests.helpers.bodies import body_of
from tests.helpers.rule_files import FILE, RULES


def said(story: BedStory, rule: str) -> list[tuple[str, str]]:
    return [(body.state, body.text) for body in alarms_in(story.pending_events) if body.rule == rule]


def limits(story: BedStory, rule: str) -> list[str]:
    return [body.limit for body in alarms_in(story.pending_events) if body.rule == rule]


def low(story: BedStory, value: float, seconds: int) -> None:
    for _ in range(seconds):
        spo2(story, value)


def test_what_ends_an_alarm_is_said_with_its_value() -> None:
    story = BedStory().infusing()
    low(story, 88, 15)
    low(story, 95, 12)
    assert said(story, "RES-2") == [("active", "SpO₂ 88 %: low oxygen saturation"),
                                    ("inactive", "SpO₂ 95 %: 92 % or more again")]


def test_a_pump_against_its_order_says_rate_and_programme_and_not_what_is_in_so_far() -> None:
    story = BedStory().infusing()
    story.rate_ml_h = 47.2
    story.until(0.5)
    assert said(story, "INF-1") == [(
        "active", "The pump does not run as ordered: 47.2 mL/h, 0.67 mg/kg/h: 90 % of the ordered 52.5 mL/h")]


def without_levels(text: str) -> BedStory:
    """A bed whose rules are judged tier by tier, as 0.1.0 had it."""
    story = BedStory()
    story.bed = Bedside("chair-1", DEVICES, parse_rules(text.replace("levels = true", "levels = false")))
    story.bed.restore(BedStory().infusing().bed.snapshot())
    story.at_s = BedStory().infusing().at_s
    return story


@pytest.mark.parametrize(("metric", "said_of_it", "changes"), [
    ("spo2_pct", 89, True), ("spo2_pct", 88, False), ("spo2_pct", 87, False),  # it shows 88: a lower one is worse
    ("pulse_bpm", 60, False), ("pulse_bpm", 80, False),  # it is 70: of the pulse this rule says nothing
])
def test_words_are_said_anew_for_a_number_that_is_worse(metric: str, said_of_it: float, changes: bool) -> None:
    story = BedStory().infusing()
    low(story, 88, 15)
    story.say("oximeter", spo2_pct=88.0, pulse_bpm=70.0)
    body = story.bed.state.alarms["RES-2"].body
    assert body is not None
    then = replace(body, evidence=(replace(body.evidence[0], metric=metric, value=said_of_it),))
    context = RuleContext(story.bed.state, story.at_s)
    assert context.metric("pulse_bpm") == 70
    assert no_longer_fits(RULES.named("RES-2"), then, body.text, context) is changes


def test_a_lower_tier_that_a_higher_one_takes_over_is_not_over() -> None:
    story = without_levels(FILE.read_text())
    low(story, 88, 15)
    low(story, 80, 10)
    assert said(story, "RES-2")[-1] == ("inactive", "Low oxygen saturation: see Very low oxygen saturation")


def test_an_alarm_that_the_end_of_a_session_ends_is_over_without_a_value() -> None:
    story = BedStory().infusing()
    low(story, 88, 15)
    story.pump = "stopped"
    story.at_s += 120
    story.command("close_session", reason="sent to hospital")
    assert said(story, "RES-2")[-1] == ("inactive", "Low oxygen saturation: over")


def test_a_picture_that_stays_says_nothing_new() -> None:
    story = BedStory().infusing()
    story.command("check_in", anxiety=8)
    story.command("check_in", anxiety=2, distress=1)
    ticks(story, 11)
    assert [state for state, _ in said(story, "DIS-3")] == ["active", "latched"]


def test_the_limit_is_that_of_what_fired() -> None:
    held, dips = BedStory().infusing(), BedStory().infusing()
    low(held, 89, 15)
    for _ in range(3):
        low(dips, 89, 1)
        low(dips, 95, 1)
    assert limits(held, "RES-2") == ["90 % for 15 s"]
    assert limits(dips, "RES-2") == ["three times below 90 % within 60 s, or 50 saturation seconds below 90 %"]
    low(dips, 95, 60)
    low(dips, 89, 15)
    assert limits(dips, "RES-2")[-1] == "90 % for 15 s", "another occurrence, another limit"


def test_a_lost_connection_names_its_device_when_it_comes_and_when_it_ends() -> None:
    story = BedStory().infusing()
    story.give(LinkChanged("oximeter", "lost"))
    ticks(story, 10)
    story.give(LinkChanged("oximeter", "live"))
    ticks(story, 6)
    assert said(story, "TEC-4") == [("active", "No connection to the oximeter (cable or port gone)"),
                                    ("inactive", "The oximeter is connected again")]


LINKS = [("connecting", "not found yet"), ("silent", "it says nothing"), ("lost", "cable or port gone"),
         ("wrong_device", "another device is on its cable"), ("unstable", "it comes and goes")]


@pytest.mark.parametrize(("link", "words"), LINKS)
def test_what_a_link_that_is_not_live_is_called(link: str, words: str) -> None:
    story = BedStory().infusing()
    story.give(LinkChanged("pump", link, "COM3: errno 5"))  # type: ignore[arg-type]
    story.pump = None
    ticks(story, 10)
    assert said(story, "TEC-3") == [
        ("active", f"The pump is not heard ({words}); it may still be running: look at the pump")]


def test_how_far_a_blood_pressure_is_from_its_baseline() -> None:
    story = BedStory().infusing().until(5)  # baseline 122/76
    story.bp(150, 92)
    asked = [body_of(pending).text for pending in story.pending_events if pending.kind == "request"]
    assert asked == ["Blood pressure 150/92 mmHg, +23/+21 % against baseline 122/76: repeat it in 2 to 3 minutes"]
    story.until(8).bp(151, 70)
    assert said(story, "HTN-1") == [
        ("active", "Blood pressure 151/70 mmHg, +24/−8 % against baseline 122/76: raised")]


def test_how_old_the_last_saturation_is() -> None:
    story = BedStory().infusing()
    state, said = story.bed.state, FACTS["spo2_overdue_s"].reason
    assert said is not None
    assert said(RuleContext(state, story.at_s + 3600)) == "the last one 60 min ago"
    state.latest.clear()
    assert said(RuleContext(state, T0 + 3600)) == "none for 60 min"


def test_the_devices_own_alarm() -> None:
    story = BedStory().infusing()
    story.give(DeviceAlarmsReported("pump", (DeviceAlarm("occlusion", "high", "OCC", "occlusion"),)))
    story.give(DeviceAlarmsReported("pump", ()))
    assert said(story, "INF-4") == [
        ("active", "The pump's own alarm: occlusion"), ("inactive", "The pump's own alarm has ended")]


def test_rules_that_do_not_say_how_they_end_say_what_0_1_0_said() -> None:
    text = "\n".join(line for line in FILE.read_text().splitlines() if not line.startswith(("ended", "at_once_limit")))
    story = without_levels(text)
    low(story, 88, 15)
    low(story, 80, 10)
    assert said(story, "RES-2")[-1] == ("inactive", "Low oxygen saturation: over")


# --- one placeholder of a text ----------------------------------------------------------------------------------------


def filled(name: str, state: BedState, rule: str = "HTN-1", device: str | None = None) -> str | None:
    return PLACEHOLDERS[name](RuleContext(state, T0, device), RULES.named(rule))


@pytest.mark.parametrize(("baseline", "beyond", "rise", "against"), [
    (Baseline(120, 75, 2, "pair"), (), "+25/−20 %", "120/75"), (None, (), None, None),
    (Baseline(120, 75, 2, "pair"), ("sbp_mmhg",), None, "120/75"),
    (Baseline(120, 75, 2, "pair"), ("dbp_mmhg",), None, "120/75"),
])
def test_a_pressure_beyond_the_range_is_so_far_from_no_baseline(
    baseline: Baseline | None, beyond: tuple[str, ...], rise: str | None, against: str | None,
) -> None:
    session = Session("s", "b", Order("iv_racemic_40", 70, 0.5, 40, 1.0), "INFUSING", T0, T0, "nina", baseline=baseline)
    state = BedState("b", session=session, determinations=[Determination(T0, 150, 60, beyond=beyond)])
    assert (filled("rise", state), filled("baseline", state)) == (rise, against)


@pytest.mark.parametrize(("value", "validity", "words"), [
    (4, "valid", "4"), (None, "overflow", "above the measuring range"),
    (None, "underflow", "below the measuring range"), (None, "invalid", None)])
def test_a_reading_in_numbers_or_beyond_them(value: float | None, validity: Validity, words: str | None) -> None:
    state = BedState("b", latest={"resp_bpm": LatestValue("m", value, validity, None, T0)})
    assert filled("resp_bpm", state) == words
    assert filled("reasons", state, "RES-5") == (f"Respiration {words} /min" if words else None)


@pytest.mark.parametrize(("link", "ask", "reported", "words"), [
    ("live", False, None, "no data"), ("lost", False, None, "cable or port gone"), ("lost", False, "sensor_off",
                                                                                   "sensor off"),
    ("live", True, None, "it may be another bed's: look at its cable, then say that it is back"),
    ("lost", True, "sensor_off", "sensor off"),
])
def test_why_a_device_gives_nothing(link: LinkState, ask: bool, reported: str | None, words: str) -> None:
    state = BedState("b", devices={"oximeter": Device("oximeter", "o", link=link, ask=ask)}, latest={
        "spo2_pct": LatestValue("oximeter", None, "invalid", reported, T0)})
    assert filled("reason", state, "TEC-1", "oximeter") == words
    assert filled("reason", state, "TEC-1") == (words if reported else "no data")


@pytest.mark.parametrize(("pumps", "words"), [((), None), (("one",), "one"), (("one", "two"), "one or two")])
def test_which_pumps_may_give_the_drug(pumps: tuple[str, ...], words: str | None) -> None:
    assert filled("pumps", BedState("b", devices={name: Device("pump", "p") for name in pumps})) == words


# --- what an alarm says now, after what it has said -------------------------------------------------------------------


def bed(spo2_pct: float | None = None, reason: str | None = None, link: LinkState = "live") -> BedState:
    """Of its oximeter this saturation, or why there is none; two pumps, of which nobody has said which gives the drug;
    a blood pressure that nina has measured."""
    session = Session("s", "b", Order("iv_racemic_40", 70, 0.5, 40, 1.0), "INFUSING", T0, T0, "nina",
                      baseline=Baseline(120, 75, 2, "pair"))
    state = BedState("b", engine=RULES.engine, session=session)
    state.devices = {"oximeter": Device("oximeter", "o", link=link), "pump": Device("pump", "p", link=link)}
    state.latest["spo2_pct"] = LatestValue("oximeter", spo2_pct, "valid" if spo2_pct else "invalid", reason, T0 - 0.25)
    state.determinations = [Determination(T0, 150, 92, by="nina")]
    return state


def says(rule: str, now: BedState, device: str | None = None, superseded: str | None = None, **change: Any) -> Any:
    """The body of an alarm of this rule as things are."""
    alarm = replace(Alarm(rule, rule, "b", id="a", device=device, state="active"), **change)
    return alarm_moved(now, RULES.named(rule), alarm, "active", RuleContext(now, T0, device), superseded)


@pytest.mark.parametrize(("rule", "device", "then", "now", "keeps"), [
    ("RES-2", None, bed(88), bed(), True), ("RES-2", None, bed(88), bed(87), False),
    ("RES-2", None, bed(), bed(), True),
    ("TEC-1", "oximeter", bed(None, "sensor_off"), bed(), True),
    ("TEC-1", "oximeter", bed(None, "sensor_off"), bed(link="lost"), False),  # that is its link's word
    ("TEC-1", "oximeter", bed(None, "sensor_off"), bed(None, "artifact"), False),
    ("TEC-2", "pump", bed(), bed(link="lost"), True),
])
def test_words_that_know_less_or_have_no_reason_leave_what_was_said(
    rule: str, device: str | None, then: BedState, now: BedState, keeps: bool,
) -> None:
    said, new = says(rule, then, device), says(rule, now, device)
    assert (says(rule, now, device, body=said).text == said.text) is (keeps or said.text == new.text)
    assert says(rule, now, device, body=msgspec.structs.replace(said, rule="RES-9")).text == new.text
    assert says(rule, now, device, body=msgspec.structs.replace(said, state="latched")).text == new.text
    fits = not no_longer_fits(RULES.named(rule), said, new.text, RuleContext(now, T0, device))
    assert fits is (keeps or said.text == new.text)


@pytest.mark.parametrize(("rule", "change", "superseded", "words"), [
    ("RES-2", {}, None, "Low oxygen saturation: over"), ("RES-2", {}, "RES", "Low oxygen saturation: see RES-3"),
    ("RES-2", {"entered_s": T0 - 1199.9}, None, "Low oxygen saturation: over"),
    ("RES-2", {"entered_s": T0 - 1200}, None, "Low oxygen saturation: entered at 07:40 UTC, and nothing known since"),
    ("RES-2", {"entered_s": T0 - 1260}, None, "Low oxygen saturation: entered at 07:39 UTC, and nothing known since"),
    ("TEC-1", {}, None, "No SpO₂: see TEC-4"),
])
def test_what_is_said_of_an_end_that_no_reading_made(
    rule: str, change: dict[str, Any], superseded: str | None, words: str,
) -> None:
    state = bed()
    state.alarms = {one: Alarm(one, one, "b", state="active") for one in ("RES-3", "TEC-4")}
    assert says(rule, state, superseded=superseded, state="inactive", **change).text == words


@pytest.mark.parametrize(("rule", "author"), [
    ("HTN-1", ", entered by nina at 08:00 UTC"), ("RES-2", ""), ("TEC-4", "")])
def test_who_has_entered_what_is_said(rule: str, author: str) -> None:
    body = says(rule, bed(88), "oximeter")
    assert ("entered by" in body.text, body.text.endswith(author)) == (bool(author), True)
    ages = [(one.metric, one.age_s) for one in body.evidence]
    assert ages == {"HTN-1": [("sbp_mmhg", 0), ("dbp_mmhg", 0)], "RES-2": [("spo2_pct", 0.2)], "TEC-4": []}[rule]


@pytest.mark.parametrize(("at_once", "limit"), [
    (False, "90 % for 15 s"), (True, RULES.named("RES-2").at_once_limit)])
def test_the_limit_of_what_fired(at_once: bool, limit: str) -> None:
    assert says("RES-2", bed(88), at_once=at_once).limit == limit
    assert says("RES-3", bed(88), at_once=at_once).limit == RULES.named("RES-3").limit
