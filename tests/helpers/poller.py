"""A Modbus driver for tests of buses: four blocks a round, the first of which is a pulse."""

from __future__ import annotations

from collections.abc import Sequence

from drivers.contract import Decoded, Framing, ModbusRequest, Reading, Request
from drivers.kit.registers import WholeResponses

READS = tuple(ModbusRequest(f"block {number}", 3, 2 * number, 2, effect="read", timeout_s=0.5) for number in range(4))


class Poller:
    """A round every `round_s`; `rounds` are those that came whole. The pulse is the low byte of the first register."""

    def __init__(self, round_s: float) -> None:
        self.framing: Framing = WholeResponses()
        self.rounds = 0
        self._round_s = round_s
        self._due_s = 0.0
        self._left: list[ModbusRequest] = []

    def on_open(self) -> Sequence[Request]:
        return [READS[0]]

    def next_request(self, at_s: float) -> Request | None:
        if not self._left and at_s >= self._due_s:
            self._due_s = max(self._due_s + self._round_s, at_s)
            self._left = list(READS)
        return self._left.pop(0) if self._left else None

    def is_response(self, frame: bytes, request: Request) -> bool:
        return True

    def decode(self, frame: bytes, request: Request | None) -> Sequence[Decoded]:
        if request is READS[3]:
            self.rounds += 1
        return [Reading("pulse_bpm", float(frame[1]))] if request is READS[0] else []

    def on_timeout(self, request: Request) -> Sequence[Decoded]:
        self._left.clear()
        return []
