"""The twin of drivers.intellivue: a monitor that is associated with, says that it is there, and answers polls.

Its acceptance and its event are byte for byte those of the captured monitor, but for the last two bytes of the MAC
address, which the seed makes. Chosen here: numerics come every 1.024 s and 32 samples of the SpO2 wave every 0.256 s,
for as long as a poll asks; an association on which nothing comes for 20 s is aborted; a sensor that is off is invalid;
the cuff's date is that of its last good determination; etCO2 is 38 mmHg.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping

from drivers.intellivue.frames import fcs
from drivers.kit.framing import Delimited
from simulators.contract import Hands, TwinSpec
from simulators.cuff import HANDS as CUFF_HANDS
from simulators.cuff import OwnCuff
from simulators.patient import Patient
from simulators.probe import HANDS as PROBE_HANDS
from simulators.probe import Probe, whole

TICKS_S, EVERY, WAVE_EVERY = 8000, 8192, 2048
PLETH, PLETH_SAMPLES, PLETH_HIGHEST = 0x4BB4, 32, 4095
PLETH_PERIOD = 64  # ticks
FIRST = 1_954_816  # its clock in the capture
WAVES = bytes.fromhex("00 01 00 09")
DEAD_S = 20.0
ETCO2_MMHG, TEMPERATURE_C10 = 38, 367
INVALID, UNAVAILABLE, IN_ALARM, DEMO = 0x8000, 0x2000, 0x0002, 0x0400
BEAT, BREATH, PERCENT, MMHG, CELSIUS = 0x0AA0, 0x0AE0, 0x0220, 0x0F20, 0x17A0
NAN = b"\x00\x7f\xff\xff"
SPO2_LOW = 90
ACCEPTED = bytes.fromhex(
    "0E CE 05 08 13 01 00 16 01 02 80 00 14 02 00 02 C1 BE 31 80 A0 80 80 01 01 00 00 A2 80 A0 03 00 00 01 A5 80 "
    "30 80 80 01 00 81 02 51 01 00 00 30 80 80 01 00 81 0C 2A 86 48 CE 14 02 01 00 00 00 02 01 00 00 00 00 61 80 "
    "30 80 02 01 01 A0 80 61 80 A1 80 06 0C 2A 86 48 CE 14 02 01 00 00 00 03 01 00 00 A2 03 02 01 00 A3 05 A1 03 "
    "02 01 00 BE 80 28 80 02 01 02 81 48 80 00 00 00 40 00 00 00 00 00 00 00 00 80 00 00 80 00 00 00 00 00 00 00 "
    "00 01 00 2C 00 01 00 28 80 00 00 00 00 00 0F A0 00 00 03 E4 00 00 03 E4 FF FF FF FF 60 00 00 00 00 01 00 0C "
    "F0 01 00 08 8E 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00")
THERE = bytes.fromhex(
    "E1 00 00 02 00 01 01 1A 00 01 00 01 01 14 00 21 00 00 00 00 00 1D C2 00 0D 06 01 06 00 21 00 00 00 00 00 11 00 FC"
    "09 84 00 08 00 06 00 09 FB 02 9E 18 09 86 00 04 00 01 11 4D 09 1D 00 02 01 5C 09 28 00 12 00 08 50 68 69 6C 69 70"
    "73 00 00 06 4D 38 30 30 30 00 09 48 00 04 00 01 00 00 09 37 00 08 06 2D 06 2D 00 01 00 0B 09 46 00 02 40 00 09 0D"
    "00 02 00 02 09 35 00 02 00 01 09 82 00 02 00 00 09 0C 00 02 00 00 F1 FA 00 14 00 01 00 10 00 01 00 0C 00 06 00 01"
    "84 06 00 06 00 01 82 CF 09 A7 00 02 00 06 09 1E 00 24 00 22 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00"
    "00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 09 87 00 08 20 21 04 22 11 47 26 00 09 8F 00 04 00 1D C2 00 09 85"
    "00 3C 00 01 00 38 01 02 00 34 00 06 00 30 00 01 00 21 00 00 00 01 00 01 00 06 00 00 00 C9 00 01 00 09 00 00 00 3C"
    "00 01 00 2A 00 00 00 01 00 01 00 36 00 00 00 01 00 01 00 05 00 00 00 24")
MAC_AT = 48  # of its last two bytes
RELEASED = bytes.fromhex("0A 18 C1 16 61 80 30 80 02 01 01 A0 80 63 80 80 01 00 00 00 00 00 00 00 00 00")
ABORTED = bytes.fromhex("19 2E 11 01 03 C1 29 A0 80 A0 80 30 80 02 01 01 06 02 51 01 00 00 00 00 61 80 30 80 02 01 01"
                        "A0 80 64 80 80 01 01 00 00 00 00 00 00 00 00 00 00")


def framed(payload: bytes) -> bytes:
    """A payload as sent."""
    plain = b"\x11\x01" + struct.pack(">H", len(payload)) + payload
    out = bytearray()
    for byte in plain + fcs(plain):
        out += bytes((0x7D, byte ^ 0x20)) if byte in (0xC0, 0xC1, 0x7D) else bytes((byte,))
    return b"\xc0" + bytes(out) + b"\xc1"


class IntellivueTwin:
    """One monitor."""

    def __init__(self, patient: Patient, seed: int = 0) -> None:
        self.patient = patient
        self.there = bytearray(THERE)
        self.there[MAC_AT : MAC_AT + 2] = (0x9E18 + seed & 0xFFFF).to_bytes(2, "big")
        self._probe, self._cuff = Probe(patient), OwnCuff(patient)
        self.hands: Hands = {
            **self._probe.hands, **self._cuff.hands, "restart": self._restart,
            "sensor_out": lambda: self._leads(False), "sensor_in": lambda: self._leads(True),
            "demo": lambda: self._demonstrate(True), "real": lambda: self._demonstrate(False),
        }
        self._leads_on, self._demo = True, False
        self._framing = Delimited(b"\xc0", b"\xc1", 3000)
        self._ticks = FIRST
        self._due_s = 0.0
        self._date = bytes.fromhex("FF FF FF FF FF FF FF FF")
        self._seen = 0
        self._restart()

    def _restart(self) -> None:
        self._joined, self._poll_s, self._silent_s = False, 0.0, 0.0
        self._wave_s, self._wave_told = 0.0, False

    def connect(self) -> None:
        """The association outlives a line that is opened again."""
        self._framing.flush()

    def display(self) -> Mapping[str, float | str | bool | None]:
        """Its screen: probe, numbers, and the cuff."""
        probe = self._probe
        return {"probe": not probe.off, "spo2_pct": probe.spo2_pct, "pulse_bpm": probe.pulse_bpm,
                "phase": self._cuff.phase, "cuff_mmhg": round(self._cuff.pressure_mmhg), "fault": self._cuff.wrong}

    def feed(self, data: bytes) -> bytes:
        said = b"".join(self._heard(frame) for frame in self._framing.feed(data))
        return b"" if self._probe.muted else said

    def _heard(self, frame: bytes) -> bytes:
        plain, escaped = bytearray(), False
        for byte in frame[1:-1]:
            if byte == 0x7D:
                escaped = True
                continue
            plain.append(byte ^ 0x20 if escaped else byte)
            escaped = False
        if len(plain) < 6 or fcs(bytes(plain[:-2])) != plain[-2:]:
            return b""
        payload = bytes(plain[4:-2])
        self._silent_s = 0.0
        if payload[:1] == b"\x0d" and not self._joined:
            self._joined, self._poll_s = True, 0.0
            return framed(ACCEPTED) + framed(bytes(self.there))
        if payload[:1] == b"\x09" and self._joined:
            self._restart()
            return framed(RELEASED)
        if self._joined and payload[24:26] == b"\xf1\x3b":
            lasts_s = int.from_bytes(payload[-4:], "big") / TICKS_S
            if payload[30:34] == b"\x00\x01\x00\x06":
                self._poll_s = lasts_s
            elif payload[30:34] == WAVES:
                self._wave_s, self._wave_told = lasts_s, False
        return b""

    def step(self, dt_s: float) -> bytes:
        self._due_s += dt_s
        said = bytearray()
        while self._due_s >= WAVE_EVERY / TICKS_S - 1e-9:
            self._due_s -= WAVE_EVERY / TICKS_S
            self._ticks = self._ticks + WAVE_EVERY & 0xFFFFFFFF
            said += self._wave(WAVE_EVERY / TICKS_S)
            if self._ticks % EVERY == FIRST % EVERY:
                said += self._tick(EVERY / TICKS_S)
        return b"" if self._probe.muted else bytes(said)

    def _tick(self, dt_s: float) -> bytes:
        self._probe.live(dt_s)
        if self._cuff.live(dt_s) == "ok":
            self._seen += 1
            self._date = bytes.fromhex(f"20 26 01 01 {self._seen // 60 % 24:02d} {self._seen % 60:02d} 00 00")
        if not self._joined:
            return b""
        self._silent_s += dt_s
        if self._silent_s > DEAD_S:
            self._restart()
            return framed(ABORTED)
        self._poll_s -= dt_s
        return self._reply() if self._poll_s > 0 else b""

    def _reply(self) -> bytes:
        """The numerics in two parts, and the end of them."""
        observations = self._observations()
        half = len(observations) // 2
        parts = (self._poll(observations[:half], 1), self._poll(observations[half:], 2), self._poll([], None))
        return b"".join(map(framed, parts))

    def _wave(self, dt_s: float) -> bytes:
        """The next samples of the SpO2 wave; their form with the first."""
        if not self._joined or self._wave_s <= 0:
            return b""
        self._wave_s -= dt_s
        ago_s = [one * PLETH_PERIOD / TICKS_S for one in reversed(range(PLETH_SAMPLES))]
        values = map(self.patient.pleth, ago_s)
        samples = struct.pack(f">{PLETH_SAMPLES}H", *(round(min(max(one, 0.0), 1.0) * PLETH_HIGHEST) for one in values))
        state = (INVALID if self._probe.off else 0) | (DEMO if self._demo else 0)
        attributes = [(0x096E, struct.pack(">HHH", PLETH, state, len(samples)) + samples)]
        if not self._wave_told:
            self._wave_told = True
            scale = bytes.fromhex("00 00 00 00 00 00 00 01") + struct.pack(">HH", 0, PLETH_HIGHEST)
            form = struct.pack(">HBBH", PLETH_SAMPLES, 16, 12, 0x3000)
            attributes = [(0x096D, form), (0x098D, struct.pack(">I", PLETH_PERIOD)), (0x096F, scale), *attributes]
        packed = b"".join(struct.pack(">HH", name, len(data)) + data for name, data in attributes)
        return framed(self._poll([struct.pack(">HHH", 0x8300, len(attributes), len(packed)) + packed], None, WAVES))

    def _poll(self, observations: list[bytes], link: int | None, polled: bytes = b"\x00\x01\x00\x06") -> bytes:
        context = struct.pack(">HHH", 1, len(observations), len(b"".join(observations))) + b"".join(observations)
        contexts = struct.pack(">HH", 1, len(context)) + context if observations else bytes(4)
        body = struct.pack(">HHI", 1, 0, self._ticks) + b"\xff" * 8 + polled + bytes(2) + contexts
        action = bytes.fromhex("00 21 00 00 00 00") + struct.pack(">HH", 0xF13B, len(body)) + body
        command = struct.pack(">HHH", 1, 7, len(action)) + action
        linked = b"" if link is None else bytes((link, link))
        operation = 2 if link is None else 5
        return bytes.fromhex("E1 00 00 02") + struct.pack(">HH", operation, len(linked + command)) + linked + command

    def _observations(self) -> list[bytes]:
        patient, probe = self.patient, self._probe
        heart = whole(patient.pulse_bpm, 15, 300) if self._leads_on else None
        resp = whole(patient.resp_bpm, 0, 120) if self._leads_on else None
        low = IN_ALARM if probe.spo2_pct is not None and probe.spo2_pct < SPO2_LOW else 0
        return [
            self._observation(0x8272, "NBP", cuff=True),
            self._observation(0x82CF, "HR", self._value(0x4182, heart, BEAT)),
            self._observation(0x82D6, "RR", self._value(0x500A, resp, BREATH)),
            self._observation(0x8400, "SpO2", self._value(0x4BB8, probe.spo2_pct, PERCENT, low)),
            self._observation(0x8406, "Pulse", self._value(0x4822, probe.pulse_bpm, BEAT)),
            self._observation(0x8700, "Temp", self._value(0x4B48, TEMPERATURE_C10, CELSIUS, exponent=-1)),
            self._observation(0x8701, "CO2", self._value(0x50B0, ETCO2_MMHG, MMHG)),
        ]

    def _value(self, what: int, number: int | None, unit: int, state: int = 0, exponent: int = 0) -> bytes:
        state |= DEMO if self._demo else 0
        if number is None:
            return struct.pack(">HHH", what, state | INVALID, unit) + NAN
        return struct.pack(">HHHb", what, state, unit, exponent) + number.to_bytes(3, "big", signed=True)

    def _observation(self, handle: int, label: str, value: bytes = b"", *, cuff: bool = False) -> bytes:
        text = label.ljust(6).encode("utf-16-be") + b"\0\0"
        attributes = [(0x0927, struct.pack(">H", len(text)) + text)]
        if cuff:
            last = self._cuff.last if self._cuff.phase == "idle" else None
            numbers = last[:3] if last else (None,) * 3
            values = b"".join(self._value(what, number, MMHG)
                              for what, number in zip((0x4A05, 0x4A06, 0x4A07), numbers, strict=True))
            attributes += [(0x0990, self._date), (0x094B, struct.pack(">HH", 3, len(values)) + values)]
        else:
            attributes.append((0x0950, value))
        packed = b"".join(struct.pack(">HH", name, len(data)) + data for name, data in attributes)
        return struct.pack(">HHH", handle, len(attributes), len(packed)) + packed

    def _leads(self, on: bool) -> None:
        self._leads_on = on

    def _demonstrate(self, on: bool) -> None:
        self._demo = on


def _make(patient: Patient, seed: int) -> IntellivueTwin:
    return IntellivueTwin(patient, seed)


TWIN = TwinSpec("intellivue", ("serial", "tcp"), _make, baud=115200,
                hands=(*PROBE_HANDS, *CUFF_HANDS, "measure", "restart", "sensor_out", "sensor_in", "demo", "real"))
