"""Levels: the rules of one group are one alarm, whose level is the highest tier that is on.

Each tier has its own hold and its own clear, even while a higher one stands. A rise escalates: the alarm is announced
again, and an audio pause ends. A fall keeps the acknowledgement and the pause. What latches is the worst that nobody
has acknowledged, whatever the level is when the alarm ends.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from msgspec.structs import replace

from edge.contract.events import PendingEvent
from edge.core.alarms import ACTIVE, SHOWN, Alarm, move
from edge.core.audio import end_pause
from edge.core.context import RuleContext
from edge.core.rule import Rule
from edge.core.state import BedState
from edge.core.transitions import Judged, follow, priority_of, publish, start
from edge.model import PRIORITY_RANK, Priority


def settle(state: BedState, rule: Rule, judged: Judged) -> bool:
    """Keep how a tier stands after it was judged; whether it is on."""
    alarm = state.alarms.get(rule.id)
    if alarm is None:
        if judged.trigger != "held":
            return False
        alarm = state.alarms[rule.id] = Alarm(rule.id, rule.id, state.bed)
    was_on = alarm.on or alarm.state in ACTIVE
    on = judged.trigger == "held" or (was_on and judged.trigger != "clear")
    kept = replace(alarm, on=on)
    if judged.trigger == "held":
        kept = replace(kept, at_once=judged.at_once, entered_s=judged.entered_s, clear_since_s=None,
                       unknown_since_s=None)
    elif judged.trigger == "clear":
        kept = replace(kept, true_since_s=None, clear_since_s=None, unknown_since_s=None)
    if alarm.state not in SHOWN:
        trigger = "clear" if on else judged.trigger
        kept = replace(kept, state=move(alarm.state, trigger, latch=False) if trigger else alarm.state)
    if kept != alarm:
        state.alarms[rule.id] = kept
    return on


def speaking(state: BedState, rules: Sequence[Rule]) -> Rule | None:
    """The tier at whose level the alarm of a group stands."""
    return next((rule for rule in rules if rule.id in state.alarms and state.alarms[rule.id].state in ACTIVE), None)


def follow_group(
    state: BedState, rules: Sequence[Rule], top: Rule | None, judged: Judged, context: RuleContext,
) -> Iterator[PendingEvent]:
    """Move the alarm of a group to its level. `rules`: highest tier first; `top`: the highest that is on, `judged` what
    was found of it."""
    shown = [rule for rule in rules if (alarm := state.alarms.get(rule.id)) is not None and alarm.state in SHOWN]
    speaks = speaking(state, rules)
    if speaks is None:
        if top is not None:
            yield from _begin(state, shown, top, judged, context)
    elif top is None:
        yield from _end(state, speaks, context)
    elif top is speaks:
        trigger = judged.trigger if judged.trigger == "expire" else None
        yield from follow(state, top, state.alarms[top.id], context, Judged(trigger, judged.truth))
    else:
        yield from _hand_over(state, rules, speaks, top, context)


def _begin(
    state: BedState, shown: Sequence[Rule], top: Rule, judged: Judged, context: RuleContext,
) -> Iterator[PendingEvent]:
    """A new alarm. The latched picture of a higher level, which nobody has acknowledged, is part of it."""
    was, worst = state.alarms[top.id].state, None
    kept_sound: Priority = "none"
    for rule in shown:
        latched = state.alarms[rule.id]
        worst = latched.body if rule.tier > top.tier and worst is None else worst
        kept_sound = max(kept_sound, latched.kept_sound, key=PRIORITY_RANK.__getitem__)
        state.alarms[rule.id] = replace(latched, state="inactive", id="", body=None, worst=None,
                                        kept_sound="none")
    if worst is not None:
        was = "latched"
    alarm = replace(state.alarms[top.id], state="active", worst=worst, kept_sound=kept_sound)
    yield from start(state, top, alarm, was, context, at_once=alarm.at_once)


def _end(state: BedState, speaks: Rule, context: RuleContext) -> Iterator[PendingEvent]:
    alarm = state.alarms[speaks.id]
    if alarm.worst is None or alarm.state != "active":
        state.alarms[speaks.id] = alarm = replace(alarm, worst=None)
        yield from follow(state, speaks, alarm, context, Judged("clear"))
        return
    worst = alarm.worst  # what latches is the worst, not the level at which it ended
    latched = _moved(state, speaks.id, worst.rule)
    latched = replace(latched, state="latched", priority=worst.priority, body=worst, worst=None, acknowledged_at_s=None)
    state.alarms[worst.rule] = latched
    ended = replace(worst, alarm=alarm.id, state="latched", was="active", alarm_phase="end")
    yield publish(state, speaks, latched, "active", context, body=ended)


def _hand_over(
    state: BedState, rules: Sequence[Rule], speaks: Rule, top: Rule, context: RuleContext,
) -> Iterator[PendingEvent]:
    before, rises = state.alarms[speaks.id], top.tier > speaks.tier
    alarm = _moved(state, speaks.id, top.id)
    if rises:
        yield from end_pause(state, context.at_s, f"{top.id} is more urgent")
        higher = {rule.id for rule in rules if rule.tier > top.tier}
        worst = alarm.worst if alarm.worst is not None and alarm.worst.rule in higher else None
        alarm = replace(alarm, state="active", acknowledged_at_s=None, by=None, worst=worst)
    elif before.state == "active" and speaks.latch and alarm.worst is None:
        alarm = replace(alarm, worst=before.body)
    truth = top.when.evaluate(context)
    alarm = replace(alarm, priority=priority_of(state, top, None, context), no_data=truth is None,
                    about=tuple(sorted(top.when.names(context))),
                    no_data_since_s=context.at_s if truth is None else None)
    yield publish(state, top, alarm, before.state, context, alarm_phase="escalate" if rises else "deescalate")


def _moved(state: BedState, from_key: str, to_key: str) -> Alarm:
    """The alarm as the record of another tier carries it; each record keeps its own timers."""
    before = state.alarms[from_key]
    tier = state.alarms.get(to_key) or Alarm(to_key, to_key, state.bed)
    state.alarms[from_key] = replace(before, state="inactive", id="", seq=0, heard_seq=0, body=None, worst=None,
                                     priority="none", kept_sound="none", no_data=False, no_data_since_s=None,
                                     acknowledged_at_s=None, by=None, about=())
    return replace(tier, id=before.id, state=before.state, since_s=before.since_s, seq=before.seq, by=before.by,
                   heard_seq=before.heard_seq, acknowledged_at_s=before.acknowledged_at_s, body=before.body,
                   worst=before.worst, told_s=before.told_s, text_s=before.text_s, announced_s=before.announced_s,
                   climbed_s=before.climbed_s, told=before.told, reminded_s=before.reminded_s,
                   comments=before.comments, kept_sound=before.kept_sound)
