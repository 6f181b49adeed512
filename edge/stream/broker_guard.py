"""What stands before amqtt: it reads fixed headers and CONNECT, and hands over connections that keep to the limits.

amqtt 0.12.1 waits for a CONNECT for ever, reads a packet of any size, forgets the session of whoever is named in a
CONNECT before it asks for a password, sends a last will wherever it is told to, never ends a client that is silent
beyond its keepalive, and hands retained messages to whoever connects. All of that is settled here, by amqtt's public
way for connections from outside (`Broker.external_connected`).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import Counter
from dataclasses import dataclass, field
from ssl import SSLObject

from amqtt.adapters import BufferReader, ReaderAdapter, StreamWriterAdapter
from amqtt.broker import Broker
from amqtt.errors import AMQTTError, MQTTError, NoDataError
from amqtt.mqtt.connect import ConnectPacket

from edge.contract.broker_said import RefusedFor
from edge.stream.broker_access import EVENTS, Access
from edge.stream.broker_limits import BYTES_A_PACKET, TOPIC_BYTES, Pace, Share
from edge.stream.broker_refusals import Ledger, shortened

CONNECT_S = 3.0  # real seconds for a CONNECT to come
CONNECT_BYTES = 65_536  # its will included
PACKET_BYTES = 262_144
MAX_CONNECTIONS = 100  # an edge, its consoles, and people who look
MAX_PER_USER = 20
MAX_WAITING = 50  # sockets that have not said CONNECT; beyond it the oldest makes room
TURN = 8  # rounds of the event loop in which amqtt hands on one message
TAKEOVER_S = 2.0
LINES_PER_S, LINES_BURST = 0.1, 50.0  # in the log, of who was not let in
CONNECT, PUBLISH, PUBACK, SUBSCRIBE, UNSUBSCRIBE = 1, 3, 4, 8, 10
MAX_HEADER = 5
REFUSED = b"\x20\x02\x00\x05"  # CONNACK, not authorised
log = logging.getLogger(__name__)


@dataclass(eq=False, slots=True)
class Client:
    """One connection that was let in."""

    id: str
    user: str | None
    keepalive_s: int
    transport: asyncio.WriteTransport
    share: Share
    received_s: float
    refused: int = 0  # packets that it had no right to
    unacknowledged: int = 0  # messages at QoS 1 that it was given and has not acknowledged
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    full_s: int = 0  # for how many looks its write buffer has been full


class GuardedReader(ReaderAdapter):  # type: ignore[misc]
    """Gives amqtt one whole packet after the other: none that is too long, none faster than its user's pace, nothing
    that its client may not publish or subscribe to, and messages in turn with those of all others: amqtt would queue
    a thousand of one client before it hands on one of another."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, first: bytes, client: Client, access: Access,
        turn: asyncio.Lock, ledger: Ledger,
    ) -> None:
        self._reader, self._writer, self._client, self._access = reader, writer, client, access
        self._turn, self._ledger = turn, ledger
        self._loop = asyncio.get_running_loop()
        self._packet, self._at = first, 0
        self._head = bytearray()  # of the packet being read; kept when amqtt gives up waiting in its middle
        self._counted = False  # whether that packet has been taken within the pace
        self._passed: bytes | None = None  # a whole packet that waits for its turn; kept likewise

    async def read(self, n: int = -1) -> bytes:
        """As StreamReaderAdapter. Raises ConnectionAbortedError for a packet that is too long."""
        while self._at >= len(self._packet):
            if self._passed is None:
                packet = await self._next()
                self._passed = packet if self._allowed(packet) else None
            if self._passed is not None:
                await self._take_turn(self._passed)
                self._packet, self._at, self._passed = self._passed, 0, None
        end = len(self._packet) if n < 0 else self._at + n
        data, self._at = self._packet[self._at : end], end
        return data

    def feed_eof(self) -> None:
        """As StreamReaderAdapter."""
        self._reader.feed_eof()

    async def _next(self) -> bytes:
        if not self._head:
            self._head += await self._reader.readexactly(1)
        while len(self._head) < 2 or (self._head[-1] & 0x80 and len(self._head) < MAX_HEADER):
            self._head += await self._reader.readexactly(1)
        length = sum((byte & 0x7F) << 7 * place for place, byte in enumerate(self._head[1:]))
        if not self._counted:
            if not self._acknowledges():
                size = 1 + min(length, PACKET_BYTES) // BYTES_A_PACKET
                await self._client.share.packets.take(size, self._client.id)
            self._counted = True
        if length > PACKET_BYTES or self._head[-1] & 0x80:
            self._client.transport.abort()
            log.warning("client %r sends a packet of %d bytes; it is cut off", self._client.id, length)
            self._ledger.add("size", self._client.user, self._client.id, f"a packet of {length} bytes")
            raise ConnectionAbortedError(f"a packet of {length} bytes")
        packet = bytes(self._head) + (await self._reader.readexactly(length) if length else b"")
        self._head.clear()
        self._counted = False
        self._client.received_s = self._loop.time()
        return packet

    def _acknowledges(self) -> bool:
        """Whether this is the receipt for a message that the client was given: it costs nothing of its pace, or a
        console that is sent much could say little."""
        if self._head[0] >> 4 != PUBACK or not self._client.unacknowledged:
            return False
        self._client.unacknowledged -= 1
        return True

    async def _take_turn(self, packet: bytes) -> None:
        """Messages go in one at a time, first come first served (asyncio.Lock is fair), each when the one before is
        handed on; subscriptions at their pace, for each brings all that is retained."""
        if packet[0] >> 4 == SUBSCRIBE:
            await self._client.share.filters.take(len(_filters(packet, options=1)), self._client.id)
        if packet[0] >> 4 == PUBLISH:
            async with self._turn:
                for _ in range(TURN):
                    await asyncio.sleep(0)

    def _allowed(self, packet: bytes) -> bool:
        """Whether amqtt gets it. What it does not get is answered here, as a broker must."""
        kind = packet[0] >> 4
        try:
            if kind == PUBLISH:
                return self._may_publish(packet)
            if kind == SUBSCRIBE:
                return self._may_subscribe(packet)
            if kind == UNSUBSCRIBE:
                self._client.share.unsubscribe(self._client.id, _filters(packet, options=0))
        except (IndexError, UnicodeDecodeError):
            self._refuse("topic", "what is no topic", b"")
            return False
        return True

    def _may_publish(self, packet: bytes) -> bool:
        topic, at = _text(packet, _body(packet))
        qos = packet[0] >> 1 & 3
        answer = b"\x40\x02" + packet[at : at + 2] if qos == 1 else b""
        if not self._access.may(self._client.user, "write", topic):
            self._refuse("topic", f"write {topic}", answer)
        elif len(topic) > TOPIC_BYTES:
            self._refuse("much", f"a topic of {len(topic)} characters", answer)
        elif qos > 1:  # amqtt would keep it until its sender asks for it again, for ever
            self._refuse("much", "a message of QoS 2; write 0 or 1", answer)
        elif packet[0] & 1 and (why := self._client.share.keep(topic, len(packet) - at - 2 * (qos == 1))) is not None:
            self._refuse("much", why, answer)
        else:
            return True
        return False

    def _may_subscribe(self, packet: bytes) -> bool:
        wanted, at = _filters(packet, options=1), _body(packet)
        answer = bytes((0x90,)) + _length(2 + len(wanted)) + packet[at : at + 2] + b"\x80" * len(wanted)
        forbidden = [one for one in wanted if not self._access.may(self._client.user, "read", one)]
        if forbidden:
            self._refuse("topic", f"read {', '.join(forbidden)}", answer)
        elif max(map(len, wanted), default=0) > TOPIC_BYTES:
            self._refuse("much", f"a topic of more than {TOPIC_BYTES} characters", answer)
        elif (why := self._client.share.subscribe(self._client.id, wanted)) is not None:
            self._refuse("much", why, answer)
        else:
            return True
        return False

    def _refuse(self, why: RefusedFor, what: str, answer: bytes) -> None:
        if not self._client.refused:  # once a connection: whoever floods does not fill the log
            log.warning("client %r of user %r may not: %s; it goes nowhere", self._client.id, self._client.user,
                        what[:200])
        self._client.refused += 1
        self._ledger.add(why, self._client.user, self._client.id, what)
        self._writer.write(answer)


