"""What a person must know of the stream: what was not believed, another box with our name, a payload the broker does
not take; and how often it is said. Told the time, no I/O."""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import dataclass

from edge.contract.freshness import Reason

EVERY_S = 60.0  # real seconds between two reports of the same
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Rejection:
    """`count` payloads in the name of `sender` were rejected for `reason`, the first of them on `topic`."""

    sender: str
    topic: str
    reason: str
    count: int


@dataclass(frozen=True, slots=True)
class OtherBox:
    """Another box, or a copy of this one, publishes under this edge's name; `boot` is what it calls itself."""

    boot: str


@dataclass(frozen=True, slots=True)
class TooLarge:
    """The broker does not take a payload of `size` bytes: event `seq` went without its body, or (0) one on `topic`
    not at all."""

    topic: str
    seq: int
    size: int


StreamFault = Rejection | OtherBox | TooLarge


class Rejections:
    """Reports the first of each sort at once, then at most once in EVERY_S how many there were since."""

    def __init__(self) -> None:
        self.total: Counter[tuple[str, str]] = Counter()  # by sender and reason, since the start
        self._reported_s: dict[tuple[str, str], float] = {}
        self._since: Counter[tuple[str, str]] = Counter()

    def add(self, sender: str, topic: str, reason: Reason | str, at_s: float) -> Rejection | None:
        """One more; `sender` is a configured name, never what a payload says. What to report of it, if anything is.

        A `duplicate` is what a broker does at QoS 1, and never reported.
        """
        sort = sender, reason
        self.total[sort] += 1
        if reason == "duplicate":
            return None
        self._since[sort] += 1
        if at_s - self._reported_s.get(sort, -EVERY_S) < EVERY_S:
            return None
        self._reported_s[sort] = at_s
        report = Rejection(sender, topic, reason, self._since.pop(sort))
        log.warning("%d payload(s) on %s said to be of %s: %s; not believed", report.count, topic, sender, reason)
        return report
