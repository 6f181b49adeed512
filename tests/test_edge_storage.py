"""Disk full, disk read-only, a restart in the middle of it: the edge watches, judges, publishes and says so."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import sqlite3
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from edge.app.recovery import recover
from edge.app.service import EdgeService
from edge.clock import EdgeClock
from edge.config.files import load_edge
from edge.contract.events import (
    AlarmMoved,
    ChecklistSet,
    Event,
    RecordBegun,
    SessionOpened,
    SpaceLow,
    StorageFailing,
    StorageHealed,
)
from edge.contract.mqtt import Mqtt
from edge.contract.payloads import CommandIn, State, decode
from edge.core.replay import Scope, differences
from edge.core.rules import parse_rules
from edge.journal import Journal, Reader, journal, segments
from edge.journal.last import Last
from edge.journal.verify import verify
from edge.model import Restored, Tick
from edge.stream.publisher import Stream
from tests.helpers.edge_run import edge_running
from tests.helpers.faulty_store import FULL, Disk, faulty
from tests.helpers.journal_files import another
from tests.helpers.rule_files import FILE
from tests.helpers.small_disk import fill, remount, standing, storage
from tests.helpers.small_disk import small_disk as small_disk
from tests.helpers.stream_world import edge_signer
from tests.helpers.waiting import until

EDGE = '[edge]\nid = "clinic-1"\ndata = "."\nrules = "rules.toml"\n[[bed]]\nid = "chair-1"\n'
OPEN = CommandIn(
    id="c1", console="main", user="nina", role="nurse", bed="chair-1", verb="start_session",
    args={"protocol": "iv-ketamine-40", "weight_kg": 70, "dose_mg_kg": 0.5, "duration_min": 40,
          "concentration_mg_ml": 1.0, "session": "c0ffee00c0ffee00"}, issued="", expires="", nonce="n1", sig="")
BED = "chair-1"
ALARM_WITHIN_S = 5.0
WATCHES_WITHIN_S = 10.0


class Sent:
    """What left for MQTT, each event with whether it was on the disk."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, kept: Journal) -> None:
        self.events: list[tuple[Event, bool]] = []
        self.state: State | None = None
        self._kept = kept
        monkeypatch.setattr(Stream, "events", self._events)
        monkeypatch.setattr(Stream, "state", self._state)

    def _events(self, events: tuple[Event, ...]) -> None:
        self.events += [(event, event.seq <= self._kept.stored_seq) for event in events]

    def _state(self, bed: str, payload: bytes) -> None:
        self.state = decode(State, payload)

    def told(self, kind: type) -> list[tuple[Any, bool]]:
        return [(event.body, on_disk) for event, on_disk in self.events if isinstance(event.body, kind)]

    def alarm(self) -> str | None:
        """The priority of TEC-11, as the bed's state has it."""
        alarms = self.state.alarms if self.state else []
        return next((alarm.priority for alarm in alarms if alarm.rule == "TEC-11" and alarm.state == "active"), None)


@contextlib.asynccontextmanager
async def served(
    folder: Path, monkeypatch: pytest.MonkeyPatch, boot: str = "b1", sounder: str = "", last: Last | None = None,
) -> AsyncIterator[tuple[EdgeService, Sent]]:
    (folder / "edge.toml").write_text(EDGE + sounder)
    (folder / "rules.toml").write_text(FILE.read_text())
    config = load_edge(folder / "edge.toml")
    kept = Journal.open(config.edge.journal, edge="clinic-1", boot=boot, wall=lambda: "now", holds=True,
                        last=last)
    sent = Sent(monkeypatch, kept)
    text = FILE.read_text()
    service = EdgeService(
        config, parse_rules(text), text, {}, clock=EdgeClock(not_before=kept.head.at_s), journal=kept,
        recovered=await recover(kept), boot=boot, version="0", config_hash="0", key=b"k" * 32,
        mqtt=Mqtt("127.0.0.1", 1), signer=edge_signer(), console_keys={})
    tasks = [asyncio.ensure_future(service._ticks()), asyncio.ensure_future(service._flushes())]
    try:
        yield service, sent
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await kept.close()


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[Disk]:
    monkeypatch.setattr(journal, "RETRY_S", 0.05)
    with faulty(monkeypatch) as disk:
        yield disk


