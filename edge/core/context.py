"""The rule context: one bed at one time, and for a rule that holds for each device one device, as conditions see it.

It computes what several facts share: the latest value that may be judged by, the newest determination, the device, the
pumps, the active alarms. What a condition may name is in `facts.py`.
"""

from __future__ import annotations

from math import inf
from typing import Any

from edge.core.alarms import ACTIVE, Alarm, family
from edge.core.channels import is_asked, of_the_drug
from edge.core.entered import Spot
from edge.core.logic import Truth, either
from edge.core.plausible import BEYOND, measured
from edge.core.state import BedState, Determination, Device, Session
from edge.model import DeviceKind
from edge.vocabulary import BY_FINGER, DETERMINATION, METRICS

Number = float | None


def _is_older(age_s: float, most_s: float) -> bool:
    """Whether an age, to the millisecond, is above `most_s`. Rounding costs more than all else that is asked of a
    reading, and nearly always need not be done."""
    return age_s > most_s - 1 and round(age_s, 3) > most_s


class RuleContext:
    """A `BedState` at `at_s`, for one of its devices or for the bed as a whole.

    `determination`: judge by this one instead of the newest. `unbroken`: for a hold; a reading followed by a gap no
    longer says what is true now. What it has found out of readings and pumps it keeps: make another one when more has
    come in.
    """

    __slots__ = ("_determination", "_found", "_of", "_readings", "_unbroken", "at_s", "device", "entries", "state",
                 "unbroken")

    def __init__(self, state: BedState, at_s: float, device: str | None = None,
                 determination: Determination | None = None, *, unbroken: bool = False,
                 readings: dict[str, Number] | None = None, found: dict[Any, Any] | None = None):
        self.state = state
        self.at_s = at_s
        self.device = device
        self.unbroken = unbroken
        self._determination = determination
        self._readings: dict[str, Number] = {} if readings is None else readings
        self._found: dict[Any, Any] = {} if found is None else found  # of all devices, whether for a hold or not
        self._unbroken: RuleContext | None = None
        self._of: dict[str | tuple[DeviceKind, ...], list[RuleContext]] = {}  # by a device's name, or kinds of them
        self.entries: dict[str, Spot] = {}  # by metric, what it takes from a person and not from a device

    # --- readings -----------------------------------------------------------------------------------------------------

    def metric(self, key: str) -> Number:
        """The value to judge by, or None: a questionable or stale value, or one whose device is gone, is unknown."""
        readings = self._readings
        if key not in readings:
            readings[key] = self._metric(key)
        return readings[key]

    def _metric(self, key: str) -> Number:
        if key in DETERMINATION:
            determination = self._determination or self.newest_determination()
            return measured(determination, key) if determination else None
        state = self.state
        latest = state.latest.get(key)
        if latest is None or (latest.validity != "valid" and latest.validity not in BEYOND):
            return None
        device = state.devices.get(latest.device)
        if device is not None and device.link != "live":
            return None
        most_s = state.longest_gap_s(key) if self.unbroken else METRICS[key].stale_after_s
        if _is_older(self.at_s - latest.at_s, most_s):
            return None
        return latest.value if latest.validity == "valid" else BEYOND[latest.validity]

    def newest_determination(self) -> Determination | None:
        """The newest one, unless it is too old."""
        if not self.state.determinations:
            return None
        newest = self.state.determinations[-1]
        return newest if self.at_s - newest.at_s <= self.state.stale_after_s("sbp_mmhg") else None

    def for_hold(self) -> RuleContext:
        """The same for a condition that must hold for a while."""
        if self.unbroken:
            return self
        if self._unbroken is None:
            self._unbroken = RuleContext(self.state, self.at_s, self.device, unbroken=True, found=self._found,
                                         readings=self._found.setdefault("unbroken", {}))
        return self._unbroken

    def as_entered(self) -> RuleContext | None:
        """The same as a person has entered it: each entry for `entered_for_s` of rules.toml, unless the metric has been
        measured since. None where there is no such entry."""
        session = self.state.session
        if session is None or not session.spots:  # nearly always
            return None
        key = ("entered", self.device)
        if key not in self._found:
            self._found[key] = self._as_entered(session)
        found: RuleContext | None = self._found[key]
        return found

    def _as_entered(self, session: Session) -> RuleContext | None:
        newest = {spot.metric: spot for spot in session.spots}
        entries = {metric: spot for metric, spot in newest.items()
                   if round(self.at_s - spot.at_s, 3) < self.state.engine.entered_for_s
                   and not self.is_measured_since(metric, max(spot.at_s, session.here_s))}
        if not entries:
            return None
        found = RuleContext(self.state, self.at_s, self.device, self._determination,
                            readings={metric: float(spot.value) for metric, spot in entries.items()})
        found.entries, found._unbroken = entries, found  # an entry speaks at once: it fills no hold
        return found

    def is_measured_since(self, metric: str, since_s: float) -> bool:
        """Whether a device has measured it later than that."""
        latest = self.state.latest.get(metric)
        return latest is not None and latest.valid_at_s is not None and latest.valid_at_s > since_s

    def for_each(self, kinds: tuple[DeviceKind, ...]) -> list[RuleContext]:
        """The same for each of the bed's devices of these kinds."""
        found = self._of.get(kinds)
        if found is None:
            found = self._of[kinds] = [one for name, device in self.state.devices.items() if device.kind in kinds
                                       for one in self._of.get(name) or self._of_device(name)]
        return found

    def _of_device(self, name: str) -> list[RuleContext]:
        self._of[name] = [RuleContext(self.state, self.at_s, name, self._determination, unbroken=self.unbroken,
                                      readings=self._readings, found=self._found)]
        return self._of[name]

    def with_determination(self, determination: Determination) -> RuleContext:
        """The same, judged by this determination."""
        key = (self.device, id(determination))
        found: RuleContext | None = self._found.get(key)
        if found is None:
            found = self._found[key] = RuleContext(self.state, self.at_s, self.device, determination)
        return found

    def reason_of(self, metric: str) -> str | None:
        """Why the latest value of a metric is not valid, as its device says; None where it is, or says nothing."""
        latest = self.state.latest.get(metric)
        return latest.reason.replace("_", " ") if latest and latest.reason and latest.validity != "valid" else None

    def is_excused(self, metric: str) -> bool:
        """Whether the cuff on the same arm may be why there is no SpO2 or pulse now: lost as it inflated, and not for
        long yet (IEC 80601-2-30 cuffs stop the flow; monitors hold the oximeter's alarm for up to 60 s)."""
        cuff, latest = self.state.cuff, self.state.latest.get("spo2_pct")
        return (cuff is not None and latest is not None and metric in BY_FINGER
                and cuff.excuses_from_s is not None and cuff.excuses_from_s == latest.valid_at_s
                and self.at_s - cuff.excuses_from_s < self.state.engine.cuff_excuses_s)

    def pair_is_unknown(self) -> bool:
        """Whether a pair of determinations that is not found could be there all the same: the next one is late, and
        the newest has none before it that it could pair with."""
        if "pair" not in self._found:
            self._found["pair"] = self._pair_is_unknown()
        is_unknown: bool = self._found["pair"]
        return is_unknown

    def _pair_is_unknown(self) -> bool:
        determinations = self.state.determinations
        if not determinations or self.at_s - determinations[-1].at_s > self.state.can_be_told_s():
            return not any(self.is_pair(one, determinations[-1]) for one in determinations[:-1])
        return False

    def is_pair(self, before: Determination, after: Determination) -> bool:
        """Whether two determinations are far enough apart to be two, and close enough to be a pair."""
        apart_s = round(after.at_s - before.at_s, 3)
        return self.state.engine.pair_apart_s <= apart_s <= self.state.pair_window_s()

    def symptoms(self) -> dict[str, float]:
        """The symptoms that stand, each with when it was named last."""
        if "symptoms" not in self._found:
            session = self.state.session
            self._found["symptoms"] = session.symptoms if session and session.check_ins else {}
        symptoms: dict[str, float] = self._found["symptoms"]
        return symptoms

    # --- devices and alarms -------------------------------------------------------------------------------------------

    def this_device(self) -> Device | None:
        """The device the rule looks at, for a rule that holds for each device."""
        return self.state.devices.get(self.device) if self.device else None

    def active(self, name: str) -> list[Alarm]:
        """The active alarms of this rule or family of rules, of this device where the rule looks at one; and the tiers
        that are on while a higher one speaks for them."""
        return [alarm for alarm in self.state.alarms.values()
                if (alarm.state in ACTIVE or alarm.on) and name in (alarm.rule, family(alarm.rule))
                and self.device in (None, alarm.device)]

    # --- pumps --------------------------------------------------------------------------------------------------------

    def infusing(self) -> Truth:
        """Whether the drug's pump infuses, by its own fresh status and rate; None where it is unknown.

        A pump that was infusing when it last responded, and does not respond now, may still run. Where a pump runs of
        which nobody has said whether it gives the drug, it is unknown.
        """
        if self.state.no_pump:
            return False
        if "infusing" not in self._found:
            running = [self._is_running(pump) for pump in self._pumps() if self._is_reporting(pump) or pump.infused]
            found = either(running) if running else None
            self._found["infusing"] = None if found and is_asked(self.state) else found
        infusing: Truth = self._found["infusing"]
        return infusing

    def rate_ml_h(self) -> Number:
        """The rate of the drug's pump, 0 where it does not infuse; infinite above what one can report. None where it is
        unknown."""
        if "rate" not in self._found:
            self._found["rate"] = self._rate_ml_h()
        rate_ml_h: Number = self._found["rate"]
        return rate_ml_h

    def _rate_ml_h(self) -> Number:
        pumps = [pump for pump in self._pumps() if self._is_reporting(pump) or pump.infused]
        running = [self._is_running(pump) for pump in pumps]
        if not pumps or None in running or (True in running and is_asked(self.state)):
            return None
        rates = [self._fresh_rate(pump) for pump, runs in zip(pumps, running, strict=True) if runs]
        if None in rates:  # it infuses, and nobody can read how fast: what it said before is not what it gives now
            return None
        return sum(inf if rate >= METRICS["rate_ml_h"].high else rate for rate in rates if rate is not None)

    def status_at_s(self, running: bool) -> float:
        """When the pumps last reported it: the newest status of those that run, the oldest of those that do not."""
        times = [pump.pump_at_s for pump in self._pumps()
                 if self._is_reporting(pump) and self._is_running(pump) is running]
        return (max(times) if running else min(times)) if times else 0.0

    def _pumps(self) -> list[Device]:
        if "pumps" not in self._found:
            self._found["pumps"] = of_the_drug(self.state)
        pumps: list[Device] = self._found["pumps"]
        return pumps

    def has_gone_quiet(self, device: Device) -> bool:
        """Whether a pump is connected and yet has said nothing for longer than its word counts."""
        if device.kind != "pump":
            return False
        newest_s = max(device.pump_at_s, device.since_s, max(device.newest_s.values(), default=0.0))
        return self.at_s - newest_s > METRICS["rate_ml_h"].stale_after_s

    def _is_reporting(self, pump: Device) -> bool:
        return (pump.link == "live" and pump.pump not in (None, "unknown")
                and self.at_s - pump.pump_at_s <= METRICS["rate_ml_h"].stale_after_s)

    def runs(self) -> Truth:
        """Whether this pump infuses, whatever it gives."""
        pump = self.this_device()
        return None if pump is None else self._is_running(pump)

    def _is_running(self, pump: Device) -> Truth:
        key = ("runs", id(pump))
        if key not in self._found:
            self._found[key] = self._says_it_runs(pump)
        runs: Truth = self._found[key]
        return runs

    def _says_it_runs(self, pump: Device) -> Truth:
        if not self._is_reporting(pump):
            return None
        if pump.pump != "infusing":
            return False
        rate_ml_h = self._fresh_rate(pump)
        if rate_ml_h is None:
            return True if self.state.protocol.course.unknown_rate_runs else None
        return rate_ml_h > 0 and not self._keeps_vein_open(rate_ml_h)

    def _fresh_rate(self, pump: Device) -> Number:
        is_stale = _is_older(self.at_s - pump.rate_at_s, METRICS["rate_ml_h"].stale_after_s)
        return None if is_stale else pump.rate_ml_h

    def _keeps_vein_open(self, rate_ml_h: float) -> bool:
        """Whether the ordered dose is in, and the pump goes on only so that the line does not clot (KVO)."""
        session, course = self.state.session, self.state.protocol.course
        if session is None or rate_ml_h > course.kvo_ml_h:
            return False
        is_in = session.delivered_mg >= course.complete * session.order.dose_mg
        return is_in and rate_ml_h <= course.kvo_part * (session.order.rate_ml_h or 0.0)
