"""What an edge records before it has seen its journal: nobody knows yet what the next number is.

Numbers go on from what the box itself remembers, so that a nurse can acknowledge; they are for this process alone, and
no event leaves it under one. When the journal is there, all of it is numbered and chained behind its end.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import msgspec

from edge.contract.events import Event, PendingEvent, numbered
from edge.journal.chain import START, Checkpoint, InputRow
from edge.journal.jobs import Batch
from edge.journal.last import Last, Remembered
from edge.model import Command, Restored, decode_input, encode

NAME_EVENTS = tuple(kind.__struct_config__.tag for kind in (Command, Restored))
NOTHING = Remembered({}, 0, 0, 0)


class Unplaced:
    """In memory, in order."""

    def __init__(self, last: Last | None) -> None:
        self.remembered = NOTHING if last is None else last.read()
        self._batches: list[Batch] = []

    @property
    def checkpoint(self) -> Checkpoint:
        """What its numbers go on from; no journal has it."""
        return replace(START, last_n=self.remembered.n, event_seq=self.remembered.seq)

    def add(self, batch: Batch) -> None:
        """One more; its snapshots are of no journal."""
        if batch.inputs or batch.events:
            self._batches.append(Batch(batch.inputs, batch.events))

    def placed(self, after: Checkpoint, sign: Callable[[str], str] | None) -> list[Batch]:
        """All of it as it goes on after `after`."""
        more_n, seq, prev = after.last_n - self.remembered.n, after.event_seq, after.event_hash
        found: list[Batch] = []
        for batch in self._batches:
            events: list[Event] = []
            for event in batch.events:
                seq += 1
                pending = PendingEvent(event.bed, event.session, event.at_s, event.body)
                placed = numbered(pending, seq=seq, boot=event.boot, edge=event.edge, wall=event.wall, prev=prev)
                events.append(placed if sign is None else msgspec.structs.replace(placed, sig=sign(placed.hash)))
                prev = placed.hash
            found.append(Batch([self._row(row, more_n, after.event_seq) for row in batch.inputs], tuple(events)))
        return found

    def _row(self, row: InputRow, more_n: int, after_seq: int) -> InputRow:
        """With the numbers of events that an input names, too: for a replay."""
        n, boot, bed, at_ms, kind, body = row
        more = after_seq - self.remembered.seq
        if more and kind in NAME_EVENTS:
            given = decode_input(body)
            if isinstance(given, Restored):
                given = msgspec.structs.replace(given, after_seq=given.after_seq + more)
            elif isinstance(given, Command) and isinstance(seq := given.args.get("seq"), int):
                moved = seq + more if seq > self.remembered.seq else seq
                given = msgspec.structs.replace(given, args={**given.args, "seq": moved})
            body = encode(given).decode()
        return n + more_n, boot, bed, at_ms, kind, body
