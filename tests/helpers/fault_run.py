"""A driver, its twin and the edge's dialogue in virtual time, over a wire that lies (simulators/faults.py).

What a sample says is held to what was so at that moment: the patient moves, the pump runs, and a valid value that was
not true within the last `STALE_S` is a silent wrong one.
"""

from __future__ import annotations

import math
import struct
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import cast

from pymodbus.framer import FramerRTU

from drivers.contract import FrameRequest, ModbusRequest, Request, Spec
from edge import model
from edge.field.modbus import ECHO, where
from edge.vocabulary import METRICS
from simulators.contract import Display, ModbusTwin, Twin, TwinSpec
from simulators.faults import JUMP_S, Faults
from simulators.modbus import respond
from tests.helpers.dialogue_run import START_S, STEP_S, DialogueRun, StillPatient

STALE_S = 15.0  # how old a value may be and still be now's: averaging, one lost response and the quiet after it
CUFF_STALE_S = 150.0  # a determination takes so long
CUFF = frozenset({"sbp_mmhg", "dbp_mmhg", "map_mmhg", "nibp_pulse_bpm"})
OF_PATIENT: Mapping[str, str] = {
    "spo2_pct": "spo2_pct", "pulse_bpm": "pulse_bpm", "heart_rate_bpm": "pulse_bpm", "resp_bpm": "resp_bpm",
    "sbp_mmhg": "sbp_mmhg", "dbp_mmhg": "dbp_mmhg", "map_mmhg": "map_mmhg", "nibp_pulse_bpm": "pulse_bpm",
    "perfusion_index_pct": "perfusion_index_pct",
}
OF_PUMP: Mapping[str, str] = {"rate_ml_h": "rate_ml_h", "volume_infused_ml": "infused_ml"}
DIGITS = 7  # a float of 32 bits carries no more, and no volume here has them
BROKEN_S = 1.0  # a lost connection is opened again after so long
MODBUS_GAP_S = 0.0


