"""Beds whose cuff, whose cuff on the oximeter's arm, or whose two pumps do what a drawn pattern says: the same as
`watched.py` for what is not sent every second.

Of a pressure nothing is known between two determinations. So a trial returns what it found wrong: a time at which the
alarm was deserved by what had been measured, and nothing stood; or a minute in which a rule could not be answered, and
nobody said so.
"""

from __future__ import annotations

from random import Random
from typing import NamedTuple

from edge.core.rules import RuleSet
from edge.model import PumpState
from tests.helpers.rule_files import RULES
from tests.helpers.watched import (
    COURSE,
    HOLD_S,
    T0,
    TECHNICAL,
    VALIDITIES,
    Devices,
    Found,
    Kind,
    Stopwatch,
    WatchedBed,
    judged_by,
    measured,
    pattern,
)

STEP_S = 2.5  # of a bed with a cuff alone: nothing of it is quicker
STALE_S, LATE_S, APART_S = 300.0, 60.0, 60.0


class Pressed(NamedTuple):
    """A pressure that is so all the time."""

    sbp: float | str
    dbp: float
    deserved: frozenset[str]
    needs: int  # so many determinations show it


PRESSURES: dict[str, Pressed] = {
    "190/100": Pressed(190, 100, frozenset({"HTN-3"}), 1),
    "150/122": Pressed(150, 122, frozenset({"HTN-3"}), 1),
    "150/112": Pressed(150, 112, frozenset({"HTN-2", "HTN-3"}), 1),
    "165/95": Pressed(165, 95, frozenset({"HTN-2", "HTN-3"}), 2),
    "130/101": Pressed(130, 101, frozenset({"HTN-2", "HTN-3"}), 2),
    "144/80": Pressed(144, 80, frozenset({"HTN-1"}), 2),
    "130/90": Pressed(130, 90, frozenset({"HTN-1"}), 2),
    "85/62": Pressed(85, 62, frozenset({"CAR-5"}), 2),
    "79/60": Pressed(79, 60, frozenset({"CAR-5"}), 1),
    "95/41": Pressed(95, 41, frozenset({"CAR-5"}), 2),
    "above what it can measure/100": Pressed("overflow", 100, frozenset({"HTN-3"}), 1),
}


def pressed(name: str, number: int, rules: RuleSet = RULES, *, for_s: float = 1500) -> str:
    """Live bed `number` with this pressure; what was wrong, or ""."""
    random, told = Random(f"{name} {number}"), PRESSURES[name]
    interval_s, phase = random.choice((120, 300, 300, 600)), random.choice(COURSE)
    within_s = max(600.0, 1.2 * interval_s + 60)
    second = random.random() < 0.25  # a cuff on the other arm, that takes every other one or all of them
    devices: Devices = (("cuff", "nibp", "-"), ("cuff-2", "nibp", "-")) if second else (("cuff", "nibp", "-"),)
    bed = WatchedBed(devices, judged_by(rules, told.deserved), phase, interval_s=interval_s)
    bed.bed.state.determinations = []
    seconds = pattern(random) if random.random() < 0.4 else None
    rhythm = random.choice(("on time", "late", "close", "at the edge", "any", "mixed"))
    works, taken, dumb_s, count = random.choice((1, 1, 0.7, 0.4)), list[float](), 0.0, 0
    due_s = float(random.randint(0, 100))
    for _ in range(int(for_s / STEP_S)):
        at, now = bed.at_s - T0, bed.at_s
        name_now = "cuff-2" if second and count % 2 else "cuff"
        kind: Kind = next(seconds) if seconds else "good"
        kind = "good" if kind in VALIDITIES else kind
        values = {}
        if at >= due_s:
            due_s, count = at + _next_s(random, rhythm, interval_s, within_s), count + 1
            values = measured(told.sbp, told.dbp)
        failed = bool(values) and random.random() >= works
        live = bed.links[name_now].up or kind == "good"
        for other in bed.links:
            if other != name_now:
                bed.send(other, "good", {})
        bed.send(name_now, random.choice(("bad", "doubt", "na")) if failed and kind == "good" else kind, values)
        if values and kind == "good" and not failed and live and bed.links[name_now].up:
            taken.append(now)
        bed.tick(for_s=STEP_S)
        stands = bool(bed.standing(*bed.links) & (told.deserved | TECHNICAL))
        age_s = now - taken[-1] if taken else float("inf")
        paired = bool(taken) and any(APART_S <= round(taken[-1] - one, 3) <= within_s for one in taken[:-1])
        shown = age_s <= interval_s + STALE_S and (told.needs == 1 or paired)
        if shown and not stands:
            return f"{at:g} s: {told.needs} determination(s) show it, and nothing stands ({phase}, {rhythm})"
        unknown = age_s > interval_s + STALE_S or (told.needs == 2 and age_s > interval_s + LATE_S and not paired)
        dumb_s = dumb_s + STEP_S if unknown and not stands else 0.0
        if dumb_s > 60 + STEP_S:
            return f"{at:g} s: a minute without an answer, and nothing stands ({phase}, {rhythm})"
    return ""


