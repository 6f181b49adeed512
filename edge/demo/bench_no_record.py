"""The edge without its record, for `vigil bench --no-record`: what the record costs is the difference.

Events are numbered, chained, signed and published as ever; nothing is encoded for the disk, packed or waited for.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path

from edge.app.run import run_edge
from edge.contract.events import PendingEvent
from edge.journal.journal import Journal
from edge.journal.outage import Appended
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


def _done() -> asyncio.Future[bool]:
    done: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
    done.set_result(True)
    return done


if __name__ == "__main__":
    from edge.app import run

    vars(run)["Journal"] = NoRecord
    sys.exit(run_edge(Path(sys.argv[-1])))
