"""Frames spliced with noise, with each other and with other devices', cut anywhere: no valid number that no whole frame
of the device held, but where the check of a protocol lets one in 256 pass and nothing says the number twice. (That two
whole frames bring every framing in step again: test_parsers.py.)

`VIGIL_SPLICES=100000 pytest tests/test_splices.py -m ""` takes so many transmissions a driver.
"""

from __future__ import annotations

import math
import os
import random
from collections.abc import Mapping, Sequence
from functools import cache

import pytest

import drivers
import simulators
from drivers.contract import BadFrame, Decoded, FrameRequest, Reading, Spec
from edge.app.card import card
from edge.vocabulary import METRICS
from simulators.contract import Hands
from tests.helpers.dialogue_run import DialogueRun, StillPatient
from tests.helpers.golden_table import Row, frames
from tests.helpers.parts import sampled
from tests.helpers.small_steps import furthest

TRANSMISSIONS = int(os.environ.get("VIGIL_SPLICES", "150"))
SPECS = {name: spec for name, spec in drivers.find().items() if not spec.transports[0].startswith("modbus")}
ROWS = {name: [row for row in frames(name) if not row.bad] for name in SPECS}
GOOD_SHARE = 0.7
STREAM_EVERY_S = 1.0
WEAK = frozenset({"graseby_3400", "masimo_ascii", "par_nibp"})  # of those whose card says so: seldom
VOLUME = "volume_infused_ml"
PASS = 1 / 256
SMALL_STEPS = max(400, TRANSMISSIONS // 10)
SAID = {"new_era": {("rate_ml_h", 10.0)}}  # by a pump that stands still, so it is no rate there


def numbers(spec: Spec, row: Row) -> set[tuple[str, float]]:
    """What one whole frame holds, by a driver that takes it at its word."""
    driver, requests = spec.driver(), {one.name: one for one in spec.requests}
    found: list[Decoded] = []
    try:
        for _ in range(3):  # where what it says must be said again
            found += driver.decode(row.frame, requests.get(row.request or ""))
    except BadFrame:  # a row of another mode, or the same once more
        pass
    return {(one.metric, one.value) for one in found if isinstance(one, Reading) and one.value is not None}


@cache
def held(name: str) -> frozenset[tuple[str, float]]:
    """Every number of the device's golden frames; a pump that stands still has no rate."""
    more = {("rate_ml_h", 0.0), *SAID.get(name, ())}
    return frozenset(more.union(*(numbers(SPECS[name], row) for row in ROWS[name])))


def passing(name: str) -> dict[str, float]:
    """The numbers that may pass by the driver's wiring card, and how far from the truth."""
    weak = SPECS[name].weak
    return {} if weak is None else {**weak.near, **({VOLUME: math.inf} if weak.volume else {})}


def is_held(name: str, metric: str, value: float) -> bool:
    """Whether a frame held it, as exactly as it is shown."""
    near = 0.6 * 10**-METRICS[metric].decimals
    return any(one == metric and abs(known - value) <= near for one, known in held(name))


OTHERS: Mapping[str, Sequence[bytes]] = {name: [row.frame for row in rows] for name, rows in ROWS.items()}


class Splicer:
    """A device that says what its golden frames say, on a wire that joins, cuts and mixes them."""

    def __init__(self, name: str, seed: int) -> None:
        self.hands: Hands = {}
        self.said = self.spliced = 0
        self._spec, self._rng = SPECS[name], random.Random(f"splice {name} {seed}")
        self._by_request: dict[str, list[bytes]] = {}
        for row in ROWS[name]:
            self._by_request.setdefault(row.request or "", []).append(row.frame)
        self._foreign = [frame for other, of_it in OTHERS.items() if other != name for frame in of_it]
        self._names = {one.frame: one.name for one in self._spec.requests if isinstance(one, FrameRequest)}
        self._since_s = 0.0

    def connect(self) -> None: ...

    def step(self, dt_s: float) -> bytes:
        self._since_s += dt_s
        if self._since_s < STREAM_EVERY_S or "" not in self._by_request:
            return b""
        self._since_s = 0.0
        return self._transmission(self._by_request[""])

    def feed(self, data: bytes) -> bytes:
        answers = self._by_request.get(self._names.get(data, "-"))
        return self._transmission(answers) if answers else b""

    def _transmission(self, answers: Sequence[bytes]) -> bytes:
        self.said += 1
        rng = self._rng
        one = rng.choice(answers)
        if rng.random() < GOOD_SHARE:
            return one * rng.randint(1, 3) if rng.random() < 0.3 else one
        self.spliced += 1
        other, foreign, noise = rng.choice(answers), rng.choice(self._foreign), rng.randbytes(rng.randint(1, 12))
        cut, again, in_it = rng.randint(0, len(one)), rng.randint(0, len(other)), rng.randint(0, len(foreign))
        return rng.choice((
            one[:cut] + other[again:], one[:cut] + noise + one[cut:], one[:cut] + foreign + one[cut:],
            one[:cut] + foreign[in_it:] + other, foreign[:in_it] + one, foreign + one[cut:] + other, one[:cut],
            noise + one, one[:cut] + one[min(cut + 1, len(one)):], one[:cut] + other[min(cut, len(other)):], foreign))


@pytest.mark.parametrize("name", SPECS)
def test_no_number_that_no_frame_held(name: str) -> None:
    device = Splicer(name, 1)
    run = DialogueRun(SPECS[name], device)
    run.open()
    wrong: list[tuple[int, str, float]] = []
    kept = 0
    while device.said < TRANSMISSIONS:
        before = device.said
        run.run(100)
        for at_s, one in run.inputs:
            for sample in getattr(one, "samples", ()):
                if sample.validity == "valid" and sample.value is not None:
                    kept += 1
                    if not is_held(name, sample.metric, sample.value):
                        wrong.append((round(at_s), sample.metric, sample.value))
        run.forget()
        assert device.said > before
    most = 2 * PASS * device.spliced if name in WEAK else 0
    assert len(wrong) <= most, wrong
    assert {metric for _, metric, _ in wrong} <= passing(name).keys()
    print(f"{name}: {device.said} transmissions, {kept} valid numbers")


CUFFS = {name for name, spec in SPECS.items() if spec.kind == "nibp"}  # few numbers: nothing moves between two lines


@pytest.mark.parametrize("name", sampled(((name,) for name in SPECS if name not in CUFFS), 3))
def test_what_passes_of_small_steps_is_what_the_card_says(name: str) -> None:
    """One transmission in ten joined with one of a moment ago."""
    may = passing(name)
    for metric, far in furthest(name, SMALL_STEPS).items():
        assert metric in may, f"{name}: {metric} passed, {far:g} from the truth, and its card does not say so"
        assert far <= may[metric]


@pytest.mark.parametrize("name", SPECS)
def test_the_card_says_what_passes_in_one_sentence(name: str) -> None:
    said = [line for line in card(SPECS[name]).splitlines() if line.startswith("what a bad wire can get through: ")]
    weak = SPECS[name].weak
    assert len(said) == (weak is not None)
    if weak is not None:
        assert passing(name) or weak.wave or weak.alike
        assert weak.wave is ("its wave" in said[0])
    for metric, far in passing(name).items():
        words = "a volume that the pump could have come to" if metric == VOLUME else (
            f"{METRICS[metric].label} within {far:g} {METRICS[metric].unit} of the last")
        assert words in said[0]


NEAR: list[tuple[str, dict[str, object], str, float]] = [
    ("masimo_ascii", {}, "pulse_bpm", 97.0), ("masimo_ascii", {}, "spo2_pct", 96.0),
    ("nellcor_ascii", {}, "pulse_bpm", 97.0), ("nellcor_ascii", {}, "spo2_pct", 95.0),
    ("capnostream", {}, "pulse_bpm", 97.0), ("capnostream", {}, "resp_bpm", 14.0),
    ("nonin", {"format": "df8"}, "pulse_bpm", 93.0), ("nonin", {"format": "df8"}, "spo2_pct", 95.0)]


@pytest.mark.parametrize(("name", "chosen", "metric", "value"), NEAR)
@pytest.mark.parametrize("beyond", [0, 1])
def test_so_far_and_no_further_counts_at_once(
        name: str, chosen: dict[str, object], metric: str, value: float, beyond: int) -> None:
    """What the card says of each number, at its limit and one more."""
    patient = StillPatient()
    setattr(patient, metric, value)
    run = DialogueRun(SPECS[name], simulators.find()[name].make(patient, 1), settings=chosen)
    run.open()
    run.run(30)
    run.forget()
    now = value + passing(name)[metric] + beyond
    setattr(patient, metric, now)
    run.run(10)
    first = next(sample for _, sample in run.samples(metric) if sample.value == now)
    assert first.validity == ("questionable" if beyond else "valid")
