"""What drivers share whose device sends by itself: nothing is asked, a value is worth what the device says of it."""

from __future__ import annotations

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

    def is_response(self, frame: bytes, request: Request) -> bool:
        """Every frame came by itself."""
        return False

    def on_timeout(self, request: Request) -> Sequence[Decoded]:
        """Nothing was asked."""
        return []


def worst(bits: int, table: Sequence[tuple[int, Verdict]]) -> Verdict:
    """The verdict of the first row of `table` with a bit that is set in `bits`; well where none is."""
    return next((verdict for mask, verdict in table if bits & mask), WELL)
