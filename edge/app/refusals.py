"""How many refused commands become events: nobody without the key may fill a journal that is never emptied."""

from __future__ import annotations

from collections import deque

from edge.contract.events import EventBody, OtherBoxFound, PayloadsRejected, PayloadTooLarge
from edge.stream.faults import OtherBox, Rejection, StreamFault, TooLarge

MOST = 20
WITHIN_S = 60.0  # real seconds


class Refusals:
    """The first of a minute each have an event of their own; of the rest the next event says how many they were."""

    def __init__(self) -> None:
        self._noted: deque[float] = deque(maxlen=MOST)
        self._passed_over = 0

    def noted(self, real_s: float) -> bool:
        """Whether the command refused now is written down."""
        if len(self._noted) == MOST and real_s - self._noted[0] < WITHIN_S:
            self._passed_over += 1
            return False
        self._noted.append(real_s)
        return True

    def taken(self) -> int:
        """How many were passed over since the last one written down."""
        count, self._passed_over = self._passed_over, 0
        return count


def event_of(fault: StreamFault) -> EventBody:
    """What the record keeps of a fault of the stream."""
    match fault:
        case Rejection(sender, topic, reason, count):
            return PayloadsRejected(rejected_sender=sender, topic=topic, reason=reason, count=count)
        case OtherBox(boot):
            return OtherBoxFound(other_boot=boot)
        case TooLarge(topic, seq, size):
            return PayloadTooLarge(too_large=topic, of_seq=seq, size=size)
