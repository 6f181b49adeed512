"""Rules as data: what rules.toml may say, checked whole before a single reading is judged.

A `RuleTable` is a [[rule]] as it is written, one struct with the limits and words of each key; a `Rule` is the same
ready to be judged. To add a key, add a field to both.
"""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import PurePath
from string import Formatter
from typing import Annotated, Any, get_args

import msgspec
from msgspec import Meta

from edge.core import order
from edge.core.alarms import family
from edge.core.asked import Asked, Round
from edge.core.engine import Engine
from edge.core.entered import Limit
from edge.core.expression import Compiled, ExpressionError, compile_condition, nearest
from edge.core.interlock_table import NO_INTERLOCK, InterlockTable, read_interlock
from edge.core.ladder import NO_ATTENTION, Attention, read_attention
from edge.core.patient_limits import read_limits, varied
from edge.core.rule import CONTEXTS, ContextName, Escalation, Rule
from edge.core.samples import Needs
from edge.core.state import Session
from edge.core.tables import BadTable, Text, read_table
from edge.core.telling import PLACEHOLDERS
from edge.core.watching import Watch, watch_over
from edge.model import AlarmClass, DeviceKind, Phase, Priority
from edge.toml_lines import Where, key_lines, line_of, not_toml, parsed
from edge.vocabulary import METRICS

ConditionText = Annotated[str, Meta(description='a condition, as in "spo2_pct < 90"')]
Seconds = Annotated[float, Meta(ge=0, lt=1e9, description="seconds, 0 or more")]
Flag = Annotated[bool, Meta(description="true or false")]
Contexts = Annotated[list[ContextName], Meta(min_length=1, description=f"a list of {', '.join(CONTEXTS)}")]
Urgency = Annotated[Priority, Meta(description=f"one of {', '.join(map(repr, get_args(Priority)))}")]


class RulesError(ValueError):
    """rules.toml cannot be used: file and line, what is wrong, what to write instead."""


class EscalationTable(msgspec.Struct, kw_only=True):
    """One table of a rule's `raise`, as it is written."""

    priority: Urgency
    context: Contexts = msgspec.field(default_factory=lambda: ["*"])
    when: ConditionText | None = None


class RuleTable(msgspec.Struct, kw_only=True):
    """A [[rule]] as it is written; deploy/rules.toml says what each key means."""

    id: Text
    title: Text
    alarm_class: Annotated[AlarmClass, Meta(description='"physiological" or "technical"')] = msgspec.field(name="class")
    priority: Urgency
    context: Contexts
    when: ConditionText
    text: Text
    why: Text
    source: Text
    clears: Text
    limit: Annotated[str | int | float, Meta(description="text")] = ""
    hold_s: Seconds = 0.0
    at_once: ConditionText | None = None
    at_once_limit: Text | None = None
    ended: Text | None = None
    clear: ConditionText | None = None
    clear_hold_s: Seconds = 0.0
    latch: Flag = False
    latch_sound: Flag = False
    group: Annotated[str | int, Meta(description="text")] = ""
    tier: Annotated[int, Meta(description="a whole number")] = 0
    for_each: Annotated[list[DeviceKind], Meta(description=f"a list of {', '.join(get_args(DeviceKind))}")] = []
    for_bed: Flag = False
    escalations: Annotated[list[dict[str, Any]], Meta(description="a list of tables of priority, context and when")] = (
        msgspec.field(name="raise", default_factory=list))
    continues: Annotated[list[str], Meta(description="a list of rules' ids")] = []
    request: Flag = False
    device_priority: Flag = False


_When = tuple[tuple[str, ...] | None, Phase | None, bool]  # metrics, phase, whether the dissociation period is open


