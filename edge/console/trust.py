"""What of an edge's messages is believed: only what its pinned key signed and what is fresh. No I/O, no clock."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from nacl.signing import VerifyKey

from edge.contract.freshness import Freshness, Memory, Reason
from edge.contract.signing import Rejected, Verified, Verifier, hash_is_signed
from edge.contract.topics import Topic

TWO_BOXES_S = 10.0  # real seconds after the last sign of a second box until there is one again
WORDS: dict[Reason, str] = {
    "unsigned": "unsigned", "forged": "wrongly signed", "replayed": "replayed", "other_boot": "of another start",
    "two_boxes": "of a second box", "ahead": "ahead of the edge's clock", "bad_shape": "not of the contract",
}


@dataclass(frozen=True, slots=True)
class Refusal:
    """The last message that was not believed: why, on which topic, and when (this console's time, real time)."""

    reason: Reason
    topic: str
    at_s: float
    loop_s: float


class Trust:
    """Checks what comes in the name of one edge. `key` None: no key is pinned, and nothing is believed."""

    def __init__(self, edge: str, key: VerifyKey | None) -> None:
        self.edge = edge
        self.key = key
        self.refused: Counter[Reason] = Counter()
        self.last: Refusal | None = None
        self._verifier: Verifier | None = None
        self._kept = Memory()
        self._two_boxes_loop_s: float | None = None
        self.remember(self._kept)

    def remember(self, memory: Memory) -> None:
        """What the last run kept, so that what was sent to it is not believed again."""
        self._kept = memory
        if self.key is not None:
            self._verifier = Verifier(self.key, Freshness(self._kept))

    @property
    def memory(self) -> Memory:
        """What to keep for the next run."""
        fresh = self._verifier.fresh if self._verifier is not None else None
        return fresh.memory if isinstance(fresh, Freshness) else self._kept

    def check(self, topic: Topic, name: str, payload: bytes, loop_s: float, now_s: float) -> list[Verified | Rejected]:
        """Each object in `payload`, believed or not. `name` is the topic as it was written."""
        if self._verifier is None:
            checked: list[Verified | Rejected] = [Rejected("unsigned", "no key is pinned")]
        elif topic.kind == "event":
            checked = self._verifier.check_events(name, payload, loop_s)
        else:
            checked = [self._verifier.check(name, payload, loop_s)]
        for each in checked:
            if isinstance(each, Rejected) and each.reason != "duplicate":  # QoS 1 may deliver twice
                self._count(each.reason, name, loop_s, now_s)
        return checked

    def _count(self, reason: Reason, name: str, loop_s: float, now_s: float) -> None:
        self.refused[reason] += 1
        self.last = Refusal(reason, name, now_s, loop_s)
        if reason == "two_boxes":
            self.second_box(loop_s)

    def second_box(self, loop_s: float) -> None:
        """There is a sign that another box has this edge's name and key."""
        self._two_boxes_loop_s = loop_s

    def two_boxes(self, loop_s: float) -> bool:
        """Whether two boxes call themselves by this name now."""
        return self._two_boxes_loop_s is not None and loop_s - self._two_boxes_loop_s < TWO_BOXES_S

    def is_signed(self, event_hash: str, sig: str) -> bool:
        """Whether `sig` is the edge's own over an event's hash."""
        return self.key is not None and hash_is_signed(self.key, self.edge, event_hash, sig)

    def words(self) -> str:
        """What was refused, for a screen: "12 unsigned, 1 replayed"."""
        return ", ".join(f"{count} {WORDS.get(reason, reason)}" for reason, count in sorted(self.refused.items()))
