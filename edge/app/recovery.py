"""Taking up where the last boot ended: every bed from its newest snapshot and the inputs recorded after it."""

from __future__ import annotations

import logging

import msgspec

from edge.contract.events import Event, PendingEvent
from edge.core.bedside import Bedside
from edge.core.replay import Replay
from edge.journal.database import JournalDamaged, JournalFailing
from edge.journal.journal import Journal
from edge.model import Command, Configured, RecordedInput

EMPTY = "it is empty, though this edge has kept one; open the session of each patient again"
CONFIGURED = "_configured"  # the snapshot that keeps the configuration; no bed can have such a name
NONCES_BACK = 5000  # inputs looked through for commands that could still be sent again
NUMBERED_BACK = 2000  # events looked through for the numbers of the alarms that stand
log = logging.getLogger(__name__)
_CONFIGURED = msgspec.json.Decoder(Configured)


class Recovered:
    """What the journal remembers: each bed's state, and the nonces of the commands done lately."""

    def __init__(self, beds: dict[str, Bedside], nonces: list[str], damage: str = "") -> None:
        self.beds = beds
        self.nonces = nonces
        self.damage = damage  # what of the record could not be believed, and so was not taken up


async def recover(journal: Journal, *, first: bool = True) -> Recovered:
    """Every bed as it was at the last stored input. Blocks for as long as that takes (a start). Where the store cannot
    be read now, the beds begin with nothing: watching does not wait for it. `first`: this edge has never started
    before, so that an empty record is no loss."""
    try:
        return await _recover(journal, first)
    except JournalFailing as fault:
        log.error("nothing is taken up from the last boot: %s", fault)
        return Recovered({}, [])


async def _recover(journal: Journal, first: bool) -> Recovered:
    snapshots = journal.snapshots()
    configured = snapshots.pop(CONFIGURED, None)
    if configured is None:
        return Recovered({}, [], "" if first or journal.unplaced else EMPTY)
    replay = Replay()
    replay.configure(_CONFIGURED.decode(configured[2]))
    for bed, (_, _, body) in snapshots.items():
        if bed in replay.beds:
            replay.beds[bed].restore(body)
    taken = {bed: snapshots[bed][0] if bed in snapshots else configured[0] for bed in replay.beds}
    nonces: list[str] = []
    try:
        await _take_up(journal, replay, taken, nonces)
    except JournalDamaged as fault:
        log.error("what follows the newest snapshots is taken up only in part: %s", fault)
        return Recovered(replay.beds, nonces, fault.what)
    return Recovered(replay.beds, nonces)


async def _take_up(journal: Journal, replay: Replay, taken: dict[str, int], nonces: list[str]) -> None:
    """Gives `replay` the inputs after each bed's snapshot. Raises JournalDamaged at the first that is not right."""
    numbered_events = await _numbers(journal)
    for recorded in journal.inputs(min(*taken.values(), max(0, journal.head.n - NONCES_BACK))):
        if isinstance(recorded.input, Command):
            nonces.append(recorded.input.nonce)
        if _is_news(recorded, taken):
            for pending in replay.give(recorded):
                event = numbered_events.get(_moved(pending))
                if event is not None and pending.bed is not None:
                    replay.beds[pending.bed].numbered([event])


def _is_news(recorded: RecordedInput, taken: dict[str, int]) -> bool:
    if isinstance(recorded.input, Configured) or recorded.bed is None or recorded.bed not in taken:
        return False
    return recorded.n > taken[recorded.bed]


def _moved(said: PendingEvent | Event) -> tuple[object, ...]:
    body = msgspec.to_builtins(said.body)
    return (said.kind, said.bed, said.at_s, *(body.get(key) for key in ("alarm", "state", "was", "priority")))


async def _numbers(journal: Journal) -> dict[tuple[object, ...], Event]:
    """What alarms did lately, under the numbers the journal gave it: an acknowledgement in the inputs names them."""
    found: dict[tuple[object, ...], Event] = {}
    after = max(0, journal.head.seq - NUMBERED_BACK)
    while events := await journal.events_after(after, 200):
        after = events[-1].seq
        found |= {_moved(event): event for event in events if event.kind == "alarm"}
    return found
