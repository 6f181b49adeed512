"""The journal keeps what it was told, in order, says so only when it is true, and shows every change made behind it."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, cast

import pytest
import pytest_asyncio
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from edge.contract.events import GENESIS, Booted, Evidence, PendingEvent, Requested, event_hash
from edge.journal import Appended, Journal, JournalBusy, JournalError, Reader, chain
from edge.journal.verify import Verdict, verify
from edge.model import Boot, Command, Input, Sample, Samples, Tick
from tests.helpers.bodies import body

AT_S = 1_700_000_000.25
FRAME = Samples("oximeter", (Sample("chair-1", "oximeter", "spo2_pct", 97.0, "valid", AT_S),))
ASKED = Command("c1", "main", "anna", "nurse", "chair-1", "check_in", {"cadss": 12, "text": "schwebt ☁"})


def opened(path: Path | str, *, edge: str = "clinic-1", boot: str = "b1") -> Journal:
    return Journal.open(str(path), edge=edge, boot=boot, wall=lambda: "2023-11-14T22:13:20.250Z")


def alarm(k: int, *, at_s: float = AT_S, bed: str | None = "chair-1") -> PendingEvent:
    return PendingEvent(
        bed, "s1" if k % 2 else None, at_s + k,
        body("alarm", rule="HTN-3", text=f"é {k}", evidence=[{"metric": "sbp_mmhg", "value": 184.0, "age_s": k}])
    )


@pytest_asyncio.fixture(loop_scope="session")
async def journal(tmp_path: Path) -> AsyncIterator[Journal]:
    kept = opened(tmp_path / "journal.db")
    yield kept
    await kept.close()


# --- what is told is kept ---------------------------------------------------------------------------------------------


async def test_events_come_back_as_they_were_concluded(journal: Journal, tmp_path: Path) -> None:
    first = journal.append([alarm(0), alarm(1)])
    second = journal.append([alarm(2)])
    await second.stored
    assert first.stored.done()  # handed over before, so stored before
    assert [event.seq for event in (*first.events, *second.events)] == [1, 2, 3]
    assert await journal.events_after(0, 100) == [*first.events, *second.events]
    assert await journal.events_after(1, 1) == [first.events[1]]
    assert await journal.events_after(3, 100) == []
    with Reader(str(tmp_path / "journal.db")) as reader:  # while it is open
        assert list(reader.events()) == [*first.events, *second.events]
        assert list(reader.events(after=2)) == list(second.events)


async def test_an_event_is_chained_to_the_one_before(journal: Journal) -> None:
    one, two = journal.append([alarm(0), alarm(1)]).events
    assert (one.prev, two.prev, journal.head.hash) == (GENESIS, one.hash, two.hash)
    assert one.hash == event_hash(
        seq=1, boot="b1", edge="clinic-1", bed="chair-1", session=None, at_s=AT_S, wall="2023-11-14T22:13:20.250Z",
        kind="alarm", body=alarm(0).body, prev=GENESIS)


async def test_inputs_come_back_in_order_and_as_told(journal: Journal) -> None:
    told: list[tuple[str | None, float, Input]] = [
        (None, AT_S, Boot("b1", 3.5)), ("chair-1", AT_S + 0.001, FRAME), (None, AT_S + 1, Tick()),
        ("chair-1", AT_S + 1, ASKED)]
    assert [journal.record(*each) for each in told] == [1, 2, 3, 4]
    assert list(journal.inputs()) == []  # buffered is not stored
    await journal.flush()
    kept = list(journal.inputs())
    assert [(each.bed, each.at_s, each.input) for each in kept] == told
    assert [(each.n, each.boot) for each in kept] == [(1, "b1"), (2, "b1"), (3, "b1"), (4, "b1")]
    assert list(journal.inputs(after_n=2)) == kept[2:]
    assert list(journal.inputs(after_n=9)) == []


async def test_inputs_over_many_pages_and_checkpoints(journal: Journal, tmp_path: Path) -> None:
    for k in range(3500):  # beyond what is handed over without being asked, and beyond a page
        journal.record(None, AT_S + k, Tick())
        if k in (10, 700):
            journal.append([alarm(k)])
    await journal.flush()
    assert [each.n for each in journal.inputs()] == list(range(1, 3501))
    assert [each.n for each in journal.inputs(after_n=2999)] == list(range(3000, 3501))
    with Reader(str(tmp_path / "journal.db")) as reader:
        assert [each.n for each in reader.inputs(after_n=705)] == list(range(706, 3501))
    assert verify(str(tmp_path / "journal.db")).inputs == 3500


async def test_an_event_is_committed_with_the_inputs_before_it(journal: Journal, tmp_path: Path) -> None:
    journal.record("chair-1", AT_S, FRAME)
    await journal.append([alarm(0)]).stored
    with Reader(str(tmp_path / "journal.db")) as reader:
        (checkpoint,) = reader.checkpoints()
    assert (checkpoint.first_n, checkpoint.last_n, checkpoint.event_seq) == (1, 1, 1)


async def test_all_that_waits_is_committed_at_once(journal: Journal, tmp_path: Path) -> None:
    busy = sqlite3.connect(tmp_path / "journal.db", isolation_level=None)
    busy.execute("BEGIN IMMEDIATE")  # holds the writer at its first commit while the rest arrives
    waiting = []
    for k in range(20):
        journal.record(None, AT_S, Tick())
        waiting.append(journal.append([alarm(k)]).stored)
    await asyncio.sleep(0)
    assert not any(stored.done() for stored in waiting)
    busy.execute("ROLLBACK")
    busy.close()
    await asyncio.gather(*waiting)
    with Reader(str(tmp_path / "journal.db")) as reader:
        assert len(list(reader.checkpoints())) <= 2


async def test_times_are_kept_in_whole_milliseconds(journal: Journal) -> None:
    pending = PendingEvent(None, None, 1_700_000_000.0007, Requested(
        rule="R", text="t", why="w", evidence=(Evidence(metric="sbp_mmhg", value=float("nan"), age_s=0.5),)))
    (event,) = journal.append([pending]).events
    assert (event.at_s, event.body) == (1_700_000_000.001, Requested(
        rule="R", text="t", why="w", evidence=(Evidence(metric="sbp_mmhg", value=None, age_s=0.5),)))
    await journal.flush()
    assert await journal.events_after(0, 1) == [event]


async def test_an_empty_journal_is_a_good_one(tmp_path: Path) -> None:
    journal = opened(tmp_path / "journal.db")
    assert (journal.head.seq, journal.head.n, journal.head.at_s, journal.head.hash) == (0, 0, 0.0, GENESIS)
    await journal.flush()
    await journal.append([]).stored
    await journal.close()
    assert verify(str(tmp_path / "journal.db")) == Verdict(True, 0, 0, GENESIS)
    assert opened(tmp_path / "journal.db").snapshots() == {}


@pytest.mark.parametrize("name", ["c#d?e.db", "with space.db", "percent%20.db"])
async def test_a_files_name_is_taken_as_it_is(tmp_path: Path, name: str) -> None:
    kept = Journal.open(f"sqlite:///{tmp_path / name}", edge="clinic-1", boot="boot-1", wall=lambda: "")
    await kept.close()
    assert name in os.listdir(tmp_path)
    assert verify(str(tmp_path / name)).ok


async def test_a_journal_in_memory_works_the_same() -> None:
    journal = opened("sqlite://")
    journal.record("chair-1", AT_S, FRAME)
    appended = journal.append([alarm(0)])
    await appended.stored
    assert await journal.events_after(0, 9) == list(appended.events)
    assert [each.input for each in journal.inputs()] == [FRAME]
    await journal.close()


# --- snapshots and cursors --------------------------------------------------------------------------------------------


async def test_a_snapshot_is_stored_with_its_inputs_and_not_before(journal: Journal, tmp_path: Path) -> None:
    n = journal.record("chair-1", AT_S, FRAME)
    journal.snapshot("chair-1", n, AT_S, b"one")
    assert journal.snapshots() == {}
    await journal.flush()
    assert journal.snapshots() == {"chair-1": (n, AT_S, b"one")}
    with pytest.raises(ValueError, match="after input 2, but only 1"):
        journal.snapshot("chair-1", 2, AT_S, b"of what never was")


async def test_inputs_are_not_stored_if_their_snapshot_cannot_be(tmp_path: Path) -> None:
    journal = opened(tmp_path / "journal.db")
    with sqlite3.connect(tmp_path / "journal.db") as raw:
        raw.execute("CREATE TRIGGER refuse BEFORE INSERT ON snapshot BEGIN SELECT RAISE(ABORT, 'no room'); END")
    raw.close()
    journal.snapshot("chair-1", journal.record("chair-1", AT_S, FRAME), AT_S, b"state")
    with pytest.raises(JournalError, match="no room"):
        await journal.flush()
    await journal.close()
    assert verify(str(tmp_path / "journal.db")) == Verdict(True, 0, 0, GENESIS)


async def test_the_newest_two_snapshots_of_a_bed_are_kept(journal: Journal, tmp_path: Path) -> None:
    for k in range(5):
        n = journal.record("chair-1", AT_S + k, FRAME)
        journal.snapshot("chair-1", n, AT_S + k, b"%d" % k)
        if k == 0:
            journal.snapshot("chair-2", n, AT_S + k, b"other")
        await journal.flush()
    journal.snapshot("chair-1", n, AT_S + 4, b"again")  # the same n once more
    await journal.flush()
    assert journal.snapshots() == {"chair-1": (5, AT_S + 4, b"again"), "chair-2": (1, AT_S, b"other")}
    with sqlite3.connect(tmp_path / "journal.db") as raw:
        assert raw.execute("SELECT bed, n FROM snapshot ORDER BY bed, n").fetchall() == [
            ("chair-1", 4), ("chair-1", 5), ("chair-2", 1)]
        raw.execute("UPDATE snapshot SET body = x'00' WHERE n = 5")
        raw.commit()
    raw.close()
    assert journal.snapshots()["chair-1"] == (4, AT_S + 3, b"3")  # a spoilt one is passed over


@pytest.mark.parametrize(("moves", "stands"), [
    ([], 0),
    ([2], 2),
    ([2, 1], 2),  # never back
    ([1, 3, 2], 3),
    ([4], 0),  # beyond the head: that console speaks of another journal
    ([2, 999], 2),
    ([0], 0),
    ([-1], 0),
])
async def test_a_cursor_moves_forward_and_never_beyond_what_is_stored(
        journal: Journal, moves: list[int], stands: int) -> None:
    await journal.append([alarm(0), alarm(1), alarm(2)]).stored
    for seq in moves:
        await journal.move_cursor("main", seq)
    assert await journal.cursor("main") == stands
    assert await journal.cursor("other") == 0


# --- who may open it --------------------------------------------------------------------------------------------------


async def test_a_second_opener_is_turned_away_until_the_first_lets_go(tmp_path: Path) -> None:
    first = opened(tmp_path / "journal.db")
    with pytest.raises(JournalBusy, match=r"^journal \S+ is already being written by process \d+; only one [^\n]*$"):
        opened(tmp_path / "." / "journal.db")
    await first.close()
    await opened(tmp_path / "journal.db").close()


@pytest.mark.parametrize(("url", "says"), [
    ("/nonexistent/folder/journal.db", "No such file or directory"),
    ("nonsense://x", "no database driver"),
    ("://", "neither a path nor a database URL"),
])
def test_an_address_that_leads_nowhere_is_one_clear_line(url: str, says: str) -> None:
    with pytest.raises(JournalError, match=says):
        opened(url)


def test_a_reader_wants_a_journal_that_is_there(tmp_path: Path) -> None:
    with pytest.raises(JournalError, match="there is no journal at"):
        Reader(str(tmp_path / "journal.db"))
    assert list(tmp_path.iterdir()) == []
    sqlite3.connect(tmp_path / "empty.db").close()
    (tmp_path / "empty.db").touch()
    with pytest.raises(JournalError, match="the database is empty"):
        Reader(str(tmp_path / "empty.db"))


async def test_a_reader_beside_a_running_edge_changes_no_byte(tmp_path: Path) -> None:
    path, wal = tmp_path / "a#b c%20?.db", tmp_path / "a#b c%20?.db-wal"
    journal = opened(path)
    journal.record("chair-1", AT_S, FRAME)
    await journal.append([alarm(0)]).stored
    before = path.read_bytes(), wal.read_bytes()
    assert before[1]
    with Reader(str(path)) as reader:
        assert len(list(reader.events())) == len(list(reader.inputs())) == len(list(reader.checkpoints())) == 1
        await journal.append([alarm(1)]).stored  # the reader holds nobody up, and sees what came
        assert len(list(reader.events())) == 2
        before = path.read_bytes(), wal.read_bytes()
    assert verify(str(path)).ok
    assert (path.read_bytes(), wal.read_bytes()) == before
    await journal.close()


async def test_a_transaction_keeps_other_writers_out_from_its_start(journal: Journal, tmp_path: Path) -> None:
    inside, verifier = threading.Event(), threading.Event()

    def hold(_: Connection) -> bool:
        inside.set()
        return verifier.wait(10)

    held = journal._writer.query(hold)
    assert inside.wait(10)
    other = sqlite3.connect(tmp_path / "journal.db", isolation_level=None, timeout=0)
    with pytest.raises(sqlite3.OperationalError, match="locked"):
        other.execute("BEGIN IMMEDIATE")
    verifier.set()
    await asyncio.wrap_future(held)
    other.close()


async def test_a_reader_leaves_what_a_crash_left_as_it_is(journal: Journal, tmp_path: Path) -> None:
    await journal.append([alarm(0)]).stored
    left = {f"left.db{end}": (tmp_path / f"journal.db{end}").read_bytes() for end in ("", "-wal")}
    for name, content in left.items():
        (tmp_path / name).write_bytes(content)
    with Reader(str(tmp_path / "left.db")) as reader:
        assert len(list(reader.events())) == 1
        with pytest.raises(DBAPIError, match="readonly"):
            reader.connection.exec_driver_sql("CREATE TABLE x (y)")
    assert {name: (tmp_path / name).read_bytes() for name in left} == left


def test_the_database_is_set_so_that_a_power_cut_loses_nothing_confirmed(tmp_path: Path) -> None:
    journal = opened(tmp_path / "journal.db")

    def pragmas(connection: Connection) -> list[object]:
        return [connection.exec_driver_sql(f"PRAGMA {name}").scalar()
                for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")]

    assert journal._writer.query(pragmas).result() == ["wal", 2, 1, 5000]


# --- when storing fails -----------------------------------------------------------------------------------------------


async def _full_disk(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    def limit(connection: Connection) -> None:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar()
        connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}")

    await asyncio.wrap_future(journal._writer.query(limit))


async def _failing_fsync(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    def commit(_: object) -> None:
        commits.append(1)
        raise sqlite3.OperationalError("disk I/O error")

    await asyncio.wrap_future(journal._writer.query(lambda _: None))  # it has looked how far is packed, which commits
    commits: list[int] = []
    connection = journal._writer._connection
    assert connection is not None
    monkeypatch.setattr(connection.dialect, "do_commit", commit)
    monkeypatch.setattr(journal, "commits", commits, raising=False)


@pytest.mark.parametrize(("fault", "says"), [
    (_full_disk, "database or disk is full"), (_failing_fsync, "disk I/O error")])
async def test_a_failed_commit_reaches_all_who_wait_and_all_who_come(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: Callable[..., Any], says: str) -> None:
    journal = opened(tmp_path / "journal.db")
    good = journal.append([alarm(0)])
    await good.stored
    await fault(journal, monkeypatch)
    inside, verifier = threading.Event(), threading.Event()

    def hold(_: Connection) -> bool:
        inside.set()
        return verifier.wait(10)

    held = journal._writer.query(hold)
    assert inside.wait(10)  # else the first of those that wait is taken in the same turn
    big = PendingEvent(None, None, AT_S, body("alarm", text="x" * 100_000))
    waiting: list[Appended] = [journal.append([big]) for _ in range(3)]
    verifier.set()  # until now all of them stood behind a question
    await asyncio.gather(asyncio.wrap_future(held), return_exceptions=True)  # its own commit fails too
    outcome = await asyncio.gather(*(each.stored for each in waiting), return_exceptions=True)
    assert [type(each) for each in outcome] == [JournalError] * 3
    assert all(says in str(each) and "\n" not in str(each) for each in outcome)
    assert journal.failed is not None
    calls: list[Callable[[], object]] = [
        lambda: journal.record(None, AT_S, Tick()), lambda: journal.append([]), journal.flush, journal.snapshots,
        lambda: journal.snapshot("chair-1", 0, AT_S, b""), lambda: next(journal.inputs())]
    for call in calls:
        with pytest.raises(JournalError, match=says):
            call()
    for later in (journal.events_after(0, 1), journal.cursor("main"), journal.move_cursor("main", 1)):
        with pytest.raises(JournalError, match=says):
            await later
    assert getattr(journal, "commits", [1]) == [1]  # an fsync is not tried twice
    monkeypatch.undo()
    await journal.close()
    again = opened(tmp_path / "journal.db")  # what was confirmed is there, and numbering goes on without a gap
    assert again.head.hash == good.events[-1].hash
    await again.close()
    assert verify(str(tmp_path / "journal.db")).ok


async def test_closing_says_when_the_last_part_was_not_stored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = opened(tmp_path / "journal.db")
    await journal.cursor("main")
    await _failing_fsync(journal, monkeypatch)
    journal.record(None, AT_S, Tick())
    with pytest.raises(JournalError, match="disk I/O error"):
        await journal.close()
    await opened(tmp_path / "journal.db").close()  # the lock was let go all the same


async def test_closing_stores_what_is_buffered_and_ends_every_use(tmp_path: Path) -> None:
    journal = opened(tmp_path / "journal.db")
    journal.record("chair-1", AT_S, FRAME)
    await journal.close()
    await journal.close()
    with pytest.raises(JournalError, match="is closed"):
        journal.record(None, AT_S, Tick())
    assert verify(str(tmp_path / "journal.db")).inputs == 1


async def test_a_bug_in_the_writer_leaves_nobody_waiting(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[object] = []
    monkeypatch.setattr("threading.excepthook", lambda args: seen.append(args.exc_type))
    journal = opened(tmp_path / "journal.db")
    monkeypatch.setattr(chain, "next_checkpoint", lambda *_: 1 // 0)
    with pytest.raises(JournalError, match="an error of vigil itself"):
        await journal.append([alarm(0)]).stored
    await journal.close()
    assert seen == [ZeroDivisionError]  # and it is not hidden either


async def test_a_caller_who_gave_up_harms_nobody(journal: Journal) -> None:
    given_up = journal.append([alarm(0)]).stored
    given_up.cancel()
    asked = asyncio.ensure_future(journal.events_after(0, 1))
    asked.cancel()
    await journal.append([alarm(1)]).stored
    assert len(await journal.events_after(0, 9)) == 2


async def test_a_body_that_is_no_json_is_the_callers_error_and_costs_no_number(journal: Journal) -> None:
    with pytest.raises(TypeError):
        journal.append([alarm(0), PendingEvent(None, None, AT_S, Booted(gap_s=0.0, boot=cast(str, object())))])
    (event,) = journal.append([alarm(1)]).events
    assert (event.seq, event.prev) == (1, GENESIS)
