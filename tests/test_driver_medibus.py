"""The MEDIBUS driver: its connection, numbers that come and go, alarms, and a run with its twin."""

from __future__ import annotations

import pytest

from drivers.contract import BadFrame, DeviceAlarms, FrameRequest, Reading, Request, Validity
from drivers.medibus import (
    ALARM,
    ALARMS_CODE,
    ALIVE,
    BEGIN,
    BEGUN,
    CORRUPT,
    DATA,
    DATA_CODE,
    DRIVER,
    ESC,
    SOH,
    UNKNOWN,
    WHO,
    Medibus,
    MedibusFraming,
    framed,
)
from simulators.medibus import MedibusTwin
from tests.helpers.dialogue_run import DialogueRun, StillPatient


def with_twin() -> tuple[DialogueRun, MedibusTwin, StillPatient]:
    patient = StillPatient()
    run = DialogueRun(DRIVER, MedibusTwin(patient))
    run.open()
    assert isinstance(run.twin, MedibusTwin)
    return run, run.twin, patient


def started() -> Medibus:
    driver = Medibus()
    driver.on_open()
    driver.decode(framed(SOH, 0x51), BEGIN)
    assert driver.next_request(0.0) == WHO
    return driver


def said(driver: Medibus, data: str) -> dict[str, tuple[float | None, str]]:
    found = driver.decode(framed(SOH, DATA_CODE, data), DATA)
    return {one.metric: (one.value, one.validity.value) for one in found if isinstance(one, Reading)}


def alarms(run: DialogueRun) -> list[tuple[str, ...]]:
    told = [one for _, batch in run.decoded for one in batch if isinstance(one, DeviceAlarms)]
    return [tuple(alarm.code for alarm in one.alarms) for one in told]


def test_the_documents_sums() -> None:
    assert (BEGIN.frame, ALIVE.frame) == (b"\x1bQ6C\r", b"\x01031\r")
    assert UNKNOWN.frame == bytes.fromhex("01 15 31 36 0D")


def test_any_single_bit_flipped_is_a_bad_frame() -> None:
    good = framed(SOH, DATA_CODE, "EB 98 E1 70 ")
    for bit in range(len(good) * 8):
        flipped = bytearray(good)
        flipped[bit // 8] ^= 1 << bit % 8
        with pytest.raises(BadFrame):
            Medibus().decode(bytes(flipped), DATA)


def test_flow_control_may_stand_anywhere() -> None:
    framing, good = MedibusFraming(), framed(SOH, DATA_CODE, "EB 98 ")
    stream = b"\x13".join(bytes((byte,)) for byte in good)
    assert framing.feed(stream) == [good]
    assert framing.dropped == len(good) - 1


def test_a_number_counts_when_it_repeats_and_one_that_is_missing_is_gone() -> None:
    driver = started()
    assert said(driver, "EB 98 ") == {"spo2_pct": (98.0, "questionable")}
    assert said(driver, "EB 98 ") == {"spo2_pct": (98.0, "questionable")}
    assert said(driver, "EB 98 ") == {"spo2_pct": (98.0, "valid")}
    assert said(driver, "EB 89 ") == {"spo2_pct": (89.0, "questionable")}, "two digits changed places: the same sum"
    assert said(driver, "EB 98 ") == {"spo2_pct": (98.0, "questionable")}
    assert said(driver, "") == {"spo2_pct": (None, "unavailable")}
    assert said(driver, "E1 70 ")["pulse_bpm"] == (70.0, "questionable")


@pytest.mark.parametrize(("code", "answer"), [(0x51, BEGUN), (0x30, ALIVE), (0x52, UNKNOWN), (0x28, UNKNOWN)])
def test_what_the_machine_asks_is_answered_before_anything_is_asked(code: int, answer: FrameRequest) -> None:
    driver = started()
    assert driver.decode(framed(ESC, code), None) == ()
    assert driver.next_request(0.0) == answer


def test_alarms_it_does_not_have_are_asked_for_once_a_minute() -> None:
    driver = started()
    sent: list[Request | None] = []
    for half in range(240):
        request = driver.next_request(half / 2)
        sent.append(request)
        if request is ALARM:
            driver.decode(framed(SOH, CORRUPT), ALARM)
    assert sent.count(ALARM) == 2


def test_a_day_with_its_twin() -> None:
    run, twin, patient = with_twin()
    run.run(20)
    assert run.dialogue.state == "live"
    assert run.readings("spo2_pct")[-1][1] == Reading("spo2_pct", 98.0)
    assert run.readings("etco2_mmhg")[-1][1] == Reading("etco2_mmhg", 38.0)
    assert {request for _, request in run.sent} >= {BEGIN, WHO, DATA, ALARM, BEGUN}
    twin.hands["probe_off"]()
    run.run(4)
    assert run.readings("spo2_pct")[-1][1] == Reading("spo2_pct", None, Validity.UNAVAILABLE)
    assert (alarms(run)[-1], run.readings("resp_bpm")[-1][1].value) == (("sensor_off",), 14.0)
    twin.hands["probe_on"]()
    patient.spo2_pct = 85.0
    run.run(12)
    assert (alarms(run)[-1], run.readings("spo2_pct")[-1][1].value) == (("low_spo2",), 85.0)
    assert (run.bad, run.timeouts) == (0, 0)


def test_a_machine_that_was_switched_off_is_initialised_again() -> None:
    run, twin, _ = with_twin()
    run.run(10)
    twin.hands["restart"]()
    run.forget()
    run.run(25)
    assert BEGIN in [request for _, request in run.sent]
    assert run.dialogue.state == "live"
    assert run.readings("spo2_pct")[-1][1] == Reading("spo2_pct", 98.0)


def test_the_twin_forgets_a_host_that_is_silent_for_three_seconds() -> None:
    twin = MedibusTwin(StillPatient())
    assert twin.feed(DATA.frame) == b"", "not initialised"
    assert twin.feed(BEGIN.frame) == b"\x01Q52\r\x1bQ6C\r"
    twin.step(2.9)
    assert twin.feed(DATA.frame)[:2] == b"\x01$"
    assert twin.step(3.1) == b""
    assert twin.feed(framed(ESC, ALARMS_CODE)) == b""
