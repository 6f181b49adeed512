"""Judging: every rule that a bed's news may concern, its alarm moved by the table of alarms.py, and told as drafts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from msgspec.structs import replace

from edge.contract.events import AsDict, PendingEvent
from edge.core.alarms import STANDING, Alarm, Signal, move
from edge.core.audio import end_pause
from edge.core.context import RuleContext, longest_gap_s
from edge.core.expression import Compiled
from edge.core.logic import Truth, either, negate
from edge.core.rules import EVERYWHERE, NO_SESSION, PERIOD, Rule, RuleSet
from edge.core.signals import GAP_S, coverage
from edge.core.state import BedState
from edge.core.telling import tell
from edge.model import PRIORITY_RANK, Priority
from edge.vocabulary import DETERMINATION

ACKNOWLEDGED_FOR_S = 600.0  # a HIGH that still stands after this is announced again (clinical.md 7.4)
COVERAGE = 0.8  # of a hold's seconds must have a valid reading
PERIOD_S = 2.0  # readings closer than this are one stream: a value may have begun right after the one before


def judge(state: BedState, rules: RuleSet, at_s: float, metrics: Iterable[str] | None) -> Iterator[PendingEvent]:
    """Judge the rules that depend on `metrics` (None: all of them)."""
    concerned = None if metrics is None else _concerned(rules, metrics)
    done: set[str] = set()
    for rule in rules.rules:
        if concerned is not None and rule.id not in concerned:
            continue
        if not rule.group:
            for device in _devices(state, rule):
                yield from _single(state, rule, at_s, device)
        elif rule.group not in done:
            done.add(rule.group)
            yield from _group(state, [r for r in rules.rules if r.group == rule.group], at_s)


def _concerned(rules: RuleSet, metrics: Iterable[str]) -> set[str]:
    concerned: set[str] = set()
    for metric in metrics:
        concerned |= rules.by_metric.get(metric, frozenset())
    return concerned


def _devices(state: BedState, rule: Rule) -> list[str | None]:
    if not rule.for_each:
        return [None]
    return [name for name, device in state.devices.items() if device.kind in rule.for_each]


def applies(rule_context: frozenset[str], state: BedState) -> bool:
    """Whether a context of phases, DISSOCIATION, NO_SESSION or * holds for this bed now."""
    if EVERYWHERE in rule_context:
        return True
    session = state.session
    if session is None:
        return NO_SESSION in rule_context
    return session.phase in rule_context or (PERIOD in rule_context and session.is_open_period)


def _single(state: BedState, rule: Rule, at_s: float, device: str | None) -> Iterator[PendingEvent]:
    moment = RuleContext(state, at_s, device)
    if rule.request:
        return
    key = rule.id if device is None else f"{rule.id}:{device}"
    alarm = state.alarms.get(key) or Alarm(key, rule.id, state.bed, device=device)
    yield from _follow(state, rule, alarm, moment, _signal(state, rule, alarm, moment))


def _group(state: BedState, rules: list[Rule], at_s: float) -> Iterator[PendingEvent]:
    """One alarm for one cause: the highest tier that stands; the tiers below it are over (clinical.md 7.5 D, E, I)."""
    moment = RuleContext(state, at_s)
    higher: Rule | None = None
    for rule in sorted(rules, key=lambda rule: -rule.tier):
        alarm = state.alarms.get(rule.id) or Alarm(rule.id, rule.id, state.bed)
        if higher is None:
            yield from _follow(state, rule, alarm, moment, _signal(state, rule, alarm, moment))
            if state.alarms.get(rule.id, alarm).state in STANDING:
                higher = rule
        elif alarm.state in STANDING:
            yield from _follow(state, rule, alarm, moment, ("over", None), superseded=higher.id)
        else:  # its hold goes on in the background, so that it takes over at once when the higher one ends
            judged = _signal(state, rule, alarm, moment)
            if judged[0] == "over":
                yield from _follow(state, rule, alarm, moment, judged, superseded=higher.id)


Judged = tuple[Signal | None, Truth]


def _signal(state: BedState, rule: Rule, alarm: Alarm, moment: RuleContext) -> Judged:
    """What the rule's condition says to its alarm now; the timing it needs is written into `state.alarms`."""
    if not applies(rule.context, state):
        return "over", None
    once = rule.at_once.ask(moment) if rule.at_once else False
    if alarm.state in STANDING:
        return _standing_signal(state, rule, alarm, moment, either((rule.when.ask(moment), once)))
    when = rule.when.ask(_held(moment, rule.hold_s))
    if once is True or (when is True and rule.hold_s == 0):
        return "held", True
    if when is True:
        return _held_signal(state, rule, alarm, moment)
    if when is None and alarm.state == "pending":
        since = alarm.unknown_since_s if alarm.unknown_since_s is not None else moment.at_s
        state.alarms[alarm.key] = replace(alarm, unknown_since_s=since)
        return ("over", None) if moment.at_s - since > GAP_S else ("unknown", None)
    return ("over", when) if when is False else ("unknown", None)


