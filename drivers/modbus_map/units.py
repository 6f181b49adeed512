"""What one of a manual's units is in a metric's own unit: number times factor plus offset."""

from __future__ import annotations

from collections.abc import Mapping

Units = Mapping[str, tuple[float, float]]  # a unit as a manual writes it -> factor, offset

_TIME_S: Units = {"s": (1.0, 0.0), "ms": (0.001, 0.0), "min": (60.0, 0.0), "h": (3600.0, 0.0)}
_VOLUME_ML: Units = {"mL": (1.0, 0.0), "uL": (0.001, 0.0), "L": (1000.0, 0.0)}
_FLOW_ML_H: Units = {
    "mL/h": (1.0, 0.0), "mL/min": (60.0, 0.0), "mL/s": (3600.0, 0.0), "uL/h": (0.001, 0.0), "uL/min": (0.06, 0.0),
    "L/h": (1000.0, 0.0), "L/min": (60_000.0, 0.0),
}
_PRESSURE_MMHG: Units = {  # 1 mmHg is 133.322387415 Pa (ISO 80000-4)
    "mmHg": (1.0, 0.0), "kPa": (7.500616827, 0.0), "Pa": (0.007500616827, 0.0), "hPa": (0.7500616827, 0.0),
    "mbar": (0.7500616827, 0.0), "bar": (750.0616827, 0.0), "psi": (51.71493257, 0.0), "atm": (760.0, 0.0),
    "cmH2O": (0.735559240, 0.0),
}
_SHARE_PCT: Units = {"%": (1.0, 0.0), "1": (100.0, 0.0)}
_RATE_BPM: Units = {"/min": (1.0, 0.0), "bpm": (1.0, 0.0), "/s": (60.0, 0.0), "Hz": (60.0, 0.0)}
_TEMPERATURE_C: Units = {"C": (1.0, 0.0), "°C": (1.0, 0.0), "F": (5 / 9, -160 / 9), "°F": (5 / 9, -160 / 9),
                         "K": (1.0, -273.15)}

_BY_ENDING: tuple[tuple[str, Units], ...] = (  # the longest ending first: _ml_h is no _h
    ("_ml_h", _FLOW_ML_H), ("_mmhg", _PRESSURE_MMHG), ("_pct", _SHARE_PCT), ("_bpm", _RATE_BPM), ("_ml", _VOLUME_ML),
    ("_c", _TEMPERATURE_C), ("_s", _TIME_S),
)


def units_of(metric: str) -> Units:
    """The units a metric may be written in, its own first; empty where its name has no unit."""
    return next((units for ending, units in _BY_ENDING if metric.endswith(ending)), {})
