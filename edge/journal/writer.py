"""The journal's one writer: a thread that owns the one connection, and commits all that waits at once.

Whatever happens to the thread, every caller that waits gets a result: with "it is on the disk", or with why it is not.
After a failed commit nothing is tried again: Linux drops the pages that could not be written and reports the fault once
("fsyncgate", PostgreSQL 2018), so what an fsync that failed left behind nobody knows. The journal says so and stays
failed; the process starts anew.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import astuple, dataclass, field, replace
from queue import Empty, SimpleQueue
from typing import Any, Generic, TypeVar

from sqlalchemy import Connection, Table, delete, insert, select
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from edge.contract.events import Event
from edge.journal import chain
from edge.journal.chain import Checkpoint, InputRow
from edge.journal.database import DatabaseUrl, JournalError
from edge.journal.schema import CHECKPOINT, EVENT, INPUT, SNAPSHOT

T = TypeVar("T")
SNAPSHOTS_KEPT = 2


@dataclass(frozen=True, slots=True)
class SnapshotRow:
    """A bed's whole state after input `n`."""

    bed: str
    n: int
    at_ms: int
    body: bytes


@dataclass(frozen=True, slots=True)
class Batch:
    """What must be stored together. `stored` resolves, on its own loop, once it is on the disk."""

    inputs: list[InputRow] = field(default_factory=list)
    events: tuple[Event, ...] = ()
    snapshots: list[SnapshotRow] = field(default_factory=list)
    stored: asyncio.Future[None] | None = None

    def settle(self, fault: JournalError | None) -> None:
        """Give the result to the caller. A loop that is closed has no caller left."""
        if self.stored is not None:
            with suppress(RuntimeError):
                self.stored.get_loop().call_soon_threadsafe(_resolve, self.stored, fault)


def _resolve(stored: asyncio.Future[None], fault: JournalError | None) -> None:
    if stored.done():  # its caller gave up waiting
        return
    if fault is None:
        stored.set_result(None)
    else:
        stored.set_exception(fault)


@dataclass(frozen=True, slots=True)
class Query(Generic[T]):
    """A question to the database, or a small change: its own transaction, after all that was handed in before."""

    question: Callable[[Connection], T]
    result: Future[T] = field(default_factory=Future)

    def settle(self, fault: JournalError) -> None:
        """It will not be run."""
        if not self.result.done():
            with suppress(RuntimeError):  # cancelled in between
                self.result.set_exception(fault)


class Stop:
    """The last thing in the queue."""


