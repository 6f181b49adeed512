"""What samples amount to, and how the pump's word moves the session: each function alone, at its limits."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from edge.core import samples, session
from edge.core.context import RuleContext
from edge.core.entered import Dose, Held, Override
from edge.core.fact import Account
from edge.core.logic import Truth
from edge.core.protocol import Gate
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


@pytest.mark.parametrize(("stand_still", "points"), [(True, 9), (False, 2)])  # as in 0.1.0 they begin anew
def test_what_is_counted_stands_still_over_a_gap(stand_still: bool, points: float) -> None:
    state = bed()
    state.engine = replace(state.engine, satseconds_stand_still=stand_still)
    state.latest["spo2_pct"] = LatestValue("first", 88, "valid", None, NOW - 5.1, 88, NOW - 5.1)
    state.below[ACCOUNT.key] = Below(7, is_below=True)
    samples.observe(state, [sample("first", 88)], Needs({"spo2_pct": (ACCOUNT,)}))
    assert state.below[ACCOUNT.key].points == points


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


@pytest.mark.parametrize(("running", "stopped_s", "flagged"), [
    (True, None, False), (False, None, False), (False, -30, False), (None, None, True)])
def test_what_a_restart_fell_into_is_over_with_the_pumps_first_word(
    running: Truth, stopped_s: float | None, flagged: bool, monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(RuleContext, "infusing", lambda _: running)
    monkeypatch.setattr(RuleContext, "status_at_s", lambda *_: NOW - 999)
    state = bed(infusing_at_boot=True, stopped_since_s=None if stopped_s is None else NOW + stopped_s)
    session.on_infusion(RuleContext(state, NOW))
    assert state.session is not None and state.session.infusing_at_boot is flagged


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
    state.engine = replace(RULES.engine, unwatched_of_s=0)  # as 0.1.0: what it shows now, or nothing
    then = session.baseline(state, NOW)
    assert then is not None and then.spo2_pct == shows


# --- what is open -----------------------------------------------------------------------------------------------------


def gated(monkeypatch: pytest.MonkeyPatch, phase: Phase, gates: list[Gate], **change: Any) -> BedState:
    """These gates are open."""
    monkeypatch.setattr(session, "open_of", lambda *_: gates)
    monkeypatch.setattr(session, "words_of", lambda gate, _: f"{gate.id} is open")
    return bed(phase, **change)


def moved(state: BedState) -> list[tuple[Phase, str]]:
    return session.on_time(RuleContext(state, NOW))


OPEN, STAY = Gate("cuff", "spo2_pct < 94", ""), Gate("stay", "session.ended_s < 3600", "")
BOTH = Gate("both", "not known(session.ended_s) or session.ended_s < 3600 or spo2_pct < 94", "")


@pytest.mark.parametrize(("phase", "gates", "change", "now"), [
    ("PRECHECK", [], {}, [("READY", "precheck complete")]), ("PRECHECK", [OPEN], {}, []),
    ("READY", [], {"phase_since_s": NOW - COURSE.ready_for_s}, []),
    ("READY", [], {"phase_since_s": NOW - COURSE.ready_for_s - 0.1},
     [("PRECHECK", "ready for 30 minutes without a start; measure the blood pressure again")]),
    ("READY", [OPEN], {}, []), ("READY", [OPEN], {"unready_since_s": NOW - COURSE.open_for_s + 0.1}, []),
    ("READY", [OPEN, STAY], {"unready_since_s": NOW - COURSE.open_for_s}, [("PRECHECK", "cuff is open")]),
    ("READY", [], {"unready_since_s": NOW - 60}, []),
    ("RECOVERY", [], {}, []), ("RECOVERY", [OPEN], {"ready_for_discharge_since_s": NOW - 999}, []),
    ("RECOVERY", [], {"ready_for_discharge_since_s": NOW - COURSE.discharge_for_s + 0.1}, []),
    ("RECOVERY", [], {"ready_for_discharge_since_s": NOW - COURSE.discharge_for_s},
     [("DISCHARGE_READY", "all discharge criteria have held for 5 minutes")]),
    ("DISCHARGE_READY", [], {"ready_for_discharge_since_s": NOW - 999}, []),
    ("DISCHARGE_READY", [OPEN, STAY], {}, [("RECOVERY", "cuff is open")]), ("INFUSING", [OPEN], {}, []),
])
def test_how_the_phase_follows_what_is_open(
    phase: Phase, gates: list[Gate], change: dict[str, Any], now: list[tuple[Phase, str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    state = gated(monkeypatch, phase, gates, **change)
    assert moved(state) == now
    assert state.session is not None
    if phase == "READY" and not now:
        assert (state.session.unready_since_s is None) is (not gates)
    if phase == "RECOVERY":
        assert (state.session.ready_for_discharge_since_s is None) is bool(gates)


@pytest.mark.parametrize(("phase", "gates", "since_s", "now_s"), [
    ("RECOVERY", [STAY], None, 0), ("RECOVERY", [STAY], -60, -60), ("RECOVERY", [], None, 0),
    ("RECOVERY", [OPEN], -60, None),
    ("RECOVERY", [STAY, OPEN], None, None), ("READY", [STAY], None, None), ("RECOVERY", [BOTH], -60, None),
    ("INFUSING", [], None, None),
])
def test_since_when_time_alone_has_kept_the_patient(
    phase: Phase, gates: list[Gate], since_s: float | None, now_s: float | None, monkeypatch: pytest.MonkeyPatch,
) -> None:
    state = gated(monkeypatch, phase, gates, but_for_the_stay_s=None if since_s is None else NOW + since_s)
    moved(state)
    assert state.session is not None
    assert state.session.but_for_the_stay_s == (None if now_s is None else NOW + now_s)


def test_from_when_time_alone_meets_a_gate(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = Gate("seen", "not quiet_check_in()", "")
    state = gated(monkeypatch, "RECOVERY", [OPEN, STAY, seen], ended_s=NOW - 60)
    after_s = state.protocol.dissociation.back_after_s
    assert [point.at_s for point in session.open_items(RuleContext(state, NOW))] == [
        None, NOW - 60 + 3600, NOW - 60 + after_s]


def test_since_when_each_gate_is_open_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    state = gated(monkeypatch, "RECOVERY", [OPEN, STAY], open_since_s={"cuff": NOW - 60, "gone": NOW - 60})
    moved(state)
    assert state.session is not None and state.session.open_since_s == {"cuff": NOW - 60, "stay": NOW}
    state.session = replace(state.session, overrides=(Override("cuff", NOW, "nina", "seen"),))
    assert session.open_points(state, NOW) == ["stay is open"]
    state.session = replace(state.session, held=Held("anna", "she is anxious", NOW), overrides=())
    assert session.open_points(state, NOW) == ["held by anna: she is anxious", "cuff is open", "stay is open"]


@pytest.mark.parametrize(("infusing_s", "unready", "phase", "why"), [
    (-60, False, "READY", "the pump infuses"), (-60, True, "PAUSED", "the pump infuses, before the precheck was done"),
    (-60, False, "PRECHECK", "the pump infuses, before the precheck was done"),
])
def test_a_start_before_the_precheck_is_marked(
    infusing_s: float, unready: bool, phase: Phase, why: str, monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(RuleContext, "infusing", lambda _: True)
    monkeypatch.setattr(RuleContext, "status_at_s", lambda *_: NOW)
    state = bed(phase, started_s=None, infusing_since_s=NOW + infusing_s, unready_start=unready,
                baseline=Baseline(120, 75, 1, "single"))
    assert session.on_infusion(RuleContext(state, NOW)) == [("INFUSING", why)]
    assert state.session is not None and state.session.baseline == Baseline(120, 75, 1, "single")
    assert (state.session.started_s, state.session.unready_start) == (NOW + infusing_s, "before" in why)


@pytest.mark.parametrize(("doses", "stopped_s", "ended_s"), [
    ((), None, 0), ((), -30, -30), ((-90, -60), -30, -60)])
def test_when_a_dose_ended_that_a_nurse_ends(
    doses: tuple[float, ...], stopped_s: float | None, ended_s: float,
) -> None:
    state = bed(doses=tuple(Dose(NOW + one, 28, 1, "nina") for one in doses), infusing_at_boot=True,
                stopped_since_s=None if stopped_s is None else NOW + stopped_s, infusing_since_s=NOW, infused_at_s=NOW)
    assert session.end_infusion(state, NOW, "enough") == ("RECOVERY", "enough")
    found = state.session
    assert found is not None and found.ended_s == NOW + ended_s
    assert (found.infusing_since_s, found.infused_at_s, found.infusing_at_boot) == (None, None, False)


# --- two pumps, failed pressures, another patient ---------------------------------------------------------------------


@pytest.mark.parametrize(("source", "by", "taken"), [
    ("drug", "saline", False), ("saline", "drug", True), ("drug", "drug", True), ("saline", "saline", False)])
def test_of_two_pumps_the_drug_s_rate_counts(source: str, by: str, taken: bool) -> None:
    state = bed()
    state.devices = {"saline": Device("pump", "p", link="live", role="carrier"),
                     "drug": Device("pump", "p", link="live", role="drug")}
    state.latest["rate_ml_h"] = LatestValue(source, 30, "valid", None, NOW - 1)
    samples.observe(state, [sample(by, 50, metric="rate_ml_h")], Needs())
    assert (state.latest["rate_ml_h"].value == 50) is taken


@pytest.mark.parametrize(("every_cuff", "sbp", "dbp", "taken"), [
    (True, 120, 75, True), (True, None, None, False), (True, 120, None, False), (True, None, 75, False),
    (False, 120, 75, False)])
def test_of_two_cuffs_every_valid_pressure_counts(
    every_cuff: bool, sbp: float | None, dbp: float | None, taken: bool,
) -> None:
    state = bed()
    state.engine = replace(state.engine, every_cuff=every_cuff)
    state.latest["sbp_mmhg"] = LatestValue("first", 118, "valid", None, NOW - 60)
    frame = [sample("second", value, 0, "invalid" if value is None else "valid", metric)
             for metric, value in (("sbp_mmhg", sbp), ("dbp_mmhg", dbp))]
    samples.observe(state, frame, Needs())
    assert (state.latest["sbp_mmhg"].device == "second", len(state.determinations)) == (taken, int(taken))


@pytest.mark.parametrize(("before_s", "covered_s"), [(None, 0), (-1, 0), (0.5, 0.5), (2, 2), (2.1, 2)])
def test_a_reading_covers_at_most_two_seconds_before_it(before_s: float | None, covered_s: float) -> None:
    state = bed()
    if before_s is not None:
        state.latest["spo2_pct"] = LatestValue("first", 97, "valid", None, NOW - before_s)
    samples.observe(state, [sample("first", 97)], Needs(coverage_s={"spo2_pct": 60}))
    assert state.latest["spo2_pct"].covered == [(NOW - covered_s, NOW)]


@pytest.mark.parametrize(("sbp", "dbp", "failed", "pressures", "completed"), [
    ((120, "valid"), (75, "valid"), 0, 1, True), ((None, "invalid"), (None, "invalid"), 2, 0, True),
    ((None, "measuring"), (None, "measuring"), 1, 0, False), ((120, "valid"), None, 2, 0, True),
    ((None, "overflow"), (75, "valid"), 0, 1, True),
])
def test_what_a_cuff_completes(
    sbp: tuple[float | None, Validity], dbp: tuple[float | None, Validity] | None, failed: int, pressures: int,
    completed: bool,
) -> None:
    state = bed()
    state.devices["cuff"], state.failed_determinations = Device("nibp", "c", link="live"), 1
    frame = [sample("cuff", sbp[0], 0, sbp[1], "sbp_mmhg")]
    if dbp is not None:
        frame.append(sample("cuff", dbp[0], 0, dbp[1], "dbp_mmhg"))
    assert samples.observe(state, frame, Needs()) is completed
    assert (state.failed_determinations, len(state.determinations)) == (failed, pressures)


def test_another_patient_has_nothing_of_what_was_measured() -> None:
    state = bed()
    state.devices["pump"] = Device("pump", "p", infused=True, run_since_s=NOW, run_ml=3.0)
    for name, metric in (("first", "spo2_pct"), ("pump", "rate_ml_h"), ("gone", "pulse_bpm")):
        state.latest[metric] = LatestValue(name, 97, "valid", None, NOW)
    state.failed_determinations = 2
    samples.forget_patient(state)
    pump = state.devices["pump"]
    assert (list(state.latest), state.failed_determinations) == (["rate_ml_h"], 0)
    assert (pump.infused, pump.run_since_s, pump.run_ml, pump.own) == (False, None, 0, {})
