"""A life of a journal whose writes and syncs fail now and then (libfiu, preloaded): `python -m tests.helpers.io_faults
JOURNAL COUNT BOOT [swallow]`. It prints each event it was told is on the disk, and ends by SIGKILL."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sqlite3
import sys
from typing import Any

from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite

from edge.contract.events import PendingEvent
from edge.journal import Journal, journal
from edge.model import Tick
from tests.helpers.bodies import body


async def live(path: str, count: int, boot: str) -> None:
    journal.RETRY_S = 0.02
    kept = Journal.open(path, edge="clinic-1", boot=boot, wall=lambda: "now", holds=True)
    kept.watch(lambda outage: print(f"outage {outage.reason}" if not outage.over else "over", flush=True))
    for k in range(count):
        at_s = 1_700_000_000.0 + k
        kept.record("chair-1", at_s, Tick())
        appended = kept.append([PendingEvent("chair-1", None, at_s, body("alarm", text=str(k)))])
        if await appended.stored:
            print(f"stored {appended.events[-1].seq} {appended.events[-1].hash}", flush=True)
        await asyncio.sleep(0.001)
    os.kill(os.getpid(), signal.SIGKILL)


def swallow() -> None:
    """The sabotage: a commit that fails is called done."""
    commit = SQLiteDialect_pysqlite.do_commit

    def do_commit(self: SQLiteDialect_pysqlite, connection: Any) -> None:
        try:
            commit(self, connection)  # type: ignore[no-untyped-call]
        except sqlite3.OperationalError:
            with contextlib.suppress(sqlite3.OperationalError):
                connection.rollback()

    SQLiteDialect_pysqlite.do_commit = do_commit  # type: ignore[method-assign, assignment]


if __name__ == "__main__":
    if "swallow" in sys.argv:
        swallow()
    asyncio.run(live(sys.argv[1], int(sys.argv[2]), sys.argv[3]))
