"""What went over a device's wire lately, for the technician's page. Read it through `payloads`."""

from __future__ import annotations

import msgspec

from edge.contract.vitals import Payload, Time


class LineMinute(Payload, frozen=True, kw_only=True):
    """What came over a device's wire in one minute: good and bad frames, late ones, requests without a response; bytes
    received, understood, and foreign (that became no frame)."""

    at: Time
    frames: int
    bad: int
    late: int
    timeouts: int
    received: int
    understood: int
    foreign: int


class LineFrame(Payload, frozen=True, kw_only=True):
    """One frame that went over the wire: `hex` of its first bytes, and what it is, in words."""

    at: Time
    sent: bool
    hex: str
    says: str


class LineNow(Payload, frozen=True, kw_only=True):
    """One device's wire. `expected` is the serial number this bed is bound to, `timeouts` the requests without a
    response since the edge started, `response_s` the time that 95 % of the responses keep to. `unmapped`: what
    the device sent and its driver makes nothing of, by the protocol's name for it, and how often. `at` is where it is
    reached, as edge.toml has it; `unsure` why another adapter may be there tomorrow, and what to write, or ""."""

    expected: str | None = None
    timeouts: int = 0
    response_s: float | None = None
    minutes: tuple[LineMinute, ...] = ()
    frames: tuple[LineFrame, ...] = ()
    unmapped: dict[str, int] = msgspec.field(default_factory=dict)
    at: str = ""
    unsure: str = ""
