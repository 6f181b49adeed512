"""Where a journal lives: its address, its lock, the one connection that writes it and those that only read.

SQLite up to 3.51.2 can corrupt a WAL database that two connections write or checkpoint (the WAL-reset bug, fixed in
3.51.3: sqlite.org/wal.html). So exactly one connection ever writes: the lock keeps a second edge out, and readers open
the file `mode=ro`, which neither writes nor checkpoints.
"""

from __future__ import annotations

import fcntl
import os
import re
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import quote

from sqlalchemy import URL, Connection, create_engine, event, inspect, make_url, select
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchTableError, SQLAlchemyError
from sqlalchemy.pool import ConnectionPoolEntry, NullPool

from edge.aside import is_text, make_private, tells_damage
from edge.journal import postgres, schema
from edge.journal.chain import FIRST, Unknown, Wrong, read_base
from edge.migrating import TABLE, number, revisions, step_of
from edge.postgres import NoDriver, engine, masked, shown_address

BUSY_TIMEOUT_MS = 5000
WAL_KEPT_BYTES = 64 * 1024 * 1024  # what is left of the -wal file after a long reader made it grow
WAL_PIECE_BYTES = 1024 * 1024
DAMAGED_CODES = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})

# The last two are of a step that meets what it was to make: the journal says that it is older than it is.
DAMAGED_WORDS = re.compile(r"no such (table|column)|table (input|seal|event|snapshot) has no column"
                           r"|duplicate column name|\w+ \w+ already exists")


class JournalError(Exception):
    """The journal cannot do what it should; one line that says which journal and why."""


class JournalFailing(JournalError):
    """The store cannot be reached, read or written now: a full disk, a broken one, a server that is gone."""


class JournalBusy(JournalError):
    """Another process, or another Journal in this one, is writing this journal."""


class JournalDamaged(JournalError):
    """What is stored is not what was written. To be moved away, never written on. `what` is damaged."""

    def __init__(self, message: str, what: str = "") -> None:
        super().__init__(message, what)
        self.what = what

    def __str__(self) -> str:
        return str(self.args[0])


def _url(journal: str) -> URL:
    """A file's path is taken as it is: a question mark in it begins no options."""
    if "://" not in journal or journal.startswith("sqlite:///"):
        return URL.create("sqlite", database=journal.removeprefix("sqlite:///"))
    return make_url(journal)


class DatabaseUrl:
    """A journal's address: a bare path or `sqlite:///path`, `sqlite://` (in memory), or `postgresql+psycopg://...`."""

    def __init__(self, journal: str) -> None:
        try:
            self.url: URL = _url(journal)
        except (ArgumentError, ValueError) as fault:  # a port that is no number
            raise JournalError(f"journal {shown_address(journal)!r} is neither a path nor a database URL") from fault
        self._given = journal
        self.sqlite = self.url.get_backend_name() == "sqlite"
        name = self.url.database
        self.path: Path | None = Path(name).resolve() if self.sqlite and name and name != ":memory:" else None

    def __str__(self) -> str:
        return shown_address(str(self.path or self._given))

    def damaged(self, what: str, known: str = "") -> JournalDamaged:
        """`what` is wrong, and what to do about it. `known` says what the consoles still have."""
        where = f"{self} with its -wal and -shm files" if self.path else "its tables"
        known = known or "; the consoles still have the events they acknowledged"
        return JournalDamaged(
            f"journal {self} is damaged: {what}. Move {where} away and start again with a new one{known}", what)

    def error(self, fault: DBAPIError) -> JournalError:
        """A database's fault in one line of ours."""
        words = next(iter(masked(str(fault.orig)).strip().splitlines()), type(fault.orig).__name__)
        code = getattr(fault.orig, "sqlite_errorcode", 0) & 0xFF
        if code == sqlite3.SQLITE_NOTADB and self.path is not None:
            with suppress(OSError):
                if is_text(self.path):
                    return JournalError(f"{self} is not a journal: it is a text file; give a journal.db")
            words = "it is no database: another file, or a journal whose first page is damaged"
        if (code in DAMAGED_CODES
                or DAMAGED_WORDS.match(words) or of_a_row(fault)
                or postgres.state_of(fault) in postgres.DAMAGED_STATES):
            return self.damaged(words)
        return JournalFailing(f"journal {self}: {words}")

    @contextmanager
    def translating_errors(self) -> Iterator[None]:
        """What the database cannot do, and what is not to be believed, comes out as JournalError or JournalDamaged."""
        try:
            yield
        except DBAPIError as fault:
            raise self.error(fault) from fault
        except NoSuchTableError as fault:  # its administrator moves things about while we look
            raise JournalFailing(f"journal {self}: its table {fault} went away") from fault
        except Wrong as fault:
            raise self.damaged(str(fault)) from fault
        except Unknown as fault:
            raise JournalError(f"journal {self}: {fault}") from fault


