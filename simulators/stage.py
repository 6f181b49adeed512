"""The stage: beds with a patient and twins each, behind real ptys and real TCP ports, in one event loop.

Real time comes in through `clock`; `speed` times it is what patients and twins live. The wires' own times stay real.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol, TextIO, cast, runtime_checkable

from simulators.contract import Display, ModbusTwin, Twin, TwinSpec
from simulators.faults import Faults
from simulators.modbus import ModbusLine, NoResponse
from simulators.patient import EPISODES, Patient, SimulatedPatient
from simulators.scenario import CONCENTRATION_MG_ML, PATIENT, Bed, Device, Scenario, Step
from simulators.wire import Clock, PtyWire, TcpWire, Wire

PLUG = ("unplug", "replug", "mute", "unmute")  # what can be done to any device's cable
NEXT = "next"  # done to the patient: somebody else comes to this bed
TICK_S = 0.02  # real seconds between looks at the wires
MOST_STEP_S = 0.5  # simulated seconds a twin is handed at once: what a stall or a high speed piles up comes in these
MOST_ML_H, MOST_ML = 1200.0, 500.0  # what these pumps can be told
UNITS_A_PORT = 247  # Modbus unit ids 1 to 247


@runtime_checkable
class Programmable(Protocol):
    """A pump's twin: what a person enters before the hand `program`."""

    rate_ml_h: float
    vtbi_ml: float


@runtime_checkable
class Waits(Protocol):
    """A twin with time-outs towards its host: they are the wire's own, and stay real however fast the bed lives."""

    wire_speed: float  # simulated seconds in a real one


@dataclass(frozen=True, slots=True)
class Row:
    """Where a twin can be reached. `port` is a link to its pty that survives replugging, where a folder was given."""

    bed: str
    device: str
    driver: str
    at: str
    port: str | None = None


@dataclass(slots=True)
class _Placed:
    row: Row
    twin: Twin | ModbusTwin
    wire: Wire
    unplugged: bool = False

    def look(self) -> dict[str, Any]:
        """The device as a person beside it sees it, and all a person can do at it."""
        shown = dict(self.twin.display()) if isinstance(self.twin, Display) else {}
        return {"device": self.row.device, "driver": self.row.driver, "unplugged": self.unplugged, "display": shown,
                "hands": list(dict.fromkeys((*self.twin.hands, *PLUG)))}

    def live(self, dt_s: float) -> None:
        """A byte-stream twin lives through its wire; a Modbus twin says nothing by itself."""
        if isinstance(self.wire, _UnitPlug) or not _streams(self.twin):
            self.twin.step(dt_s)
        else:
            self.wire.step(dt_s)

    def do(self, what: str) -> None:
        """A hand at it or at its cable. Raises ValueError for what nobody can do there."""
        hand = self.twin.hands.get(what)
        self.unplugged = {"unplug": True, "replug": False}.get(what, self.unplugged)
        plug: Mapping[str, Callable[[], None]] = {
            "unplug": self.wire.unplug,
            "replug": self.wire.replug,
            "mute": lambda: self.wire.silence(True),
            "unmute": lambda: self.wire.silence(False),
        }
        if hand is None and what not in plug:
            known = ", ".join(dict.fromkeys((*self.twin.hands, *plug)))
            raise ValueError(f"nobody can {what!r} {self.row.bed} {self.row.device}; there are: {known}")
        (hand or plug[what])()


def _streams(twin: Twin | ModbusTwin) -> bool:
    return hasattr(twin, "feed")


class _Mute:
    """A unit that never responds."""

    def __init__(self, twin: ModbusTwin) -> None:
        self.hands, self.unit, self.step = twin.hands, twin.unit, twin.step

    def read(self, function: int, address: int, count: int) -> Sequence[int]:
        raise NoResponse

    def write(self, function: int, address: int, values: Sequence[int]) -> None:
        raise NoResponse


