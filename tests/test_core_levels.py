"""One alarm a group, with a level: how its moves are called, what is signalled, and what an acknowledgement hits."""

from __future__ import annotations

from typing import Any

import pytest

from edge.contract.events import AlarmMoved
from edge.core import levels
from edge.core.alarms import Alarm
from edge.core.bedside import Bedside
from edge.core.rules import parse_rules
from edge.core.state import BedState
from edge.core.transitions import Judged
from tests.helpers.bed_story import DEVICES, BedStory, alarms_in, spo2
from tests.helpers.rule_files import FILE, RULES


def pressures(story: BedStory, *readings: tuple[float, float], every_s: float = 300) -> BedStory:
    for sbp, dbp in readings:
        story.at_s += every_s
        story.bp(sbp, dbp)
    return story


def moves(story: BedStory, group: str = "HTN") -> list[str]:
    return [f"{body.rule} {body.alarm_phase} {body.level}" for body in alarms_in(story.pending_events)
            if body.rule.startswith(group)]


def now(story: BedStory) -> dict[str, Any]:
    (alarm,) = [alarm for alarm in story.full()["alarms"] if alarm["rule"].startswith("HTN")]
    return dict(alarm)


def test_a_rise_a_worse_number_and_a_fall_are_one_alarm() -> None:
    story = pressures(BedStory().infusing(), (150, 90), (152, 91), (165, 95), (166, 96), (172, 99), (149, 91),
                      (125, 78))
    assert moves(story) == ["HTN-1 start 1", "HTN-1 update 1", "HTN-2 escalate 2", "HTN-2 update 2",
                            "HTN-1 deescalate 1", "HTN-2 end 2"]
    assert len({body.alarm for body in alarms_in(story.pending_events) if body.rule.startswith("HTN")}) == 1


OF_THE_ALARM = ("id", "state", "priority", "seq", "heard_seq", "body", "worst", "kept_sound", "no_data",
                "no_data_since_s", "acknowledged_at_s", "by", "about")


def test_a_level_that_hands_over_keeps_nothing_of_the_alarm() -> None:
    story = pressures(BedStory().infusing(), (185, 99))
    alarm = now(story)
    assert story.reason(story.command("acknowledge", alarm=alarm["alarm"], seq=alarm["seq"])) == ""
    left, blank = pressures(story, (152, 91)).bed.state.alarms["HTN-3"], Alarm("HTN-3", "HTN-3", "chair-1")
    assert [getattr(left, name) for name in OF_THE_ALARM] == [getattr(blank, name) for name in OF_THE_ALARM]


def test_a_change_of_words_does_not_refuse_the_acknowledgement_of_what_was_heard_and_a_rise_does() -> None:
    story = pressures(BedStory().infusing(), (150, 90), (152, 91))
    seen = now(story)
    pressures(story, (155, 92))
    assert now(story)["seq"] > seen["seq"], "the words have changed"
    assert story.reason(story.command("acknowledge", alarm=seen["alarm"], seq=seen["seq"])) == ""
    seen = now(story)
    pressures(story, (166, 95), (168, 96))
    assert story.reason(story.command("acknowledge", alarm=seen["alarm"], seq=seen["seq"])) == "moved_on"


def test_a_rise_ends_a_pause_of_the_sound_and_a_fall_does_not() -> None:
    story = pressures(BedStory().infusing(), (150, 90), (152, 91))
    story.command("audio_pause")
    pressures(story, (185, 99), every_s=60)
    assert story.full()["audio_paused_until"] is None
    story.command("audio_pause")
    pressures(story, (152, 91), every_s=60)
    assert story.full()["audio_paused_until"] is not None


def test_what_is_signalled_is_apart_from_the_condition() -> None:
    story = BedStory().infusing().until(3)
    story.bp(185, 99)
    assert now(story)["signals"] == {"audio": "on", "visual": "on", "remote": "on"}
    story.command("audio_pause")
    assert now(story)["signals"] == {"audio": "paused", "visual": "on", "remote": "on"}
    story.command("audio_resume")
    pressures(story, (125, 78))
    assert now(story)["signals"] == {"audio": "off", "visual": "latched", "remote": "latched"}
    pressures(story, (186, 99))
    alarm = now(story)
    story.command("acknowledge", alarm=alarm["alarm"], seq=alarm["seq"])
    assert set(now(story)["signals"].values()) == {"acknowledged"}


def test_a_level_that_has_fallen_stands_beside_until_somebody_acknowledges() -> None:
    story = pressures(BedStory().infusing(), (185, 99), (152, 91))
    alarm = now(story)
    assert (alarm["rule"], alarm["level"], alarm["worst"]["rule"], alarm["worst"]["priority"]) == (
        "HTN-1", 1, "HTN-3", "high")
    assert "185/99" in alarm["worst"]["text"]
    story.command("acknowledge", alarm=alarm["alarm"], seq=alarm["seq"])
    assert "worst" not in now(story)


