"""The stop of a pump over the whole service, as two nurses see it: simulated New Era, edge, broker, console, Chromium.
Two people arm it, an alarm stops the pump, its own word confirms it; and without that word it is HIGH, and says so."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.async_api import Browser, Page, expect

from edge.cli.installation import make_installation
from edge.console.accounts import ensure_user
from edge.demo.configuration import free_port
from tests.helpers.page_browser import chromium
from tests.helpers.waiting import until

pytestmark = [pytest.mark.slow, pytest.mark.long]

NURSES = (("anna", "anna's password"), ("ben", "ben's password"))
BED = "/api/edges/clinic-1/beds/chair-1"
ORDER = {"weight_kg": 70, "dose_mg_kg": 0.5, "duration_min": 40, "concentration_mg_ml": 1, "checklist": True}


@dataclass
class Service:
    """What was started, each its own process, and who is logged in over HTTP."""

    folder: Path
    started: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    url: str = ""
    http: httpx.AsyncClient = field(default_factory=httpx.AsyncClient)
    csrf: str = ""

    def start(self, name: str, *arguments: str) -> None:
        log = (self.folder / f"{name}.log").open("wb")
        self.started[name] = subprocess.Popen([sys.executable, "-m", "edge.cli", *arguments], stdout=log, stderr=log)

    def log(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text()

    async def hand(self, **words: Any) -> None:
        """A hand at the simulated pump."""
        reader, writer = await asyncio.open_unix_connection(self.folder / "hands")
        writer.write(json.dumps({"bed": "chair-1", "device": "new-era"} | words).encode() + b"\n")
        assert json.loads(await reader.readline()) == {"ok": True}
        writer.close()

    async def ask(self, verb: str, **args: Any) -> httpx.Response:
        return await self.http.post(f"{BED}/commands", json={"verb": verb, "args": args},
                                    headers={"X-CSRF": self.csrf, "Origin": self.url})

    async def state(self) -> dict[str, Any]:
        beds = (await self.http.get("/api/beds")).json()
        return beds[0]["state"] or {} if beds else {}

    async def wait(self, holds: Any, what: str) -> None:
        for _ in range(400):
            with contextlib.suppress(httpx.TransportError):
                if holds(await self.state()):
                    return
            await asyncio.sleep(0.05)
        raise AssertionError(f"{what}: {await self.state()}")


@contextlib.asynccontextmanager
async def serving(folder: Path) -> AsyncIterator[Service]:
    """The whole of it, with a pump that infuses in a session."""
    service, mqtt, http = Service(folder), free_port(), free_port()
    clinic = folder / "clinic"
    make_installation(clinic, "clinic-1", 1)
    try:
        service.start("broker", "broker", "--port", str(mqtt))
        service.start("simulators", "simulate", "new_era", "nonin", "--json", "--control", str(folder / "hands"))
        await until(lambda: "twins" in service.log("simulators"), 30, "the simulators", 0.05)
        at = {twin["driver"]: twin["at"] for twin in json.loads(service.log("simulators").splitlines()[0])["twins"]}
        edge = (clinic / "edge.toml").read_text().split("\n[[bed]]")[0].replace(":1883", f":{mqtt}")
        edge = edge.replace("[edge]\n", '[edge]\ninterlock = "stop_only"\n')
        (clinic / "edge.toml").write_text(f"""{edge}
