"""The twin of a Graseby 3400: its responses to every command that its driver's source has, the acting ones too.

Chosen here, since the real pump's is not known: the START key does not refuse the computer unless `refuses` is set;
CHKR has to come every `watchdog_s` while the computer runs the pump, or it alarms; GETR says the set rate in 0.1 mL/h.
"""

from __future__ import annotations

import re

from drivers.graseby_3400 import END, MAX_FRAME, START, checksum, encode
from drivers.kit.framing import Delimited
from simulators.contract import TwinSpec
from simulators.patient import Patient
from simulators.syringe import HANDS, SyringePump

_COMMAND = re.compile(rb"<([A-Z]{4})(\d{0,5})>([0-9A-F]{2})\r")
COMMANDS = frozenset({"CHCK", "TOTL", "GETR", "STRT", "STOP", "CHGR", "CHKR", "ZTOT"})


class GrasebyTwin(SyringePump):
    """One pump. `refuses`: it was started with its own key and refuses the computer."""

    def __init__(self, patient: Patient, seed: int = 0) -> None:
        super().__init__(patient)
        self.watchdog_s = 5.0
        self.refuses = False
        self._by_computer_s: float | None = None  # since when the computer that runs it is silent
        self._framing = Delimited(START, END, MAX_FRAME)

    def connect(self) -> None:
        self._framing.flush()

    def step(self, dt_s: float) -> bytes:
        self.live(dt_s)
        if not self.running:
            self._by_computer_s = None
        elif self._by_computer_s is not None:
            self._by_computer_s += dt_s
            if self._by_computer_s > self.watchdog_s:
                self.alarm("fault")
        return b""

    def feed(self, data: bytes) -> bytes:
        replies = [self._reply(frame) for frame in self._framing.feed(data)]
        return b"" if self.muted else b"".join(replies)

    def _reply(self, frame: bytes) -> bytes:
        found = _COMMAND.fullmatch(frame)
        if found is None or checksum(frame[:-3]) != found[3]:
            return b""
        name, number = found[1].decode(), int(found[2] or b"0")
        if name not in COMMANDS:
            return b""
        if self.refuses and name != "CHCK":
            return encode(f"CE{name}{self._status}")
        done = self._act(name, number)
        data = {"TOTL": f"{round(self.infused_ml * 10)}", "GETR": f"{round(self._rate * 10)}"}.get(name, "")
        return encode(f"{'OK' if done else 'CE'}{name}{self._status}{data}")

    def _act(self, name: str, number: int) -> bool:
        """Obey; whether it can."""
        if name == "STRT":
            self.start()
            self._by_computer_s = 0.0
            return self.running
        if name == "STOP":
            self.stop()
        elif name == "CHGR":
            self.set_rate_ml_h = min(number / 10.0, self.max_rate_ml_h)
        elif name == "ZTOT":
            self.infused_ml = 0.0
        elif name == "CHKR" and self._by_computer_s is not None:
            self._by_computer_s = 0.0
        return True

    @property
    def _status(self) -> str:
        return "ALRM" if self.stopped_by else "INFS" if self.running else "STBY"

    @property
    def _rate(self) -> float:
        return self.set_rate_ml_h if self.running else 0.0


TWIN = TwinSpec(name="graseby_3400", transports=("serial", "tcp"), make=GrasebyTwin, baud=9600, hands=HANDS)
