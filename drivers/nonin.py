"""Nonin oximeters (OEM III, Xpod, 3150, 9560): serial data formats 2, 7, 8 and 13, whichever the device sends.

Source: Nonin 9560 OEM specification 6470-000-01 (grade A); b6 of STATUS from OEM III/Xpod. 9600 8N1, no flow control.
The device pushes; the host may choose the format in the first 5 s after connecting, and the device remembers it. A
technician rarely knows which that was, so the framing recognises all four and the identity says which one is heard.

Data format 2: 5-byte frames, 75/s; 25 frames are a packet, 3 packets/s. Format 7 is the same with a 16-bit wave.

    DF2   01 | STATUS | PLETH     | FLOAT | CHK        CHK   sum of the four bytes before it, mod 256
    DF7   STATUS | PLETH MSB LSB  | FLOAT | CHK

    STATUS  1 D A O S R G Y    D sensor disconnected (SNSD)  A artifact on this pulse (ARTF)  O out of track (OOT)
                               S sensor alarm (SNSA: finger out, data unusable)  Y first frame of a packet (SYNC)
                               R, G perfusion of this pulse: G good, RG marginal, R low; 12 frames a beat, else 0
    FLOAT   by frame 1..25: 1,2 HR  3 SpO2  4 SREV (firmware)  6,7 TMR (1/3 s)  8 STAT2 (b5 SPA, b0 LOW BAT)
            9 SpO2-D  10 SpO2 fast  11 SpO2 beat to beat  14,15 E-HR  16 E-SpO2  17 E-SpO2-D  20,21 HR-D  22,23 E-HR-D
    HR      ((MSB & 3) << 7) | (LSB & 7F), /min; 511 missing.  SpO2  b6..b0, %; 127 missing

Data format 8: 4 bytes once a second, display values, no checksum, known only by b7 = 1 0 0 0.

    1 R O L M A H H | 0 HR6..HR0 | 0 SpO2 | 0 R P R S R R B    O OOT  L low, M marginal perfusion  A ARTF  S SNSA
                                                               H HR8, HR7  P SPA  B low battery

Data format 13: one message a spot check (the factory default of the 9560).

    00 02 00 0D | length, 2 bytes | century YY MM DD hh mm ss 00 (BCD) | STATUS MSB (b1 SPA, b0 NOMS: no measurement)
    | STATUS LSB (b4 MEM: from memory, b0 LOWBAT) | b0: HR8 | HR7..HR0 | - | SpO2 | ... | CHK: sum of the data | 03

What is made of it:

* A packet gives pulse and SpO2 once, from the recording values: the same 4-beat average as the display's, but never
  held (a display keeps its last reading for 10 s after the finger left), and between SYNC and SREV: where SREV is not
  the one already known, frames were lost or doubled. SNSA: invalid, sensor_off, at once.
* OOT: the artifact lasts, the values are questionable. ARTF: one pulse of the average is bad; valid, reason artifact.
* Missing with the finger in: unavailable, searching. Low perfusion: valid, reason low_perfusion.
* Format 8 has no checksum: it is believed from the second frame on, and a jump is questionable until it repeats.
* Format 13: one from memory is not of now and gives no number; one of now is valid, reason spot_check_only. Between
  spot checks such a device is silent, and the link says so: continuous watching needs 2, 7 or 8.
"""

from __future__ import annotations

from collections.abc import Sequence

from drivers.contract import (
    BadFrame,
    DeviceAlarm,
    DeviceAlarms,
    Framing,
    Heard,
    Identity,
    Line,
    Question,
    Reading,
    Say,
    Setting,
    Spec,
    Validity,
    Wave,
)

