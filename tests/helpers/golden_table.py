"""Reads the golden tables: every request a driver can send, and what it must decode from the frames a device sends.

A table (tests/golden/NAME.txt) is one row a line, `#` starts a comment line:

    > name | hex bytes | effect | what it is | origin                                    a request
    < name | hex bytes | JSON of what `decode` must yield, or BadFrame | origin | request=NAME   a frame of the device

    ! metrics | how the protocol says that it has no number, where no frame alone can show it | origin

Of every metric the table shows a frame in which the device says that it has no number, or has such a row for it.
NAME is the request the frame is a response to, or `-` where the device sends it by itself. The JSON is a list, one
object for each thing decoded, as `decoded_json` writes it; `validity` and `reason` are left out where the value is
simply valid.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pymodbus.framer import FramerRTU

from drivers.contract import Decoded, DeviceAlarms, FrameRequest, Identity, Pump, Reading, Request, Validity, Wave

FOLDER = Path(__file__).parent.parent / "golden"
BAD = "BadFrame"


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a table. `what` is words in a `>` row, JSON or BadFrame in a `<` row. `request` is None in a `>` row
    and where the device sends by itself; `effect` is empty in a `<` row."""

    way: Literal[">", "<"]
    name: str
    frame: bytes
    what: str
    origin: str
    request: str | None
    line: int
    effect: str = ""

    @property
    def bad(self) -> bool:
        """Whether `decode` must raise BadFrame."""
        return self.what == BAD

    @property
    def expected(self) -> list[dict[str, Any]]:
        """What `decoded_json` must give. Raises json.JSONDecodeError where the row is not JSON."""
        decoded: list[dict[str, Any]] = json.loads(self.what)
        return decoded

    def __str__(self) -> str:
        return f"{self.name} (line {self.line})"


def rows(name: str, folder: Path = FOLDER) -> list[Row]:
    """All rows of `folder`/`name`.txt, in order. Raises ValueError that names file and line of a bad row."""
    path = folder / f"{name}.txt"
    found: list[Row] = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if line.strip() and line[0] not in "#!":
            try:
                found.append(_row(line, number))
            except ValueError as wrong:
                raise ValueError(f"{path.name}:{number}: {wrong}") from wrong
    return found


def requests(name: str, folder: Path = FOLDER) -> list[Row]:
    """The rows of what we send."""
    return [row for row in rows(name, folder) if row.way == ">"]


def frames(name: str, folder: Path = FOLDER) -> list[Row]:
    """The rows of what the device sends."""
    return [row for row in rows(name, folder) if row.way == "<"]


def wordless(name: str, folder: Path = FOLDER) -> frozenset[str]:
    """The metrics of its `!` rows. Raises ValueError for a row of another form."""
    found: set[str] = set()
    for line in (folder / f"{name}.txt").read_text(encoding="utf-8").splitlines():
        if line.startswith("!"):
            metrics, what, origin = (cell.strip() for cell in line[1:].split("|"))
            if not what or not origin:
                raise ValueError(f"{name}.txt: a row that says nothing: {line!r}")
            found.update(metric.strip() for metric in metrics.split(","))
    return frozenset(found)


def wire(request: Request) -> bytes:
    """A request's bytes: as they are sent, or for Modbus as they go out on RTU to unit 1."""
    if isinstance(request, FrameRequest):
        return request.frame
    frame = struct.pack(">BBHH", 1, request.function, request.address, request.count)
    return frame + FramerRTU.compute_CRC(frame).to_bytes(2, "big")


def _row(line: str, number: int) -> Row:
    way, text = line[0], line[1:]
    cells = [cell.strip() for cell in text.split("|")]
    if way == ">":
        if len(cells) != 5:
            raise ValueError(f"a row of what we send has 5 cells, not {len(cells)}")
        name, frame, effect, what, origin = cells
        return Row(">", name, bytes.fromhex(frame), what, origin, None, number, effect)
    if way != "<":
        raise ValueError(f"a row starts with > or <, not {way!r}")
    if len(cells) < 5 or not cells[-1].startswith("request="):
        raise ValueError("a row of what the device sends has 5 cells, the last one request=NAME or request=-")
    request = cells[-1].removeprefix("request=").strip()
    what = "|".join(cells[2:-2])  # the JSON may hold the bar
    if what != BAD:
        json.loads(what)
    return Row("<", cells[0], bytes.fromhex(cells[1]), what, cells[-2], None if request == "-" else request, number)


def decoded_json(decoded: Sequence[Decoded]) -> list[dict[str, Any]]:
    """What was decoded as plain data, in order: the form the `<` rows are written in."""
    return [_plain(one) for one in decoded]


def _plain(one: Decoded) -> dict[str, Any]:
    if isinstance(one, Reading):
        plain: dict[str, Any] = {"metric": one.metric, "value": one.value}
        if one.validity is not Validity.VALID:
            plain["validity"] = one.validity.value
        if one.reason is not None:
            plain["reason"] = one.reason
        return plain
    if isinstance(one, Pump):
        return {"pump": one.state}
    if isinstance(one, DeviceAlarms):
        alarms = [{"code": a.code, "priority": a.priority, "raw": a.raw, "text": a.text} for a in one.alarms]
        return {"alarms": alarms}
    if isinstance(one, Identity):
        return {"identity": one.serial, "model": one.model}
    assert isinstance(one, Wave)
    return {"wave": one.name, "rate_hz": one.rate_hz, "low": one.low, "high": one.high, "samples": list(one.samples)}
