"""The console at work: its tasks, its beat, and the messages to and from a page."""

from __future__ import annotations

import asyncio
import logging
import math
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from typing import Annotated, Any, Literal

import msgspec

from edge import points
from edge.console import accounts, audit, history, patients, troubles
from edge.console.access import Access
from edge.console.accounts import User
from edge.console.command_client import CommandClient
from edge.console.feed import Feed, Page, Sound, encode
from edge.console.health import Json, Part, Trouble, together, troubles_json
from edge.console.ingest import Ingest
from edge.console.link import Link, NotConnected, Publisher
from edge.console.lost_events import LostEvents
from edge.console.pace import Pace
from edge.console.pages import build
from edge.console.settings import Settings
from edge.console.store import Store, StoreBroken
from edge.console.turns import Turns
from edge.console.without_patient import sees_patients
from edge.contract.keys import Count
from edge.contract.payloads import HEARTBEAT_S, ack_topic
from edge.contract.payloads import encode as encode_payload
from edge.contract.signing import Signer
from edge.model import iso

BEAT_S = 1.0  # real seconds
SESSIONS_EVERY_S = 5.0
PRUNE_EVERY_S = 600.0
SEEN_EVERY_S = 60.0
PING_EVERY_S = 5.0
REMEMBER_EVERY_S = 30.0
READING, MAX_WAITING_READS = 2, 40  # trends and event lists read at once, and waiting of one account

log = logging.getLogger(__name__)


def vigil_version() -> str:
    """The version of this installation; "0" where it is run from a folder that was never installed."""
    try:
        return version("vigil")
    except PackageNotFoundError:
        return "0"


class Watch(msgspec.Struct, frozen=True, tag_field="t", tag="watch"):
    """The page shows this bed's waves; null: none. `edge` may be left out where there is one."""

    bed: str | None
    edge: str | None = None


class Sounded(msgspec.Struct, frozen=True, tag_field="t", tag="sounded"):
    """The page began to sound alarm event `seq` of `edge`, which may be left out where there is one."""

    seq: Annotated[int, msgspec.Meta(ge=1, le=2**63 - 1)]
    edge: str | None = None


class SoundIs(msgspec.Struct, frozen=True, tag_field="t", tag="sound"):
    """Whether the page's sound is on."""

    state: Literal["on", "blocked"]


decode_page_message = msgspec.json.Decoder(Watch | Sounded | SoundIs).decode


