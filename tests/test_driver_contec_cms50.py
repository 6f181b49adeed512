"""A Contec on V5.1: no damaged number is told, a lost one at once, and its twin is heard."""

from __future__ import annotations

import random

import pytest

from drivers.contec_cms50 import AGREE, DRIVER, DROPPING, FiveByteFraming
from drivers.contract import Decoded, DeviceAlarms, Reading, Wave
from simulators.contec_cms50 import Cms50Twin
from simulators.probe import SEARCH_S
from tests.helpers.dialogue_run import StillPatient
from tests.helpers.golden_table import decoded_json, frames
from tests.helpers.oximeter_bench import all_of, listen, opened, spoiled, started

NUMBER = bytes.fromhex("C6 40 07 48 61")  # pulse 72, SpO2 97
OTHER = bytes.fromhex("85 21 44 0C 5B")  # pulse 140, SpO2 91
OFF = bytes.fromhex("80 40 50 7F 7F")
SEARCHING = bytes.fromhex("86 40 27 7F 7F")
LOW = bytes.fromhex("A6 40 07 48 58")


def of(items: list[Decoded], metric: str = "spo2_pct") -> list[float | str | None]:
    """The numbers, or the reason why there is none."""
    found = [one for one in items if isinstance(one, Reading) and one.metric == metric]
    return [one.reason or one.validity.value if one.value is None else one.value for one in found]


def alarms(items: list[Decoded]) -> list[tuple[str, ...]]:
    return [tuple(alarm.raw for alarm in one.alarms) for one in items if isinstance(one, DeviceAlarms)]


def test_a_driver_that_was_never_started_takes_each_packet_at_its_word_one_after_another() -> None:
    driver = DRIVER.driver()
    for row in [row for row in frames("contec_cms50") if not row.bad] * 2:
        assert decoded_json(driver.decode(row.frame, None)) == row.expected, row


@pytest.mark.parametrize(("what", "stream", "told"), [
    ("one less is not enough", NUMBER * (AGREE - 1), []),
    ("so many are", NUMBER * AGREE, [97.0]),
    ("one packet in another's place", NUMBER * AGREE + OTHER + NUMBER * AGREE, [97.0]),
    ("one less of them", NUMBER * AGREE + OTHER * (AGREE - 1) + NUMBER * AGREE, [97.0]),
    ("a new number", NUMBER * AGREE + OTHER * AGREE, [97.0, 91.0]),
    ("a lost byte between them", NUMBER * (AGREE - 1) + NUMBER[1:] + NUMBER, []),
    ("a foreign byte between each", (NUMBER + b"\x00") * 3 * AGREE, []),
    ("a packet that cannot be between each", (NUMBER + b"\x89" + NUMBER[1:]) * 3 * AGREE, []),
    ("the finger is gone", NUMBER * AGREE + OFF, [97.0, "sensor_off"]),
    ("it searches, then finds", OFF + SEARCHING + NUMBER * AGREE, ["sensor_off", "searching", 97.0]),
    ("once a second", NUMBER * 120, [97.0, 97.0, 97.0]),
])
def test_a_number_counts_when_so_many_packets_running_say_it(what: str, stream: bytes, told: list[float]) -> None:
    assert of(listen(started(DRIVER), stream)) == told


@pytest.mark.parametrize("times", range(1, AGREE))
def test_one_bad_byte_even_sent_twice_is_never_a_number(times: int) -> None:
    for broken in spoiled(NUMBER):
        items = listen(started(DRIVER), NUMBER * AGREE + broken * times + NUMBER * 120)
        assert {one for one in of(items) if isinstance(one, float)} == {97.0}, broken
        assert {one for one in of(items, "pulse_bpm") if isinstance(one, float)} == {72.0}, broken
        assert of(items)[-1] == 97.0


def test_noise_makes_no_number() -> None:
    items = listen(started(DRIVER), random.Random(2).randbytes(400_000))
    assert not [one for one in items if isinstance(one, Reading) and one.value is not None]


@pytest.mark.parametrize("lost", range(len(NUMBER)))
def test_after_a_lost_byte_two_packets_are_in_step_again_and_all_is_counted(lost: int) -> None:
    framing = FiveByteFraming()
    assert framing.feed(NUMBER * 2) == [NUMBER] * 2
    assert framing.feed(NUMBER[:lost] + NUMBER[lost + 1 :] + OTHER) == []
    assert framing.feed(OTHER) == [OTHER] * 2
    assert framing.dropped == 4


