"""The New Era driver in both modes: what its golden table cannot hold, and runs with its twin."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.contract import BadFrame, DeviceAlarms, Identity, Pump, Reading, Validity
from drivers.new_era import BASIC, DRIVER, MAX_SAFE, SAFE, NewEra, crc, safe
from edge.vocabulary import METRICS
from simulators.new_era import NewEraTwin
from tests.helpers.dialogue_run import START_S, DialogueRun, StillPatient

MODES = ("basic", "safe")


def with_twin(mode: str = "basic", *, may_stop: bool = False) -> tuple[DialogueRun, NewEraTwin, StillPatient]:
    patient = StillPatient()
    twin = NewEraTwin(patient)
    twin.safe_s = 30 if mode == "safe" else 0
    twin.hands["program"]()
    run = DialogueRun(DRIVER, twin, settings={"mode": mode}, may_stop=may_stop)
    run.open()
    return run, twin, patient


def states(run: DialogueRun) -> list[str]:
    return [one.state for _, batch in run.decoded for one in batch if isinstance(one, Pump)]


def alarms(run: DialogueRun) -> list[tuple[str, ...]]:
    told = [one for _, batch in run.decoded for one in batch if isinstance(one, DeviceAlarms)]
    return [tuple(alarm.raw for alarm in one.alarms) for one in told]


def basic(text: str) -> bytes:
    return b"\x02" + text.encode() + b"\x03"


def told(text: str, name: str, mode: str = "safe") -> list[object]:
    driver = NewEra(mode)
    return list(driver.decode(safe(text.encode()), (SAFE if mode == "safe" else BASIC)[name]))


# --- frames -----------------------------------------------------------------------------------------------------------


def test_vectors_of_the_makers_manual_and_of_two_programs() -> None:
    assert crc(b"123456789") == 0x31C3
    assert safe(b"SAF0") == bytes.fromhex("0208534146305543 03")
    assert safe(b"00I").hex() == "0207303049" + "19dd03"


def test_safe_mode_believes_a_frame_at_once() -> None:
    assert told("00I", "state") == [Pump("infusing"), DeviceAlarms(())]
    assert Reading("rate_ml_h", 10.0) in told("00I10.00MH", "RAT")
    assert Reading("volume_infused_ml", 0.005013) in told("00II5.013W0.000UL", "DIS")
    assert Identity(None, "NE1000V3.923") in told("00SNE1000V3.923", "VER")


@pytest.mark.parametrize(("text", "rate"), [
    ("00I10.00MH", 10.0), ("00I1.000MM", 60.0), ("00I1000UM", 60.0), ("00I9999UH", 9.999), ("00I1699MH", 1699.0),
    ("00I1701MH", None), ("00I99.99MM", None), ("00S10.00MH", 0.0), ("00P10.00MH", 0.0), ("00T10.00MH", 0.0),
    ("00U10.00MH", 0.0), ("00W10.00MH", None), ("00X10.00MH", None), ("00I?NA", None), ("00S?NA", None),
])
def test_the_set_rate_is_what_flows_only_where_the_state_says_so(text: str, rate: float | None) -> None:
    readings = [one for one in told(text, "RAT") if isinstance(one, Reading)]
    assert [one.value for one in readings] == [rate]


@pytest.mark.parametrize(("status", "state", "raw"), [
    ("I", "infusing", []), ("X", "infusing", ["X"]), ("W", "unknown", ["W"]), ("S", "stopped", []),
    ("P", "paused", []), ("T", "paused", []), ("U", "paused", []),
])
def test_each_status(status: str, state: str, raw: list[str]) -> None:
    pump, said = told(f"00{status}", "state")
    assert pump == Pump(state)  # type: ignore[arg-type]
    assert isinstance(said, DeviceAlarms)
    assert [one.raw for one in said.alarms] == raw


def test_any_single_bit_flipped_is_a_bad_frame_in_safe_mode() -> None:
    good = safe(b"00I10.00MH")
    for bit in range(len(good) * 8):
        flipped = bytearray(good)
        flipped[bit // 8] ^= 1 << bit % 8
        with pytest.raises(BadFrame):
            NewEra("safe").decode(bytes(flipped), SAFE["RAT"])


@pytest.mark.parametrize("place", range(1, 11))
def test_without_a_checksum_a_digit_that_flips_is_questionable(place: int) -> None:
    """S and W, I and A are a bit apart, and so are most digits."""
    driver, good = NewEra(), basic("00I10.00MH")
    for _ in range(4):  # the state counts from the second on, the rate two later
        (*_, reading) = driver.decode(good, BASIC["RAT"])
    assert reading == Reading("rate_ml_h", 10.0)
    for bit in range(7):
        flipped = bytearray(good)
        flipped[place] ^= 1 << bit
        try:
            heard = driver.decode(bytes(flipped), BASIC["RAT"])
        except BadFrame:
            continue
        assert not [one for one in heard if isinstance(one, Reading) and one.validity is Validity.VALID
                    and one.value != 10.0]
        for _ in range(3):
            driver.decode(good, BASIC["RAT"])


@given(st.binary(max_size=120), st.integers(1, 9), st.sampled_from(MODES), st.sampled_from(sorted(BASIC)))
def test_any_bytes_in_any_pieces_raise_nothing_and_the_second_frame_is_found(
        data: bytes, every: int, mode: str, name: str) -> None:
    driver = NewEra(mode)
    asked, good = (SAFE[name], safe(b"00I")) if mode == "safe" else (BASIC[name], basic("00I"))
    stream = data + good * (1 + MAX_SAFE // len(good))
    found = [frame for at in range(0, len(stream), every) for frame in driver.framing.feed(stream[at : at + every])]
    assert found[-1] == good
    for frame in [data, *found]:
        driver.is_response(frame, asked)
        try:
            heard = driver.decode(frame, asked)
        except BadFrame:
            continue
        values = [one for one in heard if isinstance(one, Reading) and one.value is not None]
        assert all(METRICS[one.metric].low <= one.value <= METRICS[one.metric].high for one in values if one.value)


@pytest.mark.parametrize(("text", "names"), [
    ("00S", ["STP", "state"]), ("00SNE1000V3.923", ["VER"]), ("00I10.00MH", ["RAT"]), ("00II5.008W0.000UL", ["DIS"]),
    ("00I?NA", ["DIS", "RAT", "STP", "VER", "state"]), ("00A?S", ["DIS", "RAT", "STP", "VER", "state"]),
])
def test_a_response_is_known_by_its_form(text: str, names: list[str]) -> None:
    assert [name for name in sorted(BASIC) if NewEra().is_response(basic(text), BASIC[name])] == names


def test_an_alarm_the_read_has_acknowledged_is_shown_until_the_pump_runs() -> None:
    driver = NewEra("safe")
    said = [driver.decode(safe(text), SAFE["state"]) for text in (b"00A?S", b"00S", b"00S", b"00I")]
    raws = [[alarm.raw for alarm in one.alarms] for batch in said for one in batch if isinstance(one, DeviceAlarms)]
    assert raws == [["A?S"], ["A?S"], ["A?S"], []]
    assert [one.state for batch in said for one in batch if isinstance(one, Pump)] == [*["alarm"] * 3, "infusing"]


# --- driver and twin --------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("mode", MODES)
def test_an_infusion_to_the_end_of_its_volume(mode: str) -> None:
    run, twin, patient = with_twin(mode)
    run.run(6)
    assert states(run)[-1] == "stopped"
    twin.hands["start"]()
    run.run(600)
    assert states(run)[-1] == "infusing"
    assert run.readings("rate_ml_h")[-1][1] == Reading("rate_ml_h", 52.5)
    assert run.readings("volume_infused_ml")[-1][1].value == pytest.approx(8.75, abs=0.03)
    run.run(1900)
    assert states(run)[-1] == "stopped"
    assert patient.rates == [52.5, 0.0]
    assert (run.bad, run.timeouts) == (0, 0)
    requests = (SAFE if mode == "safe" else BASIC).values()
    assert {request for _, request in run.sent} == {one for one in requests if one.effect != "stop_pump"}


@pytest.mark.parametrize("mode", MODES)
def test_a_stall_and_an_interrupted_power(mode: str) -> None:
    run, twin, _ = with_twin(mode)
    twin.hands["start"]()
    twin.hands["occlude"]()
    run.run(30)
    assert (states(run)[-1], alarms(run)[-1]) == ("alarm", ("A?S",))
    twin.hands["clear"]()
    twin.hands["start"]()
    run.run(5)
    assert (states(run)[-1], alarms(run)[-1]) == ("infusing", ())
    twin.reset()
    run.run(5)
    assert (states(run)[-1], alarms(run)[-1]) == ("alarm", ("A?R",))
    rates = {one.value for at_s, one in run.readings("rate_ml_h") if at_s > 37}
    assert rates <= {0.0, None}


def test_a_pump_in_the_other_mode_is_silent_and_gives_nothing() -> None:
    run, twin, _ = with_twin("basic")
    twin.safe_s = 30
    run.run(20)
    assert (run.decoded, run.dialogue.state) == ([], "silent")


@pytest.mark.parametrize("mode", MODES)
def test_mute_and_back(mode: str) -> None:
    run, twin, _ = with_twin(mode)
    twin.hands["start"]()
    run.run(10)
    twin.hands["mute"]()
    run.forget()
    run.run(25)
    assert (run.readings("rate_ml_h"), run.dialogue.state) == ([], "silent")
    twin.hands["unmute"]()
    run.run(10)
    assert run.readings("rate_ml_h")[-1][1] == Reading("rate_ml_h", 52.5)


@pytest.mark.parametrize("late_s", [0.3, 0.7, 1.4])
def test_late_responses_never_give_a_wrong_number(late_s: float) -> None:
    run, twin, _ = with_twin()
    twin.hands["start"]()
    run.delay(each=4, late_s=late_s)
    run.run(200)
    valid = [one for _, one in run.readings("rate_ml_h") if one.validity is Validity.VALID]
    assert {one.value for one in valid} == {52.5}
    volumes = [(at_s, one.value) for at_s, one in run.readings("volume_infused_ml") if one.value is not None]
    assert all(abs(value - 52.5 * at_s / 3600) < 0.06 for at_s, value in volumes)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("seed", range(3))
def test_a_bit_that_flips_in_one_response_in_ten_makes_no_wrong_number(mode: str, seed: int) -> None:
    run, twin, _ = with_twin(mode)
    twin.hands["start"]()
    dice = random.Random(seed)

    def wire(data: bytes) -> bytes:
        if not data or dice.random() > 0.1:
            return data
        bit = 1 << dice.randrange(len(data) * 8)
        return (int.from_bytes(data, "big") ^ bit).to_bytes(len(data), "big")

    run.wire = wire
    run.run(300)
    valid = [(at_s, one) for metric in DRIVER.metrics for at_s, one in run.readings(metric)
             if one.validity is Validity.VALID and one.value is not None]
    wrong = [(at_s, one) for at_s, one in valid
             if abs(one.value - (52.5 if one.metric == "rate_ml_h" else 52.5 * at_s / 3600)) > 0.08]  # type: ignore[operator]
    assert wrong == []
    assert len(valid) > 150


@pytest.mark.parametrize(("said", "valid"), [
    ([10, 10, 10], [0, 0, 1]), ([10, 10, 10, 14, 10, 10], [0, 0, 1, 0, 0, 1]),
    ([10, 10, 10, 14, 14, 10, 10], [0, 0, 1, 0, 0, 0, 1]), ([10, 10, 10, 14, 14, 14], [0, 0, 1, 0, 0, 1]),
])
def test_without_a_checksum_a_new_rate_has_to_be_said_three_times(said: list[int], valid: list[int]) -> None:
    driver = NewEra()
    for _ in range(2):
        driver.decode(basic("00I"), BASIC["state"])
    rates = [driver.decode(basic(f"00I{rate}.00MH"), BASIC["RAT"])[-1] for rate in said]
    assert [one.validity is Validity.VALID for one in rates if isinstance(one, Reading)] == [bool(one) for one in valid]


# --- the stop ---------------------------------------------------------------------------------------------------------


def stopped(run: DialogueRun) -> list[float]:
    return [at_s for name in ("STP", "STP (safe)") for at_s in run.times(name)]


def running(mode: str = "basic", *, may_stop: bool = True) -> tuple[DialogueRun, NewEraTwin, NewEra]:
    run, twin, _ = with_twin(mode, may_stop=may_stop)
    twin.hands["start"]()
    run.run(5)
    assert isinstance(run.driver, NewEra) and twin.running and states(run)[-1] == "infusing"
    return run, twin, run.driver


@pytest.mark.parametrize("mode", MODES)
def test_it_is_stopped_once_and_says_so(mode: str) -> None:
    run, twin, driver = running(mode)
    asked_s = START_S + run.at_s
    for _ in range(20):  # whoever watches says it every second
        driver.stop(asked_s, asked_s + 5)
        run.run(1)
    assert [round(at_s) for at_s in stopped(run)] == [5]
    assert not twin.running and states(run)[-1] == "paused"
    driver.stop(asked_s + 15, asked_s + 25)
    run.run(3)
    assert len(stopped(run)) == 1, "it stands still: a second STP would reset its program"
    twin.hands["start"]()
    run.run(3)
    assert len(stopped(run)) == 1, "what was asked for while it stood still does not come later"
    driver.stop(asked_s + 26, asked_s + 31)
    run.run(3)
    assert len(stopped(run)) == 2 and not twin.running


def test_a_stop_that_is_late_is_none() -> None:
    run, twin, driver = running()
    now_s = START_S + run.at_s
    driver.stop(now_s, now_s)
    run.run(3)
    assert stopped(run) == [] and twin.running


def test_a_line_that_opens_anew_forgets_the_stop() -> None:
    run, twin, driver = running()
    driver.stop(START_S + run.at_s, START_S + run.at_s + 60)
    run.open()
    run.run(10)
    assert stopped(run) == [] and twin.running and states(run)[-1] == "infusing"


def test_a_pump_that_answers_and_runs_on_says_so() -> None:
    run, twin, driver = running()
    twin.hands["ignore_stop"]()
    driver.stop(START_S + run.at_s, START_S + run.at_s + 5)
    run.run(10)
    assert len(stopped(run)) == 1 and twin.running and set(states(run)) == {"infusing"}


def test_nothing_is_stopped_where_it_may_not() -> None:
    run, _, driver = running(may_stop=False)
    assert run.dialogue.stopper is None
    driver.stop(START_S + run.at_s, START_S + run.at_s + 5)
    with pytest.raises(AssertionError, match="'STP' is not a request this driver may send"):
        run.run(1)
