"""What the readings amount to: the newest of each metric, the determinations, the running accounts below a limit."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping

from edge.core import plausible
from edge.core.state import BedState, Below, Determination, LatestValue
from edge.model import Sample
from edge.vocabulary import DETERMINATION, METRICS

KEPT_DETERMINATIONS = 60
GAP_S = 5.0  # a hole longer than this breaks what was sustained (clinical.md 6.2)
WINDOW_S = 60.0
BEYOND = {"overflow": math.inf, "underflow": -math.inf}  # out of the device's range: a breach in that direction


def speaks_for_s(metric: str) -> float:
    """How far back a reading speaks for the time before it: 2 s of a stream at 1 Hz, longer for what comes slowly."""
    return max(2.0, METRICS[metric].stale_after_s / 5)


def news(state: BedState, samples: Iterable[Sample]) -> Iterator[Sample]:
    """Those samples that are not older than what their device has said of the metric before."""
    for sample in samples:
        newest_s = state.devices[sample.device].newest_s
        if sample.at_s >= newest_s.get(sample.metric, sample.at_s):
            newest_s[sample.metric] = sample.at_s
            yield sample


def observe(state: BedState, samples: Iterable[Sample], limits: Iterable[tuple[str, float]], kept_s: float) -> bool:
    """Take in the samples of one frame; whether they completed a determination (good or failed).

    `kept_s`: how far back it must be known which seconds had a valid reading.
    """
    frame = _of_the_source(state, plausible.believed(samples, state.seen))
    for sample in frame.values():
        before = state.seen.get(sample.metric)
        if sample.validity == "measuring" and before is not None:
            continue  # no result yet is not a sample: what is known keeps its age, and no timer starts anew (3.7)
        covered_s = max(0.0, min(sample.at_s - before.at_s, speaks_for_s(sample.metric))) if before else 0.0
        seen = state.seen[sample.metric] = _seen(sample, before)
        if seen.valid_at_s == sample.at_s and seen.valid_value is not None:
            _cover(seen, covered_s, kept_s)
            for metric, limit in limits:
                if metric == sample.metric:
                    _account(state, metric, limit, seen, covered_s)
    return "sbp_mmhg" in frame and _determination(state, frame)


def _of_the_source(state: BedState, frame: Mapping[str, Sample]) -> dict[str, Sample]:
    """What counts of a frame: a metric has one source at a time, and a determination is taken or left as a whole."""
    taken = {metric: sample for metric, sample in frame.items() if _is_source(state, sample)}
    if "sbp_mmhg" in frame:
        of_the_cuff = {metric: frame[metric] for metric in DETERMINATION if metric in frame}
        taken = {metric: sample for metric, sample in taken.items() if metric not in DETERMINATION}
        taken |= of_the_cuff if _is_source(state, frame["sbp_mmhg"]) else {}
    return taken


def _is_source(state: BedState, sample: Sample) -> bool:
    """Whether this device speaks for the metric now: the first in edge.toml that has something valid to say."""
    seen = state.seen.get(sample.metric)
    device = state.devices.get(seen.device) if seen else None
    if seen is None or device is None or seen.device == sample.device or device.link != "live":
        return True
    fresh = sample.at_s - seen.at_s <= state.stale_after_s(METRICS[sample.metric].stale_after_s)
    names = list(state.devices)
    is_earlier = names.index(sample.device) < names.index(seen.device)
    holds = fresh and _is_good(seen.validity, seen.value)
    if _is_good(sample.validity, sample.value):
        return is_earlier or not holds
    return not fresh or (is_earlier and not holds)


def _is_good(validity: str, value: float | None) -> bool:
    return (validity == "valid" and value is not None) or validity in BEYOND


def _seen(sample: Sample, before: LatestValue | None) -> LatestValue:
    metric = METRICS[sample.metric]
    beyond = {"overflow": metric.high, "underflow": metric.low}.get(sample.validity)
    value = sample.value if sample.validity in ("valid", "questionable") else None
    good = _is_good(sample.validity, value)
    if before is None:
        before = LatestValue(sample.device, None, "unavailable", None, sample.at_s)
    return LatestValue(
        sample.device, value, sample.validity, sample.reason, sample.at_s,
        valid_value=(value if beyond is None else beyond) if good else before.valid_value,
        valid_at_s=sample.at_s if good else before.valid_at_s,
        before_s=before.valid_at_s if good else before.before_s,
        covered=before.covered,
    )


def _cover(seen: LatestValue, covered_s: float, kept_s: float) -> None:
    """Note the time this valid reading speaks for; touching stretches are one."""
    since_s = round(seen.at_s - covered_s, 3)
    if seen.covered and since_s <= seen.covered[-1][1]:
        since_s = seen.covered.pop()[0]
    seen.covered = [stretch for stretch in seen.covered if seen.at_s - stretch[1] <= kept_s]
    seen.covered.append((max(since_s, round(seen.at_s - kept_s, 3)), seen.at_s))


def coverage(seen: LatestValue, since_s: float, until_s: float) -> float:
    """Which part of the time from `since_s` to `until_s` has valid readings, 0 to 1."""
    covered_s = sum(max(0.0, min(end_s, until_s) - max(begin_s, since_s)) for begin_s, end_s in seen.covered)
    return covered_s / (until_s - since_s)


def _account(state: BedState, metric: str, limit: float, seen: LatestValue, covered_s: float) -> None:
    """SatSeconds as Nellcor counts them, and how often the limit was crossed downwards (clinical.md 3.8)."""
    assert seen.valid_value is not None
    account = state.below.setdefault(f"{metric}<{limit:g}", Below())
    if seen.valid_value >= limit:
        account.points, account.is_below = 0.0, False
        return
    if not account.is_below:
        account.is_below = True
        account.entered_s = [at for at in account.entered_s if seen.at_s - at < WINDOW_S] + [seen.at_s]
    if seen.before_s is None or seen.at_s - seen.before_s > GAP_S:
        account.points, covered_s = 0.0, 1.0  # nobody knows what was in between: the account starts anew
    account.points += (limit - max(seen.valid_value, 0.0)) * covered_s


def _determination(state: BedState, frame: Mapping[str, Sample]) -> bool:
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
    """Another patient: nothing measured before may be taken for theirs. What the pumps say is of the pumps."""
    state.determinations.clear()
    state.below.clear()
    state.failed_in_row = 0
    state.request = None
    state.seen = {metric: seen for metric, seen in state.seen.items() if _is_of_a_pump(state, seen.device)}
    for device in state.devices.values():
        device.infused = False


def _is_of_a_pump(state: BedState, name: str) -> bool:
    return name in state.devices and state.devices[name].kind == "pump"
