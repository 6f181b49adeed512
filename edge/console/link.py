"""The console's connection to the broker: made again for ever, believed in nothing."""

from __future__ import annotations

import asyncio
import logging
import secrets
import ssl
from typing import Protocol

import aiomqtt

from edge.console.settings import Settings
from edge.contract.payloads import (
    Gone,
    ack_topic,
    answer_topic,
    encode,
    event_topic,
    gone_topic,
    state_topic,
    status_topic,
    vitals_topic,
    wave_topic,
)
from edge.contract.signing import Signer

KEEPALIVE_S = 5  # a frozen broker is noticed after twice this
TIMEOUT_S = 5.0
ECHO_S = 4.0  # real seconds in which our own ack comes back to us
RETRY_S = 0.5
MAX_RETRY_S = 2.0
MAX_PAYLOAD = 1 << 20

log = logging.getLogger(__name__)


class NotConnected(Exception):
    """There is no broker now, or it did not confirm. `maybe_sent`: the message may have got through all the same."""

    def __init__(self, reason: str, *, maybe_sent: bool) -> None:
        super().__init__(reason)
        self.maybe_sent = maybe_sent


class Publisher(Protocol):
    """What can send on MQTT."""

    async def publish(self, topic: str, payload: bytes) -> None:
        """Sends at QoS 1 and waits for the broker's word. Raises NotConnected."""


class Listener(Protocol):
    """What is told of the connection and of all that comes over it."""

    def connected(self) -> None:
        """Subscribed; what is retained comes now."""

    def disconnected(self, reason: str) -> None:
        """The broker is gone."""

    def receive(self, topic: str, payload: bytes, retained: bool) -> None:
        """One message."""


class Link:
    """One MQTT 3.1.1 connection at a time for one edge, clean session, reconnecting for ever.

    One an edge: a client has one last will, and each edge is told when its console is gone.
    """

    def __init__(self, settings: Settings, edge: str, signer: Signer) -> None:
        self._settings = settings
        self._edge = edge
        self._signer = signer
        self._ack_topic = ack_topic(edge, settings.name)
        self._hears_itself = False  # whether this broker ever brought us what we said
        self._limit: asyncio.Timeout | None = None
        self.run_id = ""  # names the present connection, so that an older one's last will says nothing of it
        self._client: aiomqtt.Client | None = None

    async def run(self, listener: Listener) -> None:
        """Connects, subscribes and hands over messages until cancelled; never ends by itself."""
        wait_s = RETRY_S
        while True:
            try:
                async with self._new_client() as client:
                    await self._subscribe(client)
                    _end_if_cancelled()
                    self._client = client
                    listener.connected()
                    wait_s = RETRY_S
                    await self._listen(client, listener)
            except (aiomqtt.MqttError, OSError) as error:
                listener.disconnected(_plain(error))
            finally:
                self._client = None
            _end_if_cancelled()
            await asyncio.sleep(wait_s)
            wait_s = min(wait_s * 2, MAX_RETRY_S)

    async def publish(self, topic: str, payload: bytes) -> None:
        """Sends at QoS 1 and waits for the broker's word. Raises NotConnected."""
        client = self._client
        if client is None:
            raise NotConnected("no broker", maybe_sent=False)
        try:
            await client.publish(topic, payload, qos=1, timeout=TIMEOUT_S)
            if topic == self._ack_topic:
                self._await_echo()
        except aiomqtt.MqttError as error:
            raise NotConnected(_plain(error), maybe_sent=True) from error
        finally:
            _end_if_cancelled()

    def _await_echo(self) -> None:
        """Our own ack must come back to us: a connection that takes and brings nothing is made anew."""
        if self._limit is not None and self._limit.when() is None and self._hears_itself:
            self._limit.reschedule(asyncio.get_running_loop().time() + ECHO_S)

    def _new_client(self) -> aiomqtt.Client:
        settings = self._settings
        self.run_id = secrets.token_hex(4)
        topic = gone_topic(self._edge, settings.name)
        gone = self._signer.sign(topic, encode(Gone(console=settings.name, run=self.run_id)))
        client = aiomqtt.Client(
            settings.mqtt_host, settings.mqtt_port, username=settings.mqtt_user, password=settings.mqtt_password,
            # a new name each time: not every broker ends an old connection for a new one
            identifier=f"console-{settings.name}-{self.run_id}",
            protocol=aiomqtt.ProtocolVersion.V311, clean_session=True, keepalive=KEEPALIVE_S, timeout=TIMEOUT_S,
            max_queued_incoming_messages=5000, max_inflight_messages=100, tls_context=self._tls(), logger=log,
            will=aiomqtt.Will(topic, gone, qos=1),
        )
        client.pending_calls_threshold = 1000
        return client

    def _tls(self) -> ssl.SSLContext | None:
        tls = self._settings.tls
        if tls is None:
            return None
        context = ssl.create_default_context(cafile=None if tls.ca is None else str(tls.ca))
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if tls.cert is not None:
            context.load_cert_chain(str(tls.cert), None if tls.key is None else str(tls.key))
        return context

    async def _subscribe(self, client: aiomqtt.Client) -> None:
        edge = self._edge
        await client.subscribe([
            (status_topic(edge), 1), (vitals_topic(edge, "+"), 0), (wave_topic(edge, "+", "+"), 0),
            (state_topic(edge, "+"), 1), (event_topic(edge), 1), (answer_topic(edge, self._settings.name), 1),
            (self._ack_topic, 1),
        ])

    async def _listen(self, client: aiomqtt.Client, listener: Listener) -> None:
        try:
            async with asyncio.timeout(None) as self._limit:
                await self._hand_over(client, listener)
        except TimeoutError:
            raise aiomqtt.MqttError("this console no longer hears itself") from None
        finally:
            self._limit = None

    async def _hand_over(self, client: aiomqtt.Client, listener: Listener) -> None:
        async for message in client.messages:
            payload = message.payload
            if message.topic.value == self._ack_topic:
                self._hears_itself = True
                if self._limit is not None:
                    self._limit.reschedule(None)
                continue
            if isinstance(payload, bytes | bytearray) and 0 < len(payload) <= MAX_PAYLOAD:
                listener.receive(message.topic.value, bytes(payload), message.retain)


def _end_if_cancelled() -> None:
    """Takes up a cancellation that was swallowed on the way.

    aiomqtt waits with asyncio.wait_for, which before Python 3.12 returns normally when what it waits for is done in the
    same moment as the cancellation comes; the task would then go on for ever, and the process would not end.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


def _plain(error: BaseException) -> str:
    return str(error) or type(error).__name__


