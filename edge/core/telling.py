"""Telling: an alarm in words for a person, and in numbers for the record."""

from __future__ import annotations

from math import isfinite

from edge.contract.events import AlarmMoved, Evidence
from edge.core.alarms import Alarm
from edge.core.context import RuleContext
from edge.core.rule import Rule
from edge.core.state import BedState
from edge.model import AlarmState, LinkState, iso
from edge.vocabulary import DETERMINATION, METRICS

_LINKS: dict[LinkState, str] = {  # for a nurse; the technician's page has the link's own reason
    "connecting": "not found yet", "silent": "it says nothing", "lost": "cable or port gone",
    "wrong_device": "another device is on its cable", "unstable": "it comes and goes", "live": "connected",
}


class _Words(dict[str, str]):
    def __missing__(self, key: str) -> str:
        return "--"


def tell(state: BedState, rule: Rule, alarm: Alarm, was: AlarmState, context: RuleContext) -> AlarmMoved:
    """The body of an alarm's event: what, how urgent, why, on what evidence, and what ends it."""
    session = state.session
    return AlarmMoved(
        rule=rule.id, alarm=alarm.id, title=rule.title, state=alarm.state, was=was, priority=alarm.priority,
        alarm_class=rule.kind, device=alarm.device, since=iso(alarm.since_s) if alarm.since_s else None,
        text=_text(state, rule, alarm, context), why=rule.why, clears=rule.clears, limit=rule.limit,
        evidence=evidence(state, rule, context), by=alarm.by, phase=session.phase if session else None,
        dissociation=session.dissociation if session else None,
    )


def tell_request(state: BedState, rule: Rule, context: RuleContext) -> tuple[str, tuple[Evidence, ...]]:
    """What a rule asks of a person, and on what evidence."""
    return rule.text.format_map(_words(state, rule, None, context)), evidence(state, rule, context)


def _text(state: BedState, rule: Rule, alarm: Alarm, context: RuleContext) -> str:
    if alarm.state == "inactive" and alarm.id:
        return f"{rule.title}: {_ended(rule, context)}"
    if alarm.state == "latched" and alarm.body:  # what it was about, not how things are by now
        return alarm.body.text
    return rule.text.format_map(_words(state, rule, alarm.device, context))


def _ended(rule: Rule, context: RuleContext) -> str:
    """That it is over, or which other alarm speaks of it now."""
    heirs = [heir for name in sorted(rule.clear.rules) for heir in context.active(name)] if rule.clear else []
    return f"see {heirs[0].body.title if heirs[0].body else heirs[0].rule}" if heirs else "over"


def _words(state: BedState, rule: Rule, device_id: str | None, context: RuleContext) -> _Words:
    words = _Words(bed=state.bed, device=device_id or "")
    for key in METRICS:
        if key in rule.metrics or "{" + key in rule.text:
            value = context.metric(key)
            if value is not None:
                words[key] = f"{value:.{METRICS[key].decimals}f}" if isfinite(value) else _beyond(value)
    baseline = state.session.baseline if state.session else None
    if baseline:
        words["baseline"] = f"{baseline.sbp_mmhg:.0f}/{baseline.dbp_mmhg:.0f}"
    device = state.devices.get(device_id) if device_id else None
    if device and device.link != "live":
        words["reason"] = _LINKS[device.link]
    words["alarms"] = "; ".join(alarm.text for alarm in rule.when.alarms(context)) or "--"
    reasons = [reason for use in rule.uses if (reason := use.reason(context))]
    words["reason"] = reasons[-1] if reasons else words.get("reason", "no data")
    return words


def _beyond(value: float) -> str:
    return "above the measuring range" if value > 0 else "below the measuring range"


def evidence(state: BedState, rule: Rule, context: RuleContext) -> tuple[Evidence, ...]:
    """The readings a rule looked at, with their ages; both determinations where it compares a pair."""
    found = []
    for metric in rule.metrics:
        if metric in DETERMINATION:
            for one in state.determinations[-rule.when.determinations:]:
                found.append((metric, getattr(one, metric), one.at_s))
        elif metric in state.seen:
            latest = state.seen[metric]
            found.append((metric, latest.value, latest.at_s))
    return tuple(Evidence(metric=metric, value=value, age_s=round(context.at_s - at_s, 1))
                 for metric, value, at_s in found)
