"""The one MQTT client of Vigil, for edge and console: where the broker is, a connection to it, and its long life.

aiomqtt, MQTT 3.1.1, clean session. A publication at QoS 1 is done when the broker has taken it, and fails after
TIMEOUT_S.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import socket
import ssl
import threading
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import aiomqtt
from aiomqtt import MqttError

__all__ = ["Connection", "Latest", "Mqtt", "MqttError", "Received", "Will", "connected", "keep_connected"]

KEEPALIVE_S = 5  # at the usual 60 a half-open connection stays unnoticed for up to 90 s (MQTT 3.1.1, 3.1.2.10)
TIMEOUT_S = 2.0  # for connecting and for every acknowledgement: a publish in flight fails no sooner
RETRY_S, MAX_RETRY_S = 0.1, 2.0
HELD_S = 4.0  # a connection that lasted so long was a good one: the next is tried at once
MAX_INFLIGHT = 100
MAX_PENDING_CALLS = 1000  # aiomqtt warns beyond 10, which any burst reaches
MAX_WAITING = 5000  # messages nobody has taken yet; beyond it the newest is dropped, with a warning
log = logging.getLogger(__name__)

T = TypeVar("T")


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

    def __str__(self) -> str:
        return f"{'mqtts' if self.tls else 'mqtt'}://{self.host}:{self.port}"

    def context(self) -> ssl.SSLContext | None:
        """The one TLS policy: at least 1.2, the broker's certificate and name checked; None for plain TCP.

        Raises OSError (ssl.SSLError) for files that cannot be used.
        """
        if not self.tls:
            return None
        context = ssl.create_default_context(cafile=self.ca)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if self.cert is not None:
            context.load_cert_chain(self.cert, self.key)
        return context


@dataclass(frozen=True, slots=True)
class Will:
    """What the broker says for us when the connection breaks."""

    topic: str
    payload: bytes
    retain: bool = False


@dataclass(frozen=True, slots=True)
class Received:
    """One message as it came."""

    topic: str
    payload: bytes
    retained: bool


class _Client(aiomqtt.Client):
    """aiomqtt 2.5.1 with six faults mended here, as a patch of aiomqtt itself would mend them.

    The TCP connect has paho's own 5 s, whatever `timeout` says. `asyncio.wait_for` (before Python 3.12) swallows a
    cancellation that arrives together with the reply, so that a stop is lost. The socket stays open where no
    CONNACK comes, or where the stop comes while the connection is made. Each packet waits for a turn of the loop and
    four system calls (a wake-up, the writer added, the send, the writer removed) where one send is enough. Each message
    that comes costs a task. And a connection that ends together with its CONNACK counts as open.
    """

    def __init__(self, mqtt: Mqtt, context: ssl.SSLContext | None, identifier: str, will: Will | None) -> None:
        super().__init__(
            mqtt.host, mqtt.port, username=mqtt.username, password=mqtt.password, identifier=identifier,
            protocol=aiomqtt.ProtocolVersion.V311, clean_session=True, tls_context=context, timeout=TIMEOUT_S,
            will=aiomqtt.Will(will.topic, will.payload, 1, will.retain) if will is not None else None,
            keepalive=KEEPALIVE_S, max_queued_incoming_messages=MAX_WAITING, max_inflight_messages=MAX_INFLIGHT,
            socket_options=((socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),), logger=log)
        self.pending_calls_threshold = MAX_PENDING_CALLS
        self._client.connect_timeout = TIMEOUT_S
        self._shut = False
        self._loops_thread = threading.get_ident()
        self._came: deque[Received] = deque()
        self._some = asyncio.Event()  # came, or the connection has ended

    async def _wait_for(self, fut: Awaitable[T], timeout: float | None) -> T:  # noqa: ASYNC109 (aiomqtt's own)
        wait_s = self.timeout if timeout is None else timeout
        try:
            async with asyncio.timeout(None if wait_s == math.inf else wait_s):
                return await fut
        except TimeoutError:
            raise MqttError("the broker does not answer") from None

    def _on_socket_open(self, client: Any, userdata: Any, sock: Any) -> None:  # on the thread that connects
        if self._shut:
            sock.close()
        else:
            super()._on_socket_open(client, userdata, sock)

    def _on_socket_register_write(self, client: Any, userdata: Any, sock: Any) -> None:
        """There is something to write: at once, and by a writer of the loop only what the socket does not take."""
        if threading.get_ident() == self._loops_thread:
            client.loop_write()
            if not client.want_write() or client.socket() is not sock:
                return
        super()._on_socket_register_write(client, userdata, sock)

    def _on_message(self, client: Any, userdata: Any, message: Any) -> None:
        if len(self._came) >= MAX_WAITING:
            log.warning("%d messages wait; one more is dropped", MAX_WAITING)
            return
        self._came.append(Received(message.topic, message.payload, message.retain))
        self._some.set()

    async def next(self) -> Received:
        """The message that has waited longest. Raises MqttError where none waits and the connection has ended."""
        while not self._came:
            if self._disconnected.done():
                raise MqttError("disconnected while messages were awaited") from self._disconnected.exception()
            self._some.clear()
            await self._some.wait()
        return self._came.popleft()

    def opened(self) -> None:
        """From here on whoever awaits a message is woken by the end, too. Raises MqttError where it has come already:
        `__aenter__` forgets an end that came together with CONNACK."""
        if not self._client.is_connected():
            raise MqttError("disconnected at once")
        self._disconnected.add_done_callback(lambda _: self._some.set())

    def shut(self) -> None:
        """No socket and no task is left, however the connection ended."""
        self._shut = True
        if self._misc_task is not None:
            self._misc_task.cancel()
        found = self._client.socket()
        if isinstance(found, socket.socket) and found.fileno() >= 0:
            self._loop.remove_reader(found.fileno())
            self._loop.remove_writer(found.fileno())
            found.close()
        for future in (self._connected, self._disconnected):
            if future.done() and not future.cancelled():
                future.exception()  # whoever waited was told; unread, asyncio would log it once more


class Connection:
    """One connection, from CONNECT to its end. Made by `connected`; belongs to one event loop."""

    def __init__(self, mqtt: Mqtt, context: ssl.SSLContext | None, identifier: str, will: Will | None) -> None:
        self._client = _Client(mqtt, context, identifier, will)
        self._is_open = False

    async def publish(self, topic: str, payload: bytes, *, qos: int = 1, retain: bool = False) -> None:
        """Sent (QoS 0), or taken by the broker (QoS 1). Raises MqttError, at the latest after TIMEOUT_S."""
        await self._client.publish(topic, payload, qos, retain)

    async def subscribe(self, topics: Iterable[str], qos: int = 1) -> None:
        """All `topics`. Raises MqttError, also where the broker refuses one (its access list)."""
        wanted = [(topic, qos) for topic in topics]
        granted: Iterable[Any] = await self._client.subscribe(wanted)  # paho's reason codes
        for (topic, _), code in zip(wanted, granted, strict=True):
            if code.is_failure:
                raise MqttError(f"the broker refused the subscription to {topic}")

    async def messages(self) -> AsyncIterator[Received]:
        """Every message as it comes. Ends with MqttError when the connection does."""
        while True:
            yield await self._client.next()
            await asyncio.sleep(0)  # where messages wait without end, other tasks have their turn between two

    async def open(self) -> None:
        """CONNECT, and the broker's yes. Raises MqttError."""
        try:
            async with asyncio.timeout(2 * TIMEOUT_S):
                await self._client.__aenter__()
        except TimeoutError:
            raise MqttError("no answer to CONNECT") from None
        except ValueError as error:  # a host that is no name
            raise MqttError(str(error)) from error
        self._client.opened()
        self._is_open = True

    async def close(self) -> None:
        """DISCONNECT where that still goes, and no socket left whatever happened."""
        try:
            if self._is_open:
                with contextlib.suppress(MqttError):
                    await self._client.__aexit__(None, None, None)
        finally:
            self._client.shut()


