"""By entry: how a rule over a stream is judged by what a person has read or counted, and entered.

An entry is one determination, with its time and its author: it fills no hold. It raises, at once, every rule whose
condition is true with it in the place of the reading. It ends an alarm at once whose clear is true with it, but never
one that a device keeps up: only where the metric is measured by none now. An alarm that rests on an entry alone ends
by a later one, by what is measured later (with the rule's own clear and its hold), or by the entry's age
(`entered_for_s` of rules.toml): then nobody knows any more, and what asks for the next one speaks.
"""

from __future__ import annotations

from typing import Protocol

from msgspec.structs import replace

from edge.core.alarms import Alarm
from edge.core.audio import acknowledgement_expired
from edge.core.context import RuleContext
from edge.core.logic import negate
from edge.core.rule import Rule
from edge.core.state import BedState
from edge.core.transitions import Judged


class _Asks(Protocol):
    def begins(self, context: RuleContext, /) -> bool: ...


def begins(asked: _Asks, context: RuleContext) -> bool:
    """Whether a condition of these is true, by what is measured or by what was entered."""
    if asked.begins(context):
        return True
    entered = context.as_entered()
    return entered is not None and asked.begins(entered)


def raised(rule: Rule, context: RuleContext) -> Judged | None:
    """That an entry raises this rule; None: it is judged by what is measured."""
    entered = _entry(rule, context)
    truth = None if entered is None else rule.when.evaluate(entered)
    if entered is None or truth is not True:
        return None
    return Judged("held", truth, entered_s=_made_s(rule, entered))


def active(state: BedState, rule: Rule, alarm: Alarm, context: RuleContext) -> Judged | None:
    """How an alarm that is on stands by an entry; None: it is judged by what is measured. Keeps on what it rests."""
    entered, rests = _entry(rule, context), alarm.entered_s
    if entered is None or (rests is None and _is_measured(rule, context)):
        if rests is None:
            return None
        if not _is_measured(rule, context):
            is_old = round(context.at_s - rests, 3) >= state.engine.entered_for_s
            return Judged("clear") if is_old else None
        state.alarms[alarm.key] = replace(alarm, entered_s=None)
        return None
    truth = rule.when.evaluate(entered)
    if (rule.clear.evaluate(entered) if rule.clear else negate(truth)) is True:
        return Judged("clear", truth)
    if rests is not None:
        state.alarms[alarm.key] = alarm = replace(alarm, entered_s=_made_s(rule, entered))
    return Judged("expire" if acknowledgement_expired(state, alarm, context.at_s) else None, truth)


def told_by(rule: Rule, alarm: Alarm | None, judged: Judged, context: RuleContext) -> RuleContext:
    """The context whose numbers this alarm says: the entry, where it rests on one or nothing is measured."""
    entered = _entry(rule, context)
    if entered is None:
        return context
    rests = judged.entered_s is not None or (alarm is not None and alarm.entered_s is not None)
    return entered if rests or not _is_measured(rule, context) else context


def _entry(rule: Rule, context: RuleContext) -> RuleContext | None:
    """The context of the entries, where what this rule compares is among them."""
    entered = context.as_entered()
    return entered if entered is not None and any(metric in entered.entries for metric in rule.when.sampled) else None


def _is_measured(rule: Rule, context: RuleContext) -> bool:
    return any(context.metric(metric) is not None for metric in rule.when.sampled)


def _made_s(rule: Rule, entered: RuleContext) -> float:
    return max(entered.entries[metric].at_s for metric in rule.when.sampled if metric in entered.entries)
