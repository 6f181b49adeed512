"""Texts: an alarm in words for a person, and in numbers for the record."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import lru_cache, partial
from math import isfinite
from string import Formatter

from msgspec import UNSET

from edge.contract.events import AlarmMoved, Evidence
from edge.core import channels, delivery, gates, oximetry, sources, treatment
from edge.core.alarms import ACTIVE, Alarm
from edge.core.context import RuleContext
from edge.core.entered import Spot
from edge.core.expression import parts_of
from edge.core.fact import Use
from edge.core.facts import FACTS
from edge.core.logic import negate
from edge.core.rule import Rule, applies
from edge.core.state import BedState, Determination
from edge.model import AlarmState, LinkState, iso
from edge.vocabulary import ATTESTATIONS, DETERMINATION, METRICS, SYMPTOMS

_LINKS: dict[LinkState, str] = {  # for a nurse; the technician's page has the link's own reason
    "connecting": "not found yet", "silent": "it says nothing", "lost": "cable or port gone",
    "wrong_device": "another device is on its cable", "unstable": "it comes and goes", "live": "connected",
}


# "above the measuring range /min": a unit behind what is no number
_NUMBER = re.compile(r"[-+−]?\d+(?:\.\d+)?")
_UNKNOWN = "--"
_UNIT_OF_WORDS = re.compile(r"((?:above|below) the measuring range) (?:%|/min|mmHg|mL/h|mg)(?!\w)")


def _blood_pressure(sbp: float, dbp: float, form: str) -> str:
    return f"{sbp:{form}}/{dbp:{form}}"


def _baseline(context: RuleContext, _: Rule) -> str | None:
    session = context.state.session
    baseline = session.baseline if session else None
    return _blood_pressure(baseline.sbp_mmhg, baseline.dbp_mmhg, ".0f") if baseline else None


def _rise(context: RuleContext, _: Rule) -> str | None:
    """How far the newest blood pressure is from its baseline: +21/-3 %."""
    rise_pct = FACTS["rise_pct"].compute
    sbp, dbp = rise_pct(context, "sbp_mmhg"), rise_pct(context, "dbp_mmhg")
    if sbp is None or dbp is None or not isfinite(sbp) or not isfinite(dbp):
        return None
    return _blood_pressure(sbp, dbp, "+.0f").replace("-", "−") + " %"


def _reason(context: RuleContext, rule: Rule) -> str:
    """Why it is so: the last of the rule's facts that can say so, else the state of the device's link."""
    reasons = [reason for use in rule.uses if (reason := use.reason(context))]
    device = context.this_device()
    if not reasons and device and device.ask:
        return "it may be another bed's: look at its cable, then say that it is back"
    if not reasons and device and device.link != "live":
        return _LINKS[device.link]
    return reasons[-1] if reasons else "no data"


def _reasons(context: RuleContext, rule: Rule) -> str | None:
    """Why it is so: what the facts of what is true now say; else of what keeps the alarm from its end; else all."""
    causes = [part for condition in (rule.when, rule.at_once) if condition
              for part in parts_of(condition.text, "or") if part.evaluate(context) is True]
    if not causes and rule.clear:
        causes = [part for part in parts_of(rule.clear.text, "and") if part.evaluate(context) is not True]
    uses = [use for part in causes for use in part.uses] or rule.uses
    return "; ".join(dict.fromkeys(
        said for use in uses if (said := use.reason(context) or _reading(use, context)))) or None


def _reading(use: Use, context: RuleContext) -> str | None:
    """What a condition compares, where that is a reading: Respiration 4 /min."""
    value = _in_numbers(use.fact.name, context) if use.fact.name in METRICS else None
    return None if value is None else f"{METRICS[use.fact.name].label} {value} {use.unit}"


def _alarms(context: RuleContext, rule: Rule) -> str | None:
    return "; ".join(alarm.text for alarm in rule.when.alarms(context)) or None


def _in_numbers(key: str, context: RuleContext) -> str | None:
    value = context.metric(key)
    if value is None or isfinite(value):
        return None if value is None else f"{value:.{METRICS[key].decimals}f}"
    return "above the measuring range" if value > 0 else "below the measuring range"


def _of_fact(name: str, context: RuleContext) -> str | None:
    value = FACTS[name].compute(context, *FACTS[name].of)
    return None if value is None else f"{value:.{FACTS[name].decimals}f}"


def _attested(what: str, context: RuleContext) -> str:
    return gates.attested_in_words(context, what)


def _plain(word: Callable[[RuleContext], str | None]) -> Callable[[RuleContext, Rule], str | None]:
    return lambda context, _: word(context)


# what the words of a protocol's gate may name in braces
IN_GATES: Mapping[str, Callable[[RuleContext], str | None]] = {
    **{key: partial(_in_numbers, key) for key in METRICS},
    **{name: partial(_of_fact, f"check_in.{name}") for name in ("moaas", "cadss", "nausea", "anxiety", "distress")},
    **{name: partial(_attested, name) for name in ATTESTATIONS},
    "pumps": lambda context: " or ".join(channels.pumps_of(context.state)) or None,
    "programme": delivery.programme_in_words,
    "last_bp": gates.last_bp_in_words, "last_spo2": oximetry.in_words,
    "symptoms": lambda context: treatment.symptoms_in_words(context, *SYMPTOMS),
}
# what a rule's text may name in braces; what is not known is shown as --
PLACEHOLDERS: Mapping[str, Callable[[RuleContext, Rule], str | None]] = {
    **{name: _plain(word) for name, word in IN_GATES.items()},
    "bed": lambda context, _: context.state.bed, "device": lambda context, _: context.device,
    "mean": _plain(sources.mean_in_words), "against_order": _plain(delivery.against_order_in_words),
    "baseline": _baseline, "rise": _rise, "reason": _reason, "reasons": _reasons, "alarms": _alarms,
}


def alarm_moved(state: BedState, rule: Rule, alarm: Alarm, was: AlarmState, context: RuleContext,
         superseded: str | None = None) -> AlarmMoved:
    """The body of an alarm's event: what, how urgent, why, on what evidence, and what ends it. `superseded`: the rule
    of a higher tier that has taken over."""
    session = state.session
    return AlarmMoved(
        rule=rule.id, alarm=alarm.id, title=rule.title, state=alarm.state, was=was, priority=alarm.priority,
        alarm_class=rule.alarm_class, device=alarm.device, since=iso(alarm.since_s) if alarm.since_s else None,
        text=_text(rule, alarm, context, superseded), why=rule.why, clears=rule.clears,
        limit=_limit(rule, alarm, context),
        evidence=evidence(state, rule, context), by=alarm.by, phase=session.phase if session else None,
        dissociation=session.dissociation if session else None, superseded_by=superseded or UNSET,
    )


def _limit(rule: Rule, alarm: Alarm, context: RuleContext) -> str:
    if context.entries:
        return f"{rule.limit}; one that a person enters counts at once"
    return rule.at_once_limit if alarm.at_once and rule.at_once_limit else rule.limit


def request_text(state: BedState, rule: Rule, context: RuleContext) -> tuple[str, tuple[Evidence, ...]]:
    """The text of a rule's request to a person, and its evidence."""
    return _filled(rule.text, rule, context), evidence(state, rule, context)


