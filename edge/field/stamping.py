"""What a driver decoded, as inputs of a bed: stamped with bed, device and time, and refused where it cannot be."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from drivers.contract import Decoded, DeviceAlarms, Pump, Reading, Wave
from edge.field.link_state import Counters
from edge.model import DeviceAlarm, DeviceAlarmsReported, Input, PumpStatus, Sample, Samples
from edge.vocabulary import METRICS, WAVES


def inputs(bed: str, device: str, items: Sequence[Decoded], at_s: float, counters: Counters,
           wave: Callable[[Wave, float], None]) -> list[Input]:
    """`items` of one frame as inputs, all samples together; waveforms go to `wave`. What is implausible is counted."""
    readings = tuple(_sample(bed, device, item, at_s, counters) for item in items if isinstance(item, Reading))
    stamped: list[Input] = [Samples(device, readings)] if readings else []
    for item in items:
        if isinstance(item, Pump):
            stamped.append(PumpStatus(device, item.state))
        elif isinstance(item, DeviceAlarms):
            alarms = tuple(DeviceAlarm(one.code, one.priority, one.raw, one.text) for one in item.alarms)
            stamped.append(DeviceAlarmsReported(device, alarms))
        elif isinstance(item, Wave):
            assert item.name in WAVES, f"{device}: the driver decodes an unknown wave {item.name!r}"
            wave(item, at_s)
    return stamped


def _sample(bed: str, device: str, reading: Reading, at_s: float, counters: Counters) -> Sample:
    assert reading.metric in METRICS, f"{device}: the driver decodes an unknown metric {reading.metric!r}"
    metric, value = METRICS[reading.metric], reading.value
    if value is not None and not (math.isfinite(value) and metric.low <= value <= metric.high):
        counters.bad += 1
        return Sample(bed, device, metric.key, None, "invalid", at_s, "implausible")
    if value is None and reading.validity.value in ("valid", "questionable"):
        return Sample(bed, device, metric.key, None, "unavailable", at_s, reading.reason)
    if value is not None:  # a whole number and its float are written differently, and a replay reads floats
        value = float(value) if reading.validity.value in ("valid", "questionable") else None
    return Sample(bed, device, metric.key, value, reading.validity.value, at_s, reading.reason)
