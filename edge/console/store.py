"""The one thread and the one connection through which everything is stored and read back.

Other consoles may work over the same PostgreSQL database: what they store is then in it, too (`shared`).
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from pathlib import Path
from typing import Concatenate, Final, ParamSpec, TypeVar

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError, OperationalError

from edge import aside, points
from edge.console import account_copy, audit, damage
from edge.console.database import NoStore, SchemaTooNew, StoreDamaged, open_engine, probe, words_of
from edge.console.open_file import OTHER_DISK, OpenFile
from edge.postgres import hang_up

P = ParamSpec("P")
T = TypeVar("T")

log = logging.getLogger(__name__)
ANSWER_S: Final = 4.0  # real seconds a database server may take for one function and those before it
FILE_ANSWER_S: Final = 10.0  # the same for a disk: a busy one takes seconds
SILENT = "the database does not answer"
SILENT_DISK = "the disk does not answer"
NOT_IN_PLACE = "was removed, or another file is in its place"
WRITTEN_OVER = "somebody wrote over it while the console served"


class StoreBroken(Exception):
    """The store cannot be written or read now (full disk, lost mount, no server). Nothing of the refused call was kept;
    where a server or a disk does not answer, nobody knows yet."""


class Store:
    """Runs functions of a connection, each in its own transaction, in the order they were asked for.

    `broken` says why the store does not work; None: the last write went well. `renewed` counts how often something
    else than before came to be in it: what was read before is to be read again. `begun` counts how often that was a
    new file for a damaged one: who has in memory what was in it puts it back.
    """

    def __init__(
        self, place: Path | str, *, serves: Callable[[], float] | None = None, accounts: Path | None = None,
    ) -> None:
        """Opens it, at a path or a server's address. Raises SchemaTooNew, NoStore, sqlalchemy.exc.DBAPIError.

        `serves`: it is for a console that must go on (its clock, seconds since 1970). A damaged file is then kept aside
        and a new one begun; one that cannot be written is read alone, and `broken` says so. Where it cannot even be
        read, the console goes on without it if people can sign in by `accounts`, the copy of them.
        """
        self.shared = not isinstance(place, Path)
        self._place, self._serves, self._accounts = place, serves, accounts
        self.broken: str | None = None
        self.renewed = self.begun = 0
        self.lost_lines = 0  # of the audit: they were noted beside it, and are not in it
        beside = place.parent if isinstance(place, Path) else accounts.parent if accounts else None
        self._head = audit.noted_in(beside / "console.db") if beside and serves else None
        self._reads_alone = False
        self._engine = self._opened()
        self._file = self._seen()
        if serves is None and self._engine is not None and not self.shared:
            with closing(self._engine.raw_connection()) as connection:  # a serving console alone writes the main file
                connection.cursor().execute("PRAGMA wal_autocheckpoint = 0")
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="console-store")
        self._turn = threading.Lock()  # one connection: whoever asks from another thread waits
        self._at_work: Connection | None = None
        self._note_audit()

    @property
    def aside(self) -> list[Path]:
        """Damaged files of this store that were kept aside and are still there."""
        return aside.kept(self._place) if isinstance(self._place, Path) else []

    def _opened(self) -> Engine | None:
        place = self._place
        try:
            return open_engine(place)
        except StoreDamaged as fault:
            if self._serves is None or not isinstance(place, Path):
                raise
            return self._begun_anew(place, fault.what)
        except DBAPIError as fault:
            if self._serves is None:
                raise
            if isinstance(place, Path) and damage.is_damage(fault):
                if aside.is_text(place):
                    raise
                return self._begun_anew(place, words_of(fault))
            opened = self._to_read(fault)
            self.broken, self._reads_alone = words_of(fault), True
            return opened

    def _to_read(self, fault: DBAPIError) -> Engine | None:
        """What of it can be read; None: nothing, and the accounts are known without it. Raises DBAPIError."""
        if isinstance(self._place, Path):
            try:
                return damage.open_to_read(self._place)
            except DBAPIError as worse:
                fault = worse
        if not isinstance(fault, OperationalError) or self._accounts is None or not account_copy.read(self._accounts):
            raise fault
        log.error("the console's store cannot be read (%s): it goes on without it", words_of(fault))
        return None

    def _begun_anew(self, place: Path, what: str, take: bool = True) -> Engine:
        assert self._serves is not None
        damage.begin_anew(place, what, self._serves(), open_engine, take=take)
        return open_engine(place)

    def _seen(self) -> OpenFile | None:
        """The file that is open to be written, of a console that serves."""
        held = self._serves is not None and self._engine is not None and not self._reads_alone
        return OpenFile(self._place) if held and isinstance(self._place, Path) else None

    async def look(self) -> None:
        """What somebody did to the file while it serves is noticed, and made good. Raises StoreBroken."""
        if self._file is not None:  # none where it could not be opened: `mend` tries that
            await self._on_thread(self._look)

    def _look(self) -> None:
        """What the open connection has of a file that is not at its place is put there; one that was written over is
        damaged. Raises StoreBroken."""
        with self._turn:
            if self._file is None or (self._file.in_place and not self._file.written_over):
                return
            assert isinstance(self._place, Path)
            if self._file.written_over:
                self._renew(self._place, WRITTEN_OVER)
            elif not self._file.adrift:
                raise StoreBroken(f"{self._place}: {OTHER_DISK}")
            else:
                self._put_back(self._place)

    def _put_back(self, place: Path) -> None:
        """The connection that is open still has all of it; what lies at its place now is kept aside."""
        assert self._engine is not None
        assert self._serves is not None
        log.error("%s %s: it is put back", place, NOT_IN_PLACE)
        number = aside.free_number(place)
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            with closing(self._engine.raw_connection()) as connection:
                aside.put_back(connection.cursor(), place)
            self._engine.dispose()
            self._engine = open_engine(place)
            self._file = OpenFile(place)
            kept = aside.kept_as(place, number)
            with self._engine.begin() as connected:
                audit.add(connected, self._serves(), "vigil", "store put back", kept=kept.name if kept.exists() else "")
            self._file.noted()
        except sqlite3.DatabaseError as fault:
            if not damage.tells_damage(fault):
                raise StoreBroken(f"{place} {NOT_IN_PLACE}, and cannot be put back: {fault}") from fault
            self._renew(place, f"{NOT_IN_PLACE}, and {fault}", take=False)
        except (OSError, DBAPIError, sqlite3.Error, NoStore) as fault:
            raise StoreBroken(f"{place} {NOT_IN_PLACE}, and cannot be put back: {fault}") from fault

    async def mend(self) -> None:
        """Tries whether it can be written again. Raises StoreBroken."""
        if self._reads_alone:
            try:
                await asyncio.get_running_loop().run_in_executor(self._thread, self._open_again)
            except DBAPIError as fault:
                raise self._broke(words_of(fault)) from fault
            except (NoStore, SchemaTooNew, OSError) as fault:
                raise self._broke(str(fault)) from fault
        await self.run(probe)

    def _open_again(self) -> None:
        try:
            opened = open_engine(self._place)
        except StoreDamaged as fault:
            assert isinstance(self._place, Path)
            opened = self._begun_anew(self._place, fault.what)
        if self._engine is not None:
            self._engine.dispose()
        self._engine, self._reads_alone = opened, False
        self._file = self._seen()
        self._note_audit()
        self.renewed += 1

    async def run(self, work: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """What `work(connection, ...)`, which writes, returns, once committed. Raises StoreBroken."""
        def written(connection: Connection) -> T:
            done = work(connection, *args, **kwargs)
            points.reached("console_in_commit")
            return done

        def looked() -> T:
            self._look()
            points.reached("console_before_store")
            done = self.now(written)
            points.reached("console_after_commit")
            return done

        done = await self._on_thread(looked)
        if self.broken is not None:
            log.warning("the console's store works again")
            self.broken = None
        return done

    async def read(self, work: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """The same for `work` that only reads: that it succeeds does not mean that the store can be written."""
        def looked() -> T:
            if self._file is not None and self._file.written_over:
                self._look()
            return self.now(work, *args, **kwargs)

        return await self._on_thread(looked)

    async def _on_thread(self, work: Callable[[], T]) -> T:
        if self._engine is None:
            raise StoreBroken(self.broken)
        done = asyncio.get_running_loop().run_in_executor(self._thread, work)
        try:
            async with asyncio.timeout(ANSWER_S if self.shared else FILE_ANSWER_S):
                return await done
        except DBAPIError as error:
            raise self._broke(words_of(error)) from error
        except StoreBroken as broken:
            raise self._broke(str(broken)) from broken
        except TimeoutError:
            if self.shared:
                hang_up(self._at_work)  # the thread gets an error, and goes on with the next
            raise self._broke(SILENT if self.shared else SILENT_DISK) from None

    def _broke(self, why: str) -> StoreBroken:
        if self.broken is None:
            log.error("the console's store broke: %s", why)
        self.broken = why
        return StoreBroken(why)

    def now(self, work: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """The same without a loop, for the command line and for tests, after what is at work. Raises
        sqlalchemy.exc.DBAPIError."""
        assert self._engine is not None
        try:
            with self._turn:
                try:
                    with self._engine.begin() as connection:
                        self._at_work = connection
                        connection.info.pop(audit.ADDED, None)  # of one that was rolled back
                        done = work(connection, *args, **kwargs)
                        added = connection.info.pop(audit.ADDED, False)
                    if added:
                        self._note_audit()
                    return done
                finally:
                    if self._file is not None:
                        self._file.noted()
        except DBAPIError as fault:
            if self._serves is not None and isinstance(self._place, Path) and damage.is_damage(fault):
                with self._turn, suppress(StoreBroken):  # the next call says so
                    self._renew(self._place, words_of(fault))
            raise

    def _note_audit(self) -> None:
        """The head of the audit is noted beside it, once it is on the disk. Where the one before is in it no longer,
        the file is an older one or another, and a line of the audit says so, once. What cannot be noted now is with
        the next line."""
        if self._head is None or self._serves is None or self._engine is None or self._reads_alone:
            return
        try:
            with self._engine.begin() as connection:
                before = _noted(self._head)
                lost = audit.say_lost(connection, self._serves(), before) if before else 0
                head = audit.last(connection)
            if lost:
                self.lost_lines += lost
                log.error("%d lines of the audit were noted in %s, and are not in the store", lost, self._head)
            if head is not None and head != before:
                audit.note(self._head, head)
        except (OSError, DBAPIError) as fault:
            log.error("the head of the audit cannot be noted in %s: %s", self._head, fault)

    def _renew(self, place: Path, what: str, take: bool = True) -> None:
        """It was found to be damaged while it served. `take`: what lies at its place is what is left of it. Raises
        StoreBroken."""
        assert self._engine is not None
        self._engine.dispose()
        try:
            self._engine = self._begun_anew(place, what, take)
        except (DBAPIError, OSError) as fault:  # no room for a new one: it stays as it is, and each call says so
            log.error("the damaged store cannot be kept aside: %s", fault)
            raise StoreBroken(f"{place} is damaged ({what}), and cannot be kept aside: {fault}") from fault
        self._reads_alone = False
        self._note_audit()
        self._file = self._seen()
        self.renewed += 1
        self.begun += 1

    def close(self) -> None:
        """Waits for what was asked for, then closes the file. What is in it alone is at its place before."""
        self._thread.shutdown(wait=True)
        if self._file is not None and isinstance(self._place, Path) and self._place.parent.is_dir():
            try:
                self._look()
            except StoreBroken as broken:
                log.error("%s", broken)
        if self._engine is not None:
            self._engine.dispose()


def _noted(file: Path) -> audit.Head | None:
    """The head that is noted; one that cannot be told is said, and made anew. Raises OSError."""
    try:
        return audit.noted(file)
    except ValueError as fault:
        log.error("%s: %s; whether lines of the audit are lost is not known", file, fault)
        return None
