"""No room where the journal itself needs it: to keep a damaged one aside, to bring an older one along. The edge
watches, keeps what happens in memory, and does it when there is room; nothing is lost, and the damaged one is kept."""

from __future__ import annotations

import asyncio
import gzip
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from edge import points
from edge.contract.events import PendingEvent
from edge.journal import Journal, Reader
from edge.journal.last import Last
from edge.journal.outage import Outage
from edge.journal.verify import verify
from edge.model import Tick
from tests.helpers.bodies import body
from tests.helpers.small_disk import fill, remount
from tests.helpers.small_disk import small_disk as small_disk

pytestmark = pytest.mark.slow
ENDS = ("", "-wal")
AT_S, OLD = 1_900_000_000.0, Path(__file__).parent / "golden" / "journal-0.1.0.db.gz"


class Kept:
    """A journal that holds, and what was said of its store."""

    def __init__(self, path: Path, edge: str = "clinic-1", last: Last | None = None) -> None:
        self.path, self.told, self.said = path, list[Outage](), 0
        self.journal = Journal.open(str(path), edge=edge, boot="b9", wall=lambda: "w", holds=True, last=last)
        self.journal.watch(self.told.append)

    async def event(self) -> bool:
        """One more, with an input before it; whether it is on the disk."""
        self.said += 1
        self.journal.record("chair-1", AT_S + self.said, Tick())
        appended = self.journal.append([PendingEvent("chair-1", None, AT_S + self.said, body("alarm", text="t"))])
        return await asyncio.wait_for(appended.stored, 10)

    async def tried_again(self) -> None:
        """An attempt to write came to an end."""
        steps = self.journal._writer.steps
        async with asyncio.timeout(20):
            while self.journal._writer.steps == steps:
                await asyncio.sleep(0.02)

    async def healed(self) -> None:
        async with asyncio.timeout(20):
            while not self.told or not self.told[-1].over:
                await self.journal.flush()
                await asyncio.sleep(0.02)

    async def close_whole(self, before: int) -> None:
        """It ends; all that was said is in it, in order, behind event `before`."""
        await self.journal.close()
        assert verify(str(self.path)).problem is None
        with Reader(str(self.path)) as reader:
            events = [event for event in reader.events(before) if event.boot == "b9"]
        assert [event.at_s for event in events] == [AT_S + n for n in range(1, self.said + 1)]
        assert [event.seq for event in events] == [*range(before + 1, before + 1 + self.said)]


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge.journal.journal.RETRY_S", 0.05)


async def damaged(path: Path, folder: Path) -> int:
    """A journal whose last event is spoilt, some of it in its -wal file as a kill leaves it; its last good event."""
    made = folder / "made.db"
    journal = Journal.open(str(made), edge="clinic-1", boot="b1", wall=lambda: "w")
    for k in range(20):
        n = journal.record("chair-1", AT_S - 100 + k, Tick())
        journal.snapshot("chair-1", n, AT_S - 100 + k, b"s" * 2000)
        await journal.append([PendingEvent("chair-1", None, AT_S - 100 + k, body("alarm", text="x" * 2000))]).stored
    with closing(sqlite3.connect(made)) as raw:
        raw.execute("DROP TRIGGER event_no_update")
        raw.execute("UPDATE event SET at_ms = at_ms + 1 WHERE seq = 20")
        raw.commit()
        for end in ENDS:
            shutil.copy(f"{made}{end}", f"{path}{end}")
    await journal.close()
    return 19


def contents(path: Path) -> list[bytes]:
    return [Path(f"{path}{end}").read_bytes() for end in ENDS]


def names(folder: Path, like: str) -> list[str]:
    return sorted(found.name for found in folder.glob(like))


@pytest.mark.parametrize("own_disk", [False, True])
async def test_no_room_for_a_new_one_beside_a_damaged_one(small_disk: Path, tmp_path: Path, own_disk: bool) -> None:
    path = small_disk / "journal.db"
    good = await damaged(path, tmp_path)
    was, filler = contents(path), fill(small_disk)
    assert all(was)
    kept = Kept(path, last=Last(tmp_path / "last") if own_disk else None)
    for _ in range(3):
        assert not await kept.event()
        await kept.tried_again()
    assert contents(path) == was, "not a byte of it is changed"
    assert names(small_disk, "*.part*") == [], "nothing half made is left"
    filler.unlink()
    await kept.healed()
    begun = kept.journal.taken_begun()
    assert begun is not None
    assert begun.checkpoint.event_seq == good
    assert contents(path.with_name("journal.db.damaged-1")) == was, "kept aside as it was"
    assert await kept.event()
    await kept.close_whole(good)


@pytest.mark.parametrize("how", ["full", "full in the middle", "read-only"])
async def test_an_older_journal_on_a_disk_that_takes_nothing_is_brought_along_when_it_does(
    small_disk: Path, monkeypatch: pytest.MonkeyPatch, how: str,
) -> None:
    path = small_disk / "journal.db"
    path.write_bytes(gzip.decompress(OLD.read_bytes()))
    before = verify(str(path))
    with Reader(str(path)) as reader:
        edge = reader.edge
    fillers: list[Path] = []

    def reached(here: points.Point) -> None:
        if here == "migration" and not fillers:
            fillers.append(fill(small_disk))

    if how == "full in the middle":
        monkeypatch.setattr(points, "reached", reached)
    elif how == "full":
        fillers.append(fill(small_disk))
    else:
        remount(small_disk, "ro")
    kept = Kept(path, edge)
    assert not await kept.event()
    assert kept.journal.head.seq == before.events + 1, "it goes on behind what can be read"
    assert not await kept.event()
    if how == "read-only":
        remount(small_disk, "rw")
    else:
        fillers[0].unlink()
    await kept.healed()
    assert kept.journal.taken_begun() is None, "it was never damaged"
    assert await kept.event()
    await kept.close_whole(before.events)
    with Reader(str(path)) as reader:
        assert reader.version == 3
