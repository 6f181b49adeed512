"""The twin of drivers.dinamap_binary: a Pro 1000 that sends 50 blocks a second as long as it is on.

Chosen here, since the real one's is not known: the waves are those of the capture's first block; without a heart rate
block 43 holds a zero; a warning alarm stands below SpO2 90 %, a crisis alarm below 85 %.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from simulators.contract import TwinSpec
from simulators.patient import Patient
from simulators.probe import HANDS, Probe

BLOCKS_S, SEQUENCES = 50, 200
WAVES = bytes.fromhex("60 00 06 01 9C 7F 1F C7 F1 FC")
WARNING, CRISIS = 90, 85


@cache
def _check(content: bytes) -> int:
    """CRC-8, lowest bit first."""
    check = 0
    for byte in content:
        for bit in range(8):
            check = check >> 1 ^ (0xA1 if (check ^ byte >> bit) & 1 else 0)
    return check


def block(sequence: int, content: bytes) -> bytes:
    """The block of this sequence with these 14 bytes."""
    check = _check(content)
    return bytes((sequence, *content, check, check ^ 0xFF, sequence ^ 0xFF))


class DinamapBinaryTwin:
    """One monitor."""

    def __init__(self, patient: Patient) -> None:
        self._probe = Probe(patient)
        self.hands = self._probe.hands
        self._due = 0.0
        self._sequence = SEQUENCES - 1

    def connect(self) -> None:
        """It sends whether anybody listens or not."""

    def display(self) -> Mapping[str, float | str | bool | None]:
        """Its screen: electrodes, and the heart rate."""
        return {"probe": not self._probe.off, "heart_rate_bpm": self._probe.pulse_bpm}

    def step(self, dt_s: float) -> bytes:
        self._due += dt_s * BLOCKS_S
        count = int(self._due + 1e-9)
        self._due -= count
        said = b"".join(self._block() for _ in range(count))
        return b"" if self._probe.muted else said

    def feed(self, data: bytes) -> bytes:
        """Nothing is asked of it."""
        return b""

    def _block(self) -> bytes:
        probe = self._probe
        probe.live(1 / BLOCKS_S)
        self._sequence = (self._sequence + 1) % SEQUENCES
        spo2 = probe.spo2_pct
        status = 0x0E if spo2 is None or spo2 >= WARNING else 0x4E if spo2 < CRISIS else 0x2E
        parameters = bytes(3)
        if self._sequence % BLOCKS_S == 43:
            parameters = bytes((1, 0, probe.pulse_bpm or 0))
        return block(self._sequence, bytes((status,)) + WAVES + parameters)


def _make(patient: Patient, seed: int) -> DinamapBinaryTwin:
    return DinamapBinaryTwin(patient)


TWIN = TwinSpec("dinamap_binary", ("serial", "tcp"), _make, baud=9600, hands=HANDS)
