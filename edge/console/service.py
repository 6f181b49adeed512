"""The console at work: its tasks, its beat, and what a page is told and may say."""

from __future__ import annotations

import asyncio
import logging
import math
from typing import Annotated, Any, Literal

import msgspec

from edge.console import accounts, audit, events, history, patients
from edge.console.accounts import User
from edge.console.command_client import CommandClient
from edge.console.feed import Feed, Page, Sound, encode
from edge.console.health import Part
from edge.console.ingest import Ingest
from edge.console.link import Link, NotConnected, Publisher
from edge.console.settings import Settings
from edge.console.store import Store, StoreBroken
from edge.console.tables import probe
from edge.console.ward import Ward
from edge.contract.payloads import HEARTBEAT_S, ack_topic
from edge.contract.payloads import encode as encode_payload
from edge.model import iso

BEAT_S = 1.0  # real seconds
SESSIONS_EVERY_S = 5.0
PRUNE_EVERY_S = 600.0

log = logging.getLogger(__name__)


class Watch(msgspec.Struct, frozen=True, tag_field="t", tag="watch"):
    """The page shows this bed's waves; null: none."""

    bed: str | None


class Sounded(msgspec.Struct, frozen=True, tag_field="t", tag="sounded"):
    """The page began to sound alarm event `seq`."""

    seq: Annotated[int, msgspec.Meta(ge=1, le=2**63 - 1)]


class SoundIs(msgspec.Struct, frozen=True, tag_field="t", tag="sound"):
    """Whether the page can be heard."""

    state: Literal["on", "blocked"]


decode_page_message = msgspec.json.Decoder(Watch | Sounded | SoundIs).decode


