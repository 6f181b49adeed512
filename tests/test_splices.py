"""Frames spliced with noise, with each other and with other devices', cut anywhere: no valid number that no whole frame
of the device held, but where the check of a protocol lets one in 256 pass and nothing says the number twice. (That two
whole frames bring every framing in step again: test_parsers.py.)

`VIGIL_SPLICES=100000 pytest tests/test_splices.py -m ""` takes so many transmissions a driver.
"""

from __future__ import annotations

import os
import random
from collections.abc import Mapping, Sequence
from functools import cache

import pytest

import drivers
from drivers.contract import BadFrame, Decoded, FrameRequest, Reading, Spec
from edge.vocabulary import METRICS
from simulators.contract import Hands
from tests.helpers.dialogue_run import DialogueRun
from tests.helpers.golden_table import Row, frames

TRANSMISSIONS = int(os.environ.get("VIGIL_SPLICES", "150"))
SPECS = {name: spec for name, spec in drivers.find().items() if not spec.transports[0].startswith("modbus")}
ROWS = {name: [row for row in frames(name) if not row.bad] for name in SPECS}
GOOD_SHARE = 0.7
STREAM_EVERY_S = 1.0
WEAK = {  # and which numbers
    "graseby_3400": "a sum of 8 bits: the volume, near the last one",
    "masimo_ascii": "no check: the perfusion index, near the last one",
    "par_nibp": "no check: the pressure while the cuff moves, which says no more than that it is up",
}
PASS = 1 / 256
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
    wrong: list[object] = []
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
    print(f"{name}: {device.said} transmissions, {kept} valid numbers")
