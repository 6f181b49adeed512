"""What stands before every request: headers, body size, same-origin, and a limit on limiter."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

COOKIE = "vigil_session"
MAX_BODY = 65_536
MAX_BUCKETS = 10_000

HEADERS = {
    "Content-Security-Policy": "default-src 'self'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
                               "connect-src 'self'; object-src 'none'; base-uri 'none'; form-action 'self'; "
                               "frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


def same_origin(headers: Mapping[str, str], origins: tuple[str, ...]) -> bool:
    """Whether a request comes from our own page, or from none.

    A browser always sends Origin with a POST and with a WebSocket handshake, and says in Sec-Fetch-Site where the page
    stood; no page can forge either. Who sends neither is no browser, and carries nobody's cookie against their will.
    """
    if headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        return headers.get("origin") in origins
    origin = headers.get("origin")
    if origin is None or origin in origins:
        return True
    try:
        parts = urlsplit(origin)
    except ValueError:  # [::1
        return False
    return parts.scheme in ("http", "https") and bool(parts.netloc) and parts.netloc == headers.get("host")


@dataclass(slots=True)
class _Bucket:
    tokens: float
    at_s: float


class Limiter:
    """A token bucket for each key: `burst` tries at once, then one every `every_s` real seconds."""

    def __init__(self, burst: float = 10, every_s: float = 6.0) -> None:
        self._burst = burst
        self._every_s = every_s
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()

    def allow(self, key: str, loop_s: float) -> bool:
        """Takes one token; False where there is none."""
        bucket = self._buckets.pop(key, None) or _Bucket(self._burst, loop_s)
        bucket.tokens = min(self._burst, bucket.tokens + (loop_s - bucket.at_s) / self._every_s)
        bucket.at_s = loop_s
        self._buckets[key] = bucket
        while len(self._buckets) > MAX_BUCKETS:
            self._buckets.popitem(last=False)
        if bucket.tokens < 1:
            return False
        bucket.tokens -= 1
        return True

    def forget(self, key: str) -> None:
        """The right password came: its owner has guessed nothing."""
        self._buckets.pop(key, None)


class TooLarge(HTTPException):
    """The body is larger than MAX_BODY."""

    def __init__(self) -> None:
        super().__init__(413, f"more than {MAX_BODY} bytes")


class SecurityMiddleware:
    """ASGI middleware: the headers on every answer, and no body larger than MAX_BODY."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        taken = 0

        async def take() -> Message:
            nonlocal taken
            message = await receive()
            taken += len(message.get("body", b""))
            if taken > MAX_BODY:
                raise TooLarge
            return message

        async def give(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers[name] = value
                if "cache-control" not in headers:
                    headers["Cache-Control"] = "no-store"
            await send(message)

        await self._app(scope, take, give)