class _UnitPlug:
    """One pump's plug at a Modbus TCP port that many share: pulled, the port answers for it as a gateway does."""

    def __init__(self, units: dict[int, ModbusTwin], twin: ModbusTwin) -> None:
        self._units = units
        self._twin = twin
        self.replug()

    def step(self, dt_s: float) -> None:
        self._twin.step(dt_s)

    def tend(self) -> None:
        """The port is tended for all of them."""

    def unplug(self) -> None:
        self._units.pop(self._twin.unit, None)

    def replug(self) -> None:
        self._units[self._twin.unit] = self._twin

    def silence(self, on: bool) -> None:
        self._units[self._twin.unit] = _Mute(self._twin) if on else self._twin

    def close(self) -> None:
        self.unplug()


@dataclass(frozen=True, slots=True)
class Options:
    """How a stage is set. `instead` makes a driver's twin in its TwinSpec's stead (a capture played back)."""

    seed: int = 0
    speed: float = 1.0
    faults: Mapping[str, float] | None = None
    port: int = 0  # of the first Modbus TCP server; 0: any free one
    ports: Path | None = None  # folder for links to the ptys
    patient: Callable[[], Patient] | None = None  # of every bed, not a simulated one; lives from `go` on
    instead: Mapping[str, Callable[[], Twin]] | None = None
    journal: TextIO | None = None  # every fault as a line of JSON


