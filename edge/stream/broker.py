"""The embedded broker: amqtt on loopback, for one machine that has no other broker.

Nothing trusts it: events wait in the journal until a console has stored them, everything is signed, both sides have
their own heartbeat. broker_guard.py stands before it with limits and passwords. It keeps nothing over a restart, not
even retained messages, and delivers at the QoS that was subscribed to, whatever the QoS of the message. It never
listens beyond this machine.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from amqtt.broker import Broker
from amqtt.errors import BrokerError, PluginError
from amqtt.plugins.base import BaseAuthPlugin
from amqtt.session import Session

from edge.contract.broker_said import REFUSED_TOPIC
from edge.contract.payloads import encode
from edge.stream.broker_access import BadAccess, read_access
from edge.stream.broker_guard import Guard
from edge.stream.broker_refusals import Ledger

MAX_DEAF_S = 5  # how long a subscriber's full buffer may stay full; then it is cut off
LISTENER = "default"
log = logging.getLogger(__name__)


class BrokerFailed(Exception):
    """The broker cannot be started; the message is one line that says why and what to write instead."""


async def serve(
    host: str = "127.0.0.1", port: int = 1883, *, password_file: Path | None = None, access_file: Path | None = None,
    ready: Callable[[int], None] | None = None, now: Callable[[], str] = str,
) -> None:
    """Serve until cancelled; `ready` is called with the port once it listens. Raises BrokerFailed."""
    async with embedded(host, port, password_file=password_file, access_file=access_file, now=now) as bound:
        if ready is not None:
            ready(bound)
        await asyncio.Event().wait()


@contextlib.asynccontextmanager
async def embedded(
    host: str = "127.0.0.1", port: int = 1883, *, password_file: Path | None = None, access_file: Path | None = None,
    now: Callable[[], str] = str,
) -> AsyncIterator[int]:
    """A broker as long as the body runs; gives the port it listens on (`port` 0: a free one). Raises BrokerFailed.

    The files are those of broker_access.py. Without a password file anybody on this machine is let in, and that is
    said; without an access file each who is let in may read and write everything. `now` gives the time of a refusal,
    ISO 8601.
    """
    _require_loopback(host)
    for name, level in (("amqtt", logging.CRITICAL), ("transitions", logging.WARNING)):
        logging.getLogger(name).setLevel(level)  # amqtt logs every client that leaves without goodbye as an error
    try:
        access = read_access(password_file, access_file)
    except BadAccess as error:
        raise BrokerFailed(str(error)) from None
    if password_file is None:
        log.warning("the embedded broker asks for no password: anybody on this machine can read it")
    try:
        broker = Broker(_settings())
        await broker.start()
    except (BrokerError, PluginError) as error:
        raise BrokerFailed(f"the embedded broker cannot start: {error.__cause__ or error}") from None
    ledger = Ledger(now)
    guard = Guard(broker, LISTENER, access, ledger)
    await _tell(broker, ledger)
    try:
        server = await asyncio.start_server(guard.serve, host, port, reuse_address=True)
    except OSError as error:
        await broker.shutdown()
        raise BrokerFailed(f"the embedded broker cannot serve {host}:{port}: {error}") from None
    looking = asyncio.get_running_loop().create_task(_look(guard, broker, ledger))
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        looking.cancel()
        server.close()
        guard.abort_all()
        await broker.shutdown()


def _require_loopback(host: str) -> None:
    with contextlib.suppress(ValueError):
        if host == "localhost" or ipaddress.ip_address(host).is_loopback:
            return
    raise BrokerFailed(
        f"the embedded broker serves this machine only, not {host!r}; write 127.0.0.1, or install mosquitto for more"
    )


class Admission(BaseAuthPlugin):  # type: ignore[misc]
    """Who gets here has passed the guard. To amqtt all are anonymous: it keeps nothing for who is away."""

    async def authenticate(self, *, session: Session) -> bool:
        """See BaseAuthPlugin."""
        session.is_anonymous = True
        return True

    @dataclass
    class Config:
        """None."""


def _settings() -> dict[str, Any]:
    """amqtt's own, without its packet logging and its $SYS topics; the guard listens in its place."""
    return {
        "listeners": {LISTENER: {"type": "external", "bind": "guard"}},
        "timeout_disconnect_delay": 3,
        "session_expiry_interval": 60,
        "plugins": {f"{__name__}.{Admission.__name__}": {}},
    }


async def _tell(broker: Broker, ledger: Ledger) -> None:
    """What was refused, to who listens and to who comes later; the first, which says that this broker tells it, too."""
    if (news := ledger.news()) is not None:
        said = encode(news)
        await broker.retain_message(None, REFUSED_TOPIC, said, 1)
        await broker.internal_message_broadcast(REFUSED_TOPIC, said, 1)


async def _look(guard: Guard, broker: Broker, ledger: Ledger) -> None:
    """amqtt would keep everything for a subscriber that is connected and does not read, one waiting task a message."""
    while True:
        await asyncio.sleep(1.0)
        guard.look(asyncio.get_running_loop().time(), MAX_DEAF_S)
        await _tell(broker, ledger)
