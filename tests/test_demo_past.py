"""A demonstration's past: made by drivers, beds and the journal as in service, in told time, and taken up again."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from edge.app.recovery import recover
from edge.cli.records import replay_journal
from edge.console.history import Row
from edge.core.bedside import Bedside
from edge.demo.nurse import CLEAR, DURING, order
from edge.demo.past import Act, Past
from edge.journal.journal import Journal
from edge.journal.verify import verify
from edge.model import iso
from simulators.scenario import BEDS, PATIENT, Scenario, Step
from tests.helpers.parts import sampled
from tests.helpers.rule_files import FILE, RULES

BEGAN_S = 1_790_000_000.0
SESSION = "0" * 32
PUMP_STARTS_MIN = 5.0


def clock(minutes: float) -> Iterator[float]:
    """A machine that lives a second while the past lives 200."""
    return (BEGAN_S + minutes * 60 + real_s * 0.0025 for real_s in count())


async def lived(folder: Path, bed: int, minutes: float, *steps: Step, acts: tuple[Act, ...] = ()) -> tuple[Past, float]:
    """The past of one bed: a session at minute 1, the pump at minute 5."""
    plan = BEDS[bed]
    scenario = Scenario((plan,), (Step(PUMP_STARTS_MIN, plan.id, "pump", "start"), *steps))
    opened = Act(60.0, plan.id, "start_session", {"session": SESSION, **order(bed)})
    past = Past("demo", scenario, RULES, FILE.read_text(), (opened, *acts), {plan.id: 0.0}, {"start_s": 75.0})
    journal = Journal.open(str(folder / "journal.db"), edge="demo", boot=past.boot, wall=lambda: iso(BEGAN_S))
    now = clock(minutes)
    lasted_s = await past.live(journal, BEGAN_S, lambda: next(now))
    await journal.close()
    return past, lasted_s


def events(folder: Path, kind: str, field: str) -> list[Any]:
    with closing(sqlite3.connect(folder / "journal.db")) as db:
        return [value for (value,) in db.execute(
            f"SELECT json_extract(body, '$.{field}') FROM event WHERE kind = ? ORDER BY seq", (kind,))]


async def taken_up(folder: Path, bed: str) -> Bedside:
    """The bed as an edge finds it that starts now."""
    journal = Journal.open(str(folder / "journal.db"), edge="demo", boot="next", wall=lambda: iso(BEGAN_S))
    try:
        return (await recover(journal)).beds[bed]
    finally:
        await journal.close()


@pytest.mark.slow
@pytest.mark.parametrize("bed", sampled(((bed,) for bed in range(len(BEDS))), 4), ids=[bed.id for bed in BEDS])
async def test_every_set_of_devices_lives_from_precheck_into_its_infusion(tmp_path: Path, bed: int) -> None:
    past, lasted_s = await lived(tmp_path, bed, 8.0)
    assert lasted_s >= 480
    assert events(tmp_path, "phase", "phase") == ["READY", "INFUSING"]
    assert events(tmp_path, "alarm", "rule") == []
    live = {device for device, state in zip(events(tmp_path, "link", "device"), events(tmp_path, "link", "state"),
                                            strict=True) if state == "live"}
    assert live == {"pump", "cuff", "oximeter"}
    assert set(events(tmp_path, "link", "state")) <= {"connecting", "live"}

    verdict = verify(str(tmp_path / "journal.db"))
    assert verdict.ok, verdict.problem
    assert replay_journal(str(tmp_path / "journal.db"), None, False) == 0

    state = (await taken_up(tmp_path, BEDS[bed].id)).state
    assert state.session is not None
    assert state.session.phase == "INFUSING"
    given_ml = BEDS[bed].rate_ml_h * (lasted_s / 60 - PUMP_STARTS_MIN) / 60
    assert state.latest["volume_infused_ml"].value == pytest.approx(given_ml, abs=0.1)
    rows = [row for row in past.recorder.take() if isinstance(row, Row)]
    assert len(rows) == pytest.approx(lasted_s / 5, abs=2), "a trend of the whole past"


@pytest.mark.slow
async def test_what_happened_then_became_an_alarm_then(tmp_path: Path) -> None:
    desaturation = Step(7.0, "chair-1", PATIENT, "desaturation", amount=11.0, over_s=1.0)
    over = Step(8.0, "chair-1", PATIENT, "desaturation", amount=0.0, over_s=1.0)
    await lived(tmp_path, 0, 9.0, desaturation, over)
    assert events(tmp_path, "alarm", "rule") == ["RES-2", "RES-2", "RES-1", "RES-1"]
    assert events(tmp_path, "alarm", "state") == ["active", "active", "active", "inactive"]
    assert events(tmp_path, "alarm", "alarm_phase") == ["start", "update", "deescalate", "end"]


async def test_what_the_nurse_entered_is_in_the_record(tmp_path: Path) -> None:
    acts = (Act(6 * 60, "chair-1", "check_in", dict(DURING)), Act(6.5 * 60, "chair-1", "check_in", dict(CLEAR)))
    await lived(tmp_path, 0, 7.0, acts=acts)
    assert events(tmp_path, "check_in", "moaas") == [5, 5]
    assert events(tmp_path, "session", "by") == ["nurse"]
