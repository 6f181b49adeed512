"""Which alarms stop a pump that is armed, and in what time: the table [interlock] of rules.toml, checked whole."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from edge.core.expression import nearest
from edge.core.rule import Rule
from edge.core.tables import BadTable, read_table
from edge.model import Priority
from edge.toml_lines import Where

Seconds = Annotated[float, Meta(gt=0, le=600, description="seconds, more than 0 and at most 600")]


class Stopping(msgspec.Struct, frozen=True):
    """Alarms of these rules (one, and the higher tiers of its group) stop the pump, from this priority on; at once, or
    once nobody has acknowledged one for so long."""

    rules: frozenset[str]
    priority: Priority
    unacknowledged_s: float = 0.0


class InterlockTable(msgspec.Struct, frozen=True):
    """What a rules.toml without [interlock] has, as those of 0.1.0: nothing stops a pump."""

    stops: tuple[Stopping, ...] = ()
    confirm_s: float = 0.0  # within so long the pump must say that it stands still
    second_within_s: float = 0.0  # so long after the first person the second arms it, or it is not armed


NO_INTERLOCK = InterlockTable()


class _Stops(msgspec.Struct, kw_only=True):
    rule: Annotated[str, Meta(description="a rule's id")]
    priority: Annotated[Literal["high", "medium"], Meta(description="'high' or 'medium'")]
    unacknowledged_s: Annotated[float, Meta(ge=0, le=600, description="seconds, 0 to 600")] = 0.0


class _Table(msgspec.Struct, kw_only=True):
    stops: Annotated[list[dict[str, Any]], Meta(
        min_length=1, description="a list of { rule = ..., priority = ..., unacknowledged_s = ... }")]
    confirm_s: Seconds
    second_within_s: Seconds


def read_interlock(table: Mapping[str, Any] | None, rules: Sequence[Rule]) -> InterlockTable:
    """The table [interlock], or None where there is none. Raises BadTable."""
    if table is None:
        return NO_INTERLOCK
    written = read_table(_Table, table, ("interlock",), "[interlock]")
    return InterlockTable(
        tuple(_stopping(each, rules, ("interlock", "stops", number)) for number, each in enumerate(written.stops)),
        written.confirm_s, written.second_within_s)


def _stopping(table: Mapping[str, Any], rules: Sequence[Rule], where: Where) -> Stopping:
    one = read_table(_Stops, table, where, "a stop")
    named = next((rule for rule in rules if rule.id == one.rule), None)
    known = [rule.id for rule in rules if not rule.request]
    if named is None or named.request:
        raise BadTable((*where, "rule"), f"no alarm is named {one.rule!r}{nearest(one.rule, known)}")
    higher = {rule.id for rule in rules if rule.group and rule.group == named.group and rule.tier > named.tier}
    return Stopping(frozenset({named.id} | higher), one.priority, one.unacknowledged_s)
