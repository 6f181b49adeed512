"""An alarm that says one reading of a device is missing says nothing of the others, and its acknowledgement holds for
no more than it says: most of all at a monitor that measures everything.

`VIGIL_PATTERNS=10000 pytest tests/test_unwatched_monitor.py` draws so many beds.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from random import Random

import pytest

from edge.core.alarms import ACTIVE
from edge.core.rules import RuleSet, parse_rules
from edge.model import Command, DeviceAlarm, PumpStatus
from tests.helpers.rule_files import FILE, RULES
from tests.helpers.watched import (
    DANGERS,
    HOLD_S,
    T0,
    TECHNICAL,
    Danger,
    Devices,
    Kind,
    WatchedBed,
    judged_by,
    measured,
    one_by_one,
)

DEVICES: Devices = (("monitor", "monitor", "-"), ("pump", "pump", "-"))
WELL: Mapping[str, float | str] = {"spo2_pct": 97, "pulse_bpm": 70, "resp_bpm": 14, "etco2_mmhg": 38}
FINGER, BREATH, CUFF = ("spo2_pct", "pulse_bpm"), ("resp_bpm", "etco2_mmhg"), ("sbp_mmhg", "dbp_mmhg")
SAID = {"TEC-1": frozenset(FINGER), "TEC-2": frozenset(CUFF), "PRO-1": frozenset(CUFF)}  # what each tells of
OVERDUE_S, LOST_S = 620, 40  # by then PRO-1, or TEC-1, stands


def acknowledge(bed: WatchedBed, rule: str) -> None:
    """A nurse has seen this alarm."""
    alarm = next(alarm for alarm in bed.bed.state.alarms.values() if alarm.rule == rule)
    bed.bed.apply(Command(f"c{bed.at_s}", "main", "nina", "nurse", "bed", "acknowledge", {
        "alarm": alarm.id, "seq": alarm.seq}), round(bed.at_s, 3))


class Monitored(WatchedBed):
    """A bed with one monitor for everything, and a pump that runs."""

    def __init__(self, rules: RuleSet = RULES) -> None:
        super().__init__(DEVICES, rules, "INFUSING")
        self.second, self.determines = 0, "good"

    def live(self, for_s: int, *lost: str, values: Mapping[str, float | str] = WELL,
             kinds: Mapping[str, Kind] | None = None, alarms: tuple[DeviceAlarm, ...] = (),
             gone: bool = False) -> None:
        """So many seconds: these metrics are invalid, the others as `kinds` says, or valid. A cuff that `determines`
        measures every five minutes, or fails. `gone`: the monitor's cable is out."""
        for _ in range(for_s):
            moving = dict(values) | {"perfusion_index_pct": 3 + self.second % 7 / 10}
            each = dict.fromkeys(moving, "good") | dict(kinds or {}) | dict.fromkeys(lost, "bad")
            if self.second % 300 == 0 and self.determines != "none":
                moving |= measured(120 + self.second / 300, 75)
                each |= dict.fromkeys((*CUFF, "map_mmhg", "nibp_pulse_bpm"), self.determines)
            self.send("monitor", "gone" if gone else each, moving, None, alarms)
            volume_ml = round(10 + self.second * 52.5 / 3600, 2)
            self.send("pump", "good", {"rate_ml_h": 52.5, "volume_infused_ml": volume_ml}, "infusing", ())
            self.tick()
            self.second += 1

    def of(self, rule: str) -> str:
        """The state of this alarm of the monitor."""
        return next((alarm.state for alarm in self.bed.state.alarms.values() if alarm.rule == rule), "inactive")

    def acknowledge(self, rule: str) -> None:
        """A nurse has seen it."""
        acknowledge(self, rule)


def overdue(bed: Monitored) -> None:
    """PRO-1 stands."""
    bed.live(1)
    bed.determines = "none"
    bed.live(OVERDUE_S)


def failed(bed: Monitored) -> None:
    """TEC-2 stands."""
    bed.live(1)
    bed.determines = "bad"
    bed.live(OVERDUE_S)


def finger_off(bed: Monitored) -> None:
    """TEC-1 stands, and goes on."""
    bed.live(LOST_S)
    bed.live(LOST_S, *FINGER)


BEFORE = {"PRO-1": overdue, "TEC-2": failed, "TEC-1": finger_off}


@pytest.mark.parametrize(("said", "lost"), [
    ("PRO-1", BREATH), ("PRO-1", ("pulse_bpm",)), ("TEC-2", BREATH), ("TEC-2", ("pulse_bpm",)), ("TEC-1", BREATH)])
