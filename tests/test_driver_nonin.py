"""A Nonin is heard in whichever format it speaks; no held or damaged value passes for a live one; its twin is one."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.contract import BadFrame, DeviceAlarms, Identity, Reading, Validity, Wave
from drivers.nonin import DRIVER, SELECT
from drivers.nonin.frames import PACKET, NoninFraming
from simulators.nonin import HOLD_S, TWIN, NoninTwin
from tests.helpers.golden_table import decoded_json
from tests.helpers.nonin_bench import FORMATS, GOOD, PACKETS, STREAMS, readings, started, twin_of
from tests.helpers.oximeter_bench import Finger, listen, told

# --- the golden table -------------------------------------------------------------------------------------------------


def test_a_driver_that_was_never_started_takes_each_frame_of_the_table_at_its_word_one_after_another() -> None:
    driver = DRIVER.driver()
    for row in GOOD * 2:
        assert decoded_json(driver.decode(row.frame, None)) == row.expected, row


@pytest.mark.parametrize("format_", FORMATS)
def test_asks_once_for_the_chosen_format_and_for_nothing_else(format_: str) -> None:
    driver = DRIVER.driver({"format": format_})
    assert driver.on_open() == [SELECT[format_]]
    assert [driver.next_request(at_s) for at_s in (0.0, 1.0, 3600.0)] == [None] * 3
    assert driver.on_timeout(SELECT[format_]) == []


def test_a_setting_that_is_no_format_is_refused() -> None:
    with pytest.raises(ValueError, match="must be one of df2, df7, df8, df13"):
        DRIVER.driver({"format": "df9"})


# --- what may never happen --------------------------------------------------------------------------------------------


@given(st.binary(max_size=200))
def test_any_bytes_are_heard_or_are_a_bad_frame(data: bytes) -> None:
    driver = DRIVER.driver()
    try:
        driver.decode(data, None)
    except BadFrame:
        pass


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
            DRIVER.driver().decode(bytes(broken), None)
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


VALID, QUESTIONABLE, INVALID, UNAVAILABLE = "valid", "questionable", "invalid", "unavailable"


@pytest.mark.parametrize(
    ("what", "frames", "told"),
    [
        ("a jump of SpO2", ["80486100", "80486100", "80484200", "80484200", "80484200"],
         [(97, QUESTIONABLE), (97, VALID), (66, QUESTIONABLE), (66, VALID), (66, VALID)]),
        ("one that a flipped bit makes", ["80486100", "80486100", "80484100", "80484100", "80484100"],
         [(97, QUESTIONABLE), (97, VALID), (65, QUESTIONABLE), (65, QUESTIONABLE), (65, VALID)]),
        ("a bit, then another", ["80485C00", "80485C00", "80485E00", "80485A00", "80485A00"],
         [(92, QUESTIONABLE), (92, VALID), (94, QUESTIONABLE), (90, QUESTIONABLE), (90, VALID)]),
        ("two bits that might be a rise", ["80485C00", "80485C00", "80485E00", "80486000", "80486000"],
         [(92, QUESTIONABLE), (92, VALID), (94, QUESTIONABLE), (96, VALID), (96, VALID)]),
        ("a jump of the pulse alone", ["80486100", "80486100", "80646100", "80646100"],
         [(97, QUESTIONABLE), (97, VALID), (97, QUESTIONABLE), (97, VALID)]),
        ("after missing", ["80486100", "80486100", "837F7F00", "80505F00", "80505F00"],
         [(97, QUESTIONABLE), (97, VALID), (None, UNAVAILABLE), (95, QUESTIONABLE), (95, VALID)]),
        ("after finger out, the display held", ["80486100", "80486100", "80486108", "80486100", "80486100"],
         [(97, QUESTIONABLE), (97, VALID), (None, INVALID), (97, QUESTIONABLE), (97, VALID)]),
        ("after a number that cannot be", ["80486100", "80486100", "80486700", "80486100", "80486100"],
         [(97, QUESTIONABLE), (97, VALID), (None, INVALID), (97, QUESTIONABLE), (97, VALID)]),
        ("its pulse missing all the time", ["837F6100", "837F6100"], [(97, QUESTIONABLE), (97, VALID)]),
        ("more than 20 bpm up and down", ["80466100", "805F6100", "80466100", "805F6100"], [(97, QUESTIONABLE)] * 4),
    ],
)
def test_a_number_of_format_8_that_is_new_is_questionable_until_it_repeats(
    what: str, frames: list[str], told: list[tuple[float | None, str]]
) -> None:
    driver = started("df8")
    spo2 = [one for frame in frames for one in readings(list(driver.decode(bytes.fromhex(frame), None)), "spo2_pct")]
    assert [(reading.value, reading.validity.value) for reading in spo2] == told
    assert {one.reason for one in spo2 if one.validity is Validity.QUESTIONABLE} == {"low_signal_quality"}


# --- driver and twin, told the time -----------------------------------------------------------------------------------


@pytest.mark.parametrize("format_", STREAMS)
def test_a_quiet_minute(format_: str) -> None:
    driver = started(format_)
    items = [item for _, item in told(driver, twin_of(format_), 60.0)]
    assert driver.framing.dropped == 0
    for metric, value in (("spo2_pct", 97.0), ("pulse_bpm", 72.0)):
        said = [(r.value, r.validity, r.reason) for r in readings(items, metric)]
        assert said[0] == (value, Validity.QUESTIONABLE, "low_signal_quality"), "not yet repeated"
        assert set(said[1:]) == {(value, Validity.VALID, None)}
        assert len(said) == (60 if format_ == "df8" else 179)  # the first packet proves the order
    assert [item for item in items if isinstance(item, DeviceAlarms)] == [DeviceAlarms(())]
    model = {"df2": "data format 2, firmware 48", "df7": "data format 7, firmware 48", "df8": "data format 8"}[format_]
    assert [item for item in items if isinstance(item, Identity)] == [Identity(None, f"Nonin, {model}")]


@pytest.mark.parametrize(("format_", "high"), [("df2", 255), ("df7", 65535)])
def test_the_wave_is_the_patients(format_: str, high: int) -> None:
    items = [item for _, item in told(started(format_), twin_of(format_), 10.0)]
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


@pytest.mark.parametrize("phase", [18, 19, 20, 21])
def test_its_time_is_of_one_moment_too(phase: int) -> None:
    """Two frames of a packet say it; at 42.7 s, 128 thirds, the first of them counts on, here while they are sent."""
    twin = twin_of("df7")
    twin.step(phase / 75)
    twin.connect()  # packets begin here
    driver, times = started(), []
    for at in range(0, len(said := twin.step(44.0)), PACKET):
        if frames := driver.framing.feed(said[at:at + PACKET]):
            driver.decode(frames[0], None)  # none is said to be of another time
            times.append(frames[0][28] << 7 | frames[0][33])
    assert times == sorted(times)
    assert times[-1] > 128


@pytest.mark.parametrize("format_", STREAMS)
def test_a_finger_out_for_twenty_seconds_leaves_no_held_value(format_: str) -> None:
    patient = Finger()
    twin, driver = twin_of(format_, patient), started(format_)
    for _ in told(driver, twin, 5.0):
        pass
    twin.hands["probe_off"]()
    late_s = 2.0 if format_ == "df8" else 0.7  # what was on its way when the finger left
    off = [(at_s, item) for at_s, item in told(driver, twin, 20.0) if at_s > late_s and isinstance(item, Reading)]
    assert len(off) >= 36
    assert {(item.value, item.validity, item.reason) for _, item in off} == {(None, Validity.INVALID, "sensor_off")}
    patient.spo2_pct = 91.0
    twin.hands["probe_on"]()
    back = [item for at_s, item in told(driver, twin, 5.0) if at_s > late_s]
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


@pytest.mark.parametrize("format_", FORMATS)
@pytest.mark.parametrize(
    ("pulse", "spo2", "told"),
    [
        (277.0, 97.0, (277.0, 97.0)), (321.4, 100.3, (321.0, 100.0)), (17.6, 1.0, (18.0, 1.0)),
        (322.0, 97.0, (None, 97.0)), (17.4, 97.0, (None, 97.0)), (72.0, 101.0, (72.0, None)),
        (72.0, -1.0, (72.0, None)),
    ],
)
def test_what_the_device_cannot_measure_is_missing_and_never_the_nearest_number(
    format_: str, pulse: float, spo2: float, told: tuple[float | None, float | None]
) -> None:
    items = listen(started(format_), twin_of(format_, Finger(spo2_pct=spo2, pulse_bpm=pulse)).step(9.0))
    if format_ == "df13" and None in told:
        told = None, None  # it says that it measured nothing
    for metric, value in zip(("pulse_bpm", "spo2_pct"), told, strict=True):
        assert {reading.value for reading in readings(items, metric)} == {value}


def test_nothing_to_measure_is_searching() -> None:
    items = [item for _, item in told(started(), twin_of("df7", Finger(None, None)), 3.0)]
    assert {(item.value, item.reason) for item in items if isinstance(item, Reading)} == {(None, "searching")}


def test_motion_marks_then_questions_then_stops() -> None:
    twin, driver = twin_of("df7"), started()
    list(told(driver, twin, 1.0))
    twin.hands["motion"]()
    moving = [r for _, item in told(driver, twin, 10.0) for r in readings([item], "spo2_pct")]
    assert [r.validity for r in moving[2:8]] == [Validity.VALID] * 6
    assert {r.validity for r in moving[12:]} == {Validity.QUESTIONABLE}
    assert {r.reason for r in moving[2:]} == {"artifact"}
    twin.hands["still"]()
    still = [r for _, item in told(driver, twin, 3.0) for r in readings([item], "spo2_pct")]
    assert {(r.validity, r.reason) for r in still[2:]} == {(Validity.VALID, None)}


def test_low_perfusion_is_said_with_the_value_between_beats_too() -> None:
    twin, driver = twin_of("df7", Finger(pulse_bpm=40.0)), started()
    twin.hands["low_perfusion"]()
    low = [r for _, item in told(driver, twin, 20.0) for r in readings([item], "spo2_pct")][5:]
    assert {(r.value, r.validity, r.reason) for r in low} == {(97.0, Validity.VALID, "low_perfusion")}
    twin.hands["good_perfusion"]()
    good = [r for _, item in told(driver, twin, 20.0) for r in readings([item], "spo2_pct")][6:]
    assert {r.reason for r in good} == {None}


@pytest.mark.parametrize("format_", STREAMS)
def test_a_low_battery_is_said_once(format_: str) -> None:
    twin, driver = twin_of(format_), started(format_)
    alarms = [item for _, item in told(driver, twin, 4.0) if isinstance(item, DeviceAlarms)]
    twin.hands["low_battery"]()
    alarms += [item for _, item in told(driver, twin, 20.0) if isinstance(item, DeviceAlarms)]
    assert [[alarm.code for alarm in item.alarms] for item in alarms] == [[], ["low_battery"]]


def test_a_low_battery_in_one_packet_alone_is_not_believed() -> None:
    table = {row.name: row.frame for row in PACKETS}
    good, low = table["df2_good_perfusion"], table["df2_low_battery"]
    items = listen(started("df2"), good * 3 + low + good * 3 + low * 2)
    assert [len(item.alarms) for item in items if isinstance(item, DeviceAlarms)] == [0, 1]


def test_muted_it_says_nothing_and_then_goes_on() -> None:
    twin, driver = twin_of("df7"), started()
    twin.hands["mute"]()
    assert list(told(driver, twin, 5.0)) == []
    assert twin.feed(SELECT["df2"].frame) == b""
    twin.hands["unmute"]()
    assert list(told(driver, twin, 2.0))


@pytest.mark.parametrize("wanted", FORMATS)
def test_the_format_can_be_chosen_in_the_first_five_seconds(wanted: str) -> None:
    twin, driver = NoninTwin(Finger()), started(wanted)
    twin.connect()
    twin.step(4.9)
    assert twin.feed(SELECT[wanted].frame) == b"\x06"
    items = [item for _, item in told(driver, twin, 30.0)]
    assert readings(items, "spo2_pct")[-1].value == 97.0
    assert isinstance(driver.framing, NoninFraming)
    assert driver.framing.format == wanted


def test_too_late_or_unknown_a_choice_is_refused_and_what_comes_is_heard() -> None:
    twin, driver = twin_of("df2"), started("df7")
    assert twin.feed(bytes.fromhex("020702 0270 0202 0903".replace(" ", "")))[-1:] == b"\x15"
    twin.step(5.1)
    assert twin.feed(SELECT["df7"].frame) == b"\x15"
    assert twin.format == "df2"
    items = [item for _, item in told(driver, twin, 5.0)]
    assert Identity(None, "Nonin, data format 2, firmware 48") in items
    assert readings(items, "pulse_bpm")[-1].value == 72.0
    twin.connect()
    assert twin.feed(SELECT["df7"].frame) == b"\x06"


def test_a_spot_check_comes_after_eight_seconds_of_finger() -> None:
    twin, driver = twin_of("df13"), started("df13")
    when = [at_s for at_s, item in told(driver, twin, 20.0) if isinstance(item, Reading) and item.metric == "spo2_pct"]
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


def test_half_a_command_that_cannot_be_one_does_not_deafen_the_twin() -> None:
    twin = NoninTwin(Finger())
    twin.connect()
    assert twin.feed(bytes.fromhex("02 70 FF")) == b""
    assert twin.feed(bytes.fromhex("02 70 02 02 08 03")) == b"\x06"
