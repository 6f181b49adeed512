"""`vigil bench`: how long from a byte on the wire to an MQTT subscriber and to a page, and what it costs the edge.

For each size N: a broker, an edge and a console, each its own process as in a clinic; N Modbus TCP pumps, one a bed,
each asked once a second over its own connection; every rule judged, every sample journalled; and every second a
hundredth of the pumps (at least one) raise or end an alarm of their own, so that committed events are in the path. Each
round of answers carries a flow rate never sent before by that pump: the time its last byte is written to the socket is
matched with the time the vitals that hold it arrive at a subscriber, and at a logged-in page's WebSocket. Pumps,
subscriber and page live in this one process, whose own queueing is therefore in the figures.
"""

from __future__ import annotations

import asyncio
import json
import os
import platform
import struct
import tempfile
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiomqtt
import uvloop
import websockets

import drivers
from edge.clock import EdgeClock
from edge.console.accounts import ensure_user
from edge.demo.demo import free_port, rules_file
from edge.demo.enrol import enrol
from edge.demo.services import Service, Services
from edge.process import command_key
from simulators.contract import Hands
from simulators.modbus import ModbusLine
from simulators.wire import TcpWire

WARM_S = 5.0  # real seconds before anything is counted
READY_WITHIN_S = 60.0
EVENTS_SHARE = 0.01  # of the pumps change their alarm each second
UNITS = 84  # the first coil of the block that ends a round
STEPS = 8000  # distinct flow rates, all exact in a 32-bit float
CLOCK_TICKS = os.sysconf("SC_CLK_TCK")
EDGE = "bench"
LOGIN = {"name": "bench", "password": "only for this benchmark"}


class BenchPump:
    """An ISCO pump (drivers/isco.py) that answers each look at its flow with a new rate, and remembers when."""

    unit = 1
    hands: Hands

    def __init__(self, now: Any) -> None:
        self.hands = {}
        self.said: dict[float, float] = {}
        self.alarmed_at: list[float] = []
        self.alarm = False
        self._waiting = False
        self._now = now
        self._count = 0
        self._rate: float | None = None

    def step(self, dt_s: float) -> None:
        """Nothing happens by itself."""

    def toggle(self) -> None:
        """Its over-pressure alarm begins or ends; timed from the answer that first says so."""
        self.alarm = not self.alarm
        self._waiting = True

    def read(self, function: int, address: int, count: int) -> Sequence[int]:
        if function == 1:
            if self._waiting and address <= 112 < address + count:
                self._waiting = False
                self.alarmed_at.append(self._now())
            if address == UNITS and self._rate is not None:  # the answer that completes a round: it is believed now
                self.said[self._rate] = self._now()
            on = {0, 13, 47, 85, 89, 109} | ({112} if self.alarm else set())
            return [int(coil in on) for coil in range(address, address + count)]
        words = [0] * 246
        if address <= 74 < address + count:
            self._count += 1
            self._rate = rate = 10.0 + self._count % STEPS / 8
            words[72:78] = struct.unpack(">6H", struct.pack(">3f", 100.0, rate, 40.0))
        words[148:150] = struct.unpack(">2H", struct.pack(">f", 1.0))
        return words[address:address + count]

    def write(self, function: int, address: int, values: Sequence[int]) -> None:
        """Nothing in Vigil writes."""
        raise AssertionError("the edge wrote to a pump")


@dataclass(slots=True)
class Measured:
    """Latencies in seconds, and what the edge used meanwhile."""

    subscriber: list[float] = field(default_factory=list)
    events: list[float] = field(default_factory=list)
    page: list[float] = field(default_factory=list)
    counting: bool = False


