"""A console server that plays a scripted story to the real page: its API in memory, every reply in the test's hand."""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI, Request, Response, WebSocket, WebSocketDisconnect
from fastapi.responses import FileResponse, JSONResponse
from fastapi.staticfiles import StaticFiles

from edge.model import iso
from edge.vocabulary import DETERMINATION

EPOCH = 1_790_000_000.0
CSP = "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; frame-ancestors 'none'"
Json = dict[str, Any]


def alarm(name: str, priority: str, text: str, since: str, seq: int, **more: Any) -> Json:
    """An alarm as the state carries it."""
    return {
        "alarm": name, "rule": "HTN-3", "title": "Severe hypertension", "state": "active", "priority": priority,
        "class": "physiological", "since": since, "seq": seq, "text": text, "limit": None, "by": None, "evidence": [],
        "why": "Ketamine raises the pressure; above this it needs someone at the bed.",
        "clears": "Below 170 systolic and 105 diastolic.", **more,
    }


def device(name: str, kind: str, driver: str, since: str, **more: Any) -> Json:
    """A device as the state carries it."""
    return {"device": name, "kind": kind, "driver": driver, "identity": "8002-51740", "link": "live", "since": since,
            "frames": 1042, "bad": 3, "late": 1, "alarms": [], **more}


class Bed:
    """One bed: what its next vitals and state say. Change a field, then `Story.tell`."""

    def __init__(self, name: str, story: Story) -> None:
        at = iso(story.now() - 1920)
        self.name = name
        self.story = story
        self.values: dict[str, float | None] = {
            "spo2_pct": 97, "pulse_bpm": 72, "sbp_mmhg": 132, "dbp_mmhg": 84, "map_mmhg": 100, "rate_ml_h": 52.5,
            "volume_infused_ml": 28.0,
        }
        self.reasons: dict[str, str] = {}
        self.pressure_age_s = 240.0
        self.pump: str | None = "infusing"
        self.speaking = True  # whether its devices still say something
        self.heard_s = story.now()
        self.state: Json = {
            "t": "state", "bed": name, "seq": 100, "boot": "b1", "alarms": [], "audio_paused_until": None,
            "request": None, "simulated": story.simulated, "patient": "Anna Keller", "live": True,
            "devices": [device("pump", "pump", "alaris_gh", at), device("oximeter", "oximeter", "nonin", at),
                        device("cuff", "nibp", "suntech", at)],
            "session": session(at),
        }

    def vitals(self) -> Json:
        """The vitals message of this moment; what does not speak any more keeps its time and ages."""
        now = self.story.now()
        if self.speaking:
            self.heard_s = now - 0.2
        numerics: Json = {}
        for key, value in self.values.items():
            at = now - self.pressure_age_s if key in DETERMINATION else self.heard_s
            numerics[key] = {
                "value": value, "at": iso(at), "age_s": round(now - at, 2), "stale": False, "device": "monitor",
                "validity": "valid" if value is not None else "invalid", "reason": self.reasons.get(key),
            }
        pump = self.pump and {"state": self.pump, "device": "pump", "at": iso(self.heard_s), "stale": False,
                              "age_s": now - self.heard_s}
        return {"t": "vitals", "bed": self.name, "at": iso(now), "simulated": self.story.simulated,
                "numerics": numerics, "pump": pump}

    def wave(self, chunk: int) -> Json:
        """A quarter second of a pulse wave."""
        beats = [(chunk * 19 + index) / 75 * 1.2 % 1 for index in range(19)]
        bump = [(46000, 0.25, 0.12), (14000, 0.55, 0.1)]
        samples = [round(9000 + sum(h * math.exp(-((x - at) / wide) ** 2) for h, at, wide in bump)) for x in beats]
        return {"t": "wave", "bed": self.name, "name": "pleth", "start": iso(self.story.now()), "rate": 75, "low": 0,
                "high": 65535, "samples": samples}


