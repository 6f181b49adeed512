"""The simulated devices worked through the console: only where they are simulated, and only as the simulators allow."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

import simulators
from simulators.control import Control, serve_control
from simulators.scenario import Scenario, calm
from simulators.stage import Stage
from tests.helpers.console_server import ORIGIN, Server, served
from tests.helpers.console_story import EDGE, TECHNICIAN
from tests.helpers.stage_run import staged

START = {"bed": "chair-1", "device": "pump", "do": "start"}


@asynccontextmanager
async def simulated(folder: Path) -> AsyncIterator[tuple[Server, Stage]]:
    """A console over one simulated bed, and the stage it stands on."""
    socket = folder / "s"
    async with (
        staged(Scenario(calm(1).beds), simulators.find()) as stage, await serve_control(Control(stage), socket),
        served(folder, simulated=True, simulators={EDGE: socket}) as home,
    ):
        yield home, stage


async def work(home: Server, edge: str = EDGE, **words: Any) -> httpx.Response:
    return await home.http.post(f"/api/simulation/{edge}", json=START | words,
                                headers={"X-CSRF": home.csrf, "Origin": ORIGIN})


async def test_a_hand_is_done_at_the_device_and_seen_on_its_front(tmp_path: Path) -> None:
    async with simulated(tmp_path) as (home, stage):
        await home.login()
        assert (await work(home, do="program", rate_ml_h=60.0, vtbi_ml=30.0)).json() == {"ok": True}
        assert (await work(home)).json() == {"ok": True}
        stage.advance(60.0)
        (bed,) = (await home.http.get("/api/simulation")).json()
        assert (bed["edge"], bed["bed"], bed["by_hand"]) == (EDGE, "chair-1", True)
        pump = next(device for device in bed["devices"] if device["device"] == "pump")
        assert pump["display"] == {
            "running": True, "rate_ml_h": 60.0, "vtbi_ml": 30.0, "alarm": None,
            "infused_ml": pytest.approx(1.0, abs=0.01)}


async def test_any_role_may_and_nobody_else(tmp_path: Path) -> None:
    async with simulated(tmp_path) as (home, _):
        assert (await home.http.get("/api/simulation")).status_code == 401
        assert (await work(home)).status_code == 401
        await home.login(TECHNICIAN)
        assert (await work(home)).status_code == 200
        home.csrf = "wrong"
        assert (await work(home)).status_code == 403


@pytest.mark.parametrize(("edge", "words", "status", "says"), [
    (EDGE, {"do": "sing"}, 409, "nobody can 'sing' chair-1 pump"),
    (EDGE, {"bed": "chair-9"}, 409, "no device 'chair-9' 'pump'"),
    ("other", {}, 404, "no simulated edge other; there are clinic-1"),
    (EDGE, {"do": "Start now"}, 422, "do"),
    (EDGE, {"amount": "much"}, 422, "amount"),
    (EDGE, {"louder": 1}, 422, "louder"),
])
async def test_what_cannot_be_done_says_why(
    tmp_path: Path, edge: str, words: dict[str, Any], status: int, says: str,
) -> None:
    async with simulated(tmp_path) as (home, _):
        await home.login()
        answer = await work(home, edge, **words)
        assert answer.status_code == status
        assert says in json.dumps(answer.json())


async def test_simulators_that_are_away_are_a_503(tmp_path: Path) -> None:
    async with served(tmp_path, simulated=True, simulators={EDGE: tmp_path / "nobody"}) as home:
        await home.login()
        for answer in (await work(home), await home.http.get("/api/simulation")):
            assert answer.status_code == 503
            assert "the simulators do not answer" in json.dumps(answer.json())


async def test_simulators_that_hang_up_are_a_503(tmp_path: Path) -> None:
    def cut(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b'{"ok": ')
        writer.close()

    socket = tmp_path / "s"
    async with (
        await asyncio.start_unix_server(cut, socket),
        served(tmp_path, simulated=True, simulators={EDGE: socket}) as home,
    ):
        await home.login()
        assert (await work(home)).status_code == 503


@pytest.mark.parametrize("more", [{}, {"simulated": True}, {"simulators": {EDGE: Path("/s")}}])
async def test_no_other_console_has_these_routes(tmp_path: Path, more: dict[str, Any]) -> None:
    async with served(tmp_path, **more) as home:
        await home.login()
        assert (await work(home)).status_code == 404
        for path in ("/api/simulation", "/api/simulation/logins"):
            assert (await home.http.get(path)).status_code == 404


async def test_a_demonstrations_accounts_are_offered_to_whoever_comes(tmp_path: Path) -> None:
    file = tmp_path / "logins.json"
    accounts = [{"name": "nurse", "password": "p", "role": "nurse"}]
    file.write_text(json.dumps(accounts))
    async with served(tmp_path, simulated=True, simulators={EDGE: tmp_path / "s"}, demo_logins=file) as home:
        assert (await home.http.get("/api/simulation/logins")).json() == accounts
    async with served(tmp_path, simulated=True, simulators={EDGE: tmp_path / "s"}) as home:
        assert (await home.http.get("/api/simulation/logins")).status_code == 404
