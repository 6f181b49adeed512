"""Taking up where the last boot ended: every bed from its newest snapshot and the inputs recorded after it."""

from __future__ import annotations

import msgspec

from edge.core.bedside import Bedside
from edge.core.replay import Replay
from edge.journal.journal import Journal
from edge.model import Command, Configured, Event, Recorded

CONFIGURED = "_configured"  # the snapshot that keeps what the edge was told; no bed can have such a name
NUMBERED_BACK = 2000  # events looked through for the numbers of the alarms that stand
_CONFIGURED = msgspec.json.Decoder(Configured)


class Recalled:
    """What the journal remembers: each bed's state, and the nonces of the commands done lately."""

    def __init__(self, beds: dict[str, Bedside], nonces: list[str]) -> None:
        self.beds = beds
        self.nonces = nonces


async def recall(journal: Journal) -> Recalled:
    """Every bed as it was at the last stored input. Blocks for as long as that takes (a start)."""
    snapshots = journal.snapshots()
    told = snapshots.pop(CONFIGURED, None)
    if told is None:
        return Recalled({}, [])
    replay = Replay()
    replay.configure(_CONFIGURED.decode(told[2]))
    for bed, (_, _, body) in snapshots.items():
        if bed in replay.beds:
            replay.beds[bed].restore(body)
    taken = {bed: snapshots[bed][0] if bed in snapshots else told[0] for bed in replay.beds}
    nonces: list[str] = []
    for recorded in journal.inputs(min(taken.values(), default=0)):
        if isinstance(recorded.input, Command):
            nonces.append(recorded.input.nonce)
        if _is_news(recorded, taken):
            replay.give(recorded)
    await _number(journal, replay)
    return Recalled(replay.beds, nonces)


def _is_news(recorded: Recorded, taken: dict[str, int]) -> bool:
    if isinstance(recorded.input, Configured) or recorded.bed is None or recorded.bed not in taken:
        return False
    return recorded.n > taken[recorded.bed]


async def _number(journal: Journal, replay: Replay) -> None:
    """An alarm raised after the snapshot has its number in the journal alone."""
    after = max(0, journal.head.seq - NUMBERED_BACK)
    while events := await journal.events_after(after, 200):
        after = events[-1].seq
        _tell(replay, events)


def _tell(replay: Replay, events: list[Event]) -> None:
    for event in events:
        if event.bed in replay.beds:
            replay.beds[event.bed].numbered([event])
