"""Holds the page to WCAG 2.2 AA as axe measures it, to forced colours, and to a screen that is never silent unseen."""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from playwright.async_api import Page, Route, expect

from edge.console.web import build_page
from tests.helpers.page_browser import Opened, figure, until, with_high
from tests.helpers.page_story import Story, busy

pytestmark = pytest.mark.slow

TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]


async def complaints(page: Page) -> list[str]:
    """What axe finds, each as rule, element and why."""
    build_page.install_packages(everything=True)
    await page.evaluate((build_page.WEB / "node_modules" / "axe-core" / "axe.min.js").read_text())
    found: dict[str, Any] = await page.evaluate(
        "tags => axe.run({exclude: ['.watermark']}, {runOnly: {type: 'tag', values: tags}})", TAGS)  # pure decoration
    return [f"{rule['id']}: {node['target']} {node['failureSummary']}"
            for rule in found["violations"] for node in rule["nodes"]]


async def nothing(page: Page) -> None:
    """The page as it opens."""


async def check_in(page: Page) -> None:
    """Its check-in form."""
    await page.get_by_role("button", name="Check-in").click()


async def session(page: Page) -> None:
    """Its session's sheet."""
    await page.get_by_role("button", name=re.compile("^Session")).click()


async def events(page: Page) -> None:
    """What happened."""
    await page.get_by_role("button", name="Events").click()
    await expect(page.locator(".events tr")).to_have_count(1)


@pytest.mark.parametrize(("role", "address", "does"), [
    ("nurse", "/", nothing), ("nurse", "/bed/chair-1", nothing), ("nurse", "/bed/chair-1", check_in),
    ("nurse", "/bed/chair-1", session), ("nurse", "/bed/chair-1", events), ("nurse", "/simulation", nothing),
    ("technician", "/devices", nothing)])
async def test_axe_finds_nothing(
        opened: Opened, role: str, address: str, does: Callable[[Page], Awaitable[None]]) -> None:
    story = busy(4, role)
    async with opened(story, address) as page:
        await page.emulate_media(reduced_motion="reduce")
        await expect(page.locator(".frame")).to_have_attribute("data-live", "true", timeout=20_000)
        await does(page)
        await expect(page.locator("main h1")).to_have_count(1)
        assert await complaints(page) == []


async def test_axe_finds_nothing_where_one_signs_in(opened: Opened) -> None:
    story = Story(beds=1)
    story.signed_in = False
    async with opened(story) as page:
        await expect(page.get_by_label("Password")).to_be_visible()
        assert await complaints(page) == []


async def test_forced_colours_keep_priority_as_symbol_word_and_line(opened: Opened) -> None:
    async with opened(busy(4)) as page:
        await page.emulate_media(forced_colors="active")
        for priority, symbol, word, line in (("high", "!!!", "HIGH", "double"), ("medium", "!!", "MEDIUM", "solid")):
            row = page.locator(f".rail .row.{priority}")
            await expect(row.locator(".symbol")).to_have_text(symbol)
            await expect(row).to_contain_text(word)
            assert await row.evaluate("row => getComputedStyle(row).borderTopStyle") == line
            tile = page.locator(f".tile.frame-{priority}")
            assert await tile.evaluate("tile => getComputedStyle(tile).borderTopStyle") == line


# --- a screen that watches --------------------------------------------------------------------------------------------


def told_of(me: dict[str, Any]) -> Callable[[Route], Awaitable[None]]:
    """Answers who is signed in with `me` added."""

    async def answer(route: Route) -> None:
        real = await route.fetch()
        await route.fulfill(response=real, body=json.dumps({**await real.json(), **me}))

    return answer


NOW = "2026-09-21T08:00:00.000Z"


async def test_a_sign_in_that_ends_warns_and_is_prolonged_by_a_tap(opened: Opened) -> None:
    story = Story(beds=1)
    async with opened(story, "/login") as page:
        asked: list[str] = []
        await page.route("**/api/me", told_of({"now": NOW, "expires_at": "2026-09-21T08:20:00.000Z"}))

        async def renewed(route: Route) -> None:
            asked.append(route.request.url)
            more = {"name": "nurse", "role": "nurse", "csrf": "token", "now": NOW,
                    "expires_at": "2026-09-21T20:00:00.000Z", "locked": False}
            await route.fulfill(json=more)

        await page.route("**/api/renew", renewed)
        await page.goto(story.url + "/bed/chair-1")
        banner = page.locator(".banner-lock")
        await expect(banner).to_contain_text(re.compile(r"This screen locks in 1[89]:\d\d|20:00"))
        await banner.get_by_role("button", name="Stay signed in").click()
        await expect(banner).to_have_count(0)
        assert len(asked) == 1


async def test_a_locked_screen_keeps_its_place_its_numbers_and_its_sound(opened: Opened) -> None:
    story = Story(beds=1)
    with_high(story)
    async with opened(story, "/login") as page:
        await page.route("**/api/me", told_of({"now": NOW, "expires_at": NOW}))
        await page.goto(story.url + "/bed/chair-1")
        await expect(page.locator(".banner-lock")).to_contain_text("Locked: alarms and sound go on")
        await expect(page.locator(".banner-lock").get_by_label("Password")).to_be_visible()
        await expect(figure(page, "spo2_pct")).to_have_attribute("data-standing", "live")
        await until(lambda: {"t": "sounded", "edge": "clinic-1", "seq": 50} in story.said, "the HIGH sounds")
        await expect(page.locator(".bed-head h1")).to_have_text("Chair 1")


async def test_a_sound_the_browser_closed_comes_back_with_a_tap(opened: Opened) -> None:
    story = Story(beds=1)
    script = """const Real = AudioContext; window.contexts = [];
      window.AudioContext = class extends Real { constructor() { super(); window.contexts.push(this); } };"""
    async with opened(story, script=script) as page:
        await until(lambda: {"t": "sound", "state": "on"} in story.said, "sound is on")
        await page.evaluate("window.contexts[0].close()")
        await expect(page.get_by_role("button", name=re.compile("Sound is off"))).to_be_visible(timeout=5000)
        await page.locator("header").click(position={"x": 5, "y": 5})
        await expect(page.get_by_role("button", name=re.compile("Sound is off"))).to_have_count(0)
        assert await page.evaluate("window.contexts.length") == 2


async def test_the_screen_is_kept_awake_while_it_watches(opened: Opened) -> None:
    story = Story(beds=1)
    script = """window.asked = []; Object.defineProperty(navigator, 'wakeLock', {value: {request: async kind => {
      window.asked.push(kind); }}});"""
    async with opened(story, script=script) as page:
        await expect(page.locator(".frame")).to_be_visible()
        assert await page.evaluate("window.asked") == ["screen"]
