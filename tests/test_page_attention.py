"""Holds the page to attention: who was told, comments, to whom alarms go, and what is said for information."""

from __future__ import annotations

import re

import pytest
from playwright.async_api import expect

from edge.model import iso
from tests.helpers.page_browser import Opened
from tests.helpers.page_story import Story, alarm

pytestmark = pytest.mark.slow


async def test_who_was_told_is_seen_and_a_comment_is_written_by_keyboard(opened: Opened) -> None:
    story = Story(beds=1)
    since = story.now() - 70
    one = alarm("a1", "high", "Blood pressure 184/106 mmHg", iso(since), 50)
    one["told"] = [{"who": "nurse", "at": iso(since)}, {"who": "prescriber", "at": iso(since + 60)}]
    one["next_told"] = {"who": "box", "at": iso(since + 120)}
    one["signals"] = {"audio": "on", "visual": "on", "remote": "on"}
    story.beds["chair-1"].state["alarms"] = [one]
    async with opened(story, "/bed/chair-1") as page:
        row = page.locator("[data-alarm=a1]")
        await expect(row.locator(".told")).to_contain_text("the prescriber")
        await expect(row.locator(".told")).to_contain_text(re.compile("Next: the box, which sounds in"))
        await row.locator(".tell").press("Enter")
        await expect(row.locator(".meaning")).to_contain_text("sound on; on the screens on; told elsewhere on")
        await row.get_by_label("Comment").fill("pale, and cold")
        await row.get_by_label("Comment").press("Enter")
        await expect(row.locator(".comment")).to_contain_text("pale, and cold")
    (asked,) = story.commands
    assert (asked["verb"], asked["args"]) == ("comment", {"alarm": "a1", "comment": "pale, and cold"})


async def test_alarms_go_to_somebody_else_and_are_taken_back(opened: Opened) -> None:
    story = Story(beds=1)
    async with opened(story, "/bed/chair-1") as page:
        await page.get_by_role("button", name="Session").click()
        sheet = page.get_by_role("dialog")
        await sheet.get_by_role("button", name="Alarms to somebody else…").click()
        await expect(sheet).to_contain_text("Reason")
        await page.keyboard.press("Escape")
        story.beds["chair-1"].state["delegation"] = {
            "to": "Dr Hall", "since": iso(story.now()), "until": iso(story.now() + 600), "by": "nina",
            "reason": "a second bed"}
        story.tell("chair-1")
        line = page.locator(".delegated")
        await expect(line).to_contain_text("Alarms go to Dr Hall first")
        await line.get_by_role("button", name="Take back").click()
        await expect(line).to_have_count(0)
    assert [asked["verb"] for asked in story.commands] == ["undelegate"]


async def test_what_is_said_for_information_stands_in_the_rail(opened: Opened) -> None:
    story = Story(beds=2)
    async with opened(story, "/") as page:
        await expect(page.locator(".information")).to_have_count(0)
        story.beds["chair-2"].state["information"] = [
            {"what": "infusion_ended", "text": "The infusion has ended: dose complete", "at": iso(story.now())}]
        story.tell("chair-2")
        await expect(page.locator(".rail .information")).to_contain_text("The infusion has ended: dose complete")


async def test_a_technician_puts_a_device_in_maintenance_and_takes_it_back(opened: Opened) -> None:
    story = Story(beds=1, role="technician", simulated=False)
    async with opened(story, "/devices") as page:
        row = page.locator("[data-device='chair-1/pump']")
        await row.get_by_role("button", name="Maintenance…").click()
        await expect(row.get_by_role("button", name="10 min")).to_be_disabled()
        await row.get_by_role("button", name="Test").click()
        await row.get_by_role("button", name="10 min").click()
        await expect(row.locator(".maintenance")).to_contain_text("Pump in maintenance until")
        await expect(row.locator(".maintenance")).to_contain_text("Test")
        await row.get_by_role("button", name="In use again").click()
        await expect(row.locator(".maintenance")).to_have_count(0)
    begun, over = story.commands
    assert (begun["verb"], begun["args"]) == ("maintain", {"device": "pump", "minutes": 10, "reason": "Test"})
    assert (over["verb"], over["args"]) == ("maintenance_over", {"device": "pump"})


