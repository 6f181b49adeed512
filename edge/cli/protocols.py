"""The verbs about protocols: check them, say them in words."""

from __future__ import annotations

from pathlib import Path

from edge.app.run import read_protocols
from edge.core.protocol import Protocol
from edge.core.protocols import gate_in_words


def check_protocols(file: Path) -> int:
    """`vigil protocols check`: 0 where the file can be used. Raises BadUsage with its one line."""
    found, _ = read_protocols(file)
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
    order, course, period = protocol.order, protocol.course, protocol.dissociation
    cuff = f"every {course.nibp_after_min:g} min" if course.nibp_after_min else "as ordered"
    lines = [
        f"{protocol.id}: {protocol.title} ({protocol.drug})",
        f"  Order: dose {order.dose_mg_kg.low:g} to {order.dose_mg_kg.high:g} mg/kg, in {order.duration_min.low:g} to"
        f" {order.duration_min.high:g} min, {order.concentration_mg_ml.low:g} to"
        f" {order.concentration_mg_ml.high:g} mg/mL.",
        f"  Baseline: the blood pressures of the last {course.baseline_window_s / 60:g} min before the infusion, two of"
        f" them at least {course.baseline_apart_s:g} s apart.",
        f"  Infusion: complete at {course.complete:.0%} of the ordered dose; a pause of more than"
        f" {course.paused_for_s / 60:g} min is its end. Cuff afterwards: {cuff}.",
        f"  Dissociation period: opens after {period.opens_after_s / 60:g} min of infusion at"
        f" {period.opens_from_mg_kg_h:g} mg/kg/h or more, or after {period.opens_after_mg_kg:.2f} mg/kg; closes"
        f" {period.closes_after_s / 60:g} min after the end at the earliest, with a check-in that shows a patient who"
        f" is back (MOAA/S {period.back_moaas}, CADSS at most {period.cadss_above}, distress at most"
        f" {period.back_distress_at_most}).",
    ]
    for title, gates in (("Before READY", protocol.ready), ("Before discharge", protocol.discharge)):
        lines.append(f"  {title}, open while:")
        lines += [f"    {gate.id}: {gate_in_words(gate)}" for gate in gates]
    return "\n".join([*lines, f"  Source: {protocol.source}"])
