"""How the tests talk to the Contec driver: with the recorded session's frames, and with its twin for minutes."""

from __future__ import annotations

from pathlib import Path

from drivers.contec_cms60 import DRIVER, START
from drivers.contract import Decoded, Driver, Reading
from simulators.capture import Capture
from simulators.contec_cms60 import ContecTwin
from tests.helpers.golden_table import frames
from tests.helpers.oximeter_bench import Finger

SESSION = Capture.read(Path(__file__).parent.parent / "golden" / "cms60c_session.jsonl")
GOOD = [row for row in frames("contec_cms60") if not row.bad]
NUMBER = bytes.fromhex("01 E0 86 BC 97 D2 E1 FF FF")  # pulse 82, SpO2 97
PROBE_ERROR = bytes.fromhex("01 E9 94 C0 95 FF FF FF FF")
FREE = bytes.fromhex("0C 80")
LOW = bytes.fromhex("01 E0 A7 BC 97 D2 D4 FF FF")  # pulse 82, SpO2 84, and the device's own alarm


def started() -> Driver:
    driver = DRIVER.driver()
    driver.on_open()
    return driver


def opened(patient: Finger | None = None) -> tuple[Driver, ContecTwin]:
    """A driver and a twin whose stream runs."""
    driver, twin = started(), ContecTwin(patient or Finger())
    twin.connect()
    assert twin.feed(START.frame) == b""
    return driver, twin


def of(items: list[Decoded], metric: str) -> list[tuple[float | None, str, str | None]]:
    return [(item.value, item.validity.value, item.reason)
            for item in items if isinstance(item, Reading) and item.metric == metric]
