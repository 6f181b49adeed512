"""All that comes from one edge: checked against the contract, stored before it is shown, acknowledged when stored."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import msgspec

from edge.console import events, history
from edge.console.beds import Beds, parse_time, read, wave_message
from edge.console.early import EarlyStates
from edge.console.edge_said import EdgeSaid
from edge.console.feed import Feed, encode
from edge.console.going_back import GoingBack
from edge.console.health import Heartbeat, Part
from edge.console.history import Recorder
from edge.console.lanes import Lanes
from edge.console.link import Publisher
from edge.console.security import Limiter
from edge.console.settings import Settings
from edge.console.shown import ShownEvents
from edge.console.sounded import SoundedEvents
from edge.console.store import Store, StoreBroken
from edge.console.trust import Trust
from edge.console.without_patient import KINDS, events_without
from edge.contract.events import GENESIS
from edge.contract.payloads import (
    Ack,
    Answer,
    BadPayload,
    EventOut,
    State,
    Status,
    Topic,
    decode,
    parse_topic,
    state_topic,
)
from edge.contract.signing import Verified
from edge.model import MAX_BEDS, from_iso, iso

GAP_S = 5.0  # real seconds a gap may be open before the screen says so
NEW_BED_S = 10.0  # real seconds after which an edge may name one more bed, beyond twice as many as it may have
REFUSED_S = 30.0  # real seconds after a refusal until the record is well again
CHECKED = 20  # stored events read back a second

log = logging.getLogger(__name__)


class Ingest:
    """Takes the messages of `edge` and keeps everything they change.

    Sets `health_changed` when a part of health may have changed, `ack_due` when more is stored or sounded.
    """

    def __init__(self, edge: str, settings: Settings, store: Store, feed: Feed, patients: Mapping[str, str],
                 on_answer: Callable[[str, Answer], None], health_changed: asyncio.Event,
                 publisher: Publisher) -> None:
        """`patients`: session id -> name. `health_changed` is the console's: one for all edges."""
        now_s = settings.now()
        self.edge = edge
        self.publisher = publisher
        self._settings = settings
        self._store = store
        self._feed = feed
        self.beds = Beds(edge, patients)
        self.recorded: set[str] = set()  # beds that something was stored of before this start
        self.trust = Trust(edge, settings.edge_keys.get(edge))
        self.broker = Part(False, now_s, "not connected yet")
        self.heartbeat = Heartbeat(now_s)
        self.recorder = Recorder()
        self.cursor = events.Cursor(0, GENESIS, "", 0, 0)
        self._on_answer = on_answer
        self.health_changed = health_changed
        self.ack_due = asyncio.Event()
        self.bad = 0
        self.stored = 0
        self.dropped = 0
        self.refused = 0
        self.last_refusal: str | None = None
        self.refused_loop_s = -math.inf
        self.edge_said = EdgeSaid()
        self.record = Part(True, now_s)
        self.commands = Part(True, now_s)  # whether commands get through to the edge and back
        self._gap_loop_s: float | None = None  # since when an event is missing
        self._checked = 0  # the stored events up to here were read back in this round
        self.lanes = Lanes(settings.speed)
        self._sounded, self._going_back = SoundedEvents(), GoingBack()
        self._shown = ShownEvents(self.cursor)
        self.memory_due = False  # what was believed last is to be stored
        self._bad_topics: set[str] = set()
        self._early = EarlyStates()  # retained ones above the status's seq, and of beds it does not name
        self._new_beds = Limiter(2 * MAX_BEDS, NEW_BED_S)

    async def load(self) -> None:
        """Reads back what was stored before. Raises StoreBroken."""
        self.cursor = self._shown.before = await self._store.read(events.cursor_of, self.edge)
        self.recorded = await self._store.read(events.beds_of, self.edge)
        self.trust.remember(await self._store.read(events.memory_of, self.edge))

    # --- the connection -----------------------------------------------------------------------------------------------

    def connected(self) -> None:
        """Subscribed; what is retained comes now."""
        if not self.broker.ok:
            log.info("broker connected for edge %s", self.edge)
        self.broker = self.broker.changed(True, self._settings.now())
        self.heartbeat.connected()
        self.health_changed.set()
        self.ack_due.set()

    def disconnected(self, reason: str) -> None:
        """The broker is gone."""
        if self.broker.ok or self.broker.reason == "not connected yet":
            log.warning("broker lost for edge %s: %s", self.edge, reason)
        self.broker = self.broker.changed(False, self._settings.now(), reason)
        self.health_changed.set()

    # --- messages -----------------------------------------------------------------------------------------------------

    def receive(self, topic: str, payload: bytes, retained: bool) -> None:
        """One message. What is not signed, not fresh or outside the contract is counted and dropped."""
        parsed = parse_topic(topic)
        if parsed is None or parsed.edge != self.edge or self._says_nothing(parsed, payload):
            return
        loop_s = asyncio.get_running_loop().time()
        for checked in self.trust.check(parsed, topic, payload, loop_s, self._settings.now()):
            try:
                if isinstance(checked, Verified):
                    self._dispatch(parsed, checked.payload, retained)
                elif checked.reason == "duplicate" and parsed.kind == "status" and self.heartbeat.last is None:
                    self._receive_known_status(payload)
            except BadPayload as error:
                self._count_bad(topic, error)
        if self.trust.two_boxes(loop_s) != self.heartbeat.two_boxes:
            self._note_two_boxes()

    def _says_nothing(self, topic: Topic, payload: bytes) -> bool:
        """Whether it is a wave that nobody looks at (most are; checking them costs), or clears a retained state."""
        return (topic.kind == "wave" and not self._feed.watched(self.edge, topic.bed or "")) or (
            topic.kind == "state" and not payload)

    def _count_bad(self, topic: str, error: BadPayload) -> None:
        self.bad += 1
        if topic not in self._bad_topics and len(self._bad_topics) < 1000:
            self._bad_topics.add(topic)  # once a topic: a faulty sender does not fill the log
            log.warning("refused a payload on %s: %s", topic, error)

    def _dispatch(self, topic: Topic, payload: bytes, retained: bool) -> None:
        bed = topic.bed or ""
        if topic.kind == "event":
            self._receive_event(decode(EventOut, payload), retained)
        elif topic.kind == "status":
            self._receive_status(payload, retained)
        elif topic.kind == "state":
            self._receive_state(payload, bed, retained)
        elif topic.kind == "answer":
            if topic.name == self._settings.name and not retained:
                self._on_answer(self.edge, decode(Answer, payload))
        elif retained:
            return  # vitals and waves are never retained by us: whoever retains them shows old numbers as new
        elif topic.kind == "vitals":
            self._receive_vitals(payload, bed)
        elif topic.kind == "wave":
            self._feed.publish_wave(self.edge, bed, wave_message(payload, self.edge, bed, topic.name or ""))

    def _receive_status(self, payload: bytes, retained: bool) -> None:
        status, loop_s = self._status(payload), asyncio.get_running_loop().time()
        at_s = parse_time(status.at)
        self._take_new_beds(status, loop_s)
        was, protocols = (self.heartbeat.part.ok, self.heartbeat.boot), self.heartbeat.protocols
        if status.other_boots or self.heartbeat.is_past(status):
            self.trust.second_box(loop_s)
        self.heartbeat.receive(status, at_s, retained, loop_s, self._settings.now())
        if self.heartbeat.last is not None and self.beds.set_ids(self.heartbeat.last.beds):
            self._feed.publish(encode({"t": "ward", "edge": self.edge, "beds": self.beds.ids()}))
        if self.heartbeat.boot != was[1]:
            self.beds.new_boot()
            self.memory_due = True
        if (self.heartbeat.part.ok, self.heartbeat.boot) != was:
            self.edge_changed()
        if self.heartbeat.protocols != protocols:
            self._feed.publish(encode(self.heartbeat.protocols_json(self.edge)))
        if status.storage is not None:  # at once to the pages, not with the next beat
            self.health_changed.set()
        self._take_early()

    def _receive_known_status(self, payload: bytes) -> None:
        """The very status that was believed last before this console started again: no sign of life, but true."""
        self.heartbeat.last = status = self._status(payload)
        self.beds.set_ids(status.beds)
        self._take_early()

    def _status(self, payload: bytes) -> Status:
        status = decode(Status, payload)
        if status.edge != self.edge:
            raise BadPayload(f"says edge {status.edge!r}")
        return status

    def _take_new_beds(self, status: Status, loop_s: float) -> None:  # Raises BadPayload: they come as in no clinic
        for bed in set(status.beds).difference(self.beds.ids()):
            if not self._new_beds.allow("", loop_s):
                raise BadPayload(f"one more new bed, {bed}: more than {2 * MAX_BEDS} at once")

    def _take_early(self) -> None:
        for bed, state in self._early.all():
            try:
                self._receive_state(state, bed, True)
            except BadPayload as error:
                self._count_bad(state_topic(self.edge, bed), error)

    def _note_two_boxes(self) -> None:
        was, loop_s = self.heartbeat.part.ok, asyncio.get_running_loop().time()
        self.heartbeat.set_two_boxes(self.trust.two_boxes(loop_s), self.edge, self._settings.now())
        if self.heartbeat.part.ok != was:
            self.edge_changed()
        self.health_changed.set()

    def _receive_state(self, payload: bytes, bed: str, retained: bool) -> None:
        """A retained state may have been made after the status that is retained with it: it waits for the next one."""
        last, early = self.heartbeat.last, self._early.take(bed)
        if retained:
            state = decode(State, payload)
            if last is None or (state.boot == last.boot and state.seq > last.seq):
                if early is not None and last is not None and state.at <= last.at:
                    raise BadPayload(f"a state as of event {state.seq}, but the edge says that it has {last.seq}")
                self._early.hold(bed, payload)
                return
        if not self.beds.is_named(bed):  # of a new bed, or of one that is no more: until the edge's status names it
            read(State, payload, self.edge, bed)
            self._early.hold(bed, payload)
        elif self.beds.receive_state(payload, bed, self.heartbeat.boot):
            self.publish_state(bed)

    def _receive_vitals(self, payload: bytes, bed: str) -> None:
        vitals = self.beds.receive_vitals(payload, bed)
        if vitals is None:
            return
        self.recorder.receive(vitals)
        if (said := self.beds.vitals_json(bed)) is not None:
            self._feed.publish(encode({**said, "t": "vitals"}))

    def _receive_event(self, event: EventOut, retained: bool) -> None:
        if not self.lanes.put(msgspec.structs.replace(event, late=retained or event.late)):
            self.dropped += 1

    # --- what follows -------------------------------------------------------------------------------------------------

    def tick(self) -> None:
        """Real time passed: notices a silent edge."""
        was, loop_s = self.heartbeat.part.ok, asyncio.get_running_loop().time()
        self.heartbeat.tick(loop_s, self._settings.now())
        if self.trust.two_boxes(loop_s) != self.heartbeat.two_boxes:
            self._note_two_boxes()
        if self.heartbeat.part.ok != was:
            self.edge_changed()

    def edge_changed(self) -> None:
        """Every state is live now, or none is: the pages get it at once."""
        part = self.heartbeat.part
        log.warning("edge %s: %s", self.edge, "live" if part.ok else part.reason)
        for bed in self.beds.ids():
            self.publish_state(bed)
        self.health_changed.set()
        self.ack_due.set()

    def publish_state(self, bed: str) -> None:
        """The held state of `bed` to every page."""
        if (message := self.state_json(bed)) is not None:
            self._feed.publish_state(message, lambda: self.state_json(bed, sees_patients=False))

    def state_json(self, bed: str, sees_patients: bool = True) -> dict[str, Any] | None:
        """The held state of `bed`, and whether it is what is now: with the patient's name, or without what is a
        patient's."""
        said = self.beds.state_json if sees_patients else self.beds.state_without_patient
        return said(bed, self.heartbeat.part.ok, self.heartbeat.boot)

    def now_s(self) -> float:
        """What the edge's clock says now, by its heartbeats; this console's own time before the first."""
        return self._settings.now() + self.heartbeat.clock.offset_s

    def ack(self) -> Ack:
        """How far it is stored, as the ack to the edge."""
        return Ack(console=self._settings.name, seq=self._going_back.after(self.cursor), at=iso(self._settings.now()),
                   boot=self.heartbeat.boot or "", sounded_seq=self.cursor.sounded_seq or None,
                   sounded=self._sounded.told(self.beds.alarm_seqs()))

    async def store_events(self) -> None:
        """Stores what comes, live events before late ones and at their pace, for ever."""
        while True:
            await self.lanes.due()
            await self.store_batch()

    async def store_batch(self) -> None:
        """Stores some events in one commit, then shows the new ones."""
        batch = self.lanes.take(len(self.beds.ids()), asyncio.get_running_loop().time())
        live_boot = self.heartbeat.boot if self.heartbeat.part.ok else None
        try:
            kept = await self._store.run(events.append, self.edge, batch, live_boot, self.now_s(), self.trust.is_signed)
        except StoreBroken:
            self.lanes.give_back(batch)
            self.dropped += len(batch)  # never acknowledged, so the edge sends them again
            self.health_changed.set()
            return
        self.lanes.give_back(kept.known)
        self._moved(kept.cursor)
        self._going_back.appended(kept, live_boot)
        self.stored += len(kept.new)
        if kept.refused:
            self.refused += len(kept.refused)
            self.refused_loop_s = asyncio.get_running_loop().time()
            self.last_refusal = f"event {kept.refused[-1].event.seq}: {kept.refused[-1].why}"
            log.error("refused %d of edge %s, the last %s", len(kept.refused), self.edge, self.last_refusal)
        others = self._shown.others(kept, self.heartbeat.boot) if self._store.shared else []
        for event in [*kept.new, *others]:
            if event.kind == "stream":
                self.edge_said.receive(event, self._settings.now() + from_iso(event.at) - self.now_s())
            self._feed.publish_event(event)
        self.ack_due.set()

    def _moved(self, cursor: events.Cursor) -> None:
        self._sounded.back_to(cursor.sounded_seq)
        self.cursor = cursor
        if not cursor.gap:
            self._gap_loop_s = None
        elif self._gap_loop_s is None:
            self._gap_loop_s = asyncio.get_running_loop().time()

    def judge_record(self) -> Part:
        """Whether the record is whole and takes what comes. A gap may be open for GAP_S: live alarms overtake others.
        """
        loop_s = asyncio.get_running_loop().time()
        why = None
        if loop_s - self.refused_loop_s < REFUSED_S:
            why = f"refused {self.last_refusal}"
        elif self._gap_loop_s is not None and loop_s - self._gap_loop_s >= GAP_S:
            why = f"events after {self.cursor.seq} are missing"
        self.record = self.record.changed(why is None, self._settings.now(), why)
        return self.record

    def has_bed(self, bed: str) -> bool:
        """Whether the edge has this bed, or had it: what is stored of a bed is there while its edge is not."""
        return bed in self.beds.ids() or bed in self.recorded

    async def events_of_bed(self, bed: str, limit: int, before: int | None, sees_patients: bool = True) -> list[bytes]:
        """The last events of `bed` as JSON, newest first, or those of them that are no patient's. A damaged one is left
        out and asked for again."""
        kinds, moved = (None, self.beds.moved(bed)) if sees_patients else (KINDS, ("", []))
        found, damaged = await self._store.read(
            events.of_bed, self.edge, bed, limit, before, self.trust.is_signed, moved, kinds)
        if damaged:
            await self._heal(damaged)
        return found if sees_patients else events_without(found)

    async def check_record(self) -> None:
        """Reads a few stored events back, each round further; what is not what was stored is asked for again. Raises
        StoreBroken."""
        self._checked, wrong = await self._store.read(
            events.check, self.edge, self._checked, CHECKED, self.trust.is_signed)
        if wrong:
            await self._heal(wrong)

    async def _heal(self, wrong: Sequence[int]) -> None:
        log.error("stored events of edge %s are damaged (%s): asking for them again", self.edge, wrong[:5])
        cursor = await self._store.run(events.heal, self.edge, wrong, self.now_s(), self.trust.is_signed)
        self._moved(cursor)
        self.refused_loop_s = asyncio.get_running_loop().time()
        self.last_refusal = f"event {wrong[0]}: damaged in this console's store"
        self.ack_due.set()
        self.health_changed.set()

    async def store_memory(self) -> None:
        """Stores what was believed last, so that none of it is believed again after a restart."""
        self.memory_due = False
        try:
            await self._store.run(events.remember, self.edge, self.trust.memory)
        except StoreBroken:
            self.memory_due = True
            self.health_changed.set()

    async def store_history(self) -> None:
        """Stores the trends held since the last call."""
        if not (rows := self.recorder.take()):
            return
        try:
            await self._store.run(history.append, rows)
        except StoreBroken:
            self.recorder.give_back(rows)
            self.health_changed.set()

    async def sounded(self, seq: int) -> bool:
        """A page sounded alarm event `seq`; whether there is such an alarm. Raises StoreBroken where none stands."""
        known = self.beds.alarm_known(seq)
        try:
            highest = await self._store.run(events.sounded, self.edge, seq, known)
        except StoreBroken:
            highest = self.cursor.sounded_seq  # this one alone is told
            if not known:
                raise
        if highest is None:
            return False
        self.cursor = replace(self.cursor, sounded_seq=highest)
        self._sounded.add(seq)
        self.ack_due.set()
        return True
