"""Who asks the console for much, or guesses passwords, keeps nobody else waiting and nobody out."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import httpx
import pytest
import uvicorn
from fastapi import FastAPI, WebSocket
from uvicorn.server import ServerState

from edge.console import audit, history, known_screen, link, live
from edge.console.accounts import User
from edge.console.app import server_config
from edge.console.command_client import AT_ONCE
from edge.console.connections import HEAD_BYTES, MAX_CONNECTIONS, REQUEST_S, BoundedHttp
from edge.console.feed import Page
from edge.console.pace import Pace
from edge.console.security import COOKIE, Limiter
from edge.console.service import Console
from edge.console.turns import TooManyWait, Turns
from edge.contract.mqtt import Received
from tests.helpers.console_server import ORIGIN, served
from tests.helpers.console_story import BED, CONSOLE_KEY, EDGE, NURSE, START_S, TECHNICIAN
from tests.helpers.told_time import told


async def _settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_places_go_round_the_keys_and_a_full_lane_refuses_its_own_alone() -> None:
    turns, done, hold = Turns(1, 3), [], asyncio.Event()

    async def ask(key: str) -> None:
        async with turns.turn(key):
            await hold.wait()
            done.append(key)

    async with asyncio.TaskGroup() as tasks:
        for key in ("flood", "flood", "flood", "flood", "nurse", "nurse"):
            tasks.create_task(ask(key))
        await _settle()
        with pytest.raises(TooManyWait):
            await ask("flood")
        hold.set()
    assert done == ["flood", "flood", "nurse", "flood", "nurse", "flood"]
    await ask("flood")  # the place is free again


async def test_who_leaves_while_waiting_or_just_called_loses_no_place() -> None:
    turns, hold, done = Turns(1, 3), asyncio.Event(), []

    async def ask(key: str) -> None:
        async with turns.turn(key):
            await hold.wait()
            done.append(key)

    first, leaves, called, last = (asyncio.ensure_future(ask(key)) for key in "abcd")
    await _settle()
    leaves.cancel()
    first.cancel()
    await asyncio.sleep(0)  # the first ends, and calls the third
    called.cancel()
    await _settle()
    hold.set()
    await last
    await ask("e")
    assert done == ["d", "e"]


async def test_nobody_who_guesses_elsewhere_keeps_a_nurse_out_where_she_works(tmp_path: Path) -> None:
    async with served(tmp_path) as home:
        home.app.state.limiter = Limiter(burst=3, every_s=1e9)
        assert (await home.login()).status_code == 200
        known = known_screen.cookie_name(NURSE[0])
        screen = home.http.cookies[known]
        del home.http.cookies[known]
        tried = [(await home.login((NURSE[0], "guess"))).status_code for _ in range(4)]
        assert tried == [401, 401, 401, 429]
        headers = {"X-CSRF": (await home.http.get("/api/me")).json()["csrf"]}
        unlock = await home.http.post("/api/unlock", json={"password": NURSE[1]}, headers=headers)
        assert unlock.status_code == 200, "her open screen"
        home.http.cookies[known] = screen
        assert (await home.login()).status_code == 200, "her own screen, after it was signed out"
        home.http.cookies[known] = known_screen.made(CONSOLE_KEY, TECHNICIAN[0])
        assert (await home.login()).status_code == 429, "what was made for another name is worth nothing"


# whose word is taken, where the requests come from, whether they count by the addresses they tell
PROXIES = [((), "127.0.0.1", False), (("127.0.0.1",), "127.0.0.1", True), (("127.0.0.1",), "10.0.0.9", False),
           (("10.0.0.0/24",), "10.0.0.9", True), (("10.0.0.0/24",), "127.0.0.1", False)]


@pytest.mark.parametrize(("proxies", "peer", "believed"), PROXIES)
async def test_for_whom_a_request_is_made_a_named_proxy_alone_may_tell(
    tmp_path: Path, proxies: tuple[str, ...], peer: str, believed: bool,
) -> None:
    """Else who guesses passwords makes up an address for each."""
    async with served(tmp_path) as home:
        home.app.state.limiter = Limiter(burst=3, every_s=1e9)
        config = server_config(home.app, proxies)
        config.load()
        way = httpx.ASGITransport(config.loaded_app, client=(peer, 1))
        async with httpx.AsyncClient(transport=way, base_url=ORIGIN) as http:
            tried = [(await http.post("/api/login", json={"name": NURSE[0], "password": "guess"},
                                      headers={"X-Forwarded-For": f"192.0.2.{n}"})).status_code for n in range(4)]
    assert tried == [401, 401, 401, 401 if believed else 429]


@pytest.mark.parametrize("cookie", ["", ".", "x", "screen.", "screen.ü", "screen." + "0" * 64, "0" * 10_000])
def test_what_this_console_did_not_make_is_no_known_screen(cookie: str) -> None:
    assert known_screen.screen_of(CONSOLE_KEY, "ann", {known_screen.cookie_name("ann"): cookie}) is None


async def test_a_day_of_trend_is_read_in_parts_between_which_an_alarm_is_stored(tmp_path: Path) -> None:
    day_s = 86_400.0
    stays = [("chair-2", START_S - 80_000), ("chair-3", START_S - 40_000)]
    parts = history.parts(BED, START_S - day_s, START_S, stays)
    assert parts[0].from_s == START_S - day_s
    assert all(before.until_s == after.from_s for before, after in itertools.pairwise(parts))
    assert max(part.until_s - part.from_s for part in parts[:-1]) <= history.PART_S
    assert START_S - parts[-1].from_s <= history.PART_S
    assert parts[-1].until_s == float("inf")
    assert list(dict.fromkeys(part.bed for part in parts)) == ["chair-2", "chair-3", BED]
    async with served(tmp_path) as home:
        await home.login(TECHNICIAN)
        home.console.reading = Turns(0, 0)
        for what in ("history?minutes=1440", "events"):
            refused = await home.http.get(f"/api/beds/{BED}/{what}")
            assert (refused.status_code, refused.json()["type"]) == (429, "/problems/too_many_reads")


async def test_who_asks_faster_than_people_do_is_refused_unwritten_named_and_keeps_nobody_else_out(
        tmp_path: Path) -> None:
    async with served(tmp_path) as home:
        await home.login()
        hers, her_token = home.http.cookies[COOKIE], home.csrf
        await home.login()  # the same password, from the same host
        home.console.pace = Pace(Limiter(3, 1e9), Limiter(1, 1e9))
        said = {"alarm": "none", "comment": "again"}
        asked = [await home.command("comment", said) for _ in range(6)]
        assert [one.status_code for one in asked] == [200] * 4 + [429] * 2
        assert asked[-1].json()["title"] == "This account asks faster than people do"
        assert len(home.wire.commands()) == 4
        lines = await home.console.store.read(audit.lines)
        assert [what for _, what, *_ in lines].count("ask comment") == 4
        assert [detail for _, what, _, detail in lines if what == "login"] == [{"from": "127.0.0.1"}] * 2
        home.http.cookies.set(COOKIE, hers)
        assert (await home.command("comment", said, {"X-CSRF": her_token})).status_code == 200, "her own screen's"
        (trouble,) = home.console.troubles()
        assert trouble.part == "accounts"
        assert "in the name of ann than people ask: 2 commands" in trouble.what


async def test_who_asks_for_much_at_once_keeps_no_other_screens_command_waiting(tmp_path: Path) -> None:
    async with served(tmp_path) as home:
        said = {"alarm": "none", "comment": "again"}
        ann, ask = User("ann", "nurse", "key-ann", "", 1e12), home.console.commands.perform
        done = await asyncio.gather(*(
            ask(User("tom", "technician", f"key-{number % 8}", "", 1e12), EDGE, BED, "comment", said)
            for number in range(16)), ask(ann, EDGE, BED, "comment", said))
        assert [outcome.status for outcome in done] == [200] * 17
        asked = [command.user for command, _ in home.wire.commands()]
        assert asked.index("ann") <= AT_ONCE + 1, "after what was on its way, and one, on however many screens"


async def test_who_asks_for_much_at_once_keeps_none_waiting_who_has_the_same_password(tmp_path: Path) -> None:
    async with served(tmp_path) as home:
        ask = home.console.commands.perform
        await asyncio.gather(*(
            ask(User("ann", "nurse", key, "", 1e12), EDGE, BED, "comment", {"alarm": "none", "comment": key})
            for key in [*["stolen"] * 16, "hers"]))
        said = [command.args["comment"] for command, _ in home.wire.commands()]
        assert said.index("hers") <= AT_ONCE + 1


@pytest.mark.parametrize("places", [Turns(0, 1), Turns(0, 0)])
async def test_a_command_whose_turn_does_not_come_is_refused_unsent_and_unwritten(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch, places: Turns) -> None:
    monkeypatch.setattr("edge.console.command_client.ANSWER_S", 0.01)
    async with served(tmp_path) as home:
        await home.login()
        home.console.commands._ways[EDGE, ""] = places
        answer = await home.command("comment", {"alarm": "none", "comment": "again"})
        assert (answer.status_code, answer.json()["type"]) == (503, "/problems/not_sent")
        assert home.wire.commands() == []
        lines = await home.console.store.read(audit.lines)
        assert [what for _, what, *_ in lines] == ["login"]


def test_a_ward_at_once_then_the_pace_of_people() -> None:
    ann, console = User("ann", "nurse", "key", "", 1e12), Pace()
    assert all(console.may_ask(ann, "10.0.0.7", 0.0, START_S) for _ in range(300 + 5))
    assert not console.may_ask(ann, "10.0.0.7", 0.1, START_S)
    assert console.may_ask(ann, "10.0.0.8", 0.1, START_S), "elsewhere"
    assert console.may_ask(replace(ann, name="bob"), "10.0.0.7", 0.1, START_S)
    assert console.may_ask(ann, "10.0.0.7", 0.21, START_S)
    assert len(list(console.troubles(60.0))) == 1
    assert not list(console.troubles(60.1))


async def test_sound_that_goes_on_and_off_without_end_fills_no_audit(tmp_path: Path) -> None:
    async with served(tmp_path) as home:
        home.console.pace = Pace(notes=Limiter(3, 1e9))
        page = Page(User("ann", "nurse", "key", "", 1e12))
        for state in ("on", "blocked") * 4:
            assert await home.console.receive_from_page(page, f'{{"t":"sound","state":"{state}"}}')
        lines = await home.console.store.read(audit.lines)
        assert [what for _, what, *_ in lines if what.startswith("sound ")] == ["sound on", "sound blocked", "sound on"]
        assert page.sound == "blocked", "what the screen said last counts all the same"


# --- connections ------------------------------------------------------------------------------------------------------


class ToldTransport(asyncio.Transport):
    """Takes what is written."""

    aborted = False

    def pause_reading(self) -> None:
        return

    def resume_reading(self) -> None:
        return

    def is_closing(self) -> bool:
        return self.aborted

    def close(self) -> None:
        return

    def abort(self) -> None:
        self.aborted = True

    def write(self, data: bytes | bytearray | memoryview) -> None:
        return

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return default


async def _nothing(_scope: Any, _receive: Any, _send: Any) -> None:
    await asyncio.Event().wait()


def _connected(state: ServerState, config: uvicorn.Config) -> tuple[BoundedHttp, ToldTransport]:
    http, transport = BoundedHttp(config, state, {}), ToldTransport()
    http.connection_made(transport)
    return http, transport


REQUEST = b"POST /api/login HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}"


@pytest.mark.parametrize(("cut", "aborted"), [(0, True), (10, True), (len(REQUEST) - 1, True), (len(REQUEST), False)])
def test_a_request_comes_whole_in_its_time_or_its_connection_goes(cut: int, aborted: bool) -> None:
    async def story() -> None:
        http, transport = _connected(ServerState(), uvicorn.Config(_nothing))
        http.data_received(REQUEST[:cut])
        await asyncio.sleep(REQUEST_S - 0.01)
        assert not transport.aborted
        await asyncio.sleep(0.02)
        assert transport.aborted is aborted
        if cut == len(REQUEST):
            http.data_received(REQUEST[:10])  # the next one, begun and not ended
            await asyncio.sleep(REQUEST_S + 0.01)
            assert transport.aborted
        http.connection_lost(None)

    told(story())


@pytest.mark.parametrize(("beyond", "aborted"), [(0, False), (1, True)])
def test_a_head_without_an_end_ends_its_connection(beyond: int, aborted: bool) -> None:
    """httptools keeps all of it, and copies it with each piece: eight such held a console up for eleven seconds."""
    async def story() -> None:
        http, transport = _connected(ServerState(), uvicorn.Config(_nothing))
        http.data_received(REQUEST)  # a head that ends counts for nothing in the next one
        begun = b"GET / HTTP/1.1\r\nX: "
        http.data_received(begun)
        left = HEAD_BYTES - len(begun) + beyond
        while left:
            piece = min(left, 8192)
            http.data_received(b"a" * piece)
            left -= piece
        assert transport.aborted is aborted
        http.connection_lost(None)

    told(story())


def test_requests_that_are_none_fill_no_log(caplog: pytest.LogCaptureFixture) -> None:
    async def story() -> None:
        config = server_config(cast("FastAPI", _nothing))
        for _ in range(9):
            http, _ = _connected(ServerState(), config)
            http.data_received(b"\xff\x00 / HTTP/1.1\r\n\r\n")
            http.connection_lost(None)

    told(story())
    assert not caplog.records


def test_of_too_many_connections_the_oldest_makes_room() -> None:
    async def story() -> None:
        state, config = ServerState(), uvicorn.Config(_nothing)
        made: list[tuple[BoundedHttp, ToldTransport]] = []
        for _ in range(MAX_CONNECTIONS + 1):
            assert not any(transport.aborted for _, transport in made)
            made.append(_connected(state, config))
            await asyncio.sleep(0.001)
        assert [transport.aborted for _, transport in made] == [True] + [False] * MAX_CONNECTIONS
        for http, _ in made:
            http.connection_lost(None)

    told(story())


class Chatter:
    """A page's socket that always has one more thing to say."""

    said = 0

    async def receive(self) -> dict[str, str]:
        self.said += 1
        return {"type": "websocket.receive", "text": "{}"}


