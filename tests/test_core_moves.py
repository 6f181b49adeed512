"""How an alarm moves and what is published of it, of a bed that is written down: each at its limits."""

from __future__ import annotations

from dataclasses import replace as changed
from typing import Any

import pytest
from msgspec.structs import replace

from edge.contract.events import AlarmMoved
from edge.core import transitions
from edge.core.alarms import Alarm, Comment
from edge.core.context import RuleContext
from edge.core.logic import Truth
from edge.core.state import BedState, Device, LatestValue, Order, Session
from edge.core.transitions import Judged
from edge.model import AlarmPhase, AlarmState, Priority
from tests.helpers.rule_files import PROTOCOLS, RULES

NOW = 1_800_000_000.0
SLOW = RULES.named("RES-4")  # breathing
APART_S = RULES.engine.update_apart_s


def bed(breaths: float = 6.0, **change: Any) -> tuple[BedState, Alarm]:
    """Breathing was 6 a minute when its alarm was told, as long ago as another text may follow; now it is so many."""
    session = Session("s", "b", Order("iv_racemic_40", 70, 0.5, 40, 1.0), "INFUSING", NOW, NOW, "nina", started_s=NOW)
    state = BedState("b", engine=RULES.engine, protocols=PROTOCOLS, session=session,
                     devices={"monitor": Device("monitor", "m", link="live")})
    state.latest["resp_bpm"] = LatestValue("monitor", 6.0, "valid", None, NOW, 6.0, NOW)
    alarm = Alarm("RES-4", "RES-4", "b", id="b.RES-4.1", state="active", priority=SLOW.priority, true_since_s=NOW - 60)
    transitions.publish(state, SLOW, alarm, "pending", RuleContext(state, NOW))
    alarm = replace(state.alarms["RES-4"], **{"told_s": NOW - APART_S, **change})
    state.alarms, state.latest["resp_bpm"] = {"RES-4": alarm}, LatestValue(
        "monitor", breaths, "valid", None, NOW, breaths, NOW)
    return state, alarm


def follow(state: BedState, alarm: Alarm, judged: Judged) -> list[Any]:
    return [pending.body for pending in transitions.follow(state, SLOW, alarm, RuleContext(state, NOW), judged)]


@pytest.mark.parametrize(("breaths", "told_s", "truth", "levels", "says"), [
    (5, APART_S, True, True, ["Respiration 5 /min: slow breathing"]), (5, APART_S - 0.1, True, True, []),
    (6, APART_S, True, True, []), (7, APART_S, True, True, []), (5, APART_S, None, True, []),
    (5, APART_S, False, True, ["Respiration 5 /min: slow breathing"]), (5, APART_S, True, False, []),
])
def test_the_words_of_an_alarm_follow_a_worse_number(
    breaths: float, told_s: float, truth: Truth, levels: bool, says: list[str],
) -> None:
    state, alarm = bed(breaths, told_s=NOW - told_s, announced_s=NOW - 9)
    state.engine = replace(state.engine, levels=levels)
    found = follow(state, alarm, Judged(None, truth))
    assert [one.text for one in found] == says and {one.alarm_phase for one in found} <= {"update"}
    now = state.alarms["RES-4"]
    assert (now.no_data, now.no_data_since_s) == (truth is None, NOW if truth is None else None)
    assert (now.announced_s, now.state) == (NOW - 9, "active"), "it is no other alarm"


def test_since_when_nothing_is_known_stands_still() -> None:
    state, alarm = bed(no_data=True, no_data_since_s=NOW - 9)
    follow(state, alarm, Judged(None, None))
    assert state.alarms["RES-4"].no_data_since_s == NOW - 9


PUBLISHED: list[tuple[AlarmState, Priority, AlarmPhase, bool, bool]] = [
    # how it stands and sounds until somebody acknowledges it; the move; who was told keeps, and what was said
    ("active", "none", "update", True, True), ("active", "none", "deescalate", True, True),
    ("active", "none", "escalate", False, True), ("active", "none", "continue", False, True),
    ("active", "none", "start", False, False), ("latched", "high", "end", True, True),
    ("latched", "none", "end", False, True), ("inactive", "none", "end", False, True),
]


