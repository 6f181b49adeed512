"""A store's file that is removed while it is open is put back; ended at any moment of that, the next start goes on:
with the whole copy, or behind what can be believed of what there is of it. Half a copy is never taken for whole."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection

from edge import aside, points
from edge.console import audit
from edge.console.store import Store
from edge.contract.events import PendingEvent
from edge.journal import Journal, Reader
from edge.journal.last import Last
from edge.journal.verify import verify
from edge.model import Tick
from tests.helpers.bodies import body

pytestmark = pytest.mark.slow

AT_S, EVENTS = 1_700_000_000.0, 30


def opened(path: Path, boot: str, last: Path | None = None) -> Journal:
    return Journal.open(str(path), edge="clinic-1", boot=boot, wall=lambda: "w", holds=True,
                        last=Last(last) if last else None)


async def said(journal: Journal, text: str) -> bool:
    n = journal.record("chair-1", AT_S, Tick())
    journal.snapshot("chair-1", n, AT_S, b"s%d" % n)
    return await asyncio.wait_for(
        journal.append([PendingEvent("chair-1", "s1", AT_S, body("alarm", text=text, why="x" * 3000))]).stored, 5)


@contextmanager
def snapped(monkeypatch: pytest.MonkeyPatch, folder: Path, into: Path) -> Iterator[list[Path]]:
    """A copy of `folder` as a kill would leave it before each thing that putting back does to a file, and in the middle
    of making the copy."""
    taken: list[Path] = []

    def snap(*_: object) -> int:
        taken.append(into / str(len(taken)))
        shutil.copytree(folder, taken[-1], ignore=shutil.ignore_patterns("*.lock", "*-shm"))
        return 0

    def before(target: object, name: str) -> None:
        real: Callable[..., Any] = getattr(target, name)

        def first(*args: Any, **kwargs: Any) -> Any:
            snap()
            return real(*args, **kwargs)

        monkeypatch.setattr(target, name, first)

    put_back = aside.put_back

    def slowly(cursor: Any, path: Path) -> None:
        cursor.execute("PRAGMA cache_size = 5")  # pages: half of the copy is on the disk before it is whole
        cursor.connection.set_progress_handler(snap, 150)
        for name in ("rename", "unlink"):
            before(Path, name)
        before(aside, "to_disk")
        try:
            put_back(cursor, path)
        finally:
            cursor.connection.set_progress_handler(None, 0)
            snap()

    monkeypatch.setattr(aside, "put_back", slowly)
    yield taken
    monkeypatch.undo()


@pytest.fixture
async def killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The folders that kills of an edge leave whose journal of 30 events was removed."""
    monkeypatch.setattr("edge.journal.journal.RETRY_S", 0.02)
    data = tmp_path / "data"
    data.mkdir()
    journal, over = opened(data / "journal.db", "b1"), asyncio.Event()
    for k in range(EVENTS):
        assert await said(journal, str(k))
    with snapped(monkeypatch, data, tmp_path / "killed") as taken:
        journal.watch(lambda outage: over.set() if outage.over else None)
        for end in ("", "-wal", "-shm"):
            (data / f"journal.db{end}").unlink(missing_ok=True)
        assert not await said(journal, "later")
        await asyncio.wait_for(over.wait(), 10)
    await journal.close()
    return taken


