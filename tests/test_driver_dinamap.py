"""A DINAMAP: no line is proven whole, so a number counts when it repeats; each determination once; and its twin."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from drivers.contract import DeviceAlarms, Reading, Validity
from drivers.dinamap import CUFF, DRIVER, PULSE, SPO2, Dinamap, encode
from simulators.cuff import FIRST_S
from simulators.dinamap import DinamapTwin
from simulators.probe import SEARCH_S
from tests.helpers.dialogue_run import StillPatient
from tests.helpers.golden_table import decoded_json, frames
from tests.helpers.oximeter_bench import all_of, opened

OLD, NEW = (118, 72, 88), (130, 80, 95)
Said = tuple[str, int, tuple[int, int, int]]


def line(status: str, age_s: int, values: tuple[int, int, int]) -> bytes:
    return f" NA{status}00{age_s:04d}{values[0]:03d}{values[1]:03d}{values[2]:03d}0070xx\r".encode()


def of(items: Sequence[object], metric: str = "sbp_mmhg") -> list[float | str | None]:
    found = [one for one in items if isinstance(one, Reading) and one.metric == metric]
    return [one.reason or one.validity.value if one.value is None else one.value for one in found]


def test_check_characters_are_the_published_ones() -> None:
    published = {"NA": " NA!2", "NC": None, "ND": " ND!5", "RC": " RC!8", "RA": " RA!6", "OA": " OA!3"}
    assert {letters: encode(letters).decode()[:-1] for letters in published if published[letters]} == {
        letters: text for letters, text in published.items() if text}


def test_a_driver_that_was_never_started_takes_each_line_of_the_table_at_its_word() -> None:
    requests = {request.name: request for request in DRIVER.requests}
    driver = DRIVER.driver()
    for row in [row for row in frames("dinamap") if not row.bad] * 2:
        assert decoded_json(driver.decode(row.frame, requests.get(row.request or ""))) == row.expected, row


@pytest.mark.parametrize(("what", "lines", "told"), [
    ("what stands there at the opening", [("1", 3, OLD), ("1", 5, OLD)], []),
    ("none stood there at the opening", [("0", 0, (0, 0, 0)), ("1", 1, NEW), ("1", 3, NEW)], [130.0]),
    ("none stood there, and then an old one", [("0", 0, (0, 0, 0)), ("1", 90, OLD), ("1", 92, OLD)], []),
    ("its seconds begin anew", [("1", 290, OLD), ("1", 1, NEW), ("1", 3, NEW), ("1", 5, NEW)], [130.0]),
    ("the same numbers", [("1", 290, OLD), ("1", 1, OLD), ("1", 3, OLD)], [118.0]),
    ("said once", [("1", 290, OLD), ("1", 1, NEW), ("1", 292, OLD)], []),
    ("a digit lost its bit", [("1", 290, OLD), ("1", 1, NEW), ("1", 3, (138, 80, 95)), ("1", 5, NEW)], []),
    ("a digit of its seconds is hurt", [("1", 290, OLD), ("1", 992, OLD), ("1", 293, OLD), ("1", 295, OLD)], []),
    ("that of the first line", [("1", 990, OLD), ("1", 22, OLD), ("1", 24, OLD), ("1", 26, OLD)], []),
    ("two say what stood there", [("1", 290, OLD), ("1", 291, OLD), ("1", 88, NEW), ("1", 90, NEW)], [130.0]),
    ("taken too long ago", [("1", 290, OLD), ("1", 291, OLD), ("1", 89, NEW), ("1", 91, NEW)], []),
    ("it fails", [("1", 290, OLD), ("5", 1, OLD), ("5", 3, OLD), ("5", 5, OLD)], ["not_measured"]),
    ("an error said once", [("1", 290, OLD), ("5", 292, OLD), ("1", 294, OLD)], []),
    ("it fails, then measures", [("1", 290, OLD), ("5", 1, OLD), ("5", 3, OLD), ("1", 1, NEW), ("1", 3, NEW)],
     ["not_measured", 130.0]),
    ("a status that is not explained", [("1", 290, OLD), ("2", 1, NEW), ("2", 3, NEW)], []),
    ("it cannot be", [("1", 290, OLD), ("1", 1, (80, 95, 130)), ("1", 3, (80, 95, 130))], ["implausible"]),
])
def test_a_determination_counts_once(what: str, lines: list[Said], told: list[float | str]) -> None:
    driver = Dinamap()
    driver.on_open()
    assert of([one for said in lines for one in driver.decode(line(*said), CUFF)]) == told


def test_a_number_that_is_new_is_questionable_and_asked_for_again_at_once() -> None:
    driver = Dinamap()
    driver.on_open()
    told = [driver.decode(f" OA1{spo2:03d}xx\r".encode(), SPO2)[0]
            for spo2 in (97, 97, 97, 97, 65, 97, 96, 96, 65, 96, 96, 96, 96)]
    assert [one.validity.value for one in told if isinstance(one, Reading)] == [
        *["questionable"] * 3, "valid", "questionable", "valid", *["questionable"] * 6, "valid"]
    assert {driver.next_request(0.0) for _ in range(3)} == {CUFF, SPO2, PULSE}
    driver.decode(b" OA1070xx\r", SPO2)
    assert (driver.next_request(0.1), driver.next_request(0.1)) == (SPO2, None)


def test_of_two_lines_to_one_request_neither_counts() -> None:
    driver = Dinamap()
    driver.on_open()
    told: list[object] = []
    for spo2 in (97, 97, 97, 97, 88, 97, 97, 97, 97):
        told += driver.decode(f" OA1{spo2:03d}xx\r".encode(), SPO2)
        driver.decode(b" OA1097xx\r", None)  # what it says now, behind what it said before
    assert [one.validity.value for one in told if isinstance(one, Reading)] == [
        *["questionable"] * 3, "valid", *["questionable"] * 4, "valid"]


class Frozen:
    """A wire on which each request gets the answer it got before, from `since_s` on."""

    def __init__(self, twin: DinamapTwin, since_s: float) -> None:
        self.hands, self._twin, self._left_s = twin.hands, twin, since_s
        self._said: dict[bytes, bytes] = {}

    def connect(self) -> None:
        self._twin.connect()

    def step(self, dt_s: float) -> bytes:
        self._left_s -= dt_s
        return self._twin.step(dt_s)

    def feed(self, data: bytes) -> bytes:
        if self._left_s > 0:
            self._said[data] = self._twin.feed(data)
        return self._said[data]


def test_old_answers_that_come_again_give_no_number_where_its_seconds_stand_still() -> None:
    run = opened(DRIVER, Frozen(DinamapTwin(StillPatient()), 100.0), 100.0)
    assert {one.validity.value for _, one in run.readings("spo2_pct")[-10:]} == {"valid"}
    run.run(3.0)
    run.forget()
    run.run(60.0)
    for metric in ("spo2_pct", "pulse_bpm"):
        told = [one.validity.value for _, one in run.readings(metric)]
        assert len(told) > 20 and set(told) == {"questionable"}


def test_a_stray_byte_before_a_line_costs_nothing_but_itself() -> None:
    framing = Dinamap().framing
    assert framing.feed(b"\x80 OA1097xx\r\nA NA1\r") == [b" OA1097xx\r", b" NA1\r"]
    assert framing.dropped == 1 + 2


def test_a_read_the_monitor_does_not_know_is_tried_once_a_minute() -> None:
    driver = Dinamap()
    driver.on_open()
    asked = []
    for second in range(240):
        request = driver.next_request(float(second))
        if request is SPO2:
            asked.append(second)
            driver.on_timeout(request)
    assert len(asked) < 9
    assert asked[-1] - asked[-2] == pytest.approx(60, abs=3)
    driver.decode(b" OA1097xx\r", SPO2)
    asked = [second for second in range(300, 340) if driver.next_request(float(second)) is SPO2]
    assert len(asked) > 8


# --- with its twin, through the dialogue ------------------------------------------------------------------------------


def test_twenty_minutes_of_numbers_and_determinations() -> None:
    run = opened(DRIVER, DinamapTwin(StillPatient()), 1200.0)
    items = all_of(run)
    assert (set(of(items, "spo2_pct")), set(of(items, "pulse_bpm")), of(items)) == ({98.0}, {72.0}, [122.0] * 4)
    assert [one for _, one in run.readings("spo2_pct")][-1].validity is Validity.VALID
    assert {request for _, request in run.sent} == {CUFF, SPO2, PULSE}
    assert (run.bad, run.timeouts, run.dialogue.state) == (0, 0, "live")


def test_a_cuff_that_leaks_is_a_failed_determination_shown_raw() -> None:
    twin = DinamapTwin(StillPatient())
    twin.hands["leak"]()
    run = opened(DRIVER, twin, FIRST_S + 60)
    assert of(all_of(run)) == ["not_measured"]
    told = [one for one in all_of(run) if isinstance(one, DeviceAlarms)]
    assert [[alarm.raw for alarm in one.alarms] for one in told] == [[], ["NA status 5"]]


def test_the_finger_out_leaves_no_number() -> None:
    run = opened(DRIVER, DinamapTwin(StillPatient()), 20.0)
    run.twin.hands["probe_off"]()
    run.run(5.0)
    run.forget()
    run.run(30.0)
    assert (set(of(all_of(run), "spo2_pct")), set(of(all_of(run), "pulse_bpm"))) == ({"unavailable"}, {"unavailable"})
    run.twin.hands["probe_on"]()
    run.run(SEARCH_S + 8)
    assert (of(all_of(run), "spo2_pct")[-1], of(all_of(run), "pulse_bpm")[-1]) == (98.0, 72.0)
