"""The core against a second evaluator that keeps nothing: 20,000 random short traces, and they agree on every one.

`VIGIL_TRACES=1000000` takes so many instead of the slow part's; `VIGIL_FIRST=1000000` begins with others: how they are
drawn is in `helpers/traces.py`.
"""

from __future__ import annotations

import os

import pytest

from edge.core.alarms import SHOWN
from edge.core.bedside import Bedside
from edge.core.rules import parse_rules
from edge.core.state import Baseline, Order, Session
from edge.model import DeviceKind, Input, LinkChanged, Sample, Samples, Tick
from tests.helpers.naive import HTN, LONG, RES, Shown, Trace, Word, shown
from tests.helpers.rule_files import FILE
from tests.helpers.traces import drawn

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
HEAD = HEAD.partition("[attention]")[0]  # ladders and the interlock name rules that are not among these
RULES = parse_rules("[[rule]]".join([HEAD, *(table for table in TABLES if table.split('"')[1] in NAMES)]) + LONG_1)
DEVICES: tuple[tuple[str, DeviceKind, str], ...] = (("cuff", "nibp", "naive"), ("oximeter", "oximeter", "naive"))


def bed_of(trace: Trace) -> Bedside:
    """The bed, before anything came."""
    bed = Bedside("bed", DEVICES, RULES, nibp_interval_s=trace.interval_s)
    for device in bed.state.devices.values():
        device.link = "live"
    if trace.phase is not None:
        order = Order("iv_racemic_40", 70, 0.5, 40, 1, nibp_interval_min=trace.interval_s / 60)
        baseline = Baseline(*trace.baseline, 2, "pair") if trace.baseline else None
        bed.state.session = Session("session-1", "bed", order, trace.phase, 0.0, 0.0, "naive", baseline=baseline)  # type: ignore[arg-type]
    return bed


def after(bed: Bedside, word: Word) -> dict[str, str]:
    """What the core shows after this word."""
    bed.apply(input_of(word), word.at_s)
    states: dict[str, str] = {alarm.rule: f"{alarm.state}, no data" if alarm.no_data else alarm.state
                              for alarm in bed.state.alarms.values() if alarm.state in SHOWN}
    states |= {alarm.worst.rule: "latched" for alarm in bed.state.alarms.values() if alarm.worst}
    return states | ({"HTN-R": "asked"} if bed.state.request else {})


def real(trace: Trace) -> list[dict[str, str]]:
    """What the core shows after each word."""
    bed = bed_of(trace)
    return [after(bed, word) for word in trace.words]


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


FIRST = int(os.environ.get("VIGIL_FIRST", "0"))
MORE = int(os.environ.get("VIGIL_TRACES", "0"))


def agree(bed: Bedside, naive: Shown, trace: Trace, since: int) -> dict[str, str]:
    """Live the words from `since` on; what is shown at last."""
    for count in range(since + 1, len(trace.words) + 1):
        states = naive.after(trace, count)
        assert after(bed, trace.words[count - 1]) == states, f"as small as it gets:\n{report(smallest(trace))}"
    return states


@pytest.mark.parametrize(("first", "traces"), [
    *((part, 5_000) for part in (0, 600, 1_200, 1_800)),
    pytest.param(FIRST or 2_400, MORE or 30_000, marks=[pytest.mark.slow, pytest.mark.timeout(300 + MORE // 100)])])
def test_the_core_and_the_second_evaluator_agree_on_every_trace(first: int, traces: int) -> None:
    on: set[str] = set()
    number = first
    while traces > 0:
        beginning, endings = drawn(number)
        since, bed, naive = len(beginning.words), bed_of(beginning), Shown()
        on |= agree(bed, naive, beginning, 0).keys()
        begun = bed.snapshot()
        for ending in endings:
            bed.restore(begun)
            trace = beginning._replace(words=beginning.words + ending)
            on |= agree(bed, naive.apart(), trace, since).keys()
        number, traces = number + 1, traces - len(endings)
    assert on == NAMES, f"no trace has raised {NAMES - on}: they say nothing of it"
