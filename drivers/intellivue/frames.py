"""IntelliVue frames: flags, escapes and FCS; and what a payload holds, read from left to right (see `__init__.py`)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from drivers.contract import BadFrame

BEGIN, END, ESCAPE, FLIP = b"\xc0", b"\xc1", b"\x7d", 0x20
TICKS_S = 8000
SAMPLE_FORM, PERIOD, SCALE = 0x096D, 0x098D, 0x096F


def _table() -> Iterator[int]:
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ (0x8408 if byte & 1 else 0)
        yield byte


TABLE = tuple(_table())


def fcs(data: bytes) -> bytes:
    """CRC-16/X-25, low byte first; of b"123456789" it is 6E 90."""
    crc = 0xFFFF
    for byte in data:
        crc = crc >> 8 ^ TABLE[(crc ^ byte) & 0xFF]
    return (crc ^ 0xFFFF).to_bytes(2, "little")


def framed(payload: bytes) -> bytes:
    """A payload as sent."""
    plain = b"\x11\x01" + len(payload).to_bytes(2, "big") + payload
    escaped = (bytes((0x7D, byte ^ FLIP)) if byte in (0xC0, 0xC1, 0x7D) else bytes((byte,))
               for byte in plain + fcs(plain))
    return BEGIN + b"".join(escaped) + END


def payload_of(frame: bytes) -> bytes:
    """The payload of a frame as sent. Raises BadFrame where its form, length or FCS is wrong."""
    if len(frame) < 8 or frame[:1] != BEGIN or frame[-1:] != END or frame[-2:-1] == ESCAPE:
        raise BadFrame("not C0 ... C1, or aborted")
    first, *rest = frame[1:-1].split(ESCAPE)
    if any(not part for part in rest) or BEGIN in frame[1:] or END in frame[:-1]:
        raise BadFrame("an escape that escapes nothing, or a byte that should be escaped")
    plain = first + b"".join(bytes((part[0] ^ FLIP,)) + part[1:] for part in rest)
    if plain[:2] != b"\x11\x01" or int.from_bytes(plain[2:4], "big") != len(plain) - 6:
        raise BadFrame("header or length")
    if fcs(plain[:-2]) != plain[-2:]:
        raise BadFrame("FCS")
    return plain[4:-2]


class Reader:
    """Reads a payload from left to right. Raises BadFrame beyond its end."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    def take(self, count: int) -> bytes:
        """The next bytes."""
        taken = self._data[self._at : self._at + count]
        if len(taken) != count:
            raise BadFrame("a payload that ends too early")
        self._at += count
        return taken

    def u16(self) -> int:
        """The next two bytes as a number."""
        return int.from_bytes(self.take(2), "big")

    def attributes(self) -> dict[int, bytes]:
        """The attribute list that begins here."""
        count, length = self.u16(), self.u16()
        inner = Reader(self.take(length))
        return {inner.u16(): inner.take(inner.u16()) for _ in range(count)}


def observations(reader: Reader) -> Iterator[tuple[int, Mapping[int, bytes]]]:
    """Handle and attributes of each observation in a reply, from its group on. Raises BadFrame."""
    reader.take(2)
    count, length = reader.u16(), reader.u16()
    contexts = Reader(reader.take(length))
    for _ in range(count):
        contexts.take(2)
        observations, length = contexts.u16(), contexts.u16()
        inner = Reader(contexts.take(length))
        for _ in range(observations):
            yield inner.u16(), inner.attributes()


@dataclass(frozen=True, slots=True)
class Form:
    """How a wave's samples are sent, as far as the monitor has said it."""

    rate_hz: float | None = None
    bits: int = 0
    low: int = 0
    high: int = 0xFFFF

    def learned(self, attributes: Mapping[int, bytes]) -> Form:
        """With what these attributes say."""
        form = self
        period, bits, scale = (attributes.get(one, b"") for one in (PERIOD, SAMPLE_FORM, SCALE))
        if len(period) == 4 and any(period):
            form = replace(form, rate_hz=TICKS_S / int.from_bytes(period, "big"))
        if len(bits) == 6:
            form = replace(form, bits=bits[2])
        if len(scale) == 12:
            form = replace(form, low=int.from_bytes(scale[8:10], "big"), high=int.from_bytes(scale[10:], "big"))
        return form
