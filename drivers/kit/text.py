"""What drivers share whose devices push lines of text without a checksum: the framing, and when a line is believed.

A flipped bit makes another digit of a digit, and nothing in the line tells. So a number that the line before did not
say, give or take what can change from one to the next, is questionable until it repeats, or until the lines go on in
the same direction: a patient who desaturates. So is one that a single flipped bit makes of it; words and alarms count
when two lines running say them.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Generic, TypeVar

from drivers.contract import BadFrame, Reading, Validity

T = TypeVar("T")
LF = 0x0A
RECENT = 8  # lines
FLIPPED_TIMES = 3  # lines running in which the same bit is hardly ever flipped
LEAPS = 5.0  # times a jump: by so much at most a number changes from one line to the next while it truly moves
ALIKE = 4.0  # and its largest step is at most so many times its smallest


class Lines:
    """Lines that end in CR LF; a frame is a line with its end. What is blank or not printable ASCII is no frame.

    The line that was under way when the port was opened lacks its beginning: the first one is taken only where it
    matches `whole`. A line longer than `max_len` bytes is dropped.
    """

    def __init__(self, max_len: int, whole: re.Pattern[str]) -> None:
        self.dropped = 0
        self._max_len, self._whole = max_len, whole
        self._held = bytearray()
        self._cut = True  # what is held may lack its beginning

    def feed(self, data: bytes) -> list[bytes]:
        """The whole lines that `data` completes."""
        frames: list[bytes] = []
        for byte in data:
            self._held.append(byte)
            if byte == LF:
                line = bytes(self._held)
                self._held.clear()
                if self._good(line):
                    frames.append(line)
                else:
                    self.dropped += len(line)
                self._cut = False
            elif len(self._held) >= self._max_len:
                self.flush()
        return frames

    def flush(self) -> None:
        """Forget what is incomplete."""
        self.dropped += len(self._held)
        self._held.clear()
        self._cut = True

    def _good(self, line: bytes) -> bool:
        text = line.strip()
        return _printable(text) and (not self._cut or self._whole.fullmatch(text.decode("ascii")) is not None)


def _printable(text: bytes) -> bool:
    return bool(text) and all(0x20 <= byte < 0x7F for byte in text)


def text_of(frame: bytes) -> str:
    """A frame of `Lines` as text, without the blanks around it. Raises BadFrame where it is not printable ASCII."""
    line = frame.strip()
    if not _printable(line):
        raise BadFrame(f"not a line of text: {frame[:20].hex(' ')}")
    return line.decode("ascii")


def number_of(text: str) -> float | None:
    """The number a field says, or None where dashes stand for none."""
    return None if "-" in text else float(text)


def step_of(text: str) -> float:
    """By how much a number of these digits moves at least: 0.1 for "12.5"."""
    return 10.0 ** -len(text.strip().partition(".")[2])


def moves(values: Sequence[float], distinct: int, most: float) -> bool:
    """Whether these numbers, oldest first, only rise or only fall, over so many different ones, in steps of much the
    same size, at most `most`: neither a flipped bit nor an old line that comes again looks like that."""
    steps = [now - before for before, now in pairwise(values) if now != before]
    sizes = [abs(step) for step in steps]
    if len(sizes) < distinct - 1 or max(sizes) > min(most, ALIKE * min(sizes)):
        return False
    return all(step > 0 for step in steps) or all(step < 0 for step in steps)


class Repeats:
    """Remembers the numbers of the lines before. `jumps` is how far each may move from one line to the next. `digits`:
    how each is written, on a line that no sum checks ("b": as bits, not as text): one that a single flipped bit makes
    of the number before it is questionable until it repeats, unless it was believed in one of the last `RECENT` lines.
    `times`: so many lines running must say what is new, or one more must move in the same direction."""

    def __init__(self, jumps: Mapping[str, float], digits: Mapping[str, str] | None = None, times: int = 2) -> None:
        self._jumps, self._digits, self._times = jumps, digits or {}, times
        self._running = 0
        self._before: dict[str, float | None] = {}
        self._lately: dict[str, deque[float]] = {metric: deque(maxlen=times + 1) for metric in jumps}
        self._recent: dict[str, deque[float]] = {metric: deque(maxlen=RECENT) for metric in self._digits}
        self._same = dict.fromkeys(self._digits, 0)  # lines running that said this very number
        self._doubted: set[str] = set()  # whose number of the line before was questionable

    def forget(self) -> None:
        """Nothing was said before."""
        self._before.clear()
        self._doubted.clear()
        self._running = 0
        for recent in (*self._recent.values(), *self._lately.values()):
            recent.clear()

    def judged(self, readings: Sequence[Reading]) -> list[Reading]:
        """The line's readings; where a number has jumped, each number of the line is questionable."""
        before, self._before = self._before, {reading.metric: reading.value for reading in readings}
        for reading in readings:
            if reading.metric in self._same:
                again = reading.value == before.get(reading.metric)
                self._same[reading.metric] = self._same[reading.metric] + 1 if again else 1
        judged = self._judged(readings, before)
        self._doubted = {one.metric for one in judged if one.validity is Validity.QUESTIONABLE}
        return judged

    def _judged(self, readings: Sequence[Reading], before: Mapping[str, float | None]) -> list[Reading]:
        moving = {reading.metric for reading in readings if self._moves(reading)}
        goes_on = all(reading.metric in moving or self._repeats(before.get(reading.metric), reading)
                      for reading in readings)
        self._running = self._running + 1 if goes_on else 1
        if goes_on and (moving or self._running >= self._times):
            return [self._sure(before.get(reading.metric), reading, reading.metric in moving) for reading in readings]
        return [_questioned(reading) for reading in readings]

    def _repeats(self, before: float | None, now: Reading) -> bool:
        return now.value is None or (before is not None and abs(now.value - before) <= self._jumps[now.metric])

    def _moves(self, now: Reading) -> bool:
        lately = self._lately[now.metric]
        if now.value is None:
            lately.clear()
            return False
        lately.append(now.value)
        return moves(lately, self._times + 1, LEAPS * self._jumps[now.metric])

    def _sure(self, before: float | None, now: Reading, moves: bool) -> Reading:
        if now.value is None or before is None or now.metric not in self._digits:
            return now
        recent, form = self._recent[now.metric], self._digits[now.metric]
        sure = now.value in recent or ((
            now.value == before or not _one_bit(before, now.value, form)) and not self._may_be_hurt(before, now, moves))
        if sure:
            recent.append(now.value)
        return now if sure else _questioned(now)

    def _may_be_hurt(self, before: float, now: Reading, moves: bool) -> bool:
        """Whether a number that has jumped from what was believed last may be that with a bit or two flipped. One that
        goes on in one direction is no such number, however doubtful the line before was: a saturation that falls fast
        would not be seen for as long as it falls."""
        value, recent, same = now.value, self._recent[now.metric], self._same[now.metric]
        if value is None or not recent or abs(value - recent[-1]) <= self._jumps[now.metric]:
            return False
        if value != before:
            return now.metric in self._doubted and not moves
        return same < FLIPPED_TIMES and _one_bit(recent[-1], value, self._digits[now.metric])