class Stage:
    """`scenario` on wires. `open`, then `run` until cancelled, then `close`; or `advance` by hand."""

    def __init__(
        self, scenario: Scenario, twins: Mapping[str, TwinSpec], clock: Clock, options: Options | None = None
    ) -> None:
        self.scenario = scenario
        self.rows: list[Row] = []
        self.patients: dict[str, Patient] = {}
        self._twins = twins
        self._clock = clock
        self._options = options or Options()
        self._lived: list[Patient] = []
        self._placed: dict[tuple[str, str], _Placed] = {}
        self._buses: list[tuple[dict[int, ModbusTwin], TcpWire]] = []
        self._wires: list[Wire] = []
        self._steps: list[Step] = []
        self._since_go_s: float | None = None
        self._held = False  # whether a past is lived, and waits to be taken up
        self._last_s = 0.0  # real time up to which everybody has lived
        self._came = 0  # patients who took another's place

    async def open(self) -> None:
        """Set everything up. Raises OSError where a port or link cannot be made, ValueError for an unknown twin."""
        if self._options.ports is not None:
            self._options.ports.mkdir(parents=True, exist_ok=True)
        for number, bed in enumerate(self.scenario.beds):
            self.patients[bed.id] = self._patient(bed, number)
            pumps = 0
            for device in bed.devices:
                patient = self.patients[bed.id]
                if self._is_pump(device):
                    pumps += 1
                    patient = patient if pumps == 1 else self._patient(bed, number)
                placed = await self._place(bed, device, patient)
                self._placed[bed.id, device.id] = placed
                self.rows.append(placed.row)

    def _is_pump(self, device: Device) -> bool:
        """Whether a person can program its twin."""
        return device.driver in self._twins and "program" in self._twins[device.driver].hands

    def _patient(self, bed: Bed, number: int) -> Patient:
        """The one in the bed; or, for a second pump at it, somebody nobody looks at: two pumps never share a vein."""
        if self._options.patient is not None:
            patient = self._options.patient()
        else:
            seed = self._options.seed * 1009 + number
            patient = SimulatedPatient(seed, bed.weight_kg, CONCENTRATION_MG_ML, bed.baseline, bed.response)
        self._lived.append(patient)
        return patient

    async def _place(self, bed: Bed, device: Device, patient: Patient) -> _Placed:
        spec = self._twins.get(device.driver)
        if spec is None:
            raise ValueError(f"no twin named {device.driver!r}; there are: {', '.join(self._twins)}")
        instead = (self._options.instead or {}).get(device.driver)
        twin = instead() if instead else spec.make(patient, self._options.seed * 10007 + len(self._placed) + 1)
        if isinstance(twin, Programmable) and "program" in twin.hands:
            twin.rate_ml_h, twin.vtbi_ml = bed.rate_ml_h, bed.dose_ml
            twin.hands["program"]()
        if isinstance(twin, Waits):
            twin.wire_speed = self._options.speed
        wire, at = await self.reach(bed, device, spec, twin)
        link = wire.link if isinstance(wire, PtyWire) else None
        row = Row(bed.id, device.id, device.driver, at, None if link is None else str(link))
        return _Placed(row, twin, wire)

    async def reach(self, bed: Bed, device: Device, spec: TwinSpec, twin: Twin | ModbusTwin) -> tuple[Wire, str]:
        """The wire `twin` is reached by, and its address; another stage may have other wires.

        Raises OSError where a port cannot be made.
        """
        faults = self._faults(bed.id, device.id)
        ports = self._options.ports
        link = None if ports is None else (ports / f"{bed.id}-{device.id}").absolute()
        if device.transport == "modbus+tcp":
            return await self._unit(cast(ModbusTwin, twin))
        if device.transport == "tcp":
            tcp = TcpWire(clock=self._clock, twin=cast(Twin, twin), faults=faults)
            await tcp.open()
            self._wires.append(tcp)
            return tcp, f"tcp://{tcp.host}:{tcp.port}"
        if device.transport == "modbus+rtu":
            pump = cast(ModbusTwin, twin)
            line = ModbusLine({pump.unit: pump}, "rtu", self._clock, faults)
            pty = PtyWire(line, clock=self._clock, faults=faults, link=link)
            at = f"modbus+rtu://{pty.path}?unit={pump.unit}&baud={spec.baud}&parity=N"  # a pty carries no parity
        else:
            pty = PtyWire(cast(Twin, twin), clock=self._clock, faults=faults, link=link)
            at = f"serial://{pty.path}?baud={spec.baud}&parity=N&bits=8&stop={spec.stop}"  # nor seven bits
        self._wires.append(pty)
        return pty, at

    async def _unit(self, twin: ModbusTwin) -> tuple[Wire, str]:
        """`twin` as the next unit of the Modbus TCP port that has room."""
        if not self._buses or len(self._buses[-1][0]) >= UNITS_A_PORT:
            units: dict[int, ModbusTwin] = {}
            port = self._options.port + len(self._buses) if self._options.port else 0
            faults = self._faults("modbus+tcp", str(len(self._buses)))
            wire = TcpWire(
                clock=self._clock, line=lambda: ModbusLine(units, "tcp", self._clock, faults), faults=faults)
            await wire.open(port)
            self._buses.append((units, wire))
            self._wires.append(wire)
        units, wire = self._buses[-1]
        twin.unit = len(units) + 1
        return _UnitPlug(units, twin), f"modbus+tcp://{wire.host}:{wire.port}?unit={twin.unit}"

    def _faults(self, bed: str, device: str) -> Faults | None:
        if not self._options.faults:
            return None
        journal = self._options.journal

        def note(kind: str, data: bytes) -> None:
            if journal is not None:
                line = {"at_s": round(self._clock(), 3), "bed": bed, "device": device, "fault": kind, "hex": data.hex()}
                print(json.dumps(line), file=journal, flush=True)

        return Faults(self._options.faults, f"{self._options.seed} {bed} {device}", note=note)

    def twin(self, bed: str, device: str) -> Twin | ModbusTwin:
        """The twin itself. Raises KeyError where there is none."""
        return self._placed[bed, device].twin

    def go(self, past_s: float = 0.0) -> None:
        """The scenario begins, or is taken up `past_s` simulated seconds after it began: what pumps gave in them is in
        their patients, and every step until then is done. Said again, nothing."""
        if self._since_go_s is None or self._held:
            self.live_until(past_s)
            self._held = False
            self._last_s = self._clock()  # it begins now, and not when its time was last looked at

    def live_until(self, past_s: float) -> None:
        """Before `go`: live the scenario until `past_s` simulated seconds after it began, and stop there until `go`.
        Many beds take seconds for an hour, in which nothing is at the wires; said in good time, `go` finds it done."""
        if self._since_go_s is None:
            self._since_go_s, self._held = 0.0, True
            self._steps = sorted(self.scenario.steps, key=lambda step: step.at_min)
        if self._held:
            for _ in range(round((past_s - self._since_go_s) / MOST_STEP_S)):
                self._live(MOST_STEP_S, alone=True)

    def do(self, bed: str, device: str, what: str, amount: float = 0.0, over_s: float = 0.0) -> None:
        """A hand at a device, its plug, or an episode (device "patient"). Raises ValueError with one clear line."""
        if device == PATIENT and bed in self.patients:
            if what == NEXT:
                self._next(bed)
                return
            patient = self.patients[bed]
            if what not in EPISODES:
                raise ValueError(f"no episode {what!r}; there are: {', '.join(EPISODES)}")
            if isinstance(patient, SimulatedPatient):  # a recorded patient lives as recorded
                patient.episode(what, amount, over_s)
            return
        placed = self._placed.get((bed, device))
        if placed is None:
            known = ", ".join(f"{b} {d}" for b, d in self._placed)
            raise ValueError(f"no device {bed!r} {device!r}; there are: {known}")
        placed.do(what)

    def program(self, bed: str, device: str, rate_ml_h: float, vtbi_ml: float) -> None:
        """A person enters a rate and a volume at a pump. Raises ValueError with one clear line."""
        placed = self._placed.get((bed, device))
        if placed is None or not isinstance(placed.twin, Programmable):
            raise ValueError(f"{bed} {device} is no pump that can be programmed")
        if not (0 < rate_ml_h <= MOST_ML_H and 0 < vtbi_ml <= MOST_ML):
            raise ValueError(f"a rate is above 0 and at most {MOST_ML_H:g} mL/h, a volume at most {MOST_ML:g} mL")
        placed.twin.rate_ml_h, placed.twin.vtbi_ml = rate_ml_h, vtbi_ml
        placed.do("program")

    def look(self) -> list[dict[str, Any]]:
        """Every bed: its devices as a person there sees them, and how far its patient's episodes have gone."""
        beds: dict[str, dict[str, Any]] = {}
        for bed, patient in self.patients.items():
            episodes = patient.episodes() if isinstance(patient, SimulatedPatient) else {}
            beds[bed] = {"bed": bed, "episodes": episodes, "devices": []}
        for (bed, _), placed in self._placed.items():
            beds[bed]["devices"].append(placed.look())
        return list(beds.values())

    def _next(self, bed: str) -> None:
        """Somebody else comes: probe on, cables in, a full syringe, the bed's own programme, the pump stopped."""
        patient = self.patients[bed]
        plan = next(plan for plan in self.scenario.beds if plan.id == bed)
        for (at, _), placed in self._placed.items():
            if at == bed:
                if isinstance(placed.twin, Programmable):
                    placed.twin.rate_ml_h, placed.twin.vtbi_ml = plan.rate_ml_h, plan.dose_ml
                for what in ("stop", "clear", "load", "ok", "probe_on", "still", "unmute", "replug"):
                    if what in (*placed.twin.hands, *PLUG):
                        placed.do(what)
        if isinstance(patient, SimulatedPatient):
            self._came += 1
            patient.become(self._options.seed * 1009 + len(self.patients) + self._came)

    def advance(self, real_s: float) -> None:
        """`real_s` real seconds have passed: everybody lives `speed` times that, then the wires are looked after."""
        left = 0.0 if self._held else real_s * self._options.speed
        while left > 0:
            dt_s = min(left, MOST_STEP_S)
            left -= dt_s
            self._live(dt_s)
        for wire in self._wires:
            wire.tend()

    def _live(self, dt_s: float, *, alone: bool = False) -> None:
        """`alone`: nobody is at the wires, so monitors, which only ever show what is now, need not live it."""
        if self._since_go_s is not None:
            while self._steps and self._steps[0].at_min * 60.0 <= self._since_go_s:
                step = self._steps.pop(0)
                self.do(step.bed, step.device, step.do, step.amount, step.over_s)
            self._since_go_s += dt_s
        for patient in self._lived if self._since_go_s is not None or self._options.patient is None else ():
            patient.step(dt_s)
        for placed in self._placed.values():
            if not alone:
                placed.live(dt_s)
            elif isinstance(placed.twin, Programmable):
                placed.twin.step(dt_s)

    async def run(self) -> None:
        """Live on until cancelled."""
        self._last_s = self._clock()
        while True:
            await asyncio.sleep(TICK_S)
            before_s, self._last_s = self._last_s, self._clock()
            self.advance(self._last_s - before_s)

    def close(self) -> None:
        """Pull every plug; the links go too."""
        for wire in self._wires:
            wire.close()

    def table(self) -> list[dict[str, str]]:
        """The rows as `vigil simulate --json` prints them."""
        return [{key: value for key, value in asdict(row).items() if value is not None} for row in self.rows]
