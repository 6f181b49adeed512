"""The edge receives its own status: the proof that it is still on the broker, and that nobody else has its name."""

from __future__ import annotations

from nacl.signing import VerifyKey

from edge.contract.freshness import AHEAD_S, Claim, Reason
from edge.contract.signing import Rejected, Verifier

ECHO_S = 4.0  # real seconds without hearing our own status, published every 2 s: then the connection is made again
OTHER_KEPT_S = 30.0  # real seconds another boot is named after it last sent


class _AnyTime:
    """Signatures alone: whether it is fresh is told by what is in it."""

    def judge(self, _topic: str, _n: int, _claim: Claim, _now_s: float) -> tuple[Reason | None, bool]:
        return None, False


class OwnStatus:
    """What comes back on this edge's own status topic. Told the time, no I/O."""

    def __init__(self, key: VerifyKey, boot: str, born_at_s: float) -> None:
        """`born_at_s`: edge time of this boot's start."""
        self._verifier = Verifier(key, _AnyTime())
        self._boot, self._born_at_s = boot, born_at_s
        self._received_s = 0.0
        self._newest = 0
        self._others: dict[str, float] = {}

    def connected(self, now_s: float) -> None:
        """From now on it must come back."""
        self._received_s = now_s

    def deaf(self, now_s: float) -> bool:
        """Whether our own has not come back for too long: pushed off, or not subscribed any more."""
        return now_s - self._received_s > ECHO_S

    def others(self, now_s: float) -> list[str]:
        """The other boots that were alive under our name lately."""
        self._others = {boot: at_s for boot, at_s in self._others.items() if now_s - at_s < OTHER_KEPT_S}
        return sorted(self._others)

    def receive(self, topic: str, payload: bytes, retained: bool, now_s: float) -> str:
        """What it is: `echo`, `contradict` (says we are dead), `other` (another box), `old`, or why it is rejected."""
        checked = self._verifier.check(topic, payload, now_s)
        if isinstance(checked, Rejected):
            return checked.reason
        claim = checked.claim
        if claim.boot == self._boot:
            if claim.state == "dead":
                return "contradict"
            if checked.n <= self._newest:
                return "old"
            self._newest, self._received_s = checked.n, now_s
            return "echo"
        at_s = claim.at_s
        if claim.state == "dead" or retained or at_s is None or at_s <= self._born_at_s + AHEAD_S * claim.speed:
            return "old"
        self._others[claim.boot or ""] = now_s
        return "other"
