"""The beds over HTTP: what is, what was, and what a person asks for."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, HTTPException, Path, Query, Request, Response

from edge.console import events, history
from edge.console.auth import LoggedIn, MayChange, ThisConsole, metrics_of
from edge.console.metrics import CONTENT_TYPE
from edge.console.schemas import (
    BedNow,
    CommandAnswered,
    CommandAsked,
    Devices,
    DevicesOfBed,
    EdgeNow,
    EventRead,
    Health,
    History,
    Problem,
)
from edge.console.service import Console
from edge.contract.commands import VERBS
from edge.contract.payloads import ID_PATTERN

MAX_MINUTES = 1440
METRICS_PATTERN = r"^[a-z0-9_]{1,40}(,[a-z0-9_]{1,40}){0,31}$"
JSON = "application/json"

COMMAND_ANSWERS: dict[int | str, dict[str, Any]] = {
    **{code: {"model": CommandAnswered} for code in (409, 422, 503, 504)}, 403: {"model": CommandAnswered | Problem},
    404: {"model": Problem}}

router = APIRouter(responses={401: {"model": Problem}, 403: {"model": Problem}, 503: {"model": Problem}})

Bed = Annotated[str, Path(pattern=ID_PATTERN.replace("(?!\\n)$", "$"), max_length=32)]


def _known(console: Console, bed: str) -> None:
    if bed not in console.ward.beds():
        raise HTTPException(404, f"no bed {bed}")


def _bed_now(console: Console, bed: str) -> BedNow:
    heartbeat = console.ingest.heartbeat
    return BedNow(bed=bed, state=console.ward.state_json(bed, heartbeat.part.ok, heartbeat.boot),
                  vitals=console.ward.vitals_json(bed))


@router.get("/api/beds")
async def beds(console: ThisConsole, user: LoggedIn) -> list[BedNow]:
    """Every bed with its last state and vitals. `live` says whether the state is what is now."""
    return [_bed_now(console, bed) for bed in console.ward.beds()]


@router.get("/api/beds/{bed}/history", response_model=History, responses={404: {"model": Problem}})
async def bed_history(
    console: ThisConsole, user: LoggedIn, bed: Bed,
    minutes: Annotated[int, Query(ge=1, le=MAX_MINUTES)] = 120,
    metrics: Annotated[str | None, Query(pattern=METRICS_PATTERN)] = None,
) -> Response:
    """The trend of the last `minutes` of edge time: nulls are gaps and never to be bridged. `metrics` is a comma list.

    The cuff's numbers are in `determinations` alone, each cycle once.
    """
    _known(console, bed)
    from_s = console.settings.now() - minutes * 60
    moments, cuffs = await console.store.read(history.rows_since, bed, from_s)
    # vitals come at the pace of the wire, so on a fast clock they lie further apart in edge time
    gap_s = history.GAP_S * max(1.0, console.settings.speed)
    wanted = metrics.split(",") if metrics else []
    return Response(await asyncio.to_thread(history.trend, moments, cuffs, wanted, gap_s), media_type=JSON)


@router.get("/api/beds/{bed}/events", response_model=list[EventRead], responses={404: {"model": Problem}})
async def bed_events(
    console: ThisConsole, user: LoggedIn, bed: Bed,
    limit: Annotated[int, Query(ge=1, le=1000)] = 200,
    before: Annotated[int | None, Query(ge=1, le=2**63 - 1)] = None,
) -> Response:
    """The last `limit` events of the bed, those below number `before`, newest first."""
    _known(console, bed)
    found = await console.store.read(events.of_bed, console.settings.edge, bed, limit, before)
    return Response(b"[" + b",".join(found) + b"]", media_type=JSON)


@router.get("/api/devices")
async def devices(console: ThisConsole, user: LoggedIn) -> Devices:
    """Every bed's devices and the edge's own status."""
    heartbeat = console.ingest.heartbeat
    hop = heartbeat.part.as_json()
    status = None if heartbeat.last is None else msgspec.to_builtins(heartbeat.last)
    edge = EdgeNow(edge=console.settings.edge, ok=hop["ok"], since=hop["since"], status=status,
                   age_s=heartbeat.age_s(asyncio.get_running_loop().time()))
    rows = []
    for bed in console.ward.beds():
        said: dict[str, Any] = console.ward.state_json(bed, heartbeat.part.ok, heartbeat.boot) or {}
        rows.append(DevicesOfBed(bed=bed, live=said.get("live", False), devices=said.get("devices", [])))
    return Devices(edge=edge, beds=rows)


@router.post("/api/beds/{bed}/commands", responses=COMMAND_ANSWERS)
async def command(
    asked: CommandAsked, request: Request, response: Response, console: ThisConsole, user: MayChange, bed: Bed,
) -> CommandAnswered:
    """Signs the command, sends it to the edge and waits for its answer, at most 5 s.

    409: what the nurse saw has moved on, `state` is what is true now. 403 and 422: refused for `reason`. 503: not
    sent. 504: sent, but nobody said whether it was done.
    """
    _known(console, bed)
    loop = asyncio.get_running_loop()
    started_s = loop.time()
    outcome = await console.commands.ask(user, bed, asked.verb, asked.args)
    metrics_of(request).command(asked.verb if asked.verb in VERBS else "unknown", outcome.status,
                                loop.time() - started_s)
    response.status_code = outcome.status
    return CommandAnswered(ok=outcome.ok, reason=outcome.reason, state=outcome.state, session=outcome.session)


@router.get("/healthz", responses={503: {"model": Health}})
async def healthz(console: ThisConsole, response: Response) -> Health:
    """200 while the console can store; `hops` says what else is broken."""
    hops = console.health()
    ok = bool(hops["console"]["ok"])
    response.status_code = 200 if ok else 503
    return Health(ok=ok, hops=hops)


@router.get("/metrics", response_class=Response)
async def prometheus(request: Request) -> Response:
    """For Prometheus."""
    return Response(metrics_of(request).text(), media_type=CONTENT_TYPE)
