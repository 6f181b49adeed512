"""The SunTech driver over silence, noise and errors that hold: nothing is started early, and no number is made up."""

from __future__ import annotations

from itertools import pairwise

import pytest

from drivers.contract import Decoded, DeviceAlarms, Reading
from drivers.suntech_frames import ERRORS, failed, reply
from drivers.suntech_requests import CUFF, STATUS
from tests.helpers.suntech_talk import UP, Bench, determinations, starts, talk
from tests.helpers.talk import Talk

# --- silence ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("after_s", [0.5, 31.0, 37.0, 55.0])
def test_a_module_that_falls_silent_fails_the_determination_once(after_s: float) -> None:
    conversation, twin, _ = talk()
    conversation.run(after_s)
    begun = len(starts(conversation))
    twin.hands["mute"]()
    conversation.run(40)
    assert [four for _, four in determinations(conversation)] in ([], [failed("timeout")])
    assert len(determinations(conversation)) >= begun
    assert len(starts(conversation)) <= 1
    twin.hands["unmute"]()
    conversation.run(120)
    assert determinations(conversation)[-1][1][0] == Reading("sbp_mmhg", 122.0)
    assert all(later - earlier >= 30.0 for earlier, later in pairwise(starts(conversation)))


def test_one_lost_cuff_pressure_does_not_end_a_determination() -> None:
    bench = Bench()
    bench.measuring()
    assert bench.next() is CUFF
    assert bench.driver.on_timeout(CUFF) == ()
    assert bench.next() is CUFF
    bench.driver.decode(UP, CUFF)
    assert bench.next() is CUFF
    assert bench.driver.on_timeout(CUFF) == ()
    assert bench.driver.on_timeout(CUFF) == failed("timeout")


def test_a_line_opened_again_in_mid_determination_fails_it_and_starts_none_early() -> None:
    conversation, twin, _ = talk()
    conversation.run(45)
    assert twin.phase != "idle"
    conversation.open()
    opened_s = conversation.at_s
    conversation.run(70)
    assert determinations(conversation)[0][1] == failed("timeout")
    assert starts(conversation)[1] >= opened_s + 30
    assert [four[0].value for _, four in determinations(conversation)] == [None, 122.0]


def test_a_line_that_flaps_starts_nothing_more() -> None:
    conversation, _, _ = talk()
    conversation.run(150)
    begun = len(starts(conversation))
    for _ in range(20):
        conversation.open()
        conversation.run(7)
    assert len(starts(conversation)) == begun == 2


@pytest.mark.parametrize("spoiled", [3, 7])
def test_noise_on_the_line_never_makes_a_number(spoiled: int) -> None:
    conversation, twin, _ = talk()
    count = 0

    def spoil(data: bytes) -> bytes:
        nonlocal count
        count += bool(data)
        if not data or count % spoiled:
            return data
        return b"\x3e\x18" + data[:2] + bytes((data[2] ^ 0x10,)) + data[3:] + b"\xff\x3e"

    conversation.wire, conversation.every = spoil, 2
    conversation.run(3000)
    values = {four[0].value for _, four in determinations(conversation)}
    assert values <= {122.0, None}
    assert conversation.missed > 10
    assert all(later - earlier >= 30.0 for earlier, later in pairwise(starts(conversation)))
    assert twin.completed <= len(starts(conversation))


# --- holding ----------------------------------------------------------------------------------------------------------


def holding(conversation: Talk) -> bool:
    said = [one for _, batch in conversation.heard for one in batch if isinstance(one, DeviceAlarms)]
    return any(alarm.code == "overpressure" for alarm in said[-1].alarms)


def test_over_pressure_holds_until_the_module_was_unplugged() -> None:
    conversation, twin, _ = talk()
    twin.hands["overpressure"]()
    conversation.run(60)
    assert len(starts(conversation)) == 1
    assert holding(conversation)
    twin.hands["ok"]()  # the module is well again, and still nobody has looked
    conversation.run(1000)
    assert len(starts(conversation)) == 1
    assert holding(conversation)
    told = [four for _, four in determinations(conversation)]
    assert len(told) >= 4
    assert set(told) == {failed("overpressure")}  # each that was due and not done
    conversation.open()
    conversation.run(400)
    assert len(starts(conversation)) > 1
    assert not holding(conversation)


def test_a_module_that_was_switched_off_may_measure_again_and_one_that_stuttered_may_not() -> None:
    for silent_s, freed in ((4.0, False), (60.0, True)):
        conversation, twin, _ = talk()
        twin.hands["overpressure"]()
        conversation.run(60)
        twin.hands["ok"]()
        twin.hands["mute"]()
        conversation.run(silent_s)
        twin.hands["unmute"]()
        conversation.run(600)
        assert (len(starts(conversation)) > 1) is freed


@pytest.mark.parametrize("error", [88, 89, 91])
def test_a_module_whose_own_status_forbids_it_is_not_started(error: int) -> None:
    bench = Bench()
    sick = reply(bytes((error, 0)))
    told: list[Decoded] = []
    for _ in range(200):
        request = bench.next()
        assert request in (STATUS, None)
        if request is not None:
            told += bench.driver.decode(sick, request)
    reason, _ = ERRORS[error]
    assert [one for one in told if isinstance(one, Reading)] == list(failed(reason))
