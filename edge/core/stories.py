"""Stories: a rule's test as plain text, read aloud by a nurse, run in milliseconds through the real `Bedside`.

    # what it shows
    given baseline 128/80, nibp 5, infusing        (or: no session | precheck)
    10:00  bp 150/92
    15:00  bp 182/104      -> HTN-3 active high
    17:00  spo2 88 for 20s -> RES-2 active          each second one reading
    20:00  link cuff lost
    20:10                  -> TEC-4:cuff active medium
    21:00  bp failed cuff_leak
    22:00  ack HTN-3       -> HTN-3 acknowledged
    22:30  pump unknown                             it says so, and no more; also infusing, stopped;
                                                    silent: nothing at all; mum: its volume, and no more
    23:00                  -> nothing

Times are minutes:seconds since the infusion started. A tick passes every second in between. After `->` comes what must
hold then: `RULE[:device] state [priority]`, joined by commas; `request` (a person was asked for something then);
`nothing` (no alarm is shown). At the end, any alarm that became active and was not expected somewhere is a failure.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from edge.contract.events import AlarmMoved, PendingEvent, numbered
from edge.core.alarms import SHOWN
from edge.core.bedside import Bedside
from edge.core.rules import RuleSet
from edge.core.state import Baseline
from edge.model import (
    Command,
    DeviceAlarm,
    DeviceAlarmsReported,
    Input,
    Kind,
    LinkChanged,
    PumpState,
    PumpStatus,
    Sample,
    Samples,
    Tick,
)

T0 = 1_800_000_000.0
DEVICES: tuple[tuple[str, Kind, str], ...] = (
    ("pump", "pump", "story"), ("cuff", "nibp", "story"), ("oximeter", "oximeter", "story"),
)
_LINE = re.compile(r"^(?:(\d+):(\d\d(?:\.\d+)?))\s*(.*?)\s*(?:->\s*(.+))?$")


class StoryError(ValueError):
    """A story that cannot be read, or did not come true: name, line, what."""


@dataclass(slots=True)
class Told:
    """One story being told: the bed it happens to, and what has happened."""

    name: str
    bedside: Bedside
    rate_ml_h: float = 52.5
    at_s: float = T0
    seq: int = 0
    pending_events: list[PendingEvent] = field(default_factory=list)
    expected: set[str] = field(default_factory=set)
    live: dict[str, float | None] = field(default_factory=dict)
    pump: PumpState | None = "stopped"  # None: connected, and says nothing of it
    mum: bool = False  # it tells its volume all the same
    links: dict[str, str] = field(default_factory=dict)
    spo2_reason: str | None = None

    def give(self, given: Input) -> list[PendingEvent]:
        pending_events = self.bedside.apply(given, self.at_s)
        events = []
        for pending in pending_events:
            self.seq += 1
            events.append(numbered(pending, seq=self.seq, boot="", edge="", wall="", prev=""))
        self.bedside.numbered(events)
        self.pending_events += pending_events
        return pending_events

    def samples(self, device: str, **values: float | None) -> Samples:
        reason = self.spo2_reason
        return Samples(device, tuple(
            Sample("story", device, metric, value, "valid" if value is not None else "invalid", self.at_s,
                   None if value is not None else reason) for metric, value in values.items()))


def run_story(text: str, name: str, rules: RuleSet) -> Told:
    """Tell the story in `text`; returns how it went. Raises StoryError at the first thing that did not come true."""
    told: Told | None = None
    for number, raw in enumerate(text.splitlines(), 1):
        line = raw.split("#")[0].strip()
        if not line:
            continue
        where = f"{name}:{number}"
        if line.startswith("given "):
            told = _given(line.removeprefix("given "), name, rules, where)
        elif told is None:
            raise StoryError(f"{where}: a story starts with 'given ...'")
        else:
            _happen(told, line, where)
    if told is None:
        raise StoryError(f"{name}: an empty story; write 'given ...' and what happens")
    bodies = [pending.body for pending in told.pending_events]
    fired = {body.rule + (f":{body.device}" if body.device else "")
             for body in bodies if isinstance(body, AlarmMoved) and body.state == "active"}
    surprise = sorted(fired - told.expected)
    if surprise:
        raise StoryError(f"{name}: nobody expected {', '.join(surprise)}")
    return told


def _given(words: str, name: str, rules: RuleSet, where: str) -> Told:
    given = [word.strip() for word in words.split(",")]
    told = Told(name, Bedside("story", DEVICES, rules))
    interval, baseline = 5.0, (120.0, 75.0)
    for word in given:
        if match := re.fullmatch(r"baseline (\d+)/(\d+)", word):
            baseline = float(match[1]), float(match[2])
        elif match := re.fullmatch(r"nibp (\d+)", word):
            interval = float(match[1])
        elif word not in ("no session", "precheck", "infusing"):
            raise StoryError(
                f"{where}: cannot read {word!r}; write baseline S/D, nibp MIN, no session, precheck, infusing")
    told.at_s = T0 - 600
    for device in ("pump", "cuff", "oximeter"):
        told.give(LinkChanged(device, "live"))
        told.links[device] = "live"
    told.live = {"spo2_pct": 97.0, "pulse_bpm": 70.0}
    if "no session" in given:
        told.at_s = T0
        return told
    told.give(Command("c0", "main", "story", "nurse", "story", "start_session", {
        "session": "story-session", "protocol": "iv_racemic_40", "weight_kg": 70, "dose_mg_kg": 0.5, "duration_min": 40,
        "concentration_mg_ml": 1, "nibp_interval_min": interval, "checklist": True}))
    for before in (600, 500):
        told.at_s = T0 - before
        told.give(told.samples("cuff", sbp_mmhg=baseline[0], dbp_mmhg=baseline[1], map_mmhg=None))
    _pass_until(told, T0)
    session = told.bedside.state.session
    assert session is not None
    found = session.baseline
    assert isinstance(found, Baseline) and (found.sbp_mmhg, found.dbp_mmhg) == baseline, f"{where}: no baseline"
    if "precheck" not in given:
        told.pump = "infusing"
        _stream(told)
    return told


def _stream(told: Told) -> None:
    if told.links["pump"] == "live" and told.pump is not None:
        told.give(PumpStatus("pump", told.pump))
        if told.pump != "unknown":
            told.give(told.samples("pump", rate_ml_h=told.rate_ml_h if told.pump == "infusing" else 0.0))
    elif told.links["pump"] == "live" and told.mum:
        told.give(told.samples("pump", volume_infused_ml=0.0))
    if told.links["oximeter"] == "live" and told.live:
        told.give(told.samples("oximeter", **told.live))


def _pass_until(told: Told, until_s: float) -> None:
    while told.at_s + 1 < until_s:
        told.at_s = float(int(told.at_s) + 1)
        _stream(told)
        told.give(Tick())
    told.at_s = until_s


def _happen(told: Told, line: str, where: str) -> None:
    match = _LINE.match(line)
    if match is None:
        raise StoryError(f"{where}: cannot read {line!r}; write 'MM:SS what -> expected'")
    _pass_until(told, T0 + int(match[1]) * 60 + float(match[2]))
    mark = len(told.pending_events)
    for deed in filter(None, (part.strip() for part in match[3].split(";"))):
        _do(told, deed, where)
    _stream(told)
    told.give(Tick())
    if match[4]:
        _expect(told, match[4], told.pending_events[mark:], where)


def _do(told: Told, deed: str, where: str) -> None:
    word, *rest = deed.split()
    match word, rest:
        case "bp", ["failed", reason]:
            told.spo2_reason = reason
            told.give(told.samples("cuff", sbp_mmhg=None, dbp_mmhg=None, map_mmhg=None, nibp_pulse_bpm=None))
        case "bp", [value] if "/" in value:
            systolic, diastolic = map(float, value.split("/"))
            told.give(told.samples("cuff", sbp_mmhg=systolic, dbp_mmhg=diastolic, map_mmhg=None, nibp_pulse_bpm=70.0))
        case "spo2", ["none", reason]:
            told.spo2_reason = reason
            told.live["spo2_pct"] = None
        case "spo2", ["silent"]:
            told.live.clear()
        case "spo2", [value, *more]:
            told.live["spo2_pct"] = float(value)
            if more:
                _for(told, more, where)
        case "link", [device, "live" | "silent" | "lost" | "wrong_device" | "unstable" | "connecting" as state]:
            told.links[device] = state
            told.give(LinkChanged(device, state, "the cable is out" if state == "lost" else ""))
        case "pump", ["infusing" | "stopped" | "unknown" as said]:
            told.pump = said
        case "pump", ["silent" | "mum" as how]:
            told.pump, told.mum = None, how == "mum"
        case "alarm", [device, "none"]:
            told.give(DeviceAlarmsReported(device, ()))
        case "alarm", [device, *said] if said and len(said) % 2 == 0:
            told.give(DeviceAlarmsReported(device, tuple(
                _alarm(code, priority, where) for code, priority in zip(said[::2], said[1::2], strict=True))))
        case "ack", [key]:
            _acknowledge(told, key, where)
        case "check-in", scores:
            args = {name: int(value) for name, value in (score.split("=") for score in scores)}
            told.give(Command("c", "main", "nurse", "nurse", "story", "check_in", args))
        case _:
            raise StoryError(f"{where}: cannot read {deed!r}; see edge/core/stories.py for what can happen")


def _alarm(code: str, priority: str, where: str) -> DeviceAlarm:
    match priority:
        case "high" | "medium" | "low":
            return DeviceAlarm(code, priority, code, code.replace("_", " "))
    raise StoryError(f"{where}: an alarm of a device is high, medium or low, not {priority!r}")


def _for(told: Told, more: list[str], where: str) -> None:
    match = re.fullmatch(r"for (\d+)s", " ".join(more))
    if match is None:
        raise StoryError(f"{where}: write 'for 20s', not {' '.join(more)!r}")
    for _ in range(int(match[1]) - 1):
        _stream(told)
        told.at_s += 1.0


def _acknowledge(told: Told, key: str, where: str) -> None:
    alarm = told.bedside.state.alarms.get(key)
    if alarm is None:
        raise StoryError(f"{where}: no alarm {key} to acknowledge")
    told.give(Command("ack", "main", "nurse", "nurse", "story", "acknowledge", {"alarm": alarm.id, "seq": alarm.seq}))


def _expect(told: Told, words: str, pending_events: list[PendingEvent], where: str) -> None:
    alarms = told.bedside.state.alarms
    shown = {key: alarm for key, alarm in alarms.items() if alarm.state in SHOWN}
    for wanted in (word.strip() for word in words.split(",")):
        if wanted == "nothing":
            if shown:
                raise StoryError(f"{where}: expected nothing, but {_list(shown)}")
            continue
        if wanted == "request":
            if not any(pending.kind == "request" for pending in pending_events):
                raise StoryError(f"{where}: expected a request, got none")
            continue
        key, state, *priority = wanted.split()
        told.expected.add(key)
        alarm = alarms.get(key)
        found = (alarm.state, alarm.priority) if alarm else ("inactive", "none")
        if found[0] != state or (priority and found[1] != priority[0]):
            raise StoryError(
                f"{where}: expected {wanted}, found {key} {' '.join(found)}; shown: {_list(shown) or 'nothing'}")


def _list(shown: Mapping[str, object]) -> str:
    return ", ".join(sorted(shown))


def stories_of(text: str) -> Iterator[str]:
    """The stories in one file: they are parted by lines of '==='."""
    yield from (part for part in re.split(r"^===.*$", text, flags=re.MULTILINE) if part.strip())
