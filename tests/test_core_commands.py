"""What a command does to a bed that is written down, and what it refuses: each at its limits."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec import UNSET
from msgspec.structs import replace

from edge.core import commands
from edge.core.protocol import ByHand, Protocols
from edge.core.protocols import as_in_0_1_0
from edge.core.state import BedState, Device, Order, Session
from edge.model import Command, Role, iso
from tests.helpers.rule_files import PROTOCOLS, RULES

NOW = 1_800_000_000.0
ORDER = Order("iv_racemic_40", 70, 0.5, 40, 1.0)
START: dict[str, Any] = {"session": "session-2", "protocol": "iv_racemic_40", "weight_kg": 70, "dose_mg_kg": 0.5,
                         "duration_min": 40, "concentration_mg_ml": 1}


def bed(protocols: Protocols = PROTOCOLS, *, session: bool = True, **change: Any) -> BedState:
    """A bed whose infusion runs for fifty minutes; `change`: of its session."""
    state = BedState("b", engine=RULES.engine, protocols=protocols, limits=RULES.limits, devices={
        "pump": Device("pump", "p", link="live"), "oximeter": Device("oximeter", "o", link="live")})
    if session:
        opened = Session("s", "b", ORDER, "INFUSING", NOW - 3000, NOW - 3600, "nina", started_s=NOW - 3000)
        state.session = replace(opened, **change)
    return state


def ask(state: BedState, verb: str, args: dict[str, Any], by: str = "nina", role: Role = "nurse") -> list[Any]:
    """The bodies of the events that follow."""
    command = Command("c", "main", by, role, "b", verb, args)
    return [pending.body for pending in commands.obey(state, RULES, command, NOW)]


@pytest.mark.parametrize(("protocols", "asked", "interval_min"), [
    (as_in_0_1_0(), {}, 10), (as_in_0_1_0(), {"nibp_interval_min": 7}, 7), (PROTOCOLS, {}, None),
    (PROTOCOLS, {"nibp_interval_min": 7}, 7),
])
def test_how_often_the_cuff_measures_where_no_interval_is_ordered(
    protocols: Protocols, asked: dict[str, Any], interval_min: float | None,
) -> None:
    state = bed(protocols, session=False)
    state.nibp_interval_s = 600
    (opened,) = ask(state, "start_session", START | asked)
    assert state.session is not None and state.session.order.nibp_interval_min == interval_min
    assert (opened.order.nibp_interval_min, opened.whose) == (interval_min, UNSET)


def test_a_check_in_says_what_is_no_more() -> None:
    assert ask(bed(), "check_in", {"moaas": 5, "gone": ["headache"]})[0].gone == ("headache",)
    assert ask(bed(), "check_in", {"moaas": 5})[0].gone is UNSET


NASAL = PROTOCOLS.by_id["esketamine_rems"]
BY_THIRDS = replace(NASAL, by_hand=ByHand(device_mg=9.3333, doses_mg=(28.0,), apart_s=300))  # as no clinic has it


def test_a_dose_is_of_the_minute_in_which_it_was_given() -> None:
    state = bed(Protocols({NASAL.id: BY_THIRDS}), order=Order(NASAL.id, 70, None, None, None, by_hand_mg=28.0),
                phase="READY", started_s=None)
    given, moved = ask(state, "give_dose", {"devices": 1, "minutes_ago": 5, "lots": ["A1"]})
    assert (given.given, given.mg, given.delivered_mg, given.lots) == (iso(NOW - 300), 9.3333, 9.33, ("A1",))
    assert (moved.phase, moved.started, moved.delivered_mg) == ("INFUSING", iso(NOW - 300), 9.33)
    (now,) = ask(state, "give_dose", {"devices": 1})
    assert (now.given, now.lots, now.delivered_mg) == (iso(NOW), (), 18.67)



CLOSES: list[tuple[str, str, str]] = [  # the phase, the reason that is given, and what follows
    ("DISCHARGE_READY", "", "closed"), ("DISCHARGE_READY", "home", "closed"), ("PRECHECK", "", "in PRECHECK"),
    ("PRECHECK", "she goes home", "closed"), ("PAUSED", "", "in PAUSED"), ("RECOVERY", "", "60 minutes after the end"),
    ("RECOVERY", "ok", "'ok' says nothing of what is open: 60 minutes"), ("RECOVERY", "her son is here", "closed"),
]


@pytest.mark.parametrize(("phase", "reason", "follows"), CLOSES)
def test_a_session_is_closed_early_for_a_reason(phase: str, reason: str, follows: str) -> None:
    state = bed(phase=phase, ended_s=NOW - 60, delivered_ml=1 / 3, order=replace(ORDER, concentration_mg_ml=1.0))
    closed = ask(state, "close_session", {"reason": reason} if reason else {})[0]
    if follows != "closed":
        assert closed.reason.startswith("reason_needed: ") and follows in closed.reason and state.session is not None
        return
    assert (closed.phase, closed.reason, closed.delivered_mg, closed.whose) == ("CLOSED", reason, 0.33, UNSET)
    assert (state.session, state.closed) == (None, ["s"])
