"""The interlock: a pump that two people have armed is stopped, once, when certain alarms stand; nothing ever starts it.

    not armed --(a person)--> asked for --(another person, in time)--> armed --(an alarm of [interlock])--> stop
        ^                                                               |
        +--- a person, the end of the session, a restart, another drug's pump, the pump is away or in maintenance

A stop is sent at once where the pump is connected, else as soon as it is, in the time in which it must be confirmed;
after that never. Confirmed is it when the pump itself says that it stands still, and by nothing else: the fact
`stop_unconfirmed` is an alarm (TEC-14). Silence stops nothing: an alarm of which nobody can tell whether it still holds
(`no_data`) is none here. One alarm stops the pump once; whoever starts it again at the pump has decided.

After the policy of OpenICE and of the ICE use cases (ASTM F2761): the supervisor stops, a person alone goes on, and a
lost connection changes nothing at the pump.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Literal

from msgspec.structs import replace

from edge.contract.commands import ArmInterlock, DisarmInterlock
from edge.contract.events import InterlockMoved, PendingEvent, PumpStop
from edge.core import channels
from edge.core.alarms import ACTIVE, Alarm
from edge.core.interlock_table import Stopping
from edge.core.refusal import Refused, open_session
from edge.core.rules import RuleSet
from edge.core.state import BedState, Device
from edge.core.stopping import Interlock, Stop
from edge.model import PRIORITY_RANK, Command, PumpState

STANDS_STILL: frozenset[PumpState | None] = frozenset({"stopped", "paused", "alarm"})


# --- the decision -----------------------------------------------------------------------------------------------------


def decide(stops: Sequence[Stopping], alarms: Iterable[Alarm], spent: Collection[str], at_s: float) -> Alarm | None:
    """The alarm for which an armed pump that runs is to be stopped now, or None."""
    return next((alarm for alarm in alarms if alarm.state in ACTIVE and not alarm.no_data and alarm.id not in spent
                 and any(_asks(one, alarm, at_s) for one in stops)), None)


def _asks(stopping: Stopping, alarm: Alarm, at_s: float) -> bool:
    if alarm.rule not in stopping.rules or PRIORITY_RANK[alarm.priority] < PRIORITY_RANK[stopping.priority]:
        return False
    if not stopping.unacknowledged_s:
        return True
    announced_s = alarm.announced_s
    return alarm.state == "active" and announced_s is not None and at_s - announced_s >= stopping.unacknowledged_s


def stops(state: BedState, at_s: float) -> list[tuple[str, float, float]]:
    """What a driver is told now: which pump is to stop, when that was asked for, and until when it is sent."""
    stop = state.stop
    if stop is None or stop.sent_s is None or stop.confirmed_s is not None or at_s >= stop.until_s:
        return []
    return [(stop.device, stop.asked_s, stop.until_s)]


# --- what time and the pump bring -------------------------------------------------------------------------------------


def follow(state: BedState, rules: RuleSet, at_s: float) -> Iterator[PendingEvent]:
    """With each tick, after the rules were judged."""
    yield from _go_on(state, at_s)
    armed = state.interlock
    if armed is None:
        return
    why = _over(state, rules, armed, at_s)
    if why:
        yield from end(state, at_s, why)
        return
    if armed.armed_s is None or not _may_run(state.devices[armed.device]) or is_waiting(state.stop):
        return
    alarm = decide(rules.interlock.stops, state.alarms.values(), armed.spent, at_s)
    if alarm is None or alarm.body is None:
        return
    state.interlock = replace(armed, spent=(*armed.spent, alarm.id))
    state.stop = Stop(armed.device, alarm.id, alarm.rule, alarm.body.text, at_s, at_s + rules.interlock.confirm_s)
    if state.devices[armed.device].link != "live":
        yield _said(state, "not_sent", at_s)
    yield from _go_on(state, at_s)


def _go_on(state: BedState, at_s: float) -> Iterator[PendingEvent]:
    """A stop that could not be sent yet: it is sent, or not needed any more."""
    stop = state.stop
    if stop is None or stop.sent_s is not None or stop.confirmed_s is not None:
        return
    if not any(alarm.id == stop.alarm and alarm.state in ACTIVE for alarm in state.alarms.values()):
        yield _said(state, "withdrawn", at_s)
        state.stop = None
    elif at_s < stop.until_s and stop.device in state.devices and state.devices[stop.device].link == "live":
        state.stop = replace(stop, sent_s=at_s)
        yield _said(state, "sent", at_s)


def heard(state: BedState, name: str, at_s: float) -> Iterator[PendingEvent]:
    """This pump has said what it does."""
    stop, pump = state.stop, state.devices[name].pump
    if stop is None or stop.device != name:
        return
    if stop.confirmed_s is None and pump in STANDS_STILL and at_s > stop.asked_s:
        state.stop = replace(stop, confirmed_s=at_s)
        yield _said(state, "confirmed", at_s)
    elif stop.confirmed_s is not None and pump == "infusing":
        state.stop = None  # a person has started it again


def is_waiting(stop: Stop | None) -> bool:
    """Whether a stop has not been confirmed."""
    return stop is not None and stop.confirmed_s is None


def _may_run(device: Device) -> bool:
    """Whether it runs, or ran when it was last heard."""
    return device.infused if device.pump in (None, "unknown") else device.pump == "infusing"


def _over(state: BedState, rules: RuleSet, armed: Interlock, at_s: float) -> str:
    """Why it is armed no longer; empty where it still is."""
    device = state.devices.get(armed.device)
    if device is None or not device.stops or not rules.interlock.stops:
        return "the configuration has changed"
    if channels.drug_pump(state) != armed.device:
        return "another pump gives the drug"
    if device.maintenance is not None or device.off_until_s is not None:
        return f"the {armed.device} is not in use"
    if armed.armed_s is None and at_s >= armed.until_s:
        return "no second person came in time"
    return ""


def end(state: BedState, at_s: float, why: str) -> Iterator[PendingEvent]:
    """It is armed no longer. A stop that was asked for is still to be confirmed."""
    armed, state.interlock = state.interlock, None
    if armed is not None:
        yield state.event(at_s, InterlockMoved(state="disarmed", device=armed.device, why=why))


def forget(state: BedState, at_s: float, why: str) -> Iterator[PendingEvent]:
    """The session is over: it is armed no longer, and nothing of a stop is asked any more."""
    yield from end(state, at_s, why)
    state.stop = None


# --- what a person says -----------------------------------------------------------------------------------------------


def arm(state: BedState, rules: RuleSet, command: Command, _: ArmInterlock, at_s: float) -> Iterator[PendingEvent]:
    """The first person asks for it, the second arms it. Raises Refused."""
    name = _pump_to_arm(state, rules, at_s)
    armed = state.interlock
    if armed is None:
        state.interlock = Interlock(name, command.user, at_s, at_s + rules.interlock.second_within_s)
        yield _moved(state, "asked", command, at_s)
        return
    if armed.armed_s is not None:
        raise Refused(f"not_now: the stop of the {name} is armed already, by {armed.first} and {armed.second}")
    if armed.first.strip().casefold() == command.user.strip().casefold():
        raise Refused(f"second_person: {armed.first} has asked for it; another person must arm it")
    state.interlock = replace(armed, second=command.user, armed_s=at_s)
    yield _moved(state, "armed", command, at_s)


def _pump_to_arm(state: BedState, rules: RuleSet, at_s: float) -> str:
    """Raises Refused."""
    session = open_session(state)
    if state.no_pump:
        raise Refused(f"not_now: under {session.order.protocol} the dose is given by hand")
    name = channels.drug_pump(state)
    if name is None:
        raise Refused("not_now: it is not known which pump gives the drug; say that first")
    device = state.devices[name]
    if not device.stops or not rules.interlock.stops:
        raise Refused(f"not_offered: the {name} cannot be stopped from here: its driver has no documented stop, or"
                      ' edge.toml does not say interlock = "stop_only", or rules.toml has no [interlock]')
    if device.link != "live" or device.maintenance is not None or device.off_until_s is not None:
        raise Refused(f"not_now: the {name} is not connected, or not in use")
    if is_waiting(state.stop):
        raise Refused(f"not_now: a stop of the {name} is not confirmed yet; stop it at the pump")
    standing = decide(rules.interlock.stops, state.alarms.values(), (), at_s)
    if standing is not None and standing.body is not None:
        raise Refused(f"not_now: {standing.body.text}: that would stop the pump at once; stop it at the pump, or wait")
    return name


def disarm(state: BedState, _: RuleSet, command: Command, args: DisarmInterlock, at_s: float) -> Iterator[PendingEvent]:
    """One person is enough. A stop that is not confirmed is theirs now. Raises Refused."""
    if state.interlock is None and not is_waiting(state.stop):
        raise Refused("not_now: no stop of a pump is armed")
    reason = (args.reason or "").strip()
    if is_waiting(state.stop) and not reason:
        raise Refused("reason_needed: a stop is not confirmed; say what the pump does now")
    device = state.interlock.device if state.interlock else state.stop.device if state.stop else ""
    state.interlock = state.stop = None
    yield state.event(at_s, InterlockMoved(state="disarmed", device=device, why=reason, command=command.id,
                                           by=command.user))


def _moved(state: BedState, now: Literal["asked", "armed"], command: Command, at_s: float) -> PendingEvent:
    assert state.interlock is not None
    return state.event(at_s, InterlockMoved(state=now, device=state.interlock.device, command=command.id,
                                            by=command.user))


# --- what is said of it -----------------------------------------------------------------------------------------------


def _said(state: BedState, now: Literal["sent", "not_sent", "confirmed", "withdrawn"], at_s: float) -> PendingEvent:
    stop = state.stop
    assert stop is not None
    return state.event(at_s, PumpStop(stop=now, device=stop.device, rule=stop.rule, alarm=stop.alarm, text=stop.text))
