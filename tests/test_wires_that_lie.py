"""Every driver with its twin over a wire that lies, in virtual time: no valid value is ever a wrong one, and enough of
the readings is kept. `tests/helpers/fault_run.py` says what is true, `simulators/faults.py` how wires lie."""

from __future__ import annotations

import random
from functools import cache
from pathlib import Path

import pytest
from hypothesis import settings

import drivers
import simulators
from drivers.contract import FrameRequest, Heard, Spec
from drivers.modbus_map import spec_of
from simulators.contract import Hands
from simulators.faults import KINDS
from simulators.modbus_map import twin_of
from tests.helpers.fault_run import FaultRun, fault_run
from tests.helpers.parts import sampled

pytestmark = pytest.mark.slow

MAP = Path(__file__).parent.parent / "deploy" / "modbus_map.example.toml"
SPECS = {**drivers.find(), "acme_3000": spec_of(MAP)}
TWINS = {**simulators.find(), "acme_3000": twin_of(MAP)}
OF_MODBUS = frozenset({"exception", "words", "shift", "wrong", "unit"})
OF_TCP = frozenset({"one"})  # a second connection: tests/test_faults.py
POLLED = [name for name, spec in SPECS.items() if spec.line.stream_bytes_s is None]
STREAMS = [name for name in SPECS if name not in POLLED]
SECONDS = 250.0
EVERYTHING = 0.02  # the chance of each kind, for one transmission, where all happen together
SUPPLE = {name: 0.1 if name in POLLED else 0.01 for name in SPECS}  # a stream has twenty transmissions a second


def kinds_of(spec: Spec) -> list[str]:
    modbus = spec.transports[0].startswith("modbus")
    unseen = set() if spec.age or isinstance(spec.driver(), Heard) else {"freeze"}  # as its card says
    return [kind for kind in KINDS if kind not in OF_TCP | unseen and (modbus or kind not in OF_MODBUS)]


def run_of(name: str, rates: dict[str, float], seconds: float, seed: int = 1) -> FaultRun:
    return fault_run(SPECS[name], TWINS[name], rates, seed).go(seconds)


def until_polls(run: FaultRun, polls: int, frames: int) -> FaultRun:
    while run.polls < polls and run.dialogue.counters.frames < frames and (run.polls or run.real_s < 600):
        run.go(50)
    return run


DOUBTFUL = frozenset({"dinamap_binary"})  # all of its numbers are questionable
EXPLORES = settings().max_examples > 100  # --hypothesis-profile=explore: every case, and ten times as long
POLLS, MANY_POLLS = (2_000, 100_000) if EXPLORES else (600, 10_000)
CASES = [(name, kind) for name, spec in SPECS.items() for kind in kinds_of(spec)][::1 if EXPLORES else 5]


@cache
def good_run(name: str) -> FaultRun:
    """`SECONDS` of a good wire."""
    return run_of(name, {}, SECONDS)


@pytest.mark.parametrize("name", sampled(((name,) for name in SPECS), 4))
def test_a_good_wire_shows_what_is_true(name: str) -> None:
    run = good_run(name)
    assert run.wrong == []
    assert bool(run.kept) is (name not in DOUBTFUL), "and something is judged"
    assert run.long == set(), "38, not 37.999998855"


@pytest.mark.parametrize("name", sampled(((name,) for name in SPECS), 2))
def test_no_value_is_wrong_where_everything_happens_together(name: str) -> None:
    """So many requests, or three times the frames, or ten minutes of a device that says little; then a good wire."""
    rate = EVERYTHING if name in POLLED else EVERYTHING / 20
    rates = dict.fromkeys(kinds_of(SPECS[name]), rate)
    run = until_polls(fault_run(SPECS[name], TWINS[name], rates, 3), POLLS, 3 * POLLS)
    assert run.wrong == []
    run.faults = None
    run.kept.clear()
    run.go(60)
    assert run.dialogue.state in ("live", "unstable")
    assert run.kept or SPECS[name].kind == "nibp" or name in DOUBTFUL, "a cuff's next determination is minutes away"


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_no_value_is_wrong_under_any_one_of_them(name: str, kind: str) -> None:
    run = run_of(name, {kind: SUPPLE[name]}, SECONDS)
    assert run.wrong == []


def good_of(name: str) -> int:
    """How many readings a good wire gives."""
    return sum(good_run(name).kept.values())


LATE = [  # which share of the readings stays where one transmission in ten is late: what is promised is 85 %
    (name, kind) for name in SPECS if name not in DOUBTFUL
    for kind in (("late", "doubled", "stray", "echo", "split") if name in POLLED else ("late", "stray"))]
