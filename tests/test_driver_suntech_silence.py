"""The SunTech driver over silence, noise and errors that hold: nothing is started early, and no number is made up."""

from __future__ import annotations

from itertools import pairwise

import pytest

from drivers.contract import Decoded, DeviceAlarms, Reading
from drivers.kit.cuffs import failed
from drivers.suntech_advantage.frames import ERRORS, reply
from drivers.suntech_advantage.requests import CUFF, STATUS
from tests.helpers.dialogue_run import DialogueRun
from tests.helpers.suntech_bench import UP, Bench, determinations, starts, with_twin

# --- silence ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("after_s", [0.5, 31.0, 37.0, 55.0])
def test_a_module_that_falls_silent_fails_the_determination_once(after_s: float) -> None:
    run, twin, _ = with_twin()
    run.run(after_s)
    begun = len(starts(run))
    twin.hands["mute"]()
    run.run(40)
    assert [four for _, four in determinations(run)] in ([], [failed("timeout")])
    assert len(determinations(run)) >= begun
    assert len(starts(run)) <= 1
    twin.hands["unmute"]()
    run.run(120)
    assert determinations(run)[-1][1][0] == Reading("sbp_mmhg", 122.0)
    assert all(later - earlier >= 30.0 for earlier, later in pairwise(starts(run)))


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
    run, twin, _ = with_twin()
    run.run(45)
    assert twin.phase != "idle"
    run.open()
    opened_s = run.at_s
    run.run(70)
    assert determinations(run)[0][1] == failed("timeout")
    assert starts(run)[1] >= opened_s + 30
    assert [four[0].value for _, four in determinations(run)] == [None, 122.0]


def test_a_line_that_flaps_starts_nothing_more() -> None:
    run, _, _ = with_twin()
    run.run(150)
    begun = len(starts(run))
    for _ in range(20):
        run.open()
        run.run(7)
    assert len(starts(run)) == begun == 2


@pytest.mark.parametrize("spoiled", [3, 7])
def test_noise_on_the_line_never_makes_a_number(spoiled: int) -> None:
    run, twin, _ = with_twin()
    count = 0

    def spoil(data: bytes) -> bytes:
        nonlocal count
        count += bool(data)
        if not data or count % spoiled:
            return data
        return b"\x3e\x18" + data[:2] + bytes((data[2] ^ 0x10,)) + data[3:] + b"\xff\x3e"

    run.wire, run.every = spoil, 2
    run.run(3000)
    values = {four[0].value for _, four in determinations(run)}
    assert values <= {122.0, None}
    assert run.timeouts > 10
    assert all(later - earlier >= 30.0 for earlier, later in pairwise(starts(run)))
    assert twin.completed <= len(starts(run))


# --- holding ----------------------------------------------------------------------------------------------------------


def holding(run: DialogueRun) -> bool:
    said = [one for _, batch in run.decoded for one in batch if isinstance(one, DeviceAlarms)]
    return any(alarm.code == "overpressure" for alarm in said[-1].alarms)


def test_over_pressure_holds_until_the_module_was_unplugged() -> None:
    run, twin, _ = with_twin()
    twin.hands["overpressure"]()
    run.run(60)
    assert len(starts(run)) == 1
    assert holding(run)
    twin.hands["ok"]()  # the module is well again, and still nobody has looked
    run.run(1000)
    assert len(starts(run)) == 1
    assert holding(run)
    told = [four for _, four in determinations(run)]
    assert len(told) >= 4
    assert set(told) == {failed("overpressure")}  # each that was due and not done
    run.open()
    run.run(400)
    assert len(starts(run)) > 1
    assert not holding(run)


def test_a_module_that_was_switched_off_may_measure_again_and_one_that_stuttered_may_not() -> None:
    for silent_s, freed in ((4.0, False), (60.0, True)):
        run, twin, _ = with_twin()
        twin.hands["overpressure"]()
        run.run(60)
        twin.hands["ok"]()
        twin.hands["mute"]()
        run.run(silent_s)
        twin.hands["unmute"]()
        run.run(600)
        assert (len(starts(run)) > 1) is freed


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
