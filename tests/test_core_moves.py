"""How an alarm moves and what is published of it, of a bed that is written down: each at its limits."""

from __future__ import annotations

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
