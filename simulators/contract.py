"""What a twin is: a device's simulated other side. It is told how much time has passed and never looks at a clock.

A twin on a byte stream answers `feed` and streams from `step`; a Modbus twin answers `read` and `write` register by
register (the framing is pymodbus'). Both look at, and act on, the `Patient` of their bed. `hands` are what a person can
do at the device: press start, take the finger out, pull the hose. Every twin has one, named alike where they mean the
same, so that a scenario is data; `display` is what that person reads there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from drivers.contract import Transport
from simulators.patient import Patient

Hands = Mapping[str, Callable[[], None]]


@runtime_checkable
class Display(Protocol):
    """A twin that shows a person something, by name with its unit: a number, a word, on or off, or None for nothing."""

    def display(self) -> Mapping[str, float | str | bool | None]:
        """What its front shows now."""
        ...


class Twin(Protocol):
    """A device on a byte stream."""

    hands: Hands

    def connect(self) -> None:
        """Somebody opened the line."""
        ...

    def step(self, dt_s: float) -> bytes:
        """`dt_s` seconds of the device's life pass; what it sends by itself in them."""
        ...

    def feed(self, data: bytes) -> bytes:
        """Bytes arrive from the host, in any pieces; what is answered at once."""
        ...


class Refused(Exception):
    """A Modbus request the device refuses; `code` is the exception code (2: address, 3: value, 4: failure)."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class ModbusTwin(Protocol):
    """A device behind Modbus: the addresses are 0-based PDU addresses, coils are 0 or 1."""

    hands: Hands
    unit: int

    def step(self, dt_s: float) -> None:
        """`dt_s` seconds of the device's life pass."""
        ...

    def read(self, function: int, address: int, count: int) -> Sequence[int]:
        """Coils (function 1, 2) or registers (3, 4). Raises Refused."""
        ...

    def write(self, function: int, address: int, values: Sequence[int]) -> None:
        """Coils (5, 15) or registers (6, 16). Raises Refused."""
        ...


@dataclass(frozen=True, slots=True)
class TwinSpec:
    """A twin as others find it: `TWIN = TwinSpec(...)` in the module with its driver's name."""

    name: str
    transports: tuple[Transport, ...]
    make: Callable[[Patient, int], Twin | ModbusTwin]  # the bed's patient, and a seed that also makes its serial number
    baud: int = 9600
    bits: int = 8
    parity: str = "N"
    stop: int = 1
    hands: tuple[str, ...] = field(default=())
