"""A broker, an edge's stream and its consoles, for the tests of the stream."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import aiomqtt
from nacl.signing import SigningKey

from edge.contract import payloads as contract
from edge.contract.events import GENESIS, Event, PendingEvent, numbered
from edge.contract.mqtt import Mqtt
from edge.contract.payloads import (
    Ack,
    Answer,
    CommandIn,
    ConsoleSeen,
    EventOut,
    Status,
    decode,
    decode_events,
    encode,
    parse_topic,
)
from edge.contract.signing import Signer
from edge.demo.configuration import free_port
from edge.model import iso
from edge.stream.faults import StreamFault
from edge.stream.publisher import Stream
from edge.stream.verifier import CommandVerifier
from tests.helpers import waiting
from tests.helpers.bodies import body

NOW_S = 1_770_000_000.0
KEY = b"the-key-of-this-edge-and-consoles"
EDGE_KEY, CONSOLE_KEY = SigningKey(b"e" * 32), SigningKey(b"c" * 32)
ROOT = Path(__file__).parent.parent.parent
MOSQUITTO = shutil.which("mosquitto", path="/usr/sbin:/usr/bin")


@dataclass
class Box:
    """A journal of only events and cursors."""

    stored: list[Event] = field(default_factory=list)
    cursors: dict[str, int] = field(default_factory=dict)
    moves: list[tuple[str, int]] = field(default_factory=list)
    on_read: Callable[[], object] = lambda: None

    def add(self, count: int, filler: str = "") -> list[Event]:
        """Commits `count` more events, each with this in it, and returns them."""
        before = len(self.stored)
        for seq in range(before + 1, before + count + 1):
            said = body("alarm", text=str(seq), why=filler)
            pending = PendingEvent("chair-1", None, 1_770_000_000.0 + seq, said)
            prev = self.stored[-1].hash if self.stored else GENESIS
            self.stored.append(numbered(pending, seq=seq, boot="boot-1", edge="clinic-1", wall="", prev=prev))
        return self.stored[before:]

    @property
    def stored_seq(self) -> int:
        return len(self.stored)

    async def events_after(self, seq: int, limit: int) -> Sequence[Event]:
        self.on_read()
        return self.stored[seq : seq + limit]

    async def cursor(self, console: str) -> int:
        return self.cursors.get(console, 0)

    async def move_cursor(self, console: str, seq: int) -> None:
        assert seq > self.cursors.get(console, 0)
        self.cursors[console] = seq
        self.moves.append((console, seq))


def edge_signer(first: int = 1) -> Signer:
    """This edge's."""
    return Signer(EDGE_KEY, itertools.count(first).__next__)


def unsigned(payload: bytes) -> bytes:
    """What was handed in to be signed and published."""
    return payload[: payload.rindex(b',"n":')] + b"}"


