"""The AsyncAPI 3.0 document of the MQTT contract, made from its types.

`python -m edge.contract.asyncapi` writes deploy/asyncapi.json. A test compares the file with what this
makes, so the document cannot say anything else than the code.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from edge.contract import payloads as contract
from edge.contract.broker_said import REFUSED_TOPIC, Refusals
from edge.contract.examples import EXAMPLES
from edge.contract.schemas import REF, components
from edge.contract.topics import ROOT
from edge.model import STATEMENT

FILE = Path(__file__).parent.parent.parent / "deploy" / "asyncapi.json"
VERSION = ROOT.rpartition("/")[2] + ".0.0"  # of the contract: the number in every topic


@dataclass(frozen=True, slots=True)
class Channel:
    """One kind of topic as seen from the edge, which sends it or receives it."""

    name: str
    address: str
    payload: type[contract.Payload]
    qos: Literal[0, 1]
    edge: Literal["send", "receive"]
    what: str
    retain: bool = False
    many: bool = False  # one payload, or a list of them


CHANNELS = (
    Channel("status", contract.status_topic("{edge}"), contract.Status, 1, "send",
            "Birth, a heartbeat every 2 s, and death (also as the last will).", retain=True),
    Channel("vitals", contract.vitals_topic("{edge}", "{bed}"), contract.Vitals, 0, "send",
            "All latest numerics of a bed with ages and validity; at most 5 a second, at least one every 2 s."),
    Channel("wave", contract.wave_topic("{edge}", "{bed}", "{name}"), contract.Wave, 0, "send", "Waveform chunks."),
    Channel("state", contract.state_topic("{edge}", "{bed}"), contract.State, 1, "send",
            "Full state of a bed: session, phase, dissociation, alarms, devices, dose.", retain=True),
    Channel("event", contract.event_topic("{edge}"), contract.EventOut, 1, "send",
            "Events by seq, oldest first; late on what comes from the backlog.", many=True),
    Channel("ack", contract.ack_topic("{edge}", "{console}"), contract.Ack, 1, "receive",
            "What a console has stored; the only thing that moves its cursor, and its heartbeat every 2 s."),
    Channel("gone", contract.gone_topic("{edge}", "{console}"), contract.Gone, 1, "receive",
            "A console's last will: the connection it names has broken."),
    Channel("command", contract.command_topic("{edge}"), contract.CommandIn, 1, "receive",
            "What a person asks, signed by the console; a verb, and its arguments within their limits."),
    Channel("answer", contract.answer_topic("{edge}", "{console}"), contract.Answer, 1, "send",
            "The answer to a command, by its id."),
)

BROKERS = Channel("refused", REFUSED_TOPIC, Refusals, 1, "receive",
                  "Whom the embedded broker refused, and why, from itself: the one message that nobody signs. Another"
                  " broker says nothing of it.", retain=True)

_PARAMETERS = {
    "edge": "the edge's id, [a-z0-9-]{1,32}",
    "bed": "the bed's id, [a-z0-9-]{1,32}",
    "name": "the waveform's name",
    "console": "the console's name, [a-z0-9-]{1,32}",
}


def document() -> dict[str, Any]:
    """The whole AsyncAPI document as JSON types."""
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Vigil on MQTT",
            "version": VERSION,
            "description": "MQTT 3.1.1, QoS 0 and 1. Payloads are JSON. Times are UTC, ISO 8601 with milliseconds"
            " and Z, of the edge clock. Every payload of an edge or a console ends with its sender's counter and"
            " signature. Fields may be added, never renamed. " + STATEMENT,
        },
        "defaultContentType": "application/json",
        "channels": {channel.name: _channel(channel) for channel in (*CHANNELS, BROKERS)},
        "operations": {channel.name: _operation(channel) for channel in CHANNELS},
        "components": {
            "messages": {channel.name: _message(channel) for channel in (*CHANNELS, BROKERS)},
            "schemas": components([channel.payload for channel in CHANNELS], [BROKERS.payload]),
        },
    }


def _channel(channel: Channel) -> dict[str, Any]:
    names = [name for name in _PARAMETERS if "{" + name + "}" in channel.address]
    return {
        "address": channel.address,
        "description": channel.what,
        "parameters": {name: {"description": _PARAMETERS[name]} for name in names},
        "messages": {channel.name: {"$ref": f"#/components/messages/{channel.name}"}},
    }


def _operation(channel: Channel) -> dict[str, Any]:
    return {
        "action": channel.edge,
        "channel": {"$ref": f"#/channels/{channel.name}"},
        "bindings": {"mqtt": {"qos": channel.qos, "retain": channel.retain, "bindingVersion": "0.2.0"}},
    }


def _message(channel: Channel) -> dict[str, Any]:
    one: dict[str, Any] = {"$ref": REF + channel.payload.__name__}
    payload = {"oneOf": [one, {"type": "array", "items": one}]} if channel.many else one
    return {"name": channel.name, "payload": payload, "examples": [{"payload": EXAMPLES[channel.name]}]}


def text() -> str:
    """The document as the file holds it."""
    return json.dumps(document(), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    FILE.write_text(text())
