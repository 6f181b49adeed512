"""The metrics: the only numbers this house speaks of, with their units, codes and limits.

Codes: MDC is the IEEE 11073-10101 context-free code, LOINC and UCUM as in reference/clinical.md 5.1 (a code that could
not be verified there is left out rather than guessed). `low` and `high` bound what a device may plausibly say: outside
them a value is refused as implausible, whatever the device claims. `stale_after_s` is how old a number may grow before
it is no longer shown, or judged, as live (clinical.md 3.7). What may be judged by is narrower: edge.core.plausible.
"""

from __future__ import annotations

from dataclasses import dataclass

NIBP_STALE_AFTER_S = 600.0  # replaced by the session's own NIBP interval + 300 s where one is known


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


METRICS: dict[str, Metric] = {
    metric.key: metric
    for metric in (
        Metric("spo2_pct", "SpO₂", "%", "%", 0, 100, 10, 150456, "59408-5"),
        Metric("pulse_bpm", "Pulse", "/min", "/min", 20, 321, 10, 149530, "8889-8"),
        Metric("perfusion_index_pct", "Perfusion index", "%", "%", 0, 25, 10, 150448, "61006-3", 1),
        Metric("sbp_mmhg", "SBP", "mmHg", "mm[Hg]", 40, 300, NIBP_STALE_AFTER_S, 150021, "8480-6"),
        Metric("dbp_mmhg", "DBP", "mmHg", "mm[Hg]", 10, 220, NIBP_STALE_AFTER_S, 150022, "8462-4"),
        Metric("map_mmhg", "MAP", "mmHg", "mm[Hg]", 20, 260, NIBP_STALE_AFTER_S, 150023, "8478-0"),
        Metric("nibp_pulse_bpm", "Pulse (cuff)", "/min", "/min", 20, 321, NIBP_STALE_AFTER_S, 149546, "8867-4"),
        Metric("cuff_pressure_mmhg", "Cuff pressure", "mmHg", "mm[Hg]", 0, 330, 5),
        Metric("heart_rate_bpm", "Heart rate", "/min", "/min", 10, 350, 10, 147842, "8867-4"),
        Metric("resp_bpm", "Respiration", "/min", "/min", 0, 120, 15, 151562, "9279-1"),
        Metric("etco2_mmhg", "etCO₂", "mmHg", "mm[Hg]", 0, 150, 15, 151708, "19891-1"),
        Metric("temp_c", "Temperature", "°C", "Cel", 20, 45, 300, 150364, "8310-5", 1),
        Metric("rate_ml_h", "Rate", "mL/h", "mL/h", 0, 2000, 10, 158014, None, 1),
        Metric("volume_infused_ml", "Infused", "mL", "mL", 0, 5000, 10, 157993, None, 1),
        Metric("vtbi_ml", "To infuse", "mL", "mL", 0, 5000, 60, 157884, None, 1),
        Metric("volume_remaining_ml", "Remaining", "mL", "mL", 0, 5000, 10, 157872, None, 1),
        Metric("time_remaining_s", "Time left", "s", "s", 0, 360000, 10, 157916),
        Metric("line_pressure_mmhg", "Line pressure", "mmHg", "mm[Hg]", -500, 3_000_000, 10),
        Metric("syringe_size_ml", "Syringe", "mL", "mL", 0, 1000, 3600, 157880),
        Metric("battery_pct", "Battery", "%", "%", 0, 100, 300, 67996),
    )
}

DETERMINATION = ("sbp_mmhg", "dbp_mmhg", "map_mmhg", "nibp_pulse_bpm")  # the four that come together, once
WAVES = frozenset({"pleth"})
