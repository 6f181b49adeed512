"""The edge wired together, without wires: nothing is published before it is on the disk, and commands wait for it."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from edge.app.recovery import recover
from edge.app.service import EdgeService
from edge.clock import EdgeClock
from edge.config.files import load_edge
from edge.contract.events import AlarmMoved, Event
from edge.contract.mqtt import Mqtt
from edge.contract.payloads import Ack, CommandIn
from edge.core.bedside import Misdirected
from edge.core.rules import parse_rules
from edge.journal.journal import Journal
from edge.journal.reader import Reader
from edge.model import PumpStatus, iso
from edge.stream.publisher import Stream
from tests.helpers.rule_files import FILE
from tests.helpers.stream_world import edge_signer

EDGE = """[edge]
id = "clinic-1"
data = "."
rules = "rules.toml"
[[bed]]
id = "chair-1"
"""
AUDIO_PAUSE = CommandIn(
    id="c1", console="main", user="nina", role="nurse", bed="chair-1", verb="audio_pause", args={}, issued="",
    expires="", nonce="n1", sig="")


class Told:
    """What left for MQTT, each with the events that were on the disk at that moment."""

    def __init__(self, database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.database = database
        self.events: list[tuple[Event, set[int]]] = []
        self.states: list[set[int]] = []
        monkeypatch.setattr(Stream, "events", self._events)
        monkeypatch.setattr(Stream, "state", self._state)

    def on_disk(self) -> set[int]:
        with contextlib.closing(sqlite3.connect(f"file:{self.database}?mode=ro", uri=True)) as db:
            return {seq for (seq,) in db.execute("SELECT seq FROM event")}

    def _events(self, events: tuple[Event, ...]) -> None:
        self.events += [(event, self.on_disk()) for event in events]

    def _state(self, bed: str, payload: bytes) -> None:
        self.states.append(self.on_disk())


@contextlib.asynccontextmanager
async def served(folder: Path) -> AsyncIterator[EdgeService]:
    (folder / "edge.toml").write_text(EDGE)
    (folder / "rules.toml").write_text(FILE.read_text())
    config = load_edge(folder / "edge.toml")
    journal = Journal.open(config.edge.journal, edge="clinic-1", boot="b1", wall=lambda: "2026-01-01T00:00:00.000Z")
    try:
        yield EdgeService(
            config, parse_rules(FILE.read_text()), FILE.read_text(), {}, clock=EdgeClock(), journal=journal,
            recovered=await recover(journal), boot="b1", version="0", config_hash="0", key=b"k" * 32,
            mqtt=Mqtt("127.0.0.1", 1), signer=edge_signer(), console_keys={})
    finally:
        await journal.close()


async def until(told: Told, count: int) -> None:
    async with asyncio.timeout(10):
        while len(told.events) < count:
            await asyncio.sleep(0)


async def test_events_leave_after_they_are_on_the_disk_and_the_state_they_make_with_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = Told(tmp_path / "journal.db", monkeypatch)
    async with served(tmp_path):
        assert told.events == [], "what was concluded a moment ago cannot be stored yet"
        await until(told, 1)
    assert all(event.seq in disk for event, disk in told.events)
    assert told.states
    assert all(told.events[0][0].seq in disk for disk in told.states)


async def test_a_command_is_answered_when_what_it_did_is_on_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = Told(tmp_path / "journal.db", monkeypatch)
    async with served(tmp_path) as service:
        await until(told, 1)
        before = told.on_disk()
        answer = await service._command(AUDIO_PAUSE)
        assert answer.ok, answer.reason
        assert told.on_disk() > before


async def test_a_console_whose_clock_is_off_is_an_alarm_at_the_beds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = Told(tmp_path / "journal.db", monkeypatch)
    async with served(tmp_path) as service:
        await until(told, 1)
        service._acked(Ack(console="main", seq=0, boot="b1", at=iso(EdgeClock().now() + 10)))
        ticks = asyncio.ensure_future(service._ticks())
        async with asyncio.timeout(10):
            while not any(isinstance(body := event.body, AlarmMoved) and body.rule == "TEC-5"
                          for event, _ in told.events):
                await asyncio.sleep(0.01)
        ticks.cancel()


async def test_what_a_bed_cannot_bear_is_not_read_again_at_every_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = Told(tmp_path / "journal.db", monkeypatch)
    async with served(tmp_path) as service:
        await until(told, 1)
        with pytest.raises(Misdirected):
            service._decoded("chair-1", [PumpStatus("nobody", "stopped")], service._clock.now(), False)
    with Reader(str(tmp_path / "journal.db")) as reader:
        assert not [recorded for recorded in reader.inputs() if isinstance(recorded.input, PumpStatus)]


async def test_a_command_for_no_bed_of_ours_says_which_there_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = Told(tmp_path / "journal.db", monkeypatch)
    async with served(tmp_path) as service:
        other = CommandIn(**{name: getattr(AUDIO_PAUSE, name) for name in AUDIO_PAUSE.__struct_fields__} | {"bed": "b"})
        answer = await service._command(other)
    assert (answer.ok, answer.reason) == (False, "unknown_bed: b; this edge has chair-1")
    assert all(event.kind == "boot" for event, _ in told.events)
