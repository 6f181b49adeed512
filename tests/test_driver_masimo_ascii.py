"""A Masimo's lines: no held or damaged number passes for a live one, who speaks is said, its alarms are its own."""

from __future__ import annotations

import pytest

from drivers.contract import ALARMS, REASONS, BadFrame, Decoded, DeviceAlarms, Identity, Reading, Validity
from drivers.kit.text import Lines, Repeats, Twice
from drivers.masimo_ascii import DATED, DOUBTFUL, DRIVER, JUMPS, LIMITS, LONGEST, NO_NUMBER, ON, SILENCED
from simulators.masimo_ascii import SEARCH_S, MasimoTwin
from tests.helpers.dialogue_run import DialogueRun, StillPatient
from tests.helpers.golden_table import decoded_json, frames
from tests.helpers.oximeter_bench import listen, spoiled, started

GOOD = [row for row in frames("masimo_ascii") if not row.bad]
LINE = (
    b"02/24/18 04:48:53 SN=0000145838 SPO2=097% BPM=080 PI=04.96% SPCO=--.-% SPMET=--.-% DESAT=-- PIDELTA=+--"
    b" ALARM=0000 EXC=000800\r\n"
)
VALID, QUESTIONABLE = Validity.VALID, Validity.QUESTIONABLE


def of(items: list[Decoded], metric: str) -> list[tuple[float | None, str, str | None]]:
    return [(item.value, item.validity.value, item.reason)
            for item in items if isinstance(item, Reading) and item.metric == metric]


def run_of(patient: StillPatient | None = None, serial: str = "0000093112") -> DialogueRun:
    run = DialogueRun(DRIVER, MasimoTwin(patient or StillPatient(), serial))
    run.open()
    return run


# --- the table and the words ------------------------------------------------------------------------------------------


def test_a_driver_that_was_never_started_takes_each_line_of_the_table_at_its_word_one_after_another() -> None:
    driver = DRIVER.driver()
    for row in GOOD * 2:
        assert decoded_json(driver.decode(row.frame, None)) == row.expected, row


def test_reasons_and_alarms_are_words_of_the_contract() -> None:
    assert {reason for _, (_, reason) in NO_NUMBER + DOUBTFUL} <= REASONS
    assert {alarm.code for alarm in (*LIMITS.values(), ON, SILENCED)} <= ALARMS


# --- bad bytes --------------------------------------------------------------------------------------------------------


def test_blank_lines_are_no_frames() -> None:
    framing = Lines(LONGEST, DATED)
    assert framing.feed(b"\r\n\r\n \r\n" + LINE + b"\r\n") == [LINE]
    assert framing.dropped == 2 + 2 + 3 + 2


def test_the_first_line_counts_only_if_it_is_whole() -> None:
    for cut in range(1, len(LINE)):
        framing = Lines(LONGEST, DATED)
        assert framing.feed(LINE[cut:] + LINE) == [LINE], cut
        framing.flush()
        assert framing.feed(LINE[cut:] + LINE) == [LINE], cut


def test_a_line_without_an_end_is_dropped_and_its_rest_too() -> None:
    framing = Lines(LONGEST, DATED)
    assert framing.feed(LINE + b"0" * LONGEST + b"1 PI=04.96%\r\n" + LINE) == [LINE, LINE]


def worst(items: list[Decoded]) -> dict[str, float]:
    """How far the valid numbers are from the true ones, at most."""
    true = {"spo2_pct": 97.0, "pulse_bpm": 80.0, "perfusion_index_pct": 4.96}
    return {metric: max([abs(value - number) for value, validity, _ in of(items, metric)
                         if value is not None and validity == VALID], default=0.0) for metric, number in true.items()}


def test_one_bad_byte_anywhere_is_never_a_valid_number_far_from_the_true_one() -> None:
    for bad in spoiled(LINE):
        items = listen(started(DRIVER), LINE * 2 + bad + LINE * 3)
        assert all(error <= JUMPS[metric] for metric, error in worst(items).items()), bad
        assert {value for value, _, _ in of(items, "spo2_pct")[-2:]} == {97.0}
        assert [item for item in items if isinstance(item, Identity)] == [Identity("0000145838", "Masimo, ASCII 1")]
        assert [item for item in items if isinstance(item, DeviceAlarms)] == [DeviceAlarms(())], bad


def test_two_lines_run_into_one_are_neither() -> None:
    for cut in range(40, len(LINE) - 24):
        driver = started(DRIVER)
        for frame in driver.framing.feed(LINE[:cut] + LINE):
            with pytest.raises(BadFrame):
                driver.decode(frame, None)


# --- when a number is believed ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("what", "values", "told"),
    [
        ("the first", [97, 97, 97], [QUESTIONABLE, VALID, VALID]),
        ("a step a second allows", [97, 97, 95, 93], [QUESTIONABLE, VALID, VALID, VALID]),
        ("a jump that stays", [97, 97, 90, 90], [QUESTIONABLE, VALID, QUESTIONABLE, VALID]),
        ("a jump back and forth", [97, 97, 90, 97, 97], [QUESTIONABLE, VALID, QUESTIONABLE, QUESTIONABLE, VALID]),
        ("after nothing", [97, 97, None, 97, 97], [QUESTIONABLE, VALID, None, QUESTIONABLE, VALID]),
    ],
)
def test_a_new_number_is_questionable_until_it_repeats(
    what: str, values: list[float | None], told: list[Validity | None]
) -> None:
    repeats = Repeats({"spo2_pct": 2.0})
    found = []
    for value in values:
        missing = Reading("spo2_pct", None, Validity.UNAVAILABLE)
        (one,) = repeats.judged([missing if value is None else Reading("spo2_pct", value)])
        found.append(None if value is None else one.validity)
        assert (one.reason == "low_signal_quality") is (one.validity is QUESTIONABLE)
    assert found == told


