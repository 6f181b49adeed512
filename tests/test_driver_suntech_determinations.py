"""The SunTech driver starts a cuff only when it may, reads each result once, and never takes one number for another."""

from __future__ import annotations

from itertools import pairwise

import pytest

from drivers.contract import Decoded, DeviceAlarms, Reading
from drivers.kit.cuffs import DETERMINATION, failed
from drivers.kit.schedules import Schedule
from drivers.suntech_advantage.frames import reply
from drivers.suntech_advantage.requests import ABORT, BP_DATA, CUFF, STATUS
from simulators.suntech_advantage import TWIN, ack
from tests.helpers.suntech_bench import EMPTY, GOOD, HEALTHY, START, UP, Bench, determinations, starts, with_twin

# --- when it starts ---------------------------------------------------------------------------------------------------


def test_the_first_pair_and_then_every_interval() -> None:
    run, twin, _ = with_twin()
    run.run(1280)
    times = starts(run)
    gaps = [later - earlier for earlier, later in pairwise(times)]
    assert 30.0 <= times[0] < 35.0
    assert gaps == pytest.approx([90, 300, 300, 300], abs=2.5)
    results = determinations(run)
    assert len(results) == len(times) == twin.completed
    assert {four for _, four in results} == {
        tuple(Reading(metric, value) for metric, value in zip(DETERMINATION, (122.0, 76.0, 91.0, 72.0), strict=True))
    }
    assert all(20 < at_s - began < 40 for began, (at_s, _) in zip(times, results, strict=True))
    assert (run.bad, run.timeouts) == (0, 0)


def test_the_cuff_is_watched_while_it_works() -> None:
    run, _, _ = with_twin()
    run.run(60)
    pressures = [one.value or 0.0 for _, one in run.readings("cuff_pressure_mmhg")]
    assert 155 <= max(pressures) <= 165
    asked = run.times(CUFF.name)
    assert min(later - earlier for earlier, later in pairwise(asked)) >= 0.2 - 1e-9
    every = [at_s for at_s, _ in run.sent]
    assert min(later - earlier for earlier, later in pairwise(every)) >= 0.1 - 1e-9


def test_an_idle_module_is_asked_often_enough_to_be_missed() -> None:
    run, _, _ = with_twin()
    run.run(400)
    every = [at_s for at_s, _ in run.sent]
    assert max(later - earlier for earlier, later in pairwise(every)) <= 2.1


@pytest.mark.parametrize("speed", [1.0, 10.0, 60.0])
def test_it_measures_at_any_speed_of_the_house(speed: float) -> None:
    run, twin, _ = with_twin()
    run.speed = speed
    run.run(1500)
    good = [four for _, four in determinations(run) if four[0].value == 122.0]
    assert len(good) >= 4
    assert len(good) <= twin.completed


def test_never_while_the_cuff_is_up() -> None:
    bench = Bench()
    bench.until(CUFF, {STATUS: HEALTHY})
    bench.driver.decode(reply((11).to_bytes(2, "little")), CUFF)
    for _ in range(50):
        assert bench.next() is CUFF
        bench.driver.decode(reply((11).to_bytes(2, "little")), CUFF)
    bench.until(START, {CUFF: reply((10).to_bytes(2, "little"))}, most=4)


@pytest.mark.parametrize("pressure", [reply((60).to_bytes(2, "little")), reply(b"\xff\xff")])
def test_a_cuff_that_stays_up_or_unknown_is_a_failed_determination(pressure: bytes) -> None:
    bench = Bench()
    told: list[Decoded] = []
    for _ in range(200):
        request = bench.next()
        assert request in (CUFF, STATUS, None)
        if request is not None:
            told += bench.driver.decode(pressure if request is CUFF else HEALTHY, request)
    assert [one for one in told if one in failed("not_measured")] == list(failed("not_measured"))


def test_one_low_pressure_is_not_enough() -> None:
    """A late status looks like an empty cuff: one alone starts nothing."""
    bench = Bench()
    bench.until(CUFF, {STATUS: HEALTHY})
    for mmhg in (0, 80, 0, 80, 0, 80):
        bench.driver.decode(reply(mmhg.to_bytes(2, "little")), CUFF)
        assert bench.next() is CUFF


@pytest.mark.parametrize("answer", [None, ack("B"), ack("S")], ids=["silence", "busy", "asleep"])
def test_a_status_that_stays_unknown_is_told_as_failed_determinations(answer: bytes | None) -> None:
    """A bed whose cuff can never start must not look live without a word."""
    bench = Bench()
    told: list[tuple[float, Decoded]] = []
    while bench.at_s < 1100.0:
        request = bench.next()
        assert request in (STATUS, None)
        if request is not None:
            heard = bench.driver.on_timeout(request) if answer is None else bench.driver.decode(answer, request)
            told += [(bench.at_s, one) for one in heard]
    assert [one for _, one in told] == [*failed("not_measured")] * 2
    assert 1030.0 <= told[0][0] <= 1033.0


