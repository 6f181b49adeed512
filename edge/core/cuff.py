"""The cuff on the oximeter's arm: while it is inflated there is no pulse for the finger, and that is no loss."""

from __future__ import annotations

from collections.abc import Iterable

from edge.core.coverage import covers_s
from edge.core.plausible import is_good
from edge.core.state import BedState, CuffCycle
from edge.model import Sample
from edge.vocabulary import DETERMINATION

SPO2 = "spo2_pct"


def follow(state: BedState, samples: Iterable[Sample]) -> None:
    """Note when the cuff inflates, and the first loss of SpO2 in each inflation, or the one it began in. A series of
    inflations close on one another excuses nothing after the first."""
    if not state.engine.cuff_excuses_s:
        return
    for sample in samples:
        if _is_inflated(state, sample):
            _inflated(state, sample.at_s)
        elif sample.metric == SPO2 and not is_good(sample.validity, sample.value):
            _lost(state, sample)


def _is_inflated(state: BedState, sample: Sample) -> bool:
    if sample.metric in DETERMINATION:
        return sample.validity == "measuring"
    return sample.metric == "cuff_pressure_mmhg" and (
        sample.validity == "overflow" or (sample.value or 0.0) > state.engine.cuff_inflated_mmhg)


def _inflated(state: BedState, at_s: float) -> None:
    cuff = state.cuff
    if cuff is not None and at_s - cuff.seen_s <= state.engine.gap_s:
        cuff.seen_s = at_s
    else:
        state.cuff = CuffCycle(at_s, at_s, cuff.began_s if cuff else None)


def _lost(state: BedState, sample: Sample) -> None:
    cuff, latest = state.cuff, state.latest.get(SPO2)
    if cuff is None or latest is None or latest.device != sample.device or latest.valid_at_s is None:
        return
    if cuff.excuses_from_s is not None and cuff.excuses_from_s >= cuff.began_s:  # a loss before it is not yet its own
        return
    if latest.valid_at_s != latest.at_s and not _joins(state, sample, round(cuff.began_s - latest.valid_at_s, 3)):
        return
    is_series = cuff.follows_s is not None and cuff.began_s - cuff.follows_s < state.engine.cuff_apart_s
    if not is_series and cuff.began_s <= sample.at_s <= cuff.seen_s + covers_s(state.engine, SPO2):
        cuff.excuses_from_s = latest.valid_at_s


def _joins(state: BedState, sample: Sample, before_s: float) -> bool:
    """Whether a loss that began before the inflation may be over by now but for the cuff; a probe that says it is off
    the finger is off."""
    return 0 < before_s < state.engine.cuff_joins_s and sample.reason != "sensor_off"
