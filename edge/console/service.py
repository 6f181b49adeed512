"""The console at work: its tasks, its beat, and what a page is told and may say."""

from __future__ import annotations

import asyncio
import logging
import math
from typing import Annotated, Any, Literal

import msgspec

from edge.console import accounts, audit, events, history, patients
from edge.console.accounts import User
from edge.console.commands import Commander
from edge.console.feed import Feed, Page, Sound, encode
from edge.console.hops import Hop
from edge.console.intake import Intake
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
        self.commander = Commander(settings, self.store, self.ward, self.publisher)
        self.intake = Intake(settings, self.store, self.ward, self.feed, self.commander.answered)
        self._console_hop = Hop(True, settings.now())
        self._sound_hop = Hop(False, settings.now(), "no page with sound")
        self._said: object = None
        self.crashed: str | None = None  # our own bug: the process is about to end

    async def load(self) -> None:
        """Reads back what the last run stored. Raises StoreBroken."""
        self.intake.cursor = await self.store.read(events.cursor_of, self.settings.edge)
        self.ward.names.update(await self.store.read(patients.names))

    async def run(self) -> None:
        """Works until cancelled; ends by itself only through a bug of ours, as an ExceptionGroup."""
        async with asyncio.TaskGroup() as tasks:
            if self.publisher is self.link:
                tasks.create_task(self.link.run(self.intake), name="link")
            tasks.create_task(self.intake.keep_events(), name="keep events")
            tasks.create_task(self._acknowledge(), name="acknowledge")
            tasks.create_task(self._beat(), name="beat")
            tasks.create_task(self._keep_house(), name="keep house")

    # --- what is told to the edge -------------------------------------------------------------------------------------

    async def _acknowledge(self) -> None:
        """At once when more is stored, and every HEARTBEAT_S real seconds, for it is our heartbeat too."""
        while True:
            try:
                async with asyncio.timeout(HEARTBEAT_S):
                    await self.intake.ack_due.wait()
            except TimeoutError:
                pass  # nothing new: the heartbeat is due
            self.intake.ack_due.clear()
            await self.acknowledge()

    async def acknowledge(self) -> None:
        """Publishes how far is stored; without a broker nothing happens, and the next one says it."""
        try:
            topic = ack_topic(self.settings.edge, self.settings.name)
            ack = msgspec.structs.replace(self.intake.ack(), run=self.link.run_id or None)
            await self.publisher.publish(topic, encode_payload(ack))
        except NotConnected:
            return

    # --- what is told to the pages ------------------------------------------------------------------------------------

    async def _beat(self) -> None:
        """Every BEAT_S real seconds, and at once when a hop turns."""
        loop = asyncio.get_running_loop()
        next_s = loop.time()
        while True:
            due = False
            try:
                async with asyncio.timeout_at(next_s):
                    await self.intake.hops_changed.wait()
            except TimeoutError:
                due = True
                next_s = max(next_s + BEAT_S, loop.time())
            self.intake.hops_changed.clear()
            self.intake.tick()
            self.beat_if(due)

    def beat_if(self, due: bool) -> None:
        """Beats where it is `due` or a hop has turned since the last beat."""
        hops = self.hops()
        turned = [(name, hop["ok"], hop.get("reason")) for name, hop in hops.items()]
        if due or turned != self._said:
            self._said = turned
            self.feed.publish(self.beat())

    def hops(self) -> dict[str, dict[str, Any]]:
        """All hops as the page gets them."""
        house_s = self.settings.now()
        intake = self.intake
        broken = self.crashed or self.store.broken
        self._console_hop = self._console_hop.turned(broken is None, house_s, broken)
        audible = self.feed.audible()
        self._sound_hop = self._sound_hop.turned(audible, house_s, None if audible else "no page with sound")
        loop_s = asyncio.get_running_loop().time()
        edge = intake.watch.hop.said() | {"age_s": intake.watch.age_s(loop_s)}
        console = self._console_hop.said() | {
            "stored": intake.cursor.seq, "gap": intake.cursor.gap, "refused": intake.refused}
        if intake.last_refusal is not None:
            console["last_refusal"] = intake.last_refusal
        return {"broker": intake.broker.said(), "edge": edge, "console": console, "sound": self._sound_hop.said()}

    def beat(self) -> str:
        """The beat as it is now."""
        return encode({"t": "beat", "at": iso(self.settings.now()), "hops": self.hops()})

    def simulated(self) -> bool:
        """Whether anything of what is shown is simulated."""
        last = self.intake.watch.last
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
        watch = self.intake.watch
        for bed in self.ward.beds():
            state = self.ward.said_state(bed, watch.hop.ok, watch.boot)
            vitals = self.ward.said_vitals(bed)
            first += [] if state is None else [encode({**state, "t": "state"})]
            first += [] if vitals is None else [encode({**vitals, "t": "vitals"})]
        return self.feed.join(user, [*first, self.beat()])

    def leave(self, page: Page) -> None:
        """The page is gone, and its sound with it."""
        self.feed.leave(page)
        self.intake.hops_changed.set()

    # --- what a page says ---------------------------------------------------------------------------------------------

    async def hear_page(self, page: Page, text: str) -> bool:
        """One message of a page; False where it is none of ours and the page is to be cut."""
        try:
            said = decode_page_message(text)
        except (msgspec.MsgspecError, RecursionError):
            return False
        if isinstance(said, Watch):
            page.watching = said.bed
        elif isinstance(said, SoundIs):
            await self._hear_sound(page, said.state)
        else:
            await self._hear_sounded(page, said.seq)
        return True

    async def _hear_sound(self, page: Page, state: Sound) -> None:
        if page.sound == state:
            return
        page.sound = state
        self.intake.hops_changed.set()
        await self._note(page.user, f"sound {state}")

    async def _hear_sounded(self, page: Page, seq: int) -> None:
        if not page.first_sounding(seq):
            return
        try:
            known = await self.intake.sounded(seq)
        except StoreBroken:
            self.intake.hops_changed.set()
            return
        await self._note(page.user, "sounded" if known else "sounded unknown", seq=seq)

    async def _note(self, user: User, what: str, **detail: Any) -> None:
        try:
            await self.store.run(audit.note, self.settings.now(), user.name, what, None, **detail)
        except StoreBroken:
            self.intake.hops_changed.set()

    # --- housekeeping -------------------------------------------------------------------------------------------------

    async def _keep_house(self) -> None:
        """Trends to the store each second, ended logins off the feed, old trends out."""
        loop = asyncio.get_running_loop()
        sessions_s = pruned_s = -math.inf
        while True:
            await asyncio.sleep(1.0)
            await self.intake.keep_history()
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
                self.intake.hops_changed.set()

    async def end_sessions(self) -> None:
        """Cuts the pages whose login has ended. Raises StoreBroken."""
        keys = self.feed.keys()
        if keys:
            holding = await self.store.read(accounts.alive, keys, self.settings.now())
            self.feed.end_sessions(keys - holding)