def test_what_else_is_lost_is_said(said: str, lost: tuple[str, ...]) -> None:
    bed = Monitored()
    BEFORE[said](bed)
    still = FINGER if said == "TEC-1" else ()
    assert (bed.of(said), bed.of("TEC-10")) == ("active", "inactive")
    bed.live(30, *still, *lost)
    before = bed.of("TEC-10")
    bed.live(1, *still, *lost)
    assert (before, bed.of("TEC-10"), bed.of(said)) == ("inactive", "active", "active")
    bed.live(32, *still)
    assert (bed.of("TEC-10"), bed.of(said)) == ("inactive", "active")


def test_the_rest_of_a_finger_is_said_by_tec_1() -> None:
    bed = Monitored()
    bed.live(LOST_S)
    bed.live(120, *FINGER)
    assert (bed.of("TEC-1"), bed.of("TEC-10")) == ("active", "inactive")


def test_whoever_knows_of_the_breath_does_not_know_of_the_finger() -> None:
    bed = Monitored()
    bed.live(LOST_S)
    bed.live(60, *BREATH)
    bed.acknowledge("TEC-10")
    bed.live(60, *BREATH)
    assert bed.of("TEC-10") == "acknowledged", "nothing new"
    bed.live(15, *BREATH, *FINGER)
    assert (bed.of("TEC-1"), bed.of("TEC-10")) == ("active", "acknowledged")


def test_whoever_knows_of_the_pulse_does_not_know_of_the_breath() -> None:
    bed = Monitored()
    bed.live(LOST_S)
    bed.live(40, "pulse_bpm")
    bed.acknowledge("TEC-10")
    bed.live(30, "pulse_bpm", *BREATH)
    before = bed.of("TEC-10")
    bed.live(1, "pulse_bpm", *BREATH)
    assert (before, bed.of("TEC-10")) == ("acknowledged", "active")


@pytest.mark.parametrize(("known", "then", "state"), [
    ((FINGER,), {"gone": True}, "active"),
    ((BREATH,), {"gone": True}, "active"),
    ((FINGER, BREATH), {"gone": True}, "active"),  # a cuff, too
    ((("pulse_bpm",),), FINGER, "active"),
    ((("pulse_bpm",), BREATH), FINGER, "active"),
])
def test_an_acknowledgement_holds_for_no_more_than_was_told(
    known: tuple[tuple[str, ...], ...], then: Mapping[str, bool] | tuple[str, ...], state: str,
) -> None:
    bed = Monitored()
    bed.live(LOST_S)
    for number in range(len(known)):
        lost = [metric for metrics in known[:number + 1] for metric in metrics]
        bed.live(60, *lost)
        for rule in ("TEC-1", "TEC-10"):
            if bed.of(rule) == "active":
                bed.acknowledge(rule)
    rule = "TEC-4" if isinstance(then, Mapping) else "TEC-1"
    assert bed.of(rule) == "inactive"
    bed.live(20, *lost, *(() if isinstance(then, Mapping) else then), gone=isinstance(then, Mapping))
    assert bed.of(rule) == state


@pytest.mark.parametrize(("more", "state"), [((), "acknowledged"), (BREATH, "active")])
def test_what_is_known_is_handed_on_in_silence_only_where_nothing_else_is_missing(
    more: tuple[str, ...], state: str,
) -> None:
    bed = Monitored()
    bed.live(LOST_S)
    for _ in range(5):  # the finger comes and goes: no hold of TEC-1 fills
        bed.live(12, *FINGER, *more)
        bed.live(1, *more)
    assert (bed.of("TEC-1"), bed.of("TEC-10")) == ("inactive", "active")
    bed.acknowledge("TEC-10")
    bed.live(20, *FINGER, *more)
    assert bed.of("TEC-1") == state


@pytest.mark.parametrize(("lost", "state"), [(FINGER, "acknowledged"), (("pulse_bpm",), "active")])
def test_of_an_oximeter_nothing_more_is_lost_with_its_cable(lost: tuple[str, ...], state: str) -> None:
    devices: Devices = (("oximeter", "oximeter", "-"),)
    bed = WatchedBed(devices, RULES, "INFUSING")
    seconds = ["good"] * LOST_S + ["lost"] * 60 + ["gone"] * 20
    for second, kind in enumerate(seconds):
        values = {"spo2_pct": 97, "pulse_bpm": 70, "perfusion_index_pct": 3 + second % 7 / 10}
        bed.send("oximeter", dict.fromkeys(lost, "bad") if kind == "lost" else kind, values)
        bed.tick()
        if kind == "lost":
            for alarm in list(bed.bed.state.alarms.values()):
                if alarm.state == "active" and alarm.rule in ("TEC-1", "TEC-10"):
                    acknowledge(bed, alarm.rule)
    assert {alarm.rule: alarm.state for alarm in bed.bed.state.alarms.values()
            if alarm.rule in TECHNICAL and alarm.state in ACTIVE} == {"TEC-4": state}


