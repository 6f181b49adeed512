"""Scenarios as data: which devices stand at which bed, and what happens to them, minute by minute.

A step's minute counts simulated time from "go". What it does is a hand of the device's twin (start, probe_off, mute),
something done to its plug (unplug, replug), or an episode of the patient (device "patient").
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from drivers.contract import Transport
from simulators.contract import TwinSpec
from simulators.patient import Baseline

DOSE_MG_KG = 0.5
OVER_MIN = 40.0
CONCENTRATION_MG_ML = 1.0
FIRST_START_MIN, NEXT_START_MIN, STARTS = 3.0, 0.2, 10  # pumps start one after another, ten to a turn

PATIENT = "patient"
AT_REST = Baseline()


@dataclass(frozen=True, slots=True)
class Device:
    """A twin at a bed: its name there, whose twin it is, and what it is reached by."""

    id: str
    driver: str
    transport: Transport


@dataclass(frozen=True, slots=True)
class Bed:
    """A bed, its devices, and who sits in it. `response` is the g of the pressure model (simulators/patient.py)."""

    id: str
    devices: tuple[Device, ...]
    weight_kg: float = 70.0
    baseline: Baseline = AT_REST
    response: float = 0.5

    @property
    def dose_ml(self) -> float:
        return self.weight_kg * DOSE_MG_KG / CONCENTRATION_MG_ML

    @property
    def rate_ml_h(self) -> float:
        return self.dose_ml / (OVER_MIN / 60.0)


@dataclass(frozen=True, slots=True)
class Step:
    """What happens at simulated minute `at_min` after "go". `amount` and `over_s` are for episodes."""

    at_min: float
    bed: str
    device: str
    do: str
    amount: float = 0.0
    over_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Scenario:
    beds: tuple[Bed, ...]
    steps: tuple[Step, ...] = ()


_ALARIS = Device("pump", "alaris_gh", "serial")
_ISCO_TCP = Device("pump", "isco", "modbus+tcp")
_ISCO_RTU = Device("pump", "isco", "modbus+rtu")
_CUFF = Device("cuff", "suntech_advantage", "serial")
_NONIN = Device("oximeter", "nonin", "serial")
_CONTEC = Device("oximeter", "contec_cms60", "serial")

BEDS: tuple[Bed, ...] = (
    Bed("chair-1", (_ALARIS, _CUFF, _NONIN), 70.0, Baseline(122.0, 76.0, 70.0), 0.5),
    Bed("chair-2", (_ISCO_TCP, _CUFF, _CONTEC), 82.0, Baseline(118.0, 74.0, 66.0), 0.45),
    Bed("chair-3", (_ISCO_RTU, _CUFF, _NONIN), 58.0, Baseline(112.0, 70.0, 76.0), 0.4),
    Bed("chair-4", (_ALARIS, _CUFF, _NONIN), 75.0, Baseline(126.0, 78.0, 72.0), 0.5),
)

# What goes wrong in the story; minutes of that bed's own infusion.
TROUBLE: tuple[Step, ...] = (
    Step(29.5, "chair-1", PATIENT, "hypertension", amount=60.0, over_s=90.0),
    Step(41.0, "chair-1", PATIENT, "hypertension", amount=0.0, over_s=300.0),
    Step(10.0, "chair-2", "cuff", "mute"),
    Step(22.0, "chair-2", "cuff", "unmute"),
    Step(15.0, "chair-3", "oximeter", "probe_off"),
    Step(18.0, "chair-3", "oximeter", "probe_on"),
    Step(20.0, "chair-4", "pump", "unplug"),
    Step(22.0, "chair-4", "pump", "replug"),
)


def start_min(number: int) -> float:
    """When the pump of the `number`th bed (from 0) starts."""
    return FIRST_START_MIN + NEXT_START_MIN * (number % STARTS)


def calm(count: int | None = None) -> Scenario:
    """`count` beds (4), each a session without trouble; from the fifth on, the four device sets come round again."""
    beds = tuple(
        Bed(f"chair-{n + 1}", like.devices, like.weight_kg, like.baseline, like.response)
        for n in range(len(BEDS) if count is None else count)
        for like in (BEDS[n % len(BEDS)],)
    )
    return Scenario(beds, tuple(Step(start_min(n), bed.id, "pump", "start") for n, bed in enumerate(beds)))


def story(count: int | None = None) -> Scenario:
    """The four beds of `calm` with their trouble: blood pressure, a dead cuff, a finger out, a pulled cable."""
    quiet = calm(count)
    began = {bed.id: start_min(n) for n, bed in enumerate(quiet.beds)}
    trouble = (
        Step(began[step.bed] + step.at_min, step.bed, step.device, step.do, step.amount, step.over_s)
        for step in TROUBLE
        if step.bed in began
    )
    return Scenario(quiet.beds, tuple(sorted((*quiet.steps, *trouble), key=lambda step: step.at_min)))


# A day's opening, in minutes since it began. When the demonstration shows its first page, DAY_OPENS_MIN are over: the
# first bed is in minute 29 of its infusion, the second in minute 8, the third before, the fourth after.
DAY_OPENS_MIN = 52.0
DAY_STARTS_MIN = {"chair-1": 23.0, "chair-2": 44.0, "chair-4": 5.0}
LATE_STARTS_MIN = (50.0, 48.0, None, 51.0, None, 49.0)  # of the beds from the fifth on, in turn; None: not yet


def day_starts_min(count: int | None = None) -> dict[str, float]:
    """When the pump of each bed was started that is not before its infusion, minutes since the day began. Beds from
    the fifth on began late: what they lived before the first page takes whoever starts a demonstration time."""
    beds = [bed.id for bed in calm(count).beds]
    late = {bed: LATE_STARTS_MIN[number % len(LATE_STARTS_MIN)] for number, bed in enumerate(beds[len(BEDS):])}
    return {bed: at_min for bed, at_min in {**{bed: DAY_STARTS_MIN.get(bed) for bed in beds}, **late}.items()
            if at_min is not None}


DAY_STEPS: tuple[Step, ...] = (
    Step(DAY_OPENS_MIN - 0.5, "chair-1", PATIENT, "hypertension", amount=75.0, over_s=90.0),
    Step(DAY_OPENS_MIN + 12.0, "chair-1", PATIENT, "hypertension", amount=0.0, over_s=240.0),
    Step(DAY_OPENS_MIN + 0.2, "chair-2", PATIENT, "desaturation", amount=10.5, over_s=10.0),
    Step(DAY_OPENS_MIN + 4.0, "chair-2", PATIENT, "desaturation", amount=0.0, over_s=40.0),
    Step(DAY_OPENS_MIN + 7.0, "chair-4", "oximeter", "probe_off"),
    Step(DAY_OPENS_MIN + 9.0, "chair-4", "oximeter", "probe_on"),
)


def day(count: int | None = None) -> Scenario:
    """The beds of `calm` on a busy day, taken up in its middle; what comes later is the demonstration's own story."""
    beds = calm(count).beds
    here = {bed.id for bed in beds}
    starts = tuple(Step(at_min, bed, "pump", "start") for bed, at_min in day_starts_min(count).items())
    steps = (*starts, *(step for step in DAY_STEPS if step.bed in here))
    return Scenario(beds, tuple(sorted(steps, key=lambda step: step.at_min)))


