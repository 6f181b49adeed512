"""Two devices of one kind on a bed: a metric has one source at a time, and every pump's counter is its own."""

from __future__ import annotations

import json
from math import inf

import pytest

from edge.core import sources
from edge.core.bedside import Bedside
from edge.core.context import RuleContext
from edge.core.logic import Truth
from edge.core.state import Determination
from edge.model import (
    Boot,
    DeviceAlarm,
    DeviceAlarmsReported,
    DeviceKind,
    LinkChanged,
    PumpState,
    PumpStatus,
    Sample,
    Samples,
    Tick,
    Validity,
)
from tests.helpers.bed_story import BedStory, state_of, ticks
from tests.helpers.rule_files import RULES

SECOND: tuple[str, DeviceKind, str] = ("oximeter-2", "oximeter", "o")
PUMP_2: tuple[str, DeviceKind, str] = ("pump-2", "pump", "q")


def shown(story: BedStory) -> tuple[float | None, str]:
    """The SpO₂ on the screen, and whose it is."""
    numeric = story.vitals()["numerics"]["spo2_pct"]
    return numeric["value"], numeric["device"]


def both(story: BedStory, first: float | None, second: float | None, seconds: int = 1) -> None:
    for _ in range(seconds):
        story.at_s += 1
        story.say("oximeter", spo2_pct=first)
        story.say("oximeter-2", spo2_pct=second)
        story.give(Tick())


@pytest.mark.parametrize(("first", "second", "shows", "res_3"), [
    (84.0, 97.0, (84.0, "oximeter"), "active"),
    (97.0, 84.0, (97.0, "oximeter"), "inactive"),
    (None, 84.0, (84.0, "oximeter-2"), "active"),
    (None, None, (None, "oximeter"), "inactive"),
])
def test_the_first_with_something_valid_speaks(
    first: float | None, second: float | None, shows: tuple[float | None, str], res_3: str,
) -> None:
    story = BedStory(SECOND).infusing()
    both(story, first, second, 20)
    assert shown(story) == shows
    assert state_of(story, "RES-3") == res_3


def test_the_first_comes_back_at_once_and_its_fault_displaces_nothing() -> None:
    story = BedStory(SECOND).infusing()
    both(story, None, 95)
    both(story, None, 95)
    story.say("oximeter", spo2_pct=None)
    assert shown(story) == (95, "oximeter-2")
    story.say("oximeter", spo2_pct=97)
    assert shown(story) == (97, "oximeter")


def test_the_second_takes_over_when_the_first_is_too_old_or_its_cable_is_out() -> None:
    story = BedStory(SECOND).infusing()
    both(story, 97, 95)
    story.at_s += 10
    story.say("oximeter-2", spo2_pct=95)
    assert shown(story) == (97, "oximeter")
    story.at_s += 0.1
    story.say("oximeter-2", spo2_pct=95)
    assert shown(story) == (95, "oximeter-2")
    story.say("oximeter", spo2_pct=97)
    story.give(LinkChanged("oximeter", "lost"))
    story.say("oximeter-2", spo2_pct=94)
    assert shown(story) == (94, "oximeter-2")


def test_each_determination_is_of_one_cuff_and_each_counts() -> None:
    story = BedStory(("cuff-2", "nibp", "c")).infusing()
    story.bp(125, 78)
    story.at_s += 60
    story.say("cuff-2", sbp_mmhg=150, dbp_mmhg=90, map_mmhg=110)
    assert [cycle.sbp_mmhg for cycle in story.bed.state.determinations[-2:]] == [125, 150]
    assert story.bed.state.determinations[-2].map_mmhg is None, "no number of the other's"
    story.bp(None, None)
    story.say("cuff-2", sbp_mmhg=150, dbp_mmhg=90, map_mmhg=110)
    assert (story.bed.state.determinations[-1].sbp_mmhg, story.bed.state.failed_determinations) == (150, 0)


def test_of_three_devices_the_two_that_differ_most_are_compared() -> None:
    story = BedStory(SECOND, ("oximeter-3", "oximeter", "p")).opened()
    for name, value in (("oximeter", 97.0), ("oximeter-2", 96.0), ("oximeter-3", 90.0)):
        story.say(name, spo2_pct=value)
    context = RuleContext(story.bed.state, story.at_s)
    assert sources.differ(context, "spo2_pct", 60) == 7.0
    assert sources.differ_in_words(context, "spo2_pct", 60) == "SpO₂: oximeter 97 and oximeter-3 90 %"


