"""What a technician asks of the box from the page: begun at once, told as it goes, never at a port that a bed uses."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from types import SimpleNamespace
from typing import Any, cast

import pytest

import drivers
from edge.app import workbench
from edge.app.keeping import BedAtWork
from edge.app.workbench import Workbench
from edge.contract.payloads import Answer, CardNow, CommandIn, ProbeNow

AT = "serial:///dev/ttyUSB7?baud=9600"
FOUND = {"found": [{"toml": "[[bed.device]]\n"}], "words": ["/dev/ttyS9: a pump"]}


def works() -> dict[str, BedAtWork]:
    """A bed with a pump."""
    places = {"pump": (AT, ""), "gone": ("tcp://10.0.0.7:4001", "")}
    telemetry = SimpleNamespace(places=places, dialogues={"pump": None}, specs={"pump": "alaris_gh"})
    return {"chair-1": cast(BedAtWork, SimpleNamespace(telemetry=telemetry))}


@asynccontextmanager
async def bench(monkeypatch: pytest.MonkeyPatch, script: str = "") -> AsyncIterator[tuple[Workbench, list[ProbeNow]]]:
    """One whose probe is this script; and what it has said."""
    said: list[ProbeNow] = []
    made = Workbench(works(), lambda: said.append(cast(ProbeNow, made.now)), None, lambda: 0.0)
    monkeypatch.setattr(workbench, "COMMAND", (sys.executable, "-S", "-c", script))
    running = [asyncio.ensure_future(made.run()), asyncio.ensure_future(made.show())]
    try:
        yield made, said
    finally:
        for one in running:
            one.cancel()
            with suppress(asyncio.CancelledError):
                await one


def ask(made: Workbench, verb: str, **args: Any) -> Answer:
    return made.obey(CommandIn(id="c", console="main", user="tina", role="technician", bed="chair-1", verb=verb,
                               args=args, issued="", expires="", nonce="n", sig=""))


async def ended(said: Sequence[ProbeNow]) -> ProbeNow:
    async with asyncio.timeout(20):
        while said[-1].state == "running":
            await asyncio.sleep(0.01)
    return said[-1]


async def test_a_probe_is_told_turn_by_turn_and_ends_with_the_lines_for_edge_toml(
        monkeypatch: pytest.MonkeyPatch) -> None:
    progress = "at most 80 s, Ctrl-C ends it\n  2 s  nonin\n"
    script = f"import sys; sys.stderr.write({progress!r}); print({json.dumps(FOUND)!r})"
    async with bench(monkeypatch, script) as (made, said):
        assert ask(made, "probe_port", at="/dev/ttyS9").ok
        refused = ask(made, "probe_port", at="/dev/ttyS8")
        assert refused.reason == "not_now: /dev/ttyS9 is being probed for tina; wait until that is over"
        assert not ask(made, "look_at_ports").ok
        last = await ended(said)
        assert [one.says for one in said[1:3]] == [("at most 80 s",), ("2 s nonin",)]
        assert (last.state, last.says, last.toml) == ("found", ("/dev/ttyS9: a pump",), "[[bed.device]]\n")
        assert ask(made, "look_at_ports").ok, "and again"
        assert said[-1].state == "listed"


@pytest.mark.parametrize(("script", "state", "says"), [
    ("print('{\"found\": [], \"words\": [\"silence\"]}')", "nothing", "silence"),
    ("import sys; sys.exit('vigil: no driver')", "failed", "vigil: no driver"),
])
async def test_nothing_there_and_a_probe_that_cannot_run_are_said(
        monkeypatch: pytest.MonkeyPatch, script: str, state: str, says: str) -> None:
    async with bench(monkeypatch, script) as (made, said):
        assert ask(made, "probe_port", at="tcp://10.0.0.8:4001").ok
        last = await ended(said)
        assert (last.state, last.says) == (state, (says,))


async def test_a_probe_without_an_end_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workbench, "LONGEST_S", 0.2)
    async with bench(monkeypatch, "import time; time.sleep(60)") as (made, said):
        assert ask(made, "probe_port", at="/dev/ttyS9").ok
        assert (await ended(said)).says == ("no end after 0.2 s",)


@pytest.mark.parametrize(("at", "why"), [
    ("/dev/ttyUSB7", "not_now: /dev/ttyUSB7 is chair-1/pump; take it out of edge.toml first, or look at its wire"),
    (AT, "not_now: /dev/ttyUSB7 is chair-1/pump"),
    ("/dev/../dev/ttyUSB7", "not_now: /dev/../dev/ttyUSB7 is chair-1/pump"),
    ("--help", "bad_args: "), ("serial://nowhere", "bad_args: 'serial://nowhere' names no port"),
])
async def test_a_port_of_a_bed_and_what_is_no_place_are_refused(
        monkeypatch: pytest.MonkeyPatch, at: str, why: str) -> None:
    async with bench(monkeypatch) as (made, said):
        answer = ask(made, "probe_port", at=at)
        assert not answer.ok
        assert (answer.reason or "").startswith(why)
        assert said == []


async def test_edge_toml_is_read_again_where_somebody_can(monkeypatch: pytest.MonkeyPatch) -> None:
    async with bench(monkeypatch) as (made, _):
        assert not ask(made, "read_again").ok
        asked: list[bool] = []
        made.read_again = lambda: asked.append(True)
        assert ask(made, "read_again").ok
        assert asked == [True]


async def card(made: Workbench) -> CardNow:
    """The one that is told next."""
    async with asyncio.timeout(20):
        while made.card is None:
            await asyncio.sleep(0.01)
    return made.card


@pytest.mark.parametrize(("of", "begins"), [
    ("nonin", "Nonin oximeter"), ("chair-1/pump", "Alaris / Asena GH"), ("nonn", "no driver is named 'nonn'")])
async def test_a_wiring_card_is_told_for_a_while(monkeypatch: pytest.MonkeyPatch, of: str, begins: str) -> None:
    monkeypatch.setattr(workbench, "CARD_S", 0.05)
    async with bench(monkeypatch) as (made, said):
        assert ask(made, "show_driver", of=of).ok
        told = await card(made)
        assert (told.of, told.lines[0].startswith(begins)) == (of, True)
        async with asyncio.timeout(20):
            while made.card is not None:
                await asyncio.sleep(0.01)
        assert len(said) == 2, "it is said to all, and that it is gone"


async def test_every_driver_is_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    async with bench(monkeypatch) as (made, _):
        assert ask(made, "show_driver").ok
        assert {one.name for one in (await card(made)).drivers} == set(drivers.find())


@pytest.mark.parametrize("of", ["chair-1/cuff", "chair-9/pump", "/pump", "--help x", "a" * 81, "edge.toml"])
async def test_what_is_no_driver_has_no_card(monkeypatch: pytest.MonkeyPatch, of: str) -> None:
    async with bench(monkeypatch) as (made, _):
        refused = ask(made, "show_driver", of=of)
        assert (refused.ok, (refused.reason or "").split(":")[0] in ("not_now", "bad_args")) == (False, True)


async def test_one_card_after_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    async with bench(monkeypatch) as (made, _):
        assert [ask(made, "show_driver", of="nonin").ok for _ in range(2)] == [True, False]
        assert (await card(made)).of == "nonin"
