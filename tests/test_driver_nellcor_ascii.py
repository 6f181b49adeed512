"""A Nellcor's lines: no held or damaged number passes for a live one; its alarms are shown as its own."""

from __future__ import annotations

import pytest

from drivers.contract import ALARMS, REASONS, BadFrame, Decoded, DeviceAlarms, Identity, Reading, Validity
from drivers.nellcor_ascii import BEYOND, DRIVER, JUMPS, SAYS, STATES
from simulators.nellcor_ascii import HEAD, HEAD_EVERY, SEARCH_S, NellcorTwin
from tests.helpers.dialogue_run import DialogueRun, StillPatient
from tests.helpers.golden_table import decoded_json, frames
from tests.helpers.oximeter_bench import alarms, listen, spoiled, started

GOOD = [row for row in frames("nellcor_ascii") if not row.bad]
LINE = b"29-Dec-17 07:18:43    99      66      12                     \r\n"
VALID, QUESTIONABLE, INVALID, UNAVAILABLE = (
    Validity.VALID, Validity.QUESTIONABLE, Validity.INVALID, Validity.UNAVAILABLE)


def of(items: list[Decoded], metric: str) -> list[tuple[float | None, Validity]]:
    return [(item.value, item.validity) for item in items if isinstance(item, Reading) and item.metric == metric]


def run_of(patient: StillPatient | None = None) -> DialogueRun:
    run = DialogueRun(DRIVER, NellcorTwin(patient or StillPatient()))
    run.open()
    return run


# --- the table and the words ------------------------------------------------------------------------------------------


def test_a_driver_that_was_never_started_takes_each_line_of_the_table_at_its_word_one_after_another() -> None:
    driver = DRIVER.driver()
    for row in GOOD * 2:
        assert decoded_json(driver.decode(row.frame, None)) == row.expected, row


def test_reasons_and_alarms_are_words_of_the_contract() -> None:
    assert {reason for _, reason in STATES.values()} <= REASONS
    assert {alarm.code for alarm in (*SAYS.values(), *BEYOND.values())} <= ALARMS


def test_the_twins_lines_are_as_long_as_the_logged_ones() -> None:
    twin = NellcorTwin(StillPatient())
    for hand in ("still", "low_battery", "motion", "silence", "probe_off", "sensor_out", "sensor_in", "probe_on"):
        twin.hands[hand]()
        lines = twin.step(10.0).decode().split("\r\n")
        assert {len(line) for line in lines if line.startswith("0")} == {61}, hand
    head = [row.frame for row in GOOD if row.name in ("head", "head_mode", "head_titles")]
    assert [len(line) + 2 for line in HEAD.split("\r\n")[1:3]] == [len(line) for line in head[1:]]


# --- bad bytes --------------------------------------------------------------------------------------------------------


def at(turn: int, line: bytes = LINE) -> bytes:
    """The line as it is said so many lines later."""
    assert line[15:18] == LINE[15:18]
    return line[:16] + b"%02d" % (2 * turn) + line[18:]


def test_one_bad_byte_anywhere_is_never_a_valid_number_far_from_the_true_one() -> None:
    true = {"spo2_pct": 99.0, "pulse_bpm": 66.0}
    for bad in spoiled(at(2)):
        items = listen(started(DRIVER), at(0) + at(1) + bad + at(3) + at(4) + at(5))
        for metric, number in true.items():
            told = of(items, metric)
            wrong = [abs(value - number) for value, validity in told if value is not None and validity is VALID]
            assert max(wrong) <= JUMPS[metric], bad
            assert told[-1] == (number, VALID)
        assert [item for item in items if isinstance(item, DeviceAlarms)] == [DeviceAlarms(())], bad


@pytest.mark.parametrize(("turns", "taken"), [
    ([0, 1, 2], [0, 1, 2]),
    ([0, 1, 1, 2], [0, 1, 2]),  # twice
    ([10, 11, 3, 12], [10, 11, 12]),  # an old one come again
    ([10, 10, 10, 10], [10]),  # a device, or a line, that has stopped
    ([0, 1, 16, 17], [0, 1, 16, 17]),  # half a minute was lost
    ([0, 1, 18, 2], [0, 1, 2]),  # more than that in one line
    ([10, 11, 3, 4, 5, 6], [10, 11, 5, 6]),  # its clock was set
], ids=str)
def test_a_line_that_does_not_follow_the_one_before_is_no_number(turns: list[int], taken: list[int]) -> None:
    driver = started(DRIVER)
    found = []
    for turn in turns:
        try:
            driver.decode(at(turn), None)
        except BadFrame:
            continue
        found.append(turn)
    assert found == taken