def of_a_row(fault: DBAPIError) -> bool:
    """Whether it is about what one row holds, and not about the store."""
    return str(fault.orig).startswith("Could not decode to UTF-8")


class Lock:
    """An exclusive lock on `<journal>.lock`, held until released or the process ends, however it ends."""

    def __init__(self, place: DatabaseUrl) -> None:
        self._fd: int | None = None
        if place.path is None:
            return
        path = self._path = f"{place.path}.lock"
        try:
            fd = _open_lock(path)
        except OSError as fault:
            raise JournalFailing(f"journal {place}: cannot open {path}: {fault.strerror}") from fault
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(fd, 32, 0).decode("ascii", "replace").strip() or "unknown"
            os.close(fd)
            raise JournalBusy(f"journal {place} is already being written by process {holder};"
                              " only one edge may write a journal") from None
        except OSError as fault:
            os.close(fd)
            raise JournalError(f"journal {place}: cannot lock {path}: {fault.strerror}") from fault
        # For the message above alone: a full disk, which cannot take the number, must not keep the edge from starting.
        try:
            os.ftruncate(fd, 0)
            os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
        except OSError:
            pass
        self._fd = fd

    @property
    def in_place(self) -> bool:
        """Whether who comes next meets it: a lock on a file that was removed keeps nobody out."""
        if self._fd is None:
            return True
        try:
            found, held = os.stat(self._path), os.fstat(self._fd)
        except OSError:
            return False
        return (found.st_dev, found.st_ino) == (held.st_dev, held.st_ino)

    def release(self) -> None:
        """Let the next one in. The file stays: removing it would race with who opens it now."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None


def _open_lock(path: str) -> int:
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError:
        return os.open(path, os.O_RDONLY)  # a lock can be held on a disk that takes no more, too


def _set_up(connection: DBAPIConnection, _entry: ConnectionPoolEntry) -> None:
    # None: the driver begins no transactions of its own; ours are BEGIN IMMEDIATE, DDL included.
    connection.isolation_level = None
    cursor = connection.cursor()
    for pragma in (f"busy_timeout={BUSY_TIMEOUT_MS}", "synchronous=FULL", "foreign_keys=ON",
                   f"journal_size_limit={WAL_KEPT_BYTES}"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_immediate(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def _server(place: DatabaseUrl, *, read_only: bool = False) -> Connection:
    try:
        opened = engine(place.url, "vigil journal", read_only=read_only, autocommit=read_only)
    except NoDriver as fault:
        raise JournalError(f"journal {place}: {fault}") from fault
    with place.translating_errors():
        return opened.connect()


def writing(place: DatabaseUrl, *, damaged: bool = False) -> Connection:
    """The one connection that may write. `damaged`: what is there need not be a journal, it is to be kept aside.
    Raises JournalError, JournalBusy (PostgreSQL), JournalDamaged."""
    if place.sqlite:
        if place.path is not None and place.path.parent.is_dir():
            make_private(place.path)
        # Opened here, then used by the writer's thread alone.
        file = tells_damage(
            create_engine(place.url, poolclass=NullPool, connect_args={"check_same_thread": False}))
        event.listen(file, "connect", _set_up)
        event.listen(file, "begin", _begin_immediate)
        with place.translating_errors():
            connection = file.connect()
    else:
        connection = _server(place)
    try:
        with place.translating_errors():
            _claim(place, connection, damaged)
    except JournalError:
        with suppress(SQLAlchemyError):  # a server may be gone by now
            connection.close()
        raise
    return connection


def _claim(place: DatabaseUrl, connection: Connection, damaged: bool) -> None:
    """Make it ours alone, once it is known to be ours: not a byte of another's database is changed."""
    with connection.begin():
        if not place.sqlite and not postgres.lock(connection):
            raise JournalBusy(f"journal {place} is already being written; only one edge may write a journal")
        if not damaged:
            identity(place, connection)
    if place.path:
        cursor = connection.connection.cursor()  # beside SQLAlchemy: the mode cannot change in a transaction
        try:
            cursor.execute("PRAGMA journal_mode=WAL")
            if cursor.fetchone() != ("wal",):
                raise JournalError(f"journal {place}: this file system cannot hold a WAL journal; use a local disk")
        except sqlite3.Error as fault:
            raise JournalFailing(f"journal {place}: {fault}") from fault
        finally:
            cursor.close()


def put_into_main_file(place: DatabaseUrl, connection: Connection) -> None:
    """Brings all of the -wal file into the main file, and both to the disk. After an fsync that failed it is the only
    way to know: what the kernel dropped then is written anew. Raises JournalFailing."""
    if place.path is None:
        return
    cursor = connection.connection.cursor()
    try:
        cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        (busy, *_), = cursor.fetchall()
        if busy:
            raise JournalFailing(f"journal {place}: somebody reads it, and its -wal file cannot be emptied yet")
    except sqlite3.Error as fault:
        raise JournalFailing(f"journal {place}: {fault}") from fault
    finally:
        cursor.close()


