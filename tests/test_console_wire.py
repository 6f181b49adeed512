"""The console as a process, with a real broker and an edge with a journal: what breaks is said, nothing is lost."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import secrets
import shutil
import signal
import socket
import sqlite3
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiomqtt
import httpx
import pytest
import uvicorn
from websockets.asyncio.client import ClientConnection, connect

from edge.clock import EdgeClock
from edge.console import live
from edge.console.accounts import ensure_user
from edge.console.app import create_app, listening_at, server_config
from edge.console.service import Console
from edge.contract.freshness import ConsoleFreshness
from edge.contract.mqtt import Connection, Mqtt, MqttError, connected, keep_connected
from edge.contract.payloads import (
    HEARTBEAT_S,
    Ack,
    Answer,
    CommandIn,
    ack_topic,
    answer_topic,
    command_topic,
    decode,
    encode,
    event_topic,
)
from edge.contract.signing import Verified, Verifier
from edge.demo.configuration import free_port
from tests.helpers.console_story import (
    BED,
    CONSOLE_KEY,
    EDGE,
    EDGE_KEY,
    NURSE,
    STATE,
    STATUS,
    VITALS,
    Journal,
    Wire,
    settings,
    signed,
    state,
    status,
    vitals,
    with_users,
)
from tests.helpers.waiting import ended, until

pytestmark = pytest.mark.slow

MOSQUITTO = shutil.which("mosquitto", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
EMBEDDED = """
import asyncio, sys
from edge.stream.broker import serve
asyncio.run(serve("127.0.0.1", int(sys.argv[1])))
"""
CONSOLE = """
import sys
from pathlib import Path
from nacl.signing import SigningKey
from edge.clock import EdgeClock
from edge.console.app import run
from edge.console.settings import Settings
data, port, mqtt = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
own, edge = (SigningKey(bytes.fromhex(key)) for key in sys.argv[4:6])
run(Settings(name="main", edges=("clinic-1",), data=data, now=EdgeClock().now, signing_key=own,
             edge_keys={"clinic-1": edge.verify_key}, mqtt_port=mqtt, port=port),
    lambda address: print(address, flush=True))
"""


async def end(process: Process, number: signal.Signals) -> int:
    if process.returncode is None:
        process.send_signal(number)
    return await process.wait()


@dataclass
class BrokerProcess:
    """A broker on one port that can be killed and started again; it keeps nothing over that."""

    kind: str
    folder: Path
    port: int = field(default_factory=free_port)
    process: Process | None = None

    async def start(self) -> None:
        if self.kind == "mosquitto":
            config = self.folder / "mosquitto.conf"
            config.write_text(f"listener {self.port} 127.0.0.1\nallow_anonymous true\npersistence false\nuser root\n")
            command = [str(MOSQUITTO), "-c", str(config)]
        else:
            command = [sys.executable, "-c", EMBEDDED, str(self.port)]
        self.process = await asyncio.create_subprocess_exec(*command, stdout=PIPE, stderr=PIPE)

        def listens() -> bool:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 0.1):
                return True
            return False

        await until(listens, 20, "the broker listens")

    async def kill(self) -> None:
        assert self.process is not None
        await end(self.process, signal.SIGKILL)


def _journal() -> Journal:
    """Of what happened lately: what is ahead of its edge's clock is not believed."""
    return Journal(start_s=EdgeClock().now() - 1_000_000)  # a second for each event