# --- pumps ------------------------------------------------------------------------------------------------------------


def pumps(story: BedStory, seconds: int, *said: tuple[str, PumpState, float, float]) -> None:
    """Each second both pumps speak: name, state, rate, and the counter it begins with."""
    for second in range(seconds):
        story.at_s += 1
        for name, state, rate, counter in said:
            story.give(PumpStatus(name, state))
            grown = rate * second / 3600 if state == "infusing" else 0.0
            story.say(name, rate_ml_h=rate, volume_infused_ml=counter + grown)
        story.give(Tick())


def test_the_dose_is_the_sum_of_what_each_pump_gave() -> None:
    story = BedStory(PUMP_2).opened()
    pumps(story, 61, ("pump", "infusing", 60.0, 20.0), ("pump-2", "stopped", 0.0, 5.0))
    assert story.session.delivered_ml == pytest.approx(1.0)
    pumps(story, 61, ("pump", "stopped", 0.0, 21.0), ("pump-2", "infusing", 60.0, 5.0))
    assert story.session.delivered_ml == pytest.approx(2.0)


@pytest.mark.parametrize(("first", "second", "phase", "shows"), [
    ("stopped", "infusing", "INFUSING", "pump-2"), ("infusing", "stopped", "INFUSING", "pump"),
    ("stopped", "stopped", "READY", "pump"),
])
def test_a_bed_infuses_if_any_of_its_pumps_does(first: PumpState, second: PumpState, phase: str, shows: str) -> None:
    story = BedStory(PUMP_2).opened()
    story.spo2 = None
    rates = {"stopped": 0.0, "infusing": 52.5}
    pumps(story, 6, ("pump", first, rates[first], 0.0), ("pump-2", second, rates[second], 0.0))
    assert story.session.phase == phase
    assert story.vitals()["pump"]["device"] == shows


def test_the_period_opens_whichever_pump_infuses() -> None:
    story = BedStory(PUMP_2).opened()
    pumps(story, 305, ("pump", "stopped", 0.0, 0.0), ("pump-2", "infusing", 52.5, 0.0))
    assert [state for state, _ in story.dissociation()] == ["expected"]


def test_a_pump_that_infused_and_is_not_heard_may_still_run_whatever_the_other_says() -> None:
    story = BedStory(PUMP_2).opened()
    pumps(story, 10, ("pump", "infusing", 52.5, 0.0), ("pump-2", "stopped", 0.0, 0.0))
    story.give(LinkChanged("pump", "lost"))
    pumps(story, 60, ("pump-2", "stopped", 0.0, 0.0))
    assert story.phases() == ["READY", "INFUSING"]
    story.give(LinkChanged("pump", "live"))
    pumps(story, 6, ("pump", "stopped", 0.0, 0.0), ("pump-2", "stopped", 0.0, 0.0))
    assert story.phases()[-1] == "PAUSED"


# --- a counter that is not this patient's -----------------------------------------------------------------------------


def counted(story: BedStory, *counter: float) -> float:
    """What is added to the dose when the pump's counter shows this, one second apart, mL."""
    before = story.session.delivered_ml
    for shows in counter:
        story.at_s += 1
        story.say("pump", volume_infused_ml=shows)
    return round(story.session.delivered_ml - before, 3)


def test_another_pump_brings_another_counter() -> None:
    story = BedStory()
    story.give(LinkChanged("pump", "live", "", "8002-1"))
    story.infusing().until(5)
    story.give(LinkChanged("pump", "lost"))
    story.give(LinkChanged("pump", "live", "", "8002-2"))
    here = story.volume_ml
    assert counted(story, here + 1.2, here + 1.3) == 0.1
    story.give(Boot("boot-2", 20.0))
    story.give(LinkChanged("pump", "live", "", "8002-3"))
    assert counted(story, 0.9, 1.0) == 0.1


def test_a_wrong_device_on_the_cable_does_not_lose_what_went_in_meanwhile() -> None:
    story = BedStory()
    story.give(LinkChanged("pump", "live", "", "8002-1"))
    story.infusing().until(5)
    story.give(LinkChanged("pump", "wrong_device", "expected 8002-1, found 8002-2", "8002-2"))
    story.at_s += 60
    story.give(LinkChanged("pump", "live", "", "8002-1"))
    assert counted(story, story.volume_ml + 0.9) == 0.9


