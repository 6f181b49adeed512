"""The power goes at any moment: what the journal has confirmed is there, whole, and the next start goes on behind it.

Under the real writer: what is not synced is lost, kept, or torn in pieces of 512 bytes. `VIGIL_CUTS=1000` looks longer.
"""

from __future__ import annotations

import asyncio
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import ConnectionPoolEntry

from edge.contract.events import PendingEvent
from edge.journal import Journal, database, journal, segments
from edge.journal.database import JournalFailing
from edge.journal.jobs import Batch
from edge.journal.segments import Retention
from edge.journal.verify import verify
from edge.journal.writer import Writer
from edge.model import Tick
from tests.helpers.bodies import body
from tests.helpers.power_cut import Disk, on_a_disk, put

CUTS = int(os.environ.get("VIGIL_CUTS", "0"))
COMMITS = 130
AT_S = 1_700_000_000.0


async def written(folder: Path, disk: Disk) -> None:
    """Commits, packing, retention, cursors, and (SQLite's own) checkpoints of the -wal file; each promise is noted."""
    kept = Journal.open(str(folder / "journal.db"), edge="clinic-1", boot="b1", wall=lambda: "now", holds=True,
                        keep_inputs=Retention(ms=40_000))
    kept.watch(lambda outage: None)
    for k in range(COMMITS):
        n = [kept.record("chair-1", AT_S + k, Tick()) for _ in range(12)][-1]
        kept.snapshot("chair-1", n, AT_S + k, b"%d" % n * 400)
        appended = kept.append([PendingEvent("chair-1", None, AT_S + k, body("alarm", text=str(k), why="x" * 500))] * 2)
        if await appended.stored:
            disk.promise(f"{appended.events[-1].seq} {appended.events[-1].hash} {n}")
        else:
            await asyncio.sleep(0.015)  # until it is tried again
        if k % 5 == 0:
            await kept.move_cursor("main", kept.stored_seq)
    for _ in range(200):  # a fault at the end is mended, too
        if kept.outage is None:
            break
        await asyncio.sleep(0.01)
    await kept.close()


def folder_in(folder: Path, name: str) -> Path:
    (folder / name).mkdir()
    return folder / name


async def went_on(path: Path) -> str | None:
    """Why the next start does not simply go on; None: it does."""
    kept = Journal.open(str(path), edge="clinic-1", boot="b2", wall=lambda: "now", holds=True)
    try:
        if (begun := kept.taken_begun()) is not None:
            return begun.damage
        appended = kept.append([PendingEvent("chair-1", None, AT_S + 1000, body("alarm"))])
        return None if await appended.stored else "not stored"
    finally:
        await kept.close()


async def lost(folder: Path, disk: Disk, cuts: int, seed: str) -> list[str]:
    """What is wrong after each of so many cuts where something is."""
    chance, found = random.Random(seed), []
    first = next(k for k, step in enumerate(disk.done) if step[0] == "promise")
    for number in range(cuts):
        at = chance.randrange(first + 1, len(disk.done))
        files, promised = disk.cut(at, chance)
        seq, digest, n = promised.split()
        here = folder_in(folder, f"cut-{number}")
        put(files, here)
        if (wrong := await went_on(here / "journal.db")) is None:
            verdict = verify(str(here / "journal.db"), expect_seq=int(seq), expect_hash=digest)
            wrong = verdict.problem or (None if verdict.inputs >= int(n) else f"input {n} is missing")
        if wrong:
            found.append(f"cut before step {at}: {wrong}")
        shutil.rmtree(here)
    return found


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segments, "ROWS", 60)
    monkeypatch.setattr(journal, "RETRY_S", 0.01)


def failing(share: float, seed: int) -> Callable[[], bool]:
    """So many of the syncs fail, after the first few."""
    chance, calls = random.Random(seed), 0

    def fails() -> bool:
        nonlocal calls
        calls += 1
        return calls > 20 and chance.random() < share
    return fails


@pytest.mark.slow
@pytest.mark.timeout(300 + CUTS)
@pytest.mark.parametrize("share", [0.0, 0.05])
async def test_whatever_the_power_takes_nothing_confirmed_is_lost(tmp_path: Path, share: float) -> None:
    for turn in range(max(1, CUTS // 200)):
        with on_a_disk(failing(share, turn)) as disk:
            await written(folder_in(tmp_path, str(turn)), disk)
        steps = [step[0] for step in disk.done]
        assert steps.count("promise") > COMMITS / 2
        assert ("failed" in steps) == bool(share)
        assert any(name.endswith(".db") for what, name, *_ in disk.done[-400:] if what == "write")
        assert await lost(tmp_path, disk, min(CUTS, 100) or 25, f"{share} {turn}") == []


@pytest.mark.slow
async def test_who_does_not_wait_for_the_disk_loses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = database._set_up

    def set_up(connection: DBAPIConnection, entry: ConnectionPoolEntry) -> None:
        real(connection, entry)
        connection.cursor().execute("PRAGMA synchronous=NORMAL")

    monkeypatch.setattr(database, "_set_up", set_up)
    with on_a_disk() as disk:
        await written(folder_in(tmp_path, "1"), disk)
    assert len(await lost(tmp_path, disk, 20, "NORMAL")) > 5


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
async def test_who_swallows_an_error_of_the_disk_loses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def swallow(self: Writer, batches: list[Batch]) -> bool:
        try:
            self._store(batches)
        except (DBAPIError, JournalFailing):  # half of it may be in the file, which is noticed before the next
            self.checkpoint = self._attempted
        return True

    monkeypatch.setattr(Writer, "_write_or_hold", swallow)
    with on_a_disk(failing(0.05, 1)) as disk:
        await written(folder_in(tmp_path, "1"), disk)
    assert len(await lost(tmp_path, disk, 20, "swallowed")) > 5
