"""What drivers of cuffs share: one determination as four readings, why there is none, when the next is due, how one is
stopped."""

from __future__ import annotations

from collections.abc import Mapping

from drivers.contract import DeviceAlarm, Reading, Setting, Validity
from drivers.kit.schedules import PAUSE_S, Schedule

DETERMINATION = ("sbp_mmhg", "dbp_mmhg", "map_mmhg", "nibp_pulse_bpm")
LIMITS: Mapping[str, tuple[int, int]] = {  # as edge.vocabulary bounds them
    "sbp_mmhg": (40, 300),
    "dbp_mmhg": (10, 220),
    "map_mmhg": (20, 260),
    "nibp_pulse_bpm": (20, 321),
}
CUFF_MAX_MMHG = 330
LONGEST_S = 7200.0
SCHEDULE = {
    "interval_s": Setting(300.0, "seconds from one determination to the next"),
    "first_pair_s": Setting(90.0, "seconds from the first good determination to the second (the baseline pair)"),
    "start_s": Setting(PAUSE_S, "seconds from the opening of the line to the first determination"),
}
STUCK = DeviceAlarm("overpressure", "high", "abort", "The cuff does not answer the stop: it may be inflated. Open the"
                    " cuff, then unplug its hose")


class Stopping:
    """How a cuff that must not stay inflated is stopped: it is told again, and if that is in vain a person is told."""

    EVERY_S, TRIES = 2.0, 5

    def __init__(self) -> None:
        self._due_s, self._tries = 0.0, 0

    def begin(self, at_s: float) -> None:
        """From now on it must be stopped."""
        self._due_s, self._tries = at_s, 0

    def is_due(self, at_s: float) -> bool:
        """Whether it is to be told now, or, after the last try, given up (`in_vain`)."""
        if at_s < self._due_s:
            return False
        self._due_s, self._tries = at_s + self.EVERY_S, self._tries + 1
        return True

    @property
    def in_vain(self) -> bool:
        """Whether it was told often enough."""
        return self._tries > self.TRIES


def failed(reason: str, validity: Validity = Validity.INVALID) -> tuple[Reading, ...]:
    """A determination that gave no numbers."""
    return tuple(Reading(metric, None, validity, reason) for metric in DETERMINATION)


def determination(sbp: float, dbp: float, mean: float, pulse: float | None) -> tuple[Reading, ...] | None:
    """The four readings, or None where the pressures cannot be (SYS > MAP > DIA, each within its limits).

    The pulse is judged apart, and takes no pressure with it; None: the device has none.
    """
    values = dict(zip(DETERMINATION, (sbp, dbp, mean), strict=False))
    if not (sbp > mean > dbp and all(_plausible(metric, value) for metric, value in values.items())):
        return None
    return (*(Reading(metric, float(value)) for metric, value in values.items()), _pulse(pulse))


def _plausible(metric: str, value: float) -> bool:
    return LIMITS[metric][0] <= value <= LIMITS[metric][1]


def _pulse(value: float | None) -> Reading:
    if value is None:
        return Reading("nibp_pulse_bpm", None, Validity.UNAVAILABLE)
    if not _plausible("nibp_pulse_bpm", value):
        return Reading("nibp_pulse_bpm", None, Validity.INVALID, "implausible")
    return Reading("nibp_pulse_bpm", float(value))


def cuff_pressure(mmhg: int) -> Reading:
    """The pressure in the cuff now."""
    if mmhg > CUFF_MAX_MMHG:
        return Reading("cuff_pressure_mmhg", None, Validity.OVERFLOW)
    return Reading("cuff_pressure_mmhg", float(mmhg))


def schedule_of(driver: str, settings: Mapping[str, str | int | float]) -> Schedule:
    """The schedule that these settings (SCHEDULE) name. Raises ValueError with one clear line."""
    seconds = {name: float(settings[name]) for name in SCHEDULE}
    for name, least in (("interval_s", PAUSE_S), ("first_pair_s", PAUSE_S), ("start_s", 0.0)):
        if not least <= seconds[name] <= LONGEST_S:
            raise ValueError(f"{driver}: setting {name!r} must be {least:g} to {LONGEST_S:g}, not {seconds[name]:g}")
    return Schedule(**seconds)