def _next_s(random: Random, rhythm: str, interval_s: float, within_s: float) -> float:
    return {"on time": interval_s, "late": interval_s + random.randint(0, 300), "close": random.randint(40, 130),
            "at the edge": random.choice((within_s + 1, within_s, 600, 601)), "any": random.randint(30, 1300),
            "mixed": random.choice((45, 60, 300, 720))}[rhythm]


def on_the_same_arm(number: int, rules: RuleSet = RULES) -> Found:
    """Bed `number`: saturation 80 whenever the finger tells something, which the cuff on its arm often prevents. What
    is excused is added to the minute."""
    random = Random(f"arm {number}")
    phase, deserved = random.choice(COURSE), frozenset({"RES-2", "RES-3"})
    bed = WatchedBed((("cuff", "nibp", "-"), ("oximeter", "oximeter", "-")), judged_by(rules, deserved), phase)
    every, inflated = random.choice((45, 60, 75, 89, 90, 91, 100, 120, 150, 300)), random.choice((20, 35, 44, 60, 100))
    lost_s, lag_s = random.choice((20, 40, 60, 80, every)), random.choice((0, 3, 8))
    stuck, hole = random.random() < 0.15, random.choice(("bad", "doubt", "none"))
    watch, limit_s = Stopwatch(T0), 60 + rules.engine.cuff_excuses_s
    for second in range(600):
        of_cycle, ends = second % every, min(inflated, every - 1)
        pressure = {"cuff_pressure_mmhg": 150.0 if of_cycle < ends or stuck else 0.0}
        bed.send("cuff", "good", pressure | (measured(120, 75) if of_cycle == ends and not stuck else {}))
        bed.send("oximeter", hole if lag_s <= of_cycle < lag_s + lost_s else "good",
                 {"spo2_pct": 80, "pulse_bpm": 70, "perfusion_index_pct": 3 + second % 7 / 10})
        bed.tick()
        watch.look(stands=bool(bed.standing("oximeter") & (deserved | TECHNICAL)), at_s=bed.at_s)
        if watch.is_over(at_s=bed.at_s, left_s=599 - second, limit_s=limit_s):
            break
    return Found(watch.longest_s, limit_s,
                 f"{phase}, every {every} s for {inflated} s, lost {lost_s} s, stuck {stuck}")


def two_pumps(number: int, rules: RuleSet = RULES) -> Found:
    """Bed `number`: the drug's pump is in danger, and a carrier is well or comes and goes."""
    random = Random(f"pumps {number}")
    what = random.choice(("fast", "fast", "unknown", "no rate", "stopped"))
    deserved = frozenset({"fast": {"INF-1", "INF-2"}, "stopped": {"INF-3"}}.get(what, set[str]()))
    limit_s = 60 + max(0.0, min((HOLD_S[rule] for rule in deserved), default=0.0) - 15)
    kept = judged_by(rules, deserved | {"INF-2"})
    bed = WatchedBed((("pump", "pump", "-"), ("pump-2", "pump", "-")), kept, "INFUSING")
    bed.bed.state.devices["pump"].role, bed.bed.state.devices["pump-2"].role = "drug", "carrier"
    states: dict[str, PumpState] = {"fast": "infusing", "no rate": "infusing", "stopped": "stopped"}
    rates: dict[str, float | str] = {"fast": 210.0, "no rate": "invalid"}
    ours, theirs, watch, ends_s = pattern(random), pattern(random), Stopwatch(T0), int(limit_s) + 120
    for second in range(ends_s):
        bed.send("pump", next(ours), {"rate_ml_h": rates.get(what, 0.0), "volume_infused_ml": 12.0},
                 states.get(what, "unknown"), ())
        bed.send("pump-2", next(theirs), {"rate_ml_h": 0.0, "volume_infused_ml": 1.0}, "stopped", ())
        bed.tick()
        watch.look(stands=bool(bed.standing("pump") & (deserved | TECHNICAL)), at_s=bed.at_s)
        if watch.is_over(at_s=bed.at_s, left_s=ends_s - 1 - second, limit_s=limit_s):
            break
    return Found(watch.longest_s, limit_s, what)

