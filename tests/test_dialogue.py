"""A dialogue keeps law 1 (a late response is never read as the next), knows who speaks, and heals by itself."""

from __future__ import annotations

import heapq
import math
import random
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

import pytest

from drivers.contract import FrameRequest, Line, Request
from edge import model
from edge.field.dialogue import Dialogue
from edge.field.link_state import NAMELESS, NONE_UNDERSTOOD, UNNAMED
from tests.helpers.scripted_device import LINE, PULSE, RESP, SPO2, TRUTH, WHO, Bed, Script, spec, wrong

EDGE_AT_ZERO = 1_790_000_000.0
Device = Callable[[bytes], list[tuple[float, bytes]]]  # a request -> what is sent, and how long after


class Wire:
    """A dialogue and a scripted device on a wire whose time is told. `device` None: it is off."""

    def __init__(self, driver: Script, device: Device | None, *, identity: str | None = None,
                 line: Line = LINE) -> None:
        self.t = 0.0
        self.bed = Bed()
        self.device = device
        self.asked: list[tuple[float, bytes]] = []
        self.dialogue = Dialogue("chair-1", "script", spec(lambda: driver, line, (WHO, *driver.polls)), line,
                                 now=lambda: self.at_s, decoded=self.bed.decoded, wave=self.bed.wave,
                                 identity=identity)
        self._coming: list[tuple[float, bytes]] = []
        self.dialogue.begin(self.at_s)
        self.opens()

    @property
    def at_s(self) -> float:
        return EDGE_AT_ZERO + self.t

    def opens(self) -> None:
        self.dialogue.opened(self.at_s, self.t)

    def sends(self, *frames: bytes, after_s: float = 0.0) -> None:
        """The device says something by itself."""
        for frame in frames:
            heapq.heappush(self._coming, (self.t + after_s, frame))

    def runs(self, seconds: float) -> None:
        end = self.t + seconds
        while True:
            request = self.dialogue.next_request(self.at_s, self.t)
            if request is not None:
                assert isinstance(request, FrameRequest)
                self.asked.append((self.t, request.frame))
                for after_s, frame in self.device(request.frame) if self.device else []:
                    heapq.heappush(self._coming, (self.t + after_s, frame))
            wake = self.dialogue.wake(self.t)
            assert wake > self.t, "it would spin"
            if min(wake, *(at for at, _ in self._coming), end) >= end:
                self.t = end
                return
            if self._coming and self._coming[0][0] <= wake:
                at, frame = heapq.heappop(self._coming)
                self.t = max(self.t, at)
                self.dialogue.received(frame, self.at_s, self.t)
            else:
                self.t = wake


def responses(serial: bytes = b"A1", after_s: float = 0.02) -> Device:
    return lambda said: [(after_s, {**TRUTH, b"w": b"#" + serial + b"\n"}[said])]


def late_one_in_ten(seed: int, late_s: tuple[float, float]) -> Device:
    dice = random.Random(seed)

    def device(said: bytes) -> list[tuple[float, bytes]]:
        after_s = 0.3 + dice.uniform(*late_s) if dice.random() < 0.1 else 0.02
        return [(after_s, {**TRUTH, b"w": b"#A1\n"}[said])]

    return device


def test_s1_one_answer_in_ten_late_and_none_is_read_as_the_next() -> None:
    wire = Wire(Script((SPO2, PULSE, RESP)), late_one_in_ten(1, (0.01, 0.6)))
    wire.runs(2000)
    asked = sum(said != b"w" for _, said in wire.asked)
    heard = sum(sample.value is not None for sample in wire.bed.samples)
    assert asked > 4000
    assert wire.dialogue.counters.late > 300
    assert wrong(wire.bed.samples) == []
    assert heard / asked > 0.85


