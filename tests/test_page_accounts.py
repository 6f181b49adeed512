"""Holds the administrator's page: accounts are added, given passwords and disabled on it, the audit is read, no bed is
seen; on a phone and on a desk, by touch and by keyboard alone."""

from __future__ import annotations

import re

import pytest
from playwright.async_api import Page, expect

from edge.console import accounts
from tests.helpers.page_browser import Opened, complaints, until
from tests.helpers.page_story import PASSWORD, Story

pytestmark = pytest.mark.slow
SCREENS = ((390, 844), (1280, 800))
FRESH = "a fresh password"


async def fits(page: Page) -> list[str]:
    """What is wider than the screen, and targets smaller than a finger."""
    found: list[str] = await page.evaluate("""() => [
      ...[document.documentElement, ...document.querySelectorAll('.scroll, main')]
        .filter(box => box.scrollWidth > box.clientWidth + 1).map(box => `${box.className} is too wide`),
      ...[...document.querySelectorAll('button, select, input')].filter(one => one.checkVisibility())
        .filter(one => one.getBoundingClientRect().height < 44)
        .map(one => `${one.textContent || one.name} is small`)]""")
    return found


@pytest.mark.parametrize("screen", SCREENS, ids=lambda screen: f"{screen[0]}px")
async def test_accounts_are_managed_on_the_page_and_no_bed_is_seen(
        opened: Opened, screen: tuple[int, int]) -> None:
    story = Story(beds=2, role="administrator")
    async with opened(story, "/bed/chair-1", screen=screen) as page:
        await page.emulate_media(reduced_motion="reduce")
        await expect(page.get_by_role("heading", name="Accounts")).to_be_visible()
        await expect(page.locator("[data-bed], [data-metric], .rail")).to_have_count(0)
        await page.get_by_role("button", name="Add an account").click()
        form = page.get_by_role("form", name="Add an account")
        assert await fits(page) == [] and await complaints(page) == []
        await form.get_by_label("Name").fill("nina")
        await form.get_by_label("Role").select_option("nurse")
        await form.locator("[name=password]").fill(FRESH)
        await form.locator("[name=again]").fill(f"{FRESH}!")
        await form.get_by_role("button", name="Add this account").click()
        await expect(form.get_by_role("alert")).to_have_text("The two passwords differ. Type both again.")
        await form.locator("[name=again]").fill(FRESH)
        await form.get_by_role("button", name="Add this account").click()
        await expect(page.get_by_role("status")).to_have_text("nina can sign in")
        nina = page.locator("[data-account=nina]")
        await expect(nina).to_contain_text("nurse")
        await nina.get_by_role("button", name="Disable").click()
        await expect(page.get_by_role("heading", name="Disable nina")).to_be_focused()  # and so in sight
        await page.get_by_role("button", name="Disable this account").click()
        await expect(nina).to_contain_text("disabled")
        await expect(nina.get_by_role("button", name="Disable")).to_have_count(0)
        await nina.get_by_role("button", name="New password").click()
        await page.locator("[name=password]").fill(FRESH)
        await page.locator("[name=again]").fill(FRESH)
        await page.get_by_role("button", name="Set this password").click()
        await expect(nina).not_to_contain_text("disabled")
        audit = page.get_by_role("region", name="Audit")
        await expect(audit.locator("li").first).to_contain_text("account given a new password and enabled")
        await expect(audit).to_contain_text("account disabled")
        assert FRESH not in await page.content()
        assert await fits(page) == [] and await complaints(page) == []


async def test_the_last_administrator_is_told_and_stays_by_keyboard_alone(opened: Opened) -> None:
    async with opened(Story(beds=1, role="administrator"), "/") as page:
        await expect(page.locator("[data-account=nurse]")).to_be_visible()
        for _ in range(12):
            await page.keyboard.press("Tab")
            if await page.evaluate("document.activeElement.textContent") == "Disable…":
                break
        await page.keyboard.press("Enter")
        submit = page.get_by_role("button", name="Disable this account")
        await submit.focus()
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("alert")).to_have_text(re.compile("is the last administrator"))
        await expect(page.locator("[data-account=nurse]")).not_to_contain_text("disabled")


async def test_a_screen_whose_account_is_disabled_goes_to_the_sign_in(opened: Opened) -> None:
    story = Story(beds=1)
    async with opened(story, "/") as page:
        await expect(page.locator("[data-bed=chair-1]")).to_be_visible()
        assert story.console is not None
        hashed = accounts.DISABLED + accounts.hash_password(PASSWORD)
        story.console.store.now(accounts.put_account, "nurse", hashed, "nurse", story.console_s())
        feed = story.console.feed
        await until(lambda: not feed.keys(), "the page is cut")
        await expect(page.get_by_role("heading", name="Vigil")).to_be_visible()
        await expect(page.get_by_role("alert")).to_contain_text("was signed out")
