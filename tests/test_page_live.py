"""Holds the page to its promises in a real browser: dead screens look dead, numbers die, alarms are seen and heard."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable

import pytest
from playwright.async_api import Page, expect

from edge.model import iso
from tests.helpers.page_browser import SCREENS, Opened, figure, until, until_drawn, with_high
from tests.helpers.page_story import Story, alarm

pytestmark = pytest.mark.slow


# Counts the console's beats as the page hears them, one a second.
BEATS = """const Socket = WebSocket; window.beats = 0;
  window.WebSocket = class extends Socket {
    constructor(...where) {
      super(...where);
      this.addEventListener('message', ({data}) => { if (data.includes('"t":"beat"')) window.beats += 1; });
    }
  };"""


async def beats(page: Page, count: int) -> None:
    """Waits until the page heard so many more beats: everything that its own clock does has then been done."""
    heard = await page.evaluate("window.beats")
    await until_drawn(page, f"window.beats >= {heard + count}")


def sounded(story: Story, seq: int) -> bool:
    """Whether the page said that it sounded event `seq`."""
    return {"t": "sounded", "edge": story.edge, "seq": seq} in story.said


# --- a dead screen looks dead -----------------------------------------------------------------------------------------


async def nothing(story: Story) -> None:
    """All is well."""


async def silence(story: Story) -> None:
    """The network swallows everything."""
    story.network.mute = True


async def broker_down(story: Story) -> None:
    """The broker goes."""
    assert story.console is not None
    story.console.edges["clinic-1"].disconnected("told so")


async def edge_down(story: Story) -> None:
    """The edge goes."""
    story.beating = False
    story.beat("dead")


async def console_gone(story: Story) -> None:
    """The console's server hangs up and does not come back."""
    story.network.hang_up()


@pytest.mark.parametrize(("breaks", "hop"), [
    (silence, "page"), (console_gone, "page"), (broker_down, "broker"), (edge_down, "edge"),
])
async def test_a_broken_hop_is_named_within_6_s_and_every_number_goes_grey(
    opened: Opened, breaks: Callable[[Story], Awaitable[None]], hop: str,
) -> None:
    story = Story(beds=2)
    async with opened(story) as page:
        await expect(figure(page, "spo2_pct")).to_have_attribute("data-standing", "live")
        await expect(page.locator(".frame")).to_have_attribute("data-live", "true")
        await breaks(story)
        banner = page.locator(".banner-not-live")
        await expect(banner).to_contain_text("NOT LIVE", timeout=6000)
        await expect(banner).to_have_attribute("data-hop", hop)
        await expect(page.locator("[data-standing=live]")).to_have_count(0)
        await expect(figure(page, "spo2_pct")).to_contain_text("97")
        await expect(figure(page, "spo2_pct")).to_contain_text("old")


async def test_it_comes_back_by_itself(opened: Opened) -> None:
    story = Story(beds=1)
    async with opened(story) as page:
        await expect(figure(page, "spo2_pct")).to_have_attribute("data-standing", "live")
        story.network.hang_up()
        await expect(page.locator(".banner-not-live")).to_be_visible(timeout=6000)
        story.network.refusing = False
        await expect(page.locator(".banner-not-live")).to_have_count(0, timeout=8000)
        await expect(figure(page, "spo2_pct")).to_have_attribute("data-standing", "live")


async def test_a_page_that_was_frozen_does_not_take_what_it_missed_for_fresh(opened: Opened) -> None:
    story = Story(beds=1)
    seen = """new MutationObserver(() => {
      const banner = document.querySelector('.banner-not-live');
      if (banner) (window.seen ??= []).push(banner.textContent);
    }).observe(document, {childList: true, subtree: true, characterData: true});"""
    async with opened(story, script=BEATS + seen) as page:
        await expect(figure(page, "spo2_pct")).to_have_attribute("data-standing", "live")
        await beats(page, 2)
        await page.evaluate("window.seen = []; const end = performance.now() + 6000; while (performance.now() < end);")
        await until_drawn(page, "window.seen.some(words => words.includes('NOT LIVE'))", within_s=3)
        await expect(page.locator(".banner-not-live")).to_have_count(0, timeout=9000)


