"""The Terumo driver: who it speaks to, flipped bits, and an infusion with its twin."""

from __future__ import annotations

import pytest

from drivers.contract import BadFrame, DeviceAlarms, FrameRequest, Pump, Reading
from drivers.terumo_te import DRIVER, WHO, TerumoTe, status_of
from simulators.terumo_te import TerumoTwin, framed
from tests.helpers.dialogue_run import DialogueRun, StillPatient


def with_twin(seed: int = 1) -> tuple[DialogueRun, TerumoTwin]:
    twin = TerumoTwin(StillPatient(), seed)
    twin.hands["program"]()
    run = DialogueRun(DRIVER, twin)
    run.open()
    return run, twin


def states(run: DialogueRun) -> list[str]:
    return [one.state for _, batch in run.decoded for one in batch if isinstance(one, Pump)]


def alarms(run: DialogueRun) -> list[tuple[str, ...]]:
    told = [one for _, batch in run.decoded for one in batch if isinstance(one, DeviceAlarms)]
    return [tuple(alarm.code for alarm in one.alarms) for one in told]


@pytest.mark.parametrize("seed", [1, 4711])
def test_each_pump_is_asked_by_its_own_number(seed: int) -> None:
    run, twin = with_twin(seed)
    run.run(10)
    number = twin.number.decode()
    assert {request for _, request in run.sent} == {WHO, status_of(number)}
    assert (run.dialogue.state, run.dialogue.link.serial) == ("live", number)


def test_no_other_pump_is_ever_asked() -> None:
    """A driver that names one that is not there is stopped before a byte is sent."""
    run, _ = with_twin()
    run.run(3)
    other: FrameRequest = status_of("999")
    run.driver.__dict__["_status"] = other
    with pytest.raises(AssertionError, match="not a request this driver may send"):
        run.run(3)


def test_a_status_of_another_pump_is_no_response() -> None:
    driver, twin = TerumoTe(), TerumoTwin(StillPatient(), 2)
    driver.on_open()
    driver.decode(framed(b'<?xml version="1.0"?><REP><DEVID>1</DEVID></REP>'), WHO)
    frame = twin.feed(status_of(twin.number.decode()).frame)
    assert not driver.is_response(frame, status_of("1"))
    with pytest.raises(BadFrame):
        driver.decode(frame, status_of("1"))


def test_any_single_bit_flipped_is_a_bad_frame() -> None:
    twin = TerumoTwin(StillPatient())
    good = twin.feed(status_of(twin.number.decode()).frame)
    for bit in range(len(good) * 8):
        flipped = bytearray(good)
        flipped[bit // 8] ^= 1 << bit % 8
        with pytest.raises(BadFrame):
            TerumoTe().decode(bytes(flipped), status_of(twin.number.decode()))


def test_an_infusion_to_the_end_of_its_volume() -> None:
    run, twin = with_twin()
    run.run(8)
    assert set(states(run)) == {"stopped"}
    twin.hands["start"]()
    run.run(600)
    assert states(run)[-1] == "infusing"
    assert run.readings("rate_ml_h")[-1][1] == Reading("rate_ml_h", 52.5)
    assert run.readings("volume_infused_ml")[-1][1].value == pytest.approx(8.75, abs=0.03)
    assert run.readings("vtbi_ml")[-1][1].value == pytest.approx(26.25, abs=0.1)
    run.run(1900)
    assert (states(run)[-1], alarms(run)[-1]) == ("alarm", ("vtbi_done",))
    assert (run.bad, run.timeouts) == (0, 0)


def test_a_pump_that_does_not_respond_does_something_unknown() -> None:
    driver = TerumoTe()
    assert [driver.on_timeout(status_of("1")) for _ in range(2)] == [(), (Pump("unknown"),)]


@pytest.mark.parametrize("sent", [
    status_of("999").frame, WHO.frame[:-2] + b"0\x03", framed(b"<REQ></REQ>"), b"\x02\x03"])
def test_the_twin_keeps_silent_on_what_is_not_for_it(sent: bytes) -> None:
    assert TerumoTwin(StillPatient()).feed(sent) == b""
