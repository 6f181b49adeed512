"""Which devices were away at the same time and cannot be told apart: their cables may have been mixed up meanwhile.

A device whose protocol has no serial number is bound by its port. Where two of a kind come back after an absence that
they shared, nothing but a person can say which is whose: each says nothing until somebody has (`Link.confirm`). An
absence that was not shared asks nothing, since there was nothing to mix it up with. Neither does a long one of devices
with which nobody is treated: what is switched off for the night is in the morning as it is when the edge starts.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

LONG_S = 3600.0  # real seconds
SLACK_S = 1.0  # real seconds by which two absences may miss each other and still be one act
LOOK = "look that each cable is at its own bed, then say for each that the device is back"
ASKED = f"it was away together with another that cannot be told from it: {LOOK}"


@dataclass(eq=False, slots=True)
class Mate:
    """One device: `name` for people, whether its bed is in use (somebody is treated there), since when it is away, and
    until when it was away last (infinite: it still is). `kin` are all of its driver, itself too."""

    name: str
    in_use: Callable[[], bool]
    kin: list[Mate] = field(default_factory=list)
    asked: bool = False  # it was asked before this edge started, and nobody has answered
    since_s: float = math.inf
    until_s: float = -math.inf

    def left(self, since_s: float) -> None:
        """It is away, since then."""
        self.since_s, self.until_s = since_s, math.inf

    def back(self, real_s: float) -> str:
        """It sends again: why a person must say that it is the same one, in words, or ""."""
        if self.since_s == math.inf:  # it was not away: it comes for the first time, or a person has said whose it is
            return ""
        since_s, self.since_s, self.until_s = self.since_s, math.inf, real_s
        others = [one for one in self.kin if one is not self and one.until_s >= since_s - SLACK_S]
        if real_s - since_s >= LONG_S and not any(one.in_use() for one in (self, *others)):
            return ""
        return f"away at the same time as {', '.join(one.name for one in others)}: {LOOK}" if others else ""


class Together:
    """All of an edge that cannot be told apart, by their driver."""

    def __init__(self) -> None:
        self._kin: dict[str, list[Mate]] = {}

    def joins(self, name: str, driver: str, in_use: Callable[[], bool], *, asked: bool = False) -> Mate:
        """One more device."""
        kin = self._kin.setdefault(driver, [])
        mate = Mate(name, in_use, kin, asked)
        kin.append(mate)
        return mate

    def leaves(self, mate: Mate) -> None:
        """It is taken out of service."""
        mate.kin.remove(mate)
