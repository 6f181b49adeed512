"""The core against a second evaluator that keeps nothing: 20,000 random short traces, and they agree on every one. The
fast part of ./test takes the first 5,000 of them; `VIGIL_TRACES=1000000` takes so many instead of the 20,000.

The traces are drawn from a fixed seed out of what lies at the limits: pressures at a threshold and one unit below it,
intervals at the edges of a pair, readings whose spacing just covers a hold, holes that just break one, dips that just
are within a minute.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from random import Random

import pytest

from edge.core.alarms import SHOWN
from edge.core.bedside import Bedside
from edge.core.rules import parse_rules
from edge.core.state import Baseline, Order, Session
from edge.model import DeviceKind, Input, LinkChanged, Phase, Sample, Samples, Tick
from tests.helpers.naive import HTN, LONG, RES, Trace, Word, shown
from tests.helpers.rule_files import FILE

NAMES = {*(rule[0] for rule in (*HTN, *RES, *LONG)), "HTN-R"}
LONG_1 = """[[rule]]
id = "LONG-1"
class = "physiological"
priority = "low"
context = ["*"]
when = "spo2_pct < 94"
hold_s = 40
at_once = "spo2_pct < 70"
clear = "spo2_pct >= 95"
clear_hold_s = 40
title = "A long hold"
text = "-"
clears = "-"
why = "-"
source = "-"
"""
HEAD, *TABLES = FILE.read_text().split("[[rule]]")
HEAD = HEAD.partition("[interlock]")[0]  # it names rules that are not among these
RULES = parse_rules("[[rule]]".join([HEAD, *(table for table in TABLES if table.split('"')[1] in NAMES)]) + LONG_1)
DEVICES: tuple[tuple[str, DeviceKind, str], ...] = (("cuff", "nibp", "naive"), ("oximeter", "oximeter", "naive"))
PHASES: tuple[Phase | None, ...] = ("INFUSING", "INFUSING", "PAUSED", "RECOVERY", "PRECHECK", None)
BASELINES = ((120.0, 75.0), (130.0, 80.0), (100.0, 60.0), None)
APART_S = (45, 59, 60, 61, 180, 300, 300, 360, 599, 600, 601, 719, 720, 721, 779, 780, 781, 900, 1140, 1141)
SATURATIONS = (79, 80, 84, 84, 85, 87, 88, 89, 89, 89.5, 90, 91, 91, 92, 93, 97)


def real(trace: Trace) -> list[dict[str, str]]:
    """What the core shows after each word."""
    bed = Bedside("bed", DEVICES, RULES, nibp_interval_s=trace.interval_s)
    for device in bed.state.devices.values():
        device.link = "live"
    if trace.phase is not None:
        order = Order("iv_racemic_40", 70, 0.5, 40, 1, nibp_interval_min=trace.interval_s / 60)
        baseline = Baseline(*trace.baseline, 2, "pair") if trace.baseline else None
        bed.state.session = Session("session-1", "bed", order, trace.phase, 0.0, 0.0, "naive", baseline=baseline)  # type: ignore[arg-type]
    found = []
    for word in trace.words:
        bed.apply(input_of(word), word.at_s)
        states: dict[str, str] = {alarm.rule: f"{alarm.state}, no data" if alarm.no_data else alarm.state
                                  for alarm in bed.state.alarms.values() if alarm.state in SHOWN}
        states |= {alarm.worst.rule: "latched" for alarm in bed.state.alarms.values() if alarm.worst}
        found.append(states | ({"HTN-R": "asked"} if bed.state.request else {}))
    return found


def input_of(word: Word) -> Input:
    if word.kind == "tick":
        return Tick()
    if word.kind == "link":
        return LinkChanged("oximeter", "live" if word.values[0] else "lost")
    metrics = ("spo2_pct",) if word.kind == "spo2" else ("sbp_mmhg", "dbp_mmhg")
    device = "oximeter" if word.kind == "spo2" else "cuff"
    values = (*word.values, None, None)[:len(metrics)]
    return Samples(device, tuple(
        Sample("bed", device, metric, value, "valid" if value is not None else "invalid", word.at_s)
        for metric, value in zip(metrics, values, strict=True)))


def pressures(random: Random) -> Trace:
    """Three to six measurements."""
    baseline = random.choice(BASELINES)
    interval_s = random.choice((300.0, 600.0, 900.0))
    near = baseline or (120.0, 75.0)
    high = [[near[n] * factor + step for factor in (1.15, 1.20, 1.25, 1.30) for step in (0, -1)] for n in (0, 1)]
    high[0] += [155, 154, 160, 159, 170, 169, 180, 179]
    high[1] += [97, 96, 100, 99, 105, 104, 110, 109, 120, 119]
    at_s, words = 1_000.0, []
    for _ in range(random.randint(3, 6)):
        at_s += random.choice(APART_S)
        sbp, dbp = (near[n] if random.random() < 0.35 else random.choice(high[n]) for n in (0, 1))
        chance = random.random()
        if chance < 0.06:
            words.append(Word(at_s, "tick"))
        elif chance < 0.15:
            words.append(Word(at_s, "bp", random.choice(((), (sbp,)))))
        else:
            words.append(Word(at_s, "bp", (max(sbp, dbp + 10), dbp)))
    return Trace(baseline, interval_s, random.choice(PHASES), tuple(words))


def saturations(random: Random) -> Trace:
    """Eight to eighteen readings of one rhythm, mostly low or mostly coming back, with holes and losses."""
    at_s, words, live, value = 1_000.0, [], True, random.choice(SATURATIONS)
    step_s = random.choice((1, 1, 1.5, 2, 2, 2.5, 2.5, 3))
    for _ in range(random.randint(8, 18)):
        at_s += step_s if random.random() < 0.9 else random.choice((0.5, 4, 4.5, 5, 5.5, 6, 10, 11, 30))
        if random.random() < 0.3:
            value = random.choice(SATURATIONS)
        chance = random.random()
        if chance < 0.03 or (not live and chance < 0.5):
            live = not live
            words.append(Word(at_s, "link", (float(live),)))
        elif chance < 0.08 or not live:
            words.append(Word(at_s, "tick"))
        else:
            words.append(Word(at_s, "spo2", () if chance < 0.14 else (float(value),)))
    return Trace(None, 300.0, random.choice(("INFUSING", None)), tuple(words))


def long_stretches(random: Random) -> Trace:
    """Much the same saturation until a long hold is all but over, and then holes, losses and readings."""
    low = random.random() < 0.5
    value = 93.0 if low else 95.0
    words = [Word(1_000.0, "spo2", (97.0 if low else 69.0,))]
    words += [Word(1_000.0 + 2 * n, "spo2", (value,)) for n in range(1, random.randint(15, 20))]
    at_s, live = words[-1].at_s, True
    for _ in range(random.randint(2, 6)):
        at_s += random.choice((0.5, 1, 2, 3, 4, 4.5, 5, 5.5, 6, 7))
        kind = random.choice(("tick", "link", "spo2", "spo2")) if live else random.choice(("tick", "link"))
        live = live != (kind == "link")
        values = {"tick": (), "link": (float(live),), "spo2": random.choice(((), (value,), (value,), (94.0,)))}
        words.append(Word(at_s, kind, values[kind]))
    return Trace(None, 300.0, None, tuple(words))


def dips(random: Random) -> Trace:
    """Dips of a second or two whose first and last are about a minute apart."""
    at_s, words = 1_000.0, [Word(999.0, "spo2", (97.0,))]
    for _ in range(random.choice((3, 3, 4))):
        at_s += random.choice((10, 19, 20, 25, 29, 29.5, 30, 30.5, 31, 40, 45))
        words += [Word(at_s, "spo2", (random.choice((88.0, 89.0, 90.0)),)),
                  Word(at_s + 1, "spo2", (random.choice((89.0, 90.0, 95.0)),)),
                  Word(at_s + 2, "spo2", (95.0,))]
    return Trace(None, 300.0, "INFUSING", tuple(words))


def smallest(trace: Trace) -> Trace:
    """The trace without every word that the disagreement does not need."""
    for left_out in range(len(trace.words)):
        less = trace._replace(words=trace.words[:left_out] + trace.words[left_out + 1:])
        if less.words and real(less) != shown(less):
            return smallest(less)
    return trace


def report(trace: Trace) -> str:
    lines = [f"baseline {trace.baseline}, cuff every {trace.interval_s:g} s, phase {trace.phase}"]
    for word, core, naive in zip(trace.words, real(trace), shown(trace), strict=True):
        lines.append(f"{word.at_s:8g} s {word.kind} {word.values}: core {core}, naive {naive}")
    return "\n".join(lines)


MANY = int(os.environ.get("VIGIL_TRACES", "0")) or 20_000


@pytest.mark.parametrize("traces", [5_000, pytest.param(MANY, marks=pytest.mark.slow)])
def test_the_core_and_the_second_evaluator_agree_on_every_trace(traces: int) -> None:
    random = Random(62)
    draw: tuple[Callable[[Random], Trace], ...] = (*[pressures] * 10, *[saturations] * 5, dips, dips, long_stretches)
    on: set[str] = set()
    for number in range(traces):
        trace = draw[number % len(draw)](random)
        mine = shown(trace)
        assert real(trace) == mine, f"trace {number} of seed 62, as small as it gets:\n{report(smallest(trace))}"
        on |= mine[-1].keys()
    assert on == NAMES, f"no trace has raised {NAMES - on}: they say nothing of it"
