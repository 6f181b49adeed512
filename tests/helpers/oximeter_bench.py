"""How the tests listen to an oximeter or monitor: a patient who holds still, what a driver makes of what the twin
sends, and frames with one bad byte."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from drivers.contract import BadFrame, Decoded, DeviceAlarms, Driver, Reading, Spec, Validity
from simulators.contract import Twin
from tests.helpers.dialogue_run import DialogueRun


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
    samples: int = 0  # of the pulse wave, so far

    def step(self, dt_s: float) -> None: ...

    def infuse(self, rate_ml_h: float) -> None: ...

    def pleth(self, t_s: float) -> float:
        self.samples += 1
        return 0.5 + 0.25 * math.sin(self.samples / 8.3)


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


def started(spec: Spec) -> Driver:
    """A driver whose line was opened."""
    driver = spec.driver()
    driver.on_open()
    return driver


def last(items: Iterable[Decoded]) -> dict[str, tuple[float | None, Validity, str | None]]:
    """The newest reading of each metric: value, validity, reason."""
    return {item.metric: (item.value, item.validity, item.reason) for item in items if isinstance(item, Reading)}


def all_of(run: DialogueRun) -> list[Decoded]:
    """All that was decoded since the last `forget`."""
    return [item for _, batch in run.decoded for item in batch]


def alarms(run: DialogueRun) -> list[list[str]]:
    """The device's own codes of each set of alarms it reported."""
    return [[alarm.raw for alarm in item.alarms] for item in all_of(run) if isinstance(item, DeviceAlarms)]


def opened(spec: Spec, twin: Twin, seconds: float = 0.0, settings: Mapping[str, object] | None = None) -> DialogueRun:
    """A dialogue with this twin that has run for so long."""
    run = DialogueRun(spec, twin, settings or {})
    run.open()
    run.run(seconds)
    return run


def spoiled(frame: bytes) -> Iterator[bytes]:
    """The frame with each bit flipped, each byte lost, each byte doubled, one at a time."""
    for at in range(len(frame)):
        middles = [bytes((frame[at] ^ 1 << bit,)) for bit in range(8)]
        for middle in (*middles, b"", frame[at : at + 1] * 2):
            yield frame[:at] + middle + frame[at + 1 :]