class GuardedWriter(StreamWriterAdapter):  # type: ignore[misc]
    """Lets out no message that its client may not read: amqtt gives retained ones to anybody."""

    def __init__(self, writer: asyncio.StreamWriter, client: Client, access: Access) -> None:
        super().__init__(writer)
        self._client, self._access = client, access

    def write(self, data: bytes) -> None:
        """One packet."""
        if data[:1] and data[0] >> 4 == PUBLISH:
            topic, _ = _text(bytes(data), _body(data))
            if not self._access.may(self._client.user, "read", topic):
                return
            self._client.unacknowledged += (data[0] & 0x06) == 0x02
        super().write(data)

    def get_ssl_info(self) -> SSLObject | None:
        """No TLS on loopback."""
        return None


class NoConnect(MQTTError):  # type: ignore[misc]
    """What came first is no CONNECT that is taken."""


async def _packet(reader: asyncio.StreamReader) -> bytes:
    """The CONNECT that must come first. Raises NoConnect, EOFError, OSError."""
    first = await reader.readexactly(2)
    length, shift = first[1] & 0x7F, 7
    if first[0] >> 4 != CONNECT:
        raise NoConnect("no CONNECT")
    while first[-1] & 0x80 and shift <= 21:
        first += await reader.readexactly(1)
        length |= (first[-1] & 0x7F) << shift
        shift += 7
    if first[-1] & 0x80 or length > CONNECT_BYTES:
        raise NoConnect(f"a CONNECT of more than {CONNECT_BYTES} bytes")
    return first + await reader.readexactly(length)


