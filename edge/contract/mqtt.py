"""One connection to the MQTT broker: where it is, how it is opened, and how it is closed whatever happened to it."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import aiomqtt

from edge.cancellation import outcome

KEEPALIVE_S = 5  # at the usual 60 a half-open connection stays unnoticed for 120 s (reliability.md, finding 6)
TIMEOUT_S = 2.0  # for connecting and for every acknowledgement: a publish in flight fails no sooner
_PENDING_CALLS = 1000  # aiomqtt warns beyond 10, which any burst reaches


@dataclass(frozen=True, slots=True)
class Mqtt:
    """Where the broker is and how to be let in. `tls` with `ca` None trusts the system's authorities."""

    host: str = "127.0.0.1"
    port: int = 1883
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    tls: bool = False
    ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None

    @classmethod
    def from_url(
        cls, url: str, *, username: str | None = None, password: str | None = None,
        ca: Path | None = None, cert: Path | None = None, key: Path | None = None,
    ) -> Mqtt:
        """`mqtt://host[:1883]` or `mqtts://host[:8883]`. Raises ValueError with one line that says what is wrong."""
        parts = urlsplit(url)
        if parts.scheme not in ("mqtt", "mqtts") or not parts.hostname:
            raise ValueError(f"{url!r} is not a broker; write mqtt://host:1883 or mqtts://host:8883")
        if parts.username or parts.password:
            raise ValueError("a broker's url holds no password; write user and password_file instead")
        tls = parts.scheme == "mqtts"
        if not tls and (ca or cert or key):
            raise ValueError(f"{url!r} has ca, cert or key, but is not encrypted; write mqtts://")
        if bool(cert) != bool(key):
            raise ValueError("cert and key only go together; write both or neither")
        return cls(parts.hostname, parts.port or (8883 if tls else 1883), username, password, tls, ca, cert, key)

    def __str__(self) -> str:
        return f"{'mqtts' if self.tls else 'mqtt'}://{self.host}:{self.port}"

    def context(self) -> ssl.SSLContext | None:
        """The TLS settings, or None for plain TCP. Raises OSError (ssl.SSLError) for files that cannot be used."""
        if not self.tls:
            return None
        context = ssl.create_default_context(cafile=self.ca)
        if self.cert is not None:
            context.load_cert_chain(self.cert, self.key)
        return context


@contextlib.asynccontextmanager
async def connected(
    mqtt: Mqtt, context: ssl.SSLContext | None, identifier: str, will: aiomqtt.Will | None = None
) -> AsyncIterator[aiomqtt.Client]:
    """One connection, MQTT 3.1.1, clean session. Raises aiomqtt.MqttError when it cannot be opened.

    Whatever leaves the body leaves this too: a broker that no longer answers never hides the reason for closing.
    """
    client = aiomqtt.Client(
        mqtt.host, mqtt.port, username=mqtt.username, password=mqtt.password, identifier=identifier,
        protocol=aiomqtt.ProtocolVersion.V311, clean_session=True, will=will, tls_context=context,
        timeout=TIMEOUT_S, keepalive=KEEPALIVE_S, max_queued_incoming_messages=5000, max_inflight_messages=100,
        socket_options=((socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),),
    )
    client.pending_calls_threshold = _PENDING_CALLS
    client._client.connect_timeout = TIMEOUT_S  # paho's own is 5 s, and aiomqtt has no word for it
    try:
        await outcome(client.__aenter__())
        yield client
    finally:
        try:
            with contextlib.suppress(aiomqtt.MqttError):
                if client._connected.done():
                    await outcome(client.__aexit__(None, None, None))
        finally:
            _shut(client)


def _shut(client: aiomqtt.Client) -> None:
    """Closes the socket: aiomqtt leaves it open when no CONNACK comes, or when it was cancelled while it waited."""
    client._client._sock_close()
    for future in (client._connected, client._disconnected):
        if future.done() and not future.cancelled():
            future.exception()  # it is told by whoever was waiting; unread, asyncio would log it once more


async def publish(client: aiomqtt.Client, topic: str, payload: bytes, *, qos: int = 1, retain: bool = False) -> None:
    """Sent, and at QoS 1 taken by the broker. Raises aiomqtt.MqttError, at the latest after TIMEOUT_S."""
    await outcome(client.publish(topic, payload, qos=qos, retain=retain))


async def subscribe(client: aiomqtt.Client, topics: list[str]) -> None:
    """All `topics` at QoS 1. Raises aiomqtt.MqttError, also where the broker refuses one (its ACL)."""
    granted = await outcome(client.subscribe([(topic, 1) for topic in topics]))
    codes = [code if isinstance(code, int) else code.value for code in granted]
    for topic, code in zip(topics, codes, strict=True):
        if code >= 0x80:
            raise aiomqtt.MqttError(f"the broker refused the subscription to {topic}")


class Latest:
    """What waits to be sent, one payload a topic: a newer one replaces an older one that has not gone yet."""

    def __init__(self) -> None:
        self._waiting: dict[str, bytes] = {}
        self._some = asyncio.Event()

    def put(self, topic: str, payload: bytes) -> None:
        """Never waits, never grows beyond one payload a topic."""
        self._waiting[topic] = payload
        self._some.set()

    def clear(self) -> None:
        """Forget what waits."""
        self._waiting.clear()

    async def take(self) -> tuple[str, bytes]:
        """The topic that has waited longest, and its payload."""
        while not self._waiting:
            self._some.clear()
            await self._some.wait()
        topic = next(iter(self._waiting))
        return topic, self._waiting.pop(topic)