# --- numbers ----------------------------------------------------------------------------------------------------------


async def test_a_number_dies_by_itself_with_its_age(opened: Opened) -> None:
    story = Story(beds=1, speed=4)  # 12 edge seconds are 3 of ours
    async with opened(story) as page:
        await expect(figure(page, "spo2_pct")).to_have_attribute("data-standing", "live")
        story.beds["chair-1"].speaking = False
        await expect(figure(page, "spo2_pct")).to_have_attribute("data-standing", "old", timeout=5000)
        await expect(figure(page, "spo2_pct")).to_contain_text(re.compile(r"old: \d+ s"))
        await expect(page.locator(".tile .pump")).to_have_attribute("data-standing", "old")
        await expect(figure(page, "sbp_mmhg")).to_have_attribute("data-standing", "live")  # 4 minutes old, every 5


async def test_no_value_is_a_gap_with_its_reason_and_a_pressure_has_its_age(opened: Opened) -> None:
    story = Story(beds=1)
    bed = story.beds["chair-1"]
    bed.values["spo2_pct"], bed.reasons["spo2_pct"] = None, "sensor_off"
    async with opened(story) as page:
        await expect(figure(page, "spo2_pct")).to_contain_text("Sensor off")
        await expect(figure(page, "spo2_pct").locator(".digits")).to_have_text("--")
        await expect(figure(page, "sbp_mmhg")).to_contain_text("4 min")


async def test_a_retained_state_is_last_known_and_silent(opened: Opened) -> None:
    story = Story(beds=2)
    with_high(story)
    story.beds["chair-1"].state["live"] = False
    async with opened(story) as page:
        await expect(page.locator(".last-known")).to_contain_text(re.compile(r"Last known \d\d:\d\d"))
        await expect(page.locator(".rail .row.high")).to_be_visible()
        await expect(page.locator("[data-bed=chair-1] [data-standing=live]")).to_have_count(0)
        await until(lambda: {"t": "sound", "state": "on"} in story.said, "sound is on")
        with_high(story, "chair-2").update(alarm="a2", seq=60)
        story.tell("chair-2")
        await until(lambda: sounded(story, 60), "what is new sounds")
        assert [said["seq"] for said in story.said if said["t"] == "sounded"] == [60]


async def test_what_is_next_stands_on_the_tile_and_on_the_page_while_nothing_alarms(opened: Opened) -> None:
    story = Story(beds=2)
    session = story.beds["chair-1"].state["session"]
    session["next"] = [{"what": "check_in", "text": "check-in", "at": iso(story.now() + 300)},
                       {"what": "bp", "text": "blood pressure", "at": iso(story.now() + 400)}]
    async with opened(story) as page:
        tile = page.locator(".tile[data-bed=chair-1] .headline")
        await expect(tile).to_have_text(re.compile(r"^No alarms\. Next: check-in at \d\d:\d\d$"))
        await expect(page.locator(".tile[data-bed=chair-2] .headline")).to_have_text("No alarms")
        with_high(story)
        story.tell("chair-1")
        await expect(tile).to_contain_text("SBP 184")
        await expect(tile).not_to_contain_text("Next")
        await page.goto(story.url + "/bed/chair-1")
        await expect(page.locator(".bed-head .next")).to_contain_text("Next: check-in at")
        session["next"][0]["at"] = iso(story.now() - 60)
        story.tell("chair-1")
        await expect(page.locator(".bed-head .next")).to_have_text(
            re.compile(r"^Next: check-in overdue since \d\d:\d\d$"))


@pytest.mark.parametrize(("due_in_s", "words"), [
    (None, r"next (1:0|0:5)\d$"), (605, r"next 10:0\d$|next 9:5\d$"), (-605, r"overdue 10:[01]\d$")])