[[bed]]
id = "chair-1"
[[bed.device]]
id = "pump"
driver = "new_era"
at = "{at['new_era']}"
[[bed.device]]
id = "oximeter"
driver = "nonin"
at = "{at['nonin']}"
""")
        console = (clinic / "console.toml").read_text().replace(":1883", f":{mqtt}")
        console = console.replace("# port = 8080", f"port = {http}")
        (clinic / "console.toml").write_text(console)
        for name, password in NURSES:
            ensure_user(clinic / "data" / "console.db", name, password, "nurse", 1.0)
        service.start("edge", "edge", "--config", str(clinic / "edge.toml"))
        service.start("console", "console", "--config", str(clinic / "console.toml"))
        service.url = f"http://127.0.0.1:{http}"
        service.http = httpx.AsyncClient(base_url=service.url, timeout=10)
        await _in_a_session(service)
        yield service
    finally:
        await service.http.aclose()
        for process in reversed(service.started.values()):
            process.send_signal(signal.SIGCONT)
            process.terminate()
        for process in service.started.values():
            process.wait(15)


async def _in_a_session(service: Service) -> None:
    name, password = NURSES[0]
    for _ in range(400):
        with contextlib.suppress(httpx.TransportError):
            told = await service.http.post("/api/login", json={"name": name, "password": password},
                                           headers={"Origin": service.url})
            service.csrf = told.json()["csrf"]
            break
        await asyncio.sleep(0.1)
    await service.wait(lambda state: [one["link"] for one in state.get("devices", ())] == ["live", "live"], "devices")
    assert (await service.ask("start_session", **ORDER)).status_code == 200
    await service.hand(do="program", rate_ml_h=52.5, vtbi_ml=35)
    await service.hand(do="start")
    await service.wait(lambda state: state["session"]["phase"] == "INFUSING", "the pump infuses")


async def opened(browser: Browser, service: Service, who: tuple[str, str], screen: tuple[int, int]) -> Page:
    """The bed's page, of whoever is logged in there."""
    context = await browser.new_context(viewport={"width": screen[0], "height": screen[1]}, base_url=service.url)
    login = {"name": who[0], "password": who[1]}
    assert (await context.request.post("/api/login", data=login, headers={"Origin": service.url})).ok
    page = await context.new_page()
    await page.goto("/bed/chair-1")
    return page


def stop_of(state: dict[str, Any]) -> str | None:
    stop = state["interlock"]["stop"]
    return stop and str(stop["state"])


async def arm(page: Page) -> None:
    await page.get_by_role("button", name="Session").click()
    await page.get_by_role("button", name="Arm the stop of the pump…", exact=True).click()
    await page.get_by_role("dialog").locator("button.go").click()


async def shot(page: Page, name: str) -> None:
    """A picture, where somebody wants to look (VIGIL_PICTURES=FOLDER)."""
    if folder := os.environ.get("VIGIL_PICTURES"):
        await page.screenshot(path=Path(folder) / f"{name}.png")


async def test_an_armed_stop_is_confirmed_by_the_pump_and_without_its_word_is_high(tmp_path: Path) -> None:
    async with serving(tmp_path) as service, chromium() as browser:
        anna = await opened(browser, service, NURSES[0], (390, 844))
        ben = await opened(browser, service, NURSES[1], (1280, 800))
        await arm(anna)
        await expect(ben.locator(".bed-head")).to_contain_text("anna")
        await shot(ben, "asked-1280")
        await arm(anna)
        await expect(anna.get_by_role("dialog").get_by_role("alert")).to_be_visible()  # nobody is two people
        await shot(anna, "refused-390")
        await anna.keyboard.press("Escape")
        await arm(ben)
        await service.wait(lambda state: state["interlock"]["state"] == "armed", "armed by two")
        await shot(ben, "armed-1280")

        assert (await service.ask("check_in", moaas=1)).status_code == 200
        await service.wait(lambda state: stop_of(state) == "confirmed", "the pump's own word")
        assert (await service.state())["session"]["phase"] in ("INFUSING", "PAUSED")
        for page in (anna, ben):
            await expect(page.locator(".bed-head .stop")).to_contain_text("Pump stopped at")
        await shot(anna, "confirmed-390")
        await shot(ben, "confirmed-1280")
        assert not any(one["rule"] == "TEC-14" for one in (await service.state())["alarms"])

        await service.hand(do="start")
        assert (await service.ask("check_in", moaas=5)).status_code == 200
        await service.wait(lambda state: stop_of(state) is None, "a person has started it again")
        (sedated,) = [one for one in (await service.state())["alarms"] if one["rule"] == "SED-2"]
        assert (await service.ask("acknowledge", alarm=sedated["alarm"], seq=sedated["seq"])).status_code == 200
        service.started["simulators"].send_signal(signal.SIGSTOP)  # the pump says nothing any more
        assert (await service.ask("check_in", moaas=1)).status_code == 200
        await service.wait(lambda state: any(one["rule"] == "TEC-14" and one["priority"] == "high"
                                             for one in state["alarms"]), "HIGH: not confirmed")
        for page in (anna, ben):
            await expect(page.locator(".bed-head .stop")).to_contain_text("by hand")
        await shot(anna, "unconfirmed-390")
        await shot(ben, "unconfirmed-1280")