GROWTH: list[tuple[tuple[float, ...], float]] = [  # what the counter shows beyond 10 mL, and what of it is dose, mL
    ((0.5,), 0.5), ((1.5,), 1.5),  # 2000 mL/h, the most any pump does, and 1 mL to spare
    ((1.6,), 0.0), ((900.0,), 0.0),  # another pump without a name, or a glitch
    ((30.0, 30.1), 0.1),  # it is where counting goes on from
    ((900.0, 0.01), 0.0), ((900.0, 0.01, 0.02), 0.01),  # back from a glitch: nothing was cleared
    ((-10.0, -9.9), 0.1), ((-9.5,), 0.5),  # cleared: what it shows went in since
    ((-3.0,), 0.0),  # fell to what nobody can have given in a second: another pump
]


@pytest.mark.parametrize(("beyond", "dose"), GROWTH)
def test_a_counter_is_believed_as_far_as_a_pump_can_pump(beyond: tuple[float, ...], dose: float) -> None:
    story = BedStory().opened()
    story.say("pump", volume_infused_ml=9.0)
    counted(story, 10.0)
    assert counted(story, *(10.0 + more for more in beyond)) == pytest.approx(dose)


def test_after_a_long_silence_a_counter_may_have_grown_a_lot() -> None:
    story = BedStory().opened()
    story.say("pump", volume_infused_ml=10.0)
    ticks(story, 660)
    assert counted(story, 19.6) == pytest.approx(9.6)


@pytest.mark.parametrize(("validity", "value", "infuses"), [
    ("valid", 60.0, True), ("valid", 0.0, False), ("overflow", None, True), ("underflow", None, False),
    ("measuring", None, True), ("invalid", None, None), ("questionable", 60.0, None),
])
def test_a_pump_infuses_at_a_rate_that_is_known(validity: Validity, value: float | None, infuses: Truth) -> None:
    story = BedStory().infusing()
    story.give(Samples("pump", (Sample("chair-1", "pump", "rate_ml_h", value, validity, story.at_s),)))
    assert RuleContext(story.bed.state, story.at_s).infusing() is infuses


def test_a_snapshot_of_the_time_before_can_be_read() -> None:
    """What it does not say yet has its default, and what nobody asks for any more is no fault."""
    story = BedStory().infusing()
    told = json.loads(story.bed.snapshot())
    told["pump_volume_ml"] = 20.0
    for new in ("closed", "orphans"):
        del told[new]
    for device in told["devices"].values():
        for new in ("known_at_s", "infused", "rate_ml_h", "rate_at_s", "volume_ml", "volume_at_s", "volume_of",
                    "volume_doubtful", "newest_s"):
            del device[new]
    for seen in told["seen"].values():
        del seen["covered"]
    for new in ("infusing_at_boot", "unready_since_s"):
        del told["session"][new]
    story.bed.restore(json.dumps(told).encode())
    story.until(1)
    assert story.session.phase == "INFUSING"
    assert story.session.delivered_ml == pytest.approx(52.5 / 60, abs=0.05)


@pytest.mark.parametrize("kind", ["oximeter", "nibp", "pump"])
def test_each_device_of_a_kind_has_alarms_of_its_own(kind: DeviceKind) -> None:
    """Three of a kind on one bed, all lost and each with its own alarm: three alarms, and each ends for itself."""
    names = [f"{kind}-{number}" for number in (1, 2, 3)]
    bed = Bedside("b", [(name, kind, "d") for name in names], RULES)
    at_s = 1e9
    for name in names:
        bed.apply(LinkChanged(name, "live"), at_s)
        if kind != "oximeter":
            bed.apply(DeviceAlarmsReported(name, (DeviceAlarm("fault", "high", "F", "fault"),)), at_s)
        bed.apply(LinkChanged(name, "lost"), at_s)
    for second in range(11):
        bed.apply(Tick(), at_s + second)
    own = {"pump": ["INF-4", "TEC-3"], "nibp": ["TEC-4", "TEC-9"], "oximeter": ["TEC-4"]}[kind]
    assert active(bed) == {f"{rule}:{name}" for rule in own for name in names}
    bed.apply(LinkChanged(names[1], "live"), at_s + 11)
    bed.apply(DeviceAlarmsReported(names[1], ()), at_s + 11)
    for second in range(12, 18):
        bed.apply(PumpStatus(names[1], "stopped"), at_s + second) if kind == "pump" else None
        bed.apply(Tick(), at_s + second)
    assert active(bed) == {f"{rule}:{name}" for rule in own for name in (names[0], names[2])}


