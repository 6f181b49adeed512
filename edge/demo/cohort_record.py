"""The record of a cohort's session: a journal as an edge keeps it, for `vigil verify` and `vigil replay`.

The same session gives the same inputs and events, so the same hashes. The edge is called after what it is, so that
nobody takes such a journal for a clinic's. It is signed with a key that is kept nowhere: its public half lies in the
folder, so that a row that was changed later is found.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import count
from pathlib import Path
from typing import Self, TypeVar

from nacl.signing import SigningKey

from edge.app.beds import recorded
from edge.contract.events import Event, numbered
from edge.contract.keys import public_text
from edge.contract.signing import Signer
from edge.core.bedside import Bedside
from edge.journal.database import JournalError
from edge.journal.journal import Journal
from edge.model import Configured, DeviceKind, Input, iso
from edge.process import BadUsage

EDGE, BOOT, BED = "simulated-cohort", "cohort", "chair-1"
DEVICES: tuple[tuple[str, DeviceKind, str], ...] = (
    ("pump", "pump", "cohort"), ("cuff", "nibp", "cohort"), ("oximeter", "oximeter", "cohort"))
Give = Callable[[Input, float], Sequence[Event]]  # tells a bed something at a time; what follows
Lived = TypeVar("Lived")


def unrecorded(bed: Bedside) -> Give:
    """Its events have numbers, and nothing is kept."""
    numbers = count(1)

    def give(told: Input, at_s: float) -> Sequence[Event]:
        events = [numbered(pending, seq=next(numbers), boot="", edge="", wall="", prev="")
                  for pending in bed.apply(told, at_s)]
        bed.numbered(events)
        return events

    return give


@dataclass(frozen=True, slots=True)
class Keep:
    """A folder of journals, and what the edge of each was told at its start."""

    folder: Path
    signer: Signer
    rules: str
    protocols: str

    @classmethod
    def begin(cls, folder: Path, rules: str, protocols: str) -> Self:
        """In a folder that is new or empty. `rules`, `protocols`: the texts of both files. Raises BadUsage."""
        signer = Signer(SigningKey.generate(), count(1).__next__)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if any(folder.iterdir()):
                raise BadUsage(f"--keep {folder}: something is in this folder; give one that is new or empty")
            (folder / "edge.pub").write_text(public_text(signer.public) + "\n")
        except OSError as wrong:
            raise BadUsage(f"--keep {folder}: {wrong.strerror}; give a folder that can be written") from None
        return cls(folder, signer, rules, protocols)

    def live(self, name: str, bed: Bedside, at_s: float, lived: Callable[[Give], Lived]) -> Lived:
        """What `lived` makes of a bed whose inputs and events go into the journal NAME.db, from `at_s` on. Raises
        BadUsage where that cannot be written."""
        try:
            return asyncio.run(self._recorded(name, bed, at_s, lived))
        except JournalError as wrong:
            raise BadUsage(f"--keep {self.folder}: {wrong}") from None

    async def _recorded(self, name: str, bed: Bedside, at_s: float, lived: Callable[[Give], Lived]) -> Lived:
        now_s = at_s

        def give(told: Input, at_s: float) -> Sequence[Event]:
            nonlocal now_s
            now_s = at_s
            pending = bed.apply(told, at_s)
            journal.record(BED, at_s, told)
            events = journal.append(pending).events if pending else ()
            bed.numbered(events)
            return events

        journal = Journal.open(str(self.folder / f"{name}.db"), edge=EDGE, boot=BOOT, wall=lambda: iso(now_s),
                               sign=partial(self.signer.sign_hash, EDGE))
        try:
            journal.record(None, at_s, Configured(self.rules, (recorded(bed.state),), self.protocols))
            return lived(give)
        finally:
            await journal.close()
