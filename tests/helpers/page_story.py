"""A played edge before the real console: what a test's beds say goes through the real ingest, store, API and live feed
to the real page. Between browser and console stands a small network that a test can break."""

from __future__ import annotations

import asyncio
import contextlib
import math
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import msgspec
import uvicorn

from edge.console import history
from edge.console.accounts import ensure_user
from edge.console.app import create_app, listening_at, server_config
from edge.console.feed import Page
from edge.console.service import Console
from edge.contract.payloads import (
    Answer,
    CommandIn,
    State,
    Status,
    Vitals,
    Wave,
    answer_topic,
    decode,
    encode,
    event_topic,
    state_topic,
    status_topic,
    vitals_topic,
    wave_topic,
)
from edge.model import Role, iso
from edge.vocabulary import DETERMINATION, METRICS
from tests.helpers.console_server import quick_hashes
from tests.helpers.console_story import Journal, Wire, hear, settings

EPOCH = 1_790_000_000.0
PASSWORD = "right"
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
        self.others: dict[tuple[str, str], float] = {}  # by device and metric
        self.pressure_age_s = 240.0
        self.pump: str | None = "infusing"
        self.speaking = True  # whether its devices still say something
        self.heard_s = story.now()
        self.state: Json = {
            "bed": name, "seq": 100, "alarms": [], "audio_paused_until": None,
            "request": None, "simulated": story.simulated, "patient": "Anna Keller", "live": True,
            "devices": [device("pump", "pump", "alaris_gh", at), device("oximeter", "oximeter", "nonin", at),
                        device("cuff", "nibp", "suntech", at)],
            "session": session(at, f"s-{name}"),
        }

    def vitals(self) -> Json:
        """The vitals of this moment; what does not speak any more keeps its time and ages."""
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
        said = [{"metric": metric, "device": name, "value": value, "at": iso(now), "age_s": 0.0, "stale": False}
                for (name, metric), value in self.others.items()]
        return {"bed": self.name, "at": iso(now), "simulated": self.story.simulated, "numerics": numerics, "pump": pump,
                **({"others": said} if said else {})}

    def wave(self, chunk: int) -> Json:
        """A quarter second of a pulse wave."""
        beats = [(chunk * 19 + index) / 75 * 1.2 % 1 for index in range(19)]
        bump = [(46000, 0.25, 0.12), (14000, 0.55, 0.1)]
        samples = [round(9000 + sum(h * math.exp(-((x - at) / wide) ** 2) for h, at, wide in bump)) for x in beats]
        return {"bed": self.name, "name": "pleth", "start": iso(self.story.now()), "rate_hz": 75.0, "low": 0,
                "high": 65535, "samples": samples}


def session(started: str, name: str) -> Json:
    """A session in the 32nd minute of its infusion."""
    return {
        "id": name, "phase": "INFUSING", "phase_since": started,
        "dissociation": "open", "dissociation_state": "expected", "dissociation_since": started,
        "started": started, "infusion_started": started, "infusion_ended": None,
        "infused_s": 1925, "dose_mg": 28.0, "open": [], "check_in": None, "check_in_due": None,
        "symptoms": [],
        "baseline": {"sbp_mmhg": 120, "dbp_mmhg": 75, "determinations": 2, "quality": "pair"},
        "order": {"protocol": "iv_racemic_40", "weight_kg": 70, "dose_mg_kg": 0.5, "dose_mg": 35, "duration_min": 40,
                  "concentration_mg_ml": 1, "nibp_interval_min": 5},
    }


class Network:
    """What lies between the browser and the console: forwards bytes, or swallows them, or refuses."""

    def __init__(self) -> None:
        self.mute = False  # connected, and silent
        self.refusing = False
        self._to = 0
        self._open: set[asyncio.StreamWriter] = set()

    async def serve(self, to: int) -> asyncio.Server:
        """Stands before the loopback port `to`."""
        self._to = to
        return await asyncio.start_server(self._connected, "127.0.0.1", 0)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.refusing:
            writer.transport.abort()
            return
        up_reader, up_writer = await asyncio.open_connection("127.0.0.1", self._to)
        both = {writer, up_writer}
        self._open |= both
        try:
            async with asyncio.TaskGroup() as ways:
                ways.create_task(self._forward(reader, up_writer))
                ways.create_task(self._forward(up_reader, writer))
        finally:
            self._open -= both
            for end in both:
                end.close()

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65536):
                if not self.mute:
                    writer.write(data)
                    await writer.drain()
        writer.close()

    def hang_up(self) -> None:
        """Cuts every connection and refuses new ones."""
        self.refusing = True
        for writer in self._open:
            writer.transport.abort()


