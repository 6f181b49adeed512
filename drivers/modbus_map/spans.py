"""Which registers a map's numbers and texts take, and which numbers a register can hold at all."""

from __future__ import annotations

from drivers.kit.registers import FLOATS, Field

LARGEST = {"f32": (2 - 2**-23) * 2.0**127, "f64": (2 - 2**-52) * 2.0**1023}  # IEEE 754


class Spans:
    """Two numbers may be in the same registers (bits of one), but none in a part of another's: then one address is
    wrong, or one type."""

    def __init__(self) -> None:
        self._taken: list[tuple[int, Field, int, str]] = []

    def take(self, function: int, field: Field, width: int, written: str) -> str:
        """`field` takes `width` registers, `written` as in the map: what it overlaps, empty where it is nothing."""
        first = field.address
        for its_function, other, its_width, its_place in self._taken:
            apart = function != its_function or first + width <= other.address or other.address + its_width <= first
            same = _form(field, width) == _form(other, its_width)
            if not apart and not same:
                return (f"{written} ({field.type}, {_registers(width)}) overlaps {its_place} of {other.name}"
                        f" ({other.type}, {_registers(its_width)}); one address or type is wrong")
        self._taken.append((function, field, width, written))
        return ""


def _form(field: Field, width: int) -> tuple[int, int, str, str]:
    return field.address, width, field.type, field.words


def _registers(count: int) -> str:
    return f"{count} register{'s' if count > 1 else ''}"


def raw_range(field: Field, mask: int) -> tuple[float, float]:
    """The lowest and the highest number that can be there, or in the bits of `mask` (0: all)."""
    if field.type == "coil":
        return 0, 1
    if mask:
        return 0, mask >> ((mask & -mask).bit_length() - 1)
    if field.type in FLOATS:
        return -LARGEST[field.type], LARGEST[field.type]
    bits = 16 * field.width
    return (0, 2**bits - 1) if field.type[0] == "u" else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