ACK, NAK = b"\x06", b"\x15"
FRAME, PACKET_FRAMES = 5, 25
PACKET = FRAME * PACKET_FRAMES
DF13_HEAD = b"\x00\x02\x00\x0d"
DF13_SHORTEST, DF13_LONGEST = 14, 64  # bytes of data; the length may grow in later firmware
PLETH_HZ = 75.0
HR_MISSING, SPO2_MISSING = 511, 127
HR_LOW, HR_HIGH = 18, 321  # what the device can measure, /min
JUMP_BPM, JUMP_PCT = 20, 4  # between two frames of format 8, one second apart
COLOUR_PACKETS = 9  # a pulse's perfusion colour is believed for 3 s
NEW_DEVICE_PACKETS = 9  # another firmware number for 3 s: another device was plugged in
SYNC, SNSA, OOT, ARTF, SNSD = 0x01, 0x08, 0x10, 0x20, 0x40
GPRF, RPRF = 0x02, 0x04

SELECT = {
    name: Say(f"select_{name}", bytes((0x02, 0x70, 2, 2, code, 0x03)), timeout_s=0.5)
    for name, code in (("df2", 2), ("df7", 7), ("df8", 8), ("df13", 13))
}
LOW_BATTERY = DeviceAlarm("low_battery", "low", "LOWBAT", "Battery low")


def good_frame(frame: bytes | bytearray, df2: bool) -> bool:
    """Whether these five bytes are a frame of format 2 (else 7): start, status bit and checksum."""
    marked = frame[0] == 0x01 and frame[1] >= 0x80 if df2 else frame[0] >= 0x80
    return marked and sum(frame[:4]) & 0xFF == frame[4]


class NoninFraming:
    """Cuts out whole packets (formats 2 and 7), 4-byte frames (8), spot checks (13) and the single bytes ACK and NAK.

    25 checksums with SYNC in the first frame alone are proof enough of format 2 or 7 at any time. Format 8 has no
    checksum: two neighbours must be alike, and three where 2 or 7 was heard before (no three can be found in those).
    An ACK or NAK is believed once after each (re)open, and only where a frame may begin.
    """

    def __init__(self) -> None:
        self.dropped = 0
        self.format: str | None = None  # the one last heard
        self._buffer = bytearray()
        self._good = 0  # frames at the head of the buffer that have been checked
        self._stray = 0
        self._reply_due = True

    def feed(self, data: bytes) -> list[bytes]:
        """The whole frames that `data` completes."""
        frames: list[bytes] = []
        for start in range(0, len(data), 256):
            self._buffer += data[start : start + 256]
            while self._buffer and (frame := self._next()) is not None:
                if frame:
                    frames.append(frame)
        return frames

    def flush(self) -> None:
        """Forget what is incomplete, and which format was heard."""
        self._buffer.clear()
        self.format, self._good, self._stray, self._reply_due = None, 0, 0, True

    def _next(self) -> bytes | None:
        """A frame; nothing yet (None); or b'' after a step that made none."""
        head = self._buffer[0]
        if self._reply_due and not self._stray and head in (ACK[0], NAK[0]):
            return self._reply(0)
        if head == 0x01:
            return self._packet(True)
        if head >= 0x80:
            return self._packet(False) if self.format != "df8" and self._may_be_df7() else self._four()
        return self._spot_check() if head == 0x00 else self._drop()

    def _may_be_df7(self) -> bool:
        """Format 7 and 8 exclude each other by the sixth byte: a STATUS (80 or more) in 7, a pulse (below 80) in 8."""
        buffer = self._buffer
        if len(buffer) > FRAME and buffer[FRAME] < 0x80 and not (self._reply_due and buffer[FRAME] in (ACK[0], NAK[0])):
            return False
        return len(buffer) < FRAME or (buffer[0] & SYNC == 1 and good_frame(buffer[:FRAME], df2=False))

    def _packet(self, df2: bool) -> bytes | None:
        buffer = self._buffer
        while (at := self._good * FRAME) < PACKET:
            if at and self._reply_due and len(buffer) > at and buffer[at] in (ACK[0], NAK[0]):
                return self._reply(at)
            if len(buffer) < at + FRAME:
                return None
            frame = buffer[at : at + FRAME]
            first = frame[1 if df2 else 0] & SYNC == 1
            if not good_frame(frame, df2) or first != (self._good == 0):
                return self._drop()
            self._good += 1
        return self._take(PACKET, "df2" if df2 else "df7")

    def _four(self) -> bytes | None:
        buffer = self._buffer
        need = {"df8": 4, "df2": 12, "df7": 12}.get(self.format or "", 8)
        if any((byte >= 0x80) != (i % 4 == 0) for i, byte in enumerate(buffer[:need])):
            return self._drop()
        if len(buffer) < need:
            return None
        if not all(_alike(buffer[at : at + 4], buffer[at + 4 : at + 8]) for at in range(0, need - 4, 4)):
            return self._drop()
        return self._take(4, "df8")

    def _spot_check(self) -> bytes | None:
        buffer = self._buffer
        if not DF13_HEAD.startswith(buffer[:4]):
            return self._drop()
        if len(buffer) < 6:
            return None
        length = buffer[4] << 8 | buffer[5]
        if not DF13_SHORTEST <= length <= DF13_LONGEST:
            return self._drop()
        if len(buffer) < length + 8:
            return None
        if not _spot_check_holds(buffer[: length + 8]):
            return self._drop()
        return self._take(length + 8, "df13")

    def _reply(self, at: int) -> bytes:
        reply = bytes(self._buffer[at : at + 1])
        del self._buffer[at]
        self._reply_due, self.format = False, None  # after an ACK another format may begin
        return reply

    def _take(self, length: int, form: str) -> bytes:
        frame = bytes(self._buffer[:length])
        del self._buffer[:length]
        self.format, self._good, self._stray = form, 0, 0
        return frame

    def _drop(self) -> bytes:
        del self._buffer[0]
        self.dropped += 1
        self._stray += 1
        self._good = 0
        if self.format == "df8":
            self.format = None  # out of step: it must repeat again
        return b""


