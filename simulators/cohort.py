"""Many simulated infusions, each of another person: what the three devices of a bed say, second by second.

Drawn from published figures where there are any; what is marked "ours" is a choice, to be replaced when somebody
measures it. Simulator grade; never a prediction of a person.

* Blood pressure rises by 16.0 (SD 11.2) / 11.0 (SD 8.45) mmHg at 40 min; severe hypertension in 0.98 % of 2,342
  infusions (Gen Hosp Psychiatry 2024, doi 10.1016/j.genhosppsych.2024.07.001). 36 % had hypertension before (684
  infusions at Emory); they rise more. In 741 infusions pressure rose more where there was dissociation. It is greatest
  40 min after the start and back at the baseline within 1.5 h after the end (Szarmach 2020): the effect site alone
  would have it greatest at 46 min and at 40 % of that an hour and a half after the end,
  so pressure gets used to the drug.
* Nausea in 14 %, vomiting in 11.5 %, anxiety in 10 % (esketamine 84 mg; intravenous infusions take them over: ours).
* Desaturation, vasovagal reactions, and what people do to sensors: ours.
* Nasal esketamine: sedation in 34.7 %, dissociation in 41.0 % and raised blood pressure in 0.9 % of 1,486,213 sessions
  under its REMS, March 2019 to January 2024; the medians here give the first two. It is absorbed so that its effect is
  greatest at about 40 min, half as great as that of an infusion: ours. In 8 to 19 % pressure rises by 40 mmHg or more
  (label): the surges, whose size is ours.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from dataclasses import dataclass

from simulators.patient import Baseline, SimulatedPatient
from simulators.physiology import SBP_MMHG_PER_NG_ML

DOSE_MG_KG, DURATION_MIN = 0.5, 40.0
BEFORE_MIN, AFTER_MIN = 12.0, 75.0
CUFF_EVERY_S, INFLATED_S = 300.0, 28.0
CHECK_IN_EVERY_S = 540.0
HYPERTENSIVE = 0.36
RISE_SD = 0.68  # of the response, whose mean is 1: with the noise of a determination it gives the published SD
USED_TO = 0.7  # the share of the drug that pressure gets used to: greatest at 42 min, 3 % of that 90 min after the end
MADE_UP_FOR = 1.29  # so that the mean rise at 40 min is the published one all the same
COUPLED = 0.5  # how far dissociation goes with the rise of the pressure: ours
CADSS_AT_PEAK = 6.0  # of a median person: ours
APART_FROM = 0.5  # of the effect at the peak: below it nobody dissociates any more: ours, so that it ends in an hour
PEAK_MMHG = 16.0  # the mean rise, at which that person has that score



@dataclass(frozen=True, slots=True)
class Given:
    """How a drug is given, and what the person in the middle shows of it at the peak of its effect."""

    protocol: str
    course_min: float  # from the start to the last minute
    cuff_every_s: float
    check_in_every_s: float
    peak_mmhg: float  # the mean systolic rise then
    cadss: float  # a median person's score
    sedation: float  # the mean logarithm; above 0 at the peak somebody is drowsy
    device_mg: float = 0.0  # of a device that the nurse hands over; 0: a pump gives it
    apart_s: float = 300.0
    surges: float = 0.0  # the share of people whose pressure rises far more
    used_to: float = 0.0  # the share of the drug that pressure gets used to,
    made_up_for: float = 1.0  # and how much more pressure follows the drug for it


INFUSION = Given("iv_racemic_40", DURATION_MIN + AFTER_MIN, CUFF_EVERY_S, CHECK_IN_EVERY_S, PEAK_MMHG, CADSS_AT_PEAK,
                 -0.45, used_to=USED_TO, made_up_for=MADE_UP_FOR)
NASAL = Given("esketamine_rems", 150.0, 600.0, 1200.0, 8.0, 4.4, -0.17, device_mg=28.0, surges=0.12)
GIVEN = {one.protocol: one for one in (INFUSION, NASAL)}
ABSORBED, HALF_ABSORBED_MIN = 0.25, 10.0  # of what a device gives: so much, half of it in so long (ours)
NASAL_DOSES_MG = (56.0, 84.0, 84.0)  # two of three sessions have the higher one (ours)

Reading = tuple[str, float | None]  # metric, and its value; None: the device has none


@dataclass(frozen=True, slots=True)
class Episode:
    """Something that happens to a person. `from_s`: after the infusion's start."""

    kind: str  # hypertension, desaturation, tachycardia (amounts as in patient.py), anxious, sick, moves, probe_off
    from_s: float
    for_s: float
    amount: float = 0.0


@dataclass(frozen=True, slots=True)
class Person:
    """One infusion of the cohort."""

    number: int
    weight_kg: float
    hypertensive: bool
    baseline: Baseline
    response: float  # 1: the mean rise of the pressure
    dissociation: float  # 1: the median score
    sedation: float  # above 1 at the peak: drowsy
    cuff_on_probe_arm: bool
    episodes: tuple[Episode, ...]
    given: Given = INFUSION
    dose_mg: float = 0.0  # by devices


