"""The past of a demonstration, lived before its first page: what devices, drivers, beds and a nurse did until now.

Nothing is made up. The simulated patients and devices of the scenario live through it in told time; each device's own
driver and dialogue read them, byte for byte, as in service; each bed judges what comes; the journal keeps every input
and event with its own time. So the record verifies, replays without a difference, and the edge takes it up as it does
after any restart. Only the wires are missing: bytes are handed over at once.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import drivers
import simulators
from drivers.contract import FrameRequest, Line, ModbusRequest
from edge.app.recovery import CONFIGURED
from edge.console.history import Recorder
from edge.core import views
from edge.core.bedside import Bedside
from edge.core.protocol import Protocols
from edge.core.rules import RuleSet
from edge.field.dialogue import Dialogue
from edge.journal.journal import Journal
from edge.model import BedConfigured, Boot, Command, Configured, DeviceAlarmsReported, Input, Tick, encode
from simulators.contract import ModbusTwin, Twin, TwinSpec
from simulators.scenario import Bed, Device, Scenario
from simulators.stage import Options, Stage
from simulators.wire import Wire

STEP_S = 0.5  # as the simulators take it up again (simulators/stage.py)
TREND_EVERY_S = 5.0
FLUSH_EVERY_S = 60.0
REQUESTS_MOST = 8  # to one device in one step
NIBP_S = 300.0


@dataclass(frozen=True, slots=True)
class Act:
    """What the nurse did `at_s` seconds after the past began."""

    at_s: float
    bed: str
    verb: str
    args: dict[str, Any]


class DirectWire:
    """No wire: what the twin sends by itself waits until it is taken."""

    def __init__(self, twin: Twin | ModbusTwin) -> None:
        self.twin = twin
        self.is_open = False  # whether a dialogue is open
        self._sent = bytearray()

    def step(self, dt_s: float) -> None:
        """A pump lives always; a monitor shows only what is now, so it lives where somebody listens."""
        if self.is_open or "program" in self.twin.hands:
            sent = self.twin.step(dt_s)
            if sent and self.is_open:
                self._sent += sent

    def take(self) -> bytes:
        """What was sent since the last time."""
        sent = bytes(self._sent)
        self._sent.clear()
        return sent

    def tend(self) -> None:
        """Nothing waits."""

    def unplug(self) -> None:
        """No cable is pulled in a past."""

    def replug(self) -> None:
        """Nor put back."""

    def close(self) -> None:
        """Nothing is open."""

    def silence(self, on: bool) -> None:
        """No device is mute in a past."""


class SteppedStage(Stage):
    """A stage whose twins are reached without wires."""

    def __init__(self, scenario: Scenario, options: Options) -> None:
        super().__init__(scenario, simulators.find(), float, options)
        self.direct: dict[tuple[str, str], DirectWire] = {}

    async def reach(self, bed: Bed, device: Device, spec: TwinSpec, twin: Twin | ModbusTwin) -> tuple[Wire, str]:
        """Hands over the twin itself."""
        wire = self.direct[bed.id, device.id] = DirectWire(twin)
        return wire, ""


@dataclass(slots=True)
class Reader:
    """One device and the dialogue that reads it."""

    wire: DirectWire
    dialogue: Dialogue

    def open(self, at_s: float, real_s: float) -> None:
        """The edge is switched on."""
        self.wire.is_open = True
        connect: Callable[[], None] | None = getattr(self.wire.twin, "connect", None)  # a Modbus twin has none
        if connect is not None:
            connect()
        self.dialogue.begin(at_s)
        self.dialogue.opened(at_s, real_s)

    def talk(self, at_s: float, real_s: float) -> None:
        """What came by itself, then what is due to be asked, each with its response at once."""
        sent = self.wire.take()
        if sent:
            self.dialogue.received(sent, at_s, real_s)
        for _ in range(REQUESTS_MOST):
            request = self.dialogue.next_request(at_s, real_s)
            if request is None:
                return
            if isinstance(request, FrameRequest):
                response = self._stream(request)
                if response:
                    self.dialogue.received(response, at_s, real_s)
            else:
                self.dialogue.responded(self._registers(request), at_s, real_s)

    def _stream(self, request: FrameRequest) -> bytes:
        feed: Callable[[bytes], bytes] = getattr(self.wire.twin, "feed")  # noqa: B009
        return feed(request.frame)

    def _registers(self, request: ModbusRequest) -> bytes:
        """Registers big-endian, or coils packed low bit first, as a Modbus bus gives them."""
        read: Callable[[int, int, int], Sequence[int]] = getattr(self.wire.twin, "read")  # noqa: B009
        values = read(request.function, request.address, request.count)
        if request.function in (3, 4):
            return b"".join(value.to_bytes(2, "big") for value in values)
        bits = sum(bool(value) << place for place, value in enumerate(values))
        return bits.to_bytes((len(values) + 7) // 8, "little")


class Past:
    """The past of one edge. `opens_s`: when each bed is switched on, seconds after the past began."""

    def __init__(self, edge: str, scenario: Scenario, rules: RuleSet, rules_text: str, acts: Sequence[Act],
                 opens_s: Mapping[str, float], cuff: Mapping[str, object], *,
                 protocols: Protocols | None = None, protocols_text: str = "") -> None:
        self.recorder = Recorder(limit=10**6)
        self.boot = secrets.token_hex(8)
        self._at_s = 0.0
        self._edge, self._rules, self._rules_text = edge, rules, rules_text
        self._protocols, self._protocols_text = protocols, protocols_text
        self._acts = sorted(acts, key=lambda act: act.at_s)
        self._opens_s = dict(opens_s)
        self._cuff = cuff  # settings of whatever measures by itself
        self._stage = SteppedStage(scenario, Options(seed=1))
        self._beds: dict[str, Bedside] = {}
        self._readers: dict[str, list[Reader]] = {}
        self._on: set[str] = set()
        self._last_n: dict[str, int] = {}

    async def live(self, journal: Journal, began_s: float, now: Callable[[], float]) -> float:
        """From `began_s` (edge seconds since 1970) until `now()`, which goes on meanwhile. Its length in seconds."""
        await self.begin(journal, began_s)
        await self.live_until(now)
        return await self.end()

    async def begin(self, journal: Journal, began_s: float) -> None:
        """The first moment: what is configured."""
        self._journal, self._began_s, self._past_s = journal, began_s, 0.0
        await self._stage.open()
        self._configured = self._configure(began_s)
        self._configured_n = journal.record(None, began_s, self._configured)
        self._stage.go()

    async def live_until(self, now: Callable[[], float]) -> float:
        """On until `now()`, which goes on meanwhile; may be said again. How long it has been, in seconds."""
        while self._began_s + self._past_s < now():
            self._past_s += STEP_S
            self._step(round(self._began_s + self._past_s, 3), self._past_s)
            if self._past_s % FLUSH_EVERY_S == 0:
                await self._journal.flush()
        return self._past_s

    async def end(self) -> float:
        """The beds as they are now, for whoever takes them up. Its length in seconds."""
        at_s = round(self._began_s + self._past_s, 3)
        for bed in self._on:
            self._journal.snapshot(bed, self._last_n[bed], at_s, self._beds[bed].snapshot())
        self._journal.snapshot(CONFIGURED, self._configured_n, at_s, encode(self._configured))
        await self._journal.flush()
        return self._past_s

    def _configure(self, began_s: float) -> Configured:
        specs = drivers.find()
        rows = []
        for plan in self._stage.scenario.beds:
            devices = tuple((device.id, specs[device.driver].kind, device.driver) for device in plan.devices)
            rows.append(BedConfigured(plan.id, NIBP_S, devices))
            bedside = self._beds[plan.id] = Bedside(plan.id, devices, self._rules, nibp_interval_s=NIBP_S,
                                                    protocols=self._protocols)
            self._readers[plan.id] = [self._reader(bedside, plan.id, device, began_s) for device in plan.devices]
        return Configured(self._rules_text, tuple(rows), self._protocols_text)

    def _reader(self, bedside: Bedside, bed: str, device: Device, began_s: float) -> Reader:
        spec = drivers.find()[device.driver]
        line: Line = spec.line
        dialogue = Dialogue(bed, device.id, spec, line, now=lambda: self._at_s, decoded=partial(self._decoded, bed),
                            wave=lambda *_: None, settings=self._cuff if "start_s" in spec.settings else None)
        return Reader(self._stage.direct[bed, device.id], dialogue)

    def _step(self, at_s: float, past_s: float) -> None:
        self._at_s = at_s
        self._stage.advance(STEP_S)
        for bed, opens_s in self._opens_s.items():
            if past_s >= opens_s and bed not in self._on:
                self._on.add(bed)
                self._apply(bed, Boot(self.boot, 0.0), at_s)
                for reader in self._readers[bed]:
                    reader.open(at_s, past_s)
        while self._acts and self._acts[0].at_s <= past_s:
            act = self._acts.pop(0)
            self._apply(act.bed, Command(secrets.token_hex(8), "main", "nurse", "nurse", act.bed, act.verb, act.args,
                                         secrets.token_hex(8)), at_s)
        for bed in self._on:
            for reader in self._readers[bed]:
                reader.talk(at_s, past_s)
            if past_s % 1.0 == 0:
                self._apply(bed, Tick(), at_s)
            if past_s % TREND_EVERY_S == 0:
                self._trend(bed, at_s)

    def _decoded(self, bed: str, inputs: Sequence[Input], at_s: float, more: bool) -> None:
        for given in inputs:
            devices = self._beds[bed].state.devices
            if isinstance(given, DeviceAlarmsReported) and devices[given.device].alarms == given.alarms:
                continue  # as in service (edge/app/service.py)
            self._apply(bed, given, at_s)

    def _apply(self, bed: str, given: Input, at_s: float) -> None:
        pending = self._beds[bed].apply(given, at_s)
        self._last_n[bed] = self._journal.record(bed, at_s, given)
        if pending:
            self._beds[bed].numbered(self._journal.append(pending).events)

    def _trend(self, bed: str, at_s: float) -> None:
        self.recorder.receive(views.vitals(self._beds[bed].state, at_s, edge=self._edge, simulated=True))