async def test_a_nurse_says_that_a_device_that_nothing_tells_apart_is_the_beds_own(opened: Opened) -> None:
    story = Story(beds=2, simulated=False)
    device = story.beds["chair-1"].state["devices"][0]
    device.update(link="wrong_device", ask=True, reason="away at the same time as chair-2/pump: look that each cable"
                  " is at its own bed, then say for each that the device is back")
    async with opened(story, "/bed/chair-1") as page:
        head = page.locator(".bed-head")
        await expect(head.locator(".link")).to_contain_text("Whose pump is this?")
        await expect(head.locator(".maintenance")).to_contain_text("Away at the same time as chair-2/pump")
        await head.get_by_role("button", name="It is this bed’s own").click()
        await expect(head.locator(".link")).to_have_count(0)
    assert [(one["verb"], one["args"]) for one in story.commands] == [("device_back", {"device": device["device"]})]


async def test_alarms_of_one_cause_are_one_line_and_each_is_acknowledged_by_itself(opened: Opened) -> None:
    story = Story(beds=4)
    since, cause = iso(story.now() - 40), {"id": "wire 10.0.0.9", "text": "3 devices are not heard over 10.0.0.9"}
    for number, (bed, one) in enumerate(story.beds.items(), 50):
        lost = alarm(f"lost-{bed}", "medium", "The pump is not heard", since, number, **{
            "class": "technical", "rule": "TEC-3", "device": "pump", "cause": cause})
        one.state["alarms"] = [lost]
    slow = alarm("slow", "medium", "Pulse 49 /min: slow", iso(story.now() - 300), 49)
    story.beds["chair-4"].state["alarms"] = [slow]
    async with opened(story) as page:
        rows = page.locator(".rail .row")
        await expect(rows).to_have_count(2)
        await expect(rows.first).to_contain_text("Pulse 49", timeout=10_000)  # a patient's, though it is older
        flood = rows.last
        await expect(flood).to_contain_text("3 beds: 3 devices are not heard over 10.0.0.9")
        await expect(flood).to_contain_text("Chair 1, Chair 2, Chair 3")
        await expect(page.locator(".tile .headline", has_text="not heard")).to_have_count(3)
        await flood.get_by_role("button", name=re.compile("Each")).press("Enter")
        await expect(rows).to_have_count(5)
        await rows.filter(has_text="Chair 2").last.get_by_role("button").click()
        await expect(flood.or_(rows).filter(has_text="2 open")).to_have_count(1)
    (asked,) = story.commands
    assert (asked["bed"], asked["verb"], asked["args"]) == ("chair-2", "acknowledge", {"alarm": "lost-chair-2",
                                                                                      "seq": 51})


async def test_a_second_device_is_seen_on_the_bed_its_trend_and_the_ward(opened: Opened) -> None:
    story = Story(beds=2)
    story.beds["chair-1"].others = {
        ("oximeter-2", "spo2_pct"): 84, ("cuff-2", "sbp_mmhg"): 190, ("cuff-2", "dbp_mmhg"): 125}
    async with opened(story, "/bed/chair-1") as page:
        spo2 = page.locator(".of-spo2_pct")
        await expect(spo2.locator(".digits")).to_have_text("97")
        await expect(spo2.locator(".others")).to_contain_text("monitor")
        await expect(spo2.locator(".other")).to_contain_text("oximeter-2 84 now")
        await expect(page.locator(".pressure .other")).to_contain_text("cuff-2 190/125")
        await expect(page.locator(".trend-head")).to_contain_text("SpO₂ oximeter-2 %")
        await page.get_by_role("link", name="Ward", exact=True).click()
        await expect(page.locator("[data-bed=chair-1] .further")).to_contain_text("oximeter-2 SpO₂ 84")
        await expect(page.locator("[data-bed=chair-1] .further")).to_contain_text("cuff-2 BP 190/125")
