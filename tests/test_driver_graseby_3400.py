"""The Graseby 3400 driver: garbled, late and foreign frames, a run with its twin, and the twin before a host."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.contract import BadFrame, DeviceAlarms, FrameRequest, Pump, Reading, Validity
from drivers.graseby_3400 import CHECK, DRIVER, RATE, REQUESTS, TOTAL, Graseby3400, checksum, encode
from edge.vocabulary import METRICS
from simulators.graseby_3400 import TWIN, GrasebyTwin
from tests.helpers.dialogue_run import DialogueRun, StillPatient

KNOWN = {"rate": "as_displayed"}


def with_twin(settings: dict[str, str] | None = None) -> tuple[DialogueRun, GrasebyTwin, StillPatient]:
    patient = StillPatient()
    twin = GrasebyTwin(patient)
    twin.hands["program"]()
    run = DialogueRun(DRIVER, twin, settings=KNOWN if settings is None else settings)
    run.open()
    return run, twin, patient


def states(run: DialogueRun) -> list[str]:
    return [one.state for _, batch in run.decoded for one in batch if isinstance(one, Pump)]


def alarms(run: DialogueRun) -> list[tuple[str, ...]]:
    told = [one for _, batch in run.decoded for one in batch if isinstance(one, DeviceAlarms)]
    return [tuple(alarm.raw for alarm in one.alarms) for one in told]


def test_check_value_of_the_sum() -> None:
    assert checksum(b"123456789") == b"DD"


def test_any_single_bit_flipped_is_a_bad_frame() -> None:
    good = encode("OKTOTLINFS57")
    for bit in range(len(good) * 8):
        flipped = bytearray(good)
        flipped[bit // 8] ^= 1 << bit % 8
        with pytest.raises(BadFrame):
            Graseby3400().decode(bytes(flipped), TOTAL)


@given(st.binary(max_size=200), st.integers(1, 9), st.sampled_from([None, *REQUESTS]))
def test_any_bytes_in_any_pieces_raise_nothing_and_the_next_frame_is_found(
        data: bytes, every: int, asked: FrameRequest | None) -> None:
    driver, good = Graseby3400(True), encode("OKCHCKINFS")
    stream, found = data + good + good, []
    for at in range(0, len(stream), every):
        found += driver.framing.feed(stream[at : at + every])
    assert found[-1] == good
    for frame in [data, *found]:
        try:
            for one in driver.decode(frame, asked):
                if isinstance(one, Reading) and one.value is not None:
                    assert METRICS[one.metric].low <= one.value <= METRICS[one.metric].high
        except BadFrame:
            pass


@pytest.mark.parametrize(("told", "validities"), [
    ("123 123", "questionable valid"),
    ("123 132 132", "questionable questionable valid"),  # two digits swapped have the same sum
    ("123 123 12001 123 123", "questionable valid invalid valid valid"),
])
def test_a_rate_counts_when_it_repeats(told: str, validities: str) -> None:
    driver = Graseby3400(True)
    readings = [driver.decode(encode(f"OKGETRINFS{n}"), RATE)[0] for n in told.split()]
    assert [one.validity.value for one in readings if isinstance(one, Reading)] == validities.split()


def test_a_rate_nobody_compared_with_the_display_stays_questionable() -> None:
    run, twin, _ = with_twin({})
    twin.hands["start"]()
    run.run(20)
    rates = [one for _, one in run.readings("rate_ml_h")]
    assert {one.validity for one in rates} == {Validity.QUESTIONABLE}
    assert rates[-1].value == 52.5
    assert run.readings("volume_infused_ml")[-1][1].validity is Validity.VALID


def test_a_pump_that_does_not_respond_does_something_unknown() -> None:
    driver = Graseby3400()
    assert [driver.on_timeout(CHECK) for _ in range(2)] == [(), (Pump("unknown"),)]
    driver.decode(encode("OKCHCKINFS"), CHECK)
    assert driver.on_timeout(CHECK) == ()


# --- driver and twin --------------------------------------------------------------------------------------------------


def test_an_infusion_to_the_end_of_its_volume() -> None:
    run, twin, patient = with_twin()
    run.run(8)
    assert set(states(run)) == {"stopped"}
    twin.hands["start"]()
    run.run(600)
    assert states(run)[-1] == "infusing"
    assert run.readings("rate_ml_h")[-1][1] == Reading("rate_ml_h", 52.5)
    assert run.readings("volume_infused_ml")[-1][1].value == pytest.approx(8.75, abs=0.06)
    run.run(1900)
    assert (states(run)[-1], alarms(run)[-1]) == ("alarm", ("ALRM",))
    assert patient.rates == [52.5, 0.0]
    assert (run.bad, run.timeouts) == (0, 0)
    assert {request for _, request in run.sent} == set(DRIVER.requests)


def test_an_occlusion_is_an_alarm_without_a_name_until_it_is_cleared() -> None:
    run, twin, _ = with_twin()
    twin.hands["start"]()
    twin.hands["occlude"]()
    run.run(30)
    assert (states(run)[-1], alarms(run)[-1]) == ("alarm", ("ALRM",))
    twin.hands["clear"]()
    run.run(3)
    assert (states(run)[-1], alarms(run)[-1]) == ("stopped", ())


def test_a_pump_started_with_its_own_key_tells_its_state_and_nothing_else() -> None:
    run, twin, _ = with_twin()
    twin.hands["start"]()
    twin.refuses = True
    run.run(12)
    assert states(run)[-1] == "infusing"
    assert alarms(run)[-1] == ("CE",)
    assert {one.value for _, one in run.readings("rate_ml_h")} == {None}
    assert run.dialogue.state == "live"


def test_mute_and_back() -> None:
    run, twin, _ = with_twin()
    run.run(10)
    twin.hands["mute"]()
    run.forget()
    run.run(30)
    assert (states(run), run.readings("rate_ml_h"), run.dialogue.state) == ([], [], "silent")
    twin.hands["unmute"]()
    run.run(10)
    assert states(run)[-1] == "stopped"


@pytest.mark.parametrize("late_s", [0.5, 1.2, 2.9])
def test_late_responses_never_give_a_wrong_number(late_s: float) -> None:
    run, twin, _ = with_twin()
    twin.hands["start"]()
    run.delay(each=3, late_s=late_s)
    run.run(200)
    assert {one.value for _, one in run.readings("rate_ml_h")} == {52.5}
    volumes = [(at_s, one.value) for at_s, one in run.readings("volume_infused_ml") if one.value is not None]
    assert all(abs(value - 52.5 * at_s / 3600) < 0.16 for at_s, value in volumes)


# --- the twin, as a program that is not ours sees it ------------------------------------------------------------------


def test_the_twin_is_run_by_a_host_and_alarms_when_the_host_falls_silent() -> None:
    twin = GrasebyTwin(StillPatient())
    said = [(b"<ZTOT>CB\r", b"<OKZTOTSTBY>"), (b"<CHGR123>34\r", b"<OKCHGRSTBY>"), (b"<STRT>C7\r", b"<OKSTRTINFS>"),
            (b"<CHKR123>38\r", b"<OKCHKRINFS>")]
    for sent, body in said:
        assert twin.feed(sent) == body + checksum(body) + b"\r"
    twin.step(4.9)
    assert twin.feed(CHECK.frame)[:11] == b"<OKCHCKINFS"
    twin.step(0.2)
    assert twin.feed(CHECK.frame) == b"<OKCHCKALRM>59\r"
    assert twin.feed(b"<STRT>C7\r")[:7] == b"<CESTRT"


@pytest.mark.parametrize("sent", [b"<CHCK>94\r", b"CHCK>93\r", b"<NONE>00\r", encode("XXXX"), b"\r", b"<\r"])
def test_the_twin_keeps_silent_on_what_is_no_command(sent: bytes) -> None:
    twin = GrasebyTwin(StillPatient())
    assert twin.feed(sent) == b""
    assert twin.feed(CHECK.frame) == b"<OKCHCKSTBY>6F\r"
    assert set(TWIN.hands) == set(twin.hands)


def test_two_time_outs_that_end_in_a_late_response_forget_nothing() -> None:
    """The pump that was asked is there: it is not asked who it is, and what it says counts at once."""
    run, twin, _ = with_twin()
    twin.hands["start"]()
    run.run(20)
    held: list[bytes] = []

    def hold(data: bytes) -> bytes:
        held.append(data)
        return b""

    run.wire = hold
    run.run(2.4)
    timeouts = run.timeouts
    run.forget()
    run.wire = bytes
    run.receive(b"".join(held))
    run.run(4)
    assert timeouts == 2
    assert {one.validity for _, one in run.readings("volume_infused_ml")} == {Validity.VALID}
    assert run.dialogue.state == "live"


def test_two_time_outs_and_nothing_late_are_a_new_beginning() -> None:
    run, twin, _ = with_twin()
    twin.hands["start"]()
    run.run(20)
    run.wire = lambda data: b""
    run.run(2.4)
    run.forget()
    run.wire = bytes
    run.run(8)
    assert run.readings("volume_infused_ml")[0][1].validity is Validity.QUESTIONABLE


def volume(driver: Graseby3400, at_s: float, tenths: int, status: str = "INFS") -> Validity:
    """What is made of a volume, the pump's state read just before it."""
    driver.next_request(at_s)
    driver.decode(encode(f"OKCHCK{status}"), CHECK)
    (reading,) = driver.decode(encode(f"OKTOTL{status}{tenths}"), TOTAL)
    assert isinstance(reading, Reading)
    return reading.validity


@pytest.mark.parametrize(("status", "still_s", "validity"), [
    ("INFS", 18, Validity.VALID), ("INFS", 19, Validity.QUESTIONABLE), ("STBY", 19, Validity.VALID),
    ("STBY", 60, Validity.VALID)])
def test_a_volume_that_stands_still_while_the_pump_infuses_is_an_old_one_repeated(
        status: str, still_s: int, validity: Validity) -> None:
    """It rose by 0.1 mL every 10 s: after 3 s more than one and a half such steps, unless the pump stands."""
    driver = Graseby3400(rate_known=True)
    driver.on_open()
    told = [volume(driver, float(at_s), at_s // 10) for at_s in range(60)]
    assert set(told[30:]) == {Validity.VALID}
    told = [volume(driver, float(50 + after_s), 5, status) for after_s in range(10, still_s + 1)]
    assert told[-1] is validity
    assert volume(driver, 51.0 + still_s, 6) is Validity.VALID, "as soon as it rises"
