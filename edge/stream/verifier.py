"""What every command passes: shape, signature, edge, time, nonce and role; whatever fails is refused with a reason.

Nothing is believed because of the topic it came on or the client that sent it: amqtt 0.12.1 delivers a forged last will
onto a topic its access list forbids, and any broker lets whoever holds a password publish. A console signs by its own
key (edge.contract.signing); the shared key of 0.1.0 is accepted from who has it. No clock: the edge time is told.
"""

from __future__ import annotations

import heapq
import hmac
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec
from nacl.signing import VerifyKey

from edge.contract.box_verbs import BOX_VERBS
from edge.contract.commands import OF_CONSOLES, VERBS
from edge.contract.freshness import ConsoleFreshness
from edge.contract.payloads import ID_PATTERN, BadPayload, CommandIn, command_topic, decode, sign
from edge.contract.signing import Verified, Verifier
from edge.model import from_iso

MAX_BYTES = 65_536
MAX_FUTURE_S = 30.0  # how far the console's clock may be ahead of the edge clock
MAX_LIFE_S = 86_400.0  # a nonce is remembered until its command expires, so that may not be for ever
_ID = re.compile(ID_PATTERN)


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a command was refused. `answer_to` is the console to tell, or "" where the payload names none."""

    id: str
    answer_to: str
    reason: str
    nonce: str = field(default="", compare=False)

    @property
    def worthless(self) -> bool:
        """Whether anybody may have sent it: nobody signed it, or it was overheard and is said again."""
        return self.reason in ("forged", "replayed", "expired") or self.reason.startswith("bad_shape")


class CommandVerifier:
    """Checks commands for one edge. Remembers the nonces of accepted ones until they would have expired anyway."""

    def __init__(self, key: bytes, edge: str, console_keys: Mapping[str, VerifyKey] | None = None) -> None:
        """`key` is shared with clients of 0.1.0; `console_keys` are the pinned public keys. Raises ValueError for a
        shared key too short to protect anything."""
        if len(key) < 16:
            raise ValueError(f"the command key must have at least 16 bytes, not {len(key)}")
        self._key = key
        self._edge = edge
        self._topic = command_topic(edge)
        self._consoles = {
            name: Verifier(public, ConsoleFreshness("")) for name, public in (console_keys or {}).items()}
        self._seen: set[str] = set()
        self._forget: list[tuple[float, str]] = []  # a heap: (edge time, nonce)

    def remember(self, nonces: Iterable[str], until_s: float = math.inf) -> None:
        """Nonces already used before a restart, from the journal; kept until edge time `until_s`."""
        for nonce in nonces:
            if nonce not in self._seen:
                self._seen.add(nonce)
                heapq.heappush(self._forget, (until_s, nonce))

    def check(self, payload: bytes, at_s: float) -> CommandIn | Refusal:
        """The command, which may then be done once, or why it may not. Never raises, whatever the bytes."""
        if len(payload) > MAX_BYTES:
            return Refusal("", "", f"bad_shape: {len(payload)} bytes; at most {MAX_BYTES}")
        try:
            raw = decode(dict[str, Any], payload)
        except BadPayload as error:
            return Refusal("", "", f"bad_shape: {error}")
        try:
            command = msgspec.convert(raw, CommandIn)
            reason = self._signed(command, raw, payload)
            issued_s, expires_s = _time(command.issued), _time(command.expires)
        except (msgspec.MsgspecError, ValueError, OverflowError, RecursionError) as error:
            return _refusal(raw, f"bad_shape: {error}")
        reason = reason or self._judge(command, issued_s, expires_s, at_s)
        if reason is not None:
            return _refusal(raw, reason)
        self.remember((command.nonce,), expires_s)
        return command

    def _signed(self, command: CommandIn, raw: dict[str, Any], payload: bytes) -> str | None:
        """The reason to refuse it by its signature: HMAC in 64 digits by the shared key, else by the console's own."""
        if len(command.sig) <= 64:
            return None if hmac.compare_digest(sign(raw, self._key).encode(), command.sig.encode()) else "forged"
        verifier = self._consoles.get(command.console)
        if verifier is None:
            return "forged"
        checked = verifier.check(self._topic, payload, 0.0)
        if isinstance(checked, Verified):
            return None
        return "replayed" if checked.reason in ("duplicate", "replayed") else "forged"

    def _judge(self, command: CommandIn, issued_s: float, expires_s: float, at_s: float) -> str | None:
        """The reason to refuse a command whose signature is good, or None."""
        while self._forget and self._forget[0][0] <= at_s:
            self._seen.discard(heapq.heappop(self._forget)[1])
        if command.edge not in ("", self._edge):
            return "wrong_edge"
        if expires_s - issued_s > MAX_LIFE_S:
            return "bad_shape: it would live more than a day"
        if at_s >= expires_s:
            return "expired"
        if issued_s > at_s + MAX_FUTURE_S:
            return "not_yet"
        if command.nonce in self._seen:
            return "replayed"
        if command.verb in OF_CONSOLES:
            return None
        asked = VERBS.get(command.verb) or BOX_VERBS.get(command.verb)
        if asked is None or command.role not in asked.roles:
            return "forbidden"
        return None


def _time(text: str) -> float:
    if not text.endswith("Z"):
        raise ValueError(f"{text!r} is not a UTC time that ends in Z")
    return from_iso(text)


def _refusal(raw: dict[str, Any], reason: str) -> Refusal:
    """A refusal addressed as well as an unchecked payload allows."""
    id_, console = raw.get("id"), raw.get("console")
    return Refusal(
        id_[:64] if isinstance(id_, str) else "",
        console if isinstance(console, str) and _ID.search(console) else "",
        reason,
        nonce[:64] if isinstance(nonce := raw.get("nonce"), str) else "",
    )
