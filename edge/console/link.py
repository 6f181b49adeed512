"""The console's connection to the broker: made again for ever, believed in nothing."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
from typing import Protocol

from edge.console.settings import Settings, Tls
from edge.contract.broker_said import REFUSED_TOPIC, Refusals
from edge.contract.mqtt import Connection, Mqtt, MqttError, Received, Will, connected, keep_connected
from edge.contract.payloads import (
    BadPayload,
    Gone,
    ack_topic,
    answer_topic,
    decode,
    encode,
    event_topic,
    gone_topic,
    state_topic,
    status_topic,
    vitals_topic,
    wave_topic,
)
from edge.contract.signing import Signer

ECHO_S = 4.0  # real seconds in which our own ack comes back to us
MAX_PAYLOAD = 1 << 20
HEAVY_S = 0.002  # real seconds that a message may cost before its edge waits: 200 events cost some 30 ms
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
        self._hears_itself = False  # whether this broker ever brought us our own messages
        self._limit: asyncio.Timeout | None = None
        self.run_id = ""  # names the present connection, so that an older one's last will says nothing of it
        self._mqtt = _mqtt(settings)
        self._context = self._mqtt.context()
        self._connection: Connection | None = None
        self.broker_said: Refusals | None = None  # what the broker says it refused; None: it says nothing

    async def run(self, listener: Listener) -> None:
        """Connects, subscribes and hands over messages until cancelled; never ends by itself."""
        await keep_connected(lambda: self._connected(listener), listener.disconnected)

    async def _connected(self, listener: Listener) -> None:
        """One connection, to whatever breaks it."""
        settings = self._settings
        self.run_id = secrets.token_hex(4)
        topic = gone_topic(self._edge, settings.name)
        will = Will(topic, self._signer.sign(topic, encode(Gone(console=settings.name, run=self.run_id))))
        # A new name each time, which nothing we publish tells: whoever knew it could push us off the broker.
        name = f"console-{settings.name}-{secrets.token_hex(4)}"
        async with connected(self._mqtt, self._context, name, will) as connection:
            edge = self._edge
            await connection.subscribe([
                status_topic(edge), vitals_topic(edge, "+"), wave_topic(edge, "+", "+"), state_topic(edge, "+"),
                event_topic(edge), answer_topic(edge, settings.name), self._ack_topic])
            self._connection = connection
            with contextlib.suppress(MqttError):  # a broker that is not the embedded one need not allow this
                await connection.subscribe([REFUSED_TOPIC])
            try:
                listener.connected()
                await self._listen(connection, listener)
            finally:
                self._connection = self.broker_said = None

    async def publish(self, topic: str, payload: bytes) -> None:
        """Sends at QoS 1 and waits for the broker's word. Raises NotConnected."""
        if self._connection is None:
            raise NotConnected("no broker", maybe_sent=False)
        try:
            await self._connection.publish(topic, payload)
        except MqttError as error:
            raise NotConnected(str(error), maybe_sent=True) from error
        if topic == self._ack_topic:
            self._await_echo()

    def _await_echo(self) -> None:
        """Our own ack must come back to us: a connection that takes and brings nothing is made anew."""
        if self._limit is not None and self._limit.when() is None and self._hears_itself:
            self._limit.reschedule(asyncio.get_running_loop().time() + ECHO_S)

    async def _listen(self, connection: Connection, listener: Listener) -> None:
        try:
            async with asyncio.timeout(None) as self._limit:
                await self._dispatch(connection, listener)
        except TimeoutError:
            raise MqttError("this console no longer hears itself") from None
        finally:
            self._limit = None

    async def _dispatch(self, connection: Connection, listener: Listener) -> None:
        async for message in connection.messages():
            if message.topic == self._ack_topic:
                self._hears_itself = True
                if self._limit is not None:
                    self._limit.reschedule(None)
            elif message.topic == REFUSED_TOPIC:
                self._hear_broker(message.payload)
            elif 0 < len(message.payload) <= MAX_PAYLOAD:
                await asyncio.sleep(_received(listener, message))


    def _hear_broker(self, payload: bytes) -> None:
        try:
            self.broker_said = decode(Refusals, payload)
        except BadPayload as wrong:
            log.warning("what the broker says it refused is not understood: %s", wrong)


def _received(listener: Listener, message: Received) -> float:
    """Hands a message over. For how long (s) nothing more is to be taken of this edge: as long as it took, so that one
    edge's events without end leave the others half of this process."""
    loop = asyncio.get_running_loop()
    began_s = loop.time()
    listener.receive(message.topic, message.payload, message.retained)
    took_s = loop.time() - began_s
    return took_s if took_s > HEAVY_S else 0.0


def _mqtt(settings: Settings) -> Mqtt:
    tls = settings.tls or Tls()
    return Mqtt(settings.mqtt_host, settings.mqtt_port, settings.mqtt_user, settings.mqtt_password,
                settings.tls is not None, tls.ca, tls.cert, tls.key)
