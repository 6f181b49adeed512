"""A Nonin is heard in whichever format it speaks; no held or damaged value passes for a live one; its twin is one."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.contract import BadFrame, DeviceAlarms, Driver, Heard, Identity, Reading, Say, Validity, Wave
from drivers.nonin import DRIVER, PACKET, SELECT, NoninFraming
from simulators.nonin import HOLD_S, TWIN, NoninTwin
from tests.golden_table import Row, heard, heard_json, rows, said

FORMATS = ("df2", "df7", "df8", "df13")
STREAMS = ("df2", "df7", "df8")
PACKETS = [row for row in heard("nonin") if len(row.frame) == PACKET and not row.bad]
GOOD = [row for row in heard("nonin") if not row.bad]


@dataclass
class Finger:
    """A patient who holds still."""

    spo2_pct: float | None = 97.2
    pulse_bpm: float | None = 72.4
    perfusion_index_pct: float | None = 2.0
    sbp_mmhg: float | None = None
    dbp_mmhg: float | None = None
    map_mmhg: float | None = None
    resp_bpm: float | None = None

    def step(self, dt_s: float) -> None: ...

    def infuse(self, rate_ml_h: float) -> None: ...

    def pleth(self, t_s: float) -> float:
        return 0.25 + t_s % 0.5


def twin_of(format_: str, patient: Finger | None = None) -> NoninTwin:
    twin = NoninTwin(patient or Finger())
    twin.format = format_
    twin.connect()
    return twin


def listen(driver: Driver, data: bytes) -> list[Heard]:
    """What is heard in these bytes; bad frames are dropped as the link drops them."""
    found: list[Heard] = []
    for frame in driver.framing.feed(data):
        try:
            found += driver.hear(frame, None)
        except BadFrame:
            continue
    return found


def told(twin: NoninTwin, driver: Driver, seconds: float, dt_s: float = 0.05) -> Iterator[tuple[float, Heard]]:
    for n in range(round(seconds / dt_s)):
        for item in listen(driver, twin.step(dt_s)):
            yield (n + 1) * dt_s, item


def readings(items: list[Heard], metric: str) -> list[Reading]:
    return [item for item in items if isinstance(item, Reading) and item.metric == metric]


def started(format_: str = "df7") -> Driver:
    driver = DRIVER.driver({"format": format_})
    driver.start()
    return driver


# --- the golden table -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("row", heard("nonin"), ids=str)
def test_hears_what_the_table_says(row: Row) -> None:
    driver = DRIVER.driver()
    asked = next((question for question in DRIVER.says if question.name == row.asked), None)
    if row.bad:
        with pytest.raises(BadFrame):
            driver.hear(row.frame, asked)
        return
    assert heard_json(driver.hear(row.frame, asked)) == row.expected
    if asked is not None:
        assert driver.answers(row.frame, asked)


def test_says_exactly_what_the_table_says() -> None:
    assert {row.name: row.frame for row in said("nonin")} == {
        question.name: question.frame for question in DRIVER.says if isinstance(question, Say)
    }
    assert len(said("nonin")) == len(DRIVER.says) == 4
    assert len({row.name for row in rows("nonin")}) == len(rows("nonin"))


@pytest.mark.parametrize("format_", FORMATS)
def test_asks_once_for_the_chosen_format_and_for_nothing_else(format_: str) -> None:
    driver = DRIVER.driver({"format": format_})
    assert driver.start() == [SELECT[format_]]
    assert [driver.ask(at_s) for at_s in (0.0, 1.0, 3600.0)] == [None] * 3
    assert driver.unanswered(SELECT[format_]) == []


def test_a_setting_that_is_no_format_is_refused() -> None:
    with pytest.raises(ValueError, match="must be one of df2, df7, df8, df13"):
        DRIVER.driver({"format": "df9"})


# --- framing ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("row", GOOD, ids=str)
def test_cut_anywhere_it_is_the_same_frame(row: Row) -> None:
    stream = row.frame * (2 if len(row.frame) == 4 else 1)
    whole = NoninFraming().feed(stream)
    assert whole == [row.frame] * (len(stream) // len(row.frame))
    for cut in range(len(stream) + 1):
        framing = NoninFraming()
        assert framing.feed(stream[:cut]) + framing.feed(stream[cut:]) == whole
        assert framing.dropped == 0


@pytest.mark.parametrize("format_", FORMATS)
def test_byte_by_byte_or_at_once_is_the_same_stream(format_: str) -> None:
    noise = random.Random(7)
    stream = noise.randbytes(300) + twin_of(format_).step(20.0) + noise.randbytes(40) + twin_of(format_).step(20.0)
    whole, split = NoninFraming(), NoninFraming()
    frames = whole.feed(stream)
    assert len(frames) >= 2
    assert [frame for byte in stream for frame in split.feed(bytes((byte,)))] == frames
    assert split.dropped == whole.dropped > 300


def test_single_frames_of_five_bytes_make_a_packet() -> None:
    packet = next(row for row in PACKETS if row.name == "df2_pulse_200").frame
    framing = NoninFraming()
    came = [framing.feed(packet[at : at + 5]) for at in range(0, PACKET, 5)]
    assert came == [[]] * 24 + [[packet]]


@pytest.mark.parametrize("row", PACKETS, ids=str)
def test_after_garbage_the_next_packet_is_found(row: Row) -> None:
    noise = random.Random(row.line)
    for length in range(60):
        framing = NoninFraming()
        frames = framing.feed(noise.randbytes(length) + row.frame * 2)
        assert frames[-1:] == [row.frame]
        dropped = framing.dropped + frames.count(b"\x06") + frames.count(b"\x15")  # noise may begin with an answer
        assert dropped in (length, length + PACKET)


@pytest.mark.parametrize("lost", range(PACKET))
def test_a_lost_byte_costs_one_packet_and_no_more(lost: int) -> None:
    stream = twin_of("df7").step(1.0)
    framing = NoninFraming()
    frames = framing.feed(stream[:lost] + stream[lost + 1 :])
    assert frames == [stream[PACKET : 2 * PACKET], stream[2 * PACKET :]]
    assert framing.dropped == PACKET - 1


def test_opened_in_the_middle_of_a_packet_it_waits_for_the_first_frame_of_the_next() -> None:
    for format_ in ("df2", "df7"):
        stream = twin_of(format_).step(1.0)
        for start in range(1, PACKET + 1):
            assert NoninFraming().feed(stream[start:]) == [stream[PACKET : 2 * PACKET], stream[2 * PACKET :]]


@pytest.mark.parametrize("reply", [b"\x06", b"\x15"])
@pytest.mark.parametrize("format_", ["df2", "df7"])
def test_the_answer_to_the_choice_is_heard_between_frames(format_: str, reply: bytes) -> None:
    stream = twin_of(format_).step(1.0)
    for after in range(0, 25, 4):
        framing = NoninFraming()
        frames = framing.feed(stream[: after * 5] + reply + stream[after * 5 :])
        assert frames == [reply, *(stream[at : at + PACKET] for at in range(0, len(stream), PACKET))]
        assert framing.dropped == 0


def test_an_answer_is_believed_once_and_only_after_the_line_opened() -> None:
    framing = NoninFraming()
    assert framing.feed(b"\x06\x06") == [b"\x06"]
    assert framing.dropped == 1
    framing.flush()
    assert framing.feed(b"\x15") == [b"\x15"]
    assert NoninFraming().feed(b"\xff\x06") == []


def test_format_8_is_believed_when_it_repeats() -> None:
    frame = bytes.fromhex("80486100")
    framing = NoninFraming()
    assert framing.feed(frame) == []
    assert framing.feed(frame) == [frame, frame]
    assert framing.feed(frame) == [frame]
    assert NoninFraming().feed(frame + bytes.fromhex("80C86100")) == []
    far_away = bytes.fromhex("80704100")
    assert NoninFraming().feed(frame + far_away) == []
    assert framing.feed(b"\x00" + frame) == []  # out of step: it must repeat again
    assert framing.feed(frame) == [frame, frame]


def test_after_format_2_or_7_three_frames_of_format_8_are_needed() -> None:
    frame = bytes.fromhex("80486100")
    framing = NoninFraming()
    framing.feed(twin_of("df7").step(1.0))
    assert framing.feed(frame * 2) == []
    assert framing.feed(frame) == [frame] * 3


@pytest.mark.parametrize("before", FORMATS)
@pytest.mark.parametrize("after", STREAMS)
def test_a_device_that_changes_its_format_is_followed(before: str, after: str) -> None:
    framing = NoninFraming()
    framing.feed(twin_of(before).step(20.0))
    assert framing.format == before
    framing.feed(twin_of(after).step(4.0))
    assert framing.format == after


def test_format_7_is_never_taken_for_format_8() -> None:
    twin = twin_of("df7")
    stream = twin.step(30.0)
    for start in range(2000):
        assert 4 not in map(len, NoninFraming().feed(stream[start : start + 2 * PACKET]))


# --- what may never happen --------------------------------------------------------------------------------------------


@given(st.binary(max_size=200))
def test_any_bytes_are_heard_or_are_a_bad_frame(data: bytes) -> None:
    driver = DRIVER.driver()
    try:
        driver.hear(data, None)
    except BadFrame:
        pass


@given(st.lists(st.binary(max_size=300), max_size=12))
def test_the_framing_takes_anything_and_keeps_little(chunks: list[bytes]) -> None:
    framing = NoninFraming()
    frames = [frame for chunk in chunks for frame in framing.feed(chunk)]
    held = sum(map(len, chunks)) - sum(map(len, frames)) - framing.dropped
    assert 0 <= held <= PACKET


def test_noise_makes_no_number() -> None:
    driver = started()
    numbers = [item for item in listen(driver, random.Random(1).randbytes(200_000))
               if isinstance(item, Reading) and item.value is not None and item.validity is Validity.VALID]
    assert numbers == []


@pytest.mark.parametrize("format_", ["df2", "df7"])
def test_one_flipped_bit_anywhere_in_a_packet_is_never_a_value(format_: str) -> None:
    packet = twin_of(format_).step(1 / 3)
    for bit in range(len(packet) * 8):
        broken = bytearray(packet)
        broken[bit // 8] ^= 1 << bit % 8
        with pytest.raises(BadFrame):
            DRIVER.driver().hear(bytes(broken), None)
        assert NoninFraming().feed(bytes(broken)) == []


@pytest.mark.parametrize("first", range(25))
@pytest.mark.parametrize("frames", [1, 2, 3, 4])
@pytest.mark.parametrize("fault", ["doubled", "lost", "lost and later doubled"])
def test_lost_or_doubled_frames_put_no_other_field_in_a_values_place(first: int, frames: int, fault: str) -> None:
    twin = twin_of("df2", Finger(spo2_pct=97.0, pulse_bpm=81.0))
    driver = started()
    clean, hit, rest = twin.step(1.0), twin.step(2 / 3), twin.step(1.0)
    at, width = first * 5, frames * 5
    if fault == "doubled":
        hit = hit[: at + width] + hit[at:]
    elif fault == "lost":
        hit = hit[:at] + hit[at + width :]
    else:
        late = min(at + 3 * width, PACKET - width)
        hit = hit[:at] + hit[at + width : late + width] + hit[late:]
    items = listen(driver, clean + hit + rest)
    assert {reading.value for reading in readings(items, "spo2_pct")} == {97.0}
    assert {reading.value for reading in readings(items, "pulse_bpm")} == {81.0}


def test_a_jump_in_format_8_is_questionable_until_it_repeats() -> None:
    driver = started("df8")
    frames = [bytes.fromhex(text) for text in ("80486100", "80486100", "80484100", "80484100", "80484100")]
    spo2 = [reading for frame in frames for reading in readings(list(driver.hear(frame, None)), "spo2_pct")]
    assert [(reading.value, reading.validity.value) for reading in spo2] == [
        (97, "valid"), (97, "valid"), (65, "questionable"), (65, "valid"), (65, "valid"),
    ]  # fmt: skip


# --- driver and twin, told the time -----------------------------------------------------------------------------------


@pytest.mark.parametrize("format_", STREAMS)
def test_a_quiet_minute(format_: str) -> None:
    driver = started(format_)
    items = [item for _, item in told(twin_of(format_), driver, 60.0)]
    assert driver.framing.dropped == 0
    assert {(r.value, r.validity, r.reason) for r in readings(items, "spo2_pct")} == {(97.0, Validity.VALID, None)}
    assert {(r.value, r.validity, r.reason) for r in readings(items, "pulse_bpm")} == {(72.0, Validity.VALID, None)}
    assert len(readings(items, "spo2_pct")) == (60 if format_ == "df8" else 179)  # the first packet proves the order
    assert [item for item in items if isinstance(item, DeviceAlarms)] == [DeviceAlarms(())]
    model = {"df2": "data format 2, firmware 48", "df7": "data format 7, firmware 48", "df8": "data format 8"}[format_]
    assert [item for item in items if isinstance(item, Identity)] == [Identity(None, f"Nonin, {model}")]


@pytest.mark.parametrize(("format_", "high"), [("df2", 255), ("df7", 65535)])
def test_the_wave_is_the_patients(format_: str, high: int) -> None:
    items = [item for _, item in told(twin_of(format_), started(format_), 10.0)]
    waves = [item for item in items if isinstance(item, Wave)]
    assert {(wave.name, wave.rate_hz, wave.low, wave.high, len(wave.samples)) for wave in waves} == {
        ("pleth", 75.0, 0, high, 25)
    }
    samples = [sample for wave in waves for sample in wave.samples if sample is not None]
    assert min(samples) >= high // 4
    assert max(samples) > high // 4


@pytest.mark.parametrize("format_", ["df2", "df7"])
def test_a_packet_is_of_one_moment(format_: str) -> None:
    """A pulse that crosses 127 between a packet's first two frames must not come out as a third number."""
    patient = Finger()
    twin = twin_of(format_, patient)
    driver = DRIVER.driver({"format": format_})
    pulses: set[float | None] = set()
    for frame in range(2000):
        patient.pulse_bpm, patient.spo2_pct = ((127.0, 90.0), (128.0, 91.0))[frame % 2]
        found = [one for one in listen(driver, twin.step(1 / 75)) if isinstance(one, Reading)]
        pulses |= {one.value for one in found if one.metric == "pulse_bpm" and one.validity is Validity.VALID}
    assert pulses == {127.0, 128.0}