def session(started: str) -> Json:
    """A session in the 32nd minute of its infusion."""
    return {
        "id": "s1", "phase": "INFUSING", "phase_since": started,
        "dissociation": "open", "dissociation_state": "expected", "dissociation_since": started,
        "started": started, "infusion_started": started, "infusion_ended": None,
        "infused_s": 1925, "dose_mg": 28.0, "open": [], "check_in": None, "check_in_due": None,
        "baseline": {"sbp_mmhg": 120, "dbp_mmhg": 75, "determinations": 2, "quality": "pair"},
        "order": {"protocol": "iv_racemic_40", "weight_kg": 70, "dose_mg_kg": 0.5, "dose_mg": 35, "duration_min": 40,
                  "concentration_mg_ml": 1, "nibp_interval_min": 5},
    }


class Story:
    """The server. Its edge clock starts at EPOCH and runs `speed` times as fast as the loop's."""

    def __init__(self, beds: int = 4, speed: float = 1, role: str = "nurse", simulated: bool = True) -> None:
        self.speed, self.role, self.simulated = speed, role, simulated
        self._start = asyncio.get_running_loop().time()
        self.beds = {name: Bed(name, self) for name in (f"chair-{n + 1}" for n in range(beds))}
        hops = ("broker", "edge", "console", "sound")
        self.hops: Json = {hop: {"ok": True, "since": None, "age_s": 0.2} for hop in hops}
        self.mute = False  # connected, and silent: a network that swallows
        self.refusing = False
        self.signed_in = True
        self.said: list[Json] = []  # by the page, over the feed
        self.commands: list[Json] = []
        self.events: list[Json] = [{"kind": "alarm", "body": {"state": "active", "was": "pending", "priority": "high",
                                                              "text": "SBP 184 above limit 180"}}]
        self.refuse_next: tuple[int, Json] | None = None
        self.sockets: dict[WebSocket, str | None] = {}
        self.url = ""
        self.app = self._routes()

    def now(self) -> float:
        """The edge clock, seconds."""
        return EPOCH + (asyncio.get_running_loop().time() - self._start) * self.speed

    async def tell(self, bed: str) -> None:
        """Sends a bed's state to every page."""
        state = self.beds[bed].state
        state["at"], state["seq"] = iso(self.now()), state["seq"] + 1
        await self.send(state)

    async def send(self, message: Json) -> None:
        """Sends one message to every page, unless the story is mute."""
        for socket in [] if self.mute else list(self.sockets):
            with contextlib.suppress(WebSocketDisconnect, RuntimeError):
                await socket.send_json(message)

    async def beat(self) -> None:
        """One beat, and everything new since the last."""
        await self.send({"t": "beat", "at": iso(self.now()), "hops": self.hops})
        for bed in self.beds.values():
            await self.send(bed.vitals())

    async def play(self) -> None:
        """A beat a second and four pieces of wave, until cancelled."""
        chunk = 0
        while True:
            if chunk % 4 == 0:
                await self.beat()
            for bed in {bed for bed in self.sockets.values() if bed in self.beds}:
                await self.send(self.beds[bed].wave(chunk))
            chunk += 1
            await asyncio.sleep(0.25)

    def act(self, bed: Bed, verb: str, args: Json) -> tuple[int, Json]:
        """What the edge would answer."""
        if verb == "acknowledge":
            found = next(one for one in bed.state["alarms"] if one["alarm"] == args["alarm"])
            if found["seq"] != args["seq"]:
                return 409, {"ok": False, "reason": "moved_on", "state": found}
            found.update(state="acknowledged", by="nurse", seq=found["seq"] + 1)
        elif verb == "audio_pause":
            bed.state["audio_paused_until"] = iso(self.now() + 120)
        elif verb == "audio_resume":
            bed.state["audio_paused_until"] = None
        elif verb == "start_session":
            bed.state["patient"] = args["patient"]
            bed.state["session"] = {**session(iso(self.now())), "phase": "PRECHECK", "infusion_started": None,
                                    "dissociation": "closed", "dissociation_state": "none", "baseline": None,
                                    "open": ["checklist not confirmed", "no blood pressure measured yet"]}
        elif verb == "close_session":
            bed.state["session"] = None
        return 200, {"ok": True}

    def _routes(self) -> FastAPI:
        app = FastAPI()
        static = Path(__file__).parent.parent.parent / "edge" / "console" / "static"
        me = {"name": "nurse", "role": self.role, "csrf": "token"}

        @app.middleware("http")
        async def policy(request: Request, call_next: Any) -> Response:
            response: Response = await call_next(request)
            response.headers["Content-Security-Policy"] = CSP
            return response

        @app.get("/api/me")
        async def who() -> Response:
            return JSONResponse(me) if self.signed_in else JSONResponse({}, 401)

        @app.post("/api/login")
        async def login(request: Request) -> Response:
            self.signed_in = (await request.json())["password"] == "right"
            return JSONResponse(me) if self.signed_in else JSONResponse({}, 401)

        @app.post("/api/logout")
        async def logout() -> Json:
            self.signed_in = False
            return {}

        @app.get("/api/beds/{bed}/history")
        async def history(bed: str, minutes: int) -> Json:
            return self.history(minutes)

        @app.get("/api/beds/{bed}/events")
        async def events(bed: str) -> list[Json]:
            told = {"bed": bed, "at": iso(self.now()), "late": False}
            return [{"seq": len(self.events) - n, **told, **event} for n, event in enumerate(self.events)]

        @app.post("/api/beds/{bed}/commands")
        async def command(bed: str, request: Request) -> Response:
            asked = await request.json()
            self.commands.append({"bed": bed, "csrf": request.headers.get("x-csrf"), **asked})
            refused, self.refuse_next = self.refuse_next, None
            status, answer = refused or self.act(self.beds[bed], asked["verb"], asked["args"])
            await self.tell(bed)
            return JSONResponse(answer, status)

        @app.websocket("/live")
        async def live(socket: WebSocket) -> None:
            await self.serve(socket)

        app.mount("/assets", StaticFiles(directory=static / "assets"))

        @app.get("/{path:path}")
        async def page(path: str) -> FileResponse:
            return FileResponse(static / "index.html")

        return app

    def history(self, minutes: int) -> Json:
        """A point every 10 s, with a hole of 3 minutes, and a pressure every 5 minutes."""
        ago = [s for s in range(minutes * 60, 0, -10) if not 900 < s < 1080 and s < 2400]
        metrics = {"spo2_pct": [97 - (s % 130 > 110) for s in ago], "pulse_bpm": [72 + s % 70 // 10 for s in ago]}
        cycles = [{"at": iso(self.now() - s), "sbp_mmhg": 120 + (2300 - s) / 100, "dbp_mmhg": 76 + (2300 - s) / 200,
                   "map_mmhg": 95} for s in range(2100, 200, -300)]
        return {"at": [iso(self.now() - s) for s in ago], "metrics": metrics, "determinations": cycles}

    async def serve(self, socket: WebSocket) -> None:
        """One page's feed, from hello to farewell."""
        if self.refusing:
            await socket.close()
            return
        await socket.accept()
        await socket.send_json({
            "t": "hello", "now": iso(self.now()), "speed": self.speed, "edge": "clinic-1", "simulated": self.simulated,
            "user": {"name": "nurse", "role": self.role}, "beds": list(self.beds),
        })
        self.sockets[socket] = None
        for bed in self.beds.values():
            await socket.send_json({**bed.state, "at": iso(self.now())})
            await socket.send_json(bed.vitals())
        with contextlib.suppress(WebSocketDisconnect):
            while True:
                said = await socket.receive_json()
                self.said.append(said)
                if said["t"] == "watch":
                    self.sockets[socket] = said["bed"]
        self.sockets.pop(socket, None)

    async def hang_up(self) -> None:
        """Closes every feed and refuses new ones."""
        self.refusing = True
        for socket in list(self.sockets):
            with contextlib.suppress(RuntimeError):
                await socket.close()


@contextlib.asynccontextmanager
async def playing(story: Story) -> AsyncIterator[Story]:
    """Serves `story` on a free loopback port."""
    server = uvicorn.Server(uvicorn.Config(story.app, host="127.0.0.1", port=0, log_level="warning", lifespan="off"))
    served = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    story.url = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    player = asyncio.create_task(story.play())
    try:
        yield story
    finally:
        player.cancel()
        server.force_exit = server.should_exit = True
        await asyncio.gather(player, served, return_exceptions=True)
