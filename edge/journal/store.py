"""Opening a journal's store: created or migrated, checked at its ends, and, while it fails, opened to be read alone."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple

from sqlalchemy import Connection, func, select
from sqlalchemy.exc import SQLAlchemyError

from edge import aside
from edge.file_id import FileId, id_of, is_adrift, written
from edge.journal import chain, quarantine, schema
from edge.journal.chain import START, Base, Checkpoint, Wrong
from edge.journal.database import (
    WAL_KEPT_BYTES,
    DatabaseUrl,
    JournalDamaged,
    JournalError,
    JournalFailing,
    Lock,
    identity,
    put_into_main_file,
    reading,
    write_wal_again,
    writing,
)
from edge.journal.last import Last
from edge.journal.reader import (
    base_of,
    begun_is_told,
    checkpoint_rows,
    each_is_there,
    ends,
    events_page,
    wrote_last,
)
from edge.journal.schema import CHECKPOINT, CURSOR, EVENT, INPUT

# quick_check reads the whole file. Beyond this size a restart would keep a bed unwatched for too long: there the ends
# are checked on opening, every record when it is read, and all of it by `vigil verify`.
QUICK_CHECK_UP_TO_BYTES = 256 * 1024 * 1024

NOWHERE = 0, 0
REMOVED = "its file was removed, or another one is in its place"
WRITTEN_OVER = "somebody wrote over its file while it was open"
OTHER_DISK = "its disk is not mounted, or another one is mounted over its folder"


class Opened(NamedTuple):
    """A connection, the last checkpoint there is, and the time of the last input or event in ms (0: there is none)."""

    connection: Connection
    checkpoint: Checkpoint
    at_ms: int


class Store:
    """Where `edge` keeps its journal. The lock is held from the first `open` that got it until `release`."""

    def __init__(self, place: DatabaseUrl, edge: str, last: Last | None = None) -> None:
        """`last`, on another disk, knows whether there was a journal before."""
        self.place, self.last = place, last
        self._edge = edge
        self.begun: Base | None = None  # the record was begun anew, from this
        self._lock: Lock | None = None
        self._file: FileId | None = None  # the one that is open to be written
        self._beside: dict[str, FileId] = {}  # its -wal and -shm files, as they were first seen
        self._written: dict[str, tuple[int, int]] = {}  # the file and its -wal: after the last commit
        self._written_over = False  # what there is now may be another's

    def open(self, *, whole: bool = True) -> Opened:
        """The one connection that may write, to a journal created or migrated, and checked at its ends; before that
        (`whole`), by SQLite.

        Raises JournalFailing, JournalBusy, JournalDamaged; JournalError for another edge's, and a newer one.
        """
        self._must_be_there()
        self._lock_it()
        quarantine.finish(self.place)
        if self.place.path is not None and aside.left_of(self.place.path) != self.place.path:
            raise self.place.damaged(aside.CUT_SHORT)
        with suppress(JournalFailing):  # opening it to be written will say so
            write_wal_again(self.place)
        self._look_for_damage(whole)
        connection = writing(self.place)
        try:
            opened = Opened(connection, *self._prepared(connection))
        except JournalError:
            close(connection)
            raise
        if self.last is not None:
            self.last.note_journal()
        self._file, self._beside, self._written = self._at_place(), {}, {}
        self.committed()
        self._look_for_untold(connection)
        return opened

    def open_again(self, agree: Callable[[Checkpoint], None]) -> Opened:
        """The same after a fault. What could not be written then is brought to the disk before it is believed.
        `agree` raises JournalDamaged where it does not end as the caller wrote it."""
        was = self._file
        if self._lock is None or (was is None and self.place.path is not None):  # never opened: it may be damaged
            opened = self.open(whole=self._lock is None)
        else:
            self._must_be_there()
            self._lock_it()
            self._look_whole()
            write_wal_again(self.place)
            connection = writing(self.place)
            try:
                put_into_main_file(self.place, connection)
                opened = Opened(connection, *self._prepared(connection))
            except JournalError:
                close(connection)
                raise
        try:
            agree(opened.checkpoint)
        except JournalDamaged:
            close(opened.connection)
            now = self._at_place()
            if was is not None and now is not None and now[0] != was[0]:
                raise JournalFailing(f"journal {self.place}: {OTHER_DISK}") from None
            raise
        self._file, self._beside, self._written = self._at_place(), {}, {}
        self._written_over = False
        return opened

    def _lock_it(self) -> None:
        if self._lock is None or not self._lock.in_place:
            lock, old = Lock(self.place), self._lock
            self._lock = lock
            if old is not None:
                old.release()

    def check_place(self) -> None:
        """What is written must be what a reader opens: a file that was removed, or has a disk mounted over it, takes
        all that is written without an error, and so does one that somebody wrote over. Raises JournalFailing."""
        if self._file is None:
            return
        if self._at_place() != self._file:
            raise JournalFailing(f"journal {self.place}: {REMOVED}")
        for end in ("-wal", "-shm", ".lock"):
            found = self._at_place(end)
            if found is None or (found == NOWHERE and end not in self._beside):
                continue  # SQLite makes it with the first commit
            if self._beside.setdefault(end, found) != found:
                raise JournalFailing(f"journal {self.place}: its {end} file was removed, or another one is there")
        for end, (at_ns, size) in self._written.items():
            now = written(f"{self.place.path}{end}") or (0, 0)
            if now[1] < (min(size, WAL_KEPT_BYTES) if end else size):  # SQLite's own limit
                raise JournalFailing(f"journal {self.place}: its {end or 'main'} file was cut off")
            if now[0] != at_ns and not end:
                self._written_over = True
                raise JournalFailing(f"journal {self.place}: {WRITTEN_OVER}")

    def committed(self) -> None:
        """How far its files go now, and when they were written, if anything was: in WAL mode this connection alone
        writes into the main file, with a checkpoint at the end of a commit (sqlite.org/wal.html, "Checkpointing")."""
        if self._file is not None and (not self._written or written(f"{self.place.path}-wal") != self._written["-wal"]):
            found = ((end, written(f"{self.place.path}{end}")) for end in ("", "-wal"))
            self._written = {end: at or (0, 0) for end, at in found}

    def _at_place(self, end: str = "") -> FileId | None:
        path = self.place.path
        return None if path is None else id_of(f"{path}{end}") or NOWHERE

    @property
    def adrift(self) -> bool:
        """The file that is open is not at its place, and can be lost."""
        path, file = self.place.path, self._file
        return path is not None and file is not None and is_adrift(path, file)

    def put_back(self, connection: Connection) -> None:
        """What `connection` has of a file that is adrift is put in its place, and what is there now kept aside. Raises
        JournalFailing; then `connection` is all there is."""
        assert self.place.path is not None
        self._must_be_there()
        try:
            aside.put_back(connection.connection.cursor(), self.place.path)
        except (OSError, sqlite3.Error, SQLAlchemyError) as fault:
            raise JournalFailing(f"journal {self.place}: {REMOVED}, and it cannot be put back: {fault}") from fault
        self._file = self._at_place()

    def open_to_read(self) -> Opened | None:
        """What can still be read of it while it cannot be written; None: nothing, or nothing that can be believed."""
        for unchanging in (False, True) if self.place.sqlite else (False,):
            with suppress(JournalError):
                connection = reading(self.place, unchanging=unchanging)
                try:
                    with self.place.translating_errors(), connection.begin():
                        found, owner = identity(self.place, connection)
                        if found and owner == self._edge:
                            return Opened(connection, *_checked_ends(connection))
                except JournalError:
                    close(connection)
                    raise
                close(connection)
        return None

    def open_all_the_same(
        self, fault: JournalError, sign: Callable[[str], str] | None,
    ) -> tuple[JournalError | None, Opened | None]:
        """What can be had where `open` failed with `fault`: begun anew, or to be read alone; and why it fails still."""
        if isinstance(fault, JournalDamaged):
            try:
                return None, self.begin_anew(fault.what, None, sign)
            except (JournalFailing, JournalDamaged) as again:
                return again, None
            except JournalError:  # another edge's
                self.release()
                raise
        return fault, self.open_to_read()

    def begin_anew(
        self, damage: str, after: Checkpoint | None, sign: Callable[[str], str] | None, at_ms: int = 0,
    ) -> Opened:
        """The damaged journal is kept aside whole, and a new one begun that goes on after checkpoint `after` (None: the
        last of it that can be believed), with its snapshots and cursors; without them where somebody wrote over it:
        they may be of another time, or of others' beds. `at_ms`: the time of what was written last. Raises
        JournalFailing, and the JournalDamaged it was told where the store is no file; JournalError where the record is
        another edge's."""
        alone = self._written_over and after is not None
        damage = f"{WRITTEN_OVER}: {damage}" if alone else damage
        base = quarantine.begin_anew(self.place, self._edge, damage, after, sign, at_ms if alone else None)
        self.begun = base
        self._written_over = False
        return self.open()

    def release(self) -> None:
        """Let the next one in."""
        if self._lock is not None:
            self._lock.release()

    def _must_be_there(self) -> None:
        """A disk that is not mounted yet, or no longer, shows an empty folder, one that is mounted over it another: no
        new journal is begun there. Where the folder is on the disk that the file was on, the file alone is gone."""
        path = self.place.path
        if path is None:
            return
        if self._file is not None:
            folder = id_of(path.parent)
            if folder is None:
                raise JournalFailing(f"journal {self.place}: its folder is not there")
            if folder[0] != self._file[0] and not path.exists():
                raise JournalFailing(f"journal {self.place}: {OTHER_DISK}")
            return
        if self.last is None or path.exists() or not self.last.had_journal:
            return
        if aside.left_of(path) == path and not any(path.parent.glob(f"{path.name}.new-*")):
            raise JournalFailing(f"journal {self.place}: it is not there, though there was one; mount its disk, or, if"
                                 f" it is gone for good, remove {self.last.folder}")

    def _look_whole(self) -> None:
        """Where somebody wrote over it: it is as it was, event by event, or damaged. Raises JournalDamaged,
        JournalFailing."""
        if not self._written_over:
            return
        self._look_for_damage(whole=True)
        try:
            connection = reading(self.place)
        except JournalFailing:
            raise
        except JournalError as fault:  # no file
            raise self.place.damaged(str(fault)) from fault
        try:
            with self.place.translating_errors(), connection.begin():
                if identity(self.place, connection)[1] != self._edge:
                    raise Wrong("it is another's")
                each_is_there(connection)
        finally:
            close(connection)

    def _look_for_damage(self, whole: bool) -> None:
        """Before anything is written there, and without a byte of it changed: what is damaged is kept as it is."""
        path = self.place.path
        if path is None or not path.is_file():
            return
        try:
            connection = reading(self.place)
        except JournalFailing:
            return  # opening it to be written will say so
        try:
            with self.place.translating_errors(), connection.begin():
                if whole and path.stat().st_size <= QUICK_CHECK_UP_TO_BYTES:
                    said = connection.exec_driver_sql("PRAGMA quick_check(1)").scalar()
                    if said != "ok":
                        raise Wrong(f"SQLite's quick_check says {str(said).splitlines()[-1]!r}")
                if identity(self.place, connection) != (0, ""):
                    self._ends(connection)
        except JournalFailing:
            return
        finally:
            close(connection)

    def _prepared(self, connection: Connection) -> tuple[Checkpoint, int]:
        """Create or migrate what is there, in one transaction, and check it. Last checkpoint, last time in ms."""
        with self.place.translating_errors(), connection.begin():
            found, owner = identity(self.place, connection)
            if found and owner != self._edge:
                if wrote_last(connection) == self._edge:
                    raise self.place.damaged(f"its table 'meta' says that it is of edge {owner!r}, its events do not")
                raise JournalError(f"journal {self.place} belongs to edge {owner!r}, not to {self._edge!r}")
            if found < schema.version() or not connection.info[schema.IN_STEP]:
                schema.migrate(connection, found, self._edge)
            return self._ends(connection)

    def _look_for_untold(self, connection: Connection) -> None:
        """A record that was begun anew by a process which ended before it had said so."""
        base = base_of(connection)
        if base.damage and self.begun is None:
            with self.place.translating_errors(), connection.begin():
                self.begun = None if begun_is_told(connection, base) else base

    def _ends(self, connection: Connection) -> tuple[Checkpoint, int]:
        try:
            return _checked_ends(connection)
        except Wrong as fault:
            consoles = dict(connection.execute(select(CURSOR.c.console, CURSOR.c.seq)).all())
            known = ", ".join(f"{console!r} up to {seq}" for console, seq in sorted(consoles.items()))
            raise self.place.damaged(
                str(fault), f"; consoles still have the events: {known}" if known else "") from fault


