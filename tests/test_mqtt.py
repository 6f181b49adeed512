"""The one MQTT client: its TLS policy, a connection that leaves no socket behind, and its life of retries."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from pydantic import ValidationError

from edge.config.broker import mqtt_of
from edge.config.files import MqttTable
from edge.contract import mqtt as client
from edge.contract.mqtt import Connection, Mqtt, MqttError, Received, connected, keep_connected

CONNACK = bytes([0x20, 2, 0, 0])
NOT_AUTHORISED = bytes([0x20, 2, 0, 5])


@pytest.mark.parametrize(("url", "options", "expected"), [
    ("mqtt://127.0.0.1", {}, "mqtt://127.0.0.1:1883"), ("mqtts://broker.clinic", {}, "mqtts://broker.clinic:8883"),
    ("mqtt://[::1]:1884", {}, "mqtt://::1:1884"),
    ("http://x", {}, "write mqtt://"), ("1.2.3.4", {}, "write mqtt://"), ("mqtt://", {}, "write mqtt://"),
    ("mqtt://user:pw@host", {}, "write mqtt://"), ("mqtt://127.0.0.1", {"ca": Path("ca.pem")}, "mqtts://"),
    ("mqtts://host", {"cert": Path("c.pem")}, "both or neither"), ("mqtt://host:x", {}, "host:x"),
])
def test_a_brokers_url_is_read_or_refused_in_one_line(url: str, options: dict[str, Path], expected: str) -> None:
    try:
        said = str(mqtt_of(MqttTable(url=url, **options)))  # type: ignore[arg-type]
    except ValidationError as error:
        said = str(error)
    assert expected in said
    assert "secret" not in repr(Mqtt(password="secret"))


def test_the_brokers_certificate_and_name_are_checked_with_tls_1_2_at_least() -> None:
    context = Mqtt(tls=True).context()
    assert context is not None and Mqtt().context() is None
    assert (context.minimum_version, context.check_hostname, context.verify_mode) == (
        ssl.TLSVersion.TLSv1_2, True, ssl.CERT_REQUIRED)


class Broker:
    """Answers whatever comes first with `answer`, and then is silent; `gone` once its client has closed."""

    def __init__(self, answer: bytes) -> None:
        self.answer = answer
        self.seen = asyncio.Event()
        self.gone = asyncio.Event()
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1000)
        self.seen.set()
        writer.write(self.answer)
        while await reader.read(1000):
            pass
        self.gone.set()
        writer.close()


@asynccontextmanager
async def broker(answer: bytes, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Broker]:
    monkeypatch.setattr(client, "TIMEOUT_S", 0.2)
    one = Broker(answer)
    server = await asyncio.start_server(one.serve, "127.0.0.1", 0)
    async with server:
        one.port = server.sockets[0].getsockname()[1]
        yield one


@pytest.mark.parametrize(("answer", "why"), [
    (b"", "does not answer"), (NOT_AUTHORISED, "Not authorized"), (b"\xff\xff\xff\xff\xff\xff", None),
])
async def test_a_broker_that_does_not_let_us_in_leaves_no_socket(
        answer: bytes, why: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    async with broker(answer, monkeypatch) as one:
        with pytest.raises(MqttError, match=why):
            async with connected(Mqtt(port=one.port), None, "x"):
                pass
        await asyncio.wait_for(one.gone.wait(), 5)


async def test_where_messages_wait_without_end_other_tasks_have_their_turns() -> None:
    """One edge that floods its connection keeps the console from no other edge's message."""
    connection, turns = Connection(Mqtt(), None, "x", None), 0

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    running = asyncio.ensure_future(other())
    connection._client._came.extend([Received("t", b"x", False)] * 100)
    taken = 0
    async for _message in connection.messages():
        taken += 1
        if taken == 100:
            break
    running.cancel()
    assert turns >= 99


async def test_a_stop_while_it_connects_stops_and_leaves_no_socket(monkeypatch: pytest.MonkeyPatch) -> None:
    async def connect() -> None:
        async with connected(Mqtt(port=one.port), None, "x"):
            pass

    async with broker(b"", monkeypatch) as one:
        task = asyncio.ensure_future(connect())
        await one.seen.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.wait_for(one.gone.wait(), 5)


