"""The beds over HTTP: what is, what was, and what a person asks for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Body, Depends, Path, Query, Request, Response

from edge.console import history
from edge.console.accounts import User
from edge.console.auth import MayCommand, ThisConsole, Watching, metrics_of
from edge.console.broker_said import refused_by_broker
from edge.console.errors import Refused
from edge.console.ingest import Ingest
from edge.console.metrics import CONTENT_TYPE
from edge.console.openapi import COMMAND_BODY, problems
from edge.console.schemas import (
    BedNow,
    BoxRequest,
    CardRequest,
    CommandOutcome,
    CommandRequest,
    Devices,
    DevicesOfBed,
    Done,
    EdgeNow,
    EventRead,
    Health,
    History,
    ProbeRequest,
)
from edge.console.service import MAX_WAITING_READS, Console
from edge.console.turns import TooManyWait
from edge.console.without_patient import answer_without, sees_patients
from edge.contract.commands import VERBS
from edge.contract.payloads import ID_PATTERN
from edge.contract.problems import MEDIA_TYPE, of_reason

MAX_MINUTES = 1440
METRICS_PATTERN = r"^[a-z0-9_]{1,40}(,[a-z0-9_]{1,40}){0,31}$"
JSON = "application/json"

READ = problems(401, 403, 503)
READ_BED = problems(401, 403, 404, 422, 429, 503)
READ_ONLY_BED = problems(401, 403, 404, 409, 422, 429, 503)
COMMAND: dict[str, Any] = {"response_model": CommandOutcome, "openapi_extra": COMMAND_BODY,
                           "responses": problems(400, 401, 403, 404, 409, 413, 422, 429, 503, 504)}

router = APIRouter()


@dataclass(frozen=True, slots=True)
class At:
    """The bed a request is about."""

    edge: str
    bed: str
    ingest: Ingest


Id = Annotated[str, Path(pattern=ID_PATTERN.replace("(?!\\n)$", "$"), max_length=32)]
Minutes = Annotated[int, Query(ge=1, le=MAX_MINUTES)]
Metrics = Annotated[str | None, Query(pattern=METRICS_PATTERN)]
Limit = Annotated[int, Query(ge=1, le=1000)]
Before = Annotated[int | None, Query(ge=1, le=2**63 - 1)]


def _at(edge: Id, bed: Id, console: ThisConsole) -> At:
    """The bed an address names by edge and bed; 404 where there is none."""
    if edge not in console.edges:
        raise Refused("no_such_edge", f"no edge {edge}", where="edge",
                      remedy=f"Write one of {', '.join(console.edges)}.")
    if not console.edges[edge].has_bed(bed):
        raise Refused("no_such_bed", f"no bed {bed} at {edge}", where="bed")
    return At(edge, bed, console.edges[edge])


def _only(bed: Id, console: ThisConsole) -> At:
    """The bed an address of 0.1.0 names by bed alone; 409 where several edges have one of that name."""
    found = [edge for edge, ingest in console.edges.items() if ingest.has_bed(bed)]
    if not found:
        raise Refused("no_such_bed", f"no bed {bed}", where="bed")
    if len(found) > 1:
        raise Refused("ambiguous_bed", f"{len(found)} edges have a bed {bed}: {', '.join(found)}", where="bed",
                      remedy=f"Write /api/edges/{found[0]}/beds/{bed}/... for the one at {found[0]}.")
    return At(found[0], bed, console.edges[found[0]])


async def _history(console: Console, at: At, user: User, minutes: int, metrics: str | None) -> Response:
    now_s = at.ingest.now_s()
    # vitals come at the pace of the wire, so on a fast clock they lie further apart in edge time
    gap_s = history.GAP_S * max(1.0, console.settings.speed)
    wanted = metrics.split(",") if metrics else []
    moments: list[tuple[float, bytes]] = []
    cuffs: list[history.Cuff] = []
    async with _reading(console, user):
        for part in history.parts(at.bed, now_s - minutes * 60, now_s, at.ingest.beds.stays(at.bed)):
            rows, cycles = await console.store.read(history.rows_of, at.edge, part)
            moments += rows
            cuffs += cycles
        return Response(await asyncio.to_thread(history.trend, moments, cuffs, wanted, gap_s), media_type=JSON)


async def _events(console: Console, at: At, user: User, limit: int, before: int | None) -> Response:
    async with _reading(console, user):
        found = await at.ingest.events_of_bed(at.bed, limit, before, sees_patients(user.role))
    return Response(b"[" + b",".join(found) + b"]", media_type=JSON)


@asynccontextmanager
async def _reading(console: Console, user: User) -> AsyncIterator[None]:
    """Waits for a turn to read much; 429 where too many requests of this account wait."""
    try:
        async with console.reading.turn(user.name):
            yield
    except TooManyWait:
        raise Refused("too_many_reads", f"{MAX_WAITING_READS} requests of this account wait already",
                      headers={"Retry-After": "5"}) from None


async def _command(asked: CommandRequest, request: Request, console: Console, user: User, at: At) -> Response:
    loop = asyncio.get_running_loop()
    started_s = loop.time()
    seen = asked.session if sees_patients(user.role) else None  # a technician is told of no session's id
    outcome = await console.commands.perform(user, at.edge, at.bed, asked.verb, asked.args, seen)
    metrics_of(request).command(asked.verb if asked.verb in VERBS else "unknown", outcome.status,
                                loop.time() - started_s)
    state = outcome.state if sees_patients(user.role) else answer_without(outcome.state)
    answer = {"ok": outcome.ok, "reason": outcome.reason, "state": state, "session": outcome.session}
    if outcome.ok:
        return Response(msgspec.json.encode(answer), media_type=JSON)
    told = msgspec.structs.replace(of_reason(outcome.reason or "refused", instance=request.url.path),
                                   status=outcome.status)
    return Response(msgspec.json.encode(msgspec.to_builtins(told) | answer), outcome.status, media_type=MEDIA_TYPE)


@router.get("/api/beds", responses=READ)
async def beds(console: ThisConsole, user: Watching) -> list[BedNow]:
    """Every bed of every edge with its last state and vitals. `live` says whether the state is what is now. For a
    technician without what is a patient's."""
    return [BedNow(edge=edge, bed=bed, state=console.edges[edge].state_json(bed, sees_patients(user.role)),
                   vitals=console.edges[edge].beds.vitals_json(bed)) for edge, bed in console.ward()]


