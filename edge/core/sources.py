"""What each device says for itself, also where another device is the metric's source: since when its numbers stand
still, by how much two devices differ, and how late a blood pressure is.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import combinations
from math import inf, isfinite, isnan

from edge.core.context import Number, RuleContext
from edge.core.logic import Truth
from edge.core.plausible import as_number
from edge.core.state import BedState, Device, OwnValue
from edge.model import DeviceAlarm, Sample
from edge.vocabulary import BY_FINGER, DETERMINATION, METRICS

KEPT = {key for key, metric in METRICS.items() if metric.group == "vital"} | {"sbp_mmhg", "dbp_mmhg", "map_mmhg"}


def keep(state: BedState, samples: Iterable[Sample]) -> None:
    """Take in what devices say now: a value that is valid, and since when it is the same; else none."""
    for sample in samples:
        if sample.metric not in KEPT or sample.validity == "measuring":
            continue
        own, value = state.devices[sample.device].own, as_number(sample)
        if value is None:
            if sample.metric not in DETERMINATION:  # a cuff that fails takes back nothing that it measured
                own.pop(sample.metric, None)
            continue
        before = own.get(sample.metric)
        same_s = before.since_s if before is not None and before.value == value else sample.at_s
        own[sample.metric] = OwnValue(value, sample.at_s, same_s)


def skewed(context: RuleContext) -> str | None:
    """Which clock is off, and which way."""
    skew_s, console = context.state.skew_s, context.state.skew_console
    way = "ahead of" if skew_s > 0 else "behind"
    return f"that of console {console} is {abs(skew_s):g} s {way} that of the box" if skew_s else None


def unheard_in_words(context: RuleContext) -> str | None:
    """Why nobody may hear this bed's alarms, and what those say that sound now."""
    texts = "; ".join(one.text for one in context.state.undelivered)
    return f"{context.state.unheard}: {texts}" if texts else context.state.unheard or None


def undelivered(context: RuleContext) -> tuple[DeviceAlarm, ...]:
    """The alarms that sound now and that nobody may hear, as a rule passes alarms on."""
    return tuple(DeviceAlarm(one.alarm, one.priority, one.alarm, one.text) for one in context.state.undelivered)


def identical_s(context: RuleContext) -> Number:
    """For how long this device has sent the same saturation, pulse and perfusion index; 0 for one that sends not all
    three."""
    device, old_s = context.this_device(), context.state.stale_after_s("spo2_pct")
    found = [device.own[metric] for metric in BY_FINGER if metric in device.own] if device else []
    if device is None or device.link != "live" or len(found) < len(BY_FINGER):
        return 0.0
    if any(context.at_s - one.at_s > old_s for one in found):
        return 0.0
    return round(max(one.at_s for one in found) - max(one.since_s for one in found), 3)


def differ(context: RuleContext, metric: str, within_s: float) -> Number:
    """The greatest difference between the newest valid values of two devices, taken within so long of each other."""
    pairs = _pairs(context, metric, within_s)
    return max((abs(one.value - other.value) for (_, one), (_, other) in pairs), default=0.0)


def differ_in_words(context: RuleContext, metric: str, within_s: float) -> str | None:
    """What the two that differ most say."""
    pairs = sorted(_pairs(context, metric, within_s), key=lambda two: abs(two[0][1].value - two[1][1].value))
    both = " and ".join(f"{name} {own.value:.0f}" for name, own in pairs[-1]) if pairs else ""
    return f"{METRICS[metric].label}: {both} {METRICS[metric].unit}" if pairs else None


_Said = tuple[str, OwnValue]


def _pairs(context: RuleContext, metric: str, within_s: float) -> list[tuple[_Said, _Said]]:
    entered = _entered(context, metric, within_s)
    said = [(name, device.own[metric]) for name, device in context.state.devices.items()
            if metric in device.own and device.link == "live"]
    said += _by_hand(context.state, metric)
    if len(said) < 2:  # nearly always
        return entered
    old_s = context.state.stale_after_s(metric)
    said = [(name, own) for name, own in said if context.at_s - own.at_s <= old_s]
    return entered + [
        (one, other) for one, other in combinations(said, 2)
        if round(abs(one[1].at_s - other[1].at_s), 3) <= within_s and isfinite(one[1].value + other[1].value)]


