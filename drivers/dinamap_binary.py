"""GE DINAMAP Pro 1000 monitors on their binary output, 9600 8N1. Partial: alarms, and a heart rate to be doubted.

    byte 0       sequence 0 to 199                                                                            C
    byte 1       b1-2 a heart beat   b3-4 a breath   20 a warning alarm stands   40 a crisis alarm stands     C
    2-6, 7-11    two waves, four samples of 10 bits each                                                      C
    12-14        parameters, another one in each of 50 blocks; block 43: 01 00, then one byte: 60             C
    15           CRC-8 of bytes 1 to 14: polynomial 85, reflected, from 0
    16, 17       the complements of bytes 15 and 0
    50 blocks a second, 900 bytes a second; nothing is sent to it

Source: one capture of a device, from which layout and CRC were worked out; all of its 1,152 blocks pass (C). No
document of the maker was read. Unknown: line settings (9600 8N1 is that of the host communications, and carries it just
so), what the waves and the other 49 blocks hold, what block 43 says without a heart rate. That its last byte is the
heart rate is likely, and no more: it is 60 in the capture.

What is made of it:

* The heart rate is questionable always: it is shown with a mark, may keep an alarm, and neither raises nor ends one.
  Zero and FF, or other bytes before it, are no heart rate.
* An alarm of the monitor counts when two blocks running say so. Which one it is stands on the monitor alone.
* A block with the sequence of the one before is that block again: it is none.
* Waves and the other parameters are not read. The device does not say who it is. The same monitor on its host
  communications, which give cuff, SpO2 and pulse, is drivers.dinamap.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from drivers.contract import (
    Agreement,
    BadFrame,
    Decoded,
    DeviceAlarm,
    DeviceAlarms,
    Framing,
    Line,
    Reading,
    Request,
    Spec,
    Validity,
)
from drivers.kit.listening import Listener
from drivers.kit.tally import Tally
from drivers.kit.text import Twice

BLOCK, BLOCKS_S = 18, 50
SEQUENCES, CYCLE = 200, 50
HEART_RATE_AT, HEART_RATE_HEAD = 43, b"\x01\x00"
NO_HEART_RATE = frozenset({0, 0xFF})
OTHER_BITS = 0x81  # of byte 1
POLYNOMIAL = 0xA1  # 85, reflected
ALARMS = (
    (0x40, DeviceAlarm("unknown", "high", "crisis", "A crisis alarm on the monitor: read it there")),
    (0x20, DeviceAlarm("unknown", "medium", "warning", "A warning alarm on the monitor: read it there")),
)


def _crc_of(byte: int) -> int:
    for _ in range(8):
        byte = byte >> 1 ^ (POLYNOMIAL if byte & 1 else 0)
    return byte


_CRC = tuple(map(_crc_of, range(256)))


def crc(data: bytes) -> int:
    """CRC-8, polynomial 85 reflected, from 0; of b"123456789" it is 2A."""
    found = 0
    for byte in data:
        found = _CRC[found ^ byte]
    return found


def _is_block(data: bytes | bytearray) -> bool:
    return (data[0] ^ data[17] == 0xFF and data[15] ^ data[16] == 0xFF and data[0] < SEQUENCES
            and crc(bytes(data[1:15])) == data[15])


class BlockFraming:
    """18 bytes whose last are the complements and the check of the others; what is no such block is skipped."""

    def __init__(self) -> None:
        self.dropped = 0
        self._held = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """The whole blocks that `data` completes."""
        frames: list[bytes] = []
        for at in range(0, len(data), BLOCK):
            self._held += data[at : at + BLOCK]
            begins = 0
            while len(self._held) - begins >= BLOCK:
                piece = self._held[begins : begins + BLOCK]
                if _is_block(piece):
                    frames.append(bytes(piece))
                    begins += BLOCK
                else:
                    self.dropped += 1
                    begins += 1
            del self._held[:begins]
        return frames

    def flush(self) -> None:
        """Forget the incomplete block."""
        self.dropped += len(self._held)
        self._held.clear()


class DinamapBinary(Listener):
    """The driver. One that was never started is shown single blocks, and takes each at its word."""

    def __init__(self) -> None:
        self.framing: Framing = BlockFraming()
        self.unmapped = Tally()
        self._started = False
        self._alarms: Twice[tuple[DeviceAlarm, ...]] = Twice()
        self._last = -1

    def on_open(self) -> Sequence[Request]:
        self._started = True
        self._alarms, self._last = Twice(), -1
        return []

    def decode(self, frame: bytes, request: Request | None) -> Sequence[Decoded]:
        if len(frame) != BLOCK or not _is_block(frame):
            raise BadFrame(f"not a block of this protocol: {frame[:BLOCK].hex(' ')}")
        if self._started and frame[0] == self._last:
            raise BadFrame(f"block {frame[0]} again")
        self._last = frame[0]
        decoded: list[Decoded] = []
        if frame[0] % CYCLE != HEART_RATE_AT:
            self.unmapped.saw("parameters of other blocks")
        elif frame[12:14] == HEART_RATE_HEAD:
            decoded.append(_heart_rate(frame[14]))
        else:
            self.unmapped.saw(f"block {HEART_RATE_AT}: {frame[12:15].hex(' ')}")
        if frame[1] & OTHER_BITS:
            self.unmapped.saw(f"status {frame[1] & OTHER_BITS:02X}")
        alarms = tuple(alarm for bit, alarm in ALARMS if frame[1] & bit)
        if not self._started or self._alarms.is_news(alarms):
            decoded.append(DeviceAlarms(alarms))
        return decoded


def _heart_rate(value: int) -> Reading:
    if value in NO_HEART_RATE:
        return Reading("heart_rate_bpm", None, Validity.UNAVAILABLE)
    return Reading("heart_rate_bpm", float(value), Validity.QUESTIONABLE)


def _make(settings: Mapping[str, str | int | float]) -> DinamapBinary:
    return DinamapBinary()


DRIVER = Spec(
    name="dinamap_binary",
    title="GE DINAMAP Pro 1000, binary output (partial: the monitor's alarms, and a doubtful heart rate)",
    kind="monitor",
    transports=("serial", "tcp"),
    grade="C",
    source="layout and CRC worked out from one capture (1,152 blocks)",
    line=Line(baud=9600, silent_after_s=3.0, stream_bytes_s=BLOCKS_S * BLOCK),
    metrics=frozenset({"heart_rate_bpm"}),
    requests=(),
    wiring=(
        "Line: 9600 8N1 as far as known, no flow control.\n"
        "Cable: the serial port at the monitor's back to an isolated adapter; which connector and pins is unknown"
        " here, see the monitor's own manual.\n"
        "Menu: the step that switches the binary output on is unknown here, see the monitor's own manual. It sends"
        " by itself while it is on.\n"
        "Known limits: cuff, SpO2, waves and the names of the alarms are not read. The heart rate is always marked as"
        " doubtful, since what its field says is known from one monitor's bytes and no document: it may keep an alarm"
        " and neither raises nor ends one. Use the driver dinamap where the monitor can be set to its host"
        " communications. No serial number; it is bound by its port."
    ),
    make=_make,
    agrees=(Agreement("capture", "C: capture of a Pro 1000"),),
)