class Console:
    """Everything behind one console. `publisher` stands in for the broker where there is none."""

    def __init__(self, settings: Settings, publisher: Publisher | None = None) -> None:
        """Opens the store. Raises SchemaTooNew, sqlalchemy.exc.DBAPIError."""
        self.settings = settings
        self.store = Store(settings.database)
        self.ward = Ward()
        self.feed = Feed()
        self.link = Link(settings)
        self.publisher: Publisher = publisher or self.link
        self.commands = CommandClient(settings, self.store, self.ward, self.publisher)
        self.ingest = Ingest(settings, self.store, self.ward, self.feed, self.commands.answered)
        self._console_part = Part(True, settings.now())
        self._sound_part = Part(False, settings.now(), "no page with sound")
        self._said: object = None
        self.crashed: str | None = None  # our own bug: the process is about to end

    async def load(self) -> None:
        """Reads back what the last run stored. Raises StoreBroken."""
        self.ingest.cursor = await self.store.read(events.cursor_of, self.settings.edge)
        self.ward.names.update(await self.store.read(patients.names))

    async def run(self) -> None:
        """Works until cancelled; ends by itself only through a bug of ours, as an ExceptionGroup."""
        async with asyncio.TaskGroup() as tasks:
            if self.publisher is self.link:
                tasks.create_task(self.link.run(self.ingest), name="link")
            tasks.create_task(self.ingest.store_events(), name="store events")
            tasks.create_task(self._acknowledge(), name="acknowledge")
            tasks.create_task(self._beat(), name="beat")
            tasks.create_task(self._housekeeping(), name="housekeeping")

    # --- what is told to the edge -------------------------------------------------------------------------------------

    async def _acknowledge(self) -> None:
        """At once when more is stored, and every HEARTBEAT_S real seconds, for it is our heartbeat too."""
        while True:
            try:
                async with asyncio.timeout(HEARTBEAT_S):
                    await self.ingest.ack_due.wait()
            except TimeoutError:
                pass  # nothing new: the heartbeat is due
            self.ingest.ack_due.clear()
            await self.acknowledge()

    async def acknowledge(self) -> None:
        """Publishes how far is stored; without a broker nothing happens, and the next one says it."""
        try:
            topic = ack_topic(self.settings.edge, self.settings.name)
            ack = msgspec.structs.replace(self.ingest.ack(), run=self.link.run_id or None)
            await self.publisher.publish(topic, encode_payload(ack))
        except NotConnected:
            return

    # --- what is told to the pages ------------------------------------------------------------------------------------

    async def _beat(self) -> None:
        """Every BEAT_S real seconds, and at once when a part of health changes."""
        loop = asyncio.get_running_loop()
        next_s = loop.time()
        while True:
            due = False
            try:
                async with asyncio.timeout_at(next_s):
                    await self.ingest.health_changed.wait()
            except TimeoutError:
                due = True
                next_s = max(next_s + BEAT_S, loop.time())
            self.ingest.health_changed.clear()
            self.ingest.tick()
            self.beat_if(due)

    def beat_if(self, due: bool) -> None:
        """Beats where it is `due` or a part of health has changed since the last beat."""
        hops = self.health()
        changed = [(name, hop["ok"], hop.get("reason")) for name, hop in hops.items()]
        if due or changed != self._said:
            self._said = changed
            self.feed.publish(self.beat())

    def health(self) -> dict[str, dict[str, Any]]:
        """Every part of health as the page gets it (`hops` in JSON)."""
        now_s = self.settings.now()
        ingest = self.ingest
        broken = self.crashed or self.store.broken
        self._console_part = self._console_part.changed(broken is None, now_s, broken)
        audible = self.feed.audible()
        self._sound_part = self._sound_part.changed(audible, now_s, None if audible else "no page with sound")
        loop_s = asyncio.get_running_loop().time()
        edge = ingest.heartbeat.part.as_json() | {"age_s": ingest.heartbeat.age_s(loop_s)}
        console = self._console_part.as_json() | {
            "stored": ingest.cursor.seq, "gap": ingest.cursor.gap, "refused": ingest.refused}
        if ingest.last_refusal is not None:
            console["last_refusal"] = ingest.last_refusal
        return {"broker": ingest.broker.as_json(), "edge": edge, "console": console,
                "sound": self._sound_part.as_json()}

    def beat(self) -> str:
        """The beat as it is now."""
        return encode({"t": "beat", "at": iso(self.settings.now()), "hops": self.health()})

    def simulated(self) -> bool:
        """Whether anything of what is shown is simulated."""
        last = self.ingest.heartbeat.last
        return self.settings.simulated or (last is not None and last.simulated)

    def hello(self, user: User) -> str:
        """What a page hears first."""
        settings = self.settings
        return encode({
            "t": "hello", "now": iso(settings.now()), "speed": settings.speed, "edge": settings.edge,
            "simulated": self.simulated(), "user": {"name": user.name, "role": user.role}, "beds": self.ward.beds()})

    def join(self, user: User) -> Page:
        """A new page, with hello, each bed's last state and vitals, and a beat waiting for it."""
        first = [self.hello(user)]
        heartbeat = self.ingest.heartbeat
        for bed in self.ward.beds():
            state = self.ward.state_json(bed, heartbeat.part.ok, heartbeat.boot)
            vitals = self.ward.vitals_json(bed)
            first += [] if state is None else [encode({**state, "t": "state"})]
            first += [] if vitals is None else [encode({**vitals, "t": "vitals"})]
        return self.feed.join(user, [*first, self.beat()])

    def leave(self, page: Page) -> None:
        """The page is gone, and its sound with it."""
        self.feed.leave(page)
        self.ingest.health_changed.set()

    # --- what a page says ---------------------------------------------------------------------------------------------

    async def receive_from_page(self, page: Page, text: str) -> bool:
        """One message of a page; False where it is none of ours and the page is to be cut."""
        try:
            said = decode_page_message(text)
        except (msgspec.MsgspecError, RecursionError):
            return False
        if isinstance(said, Watch):
            page.watching = said.bed
        elif isinstance(said, SoundIs):
            await self._receive_sound(page, said.state)
        else:
            await self._receive_sounded(page, said.seq)
        return True

    async def _receive_sound(self, page: Page, state: Sound) -> None:
        if page.sound == state:
            return
        page.sound = state
        self.ingest.health_changed.set()
        await self._note(page.user, f"sound {state}")

    async def _receive_sounded(self, page: Page, seq: int) -> None:
        if not page.first_sounded(seq):
            return
        try:
            known = await self.ingest.sounded(seq)
        except StoreBroken:
            self.ingest.health_changed.set()
            return
        await self._note(page.user, "sounded" if known else "sounded unknown", seq=seq)

    async def _note(self, user: User, what: str, **detail: Any) -> None:
        try:
            await self.store.run(audit.add, self.settings.now(), user.name, what, None, **detail)
        except StoreBroken:
            self.ingest.health_changed.set()

    # --- housekeeping -------------------------------------------------------------------------------------------------

    async def _housekeeping(self) -> None:
        """Trends to the store each second, ended logins off the feed, old trends out."""
        loop = asyncio.get_running_loop()
        sessions_s = pruned_s = -math.inf
        while True:
            await asyncio.sleep(1.0)
            await self.ingest.store_history()
            try:
                if self.store.broken is not None:
                    await self.store.run(probe)  # a write that heals nothing but shows that the world is healed
                if loop.time() - sessions_s >= SESSIONS_EVERY_S:
                    sessions_s = loop.time()
                    await self.end_sessions()
                if loop.time() - pruned_s >= PRUNE_EVERY_S:
                    pruned_s = loop.time()
                    oldest_s = self.settings.now() - history.KEEP_S
                    await self.store.run(history.prune, self.ward.beds(), oldest_s)
            except StoreBroken:
                self.ingest.health_changed.set()

    async def end_sessions(self) -> None:
        """Cuts the pages whose login has ended. Raises StoreBroken."""
        keys = self.feed.keys()
        if keys:
            holding = await self.store.read(accounts.valid_sessions, keys, self.settings.now())
            self.feed.end_sessions(keys - holding)
