"""What the readings amount to: the newest of each metric, the determinations, the running accounts below a limit."""

from __future__ import annotations

import math
from collections.abc import Iterable

from edge.core.state import BedState, Below, Determination, Seen
from edge.model import Sample
from edge.vocabulary import DETERMINATION, METRICS

KEPT_DETERMINATIONS = 60
GAP_S = 5.0  # a hole longer than this breaks what was sustained (clinical.md 6.2)
WINDOW_S = 60.0
BEYOND = {"overflow": math.inf, "underflow": -math.inf}  # out of the device's range: a breach in that direction


def observe(state: BedState, samples: Iterable[Sample], limits: Iterable[tuple[str, float]]) -> bool:
    """Take in the samples of one frame; whether they completed a determination (good or failed)."""
    frame = {sample.metric: sample for sample in samples}
    for sample in frame.values():
        before = state.seen.get(sample.metric)
        if sample.validity == "measuring" and before is not None:
            continue  # no result yet is not a sample: what is known keeps its age, and no timer starts anew (3.7)
        seen = _seen(sample, before)
        state.seen[sample.metric] = seen
        if seen.valid_at_s == sample.at_s and seen.valid_value is not None:
            for metric, limit in limits:
                if metric == sample.metric:
                    _account(state, metric, limit, seen)
    return "sbp_mmhg" in frame and _determination(state, frame)


def _seen(sample: Sample, before: Seen | None) -> Seen:
    metric = METRICS[sample.metric]
    beyond = {"overflow": metric.high, "underflow": metric.low}.get(sample.validity)
    value = sample.value if sample.validity in ("valid", "questionable") else None
    good = (sample.validity == "valid" and value is not None) or beyond is not None
    if before is None:
        before = Seen(sample.device, None, "unavailable", None, sample.at_s)
    return Seen(
        sample.device, value, sample.validity, sample.reason, sample.at_s,
        valid_value=(value if beyond is None else beyond) if good else before.valid_value,
        valid_at_s=sample.at_s if good else before.valid_at_s,
        before_s=before.valid_at_s if good else before.before_s,
    )


def _account(state: BedState, metric: str, limit: float, seen: Seen) -> None:
    """SatSeconds as Nellcor counts them, and how often the limit was crossed downwards (clinical.md 3.8)."""
    assert seen.valid_value is not None
    account = state.below.setdefault(f"{metric}<{limit:g}", Below())
    if seen.valid_value >= limit:
        account.points, account.is_below = 0.0, False
        return
    if not account.is_below:
        account.is_below = True
        account.entered_s = [at for at in account.entered_s if seen.at_s - at < WINDOW_S] + [seen.at_s]
    since = seen.at_s - seen.before_s if seen.before_s is not None else 1.0
    if since > GAP_S:  # nobody knows what was in between: the account starts anew
        account.points, since = 0.0, 1.0
    account.points += (limit - max(seen.valid_value, 0.0)) * since


def _determination(state: BedState, frame: dict[str, Sample]) -> bool:
    sbp, dbp = frame["sbp_mmhg"], frame.get("dbp_mmhg")
    if sbp.validity == "measuring":
        return False
    if dbp is None or sbp.validity != "valid" or dbp.validity != "valid" or sbp.value is None or dbp.value is None:
        state.failed_in_row += 1
        return True
    state.failed_in_row = 0
    mean, pulse = (frame[key].value if key in frame else None for key in DETERMINATION[2:])
    state.determinations.append(Determination(sbp.at_s, sbp.value, dbp.value, mean, pulse))
    del state.determinations[:-KEPT_DETERMINATIONS]
    return True


def forget_patient(state: BedState) -> None:
    """Another patient: nothing measured before may be taken for theirs."""
    state.determinations.clear()
    state.below.clear()
    state.failed_in_row = 0
    state.request = None
    for metric in (*DETERMINATION, "cuff_pressure_mmhg"):
        state.seen.pop(metric, None)
