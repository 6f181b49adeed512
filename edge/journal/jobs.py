"""What the journal's writer is given to do, in the order it was given."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from sqlalchemy import Connection

from edge.contract.events import Event
from edge.journal.chain import InputRow
from edge.journal.database import JournalError

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class SnapshotRow:
    """A bed's whole state after input `n`."""

    bed: str
    n: int
    at_ms: int
    body: bytes


@dataclass(frozen=True, slots=True)
class Batch:
    """What must be stored together. `stored` resolves, on its own loop: True once it is on the disk, False when the
    store fails and it is kept in memory."""

    inputs: list[InputRow] = field(default_factory=list)
    events: tuple[Event, ...] = ()
    snapshots: list[SnapshotRow] = field(default_factory=list)
    stored: asyncio.Future[bool] | None = None

    def settle(self, result: bool | JournalError) -> None:
        """Give the result to the caller. A loop that is closed has no caller left."""
        if self.stored is not None:
            with suppress(RuntimeError):
                self.stored.get_loop().call_soon_threadsafe(_resolve, self.stored, result)


def _resolve(stored: asyncio.Future[bool], result: bool | JournalError) -> None:
    if stored.done():  # its caller gave up waiting
        return
    if isinstance(result, JournalError):
        stored.set_exception(result)
    else:
        stored.set_result(result)


@dataclass(frozen=True, slots=True)
class Query(Generic[T]):
    """A question to the database, or a small change: its own transaction, after all that was handed in before."""

    question: Callable[[Connection], T]
    result: Future[T] = field(default_factory=Future)

    def settle(self, fault: JournalError) -> None:
        """It will not be run."""
        if not self.result.done():
            with suppress(RuntimeError):  # cancelled in between
                self.result.set_exception(fault)


@dataclass(frozen=True, slots=True)
class Remember:
    """Keep these on the box itself: of no journal yet, when the newest event was `seq`."""

    snapshots: list[SnapshotRow]
    seq: int


class Retry:
    """Try to open a store that fails, and to write what is kept in memory."""


class Stop:
    """The last thing in the queue."""


Job = Batch | Query[Any] | Remember | Retry | Stop
