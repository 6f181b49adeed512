"""The frames of Nonin oximeters and how they are found in a stream; drawn, with sources, in __init__.py here."""

from __future__ import annotations

from itertools import pairwise

ACK, NAK = b"\x06", b"\x15"
FRAME, PACKET_FRAMES = 5, 25
PACKET = FRAME * PACKET_FRAMES
FOUR = 4  # bytes of a frame of format 8
RUN, LONG_RUN = 3 * FOUR, 6 * FOUR  # what proves format 8: so many bytes that are alike, or so many that are not
DF13_HEAD = b"\x00\x02\x00\x0d"
DF13_SHORTEST, DF13_LONGEST = 14, 255  # bytes of data; the length may grow in later firmware
HR_MISSING, SPO2_MISSING = 511, 127
HR_LOW, HR_HIGH = 18, 321  # what the device can measure, /min
SPO2_HIGH = 100
JUMP_BPM, JUMP_PCT = 20, 4  # between two frames of format 8, one second apart
SYNC = 0x01


def good_frame(frame: bytes | bytearray, df2: bool) -> bool:
    """Whether these five bytes are a frame of format 2 (else 7): start, status bit and checksum."""
    marked = frame[0] == 0x01 and frame[1] >= 0x80 if df2 else frame[0] >= 0x80
    return marked and sum(frame[:4]) & 0xFF == frame[4]


def fours(data: bytes | bytearray) -> bool:
    """Whether these bytes may be frames of format 8, the last one perhaps cut short: b7 = 1 0 0 0."""
    return all((byte >= 0x80) == (i % FOUR == 0) for i, byte in enumerate(data))


def numbers8(frame: bytes | bytearray) -> tuple[int, int]:
    """Pulse and SpO2 of a frame of format 8, in the device's own codes."""
    return (frame[0] & 3) << 7 | frame[1], frame[2]


def spot_check_holds(frame: bytes | bytearray) -> bool:
    """Whether this is a whole spot check: the length it says, its checksum, its final 03."""
    whole = len(frame) >= DF13_SHORTEST + 8 and len(frame) == (frame[4] << 8 | frame[5]) + 8
    return whole and frame[-1] == 0x03 and sum(frame[6:-2]) & 0xFF == frame[-2]


