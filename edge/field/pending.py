"""A request on its way: what waits for its response, and what waited in vain."""

from __future__ import annotations

from dataclasses import dataclass

from drivers.contract import FrameRequest, Request


@dataclass(slots=True)
class Pending:
    """A request that waits for its turn or for its response; `tries` more are allowed."""

    request: Request
    tries: int
    handshake: bool = False


@dataclass(slots=True)
class Overdue:
    """A request that timed out. Until `until` (real seconds) its response may come; `seen`: it has."""

    until: float
    sent_at_s: float
    seen: bool = False


def is_distinct(request: Request) -> bool:
    """Whether its response names it: no other such request's can be taken for it."""
    return isinstance(request, FrameRequest) and request.distinct


def gap_s(request: Request) -> float:
    """The silence kept after its response, real seconds."""
    return request.gap_s if isinstance(request, FrameRequest) else 0.0
