"""How the tests talk to the Nonin driver: with its table's frames, and with its twin for minutes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from drivers.contract import BadFrame, Driver, Heard, Reading
from drivers.nonin import DRIVER
from drivers.nonin_frames import PACKET
from simulators.nonin import NoninTwin
from tests.golden_table import heard

FORMATS = ("df2", "df7", "df8", "df13")
STREAMS = ("df2", "df7", "df8")
PACKETS = [row for row in heard("nonin") if len(row.frame) == PACKET and not row.bad]
GOOD = [row for row in heard("nonin") if not row.bad]
FOUR = bytes.fromhex("80486100")  # format 8: pulse 72, SpO2 97


@dataclass
class Finger:
    """A patient who holds still."""

    spo2_pct: float | None = 97.2
    pulse_bpm: float | None = 72.4
    perfusion_index_pct: float | None = 2.0
    sbp_mmhg: float | None = None
    dbp_mmhg: float | None = None
    map_mmhg: float | None = None
    resp_bpm: float | None = None

    def step(self, dt_s: float) -> None: ...

    def infuse(self, rate_ml_h: float) -> None: ...

    def pleth(self, t_s: float) -> float:
        return 0.25 + t_s % 0.5


def twin_of(format_: str, patient: Finger | None = None) -> NoninTwin:
    twin = NoninTwin(patient or Finger())
    twin.format = format_
    twin.connect()
    return twin


def listen(driver: Driver, data: bytes) -> list[Heard]:
    """What is heard in these bytes; bad frames are dropped as the link drops them."""
    found: list[Heard] = []
    for frame in driver.framing.feed(data):
        try:
            found += driver.hear(frame, None)
        except BadFrame:
            continue
    return found


def told(twin: NoninTwin, driver: Driver, seconds: float, dt_s: float = 0.05) -> Iterator[tuple[float, Heard]]:
    for n in range(round(seconds / dt_s)):
        for item in listen(driver, twin.step(dt_s)):
            yield (n + 1) * dt_s, item


def readings(items: list[Heard], metric: str) -> list[Reading]:
    return [item for item in items if isinstance(item, Reading) and item.metric == metric]


def started(format_: str = "df7") -> Driver:
    driver = DRIVER.driver({"format": format_})
    driver.start()
    return driver