@router.get("/api/edges/{edge}/beds/{bed}/history", response_model=History, responses=READ_BED)
async def history_at(console: ThisConsole, user: Watching, at: Annotated[At, Depends(_at)], minutes: Minutes = 120,
                     metrics: Metrics = None) -> Response:
    """The trend of the last `minutes` of edge time: nulls are gaps and never to be bridged. `metrics`: a comma list.

    The cuff's numbers are in `determinations` alone, each cycle once. Where the session of this bed was at another bed
    before, the trend of that time is what was measured there.
    """
    return await _history(console, at, user, minutes, metrics)


@router.get("/api/beds/{bed}/history", response_model=History, responses=READ_ONLY_BED)
async def bed_history(console: ThisConsole, user: Watching, at: Annotated[At, Depends(_only)], minutes: Minutes = 120,
                      metrics: Metrics = None) -> Response:
    """As with the edge in the address; for a bed whose id one edge alone has."""
    return await _history(console, at, user, minutes, metrics)


@router.get("/api/edges/{edge}/beds/{bed}/events", response_model=list[EventRead], responses=READ_BED)
async def events_at(console: ThisConsole, user: Watching, at: Annotated[At, Depends(_at)], limit: Limit = 200,
                    before: Before = None) -> Response:
    """The last `limit` events of the bed, those below number `before`, newest first; with those of its session at the
    beds where it was before. For a technician those of devices, alarms and the edge alone, without the session."""
    return await _events(console, at, user, limit, before)


