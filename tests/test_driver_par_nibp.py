"""A PAR cuff module: what ends a determination, when its result counts, and its twin's hours."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import pytest

from drivers.contract import BadFrame, Decoded, DeviceAlarms, Driver, Reading, Request
from drivers.kit.cuffs import STUCK
from drivers.par_nibp import DRIVER, LONGEST_S, MANUAL, PATIENTS, START, STATUS, STOP, checksum
from simulators.par_nibp import ParTwin
from tests.helpers.dialogue_run import DialogueRun, StillPatient
from tests.helpers.golden_table import decoded_json, frames
from tests.helpers.oximeter_bench import alarms, all_of, listen, opened

ROWS = {row.name: row for row in frames("par_nibp")}
SOON = {"start_s": 30.0, "interval_s": 300.0, "first_pair_s": 90.0}


def said(text: str) -> bytes:
    return b"\x02" + text.encode("ascii") + b"\x03\r"


def status(state: str, error: str = "00", pressures: str = "-" * 9, patient: str = "0") -> bytes:
    text = f"S{state};A{patient};C00;M{error};P{pressures};R072;T    ;;"
    return said(text + checksum(text.encode("ascii")).decode())


READY, UP, END = status("1"), said("150C0S3"), said("999")
LOW, OLD, NEW = said("015C0S3"), "118072088", "131080097"


def of(items: Sequence[Decoded], metric: str = "sbp_mmhg") -> list[float | str | None]:
    found = [one for one in items if isinstance(one, Reading) and one.metric == metric]
    return [one.reason or one.validity.value if one.value is None else one.value for one in found]


class Bench:
    """A driver asked and answered by hand."""

    def __init__(self, **settings: object) -> None:
        self.driver: Driver = DRIVER.driver({**SOON, **settings})
        self.at_s = 0.0
        self.driver.on_open()
        self.driver.decode(READY, STATUS)

    def until(self, wanted: Request, answer: bytes = READY, most_s: float = 400.0) -> list[Request]:
        """Half a second after the other, each status answered, until `wanted` is asked; all that was asked."""
        asked: list[Request] = []
        end_s = self.at_s + most_s
        while self.at_s < end_s:
            request = self.driver.next_request(self.at_s)
            self.at_s += 0.5
            if request is not None:
                asked.append(request)
            if request is wanted:
                return asked
            if request is STATUS:
                self.driver.decode(answer, STATUS)
        raise AssertionError(f"{wanted.name} was never asked for")

    def hear(self, data: bytes) -> list[Decoded]:
        return listen(self.driver, data)

    def result(self, heard: bytes, answer: bytes) -> list[Decoded]:
        """A determination in which this is heard, and this is the response to each status asked for at its end."""
        self.until(START)
        items = self.hear(heard)
        for _ in range(2):
            if not of(items):
                self.until(STATUS)
                items += self.driver.decode(answer, STATUS)
        return items


def test_a_driver_that_was_never_started_takes_each_frame_of_the_table_at_its_word() -> None:
    for row in [row for row in ROWS.values() if not row.bad]:
        assert decoded_json(DRIVER.driver().decode(row.frame, None)) == row.expected, row


def test_any_single_bit_flipped_in_a_status_is_a_bad_frame() -> None:
    frame = ROWS["101_65_76_pulse_60"].frame
    for bit in range(len(frame) * 8):
        flipped = bytearray(frame)
        flipped[bit // 8] ^= 1 << bit % 8
        with pytest.raises(BadFrame):
            DRIVER.driver().decode(bytes(flipped), STATUS)


# --- when a result counts ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("what", "heard", "answer", "told"), [
    ("a result", UP + END, status("1", pressures=NEW), [131.0]),
    ("m03 is no error", UP + END, status("1", "03", NEW), [131.0]),
    ("an error with the pressures of the one before", UP + END, status("2", "07", OLD), ["cuff_leak"]),
    ("ready, and yet an error", UP + END, status("1", "11", NEW), ["artifact"]),
    ("no pressures", UP + END, status("1"), ["user_abort"]),
    ("another patient's", UP + END, status("1", pressures=NEW, patient="1"), ["module_error"]),
    ("the cuff never rose", LOW + END, status("1", pressures=OLD), ["not_measured"]),
    ("the end was lost", UP, status("1", pressures=NEW), [131.0]),
])
def test_a_result_counts_after_the_end_of_what_was_started_here(
    what: str, heard: bytes, answer: bytes, told: list[float | str]
) -> None:
    assert of(Bench().result(heard, answer)) == told


def asked_again(bench: Bench, answers: Sequence[bytes]) -> list[list[float | str | None]]:
    """What each response to the status gives after a determination's end."""
    bench.until(START)
    bench.hear(UP + END)
    told = []
    for answer in answers:
        bench.until(STATUS)
        told.append(of(list(bench.driver.decode(answer, STATUS))))
    return told