def _alike(one: bytearray, other: bytearray) -> bool:
    """Two neighbours of format 8: reserved bits clear, numbers possible, and no more apart than a second allows."""
    if any(frame[0] & 0x40 or frame[3] & 0x56 for frame in (one, other)):
        return False
    numbers = _numbers8(one), _numbers8(other)
    return not any(_absurd(*pair) for pair in numbers) and not _jumped(*numbers)


def _numbers8(frame: bytes | bytearray) -> tuple[int, int]:
    return (frame[0] & 3) << 7 | frame[1], frame[2]


def _absurd(hr: int, spo2: int) -> bool:
    """Neither missing nor possible; 0 is what some firmware says for missing."""
    return not (hr in (0, HR_MISSING) or HR_LOW <= hr <= HR_HIGH) or not (spo2 <= 100 or spo2 == SPO2_MISSING)


def _spot_check_holds(frame: bytes | bytearray) -> bool:
    whole = len(frame) >= DF13_SHORTEST + 8 and len(frame) == (frame[4] << 8 | frame[5]) + 8
    return whole and frame[-1] == 0x03 and sum(frame[6:-2]) & 0xFF == frame[-2]


Verdict = tuple[Validity, str | None]  # what the status bits make of both numbers


def _status(*, unplugged: bool, off: bool, out_of_track: bool, artifact: bool, low: bool) -> Verdict:
    if unplugged:
        return Validity.INVALID, "sensor_disconnected"
    if off:
        return Validity.INVALID, "sensor_off"
    if out_of_track:
        return Validity.QUESTIONABLE, "artifact"
    return Validity.VALID, "artifact" if artifact else "low_perfusion" if low else None


def _readings(hr: int, spo2: int, verdict: Verdict) -> list[Heard]:
    if verdict[0] not in (Validity.VALID, Validity.QUESTIONABLE):
        return [Reading("pulse_bpm", None, *verdict), Reading("spo2_pct", None, *verdict)]
    if _absurd(hr, spo2):
        raise BadFrame(f"pulse {hr} or SpO2 {spo2} is neither missing nor possible")
    return [_reading("pulse_bpm", hr, HR_MISSING, verdict), _reading("spo2_pct", spo2, SPO2_MISSING, verdict)]


