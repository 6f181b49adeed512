"""A Contec is started, kept alive and restarted; no damaged number is told."""

from __future__ import annotations

import random

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from drivers.contec_cms60 import AGREE, DRIVER, KEEP_ALIVE, LENGTHS, METRICS, START, ContecFraming, packet
from drivers.contract import BadFrame, Decoded, DeviceAlarms, Driver, FrameRequest, Identity, Reading, Request
from simulators.contec_cms60 import ContecTwin
from tests.helpers.contec_bench import FREE, GOOD, LOW, NUMBER, PROBE_ERROR, SESSION, of, started
from tests.helpers.golden_table import Row, decoded_json, requests
from tests.helpers.oximeter_bench import Finger, listen

# --- the golden table -------------------------------------------------------------------------------------------------


def request(name: str | None) -> Request | None:
    return next((request for request in DRIVER.requests if request.name == name), None)


def test_a_driver_that_was_never_started_takes_each_frame_of_the_table_at_its_word_one_after_another() -> None:
    driver = DRIVER.driver()
    for row in [row for row in GOOD if row.frame[0] == 0x01] * 2:
        assert [one for one in decoded_json(driver.decode(row.frame, None)) if "wave" not in one] == row.expected, row


def test_everything_we_say_was_said_by_the_recorded_host_too() -> None:
    host = b"".join(record.data for record in SESSION.records if record.direction == "host->dev")
    assert all(row.frame in host for row in requests("contec_cms60"))


@pytest.mark.parametrize(
    ("what", "frame"),
    [
        ((0xB1, 14, 30, 15, 0, 0, 0), "7D 81 B1 8E 9E 8F 80 80 80"),
        ((0xB2, 20, 26, 7, 15, 3, 0), "7D 81 B2 94 9A 87 8F 83 80"),
    ],
)
def test_packets_are_written_as_the_document_has_them(what: tuple[int, ...], frame: str) -> None:
    assert packet(0x7D, *what) == bytes.fromhex(frame)


# --- what is said, and when -------------------------------------------------------------------------------------------


def test_the_stream_is_stopped_then_the_device_asked_who_it_is_then_started() -> None:
    assert [request.name for request in DRIVER.driver().on_open()] == [
        "stop_real_time", "stop_storage", "ask_brand", "ask_model", "start_real_time",
    ]


def test_the_twin_answers_every_question_and_is_known_by_its_answers() -> None:
    driver, twin = DRIVER.driver(), ContecTwin(Finger())
    twin.connect()
    items: list[Decoded] = []
    for request in driver.on_open():
        assert isinstance(request, FrameRequest)
        frames = driver.framing.feed(twin.feed(request.frame) or twin.step(1 / 60))
        assert driver.is_response(frames[0], request)
        items += [item for frame in frames for item in driver.decode(frame, request)]
    assert [item for item in items if isinstance(item, Identity)] == [Identity(None, "Contec CMS60C")]


def test_kept_alive_every_five_seconds_while_it_streams() -> None:
    driver = started()
    asked = []
    for tenth in range(200):
        driver.decode(NUMBER, None)
        if (request := driver.next_request(tenth / 10)) is not None:
            asked.append((tenth / 10, request))
    assert asked == [(at_s, KEEP_ALIVE) for at_s in (5.0, 10.0, 15.0)]


def test_a_stream_that_stands_still_for_two_seconds_is_started_again_and_again() -> None:
    driver = started()
    asked = [(tenth / 10, driver.next_request(tenth / 10)) for tenth in range(65)]
    assert [(at_s, request) for at_s, request in asked if request] == [(2.0, START), (4.0, START), (6.0, START)]
    assert driver.on_timeout(START) == []