def close(connection: Connection | None) -> None:
    """Let go of it, whatever state it is in."""
    if connection is not None:
        with suppress(SQLAlchemyError):
            connection.close()


def _checked_ends(connection: Connection) -> tuple[Checkpoint, int]:
    base, last = base_of(connection), ends(connection)
    newest = schema.stored(connection, CHECKPOINT).order_by(CHECKPOINT.c.id.desc()).limit(2)
    stored = [Checkpoint(*row) for row in connection.execute(newest).all()]
    checkpoint, before = (*stored, base.checkpoint, base.checkpoint)[:2]
    if stored:
        last_row = schema.stored(connection, CHECKPOINT).where(CHECKPOINT.c.id == checkpoint.id)
        chain.read_checkpoint(connection.execute(last_row).one(), before)
        checkpoint_rows(connection, checkpoint)
    if (last.n, last.seq) != (checkpoint.last_n, checkpoint.event_seq):
        raise Wrong(f"there are inputs up to {last.n} and events up to {last.seq}, but the last checkpoint,"
                    f" {checkpoint.id}, says {checkpoint.last_n} and {checkpoint.event_seq}")
    for event in events_page(connection, last.seq - 1, 1) if last.seq > base.checkpoint.event_seq else ():
        if event.hash != checkpoint.event_hash:
            raise Wrong(f"event {event.seq} is not the one checkpoint {checkpoint.id} was put on")
    for console in connection.execute(select(CURSOR.c.console)).scalars().all():
        cursor_of(connection, console)
    times = (select(func.max(column)).where(key == number)
             for column, key, number in ((INPUT.c.at_ms, INPUT.c.n, last.n), (EVENT.c.at_ms, EVENT.c.seq, last.seq)))
    return checkpoint, max(base.at_ms, *(connection.execute(query).scalar() or 0 for query in times))


def cursor_of(connection: Connection, console: str) -> int | None:
    """How far `console` has stored the events; None: it is not known. Raises Wrong."""
    row = connection.execute(select(CURSOR.c.seq, CURSOR.c.event_hash).where(CURSOR.c.console == console)).first()
    if row is None:
        return None
    if not isinstance(row.seq, int):
        raise Wrong(f"cursor of console {console!r}: {row.seq!r} is no number of an event")
    if row.seq >= base_of(connection).checkpoint.event_seq and row.event_hash != hash_at(connection, row.seq):
        raise Wrong(f"cursor of console {console!r}: event {row.seq} is not the one it stored")
    return int(row.seq)


def hash_at(connection: Connection, seq: int) -> str | None:
    """The hash of event `seq`; None where there is no such event."""
    base = base_of(connection).checkpoint
    if seq == base.event_seq and base != START:
        return base.event_hash
    return connection.execute(select(EVENT.c.hash).where(EVENT.c.seq == seq)).scalar()
