"""The bedside: `apply(input, at_s) -> pending_events` is the whole service in one line.

A `Bedside` holds one bed's session, alarms and newest readings, and is state the time. It never raises for what the
world does; a refused command is an event too. It raises `Misdirected` for what can only be our own fault: an input of a
device or a metric that this bed does not have, or of another bed. `snapshot` and `restore` carry it over a crash;
`numbered` tells it which numbers the journal gave its events, because an acknowledgement names the number the nurse
saw.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from copy import copy
from typing import Literal

import msgspec
from msgspec import UNSET
from msgspec.structs import replace

from edge.contract.events import (
    AlarmMoved,
    Booted,
    DeviceAlarmsNow,
    DissociationMoved,
    Event,
    LinkMoved,
    PendingEvent,
)
from edge.contract.events import WatchPaused as PausedEvent
from edge.core import (
    attention,
    audio,
    commands,
    dissociation,
    dose,
    dosing,
    interlock,
    maintenance,
    moving,
    pk,
    presence,
    samples,
    schedule,
    session,
    shelf,
    starting,
    treatment_commands,
)
from edge.core.alarms import SHOWN, Alarm
from edge.core.context import RuleContext
from edge.core.judge import judge, requests
from edge.core.protocol import Protocols
from edge.core.protocols import as_in_0_1_0
from edge.core.rules import RuleSet
from edge.core.state import NO_PROTOCOLS, BedState, Device
from edge.core.watching import look
from edge.model import (
    Arrived,
    Boot,
    CameBack,
    ClockSkewed,
    Command,
    DeviceAlarmsReported,
    DeviceKind,
    HeardChanged,
    Input,
    LinkChanged,
    PumpRole,
    PumpStatus,
    RecordDamaged,
    Restored,
    Samples,
    StorageChanged,
    Tick,
    WatchPaused,
)
from edge.vocabulary import METRICS

_ENCODER = msgspec.json.Encoder()


class Misdirected(Exception):
    """An input that is not this bed's: our own fault; the message says whose."""


