"""The cohort: many people, each drawn and lived the same way for the same seed, and figures beside published ones."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import fmean

import pytest

from edge.cli.records import replay_journal, verify_journal
from edge.core.burden import Heard, Raise, Stay
from edge.demo.cohort import Figures, Lived, infuse, run_cohort
from edge.demo.cohort_record import Keep
from edge.journal.reader import Reader
from edge.model import AlarmClass, Priority
from edge.process import BadUsage
from simulators.cohort import DURATION_MIN, INFUSION, NASAL, Episode, Person, Second, draw, live
from tests.helpers.rule_files import FILE, PROTOCOLS, RULES

CALM = replace(draw(3, 1, faults=False), episodes=(), response=1.0, weight_kg=70.0, cuff_on_probe_arm=False)


def lived_by(person: Person, from_s: float = -720, until_s: float = 3300) -> list[Second]:
    return [second for second in live(person, 1) if from_s <= second.at_s < until_s]


# --- who they are -----------------------------------------------------------------------------------------------------


def test_the_same_seed_gives_the_same_person_and_another_another() -> None:
    assert draw(5, 1) == draw(5, 1)
    assert len({draw(number, seed).weight_kg for number in range(20) for seed in (1, 2)}) > 30


def test_a_thousand_of_them_are_as_published() -> None:
    people = [draw(number, 1) for number in range(1000)]
    assert fmean(person.hypertensive for person in people) == pytest.approx(0.36, abs=0.04)
    assert fmean(person.response for person in people) == pytest.approx(1.0, abs=0.05)
    assert fmean(any(episode.kind == "sick" for episode in person.episodes) for person in people) == pytest.approx(
        0.14, abs=0.03)
    rises, scores = ([value(person) for person in people] for value in (
        lambda person: person.response, lambda person: math.log(person.dissociation)))
    assert correlation(rises, scores) == pytest.approx(0.5, abs=0.1), "pressure and dissociation go together"


def correlation(xs: list[float], ys: list[float]) -> float:
    x_mean, y_mean = fmean(xs), fmean(ys)
    shared = sum((x - x_mean) * (y - y_mean) for x, y in zip(xs, ys, strict=True))
    return shared / math.sqrt(sum((x - x_mean) ** 2 for x in xs) * sum((y - y_mean) ** 2 for y in ys))


def test_without_faults_nobody_moves_and_no_sensor_slips() -> None:
    people = [draw(number, 1, faults=False) for number in range(300)]
    kinds = {episode.kind for person in people for episode in person.episodes}
    assert kinds == {"desaturation", "anxious", "sick", "vasovagal"}
    assert not any(person.cuff_on_probe_arm for person in people)


# --- what they live through -------------------------------------------------------------------------------------------


def test_the_pump_gives_the_dose_in_forty_minutes_and_stops() -> None:
    seconds = lived_by(CALM)
    infusing = [second.at_s for second in seconds if second.infusing]
    assert (infusing[0], infusing[-1]) == (0, DURATION_MIN * 60 - 1)
    assert {second.rate_ml_h for second in seconds} == {0.0, 52.5}
    assert seconds[-1].volume_ml == pytest.approx(35.0), "0.5 mg/kg of 70 kg at 1 mg/mL"


def test_the_cuff_finds_what_is_true_within_its_noise() -> None:
    found = [(dict(second.cuff)["sbp_mmhg"], second.true_sbp_mmhg) for second in lived_by(CALM)
             if "sbp_mmhg" in dict(second.cuff)]
    assert len(found) > 10
    assert all(value is not None and abs(value - true) < 12 for value, true in found)


SENSED: list[tuple[str, Person, float, bool]] = [
    ("at rest", CALM, 100, True),
    ("the cuff is on the other arm", CALM, 10, True),
    ("the cuff is on the probe's arm, and inflated", replace(CALM, cuff_on_probe_arm=True), 10, False),
    ("the probe is off", replace(CALM, episodes=(Episode("probe_off", 50, 100),)), 100, False),
    ("the probe is on again", replace(CALM, episodes=(Episode("probe_off", 50, 50),)), 100, True),
    ("somebody moves", replace(CALM, episodes=(Episode("moves", 100, 5, 10),)), 102, False),
    ("somebody moves so that it tells something", replace(CALM, episodes=(Episode("moves", 99, 5, 10),)), 102, True),
]


@pytest.mark.parametrize(("person", "at_s", "told"), [row[1:] for row in SENSED], ids=[row[0] for row in SENSED])
def test_when_the_finger_tells_something(person: Person, at_s: float, told: bool) -> None:
    seconds = {second.at_s: second for second in live(person, 1) if second.at_s <= 200}
    inflated = next(at_s for at_s, second in seconds.items() if at_s > 0 and second.inflated)
    found = seconds[inflated + 10 if at_s == 10 else at_s]
    assert (dict(found.oximeter)["spo2_pct"] is not None) is told


def test_of_somebody_who_moves_it_tells_something_too_low() -> None:
    person = replace(CALM, episodes=(Episode("moves", 99, 5, 10),))
    before, during = (dict(second.oximeter)["spo2_pct"] for second in live(person, 1) if second.at_s in (90, 101))
    assert before is not None and during is not None and 7 <= before - during <= 13


def test_a_cuff_during_which_somebody_moves_finds_nothing() -> None:
    calm = [second.at_s for second in lived_by(CALM) if "sbp_mmhg" in dict(second.cuff)]
    ends_s = next(at_s for at_s in calm if at_s > 0)
    moved = replace(CALM, episodes=(Episode("moves", ends_s - 5, 10, 5),))
    cuffs = {second.at_s: dict(second.cuff) for second in lived_by(moved) if "sbp_mmhg" in dict(second.cuff)}
    assert set(cuffs) == set(calm)
    assert [at_s for at_s, cuff in cuffs.items() if cuff["sbp_mmhg"] is None] == [ends_s]


# --- the figures ------------------------------------------------------------------------------------------------------


def lived(*raises: tuple[str, AlarmClass, Priority], rise: float = 10.0, cadss: int = 0,
          ready_min: float | None = 101.0) -> Lived:
    raised = [Raise("chair-1", "s", rule, rule, None, priority, kind, 60.0, 120.0) for rule, kind, priority in raises]
    heard = Heard(raised, {("chair-1", "s"): Stay("chair-1", 0, 3600)}, 3600)
    return Lived(CALM, heard, (rise, rise / 2), cadss, 4, 5, 4, ready_min, (rise >= 20, rise >= 40))


def test_what_a_cohort_shows() -> None:
    figures = Figures.of([
        lived(("HTN-2", "physiological", "medium"), ("HTN-3", "physiological", "high"), rise=40, cadss=20),
        lived(("HTN-1", "physiological", "low"), ("TEC-1", "technical", "medium"), rise=20, cadss=5),
        lived(rise=0, cadss=4),
        lived(rise=0, ready_min=None),
    ])
    assert (figures.sbp_rise[0], figures.dbp_rise[0]) == (15, 7.5)
    assert (figures.severe, figures.raised_fifth, figures.dissociated) == (0.25, 0.5, 0.5)
    assert (figures.sbp_fifth, figures.dbp_fifth) == (0.5, 0.25)
    assert (figures.sbp_rise_dissociated, figures.sbp_rise_others) == (30, 0)
    assert (figures.serious_a_session, figures.quiet, figures.technical_a_session) == (0.5, 0.75, 0.25)
    assert (figures.ready_min, figures.never_ready) == (101, 0.25)
    assert figures.load.an_hour == 1.0, "four alarms in four hours"


def test_under_nasal_esketamine_devices_are_handed_over_and_no_pump_runs() -> None:
    person = replace(draw(1, 1, given=NASAL), episodes=(), dose_mg=84.0)
    seconds = lived_by(person, until_s=2500)
    assert [second.at_s for second in seconds if second.device] == [0, 300, 600]
    assert not any(second.infusing or second.volume_ml for second in seconds)
    assert [second.at_s for second in seconds if second.check_in] == [-540, 0, 1200, 2400]
    found = {second.at_s: second.true_sbp_mmhg for second in seconds}
    assert found[2400] > found[-60], "its effect is greatest at about 40 min"


@pytest.mark.slow
def test_a_nasal_session_is_ready_two_hours_after_its_first_device(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_cohort(1, 1, FILE, faults=False, as_json=True, protocol="esketamine_rems") == 0
    figures = json.loads(capsys.readouterr().out)
    assert 120 <= figures["ready_min"] <= 130
    with pytest.raises(BadUsage, match="write iv_racemic_40 or esketamine_rems"):
        run_cohort(1, 1, FILE, faults=False, as_json=True, protocol="oral")


@pytest.mark.slow
def test_two_infusions_without_faults_raise_no_technical_alarm(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_cohort(2, 1, FILE, faults=False, as_json=True) == 0
    figures = json.loads(capsys.readouterr().out)
    assert (figures["infusions"], figures["technical_a_session"], figures["never_ready"]) == (2, 0, 0)
    assert 100 <= figures["ready_min"] <= 112


# --- its record -------------------------------------------------------------------------------------------------------


def test_a_session_leaves_a_journal_that_verifies_replays_and_is_the_same_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hashes, live = set[str](), partial(infuse, 3, seed=1, rules=RULES, protocols=PROTOCOLS, faults=True,
                                       given=replace(INFUSION, course_min=-6.0))
    for folder in (tmp_path / "one", tmp_path / "two"):
        keep = Keep.begin(folder, FILE.read_text(), FILE.with_name("protocols.toml").read_text())
        found = live(keep=keep)
        assert verify_journal(str(folder / "cohort-000003.db")) == 0
        hashes.add(capsys.readouterr().out.partition("last hash ")[2].partition("\n")[0])
    assert len(hashes) == 1 and found == live()
    assert replay_journal(str(folder / "cohort-000003.db"), None, as_json=False) == 0
    assert "0 differences" in capsys.readouterr().out
    with Reader(str(folder / "cohort-000003.db")) as reader:
        assert reader.edge == "simulated-cohort"
    with pytest.raises(BadUsage, match="something is in this folder; give one that is new or empty"):
        Keep.begin(folder, "", "")
