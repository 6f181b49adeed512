"""What all tests stand on: how properties are searched, and the browser that the pages' tests share.

Properties try the same examples in every run, so that a failure is a change's and never the dice's;
`./test -m "not slow" --hypothesis-profile=explore` looks further, with new examples each time.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

if TYPE_CHECKING:  # each process of a run reads this file, and few of them open a browser
    from playwright.async_api import Browser

    from tests.helpers.page_browser import Opened

# The files that take the longest. Those that do little but wait run beside all of them (./test), the first two first.
LONGEST = ("test_demo_story.py", "test_demo_day.py", "test_stream.py", "test_probe.py", "test_stories.py",
           "test_recorded.py", "test_demo_page.py", "test_page_live.py", "test_wires_that_lie.py", "test_page_sizes.py",
           "test_journal_damage.py", "test_page_sight.py", "test_console_openapi.py", "test_postgres_journal.py")

settings.register_profile("steady", deadline=None, derandomize=True)
settings.register_profile("explore", deadline=None, max_examples=1000)
settings.load_profile("steady")
gc.disable()  # what collecting thousands of tests makes stays: to look through it again and again took 5 s a worker


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Side by side, the last test to start decides when all are done: the long ones start early."""
    def turn(item: pytest.Item) -> int:
        if item.path.name in LONGEST:
            return LONGEST.index(item.path.name)
        return len(LONGEST) + (item.get_closest_marker("long") is None)

    items.sort(key=turn)


def pytest_collection_finish() -> None:
    """From here on garbage is collected, seldom, and what is there by now is no garbage."""
    if "edge.migrating" in sys.modules:
        from tests.helpers import new_tables

        new_tables.install()
    gc.enable()
    gc.freeze()
    gc.set_threshold(100_000, 20, 100)


@pytest.fixture(scope="module")
async def browser() -> AsyncIterator[Browser]:
    """Chromium on the page as its sources are now."""
    from tests.helpers.page_browser import chromium

    async with chromium() as started:
        yield started


@pytest.fixture
def opened(browser: Browser) -> Opened:
    """Opens a page on a story."""
    from tests.helpers.page_browser import opener

    return opener(browser)
