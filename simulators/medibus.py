"""The twin of drivers.medibus: an anaesthesia machine that is initialised, and then says numbers and alarms.

Chosen here: it initialises its host in turn; it sends a no operation when it has said nothing for 2 s; a host that is
silent for 3 s has lost it, and has to initialise it again; etCO2 is 38 mmHg; there is an alarm for a low SpO2 and one
for a probe that is off. Its clock begins at 09:11:48, and a restart leaves it going.
"""

from __future__ import annotations

from collections.abc import Mapping

from drivers.medibus import (
    ALARMS_CODE,
    CORRUPT,
    DATA_CODE,
    DAY_S,
    ESC,
    IDENTIFY,
    INITIALISE,
    NOP,
    SOH,
    TIME_CODE,
    MedibusFraming,
    framed,
)
from simulators.contract import Hands, TwinSpec
from simulators.patient import Patient
from simulators.probe import HANDS as PROBE_HANDS
from simulators.probe import Probe, whole

LOST_S, QUIET_S = 3.0, 2.0
ETCO2_MMHG, SPO2_LOW = 38, 90
STOP = 0x55
BEGAN_S = 9 * 3600 + 11 * 60 + 48.0


class MedibusTwin:
    """One machine."""

    def __init__(self, patient: Patient) -> None:
        self.patient = patient
        self._probe = Probe(patient)
        self.hands: Hands = {**self._probe.hands, "restart": self._restart}
        self._framing = MedibusFraming()
        self.day_s = BEGAN_S  # its clock
        self._restart()

    def _restart(self) -> None:
        self._begun = False
        self._silent_s = self._quiet_s = 0.0

    def connect(self) -> None:
        self._framing.flush()

    def display(self) -> Mapping[str, float | str | bool | None]:
        """Its screen: probe and numbers."""
        return {"probe": not self._probe.off, "spo2_pct": self._probe.spo2_pct, "pulse_bpm": self._probe.pulse_bpm,
                "etco2_mmhg": ETCO2_MMHG}

    def step(self, dt_s: float) -> bytes:
        self._probe.live(dt_s)
        self.day_s = (self.day_s + dt_s) % DAY_S
        self._silent_s += dt_s
        self._quiet_s += dt_s
        if self._begun and self._silent_s > LOST_S:
            self._restart()
        if not self._begun or self._quiet_s < QUIET_S or self._probe.muted:
            return b""
        self._quiet_s = 0.0
        return framed(ESC, NOP)

    def feed(self, data: bytes) -> bytes:
        said = b"".join(self._said(frame) for frame in self._framing.feed(data))
        if said:
            self._quiet_s = 0.0
        return b"" if self._probe.muted else said

    def _said(self, frame: bytes) -> bytes:
        if len(frame) < 5 or frame[-3:-1] != b"%02X" % (sum(frame[:-3]) & 0xFF):
            return framed(SOH, CORRUPT) if frame[:1] == bytes((ESC,)) else b""
        self._silent_s = 0.0
        if frame[0] == SOH:
            return b""
        code = frame[1]
        if code == INITIALISE:
            first, self._begun = not self._begun, True
            return framed(SOH, INITIALISE) + (framed(ESC, INITIALISE) if first else b"")
        if not self._begun:
            return b""
        if code == STOP:
            self._restart()
            return framed(SOH, STOP)
        said = {NOP: "", IDENTIFY: "0161'Twin'01.00:04.00", DATA_CODE: self._data(), ALARMS_CODE: self._alarms(),
                TIME_CODE: self._time()}
        return framed(SOH, code, said[code]) if code in said else framed(SOH, CORRUPT)

    def _data(self) -> str:
        resp = whole(self.patient.resp_bpm, 0, 120)
        numbers = {"EB": self._probe.spo2_pct, "E1": self._probe.pulse_bpm, "D5": resp, "E6": ETCO2_MMHG, "78": 5}
        return "".join(f"{code}{number:3d} " for code, number in numbers.items() if number is not None)

    def _time(self) -> str:
        minutes, seconds = divmod(int(self.day_s), 60)
        return f"{minutes // 60:02d}:{minutes % 60:02d}:{seconds:02d}06-OKT-21"

    def _alarms(self) -> str:
        spo2 = self._probe.spo2_pct
        if self._probe.off:
            return "535SPO2 SENSOR ?"[:15].ljust(15)
        return "907SPO2 LOW".ljust(15) if spo2 is not None and spo2 < SPO2_LOW else ""


def _make(patient: Patient, seed: int) -> MedibusTwin:
    return MedibusTwin(patient)


TWIN = TwinSpec("medibus", ("serial", "tcp"), _make, baud=9600, parity="E", hands=(*PROBE_HANDS, "restart"))
