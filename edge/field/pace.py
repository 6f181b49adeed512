"""How old the bytes of a stream may be: a device sends so many a second, and what comes faster has waited on the way.

The most a device may send is its driver's to say, or the line's. What it does send may be far less (a board whose
waveforms are off), and then a minute of it would pass for a second: so what came lately counts too. And what was held
up may come in small pieces, a little faster than it was sent (`CatchingUp`).
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
HELD_S = 1.5  # real time in which nothing comes: a stream was held up, or lost it
EVEN_S = 2.5  # real time in which what follows shows which: what was held up comes faster
REOPENED_S = 1.5  # the same after an opening: what is put back is to be read again in three seconds
HOLE_S = 0.25  # real time: a longer pause in what was held up (the device was asked to begin anew) is no slower pace
CHUNKED, FEW = 24.0, 5.0  # times `EVEN_S`: where by then most of the time were pauses, all comes so, and they count
PAID_S = 0.1  # edge time: owing no more, it has caught up
CATCHES_UP = 1.05  # times the usual
MANY = 20.0  # of the longest frame ever must come in that time: of fewer nobody can say how fast they come
ANYHOW_S = 30.0  # edge time
LONGEST_S = 60.0  # edge time: by so much at most a stream is held up
KNOWN_AFTER_S = 5.0  # edge seconds after the opening from which on "lately" means anything


class Pace:
    """One line's. `most_bytes_s`: bytes an edge second at most; `speed`: edge seconds in a real one."""

    def __init__(self, most_bytes_s: float, silent_after_s: float, speed: float) -> None:
        self._most, self._silent_after_s, self._speed = SLACK * most_bytes_s, silent_after_s, speed
        self._lengths: deque[int] = deque(maxlen=LAST)  # bytes of a frame
        self._longest = 0
        self._catching_up = CatchingUp(speed)
        self.opened(0.0, 0.0)

    def frame(self, length: int) -> None:
        """A good frame of so many bytes came."""
        self._lengths.append(length)
        self._longest = max(self._longest, length)

    def opened(self, at_s: float, real_s: float) -> None:
        """The connection was opened: what comes first may be of any age."""
        self._allowed, self._at_s, self._real_s, self._opened_at_s = 0.0, at_s, real_s, at_s
        self._lately = self._weight = 0.0  # bytes, and in how many edge seconds; the older, the less they count
        self._catching_up.opened(at_s)

    def of_now(self, count: int, at_s: float, real_s: float, *, awaited: bool) -> bool:
        """Whether so many bytes can have been sent since the last ones came; if not, nobody knows how old they are.

        `awaited`: what comes is the response to a request, so it is of now anyway.
        """
        passed_s = max(at_s - self._at_s, 0.0)
        most, cap = self._most, min(self._most * CAP_S, max(self._most * EARLY_CAP_S, EARLY_BYTES))
        if self._lengths and at_s - self._opened_at_s >= KNOWN_AFTER_S:
            least = FRAMES * max(self._lengths)
            lately = self._lately / self._weight if self._weight else 0.0
            most = min(most, max(USUAL * lately, least))
            cap = min(most, max(AT_ONCE * lately, least)) * CAP_S
        if real_s - self._real_s >= self._silent_after_s:
            self._allowed = 0.0  # after a stall the first that comes is the oldest
            self._opened_at_s = at_s  # and what comes then may be a stream that begins: its pace is not known yet
        else:
            self._allowed = min(cap * self._speed, self._allowed + most * passed_s)
        keep = math.exp(-min(passed_s, PAUSE_S) / LATELY_S)
        self._lately = self._lately * keep + min(count, self._most * passed_s)  # a burst is no pace
        self._weight = self._weight * keep + min(passed_s, PAUSE_S)
        self._at_s, self._real_s = at_s, real_s
        held_up = self._catching_up.has(count, at_s, self._longest or math.inf)
        fits = count <= self._allowed or awaited
        self._allowed = max(self._allowed - count, 0.0) if fits else 0.0
        return fits and (awaited or not held_up)


class CatchingUp:
    """Whether a stream that comes at an even pace was held up, and what comes is what it owes: old, though no more at
    once than usual. So after a gap nothing is of now until it has come at its usual pace for `EVEN_S` (then what is
    missing is lost), or nothing is owed any more. Pauses count for nothing there: a device that nobody heard was asked
    to begin anew, and what was held up has holes."""

    def __init__(self, speed: float) -> None:
        self._held_s, self._even_s, self._hole_s = HELD_S * speed, EVEN_S * speed, HOLE_S * speed  # edge time
        self._reopened_s = REOPENED_S * speed
        self._shows_s = self._even_s  # of what comes, and it is known how fast it comes
        self._bytes = self._over_s = 0.0  # what came of late while it was not behind, and in how long
        self._owed = 0.0  # bytes
        self._at_s: float | None = None
        self._since_s: float | None = None  # from when on it has been behind
        self._flowed_s = 0.0  # since then, without pauses
        self._came: deque[tuple[float, int]] = deque()  # of late, since then: after how long, and how many bytes
        self._came_s = 0.0  # all of these
        self._opened_s = -math.inf

    def opened(self, at_s: float) -> None:
        """The line was opened. What was kept meanwhile may come as it comes after a gap; but where it comes faster for
        `ANYHOW_S`, another device is there, or it sends more than before."""
        self._since_s, self._owed, self._flowed_s, self._came_s = None, 0.0, 0.0, 0.0
        self._came.clear()
        if self._at_s is not None and self._over_s:
            self._since_s = self._opened_s = at_s
            self._shows_s = self._reopened_s
            self._owed = self._bytes / self._over_s * min(at_s - self._at_s, LONGEST_S)
            self._at_s = at_s

    def has(self, count: int, at_s: float, longest: float) -> bool:
        """Whether these bytes are owed. `longest`: bytes of a frame, infinite where none is known."""
        passed_s, self._at_s = 0.0 if self._at_s is None else max(at_s - self._at_s, 0.0), at_s
        usual = self._bytes / self._over_s if self._over_s else 0.0  # bytes an edge second
        if self._since_s is None and passed_s <= self._held_s:
            keep = math.exp(-passed_s / LATELY_S)
            self._bytes, self._over_s = self._bytes * keep + count, self._over_s * keep + passed_s
            return False
        if self._over_s < min(self._even_s, LATELY_S / 2) or usual * self._even_s < MANY * longest:
            return False
        self._owed = min(max(self._owed + usual * passed_s - count, 0.0), usual * LONGEST_S)
        if self._since_s is None:
            self._since_s, self._shows_s, self._flowed_s, self._came_s = at_s, self._even_s, 0.0, 0.0
        elif passed_s <= self._hole_s or at_s - self._since_s >= max(CHUNKED * self._even_s, FEW * self._flowed_s):
            self._flowed(passed_s, count)
        even = self._came_s >= self._shows_s and (
            sum(count for _, count in self._came) <= CATCHES_UP * usual * self._came_s)
        known = at_s - self._opened_s >= ANYHOW_S and self._since_s == self._opened_s
        if even or known or self._owed <= PAID_S * usual:
            self._since_s, self._owed = None, 0.0
            self._came.clear()
            return False
        return True

    def _flowed(self, passed_s: float, count: int) -> None:
        """So many bytes came, so long after those before."""
        self._flowed_s += passed_s
        self._came_s += passed_s
        self._came.append((passed_s, count))
        while self._came_s - self._came[0][0] >= self._shows_s:
            self._came_s -= self._came.popleft()[0]


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