@pytest.mark.slow
async def test_it_alarms_at_every_bed_goes_on_and_writes_all_of_it_afterwards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, disk: Disk,
) -> None:
    async with served(tmp_path, monkeypatch) as (service, sent):
        await until(lambda: sent.events)
        assert service._status().storage is None
        disk.break_()
        await until(lambda: sent.alarm() == "medium", ALARM_WITHIN_S)
        assert sent.told(StorageFailing) == [(StorageFailing(reason=FULL), False)]
        assert [on_disk for body, on_disk in sent.told(AlarmMoved) if body.rule == "TEC-11"] == [False]
        storage = service._status().storage
        assert storage is not None
        assert storage.reason == FULL
        assert storage.events >= 2
        disk.mend()
        await until(lambda: sent.alarm() is None)
        await until(lambda: service._status().storage is None)
        ((healed, on_disk),) = sent.told(StorageHealed)
        assert on_disk
        assert healed.events >= storage.events
        assert healed.lost_inputs == 0
    assert verify(str(tmp_path / "journal.db")).problem is None
    with Reader(str(tmp_path / "journal.db")) as reader:
        kept = list(reader.events())
        assert [event for event, _ in sent.events] == kept, "each was published once, and each is in the record"
        assert [str(difference) for difference in differences(reader.inputs(), reader.events())] == []


@pytest.mark.slow
async def test_the_box_itself_sounds_within_five_seconds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, disk: Disk,
) -> None:
    (tmp_path / "sounds").mkdir()
    async with served(tmp_path, monkeypatch, sounder='[sounder]\nuse = "file"\nfolder = "sounds"\n') as (service, sent):
        await until(lambda: sent.events)
        sounding = asyncio.ensure_future(service._sounder.run())
        disk.break_()
        await until(lambda: list((tmp_path / "sounds").glob("*-medium.wav")), ALARM_WITHIN_S)
        status = service._status().sounder
        assert status is not None
        assert (status.state, status.priority) == ("ready", "medium")
        disk.mend()
        await until(lambda: sent.alarm() is None)
        sounding.cancel()


async def test_a_restart_in_the_middle_of_it_alarms_and_watches_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, disk: Disk,
) -> None:
    async with served(tmp_path, monkeypatch) as (_, sent):
        await until(lambda: sent.events)
    disk.break_()
    async with served(tmp_path, monkeypatch, "b2") as (_, sent):
        await until(lambda: sent.alarm() == "medium", ALARM_WITHIN_S)
        assert sent.events[0][0].seq == 2, "what could be read is gone on with"
        disk.mend()
        await until(lambda: sent.alarm() is None)
    with Reader(str(tmp_path / "journal.db")) as reader:
        assert [str(difference) for difference in differences(reader.inputs(), reader.events())] == []


async def test_a_start_before_its_journal_is_there_keeps_the_session_and_goes_on_behind_the_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, disk: Disk,
) -> None:
    last, late = Last(tmp_path / "last"), list[int]()
    monkeypatch.setattr(Stream, "come_late", lambda _, seq: late.append(seq))
    async with served(tmp_path, monkeypatch, last=last) as (service, sent):
        assert (await service._command(OPEN)).ok
        service._keeper.snapshot(BED, service._beds[BED], service._clock.now())
        await service._journal.flush()
        # later than what the box remembers: the record ends further on, and the bed's state in it is another
        assert (await service._command(replace(OPEN, id="c3", nonce="n3", verb="checklist", args={"done": True}))).ok
        before = service._journal.head.seq
    disk.break_()
    disk.reads = False
    async with served(tmp_path, monkeypatch, "b2", last=last) as (service, sent):
        await until(lambda: sent.alarm() == "medium", ALARM_WITHIN_S)
        assert sent.state is not None
        assert sent.state.session is not None
        assert sent.state.session.id == OPEN.args["session"]
        assert sent.events == [], "no event goes out under a number that is not its own"
        (alarm,) = [alarm for alarm in sent.state.alarms if alarm.rule == "TEC-11"]
        seen = replace(OPEN, id="c2", nonce="n2", verb="acknowledge", args={"alarm": alarm.alarm, "seq": alarm.seq})
        assert (await service._command(seen)).ok
        disk.mend()
        await until(lambda: late)
        await until(lambda: service._status().storage is None)
        assert late[0] > before
        shown = {alarm.alarm: alarm.seq for alarm in sent.state.alarms}
        events = {event.seq: event for event in await service._journal.events_after(0, 1000)}
        assert all(isinstance(body := events[seq].body, AlarmMoved) and body.alarm == name
                   for name, seq in shown.items()), "what is shown names what is in the record"
    verdict = verify(str(tmp_path / "journal.db"))
    assert verdict.problem is None
    with Reader(str(tmp_path / "journal.db")) as reader:
        assert {event.boot for event in reader.events()} == {"b1", "b2"}
        assert [str(difference) for difference in differences(reader.inputs(), reader.events())] == []


