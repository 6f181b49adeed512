"""A story of two edges as a stranger reads it who has an MQTT client and the documents: every payload on every topic is
what deploy/asyncapi.json says, and is signed as edge/contract/signing.py says. And as the devices hear it: every byte
that either edge sends stands in a golden table, and is no more than it may send where nothing is armed."""

from __future__ import annotations

import base64
import json
import os
import re
import signal
from collections import Counter
from pathlib import Path
from typing import Any

import aiomqtt
import pytest
from nacl.signing import VerifyKey

import drivers
from drivers.contract import Request
from edge.field.device_url import parse_device_url
from tests.helpers.demo_run import Demo, running
from tests.helpers.schema import faults
from tests.helpers.tap import Tap, declared, in_service, tapping

pytestmark = [pytest.mark.slow, pytest.mark.long]

DOCUMENT = json.loads((Path(__file__).parent.parent / "deploy" / "asyncapi.json").read_text())
SCHEMAS: dict[str, Any] = DOCUMENT["components"]["schemas"]
TAIL = re.compile(rb'(,"n":\d{1,16}),"sig":"([A-Za-z0-9+/]{86}==)"\}')
MUST = {"status", "vitals", "wave", "state", "event", "ack", "command", "answer"}


def channels() -> dict[str, re.Pattern[str]]:
    """What each channel's topics look like."""
    return {name: re.compile(re.sub(r"\\{\w+\\}", "[a-z0-9_-]{1,32}", re.escape(channel["address"])))
            for name, channel in DOCUMENT["channels"].items()}


def parts(payload: bytes) -> list[bytes]:
    """The objects of a payload, each in its exact bytes."""
    if payload[:1] != b"[":
        return [payload]
    text, at, found = payload.decode(), 1, []
    while text[at] != "]":
        _, end = json.JSONDecoder().raw_decode(text, at)
        found.append(text[at:end].encode())
        at = end + (text[end] == ",")
    return found


def public_key(path: Path) -> VerifyKey:
    return VerifyKey(base64.b64decode(path.read_text().strip().removeprefix("ed25519:")))


async def tapped(demo: Demo, tap: Tap) -> None:
    """From now on both edges talk to their devices through `tap`."""
    for edge in demo.told["edges"]:
        own = demo.data if edge == demo.told["edges"][0] else demo.data / edge
        await tap.of(own / "edge.toml", [twin for twin in demo.told["twins"] if twin["edge"] == edge])
    for name, pid in demo.pids.items():
        if name.startswith("edge"):
            os.kill(pid, signal.SIGHUP)  # edge.toml is read again


def only_declared(demo: Demo, tap: Tap) -> None:
    specs = drivers.find()
    may: dict[str, dict[int, list[Request]]] = {place: {} for place in tap.lines}
    for twin in demo.told["twins"]:
        at = parse_device_url(twin["at"])
        may[twin.get("port", at.endpoint)][at.unit] = in_service(specs[twin["driver"]])
    counts = {place: declared(line, may[place]) for place, line in tap.lines.items()}
    assert all(counts.values()), counts


async def test_every_payload_fits_its_schema_and_is_signed_by_its_sender(tmp_path: Path) -> None:
    heard: list[tuple[str, bytes]] = []
    async with running(tmp_path, "--speed", "20", "--edges", "2") as demo, tapping(tmp_path) as tap:
        await tapped(demo, tap)
        port = int(demo.told["mqtt"].rpartition(":")[2])
        async with aiomqtt.Client("127.0.0.1", port, timeout=60, max_queued_incoming_messages=10_000) as client:
            await client.subscribe("vigil/1/#", qos=1)
            kinds: Counter[str] = Counter()
            async for message in client.messages:
                assert isinstance(message.payload, bytes)
                heard.append((message.topic.value, message.payload))
                kinds[message.topic.value.split("/")[3 if "/bed/" not in message.topic.value else 5]] += 1
                if set(kinds) >= MUST and kinds["event"] >= 10 and all(any(line.sent) for line in tap.lines.values()):
                    break
        edges = demo.told["edges"]
        keys = {edge: public_key((tmp_path if number == 0 else tmp_path / edge) / "edge.pub")
                for number, edge in enumerate(edges)}
        console = public_key(tmp_path / "console.pub")
    only_declared(demo, tap)
    assert {topic.split("/")[2] for topic, _ in heard} == set(edges)
    for topic, payload in heard:
        [kind] = [name for name, pattern in channels().items() if pattern.fullmatch(topic)]
        [message] = DOCUMENT["channels"][kind]["messages"]
        schema = DOCUMENT["components"]["messages"][message]["payload"]
        assert list(faults(json.loads(payload), schema, SCHEMAS)) == [], topic
        key = console if kind in ("ack", "gone", "command") else keys[topic.split("/")[2]]
        for part in parts(payload):
            tail = TAIL.fullmatch(part, part.rindex(b',"n":'))
            assert tail is not None, part
            key.verify(topic.encode() + b"\n" + part[:tail.end(1)], base64.b64decode(tail[2]))