async def test_when_the_next_blood_pressure_is_due_is_what_the_edge_says(
    opened: Opened, due_in_s: float | None, words: str
) -> None:
    """4 minutes after the last: the order's interval of 5 alone; a protocol that asks for one later or earlier."""
    story = Story(beds=1)
    if due_in_s is not None:
        story.beds["chair-1"].state["session"]["bp_due"] = iso(story.now() + due_in_s)
    async with opened(story) as page:
        await expect(page.locator(".tile .due")).to_have_text(re.compile(words))


# --- what is wrong, in words ------------------------------------------------------------------------------------------


async def test_a_record_that_cannot_be_written_is_said_with_what_to_do(opened: Opened) -> None:
    story = Story(beds=1)
    async with opened(story) as page:
        await expect(page.locator(".troubles")).to_have_count(0)
        story.status = {"storage": {"since": iso(story.now()), "reason": "disk full", "events": 3, "inputs": 40,
                                    "lost_inputs": 7}}
        told = page.locator(".troubles [data-part=storage]")
        await expect(told).to_contain_text("clinic-1 cannot write its record: disk full", timeout=6000)
        await expect(told).to_contain_text("in its memory alone: 3 events; 7 readings are not kept")
        await expect(told).to_contain_text("Do not switch the box off")
        await expect(page.locator(".frame")).to_have_attribute("data-live", "true")
        story.status = {}
        await expect(page.locator(".troubles")).to_have_count(0, timeout=6000)


async def test_two_boxes_with_one_name_are_said_and_nothing_they_say_is_live(opened: Opened) -> None:
    story = Story(beds=1)
    async with opened(story) as page:
        await expect(figure(page, "spo2_pct")).to_have_attribute("data-standing", "live")
        story.status = {"other_boots": ["boot-of-the-other"]}
        told = page.locator(".troubles [data-part=boxes]")
        await expect(told).to_contain_text("Two boxes call themselves clinic-1", timeout=6000)
        await expect(told).to_contain_text("Switch off the one that is not at these beds")
        await expect(page.locator("[data-standing=live]")).to_have_count(0)


async def test_a_broker_that_refuses_the_console_is_said_with_its_reason(opened: Opened) -> None:
    story = Story(beds=1)
    async with opened(story) as page:
        await expect(page.locator(".troubles")).to_have_count(0)
        assert story.console is not None
        story.console.edges["clinic-1"].disconnected("[code:5] Connection refused: not authorised")
        told = page.locator(".troubles [data-part=broker]")
        await expect(told).to_contain_text("The broker does not let this console in for clinic-1", timeout=6000)
        await expect(told).to_contain_text("not authorised")
        await expect(told).to_contain_text("user and password")


# --- alarms -----------------------------------------------------------------------------------------------------------


async def test_a_new_high_is_seen_said_heard_and_receipted(opened: Opened) -> None:
    story = Story(beds=3)
    async with opened(story) as page:
        await expect(page.locator(".calm")).to_be_visible()
        await until(lambda: {"t": "sound", "state": "on"} in story.said, "sound is on")
        with_high(story, "chair-2")
        story.tell("chair-2")
        await until(lambda: sounded(story, 50), "a receipt once it sounds", within_s=3)
        await expect(page.locator(".tile[data-bed=chair-2]")).to_have_class(re.compile("frame-high flashing"))
        await expect(page.locator("[aria-live=assertive]")).to_contain_text("HIGH alarm, Chair 2: SBP 184")
        rail = page.locator(".rail .row.high")
        await expect(rail).to_contain_text("!!!")
        await expect(rail).to_contain_text("HIGH since")


