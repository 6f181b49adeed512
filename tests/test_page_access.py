"""Holds the page to WCAG 2.2 AA as axe measures it, to forced colours, and to a screen that is never silent unseen."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from unittest.mock import patch

import pytest
from playwright.async_api import Page, expect
from sqlalchemy import Connection, update

from edge.console import service
from edge.console.tables import web_sessions
from edge.model import iso
from tests.helpers.page_browser import Opened, complaints, figure, until, with_high
from tests.helpers.page_story import PASSWORD, Story, alarm, busy

pytestmark = pytest.mark.slow


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


async def ends_in(story: Story, seconds: float) -> None:
    """Every sign-in at the console ends so many seconds from now."""
    assert story.console is not None
    until_s = story.console_s() + seconds

    def end(connection: Connection) -> None:
        connection.execute(update(web_sessions).values(expires_s=until_s))

    await story.console.store.run(end)


async def test_a_sign_in_that_ends_warns_and_is_prolonged_by_a_tap(opened: Opened) -> None:
    story = Story(beds=1)
    async with opened(story, "/login") as page:
        await ends_in(story, 20 * 60)
        await page.goto(story.url + "/bed/chair-1")
        banner = page.locator(".banner-lock")
        await expect(banner).to_contain_text(re.compile(r"This screen locks in (1[89]:\d\d|20:00)"))
        await banner.get_by_role("button", name="Stay signed in").click()
        await expect(banner).to_have_count(0)


async def test_a_locked_screen_keeps_place_numbers_and_sound_and_acts_after_the_password(opened: Opened) -> None:
    story = Story(beds=1)
    with_high(story)
    async with opened(story, "/bed/chair-1") as page:
        await expect(figure(page, "spo2_pct")).to_have_attribute("data-standing", "live")
        assert story.console is not None
        await story.console.end_sessions()  # the console has noticed that this page watches
        await ends_in(story, -1)
        await page.get_by_role("button", name="Acknowledge: ").click()
        banner = page.locator(".banner-lock")
        await expect(banner).to_contain_text("Locked: alarms and sound go on")
        await expect(page.locator(".alarm .refused")).to_contain_text("Enter your password to unlock it")
        await expect(page.locator(".bed-head h1")).to_have_text("Chair 1")
        await until(lambda: {"t": "sounded", "edge": "clinic-1", "seq": 50} in story.said, "the HIGH sounds")
        story.beds["chair-1"].values["spo2_pct"] = 93
        await expect(figure(page, "spo2_pct").locator(".digits")).to_have_text("93")
        await banner.get_by_label("Password").fill("wrong")
        await page.keyboard.press("Enter")
        await expect(banner).to_contain_text("The password is wrong")
        await banner.get_by_label("Password").fill(PASSWORD)
        await page.keyboard.press("Enter")
        await expect(banner).to_have_count(0)
        await page.get_by_role("button", name="Acknowledge: ").click()
        await expect(page.locator("[data-alarm=a1]")).to_have_attribute("data-state", "acknowledged")


async def test_a_screen_signed_out_by_the_console_says_so_and_keeps_draft_and_place(opened: Opened) -> None:
    story = Story(beds=1)
    async with opened(story, "/bed/chair-1") as page:
        await page.get_by_role("button", name=re.compile("^Check-in")).click()
        await page.locator("[data-scale=anxiety]").get_by_role("button", name="3", exact=True).click()
        assert story.console is not None
        await story.console.store.run(lambda c: c.execute(update(web_sessions).values(revoked=True)) and None)
        await expect(page.locator(".login .problem")).to_contain_text("This screen was signed out", timeout=20_000)
        await page.get_by_label("Name").fill("nurse")
        await page.get_by_label("Password").fill(PASSWORD)
        await page.keyboard.press("Enter")
        await expect(page.locator(".bed-head h1")).to_have_text("Chair 1")
        await page.get_by_role("button", name=re.compile("^Check-in")).click()
        await expect(page.get_by_role("dialog")).to_contain_text("1 of 5 assessed")


async def test_what_was_refused_and_a_wrong_clock_are_named_with_what_to_do(opened: Opened) -> None:
    story = Story(beds=1, skew_s=40.0)
    async with opened(story) as page:
        clock = page.locator(".troubles [data-part=clock]")
        await expect(clock).to_contain_text(re.compile(r"The clock of clinic-1 is (39\.\d+|40|40\.\d+) s ahead of"))
        await expect(clock).to_contain_text("Set the clock")
        assert story.console is not None
        story.console.edges["clinic-1"].receive("vigil/1/clinic-1/bed/chair-1/state", b'{"edge":"clinic-1"}', False)
        refused = page.locator(".troubles [data-part=signatures]")
        await expect(refused).to_contain_text("Messages refused in the name of clinic-1")
        await expect(refused).to_contain_text("unsigned")
        await expect(refused).to_contain_text("Tell the technician")


async def test_a_page_older_than_its_console_says_so_and_waits_for_the_last_alarm(opened: Opened) -> None:
    story = Story(beds=1)
    with_high(story)
    with patch.object(service, "build", lambda: "another build"):
        async with opened(story) as page:
            await expect(page.locator(".banner-lock")).to_contain_text("This page is older than its console")
            async with page.expect_navigation(timeout=30_000):
                await page.get_by_role("button", name=re.compile("acknowledge")).click()


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


# --- a part of the page that fails ------------------------------------------------------------------------------------


async def test_a_part_of_the_page_that_fails_says_so_and_stops_nothing_else(opened: Opened) -> None:
    story = Story(beds=1)
    broken = [{"seq": 1, "kind": "session", "at": iso(story.now()), "late": False, "body": None}]
    async with opened(story, "/bed/chair-1") as page:
        await page.route("**/events?*", lambda route: route.fulfill(json=broken))
        await page.get_by_role("button", name="Events").click()
        await expect(page.get_by_role("dialog").get_by_role("alert")).to_contain_text("This part of the page failed")
        with_high(story)
        story.tell("chair-1")
        await expect(page.locator(".rail .row")).to_contain_text("SBP 184 above limit 180")
        await page.keyboard.press("Escape")
        await expect(page.locator("[data-alarm=a1]")).to_be_visible()


# --- by keyboard ------------------------------------------------------------------------------------------------------

FOCUSED = "document.activeElement.closest('.sheet, .rail, header, main')?.className.split(' ')[0] ?? 'nothing'"


async def test_over_a_form_tab_goes_round_it_and_the_alarms_and_finds_nothing_under_it(opened: Opened) -> None:
    story = Story(beds=2)
    with_high(story)
    async with opened(story, "/bed/chair-1") as page:
        await page.get_by_role("button", name="Session").press("Enter")
        await expect(page.get_by_role("dialog")).to_be_focused()
        places = []
        for _ in range(await page.locator(".sheet :is(button, input), .rail :is(a, button)").count()):
            await page.keyboard.press("Tab")
            places.append(await page.evaluate(FOCUSED))
        last = places.index("rail")
        assert set(places[:last]) == {"sheet"} and set(places[last:]) == {"rail"}, places
        await page.keyboard.press("Tab")
        await expect(page.get_by_role("button", name="Close", exact=True)).to_be_focused()
        await page.keyboard.press("Shift+Tab")
        assert await page.evaluate(FOCUSED) == "rail"
        await page.keyboard.press("2")  # a bed's number, were there no form
        await page.keyboard.press("w")
        await page.get_by_role("button", name="Close", exact=True).focus()
        await page.keyboard.press("a")
        await expect(page.locator(".rail .to-bed").first).to_be_focused()
        await page.keyboard.press("Escape")
        await expect(page.get_by_role("button", name="Session")).to_be_focused()
        await expect(page.locator("h1")).to_have_text("Chair 1")


async def test_what_vanishes_or_goes_grey_under_the_focus_hands_it_on(opened: Opened) -> None:
    story = Story(beds=1)
    with_high(story)
    async with opened(story, "/bed/chair-1") as page:
        acknowledge = page.locator("[data-alarm=a1] .acknowledge")
        story.refuse_next = "moved_on"
        await acknowledge.press("Enter")  # grey while it is sent
        await expect(page.locator("[data-alarm=a1] .refused")).to_be_visible()
        await expect(acknowledge).to_be_focused()
        await acknowledge.press("Enter")
        await expect(page.locator("[data-alarm=a1] .tell")).to_be_focused()
        high, (second, third) = story.beds["chair-1"].state["alarms"], (
            alarm(name, "medium", name, iso(story.now()), 60) for name in ("a2", "a3"))
        story.beds["chair-1"].state["alarms"] = [second, third]
        story.tell("chair-1")
        await page.locator("[data-alarm=a2] .acknowledge").focus()
        story.beds["chair-1"].state["alarms"] = [third]
        story.tell("chair-1")  # over, and gone: a second Enter is not to acknowledge another
        await expect(page.locator("[data-alarm=a3] .tell")).to_be_focused()
        story.beds["chair-1"].state["alarms"] = high
        await page.get_by_role("button", name="Session").press("Enter")
        for form in ("Hold the treatment…", "Close session…"):  # one form after another
            await page.get_by_role("button", name=form).press("Enter")
            await expect(page.get_by_role("dialog")).to_be_focused()
            await page.get_by_role("button", name="Back").press("Enter")
            await expect(page.get_by_role("heading", name="Session, Chair 1")).to_be_visible()
        await page.keyboard.press("Escape")
        await expect(page.get_by_role("button", name="Session")).to_be_focused()
        await page.get_by_role("button", name="Session").press("Enter")
        await page.get_by_role("button", name="Close session…").press("Enter")
        await page.get_by_role("button", name="Not started").press("Enter")
        await page.get_by_role("button", name="This patient's, over now").press("Enter")
        await page.get_by_role("button", name="Close this session").press("Enter")
        await expect(page.locator("h1")).to_be_focused()  # what opened the form is gone with the session
