"""The one MQTT client of this house, for edge and console: where the broker is, a connection to it, and its long life.

It stands on paho-mqtt's own interface for foreign event loops. The asyncio clients there are reach into paho's private
attributes, or leave a socket open where no CONNACK comes, or swallow a cancellation that arrives together with a reply
(`asyncio.wait_for` before Python 3.12); here a stop always stops, and a connection that ended has no socket left.

MQTT 3.1.1, clean session. A publication at QoS 1 is done when the broker has taken it, and fails after TIMEOUT_S.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import ssl
import struct
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode

KEEPALIVE_S = 5  # at the usual 60 a half-open connection stays unnoticed for up to 90 s (MQTT 3.1.1, 3.1.2.10)
TIMEOUT_S = 2.0  # for connecting and for every acknowledgement: a publish in flight fails no sooner
RETRY_S, MAX_RETRY_S = 0.1, 2.0
HELD_S = 4.0  # a connection that lasted so long was a good one: the next is tried at once
MISC_S = 1.0
INFLIGHT = 100
MAX_WAITING = 5000  # messages nobody has taken yet; beyond it the newest is dropped and counted
log = logging.getLogger(__name__)

_BAD_BYTES = (OSError, ValueError, LookupError, struct.error)  # what paho raises over a broken or mad broker's bytes


class MqttError(Exception):
    """The broker is not reached, or did not do what it was asked."""


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


class Connection:
    """One connection, from CONNECT to its end. Made by `connected`; belongs to one event loop."""

    def __init__(self, mqtt: Mqtt, context: ssl.SSLContext | None, identifier: str, will: Will | None) -> None:
        self.dropped = 0
        self._mqtt = mqtt
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()
        self._client = client = paho.Client(
            CallbackAPIVersion.VERSION2, client_id=identifier, clean_session=True, protocol=paho.MQTTv311,
            reconnect_on_failure=False)
        client.connect_timeout = TIMEOUT_S
        client.max_inflight_messages_set(INFLIGHT)
        if mqtt.username is not None:
            client.username_pw_set(mqtt.username, mqtt.password)
        if context is not None:
            client.tls_set_context(context)
        if will is not None:
            client.will_set(will.topic, will.payload, 1, will.retain)
        client.on_connect, client.on_disconnect = self._on_connect, self._on_disconnect
        client.on_publish, client.on_subscribe = self._on_publish, self._on_subscribe
        client.on_message = self._on_message
        client.on_socket_open, client.on_socket_close = self._on_open, self._on_close
        client.on_socket_register_write, client.on_socket_unregister_write = self._on_write, self._on_no_write
        self._fault: str | None = None  # why it ended
        self._accepted = asyncio.Event()
        self._ended = asyncio.Event()
        self._arrived = asyncio.Event()
        self._inbox: deque[Received] = deque()
        self._pending: dict[int, asyncio.Future[list[Any]]] = {}
        self._socket: socket.socket | None = None
        self._misc: asyncio.TimerHandle | None = None

    # --- what a caller does -------------------------------------------------------------------------------------------

    async def publish(self, topic: str, payload: bytes, *, qos: int = 1, retain: bool = False) -> None:
        """Sent (QoS 0), or taken by the broker (QoS 1). Raises MqttError, at the latest after TIMEOUT_S."""
        self._check()
        info = self._client.publish(topic, payload, qos, retain)
        if info.rc != MQTTErrorCode.MQTT_ERR_SUCCESS:
            raise MqttError(paho.error_string(info.rc))
        if not info.is_published():
            await self._answer(info.mid)

    async def subscribe(self, topics: Iterable[str], qos: int = 1) -> None:
        """All `topics`. Raises MqttError, also where the broker refuses one (its access list)."""
        self._check()
        wanted = [(topic, qos) for topic in topics]
        rc, mid = self._client.subscribe(wanted)
        if rc != MQTTErrorCode.MQTT_ERR_SUCCESS or mid is None:
            raise MqttError(paho.error_string(rc))
        for (topic, _), code in zip(wanted, await self._answer(mid), strict=True):
            if code.is_failure:
                raise MqttError(f"the broker refused the subscription to {topic}")

    async def messages(self) -> AsyncIterator[Received]:
        """Every message as it comes. Ends with MqttError when the connection does."""
        while True:
            while self._inbox:
                yield self._inbox.popleft()
            self._check()
            self._arrived.clear()
            await self._arrived.wait()

    # --- its life -----------------------------------------------------------------------------------------------------

    async def open(self) -> None:
        """CONNECT, and the broker's yes. Raises MqttError."""
        # paho connects with a call that blocks for up to TIMEOUT_S; a stop meanwhile leaves it to its thread, and
        # `_on_open` shuts the socket it still may get
        work = self._loop.run_in_executor(None, self._connect)
        work.add_done_callback(lambda done: done.cancelled() or done.exception())  # told below, or to nobody
        try:
            async with asyncio.timeout(2 * TIMEOUT_S):
                await asyncio.shield(work)
                await _first(self._accepted.wait(), self._ended.wait())
        except TimeoutError:
            raise MqttError("no answer to CONNECT") from None
        except (OSError, ValueError) as error:  # ValueError: a host that is no name
            raise MqttError(str(error) or type(error).__name__) from error
        self._check()

    def _connect(self) -> None:
        self._client.connect(self._mqtt.host, self._mqtt.port, KEEPALIVE_S)

    async def close(self) -> None:
        """DISCONNECT where that still goes, and no socket left whatever happened."""
        try:
            if self._fault is None and self._accepted.is_set():
                self._client.disconnect()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(TIMEOUT_S):
                        await self._ended.wait()
        finally:
            self._break("closed")
            self._shut()

    def _check(self) -> None:
        if self._fault is not None:
            raise MqttError(self._fault)

    async def _answer(self, mid: int) -> list[Any]:
        """The broker's acknowledgement of packet `mid`."""
        answer: asyncio.Future[list[Any]] = self._loop.create_future()
        self._pending[mid] = answer
        try:
            self._check()
            async with asyncio.timeout(TIMEOUT_S):
                return await answer
        except TimeoutError:
            raise MqttError("the broker does not answer") from None
        finally:
            del self._pending[mid]

    def _break(self, why: str) -> None:
        """It has ended: whoever waits is told why. Only the first reason counts."""
        if self._fault is not None:
            return
        self._fault = why
        self._ended.set()
        self._arrived.set()
        for answer in self._pending.values():
            if not answer.done():
                answer.set_exception(MqttError(why))

    def _shut(self) -> None:
        if self._misc is not None:
            self._misc.cancel()
        found, self._socket = self._socket, None
        if found is not None and found.fileno() >= 0:
            self._loop.remove_reader(found)
            self._loop.remove_writer(found)
            found.close()

    # --- what paho tells; some of it on the thread that connects ------------------------------------------------------

    def _here(self, call: Callable[..., object], *args: object) -> None:
        if threading.get_ident() == self._thread:
            call(*args)
        else:
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody is left to tell
                self._loop.call_soon_threadsafe(call, *args)

    def _on_open(self, _client: paho.Client, _data: object, found: Any) -> None:
        self._here(self._opened, found)

    def _opened(self, found: socket.socket) -> None:
        if self._fault is not None:  # stopped while it connected
            found.close()
            return
        self._socket = found
        found.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._loop.add_reader(found, self._read)
        self._tick()

    def _on_close(self, _client: paho.Client, _data: object, found: Any) -> None:
        self._here(self._closed, found)

    def _closed(self, found: socket.socket) -> None:
        if self._socket is found and found.fileno() >= 0:
            self._loop.remove_reader(found)
            self._loop.remove_writer(found)
        self._socket = None

    def _on_write(self, _client: paho.Client, _data: object, _socket: Any) -> None:
        self._here(self._want_write)

    def _want_write(self) -> None:
        if self._socket is not None and self._socket.fileno() >= 0:
            self._loop.add_writer(self._socket, self._write)

    def _on_no_write(self, _client: paho.Client, _data: object, _socket: Any) -> None:
        self._here(self._want_no_write)

    def _want_no_write(self) -> None:
        if self._socket is not None and self._socket.fileno() >= 0:
            self._loop.remove_writer(self._socket)

    def _read(self) -> None:
        try:
            self._client.loop_read()
            while isinstance(self._socket, ssl.SSLSocket) and self._socket.pending():  # decoded: no event tells of it
                self._client.loop_read()
        except _BAD_BYTES as error:
            self._break(str(error) or type(error).__name__)

    def _write(self) -> None:
        try:
            self._client.loop_write()
        except _BAD_BYTES as error:
            self._break(str(error) or type(error).__name__)

    def _tick(self) -> None:
        """Keep-alive: a ping when it is due, the end when one is not answered."""
        if self._fault is None:
            self._client.loop_misc()
            self._misc = self._loop.call_later(MISC_S, self._tick)

    def _on_connect(self, _client: paho.Client, _data: object, _flags: object, code: Any, _more: object) -> None:
        if code.is_failure:
            self._break(f"the broker refused us: {code}")
        self._accepted.set()

    def _on_disconnect(self, _client: paho.Client, _data: object, _flags: object, code: Any, _more: object) -> None:
        self._here(self._break, "closed" if not code.is_failure else f"the broker is gone: {code}")

    def _on_publish(self, _client: paho.Client, _data: object, mid: int, _code: object, _more: object) -> None:
        self._answered(mid, [])

    def _on_subscribe(self, _client: paho.Client, _data: object, mid: int, codes: list[Any], _more: object) -> None:
        self._answered(mid, codes)

    def _answered(self, mid: int, codes: list[Any]) -> None:
        answer = self._pending.get(mid)
        if answer is not None and not answer.done():
            answer.set_result(codes)

    def _on_message(self, _client: paho.Client, _data: object, message: paho.MQTTMessage) -> None:
        if len(self._inbox) >= MAX_WAITING:
            if not self.dropped:
                log.warning("more than %d messages wait; the newest are dropped", MAX_WAITING)
            self.dropped += 1
            return
        self._inbox.append(Received(message.topic, bytes(message.payload), message.retain))
        self._arrived.set()


async def _first(*waits: Coroutine[Any, Any, object]) -> None:
    """Until one of them is done; the others are let go."""
    tasks = [asyncio.ensure_future(wait) for wait in waits]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()


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