SEVERE, RAISED, HIGH, WELL = (185.0, 99.0), (152.0, 91.0), (165.0, 95.0), (120.0, 75.0)


@pytest.mark.parametrize(("readings", "level", "was", "worst"), [
    ((SEVERE, RAISED), "HTN-1", "active", "HTN-3"),
    ((SEVERE, RAISED, RAISED, HIGH, HIGH), "HTN-2", "active", "HTN-3"),  # a rise that is not up to it
    ((SEVERE, RAISED, RAISED, HIGH, SEVERE), "HTN-3", "active", None),
    ((SEVERE, WELL, RAISED, RAISED), "HTN-1", "latched", "HTN-3"),  # a new alarm, beside the picture of the old one
    ((SEVERE, WELL, SEVERE), "HTN-3", "latched", None),
])
def test_the_worst_stands_beside_a_lower_level(
    readings: tuple[tuple[float, float], ...], level: str, was: str, worst: str | None,
) -> None:
    alarm = now(pressures(BedStory().infusing(), *readings))
    assert (alarm["rule"], alarm["was"], alarm.get("worst", {}).get("rule")) == (level, was, worst)


def test_an_alarm_that_ends_beside_the_picture_of_an_older_one_ends_under_its_own_id() -> None:
    story = pressures(BedStory().infusing(), SEVERE, WELL, RAISED, RAISED, WELL)
    told = [(body.alarm.removeprefix("chair-1."), body.was, body.state) for event in story.pending_events
            if isinstance(body := event.body, AlarmMoved) and body.rule.startswith("HTN-")]
    assert told == [("HTN-3.1", "inactive", "active"), ("HTN-3.1", "active", "latched"),
                    ("HTN-1.2", "latched", "active"), ("HTN-1.2", "active", "latched")]
    picture = now(story)
    assert (picture["alarm"], "185/99" in picture["text"]) == ("chair-1.HTN-1.2", True)
    assert story.reason(story.command("acknowledge", alarm=picture["alarm"], seq=picture["seq"])) == ""


def test_nothing_stands_beside_a_level_where_somebody_had_acknowledged_the_higher_one() -> None:
    story = pressures(BedStory().infusing(), SEVERE)
    story.command("acknowledge", alarm=now(story)["alarm"], seq=now(story)["seq"])
    fallen = now(pressures(story, RAISED))
    assert (fallen["rule"], fallen["state"], "worst" in fallen) == ("HTN-1", "acknowledged", False)


def test_what_latches_with_its_sound_sounds_on_at_a_lower_level_and_when_it_is_over() -> None:
    story = pressures(BedStory().infusing(), SEVERE)
    severe = story.bed.state.alarms["HTN-3"]
    story.command("check_in", symptoms=["chest_pain"])
    assert (severe.sound, story.bed.state.alarms["HTN-4"].sound) == ("high", "high")
    story.command("check_in", gone=["chest_pain"])
    low = pressures(story, RAISED, RAISED).bed.state.alarms["HTN-1"]
    assert (low.priority, low.sound, low.announced_s is None) == ("low", "high", False)
    over = pressures(story, WELL).bed.state.alarms["HTN-4"]
    assert (over.state, over.sound, over.announced_s) == ("latched", "high", low.announced_s), "its ladder goes on"
    story.command("acknowledge", alarm=over.id, seq=over.seq)
    assert story.bed.state.alarms["HTN-4"].sound == "none"
    over = pressures(story, SEVERE, WELL).bed.state.alarms["HTN-3"]
    assert (over.state, over.sound, over.announced_s) == ("latched", "none", None)


def test_an_alarm_kept_by_silence_says_since_when() -> None:
    story = BedStory().infusing()
    for _ in range(20):
        spo2(story, 80)
    quiet_s = story.at_s
    for _ in range(4):
        spo2(story, None, "invalid")
    (alarm,) = [alarm for alarm in story.full()["alarms"] if alarm["rule"].startswith("RES")]
    assert alarm["no_data"]
    assert 0 < story.at_s - quiet_s < 10
    assert alarm["no_data_since"] is not None


def test_each_level_has_its_own_hold_and_its_own_clear_under_a_higher_one() -> None:
    """RES-2 begins with its 50 saturation seconds, RES-3 after 10 s below 85 %; 88 % for 10 s ends RES-3 alone."""
    story = BedStory().infusing()
    for value, seconds in ((80, 10), (86, 6), (88, 10), (95, 11)):
        for _ in range(seconds):
            spo2(story, value)
    assert [move for move in moves(story, "RES") if "update" not in move] == [
        "RES-2 start 2", "RES-3 escalate 3", "RES-2 deescalate 2", "RES-3 end 3"]


