"""What stands around the edge in a benchmark, each in a process of its own: the fleet, a subscriber, a page.

    python -m edge.demo.bench_parts fleet SIZE PROFILE      -> one line: its ports. On "stop": what it answered, when
    python -m edge.demo.bench_parts subscriber EDGE PORT    -> one line once subscribed. On "stop": what came, when
    python -m edge.demo.bench_parts mad KIND                -> one line: its two ports
    python -m edge.demo.bench_parts page EDGE URL NAME PASSWORD

All times are CLOCK_MONOTONIC seconds, which all processes of a machine share. A part only notes; the benchmark matches.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import os
import struct
import sys
import urllib.request
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import aiomqtt
import uvloop
import websockets

from drivers import alaris_gh
from edge.clock import EdgeClock
from simulators.contract import Hands
from simulators.modbus import ModbusLine
from simulators.wire import TcpWire

UNITS = 84  # the first coil of the block that ends the ISCO's round
STEPS = 8000  # distinct flow rates, all exact in a 32-bit float
EVENTS_SHARE = 0.01  # of the fleet change their alarm each second, at least one
FLOOD_PIECE, FLOOD_EVERY_S = 1152, 0.01  # ten times what 115200 baud carry; good frames a hundred a second
METRICS = 4  # numbers in a round, whichever profile
clock = EdgeClock()


class BenchPump:
    """A pump that answers each look at its flow with a rate it never gave before, and notes when the answer left."""

    unit = 1

    def __init__(self) -> None:
        self.hands: Hands = {}
        self.answered: list[tuple[float, float]] = []  # rate, when
        self.alarmed: list[float] = []
        self.alarm = False
        self._waiting = False
        self._count = 0
        self._rate: float | None = None

    def step(self, dt_s: float) -> None:
        """Nothing happens by itself."""

    def toggle(self) -> None:
        """Its over-pressure alarm begins or ends; timed from the answer that first says so."""
        self.alarm = not self.alarm
        self._waiting = True

    def read(self, function: int, address: int, count: int) -> Sequence[int]:
        """Coils or registers of either profile."""
        raise NotImplementedError

    def write(self, function: int, address: int, values: Sequence[int]) -> None:
        """Nothing in Vigil writes."""
        raise AssertionError("the edge wrote to a pump")

    def _next_rate(self) -> float:
        self._count += 1
        self._rate = 10.0 + self._count % STEPS / 8
        return self._rate

    def _round_ends(self) -> None:
        if self._rate is not None:
            self.answered.append((self._rate, clock.real_s()))

    def _alarm_told(self) -> None:
        if self._waiting:
            self._waiting = False
            self.alarmed.append(clock.real_s())


class FourReads(BenchPump):
    """An ISCO pump (drivers/isco.py): identity, then status, dispensed, actuals and units each round."""

    def read(self, function: int, address: int, count: int) -> Sequence[int]:
        """As the real pump's registers and coils."""
        if function == 1:
            if address <= 112 < address + count:
                self._alarm_told()
            if address == UNITS:  # the answer that completes a round: it is believed now
                self._round_ends()
            on = {0, 13, 47, 85, 89, 109} | ({112} if self.alarm else set())
            return [int(coil in on) for coil in range(address, address + count)]
        words = [0] * 246
        if address <= 74 < address + count:
            words[72:78] = struct.unpack(">6H", struct.pack(">3f", 100.0, self._next_rate(), 40.0))
        words[148:150] = struct.unpack(">2H", struct.pack(">f", 1.0))
        return words[address:address + count]


class OneBlock(BenchPump):
    """edge/demo/bench_drivers/one_read.py: eight registers, asked once a second."""

    def read(self, function: int, address: int, count: int) -> Sequence[int]:
        """The whole block."""
        words = struct.unpack(">8H", struct.pack(">fffHH", self._next_rate(), 1.0, 40.0, 100, int(self.alarm)))
        self._round_ends()
        self._alarm_told()
        return words


PROFILES: dict[str, tuple[str, type[BenchPump]]] = {
    "four-reads": ("isco", FourReads), "one-read": ("one_read", OneBlock)}


async def fleet(size: int, profile: str) -> dict[str, Any]:
    """Serve `size` pumps, one a port, until told to stop."""
    pumps: list[BenchPump] = []
    wires: list[TcpWire] = []
    for _ in range(size):
        pump = PROFILES[profile][1]()
        wire = TcpWire(clock=clock.real_s, line=lambda pump=pump: ModbusLine({1: pump}, "tcp", clock.real_s))  # type: ignore[misc]
        await wire.open()
        pumps.append(pump)
        wires.append(wire)
    print(json.dumps([wire.port for wire in wires]), flush=True)
    await _until_stopped(_alarms(pumps))
    for wire in wires:
        wire.close()
    return {"answered": [pump.answered for pump in pumps], "alarmed": [pump.alarmed for pump in pumps]}


