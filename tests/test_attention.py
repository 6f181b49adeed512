"""Attention: who is told of an alarm and when, what is reminded of, comments, and alarms delegated to somebody else."""

from __future__ import annotations

from typing import Any

import pytest

from edge.app.hearing import Hearing
from edge.contract.events import AlarmTold, Delegated, Informed
from edge.contract.payloads import AlarmNow, State, ToldNow
from edge.core.bedside import Bedside
from edge.core.ladder import Ladder, Step
from edge.core.rules import RulesError, parse_rules
from edge.model import LinkChanged, Priority
from tests.helpers.bed_story import T0, BedStory, spo2, ticks
from tests.helpers.rule_files import FILE, RULES

TEXT = FILE.read_text()


def severe() -> BedStory:
    """Six seconds after the start of an infusion: 190/100, HTN-3, HIGH."""
    story = BedStory(long_step_s=2.0).infusing()
    story.bp(190, 100)
    return story


def seconds(story: BedStory, count: int) -> None:
    story.until((story.at_s - T0 + count) / 60)


def alarm_of(story: BedStory, rule: str) -> dict[str, Any]:
    return next(alarm for alarm in story.full()["alarms"] if alarm["rule"] == rule)


def acknowledge(story: BedStory, rule: str) -> None:
    seen = alarm_of(story, rule)
    assert story.reason(story.command("acknowledge", alarm=seen["alarm"], seq=seen["seq"])) == ""


def told(story: BedStory, rule: str) -> list[tuple[float, str, str | None]]:
    """Each step of this rule's ladder: seconds after the first one, who is told, who is next."""
    found = [(pending.at_s, body) for pending in story.pending_events
             if isinstance(body := pending.body, AlarmTold) and body.rule == rule]
    return [(at_s - found[0][0], body.who, body.next) for at_s, body in found]


def informed(story: BedStory) -> list[tuple[str, str]]:
    return [(body.what, body.text) for pending in story.pending_events if isinstance(body := pending.body, Informed)]


# --- the ladder -------------------------------------------------------------------------------------------------------

HIGH = [(0.0, "nurse", "prescriber"), (60.0, "prescriber", "box"), (120.0, "box", None)]


@pytest.mark.parametrize(("after_s", "steps"), [(0, 1), (59, 1), (60, 2), (119, 2), (120, 3)])
def test_a_high_alarm_that_nobody_acknowledges_climbs_its_ladder(after_s: int, steps: int) -> None:
    story = severe()
    seconds(story, after_s)
    assert told(story, "HTN-3") == HIGH[:steps]
    now = alarm_of(story, "HTN-3")
    assert [one["who"] for one in now["told"]] == [who for _, who, _ in HIGH[:steps]]
    assert now.get("next_told", {"who": None})["who"] == HIGH[steps - 1][2]


def test_an_acknowledgement_ends_the_ladder_and_who_was_told_is_kept() -> None:
    story = severe()
    seconds(story, 59)
    acknowledge(story, "HTN-3")
    seconds(story, 200)
    assert told(story, "HTN-3") == HIGH[:1]
    now = alarm_of(story, "HTN-3")
    assert "next_told" not in now and [one["who"] for one in now["told"]] == ["nurse"]


def test_a_rise_begins_the_ladder_of_the_higher_level_anew() -> None:
    story = BedStory().infusing()
    story.bp(150, 112)
    seconds(story, 50)
    assert told(story, "HTN-2") == [(0.0, "nurse", "nurse")]
    seconds(story, 11)
    story.bp(150, 121)
    seconds(story, 60)
    assert told(story, "HTN-3") == HIGH[:2]


def test_a_fall_goes_on_with_the_ladder_of_the_lower_level_and_tells_nobody_twice() -> None:
    story = severe()
    seconds(story, 61)
    story.bp(166, 104)
    seconds(story, 58)
    assert told(story, "HTN-2") == []
    seconds(story, 2)
    assert [who for _, who, _ in told(story, "HTN-2")] == ["nurse"], "120 s after it was announced"
    assert [one["who"] for one in alarm_of(story, "HTN-2")["told"]] == ["nurse", "prescriber", "nurse"]


def test_a_fall_keeps_the_acknowledgement_and_its_silence() -> None:
    story = severe()
    acknowledge(story, "HTN-3")
    seconds(story, 61)
    story.bp(166, 104)
    seconds(story, 80)
    assert alarm_of(story, "HTN-2")["signals"]["audio"] == "acknowledged"
    assert told(story, "HTN-2") == []


def test_an_alarm_of_the_equipment_has_its_own_ladder_and_none_while_it_is_shelved() -> None:
    story = BedStory().infusing()
    story.give(LinkChanged("cuff", "lost", "the cable is out"))
    seconds(story, 10)
    assert told(story, "TEC-4") == [(0.0, "nurse", "technician")]
    seen = alarm_of(story, "TEC-4")
    story.command("shelve", alarm=seen["alarm"], seq=seen["seq"], minutes=3, reason="the cuff is being changed")
    assert "next_told" not in alarm_of(story, "TEC-4")
    seconds(story, 179)
    assert len(told(story, "TEC-4")) == 1
    seconds(story, 1)
    assert told(story, "TEC-4")[1:] == [(180.0, "nurse", "technician")], "it is back: the ladder begins anew"
    seconds(story, 120)
    assert told(story, "TEC-4")[2:] == [(300.0, "technician", "box")]


