"""A device that tells all it knows in one block of eight registers: what peers of Vigil read in their own benchmarks.

    register  0-1  flow, mL/h, 32-bit float, high word first     2-3  volume infused, mL     4-5  volume remaining, mL
              6    line pressure, mmHg                           7    alarm, 0 or 1
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping, Sequence

from drivers.contract import (
    BadFrame,
    Decoded,
    DeviceAlarm,
    DeviceAlarms,
    Framing,
    Line,
    ModbusRequest,
    Pump,
    Reading,
    Request,
    Spec,
)
from drivers.kit.registers import WholeResponses, response_bytes

EVERY_S = 1.0
BLOCK = ModbusRequest("all", 3, 0, 8, effect="read")
OVER_PRESSURE = DeviceAlarm("overpressure", "medium", "register 7", "over pressure")


class OneRead:
    """One request a second, one response, four numbers."""

    def __init__(self) -> None:
        self.framing: Framing = WholeResponses()
        self._due_s: float | None = None

    def on_open(self) -> Sequence[Request]:
        self._due_s = None
        return ()

    def next_request(self, at_s: float) -> Request | None:
        if self._due_s is not None and at_s < self._due_s:
            return None
        self._due_s = at_s + EVERY_S
        return BLOCK

    @property
    def due_s(self) -> float:
        return -math.inf if self._due_s is None else self._due_s

    def is_response(self, frame: bytes, request: Request) -> bool:
        return isinstance(request, ModbusRequest) and len(frame) == response_bytes(request)

    def decode(self, frame: bytes, request: Request | None) -> Sequence[Decoded]:
        if request != BLOCK:
            raise BadFrame("an answer to nothing that was asked")
        flow, infused, left, pressure, alarm = struct.unpack(">fffHH", frame)
        return (
            Reading("rate_ml_h", flow), Reading("volume_infused_ml", infused), Reading("volume_remaining_ml", left),
            Reading("line_pressure_mmhg", float(pressure)), Pump("infusing" if flow > 0 else "stopped"),
            DeviceAlarms((OVER_PRESSURE,) if alarm else ()),
        )

    def on_timeout(self, request: Request) -> Sequence[Decoded]:
        return ()


def _make(_: Mapping[str, str | int | float]) -> OneRead:
    return OneRead()


DRIVER = Spec(
    name="one_read",
    title="The benchmark's device of one block",
    kind="pump",
    transports=("modbus+tcp",),
    grade="C",
    source="edge/demo/bench_drivers/one_read.py",
    line=Line(baud=9600, silent_after_s=5.0, lateness_s=2.0),
    metrics=frozenset({"rate_ml_h", "volume_infused_ml", "volume_remaining_ml", "line_pressure_mmhg"}),
    requests=(BLOCK,),
    wiring="none: it is simulated",
    make=_make,
)
