"""Never silently unwatched: whatever holes the readings have, within a minute an alarm stands, the patient's or one
that says who is not watched; and what is no fault raises nothing.

A pattern is drawn from a fixed seed: second by second a device sends what is true of the patient, something that cannot
be judged by, or nothing at all, in a rhythm or by dice. The link is the real one (`edge/field/link_state.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from random import Random

import pytest
from hypothesis import settings

from drivers.contract import Reading
from edge.core.alarms import ACTIVE
from edge.core.bedside import Bedside
from edge.core.rules import parse_rules
from edge.core.state import Baseline, Determination, Order, Session
from edge.field.link_state import Link
from edge.model import Command, DeviceKind, Phase, PumpStatus, Sample, Samples, Tick
from edge.vocabulary import DETERMINATION
from tests.helpers.rule_files import FILE
from tests.helpers.watched import WatchedBed

BREATHING = """
[[rule]]
id = "BREATH-1"
title = "Slow breathing"
class = "physiological"
priority = "high"
context = ["*"]
when = "resp_bpm < 8"
hold_s = 30
text = "-"
clears = "-"
why = "-"
source = "-"
"""
RULES = parse_rules(FILE.read_text() + BREATHING)
HOLD_S = {rule.id: rule.hold_s for rule in RULES}
T0 = 1_800_000_000.0
SILENT_AFTER_S = 5.0
TECHNICAL = {"TEC-1", "TEC-2", "TEC-3", "TEC-4", "TEC-10"}
DEVICES: tuple[tuple[str, DeviceKind, str], ...] = (
    ("pump", "pump", "-"), ("cuff", "nibp", "-"), ("oximeter", "oximeter", "-"), ("capno", "monitor", "-"),
)
BASELINE = Baseline(120, 75, 2, "pair", pulse_bpm=70)
INTERVAL_S = 300.0
PATTERNS = settings().max_examples // 14  # 7 of each danger; many more in test_unwatched_patterns.py
HOURS = settings().max_examples / 100
ORDER = Order("iv_racemic_40", 70, 0.5, 40, 1, nibp_interval_min=INTERVAL_S / 60)
Kind = str  # of a second: good, bad (an invalid reading), doubt (questionable), none (connected and silent), gone


class Bed:
    """A bed in the middle of an infusion whose devices do what a test says, second by second."""

    def __init__(self, *more: tuple[str, DeviceKind, str], baseline: Baseline | None = BASELINE) -> None:
        self.bed = Bedside("bed", (*DEVICES, *more), RULES, nibp_interval_s=INTERVAL_S)
        state = self.bed.state
        state.session = Session("s", "bed", ORDER, "INFUSING", T0, T0, "nurse", baseline=baseline, started_s=T0)
        state.determinations = [Determination(T0 - 200, 120, 75), Determination(T0 - 100, 120, 75)]
        self.at_s = T0
        self.links = {name: Link("bed", name, SILENT_AFTER_S, now=lambda: self.at_s) for name in self.bed.state.devices}
        for link in self.links.values():
            link.opened(0.0)
        self.raised: set[str] = set()

    @property
    def standing(self) -> set[str]:
        return {alarm.rule for alarm in self.bed.state.alarms.values() if alarm.state in ACTIVE}

    def standing_of(self, device: str) -> set[str]:
        return {alarm.rule for alarm in self.bed.state.alarms.values()
                if alarm.state in ACTIVE and alarm.device in (None, device)}

    def send(self, device: str, kind: Kind, values: dict[str, float]) -> None:
        """One second of a device."""
        link, real_s = self.links[device], self.at_s - T0
        if kind in ("good", "bad", "doubt"):
            link.received(10, real_s)
            link.understood(10)
            link.good([Reading("spo2_pct", 1.0)], real_s)
            self._report(device)
            if not link.up:
                return
            if device == "pump" and kind == "good":
                self.bed.apply(PumpStatus("pump", "infusing"), self.at_s)
            validity = {"good": "valid", "bad": "invalid", "doubt": "questionable"}[kind]
            self.bed.apply(Samples(device, tuple(
                Sample("bed", device, metric, None if kind == "bad" else value, validity, self.at_s)  # type: ignore[arg-type]
                for metric, value in values.items())), self.at_s)
        elif kind == "gone":
            link.lost("cable out", real_s)
        self._report(device)

    def _report(self, device: str) -> None:
        link = self.links[device]
        for change in link.changes:
            self.bed.apply(change, self.at_s)
        link.changes.clear()

    def tick(self) -> None:
        for name, link in self.links.items():
            link.passed(self.at_s - T0)
            self._report(name)
        self.bed.apply(Tick(), self.at_s)
        self.raised |= self.standing
        self.at_s += 1.0

    def others(self, but: str, *, cuff: bool = True) -> None:
        """What the other devices send in an ordinary second."""
        second = int(self.at_s - T0)
        if but != "oximeter":
            self.send("oximeter", "good", {"spo2_pct": 97, "pulse_bpm": 70})
        if but != "pump":
            self.send("pump", "good", {"rate_ml_h": 52, "volume_infused_ml": second / 60})
        if but != "capno":
            self.send("capno", "good", {"resp_bpm": 14})
        if but != "cuff" and cuff:
            self.send("cuff", "good", measured(120, 75) if second % INTERVAL_S == 0 else {})


def measured(sbp: float, dbp: float) -> dict[str, float]:
    return dict(zip(DETERMINATION, (sbp, dbp, (sbp + 2 * dbp) / 3, 70), strict=True))


def pattern(random: Random) -> Iterator[Kind]:
    """Seconds for ever: good ones, and holes of one kind or of several, in a rhythm or by dice."""
    holes = random.choice((["bad"], ["doubt"], ["none"], ["gone"], ["bad", "doubt", "none", "gone"]))
    if random.random() < 0.6:
        good, bad = random.randint(1, 20), random.randint(1, 20)
        while True:
            yield from ["good"] * good
            hole = random.choice(holes)
            yield from [hole] * bad
    share = random.random()
    while True:
        yield "good" if random.random() < share else random.choice(holes)


def longest_unwatched(device: str, values: dict[str, float], deserved: set[str], seconds: Iterator[Kind],
                      for_s: int = 180) -> int:
    """For how long at most nothing stood although the patient was in danger all the time."""
    bed, longest, unwatched = Bed(), 0, 0
    for _ in range(for_s):
        bed.others(but=device)
        bed.send(device, next(seconds), values)
        bed.tick()
        unwatched = 0 if bed.standing_of(device) & (deserved | TECHNICAL) else unwatched + 1
        longest = max(longest, unwatched)
    return longest


DANGER: dict[str, tuple[str, dict[str, float], set[str]]] = {
    "very low saturation": ("oximeter", {"spo2_pct": 80, "pulse_bpm": 70}, {"RES-2", "RES-3"}),
    "low saturation": ("oximeter", {"spo2_pct": 88, "pulse_bpm": 70}, {"RES-2"}),
    "slow breathing": ("capno", {"resp_bpm": 4}, {"BREATH-1"}),
    "the pump is not heard": ("pump", {"rate_ml_h": 52}, set()),
}


def within_s(deserved: set[str]) -> float:
    """60 s, and what the shortest hold is longer than 15 s."""
    return 60 + max(0.0, min((HOLD_S[rule] for rule in deserved), default=0.0) - 15)


def search(danger: str, count: int, seed: int) -> None:
    device, values, deserved = DANGER[danger]
    for number in range(count):
        random = Random(f"{seed} {number}")
        seconds = pattern(random)
        if danger == "the pump is not heard":  # then all of its seconds are holes or words: only TEC-3 and TEC-10 speak
            found = longest_hole_of_the_pump(seconds)
        else:
            found = longest_unwatched(device, values, deserved, seconds)
        assert found <= within_s(deserved), f"pattern {number} of seed {seed}: {found} s unwatched"


def longest_hole_of_the_pump(seconds: Iterator[Kind]) -> int:
    """For how long at most more than half of the last minute was without the pump's word, and nobody said so."""
    bed, longest, silent, words = Bed(), 0, 0, [True] * 60
    for _ in range(240):
        bed.others(but="pump")
        kind = next(seconds)
        bed.send("pump", kind, {"rate_ml_h": 52})
        bed.tick()
        words = [*words[1:], bed.bed.state.devices["pump"].link == "live"]
        silent = 0 if sum(words) >= 30 or bed.standing_of("pump") & TECHNICAL else silent + 1
        longest = max(longest, silent)
    return longest