@pytest.mark.parametrize("format_", STREAMS)
def test_a_finger_out_for_twenty_seconds_leaves_no_held_value(format_: str) -> None:
    patient = Finger()
    twin, driver = twin_of(format_, patient), started(format_)
    for _ in told(twin, driver, 5.0):
        pass
    twin.hands["probe_off"]()
    late_s = 2.0 if format_ == "df8" else 0.7  # what was on its way when the finger left
    off = [(at_s, item) for at_s, item in told(twin, driver, 20.0) if at_s > late_s and isinstance(item, Reading)]
    assert len(off) >= 36
    assert {(item.value, item.validity, item.reason) for _, item in off} == {(None, Validity.INVALID, "sensor_off")}
    patient.spo2_pct = 91.0
    twin.hands["probe_on"]()
    back = [item for at_s, item in told(twin, driver, 5.0) if at_s > late_s]
    assert {reading.value for reading in readings(back, "spo2_pct")} == {91.0}


def test_the_twins_display_holds_ten_seconds_and_only_the_display() -> None:
    twin = twin_of("df2")
    twin.step(4.0)
    twin.hands["probe_off"]()
    for n in range(36):
        packet = twin.step(1 / 3)
        fields = [packet[at + 3] for at in range(0, PACKET, 5)]
        assert fields[2] == 127
        assert fields[8] == (97 if (n + 1) / 3 <= HOLD_S else 127) or n == 30
        assert all(packet[at + 1] & 0x08 for at in range(0, PACKET, 5))


