"""The twin of drivers.dinamap: a V100 with a cuff of its own cycle and an oximeter, as far as its lines are known.

Chosen here, since the real one's is not known: characters 4 and 5 of NA are zeros, the pulse and two check characters
stand behind the mean; an error has status 5 and no numbers; status 0 stands before the first determination; what it
does not know, or has a wrong check, gets no response.
"""

from __future__ import annotations

from collections.abc import Mapping

from simulators.contract import Hands, TwinSpec
from simulators.cuff import HANDS as CUFF_HANDS
from simulators.cuff import OwnCuff
from simulators.patient import Patient
from simulators.probe import HANDS as PROBE_HANDS
from simulators.probe import Probe

LONGEST_S = 9999
LONGEST = 40


def checked(text: str) -> str:
    """A text with its check characters."""
    total = sum(ord(char) - 0x1F for char in text)
    return text + chr(0x20 + total // 64 % 64) + chr(0x20 + total % 64)


class DinamapTwin:
    """One monitor."""

    def __init__(self, patient: Patient) -> None:
        self._probe, self._cuff = Probe(patient), OwnCuff(patient)
        self.hands: Hands = {**self._probe.hands, **self._cuff.hands}
        self._held = bytearray()

    def connect(self) -> None:
        self._held.clear()

    def display(self) -> Mapping[str, float | str | bool | None]:
        """Its screen: probe, numbers, and the cuff."""
        probe = self._probe
        return {"probe": not probe.off, "spo2_pct": probe.spo2_pct, "pulse_bpm": probe.pulse_bpm,
                "phase": self._cuff.phase, "cuff_mmhg": round(self._cuff.pressure_mmhg), "fault": self._cuff.wrong}

    def step(self, dt_s: float) -> bytes:
        self._probe.live(dt_s)
        self._cuff.live(dt_s)
        return b""

    def feed(self, data: bytes) -> bytes:
        said = ""
        for byte in data:
            if byte == 0x0D:
                said += self._reply(self._held.decode("latin-1").lstrip("\n"))
                self._held.clear()
            elif len(self._held) < LONGEST:
                self._held.append(byte)
        return b"" if self._probe.muted else said.encode("latin-1")

    def _reply(self, line: str) -> str:
        if len(line) != 5 or checked(line[:-2]) != line:
            return ""
        body = {" NA": self._nibp, " OA": self._spo2, " RA": self._pulse}.get(line[:3])
        return "" if body is None else checked(line[:3] + body()) + "\r"

    def _nibp(self) -> str:
        cuff = self._cuff
        if cuff.completed == 0:
            return "0" + "0" * 20
        if cuff.last is None:
            return "5" + "0" * 20
        sbp, dbp, mean, pulse = cuff.last
        return f"100{min(int(cuff.age_s), LONGEST_S):04d}{sbp:03d}{dbp:03d}{mean:03d}{pulse:04d}"

    def _spo2(self) -> str:
        spo2 = self._probe.spo2_pct
        return "0000" if spo2 is None else f"1{spo2:03d}"

    def _pulse(self) -> str:
        pulse = self._probe.pulse_bpm
        return "00000" if pulse is None else f"2{pulse:04d}"


def _make(patient: Patient, seed: int) -> DinamapTwin:
    return DinamapTwin(patient)


TWIN = TwinSpec("dinamap", ("serial", "tcp"), _make, hands=(*PROBE_HANDS, *CUFF_HANDS, "measure"))
