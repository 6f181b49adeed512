"""An edge run as a clinic runs it: broker, simulators and edge, each its own process, listened to from outside."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiomqtt

from edge.clock import EdgeClock
from edge.contract.events import Event
from edge.core.replay import differences
from edge.demo.demo import free_port, rules_file
from edge.demo.services import Service, Services
from edge.journal.reader import Reader
from edge.journal.verify import verify
from edge.model import RecordedInput, Sample, Samples, from_iso
from edge.process import command_key
from tests.helpers.waiting import until

EDGE = "recorded"
STARTS_WITHIN_S = 40.0
RETRY_S = 0.05


@dataclass(slots=True)
class Decoded:
    """One MQTT message, and the edge time at which it came."""

    at_s: float
    topic: str
    said: dict[str, Any]


@dataclass(slots=True)
class EdgeRun:
    """A running edge, and all that was heard of it over MQTT. After the run its journal is whole."""

    data: Path
    mqtt: int
    speed: float
    clock: EdgeClock
    twins: list[dict[str, str]] = field(default_factory=list)
    heard: list[Decoded] = field(default_factory=list)
    began_s: float = 0.0  # edge time at which the simulated lives began
    store: Path | str | None = None  # the folder of the journal, where it is not `data`, or a server's address
    services: Services | None = None

    @property
    def journal(self) -> str:
        return self.store if isinstance(self.store, str) else str((self.store or self.data) / "journal.db")

    async def kill_edge(self) -> None:
        """kill -9."""
        assert self.services is not None
        process = self.services.all["edge"].process
        assert process is not None
        process.kill()
        await process.wait()

    async def end_edge(self) -> None:
        """As systemd ends it."""
        assert self.services is not None
        process = self.services.all["edge"].process
        assert process is not None
        process.terminate()
        assert await asyncio.wait_for(process.wait(), 10) == 0

    async def start_edge(self) -> None:
        """Again, after a kill."""
        assert self.services is not None
        await self.services.start(self.services.all["edge"])

    def vitals(self) -> list[Decoded]:
        """Every set of numerics, in the order they came."""
        return [heard for heard in self.heard if heard.topic.endswith("/vitals")]

    def numerics(self, metric: str) -> list[tuple[float, dict[str, Any]]]:
        """Each word on `metric`, with the edge time its message carries."""
        return [(from_iso(heard.said["at"]), heard.said["numerics"][metric]) for heard in self.vitals()
                if metric in heard.said["numerics"]]

    def states(self) -> list[dict[str, Any]]:
        """Every full state, in the order they came."""
        return [heard.said for heard in self.heard if heard.topic.endswith("/state")]

    def waves(self, name: str) -> list[list[int | None]]:
        """The pieces of a waveform, in the order they came."""
        return [heard.said["samples"] for heard in self.heard if heard.topic.endswith(f"/wave/{name}")]

    def events(self, kind: str) -> list[dict[str, Any]]:
        """Events as MQTT carried them, each once, by number."""
        found = {heard.said["seq"]: heard.said for heard in self.heard if heard.topic.endswith("/event")}
        return [event for _, event in sorted(found.items()) if event["kind"] == kind]

    def device(self, name: str) -> dict[str, Any] | None:
        """What the newest state says of a device."""
        states = self.states()
        return next((device for device in states[-1]["devices"] if device["device"] == name), None) if states else None

    async def until(self, holds: Callable[[], object], within_s: float, what: str) -> None:
        """Wait real seconds until `holds()`; fails with `what`."""
        await until(holds, within_s, what, RETRY_S)

    def recorded(self) -> Iterator[RecordedInput]:
        """The journal's inputs, each checked against its checkpoint."""
        with Reader(self.journal) as reader:
            yield from reader.inputs()

    def events_recorded(self, kind: str) -> list[Event]:
        """The journal's events of this kind, each checked against its hash."""
        with Reader(self.journal) as reader:
            return [event for event in reader.events() if event.kind == kind]

    def samples(self, metric: str) -> list[Sample]:
        """Every sample of `metric` in the journal, in order."""
        return [sample for recorded in self.recorded() if isinstance(recorded.input, Samples)
                for sample in recorded.input.samples if sample.metric == metric]

    def check_record(self) -> None:
        """The hash chain holds, and the inputs lead to the recorded events again."""
        verdict = verify(self.journal)
        assert verdict.ok, str(verdict)
        assert verdict.events and verdict.inputs
        with Reader(self.journal) as reader:
            found = [str(difference) for difference in differences(reader.inputs(), reader.events())]
            assert found == [], found


