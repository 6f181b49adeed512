"""One bed at one moment, as the conditions of rules see it."""

from __future__ import annotations

from edge.core.alarms import STANDING, Alarm, family
from edge.core.expression import Condition, Number
from edge.core.logic import Truth, both, either
from edge.core.signals import BEYOND, GAP_S
from edge.core.state import BedState, Determination, Device
from edge.model import SILENCE
from edge.vocabulary import DETERMINATION, METRICS

PAIR_MIN_S = 60.0


def hole_s(metric: str) -> float:
    """A hole longer than this breaks what was sustained: 5 s at 1 Hz, longer for what comes more slowly."""
    return max(GAP_S, METRICS[metric].stale_after_s / 2)


class RuleContext:
    """The `Scene` of expression.py over a `BedState`. `device` is set for a rule that holds for each device.

    `unbroken`: for a hold. A reading followed by a hole no longer says what is true now (clinical.md 6.2).
    """

    __slots__ = ("_cycle", "at_s", "device", "state", "unbroken")

    def __init__(self, state: BedState, at_s: float, device: str | None = None, cycle: Determination | None = None, *,
                 unbroken: bool = False):
        self.state = state
        self.at_s = at_s
        self.device = device
        self._cycle = cycle
        self.unbroken = unbroken

    def metric(self, key: str) -> Number:
        """The live, valid value, or None. A questionable or stale value, or one whose device is not there any more,
        is unknown (clinical.md 3.7)."""
        if self._cycle is not None and key in DETERMINATION:
            value: Number = getattr(self._cycle, key)
            return value
        if key in DETERMINATION:
            newest = self._newest()
            return getattr(newest, key) if newest else None
        seen = self.state.seen.get(key)
        if seen is None or (seen.validity != "valid" and seen.validity not in BEYOND):
            return None
        device = self.state.devices.get(seen.device)
        if device is not None and device.link != "live":
            return None
        old = round(self.at_s - seen.at_s, 3) > (hole_s(key) if self.unbroken else METRICS[key].stale_after_s)
        return None if old else BEYOND.get(seen.validity, seen.value)

    def _newest(self) -> Determination | None:
        if not self.state.determinations:
            return None
        newest = self.state.determinations[-1]
        return newest if self.at_s - newest.at_s <= self.state.interval_s() + 300 else None

    def pair(self, condition: Condition) -> Truth:
        """Whether the last two valid determinations, 60 s to W apart, both are so; W as in clinical.md 1.4."""
        if len(self.state.determinations) < 2:
            return False
        newest, before = self._newest(), self.state.determinations[-2]
        if newest is None:
            return None
        window_s = max(600.0, 1.2 * self.state.interval_s() + 60.0)
        if not PAIR_MIN_S <= round(newest.at_s - before.at_s, 3) <= window_s:
            return False
        return both(condition(RuleContext(self.state, self.at_s, self.device, cycle)) for cycle in (newest, before))

    def no_valid_s(self, metric: str) -> Number:
        """Seconds since the last valid reading, since anybody could have seen one. A questionable one is not valid:
        the rules cannot judge by it, and whoever relies on them must know (clinical.md 3.7). That the link came back
        is no news of the patient: it counts only for a device that has never said anything."""
        seen = self.state.seen.get(metric)
        last = (seen.valid_at_s if seen else None) or 0.0
        session = self.state.session
        device = self._this() or (self.state.devices.get(seen.device) if seen else None)
        live = device.since_s if device and device.link == "live" and not last else 0.0
        return self.at_s - max(last, self.state.boot_s, session.opened_s if session else 0.0, live)

    def satseconds(self, metric: str, limit: float) -> Number:
        account = self.state.below.get(f"{metric}<{limit:g}")
        return account.points if account else 0.0

    def violations(self, metric: str, limit: float, window_s: float) -> Number:
        account = self.state.below.get(f"{metric}<{limit:g}")
        if account is None or not account.is_below:  # the third dip raises; having had three does not
            return 0.0
        return float(sum(self.at_s - at < window_s for at in account.entered_s))

    def failed_determinations(self) -> Number:
        return float(self.state.failed_in_row)

    def _this(self) -> Device | None:
        return self.state.devices.get(self.device) if self.device else None

    def link_down(self) -> Truth:
        """This device was there and is not; before it first came, only an open session makes that a loss."""
        device = self._this()
        if device is None:
            return None
        if device.link == "connecting":
            return device.ever_live or self.state.session is not None
        return device.link in SILENCE

    def link_live(self, kind: str | None = None) -> Truth:
        if kind is None:
            device = self._this()
            return None if device is None else device.link == "live"
        return any(device.link == "live" for device in self.state.devices.values() if device.kind == kind)

    def device_alarm(self, *but: str) -> Truth:
        device = self._this()
        return None if device is None else any(alarm.code not in but for alarm in device.alarms)

    def standing(self, name: str) -> Truth:
        return bool(self.named(name))

    def named(self, name: str) -> list[Alarm]:
        """The standing alarms of this rule or family, of this device where it looks at one."""
        return [alarm for alarm in self.state.alarms.values()
                if alarm.state in STANDING and name in (alarm.rule, family(alarm.rule))
                and self.device in (None, alarm.device)]

    def no_word_s(self) -> Number:
        """Seconds of talk since this pump last said a state other than unknown: while it says nothing at all they stand
        still, since silence is its link's to notice."""
        device = self._this()
        if device is None:
            return None
        spoke_s = max(device.pump_at_s, max(device.newest_s.values(), default=0.0))
        return max(0.0, spoke_s - max(device.known_at_s or device.since_s, self.state.boot_s))

    def infusing(self) -> Truth:
        """Whether any pump of this bed infuses, by its own fresh status and rate; None where it cannot be told.

        A pump that was infusing when it was last heard, and is not heard now, may still run.
        """
        told = [self._runs(device) for device in self._pumps() if self._hears(device) or device.infused]
        return either(told) if told else None

    def word_s(self, running: bool) -> float:
        """When the pumps last said so: one of those that run, or the last of all that do not."""
        words = [device.pump_at_s for device in self._pumps()
                 if self._hears(device) and self._runs(device) is running]
        return (max(words) if running else min(words)) if words else 0.0

    def _pumps(self) -> list[Device]:
        return [device for device in self.state.devices.values() if device.kind == "pump"]

    def _hears(self, device: Device) -> bool:
        return (device.link == "live" and device.pump not in (None, "unknown")
                and self.at_s - device.pump_at_s <= METRICS["rate_ml_h"].stale_after_s)

    def _runs(self, device: Device) -> Truth:
        if not self._hears(device):
            return None
        if device.pump != "infusing":
            return False
        if round(self.at_s - device.rate_at_s, 3) > METRICS["rate_ml_h"].stale_after_s or device.rate_ml_h is None:
            return None
        return device.rate_ml_h > 0

    def part(self, of: str, name: str) -> Number:
        """A field of the baseline, the last check-in or the session; None where there is none."""
        session = self.state.session
        if session is None:
            return None
        if of == "baseline":
            value: Number = getattr(session.baseline, name, None)
            return value
        if of == "check_in":
            if not session.check_ins:
                return None
            last = session.check_ins[-1]
            return self.at_s - last.at_s if name == "age_s" else getattr(last, name)
        return self._session_part(name)

    def _session_part(self, name: str) -> Number:
        session = self.state.session
        assert session is not None
        order = session.order
        return {
            "weight_kg": order.weight_kg, "dose_mg_kg": order.dose_mg_kg, "dose_mg": order.dose_mg,
            "delivered_mg": session.delivered_mg, "duration_s": order.duration_min * 60,
            "infused_s": session.infused_s, "age_years": order.age_years,
            "ended_s": None if session.ended_s is None else self.at_s - session.ended_s,
            "nibp_interval_s": self.state.interval_s(),
            "dissociation_s": None if session.dissociation_opened_s is None or not session.is_open_period
            else self.at_s - session.dissociation_opened_s,
            "phase_s": self.at_s - session.phase_since_s,
        }[name]
