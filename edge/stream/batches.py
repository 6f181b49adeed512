"""How large a payload the broker takes, as far as it has shown, and event messages cut to that: told the time, no I/O.

A broker says no by breaking the connection (mosquitto's max_packet_size), or takes the payload and hands it to nobody
(its message_size_limit): either way it is not acknowledged. What fails is halved. An event that fails alone three times
is sent once without its body (`withheld` says its size), so that a console can go on behind it; then whole again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from edge.contract.events import Event
from edge.contract.payloads import EventOut, encode, event_out, event_topic
from edge.contract.signing import Signer

BATCH = 200  # events in one message, or
BATCH_BYTES = 131_072  # so many bytes, that a thin line is never blocked for long
SMALL_BYTES = 2048  # a broker that does not take this much carries no state either; what is smaller is not to blame
CEILING_S = 600.0  # real seconds a size that failed is not tried again
TRIES = 3  # of an event alone, or of any other payload, before it is done without
SKIPPED_S = 60.0  # real seconds a payload that failed so often is not tried again


@dataclass(frozen=True, slots=True)
class Message:
    """One event message: the payload, and the events `first` to `last` in it. `withheld`: that event's body is not in
    it, being so many bytes."""

    payload: bytes
    first: int
    last: int
    withheld: int = 0


class PayloadSize:
    """What the broker takes."""

    def __init__(self) -> None:
        self.most = BATCH_BYTES
        self._ceiling: tuple[int, float] | None = None
        self._alone: dict[int, int] = {}  # seq -> how often it failed alone
        self._failed: dict[str, tuple[int, float]] = {}  # topic -> how often in a row, and when last

    def batch_failed(self, message: Message, at_s: float) -> None:
        """It broke the connection, or nobody acknowledged it."""
        size = len(message.payload)
        if size <= SMALL_BYTES:
            return
        ceiling = size if self._ceiling is None or at_s - self._ceiling[1] > CEILING_S else min(size, self._ceiling[0])
        self._ceiling = ceiling, at_s
        self.most = max(SMALL_BYTES, min(self.most, size) // 2)
        if message.first == message.last:
            self._alone[message.first] = self._alone.get(message.first, 0) + 1

    def batch_stored(self, upto: int, at_s: float) -> None:
        """A console has stored everything up to `upto`: larger ones may be tried again."""
        self._alone = {seq: count for seq, count in self._alone.items() if seq > upto}
        most = BATCH_BYTES
        if self._ceiling is not None and at_s - self._ceiling[1] <= CEILING_S:
            most = max(SMALL_BYTES, self._ceiling[0] // 2)
        self.most = min(self.most * 2, most)

    def withholds(self, seq: int) -> bool:
        """Whether this event goes without its body this time."""
        if self._alone.get(seq, 0) < TRIES:
            return False
        self._alone[seq] = 0
        return True

    def failed(self, topic: str, size: int, at_s: float) -> None:
        """A payload on another topic broke the connection."""
        if size > SMALL_BYTES:
            self._failed[topic] = self._failed.get(topic, (0, 0.0))[0] + 1, at_s

    def passed(self, topic: str) -> None:
        """The broker took it."""
        self._failed.pop(topic, None)

    def hopeless(self, topic: str, size: int, at_s: float) -> bool:
        """Whether to do without it for now, so that the rest gets through."""
        count, last_s = self._failed.get(topic, (0, 0.0))
        return count >= TRIES and size > SMALL_BYTES and at_s - last_s < SKIPPED_S


def event_message(
    events: Sequence[Event], late: bool, signer: Signer, size: PayloadSize, stored_seq: int | None = None,
) -> Message:
    """The first of `events` (one at least), as many as fit, each signed for itself: one event alone, or a list.
    Those after `stored_seq` (None: none) are not on the disk, and say so."""
    topic = event_topic(events[0].edge)
    if size.withholds(events[0].seq):
        return _withheld(_out(events[0], late, stored_seq), signer, topic)
    parts: list[bytes] = []
    total = 2
    for event in events[:BATCH]:
        part = signer.sign(topic, encode(_out(event, late, stored_seq)))
        total += len(part) + 1
        if parts and total > size.most:
            break
        parts.append(part)
    payload = parts[0] if len(parts) == 1 else b"[" + b",".join(parts) + b"]"
    return Message(payload, events[0].seq, events[0].seq + len(parts) - 1)


def _out(event: Event, late: bool, stored_seq: int | None) -> EventOut:
    return event_out(event, late, stored_seq is not None and event.seq > stored_seq)


def _withheld(whole: EventOut, signer: Signer, topic: str) -> Message:
    size = len(encode(whole))
    without = msgspec.structs.replace(whole, body=msgspec.Raw(b"{}"), withheld=size)
    return Message(signer.sign(topic, encode(without)), whole.seq, whole.seq, size)
