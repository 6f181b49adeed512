"""A recorded session, played on the wire with its own timing: real frames, and real gaps.

A capture is a file of JSON lines `{"n": 52, "dir": "dev->host", "ts": "21:26:20.953", "hex": "0C 80"}`: `dir` says who
spoke (`host->dev` or `dev->host`), `ts` when (time of day; a step back by half a day or more is midnight), `hex` what.
`n` numbers the record in its log and may be missing.
"""

from __future__ import annotations

import json
import math
import re
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from drivers.bounded import read_file
from simulators.contract import Hands

DAY_S = 86400.0
ANSWERS_S = 1.0  # what a device says so soon after a request answers it
CHATTY = 4  # times as much as its host a device that is asked may say, in records; one that streams says far more
SEAM_S = 1.0  # the gap between the end of a looped capture and its beginning
START_REAL_TIME = bytes.fromhex("7D 81 A1")  # a Contec V7 host asks for the stream
TIME = re.compile(r"([01]\d|2[0-3]):([0-5]\d):([0-5]\d(?:\.\d+)?)", re.ASCII)
FORM = '{"n": 1, "dir": "dev->host", "ts": "21:26:20.953", "hex": "0C 80"}'

Direction = Literal["dev->host", "host->dev"]


@dataclass(frozen=True, slots=True)
class Record:
    """What one side said in one moment. `at_s` is seconds since the capture's first record."""

    at_s: float
    direction: Direction
    data: bytes


@dataclass(frozen=True, slots=True)
class Capture:
    """A recorded session, in the order of time."""

    records: tuple[Record, ...]

    @classmethod
    def read(cls, path: str | Path) -> Capture:
        """The capture in this file. Raises ValueError, one line: file, line, what is wrong, what to write instead."""
        try:
            text = read_file(Path(path)).decode("utf-8").replace("\r\n", "\n")
        except UnicodeDecodeError:
            raise ValueError(f"{path}: is no text; give a file of lines like {FORM}") from None
        except OSError as error:
            raise ValueError(f"{path}: cannot be read ({error.strerror}); give a file of lines like {FORM}") from error
        return cls.parse(text, str(path))

    @classmethod
    def parse(cls, text: str, name: str = "capture") -> Capture:
        """The capture in this text; `name` is what a message calls it. Raises ValueError as `read` does."""
        if not text.strip():
            raise ValueError(f"{name}: is empty, the device never speaks in it; give a file of lines like {FORM}")
        records: list[Record] = []
        first_s = before_s = 0.0
        midnights = 0
        lines = text.split("\n")
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                time_s, direction, data = _record(line)
                if time_s < before_s - DAY_S / 2:
                    midnights += 1
                elif time_s < before_s:
                    raise ValueError("time runs backwards; put the records in the order they were heard")
            except ValueError as error:
                if number == len(lines) and records and not line.rstrip().endswith("}"):
                    raise ValueError(f"{name}, line {number}: is cut off; delete this line to play the rest") from None
                raise ValueError(f"{name}, line {number}: {error}") from None
            first_s = first_s if records else time_s
            before_s = time_s
            records.append(Record(time_s + midnights * DAY_S - first_s, direction, data))
        if not any(record.direction == "dev->host" for record in records):
            raise ValueError(f"{name}: the device never speaks in it; give a file of lines like {FORM}")
        return cls(tuple(records))

    @property
    def asks_contec(self) -> bool:
        """Whether the host asks for the stream in it as only a Contec V7 host does."""
        return any(record.direction == "host->dev" and START_REAL_TIME in record.data for record in self.records)


def _record(line: str) -> tuple[float, Direction, bytes]:
    """Time of day in seconds, who spoke, and what. Raises ValueError with what is wrong and what to write instead."""
    try:
        said = json.loads(line)
    except (ValueError, RecursionError):
        raise ValueError(f"not JSON; write {FORM}") from None
    if not isinstance(said, dict):
        raise ValueError(f"not a JSON object; write {FORM}")
    if lacking := [key for key in ("dir", "ts", "hex") if not isinstance(said.get(key), str)]:
        raise ValueError(f"{lacking[0]!r} is missing or no text; write {FORM}")
    if said["dir"] not in ("dev->host", "host->dev"):
        raise ValueError(f'dir is {said["dir"]!r}; write "dev->host" or "host->dev"')
    try:
        data = bytes.fromhex(said["hex"])
    except ValueError:
        raise ValueError(f'hex is {said["hex"][:40]!r}; write pairs of hex digits, like "0C 80"') from None
    return _time_of_day_s(said["ts"]), said["dir"], data


