"""A Contec is started, kept alive and restarted; no damaged number is told; its twin is one."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.contec_cms60 import AGREE, DRIVER, KEEP_ALIVE, LENGTHS, METRICS, START, ContecFraming, packet
from drivers.contract import BadFrame, Driver, Heard, Identity, Question, Reading, Say, Validity, Wave
from simulators.capture import Capture
from simulators.contec_cms60 import SEARCH_S, TWIN, ContecTwin
from tests.golden_table import Row, heard, heard_json, rows, said

SESSION = Capture.read(Path(__file__).parent / "golden" / "cms60c_session.jsonl")
GOOD = [row for row in heard("contec_cms60") if not row.bad]
NUMBER = bytes.fromhex("01 E0 86 BC 97 D2 E1 FF FF")  # pulse 82, SpO2 97
PROBE_ERROR = bytes.fromhex("01 E9 94 C0 95 FF FF FF FF")
FREE = bytes.fromhex("0C 80")


@dataclass
class Finger:
    """A patient who holds still."""

    spo2_pct: float | None = 97.2
    pulse_bpm: float | None = 72.4
    perfusion_index_pct: float | None = 2.35
    sbp_mmhg: float | None = None
    dbp_mmhg: float | None = None
    map_mmhg: float | None = None
    resp_bpm: float | None = None

    def step(self, dt_s: float) -> None: ...

    def infuse(self, rate_ml_h: float) -> None: ...

    def pleth(self, t_s: float) -> float:
        return 0.25 + t_s % 0.5


def listen(driver: Driver, data: bytes) -> list[Heard]:
    """What is heard in these bytes; bad frames are dropped as the link drops them."""
    found: list[Heard] = []
    for frame in driver.framing.feed(data):
        try:
            found += driver.hear(frame, None)
        except BadFrame:
            continue
    return found


def started() -> Driver:
    driver = DRIVER.driver()
    driver.start()
    return driver


def opened(patient: Finger | None = None) -> tuple[Driver, ContecTwin]:
    """A driver and a twin whose stream runs."""
    driver, twin = started(), ContecTwin(patient or Finger())
    twin.connect()
    assert twin.feed(START.frame) == b""
    return driver, twin


def told(driver: Driver, twin: ContecTwin, seconds: float, dt_s: float = 0.05) -> Iterator[tuple[float, Heard]]:
    for n in range(round(seconds / dt_s)):
        for item in listen(driver, twin.step(dt_s)):
            yield (n + 1) * dt_s, item


def of(items: list[Heard], metric: str) -> list[tuple[float | None, str, str | None]]:
    return [(item.value, item.validity.value, item.reason)
            for item in items if isinstance(item, Reading) and item.metric == metric]  # fmt: skip


# --- the golden table -------------------------------------------------------------------------------------------------


def question(name: str | None) -> Question | None:
    return next((question for question in DRIVER.says if question.name == name), None)


@pytest.mark.parametrize("row", heard("contec_cms60"), ids=str)
def test_hears_what_the_table_says(row: Row) -> None:
    driver = DRIVER.driver()
    asked = question(row.asked)
    if row.bad:
        with pytest.raises(BadFrame):
            driver.hear(row.frame, asked)
        return
    assert heard_json(driver.hear(row.frame, asked)) == row.expected
    if asked is not None:
        assert driver.answers(row.frame, asked)


def test_says_exactly_what_the_table_says() -> None:
    assert {row.name: row.frame for row in said("contec_cms60")} == {
        question.name: question.frame for question in DRIVER.says if isinstance(question, Say)
    }
    assert len(said("contec_cms60")) == len(DRIVER.says)
    assert len({row.name for row in rows("contec_cms60")}) == len(rows("contec_cms60"))


def test_everything_we_say_was_said_by_the_recorded_host_too() -> None:
    host = b"".join(record.data for record in SESSION.records if record.direction == "host->dev")
    assert all(row.frame in host for row in said("contec_cms60"))


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
    assert [question.name for question in DRIVER.driver().start()] == [
        "stop_real_time", "stop_storage", "ask_brand", "ask_model", "start_real_time",
    ]  # fmt: skip


def test_the_twin_answers_every_question_and_is_known_by_its_answers() -> None:
    driver, twin = DRIVER.driver(), ContecTwin(Finger())
    twin.connect()
    items: list[Heard] = []
    for question in driver.start():
        assert isinstance(question, Say)
        frames = driver.framing.feed(twin.feed(question.frame) or twin.step(1 / 60))
        assert driver.answers(frames[0], question)
        items += [item for frame in frames for item in driver.hear(frame, question)]
    assert [item for item in items if isinstance(item, Identity)] == [Identity(None, "Contec CMS60C")]


def test_kept_alive_every_five_seconds_while_it_streams() -> None:
    driver = started()
    asked = []
    for tenth in range(200):
        driver.hear(NUMBER, None)
        if (question := driver.ask(tenth / 10)) is not None:
            asked.append((tenth / 10, question))
    assert asked == [(at_s, KEEP_ALIVE) for at_s in (5.0, 10.0, 15.0)]


def test_a_stream_that_stands_still_for_two_seconds_is_started_again_and_again() -> None:
    driver = started()
    asked = [(tenth / 10, driver.ask(tenth / 10)) for tenth in range(65)]
    assert [(at_s, question) for at_s, question in asked if question] == [(2.0, START), (4.0, START), (6.0, START)]
    assert driver.unanswered(START) == []


@pytest.mark.parametrize("last_word", [FREE, bytes.fromhex("0D 80 81")])
def test_a_stream_the_device_ended_is_started_again_and_its_numbers_are_gone(last_word: bytes) -> None:
    driver = started()
    driver.ask(0.0)
    for _ in range(AGREE):
        driver.hear(NUMBER, None)
    assert driver.ask(10.0) == KEEP_ALIVE
    gone = list(driver.hear(last_word, None))
    assert [of(gone, metric) for metric in METRICS] == [[(None, "unavailable", None)]] * 3
    assert driver.ask(10.1) == START
    assert driver.ask(10.2) is None
    assert of(list(driver.hear(NUMBER, None)), "spo2_pct") == []  # a new number must repeat, as ever


def test_the_answer_to_our_own_stop_is_no_end() -> None:
    driver = started()
    driver.ask(0.0)
    assert driver.hear(FREE, question("stop_real_time")) == []
    driver.hear(NUMBER, None)
    assert driver.ask(3.0) is None


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
    assert framing.dropped == 4


@pytest.mark.parametrize("type_", sorted(LENGTHS))
def test_every_type_of_the_table_is_tolerated(type_: int) -> None:
    frame = bytes((type_, *[0x80] * (LENGTHS[type_] - 1)))
    assert ContecFraming().feed(frame) == [frame]
    DRIVER.driver().hear(frame, None)


# --- what may never happen --------------------------------------------------------------------------------------------


@given(st.binary(max_size=20))
def test_any_bytes_are_heard_or_are_a_bad_frame(data: bytes) -> None:
    driver = DRIVER.driver()
    driver.answers(data, START)
    try:
        driver.hear(data, None)
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


def test_a_lost_number_is_told_at_once_and_a_new_one_when_three_frames_agree() -> None:
    driver = started()
    new = bytes.fromhex("01 E0 86 BC 97 D4 DD FF FF")  # pulse 84, SpO2 93
    told_spo2 = [of(list(driver.hear(frame, None)), "spo2_pct") for frame in [NUMBER] * 3 + [PROBE_ERROR] + [new] * 3]
    off, valid = (None, "invalid", "sensor_off"), "valid"
    assert told_spo2 == [[], [], [(97.0, valid, None)], [off], [], [], [(93.0, valid, None)]]


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
    ]  # fmt: skip


def test_muted_it_is_started_again_when_it_is_back() -> None:
    driver, twin = opened()
    driver.ask(0.0)
    twin.hands["mute"]()
    assert list(told(driver, twin, 3.0)) == []
    assert driver.ask(3.0) == START
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
        if isinstance(asked := driver.ask(now_s), Say):
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
            for item in DRIVER.driver().hear(frame, None):
                if isinstance(item, Reading):
                    assert (item.value is not None) == (item.validity is Validity.VALID)
