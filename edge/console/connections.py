"""How long a browser's connection may take over a request, and how many there may be.

uvicorn 0.54 waits for a request for ever and takes any number of connections: whoever opens thousands that say nothing
leaves the console no file to open, and so no broker, no store and no page. A connection is dropped here when its
request has not come whole within REQUEST_S, and the oldest one makes room when there are MAX_CONNECTIONS. Nor does it
bound a request's head, all of which it keeps: one of more than HEAD_BYTES ends its connection.
"""

from __future__ import annotations

import asyncio
from typing import Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

REQUEST_S: Final = 10.0  # real seconds for a request to come whole; 64 KiB on a bad line take one
HEAD_BYTES: Final = 65_536  # and what the last read brought besides, 256 KiB at most
MAX_CONNECTIONS: Final = 400  # beside the live feeds, which are counted by account (live.py)


class BoundedHttp(HttpToolsProtocol):
    """uvicorn's HTTP with both limits. Its WebSockets leave it when they are upgraded."""

    _waiting: asyncio.TimerHandle | None = None
    _head_bytes: int | None = None  # of a head whose end has not come

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """As uvicorn."""
        super().connection_made(transport)
        self._await_request()
        others = [each for each in self.connections if isinstance(each, BoundedHttp)]
        if len(others) > MAX_CONNECTIONS:
            min(others, key=_since).transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """As uvicorn."""
        self._request_came()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """As uvicorn."""
        super().data_received(data)
        if self._head_bytes is not None:
            self._head_bytes += len(data)
            if self._head_bytes > HEAD_BYTES:
                self.transport.abort()

    def on_headers_complete(self) -> None:
        """Its head is here."""
        self._head_bytes = None
        super().on_headers_complete()

    def on_message_begin(self) -> None:
        """A request begins: the first of this connection, or one more."""
        super().on_message_begin()
        self._head_bytes = 0
        if self._waiting is None:
            self._await_request()

    def on_message_complete(self) -> None:
        """The request is here."""
        self._request_came()
        super().on_message_complete()

    def handle_websocket_upgrade(self) -> None:
        """From now on it is the live feed's."""
        self._request_came()
        super().handle_websocket_upgrade()

    def _await_request(self) -> None:
        self.since_s = self.loop.time()
        self._waiting = self.loop.call_later(REQUEST_S, self.transport.abort)

    def _request_came(self) -> None:
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None


def _since(connection: BoundedHttp) -> float:
    """When its last request began."""
    return connection.since_s
