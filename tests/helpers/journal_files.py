"""Journals as files, for tests that spoil them."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

from edge.contract.events import Event, PendingEvent
from edge.journal import Journal
from edge.model import RecordedInput, Tick
from tests.helpers.bodies import body

AT_S = 1_700_000_000.0


async def crashed(folder: Path) -> tuple[list[Event], list[RecordedInput]]:
    """A journal as a kill leaves it: half of it in the main file, half still in the -wal file. And what it held."""
    live = folder / "live"
    live.mkdir()
    for half in range(2):
        journal = Journal.open(str(live / "journal.db"), edge="clinic-1", boot=f"b{half}", wall=lambda: "now")
        for k in range(10):
            n = [journal.record("chair-1", AT_S + k, Tick()) for _ in range(10)][-1]
            journal.snapshot("chair-1", n, AT_S + k, b"s%d" % n)
            await journal.append([PendingEvent("chair-1", "s1", AT_S + k, body("alarm", text=str(k)))]).stored
            await journal.move_cursor("main", journal.head.seq)
        if half == 0:
            await journal.close()  # brings all of it into the main file
    for name in ("journal.db", "journal.db-wal"):
        shutil.copy(live / name, folder / name)
    truth = await journal.events_after(0, 1000), list(journal.inputs())
    await journal.close()
    return truth


def another(column: str) -> str:
    """SQL for another hash than the one in `column`: one digit is changed, whichever it was."""
    return f"CASE substr({column}, 1, 1) WHEN 'f' THEN '0' ELSE 'f' END || substr({column}, 2)"


def behind_triggers(file: Path | str, *statements: str) -> None:
    """As a bad disk would, rows of a journal's or a console's file are changed, also while it is open: the triggers
    that refuse it are away meanwhile."""
    with closing(sqlite3.connect(file)) as raw:
        triggers = raw.execute("SELECT name, sql FROM sqlite_schema WHERE type = 'trigger'").fetchall()
        for name, _ in triggers:
            raw.execute(f"DROP TRIGGER {name}")
        for statement in statements:
            raw.execute(statement)
        for _, sql in triggers:
            raw.execute(sql)
        raw.commit()