@dataclass(frozen=True, slots=True)
class RuleSet:
    """All rules of a clinic, in the order of the file, and in the one in which they are judged; what they need kept."""

    rules: tuple[Rule, ...]
    hash: str
    engine: Engine
    needs: Needs
    causes: tuple[tuple[Rule, ...], ...]  # alarms: a rule alone, or a group, its highest tier first
    by_metric: Mapping[str, frozenset[str]]
    watch: Watch
    attention: Attention = NO_ATTENTION
    interlock: InterlockTable = NO_INTERLOCK
    limits: tuple[Limit, ...] = ()  # that may be set for a patient
    tables: Mapping[str, Mapping[str, Any]] = field(default_factory=dict, compare=False, repr=False)  # of those rules
    variants: dict[tuple[tuple[str, float], ...], RuleSet] = field(default_factory=dict, compare=False, repr=False)
    kept: dict[_When, Round] = field(default_factory=dict, compare=False, repr=False)

    def __iter__(self) -> Iterator[Rule]:
        return iter(self.rules)

    def named(self, rule_id: str) -> Rule:
        """The rule of this id. Raises StopIteration if there is none."""
        return next(rule for rule in self.rules if rule.id == rule_id)

    def of_patient(self, own: tuple[tuple[str, float], ...]) -> RuleSet:
        """The same for a patient with these limits, by id. One that no longer is, or is out of its bounds, is left
        out. Kept: few patients have any."""
        found = self.variants.get(own)
        if found is None:
            values = dict(own)
            limits = {limit.id: (limit, values[limit.id]) for limit in self.limits if limit.id in values
                      and limit.least <= values[limit.id] <= limit.most}
            rules = [rule if rule.id not in self.tables else self.rule_with(
                rule.id, [one for one in limits.values() if one[0].rule == rule.id]) for rule in self.rules]
            found = self.variants[own] = replace(
                assemble(rules, self.engine, self.hash, self.attention, self.interlock), limits=self.limits,
                tables=self.tables, variants=self.variants)
        return found

    def rule_with(self, rule_id: str, limits: list[tuple[Limit, float]]) -> Rule:
        """This rule, which has limits that may be set, with these set to these values."""
        return _rule(varied(self.tables[rule_id], limits), (), [])

    def asked(self, metrics: tuple[str, ...] | None, session: Session | None) -> Round:
        """The causes with a rule that looks at any of these metrics (None: all causes), as they are asked now. Kept: a
        device always sends the same, and phases are few."""
        when = (metrics, session.phase, session.is_open_period) if session else (metrics, None, False)
        found = self.kept.get(when)
        if found is None:
            ids = {rule.id for rule in self.rules} if metrics is None else set().union(
                *(self.by_metric.get(metric, frozenset()) for metric in metrics))
            found = self.kept[when] = Round.of(Asked.of(rules, session) for rules in self.causes
                                               if any(rule.id in ids for rule in rules))
        return found


def parse_rules(text: str, name: str | PurePath = "rules.toml") -> RuleSet:
    """The rules in `text`. Raises RulesError with one line that names `name` and the line of the key that is wrong."""
    try:
        data = parsed(text)
    except tomllib.TOMLDecodeError as wrong:
        line, what = not_toml(text, str(wrong))
        raise RulesError(f"{name}:{line}: {what}") from None
    lines = key_lines(text)
    try:
        return _rule_set(data, hashlib.sha256(text.encode()).hexdigest())
    except BadTable as wrong:
        raise RulesError(f"{name}:{line_of(lines, wrong.where)}: {wrong}") from None


def _rule_set(data: Mapping[str, Any], digest: str) -> RuleSet:
    tables = data.get("rule")
    extra = sorted(set(data) - {"rule", "engine", "attention", "interlock", "limit"})
    if extra or not isinstance(tables, list) or not tables or not all(isinstance(table, dict) for table in tables):
        raise BadTable((extra[0],) if extra else (),
                       f"write [[rule]] tables, [engine], [attention], [interlock] and [[limit]], not "
                       f"{', '.join(extra) or 'an empty file'}")
    engine = read_table(Engine, data.get("engine", {}), ("engine",), "[engine]")
    rules: list[Rule] = []
    for number, table in enumerate(tables):
        try:
            rules.append(_rule(table, ("rule", number), [rule.id for rule in rules]))
        except BadTable as wrong:
            raise BadTable(wrong.where, f"{table.get('id', '[[rule]]')}: {wrong}") from None
    for number, rule in enumerate(rules):
        _check_among(rule, rules, ("rule", number))
    attention = read_attention(data.get("attention", {}), [rule.id for rule in rules])
    written = {table["id"]: table for table in tables}
    limits = read_limits(data.get("limit", []), written)
    interlock = read_interlock(data.get("interlock"), rules)
    try:
        return replace(assemble(rules, engine, digest, attention, interlock), limits=limits,
                       tables={limit.rule: written[limit.rule] for limit in limits})
    except order.Circle as circle:
        number = next(number for number, rule in enumerate(rules) if rule.id == circle.first)
        raise BadTable(("rule", number, "when"), str(circle)) from None


def assemble(rules: list[Rule], engine: Engine, digest: str, attention: Attention = NO_ATTENTION,
             interlock: InterlockTable = NO_INTERLOCK) -> RuleSet:
    """`rules` as a set, with all that follows from them. Raises order.Circle."""
    return RuleSet(tuple(rules), digest, engine, _needs(rules), order.causes(rules), _by_metric(rules),
                   watch_over(rules), attention, interlock)