def test_a_packet_with_another_spo2_counts_once_the_next_says_so_too() -> None:
    framing = FiveByteFraming()
    assert framing.feed(NUMBER * 2 + OTHER) == [NUMBER] * 2
    assert framing.feed(OTHER + OFF) == [OTHER, OTHER, OFF]
    assert framing.feed(NUMBER * 2 + OTHER + NUMBER * 2) == [NUMBER] * 4
    assert framing.dropped == 5


def test_a_single_packet_in_other_bytes_is_none() -> None:
    framing = FiveByteFraming()
    assert framing.feed(b"\x12" + NUMBER + b"\x12" + NUMBER + b"\x9f") == []
    framing.flush()
    assert framing.dropped == 1 + 5 + 1 + 5 + 1


def test_dropping_is_the_devices_alarm_while_two_packets_running_say_so() -> None:
    driver = started(DRIVER)
    story = [(NUMBER, []), (NUMBER, [()]), (NUMBER * 60, []), (LOW + NUMBER, []), (LOW * 2, [(DROPPING.raw,)]),
             (LOW * 60, []), (OFF * 2, [()]), (LOW * 2, [(DROPPING.raw,)])]
    for step, (data, told) in enumerate(story):
        assert alarms(listen(driver, data)) == told, step
    driver.on_open()
    assert alarms(listen(driver, NUMBER * 2)) == [()], "whoever remembers an older alarm must hear that it is over"


# --- with its twin, through the dialogue ------------------------------------------------------------------------------


def test_a_quiet_minute_with_its_wave() -> None:
    run = opened(DRIVER, Cms50Twin(StillPatient()), 60.0)
    items = all_of(run)
    assert set(of(items)) == {98.0}
    assert set(of(items, "pulse_bpm")) == {72.0}
    assert 60 <= len(of(items)) <= 62
    waves = [one for one in items if isinstance(one, Wave)]
    assert {(one.name, one.rate_hz, one.low, one.high, len(one.samples)) for one in waves} == {
        ("pleth", 60.0, 0, 127, 15)}
    assert len(waves) == 240


def test_no_held_number_while_the_finger_is_out_and_a_new_one_after_the_search() -> None:
    patient = StillPatient()
    run = opened(DRIVER, Cms50Twin(patient), 5.0)
    run.twin.hands["probe_off"]()
    run.run(1.0)
    run.forget()
    run.run(20.0)
    assert set(of(all_of(run))) == set(of(all_of(run), "pulse_bpm")) == {"sensor_off"}
    assert {one for item in all_of(run) if isinstance(item, Wave) for one in item.samples} == {None}
    patient.spo2_pct, patient.pulse_bpm = 84.0, 131.0
    run.twin.hands["probe_on"]()
    run.forget()
    run.run(SEARCH_S + 2)
    assert [one for at, one in enumerate(of(all_of(run))) if at == 0 or one != of(all_of(run))[at - 1]] == [
        "searching", 84.0]
    assert of(all_of(run), "pulse_bpm")[-1] == 131.0
    assert alarms(all_of(run))[-1] == (DROPPING.raw,)


def test_nothing_to_measure_is_searching_and_one_thing_missing_is_only_that() -> None:
    patient = StillPatient(spo2_pct=None, pulse_bpm=None)
    run = opened(DRIVER, Cms50Twin(patient), 3.0)
    assert of(all_of(run))[-1] == "searching"
    patient.pulse_bpm = 66.0
    run.run(3.0)
    assert (of(all_of(run))[-1], of(all_of(run), "pulse_bpm")[-1]) == ("unavailable", 66.0)


def test_bytes_lost_and_flipped_on_the_way_cost_readings_and_give_no_wrong_one() -> None:
    dice = random.Random(5)
    run = opened(DRIVER, Cms50Twin(StillPatient()))
    run.wire = lambda data: bytes(byte ^ (dice.random() < 0.01) << dice.randrange(8)
                                  for byte in data if dice.random() > 0.005)
    run.run(300.0)
    assert {one for one in of(all_of(run)) if isinstance(one, float)} == {98.0}
    assert {one for one in of(all_of(run), "pulse_bpm") if isinstance(one, float)} == {72.0}
    assert of(all_of(run)).count(98.0) > 200