@pytest.mark.parametrize(("now", "kept", "phase", "told", "said"), PUBLISHED)
def test_who_was_told_is_told_anew_of_what_is_new(
    now: AlarmState, kept: Priority, phase: AlarmPhase, told: bool, said: bool,
) -> None:
    state, alarm = bed()
    alarm = replace(alarm, state=now, kept_sound=kept, announced_s=NOW - 9, reminded_s=NOW - 5,
                    comments=(Comment(NOW - 7, "nina", "seen"),))
    event = transitions.publish(state, SLOW, alarm, "active", RuleContext(state, NOW), alarm_phase=phase)
    assert isinstance(event.body, AlarmMoved) and event.body.alarm_phase == phase
    kept_now = state.alarms["RES-4"]
    assert (kept_now.announced_s, kept_now.reminded_s) == ((NOW - 9, NOW - 5) if told else (None, None))
    assert (len(kept_now.comments) == 1) is said


@pytest.mark.parametrize(("was", "now", "before", "phase"), [
    ("latched", "inactive", "high", "reset"), ("active", "inactive", "high", "end"),
    ("active", "latched", "high", "end"), ("pending", "active", None, "start"), ("latched", "active", "high", "start"),
    ("active", "active", "low", "escalate"), ("active", "acknowledged", "medium", "continue"),
    ("acknowledged", "active", "high", "continue"), ("active", "active", "medium", "update"),
])
def test_what_a_move_is_called(
    was: AlarmState, now: AlarmState, before: Priority | None, phase: AlarmPhase,
) -> None:
    state, alarm = bed()
    assert alarm.body is not None
    alarm = replace(alarm, state=now, priority="medium",
                    body=None if before is None else replace(alarm.body, priority=before))
    event = transitions.publish(state, SLOW, alarm, was, RuleContext(state, NOW))
    assert isinstance(event.body, AlarmMoved)
    assert (event.body.alarm_phase, event.body.level) == (phase, 2)


def test_an_alarm_that_is_over_lacks_no_data() -> None:
    state, _ = bed()
    rule = RULES.named("CAR-4")
    alarm = Alarm("CAR-4", "CAR-4", "b", id="b.CAR-4.1", state="active", priority="high", no_data=True,
                  no_data_since_s=NOW - 9, true_since_s=NOW - 60)
    state.alarms = {"CAR-4": alarm}
    list(transitions.follow(state, rule, alarm, RuleContext(state, NOW), Judged("clear", truth=False)))
    over = state.alarms["CAR-4"]
    assert (over.state, over.no_data, over.no_data_since_s) == ("latched", False, None)


def test_an_alarm_that_becomes_active_ends_a_pause_and_says_what_made_it_so() -> None:
    state, alarm = bed(state="pending", id="", quiet_to="high")
    state.audio_paused_until_s = NOW + 60
    moved = follow(state, alarm, Judged("held", truth=True, at_once=True, entered_s=NOW - 3))
    now = state.alarms["RES-4"]
    assert [type(one).__name__ for one in moved] == ["AudioMoved", "AlarmMoved"] and state.audio_paused_until_s is None
    assert (now.state, now.at_once, now.entered_s, now.quiet_to) == ("active", True, NOW - 3, "none")
    assert (now.id, now.since_s) == ("b.RES-4.1", NOW)


# --- one cause, under another name ------------------------------------------------------------------------------------

LOST = changed(RULES.named("TEC-4"), escalations=())  # low; it goes on where TEC-1 has told of the same
Was = tuple[str, str, AlarmState, Priority, Priority]  # rule, device, how it stands, its priority, and quiet up to
ONE: Was = ("TEC-1", "oximeter", "active", "low", "none")
HANDED: list[tuple[str, list[Was], AlarmState, str | None]] = [  # what has told, and how it goes on; of whom it has it
    ("nothing", [], "active", None), ("the same cause", [ONE], "active", "TEC-1"),
    ("one that is over", [("TEC-1", "oximeter", "inactive", "low", "none")], "active", None),
    ("another cause", [("TEC-2", "oximeter", "active", "high", "none")], "active", None),
    ("of another device", [("TEC-1", "cuff", "active", "high", "none")], "active", None),
    ("less urgent", [("TEC-1", "oximeter", "active", "none", "none")], "active", None),
    ("quiet up to that", [("TEC-1", "oximeter", "active", "none", "low")], "active", "TEC-1"),
    ("more urgent", [("TEC-1", "oximeter", "active", "high", "none")], "active", "TEC-1"),
    ("acknowledged", [("TEC-1", "oximeter", "acknowledged", "low", "none")], "acknowledged", "TEC-1"),
    ("one that sounds, before one that is acknowledged",
     [("TEC-1", "oximeter", "acknowledged", "low", "none"), ("TEC-10", "oximeter", "active", "low", "none")], "active",
     "TEC-10"),
]


