"""A device in maintenance: a technician works on it for a while. What it sends meanwhile is no patient's: nothing of it
is shown, counted or judged, and nothing of it is missed.

It ends by itself with its time, and as soon as a session at this bed needs the device.
"""

from __future__ import annotations

from collections.abc import Iterator

from edge.contract.commands import Maintain, MaintenanceOver
from edge.contract.events import DeviceReturned, InMaintenance, PendingEvent
from edge.core import channels
from edge.core.refusal import Refused, named_device
from edge.core.rules import RuleSet
from edge.core.state import BedState, Device, Maintenance
from edge.core.watching import GIVES
from edge.model import Command, DeviceAlarmsReported, Input, PumpStatus, Samples, iso


def is_dropped(state: BedState, given: Input) -> bool:
    """Whether this is what a device in maintenance sends."""
    return (isinstance(given, Samples | PumpStatus | DeviceAlarmsReported)
            and state.devices[given.device].maintenance is not None)


def begin(state: BedState, _: RuleSet, command: Command, args: Maintain, at_s: float) -> Iterator[PendingEvent]:
    """From now on. Raises Refused."""
    device = named_device(state, args.device)
    if device.maintenance is not None:
        raise Refused(f"not_now: the {args.device} is in maintenance already, by {device.maintenance.by}")
    if is_needed(state, args.device):
        raise Refused(f"not_now: the session at this bed needs the {args.device}; close it first, or connect another")
    until_s = at_s + args.minutes * 60
    device.maintenance, device.away = Maintenance(at_s, until_s, command.user, args.reason.strip()), True
    _forget(state, args.device)
    yield state.event(at_s, InMaintenance(device=args.device, maintenance_until=iso(until_s),
                                          reason=args.reason.strip(), command=command.id, by=command.user))


def end(state: BedState, _: RuleSet, command: Command, args: MaintenanceOver, at_s: float) -> Iterator[PendingEvent]:
    """Before its time. Raises Refused."""
    device = named_device(state, args.device)
    if device.maintenance is None:
        raise Refused(f"not_now: the {args.device} is not in maintenance")
    device.maintenance = None
    yield state.event(at_s, DeviceReturned(device=args.device, why="its maintenance is over", command=command.id,
                                           by=command.user))


def follow(state: BedState, at_s: float) -> Iterator[PendingEvent]:
    """What ends by itself now."""
    for name, device in state.devices.items():
        if device.maintenance is None:
            continue
        over = at_s >= device.maintenance.until_s
        if over or is_needed(state, name):
            device.maintenance = None
            yield state.event(at_s, DeviceReturned(device=name, why="the time of its maintenance is over" if over
                                                   else "the session at this bed needs it"))


def is_needed(state: BedState, name: str) -> bool:
    """Whether the session at this bed needs the device, and no other that is live covers it."""
    device = state.devices[name]
    if state.session is None:
        return False
    if device.kind == "pump":
        return not state.no_pump and not channels.carries(state, name)
    return not any(_covers(other, device) for other_name, other in state.devices.items() if other_name != name)


def _covers(other: Device, device: Device) -> bool:
    """Whether `other` measures what `device` does. Two monitors may measure different things: none covers another; and
    a monitor may lack the module, so it covers what it has sent."""
    same = other.kind == device.kind and device.kind != "monitor"
    metric = next((metric for metric, kinds in GIVES.items() if kinds[0] == device.kind), None)
    covers = same or (other.kind == "monitor" and metric is not None and not other.never_gave(metric))
    return covers and other.link == "live" and other.maintenance is None and other.off_until_s is None


def _forget(state: BedState, name: str) -> None:
    """Nothing it has said counts as live any more; its counter is read anew afterwards."""
    device = state.devices[name]
    state.latest = {metric: latest for metric, latest in state.latest.items() if latest.device != name}
    device.pump, device.pump_at_s, device.known_at_s, device.infused = None, 0.0, None, False
    device.rate_ml_h, device.rate_at_s, device.volume_ml, device.run_since_s = None, 0.0, None, None
    device.alarms, device.own = (), {}
