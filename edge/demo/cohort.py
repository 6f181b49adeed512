"""`vigil simulate --cohort N`: what the rules raise over many simulated sessions, beside what was published.

Each session is judged by a bed of its own, as in service, in told time; no wire, no journal. All processors work.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from statistics import fmean, pstdev

from edge.app.run import read_protocols, read_rules
from edge.config.files import protocols_beside
from edge.core.bedside import Bedside
from edge.core.burden import Heard, Load, load
from edge.core.protocol import Protocols
from edge.core.rules import RuleSet
from edge.demo.cohort_record import BED, DEVICES, Give, Keep, unrecorded
from edge.model import Boot, Command, Input, LinkChanged, PumpStatus, Sample, Samples, Tick, Validity
from edge.process import BadUsage, in_processes
from edge.vocabulary import ATTESTATIONS
from simulators.cohort import (
    BEFORE_MIN,
    DOSE_MG_KG,
    DURATION_MIN,
    GIVEN,
    INFUSION,
    Given,
    Person,
    Reading,
    Second,
    draw,
    live,
)

T0 = 1_800_000_000.0  # any moment: nothing depends on the date
ATTESTED_S = 95 * 60.0  # after the start, when the nurse goes through what discharge asks for
PEAK_MIN = 40.0  # when the published rise was greatest
FIFTH = 0.20  # of the baseline
SEVERE = "HTN-3"
AIM = {"medium or high physiological alarms, a session": "aim: up to 2"}
PUBLISHED: dict[str, dict[str, str]] = {  # beside which figure; sources: simulators/cohort.py
    "iv_racemic_40": AIM | {
        "systolic rise at 40 min, mmHg": "+16.0 (11.2), 2,342 infusions",
        "diastolic rise at 40 min, mmHg": "+11.0 (8.45)",
        "the systolic rise with, without dissociation": "larger with, 741 infusions",
        "sessions with severe hypertension (HTN-3)": "0.98 %",
        "20 % over the baseline at 40 min": "24 % by systolic, 32 % by diastolic, computed",
    },
    "esketamine_rems": AIM | {
        "sessions with severe hypertension (HTN-3)": "0.9 % reported as raised, 1,486,213 sessions",
        "dissociation in a check-in (CADSS)": "41.0 %",
        "sedation in a check-in (MOAA/S)": "34.7 %",
    },
}


@dataclass(frozen=True, slots=True)
class Lived:
    """One infusion: who had it, what was raised, and what the cuff found (mmHg over the baseline, at the peak)."""

    person: Person
    heard: Heard
    rise: tuple[float, float]
    cadss: int  # the highest
    cadss_above: int  # above it: dissociation, by the protocol
    moaas: int  # the lowest,
    moaas_at_most: int  # and from where on that is sedation
    ready_min: float | None  # when the discharge gate opened, in minutes after the start
    fifth: tuple[bool, bool] = (False, False)  # whether these are 20 % of the baseline or more


def run_cohort(count: int, seed: int, rules: Path, *, faults: bool, as_json: bool,
               protocol: str = INFUSION.protocol, keep: Path | None = None) -> int:
    """Live `count` sessions of this protocol under the rules of this file and print what they raised; 0. `keep`: a new
    folder, into which each leaves its journal. Raises BadUsage."""
    given = GIVEN.get(protocol)
    if given is None:
        raise BadUsage(f"--protocol {protocol}: no cohort is known of it; write {' or '.join(GIVEN)}")
    judged, rules_text = read_rules(rules)
    protocols, protocols_text = read_protocols(protocols_beside(rules), judged)
    kept = Keep.begin(keep, rules_text, protocols_text) if keep else None
    one = partial(infuse, seed=seed, rules=judged, protocols=protocols, faults=faults, given=given, keep=kept)
    found: list[Lived] = []
    for lived in in_processes(one, range(count)):
        found.append(lived)
        if sys.stderr.isatty():
            print(f"\r{len(found)} of {count} sessions", end="", file=sys.stderr, flush=True)
    if sys.stderr.isatty():
        print(file=sys.stderr)
    figures = Figures.of(found)
    print(json.dumps(asdict(figures)) if as_json else "\n".join(figures.lines(seed, given)))
    return 0


def infuse(number: int, *, seed: int, rules: RuleSet, protocols: Protocols | None, faults: bool,
           given: Given = INFUSION, keep: Keep | None = None) -> Lived:
    """One session of the cohort, judged; `keep` takes its record."""
    person = draw(number, seed, faults=faults, given=given)
    bed = Bedside(BED, DEVICES, rules, nibp_interval_s=given.cuff_every_s, protocols=protocols)
    if keep is None:
        return _judged(person, seed, bed, unrecorded(bed))
    return keep.live(_session(person), bed, T0 - 60 * BEFORE_MIN, partial(_judged, person, seed, bed))


def _session(person: Person) -> str:
    return f"cohort-{person.number:06d}"


def _judged(person: Person, seed: int, bed: Bedside, give: Give) -> Lived:
    heard, cadss, moaas, ready_min, risen = Heard(), 0, 5, None, list[tuple[float, float]]()
    for second in live(person, seed):
        at_s = T0 + second.at_s
        for told in (*_inputs(person, second, at_s), *_answers(bed, second)):
            for event in give(told, at_s):
                heard.hear(event, bed.rules)
        heard.last_s = at_s
        session = bed.state.session
        cadss = max(cadss, (second.check_in or {}).get("cadss", 0))
        moaas = min(moaas, (second.check_in or {}).get("moaas", 5))
        if session is not None and session.phase == "DISCHARGE_READY" and ready_min is None:
            ready_min = second.at_s / 60
        if session is not None and session.baseline is not None and PEAK_MIN - 6 <= second.at_s / 60 <= PEAK_MIN + 6:
            found = dict(second.cuff)
            if found.get("sbp_mmhg") is not None:
                risen.append(((found["sbp_mmhg"] or 0.0) - session.baseline.sbp_mmhg,
                              (found["dbp_mmhg"] or 0.0) - session.baseline.dbp_mmhg))
    rise = (fmean(sbp for sbp, _ in risen), fmean(dbp for _, dbp in risen)) if risen else (0.0, 0.0)
    session, shows = bed.state.session, bed.state.protocol.dissociation
    rest = session.baseline if session else None
    fifth = (rise[0] >= FIFTH * rest.sbp_mmhg, rise[1] >= FIFTH * rest.dbp_mmhg) if rest else (False, False)
    return Lived(person, heard, rise, cadss, shows.cadss_above, moaas, shows.moaas_at_most, ready_min, fifth)


def _inputs(person: Person, second: Second, at_s: float) -> Iterator[Input]:
    first = second.at_s == -60 * BEFORE_MIN
    if first:
        yield Boot("cohort", 0.0)
        for device, _, _ in DEVICES:
            yield LinkChanged(device, "live")
    yield PumpStatus("pump", "infusing" if second.infusing else "stopped")
    yield _samples("pump", (("rate_ml_h", second.rate_ml_h), ("volume_infused_ml", second.volume_ml)), at_s)
    yield _samples("oximeter", second.oximeter, at_s)
    if second.cuff:
        yield _samples("cuff", second.cuff, at_s)
    if first:
        by_hand = bool(person.given.device_mg)
        order = {"protocol": person.given.protocol, "dose_mg": person.dose_mg} if by_hand else {
            "dose_mg_kg": DOSE_MG_KG, "duration_min": DURATION_MIN, "concentration_mg_ml": 1.0}
        yield Command("open", "cohort", "nurse", "nurse", BED, "start_session", {
            "session": _session(person), "weight_kg": person.weight_kg, "checklist": True, **order})
    if second.device:
        yield Command(f"device {second.at_s:g}", "cohort", "nurse", "nurse", BED, "give_dose", {"devices": 1})
    if second.at_s == ATTESTED_S:
        for what in ATTESTATIONS:
            yield Command(f"seen {what}", "cohort", "nurse", "nurse", BED, "attest", {"what": what, "so": True})
    if second.check_in is not None:
        yield Command(f"check {second.at_s:g}", "cohort", "nurse", "nurse", BED, "check_in", dict(second.check_in))
    yield Tick()


def _answers(bed: Bedside, second: Second) -> Iterator[Command]:
    """Once a minute the nurse acknowledges what the screen shows."""
    if second.at_s % 60 == 0:
        for alarm in list(bed.state.alarms.values()):
            if alarm.state in ("active", "latched"):
                yield Command(f"seen {alarm.id} {alarm.seq}", "cohort", "nurse", "nurse", BED, "acknowledge",
                              {"alarm": alarm.id, "seq": alarm.seq})


def _samples(device: str, readings: Iterable[Reading], at_s: float) -> Samples:
    def validity(value: float | None) -> Validity:
        return "invalid" if value is None else "valid"

    return Samples(device, tuple(Sample(BED, device, metric, value, validity(value), at_s)
                                 for metric, value in readings))


@dataclass(frozen=True)
class Figures:
    """What the cohort shows. Shares are 0 to 1, rises mmHg as (mean, SD)."""

    infusions: int
    sbp_rise: tuple[float, float]
    dbp_rise: tuple[float, float]
    sbp_rise_dissociated: float
    sbp_rise_others: float
    severe: float
    raised_fifth: float
    dissociated: float
    sedated: float
    ready_min: float | None  # on average, of those who were
    never_ready: float
    serious_a_session: float  # medium or high, of no device
    quiet: float  # sessions with no such alarm
    technical_a_session: float
    load: Load
    sbp_fifth: float = 0.0  # 20 % over the baseline at 40 min
    dbp_fifth: float = 0.0

    @classmethod
    def of(cls, found: Sequence[Lived]) -> Figures:
        """The figures of these infusions, at least one."""
        raises = [lived.heard.raises for lived in found]
        serious = [sum(raised.alarm_class == "physiological" and raised.priority in ("medium", "high")
                       for raised in one) for one in raises]
        dissociated = [lived for lived in found if lived.cadss > lived.cadss_above]
        ready = [lived.ready_min for lived in found if lived.ready_min is not None]
        return cls(
            infusions=len(found), sbp_rise=_spread(lived.rise[0] for lived in found),
            dbp_rise=_spread(lived.rise[1] for lived in found),
            sbp_rise_dissociated=_mean(lived.rise[0] for lived in dissociated),
            sbp_rise_others=_mean(lived.rise[0] for lived in found if lived.cadss <= lived.cadss_above),
            severe=_mean(any(raised.rule == SEVERE for raised in one) for one in raises),
            raised_fifth=_mean(any(raised.rule.startswith("HTN-") for raised in one) for one in raises),
            dissociated=len(dissociated) / len(found),
            sedated=_mean(lived.moaas <= lived.moaas_at_most for lived in found),
            ready_min=_mean(ready) if ready else None,
            never_ready=1 - len(ready) / len(found), serious_a_session=_mean(serious),
            quiet=_mean(not count for count in serious),
            technical_a_session=_mean(sum(raised.alarm_class == "technical" for raised in one) for one in raises),
            load=load([lived.heard for lived in found]),
            sbp_fifth=_mean(lived.fifth[0] for lived in found), dbp_fifth=_mean(lived.fifth[1] for lived in found))

    def lines(self, seed: int, given: Given = INFUSION) -> Iterator[str]:
        """As a person reads it."""
        sbp, dbp, published = self.sbp_rise, self.dbp_rise, PUBLISHED[given.protocol]
        rows = [
            ("systolic rise at 40 min, mmHg", f"{sbp[0]:+.1f} (SD {sbp[1]:.1f})"),
            ("diastolic rise at 40 min, mmHg", f"{dbp[0]:+.1f} (SD {dbp[1]:.1f})"),
            ("the systolic rise with, without dissociation",
             f"{self.sbp_rise_dissociated:+.1f}, {self.sbp_rise_others:+.1f}"),
            ("sessions with severe hypertension (HTN-3)", f"{self.severe:.2%}"),
            ("20 % over the baseline at 40 min", f"{self.sbp_fifth:.1%}, {self.dbp_fifth:.1%}"),
            ("either of them twice in the visit, or worse", f"{self.raised_fifth:.1%}"),
            ("dissociation in a check-in (CADSS)", f"{self.dissociated:.1%}"),
            ("sedation in a check-in (MOAA/S)", f"{self.sedated:.1%}"),
            ("ready for discharge, min after the start",
             "-" if self.ready_min is None else f"{self.ready_min:.0f}, never: {self.never_ready:.1%}"),
            ("medium or high physiological alarms, a session", f"{self.serious_a_session:.2f}"),
            ("sessions without any of these", f"{self.quiet:.1%}"),
            ("technical alarms, a session", f"{self.technical_a_session:.2f}"),
            ("alarms a patient-hour", f"{self.load.an_hour:.2f}"),
        ]
        dose = (f"{given.device_mg:g} mg a device" if given.device_mg
                else f"{DOSE_MG_KG:g} mg/kg over {DURATION_MIN:g} min")
        yield f"{self.infusions} simulated sessions of {given.protocol}, {dose} (seed {seed}); right: as published"
        for words, found in rows:
            yield f"{words:<46} {found:>22}  {published.get(words, '')}".rstrip()
        yield "by rule, a session: " + ", ".join(
            f"{rule} {count / self.infusions:.2f}" for rule, count in self.load.by_rule.items())


def _mean(values: Iterable[float]) -> float:
    kept = list(values)
    return fmean(kept) if kept else 0.0


def _spread(values: Iterable[float]) -> tuple[float, float]:
    kept = list(values)
    return fmean(kept), pstdev(kept)
