"""A Philips monitor: its association, each determination once, which respiration counts, and its twin."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence

import pytest

from drivers.contract import Decoded, DeviceAlarms, Identity, Reading, Wave
from drivers.intellivue import DRIVER, HEARD, JOIN, KEEP, LEAVE, NUMBERS, WAVES
from drivers.intellivue.frames import fcs, framed, payload_of
from simulators.intellivue import ACCEPTED, SPO2_LOW, THERE, IntellivueTwin
from simulators.probe import SEARCH_S
from tests.helpers.dialogue_run import DialogueRun, StillPatient
from tests.helpers.golden_table import decoded_json, frames
from tests.helpers.oximeter_bench import alarms, all_of, listen, opened, spoiled, started

ROWS = {row.name: row for row in frames("intellivue")}
SPO2 = ROWS["spo2_97"].frame
CUFF = ROWS["cuff_118_72_88"].frame
BEAT, BREATH, MMHG = 0x0AA0, 0x0AE0, 0x0F20
NAN = b"\x00\x7f\xff\xff"


def value(what: int, number: int | None, unit: int, state: int = 0) -> bytes:
    return struct.pack(">HHH", what, state, unit) + (NAN if number is None else number.to_bytes(4, "big"))


def observation(*attributes: tuple[int, bytes]) -> bytes:
    packed = b"".join(struct.pack(">HH", name, len(data)) + data for name, data in attributes)
    return struct.pack(">HHH", 1, len(attributes), len(packed)) + packed


def reply(*observations: bytes, time: int = 10**6) -> bytes:
    """A poll's reply, in a frame."""
    whole = b"".join(observations)
    context = struct.pack(">HHHHH", 1, len(whole) + 6, 1, len(observations), len(whole)) + whole
    body = struct.pack(">HHI", 1, 0, time) + b"\xff" * 8 + bytes.fromhex("00 01 00 06 00 00") + context
    action = bytes.fromhex("00 21 00 00 00 00") + struct.pack(">HH", 0xF13B, len(body)) + body
    command = struct.pack(">HHH", 1, 7, len(action)) + action
    return framed(bytes.fromhex("E1 00 00 02") + struct.pack(">HH", 2, len(command)) + command)


def single(what: int, number: int | None, unit: int, state: int = 0, time: int = 10**6) -> bytes:
    return reply(observation((0x0950, value(what, number, unit, state))), time=time)


def cuff(sbp: int | None, date: str | None, time: int, state: int = 0) -> bytes:
    dbp, mean = (None, None) if sbp is None else (72, 88)
    values = b"".join(value(what, number, MMHG, state)
                      for what, number in ((0x4A05, sbp), (0x4A06, dbp), (0x4A07, mean)))
    stamped = [] if date is None else [(0x0990, bytes.fromhex(date))]
    return reply(observation(*stamped, (0x094B, struct.pack(">HH", 3, 30) + values)), time=time)


def of(items: Sequence[Decoded], metric: str) -> list[float | str | None]:
    found = [one for one in items if isinstance(one, Reading) and one.metric == metric]
    return [one.reason or one.validity.value if one.value is None else one.value for one in found]


def told(run: DialogueRun, metric: str) -> list[float | str | None]:
    return of(all_of(run), metric)


# --- frames -----------------------------------------------------------------------------------------------------------


def test_check_value_of_the_fcs_and_the_capture_is_framed_as_here() -> None:
    assert fcs(b"123456789") == b"\x6e\x90"
    for row in ROWS.values():
        if row.origin.startswith("REAL") and not row.bad:
            assert framed(payload_of(row.frame)) == row.frame
    assert (framed(ACCEPTED), framed(THERE)) == (ROWS["accepted"].frame, ROWS["here_i_am"].frame)


def test_a_driver_that_was_never_started_takes_each_frame_of_the_table_at_its_word() -> None:
    for row in [row for row in ROWS.values() if not row.bad]:
        assert decoded_json(DRIVER.driver().decode(row.frame, None)) == row.expected, row


def test_one_bad_byte_is_never_a_number() -> None:
    for broken in spoiled(SPO2):
        items = listen(started(DRIVER), broken)
        assert of(items, "spo2_pct") in ([], [97.0]), broken
        assert not items or framed(payload_of(SPO2)) in (broken, broken[: len(SPO2)], broken[1:]), broken