def _one_bit(one: float, other: float, form: str) -> bool:
    """Whether one flipped bit makes the one of the other, both written in this form."""
    if form == "b":
        return (int(one) ^ int(other)).bit_count() == 1
    pairs = zip(format(one, form).encode(), format(other, form).encode(), strict=False)
    return sum((a ^ b).bit_count() for a, b in pairs) == 1


class Dated:
    """For lines that say when they were made: one that is not a little later than the line before is an old one come
    again (or its date was hurt), until `times` lines running follow each other: then the device's clock was set."""

    def __init__(self, most_s: float, times: int = 3) -> None:
        self._most_s, self._times = most_s, times
        self.forget()

    def forget(self) -> None:
        """Nothing was said before."""
        self._last: float | None = None  # of the last line that followed
        self._other: float | None = None  # of the last that did not
        self._running = 0

    def follows(self, made_s: float) -> bool:
        """Whether a line that was made then, by the device's own clock in seconds, is of now."""
        if self._last is not None and not 0 < made_s - self._last <= self._most_s:
            near = self._other is not None and 0 < made_s - self._other <= self._most_s
            self._other, self._running = made_s, self._running + 1 if near else 1
            if self._running < self._times:
                return False
        self._last, self._other, self._running = made_s, None, 0
        return True


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
