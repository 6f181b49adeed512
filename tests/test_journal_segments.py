"""Packed inputs: the same record in a twentieth of the room, checked when packed and when opened; retention leaves the
chain whole."""

from __future__ import annotations

import gzip
import json
import random
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from edge.cli.records import show_size
from edge.contract.events import Event, PendingEvent
from edge.contract.signing import Signer
from edge.core.replay import differences
from edge.journal import Journal, JournalDamaged, Reader, segments
from edge.journal.reader import checkpoint_before, checkpoint_page
from edge.journal.segments import Retention
from edge.journal.verify import verify
from edge.model import RecordedInput, Sample, Samples, Tick
from tests.helpers.bodies import body
from tests.helpers.journal_files import another
from tests.helpers.rule_files import HERE
from tests.helpers.stream_world import EDGE_KEY

AT_S = 1_700_000_000.0
SIGNER = Signer(EDGE_KEY, lambda: 1)


@pytest.fixture(autouse=True)
def rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segments, "ROWS", 20)


def opened(path: Path, boot: str = "b1", keep: Retention | None = None) -> Journal:
    return Journal.open(str(path), edge="clinic-1", boot=boot, wall=lambda: "now",
                        sign=lambda digest: SIGNER.sign_hash("clinic-1", digest), keep_inputs=keep or Retention())


def frame(k: int) -> Samples:
    return Samples("oximeter", (Sample("chair-1", "oximeter", "spo2_pct", 97.0 - k % 3, "valid", AT_S + k),))


async def written(path: Path, commits: int = 60, keep: Retention | None = None) -> None:
    """Three inputs a commit, an event every third one; some commits without an input."""
    journal = opened(path, keep=keep)
    for k in range(commits):
        for bed in ("chair-1", "chair-2", "é"):
            journal.record(bed, AT_S + k, frame(k) if k % 2 else Tick())
        if k % 3 == 0:
            journal.append([PendingEvent("chair-1", None, AT_S + k, body("alarm", text=str(k)))])
        await journal.flush()
        if k % 10 == 0:
            await journal.append([PendingEvent(None, None, AT_S + k, body("boot"))]).stored
    n = journal.head.n
    journal.snapshot("chair-1", n, AT_S + 1, b"s")
    await journal.close()


async def test_a_large_last_commit_stays_rows_and_the_journal_opens_at_once(tmp_path: Path) -> None:
    """As after an outage, when all that was kept in memory is written in few commits, and the box ends just then."""
    path = tmp_path / "journal.db"
    journal = opened(path)
    for count in (5, 7, 90):
        for k in range(count):
            journal.record("chair-1", AT_S + k, Tick())
        await journal.flush()
    head = journal.head
    await journal.close()
    journal = opened(path, "b2")
    assert journal.head == head
    await journal.close()
    assert verify(str(path)).inputs == 102


def content(path: Path) -> bytes:
    return path.read_bytes()


def counted(path: Path) -> dict[str, int]:
    with sqlite3.connect(path) as raw:
        return {table: raw.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
                for table in ("input", "seal", "event", "segment")}


def contents(path: Path) -> tuple[list[RecordedInput], list[Event], list[Any]]:
    with Reader(str(path)) as reader:
        return list(reader.inputs()), list(reader.events()), [
            (checkpoint.id, checkpoint.hash) for checkpoint in reader.checkpoints()]


@pytest.fixture
async def packed(tmp_path: Path) -> Path:
    await written(tmp_path / "journal.db")
    return tmp_path / "journal.db"