@contextlib.asynccontextmanager
async def edge_running(
    data: Path, *simulate: str, speed: float, settings: Mapping[str, Mapping[str, float]] | None = None,
    store: Path | str | None = None,
) -> AsyncIterator[EdgeRun]:
    """Broker, `vigil simulate` with these arguments, and an edge over all its twins, for as long as the body runs.

    `settings` are driver settings by driver; `store` is another folder for the journal, or a server's address. All
    three must run to the end, and end cleanly.
    """
    clock = EdgeClock(speed)
    epoch = clock.now()
    run = EdgeRun(data, free_port(), speed, EdgeClock(speed, epoch), store=store)
    services = run.services = Services(data / "pids.json", data, lambda line: None)
    listening: asyncio.Future[None] | None = None
    try:
        await services.start(Service("broker", ["broker", "--port", str(run.mqtt)]))
        listening = asyncio.ensure_future(_listen(run))
        await run.until(lambda: listening is not None and run.heard, STARTS_WITHIN_S, _said(data, "broker"))
        command_key(data / "command.key", make=True)
        await _simulators(services, run, simulate)
        (data / "edge.toml").write_text(_edge_toml(run, epoch, settings or {}))
        await services.start(Service("edge", ["edge", "--config", str(data / "edge.toml")]))
        await run.until(lambda: any(one.said.get("state") == "alive" for one in run.heard), STARTS_WITHIN_S,
                        _said(data, "edge"))
        await _go(services, run)
        yield run
        ended = [name for name, service in services.all.items()
                 if service.process is None or service.process.returncode is not None]
        assert not ended, _said(data, ended[0])
    finally:
        await _end(services)
        if listening is not None:
            listening.cancel()
    codes = {name: service.process.returncode for name, service in services.all.items() if service.process is not None}
    assert set(codes.values()) == {0}, (codes, [_said(data, name) for name, code in codes.items() if code])


async def _simulators(services: Services, run: EdgeRun, simulate: tuple[str, ...]) -> None:
    """Start them, and note who stands where."""
    service = await services.start(Service("simulators", [
        "simulate", *simulate, "--json", "--wait-for-go", "--ports", str(run.data / "ports"),
        "--speed", str(run.speed)], pipes=True))
    assert service.process is not None and service.process.stdout is not None
    line = await asyncio.wait_for(service.process.stdout.readline(), STARTS_WITHIN_S)
    assert line, _said(run.data, "simulators")
    run.twins = json.loads(line)["twins"]


async def _go(services: Services, run: EdgeRun) -> None:
    """The simulated lives begin: not before this moment, however slow the machine."""
    process = services.all["simulators"].process
    assert process is not None and process.stdin is not None
    run.began_s = run.clock.now()
    process.stdin.write(b'{"do": "go"}\n')
    await process.stdin.drain()


async def _end(services: Services) -> None:
    """The edge first, so that it hears no cable being pulled that was never pulled; then the others."""
    edge = services.all.get("edge")
    if edge is not None and edge.process is not None and edge.process.returncode is None:
        edge.process.terminate()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(edge.process.wait(), 10)
    await services.stop(last="broker")


def _edge_toml(run: EdgeRun, epoch: float, settings: Mapping[str, Mapping[str, float]]) -> str:
    journal = run.journal if isinstance(run.store, str) else f"sqlite:///{run.journal}"
    parts = [f'[edge]\nid = "{EDGE}"\ndata = "{run.data}"\nrules = "{rules_file()}"\nsimulated = true\n'
             f'speed = {run.speed}\nepoch = {epoch}\njournal = "{journal}"\n[mqtt]\nurl = "mqtt://127.0.0.1:{run.mqtt}"\n']
    bed = None
    for twin in run.twins:
        if twin["bed"] != bed:
            bed = twin["bed"]
            parts.append(f'[[bed]]\nid = "{bed}"\n')
        parts.append(f'[[bed.device]]\nid = "{twin["device"]}"\ndriver = "{twin["driver"]}"\nat = "{twin["at"]}"\n')
        if own := settings.get(twin["driver"]):
            parts.append("[bed.device.settings]\n" + "".join(f"{key} = {value}\n" for key, value in own.items()))
    return "".join(parts)


def _said(data: Path, name: str) -> str:
    """The end of a process's log."""
    log = data / f"{name}.log"
    return f"{name}: " + (log.read_text()[-2000:] if log.exists() else "no log")


async def _listen(run: EdgeRun) -> None:
    """Keep all that comes; the first entry, without a topic, says that the broker is there."""
    while True:
        with contextlib.suppress(aiomqtt.MqttError):
            async with aiomqtt.Client("127.0.0.1", run.mqtt, max_queued_incoming_messages=10_000) as client:
                await client.subscribe("vigil/1/#", qos=1)
                run.heard.append(Decoded(run.clock.now(), "", {}))
                async for message in client.messages:
                    assert isinstance(message.payload, bytes)
                    said = json.loads(message.payload)
                    run.heard.extend(Decoded(run.clock.now(), message.topic.value, one)
                                     for one in (said if isinstance(said, list) else [said]))
        await asyncio.sleep(RETRY_S)
