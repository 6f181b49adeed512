"""A damaged journal is kept aside whole, and a new one goes on after the last checkpoint of it that can be believed.

A file is put aside by `edge.aside`: the new one has its schema, what it goes on from, snapshots and cursors.
On a database server it is one transaction, and the damaged one's tables are kept in a schema beside the new one's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from typing import Any

from sqlalchemy import Connection, Row, Select, func, insert, select
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from edge import aside
from edge.journal import chain, postgres, schema
from edge.journal.chain import Base, Checkpoint, Wrong
from edge.journal.database import DatabaseUrl, JournalDamaged, JournalError, JournalFailing, identity, reading, writing
from edge.journal.reader import base_of, checkpoint_rows, wrote_last
from edge.journal.schema import CHECKPOINT, CURSOR, EVENT, SNAPSHOT, stored

Signing = Callable[[str], str] | None
Snapshots = dict[str, tuple[int, int, bytes]]  # bed -> n, at_ms, body
Cursors = list[tuple[str, int, str, int]]  # console, seq, the event's hash, at_ms
LOOKED_BACK = 10_000  # checkpoints tried from the end, which is more than an hour of them


def begin_anew(
    place: DatabaseUrl, edge: str, damage: str, after: Checkpoint | None, sign: Signing, at_ms: int | None = None,
) -> Base:
    """Keep the journal at `place` aside, and put a new one there that goes on after `after` (None: the last checkpoint
    that can be believed). `at_ms`: the time of `after`, where nothing else is taken of the file. Raises JournalFailing;
    JournalDamaged where the store is in memory alone; JournalError where it is another edge's."""
    if not place.sqlite:
        return _begin_anew_on_server(place, edge, damage, after, sign)
    if place.path is None:
        raise JournalDamaged(f"journal {place} is damaged: {damage}", damage)
    try:
        number = aside.free_number(place.path)
        left = DatabaseUrl(str(aside.left_of(place.path)))
        with _opened(left) if at_ms is None else _Damaged(None) as found:
            found.must_be_of(edge, place)
            checkpoint = found.last_good() if after is None else after
            time_ms = found.at_ms(checkpoint) if at_ms is None else at_ms
            base = Base(checkpoint, time_ms, str(aside.kept_as(place.path, number)), damage)
            snapshots, cursors = found.snapshots(), found.cursors(checkpoint.event_seq)
            part = aside.new_part(place.path)
            try:
                _make(DatabaseUrl(str(part)), partial(_fill, edge, base, snapshots, cursors, sign))
            except JournalError:
                aside.new_part(place.path)  # a full disk is not to stay full of it
                raise
        aside.put_in_place(place.path, part, number)
    except OSError as fault:
        words = f"journal {place}: damaged ({damage}), and cannot be kept aside: {fault.strerror}"
        raise JournalFailing(words) from fault
    return base


def _begin_anew_on_server(
    place: DatabaseUrl, edge: str, damage: str, after: Checkpoint | None, sign: Signing,
) -> Base:
    connection = writing(place, damaged=True)  # nobody else writes it meanwhile
    try:
        with _opened(place) as found:
            found.must_be_of(edge, place)
            checkpoint = found.last_good() if after is None else after
            at_ms, snapshots = found.at_ms(checkpoint), found.snapshots()
            cursors = found.cursors(checkpoint.event_seq)
        with place.translating_errors(), connection.begin():
            base = Base(checkpoint, at_ms, f"schema {postgres.set_aside(connection)}", damage)
            _fill(edge, base, snapshots, cursors, sign, connection)
    finally:
        with suppress(SQLAlchemyError):
            connection.close()
    return base


def finish(place: DatabaseUrl) -> None:
    """Put a new journal that is whole in the damaged one's place, where that was cut short. Raises JournalFailing."""
    if place.path is None:
        return
    try:
        aside.finish(place.path)
    except OSError as fault:
        raise JournalFailing(f"journal {place}: the new one cannot be put in its place: {fault.strerror}") from fault


