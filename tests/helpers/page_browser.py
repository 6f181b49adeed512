"""A browser to open the real page in, and what tests ask of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

from playwright.async_api import Browser, Page, Request, async_playwright

from edge.console.web import build_page
from edge.model import iso
from tests.helpers import waiting
from tests.helpers.page_story import PASSWORD, Story, alarm, playing

TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
SCREENS = ((1280, 800), (1024, 768), (768, 1024))
# Each window of Debian's Chromium renders two suggestion lists of its address bar, hidden, for a third of a second of a
# processor: the last two names. Of several such lists the last counts, so Playwright's own stands here, too.
DISABLED = ("AvoidUnnecessaryBeforeUnloadCheckSync", "DestroyProfileOnBrowserClose", "HttpsUpgrades",
            "HttpsFirstBalancedModeAutoEnable", "LensOverlay", "MediaRouter", "PaintHolding",
            "ThirdPartyStoragePartitioning", "AvoidCorsURLLoaderRestartOnRedirect", "OptimizationHints",
            "NetworkTimeServiceQuerying", "AimEnabled", "PreconnectToSearch", "WebUIOmniboxPopup",
            "WebUIOmniboxAimPopup")
Opened = Callable[..., AbstractAsyncContextManager[Page]]


@asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    """Debian's Chromium, and the page built; sound is allowed without a tap."""
    build_page.build()
    async with async_playwright() as playwright:
        arguments = ["--no-sandbox", "--disable-dev-shm-usage", "--autoplay-policy=no-user-gesture-required",
                     f"--disable-features={','.join(DISABLED)}"]
        started = await playwright.chromium.launch(executable_path="/usr/bin/chromium", args=arguments)
        yield started
        await started.close()


def opener(browser: Browser) -> Opened:
    """Opens a page on a story; whatever the page complains of fails the test."""

    @asynccontextmanager
    async def open_page(story: Story, path: str = "/", *, screen: tuple[int, int] = (1280, 800),
                        script: str | None = None) -> AsyncIterator[Page]:
        context = await browser.new_context(viewport={"width": screen[0], "height": screen[1]})
        page = await context.new_page()
        wrong: list[str] = []
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("console", lambda said: wrong.append(said.text) if "Content Security" in said.text else None)
        if script is not None:
            await page.add_init_script(script)
        page.on("request", lambda asked: _note_command(story, asked))
        async with playing(story):
            if story.signed_in:
                login = {"name": "nurse", "password": PASSWORD}
                answer = await context.request.post(story.url + "/api/login", data=login, headers={"Origin": story.url})
                assert answer.ok, await answer.text()
            await page.goto(story.url + path)
            yield page
            await context.close()
        assert wrong == []

    return open_page


def _note_command(story: Story, asked: Request) -> None:
    if asked.method == "POST" and asked.url.endswith("/commands"):
        bed = asked.url.split("/")[-2]
        story.commands.append({"bed": bed, "csrf": asked.headers.get("x-csrf"), **(asked.post_data_json or {})})


async def complaints(page: Page) -> list[str]:
    """What axe finds, each as rule, element and why."""
    build_page.install_packages(everything=True)
    await page.evaluate((build_page.WEB / "node_modules" / "axe-core" / "axe.min.js").read_text())
    found: dict[str, Any] = await page.evaluate(
        "tags => axe.run({exclude: ['.watermark']}, {runOnly: {type: 'tag', values: tags}})", TAGS)  # pure decoration
    return [f"{rule['id']}: {node['target']} {node['failureSummary']}"
            for rule in found["violations"] for node in rule["nodes"]]


async def until(true: Callable[[], bool], what: str, within_s: float = 6) -> None:
    """Waits for something the page does to the server."""
    await waiting.until(true, within_s, what, 0.02)


async def until_drawn(page: Page, script: str, within_s: float = 6) -> None:
    """Waits until `script` is true in the page; not wait_for_function, which the page's own policy forbids."""
    for _ in range(round(within_s / 0.05)):
        if await page.evaluate(script):
            return
        await asyncio.sleep(0.05)
    assert await page.evaluate(script), script


def figure(page: Page, metric: str, bed: str = "chair-1") -> Any:
    """One number of one bed."""
    return page.locator(f"[data-bed={bed}] [data-metric={metric}]")


def with_high(story: Story, bed: str = "chair-1") -> dict[str, Any]:
    """A HIGH at `bed`."""
    high = alarm("a1", "high", "SBP 184 above limit 180", iso(story.now() - 60), 50, limit="180")
    story.beds[bed].state["alarms"] = [high]
    return high


async def cut_off(page: Page, words: str) -> list[str]:
    """The text of every element matching `words` of which some is not in sight: clipped by itself, by anything it
    stands in, by an ellipsis, or by the screen."""
    found: list[str] = await page.evaluate("""selector => [...document.querySelectorAll(selector)].filter(element => {
      const range = document.createRange();
      range.selectNodeContents(element);
      const clips = [{left: 0, top: 0, right: innerWidth, bottom: innerHeight}];
      for (let outer = element; outer !== null; outer = outer.parentElement) {
        const {overflowX, overflowY} = getComputedStyle(outer);
        if (overflowX !== 'visible' || overflowY !== 'visible') clips.push(outer.getBoundingClientRect());
      }
      const inks = [...range.getClientRects()].filter(ink => ink.width > 0);
      return inks.length === 0 || inks.some(ink => clips.some(clip => ink.left < clip.left - 1
        || ink.right > clip.right + 1 || ink.top < clip.top - 4 || ink.bottom > clip.bottom + 4));
    }).map(element => element.textContent)""", words)
    return found
