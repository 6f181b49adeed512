"""Export, then drop: old inputs in a file of their own that verifies and replays; the journal's chain stays whole."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest

from edge.cli.records import export_inputs, replay_journal
from edge.contract.events import Event, PendingEvent
from edge.core.replay import differences
from edge.journal import Journal, JournalDamaged, Reader, segments
from edge.journal.verify import verify
from edge.model import RecordedInput, Tick, iso
from edge.process import BadUsage
from tests.helpers.bodies import body

pytestmark = pytest.mark.slow

OLD = Path(__file__).parent / "golden" / "journal-0.1.0.db.gz"
HOUR_S = 3600.0


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segments, "ROWS", 200)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A journal of 0.1.0 with a session in it."""
    path = tmp_path / "journal.db"
    path.write_bytes(gzip.decompress(OLD.read_bytes()))
    return path


@asynccontextmanager
async def running(path: Path) -> AsyncIterator[Journal]:
    """An edge that writes it; its old inputs are packed."""
    with Reader(str(path)) as reader:
        edge = reader.edge
    journal = Journal.open(str(path), edge=edge, boot="b9", wall=lambda: "now")
    await go_on(journal, 1)
    yield journal
    await journal.close()


async def go_on(journal: Journal, hours: int) -> None:
    """More of it, so that what was before is packed."""
    at_s = journal.head.at_s + hours * HOUR_S
    for k in range(40):
        for _ in range(20):
            journal.record("chair-1", at_s, Tick())
        await journal.append([PendingEvent("chair-1", None, at_s + k, body("alarm", text=str(k)))]).stored


def dropped(path: Path) -> int:
    verdict = verify(str(path))
    assert verdict.ok, verdict.problem
    return verdict.dropped


@pytest.mark.parametrize("as_json", [False, True])
async def test_of_what_is_left_without_its_archive_a_replay_says_that_nothing_can_be_judged(
    path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], as_json: bool,
) -> None:
    async with running(path) as journal:
        before = iso(journal.head.at_s - HOUR_S / 2)
    assert export_inputs(str(path), tmp_path / "archive", before, True, None) == 0
    capsys.readouterr()
    assert replay_journal(str(path), None, as_json) == 1, "that is no agreement"
    said = capsys.readouterr().out
    if as_json:
        told = msgspec.json.decode(said)
        assert (told["differences"], told["judged_from"]) == ([], {})
        assert told["unjudged"] == told["events"]
        return
    assert " of beds, up to event " in said
    assert "nothing can be judged: no bed's state stands in this record, where an edge writes it every 24 hours" in said
    assert ", 0 differences" in said


async def test_what_is_exported_verifies_and_replays_and_is_dropped_here(
    path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str],
) -> None:
    async with running(path) as journal:
        before = iso(journal.head.at_s - HOUR_S / 2)
    whole = verify(str(path))
    assert export_inputs(str(path), tmp_path / "archive", before, True, None) == 0
    said = capsys.readouterr().out
    assert "dropped from" in said
    (made,) = (tmp_path / "archive").iterdir()
    archived = verify(str(made))
    assert (archived.ok, archived.begins_after, archived.dropped) == (True, 0, 0)
    assert replay_journal(str(made), None, False) == 0
    assert "0 differences" in capsys.readouterr().out
    after = verify(str(path))
    assert (after.ok, after.events, after.inputs, after.hash) == (True, whole.events, whole.inputs, whole.hash)
    assert after.dropped == archived.inputs > 1000
    with Reader(str(path)) as reader:
        assert next(reader.inputs()).n == archived.inputs + 1
    assert export_inputs(str(path), tmp_path / "archive", before, True, None) == 0
    assert "nothing was exported" in capsys.readouterr().out


async def test_the_next_archive_goes_on_where_the_last_one_ended(path: Path, tmp_path: Path) -> None:
    for hours in (1, 3):
        async with running(path) as journal:
            await go_on(journal, hours)
            before = iso(journal.head.at_s - HOUR_S / 2)
        export_inputs(str(path), tmp_path / "archive", before, True, None)
    first, second = sorted((tmp_path / "archive").iterdir(), key=lambda found: int(found.stem.rpartition("-")[2]))
    one, two = verify(str(first)), verify(str(second))
    assert two.ok
    assert two.begins_after == one.events
    with Reader(str(second)) as reader:
        assert (reader.base.checkpoint.event_hash, reader.base.checkpoint.last_n) == (one.hash, one.inputs)
        assert next(reader.inputs()).n == one.inputs + 1
    assert dropped(path) == two.inputs


