"""Events that a console has stored and this edge's record has lost: of a boot that was ended while its store failed, of
a journal that was damaged or is an older copy. They go into the record as the console gives them back, each as it was.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from edge.contract.events import EventRecovered, PendingEvent
from edge.contract.payloads import Answer, BadPayload, CommandIn, EventOut, decode
from edge.journal.journal import Journal


class Offered:
    """Takes only what this edge itself has signed, and each once."""

    def __init__(
        self, edge: str, journal: Journal, *, now: Callable[[], float], is_signed: Callable[[str, str], bool],
        note: Callable[[Sequence[PendingEvent]], None],
    ) -> None:
        """`is_signed(hash, signature)`: it is this edge's own; `note` appends events and publishes them."""
        self._edge, self._journal = edge, journal
        self._now, self._is_signed, self._note = now, is_signed, note
        self._taken: set[str] = set()

    async def take(self, sent: CommandIn) -> Answer:
        """The answer to a console's offer: what of it is right and not in the record is in it now."""
        pending: list[PendingEvent] = []
        for offered in _events(sent.args):
            event = self._own(offered)
            if event is None:
                return Answer(id=sent.id, ok=False, reason="bad_args: not an event that this edge has signed")
            if event.hash not in self._taken and not await self._is_recorded(event):
                self._taken.add(event.hash)
                pending.append(PendingEvent(event.bed, event.session, self._now(), _recovered(event, sent.console)))
        if pending:
            self._note(pending)
        return Answer(id=sent.id, ok=True)

    def _own(self, offered: object) -> EventOut | None:
        try:
            event = decode(EventOut, msgspec.json.encode(offered))
        except (BadPayload, msgspec.MsgspecError):
            return None
        signed = event.hash_sig is not None and self._is_signed(event.hash, event.hash_sig)
        return event if event.edge == self._edge and not event.withheld and event.verify() and signed else None

    async def _is_recorded(self, event: EventOut) -> bool:
        found = await self._journal.events_after(event.seq - 1, 1)
        return bool(found) and found[0].hash == event.hash


def _events(args: dict[str, Any]) -> list[object]:
    events = args.get("events")
    return events if isinstance(events, list) else [events]


def _recovered(event: EventOut, console: str) -> EventRecovered:
    return EventRecovered(
        console=console, of_seq=event.seq, of_boot=event.boot, of_at=event.at, of_wall=event.wall, of_kind=event.kind,
        of_body=msgspec.json.decode(event.body, type=dict[str, Any]), of_prev=event.prev, of_hash=event.hash,
        of_sig=event.hash_sig or "")
