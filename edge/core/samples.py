"""What the samples amount to: the latest value of each metric, the determinations, the accounts below a limit."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Self

from edge.core import cuff, plausible, sources, starting
from edge.core.channels import gives_drug
from edge.core.coverage import cover, covers_s
from edge.core.fact import Account
from edge.core.plausible import BEYOND, as_number, is_good
from edge.core.state import BedState, Below, Determination, LatestValue
from edge.model import Sample
from edge.vocabulary import DETERMINATION


@dataclass(frozen=True, slots=True)
class Needs:
    """What the rules need kept, by metric: accounts below a limit, and how far back its coverage must be known (s)."""

    accounts: Mapping[str, tuple[Account, ...]] = field(default_factory=dict)
    coverage_s: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def of(cls, windows: Mapping[tuple[str, float], float], coverage_s: Mapping[str, float]) -> Self:
        """From the window (s) of each metric and limit."""
        accounts: dict[str, tuple[Account, ...]] = {}
        for (metric, limit), window_s in windows.items():
            accounts[metric] = (*accounts.get(metric, ()), Account(metric, limit, window_s))
        return cls(accounts, coverage_s)


def fresh(state: BedState, samples: Iterable[Sample]) -> Iterator[Sample]:
    """Those samples that are not older than what their device has sent of the metric before."""
    for sample in samples:
        newest_s = state.devices[sample.device].newest_s
        if sample.at_s >= newest_s.get(sample.metric, sample.at_s):
            newest_s[sample.metric] = sample.at_s
            yield sample


def observe(state: BedState, samples: Iterable[Sample], needs: Needs) -> bool:
    """Take in the samples of one frame; whether they completed a determination (good or failed)."""
    samples = list(samples)
    cuff.follow(state, samples)
    sources.keep(state, samples)
    frame = _of_the_source(state, plausible.accepted(samples, state.latest, state.engine))
    for sample in frame.values():
        before = state.latest.get(sample.metric)
        if sample.validity == "measuring" and before is not None:
            continue  # no result yet is not a sample: what is known keeps its age, and no timer starts anew
        most_s = covers_s(state.engine, sample.metric)
        covered_s = max(0.0, min(sample.at_s - before.at_s, most_s)) if before else 0.0
        latest = state.latest[sample.metric] = _latest(sample, before)
        if latest.valid_at_s == sample.at_s and latest.valid_value is not None:
            if kept_s := needs.coverage_s.get(sample.metric):
                cover(latest, covered_s, kept_s)
            for account in needs.accounts.get(sample.metric, ()):
                _count(state, account, latest, covered_s)
    return "sbp_mmhg" in frame and _determination(state, frame)


def _of_the_source(state: BedState, frame: Mapping[str, Sample]) -> dict[str, Sample]:
    """What counts of a frame: a metric has one source at a time, and a determination is taken or left as a whole."""
    taken = {metric: sample for metric, sample in frame.items() if _is_source(state, sample)}
    if "sbp_mmhg" in frame:
        of_the_cuff = {metric: frame[metric] for metric in DETERMINATION if metric in frame}
        taken = {metric: sample for metric, sample in taken.items() if metric not in DETERMINATION}
        taken |= of_the_cuff if _counts(state, of_the_cuff) else {}
    return taken


def _counts(state: BedState, frame: Mapping[str, Sample]) -> bool:
    """Whether this cuff's word is taken: a determination that is valid, from any cuff; all else from the source."""
    valid = all(metric in frame and is_good(frame[metric].validity, frame[metric].value)
                for metric in ("sbp_mmhg", "dbp_mmhg"))
    return (state.engine.every_cuff and valid) or _is_source(state, frame["sbp_mmhg"])


def _is_source(state: BedState, sample: Sample) -> bool:
    """Whether this device is the source of the metric now: the first in edge.toml that has a valid value."""
    latest = state.latest.get(sample.metric)
    device = state.devices.get(latest.device) if latest else None
    if state.devices[sample.device].kind == "pump" and not gives_drug(state, sample.device):
        return False  # what a carrier runs at is not what the drug runs at
    if latest is None or device is None or latest.device == sample.device or device.link != "live":
        return True
    if device.kind == "pump" and not gives_drug(state, latest.device):
        return True
    is_fresh = sample.at_s - latest.at_s <= state.stale_after_s(sample.metric)
    names = list(state.devices)
    is_earlier = names.index(sample.device) < names.index(latest.device)
    if is_good(sample.validity, sample.value):
        return is_earlier or not (is_fresh and is_good(latest.validity, latest.value))
    return not is_fresh or (is_earlier and not is_good(latest.validity, latest.value))


