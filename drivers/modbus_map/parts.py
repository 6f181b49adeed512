"""What a register map says, as types: addresses 0-based, as the wire has them; values in the metric's own unit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from drivers.contract import DeviceKind, Line, Priority, PumpState, Transport
from drivers.kit.registers import Field

CUFF = ("sbp_mmhg", "dbp_mmhg", "map_mmhg", "nibp_pulse_bpm")


@dataclass(frozen=True, slots=True)
class At:
    """Where a value is. `mask` picks bits of a register (0: all), moved down to the lowest."""

    function: Literal[1, 2, 3, 4]
    field: Field
    written: str  # as in the map, for people: `holding 74`
    mask: int = 0


@dataclass(frozen=True, slots=True)
class Flag:
    """One bit, or one code of a register: set or not."""

    at: At
    equals: int = 1
    reason: str = ""  # why the value is invalid where it is set


@dataclass(frozen=True, slots=True)
class Power:
    """A register that says by which power of ten a number is to be multiplied; `sign` -1: how many decimals it has.
    From `low` to `high` is what the device may say."""

    at: At
    sign: int
    low: int
    high: int


@dataclass(frozen=True, slots=True)
class Value:
    """A number of the map: raw times `factor` (and its `power` of ten) plus `offset` is `metric`, plausible from `low`
    to `high`."""

    metric: str
    at: At
    factor: float
    offset: float
    low: float
    high: float
    none: frozenset[float] = frozenset()  # raw numbers that mean: no value
    resolution: float = 0.0  # raw steps the device counts in; 0: not known
    invalid_when: tuple[Flag, ...] = ()
    power: Power | None = None


@dataclass(frozen=True, slots=True)
class Check:
    """A register whose value is known: it proves addresses, word order and scale."""

    name: str
    at: At
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Alarm:
    """One alarm of the device; code "none" is a bit or code that means nothing is wrong."""

    flag: Flag
    code: str
    priority: Priority
    text: str
    by_value: bool  # a code of the register, not a bit of it

    @property
    def raw(self) -> str:
        """Its place and code, as in the map: `holding 209 = 12`."""
        at = self.flag.at
        if self.by_value:
            return f"{at.written} = {self.flag.equals}"
        return at.written + (f" bit {at.mask.bit_length() - 1}" if at.mask else "")


@dataclass(frozen=True, slots=True)
class Text:
    """Registers that hold ASCII, two characters each, or one number."""

    at: At
    registers: int = 0  # 0: a number


@dataclass(frozen=True, slots=True)
class RegisterMap:
    """One map file."""

    name: str
    title: str
    kind: DeviceKind
    source: str
    grade: str
    wiring: str
    transports: tuple[Transport, ...]
    line: Line
    poll_s: float
    timeout_s: float
    gap: int
    values: tuple[Value, ...]
    checks: tuple[Check, ...] = ()
    alarms: tuple[Alarm, ...] = ()
    states: Mapping[int, PumpState] = field(default_factory=dict)
    state_at: At | None = None
    serial: Text | None = None
    model: Text | None = None
    counter: At | None = None  # changes with every determination of a cuff
    alive: At | None = None  # changes with every measurement
    alive_s: float = 0.0
    defined_at: Mapping[str, str] = field(default_factory=dict)  # metric -> file:line
