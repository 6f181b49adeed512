"""The twin of drivers.capnostream: a Capnostream that is enabled, started, and then sends waves and numerics.

It has what the one known program relies on. Chosen here, since the real device's is not known: numerics once a second
after a start, only while communication is enabled; commands other than enable are obeyed without a word; it sends on
without a sign that the link is active. The patient's etCO2 is 38 mmHg; without a breath it is gone after 10 s, and the
alarm comes after 20 s.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import reduce
from operator import xor

from simulators.contract import Hands, TwinSpec
from simulators.patient import Patient

WAVES_S = 20
NUMERICS_EVERY = 20  # waves
ETCO2_MMHG = 38
NO_BREATH_S, GONE_S = 20.0, 10.0
SEARCH_S = 5.0
EPOCH_S = 1_767_225_600  # its own clock: 2026-01-01
FACTORY = 355987654  # the serial number in the source's example
LIMITS = (60, 20, 30, 8, 5, 100, 85, 140, 50)  # etCO2, respiration high and low, FiCO2 high, SpO2, pulse high and low
ENABLE, DISABLE, START, STOP = 1, 2, 4, 5
WAVE, NUMERICS, IDENTITY = 0, 1, 4
NO_LINE, BLOCKED, END_OF_BREATH = 0x40, 0x04, 0x08
NONE = 0xFF


def framed(code: int, payload: bytes = b"") -> bytes:
    """A message as sent."""
    plain = bytes((len(payload) + 1, code)) + payload
    plain += bytes((reduce(xor, plain),))
    return b"\x85" + b"".join({0x80: b"\x80\x00", 0x85: b"\x80\x05"}.get(byte, bytes((byte,))) for byte in plain)


class CapnostreamTwin:
    """One capnograph. `units` is what byte 25 says: 1 mmHg, 2 kPa, 3 vol %."""

    def __init__(self, patient: Patient, serial: str = f"B{FACTORY}") -> None:
        self.patient, self.serial, self.units = patient, serial, 1
        self.hands: Hands = {
            "probe_off": self._take_finger_out, "probe_on": self._put_finger_in,
            "line_out": lambda: self._fast(NO_LINE), "line_in": lambda: self._fast(0),
            "occlude": lambda: self._fast(BLOCKED), "clear": lambda: self._fast(0),
            "apnoea": lambda: self._breathe(False), "breathe": lambda: self._breathe(True),
            "low_battery": self._drain, "silence": self._silence,
            "mute": lambda: self._mute(True), "unmute": lambda: self._mute(False),
        }
        self._off = self._drained = self._silenced = self._muted = self._holds_breath = False
        self._status = 0  # fast status but for the breaths
        self._enabled = self._streaming = False
        self._search_s = self._breathless_s = self._lived_s = self._due = self._breath = 0.0
        self._waves = 0
        self._heard = bytearray()

    def connect(self) -> None:
        """It sends on as it did."""
        self._heard.clear()

    def display(self) -> Mapping[str, float | str | bool | None]:
        """The front: the four numbers it shows."""
        etco2, resp, spo2, pulse = (None if said == NONE else said for said in self._numbers())
        return {"probe": not self._off, "etco2_mmhg": etco2, "resp_bpm": resp, "spo2_pct": spo2, "pulse_bpm": pulse}

    def step(self, dt_s: float) -> bytes:
        self._due += dt_s * WAVES_S
        said = bytearray()
        while self._due >= 1 - 1e-9:
            self._due -= 1
            self._live(1 / WAVES_S)
            message = self._message()
            if self._enabled and self._streaming:
                said += message
        return b"" if self._muted else bytes(said)

    def feed(self, data: bytes) -> bytes:
        answer = b""
        for byte in data:
            if byte == 0x85:
                self._heard.clear()
            self._heard.append(byte)
            if len(self._heard) == 4 and self._heard[:2] == b"\x85\x01" and self._heard[3] == 1 ^ self._heard[2]:
                answer += self._obey(self._heard[2])
        return b"" if self._muted else answer

    def _obey(self, code: int) -> bytes:
        if code == ENABLE:
            self._enabled = True
            return framed(IDENTITY, f"V45.67 02/24/2008 {self.serial}  ".encode("ascii"))
        if code == DISABLE:
            self._enabled = self._streaming = False
        elif code in (START, STOP):
            self._streaming = self._enabled and code == START
        return b""

    def _live(self, dt_s: float) -> None:
        self._lived_s += dt_s
        self._search_s = max(0.0, self._search_s - dt_s)
        self._breathless_s = self._breathless_s + dt_s if self._holds_breath else 0.0
        self._breath += 0.0 if self._holds_breath else dt_s * (self.patient.resp_bpm or 0.0) / 60

    def _message(self) -> bytes:
        exhaling = self._breath % 1 > 0.5 and not self._holds_breath and not self._status
        ends = self._breath % 1 < (self.patient.resp_bpm or 0.0) / 60 / WAVES_S
        co2 = ETCO2_MMHG if exhaling else 0
        self._waves += 1
        wave = framed(WAVE, bytes((self._waves & 0xFF, co2, 0, self._status | (END_OF_BREATH if ends else 0))))
        return wave + (self._numerics() if self._waves % NUMERICS_EVERY == 0 else b"")

    def _numbers(self) -> tuple[int, int, int, int]:
        """etCO2 in mmHg, respiration, SpO2 and pulse as it shows them; FF where there is none."""
        etco2, resp = ETCO2_MMHG, _told(self.patient.resp_bpm, 0, 150)
        if self._breathless_s > GONE_S:
            etco2 = resp = 0
        if self._status:
            etco2 = resp = NONE
        if self._off or self._search_s > 0:
            return etco2, resp, NONE, NONE
        return etco2, resp, _told(self.patient.spo2_pct, 1, 100), _told(self.patient.pulse_bpm, 20, 250)

    def _numerics(self) -> bytes:
        etco2, resp, spo2, pulse = self._numbers()
        shown = etco2 if self.units == 1 or etco2 == NONE else round(etco2 / 7.50062 * 10)
        breathless = min(int(self._breathless_s), 254)
        co2_alarms = 0x01 if self._breathless_s > NO_BREATH_S else _beyond(resp, *LIMITS[2:4], 0x08, 0x10)
        co2_alarms |= _beyond(etco2, *LIMITS[:2], 0x02, 0x04)
        spo2_alarms = _beyond(spo2, *LIMITS[5:7], 0x02, 0x04) | _beyond(pulse, *LIMITS[7:], 0x08, 0x10)
        spo2_alarms |= 0x20 if self._off else 0x01 if spo2 == pulse == NONE else 0
        payload = bytes((
            *(EPOCH_S + int(self._lived_s)).to_bytes(4, "big"), shown, 0, resp, spo2, pulse, self._silenced * 0x02,
            0, 0, 0, co2_alarms, spo2_alarms, breathless, *LIMITS, self.units, self._drained * 0x80,
        ))
        return framed(NUMERICS, payload)

    def _take_finger_out(self) -> None:
        self._off = True

    def _put_finger_in(self) -> None:
        if self._off:
            self._off, self._search_s = False, SEARCH_S

    def _fast(self, status: int) -> None:
        self._status = status

    def _breathe(self, breathes: bool) -> None:
        self._holds_breath = not breathes

    def _drain(self) -> None:
        self._drained = True

    def _silence(self) -> None:
        self._silenced = True

    def _mute(self, muted: bool) -> None:
        self._muted = muted


def _told(value: float | None, low: int, high: int) -> int:
    """The number as shown: none where the device cannot measure it, never the nearest that it can."""
    return NONE if value is None or not low <= round(value) <= high else round(value)


def _beyond(value: int, high: int, low: int, over: int, under: int) -> int:
    return 0 if value == NONE else over if value > high else under if value < low else 0


def _make(patient: Patient, seed: int) -> CapnostreamTwin:
    return CapnostreamTwin(patient, f"B{FACTORY + seed:09d}")


TWIN = TwinSpec(
    "capnostream",
    ("serial", "tcp"),
    _make,
    baud=115200,
    hands=("probe_off", "probe_on", "line_out", "line_in", "occlude", "clear", "apnoea", "breathe", "low_battery",
           "silence", "mute", "unmute"),
)