# --- what counts ------------------------------------------------------------------------------------------------------

FIRST, SECOND = "20 26 01 01 10 00 00 00", "20 26 01 01 10 05 00 00"


@pytest.mark.parametrize(("what", "stream", "systolic"), [
    ("what stands there at the opening", [(118, FIRST)] * 3, []),
    ("another date", [(118, FIRST), (130, SECOND), (130, SECOND)], [130.0]),
    ("the same numbers at another date", [(118, FIRST), (118, SECOND)], [118.0]),
    ("the first it ever made", [(None, None), (118, FIRST), (118, FIRST)], [118.0]),
    ("hidden while it measures", [(118, FIRST), (None, FIRST), (None, SECOND), (130, SECOND)], [130.0]),
    ("hidden, and the old one again", [(118, FIRST), (None, FIRST), (118, FIRST)], []),
    ("no date", [(118, None), (118, None), (130, None)], [130.0]),
    ("it cannot be", [(118, FIRST), (80, SECOND)], ["implausible"]),
])
def test_a_determination_counts_once(
    what: str, stream: list[tuple[int | None, str | None]], systolic: list[float]
) -> None:
    data = b"".join(cuff(sbp, date, 8192 * n) for n, (sbp, date) in enumerate(stream, 1))
    assert of(listen(started(DRIVER), data), "sbp_mmhg") == systolic


def breaths(*steps: tuple[int, int | None]) -> Iterator[bytes]:
    for n, (what, number) in enumerate(steps):
        yield single(what, number, BREATH, time=10**6 + n * 8192)


@pytest.mark.parametrize(("what", "steps", "resp"), [
    ("the chest's alone", [(0x500A, 14), (0x500A, 15)], [14.0, 15.0]),
    ("the airway's, where there is one", [(0x5012, 12), (0x500A, 14), (0x5012, 12)], [12.0, 12.0]),
    ("it goes, and the chest's counts again after five seconds",
     [(0x5012, 12), (0x5012, None), (0x500A, 14), *[(0x5012, None)] * 3, (0x500A, 14)], [12.0, "unavailable", 14.0]),
    ("it has none, and never had", [(0x500A, 14), (0x5012, None), (0x500A, 14)], [14.0, 14.0]),
])
def test_the_airways_respiration_counts_before_the_chests(
    what: str, steps: list[tuple[int, int | None]], resp: list[float]
) -> None:
    assert of(listen(started(DRIVER), b"".join(breaths(*steps))), "resp_bpm") == resp


def test_a_reply_older_than_the_last_says_nothing_unless_the_monitor_began_anew() -> None:
    times = [10**7, 10**7 + 8192, 10**7, 10**7 + 16384, 5000]
    items = listen(started(DRIVER), b"".join(single(0x4182, 60 + n, BEAT, time=at) for n, at in enumerate(times)))
    assert of(items, "heart_rate_bpm") == [60.0, 61.0, 63.0, 64.0]


def test_an_alarm_is_told_when_it_begins_and_when_it_ends() -> None:
    driver = started(DRIVER)
    story = [(0, [[]]), (2, [["4182 in alarm"]]), (2, []), (0, [[]]), (0x0400, [["test data"]]), (0, [[]])]
    for n, (state, said) in enumerate(story):
        items = listen(driver, single(0x4182, 60, BEAT, state, time=10**6 + n * 8192))
        assert [[alarm.raw for alarm in one.alarms] for one in items if isinstance(one, DeviceAlarms)] == said, n


def wave(*attributes: tuple[int, bytes], handle: int = 0x8300, time: int = 10**6) -> bytes:
    """A reply with one observation of a wave."""
    packed = b"".join(struct.pack(">HH", name, len(data)) + data for name, data in attributes)
    one = struct.pack(">HHH", handle, len(attributes), len(packed)) + packed
    context = struct.pack(">HHH", 1, 1, len(one)) + one
    body = (struct.pack(">HHI", 3, 0, time) + b"\xff" * 8 + bytes.fromhex("00 01 00 09 00 00")
            + struct.pack(">HH", 1, len(context)) + context)
    action = bytes.fromhex("00 21 00 00 00 00") + struct.pack(">HH", 0xF13B, len(body)) + body
    command = struct.pack(">HHH", 1, 7, len(action)) + action
    return framed(bytes.fromhex("E1 00 00 02 00 02") + struct.pack(">H", len(command)) + command)


