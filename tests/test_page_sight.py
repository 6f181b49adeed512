"""Holds the page to what must be in sight on every screen: level, age, due time, and every alarm of a bed."""

from __future__ import annotations

import re
from typing import Any

import pytest
from playwright.async_api import Page, expect

from edge.model import iso
from tests.helpers.page_browser import SCREENS, Opened, cut_off, with_high
from tests.helpers.page_story import Story, alarm

pytestmark = pytest.mark.slow

LOST = "No connection to the pump (cable or port gone); it may still be running: look at the pump"
DONE = {"code": "vtbi_done", "priority": "medium", "raw": "AL_VTBIS", "text": "Volume infused, pump stopped"}


def troubled(beds: int) -> Story:
    """A ward where every bed has what takes most words: a HIGH, a lost pump, an overdue cuff, a dissociation."""
    story = Story(beds=beds)
    for number, bed in enumerate(story.beds.values()):
        bed.state["session"]["dissociation_state"] = "observed"
        bed.state["devices"][0].update(link="silent", since=iso(story.now() - 725))
        high = alarm("a1", "high", "Blood pressure 188/110 mmHg: severe hypertension", iso(story.now() - 60), 50)
        lost = alarm("a2", "medium", LOST, iso(story.now() - 30), 51, **{"class": "technical"})
        bed.state["alarms"] = [high] if number == 0 else [lost]
        bed.pressure_age_s = 240.0 if number % 2 else 1500.0
    return story


async def live(page: Page, alarms: int) -> None:
    """Waits until the page is live: until then a banner takes room."""
    await expect(page.locator(".frame")).to_have_attribute("data-live", "true")
    await expect(page.locator(".tile .headline .level, .alarm .acknowledge")).to_have_count(alarms)


# --- the ward's tiles -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("screen", SCREENS)
@pytest.mark.parametrize("beds", [1, 4, 6])
async def test_a_tile_shows_its_level_its_words_and_its_ages_whole(
        opened: Opened, screen: tuple[int, int], beds: int) -> None:
    async with opened(troubled(beds), screen=screen) as page:
        await live(page, beds)
        await expect(page.locator(".tile .notes .link").first).to_have_text(
            re.compile(r"^⊘ 12 min: No data from pump$"))
        for words in (".headline .level", ".headline .what", ".notes .link", ".notes .band", ".pressure .age",
                      ".pressure .due", ".phase", ".bed"):
            assert await cut_off(page, f".tile {words}") == [], words


@pytest.mark.parametrize("screen", SCREENS)
async def test_sixteen_tiles_still_show_level_age_and_due_time(opened: Opened, screen: tuple[int, int]) -> None:
    async with opened(troubled(16), screen=screen) as page:
        await live(page, 16)
        for words in (".headline .level", ".notes .link", ".pressure .age", ".pressure .due"):
            assert await cut_off(page, f".tile {words}") == [], words


@pytest.mark.parametrize("address", ["/", "/bed/chair-1"])
async def test_a_bed_that_is_not_live_does_not_say_that_it_has_no_alarm(opened: Opened, address: str) -> None:
    story = Story(beds=2)
    async with opened(story, address) as page:
        told = page.locator("main .headline, .alarm-rows .calm").first
        await expect(told).to_have_text("No alarms")
        story.network.hang_up()
        await expect(told).to_have_text("No alarm was known when the data stopped", timeout=6000)
        await expect(page.get_by_text(re.compile("^No alarms"))).to_have_count(0)


async def test_one_bed_that_is_only_remembered_is_not_counted_as_without_alarms(opened: Opened) -> None:
    story = Story(beds=2)
    story.beds["chair-2"].state["live"] = False
    async with opened(story) as page:
        await expect(page.locator(".tile[data-bed=chair-1] .headline")).to_have_text("No alarms")
        for told in (".tile[data-bed=chair-2] .headline", ".rail .calm"):
            await expect(page.locator(told)).to_have_text("No alarm was known when the data stopped")


@pytest.mark.parametrize(("screen", "alarms", "words"), [
    *((screen, [DONE], "Pump says: Volume infused, pump stopped") for screen in SCREENS),
    (SCREENS[0], [], "Pump says: alarm, see the pump")])
async def test_a_pumps_own_alarm_is_told_in_its_own_words(
        opened: Opened, screen: tuple[int, int], alarms: list[dict[str, Any]], words: str) -> None:
    story = Story(beds=4)
    for bed in story.beds.values():
        bed.pump = "alarm"
        bed.state["devices"][0]["alarms"] = alarms
    async with opened(story, screen=screen) as page:
        await expect(page.locator(".tile .pump .says")).to_have_text([words] * 4)
        await expect(page.locator(".tile .headline")).to_have_text(["No other alarms"] * 4)
        assert await cut_off(page, ".tile .pump .says, .tile .pump .part") == []
        await page.goto(f"{story.url}/bed/chair-1")
        await expect(page.locator(".pump-card .says")).to_have_text(words)
        await expect(page.locator(".alarm-rows .calm")).to_have_text("No other alarms")
        assert await cut_off(page, ".pump-card .says, .pump-card .part") == []


# --- one bed ----------------------------------------------------------------------------------------------------------