def _rule(table: Mapping[str, Any], where: Where, taken: list[str]) -> Rule:
    written = read_table(RuleTable, table, where, "[[rule]]")
    if written.id in taken:
        raise BadTable((*where, "id"), "this id is used twice; give each rule its own")
    for key, said in (("text", written.text), ("ended", written.ended or "")):
        _check_text(said, key, (*where, key))
    if written.latch_sound and not written.latch:
        raise BadTable((*where, "latch_sound"), "a sound that stays needs its picture: write latch = true, too")
    steps = (read_table(EscalationTable, step, (*where, "raise", number), "raise")
             for number, step in enumerate(written.escalations))
    when = _compiled(written.when, (*where, "when"))
    return Rule(
        id=written.id, title=written.title, alarm_class=written.alarm_class, priority=written.priority,
        context=frozenset(written.context), text=written.text, why=written.why, source=written.source,
        clears=written.clears, limit=str(written.limit),
        at_once_limit=written.at_once_limit or "", ended=written.ended or "",
        hold_s=written.hold_s, clear_hold_s=written.clear_hold_s,
        latch=written.latch, latch_sound=written.latch_sound, request=written.request,
        device_priority=written.device_priority,
        continues=frozenset(written.continues),
        group=str(written.group), tier=written.tier, for_each=tuple(written.for_each), for_bed=written.for_bed,
        when=when, of_pump=any(use.fact.of_pump for use in when.uses),
        at_once=None if written.at_once is None else _compiled(written.at_once, (*where, "at_once")),
        clear=None if written.clear is None else _compiled(written.clear, (*where, "clear")),
        escalations=tuple(
            Escalation(step.priority, frozenset(step.context),
                  None if step.when is None else _compiled(step.when, (*where, "raise", number, "when")))
            for number, step in enumerate(steps)),
    )


def _compiled(text: str, where: Where) -> Compiled:
    try:
        return compile_condition(text)
    except ExpressionError as wrong:
        raise BadTable(where, str(wrong)) from None


def _check_text(text: str, key: str, where: Where) -> None:
    """A text that cannot be filled in must fail here, not when its alarm is raised."""
    try:
        parts = list(Formatter().parse(text))
    except ValueError as wrong:
        raise BadTable(where, f"{key} cannot be read: {wrong}; write {{{{ for a brace") from None
    for _, name, spec, conversion in parts:
        if name is not None and (name not in PLACEHOLDERS or spec or conversion):
            raise BadTable(where, f"{key} names {{{name}}}, which nothing fills in{nearest(name, PLACEHOLDERS)}")


def _check_among(rule: Rule, rules: list[Rule], where: Where) -> None:
    """What a rule says of others. A name nobody has would quietly never be active; of two rules of one tier, one would
    hide the other."""
    known = {rule.id for rule in rules} | {family(rule.id) for rule in rules}
    for key, condition in rule.conditions.items():
        for other in sorted(condition.rules - known):
            raise BadTable((*where, *key.split(".")),
                           f"{rule.id}: standing({other!r}): no rule or family has that name{nearest(other, known)}")
    ids = {rule.id for rule in rules}
    for other in sorted(rule.continues - ids):
        raise BadTable((*where, "continues"), f"{rule.id}: no rule is named {other!r}{nearest(other, ids)}")
    first = next(one for one in rules if (one.group, one.tier) == (rule.group, rule.tier))
    if rule.group and first is not rule:
        raise BadTable((*where, "tier"),
                       f"{rule.id}: tier {rule.tier} of group {rule.group!r} is {first.id}'s; give each its own")


# --- what the rules need kept -----------------------------------------------------------------------------------------


def _needs(rules: list[Rule]) -> Needs:
    """The longest window of each account, and for each metric the longest hold that needs its coverage."""
    windows: dict[tuple[str, float], float] = {}
    coverage_s: dict[str, float] = {}
    for rule in rules:
        for account in (account for condition in rule.conditions.values() for account in condition.accounts):
            key = (account.metric, account.limit)
            windows[key] = max(windows.get(key, 0.0), account.window_s)
        for condition, hold_s in ((rule.when, rule.hold_s), (rule.clear or rule.when, rule.clear_hold_s)):
            for metric in condition.sampled if hold_s else ():
                coverage_s[metric] = max(coverage_s.get(metric, 0.0), hold_s)
    return Needs.of(windows, coverage_s)


def _by_metric(rules: list[Rule]) -> dict[str, frozenset[str]]:
    return {
        metric: frozenset(rule.id for rule in rules
                          if any(metric in condition.metrics for condition in rule.conditions.values()))
        for metric in METRICS
    }
