"""The bedside: `apply(input, at_s) -> drafts` is the whole service in one line.

A `Bedside` holds one bed's session, alarms and newest readings, and is told the time. It never raises for what the
world does; a refused command is a draft too. `snapshot` and `restore` carry it over a crash; `numbered` tells it which
numbers the journal gave its events, because an acknowledgement names the number the nurse saw.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import msgspec
from msgspec.structs import replace

from edge.core import commands, dissociation, session, signals
from edge.core.judge import judge, requests
from edge.core.rules import RuleSet
from edge.core.state import BedState, Device, Session
from edge.model import (
    Boot,
    Command,
    Configured,
    DeviceAlarmsSaid,
    Draft,
    Event,
    Input,
    Kind,
    LinkChanged,
    PumpSaid,
    Samples,
    Tick,
    iso,
)

_ENCODER = msgspec.json.Encoder()
_DECODER = msgspec.json.Decoder(BedState)
COUNTER_NOISE_ML = 0.5  # a counter that falls by less was rounded, not cleared; counting it anew doubles the dose


class Bedside:
    """One bed. `devices` are (name, kind, driver) as edge.toml has them."""

    def __init__(self, bed: str, devices: Iterable[tuple[str, Kind, str]], rules: RuleSet, *,
                 nibp_interval_s: float = 300.0) -> None:
        self.rules = rules
        self._configured = list(devices)
        self._nibp_interval_s = nibp_interval_s
        self.state = BedState(bed=bed)
        self._configure()

    def _configure(self) -> None:
        """As edge.toml and rules.toml have it now; what is known of the devices they still name stays."""
        self.state.nibp_interval_s = self._nibp_interval_s
        known = self.state.devices
        self.state.devices = {
            name: known[name] if name in known and known[name].driver == driver else Device(kind, driver)
            for name, kind, driver in self._configured
        }
        rules = {rule.id for rule in self.rules}
        self.state.alarms = {
            key: alarm for key, alarm in self.state.alarms.items()
            if alarm.rule in rules and (alarm.device is None or alarm.device in self.state.devices)
        }

    def snapshot(self) -> bytes:
        """All this bed remembers, as JSON."""
        return _ENCODER.encode(self.state)

    def restore(self, snapshot: bytes) -> None:
        """Take up what `snapshot` remembers. Raises msgspec.DecodeError where it is not one."""
        self.state = _DECODER.decode(snapshot)
        self._configure()

    def numbered(self, events: Sequence[Event]) -> None:
        """These events are in the journal under these numbers; alarms are acknowledged by them."""
        for event in events:
            if event.kind == "alarm" and event.bed == self.state.bed:
                for key, alarm in self.state.alarms.items():
                    if alarm.id and alarm.id == event.body["alarm"]:
                        self.state.alarms[key] = replace(alarm, seq=event.seq)

    def apply(self, given: Input, at_s: float) -> list[Draft]:
        """What follows from `given` at `at_s`."""
        drafts: list[Draft] = []
        metrics: list[str] | None = None
        match given:
            case Samples():
                metrics = [sample.metric for sample in given.samples]
                drafts += self._samples(given, at_s)
            case PumpSaid():
                self._device(given.device).pump = given.state
                self._device(given.device).pump_at_s = at_s
                metrics = []
            case DeviceAlarmsSaid():
                drafts += self._device_alarms(given, at_s)
            case LinkChanged():
                drafts += self._link(given, at_s)
            case Boot():
                drafts += self._boot(given, at_s)
            case Command():
                drafts += commands.obey(self.state, self.rules, given, at_s)
            case Tick() | Configured():
                pass
        drafts += self._session(at_s, timed=not isinstance(given, Samples))
        if metrics is None or metrics:
            drafts += judge(self.state, self.rules, at_s, metrics)
        return drafts

    def _device(self, name: str) -> Device:
        return self.state.devices[name]

    def _samples(self, given: Samples, at_s: float) -> Iterator[Draft]:
        volume = next((s for s in given.samples if s.metric == "volume_infused_ml" and s.validity == "valid"), None)
        if volume is not None and volume.value is not None:
            self._infused(volume.value)
        if signals.observe(self.state, given.samples, self.rules.below) and not self.state.failed_in_row:
            yield from requests(self.state, self.rules, at_s)

    def _infused(self, volume_ml: float) -> None:
        """Add what the pump's own counter grew by; a counter that fell was cleared and starts anew."""
        before = self.state.pump_volume_ml
        if before is not None and 0 < volume_ml < before <= volume_ml + COUNTER_NOISE_ML:
            return
        self.state.pump_volume_ml = volume_ml
        current = self.state.session
        if current is None or before is None or volume_ml == before:
            return
        grown = volume_ml - before if volume_ml > before else volume_ml
        self.state.session = replace(current, delivered_ml=current.delivered_ml + grown)

    def _device_alarms(self, given: DeviceAlarmsSaid, at_s: float) -> Iterator[Draft]:
        device = self._device(given.device)
        if device.alarms == given.alarms:
            return
        device.alarms = given.alarms
        yield self._draft("device", at_s, {"device": given.device, "alarms": msgspec.to_builtins(given.alarms)})

    def _link(self, given: LinkChanged, at_s: float) -> Iterator[Draft]:
        device = self._device(given.device)
        if device.link == given.state and device.identity == given.identity and device.reason == given.reason:
            return
        was, device.link, device.reason = device.link, given.state, given.reason
        if was != given.state:
            device.since_s = at_s
        device.ever_live = device.ever_live or given.state == "live"
        if given.identity is not None:
            device.identity = given.identity
        if given.state != "live":
            device.pump = None
        yield self._draft("link", at_s, {"device": given.device, "state": given.state, "was": was,
                                         "reason": given.reason, "identity": device.identity})

    def _boot(self, given: Boot, at_s: float) -> Iterator[Draft]:
        """Nobody watched for a while: nothing seen before counts as live, and what was being timed starts anew."""
        self.state.boot_s, self.state.gap_s = at_s, given.gap_s
        for device in self.state.devices.values():
            device.link, device.since_s, device.pump, device.reason = "connecting", at_s, None, ""
        for key, alarm in self.state.alarms.items():
            pending = alarm.state == "pending"
            self.state.alarms[key] = replace(alarm, state="inactive" if pending else alarm.state, true_since_s=None,
                                             unknown_since_s=None, over_since_s=None)
        current = self.state.session
        if current is not None:
            self.state.session = replace(current, infusing_since_s=None, stopped_since_s=None)
        yield self._draft("boot", at_s, {"gap_s": given.gap_s, "boot": given.boot})

    def _session(self, at_s: float, *, timed: bool) -> Iterator[Draft]:
        for phase, why in session.on_infusion(self.state, at_s):
            yield self._phase(phase, why, at_s)
        if not timed:
            return
        for phase, why in session.on_time(self.state, at_s):
            yield self._phase(phase, why, at_s)
        for moved, basis in dissociation.follow(self.state, at_s):
            yield self._draft("dissociation", at_s, {"state": moved, "basis": basis})

    def _phase(self, phase: str, why: str, at_s: float) -> Draft:
        current = self.state.session
        assert current is not None
        return self._draft("phase", at_s, {
            "phase": phase, "why": why, "delivered_mg": round(current.delivered_mg, 2),
            "baseline": msgspec.to_builtins(current.baseline),
            "started": iso(current.started_s) if current.started_s is not None else None,
        })

    def _draft(self, kind: commands.Kind, at_s: float, body: dict[str, object]) -> Draft:
        current: Session | None = self.state.session
        return Draft(kind, self.state.bed, current.id if current else None, at_s, body)
