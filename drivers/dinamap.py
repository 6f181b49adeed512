"""GE DINAMAP PRO, ProCare and CARESCAPE V100 monitors on their host communications, 9600 8N1. Partial: see unknown.

    host     " NA!2" CR    a blank, two letters, two check characters: the sum of (character - 1F) over blank and
             letters, divided by 64 and its rest, each + 20                                                        B
    monitor  a line that begins with a blank and the same letters, ended by CR (CR LF)                             C
      " NA"  3 status: 1 valid, above 2 an error   6-9 seconds since the determination   10-12 systolic
             13-15 diastolic   16-18 mean, mmHg   20 characters or more                                            C
      " OA"  3 is 1: valid   4-6 SpO2, %                                                                           C
      " RA"  3 is 2: valid   4-7 pulse, /min                                                                       C

Source: three public clients, which agree on the requests (B), one of which says what stands in the lines (C). The
manuals (2010566, 8555ER) were not read. Unknown: characters 4, 5 and from 19 on of NA, status 0 and 2 of NA, what error
is which, the check characters of the monitor's lines, how it refuses, its alarms. So no line is proven whole here, and
nothing is started: of its commands only the three reads are sent. Its binary output is not read.

What is made of it:

* No check: an SpO2 or pulse that is new is questionable, asked for again at once, and counts where four lines running
  say it, or where four numbers in as many lines or a few more only rise or only fall. A line that comes besides the
  one that was asked for, and says another number, shows that one of the two is old: both count for nothing.
* No time, but for the seconds since the determination: those go on. Where they have not for 6 s, what comes is an old
  answer again, and every number is questionable; a new one counts only when they went on after it was first said.
  Before the first determination, and while an error stands, nothing shows that an answer is old.
* A determination counts once, when two lines running hold the same three numbers, SYS > MAP > DIA, taken at the same
  moment, which is later than that of the last and less than 90 s ago (a hurt digit of the seconds makes no new one).
  What stands there at the opening is only remembered. An error that two lines running say is a failed determination,
  once; shown raw.
* A read that got no response three times running is only tried once a minute: the monitor may lack that part.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from drivers.contract import (
    BadFrame,
    Decoded,
    DeviceAlarm,
    DeviceAlarms,
    FrameRequest,
    Framing,
    Line,
    Reading,
    Request,
    Spec,
    Validity,
    Weak,
)
from drivers.kit.clocks import Aged
from drivers.kit.cuffs import DETERMINATION, determination, failed
from drivers.kit.listening import judged
from drivers.kit.tally import Tally
from drivers.kit.text import moves

CR, LF = 0x0D, 0x0A
LONGEST = 80
EVERY_S, RARELY_S = 2.0, 60.0  # edge time
ABSENT = 3  # responses missed running
TIMEOUT_S, LATENESS_S = 1.0, 2.0
SILENT_AFTER_S = 7.0
NEW_TIMES = 4  # lines running: old ones that come again may be two or three
SECONDS_AGAIN_S = 1.0  # the seconds are asked for again at once, where they can have gone on, to prove a number
OLDEST_S = 9999.0  # more seconds do not stand in a line
MOVING = 8  # lines in which so many different numbers rise or fall: what changes too fast to be said twice
STEPS = {"spo2_pct": 4.0, "pulse_bpm": 8.0}  # by so much at most, from one line to the next
AGREE_S = 5.0  # by so much may two lines differ in when a determination was taken
SOON_S = 10.0  # a determination so young is new where none stood there before, or one line alone says what did
FRESH_S = 90.0  # one that was taken longer ago is not shown as of now; a read that was given up is tried once a minute
VALID, ERROR = "1", "3456789"

_CUFF = re.compile(r" NA(\d)..([ \d]{4})([ \d-]{3})([ \d-]{3})([ \d-]{3}).+")
_SPO2 = re.compile(r" OA(\d)([ \d-]{3}).*")
_PULSE = re.compile(r" RA(\d)([ \d-]{4}).*")
_OURS = re.compile(rb"\n? (?:NA|OA|RA)[ -~]*\r$")


def encode(letters: str) -> bytes:
    """A command without an argument, with its check characters."""
    plain = f" {letters}".encode("ascii")
    total = sum(byte - 0x1F for byte in plain)
    return plain + bytes((0x20 + total // 64, 0x20 + total % 64, CR))


CUFF, SPO2, PULSE = (FrameRequest(name, encode(letters), effect="read", timeout_s=TIMEOUT_S, distinct=True)
                     for name, letters in (("cuff", "NA"), ("spo2", "OA"), ("pulse", "RA")))
REQUESTS = (CUFF, SPO2, PULSE)
HEADS = {CUFF.name: b" NA", SPO2.name: b" OA", PULSE.name: b" RA"}


class Said(NamedTuple):
    """What the lines of one read have said, running."""

    number: float | None
    times: int  # lines
    since_s: float  # edge time of the first of them


class ReturnedLines:
    """Lines that end in CR; a line feed after it belongs to the next one. Only those of the three reads are frames."""

    def __init__(self) -> None:
        self.dropped = 0
        self._held = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """The whole lines that `data` completes."""
        frames: list[bytes] = []
        for byte in data:
            self._held.append(byte)
            if byte == CR:
                line = bytes(self._held)
                self._held.clear()
                found = _OURS.search(line)
                self.dropped += len(line) if found is None else found.start()
                frames += [] if found is None else [found[0]]
            elif len(self._held) >= LONGEST:
                self.flush()
        return frames

    def flush(self) -> None:
        """Forget what is incomplete."""
        self.dropped += len(self._held)
        self._held.clear()


def _number(text: str) -> float | None:
    """A field of digits, or None where blanks or dashes stand. Raises BadFrame."""
    digits = text.strip(" -")
    if digits and not digits.isdigit():
        raise BadFrame(f"no number: {text!r}")
    return float(digits) if digits else None


class Dinamap:
    """One monitor. One that was never started is shown single lines, and takes each at its word."""

    def __init__(self) -> None:
        self.framing: Framing = ReturnedLines()
        self.unmapped = Tally()
        self._started = False
        self._now_s = 0.0
        self._aged = Aged()  # outlives an opening
        self._forget()

    def _forget(self) -> None:
        self._due_s = dict.fromkeys((request.name for request in REQUESTS), float("-inf"))
        self._missed = dict.fromkeys(self._due_s, 0)
        self._said: dict[str, Said] = {}
        self._aged_s = float("-inf")  # when its seconds were asked for last
        self._counts: dict[str, float] = {}  # the last number that counted
        self._lately: dict[str, deque[float]] = {name: deque(maxlen=MOVING) for name in self._due_s}
        self._taken_s: float | None = None  # when the determination that stands there was taken, edge time
        self._sure = False  # two lines said so
        self._new: tuple[tuple[float, ...], float] | None = None  # one that was said once, and when it was taken
        self._status: str | None = None  # of the line before
        self._failed = False  # the error that stands was told
        self._told: tuple[DeviceAlarm, ...] | None = None

    def on_open(self) -> Sequence[Request]:
        self._forget()
        self._started = True
        return [CUFF]

    def next_request(self, at_s: float) -> Request | None:
        self._now_s = at_s
        request = min(REQUESTS, key=lambda one: self._due_s[one.name])
        if at_s < self._due_s[request.name]:
            return None
        absent = self._missed[request.name] >= ABSENT
        self._due_s[request.name] = at_s + (RARELY_S if absent else EVERY_S)
        if request is CUFF:
            self._aged_s = at_s
        return request

    @property
    def due_s(self) -> float:
        """See `Timed`."""
        return min(self._due_s.values())

    def is_response(self, frame: bytes, request: Request) -> bool:
        return frame.lstrip(b"\n")[:3] == HEADS.get(request.name)

    def on_timeout(self, request: Request) -> Sequence[Decoded]:
        self._missed[request.name] += 1
        return ()

    def decode(self, frame: bytes, request: Request | None) -> Sequence[Decoded]:
        if not _OURS.fullmatch(frame):
            raise BadFrame("not a line of the three reads")
        line = frame.decode("ascii").strip("\r\n")
        name = next(name for name, head in HEADS.items() if line.startswith(head.decode()))
        if request is None or request.name != name:
            self._besides(name, line)
            return ()
        self._missed[name] = 0
        if name == CUFF.name:
            return self._cuff(line)
        reading = self._reading(name, line)
        return [self._agreed(name, reading) if self._started else reading]

    def _reading(self, name: str, line: str) -> Reading:
        """The number of a line of SpO2 or pulse. Raises BadFrame."""
        form, valid, metric, low, high = ((_SPO2, "1", "spo2_pct", 1, 100) if name == SPO2.name
                                          else (_PULSE, "2", "pulse_bpm", 20, 321))
        found = form.fullmatch(line)
        if found is None:
            raise BadFrame(f"{name}: {line!r}")
        if found[1] != valid:
            self.unmapped.saw(f"{line[1:3]} status {found[1]}")
        return judged(metric, _number(found[2]) if found[1] == valid else None, low, high)

    def _besides(self, name: str, line: str) -> None:
        """A line that nobody waits for: of it and the answer before, one is old where they differ."""
        if name == CUFF.name:
            self._new = None
        elif name in self._said and self._reading(name, line).value != self._said[name].number:
            self._forget_number(name)

    def _forget_number(self, name: str) -> None:
        self._said.pop(name, None)
        self._counts.pop(name, None)
        self._lately[name].clear()

    def _agreed(self, name: str, reading: Reading) -> Reading:
        """A number counts where so many lines running said it, and the monitor's seconds went on since the first of
        them, or it is the last that counted; else it is asked for again at once."""
        before, number, now_s = self._said.get(name), reading.value, self._now_s
        again = before is not None and number == before.number
        said = self._said[name] = Said(number, before.times + 1, before.since_s) if again and before else Said(
            number, 1, now_s)
        if number is None:
            self._counts.pop(name, None)
            self._lately[name].clear()
            return reading
        moves = self._moves(name, reading)
        if not self._aged.holds(now_s):
            self._forget_number(name)
        elif number == self._counts.get(name) or moves or (
                said.times >= NEW_TIMES and self._aged.proven_s > said.since_s):
            self._counts[name] = number
            return reading
        elif said.times < NEW_TIMES:
            self._due_s[name] = float("-inf")
        elif now_s - self._aged_s >= SECONDS_AGAIN_S:
            self._due_s[name] = self._due_s[CUFF.name] = float("-inf")
        return replace(reading, validity=Validity.QUESTIONABLE, reason="low_signal_quality")

    def _moves(self, name: str, reading: Reading) -> bool:
        lately = self._lately[name]
        lately.append(reading.value or 0.0)
        return moves(lately, NEW_TIMES, STEPS[reading.metric])

    def _cuff(self, line: str) -> Sequence[Decoded]:
        found = _CUFF.fullmatch(line)
        if found is None:
            raise BadFrame(f"cuff: {line!r}")
        status, age_s = found[1], _number(found[2])
        values = tuple(_number(text) for text in found.groups()[2:])
        if status not in (VALID, *ERROR):
            self.unmapped.saw(f"NA status {status}")
        tells = status == VALID and age_s is not None and age_s < OLDEST_S
        self._aged.told(age_s if tells else None, self._now_s)
        decoded: list[Decoded] = []
        again, self._status = status == self._status, status
        if status != VALID and self._taken_s is None:
            self._taken_s = self._now_s - SOON_S
        if status in ERROR:
            self._new = None
            if (again and not self._failed) or not self._started:
                self._failed = True
                decoded += failed("not_measured")
        elif status == VALID and age_s is not None:
            self._failed = False
            decoded += self._determination(age_s, values)
        return [*decoded, *self._alarms(status)]

    def _determination(self, age_s: float, values: tuple[float | None, ...]) -> Sequence[Reading]:
        sbp, dbp, mean = values
        if sbp is None or dbp is None or mean is None:
            return ()
        numbers = (sbp, dbp, mean)
        result = determination(*numbers, None)
        if not self._started:
            return result or tuple(Reading(metric, None, Validity.INVALID, "implausible") for metric in DETERMINATION)
        taken_s, before = self._now_s - age_s, self._taken_s
        new, self._new = self._new, None
        if before is None or abs(taken_s - before) <= AGREE_S:
            self._sure, self._taken_s = before is not None, taken_s
            return ()
        if new is None or new[0] != numbers or abs(taken_s - new[1]) > AGREE_S:
            self._new = numbers, taken_s
            return ()
        oldest_s, self._sure, self._taken_s = FRESH_S if self._sure else SOON_S, True, taken_s
        return (result or failed("implausible")) if taken_s > before and age_s <= oldest_s else ()

    def _alarms(self, status: str) -> Sequence[Decoded]:
        raw = f"NA status {status}"
        alarm = DeviceAlarm("unknown", "low", raw, f"The monitor says {raw}; what it means is not known here")
        alarms = (alarm,) if status in ERROR else ()
        if self._started and alarms == self._told:
            return ()
        self._told = alarms
        return (DeviceAlarms(alarms),)


DRIVER = Spec(
    name="dinamap",
    title="GE DINAMAP PRO, ProCare, CARESCAPE V100 (partial: reads the cuff's result, SpO2 and pulse)",
    kind="monitor",
    transports=("serial", "tcp"),
    age="the seconds since its determination, while they go on",
    grade="C",
    source="three public clients, of which one says what the lines hold; the maker's manuals were not read",
    line=Line(baud=9600, silent_after_s=SILENT_AFTER_S, lateness_s=LATENESS_S),
    metrics=frozenset({*DETERMINATION, "spo2_pct", "pulse_bpm"}),
    requests=REQUESTS,
    weak=Weak("its lines have no known check, and four that go on in one direction count", STEPS),
    wiring=(
        "Line: 9600 8N1, no flow control.\n"
        "Cable: host port of the monitor (15-pin on many; see its manual) to an isolated adapter; the pins are not"
        " known here.\n"
        "Menu: the port may have to be set to host communications in the monitor's configuration mode; the way there"
        " is not known here. The monitor's own cycle runs the cuff.\n"
        "Before use compare SpO2, pulse and two determinations with the monitor's screen.\n"
        "Known limits: partial: parts of the lines are unknown, never tried here on a device. The cuff is not"
        " started here; errors are shown raw; no serial number, it is bound by its port. Its lines have no known"
        " check, and no time but the seconds since the determination: before the first one, after one that failed, or"
        " where only the answers to one request are old, an old SpO2 or pulse that comes again is taken for a new one."
    ),
    make=lambda settings: Dinamap(),
)
