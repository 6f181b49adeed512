"""Judging: each rule that news may concern gives its alarm a trigger, and `transitions.py` moves the alarm by it.

Of a rule whose alarm is not active the condition is evaluated, for `hold_s`; of one whose alarm is active what ends
it, for `clear_hold_s`. Of the rules of one group, only the highest tier is active.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from msgspec.structs import replace

from edge.contract.events import PendingEvent, Requested
from edge.core import by_entry, coverage, levels
from edge.core.alarms import ACTIVE, Alarm
from edge.core.audio import acknowledgement_expired
from edge.core.context import RuleContext
from edge.core.hold import Hold, Progress
from edge.core.logic import either, negate
from edge.core.rule import Rule, applies
from edge.core.rules import RuleSet
from edge.core.state import BedState
from edge.core.telling import request_text
from edge.core.transitions import Judged, follow


def judge(context: RuleContext, rules: RuleSet, metrics: tuple[str, ...] | None) -> Iterator[PendingEvent]:
    """Judge the rules that depend on `metrics` (None: all of them)."""
    state = context.state
    moving = {alarm.rule for alarm in state.alarms.values() if not alarm.is_at_rest}
    asked = rules.asked(metrics, state.session)
    if not moving and not by_entry.begins(asked, context):  # nearly always
        return
    for cause in asked.causes:
        rule, rests = cause.rules[0], moving.isdisjoint(cause.ids)
        if rule.for_each:
            for one in (context, *context.for_each(rule.for_each)) if rule.for_bed else context.for_each(rule.for_each):
                if not rests or by_entry.begins(cause, one):
                    yield from _judge_alone(state, rule, one)
        elif rests and not by_entry.begins(cause, context):
            continue
        elif not rule.group:
            yield from _judge_alone(state, rule, context)
        elif state.engine.levels:
            yield from _judge_levels(state, cause.rules, context)
        else:
            yield from _judge_group(state, cause.rules, context)


def requests(state: BedState, rules: RuleSet, at_s: float) -> Iterator[PendingEvent]:
    """What the rules request of a person after a determination: an event, never an alarm."""
    context = RuleContext(state, at_s)
    state.request = None
    for rule in rules.rules:
        if rule.request and applies(rule.context, state.session) and rule.when.evaluate(context) is True:
            text, evidence = request_text(state, rule, context)
            state.request = {"rule": rule.id, "text": text, "since_s": at_s}
            yield state.event(at_s, Requested(rule=rule.id, text=text, why=rule.why, evidence=evidence))


# --- one rule, one group ----------------------------------------------------------------------------------------------


def _judge_alone(state: BedState, rule: Rule, context: RuleContext) -> Iterator[PendingEvent]:
    key = rule.id if context.device is None else f"{rule.id}:{context.device}"
    alarm = state.alarms.get(key) or Alarm(key, rule.id, state.bed, device=context.device)
    judged = _judged(state, rule, alarm, context)
    yield from follow(state, rule, alarm, by_entry.told_by(rule, state.alarms.get(key), judged, context), judged)


def _is_in_force(rule: Rule, context: RuleContext) -> bool:
    """It applies here, and what it asks of is part of this session: no pump where the dose is given by hand."""
    state = context.state
    if not applies(rule.context, state.session) or (state.no_pump and rule.of_pump):
        return False
    return context.device is None or not state.devices[context.device].away


def _judge_levels(state: BedState, rules: Sequence[Rule], context: RuleContext) -> Iterator[PendingEvent]:
    """One alarm for one cause, with a level (`levels.py`). `rules`: highest tier first."""
    top: Rule | None = None
    found = Judged("clear")
    for rule in rules:
        judged = _judged(state, rule, state.alarms.get(rule.id) or Alarm(rule.id, rule.id, state.bed), context)
        if levels.settle(state, rule, judged) and top is None:
            top, found = rule, judged
    if speaks := top or levels.speaking(state, rules):
        context = by_entry.told_by(speaks, state.alarms[speaks.id], found, context)
    yield from levels.follow_group(state, rules, top, found, context)


def _judge_group(state: BedState, rules: Iterable[Rule], context: RuleContext) -> Iterator[PendingEvent]:
    """One alarm for one cause: the highest tier that is active ends those below it. Their holds go on, so that they
    take over at once when the higher one ends. `rules`: highest tier first."""
    higher: str | None = None
    for rule in rules:
        alarm = state.alarms.get(rule.id) or Alarm(rule.id, rule.id, state.bed)
        if higher is not None and alarm.state in ACTIVE:
            yield from follow(state, rule, alarm, context, Judged("clear"), superseded=higher)
            continue
        judged = _judged(state, rule, alarm, context)
        if higher is None:
            yield from follow(state, rule, alarm, context, judged)
            higher = rule.id if state.alarms.get(rule.id, alarm).state in ACTIVE else None
        elif judged.trigger == "clear":
            yield from follow(state, rule, alarm, context, judged, superseded=higher)


# --- what a rule's conditions trigger ---------------------------------------------------------------------------------


def _judged(state: BedState, rule: Rule, alarm: Alarm, context: RuleContext) -> Judged:
    if not _is_in_force(rule, context):
        return Judged("clear")
    if alarm.on or alarm.state in ACTIVE:
        return (by_entry.active(state, rule, alarm, context)
                or _judge_active(state, rule, state.alarms.get(alarm.key, alarm), context))
    return by_entry.raised(rule, context) or _judge_inactive(state, rule, alarm, context)


def _judge_inactive(state: BedState, rule: Rule, alarm: Alarm, context: RuleContext) -> Judged:
    if rule.at_once and rule.at_once.evaluate(context) is True:
        return Judged("held", True, at_once=True)
    truth = rule.when.evaluate(context.for_hold() if rule.hold_s else context)
    if truth is False and alarm.true_from_s is not None:
        alarm = state.alarms[alarm.key] = replace(alarm, true_from_s=None)
    if truth is not True and alarm.true_since_s is None:  # nearly always: no hold runs, none begins
        return Judged("clear", truth)
    seen = coverage.to_activate(rule.when, context, rule.hold_s)
    before = Progress(alarm.true_since_s, alarm.unknown_since_s)
    progress, verdict = _hold(state, rule.hold_s).feed(before, truth, seen, context.at_s)
    from_s = context.at_s if truth and alarm.true_from_s is None else alarm.true_from_s
    if progress != before or from_s != alarm.true_from_s:
        state.alarms[alarm.key] = replace(alarm, true_since_s=progress.since_s, true_from_s=from_s,
                                          unknown_since_s=progress.unknown_since_s)
    if verdict == "held":
        return Judged("held", truth)
    if verdict == "broken":
        return Judged("clear", truth)
    return Judged("true" if truth else "unknown", truth)


def _judge_active(state: BedState, rule: Rule, alarm: Alarm, context: RuleContext) -> Judged:
    at_once = rule.at_once.evaluate(context) if rule.at_once else False
    truth = either((rule.when.evaluate(context), at_once))
    unbroken = context.for_hold() if rule.clear_hold_s else context
    cleared = rule.clear.evaluate(unbroken) if rule.clear else negate(either((rule.when.evaluate(unbroken), at_once)))
    before = Progress(alarm.clear_since_s, alarm.unknown_since_s)
    seen = coverage.to_clear(rule.clear or rule.when, context, rule.clear_hold_s)
    progress, verdict = _hold(state, rule.clear_hold_s).feed(before, cleared, seen, context.at_s)
    if progress != before:
        alarm = replace(alarm, clear_since_s=progress.since_s, unknown_since_s=progress.unknown_since_s)
        state.alarms[alarm.key] = alarm
    if verdict == "held":
        return Judged("clear", truth)
    if cleared is not True and acknowledgement_expired(state, alarm, context.at_s):
        return Judged("expire", truth)
    return Judged("unknown" if cleared is None else None, truth)


def _hold(state: BedState, for_s: float) -> Hold:
    return Hold(for_s, state.engine.gap_s, state.engine.coverage)
