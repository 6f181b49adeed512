"""`vigil bench`: how long from a byte on the wire to an MQTT subscriber and to a page, and what it costs the edge.

For each size N: a broker, an edge and a console, each its own process as in a clinic; N Modbus TCP pumps, one a bed,
each asked once a second over its own connection; every rule judged, every sample journalled, every payload signed; and
every second a hundredth of the pumps (at least one) raise or end an alarm of their own, so that committed events are in
the path. Each round of answers carries a flow rate never sent before by that pump: the time its last byte is written to
the socket is matched with the time the vitals that hold it arrive at a subscriber, and at a logged-in page's WebSocket.
Fleet, subscriber and page are processes too (edge/demo/bench_parts.py): their own queueing is theirs alone.

Profiles: `four-reads` asks an ISCO's four blocks each round (drivers/isco.py), `one-read` one block of eight registers.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import platform
import resource
import shutil
import sys
import tempfile
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import uvloop

from edge.clock import EdgeClock
from edge.console.accounts import ensure_user
from edge.demo.bench_parts import METRICS, PROFILES
from edge.demo.configuration import free_port, rules_file
from edge.demo.enrol import enrol
from edge.demo.services import Service, Services
from edge.journal.database import DatabaseUrl
from edge.journal.store import Store, close
from edge.process import BadUsage, command_key

WARM_S = 5.0  # real seconds before anything is counted
READY_WITHIN_S = 120.0
SETTLE_S = 1.0  # what left in the last moment may still arrive
FILES = 16_384  # open at once: a socket a device, at both its ends
CLOCK_TICKS = os.sysconf("SC_CLK_TCK")
EDGE = "bench"
LOGIN = {"name": "bench", "password": "only for this benchmark"}
DRIVERS = Path(__file__).parent / "bench_drivers"
BROKERS = ("embedded", "mosquitto")
RECORDS = ("full", "plain", "none")
MADNESS = ("garbage", "hang", "fast")  # they flood; they take all and never respond; good frames, far too many


@dataclass(frozen=True, slots=True)
class Plan:
    """What is measured."""

    sizes: tuple[int, ...]
    seconds: float
    profile: str = "four-reads"
    broker: str = "embedded"
    busy: int = 0  # neighbours that would like a whole processor each
    record: str = "full"  # what the edge keeps (edge/demo/bench_record.py), to show what the rest costs
    mad: str = ""  # what one more bed's devices do (MADNESS)


class Part:
    """A process around the edge: says one line when it stands, and all it noted once it is told to stop."""

    def __init__(self, *arguments: str) -> None:
        self._arguments = arguments

    async def start(self) -> Any:
        """Its first line."""
        self.process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "edge.demo.bench_parts", *self._arguments, limit=2**28,
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE)
        assert self.process.stdout is not None
        line = await asyncio.wait_for(self.process.stdout.readline(), READY_WITHIN_S)
        if not line:
            raise BadUsage(f"the benchmark's {self._arguments[0]} did not start; its own words are above")
        return json.loads(line)

    async def stop(self) -> Any:
        """What it noted."""
        assert self.process.stdout is not None and self.process.stdin is not None
        self.process.stdin.write(b"stop\n")
        return json.loads(await asyncio.wait_for(self.process.stdout.readline(), READY_WITHIN_S))

    async def end(self) -> None:
        """Whatever it does."""
        if hasattr(self, "process") and self.process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self.process.kill()
            await self.process.wait()


@dataclass(slots=True)
class Bench:
    """One size being measured."""

    plan: Plan
    size: int
    data: Path
    clock: EdgeClock = field(default_factory=EdgeClock)
    mqtt: int = 0
    http: int = 0

    async def run(self) -> dict[str, Any]:
        """Start everything, measure, stop everything."""
        services = Services(self.data / "pids.json", self.data, lambda line: None)
        fleet = Part("fleet", str(self.size), self.plan.profile)
        mad = Part("mad", self.plan.mad) if self.plan.mad else None
        parts = [fleet, *((mad,) if mad else ())]
        neighbours = [await asyncio.create_subprocess_exec(sys.executable, "-c", "while True: pass")
                      for _ in range(self.plan.busy)]
        try:
            ports = await fleet.start()
            self.mqtt, self.http = free_port(), free_port()  # now, lest the fleet takes one of them
            url = f"http://127.0.0.1:{self.http}"
            subscriber = Part("subscriber", EDGE, str(self.mqtt))
            page = Part("page", EDGE, url, LOGIN["name"], LOGIN["password"])
            parts += [subscriber, page]
            self._configure(ports, await mad.start() if mad else None)
            for service in self._services():
                await services.start(service)
            await self._answers(f"{url}/healthz")
            await subscriber.start()
            await page.start()
            pid = services.all["edge"].pid
            assert pid is not None
            window, used = await self._measure(pid)
            arrived, shown, answered = await subscriber.stop(), await page.stop(), await fleet.stop()
            return self._report(window, used, answered, arrived, shown)
        finally:
            for part in parts:
                await part.end()
            for neighbour in neighbours:
                neighbour.kill()
                await neighbour.wait()
            await services.stop(last="broker")

    def _configure(self, ports: Sequence[int], mad: Sequence[int] | None) -> None:
        command_key(self.data / "command.key", make=True)
        enrol({EDGE: self.data}, {"main": self.data})
        ensure_user(self.data / "console.db", LOGIN["name"], LOGIN["password"], "nurse", self.clock.now())
        mqtt = f'[mqtt]\nurl = "mqtt://127.0.0.1:{self.mqtt}"\n'
        data = json.dumps(str(self.data))
        (self.data / "console.toml").write_text(
            f'edge = "{EDGE}"\ndata = {data}\nport = {self.http}\nsimulated = true\n{mqtt}')
        beds = "".join(
            f'[[bed]]\nid = "bed-{number}"\n[[bed.device]]\nid = "pump"\ndriver = "{PROFILES[self.plan.profile][0]}"\n'
            f'at = "modbus+tcp://127.0.0.1:{port}?unit=1"\n' for number, port in enumerate(ports))
        if mad is not None:
            beds += (f'[[bed]]\nid = "mad"\n[[bed.device]]\nid = "pump"\ndriver = "alaris_gh"\nrole = "drug"\n'
                     f'at = "tcp://127.0.0.1:{mad[0]}"\n[[bed.device]]\nid = "other"\ndriver = "isco"\n'
                     f'role = "carrier"\nat = "modbus+tcp://127.0.0.1:{mad[1]}?unit=1"\n')
        (self.data / "edge.toml").write_text(
            f'[edge]\nid = "{EDGE}"\ndata = {data}\nrules = {json.dumps(str(rules_file()))}\nsimulated = true\n'
            f"drivers = {json.dumps(str(DRIVERS))}\n{mqtt}{beds}")
        (self.data / "mosquitto.conf").write_text(
            f"listener {self.mqtt} 127.0.0.1\nallow_anonymous true\nset_tcp_nodelay true\n")
        store = Store(DatabaseUrl(str(self.data / "journal.db")), EDGE)  # the edge starts as it does nearly always:
        close(store.open().connection)  # a version's first start alone loads what makes tables, and keeps it
        store.release()

    def _services(self) -> tuple[Service, ...]:
        """As systemd would run them: edge and broker before what only shows."""
        broker = (Service("broker", ["broker", "--port", str(self.mqtt)], urgent=True)
                  if self.plan.broker == "embedded" else
                  Service("broker", ["-c", str(self.data / "mosquitto.conf")], program=mosquitto(), urgent=True))
        return (broker, Service("console", ["console", "--config", str(self.data / "console.toml")]),
                Service("edge", ["edge", "--config", str(self.data / "edge.toml")], urgent=True, program=(
                    (sys.executable, "-m", "edge.cli") if self.plan.record == "full" else
                    (sys.executable, "-m", "edge.demo.bench_record", self.plan.record))))

    async def _answers(self, url: str) -> None:
        async with asyncio.timeout(READY_WITHIN_S):
            while True:
                try:
                    await asyncio.to_thread(urllib.request.urlopen, url, timeout=2)
                    return
                except OSError:
                    await asyncio.sleep(0.1)

    async def _measure(self, pid: int) -> tuple[tuple[float, float], dict[str, float]]:
        """The window that counts, and what the edge and the whole machine used in it."""
        await asyncio.sleep(WARM_S + self.size / 100)
        began_s, edge_s, busy_s = self.clock.real_s(), _cpu_s(pid), _busy_s()
        await asyncio.sleep(self.plan.seconds)
        ended_s = self.clock.real_s()
        edge_s, busy_s = _cpu_s(pid) - edge_s, _busy_s() - busy_s
        used = {"cpu_pct_of_one_core": round(100 * edge_s / (ended_s - began_s), 1), "rss_mb": round(_rss_mb(pid), 1),
                "share_of_all_work_pct": round(100 * edge_s / busy_s, 1) if busy_s else 0.0,
                "machine_busy_pct": round(100 * busy_s / (ended_s - began_s) / (os.cpu_count() or 1), 1),
                "load_1_min": os.getloadavg()[0]}
        await asyncio.sleep(SETTLE_S)
        return (began_s, ended_s), used

    def _report(self, window: tuple[float, float], used: dict[str, float], fleet: dict[str, Any],
                arrived: dict[str, Any], shown: dict[str, Any]) -> dict[str, Any]:
        subscriber = matched(fleet["answered"], arrived["rates"], window)
        rounds = sum(window[0] <= at_s < window[1] for pump in fleet["answered"] for _, at_s in pump)
        return {"devices": self.size, "seconds": self.plan.seconds, "profile": self.plan.profile,
                "broker": self.plan.broker, "busy": self.plan.busy, "record": self.plan.record != "none",
                "record_kept": self.plan.record, "mad": self.plan.mad,
                "points_a_second": round(METRICS * rounds / (window[1] - window[0]), 1),
                "arrived_of_answered_pct": round(100 * len(subscriber) / rounds, 1) if rounds else 0.0,
                "wire_to_subscriber_ms": _spread(subscriber),
                "wire_to_event_ms": _spread(matched_events(fleet["alarmed"], arrived["events"], window)),
                "wire_to_page_ms": _spread(matched(fleet["answered"], shown["rates"], window)), "edge": used}


def matched(answered: Sequence[Sequence[Sequence[float]]], rates: Sequence[tuple[str, float, float]],
            window: tuple[float, float]) -> list[float]:
    """How long each rate that left within the window took until it first arrived, seconds."""
    left = {(number, rate): at_s for number, pump in enumerate(answered) for rate, at_s in pump
            if window[0] <= at_s < window[1]}
    found = []
    for bed, rate, at_s in rates:
        if not _is_counted(bed):
            continue
        left_s = left.pop((_number(bed), rate), None)
        if left_s is not None:
            found.append(at_s - left_s)
    return found


def matched_events(alarmed: Sequence[Sequence[float]], events: Sequence[tuple[str, float]],
                   window: tuple[float, float]) -> list[float]:
    """How long each change of an alarm within the window took until the first event of its bed after it, seconds."""
    of_bed: dict[int, list[float]] = {}
    for bed, at_s in events:
        if _is_counted(bed):
            of_bed.setdefault(_number(bed), []).append(at_s)
    found = []
    for number, times in enumerate(alarmed):
        for left_s, next_s in zip(times, [*times[1:], float("inf")], strict=False):
            first = next((at_s for at_s in of_bed.get(number, []) if left_s <= at_s < next_s), None)
            if window[0] <= left_s < window[1] and first is not None:
                found.append(first - left_s)
    return found


def _is_counted(bed: str) -> bool:
    """Whether it is of the fleet: not the mad one."""
    return bed.startswith("bed-")


def _number(bed: str) -> int:
    return int(bed.removeprefix("bed-"))


def _spread(latencies: list[float]) -> dict[str, float]:
    ordered = sorted(latencies)
    if not ordered:
        return {"count": 0}

    def at(share: float) -> float:
        return round(1000 * ordered[min(len(ordered) - 1, int(share * len(ordered)))], 2)

    return {"count": len(ordered), "p50": at(0.5), "p99": at(0.99), "max": round(1000 * ordered[-1], 2)}


def _cpu_s(pid: int) -> float:
    """Processor seconds of one process so far (proc(5), stat: utime, stime)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / CLOCK_TICKS


