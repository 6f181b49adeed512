"""A session that goes on at another bed, over a whole edge with pumps on its lines: one commit; whose pump counts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import simulators
from edge.contract.payloads import CommandIn, DeviceNow
from edge.core import views
from edge.core.state import BedState
from edge.journal.jobs import Batch
from edge.journal.writer import Writer
from edge.model import Arrived, CameBack, Command
from simulators.scenario import catalogue
from tests.helpers.bed_story import ORDER
from tests.helpers.reload_run import Running, bed, config_of, running
from tests.helpers.stage_run import staged

A, B = "chair-1", "chair-2"


async def ask(edge: Running, at: str, verb: str, **args: Any) -> str:
    """Why it was refused; empty where it was done."""
    answer = await edge.service._command(CommandIn(
        id=f"c-{verb}-{at}", console="main", user="nina", role="nurse", bed=at, verb=verb, args=args, issued="",
        expires="", nonce=f"n-{verb}-{at}", sig=""))
    return answer.reason or ""


def state(edge: Running, name: str) -> BedState:
    return edge.service._beds[name].bedside.state


def pump(edge: Running, name: str) -> DeviceNow:
    return views.full(state(edge, name), edge.service._clock.now()).devices[0]


@pytest.mark.slow
async def test_the_pump_that_is_plugged_over_counts_at_the_other_bed_and_no_other(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    batches: list[Batch] = []
    hand = Writer.hand

    def noted(self: Writer, job: Any) -> None:
        if isinstance(job, Batch):
            batches.append(job)
        hand(self, job)

    monkeypatch.setattr(Writer, "hand", noted)
    order = {name: value for name, value in ORDER.items() if name != "protocol"}
    async with staged(catalogue(["alaris_gh"], simulators.find(), beds=2), simulators.find()) as stage:
        first, second = (f"alaris_gh {row.at}" for row in stage.rows)
        async with running(tmp_path, bed(1, pump=first), bed(2, pump=second), stage=stage) as edge:
            await edge.until(lambda: pump(edge, A).link == pump(edge, B).link == "live")
            hers, another = pump(edge, A).identity, pump(edge, B).identity
            assert hers and another and hers != another
            assert await ask(edge, A, "start_session", **order) == ""
            assert await ask(edge, A, "move_session", to=B, reason="the chair broke", devices=["pump"]) == ""
            assert state(edge, A).session is None
            session = state(edge, B).session
            assert session is not None and session.id == order["session"]

            kinds = [[row[4] for row in one.inputs] for one in batches]
            assert ["command", "arrived"] in [kinds_of[-2:] for kinds_of in kinds], "both beds are told in one commit"

            await edge.until(lambda: pump(edge, B).link == "wrong_device")
            assert pump(edge, B).reason.startswith(f"expected {hers}, found {another}")
            assert pump(edge, A).gone_to == B and "rate_ml_h" not in state(edge, A).latest

            config_of(tmp_path, bed(1, pump=second), bed(2, pump=first))  # the cables are changed over
            assert await edge.reloader.reload()
            await edge.until(lambda: pump(edge, A).link == pump(edge, B).link == "live")
            assert (pump(edge, A).identity, pump(edge, B).identity) == (another, hers)
            await edge.until(lambda: "rate_ml_h" in state(edge, A).latest and "rate_ml_h" in state(edge, B).latest)

            assert await ask(edge, B, "close_session", reason="she went home early") == ""
            assert state(edge, B).devices["pump"].bound is None
    assert edge.inputs(Arrived, B) == 1 and edge.inputs(Command, A) == 2


@pytest.mark.slow
async def test_a_pump_that_is_out_with_a_patient_is_back_when_the_session_is_over(tmp_path: Path) -> None:
    async with staged(catalogue(["alaris_gh"], simulators.find(), beds=2), simulators.find()) as stage:
        places = [f"alaris_gh {row.at}" for row in stage.rows]
        async with running(tmp_path, bed(1, pump=places[0]), bed(2, pump=places[1]), stage=stage) as edge:
            await edge.until(lambda: pump(edge, A).link == pump(edge, B).link == "live")
            order = {name: value for name, value in ORDER.items() if name != "protocol"}
            assert await ask(edge, A, "start_session", **order) == ""
            assert await ask(edge, A, "move_session", to=B, reason="the chair broke", devices=["pump"]) == ""
            assert (await ask(edge, A, "start_session", **order | {"session": "session-2"})).startswith("not_now")
            assert await ask(edge, B, "close_session", reason="she went home early") == ""
            await edge.until(lambda: edge.inputs(CameBack, A) == 1)
            await edge.until(lambda: "rate_ml_h" in state(edge, A).latest and "rate_ml_h" in state(edge, B).latest)
            assert pump(edge, A).link == pump(edge, B).link == "live", "each where it was"


async def test_a_bed_whose_pump_edge_toml_names_takes_no_other(tmp_path: Path) -> None:
    async with staged(catalogue(["alaris_gh"], simulators.find(), beds=2), simulators.find()) as stage:
        places = [f"alaris_gh {row.at}" for row in stage.rows]
        named = bed(2, pump=places[1]) + 'identity = "8002-51740"\n'
        async with running(tmp_path, bed(1, pump=places[0]), named, stage=stage) as edge:
            assert await ask(edge, A, "start_session", **{k: v for k, v in ORDER.items() if k != "protocol"}) == ""
            refused = await ask(edge, A, "move_session", to=B, reason="the chair broke", devices=["pump"])
            assert refused.startswith("not_now: edge.toml names the serial number of the pump of chair-2")
            assert state(edge, A).session is not None