@pytest.mark.parametrize("letter", ["N", "D", "E"])
def test_a_module_that_cannot_tell_its_status_still_measures(letter: str) -> None:
    bench = Bench()
    bench.until(START, {STATUS: ack(letter), CUFF: EMPTY})


def test_never_before_the_modules_status_is_known() -> None:
    bench = Bench()
    request = bench.next()
    assert request is STATUS
    assert bench.driver.on_timeout(request) == ()
    assert bench.next() is None
    bench.until(STATUS, {})


def test_a_busy_module_is_asked_again_later_and_then_given_up() -> None:
    bench = Bench()
    told: list[Decoded] = []
    begun: list[float] = []
    for _ in range(13):
        told += bench.until(START, {STATUS: HEALTHY, CUFF: EMPTY})
        begun.append(bench.at_s)
        told += bench.driver.decode(ack("B"), START)
    assert all(later - earlier >= 5.0 for earlier, later in pairwise(begun))
    assert told[-4:] == list(failed("module_error"))


def test_a_sleeping_module_is_woken() -> None:
    bench = Bench()
    bench.until(START, {STATUS: HEALTHY, CUFF: EMPTY})
    assert bench.driver.decode(ack("S"), START) == ()
    bench.until(START, {STATUS: HEALTHY, CUFF: EMPTY}, most=10)


def test_two_failures_buy_the_limb_a_minute() -> None:
    run, twin, _ = with_twin()
    twin.hands["motion"]()
    run.run(900)
    ends = [at_s for at_s, _ in determinations(run)]
    begun = starts(run)
    pauses = [began - ended for ended, began in zip(ends, begun[1:], strict=False)]
    assert pauses[0] == pytest.approx(30, abs=3)
    assert pauses[1] >= 59
    assert all(pause >= 29.5 for pause in pauses)
    assert {four for _, four in determinations(run)} == {failed("artifact")}
    assert begun[4] - begun[3] >= 295  # from the fourth failure on, at the ordinary interval


def test_the_schedule_never_runs_behind_itself() -> None:
    schedule = Schedule(interval_s=300.0, first_pair_s=90.0, start_s=5.0)
    schedule.opened(0.0)
    schedule.began(5.0)
    schedule.ended(400.0, good=True)  # it took longer than the interval
    assert not schedule.due(429.9)
    assert schedule.due(430.0)
    schedule.opened(1000.0)  # and a line that comes back late
    assert not schedule.due(1004.9)
    schedule.began(1005.0)
    schedule.ended(1400.0, good=False)
    assert not schedule.due(1429.9)
    assert schedule.due(1430.0)
    schedule.ended(1800.0, good=False)
    assert not schedule.due(1859.9)
    assert schedule.due(1860.0)
    schedule.ended(2000.0, good=False)
    assert not schedule.due(2059.9), "nor does a third one hurry"


# --- how it ends ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("hand", "reason"),
    [("leak", "cuff_leak"), ("loose", "cuff_leak"), ("motion", "artifact"), ("weak", "weak_pulse"),
     ("overpressure", "overpressure")],
)
def test_what_goes_wrong_at_the_cuff_is_told_once_with_its_reason(hand: str, reason: str) -> None:
    run, twin, _ = with_twin()
    twin.hands[hand]()
    run.run(60)
    assert [four for _, four in determinations(run)] == [failed(reason)]
    assert set(TWIN.hands) == set(twin.hands)


def test_a_patient_nobody_can_measure_gives_no_numbers() -> None:
    run, _, patient = with_twin()
    patient.map_mmhg = None
    run.run(60)
    assert [four for _, four in determinations(run)] == [failed("weak_pulse")]


def test_one_result_is_read_once_however_often_it_is_said() -> None:
    bench = Bench()
    assert len([one for one in bench.result(GOOD) if isinstance(one, Reading) and one.metric == "sbp_mmhg"]) == 1
    assert bench.driver.decode(GOOD, None) == ()
    assert bench.driver.decode(GOOD, BP_DATA) == ()
    assert bench.driver.decode(ack("K"), None) == ()
    for _ in range(100):
        request = bench.next()
        assert request in (STATUS, None)
        if request is not None:
            bench.driver.decode(HEALTHY, request)


def test_the_last_result_is_not_taken_for_a_cuff_that_never_rose() -> None:
    bench = Bench()
    bench.result(GOOD)
    bench.until(START, {STATUS: HEALTHY, CUFF: EMPTY})
    bench.driver.decode(ack("O"), START)
    bench.driver.decode(ack("K"), None)  # a late K of the determination before
    bench.until(BP_DATA, {CUFF: EMPTY})
    assert bench.driver.decode(GOOD, BP_DATA) == failed("not_measured")


