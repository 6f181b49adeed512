"""Attention: who is told of an alarm that nobody has acknowledged, and who is reminded of one that somebody has.

    announced      an alarm begins, rises, has something new, or its acknowledgement is over: its ladder begins anew
    told           a step of its ladder is due (`ladder.py`, [attention] of rules.toml): an event, and on the screen
    latched        what is over and sounds on goes on with its ladder, for nobody has taken it on
    acknowledged   the ladder ends; what still stands is reminded of now and then, by an information signal
    shelved        nobody is told and nobody is reminded; when it is back, the ladder begins anew
    delegated      a person or a role is told first for a while; the first of the ladder follows soon, so that a
                   delegation never leaves an alarm with nobody

An information signal is no alarm: it is said once, and shown for a while. (The ladder: IEC 60601-1-8 6.11, an alarm
that nobody takes on is redirected. Reminder: IEC 60601-1-8 6.8.5, reminder signal.)
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from msgspec.structs import replace

from edge.contract.commands import CommentAlarm, Delegate, Undelegate
from edge.contract.events import (
    AlarmCommented,
    AlarmTold,
    Delegated,
    Informed,
    MovedFrom,
    MovedTo,
    PendingEvent,
    PhaseMoved,
    SessionClosed,
    SessionOpened,
)
from edge.core.alarms import Alarm, Comment, Delegation, Information, Told
from edge.core.ladder import Attention
from edge.core.refusal import Refused
from edge.core.rules import RuleSet
from edge.core.state import BedState
from edge.model import AlarmClass, Command, InformationKind, iso

KEPT_COMMENTS = 20  # of one alarm, the last


def review(state: BedState, rules: RuleSet, at_s: float, news: Sequence[PendingEvent]) -> Iterator[PendingEvent]:
    """What is due now, and what follows from `news`."""
    attention = rules.attention
    yield from _delegation(state, attention, at_s, news)
    for key, alarm in list(state.alarms.items()):
        if alarm.sound != "none":
            yield from _climb(state, rules, key, alarm, at_s)
    yield from _remind(state, attention, at_s)
    for pending in news:
        body = pending.body
        if isinstance(body, PhaseMoved) and body.phase == "RECOVERY":
            given = "dose has been given, or is ended" if state.no_pump else "infusion has ended"
            yield from _inform(state, attention, at_s, "infusion_ended", f"The {given}: {body.why}")
    if state.information and at_s - state.information[0].at_s >= attention.information_for_s:
        state.information = tuple(one for one in state.information if at_s - one.at_s < attention.information_for_s)


# --- the ladder -------------------------------------------------------------------------------------------------------


def steps(state: BedState, attention: Attention, alarm: Alarm, alarm_class: AlarmClass) -> list[tuple[str, float]]:
    """Who is to be told of this alarm, and how long after it was announced."""
    found = [(step.role, step.after_s) for step in attention.ladder_of(alarm.sound, alarm_class, alarm.rule)]
    given = state.delegation
    if given is None or not found or given.to == found[0][0]:
        return [(str(who), after_s) for who, after_s in found]
    first, *others = found
    later_s = min([first[1] + attention.delegated_for_s, *(after_s for _, after_s in others[:1])])
    return [(given.to, first[1]), (first[0], later_s), *others]


def _climb(state: BedState, rules: RuleSet, key: str, alarm: Alarm, at_s: float) -> Iterator[PendingEvent]:
    """The steps that are due."""
    if key in state.shelves:
        if alarm.announced_s is not None:
            state.alarms[key] = replace(alarm, announced_s=None)
        return
    body = alarm.body
    if body is None:
        return
    if alarm.announced_s is None:
        alarm = replace(alarm, announced_s=at_s, climbed_s=at_s - 1.0, told=())
    assert alarm.announced_s is not None
    ladder = [(who, alarm.announced_s + after_s) for who, after_s in
              steps(state, rules.attention, alarm, body.alarm_class)]
    following = next((Told(who, due_s) for who, due_s in ladder if due_s > at_s), None)
    for number, (who, due_s) in enumerate(ladder, 1):
        if alarm.climbed_s < due_s <= at_s:
            alarm = replace(alarm, told=(*alarm.told, Told(who, at_s)), next_told=following)
            yield _told(state, alarm, number, at_s)
    state.alarms[key] = replace(alarm, climbed_s=at_s, next_told=following)


def _told(state: BedState, alarm: Alarm, step: int, at_s: float) -> PendingEvent:
    """That the last one it was told to is told now."""
    body, following = alarm.body, alarm.next_told
    assert body is not None
    return state.event(at_s, AlarmTold(
        rule=alarm.rule, alarm=alarm.id, title=body.title, text=body.text, priority=alarm.priority,
        device=alarm.device, who=alarm.told[-1].who, step=step, next=following.who if following else None,
        next_at=iso(following.at_s) if following else None))


# --- what is said for information -------------------------------------------------------------------------------------


def _remind(state: BedState, attention: Attention, at_s: float) -> Iterator[PendingEvent]:
    """All that stands acknowledged, once one of it is due."""
    if not attention.remind_after_s:
        return
    standing = [(key, alarm) for key, alarm in state.alarms.items()
                if alarm.state == "acknowledged" and alarm.priority != "none" and key not in state.shelves]
    if not any(at_s - max(alarm.acknowledged_at_s or at_s, alarm.reminded_s or 0.0) >= attention.remind_after_s
               for _, alarm in standing):
        return
    for key, alarm in standing:
        state.alarms[key] = replace(alarm, reminded_s=at_s)
    told = "; ".join(alarm.body.text for _, alarm in standing if alarm.body)
    yield from _inform(state, attention, at_s, "reminder", f"Acknowledged, and not over: {told}",
                       tuple(alarm.id for _, alarm in standing))


def _inform(state: BedState, attention: Attention, at_s: float, what: InformationKind, text: str,
            alarms: tuple[str, ...] = ()) -> Iterator[PendingEvent]:
    if not attention.information_for_s:
        return
    state.information = (*state.information, Information(at_s, what, text))
    yield state.event(at_s, Informed(what=what, text=text, alarms=alarms))


# --- what a person says -----------------------------------------------------------------------------------------------


def comment(state: BedState, _: RuleSet, command: Command, args: CommentAlarm, at_s: float) -> Iterator[PendingEvent]:
    """Something about an alarm that stands, or that has just ended."""
    found = next((alarm for alarm in state.alarms.values() if alarm.id and alarm.id == args.alarm), None)
    if found is None or found.body is None:
        raise Refused("moved_on")
    said = Comment(at_s, command.user, args.words())
    state.alarms[found.key] = replace(found, comments=(*found.comments, said)[-KEPT_COMMENTS:])
    yield state.event(at_s, AlarmCommented(rule=found.rule, alarm=found.id, title=found.body.title, comment=said.text,
                                           command=command.id, by=command.user))


def delegate(state: BedState, rules: RuleSet, command: Command, args: Delegate, at_s: float) -> Iterator[PendingEvent]:
    """For a while the alarms of this bed are told to somebody else first."""
    if not rules.attention.delegated_for_s:
        raise Refused("not_now: rules.toml does not say after how long the ladder follows ([attention],"
                      " delegated_for_s); without that an alarm could be left with nobody")
    given = Delegation(args.who(), at_s, at_s + args.minutes * 60, command.user, args.reason.strip())
    state.delegation = given
    yield state.event(at_s, Delegated(to=given.to, until=iso(given.until_s), why=given.reason, command=command.id,
                                      by=command.user))
    for key, alarm in list(state.alarms.items()):  # what stands, they are told of now; its ladder goes on
        if alarm.sound != "none" and alarm.told and key not in state.shelves:
            state.alarms[key] = told = replace(alarm, told=(*alarm.told, Told(given.to, at_s)))
            yield _told(state, told, 1, at_s)


def undelegate(state: BedState, _: RuleSet, command: Command, args: Undelegate, at_s: float) -> Iterator[PendingEvent]:
    """Before its time."""
    given, state.delegation = state.delegation, None
    if given is None:
        raise Refused("not_now: the alarms of this bed are not delegated")
    yield state.event(at_s, Delegated(to=given.to, until=None, why="", command=command.id, by=command.user))


def _delegation(
    state: BedState, attention: Attention, at_s: float, news: Sequence[PendingEvent],
) -> Iterator[PendingEvent]:
    """It ends by itself: with its time, and with the session in which it was made."""
    given = state.delegation
    if given is None:
        return
    moved = any(isinstance(pending.body, SessionOpened | SessionClosed | MovedTo | MovedFrom) for pending in news)
    why = "the session has changed" if moved else "its time is up" if at_s >= given.until_s else ""
    if why:
        state.delegation = None
        yield state.event(at_s, Delegated(to=given.to, until=None, why=why))
        yield from _inform(state, attention, at_s, "delegation",
                           f"Alarms of this bed no longer go to {given.to} first: {why}")
