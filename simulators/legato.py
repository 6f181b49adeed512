"""The twin of drivers.legato: a bench pump with a prompt, obeying what its public hosts send.

The exchanges of the recording are given back as recorded. Chosen here: `poll on` is off at first; a rate is told in the
unit it was set in, the volume in uL below 1 mL and in mL above; an occlusion and an alarm stall the motor (`*`).
"""

from __future__ import annotations

import re

from drivers.legato import ML, PER_HOUR
from simulators.contract import TwinSpec
from simulators.patient import Patient
from simulators.syringe import HANDS, SyringePump

_LINE = re.compile(r"@?(?:(\d\d?)@?)?\s*([a-z]+)\s*(.*?)\s*")
_RATE = re.compile(r"(\d+(?:\.\d*)?|\.\d+) ?([pnum]l)/(s|sec|min|h|hr|hour)")
_VOLUME = re.compile(r"(\d+(?:\.\d*)?|\.\d+) ?([pnum]l)")
FIXED = {  # what is told, and may be set without a further effect here
    "load": "Quick Start - Infuse Only (qs i)", "diameter": "26.5900 mm", "force": "50%", "syrm": "BD, 60 ml, 26.59 mm",
    "syrmanu": "BD, 60 ml, 26.59 mm", "ttime": "Target time not set", "addr": "Pump address is 0",
}
SILENT = frozenset({"poll", "nvram", "dim", "civolume", "ctvolume", "cttime", "cwvolume", "civ", "echo", "time"})


def digits(value: float) -> str:
    """A number as the pump writes it: at most six digits."""
    return f"{value:.{max(0, 5 - len(str(int(value))) + (value < 1))}f}"


class LegatoTwin(SyringePump):
    """One pump at address 0."""

    max_rate_ml_h = 1560.0  # 26.0035 mL/min, of the recording

    def __init__(self, patient: Patient, seed: int = 0) -> None:
        super().__init__(patient)
        self.serial = f"D{101754 + seed}"
        self.polled = False
        self._unit = "ml/hr"
        self._held = bytearray()

    def connect(self) -> None:
        self._held.clear()

    def step(self, dt_s: float) -> bytes:
        self.live(dt_s)
        return b""

    def feed(self, data: bytes) -> bytes:
        self._held += data
        *lines, rest = bytes(self._held).split(b"\r")
        self._held = bytearray(rest[-80:])
        said = [self._said(line.strip(b"\n").decode("latin-1").lower()) for line in lines]
        return b"" if self.muted else b"".join(said)

    def _said(self, line: str) -> bytes:
        found = _LINE.fullmatch(line)
        if found is None or int(found[1] or 0) != 0:
            return self._reply("Command error:\r\n   Unknown command") if line else self._reply("")
        return self._reply(self._done(found[2], found[3]))

    def _reply(self, text: str) -> bytes:
        lines = f"{text}\r\n" if text else ""
        end = "\x11" if self.polled else ""
        doubled = "\n" if text and not self.polled else ""
        return f"\n{lines}{doubled}{self._prompt}{end}".encode("latin-1")

    @property
    def _prompt(self) -> str:
        if self.stopped_by == "vtbi_done":
            return "T*"
        if self.stopped_by == "end_of_infusion":
            return ">*"
        return "*" if self.stopped_by else ">" if self.running else ":"

    def _done(self, command: str, argument: str) -> str:
        if command in ("irun", "run"):
            self.start()
            return ""
        if command in ("stp", "stop"):
            self.stop()
            return ""
        if command == "poll":
            self.polled = argument == "on"
        elif command in ("civolume", "civ"):
            self.infused_ml = 0.0
        elif command == "version":
            return f"Firmware:      v3.0.6\r\nPump address:  0\r\nSerial number: {self.serial}"
        elif command == "irate":
            return self._rate(argument)
        elif command == "ivolume":
            return self._told(self.infused_ml)
        elif command == "tvolume":
            return self._target(argument)
        elif command in FIXED:
            return "" if argument else FIXED[command]
        elif command not in SILENT:
            return "Command error:\r\n   Unknown command"
        return ""

    @staticmethod
    def _told(volume_ml: float) -> str:
        return f"{digits(volume_ml)} ml" if volume_ml >= 1 else f"{digits(volume_ml * 1000)} ul"

    def _rate(self, argument: str) -> str:
        if not argument:
            volume, per = self._unit.split("/")
            return f"{digits(self.set_rate_ml_h / PER_HOUR[per] / ML[volume])} {self._unit}"
        if argument in ("lim", "limits"):
            return "25.0404 nl/min to 26.0035 ml/min"
        found = _RATE.fullmatch(argument)
        if found is None:
            return f"Argument error: {argument}\r\n   Invalid rate"
        per = found[3].replace("hour", "hr")
        asked = float(found[1]) * ML[found[2]] * PER_HOUR[per]
        if not 0 < asked <= self.max_rate_ml_h:
            return f"Argument error: {argument}\r\n   Out of range"
        self.set_rate_ml_h, self._unit = asked, f"{found[2]}/{per}"
        return ""

    def _target(self, argument: str) -> str:
        if not argument:
            return "Target volume not set" if self.vtbi_left_ml is None else self._told(self.vtbi_left_ml)
        found = _VOLUME.fullmatch(argument)
        if found is None:
            return f"Argument error: {argument.split()[0]}\r\n   Target volume out of range"
        self.vtbi_left_ml = float(found[1]) * ML[found[2]]
        return ""


TWIN = TwinSpec(name="legato", transports=("serial", "tcp"), make=LegatoTwin, baud=115200, hands=HANDS)