async def test_blocked_sound_says_so_and_is_never_receipted_until_a_tap(opened: Opened) -> None:
    story = Story(beds=1)
    with_high(story)
    blocked = """const Real = AudioContext; let allowed = false;
      addEventListener('pointerdown', () => { allowed = true; }, true);
      window.AudioContext = class extends Real {
        constructor() { super(); super.suspend(); }
        get state() { return allowed ? super.state : 'suspended'; }
        get currentTime() { return allowed ? super.currentTime : 0; }
        resume() { return allowed ? super.resume() : Promise.resolve(); }
      };"""
    async with opened(story, script=BEATS + blocked) as page:
        await until(lambda: {"t": "sound", "state": "blocked"} in story.said, "blocked is reported")
        banner = page.get_by_role("button", name=re.compile("Sound is off: tap to switch on"))
        await expect(banner).to_be_visible()
        await beats(page, 2)
        assert not [said for said in story.said if said["t"] == "sounded"]
        await banner.click()
        await until(lambda: sounded(story, 50), "a receipt after the tap", within_s=4)
        await expect(banner).to_have_count(0)
        assert {"t": "sound", "state": "on"} in story.said


async def test_one_tap_acknowledges_the_occurrence_seen_and_the_row_stays(opened: Opened) -> None:
    story = Story(beds=1)
    with_high(story)
    async with opened(story, "/bed/chair-1") as page:
        await page.locator("[data-alarm=a1]").wait_for()
        await page.keyboard.press("a")
        await page.keyboard.press("Enter")
        row = page.locator("[data-alarm=a1][data-state=acknowledged]")
        await expect(row).to_contain_text("✓ nurse")
        await expect(row).to_contain_text("SBP 184")
        asked = story.commands[0]
        assert (asked["verb"], asked["args"]) == ("acknowledge", {"alarm": "a1", "seq": 50})
        assert asked["csrf"]
        await row.locator(".tell").click()
        await expect(row).to_contain_text("Below 170 systolic")


@pytest.mark.parametrize(("reason", "words"), [
    ("already_acknowledged: by beate", "Already acknowledged by beate"),
    ("forbidden", "Your role may not do this"),
    ("no_answer", "may or may not have been done"),
    ("not_now: the pump is infusing; stop it first", "The pump is infusing; stop it first"),
])
async def test_a_refused_acknowledgement_says_why(opened: Opened, reason: str, words: str) -> None:
    story = Story(beds=1)
    with_high(story)
    story.refuse_next = reason
    async with opened(story, "/bed/chair-1") as page:
        await page.get_by_role("button", name=re.compile("^Acknowledge")).click()
        await expect(page.locator("[data-alarm=a1]")).to_contain_text(words, timeout=9000)
        await expect(page.locator("[data-alarm=a1]")).to_have_attribute("data-state", "active")


async def test_a_fault_of_the_console_is_told_with_its_number(opened: Opened) -> None:
    story = Story(beds=1)
    with_high(story)
    async with opened(story, "/bed/chair-1") as page:
        await page.route("**/commands", lambda route: route.fulfill(status=500, body="no JSON"))
        await page.get_by_role("button", name=re.compile("^Acknowledge")).click()
        await expect(page.locator("[data-alarm=a1]")).to_contain_text("Not done (500)")


async def test_the_rail_acknowledges_on_any_page(opened: Opened) -> None:
    story = Story(beds=2)
    with_high(story, "chair-2")
    async with opened(story, "/bed/chair-1") as page:
        row = page.locator(".rail .row.high")
        await row.get_by_role("button", name=re.compile("Chair 2: acknowledge")).click()
        await expect(row).to_contain_text("✓ nurse")
        await expect(row.get_by_role("button")).to_have_count(0)
        assert (story.commands[0]["bed"], story.commands[0]["args"]) == ("chair-2", {"alarm": "a1", "seq": 50})
        await expect(page.locator(".bed-head h1")).to_have_text("Chair 1")


async def test_the_title_carries_the_highest_alarm_and_the_heading_gets_the_focus(opened: Opened) -> None:
    story = Story(beds=2)
    with_high(story, "chair-2")
    async with opened(story) as page:
        await expect(page).to_have_title("!!! Chair 2: SBP 184 above limit 180 - Vigil")
        await page.locator(".rail .row.high a").click()
        await expect(page.locator("h1")).to_have_text("Chair 2")
        await expect(page.locator("h1")).to_be_focused()


