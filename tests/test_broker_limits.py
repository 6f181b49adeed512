"""What one user may take of the embedded broker: retained messages, filters, topics, QoS, bytes, connections."""

from __future__ import annotations

import asyncio
import struct
from typing import Any

import pytest

from edge.stream.broker_access import Access
from edge.stream.broker_guard import Client, GuardedReader
from edge.stream.broker_limits import (
    BYTES_A_PACKET,
    CONNECT_BURST,
    CONNECT_PER_S,
    MAX_FILTERS,
    MAX_KEPT,
    MAX_KEPT_BYTES,
    PRODUCER_BURST,
    SUBSCRIBE_BURST,
    TOPIC_BYTES,
    Pace,
    Share,
)
from edge.stream.broker_refusals import Ledger


class Written:
    """Stands for a connection; keeps what it was answered."""

    def __init__(self) -> None:
        self.transport = asyncio.WriteTransport()
        self.said: list[bytes] = []

    def write(self, data: bytes) -> None:
        """Taken."""
        self.said.append(data)


def text(said: str) -> bytes:
    return struct.pack(">H", len(said)) + said.encode()


def packet(first: int, body: bytes) -> bytes:
    """A whole packet; its length in seven bits a byte."""
    head, length = bytearray((first,)), len(body)
    while length > 127:
        head.append(length & 127 | 128)
        length >>= 7
    return bytes(head) + bytes((length,)) + body


def publish(topic: str, data: bytes = b"x", *, qos: int = 1, retain: bool = True) -> bytes:
    return packet(0x30 | qos << 1 | retain, text(topic) + (b"\x00\x07" if qos else b"") + data)


def subscribe(*filters: str) -> bytes:
    return packet(0x82, b"\x00\x07" + b"".join(text(one) + b"\x01" for one in filters))


def unsubscribe(*filters: str) -> bytes:
    return packet(0xA2, b"\x00\x07" + b"".join(map(text, filters)))


class Connection:
    """One connection of a user, as amqtt reads it."""

    def __init__(self, share: Share, name: str = "a") -> None:
        self.source, self.writer, self.ledger = asyncio.StreamReader(limit=2**24), Written(), Ledger(str)
        any_: Any = self.writer
        client = Client(name, "edge-clinic-1", 5, self.writer.transport, share, 0.0)
        self.reader = GuardedReader(self.source, any_, b"", client, Access(), asyncio.Lock(), self.ledger)

    async def passes(self, sent: bytes) -> bool:
        """Whether amqtt gets this packet: of those that follow it, too, it gets PINGREQ first otherwise."""
        self.source.feed_data(sent + b"\xc0\x00")
        got = await self.reader.read(len(sent))
        if got == sent:
            assert await self.reader.read(2) == b"\xc0\x00"
        return got == sent

    def why(self) -> str:
        """What was refused last."""
        told = self.ledger.news()
        assert told is not None
        return told.refused[0].what


@pytest.fixture
def share() -> Share:
    """Of an edge, whose pace does not hold a test up."""
    made = Share(True, 0.0)
    made.packets = made.filters = Pace(1e9, 1e9, 0.0)
    return made


async def test_so_many_messages_of_a_user_are_retained_and_no_more(share: Share) -> None:
    connection, other = Connection(share), Connection(share, "b")
    share.kept = {f"t{n}": 1 for n in range(MAX_KEPT - 1)}
    assert await connection.passes(publish("one more"))
    assert not await other.passes(publish("too many")), "over all its connections"
    assert other.writer.said == [b"\x40\x02\x00\x07"], "answered, or its sender would send it for ever"
    assert other.why() == f"{MAX_KEPT} messages of this user are retained already"
    assert await other.passes(publish("one more", b"anew"))
    assert await other.passes(publish("passing", retain=False))
    assert await other.passes(publish("one more", b"")), "it is cleared,"
    assert await other.passes(publish("too many")), "and makes room"


