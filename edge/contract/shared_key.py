"""How 0.1.0 signed a command: HMAC-SHA256 with a key that edge and client share. Still accepted from who has it."""

from __future__ import annotations

import hashlib
import hmac
from typing import Any

import msgspec

from edge.model import Role, canonical, iso


def sign(command: dict[str, Any], key: bytes) -> str:
    """HMAC-SHA256, hex, over the canonical JSON of `command` without its "sig"."""
    unsigned = {name: value for name, value in command.items() if name != "sig"}
    return hmac.new(key, canonical(unsigned), hashlib.sha256).hexdigest()


def command_payload(
    key: bytes, *, id: str, edge: str, console: str, user: str, role: Role, bed: str, verb: str,  # noqa: A002
    args: dict[str, Any], issued_s: float, expires_s: float, nonce: str,
) -> bytes:
    """A signed command for `command_topic(edge)`. `nonce` is random and never used again; times are edge time."""
    command: dict[str, Any] = {
        "id": id, "edge": edge, "console": console, "user": user, "role": role, "bed": bed, "verb": verb, "args": args,
        "issued": iso(issued_s), "expires": iso(expires_s), "nonce": nonce,
    }
    return msgspec.json.encode(command | {"sig": sign(command, key)})
