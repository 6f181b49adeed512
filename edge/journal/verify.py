"""Checks a whole journal, record by record, and names the first that is not as it was written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from types import MappingProxyType
from typing import Any

import msgspec
from nacl.signing import VerifyKey
from sqlalchemy import Column, Connection, Table
from sqlalchemy.exc import DBAPIError

from edge.contract.events import GENESIS
from edge.contract.signing import hash_is_signed
from edge.journal import chain
from edge.journal.chain import START, Checkpoint, InputRow, Wrong
from edge.journal.database import JournalDamaged
from edge.journal.reader import PAGE, Reader, base_of, checkpoint_rows, ends, has_segments, moment
from edge.journal.schema import CHECKPOINT, EVENT, INPUT, SNAPSHOT, stored
from edge.journal.segments import Segment, covering
from edge.journal.segments import read as read_segment

NOTHING: Mapping[int, str] = MappingProxyType({})
MOST_NAMED = 1000


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was found: how many events and inputs are good, the last good event's hash, and the first bad record in
    words (None: there is none)."""

    ok: bool
    events: int
    inputs: int
    hash: str
    problem: str | None = None
    signed_from: int | None = None  # the first event that is signed; None: none is
    begins_after: int = 0  # the record goes on after this event, which is in another one
    dropped: int = 0  # so many of `inputs` are no longer kept: checkpoints stand for them


def verify(
    journal: str, *, keys: Sequence[VerifyKey] = (), expect_seq: int | None = None, expect_hash: str | None = None,
    expected: Mapping[int, str] = NOTHING,
) -> Verdict:
    """Check the journal at a path or database URL; an edge may be writing it meanwhile.

    `keys`: the edge's public key, after those that it had before. With it every signature is checked, none is by a key
    older than the one before, and nothing may be unsigned once anything was signed, nor all of it be unsigned: so a
    record whose hashes were all made anew by somebody without the private key is found. `expect_seq`, and `expect_hash`
    of that event, are what someone else has stored (a console), `expected` the hashes of many events by their numbers:
    only so is it noticed that the end of the whole record was cut off, or all of it written anew by somebody with the
    key. Raises JournalError where there is no journal to check, or a newer one.
    """
    if expect_hash is not None and expect_seq is None:
        raise ValueError("expect_hash needs expect_seq: the number of the event that has this hash")
    walk = Walk(expect_seq, expect_hash, keys, expected)
    try:
        with Reader(journal) as reader, reader.place.translating_errors(), moment(reader.connection):
            walk.run(reader.connection, reader.edge)
    except JournalDamaged as fault:
        words = str(fault.__cause__) if isinstance(fault.__cause__, Wrong) else f"after {walk.where()}: {fault}"
        return Verdict(False, walk.seq, walk.n, walk.hash, words, walk.signed_from, walk.begins_after, walk.dropped)
    return Verdict(True, walk.seq, walk.n, walk.hash, None, walk.signed_from, walk.begins_after, walk.dropped)


def damaged_records(journal: str) -> list[str]:
    """Each event, checkpoint and packed part that is not as it was written, in words, up to MOST_NAMED. Raises
    JournalError where it cannot be read now."""
    try:
        with Reader(journal) as reader, reader.place.translating_errors(), moment(reader.connection):
            return list(islice(_damaged(reader.connection), MOST_NAMED))
    except JournalDamaged as fault:
        return [fault.what]


def _damaged(connection: Connection) -> Iterator[str]:
    upto, base, packs = ends(connection), base_of(connection).checkpoint, has_segments(connection)
    prev: str | None = base.event_hash
    for seq in range(base.event_seq + 1, upto.seq + 1):
        row = None
        with _naming(f"event {seq}") as wrong:
            row = connection.execute(stored(connection, EVENT).where(EVENT.c.seq == seq)).first()
            if row is None:
                raise Wrong(f"event {seq} is missing")
            prev = chain.read_event(row, seq, prev if prev is not None else row.prev).hash
        if wrong:
            prev = None  # the next one is judged by itself
        yield from wrong
    before: Checkpoint | None = base
    number = base.id
    while number < upto.id:
        number += 1
        with _naming(f"checkpoint {number}") as wrong:
            if packs and (segment := covering(connection, number)) is not None:
                number, before = segment.last_id, None
                *_, (before, _) = read_segment(connection, segment, base)
                continue
            row = connection.execute(stored(connection, CHECKPOINT).where(CHECKPOINT.c.id == number)).first()
            if row is None:
                raise Wrong(f"checkpoint {number} is missing")
            found = chain.typed_checkpoint(row, number - 1)
            checkpoint_rows(connection, found if before is None else chain.read_checkpoint(row, before))
            before = found
        if wrong:
            before = None
        yield from wrong