class Writer:
    """Owns `connection` from `start` until it ends; `checkpoint` is the last one stored."""

    def __init__(
        self, place: DatabaseUrl, connection: Connection, checkpoint: Checkpoint,
        sign: Callable[[str], str] | None = None,
    ) -> None:
        """`sign` makes this edge's signature over a hash; it is called on the writer's thread."""
        self._sign = sign
        self.place = place
        self.ended: JournalError | None = None  # why nothing more is taken
        self.checkpoint = checkpoint
        self._connection = connection
        self._queue: SimpleQueue[Batch | Query[Any] | Stop] = SimpleQueue()
        self._taken: list[Batch | Query[Any] | Stop] = []
        self._thread = threading.Thread(target=self._run, name="journal", daemon=True)

    def start(self) -> None:
        """From here on the connection belongs to the thread."""
        self._thread.start()

    def hand(self, job: Batch | Query[Any] | Stop) -> None:
        """Give the writer something to do. Never blocks. Raises JournalError once it has ended."""
        self.check()
        self._queue.put(job)
        if self.ended is not None:  # it ended in between and may not have seen this one
            self._drain(self.ended)

    def check(self) -> None:
        """Raises JournalError once it has ended."""
        if self.ended is not None:
            raise type(self.ended)(*self.ended.args)

    def query(self, question: Callable[[Connection], T]) -> Future[T]:
        """`question`, run on the writer's thread. It may raise JournalError, which goes to this caller alone."""
        job = Query(question)
        self.hand(job)
        return job.result

    def join(self) -> None:
        """Wait until the thread has ended. Blocks."""
        self._thread.join()

    def _run(self) -> None:
        ended = JournalError(f"journal {self.place} was stopped by an error of vigil itself")
        try:
            while self._turn():
                pass
            ended = JournalError(f"journal {self.place} is closed")
        except DBAPIError as fault:
            ended = self.place.error(fault)
        finally:
            self.ended = ended
            with suppress(SQLAlchemyError):
                self._connection.close()
            for job in self._taken:
                if not isinstance(job, Stop):
                    job.settle(ended)
            self._drain(ended)

    def _turn(self) -> bool:
        """Take all that waits, commit it once, run the queries. False after Stop."""
        self._taken.append(self._queue.get())
        with suppress(Empty):
            while True:
                self._taken.append(self._queue.get_nowait())
        batches = [job for job in self._taken if isinstance(job, Batch)]
        self._store(batches)
        for batch in batches:
            batch.settle(None)
        self._taken = [job for job in self._taken if not isinstance(job, Batch)]
        for job in self._taken:
            if isinstance(job, Query):
                self._run_query(job)
        going = not any(isinstance(job, Stop) for job in self._taken)
        self._taken = []
        return going

    def _store(self, batches: list[Batch]) -> None:
        inputs = [row for batch in batches for row in batch.inputs]
        events = [event for batch in batches for event in batch.events]
        snapshots = [snapshot for batch in batches for snapshot in batch.snapshots]
        if not (inputs or events or snapshots):
            return
        checkpoint = self.checkpoint
        with self._connection.begin():
            if inputs or events:
                newest = (events[-1].seq, events[-1].hash) if events else (checkpoint.event_seq, checkpoint.event_hash)
                checkpoint = chain.next_checkpoint(checkpoint, inputs, *newest)
                if self._sign is not None:
                    checkpoint = replace(checkpoint, sig=self._sign(checkpoint.hash))
                self._insert(INPUT, inputs)
                self._insert(EVENT, [_event_row(event) for event in events])
                self._insert(CHECKPOINT, [astuple(checkpoint)])
            for snapshot in snapshots:
                self._keep(snapshot)
        self.checkpoint = checkpoint

    def _insert(self, table: Table, rows: list[Any]) -> None:
        if rows:
            names = table.columns.keys()
            self._connection.execute(insert(table), [dict(zip(names, row, strict=True)) for row in rows])

    def _keep(self, snapshot: SnapshotRow) -> None:
        """Store it, and let go of all but the newest of its bed."""
        bed, n = snapshot.bed, snapshot.n
        self._connection.execute(delete(SNAPSHOT).where(SNAPSHOT.c.bed == bed, SNAPSHOT.c.n == n))
        digest = chain.snapshot_hash(bed, n, snapshot.at_ms, snapshot.body)
        self._connection.execute(insert(SNAPSHOT).values(
            bed=bed, n=n, at_ms=snapshot.at_ms, body=snapshot.body, hash=digest,
            sig=None if self._sign is None else self._sign(digest)))
        newest = select(SNAPSHOT.c.n).where(SNAPSHOT.c.bed == bed).order_by(SNAPSHOT.c.n.desc()).limit(SNAPSHOTS_KEPT)
        self._connection.execute(delete(SNAPSHOT).where(SNAPSHOT.c.bed == bed, SNAPSHOT.c.n.not_in(newest)))

    def _run_query(self, job: Query[Any]) -> None:
        if not job.result.set_running_or_notify_cancel():
            return
        try:
            with self.place.translating_errors(), self._connection.begin():
                found = job.question(self._connection)
        except JournalError as fault:
            job.result.set_exception(fault)
            if isinstance(fault.__cause__, DBAPIError):  # the database's own fault, not a record's: the end
                raise fault.__cause__ from None
            return
        job.result.set_result(found)

    def _drain(self, fault: JournalError) -> None:
        with suppress(Empty):
            while True:
                job = self._queue.get_nowait()
                if not isinstance(job, Stop):
                    job.settle(fault)


def _event_row(event: Event) -> tuple[Any, ...]:
    return (event.seq, event.boot, event.edge, event.bed, event.session, round(event.at_s * 1000), event.wall,
            event.kind, event.body_json, event.prev, event.hash, event.sig)
