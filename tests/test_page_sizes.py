"""Holds the page to every size it is used at: no digit in part, no text over another, every target large enough to hit.

The sizes are a telephone, two tablets, a laptop and a wall screen, and the laptop at 200 % zoom (half the CSS pixels).
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from playwright.async_api import Page, expect

from edge.contract.broker_said import Refusals, RefusedClient
from edge.model import iso
from tests.helpers.page_browser import Opened, cut_off, until_drawn
from tests.helpers.page_story import Story, busy, crowded

pytestmark = pytest.mark.slow

SIZES = {"390": (390, 844), "768": (768, 1024), "1024": (1024, 768), "1280": (1280, 800), "1920": (1920, 1080),
         "zoomed": (640, 400)}
TARGET_PX = 44  # WCAG 2.5.5

# Every text with a digit in a tile, in the rail or among a bed's numbers is whole, or not drawn at all: "184" cut short
# reads "18".
DIGITS = """() => {
  const found = [];
  for (const box of document.querySelectorAll('.tile, .numbers, .rail .row')) {
    const walker = document.createTreeWalker(box, NodeFilter.SHOW_TEXT);
    while (walker.nextNode()) {
      const node = walker.currentNode;
      if (!/[0-9]/.test(node.textContent) || !node.parentElement.checkVisibility({visibilityProperty: true})) continue;
      const range = document.createRange();
      range.selectNodeContents(node);
      for (const ink of range.getClientRects()) {
        for (let outer = node.parentElement; outer !== box.parentElement; outer = outer.parentElement) {
          const style = getComputedStyle(outer);
          if (outer !== box && style.overflowX === 'visible' && !outer.matches('.figure')) continue;
          if (style.textOverflow === 'ellipsis') break;
          const clip = outer.getBoundingClientRect(), high = ink.height * 0.25;
          const none = ink.top >= clip.bottom - high || ink.bottom <= clip.top + high || ink.left >= clip.right;
          if (none) break;
          if (ink.left < clip.left - 0.5 || ink.right > clip.right + 0.5
              || ink.top < clip.top - high || ink.bottom > clip.bottom + high) {
            found.push(`${node.textContent} leaves ${outer.className}`);
            break;
          }
        }
      }
    }
  }
  return found;
}"""

# Every text a person may read, by what is scrolled with it: none lies over another.
OVERLAPS = """() => {
  const found = [];
  const layers = '.sheet-foot, .sheet, .sound-test, .actions, .rail, header, footer, thead, .scroll';
  const layerOf = element => element.closest(layers);
  const texts = [];
  const walker = document.createTreeWalker(document.querySelector('#page'), NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const node = walker.currentNode, element = node.parentElement;
    if (node.textContent.trim() === '' || element.closest('.watermark, .unseen, canvas, option, .u-over')) continue;
    if (!element.checkVisibility({visibilityProperty: true})) continue;
    const range = document.createRange();
    range.selectNodeContents(node);
    for (const rect of range.getClientRects()) {
      let clip = {left: -1e6, top: -1e6, right: 1e6, bottom: 1e6};
      for (let outer = element; outer !== null; outer = outer.parentElement) {
        if (getComputedStyle(outer).overflowY === 'visible') continue;
        const box = outer.getBoundingClientRect();
        clip = {left: Math.max(clip.left, box.left), top: Math.max(clip.top, box.top),
                right: Math.min(clip.right, box.right), bottom: Math.min(clip.bottom, box.bottom)};
      }
      const shrink = rect.height * 0.2; // a line box is taller than its ink
      const seen = {left: Math.max(rect.left, clip.left), right: Math.min(rect.right, clip.right),
                    top: Math.max(rect.top + shrink, clip.top), bottom: Math.min(rect.bottom - shrink, clip.bottom)};
      if (seen.right - seen.left > 1 && seen.bottom - seen.top > 1)
        texts.push({...seen, node, words: node.textContent.trim(), layer: layerOf(element)});
    }
  }
  for (let i = 0; i < texts.length; i += 1) for (let j = i + 1; j < texts.length; j += 1) {
    const a = texts[i], b = texts[j];
    if (a.layer !== b.layer || a.node === b.node) continue; // lines of one text are the browser's to set
    if (Math.min(a.right, b.right) - Math.max(a.left, b.left) > 1.5
        && Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > 1.5) found.push(`${a.words} / ${b.words}`);
  }
  return found;
}"""

SIDEWAYS = """() => [document.documentElement, ...document.querySelectorAll(
    'header, .scroll, main, .rail-rows, .sheet-body, .devices .table')]
  .filter(box => box.scrollWidth > box.clientWidth + 1)
  .map(box => `${box.className} ${box.scrollWidth} > ${box.clientWidth}`)"""

SMALL = f"""() => [...document.querySelectorAll('button, a[href], select, input, textarea')].filter(target => {{
  if (!target.checkVisibility({{visibilityProperty: true}}) || target.closest('.unseen')) return false;
  const box = target.getBoundingClientRect();
  return box.width < {TARGET_PX} || box.height < {TARGET_PX};
}}).map(target => `${{target.textContent || target.name}} ${{Math.round(target.getBoundingClientRect().width)}}x`
  + Math.round(target.getBoundingClientRect().height))"""


async def in_sight(page: Page, target: Any) -> None:
    """The whole of `target` is on the screen, and nothing lies over its middle."""
    await target.scroll_into_view_if_needed()
    await expect(target).to_be_in_viewport(ratio=0.98)
    over = await target.evaluate("""element => {
      const {left, top, width, height} = element.getBoundingClientRect();
      const hit = document.elementFromPoint(left + width / 2, top + height / 2);
      return element.contains(hit) || hit?.contains(element) || hit?.matches('.tile .cover') ? null : hit?.className;
    }""")
    assert over is None


# What a tile or the ward has no room for: a tile's parts that leave it, and digits that it therefore does not draw.
CRAMPED = """() => [
  ...[...document.querySelectorAll('.tile')].filter(tile => tile.scrollHeight > tile.clientHeight)
    .map(tile => `${tile.dataset.bed} holds ${tile.scrollHeight} in ${tile.clientHeight}`),
  ...[...document.querySelectorAll('.figure .digits')]
    .filter(digits => !digits.checkVisibility({visibilityProperty: true}))
    .map(digits => `${digits.textContent} is not drawn`)]"""


# A form's label that leaves its column, under the input beside it; a pressure's rise of which half a line is drawn.
HALVES = """() => [
  ...[...document.querySelectorAll('label span')].filter(label => label.scrollWidth > label.clientWidth + 1),
  ...[...document.querySelectorAll('.numbers .baseline')].filter(rise => [...rise.getClientRects()]
    .some(line => line.bottom > rise.closest('.numbers > *').getBoundingClientRect().bottom + 1))]
  .map(element => `${element.textContent} is not drawn whole`)"""


# A troubled device's bar, where it lies over the first letter of its bed.
COVERED = """() => [...document.querySelectorAll('.devices tr')].flatMap(row => [row, row.cells[0]])
  .map(box => getComputedStyle(box))
  .filter(({boxShadow, paddingLeft}) => boxShadow !== 'none' && parseFloat(paddingLeft) < 10).length"""


async def sound(page: Page, size: str = "") -> None:
    """Nothing cut, overlaid, too small or wider than the screen."""
    for measure in (DIGITS, SIDEWAYS, OVERLAPS, SMALL, CRAMPED, HALVES):
        assert (size, await page.evaluate(measure)) == (size, [])


async def resized(page: Page) -> AsyncIterator[str]:
    """The page at each size in turn, drawn anew."""
    for size, (width, height) in SIZES.items():
        await page.set_viewport_size({"width": width, "height": height})
        await page.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
        await page.evaluate("""() => document.querySelectorAll('.scroll, main, .table')
          .forEach(box => box.scrollTo(0, 0))""")
        yield size


async def live(page: Page) -> None:
    """Waits until the page is live."""
    await expect(page.locator(".frame")).to_have_attribute("data-live", "true", timeout=20_000)


@pytest.mark.parametrize("beds", [4, 30])
async def test_the_ward_at_every_size(opened: Opened, beds: int) -> None:
    async with opened(busy(beds)) as page:
        await live(page)
        await expect(page.locator(".tile")).to_have_count(beds)
        await expect(page.locator(".tile .figure.of-sbp_mmhg .digits").last).to_have_text("188/111")
        async for size in resized(page):
            await sound(page, size)
            for name in ("Sign out", "Chair 1: acknowledge Blood pressure 188/111 mmHg: severe hypertension"):
                await in_sight(page, page.get_by_role("button", name=name))
            await in_sight(page, page.locator(".tile").last.locator(".digits").first)


async def test_the_ward_while_nothing_can_be_stored_at_every_size(opened: Opened) -> None:
    story = busy(30)
    story.status = {"storage": {"since": iso(story.now() - 90), "reason": "disk full", "events": 12, "inputs": 4711}}
    async with opened(story) as page:
        await live(page)
        await expect(page.locator(".troubles")).to_contain_text("clinic-1 cannot write its record: disk full")
        async for size in resized(page):
            await sound(page, size)


async def test_a_bed_at_every_size(opened: Opened) -> None:
    async with opened(busy(4), "/bed/chair-1") as page:
        await live(page)
        await expect(page.locator(".numbers .of-spo2_pct .digits")).to_have_text("100")
        async for size in resized(page):
            await sound(page, size)
            for button in ("Check-in", "Sign out", "Acknowledge: "):
                await in_sight(page, page.get_by_role("button", name=button, exact=False).first)
            await page.get_by_role("button", name="Check-in").click()
            await sound(page, size)
            await in_sight(page, page.get_by_role("button", name="Save check-in"))
            await page.keyboard.press("Escape")


async def test_a_bed_with_five_high_alarms_at_every_size(opened: Opened) -> None:
    async with opened(crowded(busy(4)), "/bed/chair-1") as page:
        await live(page)
        await expect(page.locator(".rail .row.high")).to_have_count(5)
        async for size in resized(page):
            if size in ("390", "zoomed", "1920"):  # there the rows are scrolled; there is room for them
                continue
            await sound(page, size)
            await page.locator(".actions .go").press("Enter")
            await expect(page.get_by_role("dialog")).to_be_focused()
            for measure in (DIGITS, OVERLAPS):
                assert (size, await page.evaluate(measure)) == (size, [])
            assert (size, await cut_off(page, ".rail .what b, .numbers .digits, .numbers .below")) == (size, [])
            await page.keyboard.press("Escape")


async def test_all_that_can_be_asked_of_a_session_at_every_size(opened: Opened) -> None:
    async with opened(busy(4, "prescriber"), "/bed/chair-1") as page:
        await live(page)
        await page.get_by_role("button", name="Session").click()
        sheet = page.get_by_role("dialog")
        await expect(sheet.get_by_role("button", name="Amend order…")).to_have_count(1)
        async for size in resized(page):
            await sound(page, size)
            for button in await sheet.get_by_role("button").all():
                await button.evaluate("element => element.scrollIntoView({block: 'nearest'})")  # as by the keyboard
                await in_sight(page, button)
        await page.set_viewport_size({"width": 390, "height": 844})
        await sheet.get_by_role("button", name="Disconnect a device…").click()  # far down, and it opens at its head
        await expect(sheet.get_by_role("heading")).to_have_text("Disconnect a device, Chair 1")
        for shown in (sheet.get_by_role("heading"), sheet.get_by_role("button", name="Cuff")):
            await expect(shown).to_be_in_viewport(ratio=0.98)


# --- a bed that measures more than most: a capnometer of the clinic's own, and what else the vocabulary knows -------

CAPNOMETER = {"resp_bpm": (14, "Respiration", "14"), "etco2_mmhg": (38, "etCO₂", "38")}
MORE = {**CAPNOMETER, "heart_rate_bpm": (73, "Heart rate", "73"), "temp_c": (36.8, "Temperature", "36.8"),
        "perfusion_index_pct": (4.2, "Perfusion index", "4.2")}

# The lines of the legend of whose colour no pixel is drawn in any plot.
UNDRAWN = """() => {
  const drawn = new Set();
  for (const canvas of document.querySelectorAll('.plots canvas')) {
    const {data} = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
    for (let i = 0; i < data.length; i += 4)
      if (data[i + 3] > 250) drawn.add(`rgb(${data[i]}, ${data[i + 1]}, ${data[i + 2]})`);
  }
  return [...document.querySelectorAll('.trend-head b')].filter(b => !drawn.has(getComputedStyle(b).color))
    .map(b => b.textContent);
}"""


# How much of what is scrolled is seen between the bar of what to do and the page's lower edge.
BELOW_THE_BAR = """() => {
  const [main, bar] = ['main', '.actions'].map(one => document.querySelector(one));
  main.scrollTop = getComputedStyle(bar).position === 'sticky' ? 30 : 0;
  const left = main.scrollTop === 0 ? 0 : main.getBoundingClientRect().bottom - bar.getBoundingClientRect().bottom;
  main.scrollTop = 0;
  return left;
}"""


def measuring(told: dict[str, tuple[float, str, str]]) -> Story:
    """A quiet ward whose first bed has such a device."""
    story = Story(beds=2)
    story.beds["chair-1"].values.update({metric: value for metric, (value, *_) in told.items()})
    return story


@pytest.mark.parametrize("told", [CAPNOMETER, MORE], ids=["capnometer", "more"])
async def test_what_a_bed_measures_besides_has_a_tile_a_line_and_a_place_on_the_ward(
        opened: Opened, told: dict[str, tuple[float, str, str]]) -> None:
    async with opened(measuring(told), "/bed/chair-1") as page:
        await live(page)
        async for size in resized(page):
            for metric, (_, label, digits) in told.items():
                tile = page.locator(f".numbers [data-metric={metric}]")
                await expect(tile.locator(".label")).to_contain_text(label)
                await expect(tile.locator(".digits")).to_have_text(digits)
                await expect(tile.locator(".below")).to_have_text("now")
                await tile.evaluate("tile => tile.scrollIntoView({block: 'center'})")
                await in_sight(page, tile)
                await expect(page.locator(".trend-head")).to_contain_text(label)
            assert await cut_off(page, ".further-tiles .digits") == []
            assert await page.evaluate(BELOW_THE_BAR) < 1, size
            await until_drawn(page, f"({UNDRAWN})().length === 0")
            await sound(page, size)
            await in_sight(page, page.get_by_role("button", name="Check-in"))
            await page.get_by_role("button", name="Check-in").press("Enter")
            await expect(page.get_by_role("button", name="Save check-in")).to_be_in_viewport(ratio=0.98)  # unscrolled
            assert (size, await page.evaluate(HALVES)) == (size, [])
            await page.keyboard.press("Escape")
        await page.goto(page.url.replace("/bed/chair-1", "/"))
        await live(page)
        for metric, (_, _, digits) in list(told.items())[:2]:
            await expect(page.locator(f".tile[data-bed=chair-1] [data-metric={metric}] .digits")).to_have_text(digits)
        async for size in resized(page):
            await sound(page, size)
            assert await cut_off(page, ".tile [data-metric=resp_bpm] .digits, .tile [data-metric=etco2_mmhg] .digits"
                                 ) == []


async def test_the_order_form_at_every_size(opened: Opened) -> None:
    story = busy(4)
    story.beds["chair-1"].state.update(session=None, patient=None)
    async with opened(story, "/bed/chair-1") as page:
        await page.get_by_role("button", name="Start session").click()
        async for size in resized(page):
            await sound(page, size)
            await in_sight(page, page.get_by_role("button", name="Read back"))


def with_wires(story: Story) -> Story:
    """Every device with what went over its wire."""
    at = iso(story.now() - 60)
    minute = {"at": at, "frames": 1042, "bad": 3, "late": 1, "timeouts": 2, "received": 88211, "understood": 87950,
              "foreign": 261}
    frames = [{"at": at, "sent": sent, "hex": " ".join(["02 41 4c 41 52 49 53 5f 53 54 41 54 55 53 03 5d 7e"] * 3),
               "says": "status"}
              for sent in (True, False)]
    for bed in story.beds.values():
        for device in bed.state["devices"]:
            device["line"] = {"expected": "8002-51740", "timeouts": 2, "response_s": 0.041, "minutes": [minute] * 3,
                              "frames": frames}
    return story


def refusing(story: Story) -> None:
    """The broker has refused two programs, with long names."""
    at = iso(story.now() - 60)
    one = RefusedClient(why="topic", user="console-of-the-second-floor", client="c" * 64, count=4711, first=at, last=at,
                        what="write vigil/1/clinic-1/bed/chair-1/state")
    said = Refusals(since=at, refused=(one, msgspec.structs.replace(one, why="password", user=None, count=1)))
    assert story.console is not None
    story.console.links["clinic-1"] = SimpleNamespace(broker_said=said)  # type: ignore[assignment]


async def test_a_technician_is_told_whom_the_broker_refused_and_a_nurse_is_not(opened: Opened) -> None:
    story = busy(1, "technician")
    async with opened(story, "/devices") as page:
        await expect(page.locator(".devices")).to_contain_text("stands in its own log")
        refusing(story)
        await expect(page.locator(".refused summary")).to_contain_text("The broker refused 2 programs", timeout=8_000)
        await expect(page.locator(".refused li").first).to_contain_text(
            re.compile(r"User console-of-the-second-floor.*write vigil/1/clinic-1/bed/chair-1/state.*4711 times"))
        await expect(page.locator(".refused li").last).to_contain_text(re.compile("No user name.*If it is ours"))
        async for size in resized(page):
            await sound(page, size)
    nurse = busy(1)
    async with opened(nurse) as page:
        refusing(nurse)
        assert (await (await page.request.get(nurse.url + "/api/devices")).json())["broker"] is None


@pytest.mark.parametrize("beds", [4, 30])
async def test_the_devices_and_their_wires_at_every_size(opened: Opened, beds: int) -> None:
    async with opened(with_wires(busy(beds, "technician")), "/devices") as page:
        await expect(page.locator("main h1")).to_have_text("Devices")
        await live(page)
        await page.get_by_role("button", name="Wire").first.click()
        await expect(page.locator(".wire-told")).to_contain_text("95 % of the responses within 41 ms")
        async for size in resized(page):
            await sound(page, size)
            await in_sight(page, page.get_by_role("button", name="Sign out"))
            await in_sight(page, page.locator("tbody tr").last.locator("td").first)
            assert (size, await page.evaluate(COVERED)) == (size, 0)
        find = page.get_by_label("Find")
        for wanted, count in (("chair 2", 33 if beds == 30 else 3), ("CHAIR 2 PUMP", 1), ("no such thing", 0)):
            await find.fill(wanted)
            await expect(page.locator("tbody tr[data-device]")).to_have_count(count)
        await expect(page.locator(".devices")).to_contain_text("No device is found by “no such thing”.")


async def test_the_simulation_page_at_every_size(opened: Opened) -> None:
    async with opened(busy(4, "technician"), "/simulation") as page:
        await expect(page.locator("main h1")).to_have_text("Simulation")
        async for size in resized(page):
            await sound(page, size)
            await in_sight(page, page.get_by_role("button", name="Sign out"))


async def test_signing_in_at_every_size(opened: Opened) -> None:
    story = busy(1)
    story.signed_in = False
    async with opened(story) as page:
        await expect(page.get_by_label("Password")).to_be_visible()
        async for size in resized(page):
            await sound(page, size)
            await in_sight(page, page.get_by_role("button", name="Sign in"))