@dataclass
class FakeEdge:
    """An edge with a journal: beats, sends what is not acknowledged again, and answers commands."""

    port: int
    journal: Journal
    clock: EdgeClock = field(default_factory=EdgeClock)
    acks: list[Ack] = field(default_factory=list)
    commands: list[CommandIn] = field(default_factory=list)
    verifier: Verifier = field(default_factory=lambda: Verifier(CONSOLE_KEY.verify_key, ConsoleFreshness("boot-1")))
    client: Connection | None = None
    busy: bool = True

    async def run(self) -> None:
        await keep_connected(self._connected, lambda why: None)

    async def _connected(self) -> None:
        """One connection's life, by Vigil's own client: with aiomqtt's a cancel may be lost, and a group with a
        task that has lost its own never ends."""
        async with connected(Mqtt(port=self.port), None, f"edge-{secrets.token_hex(4)}") as client:
            self.client = client
            try:
                await client.subscribe([command_topic(EDGE), ack_topic(EDGE, "main")])
                async with asyncio.TaskGroup() as tasks:
                    tasks.create_task(self._beat(client))
                    tasks.create_task(self._hear(client))
            finally:
                self.client = None

    async def _beat(self, client: Connection) -> None:
        while True:
            now_s = self.clock.now()
            seq = len(self.journal.events)
            await client.publish(STATUS, signed(STATUS, status(now_s, seq=seq)), qos=1, retain=True)
            await client.publish(STATE, signed(STATE, state(now_s, seq=seq)), qos=1, retain=True)
            await client.publish(VITALS, signed(VITALS, vitals(now_s, spo2_pct=97)), qos=0)
            await asyncio.sleep(HEARTBEAT_S / 4)

    async def _hear(self, client: Connection) -> None:
        async for message in client.messages():
            if message.topic == ack_topic(EDGE, "main"):
                self.acks.append(decode(Ack, message.payload))
                await self._send_again(client, self.acks[-1].seq)
            elif message.topic == command_topic(EDGE):  # amqtt greets with what others asked to be retained
                await self._answer(client, message.payload)

    async def _send_again(self, client: Connection, stored: int) -> None:
        if stored < len(self.journal.events):
            payload = self.journal.payload(stored + 1, min(stored + 50, len(self.journal.events)), late=True)
            await client.publish(event_topic(EDGE), signed(event_topic(EDGE), payload), qos=1)

    async def _answer(self, client: Connection, payload: bytes) -> None:
        command = decode(CommandIn, payload)
        self.commands.append(command)
        checked = self.verifier.check(command_topic(EDGE), payload, 0.0)
        genuine = isinstance(checked, Verified)
        answer = Answer(id=command.id, ok=genuine, reason=None if genuine else "forged", nonce=command.nonce,
                        boot=self.journal.boot)
        topic = answer_topic(EDGE, command.console)
        await client.publish(topic, signed(topic, encode(answer)), qos=1)

    async def happen(self) -> int:
        """One more event, published live if there is a broker."""
        event = self.journal.add()
        with contextlib.suppress(MqttError):
            if self.client is not None:
                await self.client.publish(event_topic(EDGE), signed(event_topic(EDGE), encode(event)), qos=1)
        return event.seq


@asynccontextmanager
async def working(edge: FakeEdge) -> AsyncIterator[FakeEdge]:
    task = asyncio.ensure_future(edge.run())
    try:
        yield edge
    finally:
        await ended(task)


@dataclass
class ConsoleProcess:
    """The console as it is run."""

    data: Path
    mqtt: int
    port: int = field(default_factory=free_port)
    process: Process | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def start(self) -> None:
        command = [sys.executable, "-c", CONSOLE, str(self.data), str(self.port), str(self.mqtt),
                   bytes(CONSOLE_KEY).hex(), bytes(EDGE_KEY).hex()]
        self.process = await asyncio.create_subprocess_exec(*command, stdout=PIPE)
        assert self.process.stdout is not None
        async with asyncio.timeout(30):
            assert (await self.process.stdout.readline()).decode().strip() == self.url

    async def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        assert self.process is not None
        return await end(self.process, number)


