"""The day that goes on by itself: a nurse and a pair of hands at every bed, patient after patient.

    nobody --(2 min)--> the next patient, a session --> READY --(1 min)--> the pump is started --> INFUSING, a check-in
    every 10 min, some trouble in minute 15 --> recovery, until nothing is open --> the session is closed --> nobody

What is done next follows from what the console shows, never from a plan: a session that somebody closes early, or a
pump that somebody stops, holds up no other bed. A bed that a person works on the Simulation page is theirs; so is one
whose session a person opened.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from edge.demo.nurse import CLEAR, DEEP, DURING, NotYet, Nurse, order, patient
from edge.vocabulary import ATTESTATIONS

log = logging.getLogger(__name__)

LOOK_S = 2.0  # real seconds
TURNOVER_S = 120.0  # edge seconds, as the following
READY_S = 60.0
CHECK_IN_S = 600.0
TROUBLE_AFTER_S = 900.0
DEEP_AFTER_S = 1200.0
ATTESTS_AFTER_S = 1800.0
THEIRS = "of this patient; looked after"  # of alarms of high priority that stand
RECOVERY_MOST_S = 7200.0


class Trouble(NamedTuple):
    """Something that goes wrong at a bed, and how it ends."""

    device: str
    begins: str
    lasts_s: float
    ends: str
    amount: float = 0.0
    over_s: float = 0.0


TROUBLES = (
    Trouble("patient", "desaturation", 150.0, "desaturation", 10.0, 20.0),
    Trouble("oximeter", "probe_off", 120.0, "probe_on"),
    Trouble("patient", "hypertension", 600.0, "hypertension", 70.0, 90.0),
    Trouble("pump", "unplug", 60.0, "replug"),
)


class Hands:
    """Hands at the simulated devices, through their simulators' socket (simulators/control.py)."""

    def __init__(self, socket: Path) -> None:
        self._socket = socket

    async def request(self, **words: Any) -> dict[str, Any]:
        """Do one thing, or {"do": "look"}. Raises NotYet where the simulators are away."""
        try:
            reader, writer = await asyncio.open_unix_connection(self._socket, limit=2**20)
            try:
                writer.write(json.dumps(words).encode() + b"\n")
                await writer.drain()
                answer: dict[str, Any] = json.loads(await reader.readline())
            finally:
                writer.close()
        except (OSError, ValueError) as wrong:
            raise NotYet(f"simulators: {wrong}") from None
        if not answer["ok"]:
            log.warning("%s refused: %s", words, answer["reason"])
        return answer


@dataclass(slots=True)
class BedNow:
    """What is remembered of one bed between looks; all times are edge seconds."""

    number: int
    seen: tuple[str | None, str | None] = (None, None)  # session, phase
    since_s: float = 0.0
    checked_s: float = 0.0
    infusing_s: float | None = None  # since when; None: before anybody looked, or not yet
    trouble: Trouble | None = None
    trouble_s: float = 0.0
    theirs: bool = False


