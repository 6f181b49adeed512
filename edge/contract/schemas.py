"""JSON Schemas of all that crosses MQTT, closed: what a type does not name, its schema refuses.

A closed schema is for those who write. Who reads ignores what it does not know, because fields may be added.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from edge.contract import commands, events
from edge.contract import payloads as contract
from edge.vocabulary import METRICS, Metric

Schema = dict[str, Any]
REF = "#/components/schemas/"
SIGNED: Schema = {
    "n": {"type": "integer", "minimum": 0, "description": "The sender's counter; it rises with every payload."},
    "sig": {"type": "string", "pattern": "^[A-Za-z0-9+/]{86}==$", "description":
            "Ed25519 (RFC 8032), base64, over the topic, a line feed, and the exact bytes before `,\"sig\"`. The last"
            " member."},
}


def components(
    payloads: Iterable[type[contract.Payload]], unsigned: Iterable[type[contract.Payload]] = ()
) -> dict[str, Schema]:
    """Every schema by name: the payloads signed, events by kind, commands by verb; `unsigned` as they are."""
    named = list(payloads)
    _, found = msgspec.json.schema_components(
        [*named, *unsigned, *events.KIND_OF, *commands.VERBS.values()], ref_template=REF + "{name}")
    closed = {name: _closed(schema) for name, schema in found.items()}
    for payload in named:
        closed[payload.__name__] = _signed(closed[payload.__name__])
    closed |= _variants(closed, "EventOut", "kind", "body", {kind: _body(of) for kind, of in events.BODIES.items()})
    closed |= _variants(closed, "CommandIn", "verb", "args", {
        **{verb: {"$ref": REF + asked.__name__} for verb, asked in commands.VERBS.items()},
        commands.PING: {"type": "object", "additionalProperties": False},
        commands.OFFER: {"type": "object", "additionalProperties": False, "required": ["events"], "properties": {
            "events": {"type": "array", "items": {"$ref": REF + "EventOut"}}}}})
    numerics = closed["Vitals"]["properties"]["numerics"]
    numerics["properties"] = {metric.key: _numeric(metric) for metric in METRICS.values()}
    numerics["additionalProperties"] = False
    return dict(sorted(closed.items()))


def _closed(schema: Schema) -> Schema:
    """`schema` with no other properties than it names."""
    return {**schema, "additionalProperties": False} if "properties" in schema else schema


def _signed(schema: Schema) -> Schema:
    """`schema` with the counter and signature every payload ends with."""
    rest = {name: of for name, of in schema["properties"].items() if name not in SIGNED}
    required = [name for name in schema.get("required", []) if name not in SIGNED]
    return {**schema, "properties": {**rest, **SIGNED}, "required": [*required, *SIGNED]}


def _variants(schemas: Mapping[str, Schema], name: str, tag: str, part: str, parts: Mapping[str, Schema]) -> \
        dict[str, Schema]:
    """`name` as one closed schema for each value of `tag`, each with its own `part`."""
    made: dict[str, Schema] = {}
    for value, of in parts.items():
        one = copy.deepcopy(schemas[name])
        one["title"] = f"{name}_{value}"
        one["properties"] |= {tag: {"const": value}, part: of}
        made[one["title"]] = one
    one_of = [{"$ref": REF + each} for each in made]
    return {**made, name: {"description": schemas[name]["description"], "oneOf": one_of}}


def _body(bodies: tuple[type[events.Body], ...]) -> Schema:
    """Of a kind of event; empty where `withheld` says so."""
    empty: Schema = {"type": "object", "maxProperties": 0, "description": "Withheld: the broker takes no such size."}
    return {"oneOf": [*({"$ref": REF + body.__name__} for body in bodies), empty]}


def _numeric(metric: Metric) -> Schema:
    """One metric of the vitals with its codes in the standards."""
    codes = {"x-ucum": metric.ucum, "x-mdc": metric.mdc, "x-loinc": metric.loinc}
    return {"allOf": [{"$ref": REF + "Numeric"}], "description": f"{metric.label}, {metric.unit}",
            **{name: code for name, code in codes.items() if code is not None}}