async def test_packed_or_not_it_is_the_same_record(packed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = counted(packed)
    assert found["segment"] >= 6
    assert found["input"] <= 2 * 20 + 3, "the newest stay rows"
    assert found["seal"] < 30, "of a segment's checkpoints one stays"
    monkeypatch.setattr(segments, "ROWS", 10**9)
    await written(packed.with_name("rows.db"))
    rows = packed.with_name("rows.db")
    assert counted(rows)["segment"] == 0
    assert contents(packed) == contents(rows)
    public = EDGE_KEY.verify_key
    assert verify(str(packed), keys=[public]) == verify(str(rows), keys=[public])
    assert verify(str(packed), keys=[public]).ok


async def test_it_is_read_from_any_number_on_and_gone_on_with(packed: Path) -> None:
    inputs, _, _ = contents(packed)
    journal = opened(packed, "b2")
    for after in range(0, len(inputs), 7):
        assert list(journal.inputs(after)) == inputs[after:]
        with Reader(str(packed)) as reader:
            assert list(reader.inputs(after)) == inputs[after:]
    for k in range(60):
        journal.record("chair-1", AT_S + 100 + k, Tick())
        await journal.flush()
    await journal.close()
    assert counted(packed)["input"] <= 2 * 20 + 3
    verdict = verify(str(packed), keys=[EDGE_KEY.verify_key])
    assert (verdict.problem, verdict.inputs) == (None, len(inputs) + 60)


async def test_what_is_packed_between_two_pages_of_a_reader_is_read_all_the_same(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    journal = opened(path)
    for k in range(12):
        for _ in range(3):
            journal.record("chair-1", AT_S + k, Tick())
        await journal.flush()
    with Reader(str(path)) as reader, sqlite3.connect(path) as raw:
        page = reader.checkpoints()
        assert [next(page).id for _ in range(3)] == [1, 2, 3]
        before = checkpoint_before(reader.connection, 12)
        assert before.id == 4
        for k in range(30):
            journal.record("chair-1", AT_S + k, Tick())
            await journal.flush()
        assert raw.execute("SELECT max(last_id) FROM segment").fetchone()[0] > 4
        _, rows = checkpoint_page(reader.connection, before)
        assert rows[0][0] == 13
        assert [row[0] for row in rows] == list(range(13, 13 + len(rows)))
    await journal.close()


async def test_a_journal_of_0_1_0_is_packed_too_and_replays_without_a_difference(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    path.write_bytes(gzip.decompress((HERE / "golden" / "journal-0.1.0.db.gz").read_bytes()))
    inputs, events, checkpoints = contents(path)
    with Reader(str(path)) as reader:
        *_, newest = reader.checkpoints()  # which stays rows
    journal = opened(path, "b2")
    while counted(path)["input"] > 2 * 20 + 3 + newest.last_n - newest.first_n + 1:
        await journal.flush()
    await journal.close()
    assert contents(path) == (inputs, events, checkpoints)
    assert verify(str(path)).ok
    with Reader(str(path)) as reader:
        assert [str(found) for found in differences(reader.inputs(), reader.events())] == []


# --- nothing false is ever served -------------------------------------------------------------------------------------


def spoilt(path: Path, *statements: tuple[str, tuple[Any, ...]]) -> None:
    with sqlite3.connect(path) as raw:
        for (name,) in raw.execute("SELECT name FROM sqlite_schema WHERE type = 'trigger'").fetchall():
            raw.execute(f"DROP TRIGGER {name}")
        for statement, values in statements:
            raw.execute(statement, values)
    raw.close()


def refused(path: Path, truth: list[RecordedInput]) -> bool:
    """Whether reading stops before it serves anything that is not true; and verify says so."""
    served: list[RecordedInput] = []
    try:
        with Reader(str(path)) as reader:
            for recorded in reader.inputs():
                served.append(recorded)
    except JournalDamaged:
        assert served == truth[:len(served)]
        return not verify(str(path)).ok
    assert served == truth[:len(served)] or not verify(str(path)).ok
    return not verify(str(path)).ok


def edits(path: Path) -> Iterator[tuple[str, tuple[Any, ...]]]:
    chance = random.Random(8)
    with sqlite3.connect(path) as raw:
        rows = raw.execute("SELECT first_n, last_n, first_id, last_id, at_ms, body FROM segment").fetchall()
    raw.close()
    for first_n, *numbers, _, content in rows:
        for column, value in zip(("last_n", "first_id", "last_id"), numbers, strict=True):
            for other in (value + 1, value - 1):
                yield f"UPDATE segment SET {column} = ? WHERE first_n = ?", (other, first_n)
        yield "UPDATE segment SET first_n = first_n + 1 WHERE first_n = ?", (first_n,)
        yield "DELETE FROM segment WHERE first_n = ?", (first_n,)
        for _ in range(4):
            changed = bytearray(content)
            changed[chance.randrange(len(changed))] ^= 1 << chance.randrange(8)
            yield "UPDATE segment SET body = ? WHERE first_n = ?", (bytes(changed), first_n)
        yield "UPDATE segment SET body = ? WHERE first_n = ?", (content[:-9], first_n)
        yield "UPDATE segment SET body = ? WHERE first_n = ?", (rows[0][-1] if first_n > 1 else rows[1][-1], first_n)
        yield f"UPDATE seal SET hash = {another('hash')} WHERE id = ?", (numbers[2],)
        yield "DELETE FROM seal WHERE id = ?", (numbers[2],)


@pytest.mark.slow
async def test_whatever_is_changed_in_a_segment_is_found_and_never_served(packed: Path, tmp_path: Path) -> None:
    truth, _, _ = contents(packed)
    all_edits, copy = list(edits(packed)), tmp_path / "copy.db"
    assert len(all_edits) > 100
    for edit in all_edits:
        shutil.copy(packed, copy)
        spoilt(copy, edit)
        assert refused(copy, truth), edit


async def test_what_is_damaged_is_never_packed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "journal.db"
    await written(path, commits=10)
    spoilt(path, ("UPDATE input SET at_ms = at_ms + 1 WHERE n = 5", ()))
    journal = opened(path, "b2")
    for k in range(40):
        journal.record("chair-1", AT_S + k, Tick())
        await journal.flush()
    await journal.close()
    assert counted(path)["segment"] == 0
    assert "inputs are no longer packed: checkpoint" in caplog.text
    assert verify(str(path)).problem == "checkpoint 3 over inputs 4..6 does not match"


@pytest.mark.parametrize("change", [
    "DELETE FROM input WHERE n = (SELECT max(n) FROM input)",
    "DELETE FROM seal WHERE id = (SELECT max(last_id) FROM segment)",
    "DELETE FROM seal WHERE id = (SELECT max(id) FROM seal)",
    "DELETE FROM segment", "UPDATE segment SET body = x'00'", "UPDATE segment SET at_ms = 0, body = NULL"])
def test_the_database_itself_refuses_to_lose_a_record(tmp_path: Path, packed: Path, change: str) -> None:
    with sqlite3.connect(packed) as raw, pytest.raises(sqlite3.IntegrityError, match="append-only"):
        raw.execute(change)
    raw.close()


# --- retention --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("keep", [Retention(ms=20_000), Retention(size=2_000)])
async def test_old_inputs_are_let_go_of_and_the_chain_holds(tmp_path: Path, keep: Retention) -> None:
    path = tmp_path / "journal.db"
    await written(path, keep=keep)
    verdict = verify(str(path), keys=[EDGE_KEY.verify_key])
    assert (verdict.problem, verdict.inputs) == (None, 180)
    assert 0 < verdict.dropped < 180
    inputs, events, _ = contents(path)
    assert [recorded.n for recorded in inputs] == list(range(verdict.dropped + 1, 181)), "what is kept has no gap"
    assert [event.seq for event in events] == list(range(1, 27)), "events are kept"
    if keep.ms:
        assert inputs[0].at_s <= AT_S + 60 - 20
        assert verdict.dropped >= 3 * (60 - 20 - 2 * 20 / 3 - 14)
    journal = opened(path, "b2")
    assert journal.snapshots() == {"chair-1": (180, AT_S + 1, b"s")}
    assert list(journal.inputs()) == inputs
    await journal.close()


async def test_its_size_is_told(packed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert show_size(str(packed), True) == 0
    told = json.loads(capsys.readouterr().out)
    found = counted(packed)
    assert told["file_bytes"] == len(content(packed))
    assert told["inputs_from_s"] == AT_S
    assert (told["events"], told["inputs"], told["dropped"]) == (26, 180, 0)
    assert told["packed_inputs"] == 180 - found["input"]
    assert (told["inputs_to_s"], told["packed_mb_an_hour"] > 0) == (AT_S + 59, True)
    spoilt(packed, ("UPDATE segment SET body = NULL WHERE first_n = 1", ()))
    assert show_size(str(packed), False) == 0
    assert "21 older ones are no longer kept" in capsys.readouterr().out
