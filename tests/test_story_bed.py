"""What a story's bed begins with, whose alarms count there, and what goes on by itself while the story says nothing."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from msgspec.structs import replace as replaced

from edge.core.state import Determination
from edge.core.stopping import Stop
from edge.core.stories import Begun, StoryError, own_family, run_story
from edge.core.story_bed import QUIET_CHECK_IN, T0, Pressure, Shown
from edge.model import Command, Input, LinkState, Phase, PumpStatus, Samples, Tick
from edge.vocabulary import ATTESTATIONS
from tests.helpers.rule_files import RULES
from tests.helpers.story_line import FOUND, MANY, NOW, begun, say


def test_what_a_story_begins_with_where_it_says_nothing() -> None:
    bed = run_story("given infusing\n0:01", "story.txt", RULES)
    session = bed.bedside.state.session
    assert session is not None and session.baseline is not None
    assert (session.order.weight_kg, session.order.dose_mg_kg, session.order.duration_min) == (70, 0.5, 40)
    assert (session.order.concentration_mg_ml, session.order.nibp_interval_min, bed.interval_s) == (1, 5, 300)
    assert (session.baseline.sbp_mmhg, session.baseline.dbp_mmhg, bed.pressure) == (120, 75, Pressure(120, 75))
    assert [one.at_s - T0 for one in bed.bedside.state.determinations] == [-110, -40]
    assert bed.shown == FOUND | {"resp_bpm": Shown(14.0)}
    assert (session.checklist, bed.rate_ml_h, bed.dose_ml, bed.other) == (True, 52.5, 35, None)
    assert bed.seq == len(bed.pending_events) > 0, "each event has its number"
    nasal = begun("protocol esketamine_rems").bedside.state.session
    assert nasal is not None and (nasal.order.dose_mg, nasal.doses[0].devices) == (56, 2)


def test_which_devices_a_story_is_given() -> None:
    bare = run_story("given no session, no oximeter, vtbi 35", "story.txt", RULES)
    assert (bare.shown, set(bare.links)) == ({"vtbi_ml": Shown(35.0)}, {"pump", "cuff"})
    many = run_story("given no session, two pumps, pumps may be stopped, two of each", "story.txt", RULES)
    assert {name: one.stops for name, one in many.bedside.state.devices.items()} == {
        "pump": True, "pump-2": True, "cuff": False, "cuff-2": False, "oximeter": False, "oximeter-2": False}


def test_a_beginning_that_was_kept_is_as_one_that_was_lived() -> None:
    """Where it is a minute long, and a bit more is asked for."""
    given, kept = "infusing, background: quiet", Begun()
    run_story(f"given {given}\n1:02", "first", RULES, begun=kept)
    assert [one.at_s - T0 for one in kept[given]] == [0, 60]
    after, alone = (run_story(f"given {given}\n1:00.5 spo2 96", "this", RULES, begun=by) for by in (kept, None))
    assert (after.bedside.snapshot(), after.at_s, after.seq) == (alone.bedside.snapshot(), alone.at_s, alone.seq)


@pytest.mark.parametrize(("rule", "family"), [
    ("HTN-3", {"HTN-1", "HTN-2", "HTN-3", "HTN-4", "HTN-R"}), ("TEC-4", {"TEC-1", "TEC-4", "TEC-10"}),
    ("DIS-4", {"DIS-4"}),
])
def test_whose_alarms_count_in_the_story_of_a_rule(rule: str, family: set[str]) -> None:
    assert own_family(rule, RULES) == family


def test_what_a_story_names_is_its_business_whoever_s_it_is() -> None:
    story = "given infusing, background: quiet\n0:10 link cuff lost -> nothing\n0:40 -> TEC-4:cuff active"
    run_story(story, "story.txt", RULES, "HTN-3")
    with pytest.raises(StoryError, match="expected nothing, but TEC-4:cuff"):
        run_story(f"{story}, nothing", "story.txt", RULES, "HTN-3")


@pytest.mark.parametrize(("of", "background", "counts"), [
    ("TEC-10", "", True), ("TEC-10", ", background: quiet", False), ("RES-2", "", False), (None, "", False),
])
def test_whether_the_bed_is_watched_counts_in_its_own_stories_alone(
    of: str | None, background: str, counts: bool,
) -> None:
    """And there only where the background is whole."""
    story = f"given infusing{background}" + "\n".join([
        "", "0:10 spo2 none sensor_off", "0:24 spo2 80", "0:25 spo2 none sensor_off", "0:39 spo2 80",
        "0:40 spo2 none sensor_off", "0:42"])
    if not counts:
        run_story(story, "story.txt", RULES, of)
        return
    with pytest.raises(StoryError, match="nobody expected TEC-10"):
        run_story(story, "story.txt", RULES, of)


# --- what goes on by itself ---

OX, SECOND = "oximeter spo2_pct=97 pulse_bpm=70", ["pump-2 stopped", "pump-2 rate_ml_h=0 volume_infused_ml=0"]
PUMP = ["pump infusing", "pump rate_ml_h=52.5"]
SECONDS: list[tuple[str, list[str]]] = [  # what was said before, and what is given in the next second
    ("heard", [*PUMP, *SECOND, OX]), ("link pump lost", [*SECOND, OX]), ("link pump-2 silent", [*PUMP, OX]),
    ("link oximeter lost", [*PUMP, *SECOND]), ("spo2 silent", [*PUMP, *SECOND]),
    ("second spo2 91", [*PUMP, *SECOND, OX, "oximeter-2 spo2_pct=91"]),
    ("second spo2 91; link oximeter-2 lost", [*PUMP, *SECOND, OX]),
    ("second pump infusing 36", [*PUMP, "pump-2 infusing", "pump-2 rate_ml_h=36 volume_infused_ml=0.01", OX]),
    ("second pump infusing 7200; second volume 3",
     [*PUMP, "pump-2 infusing", "pump-2 rate_ml_h=7200 volume_infused_ml=5", OX]),
    ("cuff_pressure 80", [*PUMP, *SECOND, OX, "cuff cuff_pressure_mmhg=80"]),
    ("cuff_pressure 80; link cuff lost", [*PUMP, *SECOND, OX]),
    ("vtbi 30", [*PUMP[:1], f"{PUMP[1]} vtbi_ml=30", *SECOND, OX]),
    ("pump stopped", ["pump stopped", "pump rate_ml_h=0", *SECOND, OX]),
    ("pump unknown; vtbi 30", ["pump unknown", *SECOND, OX]),
    ("pump silent; vtbi 30", [*SECOND, OX]), ("volume_infused 2; pump mum", ["pump volume_infused_ml=2", *SECOND, OX]),
]


def as_said(given: Input) -> str:
    match given:
        case Samples(device=device, samples=samples):
            return " ".join([device, *(f"{one.metric}={one.value:g}" for one in samples if one.value is not None)])
        case PumpStatus(device=device, state=state):
            return f"{device} {state}"
    return type(given).__name__


@pytest.mark.parametrize(("line", "expected"), SECONDS, ids=[row[0] for row in SECONDS])
def test_what_goes_on_by_itself_in_a_second(line: str, expected: list[str]) -> None:
    bed = say(begun(MANY).copy(), line)
    found = list[str]()
    bed.heard = lambda one, at_s: found.append(as_said(one) if at_s == NOW + 1 else "too late")
    bed.pass_second()
    assert found == [*expected, "Tick"]


def test_seconds_are_whole_and_the_last_is_left_to_what_happens_in_it() -> None:
    bed, found = begun(MANY).copy(), list[float]()
    bed.heard = lambda one, at_s: found.append(at_s - NOW) if isinstance(one, Tick) else None
    for until_s in (2.5, 4.0, 4.5):
        bed.pass_until(NOW + until_s)
    assert (found, bed.at_s - NOW) == ([1, 2, 3], 4.5)
    bed.pass_second()
    assert found[-1] == 5


def test_where_the_background_is_whole_a_pump_counts_and_stops_when_all_is_in() -> None:
    bed = begun("infusing").copy()
    bed.volume_ml, bed.rate_ml_h = 33.0, 3600.0
    found = list[str]()
    bed.heard = lambda one, _: found.append(as_said(one))
    for _ in range(2):
        bed.pass_second()
    assert [one for one in found if one.startswith("pump")] == [
        "pump infusing", "pump rate_ml_h=3600 volume_infused_ml=34",
        "pump stopped", "pump rate_ml_h=0 volume_infused_ml=35"]
    assert begun("infusing").volume_ml == pytest.approx(52.5 / 3600 * 11)


@pytest.mark.parametrize(("phase", "change", "attested"), [
    ("RECOVERY", {}, True), ("PAUSED", {}, False), ("RECOVERY", {"attests": False}, False),
    ("RECOVERY", {"checks_in": False}, False), ("RECOVERY", {"check_in_at_s": NOW - 598}, False),
    ("RECOVERY", {"is_quiet": True}, False),
])
def test_what_the_nurse_enters_by_herself(phase: Phase, change: dict[str, Any], attested: bool) -> None:
    bed = replace(begun("infusing").copy(), **{"check_in_at_s": NOW - 599, "pump": "stopped", **change})
    assert bed.bedside.state.session is not None
    bed.bedside.state.session = replaced(bed.bedside.state.session, phase=phase, ended_s=NOW)
    found = list[Input]()
    bed.heard = lambda one, _: found.append(one)
    bed.pass_second()
    asked = [(one.verb, one.args) for one in found if isinstance(one, Command)]
    checks_in = change in ({}, {"attests": False})
    assert asked == [*([("check_in", QUIET_CHECK_IN)] if checks_in else []), *(
        ("attest", {"what": what, "so": True}) for what in ATTESTATIONS if attested)]
    assert QUIET_CHECK_IN == {"moaas": 5, "cadss": 2, "anxiety": 1, "distress": 1, "nausea": 0}


@pytest.mark.parametrize(("line", "counts_ml"), [
    ("move because it is broken", 0.0), ("move with pump because it is broken", 5.0)])
def test_the_pump_at_the_other_bed_has_given_nothing_unless_it_is_the_same(line: str, counts_ml: float) -> None:
    bed = begun("precheck, two beds, background: quiet").copy()
    bed.volume_ml = 5.0
    say(bed, line)
    assert (bed.refusal, bed.name, bed.pump, bed.volume_ml) == (None, "story-2", "stopped", counts_ml)


WIRE = "infusing, cuff by wire"


@pytest.mark.parametrize(("given", "change", "cuff", "before_s", "measures"), [
    ("infusing", {}, "live", 299, True), ("infusing", {}, "live", 298, False), ("infusing", {}, "lost", 299, False),
    ("infusing", {"pressure": None}, "live", 299, False), ("infusing", {"is_quiet": True}, "live", 299, False),
    ("infusing", {"interval_s": None}, "live", 299, True), ("infusing", {"interval_s": None}, "live", 298, False),
    ("precheck", {"interval_s": None}, "live", 299, False), (WIRE, {}, "live", 299, True),
    (WIRE, {}, "live", 298, False), ("precheck, cuff by wire", {}, "live", 299, False),
])
def test_when_the_cuff_measures_by_itself(
    given: str, change: dict[str, Any], cuff: LinkState, before_s: float, measures: bool,
) -> None:
    """By the order, and, where there is no interval or the wire starts it, when the bed says that one is due."""
    bed = replace(begun(given).copy(), **{"cuff_at_s": NOW - before_s, **change})
    state = bed.bedside.state
    assert state.session is not None
    state.session = replaced(state.session, started_s=None if "precheck" in given else NOW - 999)
    state.determinations = [Determination(NOW - before_s, 120, 75)]
    bed.links["cuff"] = cuff
    found = list[str]()
    bed.heard = lambda one, _: found.append(as_said(one))
    bed.pass_second()
    assert [one for one in found if one.startswith("cuff")] == (
        ["cuff sbp_mmhg=120 dbp_mmhg=75 nibp_pulse_bpm=70"] if measures else [])


@pytest.mark.parametrize(("device", "change", "line", "stops"), [
    ("pump", {"sent_s": NOW}, "heard", True), ("pump", {"sent_s": NOW + 1}, "heard", False),
    ("pump", {}, "heard", False),
    ("pump", {"sent_s": NOW, "confirmed_s": NOW}, "heard", False), ("pump", {"sent_s": NOW}, "stop ignored", False),
    ("pump", {"sent_s": NOW}, "link pump lost", False), ("pump-2", {"sent_s": NOW}, "heard", True),
    ("pump-2", {"sent_s": NOW}, "link pump-2 lost", False),
])
def test_a_pump_that_is_told_to_stop_does_so(device: str, change: dict[str, Any], line: str, stops: bool) -> None:
    bed = say(begun(MANY).copy(), f"second pump infusing 30; {line}")
    bed.bedside.state.stop = Stop(device, "a", "RES-3", "low", NOW, NOW + 5, **change)
    bed.go_on()
    bed.at_s += 1
    bed.go_on()
    stopped = device if stops else ""
    assert (bed.pump == "stopped", bed.second_pump == "stopped") == (stopped == "pump", stopped == "pump-2")