def write_wal_again(place: DatabaseUrl) -> None:
    """Writes the -wal file over itself, and brings it to the disk. After an fsync that failed, what the kernel still
    shows of it may be on no disk; a checkpoint that is made of it, and cut off by a power failure, would leave half a
    commit in the main file. Raises JournalFailing."""
    if place.path is None:
        return
    try:
        with open(f"{place.path}-wal", "r+b") as wal:
            at = 0
            while piece := wal.read(WAL_PIECE_BYTES):
                wal.seek(at)
                at += wal.write(piece)
            wal.flush()
            os.fdatasync(wal.fileno())
    except FileNotFoundError:
        return
    except OSError as fault:
        raise JournalFailing(f"journal {place}: {fault.strerror}") from fault


def reading(place: DatabaseUrl, *, unchanging: bool = False) -> Connection:
    """A connection that cannot write or checkpoint. Raises JournalError. `unchanging`: the caller knows that nobody
    writes, as on a full disk, where the -shm file that SQLite needs otherwise cannot be made."""
    if not place.sqlite:
        return _server(place, read_only=True)
    path = place.path
    if path is None or not path.is_file():
        raise JournalError(f"there is no journal at {place}")

    def connect() -> sqlite3.Connection:
        # On a read-only disk SQLite cannot make the -shm file it needs, unless told that nobody writes.
        wal = Path(f"{path}-wal")
        still = (unchanging or not os.access(path.parent, os.W_OK)) and not (wal.exists() and wal.stat().st_size)
        mode = "mode=ro&immutable=1" if still else "mode=ro"
        # One thread at a time: opened here, it may be handed to the writer's.
        return sqlite3.connect(f"file:{quote(str(path))}?{mode}", uri=True, isolation_level=None,
                               timeout=BUSY_TIMEOUT_MS / 1000, check_same_thread=False)

    file = tells_damage(create_engine("sqlite://", creator=connect, poolclass=NullPool))
    with place.translating_errors():
        return file.connect()


def _nothing_packs(connection: Connection) -> bool:
    """Version 3 had no segments at first; one that has lost them is another matter: its triggers still ask them."""
    if connection.dialect.name != "sqlite":
        return False
    guard = connection.exec_driver_sql("SELECT sql FROM sqlite_schema WHERE name = 'input_no_delete'").scalar()
    return guard is not None and schema.SEGMENT.name not in guard


def identity(place: DatabaseUrl, connection: Connection) -> tuple[int, str]:
    """Schema version and edge id of what is there; (0, "") where nothing is. Raises JournalError if it is not ours, and
    JournalDamaged where the other tables are a journal's: what `connection` then reads follows from them."""
    tables = set(inspect(connection).get_table_names())
    ours = len(tables & schema.RECORD) >= len(schema.RECORD) - 1
    if schema.META.name not in tables and not ours:
        if tables:
            raise JournalError(f"{place} is not a journal: it is a database with other tables ({min(tables)}, ...)")
        return 0, ""
    connection.info[schema.VERSION], connection.info[schema.BASE] = schema.seen(connection, tables), FIRST
    if schema.META.name not in tables:
        raise place.damaged("its table 'meta' is missing")
    meta = dict(connection.execute(select(schema.META.c.key, schema.META.c.value)).all())
    found, edge = number(str(meta.get("schema", ""))), meta.get("edge", "")
    if not found or not isinstance(edge, str) or not edge:
        if ours:
            raise place.damaged("its table 'meta' has no schema version or no edge")
        raise JournalError(f"{place} is not a journal: its table 'meta' has no schema version or no edge")
    if found == schema.SEGMENTS_SINCE and schema.SEGMENT.name not in tables and _nothing_packs(connection):
        found -= 1
    steps = revisions(connection) if TABLE in tables else []
    newest = max(found, *(number(step) or 0 for step in steps), 0)
    step = step_of(connection, schema.STEPS) if newest > schema.version() else None
    if step is not None and found > schema.version():
        connection.info[schema.BASE] = read_base(meta.get(schema.BASE))
        raise place.damaged(f"its table 'meta' says schema {found}, its tables are those of schema {step}")
    if newest > schema.version() and step is None:  # what alembic's own table alone says is put right
        raise JournalError(f"journal {place} was written by a newer vigil (schema {newest}, this one knows"
                           f" {schema.version()}): update vigil, or give it another journal")
    connection.info[schema.IN_STEP] = steps == [schema.revision(found)]
    connection.info[schema.VERSION] = found
    connection.info[schema.BASE] = read_base(meta.get(schema.BASE))
    return found, edge