def test_since_when_it_is_true_is_known_of_what_must_hold_and_of_what_counts_at_once() -> None:
    story = BedStory().infusing()
    story.bp(186, 100)
    pressure_s = story.at_s
    spo2(story, 84)
    low_s = story.at_s
    spo2(story, None)
    spo2(story, 84)
    alarms = story.bed.state.alarms
    assert (alarms["HTN-3"].true_from_s, alarms["RES-3"].true_from_s) == (pressure_s, low_s)
    spo2(story, 97)
    assert alarms["RES-3"].true_from_s is None


def test_a_snapshot_carries_the_level_over_and_rules_without_levels_know_none() -> None:
    story = pressures(BedStory().infusing(), (185, 99), (152, 91))
    twin = Bedside("chair-1", DEVICES, story.bed.rules)
    twin.restore(story.bed.snapshot())
    assert twin.state == story.bed.state
    assert isinstance(twin.state, BedState)
    before = BedStory()
    before.bed = Bedside("chair-1", DEVICES, parse_rules(FILE.read_text().replace("levels = true", "levels = false")))
    before.bed.restore(BedStory().infusing().bed.snapshot())
    before.at_s = BedStory().infusing().at_s
    pressures(before, (185, 99), (152, 91))
    assert {alarm["rule"]: alarm["state"] for alarm in before.full()["alarms"] if alarm["rule"].startswith("HTN")} == {
        "HTN-3": "latched", "HTN-1": "active"}
    assert not any("level" in alarm for alarm in before.full()["alarms"])


@pytest.mark.parametrize(("after_s", "state"), [(599, "acknowledged"), (600, "active")])
def test_an_acknowledgement_of_a_level_is_over_after_ten_minutes(after_s: float, state: str) -> None:
    story = pressures(BedStory().infusing(), SEVERE)
    assert story.reason(story.command("acknowledge", alarm=now(story)["alarm"], seq=now(story)["seq"])) == ""
    pressures(story, SEVERE, every_s=after_s)
    assert (now(story)["rule"], now(story)["state"]) == ("HTN-3", state)


# --- how a tier stands ------------------------------------------------------------------------------------------------

TIMED: dict[str, Any] = {"true_since_s": 5.0, "clear_since_s": 6.0, "unknown_since_s": 7.0}


@pytest.mark.parametrize(("alarm", "trigger", "on", "state", "timers"), [
    (None, "clear", False, None, None), (None, "true", False, None, None),
    (None, "held", True, "inactive", (None, None, None)),
    ({"state": "pending"}, "held", True, "inactive", (5, None, None)),
    ({"state": "pending"}, "true", False, "pending", (5, 6, 7)),
    ({}, "true", False, "pending", (5, 6, 7)), ({"on": True}, "unknown", True, "inactive", (5, 6, 7)),
    ({"on": True}, None, True, "inactive", (5, 6, 7)), ({"on": True}, "clear", False, "inactive", (None, None, None)),
    ({"state": "active"}, None, True, "active", (5, 6, 7)),
    ({"state": "active"}, "clear", False, "active", (None, None, None)),
    ({"state": "latched"}, "held", True, "latched", (5, None, None)), ({}, None, False, "inactive", (5, 6, 7)),
])
def test_how_a_tier_stands_after_it_was_judged(
    alarm: dict[str, Any] | None, trigger: Any, on: bool, state: str | None, timers: tuple[float | None, ...] | None,
) -> None:
    bed = BedState("b")
    if alarm is not None:
        bed.alarms = {"HTN-3": Alarm("HTN-3", "HTN-3", "b", **{**TIMED, **alarm})}
    assert levels.settle(bed, RULES.named("HTN-3"), Judged(trigger, at_once=True, entered_s=9.0)) is on
    if state is None:
        assert bed.alarms == {}
        return
    kept = bed.alarms["HTN-3"]
    assert (kept.state, kept.on, kept.at_once, kept.entered_s) == (
        state, on, trigger == "held", 9 if trigger == "held" else None)
    assert (kept.true_since_s, kept.clear_since_s, kept.unknown_since_s) == timers


@pytest.mark.parametrize("known", [True, False])
def test_the_record_that_an_alarm_moves_to_keeps_its_own_timers(known: bool) -> None:
    state = BedState("b", alarms={"HTN-3": Alarm("HTN-3", "HTN-3", "b", id="a", state="active", since_s=3.0)})
    if known:
        state.alarms["HTN-1"] = Alarm("HTN-1", "HTN-1", "b", on=True, **TIMED)
    now = levels._moved(state, "HTN-3", "HTN-1")
    assert (now.key, now.id, now.state, now.since_s, now.on) == ("HTN-1", "a", "active", 3, known)
    assert (now.true_since_s, now.clear_since_s, now.unknown_since_s) == ((5, 6, 7) if known else (None,) * 3)
    assert (state.alarms["HTN-3"].state, state.alarms["HTN-3"].id) == ("inactive", "")
