"""Register maps for tests: short ones in TOML, and what their drivers make of registers."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from pathlib import Path
from typing import cast

from drivers.contract import Decoded, ModbusRequest
from drivers.kit.registers import packed
from drivers.modbus_map import MapDriver, spec_of

EXAMPLE = Path(__file__).parent.parent.parent / "deploy" / "modbus_map.example.toml"
HEAD = '[device]\nkind = "monitor"\nsource = "a test"\n'
SPO2 = '[[value]]\nmetric = "spo2_pct"\ninput = 5\nunit = "%"\nrange = [0, 100]\n'
PULSE = '[[value]]\nmetric = "pulse_bpm"\ninput = 7\nunit = "/min"\nrange = [0, 300]\n'
ALARM = '[[alarm]]\ncode = "occlusion"\npriority = "high"\ninput = 9\nbit = 1\n'


def a_map(folder: Path, text: str, name: str = "m.toml") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def said(driver: MapDriver, raw: Mapping[tuple[int, int], int], at_s: float = 0.0) -> list[Decoded]:
    """Everything the driver makes of a device that holds `raw`, in one round."""
    decoded: list[Decoded] = []
    while (request := driver.next_request(at_s)) is not None:
        decoded += driver.decode(response(cast("ModbusRequest", request), raw), request)
    return decoded


def response(request: ModbusRequest, raw: Mapping[tuple[int, int], int]) -> bytes:
    held = [raw.get((request.function, request.address + place), 0) for place in range(request.count)]
    return packed(held) if request.function in (1, 2) else struct.pack(f">{len(held)}H", *held)


def driver_of(path: Path) -> MapDriver:
    return cast("MapDriver", spec_of(path).driver())
