"""A bed whose life is kept in a journal, for the tests of recovery."""

from __future__ import annotations

from pathlib import Path

from edge.app.recovery import CONFIGURED
from edge.core.bedside import Bedside
from edge.core.rules import parse_rules
from edge.journal.journal import Journal
from edge.model import BedConfigured, Boot, Configured, DeviceKind, Input, Restored, Sample, Samples, Tick, encode
from tests.helpers.rule_files import FILE

DEVICES: tuple[tuple[str, DeviceKind, str], ...] = (("cuff", "nibp", "c"), ("oximeter", "oximeter", "o"))
TEXT = FILE.read_text()
RULES = parse_rules(TEXT)
WALL = "2026-01-01T00:00:00.000Z"


def journal(folder: Path, boot: str) -> Journal:
    return Journal.open(f"sqlite:///{folder / 'journal.db'}", edge="clinic-1", boot=boot, wall=lambda: WALL)


def spo2(at_s: float, value: float) -> Samples:
    return Samples("oximeter", (Sample("chair-1", "oximeter", "spo2_pct", value, "valid", at_s),))


def bp(at_s: float, sbp: float, dbp: float) -> Samples:
    return Samples("cuff", tuple(Sample("chair-1", "cuff", metric, value, "valid", at_s)
                                 for metric, value in (("sbp_mmhg", sbp), ("dbp_mmhg", dbp))))


class Life:
    """An edge with one bed, without its wires."""

    def __init__(self, kept: Journal) -> None:
        self.kept = kept
        self.bed = Bedside("chair-1", DEVICES, RULES)
        self.at_s = kept.head.at_s or 1_800_000_000.0

    def begin(self, boot: str) -> None:
        configured = Configured(TEXT, (BedConfigured("chair-1", 300.0, DEVICES),))
        n = self.kept.record(None, self.at_s, configured)
        self.kept.snapshot(CONFIGURED, n, self.at_s, encode(configured))
        self.give(Boot(boot, 0.0))
        self.snapshot()

    def give(self, given: Input) -> None:
        pending_events = self.bed.apply(given, self.at_s)
        self.last = self.kept.record("chair-1", self.at_s, given)
        if pending_events:
            self.bed.numbered(self.kept.append(pending_events).events)

    def snapshot(self) -> None:
        self.kept.snapshot("chair-1", self.last, self.at_s, self.bed.snapshot())

    def keep_all(self) -> None:
        """A replay can begin here."""
        self.kept.record(None, self.at_s, Configured(TEXT, (BedConfigured("chair-1", 300.0, DEVICES),)))
        told = Restored(self.bed.snapshot().decode(), self.kept.head.seq, lost=False)
        self.last = self.kept.record("chair-1", self.at_s, told)

    def second(self, value: float) -> None:
        self.at_s += 1.0
        self.give(spo2(self.at_s, value))
        self.give(Tick())
