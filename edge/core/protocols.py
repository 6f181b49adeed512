"""Protocols as data: protocols.toml, checked whole before a session is opened; what is open of a protocol's gates."""

from __future__ import annotations

import ast
import tomllib
from collections.abc import Mapping
from functools import cache
from importlib import resources
from pathlib import PurePath
from string import Formatter
from typing import Any

from edge.core.context import RuleContext
from edge.core.expression import Compiled, ExpressionError, compile_condition, nearest
from edge.core.protocol import (
    ByHand,
    Course,
    DissociationTimes,
    Gate,
    Limits,
    OrderLimits,
    PkModel,
    Protocol,
    Protocols,
    Schedules,
    Step,
)
from edge.core.state import Determination
from edge.core.tables import BadTable, read_table
from edge.core.telling import IN_GATES
from edge.toml_lines import Where, key_lines, line_of, not_toml, parsed

OF_A_STAY = {"session.ended_s", "session.started_s", "known"}  # what a condition asks that time alone ends


class ProtocolsError(ValueError):
    """protocols.toml cannot be used: file and line, what is wrong, what to write instead."""


def parse_protocols(text: str, name: str | PurePath = "protocols.toml") -> Protocols:
    """The protocols in `text`. Raises ProtocolsError with one line that names `name` and the line that is wrong."""
    try:
        data = parsed(text)
    except tomllib.TOMLDecodeError as wrong:
        line, what = not_toml(text, str(wrong))
        raise ProtocolsError(f"{name}:{line}: {what}") from None
    try:
        return _protocols(data)
    except BadTable as wrong:
        raise ProtocolsError(f"{name}:{line_of(key_lines(text), wrong.where)}: {wrong}") from None


@cache
def as_in_0_1_0() -> Protocols:
    """What 0.1.0 did, whatever the name of the protocol was: for journals and tests that name no protocols."""
    return parse_protocols(resources.files("edge.core").joinpath("protocols-0.1.0.toml").read_text("utf-8"))


def _protocols(data: Mapping[str, Any]) -> Protocols:
    tables = data.get("protocol")
    if not isinstance(tables, list) or not tables:
        raise BadTable((), "write [[protocol]] tables")
    extra = sorted(set(data) - {"protocol", "unknown"})
    if extra:
        raise BadTable((extra[0],), f"no key {extra[0]!r} here; write [[protocol]] tables")
    found: dict[str, Protocol] = {}
    written: dict[str, Mapping[str, Any]] = {}
    for number, table in enumerate(tables):
        whole = _whole(table, written, ("protocol", number))
        protocol = _protocol(whole, table, ("protocol", number))
        written[protocol.id] = whole
        if protocol.id in found:
            raise BadTable(("protocol", number, "id"), "this id is used twice; give each protocol its own")
        found[protocol.id] = protocol
    unknown = data.get("unknown", "")
    if unknown and unknown not in found:
        raise BadTable(("unknown",), f"no protocol is named {unknown!r}{nearest(str(unknown), found)}")
    return Protocols(found, unknown)


def _whole(table: Any, before: Mapping[str, Mapping[str, Any]], where: Where) -> Mapping[str, Any]:
    """A [[protocol]] with what it takes over from the one that `like` names."""
    if not isinstance(table, dict):
        raise BadTable(where, "[[protocol]] must be a table")
    if "like" not in table:
        return table
    like = table["like"]
    if not isinstance(like, str) or like not in before:
        raise BadTable((*where, "like"), f"no protocol above this one is named {like!r}"
                       + (nearest(str(like), before) if before else "; write the one that is meant first"))
    base, own = before[like], {key: value for key, value in table.items() if key not in ("like", "without")}
    if "by_hand" in own:  # the limits of a pump have no meaning then
        base = {key: value for key, value in base.items() if key != "pk"} | {"order": {}}
    tables = {key: {**base.get(key, {}), **own[key]} for key in ("order", "course", "dissociation", "schedule")
              if isinstance(own.get(key), dict)}
    without = table.get("without", [])
    known = [gate["id"] for key in GATES for gate in base.get(key, [])]
    if not isinstance(without, list):
        raise BadTable((*where, "without"), f"without must be a list of gates, as in [{without!r}]")
    for name in without:
        if name not in known:
            raise BadTable((*where, "without"), f"{like} has no gate {name!r}{nearest(str(name), known)}")
    kept = {key: [gate for gate in base.get(key, []) if gate["id"] not in without] for key in GATES}
    return {**base, **own, **tables, **{key: _gates(kept[key], own.get(key, [])) for key in GATES}}