class Punctual(Script):
    """Says when it is due, and counts how often it is asked."""

    asked = 0

    @property
    def due_s(self) -> float:
        return -math.inf if self._round or self._due_s is None else self._due_s

    def next_request(self, at_s: float) -> Request | None:
        self.asked += 1
        return super().next_request(at_s)


def test_a_driver_that_says_when_it_is_due_is_asked_then_and_seldom_else() -> None:
    driver = Punctual()
    wire = Wire(driver, responses())
    wire.runs(100)
    assert driver.asked < 2.5 * len(wire.asked), "a look at the line, a request, or its response: no more"
    polls = [at for at, said in wire.asked if said == b"s"]
    assert {round(after - before, 2) for before, after in pairwise(polls)} == {1.0}


def test_it_is_looked_after_closely_while_anything_is_wrong() -> None:
    for device, told in ((None, "silent"), (late_one_in_ten(1, (0.01, 0.6)), "live")):
        plain, punctual = Wire(Script(), device), Wire(Punctual(), device)
        for wire in (plain, punctual):
            wire.runs(30)
        assert punctual.dialogue.state == told
        assert [state for state, *_ in punctual.bed.links] == [state for state, *_ in plain.bed.links]
        assert len(punctual.asked) == pytest.approx(len(plain.asked), rel=0.05)


def test_s1_control_a_quiet_shorter_than_the_lateness_does_read_wrong_values() -> None:
    wire = Wire(Script(), late_one_in_ten(1, (0.2, 0.6)), line=replace(LINE, lateness_s=0.15))
    wire.runs(500)
    assert wrong(wire.bed.samples), "the test above could not fail"


def test_after_a_time_out_nothing_is_said_for_the_lateness_budget() -> None:
    wire = Wire(Script((SPO2,), asks_who=False), lambda said: [])
    wire.runs(2.5)
    (first, _), (second, _) = wire.asked
    assert first == pytest.approx(LINE.lateness_s, abs=0.03), "nor after opening: somebody may have asked before us"
    assert second - first == pytest.approx(0.3 + LINE.lateness_s, abs=0.03)


def test_the_late_answer_to_a_question_cut_off_by_a_hang_up_is_thrown_away() -> None:
    wire = Wire(Script(), responses(after_s=0.25))
    wire.runs(2.0)
    while wire.asked[-1][1] == b"w" or not wire.dialogue.waiting:
        wire.runs(0.01)
    heard = len(wire.bed.samples)
    wire.dialogue.lost("pulled", wire.at_s, wire.t)
    wire.opens()
    wire.runs(0.7)
    assert len(wire.bed.samples) == heard
    assert wire.dialogue.counters.late == 1


def test_a_question_is_said_again_as_often_as_it_allows_and_then_given_up() -> None:
    driver = Script((RESP, SPO2), asks_who=False, every_s=60)
    wire = Wire(driver, lambda said: [] if said == b"r" else responses()(said), line=replace(LINE, silent_after_s=9))
    wire.runs(5)
    assert [said for _, said in wire.asked] == [b"r", b"r", b"s"]
    assert driver.missed == ["resp_bpm"]
    assert wire.dialogue.counters.timeouts == 1
    assert [(sample.metric, sample.value, sample.reason) for sample in wire.bed.samples] == [
        ("resp_bpm", None, "timeout"), ("spo2_pct", 97.0, None)]


def test_a_pause_is_kept_after_an_exchange_and_a_command_without_answer_is_not_waited_for() -> None:
    polls = (FrameRequest("go", b"g", effect="read", timeout_s=None, gap_s=0.5), replace(SPO2, gap_s=0.4), PULSE)
    wire = Wire(Script(polls, asks_who=False, every_s=60), lambda said: [] if said == b"g" else responses()(said))
    wire.runs(3)
    (go, _), (spo2, _), (pulse, _) = wire.asked
    assert spo2 - go == pytest.approx(0.5, abs=0.03)
    assert pulse - spo2 == pytest.approx(0.02 + 0.4, abs=0.03)


