"""The twin of drivers.ge_dri: an S/5 monitor with ECG, SpO2, cuff, CO2 and a thermometer on the bed's patient.

Chosen here, since no real one was seen: numbers that are gone are "invalid" and their group is not active; no
auxiliary record comes; etCO2 is 5 %; values asked for once come at once, those asked for every so often after that
time.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping

from simulators.contract import Hands, TwinSpec
from simulators.cuff import HANDS as CUFF_HANDS
from simulators.cuff import OwnCuff
from simulators.patient import Patient
from simulators.probe import HANDS as PROBE_HANDS
from simulators.probe import Probe, whole

TICKS_S = 4
OLD_S = 60.0
EPOCH_S = 1_767_225_600  # its own clock: 2026-01-01
LEVEL = 9
INVALID = -32767
ETCO2, FICO2, AMBIENT, TEMPERATURE = 500, 0, 7600, 3670  # 0.01 %, 0.1 mmHg, 0.01 degrees C
AUTO, MEASURES, OLD = 0x08, 0x20, 0x100
ECG_IS_SOURCE = 0x08
APNOEA, OCCLUSION = 0x04, 0x20
REQUEST = 49  # bytes of a record that asks for values


def framed(record: bytes) -> bytes:
    """A record as sent."""
    out = bytearray(b"\x7e")
    for byte in (*record, sum(record) & 0xFF):
        out += bytes((0x7D, byte ^ 0x20)) if byte in (0x7D, 0x7E) else bytes((byte,))
    return bytes(out) + b"\x7e"


class DriTwin:
    """One monitor."""

    def __init__(self, patient: Patient) -> None:
        self.patient = patient
        self._probe, self._cuff = Probe(patient), OwnCuff(patient)
        self.hands: Hands = {
            **self._probe.hands, **self._cuff.hands, "restart": self.connect,
            "sensor_out": lambda: self._leads(False), "sensor_in": lambda: self._leads(True),
            "occlude": lambda: self._breath(OCCLUSION), "apnoea": lambda: self._breath(APNOEA),
            "clear": lambda: self._breath(0), "breathe": lambda: self._breath(0),
        }
        self._leads_on = True
        self._co2 = 0  # what is wrong with the breath, as bits of its status
        self._lived_s = self._due_s = 0.0
        self._number = 0
        self._held = bytearray()
        self._interval_s = self._left_s = 0.0  # of the values it was asked for; 0: none

    def connect(self) -> None:
        """The line is opened; also a monitor that was switched off: nobody has asked for anything."""
        self._held.clear()
        self._interval_s = 0.0

    def display(self) -> Mapping[str, float | str | bool | None]:
        """Its screen: probe, numbers, and the cuff."""
        probe = self._probe
        return {"probe": not probe.off, "spo2_pct": probe.spo2_pct, "pulse_bpm": probe.pulse_bpm,
                "phase": self._cuff.phase, "cuff_mmhg": round(self._cuff.pressure_mmhg), "fault": self._cuff.wrong}

    def feed(self, data: bytes) -> bytes:
        said = b""
        for byte in data:
            if byte == 0x7E and len(self._held) > 1:
                said += self._asked(bytes(self._held).replace(b"\x7d\x5d", b"\x7d").replace(b"\x7d\x5e", b"\x7e"))
            if byte == 0x7E:
                self._held.clear()
            else:
                self._held.append(byte)
        return b"" if self._probe.muted else said

    def _asked(self, plain: bytes) -> bytes:
        record = plain[:-1]
        if len(record) != REQUEST or sum(record) & 0xFF != plain[-1]:
            return b""
        what, interval_s, classes = struct.unpack_from("<BhI", record, 40)
        if record[14:16] != b"\0\0" or what != 1 or classes & 1:
            return b""
        if interval_s == 0 or interval_s >= 5:
            self._interval_s, self._left_s = float(interval_s), float(interval_s)
        return self.record() if interval_s == -1 else b""

    def step(self, dt_s: float) -> bytes:
        self._due_s += dt_s
        said = bytearray()
        while self._due_s >= 1 / TICKS_S - 1e-9:
            self._due_s -= 1 / TICKS_S
            said += self._tick(1 / TICKS_S)
        return b"" if self._probe.muted else bytes(said)

    def _tick(self, dt_s: float) -> bytes:
        self._lived_s += dt_s
        self._probe.live(dt_s)
        self._cuff.live(dt_s)
        if not self._interval_s:
            return b""
        self._left_s -= dt_s
        if self._left_s > 1e-9:
            return b""
        self._left_s += self._interval_s
        return self.record()

    def record(self) -> bytes:
        """The displayed values now."""
        self._number = (self._number + 1) & 0xFF
        now = EPOCH_S + int(self._lived_s)
        data = struct.pack("<I", now) + self._union() + bytes(2) + struct.pack("<H", 0)
        head = bytearray(40)
        struct.pack_into("<hBBHI", head, 0, 40 + len(data), self._number, LEVEL, 0x2400, now)
        head[18], head[21] = 1, 0xFF
        return framed(bytes(head) + data)

    def _union(self) -> bytes:
        probe, patient, union = self._probe, self.patient, bytearray(270)
        heart = whole(patient.pulse_bpm, 20, 250) if self._leads_on else None
        resp = whole(patient.resp_bpm, 0, 120)
        _put(union, 0, _status(heart) | ECG_IS_SOURCE, 0, heart, 0, 0, 0, resp if self._leads_on else None)
        _put(union, 72, 3, *self._nibp())
        _put(union, 86, 3, 0, TEMPERATURE)
        _put(union, 118, _status(probe.spo2_pct), 0, None if probe.spo2_pct is None else probe.spo2_pct * 100,
             probe.pulse_bpm, 250, None)
        breathes = not self._co2 and resp is not None
        _put(union, 132, 3 | self._co2, 0, ETCO2 if breathes else None, FICO2, resp if breathes else None, AMBIENT)
        return bytes(union)

    def _nibp(self) -> tuple[int | None, ...]:
        """Label, systolic, diastolic, mean and pulse."""
        if self._cuff.phase != "idle":
            return AUTO | MEASURES, None, None, None, None
        if self._cuff.last is None:
            return AUTO, None, None, None, None
        sbp, dbp, mean, pulse = self._cuff.last
        return AUTO | (OLD if self._cuff.age_s > OLD_S else 0), sbp * 100, dbp * 100, mean * 100, pulse

    def _leads(self, on: bool) -> None:
        self._leads_on = on

    def _breath(self, wrong: int) -> None:
        self._co2 = wrong


def _status(value: int | None) -> int:
    return 1 if value is None else 3


def _put(union: bytearray, at: int, status: int, label: int | None, *values: int | None) -> None:
    struct.pack_into(f"<IH{len(values)}h", union, at, status, label or 0,
                     *(INVALID if value is None else value for value in values))


def _make(patient: Patient, seed: int) -> DriTwin:
    return DriTwin(patient)


TWIN = TwinSpec("ge_dri", ("serial", "tcp"), _make, baud=19200, parity="E",
                hands=(*PROBE_HANDS, *CUFF_HANDS, "measure", "restart", "sensor_out", "sensor_in", "occlude", "apnoea",
                       "clear", "breathe"))