def test_nothing_to_measure_is_searching() -> None:
    items = [item for _, item in told(twin_of("df7", Finger(None, None)), started(), 3.0)]
    assert {(item.value, item.reason) for item in items if isinstance(item, Reading)} == {(None, "searching")}


def test_motion_marks_then_questions_then_stops() -> None:
    twin, driver = twin_of("df7"), started()
    list(told(twin, driver, 1.0))
    twin.hands["motion"]()
    moving = [r for _, item in told(twin, driver, 10.0) for r in readings([item], "spo2_pct")]
    assert [r.validity for r in moving[2:8]] == [Validity.VALID] * 6
    assert {r.validity for r in moving[12:]} == {Validity.QUESTIONABLE}
    assert {r.reason for r in moving[2:]} == {"artifact"}
    twin.hands["still"]()
    still = [r for _, item in told(twin, driver, 3.0) for r in readings([item], "spo2_pct")]
    assert {(r.validity, r.reason) for r in still[2:]} == {(Validity.VALID, None)}


def test_low_perfusion_is_said_with_the_value_between_beats_too() -> None:
    twin, driver = twin_of("df7", Finger(pulse_bpm=40.0)), started()
    twin.hands["low_perfusion"]()
    low = [r for _, item in told(twin, driver, 20.0) for r in readings([item], "spo2_pct")][5:]
    assert {(r.value, r.validity, r.reason) for r in low} == {(97.0, Validity.VALID, "low_perfusion")}
    twin.hands["good_perfusion"]()
    good = [r for _, item in told(twin, driver, 20.0) for r in readings([item], "spo2_pct")][6:]
    assert {r.reason for r in good} == {None}


