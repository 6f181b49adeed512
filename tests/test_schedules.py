"""How soon the next blood pressure, check-in and oximetry are due after the last one: a row a limit, by protocol. And
when the dissociation period of a dose by hand ends, which is counted from its start."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from edge.core import dissociation, dosing, schedule
from edge.core.context import RuleContext
from edge.core.entered import Dose
from edge.core.facts import FACTS
from edge.core.protocol import ByHand, Protocols
from edge.core.state import Baseline, BedState, CheckIn, Determination, LatestValue, Order, Session
from edge.model import Dissociation, Phase
from tests.helpers.rule_files import PROTOCOLS

NOW = 1_800_000_000.0  # the last of each was just now
IV, Q15, FIXED = "iv_racemic_40", "iv_racemic_40_q15", "iv_racemic_40_fixed"
PAIN, NASAL = "iv_racemic_pain", "esketamine_rems"

# protocol, minutes since the start and since the end; then the minutes to the next cuff, check-in and oximetry
TABLE: list[tuple[str, float, float | None, tuple[float, float, float]]] = [
    (IV, 20, None, (5, 10, 10)),
    (IV, 70, 30, (10, 10, 15)),
    (IV, 71, 30.1, (15, 15, 15)),
    (Q15, 20, None, (10, 10, 10)),
    (Q15, 70, 30, (15, 10, 15)),
    (FIXED, 0, None, (15, 10, 10)),
    (FIXED, 11.9, None, (3.1, 10, 10)),
    (FIXED, 11.96, None, (3.04, 10, 10)),
    (FIXED, 12, None, (18, 10, 10)),  # up to three minutes early: the one at 15 is done
    (FIXED, 26.9, None, (3.1, 10, 10)),
    (FIXED, 27, None, (18, 10, 10)),
    (FIXED, 41.9, 1, (3.1, 10, 15)),
    (FIXED, 42, 1, (18, 10, 15)),
    (FIXED, 56.9, 16, (3.1, 10, 15)),
    (FIXED, 57, 16, (33, 10, 15)),
    (FIXED, 86.9, 46, (3.1, 15, 15)),
    (FIXED, 87, 46, (30, 15, 15)),  # the last of the fixed ones is done: as afterwards
    (FIXED, 90, 49, (30, 15, 15)),
    (PAIN, 59.9, None, (15, 15, 10)),
    (PAIN, 60, None, (30, 30, 10)),
    (NASAL, 0, None, (40, 20, 20)),
    (NASAL, 34.9, None, (5.1, 20, 20)),
    (NASAL, 35, None, (40, 20, 20)),  # up to five minutes early: the one at 40 is done
]


def lived(protocol: str, started_min: float, ended_min: float | None, check_in: CheckIn, *, spo2_pct: float = 97.0,
          dissociation: Dissociation = "none", nibp_min: float | None = None) -> BedState:
    """A bed so long after its start and its end."""
    session = Session(
        "s", "bed", Order(protocol, 70, 0.5, 40, 1, nibp_interval_min=nibp_min),
        "INFUSING" if ended_min is None else "RECOVERY", NOW, NOW - 9000, "nina", started_s=NOW - started_min * 60,
        ended_s=None if ended_min is None else NOW - ended_min * 60, dissociation=dissociation, check_ins=(check_in,))
    return BedState("bed", protocols=PROTOCOLS, session=session, determinations=[Determination(NOW, 120, 75)],
                    latest={"spo2_pct": LatestValue("oximeter", spo2_pct, "valid", None, NOW, spo2_pct, NOW)})


def due_min(protocol: str, started_min: float, ended_min: float | None, *, moaas: int = 5,
            **more: Any) -> tuple[float | None, ...]:
    """In how many minutes the next ones are due. `more`: of `lived`."""
    state = lived(protocol, started_min, ended_min, CheckIn(NOW, "nina", moaas=moaas), **more)
    schedule.follow(state)
    return tuple(None if every_s is None else round(every_s / 60, 2)
                 for every_s in (state.cuff_every_s, state.check_in_every_s, state.oximetry_every_s))


@pytest.mark.parametrize(("protocol", "started_min", "ended_min", "expected"), TABLE)
def test_how_soon_the_next_ones_are_due(
    protocol: str, started_min: float, ended_min: float | None, expected: tuple[float, float, float],
) -> None:
    assert due_min(protocol, started_min, ended_min) == expected


def test_oximetry_is_closer_while_a_patient_dissociates_is_sedated_or_was_low() -> None:
    assert due_min(IV, 70, 31, dissociation="observed")[2] == 10
    assert [due_min(NASAL, 20, 20, moaas=score)[2] for score in (5, 4)] == [20, 10]
    assert [due_min(NASAL, 20, 20, spo2_pct=value)[2] for value in (94, 93)] == [20, 10]


def test_an_interval_in_the_order_counts_where_the_row_says_so() -> None:
    assert due_min(IV, 20, None, nibp_min=7) == (None, 10, 10), "as ordered"
    assert due_min(FIXED, 12, None, nibp_min=7) == (18, 10, 10), "fixed times stay"


@pytest.mark.parametrize(("seen_s", "started_s", "quiet", "now"), [
    (4499, 5400, False, "resolving"),  # the check-in is too old
    (4500, 5399, True, "resolving"),
    (4500, 5400, True, "resolved"),
])
def test_the_period_of_a_dose_by_hand_ends_by_the_time_from_its_start(
    seen_s: float, started_s: float, quiet: bool, now: Dissociation,
) -> None:
    check_in = CheckIn(NOW - started_s + seen_s, "nina", moaas=5, cadss=2, distress=1)
    state = lived(NASAL, started_s / 60, started_s / 60 - 6, check_in, dissociation="resolving")
    assert (dissociation.quiet_check_in(state, NOW) is not None) is quiet
    dissociation.follow(state, NOW)
    assert state.session is not None and state.session.dissociation == now


@pytest.mark.parametrize(("seen_s", "quiet"), [(2399, False), (2400, True)])
def test_a_patient_may_be_back_forty_minutes_after_the_first_device(seen_s: float, quiet: bool) -> None:
    state = lived(NASAL, seen_s / 60, 10, CheckIn(NOW, "nina", moaas=5, cadss=2, distress=1))
    assert (dissociation.quiet_check_in(state, NOW) is not None) is quiet


def test_the_next_device_and_what_is_long_of_a_dose_by_hand() -> None:
    state = lived(NASAL, 10, None, CheckIn(NOW, "nina"))
    assert state.session is not None
    state.session = replace(state.session, doses=(Dose(NOW, 28, 1, "nina"),))
    assert dosing.next_device_s(state) == NOW + 300
    assert FACTS["dissociation.long_s"].compute(RuleContext(state, NOW)) == 600 - 7200
    assert PROTOCOLS.by_id[NASAL].by_hand == ByHand(device_mg=28, doses_mg=(56, 84), apart_s=300)


# --- a dose by hand ---------------------------------------------------------------------------------------------------


def dosed(phase: Phase, *doses_s: float, **change: Any) -> BedState:
    """A bed at which so long ago a device of 28 mg was given, of 56 mg that are ordered."""
    session = Session("s", "bed", Order(NASAL, 70, None, None, None, by_hand_mg=56), phase, NOW, NOW - 900, "nina",
                      doses=tuple(Dose(NOW - before_s, 28, 1, "nina") for before_s in doses_s),
                      started_s=NOW - doses_s[0] if doses_s else None)
    return BedState("bed", protocols=PROTOCOLS, session=replace(session, **change))


IN, OF_ALL = "the first device was given", "the ordered dose is in"
GIVEN: list[tuple[Phase, tuple[float, ...], int, float, list[tuple[str, str]]]] = [  # devices, and how long ago
    ("READY", (), 1, 0, [("INFUSING", IN)]), ("READY", (), 2, 0, [("INFUSING", IN), ("RECOVERY", OF_ALL)]),
    ("PRECHECK", (), 1, 900, [("INFUSING", f"{IN}, before the precheck was done")]),
    ("INFUSING", (600,), 1, 0, [("RECOVERY", OF_ALL)]), ("INFUSING", (600,), 1, 600, [("RECOVERY", OF_ALL)]),
]


@pytest.mark.parametrize(("phase", "doses_s", "devices", "before_s", "moved"), GIVEN)
def test_the_phases_follow_what_was_given(
    phase: Phase, doses_s: tuple[float, ...], devices: int, before_s: float, moved: list[tuple[str, str]],
) -> None:
    state = dosed(phase, *doses_s)
    state.determinations = [Determination(NOW - 1000, 120, 75), Determination(NOW - 930, 121, 76)]
    assert dosing.give(state, Dose(NOW - before_s, 28.0 * devices, devices, "nina"), NOW, "both at once") == moved
    now = state.session
    assert now is not None and now.unready_start is (phase == "PRECHECK")
    assert (now.started_s, len(now.doses)) == (NOW - (doses_s[0] if doses_s else before_s), len(doses_s) + 1)
    assert (now.baseline is not None) is (not doses_s), "it is that of the start"
    assert now.ended_s == (NOW - before_s if moved[-1][0] == "RECOVERY" else None)


@pytest.mark.parametrize(("phase", "doses_s", "devices", "before_s", "says"), [
    ("READY", (), 1, 900.1, "bad_args: minutes_ago must be at most 15, after"),
    ("INFUSING", (600,), 1, 600.1, "bad_args: minutes_ago must be at most 10, after"),
    ("INFUSING", (630, 570), 1, 570.1, "bad_args: minutes_ago must be at most 9, after"),
    ("READY", (), 3, 0, "beyond_order: with these 84 mg it were 84 mg; ordered are 56 mg"),
    ("INFUSING", (600,), 2, 0, "beyond_order: with these 56 mg it were 84 mg; ordered are 56 mg"),
    ("RECOVERY", (600,), 1, 0, "not_now: no dose is due, the phase is RECOVERY"),
])
def test_a_dose_that_cannot_have_been_given_so(
    phase: Phase, doses_s: tuple[float, ...], devices: int, before_s: float, says: str,
) -> None:
    with pytest.raises(dosing.NotGiven) as refused:
        dosing.give(dosed(phase, *doses_s), Dose(NOW - before_s, 28.0 * devices, devices, "nina"), NOW)
    assert str(refused.value).startswith(says)


@pytest.mark.parametrize(("part", "phases"), [(0.5, ["INFUSING", "RECOVERY"]), (0.51, ["INFUSING"])])
def test_what_part_of_the_dose_is_all_of_it(part: float, phases: list[str]) -> None:
    nasal = PROTOCOLS.by_id[NASAL]
    state = dosed("READY")
    state.protocols = Protocols({NASAL: replace(nasal, course=replace(nasal.course, complete=part))})
    assert [phase for phase, _ in dosing.give(state, Dose(NOW, 28, 1, "nina"), NOW)] == phases


def test_a_start_before_a_baseline_keeps_the_one_that_was_taken() -> None:
    was = Baseline(118, 71, 1, "single")
    state = dosed("READY", baseline=was)
    dosing.give(state, Dose(NOW, 28, 1, "nina"), NOW)
    assert state.session is not None and state.session.baseline == was


@pytest.mark.parametrize(("phase", "doses_s", "over_s"), [
    ("INFUSING", (), None), ("INFUSING", (9000, LIMIT_S := PROTOCOLS.by_id[NASAL].course.paused_for_s), None),
    ("INFUSING", (9000, LIMIT_S + 0.1), LIMIT_S + 0.1), ("RECOVERY", (9000,), None),
])
def test_a_dose_that_is_not_gone_on_with_is_over(
    phase: Phase, doses_s: tuple[float, ...], over_s: float | None,
) -> None:
    state = dosed(phase, *doses_s)
    said = [] if over_s is None else [("RECOVERY", f"no further device for {LIMIT_S / 60:g} minutes")]
    assert dosing.follow(state, NOW) == said
    assert state.session is not None and state.session.ended_s == (None if over_s is None else NOW - over_s)
    due_s = NOW - doses_s[-1] + 300 if doses_s and phase == "INFUSING" and over_s is None else None
    assert dosing.next_device_s(state) == due_s
