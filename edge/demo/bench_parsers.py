"""`vigil bench --parsers`: what a byte costs each driver's framing, of its device and of a flood of noise.

The bytes are what the driver's twin sends in a minute, in the pieces in which it sends them, and as many random ones in
pieces of a read. Processor time, the best of some runs. A Modbus driver has no framing of its own.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import cast

import drivers
import simulators
from drivers.contract import FrameRequest, Framing, Spec
from edge.field.dialogue import Dialogue
from simulators.contract import Twin
from simulators.patient import SimulatedPatient

SECONDS, STEP_S = 60.0, 0.05
LEAST_BYTES = 20_000  # what is timed at least; fewer are fed again
PIECE = 64  # bytes of noise that come together
RUNS = 3  # the best counts: what a neighbour took is not the parser's


@dataclass(frozen=True, slots=True)
class Parser:
    """One driver's framing: microseconds of processor for a byte."""

    name: str
    frames_us: float
    noise_us: float


def sent_by_its_twin(spec: Spec, seconds: float = SECONDS) -> list[bytes]:
    """What the device sends in so many seconds, asked as the edge asks it."""
    twin = cast("Twin", simulators.find()[spec.name].make(SimulatedPatient(1), 1))
    clock, pieces = [0.0], list[bytes]()
    dialogue = Dialogue("bench", "device", spec, spec.line, now=lambda: clock[0],
                        decoded=lambda given, at_s, more: None, wave=lambda wave, at_s: None)
    twin.connect()
    dialogue.opened(0.0, 0.0)
    while clock[0] < seconds:
        clock[0] += STEP_S
        said = twin.step(STEP_S)
        request = dialogue.next_request(clock[0], clock[0])
        for data in (said, twin.feed(request.frame) if isinstance(request, FrameRequest) else b""):
            if data:
                pieces.append(data)
                dialogue.received(data, clock[0], clock[0])
    return pieces


def cost_us(framing: Callable[[], Framing], pieces: Sequence[bytes], least: int = LEAST_BYTES) -> float:
    """Microseconds a byte."""
    length = sum(map(len, pieces))
    rounds = -(-least // max(length, 1))
    found = []
    for _ in range(RUNS):
        one, began_s = framing(), time.process_time()
        for _ in range(rounds):
            for piece in pieces:
                one.feed(piece)
        found.append((time.process_time() - began_s) / max(rounds * length, 1))
    return 1e6 * min(found)


def measure(names: Sequence[str] = (), seconds: float = SECONDS, least: int = LEAST_BYTES) -> list[Parser]:
    """Each of these, or every driver on a byte stream."""
    rng = random.Random("noise")
    noise = [rng.randbytes(PIECE) for _ in range(-(-least // PIECE))]
    found = []
    for name, spec in drivers.find().items():
        if spec.transports[0].startswith("modbus") or (names and name not in names):
            continue

        def framing(spec: Spec = spec) -> Framing:
            driver = spec.driver()
            driver.on_open()
            return driver.framing

        found.append(Parser(name, round(cost_us(framing, sent_by_its_twin(spec, seconds), least), 3),
                            round(cost_us(framing, noise, least), 3)))
    return found


def run_parsers(as_json: bool) -> int:
    """Measure and print them."""
    parsers = measure()
    if as_json:
        print(json.dumps({"parsers": [{"driver": one.name, "frames_us_a_byte": one.frames_us,
                                       "noise_us_a_byte": one.noise_us} for one in parsers]}))
        return 0
    print("microseconds of processor a byte   its device's   noise")
    for one in parsers:
        print(f"  {one.name:32} {one.frames_us:12.2f} {one.noise_us:7.2f}")
    return 0