@router.get("/api/beds/{bed}/events", response_model=list[EventRead], responses=READ_ONLY_BED)
async def bed_events(console: ThisConsole, user: Watching, at: Annotated[At, Depends(_only)], limit: Limit = 200,
                     before: Before = None) -> Response:
    """As with the edge in the address; for a bed whose id one edge alone has."""
    return await _events(console, at, user, limit, before)


@router.get("/api/devices", responses=READ)
async def devices(console: ThisConsole, user: Watching) -> Devices:
    """Every bed's devices and each edge's own status; `edge` is the first one's. For a technician what the broker
    refused, too."""
    rows = []
    for edge, bed in console.ward():
        state: dict[str, Any] = console.edges[edge].state_json(bed) or {}
        rows.append(DevicesOfBed(edge=edge, bed=bed, live=state.get("live", False), devices=state.get("devices", [])))
    edges = [_edge_now(ingest) for ingest in console.edges.values()]
    told = refused_by_broker(link.broker_said for link in console.links.values())
    return Devices(edge=edges[0], edges=edges, beds=rows, broker=told if user.role == "technician" else None)


def _edge_now(ingest: Ingest) -> EdgeNow:
    heartbeat = ingest.heartbeat
    part = heartbeat.part.as_json()
    status = None if heartbeat.last is None else msgspec.to_builtins(heartbeat.last)
    return EdgeNow(edge=ingest.edge, ok=part["ok"], since=part["since"], status=status,
                   age_s=heartbeat.age_s(asyncio.get_running_loop().time()))


@router.post("/api/edges/{edge}/beds/{bed}/commands", **COMMAND)
async def command_at(asked: CommandRequest, request: Request, console: ThisConsole, user: MayCommand,
                     at: Annotated[At, Depends(_at)]) -> Response:
    """Signs the command, sends it to the edge and waits for its answer, at most 5 s.

    409: the edge refused it for `reason` as things stand (no session, a phase, an alarm that has moved on, an order
    beyond its protocol); `state` is what is true now. 403: this role may not. 422: not of the shape it must have, and
    not sent. 429: this account asks faster than people do, and it is not sent. 503: not sent. 504: sent, but nobody
    said whether it was done.
    """
    return await _command(asked, request, console, user, at)


@router.post("/api/edges/{edge}/box", response_model=Done,
             responses=problems(400, 401, 403, 404, 409, 413, 422, 429, 503, 504))
async def box(asked: Annotated[BoxRequest | ProbeRequest | CardRequest, Body(discriminator="verb")], request: Request,
              console: ThisConsole, user: MayCommand, edge: Id) -> Response:
    """For the technician: the box's serial ports, what is on one of them, how a driver's device is connected, or
    edge.toml read again. It is begun; how it goes and what came of it is in the edge's status (`probe`, `card`,
    `reload`), as /api/devices has it.

    409: refused as things stand, with why (the port is a device's, another probe runs). 503: not sent. 504: sent, but
    nobody said whether it was begun.
    """
    if edge not in console.edges:
        raise Refused("no_such_edge", f"no edge {edge}", where="edge",
                      remedy=f"Write one of {', '.join(console.edges)}.")
    outcome = await console.commands.ask_box(user, edge, asked.verb, asked.model_dump(exclude={"verb"}))
    if not outcome.ok:
        told = msgspec.structs.replace(of_reason(outcome.reason or "refused", instance=request.url.path),
                                       status=outcome.status)
        return Response(msgspec.json.encode(told), outcome.status, media_type=MEDIA_TYPE)
    return Response(msgspec.json.encode({"ok": True}), media_type=JSON)


@router.post("/api/beds/{bed}/commands", **COMMAND)
async def bed_command(asked: CommandRequest, request: Request, console: ThisConsole, user: MayCommand,
                      at: Annotated[At, Depends(_only)]) -> Response:
    """As with the edge in the address; for a bed whose id one edge alone has."""
    return await _command(asked, request, console, user, at)


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
