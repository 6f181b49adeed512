"""How the tests talk to the Contec driver: with the recorded session's frames, and with its twin for minutes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from drivers.contec_cms60 import DRIVER, START
from drivers.contract import BadFrame, Driver, Heard, Reading
from simulators.capture import Capture
from simulators.contec_cms60 import ContecTwin
from tests.golden_table import heard

SESSION = Capture.read(Path(__file__).parent / "golden" / "cms60c_session.jsonl")
GOOD = [row for row in heard("contec_cms60") if not row.bad]
NUMBER = bytes.fromhex("01 E0 86 BC 97 D2 E1 FF FF")  # pulse 82, SpO2 97
PROBE_ERROR = bytes.fromhex("01 E9 94 C0 95 FF FF FF FF")
FREE = bytes.fromhex("0C 80")
LOW = bytes.fromhex("01 E0 A7 BC 97 D2 D4 FF FF")  # pulse 82, SpO2 84, and the device's own alarm


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


def listen(driver: Driver, data: bytes) -> list[Heard]:
    """What is heard in these bytes; bad frames are dropped as the link drops them."""
    found: list[Heard] = []
    for frame in driver.framing.feed(data):
        try:
            found += driver.hear(frame, None)
        except BadFrame:
            continue
    return found


def started() -> Driver:
    driver = DRIVER.driver()
    driver.start()
    return driver


def opened(patient: Finger | None = None) -> tuple[Driver, ContecTwin]:
    """A driver and a twin whose stream runs."""
    driver, twin = started(), ContecTwin(patient or Finger())
    twin.connect()
    assert twin.feed(START.frame) == b""
    return driver, twin


def told(driver: Driver, twin: ContecTwin, seconds: float, dt_s: float = 0.05) -> Iterator[tuple[float, Heard]]:
    for n in range(round(seconds / dt_s)):
        for item in listen(driver, twin.step(dt_s)):
            yield (n + 1) * dt_s, item


def of(items: list[Heard], metric: str) -> list[tuple[float | None, str, str | None]]:
    return [(item.value, item.validity.value, item.reason)
            for item in items if isinstance(item, Reading) and item.metric == metric]  # fmt: skip
