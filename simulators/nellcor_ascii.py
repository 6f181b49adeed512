"""The twin of drivers.nellcor_ascii: an N-560 on its ASCII output, one line every 2 s and a head every 25 lines.

The lines have the form of the N-560 logs, each status word in its column. Simulated plainly: numbers follow the patient
at once, the pulse is searched for 8 s after the finger comes (the logged one took 16 s), and a sensor that is unplugged
is SD at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

from simulators.contract import Hands, TwinSpec
from simulators.patient import Patient

EVERY_S = 2.0
HEAD_EVERY = 25  # lines
SEARCH_S = 8.0
WIDTH = 61
EPOCH = datetime(2026, 1, 1)  # the device's own clock
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
SPO2_LIMITS, PULSE_LIMITS = (90, 100), (50, 140)
COLUMNS = {"SD": 44, "SO": 44, "PS": 44, "MO": 44, "SH": 47, "SL": 47, "PH": 50, "PL": 50, "LB": 53, "AS": 56, "AO": 59}
HEAD = (
    "N-560    VERSION 1.56.00    CRC:XXXX  SpO2 Limit: {}-{}%    PR Limit: {}-{}BPM\r\n".format(
        *SPO2_LIMITS, *PULSE_LIMITS)
    + "                             ADULT            0SAT-S \r\n"
    + "TIME                 %SpO2   BPM     PA     Status\r\n"
)


class NellcorTwin:
    """One oximeter."""

    def __init__(self, patient: Patient) -> None:
        self.patient = patient
        self.hands: Hands = {
            "probe_off": self._take_finger_out, "probe_on": self._put_finger_in,
            "sensor_out": lambda: self._plug(False), "sensor_in": lambda: self._plug(True),
            "motion": lambda: self._move(True), "still": lambda: self._move(False),
            "low_battery": self._drain, "silence": self._silence,
            "mute": lambda: self._mute(True), "unmute": lambda: self._mute(False),
        }
        self._off = self._unplugged = self._moving = self._drained = self._silenced = self._muted = False
        self._search_s = 0.0
        self._lived_s = 0.0
        self._due_s = EVERY_S
        self._lines = 0

    def connect(self) -> None:
        """It prints whether anybody listens or not."""

    def display(self) -> Mapping[str, float | str | bool | None]:
        """The front: probe, and the two numbers it shows."""
        pulse, spo2 = self._numbers()
        return {"probe": not self._off, "spo2_pct": spo2, "pulse_bpm": pulse, "moving": self._moving}

    def step(self, dt_s: float) -> bytes:
        said = ""
        left_s = dt_s
        while self._due_s <= left_s + 1e-9:
            left_s = max(0.0, left_s - self._due_s)
            self._live(self._due_s)
            self._due_s = EVERY_S
            said += (HEAD if self._lines % HEAD_EVERY == 0 else "") + self._line() + "\r\n"
            self._lines += 1
        self._due_s -= left_s
        self._live(left_s)
        return b"" if self._muted else said.encode("ascii")

    def feed(self, data: bytes) -> bytes:
        """It hears nothing: its menu is not simulated."""
        return b""

    def _live(self, dt_s: float) -> None:
        self._lived_s += dt_s
        self._search_s = max(0.0, self._search_s - dt_s)

    def _numbers(self) -> tuple[int | None, int | None]:
        """Pulse and SpO2 as it shows them."""
        if self._off or self._unplugged or self._search_s > 0:
            return None, None
        return _told(self.patient.pulse_bpm, 20, 250), _told(self.patient.spo2_pct, 1, 100)

    def _status(self, pulse: int | None, spo2: int | None) -> list[str]:
        if self._unplugged or self._off:
            words = ["SD" if self._unplugged else "SO"]
        elif pulse is None and spo2 is None:
            words = ["PS"]
        else:
            words = ["MO"] * self._moving + _beyond("S", spo2, SPO2_LIMITS) + _beyond("P", pulse, PULSE_LIMITS)
        alarming = any(word not in ("MO", "PS") for word in words)
        self._silenced = self._silenced and alarming
        return words + ["LB"] * self._drained + ["AS"] * self._silenced

    def _line(self) -> str:
        pulse, spo2 = self._numbers()
        words = self._status(pulse, spo2)
        now = EPOCH + timedelta(seconds=int(self._lived_s))
        stamp = f"{now.day:02d}-{MONTHS[now.month - 1]}-{now:%y %H:%M:%S}"
        if "PS" in words:
            numbers = "     0       0     ---"
        else:
            index = self.patient.perfusion_index_pct
            amplitude = "---" if pulse is None or index is None else str(min(round(index * 10), 255))
            stars = ["*" if {letter + "H", letter + "L"} & set(words) else " " for letter in "SP"]
            numbers = f"{_digits(spo2):>6}{stars[0]}{_digits(pulse):>7}{stars[1]}{amplitude:>7}"
        line = (stamp + numbers).ljust(WIDTH)
        for word in words:
            line = line[: COLUMNS[word]] + word + line[COLUMNS[word] + 2 :]
        return line

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

    def _drain(self) -> None:
        self._drained = True

    def _silence(self) -> None:
        self._silenced = True

    def _mute(self, muted: bool) -> None:
        self._muted = muted


def _beyond(letter: str, value: int | None, limits: tuple[int, int]) -> list[str]:
    if value is None or limits[0] <= value <= limits[1]:
        return []
    return [letter + ("L" if value < limits[0] else "H")]


def _told(value: float | None, low: int, high: int) -> int | None:
    """The number as shown: none where the device cannot measure it, never the nearest that it can."""
    return None if value is None or not low <= round(value) <= high else round(value)


def _digits(value: int | None) -> str:
    return "---" if value is None else str(value)


def _make(patient: Patient, seed: int) -> NellcorTwin:
    return NellcorTwin(patient)


TWIN = TwinSpec(
    "nellcor_ascii",
    ("serial", "tcp"),
    _make,
    hands=("probe_off", "probe_on", "sensor_out", "sensor_in", "motion", "still", "low_battery", "silence", "mute",
           "unmute"),
)
