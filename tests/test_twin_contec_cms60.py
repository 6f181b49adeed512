"""The Contec's twin and its driver, told the time; and the twin against the recorded device."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.contec_cms60 import AGREE, DRIVER, KEEP_ALIVE, METRICS, START, ContecFraming, packet
from drivers.contract import FrameRequest, Reading, Validity, Wave
from simulators.contec_cms60 import SEARCH_S, TWIN, ContecTwin
from tests.helpers.contec_bench import FREE, PROBE_ERROR, SESSION, of, opened
from tests.helpers.oximeter_bench import Finger, listen, told

# --- driver and twin, told the time -----------------------------------------------------------------------------------


def test_a_quiet_minute_is_told_once_a_second() -> None:
    driver, twin = opened()
    items = [item for _, item in told(driver, twin, 60.0)]
    assert driver.framing.dropped == 0
    assert of(items, "spo2_pct") == [(97.0, "valid", None)] * 61  # once when it came, then every 60 frames
    assert set(of(items, "pulse_bpm")) == {(72.0, "valid", None)}
    assert set(of(items, "perfusion_index_pct")) == {(2.35, "valid", None)}
    waves = [item for item in items if isinstance(item, Wave)]
    assert {(wave.name, wave.rate_hz, wave.low, wave.high, len(wave.samples)) for wave in waves} == {
        ("pleth", 60.0, 0, 127, 15)
    }
    assert len(waves) == 240
    assert {sample for wave in waves for sample in wave.samples} <= set(range(31, 96))


def test_a_change_is_told_within_three_frames() -> None:
    patient = Finger()
    driver, twin = opened(patient)
    list(told(driver, twin, 1.5))
    patient.spo2_pct = 88.0
    at_s, first = next((at_s, item) for at_s, item in told(driver, twin, 1.0, 1 / 60)
                       if isinstance(item, Reading) and item.metric == "spo2_pct")
    assert first.value == 88.0
    assert at_s == pytest.approx(AGREE / 60)


def test_a_finger_out_for_twenty_seconds_leaves_no_held_value() -> None:
    patient = Finger()
    driver, twin = opened(patient)
    list(told(driver, twin, 3.0))
    twin.hands["probe_off"]()
    off = [item for _, item in told(driver, twin, 20.0)]
    for metric in METRICS:
        assert set(of(off, metric)) == {(None, "invalid", "sensor_off")}
        assert len(of(off, metric)) >= 20
    assert {sample for item in off if isinstance(item, Wave) for sample in item.samples} == {None}
    patient.spo2_pct = 91.0
    twin.hands["probe_on"]()
    back = list(told(driver, twin, SEARCH_S + 2))
    searching = [item for at_s, item in back if at_s <= SEARCH_S]
    assert set(of(searching, "spo2_pct")) == {(None, "invalid", "searching")}
    assert of([item for _, item in back], "spo2_pct")[-1] == (91.0, "valid", None)


def test_searching_ends_by_itself() -> None:
    driver, twin = opened()
    twin.hands["search"]()
    items = [item for _, item in told(driver, twin, SEARCH_S + 2)]
    assert of(items, "pulse_bpm")[0] == (None, "invalid", "searching")
    assert of(items, "pulse_bpm")[-1] == (72.0, "valid", None)


def test_nothing_to_measure_is_searching_and_one_thing_missing_is_only_that() -> None:
    driver, twin = opened(Finger(None, None, None))
    assert {of([item for _, item in told(driver, twin, 2.0)], metric)[-1] for metric in METRICS} == {
        (None, "invalid", "searching")
    }
    driver, twin = opened(Finger(97.0, None, None))
    items = [item for _, item in told(driver, twin, 2.0)]
    assert [of(items, metric)[-1] for metric in METRICS] == [
        (None, "unavailable", None), (97.0, "valid", None), (None, "unavailable", None),
    ]


@pytest.mark.parametrize(
    ("pulse", "spo2", "index", "told_numbers"),
    [
        (254.4, 100.4, 22.0, (254.0, 100.0, 22.0)),
        (0.6, 0.6, 0.0, (1.0, 1.0, 0.0)),
        (277.0, 97.0, 2.0, (None, 97.0, 2.0)),  # recorded in minute 60 of the MIMIC patient
        (255.0, 97.0, 2.0, (None, 97.0, 2.0)),
        (0.4, 97.0, 2.0, (None, 97.0, 2.0)),
        (72.0, 101.0, 2.0, (72.0, None, 2.0)),
        (72.0, 0.4, 2.0, (72.0, None, 2.0)),
        (72.0, 97.0, 22.01, (72.0, 97.0, None)),
    ],
)
def test_what_the_device_cannot_say_is_missing_and_never_the_nearest_number(
    pulse: float, spo2: float, index: float, told_numbers: tuple[float | None, ...]
) -> None:
    driver, twin = opened(Finger(spo2, pulse, index))
    items = [item for _, item in told(driver, twin, 2.0)]
    for metric, value in zip(METRICS, told_numbers, strict=True):
        assert {said_value for said_value, _, _ in of(items, metric)} == {value}, metric


def test_muted_it_is_started_again_when_it_is_back() -> None:
    driver, twin = opened()
    driver.next_request(0.0)
    twin.hands["mute"]()
    assert list(told(driver, twin, 3.0)) == []
    assert driver.next_request(3.0) == START
    assert twin.feed(FREE) == b""
    twin.hands["unmute"]()
    twin.feed(START.frame)
    assert of([item for _, item in told(driver, twin, 1.0)], "spo2_pct")


def test_a_device_that_restarts_is_started_again() -> None:
    driver, twin = opened()
    heard_s, now_s = [], 0.0
    for n in range(100):
        now_s += 0.1
        if n == 30:
            twin.connect()  # it restarted behind a line that stayed open
        if of(listen(driver, twin.step(0.1)), "spo2_pct"):
            heard_s.append(now_s)
        if isinstance(asked := driver.next_request(now_s), FrameRequest):
            twin.feed(asked.frame)
    assert max(after - before for before, after in pairwise(heard_s)) < 3.5
    assert heard_s[-1] > 8.0


def test_a_twin_that_wants_to_be_kept_alive_lets_go_of_a_host_that_does_not() -> None:
    driver, twin = opened()
    assert twin.step(100.0)
    twin.keep_alive_s = 30.0
    twin.feed(KEEP_ALIVE.frame)
    assert twin.step(29.0)
    twin.feed(KEEP_ALIVE.frame)
    assert twin.step(29.0)
    assert (twin.step(2.0), twin.step(10.0)) == (b"", b"")
    twin.feed(START.frame)
    assert listen(driver, twin.step(1.0))


# --- the twin against the recorded device -----------------------------------------------------------------------------


def test_the_twin_answers_the_recorded_host_as_the_recorded_device_did() -> None:
    twin = ContecTwin(Finger())
    twin.connect()
    host = device = b""
    for record in SESSION.records:
        if START.frame in record.data:
            break
        if record.direction == "host->dev":
            host += record.data
            device += twin.feed(record.data)
    recorded = b"".join(r.data for r in SESSION.records if r.direction == "dev->host" and r.data[0] != 0x01)
    assert len(host) == 54 + 9 * 9
    assert device == recorded


def test_without_a_finger_the_twin_sends_the_recorded_frame() -> None:
    _, twin = opened()
    twin.hands["probe_off"]()
    assert twin.step(0.5) == PROBE_ERROR * 30


@pytest.mark.parametrize(
    ("code", "answer"),
    [
        (0xB3, "0B 81 B3 85"),
        (0xA3, "0B 81 A3 85"),
        (0xAB, "05 80 80 F5 F3 E5 F2 A0 A0"),
        (0xAD, "10 80 81"),
        (0xAF, ""),
        (0xB1, "0B 81 B1 80"),
    ],
)
def test_the_twin_knows_the_other_commands(code: int, answer: str) -> None:
    assert ContecTwin(Finger()).feed(packet(0x7D, code, 0, 0, 0, 0, 0, 0)) == bytes.fromhex(answer)


@given(st.lists(st.binary(max_size=40), max_size=6))
def test_the_twin_takes_anything(chunks: list[bytes]) -> None:
    twin = ContecTwin(Finger())
    for chunk in chunks:
        twin.feed(chunk)
    assert len(twin.step(1.0)) in (0, 540)


@pytest.mark.parametrize("dt_s", [0.004, 0.02, 0.1, 1.0, 10.0])
def test_the_pace_does_not_depend_on_the_step(dt_s: float) -> None:
    _, twin = opened()
    assert sum(len(twin.step(dt_s)) for _ in range(round(20 / dt_s))) == 20 * 540


def test_every_hand_the_spec_names_is_there() -> None:
    made: Callable[..., object] = TWIN.make
    twin = made(Finger(), 1)
    assert isinstance(twin, ContecTwin)
    assert set(twin.hands) == set(TWIN.hands)
    assert (TWIN.name, TWIN.baud, TWIN.parity) == (DRIVER.name, DRIVER.line.baud, DRIVER.line.parity)


def test_every_reading_has_a_number_exactly_when_it_is_valid() -> None:
    for record in SESSION.records:
        for frame in ContecFraming().feed(record.data):
            for item in DRIVER.driver().decode(frame, None):
                if isinstance(item, Reading):
                    assert (item.value is not None) == (item.validity is Validity.VALID)