async def test_an_alarm_kept_by_silence_says_since_when_nothing_is_heard(opened: Opened) -> None:
    story = Story(beds=1, speed=4)
    bed = story.beds["chair-1"]
    bed.state["alarms"] = [alarm("a1", "medium", "SpO₂ 88 % below limit 90 %", iso(story.now() - 60), 50,
                                 evidence=[{"metric": "spo2_pct", "value": 88, "age_s": 1.0}])]
    async with opened(story, "/bed/chair-1") as page:
        await expect(figure(page, "spo2_pct")).to_have_attribute("data-standing", "live")
        await expect(page.locator(".alarm .silent")).to_have_count(0)
        bed.speaking = False
        await expect(page.locator(".alarm .silent")).to_contain_text(
            re.compile(r"No SpO₂ heard for 0:\d\d"), timeout=8000)


async def test_what_a_bed_measures_appears_on_tile_and_page_and_trend(opened: Opened) -> None:
    story = Story(beds=2)
    story.beds["chair-1"].values.update(resp_bpm=14, etco2_mmhg=38, temp_c=36.8)
    async with opened(story) as page:
        for metric, value in (("resp_bpm", "14"), ("etco2_mmhg", "38"), ("temp_c", "36.8")):
            await expect(figure(page, metric).locator(".digits")).to_have_text(value)
        await expect(figure(page, "resp_bpm", "chair-2")).to_have_count(0)
        await page.goto(story.url + "/bed/chair-1")
        await expect(figure(page, "etco2_mmhg").locator(".digits")).to_have_text("38")
        await expect(page.locator(".plot")).to_have_count(3)
        await expect(page.locator(".trend-head")).to_contain_text("etCO₂ mmHg")


async def test_an_alarm_that_moved_on_is_not_acknowledged_unseen(opened: Opened) -> None:
    story = Story(beds=1)
    high = with_high(story)
    async with opened(story, "/bed/chair-1") as page:
        await page.locator("[data-alarm=a1]").wait_for()
        high.update(seq=51, text="SBP 201 above limit 180")
        await page.get_by_role("button", name=re.compile("^Acknowledge")).click()
        await expect(page.locator("[data-alarm=a1]")).to_contain_text("This alarm has changed, look again")
        await expect(page.locator("[data-alarm=a1]")).to_contain_text("SBP 201")
        await expect(page.locator("[data-alarm=a1]")).to_have_attribute("data-state", "active")


async def test_a_pause_counts_down_and_a_new_alarm_ends_it(opened: Opened) -> None:
    story = Story(beds=1)
    with_high(story)
    async with opened(story) as page:
        await page.get_by_role("button", name=re.compile("Pause sound")).click()
        await expect(page.locator(".sound .paused")).to_contain_text(re.compile(r"Sound paused 1:5\d"))
        low = alarm("a2", "high", "SpO₂ 84 below limit 85", iso(story.now()), 60)
        story.beds["chair-1"].state["alarms"].append(low)
        story.beds["chair-1"].state["audio_paused_until"] = None
        story.tell("chair-1")
        await expect(page.locator(".sound .paused")).to_have_count(0)
        await until(lambda: sounded(story, 60), "the new one sounds")


# --- several edges ----------------------------------------------------------------------------------------------------