def test_one_number_that_jumps_makes_the_whole_line_questionable_and_one_already_doubted_keeps_its_reason() -> None:
    repeats = Repeats({"spo2_pct": 2.0, "pulse_bpm": 10.0})
    for pulse, validity in ((80, QUESTIONABLE), (81, VALID), (120, QUESTIONABLE)):
        spo2, _ = repeats.judged([Reading("spo2_pct", 97.0), Reading("pulse_bpm", float(pulse))])
        assert (spo2.value, spo2.validity) == (97.0, validity)
    moved = Reading("spo2_pct", 60.0, QUESTIONABLE, "artifact")
    assert repeats.judged([moved]) == [moved]


def test_a_word_counts_when_it_was_said_twice_running() -> None:
    word: Twice[str] = Twice()
    assert [word.is_news(said) for said in "aabaabbba"] == [False, True, *[False] * 4, True, False, False]
    assert word.value == "b"
    word.tell_again()
    assert [word.is_news(said) for said in "aa"] == [True, False]
    word.forget()
    assert [word.is_news(said) for said in "aa"] == [False, True]


# --- with its twin, through the dialogue ------------------------------------------------------------------------------


def test_a_quiet_minute() -> None:
    run = run_of()
    run.run(60.0)
    spo2 = [reading for _, reading in run.readings("spo2_pct")]
    assert len(spo2) == 60
    assert [one.validity for one in spo2] == [QUESTIONABLE, *[VALID] * 59]
    assert {one.value for one in spo2} == {98.0}
    assert {one.value for _, one in run.readings("pulse_bpm")} == {72.0}
    assert {one.value for _, one in run.readings("perfusion_index_pct")} == {4.0}
    assert [(state, reason) for _, state, reason in run.links()][-1] == ("live", "")
    assert run.dialogue.link.serial == "0000093112"
    assert (run.bad, run.dialogue.counters.late, run.sent) == (0, 0, [])


def test_a_finger_out_leaves_no_held_number_and_comes_back_after_a_search() -> None:
    patient = StillPatient()
    run = run_of(patient)
    run.run(5.0)
    twin = run.twin
    assert isinstance(twin, MasimoTwin)
    twin.hands["probe_off"]()
    run.forget()
    run.run(20.0)
    off = [reading for metric in JUMPS for _, reading in run.readings(metric)]
    assert len(off) == 60
    assert {(one.value, one.validity, one.reason) for one in off} == {(None, Validity.INVALID, "sensor_off")}
    assert [item for _, batch in run.decoded for item in batch if isinstance(item, DeviceAlarms)] == [
        DeviceAlarms((ON,))]
    patient.spo2_pct = 91.0
    twin.hands["probe_on"]()
    run.forget()
    run.run(SEARCH_S + 3)
    told = [(one.value, one.validity) for _, one in run.readings("spo2_pct")]
    assert set(told[:4]) == {(None, Validity.UNAVAILABLE)}
    assert told[-3:] == [(91.0, QUESTIONABLE), (91.0, VALID), (91.0, VALID)]


@pytest.mark.parametrize(
    ("hand", "told"),
    [
        ("sensor_out", (None, Validity.INVALID, "no_sensor")),
        ("motion", (98.0, QUESTIONABLE, "low_signal_quality")),
        ("low_perfusion", (98.0, VALID, "low_perfusion")),
    ],
)
def test_what_the_device_says_of_itself(hand: str, told: tuple[float | None, Validity, str]) -> None:
    run = run_of()
    run.run(3.0)
    run.twin.hands[hand]()
    run.forget()
    run.run(5.0)
    assert {(one.value, one.validity, one.reason) for _, one in run.readings("spo2_pct")} == {told}


def test_its_alarms_begin_are_silenced_and_end() -> None:
    patient = StillPatient()
    run = run_of(patient)
    for what in (None, "low", "silence", "well"):
        if what in ("low", "well"):
            patient.spo2_pct = 84.0 if what == "low" else 97.0
        elif what:
            run.twin.hands[what]()
        run.run(5.0)
    told = [[alarm.code for alarm in item.alarms] for _, batch in run.decoded for item in batch
            if isinstance(item, DeviceAlarms)]
    assert told == [[], ["low_spo2"], ["low_spo2", "silenced"], []]


def test_another_oximeter_in_its_place_is_known_by_its_second_line_and_none_of_its_numbers_count() -> None:
    run = run_of()
    run.run(5.0)
    run.twin = MasimoTwin(StillPatient(spo2_pct=70.0), "0000099999")
    run.forget()
    run.run(6.0)
    assert [state for _, state, _ in run.links()] == ["wrong_device"]
    assert run.samples("spo2_pct") == []
    assert run.bad == 1, "its first line"


@pytest.mark.parametrize(("pulse", "spo2", "told"), [
    (241.0, 97.0, (None, 97.0)), (24.4, 97.0, (None, 97.0)), (72.0, 101.0, (72.0, None)), (None, None, (None, None)),
])
def test_what_the_twin_cannot_measure_is_missing(
    pulse: float | None, spo2: float | None, told: tuple[float | None, float | None]
) -> None:
    items = listen(started(DRIVER), MasimoTwin(StillPatient(spo2_pct=spo2, pulse_bpm=pulse)).step(4.0))
    assert (of(items, "pulse_bpm")[-1][0], of(items, "spo2_pct")[-1][0]) == told
