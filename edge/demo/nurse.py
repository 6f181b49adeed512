"""The nurse of a demonstration: what a person would do at the console, through the console's own HTTP API."""

from __future__ import annotations

import http.cookiejar
import json
import logging
import urllib.error
import urllib.request
from typing import Any

WEIGHTS_KG = (70.0, 82.0, 58.0, 75.0)  # as the simulated beds' pumps are programmed (simulators/scenario.py)
PATIENTS = ("Ada Example", "Ben Sample", "Cleo Specimen", "Dov Pattern")
TIMEOUT_S = 8.0
log = logging.getLogger(__name__)


class NotYet(Exception):
    """The console or a bed is not up yet."""


class Nurse:
    """A nurse's login at the console at `url`. All calls block; run them in a thread."""

    def __init__(self, url: str, name: str, password: str, speed: float) -> None:
        self.url = url
        self._login = {"name": name, "password": password}
        self._speed = speed
        self._csrf = ""
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
        if not self._csrf:
            self._csrf = self._call("/api/login", self._login)["csrf"]
        shown = self._beds()
        for bed in beds:
            if bed not in shown or not shown[bed]["state"].get("live"):
                raise NotYet(bed)
            down = [device["device"] for device in shown[bed]["state"]["devices"] if device["link"] != "live"]
            if down or not (shown[bed].get("vitals") or {}).get("numerics", {}).get("spo2_pct"):
                raise NotYet(f"{bed}: {down}")

    def _beds(self) -> dict[str, Any]:
        return {bed["state"]["bed"]: bed for bed in self._call("/api/beds") if bed.get("state")}

    def all_ready(self, beds: list[str]) -> None:
        """Raises NotYet while a bed is still in its precheck."""
        shown = self._beds()
        for bed in beds:
            session = shown[bed]["state"]["session"] if bed in shown else None
            if session is None or session["phase"] == "PRECHECK":
                raise NotYet(f"{bed}: {session and session['open']}")

    def open_sessions(self, beds: list[str]) -> None:
        """A session on every bed; one left open by an earlier demonstration is closed first."""
        shown = self._beds()
        for number, bed in enumerate(beds):
            if shown[bed]["state"]["session"] is not None:
                self._must(bed, "close_session", {"reason": "a new demonstration"})
            self._must(bed, "start_session", {
                "patient": PATIENTS[number % 4], "protocol": "iv_racemic_40", "weight_kg": WEIGHTS_KG[number % 4],
                "dose_mg_kg": 0.5, "duration_min": 40, "concentration_mg_ml": 1.0, "nibp_interval_min": 5,
                "checklist": True})

    def check_ins(self, beds: list[str]) -> list[tuple[float, str, dict[str, Any]]]:
        """What the nurse enters, and at which minute of the scenario."""
        during = {"moaas": 5, "cadss": 6, "anxiety": 2, "distress": 1, "nausea": 1, "symptoms": ["dissociation"]}
        deep = {"moaas": 4, "cadss": 22, "anxiety": 3, "distress": 2, "nausea": 2,
                "symptoms": ["dissociation", "dizziness"]}
        rounds = ((14.0, during), (24.0, deep), (34.0, deep), (44.0, during), (54.0, during))
        return [(minute + 0.3 * number, bed, scores) for minute, scores in rounds for number, bed in enumerate(beds)]

    def check_in(self, bed: str, scores: dict[str, Any]) -> None:
        """Enter one; a console that is down right now loses nothing but this."""
        try:
            self._must(bed, "check_in", scores)
        except NotYet as wrong:
            log.warning("check-in not entered: %s", wrong)

    def _command(self, bed: str, verb: str, args: dict[str, Any]) -> Any:
        return self._call(f"/api/beds/{bed}/commands", {"verb": verb, "args": args})

    def _must(self, bed: str, verb: str, args: dict[str, Any]) -> None:
        answer = self._command(bed, verb, args)
        if not answer.get("ok"):
            log.warning("%s on %s refused: %s", verb, bed, answer.get("reason"))