def test_a_restart_goes_on_where_it_was() -> None:
    story = severe()
    seconds(story, 30)
    again = BedStory()
    vars(again).update(vars(story), bed=again.bed)
    again.bed.restore(story.bed.snapshot())
    seconds(again, 90)
    assert [who for _, who, _ in told(again, "HTN-3")] == ["nurse", "prescriber", "box"]


@pytest.mark.parametrize(("whose", "priority"), [((), "none"), (("nurse", "prescriber"), "none"),
                                                 (("nurse", "prescriber", "box"), "high")])
def test_the_box_sounds_what_its_ladder_has_brought_to_it(whose: tuple[str, ...], priority: Priority) -> None:
    hearing = Hearing(("main",), ("chair-1",), 0.0)
    alarm = AlarmNow(alarm="a", rule="HTN-3", state="active", priority="high", since="", seq=7, text="",
                     told=tuple(ToldNow(who=who, at="") for who in whose))
    hearing.bed(State(edge="clinic-1", bed="chair-1", at="", seq=9, boot="b1", alarms=[alarm]), 0.0)
    assert hearing.wanted() == priority


# --- information ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("after_s", "times"), [(149, 0), (150, 1), (299, 1), (300, 2)])
def test_what_stands_acknowledged_is_reminded_of(after_s: int, times: int) -> None:
    story = severe()
    acknowledge(story, "HTN-3")
    seconds(story, after_s)
    says = ("reminder", "Acknowledged, and not over: Blood pressure 190/100 mmHg: severe hypertension")
    assert informed(story) == [says] * times


def test_one_reminder_names_all_and_what_is_over_is_not_reminded_of() -> None:
    story = BedStory().infusing()
    story.bp(190, 100)
    acknowledge(story, "HTN-3")
    seconds(story, 100)
    for _ in range(12):
        spo2(story, 84.0)
    acknowledge(story, "RES-3")
    story.spo2 = 84.0
    seconds(story, 40)
    assert [text for _, text in informed(story)] == [
        "Acknowledged, and not over: Blood pressure 190/100 mmHg: severe hypertension; SpO₂ 84 %: very low oxygen"
        " saturation"]
    story.bp(120, 75)
    acknowledge_left = [alarm["rule"] for alarm in story.full()["alarms"] if alarm["state"] == "acknowledged"]
    assert acknowledge_left == ["RES-3"]
    seconds(story, 150)
    assert "Blood pressure" not in informed(story)[-1][1]


@pytest.mark.parametrize(("after_s", "shown"), [(59, True), (60, False)])
def test_the_end_of_an_infusion_is_said_for_information_and_shown_for_a_while(after_s: int, shown: bool) -> None:
    story = BedStory().infusing()
    story.pump = "stopped"
    seconds(story, 5)
    assert informed(story) == []
    story.command("end_infusion", reason="the patient wishes it")
    (said,) = informed(story)
    assert said[0] == "infusion_ended" and said[1].startswith("The infusion has ended")
    ticks(story, after_s)
    assert ("information" in story.full()) is shown


# --- a comment --------------------------------------------------------------------------------------------------------


def test_a_comment_stays_with_its_alarm_in_one_line_and_ends_with_it() -> None:
    story = severe()
    seen = alarm_of(story, "HTN-3")
    assert story.reason(story.command("comment", alarm=seen["alarm"], comment="pale,\n\u202e and\x07 cold ")) == ""
    seconds(story, 61)
    story.bp(166, 104)
    assert [(one["text"], one["by"]) for one in alarm_of(story, "HTN-2")["comments"]] == [("pale, and cold", "nina")]
    story.bp(120, 75)
    assert story.reason(story.command("comment", alarm=seen["alarm"], comment="better")) == "", "it has just ended"
    story.bp(190, 100)
    assert "comments" not in alarm_of(story, "HTN-3")


def test_a_comment_on_what_is_not_there_is_refused() -> None:
    assert severe().reason(severe().command("comment", alarm="nobody's", comment="pale")) == "moved_on"


def test_an_alarm_keeps_its_last_twenty_comments() -> None:
    story = severe()
    seen = alarm_of(story, "HTN-3")
    for number in range(22):
        story.command("comment", alarm=seen["alarm"], comment=f"number {number}")
    assert [one["text"] for one in alarm_of(story, "HTN-3")["comments"]] == [f"number {n}" for n in range(2, 22)]


# --- delegation -------------------------------------------------------------------------------------------------------


def delegated(story: BedStory, to: str = "Dr Hall", minutes: float = 10) -> str:
    return story.reason(story.command("delegate", to=to, minutes=minutes, reason="a second bed"))