def _busy_s() -> float:
    """Processor seconds that the whole machine was not idle (proc(5), stat: all but idle and iowait)."""
    fields = [int(field) for field in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    return (sum(fields) - fields[3] - fields[4]) / CLOCK_TICKS


def _rss_mb(pid: int) -> float:
    line = next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) / 1024


def mosquitto() -> tuple[str, ...]:
    """The program. Raises BadUsage where it is not installed."""
    found = shutil.which("mosquitto", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
    if found is None:
        raise BadUsage("--broker mosquitto: it is not installed; on Debian: apt-get install mosquitto")
    return (found,)


def run_bench(plan: Plan, as_json: bool, mad: bool = False) -> int:
    """Measure each size in turn and print it; `mad`: also beside one bed of each MADNESS. Raises BadUsage."""
    if plan.profile not in PROFILES:
        raise BadUsage(f"--profile {plan.profile}: there are {', '.join(PROFILES)}")
    if plan.broker not in BROKERS:
        raise BadUsage(f"--broker {plan.broker}: there are {', '.join(BROKERS)}")
    if plan.record not in RECORDS:
        raise BadUsage(f"--record {plan.record}: there are {', '.join(RECORDS)}")
    if plan.broker == "mosquitto":
        mosquitto()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (FILES if hard == resource.RLIM_INFINITY else min(FILES, hard), hard))
    results = []
    for size in plan.sizes:
        for one in [plan, *(replace(plan, mad=kind) for kind in MADNESS if mad)]:
            with tempfile.TemporaryDirectory(prefix="vigil-bench-") as folder:
                results.append(uvloop.run(Bench(one, size, Path(folder)).run()))
            if not as_json:
                print(_words(results[-1]), flush=True)
    rows = compared(results)
    if as_json:
        machine = {"cores": os.cpu_count(), "python": platform.python_version()}
        print(json.dumps({"machine": machine, "sizes": results, **({"mad": rows} if mad else {})}))
        return 0
    for row in rows:
        print(f"{row['devices']} devices beside a mad bed ({row['mad']}): p99 {row['p99_ms']} ms, without it"
              f" {row['without_ms']} ms ({row['more_pct']:+.1f} %)")
    return 0