async def _alarms(pumps: Sequence[BenchPump]) -> None:
    turn = 0
    while True:
        await asyncio.sleep(1.0)
        for _ in range(max(1, round(len(pumps) * EVENTS_SHARE))):
            pumps[turn % len(pumps)].toggle()
            turn += 1


async def mad(kind: str) -> dict[str, Any]:
    """A pump's TCP port and a Modbus controller's; until told to stop their devices do nothing but harm."""
    frame = alaris_gh.encode("INF^8002-51740^-^SET^52.50^ml/h^^1.234^ml^10.00^mmHg^00:10:00^EVENT^1")

    async def harm(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            if kind == "hang":
                while await reader.read(4096):
                    pass
            while kind != "hang":
                writer.write(frame if kind == "fast" else os.urandom(FLOOD_PIECE))
                await writer.drain()
                await asyncio.sleep(FLOOD_EVERY_S)
        writer.close()

    servers = [await asyncio.start_server(harm, "127.0.0.1", 0) for _ in range(2)]
    print(json.dumps([server.sockets[0].getsockname()[1] for server in servers]), flush=True)
    await _until_stopped(asyncio.sleep(math.inf))
    return {}


class Arrivals:
    """When each bed's new rate, and each alarm event, first arrived."""

    def __init__(self) -> None:
        self.rates: list[tuple[str, float, float]] = []  # bed, rate, when
        self.events: list[tuple[str, float]] = []  # bed, when
        self._last: dict[str, float] = {}

    def vitals(self, payload: dict[str, Any], at_s: float) -> None:
        """Note the rate of a bed where it is new."""
        rate = (payload["numerics"].get("rate_ml_h") or {}).get("value")
        if rate is not None and self._last.get(payload["bed"]) != rate:
            self._last[payload["bed"]] = rate
            self.rates.append((payload["bed"], rate, at_s))

    def told(self) -> dict[str, Any]:
        """All of it."""
        return {"rates": self.rates, "events": self.events}


async def subscriber(edge: str, port: int) -> dict[str, Any]:
    """Note what an MQTT subscriber gets, until told to stop."""
    arrivals = Arrivals()

    async def listen() -> None:
        async with aiomqtt.Client("127.0.0.1", port, max_queued_incoming_messages=100_000) as client:
            await client.subscribe(f"vigil/1/{edge}/bed/+/vitals", qos=0)
            await client.subscribe(f"vigil/1/{edge}/event", qos=1)
            print("{}", flush=True)
            async for message in client.messages:
                at_s = clock.real_s()
                payload = json.loads(message.payload)
                for part in payload if isinstance(payload, list) else [payload]:
                    if "numerics" in part:
                        arrivals.vitals(part, at_s)
                    elif part.get("kind") == "alarm" and not part["late"]:
                        arrivals.events.append((part["bed"], at_s))

    await _until_stopped(listen())
    return arrivals.told()


async def page(edge: str, url: str, name: str, password: str) -> dict[str, Any]:
    """Note what a logged-in page gets over its WebSocket, until told to stop."""
    arrivals = Arrivals()
    cookie = await asyncio.to_thread(_login, url, name, password)

    async def watch() -> None:
        async with websockets.connect(f"ws{url.removeprefix('http')}/live", origin=websockets.Origin(url),
                                      additional_headers={"Cookie": cookie}, max_size=None) as feed:
            print("{}", flush=True)
            async for message in feed:
                at_s = clock.real_s()
                payload = json.loads(message)
                if payload.get("t") == "vitals":
                    arrivals.vitals(payload, at_s)

    await _until_stopped(watch())
    return arrivals.told()


def _login(url: str, name: str, password: str) -> str:
    request = urllib.request.Request(f"{url}/api/login", json.dumps({"name": name, "password": password}).encode(),
                                     {"Content-Type": "application/json", "Origin": url})
    with urllib.request.urlopen(request, timeout=10) as answer:
        return "; ".join(value.split(";")[0] for value in answer.headers.get_all("Set-Cookie"))


async def _until_stopped(work: Coroutine[Any, Any, None]) -> None:
    """`work`, until a line comes on standard input or it closes. Raises what `work` raises."""
    working = asyncio.ensure_future(work)
    stopped = asyncio.ensure_future(asyncio.to_thread(sys.stdin.readline))
    await asyncio.wait((working, stopped), return_when=asyncio.FIRST_COMPLETED)
    if not stopped.done():
        working.result()
    working.cancel()


PARTS: dict[str, Callable[..., Coroutine[Any, Any, dict[str, Any]]]] = {
    "mad": mad,
    "fleet": lambda size, profile: fleet(int(size), profile),
    "subscriber": lambda edge, port: subscriber(edge, int(port)),
    "page": page,
}

if __name__ == "__main__":
    print(json.dumps(uvloop.run(PARTS[sys.argv[1]](*sys.argv[2:]))))
