"""What a bed remembers of the seconds in which rules could not be answered. Times: edge clock, s."""

from __future__ import annotations

import msgspec

Span = tuple[float, float]  # from when to when


class Unwatched(msgspec.Struct):
    """When, lately, rules could not be answered for one cause (a device, or no baseline)."""

    spans: list[Span] = []  # stretches of the last while, oldest first; stretches that touch are one
    rules: dict[str, float] = {}  # the titles of those rules, each with when it last could not be answered
    metrics: dict[str, float] = {}  # what they lacked, likewise
    lacked: dict[str, list[Span]] = {}  # the stretches by what was lacked; by "": the device's own word
    mostly: list[str] = []  # what of it was lacked for most of a while, until it is lacked no more
