"""Who may come in, and who did what, also while the store does not work: then in memory, and in the store when it works
again. People can sign in, see and acknowledge meanwhile.

Accounts and web sessions are few. Both are in memory too, in tables of the same shape, on which the same functions
work. Accounts have a copy in a file besides (edge.console.account_copy): a store may be lost, or away at a start.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, Concatenate, Final, ParamSpec, TypeVar

from sqlalchemy import Connection, create_engine, delete, func, select
from sqlalchemy.exc import DataError, IntegrityError
from sqlalchemy.pool import StaticPool

from edge.console import account_copy, audit
from edge.console.store import Store, StoreBroken
from edge.console.tables import accounts, metadata, web_sessions
from edge.console.upsert import insert

P = ParamSpec("P")
T = TypeVar("T")
Work = Callable[[Connection], object]

KEPT: Final = 10_000  # writes that wait for the store
AT_ONCE: Final = 200  # of them in one transaction

log = logging.getLogger(__name__)


class Access:
    """Reads and writes of accounts, web sessions, names and the audit that nobody is refused for a broken store."""

    def __init__(self, store: Store, copy: Path, now: Callable[[], float]) -> None:
        """`copy`: the file with the accounts; `now`: this console's clock."""
        self._store, self._copy, self._now = store, copy, now
        self._memory = create_engine("sqlite://", poolclass=StaticPool, connect_args={"check_same_thread": False})
        metadata.create_all(self._memory, tables=[accounts, web_sessions])
        self._waiting: deque[Work] = deque()
        self._put_n = 0
        self._begun = store.begun  # since when memory is in the store, too
        self._copied: list[dict[str, Any]] = []
        self.spoilt = 0  # accounts that are not as they were stored, in no copy either
        self.lost = 0  # writes for which there was no room

    @property
    def waiting(self) -> int:
        """So many writes are in memory alone."""
        return len(self._waiting)

    async def ask(self, work: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """What `work(connection, ...)` reads of accounts and web sessions."""
        if not self._waiting:
            with suppress(StoreBroken):
                found = await self._store.read(work, *args, **kwargs)
                if self._begun == self._store.begun:
                    return found
        return self._here(work, *args, **kwargs)

    async def put(
        self, work: Callable[Concatenate[Connection, P], object], *args: P.args, **kwargs: P.kwargs,
    ) -> None:
        """`work(connection, ...)` changes accounts or web sessions. Done twice it must do what it does once: of a store
        that does not answer nobody knows what it did."""
        self._put_n += 1
        self._here(work, *args, **kwargs)
        await self.note(work, *args, **kwargs)

    async def note(
        self, work: Callable[Concatenate[Connection, P], object], *args: P.args, **kwargs: P.kwargs,
    ) -> None:
        """`work(connection, ...)` adds to what is only read back later: the audit, the names of patients."""
        if not self._waiting:
            with suppress(StoreBroken):
                await self._store.run(work, *args, **kwargs)
                return
        if len(self._waiting) < KEPT:
            self._waiting.append(partial(_call, work, args, kwargs))
        else:
            self.lost += 1

    def knows_nobody(self) -> bool:
        """Whether no account is known at all."""
        return not self._here(_count)

    async def catch_up(self) -> None:
        """Stores what waits, in order. Raises StoreBroken."""
        await self._put_back()
        while self._waiting:
            some = list(islice(self._waiting, AT_ONCE))
            await self._store.run(_do, some)
            for _ in some:
                self._waiting.popleft()
        if self.lost:
            lost, self.lost = self.lost, 0
            await self.note(audit.add, self._now(), "vigil", "lines lost", lines=lost)

    async def _put_back(self) -> None:
        """A file that was begun anew while this console serves may have older accounts and sessions: the copy of the
        accounts is as new as they are, and memory has the sessions. Raises StoreBroken."""
        begun = self._store.begun
        if self._begun != begun:
            people, sessions, _ = self._here(_people)
            newest = {row["name"]: row for row in (*people, *await asyncio.to_thread(account_copy.read, self._copy))}
            await self._store.run(_store_rows, list(newest.values()), sessions)
            self._begun = begun

    async def load(self) -> None:
        """At a start: from the store, or from the copy where it cannot be read."""
        try:
            await self.look()
        except StoreBroken:
            self._fill(account_copy.read(self._copy), [])

    async def look(self) -> None:
        """Takes what is stored into memory, and accounts that have changed into their copy; a store that has lost
        accounts gets them from the copy, and a copy that was damaged is written anew. Raises StoreBroken."""
        put_n = self._put_n
        if self._waiting or self._begun != self._store.begun:
            return
        people, sessions, spoilt = await self._store.read(_people)
        if spoilt or not people:
            people, spoilt = await self._take_from_copy(people, spoilt)
        if self._waiting or put_n != self._put_n or self._begun != self._store.begun:
            return  # memory has something newer
        self.spoilt = spoilt
        self._fill(people, sessions)
        if people != self._copied or not await asyncio.to_thread(account_copy.holds, self._copy, people):
            try:
                await asyncio.to_thread(account_copy.write, self._copy, people)
                self._copied = people
            except OSError as fault:
                log.warning("%s: the copy of the accounts cannot be written: %s", self._copy, fault.strerror)

    async def _take_from_copy(self, people: list[dict[str, Any]], spoilt: int) -> tuple[list[dict[str, Any]], int]:
        """All accounts, with those that the store has lost; and how many rows are still not what was stored."""
        kept = await asyncio.to_thread(account_copy.read, self._copy)
        names = {row["name"] for row in people}
        if lost := [row for row in kept if row["name"] not in names]:
            log.error("the store has lost %d accounts: they are taken from %s", len(lost), self._copy)
            await self._store.run(_store_rows, lost)
            await self._store.run(audit.add, self._now(), "vigil", "accounts taken from their copy", accounts=len(lost))
        await self._store.run(_forget_spoilt)
        people, _, spoilt = await self._store.read(_people)
        return people, spoilt

    def _fill(self, people: Sequence[dict[str, Any]], sessions: Sequence[dict[str, Any]]) -> None:
        with self._memory.begin() as connection:
            for table, rows in ((accounts, people), (web_sessions, sessions)):
                connection.execute(delete(table))
                if rows:
                    connection.execute(table.insert(), rows)

    def _here(self, work: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        with self._memory.begin() as connection:
            return work(connection, *args, **kwargs)


def _call(work: Callable[..., object], args: tuple[Any, ...], kwargs: dict[str, Any], connection: Connection) -> object:
    return work(connection, *args, **kwargs)


def _do(connection: Connection, writes: Sequence[Work]) -> None:
    for write in writes:
        try:
            with connection.begin_nested():
                write(connection)
        except (IntegrityError, DataError) as fault:  # the others are not to wait for it for ever
            log.error("what was done while the store did not work cannot be stored: %s", fault)


def _people(connection: Connection) -> tuple[list[dict[str, Any]], list[dict[str, Any]], int]:
    """Accounts, web sessions, and how many rows of accounts are not as they were stored."""
    people = account_copy.rows_of(connection)
    sessions = connection.execute(select(web_sessions)).mappings()
    return people, [dict(row) for row in sessions], _count(connection) - len(people)


def _forget_spoilt(connection: Connection) -> None:
    """A row whose name alone was spoilt is nobody's any more: its hash, which is salted, is that of a sound one."""
    sound = account_copy.rows_of(connection)
    spoilt = accounts.c.name.not_in([row["name"] for row in sound])
    connection.execute(delete(accounts).where(spoilt, accounts.c.hash.in_([row["hash"] for row in sound])))


def _store_rows(
    connection: Connection, people: Sequence[dict[str, Any]], sessions: Sequence[dict[str, Any]] = (),
) -> None:
    for table, rows in ((accounts, people), (web_sessions, sessions)):
        key = next(iter(table.primary_key)).name
        for row in rows:
            connection.execute(insert(connection, table).values(**row).on_conflict_do_update(
                index_elements=[key], set_=row))


def _count(connection: Connection) -> int:
    return connection.execute(select(func.count()).select_from(accounts)).scalar_one()
