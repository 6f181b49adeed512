"""`./run` as a newcomer meets it: in the middle of things at the speed of life, and a session played by hand."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from playwright.async_api import Page, expect

from edge.cli.records import replay_journal
from edge.journal.verify import verify
from tests.helpers.demo_run import Demo, running
from tests.helpers.page_browser import chromium

pytestmark = [pytest.mark.slow, pytest.mark.long, pytest.mark.timeout(480)]

TROUBLE_WITHIN_S, HIGH_WITHIN_S = 60, 240
SEEN_WITHIN_MS = 3_000


@pytest.fixture(scope="module", autouse=True)
async def played(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[asyncio.Task[None]]:
    """A newcomer's session, played while the first test waits for its hour to go on: both mostly wait."""
    task = asyncio.ensure_future(play_a_session(tmp_path_factory.mktemp("played")))
    yield task
    task.cancel()


def has_risen(demo: Demo, bed: str, rule: str) -> bool:
    """Whether the record says so. On a busy machine the hour that is lived first reaches some seconds into the first
    page's: then it rises in that, and stands when the page opens."""
    return any(body["rule"] == rule and body["state"] == "active" for _, kind, where, body in demo.journal()
               if kind == "alarm" and where == bed)


async def test_it_opens_in_the_middle_of_things(tmp_path: Path) -> None:
    async with running(tmp_path) as demo:
        beds = {bed["state"]["bed"]: bed["state"] for bed in await demo.get("/api/beds")}
        assert {bed: state["session"]["phase"] for bed, state in beds.items()} | {"chair-3": "before"} == {
            "chair-1": "INFUSING", "chair-2": "INFUSING", "chair-3": "before", "chair-4": "RECOVERY"}
        assert beds["chair-3"]["session"]["phase"] in ("PRECHECK", "READY")
        assert [state["gap"] for state in beds.values()] == [None] * 4, "it is taken up before anybody is unwatched"
        assert 24 < beds["chair-1"]["session"]["dose_mg"] < 27, "minute 29 of 40, of 35 mg"
        assert 7 < beds["chair-2"]["session"]["dose_mg"] < 11, "minute 8 of 40, of 41 mg"
        assert {state["patient"] for state in beds.values()} == {
            "Ada Example", "Ben Sample", "Cleo Specimen", "Dov Pattern"}
        trend = await demo.get("/api/beds/chair-1/history?minutes=60")
        assert len(trend["at"]) > 300, "its half hour is in the trend"

        await demo.until(lambda: has_risen(demo, "chair-2", "RES-2"), TROUBLE_WITHIN_S, "trouble at once")
        await demo.until(lambda: ("chair-1", "HTN-3", "high") in demo.active(), HIGH_WITHIN_S, "a HIGH")
        await demo.until(lambda: ("chair-3", "INFUSING") in [(e["bed"], e["body"]["phase"]) for e in
                                                             demo.events("phase")], 240, "the next infusion begins")
        data = demo.data
    verdict = verify(str(data / "journal.db"))
    assert verdict.ok, verdict.problem
    assert replay_journal(str(data / "journal.db"), None, False) == 0, "a replay differs from what was recorded"


async def enter(page: Page, demo: Demo) -> None:
    """By the button that the login page of a demonstration offers."""
    await page.goto(demo.told["console"])
    await page.locator(".accounts").get_by_role("button", name="nurse").click(timeout=10_000)
    await expect(page.locator(".tile[data-bed]")).to_have_count(4, timeout=10_000)


async def test_a_newcomer_plays_a_session_from_start_to_close(played: asyncio.Task[None]) -> None:
    await played


