"""Rules in plain words, as a nurse reads them: `vigil rules explain`.

The conditions' sentences come from the facts (`facts.py`) and the grammar (`expression.py`); here stands how a rule
says its hold, its clear, where it applies, when it is more urgent, and what a person sees.
"""

from __future__ import annotations

import re

from edge.core.expression import Compiled
from edge.core.rule import CONTEXTS, EVERYWHERE, Rule
from edge.core.rules import RuleSet
from edge.model import DeviceKind
from edge.vocabulary import METRICS

DEVICES: dict[DeviceKind, str] = {"pump": "pump", "nibp": "cuff", "oximeter": "oximeter", "monitor": "monitor"}
CONTEXT_TEXTS = {
    "PRECHECK": "before the infusion", "READY": "when ready to start", "INFUSING": "while infusing",
    "PAUSED": "while paused", "RECOVERY": "in recovery", "DISCHARGE_READY": "when ready for discharge",
    "CLOSED": "when closed", "DISSOCIATION": "in the dissociation period", "NO_SESSION": "without a session",
}
MARGIN = " " * 15


def explain(rules: RuleSet) -> str:
    """All rules, and what holds for each of them."""
    return "\n\n".join([*(explain_rule(rule, rules) for rule in rules), _for_all(rules)])


def explain_rule(rule: Rule, rules: RuleSet) -> str:
    """One rule: how urgent and where, what raises it, what ends it, what it says, and why."""
    kind = "a request, no alarm" if rule.request else f"{rule.priority.upper()} {rule.alarm_class} alarm"
    lines = [f"{rule.id}  {rule.title}: {kind}, {_where(rule.context)}{_of_which(rule)}"]
    lines += _listed("asks" if rule.request else "raised", _of(rule, rule.when), rule.hold_s)
    if rule.at_once:
        lines += _listed("at once", _of(rule, rule.at_once), 0.0)
    if not rule.request:
        lines += _end(rule)
    if rule.device_priority:
        lines.append(_line("urgent", "as the most urgent of the device's alarms, and never less than "
                                     f"{rule.priority.upper()}"))
    for step in rule.escalations:
        where = [] if step.when and EVERYWHERE in step.context else [_where(step.context)]
        when = ", ".join(where + ([f"when {_one_line(rule, step.when)}"] if step.when else []))
        lines.append(_line("more urgent", f"{step.priority.upper()} {when}; "
                                          "while it is active it becomes no less urgent"))
    lower = [other.id for other in rules if rule.group and other.group == rule.group and other.tier < rule.tier]
    if lower:
        lines.append(_line("instead of", f"{' and '.join(lower)}: of one group only the highest is active"))
    lines.append(_line("says", _filled_in(rule.text)))
    lines += [_line(name, words) for name, words in (
        ("limit", _limit(rule)), ("says at end", _filled_in(rule.ended or ""))) if words]
    lines += [_line("why", rule.why), _line("source", rule.source)]
    return "\n".join(lines)


def _end(rule: Rule) -> list[str]:
    """What ends it, and whether its picture stays."""
    if rule.clear:
        lines = _listed("ends", _of(rule, rule.clear), rule.clear_hold_s)
    else:
        held = f" for {rule.clear_hold_s:g} s" if rule.clear_hold_s else ""
        lines = [_line("ends", f"when that is no longer so{held}")]
    if rule.continues:
        others = " or ".join(sorted(rule.continues))
        lines.append(_line("goes on", f"where {others} of the same device stood, with no new sound"))
    if rule.latch:
        what = "picture and its sound stay" if rule.latch_sound else "picture stays"
        lines.append(_line("then", f"its {what} until a nurse acknowledges it"))
    return lines


def _listed(name: str, branches: tuple[str, ...], hold_s: float) -> list[str]:
    """A condition: on one line, or each branch of its `or` on a line of its own."""
    held = f", for {hold_s:g} s" if hold_s else ""
    if len(branches) == 1:
        return [_line(name, f"when {branches[0]}{held}")]
    return [_line(name, f"when one of these is so{held}:"), *(f"{MARGIN}- {branch}" for branch in branches)]


def _of(rule: Rule, condition: Compiled) -> tuple[str, ...]:
    """The branches of a condition, with the device called by its name where it can only be one."""
    name = DEVICES[rule.for_each[0]] if len(rule.for_each) == 1 else "device"
    return tuple(branch.replace("the device", f"the {name}") for branch in condition.branches)


def _one_line(rule: Rule, condition: Compiled) -> str:
    return " or ".join(_of(rule, condition))


def _of_which(rule: Rule) -> str:
    """The devices that have an alarm each, and whether the bed has one for what belongs to none."""
    each = f", for each {' and each '.join(DEVICES[kind] for kind in rule.for_each)}" if rule.for_each else ""
    return f"{each}, and for the bed where it is no device's" if rule.for_bed else each


def _where(context: frozenset[str]) -> str:
    if EVERYWHERE in context:
        return "always"
    return ", ".join(CONTEXT_TEXTS[word] for word in CONTEXTS if word in context)


def _filled_in(text: str) -> str:
    """A text of a rule, with the names of what is filled in."""
    return re.sub(r"{(\w+)}", lambda found: f"<{METRICS[found[1]].label if found[1] in METRICS else found[1]}>", text)


def _limit(rule: Rule) -> str:
    parts = [rule.limit, f"at once: {rule.at_once_limit}" if rule.at_once_limit else ""]
    return "; ".join(part for part in parts if part)


def _line(name: str, words: str) -> str:
    return f"  {name:<{len(MARGIN) - 2}}{words}"


def _for_all(rules: RuleSet) -> str:
    engine = rules.engine
    watched = [
        _line("lately", f"of the last {engine.unwatched_of_s:g} s"),
        _line("not counted", "while another alarm says so of the device; a device disconnected as planned, or in "
                             f"maintenance; SpO₂ lost as a cuff inflates, for {engine.cuff_excuses_s:g} s, but not "
                             f"where it began within {engine.cuff_apart_s:g} s of the time before"),
    ] if engine.unwatched_of_s else []
    return "\n".join((
        "For all rules",
        _line("unknown", "no reading, one that is too old or questionable: it neither raises nor ends an alarm"),
        _line("for ... s", f"valid readings for {engine.coverage * 100:g} % of the time, and no gap of more than "
                           f"{engine.gap_s:g} s"),
        _line("in a row", f"two valid blood pressures at least {engine.pair_apart_s:g} s apart, and at most "
                          f"{engine.pair_within_s:g} s, or {engine.pair_within_intervals:g} intervals of the cuff and "
                          f"{engine.pair_spare_s:g} s where that is longer"),
        _line("again", f"an acknowledged HIGH that is still active is announced again after "
                       f"{engine.acknowledged_for_s:g} s"), *watched,
    ))