def active(bed: Bedside) -> set[str]:
    return {key for key, alarm in bed.state.alarms.items() if alarm.state == "active"}


# --- both on the screen -----------------------------------------------------------------------------------------------


def others(story: BedStory) -> list[tuple[str, str, float, float, bool]]:
    return [(one["device"], one["metric"], one["value"], one["age_s"], one["stale"])
            for one in story.vitals().get("others", ())]


def test_what_the_second_device_says_stands_beside_the_first_with_its_own_age() -> None:
    story = BedStory(SECOND).infusing()
    both(story, 97.0, 84.0)
    assert shown(story) == (97.0, "oximeter") and others(story) == [("oximeter-2", "spo2_pct", 84.0, 0.0, False)]
    both(story, None, 84.0)
    assert shown(story) == (84.0, "oximeter-2") and others(story) == [], "the first says nothing"
    both(story, 96.0, 85.0)
    story.at_s += 11
    assert others(story) == [("oximeter-2", "spo2_pct", 85.0, 11.0, True)]
    story.give(LinkChanged("oximeter-2", "lost", "the cable is out"))
    assert others(story) == [], "that it is lost is an alarm"


def test_the_pressure_of_the_cuff_that_measured_before_stays_beside_the_newest() -> None:
    story = BedStory(("cuff-2", "nibp", "c")).infusing()
    story.bp(120, 75)
    story.at_s += 120
    story.say("cuff-2", sbp_mmhg=190.0, dbp_mmhg=125.0, map_mmhg=146.0)
    assert story.vitals()["numerics"]["sbp_mmhg"]["value"] == 190
    found = {(device, metric): (value, age_s) for device, metric, value, age_s, _ in others(story)}
    assert found["cuff", "sbp_mmhg"] == (120, 120) and found["cuff", "dbp_mmhg"] == (75, 120)


def test_what_was_measured_of_another_patient_stands_beside_nothing() -> None:
    story = BedStory(("cuff-2", "nibp", "c")).infusing()
    story.say("cuff-2", sbp_mmhg=190.0, dbp_mmhg=125.0, map_mmhg=146.0)
    story.give(PumpStatus("pump", "stopped"))
    ticks(story, 60)
    story.command("end_infusion", reason="enough")
    assert story.reason(story.command("close_session", reason="to the ward", whose="hers: seen")) == ""
    story.bp(118, 74)
    assert others(story) == []


@pytest.mark.parametrize(("told", "words"), [
    ({"sbp_mmhg": 150.0, "dbp_mmhg": 90.0}, "about 110"),
    ({"sbp_mmhg": 150.0, "dbp_mmhg": 90.0, "map_mmhg": 112.0}, "112"),
    ({"sbp_mmhg": 150.0}, None), ({"sbp_mmhg": inf, "dbp_mmhg": 90.0}, None),
])
def test_a_mean_pressure_that_nobody_measured_is_said_to_be_estimated(
    told: dict[str, float], words: str | None, monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(RuleContext, "metric", lambda _, metric: told.get(metric))
    assert sources.mean_in_words(RuleContext(BedStory().bed.state, 0.0)) == words


@pytest.mark.parametrize(("running", "at_s"), [(True, 39.0), (False, 37.0)])
def test_when_the_pumps_last_said_whether_they_run(running: bool, at_s: float) -> None:
    story = BedStory(("pump-2", "pump", "p"), ("pump-3", "pump", "p"), ("pump-4", "pump", "p"))
    told: tuple[tuple[str, PumpState, float], ...] = (
        ("pump", "infusing", 38.0), ("pump-2", "infusing", 39.0), ("pump-3", "stopped", 40.0),
        ("pump-4", "stopped", 37.0))
    for name, said, said_s in told:
        pump = story.bed.state.devices[name]
        pump.link, pump.pump, pump.pump_at_s, pump.rate_ml_h, pump.rate_at_s = "live", said, said_s, 5.0, said_s
    assert RuleContext(story.bed.state, 41.0).status_at_s(running) == at_s


@pytest.mark.parametrize(("taken_s", "unknown"), [
    ((), True), ((-400,), True), ((-700, -400), False), ((-1100, -400), True), ((-800, -100), False)])
def test_whether_a_pair_could_be_that_is_not_found(taken_s: tuple[int, ...], unknown: bool) -> None:
    story = BedStory().infusing()
    story.bed.state.determinations = [Determination(story.at_s + at_s, 120, 75) for at_s in taken_s]
    assert RuleContext(story.bed.state, story.at_s).pair_is_unknown() is unknown
