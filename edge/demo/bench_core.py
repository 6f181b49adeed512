"""`vigil bench --core`: what judging costs, apart from wires, disk and network.

A session of a pump, a cuff and an oximeter is told once (precheck, infusion, recovery), second by second, and its
inputs are kept; then they go through a fresh bed with every default rule, and processor time is taken.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass

from edge.core.bedside import Bedside
from edge.core.protocols import parse_protocols
from edge.core.rules import parse_rules
from edge.core.stories import run_story
from edge.core.story_bed import BED, DEVICES
from edge.demo.configuration import protocols_file, rules_file
from edge.model import Input, Samples

MINUTES = 120
RUNS = 3  # the best counts: what a neighbour took is not the core's
STORY = "given infusing\n{minutes}:00 spo2 97 -> nothing\n"


@dataclass(frozen=True, slots=True)
class Core:
    """What one session cost."""

    minutes: int
    rules: int
    inputs: int
    samples: int
    events: int
    seconds: float  # of processor

    @property
    def samples_a_second(self) -> float:
        """How many of its samples one core judges in a second."""
        return self.samples / self.seconds


def measure(minutes: int = MINUTES) -> Core:
    """The best of some runs of the same session."""
    rules, protocols = parse_rules(rules_file().read_text()), parse_protocols(protocols_file().read_text())
    told: list[tuple[Input, float]] = []
    run_story(STORY.format(minutes=minutes), "bench", rules, "RES-1", protocols,
              heard=lambda given, at_s: told.append((given, at_s)))
    found = []
    for _ in range(RUNS):
        bed, events, began_s = Bedside(BED, DEVICES, rules, protocols=protocols), 0, time.process_time()
        for given, at_s in told:
            events += len(bed.apply(given, at_s))
        samples = sum(len(given.samples) for given, _ in told if isinstance(given, Samples))
        found.append(Core(minutes, len(rules.rules), len(told), samples, events, time.process_time() - began_s))
    return min(found, key=lambda one: one.seconds)


def run_core(as_json: bool) -> int:
    """Measure and print it."""
    core = measure()
    if as_json:
        print(json.dumps({"core": {"minutes": core.minutes, "rules": core.rules, "inputs": core.inputs,
                                   "samples": core.samples, "events": core.events,
                                   "processor_s": round(core.seconds, 3),
                                   "samples_a_second": round(core.samples_a_second)}}))
    else:
        print(f"the core: a session of {core.minutes} min, {core.inputs} inputs with {core.samples} samples,"
              f" {core.rules} rules, {core.events} events: {core.seconds:.2f} s of processor,"
              f" {core.samples_a_second:.0f} samples a second on one core")
    return 0
