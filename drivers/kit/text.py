"""What drivers share whose devices push lines of text without a checksum: the framing, and when a line is believed.

A flipped bit makes another digit of a digit, and nothing in the line tells. So a number that the line before did not
say, give or take what can change from one to the next, is questionable until it repeats; words and alarms count when
two lines running say them. What stays possible is an error no larger than that.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Generic, TypeVar

from drivers.contract import BadFrame, Reading, Validity
from drivers.kit.framing import Delimited

T = TypeVar("T")


class Lines(Delimited):
    """Lines that end in CR LF: a frame is the LF before a line, the line, and its CR. Blank lines are no frames.

    The line that was under way when the port was opened has no beginning and is dropped.
    """

    def __init__(self, max_len: int) -> None:
        super().__init__(b"\n", b"\r", max_len)

    def feed(self, data: bytes) -> list[bytes]:
        """The whole lines that `data` completes."""
        frames = super().feed(data)
        lines = [frame for frame in frames if frame.strip()]
        self.dropped += sum(map(len, frames)) - sum(map(len, lines))
        return lines


def text_of(frame: bytes) -> str:
    """A frame of `Lines` as text, without the blanks around it. Raises BadFrame where it is not printable ASCII."""
    line = frame.strip()
    if not line or not all(0x20 <= byte < 0x7F for byte in line):
        raise BadFrame(f"not a line of text: {frame[:20].hex(' ')}")
    return line.decode("ascii")


class Repeats:
    """Remembers the numbers of the line before. `jumps` is how far each may move from one line to the next."""

    def __init__(self, jumps: Mapping[str, float]) -> None:
        self._jumps = jumps
        self._before: dict[str, float | None] = {}

    def forget(self) -> None:
        """Nothing was said before."""
        self._before.clear()

    def judged(self, readings: Sequence[Reading]) -> list[Reading]:
        """The line's readings; where a number is new, each number of the line is questionable."""
        before, self._before = self._before, {reading.metric: reading.value for reading in readings}
        if all(self._repeats(before.get(reading.metric), reading) for reading in readings):
            return list(readings)
        return [_questioned(reading) for reading in readings]

    def _repeats(self, before: float | None, now: Reading) -> bool:
        return now.value is None or (before is not None and abs(now.value - before) <= self._jumps[now.metric])


class Twice(Generic[T]):
    """A word that counts when two lines running say it."""

    def __init__(self) -> None:
        self.value: T | None = None  # what counts
        self._last: T | None = None

    def forget(self) -> None:
        """Nothing was said before."""
        self.value = self._last = None

    def tell_again(self) -> None:
        """Whoever listens has forgotten: the next line that says what the last one said is news."""
        self.value = None

    def is_news(self, now: T) -> bool:
        """Whether `now` counts from this line on, and something else (or nothing) did before."""
        again, self._last = now == self._last, now
        if not again or now == self.value:
            return False
        self.value = now
        return True


def _questioned(reading: Reading) -> Reading:
    if reading.validity is not Validity.VALID:
        return reading
    return replace(reading, validity=Validity.QUESTIONABLE, reason="low_signal_quality")