@contextmanager
def _naming(what: str) -> Iterator[list[str]]:
    """Says what is wrong inside, if anything."""
    wrong: list[str] = []
    try:
        yield wrong
    except Wrong as fault:
        wrong.append(str(fault))
    except DBAPIError as fault:
        wrong.append(f"{what} cannot be read: {str(fault.orig).splitlines()[0]}")


class Walk:
    """Goes through checkpoints, and with each through the inputs and events of its commit."""

    def __init__(
        self, expect_seq: int | None = None, expect_hash: str | None = None, keys: Sequence[VerifyKey] = (),
        expected: Mapping[int, str] = NOTHING,
    ) -> None:
        self.signed_from: int | None = None
        self.begins_after = 0
        self.dropped = 0
        self._keys = keys
        self._oldest = 0  # of these, that may have signed what comes
        self._edge = ""
        self._unsigned_boot: str | None = None
        self._signed_from_n = 0  # the first input under a signed checkpoint
        self.seq = 0
        self.n = 0
        self.hash = GENESIS
        self._expect_seq = expect_seq
        self._expect_hash = expect_hash
        self._expected = expected

    def where(self) -> str:
        """How far it got."""
        return f"event {self.seq} and input {self.n}"

    def run(self, connection: Connection, edge: str) -> None:
        """To the ends as they are now. Raises Wrong."""
        upto = ends(connection)
        self._edge = edge
        inputs, events = _rows(connection, INPUT, INPUT.c.n, upto.n), _rows(connection, EVENT, EVENT.c.seq, upto.seq)
        before, packs = base_of(connection).checkpoint, has_segments(connection)
        self.n, self.seq, self.hash = before.last_n, before.event_seq, before.event_hash
        self.begins_after = self.seq
        if before != START:
            self._checkpoint_signed(before)
        for row in _rows(connection, CHECKPOINT, CHECKPOINT.c.id, upto.id):
            segment = covering(connection, before.id + 1) if packs and row[0] > before.id else None
            packs = segment is not None  # they are the oldest: behind them none is packed
            if segment is not None:
                checkpoint = self._packed(connection, segment, events)
            else:
                checkpoint = chain.read_checkpoint(row, before)
                self._inputs_under(checkpoint, inputs)
                self._events_under(checkpoint, events, edge)
            self._checkpoint_signed(checkpoint)
            before = checkpoint
        for table, rows in (("input", inputs), ("event", events)):
            for row in rows:
                raise Wrong(f"{table} {row[0]} is under no checkpoint: the last one, {before.id}, ends at input"
                            f" {before.last_n} and event {before.event_seq}")
        self._anchored()
        self._snapshots_signed(connection)
        if self._keys and self.seq > self.begins_after and self.signed_from is None:
            first = self.begins_after + 1
            raise Wrong(f"event {first}: neither it nor any event after it is signed, but this edge has a key")

    def _signed(self, what: str, digest: str, sig: str | None, before: bool) -> bool:
        """Whether `what` is signed, rightly as far as the key is known; `before`: one before it was."""
        if sig is None:
            if before:
                raise Wrong(f"{what}: it is not signed, but what is before it is")
            return False
        if self._keys:
            by = next((number for number in range(self._oldest, len(self._keys))
                       if hash_is_signed(self._keys[number], self._edge, digest, sig)), None)
            if by is None:
                raise Wrong(f"{what}: its signature is not this edge's")
            self._oldest = by
        return True

    def _checkpoint_signed(self, checkpoint: Checkpoint) -> None:
        before = self._signed_from_n > 0 or self.signed_from is not None
        if self._signed(str(checkpoint), checkpoint.hash, checkpoint.sig, before) and not self._signed_from_n:
            self._signed_from_n = checkpoint.first_n

    def _snapshots_signed(self, connection: Connection) -> None:
        """A snapshot is a cache, and passed over where it is damaged; but none may be somebody else's."""
        for bed, n, at_ms, body, digest, sig in connection.execute(stored(connection, SNAPSHOT)).all():
            self._oldest = 0  # it may be of a bed that is no more
            what = f"snapshot of {bed} after input {n}"
            if digest == chain.snapshot_hash(bed, n, at_ms, bytes(body)):
                self._signed(what, digest, sig, 0 < self._signed_from_n <= n)

    def _packed(self, connection: Connection, segment: Segment, events: Iterator[Sequence[Any]]) -> Checkpoint:
        """Goes through a segment; its last checkpoint."""
        checkpoint = START
        if segment.first_n != self.n + 1:
            raise Wrong(f"input: gap after {self.n}: the next ones are packed from {segment.first_n}")
        for checkpoint, rows in read_segment(connection, segment, base_of(connection).checkpoint):
            if segment.body is None:
                self.dropped += segment.last_n - self.n
            elif rows and _not_json(rows):
                raise Wrong(f"input {_not_json(rows)}: its body is not JSON")
            self.n = checkpoint.last_n
            self._events_under(checkpoint, events, self._edge)
        return checkpoint

    def _inputs_under(self, checkpoint: Checkpoint, rows: Iterator[Sequence[Any]]) -> None:
        hashing = chain.opened(checkpoint)
        while self.n < checkpoint.last_n:
            row = next(rows, None)
            if row is None:
                raise Wrong(f"input: gap after {self.n}: {checkpoint} needs more")
            stored = chain.read_input(row, self.n + 1)
            try:
                msgspec.json.decode(stored[5])
            except msgspec.MsgspecError:
                raise Wrong(f"input {stored[0]}: its body is not JSON") from None
            hashing.update(chain.line(stored))
            self.n += 1
        if hashing.hexdigest() != checkpoint.hash:
            raise Wrong(f"{checkpoint} does not match")

    def _events_under(self, checkpoint: Checkpoint, rows: Iterator[Sequence[Any]], edge: str) -> None:
        while self.seq < checkpoint.event_seq:
            row = next(rows, None)
            if row is None:
                raise Wrong(f"event: gap after {self.seq}: checkpoint {checkpoint.id} says they go on to"
                            f" {checkpoint.event_seq}")
            event = chain.read_event(row, self.seq + 1, self.hash)
            if event.edge != edge:
                raise Wrong(f"event {event.seq} is of edge {event.edge!r}, the journal of {edge!r}")
            if not self._signed(f"event {event.seq}", event.hash, event.sig, self.signed_from is not None):
                self._unsigned_boot = event.boot
            elif self.signed_from is None:
                if event.boot == self._unsigned_boot:
                    raise Wrong(f"event {event.seq - 1}: it is not signed, but others of its boot are")
                self.signed_from = event.seq
            self.seq, self.hash = event.seq, event.hash
            if self.seq == self._expect_seq and self._expect_hash not in (None, self.hash):
                raise Wrong(f"event {self.seq}: its hash is not the one expected, {self._expect_hash}")
            if self._expected.get(self.seq, self.hash) != self.hash:
                raise Wrong(f"event {self.seq}: its hash is not the one that was stored elsewhere,"
                            f" {self._expected[self.seq]}")
        if self.hash != checkpoint.event_hash:
            raise Wrong(f"checkpoint {checkpoint.id}: its event_hash does not match event {self.seq}")

    def _anchored(self) -> None:
        stored = max(self._expect_seq or 0, *self._expected, 0)
        if stored > self.seq:
            raise Wrong(f"event: they end at {self.seq}, but {stored} was stored elsewhere: the end is missing")


def _not_json(rows: Sequence[InputRow]) -> int:
    """The number of the first whose body is not JSON; 0: each is."""
    for row in rows:
        try:
            msgspec.json.decode(row[5])
        except msgspec.MsgspecError:
            return row[0]
    return 0


def _rows(connection: Connection, table: Table, key: Column[Any], upto: int) -> Iterator[Sequence[Any]]:
    """All rows in order, from whatever is lowest to `upto`, in pages, each its own short transaction."""
    query = stored(connection, table).where(key <= upto).order_by(key).limit(PAGE)
    page = connection.execute(query).all()
    while page:
        yield from page
        page = connection.execute(query.where(key > page[-1][0])).all()