@pytest.mark.parametrize("last_word", [FREE, bytes.fromhex("0D 80 81")])
def test_a_stream_the_device_ended_is_started_again_and_its_numbers_are_gone(last_word: bytes) -> None:
    driver = started()
    driver.next_request(0.0)
    for _ in range(AGREE):
        driver.decode(NUMBER, None)
    assert driver.next_request(10.0) == KEEP_ALIVE
    gone = list(driver.decode(last_word, None))
    assert [of(gone, metric) for metric in METRICS] == [[(None, "unavailable", None)]] * 3
    assert driver.next_request(10.1) == START
    assert driver.next_request(10.2) is None
    assert of(list(driver.decode(NUMBER, None)), "spo2_pct") == []  # a new number must repeat, as ever


def test_the_answer_to_our_own_stop_is_no_end() -> None:
    driver = started()
    driver.next_request(0.0)
    assert driver.decode(FREE, request("stop_real_time")) == []
    driver.decode(NUMBER, None)
    assert driver.next_request(3.0) is None


# --- framing ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("row", GOOD, ids=str)
def test_cut_anywhere_it_is_the_same_frame(row: Row) -> None:
    stream = row.frame + NUMBER
    for cut in range(len(stream) + 1):
        framing = ContecFraming()
        assert framing.feed(stream[:cut]) + framing.feed(stream[cut:]) == [row.frame, NUMBER]
        assert framing.dropped == 0


def test_the_session_byte_by_byte_or_at_once_is_the_same() -> None:
    stream = b"".join(record.data for record in SESSION.records if record.direction == "dev->host")
    whole, split = ContecFraming(), ContecFraming()
    frames = whole.feed(stream)
    assert [frame for byte in stream for frame in split.feed(bytes((byte,)))] == frames
    assert b"".join(frames) == stream
    assert whole.dropped == split.dropped == 0


@pytest.mark.parametrize("lost", range(9))
def test_a_lost_byte_costs_one_packet_and_is_counted(lost: int) -> None:
    framing = ContecFraming()
    assert framing.feed(NUMBER[:lost] + NUMBER[lost + 1 :] + PROBE_ERROR) == [PROBE_ERROR]
    assert framing.dropped == 8


def test_after_garbage_the_next_packet_is_found() -> None:
    noise = random.Random(3)
    for length in range(300):
        framing = ContecFraming()
        assert framing.feed(noise.randbytes(length) + NUMBER)[-1] == NUMBER


def test_our_own_words_echoed_are_no_packet() -> None:
    framing = ContecFraming()
    assert framing.feed(START.frame + NUMBER) == [NUMBER]
    assert framing.dropped == 9


def test_flush_forgets_the_half_packet() -> None:
    framing = ContecFraming()
    framing.feed(NUMBER[:5])
    framing.flush()
    assert framing.feed(NUMBER[5:]) == []
    assert framing.dropped == 5 + 4


@pytest.mark.parametrize("type_", sorted(LENGTHS))
def test_every_type_of_the_table_is_tolerated(type_: int) -> None:
    frame = bytes((type_, *[0x80] * (LENGTHS[type_] - 1)))
    assert ContecFraming().feed(frame) == [frame]
    DRIVER.driver().decode(frame, None)


# --- what may never happen --------------------------------------------------------------------------------------------


@example(bytes.fromhex("0B 84 80 80"))
@given(st.binary(max_size=20))
def test_any_bytes_are_heard_or_are_a_bad_frame(data: bytes) -> None:
    driver = DRIVER.driver()
    driver.is_response(data, START)
    try:
        driver.decode(data, None)
    except BadFrame:
        pass


@given(st.lists(st.binary(max_size=100), max_size=12))
def test_the_framing_takes_anything_and_keeps_little(chunks: list[bytes]) -> None:
    framing = ContecFraming()
    frames = [frame for chunk in chunks for frame in framing.feed(chunk)]
    assert 0 <= sum(map(len, chunks)) - sum(map(len, frames)) - framing.dropped < 9


def test_noise_makes_no_number() -> None:
    items = listen(started(), random.Random(1).randbytes(300_000))
    assert not [item for item in items if isinstance(item, Reading) and item.value is not None]