@pytest.mark.parametrize("danger", DANGER)
def test_within_a_minute_an_alarm_stands_whatever_the_pattern(danger: str) -> None:
    search(danger, PATTERNS, seed=371)


def test_a_cuff_that_measures_now_and_then_or_not_at_all_is_said() -> None:
    """Nothing is known of a pressure between two measurements: what counts is how old the newest may become."""
    late_s = INTERVAL_S + 300 + 60
    for number in range(2):
        random, bed, measured_s = Random(f"cuff {number}"), Bed(), T0 - 100.0
        share, kind = random.random(), random.choice(("bad", "none", "gone"))
        for second in range(1300):
            bed.others(but="cuff")
            due = second % int(INTERVAL_S) == 0 and second > 0
            works = random.random() < share
            if due and works:
                measured_s = bed.at_s
            bed.send("cuff", "good" if works or not due else kind, measured(190, 100) if due else {})
            bed.tick()
            if bed.at_s - measured_s > late_s:
                assert bed.standing_of("cuff") & TECHNICAL, f"cuff {number}, {second} s"
            elif measured_s > T0 and bed.at_s - measured_s < INTERVAL_S:
                assert "HTN-3" in bed.standing


TURNS: dict[str, tuple[dict[str, float], set[str]]] = {
    "a fast pulse": ({"spo2_pct": 97, "pulse_bpm": 130}, {"CAR-1"}),
    "very low saturation": ({"spo2_pct": 80, "pulse_bpm": 70}, {"RES-3"}),
}


