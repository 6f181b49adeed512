"""How the tests with_twin to the SunTech driver: by hand, question by question, or with its twin for hours."""

from __future__ import annotations

from drivers.contract import Decoded, FrameRequest, Reading
from drivers.kit.cuffs import DETERMINATION
from drivers.suntech_advantage import DRIVER, Advantage
from drivers.suntech_advantage.frames import reply
from drivers.suntech_advantage.requests import BP_DATA, CUFF, STARTS, STATUS, VERSION
from simulators.suntech_advantage import AdvantageTwin, ack
from tests.helpers.dialogue_run import DialogueRun, StillPatient
from tests.helpers.golden_table import frames

REQUESTS = {request.name: request for request in DRIVER.requests}
ROWS = frames("suntech_advantage")
GOOD = next(row.frame for row in ROWS if row.name.startswith("115/74"))
START = STARTS["adult"]
EMPTY = reply(bytes(2))
HEALTHY = reply(bytes(2))
UP = reply((150).to_bytes(2, "little"))


def new(**settings: object) -> Advantage:
    driver = DRIVER.driver(settings)
    assert isinstance(driver, Advantage)
    return driver


class Bench:
    """Asks and answers a driver by hand. Edge time moves 0.4 s with every question."""

    def __init__(self, **settings: object) -> None:
        self.driver = new(**{"start_s": 0.0, **settings})
        self.at_s = 1000.0
        self.greet()

    def greet(self) -> None:
        for say in self.driver.on_open():
            self.driver.decode(ack("K"), say if say is VERSION else None)

    def next(self) -> FrameRequest | None:
        self.at_s += 0.4
        request = self.driver.next_request(self.at_s)
        assert request is None or isinstance(request, FrameRequest)
        return request

    def until(self, wanted: FrameRequest, answers: dict[FrameRequest, bytes], most: int = 2000) -> list[Decoded]:
        """Answer whatever is asked until `wanted` is; what was heard on the way."""
        told: list[Decoded] = []
        for _ in range(most):
            request = self.next()
            if request is wanted:
                return told
            if request is not None:
                assert request in answers, f"{request.name} was not expected before {wanted.name}"
                told += self.driver.decode(answers[request], request)
        raise AssertionError(f"{wanted.name} was never asked")

    def measuring(self) -> None:
        """Up to a started determination with the cuff up."""
        self.until(START, {STATUS: HEALTHY, CUFF: EMPTY})
        self.driver.decode(ack("O"), START)
        for _ in range(3):
            assert self.next() is CUFF
            self.driver.decode(UP, CUFF)

    def result(self, frame: bytes) -> list[Decoded]:
        """A determination that ends with K and this result."""
        self.measuring()
        self.driver.decode(ack("K"), None)
        told = self.until(BP_DATA, {CUFF: EMPTY})
        return [*told, *self.driver.decode(frame, BP_DATA)]


def with_twin(**settings: object) -> tuple[DialogueRun, AdvantageTwin, StillPatient]:
    patient = StillPatient()
    twin = AdvantageTwin(patient, 1)
    run = DialogueRun(DRIVER, twin, settings)
    run.open()
    return run, twin, patient


def determinations(run: DialogueRun) -> list[tuple[float, tuple[Reading, ...]]]:
    """Every batch of the four readings; fails where they do not come together."""
    found = []
    for at_s, batch in run.decoded:
        four = tuple(one for one in batch if isinstance(one, Reading) and one.metric in DETERMINATION)
        if four:
            assert tuple(one.metric for one in four) == DETERMINATION
            found.append((at_s, four))
    return found


def starts(run: DialogueRun) -> list[float]:
    return run.times(START.name)
