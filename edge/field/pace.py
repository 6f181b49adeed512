"""How old the bytes of a stream may be: a device sends so many a second, and what comes faster has waited on the way.

The most a device may send is its driver's to say, or the line's. What it does send may be far less (a board whose
waveforms are off), and then a minute of it would pass for a second: so what came lately counts too.
"""

from __future__ import annotations

import math
from collections import deque

SLACK = 1.3  # a device's clock, and the buffers on the way, may be off by so much
CAP_S = 1.0  # real seconds of a stream that may come at once and still be of now
EARLY_CAP_S, EARLY_BYTES = 0.25, 400.0  # the same before its pace is known, and no less: of one that sends little, what
# it may send in a second can be a minute
USUAL = 4.0  # times what came lately: more than that is no stream that has become livelier
AT_ONCE = 2.0  # times what comes in a second lately: more at once has been held up
FRAMES = 8.0  # and so many of the longest frame always come at once
LAST = 8  # frames among which the longest is: a device may be told to send shorter ones
LATELY_S = 10.0  # edge seconds
PAUSE_S = 1.0  # a longer silence says nothing of the pace
FLOOD = 4.0  # times what the line carries: more is never parsed, so that a flood costs nobody else's time
FLOOD_BYTES = 16_384.0  # and so many may always come at once, after a pause
KNOWN_AFTER_S = 5.0  # edge seconds after the opening from which on "lately" means anything


class Pace:
    """One line's. `most_bytes_s`: bytes an edge second at most; `speed`: edge seconds in a real one."""

    def __init__(self, most_bytes_s: float, silent_after_s: float, speed: float) -> None:
        self._most, self._silent_after_s, self._speed = SLACK * most_bytes_s, silent_after_s, speed
        self._lengths: deque[int] = deque(maxlen=LAST)  # bytes of a frame
        self.opened(0.0, 0.0)

    def frame(self, length: int) -> None:
        """A good frame of so many bytes came."""
        self._lengths.append(length)

    def opened(self, at_s: float, real_s: float) -> None:
        """The connection was opened: what comes first may be of any age."""
        self._allowed, self._at_s, self._real_s, self._opened_at_s = 0.0, at_s, real_s, at_s
        self._lately = 0.0  # bytes an edge second

    def of_now(self, count: int, at_s: float, real_s: float, *, awaited: bool) -> bool:
        """Whether so many bytes can have been sent since the last ones came; if not, nobody knows how old they are.

        `awaited`: what comes is the response to a request, so it is of now anyway.
        """
        passed_s = max(at_s - self._at_s, 0.0)
        most, cap = self._most, min(self._most * CAP_S, max(self._most * EARLY_CAP_S, EARLY_BYTES))
        if self._lengths and at_s - self._opened_at_s >= KNOWN_AFTER_S:
            least = FRAMES * max(self._lengths)
            most = min(most, max(USUAL * self._lately, least))
            cap = min(most, max(AT_ONCE * self._lately, least)) * CAP_S
        if real_s - self._real_s >= self._silent_after_s:
            self._allowed = 0.0  # after a stall the first that comes is the oldest
            self._opened_at_s = at_s  # and what comes then may be a stream that begins: its pace is not known yet
        else:
            self._allowed = min(cap * self._speed, self._allowed + most * passed_s)
        keep = math.exp(-min(passed_s, PAUSE_S) / LATELY_S)
        self._lately = self._lately * keep + min(count, self._most * passed_s) / LATELY_S  # a burst is no pace
        self._at_s, self._real_s = at_s, real_s
        fits = count <= self._allowed or awaited
        self._allowed = max(self._allowed - count, 0.0) if fits else 0.0
        return fits


class Flood:
    """Whether more comes than a line of `bytes_s` carries, real time; it is not to be looked at."""

    def __init__(self, bytes_s: float) -> None:
        self._bytes_s = FLOOD * bytes_s
        self._room, self._real_s = FLOOD_BYTES, 0.0
        self.thrown = 0  # bytes of one so far

    def has(self, count: int, real_s: float) -> bool:
        """Whether so many bytes are of one."""
        self._room = min(FLOOD_BYTES, self._room + self._bytes_s * max(real_s - self._real_s, 0.0))
        self._real_s = real_s
        if count > self._room:
            self.thrown += count
            return True
        self._room -= count
        return False