OTHERWISE = {  # a stray byte or a doubled response costs a bus without frame marks the quiet that follows
    "isco": ("doubled", "stray"), "modbus_vitals": ("doubled", "stray"), "acme_3000": ("doubled", "stray"),
    "vindum": ("doubled", "stray"),
}


@pytest.mark.parametrize(("name", "kind"), sampled(
    (case for case in LATE if case[1] not in OTHERWISE.get(case[0], ())), 9))
def test_85_percent_of_the_readings_stay(name: str, kind: str) -> None:
    kept = sum(run_of(name, {kind: SUPPLE[name]}, SECONDS).kept.values())
    assert kept >= 0.85 * good_of(name)


@pytest.mark.parametrize("name", POLLED)
def test_an_adapter_that_always_echoes_costs_next_to_nothing(name: str) -> None:
    run = run_of(name, {"echo": 1.0}, SECONDS)
    assert run.wrong == []
    assert sum(run.kept.values()) >= 0.95 * good_of(name)
    assert run.dialogue.state == "live"
    assert run.dialogue.counters.bad <= 5, "our own bytes are no bad frames; a Modbus port learns it"


@pytest.mark.long
@pytest.mark.parametrize("name", ["alaris_gh", "isco", "acme_3000"])
def test_none_in_many_thousand_polls(name: str) -> None:
    """The law of this house: a late, doubled, swapped or foreign response is never another value. With
    --hypothesis-profile=explore in 100,000 polls."""
    kinds = {"delay": 0.05, "dup": 0.02, "swap": 0.02, "stale": 0.5, "reset": 0.002, "echo": 0.02, "stray": 0.02,
             "words": 0.02, "shift": 0.02, "wrong": 0.02, "unit": 0.02, "exception": 0.02}
    known = kinds_of(SPECS[name])
    run = fault_run(SPECS[name], TWINS[name], {kind: rate for kind, rate in kinds.items() if kind in known}, 11)
    while run.polls < MANY_POLLS:
        run.go(500)
        for hand in ("load", "start"):  # the syringe is never empty for long
            run.twin.hands[hand]()
    assert run.wrong == []


@pytest.mark.parametrize("name", ["terumo_te", "legato", "dinamap", "medibus"])
def test_none_in_thousands_where_everything_happens_together(name: str) -> None:
    """Those through which some got in every few thousand; what goes through a syringe starts anew again and again."""
    rates = dict.fromkeys(kinds_of(SPECS[name]), EVERYTHING)
    run = fault_run(SPECS[name], TWINS[name], rates, 11)
    while run.polls < (100_000 if EXPLORES else 4_000):
        run.go(100)
        for hand in ("load", "start"):
            run.twin.hands.get(hand, lambda: None)()
    assert run.wrong == []


@pytest.mark.parametrize("name", SPECS)
def test_only_what_is_declared_is_ever_sent(name: str) -> None:
    """A tap between dialogue and device, on a wire that does everything."""
    tapped: list[bytes] = []
    spec = SPECS[name]
    rates = dict.fromkeys(kinds_of(spec), EVERYTHING if name in POLLED else EVERYTHING / 20)
    run = fault_run(spec, TWINS[name], rates, 5)
    feed = getattr(run.twin, "feed", None)
    if feed is not None:
        def tap(data: bytes) -> bytes:
            tapped.append(data)
            answer: bytes = feed(data)
            return answer

        run.twin.feed = tap  # type: ignore[union-attr, method-assign]
    run.go(300)
    named = spec.addressed(run.dialogue.link.serial or "") if spec.addressed else ()
    declared = {request.frame for request in (*spec.requests, *named) if isinstance(request, FrameRequest)}
    assert set(tapped) <= declared
    assert run.polls > 0 or not spec.requests


class Noise:
    """A device that sends random bytes, and as many again to every request."""

    def __init__(self, seed: int) -> None:
        self.hands: Hands = {}
        self._rng = random.Random(f"noise {seed}")

    def connect(self) -> None: ...

    def step(self, dt_s: float) -> bytes:
        return self._rng.randbytes(50)

    def feed(self, data: bytes) -> bytes:
        return self._rng.randbytes(50)


@pytest.mark.parametrize("name", [name for name, spec in SPECS.items() if "serial" in spec.transports])
def test_noise_alone_is_never_live_and_gives_no_number(name: str) -> None:
    """A thousand random bytes a second for five minutes; a weak checksum, or none, finds frames in it."""
    run = FaultRun(SPECS[name], Noise(1))
    run.open()
    run.go(300)
    assert (run.kept, run.dialogue.state) == ({}, "silent")
    assert run.dialogue.counters.received > 250_000
