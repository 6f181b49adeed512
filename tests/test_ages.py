"""What shows how old a number is, by card and measure: an old answer that comes again, and a line that comes late."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

import drivers
import simulators
from drivers.contract import Heard, Spec
from edge.app.card import card
from simulators.faults import Faults, Pieces
from tests.helpers.fault_run import FaultRun, fault_run
from tests.helpers.parts import sampled

SPECS: Mapping[str, Spec] = drivers.find()
GOOD_S, BAD_S, LATE_S = 130.0, 60.0, 30.0
STREAMS = [name for name, spec in SPECS.items() if spec.line.stream_bytes_s]
POLLED = [name for name in SPECS if name not in STREAMS]
DOUBTFUL = frozenset({"dinamap_binary"})  # all of its numbers are questionable


class Wire(Faults):
    """Good for `GOOD_S`. Then each request gets the answer that it got before; or all comes `LATE_S` late."""

    def __init__(self, *, late: bool) -> None:
        super().__init__({}, "ages")
        self._late = late

    def through(self, data: bytes, now_s: float) -> Pieces:
        bad, request = now_s >= GOOD_S, self._request
        self._request = b""
        if bad and self._late:
            return [(now_s + LATE_S, data)]
        if not bad:
            self._said[request] = data
        return [(now_s, self._said.get(request, data))]


def run_of(name: str, *, late: bool) -> FaultRun:
    run = fault_run(SPECS[name], simulators.find()[name], {})
    run.faults = Wire(late=late)
    run.go(GOOD_S)
    assert run.wrong == []
    assert run.kept or name in DOUBTFUL
    return run.go(BAD_S + LATE_S * late)


def says(name: str, words: str) -> bool:
    said = [line for line in card(SPECS[name]).splitlines() if line.startswith("what shows how old a number is: ")]
    assert len(said) == 1
    return words in said[0]


@pytest.mark.parametrize("name", sampled(((name,) for name in POLLED), 5))
def test_an_old_answer_that_comes_again_is_known_by_what_the_card_says(name: str) -> None:
    """A number is old from 15 s on."""
    assert bool(run_of(name, late=False).wrong) is says(name, "comes again, nothing")


@pytest.mark.parametrize("name", sampled(((name,) for name in STREAMS), 5))
def test_a_piece_of_a_stream_that_comes_again_and_again_is_known_by_what_the_card_says(name: str) -> None:
    assert bool(run_of(name, late=False).wrong) is (says(name, "or again and again") and name not in DOUBTFUL)


@pytest.mark.parametrize("name", sampled(((name,) for name in STREAMS), 5))
def test_a_line_that_comes_late_is_known_where_the_device_sends_its_time(name: str) -> None:
    shown = bool(run_of(name, late=True).wrong)
    assert shown is (says(name, "nothing: what comes steadily late") and name not in DOUBTFUL)
    assert shown is (not isinstance(SPECS[name].driver(), Heard) and name not in DOUBTFUL)
