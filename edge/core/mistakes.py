"""Mistakes in rules and protocols that can be read, and would never do what was meant: a limit that no reading has, an
end that is true while the alarm's own condition is, a name that no device says, a baseline that nobody takes.

They are refused in a clinic's files, and not in what a journal has recorded: that is replayed as it was.
"""

from __future__ import annotations

import ast
import tomllib
from collections.abc import Collection, Iterator, Mapping
from itertools import chain, islice, pairwise, product
from math import inf
from pathlib import PurePath
from typing import Any, get_args

from edge.contract.commands import OverrideGate, arguments
from edge.core.alarms import family
from edge.core.context import Number, RuleContext
from edge.core.expression import Compiled, compile_condition, nearest
from edge.core.fact import Use
from edge.core.facts import FUNCTIONS
from edge.core.protocol import Protocol
from edge.core.protocols import GATES, ProtocolsError, parse_protocols
from edge.core.rule import Rule
from edge.core.rules import RulesError, RuleSet
from edge.core.state import Baseline, BedState
from edge.model import PRIORITY_RANK, DeviceKind
from edge.toml_lines import Where, key_lines, line_of
from edge.vocabulary import DETERMINATION, METRICS

BASELINES = frozenset(METRICS) & frozenset(Baseline.__struct_fields__)
KINDS = frozenset(get_args(DeviceKind))
TOLD_BY_DEVICES = ("device_alarm", "device_reports")  # facts whose words are codes of device alarms
SAID_IN = {"check_in": ("check_in",), "session": ("start_session",)}  # where a person says what such a fact gives
OF_AN_ALARM = {  # keys that have no meaning for a request, and the fields of a rule
    "hold_s": "hold_s", "at_once": "at_once", "clear": "clear", "clear_hold_s": "clear_hold_s", "latch": "latch",
    "group": "group", "for_each": "for_each", "raise": "escalations", "continues": "continues", "ended": "ended"}
PRESSED = ("baseline", "last_bp")
TRIED = 4000  # so many combinations of readings at the limits of a rule
ORDERED = (  # numbers of [engine] of which the first is not above the second
    ("spo2_least_pct", "spo2_most_pct"), ("sbp_least_mmhg", "sbp_most_mmhg"), ("dbp_least_mmhg", "dbp_most_mmhg"),
    ("pair_apart_s", "pair_within_s"),
)
PERIOD_ORDERED = (("closes_after_s", "long_after_s"), ("closes_below_ng_ml", "fades_below_ng_ml"))
Found = Iterator[tuple[Where, str]]


def check_rules(rules: RuleSet, text: str, name: str | PurePath, codes: Collection[str]) -> None:
    """Raises RulesError at the first mistake, with one line that names `name` and the line. `codes`: the alarms that a
    device may have of its own."""
    for where, words in of_rules(rules, codes):
        raise RulesError(f"{name}:{line_of(key_lines(text), where)}: {words}")


def check_protocols(text: str, name: str | PurePath, codes: Collection[str], rules: RuleSet | None = None) -> None:
    """The same of a protocols.toml that can be read. `rules`: whose alarms its conditions may name; None: not known.
    Raises ProtocolsError."""
    data = tomllib.loads(text)
    for where, words in chain(
            of_protocols(data, codes, rules), _of_periods(data, parse_protocols(text).by_id)):
        raise ProtocolsError(f"{name}:{line_of(key_lines(text), where)}: {words}")


def of_rules(rules: RuleSet, codes: Collection[str]) -> Found:
    """Each mistake, with the way to its key."""
    for low, high in ORDERED:
        if getattr(rules.engine, low) > getattr(rules.engine, high):
            yield ("engine", low), f"[engine]: {low} must not be above {high}"
    for number, rule in enumerate(rules):
        where = ("rule", number)
        for key, condition in rule.conditions.items():
            for words in of_condition(condition, codes):
                yield (*where, key.partition(".")[0]), f"{rule.id}: {words}"
        for key, words in of_keys(rule):
            yield (*where, key), f"{rule.id}: {words}"
        for other in rules:
            if rule.group and other.group == rule.group and other.tier < rule.tier and (
                    PRIORITY_RANK[other.priority] > PRIORITY_RANK[rule.priority]):
                yield (*where, "tier"), (f"{rule.id}: it would hide {other.id}, more urgent and with a lower tier"
                                         f" of group {rule.group!r}; give the more urgent one the higher tier")
        if rule.clear is not None and (found := ends_as_it_begins(rule)):
            yield (*where, "clear"), (f"{rule.id}: clear is true while the rule's own condition is, at {found}: the"
                                      " alarm would end as it begins; let it end beyond what raises it")
    yield from _of_limits(rules, codes)