async def test_an_edge_that_ends_while_its_journal_is_put_back_starts_again(
    killed: list[Path], tmp_path: Path,
) -> None:
    sizes: list[int] = []
    for number, folder in enumerate(killed):
        for again in (False, True):  # on a disk of its own, too, where an empty folder is a disk that is not mounted
            data = tmp_path / f"again-{number}-{again}"
            shutil.copytree(folder, data)
            last = tmp_path / f"last-{number}" if again else None
            if last is not None:
                Last(last).note_journal()
            nothing = not any((data / name).exists() for name in ("journal.db", "journal.db.back")) and not [
                *data.glob("*.new-*")]
            journal = opened(data / "journal.db", "b2", last)
            if nothing and again:
                assert journal.unplaced, "nobody knows whether the disk is there"
                journal._store.release()
                continue
            head, begun = journal.head.seq, journal.taken_begun()
            sizes.append(head)
            assert head in (0, EVENTS), "what it goes on from is all of it, or nothing"
            if begun is not None:
                assert begun.damage == aside.CUT_SHORT
                assert (data / "journal.db.damaged-1").exists(), "what there was of it is kept"
                assert journal.snapshots().keys() == ({"chair-1"} if head else set())
            assert head == EVENTS or begun is not None or nothing, "it is said"
            assert await said(journal, "after")
            await journal.close()
            assert verify(str(data / "journal.db")).ok
            assert sorted(found.name for found in data.glob("*.back*")) == []
            with Reader(str(data / "journal.db")) as reader:
                assert [event.seq for event in reader.events(reader.base.checkpoint.event_seq)][-1] == head + 1
    assert {0, EVENTS} <= set(sizes)
    halves = {(folder / "journal.db.back").stat().st_size for folder in killed if (folder / "journal.db.back").exists()}
    assert len(halves) > 2, "of some size between"
    assert len(killed) > 8


async def test_another_file_that_was_put_there_meanwhile_counts_and_the_half_copy_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    journal = opened(path, "b1")
    assert await said(journal, "1")
    await journal.close()
    path.with_name("journal.db.back").write_bytes(b"half")
    journal = opened(path, "b2")
    assert (journal.head.seq, journal.taken_begun()) == (1, None)
    await journal.close()
    assert path.with_name("journal.db.damaged-1").read_bytes() == b"half"


async def test_ended_while_it_begins_anew_the_next_start_finishes(
    killed: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The second kill: of the start after the first."""
    whole = [folder for folder in killed if (folder / "journal.db.back").exists()][-1]
    first = tmp_path / "first"
    shutil.copytree(whole, first)
    copies: list[Path] = []

    def reached(here: points.Point) -> None:
        if here == "quarantine":
            copies.append(tmp_path / f"second-{len(copies)}")
            shutil.copytree(first, copies[-1], ignore=shutil.ignore_patterns("*.lock", "*-shm"))

    monkeypatch.setattr(points, "reached", reached)
    await opened(first / "journal.db", "b2").close()
    monkeypatch.undo()
    for folder in copies:
        journal = opened(folder / "journal.db", "b3")
        assert journal.head.seq == EVENTS
        begun = journal.taken_begun()
        assert begun is not None
        assert begun.damage == aside.CUT_SHORT
        assert await said(journal, "after")
        await journal.close()
        assert verify(str(folder / "journal.db")).ok
        there = sorted(found.name for found in folder.glob("journal.db.*"))
        assert there == ["journal.db.damaged-1", "journal.db.lock"]
    assert len(copies) >= 3


def test_a_console_that_ends_while_its_store_is_put_back_starts_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:
    data = tmp_path / "data"
    data.mkdir()
    store = Store(data / "console.db", serves=lambda: AT_S)
    for n in range(20):
        store.now(audit.add, AT_S, "ann", "logged in", note="x" * 2000 + str(n))
    with snapped(monkeypatch, data, tmp_path / "killed") as taken:
        for end in ("", "-wal", "-shm"):
            (data / f"console.db{end}").unlink(missing_ok=True)
        asyncio.run(store.look())
    store.close()
    lines = set()
    for folder in taken:
        again = Store(folder / "console.db", serves=lambda: AT_S)
        try:
            found = again.now(audit.lines)
            lines.add(len([line for line in found if line[0] == "ann"]))
            assert again.now(_intact)
            assert not list(folder.glob("*.back*"))
        finally:
            again.close()
    assert lines == {0, 20}
    assert len(taken) > 5


def _intact(connection: Connection) -> bool:
    return connection.exec_driver_sql("PRAGMA integrity_check(1)").scalar() == "ok"
