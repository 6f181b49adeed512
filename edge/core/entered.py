"""What people enter in a session, as a bed remembers it. Times: edge clock, s."""

from __future__ import annotations

import msgspec


class CheckIn(msgspec.Struct, frozen=True):
    """What the nurse entered; None is 'not assessed'."""

    at_s: float
    user: str
    moaas: int | None = None
    cadss: int | None = None
    anxiety: int | None = None
    distress: int | None = None
    nausea: int | None = None
    symptoms: tuple[str, ...] = ()
    note: str = ""
    gone: tuple[str, ...] = ()  # symptoms of earlier check-ins that are no more


class Spot(msgspec.Struct, frozen=True):
    """What a person read off a device that this bed does not read, or counted, and entered: a `metric`, in its unit.
    `beside`: what a device of this bed measured of it in that moment, and which."""

    at_s: float
    value: int = msgspec.field(name="pct")  # JSON as when it could only be a saturation
    by: str
    metric: str = "spo2_pct"
    beside: tuple[str, float] | None = None


class Dose(msgspec.Struct, frozen=True):
    """What the patient took by hand, from so many devices."""

    at_s: float
    mg: float
    devices: int
    user: str
    lots: tuple[str, ...] = ()


class Override(msgspec.Struct, frozen=True):
    """That a gate holds the session no longer: when, who said so, and why."""

    gate: str
    at_s: float
    user: str
    reason: str


class Attestation(msgspec.Struct, frozen=True):
    """That a person has seen that it is so, or not."""

    so: bool
    at_s: float
    user: str


class Stay(msgspec.Struct, frozen=True):
    """That the session was at this bed, from and until when."""

    bed: str
    from_s: float
    until_s: float


class Limit(msgspec.Struct, frozen=True):
    """A number of a rule that a prescriber may set for a patient: from `least` to `most`. `moves`: other numbers of
    that rule that keep their distance to it."""

    id: str
    title: str
    unit: str
    rule: str
    number: float
    least: float
    most: float
    moves: tuple[float, ...] = ()


class OwnLimit(msgspec.Struct, frozen=True):
    """A limit as it was set for this patient, by whom and why (edge clock, s)."""

    limit: str
    value: float
    by: str
    reason: str
    at_s: float


class Held(msgspec.Struct, frozen=True):
    """That a person holds the treatment: who, why, and since when (edge clock, s)."""

    by: str
    reason: str
    at_s: float