# --- a real disk ------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.long
async def test_a_full_disk_then_a_restart_on_it_then_on_a_read_only_one(tmp_path: Path, small_disk: Path) -> None:
    async with edge_running(tmp_path, "nonin", speed=1, store=small_disk) as run:
        await run.until(lambda: run.numerics("spo2_pct"), 30, "a reading")
        filler = fill(small_disk)
        filled_s = run.clock.now()
        await run.until(lambda: storage(run) and standing(run), ALARM_WITHIN_S, "the alarm")
        assert run.events("journal")[-1]["unstored"]
        await asyncio.sleep(3)
        times = [at_s for at_s, _ in run.numerics("spo2_pct") if at_s > filled_s - 1]
        assert max(b - a for a, b in itertools.pairwise(times)) < 2.0, "readings never paused"

        await run.kill_edge()  # a restart on the full disk
        boots, began_s = len(run.events("boot")), run.clock.now()
        await run.start_edge()
        await run.until(lambda: len(run.events("boot")) > boots and standing(run), WATCHES_WITHIN_S, "it is back")
        await run.until(lambda: any(at_s > began_s + 1 and word["value"] for at_s, word in run.numerics("spo2_pct")),
                        WATCHES_WITHIN_S, "it watches")

        filler.unlink()
        await run.until(lambda: storage(run) is None and standing(run) is None, 5, "it heals")

        await run.end_edge()  # a clean end, and a start on a disk that is full again
        filler, boots, began_s = fill(small_disk), len(run.events("boot")), run.clock.now()
        await run.start_edge()
        await run.until(lambda: len(run.events("boot")) > boots and standing(run), WATCHES_WITHIN_S, "it is back")
        await run.until(lambda: any(at_s > began_s + 1 and word["value"] for at_s, word in run.numerics("spo2_pct")),
                        WATCHES_WITHIN_S, "it watches")
        filler.unlink()
        await run.until(lambda: storage(run) is None and standing(run) is None, 5, "it heals")

        await run.kill_edge()  # and one on a disk that nobody may write to
        remount(small_disk, "ro")
        began_s = run.clock.now()
        await run.start_edge()
        await run.until(lambda: run.clock.now() > began_s and storage(run) and standing(run), WATCHES_WITHIN_S, "back")
        await run.until(lambda: any(at_s > began_s + 1 and word["value"] for at_s, word in run.numerics("spo2_pct")),
                        WATCHES_WITHIN_S, "it watches")
        remount(small_disk, "rw")
        await run.until(lambda: storage(run) is None and standing(run) is None, 5, "it heals")
    run.check_record()
    healed = [event.body for event in run.events_recorded("journal") if isinstance(event.body, StorageHealed)]
    assert len(healed) == 3
    assert all(body.inputs > 0 and body.lost_inputs == 0 for body in healed)


# --- a damaged journal ------------------------------------------------------------------------------------------------


async def test_a_damaged_journal_is_put_aside_its_beds_are_taken_up_and_every_screen_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with served(tmp_path, monkeypatch) as (service, sent):
        await until(lambda: sent.events)
        answer = await service._command(OPEN)
        assert answer.ok, answer.reason
        await until(lambda: sent.state and sent.state.session)
        for bed, work in service._beds.items():
            service._keeper.snapshot(bed, work, service._clock.now())
    path = tmp_path / "journal.db"
    before = verify(str(path))
    with sqlite3.connect(path) as raw:
        raw.execute("DROP TRIGGER seal_no_update")
        raw.execute(f"UPDATE seal SET hash = {another('hash')} WHERE id = (SELECT max(id) FROM seal)")
    raw.close()
    async with served(tmp_path, monkeypatch, "b2") as (_, sent):
        await until(lambda: sent.state and any(alarm.rule == "TEC-12" for alarm in sent.state.alarms))
        ((begun, on_disk),) = sent.told(RecordBegun)
        assert on_disk
        assert begun.damaged_file == f"{path}.damaged-1"
        assert before.events - 2 <= begun.after_seq <= before.events
        assert sent.state is not None
        assert sent.state.session is not None, "the session goes on"
    verdict = verify(str(path))
    assert (verdict.ok, verdict.begins_after) == (True, begun.after_seq)
    with Reader(str(path)) as reader:
        assert [str(difference) for difference in differences(reader.inputs(), reader.events())] == []
    async with served(tmp_path, monkeypatch, "b3") as (_, sent):  # the next start says no more of it
        await until(lambda: sent.events)
        assert sent.told(RecordBegun) == []


