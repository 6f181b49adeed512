"""How the tests talk to the Nonin driver: with its table's frames, and with its twin for minutes."""

from __future__ import annotations

from drivers.contract import Decoded, Driver, Reading
from drivers.nonin import DRIVER
from drivers.nonin.frames import PACKET
from simulators.nonin import NoninTwin
from tests.helpers.golden_table import frames
from tests.helpers.oximeter_bench import Finger

FORMATS = ("df2", "df7", "df8", "df13")
STREAMS = ("df2", "df7", "df8")
PACKETS = [row for row in frames("nonin") if len(row.frame) == PACKET and not row.bad]
GOOD = [row for row in frames("nonin") if not row.bad]
FOUR = bytes.fromhex("80486100")  # format 8: pulse 72, SpO2 97


def twin_of(format_: str, patient: Finger | None = None) -> NoninTwin:
    twin = NoninTwin(patient or Finger())
    twin.format = format_
    twin.connect()
    return twin


def readings(items: list[Decoded], metric: str) -> list[Reading]:
    return [item for item in items if isinstance(item, Reading) and item.metric == metric]


def started(format_: str = "df7") -> Driver:
    driver = DRIVER.driver({"format": format_})
    driver.on_open()
    return driver
