"""What samples amount to, and how the pump's word moves the session: each function alone, at its limits."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from edge.core import samples, session
from edge.core.context import RuleContext
from edge.core.fact import Account
from edge.core.logic import Truth
from edge.core.samples import Needs
from edge.core.state import Baseline, BedState, Below, Determination, Device, LatestValue, Order, Session
from edge.model import LinkState, Phase, Sample, Validity
from tests.helpers.rule_files import PROTOCOLS, RULES

NOW = 1_800_000_000.0
ORDER = Order("iv_racemic_40", 70, 0.5, 40, 1.0)  # 35 mg; 33.95 are all of it
COURSE = PROTOCOLS.by_id["iv_racemic_40"].course


def bed(phase: Phase = "INFUSING", **change: Any) -> BedState:
    now = Session("s", "b", ORDER, phase, NOW - 600, NOW - 3600, "nina", started_s=NOW - 600)
    return BedState("b", engine=RULES.engine, protocols=PROTOCOLS, session=replace(now, **change), devices={
        name: Device("oximeter", "o", link="live") for name in ("first", "second")})


def sample(device: str, value: float | None, at_s: float = 0.0, validity: Validity = "valid", metric: str = "spo2_pct",
           ) -> Sample:
    return Sample("b", device, metric, value, validity, NOW + at_s)


# --- samples ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("at_s", "taken"), [(-0.1, False), (0, True), (0.1, True)])
def test_what_is_older_than_its_device_has_sent_is_dropped(at_s: float, taken: bool) -> None:
    state = bed()
    state.devices["first"].newest_s["spo2_pct"] = NOW
    assert bool(list(samples.fresh(state, [sample("first", 97, at_s)]))) is taken
    assert list(samples.fresh(state, [sample("first", 97, at_s, metric="pulse_bpm")])), "of that it has sent nothing"


@pytest.mark.parametrize(("source", "was", "before_s", "link", "by", "now", "taken"), [
    ("first", "valid", 1, "live", "second", "valid", False), ("first", "valid", 10, "live", "second", "valid", False),
    ("first", "valid", 10.1, "live", "second", "valid", True), ("first", "valid", 1, "lost", "second", "valid", True),
    ("first", "invalid", 1, "live", "second", "valid", True),
    ("first", "invalid", 1, "live", "second", "invalid", False),
    ("first", "invalid", 10.1, "live", "second", "invalid", True),
    ("second", "valid", 1, "live", "first", "valid", True), ("second", "valid", 1, "live", "first", "invalid", False),
    ("second", "invalid", 1, "live", "first", "invalid", True), ("first", "valid", 1, "live", "first", "invalid", True),
    ("gone", "valid", 1, "live", "second", "invalid", True),
])
def test_whose_word_counts_of_two(
    source: str, was: Validity, before_s: float, link: LinkState, by: str, now: Validity, taken: bool,
) -> None:
    state = bed()
    state.latest["spo2_pct"] = LatestValue(source, 97, was, None, NOW - before_s)
    if source in state.devices:
        state.devices[source].link = link
    samples.observe(state, [sample(by, 96 if now == "valid" else None, 0, now)], Needs())
    assert (state.latest["spo2_pct"].at_s == NOW) is taken


ACCOUNT = Account("spo2_pct", 90, 60)


@pytest.mark.parametrize(("before_s", "value", "was", "points", "entered"), [
    (1, 88, Below(), 2, [0]), (1, 90, Below(7, is_below=True), 0, []), (2, 88, Below(7, is_below=True), 11, []),
    (5, 88, Below(7, is_below=True), 11, []),  # a reading covers the 2 s before it
    (5.1, 88, Below(7, is_below=True), 9, []),  # after a gap it counts for a second, and nothing of the gap does
    (1, 88, Below(7, entered_s=[NOW - 60, NOW - 59.9]), 9, [-59.9, 0]), (1, -1, Below(), 90, [0]),
])
def test_what_is_counted_below_a_limit(
    before_s: float, value: float, was: Below, points: float, entered: list[float],
) -> None:
    state = bed()
    state.engine = replace(state.engine, spo2_leap_pct=100, spo2_least_pct=0)
    state.latest["spo2_pct"] = LatestValue("first", 95, "valid", None, NOW - before_s, 95, NOW - before_s)
    state.below[ACCOUNT.key] = was
    given = sample("first", None, 0, "underflow") if value < 0 else sample("first", value)
    samples.observe(state, [given], Needs({"spo2_pct": (ACCOUNT,)}))
    now = state.below[ACCOUNT.key]
    assert (now.points, [round(at_s - NOW, 1) for at_s in now.entered_s]) == (points, entered)


@pytest.mark.parametrize(("taken_s", "kept"), [
    ((1800, 100, 50), 3), ((1800.1, 100, 50), 2), ((9000, 8000), 2), ((9000, 8000, 1801, 1799, 1), 2), ((9000,), 1)])
def test_which_pressures_are_kept(taken_s: tuple[float, ...], kept: int) -> None:
    state = bed()
    state.determinations = [Determination(NOW - one, 120, 75) for one in taken_s[:-1]]
    at_s = NOW if taken_s[-1] in (50, 1) else NOW - taken_s[-1]
    samples.enter(state, Determination(at_s, 120, 75))
    assert len(state.determinations) == kept


# --- the pump's word --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("was", "running", "now"), [
    # infusing since, stopped since, counted up to, infused; then the pump's word
    ((None, None, None, 100), None, (None, None, None, 100)), ((None, None, None, 100), True, (0, None, 0, 100)),
    ((-30, None, -1, 100), True, (-30, None, 0, 101)), ((-30, None, -1, 100), None, (-30, None, 0, 101)),
    ((-30, None, -1, 100), False, (None, 0, None, 100)), ((None, -30, None, 100), False, (None, -30, None, 100)),
    ((None, -30, None, 100), True, (0, None, 0, 100)), ((None, None, None, 100), False, (None, 0, None, 100)),
])
def test_how_long_it_has_infused(
    was: tuple[float | None, float | None, float | None, float], running: Truth,
    now: tuple[float | None, float | None, float | None, float], monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(RuleContext, "infusing", lambda _: running)
    monkeypatch.setattr(RuleContext, "status_at_s", lambda *_: NOW - 999)
    infusing_s, stopped_s, counted_s = (None if one is None else NOW + one for one in was[:3])
    state = bed(infusing_since_s=infusing_s, stopped_since_s=stopped_s, infused_at_s=counted_s, infused_s=was[3])
    session.on_infusion(RuleContext(state, NOW))
    found = state.session
    assert found is not None
    times = (found.infusing_since_s, found.stopped_since_s, found.infused_at_s)
    assert (*(None if one is None else one - NOW for one in times), found.infused_s) == now


@pytest.mark.parametrize(("phase", "running", "since_s", "change", "moved"), [
    ("READY", True, COURSE.pump_for_s, {"started_s": None}, "INFUSING"),
    ("READY", True, COURSE.pump_for_s - 0.1, {"started_s": None}, ""),
    ("PAUSED", True, COURSE.pump_for_s, {}, "INFUSING"),
    ("INFUSING", True, 60, {}, ""), ("INFUSING", False, COURSE.pump_for_s - 0.1, {}, ""),
    ("INFUSING", False, COURSE.pump_for_s, {}, "PAUSED"), ("INFUSING", False, 60, {"delivered_ml": 33.94}, "PAUSED"),
    ("INFUSING", False, 60, {"delivered_ml": 0.97 * 35}, "RECOVERY"), ("PAUSED", False, COURSE.paused_for_s, {}, ""),
    ("PAUSED", False, COURSE.paused_for_s + 0.1, {}, "RECOVERY"), ("READY", False, 60, {}, ""),
    ("RECOVERY", False, 60, {"delivered_ml": 35.0}, ""), ("INFUSING", None, 60, {}, ""),
])
def test_how_the_phase_follows_the_pump(
    phase: Phase, running: Truth, since_s: float, change: dict[str, Any], moved: str, monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(RuleContext, "infusing", lambda _: running)
    monkeypatch.setattr(RuleContext, "status_at_s", lambda *_: NOW)
    state = bed(phase, **{"infusing_since_s" if running else "stopped_since_s": NOW - since_s, **change})
    found = session.on_infusion(RuleContext(state, NOW))
    assert [now for now, _ in found] == ([moved] if moved else [])
    if moved == "RECOVERY":
        assert state.session is not None and state.session.ended_s == NOW - since_s


@pytest.mark.parametrize(("taken_s", "found"), [
    ((), None), ((1800.1,), None), ((1800, 100), (2, "pair")), ((160, 100), (2, "pair")), ((159.9, 100), (2, "single")),
    ((100,), (1, "single")), ((100, -1), (1, "single")),
])
def test_which_pressures_make_the_baseline(taken_s: tuple[float, ...], found: tuple[int, str] | None) -> None:
    state = bed("PRECHECK", started_s=None)
    state.determinations = [Determination(NOW - one, 120, 75, 90) for one in taken_s]
    now = session.baseline(state, NOW)
    assert (None if now is None else (now.determinations, now.quality)) == found
    assert now is None or (now.map_mmhg, now.spo2_pct) == (90, None)


@pytest.mark.parametrize(("shows", "before", "pct"), [(97, 95, 97), (None, 95, 95), (None, None, None)])
def test_a_baseline_keeps_what_the_oximeter_showed(
    shows: float | None, before: float | None, pct: float | None,
) -> None:
    state = bed("PRECHECK", baseline=Baseline(120, 75, 1, "single", spo2_pct=before))
    state.determinations = [Determination(NOW, 120, 75)]
    if shows is not None:
        state.latest["spo2_pct"] = LatestValue("first", shows, "valid", None, NOW, shows, NOW)
    now = session.baseline(state, NOW)
    assert now is not None and (now.spo2_pct, now.map_mmhg) == (pct, None)
