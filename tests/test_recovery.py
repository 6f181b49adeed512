"""After a crash every bed is what it was: from its snapshot and the inputs after it, numbers of its alarms included."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import msgspec
import pytest

from edge.app.recovery import EMPTY, recover
from edge.contract.events import Event
from edge.core.replay import Scope, differences
from edge.core.rules import RuleSet, parse_rules
from edge.journal.reader import Reader
from edge.model import Command, Configured, LinkChanged, RecordedInput, Restored
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


# --- a part of a record -----------------------------------------------------------------------------------------------

LENIENT = parse_rules(TEXT.replace("sbp_mmhg >= 180 or", "sbp_mmhg >= 190 or"))


@pytest.fixture(scope="module")
def record(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[RecordedInput], list[Event]]:
    """A bed whose state is kept twice, with alarms before, between and after."""
    folder = tmp_path_factory.mktemp("record")

    async def live() -> None:
        kept = journal(folder, "boot-1")
        life = Life(kept)
        life.begin("boot-1")
        for device in ("cuff", "oximeter"):
            life.give(LinkChanged(device, "live"))
        for _ in range(3):
            for second in range(20):
                life.second(80.0 if second > 4 else 97.0)
            life.give(bp(life.at_s, 185.0, 90.0))
            life.second(80.0)
            life.give(bp(life.at_s, 160.0, 90.0))
            life.keep_all()
        await kept.close()

    asyncio.run(live())
    with Reader(str(folder / "journal.db")) as reader:
        inputs, events = list(reader.inputs()), list(reader.events())
    assert [type(one.input) for one in inputs[-2:]] == [Configured, Restored]
    return inputs[:-2], events


def first_told(inputs: list[RecordedInput], cut: int) -> tuple[RecordedInput | None, int | None]:
    """The first of the states behind input `cut` that stands behind its configuration, and its last event."""
    configured = next((k for k in range(cut, len(inputs)) if isinstance(inputs[k].input, Configured)), len(inputs))
    for one in inputs[configured:]:
        if isinstance(one.input, Restored):
            return one, one.input.after_seq
    return None, None


@pytest.mark.parametrize("rules", [None, LENIENT], ids=["the recorded rules", "other rules"])
@pytest.mark.parametrize("cut", [1, 46, 48, 49, 50, 51, 95, 97, 98])
def test_a_part_is_judged_from_the_first_state_in_it_on(
    record: tuple[list[RecordedInput], list[Event]], cut: int, rules: RuleSet | None,
) -> None:
    inputs, events = record
    told, upto = first_told(inputs, cut)
    after = events[-1].seq if upto is None else upto
    scope = Scope(whole=False)
    found = [one.recorded.seq for one in differences(inputs[cut:], events, rules, scope) if one.recorded]
    lost = [event.seq for event in events if "HTN-3" in event.body_json and event.seq > after]
    assert bool(lost) == bool(told)
    assert set(found) <= set(lost), "what was judged, and differs"
    assert bool(found) == bool(lost and rules)
    assert scope.unjudged == sum(event.seq <= after for event in events)
    assert list(scope.judged.values()) == ([told] if told else [])
    forged = [msgspec.structs.replace(event, body_json="{}") if event.seq == after + 1 else event for event in events]
    if told and rules is None:
        assert [one.recorded for one in differences(inputs[cut:], forged, None, Scope(False))] == [forged[after]]