@dataclass
class Browser:
    """One page: everything it was told, in order."""

    http: httpx.AsyncClient
    socket: ClientConnection
    csrf: str
    told: list[dict[str, Any]] = field(default_factory=list)

    async def read(self) -> None:
        async for message in self.socket:
            self.told.append(json.loads(message))

    def last(self, kind: str) -> dict[str, Any]:
        return next((message for message in reversed(self.told) if message["t"] == kind), {})

    def hop(self, name: str) -> bool:
        return bool(self.last("beat").get("hops", {}).get(name, {}).get("ok"))


@asynccontextmanager
async def browsing(console: ConsoleProcess) -> AsyncIterator[Browser]:
    async with httpx.AsyncClient(base_url=console.url) as http:
        login = await http.post("/api/login", json={"name": NURSE[0], "password": NURSE[1]})
        assert login.status_code == 200, login.text
        cookie = "; ".join(f"{name}={value}" for name, value in http.cookies.items())
        async with connect(console.url.replace("http", "ws") + "/live", origin=console.url,  # type: ignore[arg-type]
                           additional_headers={"Cookie": cookie}) as live:
            page = Browser(http, live, login.json()["csrf"])
            reading = asyncio.ensure_future(page.read())
            try:
                yield page
            finally:
                reading.cancel()


def account(data: Path) -> None:
    ensure_user(data / "console.db", *NURSE, "nurse", EdgeClock().now())


KINDS = ["embedded", pytest.param("mosquitto", marks=pytest.mark.skipif(MOSQUITTO is None, reason="no mosquitto"))]