@contextlib.asynccontextmanager
async def connected(
    mqtt: Mqtt, context: ssl.SSLContext | None, identifier: str, will: Will | None = None
) -> AsyncIterator[Connection]:
    """One connection for as long as the body runs. Raises MqttError when it cannot be opened.

    Whatever leaves the body leaves this too: a broker that no longer answers never hides the reason for closing.
    """
    connection = Connection(mqtt, context, identifier, will)
    try:
        await connection.open()
        yield connection
    finally:
        await connection.close()


async def keep_connected(connection: Callable[[], Coroutine[Any, Any, None]], broke: Callable[[str], None]) -> None:
    """Runs `connection` (one connection's whole life) again for ever, with a longer wait each time it does not hold.

    `broke` is told why it ended: an MqttError or OSError. Any other error is our own fault and goes on to the caller.
    """
    loop = asyncio.get_running_loop()
    wait_s = RETRY_S
    while True:
        began_s = loop.time()
        # A task of its own: when the broker breaks in the moment of our stop, a TaskGroup lets its error win, and the
        # stop would be lost in it.
        life = loop.create_task(connection())
        try:
            await asyncio.wait([life])
        except asyncio.CancelledError:
            life.cancel()
            await asyncio.wait([life])
            if not life.cancelled():
                _end(life, broke)
            raise
        _end(life, broke)
        if loop.time() - began_s > HELD_S:  # it held: not one that breaks at once each time
            wait_s = RETRY_S
        await asyncio.sleep(wait_s)
        wait_s = min(wait_s * 2, MAX_RETRY_S)


def _end(life: asyncio.Task[None], broke: Callable[[str], None]) -> None:
    try:
        life.result()
    except* (MqttError, OSError) as group:
        error: BaseException = group
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        broke(str(error) or type(error).__name__)


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
