"""What ketamine does to the simulated patient: plasma and effect-site concentration, and the pressures they raise.

Pharmacokinetics: Clements & Nimmo 1981 (BJA 53:27), two compartments per kilogram, with an effect site of half-life
6.1 min (Olofsen). The pressure model is good enough for a simulator and no more: linear in the effect-site
concentration, calibrated to the mean of published sessions. Never a prediction of a person.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

V1_L_KG = 1.7522
K10, K12, K21 = 0.0109, 0.0186, 0.0137  # 1/min
KE0 = math.log(2) / 6.1  # 1/min

SBP_MMHG_PER_NG_ML = 0.108
DBP_MMHG_PER_NG_ML = 0.074
PULSE_BPM_PER_NG_ML = 0.028

# The eigenvalues of the two compartments: x^2 - (k10+k12+k21) x + k10 k21 = 0
_SUM = K10 + K12 + K21
_ROOT = math.sqrt(_SUM * _SUM - 4 * K10 * K21)
_FAST, _SLOW = (_SUM + _ROOT) / 2, (_SUM - _ROOT) / 2


@dataclass(slots=True)
class Ketamine:
    """The drug in one body: mg in the two compartments, and the effect site. All updates are exact, at any step."""

    weight_kg: float
    central_mg: float = 0.0
    peripheral_mg: float = 0.0
    effect_ng_ml: float = 0.0

    @property
    def plasma_ng_ml(self) -> float:
        return 1000.0 * self.central_mg / (V1_L_KG * self.weight_kg)

    def step(self, dt_min: float, rate_mg_min: float) -> None:
        """`dt_min` minutes under a constant infusion. The deviation from the steady state is a sum of exponentials."""
        ng_ml_per_mg = 1000.0 / (V1_L_KG * self.weight_kg)
        steady1 = rate_mg_min / K10
        steady2 = steady1 * K12 / K21
        off1, off2 = self.central_mg - steady1, self.peripheral_mg - steady2
        slope = -(K10 + K12) * off1 + K21 * off2
        fast = -(slope + _SLOW * off1) / (_FAST - _SLOW)
        slow = off1 - fast
        fast_c, slow_c = (KE0 / (KE0 - rate) * part * ng_ml_per_mg for rate, part in ((_FAST, fast), (_SLOW, slow)))
        off_effect = self.effect_ng_ml - steady1 * ng_ml_per_mg
        own = off_effect - fast_c - slow_c

        decay_fast, decay_slow, decay_own = (math.exp(-rate * dt_min) for rate in (_FAST, _SLOW, KE0))
        fast, slow = fast * decay_fast, slow * decay_slow
        self.central_mg = steady1 + fast + slow
        slope = -_FAST * fast - _SLOW * slow
        self.peripheral_mg = steady2 + (slope + (K10 + K12) * (fast + slow)) / K21
        self.effect_ng_ml = (
            steady1 * ng_ml_per_mg + fast_c * decay_fast + slow_c * decay_slow + own * decay_own
        )


@dataclass(slots=True)
class Tolerance:
    """How the pressure gets used to the drug while it is there: from what the effect site has, `used_to_ng_ml` is taken
    away, which follows `share` of it with this time constant. Simulator grade: chosen so that the pressure is as
    published (simulators/cohort.py). A share of 0 is no tolerance."""

    share: float = 0.0
    tau_min: float = 45.0
    used_to_ng_ml: float = 0.0

    def step(self, dt_min: float, effect_ng_ml: float) -> None:
        """`dt_min` minutes, at whose end the effect site has this much."""
        if self.share:
            keep = math.exp(-dt_min / self.tau_min)
            self.used_to_ng_ml = self.used_to_ng_ml * keep + (1 - keep) * self.share * effect_ng_ml


def _pulse_shape(phase: float) -> float:
    """One beat of a finger pleth: the systolic peak, the dicrotic notch, the smaller wave after it."""
    systole = math.exp(-(((phase - 0.25) / 0.11) ** 2))
    diastole = 0.42 * math.exp(-(((phase - 0.55) / 0.12) ** 2))
    return systole + diastole


_POINTS = 512
_BEAT = tuple(_pulse_shape(point / _POINTS) for point in range(_POINTS))
_TOP = max(_BEAT)
BEAT = tuple(value / _TOP for value in _BEAT)


def pleth_at(beats: float) -> float:
    """The pulse wave, 0 to 1, `beats` beats after the first began."""
    return BEAT[int((beats - math.floor(beats)) * _POINTS) % _POINTS]