@pytest.mark.parametrize(("letter", "reason"), [("A", "user_abort"), ("E", "module_error"), ("T", "timeout")])
def test_after_any_end_but_k_good_numbers_are_not_believed(letter: str, reason: str) -> None:
    bench = Bench()
    bench.measuring()
    bench.driver.decode(ack(letter), None)
    bench.until(BP_DATA, {CUFF: EMPTY})
    assert bench.driver.decode(GOOD, BP_DATA) == failed(reason)


def test_a_lost_end_mark_is_made_up_for_by_the_empty_cuff() -> None:
    bench = Bench()
    bench.measuring()
    polls = 0
    while (request := bench.next()) is CUFF:
        bench.driver.decode(reply((4).to_bytes(2, "little")), CUFF)
        polls += 1
    assert request is BP_DATA
    assert polls == 8, "3 s of an empty cuff"
    assert Reading("sbp_mmhg", 115.0) in bench.driver.decode(GOOD, BP_DATA)


def test_a_cuff_that_never_rose_is_waited_for_and_then_aborted() -> None:
    """An empty cuff before it rose is no end: the module may be about to fill it, and holds the last result."""
    bench = Bench()
    bench.until(START, {STATUS: HEALTHY, CUFF: EMPTY})
    bench.driver.decode(ack("O"), START)
    bench.until(ABORT, {CUFF: EMPTY}, most=800)


def test_a_result_that_is_not_ready_is_asked_for_again() -> None:
    bench = Bench()
    bench.measuring()
    bench.driver.decode(ack("K"), None)
    bench.until(BP_DATA, {})
    assert bench.driver.decode(ack("B"), BP_DATA) == ()
    told = bench.until(BP_DATA, {CUFF: EMPTY})
    assert not [one for one in told if isinstance(one, Reading) and one.metric in DETERMINATION]
    assert Reading("sbp_mmhg", 115.0) in bench.driver.decode(GOOD, BP_DATA)


def test_a_determination_without_an_end_is_aborted_once() -> None:
    bench = Bench()
    bench.measuring()
    began_s = bench.at_s
    bench.until(ABORT, {CUFF: UP}, most=800)
    assert bench.at_s - began_s == pytest.approx(140, abs=2)
    assert bench.driver.is_response(ack("A"), ABORT)
    assert bench.driver.decode(ack("A"), ABORT) == failed("timeout")
    assert bench.driver.decode(ack("K"), None) == ()
    assert bench.next() in (STATUS, None)


def test_a_slow_module_is_aborted_no_later() -> None:
    """The limit is a time, not a number of cuff pressures."""
    bench = Bench()
    bench.measuring()
    began_s = bench.at_s
    while (request := bench.next()) is CUFF:
        bench.at_s += 0.8
        bench.driver.decode(UP, CUFF)
    assert request is ABORT
    assert bench.at_s - began_s == pytest.approx(140, abs=3)


@pytest.mark.parametrize("answer", [ack("B"), ack("S"), ack("E"), None], ids=["busy", "asleep", "error", "silence"])
def test_an_abort_that_is_not_confirmed_is_repeated_and_then_a_person_is_called(answer: bytes | None) -> None:
    bench = Bench()
    bench.measuring()
    bench.until(ABORT, {CUFF: UP}, most=800)
    told: list[Decoded] = []
    for _ in range(5):
        assert not told
        if answer is not None:
            assert bench.driver.is_response(answer, ABORT)
        told += bench.driver.on_timeout(ABORT) if answer is None else bench.driver.decode(answer, ABORT)
        asked = bench.next()
        assert (asked is ABORT) is not bool(told)
    alarms = [alarm for one in told if isinstance(one, DeviceAlarms) for alarm in one.alarms]
    assert [(one.code, one.priority) for one in alarms] == [("overpressure", "high")]
    assert "may be inflated" in alarms[0].text
    assert [one for one in told if isinstance(one, Reading)] == list(failed("timeout"))
    later = bench.driver.decode(HEALTHY, STATUS)
    assert later == (DeviceAlarms(tuple(alarms)),), "it stands until a determination starts again"
    bench.until(START, {STATUS: HEALTHY, CUFF: EMPTY})
    bench.driver.decode(ack("O"), START)
    assert bench.driver.decode(HEALTHY, STATUS) == (DeviceAlarms(()),)


def test_an_abort_that_is_confirmed_at_the_second_try_is_an_ordinary_failure() -> None:
    bench = Bench()
    bench.measuring()
    bench.until(ABORT, {CUFF: UP}, most=800)
    assert bench.driver.decode(ack("B"), ABORT) == ()
    assert bench.next() is ABORT
    assert bench.driver.decode(ack("A"), ABORT) == failed("timeout")