FORM = (0x096D, bytes.fromhex("00 04 10 0C 30 00"))
PERIOD = (0x098D, (64).to_bytes(4, "big"))
SCALE = (0x096F, bytes(8) + bytes.fromhex("00 00 0F FF"))


def pleth(*samples: int, state: int = 0, what: int = 0x4BB4) -> tuple[int, bytes]:
    return 0x096E, struct.pack(">HHH", what, state, 2 * len(samples)) + struct.pack(f">{len(samples)}H", *samples)


@pytest.mark.parametrize(("attributes", "samples"), [
    ((FORM, PERIOD, SCALE, pleth(0, 4095, 4096)), (0, 4095, None)),
    ((FORM, PERIOD, SCALE, pleth(7, 8, state=0x8000)), (None, None)),
    ((FORM, PERIOD, SCALE, pleth(7, 8, state=0x0400)), (None, None)),  # a demonstration
    ((FORM, SCALE, pleth(7, 8)), None),  # how many a second nobody knows
    (((0x096D, bytes.fromhex("00 04 08 08 30 00")), PERIOD, SCALE, pleth(7, 8)), None),
    ((FORM, PERIOD, SCALE, pleth(7, 8, what=0x0102)), None),  # an ECG
])
def test_the_spo2_wave_is_told_where_its_form_is_known(
    attributes: tuple[tuple[int, bytes], ...], samples: tuple[int | None, ...] | None
) -> None:
    said = list(started(DRIVER).decode(wave(*attributes), None))
    assert said == ([] if samples is None else [Wave("pleth", 125.0, 0, 4095, samples)])


def test_a_waves_form_is_remembered_by_its_handle() -> None:
    driver = started(DRIVER)
    driver.decode(ROWS["a_wave"].frame, None)  # of the capture: an ECG's form, 250 samples a second
    driver.decode(wave(FORM, PERIOD, SCALE, time=1_963_000), None)
    said = driver.decode(wave(pleth(1, 2), time=1_964_000), None)
    assert said == [Wave("pleth", 125.0, 0, 4095, (1, 2))]
    assert list(driver.decode(wave(pleth(1, 2), handle=0x02CA, time=1_965_000), None)) == [
        Wave("pleth", 250.0, 0, 0x3FFF, (1, 2))]


def test_an_older_reply_says_nothing_also_after_the_line_was_lost_and_a_restarted_monitor_is_heard() -> None:
    driver = started(DRIVER)
    assert listen(driver, single(0x4182, 60, BEAT, 0, time=10**6))
    driver.on_open()
    assert not listen(driver, single(0x4182, 95, BEAT, 0, time=10**6 - 8192))
    told = [bool(listen(driver, single(0x4182, 61, BEAT, 0, time=8192 * n))) for n in range(1, 6)]
    assert told == [False, False, False, True, True]


def test_the_twins_wave_goes_on_for_as_long_as_it_is_polled() -> None:
    run = DialogueRun(DRIVER, IntellivueTwin(StillPatient()), settings={"waves": "on"})
    run.open()
    run.run(20)
    assert [request for _, request in run.sent if request in (NUMBERS, WAVES)] == [NUMBERS, WAVES]
    waves = [one for _, batch in run.decoded for one in batch if isinstance(one, Wave)]
    assert {(one.rate_hz, len(one.samples)) for one in waves} == {(125.0, 32)}
    assert len(waves) > 55
    run.twin.hands["probe_off"]()
    run.forget()
    run.run(5)
    lost = [one for _, batch in run.decoded for one in batch if isinstance(one, Wave)]
    assert {sample for one in lost[1:] for sample in one.samples} == {None}


# --- the association --------------------------------------------------------------------------------------------------


def test_it_is_released_then_made_then_confirmed_then_polled_and_kept_alive() -> None:
    driver = DRIVER.driver()
    assert list(driver.on_open()) == [LEAVE, JOIN]
    assert driver.next_request(0.0) is None
    assert driver.is_response(framed(ACCEPTED), JOIN)
    driver.decode(framed(ACCEPTED), JOIN)
    assert driver.next_request(0.1) is None
    assert driver.decode(framed(THERE), None) == (Identity("0009fb029e18", "Philips M8000"),)
    assert [driver.next_request(1.0) for _ in range(3)] == [HEARD, NUMBERS, None]
    asked = [(second, one) for second in range(1, 312) if (one := driver.next_request(1.0 + second))]
    assert asked[:2] == [(5, KEEP), (10, KEEP)]
    assert [second for second, one in asked if one is NUMBERS] == [300]


