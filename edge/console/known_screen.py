"""A screen at which somebody has signed in before counts that person's wrong passwords by itself.

So nobody who guesses from elsewhere, be it behind the same proxy, keeps a nurse out at the screen where she works. The
cookie holds for one name and lets nobody in (OWASP, Authentication Cheat Sheet: device cookies).
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Mapping

from nacl.signing import SigningKey

MAX_COOKIE = 128


def cookie_name(account: str) -> str:
    """The cookie of `account`; it does not spell the name."""
    return f"vigil_screen_{hashlib.sha256(account.encode()).hexdigest()[:16]}"


def made(own: SigningKey, account: str) -> str:
    """A new cookie for a screen at which `account` has just signed in. `own`: the console's key."""
    screen = secrets.token_urlsafe(12)
    return f"{screen}.{_mark(own, account, screen)}"


def screen_of(own: SigningKey, account: str, cookies: Mapping[str, str]) -> str | None:
    """The screen's name for itself, where this console has made the cookie for this account; else None."""
    screen, dot, mark = cookies.get(cookie_name(account), "")[:MAX_COOKIE].partition(".")
    right = bool(dot) and hmac.compare_digest(mark.encode(), _mark(own, account, screen).encode())
    return screen if right else None


def _mark(own: SigningKey, account: str, screen: str) -> str:
    return hmac.new(b"vigil screen" + bytes(own), f"{screen}.{account}".encode(), hashlib.sha256).hexdigest()
