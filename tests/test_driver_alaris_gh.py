"""The Alaris GH driver says only its five questions, hears exactly the golden table, and agrees with its twin."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.alaris_gh import ALARM, ALARM_CODES, DRIVER, REQUESTS, STATUS, SYRINGE, AlarisGh, crc, decode, encode
from drivers.contract import ALARMS, BadFrame, Decoded, DeviceAlarms, FrameRequest, Identity, Pump, Reading, Validity
from edge.vocabulary import METRICS
from simulators.alaris_gh import TWIN, AlarisTwin, serial_number
from tests.helpers.dialogue_run import DialogueRun, StillPatient
from tests.helpers.golden_table import Row, frames

BY_NAME = {request.name: request for request in DRIVER.requests}
ROWS = frames("alaris_gh")
INF_GOOD = next(row.frame for row in ROWS if row.name == "INF infusing")


def decode_text(frame: bytes) -> str:
    return "^".join(decode(frame))


def with_twin(seed: int = 0) -> tuple[DialogueRun, AlarisTwin, StillPatient]:
    patient = StillPatient()
    twin = AlarisTwin(patient, seed)
    twin.hands["program"]()
    run = DialogueRun(DRIVER, twin)
    run.open()
    return run, twin, patient


def states(run: DialogueRun) -> list[str]:
    return [one.state for _, batch in run.decoded for one in batch if isinstance(one, Pump)]


def alarms(run: DialogueRun) -> list[tuple[str, ...]]:
    said = [one for _, batch in run.decoded for one in batch if isinstance(one, DeviceAlarms)]
    return [tuple(alarm.raw for alarm in one.alarms) for one in said]


def identities(heard: Sequence[Decoded]) -> list[str | None]:
    return [one.serial for one in heard if isinstance(one, Identity)]


# --- the table --------------------------------------------------------------------------------------------------------


def test_check_value_of_the_crc() -> None:
    assert crc(b"123456789") == 0x29B1
    assert f"{crc(b'8002-51740'):04X} {crc(b'8002-51733'):04X}" == "3CC1 9535"  # as captured by MDDT


def test_alarm_words_and_metrics_are_the_houses() -> None:
    assert {code for code, _, _ in ALARM_CODES.values()} <= ALARMS
    assert DRIVER.metrics <= set(METRICS)


def test_the_line_is_as_published() -> None:
    assert (DRIVER.line.baud, DRIVER.line.bits, DRIVER.line.parity, DRIVER.line.stop) == (38400, 8, "N", 1)
    assert (TWIN.baud, TWIN.bits, TWIN.parity, TWIN.stop) == (38400, 8, "N", 1)


# --- bad bytes --------------------------------------------------------------------------------------------------------


def test_any_single_bit_flipped_is_a_bad_frame_or_none() -> None:
    for bit in range(len(INF_GOOD) * 8):
        flipped = bytearray(INF_GOOD)
        flipped[bit // 8] ^= 1 << bit % 8
        with pytest.raises(BadFrame):
            AlarisGh().decode(bytes(flipped), STATUS)


@pytest.mark.parametrize("row", [row for row in ROWS if not row.bad], ids=str)
def test_frames_are_cut_alike_at_every_split(row: Row) -> None:
    stream = b"\x00noise" + row.frame + b"\n" + INF_GOOD
    for at in range(len(stream) + 1):
        framing = AlarisGh().framing
        assert framing.feed(stream[:at]) + framing.feed(stream[at:]) == [row.frame, INF_GOOD]
        assert framing.dropped == len(b"\x00noise") + len(b"\n")


def test_a_frame_without_its_end_does_not_swallow_the_next() -> None:
    framing = AlarisGh().framing
    assert framing.feed(b"!ALARM^AL_NOALM^ ^ |C73B" + INF_GOOD) == [INF_GOOD]
    assert framing.dropped == len(b"!ALARM^AL_NOALM^ ^ |C73B")


@given(st.binary(max_size=300), st.sampled_from([None, *REQUESTS]))
def test_arbitrary_bytes_raise_nothing_but_bad_frame(data: bytes, asked: FrameRequest | None) -> None:
    driver = AlarisGh()
    for frame in [data, *driver.framing.feed(data + INF_GOOD)]:
        if asked is not None:
            driver.is_response(frame, asked)
        try:
            driver.decode(frame, asked)
        except BadFrame:
            pass


@given(st.lists(st.text("^AHLDSET0123456789.-+:mlh/g ", max_size=8), max_size=16), st.sampled_from(REQUESTS))
def test_a_right_crc_around_nonsense_gives_no_impossible_number(fields: list[str], asked: FrameRequest) -> None:
    try:
        heard_now = AlarisGh().decode(encode("^".join((asked.name, *fields))), asked)
    except BadFrame:
        return
    for one in heard_now:
        if isinstance(one, Reading) and one.value is not None:
            assert METRICS[one.metric].low <= one.value <= METRICS[one.metric].high


# --- who answers what -------------------------------------------------------------------------------------------------


def test_an_answer_is_known_by_its_name() -> None:
    driver = AlarisGh()
    assert driver.is_response(INF_GOOD, STATUS)
    assert not driver.is_response(INF_GOOD, ALARM)
    assert not driver.is_response(encode("INF_RATE^1.00^ml/h"), STATUS)
    assert not driver.is_response(encode("INFX^1"), STATUS)


def test_a_status_of_another_pump_gives_its_name_and_no_numbers() -> None:
    driver = AlarisGh()
    driver.on_open()
    driver.decode(encode("INST_SERIALNO^8002-51733"), BY_NAME["INST_SERIALNO"])
    told = driver.decode(INF_GOOD, STATUS)
    assert identities(told) == ["8002-51740"]
    assert len(told) == 1
    assert identities(driver.decode(INF_GOOD, STATUS)) == ["8002-51740"]  # and again, until the line is opened anew


def test_a_restart_forgets_whose_line_it_was() -> None:
    driver = AlarisGh()
    driver.decode(encode("INST_SERIALNO^8002-51733"), BY_NAME["INST_SERIALNO"])
    driver.on_open()
    assert any(isinstance(one, Reading) for one in driver.decode(INF_GOOD, STATUS))


def test_status_and_alarm_are_each_asked_once_a_second() -> None:
    driver = AlarisGh()
    asked = [(at, request.name) for at in (n * 0.05 for n in range(201)) if (request := driver.next_request(at))]
    for name in ("INF", "ALARM"):
        times = [at for at, one in asked if one == name]
        assert len(times) in (10, 11)
        assert all(0.95 < later - earlier < 1.1 for earlier, later in pairwise(times))


def test_after_a_long_stall_it_does_not_catch_up() -> None:
    driver = AlarisGh()
    asked = [driver.next_request(at_s) for at_s in (0.0, 0.0, 0.0, 3600.0, 3600.0, 3600.0, 3600.0)]
    once = ["INF", "ALARM"]
    assert [one.name if one else None for one in asked] == [*once, None, *once, "SYRINGE_STATUS", None]


def test_the_syringe_is_asked_every_minute_and_seldom_where_it_gives_no_answer() -> None:
    driver = AlarisGh()
    driver.on_open()

    def asked_until(end_s: int) -> list[int]:
        return [at_s for at_s in range(end_s) for _ in range(3) if driver.next_request(float(at_s)) is SYRINGE]

    assert asked_until(200) == [60, 120, 180]
    driver.on_timeout(SYRINGE)
    assert [at_s for at_s in asked_until(1000) if at_s >= 200] == [840, 900, 960]


def test_a_pump_that_does_not_answer_inf_does_something_unknown() -> None:
    driver = AlarisGh()
    driver.on_open()
    driver.decode(INF_GOOD, STATUS)
    assert [driver.on_timeout(STATUS) for _ in range(3)] == [(), (Pump("unknown"),), (Pump("unknown"),)]
    driver.decode(INF_GOOD, STATUS)
    assert driver.on_timeout(STATUS) == ()


def test_an_alarm_flag_is_an_alarm_even_where_alarm_gets_no_answer() -> None:
    """One published simulator forgets the CR after ALARM: nothing but the flag in INF is left then."""
    driver = AlarisGh()
    driver.on_open()
    calm, flagged = INF_GOOD, encode(decode_text(INF_GOOD).replace("^-^", "^A^"))
    driver.decode(calm, STATUS)
    assert driver.on_timeout(ALARM) == ()
    driver.decode(flagged, STATUS)
    (told,) = driver.on_timeout(ALARM)
    assert isinstance(told, DeviceAlarms)
    assert [(one.code, one.priority) for one in told.alarms] == [("unknown", "medium")]
    assert driver.on_timeout(ALARM) == (), "told once"
    driver.decode(encode("ALARM^AL_OCCLU"), ALARM)
    driver.decode(calm, STATUS)
    assert driver.on_timeout(ALARM) == (), "what the pump said itself stands until it says otherwise"
    driver.decode(flagged, STATUS)
    driver.on_timeout(ALARM)
    driver.decode(calm, STATUS)
    assert driver.on_timeout(ALARM) == (DeviceAlarms(()),)


# --- driver and twin --------------------------------------------------------------------------------------------------


def test_an_infusion_from_start_to_the_end_of_its_volume() -> None:
    run, twin, patient = with_twin()
    run.run(5)
    assert set(states(run)) == {"stopped"}
    twin.hands["start"]()
    run.decoded.clear()
    run.run(600)
    assert set(states(run)) == {"infusing"}
    assert run.readings("rate_ml_h")[-1][1] == Reading("rate_ml_h", 52.5)
    infused = run.readings("volume_infused_ml")[-1][1].value
    assert infused == pytest.approx(52.5 * 600 / 3600, abs=0.03)
    run.run(35 / 52.5 * 3600 - 590)
    assert alarms(run)[-1] == ("AL_VTBIS",)
    assert states(run)[-1] == "alarm"
    assert patient.rates == [52.5, 0.0]
    assert run.readings("volume_infused_ml")[-1][1].value == 35.0
    twin.hands["clear"]()
    run.run(3)
    assert states(run)[-1] == "stopped"
    assert alarms(run)[-1] == ()
    assert (run.bad, run.timeouts) == (0, 0)
    assert {say for _, say in run.sent} == set(DRIVER.requests)


def test_an_occlusion_holds_the_pump() -> None:
    run, twin, patient = with_twin()
    twin.hands["start"]()
    run.run(20)
    twin.hands["occlude"]()
    run.forget()
    run.run(20)
    pressures = [one.value for _, one in run.readings("line_pressure_mmhg")]
    assert pressures[-1] == 530.0
    assert "infusing" in states(run)
    assert states(run)[-1] == "alarm"
    assert alarms(run)[-1] == ("AL_OCCLU",)
    assert run.readings("rate_ml_h")[-1][1].value == 0.0
    assert patient.rates == [52.5, 0.0]
    twin.hands["start"]()
    run.run(2)
    assert states(run)[-1] == "alarm"
    twin.hands["clear"]()
    twin.hands["start"]()
    run.run(10)
    assert states(run)[-1] == "infusing"
    assert patient.rates[-1] == 52.5


def test_the_greeting_names_the_pump_and_its_syringe() -> None:
    run, twin, _ = with_twin(seed=1)
    run.run(8)
    names = [one for _, batch in run.decoded for one in batch if isinstance(one, Identity)]
    assert names[-1] == Identity(twin.serial, "Asena Rev 2.1.5")
    assert [one.value for _, one in run.readings("syringe_size_ml")] == [50.0]
    assert len({serial_number(seed) for seed in range(10_000)}) == 10_000


def test_a_mute_pump_is_asked_slowly_and_heard_again() -> None:
    run, twin, _ = with_twin()
    run.run(10)
    twin.hands["mute"]()
    run.forget()
    run.run(30)
    assert not run.decoded
    assert len(run.sent) <= 30 / 4.5 + 2, "ALARM does not wait for the first INF"
    twin.hands["unmute"]()
    run.run(10)
    assert run.readings("rate_ml_h")


def test_noise_on_the_line_never_makes_a_number() -> None:
    run, twin, _ = with_twin()
    twin.hands["start"]()
    count = 0

    def spoil(data: bytes) -> bytes:
        nonlocal count
        count += bool(data)
        if not data or count % 5:
            return data
        return b"\xff\x21\x00" + data[:20] + bytes((data[20 % len(data)] ^ 0x04,)) + data[21:]

    run.wire, run.every = spoil, 3
    run.run(300)
    assert run.timeouts > 10
    assert {one.value for _, one in run.readings("rate_ml_h")} == {52.5}
    assert len(run.readings("rate_ml_h")) > 30


# --- the twin, as a program that is not ours sees it ------------------------------------------------------------------

EXCHANGES = [  # published by MDDT: host, pump 8002-51740
    ("!INST_SERIALNO|457D", "!INST_SERIALNO^8002-51740|050B"),
    ("!COMMS_RESPONSE_MAX|7E29", "!COMMS_RESPONSE_MAX^4000^ms|DFDF"),
    ("!COMMS_PROTOCOL|E8DA", "!COMMS_PROTOCOL^Asena Rev 2.1.5|661A"),
    ("!SYRINGE_STATUS|4102", "!SYRINGE_STATUS^BD PLASTIPAK^ 50^CONF|1CF8"),
    ("!INF_RATE_MAX_SYRINGE|8F30", "!INF_RATE_MAX_SYRINGE^1200.00^ml/h|8575"),
    ("!ALARM|50B2", "!ALARM^AL_NOALM^ ^ |C73B"),
    ("!REMQUERY^DEACT|F295", "!REMQUERY^DEACT^^^^|E5C9"),
    ("!REMOTE_CTRL^ENABLED^3CC1|B1F1", "!REMOTE_CTRL^ENABLED^****^PERMIT^0^ms|7BB0"),
    ("!INF_VI_CLEAR|A706", "!INF_VI_CLEAR|A706"),
    ("!INF_START|38F3", "!INF_START|38F3"),
    ("!INF_STOP|CD57", "!INF_STOP|CD57"),
    ("!REMOTE_CTRL^DISABLED|EF95", "!REMOTE_CTRL^DISABLED|EF95"),
]


def twin_of(seed: int = 0) -> tuple[AlarisTwin, StillPatient]:
    patient = StillPatient()
    return AlarisTwin(patient, seed), patient


def request(twin: AlarisTwin, body: str) -> str:
    (answer,) = [twin.feed(encode(body))]
    return "^".join(decode(answer)) if answer else ""


def test_the_twin_gives_the_published_answers_at_every_split() -> None:
    for host, pump in EXCHANGES:
        sent = (host + "\r").encode()
        for at in range(len(sent)):
            twin, _ = twin_of()
            assert twin.feed(sent[:at]) + twin.feed(sent[at:]) == (pump + "\r").encode()


def test_the_twin_takes_a_rate_only_from_who_may_set_it() -> None:
    twin, patient = twin_of()
    assert request(twin, "INF_RATE^12.50^ml/h") == "INF_RATE^52.50^ml/h"
    assert request(twin, "REMOTE_CFG^ENABLED^0000") == "REMOTE_CFG^DISABLED"
    assert request(twin, "REMOTE_CFG^ENABLED^3CC1") == "REMOTE_CFG^ENABLED^****"
    assert request(twin, "INF_RATE^0.1^ml/h") == "INF_RATE^0.10^ml/h"
    for refused in ("1200.01^ml/h", "0.05^ml/h", "12^ml/min", "nan^ml/h", "-1^ml/h", "^ml/h"):
        assert request(twin, f"INF_RATE^{refused}") == "INF_RATE^0.10^ml/h"
    assert request(twin, "INF_VTBI^ACTIV^11.000^ml^STOP") == "INF_VTBI^ACTIV^11.000^ml^STOP"
    assert request(twin, "INF_VTBI^DEACT") == request(twin, "INF_VTBI") == "INF_VTBI^DEACT^^^"
    assert not patient.rates


def test_the_twin_runs_and_stops_only_for_who_has_control() -> None:
    twin, patient = twin_of()
    request(twin, "INF_START")
    assert not twin.running
    request(twin, "REMOTE_CTRL^ENABLED^3CC1")
    request(twin, "INF_START")
    assert twin.running
    request(twin, "INF_STOP")
    assert patient.rates == [52.5, 0.0]


def test_remote_control_has_to_be_kept_alive() -> None:
    twin, _ = twin_of()
    request(twin, "REMOTE_CTRL^ENABLED^3CC1")
    request(twin, "INF_START")
    for _ in range(20):
        twin.step(1.0)
        request(twin, "REMOTE_CTRL^ENABLED^3CC1")
    assert request(twin, "ALARM").startswith("ALARM^AL_NOALM")
    twin.step(5.5)
    assert request(twin, "ALARM").startswith("ALARM^AL_COMTO")
    request(twin, "INF_STOP")
    assert twin.running  # control is lost; the infusion is left as it is


def test_a_pump_that_was_never_controlled_misses_nobody() -> None:
    twin, _ = twin_of()
    twin.step(60.0)
    assert request(twin, "ALARM").startswith("ALARM^AL_NOALM")
    request(twin, "REMOTE_CTRL^ENABLED^3CC1")
    request(twin, "REMOTE_CTRL^DISABLED")
    twin.step(60.0)
    assert request(twin, "ALARM").startswith("ALARM^AL_NOALM")


@pytest.mark.parametrize(
    "sent", [b"!INF|0000\r", b"!IN\x1bF|4961\r", b"INF|4961\r", encode("NO_SUCH"), b"!\r", b"\r", b"!INF|4961"]
)
def test_the_twin_keeps_silent_on_what_is_no_command(sent: bytes) -> None:
    twin, _ = twin_of()
    assert twin.feed(sent) == b""
    assert twin.feed(REQUESTS[0].frame) != b""


@pytest.mark.parametrize(
    ("hand", "code", "runs"),
    [("low_battery", "AL_LWBAT", True), ("fault", "AL_FAULT", False)],
)
def test_what_hands_raise(hand: str, code: str, runs: bool) -> None:
    twin, _ = twin_of()
    twin.hands["start"]()
    twin.hands[hand]()
    assert request(twin, "ALARM") == f"ALARM^{code}^ ^ "
    assert twin.running is runs
    assert decode(twin.feed(STATUS.frame))[2] == "A"
    assert set(TWIN.hands) == set(twin.hands)


def test_time_left_of_a_slow_pump_is_more_than_a_day() -> None:
    twin, _ = twin_of()
    twin.rate_ml_h, twin.vtbi_ml = 1.0, 35.0
    twin.hands["program"]()
    left = AlarisGh().decode(twin.feed(STATUS.frame), STATUS)
    assert Reading("time_remaining_s", None, Validity.OVERFLOW) in left
    twin.rate_ml_h = 70.0
    twin.hands["program"]()
    assert Reading("time_remaining_s", 1800.0) in AlarisGh().decode(twin.feed(STATUS.frame), STATUS)


def test_an_empty_syringe_ends_the_infusion() -> None:
    twin, patient = twin_of()
    twin.rate_ml_h, twin.vtbi_ml = 1200.0, 0.0
    twin.hands["program"]()
    twin.hands["start"]()
    for _ in range(400):
        twin.step(0.5)
    assert request(twin, "ALARM").startswith("ALARM^AL_EOIST")
    assert twin.volume_infused_ml == pytest.approx(50.0)
    assert patient.rates == [1200.0, 0.0]