@dataclass(slots=True)
class Second:
    """What one second brings. `at_s`: after the infusion's start."""

    at_s: float
    oximeter: tuple[Reading, ...]
    cuff: tuple[Reading, ...]  # empty: it says nothing new
    inflated: bool
    infusing: bool
    rate_ml_h: float
    volume_ml: float
    check_in: dict[str, int] | None
    true_sbp_mmhg: float
    device: bool = False  # one is handed over


def draw(number: int, seed: int, *, faults: bool = True, given: Given = INFUSION) -> Person:
    """Person `number` of the cohort of this `seed`. `faults`: sensors slip, people move and visit the bathroom."""
    rng = random.Random(f"cohort {seed} {number}")
    hypertensive = rng.random() < HYPERTENSIVE
    shared = rng.gauss(0, 1)
    dissociation = math.exp(0.6 * (COUPLED * shared + math.sqrt(1 - COUPLED**2) * rng.gauss(0, 1)))
    response = _within(1 + RISE_SD * shared, 0.05, 2.6) * (1.15 if hypertensive else 0.92)
    baseline = Baseline(
        sbp_mmhg=_within(rng.gauss(128 if hypertensive else 117, 9), 96, 136),
        dbp_mmhg=_within(rng.gauss(78 if hypertensive else 73, 6), 58, 84),
        pulse_bpm=_within(rng.gauss(74, 9), 56, 98), spo2_pct=_within(rng.gauss(97.5, 0.8), 95.5, 99.5),
        resp_bpm=_within(rng.gauss(14, 1.5), 10, 18), perfusion_index_pct=_within(rng.gauss(4, 1.5), 0.8, 9))
    return Person(number, round(_within(rng.gauss(78, 16), 48, 130), 1), hypertensive, baseline, response, dissociation,
                  sedation=math.exp(rng.gauss(given.sedation, 0.5)),
                  cuff_on_probe_arm=faults and rng.random() < 0.08,
                  episodes=tuple(sorted(_episodes(rng, given, faults=faults), key=lambda episode: episode.from_s)),
                  given=given, dose_mg=rng.choice(NASAL_DOSES_MG) if given.device_mg else 0.0)


def _within(value: float, low: float, high: float) -> float:
    return min(max(value, low), high)


def _episodes(rng: random.Random, given: Given, *, faults: bool) -> Iterator[Episode]:
    end_s = DURATION_MIN * 60
    if given.surges and rng.random() < given.surges:
        yield Episode("surge", rng.uniform(600, 1800), rng.uniform(1800, 3600), rng.uniform(22, 44))
    if rng.random() < 0.04:
        yield Episode("desaturation", rng.uniform(600, end_s + 1200), rng.uniform(40, 180), rng.uniform(5, 13))
    if rng.random() < 0.10:
        yield Episode("anxious", rng.uniform(480, end_s), rng.uniform(240, 900), rng.uniform(12, 40))
    if rng.random() < 0.14:
        yield Episode("sick", rng.uniform(900, end_s + 1800), rng.uniform(300, 1200), rng.uniform(2, 7))
    if rng.random() < 0.007:
        yield Episode("vasovagal", rng.uniform(-500, end_s + 2400), rng.uniform(90, 300), rng.uniform(25, 40))
    if not faults:
        return
    for _ in range(rng.choice((0, 1, 1, 2, 2, 3, 5))):
        yield Episode("moves", rng.uniform(-600, end_s + 60 * AFTER_MIN - 600), rng.uniform(3, 18), rng.uniform(4, 15))
    if rng.random() < 0.30:
        yield Episode("probe_off", end_s + rng.uniform(1500, 3000), rng.uniform(150, 330))


def live(person: Person, seed: int) -> Iterator[Second]:
    """The whole visit, from the first cuff to the last minute, at one reading a second."""
    given, rng = person.given, random.Random(f"sensors {seed} {person.number}")
    patient = SimulatedPatient(seed * 100_003 + person.number, person.weight_kg, 1.0, person.baseline,
                               person.response * given.made_up_for, given.used_to)
    dose_ml = 0.0 if given.device_mg else DOSE_MG_KG * person.weight_kg
    rate_ml_h, volume_ml, missed = dose_ml / (DURATION_MIN / 60), 0.0, False
    cuff_s, check_in_s = -600.0, -540.0
    for at_s in (float(second) for second in range(int(-60 * BEFORE_MIN), int(60 * given.course_min))):
        _happen(patient, person, at_s)
        infusing = at_s >= 0 and volume_ml < dose_ml - 1e-9
        patient.infuse(_absorbed_mg_h(person, at_s) if given.device_mg else rate_ml_h if infusing else 0.0)
        patient.step(1.0)
        volume_ml = min(dose_ml, volume_ml + (rate_ml_h / 3600 if infusing else 0.0))
        since_cuff_s = at_s - cuff_s
        inflated = 0 <= since_cuff_s < INFLATED_S
        now = [episode for episode in person.episodes if episode.from_s <= at_s < episode.from_s + episode.for_s]
        kinds = {episode.kind for episode in now}
        if since_cuff_s == 0:
            missed = "moves" in kinds
        cuff: tuple[Reading, ...] = ()
        if inflated:
            cuff = (("cuff_pressure_mmhg", 150.0 - 4 * since_cuff_s),)
        elif since_cuff_s == INFLATED_S:
            cuff, missed = _determined(patient, rng, missed=missed or "moves" in kinds), False
            cuff_s += 120 if at_s < -300 else given.cuff_every_s
        check_in = None
        if at_s == check_in_s:
            check_in = _scores(person, patient, now)
            check_in_s = 0.0 if check_in_s < 0 else check_in_s + given.check_in_every_s
        lost = "probe_off" in kinds or (person.cuff_on_probe_arm and inflated and since_cuff_s > 3)
        yield Second(at_s, _felt(patient, rng, now, lost=lost), cuff, inflated, infusing,
                     rate_ml_h if infusing else 0.0, volume_ml, check_in, patient.sbp_mmhg or 0.0,
                     device=at_s in _handed_over_s(person))


