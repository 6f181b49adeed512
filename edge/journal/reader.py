"""Checked reading: what is not as it was written is not served. Also `Reader`, for a journal an edge is writing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple, Self

import msgspec
from sqlalchemy import Connection, Select, func, select
from sqlalchemy.exc import DBAPIError

from edge.contract.events import KIND_OF, Event, RecordBegun
from edge.journal import chain, postgres, schema, segments
from edge.journal.chain import FIRST, Base, Checkpoint, InputRow, Wrong
from edge.journal.database import DatabaseUrl, JournalError, identity, reading
from edge.journal.schema import CHECKPOINT, EVENT, INPUT, SEGMENT, SNAPSHOT, stored
from edge.model import RecordedInput

PAGE = 1000
LOOKED_BACK = 100  # events: of so many, one at least can be believed


class Ends(NamedTuple):
    """How far each table goes, read in one statement and so at one moment."""

    n: int
    seq: int
    id: int


def base_of(connection: Connection) -> Base:
    """What the record goes on from."""
    base: Base = connection.info.get(schema.BASE, FIRST)
    return base


def ends(connection: Connection) -> Ends:
    """The highest number of each record; where there is none, that of what it goes on from."""
    base = base_of(connection).checkpoint
    n, seq, last = (select(func.coalesce(func.max(key), none)).scalar_subquery() for key, none in (
        (INPUT.c.n, base.last_n), (EVENT.c.seq, base.event_seq), (CHECKPOINT.c.id, base.id)))
    return Ends(*connection.execute(select(n, seq, last)).one())


def events_page(connection: Connection, after: int, limit: int) -> list[Event]:
    """Up to `limit` events after number `after` (and what the record goes on from), in order, each checked against its
    hash and the one before."""
    base = base_of(connection).checkpoint
    seq, prev = max(after, base.event_seq), base.event_hash
    # One more, the event at `after` itself, for the hash it hands on.
    rows = connection.execute(
        stored(connection, EVENT).where(EVENT.c.seq >= seq).order_by(EVENT.c.seq).limit(limit + 1)).all()
    if seq > base.event_seq and rows:
        if rows[0].seq != seq:
            raise Wrong(f"event: {seq} is missing, the next one is {rows[0].seq}")
        prev, rows = rows[0].hash, rows[1:]
    found: list[Event] = []
    for row in rows[:limit]:
        seq += 1
        found.append(chain.read_event(row, seq, prev))
        prev = found[-1].hash
    return found


def each_is_there(connection: Connection) -> None:
    """Every event is as it was written, and no input or checkpoint is missing. Raises Wrong."""
    base, last = base_of(connection).checkpoint, ends(connection)
    seq = base.event_seq
    while page := events_page(connection, seq, PAGE):
        seq = page[-1].seq
    inputs, checkpoints, packed_inputs, packed_checkpoints = connection.execute(select(*(
        query.scalar_subquery() for query in (
            select(func.count()).select_from(INPUT), select(func.count()).select_from(CHECKPOINT),
            select(func.coalesce(func.sum(SEGMENT.c.last_n - SEGMENT.c.first_n + 1), 0)),
            select(func.coalesce(func.sum(SEGMENT.c.last_id - SEGMENT.c.first_id), 0)))))).one()
    if (seq, inputs + packed_inputs, checkpoints + packed_checkpoints) != (
            last.seq, last.n - base.last_n, last.id - base.id):
        raise Wrong("some of its inputs or checkpoints are missing")


def believable_events(connection: Connection, after: int, limit: int) -> list[Event]:
    """The same where one of them is damaged: each that is as its own hash says; the others are left out."""
    numbers = select(EVENT.c.seq).where(EVENT.c.seq > after).order_by(EVENT.c.seq).limit(limit)
    found: list[Event] = []
    for seq in connection.execute(numbers).scalars().all():
        with suppress(Wrong, DBAPIError):  # the driver itself refuses a text that is not UTF-8
            row = connection.execute(stored(connection, EVENT).where(EVENT.c.seq == seq)).one()
            found.append(chain.read_event(row, row.seq, row.prev))
    return found


def wrote_last(connection: Connection) -> str | None:
    """The edge that the last events name of which one can be believed; None: there is none."""
    last = believable_events(connection, ends(connection).seq - LOOKED_BACK, LOOKED_BACK)
    return last[-1].edge if last else None


def begun_is_told(connection: Connection, base: Base) -> bool:
    """Whether an event of this record says that it goes on from `base`."""
    told = select(EVENT.c.body).where(EVENT.c.kind == KIND_OF[RecordBegun]).order_by(EVENT.c.seq)
    for body in connection.execute(told).scalars():
        with suppress(msgspec.MsgspecError):
            if msgspec.json.decode(body, type=RecordBegun).damaged_file == base.damaged_file:
                return True
    return False


def checkpoint_before(connection: Connection, after_n: int) -> Checkpoint:
    """The last checkpoint all of whose inputs are number `after_n` or lower; at least what the record goes on from."""
    base = base_of(connection).checkpoint
    if after_n <= base.last_n:
        return base
    up_to = stored(connection, CHECKPOINT).where(CHECKPOINT.c.last_n <= after_n)
    row = connection.execute(up_to.order_by(CHECKPOINT.c.id.desc()).limit(1)).first()
    return Checkpoint(*row) if row is not None else base


def checkpoint_page(connection: Connection, before: Checkpoint) -> tuple[Checkpoint, list[InputRow]]:
    """The inputs of the checkpoints after `before`, at least PAGE if there are so many, and the last of those."""
    found: list[InputRow] = []
    if (packed := packed_after(connection, before)) is not None:
        return packed[-1][0], [row for _, rows in packed for row in rows]
    for row in connection.execute(_checkpoints_after(connection, before)).all():
        checkpoint = chain.read_checkpoint(row, before)
        found += checkpoint_rows(connection, checkpoint)
        before = checkpoint
        if len(found) >= PAGE:
            break
    return before, found


def packed_after(connection: Connection, before: Checkpoint) -> list[tuple[Checkpoint, list[InputRow]]] | None:
    """The checkpoints after `before` with their inputs, to the end of its segment; None: the next one is in none."""
    segment = segments.covering(connection, before.id + 1) if has_segments(connection) else None
    if segment is None:
        return None
    packed = list(segments.read(connection, segment, base_of(connection).checkpoint))
    for checkpoint, _ in packed:  # it may have been packed since `before` was read
        if checkpoint.id == before.id and checkpoint.hash != before.hash:
            raise Wrong(f"{checkpoint} is not what it was")
    return [pair for pair in packed if pair[0].id > before.id]


def has_segments(connection: Connection) -> bool:
    """Whether inputs can be packed in this journal; one of an older version has none."""
    version: int = connection.info.get(schema.VERSION, schema.version())
    return version >= schema.SEGMENTS_SINCE


@contextmanager
def moment(connection: Connection) -> Iterator[None]:
    """All that is read inside is of one moment, whatever an edge writes or packs meanwhile."""
    connection.exec_driver_sql("BEGIN" if connection.dialect.name == "sqlite" else postgres.MOMENT)
    try:
        yield
    finally:
        connection.exec_driver_sql("COMMIT")


def checkpoint_rows(connection: Connection, checkpoint: Checkpoint) -> list[InputRow]:
    """The inputs under one checkpoint, as written. Raises Wrong."""
    found = [] if checkpoint.last_n < checkpoint.first_n else connection.execute(
        select(INPUT).where(INPUT.c.n.between(checkpoint.first_n, checkpoint.last_n)).order_by(INPUT.c.n)).all()
    rows = [chain.read_input(row, n) for n, row in enumerate(found, checkpoint.first_n)]
    if len(rows) != checkpoint.last_n - checkpoint.first_n + 1 or chain.digest(checkpoint, rows) != checkpoint.hash:
        raise Wrong(f"{checkpoint} does not match")
    return rows


def _checkpoints_after(connection: Connection, before: Checkpoint) -> Select[Any]:
    after = stored(connection, CHECKPOINT).where(CHECKPOINT.c.id > before.id)
    return after.order_by(CHECKPOINT.c.id).limit(PAGE)


def latest_snapshots(connection: Connection) -> dict[str, tuple[int, float, bytes]]:
    """The newest good snapshot of each bed: n, at_s, body. One that does not match its hash is passed over."""
    last_n = ends(connection).n
    snapshot_columns = (column for column in SNAPSHOT.c if column.name != "sig")
    found: dict[str, tuple[int, float, bytes]] = {}
    for bed, n, at_ms, body, digest in connection.execute(
            select(*snapshot_columns).where(SNAPSHOT.c.n <= last_n).order_by(SNAPSHOT.c.n.desc())).all():
        if bed not in found and chain.snapshot_hash(bed, n, at_ms, bytes(body)) == digest:
            found[bed] = (n, at_ms / 1000, bytes(body))
    return found


class Reader:
    """A journal opened only to be read, also while an edge writes it; every page is its own short transaction.

    `journal` is a path or a database URL. Raises JournalError where there is no journal, or a newer one; reading raises
    JournalDamaged at the first record that is not as it was written.
    """

    def __init__(self, journal: str) -> None:
        self.place = DatabaseUrl(journal)
        self.connection = reading(self.place)
        try:
            with self.place.translating_errors():
                self.version, self.edge = identity(self.place, self.connection)
            if self.version == 0:
                raise JournalError(f"there is no journal at {self.place}: the database is empty")
        except JournalError:
            self.connection.close()
            raise
        self.base = base_of(self.connection)  # what the record goes on from

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.connection.close()

    def events(self, after: int = 0) -> Iterator[Event]:
        """The events after number `after`, in order."""
        while page := self._events(after):
            yield from page
            after = page[-1].seq

    def inputs(self, after_n: int = 0) -> Iterator[RecordedInput]:
        """The inputs after number `after_n`, in order."""
        with self.place.translating_errors():
            before = checkpoint_before(self.connection, after_n)
        while True:
            with self.place.translating_errors(), moment(self.connection):
                checkpoint, rows = checkpoint_page(self.connection, before)
                page = [chain.recorded(row) for row in rows if row[0] > after_n]
            yield from page
            if checkpoint == before:
                return
            before = checkpoint

    def checkpoints(self) -> Iterator[Checkpoint]:
        """Every checkpoint, in order, each chained to the one before (its inputs are checked by `inputs`)."""
        before = self.base.checkpoint
        while True:
            with self.place.translating_errors(), moment(self.connection):
                packed = packed_after(self.connection, before)
                page = [checkpoint for checkpoint, _ in packed or ()]
                for row in self.connection.execute(_checkpoints_after(self.connection, before)) if not packed else ():
                    before = chain.read_checkpoint(row, before)
                    page.append(before)
                before = page[-1] if page else before
            if not page:
                return
            yield from page

    def snapshots(self) -> dict[str, tuple[int, float, bytes]]:
        """The newest good snapshot of each bed: n, at_s, body."""
        with self.place.translating_errors():
            return latest_snapshots(self.connection)

    def _events(self, after: int) -> list[Event]:
        with self.place.translating_errors():
            return events_page(self.connection, after, PAGE)
