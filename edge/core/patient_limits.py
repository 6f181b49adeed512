"""Limits of one patient: a few numbers of the rules that a prescriber may set for a session, within bounds.

A `[[limit]]` of rules.toml names a number of one rule, and from where to where it may be set. For a patient with a
limit of their own the rule is the same but for that number, in its conditions and in its words; numbers that keep their
distance to it (`moves`: where the alarm ends) move along. All else, the rules above it too, stays as it is.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from edge.core.entered import Limit
from edge.core.expression import nearest
from edge.core.tables import BadTable, Text, read_table
from edge.toml_lines import Where

Number = Annotated[float, Meta(description="a number")]
NUMBER = re.compile(r"(?<![\w.{])\d+(?:\.\d+)?(?![\w]*\})")
CONDITIONS, WORDS = ("when", "at_once", "clear"), ("title", "text", "ended", "limit", "at_once_limit", "clears")


class _Table(msgspec.Struct, kw_only=True):
    id: Annotated[str, Meta(pattern=r"^[a-z0-9_]{1,40}$", description="a word of a-z, 0-9 and _")]
    title: Text
    unit: Text
    rule: Annotated[str, Meta(description="a rule's id")]
    number: Number
    least: Number
    most: Number
    moves: Annotated[list[float], Meta(description="a list of numbers")] = []


def read_limits(tables: object, rules: Mapping[str, Mapping[str, Any]]) -> tuple[Limit, ...]:
    """The [[limit]] tables; `rules`: each [[rule]] as it is written, by id. Raises BadTable."""
    if not isinstance(tables, list):
        raise BadTable(("limit",), "write [[limit]] tables")
    found: list[Limit] = []
    for number, table in enumerate(tables):
        where: Where = ("limit", number)
        one = read_table(_Table, table, where, "[[limit]]")
        if one.rule not in rules:
            raise BadTable((*where, "rule"), f"no rule is named {one.rule!r}{nearest(one.rule, rules)}")
        if one.id in {other.id for other in found}:
            raise BadTable((*where, "id"), f"a limit is named {one.id!r} already")
        if not one.least <= one.number <= one.most:
            raise BadTable((*where, "number"),
                           f"{one.number:g} is not from least, {one.least:g}, to most, {one.most:g}")
        written = {value for key in CONDITIONS for value in _numbers(rules[one.rule].get(key, ""))}
        for key, value in (("number", one.number), *(("moves", value) for value in one.moves)):
            if value not in written:
                raise BadTable((*where, key), f"{one.rule} has no number {value:g} in its conditions")
        found.append(Limit(one.id, one.title, one.unit, one.rule, one.number, one.least, one.most, tuple(one.moves)))
    return tuple(found)


def varied(table: Mapping[str, Any], limits: Sequence[tuple[Limit, float]]) -> dict[str, Any]:
    """A [[rule]] as it is written, with these limits of a patient instead of its own numbers."""
    if not limits:
        return dict(table)
    new = {number: value + number - limit.number for limit, value in limits for number in (limit.number, *limit.moves)}
    found = dict(table)
    for key in CONDITIONS:
        if key in found:
            found[key] = _condition(found[key], new)
    for key in WORDS:
        if key in found:
            found[key] = NUMBER.sub(lambda one: _word(one[0], new), str(found[key]))
    own = ", ".join(f"usual {limit.number:g}" for limit, _ in limits)
    found["text"] += " (this patient's limit)"
    found["limit"] = f"{found.get('limit', '')} (this patient's; {own})"
    return found


def _numbers(condition: str) -> set[float]:
    return {float(node.value) for node in ast.walk(ast.parse(condition or "0", mode="eval"))
            if isinstance(node, ast.Constant) and isinstance(node.value, int | float)}


def _condition(text: str, new: Mapping[float, float]) -> str:
    tree = ast.parse(text.strip(), mode="eval")
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, int | float) and float(node.value) in new:
            node.value = new[float(node.value)]
    return ast.unparse(tree)


def _word(number: str, new: Mapping[float, float]) -> str:
    return f"{new[float(number)]:g}" if float(number) in new else number