@dataclass(slots=True)
class Bench:
    """One size being measured."""

    size: int
    seconds: float
    data: Path
    clock: EdgeClock = field(default_factory=EdgeClock)
    found: Measured = field(default_factory=Measured)
    pumps: list[BenchPump] = field(default_factory=list)
    wires: list[TcpWire] = field(default_factory=list)

    async def run(self) -> dict[str, Any]:
        """Start everything, measure, stop everything."""
        self.mqtt, self.http = free_port(0), free_port(0)
        services = Services(self.data / "pids.json", self.data, lambda line: None)
        try:
            await self._open_pumps()
            self._configure()
            for name, arguments in (
                ("broker", ["broker", "--port", str(self.mqtt)]),
                ("console", ["console", "--config", str(self.data / "console.toml")]),
                ("edge", ["edge", "--config", str(self.data / "edge.toml")]),
            ):
                await services.start(Service(name, arguments))
            await self._page_answers()
            edge = services.all["edge"].pid
            assert edge is not None
            async with asyncio.TaskGroup() as group:
                listening = [group.create_task(self._subscribe()), group.create_task(self._watch_page()),
                             group.create_task(self._alarms())]
                used = await self._measure(edge)
                for task in listening:
                    task.cancel()
            return self._report(used)
        finally:
            await services.stop(last="broker")
            for wire in self.wires:
                wire.close()

    async def _open_pumps(self) -> None:
        real_s = self.clock.real_s
        for _ in range(self.size):
            pump = BenchPump(real_s)
            wire = TcpWire(clock=real_s, line=lambda pump=pump: ModbusLine({1: pump}, "tcp", real_s))  # type: ignore[misc]
            await wire.open()
            self.pumps.append(pump)
            self.wires.append(wire)

    def _configure(self) -> None:
        command_key(self.data / "command.key", make=True)
        enrol({EDGE: self.data}, {"main": self.data})
        ensure_user(self.data / "console.db", LOGIN["name"], LOGIN["password"], "nurse", self.clock.now())
        mqtt = f'[mqtt]\nurl = "mqtt://127.0.0.1:{self.mqtt}"\n'
        (self.data / "console.toml").write_text(
            f'edge = "{EDGE}"\ndata = "{self.data}"\nport = {self.http}\nsimulated = true\n{mqtt}')
        beds = "".join(
            f'[[bed]]\nid = "bed-{number}"\n[[bed.device]]\nid = "pump"\ndriver = "isco"\n'
            f'at = "modbus+tcp://127.0.0.1:{wire.port}?unit=1"\n' for number, wire in enumerate(self.wires))
        (self.data / "edge.toml").write_text(
            f'[edge]\nid = "{EDGE}"\ndata = "{self.data}"\nrules = "{rules_file()}"\nsimulated = true\n{mqtt}{beds}')

    async def _page_answers(self) -> None:
        async with asyncio.timeout(READY_WITHIN_S):
            while True:
                try:
                    await asyncio.to_thread(urllib.request.urlopen, f"http://127.0.0.1:{self.http}/healthz", timeout=2)
                    return
                except OSError:
                    await asyncio.sleep(0.1)

    async def _subscribe(self) -> None:
        async with aiomqtt.Client("127.0.0.1", self.mqtt, max_queued_incoming_messages=10_000) as client:
            await client.subscribe(f"vigil/1/{EDGE}/bed/+/vitals", qos=0)
            await client.subscribe(f"vigil/1/{EDGE}/event", qos=1)
            async for message in client.messages:
                at_s = self.clock.real_s()
                said = json.loads(message.payload)
                for part in said if isinstance(said, list) else [said]:
                    if "numerics" in part:
                        self._arrived(part, at_s, self.found.subscriber)
                    elif part.get("kind") == "alarm" and not part["late"]:
                        self._event(part, at_s)

    def _pump(self, bed: str) -> BenchPump:
        return self.pumps[int(bed.removeprefix("bed-"))]

    def _arrived(self, vitals: dict[str, Any], at_s: float, into: list[float]) -> None:
        rate = (vitals["numerics"].get("rate_ml_h") or {}).get("value")
        key = (id(into), vitals["bed"])
        if rate is None or self._seen.get(key) == rate:
            return
        self._seen[key] = rate
        said_s = self._pump(vitals["bed"]).said.get(rate)
        if said_s is not None and self.found.counting:
            into.append(at_s - said_s)

    def _event(self, event: dict[str, Any], at_s: float) -> None:
        waiting = self._pump(event["bed"]).alarmed_at
        if waiting and self.found.counting:
            self.found.events.append(at_s - waiting.pop(0))
        else:
            waiting.clear()

    _seen: dict[tuple[int, str], float] = field(default_factory=dict)
    mqtt: int = 0
    http: int = 0

    async def _watch_page(self) -> None:
        url = f"http://127.0.0.1:{self.http}"
        cookie = await asyncio.to_thread(self._login, url)
        async with websockets.connect(f"ws://127.0.0.1:{self.http}/live", origin=websockets.Origin(url),
                                      additional_headers={"Cookie": cookie}, max_size=None) as page:
            async for message in page:
                at_s = self.clock.real_s()
                said = json.loads(message)
                if said.get("t") == "vitals":
                    self._arrived(said, at_s, self.found.page)

    def _login(self, url: str) -> str:
        request = urllib.request.Request(f"{url}/api/login", json.dumps(LOGIN).encode(),
                                         {"Content-Type": "application/json", "Origin": url})
        with urllib.request.urlopen(request, timeout=10) as answer:
            return "; ".join(value.split(";")[0] for value in answer.headers.get_all("Set-Cookie"))

    async def _alarms(self) -> None:
        turn = 0
        while True:
            await asyncio.sleep(1.0)
            for _ in range(max(1, round(self.size * EVENTS_SHARE))):
                self.pumps[turn % self.size].toggle()
                turn += 1

    async def _measure(self, pid: int) -> dict[str, float]:
        async with asyncio.timeout(READY_WITHIN_S):
            while not all(pump.said for pump in self.pumps):
                await asyncio.sleep(0.1)
        await asyncio.sleep(WARM_S)
        self.found.counting = True
        before_s, began_s = _cpu_s(pid), self.clock.real_s()
        await asyncio.sleep(self.seconds)
        used = (_cpu_s(pid) - before_s) / (self.clock.real_s() - began_s)
        self.found.counting = False
        return {"cpu_pct_of_one_core": round(100 * used, 1), "rss_mb": round(_rss_mb(pid), 1)}

    def _report(self, used: dict[str, float]) -> dict[str, Any]:
        found = self.found
        return {"devices": self.size, "seconds": self.seconds, "wire_to_subscriber_ms": _spread(found.subscriber),
                "wire_to_event_ms": _spread(found.events), "wire_to_page_ms": _spread(found.page), "edge": used}