class Bedside:
    """One bed. `devices` are (name, kind, driver) as edge.toml has them; `roles`: what each pump gives;
    `starts`: whose cuff is started over the wire; `stops`: which pumps may be stopped over it."""

    def __init__(self, bed: str, devices: Iterable[tuple[str, DeviceKind, str]], rules: RuleSet, *,
                 nibp_interval_s: float = 300.0, protocols: Protocols | None = None,
                 roles: Mapping[str, PumpRole] | None = None, starts: Iterable[str] = (),
                 stops: Iterable[str] = ()) -> None:
        self._rules, self.protocols = rules, protocols or as_in_0_1_0()
        self._configured, self._roles, self._starts = list(devices), dict(roles or {}), frozenset(starts)
        self._stops = frozenset(stops)
        self._nibp_interval_s = nibp_interval_s
        self.state = BedState(bed=bed)
        self._configure()

    @property
    def rules(self) -> RuleSet:
        """As they are for the patient of this session."""
        return treatment_commands.rules_of(self._rules, self.state.session)

    def _configure(self) -> None:
        """As edge.toml and rules.toml have it now; what is known of the devices they still name stays."""
        self.state.nibp_interval_s = self._nibp_interval_s
        self.state.engine, self.state.protocols = self.rules.engine, self.protocols
        self.state.limits = self._rules.limits
        self.state.said_by, self.state.watched = self._rules.watch.said_by, self._rules.watch.metrics
        known = self.state.devices
        self.state.devices = {
            name: known[name] if name in known and known[name].driver == driver else Device(kind, driver)
            for name, kind, driver in self._configured
        }
        for name, device in self.state.devices.items():
            device.role, device.starts_cuff = self._roles.get(name), name in self._starts
            device.stops = name in self._stops
        rules = {rule.id for rule in self.rules}
        for key, alarm in list(self.state.alarms.items()):
            if alarm.rule not in rules or (alarm.device is not None and alarm.device not in self.state.devices):
                del self.state.alarms[key]
                self.state.orphans += [alarm] if alarm.state in SHOWN else []

    def reconfigure(self, devices: Iterable[tuple[str, DeviceKind, str]], *, nibp_interval_s: float,
                    roles: Mapping[str, PumpRole] | None = None, starts: Iterable[str] = (),
                    stops: Iterable[str] = ()) -> None:
        """Another list of devices while everything runs: as a restart would take it up, without the restart."""
        self._configured, self._nibp_interval_s, self._roles = list(devices), nibp_interval_s, dict(roles or {})
        self._starts, self._stops = frozenset(starts), frozenset(stops)
        self.restore(self.snapshot())

    def snapshot(self) -> bytes:
        """All this bed remembers, as JSON."""
        return _ENCODER.encode(replace(self.state, protocols=NO_PROTOCOLS, limits=(), said_by={}, watched=frozenset()))

    def restore(self, snapshot: bytes) -> None:
        """Take up what `snapshot` remembers. Raises msgspec.MsgspecError where it is not one."""
        self.state = _read(snapshot)
        self._configure()

    def copy(self) -> Bedside:
        """Another bed that remembers the same."""
        other = copy(self)
        other.restore(self.snapshot())
        return other

    def numbered(self, events: Sequence[Event]) -> None:
        """These events are in the journal under these numbers; alarms are acknowledged by them."""
        for event in events:
            body = event.body if event.kind == "alarm" and event.bed == self.state.bed else None
            if isinstance(body, AlarmMoved):
                for key, alarm in self.state.alarms.items():
                    if alarm.id and alarm.id == body.alarm:
                        same = body.alarm_phase in ("update", "deescalate")
                        heard = min(alarm.heard_seq, event.seq) if same else event.seq
                        self.state.alarms[key] = replace(alarm, seq=event.seq, heard_seq=heard)

    def apply(self, given: Input, at_s: float) -> list[PendingEvent]:
        """What follows from `given` at `at_s`. Raises Misdirected."""
        if not self._counts(given):
            return []
        pending_events: list[PendingEvent] = []
        metrics: tuple[str, ...] | None = None
        determined = False
        context = RuleContext(self.state, at_s)  # asked of nothing before `given` has been taken in
        match given:
            case Samples():
                metrics = tuple([sample.metric for sample in given.samples])
                determined = self._samples(given)
            case PumpStatus():
                pending_events += self._pump(given, at_s)
                metrics = ()
            case Tick():
                pending_events += self._tick(context)
            case DeviceAlarmsReported():
                pending_events += self._device_alarms(given, at_s)
            case LinkChanged():
                pending_events += self._link(given, at_s)
            case Boot():
                pending_events += self._boot(given, at_s)
            case WatchPaused():
                pending_events += self._paused(given, at_s)
            case StorageChanged() | HeardChanged() | ClockSkewed() | RecordDamaged():
                self._told_of_the_box(given, at_s)
            case Restored():
                self.restore(given.snapshot.encode())
                return []
            case Command() | Arrived() | CameBack():
                pending_events += commands.obey(self.state, self.rules, given, at_s)
                determined = self._is_by_hand(at_s)
        context = self._follow(context, pending_events, timed=not isinstance(given, Samples),
                               scheduled=metrics is None or determined)
        if metrics is None or metrics:
            pending_events += judge(context, self.rules, metrics)
        pending_events += shelf.review(self.state, at_s)
        if isinstance(given, Tick):
            pending_events += interlock.follow(self.state, self.rules, at_s)
        if determined and (not self.state.failed_determinations or self._is_by_hand(at_s)):  # last: an alarm needs none
            pending_events += requests(self.state, self.rules, at_s)
        if pending_events or isinstance(given, Tick):
            pending_events += attention.review(self.state, self.rules, at_s, pending_events)
        return pending_events

    def _is_by_hand(self, at_s: float) -> bool:
        """Whether a person has entered a blood pressure now."""
        return any(one.at_s == at_s and one.by is not None for one in self.state.determinations[-1:])

    def _tick(self, context: RuleContext) -> Iterator[PendingEvent]:
        presence.note_taken(self.state, context.at_s)
        yield from self._end_orphans(context.at_s)
        look(context, self.rules.watch)
        yield from starting.follow(self.state, context.at_s)

    def _told_of_the_box(
        self, given: StorageChanged | HeardChanged | ClockSkewed | RecordDamaged, at_s: float,
    ) -> None:
        match given:
            case StorageChanged():
                self.state.storage_failing = given.failing
            case HeardChanged():
                self.state.unheard, self.state.no_console = given.unheard, given.no_console
                self.state.undelivered = given.undelivered
            case ClockSkewed():
                self.state.skew_s, self.state.skew_console = given.skew_s, given.console
            case RecordDamaged():
                self.state.record_damage, self.state.record_damaged_at_s = given.damage, at_s

    def _counts(self, given: Input) -> bool:
        """Whether it is more than what a device in maintenance sends. Raises Misdirected where it is not this bed's."""
        bed, devices = self.state.bed, self.state.devices
        if isinstance(given, Command) and given.bed != bed:
            raise Misdirected(f"bed {bed} got a command for bed {given.bed}")
        if isinstance(given, Samples | PumpStatus | DeviceAlarmsReported | LinkChanged) and given.device not in devices:
            raise Misdirected(f"bed {bed} has no device {given.device!r}; it has {', '.join(devices) or 'none'}")
        if isinstance(given, Samples):
            for sample in given.samples:
                if sample.bed != bed or sample.device != given.device:
                    raise Misdirected(f"bed {bed}, device {given.device} got a sample of {sample.bed}/{sample.device}")
                if sample.metric not in METRICS:
                    raise Misdirected(f"bed {bed}, device {given.device}: no metric is named {sample.metric!r}")
        return not (maintenance.is_dropped(self.state, given) or moving.is_dropped(self.state, given))

    def _device(self, name: str) -> Device:
        return self.state.devices[name]

    def _pump(self, given: PumpStatus, at_s: float) -> Iterator[PendingEvent]:
        device = self._device(given.device)
        device.pump, device.pump_at_s = given.state, at_s
        if given.state != "unknown":
            device.known_at_s, device.infused = at_s, given.state == "infusing"
        dose.run(device, at_s)
        return interlock.heard(self.state, given.device, at_s)

    def _samples(self, given: Samples) -> bool:
        """Take in a frame; whether it completed a determination."""
        fresh = list(samples.fresh(self.state, given.samples))
        dose.count(self.state, fresh)
        return samples.observe(self.state, fresh, self.rules.needs)

    def _device_alarms(self, given: DeviceAlarmsReported, at_s: float) -> Iterator[PendingEvent]:
        device = self._device(given.device)
        if device.alarms == given.alarms:
            return
        device.alarms = given.alarms
        yield self.state.event(at_s, DeviceAlarmsNow(device=given.device, alarms=given.alarms))

    def _link(self, given: LinkChanged, at_s: float) -> Iterator[PendingEvent]:
        device = self._device(given.device)
        if device.link == given.state and device.identity == given.identity and device.reason == given.reason and (
                device.ask == given.ask):
            return
        was, device.link, device.reason = device.link, given.state, given.reason
        if was != given.state:
            device.since_s = at_s
        if given.ask or given.state == "live":
            device.ask = given.ask
        device.ever_live = device.ever_live or given.state == "live"
        if given.identity is not None:
            device.identity = given.identity
            if given.state == "live" and not moving.is_foreign(self.state, given.device):
                device.bound, device.gone = given.identity, None
        if given.state != "live":
            device.pump = None
        yield self.state.event(at_s, LinkMoved(device=given.device, state=given.state, was=was, reason=given.reason,
                                               identity=device.identity))

    def _boot(self, given: Boot, at_s: float) -> Iterator[PendingEvent]:
        """Nobody watched for a while: nothing seen before counts as live, and what was being timed starts anew."""
        self.state.storage_failing = self.state.unheard = ""  # whether it still is so is told anew
        self.state.undelivered, self.state.no_console = (), False
        self.state.skew_s = 0.0
        for device in self.state.devices.values():
            device.link, device.since_s, device.pump, device.reason = "connecting", at_s, None, ""
        self._begin_holds_anew(at_s, given.gap_s, "restart")
        yield self.state.event(at_s, Booted(gap_s=given.gap_s, boot=given.boot))
        yield from self._end_orphans(at_s)
        yield from audio.end_pause(self.state, at_s, "the edge was restarted")
        yield from shelf.clear(self.state, at_s, "the edge was restarted")
        yield from interlock.end(self.state, at_s, "the edge was restarted")

    def _end_orphans(self, at_s: float) -> Iterator[PendingEvent]:
        orphans, self.state.orphans = self.state.orphans, []
        for alarm in orphans:
            if alarm.body is not None:
                yield self.state.event(at_s, _abandoned(alarm, alarm.body))

    def _paused(self, given: WatchPaused, at_s: float) -> Iterator[PendingEvent]:
        """The same without a restart: the connections stay as they are, and say themselves whether they broke."""
        self._begin_holds_anew(at_s, given.gap_s, given.why)
        yield self.state.event(at_s, PausedEvent(gap_s=given.gap_s, why=given.why))
        yield from interlock.end(self.state, at_s, "nobody watched for a while")

    def _begin_holds_anew(self, at_s: float, gap_s: float, why: Literal["restart", "slept", "stalled"]) -> None:
        close = at_s - self.state.boot_s <= self.state.engine.unwatched_of_s  # holds and counts could not fill between
        self.state.gaps_s = gap_s + (self.state.gaps_s if close else 0.0)
        self.state.boot_s, self.state.gap_s, self.state.gap_why = at_s, gap_s, why
        self.state.looked_s, self.state.cuff = None, None
        self.state.unwatched.clear()
        for key, alarm in self.state.alarms.items():
            pending = alarm.state == "pending"
            self.state.alarms[key] = replace(alarm, state="inactive" if pending else alarm.state, true_since_s=None,
                                             true_from_s=None, unknown_since_s=None, clear_since_s=None)
        current = self.state.session
        if current is not None:
            infusing = current.infusing_since_s is not None or current.infusing_at_boot
            self.state.session = replace(current, infusing_since_s=None, stopped_since_s=None,
                                         infusing_at_boot=infusing)

    def _follow(self, context: RuleContext, pending_events: list[PendingEvent], *, timed: bool,
                scheduled: bool) -> RuleContext:
        """The session and its schedule go on. What to judge by then: another context, where what this one has found
        out may no longer be so."""
        as_of = self.state.no_pump, self.state.interval_s()
        pending_events += self._session(context, timed=timed)
        if scheduled:
            schedule.follow(self.state)
        same = not pending_events and as_of == (self.state.no_pump, self.state.interval_s())
        return context if same else RuleContext(self.state, context.at_s)

    def _session(self, context: RuleContext, *, timed: bool) -> Iterator[PendingEvent]:
        at_s = context.at_s
        for phase, why in session.on_infusion(context):
            yield session.phase_moved(self.state, phase, why, at_s)
        if not timed:
            return
        yield from presence.follow(self.state, at_s)
        for phase, why in dosing.follow(self.state, at_s) if self.state.no_pump else ():
            yield session.phase_moved(self.state, phase, why, at_s)
        for phase, why in session.on_time(context):
            yield session.phase_moved(self.state, phase, why, at_s)
        pk.follow(self.state, at_s)
        for moved, basis in dissociation.follow(self.state, at_s):
            yield self.state.event(at_s, DissociationMoved(state=moved, basis=basis))


def _abandoned(alarm: Alarm, last: AlarmMoved) -> AlarmMoved:
    """The end of an alarm that nothing watches over any more: its rule or its device is not configured now."""
    text = f"{last.title}: no longer watched, the configuration has changed"
    return replace(last, state="inactive", was=alarm.state, text=text, evidence=(), command=UNSET, superseded_by=UNSET)


def _read(snapshot: bytes) -> BedState:
    """In a snapshot of 0.1.0 an alarm that has body nothing yet has an empty body."""
    state = msgspec.json.decode(snapshot)
    for alarm in (*state.get("alarms", {}).values(), *state.get("orphans", ())):
        alarm["body"] = alarm.get("body") or None
    return msgspec.convert(state, BedState)
