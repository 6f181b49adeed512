"""Working simulated devices from the page. These routes are there only where the console shows simulated beds and was
told of their simulators; any other console answers 404.

The console passes a person's hands on to the simulators' socket (simulators/control.py says the lines) and knows
nothing of them itself: what a hand did is seen as anybody sees it, through the devices and the edge.
"""

from __future__ import annotations

import asyncio
import json
from pathlib import Path as FilePath
from typing import Annotated, Any

from fastapi import APIRouter, Path
from pydantic import BaseModel, Field

from edge.console.auth import MayChange, ThisConsole, Watching
from edge.console.errors import Refused
from edge.console.openapi import problems
from edge.console.schemas import Done, StrictModel
from edge.contract.payloads import ID_PATTERN
from edge.model import Role

ANSWERS_WITHIN_S = 3.0
LONGEST_ANSWER = 2**20  # bytes
NAME = r"^[a-z0-9_-]{1,32}$"

router = APIRouter(prefix="/api/simulation", responses=problems(400, 401, 403, 404, 409, 413, 422, 503))


class SimulatedDevice(BaseModel):
    """A device as a person beside it sees it. `display`: what stands on its front; `hands`: what can be done to it."""

    device: str
    driver: str
    unplugged: bool
    display: dict[str, float | str | bool | None]
    hands: list[str]


class SimulatedBed(BaseModel):
    """A bed: `episodes` says how far each kind has gone, `by_hand` whether a person has worked it."""

    edge: str
    bed: str
    episodes: dict[str, float]
    by_hand: bool
    devices: list[SimulatedDevice]


class Hand(StrictModel):
    """What a person does: a hand of `device`, its plug (unplug, replug), or an episode of the device "patient"."""

    bed: Annotated[str, Field(pattern=NAME)]
    device: Annotated[str, Field(pattern=NAME)]
    do: Annotated[str, Field(pattern=NAME)]
    amount: float | None = None  # mmHg, % or /min: of an episode
    over_s: float | None = None
    rate_ml_h: float | None = None  # with do = "program"
    vtbi_ml: float | None = None


class DemoLogin(BaseModel):
    """An account of the demonstration."""

    name: str
    password: str
    role: Role


@router.get("")
async def look(console: ThisConsole, user: Watching) -> list[SimulatedBed]:
    """Every simulated bed with its devices, as they are this second. 503: the simulators do not answer."""
    beds: list[SimulatedBed] = []
    for edge, socket in console.settings.simulators.items():
        told = await _request(socket, {"do": "look"})
        beds += [SimulatedBed(edge=edge, **bed) for bed in told["beds"]]
    return beds


@router.get("/logins")  # before "/{edge}": the first that fits an address says what it allows
async def logins(console: ThisConsole) -> list[DemoLogin]:
    """The accounts made for a demonstration, for anybody who opens its page."""
    file = console.settings.demo_logins
    if file is None:
        raise Refused("not_found", "no accounts are given away here")
    told = json.loads(await asyncio.to_thread(file.read_text))
    return [DemoLogin(**login) for login in told]


@router.post("/{edge}")
async def work(
    hand: Hand, console: ThisConsole, user: MayChange, _: Watching,
    edge: Annotated[str, Path(pattern=ID_PATTERN.replace("(?!\\n)$", "$"), max_length=32)],
) -> Done:
    """Does it at once. 404: no such edge is simulated. 409: refused, with why. 503: the simulators do not answer."""
    socket = console.settings.simulators.get(edge)
    if socket is None:
        raise Refused("no_such_edge", f"no simulated edge {edge}; there are {', '.join(console.settings.simulators)}")
    told = await _request(socket, {**hand.model_dump(exclude_none=True), "by": "person"})
    if not told["ok"]:
        raise Refused("hand_refused", told["reason"])
    return Done()


async def _request(socket: FilePath, line: dict[str, Any]) -> dict[str, Any]:
    """What the simulators answer. Raises Refused."""
    try:
        async with asyncio.timeout(ANSWERS_WITHIN_S):
            reader, writer = await asyncio.open_unix_connection(socket, limit=LONGEST_ANSWER)
            try:
                writer.write(json.dumps(line).encode() + b"\n")
                await writer.drain()
                answer: dict[str, Any] = json.loads(await reader.readuntil())
            finally:
                writer.close()
    except (OSError, EOFError, ValueError) as wrong:  # TimeoutError is an OSError; a cut answer is no JSON
        raise Refused("simulators_silent", "the simulators do not answer; `vigil demo` starts them again") from wrong
    return answer
