"""The nurse of a demonstration: what a person would do at the console, through the console's own HTTP API."""

from __future__ import annotations

import http.cookiejar
import json
import logging
import urllib.error
import urllib.request
from typing import Any

from simulators.scenario import BEDS, CONCENTRATION_MG_ML, DOSE_MG_KG, OVER_MIN

PATIENTS = ("Ada Example", "Ben Sample", "Cleo Specimen", "Dov Pattern", "Eva Model", "Finn Instance", "Gia Proof",
            "Hal Template", "Ida Sketch", "Jon Draft", "Kim Replica", "Lea Outline")
TIMEOUT_S = 8.0
DURING = {"moaas": 5, "cadss": 6, "anxiety": 2, "distress": 1, "nausea": 1, "symptoms": ["dissociation"]}
DEEP = {"moaas": 4, "cadss": 22, "anxiety": 3, "distress": 2, "nausea": 2, "symptoms": ["dissociation", "dizziness"]}
CLEAR = {"moaas": 5, "cadss": 0, "anxiety": 0, "distress": 0, "nausea": 0,
         "gone": ["dissociation", "dizziness"]}
log = logging.getLogger(__name__)


class NotYet(Exception):
    """The console or a bed is not up yet."""


def order(number: int) -> dict[str, Any]:
    """What was ordered for whoever comes to the `number`th bed (from 0), as its pump is programmed."""
    return {"protocol": "iv_racemic_40", "weight_kg": BEDS[number % len(BEDS)].weight_kg, "dose_mg_kg": DOSE_MG_KG,
            "duration_min": OVER_MIN, "concentration_mg_ml": CONCENTRATION_MG_ML, "nibp_interval_min": 5,
            "checklist": True}


def patient(number: int) -> str:
    """Who comes as the `number`th (from 0); with more than there are names for, they come round again."""
    return PATIENTS[number % len(PATIENTS)]


class Nurse:
    """A nurse's login at the console at `url`, for the beds of one edge. All calls block; run them in a thread."""

    def __init__(self, url: str, name: str, password: str, edge: str) -> None:
        self.url, self.edge = url, edge
        self._login = {"name": name, "password": password}
        self._csrf = ""
        self._ours: dict[str, str] = {}  # by bed the session that was opened here
        self._open = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar()))

    def _call(self, path: str, body: dict[str, Any] | None = None) -> Any:
        headers = {"Content-Type": "application/json", "Origin": self.url, "X-CSRF": self._csrf}
        data = None if body is None else json.dumps(body).encode()
        try:
            with self._open.open(urllib.request.Request(self.url + path, data, headers), timeout=TIMEOUT_S) as answer:
                return json.loads(answer.read())
        except urllib.error.HTTPError as refused:
            answered = refused.read().decode(errors="replace")
            if refused.code in (409, 422, 403, 504):
                return json.loads(answered)
            raise NotYet(f"{path}: {refused.code} {answered}") from None
        except (OSError, ValueError) as wrong:
            raise NotYet(f"{path}: {wrong}") from None

    def all_live(self, beds: list[str]) -> None:
        """Raises NotYet until every device of every bed is live at the console."""
        shown = self.beds()
        for bed in beds:
            if bed not in shown or not shown[bed]["state"].get("live"):
                raise NotYet(bed)
            down = [device["device"] for device in shown[bed]["state"]["devices"] if device["link"] != "live"]
            if down or not (shown[bed].get("vitals") or {}).get("numerics", {}).get("spo2_pct"):
                raise NotYet(f"{bed}: {down}")

    def beds(self) -> dict[str, Any]:
        """Every bed that has a state, as the console shows it. Raises NotYet."""
        if not self._csrf:
            self._csrf = self._call("/api/login", self._login)["csrf"]
        return {bed["state"]["bed"]: bed for bed in self._call("/api/beds")
                if bed["edge"] == self.edge and bed.get("state")}

    def all_ready(self, beds: list[str]) -> None:
        """Raises NotYet while a bed is still in its precheck."""
        shown = self.beds()
        for bed in beds:
            session = shown[bed]["state"]["session"] if bed in shown else None
            if session is None or session["phase"] == "PRECHECK":
                raise NotYet(f"{bed}: {session and session['open']}")
            self._ours[bed] = session["id"]

    def open_sessions(self, beds: list[str]) -> None:
        """A session on every bed; one left open by an earlier demonstration is closed first."""
        shown = self.beds()
        for number, bed in enumerate(beds):
            if shown[bed]["state"]["session"] is not None:
                self.do(bed, "close_session", {"reason": "a new demonstration", "whose": "of the demonstration before"})
            self.do(bed, "start_session", {"patient": patient(number), **order(number)})

    def check_ins(self, beds: list[str]) -> list[tuple[float, str, dict[str, Any]]]:
        """What the nurse enters, and at which minute of the scenario."""
        rounds = ((14.0, DURING), (24.0, DEEP), (34.0, DEEP), (44.0, DURING), (54.0, DURING))
        return [(minute + 0.3 * number, bed, scores) for minute, scores in rounds for number, bed in enumerate(beds)]

    def check_in(self, bed: str, scores: dict[str, Any]) -> None:
        """Enter one, unless the session is no longer ours: a person works that bed. A console that is down right now
        loses nothing but this."""
        try:
            session = self.beds()[bed]["state"]["session"]
            if session is not None and self._ours.get(bed) == session["id"]:
                self.do(bed, "check_in", scores)
        except NotYet as wrong:
            log.warning("check-in not entered: %s", wrong)

    def do(self, bed: str, verb: str, args: dict[str, Any]) -> bool:
        """Send one command; whether it was done. A refusal is logged. Raises NotYet where the console is away."""
        answer = self._call(f"/api/edges/{self.edge}/beds/{bed}/commands", {"verb": verb, "args": args})
        if not answer.get("ok"):
            log.warning("%s on %s refused: %s", verb, bed, answer.get("reason") or answer)
        return bool(answer.get("ok"))
