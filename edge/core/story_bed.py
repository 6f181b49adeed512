"""The bed that a story happens to: its devices, and what goes on by itself while the story sets nothing else.

By itself: the oximeter sends saturation, pulse and breathing every second; the pump says whether it runs, its rate and
its volume, and stops when the ordered dose is in; the cuff finds the baseline again at each interval; the nurse enters
a quiet check-in every ten minutes, and after the infusion what must be seen before discharge. From the moment a story
sets the cuff, the check-ins, an attestation or the pump, it speaks for them alone (`auto` gives them back). In a quiet
background there are no cuff, no check-ins, no volume, no breathing and no end of the infusion.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from math import isfinite
from typing import Any, NamedTuple

from edge.contract.events import CommandRefused, PendingEvent, numbered
from edge.core import moving, starting
from edge.core.alarms import Alarm
from edge.core.bedside import Bedside
from edge.model import (
    Boot,
    Command,
    DeviceKind,
    Input,
    LinkChanged,
    LinkState,
    PumpState,
    PumpStatus,
    Role,
    Sample,
    Samples,
    Tick,
    Validity,
)
from edge.vocabulary import ATTESTATIONS

T0 = 1_800_000_000.0  # the infusion starts
OPENED_S = T0 - 120  # the session is opened, the devices are connected
BED, OTHER_BED = "story", "story-2"
DEVICES: tuple[tuple[str, DeviceKind, str], ...] = (
    ("pump", "pump", "story"), ("cuff", "nibp", "story"), ("oximeter", "oximeter", "story"),
)
SECOND: tuple[tuple[str, DeviceKind, str], ...] = (("cuff-2", "nibp", "story"), ("oximeter-2", "oximeter", "story"))
SECOND_PUMP: tuple[str, DeviceKind, str] = ("pump-2", "pump", "story")
OF_THE_PUMP = ("rate_ml_h", "volume_infused_ml", "vtbi_ml", "volume_remaining_ml", "time_remaining_s",
               "line_pressure_mmhg", "syringe_size_ml", "battery_pct")
OF_THE_CUFF = ("cuff_pressure_mmhg",)
CHECK_IN_EVERY_S = 600.0
QUIET_CHECK_IN = {"moaas": 5, "cadss": 2, "anxiety": 1, "distress": 1, "nausea": 0}


class Shown(NamedTuple):
    """What a device shows of one metric, every second, until the story says otherwise."""

    value: float | None
    validity: Validity = "valid"
    reason: str | None = None


class Pressure(NamedTuple):
    """What the cuff finds, mmHg."""

    sbp: float
    dbp: float
    mean: float | None = None


Heard = Callable[[Input, float], None]


def _shown(value: float | None, reason: str | None) -> Shown:
    """A value of a determination; an infinite one is beyond what the cuff can measure."""
    if value is None or isfinite(value):
        return Shown(value, "invalid" if value is None else "valid", reason)
    return Shown(None, "overflow" if value > 0 else "underflow", "out_of_range")


def device_of(metric: str) -> str:
    """Which of the story's devices measures it."""
    return "pump" if metric in OF_THE_PUMP else "cuff" if metric in OF_THE_CUFF else "oximeter"