async def play_a_session(data: Path) -> None:
    async with running(data) as demo, chromium() as browser:
        page = await browser.new_page(viewport={"width": 1280, "height": 800})
        await enter(page, demo)
        await page.get_by_role("link", name="Simulation").click()
        beside = page.locator(".beside[data-bed=chair-3]")
        pump = beside.locator("[data-device=pump]")
        await beside.get_by_role("button", name="Next patient comes").click(timeout=10_000)
        await expect(beside).to_contain_text("worked by you", timeout=SEEN_WITHIN_MS)

        await until_ready(demo, "chair-3")
        await expect(beside).to_contain_text("A session is open here.", timeout=SEEN_WITHIN_MS)
        await pump.get_by_label("Rate, mL/h").press("ControlOrMeta+a")
        await page.keyboard.type("60,0")  # a browser's own field for numbers makes 600 of it
        await pump.get_by_role("button", name="Program").click()
        await expect(pump.locator(".front")).to_contain_text("Rate 60.0 mL/h", timeout=SEEN_WITHIN_MS)
        await pump.get_by_role("button", name="Start").click()
        await expect(pump.locator(".front")).to_contain_text("Running", timeout=SEEN_WITHIN_MS)
        await demo.until(lambda: phases(demo, "chair-3")[-1:] == ["INFUSING"], 15, "Vigil read it from the pump")

        oximeter = beside.locator("[data-device=oximeter]")
        await oximeter.get_by_role("button", name="Pull cable").click()
        await demo.until(lambda: links(demo, "chair-3", "oximeter")[-1:] == ["lost"], 5, "a pulled cable is seen")
        await oximeter.get_by_role("button", name="Plug in").click()
        await demo.until(lambda: links(demo, "chair-3", "oximeter")[-1:] == ["live"], 15, "and is back")

        await pump.get_by_role("button", name="Stop").click()
        await demo.until(lambda: phases(demo, "chair-3")[-1:] == ["PAUSED"], 30, "the pump stands")
        other = [event for event in demo.events("phase") if event["bed"] != "chair-3"]
        assert all(event["body"]["phase"] != "CLOSED" for event in other), "the others go on"
        await close_by_hand(page, demo, "chair-3")
        await demo.until(lambda: [e["body"]["reason"] for e in demo.events("session") if e["bed"] == "chair-3"
                                  and e["body"]["change"] == "closed"] == ["played enough"], 10, "closed early")
        await page.goto(f"{demo.told['console']}/simulation")
        await beside.get_by_role("button", name="Next patient comes").click()
        await pump.get_by_role("button", name="Start").click()
        await expect(pump.locator(".front")).to_contain_text("Running", timeout=SEEN_WITHIN_MS)


async def until_ready(demo: Demo, bed: str) -> None:
    """Asked of the console: it may have become so before anybody listened."""
    async with asyncio.timeout(240):
        while (await demo.get("/api/beds"))[_number(bed)]["state"]["session"]["phase"] != "READY":
            await asyncio.sleep(1)


def _number(bed: str) -> int:
    return int(bed.removeprefix("chair-")) - 1


async def close_by_hand(page: Page, demo: Demo, bed: str) -> None:
    """End the infusion, then close the session although criteria are open: on the bed's page, with a reason each."""
    await page.goto(f"{demo.told['console']}/bed/{bed}")
    for ask, last in (("End infusion…", "Record: infusion ended"), ("Close session…", "Close this session")):
        await page.get_by_role("button", name=re.compile("^Session")).click(timeout=10_000)
        await page.get_by_role("button", name=ask).click()
        await page.locator("input[name=reason]").fill("played enough")
        await page.get_by_role("button", name=last).click()
        await expect(page.locator("input[name=reason]")).to_have_count(0, timeout=8_000)


def phases(demo: Demo, bed: str) -> list[str]:
    return [event["body"]["phase"] for event in demo.events("phase") if event["bed"] == bed]


def links(demo: Demo, bed: str, device: str) -> list[str]:
    return [event["body"]["state"] for event in demo.events("link")
            if event["bed"] == bed and event["body"]["device"] == device]


def lives(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


async def test_ctrl_c_leaves_nothing_behind(tmp_path: Path) -> None:
    async with running(tmp_path, "--scenario", "calm") as demo:
        pids = demo.pids
        assert set(pids) == {"simulators", "broker", "console", "edge"}
    assert not [name for name, pid in pids.items() if lives(pid)]


async def test_one_console_over_two_edges(tmp_path: Path) -> None:
    async with running(tmp_path, "--scenario", "calm", "--edges", "2", "--beds", "2") as demo:
        assert demo.told["edges"] == ["demo", "demo-2"]
        shown = await demo.get("/api/beds")
        assert sorted((bed["edge"], bed["bed"]) for bed in shown) == [
            (edge, bed) for edge in ("demo", "demo-2") for bed in ("chair-1", "chair-2")]
        assert all(bed["state"]["live"] for bed in shown)
