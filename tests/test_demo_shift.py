"""The day that goes on by itself: what nurse and hands do next follows from what is shown, patient after patient."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from edge.demo.nurse import Nurse
from edge.demo.shift import Hands, Shift

BEDS = ["chair-1", "chair-2"]


class RecordingNurse(Nurse):
    """A console that shows what it is told, and opens and closes sessions as it is asked."""

    def __init__(self) -> None:
        super().__init__("http://nowhere", "nurse", "x", "demo")
        self.done: list[tuple[str, str]] = []
        self.sessions: dict[str, dict[str, Any] | None] = dict.fromkeys(BEDS)
        self.names: list[str] = []

    def beds(self) -> dict[str, Any]:
        return {bed: {"state": {"session": session and dict(session)}} for bed, session in self.sessions.items()}

    def do(self, bed: str, verb: str, args: dict[str, Any]) -> bool:
        self.done.append((bed, verb))
        if verb == "start_session":
            self.names.append(args["patient"])
            self.sessions[bed] = {"id": f"s{len(self.done)}", "phase": "PRECHECK", "open": ["a blood pressure"]}
        if verb == "close_session":
            self.sessions[bed] = None
        return True


class RecordingHands(Hands):
    """Devices that note what is done to them."""

    def __init__(self) -> None:
        super().__init__(Path("nowhere"))
        self.done: list[tuple[str, str, str]] = []
        self.by_hand: set[str] = set()

    async def request(self, **words: Any) -> dict[str, Any]:
        if words["do"] == "look":
            return {"ok": True, "beds": [{"bed": bed, "by_hand": bed in self.by_hand} for bed in BEDS]}
        self.done.append((words["bed"], words["device"], words["do"]))
        return {"ok": True}


class Day:
    """A shift that looks whenever it is told that time has passed."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.nurse, self.hands, self.at_s = RecordingNurse(), RecordingHands(), 0.0
        self.shift = Shift(self.nurse, self.hands, BEDS, lambda: self.at_s, 1.0)
        self._looked = asyncio.Event()
        self._look = asyncio.Event()
        monkeypatch.setattr("edge.demo.shift.asyncio.sleep", self._sleep)

    async def _sleep(self, _: float) -> None:
        self._looked.set()
        await self._look.wait()
        self._look.clear()

    async def passes(self, minutes: float) -> None:
        """Time passes, with a look every half minute."""
        for _ in range(round(minutes * 2)):
            self.at_s += 30.0
            self._looked.clear()
            self._look.set()
            await self._looked.wait()

    def phase(self, bed: str, phase: str, *open_points: str) -> None:
        session = self.nurse.sessions[bed]
        assert session is not None
        session.update(phase=phase, open=list(open_points))

    async def __aenter__(self) -> Day:
        self._task = asyncio.ensure_future(self.shift.run())
        await self._looked.wait()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        await asyncio.wait([self._task])


async def test_a_bed_serves_patient_after_patient(monkeypatch: pytest.MonkeyPatch) -> None:
    async with Day(monkeypatch) as day:
        for turn in (1, 2):
            await day.passes(3)
            assert day.nurse.done.count(("chair-1", "start_session")) == turn
            assert day.hands.done.count(("chair-1", "patient", "next")) == turn
            day.phase("chair-1", "READY")
            await day.passes(2)
            assert day.hands.done.count(("chair-1", "pump", "start")) == turn, "a pump can start again"
            day.phase("chair-1", "INFUSING")
            await day.passes(40)
            assert day.nurse.done.count(("chair-1", "check_in")) >= 3 * turn
            day.phase("chair-1", "RECOVERY", "60 minutes after the end of the infusion")
            await day.passes(30)
            assert day.nurse.sessions["chair-1"] is not None, "not while something is open"
            day.phase("chair-1", "RECOVERY")
            await day.passes(1)
            assert day.nurse.sessions["chair-1"] is None
        assert len(set(day.nurse.names)) == len(day.nurse.names), "each is somebody else"


async def test_every_infusion_has_its_trouble_which_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    async with Day(monkeypatch) as day:
        await day.passes(3)
        day.phase("chair-1", "READY")
        await day.passes(1)
        day.phase("chair-1", "INFUSING")
        await day.passes(14)
        assert ("chair-1", "patient", "desaturation") not in day.hands.done
        await day.passes(2)
        assert day.hands.done.count(("chair-1", "patient", "desaturation")) == 1
        await day.passes(3)
        assert day.hands.done.count(("chair-1", "patient", "desaturation")) == 2, "begun and ended"
        await day.passes(20)
        assert day.hands.done.count(("chair-1", "patient", "desaturation")) == 2


async def test_a_session_closed_early_stalls_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    async with Day(monkeypatch) as day:
        await day.passes(3)
        day.phase("chair-2", "READY")
        day.nurse.sessions["chair-1"] = None  # somebody closed it
        await day.passes(3)
        assert ("chair-2", "pump", "start") in day.hands.done
        assert day.nurse.done.count(("chair-1", "start_session")) == 2, "and the next patient comes"


async def test_a_bed_that_a_person_works_is_theirs(monkeypatch: pytest.MonkeyPatch) -> None:
    async with Day(monkeypatch) as day:
        await day.passes(3)
        day.hands.by_hand.add("chair-1")
        day.phase("chair-1", "READY")
        await day.passes(60)
        assert ("chair-1", "pump", "start") not in day.hands.done
        assert ("chair-1", "check_in") not in day.nurse.done
        day.nurse.sessions["chair-2"] = {"id": "opened by a person", "phase": "READY", "open": []}
        before = len(day.hands.done)
        await day.passes(60)
        assert len(day.hands.done) == before