def _reading(metric: str, value: int, missing: int, verdict: Verdict) -> Reading:
    if value in (0, missing):
        return Reading(metric, None, Validity.UNAVAILABLE, "searching")
    return Reading(metric, float(value), *verdict)


class Nonin:
    """The driver: what was last said of battery, identity and perfusion, so that only news is told.

    A started driver believes a packet's firmware number, and so its order, from the second packet on; one that was
    never started, which is shown single packets, takes the first at its word.
    """

    def __init__(self, format_: str) -> None:
        self.framing: Framing = NoninFraming()
        self._select = SELECT[format_]
        self._started = False
        self._forget()

    def _forget(self) -> None:
        self._firmware: int | None = None
        self._firmware_said = (-1, 0)  # by the last packet, and how many packets running
        self._battery_low: bool | None = None
        self._battery_before = False
        self._model: str | None = None
        self._low_perfusion, self._colour_age = False, 0
        self._last8: tuple[int, int] | None = None

    def start(self) -> Sequence[Question]:
        self._forget()
        self._started = True
        return [self._select]

    def ask(self, at_s: float) -> Question | None:
        return None

    def answers(self, frame: bytes, asked: Question) -> bool:
        return frame in (ACK, NAK)

    def unanswered(self, asked: Question) -> Sequence[Heard]:
        return []  # more than 5 s after its connect a Nonin ignores the choice; what it sends is heard all the same

    def hear(self, frame: bytes, asked: Question | None) -> Sequence[Heard]:
        if frame in (ACK, NAK):
            return []
        if len(frame) == PACKET:
            return self._hear_packet(frame)
        if len(frame) == 4:
            return self._hear_four(frame)
        if frame.startswith(DF13_HEAD):
            return self._hear_spot_check(frame)
        raise BadFrame(f"{len(frame)} bytes are no packet of format 2 or 7 and no frame of 8 or 13")

    def _hear_packet(self, packet: bytes) -> list[Heard]:
        df2 = packet[0] == 0x01
        frames = [packet[at : at + FRAME] for at in range(0, PACKET, FRAME)]
        status = [frame[1 if df2 else 0] for frame in frames]
        if not all(good_frame(frame, df2) for frame in frames) or [s & SYNC for s in status] != [1] + [0] * 24:
            raise BadFrame("a frame of the packet fails its checksum, or SYNC is not in the first frame alone")
        said = [0] + [frame[3] for frame in frames]  # FLOAT, numbered from 1 as in the table
        if not self._in_order(said[4]):
            return []
        self._note_perfusion(status)
        seen = {bit for bit in (SNSD, SNSA, OOT, ARTF) if any(byte & bit for byte in status)}
        verdict = _status(unplugged=SNSD in seen, off=SNSA in seen, out_of_track=OOT in seen, artifact=ARTF in seen,
                          low=self._low_perfusion)
        heard = _readings((said[1] & 0x03) << 7 | (said[2] & 0x7F), said[3] & 0x7F, verdict)
        heard.append(_wave(frames, status, df2))
        model = f"Nonin, data format {2 if df2 else 7}, firmware {said[4]}"
        return heard + self._news(model, bool(said[8] & 0x01))

    def _in_order(self, firmware: int) -> bool:
        """Whether frame 4 is where it belongs; not yet, before two packets agree. Raises BadFrame where it is not."""
        last, times = self._firmware_said
        times = times + 1 if firmware == last else 1
        self._firmware_said = (firmware, times)
        if times >= (NEW_DEVICE_PACKETS if self._firmware is not None else 2 if self._started else 1):
            self._firmware = firmware
        if self._firmware not in (None, firmware):
            raise BadFrame(f"frame 4 says firmware {firmware}, not {self._firmware}: frames were lost or doubled")
        return self._firmware is not None

    def _note_perfusion(self, status: Sequence[int]) -> None:
        colours = {byte & (RPRF | GPRF) for byte in status} - {0}
        self._colour_age = 0 if colours else self._colour_age + 1
        if colours:
            self._low_perfusion = RPRF in colours
        elif self._colour_age > COLOUR_PACKETS or any(byte & (SNSA | SNSD) for byte in status):
            self._low_perfusion = False

    def _hear_four(self, frame: bytes) -> list[Heard]:
        if any((byte >= 0x80) != (i == 0) for i, byte in enumerate(frame)):
            raise BadFrame("format 8 has b7 set in its first byte alone")
        hr, spo2 = _numbers8(frame)
        first, last = frame[0], frame[3]
        verdict = _status(unplugged=False, off=bool(last & 0x08), out_of_track=bool(first & 0x20),
                          artifact=bool(first & 0x04), low=bool(first & 0x10))
        before, self._last8 = self._last8, (hr, spo2)
        if verdict[0] is Validity.VALID and before is not None and _jumped(before, (hr, spo2)):
            verdict = Validity.QUESTIONABLE, "low_signal_quality"
        return _readings(hr, spo2, verdict) + self._news("Nonin, data format 8", bool(last & 0x01))

    def _hear_spot_check(self, frame: bytes) -> list[Heard]:
        if not _spot_check_holds(frame):
            raise BadFrame("a spot check has not the length it says, fails its checksum or lacks its final 03")
        quality, origin = frame[14], frame[15]
        hr, spo2 = (frame[16] & 1) << 8 | frame[17], frame[19] & 0x7F
        measured, from_memory = not quality & 0x01, origin & 0x10
        reason = "spot_check_only" if measured else "not_measured"
        verdict = Validity.VALID if measured and not from_memory else Validity.UNAVAILABLE, reason
        return _readings(hr, spo2, verdict) + self._news("Nonin, data format 13 (spot check)", bool(origin & 0x01))

    def _news(self, model: str, battery_low: bool) -> list[Heard]:
        news: list[Heard] = []
        said_twice = battery_low is self._battery_before or self._battery_low is None
        self._battery_before = battery_low
        if said_twice and battery_low is not self._battery_low:
            self._battery_low = battery_low
            news.append(DeviceAlarms((LOW_BATTERY,) if battery_low else ()))
        if model != self._model:
            self._model = model
            news.append(Identity(None, model))
        return news


