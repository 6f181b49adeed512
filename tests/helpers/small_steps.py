"""A device whose numbers move a little, on a wire that joins what it says with what it said a moment ago: what a check
cannot see lies near the truth, if anywhere.

What a sample says is held to every number that whole transmissions held within the last `STALE_S`.
"""

from __future__ import annotations

import random
from collections import defaultdict, deque
from typing import cast

import drivers
import simulators
from drivers.contract import BadFrame, FrameRequest, Reading, Request, Spec
from edge.vocabulary import METRICS
from simulators.contract import Hands, Twin
from tests.helpers.dialogue_run import DialogueRun, StillPatient

STALE_S = 15.0
GOOD_SHARE = 0.9
RECENT = 6  # transmissions that may be joined with the one of now
CHUNK_S = 0.1  # of a stream
TURN_S, REFILL_S, LONGEST_S = 5.0, 100.0, 30.0


class Wandering(StillPatient):
    """Each number goes a little way, and another way after some time."""

    def __init__(self, rng: random.Random) -> None:
        super().__init__()
        self._rng = rng
        self._since_s = 0.0
        self._at, self._to = [0.0] * 5, [0.0] * 5  # -1 to 1

    def step(self, dt_s: float) -> None:
        self._since_s += dt_s
        if self._since_s < 1.0:
            return
        self._since_s = 0.0
        for number, at in enumerate(self._at):
            if self._rng.random() < 0.02:
                self._to[number] = self._rng.uniform(-1, 1)
            move = max(-0.04, min(0.04, self._to[number] - at))
            self._at[number] += move + self._rng.uniform(-0.02, 0.02)
        spo2, pulse, index, breath, gas = self._at
        self.spo2_pct, self.pulse_bpm = min(100.0, 94 + 7 * spo2), 90 + 35 * pulse
        self.perfusion_index_pct = max(0.3, 4 + 3 * index)
        self.resp_bpm, self.etco2_mmhg = 15 + 8 * breath, 36 + 12 * gas


class Joining:
    """A twin on such a wire."""

    def __init__(self, spec: Spec, twin: Twin, rng: random.Random) -> None:
        self.hands: Hands = twin.hands
        self.said = self.joined = 0
        self.now_s = 0.0
        self.truth: deque[tuple[float, str, float]] = deque()
        self._twin, self._rng = twin, rng
        self._past: dict[bytes, deque[bytes]] = defaultdict(lambda: deque(maxlen=RECENT))
        self._reader, self._framing = spec.driver(), spec.driver().framing
        self._requests = {one.frame: one for one in spec.requests if isinstance(one, FrameRequest)}
        self._streamed, self._since_s = b"", 0.0

    def connect(self) -> None:
        self._twin.connect()

    def step(self, dt_s: float) -> bytes:
        self.now_s += dt_s
        self._since_s += dt_s
        self._streamed += self._twin.step(dt_s)
        if not self._streamed or self._since_s < CHUNK_S - 1e-6:
            return b""
        one, self._streamed, self._since_s = self._streamed, b"", 0.0
        return self._through(b"", one, None)

    def feed(self, data: bytes) -> bytes:
        one = self._twin.feed(data)
        return self._through(data, one, self._requests.get(data)) if one else b""

    def _through(self, asked: bytes, one: bytes, request: Request | None) -> bytes:
        self.said += 1
        self._note(one, request)
        before = list(self._past[asked])
        self._past[asked].append(one)
        if not before or self._rng.random() < GOOD_SHARE:
            return one
        self.joined += 1
        return self._spoilt(one, self._rng.choice(before))

    def _spoilt(self, one: bytes, other: bytes) -> bytes:
        rng = self._rng
        if rng.random() < 0.5:
            one, other = other, one
        cut, again, noise = rng.randint(0, len(one)), rng.randint(0, len(other)), rng.randbytes(rng.randint(1, 3))
        return rng.choice((
            one[:cut] + other[again:], one[:cut] + other[cut:], one[:cut] + other, one[:cut] + one[cut + 1 :],
            one[:cut] + noise + one[cut:], one[:cut] + noise + one[cut + len(noise) :],
            one[: cut // 2] + one[cut // 2 + 1 : cut // 2 + 2] + one[cut // 2 : cut // 2 + 1] + one[cut // 2 + 2 :]))

    def _note(self, one: bytes, request: Request | None) -> None:
        for frame in self._framing.feed(one):
            for way in (request, None):
                try:
                    self.truth += [(self.now_s, reading.metric, reading.value)
                                   for reading in self._reader.decode(frame, way)
                                   if isinstance(reading, Reading) and reading.value is not None]
                except BadFrame:
                    continue
        while self.truth and self.truth[0][0] < self.now_s - STALE_S:
            self.truth.popleft()


def furthest(name: str, transmissions: int, seed: int = 1) -> dict[str, float]:
    """How far a valid number was from every one that was said, at most, of each number that was wrong."""
    spec, rng = drivers.find()[name], random.Random(f"small steps {name} {seed}")
    patient = Wandering(rng)
    device = Joining(spec, cast("Twin", simulators.find()[name].make(patient, seed)), rng)
    for hand in ("program", "start"):
        device.hands.get(hand, lambda: None)()
    run = DialogueRun(spec, device, living=patient.step)
    run.open()
    found: dict[str, float] = {}
    while device.said < transmissions:
        run.run(TURN_S)
        assert run.at_s < LONGEST_S * transmissions, "it says next to nothing"
        if run.at_s % REFILL_S < TURN_S:
            for hand in ("load", "start"):
                device.hands.get(hand, lambda: None)()
        _hold(run, device, found)
        run.forget()
    return found


def _hold(run: DialogueRun, device: Joining, found: dict[str, float]) -> None:
    for _, one in run.inputs:
        for sample in getattr(one, "samples", ()):
            if sample.validity != "valid" or sample.value is None:
                continue
            off = min((abs(value - sample.value) for _, metric, value in device.truth if metric == sample.metric),
                      default=0.0)
            if off > 0.6 * 10 ** -METRICS[sample.metric].decimals:
                found[sample.metric] = max(found.get(sample.metric, 0.0), round(off, 3))
