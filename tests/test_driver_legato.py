"""The Legato driver: prompts with and without their end mark, flipped bits, and an infusion with its twin."""

from __future__ import annotations

import pytest

from drivers.contract import BadFrame, DeviceAlarms, Identity, Pump, Reading, Validity
from drivers.legato import DRIVER, RATE, VERSION, VOLUME, Legato, Prompted
from simulators.legato import LegatoTwin
from tests.helpers.dialogue_run import DialogueRun, StillPatient

WHO = b"\nFirmware:      v3.0.6\r\nPump address:  0\r\nSerial number: %s\r\n:\x11"


def with_twin(*, polled: bool = False) -> tuple[DialogueRun, LegatoTwin, StillPatient]:
    patient = StillPatient()
    twin = LegatoTwin(patient)
    twin.polled = polled
    twin.hands["program"]()
    run = DialogueRun(DRIVER, twin)
    run.open()
    return run, twin, patient


def states(run: DialogueRun) -> list[str]:
    return [one.state for _, batch in run.decoded for one in batch if isinstance(one, Pump)]


def alarms(run: DialogueRun) -> list[tuple[str, ...]]:
    told = [one for _, batch in run.decoded for one in batch if isinstance(one, DeviceAlarms)]
    return [tuple(alarm.code for alarm in one.alarms) for one in told]


@pytest.mark.parametrize(("stream", "frames"), [
    (b"\n:\x11", [b"\n:", b"\x11"]),
    (b"\n5 ml\r\n>*\x11", [b"\n5 ml\r\n>", b"*", b"\x11"]),
    (b"\n5 ml\r\n>\x11*", [b"\n5 ml\r\n>", b"\x11", b"*"]),
    (b"\n5 ml\r\n\n>\n5 ml\r\n\n>", [b"\n5 ml\r\n\n>"] * 2),
    (b"\n35 ml\r\nT*\x11", [b"\n35 ml\r\nT*", b"\x11"]),
    (b"\n02:\x11", [b"\n02:", b"\x11"]),
    (b"\x11*\n:", [b"\n:"]),  # no end mark of ours
    (b"\ngarb\n5 ml\r\n:", [b"\n5 ml\r\n:"]),
    (b"\n5 \x80ml\r\n:", [b"\n:"]),  # a prompt without its text
])
def test_a_response_ends_with_its_prompt(stream: bytes, frames: list[bytes]) -> None:
    for every in (1, len(stream)):
        framing = Prompted()
        found = [one for at in range(0, len(stream), every) for one in framing.feed(stream[at : at + every])]
        assert found == frames


def test_a_line_without_an_end_is_dropped() -> None:
    framing = Prompted()
    assert framing.feed(b"\n" + b"x" * 1000) == []
    assert framing.dropped > 800
    assert framing.feed(b"\n:") == [b"\n:"]


@pytest.mark.parametrize(("serials", "told"), [
    ([b"D101754", b"D101754"], ["D101754"]),
    ([b"D101754", b"D101755"], []),
    ([b"D101754", b"D101755", b"D101755"], ["D101755"]),
])
def test_a_serial_number_counts_when_two_responses_say_it(serials: list[bytes], told: list[str]) -> None:
    driver = Legato()
    driver.on_open()
    found = [one for serial in serials for one in driver.decode(WHO % serial, VERSION) if isinstance(one, Identity)]
    assert [one.serial for one in found] == told


def test_one_flipped_bit_makes_an_idle_pump_no_running_one() -> None:
    driver = Legato()
    driver.on_open()
    for prompt in "::>:":  # 3A and 3E differ in one bit
        said = driver.decode(f"\n5 ml/min\r\n{prompt}".encode(), RATE)
        assert Pump("infusing") not in said
        assert not any(isinstance(one, Reading) and one.value for one in said)


def test_a_limit_switch_is_an_alarm_that_stays_while_its_star_comes() -> None:
    driver = Legato()
    driver.on_open()
    said: list[str] = []
    for frame in [b"\n50 ml\r\n>"] * 2 + [b"*", b"\n50 ml\r\n>"] * 3 + [b"\n50 ml\r\n>"] * 2:
        request = None if frame == b"*" else VOLUME
        said += [one.state for one in driver.decode(frame, request) if isinstance(one, Pump)]
    assert said == ["infusing", "alarm", "alarm", "alarm", "infusing", "infusing"]


