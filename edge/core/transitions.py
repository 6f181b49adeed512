"""Transitions: an alarm moved by a trigger (the table of `alarms.py`), and the event where a person could notice it.

An alarm that becomes active, rises in priority or passes on something new ends an audio pause: whoever paused the sound
has not heard of it. (IEC 60601-1-8: a pause must not silence an alarm condition that comes after it.)
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from msgspec import UNSET
from msgspec.structs import replace

from edge.contract.events import AlarmMoved, PendingEvent
from edge.core.alarms import ACTIVE, Alarm, Trigger, move
from edge.core.audio import end_pause
from edge.core.context import RuleContext
from edge.core.logic import Truth
from edge.core.rule import Rule, applies
from edge.core.rules import RuleSet
from edge.core.state import BedState
from edge.core.telling import alarm_moved, no_longer_fits, told_now
from edge.core.unwatched import is_more_than, is_news
from edge.model import PRIORITY_RANK, AlarmPhase, AlarmState, Priority


@dataclass(frozen=True, slots=True)
class Judged:
    """What a rule triggers (None: nothing), whether its condition is true, and whether it was `at_once`. `entered_s`:
    when a person entered what makes it true."""

    trigger: Trigger | None
    truth: Truth = None
    at_once: bool = False
    entered_s: float | None = None


def follow(state: BedState, rule: Rule, alarm: Alarm, context: RuleContext, judged: Judged, *,
           superseded: str | None = None) -> Iterator[PendingEvent]:
    """Move the alarm as judged. A condition that is unknown is shown as "no data" while the alarm is active.
    `superseded`: the rule of a higher tier that takes over."""
    alarm, trigger = state.alarms.get(alarm.key, alarm), judged.trigger
    if trigger == "clear" and alarm.state == "inactive" and alarm.true_since_s is None:  # nearly always
        return
    now = move(alarm.state, trigger, latch=rule.latch and superseded is None) if trigger else alarm.state
    moved = replace(alarm, state=now, no_data=False, no_data_since_s=None, about=())
    if now in ACTIVE:
        moved = replace(moved, priority=priority_of(state, rule, alarm, context), no_data=judged.truth is None,
                        no_data_since_s=_no_data_since(alarm, judged, context.at_s),
                        about=tuple(sorted(rule.when.names(context))))
        if now == alarm.state and (worse := _worse(alarm, moved)):
            moved = replace(moved, state=move(now, "escalate", latch=rule.latch))
            yield from end_pause(state, context.at_s, f"{rule.id} {worse}")
    if (moved.state, moved.priority, moved.about) == (alarm.state, alarm.priority, alarm.about):
        _keep(state, moved, trigger)
        if state.engine.levels and now in ACTIVE and not moved.no_data:
            yield from _update(state, rule, moved, context)
        return
    before = None
    if moved.state == "active" and alarm.state not in ACTIVE:
        before = _of_one_cause(state, rule, moved)
        if before is None:
            yield from end_pause(state, context.at_s, f"{rule.id} is new")
        moved = replace(moved, at_once=judged.at_once, entered_s=judged.entered_s, quiet_to="none")
    moved = _settled(state, moved, alarm, context.at_s, superseded=superseded is not None)
    if before is not None and before.state == "acknowledged":
        moved = replace(moved, state="acknowledged", acknowledged_at_s=before.acknowledged_at_s, by=before.by,
                        quiet_to=max(before.priority, before.quiet_to, key=PRIORITY_RANK.__getitem__))
    state.alarms[alarm.key] = moved
    if "pending" in (alarm.state, moved.state) and moved.state not in ACTIVE:
        return
    yield publish(state, rule, moved, alarm.state, context, superseded=superseded)
    if before is not None:  # whoever was told of this cause was told
        state.alarms[alarm.key] = replace(state.alarms[alarm.key], announced_s=before.announced_s,
                                          climbed_s=before.climbed_s, told=before.told, reminded_s=before.reminded_s)


def _of_one_cause(state: BedState, rule: Rule, alarm: Alarm) -> Alarm | None:
    """The alarm that has told of the same cause until now, if this one is no more urgent and tells of nothing more: it
    hands over, and nothing is new. One that goes on, of what else is missing, hands nothing over; and one that still
    sounds hands over before one that is acknowledged."""
    told = [one for one in state.alarms.values() if one.rule in rule.continues and one.state in ACTIVE
            and alarm.device in (None, one.device)]
    if not told or is_more_than(state, alarm.device, rule.id) or is_news(state, alarm.device, rule.id, told):
        return None
    return next((one for one in sorted(told, key=lambda one: one.state == "acknowledged")
                 if PRIORITY_RANK[alarm.priority] <= max(PRIORITY_RANK[one.priority], PRIORITY_RANK[one.quiet_to])),
                None)


def start(state: BedState, rule: Rule, alarm: Alarm, was: AlarmState, context: RuleContext, *,
          at_once: bool) -> Iterator[PendingEvent]:
    """A new alarm of a group, at the level of `rule`."""
    yield from end_pause(state, context.at_s, f"{rule.id} is new")
    state.alarm_count += 1
    alarm = replace(alarm, id=f"{alarm.bed}.{alarm.key}.{state.alarm_count}", since_s=context.at_s, at_once=at_once,
                    acknowledged_at_s=None, by=None, no_data=False, no_data_since_s=None,
                    about=tuple(sorted(rule.when.names(context))), priority=priority_of(state, rule, None, context))
    yield publish(state, rule, alarm, was, context, alarm_phase="start")


def _no_data_since(alarm: Alarm, judged: Judged, at_s: float) -> float | None:
    if judged.truth is not None:
        return None
    return at_s if alarm.no_data_since_s is None else alarm.no_data_since_s


def _update(state: BedState, rule: Rule, alarm: Alarm, context: RuleContext) -> Iterator[PendingEvent]:
    """New words where those that were said no longer fit: another reason or device, another determination, or a number
    that is worse. No sound."""
    alarm = state.alarms.get(alarm.key, alarm)
    if alarm.body is None or context.at_s - alarm.told_s < state.engine.update_apart_s:
        return
    text = told_now(rule, context)
    if text != alarm.body.text and no_longer_fits(rule, alarm.body, text, context):
        yield publish(state, rule, alarm, alarm.state, context, alarm_phase="update")


def _keep(state: BedState, alarm: Alarm, trigger: Trigger | None) -> None:
    """Nothing a person could notice: only what is timed, and whether there is data."""
    known = state.alarms.get(alarm.key)
    if known is None:
        return
    if trigger == "clear" and alarm.state not in ACTIVE and alarm.true_since_s is not None:
        alarm = replace(alarm, true_since_s=None, unknown_since_s=None)
    if alarm != known:
        state.alarms[alarm.key] = alarm


def _worse(was: Alarm, now: Alarm) -> str | None:
    """Why an acknowledged alarm must be announced again."""
    if PRIORITY_RANK[now.priority] > max(PRIORITY_RANK[was.priority], PRIORITY_RANK[was.quiet_to]):
        return "is more urgent now"
    return None if set(now.about) <= set(was.about) else "has something new"


def _settled(state: BedState, alarm: Alarm, was: Alarm, at_s: float, *, superseded: bool) -> Alarm:
    """What is timed and remembered, after a move. A lower tier keeps its hold, to take over at once when it can."""
    if alarm.state in ("inactive", "latched"):
        since_s = was.true_since_s if superseded and was.state in ACTIVE else None
        return replace(alarm, true_since_s=since_s, unknown_since_s=None, clear_since_s=None, acknowledged_at_s=None)
    if alarm.state != "active":
        return alarm
    if was.state in ACTIVE:
        return replace(alarm, acknowledged_at_s=None, by=None)
    state.alarm_count += 1
    return replace(alarm, id=f"{alarm.bed}.{alarm.key}.{state.alarm_count}", since_s=at_s, acknowledged_at_s=None,
                   clear_since_s=None, by=None)


def priority_of(state: BedState, rule: Rule, alarm: Alarm | None, context: RuleContext) -> Priority:
    """It only rises while the alarm is active: what was urgent just now is not less so before it is over."""
    found: list[Priority] = [rule.priority, *([alarm.priority] if alarm and alarm.state in ACTIVE else [])]
    if rule.device_priority:
        found += [reported.priority for reported in rule.when.alarms(context)]
    for step in rule.escalations:
        if applies(step.context, state.session) and (step.when is None or step.when.evaluate(context) is True):
            found.append(step.priority)
    return max(found, key=PRIORITY_RANK.__getitem__)


def announce_anew(state: BedState, rules: RuleSet, at_s: float) -> Iterator[PendingEvent]:
    """What was acknowledged for another patient is announced anew, as urgent as it is for this one."""
    for alarm in list(state.alarms.values()):
        if alarm.state != "acknowledged":
            continue
        rule, context = rules.named(alarm.rule), RuleContext(state, at_s, alarm.device)
        now = move(alarm.state, "expire", latch=rule.latch)
        anew = replace(alarm, state=now, acknowledged_at_s=None, by=None, priority="none")
        anew = replace(anew, priority=priority_of(state, rule, anew, context))
        yield publish(state, rule, anew, alarm.state, context)


def publish(state: BedState, rule: Rule, alarm: Alarm, was: AlarmState, context: RuleContext, *,
            superseded: str | None = None, command: str | None = None, alarm_phase: AlarmPhase | None = None,
            body: AlarmMoved | None = None) -> PendingEvent:
    """The event of an alarm's move; `state.alarms` keeps what it says. `body`: this, instead of how things are now."""
    said = body or alarm_moved(state, rule, alarm, was, context, superseded)
    is_as_said = alarm.body is not None and alarm.body.state in ACTIVE and said.text == alarm.body.text
    text_s = alarm.text_s if body is not None or is_as_said else context.at_s
    body = replace(said, command=command or UNSET)
    alarm = replace(alarm, kept_sound=_kept_sound(rule, alarm))
    if state.engine.levels:
        phase = body.alarm_phase or alarm_phase or _phase(was, alarm.state, body, alarm.body)
        body = replace(body, level=PRIORITY_RANK[body.priority], alarm_phase=phase)
        is_same = phase in ("update", "deescalate") or (alarm.state == "latched" and alarm.sound != "none")
        if not is_same:  # whoever acknowledged has not seen this; who was told is told anew
            alarm = replace(alarm, announced_s=None, reminded_s=None,
                            comments=() if phase == "start" else alarm.comments)
    state.alarms[alarm.key] = replace(alarm, body=body, told_s=context.at_s, text_s=text_s)
    return state.event(context.at_s, body)


def _kept_sound(rule: Rule, alarm: Alarm) -> Priority:
    """What sounds until somebody acknowledges it: the most urgent that it was while a rule that latches it spoke."""
    if alarm.state not in ("active", "latched"):
        return "none"
    latches = rule.latch_sound and alarm.state == "active"
    return max(alarm.kept_sound, alarm.priority if latches else "none", key=PRIORITY_RANK.__getitem__)


def _phase(was: AlarmState, state: AlarmState, now: AlarmMoved, before: AlarmMoved | None) -> AlarmPhase:
    """What an alarm's move is called where it is not a group's own: from how it stood and how it stands."""
    if state not in ACTIVE:
        return "reset" if was == "latched" else "end"
    if was not in ACTIVE:
        return "start"
    if before is not None and PRIORITY_RANK[now.priority] > PRIORITY_RANK[before.priority]:
        return "escalate"
    return "continue" if was != state else "update"