@pytest.mark.parametrize("format_", STREAMS)
def test_a_low_battery_is_said_once(format_: str) -> None:
    twin, driver = twin_of(format_), started(format_)
    alarms = [item for _, item in told(twin, driver, 4.0) if isinstance(item, DeviceAlarms)]
    twin.hands["low_battery"]()
    alarms += [item for _, item in told(twin, driver, 20.0) if isinstance(item, DeviceAlarms)]
    assert [[alarm.code for alarm in item.alarms] for item in alarms] == [[], ["low_battery"]]


def test_a_low_battery_in_one_packet_alone_is_not_believed() -> None:
    table = {row.name: row.frame for row in PACKETS}
    good, low = table["df2_good_perfusion"], table["df2_low_battery"]
    items = listen(started("df2"), good * 3 + low + good * 3 + low * 2)
    assert [len(item.alarms) for item in items if isinstance(item, DeviceAlarms)] == [0, 1]


def test_muted_it_says_nothing_and_then_goes_on() -> None:
    twin, driver = twin_of("df7"), started()
    twin.hands["mute"]()
    assert list(told(twin, driver, 5.0)) == []
    assert twin.feed(SELECT["df2"].frame) == b""
    twin.hands["unmute"]()
    assert list(told(twin, driver, 2.0))