async def test_a_stop_while_a_publication_waits_stops(monkeypatch: pytest.MonkeyPatch) -> None:
    async with broker(CONNACK, monkeypatch) as one, connected(Mqtt(port=one.port), None, "x") as connection:
        task = asyncio.ensure_future(connection.publish("a", b"1"))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_a_broker_that_takes_nothing_and_one_that_is_gone_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    async with broker(CONNACK, monkeypatch) as one, connected(Mqtt(port=one.port), None, "x") as connection:
        with pytest.raises(MqttError, match="does not answer"):
            await connection.publish("a", b"1")
        with pytest.raises(MqttError, match="does not answer"):
            await connection.subscribe(["a"])
        await connection.close()
        for _ in range(2):
            with pytest.raises(MqttError, match="not currently connected"):
                await connection.publish("a", b"1")
        with pytest.raises(MqttError, match="isconnected"):
            async for _message in connection.messages():
                pass
    with pytest.raises(MqttError, match="refused"):
        async with connected(Mqtt(port=one.port), None, "x"):
            pass


async def test_a_connection_is_tried_again_for_ever_and_our_own_error_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []

    async def sleep(wait_s: float) -> None:
        waits.append(wait_s)

    deaf = ExceptionGroup("lanes", [MqttError("deaf")])
    lives = iter([MqttError("gone"), OSError("no route"), deaf, *[OSError()] * 5, KeyError("our own")])

    async def life() -> None:
        raise next(lives)

    told: list[str] = []
    monkeypatch.setattr("edge.contract.mqtt.asyncio.sleep", sleep)
    with pytest.raises(KeyError):
        await keep_connected(life, told.append)
    assert told == ["gone", "no route", "deaf", *["OSError"] * 5]
    assert waits == [0.1, 0.2, 0.4, 0.8, 1.6, 2.0, 2.0, 2.0]


async def test_what_the_socket_does_not_take_at_once_goes_when_it_does() -> None:
    taken, reading, gone = bytearray(), asyncio.Event(), asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1000)
        writer.write(CONNACK)
        await reading.wait()
        while data := await reader.read(2**20):
            taken.extend(data)
        writer.close()
        gone.set()

    big = [bytes([65 + number]) * 2**20 for number in range(8)]  # more than both sockets hold
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        async with connected(Mqtt(port=server.sockets[0].getsockname()[1]), None, "x") as connection:
            waiting = [asyncio.ensure_future(connection.publish("a", payload, qos=0)) for payload in big]
            await asyncio.sleep(0)
            assert not waiting[-1].done()
            reading.set()
            await asyncio.gather(*waiting)
        await gone.wait()
    header = b"\x30\x83\x80\x40\0\1a"
    assert taken == b"".join(header + payload for payload in big) + b"\xe0\0"


async def test_messages_that_came_before_the_end_are_still_given() -> None:
    message = bytes([0x30, 4, 0, 1]) + b"ab"
    opened = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1000)
        writer.write(CONNACK)
        await opened.wait()
        writer.write(message * 3)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server, connected(Mqtt(port=server.sockets[0].getsockname()[1]), None, "x") as connection:
        opened.set()
        messages = connection.messages()
        came = [await anext(messages) for _ in range(3)]
        assert [(one.topic, one.payload, one.retained) for one in came] == [("a", b"b", False)] * 3
        with pytest.raises(MqttError, match="isconnected"):
            await anext(messages)


async def test_a_connection_that_ends_as_it_begins_is_none() -> None:
    """Both may be seen in one turn of the loop, or in two: never does anybody wait for its messages for ever."""
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1000)
        writer.write(CONNACK)
        writer.close()

    async def listen() -> None:
        async with connected(Mqtt(port=server.sockets[0].getsockname()[1]), None, "x") as connection:
            await anext(connection.messages())

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        for _ in range(20):
            with pytest.raises(MqttError, match="isconnected"):
                await listen()
