"""The documents made from the contract say what the contract says: AsyncAPI, and the page's own view of it."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any, get_args

import pytest

from edge.contract import asyncapi, typescript
from edge.contract.asyncapi import CHANNELS, Channel
from edge.contract.broker_said import RefusedFor
from edge.contract.events import BODIES
from edge.contract.examples import EXAMPLES
from edge.contract.payloads import decode, encode
from edge.stream.broker_refusals import Ledger
from edge.vocabulary import METRICS
from tests.helpers.bodies import rows
from tests.helpers.schema import faults

ROOT = Path(__file__).parent.parent
DOCUMENT = asyncapi.document()
SCHEMAS: dict[str, Any] = DOCUMENT["components"]["schemas"]


def test_the_documents_say_what_the_types_say() -> None:
    for module, path in ((asyncapi, ROOT / "deploy" / "asyncapi.json"), (typescript, typescript.FILE)):
        assert path.read_text() == module.text(), f"run: python -m {module.__name__}"


@pytest.mark.parametrize("channel", CHANNELS, ids=[channel.name for channel in CHANNELS])
def test_the_example_of_a_payload_fits_its_schema_and_reads_as_its_type(channel: Channel) -> None:
    example, payload = EXAMPLES[channel.name], DOCUMENT["components"]["messages"][channel.name]["payload"]
    assert list(faults(example, payload, SCHEMAS)) == []
    decode(channel.payload, encode(example))
    for spoilt in (example | {"more": 1}, {name: value for name, value in example.items() if name != "sig"},
                   example | {"n": "1"}):
        assert list(faults(spoilt, payload, SCHEMAS)), "a closed schema refuses what it does not name"


def test_what_the_broker_says_of_itself_fits_its_schema_and_is_the_only_one_unsigned() -> None:
    message: dict[str, Any] = DOCUMENT["components"]["messages"]["refused"]["payload"]
    ledger = Ledger(lambda: "2026-01-31T09:05:00.250Z")
    for why in get_args(RefusedFor):
        ledger.add(why, None, "x", "y")
    told = json.loads(encode(ledger.news()))
    for said in (EXAMPLES["refused"], told):
        assert list(faults(said, message, SCHEMAS)) == []
        assert list(faults(said | {"sig": ""}, message, SCHEMAS)), "it is closed, too"
    told["refused"][0]["why"] = "because"
    assert list(faults(told, message, SCHEMAS))
    assert "sig" not in SCHEMAS["Refusals"]["properties"]


@pytest.mark.parametrize(("kind", "text"), rows())
def test_a_body_fits_the_schema_of_its_kind_and_of_no_other(kind: str, text: str) -> None:
    event = copy.deepcopy(EXAMPLES["event"]) | {"kind": kind, "body": json.loads(text)}
    assert list(faults(event, {"$ref": "/EventOut"}, SCHEMAS)) == []
    other = "boot" if kind != "boot" else "link"
    assert list(faults(event | {"kind": other}, {"$ref": "/EventOut"}, SCHEMAS))
    assert list(faults(event | {"body": {}, "withheld": 900_000}, {"$ref": "/EventOut"}, SCHEMAS)) == []


# verb, arguments, whether they fit
ASKED: list[tuple[str, dict[str, Any], bool]] = [
    ("check_in", {"moaas": 5, "cadss": None}, True), ("check_in", {"moaas": 6}, False), ("ping", {}, True),
    ("audio_pause", {}, True), ("audio_pause", {"seconds": 1}, False), ("close_session", {"reason": " "}, False),
    ("checklist", {"done": True}, True), ("checklist", {}, False), ("set_rate", {}, False),
]


@pytest.mark.parametrize(("verb", "args", "fits"), ASKED)
def test_a_command_has_the_arguments_of_its_verb_within_their_limits(verb: str, args: dict[str, Any],
                                                                     fits: bool) -> None:
    command = EXAMPLES["command"] | {"verb": verb, "args": args}
    assert (list(faults(command, {"$ref": "/CommandIn"}, SCHEMAS)) == []) is fits


def test_every_object_is_closed_and_every_kind_and_metric_is_there() -> None:
    open_ones = {name for name, schema in SCHEMAS.items()
                 if "properties" in schema and schema["additionalProperties"] is not False}
    assert open_ones == set()
    assert {f"EventOut_{kind}" for kind in BODIES} <= set(SCHEMAS)
    numerics = SCHEMAS["Vitals"]["properties"]["numerics"]["properties"]
    assert set(numerics) == set(METRICS)
    assert (numerics["spo2_pct"]["x-mdc"], numerics["spo2_pct"]["x-loinc"], numerics["temp_c"]["x-ucum"]) == (
        150456, "59408-5", "Cel")
