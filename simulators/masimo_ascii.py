"""The twin of drivers.masimo_ascii: a Rad-8 on ASCII 1, one line a second, with limits and alarms of its own.

The lines have the form of the captured ones. Simulated plainly: numbers follow the patient at once, the pulse is
searched for 5 s after the finger comes, motion lowers the signal IQ at once, and an alarm sounds until it is silenced.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

from simulators.contract import Hands, TwinSpec
from simulators.patient import Patient

EVERY_S = 1.0
SEARCH_S = 5.0
EPOCH = datetime(2026, 1, 1)  # the device's own clock
FACTORY = 93112  # the first serial number
SPO2_LOW, PULSE_LOW, PULSE_HIGH = 90, 50, 140  # the limits the device is set to
NO_SENSOR, LOW_PERFUSION, SEARCHING, SENSOR_OFF, LOW_IQ, SET = 0x001, 0x004, 0x008, 0x020, 0x400, 0x800


class MasimoTwin:
    """One oximeter. `serial` is what it prints as SN."""

    def __init__(self, patient: Patient, serial: str = f"{FACTORY:010d}") -> None:
        self.patient, self.serial = patient, serial
        self.hands: Hands = {
            "probe_off": self._take_finger_out, "probe_on": self._put_finger_in,
            "sensor_out": lambda: self._plug(False), "sensor_in": lambda: self._plug(True),
            "motion": lambda: self._move(True), "still": lambda: self._move(False),
            "low_perfusion": lambda: self._perfuse(True), "good_perfusion": lambda: self._perfuse(False),
            "silence": self._silence, "mute": lambda: self._mute(True), "unmute": lambda: self._mute(False),
        }
        self._off = self._unplugged = self._moving = self._weak = self._silenced = self._muted = False
        self._search_s = 0.0
        self._lived_s = 0.0
        self._due_s = EVERY_S

    def connect(self) -> None:
        """It prints whether anybody listens or not."""

    def display(self) -> Mapping[str, float | str | bool | None]:
        """The front: probe, and the two numbers it shows."""
        pulse, spo2, _ = self._numbers()
        return {"probe": not self._off, "spo2_pct": spo2, "pulse_bpm": pulse, "moving": self._moving}

    def step(self, dt_s: float) -> bytes:
        said = bytearray()
        left_s = dt_s
        while self._due_s <= left_s + 1e-9:
            left_s = max(0.0, left_s - self._due_s)
            self._live(self._due_s)
            self._due_s = EVERY_S
            said += self._line()
        self._due_s -= left_s
        self._live(left_s)
        return b"" if self._muted else bytes(said)

    def feed(self, data: bytes) -> bytes:
        """It reads nothing."""
        return b""

    def _live(self, dt_s: float) -> None:
        self._lived_s += dt_s
        self._search_s = max(0.0, self._search_s - dt_s)

    def _numbers(self) -> tuple[int | None, int | None, float | None]:
        """Pulse, SpO2 and perfusion index as it shows them."""
        if self._off or self._unplugged or self._search_s > 0:
            return None, None, None
        index = self.patient.perfusion_index_pct
        return (_told(self.patient.pulse_bpm, 25, 240), _told(self.patient.spo2_pct, 1, 100),
                index if index is not None and 0.02 <= index <= 20 else None)

    def _exceptions(self, seen: bool) -> int:
        if self._unplugged:
            return NO_SENSOR
        if self._off:
            return SET | SENSOR_OFF
        return SET | (0 if seen else SEARCHING) | self._moving * LOW_IQ | self._weak * LOW_PERFUSION

    def _alarm(self, pulse: int | None, spo2: int | None) -> int:
        alarm = (0x02 if spo2 is not None and spo2 < SPO2_LOW else 0) | (
            0 if pulse is None else 0x04 if pulse > PULSE_HIGH else 0x08 if pulse < PULSE_LOW else 0)
        if alarm or self._off or self._unplugged:
            return alarm | 0x10 | self._silenced * 0x20
        self._silenced = False
        return 0

    def _line(self) -> bytes:
        pulse, spo2, index = self._numbers()
        now = EPOCH + timedelta(seconds=int(self._lived_s))
        seen = pulse is not None or spo2 is not None
        return (
            f"{now:%m/%d/%y %H:%M:%S} SN={self.serial} SPO2={_digits(spo2)}% BPM={_digits(pulse)}"
            f" PI={'--.--' if index is None else f'{index:05.2f}'}% SPCO=--.-% SPMET=--.-% DESAT=-- PIDELTA=+--"
            f" ALARM={self._alarm(pulse, spo2):04X} EXC={self._exceptions(seen):06X}\r\n"
        ).encode("ascii")

    def _take_finger_out(self) -> None:
        self._off = True

    def _put_finger_in(self) -> None:
        if self._off:
            self._off, self._search_s = False, SEARCH_S

    def _plug(self, plugged: bool) -> None:
        if plugged and self._unplugged:
            self._search_s = SEARCH_S
        self._unplugged = not plugged

    def _move(self, moving: bool) -> None:
        self._moving = moving

    def _perfuse(self, weak: bool) -> None:
        self._weak = weak

    def _silence(self) -> None:
        self._silenced = True

    def _mute(self, muted: bool) -> None:
        self._muted = muted


def _told(value: float | None, low: int, high: int) -> int | None:
    """The number as shown: none where the device cannot measure it, never the nearest that it can."""
    return None if value is None or not low <= round(value) <= high else round(value)


def _digits(value: int | None) -> str:
    return "---" if value is None else f"{value:03d}"


def _make(patient: Patient, seed: int) -> MasimoTwin:
    return MasimoTwin(patient, f"{FACTORY + seed:010d}")


TWIN = TwinSpec(
    "masimo_ascii",
    ("serial", "tcp"),
    _make,
    hands=("probe_off", "probe_on", "sensor_out", "sensor_in", "motion", "still", "low_perfusion", "good_perfusion",
           "silence", "mute", "unmute"),
)