def _gates(base: list[dict[str, Any]], own: Any) -> Any:
    """Gates of the same id replace, others come after."""
    if not isinstance(own, list) or not all(isinstance(gate, dict) and isinstance(gate.get("id"), str) for gate in own):
        return own
    named = {gate.get("id"): gate for gate in own}
    return [named.pop(gate["id"], gate) for gate in base] + list(named.values())


GATES = ("ready", "discharge", "go_on")


def _protocol(table: Mapping[str, Any], written: Mapping[str, Any], where: Where) -> Protocol:
    """`table`: with all it takes over; `written`: as it stands in the file."""
    parts: dict[str, Any] = dict(table)
    if "by_hand" in table:
        parts["by_hand"] = read_table(ByHand, table["by_hand"], (*where, "by_hand"), "[protocol.by_hand]")
    if "pk" in table:
        parts["pk"] = read_table(PkModel, table["pk"], (*where, "pk"), "[protocol.pk]")
    parts["schedule"] = _schedules(table.get("schedule", {}), (*where, "schedule"))
    for key, struct in (("course", Course), ("dissociation", DissociationTimes)):
        parts[key] = read_table(struct, table.get(key, {}), (*where, key), f"[protocol.{key}]")
    order = table.get("order", {})
    limits = {key: read_table(Limits, one, (*where, "order", key), key) for key, one in order.items()} \
        if isinstance(order, dict) else order
    parts["order"] = read_table(OrderLimits, limits, (*where, "order"), "[protocol.order]")
    for key in OrderLimits.__struct_fields__:
        if (key in limits) is ("by_hand" in table):
            raise BadTable((*where, "order"), f"a dose given by hand has no limits of a pump: take {key} out"
                           if key in limits else f"needs {key} = {{ low = ..., high = ... }}")
    for key, one in limits.items():
        if one.low > one.high:
            raise BadTable((*where, "order", key), f"{key}: low must not be above high")
    for key in GATES:
        gates = table.get(key, [])
        if not isinstance(gates, list):  # one table, as [protocol.ready], would be none
            raise BadTable((*where, key), f"{key} must be a list of gates: write [[protocol.{key}]] for each")
        _check_ids(written.get(key, []), (*where, key))
        parts[key] = tuple(_gate(one, (*where, key, _place(one, written.get(key, []))), key) for one in gates)
    protocol = read_table(Protocol, parts, where, "[[protocol]]")
    if protocol.baseline_never:
        _check_condition(protocol.baseline_never, (*where, "baseline_never"))
    return protocol


def _check_ids(own: list[Any], where: Where) -> None:
    """Of two gates of one name the later would take the place of the other."""
    ids = [gate.get("id") for gate in own if isinstance(gate, dict)]
    for number, name in enumerate(ids):
        if name in ids[:number]:
            raise BadTable((*where, number, "id"), f"the gate {name!r} stands twice here; give each its own id")


def _place(gate: Any, own: list[Any]) -> int:
    """Which of a protocol's own gates it is; one that was taken over was read where it stands."""
    return next((number for number, mine in enumerate(own) if mine is gate), 0)


def _schedules(table: Any, where: Where) -> Schedules:
    if not isinstance(table, dict):
        raise BadTable(where, "[protocol.schedule] must be a table")
    rows = dict(table)
    for key in Schedules.__struct_fields__:
        steps, of = table.get(key, []), f"[[protocol.schedule.{key}]]"
        if not isinstance(steps, list):
            raise BadTable((*where, key), f"{key} must be a list of rows: write {of} for each")
        rows[key] = tuple(_step(one, (*where, key, number), of) for number, one in enumerate(steps))
    return read_table(Schedules, rows, where, "[protocol.schedule]")


def _step(table: Any, where: Where, of: str) -> Step:
    step = read_table(Step, table, where, of)
    if not step.every_min and not step.at_min:
        raise BadTable(where, f"{of} needs every_min = minutes, or at_min = a list of minutes from the start")
    if list(step.at_min) != sorted(set(step.at_min)):
        raise BadTable((*where, "at_min"), "at_min must rise from each time to the next")
    if step.when:
        _check_condition(step.when, (*where, "when"))
    return step


