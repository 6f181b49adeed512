"""The one thread and the one connection through which everything is stored and read back.

Other consoles may work over the same PostgreSQL database: what they store is then in it, too (`shared`).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Concatenate, Final, ParamSpec, TypeVar

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from edge.console.database import open_engine, words_of
from edge.postgres import hang_up

P = ParamSpec("P")
T = TypeVar("T")

log = logging.getLogger(__name__)
ANSWER_S: Final = 4.0  # real seconds a database server may take for one function and those before it
SILENT = "the database does not answer"


class StoreBroken(Exception):
    """The store cannot be written or read now (full disk, lost mount, no server). Nothing of the refused call was kept;
    where a server does not answer, nobody knows yet."""


class Store:
    """Runs functions of a connection, each in its own transaction, in the order they were asked for.

    `broken` says why the store does not work; None: the last write went well.
    """

    def __init__(self, place: Path | str) -> None:
        """Opens it, at a path or a server's address. Raises SchemaTooNew, NoStore, sqlalchemy.exc.DBAPIError."""
        self.shared = not isinstance(place, Path)
        self._engine = open_engine(place)
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="console-store")
        self._at_work: Connection | None = None
        self.broken: str | None = None

    async def run(self, work: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """What `work(connection, ...)`, which writes, returns, once committed. Raises StoreBroken."""
        done = await self.read(work, *args, **kwargs)
        if self.broken is not None:
            log.warning("the console's store works again")
            self.broken = None
        return done

    async def read(self, work: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """The same for `work` that only reads: that it succeeds does not mean that the store can be written."""
        loop = asyncio.get_running_loop()
        done = loop.run_in_executor(self._thread, lambda: self.now(work, *args, **kwargs))
        try:
            async with asyncio.timeout(ANSWER_S if self.shared else None):
                return await done
        except DBAPIError as error:
            raise self._broke(words_of(error)) from error
        except TimeoutError:
            hang_up(self._at_work)  # the thread gets an error, and goes on with the next
            raise self._broke(SILENT) from None

    def _broke(self, why: str) -> StoreBroken:
        if self.broken is None:
            log.error("the console's store broke: %s", why)
        self.broken = why
        return StoreBroken(why)

    def now(self, work: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """The same without a loop, for the command line and for tests. Raises sqlalchemy.exc.DBAPIError."""
        with self._engine.begin() as connection:
            self._at_work = connection
            return work(connection, *args, **kwargs)

    def close(self) -> None:
        """Waits for what was asked for, then closes the file."""
        self._thread.shutdown(wait=True)
        self._engine.dispose()