def _body(packet: bytes) -> int:
    """Where the body of a packet begins."""
    at = 1
    while packet[at] & 0x80:
        at += 1
    return at + 1


def _length(length: int) -> bytes:
    """As a fixed header has it: seven bits a byte, the lowest first."""
    written = bytearray()
    while True:
        length, low = divmod(length, 128)
        written.append(low | (0x80 if length else 0))
        if not length:
            return bytes(written)


def _filters(packet: bytes, options: int) -> list[str]:
    """The filters of a SUBSCRIBE (`options` 1: each has a byte of them) or UNSUBSCRIBE. Raises IndexError,
    UnicodeDecodeError."""
    at, found = _body(packet) + 2, []
    while at < len(packet):
        wanted, at = _text(packet, at)
        found.append(wanted)
        at += options
    return found


def _text(packet: bytes, at: int) -> tuple[str, int]:
    """The string at `at`, and where it ends. Raises IndexError, UnicodeDecodeError."""
    end = at + 2 + (packet[at] << 8 | packet[at + 1])
    if end > len(packet):
        raise IndexError(end)
    return packet[at + 2 : end].decode(), end


class Guard:
    """The listener's side of the broker: `serve` each connection."""

    def __init__(self, broker: Broker, listener: str, access: Access, ledger: Ledger) -> None:
        self._broker, self._listener, self._access, self._ledger = broker, listener, access, ledger
        self.clients: dict[str, Client] = {}
        self._waiting: dict[asyncio.WriteTransport, None] = {}  # in the order they came
        self._users: Counter[str | None] = Counter()
        self._shares: dict[str, Share] = {}  # by user; where nobody is asked who he is, by client id
        self._turn = asyncio.Lock()
        self._lines = Pace(LINES_PER_S, LINES_BURST, asyncio.get_running_loop().time())

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, from its first byte to its end. Never raises but for a stop."""
        try:
            with contextlib.suppress(OSError, EOFError, AMQTTError, MQTTError, NoDataError):
                first, connect = await self._connect(reader, writer.transport)
                await self._admitted(reader, writer, first, connect)
        finally:
            self._waiting.pop(writer.transport, None)
            writer.transport.abort()

    def abort_all(self) -> None:
        """End every connection: a client that does not read would hold up a stop for ever."""
        for transport in [*self._waiting, *(client.transport for client in self.clients.values())]:
            transport.abort()

    def look(self, now_s: float, max_deaf_s: int) -> None:
        """Once a second: cut off who does not read, and who says nothing for one and a half times its keepalive."""
        for client in list(self.clients.values()):
            buffered, limit = client.transport.get_write_buffer_size(), client.transport.get_write_buffer_limits()[1]
            client.full_s = client.full_s + 1 if buffered > limit else 0
            if client.full_s >= max_deaf_s:
                log.warning("client %r does not read; it is cut off", client.id)
                self._ledger.add("deaf", client.user, client.id, "it does not read what it asked for")
                client.transport.abort()
            elif client.keepalive_s and now_s - client.received_s > client.keepalive_s * 1.5 + 1:
                log.info("client %r is silent; it is cut off", client.id)
                client.transport.abort()

    async def _connect(
        self, reader: asyncio.StreamReader, transport: asyncio.WriteTransport
    ) -> tuple[bytes, ConnectPacket]:
        """The CONNECT, as bytes and read. Raises what reading it raises."""
        self._waiting[transport] = None
        if len(self._waiting) > MAX_WAITING:
            next(iter(self._waiting)).abort()
            self._note("full", None, "", f"{MAX_WAITING} connections that have not said CONNECT already")
        try:
            async with asyncio.timeout(CONNECT_S):
                first = await _packet(reader)
            return first, await ConnectPacket.from_stream(BufferReader(first))
        except TimeoutError:
            self._note("size", None, "", f"no CONNECT within {CONNECT_S:g} s")
            raise
        except (AMQTTError, MQTTError, NoDataError) as wrong:
            self._note("size", None, "", str(wrong) if isinstance(wrong, NoConnect) else "no CONNECT that can be read")
            raise

    async def _admitted(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, first: bytes, connect: ConnectPacket
    ) -> None:
        """Handed to amqtt, if it is somebody and there is room."""
        user: str | None = connect.username
        refused = await self._refused(user, connect)
        self._waiting.pop(writer.transport, None)
        if refused:
            why, what = refused
            self._note(why, user, connect.client_id, what)
            writer.write(REFUSED)
            await writer.drain()
            writer.close()
            return
        await self._take_over(connect.client_id)
        share = self._share(user, connect.client_id)
        client = Client(connect.client_id, user, connect.keep_alive, writer.transport, share,
                        asyncio.get_running_loop().time())
        self.clients[client.id] = client
        self._users[user] += 1
        try:
            await self._broker.external_connected(
                GuardedReader(reader, writer, first, client, self._access, self._turn, self._ledger),
                GuardedWriter(writer, client, self._access), self._listener)
        finally:
            client.ended.set()
            self._users[user] -= 1
            if self.clients.get(client.id) is client:
                del self.clients[client.id]
                share.gone(client.id)
            if client.refused > 1:
                log.warning("client %r of user %r: %d packets went nowhere", client.id, user, client.refused)
            if not self._access.hashes and not share.kept:
                self._shares.pop(client.id, None)

    def _share(self, user: str | None, client_id: str) -> Share:
        """The one of this user, who has shown who it is; where nobody is asked, of this client."""
        producer = self._access.may_some(user, "write", EVENTS)
        return self._shares.setdefault(user or "" if self._access.hashes else client_id,
                                       Share(producer, asyncio.get_running_loop().time()))

    def _note(self, why: RefusedFor, user: str | None, client: str, what: str) -> None:
        """Told to the technician; of many, some stand in the log, too: whoever comes again and again fills no disk."""
        self._ledger.add(why, user, client, what)
        if self._lines.taken(asyncio.get_running_loop().time()):
            log.warning("client %r of user %r is refused: %s", shortened(client), user and shortened(user), what)

    async def _refused(self, user: str | None, connect: ConnectPacket) -> tuple[RefusedFor, str] | None:
        """Why it may not come in; None if it may."""
        if not await asyncio.to_thread(self._access.known, user, connect.password):
            return "password", "wrong user or password"
        share, will = self._share(user, connect.client_id), connect.will_topic or ""
        if self._access.hashes and not share.connects.taken(asyncio.get_running_loop().time()):
            return "full", "this user connects again and again"
        if connect.will_flag and not self._access.may(user, "write", will):
            return "will", f"it may not write {will}, the topic of its last will"
        if connect.will_flag and len(will) > TOPIC_BYTES:
            return "much", f"the topic of its last will has {len(will)} characters"
        if connect.will_retain_flag and (why := share.keep(will, len(connect.will_message or b""))) is not None:
            return "much", f"its last will would stay: {why}"
        if (same := self.clients.get(connect.client_id)) is not None:
            if same.user != user:
                return "client_id", f"this client id is in use by user {same.user!r}"
        elif len(self.clients) >= MAX_CONNECTIONS:
            return "full", f"there are {MAX_CONNECTIONS} clients already"
        elif self._access.hashes and self._users[user] >= MAX_PER_USER:
            return "full", f"this user has {MAX_PER_USER} connections already"
        return None

    async def _take_over(self, client_id: str) -> None:
        """A second connection of one client ends the first, and waits for its end: amqtt keeps both."""
        same = self.clients.get(client_id)
        if same is not None:
            same.transport.abort()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(TAKEOVER_S):
                    await same.ended.wait()
