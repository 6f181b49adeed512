"""Export, then drop: packed inputs of long ago move into a file of their own, and leave the journal.

The archive is a journal: `vigil verify` and `vigil replay` take it. It goes on from the checkpoint before its first
input, and has the events of its time, too; events stay in the journal as well. Checked before anything is dropped.

Only the edge may write its journal. While one runs, what was exported is noted beside the journal (journal.db.drop; on
a server under the key `drop` in its table `meta`), and the edge drops it when it packs next.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import msgspec
from sqlalchemy import Connection, delete, insert, select, update
from sqlalchemy.exc import SQLAlchemyError

from edge.aside import to_disk
from edge.journal import schema, segments
from edge.journal.chain import Base, Checkpoint, Wrong
from edge.journal.database import DatabaseUrl, JournalBusy, JournalError, Lock, writing
from edge.journal.reader import PAGE, Reader, moment
from edge.journal.schema import CHECKPOINT, EVENT, META, SEGMENT, stored
from edge.journal.segments import Segment
from edge.model import iso
from edge.postgres import engine

NOTED, REFUSED = "drop", "drop refused"  # keys of META, on a server
log = logging.getLogger(__name__)


class Dropped(msgspec.Struct, frozen=True):
    """All up to this checkpoint was exported, and is no longer needed here."""

    last_id: int
    hash: str


@dataclass(frozen=True, slots=True)
class Archive:
    """What was exported: inputs first_n..last_n, and so many events."""

    path: Path
    first_n: int
    last_n: int
    events: int
    upto: Dropped


def export(reader: Reader, folder: Path, before_ms: int) -> Archive | None:
    """The packed inputs from before `before_ms` (edge time) that are still here, in a new file in `folder`, which is on
    the disk when this returns. An export that was cut short before anything was dropped is taken up. None: there are
    none. Raises JournalError, JournalDamaged, OSError."""
    with reader.place.translating_errors():
        found = list(_old(reader.connection, before_ms))
        if not found:
            return None
        first, last = found[0], found[-1]
        base = reader.base.checkpoint
        before = base if first.first_id == base.id + 1 else segments.kept(reader.connection, first.first_id - 1)
        end = segments.kept(reader.connection, last.last_id)
    began_ms = _first_ms(reader, before)
    path = folder / f"journal-{_day(began_ms)}-{_day(last.at_ms)}-{first.first_n}.db"
    part = path.with_name(f"{path.name}.part")
    if path.exists():
        return _exported_before(path, reader, before, first)
    for left in (part, Path(f"{part}-wal"), Path(f"{part}-shm")):
        left.unlink(missing_ok=True)
    target = writing(DatabaseUrl(str(part)))
    try:
        with target.begin():
            schema.migrate(target, 0, reader.edge, Base(before, began_ms))
        _copy(reader, target, found, before, end)
        target.connection.cursor().execute("PRAGMA journal_mode=DELETE")  # one file, to be read from any medium
        target.close()
        to_disk(part)
        part.rename(path)
        to_disk(folder)
    finally:
        with suppress(SQLAlchemyError):
            target.close()
        part.unlink(missing_ok=True)  # where it did not come so far
    return Archive(path, first.first_n, last.last_n, end.event_seq - before.event_seq, Dropped(end.id, end.hash))


def _exported_before(path: Path, reader: Reader, before: Checkpoint, first: Segment) -> Archive:
    """The file at `path`, where it begins with `first` and ends with a checkpoint of this journal."""
    with Reader(str(path)) as made, made.place.translating_errors():
        newest = stored(made.connection, CHECKPOINT).order_by(CHECKPOINT.c.id.desc()).limit(1)
        row = made.connection.execute(newest).first()
        began = made.base.checkpoint
    end = None if row is None else Checkpoint(*row)
    with reader.place.translating_errors():
        if end is None or began != before or segments.kept(reader.connection, end.id) != end:
            raise JournalError(f"{path}: there is something already")
    return Archive(path, first.first_n, end.last_n, end.event_seq - before.event_seq, Dropped(end.id, end.hash))


def drop(place: DatabaseUrl, upto: Dropped) -> bool:
    """Let go of what was exported. False: an edge is writing this journal, and does it when it packs next. Raises
    JournalError."""
    try:
        lock = Lock(place)
    except JournalError:
        if place.path is None:
            raise
        note = _note(place.path)
        part = note.with_suffix(".part")
        part.write_bytes(msgspec.json.encode(upto))
        part.rename(note)
        return False
    try:
        try:
            connection = writing(place)
        except JournalBusy:
            if place.sqlite:
                raise
            _note_on_server(place, upto)
            return False
        try:
            with place.translating_errors(), connection.begin():
                _drop(connection, upto)
        finally:
            connection.close()
    finally:
        lock.release()
    return True


def note_of(place: DatabaseUrl) -> Path | None:
    """The note beside the journal that something was exported; None: there is none."""
    note = None if place.path is None else _note(place.path)
    return note if note is not None and note.exists() else None


def drop_noted(connection: Connection, note: Path) -> None:
    """For the writer, in its transaction: drops what `note` says. Raises Wrong where it is of another journal, or says
    nothing."""
    try:
        upto = msgspec.json.decode(note.read_bytes(), type=Dropped)
    except FileNotFoundError:
        return
    except (OSError, msgspec.MsgspecError) as fault:
        raise Wrong(f"{note}: {fault}") from None
    _drop(connection, upto)


def drop_noted_on_server(place: DatabaseUrl, connection: Connection) -> None:
    """The same of what is noted on a server; a note that does not fit is kept there under another key."""
    with connection.begin():
        note = connection.execute(select(META.c.value).where(META.c.key == NOTED)).scalar()
    if note is None:
        return
    try:
        with connection.begin():
            _drop(connection, msgspec.json.decode(note, type=Dropped))
            connection.execute(delete(META).where(META.c.key == NOTED))
    except (Wrong, msgspec.MsgspecError) as fault:
        log.error("journal %s: nothing is dropped: %s", place, fault)
        with connection.begin():
            connection.execute(delete(META).where(META.c.key == REFUSED))
            connection.execute(update(META).where(META.c.key == NOTED).values(key=REFUSED))


def _note_on_server(place: DatabaseUrl, upto: Dropped) -> None:
    said = {"key": NOTED, "value": msgspec.json.encode(upto).decode()}
    server = engine(place.url, "vigil journal")
    try:
        with place.translating_errors(), server.begin() as connection:
            connection.execute(delete(META).where(META.c.key == NOTED))
            connection.execute(insert(META).values(said))
    finally:
        server.dispose()


def _note(journal: Path) -> Path:
    return Path(f"{journal}.drop")


def _drop(connection: Connection, upto: Dropped) -> None:
    if segments.kept(connection, upto.last_id).hash != upto.hash:
        raise Wrong(f"checkpoint {upto.last_id} is not the one that was exported")
    connection.execute(update(SEGMENT).where(
        SEGMENT.c.body.is_not(None), SEGMENT.c.last_id <= upto.last_id).values(body=None))


def _old(connection: Connection, before_ms: int) -> Iterator[Segment]:
    """Without their bodies, which are many."""
    columns = (column for column in SEGMENT.c if column.name != "body")
    for row in connection.execute(
            select(*columns).where(SEGMENT.c.body.is_not(None)).order_by(SEGMENT.c.first_n)).all():
        if row.at_ms >= before_ms:
            return
        yield Segment(row.first_n, row.last_n, row.first_id, row.last_id, row.at_ms, None)


def _first_ms(reader: Reader, before: Checkpoint) -> int:
    """The time of the first input after `before`."""
    first = next(reader.inputs(before.last_n), None)
    return round(first.at_s * 1000) if first is not None else 0


def _day(at_ms: int) -> str:
    return iso(at_ms / 1000)[:10].replace("-", "")


def _copy(reader: Reader, target: Connection, found: list[Segment], before: Checkpoint, end: Checkpoint) -> None:
    """Segment by segment, with the checkpoint that stayed; then the events, page by page: an edge may write on."""
    for segment in found:
        with reader.place.translating_errors(), moment(reader.connection):
            whole = segments.covering(reader.connection, segment.first_id)
            assert whole is not None
            for _ in segments.read(reader.connection, whole, before):
                """Each is checked: Wrong, or it is as it was written."""
            if whole.body is None:
                raise Wrong(f"packed inputs {whole.first_n}..{whole.last_n} were let go of meanwhile")
            kept = stored(reader.connection, CHECKPOINT).where(CHECKPOINT.c.id == whole.last_id)
            checkpoint = reader.connection.execute(kept).one()
        with target.begin():
            target.execute(insert(CHECKPOINT).values(tuple(checkpoint)))
            target.execute(insert(SEGMENT).values(tuple(whole)))
    seq = before.event_seq
    while seq < end.event_seq:
        with reader.place.translating_errors(), moment(reader.connection):
            rows = reader.connection.execute(stored(reader.connection, EVENT).where(
                EVENT.c.seq > seq, EVENT.c.seq <= end.event_seq).order_by(EVENT.c.seq).limit(PAGE)).all()
        if not rows:
            raise Wrong(f"event: {seq + 1} is missing")
        with target.begin():
            target.execute(insert(EVENT), [dict(zip(EVENT.columns.keys(), row, strict=True)) for row in rows])
        seq = rows[-1].seq