def _jumped(before: tuple[int, int], now: tuple[int, int]) -> bool:
    """Further than a second allows: with no checksum it may be a flipped bit. What was missing before cannot jump."""
    hr = HR_MISSING not in (before[0], now[0]) and abs(before[0] - now[0]) > JUMP_BPM
    return hr or (SPO2_MISSING not in (before[1], now[1]) and abs(before[1] - now[1]) > JUMP_PCT)


def _wave(frames: Sequence[bytes], status: Sequence[int], df2: bool) -> Wave:
    samples = tuple(
        None if byte & (SNSA | SNSD) else frame[2] if df2 else frame[1] << 8 | frame[2]
        for frame, byte in zip(frames, status, strict=True)
    )
    return Wave("pleth", PLETH_HZ, 0, 255 if df2 else 65535, samples)


DRIVER = Spec(
    name="nonin",
    title="Nonin oximeter (OEM III, Xpod, 3150, 9560; data formats 2, 7, 8, 13)",
    kind="oximeter",
    transports=("serial", "tcp"),
    grade="A",
    source="Nonin 9560 OEM specification 6470-000-01; frame values also from pufferfish-software's unit tests",
    line=Line(baud=9600, silent_after_s=3.5),
    metrics=frozenset({"spo2_pct", "pulse_bpm"}),
    says=tuple(SELECT.values()),
    wiring=(
        "RS-232 or USB serial (or Bluetooth SPP), 9600 8N1, no flow control, TX/RX/GND. The data format is chosen in"
        " the first 5 s after the device connects; else it keeps the one it was last set to, and that one is heard."
    ),
    make=lambda settings: Nonin(str(settings["format"])),
    settings={"format": Setting("df7", "the format asked for; whichever of them comes is recognised", tuple(SELECT))},
)
