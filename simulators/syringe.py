"""What the simulated syringe pumps do alike: infuse, end, occlude, raise an alarm, and obey a person's hands.

A pump's own twin adds its protocol. `alarms` are words of drivers.contract.ALARMS. Chosen here, as for every twin: the
patient gets nothing through a blocked line, whose occlusion the pump notices after `OCCLUSION_S`; what stops the pump
keeps it stopped until a person clears it.
"""

from __future__ import annotations

from collections.abc import Mapping

from simulators.contract import Hands
from simulators.patient import Patient

SYRINGE_ML = 50.0
OCCLUSION_S = 10.0
STOPPING = ("fault", "occlusion", "end_of_infusion", "vtbi_done")  # worst first
HANDS = ("program", "start", "stop", "occlude", "clear", "load", "fault", "low_battery", "mute", "unmute")


class SyringePump:
    """One pump. A stage sets `rate_ml_h` and `vtbi_ml` and has the hand `program` enter them."""

    max_rate_ml_h = 1200.0

    def __init__(self, patient: Patient) -> None:
        self.patient = patient
        self.rate_ml_h, self.vtbi_ml = 52.5, 35.0
        self.set_rate_ml_h = self.rate_ml_h
        self.infused_ml = 0.0
        self.left_ml = SYRINGE_ML
        self.vtbi_left_ml: float | None = self.vtbi_ml
        self.running = self.occluded = self.muted = False
        self.alarms: set[str] = set()
        self._blocked_s = self._told_ml_h = 0.0
        self.hands: Hands = {
            "program": self.program, "start": self.start, "stop": self.stop, "occlude": self._occlude,
            "clear": self.clear, "load": self.load,
            "fault": lambda: self.alarm("fault"), "low_battery": lambda: self.alarm("low_battery"),
            "mute": lambda: self._mute(True), "unmute": lambda: self._mute(False),
        }

    def live(self, dt_s: float) -> None:
        """`dt_s` seconds of infusing, or of standing still."""
        if self.running and self.occluded:
            self._blocked_s += dt_s
            if self._blocked_s >= OCCLUSION_S:
                self.alarm("occlusion")
        elif self.running:
            moved_ml = min(self.set_rate_ml_h * dt_s / 3600.0, self.to_go_ml)
            self.infused_ml += moved_ml
            self.left_ml -= moved_ml
            if self.vtbi_left_ml is not None:
                self.vtbi_left_ml -= moved_ml
            if self.to_go_ml <= 1e-9:
                self.alarm("end_of_infusion" if self.left_ml <= 1e-9 else "vtbi_done")
        self._tell()

    @property
    def to_go_ml(self) -> float:
        """What it can still give before it stops by itself."""
        return self.left_ml if self.vtbi_left_ml is None else min(self.left_ml, max(self.vtbi_left_ml, 0.0))

    @property
    def stopped_by(self) -> str | None:
        """The alarm that keeps it stopped."""
        return next((alarm for alarm in STOPPING if alarm in self.alarms), None)

    def _tell(self) -> None:
        rate = self.set_rate_ml_h if self.running and not self.occluded else 0.0
        if rate != self._told_ml_h:
            self._told_ml_h = rate
            self.patient.infuse(rate)

    def alarm(self, word: str) -> None:
        """It has this alarm now."""
        self.alarms.add(word)
        if word in STOPPING:
            self.running = False
        self._tell()

    # --- hands --------------------------------------------------------------------------------------------------------

    def program(self) -> None:
        """The rate and volume are entered; it stands still."""
        self.running = False
        self.set_rate_ml_h = min(max(self.rate_ml_h, 0.0), self.max_rate_ml_h)
        self.vtbi_left_ml = self.vtbi_ml if self.vtbi_ml > 0 else None
        self._tell()

    def start(self) -> None:
        """Its start key."""
        self.running = self.stopped_by is None and self.set_rate_ml_h > 0 and self.to_go_ml > 0
        self._blocked_s = 0.0
        self._tell()

    def stop(self) -> None:
        """Its stop key."""
        self.running = False
        self._tell()

    def _occlude(self) -> None:
        self.occluded, self._blocked_s = True, 0.0
        self._tell()

    def clear(self) -> None:
        """Everything wrong is put right, an empty syringe replaced; it stays stopped until somebody starts it."""
        if self.left_ml <= 1e-9:
            self.left_ml = SYRINGE_ML
        if self.vtbi_left_ml is not None and self.vtbi_left_ml <= 1e-9:
            self.vtbi_left_ml = None
        self.alarms.clear()
        self.occluded = False
        self._tell()

    def load(self) -> None:
        """A full syringe for the next patient: nothing infused, nothing wrong, stopped; the programme is kept."""
        self.left_ml, self.infused_ml = SYRINGE_ML, 0.0
        self.clear()
        self.program()

    def _mute(self, on: bool) -> None:
        self.muted = on

    def display(self) -> Mapping[str, float | str | bool | None]:
        """The front: running or stopped, the programme, what went in, and the alarm that stands."""
        return {
            "running": self.running, "rate_ml_h": self.set_rate_ml_h, "vtbi_ml": self.vtbi_ml,
            "infused_ml": round(self.infused_ml, 2),
            "alarm": self.stopped_by or next(iter(sorted(self.alarms)), None),
        }
