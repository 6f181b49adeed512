"""The real page on the real demonstration: live at once, NOT LIVE with the hop that broke within 6 s, back by itself,
and an alarm of the story seen and acknowledged."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from playwright.async_api import Browser, Page, expect

from tests.helpers.demo_run import Demo, running

pytestmark = [pytest.mark.slow, pytest.mark.long]

SAID_WITHIN_MS = 6_000
BACK_WITHIN_MS = 20_000
NOT_LIVE = ".banner-not-live"


@pytest.fixture
async def page(browser: Browser) -> AsyncIterator[Page]:
    page = await browser.new_page(viewport={"width": 1280, "height": 800})
    yield page
    await page.close()


async def login(page: Page, demo: Demo) -> None:
    nurse = next(user for user in demo.told["users"] if user["role"] == "nurse")
    await page.goto(demo.told["console"])
    await page.locator("input").nth(0).fill(nurse["name"])
    await page.locator("input[type=password]").fill(nurse["password"])
    await page.keyboard.press("Enter")
    await expect(page.locator(".tile[data-bed]")).to_have_count(4, timeout=10_000)


async def test_the_nurses_screen(tmp_path: Path, page: Page) -> None:
    async with running(tmp_path, "--speed", "20") as demo:
        await login(page, demo)
        for bed in ("chair-1", "chair-2", "chair-3", "chair-4"):
            live = page.locator(f".tile[data-bed={bed}] .figure.of-spo2_pct[data-standing=live]")
            await expect(live).to_have_count(1, timeout=10_000)
        await expect(page.locator(NOT_LIVE)).to_have_count(0)

        for name, hop in (("edge", "edge"), ("broker", "broker"), ("console", "page")):
            os.kill(demo.pids[name], signal.SIGKILL)
            banner = page.locator(f"{NOT_LIVE}[data-hop={hop}]")
            await expect(banner).to_be_visible(timeout=SAID_WITHIN_MS)
            await expect(banner).to_contain_text("NOT LIVE")
            await expect(page.locator(".figure[data-standing=live]")).to_have_count(0)
            await expect(page.locator(NOT_LIVE)).to_have_count(0, timeout=BACK_WITHIN_MS)
            await asyncio.sleep(1)

        tile = page.locator(".tile[data-bed=chair-2]")
        await expect(tile).to_contain_text("No connection to the cuff", timeout=120_000)
        await expect(tile).to_contain_text("!!")
        await page.goto(f"{demo.told['console']}/bed/chair-2")
        row = page.locator(".alarm-rows article").filter(has_text="No connection to the cuff")
        await row.get_by_role("button", name="Acknowledge").click(timeout=10_000)
        await demo.until(lambda: any(e["body"]["rule"] == "TEC-4" and e["body"]["state"] == "acknowledged"
                                     and e["body"]["by"] == "nurse" for e in demo.events("alarm")), 10,
                         "the acknowledgement is an event with the nurse's name")
        seen = json.dumps([payload for _, _, payload in demo.heard])
        assert "Ben Sample" not in seen, "no patient's name ever goes over MQTT"