async def test_so_many_bytes_of_a_user_are_retained_and_no_more(share: Share) -> None:
    assert share.keep("a", MAX_KEPT_BYTES - 10) is None
    assert share.keep("b", 11) is not None
    assert share.keep("b", 10) is None
    assert share.keep("a", MAX_KEPT_BYTES - 9) is not None
    assert share.keep("a", 0) is None
    assert share.kept_bytes == 10
    connection = Connection(share)
    for qos in (0, 1):
        assert await connection.passes(publish("c", b"1234", qos=qos))
        assert share.kept["c"] == 4


async def test_so_many_filters_of_a_user_are_read_and_no_more(share: Share) -> None:
    connection, other = Connection(share), Connection(share, "b")
    wanted = [f"f{n}" for n in range(MAX_FILTERS)]
    assert not await connection.passes(subscribe(*wanted, "g"))
    assert connection.writer.said == [packet(0x90, b"\x00\x07" + b"\x80" * (MAX_FILTERS + 1))]
    assert await connection.passes(subscribe(*wanted))
    assert await connection.passes(subscribe(wanted[0])), "again"
    assert not await other.passes(subscribe(wanted[0])), "over all its connections"
    assert other.why() == f"this user reads {MAX_FILTERS} topics already"
    assert await connection.passes(unsubscribe(wanted[0]))
    assert await other.passes(subscribe(wanted[0]))
    share.gone("a")
    assert list(share.read) == [("b", wanted[0])]


async def test_no_topic_is_longer_than_any_of_ours_and_nothing_is_of_qos_2(share: Share) -> None:
    connection = Connection(share)
    for make in (publish, subscribe):
        assert await connection.passes(make("t" * TOPIC_BYTES))
        assert not await connection.passes(make("t" * (TOPIC_BYTES + 1)))
    assert await connection.passes(publish("t", qos=1, retain=False))
    assert not await connection.passes(publish("t", qos=2, retain=False))
    assert connection.why() == "a message of QoS 2; write 0 or 1"


@pytest.mark.parametrize("broken", [b"\x82\x02\x00\x07", b"\x82\x05\x00\x07\x00\x09a", b"\x30\x01a",
                                    packet(0x82, b"\x00\x07\x00\x02\xff\xff\x01")])
async def test_what_is_no_packet_passes_or_is_refused_and_ends_nothing(share: Share, broken: bytes) -> None:
    await Connection(share).passes(broken)


async def test_a_long_packet_counts_as_several_and_a_filter_as_one(share: Share) -> None:
    taken: list[float] = []

    class Counting(Pace):
        async def take(self, count: float = 1, who: object = None) -> None:
            taken.append(count)

    share.packets = share.filters = Counting(1.0, 1.0, 0.0)
    connection = Connection(share)
    fixed = len(text("t"))
    for length in (BYTES_A_PACKET - 1, BYTES_A_PACKET):
        taken.clear()
        await connection.passes(publish("t", b"x" * (length - fixed), qos=0))
        assert taken[0] == 1 + length // BYTES_A_PACKET
    taken.clear()
    await connection.passes(subscribe("a", "b", "c"))
    assert taken[:2] == [1, 3]


def test_who_connects_again_and_again_comes_in_at_a_pace() -> None:
    share = Share(False, 100.0)
    came = [share.connects.taken(100.0) for _ in range(int(CONNECT_BURST) + 1)]
    assert came == [True] * int(CONNECT_BURST) + [False]
    assert not share.connects.taken(100.0 + 0.9 / CONNECT_PER_S)
    assert share.connects.taken(100.0 + 1.0 / CONNECT_PER_S)


async def test_what_is_more_than_the_burst_is_taken_as_the_burst() -> None:
    loop_s = asyncio.get_running_loop().time()
    share = Share(True, loop_s)
    await share.packets.take(PRODUCER_BURST + 1)
    await share.filters.take(SUBSCRIBE_BURST + 1)
