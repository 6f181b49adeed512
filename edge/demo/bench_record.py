"""The edge with less of a record, for `vigil bench --record`: what the rest of it costs is the difference.

    none    events are numbered, chained, signed and published as ever; nothing is encoded for the disk, packed or
            waited for
    plain   as 0.1.0: rows, chained and committed before anything is published. No signatures, no packing and no
            retention, no check of the place, nothing held in memory while the store fails
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

from edge.app.run import run_edge
from edge.contract.events import PendingEvent
from edge.journal import segments
from edge.journal.journal import Journal
from edge.journal.outage import Appended
from edge.journal.writer import KEEP_ALL
from edge.model import Input


class NoRecord(Journal):
    """Keeps nothing."""

    def record(self, bed: str | None, at_s: float, input: Input) -> int:  # noqa: A002
        """Counts it."""
        self._n += 1
        return self._n

    def append(self, pending_events: Sequence[PendingEvent]) -> Appended:
        """Numbers them; they are as good as stored."""
        return super().append(pending_events) if pending_events else Appended((), _done())

    def snapshot(self, bed: str, n: int, at_s: float, body: bytes) -> None:
        """Nobody takes it up."""

    def _hand(self, events: tuple[object, ...] = (), stored: asyncio.Future[bool] | None = None) -> None:
        if stored is not None:
            stored.set_result(True)


class PlainRecord(Journal):
    """Keeps what 0.1.0 kept, as it did."""

    @classmethod
    def open(cls, url: str, **how: Any) -> Self:
        """The same place, with nothing that came later."""
        return super().open(url, **how | {"holds": False, "sign": None, "keep_inputs": KEEP_ALL, "last": None})


def _done() -> asyncio.Future[bool]:
    done: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
    done.set_result(True)
    return done


KINDS: dict[str, type[Journal]] = {"none": NoRecord, "plain": PlainRecord}

if __name__ == "__main__":
    from edge.app import run

    vars(run)["Journal"] = KINDS[sys.argv[1]]
    if sys.argv[1] == "plain":
        segments.ROWS = sys.maxsize  # inputs stay rows
    sys.exit(run_edge(Path(sys.argv[-1])))
