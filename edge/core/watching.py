"""Watching: looks with every tick whether each rule in force can be answered, and counts the seconds in which not.

A second of a rule counts against a cause (a device, or no baseline) while

    its condition is unknown for want of a reading of that device, or of the device's own word;
    it has a hold, its condition is true, no valid reading has said otherwise for longer than the hold (less
        `unwatched_ahead_s`, for a long one), and yet neither it nor a higher tier of its group is active: holes keep
        the hold from filling;
    it compares with a baseline value that does not exist, from the start of the infusion on.

In force: its context applies, and every reading it looks at is expected of this bed. Pressures are expected from the
start of the infusion on; before that, what is open before READY asks for them. Not counted: requests; rules over what a
nurse enters; the seconds in which another alarm already says so of the same device and the same metrics (those that
the rules over these counts name); and SpO2 that the cuff on its arm takes away.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Self

from edge.core import unwatched
from edge.core.alarms import ACTIVE, family
from edge.core.asked import One, Together
from edge.core.channels import drug_pump, pumps_of
from edge.core.context import RuleContext
from edge.core.expression import Compiled, compile_condition
from edge.core.logic import Truth
from edge.core.rule import Rule, applies
from edge.core.state import BedState, Session
from edge.model import DeviceKind, Phase
from edge.vocabulary import DETERMINATION, METRICS

COURSE: frozenset[Phase] = frozenset({"INFUSING", "PAUSED", "RECOVERY", "DISCHARGE_READY"})  # from the start on
COMPARED: frozenset[Phase] = frozenset({"INFUSING", "PAUSED", "RECOVERY"})  # with the baseline, in any case
PAIRED = frozenset({"sbp_mmhg", "dbp_mmhg"})
BASELINE_OF = "baseline.{}"  # the baseline value of a metric, beside the metric itself
GIVES: dict[str, tuple[DeviceKind, ...]] = {  # what is expected of a bed that has one of these
    "spo2_pct": ("oximeter", "monitor"), "pulse_bpm": ("oximeter", "monitor"),
    "sbp_mmhg": ("nibp", "monitor"), "dbp_mmhg": ("nibp", "monitor"), "rate_ml_h": ("pump",),
}


@dataclass(frozen=True, slots=True)
class Watched:
    """A rule that must be answerable, and what can leave it unanswered: metrics, baseline values, the pump's word."""

    rule: Rule
    is_so: Compiled  # its `when`, or its `at_once`
    metrics: tuple[str, ...]
    baselines: tuple[str, ...]
    needs: frozenset[str]  # both, baseline values as in BASELINE_OF
    of_pump: bool
    always: bool  # it asks more than readings: the word of a device, which may be missing while they are there
    above: tuple[str, ...]  # the higher tiers of its group


@dataclass(frozen=True, slots=True)
class InForce:
    """Such rules in one phase, and whether any that is asked `always` is true or unknown: nearly always none is."""

    rules: tuple[Watched, ...]
    speaks: Callable[[RuleContext], bool]

    @classmethod
    def of(cls, rules: Iterable[Watched]) -> Self:
        """All of them."""
        rules = tuple(rules)
        return cls(rules, Together.of((One(one.rule.for_each, one.is_so.code) for one in rules if one.always),
                                      unknown=True).any)


@dataclass(frozen=True, slots=True)
class Watch:
    """All such rules, and those whose alarms say already that a device is not watched."""

    rules: tuple[Watched, ...] = ()
    metrics: frozenset[str] = frozenset()  # all that they look at
    baselines: frozenset[str] = frozenset()
    said_by: dict[str, frozenset[str]] = field(default_factory=dict)  # what they say is missing; see BedState.said_by
    kept: dict[tuple[Phase, bool], InForce] = field(default_factory=dict, compare=False, repr=False)

    def in_force(self, session: Session) -> InForce:
        """Those whose context applies. Kept: phases are few."""
        when = (session.phase, session.is_open_period)
        found = self.kept.get(when)
        if found is None:
            found = self.kept[when] = InForce.of(one for one in self.rules if applies(one.rule.context, session))
        return found


def watch_over(rules: Sequence[Rule]) -> Watch:
    """What to look at for these rules."""
    found = []
    for rule in rules:
        uses = [use for part in (rule.when, rule.at_once) if part for use in part.uses]
        if rule.request or any(use.fact.of_person or use.fact.of_watching for use in uses):
            continue
        is_so = compile_condition(f"({rule.when.text}) or ({rule.at_once.text})") if rule.at_once else rule.when
        metrics = tuple(dict.fromkeys(metric for use in uses for metric in use.metrics))
        baselines = tuple(dict.fromkeys(value for use in uses for value in use.baselines))
        of_pump = any(use.fact.of_pump for use in uses)
        found.append(Watched(
            rule, is_so, metrics, baselines, frozenset({*metrics, *map(BASELINE_OF.format, baselines)}),
            of_pump, of_pump or bool(rule.for_each),
            tuple(other.id for other in rules if rule.group and other.group == rule.group and other.tier > rule.tier)))
    return Watch(
        tuple(found), frozenset(metric for one in found for metric in one.metrics),
        frozenset(value for one in found for value in one.baselines), _said_by(rules))