def _handed_over_s(person: Person) -> list[float]:
    """When the nurse hands over a device, s after the start."""
    given = person.given
    count = int(person.dose_mg / given.device_mg) if given.device_mg else 0
    return [number * given.apart_s for number in range(count)]


def _absorbed_mg_h(person: Person, at_s: float) -> float:
    """How fast what was sprayed gets into the blood, mg/h."""
    quick = math.log(2) / HALF_ABSORBED_MIN
    return 60 * sum(person.given.device_mg * ABSORBED * quick * math.exp(-quick * (at_s - from_s) / 60)
                    for from_s in _handed_over_s(person) if at_s >= from_s)


def _happen(patient: SimulatedPatient, person: Person, at_s: float) -> None:
    for episode in person.episodes:
        begins = episode.from_s <= at_s < episode.from_s + 1
        ends = episode.from_s + episode.for_s <= at_s < episode.from_s + episode.for_s + 1
        if not (begins or ends):
            continue
        amount = episode.amount if begins else 0.0
        if episode.kind == "desaturation":
            patient.episode("desaturation", amount, 25.0)
        elif episode.kind == "anxious":
            patient.episode("tachycardia", amount, 60.0)
            patient.episode("hypertension", amount / 3, 60.0)
        elif episode.kind == "surge":
            patient.episode("hypertension", amount, 600.0)
        elif episode.kind == "vasovagal":
            patient.episode("tachycardia", -amount, 20.0)
            patient.episode("hypertension", -amount, 20.0)


def _determined(patient: SimulatedPatient, rng: random.Random, *, missed: bool) -> tuple[Reading, ...]:
    """A determination, within 3 mmHg (SD) of what is true; one during which somebody moved finds nothing."""
    metrics = ("sbp_mmhg", "dbp_mmhg", "map_mmhg")
    if missed:
        return tuple((metric, None) for metric in metrics)
    sbp, dbp = (round((value or 0.0) + rng.gauss(0, 3)) for value in (patient.sbp_mmhg, patient.dbp_mmhg))
    return (("sbp_mmhg", sbp), ("dbp_mmhg", dbp), ("map_mmhg", round(dbp + (sbp - dbp) / 3)))


def _felt(
    patient: SimulatedPatient, rng: random.Random, now: list[Episode], *, lost: bool,
) -> tuple[Reading, ...]:
    """What the finger tells. Of somebody who moves it says nothing, or, one time in three, something too low."""
    spo2, pulse = patient.spo2_pct or 0.0, patient.pulse_bpm or 0.0
    moves = next((episode for episode in now if episode.kind == "moves"), None)
    if moves is not None:
        wrong = int(moves.from_s) % 3 == 0
        lost, spo2 = lost or not wrong, spo2 - (moves.amount + rng.uniform(-1, 1))
    found: tuple[float | None, float | None] = (None, None) if lost else (float(round(spo2)), float(round(pulse)))
    return (("spo2_pct", found[0]), ("pulse_bpm", found[1]))


def _scores(person: Person, patient: SimulatedPatient, now: list[Episode]) -> dict[str, int]:
    """What a nurse finds who asks: MOAA/S, CADSS, anxiety, distress, nausea."""
    effect = patient.ketamine.effect_ng_ml * SBP_MMHG_PER_NG_ML / person.given.peak_mmhg
    apart = max(0.0, (effect - APART_FROM) / (1 - APART_FROM))
    anxious = any(episode.kind == "anxious" for episode in now)
    sick = max((episode.amount for episode in now if episode.kind == "sick"), default=0.0)
    drowsy = person.sedation * effect
    upset = 8 if anxious and person.dissociation > 1 else 5 if anxious else 1
    return {"moaas": 5 - (drowsy > 1) - (drowsy > 1.7) - (drowsy > 2.6),
            "cadss": min(92, round(person.given.cadss * person.dissociation * apart)),
            "anxiety": upset, "distress": upset, "nausea": round(sick)}
