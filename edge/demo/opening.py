"""How a day's demonstration opens: which sessions were held before the first page, and that past lived and stored."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from edge.app.run import read_protocols, read_rules
from edge.clock import EdgeClock
from edge.console import history, patients
from edge.console.store import Store
from edge.contract.keys import Count, own_key
from edge.contract.signing import Signer
from edge.demo.configuration import Shared, Site
from edge.demo.nurse import CLEAR, DEEP, DURING, NotYet, order, patient
from edge.demo.past import Act, Past
from edge.demo.shift import Hands
from edge.journal.journal import Journal
from simulators.scenario import DAY_OPENS_MIN, day, day_starts_min

AHEAD_S = 4.0  # real seconds by which the past is lived ahead, while it is stored and the edge takes it up
EARLY_S = 1.2  # so long before its end an edge that waits is told to go: clocks that differ by 2 s are said
STARTS_IN_S = 12.0  # edge seconds from here to the first page, about
TWINS_LIVE_S = DAY_OPENS_MIN * 60 - 2 * STARTS_IN_S  # the twins' own past, lived beside this one; the rest is short
ON_BEFORE_S = 60.0  # a bed is switched on so long before its session is opened
READY_AFTER_MIN = 5.5  # from opening a session until the pump is started; so the next cuff is due 2 min from now
WAITING_SINCE_MIN = DAY_OPENS_MIN - 2.0  # the session of a bed whose pump nobody has started yet
CHECK_INS = ((10.0, DURING), (20.0, DEEP), (30.0, DEEP), (39.0, DURING), (47.0, CLEAR))  # minutes of the infusion
FIRST_CUFF_S = ON_BEFORE_S + 15.0


def name_patients(shared: Shared, site: Site, beds: int, began_s: float) -> dict[str, str]:
    """Each bed's session id, with its patient's name in the console's store, where alone names are kept."""
    sessions = {bed.id: uuid.uuid4().hex for bed in day(beds).beds}
    store = Store(shared.data / "console.db")
    try:
        for number, (bed, session) in enumerate(sessions.items()):
            store.now(patients.name_session, session, site.edge, bed, patient(number), began_s)
    finally:
        store.close()
    return sessions


def simulate_past(shared: Shared, site: Site, sessions: Mapping[str, str], now: Callable[[], float]) -> None:
    """Live it, here and at the twins, and store what edge and console keep of it. Blocks until the twins have gone on
    from it and the edge, which waits, is to do so too: nobody is unwatched in between.

    What takes long is done before the last seconds are lived: a machine that is busy with something else may take
    five times as long for it, and whoever then took it up late would have to say that nobody watched.
    """
    asyncio.run(_live(shared, site, sessions, now))


async def _live(shared: Shared, site: Site, sessions: Mapping[str, str], now: Callable[[], float]) -> None:
    hands = Hands(site.socket)
    twins = asyncio.ensure_future(_tell(hands, do="live", past_s=TWINS_LIVE_S))
    scenario = day(len(sessions))
    starts = day_starts_min(len(sessions))
    opened = {bed: (starts[bed] - READY_AFTER_MIN if bed in starts else WAITING_SINCE_MIN) * 60 for bed in sessions}
    acts = [act for number, bed in enumerate(sessions)
            for act in _acts(bed, number, sessions[bed], opened[bed], starts.get(bed))]
    rules, text = read_rules(site.data / "rules.toml")
    protocols, protocols_text = read_protocols(site.data / "protocols.toml")
    on_s = {bed: at_s - ON_BEFORE_S for bed, at_s in opened.items()}
    past = Past(site.edge, scenario, rules, text, acts, on_s, {"start_s": FIRST_CUFF_S},
                protocols=protocols, protocols_text=protocols_text)
    began_s = round(now() - DAY_OPENS_MIN * 60 + STARTS_IN_S, 3)
    signer = Signer(own_key(site.data / "edge.key"), Count(site.data / "edge.count", shared.epoch))
    journal = Journal.open(str(site.data / "journal.db"), edge=site.edge, boot=past.boot, wall=EdgeClock().wall,
                           sign=partial(signer.sign_hash, site.edge))
    store = Store(shared.data / "console.db")

    def ahead_s() -> float:
        return now() + AHEAD_S * shared.speed

    try:
        await past.begin(journal, began_s)
        lived_s = await past.live_until(ahead_s)
        await store.run(history.append, past.recorder.take())
        await twins
        await _tell(hands, do="live", past_s=lived_s)
        await past.live_until(ahead_s)
        lasted_s = await past.end()
        await store.run(history.append, past.recorder.take())
    finally:
        store.close()
        await journal.close()
    await asyncio.sleep(max(0.0, (began_s + lasted_s - now()) / shared.speed - EARLY_S))
    await _tell(hands, do="go", past_s=lasted_s)


async def _tell(hands: Hands, **words: object) -> None:
    """Has the simulators do it, and waits until they have."""
    with contextlib.suppress(NotYet):  # they have just died; started again, they wait with pumps stopped
        await hands.request(**words)


def _acts(bed: str, number: int, session: str, opened_s: float, started_min: float | None) -> list[Act]:
    """What the nurse did at one bed: opened the session, and checked on the patient."""
    asked: dict[str, Any] = {"session": session, **order(number)}
    acts = [Act(opened_s, bed, "start_session", asked)]
    if started_min is not None:
        acts += [Act((started_min + minute) * 60, bed, "check_in", dict(scores)) for minute, scores in CHECK_INS
                 if started_min + minute < DAY_OPENS_MIN]
    return acts
