"""The dose: what each pump's own counter grew by, added up; and at which rate the pumps of a bed run.

A counter is believed for one pump only, and only as far as a pump can have delivered since it was read last. Whatever
else it shows (another pump's total, a glitch) is where counting goes on from, and no dose.
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec.structs import replace

from edge.core.plausible import as_number
from edge.core.state import BedState, Device
from edge.model import Sample
from edge.vocabulary import METRICS

COUNTER_NOISE_ML = 0.5  # a counter that falls by less was rounded, not cleared; counting it anew doubles the dose
SPARE_ML = 1.0  # a reading may be late, a small bolus may have gone in


def count(state: BedState, samples: Iterable[Sample]) -> None:
    """Take in the rate and the own total that a pump reports."""
    for sample in samples:
        device = state.devices.get(sample.device)
        if device is None:
            continue
        if sample.metric == "rate_ml_h" and sample.validity != "measuring":
            _rate(device, sample)
        elif sample.metric == "volume_infused_ml" and sample.validity == "valid" and sample.value is not None:
            grown_ml = _grown(device, sample.value, sample.at_s)
            current = state.session
            if current is not None and grown_ml and not state.no_pump:
                state.session = replace(current, delivered_ml=current.delivered_ml + grown_ml)


def _rate(device: Device, sample: Sample) -> None:
    """The last valid rate is kept; one that is not valid makes it unknown now."""
    value = as_number(sample)
    if value is None:
        device.rate_at_s = 0.0
    else:
        device.rate_ml_h, device.rate_at_s = value, sample.at_s


def _grown(device: Device, volume_ml: float, at_s: float) -> float:
    """What went in since the counter was read last. A counter that fell was cleared, and shows what went in since."""
    before = device.volume_ml if device.volume_of == device.identity else None
    if before is not None and 0 < volume_ml < before <= volume_ml + COUNTER_NOISE_ML:
        return 0.0
    if before is None:
        grown = 0.0
    elif volume_ml >= before:
        grown = volume_ml - before
    else:  # back down from a total that was not believed: that total was the fault, and nothing was cleared
        grown = 0.0 if device.volume_doubtful else volume_ml
    most = METRICS["rate_ml_h"].high * max(0.0, at_s - device.volume_at_s) / 3600 + SPARE_ML
    device.volume_doubtful = grown > most
    device.volume_ml, device.volume_at_s, device.volume_of = volume_ml, at_s, device.identity
    return 0.0 if device.volume_doubtful else grown


def rate_ml_h(state: BedState) -> float:
    """The last valid rates of this bed's pumps together."""
    return sum(device.rate_ml_h or 0.0 for device in state.devices.values() if device.kind == "pump")
