"""The embedded broker: on this machine only, and the three things Vigil needs of it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from pathlib import Path

import aiomqtt
import pytest
from pwdlib import PasswordHash
from pwdlib.hashers.argon2 import Argon2Hasher

from edge.stream import broker
from edge.stream.broker import BrokerFailed, embedded, serve


async def failure(host: str = "127.0.0.1", port: int = 0, password_file: Path | None = None) -> str:
    """What it says when it cannot serve."""
    with pytest.raises(BrokerFailed) as failed:
        async with embedded(host, port, password_file=password_file):
            pass
    return str(failed.value)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "", "10.0.0.1", "broker.clinic", "127.0.0.1.evil.org"])
async def test_it_serves_this_machine_only(host: str) -> None:
    said = await failure(host)
    assert "this machine only" in said
    assert "write 127.0.0.1" in said
    assert "\n" not in said


async def test_a_missing_password_file_is_said_in_one_line(tmp_path: Path) -> None:
    assert "there is no password file" in await failure(password_file=tmp_path / "users")


async def first(port: int, topic: str, username: str | None = None, password: str | None = None) -> bytes:
    """The first message on `topic`."""
    async with aiomqtt.Client("127.0.0.1", port, timeout=2, username=username, password=password) as client:
        await client.subscribe(topic, qos=1)
        async with asyncio.timeout(3):
            message = await anext(client.messages)
    assert isinstance(message.payload, bytes)
    return message.payload


@pytest.mark.slow
async def test_what_is_retained_is_given_to_who_comes_later_until_it_is_cleared() -> None:
    async with embedded(port=0) as port:
        async with aiomqtt.Client("127.0.0.1", port, timeout=2) as client:
            await client.publish("vigil/1/e/status", b"one", qos=1, retain=True)
            await client.publish("vigil/1/e/status", b"two", qos=1, retain=True)
            await client.publish("vigil/1/e/event", b"not retained", qos=1)
        assert await first(port, "vigil/1/#") == b"two"
        async with aiomqtt.Client("127.0.0.1", port, timeout=2) as client:
            await client.publish("vigil/1/e/status", b"", qos=1, retain=True)
        with pytest.raises(TimeoutError):
            await first(port, "vigil/1/#")


@pytest.mark.slow
async def test_a_taken_port_is_said_in_one_line() -> None:
    async with embedded(port=0) as port:
        said = await failure(port=port)
    assert f"127.0.0.1:{port}" in said
    assert "in use" in said


@pytest.mark.slow
async def test_with_a_password_file_only_its_users_are_let_in(tmp_path: Path) -> None:
    users = tmp_path / "users"
    users.write_text(f"edge:{PasswordHash((Argon2Hasher(),)).hash('secret')}\n")
    async with embedded(port=0, password_file=users) as port:
        async with aiomqtt.Client("127.0.0.1", port, timeout=2, username="edge", password="secret") as client:
            await client.publish("a", b"let in", qos=1, retain=True)
        assert await first(port, "a", "edge", "secret") == b"let in"
        for username, password in (("edge", "wrong"), ("other", "secret"), (None, None)):
            with pytest.raises(aiomqtt.MqttError):
                await first(port, "a", username, password)


@pytest.mark.slow
async def test_a_subscriber_that_does_not_read_is_cut_off_and_the_others_go_on(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(broker, "MAX_DEAF_S", 1)
    async with embedded(port=0) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1000)
        writer.write(b"\x10\x10\x00\x04MQTT\x04\x02\x00\x00\x00\x04deaf")
        assert await reader.readexactly(4) == b"\x20\x02\x00\x00"
        writer.write(b"\x82\x06\x00\x01\x00\x01#\x00")
        await reader.readexactly(5)
        with caplog.at_level(logging.WARNING, "edge.stream.broker_guard"):
            async with aiomqtt.Client("127.0.0.1", port, timeout=5) as client:
                async with asyncio.timeout(15):
                    while "does not read" not in caplog.text:
                        await client.publish("a", b"x" * 200_000, qos=1)
                        await asyncio.sleep(0.02)
                await client.publish("b", b"still there", qos=1, retain=True)
            assert await first(port, "b") == b"still there"
        assert "'deaf' does not read" in caplog.text
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


@pytest.mark.slow
async def test_it_serves_until_it_is_cancelled_and_leaves_the_port_free() -> None:
    listening: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    task = asyncio.ensure_future(serve(port=0, ready=listening.set_result))
    port = await listening
    async with aiomqtt.Client("127.0.0.1", port, timeout=2) as client:
        await client.publish("a", b"x", qos=1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        with pytest.raises(aiomqtt.MqttError):
            await anext(client.messages)
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", port)
