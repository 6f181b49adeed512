"""A disk whose power can be cut: what was written and not synced may be there, or not, or in part.

The real writer runs over APSW (another build of SQLite, with its file system in Python). Each write, sync and promise
is noted in order; `Disk.cut` makes what a disk may hold when the power goes at one moment of it. A sync that fails
drops what it should have brought to the disk, as Linux does: it can be read until the power goes, and is on no disk.
"""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import apsw
import pytest
from sqlalchemy import create_engine

from edge.journal import database, store
from edge.journal.database import DatabaseUrl, JournalFailing

SECTOR = 512  # what a disk writes whole
VFS = "power"


@dataclass
class Disk:
    """All that was done to it, in order: (what, file, offset or length, bytes); and what was promised in between."""

    done: list[tuple[str, str, int, bytes]] = field(default_factory=list)
    fails: Callable[[], bool] = lambda: False  # whether this sync does

    def promise(self, what: str) -> None:
        """The writer says that it is kept."""
        self.done.append(("promise", what, 0, b""))

    def cut(self, at: int, chance: random.Random) -> tuple[dict[str, bytes], str]:
        """What is on it when the power goes before step `at`: each file, and the last promise."""
        files: dict[str, _File] = {}
        promised = ""
        for what, name, number, data in self.done[:at]:
            if what == "promise":
                promised = name
                continue
            file = files.setdefault(name, _File())
            match what:
                case "write" | "truncate":
                    file.waiting.append((what, number, data))
                case "sync":
                    file.keep(file.waiting)
                    file.waiting.clear()
                case "failed":
                    file.waiting.clear()
                case "delete":
                    files[name] = _File()
        share = chance.choice([0.0, 0.5, 0.9, 1.0])
        for file in files.values():
            file.keep([part for one in file.waiting for part in _sectors(one) if chance.random() < share])
        return {name: bytes(file.kept) for name, file in files.items() if file.kept}, promised


Step = tuple[str, int, bytes]


@dataclass
class _File:
    kept: bytearray = field(default_factory=bytearray)
    waiting: list[Step] = field(default_factory=list)

    def keep(self, steps: Sequence[Step]) -> None:
        for what, number, data in steps:
            if what == "truncate":
                del self.kept[number:]
                continue
            if number > len(self.kept):
                self.kept.extend(bytes(number - len(self.kept)))
            self.kept[number:number + len(data)] = data


def _sectors(step: Step) -> Iterator[Step]:
    """What may be written of it alone."""
    what, number, data = step
    if what == "truncate":
        yield step
        return
    at = 0
    while at < len(data):
        upto = at + SECTOR - (number + at) % SECTOR
        yield what, number + at, data[at:upto]
        at = upto


class _PowerFile(apsw.VFSFile):
    def __init__(self, disk: Disk, name: Any, flags: list[int]) -> None:
        self._disk, self._name = disk, str(name.filename() if hasattr(name, "filename") else name)
        super().__init__("", name, flags)

    def xWrite(self, data: bytes, offset: int) -> None:
        super().xWrite(data, offset)
        self._disk.done.append(("write", self._name, offset, bytes(data)))

    def xTruncate(self, size: int) -> None:
        super().xTruncate(size)
        self._disk.done.append(("truncate", self._name, size, b""))

    def xSync(self, flags: int) -> None:
        """The real disk is not waited for: what is durable is what is noted here."""
        if self._disk.fails():
            self._disk.done.append(("failed", self._name, 0, b""))
            raise apsw.IOError("disk I/O error")
        self._disk.done.append(("sync", self._name, 0, b""))


class _PowerVfs(apsw.VFS):
    def __init__(self, disk: Disk) -> None:
        self._disk = disk
        super().__init__(VFS, "")

    def xOpen(self, name: Any, flags: list[int]) -> Any:
        return _PowerFile(self._disk, name, flags)

    def xDelete(self, name: str, syncdir: bool) -> None:
        super().xDelete(name, syncdir)
        self._disk.done.append(("delete", name, 0, b""))


# --- sqlite3's part of the DBAPI, as far as SQLAlchemy and the journal use it -----------------------------------------


