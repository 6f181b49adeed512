"""The twin of any register map (drivers/modbus_map): it holds the map's registers and refuses every other address.

A pump of a map lives as the other syringe pumps here; a monitor shows the bed's patient, and a cuff measures every
`CYCLE_S` or by the hand `measure`. What a map cannot say is chosen here: a temperature, a carbon dioxide, a battery.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from drivers.modbus_map.encoding import put_flag, put_text, put_value
from drivers.modbus_map.file import read_map
from drivers.modbus_map.parts import CUFF, At, Check, Power, RegisterMap
from drivers.modbus_map.spans import raw_range
from simulators.contract import Hands, ModbusTwin, Refused, TwinSpec
from simulators.modbus import NoResponse
from simulators.patient import Patient
from simulators.syringe import HANDS, SYRINGE_ML, SyringePump

CYCLE_S = 60.0
TEMP_C, ETCO2_MMHG, BATTERY_PCT, PRESSURE_MMHG = 36.8, 38.0, 80.0, 60.0
MONITOR_HANDS = ("probe_off", "probe_on", "measure", "freeze", "thaw", "mute", "unmute")


class MapTwin:
    """One device of `found`. `pump` is its mechanism, where it is a pump."""

    def __init__(self, found: RegisterMap, patient: Patient, seed: int = 0, unit: int = 1) -> None:
        self.unit = unit
        self.patient = patient
        self.pump = SyringePump(patient) if found.kind == "pump" else None
        self.frozen = self.off = False
        self._raw: dict[tuple[int, int], int] = {}
        self._shown = False  # whether the registers are of now
        self._map, self._seed = found, seed
        self._muted = False
        self._count, self._alive, self._cycle_s = 0, 0.0, 0.0
        self._cuff: dict[str, float | None] = dict.fromkeys(CUFF)
        own: dict[str, Callable[[], None]] = {
            "probe_off": lambda: self._probe(off=True), "probe_on": lambda: self._probe(off=False),
            "measure": self._measure, "freeze": lambda: self._freeze(True), "thaw": lambda: self._freeze(False),
            "mute": lambda: self._mute(True), "unmute": lambda: self._mute(False),
        }
        self.hands: Hands = {**own, **({name: self.pump.hands[name] for name in HANDS if name not in own}
                                       if self.pump is not None else {})}
        self._known()

    @property
    def raw(self) -> dict[tuple[int, int], int]:
        """What it holds now: (function, address) -> a register, or a coil."""
        if not self._shown and not self.frozen:
            self._shown = True
            self._show()
        return self._raw

    # --- what a stage sets at a pump ----------------------------------------------------------------------------------

    @property
    def rate_ml_h(self) -> float:
        """What a person enters before the hand `program`; 0 where this is no pump."""
        return self.pump.rate_ml_h if self.pump is not None else 0.0

    @rate_ml_h.setter
    def rate_ml_h(self, value: float) -> None:
        if self.pump is not None:
            self.pump.rate_ml_h = value

    @property
    def vtbi_ml(self) -> float:
        """The volume it stops at; 0 where this is no pump."""
        return self.pump.vtbi_ml if self.pump is not None else 0.0

    @vtbi_ml.setter
    def vtbi_ml(self, value: float) -> None:
        if self.pump is not None:
            self.pump.vtbi_ml = value

    # --- its life -----------------------------------------------------------------------------------------------------

    def step(self, dt_s: float) -> None:
        if self.pump is not None:
            self.pump.live(dt_s)
        if self.frozen:
            return
        self._alive += dt_s
        self._cycle_s += dt_s
        self._shown = False
        if self._cycle_s >= CYCLE_S:
            self._measure()

    def _known(self) -> None:
        """What stays as it is: who it is, and what the map's checks expect."""
        for text, said in ((self._map.serial, f"{5000 + self._seed}"), (self._map.model, self._map.title)):
            if text is not None:
                put_text(self._raw, text, said)
        for check in self._map.checks:
            put_value(self._raw, check.at, _of_check(check))

    def _show(self) -> None:
        for value in self._map.values:
            number = self._numbers(value.metric)
            for flag in value.invalid_when:
                put_flag(self._raw, flag, on=number is None)
            if value.power is not None:
                put_value(self._raw, value.power.at, _power_of(value.power))
            if number is not None:
                power = 1.0 if value.power is None else 10.0 ** (value.power.sign * _power_of(value.power))
                put_value(self._raw, value.at, _that_fits(value.at, self._in_steps(
                    (number - value.offset) / value.factor, value.resolution) / power))
            else:
                put_value(self._raw, value.at, min(value.none, default=0.0))
        self._show_alarms()
        for at, number in ((self._map.counter, self._count), (self._map.alive, int(self._alive * 10))):
            if at is not None:
                put_value(self._raw, at, number % 0x10000)
        if self._map.state_at is not None:
            put_value(self._raw, self._map.state_at, self._state())

    def _in_steps(self, number: float, step: float) -> float:
        return round(number / step) * step if step else number

    def _show_alarms(self) -> None:
        alarms = self.pump.alarms if self.pump is not None else {"sensor_off"} if self.off else set()
        for alarm in self._map.alarms:
            if not alarm.by_value:
                put_flag(self._raw, alarm.flag, on=alarm.code in alarms)
        coded = [alarm for alarm in self._map.alarms if alarm.by_value]
        for alarm in sorted(coded, key=lambda one: one.code in alarms):  # the last one written stays
            put_value(self._raw, alarm.flag.at, alarm.flag.equals if alarm.code in alarms else 0)

    def _state(self) -> int:
        pump = self.pump
        assert pump is not None, "a state is a pump's"
        wanted = ("infusing",) if pump.running else ("alarm", "stopped") if pump.stopped_by else ("stopped", "paused")
        codes = {state: code for code, state in self._map.states.items()}
        return next((codes[state] for state in wanted if state in codes), min(self._map.states))

    def _numbers(self, metric: str) -> float | None:
        """What the device measures or is set to; None where it has nothing."""
        if self.pump is not None:
            return _of_pump(self.pump, metric)
        if metric in CUFF:
            return self._cuff[metric]
        if metric in ("spo2_pct", "pulse_bpm", "perfusion_index_pct") and self.off:
            return None
        patient = self.patient
        return {
            "spo2_pct": patient.spo2_pct, "pulse_bpm": patient.pulse_bpm, "heart_rate_bpm": patient.pulse_bpm,
            "perfusion_index_pct": patient.perfusion_index_pct, "resp_bpm": patient.resp_bpm,
            "temp_c": TEMP_C, "etco2_mmhg": ETCO2_MMHG, "battery_pct": BATTERY_PCT,
        }.get(metric)

    # --- hands --------------------------------------------------------------------------------------------------------

    def _measure(self) -> None:
        """The cuff's next determination, done at once."""
        patient, self._shown = self.patient, False
        self._cycle_s = 0.0
        self._count += 1
        self._cuff = {"sbp_mmhg": patient.sbp_mmhg, "dbp_mmhg": patient.dbp_mmhg, "map_mmhg": patient.map_mmhg,
                      "nibp_pulse_bpm": patient.pulse_bpm}

    def _probe(self, *, off: bool) -> None:
        self.off, self._shown = off, False

    def _freeze(self, on: bool) -> None:
        """It goes on responding, and measures no more."""
        assert self.raw, "what it holds now is what it keeps"
        self.frozen = on

    def _mute(self, on: bool) -> None:
        self._muted = on

    def display(self) -> Mapping[str, float | str | bool | None]:
        """The front: a pump's, or the numbers of a monitor."""
        if self.pump is not None:
            return self.pump.display()
        return {value.metric: self._numbers(value.metric) for value in self._map.values}

    # --- Modbus -------------------------------------------------------------------------------------------------------

    def read(self, function: int, address: int, count: int) -> Sequence[int]:
        if self._muted:
            raise NoResponse
        raw = self.raw
        if function not in {known for known, _ in raw}:
            raise Refused(1)
        words = [raw.get((function, place)) for place in range(address, address + count)]
        if words[0] is None or words[-1] is None:
            raise Refused(2)
        if self._map.gap == 0 and None in words:
            raise Refused(2)
        return [word or 0 for word in words]

    def write(self, function: int, address: int, values: Sequence[int]) -> None:
        """A map is only read."""
        raise Refused(1)