async def test_while_an_edge_runs_it_drops_them_itself(
    path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str],
) -> None:
    async with running(path) as journal:
        before = iso(journal.head.at_s - HOUR_S / 2)
        assert await asyncio.to_thread(export_inputs, str(path), tmp_path / "archive", before, True, None) == 0
        assert "it drops them from its journal when it packs inputs next" in capsys.readouterr().out
        assert dropped(path) == 0
        await go_on(journal, 1)
        (made,) = (tmp_path / "archive").iterdir()
        assert dropped(path) == verify(str(made)).inputs
        assert not path.with_name("journal.db.drop").exists()


@pytest.mark.parametrize("note", ['{"last_id": 1, "hash": "f00"}', "", '{"last_id": 9'])
async def test_a_note_that_does_not_fit_drops_nothing_and_stops_nothing(path: Path, note: str) -> None:
    path.with_name("journal.db.drop").write_text(note)
    async with running(path) as journal:
        await go_on(journal, 1)
    assert dropped(path) == 0
    with Reader(str(path)) as reader:
        packed = reader.connection.exec_driver_sql("SELECT count(*) FROM segment").scalar()
    assert packed and packed > 3, "they are still packed"
    assert not path.with_name("journal.db.drop").exists()
    assert path.with_name("journal.db.drop.refused").read_text() == note


async def test_an_export_that_was_ended_before_it_dropped_is_taken_up(path: Path, tmp_path: Path) -> None:
    async with running(path) as journal:
        before = iso(journal.head.at_s - HOUR_S / 2)
    for drops in (False, True):  # at first it is ended there
        assert export_inputs(str(path), tmp_path / "archive", before, drops, None) == 0
        (made,) = (tmp_path / "archive").iterdir()
        assert dropped(path) == (verify(str(made)).inputs if drops else 0)


async def test_another_file_by_the_name_of_an_export_is_left_as_it_is(path: Path, tmp_path: Path) -> None:
    async with running(path) as journal:
        before = iso(journal.head.at_s - HOUR_S / 2)
    export_inputs(str(path), tmp_path / "archive", before, False, None)
    (made,) = (tmp_path / "archive").iterdir()
    made.unlink()
    other = Journal.open(str(made), edge="clinic-1", boot="b1", wall=lambda: "now")
    await go_on(other, 1)
    await other.close()
    with pytest.raises(BadUsage, match="there is something already"):
        export_inputs(str(path), tmp_path / "archive", before, True, None)
    assert dropped(path) == 0


def spoil_a_segment(path: Path) -> None:
    content = path.read_bytes()
    with Reader(str(path)) as reader:
        packed = bytes(reader.connection.exec_driver_sql("SELECT body FROM segment").scalars().first() or b"")
    at = content.index(packed[200:240])
    path.write_bytes(content[:at] + b"\0" * 8 + content[at + 8:])


async def test_what_is_damaged_is_not_exported_and_nothing_is_dropped(path: Path, tmp_path: Path) -> None:
    async with running(path) as journal:
        before = iso(journal.head.at_s - HOUR_S / 2)
    spoil_a_segment(path)
    with pytest.raises(BadUsage, match="is damaged"):
        export_inputs(str(path), tmp_path / "archive", before, True, None)
    assert not [found for found in (tmp_path / "archive").iterdir() if found.suffix == ".db"]
    with pytest.raises(JournalDamaged), Reader(str(path)) as reader:
        list(reader.inputs())


@pytest.mark.parametrize(("before", "says"), [("soon", "write a day"), ("2026-13-01", "write a day")])
def test_a_day_that_is_none(path: Path, tmp_path: Path, before: str, says: str) -> None:
    with pytest.raises(BadUsage, match=says):
        export_inputs(str(path), tmp_path / "archive", before, False, None)


def test_a_replay_reads_events_as_it_comes_to_them(path: Path) -> None:
    """A month of them is more than memory should hold at once."""
    read = 0
    with Reader(str(path)) as reader, Reader(str(path)) as others:
        events = list(others.events())

        def one_by_one() -> Iterator[Event]:
            nonlocal read
            for event in events:
                read += 1
                yield event

        def checked() -> Iterator[RecordedInput]:
            for recorded in reader.inputs():
                assert read <= 2 + sum(event.at_s <= recorded.at_s for event in events), "of what is to come, none"
                yield recorded

        assert list(differences(checked(), one_by_one())) == []
    assert read == len(events) > 20
