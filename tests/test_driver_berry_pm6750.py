"""A Berry board: its cuff is started here and each result counts once; its numbers, alarms, and its twin."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import pytest

from drivers.berry_pm6750 import DRIVER, LONGEST_S, START, STOP, WAVES_SET, Pleth, encode
from drivers.contract import Decoded, DeviceAlarms, Driver, Reading, Wave
from drivers.kit.cuffs import STUCK
from simulators.berry_pm6750 import BerryTwin
from simulators.probe import SEARCH_S
from tests.helpers.dialogue_run import DialogueRun, StillPatient
from tests.helpers.golden_table import decoded_json, frames
from tests.helpers.oximeter_bench import alarms, all_of, listen, opened, spoiled, started

SPO2 = encode(0x04, 0, 97, 72)
MEASURING = encode(0x03, 0x04, 75, 0, 0, 0)
RESULT = encode(0x03, 0x00, 0, 118, 88, 72)
IDLE = encode(0x03, 0x28, 0, 0, 0, 0)
SOON = {"start_s": 30.0, "interval_s": 300.0, "first_pair_s": 90.0}


def with_twin(seconds: float = 0.0, **settings: object) -> tuple[DialogueRun, BerryTwin, StillPatient]:
    patient = StillPatient()
    twin = BerryTwin(patient)
    return opened(DRIVER, twin, seconds, {**SOON, **settings}), twin, patient


def of(items: Sequence[Decoded], metric: str) -> list[float | str | None]:
    found = [one for one in items if isinstance(one, Reading) and one.metric == metric]
    return [one.reason or one.validity.value if one.value is None else one.value for one in found]


def told(run: DialogueRun, metric: str) -> list[float | str | None]:
    return of(all_of(run), metric)


def test_a_driver_that_was_never_started_takes_each_frame_of_the_table_at_its_word_one_after_another() -> None:
    driver = DRIVER.driver()
    for row in [row for row in frames("berry_pm6750") if not row.bad] * 2:
        assert decoded_json(driver.decode(row.frame, None)) == row.expected, row


def test_one_bad_byte_is_never_a_number() -> None:
    for broken in spoiled(SPO2):
        items = listen(started(DRIVER), SPO2 * 2 + broken + SPO2 * 2)
        assert {one for one in of(items, "spo2_pct") if isinstance(one, float)} == {97.0}, broken


def test_two_flips_that_the_check_lets_through_are_questionable() -> None:
    items = listen(started(DRIVER), SPO2 * 2 + encode(0x04, 0, 97 - 32, 72 + 32) + SPO2 * 2)
    doubted = [one.validity.value for one in items if isinstance(one, Reading) and one.metric == "spo2_pct"]
    assert doubted == ["questionable", "valid", "questionable", "questionable", "valid"]


# --- the cuff, by hand ------------------------------------------------------------------------------------------------


def started_cuff(driver: Driver, at_s: float) -> None:
    """Up to the start of a determination."""
    driver.on_open()
    driver.next_request(at_s)
    assert driver.next_request(at_s + 30.0) is START


@pytest.mark.parametrize(("idle", "top_mmhg", "after_s", "systolic"), [
    (False, 150, 2.5, [118.0]),
    (False, 150, 2.4, []),
    (False, 116, 2.5, ["not_measured"]),  # it never rose above the systolic pressure
    (True, 150, 9.9, []),
    (True, 150, 10.0, ["not_measured"]),
])
def test_a_result_that_is_said_once(idle: bool, top_mmhg: int, after_s: float, systolic: list[object]) -> None:
    """By a board that was never heard while its cuff is idle; another would have said it again."""
    driver = DRIVER.driver(SOON)
    driver.on_open()
    driver.next_request(0.0)
    listen(driver, RESULT if idle else b"")
    assert driver.next_request(30.0) is START
    listen(driver, encode(0x03, 0x04, top_mmhg // 2, 0, 0, 0) + RESULT)
    driver.next_request(30.0 + after_s)
    assert of(listen(driver, encode(0x05, 0, 36, 7)), "sbp_mmhg") == systolic


@pytest.mark.parametrize(("what", "before", "after", "systolic"), [
    ("a result", b"", MEASURING + RESULT * 2, [118.0]),
    ("it repeats", b"", MEASURING + RESULT * 3, [118.0]),
    ("said once, and it measures on", b"", MEASURING + RESULT + MEASURING + RESULT, []),
    ("hurt, then as it is", b"", MEASURING + encode(0x03, 0, 0, 182, 88, 72) + RESULT * 2, [118.0]),
    ("as it is, then hurt", b"", MEASURING + RESULT + encode(0x03, 0, 0, 182, 88, 72) + RESULT, []),
    ("an over-pressure said once", b"", MEASURING + encode(0x03, 0x0C, 0, 0, 0, 0) + MEASURING, []),
    ("the last one still stands", RESULT * 2, RESULT * 2 + MEASURING * 2 + RESULT * 2, [118.0]),
    ("it never began", RESULT * 2, RESULT * 9, []),
    ("the board restarts and shows an older one", MEASURING + RESULT * 2, encode(0x03, 0x04, 40, 0, 0, 0) + RESULT * 2,
     [118.0, "not_measured"]),
    ("the same numbers, measured", MEASURING + RESULT * 2, MEASURING + RESULT * 2, [118.0, 118.0]),
    ("the board initialises", b"", MEASURING + encode(0x03, 0x24, 0, 0, 0, 0) + RESULT, ["module_error"]),
    ("an error with old pressures", b"", MEASURING + encode(0x03, 0x1C, 0, 118, 88, 72), ["artifact"]),
    ("a result it began before", MEASURING + RESULT * 2, b"", [118.0]),
])
def test_a_result_counts_once_and_where_it_was_measured(
    what: str, before: bytes, after: bytes, systolic: list[float | str]
) -> None:
    driver = DRIVER.driver({**SOON, "first_pair_s": 30.0})
    driver.on_open()
    driver.next_request(0.0)
    items = listen(driver, before)
    assert driver.next_request(30.0) is START
    items += listen(driver, after)
    assert of(items, "sbp_mmhg") == systolic


def test_a_board_that_does_not_begin_failed_and_the_next_comes_later() -> None:
    driver = DRIVER.driver(SOON)
    started_cuff(driver, 0.0)
    assert driver.next_request(44.9) is None
    assert driver.next_request(45.0) is None
    assert of(listen(driver, IDLE + SPO2), "sbp_mmhg") == ["not_measured"]
    assert (driver.next_request(74.9), driver.next_request(75.0)) == (None, START)


@pytest.mark.parametrize("busy", [encode(0x03, 0x28, 6, 0, 0, 0), encode(0x03, 0x24, 0, 0, 0, 0)])
def test_nothing_is_started_while_the_cuff_is_up_or_the_board_initialises(busy: bytes) -> None:
    driver = DRIVER.driver(SOON)
    driver.on_open()
    driver.next_request(0.0)
    listen(driver, busy)
    assert {driver.next_request(30.0 + second) for second in range(31)} == {None}
    assert of(listen(driver, SPO2), "sbp_mmhg") == ["not_measured"]
    listen(driver, IDLE)
    assert driver.next_request(91.0) is START


def test_one_that_does_not_end_is_stopped_and_a_stop_that_does_not_help_is_an_alarm_until_it_ends() -> None:
    driver = DRIVER.driver(SOON)
    started_cuff(driver, 0.0)
    listen(driver, MEASURING)
    asked = [driver.next_request(30.0 + second / 2) for second in range(round(LONGEST_S * 2) + 24)]
    assert [one for one in asked if one] == [STOP] * 5
    for _ in range(3):
        items = listen(driver, MEASURING + SPO2)
    assert STUCK.raw == "abort"
    assert DeviceAlarms((STUCK,)) in listen(driver_stuck(), MEASURING + SPO2)
    assert not [one for one in items if isinstance(one, DeviceAlarms)], "said once"
    assert DeviceAlarms(()) in listen(driver, IDLE + SPO2)


def driver_stuck() -> Driver:
    """One whose cuff did not obey five stops."""
    driver = DRIVER.driver(SOON)
    started_cuff(driver, 0.0)
    listen(driver, MEASURING)
    for second in range(round(LONGEST_S) + 12):
        driver.next_request(30.0 + second)
    return driver


def test_a_line_lost_while_it_measures_is_a_failed_determination_and_its_result_is_not_taken() -> None:
    driver = DRIVER.driver(SOON)
    started_cuff(driver, 0.0)
    listen(driver, MEASURING)
    driver.on_open()
    driver.next_request(60.0)
    assert of(listen(driver, RESULT + SPO2), "sbp_mmhg") == ["timeout"]


# --- with its twin, through the dialogue ------------------------------------------------------------------------------


@pytest.mark.slow
def test_an_hour_of_numbers_and_determinations() -> None:
    run, _, _ = with_twin(3600.0)
    assert set(told(run, "spo2_pct")) == {98.0}
    assert set(told(run, "heart_rate_bpm")) == {72.0}
    assert set(told(run, "resp_bpm")) == {14.0}
    assert set(told(run, "temp_c")) == {36.7}
    assert (set(told(run, "sbp_mmhg")), set(told(run, "nibp_pulse_bpm"))) == ({122.0}, {"unavailable"})
    starts = run.times("start_cuff")
    assert [round(later - earlier) for earlier, later in pairwise(starts)][:3] == [90, 300, 300]
    assert len(told(run, "sbp_mmhg")) == len(starts)
    assert (run.bad, run.dialogue.counters.late, run.times("stop_cuff")) == (0, 0, [])
    assert run.dialogue.state == "live"


@pytest.mark.parametrize(("hand", "reason"), [
    ("loose", "cuff_loose"), ("leak", "module_error"), ("motion", "artifact"), ("weak", "timeout")])
def test_a_determination_that_fails_says_why(hand: str, reason: str) -> None:
    run, twin, _ = with_twin()
    twin.hands[hand]()
    run.run(75.0)
    assert told(run, "sbp_mmhg") == [reason]


@pytest.mark.slow
def test_over_pressure_holds_until_the_line_is_opened_again() -> None:
    run, twin, _ = with_twin()
    twin.hands["overpressure"]()
    run.run(700.0)
    assert len(run.times("start_cuff")) == 1
    assert set(told(run, "sbp_mmhg")) == {"overpressure"}
    assert alarms(run)[-1] == ["NIBP 3"]
    twin.hands["ok"]()
    run.forget()
    run.open()
    run.run(330.0)
    assert told(run, "sbp_mmhg") == [122.0]
    assert alarms(run) == [[]]


def test_a_board_that_is_switched_on_again_is_set_again_and_its_other_waves_are_off() -> None:
    run, twin, _ = with_twin(20.0, start_s=7200.0)
    run.forget()
    run.run(5.0)
    quiet = run.dialogue.counters.received
    twin.hands["restart"]()
    run.run(10.0)
    assert {request.name for _, request in run.sent} == {*(one.name for one in WAVES_SET), "patient_adult"}
    before = run.dialogue.counters.received
    run.run(5.0)
    assert run.dialogue.counters.received - before < 5 * 60 * 6 + 500 < before - quiet


def test_the_spo2_wave_comes_at_the_rate_that_was_counted() -> None:
    run, _, _ = with_twin(30.0, start_s=7200.0)
    waves = [one for _, batch in run.decoded for one in batch if isinstance(one, Wave)]
    assert {(one.name, one.low, one.high, len(one.samples)) for one in waves} == {("pleth", 0, 100, 15)}
    assert {one.rate_hz for one in waves[20:]} <= {60.0, 61.0}
    samples = [sample for wave in waves for sample in wave.samples if sample is not None]
    assert (min(samples), max(samples)) == (10, 90)
    assert len(waves) > 90, "and all of it after the first seconds"


@pytest.mark.parametrize(("value", "sample"), [(0, 0), (100, 100), (101, None), (255, None)])
def test_a_sample_beyond_its_range_is_none(value: int, sample: int | None) -> None:
    pleth = Pleth()
    told: list[Wave] = []
    for count in range(400):
        told += pleth.sample(bytes((value,)), count / 40)
    assert {one.rate_hz for one in told} == {40.0}
    assert {one for wave in told for one in wave.samples} == {sample}


def test_leads_and_finger_off_leave_no_number_and_no_rhythm() -> None:
    run, twin, patient = with_twin(5.0)
    patient.pulse_bpm = 44.0
    run.run(5.0)
    assert alarms(run)[-1] == ["ECG 0B"]
    twin.hands["sensor_out"]()
    twin.hands["probe_off"]()
    run.run(2.0)
    run.forget()
    run.run(8.0)
    for metric in ("heart_rate_bpm", "resp_bpm", "spo2_pct", "pulse_bpm"):
        assert set(told(run, metric)) == {"sensor_off"}
    twin.hands["sensor_in"]()
    twin.hands["probe_on"]()
    run.run(SEARCH_S + 3)
    assert (told(run, "heart_rate_bpm")[-1], told(run, "pulse_bpm")[-1]) == (44.0, 44.0)
    assert alarms(run) == [["ECG 0B"]], "without leads it was over, and said so before"
