"""The demonstration's story, whole, at twenty times life: every trouble becomes its alarm, and nothing else sounds."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from edge.journal.verify import verify
from tests.helpers.demo_run import running
from tests.helpers.rule_files import FILE

pytestmark = [pytest.mark.slow, pytest.mark.long, pytest.mark.timeout(420)]

SPEED = 20
STORY_S = 66 * 60 / SPEED  # real seconds from "go" until every infusion is over and every pressure is down again
TROUBLES = {
    "chair-1": {("HTN-3", "high"), ("HTN-2", "medium"), ("HTN-1", "low")},  # severe, then easing step by step
    "chair-2": {("TEC-4", "medium"), ("PRO-1", "low"), ("PRO-1", "medium")},  # a cuff that is gone
    "chair-3": {("TEC-1", "low"), ("TEC-1", "medium")},
    "chair-4": {("TEC-3", "medium")},
}
MUST = {("chair-1", "HTN-3", "high"), ("chair-2", "TEC-4", "medium"), ("chair-3", "TEC-1", "medium"),
        ("chair-4", "TEC-3", "medium")}


async def test_the_story(tmp_path: Path) -> None:
    loop = asyncio.get_running_loop()
    began_s = loop.time()
    async with running(tmp_path, "--speed", str(SPEED)) as demo:
        # 8 to 15 s alone; beside another file of tests the four services share one core
        assert loop.time() - began_s < 45, "all four beds are live"
        beds = {bed["state"]["bed"]: bed for bed in await demo.get("/api/beds")}
        assert set(beds) == set(TROUBLES)
        for bed in beds.values():
            assert all(device["link"] == "live" for device in bed["state"]["devices"])
        await asyncio.sleep(STORY_S)

        active = demo.active()
        assert set(active) >= MUST
        extra = [fired for fired in active if fired[1:] not in TROUBLES[fired[0]]]
        assert not extra, f"nobody expected {extra}"

        severe = next(e for e in demo.events("alarm") if e["body"]["rule"] == "HTN-3")
        started = next(e for e in demo.events("phase") if e["bed"] == "chair-1" and e["body"]["phase"] == "INFUSING")
        minute = _minutes(severe["at"]) - _minutes(started["at"])
        # it climbs from minute 29 on; the cuff is due every 5, and its wire is slow at 20 times life
        assert 31 <= minute <= 36, f"hypertension near minute 34, not {minute:.1f}"

        shown = {event["seq"] for event in demo.events()}
        await demo.until(lambda: set(demo.stored()) >= shown, 5, "the console stores what was published")
        recorded = demo.journal()
        assert [seq for seq, *_ in recorded] == list(range(1, len(recorded) + 1))
        assert shown <= {seq for seq, *_ in recorded}
        phases = {bed: [body["phase"] for _, kind, of, body in recorded if kind == "phase" and of == bed]
                  for bed in beds}
        assert phases == {bed: ["READY", "INFUSING", "RECOVERY"] for bed in beds}
        data = demo.data
    verdict = verify(str(data / "journal.db"))
    assert verdict.ok, str(verdict)
    from edge.cli.records import replay_journal

    assert replay_journal(str(data / "journal.db"), None, False) == 0, "a replay differs from what was recorded"
    assert replay_journal(str(data / "journal.db"), FILE, False) == 0, "the same rules from a file judge the same"


def _minutes(at: str) -> float:
    from edge.model import from_iso

    return from_iso(at) / 60