def _held_signal(state: BedState, rule: Rule, alarm: Alarm, moment: RuleContext) -> Judged:
    since = alarm.true_since_s
    if since is None or (alarm.unknown_since_s is not None and moment.at_s - alarm.unknown_since_s > GAP_S):
        since = _could_be_true_since(state, rule, moment)
    since = max(since, _last_hole_s(state, rule.when))
    state.alarms[alarm.key] = replace(alarm, true_since_s=since, unknown_since_s=None)
    held = round(moment.at_s - since, 3) >= rule.hold_s and _is_covered(rule.when, moment, rule.hold_s)
    return ("held" if held else "true"), True


def _held(moment: RuleContext, hold_s: float) -> RuleContext:
    return RuleContext(moment.state, moment.at_s, moment.device, unbroken=True) if hold_s else moment


def _is_covered(condition: Compiled, moment: RuleContext, hold_s: float) -> bool:
    """Whether enough of the hold was seen: four seconds of five with a valid reading (clinical.md 6.2)."""
    if not hold_s:
        return True
    return all(
        round(coverage(moment.state.seen[metric], moment.at_s - hold_s, moment.at_s), 3) >= COVERAGE
        for metric in condition.sampled if metric not in DETERMINATION and moment.metric(metric) is not None
    )


def _last_hole_s(state: BedState, condition: Compiled) -> float:
    """When the newest reading that came after a hole came: what was sustained before the hole does not count."""
    last = 0.0
    for metric in condition.sampled:
        seen = state.seen.get(metric)
        if seen is None or seen.valid_at_s is None or seen.before_s is None:
            continue
        if round(seen.valid_at_s - seen.before_s, 3) > longest_gap_s(metric):
            last = max(last, seen.valid_at_s)
    return last


def _could_be_true_since(state: BedState, rule: Rule, moment: RuleContext) -> float:
    """A sampled condition may have begun right after the reading before: fifteen low readings at 1 Hz are 15 s."""
    for metric in rule.when.metrics:
        seen = state.seen.get(metric)
        if seen and seen.at_s == moment.at_s and seen.before_s is not None and moment.at_s - seen.before_s <= PERIOD_S:
            return seen.before_s
    return moment.at_s


def _standing_signal(state: BedState, rule: Rule, alarm: Alarm, moment: RuleContext, true: Truth) -> Judged:
    held = _held(moment, rule.clear_hold_s)
    once = rule.at_once.ask(moment) if rule.at_once else False
    cleared = rule.clear.ask(held) if rule.clear else negate(either((rule.when.ask(held), once)))
    if cleared is not True:
        alarm = _not_cleared(state, alarm, moment.at_s, cleared)
        if _acknowledgement_expired(alarm, moment.at_s):
            return "expire", true
        return "unknown" if cleared is None else None, true
    since = alarm.over_since_s if alarm.over_since_s is not None else moment.at_s
    since = max(since, _last_hole_s(state, rule.clear or rule.when))
    state.alarms[alarm.key] = replace(alarm, over_since_s=since, unknown_since_s=None)
    over = round(moment.at_s - since, 3) >= rule.clear_hold_s
    seen_enough = _is_covered(rule.clear or rule.when, moment, rule.clear_hold_s)
    return ("over" if over and seen_enough else None), true


def _not_cleared(state: BedState, alarm: Alarm, at_s: float, cleared: Truth) -> Alarm:
    """The time to clear begins anew, but for a moment in which it could not be told."""
    since = alarm.unknown_since_s if alarm.unknown_since_s is not None else at_s
    if alarm.over_since_s is None:
        return alarm
    if cleared is None and at_s - since <= GAP_S:
        alarm = replace(alarm, unknown_since_s=since)
    else:
        alarm = replace(alarm, unknown_since_s=None, over_since_s=None)
    state.alarms[alarm.key] = alarm
    return alarm


def _acknowledgement_expired(alarm: Alarm, at_s: float) -> bool:
    return (alarm.state == "acknowledged" and alarm.priority == "high" and alarm.acknowledged_at_s is not None
            and at_s - alarm.acknowledged_at_s >= ACKNOWLEDGED_FOR_S)


