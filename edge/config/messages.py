"""What is said of a wrong configuration: which of its faults are the cause, and one line for each.

Faults come from pydantic, with their way through the file; the words are ours: what is wrong, what to write instead.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from typing import get_args

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from edge.toml_lines import Where

WANTED = {
    "string_type": "text in quotes",
    "bool_type": "true or false",
    "float_type": "a number",
    "finite_number": "a finite number",
    "int_type": "a whole number",
    "tuple_type": "a list in [ ]",
    "dict_type": "a table",
    "path_type": "a path in quotes",
}
BOUNDS = {"greater_than": "above {gt:g}", "greater_than_equal": "at least {ge:g}", "less_than_equal": "at most {le:g}"}


def causes(faults: Sequence[ErrorDetails]) -> Iterator[ErrorDetails]:
    """Without what only follows: a mistyped key leaves another one missing, a wrong only entry a list too short."""
    mistyped = {fault["loc"][:-1] for fault in faults if fault["type"] == "extra_forbidden"}
    for fault in faults:
        follows = (fault["type"] == "missing" and fault["loc"][:-1] in mistyped) or (
            fault["type"] == "too_short" and fault["input"])
        if not follows:
            yield fault


def say(model: type[BaseModel], fault: ErrorDetails) -> str:
    """One fault in our words: what is wrong, and what to write instead."""
    where, kind, given, context = fault["loc"], fault["type"], fault["input"], fault.get("ctx", {})
    key = next((part for part in reversed(where) if isinstance(part, str)), "")
    table = _table_name(where[:-1])
    if kind == "extra_forbidden":
        if len(where) > 1 and key in model.model_fields and not _is_table(model, (key,)):
            return f"no key {key!r} in {table}; write it above {table}, before the first table"
        return f"no key {key!r} in {table}; {nearest(key, _fields(model, where[:-1]))}"
    if kind == "missing":
        return f"{table} lacks {key!r}; write {_header(model, where, key)}"
    if kind == "value_error":
        said = str(context["error"])
        return said if said.startswith("'") and _is_table(model, where) else f"{key}: {said}"
    if kind in ("too_short", "string_too_short"):
        return f"{key!r} must not be empty; {'write [[bed]] tables' if key == 'bed' else 'remove it or fill it in'}"
    if kind in BOUNDS:
        return f"{key!r} must be {BOUNDS[kind].format(**context)}, not {given!r}"
    if kind in ("model_type", "tuple_type") and _is_table(model, where):
        return f"{key!r} must be a table; write {_table_name((*where, 0) if kind == 'tuple_type' else where)}"
    wanted = WANTED.get(kind, fault["msg"].lower())
    return f"{key!r} must be {wanted}, not {given!r}"


def _words(where: Where) -> list[str]:
    return [part for part in where if isinstance(part, str)]


def _table_name(where: Where) -> str:
    if not _words(where):
        return "the file"
    name = f"[{'.'.join(_words(where))}]"
    return f"[{name}]" if isinstance(where[-1], int) else name


def _header(model: type[BaseModel], where: Where, key: str) -> str:
    if not _is_table(model, where):
        return f"{key} = ..."
    return f"[[{key}]]" if key == "bed" else f"[{key}]"



def _model_at(model: type[BaseModel], where: Where) -> type[BaseModel] | None:
    """The table a way leads to, or None where it leads to a plain key."""
    current: type[BaseModel] | None = model
    for word in _words(where):
        annotation = current.model_fields[word].annotation if current and word in current.model_fields else None
        inner = [annotation, *get_args(annotation)]
        current = next((part for part in inner if isinstance(part, type) and issubclass(part, BaseModel)), None)
    return current


def _is_table(model: type[BaseModel], where: Where) -> bool:
    return _model_at(model, where) is not None


def _fields(model: type[BaseModel], where: Where) -> Mapping[str, object]:
    found = _model_at(model, where)
    return found.model_fields if found else {}


def nearest(word: str, known: Mapping[str, object]) -> str:
    near = difflib.get_close_matches(word, known, n=1)
    return f"did you mean {near[0]!r}?" if near else f"there is: {', '.join(sorted(known)) or 'none'}"
