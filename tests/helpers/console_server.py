"""A console with its bed heard and live, an edge at the end of its wire, and somebody at a browser."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from unittest.mock import patch

import httpx
from fastapi import FastAPI
from msgspec.structs import replace
from pwdlib import PasswordHash
from pwdlib.hashers.argon2 import Argon2Hasher

from edge.console import accounts
from edge.console.app import create_app
from edge.console.link import NotConnected
from edge.console.service import Console
from edge.contract.commands import PING
from edge.contract.payloads import Answer, CommandIn, answer_topic, decode, encode
from tests.helpers.console_story import (
    BED,
    EDGE,
    NURSE,
    STATE,
    STATUS,
    VITALS,
    Clock,
    Wire,
    hear,
    settings,
    state,
    status,
    vitals,
    with_users,
)

ORIGIN = "http://console.test"
COMMANDS = f"/api/beds/{BED}/commands"
ANSWER = answer_topic(EDGE, "main")
Reply = Callable[[CommandIn], Answer | None]


def _done(command: CommandIn) -> Answer | None:
    return Answer(id=command.id, ok=True)


@dataclass
class AnsweringEdge(Wire):
    """A wire with an edge at its end that answers each command as it is told; None: it says nothing."""

    reply: Reply = _done
    console: Console | None = None
    breaks: bool = False

    async def publish(self, topic: str, payload: bytes) -> None:
        """Takes it, and answers what is a command."""
        await super().publish(topic, payload)
        if not topic.endswith("/command"):
            return
        if self.breaks:
            raise NotConnected("broken pipe", maybe_sent=True)
        answer = self.reply(decode(CommandIn, payload))
        if answer is not None and self.console is not None:
            edge = topic.split("/")[2]
            nonce = answer.nonce or decode(CommandIn, payload).nonce
            boot = self.console.edges[edge].heartbeat.boot or ""
            hear(self.console, answer_topic(edge, "main"), encode(replace(answer, nonce=nonce, boot=boot)))

    def commands(self) -> list[tuple[CommandIn, dict[str, Any]]]:
        """Every command sent, as the contract reads it and as it was written; not the console's own pings, which leave
        every few real seconds."""
        sent = [(decode(CommandIn, payload), json.loads(payload)) for topic, payload in self.sent
                if topic.endswith("/command")]
        return [(command, written) for command, written in sent if command.verb != PING]


@dataclass
class Server:
    """A console with its bed heard and live, and somebody at a browser."""

    app: FastAPI
    console: Console
    wire: AnsweringEdge
    clock: Clock
    http: httpx.AsyncClient
    csrf: str = ""

    async def login(self, who: tuple[str, str] = NURSE) -> httpx.Response:
        """Logs in, and keeps the CSRF token."""
        answer = await self.http.post("/api/login", json={"name": who[0], "password": who[1]})
        self.csrf = answer.json().get("csrf", "")
        return answer

    async def command(self, verb: str, args: dict[str, Any] | None = None,
                      headers: dict[str, str] | None = None) -> httpx.Response:
        """Asks for `verb` at the bed; a header told as "-" is not sent."""
        told = {"X-CSRF": self.csrf, "Origin": ORIGIN} | (headers or {})
        return await self.http.post(COMMANDS, json={"verb": verb, "args": args or {}},
                                    headers={name: value for name, value in told.items() if value != "-"})


@cache
def _cheap() -> PasswordHash:
    return PasswordHash((Argon2Hasher(time_cost=1, memory_cost=8, parallelism=1),))


@contextmanager
def quick_hashes() -> Iterator[None]:
    """Argon2 at its cheapest: what is tested is who passes, not how long guessing takes."""
    with patch.object(accounts, "_hasher", _cheap):
        accounts._dummy_hash.cache_clear()
        yield
    accounts._dummy_hash.cache_clear()


@asynccontextmanager
async def served(data: Path, *, users: bool = True, **more: Any) -> AsyncIterator[Server]:
    """A console with its server and a fake edge, until the end of the block. `users`: it has some; False: what is there
    is left as it is."""
    with quick_hashes():
        async with _served(data, users, **more) as home:
            yield home


@asynccontextmanager
async def _served(data: Path, users: bool, **more: Any) -> AsyncIterator[Server]:
    clock, wire = Clock(), AnsweringEdge()
    told = settings(data, clock, **more)
    app = create_app(with_users(told) if users else told, wire)
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
    async with app.router.lifespan_context(app), httpx.AsyncClient(transport=transport, base_url=ORIGIN) as http:
        console: Console = app.state.console
        wire.console = console
        console.edges[EDGE].connected()
        hear(console, STATUS, status(), False)
        hear(console, STATE, state(), False)
        hear(console, VITALS, vitals(spo2_pct=97), False)
        yield Server(app, console, wire, clock, http)
