"""What tells a device's answers from those of another one of its kind, by card and measure: two of them change places
while the line stays open, and after it was opened anew.
"""

from __future__ import annotations

from typing import cast

import pytest

import drivers
import simulators
from edge.app.card import card
from edge.model import Samples
from simulators.contract import Hands, Twin
from tests.helpers.dialogue_run import DialogueRun, StillPatient
from tests.helpers.parts import sampled

SPECS = {name: spec for name, spec in drivers.find().items() if not spec.transports[0].startswith("modbus")}
SAYS = {"always": "which comes with its numbers", "opening": "asked for at each opening", "": "nothing: whole answers"}
OF_ANOTHER = {"spo2_pct": 91.0, "pulse_bpm": 120.0, "rate_ml_h": 20.0, "sbp_mmhg": 171.0}


NO_NUMBER = frozenset({"dinamap_binary"})  # of what is compared here


class Changed:
    """One twin, and the other one once they have changed places; both hear all that is asked."""

    def __init__(self, one: Twin, other: Twin) -> None:
        self.twins, self.there = (one, other), 0
        self.hands: Hands = one.hands

    def connect(self) -> None:
        for twin in self.twins:
            twin.connect()

    def step(self, dt_s: float) -> bytes:
        return [twin.step(dt_s) for twin in self.twins][self.there]

    def feed(self, data: bytes) -> bytes:
        said = [twin.feed(data) for twin in self.twins]
        return said[self.there]


def pair(name: str) -> Changed:
    patient = StillPatient()
    for key in ("spo2_pct", "pulse_bpm", "sbp_mmhg"):
        setattr(patient, key, OF_ANOTHER[key])
    make = simulators.find()[name].make
    one, other = (cast("Twin", make(who, seed)) for who, seed in ((StillPatient(), 1), (patient, 2)))
    if hasattr(other, "rate_ml_h"):
        other.rate_ml_h = OF_ANOTHER["rate_ml_h"]
    for twin in (one, other):
        for hand in ("program", "start"):
            twin.hands.get(hand, lambda: None)()
    return Changed(one, other)


def shown(run: DialogueRun) -> bool:
    """Whether a number of the other one was."""
    return any(sample.value == OF_ANOTHER.get(sample.metric) for _, one in run.inputs if isinstance(one, Samples)
               for sample in one.samples)


@pytest.mark.parametrize("name", sampled(((name,) for name in SPECS), 5))
def test_the_card_says_what_tells_one_from_another(name: str) -> None:
    names_itself = SPECS[name].names_itself
    begins = "what tells it from another such device: "
    said = [line for line in card(SPECS[name]).splitlines() if line.startswith(begins)]
    assert len(said) == 1
    assert SAYS[names_itself] in said[0]
    two = pair(name)
    run = DialogueRun(SPECS[name], two)
    run.open()
    run.run(40)
    assert not shown(run)
    two.there = 1
    run.run(40)
    assert shown(run) is (names_itself != "always" and name not in NO_NUMBER)
    if names_itself:
        run.forget()
        run.open()
        run.run(20)
        assert not shown(run)
        assert run.dialogue.state == "wrong_device"