HURT, OTHER = status("1", pressures="191080097"), status("1", pressures="171080097")  # good sums all the same


def test_a_result_counts_when_two_statuses_running_say_it() -> None:
    new = status("1", pressures=NEW)
    assert asked_again(Bench(), [HURT, new, new]) == [[], [], [131.0]]
    assert asked_again(Bench(), [new, HURT, new, new]) == [[], [], [], [131.0]]
    assert asked_again(Bench(), [new, HURT, new, HURT, OTHER]) == [[], [], [], [], ["not_measured"]]
    bench = Bench()
    asked_again(bench, [status("2", "12")])
    bench.until(STATUS)
    assert of(list(bench.driver.decode(status("1", pressures=NEW), STATUS))) == [], "no over-pressure: said once"


def test_a_status_without_a_response_is_asked_for_again() -> None:
    bench = Bench()
    asked_again(bench, [status("1", pressures=NEW)])
    bench.until(STATUS)
    assert of(bench.driver.on_timeout(STATUS)) == []
    bench.until(STATUS)
    assert of(list(bench.driver.decode(status("1", pressures=NEW), STATUS))) == [131.0]


def test_a_cuff_pressure_far_from_the_last_is_questionable_until_it_is_said_again() -> None:
    bench = Bench()
    bench.until(START)
    bench.hear(said("010C0S8"))
    items = bench.hear(b"".join(said(f"{mmhg:03d}C0S8") for mmhg in (70, 9, 131, 140)))
    assert [one.validity.value for one in items if isinstance(one, Reading)] == [
        "valid", "questionable", "questionable", "valid"]


def test_where_the_end_is_lost_the_result_before_is_not_taken_for_a_new_one() -> None:
    bench = Bench(first_pair_s=60.0)
    assert of(bench.result(UP + END, status("1", pressures=OLD))) == [118.0]
    assert of(bench.result(UP, status("1", pressures=OLD))) == ["not_measured"]
    assert of(bench.result(UP + END, status("1", pressures=OLD))) == [118.0], "with its end it may be the same"


def test_a_result_that_comes_by_itself_is_asked_for_once_and_no_other_is_read() -> None:
    bench = Bench()
    assert of(bench.hear(status("1", pressures=OLD))) == [], "what stands there at the opening"
    bench.until(START)
    assert of(bench.hear(UP + status("3", pressures=OLD) + END + status("1", pressures=NEW))) == []
    bench.until(STATUS)
    assert of(list(bench.driver.decode(status("1", pressures=NEW), STATUS))) == [131.0]
    assert of(bench.hear(status("1", pressures=NEW))) == []
    assert of(list(bench.driver.decode(status("1", pressures=NEW), STATUS))) == []


def test_it_waits_for_more_than_a_second_before_it_asks() -> None:
    bench = Bench()
    bench.until(START)
    bench.driver.next_request(bench.at_s)
    bench.hear(UP + END)
    asked = [(tenth, bench.driver.next_request(bench.at_s + tenth / 10)) for tenth in range(20)]
    assert [one for one in asked if one[1]] == [(11, STATUS)]


def test_a_module_that_restarts_while_it_measures_failed_and_is_set_again() -> None:
    bench = Bench()
    bench.until(START)
    assert of(bench.hear(UP + status("5", "10"))) == ["module_error"]
    assert bench.until(PATIENTS["adult"])[:2] == [MANUAL, PATIENTS["adult"]]


def test_a_status_that_says_that_it_still_measures_is_no_end() -> None:
    bench = Bench()
    assert of(bench.result(UP + END, status("3"))) == []
    assert of(bench.hear(UP + END + status("1", pressures=NEW) * 2)) == [131.0]


