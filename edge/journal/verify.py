"""Checks a whole journal, record by record, and names the first that is not as it was written."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from sqlalchemy import Column, Connection, Table, select

from edge.contract.events import GENESIS
from edge.journal import chain
from edge.journal.chain import START, Seal, Wrong
from edge.journal.database import JournalDamaged
from edge.journal.reader import PAGE, Reader, ends
from edge.journal.schema import EVENT, INPUT, SEAL


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was found: how many events and inputs are good, the last good event's hash, and the first bad record in
    words (None: there is none)."""

    ok: bool
    events: int
    inputs: int
    hash: str
    problem: str | None = None


def verify(journal: str, *, expect_seq: int | None = None, expect_hash: str | None = None) -> Verdict:
    """Check the journal at a path or database URL; an edge may be writing it meanwhile.

    `expect_seq`, and `expect_hash` of that event, are what someone else has stored (a console): only so is it noticed
    that the end of the whole record was cut off, or all of it written anew. Raises JournalError where there is no
    journal to check, or a newer one.
    """
    if expect_hash is not None and expect_seq is None:
        raise ValueError("expect_hash needs expect_seq: the number of the event that has this hash")
    walk = Walk(expect_seq, expect_hash)
    try:
        with Reader(journal) as reader, reader.place.spoken():
            walk.run(reader.connection, reader.edge)
    except JournalDamaged as fault:
        words = str(fault.__cause__) if isinstance(fault.__cause__, Wrong) else f"after {walk.where()}: {fault}"
        return Verdict(False, walk.seq, walk.n, walk.hash, words)
    return Verdict(True, walk.seq, walk.n, walk.hash)


class Walk:
    """Goes through seals, and with each through the inputs and events of its commit."""

    def __init__(self, expect_seq: int | None = None, expect_hash: str | None = None) -> None:
        self.seq = 0
        self.n = 0
        self.hash = GENESIS
        self._expect_seq = expect_seq
        self._expect_hash = expect_hash

    def where(self) -> str:
        """How far it got."""
        return f"event {self.seq} and input {self.n}"

    def run(self, connection: Connection, edge: str) -> None:
        """To the ends as they are now. Raises Wrong."""
        upto = ends(connection)
        inputs, events = _rows(connection, INPUT, INPUT.c.n, upto.n), _rows(connection, EVENT, EVENT.c.seq, upto.seq)
        before = START
        for row in _rows(connection, SEAL, SEAL.c.id, upto.id):
            seal = chain.read_seal(row, before)
            self._inputs_under(seal, inputs)
            self._events_under(seal, events, edge)
            before = seal
        for table, rows in (("input", inputs), ("event", events)):
            for row in rows:
                raise Wrong(f"{table} {row[0]} is under no seal: the last one, {before.id}, ends at input"
                            f" {before.last_n} and event {before.event_seq}")
        self._anchored()

    def _inputs_under(self, seal: Seal, rows: Iterator[Sequence[Any]]) -> None:
        hashing = chain.opened(seal)
        while self.n < seal.last_n:
            row = next(rows, None)
            if row is None:
                raise Wrong(f"input: gap after {self.n}: {seal} needs more")
            stored = chain.read_input(row, self.n + 1)
            try:
                msgspec.json.decode(stored[5])
            except msgspec.MsgspecError:
                raise Wrong(f"input {stored[0]}: its body is not JSON") from None
            hashing.update(chain.line(stored))
            self.n += 1
        if hashing.hexdigest() != seal.hash:
            raise Wrong(f"{seal} does not match")

    def _events_under(self, seal: Seal, rows: Iterator[Sequence[Any]], edge: str) -> None:
        while self.seq < seal.event_seq:
            row = next(rows, None)
            if row is None:
                raise Wrong(f"event: gap after {self.seq}: seal {seal.id} says they go on to {seal.event_seq}")
            event = chain.read_event(row, self.seq + 1, self.hash)
            if event.edge != edge:
                raise Wrong(f"event {event.seq} is of edge {event.edge!r}, the journal of {edge!r}")
            self.seq, self.hash = event.seq, event.hash
            if self.seq == self._expect_seq and self._expect_hash not in (None, self.hash):
                raise Wrong(f"event {self.seq}: its hash is not the one expected, {self._expect_hash}")
        if self.hash != seal.event_hash:
            raise Wrong(f"seal {seal.id}: its event_hash does not match event {self.seq}")

    def _anchored(self) -> None:
        if self._expect_seq is not None and self._expect_seq > self.seq:
            raise Wrong(f"event: they end at {self.seq}, but {self._expect_seq} was stored elsewhere:"
                        " the end is missing")


def _rows(connection: Connection, table: Table, key: Column[Any], upto: int) -> Iterator[Sequence[Any]]:
    """All rows in order, from whatever is lowest to `upto`, in pages, each its own short transaction."""
    query = select(table).where(key <= upto).order_by(key).limit(PAGE)
    page = connection.execute(query).all()
    while page:
        yield from page
        page = connection.execute(query.where(key > page[-1][0])).all()
