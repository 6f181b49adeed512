"""After a crash every bed is what it was: from its snapshot and the inputs after it, numbers of its alarms included."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest

from edge.app.recovery import EMPTY, recover
from edge.core.replay import differences
from edge.core.rules import parse_rules
from edge.journal.reader import Reader
from edge.model import Command, LinkChanged
from tests.helpers.recovery_story import TEXT, Life, bp, journal


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


@pytest.mark.parametrize(("first", "damage"), [(True, ""), (False, EMPTY)])
async def test_a_start_with_an_empty_record_recalls_nothing_and_says_so_where_it_is_not_the_first(
    tmp_path: Path, first: bool, damage: str,
) -> None:
    kept = journal(tmp_path, "boot-1")
    recovered = await recover(kept, first=first)
    assert (recovered.beds, recovered.damage) == ({}, damage)
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
    forged = re.sub('"priority":"[a-z]+"', '"priority":"low"', alarm.body_json)
    events[events.index(alarm)] = msgspec.structs.replace(alarm, body_json=forged)
    found = list(differences(inputs, events))
    assert len(found) == 1
    assert f"recorded event {alarm.seq} alarm" in str(found[0])