def test_who_alarms_are_delegated_to_is_told_first_and_the_nurse_soon_after() -> None:
    story = BedStory().infusing()
    assert delegated(story) == ""
    story.bp(190, 100)
    seconds(story, 120)
    assert told(story, "HTN-3") == [(0.0, "Dr Hall", "nurse"), (30.0, "nurse", "prescriber"),
                                    (60.0, "prescriber", "box"), (120.0, "box", None)]


def test_what_stands_already_is_told_to_them_at_once() -> None:
    story = severe()
    seconds(story, 40)
    delegated(story)
    assert [(at_s, who) for at_s, who, _ in told(story, "HTN-3")] == [(0.0, "nurse"), (40.0, "Dr Hall")]
    seconds(story, 20)
    assert told(story, "HTN-3")[2:] == [(60.0, "prescriber", "box")]


@pytest.mark.parametrize(("after_s", "over"), [(59, False), (60, True)])
def test_a_delegation_returns_by_itself(after_s: int, over: bool) -> None:
    story = BedStory().infusing()
    delegated(story, minutes=1)
    seconds(story, after_s)
    assert ("delegation" not in story.full()) is over
    assert ([said for said in informed(story) if said[0] == "delegation"] != []) is over
    ends = [body.why for pending in story.pending_events if isinstance(body := pending.body, Delegated)][1:]
    assert ends == (["its time is up"] if over else [])


def test_a_delegation_ends_with_the_session_and_by_a_person() -> None:
    story = BedStory().infusing()
    delegated(story)
    story.pump = "stopped"
    seconds(story, 5)
    story.command("close_session", reason="the patient went to the ward")
    assert "delegation" not in story.full()
    assert delegated(story) == ""
    assert story.reason(story.command("undelegate")) == ""
    assert story.reason(story.command("undelegate")) == "not_now: the alarms of this bed are not delegated"


def test_to_the_role_that_is_told_first_nothing_changes() -> None:
    story = BedStory().infusing()
    delegated(story, "nurse")
    story.bp(190, 100)
    seconds(story, 120)
    assert told(story, "HTN-3") == HIGH


# --- the table [attention] --------------------------------------------------------------------------------------------

REFUSED = [
    ('role = "prescriber"', 'role = "doctor"',
     "role must be one of 'nurse', 'prescriber', 'technician', 'box', not 'doctor'"),
    ("after_s = 60 }", "after_s = 120 }", "each step must come later than the one before it"),
    ('class = "technical"\nsteps', "steps", "'medium' has a ladder already; write its steps there"),
    ('rules = ["INF", ', 'rules = ["INV", ', "no rule is named 'INV'; did you mean 'INF'"),
    ("remind_after_s = 150", "remind_after = 150", "no key 'remind_after' in [attention]"),
    ("remind_after_s = 150", "remind_after_s = -1", "remind_after_s must be seconds, 0 to 86400, not -1"),
    ('priority = "high"\nsteps', 'priority = "none"\nsteps',
     "priority must be one of 'high', 'medium', 'low', not 'none'"),
]


@pytest.mark.parametrize(("was", "now", "says"), REFUSED)
def test_what_is_wrong_is_refused_with_its_line(was: str, now: str, says: str) -> None:
    assert was in TEXT
    with pytest.raises(RulesError) as wrong:
        parse_rules(TEXT.replace(was, now, 1))
    line = TEXT[:TEXT.index(was)].count("\n") + 1
    assert says in str(wrong.value)
    found = int(str(wrong.value).split(":")[1])
    assert line - 2 <= found <= line + 3, wrong.value


def test_without_the_table_nobody_is_told_twice() -> None:
    before, after = TEXT.index("[attention]"), TEXT.index("[[rule]]")
    bare = parse_rules(TEXT[:before] + TEXT[after:])
    story = severe()
    story.bed = Bedside("chair-1", [(name, device.kind, device.driver) for name, device in
                                    story.bed.state.devices.items()], bare)
    story.give(LinkChanged("cuff", "live"))
    story.bp(190, 100)
    seconds(story, 200)
    assert story.full()["alarms"][0]["state"] == "active"
    assert [pending for pending in story.pending_events if pending.at_s > T0 + 6 and pending.kind == "attention"] == []
    assert delegated(story).startswith("not_now: rules.toml does not say")


def test_the_ladder_of_a_rule_comes_before_that_of_a_class_and_this_before_that_of_any() -> None:
    attention = RULES.attention
    assert attention.ladder_of("medium", "technical", "TEC-4")[1] == Step("technician", 120)
    assert attention.ladder_of("medium", "physiological", "HTN-2")[1] == Step("nurse", 120)
    assert attention.ladder_of("low", "physiological", "HTN-1") == ()
    for rule in ("INF-1", "PRO-1", "DIS-6"):  # a pump against its order is no technician's
        assert attention.ladder_of("medium", "technical", rule)[1] == Step("nurse", 120)
    assert isinstance(attention.ladders[0], Ladder)