@pytest.mark.slow
@pytest.mark.parametrize("polled", [False, True])
def test_an_infusion_to_the_end_of_its_volume(polled: bool) -> None:
    run, twin, patient = with_twin(polled=polled)
    run.run(8)
    assert set(states(run)) == {"stopped"}
    assert run.readings("rate_ml_h")[-1][1] == Reading("rate_ml_h", 0.0)
    twin.hands["start"]()
    run.run(600)
    assert states(run)[-1] == "infusing"
    assert run.readings("rate_ml_h")[-1][1] == Reading("rate_ml_h", 52.5)
    assert run.readings("volume_infused_ml")[-1][1].value == pytest.approx(8.75, abs=0.06)
    run.run(1900)
    assert (states(run)[-1], alarms(run)[-1]) == ("stopped", ("vtbi_done",))
    assert patient.rates == [52.5, 0.0]
    assert (run.bad, run.timeouts, run.dialogue.counters.dropped) == (0, 0, 0)
    assert {request for _, request in run.sent} == set(DRIVER.requests)
    assert run.dialogue.link.serial == "D101754"


def test_a_stalled_motor_and_an_end_of_the_syringe() -> None:
    run, twin, _ = with_twin()
    twin.hands["start"]()
    twin.hands["occlude"]()
    run.run(30)
    assert (states(run)[-1], alarms(run)[-1]) == ("alarm", ("occlusion",))
    twin.hands["clear"]()
    run.run(3)
    assert (states(run)[-1], alarms(run)[-1]) == ("stopped", ())
    twin.vtbi_left_ml, twin.left_ml = None, 0.1
    twin.hands["start"]()
    run.run(30)
    assert (states(run)[-1], alarms(run)[-1]) == ("alarm", ("end_of_infusion",))


def test_a_rate_the_volume_does_not_bear_out_is_questionable() -> None:
    """As with a ramp: the set rate is told, and another one flows."""
    driver = Legato()
    driver.on_open()
    rates = []
    for second in range(60):
        assert driver.next_request(float(second)) is not None
        (rate, *_) = driver.decode(b"\n60 ml/hr\r\n>", RATE)
        rates.append(rate)
        driver.next_request(float(second))
        driver.decode(f"\n{second / 120:.5f} ml\r\n>".encode(), VOLUME)  # half of it
    assert isinstance(rates[-1], Reading)
    assert (rates[-1].value, rates[-1].validity) == (60.0, Validity.QUESTIONABLE)


def test_a_pump_that_does_not_respond_does_something_unknown() -> None:
    driver = Legato()
    assert [driver.on_timeout(RATE) for _ in range(2)] == [(), (Pump("unknown"),)]


def test_another_address_is_no_pump_of_this_line() -> None:
    with pytest.raises(BadFrame):
        Legato().decode(b"\n5 ml/min\r\n02:", RATE)


@pytest.mark.parametrize(("sent", "said"), [
    (b"@poll on\r\n", b"\n:\x11"), (b"@irate 5 ml/min\r\n", b"\n:"), (b"@irun\r\n", b"\n>"), (b"@stp\r\n", b"\n:"),
    (b"@irate lim\r\n", b"\n25.0404 nl/min to 26.0035 ml/min\r\n\n:"),
    (b"@tvolume 2 l\r\n", b"\nArgument error: 2\r\n   Target volume out of range\r\n\n:"),
    (b"@irate 99 ml/min\r\n", b"\nArgument error: 99 ml/min\r\n   Out of range\r\n\n:"),
    (b"02@irate\r\n", b"\nCommand error:\r\n   Unknown command\r\n\n:"), (b"\r\n", b"\n:"),
])
def test_the_twin_as_another_program_sees_it(sent: bytes, said: bytes) -> None:
    assert LegatoTwin(StillPatient()).feed(sent) == said
