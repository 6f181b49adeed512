"""The edge service, wired: devices -> bedsides -> journal -> stream. The one place where all rooms meet.

    a frame     bedside.apply, journal.record and journal.append on the stack that read it: no queue before judgement
    events      published when the journal says they are stored, not before; so is the state they make
    no disk     the one exception: what cannot be stored is kept in memory, published as unstored, and alarmed
    ticks       every edge second a bed, spread over the second so that many beds never make one long pause
    crash       each bed is taken up from its newest snapshot and the inputs after it; the gap is an event
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Mapping, Sequence
from functools import partial
from typing import Any

import msgspec
from nacl.signing import VerifyKey

from drivers.contract import Spec, Wave
from edge.app import beds
from edge.app.anchor import Anchor
from edge.app.hearing import Hearing
from edge.app.keeping import KEEP_EVERY_S, BedAtWork, Keeper
from edge.app.lines import FRAMES
from edge.app.moves import Moves
from edge.app.offered import Offered
from edge.app.pulse import Pause, Pulse
from edge.app.recovery import Recovered
from edge.app.refusals import Refusals, event_of
from edge.app.skew import Skew
from edge.app.sounder import Sounder, port_of
from edge.app.storage import Storage
from edge.app.systemd import Systemd
from edge.app.telemetry import Telemetry
from edge.app.workbench import Workbench
from edge.clock import EdgeClock
from edge.config.changes import Changes
from edge.config.files import BedTable, DeviceTable, EdgeConfig
from edge.contract.box_verbs import BOX_VERBS
from edge.contract.commands import OFFER, DeviceBack, MoveSession
from edge.contract.events import (
    BrokerMoved,
    ClockStepped,
    CommandRefused,
    CommandRejected,
    ConsoleMoved,
    Event,
    EventBody,
    PendingEvent,
)
from edge.contract.mqtt import Mqtt
from edge.contract.payloads import Ack, Answer, CommandIn, ConsoleSeen, ReloadNow, State, Status
from edge.contract.signing import Signer
from edge.core import views
from edge.core.flood import Floods, wires
from edge.core.protocol import Protocols
from edge.core.rules import RuleSet
from edge.field.devices import Devices, Tasks
from edge.field.port_names import unsure
from edge.journal.journal import Journal
from edge.journal.outage import Appended
from edge.journal.outbox import Outbox
from edge.model import (
    Boot,
    ClockSkewed,
    Command,
    DeviceAlarmsReported,
    Input,
    Tick,
    WatchPaused,
    from_iso,
    iso,
)
from edge.stream.faults import StreamFault
from edge.stream.publisher import Stream
from edge.stream.verifier import CommandVerifier, Refusal

log = logging.getLogger(__name__)

TICK_S = 1.0  # edge seconds
SLICE_S = 0.02  # real seconds: how finely the beds' ticks are spread
SNAPSHOT_EVERY_S = 30.0  # real seconds: a restart replays at most so much
FLUSH_S = 0.5
ALIVE_EVERY_S = 1.0  # real seconds: systemd's watchdog waits ten
NONCE_KEPT_S = 600.0


class EdgeService:
    """One edge. `tasks` are what the supervisor runs; when one fails the process ends and is started again."""

    def __init__(
        self, config: EdgeConfig, rules: RuleSet, rules_text: str, specs: Mapping[str, Spec], *, clock: EdgeClock,
        journal: Journal, recovered: Recovered, boot: str, version: str, config_hash: str, key: bytes, mqtt: Mqtt,
        signer: Signer, console_keys: Mapping[str, VerifyKey], protocols: Protocols | None = None,
        protocols_text: str = "",
    ) -> None:
        self._config, self._clock, self._journal, self._boot = config, clock, journal, boot
        self._about, self._protocols = (version, config_hash), protocols
        self._began_s = clock.now()
        self._sent_seq = journal.head.seq
        self._loop = asyncio.get_running_loop()
        self._devices = Devices(now=clock.now, speed=config.edge.speed, in_use=self.in_session)
        self._broken: asyncio.Future[None] = self._loop.create_future()
        self._refusals = Refusals()
        verifier = CommandVerifier(key, config.edge.id, console_keys)
        verifier.remember(recovered.nonces, self._began_s + NONCE_KEPT_S)
        self._stream = Stream(
            mqtt, edge=config.edge.id, boot=boot, status=self._status, outbox=Outbox(journal), signer=signer,
            consoles=config.edge.consoles, console_keys=console_keys, verifier=verifier, on_command=self._command,
            now=clock.now, on_refused=self._refused, on_consoles_changed=self._console_changed,
            on_broker_changed=self._broker_changed, on_fault=self._stream_fault, on_acked=self._acked)
        # Simulated patients need nobody to hear them, unless somebody tries just that.
        self._hearing = Hearing(config.edge.consoles, (bed.id for bed in config.bed), clock.real_s(),
                                confirms=not config.edge.simulated or config.sounder is not None)
        self._skew = Skew()
        self._anchor = Anchor(config.anchor, config.edge.id, journal, partial(signer.sign_hash, config.edge.id),
                              now=clock.now, changed=self._stream.status_changed)
        self._offered = Offered(config.edge.id, journal, now=clock.now, note=self._note_all,
                                is_signed=partial(signer.has_signed, config.edge.id))
        self._sounder = Sounder(port_of(config.sounder), self._hearing.wanted, self._stream.status_changed)
        self._rules = rules
        self._floods = Floods(rules, lambda: (work.bedside.state for work in self._beds.values()))
        self._beds = {bed.id: self._bed(bed, specs, recovered) for bed in config.bed}
        self._moves = Moves(self._beds, self._devices, journal)
        self._keeper = Keeper(journal, self._beds, rules_text, protocols_text, self._began_s)
        self._storage = Storage(
            journal, self._beds, now=clock.now, real_s=clock.real_s, apply=self._apply, note=self._note,
            keep_all=self._keeper.keep_all, changed=self._stream.status_changed, placed=self._placed)
        self.workbench = Workbench(self._beds, self._stream.status_changed, config.edge.drivers, clock.now,
                                   accepted=config.edge.acceptance)
        self.reload: ReloadNow | None = None  # how edge.toml was last read again; the next heartbeat says it
        begun = journal.taken_begun()
        self._boot_beds(begun is not None or journal.unplaced)
        self._storage.watch(begun, recovered.damage)

    # --- the start ----------------------------------------------------------------------------------------------------

    def _bed(self, bed: BedTable, specs: Mapping[str, Spec], recovered: Recovered | None) -> BedAtWork:
        bedside = beds.bedside(bed, self._config.edge, specs, self._rules, self._protocols)
        if recovered is not None and bed.id in recovered.beds:
            bedside.restore(recovered.beds[bed.id].snapshot())
        edge = self._config.edge
        work = BedAtWork(bedside, Telemetry(edge.id, self._boot, edge.simulated, bedside, self._stream,
                                            now=self._clock.now, causes=self._floods.causes))
        for device in bed.device:
            self._add(device, specs, work)
        return work

    def _add(self, device: DeviceTable, specs: Mapping[str, Spec], work: BedAtWork) -> None:
        bed, telemetry, known = work.bedside.state.bed, work.telemetry, work.bedside.state.devices[device.id]
        dialogue = self._devices.add(
            bed, device.id, specs[device.spec], device.place, decoded=partial(self._decoded, bed),
            wave=partial(self._wave, bed, device.id), identity=device.identity, settings=device.settings,
            remembered=known.bound, may_stop=known.stops, asked=known.ask)
        dialogue.history.keep(FRAMES)
        self._floods.reached((bed, device.id), wires(device.place.path, device.place.host, device.place.port))
        telemetry.counters[device.id] = dialogue.counters
        telemetry.dialogues[device.id] = dialogue
        telemetry.places[device.id] = device.at, unsure(device.place.path)
        telemetry.specs[device.id] = device.spec

    async def reconfigure(self, found: Changes, specs: Mapping[str, Spec], tasks: Tasks, config_hash: str) -> None:
        """Go over to another edge.toml without a restart: what `found` names stops and starts, nothing else does."""
        for bed in found.closed:
            await self._close(bed, tasks)
        for bed, device in found.stopped:
            await self._devices.stop(bed, device, tasks)
            self._beds[bed].telemetry.counters.pop(device, None)
            self._beds[bed].telemetry.dialogues.pop(device, None)
        self._about = (self._about[0], config_hash)
        for table in found.beds:
            beds.reconfigure(self._beds[table.id].bedside, table, self._config.edge, specs)
        opened = {table.id: self._bed(table, specs, None) for table in found.opened}
        self._beds.update(opened)
        for bed in found.order:  # the same dict, in another order: others hold it
            self._beds[bed] = self._beds.pop(bed)
        self._hearing.watch(self._beds)
        at_s = self._clock.now()
        with self._keeper.another(at_s):
            for bed in opened:
                self._beds[bed].due_s = at_s + TICK_S
                self._apply(bed, Boot(self._boot, 0.0), at_s)
        self._storage.opened(opened)
        for bed, new in [*found.started, *((table.id, device) for table in found.opened for device in table.device)]:
            if bed not in opened:
                self._add(new, specs, self._beds[bed])
            self._devices.start(bed, new.id, tasks)

    async def _close(self, bed: str, tasks: Tasks) -> None:
        work = self._beds[bed]
        for device in list(work.telemetry.dialogues):
            await self._devices.stop(bed, device, tasks)
        del self._beds[bed]
        self._floods.changed()
        work.telemetry.close()
        self._stream.forget(bed)

    def read_again(self, again: ReloadNow) -> None:
        """How edge.toml was read again: the status says it."""
        self.reload = again
        self._stream.status_changed()

    def in_session(self, bed: str) -> bool:
        """Whether somebody is treated there."""
        return beds.treated(self._beds[bed].bedside.state)

    def _boot_beds(self, begun: bool) -> None:
        at_s, last_s = self._clock.now(), self._journal.head.at_s
        gap_s = round(at_s - last_s, 3) if last_s else 0.0
        with self._keeper.anew(at_s) if begun else self._keeper.another(at_s):
            for number, (bed, work) in enumerate(self._beds.items()):
                work.due_s = at_s + TICK_S * number / len(self._beds)
                self._apply(bed, Boot(self._boot, gap_s), at_s)

    def tasks(self) -> dict[str, Coroutine[Any, Any, None]]:
        """Everything that runs, by name."""
        return {"journal": self._watch(), "stream": self._stream.run(), "ticks": self._ticks(),
                "flush": self._flushes(), "workbench": self.workbench.run(), "cards": self.workbench.show(),
                "sounder": self._sounder.run(), "anchor": self._anchor.run(),
                **({} if self._config.edge.simulated else {"disk": self._storage.look_at_disk()}),  # no clinic's disk
                **self._devices.tasks()}

    # --- what comes in ------------------------------------------------------------------------------------------------

    def _decoded(self, bed: str, inputs: Sequence[Input], at_s: float, more: bool) -> None:
        devices = self._beds[bed].bedside.state.devices
        for given in inputs:
            if isinstance(given, DeviceAlarmsReported) and devices[given.device].alarms == given.alarms:
                continue  # repeated with every poll; nothing follows from it, so nothing needs to be kept
            self._apply(bed, given, at_s)
        self._beds[bed].telemetry.decoded(bool(inputs), more)

    def _wave(self, bed: str, device: str, wave: Wave, at_s: float) -> None:
        if self._beds[bed].bedside.state.devices[device].maintenance is None:
            self._beds[bed].telemetry.wave(device, wave, at_s)

    def _apply(self, bed: str, given: Input, at_s: float) -> Appended | None:
        work = self._beds[bed]
        # first: what it cannot bear must not be read again at every start
        pending_events = work.bedside.apply(given, at_s)
        work.last_n = self._journal.record(bed, at_s, given)
        return self._append([work], pending_events, at_s) if pending_events else None

    def _append(self, works: Sequence[BedAtWork], pending_events: Sequence[PendingEvent], at_s: float) -> Appended:
        """What followed at these beds."""
        appended = self._journal.append(pending_events)
        self._floods.changed()
        for work in works:
            work.bedside.numbered(appended.events)
            work.unstored += 1
        states = [(work, work.telemetry.state(at_s, appended.events[-1].seq)) for work in works]
        events = None if self._journal.unplaced else appended.events
        appended.stored.add_done_callback(partial(self._stored, states, events))
        return appended

    def _stored(self, states: Sequence[tuple[BedAtWork, State]], events: tuple[Event, ...] | None,
                stored: asyncio.Future[bool]) -> None:
        """`events` None: nobody knows their numbers yet; what they led to is shown all the same."""
        for work, _ in states:
            work.unstored -= 1
        if stored.cancelled() or (error := stored.exception()) is not None:
            if not self._broken.done() and not stored.cancelled():
                assert error is not None
                self._broken.set_exception(error)
            return
        if events is not None:
            self._sent_seq = max(self._sent_seq, events[-1].seq)
            self._stream.events(events)  # not stored while the store fails; the stream says so of each
        elif not self._journal.unplaced:  # now they do, and it was shown under them
            return
        for work, state in states:
            work.telemetry.send_state(state)
            self._hearing.bed(state, self._clock.real_s())

    def _placed(self, events: list[Event], more_n: int) -> None:
        """The journal is there at last: what came before has its numbers, and goes to the consoles as what is late."""
        self._sent_seq = self._journal.head.seq
        for work in self._beds.values():
            work.last_n += more_n
            work.bedside.numbered(events)
            work.telemetry.send_state(work.telemetry.state(self._clock.now(), self._sent_seq))
        self._stream.come_late(self._sent_seq)

    async def _command(self, sent: CommandIn) -> Answer:
        if sent.verb == OFFER:
            return await self._offered.take(sent)
        if sent.verb in BOX_VERBS:
            return self.workbench.obey(sent)
        work = self._beds.get(sent.bed)
        if work is None:
            beds = ", ".join(self._beds)
            return Answer(id=sent.id, ok=False, reason=f"unknown_bed: {sent.bed}; this edge has {beds}")
        at_s = self._clock.now()
        command = Command(
            sent.id, sent.console, sent.user, sent.role, sent.bed, sent.verb, sent.args, sent.nonce)
        moves = self._moves.move if sent.verb == MoveSession.verb else None
        appended = self._append(*moves(command, at_s), at_s) if moves else self._apply(sent.bed, command, at_s)
        assert appended is not None, "a command always leads to an event"
        await asyncio.shield(appended.stored)
        refused = next((body.reason for body in (event.body for event in appended.events)
                        if isinstance(body, CommandRefused)), None)
        if refused is None:
            if sent.verb == DeviceBack.verb:
                self._devices.confirm(sent.bed, str(sent.args.get("device")))
            return Answer(id=sent.id, ok=True)
        now = work.telemetry.state(at_s, self._journal.head.seq) if refused == "moved_on" else None
        return Answer(id=sent.id, ok=False, reason=refused, state=None if now is None else msgspec.to_builtins(now))

    # --- what time brings ---------------------------------------------------------------------------------------------

    async def _ticks(self) -> None:
        real_s, loop_s = self._clock.real_s, self._loop.time
        pulse, systemd = Pulse(real_s(), loop_s(), self._clock.wall_s()), Systemd()
        systemd.ready()
        alive_s = loop_s()
        while True:
            await asyncio.sleep(SLICE_S)
            at_s = self._clock.now()
            pause, step_s = pulse.feed(real_s(), loop_s(), self._clock.wall_s())
            if pause is not None:
                self._paused(pause, at_s)
            if step_s:
                log.warning("this machine's clock was set by %g s", step_s)
                self._note(ClockStepped(step_s=step_s))
            if loop_s() - alive_s >= ALIVE_EVERY_S:
                alive_s = loop_s()
                systemd.alive()
            if at_s - self._keeper.kept_s >= KEEP_EVERY_S and self._journal.outage is None:
                self._keeper.keep_all(at_s, False)
            for bed, heard in self._hearing.look(real_s()).items():
                self._apply(bed, heard, at_s)
            if (skew := self._skew.look()) is not None:
                for bed in self._beds:
                    self._apply(bed, ClockSkewed(*skew), at_s)
            for bed, work in self._beds.items():
                if at_s >= work.due_s:
                    work.due_s += TICK_S
                    if work.due_s < at_s - TICK_S:  # after a pause: time goes on, ticks are not made up
                        work.due_s = at_s + TICK_S
                    self._tick(bed, work, at_s)

    def _paused(self, pause: Pause, at_s: float) -> None:
        """Nobody was judged meanwhile: holds begin anew, and the gap is on every screen."""
        log.error("nobody was watched for %.1f s: this machine %s", pause.real_s, pause.why)
        for bed in self._beds:
            self._apply(bed, WatchPaused(round(pause.real_s * self._clock.speed, 3), pause.why), at_s)

    def _tick(self, bed: str, work: BedAtWork, at_s: float) -> None:
        for given in (*self._moves.look(bed), Tick()):
            self._apply(bed, given, at_s)
        beds.instruct(self._devices, work.bedside.state, at_s)
        if not work.unstored:
            work.telemetry.refresh(at_s, self._sent_seq)
        if self._loop.time() - work.snapshot_s >= SNAPSHOT_EVERY_S:
            self._keeper.snapshot(bed, work, at_s)

    async def _flushes(self) -> None:
        while True:
            await asyncio.sleep(FLUSH_S)
            await self._journal.flush()

    async def _watch(self) -> None:
        """Ends, with its error, when the journal can store no more."""
        await self._broken

    # --- events of the edge itself ------------------------------------------------------------------------------------

    def _status(self) -> Status:
        edge, (version, config) = self._config.edge, self._about
        return Status(
            edge=edge.id, boot=self._boot, state="alive", at=iso(self._clock.now()), version=version, config=config,
            beds=list(self._beds), seq=self._journal.head.seq, speed=edge.speed, epoch=iso(self._began_s),
            simulated=edge.simulated, consoles=self._stream.console_states(),
            other_boots=self._stream.other_boots(), storage=self._storage.now(),
            space=self._storage.space(), protocols=views.protocols(self._protocols) if self._protocols else (),
            sounder=self._sounder.now(), anchor=self._anchor.now(), reload=self.reload,
            probe=self.workbench.now, card=self.workbench.card)

    def _console_changed(self, console: str, seen: ConsoleSeen) -> None:
        log.info("console %s is %s", console, seen.state)
        self._hearing.console(console, seen.state == "live")
        if seen.state == "lost":
            self._skew.lost(console)
        self._note(ConsoleMoved(console=console, state=seen.state, seq=seen.seq))

    def _acked(self, ack: Ack) -> None:
        if ack.sounded is None:
            self._hearing.sounded_up_to(ack.sounded_seq or 0)
        else:
            self._hearing.sounded(*ack.sounded)
        if ack.at is not None and self._clock.speed == 1:  # at another speed their clocks are only alike by and by
            self._skew.heard(ack.console, from_iso(ack.at), self._clock.now())

    def _broker_changed(self, up: bool, why: str) -> None:
        self._note(BrokerMoved(broker="reached" if up else "lost", reason=why))

    def _refused(self, refusal: Refusal) -> None:
        """A command that did not pass the gate never reaches a bed; that it was tried is a fact all the same."""
        if self._refusals.noted(self._loop.time()):
            self._note(CommandRejected(command=refusal.id, console=refusal.answer_to, reason=refusal.reason,
                                            more=self._refusals.taken()))

    def _stream_fault(self, fault: StreamFault) -> None:
        self._note(event_of(fault))

    def _note(self, body: EventBody) -> None:
        """An event of the edge itself, of no bed."""
        self._note_all([PendingEvent(None, None, self._clock.now(), body)])

    def _note_all(self, pending: Sequence[PendingEvent]) -> None:
        appended = self._journal.append(pending)
        if not self._journal.unplaced:
            appended.stored.add_done_callback(partial(self._noted, appended.events))

    def _noted(self, events: tuple[Event, ...], stored: asyncio.Future[bool]) -> None:
        if not stored.cancelled() and stored.exception() is None:
            self._stream.events(events)