@pytest.mark.parametrize("hole", ["bad", "doubt"])
@pytest.mark.parametrize("danger", TURNS)
def test_two_oximeters_that_take_turns_watch_nobody(danger: str, hole: Kind) -> None:
    """Each has half of the bad seconds, and neither more than 30 of 60."""
    values, deserved = TURNS[danger]
    for turn_s in (2, 5):
        bed, unwatched = Bed(("oximeter-2", "oximeter", "-")), 0
        for second in range(100):
            bed.others(but="oximeter")
            first = second // turn_s % 2 == 0
            bed.send("oximeter", "good" if first else hole, values)
            bed.send("oximeter-2", hole if first else "good", values)
            bed.tick()
            unwatched = 0 if bed.standing & (deserved | TECHNICAL) else unwatched + 1
            assert unwatched <= within_s(deserved), f"{turn_s} s each"


def test_no_baseline_is_said_within_half_a_minute() -> None:
    bed = Bed(baseline=None)
    for _ in range(32):
        bed.others(but="")
        bed.tick()
    assert bed.standing == {"TEC-10"}


@pytest.mark.parametrize("pulse_bpm", [52, 70])  # 52 is slow for whoever has 72, and not for whoever has 60
def test_no_pulse_of_the_patient_s_own_is_said_within_half_a_minute(pulse_bpm: float) -> None:
    bed = Bed(baseline=Baseline(120, 75, 2, "pair"))
    for _ in range(32):
        bed.others(but="oximeter")
        bed.send("oximeter", "good", {"spo2_pct": 97, "pulse_bpm": pulse_bpm})
        bed.tick()
    assert bed.standing == {"TEC-10"}


@pytest.mark.parametrize("phase", ["PRECHECK", "READY"])
def test_holes_that_keep_a_hold_from_filling_count_also_before_there_is_a_baseline(phase: Phase) -> None:
    """A pulse of 45 every five seconds is no silence, and never 80 % of a hold; CAR-3 compares with a baseline."""
    bed = WatchedBed((("oximeter", "oximeter", "-"),), RULES, phase, Baseline(120, 75, 2, "pair"))
    for second in range(60):
        bed.send("oximeter", "good" if second % 5 == 0 else "none", {"spo2_pct": 97, "pulse_bpm": 45})
        bed.tick()
    assert bed.bed.state.alarms["TEC-10:oximeter"].state == "active"


# --- and what is no fault raises nothing ------------------------------------------------------------------------------


LEAVES_S, AWAY_S = 700, 590


def ordinary(bed: Bed, random: Random, holes: list[int]) -> None:
    """A second of a bed whose devices are well: a finger that moves now and then, a cuff on its arm, and once an hour
    the patient goes to the toilet, as planned."""
    second = int(bed.at_s - T0)
    if second % 3600 == LEAVES_S:
        bed.bed.apply(Command(f"off {second}", "c", "nurse", "nurse", "bed", "device_off", {
            "device": "oximeter", "minutes": 10, "reason": "to the toilet"}), bed.at_s)
    of_cycle = second % int(INTERVAL_S)
    inflated = of_cycle < 40
    if not holes and random.random() < 1 / 1200:  # three losses an hour, each of 3 to 14 s
        holes += [0] * random.randint(3, 14)
    arm = 5 <= of_cycle < 45
    away = LEAVES_S <= second % 3600 < LEAVES_S + AWAY_S
    bed.send("oximeter", "gone" if away else "bad" if arm or holes else "good", {"spo2_pct": 97, "pulse_bpm": 70})
    del holes[:1]
    bed.send("pump", "good", {"rate_ml_h": 52, "volume_infused_ml": second / 60})
    bed.send("capno", "good", {"resp_bpm": 14})
    bed.send("cuff", "good", {"cuff_pressure_mmhg": 150.0} if inflated else
             {"cuff_pressure_mmhg": 0.0} | (measured(120, 75) if of_cycle == 40 else {}))
    bed.tick()


