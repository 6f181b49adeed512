"""One device's talk on a byte stream, told the time: what to say now, and what the bytes that came mean.

    gate closed ---(quiet is over)---> free ---(something is due)---> asked ---(its answer)---> free
         ^                                                              |
         +------------------(no answer in time: keep quiet)-------------+

One question is in flight. After a time-out nothing is said for `lateness_s`, so that a late answer arrives while nobody
is waiting and is thrown away as late; it can never be read as the next answer (reference/reliability.md, findings 1 and
2: a client without that quiet showed one parameter's number as another's in 17 of 300 reads, and one whose quiet was
shorter than the device's worst lateness in 143 of 300). The same quiet stands before the first question after every
opening, for the answer somebody else asked for. What a device says unasked is heard at any time.
`real_s` is monotonic real seconds; schedules inside the driver see edge time.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

from drivers.contract import BadFrame, Driver, FrameRequest, Line, Request
from edge.field.intake import Intake

TICK_S = 0.02  # how often a free line is asked whether something is due
GREET_EVERY_S = 3.0  # how often a device that is silent, wrong or unproven is asked who it is
DOUBT_AFTER_MISSED = 2  # so many unanswered questions in a row, and the cable may be in another device


@dataclass(slots=True)
class Pending:
    """A question that waits for its turn; `tries` more are allowed; `greets`: it came from `start`."""

    say: FrameRequest
    tries: int
    greets: bool = False


class Exchange:
    """The state of one talk. `opened`, `received` and `say` move it; `wake` is when to call `say` again."""

    def __init__(self, driver: Driver, line: Line, intake: Intake) -> None:
        self._driver, self._line, self._intake = driver, line, intake
        self._queue: deque[Pending] = deque()
        self._asked: Pending | None = None
        self._overdue: FrameRequest | None = None
        self._deadline = math.inf
        self._gate = 0.0
        self._missed = 0
        self._greet_at = math.inf
        self._greeted_well = True

    def opened(self, real_s: float) -> None:
        """The line was opened: whatever was begun is forgotten, and the device is greeted after the quiet."""
        self._overdue = self._asked.say if self._asked else self._overdue
        self._asked = None
        self._gate = real_s + self._line.lateness_s
        self._driver.framing.flush()
        self._intake.opened(real_s)
        self._greet(real_s)

    def received(self, data: bytes, real_s: float) -> None:
        """These bytes came."""
        at_s = self._intake.now()
        framing, counters = self._driver.framing, self._intake.counters
        counters.received += len(data)
        for frame in framing.feed(data):
            self._frame(frame, at_s, real_s)
        counters.dropped = framing.dropped

    def say(self, real_s: float) -> bytes | None:
        """Time passed: notice what did not come; the bytes to send now, or None."""
        if self._asked and real_s >= self._deadline:
            self._timed_out(self._asked, real_s)
        self._intake.check(real_s)
        if self._asked or real_s < self._gate:
            return None
        if real_s >= self._greet_at and self._intake.doubtful:
            self._greet(real_s)
        if not self._due(self._intake.now()):
            return None
        return self._send(self._queue.popleft(), real_s)

    def wake(self, real_s: float) -> float:
        """The real time at which `say` must be called again even if nothing comes."""
        due = self._deadline if self._asked else max(self._gate, real_s + TICK_S)
        silent_at = self._intake.silent_at
        return min(due, silent_at) if silent_at > real_s else due

    @property
    def waiting(self) -> bool:
        """Whether an answer is awaited and may still come in time."""
        return self._asked is not None

    # --- asking ---------------------------------------------------------------------------------------------------

    def _greet(self, real_s: float) -> None:
        self._intake.doubt()
        self._queue = deque(Pending(say, say.retries, greets=True) for say in _said(self._driver.on_open()))
        self._greeted_well = True
        self._greet_at = real_s + GREET_EVERY_S if not self._queue else math.inf
        if not self._queue:
            self._intake.greeted(answered=True)

    def _due(self, at_s: float) -> bool:
        """Whether a question waits; the driver is asked for one where none does. It is kept until its turn."""
        if not self._queue:
            request = self._driver.next_request(at_s)
            if request is not None:
                self._queue.extend(Pending(say, say.retries) for say in _said([request]))
        return bool(self._queue)

    def _send(self, pending: Pending, real_s: float) -> bytes:
        if self._overdue is not None:
            self._overdue = None
            self._driver.framing.flush()
        if pending.say.timeout_s is None:
            self._gate = real_s + pending.say.gap_s
            self._greeting_ends(pending, real_s)
        else:
            self._asked = pending
            self._deadline = real_s + pending.say.timeout_s
        return pending.say.frame

    # --- hearing --------------------------------------------------------------------------------------------------

    def _frame(self, frame: bytes, at_s: float, real_s: float) -> None:
        asked = self._asked
        try:
            if self._overdue is not None and self._driver.is_response(frame, self._overdue):
                self._intake.counters.late += 1
                return
            answered = asked is not None and self._driver.is_response(frame, asked.say)
            items = self._driver.decode(frame, asked.say if asked and answered else None)
        except BadFrame:
            self._intake.bad()
            return
        self._intake.counters.understood += len(frame)
        more = False
        if asked and answered:
            self._asked = None
            self._missed = 0
            self._gate = max(self._gate, real_s + asked.say.gap_s)
            more = self._due(at_s)
        self._intake.good(items, at_s, real_s, more=more)
        if asked and answered:
            self._greeting_ends(asked, real_s)

    def _timed_out(self, asked: Pending, real_s: float) -> None:
        self._asked = None
        self._overdue = asked.say
        self._gate = real_s + max(self._line.lateness_s, asked.say.gap_s)
        if asked.tries > 0:
            asked.tries -= 1
            self._queue.appendleft(asked)
            return
        self._intake.counters.timeouts += 1
        self._missed += 1
        at_s = self._intake.now()
        self._intake.said(self._driver.on_timeout(asked.say), at_s, more=False)
        self._greeted_well = self._greeted_well and not asked.greets
        if asked.greets:
            self._greeting_ends(asked, real_s)
        elif self._missed >= DOUBT_AFTER_MISSED:
            self._greet(real_s)

    def _greeting_ends(self, last: Pending, real_s: float) -> None:
        """If `last` was the last question of the greeting, say so; ask again later where it left doubt."""
        if last.greets and not any(pending.greets for pending in self._queue):
            self._greet_at = real_s + GREET_EVERY_S
            self._intake.greeted(answered=self._greeted_well)


def _said(requests: Iterable[Request]) -> list[FrameRequest]:
    frames = []
    for request in requests:
        assert isinstance(request, FrameRequest), f"a driver on a byte stream sends {request!r}"
        frames.append(request)
    return frames
