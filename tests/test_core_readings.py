"""What may be judged by: enough of it, possible in a patient, in order, and of this bed."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf

import pytest

from edge.core.bedside import Misdirected
from edge.core.plausible import accepted, is_believed, measured
from edge.core.state import Determination, LatestValue
from edge.model import (
    Command,
    DeviceAlarmsReported,
    Input,
    LinkChanged,
    PumpStatus,
    Sample,
    Samples,
    Tick,
    Validity,
)
from edge.vocabulary import DETERMINATION, METRICS
from tests.helpers.bed_story import T0, BedStory, spo2, state_of, text_of, ticks
from tests.helpers.rule_files import RULES

LOW, HIGH, NONE, DOUBT = 88.0, 97.0, None, -1.0  # DOUBT: questionable


def breathe(story: BedStory, readings: Sequence[float | None]) -> None:
    """One reading a second; a DOUBT repeats the last number."""
    for value in readings:
        if value == DOUBT:
            spo2(story, 93.0, "questionable")
        else:
            spo2(story, value, "valid" if value is not None else "invalid")


# --- coverage ---------------------------------------------------------------------------------------------------------

RAISED: list[tuple[str, Sequence[float | None], str]] = [
    ("all of fifteen", [89.9] * 15, "active"),
    ("twelve of fifteen", ([89.9] * 4 + [DOUBT]) * 3, "pending"),
    ("twelve of fifteen, and one more", [89.9] + ([89.9] * 4 + [DOUBT]) * 3 + [89.9], "active"),
    ("two of three", [89.9, 89.9, DOUBT] * 10, "pending"),
    ("every other one", [89.9, NONE] * 30, "pending"),
    ("every fourth", [89.9, DOUBT, DOUBT, DOUBT] * 15, "pending"),
    ("a hole of four in sixty", [89.9] * 10 + [NONE] * 4 + [89.9] * 12, "active"),
]


@pytest.mark.parametrize(("what", "readings", "state"), RAISED, ids=[what for what, *_ in RAISED])
def test_a_hold_needs_four_seconds_of_five(what: str, readings: Sequence[float | None], state: str) -> None:
    story = BedStory().infusing()
    breathe(story, readings)
    assert state_of(story, "RES-2") == state


CLEARED: list[tuple[str, Sequence[float | None], str]] = [
    ("ten good ones", [HIGH] * 11, "inactive"),
    ("eight of ten", [HIGH] * 4 + [DOUBT] + [HIGH] * 4 + [DOUBT] + [HIGH], "inactive"),
    ("two of three", [HIGH, HIGH, NONE] * 10, "active"),
    ("every other one", [HIGH, DOUBT] * 15, "active"),
    ("six, and then nothing", [HIGH] * 6 + [NONE] * 20, "active"),
]


@pytest.mark.parametrize(("what", "readings", "state"), CLEARED, ids=[what for what, *_ in CLEARED])
def test_so_does_the_time_to_clear(what: str, readings: Sequence[float | None], state: str) -> None:
    story = BedStory().infusing()
    breathe(story, [LOW] * 16)
    assert state_of(story, "RES-2") == "active"
    breathe(story, readings)
    assert state_of(story, "RES-2") == state


def test_six_good_readings_and_then_silence_end_nothing() -> None:
    story = BedStory().infusing()
    breathe(story, [80.0] * 12 + [HIGH] * 6)
    ticks(story, 12)
    assert state_of(story, "RES-3") == "active"


@pytest.mark.parametrize("every_s", [0.1, 1 / 3, 1.0, 1.2, 2.0])
def test_any_pace_of_a_stream_is_enough(every_s: float) -> None:
    story = BedStory().infusing()
    for _ in range(int(15 / every_s) + 2):
        spo2(story, 89.9, after_s=every_s)
    assert state_of(story, "RES-2") == "active"


def test_saturation_seconds_count_only_what_was_seen() -> None:
    story = BedStory().infusing()
    breathe(story, [86.0, DOUBT, DOUBT, DOUBT] * 12)  # 4 points a reading; 16 if the doubtful seconds counted
    assert state_of(story, "RES-2") == "pending"
    breathe(story, [86.0])
    assert state_of(story, "RES-2") == "active"


def test_a_saturation_whose_cable_is_out_says_nothing() -> None:
    story = BedStory().infusing()
    breathe(story, [89.9] * 12)
    story.give(LinkChanged("oximeter", "lost"))
    ticks(story, 4)
    assert state_of(story, "RES-2") == "pending"
    ticks(story, 4)
    assert state_of(story, "RES-2") == "inactive"


def test_nor_does_it_end_anything() -> None:
    story = BedStory().infusing()
    breathe(story, [LOW] * 16 + [HIGH] * 8)
    story.give(LinkChanged("oximeter", "silent"))
    ticks(story, 4)
    assert state_of(story, "RES-2") == "active"
    assert story.bed.state.alarms["RES-2"].no_data


# --- what no patient can have -----------------------------------------------------------------------------------------

IMPOSSIBLE: list[tuple[float, float, float | None, bool]] = [
    (104, 102, None, True), (100, 140, None, True), (120, 111, None, True), (120, 110, None, False),
    (39, 20, None, True), (120, 19, None, True), (300, 200, None, False), (300, 201, None, True),
    (120, 75, 75, True), (120, 75, 120, True), (120, 75, 90, False), (301, 90, None, True),
]


@pytest.mark.parametrize(("sbp", "dbp", "mean", "implausible"), IMPOSSIBLE)
def test_an_impossible_determination_is_a_failed_one(
    sbp: float, dbp: float, mean: float | None, implausible: bool,
) -> None:
    story = BedStory().infusing()
    known = len(story.bed.state.determinations)
    story.say("cuff", sbp_mmhg=sbp, dbp_mmhg=dbp, map_mmhg=mean)
    assert (len(story.bed.state.determinations) == known) is implausible
    assert story.bed.state.failed_determinations == int(implausible)
    shown = story.vitals()["numerics"]["sbp_mmhg"]
    assert (shown["value"], shown["reason"]) == ((None, "implausible") if implausible else (sbp, None))


def test_two_impossible_ones_are_a_technical_alarm() -> None:
    story = BedStory().infusing()
    for _ in range(2):
        story.bp(100, 140)
        story.give(Tick())
    assert text_of(story, "TEC-2:cuff").endswith("implausible")
    assert state_of(story, "HTN-3") == "inactive"


@pytest.mark.parametrize(("value", "validity"), [(29.9, "invalid"), (0.0, "invalid"), (30.0, "questionable")])
def test_a_saturation_that_nobody_has(value: float, validity: Validity) -> None:
    story = BedStory().infusing()
    spo2(story, value)
    assert story.bed.state.latest["spo2_pct"].validity == validity
    assert state_of(story, "RES-2") == "inactive"


LEAPS: list[tuple[str, list[tuple[float, float]], str]] = [  # after 98: (seconds later, reading)
    ("down and back", [(1, 40), (1, 97)], "inactive"),
    ("down and back, an uneven second", [(1.2, 40), (0.9, 97)], "inactive"),
    ("three a second", [(0.33, 40), (0.33, 40), (0.34, 40), (0.33, 97)], "inactive"),
    ("down twice", [(1, 40), (1, 40), (1, 40)], "active"),
    ("twenty is no leap", [(1, 78), (1, 58), (1, 58)], "active"),
]


@pytest.mark.parametrize(("what", "readings", "state"), LEAPS, ids=[what for what, *_ in LEAPS])
def test_a_leap_within_a_second_is_questionable(what: str, readings: list[tuple[float, float]], state: str) -> None:
    story = BedStory().infusing()
    for after_s, value in readings:
        spo2(story, value, after_s=after_s)
    assert state_of(story, "RES-2") == state


def test_a_leap_out_of_the_range_is_one_too() -> None:
    story = BedStory().infusing()
    spo2(story, None, "underflow")
    assert story.bed.state.latest["spo2_pct"].validity == "questionable"
    spo2(story, None, "underflow")
    assert state_of(story, "RES-2") == "active", "a second one is believed"


# --- order, and whose -------------------------------------------------------------------------------------------------


def test_a_reading_older_than_the_newest_is_ignored() -> None:
    story = BedStory().infusing()
    story.bp(190, 100)
    volume = story.session.delivered_ml
    for device, values in {"oximeter": {"spo2_pct": 50.0}, "cuff": {"sbp_mmhg": 120.0, "dbp_mmhg": 75.0},
                           "pump": {"volume_infused_ml": 1.0}}.items():
        story.give(Samples(device, tuple(Sample("chair-1", device, metric, value, "valid", story.at_s - 0.5)
                                         for metric, value in values.items())))
    shown = story.vitals()["numerics"]
    assert (shown["spo2_pct"]["value"], shown["sbp_mmhg"]["value"]) == (98, 190)
    assert state_of(story, "HTN-3") == "active"
    assert story.session.delivered_ml == volume


def sample(bed: str, device: str, metric: str) -> Samples:
    return Samples("oximeter", (Sample(bed, device, metric, 50.0, "valid", T0),))


MISDIRECTED: list[tuple[Input, str]] = [
    (Samples("ghost", ()), "bed chair-1 has no device 'ghost'; it has pump, cuff, oximeter"),
    (PumpStatus("pump-9", "infusing"), "bed chair-1 has no device 'pump-9'; it has pump, cuff, oximeter"),
    (LinkChanged("ghost", "live"), "bed chair-1 has no device 'ghost'; it has pump, cuff, oximeter"),
    (DeviceAlarmsReported("ghost", ()), "bed chair-1 has no device 'ghost'; it has pump, cuff, oximeter"),
    (sample("chair-1", "oximeter", "foo"), "bed chair-1, device oximeter: no metric is named 'foo'"),
    (sample("chair-2", "oximeter", "spo2_pct"), "bed chair-1, device oximeter got a sample of chair-2/oximeter"),
    (sample("chair-1", "cuff", "spo2_pct"), "bed chair-1, device oximeter got a sample of chair-1/cuff"),
    (Command("c", "main", "nina", "nurse", "chair-2", "audio_pause", {}), "bed chair-1 got a command for bed chair-2"),
]


@pytest.mark.parametrize(("given", "says"), MISDIRECTED, ids=range(len(MISDIRECTED)))
def test_what_is_not_of_this_bed_is_our_own_fault_and_says_so(given: Input, says: str) -> None:
    story = BedStory()
    before = story.bed.snapshot()
    with pytest.raises(Misdirected) as wrong:
        story.give(given)
    assert str(wrong.value) == says
    assert story.bed.snapshot() == before


@pytest.mark.parametrize(("sbp", "dbp", "believed"), [
    (40, 30, True), (39, 29, False), (40, 31, False), (300, 200, True), (301, 200, False), (300, 201, False),
    (40, 20, True), (40, 19, False),
])
def test_what_a_nurse_measures_is_believed_as_what_a_cuff_does(sbp: float, dbp: float, believed: bool) -> None:
    assert is_believed(sbp, dbp, RULES.engine) is believed


def test_a_pressure_beyond_the_range_is_a_breach_in_its_direction() -> None:
    one = Determination(T0, METRICS["sbp_mmhg"].high, METRICS["dbp_mmhg"].low, beyond=("sbp_mmhg", "dbp_mmhg"))
    assert (measured(one, "sbp_mmhg"), measured(one, "dbp_mmhg")) == (inf, -inf)
    assert measured(Determination(T0, 120, 75, beyond=("dbp_mmhg",)), "sbp_mmhg") == 120


@pytest.mark.parametrize(("sbp", "dbp", "mean", "possible"), [
    (120, 75, 90, True), (120, None, None, True), (None, 75, None, True), (None, 75, 60, True), (40, 30, None, True),
    (39, None, None, False), (300, 200, None, True), (301, None, None, False), (None, 20, None, True),
    (None, 19, None, False), (None, 200, None, True), (None, 201, None, False), (120, 110, None, True),
    (120, 111, None, False), (120, 75, 75, False), (120, 75, 76, True), (120, 75, 120, False), (120, 75, 119, True),
])
def test_which_numbers_of_a_cuff_are_possible(
    sbp: float | None, dbp: float | None, mean: float | None, possible: bool,
) -> None:
    given = {metric: Sample("bed", "cuff", metric, value, "valid", T0) for metric, value in (
        ("sbp_mmhg", sbp), ("dbp_mmhg", dbp), ("map_mmhg", mean), ("cuff_pressure_mmhg", 7)) if value is not None}
    found = accepted(given.values(), {}, RULES.engine)
    assert found["cuff_pressure_mmhg"].validity == "valid"
    if possible:
        assert found == given
    else:
        assert {one.reason for metric, one in found.items() if metric in DETERMINATION} == {"implausible"}


@pytest.mark.parametrize(("value", "said", "device", "was", "before_s", "validity"), [
    (30, "valid", "o", None, 1, "valid"), (29.9, "valid", "o", None, 1, "invalid"), (100, "valid", "o", 98, 1, "valid"),
    (101, "valid", "o", 98, 1, "invalid"), (78, "valid", "o", 98, 1.4, "valid"),
    (77.9, "valid", "o", 98, 1.4, "questionable"), (77.9, "valid", "o", 98, 1.5, "valid"),
    (77.9, "valid", "other", 98, 1, "valid"), (77.9, "valid", "o", None, 1, "valid"), (97, "valid", "o", 60, 1,
                                                                                       "questionable"),
    (None, "underflow", "o", 98, 1, "questionable"), (None, "underflow", "o", 98, 1.5, "underflow"),
    (None, "invalid", "o", 98, 1, "invalid"),
])
def test_which_saturation_is_believed(
    value: float | None, said: Validity, device: str, was: float | None, before_s: float, validity: Validity,
) -> None:
    latest = {"spo2_pct": LatestValue("o", was, "valid", None, T0, was, None if was is None else T0)}
    given = Sample("bed", device, "spo2_pct", value, said, T0 + before_s)
    assert accepted([given], latest, RULES.engine)["spo2_pct"].validity == validity
    if value != 29.9 and value != 101:
        assert accepted([given], {}, RULES.engine)["spo2_pct"] == given, "there was none before"