@pytest.mark.parametrize("wanted", FORMATS)
def test_the_format_can_be_chosen_in_the_first_five_seconds(wanted: str) -> None:
    twin, driver = NoninTwin(Finger()), started(wanted)
    twin.connect()
    twin.step(4.9)
    assert twin.feed(SELECT[wanted].frame) == b"\x06"
    items = [item for _, item in told(twin, driver, 30.0)]
    assert readings(items, "spo2_pct")[-1].value == 97.0
    assert isinstance(driver.framing, NoninFraming)
    assert driver.framing.format == wanted


def test_too_late_or_unknown_a_choice_is_refused_and_what_comes_is_heard() -> None:
    twin, driver = twin_of("df2"), started("df7")
    assert twin.feed(bytes.fromhex("020702 0270 0202 0903".replace(" ", "")))[-1:] == b"\x15"
    twin.step(5.1)
    assert twin.feed(SELECT["df7"].frame) == b"\x15"
    assert twin.format == "df2"
    items = [item for _, item in told(twin, driver, 5.0)]
    assert Identity(None, "Nonin, data format 2, firmware 48") in items
    assert readings(items, "pulse_bpm")[-1].value == 72.0
    twin.connect()
    assert twin.feed(SELECT["df7"].frame) == b"\x06"


def test_a_spot_check_comes_after_eight_seconds_of_finger() -> None:
    twin, driver = twin_of("df13"), started("df13")
    when = [at_s for at_s, item in told(twin, driver, 20.0) if isinstance(item, Reading) and item.metric == "spo2_pct"]
    assert when == pytest.approx([8.0, 16.0], abs=0.06)
    twin.hands["probe_off"]()
    assert twin.step(60.0) == b""
    twin.hands["probe_on"]()
    assert (twin.step(7.9), len(twin.step(0.2))) == (b"", 22)


def test_the_clock_is_set_without_a_word_and_read() -> None:
    twin = twin_of("df13")
    assert twin.feed(bytes.fromhex("02 72 06 32 0C 1F 0E 1E 0F 03")) == b""  # official example
    twin.hands["probe_off"]()
    twin.step(5.0)
    assert twin.feed(bytes.fromhex("02 72 00 03")) == bytes.fromhex("02 F2 06 32 0C 1F 0E 1E 14 03")
    assert twin.feed(bytes.fromhex("02 72 06 32 0D 1F 0E 1E 0F 03")) == b"\x15"  # no thirteenth month


@given(st.lists(st.binary(max_size=40), max_size=6))
def test_the_twin_takes_anything(chunks: list[bytes]) -> None:
    twin = twin_of("df7")
    for chunk in chunks:
        twin.feed(chunk)
    assert len(twin.step(1.0)) in (0, 4, 375)


@pytest.mark.parametrize("dt_s", [0.004, 0.02, 0.1, 1.0, 12.0])
@pytest.mark.parametrize("format_", FORMATS)
def test_the_pace_does_not_depend_on_the_step(format_: str, dt_s: float) -> None:
    twin = twin_of(format_)
    size = sum(len(twin.step(dt_s)) for _ in range(round(24 / dt_s)))
    assert size == {"df2": 24 * 375, "df7": 24 * 375, "df8": 24 * 4, "df13": 3 * 22}[format_]


def test_every_hand_the_spec_names_is_there() -> None:
    made: Callable[..., object] = TWIN.make
    twin = made(Finger(), 1)
    assert isinstance(twin, NoninTwin)
    assert set(twin.hands) == set(TWIN.hands)
    assert (TWIN.name, TWIN.baud, TWIN.parity) == (DRIVER.name, DRIVER.line.baud, DRIVER.line.parity)
