"""What may be judged by: what no patient can have is no reading, and a leap within a second is a questionable one.

edge.vocabulary bounds what a device can say; here stand the narrower bounds of what is believed of a patient.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

from msgspec.structs import replace

from edge.core.state import LatestValue
from edge.model import Sample
from edge.vocabulary import DETERMINATION, METRICS

RANGES: Mapping[str, tuple[float, float]] = {"spo2_pct": (30, 100), "sbp_mmhg": (40, 300), "dbp_mmhg": (20, 200)}
PULSE_PRESSURE_MMHG = 10.0
LEAP_PCT = 20.0
LEAP_WITHIN_S = 1.5  # one second, and the unevenness of a stream at 1 Hz
BEYOND: Mapping[str, float] = {"overflow": math.inf, "underflow": -math.inf}  # a breach in that direction


def is_good(validity: str, value: float | None) -> bool:
    """Whether it can be judged by: valid with a value, or beyond the device's range."""
    return (validity == "valid" and value is not None) or validity in BEYOND


def as_number(sample: Sample) -> float | None:
    """The value of a sample that can be judged by; beyond the device's range it is the end of that range."""
    metric = METRICS[sample.metric]
    beyond = {"overflow": metric.high, "underflow": metric.low}.get(sample.validity)
    return sample.value if sample.validity == "valid" else beyond


def accepted(samples: Iterable[Sample], latest: Mapping[str, LatestValue]) -> dict[str, Sample]:
    """The samples of one frame by metric, each as it may be judged."""
    frame = {sample.metric: sample for sample in samples}
    if not _is_possible(frame):
        frame |= {metric: _implausible(frame[metric]) for metric in DETERMINATION if metric in frame}
    spo2 = frame.get("spo2_pct")
    if spo2 is not None:
        frame["spo2_pct"] = _saturation(spo2, latest.get("spo2_pct"))
    return frame


def _implausible(sample: Sample) -> Sample:
    return replace(sample, value=None, validity="invalid", reason="implausible")


def _in_range(sample: Sample) -> bool:
    low, high = RANGES[sample.metric]
    return sample.value is None or low <= sample.value <= high


def _is_possible(frame: Mapping[str, Sample]) -> bool:
    """Whether a determination's numbers can be one heart's: each in its range, and in their order."""
    sbp, dbp, mean = (frame[key].value if key in frame else None for key in DETERMINATION[:3])
    if not all(_in_range(frame[metric]) for metric in ("sbp_mmhg", "dbp_mmhg") if metric in frame):
        return False
    if sbp is None or dbp is None:
        return True
    return sbp - dbp >= PULSE_PRESSURE_MMHG and (mean is None or sbp > mean > dbp)


def _saturation(sample: Sample, latest: LatestValue | None) -> Sample:
    if not _in_range(sample):
        return _implausible(sample)
    value = as_number(sample)
    if value is None or latest is None or latest.device != sample.device:
        return sample
    if latest.valid_value is None or latest.valid_at_s is None or sample.at_s - latest.valid_at_s >= LEAP_WITHIN_S:
        return sample
    leaps = abs(value - latest.valid_value) > LEAP_PCT
    return replace(sample, validity="questionable", reason="artifact") if leaps else sample
