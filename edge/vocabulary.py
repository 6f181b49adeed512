"""The metrics: the only numbers Vigil knows, with their units, codes and limits, and where a page shows them.

Codes: MDC is the context-free code of IEEE 11073-10101, LOINC and UCUM are what a number is called where it leaves the
house; a code that could not be verified in its own registry is left out rather than guessed. They stand in the AsyncAPI
document and in `vigil devices --json`. `low` and `high` bound what a device may plausibly say: outside them a value is
refused as implausible, whatever the device claims. `stale_after_s` is how old a number may grow before it is no longer
shown, or judged, as live: about ten periods of a device that speaks every second. What may be judged by is narrower:
edge.core.plausible.

`group`, `order` and `trend` lay out every page: a metric with a group has a tile wherever a bed measures it, one with a
trend is drawn in it. To show one more metric, add its row here (and run `python -m edge.contract.typescript`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

NIBP_STALE_AFTER_S = 600.0  # replaced by the session's own NIBP interval + 300 s where one is known

Group = Literal["vital", "pressure", "pump", "none"]  # a tile each; the pressures share one; the pump's panel; none


@dataclass(frozen=True, slots=True)
class Trend:
    """How a metric is drawn over time: on which axis (its words), and from where to where that axis goes."""

    axis: str
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Metric:
    """One measured or set quantity. `key` names it everywhere and carries the unit."""

    key: str
    label: str
    unit: str  # as a nurse reads it
    ucum: str
    low: float
    high: float
    stale_after_s: float
    mdc: int | None = None
    loinc: str | None = None
    decimals: int = 0
    group: Group = "none"
    trend: Trend | None = None
    always: bool = False  # it has its place on a page even before anything was measured
    abbreviated: str = ""  # where a line of the ward has no room for the label

    @property
    def short(self) -> str:
        """The label in few letters."""
        return self.abbreviated or self.label


_CUFF_S = NIBP_STALE_AFTER_S
_PCT, _RATE = Trend("%", 70, 100), Trend("/min, mmHg", 30, 210)  # heart rates and pressures share one axis, as on paper

METRICS: dict[str, Metric] = {
    metric.key: metric
    for metric in (  # the order of the rows is the order on a page
        Metric("spo2_pct", "SpO₂", "%", "%", 0, 100, 10, 150456, "59408-5", 0, "vital", _PCT, True),
        Metric("pulse_bpm", "Pulse", "/min", "/min", 20, 321, 10, 149530, "8889-8", 0, "vital", _RATE, True),
        Metric("resp_bpm", "Respiration", "/min", "/min", 0, 120, 15, 151562, "9279-1", 0, "vital",
               Trend("/min", 0, 60), abbreviated="Resp"),
        Metric("etco2_mmhg", "etCO₂", "mmHg", "mm[Hg]", 0, 150, 15, 151708, "19891-1", 0, "vital",
               Trend("mmHg", 0, 60)),
        Metric("heart_rate_bpm", "Heart rate", "/min", "/min", 10, 350, 10, 147842, "8867-4", 0, "vital", _RATE,
               abbreviated="HR"),
        Metric("temp_c", "Temperature", "°C", "Cel", 20, 45, 300, 150364, "8310-5", 1, "vital", Trend("°C", 34, 41),
               abbreviated="Temp"),
        Metric("perfusion_index_pct", "Perfusion index", "%", "%", 0, 25, 10, 150448, "61006-3", 1, "vital",
               Trend("PI %", 0, 20), abbreviated="PI"),
        Metric("sbp_mmhg", "SBP", "mmHg", "mm[Hg]", 40, 300, _CUFF_S, 150021, "8480-6", 0, "pressure", _RATE, True),
        Metric("dbp_mmhg", "DBP", "mmHg", "mm[Hg]", 10, 220, _CUFF_S, 150022, "8462-4", 0, "pressure", _RATE, True),
        Metric("map_mmhg", "MAP", "mmHg", "mm[Hg]", 20, 260, _CUFF_S, 150023, "8478-0", 0, "pressure", _RATE),
        Metric("nibp_pulse_bpm", "Pulse (cuff)", "/min", "/min", 20, 321, _CUFF_S, 149546, "8867-4", 0,
               "pressure"),
        Metric("cuff_pressure_mmhg", "Cuff pressure", "mmHg", "mm[Hg]", 0, 330, 5),
        Metric("rate_ml_h", "Rate", "mL/h", "mL/h", 0, 2000, 10, 158014, None, 1, "pump"),
        Metric("volume_infused_ml", "Infused", "mL", "mL", 0, 5000, 10, 157993, None, 1, "pump"),
        Metric("vtbi_ml", "To infuse", "mL", "mL", 0, 5000, 60, 157884, None, 1, "pump"),
        Metric("volume_remaining_ml", "Remaining", "mL", "mL", 0, 5000, 10, 157872, None, 1, "pump"),
        Metric("time_remaining_s", "Time left", "s", "s", 0, 360000, 10, 157916, None, 0, "pump"),
        Metric("line_pressure_mmhg", "Line pressure", "mmHg", "mm[Hg]", -500, 3_000_000, 10, None, None, 0, "pump"),
        Metric("syringe_size_ml", "Syringe", "mL", "mL", 0, 1000, 3600, 157880, None, 0, "pump"),
        Metric("battery_pct", "Battery", "%", "%", 0, 100, 300, 67996),
    )
}
DETERMINATION = ("sbp_mmhg", "dbp_mmhg", "map_mmhg", "nibp_pulse_bpm")  # the four that come together, once
BY_FINGER = frozenset({"spo2_pct", "pulse_bpm", "perfusion_index_pct"})  # lost where a cuff stops the arm's blood
LOST_WITH: dict[str, frozenset[str]] = {  # a finger without a saturation has no pulse; one without a pulse may have one
    "spo2_pct": BY_FINGER, **dict.fromkeys(DETERMINATION, frozenset(DETERMINATION))}
WAVES = frozenset({"pleth"})
SYMPTOMS: dict[str, str] = {  # that rules may name; a nurse may write others, which no rule knows
    "chest_pain": "chest pain", "dyspnoea": "short of breath", "severe_headache": "sudden severe headache",
    "visual_disturbance": "visual disturbance", "seizure": "seizure", "focal_deficit": "weakness on one side",
    "suicidal_thoughts": "suicidal thoughts", "agitation": "agitated", "calls_for_help": "calls for help",
    "dissociation": "dissociation", "dizziness": "dizziness", "vomiting": "vomiting",
}
ATTESTATIONS: dict[str, str] = {  # what a nurse may attest, for gates to ask for
    "escort": "an adult takes the patient home", "oriented": "oriented to person, place and time",
    "no_dissociation": "oriented, and no dissociation", "gait": "walks steadily",
    "fluids": "drinks and keeps it down", "mood": "asked about suicidal thoughts: none",
}


def counted(count: int, noun: str) -> str:
    """How many, in words: 1 bed, 2 beds, 0 beds."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
