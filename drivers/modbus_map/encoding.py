"""A map's values as registers: the other way round of what the driver decodes, for the twin and for tests."""

from __future__ import annotations

import struct
from collections.abc import MutableMapping

from drivers.kit.registers import field_words
from drivers.modbus_map.parts import At, Flag, Text

Registers = MutableMapping[tuple[int, int], int]  # (function, address) -> a register, or a coil


def put_value(registers: Registers, at: At, number: float) -> None:
    """`number` at its place; where the place is some bits of a register, the others stay."""
    function, address = at.function, at.field.address
    if at.field.type == "coil":
        registers[function, address] = int(number != 0)
        return
    if at.mask:
        shift = (at.mask & -at.mask).bit_length() - 1
        number = (_held(registers, at) & ~at.mask) | ((int(number) << shift) & at.mask)
    for place, word in enumerate(field_words(at.field, number), address):
        registers[function, place] = word


def put_flag(registers: Registers, flag: Flag, *, on: bool) -> None:
    """The bit or code set, or not."""
    put_value(registers, flag.at, flag.equals if on else 1 - min(flag.equals, 1))


def put_text(registers: Registers, text: Text, said: str) -> None:
    """`said`, cut or filled up to its registers; or its digits as a number."""
    if not text.registers:
        put_value(registers, text.at, int("".join(filter(str.isdigit, said)) or 0))
        return
    raw = said.encode("ascii", "replace")[: 2 * text.registers].ljust(2 * text.registers, b"\0")
    form = "<" if text.at.field.words in ("BADC", "DCBA") else ">"
    for place, word in enumerate(struct.unpack(f"{form}{text.registers}H", raw), text.at.field.address):
        registers[text.at.function, place] = word


def _held(registers: Registers, at: At) -> int:
    """The whole number in the registers now."""
    held = 0
    words = [registers.get((at.function, at.field.address + place), 0) for place in range(at.field.width)]
    if at.field.words in ("BADC", "DCBA"):
        words = [word >> 8 | (word & 0xFF) << 8 for word in words]
    for word in reversed(words) if at.field.words in ("CDAB", "DCBA") else words:
        held = held << 16 | word
    return held
