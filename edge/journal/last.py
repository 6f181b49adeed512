"""What each bed remembered last, in files on the box itself, for a start before the journal is there: a server
may come up later, a disk be mounted later. One file a bed, whole or as it was: a line that says of when it is, with its
hash, and the snapshot.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import NamedTuple

import msgspec

from edge.journal.chain import snapshot_hash

KEPT = "journal"
log = logging.getLogger(__name__)


class About(msgspec.Struct, frozen=True):
    """Of a bed's snapshot: after input `n`, at `at_ms`, when the newest event was `seq`; `hash` is over all of it."""

    bed: str
    n: int
    at_ms: int
    seq: int
    hash: str


class Remembered(NamedTuple):
    """Every bed's last snapshot (n, at_s, body), and the highest numbers and the time that any of them knows."""

    snapshots: dict[str, tuple[int, float, bytes]]
    n: int
    seq: int
    at_ms: int


class Last:
    """In `folder`, which is made when the first is kept."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._failing = False

    def keep(self, bed: str, n: int, at_ms: int, body: bytes, seq: int) -> None:
        """In the place of the one before. Where it cannot be written that is logged: the journal has it, too."""
        about = About(bed, n, at_ms, seq, _hash(bed, n, at_ms, seq, body))
        part = self.folder / f"{bed}.part"
        try:
            self.folder.mkdir(mode=0o700, exist_ok=True)
            with part.open("wb") as file:
                file.write(msgspec.json.encode(about) + b"\n" + body)
                file.flush()
                os.fdatasync(file.fileno())
            part.replace(self.folder / f"{bed}.last")
        except OSError as fault:
            if not self._failing:
                log.warning("%s: what the beds remember cannot be kept there: %s", self.folder, fault.strerror)
            self._failing = True
            return
        self._failing = False

    def read(self) -> Remembered:
        """What can be believed of it."""
        found: dict[str, tuple[int, float, bytes]] = {}
        n = seq = at_ms = 0
        for file in sorted(self.folder.glob("*.last")):
            try:
                line, _, body = file.read_bytes().partition(b"\n")
                about = msgspec.json.decode(line, type=About)
            except (OSError, msgspec.MsgspecError):
                continue
            if about.hash == _hash(about.bed, about.n, about.at_ms, about.seq, body):
                found[about.bed] = about.n, about.at_ms / 1000, body
                n, seq, at_ms = max(n, about.n), max(seq, about.seq), max(at_ms, about.at_ms)
        return Remembered(found, n, seq, at_ms)

    def note_journal(self) -> None:
        """There is a journal."""
        try:
            self.folder.mkdir(mode=0o700, exist_ok=True)
            (self.folder / KEPT).touch()
        except OSError as fault:
            log.warning("%s: that there is a journal cannot be noted there: %s", self.folder, fault.strerror)

    @property
    def had_journal(self) -> bool:
        """Whether there ever was one."""
        return (self.folder / KEPT).exists()


def _hash(bed: str, n: int, at_ms: int, seq: int, body: bytes) -> str:
    return snapshot_hash(bed, n, at_ms, b"%d\n" % seq + body)
