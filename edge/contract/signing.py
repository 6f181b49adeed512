"""What crosses a process border is signed by its sender and checked by its receiver: the one place for both sides.

The form. Every payload is one JSON object whose last two members are its counter and its signature:

    {"edge":"clinic-1", ... ,"n":88211,"sig":"<base64 of 64 bytes>"}

The signature (Ed25519, RFC 8032) is made over the topic's UTF-8 bytes, a line feed, and the exact bytes before
`,"sig"`. Nothing is made canonical. A payload moved to another topic, cut, or changed in one byte is forged. An event
message is one such object or a JSON list of them, each signed for itself (so a batch may be cut anywhere).

The counter `n` rises with every payload of a sender, over all topics and over restarts (`Count`).

How to receive. One `Verifier` a sender: the console has one for each edge (its pinned key, `Freshness`); the edge one
for each console (`ConsoleFreshness`). Pick it by the topic (for a command by its `console`), then

    checked = verifier.check(topic, payload, now_s)         # every topic but an event topic
    for checked in verifier.check_events(topic, payload, now_s): ...

and believe `Verified.payload` alone. `now_s` is the caller's monotonic clock in real seconds. Rejections are counted in
`verifier.rejected` by reason:

    unsigned    does not end with a counter and a signature
    forged      the signature is not the pinned key's, or is of another topic or other bytes
    duplicate   the very payload accepted before (a broker may deliver at QoS 1 twice; retained again after a reconnect)
    replayed    older than what was accepted: its counter does not rise
    other_boot  of a boot that is not the present one (of an unknown edge: before its first signed status)
    two_boxes   a live status of another boot, signed by this key, newer than the present boot: a copied card
    ahead       its time is more than AHEAD_S ahead of the edge's clock as the last signed status told it
    bad_shape   signed, and not a payload of the contract

Only `duplicate` happens where nothing is wrong; it is counted and not named. Nothing rejected may be shown, recorded
or taken as a sign of life.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import msgspec
from nacl.exceptions import BadSignatureError
from nacl.signing import SigningKey, VerifyKey

from edge.contract.freshness import MAX_N, Claim, Reason, claim_of

_TAIL = re.compile(rb',"sig":"([A-Za-z0-9+/]{86}==)"\}')
_TAIL_BYTES = len(b',"sig":""}') + 88
_COUNTER = re.compile(rb',"n":(0|[1-9][0-9]{0,15})\Z')
_COUNTER_BYTES = len(b',"n":') + 16
_RAWS = msgspec.json.Decoder(list[msgspec.Raw])
MOST_EVENTS = 1000  # in one message; the edge sends at most 200


@dataclass(frozen=True, slots=True)
class Verified:
    """One JSON object that its sender signed and that is fresh. `payload` are its bytes, `n` and `sig` included."""

    payload: bytes
    n: int
    claim: Claim
    birth: bool = False  # a status with which a new boot began


@dataclass(frozen=True, slots=True)
class Rejected:
    """Why nothing of a payload may be believed."""

    reason: Reason
    detail: str = ""


class Judge(Protocol):
    """Whether what is signed is fresh: Freshness of an edge, ConsoleFreshness of a console."""

    def judge(self, topic: str, n: int, claim: Claim, now_s: float) -> tuple[Reason | None, bool]:
        """Why it is not, or None; and whether a new boot begins with it. What is fresh is remembered."""
        ...


def _message(topic: str, signed: bytes) -> bytes:
    return topic.encode() + b"\n" + signed


def _hash_message(edge: str, event_hash: str) -> bytes:
    """Not a topic that anything is published on, so no payload's signature can pass for a record's."""
    return _message(f"vigil/1/{edge}/journal", event_hash.encode())


class Signer:
    """Signs for one sender. `next_n` gives strictly rising counters (keys.Count); `earlier`: its public keys before."""

    def __init__(self, key: SigningKey, next_n: Callable[[], int], earlier: Sequence[VerifyKey] = ()) -> None:
        self._key = key
        self._earlier = earlier
        self.next_n = next_n

    @property
    def public(self) -> VerifyKey:
        """What the other side pins."""
        return self._key.verify_key

    def sign(self, topic: str, payload: bytes, n: int | None = None) -> bytes:
        """`payload`, a JSON object without these members, with its counter and signature for `topic`.

        `n`: a counter taken before (a last will's); None: the next one.
        """
        signed = b'%b,"n":%d' % (payload[:-1], self.next_n() if n is None else n)
        return b'%b,"sig":"%b"}' % (signed, self._signature(_message(topic, signed)))

    def sign_hash(self, edge: str, event_hash: str) -> str:
        """The journal's own signature over an event's hash, base64."""
        return self._signature(_hash_message(edge, event_hash)).decode()

    def has_signed(self, edge: str, event_hash: str, sig: str) -> bool:
        """Whether this key, or one before it, made the journal's signature `sig` over an event's hash."""
        return any(hash_is_signed(key, edge, event_hash, sig) for key in (self.public, *self._earlier))

    def _signature(self, message: bytes) -> bytes:
        return binascii.b2a_base64(self._key.sign(message).signature, newline=False)


def hash_is_signed(key: VerifyKey, edge: str, event_hash: str, sig: str) -> bool:
    """Whether `sig` (base64) is `sign_hash` by the owner of `key`. Never raises, whatever `sig` says."""
    try:
        key.verify(_hash_message(edge, event_hash), base64.b64decode(sig, validate=True))
    except (BadSignatureError, ValueError):  # ValueError: not base64, not 64 bytes
        return False
    return True


class Verifier:
    """Checks what comes in the name of one sender: first its signature, then that it is fresh."""

    def __init__(self, key: VerifyKey, fresh: Judge) -> None:
        self.key = key
        self.fresh = fresh
        self.rejected: Counter[Reason] = Counter()

    def check(self, topic: str, payload: bytes, now_s: float) -> Verified | Rejected:
        """One JSON object. Never raises, whatever the bytes."""
        checked = self._checked(topic, payload, now_s)
        if isinstance(checked, Rejected):
            self.rejected[checked.reason] += 1
        return checked

    def check_events(self, topic: str, payload: bytes, now_s: float) -> list[Verified | Rejected]:
        """Each event of an event message, in its order. Never raises, whatever the bytes."""
        if payload[:1] != b"[":
            return [self.check(topic, payload, now_s)]
        try:
            parts = _RAWS.decode(payload)
        except (msgspec.MsgspecError, ValueError, RecursionError):
            parts = []
        if not parts or len(parts) > MOST_EVENTS:
            self.rejected["unsigned"] += 1
            return [Rejected("unsigned", "not a list of signed events")]
        return [self.check(topic, bytes(part), now_s) for part in parts]

    def _checked(self, topic: str, payload: bytes, now_s: float) -> Verified | Rejected:
        tail = _TAIL.fullmatch(payload, max(0, len(payload) - _TAIL_BYTES))
        if tail is None:
            return Rejected("unsigned", "it does not end with a signature")
        signed = payload[:tail.start()]
        counter = _COUNTER.search(signed, max(0, len(signed) - _COUNTER_BYTES))
        if counter is None or (n := int(counter[1])) > MAX_N:
            return Rejected("unsigned", "no counter before its signature")
        try:
            self.key.verify(_message(topic, signed), binascii.a2b_base64(tail[1]))
        except BadSignatureError:
            return Rejected("forged")
        try:
            claim = claim_of(payload)
        except ValueError as error:
            return Rejected("bad_shape", str(error))
        reason, birth = self.fresh.judge(topic, n, claim, now_s)
        return Verified(payload, n, claim, birth) if reason is None else Rejected(reason)