def _check_condition(text: str, where: Where) -> None:
    try:
        _compiled(text)
    except ExpressionError as wrong:
        raise BadTable(where, str(wrong)) from None


def _gate(table: Mapping[str, Any], where: Where, of: str) -> Gate:
    gate = read_table(Gate, table, where, f"[[protocol.{of}]]")
    _check_condition(gate.open, (*where, "open"))
    try:
        names = [name for _, name, spec, conversion in Formatter().parse(gate.words) if name is not None]
    except ValueError as wrong:
        raise BadTable((*where, "words"), f"words cannot be read: {wrong}; write {{{{ for a brace") from None
    for name in names:
        if name not in IN_GATES:
            raise BadTable((*where, "words"), f"words name {{{name}}}, which nothing fills in{nearest(name, IN_GATES)}")
    return gate


@cache
def _compiled(text: str) -> Compiled:
    return compile_condition(text)


def holds(condition: str, context: RuleContext) -> bool:
    """Whether a condition of a protocol is so; what nobody can know is not."""
    return _compiled(condition).evaluate(context) is True


def makes_no_baseline(protocol: Protocol, context: RuleContext, one: Determination) -> bool:
    """Whether this determination is none to compare a patient with."""
    never = protocol.baseline_never
    return bool(never) and _compiled(never).evaluate(context.with_determination(one)) is True


def condition_in_words(condition: str) -> str:
    """A condition of a protocol as a person reads it."""
    return _compiled(condition).words


def gate_in_words(gate: Gate) -> str:
    """When a gate is open, in words, and what it says then."""
    return f"{_compiled(gate.open).words} -> {gate.words!r}"


def open_of(gates: tuple[Gate, ...], context: RuleContext) -> list[Gate]:
    """The gates that are open. What is unknown is not open: a gate that asks for a reading says so."""
    return [gate for gate in gates if _compiled(gate.open).evaluate(context) is True]


@cache
def waits_s(condition: str) -> tuple[tuple[str, float], ...]:
    """What of a condition time alone ends: ("session.ended_s", 3600) for one that holds while that is below 3600 s."""
    found: list[tuple[str, float]] = []
    for node in ast.walk(ast.parse(condition, mode="eval")):
        match node:
            case ast.Compare(left=ast.Attribute(value=ast.Name(id="session"), attr="ended_s" | "started_s" as name),
                             ops=[ast.Lt()], comparators=[ast.Constant(value=int() | float() as limit_s)]):
                found.append((name, float(limit_s)))
            case ast.Call(func=ast.Name(id="quiet_check_in")):
                found.append(("check_in", 0.0))
    return tuple(found)


@cache
def is_a_stay(condition: str) -> bool:
    """Whether it waits for time since the start or the end of the dose, and for nothing else."""
    return bool(waits_s(condition)) and all(use.fact.name in OF_A_STAY for use in _compiled(condition).uses)


def words_of(gate: Gate, context: RuleContext) -> str:
    """What an open gate says now."""
    return gate.words.format_map({name: IN_GATES[name](context) or "not recorded" for name in _filled_in(gate.words)})


@cache
def _filled_in(words: str) -> frozenset[str]:
    return frozenset(name for _, name, _, _ in Formatter().parse(words) if name)


def beyond(protocol: Protocol, order: Mapping[str, float | None], dose_mg: float | None) -> str | None:
    """What of an order this protocol does not allow, in one line; None: nothing. `dose_mg`: ordered to be given by
    hand."""
    if protocol.by_hand is None and dose_mg is not None:
        return f"dose_mg has no meaning under {protocol.id}, whose dose a pump gives by weight"
    for key, value in order.items():
        limits: Limits | None = getattr(protocol.order, key)
        if limits is None and value is not None:
            return f"{key} has no meaning under {protocol.id}, whose dose is given by hand"
        if limits is not None and value is None:
            return f"{key} must be from {limits.low:g} to {limits.high:g} under {protocol.id}, not left out"
        if limits is not None and value is not None and not limits.low <= value <= limits.high:
            return f"{key} must be from {limits.low:g} to {limits.high:g} under {protocol.id}, not {value:g}"
    if protocol.by_hand is not None and dose_mg not in protocol.by_hand.doses_mg:
        doses = " or ".join(f"{one:g}" for one in protocol.by_hand.doses_mg)
        said = "left out" if dose_mg is None else f"{dose_mg:g}"
        return f"dose_mg must be {doses} under {protocol.id}, not {said}"
    return None
