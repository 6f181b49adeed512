"""The one thread and the one connection through which everything is stored and read back."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from edge.console.database import open_engine

P = ParamSpec("P")
T = TypeVar("T")

log = logging.getLogger(__name__)


class StoreBroken(Exception):
    """The file cannot be written or read now (full disk, lost mount). Nothing of the refused call was kept."""


class Store:
    """Runs functions of a connection, each in its own transaction, in the order they were asked for.

    `broken` says why the store does not work; None: the last write went well.
    """

    def __init__(self, path: Path) -> None:
        """Opens `path`. Raises SchemaTooNew, sqlalchemy.exc.DBAPIError."""
        self._engine = open_engine(path)
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="console-store")
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
        try:
            return await loop.run_in_executor(self._thread, lambda: self.now(work, *args, **kwargs))
        except DBAPIError as error:
            if self.broken is None:
                log.error("the console's store broke: %s", error.orig)
            self.broken = str(error.orig)
            raise StoreBroken(self.broken) from error

    def now(self, work: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """The same without a loop, for the command line and for tests. Raises sqlalchemy.exc.DBAPIError."""
        with self._engine.begin() as connection:
            return work(connection, *args, **kwargs)

    def close(self) -> None:
        """Waits for what was asked for, then closes the file."""
        self._thread.shutdown(wait=True)
        self._engine.dispose()