def _text(rule: Rule, alarm: Alarm, context: RuleContext, superseded: str | None) -> str:
    if alarm.state == "inactive" and alarm.id:
        return _ended(rule, alarm, context, superseded)
    if alarm.state == "latched" and alarm.body:  # what it was about, not how things are by now
        return alarm.body.text
    text = _filled(rule.text, rule, context)
    said = alarm.body if context.state.engine.levels and alarm.body and alarm.body.rule == rule.id else None
    if said is None or said.state not in ACTIVE:
        return text
    return said.text if _knows_less(text, said.text) or _is_without_reason(rule, context) else text


def told_now(rule: Rule, context: RuleContext) -> str:
    """What the rule's text says as things are now."""
    return _filled(rule.text, rule, context)


def no_longer_fits(rule: Rule, said: AlarmMoved, text: str, context: RuleContext) -> bool:
    """Whether `text` must replace what was said: other words, a newer determination, or a number that is worse. Words
    that no longer know what was said do not: that nothing is heard is told beside them."""
    if _knows_less(text, said.text) or (_is_without_reason(rule, context) and text != said.text):
        return False
    if _wording(text) != _wording(said.text):
        return True
    for one in said.evidence:
        if one.metric in DETERMINATION:
            return True  # of another determination: nothing else changes these numbers
        value, direction = context.metric(one.metric), rule.worse.get(one.metric, 0)
        if value is not None and one.value is not None and (value - one.value) * direction > 0:
            return True
    return False