def test_two_lines_run_into_one_are_neither() -> None:
    for cut in range(19, len(LINE) - 1):
        driver = started(DRIVER)
        for frame in driver.framing.feed(LINE[:cut] + LINE):
            with pytest.raises(BadFrame):
                driver.decode(frame, None)


# --- with its twin, through the dialogue ------------------------------------------------------------------------------


def test_two_quiet_minutes_hold_a_head_every_25_lines() -> None:
    run = run_of()
    run.run(120.0)
    told = [(reading.value, reading.validity) for _, reading in run.readings("spo2_pct")]
    assert told == [(98.0, QUESTIONABLE), *[(98.0, VALID)] * 59]
    assert {reading.value for _, reading in run.readings("pulse_bpm")} == {72.0}
    heads = [(at_s, item) for at_s, batch in run.decoded for item in batch if isinstance(item, Identity)]
    assert [(round(at_s), item) for at_s, item in heads] == [(2, Identity(None, "Nellcor N-560, version 1.56.00"))]
    assert run.dialogue.counters.frames == 60 + 3 * len(range(0, 60, HEAD_EVERY))
    assert alarms(run) == [[]]
    assert (run.bad, run.dialogue.counters.late, run.sent) == (0, 0, [])
    assert run.links()[-1][1:] == ("live", "no serial number; bound by its port")


def test_a_finger_out_leaves_no_held_number_and_comes_back_after_a_search() -> None:
    patient = StillPatient()
    run = run_of(patient)
    run.run(7.0)
    run.twin.hands["probe_off"]()
    run.forget()
    run.run(20.0)
    off = {(one.value, one.validity, one.reason) for metric in JUMPS for _, one in run.readings(metric)}
    assert off == {(None, INVALID, "sensor_off")}
    patient.spo2_pct = 91.0
    run.twin.hands["probe_on"]()
    run.forget()
    run.run(SEARCH_S + 6)
    told = [(one.value, one.validity) for _, one in run.readings("spo2_pct")]
    assert told[:3] == [(None, UNAVAILABLE)] * 3
    assert told[-3:] == [(91.0, QUESTIONABLE), (91.0, VALID), (91.0, VALID)]


@pytest.mark.parametrize(("hand", "told"), [
    ("sensor_out", (None, INVALID, "sensor_disconnected")), ("motion", (98.0, QUESTIONABLE, "artifact")),
])
def test_what_the_device_says_of_its_sensor(hand: str, told: tuple[float | None, Validity, str]) -> None:
    run = run_of()
    run.run(5.0)
    run.twin.hands[hand]()
    run.forget()
    run.run(8.0)
    assert {(one.value, one.validity, one.reason) for _, one in run.readings("spo2_pct")} == {told}


def test_its_alarms_begin_are_silenced_and_end() -> None:
    patient = StillPatient()
    run = run_of(patient)
    for what in ("well", "low", "silence", "well again", "fast", "low_battery"):
        patient.spo2_pct = {"low": 84.0, "well again": 97.0}.get(what, patient.spo2_pct)
        patient.pulse_bpm = 150.0 if what == "fast" else patient.pulse_bpm
        if what in run.twin.hands:
            run.twin.hands[what]()
        run.run(10.0)
    assert alarms(run) == [[], ["SL"], ["SL", "AS"], [], ["PH"], ["PH", "LB"]]


@pytest.mark.parametrize(("pulse", "spo2", "told"), [
    (251.0, 97.0, (None, 97.0)), (19.4, 97.0, (None, 97.0)), (72.0, 101.0, (72.0, None)), (None, None, (None, None)),
])
def test_what_the_twin_cannot_measure_is_missing(
    pulse: float | None, spo2: float | None, told: tuple[float | None, float | None]
) -> None:
    items = listen(started(DRIVER), NellcorTwin(StillPatient(spo2_pct=spo2, pulse_bpm=pulse)).step(8.0))
    assert (of(items, "pulse_bpm")[-1][0], of(items, "spo2_pct")[-1][0]) == told
