"""Holds the page to a session that goes to another bed (where to, what is plugged over, how it looks afterwards), and
to a device that is away as planned."""

from __future__ import annotations

import re

import pytest
from playwright.async_api import expect

from edge.model import iso
from tests.helpers.page_browser import Opened
from tests.helpers.page_story import Story

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("screen", [(390, 844), (1280, 800)], ids=["390", "1280"])
async def test_a_session_goes_to_a_free_bed_with_what_is_plugged_over(opened: Opened, screen: tuple[int, int]) -> None:
    story = Story(beds=3)
    story.beds["chair-2"].state["session"] = None
    async with opened(story, "/bed/chair-1", screen=screen) as page:
        await page.get_by_role("button", name="Session").click()
        sheet = page.get_by_role("dialog")
        await sheet.get_by_role("button", name="To another bed…").click()
        await expect(sheet.get_by_role("button", name="Chair 3")).to_have_count(0)
        record = sheet.get_by_role("button", name="Record: to another bed")
        await expect(record).to_be_disabled()
        await sheet.get_by_role("button", name="Chair 2").click()
        for device in ("Pump", "Oximeter", "Cuff", "Cuff"):  # the cuff: chosen, and left after all
            await sheet.get_by_role("button", name=device, exact=True).click()
        await expect(sheet.get_by_role("button", name="Oximeter", exact=True)).to_have_attribute("aria-pressed", "true")
        await sheet.get_by_label("Reason").fill("the chair broke")
        await record.click()
        await expect(sheet).to_have_count(0)
    (asked,) = story.commands
    assert (asked["bed"], asked["verb"]) == ("chair-1", "move_session")
    assert asked["args"] == {"to": "chair-2", "reason": "the chair broke", "devices": ["pump", "oximeter"]}


@pytest.mark.parametrize("screen", [(390, 844), (1280, 800)], ids=["390", "1280"])
async def test_both_beds_say_where_the_session_was_and_where_the_pump_is(
        opened: Opened, screen: tuple[int, int]) -> None:
    story = Story(beds=2)
    old, new = story.beds["chair-1"].state, story.beds["chair-2"].state
    old["session"], old["devices"][0]["gone_to"], old["devices"][0]["link"] = None, "chair-2", "lost"
    new["devices"][1]["off_until"] = iso(story.now() + 600)
    new["session"]["stays"] = [{"bed": "chair-1", "from": iso(story.now() - 900), "until": iso(story.now() - 300)}]
    async with opened(story, "/bed/chair-2", screen=screen) as page:
        await expect(page.locator(".bed-head")).to_contain_text("At Chair 1 until")
        off = re.compile(r"Oximeter off as planned until \d\d:\d\d")
        await expect(page.locator(".bed-head")).to_contain_text(off)
        await page.locator(".bed-head").get_by_role("button", name="It is back").click()
        await page.goto(story.url)
        await expect(page.locator("[data-bed=chair-2] .notes")).to_contain_text(off)
        await page.goto(story.url + "/bed/chair-1")
        await expect(page.locator(".bed-head")).to_contain_text("Pump went to Chair 2 with its patient")
        await page.locator(".bed-head").get_by_role("button", name="It is back").click()
        await expect(page.locator(".bed-head")).not_to_contain_text("connection")
    assert [(one["verb"], one["args"]) for one in story.commands] == [
        ("device_back", {"device": name}) for name in ("oximeter", "pump")]


async def test_with_no_free_bed_nobody_is_sent_anywhere(opened: Opened) -> None:
    async with opened(Story(beds=2), "/bed/chair-1") as page:
        await page.get_by_role("button", name="Session").click()
        await expect(page.get_by_role("dialog")).to_contain_text("Hold the treatment")
        await expect(page.get_by_role("button", name="To another bed…")).to_have_count(0)
