"""What a bed knows of time, at the limit and a step beside it: how late things are, and when they were last seen."""

from __future__ import annotations

import pytest

from edge.core import presence, sources
from edge.core.context import RuleContext
from edge.core.state import BedState, Determination, Device, LatestValue, Order, Session

NOW = 1_800_000_000.0
ORDER = Order("iv_racemic_40", 70, 0.5, 40, 1.0)  # a blood pressure every five minutes


def bed() -> BedState:
    """In an infusion that has just begun."""
    session = Session("s", "b", ORDER, "INFUSING", NOW, NOW - 600, "nina", started_s=NOW)
    return BedState("b", session=session, devices={
        "oximeter": Device("oximeter", "o", link="live"), "cuff": Device("nibp", "c", link="live")})


@pytest.mark.parametrize(("device", "after_s", "late_s"), [
    ("cuff", 299, 0), ("cuff", 300, 0), ("cuff", 301, 1), ("oximeter", 301, 0)])
def test_how_late_a_blood_pressure_is(device: str, after_s: float, late_s: float) -> None:
    state = bed()
    state.determinations = [Determination(NOW, 120, 75)]
    assert sources.bp_overdue_s(RuleContext(state, NOW + after_s, device)) == late_s


def test_a_saturation_is_remembered_once_a_minute_from_the_opening_on() -> None:
    state = bed()
    for at_s in (-600.5, -600, -541, -540, -480.5, -480):
        state.latest["spo2_pct"] = LatestValue("oximeter", 97, "valid", None, NOW + at_s, 97, NOW + at_s)
        presence.note_taken(state, NOW + at_s)
    assert state.session is not None
    assert [at_s - NOW for at_s in state.session.spo2_at_s] == [-600, -540, -480]