class NoninFraming:
    """Cuts out whole packets (formats 2 and 7), 4-byte frames (8), spot checks (13) and the single bytes ACK and NAK.

    25 checksums with SYNC in the first frame alone are proof enough of format 2 or 7 at any time. Format 8 has no
    checksum: three frames running must be alike, or six have its form. In twelve bytes of format 2 or 7 two STATUS
    stand five apart, and no two bytes with b7 set do so in format 8: cut anywhere, those are never taken for this. Once
    format 8 has come a frame is taken when its four bytes are there, unless a sixth byte is too and has b7 set.

    Until `streaming` is set (a started driver sets it) this is shown single frames: bytes that come into an empty
    buffer and are nothing but whole frames of format 8 are taken for them. Not where four bytes may be the beginning of
    format 7: after that format, or with an SpO2 of 0, where a wave at rest ends.

    An ACK or NAK is believed once after each (re)open while `reply_due`, and only where a frame may begin.
    """

    def __init__(self, *, streaming: bool = False) -> None:
        self.dropped = 0
        self.format: str | None = None  # the one that came last
        self.streaming = streaming
        self.reply_due = True
        self._buffer = bytearray()
        self._good = 0  # frames at the head of the buffer that have been checked
        self._stray = 0

    def feed(self, data: bytes) -> list[bytes]:
        """The whole frames that `data` completes."""
        if not self.streaming and self._shown_alone(data):
            self.format, self._stray = "df8", 0
            return [bytes(data[at : at + FOUR]) for at in range(0, len(data), FOUR)]
        frames: list[bytes] = []
        for start in range(0, len(data), 256):
            self._buffer += data[start : start + 256]
            while self._buffer and (frame := self._next()) is not None:
                if frame:
                    frames.append(frame)
        return frames

    def flush(self) -> None:
        """Forget what is incomplete, and which format came."""
        self.dropped += len(self._buffer)
        self._buffer.clear()
        self.format, self._good, self._stray, self.reply_due = None, 0, 0, True

    def _shown_alone(self, data: bytes) -> bool:
        if self._buffer or self.format == "df7" or not data or len(data) % FOUR or not fours(data):
            return False
        return len(data) > FOUR or numbers8(data)[1] != 0

    def _next(self) -> bytes | None:
        """A frame; nothing yet (None); or b'' after a step that made none."""
        head = self._buffer[0]
        if not self._stray and self._reply_at(0):
            return self._reply(0)
        if head == 0x01:
            return self._packet(True)
        if head >= 0x80:
            return self._seven_or_eight()
        return self._spot_check() if head == 0x00 else self._drop()

    def _seven_or_eight(self) -> bytes | None:
        """Format 7 and 8 exclude each other by the sixth byte: a STATUS (80 or more) in 7, a pulse (below 80) in 8."""
        buffer = self._buffer
        sixth_high = len(buffer) > FRAME and buffer[FRAME] >= 0x80 and not self._reply_at(FOUR)
        if self.format == "df8" and not sixth_high:
            return self._four()
        low = len(buffer) > FRAME and buffer[FRAME] < 0x80 and not self._reply_at(FRAME)
        whole = len(buffer) >= FRAME
        if not low and (not whole or (buffer[0] & SYNC == 1 and good_frame(buffer[:FRAME], df2=False))):
            return self._packet(False)
        return self._drop() if sixth_high else self._four()

    def _packet(self, df2: bool) -> bytes | None:
        buffer = self._buffer
        while (at := self._good * FRAME) < PACKET:
            if at and self._reply_at(at):
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
        if not fours(buffer[: FOUR if self.format == "df8" else RUN]):
            return self._drop()
        whole = range(0, min(len(buffer), LONG_RUN) - RUN + 1, FOUR)
        proof = next((at + RUN for at in whole if _alike(buffer[at : at + RUN])), LONG_RUN)
        need = FOUR if self.format == "df8" else proof
        if not fours(buffer[:need]):
            return self._drop()
        return None if len(buffer) < need else self._take(FOUR, "df8")

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
        if not spot_check_holds(buffer[: length + 8]):
            return self._drop()
        return self._take(length + 8, "df13")

    def _reply_at(self, at: int) -> bool:
        return self.reply_due and self._buffer[at : at + 1] in (ACK, NAK)

    def _reply(self, at: int) -> bytes:
        reply = bytes(self._buffer[at : at + 1])
        del self._buffer[at]
        self.reply_due, self.format = False, None  # after an ACK another format may begin
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
            self.format = None  # out of step: it must be proven again
        return b""


def _alike(run: bytearray) -> bool:
    """Frames of format 8 whose numbers are possible and, from one to the next, no more apart than a second allows."""
    numbers = [numbers8(run[at : at + FOUR]) for at in range(0, len(run), FOUR)]
    if any(_absurd(*pair) for pair in numbers):
        return False
    return not any(_jumped(one, other) for one, other in pairwise(numbers))


def _absurd(hr: int, spo2: int) -> bool:
    """Neither missing nor possible; 0 is what some firmware sends for missing."""
    return not (hr in (0, HR_MISSING) or HR_LOW <= hr <= HR_HIGH) or not (spo2 <= SPO2_HIGH or spo2 == SPO2_MISSING)


def _jumped(before: tuple[int, int], now: tuple[int, int]) -> bool:
    """What was missing before cannot jump."""
    hr = HR_MISSING not in (before[0], now[0]) and abs(before[0] - now[0]) > JUMP_BPM
    return hr or (SPO2_MISSING not in (before[1], now[1]) and abs(before[1] - now[1]) > JUMP_PCT)