def _follow(state: BedState, rule: Rule, alarm: Alarm, moment: RuleContext, judged: Judged, *,
            superseded: str | None = None) -> Iterator[PendingEvent]:
    """Move the alarm; a draft where a person could notice the difference."""
    signal, true = judged
    alarm = state.alarms.get(alarm.key, alarm)
    was = alarm.state
    now = move(was, signal, latch=rule.latch and superseded is None) if signal else was
    priority = _priority(state, rule, alarm, moment) if now in STANDING else alarm.priority
    if now in STANDING and was == now and PRIORITY_RANK[priority] > PRIORITY_RANK[alarm.priority]:
        now = move(now, "raise", latch=rule.latch)
        yield from end_pause(state, moment.at_s, f"{rule.id} is more urgent now")
    about = tuple(sorted({said.code for said in rule.when.alarms(moment)})) if now in STANDING else ()
    if now in STANDING and was == now and not set(about) <= set(alarm.about):
        now = move(now, "raise", latch=rule.latch)  # nobody has acknowledged the new one (reliability.md A8)
        yield from end_pause(state, moment.at_s, f"{rule.id} has something new")
    no_data = now in STANDING and true is None
    if now == was and priority == alarm.priority and about == alarm.about:
        if alarm.key in state.alarms and alarm.no_data != no_data:
            state.alarms[alarm.key] = replace(alarm, no_data=no_data)
        if signal == "over" and was in ("inactive", "latched") and alarm.true_since_s is not None:
            state.alarms[alarm.key] = replace(alarm, true_since_s=None, unknown_since_s=None)
        return
    moved = replace(alarm, state=now, priority=priority, no_data=no_data, about=about)
    if now in ("inactive", "latched"):
        since = alarm.true_since_s if superseded is not None and was in STANDING else None
        moved = replace(moved, true_since_s=since, unknown_since_s=None, over_since_s=None, acknowledged_at_s=None)
    elif now == "active" and was not in STANDING:
        moved = _begun(state, moved, moment.at_s)
        yield from end_pause(state, moment.at_s, f"{rule.id} is new")
    elif now == "active":
        moved = replace(moved, acknowledged_at_s=None, by=None)
    state.alarms[alarm.key] = moved
    if "pending" in (was, now) and now != "active":
        return
    yield publish(state, rule, moved, was, moment, superseded=superseded)


def _begun(state: BedState, alarm: Alarm, at_s: float) -> Alarm:
    """A new occurrence, under a new id. It ends an audio pause (console.md 2.2, 19 and 21)."""
    state.alarm_count += 1
    return replace(alarm, id=f"{alarm.bed}.{alarm.key}.{state.alarm_count}", since_s=at_s, acknowledged_at_s=None,
                   over_since_s=None, by=None)


def _priority(state: BedState, rule: Rule, alarm: Alarm, moment: RuleContext) -> Priority:
    """It only rises while the alarm stands: what was urgent a moment ago is not less so before it is over."""
    worst = rule.priority
    found: list[Priority] = [alarm.priority] if alarm.state in STANDING else []
    if rule.device_priority:
        found += [said.priority for said in rule.when.alarms(moment)]
    for step in rule.raises:
        if applies(step.context, state) and (step.when is None or step.when.ask(moment) is True):
            found.append(step.priority)
    return max([worst, *found], key=PRIORITY_RANK.__getitem__)


def again(state: BedState, rules: RuleSet, at_s: float) -> Iterator[PendingEvent]:
    """What was acknowledged for another patient is announced anew, as urgent as it is for this one."""
    for alarm in list(state.alarms.values()):
        if alarm.state != "acknowledged":
            continue
        rule, moment = rules.named(alarm.rule), RuleContext(state, at_s, alarm.device)
        now = move(alarm.state, "expire", latch=rule.latch)
        fresh = replace(alarm, state=now, acknowledged_at_s=None, by=None, priority="none")
        yield publish(state, rule, replace(fresh, priority=_priority(state, rule, fresh, moment)), alarm.state, moment)


def publish(state: BedState, rule: Rule, alarm: Alarm, was: str, moment: RuleContext, *,
            superseded: str | None = None, by: str | None = None, command: str | None = None) -> PendingEvent:
    """The event of an alarm's move; `state.alarms` keeps what it says."""
    body: dict[str, Any] = tell(state, rule, alarm, was, moment)
    if superseded is not None:
        body["superseded_by"] = superseded
    if by is not None:
        body["by"] = by
    if command is not None:
        body["command"] = command
    state.alarms[alarm.key] = replace(alarm, body=body)
    return PendingEvent(state.bed, state.session.id if state.session else None, moment.at_s, AsDict("alarm", body))


def requests(state: BedState, rules: RuleSet, at_s: float) -> Iterator[PendingEvent]:
    """What the rules ask of a person after a determination: an event, never an alarm."""
    moment = RuleContext(state, at_s)
    state.request = None
    for rule in rules.rules:
        if rule.request and applies(rule.context, state) and rule.when.ask(moment) is True:
            body = tell(state, rule, Alarm(rule.id, rule.id, state.bed), "inactive", moment)
            state.request = {"rule": rule.id, "text": body["text"], "since_s": at_s}
            yield PendingEvent(state.bed, state.session.id if state.session else None, at_s, AsDict("request", {
                "rule": rule.id, "text": body["text"], "why": rule.why, "evidence": body["evidence"]}))