class Shift:
    """One edge's beds on one day. `now` is the edge clock, `speed` its seconds in a real one."""

    def __init__(self, nurse: Nurse, hands: Hands, beds: list[str], now: Callable[[], float], speed: float) -> None:
        self._nurse, self._hands, self._now, self._speed = nurse, hands, now, speed
        self._beds = {bed: BedNow(number) for number, bed in enumerate(beds)}
        self._came = len(beds)
        self._troubles = 0
        self._ours: set[str] = set()  # sessions opened before this shift began, or by it

    async def run(self) -> None:
        """Until cancelled. A console or simulators that are away are waited for."""
        first = True
        while True:
            try:
                shown = await asyncio.to_thread(self._nurse.beds)
                by_hand = {row["bed"]: row["by_hand"] for row in (await self._hands.request(do="look"))["beds"]}
                for bed, work in self._beds.items():
                    session = (shown[bed]["state"]["session"] if bed in shown else None) or {}
                    if first and session:
                        self._ours.add(session["id"])
                    await self._look(bed, work, session, theirs=by_hand.get(bed, False))
                first = False
            except NotYet as away:
                log.info("waiting: %s", away)
            await asyncio.sleep(LOOK_S / max(1.0, self._speed))

    async def _look(self, bed: str, work: BedNow, session: dict[str, Any], *, theirs: bool) -> None:
        at_s = self._now()
        seen = session.get("id"), session.get("phase")
        if seen != work.seen:
            if seen[0] != work.seen[0]:
                work.checked_s, work.infusing_s = at_s, None
            if seen[1] == "INFUSING" and work.seen[1] == "READY":
                work.infusing_s = at_s
            work.seen, work.since_s = seen, at_s
        await self._end_trouble(bed, work, at_s)
        if theirs or (seen[0] is not None and seen[0] not in self._ours):
            return
        await self._act(bed, work, session, at_s)

    async def _act(self, bed: str, work: BedNow, session: dict[str, Any], at_s: float) -> None:
        phase, in_phase_s = session.get("phase"), at_s - work.since_s
        if phase is None:
            if in_phase_s >= TURNOVER_S:
                await self._next_patient(bed, work)
        elif phase in ("READY", "PAUSED"):
            if in_phase_s >= READY_S:
                work.since_s = at_s
                await self._hands.request(bed=bed, device="pump", do="start")
        elif phase == "INFUSING":
            await self._check_in(bed, work, at_s)
            if work.infusing_s is not None and at_s - work.infusing_s >= TROUBLE_AFTER_S and work.trouble is None:
                await self._begin_trouble(bed, work, at_s)
        elif phase != "PRECHECK":
            await self._check_in(bed, work, at_s)
            seen = {one["what"] for one in session.get("attested", ())}
            if in_phase_s >= ATTESTS_AFTER_S:
                for what in ATTESTATIONS:
                    if what not in seen:
                        await self._do(bed, "attest", {"what": what, "so": True})
            if not session.get("open"):
                await self._do(bed, "close_session", {"whose": THEIRS})
            elif in_phase_s >= RECOVERY_MOST_S:
                await self._do(bed, "close_session", {"reason": "fetched and taken home", "whose": THEIRS})

    async def _next_patient(self, bed: str, work: BedNow) -> None:
        await self._hands.request(bed=bed, device="patient", do="next")
        name, self._came = patient(self._came), self._came + 1
        opened = {"patient": name, "whose": "of the patient before", **order(work.number)}
        if await self._do(bed, "start_session", opened):
            session = (await asyncio.to_thread(self._nurse.beds))[bed]["state"]["session"]
            if session is not None:
                self._ours.add(session["id"])

    async def _check_in(self, bed: str, work: BedNow, at_s: float) -> None:
        if at_s - work.checked_s < CHECK_IN_S:
            return
        work.checked_s = at_s
        deep = work.infusing_s is not None and at_s - work.infusing_s >= DEEP_AFTER_S
        await self._do(bed, "check_in", CLEAR if work.seen[1] != "INFUSING" else DEEP if deep else DURING)

    async def _do(self, bed: str, verb: str, args: dict[str, Any]) -> bool:
        return await asyncio.to_thread(self._nurse.do, bed, verb, args)

    async def _begin_trouble(self, bed: str, work: BedNow, at_s: float) -> None:
        trouble = TROUBLES[self._troubles % len(TROUBLES)]
        self._troubles += 1
        work.trouble, work.trouble_s, work.infusing_s = trouble, at_s, None
        await self._hands.request(bed=bed, device=trouble.device, do=trouble.begins, amount=trouble.amount,
                              over_s=trouble.over_s)

    async def _end_trouble(self, bed: str, work: BedNow, at_s: float) -> None:
        if work.trouble is not None and at_s - work.trouble_s >= work.trouble.lasts_s:
            trouble, work.trouble = work.trouble, None
            await self._hands.request(bed=bed, device=trouble.device, do=trouble.ends, amount=0.0,
                                      over_s=trouble.over_s)