class Story(Wire):
    """The edge and its beds. Its clock starts at EPOCH and runs `speed` times as fast as the loop's.

    `skew_s`: how far it is ahead of the console's. `beside`: another edge of the same console.
    """

    def __init__(self, beds: int = 4, speed: float = 1, role: str = "nurse", simulated: bool = True,
                 edge: str = "clinic-1", skew_s: float = 0.0, beside: Story | None = None) -> None:
        super().__init__()
        self.speed, self.role, self.simulated, self.edge = speed, role, simulated, edge
        self.skew_s, self.beside = skew_s, beside
        self._loop = asyncio.get_running_loop()
        self._start = self._loop.time()
        self.beds = {name: Bed(name, self) for name in (f"chair-{n + 1}" for n in range(beds))}
        self.status: Json = {}  # what its heartbeat says besides
        self.beating = True  # whether the edge's heartbeat goes on
        self.signed_in = True
        self.said: list[Json] = []  # by the page, over the feed
        self.commands: list[Json] = []  # as the page asked for them over HTTP
        self.events: list[Json] = [{"kind": "alarm", "body": {
            "rule": "HTN-3", "state": "active", "was": "pending", "priority": "high",
            "text": "SBP 184 above limit 180"}}]
        self.refuse_next: str | None = None  # the edge's reason; "no_answer": it says nothing
        self.network = Network()
        self.console: Console | None = None
        self.url = ""

    def now(self) -> float:
        """The edge clock, seconds."""
        return self.console_s() + self.skew_s

    def console_s(self) -> float:
        """The console's clock, seconds; its store asks for it from threads of its own."""
        return EPOCH + (self._loop.time() - self._start) * self.speed

    # --- what the edge says -------------------------------------------------------------------------------------------

    def receive(self, topic: str, payload: bytes, retained: bool = False) -> None:
        """Hands one message of the edge, signed, to the console."""
        assert self.console is not None
        hear(self.console, topic, payload, retained)

    def beat(self, state: str = "alive", boot: str = "boot-1") -> None:
        """A heartbeat, or the edge's death."""
        told = {"edge": self.edge, "boot": boot, "state": state, "at": iso(self.now()), "version": "1",
                "config": "c", "beds": list(self.beds), "seq": 10_000, "speed": self.speed,
                "simulated": self.simulated, **self.status}
        self.receive(status_topic(self.edge), encode(msgspec.convert(told, Status)))

    def tell(self, bed: str) -> None:
        """Publishes a bed's state as it is now."""
        told = self.beds[bed].state
        told["seq"] += 1
        boot = "boot-1" if told["live"] else "boot-0"
        session = told["session"]
        if self.console is not None and session is not None and told["patient"] is not None:
            self.console.patients[session["id"]] = told["patient"]
        known = {name: value for name, value in told.items() if name not in ("live", "patient")}
        state = msgspec.convert({**known, "edge": self.edge, "boot": boot, "at": iso(self.now())}, State)
        self.receive(state_topic(self.edge, bed), encode(state))

    def tell_vitals(self, bed: Bed) -> None:
        """Publishes a bed's vitals."""
        vitals = msgspec.convert({**bed.vitals(), "edge": self.edge, "boot": "boot-1"}, Vitals)
        self.receive(vitals_topic(self.edge, bed.name), encode(vitals))

    async def begin(self, console: Console) -> None:
        """All that was before the page opens: history, events, the first states."""
        self.console = console
        for bed in self.beds.values():
            await console.store.run(history.append, self._history(bed.name))
        console.edges[self.edge].connected()
        self.beat(boot="boot-0")
        for name, bed in self.beds.items():  # a state of an earlier boot is what is retained when the edge begins
            if not bed.state["live"]:
                self.tell(name)
        self.beat()
        journal = Journal("boot-1", edge=self.edge, start_s=self.now() - 60)
        for event in reversed(self.events):
            journal.add(event["kind"], next(iter(self.beds)), **event["body"])
        self.receive(event_topic(self.edge), journal.payload(1, len(self.events)))
        for name, bed in self.beds.items():
            if bed.state["live"]:
                self.tell(name)
            self.tell_vitals(bed)

    async def play(self) -> None:
        """A heartbeat and vitals a second and four pieces of wave, until cancelled."""
        chunk = 0
        while True:
            if chunk % 4 == 0:
                if self.beating:
                    self.beat()
                for bed in self.beds.values():
                    self.tell_vitals(bed)
            for bed in self.beds.values():
                wave = msgspec.convert({**bed.wave(chunk), "edge": self.edge, "boot": "boot-1"}, Wave)
                self.receive(wave_topic(self.edge, bed.name, "pleth"), encode(wave))
            chunk += 1
            await asyncio.sleep(0.25)

    def _history(self, bed: str) -> list[history.Row | history.Determination]:
        """A point every 10 s, with a hole of 3 minutes, and a pressure every 5 minutes, over the last 40 minutes."""
        now_s = self.now()
        ago = [s for s in range(2400, 0, -10) if not 900 < s < 1080]
        steady = {name: value for name, value in self.beds[bed].values.items()
                  if value is not None and METRICS[name].group == "vital"}
        rows: list[history.Row | history.Determination] = [
            history.Row(self.edge, bed, now_s - s,
                        {**steady, "spo2_pct": 97 - (s % 130 > 110), "pulse_bpm": 72 + s % 70 // 10})
            for s in ago]
        for s in range(2100, 200, -300):
            values = {"sbp_mmhg": 120 + (2300 - s) / 100, "dbp_mmhg": 76 + (2300 - s) / 200, "map_mmhg": 95.0,
                      "nibp_pulse_bpm": None}
            rows.append(history.Determination(self.edge, bed, now_s - s, values))
        return rows

    # --- what the edge is asked ---------------------------------------------------------------------------------------

    async def publish(self, topic: str, payload: bytes) -> None:
        """Takes what the console publishes; a command is answered at once, and the bed told anew."""
        if self.beside is not None and topic.split("/")[2] == self.beside.edge:
            await self.beside.publish(topic, payload)
            return
        await super().publish(topic, payload)
        if not topic.endswith("/command"):
            return
        command = decode(CommandIn, payload)
        reason, self.refuse_next = self.refuse_next, None
        if reason == "no_answer":
            return
        bed = self.beds[command.bed]
        reason = reason or self.act(bed, command.verb, command.args, command.user)
        self.tell(command.bed)
        answer = Answer(id=command.id, ok=reason is None, reason=reason, nonce=command.nonce, boot="boot-1")
        self.receive(answer_topic(self.edge, "main"), encode(answer))

    def act(self, bed: Bed, verb: str, args: Json, by: str) -> str | None:
        """Does what the edge would do; the reason where it would not."""
        if verb == "acknowledge":
            found = next(one for one in bed.state["alarms"] if one["alarm"] == args["alarm"])
            if found["seq"] != args["seq"]:
                return "moved_on"
            found.update(state="acknowledged", by=by, seq=found["seq"] + 1)
        elif verb == "shelve":
            found = next(one for one in bed.state["alarms"] if one["alarm"] == args["alarm"])
            found["shelved_until"] = iso(self.now() + args["minutes"] * 60)
            bed.state["shelved"] = [{"shelf": "TEC-3:pump", "rule": "TEC-3", "title": found["title"], "device": "pump",
                                     "since": iso(self.now()), "until": found["shelved_until"], "by": by,
                                     "reason": args["reason"]}]
        elif verb == "device_back":
            device = next(one for one in bed.state["devices"] if one["device"] == args["device"])
            device.pop("ask", None)
            device.update(link="live", reason="")
        elif verb in ("maintain", "maintenance_over"):
            device = next(one for one in bed.state["devices"] if one["device"] == args["device"])
            device.pop("maintenance", None)
            if verb == "maintain":
                device["maintenance"] = {"since": iso(self.now()), "until": iso(self.now() + args["minutes"] * 60),
                                         "by": by, "reason": args["reason"]}
        elif verb == "comment":
            found = next(one for one in bed.state["alarms"] if one["alarm"] == args["alarm"])
            found["comments"] = [*found.get("comments", []), {"text": args["comment"], "by": by, "at": iso(self.now())}]
        elif verb == "delegate":
            bed.state["delegation"] = {"to": args["to"], "since": iso(self.now()), "by": by, "reason": args["reason"],
                                       "until": iso(self.now() + args["minutes"] * 60)}
        elif verb == "undelegate":
            del bed.state["delegation"]
        elif verb == "unshelve":
            bed.state["alarms"] = [{key: value for key, value in one.items() if key != "shelved_until"}
                                   for one in bed.state["alarms"]]
            del bed.state["shelved"]
        elif verb == "audio_pause":
            bed.state["audio_paused_until"] = iso(self.now() + 120)
        elif verb == "audio_resume":
            bed.state["audio_paused_until"] = None
        elif verb == "start_session":
            bed.state["patient"] = None  # the console alone knows the name
            bed.state["session"] = {**session(iso(self.now()), args["session"]), "phase": "PRECHECK",
                                    "infusion_started": None, "dissociation": "closed", "dissociation_state": "none",
                                    "baseline": None,
                                    "open": ["checklist not confirmed", "no blood pressure measured yet"]}
        elif verb == "close_session":
            bed.state["session"] = None
        return None


def _low(name: str, rule: str, title: str, text: str, since: str, seq: int, **more: Any) -> Json:
    """A LOW, technical alarm."""
    return alarm(name, "low", text, since, seq, rule=rule, title=title, **{"class": "technical"}, **more)


def _lost_pump(bed: Bed, now_s: float) -> None:
    bed.state["devices"][0].update(link="lost", since=iso(now_s - 725))
    bed.state["alarms"] = [alarm("a2", "medium", "No connection to the pump (cable or port gone)", iso(now_s - 30), 51,
                                 **{"class": "technical"})]


def _fallen(bed: Bed, now_s: float) -> None:
    """A Contec bed whose HIGH has fallen and was never acknowledged, and whose pump has an alarm of its own."""
    bed.values.update(perfusion_index_pct=12.4)
    bed.pump = "alarm"
    bed.state["devices"][0]["alarms"] = [
        {"code": "occlusion", "priority": "high", "raw": "AL_OCCL", "text": "Downstream occlusion, pump stopped"}]
    bed.state["alarms"] = [alarm(
        "a4", "medium", "Blood pressure 172/101 mmHg: hypertension", iso(now_s - 300), 52, rule="HTN-2",
        worst={"rule": "HTN-3", "title": "Severe hypertension", "priority": "high",
               "text": "Blood pressure 188/111 mmHg: severe hypertension"})]


def _measures_more(bed: Bed, now_s: float) -> None:
    bed.values.update(resp_bpm=14, etco2_mmhg=38, temp_c=36.8, heart_rate_bpm=128, perfusion_index_pct=12.4)
    bed.state["session"]["next"] = [{"what": "start", "text": "start the pump at the pump, 52.5 mL/h", "at":
                                     iso(now_s + 300)}]


def _contec(bed: Bed, now_s: float) -> None:
    bed.values.update(perfusion_index_pct=4.2)


def _overdue(bed: Bed, now_s: float) -> None:
    bed.values.update(perfusion_index_pct=4.2)
    bed.pressure_age_s = 1500.0
    bed.state["alarms"] = [_low("a5", "PRO-1", "Blood pressure overdue", "Blood pressure overdue: the last attempt gave"
                                " no result (cuff leak)", iso(now_s - 90), 53)]


def _not_reliable(bed: Bed, now_s: float) -> None:
    bed.values.update(spo2_pct=None, perfusion_index_pct=None)
    bed.reasons.update(spo2_pct="sensor_off", perfusion_index_pct="sensor_off")
    bed.state["alarms"] = [
        _low("a6", "TEC-10", "Not watched reliably", "Not watched reliably: the oximeter gives no valid value in 41 of"
             " the last 60 s", iso(now_s - 40), 54),
        _low("a7", "TEC-2", "Sensor off", "Oximeter: sensor off", iso(now_s - 41), 55)]


def _asked_for(bed: Bed, now_s: float) -> None:
    bed.values.update(perfusion_index_pct=4.2)
    bed.state["request"] = {"text": "Measure the blood pressure again: the last one is above the limit", "since":
                            iso(now_s - 20)}
    bed.state["gap"] = {"from": iso(now_s - 700), "to": iso(now_s - 600), "why": "slept"}


def _over(bed: Bed, now_s: float) -> None:
    bed.speaking, bed.heard_s = False, now_s - 725
    bed.values.update(perfusion_index_pct=4.2)
    bed.state["gap"] = {"from": iso(now_s - 700), "to": iso(now_s - 600), "why": "restart"}
    bed.state["alarms"] = [alarm("a8", "high", "SpO₂ 81 %: below 85 %", iso(now_s - 600), 56, state="latched",
                                 rule="SPO2-3", title="Severe hypoxaemia")]


KINDS_OF_TILE = (_contec, _measures_more, _lost_pump, _overdue, _fallen, _not_reliable, _asked_for, _over)


def busy(beds: int, role: str = "nurse") -> Story:
    """A ward at work: long values, a HIGH, then one bed of each kind of tile; of 4 beds those that hold most."""
    story = Story(beds=beds, role=role)
    for number, bed in enumerate(story.beds.values()):
        bed.values.update(spo2_pct=100, pulse_bpm=128, sbp_mmhg=188, dbp_mmhg=111)
        if number > 0:
            KINDS_OF_TILE[number % len(KINDS_OF_TILE)](bed, story.now())
    story.beds["chair-1"].state["alarms"] = [
        alarm("a1", "high", "Blood pressure 188/111 mmHg: severe hypertension", iso(story.now() - 60), 50, limit="180")]
    return story


def crowded(story: Story) -> Story:
    """Its first bed has five HIGH alarms, with the longest texts that the rules have."""
    since = iso(story.now() - 60)
    story.beds["chair-1"].state["alarms"] = [alarm(f"h{number}", "high", text, since, 60 + number) for number, text in
                                             enumerate((
        "The pump does not run as ordered: 60.4 mL/h, 0.86 mg/kg/h: 115 % of the ordered 52.5 mL/h",
        "More than the ordered dose has been given: 36.8 mg, 0.53 mg/kg, of the ordered 35.0 mg",
        "The pump has infused for longer than ordered: 45 of 40 min", "A nurse has entered: chest pain",
        "Blood pressure 205/117 mmHg: severe hypertension"))]
    return story


@contextlib.asynccontextmanager
async def playing(story: Story) -> AsyncIterator[Story]:
    """Serves the console with `story` as its edge; the page is at `story.url`."""
    with tempfile.TemporaryDirectory() as folder, quick_hashes():
        stories = [story] if story.beside is None else [story, story.beside]
        told = settings(Path(folder), story.console_s, speed=story.speed, edges=tuple(each.edge for each in stories),
                        simulated=story.simulated)
        ensure_user(told.database, "nurse", PASSWORD, msgspec.convert(story.role, Role), story.console_s())
        app = create_app(told, story)
        server = uvicorn.Server(server_config(app))
        served = asyncio.create_task(server.serve([listening_at("127.0.0.1")]))
        while not server.started:
            await asyncio.sleep(0.01)
        console: Console = app.state.console
        network = await story.network.serve(server.servers[0].sockets[0].getsockname()[1])
        story.url = f"http://127.0.0.1:{network.sockets[0].getsockname()[1]}"
        for each in stories:
            await each.begin(console)
        players = [asyncio.create_task(each.play()) for each in stories]
        heard = console.receive_from_page

        async def listening(page: Page, text: str) -> bool:
            story.said.append(msgspec.json.decode(text))
            return await heard(page, text)

        try:
            with patch.object(console, "receive_from_page", listening):
                yield story
        finally:
            for player in players:
                player.cancel()
            network.close()
            story.network.hang_up()
            await asyncio.gather(*players, return_exceptions=True)
            server.should_exit = True  # not by force: the console has closed its store before its folder goes
            await served