@pytest.mark.parametrize("times", range(1, AGREE))
def test_one_flipped_bit_anywhere_even_sent_twice_is_never_a_number(times: int) -> None:
    for bit in range(len(NUMBER) * 8):
        driver = started()
        before = listen(driver, NUMBER * AGREE)
        broken = bytearray(NUMBER)
        broken[bit // 8] ^= 1 << bit % 8
        items = before + listen(driver, bytes(broken) * times + NUMBER * 120)
        assert {value for value, _, _ in of(items, "spo2_pct")} <= {97.0, None}
        assert {value for value, _, _ in of(items, "pulse_bpm")} <= {82.0, None}
        assert of(items, "spo2_pct")[-1][0] == 97.0


def test_a_lost_number_is_told_at_once_and_a_new_one_when_so_many_frames_agree() -> None:
    driver = started()
    new = bytes.fromhex("01 E0 86 BC 97 D4 DD FF FF")  # pulse 84, SpO2 93
    frames_ = [NUMBER] * AGREE + [PROBE_ERROR] + [new] * AGREE
    told_spo2 = [of(list(driver.decode(frame, None)), "spo2_pct") for frame in frames_]
    off, valid, least = (None, "invalid", "sensor_off"), "valid", AGREE - 1
    assert told_spo2 == [*[[]] * least, [(97.0, valid, None)], [off], *[[]] * least, [(93.0, valid, None)]]


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        ("01 F1 87 BC 97 FF FF FF FF", "sensor_off"),  # SpO2 FF
        ("01 E5 87 BC F7 D2 E5 FF FF", "sensor_off"),  # SpO2 101, bits that must be zero
        ("01 F2 87 BC 97 FF FF FF FF", "searching"),
        ("01 E6 87 BC F7 D2 E5 FF FF", "searching"),
    ],
)
def test_no_finger_is_told_whatever_stands_where_the_numbers_were(frame: str, reason: str) -> None:
    driver = started()
    assert of(listen(driver, NUMBER * AGREE), "spo2_pct") == [(97.0, "valid", None)]
    for metric in METRICS:
        assert of(listen(driver, bytes.fromhex(frame) * 60), metric)[:1] == [(None, "invalid", reason)]


def alarms(driver: Driver, data: bytes) -> list[list[str]]:
    return [[alarm.code for alarm in item.alarms] for item in listen(driver, data) if isinstance(item, DeviceAlarms)]


def test_low_spo2_is_the_devices_alarm_while_so_many_frames_running_say_so() -> None:
    driver = started()
    story = [
        (NUMBER * (AGREE - 1), []), (NUMBER, [[]]), (NUMBER * 60, []),  # none, said once
        (LOW * (AGREE - 1) + NUMBER, []), (LOW * (AGREE - 1), []), (LOW, [["low_spo2"]]), (LOW * 120, []),
        (NUMBER * (AGREE - 1) + LOW, []), (NUMBER * AGREE, [[]]),
        (LOW * AGREE, [["low_spo2"]]), (PROBE_ERROR * AGREE, [[]]), (LOW * AGREE, [["low_spo2"]]),
        (FREE, [[]]), (FREE, []), (LOW * AGREE, [["low_spo2"]]),
    ]
    for step, (data, told_alarms) in enumerate(story):
        assert alarms(driver, data) == told_alarms, step
    driver.on_open()
    assert alarms(driver, NUMBER * AGREE) == [[]], "whoever remembers an older alarm must hear that it is over"


@pytest.mark.parametrize("frame", ["01 E1 A7 BC 97 D2 D4 FF FF", "01 E2 A7 BC 97 D2 D4 FF FF"])
def test_without_a_finger_or_searching_there_is_no_low_spo2(frame: str) -> None:
    assert alarms(started(), bytes.fromhex(frame) * 60) == [[]]