# --- when one is started ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("busy", ["0", "3", "4", "5", "6", "7", "8", "9"])
def test_none_is_started_by_a_module_that_is_not_ready(busy: str) -> None:
    bench = Bench()
    with pytest.raises(AssertionError, match="start was never asked for"):
        bench.until(START, status(busy, pressures=OLD), most_s=59.0)
    bench.until(STATUS)
    assert of(list(bench.driver.decode(status(busy, pressures=OLD), STATUS))) in ([], ["not_measured"])


def test_one_that_does_not_begin_failed() -> None:
    bench = Bench()
    bench.until(START)
    bench.until(STATUS)
    assert bench.at_s - 0.5 >= 45.0
    assert of(list(bench.driver.decode(READY, STATUS))) == ["not_measured"]


def test_one_that_does_not_end_is_stopped_and_a_stop_that_does_not_help_is_an_alarm_until_it_ends() -> None:
    bench = Bench()
    bench.until(START)
    asked, items = [], []
    for second in range(round(LONGEST_S) + 14):
        asked.append(bench.driver.next_request(bench.at_s + second))
        items += bench.hear(UP)
    assert [one for one in asked if one in (STOP, START)] == [STOP] * 5
    assert of(items) == ["timeout"]
    assert [one for one in items if isinstance(one, DeviceAlarms)] == [DeviceAlarms((STUCK,))]
    assert DeviceAlarms(()) in bench.hear(END)


# --- with its twin, through the dialogue ------------------------------------------------------------------------------


def with_twin(seconds: float = 0.0, **settings: object) -> tuple[DialogueRun, ParTwin]:
    twin = ParTwin(StillPatient())
    return opened(DRIVER, twin, seconds, {**SOON, **settings}), twin


@pytest.mark.parametrize("patient", list(PATIENTS))
def test_an_hour_of_determinations(patient: str) -> None:
    run, _ = with_twin(3600.0, patient=patient)
    assert (set(of(all_of(run))), set(of(all_of(run), "nibp_pulse_bpm"))) == ({122.0}, {72.0})
    starts = run.times("start")
    assert [round(later - earlier, -1) for earlier, later in pairwise(starts)][:3] == [90, 300, 300]
    assert len(of(all_of(run))) == len(starts) == 13
    assert (run.bad, run.timeouts, run.times("stop")) == (0, 0, [])
    sent = [at_s for at_s, _ in run.sent]
    assert min(later - earlier for earlier, later in pairwise(sent)) > 1.0, "more than a second between two commands"


@pytest.mark.parametrize(("hand", "reason"), [
    ("loose", "cuff_loose"), ("leak", "cuff_leak"), ("motion", "artifact"), ("weak", "weak_pulse")])
def test_a_determination_that_fails_says_why_and_never_the_numbers_before(hand: str, reason: str) -> None:
    run, twin = with_twin(80.0)
    twin.hands[hand]()
    run.forget()
    run.run(80.0)
    assert of(all_of(run)) == [reason]
    assert alarms(run)[-1] == [{"loose": "M06", "leak": "M07", "motion": "M11", "weak": "M09"}[hand]]


def test_over_pressure_holds_until_the_line_is_opened_again() -> None:
    run, twin = with_twin()
    twin.hands["overpressure"]()
    run.run(700.0)
    assert (len(run.times("start")), set(of(all_of(run)))) == (1, {"overpressure"})
    assert "M12" in alarms(run)[-1]
    twin.hands["ok"]()
    run.forget()
    run.open()
    run.run(330.0)
    assert of(all_of(run)) == [122.0]


@pytest.mark.parametrize("late_s", [0.4, 2.0, 3.5])
def test_late_responses_give_no_wrong_determination(late_s: float) -> None:
    run, twin = with_twin(80.0)
    run.delay(each=3, late_s=late_s)
    run.run(1000.0)
    twin.hands["leak"]()
    run.forget()
    run.run(1000.0)
    assert {one for one in of(all_of(run)) if isinstance(one, float)} <= {122.0}
    assert of(all_of(run)).count(122.0) <= 1


def test_a_module_that_was_restarted_is_set_again() -> None:
    run, twin = with_twin(20.0, patient="neonate")
    run.forget()
    twin.hands["restart"]()
    run.run(10.0)
    assert {request.name for _, request in run.sent} == {"manual", "neonate", "status"}
    run.run(120.0)
    assert of(all_of(run)) == [122.0] * len(run.times("start"))