class _Damaged:
    """What can be believed of a damaged journal. Whatever cannot be read is as if it were not there."""

    def __init__(self, connection: Connection | None) -> None:
        self._connection = connection

    def __enter__(self) -> _Damaged:
        return self

    def __exit__(self, *_: object) -> None:
        if self._connection is not None:
            with suppress(SQLAlchemyError):
                self._connection.close()

    def must_be_of(self, edge: str, place: DatabaseUrl) -> None:
        """Raises JournalError where the last events that can be believed are another edge's."""
        owner = None
        if self._connection is not None:
            with suppress(DBAPIError):
                owner = wrote_last(self._connection)
        if owner not in (None, edge):
            raise JournalError(f"journal {place} belongs to edge {owner!r}, not to {edge!r}")

    def last_good(self) -> Checkpoint:
        """The newest checkpoint that goes on after the one before, whose inputs and last event are as it says; what the
        journal itself goes on from where there is none."""
        for row, before in self._from_the_end():
            with suppress(Wrong, DBAPIError):
                checkpoint = chain.read_checkpoint(row, before)
                self._check(checkpoint)
                return checkpoint
        return self._base().checkpoint

    def at_ms(self, checkpoint: Checkpoint) -> int:
        """The time of the last event under `checkpoint`, or of the last snapshot: the edge clock never goes back."""
        times = [at_ms for _, at_ms, _ in self.snapshots().values()]
        event = self._row(select(EVENT.c.at_ms).where(EVENT.c.seq == checkpoint.event_seq))
        return max([self._base().at_ms, *times, *([int(event[0])] if event else [])])

    def snapshots(self) -> Snapshots:
        """The newest snapshot of each bed that is as its hash says: n, at_ms, body."""
        found: Snapshots = {}
        columns = (column for column in SNAPSHOT.c if column.name != "sig")
        with suppress(DBAPIError):
            for bed, n, at_ms, body, digest in self._rows(select(*columns).order_by(SNAPSHOT.c.n.desc())):
                if bed not in found and chain.snapshot_hash(bed, n, at_ms, bytes(body)) == digest:
                    found[bed] = n, at_ms, bytes(body)
        return found

    def cursors(self, up_to: int) -> Cursors:
        """How far each console had stored, those that are not beyond `up_to`."""
        with suppress(DBAPIError):
            return [(console, seq, digest, at_ms) for console, seq, digest, at_ms in self._rows(select(CURSOR))
                    if (type(console), type(seq), type(digest), type(at_ms)) == (str, int, str, int) and seq <= up_to]
        return []

    def _base(self) -> Base:
        return Base() if self._connection is None else base_of(self._connection)

    def _rows(self, query: Select[Any]) -> list[Any]:
        return [] if self._connection is None else list(self._connection.execute(query).all())

    def _row(self, query: Select[Any]) -> Any:
        with suppress(DBAPIError):
            return next(iter(self._rows(query)), None)
        return None

    def _from_the_end(self) -> Iterator[tuple[Row[Any], Checkpoint]]:
        if self._connection is None:
            return
        table, base = stored(self._connection, CHECKPOINT), self._base().checkpoint
        newest = self._row(select(func.max(CHECKPOINT.c.id)))
        last = int(newest[0]) if newest and newest[0] is not None else 0
        for number in range(last, max(base.id, last - LOOKED_BACK), -1):
            row = self._row(table.where(CHECKPOINT.c.id == number))
            before = base if number == base.id + 1 else self._row(table.where(CHECKPOINT.c.id == number - 1))
            if row is not None and before is not None:
                yield row, before if isinstance(before, Checkpoint) else Checkpoint(*before)

    def _check(self, checkpoint: Checkpoint) -> None:
        assert self._connection is not None
        checkpoint_rows(self._connection, checkpoint)
        if checkpoint.event_seq > self._base().checkpoint.event_seq:
            row = self._connection.execute(
                stored(self._connection, EVENT).where(EVENT.c.seq == checkpoint.event_seq)).first()
            if row is None or chain.read_event(row, checkpoint.event_seq, row.prev).hash != checkpoint.event_hash:
                raise Wrong(f"{checkpoint} is on no event")


def _opened(place: DatabaseUrl) -> _Damaged:
    try:
        connection = reading(place)
    except JournalError:
        return _Damaged(None)
    try:
        with place.translating_errors():
            identity(place, connection)
    except JournalError:
        if schema.VERSION not in connection.info:
            with suppress(SQLAlchemyError):
                connection.close()
            return _Damaged(None)
    return _Damaged(connection)


def _make(part: DatabaseUrl, fill: Callable[[Connection], None]) -> None:
    """The new journal. What its snapshots remember is as of the checkpoint it goes on from."""
    connection = writing(part)
    try:
        with part.translating_errors(), connection.begin():
            fill(connection)
    finally:
        with suppress(SQLAlchemyError):
            connection.close()


def _fill(edge: str, base: Base, snapshots: Snapshots, cursors: Cursors, sign: Signing, connection: Connection) -> None:
    schema.migrate(connection, 0, edge, base)
    n = base.checkpoint.last_n
    for bed, (_, at_ms, body) in snapshots.items():
        digest = chain.snapshot_hash(bed, n, at_ms, body)
        connection.execute(insert(SNAPSHOT).values(
            bed=bed, n=n, at_ms=at_ms, body=body, hash=digest, sig=sign(digest) if sign else None))
    for console, seq, digest, at_ms in cursors:
        connection.execute(insert(CURSOR).values(
            console=console, seq=seq, event_hash=digest, moved_at_ms=at_ms))
