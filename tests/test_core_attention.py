"""Attention, second by second: which step of a ladder is due, what is reminded of, and how a delegation stands."""

from __future__ import annotations

import dataclasses
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from edge.contract.commands import CommentAlarm, Delegate
from edge.contract.events import AlarmTold, Delegated, Informed, PendingEvent, PhaseMoved
from edge.core import attention, audio
from edge.core.alarms import Alarm, Comment, Delegation, Information, Told
from edge.core.ladder import Attention, Ladder, Step
from edge.core.state import BedState, Shelf
from edge.model import AlarmState, Command
from tests.helpers.bed_story import BedStory
from tests.helpers.rule_files import RULES

NOW = 1_800_000_000.0
HIGH = Ladder("high", (Step("nurse", 0), Step("prescriber", 60), Step("box", 90)))
STEPS = {step.role: number for number, step in enumerate(HIGH.steps, 1)}
BY = dataclasses.replace(RULES, attention=Attention(
    (HIGH,), remind_after_s=120, information_for_s=300, delegated_for_s=45))


@pytest.fixture(scope="module")
def severe() -> Alarm:
    """HTN-3, as it stands before anybody was told."""
    story = BedStory().infusing()
    story.bp(186, 100)
    return replace(story.bed.state.alarms["HTN-3"], announced_s=None, climbed_s=0.0, told=(), next_told=None)


def bed(*alarms: Alarm, shelved: bool = False) -> BedState:
    state = BedState("b", alarms={alarm.key: alarm for alarm in alarms})
    if shelved:
        state.shelves = {one.key: Shelf(one.key, one.rule, None, "", NOW, NOW + 60, "nina", "") for one in alarms}
    return state


def reviewed(state: BedState, after_s: float = 0.0, news: tuple[PendingEvent, ...] = ()) -> list[Any]:
    return [one.body for one in attention.review(state, BY, NOW + after_s, news)]


def told(bodies: list[Any]) -> list[str]:
    return [body.who for body in bodies if isinstance(body, AlarmTold)]


@pytest.mark.parametrize(("climbed_s", "after_s", "who", "following"), [
    (None, 0, ["nurse"], ("prescriber", 60)), (0, 59.9, [], ("prescriber", 60)), (0, 60, ["prescriber"], ("box", 90)),
    (60, 89, [], ("box", 90)), (60, 90, ["box"], None), (60, 61, [], ("box", 90)), (0, 95, ["prescriber", "box"], None),
])
def test_a_step_is_told_once_when_it_is_due(
    climbed_s: float | None, after_s: float, who: list[str], following: tuple[str, float] | None, severe: Alarm,
) -> None:
    state = bed(severe if climbed_s is None else replace(severe, announced_s=NOW, climbed_s=NOW + climbed_s))
    bodies = reviewed(state, after_s)
    numbers = [number for one, number in STEPS.items() if one in who]
    assert (told(bodies), [body.step for body in bodies]) == (who, numbers)
    now = state.alarms["HTN-3"]
    assert [one.who for one in now.told] == who
    assert now.next_told == (None if following is None else Told(following[0], NOW + following[1]))
    assert told(reviewed(state, after_s)) == [], "nobody is told twice"


@pytest.mark.parametrize("state", ["acknowledged", "inactive", "latched"])
def test_what_calls_for_nobody_is_told_to_nobody(state: AlarmState, severe: Alarm) -> None:
    assert reviewed(bed(replace(severe, state=state, acknowledged_at_s=NOW))) == []


def test_on_a_shelf_a_ladder_rests_and_begins_anew(severe: Alarm) -> None:
    state = bed(replace(severe, announced_s=NOW - 90, climbed_s=NOW - 1), shelved=True)
    assert reviewed(state) == []
    state.shelves.clear()
    assert told(reviewed(state)) == ["nurse"]


@pytest.mark.parametrize(("acknowledged_s", "reminded_s", "priority", "shelved", "reminds"), [
    (120, None, "high", False, True), (119.9, None, "high", False, False), (600, 120, "high", False, True),
    (600, 119.9, "high", False, False), (120, None, "none", False, False), (120, None, "high", True, False),
])
def test_what_stands_acknowledged_is_reminded_of(
    acknowledged_s: float, reminded_s: float | None, priority: Any, shelved: bool, reminds: bool, severe: Alarm,
) -> None:
    state = bed(replace(severe, state="acknowledged", priority=priority, acknowledged_at_s=NOW - acknowledged_s,
                        reminded_s=None if reminded_s is None else NOW - reminded_s), shelved=shelved)
    assert [body.what for body in reviewed(state)] == (["reminder"] if reminds else [])
    assert (state.alarms["HTN-3"].reminded_s == NOW) is reminds
    assert reviewed(state) == []


@pytest.mark.parametrize(("before_s", "left"), [((300, 299.9, 0), 2), ((299.9, 0), 2), ((301, 300), 0)])
def test_what_was_said_for_information_is_shown_for_a_while(before_s: tuple[float, ...], left: int) -> None:
    state = bed()
    state.information = tuple(Information(NOW - one, "reminder", "") for one in before_s)
    reviewed(state)
    assert len(state.information) == left


