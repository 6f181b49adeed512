"""Reads the golden tables: every frame a driver can say, and what it must hear in the frames a device says.

A table (tests/golden/NAME.txt) is one row a line, `#` starts a comment line:

    > name | hex bytes | what it is | origin                                              we say this
    < name | hex bytes | JSON of what `hear` must yield, or BadFrame | origin | asked=QUESTION   the device says this

QUESTION is the name of the question the frame answers, or `-` where it was said unasked. The JSON is a list, one object
for each thing heard, as `heard_json` writes it; `validity` and `reason` are left out where the value is simply valid.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pymodbus.framer import FramerRTU

from drivers.contract import Decoded, DeviceAlarms, Identity, Pump, Question, Reading, Say, Validity, Wave

FOLDER = Path(__file__).parent.parent / "golden"
BAD = "BadFrame"


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a table. `what` is words in a `>` row, JSON or BadFrame in a `<` row; `asked` None: unasked."""

    way: Literal[">", "<"]
    name: str
    frame: bytes
    what: str
    origin: str
    asked: str | None
    line: int

    @property
    def bad(self) -> bool:
        """Whether `hear` must raise BadFrame."""
        return self.what == BAD

    @property
    def expected(self) -> list[dict[str, Any]]:
        """What `heard_json` must give. Raises json.JSONDecodeError where the row is not JSON."""
        heard: list[dict[str, Any]] = json.loads(self.what)
        return heard

    def __str__(self) -> str:
        return f"{self.name} (line {self.line})"


def rows(name: str) -> list[Row]:
    """All rows of tests/golden/`name`.txt, in order. Raises ValueError that names file and line of a bad row."""
    path = FOLDER / f"{name}.txt"
    found: list[Row] = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if line.strip() and not line.startswith("#"):
            try:
                found.append(_row(line, number))
            except ValueError as wrong:
                raise ValueError(f"{path.name}:{number}: {wrong}") from wrong
    return found


def said(name: str) -> list[Row]:
    """The rows of what we say."""
    return [row for row in rows(name) if row.way == ">"]


def heard(name: str) -> list[Row]:
    """The rows of what the device says."""
    return [row for row in rows(name) if row.way == "<"]


def wire(question: Question) -> bytes:
    """A question's bytes: as they are said, or for Modbus as they go out on RTU to unit 1."""
    if isinstance(question, Say):
        return question.frame
    request = struct.pack(">BBHH", 1, question.function, question.address, question.count)
    return request + FramerRTU.compute_CRC(request).to_bytes(2, "big")


def _row(line: str, number: int) -> Row:
    way, text = line[0], line[1:]
    cells = [cell.strip() for cell in text.split("|")]
    if way == ">":
        if len(cells) != 4:
            raise ValueError(f"a row of what we say has 4 cells, not {len(cells)}")
        return Row(">", cells[0], bytes.fromhex(cells[1]), cells[2], cells[3], None, number)
    if way != "<":
        raise ValueError(f"a row starts with > or <, not {way!r}")
    if len(cells) < 5 or not cells[-1].startswith("asked="):
        raise ValueError("a row of what the device says has 5 cells, the last one asked=QUESTION or asked=-")
    asked = cells[-1].removeprefix("asked=").strip()
    what = "|".join(cells[2:-2])  # the JSON may hold the bar
    if what != BAD:
        json.loads(what)
    return Row("<", cells[0], bytes.fromhex(cells[1]), what, cells[-2], None if asked == "-" else asked, number)


def heard_json(heard: Sequence[Decoded]) -> list[dict[str, Any]]:
    """What was heard as plain data, in order: the form the `<` rows are written in."""
    return [_plain(one) for one in heard]


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