def _said_by(rules: Sequence[Rule]) -> dict[str, frozenset[str]]:
    """By rule that others name beside these counts, what its alarm says is missing. One named with `own_alarm` says so
    of all that its device gives, as it did before alarms were told apart by that."""
    uses = [use for rule in rules for part in rule.conditions.values() if part.of_watching for use in part.uses]
    whole = {name for use in uses if use.fact.name == "own_alarm" for name in use.rules}
    parts = {name for use in uses if use.fact in unwatched.FACTS for name in use.rules}
    return {rule.id: rule.lost if names.isdisjoint(whole) else unwatched.ALL for rule in rules
            if not (names := {rule.id, family(rule.id)}).isdisjoint(whole | parts)}


def look(context: RuleContext, watch: Watch) -> None:
    """Count the time since the last look, as it stands now."""
    state, at_s = context.state, context.at_s
    session, since_s, state.looked_s = state.session, state.looked_s, at_s
    if not state.engine.unwatched_of_s or session is None or since_s is None:
        return
    unwatched.forget(state, at_s - state.engine.unwatched_of_s)
    since_s = max(since_s, session.here_s)
    if since_s >= at_s:
        return
    away = {name: unwatched.ALL for name, device in state.devices.items() if device.away}
    said = {**unwatched.said_now(state), **away}
    begun = {alarm.rule for alarm in state.alarms.values() if alarm.true_from_s is not None}
    unknown = _unknown_now(context, session, watch)
    in_force = watch.in_force(session)
    quiet = not in_force.speaks(context)
    for one in in_force.rules:
        if (quiet or not one.always) and unknown.isdisjoint(one.needs) and one.rule.id not in begun:
            continue  # nearly always: all is known, and nothing has begun that holes could keep from filling
        if state.no_pump and one.of_pump:
            continue
        missing = tuple([value for value in one.baselines if getattr(session.baseline, value, None) is None])
        contexts = context.for_each(one.rule.for_each) if one.rule.for_each else (context,)
        found = [(where, truth) for where in contexts if (truth := one.is_so.evaluate(where)) is not False]
        if not missing and not found:
            continue
        for cause, metrics in _causes(state, session, one, missing, found):
            if (lacking := unwatched.unsaid(metrics, said.get(cause))) is not None:
                counted_for = unwatched.taking_turns(state, cause, lacking, said)
                unwatched.count(state, counted_for, since_s, at_s, one.rule.title, lacking)


def _unknown_now(context: RuleContext, session: Session, watch: Watch) -> set[str]:
    """The metrics and baseline values that nobody knows now."""
    unknown = {metric for metric in watch.metrics if context.metric(metric) is None}
    baseline = session.baseline
    unknown |= {BASELINE_OF.format(value) for value in watch.baselines if getattr(baseline, value, None) is None}
    return unknown | PAIRED if context.pair_is_unknown() else unknown


def _causes(state: BedState, session: Session, one: Watched, missing: tuple[str, ...],
            found: Iterable[tuple[RuleContext, Truth]]) -> Iterator[tuple[str, tuple[str, ...]]]:
    """What leaves this rule unanswered now, each with the metrics that are missing. `missing`: baseline values;
    `found`: where its condition is not false."""
    compares = session.phase in COMPARED or session.is_open_period
    if any(metric in DETERMINATION for metric in one.metrics) and not (compares or session.phase in COURSE):
        return
    if not all(_is_expected(state, session, metric) for metric in (*one.metrics, *one.baselines)):
        return
    if missing and compares:
        yield unwatched.BASELINE, missing
    for context, truth in found:
        if truth is None:
            yield from _unknown(context, one)
        elif (one.metrics or one.of_pump) and _never_fills(context, one):
            source = _source(state, one.metrics[0]) if one.metrics else context.device or _pump(state)
            if source is not None:
                yield source, one.metrics[:1]


def _unknown(context: RuleContext, one: Watched) -> Iterator[tuple[str, tuple[str, ...]]]:
    """The devices whose readings, or whose own word, are missing."""
    lacking = [metric for metric in one.metrics if _is_unknown(context, one.rule, metric)]
    if not lacking and (name := context.device or (_pump(context.state) if one.of_pump else None)):
        yield name, ()
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
    engine = context.state.engine
    ahead_s = engine.unwatched_ahead_s if rule.hold_s >= engine.unwatched_of_s else 0.0  # what it counted is forgotten
    alarm = alarms.get(rule.id if context.device is None else f"{rule.id}:{context.device}")
    return (alarm is not None and alarm.state not in ACTIVE and rule.hold_s > 0 and alarm.true_from_s is not None
            and context.at_s - alarm.true_from_s > rule.hold_s - ahead_s)


def _source(state: BedState, metric: str) -> str | None:
    """The device that a metric comes from now, else the first that could give it."""
    latest = state.latest.get(metric)
    if latest is not None and latest.device in state.devices:
        return latest.device
    if METRICS[metric].group == "pump":
        return _pump(state)
    kinds = GIVES.get(metric, ())
    return next((name for kind in kinds for name, device in state.devices.items() if device.kind == kind), None)


def _pump(state: BedState) -> str | None:
    """The pump whose word the rules ask for: the drug's; unknown which that is, the first."""
    return drug_pump(state) or next(iter(pumps_of(state)), None)


def _is_expected(state: BedState, session: Session, metric: str) -> bool:
    """What its kinds of device always measure; anything else from its first valid reading in this session on. A
    monitor may have no cuff: pressures are expected of one that sends them."""
    for device in state.devices.values():
        if device.kind in GIVES.get(metric, ()) and not (metric in DETERMINATION and device.never_gave(metric)):
            return True
    latest = state.latest.get(metric)
    return latest is not None and latest.valid_at_s is not None and latest.valid_at_s >= session.here_s
