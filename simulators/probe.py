"""What the simulated oximeters do alike: a probe that is on the finger or not, a search after it came, and silence.

A twin adds its protocol. Chosen here, as for every twin: numbers follow the patient at once, and are gone while the
probe is off and for `search_s` after it was put on again.
"""

from __future__ import annotations

from simulators.contract import Hands
from simulators.patient import Patient

HANDS = ("probe_off", "probe_on", "mute", "unmute")
SEARCH_S = 5.0


class Probe:
    """The probe of one oximeter, and whether its device is mute."""

    def __init__(self, patient: Patient, search_s: float = SEARCH_S) -> None:
        self.patient = patient
        self.off = self.muted = False
        self.searching_s = 0.0
        self._search_s = search_s
        self.hands: Hands = {
            "probe_off": self._take_off, "probe_on": self._put_on,
            "mute": lambda: self._mute(True), "unmute": lambda: self._mute(False),
        }

    def live(self, dt_s: float) -> None:
        """So much time passes."""
        self.searching_s = max(0.0, self.searching_s - dt_s)

    @property
    def searching(self) -> bool:
        """Whether it is on a finger and finds no pulse there."""
        nothing = self.patient.pulse_bpm is None and self.patient.spo2_pct is None
        return not self.off and (self.searching_s > 0 or nothing)

    @property
    def pulse_bpm(self) -> int | None:
        """What it shows."""
        return whole(self.patient.pulse_bpm, 20, 250) if self._sees else None

    @property
    def spo2_pct(self) -> int | None:
        """What it shows."""
        return whole(self.patient.spo2_pct, 1, 100) if self._sees else None

    @property
    def _sees(self) -> bool:
        return not self.off and self.searching_s <= 0

    def _take_off(self) -> None:
        self.off = True

    def _put_on(self) -> None:
        if self.off:
            self.off, self.searching_s = False, self._search_s

    def _mute(self, muted: bool) -> None:
        self.muted = muted


def whole(value: float | None, low: int, high: int) -> int | None:
    """The number as a device shows it: none where it cannot measure it, never the nearest that it can."""
    return None if value is None or not low <= round(value) <= high else round(value)
