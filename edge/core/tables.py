"""A table of a TOML file as the struct that declares it; what does not fit is refused by its key, with the remedy.

Each field of the struct says in its Meta's description what it must be. Types are strict: no text is taken for a
number, no number for a flag. `edge.contract.commands` does the same for what a person sends.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Annotated, Any, TypeVar, get_type_hints

import msgspec

from edge.core.expression import nearest
from edge.toml_lines import Where

S = TypeVar("S", bound=msgspec.Struct)
Text = Annotated[str, msgspec.Meta(min_length=1, description='text, as in "..."')]


class BadTable(ValueError):
    """What is wrong and what to write instead; `where` is the way to the key."""

    def __init__(self, where: Where, message: str) -> None:
        super().__init__(message)
        self.where = where


def read_table(struct: type[S], table: Mapping[str, Any], where: Where, of: str) -> S:
    """`table`, which stands at `where` and is called `of`, as `struct`. Raises BadTable."""
    if not isinstance(table, dict):
        raise BadTable(where, f"{of} must be a table, not {table!r}")
    fields = _fields(struct)
    for key in table:
        if key not in fields:
            raise BadTable((*where, key), f"no key {key!r} in {of}{nearest(key, fields)}")
    for name, field in fields.items():
        if name not in table and field.required:
            raise BadTable(where, f"needs {name} = {_must_be(struct, field.name)}")
    found = {fields[key].name: _value(struct, fields[key], value, (*where, key)) for key, value in table.items()}
    return struct(**found)


def _value(struct: type[msgspec.Struct], field: msgspec.structs.FieldInfo, value: Any, where: Where) -> Any:
    try:
        return msgspec.convert(value, _hints(struct)[field.name])
    except msgspec.ValidationError:
        must_be = _must_be(struct, field.name)
        raise BadTable(where, f"{field.encode_name} must be {must_be}, not {repr(value)[:60]}") from None


@cache
def _fields(struct: type[msgspec.Struct]) -> dict[str, msgspec.structs.FieldInfo]:
    """Under their names in the file. Kept: a file has a hundred such tables, and each asking works out every type."""
    return {field.encode_name: field for field in msgspec.structs.fields(struct)}


@cache
def _hints(struct: type[msgspec.Struct]) -> dict[str, Any]:
    return get_type_hints(struct, include_extras=True)


def _must_be(struct: type[msgspec.Struct], name: str) -> str:
    """The description of a field, which may be one of several alternatives."""
    hint = _hints(struct)[name]
    for one in (hint, *getattr(hint, "__args__", ())):
        for meta in getattr(one, "__metadata__", ()):
            if isinstance(meta, msgspec.Meta) and meta.description:
                return meta.description
    raise TypeError(f"{struct.__name__}.{name} does not say what it must be")