def _knows_less(text: str, said: str) -> bool:
    return _UNKNOWN in text and _UNKNOWN not in said


def _is_without_reason(rule: Rule, context: RuleContext) -> bool:
    """Whether nothing of what the rule asks says why it is so any more: what was said stands until it ends."""
    device = context.this_device()
    if "{reason}" not in rule.text or any(use.reason(context) for use in rule.uses):
        return False
    return device is None or device.link == "live" or not any(use.fact.of_link for use in rule.uses)


_AUTHOR = re.compile(r", entered by .* at \d\d:\d\d UTC$")


def _wording(text: str) -> str:
    return _NUMBER.sub("#", _AUTHOR.sub("", text))


def _ended(rule: Rule, alarm: Alarm, context: RuleContext, superseded: str | None) -> str:
    """Which other alarm covers it now, or what ended it, if the rule has a text for that; else that it is over."""
    heirs = context.active(superseded) if superseded and rule.ended else []
    heirs += [heir for name in sorted(rule.clear.rules) for heir in context.active(name)] if rule.clear else []
    if heirs:
        return f"{rule.title}: see {heirs[0].body.title if heirs[0].body else heirs[0].rule}"
    if rule.ended and applies(rule.context, context.state.session) and _is_clear(rule, context):
        return _filled(rule.ended, rule, context)
    if alarm.entered_s is not None and round(context.at_s - alarm.entered_s, 3) >= context.state.engine.entered_for_s:
        return f"{rule.title}: entered at {iso(alarm.entered_s)[11:16]} UTC, and nothing known since"
    return f"{rule.title}: over"


def _is_clear(rule: Rule, context: RuleContext) -> bool:
    """Whether it is its own condition that ends it, and not a nurse or the end of the session."""
    return (rule.clear.evaluate(context) if rule.clear else negate(rule.when.evaluate(context))) is True


def _filled(text: str, rule: Rule, context: RuleContext) -> str:
    filled = text.format_map({name: PLACEHOLDERS[name](context, rule) or _UNKNOWN for name in _names(text)})
    if " the measuring range " in filled:
        filled = _UNIT_OF_WORDS.sub(r"\1", filled)
    return filled + _author(rule, context)


@lru_cache(maxsize=1024)
def _names(text: str) -> tuple[str, ...]:
    """The placeholders of a rule's text. An active alarm's is filled at each reading, and parsed once."""
    return tuple(dict.fromkeys(name for _, name, _, _ in Formatter().parse(text) if name))


def _author(rule: Rule, context: RuleContext) -> str:
    """Who entered what these words say, and when; nothing where a device measured it."""
    entry: Spot | Determination | None = next(
        (context.entries[metric] for metric in rule.metrics if metric in context.entries), None)
    if entry is None and any(metric in DETERMINATION for metric in rule.metrics):
        entry = context.newest_determination()
    return "" if entry is None or entry.by is None else f", entered by {entry.by} at {iso(entry.at_s)[11:16]} UTC"


def evidence(state: BedState, rule: Rule, context: RuleContext) -> tuple[Evidence, ...]:
    """The readings a rule looked at, with their ages; both determinations where it compares a pair."""
    found = []
    for metric in rule.metrics:
        if metric in DETERMINATION:
            for one in state.determinations[-rule.when.determinations:]:
                found.append((metric, None if metric in one.beyond else getattr(one, metric), one.at_s))
        elif metric in context.entries:
            found.append((metric, float(context.entries[metric].value), context.entries[metric].at_s))
        elif metric in state.latest:
            latest = state.latest[metric]
            found.append((metric, latest.value, latest.at_s))
    return tuple(Evidence(metric=metric, value=value, age_s=round(context.at_s - at_s, 1))
                 for metric, value, at_s in found)
