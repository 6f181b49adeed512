"""A store that fails stops nobody: what comes is numbered, chained and kept in order, said to be in memory alone, and
written when the store works again. Whatever the fault, the chain afterwards holds, and nothing in it is missing."""

from __future__ import annotations

import asyncio
import os
import shutil
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import pytest_asyncio

from edge import file_id, points
from edge.contract.events import Event, PendingEvent
from edge.file_id import FileId, id_of
from edge.journal import Journal, JournalBusy, JournalError, Reader, confirming, journal, segments, store
from edge.journal.last import Last
from edge.journal.outage import Outage
from edge.journal.verify import verify
from edge.model import Tick
from tests.helpers.bodies import body
from tests.helpers.faulty_store import FULL, Disk, faulty

AT_S = 1_700_000_000.25
AT_ONCE_S = 0.02


@dataclass
class Kept:
    """A journal that holds, and what was said of its store."""

    path: Path
    journal: Journal
    told: list[Outage] = field(default_factory=list)
    on_disk: list[bool] = field(default_factory=list)  # of each event appended through `event`
    placed: list[Event] = field(default_factory=list)

    async def event(self) -> int:
        """One input and one event, waited for."""
        self.journal.record("chair-1", AT_S, Tick())
        appended = self.journal.append([PendingEvent("chair-1", None, AT_S, body("alarm", text="é"))])
        self.on_disk.append(await asyncio.wait_for(appended.stored, 5))
        return appended.events[-1].seq

    async def until(self, holds: Callable[[], object]) -> None:
        async with asyncio.timeout(5):
            while not holds():
                await asyncio.sleep(AT_ONCE_S)

    async def healed(self) -> Outage:
        await self.until(lambda: self.told and self.told[-1].over)
        return self.told[-1]

    def check(self, events: int, inputs: int) -> None:
        verdict = verify(str(self.path))
        assert (verdict.problem, verdict.events, verdict.inputs) == (None, events, inputs)
        assert verdict.hash == self.journal.head.hash


def opened(path: Path, boot: str = "b1", last: Last | None = None) -> Kept:
    kept = Kept(path, Journal.open(str(path), edge="clinic-1", boot=boot, wall=lambda: "now", holds=True, last=last))
    kept.journal.watch(kept.told.append, on_placed=lambda events, _: kept.placed.extend(events))
    return kept


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[Disk]:
    monkeypatch.setattr(journal, "RETRY_S", AT_ONCE_S)
    with faulty(monkeypatch) as disk:
        yield disk


@pytest_asyncio.fixture(loop_scope="session")
async def kept(tmp_path: Path, disk: Disk) -> AsyncIterator[Kept]:
    kept = opened(tmp_path / "journal.db")
    yield kept
    disk.mend()
    await kept.journal.close()


@pytest.mark.parametrize("fault", ["before", "after"])  # the commit was lost; it was whole, and was called lost
async def test_what_comes_meanwhile_is_kept_in_order_and_written_afterwards(
    kept: Kept, disk: Disk, fault: str,
) -> None:
    assert [await kept.event() for _ in range(2)] == [1, 2]
    disk.break_(fault)
    assert [await kept.event() for _ in range(3)] == [3, 4, 5]
    await kept.until(lambda: kept.told)
    assert kept.on_disk == [True, True, False, False, False]
    assert kept.journal.stored_seq == 2
    words = FULL if fault == "before" else "disk I/O error"
    assert (kept.told[0].reason, kept.told[0].over) == (words, False)
    assert [event.seq for event in await kept.journal.events_after(0, 100)] == [1, 2, 3, 4, 5]
    assert [event.seq for event in await kept.journal.events_after(2, 2)] == [3, 4]
    await kept.journal.move_cursor("main", 5)  # it is not on the disk, so no cursor goes there
    await kept.until(lambda: disk.tried > 2)
    outage = kept.journal.outage
    assert outage is not None
    assert (outage.events, outage.inputs) == (3, 3)
    disk.mend()
    healed = await kept.healed()
    assert (healed.events, healed.inputs, healed.lost_inputs) == (3, 3, 0)
    assert kept.journal.outage is None
    assert await kept.event() == 6
    assert kept.on_disk[-1]
    kept.check(events=6, inputs=6)
    assert await kept.journal.cursor("main") == 0