def _time_of_day_s(text: str) -> float:
    if (time := TIME.fullmatch(text)) is None:
        raise ValueError(f'ts is {text[:40]!r}; write a time of day, like "21:26:20.953"')
    hours, minutes, seconds = int(time[1]), int(time[2]), float(time[3])
    return hours * 3600 + minutes * 60 + seconds


class ReplayTwin:
    """Plays what the device said in a capture, each record at its own time since the first reader came.

    A device that is asked answers when it is asked: each request with what was said to the same bytes in the capture,
    one time after the other, as late as it came there; to others, and when those are over, it says nothing.

    The session goes on: whoever opens the port again gets the rest, and after its end there is silence.
    It begins anew for a new reader (`rewind`; the wire calls it, see `simulators.wire.NEW_READER_S`), not for a link
    that reopens its port because nothing comes: to that one an old session would come back as a live one, again and
    again. `rewind` is a hand too. `loop` plays it for ever, after a gap of one second.
    """

    def __init__(self, capture: Capture, *, loop: bool = False) -> None:
        self._capture, self._again = capture, loop
        self._said, self._answers = _parted(capture)
        self._loop = loop and bool(self._said)
        self._connected = False
        self._next = 0
        self._now_s = self._lived_s = 0.0
        self._under_way: list[tuple[float, bytes]] = []
        self.hands: Hands = {"rewind": self.rewind}

    def connect(self) -> None:
        self._connected = True

    def rewind(self) -> None:
        """From the beginning."""
        self._next, self._now_s = 0, 0.0
        self._under_way.clear()
        self._answers = _parted(self._capture)[1]

    def step(self, dt_s: float) -> bytes:
        if not self._connected:
            return b""
        self._now_s += dt_s
        self._lived_s += dt_s
        said = bytearray(b"".join(data for due_s, data in self._under_way if due_s <= self._lived_s + 1e-6))
        self._under_way = [one for one in self._under_way if one[0] > self._lived_s + 1e-6]
        while True:
            while self._next < len(self._said) and self._said[self._next][0] <= self._now_s + 1e-6:
                said += self._said[self._next][1]
                self._next += 1
            lasts_s = self._said[-1][0] + SEAM_S if self._said else 0.0
            if not self._loop or self._next < len(self._said) or self._now_s < lasts_s:
                return bytes(said)
            self._now_s -= lasts_s
            self._next = 0

    def feed(self, data: bytes) -> bytes:
        answers = self._answers.get(data)
        if not answers or not self._connected:
            return b""
        answer = answers.popleft()
        if self._again:
            answers.append(answer)
        self._under_way += [(self._lived_s + late_s, said) for late_s, said in answer if late_s > 0]
        return b"".join(said for late_s, said in answer if late_s <= 0)


Said = list[tuple[float, bytes]]  # when, and what


def _parted(capture: Capture) -> tuple[Said, dict[bytes, deque[Said]]]:
    """What the device said by itself, by the time of the capture, and what it answered, by request; of one that streams
    all of it is by itself."""
    hosts = sum(record.direction == "host->dev" for record in capture.records)
    asked = CHATTY * hosts >= len(capture.records) - hosts
    said: Said = []
    answers: dict[bytes, deque[Said]] = {}
    asked_s, answer = -math.inf, said
    for record in capture.records:
        if record.direction == "dev->host":
            soon = asked and record.at_s - asked_s <= ANSWERS_S
            (answer if soon else said).append((record.at_s - asked_s if soon else record.at_s, record.data))
        else:
            asked_s, answer = record.at_s, []
            answers.setdefault(record.data, deque()).append(answer)
    return said, answers
