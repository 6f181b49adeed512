"""Whether a JSON value fits a schema of the AsyncAPI document: the part of JSON Schema that document uses, no more."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,), "array": (list,), "string": (str,), "number": (int, float), "integer": (int,),
    "boolean": (bool,), "null": (type(None),),
}
KNOWN = {"type", "properties", "required", "additionalProperties", "oneOf", "anyOf", "allOf", "enum", "const", "$ref",
         "items", "maxItems", "pattern", "minimum", "maximum", "minLength", "maxLength", "maxProperties", "title",
         "description", "default"}


def faults(value: Any, schema: dict[str, Any], schemas: dict[str, Any], where: str = "$") -> Iterator[str]:
    """Each way in which `value` does not fit. Raises AssertionError for a keyword it does not know."""
    unknown = {key for key in schema if not key.startswith("x-")} - KNOWN
    assert not unknown, f"{where}: the schema says {unknown}, which nobody checks"
    if "$ref" in schema:
        yield from faults(value, schemas[schema["$ref"].rpartition("/")[2]], schemas, where)
    of = schema.get("type")
    if of is not None and (not isinstance(value, TYPES[of]) or (isinstance(value, bool) and of != "boolean")):
        yield f"{where} is {type(value).__name__}, not {of}"
        return
    if ("enum" in schema and value not in schema["enum"]) or ("const" in schema and value != schema["const"]):
        yield f"{where} is {value!r}"
    for each in schema.get("allOf", ()):
        yield from faults(value, each, schemas, where)
    for key, most in (("oneOf", 1), ("anyOf", 99)):
        if key in schema:
            found = [list(faults(value, each, schemas, where)) for each in schema[key]]
            if not 1 <= (fit := sum(not each for each in found)) <= most:
                yield f"{where} fits {fit} of {key}: {min(found, key=len)}"
    if isinstance(value, dict):
        yield from _object(value, schema, schemas, where)
    if isinstance(value, list):
        if len(value) > schema.get("maxItems", len(value)):
            yield f"{where} has {len(value)} items"
        for place, item in enumerate(value):
            yield from faults(item, schema.get("items", {}), schemas, f"{where}[{place}]")
    if isinstance(value, str):
        if "pattern" in schema and not re.search(schema["pattern"], value):
            yield f"{where} does not match {schema['pattern']}"
        if not schema.get("minLength", 0) <= len(value) <= schema.get("maxLength", len(value)):
            yield f"{where} has {len(value)} characters"
    if isinstance(value, int | float) and not schema.get("minimum", value) <= value <= schema.get("maximum", value):
        yield f"{where} is {value}"


def _object(value: dict[str, Any], schema: dict[str, Any], schemas: dict[str, Any], where: str) -> Iterator[str]:
    properties, more = schema.get("properties", {}), schema.get("additionalProperties", True)
    yield from (f"{where} lacks {name}" for name in schema.get("required", ()) if name not in value)
    if len(value) > schema.get("maxProperties", len(value)):
        yield f"{where} has {len(value)} members"
    for name, item in value.items():
        if name in properties:
            yield from faults(item, properties[name], schemas, f"{where}.{name}")
        elif more is False:
            yield f"{where} has {name}, which the schema does not name"
        elif isinstance(more, dict):
            yield from faults(item, more, schemas, f"{where}.{name}")
