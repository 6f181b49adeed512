"""The twin of the made-up capnometer."""

from __future__ import annotations

from simulators.contract import Hands, TwinSpec
from simulators.patient import Patient

ETCO2_MMHG = 38


class CapnometerTwin:
    """It sends a line a second; without its cannula it has no values."""

    def __init__(self, patient: Patient, seed: int) -> None:
        self._patient, self._serial = patient, f"SN-{seed:04}"
        self._since_s = 0.0
        self._on = True
        self.hands: Hands = {"cannula_on": lambda: self._cannula(True), "cannula_off": lambda: self._cannula(False)}

    def connect(self) -> None:
        """It does not notice."""

    def step(self, dt_s: float) -> bytes:
        self._since_s += dt_s
        if self._since_s < 1.0:
            return b""
        self._since_s -= 1.0
        breath = self._patient.resp_bpm if self._on else None
        return b"V -- --\r" if breath is None else f"V {ETCO2_MMHG} {breath:.0f}\r".encode()

    def feed(self, data: bytes) -> bytes:
        return f"VI {self._serial}\r".encode() if data == b"I\r" else b""

    def _cannula(self, on: bool) -> None:
        self._on = on


TWIN = TwinSpec("capnometer", ("serial", "tcp"), CapnometerTwin, hands=("cannula_on", "cannula_off"))
