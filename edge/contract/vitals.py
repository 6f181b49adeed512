"""What every payload is made of, and the payloads that come often: vitals and waves. Read them through `payloads`."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import UNSET, UnsetType

from edge.model import PumpState, Validity

ID_PATTERN = r"^[a-z0-9-]{1,32}(?!\n)$"  # an edge, a bed, a console; `$` alone would let a line end pass
WAVE_PATTERN = r"^[a-z0-9_-]{1,32}(?!\n)$"
Id = Annotated[str, msgspec.Meta(pattern=ID_PATTERN)]
WaveName = Annotated[str, msgspec.Meta(pattern=WAVE_PATTERN)]
Time = Annotated[str, msgspec.Meta(description="UTC, ISO 8601 with milliseconds and Z, of the edge clock")]
Text64 = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]


class BadPayload(ValueError):
    """The bytes do not fit the contract; the message says what and where."""


class Payload(msgspec.Struct, frozen=True, kw_only=True):
    """Base of everything on the wire: unknown fields are ignored, wrong types refused."""


# --- vitals and waves (QoS 0) -----------------------------------------------------------------------------------------


class Numeric(Payload, frozen=True, kw_only=True):
    """The latest word on one metric. `value` is null unless `validity` is valid or questionable."""

    value: float | None
    at: Time
    age_s: float
    stale: bool
    validity: Validity
    reason: str | None = None
    device: str


class PumpNow(Payload, frozen=True, kw_only=True):
    """What the pump's own status said last."""

    state: PumpState
    device: str
    at: Time
    age_s: float
    stale: bool


class OtherNumeric(Payload, frozen=True, kw_only=True):
    """What a second device says of a metric that has another source now: valid, with its own age."""

    metric: str
    value: float
    at: Time
    age_s: float
    stale: bool
    device: str


class Vitals(Payload, frozen=True, kw_only=True):
    """All latest numerics of one bed, by metric key (edge.vocabulary)."""

    edge: Id
    bed: Id
    at: Time
    simulated: bool
    numerics: dict[str, Numeric]
    pump: PumpNow | None = None
    boot: str = ""
    others: tuple[OtherNumeric, ...] | UnsetType = UNSET  # where a metric has two devices


class Wave(Payload, frozen=True, kw_only=True):
    """Consecutive samples of one waveform; `start` is the first one's time, each is `low` to `high` or null."""

    edge: Id
    bed: Id
    name: WaveName
    device: str = ""
    start: Time
    rate_hz: float
    low: int = 0
    high: int = 255
    samples: list[int | None]
    simulated: bool = False
    boot: str = ""
    at: Time = ""
