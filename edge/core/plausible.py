"""What may be judged by: what no patient can have is no reading, and a leap within a second is a questionable one.

edge.vocabulary bounds what a device can say; the narrower bounds of what is believed of a patient are the clinic's
(rules.toml, [engine]).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

from msgspec.structs import replace

from edge.core.engine import Engine
from edge.core.state import Determination, LatestValue
from edge.model import Sample
from edge.vocabulary import DETERMINATION, METRICS

BEYOND: Mapping[str, float] = {"overflow": math.inf, "underflow": -math.inf}  # a breach in that direction


def is_good(validity: str, value: float | None) -> bool:
    """Whether it can be judged by: valid with a value, or beyond the device's range."""
    return (validity == "valid" and value is not None) or validity in BEYOND


def as_number(sample: Sample) -> float | None:
    """The value of a sample that can be judged by; beyond the device's range it is the end of that range."""
    metric = METRICS[sample.metric]
    beyond = {"overflow": float(metric.high), "underflow": float(metric.low)}.get(sample.validity)
    return sample.value if sample.validity == "valid" else beyond


def measured(one: Determination, metric: str) -> float | None:
    """What a determination is judged by; outside of the measuring range it is a breach in that direction."""
    value: float | None = getattr(one, metric)
    if metric not in one.beyond:
        return value
    return BEYOND["overflow" if value == METRICS[metric].high else "underflow"]


def accepted(samples: Iterable[Sample], latest: Mapping[str, LatestValue], engine: Engine) -> dict[str, Sample]:
    """The samples of one frame by metric, each as it may be judged."""
    frame = {sample.metric: sample for sample in samples}
    if not _is_possible(frame, engine):
        frame |= {metric: _implausible(frame[metric]) for metric in DETERMINATION if metric in frame}
    spo2 = frame.get("spo2_pct")
    if spo2 is not None:
        frame["spo2_pct"] = _saturation(spo2, latest.get("spo2_pct"), engine)
    return frame


def _implausible(sample: Sample) -> Sample:
    return replace(sample, value=None, validity="invalid", reason="implausible")


def _within(least: float, sample: Sample | None, most: float) -> bool:
    return sample is None or sample.value is None or least <= sample.value <= most


def _is_possible(frame: Mapping[str, Sample], engine: Engine) -> bool:
    """Whether a determination's numbers can be one heart's: each in its range, and in their order."""
    sbp, dbp, mean = (frame[key].value if key in frame else None for key in DETERMINATION[:3])
    if not (_within(engine.sbp_least_mmhg, frame.get("sbp_mmhg"), engine.sbp_most_mmhg)
            and _within(engine.dbp_least_mmhg, frame.get("dbp_mmhg"), engine.dbp_most_mmhg)):
        return False
    if sbp is None or dbp is None:
        return True
    return sbp - dbp >= engine.pulse_pressure_least_mmhg and (mean is None or sbp > mean > dbp)


def is_believed(sbp_mmhg: float, dbp_mmhg: float, engine: Engine) -> bool:
    """Whether this can be a patient's blood pressure."""
    return (engine.sbp_least_mmhg <= sbp_mmhg <= engine.sbp_most_mmhg
            and engine.dbp_least_mmhg <= dbp_mmhg <= engine.dbp_most_mmhg
            and sbp_mmhg - dbp_mmhg >= engine.pulse_pressure_least_mmhg)


def _saturation(sample: Sample, latest: LatestValue | None, engine: Engine) -> Sample:
    if not _within(engine.spo2_least_pct, sample, engine.spo2_most_pct):
        return _implausible(sample)
    value = as_number(sample)
    if value is None or latest is None or latest.device != sample.device:
        return sample
    if latest.valid_value is None or latest.valid_at_s is None \
            or sample.at_s - latest.valid_at_s >= engine.spo2_leap_within_s:
        return sample
    leaps = abs(value - latest.valid_value) > engine.spo2_leap_pct
    return replace(sample, validity="questionable", reason="artifact") if leaps else sample