async def test_two_edges_with_a_bed_of_one_name_are_two_beds(opened: Opened) -> None:
    there = Story(beds=2, edge="clinic-2")
    here = Story(beds=1, beside=there)
    with_high(there)
    with_high(here)["text"] = "SBP 199 above limit 180"
    async with opened(here) as page:
        await expect(page.locator(".tile")).to_have_count(3)
        await until(lambda: {"t": "sounded", "edge": "clinic-2", "seq": 50} in here.said, "the one there sounds")
        await until(lambda: sounded(here, 50), "and the one here, which has the same number")
        row = page.locator(".rail .row", has_text="Chair 1 (clinic-2)")
        await row.get_by_role("button", name=re.compile("acknowledge")).click()
        await expect(row).to_contain_text("✓ nurse")
        assert here.beds["chair-1"].state["alarms"][0]["state"] == "active"
        await page.get_by_role("link", name="clinic-2", exact=True).click()
        await expect(page.locator(".tile")).to_have_count(2)
        await expect(page.locator(".rail .row", has_text="SBP 199")).to_be_visible()
        await page.locator(".tile[data-bed=chair-1] a").click()
        await expect(page.locator(".bed-head h1")).to_have_text("Chair 1 (clinic-2)")
        await until(lambda: {"t": "watch", "edge": "clinic-2", "bed": "chair-1"} in here.said, "the page watches it")
        await page.goto(here.url + "/bed/chair-1")
        await expect(page.locator(".missing > p")).to_have_text("Several edges have a bed 'chair-1': choose one.")


async def test_an_edge_that_is_silent_makes_its_own_beds_not_live_and_no_others(opened: Opened) -> None:
    there = Story(beds=1, edge="clinic-2")
    here = Story(beds=1, beside=there)
    async with opened(here) as page:
        await expect(page.locator(".tile .of-spo2_pct[data-standing=live]")).to_have_count(2)
        there.beating = False
        there.beat("dead")
        await expect(page.locator(".banner-not-live")).to_contain_text("NOT LIVE: clinic-2 is silent", timeout=6000)
        await expect(page.locator(".tile[data-edge=clinic-2] [data-standing=live]")).to_have_count(0)
        await expect(page.locator(".tile[data-edge=clinic-1] .of-spo2_pct")).to_have_attribute("data-standing", "live")
        await expect(page.locator(".frame")).to_have_attribute("data-live", "true")


@pytest.mark.parametrize("skew_s", [-7200.0, 40.0])
async def test_an_edge_whose_clock_is_wrong_shows_numbers_as_old_as_they_are(opened: Opened, skew_s: float) -> None:
    async with opened(Story(beds=1, skew_s=skew_s)) as page:
        await expect(figure(page, "spo2_pct")).to_have_attribute("data-standing", "live")
        await expect(figure(page, "spo2_pct").locator(".below")).to_have_text("now")
        await expect(figure(page, "sbp_mmhg")).to_contain_text("4 min")


@pytest.mark.parametrize("screen", SCREENS)
@pytest.mark.parametrize("beds", [1, 4, 8, 16])
async def test_every_bed_every_high_and_every_digit_fits_the_screen(
    opened: Opened, screen: tuple[int, int], beds: int,
) -> None:
    story = Story(beds=beds)
    for bed in list(story.beds)[:4]:
        with_high(story, bed)
    for one in story.beds.values():
        one.values.update(spo2_pct=100, pulse_bpm=128, sbp_mmhg=184, dbp_mmhg=104)
    async with opened(story, screen=screen) as page:
        await expect(page.locator(".frame")).to_have_attribute("data-live", "true")
        await expect(page.locator(".tile")).to_have_count(beds)
        await expect(page.locator(".rail .row.high")).to_have_count(min(4, beds))
        cut = await page.evaluate("""() => {
          const out = [];
          const inside = (inner, outer) => inner.left >= outer.left - 1 && inner.right <= outer.right + 1
            && inner.top >= outer.top - 1 && inner.bottom <= outer.bottom + 1;
          const screen = {left: 0, top: 0, right: innerWidth, bottom: innerHeight};
          for (const box of document.querySelectorAll('.tile, .rail .row, .sound button'))
            if (!inside(box.getBoundingClientRect(), screen)) out.push(box.className);
          for (const digits of document.querySelectorAll('.tile .digits')) {
            const range = document.createRange(); range.selectNodeContents(digits);
            const ink = range.getBoundingClientRect();
            if (!inside({left: ink.left, right: ink.right, top: ink.top + 6, bottom: ink.bottom - 6},
                        digits.closest('.figure').getBoundingClientRect())) out.push(digits.textContent);
          }
          for (const words of document.querySelectorAll('.tile .label, .tile .below')) {
            const {top, bottom} = words.getBoundingClientRect(), box = words.closest('.figure').getBoundingClientRect();
            if (top < box.top - 4 || bottom > box.bottom + 4) out.push(words.textContent);
          }
          return out;
        }""")
        assert cut == []


