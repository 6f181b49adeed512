"""Modbus maps as data: which value stands at which address in which form, and the values a block's bytes hold.

A device's map is a tuple of `Field`s; what is read in one go is a `Block`. Nothing here knows any device.

    Field("flow", 74, "f32", metric="rate_ml_h")          two registers, IEEE 754, most significant word first
    Field("battery", 12, "u16", scale=0.1)                one register times 0.1
    Field("running", 0, "coil")                           one bit

Nothing on the wire tells in which order a device sends the two words of a number, or whether its manual counts
registers from 0 or from 1. Read wrongly, 150.0 becomes 2.4e-41: such a number is implausible (`reading`).
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from drivers.contract import BadFrame, ModbusRequest, Reading, Validity

Type = Literal["coil", "u16", "s16", "u32", "s32", "f32", "u64", "s64", "f64"]
ByteOrder = Literal["ABCD", "CDAB", "BADC", "DCBA"]  # A: the most significant byte; ABCD is the standard's

FORMATS: Mapping[Type, str] = {
    "u16": ">H", "s16": ">h", "u32": ">I", "s32": ">i", "f32": ">f", "u64": ">Q", "s64": ">q", "f64": ">d"}
FLOATS = frozenset({"f32", "f64"})
SIGNIFICANT: Mapping[Type, int] = {"f32": 7, "f64": 15}  # decimal digits that the float carries (24 and 53 bits)
SPARE = 2  # digits beyond the first of a step: 0.25 and 0.125 have them
SMALLEST = 1e-9  # no device measures or sets less in any unit; a float misread is mostly far below
_COILS = frozenset({1, 2})


@dataclass(frozen=True, slots=True)
class Field:
    """One value of a map. `address` is the 0-based PDU address; the value is what is there times `scale`."""

    name: str
    address: int
    type: Type
    scale: float = 1.0
    metric: str | None = None  # a key of the vocabulary, where the scaled value is one as it stands
    words: Literal["big", "little"] | ByteOrder = "big"  # "big" is ABCD, "little" is CDAB

    @property
    def width(self) -> int:
        """How many registers (or coils) it takes."""
        return struct.calcsize(FORMATS[self.type]) // 2 if self.type != "coil" else 1


def response_bytes(request: ModbusRequest) -> int:
    """How many bytes the response to `request` has, as `Driver.decode` gets it."""
    return (request.count + 7) // 8 if request.function in _COILS else 2 * request.count


@dataclass(frozen=True, slots=True)
class Block:
    """One request and the fields its response holds. Raises ValueError where a field is not inside the block."""

    request: ModbusRequest
    fields: tuple[Field, ...]

    def __post_init__(self) -> None:
        coils = self.request.function in _COILS
        end = self.request.address + self.request.count
        for field in self.fields:
            if not self.request.address <= field.address <= end - field.width or coils != (field.type == "coil"):
                raise ValueError(f"field {field.name!r} at {field.address} is not in block {self.request.name!r}")

    def decode(self, frame: bytes) -> dict[str, float]:
        """The fields by name; a coil is 0.0 or 1.0, a float may be NaN. Raises BadFrame where the length is wrong."""
        wanted = response_bytes(self.request)
        if len(frame) != wanted:
            raise BadFrame(f"{self.request.name}: {len(frame)} bytes instead of {wanted}")
        return {field.name: _value(field, frame, field.address - self.request.address) for field in self.fields}

    def readings(self, frame: bytes, limits: Mapping[str, tuple[float, float]]) -> list[Reading]:
        """A reading for every field with a metric, each held to its `limits` (see `reading`). Raises BadFrame."""
        values = self.decode(frame)
        return [reading(f.metric, told(values[f.name], f.type, f.scale), limits[f.metric])
                for f in self.fields if f.metric is not None]


def reading(metric: str, value: float, limits: tuple[float, float]) -> Reading:
    """`value` as a reading, or invalid and implausible where it is outside `limits` or no number a device says."""
    if is_number(value) and limits[0] <= value <= limits[1]:
        return Reading(metric, value)
    return Reading(metric, None, Validity.INVALID, "implausible")


def is_number(value: float) -> bool:
    """Whether a device may have said `value`: no NaN, no infinity, and not what a float in another order looks like."""
    return math.isfinite(value) and (value == 0 or abs(value) >= SMALLEST)


def told(number: float, type_: Type, step: float, offset: float = 0.0) -> float:
    """`number` (registers of `type_` times a scale) plus `offset`, with as many digits as the float carries, or as its
    `step` has (what one more in the register makes of it): 38 and 36.8, not 37.999998855 and 36.800000000000004."""
    if number == 0 or not math.isfinite(number):
        return number + offset
    if type_ in FLOATS:
        return round(number + offset, SIGNIFICANT[type_] - 1 - math.floor(math.log10(abs(number))))
    return round(number + offset, SPARE - math.floor(math.log10(abs(step))))


def _value(field: Field, frame: bytes, offset: int) -> float:
    if field.type == "coil":
        return float(frame[offset // 8] >> (offset % 8) & 1)
    raw = ordered(frame[2 * offset : 2 * (offset + field.width)], field.words)
    (number,) = struct.unpack(FORMATS[field.type], raw)
    return float(number) * field.scale


def ordered(raw: bytes, words: str) -> bytes:
    """Registers in this order of words and bytes, most significant byte first; and the other way round."""
    pairs = [raw[at : at + 2] for at in range(0, len(raw), 2)]
    if words in ("BADC", "DCBA"):
        pairs = [pair[::-1] for pair in pairs]
    if words in ("little", "CDAB", "DCBA"):
        pairs.reverse()
    return b"".join(pairs)


def field_words(field: Field, value: float) -> tuple[int, ...]:
    """`value` as the registers of `field`: `Block.decode` the other way round. Raises struct.error, OverflowError."""
    number = value / field.scale
    raw = struct.pack(FORMATS[field.type], number if field.type in FLOATS else round(number))
    return struct.unpack(f">{field.width}H", ordered(raw, field.words))


def f32_words(value: float) -> tuple[int, int]:
    """`value` as two registers, most significant word first. Raises OverflowError beyond single precision."""
    high, low = struct.unpack(">HH", struct.pack(">f", value))
    return high, low


def words_f32(words: Sequence[int]) -> float:
    """Two registers, most significant word first, as a number (perhaps NaN)."""
    (value,) = struct.unpack(">f", struct.pack(">HH", *words))
    return float(value)


def packed(coils: Sequence[int]) -> bytes:
    """Coils as bytes, low bit first: the form `Driver.decode` gets, and the form on the wire."""
    out = bytearray((len(coils) + 7) // 8)
    for place, coil in enumerate(coils):
        if coil:
            out[place // 8] |= 1 << place % 8
    return bytes(out)


class WholeResponses:
    """The framing of a Modbus driver: the bus has cut the responses already, so what comes in is a whole one."""

    def __init__(self) -> None:
        self.dropped = 0

    def feed(self, data: bytes) -> list[bytes]:
        return [data] if data else []

    def flush(self) -> None:
        """Nothing is ever kept."""
