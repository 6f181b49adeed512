"""The twin of drivers.par_nibp: a NIBP2010 board that inflates when told to, feels the patient, and keeps one result.

As its published models do: it says by itself that it was switched on, ignores frames with a wrong sum and a status
asked for while it measures, and ends with 999. As its manual's own example does: an error's status carries the
pressures of the result before. Chosen here: the cuff's pressure five times a second; the result never by itself.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from simulators.contract import Hands, TwinSpec
from simulators.cuff import HANDS, Cuff
from simulators.patient import Patient

TICKS_S = 5
TOPS_MMHG = {"0": 160.0, "1": 90.0}
ENDED = {"ok": "00", "loose": "06", "leak": "07", "weak": "09", "motion": "11", "overpressure": "12"}
STOPPED, BOOT = "05", "10"
BLANK = "-" * 9
_COMMAND = re.compile(rb"\x02(\d\d);;([0-9A-F]{2})\x03|X")


def _sum(text: bytes) -> bytes:
    return b"%02X" % (sum(text) & 0xFF)


def framed(text: str) -> bytes:
    """A text as sent."""
    return b"\x02" + text.encode("ascii") + b"\x03\r"


class ParTwin:
    """One module with its hose and cuff."""

    def __init__(self, patient: Patient) -> None:
        self._cuff = Cuff(patient)
        self.hands: Hands = {
            **self._cuff.hands, "restart": self.restart, "mute": lambda: self._mute(True),
            "unmute": lambda: self._mute(False),
        }
        self._muted = False
        self._held = b""
        self._due_s = 0.0
        self._boots = b""
        self.restart()
        self._boots = b""  # before anybody listened

    def restart(self) -> None:
        """It is switched off and on."""
        self._cuff.stop()
        self._patient, self._state, self._error = "0", "1", "00"
        self._pressures, self._pulse = BLANK, "---"
        self._boots = self._status("5", BOOT)

    def connect(self) -> None:
        self._held = b""

    def display(self) -> Mapping[str, float | str | bool | None]:
        """What a person beside it sees: whether it measures, the cuff's pressure, and what is wrong with the cuff."""
        return {"phase": self._cuff.phase, "cuff_mmhg": round(self._cuff.pressure_mmhg), "fault": self._cuff.wrong}

    def feed(self, data: bytes) -> bytes:
        self._held += data
        said = b""
        while (found := _COMMAND.search(self._held)) is not None:
            self._held = self._held[found.end() :]
            if found[1] is None:
                said += self._stop()
            elif _sum(found[1] + b";;") == found[2]:
                said += self._obey(found[1].decode())
        self._held = self._held[-8:]
        return b"" if self._muted else said

    def _obey(self, number: str) -> bytes:
        if number == "18" and self._cuff.phase == "idle":
            return self._status(self._state, self._error)
        if number == "01" and self._cuff.phase == "idle":
            self._cuff.begin(TOPS_MMHG[self._patient])
        elif number in ("24", "25"):
            self._patient = "0" if number == "24" else "1"
        return b""

    def _stop(self) -> bytes:
        if self._cuff.phase == "idle":
            return b""
        self._cuff.stop()
        self._state, self._error = "2", STOPPED
        return framed("999")

    def step(self, dt_s: float) -> bytes:
        said, self._boots = self._boots, b""
        self._due_s += dt_s
        while self._due_s >= 1 / TICKS_S - 1e-9:
            self._due_s -= 1 / TICKS_S
            said += self._tick(1 / TICKS_S)
        return b"" if self._muted else said

    def _tick(self, dt_s: float) -> bytes:
        inflates = self._cuff.phase == "inflating"
        ended = self._cuff.live(dt_s)
        if ended is not None:
            self._keep(ended)
            return framed("999")
        if self._cuff.phase == "idle":
            return b""
        return framed(f"{round(self._cuff.pressure_mmhg):03d}C0S{'8' if inflates else '3'}")

    def _keep(self, ended: str) -> None:
        self._error = ENDED[ended]
        self._state = "1" if ended == "ok" else "2"
        felt = self._cuff.felt
        if ended == "ok" and felt:
            self._pressures, self._pulse = "".join(f"{value:03d}" for value in felt[:3]), f"{felt[3]:03d}"

    def _status(self, state: str, error: str) -> bytes:
        text = f"S{state};A{self._patient};C00;M{error};P{self._pressures};R{self._pulse};T    ;;"
        return framed(text + _sum(text.encode("ascii")).decode())

    def _mute(self, muted: bool) -> None:
        self._muted = muted


def _make(patient: Patient, seed: int) -> ParTwin:
    return ParTwin(patient)


TWIN = TwinSpec("par_nibp", ("serial", "tcp"), _make, baud=4800, hands=(*HANDS, "restart", "mute", "unmute"))