def spawn(argv: list[str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


class BrokerProcess:
    """A broker of its own process, on a port that stays the same over restarts."""

    def __init__(self, kind: str, folder: Path, options: str = "") -> None:
        """`options`: more lines of mosquitto's configuration."""
        self.port = free_port()
        if kind == "mosquitto":
            config = folder / "mosquitto.conf"
            config.write_text(f"listener {self.port} 127.0.0.1\nallow_anonymous true\n"
                              f"set_tcp_nodelay true\n{options}\n")
            self._argv = [str(MOSQUITTO), "-c", str(config)]
        else:
            serve = f"import asyncio; from edge.stream.broker import serve; asyncio.run(serve(port={self.port}))"
            self._argv = [sys.executable, "-c", serve]
        self._process: subprocess.Popen[bytes] | None = None

    async def start(self) -> None:
        self._process = spawn(self._argv)
        for _ in range(200):
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            await asyncio.sleep(0.05)
        raise AssertionError("the broker does not come up")

    def send(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


class Console:
    """A console that keeps all it hears and, unless told to be quiet, acknowledges what it has stored without a gap.

    Like the real one it says how far it is whenever it has connected, unless it is not there (`greets`)."""

    def __init__(self, port: int, name: str = "main") -> None:
        self._port, self.name = port, name
        self.heard: list[tuple[str, bytes]] = []
        self.events: list[EventOut] = []
        self.store: dict[int, EventOut] = {}
        self.acks = self.greets = True
        self.subscribed = 0  # how often
        self.signer = Signer(CONSOLE_KEY, itertools.count(1).__next__)
        self._client: aiomqtt.Client | None = None

    @property
    def seq(self) -> int:
        seq = 0
        while seq + 1 in self.store:
            seq += 1
        return seq

    def statuses(self) -> list[Status]:
        return [decode(Status, payload) for topic, payload in self.heard if topic.endswith("/status")]

    def of(self, kind: str) -> list[bytes]:
        """What was heard of this kind, without counters and signatures."""
        parsed = [(parse_topic(topic), payload) for topic, payload in self.heard]
        return [unsigned(payload) for topic, payload in parsed if topic is not None and topic.kind == kind]

    async def ack(self, seq: int | None = None, console: str | None = None) -> None:
        ack = Ack(console=console or self.name, seq=self.seq if seq is None else seq, boot="boot-1")
        await self.say(contract.ack_topic("clinic-1", self.name), encode(ack))

    async def say(self, topic: str, payload: bytes) -> None:
        """Signed by this console."""
        await self.publish(topic, self.signer.sign(topic, payload))

    async def publish(self, topic: str, payload: bytes) -> None:
        assert self._client is not None
        await self._client.publish(topic, payload, qos=1)

    async def run(self) -> None:
        while True:
            with contextlib.suppress(aiomqtt.MqttError):
                async with aiomqtt.Client("127.0.0.1", self._port, timeout=2, keepalive=5) as self._client:
                    self._client.pending_calls_threshold = 1000
                    await self._client.subscribe("vigil/1/#", qos=1)
                    self.subscribed += 1
                    if self.greets:
                        await self.ack()
                    await self._hear(self._client)
            self._client = None
            await asyncio.sleep(0.05)

    async def _hear(self, client: aiomqtt.Client) -> None:
        async for message in client.messages:
            assert isinstance(message.payload, bytes)
            self.heard.append((message.topic.value, message.payload))
            if message.topic.value.endswith("/event"):
                got = decode_events(message.payload)
                self.events += got
                self.store |= {event.seq: event for event in got}
                if self.acks:
                    await self.ack()


@dataclass
class World:
    """A broker, an edge's stream over it, and a console."""

    broker: BrokerProcess
    box: Box
    stream: Stream
    console: Console
    commands: list[CommandIn]
    changes: list[tuple[str, ConsoleSeen]]
    links: list[bool]
    faults: list[StreamFault]
    tasks: dict[str, asyncio.Task[None]]

    def commit(self, count: int, filler: str = "") -> list[Event]:
        events = self.box.add(count, filler)
        self.stream.events(events)
        return events

    async def stop(self, name: str) -> None:
        task = self.tasks.pop(name)
        if name == "console":
            await waiting.ended(task)
            return
        task.cancel()  # once: a stream that is told to stop does
        await asyncio.gather(task, return_exceptions=True)


def world_on(broker: BrokerProcess, box: Box, *, boot: str = "boot-1", first_n: int = 1) -> World:
    """A stream over a running broker and a console that hears it; neither runs yet."""
    commands = list[CommandIn]()
    changes, links, faults = list[tuple[str, ConsoleSeen]](), list[bool](), list[StreamFault]()
    keys = {"main": CONSOLE_KEY.verify_key}

    async def on_command(command: CommandIn) -> Answer:
        commands.append(command)
        return Answer(id=command.id, ok=True)

    def status() -> Status:
        return Status(
            edge="clinic-1", boot=boot, state="alive", at=iso(NOW_S + time.monotonic()), version="1", config="",
            beds=["chair-1"], seq=len(box.stored), consoles=stream.console_states(), other_boots=stream.other_boots(),
        )

    stream = Stream(
        Mqtt(port=broker.port), edge="clinic-1", boot=boot, status=status, outbox=box, consoles=["main"],
        signer=edge_signer(first_n), console_keys=keys, on_fault=faults.append,
        verifier=CommandVerifier(KEY, "clinic-1", keys), on_command=on_command, now=lambda: NOW_S,
        on_consoles_changed=lambda name, seen: changes.append((name, seen)),
        on_broker_changed=lambda up, _: links.append(up),
    )
    return World(broker, box, stream, Console(broker.port), commands, changes, links, faults, {})


@contextlib.asynccontextmanager
async def made_world(broker: BrokerProcess) -> AsyncIterator[World]:
    """All of it running over a running broker, as long as the body lasts."""
    made = world_on(broker, Box())
    console, stream = made.console, made.stream
    made.tasks = {"stream": asyncio.ensure_future(stream.run()), "console": asyncio.ensure_future(console.run())}
    await until(lambda: stream.up and console.statuses())
    await console.ack()  # its first may have come before the edge listened; a real one says it every two seconds
    await until(lambda: stream.console_states()["main"].state == "live")
    try:
        yield made
    finally:
        for name in list(made.tasks):
            await made.stop(name)


async def until(happened: Callable[[], object], within_s: float = 8.0) -> float:
    """Waits for it in real time, and says how long that took; fails when it takes longer than `within_s`."""
    return await waiting.until(happened, within_s)
