"""The journal's one writer: a thread that owns the one connection, and commits all that waits at once.

Whatever happens to the thread, every caller that waits gets a result: "it is on the disk", "it is kept in memory", or
why it is neither. A failed commit is never simply tried again: Linux drops the pages that could not be written and
reports the fault once ("fsyncgate", PostgreSQL 2018), so what an fsync that failed left behind nobody knows. Without
`store` the journal says so and stays failed. With it, the thread keeps what comes in order, and at every `Retry`
opens the store anew, brings what is in it to the disk, looks how far it really got, and writes what is missing.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import astuple, replace
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

from sqlalchemy import Connection, Table, delete, insert, select
from sqlalchemy.exc import DBAPIError

from edge import points
from edge.contract.events import Event
from edge.journal import archive, chain, segments
from edge.journal.chain import Checkpoint, Wrong
from edge.journal.database import DatabaseUrl, JournalDamaged, JournalError, JournalFailing, of_a_row
from edge.journal.jobs import Batch, Job, Query, Remember, Retry, SnapshotRow, Stop
from edge.journal.reader import base_of
from edge.journal.schema import CHECKPOINT, EVENT, INPUT, SNAPSHOT
from edge.journal.segments import Retention
from edge.journal.store import Store, close
from edge.postgres import hang_up

T = TypeVar("T")
log = logging.getLogger(__name__)
KEEP_ALL = Retention()
SNAPSHOTS_KEPT = 2
ROWS_A_COMMIT = 5000  # of what was kept in memory


class Writer:
    """Owns `connection` from `start` until it ends; `checkpoint` is the last one stored."""

    def __init__(
        self, place: DatabaseUrl, connection: Connection | None, checkpoint: Checkpoint,
        sign: Callable[[str], str] | None = None, *, store: Store | None = None,
        failing: JournalError | None = None, on_changed: Callable[[], None] = lambda: None,
        keep_inputs: Retention = KEEP_ALL, at_ms: int = 0,
    ) -> None:
        """`sign` makes this edge's signature over a hash. `store`: keep in memory what cannot be written, and open this
        again; `failing`: it could not be opened to be written, and `connection` can at most be read.
        `on_changed` says that `failing` has changed. Both functions are called on the writer's thread."""
        self._sign = sign
        self.place = place
        self.ended: JournalError | None = None  # why nothing more is taken
        self.failing = failing  # why nothing can be written now
        self.checkpoint = checkpoint
        self.held_events: list[Event] = []  # in memory alone, in order
        self.steps = 0  # commits, and attempts to write again, that came to an end, well or not
        self._attempted = checkpoint
        self.opened_ms = at_ms  # the time of the last input or event, when it was opened last
        self._placed = failing is None or connection is not None  # whether `checkpoint` is of this journal
        self._packs = True  # until something is found damaged
        self._packed: Checkpoint | None = None  # the last of what is packed
        self._keep_inputs = keep_inputs
        self._newest_ms = 0
        self._store_again = store
        self._on_changed = on_changed
        self._held: deque[Batch] = deque()
        self._held_snapshots: dict[str, SnapshotRow] = {}  # the newest of each bed
        self._connection = connection
        self._queue: SimpleQueue[Job] = SimpleQueue()
        self._taken: list[Job] = []
        self._thread = threading.Thread(target=self._run, name="journal", daemon=True)

    def start(self) -> None:
        """From here on the connection belongs to the thread."""
        self._thread.start()

    def hand(self, job: Job) -> None:
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

    def held_after(self, seq: int, limit: int) -> list[Event]:
        """Up to `limit` events after number `seq` of those in memory alone. From any thread."""
        held = self.held_events
        return held[max(0, seq + 1 - held[0].seq):][:limit] if held else []

    def hang_up(self) -> None:
        """Nobody waits longer for a server that does not answer: the thread gets an error. From any thread."""
        if not self.place.sqlite:
            hang_up(self._connection)

    def join(self) -> None:
        """Wait until the thread has ended. Blocks."""
        self._thread.join()

    def _run(self) -> None:
        ended = JournalError(f"journal {self.place} was stopped by an error of vigil itself")
        try:
            while self._turn():
                pass
            ended = self.failing or JournalError(f"journal {self.place} is closed")
        except DBAPIError as fault:
            error = self.place.error(fault)
            ended = error if isinstance(error, JournalDamaged) else JournalError(str(error))
        finally:
            self.ended = ended
            close(self._connection)
            for job in self._taken:
                if isinstance(job, Batch | Query):
                    job.settle(ended)
            self._drain(ended)

    def _turn(self) -> bool:
        """Take all that waits, commit it once, run the queries. False after Stop."""
        self._taken.append(self._queue.get())
        with suppress(Empty):
            while True:
                self._taken.append(self._queue.get_nowait())
        batches = [job for job in self._taken if isinstance(job, Batch)]
        self._look_at_files()
        on_disk = self._write_or_hold(batches)
        for batch in batches:
            batch.settle(on_disk)
        self._remember(batches)
        self._taken = [job for job in self._taken if not isinstance(job, Batch)]
        for job in self._taken:
            if isinstance(job, Query):
                self._run_query(job)
        self._pack()
        going = not any(isinstance(job, Stop) for job in self._taken)
        if self.failing is not None and (not going or any(isinstance(job, Retry) for job in self._taken)):
            self._heal()
            self.steps += 1
        self._taken = []
        return going

    def _look_at_files(self) -> None:
        """What somebody else did to them is noticed before anything more is written there."""
        if self._store_again is not None and self.failing is None:
            try:
                self._store_again.check_place()
            except JournalFailing as fault:
                self._fail(fault)

    def _note_files(self) -> None:
        """A transaction of our own may have ended."""
        if self._store_again is not None and self.failing is None:
            self._store_again.committed()

    def _remember(self, batches: list[Batch]) -> None:
        """On the box itself, for a start at which the journal is not there yet."""
        if self._store_again is None or (last := self._store_again.last) is None:
            return
        seq = self.held_events[-1].seq if self.held_events else self.checkpoint.event_seq
        given = [Remember(batch.snapshots, seq) for batch in batches]
        for one in given + [job for job in self._taken if isinstance(job, Remember)]:
            for kept in one.snapshots:
                last.keep(kept.bed, kept.n, kept.at_ms, kept.body, one.seq)

    def _pack(self) -> None:
        """Pack the oldest inputs, one segment a turn; the newest stay rows. What is damaged is left as it is."""
        connection = self._connection
        if not self._packs or self.failing is not None or connection is None:
            return
        try:
            if self._packed is None:
                with connection.begin():
                    self._packed = segments.last_packed(connection, base_of(connection).checkpoint)
            if self.checkpoint.last_n - self._packed.last_n < 2 * segments.ROWS:
                return
            with connection.begin():
                packed = segments.pack(connection, self._packed)
                points.reached("packing")
                segments.let_go(connection, self._keep_inputs, self._newest_ms)
                points.reached("retention")
            self._packed = packed
            self._drop_noted(connection)
            self._note_files()
        except Wrong as fault:
            self._packs = False
            log.error("journal %s: inputs are no longer packed: %s", self.place, fault)
        except DBAPIError as fault:
            if self._store_again is None:
                raise
            self._fail(self.place.error(fault))

    def _drop_noted(self, connection: Connection) -> None:
        """Let go of what was exported. A note that does not fit is kept aside, lest it stop the packing for ever."""
        note = archive.note_of(self.place)
        if note is None:
            if not self.place.sqlite:
                archive.drop_noted_on_server(self.place, connection)
            return
        try:
            with connection.begin():
                archive.drop_noted(connection, note)
        except Wrong as fault:
            refused = note.with_name(f"{note.name}.refused")
            log.error("journal %s: nothing is dropped, and %s is kept as %s: %s", self.place, note.name, refused, fault)
            note.rename(refused)
        else:
            note.unlink(missing_ok=True)

    # --- while the store fails ----------------------------------------------------------------------------------------

    def _write_or_hold(self, batches: list[Batch]) -> bool:
        """Whether they are on the disk now; if not, they are kept."""
        if self.failing is None:
            try:
                self._store(batches)
                self._note_files()
                return True
            except DBAPIError as fault:
                if self._store_again is None:
                    raise
                self._fail(self.place.error(fault))
        self._hold(batches)
        return False

    def _hold(self, batches: list[Batch]) -> None:
        for batch in batches:
            self._held_snapshots |= {snapshot.bed: snapshot for snapshot in batch.snapshots}
            if batch.inputs or batch.events:
                self._held.append(Batch(batch.inputs, batch.events))
                self.held_events.extend(batch.events)

    def _fail(self, why: JournalError) -> None:
        self._packed = None  # whether what failed was packing, and how far it got, is looked up
        if self._store_again is None or self._connection is None or not self._store_again.adrift:
            self._close()
            if self._store_again is not None and (opened := self._store_again.open_to_read()) is not None:
                self._connection = opened.connection
        if self.failing is None or str(self.failing) != str(why):
            self.failing = why
            self._on_changed()

    def _heal(self) -> None:
        """Open it again, and write what it lacks. It stays failing where that fails."""
        assert self._store_again is not None
        try:
            try:
                if isinstance(self.failing, JournalDamaged):
                    raise self.failing
                if self._connection is not None and self._store_again.adrift:
                    self._store_again.put_back(self._connection)
                self._close()
                opened = self._store_again.open_again(self._agree)
                self._connection, self.opened_ms = opened.connection, opened.at_ms
            except JournalDamaged as damaged:
                self._close()
                after = self.checkpoint if self._placed else None
                at_ms = max(self._newest_ms, self.opened_ms)
                opened = self._store_again.begin_anew(damaged.what, after, self._sign, at_ms)
                self._connection, self.opened_ms = opened.connection, opened.at_ms
                if after is None:
                    self._agree(opened.checkpoint)
            self._catch_up()
        except JournalError as fault:
            self._fail(fault)
        except DBAPIError as fault:
            self._fail(self.place.error(fault))
        else:
            self.failing = None
            self._note_files()
            self._on_changed()

    def _close(self) -> None:
        close(self._connection)
        self._connection = None

    def _agree(self, stored: Checkpoint) -> None:
        """`stored`, the last checkpoint there really is, is of the last commit that was confirmed, or of the one that
        failed and was whole all the same. Raises JournalDamaged where it is neither. One that is seen for the first
        time is as it is."""
        if not self._placed:
            self.checkpoint, self._placed = stored, True
        elif stored not in (self.checkpoint, self._attempted):
            raise self.place.damaged(f"it ends with {stored}, but {self.checkpoint} was written there")
        self.checkpoint = stored
        while self._held and _covered(self._held[0], stored):
            self._let_go(self._held.popleft())

    def _catch_up(self) -> None:
        """Writes what is kept in memory."""
        while self._held:
            some: list[Batch] = []
            rows = 0
            for batch in self._held:
                rows += len(batch.inputs) + len(batch.events)
                if some and rows > ROWS_A_COMMIT:
                    break
                some.append(batch)
            self._store(some)
            points.reached("healing")
            for _ in some:
                self._let_go(self._held.popleft())
        self._store([Batch(snapshots=list(self._held_snapshots.values()))])
        self._held_snapshots = {}

    def _let_go(self, batch: Batch) -> None:
        if batch.events:
            self.held_events = self.held_events[len(batch.events):]

    # --- writing ------------------------------------------------------------------------------------------------------

    def _store(self, batches: list[Batch]) -> None:
        inputs = [row for batch in batches for row in batch.inputs]
        events = [event for batch in batches for event in batch.events]
        snapshots = [snapshot for batch in batches for snapshot in batch.snapshots]
        if not (inputs or events or snapshots):
            return
        assert self._connection is not None
        points.reached("before_store")
        checkpoint = self.checkpoint
        if inputs or events:
            newest = (events[-1].seq, events[-1].hash) if events else (checkpoint.event_seq, checkpoint.event_hash)
            checkpoint = chain.next_checkpoint(checkpoint, inputs, *newest)
            if self._sign is not None:
                checkpoint = replace(checkpoint, sig=self._sign(checkpoint.hash))
            self._newest_ms = inputs[-1][3] if inputs else self._newest_ms
        self._attempted = checkpoint
        self.steps += 1
        with self._connection.begin():
            if inputs or events:
                _insert(self._connection, INPUT, inputs)
                _insert(self._connection, EVENT, [_event_row(event) for event in events])
                _insert(self._connection, CHECKPOINT, [astuple(checkpoint)])
            for snapshot in snapshots:
                self._keep(self._connection, snapshot)
            points.reached("in_commit")
        points.reached("after_commit")
        self.checkpoint = checkpoint

    def _keep(self, connection: Connection, snapshot: SnapshotRow) -> None:
        """Store it, and let go of all but the newest of its bed."""
        bed, n = snapshot.bed, snapshot.n
        connection.execute(delete(SNAPSHOT).where(SNAPSHOT.c.bed == bed, SNAPSHOT.c.n == n))
        digest = chain.snapshot_hash(bed, n, snapshot.at_ms, snapshot.body)
        connection.execute(insert(SNAPSHOT).values(
            bed=bed, n=n, at_ms=snapshot.at_ms, body=snapshot.body, hash=digest,
            sig=None if self._sign is None else self._sign(digest)))
        newest = select(SNAPSHOT.c.n).where(SNAPSHOT.c.bed == bed).order_by(SNAPSHOT.c.n.desc()).limit(SNAPSHOTS_KEPT)
        connection.execute(delete(SNAPSHOT).where(SNAPSHOT.c.bed == bed, SNAPSHOT.c.n.not_in(newest)))

    def _run_query(self, job: Query[Any]) -> None:
        if not job.result.set_running_or_notify_cancel():
            return
        try:
            if self._connection is None:
                raise self.failing or JournalFailing(f"journal {self.place} cannot be read")
            with self.place.translating_errors(), self._connection.begin():
                found = job.question(self._connection)
            self._note_files()
        except JournalError as fault:
            job.result.set_exception(fault)
            if isinstance(fault.__cause__, DBAPIError) and not of_a_row(fault.__cause__):  # the database's own fault
                if self._store_again is None:
                    raise fault.__cause__ from None
                self._fail(self.failing or fault)
            return
        job.result.set_result(found)

    def _drain(self, fault: JournalError) -> None:
        with suppress(Empty):
            while True:
                job = self._queue.get_nowait()
                if isinstance(job, Batch | Query):
                    job.settle(fault)


def _covered(batch: Batch, checkpoint: Checkpoint) -> bool:
    """Whether `checkpoint` was put on it, or on what came after it."""
    return ((not batch.inputs or batch.inputs[-1][0] <= checkpoint.last_n)
            and (not batch.events or batch.events[-1].seq <= checkpoint.event_seq))


def _insert(connection: Connection, table: Table, rows: list[Any]) -> None:
    if rows:
        names = table.columns.keys()
        connection.execute(insert(table), [dict(zip(names, row, strict=True)) for row in rows])


def _event_row(event: Event) -> tuple[Any, ...]:
    return (event.seq, event.boot, event.edge, event.bed, event.session, round(event.at_s * 1000), event.wall,
            event.kind, event.body_json, event.prev, event.hash, event.sig)
