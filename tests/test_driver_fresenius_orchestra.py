"""The Fresenius driver: the link's small words, sessions, late and foreign frames, and runs with its twin."""

from __future__ import annotations

from itertools import groupby

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.contract import BadFrame, DeviceAlarms, Driver, Pump, Reading, Validity
from drivers.fresenius_orchestra import (
    ACKNOWLEDGE,
    ALIVE,
    CONNECT_BASE,
    DRIVER,
    MODULES,
    FreseniusFraming,
    checksum,
    encode,
)
from simulators.fresenius_orchestra import FreseniusTwin
from tests.helpers.dialogue_run import DialogueRun, StillPatient
from tests.helpers.oximeter_bench import all_of, listen
from tests.helpers.parts import sampled

ONE = MODULES["1"]
FLOW = encode("1C;d0064;r000004D2")


def with_twin(address: str = "1") -> tuple[DialogueRun, FreseniusTwin, StillPatient]:
    patient = StillPatient()
    twin = FreseniusTwin(patient, address)
    twin.hands["program"]()
    run = DialogueRun(DRIVER, twin, {"module": address or "none"})
    run.open()
    return run, twin, patient


def states(run: DialogueRun) -> list[str]:
    """What the pump was said to do, each once."""
    return [state for state, _ in groupby(one.state for one in all_of(run) if isinstance(one, Pump))]


def alarms(run: DialogueRun) -> list[tuple[str, ...]]:
    return [tuple(alarm.raw for alarm in one.alarms) for one in all_of(run) if isinstance(one, DeviceAlarms)]


def begun() -> Driver:
    """One whose session is open and which reads rate and volume."""
    driver = DRIVER.driver()
    assert list(driver.on_open()) == [CONNECT_BASE]
    driver.decode(encode("0C"), CONNECT_BASE)
    assert [driver.next_request(0.0) for _ in range(2)] == [ACKNOWLEDGE, ONE.connect]
    driver.decode(encode("1C"), ONE.connect)
    assert [driver.next_request(0.1) for _ in range(3)] == [ACKNOWLEDGE, ONE.kind, ONE.flow]
    return driver


def test_check_values_of_the_published_rule() -> None:
    assert [checksum(text) for text in (b"0DC", b"1LE;d", b"1C;d0064")] == [b"48", b"9E", b"22"]


