"""A Nonin's frames are found in any stream, whichever the format; nothing else is taken for one."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.nonin import DRIVER
from drivers.nonin.frames import DF13_LONGEST, PACKET, NoninFraming
from simulators.nonin import NoninTwin
from tests.helpers.dialogue_run import DialogueRun
from tests.helpers.golden_table import Row, decoded_json
from tests.helpers.nonin_bench import FORMATS, FOUR, GOOD, PACKETS, STREAMS, readings, started, twin_of
from tests.helpers.oximeter_bench import Finger, listen

# A true format 2 stream, opened in the middle of a packet: 81 00 02 01 80 7F 00 00 in it looks like two frames of 8.
TWO_LOOKALIKES = bytes.fromhex(
    "9c557401829a001d0182985d780182965d760182945d74018292001501828f001201828d001001828a404d0180875d650180845d6201808100"
    "0201807f000001807c00fd018079403a01807600f7018073403401807000f101806e00ef01816b00ed018069402a0180675d45018065301601"
    "826300e60182")


@pytest.mark.parametrize("row", GOOD, ids=str)
def test_cut_anywhere_it_is_the_same_frame(row: Row) -> None:
    stream = row.frame * (6 if len(row.frame) == 4 else 1)
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


def test_a_started_driver_believes_format_8_when_three_frames_are_alike() -> None:
    framing = NoninFraming(streaming=True)
    assert [framing.feed(FOUR) for _ in range(4)] == [[], [], [FOUR] * 3, [FOUR]]
    assert framing.feed(b"\x00" + FOUR) == []  # out of step: it must be proven again
    assert [framing.feed(FOUR) for _ in range(2)] == [[], [FOUR] * 3]
    framing.flush()
    assert framing.feed(FOUR * 2 + bytes.fromhex("80C86100")) == []


@pytest.mark.parametrize(
    ("what", "one", "other"),
    [
        ("more than 20 bpm apart", "80466100", "805F6100"),
        ("a reserved bit, and more than 20 bpm apart", "C0466100", "C05F6100"),
        ("more than 4 % apart", "80486100", "80485000"),
        ("a pulse that cannot be", "82426100", "82426100"),
    ],
)
def test_unlike_frames_are_format_8_when_six_have_its_form(what: str, one: str, other: str) -> None:
    pair = bytes.fromhex(one + other)
    framing = NoninFraming(streaming=True)
    came = [framing.feed(frame) for _ in range(3) for frame in (pair[:4], pair[4:])]
    assert came == [[]] * 5 + [[pair[:4], pair[4:]] * 3]


def test_three_alike_after_others_prove_format_8_too() -> None:
    framing = NoninFraming(streaming=True)
    far = bytes.fromhex("80646100")
    assert [framing.feed(frame) for frame in (FOUR, far, far, far)] == [[], [], [], [FOUR, far, far, far]]


@pytest.mark.parametrize("frame", ["C0486100", "80486140", "80486110", "80486104", "80486102", "C0486156"])
def test_reserved_bits_of_format_8_hide_it_from_nobody(frame: str) -> None:
    driver = started("df8")
    items = listen(driver, bytes.fromhex(frame) * 4)
    assert [reading.value for reading in readings(items, "spo2_pct")] == [97.0] * 4
    assert [reading.value for reading in readings(items, "pulse_bpm")] == [72.0] * 4


@pytest.mark.parametrize(
    "feeds",
    [
        ["80486100"], ["85045800"], ["A37F7F08"], ["C0486156"], ["82426100"],
        ["80486100", "85045800", "A37F7F08"], ["8048610085045800A37F7F08"], ["8048610085045800", "A37F7F08"],
    ],
    ids=str,
)
def test_shown_single_frames_of_format_8_a_driver_that_was_never_started_takes_each(feeds: list[str]) -> None:
    whole = bytes.fromhex("".join(feeds))
    table = {row.frame: row.expected for row in GOOD}
    driver = DRIVER.driver()
    frames = [frame for feed in feeds for frame in driver.framing.feed(bytes.fromhex(feed))]
    assert frames == [whole[at : at + 4] for at in range(0, len(whole), 4)]
    assert [decoded_json(driver.decode(frame, None)) for frame in frames] == [table[frame] for frame in frames]
    running = started("df8")
    assert [frame for feed in feeds for frame in running.framing.feed(bytes.fromhex(feed))] == []


def test_four_bytes_that_may_begin_format_7_are_not_taken_alone() -> None:
    driver = DRIVER.driver()
    packet = bytes.fromhex("81 00 00 01 82") + bytes.fromhex("80 00 00 48 C8") * 24  # a wave at rest
    assert driver.framing.feed(packet[:4]) == []
    assert driver.framing.feed(packet[4:]) == [packet]
    assert driver.framing.feed(FOUR) == []


def test_after_format_2_or_7_three_frames_of_format_8_are_needed() -> None:
    framing = NoninFraming()
    framing.feed(twin_of("df7").step(1.0))
    assert framing.feed(FOUR * 2) == []
    assert framing.feed(FOUR) == [FOUR] * 3


@pytest.mark.parametrize("before", FORMATS)
@pytest.mark.parametrize("after", STREAMS)
def test_a_device_that_changes_its_format_is_followed(before: str, after: str) -> None:
    framing = NoninFraming()
    framing.feed(twin_of(before).step(20.0))
    assert framing.format == before
    framing.feed(twin_of(after).step(4.0))
    assert framing.format == after


@pytest.mark.parametrize("streaming", [True, False])
@pytest.mark.parametrize("format_", ["df2", "df7"])
def test_format_2_or_7_opened_anywhere_is_never_taken_for_format_8(format_: str, streaming: bool) -> None:
    stream = twin_of(format_).step(30.0)
    for start in range(2000):
        framing = NoninFraming(streaming=streaming)
        assert 4 not in map(len, framing.feed(stream[start : start + 2 * PACKET]))


@pytest.mark.parametrize("reply", [b"", b"\x06", b"\x15"])
@pytest.mark.parametrize("before", ["", "df2", "df7"])
def test_two_lookalikes_in_format_2_are_no_format_8_not_even_after_a_stray_answer(before: str, reply: bytes) -> None:
    driver = started()
    stream = (twin_of(before).step(1.0) if before else b"") + reply + TWO_LOOKALIKES
    assert 4 not in map(len, driver.framing.feed(stream))


@pytest.mark.parametrize(("pleth", "packet"), [(0x025F, "df7"), (0x4861, "df7"), (0x7F30, "df7"), (0x30, "df2")])
@pytest.mark.parametrize("first", [0, 7])
def test_from_8_to_another_format_without_an_answer_between_no_wave_is_a_number(
    pleth: int, packet: str, first: int
) -> None:
    driver = started("df8")
    said = [0, 72, 98, 48] + [0] * 21
    stream = b""
    for at, value in enumerate(said):
        status = 0x81 if at == 0 else 0x80
        body = bytes((status, pleth >> 8, pleth & 0xFF, value)) if packet == "df7" else bytes((1, status, pleth, value))
        stream += body + bytes((sum(body) & 0xFF,))
    frames = driver.framing.feed(FOUR * 3)
    frames += driver.framing.feed((stream * 3)[first * 5 + (packet == "df2" and first > 0) :])
    assert [frame for frame in frames if len(frame) == 4] == [FOUR] * 3
    assert frames[3:] == [stream] * (2 if first else 3)


def test_an_answer_of_a_running_stream_is_heard_and_later_none_is_believed() -> None:
    twin = NoninTwin(Finger())
    twin.format = "df2"
    run = DialogueRun(DRIVER, twin, {"format": "df7"})
    run.open()
    run.run(3.0)  # the stream runs for a second before the choice is sent
    assert (len(run.sent), run.timeouts, run.bad) == (1, 0, 0)
    assert isinstance(run.driver.framing, NoninFraming)
    assert run.driver.framing.format == "df7"
    twin.hands["mute"]()
    run = DialogueRun(DRIVER, twin, {"format": "df7"})
    run.open()
    run.run(3.0)
    assert run.timeouts == 1
    packet = twin_of("df7").step(1 / 3)
    assert run.driver.framing.feed(packet + b"\x06" + packet) == [packet] * 2
    assert run.driver.framing.dropped == 1


@given(st.lists(st.binary(max_size=300), max_size=12))
def test_the_framing_takes_anything_and_keeps_little(chunks: list[bytes]) -> None:
    framing = NoninFraming()
    frames = [frame for chunk in chunks for frame in framing.feed(chunk)]
    held = sum(map(len, chunks)) - sum(map(len, frames)) - framing.dropped
    assert 0 <= held <= DF13_LONGEST + 8


@pytest.mark.parametrize("length", [DF13_LONGEST, DF13_LONGEST + 1])
def test_a_spot_check_is_as_long_as_it_says_up_to_255(length: int) -> None:
    data = bytes.fromhex("20260715093012000200004800") + b"\x61" + bytes(length - 14)
    message = bytes.fromhex("0002000D") + length.to_bytes(2, "big") + data + bytes((sum(data) & 0xFF, 0x03))
    framing = NoninFraming(streaming=True)
    assert [frame for byte in message for frame in framing.feed(bytes((byte,)))] == [message] * (length == DF13_LONGEST)