@contextmanager
def _as_sqlite3() -> Iterator[None]:
    try:
        yield
    except apsw.Error as fault:
        kind = (sqlite3.DatabaseError if isinstance(fault, apsw.CorruptError | apsw.NotADBError)
                else sqlite3.IntegrityError if isinstance(fault, apsw.ConstraintError) else sqlite3.OperationalError)
        raised = kind(str(fault))
        raised.sqlite_errorcode = getattr(fault, "extendedresult", 0)
        raise raised from fault


class _Cursor:
    arraysize, lastrowid, rowcount = 1, None, -1
    description: list[tuple[Any, ...]] | None

    def __init__(self, cursor: Any) -> None:
        self._cursor, self.description = cursor, None
        cursor.exec_trace = self._described

    def _described(self, cursor: Any, *_: object) -> bool:
        """Before the first row, and also where there will be none."""
        self.description = [(name[0], *[None] * 6) for name in cursor.get_description()] or None
        return True

    def execute(self, text: str, values: Sequence[Any] = ()) -> _Cursor:
        with _as_sqlite3():
            self._cursor.execute(text, tuple(values))
        self.rowcount = self._cursor.connection.changes()
        return self

    def executemany(self, text: str, rows: Sequence[Sequence[Any]]) -> _Cursor:
        with _as_sqlite3():
            self._cursor.executemany(text, [tuple(row) for row in rows])
        self.rowcount = len(rows)
        return self

    def fetchone(self) -> Any:
        with _as_sqlite3():
            return self._cursor.fetchone()

    def fetchall(self) -> list[Any]:
        with _as_sqlite3():
            return list(self._cursor.fetchall())

    def fetchmany(self, size: int = 1) -> list[Any]:
        return [row for row in (self.fetchone() for _ in range(size)) if row is not None]

    def close(self) -> None:
        self._cursor.close(True)


class _Connection:
    isolation_level: str | None = ""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    def cursor(self) -> _Cursor:
        return _Cursor(self._connection.cursor())

    def create_function(self, *_: object, **__: object) -> None:
        """Nothing of ours calls one."""

    def _end(self, verb: str) -> None:
        if self._connection.in_transaction:
            with _as_sqlite3():
                self._connection.execute(verb)

    def commit(self) -> None:
        self._end("COMMIT")

    def rollback(self) -> None:
        self._end("ROLLBACK")

    def close(self) -> None:
        with _as_sqlite3():
            self._connection.close()


def _connect(path: str, **_: object) -> _Connection:
    with _as_sqlite3():
        return _Connection(apsw.Connection(str(path), vfs=VFS))


_DBAPI = SimpleNamespace(
    **{name: getattr(sqlite3, name) for name in (
        "Error", "DatabaseError", "OperationalError", "IntegrityError", "InterfaceError", "InternalError", "DataError",
        "ProgrammingError", "NotSupportedError", "Warning", "Binary", "PARSE_COLNAMES", "PARSE_DECLTYPES")},
    connect=_connect, paramstyle="qmark", apilevel="2.0", threadsafety=1, version_info=(2, 6, 0),
    sqlite_version_info=tuple(int(part) for part in apsw.sqlite_lib_version().split(".")),
    sqlite_version=apsw.sqlite_lib_version())


@contextmanager
def on_a_disk(fails: Callable[[], bool] = lambda: False) -> Iterator[Disk]:
    """Every journal that is opened to be written meanwhile is on this disk."""
    disk = Disk(fails=fails)
    vfs = _PowerVfs(disk)

    def engine(url: Any, **options: Any) -> Any:
        return create_engine(url, **options) if "creator" in options else create_engine(url, module=_DBAPI, **options)

    def write_wal_again(place: DatabaseUrl) -> None:
        """The real one, which goes past SQLite; what it wrote is noted."""
        wal = Path(f"{place.path}-wal")
        if wal.is_file() and place.path is not None:
            name = str(wal)
            disk.done.append(("write", name, 0, wal.read_bytes()))
            if disk.fails():
                disk.done.append(("failed", name, 0, b""))
                raise JournalFailing(f"journal {place}: disk I/O error")
            rewritten(place)
            disk.done.append(("sync", name, 0, b""))

    rewritten = database.write_wal_again
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(database, "create_engine", engine)
        patch.setattr(store, "write_wal_again", write_wal_again)
        yield disk
    vfs.unregister()


def put(files: dict[str, bytes], folder: Path) -> None:
    """What the disk holds, as files there."""
    for name, content in files.items():
        (folder / Path(name).name).write_bytes(content)
