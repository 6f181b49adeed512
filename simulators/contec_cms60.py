"""The twin of drivers.contec_cms60: a Contec CMS60C on protocol V7.0, answering as the recorded real one did.

Answers marked REAL are byte for byte those of the recorded session; the rest follows the document's packet table.
Whether a real device ends its stream without a keep-alive is not known: `keep_alive_s` makes this twin do so after that
long; None, the default, never.
"""

from __future__ import annotations

from collections.abc import Mapping

from drivers.contec_cms60 import packet
from simulators.contract import Hands, TwinSpec
from simulators.patient import Patient

FRAMES_S = 60
COMMAND = 9
SEARCH_S = 6.0  # the recorded device searched for six seconds after the finger came
SEARCHING_SIGNAL, SIGNAL = 4, 7
BEEP_FRAMES = 2
BAR = 15
FREE = bytes.fromhex("0C 80")  # REAL
ANSWERS = {
    0xA0: bytes.fromhex("06 80 80 87"),  # REAL; the document has neither the command nor the answer
    0xA8: bytes.fromhex("02 80 80 C3 CD D3 B6 B0 C3 02 81 FF D7 80 80 80 80 80"),  # REAL: CMS60C, W
    0xA9: bytes.fromhex("03 80 C3 EF EE F4 E5 E3 80"),  # REAL: Contec
    0xAA: bytes.fromhex("04 80 A0 A0 A0 F5 F3 E5 F2"),  # REAL: "   user"
    0xAB: packet(0x05, 0, *b"user  "),
    0xAC: bytes.fromhex("0E 80 81"),  # REAL
    0xAD: packet(0x10, 1),
    0xB0: bytes.fromhex("11 80 81 81 80 80 80 80 80"),  # REAL
    0xB1: packet(0x0B, 0xB1, 0x00),  # the clock is set
    0xB2: packet(0x0B, 0xB2, 0x00),
}
START, STOP, STOP_STORAGE, KEEP_ALIVE = 0xA1, 0xA2, 0xA7, 0xAF
NOT_SUPPORTED = 0x05


class ContecTwin:
    """One oximeter. It says nothing by itself until told to start; a finger that comes is searched for 6 s."""

    def __init__(self, patient: Patient) -> None:
        self.patient = patient
        self.keep_alive_s: float | None = None
        self.hands: Hands = {
            "probe_off": self._take_finger_out, "probe_on": self._put_finger_in, "search": self._search,
            "mute": lambda: self._mute(True), "unmute": lambda: self._mute(False),
        }
        self._off = self._muted = self._streaming = False
        self._search_s = 0.0
        self._unspoken_s = 0.0
        self._due = 0.0
        self._beat = 0.0
        self._buffer = bytearray()

    def connect(self) -> None:
        self._streaming, self._due, self._unspoken_s = False, 0.0, 0.0
        self._buffer.clear()

    def display(self) -> Mapping[str, float | str | bool | None]:
        """The front: probe, and the two numbers it shows."""
        seen = not self._off and self._search_s <= 0
        return {"probe": not self._off, "spo2_pct": _rounded(self.patient.spo2_pct) if seen else None,
                "pulse_bpm": _rounded(self.patient.pulse_bpm) if seen else None}

    def step(self, dt_s: float) -> bytes:
        self._unspoken_s += dt_s
        if self.keep_alive_s is not None and self._unspoken_s > self.keep_alive_s:
            self._streaming = False
        if not self._streaming:
            self._search_s = max(0.0, self._search_s - dt_s)
            return b""
        self._due += dt_s * FRAMES_S
        frames = int(self._due + 1e-9)
        self._due -= frames
        said = b"".join(self._real_time((frames - 1 - i) / FRAMES_S) for i in range(frames))
        return b"" if self._muted else said

    def feed(self, data: bytes) -> bytes:
        answer = bytearray()
        for byte in data:
            if byte < 0x80:
                self._buffer.clear()
                if byte != 0x7D:
                    continue
            elif not self._buffer:
                continue
            self._buffer.append(byte)
            if len(self._buffer) == COMMAND:
                answer += self._obey(self._buffer[2] & 0x7F | (self._buffer[1] & 1) << 7)
                self._buffer.clear()
        return b"" if self._muted else bytes(answer)

    def _obey(self, code: int) -> bytes:
        self._unspoken_s = 0.0
        if code == START:
            self._streaming, self._due = True, 0.0
            return b""
        if code in (STOP, STOP_STORAGE):
            self._streaming = self._streaming and code != STOP
            return FREE
        return b"" if code == KEEP_ALIVE else ANSWERS.get(code, packet(0x0B, code, NOT_SUPPORTED))

    def _real_time(self, ago_s: float) -> bytes:
        pulse, spo2, index = self.patient.pulse_bpm, self.patient.spo2_pct, self.patient.perfusion_index_pct
        if self._off:
            return packet(0x01, 0x90 | SEARCHING_SIGNAL, 0x40, 0x15, 0xFF, 0x7F, 0xFF, 0xFF)  # REAL: no finger
        wave = round(min(max(self.patient.pleth(ago_s), 0.0), 1.0) * 127)
        bar = wave * BAR // 127
        if self._search_s > 0 or (pulse is None and spo2 is None):
            self._search_s = max(0.0, self._search_s - 1 / FRAMES_S)
            return packet(0x01, SIGNAL, 0x80 | wave, 0x10 | bar, 0xFF, 0x7F, 0xFF, 0xFF)
        self._beat += (pulse or 0.0) / 60 / FRAMES_S
        beep = 0x40 if pulse is not None and self._beat % 1 < BEEP_FRAMES * pulse / 60 / FRAMES_S else 0
        hundredths = _told(None if index is None else index * 100, 0, 2200, 0xFFFF)
        return packet(
            0x01, SIGNAL | beep, wave, bar | (0x10 if hundredths == 0xFFFF else 0),
            _told(pulse, 1, 254, 0xFF), _told(spo2, 1, 100, 0x7F), hundredths & 0xFF, hundredths >> 8,
        )

    def _take_finger_out(self) -> None:
        self._off = True

    def _put_finger_in(self) -> None:
        if self._off:
            self._off = False
            self._search()

    def _search(self) -> None:
        self._search_s = SEARCH_S

    def _mute(self, muted: bool) -> None:
        self._muted = muted


def _told(value: float | None, low: int, high: int, missing: int) -> int:
    """The number in the device's code: missing where it cannot say it, never the nearest that it can."""
    return missing if value is None or not low <= round(value) <= high else round(value)


def _rounded(value: float | None) -> int | None:
    return None if value is None else round(value)


def _make(patient: Patient, seed: int) -> ContecTwin:
    return ContecTwin(patient)


TWIN = TwinSpec(
    "contec_cms60",
    ("serial", "tcp"),
    _make,
    baud=115200,
    hands=("probe_off", "probe_on", "search", "mute", "unmute"),
)