async def test_with_less_motion_alarms_are_steady(opened: Opened) -> None:
    story = Story(beds=1)
    with_high(story)
    async with opened(story) as page:
        await page.emulate_media(reduced_motion="reduce")
        moving = "element => getComputedStyle(element).animationName"
        assert await page.locator(".rail .row.high").evaluate(moving) == "none"
        await page.emulate_media(reduced_motion="no-preference")
        assert await page.locator(".rail .row.high").evaluate(moving) == "high"


async def test_critical_buttons_are_at_least_64_pixels(opened: Opened) -> None:
    story = Story(beds=1)
    with_high(story)
    async with opened(story, "/bed/chair-1", screen=(1024, 768)) as page:
        for button in (".acknowledge", ".actions button >> nth=0", ".sound .pause"):
            box = await page.locator(button).bounding_box()
            assert box is not None
            assert min(box["width"], box["height"]) >= 64, button


# --- people and pictures ----------------------------------------------------------------------------------------------


async def test_the_bed_draws_its_pleth_and_its_trend(opened: Opened) -> None:
    story = Story(beds=2)
    async with opened(story, "/bed/chair-1") as page:
        await until(lambda: {"t": "watch", "edge": "clinic-1", "bed": "chair-1"} in story.said,
                    "the page watches its bed")
        for canvas in (".pleth canvas", ".plot canvas"):
            await until_drawn(page, f"""(() => {{
              const canvas = document.querySelector('{canvas}');
              const {{data}} = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
              return data.filter(Boolean).length > 2000;
            }})()""")


async def test_simulated_and_the_statement_are_always_in_sight(opened: Opened) -> None:
    story = Story(beds=1)
    async with opened(story) as page:
        for path in ("/", "/bed/chair-1"):
            await page.goto(story.url + path)
            await expect(page.locator("header")).to_contain_text("SIMULATED - NOT A PATIENT")
            await expect(page.locator(".watermark")).to_be_visible()
            await expect(page.locator("footer")).to_contain_text("not cleared or certified as a medical device")


async def test_a_technician_sees_devices_by_trouble_and_no_clinical_button(opened: Opened) -> None:
    story = Story(beds=2, role="technician", simulated=False)
    with_high(story)
    story.beds["chair-2"].state["devices"][1].update(link="silent", since=iso(story.now() - 42))
    async with opened(story, "/devices") as page:
        await expect(page.locator("tbody tr").first).to_contain_text("No data from oximeter")
        await page.goto(story.url + "/bed/chair-1")
        await expect(page.locator(".tile")).to_have_count(2)
        for words in ("Acknowledge", "Check-in", "Pause sound", "Start session"):
            await expect(page.get_by_role("button", name=words)).to_have_count(0)
        await expect(page.locator(".tile a, .rail a, .watermark")).to_have_count(0)
        assert not [said for said in story.said if said["t"] == "sound"]


async def test_signing_in_and_out(opened: Opened) -> None:
    story = Story(beds=1)
    story.signed_in = False
    async with opened(story) as page:
        await page.get_by_label("Name").fill("nurse")
        await page.get_by_label("Password").fill("wrong")
        await page.get_by_role("button", name="Sign in").click()
        await expect(page.get_by_role("alert")).to_contain_text("Name or password is wrong")
        await page.get_by_label("Password").fill("right")
        await page.keyboard.press("Enter")
        await expect(figure(page, "spo2_pct")).to_have_attribute("data-standing", "live")
        await page.get_by_role("button", name="Sign out").click()
        await expect(page.get_by_label("Password")).to_be_visible()
        assert "Anna" not in await page.content()
        assert "Anna" not in await page.evaluate("JSON.stringify([localStorage, sessionStorage])")