def test_the_end_of_a_poll_round_is_told() -> None:
    wire = Wire(Script(every_s=60), responses())
    wire.runs(2)
    told = [([type(one).__name__ for one in inputs], more) for inputs, _, more in wire.bed.calls]
    assert told == [(["LinkChanged"], False), (["LinkChanged"], True), (["Samples"], True), (["Samples"], False)]


def test_a_round_that_ends_unanswered_ends_too() -> None:
    wire = Wire(Script(every_s=60, asks_who=False), lambda said: responses()(said) if said == b"s" else [])
    wire.runs(2)
    told = [(len(inputs), more) for inputs, _, more in wire.bed.calls]
    assert told[-2:] == [(2, True), (0, False)]


def test_what_is_said_unasked_while_a_question_waits_is_heard_and_the_wait_goes_on() -> None:
    wire = Wire(Script((SPO2,), asks_who=False, every_s=60), responses(after_s=0.2))
    wire.runs(0.9)
    wire.sends(b"!71\n", b"~\n")
    wire.runs(1)
    assert [(sample.metric, sample.value) for sample in wire.bed.samples] == [
        ("heart_rate_bpm", 71.0), ("spo2_pct", 97.0)]
    assert [wave.samples for wave, _ in wire.bed.waves] == [(1, None, 3)]


def test_samples_carry_the_house_time_at_which_their_bytes_came() -> None:
    wire = Wire(Script((), asks_who=False), None)
    wire.sends(b"!7", after_s=0.5)
    wire.sends(b"1\n", after_s=1.25)
    wire.runs(2)
    assert [(sample.bed, sample.device, sample.at_s) for sample in wire.bed.samples] == [
        ("chair-1", "script", EDGE_AT_ZERO + 1.25)]


def test_pump_state_and_the_devices_own_alarms_are_handed_on() -> None:
    wire = Wire(Script((), asks_who=False), None)
    wire.sends(b"*\n", after_s=0.05)
    wire.runs(0.1)
    (_, (inputs, _, _)) = wire.bed.calls
    sample = model.Sample("chair-1", "script", "rate_ml_h", None, "unavailable", EDGE_AT_ZERO + 0.05)
    assert inputs[1:] == (
        model.Samples("script", (sample,)),
        model.PumpStatus("script", "alarm"),
        model.DeviceAlarmsReported("script", (model.DeviceAlarm("occlusion", "high", "E7", "Occlusion"),)),
    )


@pytest.mark.parametrize("value", ["9", "351", "nan", "inf", "-inf", "-1"])
def test_the_implausible_is_refused_and_counted(value: str) -> None:
    wire = Wire(Script((), asks_who=False), None)
    wire.sends(f"!{value}\n".encode(), after_s=0.05)
    wire.runs(0.1)
    (sample,) = wire.bed.samples
    assert (sample.value, sample.validity, sample.reason) == (None, "invalid", "implausible")
    assert wire.dialogue.counters.bad == 1


def test_an_unknown_metric_is_our_own_fault() -> None:
    wire = Wire(Script((FrameRequest("mood", b"s", effect="read"),), asks_who=False), responses())
    with pytest.raises(AssertionError, match="unknown metric 'mood'"):
        wire.runs(2)


def test_bad_frames_are_counted_and_are_no_sign_of_life() -> None:
    wire = Wire(Script((), asks_who=False), None)
    for tenth in range(40):
        wire.sends(b"?\n", after_s=tenth / 10 + 0.05)
    wire.runs(3.99)
    assert wire.dialogue.counters.bad == 40
    assert wire.bed.links == [("connecting", "", None), ("silent", NONE_UNDERSTOOD, None)]


# --- who is speaking --------------------------------------------------------------------------------------------------


def test_a_device_is_bound_by_the_first_serial_number_it_says() -> None:
    wire = Wire(Script(), responses(b"A1"))
    wire.runs(3)
    assert wire.bed.links == [("connecting", "", None), ("live", "", "A1")]


