"""Puts a driver and a twin together with the edge's own dialogue, and tells all of them the time."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import cast

from drivers.contract import (
    Decoded,
    Driver,
    FrameRequest,
    Framing,
    Heard,
    Reading,
    Request,
    Spec,
    Timed,
    Wave,
    unmapped_of,
)
from edge import model
from edge.field.dialogue import Dialogue
from edge.field.modbus import where
from simulators.contract import ModbusTwin, Twin
from simulators.modbus import respond

STEP_S = 0.05
START_S = 1_790_000_000.0  # edge time at the beginning
Wire = Callable[[bytes], bytes]


class _Watched:
    """The driver, with a note of all that it decodes. Where it says when it is due, it never asks before."""

    def __init__(self, driver: Driver, note: Callable[[Sequence[Decoded]], None]) -> None:
        self.framing: Framing = driver.framing
        self._driver, self._note = driver, note
        self._timed = driver if isinstance(driver, Timed) else None
        self.unmapped = unmapped_of(driver)
        self.on_open, self.is_response = driver.on_open, driver.is_response
        if isinstance(driver, Heard):
            self.heard_at = driver.heard_at

    def next_request(self, at_s: float) -> Request | None:
        due_s = at_s if self._timed is None else self._timed.due_s
        request = self._driver.next_request(at_s)
        assert request is None or due_s <= at_s, f"{request.name!r} comes {due_s - at_s:g} s before it is due"
        return request

    def decode(self, frame: bytes, request: Request | None) -> Sequence[Decoded]:
        return self._noted(self._driver.decode(frame, request))

    def on_timeout(self, request: Request) -> Sequence[Decoded]:
        return self._noted(self._driver.on_timeout(request))

    def _noted(self, decoded: Sequence[Decoded]) -> Sequence[Decoded]:
        if decoded:
            self._note(decoded)
        return decoded


@dataclass(slots=True)
class DialogueRun:
    """`speed` edge seconds pass in a real second. `wire` may spoil what the twin sends; `every` splits it in pieces."""

    spec: Spec
    twin: Twin | ModbusTwin
    settings: Mapping[str, object] = field(default_factory=dict)
    speed: float = 1.0
    may_stop: bool = False  # the pump may be stopped over the wire
    wire: Wire = bytes
    every: int = 4096
    living: Callable[[float], None] = lambda dt_s: None
    real_s: float = 0.0
    sent: list[tuple[float, Request]] = field(default_factory=list)  # with edge seconds since the start
    decoded: list[tuple[float, Sequence[Decoded]]] = field(default_factory=list)  # all the driver made of it
    inputs: list[tuple[float, model.Input]] = field(default_factory=list)  # what the bed is given
    driver: Driver = field(init=False)
    dialogue: Dialogue = field(init=False)

    def __post_init__(self) -> None:
        driver = self.driver = self.spec.driver(self.settings)
        made = iter([_Watched(driver, self._note)])  # the first that is made is ours
        watched = replace(self.spec, make=lambda settings: next(made, None) or self.spec.make(settings))
        self.dialogue = Dialogue("chair-1", "device", watched, self.spec.line, now=lambda: START_S + self.at_s,
                                 decoded=self._given, wave=self._wave, settings=self.settings, speed=self.speed,
                                 quiet=not self._modbus, may_stop=self.may_stop)
        self.dialogue.begin(START_S)

    @property
    def _modbus(self) -> bool:
        return self.spec.transports[0].startswith("modbus")

    @property
    def at_s(self) -> float:
        """Edge seconds since the start."""
        return self.real_s * self.speed

    @property
    def bad(self) -> int:
        """Frames that failed their check, and what was implausible."""
        return self.dialogue.counters.bad

    @property
    def timeouts(self) -> int:
        """Requests that got no response."""
        return self.dialogue.counters.timeouts

    def open(self) -> None:
        """The connection is opened (again)."""
        if not self._modbus:
            cast("Twin", self.twin).connect()
        self.dialogue.opened(START_S + self.at_s, self.real_s)

    def run(self, edge_s: float) -> None:
        """So much edge time passes."""
        end_s = self.at_s + edge_s
        while self.at_s < end_s - 1e-9:
            self.real_s += STEP_S
            self.living(STEP_S * self.speed)
            came = self.twin.step(STEP_S * self.speed)
            if not self._modbus:
                self.receive(self.wire(came or b""))
            request = self.dialogue.next_request(START_S + self.at_s, self.real_s)
            if request is not None:
                self.sent.append((self.at_s, request))
                self._exchange(request)

    def delay(self, *, each: int, late_s: float) -> None:
        """From now on every `each`th piece of what the twin sends comes `late_s` real seconds late."""
        held: list[tuple[float, bytes]] = []
        count = 0

        def wire(data: bytes) -> bytes:
            nonlocal count
            count += bool(data)
            if data and count % each == 0:
                held.append((self.real_s + late_s, data))
                data = b""
            return data + b"".join(held.pop(0)[1] for due in list(held) if due[0] <= self.real_s)

        self.wire = wire

    def receive(self, data: bytes) -> None:
        """Bytes come from the device."""
        for at in range(0, len(data), self.every):
            self.dialogue.received(data[at : at + self.every], START_S + self.at_s, self.real_s)

    def _exchange(self, request: Request) -> None:
        at_s = START_S + self.at_s
        if isinstance(request, FrameRequest):
            self.receive(self.wire(cast("Twin", self.twin).feed(request.frame)))
            return
        pdu = request.function.to_bytes() + request.address.to_bytes(2) + request.count.to_bytes(2)
        response = self.wire(respond(cast("ModbusTwin", self.twin), pdu))
        if not response:
            self.dialogue.no_response(at_s, self.real_s)
        elif response[0] & 0x80:
            self.dialogue.refused(f"exception {response[1]} at {where(request)}", at_s, self.real_s)
        else:
            self.dialogue.responded(response[2:], at_s, self.real_s)

    def _note(self, decoded: Sequence[Decoded]) -> None:
        self.decoded.append((self.at_s, decoded))

    def _given(self, inputs: Sequence[model.Input], at_s: float, more: bool) -> None:
        self.inputs += [(at_s - START_S, one) for one in inputs]

    def _wave(self, wave: Wave, at_s: float) -> None:
        """The driver's note of it is enough."""

    # --- what a test asks for -------------------------------------------------------------------------------------

    def readings(self, metric: str) -> list[tuple[float, Reading]]:
        """All readings of one metric, with the edge time they were decoded at."""
        decoded = [(at_s, one) for at_s, batch in self.decoded for one in batch if isinstance(one, Reading)]
        return [(at_s, one) for at_s, one in decoded if one.metric == metric]

    def samples(self, metric: str) -> list[tuple[float, model.Sample]]:
        """All samples of one metric that the bed was given, with edge time."""
        return [(at_s, sample) for at_s, one in self.inputs if isinstance(one, model.Samples)
                for sample in one.samples if sample.metric == metric]

    def links(self) -> list[tuple[float, str, str]]:
        """Where the link stood, from when on, and why."""
        return [(at_s, one.state, one.reason) for at_s, one in self.inputs if isinstance(one, model.LinkChanged)]

    def times(self, name: str) -> list[float]:
        """When the request with this name was sent."""
        return [at_s for at_s, request in self.sent if request.name == name]

    def forget(self) -> None:
        """Forget what was sent and decoded so far."""
        self.sent.clear()
        self.decoded.clear()
        self.inputs.clear()


@dataclass(slots=True)
class StillPatient:
    """A patient who stays as they are, and remembers what was infused."""

    spo2_pct: float | None = 98.0
    pulse_bpm: float | None = 72.0
    perfusion_index_pct: float | None = 4.0
    sbp_mmhg: float | None = 121.6
    dbp_mmhg: float | None = 76.2
    map_mmhg: float | None = 91.3
    resp_bpm: float | None = 14.0
    rates: list[float] = field(default_factory=list)
    samples: int = 0  # of the pulse wave, so far

    def step(self, dt_s: float) -> None:
        """Nothing changes."""

    def infuse(self, rate_ml_h: float) -> None:
        """The pump said so."""
        self.rates.append(rate_ml_h)

    def pleth(self, t_s: float) -> float:
        """A wave that lives: no two beats are alike."""
        self.samples += 1
        return 0.5 + 0.4 * math.sin(self.samples / 9.1)
