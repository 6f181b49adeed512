"""The embedded broker: amqtt on loopback, for one machine that has no other broker.

Nothing trusts it: events wait in the journal until a console has stored them, commands are signed, both sides have
their own heartbeat. What amqtt 0.12.1 lacks (reference/libraries.md, row "Embedded broker") therefore costs nothing on
loopback, and is why it never listens anywhere else. It keeps nothing over a restart, not even retained messages.
It delivers at the QoS that was subscribed to, whatever the QoS of the message.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

from amqtt.broker import Broker
from amqtt.errors import BrokerError, PluginError

MAX_CONNECTIONS = 100  # an edge, its consoles, and people who look
KEEPALIVE_GRACE_S = 3  # added to a client's keepalive; MQTT wants half as much again, and ours is 5 s
MAX_DEAF_S = 5  # how long a subscriber's full buffer may stay full; then it is cut off
log = logging.getLogger(__name__)


class BrokerFailed(Exception):
    """The broker cannot be started; the message is one line that says why and what to write instead."""


async def serve(
    host: str = "127.0.0.1", port: int = 1883, *, password_file: Path | None = None,
    ready: Callable[[int], None] | None = None,
) -> None:
    """Serve until cancelled; `ready` is called with the port once it listens. Raises BrokerFailed."""
    async with embedded(host, port, password_file=password_file) as bound:
        if ready is not None:
            ready(bound)
        await asyncio.Event().wait()


@contextlib.asynccontextmanager
async def embedded(
    host: str = "127.0.0.1", port: int = 1883, *, password_file: Path | None = None
) -> AsyncIterator[int]:
    """A broker as long as the body runs; gives the port it listens on (`port` 0: a free one). Raises BrokerFailed.

    `password_file`: lines `user:hash`, the hash being Argon2 as pwdlib makes it; without one anybody on this machine
    is let in.
    """
    _require_loopback(host)
    for name, level in (("amqtt", logging.CRITICAL), ("transitions", logging.WARNING)):
        logging.getLogger(name).setLevel(level)  # amqtt logs every client that leaves without goodbye as an error
    try:
        broker = Broker(_settings(host, port, password_file))
        await broker.start()
    except (BrokerError, PluginError) as error:
        raise BrokerFailed(f"the embedded broker cannot serve {host}:{port}: {error.__cause__ or error}") from None
    guard = asyncio.get_running_loop().create_task(_cut_off_the_deaf(broker))
    try:
        yield _port(broker)
    finally:
        guard.cancel()
        for transport in _transports(broker).values():
            transport.abort()  # a client that does not read would hold up the shutdown for ever
        await broker.shutdown()


def _require_loopback(host: str) -> None:
    with contextlib.suppress(ValueError):
        if host == "localhost" or ipaddress.ip_address(host).is_loopback:
            return
    raise BrokerFailed(
        f"the embedded broker serves this machine only, not {host!r}; write 127.0.0.1, or install mosquitto for more"
    )


def _settings(host: str, port: int, password_file: Path | None) -> dict[str, Any]:
    """amqtt's own, without its packet logging and its $SYS topics."""
    bind = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    plugins: dict[str, Any] = {"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}}
    if password_file is not None and not password_file.is_file():
        raise BrokerFailed(f"there is no password file {password_file}; write one line user:argon2-hash a user")
    if password_file is not None:
        plugins = {"amqtt.plugins.authentication.FileAuthPlugin": {"password_file": str(password_file)}}
    return {
        "listeners": {"default": {"type": "tcp", "bind": bind, "max_connections": MAX_CONNECTIONS}},
        "timeout_disconnect_delay": KEEPALIVE_GRACE_S,
        "session_expiry_interval": 60,
        "plugins": plugins,
    }


async def _cut_off_the_deaf(broker: Broker) -> None:
    """amqtt would keep everything for a subscriber that is connected and does not read, one waiting task a message."""
    full_for_s: dict[str, int] = {}
    while True:
        await asyncio.sleep(1.0)
        transports = _transports(broker)
        full = {
            client for client, open_ in transports.items()
            if open_.get_write_buffer_size() > open_.get_write_buffer_limits()[1]
        }
        full_for_s = {client: full_for_s.get(client, 0) + 1 for client in full}
        for client in full:
            if full_for_s[client] >= MAX_DEAF_S:
                log.warning("client %r does not read; it is cut off", client)
                transports[client].abort()


def _transports(broker: Broker) -> dict[str, asyncio.WriteTransport]:
    """The open connections by client id. amqtt has no public way to them."""
    transports: dict[str, asyncio.WriteTransport] = {}
    for client, (_, handler) in broker.sessions.items():
        writer = getattr(getattr(handler, "writer", None), "_writer", None)
        if isinstance(writer, asyncio.StreamWriter):
            transports[client] = writer.transport
    return transports


def _port(broker: Broker) -> int:
    server: Any = broker._servers["default"].instance
    port: int = server.sockets[0].getsockname()[1]
    return port
