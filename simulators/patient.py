"""The simulated patient of one bed: what the twins' sensors feel, and what the pump does to it."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from typing import Protocol

from simulators.physiology import (
    DBP_MMHG_PER_NG_ML,
    PULSE_BPM_PER_NG_ML,
    SBP_MMHG_PER_NG_ML,
    Ketamine,
    Tolerance,
    pleth_at,
)


class Patient(Protocol):
    """What every twin of a bed shares. A value is None where there is nothing to measure (a recorded gap)."""

    spo2_pct: float | None
    pulse_bpm: float | None
    perfusion_index_pct: float | None
    sbp_mmhg: float | None
    dbp_mmhg: float | None
    map_mmhg: float | None
    resp_bpm: float | None

    def step(self, dt_s: float) -> None:
        """Live for `dt_s` seconds."""
        ...

    def infuse(self, rate_ml_h: float) -> None:
        """The pump runs at this rate from now on (0: it stopped)."""
        ...

    def pleth(self, t_s: float) -> float:
        """The pulse wave, 0 to 1, `t_s` seconds before now."""
        ...


@dataclass(frozen=True, slots=True)
class Baseline:
    """A patient at rest, before anything is infused."""

    sbp_mmhg: float = 120.0
    dbp_mmhg: float = 75.0
    pulse_bpm: float = 72.0
    spo2_pct: float = 97.6
    resp_bpm: float = 14.0
    perfusion_index_pct: float = 4.0


EPISODES = ("hypertension", "desaturation", "tachycardia")
_DBP_PER_SBP = 0.475  # how far the diastolic pressure follows a rise of the systolic
_NOISE_GRID_S = 1.0  # noise moves on a fixed grid, so it does not depend on how time is cut
_CLIP_SD = 2.0  # a calm patient must stay calm: no rare excursion that would look like an episode


class Wander:
    """Slow noise around 0: an Ornstein-Uhlenbeck process of this SD and time constant, cut at two SD."""

    __slots__ = ("_gain", "_keep", "_rng", "_x", "value")

    def __init__(self, rng: random.Random, sd: float, tau_s: float) -> None:
        self._rng = rng
        self._keep = math.exp(-_NOISE_GRID_S / tau_s)
        self._gain = sd * math.sqrt(1 - self._keep**2)
        self._x = rng.gauss(0.0, sd)
        self.value = 0.0
        self._cut(sd)

    def _cut(self, sd: float) -> None:
        self._x = min(max(self._x, -_CLIP_SD * sd), _CLIP_SD * sd)
        self.value = self._x

    def move(self, sd: float) -> None:
        """One second passes."""
        self._x = self._x * self._keep + self._gain * self._rng.gauss(0.0, 1.0)
        self._cut(sd)


@dataclass(slots=True)
class Ramp:
    """An offset on its way from where it is to `target`, at `per_s`."""

    now: float = 0.0
    target: float = 0.0
    per_s: float = 0.0

    def aim(self, target: float, over_s: float) -> None:
        self.target = target
        self.per_s = abs(target - self.now) / over_s if over_s > 0 else math.inf

    def step(self, dt_s: float) -> None:
        left = self.target - self.now
        if left:
            reach = self.per_s * dt_s
            self.now = self.target if abs(left) <= reach else self.now + math.copysign(reach, left)


_SD = {"sbp": (2.0, 120.0), "dbp": (1.2, 120.0), "pulse": (1.2, 20.0), "spo2": (0.3, 60.0), "resp": (0.8, 60.0)}


class SimulatedPatient:
    """A patient whose pressures follow the drug in them.

    `response` is the g of the pressure model: 1 the median, 3 a hyper-responder. `tolerance` is the share of the drug
    that the pressure gets used to. `concentration_mg_ml` is what is in the pump. The same seed gives the same patient.
    """

    def __init__(
        self,
        seed: int,
        weight_kg: float = 70.0,
        concentration_mg_ml: float = 1.0,
        baseline: Baseline | None = None,
        response: float = 1.0,
        tolerance: float = 0.0,
    ) -> None:
        rng = random.Random(f"patient {seed}")
        self.baseline = baseline or Baseline()
        self.ketamine, self._tolerance = Ketamine(weight_kg), Tolerance(tolerance)
        self._mg_min_per_ml_h = concentration_mg_ml / 60.0
        self._response = response
        self._rate_ml_h = 0.0
        self._wander = {name: Wander(rng, sd, tau_s) for name, (sd, tau_s) in _SD.items()}
        self._since_noise_s = 0.0
        self._ramps = {kind: Ramp() for kind in EPISODES}
        self._beats = rng.random()
        self.spo2_pct: float | None = None
        self.pulse_bpm: float | None = None
        self.perfusion_index_pct: float | None = None
        self.sbp_mmhg: float | None = None
        self.dbp_mmhg: float | None = None
        self.map_mmhg: float | None = None
        self.resp_bpm: float | None = None
        self._pulse = 0.0
        self._feel()

    def become(self, seed: int) -> None:
        """The next person with the same body: nothing infused yet, no episode, another day."""
        rate_ml_h, concentration_mg_ml = self._rate_ml_h, self._mg_min_per_ml_h * 60.0
        SimulatedPatient.__init__(
            self, seed, self.ketamine.weight_kg, concentration_mg_ml, self.baseline, self._response,
            self._tolerance.share)
        self._rate_ml_h = rate_ml_h

    def episodes(self) -> dict[str, float]:
        """How far each kind of episode has gone by now, in its own unit; 0: there is none."""
        return {kind: ramp.now for kind, ramp in self._ramps.items()}

    def infuse(self, rate_ml_h: float) -> None:
        self._rate_ml_h = rate_ml_h

    def episode(self, kind: str, amount: float, over_s: float) -> None:
        """From now on, over `over_s` seconds: `amount` mmHg more systolic, % less SpO2, or /min more pulse; 0 ends it.

        Raises ValueError for a kind that is not one of EPISODES.
        """
        if kind not in self._ramps:
            raise ValueError(f"no episode {kind!r}; there are: {', '.join(EPISODES)}")
        self._ramps[kind].aim(amount, over_s)

    def step(self, dt_s: float) -> None:
        self.ketamine.step(dt_s / 60.0, self._rate_ml_h * self._mg_min_per_ml_h)
        self._tolerance.step(dt_s / 60.0, self.ketamine.effect_ng_ml)
        for ramp in self._ramps.values():
            ramp.step(dt_s)
        self._since_noise_s += dt_s
        while self._since_noise_s >= _NOISE_GRID_S:
            self._since_noise_s -= _NOISE_GRID_S
            for name, wander in self._wander.items():
                wander.move(_SD[name][0])
        self._beats += dt_s * self._pulse / 60.0
        self._feel()

    def _feel(self) -> None:
        """What the sensors would find now."""
        rest, wander, effect = self.baseline, self._wander, self._response * self.ketamine.effect_ng_ml
        pressure, presses = self._ramps["hypertension"].now, effect - self._response * self._tolerance.used_to_ng_ml
        sbp = rest.sbp_mmhg + SBP_MMHG_PER_NG_ML * presses + pressure + wander["sbp"].value
        dbp = rest.dbp_mmhg + DBP_MMHG_PER_NG_ML * presses + _DBP_PER_SBP * pressure + wander["dbp"].value
        quicker = PULSE_BPM_PER_NG_ML * effect + self._ramps["tachycardia"].now
        self.sbp_mmhg, self.dbp_mmhg, self.map_mmhg = sbp, dbp, dbp + (sbp - dbp) / 3.0
        self._pulse = max(rest.pulse_bpm + quicker + wander["pulse"].value, 20.0)
        self.pulse_bpm = self._pulse
        spo2 = rest.spo2_pct - self._ramps["desaturation"].now + wander["spo2"].value
        self.spo2_pct = min(max(spo2, 0.0), 100.0)
        self.resp_bpm = max(rest.resp_bpm + wander["resp"].value, 0.0)
        self.perfusion_index_pct = rest.perfusion_index_pct

    def pleth(self, t_s: float) -> float:
        return pleth_at(self._beats - t_s * self._pulse / 60.0)
