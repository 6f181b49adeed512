"""kill -9 of edge, console and broker, one after the other, in the middle of a run: said, restarted, nothing lost."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path
from typing import Any

import httpx
import pytest

from edge.model import from_iso
from tests.helpers.demo_run import Demo, running

pytestmark = [pytest.mark.slow, pytest.mark.long]

SAID_WITHIN_S = 6.0
BACK_WITHIN_S = 15.0


async def hops(demo: Demo) -> dict[str, Any]:
    found: dict[str, Any] = (await demo.get("/healthz"))["hops"]
    return found


async def kill(demo: Demo, name: str) -> int:
    pid = demo.pids[name]
    os.kill(pid, signal.SIGKILL)
    return pid


async def back(demo: Demo, name: str, old: int) -> None:
    await demo.until(lambda: demo.pids[name] not in (None, old), BACK_WITHIN_S, f"{name} is started again")


async def console_says(demo: Demo, hop: str, ok: bool, within_s: float) -> None:
    async with asyncio.timeout(within_s):
        while True:
            try:
                if (await hops(demo))[hop]["ok"] is ok:
                    return
            except (httpx.HTTPError, OSError):
                pass
            await asyncio.sleep(0.1)


def statuses(demo: Demo) -> list[dict[str, Any]]:
    return [payload for _, topic, payload in demo.heard if topic.endswith("/status")]


def unheard(demo: Demo) -> set[str]:
    """The beds with TEC-6, as their newest states have it."""
    states = {topic: payload for _, topic, payload in demo.heard if topic.endswith("/state")}
    return {state["bed"] for state in states.values() for alarm in state["alarms"]
            if alarm["rule"] == "TEC-6" and alarm["state"] == "active" and "no console" in alarm["text"]}


def of_the_story(demo: Demo, alarm: dict[str, Any]) -> bool:
    """On a slow machine the story may get as far as chair 1's hypertension, which begins in minute 29.5."""
    began = next(e for e in demo.events("phase") if e["bed"] == "chair-1" and e["body"]["phase"] == "INFUSING")
    minute = (from_iso(alarm["at"]) - from_iso(began["at"])) / 60
    return alarm["bed"] == "chair-1" and str(alarm["body"]["rule"]).startswith("HTN") and minute >= 29


async def test_kill_each_in_turn(tmp_path: Path) -> None:
    async with running(tmp_path, "--speed", "20") as demo:
        await demo.until(lambda: len({e["bed"] for e in demo.events("phase") if e["body"]["phase"] == "INFUSING"}) == 4,
                         60, "all four infusions run")
        await demo.get("/api/beds")

        boot = statuses(demo)[-1]["boot"]
        pid = await kill(demo, "edge")
        await console_says(demo, "edge", False, SAID_WITHIN_S)
        await back(demo, "edge", pid)
        await console_says(demo, "edge", True, BACK_WITHIN_S)
        await demo.until(lambda: statuses(demo)[-1]["boot"] != boot and statuses(demo)[-1]["state"] == "alive",
                         BACK_WITHIN_S, "a new boot is born")
        await demo.until(lambda: any(e["kind"] == "boot" and e["body"]["gap_s"] > 0 for e in demo.events()), 10,
                         "the gap is an event")
        states = {bed["state"]["bed"]: bed["state"] for bed in await demo.get("/api/beds")}
        assert {state["session"]["phase"] for state in states.values()} == {"INFUSING"}, "sessions come back"

        pid = await kill(demo, "console")
        await demo.until(lambda: statuses(demo)[-1]["consoles"]["main"]["state"] == "lost", SAID_WITHIN_S,
                         "the edge says that the console is lost")
        await demo.until(lambda: unheard(demo) == {f"chair-{k}" for k in range(1, 5)}, SAID_WITHIN_S,
                         "each bed says that nobody may hear it")
        await back(demo, "console", pid)
        await demo.until(lambda: statuses(demo)[-1]["consoles"]["main"]["state"] == "live", BACK_WITHIN_S,
                         "the edge hears the console again")
        await demo.until(lambda: not unheard(demo), SAID_WITHIN_S, "the beds are heard again")

        await console_says(demo, "broker", True, BACK_WITHIN_S)
        others = {name: demo.pids[name] for name in ("edge", "console", "simulators")}
        pid = await kill(demo, "broker")
        await console_says(demo, "broker", False, SAID_WITHIN_S)
        await back(demo, "broker", pid)
        await console_says(demo, "broker", True, BACK_WITHIN_S)
        await console_says(demo, "edge", True, BACK_WITHIN_S)
        assert others == {name: demo.pids[name] for name in others}, "nobody else dies of it"

        await demo.until(lambda: any(e["body"].get("broker") == "lost" for e in demo.events("stream")), 20,
                         "the outage is an event, delivered afterwards")
        committed = [seq for seq, *_ in demo.journal()]
        await demo.until(lambda: set(demo.stored()) >= set(committed), 20, "every committed event is stored")
        stored = demo.stored()
        assert len(stored) == len(set(stored)), "none is doubled"
        assert stored == list(range(1, len(stored) + 1)), "none is missing"
        invented = [event for event in demo.events("alarm") if event["body"]["class"] == "physiological"
                    and event["body"]["state"] == "active" and not of_the_story(demo, event)]
        assert not invented, "no restart raises a patient's alarm"