def test_a_monitor_that_does_not_say_that_it_is_there_is_polled_after_three_seconds() -> None:
    driver = started(DRIVER)
    driver.decode(framed(ACCEPTED), JOIN)
    assert [driver.next_request(at_s) for at_s in (0.0, 2.9, 3.0)] == [None, None, NUMBERS]


@pytest.mark.parametrize("first", [0x0C, 0x0A, 0x19])
def test_nothing_is_asked_of_a_monitor_that_ends_or_refuses_it(first: int) -> None:
    driver = started(DRIVER)
    driver.decode(framed(THERE), None)
    driver.next_request(0.0)
    driver.decode(framed(bytes((first, 0))), None)
    assert {driver.next_request(float(second)) for second in range(400)} == {None}


# --- with its twin, through the dialogue ------------------------------------------------------------------------------


@pytest.mark.slow
def test_twenty_minutes_of_numbers_and_determinations() -> None:
    run = opened(DRIVER, IntellivueTwin(StillPatient()), 1200.0)
    assert (set(told(run, "spo2_pct")), set(told(run, "pulse_bpm"))) == ({98.0}, {72.0})
    assert (set(told(run, "heart_rate_bpm")), set(told(run, "resp_bpm"))) == ({72.0}, {14.0})
    assert (set(told(run, "etco2_mmhg")), set(told(run, "temp_c"))) == ({38.0}, {36.7})
    assert told(run, "sbp_mmhg") == [122.0] * 4
    assert (len(run.times("associate")), len(run.times("poll_numerics"))) == (1, 4)
    assert (run.bad, run.dialogue.counters.late, run.dialogue.state) == (0, 0, "live")
    assert run.links()[-1][2] == "", "it has said who it is"


def test_leads_and_finger_off_leave_no_number_and_low_spo2_is_in_alarm() -> None:
    patient = StillPatient()
    run = opened(DRIVER, IntellivueTwin(patient), 10.0)
    for hand in ("probe_off", "sensor_out"):
        run.twin.hands[hand]()
    run.run(3.0)
    run.forget()
    run.run(20.0)
    for metric in ("spo2_pct", "pulse_bpm", "heart_rate_bpm", "resp_bpm"):
        assert set(told(run, metric)) == {"invalid"}, metric
    patient.spo2_pct = SPO2_LOW - 1.0
    for hand in ("probe_on", "sensor_in"):
        run.twin.hands[hand]()
    run.run(SEARCH_S + 3)
    assert (told(run, "spo2_pct")[-1], told(run, "heart_rate_bpm")[-1]) == (89.0, 72.0)
    assert alarms(run) == [["4BB8 in alarm"]]


def test_demonstration_data_are_no_numbers() -> None:
    run = opened(DRIVER, IntellivueTwin(StillPatient()), 10.0)
    run.twin.hands["demo"]()
    run.run(3.0)
    run.forget()
    run.run(60.0)
    assert {one.value for one in all_of(run) if isinstance(one, Reading)} == {None}
    run.twin.hands["real"]()
    run.run(3.0)
    assert alarms(run)[-1] == []


def test_a_monitor_that_was_switched_off_and_on_is_associated_again() -> None:
    run = opened(DRIVER, IntellivueTwin(StillPatient()), 30.0)
    run.twin.hands["restart"]()
    run.forget()
    run.run(30.0)
    assert {LEAVE, JOIN, HEARD, NUMBERS} <= {request for _, request in run.sent}
    assert told(run, "spo2_pct")
    assert run.dialogue.state == "live"


def test_two_monitors_exchanged_are_known_by_their_own_number() -> None:
    run = opened(DRIVER, IntellivueTwin(StillPatient(), 1), 20.0)
    run.twin = IntellivueTwin(StillPatient(spo2_pct=80.0), 2)
    run.run(30.0)
    assert run.dialogue.state == "wrong_device"
    assert 80.0 not in {sample.value for _, sample in run.samples("spo2_pct")}
