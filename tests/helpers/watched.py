"""Beds whose devices do second by second what a drawn pattern says, and for how long nobody was told.

A pattern says of each second whether a device sends what is true of the patient, something that cannot be judged by, or
nothing; its link is the real one (`edge/field/link_state.py`). The patient is in the same danger all the time. `trial`
draws one bed, lives it, and returns the longest time in which neither an alarm that the danger deserves nor one that
says the device is not watched stood, beside the time for which that may be.

Drawn as well: the phase, what is known of the baseline, a second device of the kind and how the two take turns, a
restart of the edge, a machine that slept, another device on the line for a while, each metric with a pattern of its
own, readings beside the second.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from random import Random
from typing import NamedTuple

from drivers.contract import Decoded, Identity, Reading
from edge.core.alarms import ACTIVE
from edge.core.bedside import Bedside
from edge.core.protocols import parse_protocols
from edge.core.rules import RuleSet, assemble
from edge.core.state import Baseline, Determination, Order, Session
from edge.field.link_state import Link
from edge.model import (
    Boot,
    DeviceAlarm,
    DeviceAlarmsReported,
    DeviceKind,
    Phase,
    PumpState,
    PumpStatus,
    Sample,
    Samples,
    Tick,
    Validity,
    WatchPaused,
)
from edge.vocabulary import DETERMINATION
from tests.helpers.rule_files import FILE, PROTOCOLS, RULES

T0 = 1_800_000_000.0
SILENT_AFTER_S = 5.0
TECHNICAL = frozenset({"TEC-1", "TEC-2", "TEC-3", "TEC-4", "TEC-10", "PRO-1", "PRO-7"})
HOLD_S = {rule.id: rule.hold_s for rule in RULES}
BASELINE = Baseline(120, 75, 2, "pair", pulse_bpm=75, spo2_pct=97)
UNGATED = parse_protocols(FILE.with_name("protocols.toml").read_text().partition("[[protocol.ready]]")[0])
ALWAYS: tuple[Phase, ...] = ("PRECHECK", "READY", "INFUSING", "PAUSED", "RECOVERY", "DISCHARGE_READY")
COURSE: tuple[Phase, ...] = ALWAYS[2:]
WHOSE: dict[str, DeviceKind] = {"oximeter": "oximeter", "cuff": "nibp", "pump": "pump", "capno": "monitor"}
Kind = str  # of a second: good, bad, doubt, na (sent, and nothing to judge by), none (silent), gone, other (a device)
Devices = tuple[tuple[str, DeviceKind, str], ...]
VALIDITIES: dict[Kind, Validity] = {
    "good": "valid", "bad": "invalid", "doubt": "questionable", "na": "unavailable"}


class Danger(NamedTuple):
    """What is wrong all the time: what the device would say of it, and the alarms that are deserved."""

    device: str
    values: Mapping[str, float | str]  # "overflow", "underflow"
    deserved: frozenset[str]
    phases: tuple[Phase, ...] = ALWAYS
    state: PumpState | None = None
    alarms: tuple[DeviceAlarm, ...] | None = None


def _of_finger(spo2: float | str, pulse: float | str, *deserved: str, phases: tuple[Phase, ...] = ALWAYS) -> Danger:
    return Danger("oximeter", {"spo2_pct": spo2, "pulse_bpm": pulse}, frozenset(deserved), phases)


def _of_pump(rate: float | str, state: PumpState, *deserved: str, phases: tuple[Phase, ...] = ("INFUSING",),
             alarms: tuple[DeviceAlarm, ...] = ()) -> Danger:
    return Danger("pump", {"rate_ml_h": rate, "volume_infused_ml": 12.0}, frozenset(deserved), phases, state, alarms)


def _of_breath(resp: float | str, *deserved: str, alarms: tuple[DeviceAlarm, ...] = ()) -> Danger:
    return Danger("capno", {"resp_bpm": resp, "etco2_mmhg": 40}, frozenset(deserved), COURSE, None, alarms)


DANGERS: dict[str, Danger] = {
    "saturation 80": _of_finger(80, 70, "RES-2", "RES-3"),
    "saturation 88": _of_finger(88, 70, "RES-2"),
    "saturation 89": _of_finger(89, 70, "RES-2"),
    "saturation 93": _of_finger(93, 70, "RES-1"),
    "saturation below what it can show": _of_finger("underflow", 70, "RES-2", "RES-3"),
    "pulse 121": _of_finger(97, 121, "CAR-1"),
    "pulse 145": _of_finger(97, 145, "CAR-1", "CAR-2"),
    "pulse above what it can show": _of_finger(97, "overflow", "CAR-1", "CAR-2"),
    "pulse 45": _of_finger(97, 45, "CAR-3"),
    "pulse 52, his own is 75": _of_finger(97, 52, "CAR-3", phases=COURSE),  # before, what comes is his own
    "pulse 35": _of_finger(97, 35, "CAR-3", "CAR-4"),
    "breathing 6": _of_breath(6, "RES-4"),
    "breathing 3": _of_breath(3, "RES-4", "RES-5"),
    "no breath": _of_breath("invalid", "RES-5", alarms=(DeviceAlarm("no_breath", "high", "-", "-"),)),
    "four times the rate": _of_pump(210, "infusing", "INF-1", "INF-2"),
    "more than it can show": _of_pump("overflow", "infusing", "INF-1", "INF-2"),
    "half the rate": _of_pump(25, "infusing", "INF-1"),
    "stopped early": _of_pump(0, "stopped", "INF-3", phases=("INFUSING", "PAUSED")),
    "a pump's alarm": _of_pump(0, "alarm", "INF-4", phases=ALWAYS,
                               alarms=(DeviceAlarm("occlusion", "high", "-", "-"),)),
}
KINDS: dict[str, tuple[str, ...]] = {
    "oximeter": tuple(name for name, one in DANGERS.items() if one.device == "oximeter"),
    "monitor": tuple(name for name, one in DANGERS.items() if one.device == "capno"),
    "pump": tuple(name for name, one in DANGERS.items() if one.device == "pump"),
}


_JUDGED_BY: dict[tuple[str, frozenset[str]], RuleSet] = {}


def judged_by(rules: RuleSet, deserved: frozenset[str]) -> RuleSet:
    """Of these rules those of the groups of the deserved ones, and what says that a device is not watched."""
    key = (rules.hash, deserved)
    if key not in _JUDGED_BY:
        groups = {rule.group for rule in rules if rule.id in deserved and rule.group}
        _JUDGED_BY[key] = assemble([rule for rule in rules if rule.id in deserved | TECHNICAL or rule.group in groups],
                                   rules.engine, rules.hash)
    return _JUDGED_BY[key]


class WatchedBed:
    """A bed in some phase whose devices do what a test says."""

    def __init__(self, devices: Devices, rules: RuleSet, phase: Phase, baseline: Baseline | None = BASELINE,
                 interval_s: float = 300.0) -> None:
        self._devices, self._rules, self.interval_s = devices, rules, interval_s
        self.bed, self.at_s = self._built(), T0
        over, began = phase in COURSE[2:], phase in COURSE
        self.bed.state.session = Session(
            "s", "bed", Order("iv_racemic_40", 70, 0.5, 40, 1, nibp_interval_min=interval_s / 60), phase, T0, T0 - 1500,
            "nurse", baseline=baseline, started_s=T0 - 1200 if began else None, ended_s=T0 - 600 if over else None,
            checklist=True, delivered_ml=36.0 if over else 10.0, infused_s=600 if began else 0,
            dissociation="expected" if began else "none")
        self.bed.state.determinations = [Determination(T0 - 200, 120, 75, 90, 70), Determination(T0 - 100, 120, 75, 90)]
        self.links: dict[str, Link] = {}
        self._connect(None)

    def _built(self) -> Bedside:
        protocols = PROTOCOLS if self._rules is RULES else UNGATED
        return Bedside("bed", self._devices, self._rules, nibp_interval_s=self.interval_s, protocols=protocols)

    def _connect(self, remembered: str | None) -> None:
        for name in self.bed.state.devices:
            link = self.links[name] = Link("bed", name, SILENT_AFTER_S, now=lambda: self.at_s, remembered=remembered)
            link.opened(self.at_s - T0)

    def standing(self, *of: str) -> set[str]:
        """The rules whose alarms stand, of these devices or of the bed."""
        return {alarm.rule for alarm in self.bed.state.alarms.values()
                if alarm.state in ACTIVE and (alarm.device is None or alarm.device in of)}

    def send(self, device: str, kinds: Kind | Mapping[str, Kind], values: Mapping[str, float | str],
             state: PumpState | None = None, alarms: tuple[DeviceAlarm, ...] | None = None) -> None:
        """One second of a device: what it would say, and what becomes of it, of each metric or of all."""
        link = self.links[device]
        if kinds == "gone":
            link.lost("cable out", self.at_s - T0)
        elif kinds == "other":
            self._frame(link, Identity("another"))
        elif kinds != "none":
            self._frame(link, Identity("the one"), Reading("spo2_pct", 1.0))
        self._report(device)
        if kinds in ("gone", "none", "other") or not link.up:
            return
        at_s = round(self.at_s, 3)
        if state is not None and kinds == "good":
            self.bed.apply(PumpStatus(device, state), at_s)
        if alarms is not None:
            self.bed.apply(DeviceAlarmsReported(device, alarms), at_s)
        each = dict.fromkeys(values, kinds) if isinstance(kinds, str) else kinds
        if values:
            self.bed.apply(Samples(device, tuple(self._sample(device, metric, value, each.get(metric, "good"))
                                                 for metric, value in values.items())), at_s)

    def _frame(self, link: Link, *items: Decoded) -> None:
        link.received(10, self.at_s - T0)
        link.understood(10)
        link.good(items, self.at_s - T0)

    def _sample(self, device: str, metric: str, value: float | str, kind: Kind) -> Sample:
        at_s = round(self.at_s, 3)
        if isinstance(value, str):
            beyond: Validity = "overflow" if value == "overflow" else "underflow" if value == "underflow" else "invalid"
            return Sample("bed", device, metric, None, beyond if kind == "good" else "invalid", at_s)
        return Sample("bed", device, metric, value if kind in ("good", "doubt") else None, VALIDITIES[kind], at_s)

    def _report(self, device: str) -> None:
        for change in self.links[device].changes:
            self.bed.apply(change, round(self.at_s, 3))
        self.links[device].changes.clear()

    def tick(self, *, for_s: float = 1.0) -> None:
        """All devices have sent what they had to; the time goes on."""
        for name, link in self.links.items():
            link.passed(self.at_s - T0)
            self._report(name)
        self.bed.apply(Tick(), round(self.at_s, 3))
        self.at_s += for_s

    def restart(self, gap_s: float) -> None:
        """The edge is gone for `gap_s`, and goes on from what it wrote down."""
        snapshot, self.bed = self.bed.snapshot(), self._built()
        self.bed.restore(snapshot)
        self.at_s += gap_s
        self.bed.apply(Boot("again", gap_s), round(self.at_s, 3))
        self._connect("the one")

    def sleep(self, gap_s: float) -> None:
        """The machine sleeps for `gap_s`."""
        self.at_s += gap_s
        self.bed.apply(WatchPaused(gap_s, "slept"), round(self.at_s, 3))


# --- patterns ---------------------------------------------------------------------------------------------------------

HOLES: tuple[tuple[Kind, ...], ...] = (
    ("bad",), ("doubt",), ("none",), ("gone",), ("na",), ("other",), ("bad", "none"), ("gone", "none"),
    ("bad", "doubt", "none", "gone"))


def pattern(random: Random) -> Iterator[Kind]:
    """Seconds for ever: good ones, and holes of one kind or of several, in a rhythm, by dice, in runs, or seldom."""
    holes, style = random.choice(HOLES), random.randrange(5)
    if style == 0:
        good, bad = random.randint(1, 25), random.randint(1, 25)
        while True:
            yield from ["good"] * good
            yield from [random.choice(holes)] * bad
    if style == 1:
        share = random.random()
        while True:
            yield "good" if random.random() < share else random.choice(holes)
    if style == 2:
        falls, rises, good = random.random() / 2, random.random() / 2, True
        while True:
            good = good != (random.random() < (falls if good else rises))
            yield "good" if good else random.choice(holes)
    if style == 3:
        apart = random.randint(2, 14)
        while True:
            yield from ["good", *["none"] * (apart - 1)]
    while True:
        yield from ["good"] * random.randint(1, 60)
        yield from [random.choice(holes)] * random.randint(1, 60)


def one_by_one(random: Random, metrics: Mapping[str, object]) -> Iterator[Mapping[str, Kind]]:
    """The same for each metric by itself; the device always sends."""
    each = {metric: pattern(random) for metric in metrics}
    while True:
        found = {metric: next(seconds) for metric, seconds in each.items()}
        yield {metric: kind if kind in VALIDITIES else "bad" for metric, kind in found.items()}


def turns(random: Random) -> Iterator[tuple[Kind, Kind]]:
    """The seconds of two devices of a kind."""
    one, other, style, for_s = pattern(random), pattern(random), random.randrange(5), random.randint(1, 20)
    second = 0
    while True:
        second += 1
        first, kinds = second // for_s % 2 == 0, (next(one), next(other))
        taking_turns = ((kinds[0], "gone"), ("good", "bad")) if first else (("gone", kinds[1]), ("bad", "good"))
        yield (kinds, *taking_turns, (kinds[0], "gone"), ("gone", kinds[1]))[style]


# --- one bed ----------------------------------------------------------------------------------------------------------


class Found(NamedTuple):
    """The longest time in which nothing stood, for how long that may be, and what the bed was."""

    longest_s: float
    limit_s: float
    what: str


@dataclass
class Stopwatch:
    """How long nothing has stood. A restart is said by itself, and holds begin anew with it."""

    since_s: float
    longest_s: float = 0.0

    def look(self, *, stands: bool, at_s: float) -> None:
        if stands:
            self.since_s = at_s
        self.longest_s = max(self.longest_s, at_s - self.since_s)

    def is_over(self, *, at_s: float, left_s: float, limit_s: float) -> bool:
        """Whether what is left is too short for a time above the limit, whatever comes."""
        return at_s - self.since_s + left_s <= limit_s


def trial(danger: str, number: int, rules: RuleSet = RULES, *, whole: bool = False) -> Found:
    """Live bed `number` of this danger. `whole`: with all four devices, and under all rules."""
    random = Random(f"{danger} {number}")
    told, phase, baseline = DANGERS[danger], random.choice(DANGERS[danger].phases), BASELINE
    if random.random() < 0.1 and danger != "pulse 52, his own is 75":
        baseline = Baseline(120, 75, 2, "pair", spo2_pct=97)
    second = f"{told.device}-2" if random.random() < 0.2 and told.device != "pump" else ""
    others = tuple(name for name in WHOSE if name != told.device) if whole else ()
    devices: Devices = tuple((name, WHOSE[name.removesuffix("-2")], "-") for name in (
        *others, told.device, *([second] if second else [])))
    bed = WatchedBed(devices, rules if whole else judged_by(rules, told.deserved), phase, baseline)
    limit_s = 60 + max(0.0, min(HOLD_S[rule] for rule in told.deserved) - 15)
    event, event_s = random.choice(("none",) * 6 + ("restart", "sleep")), random.randint(5, 70)
    lead_s, offset_s = random.choice((1, 1, 5, 70)), random.choice((0.0, 0.0, 0.37))
    if second:
        pairs = turns(random)
    elif random.random() < 0.3:
        alone: Iterator[Kind | Mapping[str, Kind]] = one_by_one(random, told.values)
    else:
        alone = pattern(random)
    watch, ends_s = Stopwatch(T0), int(limit_s) + 80
    for at in range(-lead_s, ends_s):
        _others(bed, others, phase)
        bed.at_s += offset_s
        if at < 0:
            _well(bed, told.device, phase)
            if second:
                _well(bed, second, phase)
        else:
            for name, kinds in zip((told.device, second), next(pairs), strict=True) if second else (
                    (told.device, next(alone)),):
                bed.send(name, kinds, _moving(told, at, name), told.state, told.alarms)
        bed.tick()
        bed.at_s -= offset_s
        watch.look(stands=at < 0 or bool(bed.standing(told.device, second) & (told.deserved | TECHNICAL)),
                   at_s=bed.at_s)
        if at == event_s and event != "none":
            bed.restart(random.choice((0.5, 3, 20))) if event == "restart" else bed.sleep(random.choice((3, 20)))
            watch.since_s = bed.at_s
        if watch.is_over(at_s=bed.at_s, left_s=ends_s - 1 - at, limit_s=limit_s):
            break
    return Found(watch.longest_s, limit_s, f"{phase}, {second or 'alone'}, {event} at {event_s}")


def _moving(danger: Danger, second: int, name: str) -> dict[str, float | str]:
    """What it says, with a perfusion index that moves as one does."""
    more = {"perfusion_index_pct": 3 + (second % (7 if name == danger.device else 5)) / 10}
    return dict(danger.values) | (more if danger.device == "oximeter" else {})


def _others(bed: WatchedBed, names: tuple[str, ...], phase: Phase) -> None:
    for name in names:
        _well(bed, name, phase)


def _well(bed: WatchedBed, name: str, phase: Phase) -> None:
    """An ordinary second of a device."""
    second, runs = round(bed.at_s - T0), phase == "INFUSING"
    values: dict[str, float | str]
    if name.startswith("oximeter"):
        values = {"spo2_pct": 97, "pulse_bpm": 70, "perfusion_index_pct": 3 + second % 7 / 10}
    elif name.startswith("capno"):
        values = {"resp_bpm": 14, "etco2_mmhg": 38}
    elif name == "pump":
        values = {"rate_ml_h": 52.5 * runs, "volume_infused_ml": round(10 + second * 52.5 / 3600 * runs, 2)}
        bed.send(name, "good", values, "infusing" if runs else "stopped", ())
        return
    else:
        values = measured(120, 75) if second % bed.interval_s == 0 else {}
    bed.send(name, "good", values)


def measured(sbp: float | str, dbp: float) -> dict[str, float | str]:
    """A determination; of a systolic beyond what can be measured it has no mean."""
    if isinstance(sbp, str):
        return {"sbp_mmhg": sbp, "dbp_mmhg": dbp}
    return dict(zip(DETERMINATION, (sbp, dbp, round((sbp + 2 * dbp) / 3), 70), strict=True))
