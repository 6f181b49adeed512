"""A store that fails when a test says so: commits that raise before or after they are done, openings that fail, a disk
that does not answer. Under the real writer, through SQLAlchemy's SQLite dialect and sqlite3 itself."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite

from edge.journal import database, store
from edge.journal.database import DatabaseUrl, JournalFailing

FULL = "database or disk is full"


@dataclass
class Disk:
    """What it does now. All is well at first."""

    commits: str = ""  # "": work; "before": nothing is written; "after": it is all written, and the disk says no
    opens: bool = True  # whether it can be opened to be written
    reads: bool = True  # whether what is there can be read while it cannot be written
    answers: threading.Event = field(default_factory=threading.Event)
    thread: str = ""  # the one whose commits it has; "": every one's
    tried: int = 0  # openings tried while it could not be opened

    def break_(self, commits: str = "before") -> None:
        """Full, from now on."""
        self.commits, self.opens = commits, False

    def mend(self) -> None:
        """It works again."""
        self.commits, self.opens = "", True
        self.answers.set()


@contextmanager
def faulty(monkeypatch: pytest.MonkeyPatch) -> Iterator[Disk]:
    """Every journal opened meanwhile is on this disk."""
    disk = Disk()
    disk.answers.set()
    commit = SQLiteDialect_pysqlite.do_commit
    writing, reading = database.writing, database.reading

    def do_commit(self: SQLiteDialect_pysqlite, connection: Any) -> None:
        others = disk.thread not in ("", threading.current_thread().name)
        if others or not connection.in_transaction or not connection.total_changes:  # only looked at
            commit(self, connection)  # type: ignore[no-untyped-call]
            return
        assert disk.answers.wait(20)
        if disk.commits == "before":
            raise sqlite3.OperationalError(FULL)
        commit(self, connection)  # type: ignore[no-untyped-call]
        if disk.commits == "after":
            raise sqlite3.OperationalError("disk I/O error")

    def open_to_write(place: DatabaseUrl) -> Any:
        if not disk.opens:
            disk.tried += 1
            raise JournalFailing(f"journal {place}: {FULL}")
        return writing(place)

    def open_to_read(place: DatabaseUrl, **how: bool) -> Any:
        if not disk.reads:
            raise JournalFailing(f"journal {place}: disk I/O error")
        return reading(place, **how)

    monkeypatch.setattr(SQLiteDialect_pysqlite, "do_commit", do_commit)
    monkeypatch.setattr(store, "writing", open_to_write)
    monkeypatch.setattr(store, "reading", open_to_read)
    try:
        yield disk
    finally:
        disk.mend()