def _by_hand(state: BedState, metric: str) -> list[_Said]:
    """The newest blood pressure that each person has entered, whatever a cuff has measured since."""
    if metric not in ("sbp_mmhg", "dbp_mmhg"):
        return []
    newest = {one.by: one for one in state.determinations if one.by is not None}
    return [(f"{by}'s entry", OwnValue(getattr(one, metric), one.at_s, one.at_s)) for by, one in newest.items()]


def _entered(context: RuleContext, metric: str, within_s: float) -> list[tuple[_Said, _Said]]:
    """What a person has entered within the last `within_s`, and what a device measured in that moment."""
    session = context.state.session
    spot = session.entered(metric) if session is not None and session.spots else None
    if spot is None or spot.beside is None or round(context.at_s - spot.at_s, 3) > within_s:
        return []
    (name, value), at_s = spot.beside, spot.at_s
    return [((name, OwnValue(value, at_s, at_s)), (f"{spot.by}'s entry", OwnValue(float(spot.value), at_s, at_s)))]


def bp_overdue_s(context: RuleContext) -> Number:
    """How long ago the next blood pressure was due, for the device it comes from (where none of the bed's measures it,
    for the bed); 0 before it is due, before the infusion, and for any other device."""
    due_s = context.state.bp_due_s()
    if due_s is None or context.device != _cuff(context.state):
        return 0.0
    return max(0.0, context.at_s - due_s)


def bp_age_in_words(context: RuleContext) -> str | None:
    """How old the newest blood pressure is."""
    determinations = context.state.determinations
    return f"the last one {(context.at_s - determinations[-1].at_s) / 60:.0f} min ago" if determinations else None


def _cuff(state: BedState) -> str | None:
    """The device that blood pressures come from now, else the first that could measure one."""
    latest = state.latest.get("sbp_mmhg")
    if latest is not None and latest.device in state.devices:
        return latest.device
    return next((name for name, device in state.devices.items() if _measures_pressure(device)), None)


def _measures_pressure(device: Device) -> bool:
    return device.kind in ("nibp", "monitor") and not device.never_gave("sbp_mmhg")


def cuff_failed_apart_s(context: RuleContext) -> Number:
    """The time between the last valid SpO2 and a blood pressure measurement that failed; infinite where none did."""
    spo2, sbp = (context.state.latest.get(metric) for metric in ("spo2_pct", "sbp_mmhg"))
    if not context.state.failed_determinations or spo2 is None or sbp is None or spo2.valid_at_s is None:
        return inf
    return round(abs(sbp.at_s - spo2.valid_at_s), 3)


def mean_pressure(context: RuleContext) -> Number:
    """As the cuff measured it; else estimated as the diastolic and a third of the pulse pressure."""
    measured, sbp, dbp = (context.metric(metric) for metric in ("map_mmhg", "sbp_mmhg", "dbp_mmhg"))
    if measured is not None:
        return measured
    if sbp is None or dbp is None:
        return None
    mean = (sbp + 2.0 * dbp) / 3.0
    return None if isnan(mean) else round(mean, 1)


def mean_in_words(context: RuleContext) -> str | None:
    """The mean pressure, and that it is estimated where it is."""
    mean = mean_pressure(context)
    if mean is None or not isfinite(mean):
        return None
    return f"{'about ' if context.metric('map_mmhg') is None else ''}{mean:.0f}"


def has_reported(context: RuleContext, *codes: str) -> Truth:
    """Whether any device of this bed that is connected has one of these alarms of its own."""
    return bool(_reported(context, codes))


def _reported(context: RuleContext, codes: tuple[str, ...]) -> list[str]:
    return [f"the {name}'s own alarm: {alarm.text}" for name, device in context.state.devices.items()
            if device.link == "live" for alarm in device.alarms if alarm.code in codes]


def reported_in_words(context: RuleContext, *codes: str) -> str | None:
    """Which device has which of these alarms."""
    return "; ".join(_reported(context, codes)) or None
