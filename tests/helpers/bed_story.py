"""A bed that is lived through second by second, for the tests of the core."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from edge.contract.events import AlarmMoved, PendingEvent, numbered
from edge.core import views
from edge.core.bedside import Bedside
from edge.core.state import Session
from edge.model import Command, DeviceKind, Input, LinkChanged, PumpState, PumpStatus, Sample, Samples, Tick, Validity
from tests.helpers.bodies import body_of
from tests.helpers.rule_files import RULES

T0 = 1_800_000_000.0
LONG_S, LONG_STEP_S = 120.0, 4.0  # in a long while every fourth second is lived: still a stream without a hole (5 s)
DEVICES: tuple[tuple[str, DeviceKind, str], ...] = (
    ("pump", "pump", "p"), ("cuff", "nibp", "c"), ("oximeter", "oximeter", "o"),
)
ORDER: dict[str, Any] = {"session": "session-1", "protocol": "iv_racemic_40", "weight_kg": 70, "dose_mg_kg": 0.5,
                         "duration_min": 40, "concentration_mg_ml": 1.0, "checklist": True}
QUIET = {"moaas": 5, "cadss": 3, "distress": 1}
LIVED: dict[tuple[object, ...], tuple[bytes, dict[str, Any]]] = {}


class BedStory:
    """A bed that is lived through second by second; times are minutes since the pump starts. `long_step_s`: how far
    apart the seconds of a long while are; 2 where a test asks for the second, or the tenth of a minute, in it."""

    def __init__(self, *more: tuple[str, DeviceKind, str], long_step_s: float = LONG_STEP_S) -> None:
        self.long_step_s = long_step_s
        self.bed = Bedside("chair-1", (*DEVICES, *more), RULES)
        self.at_s = T0 - 900
        self.pending_events: list[PendingEvent] = []
        self.seq = 0
        self.rate_ml_h = 0.0
        self.volume_ml = 0.0
        self.pump: PumpState | None = "stopped"
        self.spo2: float | None = 98.0
        for device in self.bed.state.devices:
            self.give(LinkChanged(device, "live"))

    def give(self, given: Input) -> list[PendingEvent]:
        pending_events = self.bed.apply(given, self.at_s)
        for pending in pending_events:
            self.seq += 1
            self.bed.numbered([numbered(pending, seq=self.seq, boot="", edge="", wall="", prev="")])
        self.pending_events += pending_events
        return pending_events

    def vitals(self) -> dict[str, Any]:
        """The latest numbers as they go out."""
        told: dict[str, Any] = msgspec.to_builtins(views.vitals(self.bed.state, self.at_s))
        return told

    def full(self) -> dict[str, Any]:
        """The full state as it goes out."""
        told: dict[str, Any] = msgspec.to_builtins(views.full(self.bed.state, self.at_s))
        return told

    def say(self, device: str, **values: float | None) -> list[PendingEvent]:
        return self.give(Samples(device, tuple(
            Sample("chair-1", device, metric, value, "valid" if value is not None else "invalid", self.at_s)
            for metric, value in values.items())))

    def bp(self, sbp: float | None, dbp: float | None) -> list[PendingEvent]:
        return self.say("cuff", sbp_mmhg=sbp, dbp_mmhg=dbp)

    def command(self, verb: str, **args: Any) -> list[PendingEvent]:
        return self.give(Command(f"c{self.seq}", "main", "nina", "nurse", "chair-1", verb, args))

    def until(self, minute: float) -> BedStory:
        """Second by second; in a long while every `long_step_s`."""
        until_s = T0 + minute * 60
        while self.at_s < until_s - 0.5:
            step_s = self.long_step_s if until_s - self.at_s > LONG_S else 1.0
            self.at_s += step_s
            if self.pump == "infusing":
                self.volume_ml += self.rate_ml_h / 3600 * step_s
            if self.pump is not None:
                self.give(PumpStatus("pump", self.pump))
                self.say("pump", rate_ml_h=self.rate_ml_h if self.pump == "infusing" else 0.0,
                         volume_infused_ml=self.volume_ml)
            if self.spo2 is not None:
                self.say("oximeter", spo2_pct=self.spo2, pulse_bpm=70.0)
            self.give(Tick())
        return self

    def opened(self) -> BedStory:
        """Seven minutes before the infusion: a session, and a baseline."""
        return self._lived("opened", self._open)

    def infusing(self) -> BedStory:
        """The first seconds of an infusion."""
        return self._lived("infusing", self._infuse)

    def infused(self) -> BedStory:
        """Forty minutes of infusion are over, and so is the infusion."""
        return self._lived("infused", self._end)

    def _open(self) -> None:
        self.until(-10)
        self.command("start_session", **ORDER)
        self.bp(120, 75)
        self.until(-8)
        self.bp(124, 77)
        self.until(-7)

    def _infuse(self) -> None:
        self.opened().until(0)
        self.pump, self.rate_ml_h = "infusing", 52.5
        self.until(0.1)

    def _end(self) -> None:
        self.infusing().until(40)
        self.pump = "stopped"
        self.until(45)

    def _lived(self, how: str, live: Callable[[], None]) -> BedStory:
        """Lives so the first time, and goes on from there whenever the same is asked of a chair as new."""
        key = (how, self.bed.snapshot(), self.at_s, self.rate_ml_h, self.pump, self.spo2, self.long_step_s)
        if key not in LIVED:
            live()
            LIVED[key] = (self.bed.snapshot(), dict(vars(self), pending_events=list(self.pending_events)))
        snapshot, remembered = LIVED[key]
        bed = self.bed
        vars(self).update(remembered, bed=bed, pending_events=list(remembered["pending_events"]))
        bed.restore(snapshot)
        return self

    @property
    def session(self) -> Session:
        assert self.bed.state.session is not None
        return self.bed.state.session

    def phases(self) -> list[str]:
        return [body_of(pending).phase for pending in self.pending_events if pending.kind == "phase"]

    def dissociation(self) -> list[tuple[str, float]]:
        return [(body_of(pending).state, round((pending.at_s - T0) / 60, 1)) for pending in self.pending_events
                if pending.kind == "dissociation"]

    def reason(self, pending_events: Iterable[PendingEvent]) -> str:
        refused = [pending for pending in pending_events if pending.kind == "command"]
        return str(body_of(refused[0]).reason) if refused else ""


def state_of(story: BedStory, key: str) -> str:
    alarm = story.bed.state.alarms.get(key)
    return alarm.state if alarm else "inactive"


def alarms_in(pending_events: Iterable[PendingEvent]) -> list[AlarmMoved]:
    """What these events say of alarms."""
    return [pending.body for pending in pending_events if isinstance(pending.body, AlarmMoved)]


def text_of(story: BedStory, key: str) -> str:
    """What an alarm says; nothing while it has said nothing."""
    body = story.bed.state.alarms[key].body
    return body.text if body else ""


def spo2(
    story: BedStory, value: float | None, validity: Validity = "valid", after_s: float = 1.0
) -> list[PendingEvent]:
    """One SpO₂ reading and a tick, `after_s` later; nothing else is heard."""
    story.at_s = round(story.at_s + after_s, 3)
    pending_events = story.give(
        Samples("oximeter", (Sample("chair-1", "oximeter", "spo2_pct", value, validity, story.at_s),))
    )
    return pending_events + story.give(Tick())


def ticks(story: BedStory, seconds: int) -> None:
    for _ in range(seconds):
        story.at_s += 1.0
        story.give(Tick())
