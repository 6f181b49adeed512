"""Two devices that answer on one line: once four answers contradict each other nothing counts, and it is said."""

from __future__ import annotations

from typing import cast

import pytest

import drivers
import simulators
from drivers.contract import FrameRequest
from edge.field.contradictions import LATELY, MANY, SOON_S, TWO_ANSWER, Contradictions
from simulators.contract import Twin
from tests.helpers.dialogue_run import DialogueRun, StillPatient

ASKED, OTHER = (FrameRequest(name, name.encode(), effect="read") for name in ("a", "b"))


def is_response(frame: bytes, request: object) -> bool:
    return isinstance(request, FrameRequest) and frame[:1] == request.frame


@pytest.mark.parametrize(("frames", "many"), [
    (["a1"] * 9, False), (["a1", "a1"] * 9, False), (["a1 a2"] * (MANY - 1), False), (["a1 a2"] * MANY, True),
    (["a1 a2", "a1 a2", "b1", "b1", "b1", "a1 a2", "a1 a2"], True), (["a1 b2"] * 9, False),
    (["a1 a2", "a1"] * 9, False),
    (["a1 a2"] * MANY + ["a1"] * (LATELY - MANY), True), (["a1 a2"] * MANY + ["a1"] * (LATELY - MANY + 1), False)])
def test_four_of_five_that_differ_are_two_devices(frames: list[str], many: bool) -> None:
    """The first answer to each request, and what comes with it."""
    others = Contradictions()
    others.besides(b"a1", 0.0, is_response)
    for real_s, told in enumerate(frames, 1):
        first, *more = (one.encode() for one in told.split())
        others.answered(ASKED if first[:1] == b"a" else OTHER, first, real_s)
        for one in more:
            others.besides(one, real_s + SOON_S, is_response)
    assert others.many is many
    others.forget()
    assert not others.many


def test_what_a_device_sends_by_itself_is_no_other_ones_answer() -> None:
    others = Contradictions()
    for real_s in range(9):
        others.answered(ASKED, b"a1", real_s)
        others.besides(b"a2", real_s + SOON_S + 0.01, is_response)
    assert not others.many


class Two:
    """The device and, while it is `there`, another one that says something else first."""

    def __init__(self, name: str) -> None:
        other = StillPatient()
        other.spo2_pct, other.pulse_bpm = 91.0, 120.0
        self._one, self._other = (cast("Twin", simulators.find()[name].make(one, 1)) for one in (StillPatient(), other))
        self.hands, self.there = self._one.hands, False

    def connect(self) -> None:
        self._one.connect()
        self._other.connect()

    def step(self, dt_s: float) -> bytes:
        return self._both(self._one.step(dt_s), self._other.step(dt_s))

    def feed(self, data: bytes) -> bytes:
        return self._both(self._one.feed(data), self._other.feed(data))

    def _both(self, one: bytes, other: bytes) -> bytes:
        return other + one if self.there else one


@pytest.mark.parametrize(("name", "every_s"), [("medibus", 1.0), ("ge_dri", 5.0)])
def test_of_two_machines_that_answer_neither_counts_until_one_is_gone(name: str, every_s: float) -> None:
    two = Two(name)
    run = DialogueRun(drivers.find()[name], two)
    run.open()
    run.run(30)
    two.there = True
    run.run(MANY * every_s + 1)
    run.forget()
    run.run(60)
    assert run.samples("spo2_pct") == []
    assert run.links()[-1][1:] == ("silent", TWO_ANSWER)
    two.there = False
    run.run(60)
    assert run.dialogue.state == "live"
    assert {one.value for _, one in run.samples("spo2_pct")[-3:]} == {98.0}
