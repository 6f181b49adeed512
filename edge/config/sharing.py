"""Which devices of an edge may share a port."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import NamedTuple

from edge.field.device_url import DeviceUrl
from edge.toml_lines import Where


class Taken(NamedTuple):
    """A port that has its device."""

    at: DeviceUrl
    who: str
    wire: tuple[int, int, str, int]  # baud, bits, parity, stop


def sharing_faults(where: Where, mine: Taken, taken: dict[str, Taken]) -> Iterator[tuple[Where, str]]:
    """One port, one device; only Modbus units with different numbers and the same line share one."""
    at = mine.at
    port = os.path.realpath(at.path) if at.path else at.endpoint
    for key in (port, f"{port}?{at.unit}"):
        other = taken.get(key)
        if other is None:
            continue
        if not (at.is_modbus and other.at.transport == at.transport):
            yield where, f"{at.endpoint} is already used by {other.who}; give each device its own port"
        elif other.at.unit == at.unit:
            yield where, f"unit {at.unit} on {at.endpoint} is already {other.who}; give each device its own ?unit="
        elif at.path and other.wire != mine.wire:
            yield where, f"{at.endpoint} is shared with {other.who}; give both the same baud, bits, parity and stop"
    taken.setdefault(port, mine)
    taken[f"{port}?{at.unit}"] = mine
