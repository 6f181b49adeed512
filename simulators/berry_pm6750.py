"""The twin of drivers.berry_pm6750: a board with electrodes, probe, cuff and thermometer on the bed's patient.

Chosen here, since the real board's is not known: each number once a second, the cuff also while it is idle and five
times a second while it measures; 60 samples of the SpO2 and respiration waves a second; a flat ECG; after a stop it is
idle at once. All waves are on until they are switched off.
"""

from __future__ import annotations

from collections.abc import Mapping

from drivers.berry_pm6750 import HEAD, encode
from drivers.kit.framing import Counted
from simulators.contract import Hands, TwinSpec
from simulators.cuff import HANDS as CUFF_HANDS
from simulators.cuff import Cuff
from simulators.patient import Patient
from simulators.probe import HANDS as PROBE_HANDS
from simulators.probe import Probe, whole

TICKS_S = 5
ECG_WAVES, SLOW_WAVES = 50, 12  # a tick
TEMPERATURE = 367  # tenths of a degree
TOPS_MMHG = {0: 160, 1: 140, 2: 90}  # patient: what the cuff inflates to at least
ENDED = {"ok": 0, "overpressure": 3, "loose": 4, "weak": 5, "leak": 6, "motion": 7}
MEASURING, STOPPED, INITIALISED = 1, 2, 10
ARRHYTHMIA_LIMITS = (50, 140)  # bradycardia, tachycardia


def _length(held: bytes) -> int | None:
    if len(held) < 3:
        return None if HEAD.startswith(held[:2]) else 0
    return 2 + held[2] if held[:2] == HEAD and 4 <= held[2] <= 30 else 0


class BerryTwin:
    """One board."""

    def __init__(self, patient: Patient) -> None:
        self.patient = patient
        self._probe, self._cuff = Probe(patient), Cuff(patient)
        self.hands: Hands = {
            **self._probe.hands, **self._cuff.hands,
            "sensor_out": lambda: self._leads(False), "sensor_in": lambda: self._leads(True), "restart": self._restart,
        }
        self._leads_on = True
        self._framing = Counted(HEAD[:1], _length, 32, lambda frame: ~sum(frame[2:-1]) & 0xFF == frame[-1])
        self._due = 0.0
        self._ticks = 0
        self._restart()

    def _restart(self) -> None:
        """It is switched off and on."""
        self._cuff.stop()
        self._waves = {0xFB, 0xFE, 0xFF}
        self._wearer = 0
        self._nibp = (INITIALISED, bytes(3))

    def connect(self) -> None:
        """It sends whether anybody listens or not."""
        self._framing.flush()

    def display(self) -> Mapping[str, float | str | bool | None]:
        """What the monitor around it shows: probe, numbers, and the cuff."""
        probe = self._probe
        return {"probe": not probe.off, "spo2_pct": probe.spo2_pct, "pulse_bpm": probe.pulse_bpm,
                "phase": self._cuff.phase, "cuff_mmhg": round(self._cuff.pressure_mmhg), "fault": self._cuff.wrong}

    def step(self, dt_s: float) -> bytes:
        self._due += dt_s * TICKS_S
        said = bytearray()
        while self._due >= 1 - 1e-9:
            self._due -= 1
            self._ticks += 1
            said += self._tick(1 / TICKS_S)
        return b"" if self._probe.muted else bytes(said)

    def feed(self, data: bytes) -> bytes:
        for frame in self._framing.feed(data):
            if len(frame) == 6:
                self._obey(frame[3], frame[4])
        return b""

    def _obey(self, type_: int, argument: int) -> None:
        if type_ == 0x02 and argument == 1 and self._cuff.phase == "idle":
            self._cuff.begin(TOPS_MMHG[self._wearer])
        elif type_ == 0x02 and argument == 0 and self._cuff.phase != "idle":
            self._cuff.stop()
            self._nibp = (STOPPED, bytes(3))
        elif type_ == 0x09 and 1 <= argument <= 3:
            self._wearer = argument - 1
        elif type_ in (0xFB, 0xFE, 0xFF):
            (self._waves.add if argument else self._waves.discard)(type_)

    def _tick(self, dt_s: float) -> bytes:
        self._probe.live(dt_s)
        ended = self._cuff.live(dt_s)
        if ended is not None:
            sbp, dbp, mean, _ = self._cuff.felt or (0, 0, 0, 0)
            result = bytes((sbp, mean, dbp)) if ended == "ok" else bytes(3)
            self._nibp = (ENDED[ended], result)
        said = self._wave_frames()
        if self._cuff.phase != "idle" or ended is not None or self._ticks % TICKS_S == 0:
            said += self._nibp_frame()
        return said + (self._numbers() if self._ticks % TICKS_S == 0 else b"")

    def _wave_frames(self) -> bytes:
        said = b""
        if 0xFB in self._waves:
            said += encode(0x01, *bytes([128] * 7)) * ECG_WAVES
        if 0xFE in self._waves:
            said += b"".join(encode(0xFE, round(self.patient.pleth((SLOW_WAVES - 1 - i) / SLOW_WAVES / TICKS_S) * 100))
                             for i in range(SLOW_WAVES))
        return said + (encode(0xFF, 125) * SLOW_WAVES if 0xFF in self._waves else b"")

    def _nibp_frame(self) -> bytes:
        status, result = (MEASURING, bytes(3)) if self._cuff.phase != "idle" else self._nibp
        return encode(0x03, status << 2 | self._wearer, round(self._cuff.pressure_mmhg / 2), *result)

    def _numbers(self) -> bytes:
        probe, patient = self._probe, self.patient
        heart, resp = whole(patient.pulse_bpm, 15, 250), whole(patient.resp_bpm, 1, 120)
        slow, fast = ARRHYTHMIA_LIMITS
        rhythm = 0 if heart is None else 11 if heart < slow else 10 if heart > fast else 1
        ecg = encode(0x02, 0x48, heart or 0, resp or 0, 0, rhythm) if self._leads_on else encode(0x02, 0x4A, 0, 0, 0, 0)
        status = 2 if probe.off else 3 if probe.searching else 0
        return (ecg + encode(0x04, status, probe.spo2_pct or 0x7F, probe.pulse_bpm or 0xFF)
                + encode(0x05, 0, TEMPERATURE // 10, TEMPERATURE % 10))

    def _leads(self, on: bool) -> None:
        self._leads_on = on


def _make(patient: Patient, seed: int) -> BerryTwin:
    return BerryTwin(patient)


TWIN = TwinSpec("berry_pm6750", ("serial", "tcp"), _make, baud=115200,
                hands=(*PROBE_HANDS, *CUFF_HANDS, "sensor_out", "sensor_in", "restart"))
