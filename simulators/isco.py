"""Twin of the Teledyne ISCO syringe pump: its registers and coils (drivers/isco.py), with one cylinder (A) fitted.

Functions 1, 3, 5, 15 and 16, as the real one; others are refused (1). Registers outside 0-99, 100-161 and 200-245, and
writes to what is read only, are refused (2). Exactly one flow unit and one pressure unit is set; setting one clears the
others. Set points clamp to the absolute maxima (200..). A run over Modbus without remote control is ignored: read back.

Two things the real pump does not have: it stops by itself at `vtbi_ml`, standing in for the operator who would stop
it; and the bolus after an occlusion is not modelled. Values are kept in mL/h, kPa and mL and shown in the set units.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from drivers.isco import FLOW_UNITS, PRESSURE_UNITS
from drivers.kit.registers import f32_words, words_f32
from simulators.contract import Hands, Refused, TwinSpec
from simulators.modbus import NoResponse
from simulators.patient import Patient

RUN, CONST_FLOW = 0, 13
LOCAL, REMOTE = 46, 47
SHUTDOWN = 94
CONNECTED, EMPTY, FULL, OVER_PRESSURE, MOTOR = 109, 110, 111, 112, 114
RESET_ALL = 108
FLOW_SET, PRESSURE_LIMIT, DISPENSED = 12, 32, 148
PRESSURE, FLOW, REMAINING = 72, 74, 76

_WINDOWS = (range(100), range(100, 162), range(200, 246))
_WRITABLE = (range(72), range(116, 162))
_COILS = 142
_COILS_WRITABLE = (range(35), range(46, 109))
_ONE_OF = (range(84, 88), range(88, 92), range(46, 49))
_EITHER = ({9, 13}, {10, 14}, {11, 15}, {12, 16})  # constant pressure or constant flow
_PRESSURES = frozenset([*range(0, 12, 2), *range(32, 48, 2), 72, 78, 84, 90, 98, 102, 200, 208, 216, 224])
_FLOWS = frozenset(
    [*range(12, 32, 2), *range(48, 72, 2), 74, 80, 86, 92, 96, 104, 202, 204, 210, 212, 218, 220, 226, 228]
)

CYLINDER_ML = 507.0  # a 500D
FILLED_ML = 500.0
MAX_FLOW_ML_H = 204.0 * 60
MAX_PRESSURE_KPA = 25_860.0
_LIMIT_KPA = 100.0
_BACK_KPA = 8.0  # what a free line builds up at 100 mL/h
_STIFFNESS_KPA_ML = 340.0  # how fast a closed line builds up: the limit after about 20 s at 52.5 mL/h
_RELEASE_KPA_S = 40.0


class IscoTwin:
    """The pump. `rate_ml_h` and `vtbi_ml` are what the person at the pump enters with the hand `program`."""

    def __init__(self, patient: Patient, seed: int = 0, unit: int = 1) -> None:
        self.patient = patient
        self.unit = unit
        self.rate_ml_h = 52.5
        self.vtbi_ml = 35.0
        self.muted = False
        self.occluded = False
        self.coils = [0] * _COILS
        for coil in (LOCAL, CONST_FLOW, 86, 89, 92, SHUTDOWN, 95, CONNECTED):
            self.coils[coil] = 1
        self.values: dict[int, float] = {
            FLOW_SET: 0.0, PRESSURE_LIMIT: _LIMIT_KPA, 48: MAX_FLOW_ML_H, 64: MAX_FLOW_ML_H, REMAINING: FILLED_ML,
            200: MAX_PRESSURE_KPA, 202: MAX_FLOW_ML_H, 204: MAX_FLOW_ML_H, 206: CYLINDER_ML,
            232: 500.0, 240: 3.0, 242: 1.0, 244: float(seed % 10),
        }
        self.hands: Hands = {
            "program": self._program, "start": self._start, "stop": self._stop,
            "occlude": self._occlude, "clear": self._clear, "load": self._load, "fault": self._fault,
            "mute": self._mute, "unmute": self._unmute,
        }

    # --- its life -----------------------------------------------------------------------------------------------------

    def step(self, dt_s: float) -> None:
        flow = self._flow_ml_h()
        moved = min(flow * dt_s / 3600.0, self.values[REMAINING], self._until_vtbi_ml() if flow else 0.0)
        self.values[REMAINING] -= moved
        self.values[DISPENSED] = self.values.get(DISPENSED, 0.0) + moved
        self._press(moved, flow, dt_s)
        if flow and self._until_vtbi_ml() <= 1e-9:
            self.coils[RUN] = 0
        self.coils[EMPTY] = int(self.values[REMAINING] <= 1e-9)
        self.coils[FULL] = int(self.values[REMAINING] >= CYLINDER_ML - 1e-9)
        if self.coils[EMPTY]:
            self.coils[RUN] = 0
        self.values[FLOW] = self._flow_ml_h()
        self.patient.infuse(0.0 if self.occluded else self.values[FLOW])

    def _flow_ml_h(self) -> float:
        return self.values[FLOW_SET] if self.coils[RUN] else 0.0

    def _until_vtbi_ml(self) -> float:
        return max(0.0, self.vtbi_ml - self.values.get(DISPENSED, 0.0))

    def _press(self, moved_ml: float, flow: float, dt_s: float) -> None:
        """The line's pressure after `moved_ml` more; over the limit the fault shows, and the pump stops if so set."""
        now = self.values.get(PRESSURE, 0.0)
        if self.occluded:
            now = min(now + moved_ml * _STIFFNESS_KPA_ML, MAX_PRESSURE_KPA)
        else:
            now = max(_BACK_KPA * flow / 100.0, now - _RELEASE_KPA_S * dt_s)
        self.values[PRESSURE] = now
        self.coils[OVER_PRESSURE] = int(now >= self.values[PRESSURE_LIMIT])
        if self.coils[OVER_PRESSURE] and self.coils[SHUTDOWN]:
            self.coils[RUN] = 0

    # --- what a person can do at it -----------------------------------------------------------------------------------

    def _program(self) -> None:
        self.coils[RUN] = 0
        self._set_coil(CONST_FLOW, 1)
        self.values[FLOW_SET] = min(self.rate_ml_h, self.values[202])
        self.values[DISPENSED] = 0.0

    def _start(self) -> None:
        if not (self.coils[MOTOR] or self.coils[EMPTY]):
            self.coils[RUN] = 1

    def _stop(self) -> None:
        self.coils[RUN] = 0

    def _occlude(self) -> None:
        self.occluded = True

    def _clear(self) -> None:
        """The clamp is opened, the fault repaired; it does not start by itself."""
        self.occluded = False
        self.coils[MOTOR] = 0

    def _load(self) -> None:
        """The cylinder is full again for the next patient: nothing dispensed, nothing wrong, stopped."""
        self._clear()
        self.values[REMAINING] = FILLED_ML
        self._program()

    def display(self) -> Mapping[str, float | str | bool | None]:
        """The front: running or stopped, the set flow, the volume to stop at, what went in, and a fault."""
        wrong = "motor" if self.coils[MOTOR] else "over-pressure" if self.coils[OVER_PRESSURE] else None
        return {
            "running": bool(self.coils[RUN]), "rate_ml_h": self.values[FLOW_SET], "vtbi_ml": self.vtbi_ml,
            "infused_ml": round(self.values.get(DISPENSED, 0.0), 2), "alarm": wrong,
        }

    def _fault(self) -> None:
        self.coils[MOTOR] = 1
        self.coils[RUN] = 0

    def _mute(self) -> None:
        self.muted = True

    def _unmute(self) -> None:
        self.muted = False

    # --- Modbus -------------------------------------------------------------------------------------------------------

    def read(self, function: int, address: int, count: int) -> Sequence[int]:
        if self.muted:
            raise NoResponse
        if function == 1:
            _inside((range(_COILS),), address, count)
            return self.coils[address : address + count]
        if function != 3:
            raise Refused(1)
        _inside(_WINDOWS, address, count)
        words: list[int] = []
        for place in range(address - address % 2, address + count, 2):
            words += f32_words(self.values.get(place, 0.0) / self._unit(place))
        return words[address % 2 :][:count]

    def write(self, function: int, address: int, values: Sequence[int]) -> None:
        if self.muted:
            raise NoResponse
        if function in (5, 15):
            _inside(_COILS_WRITABLE, address, len(values))
            for place, value in enumerate(values, address):
                self._set_coil(place, value)
        elif function == 16:
            _inside(_WRITABLE, address, len(values))
            self._set_words(address, values)
        else:
            raise Refused(1)

    def _unit(self, address: int) -> float:
        """What one of the unit shown at `address` is in kPa or mL/h."""
        if address in _PRESSURES:
            kpa = PRESSURE_UNITS[2][2]
            return next(mmhg / kpa for coil, _, mmhg in PRESSURE_UNITS if self.coils[coil])
        if address in _FLOWS:
            return next(ml_h for coil, _, ml_h in FLOW_UNITS if self.coils[coil])
        return 1.0

    def _set_coil(self, coil: int, value: int) -> None:
        one_of = next((group for group in _ONE_OF if coil in group), None)
        if one_of is not None:
            if value:
                for other in one_of:
                    self.coils[other] = int(other == coil)
            return
        if coil == RUN and value:
            if self.coils[REMOTE]:
                self._start()
            return
        if coil in range(1, 4) and value:  # pumps B to D are not fitted
            return
        if coil == RESET_ALL and value:
            self._clear()
            return
        for pair in _EITHER:
            if coil in pair and value:
                self.coils[(pair - {coil}).pop()] = 0
        self.coils[coil] = value

    def _set_words(self, address: int, words: Sequence[int]) -> None:
        first = address - address % 2
        end = address + len(words) + (address + len(words)) % 2
        held = list(self.read(3, first, end - first))
        held[address - first : address - first + len(words)] = words
        for place in range(first, end, 2):
            value = words_f32(held[place - first : place - first + 2]) * self._unit(place)
            if value != value:  # NaN: an out-of-range set point may be accepted silently (manual); here it is dropped
                continue
            self.values[place] = self._clamped(place, value)

    def _clamped(self, address: int, value: float) -> float:
        if address in _FLOWS:
            return min(max(value, 0.0), self.values[202])
        if address in _PRESSURES:
            return min(max(value, 0.0), self.values[200])
        return min(max(value, 0.0), 1e6)


def _inside(windows: Sequence[range], address: int, count: int) -> None:
    if not any(address in window and address + count - 1 in window for window in windows):
        raise Refused(2)


TWIN = TwinSpec(
    name="isco",
    transports=("modbus+tcp", "modbus+rtu"),
    make=IscoTwin,
    baud=19200,
    parity="E",
    hands=("program", "start", "stop", "occlude", "clear", "load", "fault", "mute", "unmute"),
)
