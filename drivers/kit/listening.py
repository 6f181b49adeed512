"""What drivers share whose device sends by itself: nothing is asked, a value is worth what the device says of it."""

from __future__ import annotations

import math
from collections.abc import Sequence

from drivers.contract import Decoded, Reading, Request, Validity

Verdict = tuple[Validity, str | None]  # what the device says of a value: its validity, and a word of REASONS
WELL: Verdict = (Validity.VALID, None)
BELIEVED = frozenset({Validity.VALID, Validity.QUESTIONABLE})


def judged(metric: str, value: float | None, low: float, high: float, verdict: Verdict = WELL) -> Reading:
    """`value` (None: the device has none) as a reading: without a number where the verdict forbids one, implausible
    where it is not from `low` to `high`, else with the verdict's validity and reason."""
    if verdict[0] not in BELIEVED:
        return Reading(metric, None, *verdict)
    if value is None:
        return Reading(metric, None, Validity.UNAVAILABLE)
    if not low <= value <= high:
        return Reading(metric, None, Validity.INVALID, "implausible")
    return Reading(metric, value, *verdict)


class Listener:
    """The half of a `Driver` that asks: this one asks nothing."""

    def on_open(self) -> Sequence[Request]:
        """No handshake."""
        return []

    def next_request(self, at_s: float) -> Request | None:
        """Nothing is due, ever."""
        return None

    @property
    def due_s(self) -> float:
        """See `Timed`."""
        return math.inf

    def is_response(self, frame: bytes, request: Request) -> bool:
        """Every frame came by itself."""
        return False

    def on_timeout(self, request: Request) -> Sequence[Decoded]:
        """Nothing was asked."""
        return []


def worst(bits: int, table: Sequence[tuple[int, Verdict]]) -> Verdict:
    """The verdict of the first row of `table` with a bit that is set in `bits`; well where none is."""
    return next((verdict for mask, verdict in table if bits & mask), WELL)


class Agreeing:
    """For a device that repeats itself many times a second without a checksum: a new number counts when `times` frames
    running say it, a lost one at once. What counts is told when it changes and every `every` frames."""

    def __init__(self, times: int, every: int) -> None:
        self._times, self._every = times, every
        self._frames = 0
        self._running: dict[str, tuple[Reading, int]] = {}  # of the last frame, and how many frames running had it
        self._told: dict[str, Reading] = {}

    def interrupt(self) -> None:
        """The next frame does not follow the last one: what that said counts for nothing."""
        self._running.clear()

    def news(self, readings: Sequence[Reading]) -> list[Reading]:
        """What one frame says, and is to be told now."""
        self._frames += 1
        return [one for one in readings if self._is_news(one)]

    def _is_news(self, now: Reading) -> bool:
        last, times = self._running.get(now.metric, (None, 0))
        times = times + 1 if now == last else 1
        self._running[now.metric] = now, times
        if self._told.get(now.metric) == now:
            return self._frames % self._every == 0
        if now.value is not None and times < self._times:
            return False
        self._told[now.metric] = now
        return True
