"""Watching: looks with every tick whether each rule in force can be answered, and counts the seconds in which not.

A second of a rule counts against a cause (a device, or no baseline) while

    its condition is unknown for want of a reading of that device, or of the device's own word;
    it has a hold, its condition is true, no valid reading has said otherwise for longer than the hold, and yet neither
        it nor a higher tier of its group is active: holes keep the hold from filling;
    it compares with a baseline value that does not exist, from the start of the infusion on.

In force: its context applies, and every reading it looks at is expected of this bed. Pressures are expected from the
start of the infusion on; before that, what is open before READY asks for them. Not counted: requests; rules over what a
nurse enters; the seconds in which another alarm already says so of the same device (those that the rules over these
counts name with `own_alarm`); and SpO2 that the cuff on its arm takes away.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from edge.core import unwatched
from edge.core.alarms import ACTIVE
from edge.core.context import RuleContext
from edge.core.logic import either
from edge.core.rule import Rule, applies
from edge.core.state import BedState, Session
from edge.model import DeviceKind, Phase
from edge.vocabulary import DETERMINATION, METRICS

COURSE: frozenset[Phase] = frozenset({"INFUSING", "PAUSED", "RECOVERY", "DISCHARGE_READY"})  # from the start on
COMPARED: frozenset[Phase] = frozenset({"INFUSING", "PAUSED", "RECOVERY"})  # with the baseline, in any case
PAIRED = frozenset({"sbp_mmhg", "dbp_mmhg"})
GIVES: dict[str, tuple[DeviceKind, ...]] = {  # what is expected of a bed that has one of these
    "spo2_pct": ("oximeter", "monitor"), "pulse_bpm": ("oximeter", "monitor"),
    "sbp_mmhg": ("nibp", "monitor"), "dbp_mmhg": ("nibp", "monitor"), "rate_ml_h": ("pump",),
}


@dataclass(frozen=True, slots=True)
class Watched:
    """A rule that must be answerable, and what can leave it unanswered: metrics, baseline values, the pump's word."""

    rule: Rule
    metrics: tuple[str, ...]
    baselines: tuple[str, ...]
    of_pump: bool
    above: tuple[str, ...]  # the higher tiers of its group


@dataclass(frozen=True, slots=True)
class Watch:
    """All such rules, and those whose alarms say already that a device is not watched."""

    rules: tuple[Watched, ...] = ()
    metrics: frozenset[str] = frozenset()  # all that they look at
    said_by: frozenset[str] = frozenset()


def watch_over(rules: Sequence[Rule]) -> Watch:
    """What to look at for these rules."""
    found = []
    for rule in rules:
        uses = [use for part in (rule.when, rule.at_once) if part for use in part.uses]
        if rule.request or any(use.fact.of_person or use.fact.of_watching for use in uses):
            continue
        found.append(Watched(
            rule, tuple(dict.fromkeys(metric for use in uses for metric in use.metrics)),
            tuple(dict.fromkeys(value for use in uses for value in use.baselines)),
            any(use.fact.of_pump for use in uses),
            tuple(other.id for other in rules if rule.group and other.group == rule.group and other.tier > rule.tier)))
    return Watch(tuple(found), frozenset(metric for one in found for metric in one.metrics), frozenset(
        name for rule in rules for part in rule.conditions.values() if part.of_watching
        for use in part.uses if use.fact.name == "own_alarm" for name in use.arguments))


def look(state: BedState, watch: Watch, at_s: float) -> None:
    """Count the time since the last look, as it stands at `at_s`."""
    session, since_s, state.looked_s = state.session, state.looked_s, at_s
    if not state.engine.unwatched_of_s or session is None or since_s is None:
        return
    unwatched.forget(state, at_s - state.engine.unwatched_of_s)
    since_s = max(since_s, session.opened_s)
    if since_s >= at_s:
        return
    said = {alarm.device for alarm in state.alarms.values() if alarm.rule in watch.said_by and alarm.state in ACTIVE}
    said |= {name for name, device in state.devices.items() if device.away}
    context = RuleContext(state, at_s)
    unknown = frozenset(metric for metric in watch.metrics if context.metric(metric) is None)
    if context.pair_is_unknown():
        unknown |= PAIRED
    for one in watch.rules:
        if (state.no_pump and one.of_pump) or not applies(one.rule.context, session):
            continue
        if _is_answered(state, session, one, unknown):
            continue
        for cause, metrics in _causes(state, session, one, context):
            if cause not in said:
                unwatched.count(state, cause, since_s, at_s, one.rule.title, metrics)