def calm_hours(hours: float, seed: int) -> set[str]:
    bed, random, holes = Bed(), Random(seed), list[int]()
    for _ in range(int(hours * 3600)):
        ordinary(bed, random, holes)
    return bed.raised & TECHNICAL


def test_an_ordinary_finger_a_cuff_on_its_arm_and_a_planned_absence_raise_nothing() -> None:
    assert calm_hours(HOURS, seed=1) == set()


BROKEN: dict[str, Callable[[str], str]] = {
    "TEC-10 never rises": lambda text: text.replace("'PRO-7') > 30", "'PRO-7') > 60"),
    "the cuff excuses nothing": lambda text: text.replace("cuff_excuses_s = 60", "cuff_excuses_s = 0"),
}


def test_an_absence_longer_than_planned_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.test_unwatched.LEAVES_S", 0)
    monkeypatch.setattr("tests.test_unwatched.AWAY_S", 620)
    assert "TEC-1" in calm_hours(0.2, seed=1)


@pytest.mark.parametrize("gives", [True, False])
def test_a_monitor_is_asked_for_spo2_while_the_oximeter_is_away_where_it_has_given_it(gives: bool) -> None:
    bed = Bed()
    for second in range(60):
        if second == 10:
            bed.bed.apply(Command("off", "c", "nurse", "nurse", "bed", "device_off", {
                "device": "oximeter", "minutes": 10, "reason": "to the toilet"}), bed.at_s)
        spo2 = {"spo2_pct": 97.0} if gives and second == 0 else {}
        bed.send("capno", "good", {"resp_bpm": 14.0} | spo2)
        bed.send("oximeter", "good" if second < 10 else "gone", {"spo2_pct": 97, "pulse_bpm": 70})
        bed.tick()
    assert ("TEC-1" in bed.standing_of("capno")) is gives


def test_a_lost_finger_at_a_bed_with_a_capnograph_is_one_alarm() -> None:
    bed = Bed()
    for second in range(40):
        bed.send("capno", "good", {"resp_bpm": 14.0})
        bed.send("oximeter", "good" if second < 10 else "bad", {"spo2_pct": 97, "pulse_bpm": 70})
        bed.tick()
    assert "TEC-1" in bed.standing_of("oximeter")
    assert "TEC-1" not in bed.standing_of("capno")


@pytest.mark.parametrize("back_s", [0, 2])
def test_a_finger_that_moved_just_before_the_cuff_on_its_arm_inflated_is_no_loss(back_s: int) -> None:
    """Also where it was back for two seconds before the cuff took it away."""
    bed = Bed()
    for second in range(60):
        lost = 10 <= second < 58 and not 21 <= second < 21 + back_s
        bed.send("oximeter", "bad" if lost else "good", {"spo2_pct": 97, "pulse_bpm": 70})
        bed.send("cuff", "good", {"cuff_pressure_mmhg": 150.0 if 18 <= second < 58 else 0.0})
        bed.tick()
    assert not bed.raised & {"TEC-1", "TEC-10"}


@pytest.mark.parametrize("fault", BROKEN)
def test_these_tests_notice_when_it_breaks(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.test_unwatched.RULES", parse_rules(BROKEN[fault](FILE.read_text() + BREATHING)))
    if fault == "TEC-10 never rises":
        with pytest.raises(AssertionError, match="s unwatched"):
            search("slow breathing", 60, seed=371)
    else:
        assert "TEC-1" in calm_hours(0.5, seed=1)


@pytest.mark.parametrize(("ahead_s", "said"), [(20, {"INF-3"}), (31, {"INF-3"}), (32, {"INF-3", "TEC-10"})])
def test_a_long_hold_that_fills_is_no_hole(ahead_s: int, said: set[str]) -> None:
    rules = parse_rules(FILE.read_text().replace("unwatched_ahead_s = 20", f"unwatched_ahead_s = {ahead_s}"))
    bed, found = WatchedBed((("pump", "pump", "-"),), rules, "INFUSING"), set[str]()
    for second in range(122):
        assert ("INF-3" in found) == (second > 120)
        bed.send("pump", "good", {"rate_ml_h": 0.0, "volume_infused_ml": 10.0}, "stopped", ())
        bed.tick()
        found |= bed.standing("pump") & {"INF-3", "TEC-10"}
    assert found == said