def _spread(latencies: list[float]) -> dict[str, float]:
    ordered = sorted(latencies)
    if not ordered:
        return {"count": 0}

    def at(share: float) -> float:
        return round(1000 * ordered[min(len(ordered) - 1, int(share * len(ordered)))], 2)

    return {"count": len(ordered), "p50": at(0.5), "p99": at(0.99), "max": round(1000 * ordered[-1], 2)}


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / CLOCK_TICKS


def _rss_mb(pid: int) -> float:
    line = next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) / 1024


def run_bench(sizes: list[int], seconds: float, as_json: bool) -> int:
    """Measure each size in turn and print it."""
    assert "isco" in drivers.find()
    results = []
    for size in sizes:
        with tempfile.TemporaryDirectory(prefix="vigil-bench-") as folder:
            results.append(uvloop.run(Bench(size, seconds, Path(folder)).run()))
        if not as_json:
            print(_words(results[-1]), flush=True)
    if as_json:
        print(json.dumps({"machine": {"cores": os.cpu_count(), "python": platform.python_version()}, "sizes": results}))
    return 0


def _words(result: dict[str, Any]) -> str:
    lines = [f"{result['devices']} Modbus devices at 1 Hz, {result['seconds']:g} s"]
    for key, what in (("wire_to_subscriber_ms", "wire byte -> MQTT subscriber"),
                      ("wire_to_event_ms", "wire byte -> committed alarm event"),
                      ("wire_to_page_ms", "wire byte -> page")):
        spread = result[key]
        lines.append(f"  {what:36}" + (f"p50 {spread['p50']:7} ms  p99 {spread['p99']:7} ms  max {spread['max']:7} ms  "
                                       f"({spread['count']})" if spread["count"] else "nothing arrived"))
    return "\n".join([*lines, f"  edge: {result['edge']['cpu_pct_of_one_core']} % of one core, "
                              f"{result['edge']['rss_mb']} MB resident"])
