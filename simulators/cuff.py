"""What the simulated cuffs do alike: inflate when told to, feel the patient, let go; and what can be wrong with one.

    idle --begin--> inflating --top reached--> deflating --below DBP--> idle ("ok", or what was wrong)

A twin adds its protocol. Chosen here, as for every twin: 30 mmHg/s up, steps of a second down.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from simulators.contract import Hands
from simulators.patient import Patient

HANDS = ("leak", "loose", "motion", "weak", "overpressure", "ok")
Phase = Literal["idle", "inflating", "deflating"]
INFLATE_MMHG_S, DEFLATE_MMHG_S, DEFLATE_IN_S = 30.0, 5.0, 22.0
OVER_SBP_MMHG, UNDER_DBP_MMHG = 30.0, 15.0  # how far a cuff goes above and below what it looks for
OVERPRESSURE_MMHG, LOOSE_MMHG, LEAK_MMHG, TOP_MMHG = 305.0, 8.0, 40.0, 280.0
GIVE_UP_S = 12.0  # a cuff that does not fill
CYCLE_S, FIRST_S, START_MMHG = 300.0, 30.0, 160.0  # of a monitor's own cuff


class Cuff:
    """One cuff with its hose and pump."""

    def __init__(self, patient: Patient) -> None:
        self.phase: Phase = "idle"
        self.pressure_mmhg = 0.0
        self.completed = 0  # determinations that ended, with or without numbers
        self.wrong: str | None = None  # what a hand did
        self._patient = patient
        self._goal = self._floor = self._fall = self._elapsed_s = 0.0
        self.hands: Hands = {**{what: self._hand(what) for what in HANDS[:-1]}, "ok": self._put_right}

    def begin(self, top_mmhg: float) -> None:
        """A determination begins; `top_mmhg` is where it inflates to at least."""
        sbp, dbp = self._patient.sbp_mmhg, self._patient.dbp_mmhg
        self._goal = min(max(top_mmhg, (sbp or 0.0) + OVER_SBP_MMHG), TOP_MMHG)
        self._floor = max((dbp or 60.0) - UNDER_DBP_MMHG, 20.0)
        self._fall = max((self._goal - self._floor) / DEFLATE_IN_S, DEFLATE_MMHG_S)
        self.phase, self._elapsed_s, self.pressure_mmhg = "inflating", 0.0, 0.0

    def stop(self) -> None:
        """It is let down at once."""
        self.completed += self.phase != "idle"
        self.phase, self.pressure_mmhg = "idle", 0.0

    def live(self, dt_s: float) -> str | None:
        """So much time passes; how a determination ended in it: ok, leak, loose, motion, weak or overpressure."""
        if self.phase == "idle":
            return None
        self._elapsed_s += dt_s
        ended = self._inflate(dt_s) if self.phase == "inflating" else self._deflate()
        if ended:
            self.stop()
        return "weak" if ended == "ok" and self.felt is None else ended

    @property
    def felt(self) -> tuple[int, int, int, int] | None:
        """Systolic, diastolic, mean and pulse, where the patient has all of them."""
        patient = self._patient
        values = (patient.sbp_mmhg, patient.dbp_mmhg, patient.map_mmhg, patient.pulse_bpm)
        felt = [round(value) for value in values if value is not None]
        return (felt[0], felt[1], felt[2], felt[3]) if len(felt) == len(values) else None

    def _inflate(self, dt_s: float) -> str | None:
        if self.wrong in ("loose", "leak"):
            most = LOOSE_MMHG if self.wrong == "loose" else LEAK_MMHG
            self.pressure_mmhg = min(self.pressure_mmhg + INFLATE_MMHG_S * dt_s, most)
            return self.wrong if self._elapsed_s >= GIVE_UP_S else None
        goal = OVERPRESSURE_MMHG if self.wrong == "overpressure" else self._goal
        self.pressure_mmhg = min(self.pressure_mmhg + INFLATE_MMHG_S * dt_s, goal)
        if self.pressure_mmhg >= OVERPRESSURE_MMHG:
            return "overpressure"
        if self.pressure_mmhg >= goal:
            self.phase, self._elapsed_s = "deflating", 0.0
        return None

    def _deflate(self) -> str | None:
        """Down in steps of one second."""
        if self.wrong == "leak":
            return "leak"
        self.pressure_mmhg = max(self._goal - self._fall * int(self._elapsed_s), 0.0)
        return None if self.pressure_mmhg > self._floor else self.wrong or "ok"

    def _hand(self, what: str) -> Callable[[], None]:
        def done() -> None:
            self.wrong = what

        return done

    def _put_right(self) -> None:
        self.wrong = None


class OwnCuff(Cuff):
    """A monitor's cuff, which has a cycle of its own: every five minutes, the first after half a minute."""

    def __init__(self, patient: Patient) -> None:
        super().__init__(patient)
        self.age_s = 0.0  # of the last determination
        self.last: tuple[int, int, int, int] | None = None  # systolic, diastolic, mean, pulse; None: it had no numbers
        self._cycle_s = FIRST_S
        self.hands = {**self.hands, "measure": self.measure}

    def measure(self) -> None:
        """A person presses its key."""
        self._cycle_s = CYCLE_S
        if self.phase == "idle":
            self.begin(START_MMHG)

    def live(self, dt_s: float) -> str | None:
        self.age_s += dt_s
        self._cycle_s -= dt_s
        if self._cycle_s <= 0:
            self.measure()
        ended = super().live(dt_s)
        if ended is not None:
            self.age_s, self.last = 0.0, self.felt if ended == "ok" else None
        return ended