@pytest.mark.parametrize(("phase", "no_pump", "words"), [
    ("RECOVERY", False, "The infusion has ended: done"),
    ("RECOVERY", True, "The dose has been given, or is ended: done"),
    ("PAUSED", False, None)])
def test_the_end_of_a_dose_is_said_for_information(phase: Any, no_pump: bool, words: str | None) -> None:
    state = bed()
    state.no_pump = no_pump
    ended = PendingEvent("b", "s", NOW, PhaseMoved(phase=phase, why="done"))
    assert [body.text for body in reviewed(state, news=(ended,)) if isinstance(body, Informed)] == [words] * bool(words)


GIVEN = Delegation("prescriber", NOW - 60, NOW + 60, "nina", "a break")


@pytest.mark.parametrize(("to", "ladder", "steps"), [
    (None, HIGH.steps, [("nurse", 0), ("prescriber", 60), ("box", 90)]),
    ("nurse", HIGH.steps, [("nurse", 0), ("prescriber", 60), ("box", 90)]),
    ("tim", HIGH.steps, [("tim", 0), ("nurse", 45), ("prescriber", 60), ("box", 90)]),
    ("tim", (Step("nurse", 5), Step("box", 30)), [("tim", 5), ("nurse", 30), ("box", 30)]),
    ("tim", (Step("nurse", 5),), [("tim", 5), ("nurse", 50)]), ("tim", (), []),
])
def test_who_is_told_first_of_what_is_delegated(
    to: str | None, ladder: tuple[Step, ...], steps: list[tuple[str, float]], severe: Alarm,
) -> None:
    state = bed()
    state.delegation = None if to is None else replace(GIVEN, to=to)
    by = msgspec.structs.replace(BY.attention, ladders=(Ladder("high", ladder),) if ladder else ())
    assert attention.steps(state, by, severe, "physiological") == steps


@pytest.mark.parametrize(("after_s", "over"), [(59.9, False), (60, True)])
def test_a_delegation_ends_with_its_time(after_s: float, over: bool) -> None:
    state = bed()
    state.delegation = GIVEN
    bodies = reviewed(state, after_s)
    assert [type(body) for body in bodies] == ([Delegated, Informed] if over else [])
    assert (state.delegation is None) is over


@pytest.mark.parametrize(("change", "shelved", "who"), [
    ({"told": (Told("nurse", NOW),)}, False, ["tim"]), ({"told": ()}, False, []),
    ({"told": (Told("nurse", NOW),)}, True, []), ({"told": (Told("nurse", NOW),), "state": "inactive"}, False, []),
])
def test_what_stands_is_told_to_whom_it_is_delegated(
    change: dict[str, Any], shelved: bool, who: list[str], severe: Alarm,
) -> None:
    state = bed(replace(severe, announced_s=NOW, **change), shelved=shelved)
    command = Command("c", "main", "nina", "nurse", "b", "delegate", {})
    args = Delegate(to="tim", minutes=10, reason="a break")
    events = list(attention.delegate(state, BY, command, args, NOW))
    assert told([one.body for one in events]) == who
    assert all(one.body.step == 1 for one in events if isinstance(one.body, AlarmTold))
    assert state.delegation is not None and state.delegation.until_s == NOW + 600


@pytest.mark.parametrize(("before", "kept"), [(0, 1), (18, 19), (19, 20), (20, 20)])
def test_the_last_comments_of_an_alarm_are_kept(before: int, kept: int, severe: Alarm) -> None:
    state = bed(replace(severe, comments=tuple(Comment(NOW, "nina", str(number)) for number in range(before))))
    command = Command("c", "main", "nina", "nurse", "b", "comment_alarm", {})
    list(attention.comment(state, BY, command, CommentAlarm(alarm=severe.id, comment="seen"), NOW))
    found = state.alarms["HTN-3"].comments
    assert (len(found), found[-1].text) == (kept, "seen")


# --- the sound --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("until_s", "runs"), [(None, False), (-0.1, False), (0, False), (0.1, True)])
def test_a_pause_of_the_sound_is_over_with_its_time(until_s: float | None, runs: bool, severe: Alarm) -> None:
    state = bed(severe)
    state.audio_paused_until_s = None if until_s is None else NOW + until_s
    assert audio.sounds(state, NOW) == ("none" if runs else "high")
    assert len(list(audio.end_pause(state, NOW, "HTN-3 is more urgent"))) == runs, "what is over is not ended again"
    assert state.audio_paused_until_s is None


@pytest.mark.parametrize(("state", "priority", "before_s", "expired"), [
    ("acknowledged", "high", 600, True), ("acknowledged", "high", 599.9, False), ("acknowledged", "medium", 600, False),
    ("acknowledged", "high", None, False), ("active", "high", 600, False)])
def test_an_acknowledgement_of_a_high_alarm_is_over_after_ten_minutes(
    state: AlarmState, priority: Any, before_s: float | None, expired: bool, severe: Alarm,
) -> None:
    alarm = replace(severe, state=state, priority=priority,
                    acknowledged_at_s=None if before_s is None else NOW - before_s)
    assert audio.acknowledgement_expired(bed(), alarm, NOW) is expired