class Console:
    """Everything behind one console. `publisher` stands in for the broker where there is none."""

    def __init__(self, settings: Settings, publisher: Publisher | None = None) -> None:
        """Opens the store. Raises SchemaTooNew, sqlalchemy.exc.DBAPIError."""
        self.settings = settings
        self.store = Store(settings.database, serves=settings.now, accounts=settings.account_copy)
        self.access = Access(self.store, settings.account_copy, settings.now)
        self._renewed = self.store.renewed
        self.feed = Feed()
        self.pace = Pace()
        self.reading = Turns(READING, MAX_WAITING_READS)  # of what takes the store long, by account
        self.version = vigil_version()
        self.patients: dict[str, str] = {}  # session id -> name
        self.health_changed = asyncio.Event()
        self.signer = Signer(settings.signing_key, Count(settings.data / "console.count", settings.now()))
        self.links = {} if publisher else {edge: Link(settings, edge, self.signer) for edge in settings.edges}
        self.edges: dict[str, Ingest] = {}
        self.commands = CommandClient(settings, self.access, self.patients, self.edges, self.signer)
        for edge in settings.edges:
            self.edges[edge] = Ingest(edge, settings, self.store, self.feed, self.patients, self.commands.answered,
                                      self.health_changed, publisher or self.links[edge])
        self._console_part = Part(True, settings.now())
        self._sound_part = Part(False, settings.now(), "no page with sound")
        self._said: object = None
        self._seen: set[str] = set()  # web sessions whose pages were on the feed when that was last stored
        self._seen_loop_s = -math.inf
        self.crashed: str | None = None  # our own bug: the process is about to end

    async def load(self) -> None:
        """Reads back what the last run stored. What cannot be read now is read when the store works."""
        await self.access.load()
        with suppress(StoreBroken):
            await self._load_stored()

    async def _load_stored(self) -> None:
        for ingest in self.edges.values():
            await ingest.load()
        self.patients.update(await self.store.read(patients.names))

    async def run(self) -> None:
        """Works until cancelled; ends by itself only through a bug of ours, as an ExceptionGroup."""
        async with asyncio.TaskGroup() as tasks:
            for edge, ingest in self.edges.items():
                if edge in self.links:
                    tasks.create_task(self.links[edge].run(ingest), name=f"link to {edge}")
                tasks.create_task(ingest.store_events(), name=f"store events of {edge}")
                tasks.create_task(self._acknowledge(ingest), name=f"acknowledge to {edge}")
                tasks.create_task(self._prove_commands(ingest), name=f"prove commands to {edge}")
            tasks.create_task(self._beat(), name="beat")
            tasks.create_task(self._housekeeping(), name="housekeeping")

    # --- acknowledgements to the edge ---------------------------------------------------------------------------------

    async def _acknowledge(self, ingest: Ingest) -> None:
        """At once when more is stored, and every HEARTBEAT_S real seconds, for it is our heartbeat too."""
        while True:
            try:
                async with asyncio.timeout(HEARTBEAT_S):
                    await ingest.ack_due.wait()
            except TimeoutError:
                pass  # nothing new: the heartbeat is due
            ingest.ack_due.clear()
            await self.acknowledge(ingest.edge)

    async def acknowledge(self, edge: str) -> None:
        """Tells `edge` how far it is stored; without a broker nothing happens, and the next one says it."""
        link = self.links.get(edge)
        try:
            ack = msgspec.structs.replace(self.edges[edge].ack(), run=link.run_id if link and link.run_id else None)
            topic = ack_topic(edge, self.settings.name)
            await self.edges[edge].publisher.publish(topic, self.signer.sign(topic, encode_payload(ack)))
            points.reached("console_after_ack")
        except NotConnected:
            return

    async def _prove_commands(self, ingest: Ingest) -> None:
        """Asks the edge, as a command is asked, for nothing: whether commands get through is known before one is
        needed."""
        lost = LostEvents(ingest, self.store, self.commands.offer)
        while True:
            await asyncio.sleep(PING_EVERY_S)
            if ingest.broker.ok and ingest.heartbeat.part.ok:
                why = await self.commands.ping(ingest.edge)
                ingest.commands = ingest.commands.changed(why is None, self.settings.now(), why)
                self.health_changed.set()
                if why is None:
                    with suppress(StoreBroken):  # the screens say so
                        await lost.offer()

    # --- messages to the pages ----------------------------------------------------------------------------------------

    async def _beat(self) -> None:
        """Every BEAT_S real seconds, and at once when a part of health changes."""
        loop = asyncio.get_running_loop()
        next_s = loop.time()
        while True:
            due = False
            try:
                async with asyncio.timeout_at(next_s):
                    await self.health_changed.wait()
            except TimeoutError:
                due = True
                next_s = max(next_s + BEAT_S, loop.time())
            self.health_changed.clear()
            for ingest in self.edges.values():
                ingest.tick()
            self.beat_if(due)

    def beat_if(self, due: bool) -> None:
        """Beats where it is `due` or a part of health has changed since the last beat."""
        hops = self.health()
        changed = [(name, hop["ok"], hop.get("reason")) for name, hop in hops.items()]
        if due or changed != self._said:
            self._said = changed
            self.feed.publish(self.beat())

    def health(self) -> Json:
        """Every part as the page gets it (`hops` in JSON), each that edges have of their own taken together."""
        now_s = self.settings.now()
        broken = self.crashed or self.store.broken
        self._console_part = self._console_part.changed(broken is None, now_s, broken)
        audible = self.feed.audible()
        self._sound_part = self._sound_part.changed(audible, now_s, None if audible else "no page with sound")
        every = self.edges
        loop_s = asyncio.get_running_loop().time()
        ages = [ingest.heartbeat.age_s(loop_s) for ingest in every.values()]
        edge = together({name: ingest.heartbeat.part for name, ingest in every.items()}).as_json()
        console = self._console_part.as_json() | {
            "stored": min((ingest.cursor.seq for ingest in every.values()), default=0),
            "gap": any(ingest.cursor.gap for ingest in every.values()),
            "refused": sum(ingest.refused for ingest in every.values())}
        last = next((ingest.last_refusal for ingest in every.values() if ingest.last_refusal), None)
        return {
            "broker": together({name: ingest.broker for name, ingest in every.items()}).as_json(),
            "edge": edge | {"age_s": None if None in ages else max((age for age in ages if age), default=0.0)},
            "record": together({name: ingest.judge_record() for name, ingest in every.items()}).as_json(),
            "console": console if last is None else console | {"last_refusal": last},
            "sound": self._sound_part.as_json() | {"boxes": {
                name: "unknown" if last is None or last.sounder is None else last.sounder.state
                for name, last in ((name, ingest.heartbeat.last) for name, ingest in every.items())}}}

    def edges_json(self) -> Json:
        """Each edge: its clock, how far that differs from this console's (real seconds), and its parts."""
        loop_s = asyncio.get_running_loop().time()
        return {name: {
            "at": iso(ingest.now_s()), "skew_s": ingest.heartbeat.clock.skew_s(self.settings.speed),
            "broker": ingest.broker.as_json(),
            "edge": ingest.heartbeat.part.as_json() | {"age_s": ingest.heartbeat.age_s(loop_s)},
            "record": ingest.judge_record().as_json(), "commands": ingest.commands.as_json(),
            "refused": dict(ingest.trust.refused),
        } for name, ingest in self.edges.items()}

    def beat(self) -> str:
        """The beat as it is now."""
        return encode({"t": "beat", "at": iso(self.settings.now()), "hops": self.health(), "edges": self.edges_json(),
                       "health": troubles_json(self.troubles())})

    def troubles(self) -> list[Trouble]:
        """Everything that is wrong now."""
        loop_s, now_s, speed = asyncio.get_running_loop().time(), self.settings.now(), self.settings.speed
        found = [trouble for ingest in self.edges.values()
                 for trouble in troubles.of_edge(ingest, loop_s, now_s, speed)]
        broken = self.store.broken
        found = [*troubles.of_aside(self.store.aside), *troubles.of_audit(self.store.lost_lines, now_s),
                 *troubles.of_accounts(self.access, now_s), *self.pace.troubles(loop_s), *found]
        return found if broken is None else [troubles.of_store(broken, self._console_part.since_s, self.access), *found]

    def simulated(self) -> bool:
        """Whether anything of what is shown is simulated."""
        statuses = [ingest.heartbeat.last for ingest in self.edges.values()]
        return self.settings.simulated or any(last is not None and last.simulated for last in statuses)

    def ward(self) -> list[tuple[str, str]]:
        """Every bed as (edge, bed), in the order of console.toml and of each edge."""
        return [(name, bed) for name, ingest in self.edges.items() for bed in ingest.beds.ids()]

    def hello(self, user: User) -> str:
        """The first message to a page."""
        settings = self.settings
        return encode({
            "t": "hello", "now": iso(settings.now()), "speed": settings.speed, "edge": settings.edges[0],
            "edges": settings.edges, "version": self.version, "build": build(),
            "simulated": self.simulated(), "user": {"name": user.name, "role": user.role},
            "beds": list(dict.fromkeys(bed for _, bed in self.ward())),
            "ward": [{"edge": edge, "bed": bed, "name": bed} for edge, bed in self.ward()]})

    def join(self, user: User) -> Page:
        """A new page, with hello, each bed's last state and vitals, and a beat waiting for it."""
        first = [self.hello(user)]
        for edge, ingest in self.edges.items():
            first += [encode(ingest.heartbeat.protocols_json(edge))] if ingest.heartbeat.protocols else []
        for edge, bed in self.ward():
            state = self.edges[edge].state_json(bed, sees_patients(user.role))
            vitals = self.edges[edge].beds.vitals_json(bed)
            first += [] if state is None else [encode({**state, "t": "state"})]
            first += [] if vitals is None else [encode({**vitals, "t": "vitals"})]
        return self.feed.join(user, [*first, self.beat()])

    def leave(self, page: Page) -> None:
        """The page is gone, and its sound with it."""
        self.feed.leave(page)
        self.health_changed.set()

    # --- messages from a page -----------------------------------------------------------------------------------------

    async def receive_from_page(self, page: Page, text: str) -> bool:
        """One message of a page; False where it is none of ours and the page is to be cut."""
        try:
            said = decode_page_message(text)
        except (msgspec.MsgspecError, RecursionError):
            return False
        if isinstance(said, Watch):
            page.watching = (said.edge or self.settings.edges[0], said.bed) if said.bed else None
        elif isinstance(said, SoundIs):
            await self._receive_sound(page, said.state)
        else:
            await self._receive_sounded(page, said.edge or self.settings.edges[0], said.seq)
        return True

    async def _receive_sound(self, page: Page, state: Sound) -> None:
        if page.sound == state:
            return
        page.sound = state
        self.health_changed.set()
        if self.pace.may_note(page.user, asyncio.get_running_loop().time()):
            await self._note(page.user, f"sound {state}")

    async def _receive_sounded(self, page: Page, edge: str, seq: int) -> None:
        if edge not in self.edges or not page.first_sounded(edge, seq):
            return
        if not page.sounds:
            await self._note(page.user, "sounded refused", edge, seq=seq)
            return
        try:
            known = await self.edges[edge].sounded(seq)
        except StoreBroken:
            self.health_changed.set()
            return
        await self._note(page.user, "sounded" if known else "sounded unknown", edge, seq=seq)

    async def _note(self, user: User, what: str, edge: str | None = None, **detail: Any) -> None:
        await self.access.note(audit.add, self.settings.now(), user.name, what, edge, None, **detail)

    # --- housekeeping -------------------------------------------------------------------------------------------------

    async def _housekeeping(self) -> None:
        """Trends to the store each second, ended logins off the feed, old trends out."""
        loop = asyncio.get_running_loop()
        sessions_s = pruned_s = remembered_s = -math.inf
        while True:
            await asyncio.sleep(1.0)
            for ingest in self.edges.values():
                await ingest.store_history()
            try:
                await self.store.look()
                if self.store.broken is not None:
                    await self.store.mend()
                for ingest in self.edges.values():
                    await ingest.check_record()
                await self._read_again()
                await self.access.catch_up()
                remember = loop.time() - remembered_s >= REMEMBER_EVERY_S
                remembered_s = loop.time() if remember else remembered_s
                for ingest in self.edges.values():
                    if remember or ingest.memory_due:
                        await ingest.store_memory()
                if loop.time() - sessions_s >= SESSIONS_EVERY_S:
                    sessions_s = loop.time()
                    await self.end_sessions()
                    await self.access.look()
                    await self.take_names()
                if loop.time() - pruned_s >= PRUNE_EVERY_S:
                    pruned_s = loop.time()
                    for edge, ingest in self.edges.items():
                        await self.store.run(history.prune, edge, ingest.beds.ids(), ingest.now_s() - history.KEEP_S)
            except StoreBroken:
                self.health_changed.set()

    async def _read_again(self) -> None:
        """The store was begun anew, or is another one: how far each edge is stored in it, and what is to be in it.
        Raises StoreBroken."""
        if self.store.renewed == self._renewed:
            return
        for ingest in self.edges.values():
            if ingest.trust.memory.boot:
                await ingest.store_memory()
                if ingest.memory_due:  # it could not be stored: it is worth more than what the new store has of it
                    return
        await self._put_names_back()
        await self._load_stored()
        for ingest in self.edges.values():
            ingest.ack_due.set()
        self._renewed = self.store.renewed

    async def _put_names_back(self) -> None:
        """Who lies at each bed now, which a store that was begun anew may have lost. Raises StoreBroken."""
        known = await self.store.read(patients.names)
        for edge, bed in self.ward():
            session, _ = self.edges[edge].beds.moved(bed)
            if (name := self.patients.get(session)) is not None and session not in known:
                await self.store.run(patients.name_session, session, edge, bed, name, self.settings.now())

    async def take_names(self) -> None:
        """Patients named at another console over the same database. Raises StoreBroken."""
        if not self.store.shared:
            return
        told = {session: name for session, name in (await self.store.read(patients.names)).items()
                if self.patients.get(session) != name}
        self.patients.update(told)
        for ingest in self.edges.values() if told else ():
            for bed in ingest.beds.ids():
                ingest.publish_state(bed)

    async def end_sessions(self) -> None:
        """Cuts the pages whose login has ended."""
        keys = self.feed.keys()
        if keys:
            now_s, linger_s = self.settings.now(), self.settings.real(accounts.LINGER_S)
            holding = await self.access.ask(accounts.valid_sessions, keys, now_s, linger_s)
            self.feed.end_sessions(keys - holding)
            loop_s = asyncio.get_running_loop().time()
            if holding and (holding != self._seen or loop_s - self._seen_loop_s >= SEEN_EVERY_S):
                self._seen, self._seen_loop_s = holding, loop_s
                await self.access.put(accounts.seen, holding, now_s)