def _latest(sample: Sample, before: LatestValue | None) -> LatestValue:
    good = is_good(sample.validity, sample.value)
    if before is None:
        before = LatestValue(sample.device, None, "unavailable", None, sample.at_s)
    return LatestValue(
        sample.device, sample.value if sample.validity in ("valid", "questionable") else None,
        sample.validity, sample.reason, sample.at_s,
        valid_value=as_number(sample) if good else before.valid_value,
        valid_at_s=sample.at_s if good else before.valid_at_s,
        before_s=before.valid_at_s if good else before.before_s,
        covered=before.covered,
    )


def _count(state: BedState, account: Account, latest: LatestValue, covered_s: float) -> None:
    """SatSeconds as Nellcor counts them (limit - value, times seconds, while below; N-600x operator's manual), and how
    often the limit was crossed downwards within the longest window of a rule."""
    assert latest.valid_value is not None
    below = state.below.setdefault(account.key, Below())
    if latest.valid_value >= account.limit:
        below.points, below.is_below = 0.0, False
        return
    if not below.is_below:
        below.is_below = True
        recent = [at_s for at_s in below.entered_s if latest.at_s - at_s < account.window_s]
        below.entered_s = [*recent, latest.at_s]
    if latest.before_s is None or latest.at_s - latest.before_s > state.engine.gap_s:
        covered_s = 1.0  # nobody knows what was in between: it is not counted
        below.points = below.points if state.engine.satseconds_stand_still else 0.0
    below.points += (account.limit - max(latest.valid_value, 0.0)) * covered_s


def _determination(state: BedState, frame: Mapping[str, Sample]) -> bool:
    sbp, dbp = frame["sbp_mmhg"], frame.get("dbp_mmhg")
    if sbp.validity == "measuring":
        return False
    starting.note_ended(state, sbp.at_s)
    found = {sample.metric: as_number(sample) for sample in (sbp, dbp) if sample is not None}
    beyond = tuple(sample.metric for sample in (sbp, dbp) if sample is not None and sample.validity in BEYOND)
    high, low = found["sbp_mmhg"], found.get("dbp_mmhg")
    if high is None or low is None or (beyond and not state.engine.every_cuff):  # 0.1.0 took it for a failed one
        state.failed_determinations += 1
        return True
    state.failed_determinations = 0
    mean, pulse = (frame[key].value if key in frame else None for key in DETERMINATION[2:])
    state.determinations.append(Determination(sbp.at_s, high, low, mean, pulse, beyond))
    _forget_old(state, sbp.at_s)
    return True


def enter(state: BedState, determination: Determination) -> None:
    """Take in a blood pressure that a person measured by hand: of the cuff it says nothing."""
    state.determinations.append(determination)
    _forget_old(state, determination.at_s)


def _forget_old(state: BedState, at_s: float) -> None:
    """Keep what a baseline or a pair may still need, and the last two however old they are."""
    kept_s = max(state.pair_window_s(), *(one.course.baseline_window_s for one in state.protocols.by_id.values()))
    old = sum(at_s - one.at_s > kept_s for one in state.determinations[:-2])
    del state.determinations[:old]


def forget_patient(state: BedState) -> None:
    """Another patient: nothing measured before may be taken for theirs. What the pumps report is of the pumps."""
    state.determinations.clear()
    state.below.clear()
    state.unwatched.clear()
    state.failed_determinations = 0
    state.request = state.cuff_asked_s = None
    state.latest = {metric: latest for metric, latest in state.latest.items() if _is_of_a_pump(state, latest.device)}
    for device in state.devices.values():
        device.infused, device.run_since_s, device.run_ml, device.own = False, None, 0.0, {}


def _is_of_a_pump(state: BedState, name: str) -> bool:
    return name in state.devices and state.devices[name].kind == "pump"
