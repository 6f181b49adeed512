"""The simulated patient: drug levels as published, a calm patient that stays calm, a recorded one as recorded."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulators.patient import Patient, SimulatedPatient
from simulators.physiology import K10, Ketamine
from simulators.recorded import RecordedPatient
from simulators.scenario import BEDS, DOSE_MG_KG, Bed
from tests.helpers.parts import sampled

MIMIC = Path(__file__).parent / "golden" / "mimic_s25047_numerics_1min.csv"
RATE = 0.875  # 35 mg over 40 min, mg/min

# Clements & Nimmo 1981, 70 kg, ke0 = ln2/6.1, solved by LSODA and by matrix exponential: minute, Cp, Ce (ng/mL)
SESSION = [
    (5, 33.20, 8.04), (10, 62.03, 25.93), (20, 109.48, 70.20), (30, 146.88, 112.38), (40, 177.31, 148.37),
    (50, 140.82, 152.60), (60, 115.42, 133.88), (80, 84.73, 97.37), (100, 68.43, 75.53), (120, 58.83, 63.05),
    (160, 47.67, 49.77),
]
INTERRUPTED = [
    (20, 109.48, 70.20), (30, 84.85, 86.45), (50, 165.44, 136.34), (60, 132.43, 142.16), (90, 81.42, 92.92),
    (120, 61.40, 66.41),
]


def infused(minute: int, pauses: bool) -> float:
    running = minute < 20 or 30 <= minute < 50 if pauses else minute < 40
    return RATE if running else 0.0


@pytest.mark.parametrize("steps_a_minute", [1, 3, 120])
@pytest.mark.parametrize(("table", "pauses"), [(SESSION, False), (INTERRUPTED, True)], ids=["session", "interrupted"])
def test_concentrations_are_the_published_ones_at_any_step(
    table: list[tuple[int, float, float]], pauses: bool, steps_a_minute: int
) -> None:
    body, done = Ketamine(70.0), 0
    for until, plasma, effect in table:
        for minute in range(done, until):
            for _ in range(steps_a_minute):
                body.step(1 / steps_a_minute, infused(minute, pauses))
        done = until
        assert body.plasma_ng_ml == pytest.approx(plasma, rel=0.005)
        assert body.effect_ng_ml == pytest.approx(effect, rel=0.005)


doses = st.lists(st.tuples(st.floats(0.01, 30.0), st.floats(0.0, 5.0)), min_size=1, max_size=12)


def after(plan: list[tuple[float, float]], factor: float = 1.0, weight_kg: float = 70.0) -> Ketamine:
    body = Ketamine(weight_kg)
    for dt_min, rate in plan:
        body.step(dt_min, rate * factor)
    return body


@settings(deadline=None)
@given(doses, st.floats(0.1, 10.0))
def test_concentration_is_linear_in_dose(plan: list[tuple[float, float]], factor: float) -> None:
    once, more = after(plan), after(plan, factor)
    assert more.plasma_ng_ml == pytest.approx(once.plasma_ng_ml * factor, rel=1e-9, abs=1e-9)
    assert more.effect_ng_ml == pytest.approx(once.effect_ng_ml * factor, rel=1e-9, abs=1e-9)


@settings(deadline=None)
@given(doses, st.floats(30.0, 150.0))
def test_concentration_does_not_depend_on_weight_at_the_same_dose_a_kilogram(
    plan: list[tuple[float, float]], weight_kg: float
) -> None:
    other = after(plan, weight_kg / 70.0, weight_kg)
    assert other.effect_ng_ml == pytest.approx(after(plan).effect_ng_ml, rel=1e-9, abs=1e-9)


@settings(max_examples=20, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 20), st.floats(0.0, 5.0)), min_size=1, max_size=6))
def test_what_went_in_is_in_the_body_or_has_left_it(plan: list[tuple[int, float]]) -> None:
    """What has left is summed independently: k10 times the central amount, by the trapezoid rule."""
    body, given_mg, left_mg, dt_min = Ketamine(70.0), 0.0, 0.0, 0.02
    for minutes, rate in plan:
        for _ in range(round(minutes / dt_min)):
            before = body.central_mg
            body.step(dt_min, rate)
            left_mg += K10 * dt_min * (before + body.central_mg) / 2
            given_mg += rate * dt_min
    assert body.central_mg + body.peripheral_mg + left_mg == pytest.approx(given_mg, rel=1e-6, abs=1e-9)


# --- the person -------------------------------------------------------------------------------------------------------


def session(bed: Bed, seed: int, minutes: int = 150) -> list[tuple[float, ...]]:
    """SBP, DBP, SpO2 and pulse, minute by minute; the pump runs from minute 10 to 50."""
    patient = SimulatedPatient(seed, bed.weight_kg, baseline=bed.baseline, response=bed.response)
    told = []
    for minute in range(minutes):
        patient.infuse(bed.rate_ml_h if 10 <= minute < 50 else 0.0)
        for _ in range(6):
            patient.step(10.0)
        told.append((patient.sbp_mmhg, patient.dbp_mmhg, patient.spo2_pct, patient.pulse_bpm))
    return [tuple(math.nan if value is None else value for value in row) for row in told]


@pytest.mark.parametrize("bed", sampled(((bed,) for bed in BEDS), 4), ids=lambda bed: str(bed.id))
def test_a_calm_patient_never_reaches_a_fifth_above_any_baseline_measured(bed: Bed) -> None:
    for seed in range(8):
        rows = session(bed, seed)
        before, during = rows[:10], rows[10:]
        assert max(row[0] for row in during) < 1.2 * min(row[0] for row in before)
        assert max(row[1] for row in during) < 1.2 * min(row[1] for row in before)
        assert all(96.5 <= row[2] <= 99 and 50 < row[3] < 100 for row in rows)


def test_the_dose_raises_the_pressure_by_the_calibrated_mean() -> None:
    bed = BEDS[0]
    patient = SimulatedPatient(3, 70.0, response=1.0)
    rested = SimulatedPatient(3, 70.0, response=0.0)
    for person in (patient, rested):
        person.infuse(bed.weight_kg * DOSE_MG_KG * 1.5)
        for _ in range(40 * 60):
            person.step(1.0)
    assert pressure(patient) - pressure(rested) == pytest.approx(0.108 * 148.37, rel=0.005)


def test_a_pressure_that_gets_used_to_the_drug_comes_back_while_the_drug_is_still_there() -> None:
    """Published: greatest 40 min after the start (Yale 2024), back within 1.5 h after the end (Szarmach 2020)."""
    people = [SimulatedPatient(3, 70.0, response=response, tolerance=0.7) for response in (1.29, 0.0)]
    rises = []
    for minute in range(131):
        rises.append(pressure(people[0]) - pressure(people[1]))
        for person in people:
            person.infuse(70.0 * DOSE_MG_KG * 1.5 if minute < 40 else 0.0)
            for _ in range(60):
                person.step(1.0)
    assert rises[40] == pytest.approx(16.0, abs=0.1), "the mean rise of the cohort"
    assert rises.index(max(rises)) == 42
    assert 0 <= rises[130] < 1.0
    assert people[0].ketamine.effect_ng_ml > 30


def pressure(patient: Patient) -> float:
    assert patient.sbp_mmhg is not None
    return patient.sbp_mmhg


def test_a_hypertensive_episode_rises_stays_and_goes() -> None:
    patient = SimulatedPatient(1, baseline=BEDS[0].baseline)
    rest = pressure(patient)
    patient.episode("hypertension", 60.0, 90.0)
    patient.step(45.0)
    half = pressure(patient)
    patient.step(45.0)
    full, diastolic = pressure(patient), patient.dbp_mmhg
    patient.episode("hypertension", 0.0, 300.0)
    for _ in range(300):
        patient.step(1.0)
    assert half - rest == pytest.approx(30.0, abs=8.0)
    assert 178.0 <= full <= 188.0
    assert diastolic is not None
    assert 100.0 <= diastolic <= 110.0
    assert pressure(patient) < 130.0
    with pytest.raises(ValueError, match="hypertension, desaturation"):
        patient.episode("sneeze", 1.0, 1.0)


def test_the_same_seed_is_the_same_patient_however_time_is_cut() -> None:
    one, other = SimulatedPatient(5), SimulatedPatient(5)
    for _ in range(60):
        one.step(1.0)
    for _ in range(240):
        other.step(0.25)
    assert one.sbp_mmhg == pytest.approx(other.sbp_mmhg)
    assert one.spo2_pct == pytest.approx(other.spo2_pct)
    assert SimulatedPatient(6).sbp_mmhg != SimulatedPatient(5).sbp_mmhg


def test_the_pleth_beats_at_the_pulse_rate_and_has_a_dicrotic_notch() -> None:
    patient = SimulatedPatient(1)
    assert patient.pulse_bpm is not None
    beat_s = 60.0 / patient.pulse_bpm
    wave = [patient.pleth(-n * beat_s / 100) for n in range(300)]
    peaks = [n for n in range(1, 299) if wave[n - 1] < wave[n] >= wave[n + 1]]
    assert all(0.0 <= value <= 1.0 for value in wave)
    assert len(peaks) == 6  # in each of three beats the systolic peak and the wave after the notch
    assert wave[0] == pytest.approx(wave[200], abs=0.05)


# --- the recorded one -------------------------------------------------------------------------------------------------


def at_minute(patient: RecordedPatient, minute: int) -> RecordedPatient:
    patient.step(60.0 * minute + 30.0)
    return patient


def test_a_recorded_minute_is_what_was_recorded() -> None:
    first = RecordedPatient(MIMIC)
    assert (first.pulse_bpm, first.spo2_pct, first.sbp_mmhg, first.resp_bpm) == (None, None, None, 16.5)
    third = at_minute(RecordedPatient(MIMIC), 3)
    assert (third.pulse_bpm, third.spo2_pct) == (68.5, 97.8)
    assert (third.sbp_mmhg, third.dbp_mmhg, third.map_mmhg) == (92.0, 49.0, 65.0)
    without_cuff = at_minute(RecordedPatient(MIMIC), 4)
    assert (without_cuff.sbp_mmhg, without_cuff.spo2_pct) == (None, 99.6)


def test_after_the_last_recorded_minute_there_is_nothing() -> None:
    assert at_minute(RecordedPatient(MIMIC), 71).pulse_bpm == 72.7
    patient = at_minute(RecordedPatient(MIMIC), 72)
    assert (patient.pulse_bpm, patient.spo2_pct, patient.sbp_mmhg, patient.resp_bpm) == (None, None, None, None)
    assert patient.pleth(0.0) == 0.5


def test_a_pump_changes_nothing_recorded() -> None:
    patient, other = RecordedPatient(MIMIC), RecordedPatient(MIMIC)
    patient.infuse(52.5)
    at_minute(patient, 24)
    assert pressure(patient) == pressure(at_minute(other, 24)) == 147.0
    assert patient.infused_ml == pytest.approx(52.5 * 24.5 / 60)


HEADER = "minute,PULSE_bpm,RESP_pm,SpO2_pct,NBPSys_mmHg,NBPDias_mmHg,NBPMean_mmHg\n"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", r":1: no column minute"),
        ("minute,SpO2_pct\n", r":1: no column PULSE_bpm"),
        (HEADER, r":2: no rows"),
        (HEADER + "0,70,16,97,,,\n1,seventy,16,97,,,\n", r":3: PULSE_bpm must be a number or empty, not 'seventy'"),
        (HEADER + "0,nan,16,97,,,\n", r":2: PULSE_bpm"),
        (HEADER + "0,70,16\n", r":2: 3 cells, but the header names 7 columns"),
        (HEADER + "1,70,16,97,,,\n1,70,16,97,,,\n", r":3: minute 1 does not come after 1"),
        (HEADER + "0.5,70,16,97,,,\n", r":2: minute must be a whole number"),
    ],
)
def test_a_bad_file_is_one_line_with_file_and_line(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "patient.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=says) as error:
        RecordedPatient(path)
    assert str(error.value).startswith(str(path))
    assert "\n" not in str(error.value)


def test_a_missing_or_binary_file_is_said_so(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_bytes(b"\xff\xfe\x00")
    for name in ("none.csv", "x.csv"):
        with pytest.raises(ValueError, match=name):
            RecordedPatient(tmp_path / name)