def of_keys(rule: Rule) -> Iterator[tuple[str, str]]:
    """Keys that a rule has, each with why it does nothing there."""
    if rule.request:
        for key in OF_AN_ALARM:
            if getattr(rule, OF_AN_ALARM[key]):
                yield key, f"a request is made at once, for each blood pressure, and ends with the next: take {key} out"
    elif rule.priority == "none":
        yield "priority", "nobody would be told of an alarm without priority; write low, medium or high"
    for key, condition in rule.conditions.items():
        for use in condition.uses if not rule.for_each else ():
            if use.fact.of_device and not any(name in KINDS for name in use.arguments):
                yield key.partition(".")[0], (f"{use.fact.name}(...) asks a device, and this rule is of none; write"
                                              " for_each, as in for_each = [\"pump\"]")
    if rule.id in rule.when.rules:
        yield "when", f"it asks for its own alarm, which nothing else raises; take standing({rule.id!r}) out"
    for number, step in enumerate(rule.escalations):
        if PRIORITY_RANK[step.priority] <= PRIORITY_RANK[rule.priority]:
            yield "raise", f"raise {number + 1} is no more urgent than the rule itself, which is {rule.priority!r}"
    if rule.at_once_limit and rule.at_once is None:
        yield "at_once_limit", "nothing raises it at once; write at_once, or take at_once_limit out"
    if rule.for_bed and not rule.for_each:
        yield "for_bed", "without for_each the alarm is the bed's in any case; take for_bed out"
    if rule.group and rule.for_each:
        yield "group", "an alarm for each device is in no group; take group and tier out, or for_each"
    if rule.tier and not rule.group:
        yield "tier", "a tier is of a group; write the group, too"
    if rule.device_priority and not any(use.fact.alarms for use in rule.when.uses):
        yield "device_priority", "its condition passes no device's alarm on, as device_alarm() does; take it out"


def _of_limits(rules: RuleSet, codes: Collection[str]) -> Found:
    """A bound of a patient's limit at which the rule would be a mistake."""
    for number, limit in enumerate(rules.limits):
        for key, value in (("least", limit.least), ("most", limit.most)):
            rule = rules.rule_with(limit.rule, [(limit, value)])
            for condition in rule.conditions.values():
                for words in of_condition(condition, codes):
                    yield ("limit", number, key), f"{limit.id}: {words}"
            if found := ends_as_it_begins(rule):
                yield ("limit", number, key), (f"{limit.id}: with {value:g} the alarm of {rule.id} would end as it"
                                               f" begins, at {found}; name the number of its clear in moves")


def of_condition(condition: Compiled, codes: Collection[str]) -> Iterator[str]:
    """What a condition asks that can never be answered."""
    for use in condition.uses:
        yield from _of_use(use, codes)
    for node in ast.walk(ast.parse(condition.text.strip(), mode="eval")):
        match node:
            case ast.Compare(left=ast.Name(id=metric), comparators=[limit]):
                yield from _beyond(metric, limit, node)
            case ast.Compare(left=limit, comparators=[ast.Name(id=metric)]):
                yield from _beyond(metric, limit, node)
            case ast.Compare(left=ast.Attribute(value=ast.Name(id=owner), attr=name), comparators=[limit]):
                yield from _never_said(owner, name, limit, node)
            case ast.Call(func=ast.Name(id=name), args=[inner]) if FUNCTIONS[name].determinations > 1:
                others = [one.id for one in ast.walk(inner) if isinstance(one, ast.Name) and one.id in METRICS
                          and one.id not in DETERMINATION]
                if others:
                    yield (f"{name}(...) is of blood pressures, and {others[0]} is measured apart from them; write"
                           f" its comparison outside the brackets")


def _of_use(use: Use, codes: Collection[str]) -> Iterator[str]:
    for metric in use.baselines:
        if metric not in BASELINES:
            yield f"{use.fact.name}({metric}): nobody takes a baseline of it; known: {', '.join(sorted(BASELINES))}"
    if use.fact.name == "link_live":
        for kind in use.arguments:
            if kind not in KINDS:
                yield f"link_live({kind}): no kind of device has that name{nearest(str(kind), KINDS)}"
    if use.account is not None:
        known = METRICS[use.account.metric]
        if not known.low <= use.account.limit <= known.high:
            yield (f"{use.fact.name}({use.account.metric}, {use.account.limit:g}): {known.label} is from {known.low:g}"
                   f" to {known.high:g} {known.unit}; write a limit within that")
    if use.fact.name in TOLD_BY_DEVICES:
        for code in use.arguments:
            if code not in codes:
                yield f"{use.fact.name}({code}): no device has an alarm of that name{nearest(str(code), codes)}"