SCENARIOS: Mapping[str, Callable[[int | None], Scenario]] = {"story": story, "calm": calm, "day": day}


def catalogue(names: Iterable[str], twins: Mapping[str, TwinSpec], beds: int = 1) -> Scenario:
    """`beds` beds, each with a twin of every name; NAME:TRANSPORT picks one transport, else a twin for each.

    Pumps stand programmed and stopped. Raises ValueError with one clear line for a name that has no twin.
    """
    devices: list[Device] = []
    for text in names:
        name, _, wanted = text.partition(":")
        if name not in twins:
            raise ValueError(f"no twin named {name!r}; there are: {', '.join(twins)} (--simulators names a folder of"
                             " your own)")
        for transport in _transports(name, twins[name], wanted):
            many = len(_transports(name, twins[name], "")) > 1
            kind = f"-{transport.removeprefix('modbus+')}" if many or wanted else ""
            devices.append(Device(name.replace("_", "-") + kind, name, transport))
    if len({device.id for device in devices}) < len(devices):
        raise ValueError("the same twin is named twice")
    return Scenario(tuple(Bed(f"chair-{n + 1}", tuple(devices)) for n in range(beds)))


def _transports(name: str, spec: TwinSpec, wanted: str) -> tuple[Transport, ...]:
    known = spec.transports if "serial" not in spec.transports else (*dict.fromkeys((*spec.transports, "tcp")),)
    if not wanted:  # raw TCP is the same twin on another wire: only when asked for
        return tuple(t for t in known if t != "tcp" or known == ("tcp",))
    chosen: tuple[Transport, ...] = tuple(t for t in known if t == wanted)
    if not chosen:
        raise ValueError(f"{name} has no transport {wanted!r}; it has: {', '.join(known)}")
    return chosen
