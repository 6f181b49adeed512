"""The journal as the edge uses it: numbers and chains at once in memory, stored by the writer's thread."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import Self, get_args

import msgspec
from sqlalchemy import Connection, func, insert, select, update

from edge.contract.events import Event, PendingEvent, numbered
from edge.journal import chain, schema
from edge.journal.chain import START, Checkpoint, InputRow, Wrong
from edge.journal.database import DatabaseUrl, JournalError, Lock, identity, writing
from edge.journal.reader import checkpoint_before, checkpoint_page, checkpoint_rows, ends, events_page, latest_snapshots
from edge.journal.schema import CHECKPOINT, CURSOR, EVENT, INPUT
from edge.journal.writer import Batch, SnapshotRow, Stop, Writer
from edge.model import Input, RecordedInput, encode

FLUSH_AT = 1000  # inputs buffered before they are handed over without being asked
# quick_check reads the whole file. Beyond this size a restart would keep a bed unwatched for too long: there the ends
# are checked on opening, every record when it is read, and all of it by `vigil verify`.
QUICK_CHECK_UP_TO_BYTES = 256 * 1024 * 1024
KINDS: dict[type, str] = {kind: kind.__struct_config__.tag for kind in get_args(Input)}


@dataclass(frozen=True, slots=True)
class Head:
    """How far the journal has got, in memory: the last event's number and hash, the last input's number, and the house
    time (s) of the later of the two; 0, 0.0 and GENESIS where there is none."""

    seq: int
    n: int
    at_s: float
    hash: str


@dataclass(frozen=True, slots=True)
class Appended:
    """Numbered events, and the moment they (and every input before them) are on the disk. Publish nothing before."""

    events: tuple[Event, ...]
    stored: asyncio.Future[None]


class Journal:
    """One edge's journal, opened to be written. Every call raises JournalError once storing has failed, or after close.

    Belongs to one event loop; nothing here blocks it except `open`, `snapshots` and `inputs`, which are for starting.
    """

    def __init__(self, place: DatabaseUrl, lock: Lock, writer: Writer, *, edge: str, boot: str, wall: Callable[[], str],
                 at_ms: int, sign: Callable[[str], str] | None) -> None:
        """For `open` alone."""
        self._sign = sign
        self._place = place
        self._lock = lock
        self._writer = writer
        self._edge = edge
        self._boot = boot
        self._wall = wall
        self._n = writer.checkpoint.last_n
        self._seq = writer.checkpoint.event_seq
        self._hash = writer.checkpoint.event_hash
        self._at_ms = at_ms
        self._inputs: list[InputRow] = []
        self._snapshots: list[SnapshotRow] = []

    @classmethod
    def open(
        cls, url: str, *, edge: str, boot: str, wall: Callable[[], str], sign: Callable[[str], str] | None = None
    ) -> Self:
        """Open, or create, the journal of `edge` at a path or database URL, and check its ends. Blocks.

        `wall` tells this machine's own UTC clock in ISO form; `sign` makes this edge's signature over a hash, from any
        thread. Raises JournalBusy when another edge has it,
        JournalDamaged when it must be moved away first, JournalError for all else (another edge's, a newer schema).
        """
        place = DatabaseUrl(url)
        with ExitStack() as undo:
            lock = Lock(place)
            undo.callback(lock.release)
            connection = writing(place)
            undo.callback(connection.close)
            checkpoint, at_ms = _opened(place, connection, edge)
            writer = Writer(place, connection, checkpoint, sign)
            writer.start()
            undo.pop_all()
        return cls(place, lock, writer, edge=edge, boot=boot, wall=wall, at_ms=at_ms, sign=sign)

    @property
    def head(self) -> Head:
        """How far it has got, with what is not yet stored."""
        return Head(self._seq, self._n, self._at_ms / 1000, self._hash)

    @property
    def failed(self) -> JournalError | None:
        """Why nothing more can be stored, or None while all is well."""
        return self._writer.ended

    def record(self, bed: str | None, at_s: float, input: Input) -> int:  # noqa: A002
        """Number one input and keep it for the next commit. `at_s` is kept in whole milliseconds."""
        self._writer.check()
        at_ms = round(at_s * 1000)
        n = self._n + 1
        self._inputs.append((n, self._boot, bed, at_ms, KINDS[type(input)], encode(input).decode()))
        self._n = n
        if at_ms > self._at_ms:
            self._at_ms = at_ms
        if len(self._inputs) >= FLUSH_AT:
            self._hand()
        return n

    def append(self, pending_events: Sequence[PendingEvent]) -> Appended:
        """Number and chain `pending_events`, hand them over with all recorded so far, to be committed together.

        The events come back as they will be read: times in whole milliseconds, bodies as JSON.
        """
        self._writer.check()
        stored = asyncio.get_running_loop().create_future()
        seq, prev, at_ms = self._seq, self._hash, self._at_ms
        events: list[Event] = []
        wall = self._wall() if pending_events else ""
        for pending in pending_events:
            seq += 1
            event = numbered(_plain(pending), seq=seq, boot=self._boot, edge=self._edge, wall=wall, prev=prev)
            if self._sign is not None:
                event = msgspec.structs.replace(event, sig=self._sign(event.hash))
            prev = event.hash
            at_ms = max(at_ms, round(event.at_s * 1000))
            events.append(event)
        self._seq, self._hash, self._at_ms = seq, prev, at_ms
        self._hand(tuple(events), stored)
        return Appended(tuple(events), stored)

    def flush(self) -> asyncio.Future[None]:
        """Hand over what is buffered; resolves when all that was handed over until now is stored. At least once a
        second is the caller's part: what is buffered longer is lost longer by a crash."""
        return self.append(()).stored

    def snapshot(self, bed: str, n: int, at_s: float, body: bytes) -> None:
        """Keep a bed's whole state after input `n`; stored with the next commit, not before that input."""
        self._writer.check()
        if n > self._n:
            raise ValueError(f"a snapshot after input {n}, but only {self._n} are recorded")
        self._snapshots.append(SnapshotRow(bed, n, round(at_s * 1000), body))

    async def events_after(self, seq: int, limit: int) -> list[Event]:
        """Up to `limit` stored events after number `seq`, in order. Raises JournalDamaged at one that is not right."""
        return await asyncio.wrap_future(self._writer.query(lambda connection: events_page(connection, seq, limit)))

    async def cursor(self, console: str) -> int:
        """The number up to which `console` has stored every event; 0 for an unknown one."""
        return await asyncio.wrap_future(self._writer.query(lambda connection: _cursor(connection, console) or 0))

    async def move_cursor(self, console: str, seq: int) -> None:
        """`console` has stored every event up to `seq`. Never goes back; a number beyond what is stored here moves
        nothing (that console means another journal: compare with `head`)."""
        at_ms = self._at_ms
        await asyncio.wrap_future(self._writer.query(lambda connection: _move(connection, console, seq, at_ms)))

    def snapshots(self) -> dict[str, tuple[int, float, bytes]]:
        """The newest good snapshot of each bed: n, at_s, body. Blocks: for starting."""
        return self._writer.query(latest_snapshots).result()

    def inputs(self, after_n: int = 0) -> Iterator[RecordedInput]:
        """The stored inputs after number `after_n`, in order, each under a checkpoint that matches. Blocks."""
        before = self._writer.query(lambda connection: checkpoint_before(connection, after_n)).result()
        while True:
            at = before
            before, rows = self._writer.query(partial(checkpoint_page, before=at)).result()
            with self._place.translating_errors():
                page = [chain.recorded(row) for row in rows if row[0] > after_n]
            yield from page
            if before == at:
                return

    async def close(self) -> None:
        """Store what is buffered, and let go. Raises JournalError if that last part could not be stored."""
        last: asyncio.Future[None] | None = None
        if self._writer.ended is None:
            last = self.flush()
            self._writer.hand(Stop())
        await asyncio.to_thread(self._writer.join)
        self._lock.release()
        if last is not None:
            await last

    def _hand(self, events: tuple[Event, ...] = (), stored: asyncio.Future[None] | None = None) -> None:
        batch = Batch(self._inputs, events, self._snapshots, stored)
        self._inputs, self._snapshots = [], []
        self._writer.hand(batch)


def _plain(pending: PendingEvent) -> PendingEvent:
    """As it will be read: so that an event just concluded equals the same event from the disk."""
    return msgspec.structs.replace(pending, at_s=round(pending.at_s * 1000) / 1000)


def _opened(place: DatabaseUrl, connection: Connection, edge: str) -> tuple[Checkpoint, int]:
    """Create or migrate what is there, in one transaction, and check it. Last checkpoint, last time in ms."""
    with place.translating_errors(), connection.begin():
        if place.path and place.path.stat().st_size <= QUICK_CHECK_UP_TO_BYTES:
            said = connection.exec_driver_sql("PRAGMA quick_check(1)").scalar()
            if said != "ok":
                raise Wrong(f"SQLite's quick_check says {str(said).splitlines()[-1]!r}")
        found, owner = identity(place, connection)
        if found and owner != edge:
            raise JournalError(f"journal {place} belongs to edge {owner!r}, not to {edge!r}")
        if found < schema.version():
            schema.migrate(connection, found, edge)
        try:
            return _checked_ends(connection)
        except Wrong as fault:
            consoles = dict(connection.execute(select(CURSOR.c.console, CURSOR.c.seq)).all())
            known = ", ".join(f"{console!r} up to {seq}" for console, seq in sorted(consoles.items()))
            raise place.damaged(str(fault), f"; consoles still have the events: {known}" if known else "") from fault


def _checked_ends(connection: Connection) -> tuple[Checkpoint, int]:
    last = ends(connection)
    newest = schema.stored(connection, CHECKPOINT).order_by(CHECKPOINT.c.id.desc()).limit(2)
    stored = [Checkpoint(*row) for row in connection.execute(newest).all()]
    checkpoint, before = (*stored, START, START)[:2]
    if stored:
        last_row = schema.stored(connection, CHECKPOINT).where(CHECKPOINT.c.id == checkpoint.id)
        chain.read_checkpoint(connection.execute(last_row).one(), before)
        checkpoint_rows(connection, checkpoint)
    if (last.n, last.seq) != (checkpoint.last_n, checkpoint.event_seq):
        raise Wrong(f"there are inputs up to {last.n} and events up to {last.seq}, but the last checkpoint,"
                    f" {checkpoint.id}, says {checkpoint.last_n} and {checkpoint.event_seq}")
    for event in events_page(connection, last.seq - 1, 1) if last.seq else ():
        if event.hash != checkpoint.event_hash:
            raise Wrong(f"event {event.seq} is not the one checkpoint {checkpoint.id} was put on")
    for console in connection.execute(select(CURSOR.c.console)).scalars().all():
        _cursor(connection, console)
    times = (select(func.max(column)).where(key == number)
             for column, key, number in ((INPUT.c.at_ms, INPUT.c.n, last.n), (EVENT.c.at_ms, EVENT.c.seq, last.seq)))
    return checkpoint, max(connection.execute(query).scalar() or 0 for query in times)


def _cursor(connection: Connection, console: str) -> int | None:
    row = connection.execute(select(CURSOR.c.seq, CURSOR.c.event_hash).where(CURSOR.c.console == console)).first()
    if row is None:
        return None
    if row.event_hash != _hash_at(connection, row.seq):
        raise Wrong(f"cursor of console {console!r}: event {row.seq} is not the one it stored")
    return int(row.seq)


def _hash_at(connection: Connection, seq: int) -> str | None:
    return connection.execute(select(EVENT.c.hash).where(EVENT.c.seq == seq)).scalar()


def _move(connection: Connection, console: str, seq: int, at_ms: int) -> None:
    current, event_hash = _cursor(connection, console), _hash_at(connection, seq)
    if event_hash is None or seq <= (current or 0):
        return
    moved = {"seq": seq, "event_hash": event_hash, "moved_at_ms": at_ms}
    if current is None:
        connection.execute(insert(CURSOR).values(console=console, **moved))
    else:
        connection.execute(update(CURSOR).where(CURSOR.c.console == console).values(**moved))