def _of_pump(pump: SyringePump, metric: str) -> float | None:
    rate = pump.set_rate_ml_h if pump.running and not pump.occluded else 0.0
    return {
        "rate_ml_h": pump.set_rate_ml_h if pump.running else 0.0, "volume_infused_ml": pump.infused_ml,
        "volume_remaining_ml": pump.left_ml, "vtbi_ml": pump.vtbi_ml, "syringe_size_ml": SYRINGE_ML,
        "time_remaining_s": pump.to_go_ml / rate * 3600.0 if rate > 0 else None,
        "line_pressure_mmhg": PRESSURE_MMHG, "battery_pct": BATTERY_PCT,
    }.get(metric)


def _power_of(power: Power) -> int:
    """Which power of ten it has: one decimal, where that may be."""
    return min(max(-power.sign, power.low), power.high)


def _that_fits(at: At, number: float) -> float:
    """`number`, or the nearest to it that its register can hold: a device shows no more either."""
    low, high = raw_range(at.field, at.mask)
    return min(max(number, low), high)


def _of_check(check: Check) -> float:
    """A number that holds, a whole one where there is one."""
    middle = check.low / 2 + check.high / 2
    return middle if check.at.field.type.startswith("f") else min(max(round(middle), check.low), check.high)


def twin_of(path: Path) -> TwinSpec:
    """The twin of the map in `path`. Raises ValueError: one line with file and line."""
    found = read_map(path)

    def make(patient: Patient, seed: int) -> ModbusTwin:
        return MapTwin(found, patient, seed)

    line = found.line
    hands = (*MONITOR_HANDS, *(hand for hand in HANDS if hand not in MONITOR_HANDS)) if found.kind == "pump" else (
        MONITOR_HANDS)
    return TwinSpec(found.name, found.transports, make, line.baud, line.bits, line.parity, line.stop, hands)
