"""Export, then drop, of a journal on a server while its edge writes on: it verifies afterwards, whoever was ended in
the middle of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from edge import points
from edge.cli.records import export_inputs
from edge.contract.events import PendingEvent
from edge.journal import Journal, JournalError, segments
from edge.journal.verify import verify
from edge.model import Tick, iso
from tests.helpers.bodies import body
from tests.helpers.postgres import Server
from tests.helpers.postgres import server as server

pytestmark = pytest.mark.slow
AT_S, HOUR_S, ROWS = 1_800_000_000.0, 3600.0, 20


@pytest.fixture
def url(server: Server, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(segments, "ROWS", ROWS)
    return server.database()


def opened(url: str, boot: str = "b1") -> Journal:
    return Journal.open(url, edge="clinic-1", boot=boot, wall=lambda: "now")


async def go_on(journal: Journal, commits: int, at_s: float) -> None:
    for k in range(commits):
        for _ in range(5):
            journal.record("chair-1", at_s + k, Tick())
        await journal.append([PendingEvent("chair-1", None, at_s + k, body("alarm", text=str(k)))]).stored


@asynccontextmanager
async def writing_on(journal: Journal) -> AsyncIterator[None]:
    """It records events and inputs all the time."""
    async def write() -> None:
        while True:
            await go_on(journal, 1, AT_S + 2 * HOUR_S)

    task = asyncio.ensure_future(write())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def exported(url: str, folder: Path, drops: bool = True) -> Path:
    return await asyncio.to_thread(_exported, url, folder, drops)


def _exported(url: str, folder: Path, drops: bool) -> Path:
    assert export_inputs(url, folder, iso(AT_S + HOUR_S), drops, None) == 0
    (made,) = folder.iterdir()
    return made


async def test_while_its_edge_writes_it_drops_what_was_exported_itself(url: str, tmp_path: Path) -> None:
    journal = opened(url)
    await go_on(journal, 40, AT_S)
    await go_on(journal, 10, AT_S + 2 * HOUR_S)
    async with writing_on(journal):
        made = await exported(url, tmp_path / "archive")
        archived = verify(str(made))
        async with asyncio.timeout(20):
            while not verify(url).dropped:
                await asyncio.sleep(0.05)
    await journal.close()
    after = verify(url)
    assert (after.problem, after.hash, after.dropped) == (None, journal.head.hash, archived.inputs)
    assert archived.ok
    assert archived.inputs >= ROWS


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
async def test_a_command_and_an_edge_that_are_ended_in_the_middle_are_finished_by_the_next(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:
    journal = opened(url)
    await go_on(journal, 40, AT_S)
    await go_on(journal, 10, AT_S + 2 * HOUR_S)
    made = await exported(url, tmp_path / "archive", drops=False)  # it was ended before it dropped anything,
    left = made.with_name(f"{made.name}.part")
    made.rename(left)  # or before the file had its name
    left.write_bytes(left.read_bytes()[:5000])
    made = await exported(url, tmp_path / "archive")
    archived = verify(str(made))
    assert archived.ok

    def reached(here: points.Point) -> None:
        if here == "retention":
            raise SystemExit  # the thread ends, and nothing of the transaction is kept

    monkeypatch.setattr(points, "reached", reached)
    with suppress(JournalError):
        await go_on(journal, 50, AT_S + 3 * HOUR_S)
    assert journal.failed is not None
    monkeypatch.setattr(points, "reached", lambda _: None)
    assert (verify(url).problem, verify(url).dropped) == (None, 0)
    again = opened(url, "b2")
    await go_on(again, 20, AT_S + 4 * HOUR_S)
    await again.close()
    assert (verify(url).problem, verify(url).dropped) == (None, archived.inputs)


async def test_a_note_that_does_not_fit_drops_nothing_and_stops_nothing(server: Server, url: str) -> None:
    for note in ('{"last_id": 1, "hash": "f00"}', "", '{"last_id": 9'):
        journal = opened(url)
        server.sql(f"INSERT INTO meta VALUES ('drop', '{note}')", url=url)
        await go_on(journal, 20, AT_S)
        await journal.close()
        assert server.sql("SELECT value FROM meta WHERE key = 'drop refused'", url=url) == [(note,)]
        assert server.sql("SELECT value FROM meta WHERE key = 'drop'", url=url) == []
    verdict = verify(url)
    assert (verdict.problem, verdict.dropped) == (None, 0)
