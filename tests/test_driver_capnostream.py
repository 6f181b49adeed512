"""A Capnostream is opened as its one known program does; no damaged, moved or held number passes for a live one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.capnostream import (
    CO2_SAYS,
    DRIVER,
    FAST,
    FAST_SAYS,
    MODULE_SAYS,
    OXIMETER,
    SLOW_SAYS,
    SPO2_SAYS,
    CapnostreamFraming,
    message_of,
)
from drivers.contract import ALARMS, REASONS, BadFrame, Identity, Validity
from simulators.capnostream import NO_BREATH_S, SEARCH_S, CapnostreamTwin, framed
from tests.helpers.dialogue_run import DialogueRun, StillPatient
from tests.helpers.golden_table import decoded_json, frames
from tests.helpers.oximeter_bench import alarms, all_of, last, listen, spoiled, started

GOOD = [row for row in frames("capnostream") if not row.bad]
NUMBERS = next(row.frame for row in GOOD if row.name == "numerics")
ESCAPES = next(row.frame for row in GOOD if row.name == "escapes")
METRICS = ("etco2_mmhg", "resp_bpm", "spo2_pct", "pulse_bpm")
VALID, INVALID, UNAVAILABLE = Validity.VALID, Validity.INVALID, Validity.UNAVAILABLE


def run_of(patient: StillPatient | None = None, serial: str = "B355987654") -> DialogueRun:
    run = DialogueRun(DRIVER, CapnostreamTwin(patient or StillPatient(), serial))
    run.open()
    return run


def told(run: DialogueRun) -> dict[str, tuple[float | None, Validity, str | None]]:
    return last(all_of(run))


# --- the table and the words ------------------------------------------------------------------------------------------


def test_a_driver_that_was_never_started_takes_each_frame_of_the_table_at_its_word_one_after_another() -> None:
    driver = DRIVER.driver()
    for row in [row for row in GOOD if row.name != "wave"] * 2:
        assert decoded_json(driver.decode(row.frame, None)) == row.expected, row


def test_reasons_and_alarms_are_words_of_the_contract() -> None:
    assert {reason for _, (_, reason) in (*FAST, *OXIMETER) if reason} <= REASONS
    tables = (CO2_SAYS, SPO2_SAYS, MODULE_SAYS, SLOW_SAYS, FAST_SAYS)
    assert {code for table in tables for code, _, _ in table.values()} <= ALARMS


def test_it_is_partial_and_says_so() -> None:
    assert "partial" in DRIVER.title
    assert "Known limits: partial, one program's knowledge, never tried here on a device." in DRIVER.wiring
    assert DRIVER.grade == "C"


# --- what is said, and when -------------------------------------------------------------------------------------------


def test_it_is_stopped_disabled_enabled_and_started_and_told_every_five_seconds_that_the_link_is_active() -> None:
    run = run_of()
    run.run(18.0)
    names = [request.name for _, request in run.sent]
    assert names == ["stop_real_time", "disable", "enable", "start_real_time", *["link_active"] * 3]
    assert [round(b - a, 1) for a, b in zip(run.times("link_active"), run.times("link_active")[1:], strict=False)] == [
        5.0, 5.0]


def test_nothing_is_sent_that_sets_anything() -> None:
    """Commands 7 and 8 give it a name, 60 sets limits, 61 and 62 the patient: none of them is there."""
    assert {message_of(request.frame)[0] for request in DRIVER.requests if hasattr(request, "frame")} == {1, 2, 4, 5, 6}
    assert {request.effect for request in DRIVER.requests} == {"mode"}


def test_a_device_that_does_not_answer_enable_is_started_all_the_same() -> None:
    run = DialogueRun(DRIVER, CapnostreamTwin(StillPatient()), wire=lambda data: b"")
    run.open()
    run.run(8.0)
    assert run.times("start_real_time")
    assert run.timeouts >= 1


# --- bad bytes --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("plain", "sent"), [
    ("44 85 55 80 00 77", "44 80 05 55 80 00 00 77"),  # REAL: the escapes of a published unit test of mdpnp
])
def test_escapes_are_those_of_the_published_test(plain: str, sent: str) -> None:
    payload = bytes.fromhex(plain)
    frame = framed(60, payload)
    assert frame[3:-1] == bytes.fromhex(sent)
    assert message_of(frame) == (60, payload)
    assert CapnostreamFraming().feed(frame) == [frame]


@given(st.binary(max_size=80))
def test_any_frame_is_heard_or_is_a_bad_frame(data: bytes) -> None:
    for frame in (data, framed(1, data), framed(4, data), framed(0, data)):
        try:
            DRIVER.driver().decode(frame, None)
        except BadFrame:
            pass


def test_bytes_that_changed_places_have_a_good_check_and_are_no_number_of_now() -> None:
    driver = started(DRIVER)
    for turn in range(2):
        assert {one[1] for one in last(listen(driver, NUMBERS)).values()} == {VALID if turn else Validity.QUESTIONABLE}
    plain = bytearray(message_of(NUMBERS)[1])
    plain[6], plain[7] = plain[7], plain[6]  # respiration and SpO2
    moved = last(listen(driver, framed(1, bytes(plain))))
    assert set(moved) == set(METRICS), "its check is good"
    assert {one[1] for one in moved.values()} == {Validity.QUESTIONABLE}


@pytest.mark.parametrize("frame", [NUMBERS, ESCAPES], ids=["plain", "escapes"])
def test_one_bad_byte_anywhere_is_never_another_number(frame: bytes) -> None:
    true = last(listen(started(DRIVER), frame))
    for bad in spoiled(frame):
        assert last(listen(started(DRIVER), bad)) in ({}, true), bad


# --- with its twin, through the dialogue ------------------------------------------------------------------------------


def test_a_quiet_minute() -> None:
    run = run_of()
    run.run(62.0)
    assert len(run.readings("etco2_mmhg")) >= 58
    for metric, value in zip(METRICS, (38.0, 14.0, 98.0, 72.0), strict=True):
        first, *others = [one for _, one in run.readings(metric)]
        assert (first.value, first.validity) == (value, Validity.QUESTIONABLE), "nothing said it before"
        assert {(one.value, one.validity) for one in others} == {(value, VALID)}
    assert [item for _, batch in run.decoded for item in batch if isinstance(item, Identity)] == [
        Identity("B355987654", "Capnostream, software 45.67")]
    assert alarms(run) == [[]]
    assert (run.bad, run.dialogue.counters.late, run.timeouts) == (0, 0, 0)
    assert run.links()[-1][1:] == ("live", "")


def test_a_finger_out_leaves_no_held_number_and_the_breath_goes_on() -> None:
    patient = StillPatient()
    run = run_of(patient)
    run.run(8.0)
    run.twin.hands["probe_off"]()
    run.forget()
    run.run(20.0)
    off = {(one.value, one.validity, one.reason) for metric in METRICS[2:] for _, one in run.readings(metric)}
    assert off == {(None, INVALID, "sensor_off")}
    assert {one.value for _, one in run.readings("etco2_mmhg")} == {38.0}
    assert alarms(run) == [["SpO2 20"]]
    patient.spo2_pct = 91.0
    run.twin.hands["probe_on"]()
    run.run(SEARCH_S - 1)
    assert told(run)["spo2_pct"] == (None, UNAVAILABLE, "searching")
    run.run(3.0)
    assert told(run)["spo2_pct"] == (91.0, VALID, None)
    assert alarms(run)[1:] == [["SpO2 01"], []]


@pytest.mark.parametrize(("hand", "after", "reason", "alarm"), [
    ("line_out", "line_in", "sensor_disconnected", "fast 40"), ("occlude", "clear", "pneumatic_fault", "fast 04"),
])
def test_a_line_that_brings_no_gas_gives_no_etco2_and_comes_back(
    hand: str, after: str, reason: str, alarm: str
) -> None:
    run = run_of()
    run.run(8.0)
    run.twin.hands[hand]()
    run.forget()
    run.run(5.0)
    for metric in METRICS[:2]:
        assert {(one.value, one.validity, one.reason) for _, one in run.readings(metric)} == {(None, INVALID, reason)}
    assert told(run)["spo2_pct"] == (98.0, VALID, None)
    run.twin.hands[after]()
    run.run(3.0)
    assert told(run)["etco2_mmhg"] == (38.0, VALID, None)
    assert alarms(run) == [[alarm], []]


def test_no_breath_is_its_own_alarm() -> None:
    run = run_of()
    run.run(8.0)
    run.twin.hands["apnoea"]()
    run.run(NO_BREATH_S + 2)
    assert told(run)["resp_bpm"] == (0.0, VALID, None)
    assert "CO2 01" in alarms(run)[-1]
    run.twin.hands["breathe"]()
    run.run(3.0)
    assert alarms(run)[-1] == []


@pytest.mark.parametrize(("units", "etco2"), [(1, (38.0, VALID, None)), (2, (38.3, VALID, None)),
                                              (3, (None, UNAVAILABLE, None))])
def test_units_are_the_devices(units: int, etco2: tuple[float | None, Validity, str | None]) -> None:
    twin = CapnostreamTwin(StillPatient())
    twin.units = units
    run = DialogueRun(DRIVER, twin)
    run.open()
    run.run(6.0)
    assert told(run)["etco2_mmhg"] == etco2


def test_another_device_in_its_place_is_known_after_a_silence_and_none_of_its_numbers_count() -> None:
    run = run_of()
    run.run(8.0)
    run.twin = CapnostreamTwin(StillPatient(spo2_pct=70.0), "B355000001")
    run.forget()
    run.run(15.0)
    assert [state for _, state, _ in run.links()] == ["silent", "wrong_device"]
    assert 70.0 not in {sample.value for _, sample in run.samples("spo2_pct")}


@pytest.mark.parametrize(("pulse", "spo2", "shown"), [
    (251.0, 97.0, (None, 97.0)), (19.4, 97.0, (None, 97.0)), (72.0, 101.0, (72.0, None)), (None, None, (None, None)),
])
def test_what_the_twin_cannot_measure_is_missing(
    pulse: float | None, spo2: float | None, shown: tuple[float | None, float | None]
) -> None:
    run = run_of(StillPatient(spo2_pct=spo2, pulse_bpm=pulse))
    run.run(6.0)
    assert (told(run)["pulse_bpm"][0], told(run)["spo2_pct"][0]) == shown


def test_a_fast_status_counts_for_the_next_numerics_and_no_longer() -> None:
    driver = started(DRIVER)
    blocked, well = framed(0, bytes((1, 0, 0, 0x04))), framed(0, bytes((2, 38, 0, 0x08)))
    etco2 = [last(listen(driver, data))["etco2_mmhg"][0]
             for data in (blocked + NUMBERS, NUMBERS, blocked + well + NUMBERS, blocked + NUMBERS)]
    assert etco2 == [None, 38.0, 38.0, None]
