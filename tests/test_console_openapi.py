"""Holds every answer of the console's API to its OpenAPI document: schemathesis asks, as nobody and as each role, what
the document says may be asked, and what it says may not; the beds' own core answers commands.

VIGIL_SCHEMATHESIS=N: N examples of every operation, and sequences of them; by hand, for it takes minutes.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
import uvicorn

from edge.console.accounts import ensure_user
from edge.console.app import create_app, listening_at, server_config
from edge.console.pace import Pace
from edge.console.security import Limiter
from edge.console.service import Console
from edge.contract.events import CommandRefused
from edge.contract.payloads import HEARTBEAT_S, Answer, CommandIn
from edge.model import Command, Role
from tests.helpers.bed_story import BedStory
from tests.helpers.console_server import AnsweringEdge, quick_hashes
from tests.helpers.console_story import (
    BED,
    EDGE,
    NURSE,
    START_S,
    STATE,
    STATUS,
    TECHNICIAN,
    VITALS,
    hear,
    settings,
    state,
    status,
    vitals,
    with_users,
)

pytestmark = pytest.mark.slow

EXAMPLES = int(os.environ.get("VIGIL_SCHEMATHESIS", "0"))


def answer(bed: BedStory, sent: CommandIn) -> Answer:
    """What an edge with this bed says."""
    events = bed.give(Command(sent.id, sent.console, sent.user, sent.role, sent.bed, sent.verb, sent.args, sent.nonce))
    refused = next((event.body.reason for event in events if isinstance(event.body, CommandRefused)), None)
    return Answer(id=sent.id, ok=refused is None, reason=refused)


@asynccontextmanager
async def serving(data: Path) -> AsyncIterator[str]:
    """The console on a port of its own, and its bed live; its address."""
    wire, bed = AnsweringEdge(), BedStory()
    wire.reply = lambda sent: answer(bed, sent)
    with quick_hashes():
        told = with_users(settings(data))
        for role, login in OTHERS.items():
            ensure_user(told.database, *login, role, START_S)
        app = create_app(told, wire)
        server = uvicorn.Server(server_config(app))
        listener = listening_at("127.0.0.1")
        served = asyncio.create_task(server.serve([listener]))
        while not server.started:
            await asyncio.sleep(0.01)
        console: Console = app.state.console
        console.pace = Pace(Limiter(1e9, 1.0))  # a search asks faster than people do
        wire.console = console
        console.edges[EDGE].connected()
        for topic, payload in ((STATUS, status()), (STATE, state()), (VITALS, vitals(spo2_pct=97))):
            hear(console, topic, payload)
        beats = asyncio.create_task(beating(console))
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            beats.cancel()
            server.should_exit = True
            await served


async def beating(console: Console) -> None:
    """In a long search the edge stays alive: to a dead one no command goes."""
    for beat in itertools.count(1) if EXAMPLES else ():
        hear(console, STATUS, status(START_S + beat / 1000))
        await asyncio.sleep(HEARTBEAT_S)


async def log_in(url: str, who: tuple[str, str]) -> list[str]:
    """The headers of whoever is logged in."""
    async with httpx.AsyncClient(base_url=url, headers={"Origin": url}) as http:
        told = await http.post("/api/login", json={"name": who[0], "password": who[1]})
        cookies = "; ".join(f"{name}={value}" for name, value in told.cookies.items())
        return ["-H", f"Cookie: {cookies}", "-H", f"X-CSRF: {told.json()['csrf']}", "--exclude-path", "/api/logout"]


BED_OF_ALL = f"""[parameters]
"path.edge" = "{EDGE}"
"path.bed" = "{BED}"
"""
COMMANDS = ("--include-path-regex", "edges.*commands")

# who asks, and what is sampled of it where no number is asked for (what nobody gets: test_console_http.py)
Asker = tuple[str, tuple[str, str] | None, str, tuple[str, ...]]
ASKERS: list[Asker] = [("a technician", TECHNICIAN, "fuzzing", ()), ("a nurse", NURSE, "coverage,fuzzing", COMMANDS)]
OTHERS: dict[Role, tuple[str, str]] = {"prescriber": ("pia", "write it down"), "administrator": ("ada", "let them in")}
if EXAMPLES:
    ASKERS += [(f"the {role}", login, "fuzzing", ()) for role, login in OTHERS.items()]
    ASKERS += [("nobody", None, "fuzzing", ())]


@pytest.mark.parametrize(("who", "login", "phases", "only"), ASKERS)
async def test_every_answer_is_what_the_openapi_says(
        tmp_path: Path, who: str, login: tuple[str, str] | None, phases: str, only: tuple[str, ...]) -> None:
    if EXAMPLES:
        phases, only = "examples,coverage,fuzzing,stateful", ()
    (tmp_path / "schemathesis.toml").write_text(BED_OF_ALL)
    async with serving(tmp_path) as url:
        headers = [] if login is None else await log_in(url, login)
        asking = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "schemathesis.cli", "run", f"{url}/openapi.json", "-H", f"Origin: {url}", *headers,
            "--phases", phases, "--max-examples", str(EXAMPLES or 3), "--seed", "1", "--no-color", *only,
            cwd=tmp_path, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT)
        said, _ = await asking.communicate()
        assert asking.returncode == 0, said.decode()
        assert b"generated" in said, said.decode()