def _is_answered(state: BedState, session: Session, one: Watched, unknown: frozenset[str]) -> bool:
    """Nearly always: everything it looks at is known, and nothing has begun that holes could keep from filling."""
    if one.rule.for_each or one.of_pump or not unknown.isdisjoint(one.metrics):
        return False
    if any(getattr(session.baseline, value, None) is None for value in one.baselines):
        return False
    alarm = state.alarms.get(one.rule.id)
    return alarm is None or alarm.true_from_s is None


def _causes(state: BedState, session: Session, one: Watched,
            whole: RuleContext) -> Iterator[tuple[str, tuple[str, ...]]]:
    """What leaves this rule unanswered now, each with the metrics that are missing."""
    compares = session.phase in COMPARED or session.is_open_period
    if any(metric in DETERMINATION for metric in one.metrics) and not (compares or session.phase in COURSE):
        return
    if not all(_is_expected(state, session, metric) for metric in (*one.metrics, *one.baselines)):
        return
    missing = tuple(value for value in one.baselines if getattr(session.baseline, value, None) is None)
    if missing:
        if compares:
            yield unwatched.BASELINE, missing
        return
    for device in _devices(state, one.rule):
        context = whole.for_device(device) if device else whole
        truth = either((one.rule.when.evaluate(context), one.rule.at_once is not None
                        and one.rule.at_once.evaluate(context)))
        if truth is None:
            yield from _unknown(context, one)
        elif truth and one.metrics and _never_fills(context, one):
            source = _source(state, one.metrics[0])
            if source is not None:
                yield source, one.metrics[:1]


def _devices(state: BedState, rule: Rule) -> list[str | None]:
    return [name for name, device in state.devices.items() if device.kind in rule.for_each] if rule.for_each else [None]


def _unknown(context: RuleContext, one: Watched) -> Iterator[tuple[str, tuple[str, ...]]]:
    """The devices whose readings, or whose own word, are missing."""
    lacking = [metric for metric in one.metrics if _is_unknown(context, one.rule, metric)]
    if not lacking:
        pumps = [name for name, device in context.state.devices.items() if device.kind == "pump"] if one.of_pump else []
        yield from ((name, ()) for name in ([context.device] if context.device else pumps[:1]))
    for source in dict.fromkeys(_source(context.state, metric) for metric in lacking):
        metrics = tuple(metric for metric in lacking if _source(context.state, metric) == source)
        if source is not None and not any(context.is_excused(metric) for metric in metrics):
            yield source, metrics


def _is_unknown(context: RuleContext, rule: Rule, metric: str) -> bool:
    return context.metric(metric) is None or (
        metric in DETERMINATION and rule.when.determinations > 1 and context.pair_is_unknown())


def _never_fills(context: RuleContext, one: Watched) -> bool:
    alarms, rule = context.state.alarms, one.rule
    if any(name in alarms and alarms[name].state in ACTIVE for name in one.above):
        return False
    alarm = alarms.get(rule.id if context.device is None else f"{rule.id}:{context.device}")
    return (alarm is not None and alarm.state not in ACTIVE and rule.hold_s > 0 and alarm.true_from_s is not None
            and context.at_s - alarm.true_from_s > rule.hold_s)


def _source(state: BedState, metric: str) -> str | None:
    """The device that a metric comes from now, else the first that could give it."""
    latest = state.latest.get(metric)
    if latest is not None and latest.device in state.devices:
        return latest.device
    kinds = GIVES.get(metric, ("pump",) if METRICS[metric].group == "pump" else ())
    return next((name for kind in kinds for name, device in state.devices.items() if device.kind == kind), None)


def _is_expected(state: BedState, session: Session, metric: str) -> bool:
    """What its kinds of device always measure; anything else from its first valid reading in this session on. A
    monitor may have no cuff: pressures are expected of one that sends them."""
    for device in state.devices.values():
        if device.kind in GIVES.get(metric, ()) and not (
                device.kind == "monitor" and metric in DETERMINATION and metric not in device.newest_s):
            return True
    latest = state.latest.get(metric)
    return latest is not None and latest.valid_at_s is not None and latest.valid_at_s >= session.opened_s