def _beyond(metric: str, limit: ast.expr, comparison: ast.Compare) -> Iterator[str]:
    """A limit outside of all that can be measured."""
    number = _number(limit)
    if metric not in METRICS or number is None:
        return
    known = METRICS[metric]
    if not known.low <= number <= known.high:
        yield (f"{ast.unparse(comparison)!r}: {known.label} is from {known.low:g} to {known.high:g} {known.unit}; write"
               " a limit within that")
    elif known.decimals == 0 and 0 < number < 1:
        yield f"{ast.unparse(comparison)!r}: {known.label} is in whole {known.unit}; write a limit in that unit"


def _never_said(owner: str, name: str, limit: ast.expr, comparison: ast.Compare) -> Iterator[str]:
    """A limit that no person's entry passes, or that each does; or one of a pressure that cannot be measured."""
    number = _number(limit)
    if number is None:
        return
    if owner in PRESSED:
        yield from _beyond(name, limit, comparison)
        return
    said = next((one for verb in SAID_IN.get(owner, ()) for one in arguments(verb) if one.name == name), None)
    if said is None or said.least is None or said.most is None:
        return
    sign = type(comparison.ops[0])
    always = not said.least <= number <= said.most or (sign, number) in (
        (ast.Gt, said.most), (ast.LtE, said.most), (ast.Lt, said.least), (ast.GtE, said.least))
    if always:
        yield (f"{ast.unparse(comparison)!r}: {said.label} is {said.must_be()}, so this is always so or never; write a"
               " limit within that")


def _number(node: ast.expr) -> float | None:
    match node:
        case ast.Constant(value=int() | float() as value) if not isinstance(value, bool):
            return float(value)
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            inner = _number(operand)
            return None if inner is None else -inner
    return None


def ends_as_it_begins(rule: Rule) -> str:
    """Readings, in words, at which both what raises a rule and what ends it are true; "" where none is found.

    Tried are the limits of both, and one unit beside them. What is no reading (a baseline, a pump's word) is unknown.
    """
    if rule.clear is None:
        return ""
    values: dict[str, set[float]] = {}
    for condition in (rule.when, rule.clear):
        for node in ast.walk(ast.parse(condition.text.strip(), mode="eval")):
            match node:
                case ast.Compare(left=ast.Name(id=metric), comparators=[limit]) if metric in METRICS:
                    number, known = _number(limit), METRICS[metric]
                    step = 10.0**-known.decimals
                    near = () if number is None else (number - step, number, number + step)
                    values.setdefault(metric, set()).update(one for one in near if known.low <= one <= known.high)
    state, names = BedState(bed=""), list(values)
    for one in islice(product(*(sorted(values[name]) for name in names)), TRIED):
        readings: dict[str, Number] = dict(zip(names, one, strict=True))
        context = RuleContext(state, 0.0, readings=readings)
        if names and rule.when.evaluate(context) is True and rule.clear.evaluate(context) is True:
            return ", ".join(f"{METRICS[name].label} {value:g}" for name, value in zip(names, one, strict=True))
    return ""