def compared(results: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The p99 from wire to subscriber beside a mad bed, and that of the same size without."""
    calm = {one["devices"]: one["wire_to_subscriber_ms"].get("p99", 0.0) for one in results if not one["mad"]}
    rows = []
    for one in results:
        if one["mad"]:
            p99, without = one["wire_to_subscriber_ms"].get("p99", float("inf")), calm[one["devices"]]
            rows.append({"devices": one["devices"], "mad": one["mad"], "p99_ms": p99, "without_ms": without,
                         "more_pct": round(100 * (p99 / without - 1), 1) if without else 0.0})
    return rows


def _words(result: dict[str, Any]) -> str:
    busy = f", {result['busy']} busy neighbours" if result["busy"] else ""
    busy += {"full": "", "none": ", no record"}.get(result["record_kept"], f", a {result['record_kept']} record")
    busy += f", one more bed whose devices are mad ({result['mad']})" if result["mad"] else ""
    lines = [f"{result['devices']} Modbus devices at 1 Hz, {result['profile']}, {result['broker']} broker,"
             f" {result['seconds']:g} s{busy}: {result['points_a_second']:g} points a second,"
             f" {result['arrived_of_answered_pct']:g} % arrived"]
    for key, what in (("wire_to_subscriber_ms", "wire byte -> MQTT subscriber"),
                      ("wire_to_event_ms", "wire byte -> committed alarm event"),
                      ("wire_to_page_ms", "wire byte -> page")):
        spread = result[key]
        lines.append(f"  {what:36}" + (f"p50 {spread['p50']:7} ms  p99 {spread['p99']:7} ms  max {spread['max']:7} ms  "
                                       f"({spread['count']})" if spread["count"] else "nothing arrived"))
    used = result["edge"]
    return "\n".join([*lines, f"  edge: {used['cpu_pct_of_one_core']} % of one core, {used['rss_mb']} MB resident,"
                              f" {used['share_of_all_work_pct']} % of all that ran; machine"
                              f" {used['machine_busy_pct']} % busy, load {used['load_1_min']:g}"])