def many(story: Story, count: int) -> None:
    """`count` alarms at the first bed, the last of them technical."""
    texts = ["SpO₂ 89 below limit 90", "No SpO₂ from the oximeter: sensor off", LOST, "Pulse 128 above limit 120",
             "Two blood pressure measurements failed: cuff leak", "Pump: end of infusion", "Agitation"]
    story.beds["chair-1"].state["alarms"] = [
        alarm(f"a{n}", "medium", texts[n], iso(story.now() - 60 - n), 50 + n,
              **{"class": "technical" if n == count - 1 else "physiological"}) for n in range(count)]


@pytest.mark.parametrize("screen", SCREENS)
async def test_three_alarms_of_a_bed_are_all_in_sight(opened: Opened, screen: tuple[int, int]) -> None:
    story = Story(beds=2)
    many(story, 3)
    with_high(story, "chair-2")
    story.beds["chair-1"].state["devices"][0].update(link="lost", since=iso(story.now() - 725))
    async with opened(story, "/bed/chair-1", screen=screen) as page:
        await live(page, 3)
        assert await cut_off(page, ".alarm .text, .alarm .acknowledge") == []
        await expect(page.locator(".unseen-alarms")).to_have_count(0)


@pytest.mark.parametrize("screen", SCREENS)
async def test_what_the_list_has_no_room_for_is_counted_and_one_tap_away(
        opened: Opened, screen: tuple[int, int]) -> None:
    story = Story(beds=2)
    many(story, 7)
    async with opened(story, "/bed/chair-1", screen=screen) as page:
        more = page.locator(".unseen-alarms")
        await live(page, 7)
        await expect(more).to_have_text(re.compile(r"^▾ [1-7] more alarms? below$"))
        for _ in range(7):
            if "below" not in (await more.text_content() or ""):
                break
            await more.click()
        await expect(more).to_have_text(re.compile(r"^▴ [1-7] more alarms? above$"))
        last = page.locator(".alarm").last
        await expect(last).to_be_in_viewport(ratio=0.97)
        assert await cut_off(page, ".alarm:last-child .text") == []


# --- events and addresses ---------------------------------------------------------------------------------------------

EVENTS = [
    ("alarm", {"title": "No connection to a monitor", "device": "cuff", "state": "inactive", "was": "active",
               "priority": "medium", "phase": "RECOVERY", "text": "No connection to a monitor: over"},
     "Alarm", "No connection to a monitor (cuff): over (was MEDIUM)"),
    ("link", {"device": "oximeter", "state": "silent", "was": "live", "reason": "nothing heard for 3 s"},
     "Connection", "No data from oximeter (nothing heard for 3 s)"),
    ("alarm", {"title": "Severe hypertension", "state": "active", "was": "pending", "priority": "high",
               "text": "Blood pressure 188/110 mmHg: severe hypertension"},
     "Alarm", "HIGH: Blood pressure 188/110 mmHg: severe hypertension"),
]


@pytest.mark.parametrize("screen", SCREENS)
async def test_every_event_is_one_row_across_the_sheet(opened: Opened, screen: tuple[int, int]) -> None:
    story = Story(beds=1)
    story.events = [{"kind": kind, "body": body} for kind, body, _, _ in EVENTS]
    async with opened(story, "/bed/chair-1", screen=screen) as page:
        await page.get_by_role("button", name="Events").click()
        rows = page.locator(".events tr")
        await expect(rows).to_have_count(len(EVENTS))
        for row, (_, _, kind, words) in zip(await rows.all(), EVENTS, strict=True):
            await expect(row.locator("td").nth(1)).to_have_text(kind)
            await expect(row.locator("td").nth(2)).to_have_text(words)
        strays = await page.evaluate("""[...document.querySelectorAll('.events tr')].filter(row => {
          const table = row.closest('table').getBoundingClientRect(), box = row.getBoundingClientRect();
          const tops = new Set([...row.cells].map(cell => Math.round(cell.getBoundingClientRect().top)));
          return getComputedStyle(row).display !== 'table-row' || tops.size > 1
            || Math.abs(box.width - table.width) > 2;
        }).map(row => row.textContent)""")
        assert strays == []


@pytest.mark.parametrize("role", ["nurse", "technician"])
@pytest.mark.parametrize(("address", "said"), [
    ("/bed/nope", "There is no bed 'nope'."), ("/bed/%3Cimg%20src=x%3E", "There is no bed '<img src=x>'."),
    ("/bed/100%25", "There is no bed '100%'.")])
async def test_an_address_without_a_bed_is_told_and_the_ward_is_shown(
        opened: Opened, role: str, address: str, said: str) -> None:
    story = Story(beds=2, role=role)
    async with opened(story, address) as page:
        await expect(page.locator(".missing > p")).to_have_text(said)
        await expect(page.locator(".tile")).to_have_count(2)
        await expect(page.locator("img")).to_have_count(0)
        assert not [told for told in story.said if told["t"] == "watch" and told["bed"] is not None]


@pytest.mark.parametrize("screen", SCREENS)
async def test_what_is_tapped_often_is_at_least_48_pixels_high(opened: Opened, screen: tuple[int, int]) -> None:
    story = Story(beds=1)
    async with opened(story, "/bed/chair-1", screen=screen) as page:
        await expect(page.get_by_role("link", name="Simulation")).to_be_visible()
        for target in (page.get_by_role("button", name="Test sound"), *await page.locator("header nav a").all(),
                       page.locator(".back"), page.get_by_role("button", name="Sign out")):
            await expect(target).to_be_visible()
            box = await target.bounding_box()
            assert box is not None
            assert box["height"] >= 48, await target.text_content()
