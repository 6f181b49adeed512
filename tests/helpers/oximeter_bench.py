"""How the tests listen to an oximeter: a patient who holds still, and what a driver makes of what the twin sends."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from drivers.contract import BadFrame, Decoded, Driver
from simulators.contract import Twin


@dataclass
class Finger:
    """A patient who holds still."""

    spo2_pct: float | None = 97.2
    pulse_bpm: float | None = 72.4
    perfusion_index_pct: float | None = 2.35
    sbp_mmhg: float | None = None
    dbp_mmhg: float | None = None
    map_mmhg: float | None = None
    resp_bpm: float | None = None

    def step(self, dt_s: float) -> None: ...

    def infuse(self, rate_ml_h: float) -> None: ...

    def pleth(self, t_s: float) -> float:
        return 0.25 + t_s % 0.5


def listen(driver: Driver, data: bytes) -> list[Decoded]:
    """What is heard in these bytes; bad frames are dropped as the link drops them."""
    found: list[Decoded] = []
    for frame in driver.framing.feed(data):
        try:
            found += driver.decode(frame, None)
        except BadFrame:
            continue
    return found


def told(driver: Driver, twin: Twin, seconds: float, dt_s: float = 0.05) -> Iterator[tuple[float, Decoded]]:
    """What is heard of the twin while it lives so long, and when."""
    for n in range(round(seconds / dt_s)):
        for item in listen(driver, twin.step(dt_s)):
            yield (n + 1) * dt_s, item
