"""Teledyne ISCO D-series controller / SyriXus syringe pump over Modbus TCP or Modbus RTU.

Grade S (the register map of epics-modules/SyringePump, in use on a beamline) and M (SyriXus manual p. 7-1, 7-3: line
settings, word order, exceptions). An industrial pump without a vital-sign use of its own: read only, here and always.

    unit 1 · TCP port 502 · RS-485 19200 8E1 (manual p. 7-3) · function codes 1 and 3 are all this driver ever sends
    floats: IEEE 754 single, two registers, most significant word first · addresses: 0-based, of the PDU

    registers (function 3), pump A · B · C · D
      72 · 78 · 84 · 90     actual pressure    in the pressure unit the coils say        S
      74 · 80 · 86 · 92     actual flow        in the flow unit the coils say            S
      76 · 82 · 88 · 94     volume remaining   mL                                        S, unit taken as mL
     148 · 150 · 152 · 154  volume dispensed   mL; jumps down when somebody resets it    S, unit taken as mL
     232 · 234 · 236 · 238  pump type          a number                                  S, scale unknown
     240, 242, 244          software major, minor, micro                                 S

    coils (function 1)
      0 · 1 · 2 · 3         running                    5 · 6 · 7 · 8         refilling
     39 · 40 · 41 · 42      in hold                   84-87  pressure unit: atm, bar, kPa, psi (exactly one is set)
     88-91  flow unit: mL/min, mL/h, uL/min, uL/h (exactly one is set)
    109 · 115 · 121 · 127   transducer connected     then, in this order: empty, full, over-pressure,
                            under-pressure, motor failure (1 = fault)
    133 · 134 · 135 · 136   poor fill                137  valve error

A round a second: status (142 coils), dispensed (8 registers), actuals (6 registers), units (8 coils). Every response of
a round has a length of its own, so a late one cannot pass for the response to another request. The units are
read before and after the numbers, and the numbers are dropped where they differ: nobody can change mL/min to mL/h in
between and be misread by a factor of sixty. Rate and pressure are invalid (module_error) where not exactly one unit is
set. There is no watchdog register: when the link is lost the pump may still run.

Nothing in a response says which registers it holds, and in which order. So the software version must be three small
whole numbers at every opening (a float with its words the other way round is none), or no number counts; `words` says
which order the controller is set to. And the volumes must be where rate and time lead: a response with one that is
elsewhere is questionable (drivers/kit/tracks.py).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import cast, get_args

from drivers.contract import (
    BadFrame,
    Decoded,
    DeviceAlarm,
    DeviceAlarms,
    Framing,
    Identity,
    Line,
    ModbusRequest,
    Priority,
    Pump,
    PumpState,
    Reading,
    Request,
    SelfCheckFailed,
    Setting,
    Spec,
    Validity,
)
from drivers.kit.registers import (
    SMALLEST,
    Block,
    ByteOrder,
    Field,
    WholeResponses,
    is_number,
    reading,
    response_bytes,
    told,
)
from drivers.kit.tracks import BY_VOLUME, Track, doubted

ROUND_S = 1.0
MISSED = 2
TIMEOUT_S = 2.0  # the reference polls every second with a time-out of two (epics-modules/SyringePump)
PUMPS = ("A", "B", "C", "D")

PRESSURE_UNITS: tuple[tuple[int, str, float], ...] = (  # coil, unit, mmHg in one
    (84, "atm", 760.0),
    (85, "bar", 750.0616827),
    (86, "kPa", 7.500616827),
    (87, "psi", 51.71493257),
)
FLOW_UNITS: tuple[tuple[int, str, float], ...] = (  # coil, unit, mL/h in one
    (88, "mL/min", 60.0),
    (89, "mL/h", 1.0),
    (90, "uL/min", 0.06),
    (91, "uL/h", 0.001),
)

VERSIONS = 1000  # a part of a software version is a whole number below
ZERO_ML_H = 0.1  # a measured flow trembles around zero: so much below it is a pump that stands still

# Plausible, as the vocabulary bounds them; the link refuses once more.
LIMITS: Mapping[str, tuple[float, float]] = {
    "rate_ml_h": (0.0, 2000.0),
    "volume_infused_ml": (0.0, 5000.0),
    "volume_remaining_ml": (0.0, 5000.0),
    "line_pressure_mmhg": (-500.0, 3_000_000.0),
}

# The six status coils of a pump, from "transducer connected" on: offset, code, priority, text.
_FAULTS: tuple[tuple[int, str, Priority, str], ...] = (
    (1, "end_of_infusion", "high", "cylinder empty"),
    (3, "occlusion", "high", "over-pressure"),
    (4, "underpressure", "medium", "under-pressure"),
    (5, "fault", "high", "motor failure"),
)
_STOPPING = frozenset({"end_of_infusion", "occlusion", "fault"})


def status_block(pump: int) -> Block:
    """All coils; those of `pump` (0 = A) and the units, by name."""
    first = 109 + 6 * pump
    names = {
        "run": pump, "refill": 5 + pump, "hold": 39 + pump,
        "connected": first, "poor_fill": 133 + pump, "valve": 137,
    }
    named = [Field(name, address, "coil") for name, address in names.items()]
    faults = [Field(f"fault{offset}", first + offset, "coil") for offset, *_ in _FAULTS]
    request = ModbusRequest("status", 1, 0, 142, effect="read", timeout_s=TIMEOUT_S)
    return Block(request, (*named, *faults, *_unit_fields()))


def units_block() -> Block:
    """The unit coils once more, after the numbers."""
    return Block(ModbusRequest("units", 1, 84, 8, effect="read", timeout_s=TIMEOUT_S), _unit_fields())


def dispensed_block(pump: int) -> Block:
    """The volumes dispensed of all four; that of `pump` by name."""
    field = Field("dispensed", 148 + 2 * pump, "f32", metric="volume_infused_ml")
    return Block(ModbusRequest("dispensed", 3, 148, 8, effect="read", timeout_s=TIMEOUT_S), (field,))


def actuals_block(pump: int) -> Block:
    """Pressure, flow and volume remaining of `pump`."""
    first = 72 + 6 * pump
    fields = (
        Field("pressure", first, "f32"),
        Field("flow", first + 2, "f32"),
        Field("remaining", first + 4, "f32", metric="volume_remaining_ml"),
    )
    return Block(ModbusRequest("actuals", 3, first, 6, effect="read", timeout_s=TIMEOUT_S), fields)


def identity_block(pump: int) -> Block:
    """Pump types and software version."""
    fields = (
        Field("type", 232 + 2 * pump, "f32"),
        Field("major", 240, "f32"),
        Field("minor", 242, "f32"),
        Field("micro", 244, "f32"),
    )
    return Block(ModbusRequest("identity", 3, 232, 14, effect="identify", timeout_s=TIMEOUT_S), fields)


def _unit_fields() -> tuple[Field, ...]:
    return tuple(Field(unit, coil, "coil") for coil, unit, _ in (*PRESSURE_UNITS, *FLOW_UNITS))


Units = tuple[float | None, float | None]  # mmHg in one, mL/h in one; None where not exactly one coil is set


def _units(coils: Mapping[str, float]) -> Units:
    def only(table: Sequence[tuple[int, str, float]]) -> float | None:
        factors = [factor for _, unit, factor in table if coils[unit]]
        return factors[0] if len(factors) == 1 else None

    return only(PRESSURE_UNITS), only(FLOW_UNITS)


class Isco:
    """One pump (A to D) of the controller."""

    def __init__(self, pump: str = "A", words: ByteOrder = "ABCD", check: bool = True) -> None:
        index = PUMPS.index(pump)
        self._check, self._wrong = check, ""
        self._dispensed, self._remaining = Track(1), Track(-1)
        self.framing: Framing = WholeResponses()
        self._blocks: dict[str, Block] = {
            block.request.name: _in_order(block, words)
            for block in (identity_block(index), status_block(index), dispensed_block(index), actuals_block(index),
                          units_block())
        }
        order = ("status", "dispensed", "actuals", "units")
        self._round: tuple[ModbusRequest, ...] = tuple(self._blocks[name].request for name in order)
        self._forget()

    def _forget(self) -> None:
        self._missed = 0  # rounds given up for want of a response, running
        self._due_s: float | None = None
        self._left: list[ModbusRequest] = []
        self._status: dict[str, float] | None = None
        self._readings: list[Reading] = []
        self._actuals: dict[str, float] | None = None
        self._at_s = self._rate_ml_h = 0.0
        self._dispensed.forget()
        self._remaining.forget()

    def on_open(self) -> Sequence[Request]:
        self._forget()
        return (self._blocks["identity"].request,)

    def next_request(self, at_s: float) -> Request | None:
        if not self._left and (self._due_s is None or at_s >= self._due_s):
            self._due_s, self._at_s = at_s + ROUND_S, at_s
            self._left = list(self._round)
        return self._left.pop(0) if self._left else None

    @property
    def due_s(self) -> float:
        """See `Timed`."""
        return -math.inf if self._left or self._due_s is None else self._due_s

    def is_response(self, frame: bytes, request: Request) -> bool:
        return isinstance(request, ModbusRequest) and len(frame) == response_bytes(request)

    def on_timeout(self, request: Request) -> Sequence[Decoded]:
        """The rest of the round is given up: numbers of two rounds are never put together. From the second such round
        on nobody knows what the pump does."""
        self._give_up()
        self._missed += 1
        return (Pump("unknown"),) if self._missed >= MISSED else ()

    def decode(self, frame: bytes, request: Request | None) -> Sequence[Decoded]:
        if request is None or request.name not in self._blocks:
            raise BadFrame("a response to nothing that was requested")
        block = self._blocks[request.name]
        try:
            values = block.decode(frame)
        except BadFrame:
            self._give_up()
            raise
        if request.name == "identity":
            self._wrong = _misread(values) if self._check else ""
        if self._wrong:
            self._give_up()
            raise SelfCheckFailed(self._wrong)
        if request.name == "identity":
            return (_identity(values),)
        if request.name == "status":
            return self._decode_status(values)
        if request.name == "units":
            return self._decode_units(values)
        if self._status is None:
            return ()
        self._readings += block.readings(frame, LIMITS)
        if request.name == "actuals":
            self._actuals = values
        return ()

    def _give_up(self) -> None:
        self._left.clear()
        self._status = self._actuals = None
        self._readings = []

    def _decode_status(self, coils: dict[str, float]) -> Sequence[Decoded]:
        """The alarms, and that it does not run, are reported at once; that it runs waits for the flow."""
        self._status, self._actuals, self._readings = coils, None, []
        alarms = _alarms(coils)
        decoded: list[Decoded] = [DeviceAlarms(alarms)]
        if not coils["run"] or coils["refill"]:
            stopped_by = not coils["run"] and any(alarm.code in _STOPPING for alarm in alarms)
            decoded.append(Pump("alarm" if stopped_by else "stopped"))
        return decoded

    def _decode_units(self, coils: dict[str, float]) -> Sequence[Decoded]:
        """The round ends: what was read meanwhile counts, if the units stood still."""
        status, actuals, readings = self._status, self._actuals, self._readings
        self._give_up()
        self._missed = 0
        if status is None or actuals is None:
            return ()
        if _units(status) != _units(coils):
            raise BadFrame("the units changed while the numbers were read")
        pressure_unit, flow_unit = _units(status)
        rate = _scaled("rate_ml_h", actuals["flow"], flow_unit)
        if status["connected"]:
            pressure = _scaled("line_pressure_mmhg", actuals["pressure"], pressure_unit)
        else:
            pressure = Reading("line_pressure_mmhg", None, Validity.INVALID, "sensor_disconnected")
        runs = bool(status["run"]) and not status["refill"]
        decoded: list[Decoded] = [*self._proven(rate, readings, pressure, running=runs and not status["hold"])]
        if runs:
            decoded.append(Pump(_running(actuals["flow"], bool(status["hold"]))))
        return decoded

    def _proven(
        self, rate: Reading, volumes: Sequence[Reading], pressure: Reading, *, running: bool
    ) -> list[Reading]:
        """Rate, volume remaining and pressure came in one response: the volume proves them. Dispensed proves itself."""
        now = rate.value if rate.value is not None else LIMITS["rate_ml_h"][1]
        highest, self._rate_ml_h = max(self._rate_ml_h, now), now
        by_name = {one.metric: one.value for one in volumes}
        dispensed, remaining = by_name.get("volume_infused_ml"), by_name.get("volume_remaining_ml")
        true = remaining is not None and self._remaining.fits(remaining, highest, self._at_s, runs=running)
        true_too = dispensed is not None and self._dispensed.fits(dispensed, highest, self._at_s, runs=running)
        if running and rate.value == 0:  # the coils say that it moves
            rate = doubted(rate)
        told = [rate, *volumes, pressure]
        return [one if (true_too if one.metric == "volume_infused_ml" else true) else doubted(one) for one in told]


def _in_order(block: Block, words: ByteOrder) -> Block:
    """The block with the bytes of its floats in the order the controller is set to."""
    return Block(block.request, tuple(replace(one, words=words) for one in block.fields))


def _misread(values: Mapping[str, float]) -> str:
    """Why these are no numbers of a software version, in words; empty where they may be."""
    version = [values[part] for part in ("major", "minor", "micro")]
    if all(number == int(number) and 0 <= number < VERSIONS for number in version if math.isfinite(number)) and all(
            map(math.isfinite, version)):
        return ""
    return (f"registers 240..245 hold {', '.join(f'{number:g}' for number in version)}, no software version: the word"
            " order (setting words), or addresses off by one?")


def _running(flow: float, hold: bool) -> PumpState:
    """The run coil is set: the flow says whether anything moves (what is no number does not)."""
    if is_number(flow) and flow > 0:
        return "infusing"
    return "paused" if hold else "unknown"


def _scaled(metric: str, value: float, factor: float | None) -> Reading:
    if factor is None:
        return Reading(metric, None, Validity.INVALID, "module_error")
    scaled = value * factor
    if metric == "rate_ml_h" and -ZERO_ML_H <= scaled < SMALLEST:
        scaled = 0.0
    return reading(metric, told(scaled, "f32", factor), LIMITS[metric])


def _alarms(coils: Mapping[str, float]) -> tuple[DeviceAlarm, ...]:
    alarms = [
        DeviceAlarm(code, priority, f"status+{offset}", text)
        for offset, code, priority, text in _FAULTS
        if coils[f"fault{offset}"]
    ]
    if not coils["connected"]:
        alarms.append(DeviceAlarm("pressure_line", "low", "status+0", "pressure transducer not connected"))
    if coils["poor_fill"]:
        alarms.append(DeviceAlarm("poor_fill", "low", "poor fill", "poor fill"))
    if coils["valve"]:
        alarms.append(DeviceAlarm("fault", "medium", "137", "valve error"))
    return tuple(alarms)


def _identity(values: Mapping[str, float]) -> Identity:
    version = ".".join(f"{values[part]:g}" for part in ("major", "minor", "micro"))
    return Identity(serial=None, model=f"Teledyne ISCO type {values['type']:g} sw {version}")


def _make(settings: Mapping[str, str | int | float]) -> Isco:
    return Isco(cast(str, settings["pump"]), cast(ByteOrder, settings["words"]), settings["self_check"] == "on")


_REQUESTS: tuple[Request, ...] = (
    identity_block(0).request,
    status_block(0).request,
    dispensed_block(0).request,
    *(actuals_block(pump).request for pump in range(4)),
    units_block().request,
)

DRIVER = Spec(
    name="isco",
    title="Teledyne ISCO D-series / SyriXus syringe pump",
    kind="pump",
    transports=("modbus+tcp", "modbus+rtu"),
    age=BY_VOLUME,
    grade="S",
    source="epics-modules/SyringePump (register map); SyriXus manual p. 7-1, 7-3 (line, word order)",
    documents=("Teledyne ISCO SyriXus manual",),
    line=Line(baud=19200, bits=8, parity="E", stop=1, silent_after_s=5.0, lateness_s=2.0),
    metrics=frozenset(LIMITS),
    requests=_REQUESTS,
    wiring=(
        "Line: Modbus RTU at 19200 8E1, unit 1; Modbus TCP at port 502, unit 1. The controller drops TCP connections"
        " for seconds to minutes now and then; RS-485 is steadier.\n"
        "Cable: RS-485, two wires, on the controller's DB25 connector (SyriXus manual p. 7-1), to an isolated RS-485"
        " adapter; or the controller's Ethernet socket.\n"
        "Menu: in the pump's menu 19200 baud, even parity, one stop bit, slave address 1, word order big-endian (AB"
        " CD).\n"
        "Known limits: one published register map, no capture of a controller. There is no watchdog: when the link"
        " is lost the pump may still run. It has no serial number; it is bound by its port and unit."
    ),
    make=_make,
    settings={
        "pump": Setting("A", "which pump of the controller", PUMPS),
        "words": Setting("ABCD", "order of a float's bytes, as in the pump's menu", get_args(ByteOrder)),
        "self_check": Setting("on", "off: the software version is no three whole numbers", ("on", "off")),
    },
)