def of_protocols(data: Mapping[str, Any], codes: Collection[str], rules: RuleSet | None = None) -> Found:
    """Each mistake in the tables of a protocols.toml."""
    alarms = {name for rule in rules for name in (rule.id, family(rule.id))} if rules else set()
    for number, table in enumerate(data["protocol"]):
        where: Where = ("protocol", number)
        own = table["id"]
        for path, condition in _conditions(table):
            compiled = compile_condition(condition)
            for words in of_condition(compiled, codes):
                yield (*where, *path), f"{own}: {words}"
            for name in sorted(compiled.rules - alarms if rules else ()):
                yield (*where, *path), f"{own}: no rule or family is named {name!r}{nearest(name, alarms)}"
        for key in GATES:
            gates = table.get(key, ())
            for at, role in ((at, role) for at, gate in enumerate(gates) for role in gate.get("override", ())):
                if role not in OverrideGate.roles:
                    yield (*where, key, at, "override"), (f"{own}: a {role} cannot override a gate; write"
                                                          f" {' or '.join(sorted(OverrideGate.roles))}")
        for key, steps in table.get("schedule", {}).items():
            yield from _of_schedule(steps, (*where, "schedule", key), own)
        for key, limits in table.get("order", {}).items():
            can_be = next(one for one in arguments("start_session") if one.name == key)
            if limits["low"] < (can_be.least or 0) or limits["high"] > (can_be.most or inf):
                yield (*where, "order", key), f"{own}: an order's {key} is {can_be.must_be()}; write limits within that"
        by_hand = table.get("by_hand", {})
        doses = by_hand.get("doses_mg", ())
        for dose in doses:
            if doses.count(dose) > 1:
                yield (*where, "by_hand", "doses_mg"), f"{own}: {dose:g} mg is here twice; write each dose once"
            if round(dose / by_hand["device_mg"], 6) % 1:
                yield (*where, "by_hand", "doses_mg"), (
                    f"{own}: {dose:g} mg is no whole number of devices of {by_hand['device_mg']:g} mg")


def _conditions(table: Mapping[str, Any]) -> Iterator[tuple[Where, str]]:
    """Each condition of a [[protocol]], with the way to it."""
    if "baseline_never" in table:
        yield ("baseline_never",), table["baseline_never"]
    for key in GATES:
        for at, gate in enumerate(table.get(key, ())):
            yield (key, at, "open"), gate["open"]
    for key, steps in table.get("schedule", {}).items():
        for at, step in enumerate(steps):
            if step.get("when"):
                yield ("schedule", key, at, "when"), step["when"]


def _of_schedule(steps: list[Mapping[str, Any]], where: Where, protocol: str) -> Found:
    for at, step in enumerate(steps):
        if at and not steps[at - 1].get("when"):
            yield (*where, at), (f"{protocol}: the row before this one has no when, so it always counts and this one"
                                 " never; write its when, or put it last")
        times = step.get("at_min", ())
        if step.get("early_min") and not times:
            yield (*where, at, "early_min"), (f"{protocol}: early_min is for the times of at_min; write these, or take"
                                              " it out")
        for before, after in pairwise(times):
            if step.get("early_min", 0) >= after - before:
                yield (*where, at, "early_min"), (
                    f"{protocol}: early_min reaches from minute {after:g} back to minute {before:g}, so that one"
                    f" measurement would count for both; write less than {after - before:g}")
        if where[-1] != "cuff" and "ordered" in step:
            yield (*where, at, "ordered"), (f"{protocol}: an order has an interval of the cuff alone; take ordered out")
        interval = next(one for one in arguments("start_session") if one.name == "nibp_interval_min")
        if where[-1] == "cuff" and 0 < step.get("every_min", 0) < (interval.least or 0):
            yield (*where, at, "every_min"), (f"{protocol}: a cuff may not measure so often: every {interval.least:g}"
                                              " min at most")


def _of_periods(data: Mapping[str, Any], protocols: Mapping[str, Protocol]) -> Found:
    """A dissociation period that cannot end, or ends as it opens, with what it takes over from another protocol."""
    scores = {one.name: one for one in arguments("check_in")}
    for number, table in enumerate(data["protocol"]):
        protocol, where = protocols[table["id"]], ("protocol", number)
        period = protocol.dissociation
        for key, score in (("moaas_at_most", "moaas"), ("back_moaas", "moaas"), ("cadss_above", "cadss"),
                           ("back_distress_at_most", "distress")):
            if getattr(period, key) > (most := scores[score].most or 0):
                yield (*where, "dissociation", key), (f"{protocol.id}: {key} is a {scores[score].label}, of at most"
                                                      f" {most:g}")
        if period.moaas_at_most >= period.back_moaas:
            yield (*where, "dissociation", "moaas_at_most"), (
                f"{protocol.id}: a MOAA/S of {period.back_moaas} would be both dissociation and a patient who is back;"
                " moaas_at_most must be below back_moaas")
        for low, high in PERIOD_ORDERED:
            least, most = getattr(period, low), getattr(period, high)
            if least is not None and most is not None and least > most:
                yield (*where, "dissociation", low), f"{protocol.id}: {low} must not be above {high}, which is {most:g}"
        for key in ("k10", "ke0"):
            if protocol.pk is not None and not getattr(protocol.pk, key):
                yield (*where, "pk", key), (f"{protocol.id}: {key} must be above 0: the drug would never go, or never"
                                            " come where it acts")
