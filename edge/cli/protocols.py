"""The verbs about protocols: check them, say them in words."""

from __future__ import annotations

from pathlib import Path

from edge.app.run import read_protocols, read_rules
from edge.core.protocol import Protocol, Step
from edge.core.protocols import condition_in_words, gate_in_words


def check_protocols(file: Path) -> int:
    """`vigil protocols check`: 0 where the file can be used, with the rules beside it, if there are any. Raises
    BadUsage with its one line."""
    rules = read_rules(beside)[0] if (beside := file.with_name("rules.toml")).is_file() else None
    found, _ = read_protocols(file, rules)
    assert found is not None
    print(f"{file}: good: {', '.join(found.by_id)}")
    return 0


def explain_protocols(file: Path) -> int:
    """`vigil protocols explain`: each protocol in words. Raises BadUsage."""
    found, _ = read_protocols(file)
    assert found is not None
    print("\n\n".join(_explained(protocol) for protocol in found.by_id.values()))
    return 0


def _explained(protocol: Protocol) -> str:
    course, period = protocol.course, protocol.dissociation
    since = "the end" if period.counted_from == "end" else "the first dose"
    lines = [
        f"{protocol.id}: {protocol.title} ({protocol.drug}, {protocol.route})", f"  {_order(protocol)}",
        f"  Baseline: the blood pressures of the last {course.baseline_window_s / 60:g} min before the start, two of"
        f" them at least {course.baseline_apart_s:g} s apart.",
        f"  The dose is complete at {course.complete:.0%} of what was ordered; a pause of more than"
        f" {course.paused_for_s / 60:g} min is its end.",
        *_schedule("Cuff", protocol.schedule.cuff, "as ordered, or as edge.toml has it"),
        *_schedule("Check-ins", protocol.schedule.check_in, "none is due"),
        *_schedule("Oximetry", protocol.schedule.oximetry, "none is due; where an oximeter measures, none is missed"),
        f"  Dissociation period: opens after {_opening(protocol)}; closes {period.closes_after_s / 60:g} min after"
        f" {since} at the earliest, with a check-in that shows a patient who is back (MOAA/S {period.back_moaas}, CADSS"
        f" at most {period.cadss_above}, distress at most {period.back_distress_at_most}).",
        *_by_estimate(protocol),
    ]
    for title, gates in (("Before READY", protocol.ready), ("Before what was held goes on", protocol.go_on),
                         ("Before discharge", protocol.discharge)):
        lines.append(f"  {title}, open while:")
        lines += [f"    {gate.id}: {gate_in_words(gate)}" for gate in gates]
    return "\n".join([*lines, f"  Source: {protocol.source}"])


def _by_estimate(protocol: Protocol) -> list[str]:
    period, after_s = protocol.dissociation, protocol.dissociation.estimate_closes_after_s
    if protocol.pk is None or period.opens_from_ng_ml is None or period.closes_below_ng_ml is None or after_s is None:
        return []
    return [f"  With an estimate where the drug acts ({protocol.pk.name}): opens from {period.opens_from_ng_ml:g} ng/mL"
            f" on; closes {after_s / 60:g} min after at the earliest, below {period.closes_below_ng_ml:g} ng/mL, with"
            " such a check-in."]


def _order(protocol: Protocol) -> str:
    order, by_hand = protocol.order, protocol.by_hand
    if by_hand is not None:
        doses = " or ".join(f"{mg:g}" for mg in by_hand.doses_mg)
        return (f"Order: {doses} mg, given by hand in devices of {by_hand.device_mg:g} mg,"
                f" {by_hand.apart_s / 60:g} min apart. No pump has a part in it.")
    limits = [(order.dose_mg_kg, "mg/kg"), (order.duration_min, "min"), (order.concentration_mg_ml, "mg/mL")]
    told = [f"{one.low:g} to {one.high:g} {unit}" for one, unit in limits if one is not None]
    return f"Order: dose {told[0]}, in {told[1]}, {told[2]}."


def _opening(protocol: Protocol) -> str:
    period = protocol.dissociation
    if protocol.by_hand is not None:
        return f"{period.opens_after_s / 60:g} min from the first dose"
    return (f"{period.opens_after_s / 60:g} min of infusion at {period.opens_from_mg_kg_h:g} mg/kg/h or more, or after"
            f" {period.opens_after_mg_kg:.2f} mg/kg")


def _schedule(title: str, steps: tuple[Step, ...], otherwise: str) -> list[str]:
    if not steps:
        return [f"  {title}: {otherwise}."]
    return [f"  {title}:", *(f"    {_step(step, alone=len(steps) == 1)}" for step in steps)]


def _step(step: Step, *, alone: bool) -> str:
    parts = [f"every {step.every_min:g} min"] if step.every_min else []
    if step.at_min:
        parts.append(f"at {', '.join(f'{minute:g}' for minute in step.at_min)} min from the start")
    where = f"while {condition_in_words(step.when)}" if step.when else "always" if alone else "otherwise"
    return f"{' and '.join(parts)}, {where}{', unless ordered otherwise' if step.ordered else ''}"