@pytest.mark.slow
async def test_inputs_for_which_there_was_no_room_are_counted_and_a_replay_goes_on_behind_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, disk: Disk,
) -> None:
    async with served(tmp_path, monkeypatch) as (service, sent):
        await until(lambda: sent.alarm() is None and sent.events)
        disk.break_()
        await until(lambda: sent.alarm() == "medium", ALARM_WITHIN_S)
        for _ in range(20):
            service._apply("chair-1", Tick(), service._clock.now())
        monkeypatch.setattr(journal, "INPUTS_HELD", 20)
        assert (await service._command(OPEN)).ok  # a session is opened by an input that is not kept
        lost = service._status().storage
        assert lost is not None
        assert lost.lost_inputs >= 1
        disk.mend()
        await until(lambda: sent.told(StorageHealed))
        assert sent.told(StorageHealed)[0][0].lost_inputs >= 1
        assert (await service._command(replace(OPEN, id="c2", nonce="n2", verb="checklist", args={"done": True}))).ok
    assert verify(str(tmp_path / "journal.db")).ok
    with Reader(str(tmp_path / "journal.db")) as reader:
        events = list(reader.events())
        assert [str(difference) for difference in differences(reader.inputs(), iter(events))] == []
    opened = next(event for event in events if isinstance(event.body, SessionOpened))
    done = next(event for event in events if isinstance(event.body, ChecklistSet))
    assert done.session == opened.session
    async with served(tmp_path, monkeypatch, "b2") as (service, sent):
        await until(lambda: sent.state and sent.state.session)


async def test_of_what_retention_leaves_a_replay_begins_where_the_beds_were_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(segments, "ROWS", 20)
    path = tmp_path / "journal.db"
    async with served(tmp_path, monkeypatch) as (service, _):
        assert (await service._command(OPEN)).ok
        for _ in range(100):
            service._apply("chair-1", Tick(), service._clock.now())
        await service._journal.flush()
        kept_n = service._journal.head.n
        service._keeper.keep_all(service._clock.now(), False)
        assert (await service._command(replace(OPEN, id="c2", nonce="n2", verb="checklist", args={"done": True}))).ok
        for _ in range(100):
            service._apply("chair-1", Tick(), service._clock.now())
            await service._journal.flush()
    with sqlite3.connect(path) as raw:
        raw.execute("UPDATE segment SET body = NULL WHERE last_n <= ?", (kept_n,))
    raw.close()
    verdict = verify(str(path))
    assert verdict.ok
    assert verdict.dropped >= 40
    with Reader(str(path)) as reader:
        assert next(reader.inputs()).n == verdict.dropped + 1
        assert [str(found) for found in differences(reader.inputs(), reader.events(), scope=Scope(False))] == []
        inputs = [recorded for recorded in reader.inputs() if not isinstance(recorded.input, Restored)]
        assert list(differences(inputs, reader.events(), scope=(scope := Scope(False)))) == []
        assert not scope.judged, "without what was kept nothing can be judged"
        assert scope.unjudged


async def test_a_disk_that_fills_is_an_event_and_stands_in_the_status_until_there_is_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with served(tmp_path, monkeypatch) as (service, sent):
        service._storage.looked(30, 100)
        assert service._status().space is None
        service._storage.looked(19, 100)
        space = service._status().space
        assert space is not None
        assert (space.used_pct, space.full_in_s) == (81.0, None)
        service._storage.looked(21, 100)
        assert service._status().space is not None, "not every byte is news"
        service._storage.looked(50, 100)
        assert service._status().space is None
        await until(lambda: sent.told(SpaceLow))
        assert [body for body, _ in sent.told(SpaceLow)] == [SpaceLow(used_pct=81.0, full_in_s=None)]
