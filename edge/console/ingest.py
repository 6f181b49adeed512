"""All that comes over MQTT: checked against the contract, stored before it is shown, acknowledged when stored."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from dataclasses import replace

import msgspec

from edge.console import events, history
from edge.console.feed import Feed, encode
from edge.console.health import Heartbeat, Part
from edge.console.history import Recorder
from edge.console.settings import Settings
from edge.console.store import Store, StoreBroken
from edge.console.ward import Ward, parse_time, wave_message
from edge.contract.events import GENESIS
from edge.contract.payloads import (
    Ack,
    Answer,
    BadPayload,
    EventOut,
    Status,
    Topic,
    decode,
    decode_events,
    parse_topic,
)
from edge.model import iso

BATCH = 200  # events a commit: about 0.1 s, so that a live alarm never waits longer for the backlog
MAX_WAITING = 20_000  # events in memory; beyond it they are dropped, not acknowledged, and sent again

log = logging.getLogger(__name__)


class Ingest:
    """Takes messages and keeps everything they change.

    Sets `health_changed` when a part of health may have changed, `ack_due` when more is stored or sounded.
    """

    def __init__(self, settings: Settings, store: Store, ward: Ward, feed: Feed,
                 on_answer: Callable[[Answer], None]) -> None:
        now_s = settings.now()
        self._settings = settings
        self._store = store
        self._ward = ward
        self._feed = feed
        self.broker = Part(False, now_s, "not connected yet")
        self.heartbeat = Heartbeat(now_s)
        self.recorder = Recorder()
        self.cursor = events.Cursor(0, GENESIS, "", 0, 0)
        self._on_answer = on_answer
        self.health_changed = asyncio.Event()
        self.ack_due = asyncio.Event()
        self.bad = 0
        self.stored = 0
        self.dropped = 0
        self.refused = 0
        self.last_refusal: str | None = None
        self._live: deque[EventOut] = deque()
        self._late: deque[EventOut] = deque()
        self._arrived = asyncio.Event()
        self._bad_said: set[str] = set()

    # --- the connection -----------------------------------------------------------------------------------------------

    def connected(self) -> None:
        """Subscribed; what is retained comes now."""
        if not self.broker.ok:
            log.info("broker connected")
        self.broker = self.broker.changed(True, self._settings.now())
        self.heartbeat.connected()
        self.health_changed.set()
        self.ack_due.set()

    def disconnected(self, reason: str) -> None:
        """The broker is gone."""
        if self.broker.ok or self.broker.reason == "not connected yet":
            log.warning("broker lost: %s", reason)
        self.broker = self.broker.changed(False, self._settings.now(), reason)
        self.health_changed.set()

    # --- messages -----------------------------------------------------------------------------------------------------

    def receive(self, topic: str, payload: bytes, retained: bool) -> None:
        """One message. What the contract does not allow is counted and dropped."""
        parsed = parse_topic(topic)
        if parsed is None or parsed.edge != self._settings.edge:
            return
        try:
            self._dispatch(parsed, payload, retained)
        except BadPayload as error:
            self.bad += 1
            if topic not in self._bad_said and len(self._bad_said) < 1000:
                self._bad_said.add(topic)  # once a topic: a mad sender does not fill the log
                log.warning("refused a payload on %s: %s", topic, error)

    def _dispatch(self, topic: Topic, payload: bytes, retained: bool) -> None:
        bed = topic.bed or ""
        if topic.kind == "event":
            self._receive_events(decode_events(payload), retained)
        elif topic.kind == "status":
            self._receive_status(payload, retained)
        elif topic.kind == "state":
            if self._ward.receive_state(payload, topic.edge, bed, self.heartbeat.boot):
                self.publish_state(bed)
        elif topic.kind == "answer":
            if topic.name == self._settings.name and not retained:
                self._on_answer(decode(Answer, payload))
        elif retained:
            return  # vitals and waves are never retained by us: whoever retains them shows old numbers as new
        elif topic.kind == "vitals":
            self._receive_vitals(payload, topic.edge, bed)
        elif topic.kind == "wave" and self._feed.watched(bed):
            self._feed.publish_wave(bed, wave_message(payload, topic.edge, bed, topic.name or ""))

    def _receive_status(self, payload: bytes, retained: bool) -> None:
        status = decode(Status, payload)
        if status.edge != self._settings.edge:
            raise BadPayload(f"says edge {status.edge!r}")
        at_s = parse_time(status.at)
        loop_s = asyncio.get_running_loop().time()
        was = (self.heartbeat.part.ok, self.heartbeat.boot)
        self.heartbeat.receive(status, at_s, retained, loop_s, self._settings.now())
        if self.heartbeat.last is not None:
            self._ward.set_beds(self.heartbeat.last.beds)
        if self.heartbeat.boot != was[1]:
            self._ward.new_boot()
        if (self.heartbeat.part.ok, self.heartbeat.boot) != was:
            self.edge_changed()

    def _receive_vitals(self, payload: bytes, edge: str, bed: str) -> None:
        vitals = self._ward.receive_vitals(payload, edge, bed)
        if vitals is None:
            return
        self.recorder.receive(vitals)
        said = self._ward.vitals_json(bed)
        if said is not None:
            self._feed.publish(encode({**said, "t": "vitals"}))

    def _receive_events(self, delivered: list[EventOut], retained: bool) -> None:
        for event in delivered:
            if len(self._live) + len(self._late) >= MAX_WAITING:
                self.dropped += 1
            elif retained or event.late:
                self._late.append(msgspec.structs.replace(event, late=True))
            else:
                self._live.append(event)
        self._arrived.set()

    # --- what follows -------------------------------------------------------------------------------------------------

    def tick(self) -> None:
        """Real time passed: notices a silent edge."""
        was = self.heartbeat.part.ok
        self.heartbeat.tick(asyncio.get_running_loop().time(), self._settings.now())
        if self.heartbeat.part.ok != was:
            self.edge_changed()

    def edge_changed(self) -> None:
        """Every state is live now, or none is: the pages are told at once."""
        part = self.heartbeat.part
        log.warning("edge %s: %s", self._settings.edge, "live" if part.ok else part.reason)
        for bed in self._ward.beds():
            self.publish_state(bed)
        self.health_changed.set()
        self.ack_due.set()

    def publish_state(self, bed: str) -> None:
        """The held state of `bed` to every page."""
        said = self._ward.state_json(bed, self.heartbeat.part.ok, self.heartbeat.boot)
        if said is not None:
            self._feed.publish(encode({**said, "t": "state"}))

    def ack(self) -> Ack:
        """What is stored, as the edge is to be told."""
        sounded = self.cursor.sounded_seq or None
        return Ack(console=self._settings.name, seq=self.cursor.seq, boot=self.heartbeat.boot or "",
                   sounded_seq=sounded, at=iso(self._settings.now()))

    async def store_events(self) -> None:
        """Stores what comes, live events before late ones, for ever."""
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            while self._live or self._late:
                await self.store_batch()

    async def store_batch(self) -> None:
        """Stores up to BATCH events in one commit, then shows the new ones."""
        lane = self._live or self._late
        batch = [lane.popleft() for _ in range(min(BATCH, len(lane)))]
        live_boot = self.heartbeat.boot if self.heartbeat.part.ok else None
        try:
            kept = await self._store.run(events.append, self._settings.edge, batch, live_boot, self._settings.now())
        except StoreBroken:
            self.dropped += len(batch)  # never acknowledged, so the edge sends them again
            self.health_changed.set()
            return
        self.cursor = kept.cursor
        self.stored += len(kept.new)
        for refused in kept.refused:
            self.refused += 1
            self.last_refusal = f"event {refused.event.seq}: {refused.why}"
            log.error("refused event %d of boot %s: %s", refused.event.seq, refused.event.boot, refused.why)
        for event in kept.new:
            self._feed.publish(encode({"t": "event", "event": event}))
        self.ack_due.set()

    async def store_history(self) -> None:
        """Stores the trends held since the last call."""
        rows = self.recorder.take()
        if not rows:
            return
        try:
            await self._store.run(history.append, rows)
        except StoreBroken:
            self.recorder.give_back(rows)
            self.health_changed.set()

    async def sounded(self, seq: int) -> bool:
        """A page sounded alarm event `seq`; whether there is such an alarm. Raises StoreBroken."""
        known = self._ward.alarm_known(seq)
        highest = await self._store.run(events.sounded, self._settings.edge, seq, known)
        if highest is None:
            return False
        self.cursor = replace(self.cursor, sounded_seq=highest)
        self.ack_due.set()
        return True