@pytest.mark.parametrize(("told", "now", "of"), [row[1:] for row in HANDED], ids=[row[0] for row in HANDED])
def test_who_was_told_of_a_cause_is_not_told_anew_under_another_name(
    told: list[Was], now: AlarmState, of: str | None,
) -> None:
    state, _ = bed()
    state.devices["oximeter"] = Device("oximeter", "o")
    state.alarms = {f"{rule}:{device}": Alarm(
        f"{rule}:{device}", rule, "b", device=device, state=stands, priority=priority, quiet_to=quiet, by=f"who {rule}",
        announced_s=NOW - len(rule)) for rule, device, stands, priority, quiet in told}
    state.audio_paused_until_s = NOW + 60
    alarm = Alarm("TEC-4:oximeter", "TEC-4", "b", device="oximeter", state="pending", true_since_s=NOW - 9)
    list(transitions.follow(state, LOST, alarm, RuleContext(state, NOW, "oximeter"), Judged("held", truth=True)))
    found = state.alarms["TEC-4:oximeter"]
    assert (found.state, found.announced_s) == (now, None if of is None else NOW - len(of))
    assert (state.audio_paused_until_s is None) is (of is None), "a pause ends for what is new"
    assert found.by == ("who TEC-1" if now == "acknowledged" else None)


def test_a_group_s_new_alarm_has_a_name_of_its_own_and_lacks_no_data() -> None:
    state, alarm = bed(no_data=True, no_data_since_s=NOW - 9, by="nina", acknowledged_at_s=NOW - 9)
    list(transitions.start(state, SLOW, alarm, "inactive", RuleContext(state, NOW), at_once=True))
    now = state.alarms["RES-4"]
    assert (now.id, now.no_data, now.no_data_since_s, now.by, now.at_once, now.since_s) == (
        "b.RES-4.1", False, None, None, True, NOW)


@pytest.mark.parametrize(("now", "trigger", "since_s"), [
    ("inactive", "clear", None), ("latched", "clear", None), ("active", None, NOW - 60)])
def test_a_hold_that_ends_unnoticed_begins_anew(now: AlarmState, trigger: Any, since_s: float | None) -> None:
    state, alarm = bed(state=now, true_since_s=NOW - 60)
    assert follow(state, alarm, Judged(trigger, trigger is None)) == []
    assert state.alarms["RES-4"].true_since_s == since_s


@pytest.mark.parametrize(("was", "quiet", "now"), [
    ("low", "none", "active"), ("medium", "none", "acknowledged"), ("high", "none", "acknowledged"),
    ("low", "medium", "acknowledged"), ("none", "low", "active"),
])
def test_what_is_more_urgent_than_what_was_acknowledged_is_announced(
    was: Priority, quiet: Priority, now: AlarmState,
) -> None:
    state, alarm = bed(state="acknowledged", priority=was, quiet_to=quiet)
    state.audio_paused_until_s = NOW + 60
    rule = changed(SLOW, priority="medium", escalations=())
    list(transitions.follow(state, rule, alarm, RuleContext(state, NOW), Judged(None, truth=True)))
    assert state.alarms["RES-4"].state == now
    assert (state.audio_paused_until_s is None) is (now == "active")


@pytest.mark.parametrize(("was", "by", "since_s"), [
    ("active", "RES-5", NOW - 60), ("active", None, None), ("pending", "RES-5", None)])
def test_a_lower_tier_that_is_taken_over_keeps_its_hold(was: AlarmState, by: str | None, since_s: float | None) -> None:
    state, alarm = bed(state=was, true_since_s=NOW - 60)
    list(transitions.follow(state, SLOW, alarm, RuleContext(state, NOW), Judged("clear", truth=False), superseded=by))
    assert state.alarms["RES-4"].state in ("inactive", "latched") and state.alarms["RES-4"].true_since_s == since_s


@pytest.mark.parametrize(("stood", "text", "own", "since_s"), [
    ("active", None, False, NOW - 99), ("active", "other words", False, NOW), ("inactive", None, False, NOW),
    ("active", "other words", True, NOW - 99),
])
def test_since_when_an_alarm_has_said_so(stood: AlarmState, text: str | None, own: bool, since_s: float) -> None:
    state, alarm = bed()
    assert alarm.body is not None
    body = replace(alarm.body, state=stood, text=text or alarm.body.text)
    transitions.publish(state, SLOW, replace(alarm, body=body, text_s=NOW - 99), "active", RuleContext(state, NOW),
                        body=alarm.body if own else None)
    assert state.alarms["RES-4"].text_s == since_s