@pytest.mark.parametrize("identity", ["A1", None])
def test_s7_another_device_on_the_cable_is_refused_until_the_first_is_back(identity: str | None) -> None:
    wire = Wire(Script(), responses(b"A1"), identity=identity)
    wire.runs(5)
    wire.device = None  # pulled,
    wire.runs(2.5)
    wire.device = responses(b"B2")  # and into the neighbour's
    heard = len(wire.bed.samples)
    wire.runs(30)
    assert len(wire.bed.samples) == heard, "data of the wrong device for 0 s"
    state, reason, serial = wire.bed.links[-1]
    assert (state, serial) == ("wrong_device", "B2")
    right = '; if it is the right one, write identity = "B2" for it in edge.toml'
    assert reason == "expected A1, found B2" + ("" if identity else right)
    assert wire.bed.links.count(wire.bed.links[-1]) == 1, "said once"
    wire.device = responses(b"A1")
    wire.runs(5)
    assert wire.bed.links[-1] == ("live", "", "A1")
    assert len(wire.bed.samples) > heard


def test_nothing_counts_before_a_device_with_a_configured_identity_has_said_it() -> None:
    wire = Wire(Script(asks_who=False), responses(), identity="A1")
    wire.runs(2)
    assert (wire.bed.samples, wire.dialogue.state) == ([], "connecting")
    wire.runs(3)
    assert wire.bed.links[-1] == ("wrong_device", "expected A1, but it does not say its serial number", None)
    wire.sends(b"#A1\n")
    wire.runs(2)
    assert wire.dialogue.state == "live"
    assert wire.bed.samples


@pytest.mark.parametrize(("device", "asks_who", "reason"), [
    (responses(b""), True, NAMELESS),
    (responses(), False, NAMELESS),
    (lambda said: [] if said == b"w" else responses()(said), True, UNNAMED),
], ids=["says none", "has none", "did not answer"])
def test_a_device_without_a_serial_number_is_bound_by_its_port_and_says_so(
    device: Device, asks_who: bool, reason: str
) -> None:
    wire = Wire(Script(asks_who=asks_who), device)
    wire.runs(4)
    assert wire.bed.links[-1] == ("live", reason, None)
    assert wire.bed.samples


def test_a_device_without_a_serial_number_cannot_stand_in_for_one_that_has() -> None:
    wire = Wire(Script(), responses(b""), identity="A1")
    wire.runs(4)
    assert wire.bed.links[-1] == ("wrong_device", "expected A1, found a device without a serial number", None)
    assert wire.bed.samples == []


def test_silence_is_noticed_in_time_and_ends_with_the_first_good_frame() -> None:
    wire = Wire(Script(), responses())
    wire.runs(5)
    wire.device = None
    last = max(sample.at_s for sample in wire.bed.samples)
    wire.runs(10)
    inputs, at_s, _ = wire.bed.calls[-1]
    assert inputs == (model.LinkChanged("script", "silent", "nothing received for 2 s", "A1"),)
    assert at_s - last == pytest.approx(LINE.silent_after_s, abs=0.001)
    wire.device = responses()
    wire.runs(5)
    assert [state for state, *_ in wire.bed.links] == ["connecting", "live", "silent", "live"]
    assert wire.dialogue.counters.since > at_s


def test_a_late_response_ends_the_quiet_unless_one_before_it_never_came() -> None:
    """The first response is later than the line ever should be: it looks like the second request's late one, whose own
    is still on its way."""
    delays = iter([1.45, 0.6])
    wire = Wire(Script(asks_who=False, every_s=0.1), lambda said: [(next(delays, 0.25), TRUTH[said])],
                line=replace(LINE, silent_after_s=9))
    wire.runs(6)
    assert wire.dialogue.counters.late == 2
    assert wrong(wire.bed.samples) == []
    assert len(wire.bed.samples) > 5