def test_of_a_pump_that_is_no_longer_heard_more_is_lost_than_its_rate() -> None:
    bed = WatchedBed((("pump", "pump", "-"),), RULES, "INFUSING")
    for kind in ["good"] * LOST_S + ["bad"] * 60 + ["gone"] * 20:
        bed.send("pump", kind if kind == "gone" else {"rate_ml_h": kind}, {"rate_ml_h": 52.5}, None, ())
        if kind != "gone":
            bed.bed.apply(PumpStatus("pump", "infusing"), bed.at_s)
        bed.tick()
        if "TEC-10" in bed.standing("pump"):
            acknowledge(bed, "TEC-10")
    assert bed.bed.state.alarms["TEC-3:pump"].state == "active"


# --- drawn ------------------------------------------------------------------------------------------------------------

HERE = {name: one for name, one in DANGERS.items() if one.device in ("oximeter", "capno")}
MANY = int(os.environ.get("VIGIL_PATTERNS", "0"))


def longest_s(number: int, rules: RuleSet = RULES) -> tuple[float, float, str]:
    """Of a drawn bed: the longest time in which neither a deserved alarm stood nor one that says this is not watched;
    for how long that may be; and what it was."""
    random = Random(f"monitor {number}")
    name = random.choice(list(HERE))
    danger, said = HERE[name], random.choice([*BEFORE, ""])
    if said == "TEC-1" and danger.device == "oximeter":
        said = ""  # it says so
    bed = Monitored(judged_by(rules, danger.deserved))
    (BEFORE[said] if said else lambda bed: bed.live(LOST_S))(bed)
    still = FINGER if said == "TEC-1" else ()
    kinds, since_s, longest = one_by_one(random, danger.values), bed.at_s, 0.0
    limit_s = 60 + max(0.0, min(HOLD_S[rule] for rule in danger.deserved) - 15)
    for _ in range(int(limit_s) + 80):
        bed.live(1, *still, values=dict(WELL) | dict(danger.values), kinds=next(kinds), alarms=danger.alarms or ())
        if any(alarm.state in ACTIVE and tells(alarm.rule, danger) for alarm in bed.bed.state.alarms.values()):
            since_s = bed.at_s
        longest = max(longest, bed.at_s - since_s)
    return longest, limit_s, f"{name} after {said or 'nothing'}"


def tells(rule: str, danger: Danger) -> bool:
    """Whether this alarm says what is wrong, or that it is not watched."""
    return rule in danger.deserved | {"TEC-4", "TEC-10"} or not SAID.get(rule, frozenset()).isdisjoint(danger.values)


@pytest.mark.slow
def test_of_a_monitor_of_everything() -> None:
    assert [found for number in range(MANY or 5) if (found := longest_s(number))[0] > found[1]] == []


def test_it_notices_when_one_alarm_speaks_for_all() -> None:
    text = FILE.read_text().replace("unwatched_s('TEC-1', 'TEC-2', 'TEC-3', 'TEC-4', 'PRO-1', 'PRO-7') > 30",
                                    "unwatched_s() > 30 and not own_alarm('TEC-1', 'TEC-2', 'PRO-1')")
    broken = parse_rules(text)
    assert broken.hash != RULES.hash
    assert any(found[0] > found[1] for number in range(99) for found in [longest_s(number, broken)])


# --- nothing measures it ----------------------------------------------------------------------------------------------


def test_of_a_bed_without_a_cuff_a_blood_pressure_is_overdue_all_the_same() -> None:
    devices: Devices = (("oximeter", "oximeter", "-"), ("capno", "monitor", "-"), ("pump", "pump", "-"))
    bed = WatchedBed(devices, RULES, "INFUSING")
    due_s = bed.bed.state.determinations[-1].at_s - T0 + bed.interval_s
    stood: dict[tuple[str, str], float] = {}
    for second in range(int(due_s) + 700):
        bed.send("oximeter", "good", {"spo2_pct": 97, "pulse_bpm": 70, "perfusion_index_pct": 3 + second % 7 / 10})
        bed.send("capno", "good", {"resp_bpm": 14, "etco2_mmhg": 38})
        bed.send("pump", "good", {"rate_ml_h": 52.5, "volume_infused_ml": 10.0 + second * 0.01}, "infusing", ())
        bed.tick()
        stood |= {(alarm.key, alarm.priority): second - due_s for alarm in bed.bed.state.alarms.values()
                  if alarm.rule == "PRO-1" and alarm.state == "active" and (alarm.key, alarm.priority) not in stood}
    assert stood == {("PRO-1", "low"): 300, ("PRO-1", "medium"): 600}