def test_any_single_bit_flipped_is_a_bad_frame() -> None:
    for bit in range(len(FLOW) * 8):
        flipped = bytearray(FLOW)
        flipped[bit // 8] ^= 1 << bit % 8
        with pytest.raises(BadFrame):
            DRIVER.driver().decode(bytes(flipped), ONE.flow)


# --- the link's small words -------------------------------------------------------------------------------------------


@given(at=st.integers(0, len(FLOW)))
def test_an_enquiry_anywhere_in_a_frame_harms_nothing_and_is_answered(at: int) -> None:
    driver = begun()
    driver.framing.feed(FLOW)
    assert [one for one in driver.framing.feed(FLOW[:at] + b"\x05" + FLOW[at:]) if one != b"\x05"] == [FLOW]
    assert [driver.next_request(0.2), driver.next_request(0.2)] == [ALIVE, ONE.alarm]


def test_enquiries_alone_are_a_sign_of_life_for_four_of_them_and_are_answered_all_the_same() -> None:
    framing = FreseniusFraming()
    assert framing.feed(b"\x05" * 3) == []
    assert framing.asked
    assert framing.feed(FLOW + b"\x05" * 9) == [FLOW, *[b"\x05"] * 4]
    assert framing.dropped == 3 + 5
    framing.feed(FLOW[:-2] + b"0\x03" + b"\x05")
    assert framing.dropped == 3 + 5 + 1, "a text with a wrong sum proves nothing"


def test_each_text_is_acknowledged_and_an_event_is_answered_too() -> None:
    driver = begun()
    assert list(driver.decode(encode("1E;r000004D2"), None)) == [
        Reading("volume_infused_ml", 1.234, Validity.QUESTIONABLE, "low_signal_quality")]
    assert [driver.next_request(0.2) for _ in range(3)] == [ACKNOWLEDGE, ONE.heard["E"], ONE.alarm]
    driver.decode(encode("3M;d0064"), None)
    assert [driver.next_request(0.3) for _ in range(3)] == [ACKNOWLEDGE, MODULES["3"].heard["M"], None]


@pytest.mark.parametrize(("frame", "request_", "whose"), [
    (FLOW, ONE.flow, True), (FLOW, ONE.alarm, False), (FLOW, MODULES["2"].flow, False), (FLOW, ONE.connect, False),
    (encode("1C;d0064"), ONE.flow, False), (encode("1C"), ONE.connect, True), (encode("1C"), CONNECT_BASE, False),
    (encode("0C"), CONNECT_BASE, True), (encode("1E;d0064;r0"), ONE.flow, False), (encode("1I;12"), ONE.flow, True),
    (b"\x152", ONE.flow, True), (b"\x05", ONE.flow, False), (FLOW[:-3] + b"00\x03", ONE.flow, False),
])
def test_a_response_is_known_by_address_and_letters(frame: bytes, request_: object, whose: bool) -> None:
    driver = DRIVER.driver()
    assert driver.is_response(frame, request_) is whose  # type: ignore[arg-type]


def test_a_pump_that_does_not_respond_does_something_unknown() -> None:
    driver = begun()
    assert [driver.on_timeout(ONE.flow) for _ in range(2)] == [(), (Pump("unknown"),)]


@pytest.mark.parametrize(("error", "again"), [("0D", True), ("1E", True), ("12", False), ("99", False)])
def test_a_session_that_is_gone_is_opened_again(error: str, again: bool) -> None:
    driver = begun()
    driver.decode(encode(f"1I;{error}"), ONE.flow)
    assert driver.next_request(9.0) is ACKNOWLEDGE
    assert driver.next_request(9.0) is (CONNECT_BASE if again else ONE.alarm)


# --- driver and twin --------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("address", sampled([("1",), ("5",), ("",)], 3))
def test_an_infusion_to_the_end_of_its_volume(address: str) -> None:
    run, twin, patient = with_twin(address)
    run.run(40.0)
    assert states(run) == ["unknown", "stopped"]
    opening = [request.name for _, request in run.sent if request not in (ACKNOWLEDGE, ALIVE)]
    assert opening[:4] == [*(["0DC"] if address else []), f"{address}DC", f"{address}LF;b", f"{address}LE;dr",
                           f"{address}LE;ae"][:4]
    assert run.readings("rate_ml_h")[-1][1] == Reading("rate_ml_h", None, Validity.UNAVAILABLE, "not_measured")
    twin.hands["start"]()
    run.forget()
    run.run(600.0)
    assert states(run) == ["infusing"]
    rates = [one for at_s, one in run.readings("rate_ml_h") if at_s > 60]
    assert set(rates) == {Reading("rate_ml_h", 52.5)}
    assert run.readings("volume_infused_ml")[-1][1].value == pytest.approx(8.75, abs=0.03)
    run.run(1900.0)
    assert (states(run)[-1], alarms(run)[-1]) == ("alarm", ("a 0004",))
    assert patient.rates == [52.5, 0.0]
    assert (run.bad, run.timeouts, run.dialogue.state) == (0, 0, "live")
    own = MODULES[address]
    assert {request for _, request in run.sent} == {ACKNOWLEDGE, ALIVE, own.flow, own.alarm}


def test_an_occlusion_is_an_alarm_by_its_raw_code_until_it_is_cleared() -> None:
    run, twin, _ = with_twin()
    twin.hands["start"]()
    run.run(60.0)
    twin.hands["occlude"]()
    run.run(30.0)
    assert (states(run)[-1], alarms(run)[-1]) == ("alarm", ("a 0001",))
    twin.hands["clear"]()
    run.run(5.0)
    assert (states(run)[-1], alarms(run)[-1]) == ("stopped", ())


def test_an_alarm_that_does_not_stop_the_pump_leaves_it_infusing() -> None:
    run, twin, _ = with_twin()
    twin.hands["start"]()
    twin.hands["low_battery"]()
    run.run(60.0)
    assert (states(run), alarms(run)[-1]) == (["unknown", "infusing"], ("a 0010",))


def test_a_module_that_does_not_connect_is_asked_every_three_seconds() -> None:
    driver = DRIVER.driver()
    driver.on_open()
    assert [second for second in range(10) if driver.next_request(float(second)) is ONE.connect] == [0, 3, 6, 9]


def test_mute_and_back() -> None:
    run, twin, _ = with_twin()
    twin.hands["start"]()
    run.run(60.0)
    twin.hands["mute"]()
    run.forget()
    run.run(30.0)
    assert (states(run), run.readings("rate_ml_h"), run.dialogue.state) == ([], [], "silent")
    twin.hands["unmute"]()
    run.run(30.0)
    assert (states(run)[-1], run.dialogue.state) == ("infusing", "live")


def test_a_session_the_base_has_dropped_is_opened_again_by_itself() -> None:
    run, twin, _ = with_twin()
    twin.hands["start"]()
    run.run(60.0)
    run.forget()
    twin.connect()  # as after a power cut
    run.run(15.0)
    assert {request for _, request in run.sent} >= {CONNECT_BASE, ONE.connect}
    assert states(run)[-1] == "infusing"
    assert alarms(run)[-1] == ()


@pytest.mark.parametrize("late_s", [0.5, 1.2, 2.9])
def test_late_responses_never_give_a_wrong_number(late_s: float) -> None:
    run, twin, _ = with_twin()
    twin.hands["start"]()
    run.delay(each=3, late_s=late_s)
    run.run(200.0)
    assert {one.value for _, one in run.readings("rate_ml_h")} <= {52.5, None}
    volumes = [(at_s, one.value) for at_s, one in run.readings("volume_infused_ml") if one.value is not None]
    assert volumes
    assert all(abs(value - 52.5 * at_s / 3600) < 0.16 for at_s, value in volumes)


# --- the twin, as a program that is not ours sees it ------------------------------------------------------------------


def test_the_twin_obeys_a_host_in_its_words() -> None:
    twin = FreseniusTwin(StillPatient())
    twin.hands["start"]()
    said = [("1DC", "1I;0D"), ("0DC", "0C"), ("0LE;b", "0C;b01"), ("1LE;d", "1I;1E"), ("1DC", "1C"),
            ("1LE;d", "1C;d020D"), ("1LP", "1C;KETAMINE"), ("1PO", "1I;02"), ("1MO;2", "1C"), ("1PO", "1C"),
            ("1DE;r", "1C"), ("1XX", "1I;01"), ("1LE;z", "1I;0B"), ("1FC", "1C")]
    for sent, text in said:
        assert twin.feed(encode(sent)) == b"\x06" + encode(text), sent
    assert not twin.running
    assert twin.feed(encode("2DC")) == b"\x154"
    assert twin.feed(encode("1DC")[:-2] + b"0\x03") == b"\x152"


def test_the_twin_asks_once_a_second_and_ends_the_session_of_a_host_that_is_gone() -> None:
    twin = FreseniusTwin(StillPatient())
    twin.feed(encode("0DC"))
    assert [twin.step(1.0) for _ in range(3)] == [b"\x05"] * 3
    twin.feed(b"\x14")
    assert [twin.step(1.0) for _ in range(5)] == [*[b"\x05"] * 4, b""]
    assert twin.feed(encode("0LE;b")) == b"\x06" + encode("0I;0D")


def test_noise_is_nothing() -> None:
    assert listen(begun(), bytes(range(256)) * 40) == []
