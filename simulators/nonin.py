"""The twin of drivers.nonin: an oximeter that streams data format 2, 7, 8 or 13 and obeys Nonin's commands.

The 9560 leaves the factory in format 13 (spot checks); this twin starts in 7, which is what a bedside needs. What the
specification does not give is simulated plainly: every average follows the patient at once, motion is ARTF at once and
OOT after 3 s, a beat raises the perfusion bits for 12 frames, and a spot check is ready every 8 s with the finger in.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

from drivers.nonin import GPRF, RPRF
from drivers.nonin.frames import ACK, DF13_HEAD, HR_HIGH, HR_LOW, HR_MISSING, NAK, SPO2_HIGH, SPO2_MISSING
from simulators.contract import Hands, TwinSpec
from simulators.patient import Patient

FRAMES_S = 75
PACKET_FRAMES = 25
BEAT_FRAMES = 12
DISPLAY_S = 1.5  # display values are updated so often
HOLD_S = 10.0  # a display keeps its last reading so long after the finger left
CHOICE_S = 5.0  # the format may be chosen so long after the connect
SPOT_CHECK_S = 8.0
EVERY_S = {"df2": 1 / FRAMES_S, "df7": 1 / FRAMES_S, "df8": 1.0, "df13": SPOT_CHECK_S}
OOT_AFTER_S = 3.0
LONGEST_COMMAND = 10  # bytes: setting the clock
FIRMWARE = 48
FORMATS = {2: "df2", 7: "df7", 8: "df8", 13: "df13"}
EPOCH = datetime(2026, 1, 1)  # the device's own clock before anybody sets it


class NoninTwin:
    """One oximeter. `format` is what it sends: "df2", "df7", "df8" or "df13", kept over a reconnect like a real one."""

    def __init__(self, patient: Patient) -> None:
        self.patient = patient
        self.format = "df7"
        self.hands: Hands = {
            "probe_off": self.probe_off, "probe_on": self.probe_on,
            "motion": lambda: self._move(True), "still": lambda: self._move(False),
            "low_perfusion": lambda: self._perfuse(RPRF), "good_perfusion": lambda: self._perfuse(GPRF),
            "low_battery": self._drain, "mute": lambda: self._mute(True), "unmute": lambda: self._mute(False),
        }
        self._colour = GPRF
        self._battery_low = self._moving = self._muted = self._off = False
        self.wire_speed = 1.0
        self._since_connect_s = self._lived_s = 0.0
        self._off_s = self._finger_in_s = self._moving_s = 0.0
        self._due_s = EVERY_S[self.format]  # until the next frame or message
        self._frame = 0  # frames since the start of the stream
        self._beat = 0.0  # beats since the start, whole and part
        self._display = (HR_MISSING, SPO2_MISSING)
        self._display_s = 0.0  # since the last update
        self._packet = self._display, self._display, 0  # what this packet says: pulse and SpO2, shown, and its time
        self._set_at: tuple[datetime, float] = (EPOCH, 0.0)
        self._buffer = bytearray()

    def connect(self) -> None:
        self._since_connect_s = 0.0
        self._buffer.clear()
        self._begin()

    def probe_off(self) -> None:
        """The finger leaves: recordings go missing at once, the display holds for 10 s."""
        if not self._off:
            self._off, self._off_s, self._finger_in_s = True, 0.0, 0.0

    def probe_on(self) -> None:
        self._off = False

    def display(self) -> Mapping[str, float | str | bool | None]:
        """The front: probe, and the two numbers it shows."""
        hr, spo2 = self._display
        return {"probe": not self._off, "spo2_pct": None if spo2 == SPO2_MISSING else spo2,
                "pulse_bpm": None if hr == HR_MISSING else hr, "moving": self._moving}

    def step(self, dt_s: float) -> bytes:
        said = bytearray()
        left_s = dt_s
        self._due_s = min(self._due_s, EVERY_S[self.format])
        while self._due_s <= left_s + 1e-9:
            left_s = max(0.0, left_s - self._due_s)
            self._live(self._due_s)
            self._due_s = EVERY_S[self.format]
            said += self._message(left_s)
        self._due_s -= left_s
        self._live(left_s)
        return b"" if self._muted else bytes(said)

    def feed(self, data: bytes) -> bytes:
        self._buffer += data
        answer = bytearray()
        while self._buffer:
            if self._buffer[0] != 0x02:
                del self._buffer[0]
                continue
            if len(self._buffer) < 3:
                break
            length = self._buffer[2] + 4
            if length > LONGEST_COMMAND:  # no command is so long: whoever began it will not end it
                del self._buffer[0]
                continue
            if len(self._buffer) < length:
                break
            answer += self._obey(bytes(self._buffer[:length]))
            del self._buffer[:length]
        return b"" if self._muted else bytes(answer)

    def _obey(self, said: bytes) -> bytes:
        if said[-1] != 0x03:
            return NAK
        if said[1:4] == b"\x70\x02\x02" and said[4] in FORMATS:
            if self._since_connect_s > CHOICE_S:
                return NAK
            self.format = FORMATS[said[4]]
            self._begin()
            return ACK
        if said[1:3] == b"\x72\x06":
            return self._set_clock(said[3:9])
        if said[1:3] == b"\x72\x00":
            now = self._clock()
            fields = (now.year % 100, now.month, now.day, now.hour, now.minute, now.second)
            return bytes((0x02, 0xF2, 0x06, *fields, 0x03))
        return NAK

    def _set_clock(self, fields: bytes) -> bytes:
        year, month, day, hour, minute, second = fields
        try:
            self._set_at = (datetime(2000 + year, month, day, hour, minute, second), self._lived_s)
        except ValueError:
            return NAK
        return b""  # the device sets its clock without a word

    def _clock(self) -> datetime:
        set_to, at_s = self._set_at
        return set_to + timedelta(seconds=self._lived_s - at_s)

    def _begin(self) -> None:
        self._due_s, self._frame = EVERY_S[self.format], 0

    def _live(self, dt_s: float) -> None:
        self._since_connect_s += dt_s / self.wire_speed
        self._lived_s += dt_s
        self._display_s += dt_s
        self._off_s = self._off_s + dt_s if self._off else 0.0
        self._finger_in_s = 0.0 if self._off else self._finger_in_s + dt_s
        self._moving_s = self._moving_s + dt_s if self._moving else 0.0
        self._beat += dt_s * (self.patient.pulse_bpm or 0.0) / 60

    def _recorded(self) -> tuple[int, int]:
        """Pulse and SpO2 as measured now, in the device's own codes."""
        if self._off:
            return HR_MISSING, SPO2_MISSING
        return (
            _told(self.patient.pulse_bpm, HR_LOW, HR_HIGH, HR_MISSING),
            _told(self.patient.spo2_pct, 0, SPO2_HIGH, SPO2_MISSING),
        )

    def _displayed(self) -> tuple[int, int]:
        """What the display shows: updated every 1.5 s, held for 10 s after the finger left."""
        if self._off:
            if self._off_s > HOLD_S:
                self._display = (HR_MISSING, SPO2_MISSING)
        elif self._display_s >= DISPLAY_S or HR_MISSING in (self._display[0], self._recorded()[0]):
            self._display, self._display_s = self._recorded(), 0.0
        return self._display

    def _status(self) -> int:
        pulsing = not self._off and self.patient.pulse_bpm and self._in_beat()
        return (
            0x80 | (0x20 if self._moving else 0) | (0x10 if self._moving_s > OOT_AFTER_S else 0)
            | (0x08 if self._off else 0) | (self._colour if pulsing else 0) | (self._frame % PACKET_FRAMES == 0)
        )

    def _in_beat(self) -> bool:
        frames_a_beat = FRAMES_S * 60 / (self.patient.pulse_bpm or 60.0)
        return self._beat % 1 * frames_a_beat < BEAT_FRAMES

    def _stream_frame(self, ago_s: float) -> bytes:
        number = self._frame % PACKET_FRAMES
        if number == 0:
            self._packet = self._recorded(), self._displayed(), int(self._lived_s * 3) & 0x3FFF
        value = self._float(number + 1, *self._packet)
        wave = 0.0 if self._off else min(max(self.patient.pleth(ago_s), 0.0), 1.0)
        if self.format == "df2":
            body = bytes((0x01, self._status(), round(wave * 255), value))
        else:
            body = bytes((self._status(), *round(wave * 65535).to_bytes(2, "big"), value))
        self._frame += 1
        return body + bytes((sum(body) & 0xFF,))

    def _float(self, number: int, recorded: tuple[int, int], display: tuple[int, int], thirds: int) -> int:
        """The byte FLOAT of frame 1..25. A packet's time is of one moment, though two frames say it."""
        stat2 = (0x20 if recorded[0] != HR_MISSING and not self._moving else 0) | self._battery_low
        pulses = {1: recorded[0], 14: recorded[0], 20: display[0], 22: display[0]}
        if number in pulses:
            return pulses[number] >> 7
        if number - 1 in pulses:
            return pulses[number - 1] & 0x7F
        return {
            3: recorded[1], 10: recorded[1], 11: recorded[1], 16: recorded[1], 9: display[1], 17: display[1],
            4: FIRMWARE, 6: thirds >> 7, 7: thirds & 0x7F, 8: stat2,
        }.get(number, 0)

    def _message(self, ago_s: float) -> bytes:
        """What is due now; `ago_s` is how long before the end of this step that was."""
        if self.format == "df8":
            return self._four()
        if self.format != "df13":
            return self._stream_frame(ago_s)
        if self._finger_in_s < SPOT_CHECK_S - 1e-6:
            self._due_s = SPOT_CHECK_S - self._finger_in_s
            return b""
        return self._spot_check()

    def _four(self) -> bytes:
        hr, spo2 = self._displayed()
        flags = (0x20 if self._moving_s > OOT_AFTER_S else 0) | (0x04 if self._moving else 0)
        flags |= 0x10 if self._colour == RPRF else 0
        good = 0x20 if not self._off and not self._moving else 0
        return bytes((0x80 | flags | hr >> 7, hr & 0x7F, spo2, good | (0x08 if self._off else 0) | self._battery_low))

    def _spot_check(self) -> bytes:
        hr, spo2 = self._recorded()
        missing = hr == HR_MISSING or spo2 == SPO2_MISSING
        now = self._clock()
        stamp = (now.year // 100, now.year % 100, now.month, now.day, now.hour, now.minute, now.second, 0)
        quality = 0x01 if missing else 0x00 if self._moving else 0x02
        origin = int(self._battery_low)
        data = bytes((*(n // 10 << 4 | n % 10 for n in stamp), quality, origin, hr >> 8, hr & 0xFF, 0, spo2))
        return DF13_HEAD + len(data).to_bytes(2, "big") + data + bytes((sum(data) & 0xFF, 0x03))

    def _move(self, moving: bool) -> None:
        self._moving = moving

    def _perfuse(self, colour: int) -> None:
        self._colour = colour

    def _drain(self) -> None:
        self._battery_low = True

    def _mute(self, muted: bool) -> None:
        self._muted = muted


def _told(value: float | None, low: int, high: int, missing: int) -> int:
    """The number in the device's code: missing where it cannot measure it, never the nearest that it can."""
    return missing if value is None or not low <= round(value) <= high else round(value)


def _make(patient: Patient, seed: int) -> NoninTwin:
    return NoninTwin(patient)


TWIN = TwinSpec(
    "nonin",
    ("serial", "tcp"),
    _make,
    hands=(
        "probe_off", "probe_on", "motion", "still", "low_perfusion", "good_perfusion", "low_battery", "mute", "unmute",
    ),
)
