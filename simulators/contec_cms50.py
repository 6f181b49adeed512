"""The twin of drivers.contec_cms50: a CMS50D+ on protocol V5.1, which sends 60 packets a second as long as it is on.

Chosen here: it says that SpO2 is dropping below 90 %; the pleth is that of the patient also while it searches.
"""

from __future__ import annotations

from collections.abc import Mapping

from simulators.contract import TwinSpec
from simulators.patient import Patient
from simulators.probe import HANDS, Probe

PACKETS_S = 60
SIGNAL, BEEP_S = 6, 0.05
SPO2_LOW = 90


class Cms50Twin:
    """One oximeter."""

    def __init__(self, patient: Patient) -> None:
        self.patient = patient
        self._probe = Probe(patient)
        self.hands = self._probe.hands
        self._due = 0.0
        self._beats = 0.0

    def connect(self) -> None:
        """It sends whether anybody listens or not."""

    def display(self) -> Mapping[str, float | str | bool | None]:
        """The front: probe, and the two numbers it shows."""
        probe = self._probe
        return {"probe": not probe.off, "spo2_pct": probe.spo2_pct, "pulse_bpm": probe.pulse_bpm}

    def step(self, dt_s: float) -> bytes:
        self._due += dt_s * PACKETS_S
        count = int(self._due + 1e-9)
        self._due -= count
        said = b"".join(self._packet((count - 1 - i) / PACKETS_S) for i in range(count))
        return b"" if self._probe.muted else said

    def feed(self, data: bytes) -> bytes:
        """It has a memory to hand over, which nobody asks for here."""
        return b""

    def _packet(self, ago_s: float) -> bytes:
        probe = self._probe
        probe.live(1 / PACKETS_S)
        if probe.off:
            return bytes((0x80, 0x40, 0x50, 0x7F, 0x7F))
        wave = round(min(max(self.patient.pleth(ago_s), 0.0), 1.0) * 127)
        pulse, spo2 = probe.pulse_bpm or 0xFF, probe.spo2_pct or 0x7F
        self._beats += (probe.pulse_bpm or 0) / 60 / PACKETS_S
        beep = 0x40 if probe.pulse_bpm and self._beats % 1 < BEEP_S * probe.pulse_bpm / 60 else 0
        dropping = 0x20 if spo2 < SPO2_LOW else 0
        third = wave * 15 // 127 | (0x20 if probe.searching else 0) | (pulse & 0x80) >> 1
        return bytes((0x80 | SIGNAL | beep | dropping, wave, third, pulse & 0x7F, spo2))


def _make(patient: Patient, seed: int) -> Cms50Twin:
    return Cms50Twin(patient)


TWIN = TwinSpec("contec_cms50", ("serial", "tcp"), _make, baud=19200, parity="O", hands=HANDS)