@pytest.fixture(params=KINDS)
async def broker(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[BrokerProcess]:
    made = BrokerProcess(request.param, tmp_path)
    await made.start()
    yield made
    await made.kill()


@pytest.fixture
async def console(broker: BrokerProcess, tmp_path: Path) -> AsyncIterator[ConsoleProcess]:
    account(tmp_path / "data")
    made = ConsoleProcess(tmp_path / "data", broker.port)
    await made.start()
    yield made
    await made.end(signal.SIGKILL)


async def test_a_day_at_the_ward(broker: BrokerProcess, console: ConsoleProcess) -> None:
    async with working(FakeEdge(broker.port, _journal())) as edge, browsing(console) as page:
        await until(lambda: page.hop("broker") and page.hop("edge"), 15, "all hops live")
        assert page.told[0]["t"] == "hello"
        await until(lambda: page.last("state").get("live") is True and bool(page.last("vitals")), 5, "a live bed")

        seq = await edge.happen()
        await until(lambda: page.last("event").get("event", {}).get("seq") == seq, 2, "the event on the page")
        await until(lambda: edge.acks[-1].seq == seq, 2, "the event acknowledged")
        await page.socket.send(json.dumps({"t": "sounded", "seq": seq}))
        await until(lambda: edge.acks[-1].sounded_seq == seq, 2, "the receipt at the edge")

        answer = await page.http.post(f"/api/beds/{BED}/commands", headers={"X-CSRF": page.csrf, "Origin": console.url},
                                      json={"verb": "acknowledge", "args": {"alarm": "a", "seq": seq}})
        assert (answer.status_code, answer.json()["ok"], edge.commands[-1].user) == (200, True, NURSE[0])

        await broker.kill()
        await until(lambda: not page.hop("broker"), 6, "the broken broker on the page")
        await until(lambda: not page.hop("edge"), 7, "and that the edge is not heard")
        assert page.last("state")["live"] is False
        for _ in range(20):
            await edge.happen()
        await broker.start()
        await until(lambda: page.hop("broker") and page.hop("edge"), 15, "healed")
        await until(lambda: edge.acks[-1].seq == seq + 20, 15, "what happened meanwhile is stored")
        shown = [message["event"] for message in page.told if message["t"] == "event"]
        assert [event["seq"] for event in shown] == list(range(1, seq + 21))
        assert all(event["late"] for event in shown[1:])

    assert await console.end() == 0, "SIGTERM is a clean end"


async def test_an_edge_that_falls_silent_is_dead_within_seven_seconds(
        broker: BrokerProcess, console: ConsoleProcess) -> None:
    async with browsing(console) as page:
        async with working(FakeEdge(broker.port, _journal())):
            await until(lambda: page.last("state").get("live") is True, 15, "a live bed")
        await until(lambda: not page.hop("edge") and page.last("state")["live"] is False, 7, "a dead edge on the page")
        assert page.hop("broker")


async def test_what_the_broker_retained_is_not_live_after_a_restart(
        broker: BrokerProcess, console: ConsoleProcess) -> None:
    await console.end()
    async with aiomqtt.Client("127.0.0.1", broker.port) as old:
        for topic, payload in ((STATUS, status()), (STATE, state())):
            await old.publish(topic, signed(topic, payload), qos=1, retain=True)
    await console.start()
    async with browsing(console) as page:
        await until(lambda: bool(page.last("state")) and page.hop("broker"), 10, "what was last known")
        assert (page.last("state")["live"], page.hop("edge")) == (False, False)
        async with working(FakeEdge(broker.port, _journal())):
            await until(lambda: page.hop("edge") and page.last("state")["live"], 10, "live after a heartbeat")


async def test_a_console_killed_while_events_flow_misses_none_and_doubles_none(
        broker: BrokerProcess, console: ConsoleProcess) -> None:
    async with working(FakeEdge(broker.port, _journal())) as edge:
        await until(lambda: bool(edge.acks), 10, "the console's first word")
        flowing = asyncio.ensure_future(_flow(edge))
        for _ in range(4):
            before = edge.acks[-1].seq
            await until(lambda least=before: edge.acks[-1].seq > least, 10, "events are stored")  # type: ignore[misc]
            await console.end(signal.SIGKILL)
            await console.start()
        edge.busy = False
        await flowing
        most = len(edge.journal.events)
        await until(lambda: edge.acks[-1].seq == most, 20, "all is stored")
    acked = [ack.seq for ack in edge.acks]
    assert acked == sorted(acked), "what was acknowledged stayed stored through every kill"
    await console.end()
    with contextlib.closing(sqlite3.connect(console.data / "console.db")) as file:
        assert [row[0] for row in file.execute("SELECT seq FROM events ORDER BY seq")] == list(range(1, most + 1))
        assert file.execute("PRAGMA quick_check").fetchone() == ("ok",)


async def _flow(edge: FakeEdge) -> None:
    while edge.busy:
        await edge.happen()
        await asyncio.sleep(0.005)


# --- the WebSocket's door and its limits, without a broker ------------------------------------------------------------


@asynccontextmanager
async def served(data: Path) -> AsyncIterator[tuple[Console, str, uvicorn.Server]]:
    app = create_app(with_users(settings(data)), Wire())
    listener = listening_at("127.0.0.1")
    server = uvicorn.Server(server_config(app))
    serving = asyncio.ensure_future(server._serve([listener]))
    await until(lambda: server.started, 10, "serving")
    console: Console = app.state.console
    try:
        yield console, f"127.0.0.1:{listener.getsockname()[1]}", server
    finally:
        server.should_exit = True
        await serving


async def cookie(address: str) -> str:
    async with httpx.AsyncClient(base_url=f"http://{address}") as http:
        await http.post("/api/login", json={"name": NURSE[0], "password": NURSE[1]})
        return f"vigil_session={http.cookies['vigil_session']}"


DOOR = [  # cookie, Origin -> the handshake's status
    ("right", "own", 101), ("right", None, 101), ("right", "http://evil.test", 403), ("right", "null", 403),
    ("wrong", "own", 401), (None, "own", 401), (None, "http://evil.test", 403),
]


async def shake(address: str, token: str | None, origin: str | None) -> tuple[int, socket.socket]:
    """A WebSocket handshake by hand; its status, and the socket, of which nothing more is read."""
    lines = ["GET /live HTTP/1.1", f"Host: {address}", "Upgrade: websocket", "Connection: Upgrade",
             "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="]
    lines += [f"Cookie: {token}"] if token else []
    lines += [f"Origin: {origin}"] if origin else []
    host, port = address.split(":")
    loop = asyncio.get_running_loop()
    raw = socket.socket()
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    raw.setblocking(False)
    await loop.sock_connect(raw, (host, int(port)))
    await loop.sock_sendall(raw, ("\r\n".join(lines) + "\r\n\r\n").encode())
    head = await loop.sock_recv(raw, 12)
    return int(head.split()[1]), raw


async def test_the_live_feed_opens_only_for_who_is_logged_in_on_our_own_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with served(tmp_path) as (console, address, _):
        right = await cookie(address)
        tokens = {"right": right, "wrong": "vigil_session=x", None: None}
        for token, origin, expected in DOOR:
            told = f"http://{address}" if origin == "own" else origin
            code, raw = await shake(address, tokens[token], told)
            raw.close()
            assert code == expected, (token, origin)
        await until(lambda: not console.feed.pages_of(NURSE[0]), 5, "they are gone")
        monkeypatch.setattr(live, "MAX_PAGES", 1)
        first = await shake(address, right, None)
        second = await shake(address, right, None)
        assert (first[0], second[0]) == (101, 429), "of one account no more pages than MAX_PAGES"
        first[1].close()
        second[1].close()


async def test_a_page_that_does_not_read_is_cut_and_the_others_are_not_delayed(tmp_path: Path) -> None:
    async with served(tmp_path) as (console, address, server):
        token = await cookie(address)
        code, deaf = await shake(address, token, None)
        assert code == 101
        async with connect(f"ws://{address}/live", additional_headers={"Cookie": token}) as good:
            await until(lambda: len(console.feed) == 2, 5, "both are in")
            sent = 0
            while console.feed.cut_slow == 0 and sent < 3000:
                sent += 1
                console.feed.publish(json.dumps({"t": "x", "n": sent, "fill": "x" * 50_000}))
                got = json.loads(await asyncio.wait_for(good.recv(), 2))
                while got["t"] != "x":
                    got = json.loads(await asyncio.wait_for(good.recv(), 2))
                assert got["n"] == sent
            assert console.feed.cut_slow == 1
            await until(lambda: len(console.feed) == 1, 5, "the deaf page is out")
            await until(lambda: len(server.server_state.connections) == 1, 5, "and its connection, unread as it is")
        deaf.close()


async def test_who_logs_out_loses_the_feed_and_who_talks_nonsense_too(tmp_path: Path) -> None:
    async with served(tmp_path) as (console, address, _):
        token = await cookie(address)
        ends: list[int | None] = []
        for act in ("nonsense", "binary", "logout"):
            async with connect(f"ws://{address}/live", additional_headers={"Cookie": token}) as live:
                await live.recv()
                if act == "logout":
                    keys = console.feed.keys()
                    console.feed.end_sessions(keys)
                else:
                    await live.send("{" if act == "nonsense" else b"{}")
                async with asyncio.timeout(5):
                    await live.wait_closed()
                ends.append(live.close_code)
        assert ends == [1008, 1008, 4401]


async def test_a_bug_in_a_task_ends_the_process_with_an_error(tmp_path: Path) -> None:
    account(tmp_path)
    crash = CONSOLE.replace("run(Settings", "from edge.console.ingest import Ingest\n"
                            "async def bug(self): raise AssertionError('a bug of ours')\n"
                            "Ingest.store_events = bug\nrun(Settings")
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", crash, str(tmp_path), str(free_port()), str(free_port()),
        bytes(CONSOLE_KEY).hex(), bytes(EDGE_KEY).hex(),
        stdout=PIPE, stderr=PIPE)
    async with asyncio.timeout(30):
        _, errors = await process.communicate()
    assert process.returncode == 1
    assert b"a bug of ours" in errors