@dataclass(slots=True)
class StoryBed:
    """One bed, stepped second by second. `at_s` is the story's time; `raised` the alarms that have become active."""

    bedside: Bedside
    interval_s: float | None  # None: whenever the bed says that one is due
    is_quiet: bool
    at_s: float = OPENED_S
    seq: int = 0
    pending_events: list[PendingEvent] = field(default_factory=list)
    raised: set[str] = field(default_factory=set)
    refusal: str | None = None  # why the last command was refused
    links: dict[str, LinkState] = field(default_factory=dict)
    shown: dict[str, Shown] = field(default_factory=dict)  # by metric
    pump: PumpState | None = "stopped"  # None: connected, and reports no state
    is_mum: bool = False  # it reports its volume all the same
    rate_ml_h: float = 0.0  # while it infuses
    volume_ml: float = 0.0
    volume_at_s: float = OPENED_S
    dose_ml: float | None = None  # it stops by itself when so much is in
    pressure: Pressure | None = None  # what the cuff finds at each interval; None: the story sets the cuff
    cuff_at_s: float = T0
    second_spo2_pct: float | None = None  # what a second oximeter shows, where the story has one
    second_pump: PumpState = "stopped"  # what a second pump says, where the story has one,
    second_rate_ml_h: float = 0.0  # its rate while it infuses,
    second_ml: float = 0.0  # and its own counter
    obeys: bool = True  # a pump that is told to stop does so
    checks_in: bool = True
    check_in_at_s: float = T0
    attests: bool = True
    other: Bedside | None = None  # to which the patient may go; only the bed where the patient is lives on
    heard: Heard | None = None  # is given each input of the bed, with its time

    def give(self, given: Input) -> list[PendingEvent]:
        """Give the bed an input now, and number what follows as the journal would."""
        if self.heard is not None:
            self.heard(given, self.at_s)
        pending_events = self.bedside.apply(given, self.at_s)
        events = []
        for pending in pending_events:
            self.seq += 1
            events.append(numbered(pending, seq=self.seq, boot="", edge="", wall="", prev=""))
        self.bedside.numbered(events)
        self.pending_events += pending_events
        self.raised |= {key for key, alarm in self.alarms.items() if alarm.state == "active"}
        return pending_events

    @property
    def name(self) -> str:
        """The bed where the patient is."""
        return self.bedside.state.bed

    @property
    def alarms(self) -> dict[str, Alarm]:
        """The bed's alarms by key: the rule's id, and `:device` for a rule that holds for each device."""
        return self.bedside.state.alarms

    def command(self, verb: str, args: dict[str, Any], user: str = "nurse", role: Role = "nurse") -> None:
        """A command of a person; `refusal` says why if it was refused."""
        self._answered(self.give(Command(f"story-{self.seq}", "main", user, role, self.name, verb, args)))

    def _answered(self, pending_events: list[PendingEvent]) -> None:
        bodies = [pending.body for pending in pending_events]
        self.refusal = next((body.reason for body in bodies if isinstance(body, CommandRefused)), None)

    def move(self, args: dict[str, Any]) -> None:
        """The session goes to the other bed, and the story with it. What does not go along stands still there."""
        assert self.other is not None
        beds = {one.state.bed: one.state for one in (self.bedside, self.other)}
        asked = Command(f"story-{self.seq}", "main", "nurse", "nurse", self.name, "move_session",
                        {"to": self.other.state.bed, **args})
        for bed, given in moving.inputs(beds, self.bedside.rules, asked, (), self.at_s):
            if bed != self.name:
                self.bedside, self.other = self.other, self.bedside
            self._answered(self.give(given))
            if self.refusal is not None:
                return
        taken = args.get("devices", [])
        for device in taken:
            self.give(LinkChanged(device, "live", "", f"{device} of {self.other.state.bed}"))
        if "pump" not in taken:
            self.pump, self.volume_ml = "stopped", 0.0

    def measure(self, found: Pressure | None, reason: str | None = None, by: str = "cuff") -> None:
        """The cuff completes a determination, or fails."""
        pressures = {"sbp_mmhg": found.sbp, "dbp_mmhg": found.dbp, "map_mmhg": found.mean} if found else {
            "sbp_mmhg": None, "dbp_mmhg": None, "map_mmhg": None}
        values = pressures | {"nibp_pulse_bpm": 70.0 if found else None}
        self.send(by, {metric: _shown(value, reason) for metric, value in values.items()})
        if by == "cuff":
            self.cuff_at_s = self.at_s

    def send(self, device: str, shown: dict[str, Shown]) -> None:
        """One frame of a device."""
        self.give(Samples(device, tuple(
            Sample(self.name, device, metric, one.value, one.validity, self.at_s,
                   None if one.validity == "valid" else one.reason) for metric, one in shown.items())))

    def link(self, device: str, state: LinkState) -> None:
        """Its connection is in that state now."""
        self.links[device] = state
        named = None if self.other is None else f"{device} of {self.name}"
        self.give(LinkChanged(device, state, "the cable is out" if state == "lost" else "", named))

    def restart(self, gap_s: float) -> None:
        """The edge is gone for so long; then its devices connect again."""
        self.at_s += gap_s
        self.give(Boot("story", gap_s))
        for device, state in self.links.items():
            if state == "live":
                self.give(LinkChanged(device, "live"))

    def connect(self) -> None:
        """All devices are connected; those of the other bed too, where there is one."""
        for device in self.bedside.state.devices:
            self.link(device, "live")
        for device in self.other.state.devices if self.other is not None else ():
            assert self.other is not None
            self.other.apply(LinkChanged(device, "live", "", f"{device} of {self.other.state.bed}"), self.at_s)

    def copy(self) -> StoryBed:
        """Another bed of which all is so now; what happens to the one is nothing to the other."""
        other = None if self.other is None else self.other.copy()
        return replace(self, bedside=self.bedside.copy(), other=other, pending_events=[*self.pending_events],
                       raised={*self.raised}, links={**self.links}, shown={**self.shown})

    def pass_until(self, until_s: float) -> None:
        """The seconds until then, each with what goes on by itself and a tick."""
        while self.at_s + 1 < until_s:
            self.pass_second()
        self.at_s = until_s

    def pass_second(self) -> None:
        """To the next whole second, with what goes on by itself in it and a tick."""
        self.at_s = float(int(self.at_s) + 1)
        self.go_on()
        self.give(Tick())

    def go_on(self) -> None:
        """What goes on by itself in this second."""
        self._obey()
        self._infuse()
        if self.links["pump"] == "live":
            self._pump_reports()
        if self.links.get("pump-2") == "live":
            self._second_pump_reports()
        for device in ("oximeter", "cuff"):
            frame = {metric: one for metric, one in self.shown.items() if device_of(metric) == device}
            if self.links.get(device) == "live" and frame:
                self.send(device, frame)
        if self.second_spo2_pct is not None and self.links["oximeter-2"] == "live":
            self.send("oximeter-2", {"spo2_pct": Shown(self.second_spo2_pct)})
        if self.at_s < T0 or self.is_quiet:
            return
        if self.pressure and self.links["cuff"] == "live" and self._cuff_is_due():
            self.measure(self.pressure)
        if self.checks_in and self.bedside.state.session and self.at_s - self.check_in_at_s >= CHECK_IN_EVERY_S:
            self.check_in_at_s = self.at_s
            self.command("check_in", dict(QUIET_CHECK_IN))
            self._attest()

    def _obey(self) -> None:
        stop = self.bedside.state.stop
        if stop is None or stop.sent_s is None or stop.confirmed_s is not None or not self.obeys:
            return
        if self.links.get(stop.device) == "live" and self.at_s > stop.sent_s:
            if stop.device == "pump":
                self.pump = "stopped"
            else:
                self.second_pump = "stopped"

    def _attest(self) -> None:
        """The nurse who checks in after the infusion finds that the patient may go."""
        session = self.bedside.state.session
        if self.attests and session is not None and session.phase == "RECOVERY":
            for what in ATTESTATIONS:
                if what not in session.attested:
                    self.command("attest", {"what": what, "so": True})

    def _cuff_is_due(self) -> bool:
        by_wire = dict(starting.starts(self.bedside.state, self.at_s))
        if by_wire:
            due_s = by_wire["cuff"]
            return due_s is not None and self.at_s >= due_s
        if self.interval_s is not None:
            return self.at_s - self.cuff_at_s >= self.interval_s
        due_s = self.bedside.state.bp_due_s()
        return due_s is not None and self.at_s >= due_s

    def _infuse(self) -> None:
        """It infuses whether or not its link is live."""
        if self.pump == "infusing":
            self.volume_ml += self.rate_ml_h * (self.at_s - self.volume_at_s) / 3600
            if self.dose_ml is not None and self.volume_ml >= self.dose_ml:
                self.volume_ml, self.pump = self.dose_ml, "stopped"
        self.volume_at_s = self.at_s

    def _second_pump_reports(self) -> None:
        rate_ml_h = self.second_rate_ml_h if self.second_pump == "infusing" else 0.0
        self.second_ml += rate_ml_h / 3600
        self.give(PumpStatus("pump-2", self.second_pump))
        self.send("pump-2", {"rate_ml_h": Shown(rate_ml_h), "volume_infused_ml": Shown(round(self.second_ml, 3))})

    def _pump_reports(self) -> None:
        frame = {metric: one for metric, one in self.shown.items() if device_of(metric) == "pump"}
        volume = {} if self.is_quiet else {"volume_infused_ml": Shown(round(self.volume_ml, 3))}
        if self.pump is not None:
            self.give(PumpStatus("pump", self.pump))
            rate = {"rate_ml_h": Shown(self.rate_ml_h if self.pump == "infusing" else 0.0)}
            frame = {} if self.pump == "unknown" else rate | volume | frame
        elif self.is_mum:
            frame = {"volume_infused_ml": Shown(round(self.volume_ml, 3))} | frame
        else:
            frame = {}
        if frame:
            self.send("pump", frame)
