"""After a crash every bed is what it was: from its snapshot and the inputs after it, numbers of its alarms included."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge.app.recovery import CONFIGURED, recover
from edge.core.bedside import Bedside
from edge.core.replay import differences
from edge.core.rules import parse_rules
from edge.journal.journal import Journal
from edge.journal.reader import Reader
from edge.model import BedConfigured, Boot, Command, Configured, Input, Kind, LinkChanged, Sample, Samples, Tick, encode
from tests.test_stories import FILE

DEVICES: tuple[tuple[str, Kind, str], ...] = (("cuff", "nibp", "c"), ("oximeter", "oximeter", "o"))
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

    def second(self, value: float) -> None:
        self.at_s += 1.0
        self.give(spo2(self.at_s, value))
        self.give(Tick())


@pytest.mark.parametrize("snapshot_at", [0, 5, 12, 20, 29])
async def test_a_restart_takes_up_everything(tmp_path: Path, snapshot_at: int) -> None:
    kept = journal(tmp_path, "boot-1")
    life = Life(kept)
    life.begin("boot-1")
    for device in ("cuff", "oximeter"):
        life.give(LinkChanged(device, "live"))
    for second in range(30):
        life.second(80.0 if second > 10 else 97.0)
        if second == 15:
            life.give(bp(life.at_s, 185.0, 100.0))
            life.give(Command("c1", "main", "nina", "nurse", "chair-1", "audio_pause", {}, "nonce-1"))
        if second == snapshot_at:
            life.snapshot()
    await kept.close()

    again = journal(tmp_path, "boot-2")
    recovered = await recover(again)
    found = recovered.beds["chair-1"]
    assert found.state == life.bed.state
    standing = {key: alarm for key, alarm in found.state.alarms.items() if alarm.state == "active"}
    assert set(standing) == {"RES-3", "HTN-3"}
    assert all(alarm.seq > 0 for alarm in standing.values())
    assert recovered.nonces == ["nonce-1"], "a command cannot be sent again after a restart"
    await again.close()


async def test_a_first_start_recalls_nothing(tmp_path: Path) -> None:
    kept = journal(tmp_path, "boot-1")
    assert (await recover(kept)).beds == {}
    await kept.close()


async def test_two_boots_replay_without_a_difference_and_other_rules_with(tmp_path: Path) -> None:
    for boot in ("boot-1", "boot-2"):
        kept = journal(tmp_path, boot)
        life = Life(kept)
        recovered = await recover(kept)
        if recovered.beds:
            life.bed.restore(recovered.beds["chair-1"].snapshot())
        life.begin(boot)
        life.give(LinkChanged("oximeter", "live"))
        for second in range(30):
            life.second(80.0 if second > 10 else 97.0)
        await kept.close()
    url = str(tmp_path / "journal.db")
    with Reader(url) as reader:
        assert list(differences(reader.inputs(), reader.events())) == []
        lenient = parse_rules(TEXT.replace('when = "spo2_pct < 85"', 'when = "spo2_pct < 75"'))
        changed = [str(difference) for difference in differences(reader.inputs(), reader.events(), lenient)]
    assert changed
    assert all("RES-" in difference for difference in changed)


async def test_a_replay_names_the_first_event_that_was_forged(tmp_path: Path) -> None:
    kept = journal(tmp_path, "boot-1")
    life = Life(kept)
    life.begin("boot-1")
    life.give(LinkChanged("oximeter", "live"))
    for _ in range(20):
        life.second(80.0)
    await kept.close()
    with Reader(str(tmp_path / "journal.db")) as reader:
        events = list(reader.events())
        inputs = list(reader.inputs())
    alarm = next(event for event in events if event.kind == "alarm")
    alarm.body["priority"] = "low"
    found = list(differences(inputs, events))
    assert len(found) == 1
    assert f"recorded event {alarm.seq} alarm" in str(found[0])