@pytest.mark.parametrize("fault", ["before", "after"])
async def test_a_fault_while_inputs_are_packed_leaves_no_gap(
    kept: Kept, disk: Disk, monkeypatch: pytest.MonkeyPatch, fault: str,
) -> None:
    monkeypatch.setattr(segments, "ROWS", 4)
    faults = iter([fault])
    monkeypatch.setattr(points, "reached", lambda point: disk.break_(next(faults, "")) if point == "packing" else None)
    for _ in range(9):
        await kept.event()
    await kept.until(lambda: disk.tried)
    disk.mend()
    await kept.healed()
    for _ in range(12):
        await kept.event()
    kept.check(events=21, inputs=21)
    with sqlite3.connect(kept.path) as raw:
        assert raw.execute("SELECT count(*), max(last_n) FROM segment").fetchone() > (1, 8), "it goes on packing"
    raw.close()


async def test_a_store_that_fails_again_while_it_heals_keeps_the_rest(
    kept: Kept, disk: Disk, monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("edge.journal.writer.ROWS_A_COMMIT", 4)  # two of ours a commit
    await kept.event()
    disk.break_()
    for _ in range(9):
        await kept.event()
    disk.commits, disk.opens = "after", True  # each attempt writes one commit, and is told that it did not
    await kept.until(lambda: (verdict := verify(str(kept.path))).ok and verdict.events == 10)
    disk.mend()
    await kept.healed()
    kept.check(events=10, inputs=10)
    with Reader(str(kept.path)) as reader:
        assert [checkpoint.last_n for checkpoint in reader.checkpoints()] == [1, 3, 5, 7, 9, 10]


async def test_a_snapshot_is_kept_with_its_inputs(kept: Kept, disk: Disk) -> None:
    disk.break_()
    for k in range(3):
        n = kept.journal.record("chair-1", AT_S, Tick())
        kept.journal.snapshot("chair-1", n, AT_S, b"%d" % k)
        await kept.event()
    disk.mend()
    await kept.healed()
    assert kept.journal.snapshots() == {"chair-1": (5, AT_S, b"2")}
    kept.check(events=3, inputs=6)


async def test_of_more_inputs_than_there_is_room_for_each_is_counted_and_events_are_kept(
    kept: Kept, disk: Disk, monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(journal, "INPUTS_HELD", 10)
    disk.break_()
    for _ in range(9):
        await kept.event()
    assert kept.journal.outage is not None
    assert kept.journal.outage.lost_inputs == 0
    for _ in range(6):
        await kept.event()
    assert (kept.journal.outage.inputs, kept.journal.outage.lost_inputs) == (10, 5)
    disk.mend()
    healed = await kept.healed()
    assert (healed.events, healed.inputs, healed.lost_inputs) == (15, 10, 5)
    await kept.event()
    kept.check(events=16, inputs=11)


@pytest.mark.slow
async def test_ten_thousand_events_and_ten_minutes_of_30_beds_are_kept(kept: Kept, disk: Disk) -> None:
    disk.break_()
    await kept.event()
    for k in range(10_000):
        kept.journal.append([PendingEvent(None, None, AT_S + k, body("alarm", text="x"))])
    for _ in range(30 * 600):  # one a second and bed here: a test of a few seconds; the bound is INPUTS_HELD
        kept.journal.record("chair-1", AT_S, Tick())
    await kept.event()
    assert journal.INPUTS_HELD >= 30 * 600 * 10
    disk.mend()
    assert (await kept.healed()).events == 10_002
    kept.check(events=10_002, inputs=18_002)


async def test_a_restart_in_the_middle_of_it_goes_on_from_what_can_be_read(tmp_path: Path, disk: Disk) -> None:
    first = opened(tmp_path / "journal.db")
    n = first.journal.record("chair-1", AT_S, Tick())
    first.journal.snapshot("chair-1", n, AT_S, b"s")
    await first.event()
    await first.journal.close()
    disk.break_()
    again = opened(tmp_path / "journal.db", "b2")
    assert again.told[0].reason == FULL
    assert await again.event() == 2
    assert again.on_disk == [False]
    assert again.journal.snapshots() == {"chair-1": (1, AT_S, b"s")}
    assert [event.boot for event in await again.journal.events_after(0, 9)] == ["b1", "b2"]
    disk.mend()
    await again.healed()
    again.check(events=2, inputs=3)
    await again.journal.close()


@pytest.mark.parametrize("remembers", [True, False])
async def test_a_start_before_its_journal_is_there_watches_and_goes_on_behind_it(
    tmp_path: Path, disk: Disk, remembers: bool,
) -> None:
    folder = tmp_path / "disk"
    folder.mkdir()
    last = Last(tmp_path / "last") if remembers else None
    first = opened(folder / "journal.db", last=last)
    n = first.journal.record("chair-1", AT_S, Tick())
    first.journal.snapshot("chair-1", n, AT_S, b"s")
    for _ in range(3):
        await first.event()
    await first.journal.close()
    disk.break_()
    disk.reads = False
    again = opened(folder / "journal.db", "b2", last=last)
    assert again.journal.unplaced
    assert again.told[0].reason == FULL
    if remembers:  # nobody is to lose a session for want of a server
        assert again.journal.snapshots() == {"chair-1": (1, AT_S, b"s")}
        assert again.journal.head.at_s == AT_S
    else:
        with pytest.raises(JournalError):
            again.journal.snapshots()
    began = again.journal.head.seq
    assert [await again.event() for _ in range(3)] == [began + 1, began + 2, began + 3]
    assert again.on_disk == [False] * 3
    assert await again.journal.events_after(0, 9) == [], "no event leaves under a number that another one has"
    assert again.journal.stored_head is None
    disk.mend()
    healed = await again.healed()
    assert (healed.events, healed.inputs, healed.placed) == (3, 3, True)
    assert [event.seq for event in again.placed] == [4, 5, 6]
    assert await again.event() == 7
    again.check(events=7, inputs=8)
    assert [event.boot for event in await again.journal.events_after(0, 9)] == ["b1"] * 3 + ["b2"] * 4
    await again.journal.close()


async def test_what_a_process_that_ends_had_no_journal_for_is_written_if_it_can_be(tmp_path: Path, disk: Disk) -> None:
    first = opened(tmp_path / "journal.db")
    await first.event()
    await first.journal.close()
    disk.break_()
    disk.reads = False
    again = opened(tmp_path / "journal.db", "b2")
    await again.event()
    disk.mend()
    await again.journal.close()
    again.check(events=2, inputs=2)


def removed(path: Path) -> None:
    for file in path.parent.glob("journal.db*"):
        file.unlink()


def removed_alone(path: Path) -> None:
    path.unlink()


def replaced_by_an_older_one(path: Path) -> None:
    with sqlite3.connect(path) as raw:
        raw.execute("VACUUM INTO ?", (str(path.with_name("older")),))
    raw.close()
    with sqlite3.connect(path.with_name("older")) as older:
        for change in ("DROP TRIGGER event_no_delete", "DROP TRIGGER seal_no_delete", "DROP TRIGGER input_no_delete",
                       "DELETE FROM event WHERE seq = 3", "DELETE FROM seal WHERE id = 3",
                       "DELETE FROM input WHERE n = 3"):
            older.execute(change)
    older.close()
    path.with_name("older").rename(path)


def folder_replaced(path: Path) -> None:
    path.parent.rename(path.parent.with_name("away"))
    path.parent.mkdir()


@pytest.mark.parametrize(("happened", "full"), [  # `full`: the disk was full already when it happened
    (removed, False), (removed_alone, False), (replaced_by_an_older_one, False), (folder_replaced, False),
    (removed, True)])
async def test_a_file_that_is_removed_while_it_is_written_is_put_back_whole(
    tmp_path: Path, disk: Disk, monkeypatch: pytest.MonkeyPatch, happened: Callable[[Path], None], full: bool,
) -> None:
    if full:
        monkeypatch.setattr(journal, "RETRY_S", 0.3)  # not in the middle of an attempt to write again
    (tmp_path / "data").mkdir()
    kept = opened(tmp_path / "data" / "journal.db", last=Last(tmp_path / "last") if full else None)
    for _ in range(3):
        await kept.event()
    if full:
        disk.break_()
        assert await kept.event() == 4
    happened(kept.path)
    assert await kept.event() == 4 + full
    assert not kept.on_disk[-1]
    assert full or "its file was removed" in kept.told[0].reason
    assert [event.seq for event in await kept.journal.events_after(0, 9)] == [*range(1, 5 + full)], "it is still read"
    disk.mend()
    await kept.healed()
    assert await kept.event() == 5 + full
    assert kept.on_disk[-1]
    assert kept.journal.taken_begun() is None, "the chain is one"
    await kept.journal.close()
    kept.check(events=5 + full, inputs=5 + full)
    aside = sorted(found.name for found in kept.path.parent.glob("*.damaged-*"))
    assert aside[:1] == (["journal.db.damaged-1"] if happened is replaced_by_an_older_one else [])


async def test_ended_while_it_is_put_back_the_next_start_finishes(
    tmp_path: Path, disk: Disk, monkeypatch: pytest.MonkeyPatch,
) -> None:
    kept = opened(tmp_path / "journal.db")
    for _ in range(3):
        await kept.event()
    copies: list[Path] = []

    def reached(here: points.Point) -> None:
        if here == "quarantine":
            copies.append(tmp_path / f"killed-{len(copies) + 1}")
            shutil.copytree(tmp_path, copies[-1], ignore=shutil.ignore_patterns("killed-*", "*.lock"))

    monkeypatch.setattr(points, "reached", reached)
    removed(kept.path)
    await kept.event()
    await kept.healed()
    await kept.journal.close()
    monkeypatch.undo()
    for killed in copies[1:]:  # at the first, nothing has a name yet
        again = opened(killed / "journal.db", "b2")
        assert await again.event() == 4, "what was stored is there"
        await again.journal.close()
        assert again.journal.taken_begun() is None
    assert len(copies) == 3


@pytest.mark.parametrize(("end", "size"), [("", 100), ("-wal", 100), ("-wal", -1)])
async def test_a_file_that_is_cut_off_while_it_is_written_is_noticed_with_the_next_commit(
    kept: Kept, disk: Disk, end: str, size: int,
) -> None:
    for _ in range(3):
        await kept.event()
    file = f"{kept.path}{end}"
    os.truncate(file, size if size > 0 else os.stat(file).st_size + size)
    assert await kept.event() == 4
    assert kept.on_disk == [True, True, True, False]
    assert "file was cut off" in kept.told[0].reason
    await kept.healed()
    assert await kept.event() == 5
    with Reader(str(kept.path)) as reader:
        assert [event.seq for event in reader.events()][-2:] == [4, 5], "what came since is there, whatever was lost"
    assert verify(str(kept.path)).ok


def overwrite(path: Path, content: bytes) -> None:
    """In place, as `cp` and `dd` do it."""
    with path.open("r+b") as file:
        file.write(content)


def whole_copy(path: Path) -> bytes:
    copy = path.with_name("out")
    with sqlite3.connect(path) as raw:
        raw.execute("VACUUM INTO ?", (str(copy),))
    raw.close()
    content = copy.read_bytes()
    copy.unlink()
    return content


async def another_edges(path: Path) -> bytes:
    """Of another clinic, with a bed of the same name."""
    other = Journal.open(str(path.with_name("other.db")), edge="clinic-2", boot="b1", wall=lambda: "now")
    other.snapshot("chair-1", other.record("chair-1", AT_S + 1e6, Tick()), AT_S + 1e6, b"another patient's")
    await other.append([PendingEvent("chair-1", None, AT_S + 1e6, body("alarm", text="x"))]).stored
    await other.close()
    return whole_copy(path.with_name("other.db"))


@pytest.mark.parametrize("what", ["noise", "a page of noise", "older", "another edge's"])
async def test_a_file_that_somebody_writes_over_is_said_and_the_record_goes_on_in_a_new_one(
    tmp_path: Path, disk: Disk, what: str,
) -> None:
    (tmp_path / "data").mkdir()
    kept = opened(tmp_path / "data" / "journal.db")
    for k in range(3):
        kept.journal.snapshot("chair-1", kept.journal.record("chair-1", AT_S, Tick()), AT_S, b"%d" % k)
        await kept.event()
    older = whole_copy(kept.path)
    await kept.event()
    await kept.journal.close()  # all of it is in the main file
    kept = opened(kept.path, "b2")
    size = kept.path.stat().st_size
    overwrite(kept.path, {"noise": bytes(range(256)) * (size // 256), "a page of noise": bytes(range(256)) * 16,
                          "older": older, "another edge's": await another_edges(kept.path)}[what])
    for alone in kept.path.parent.glob("o*"):
        alone.unlink()
    assert await kept.event() == 5
    assert not kept.on_disk[-1]
    assert "somebody wrote over its file" in kept.told[0].reason
    await kept.healed()
    assert await kept.event() == 6
    assert kept.on_disk[-1]
    begun = kept.journal.taken_begun()
    assert begun is not None
    assert (begun.checkpoint.event_seq, begun.at_ms) == (4, round(AT_S * 1000)), "what was written is not there"
    assert begun.damage.startswith("somebody wrote over its file")
    assert kept.journal.snapshots() == {}, "they may be another patient's"
    await kept.journal.close()
    verdict = verify(str(kept.path))
    assert (verdict.problem, verdict.begins_after, verdict.events) == (None, 4, 6)
    assert kept.path.with_name("journal.db.damaged-1").exists()


async def test_a_file_that_is_touched_is_looked_at_and_goes_on(kept: Kept, disk: Disk) -> None:
    for _ in range(3):
        await kept.event()
    overwrite(kept.path, kept.path.read_bytes())
    assert await kept.event() == 4
    assert not kept.on_disk[-1]
    await kept.healed()
    assert await kept.event() == 5
    assert kept.on_disk[-1]
    assert kept.journal.taken_begun() is None
    kept.check(events=5, inputs=5)


@pytest.mark.parametrize("end", ["-wal", "-shm", ".lock"])
async def test_a_file_beside_it_that_is_removed_takes_nothing_with_it(kept: Kept, disk: Disk, end: str) -> None:
    for _ in range(3):
        await kept.event()
    kept.path.with_name(f"{kept.path.name}{end}").unlink()
    assert await kept.event() == 4
    assert f"its {end} file was removed" in kept.told[0].reason
    await kept.healed()
    for found in kept.path.parent.glob(f"{kept.path.name}*"):
        if not found.name.endswith("-shm"):
            shutil.copy(found, kept.path.with_name(found.name.replace("journal", "killed")))
    with Reader(str(kept.path.with_name(kept.path.name.replace("journal", "killed")))) as reader:
        assert len(list(reader.events())) == 4, "who is killed now has lost nothing"
    with pytest.raises(JournalBusy):
        opened(kept.path)
    kept.check(events=4, inputs=4)


async def test_who_took_the_place_of_a_removed_lock_writes_alone(kept: Kept, disk: Disk) -> None:
    await kept.event()
    kept.path.with_name(f"{kept.path.name}.lock").unlink()
    other = opened(kept.path)
    assert await other.event() == 2
    assert await kept.event() == 2
    assert not kept.on_disk[-1]
    await other.journal.close()
    with Reader(str(kept.path)) as reader:
        assert [event.seq for event in reader.events()] == [1, 2]


async def test_a_folder_that_is_away_for_a_while_costs_nothing(kept: Kept, disk: Disk) -> None:
    await kept.event()
    folder = kept.path.parent
    folder.rename(folder.with_name("away"))
    assert await kept.event() == 2
    assert kept.on_disk == [True, False]
    folder.with_name("away").rename(folder)
    await kept.healed()
    assert await kept.event() == 3
    kept.check(events=3, inputs=3)


async def test_over_another_disk_nothing_is_begun_and_its_own_comes_back_whole(tmp_path: Path, disk: Disk,
                                                                               monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    kept = opened(folder / "journal.db")
    await kept.event()
    folder.rename(tmp_path / "beneath")
    folder.mkdir()  # what is mounted there now: empty, or with another journal
    other = opened(folder / "journal.db", "b2")
    await other.event()
    await other.journal.close()
    (folder / "journal.db").rename(folder / "other")

    def seen(path: Path | str) -> FileId | None:
        found = id_of(path)
        return (-1, found[1]) if found and beneath.exists() else found

    beneath = tmp_path / "beneath"
    for module in (store, file_id):
        monkeypatch.setattr(module, "id_of", seen)
    assert await kept.event() == 2
    await kept.until(lambda: "another one is mounted over" in kept.told[-1].reason)
    assert not (folder / "journal.db").exists(), "no record is begun there"
    (folder / "other").rename(folder / "journal.db")
    assert await kept.event() == 3
    steps = kept.journal._writer.steps
    await kept.until(lambda: kept.journal._writer.steps > steps + 1)
    assert "another one is mounted over" in kept.told[-1].reason
    assert [found.name for found in folder.glob("*.damaged-*")] == []
    folder.rename(tmp_path / "unmounted")
    beneath.rename(folder)
    await kept.healed()
    assert await kept.event() == 4
    await kept.journal.close()
    kept.check(events=4, inputs=4)


@pytest.mark.slow
async def test_a_disk_that_is_mounted_late_gets_no_second_journal_beneath_it(tmp_path: Path) -> None:
    mounted, last = tmp_path / "mounted", Last(tmp_path / "last")
    mounted.mkdir()
    first = opened(mounted / "journal.db", last=last)
    await first.event()
    await first.journal.close()
    mounted.rename(tmp_path / "away")
    mounted.mkdir()  # where it will be mounted
    again = opened(mounted / "journal.db", "b2", last=last)
    assert "mount its disk" in again.told[0].reason
    await again.event()
    assert list(mounted.iterdir()) == []
    mounted.rmdir()
    (tmp_path / "away").rename(mounted)
    await again.healed()
    again.check(events=2, inputs=2)
    await again.journal.close()
    shutil.rmtree(last.folder)  # as its words say
    for file in mounted.iterdir():
        file.unlink()
    anew = opened(mounted / "journal.db", "b3", last=last)
    assert (anew.told, await anew.event()) == ([], 1)
    await anew.journal.close()


@pytest.mark.parametrize("spoil", [
    lambda file: file.write_bytes(file.read_bytes()[:-1]), lambda file: file.write_bytes(b""),
    lambda file: file.write_bytes(file.read_bytes().replace(b"chair-1", b"chair-2")),
    lambda file: file.write_bytes(file.read_bytes().replace(b'"n":7', b'"n":9')),
])
def test_what_a_bed_remembered_is_believed_whole_or_not_at_all(
    tmp_path: Path, spoil: Callable[[Path], object],
) -> None:
    last = Last(tmp_path / "last")
    assert (last.read(), last.had_journal) == (({}, 0, 0, 0), False)
    last.keep("chair-1", 7, 1500, b"{}", 3)
    last.keep("chair-2", 5, 2500, b"[]\n[]", 9)
    assert last.read() == ({"chair-1": (7, 1.5, b"{}"), "chair-2": (5, 2.5, b"[]\n[]")}, 7, 9, 2500)
    spoil(tmp_path / "last" / "chair-1.last")
    assert last.read() == ({"chair-2": (5, 2.5, b"[]\n[]")}, 5, 9, 2500)


async def test_the_first_start_of_all_on_a_full_disk(tmp_path: Path, disk: Disk) -> None:
    disk.break_()
    kept = opened(tmp_path / "journal.db")
    assert await kept.event() == 1
    disk.mend()
    await kept.healed()
    kept.check(events=1, inputs=1)
    await kept.journal.close()


async def test_a_disk_that_does_not_answer_keeps_nobody_waiting(
    kept: Kept, disk: Disk, monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(confirming, "STUCK_S", 0.2)
    monkeypatch.setattr(confirming, "PROMPT_S", 0.1)
    await kept.event()
    disk.answers.clear()
    assert await kept.event() == 2
    assert kept.told[-1].reason == "the disk does not answer"
    assert [await kept.event() for _ in range(3)] == [3, 4, 5]  # at once
    assert kept.on_disk == [True, False, False, False, False]
    assert kept.journal.stored_seq == 1
    disk.answers.set()
    await kept.until(lambda: kept.journal.stored_seq == 5)
    assert await kept.event() == 6
    healed = await kept.healed()
    assert healed.events == kept.on_disk.count(False)  # the sixth is among them where its commit took long
    assert await kept.event() == 7
    assert kept.on_disk[-1]
    kept.check(events=7, inputs=7)


async def test_a_clean_end_writes_what_is_kept_if_it_can_and_says_if_not(tmp_path: Path, disk: Disk) -> None:
    kept = opened(tmp_path / "journal.db")
    await kept.event()
    disk.break_()
    await kept.event()
    with pytest.raises(JournalError, match=FULL):
        await kept.journal.close()
    disk.mend()
    kept = opened(tmp_path / "journal.db", "b2")
    disk.break_()
    assert await kept.event() == 2
    disk.mend()
    await kept.journal.close()  # before its next attempt
    kept.check(events=2, inputs=2)


async def test_another_edge_is_turned_away_all_the_same(kept: Kept, disk: Disk) -> None:
    disk.break_()
    await kept.event()
    disk.opens = True
    with pytest.raises(JournalBusy):
        opened(kept.path, "b2")


def modes(folder: Path) -> set[int]:
    return {found.stat().st_mode & 0o777 for found in folder.glob("journal.db*") if found.suffix != ".lock"}


@pytest.mark.parametrize(("old", "new"), [(None, 0o600), (0o644, 0o600), (0o664, 0o600), (0o640, 0o640)])
async def test_nobody_else_reads_it(tmp_path: Path, old: int | None, new: int) -> None:
    """A group alone was given it on purpose."""
    path = tmp_path / "journal.db"
    if old is not None:  # as one of 0.1.0 is
        await (one := opened(path, "b1")).event()
        await one.journal.close()
        for file in (path, path.with_name("journal.db.damaged-1")):
            file.touch()
            file.chmod(old)
    kept = opened(path, "b2")
    await kept.event()
    assert modes(tmp_path) == {new}
    await kept.journal.close()