class Listener:
    """A console that takes it all."""

    async def receive_from_page(self, _page: Page, _text: str) -> bool:
        return True


def test_of_a_page_that_always_talks_no_more_is_read_than_of_a_full_ward() -> None:
    async def story() -> int:
        socket = Chatter()
        page = Page(User("tom", "technician", "key", "csrf", 0.0))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(10):
                await live._receive(cast("WebSocket", socket), cast("Console", Listener()), page)
        return socket.said

    said = told(story())
    assert live.BURST <= said <= live.BURST + 10 * live.PER_S + 1


class Costly:
    """Takes a message for so long, by a clock that the test tells."""

    def __init__(self, cost_s: float) -> None:
        self.cost_s, self.now_s = cost_s, 0.0

    def connected(self) -> None:
        """Subscribed."""

    def disconnected(self, reason: str) -> None:
        """Gone."""

    def receive(self, topic: str, payload: bytes, retained: bool) -> None:
        """A message."""
        self.now_s += self.cost_s


@pytest.mark.parametrize(("cost_s", "rest_s"), [(0.0, 0.0), (0.0019, 0.0), (0.03, 0.03)])
async def test_an_edge_waits_for_as_long_as_its_message_cost(
    cost_s: float, rest_s: float, monkeypatch: pytest.MonkeyPatch,
) -> None:
    """So that one that floods leaves the others half of the process; a message that costs little waits for nobody."""
    edge = Costly(cost_s)
    monkeypatch.setattr(asyncio.get_running_loop(), "time", lambda: edge.now_s)
    assert link._received(edge, Received("t", b"x", False)) == rest_s
