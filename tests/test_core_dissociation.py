"""The dissociation period, each way it opens, fades, closes and comes back, at its limits and a step beside them."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from edge.core import dissociation, pk
from edge.core.entered import Attestation
from edge.core.state import BedState, CheckIn, Device, Order, Session
from edge.model import Dissociation
from tests.helpers.rule_files import PROTOCOLS

NOW = 1_800_000_000.0
IV, NASAL = "iv_racemic_40", "esketamine_rems"
ORDER = Order(IV, 70, 0.5, 40, 1.0)
Effect = tuple[float, bool] | None  # ng/mL where it acts, and whether it falls there


def bed(effect: Effect, monkeypatch: pytest.MonkeyPatch, *, rate_ml_h: float = 0.0, order: Order = ORDER,
        **change: Any) -> BedState:
    """A session that started an hour and a half ago, with this estimate."""
    monkeypatch.setattr(pk, "at_effect", lambda *_: effect)
    session = Session("s", "b", order, "INFUSING", NOW, NOW - 7200, "nina", started_s=NOW - 5400)
    return BedState("b", protocols=PROTOCOLS, session=replace(session, **change),
                    devices={"pump": Device("pump", "p", link="live", rate_ml_h=rate_ml_h)})


def entered(before_s: float, cadss: int | None = None, moaas: int | None = 5, **more: Any) -> CheckIn:
    return CheckIn(NOW - before_s, "nina", moaas, cadss, distress=3, **more)


def moved(state: BedState) -> tuple[str, str]:
    """Where it goes now, and why; nothing where it stays."""
    found = dissociation.follow(state, NOW)
    assert state.session is not None
    assert not found or (state.session.dissociation == found[0][0] and state.session.dissociation_since_s == NOW)
    return found[0] if found else ("", "")


@pytest.mark.parametrize(("infused_s", "rate_ml_h", "delivered_ml", "effect", "why"), [
    (300, 21, 0, None, "clock: 5 minutes of infusion"), (299.9, 21, 0, None, ""), (300, 20.9, 0, None, ""),
    (0, 0, 7, None, "dose: 0.10 mg/kg delivered"), (0, 0, 6.9, None, ""),
    (0, 0, 0, (50, False), "model estimate: 50 ng/mL where it acts"), (0, 0, 0, (49.9, False), ""),
])
def test_it_opens_by_the_clock_the_dose_or_the_estimate(
    infused_s: float, rate_ml_h: float, delivered_ml: float, effect: Effect, why: str, monkeypatch: pytest.MonkeyPatch,
) -> None:
    state = bed(effect, monkeypatch, rate_ml_h=rate_ml_h, infused_s=infused_s, delivered_ml=delivered_ml)
    assert moved(state) == (("expected", why) if why else ("", ""))
    assert state.session is not None and state.session.dissociation_opened_s == (NOW if why else None)


@pytest.mark.parametrize("unknown", ["weight_kg", "concentration_mg_ml"])
def test_it_opens_by_no_dose_that_nobody_knows(unknown: str, monkeypatch: pytest.MonkeyPatch) -> None:
    order = replace(ORDER, **{unknown: None})
    assert moved(bed(None, monkeypatch, rate_ml_h=900, infused_s=900, delivered_ml=60, order=order)) == ("", "")


@pytest.mark.parametrize(("after_s", "why"), [(299.9, ""), (300, "clock: 5 minutes after the first dose")])
def test_that_of_a_dose_by_hand_opens_by_the_clock(after_s: float, why: str, monkeypatch: pytest.MonkeyPatch) -> None:
    state = bed(None, monkeypatch, order=replace(ORDER, protocol=NASAL), started_s=NOW - after_s)
    assert moved(state) == (("expected", why) if why else ("", ""))


@pytest.mark.parametrize(("was", "cadss", "moaas", "started_s", "now"), [
    ("none", 5, 5, 0, ("observed", "nurse: check-in")), ("none", 4, 5, 0, None),
    ("expected", None, 4, 0, ("observed", "nurse: check-in")), ("expected", None, None, 0, None),
    ("observed", 5, 5, 0, None), ("resolving", 5, 5, 0, None), ("resolved", 5, 5, 0, ("observed", "nurse: relapse")),
    ("resolved", 4, 5, 0, None), ("none", 5, 5, None, None),
])
def test_what_a_check_in_moves(
    was: Dissociation, cadss: int | None, moaas: int | None, started_s: float | None,
    now: tuple[Dissociation, str] | None, monkeypatch: pytest.MonkeyPatch,
) -> None:
    state = bed(None, monkeypatch, dissociation=was, dissociation_opened_s=1.0, started_s=started_s)
    assert dissociation.on_check_in(state, entered(0, cadss, moaas), NOW) == ([now] if now else [])
    assert state.session is not None
    opens = now is not None and was in ("none", "resolved")
    assert state.session.dissociation_opened_s == (NOW if opens else 1.0)


@pytest.mark.parametrize(("check_ins", "effect", "fades"), [
    ((), None, True), ((), (99.9, True), True), ((), (100, True), False), ((), (99.9, False), False),
    ((entered(600.1, 9),), (100, True), False),  # of before the end: the estimate says
    ((entered(600, 9),), None, False), ((entered(600, 4),), (100, True), True),
    ((entered(500, 0, symptoms=("dissociation",)), entered(400, 0, symptoms=("dissociation",))), None, False),
    ((entered(500, 1, symptoms=("dissociation",)), entered(400, 0, symptoms=("dissociation",))), None, True),
])
@pytest.mark.parametrize("was", ["expected", "observed"])
def test_it_fades_after_the_end_by_check_ins_or_by_the_estimate(
    was: str, check_ins: tuple[CheckIn, ...], effect: Effect, fades: bool, monkeypatch: pytest.MonkeyPatch,
) -> None:
    state = bed(effect, monkeypatch, phase="RECOVERY", dissociation=was, ended_s=NOW - 600, check_ins=check_ins)
    assert moved(state) == (("resolving", "the infusion has ended") if fades else ("", ""))
    assert moved(bed(effect, monkeypatch, dissociation=was, check_ins=check_ins)) == ("", ""), "it has not ended"


@pytest.mark.parametrize(("before", "cadss", "shows"), [
    ((), 4, False), ((), 5, True), ((4,), 5, True), ((5,), 7, False), ((5,), 8, True), ((9, 5), 8, True),
    ((9, None), 11, False), ((9, None), 12, True),
])
def test_a_score_is_held_against_the_patient_s_own_before_the_start(
    before: tuple[int | None, ...], cadss: int, shows: bool, monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = tuple(entered(5400 + number, score) for number, score in reversed(list(enumerate(reversed(before)))))
    state = bed(None, monkeypatch, check_ins=(*found, entered(5399.9, 20)))
    assert state.session is not None
    assert dissociation.shows_dissociation(state, state.session, entered(0, cadss)) is shows


@pytest.mark.parametrize(("attested_s", "so", "quiet"), [(60, True, True), (60.1, True, False), (60, False, False)])
def test_without_a_score_a_person_says_that_there_is_none(
    attested_s: float, so: bool, quiet: bool, monkeypatch: pytest.MonkeyPatch,
) -> None:
    state = bed(None, monkeypatch, ended_s=NOW - 3600, check_ins=(entered(60),),
                attested={"no_dissociation": Attestation(so, NOW - attested_s, "nina")})
    assert (dissociation.quiet_check_in(state, NOW) is not None) is quiet


@pytest.mark.parametrize(("ended_s", "effect", "why"), [
    (3600, None, "60 minutes since the end and a quiet check-in"), (3599.9, None, ""),
    (3000, (74.9, True), "50 minutes since the end, model estimate 75 ng/mL, and a quiet check-in"),
    (2400, (74.9, True), "40 minutes since the end, model estimate 75 ng/mL, and a quiet check-in"),
    (2399.9, (74.9, True), ""), (2400, (75, True), ""), (3600, (75, True), ""), (2400, None, ""),
])
def test_it_closes_by_the_clock_or_sooner_by_the_estimate_and_never_without_a_quiet_check_in(
    ended_s: float, effect: Effect, why: str, monkeypatch: pytest.MonkeyPatch,
) -> None:
    told: dict[str, Any] = {"phase": "RECOVERY", "dissociation": "resolving", "ended_s": NOW - ended_s,
                            "dissociation_opened_s": 1.0, "check_ins": (entered(60, 4),)}
    state = bed(effect, monkeypatch, **told)
    assert moved(state) == (("resolved", why) if why else ("", ""))
    assert state.session is not None and state.session.dissociation_opened_s == 1.0
    changes: tuple[dict[str, Any], ...] = (
        {"check_ins": ()}, {"infusing_since_s": NOW}, {"phase": "PAUSED"},
        {"check_ins": (entered(60, 4, symptoms=("dissociation",)),)})
    for change in changes:
        assert moved(bed(effect, monkeypatch, **{**told, **change})) == ("", "")


@pytest.mark.parametrize("was", ["resolving", "resolved"])
def test_a_pump_that_infuses_again_brings_it_back(was: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert moved(bed(None, monkeypatch, dissociation=was)) == ("expected", "the pump infuses again")


@pytest.mark.parametrize(("was", "begun", "now", "opened_s"), [
    ("none", True, "observed", NOW), ("expected", True, "observed", 1.0), ("observed", False, "resolved", 1.0)])
def test_a_person_says_that_it_has_begun_or_is_over(
    was: str, begun: bool, now: str, opened_s: float, monkeypatch: pytest.MonkeyPatch,
) -> None:
    state = bed(None, monkeypatch, dissociation=was, dissociation_opened_s=1.0)
    assert dissociation.by_hand(state, begun=begun, at_s=NOW) == now
    assert state.session is not None
    assert (state.session.dissociation, state.session.dissociation_opened_s) == (now, opened_s)