class MovingPatient(StillPatient):
    """Whose numbers move on in steps far enough apart that an old one is told from a new one."""

    def __init__(self) -> None:
        super().__init__()
        self.at_s = 0.0
        self._turn = -1
        self._move()

    def step(self, dt_s: float) -> None:
        self.at_s += dt_s
        self._move()

    def _move(self) -> None:
        turn = int(self.at_s // 40)
        if turn == self._turn:
            return
        self._turn = turn
        self.spo2_pct = 99.0 - 3 * (turn % 4)
        self.pulse_bpm = 60.0 + 7 * (turn % 6)
        self.resp_bpm = 10.0 + 3 * (turn % 5)
        cycle = int(self.at_s // 400)
        self.sbp_mmhg, self.dbp_mmhg = 110.0 + 9 * (cycle % 5), 66.0 + 6 * (cycle % 4)
        self.map_mmhg = self.dbp_mmhg + (self.sbp_mmhg - self.dbp_mmhg) / 3
        self.metrics = {metric: cast(float, getattr(self, name)) for metric, name in OF_PATIENT.items()}


@dataclass(slots=True)
class FaultRun(DialogueRun):
    """`faults` None: a good wire."""

    faults: Faults | None = None
    patient: MovingPatient = field(default_factory=MovingPatient)
    wrong: list[tuple[float, str, float, float, float]] = field(default_factory=list)  # at, what, value, low, high
    kept: Counter[str] = field(default_factory=Counter)  # valid samples by metric
    long: set[tuple[str, float]] = field(default_factory=set)  # with more digits than any device here tells
    polls: int = 0
    _way: deque[tuple[float, bytes]] = field(default_factory=deque)
    _truth: deque[tuple[float, dict[str, float]]] = field(default_factory=deque)
    _opens_s: float = math.inf
    _cable: list[tuple[float, bool]] = field(default_factory=list)
    _free_s: float = 0.0  # of a Modbus port
    _open: bool = True
    _echoes: bool = False  # as edge/field/modbus.py learns it
    _front: Display | None = field(init=False)  # what of the twin shows what it does

    def __post_init__(self) -> None:
        DialogueRun.__post_init__(self)
        self._front = self.twin if isinstance(self.twin, Display) else None

    def go(self, seconds: float) -> FaultRun:
        """So much time passes."""
        end_s = self.real_s + seconds
        while self.real_s < end_s - 1e-9:
            self.real_s += STEP_S
            self._live(STEP_S)
            self._connect()
            if self._open:
                self._exchange_all()
        return self

    def _live(self, dt_s: float) -> None:
        self.patient.step(dt_s)
        came = self.twin.step(dt_s)
        self._remember()
        if came:
            self._put(came)

    def _remember(self) -> None:
        now = self.patient.metrics
        shown = self._front.display() if self._front is not None else {}
        if "infused_ml" in shown:
            rate_ml_h = shown["rate_ml_h"] if shown["running"] else 0.0
            now = {**now, "volume_infused_ml": cast(float, shown["infused_ml"]), "rate_ml_h": cast(float, rate_ml_h)}
        if not self._truth or self._truth[-1][1] != now:
            self._truth.append((self.real_s, now))
        while len(self._truth) > 2 and self._truth[1][0] < self.real_s - CUFF_STALE_S:
            self._truth.popleft()

    # --- the wire -----------------------------------------------------------------------------------------------------

    def _put(self, data: bytes) -> None:
        """The device sends `data`."""
        if not data:
            return
        if self.faults is None:
            self._way.append((self.real_s, data))
            return
        if self.faults.resets(data):
            self._break(self.real_s + BROKEN_S)
            return
        kind = self.faults.of_the_cable(data)
        if kind == "jump" and not self._modbus:
            under_way = b"".join(piece for _, piece in self._way)  # it waited through that minute too
            self._way = deque([(self.real_s, under_way + self._jump())])
        elif kind in ("unplug", "flap", "path") and not self._cable:
            self._cable = self.faults.cable(kind, self.real_s)
        for due_s, piece in self.faults.through(data, self.real_s) if kind is None else ():
            self._way.append((due_s, piece))

    def _jump(self) -> bytes:
        """A minute of the device's life, a second at a time. A stream hands that minute over, and what was true before
        is a minute older. One that is only asked says nothing of it: what it said is as old as by the edge's clock."""
        here_s, came = self.real_s, b""
        streams = self.spec.line.stream_bytes_s is not None
        if streams:
            self._truth = deque((at_s - JUMP_S, now) for at_s, now in self._truth)
        for second in range(int(JUMP_S)):
            self.real_s = here_s - JUMP_S + second + 1 if streams else here_s
            self.patient.step(1.0)
            came += cast("Twin", self.twin).step(1.0)
            self._remember()
        self.real_s = here_s
        return came

    def _break(self, until_s: float) -> None:
        if self._open:
            self.dialogue.lost("hung up", START_S + self.at_s, self.real_s)
        self._open, self._opens_s = False, until_s
        self._way.clear()

    def _connect(self) -> None:
        while self._cable and self._cable[0][0] <= self.real_s:
            _, plugged = self._cable.pop(0)
            self._break(self.real_s if plugged else math.inf)
        if not self._open and self.real_s >= self._opens_s:
            self._open = True
            self.open()
            if self.faults is not None and (old := self.faults.opened()):
                self._way.append((self.real_s, old))

    def _arrived(self) -> bytes:
        came = b""
        while self._way and self._way[0][0] <= self.real_s:
            came += self._way.popleft()[1]
        return came

    def _exchange_all(self) -> None:
        if self._modbus:
            self._modbus_round()
            return
        if came := self._arrived():
            self.receive(came)
        request = self.dialogue.next_request(START_S + self.at_s, self.real_s)
        if isinstance(request, FrameRequest):
            self.polls += 1
            if self.faults is not None:
                self.faults.heard(request.frame)
            self._put(cast("Twin", self.twin).feed(request.frame))
            if came := self._arrived():
                self.receive(came)

    # --- a Modbus port: one request at a time, a checksum, and quiet after what came late (edge/field/modbus.py) ------

    def _modbus_round(self) -> None:
        self._arrived()  # what comes while nobody waits is thrown away
        if self.real_s < self._free_s:
            return
        request = self.dialogue.next_request(START_S + self.at_s, self.real_s)
        if isinstance(request, ModbusRequest):
            self.polls += 1
            self._ask(request)

    def _ask(self, request: ModbusRequest) -> None:
        twin, at_s = cast("ModbusTwin", self.twin), START_S + self.at_s
        pdu = request.function.to_bytes() + request.address.to_bytes(2) + request.count.to_bytes(2)
        unit, answer, sent = 1, b"", _rtu(1, pdu)
        if self.faults is None:
            answer = respond(twin, pdu)
        else:
            self.faults.heard(sent)
            unit, answer = self.faults.modbus(1, pdu, lambda one: respond(twin, one))
        if answer:
            self._put(_rtu(unit, answer))
        if not self._open:
            return
        came = b"".join(piece for due_s, piece in self._way if due_s <= self.real_s + request.timeout_s)
        if self._echoes:
            came = came.removeprefix(sent)
        if came.startswith(sent):
            self._echoes, self._free_s = True, self.real_s + request.timeout_s + self.spec.line.lateness_s
            self.dialogue.refused(ECHO, at_s, self.real_s)
            return
        if _rtu(1, came[1:-2]) != came or not came:
            self._free_s = self.real_s + request.timeout_s + self.spec.line.lateness_s
            if came[:1] == b"\x01" or not came:
                self.dialogue.no_response(at_s, self.real_s)
            else:
                self.dialogue.refused(f"a response to something else than {where(request)}", at_s, self.real_s)
            return
        self._way.clear()
        whole = came[1:-2]
        if whole[0] & 0x80:
            self.dialogue.refused(f"exception {whole[1]} at {where(request)}", at_s, self.real_s)
        elif whole[0] != request.function:
            self.dialogue.refused("a response to something else", at_s, self.real_s)
        else:
            self.dialogue.responded(whole[2:], at_s, self.real_s)

    # --- what is true -------------------------------------------------------------------------------------------------

    def _given(self, inputs: tuple[model.Input, ...], at_s: float, more: bool) -> None:  # type: ignore[override]
        for one in inputs:
            if isinstance(one, model.Samples):
                for sample in one.samples:
                    if sample.validity == "valid" and sample.value is not None:
                        self.kept[sample.metric] += 1
                        if sample.value != float(f"{sample.value:.{DIGITS}g}"):
                            self.long.add((sample.metric, sample.value))
                        self._judge(sample.metric, sample.value)
            else:
                self.inputs.append((at_s - START_S, one))

    def _note(self, decoded: object) -> None:
        """Not kept: these runs are long."""

    def _judge(self, metric: str, value: float) -> None:
        since_s = self.real_s - (CUFF_STALE_S if metric in CUFF else STALE_S)
        known = [now[metric] for at_s, now in self._truth if metric in now and at_s >= since_s]
        before = [now[metric] for at_s, now in self._truth if metric in now and at_s < since_s]
        known += before[-1:]
        if not known:
            return
        metric_ = METRICS[metric]
        near = max(0.6 * 10**-metric_.decimals, 0.6 if metric != "volume_infused_ml" else 0.06)
        if not min(known) - near <= value <= max(known) + near:
            self.wrong.append((round(self.real_s, 2), metric, value, min(known), max(known)))


def _rtu(unit: int, pdu: bytes) -> bytes:
    frame = struct.pack("B", unit & 0xFF) + pdu
    return frame + FramerRTU.compute_CRC(frame).to_bytes(2, "big")


def fault_run(spec: Spec, twin: TwinSpec, rates: Mapping[str, float], seed: int = 1,
              settings: Mapping[str, object] | None = None) -> FaultRun:
    """A run that is open, its pump programmed and started."""
    patient = MovingPatient()
    made = twin.make(patient, seed)
    waits = [one.timeout_s for one in spec.requests if one.timeout_s is not None]
    timeout_s = min(max(waits, default=1.0), spec.line.lateness_s / 3)  # later than a line's lateness nobody promises
    faults = Faults(rates, f"{seed} {spec.name}", timeout_s=timeout_s) if rates else None
    run = FaultRun(spec, made, patient=patient, faults=faults, settings=settings or {})
    for hand in ("program", "start"):
        if hand in made.hands:
            made.hands[hand]()
    run.open()
    return run


def requests_of(spec: Spec) -> tuple[Request, ...]:
    """What it may send."""
    return spec.requests
