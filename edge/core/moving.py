"""The patient goes to another bed of the same edge, and the session with them.

    the old bed   its session ends there with who, why and where to; nothing of the patient stays
    goes along    session, order, dose, baseline, determinations, check-ins, dissociation, the arm's pauses, and the
                  patient's alarms as they stand: level, acknowledgement, who was told
    stays         what was measured (each bed shows what its own devices measure), holds that run, shelves, an audio
                  pause, a delegation, an armed interlock: who made these watched another bed
    devices       only those that a person names. Each takes the place of a device of the same driver there, by serial
                  number: until that one identifies itself on the line, nothing of the line counts. At the old bed it
                  counts no more either, until the session is over or a person says that it is back

A value of one bed never becomes one of the other: what was measured stays behind, and a pump's counter goes on only
where its serial number says that it is the same pump. Each bed is told by an input of its own that holds all it needs
to know, so a restart or a replay of one bed needs nothing of the other.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping

import msgspec
from msgspec import UNSET
from msgspec.structs import replace

from edge.contract.commands import BadCommand, MoveSession, parse
from edge.contract.events import AlarmMoved, MovedFrom, MovedTo, PendingEvent
from edge.core import audio, channels, interlock, samples, session, shelf
from edge.core.alarms import ACTIVE, SHOWN, Alarm
from edge.core.context import RuleContext
from edge.core.refusal import Refused, named_device, open_session
from edge.core.rule import applies
from edge.core.rules import RuleSet
from edge.core.state import BedState, Determination, Device, Gone, Session, Stay
from edge.core.transitions import publish
from edge.model import Arrived, CameBack, Command, DeviceAlarmsReported, Input, PumpStatus, Samples

KEPT_CLOSED = 200  # sessions whose ids are remembered, so that none is opened twice


class Counter(msgspec.Struct, frozen=True):
    """What goes on of a device that is plugged over: which one it is, and what of its counter has been read."""

    was: str  # its name at the old bed
    identity: str | None
    volume_ml: float | None = None
    volume_at_s: float = 0.0
    volume_doubtful: bool = False


class Carried(msgspec.Struct, frozen=True):
    """All that one bed knows of its patient, for the other. `devices`: by their names at the other bed."""

    session: Session
    determinations: list[Determination]
    cuff_ended_s: list[float]
    alarms: list[Alarm]
    devices: dict[str, Counter]


read = msgspec.json.Decoder(Carried).decode


# --- before anything moves --------------------------------------------------------------------------------------------


def objection(
    beds: Mapping[str, BedState], from_bed: str, args: MoveSession, bound: Collection[tuple[str, str]],
) -> str:
    """What other beds have against it; empty where nothing. `bound`: devices (bed, name) whose serial number edge.toml
    names."""
    state, other = beds[from_bed], beds.get(args.to)
    if other is None:
        return f"bad_args: this edge has no bed {args.to!r}; it has {', '.join(beds)}"
    if other is state:
        return f"bad_args: the session is at {args.to} already"
    if other.session is not None:
        return f"not_now: a session is open at {args.to}; close it first"
    if (held := next((name for name, one in other.devices.items() if one.maintenance is not None), None)) is not None:
        return f"not_now: the {held} of {args.to} is in maintenance; end that first"
    high = [one.body.text for one in other.alarms.values() if one.state in ACTIVE and one.priority == "high"
            and one.body is not None and one.body.alarm_class == "physiological"]
    if high and not args.whose:
        return f"alarm_stands: at {args.to}: {'; '.join(high)}: say in `whose` whose it is and what was done"
    return _of_devices(state, other, args, bound)


def inputs(beds: Mapping[str, BedState], rules: RuleSet, command: Command, bound: Collection[tuple[str, str]],
           at_s: float) -> list[tuple[str, Input]]:
    """What the beds are to be told, each in turn until one refuses. `rules`: as they are for the patient."""
    try:
        args = parse(command.verb, command.args)
    except BadCommand:  # the bed says so itself
        return [(command.bed, command)]
    assert isinstance(args, MoveSession)
    asked = replace(command, objection=objection(beds, command.bed, args, bound))
    if asked.objection or beds[command.bed].session is None:  # likewise
        return [(command.bed, asked)]
    what = carried(beds[command.bed], beds[args.to], args, rules, at_s)
    return [(command.bed, asked), (args.to, Arrived(
        command.bed, msgspec.json.encode(what).decode(), command.id, command.user, args.reason.strip(),
        (args.whose or "").strip()))]


def _of_devices(state: BedState, other: BedState, args: MoveSession, bound: Collection[tuple[str, str]]) -> str:
    try:
        places = places_of(state, other, args.devices or ())
    except Refused as refused:
        return str(refused)
    for place, name in places.items():
        if {(other.bed, place), (state.bed, name)} & set(bound):
            return (f"not_now: edge.toml names the serial number of the {place} of {other.bed} or of the {name} of"
                    f" {state.bed}: write it at the other bed and read it again, then move the session")
    stays = {name: one for name, one in channels.pumps_of(other).items() if name not in places}
    if (runs := next((name for name, one in stays.items() if one.pump == "infusing"), None)) is not None:
        return f"not_now: the {runs} of {args.to} infuses already; stop it first"
    needs_pump = state.session is not None and not state.no_pump and state.session.ended_s is None
    if needs_pump and not channels.pumps_of(other):
        return f"not_now: {args.to} has no pump, and the dose is not over; end the infusion first"
    return ""


def places_of(state: BedState, other: BedState, names: Collection[str]) -> dict[str, str]:
    """The devices of the other bed whose places these take, with their names here: the one of the same name and driver,
    else the only one of that driver. Raises Refused."""
    places: dict[str, str] = {}
    for name in dict.fromkeys(names):
        driver = named_device(state, name, state.bed).driver
        same = [one for one, device in other.devices.items() if device.driver == driver and one not in places]
        if name in same:
            same = [name]
        if len(same) != 1:
            raise Refused(f"not_now: the {name} cannot be plugged in at {other.bed}, which has"
                          f" {'several devices' if same else 'no device'} of its kind ({driver}): choose another bed,"
                          " or leave it here")
        places[same[0]] = name
    return places


def carried(state: BedState, other: BedState, args: MoveSession, rules: RuleSet, at_s: float) -> Carried:
    """What the other bed is to be told, as it stands before the move. Raises Refused where there is nothing."""
    current, places = open_session(state), places_of(state, other, args.devices or ())
    at_other = {name: place for place, name in places.items()}
    stay = Stay(state.bed, current.here_s, at_s)
    infusing = current.infusing_since_s is not None or current.infusing_at_boot
    pump = channels.drug_pump(state)
    moved = replace(
        current, bed=other.bed, stays=(*current.stays, stay), infusing_since_s=None, stopped_since_s=None,
        infusing_at_boot=infusing and pump in at_other, drug_pump=at_other.get(pump or ""), open_since_s={})
    alarms = [replace(alarm, device=at_other.get(alarm.device or ""))
              for alarm in state.alarms.values() if _goes(rules, alarm, at_other)]
    counters = {place: _counter(state, name) for place, name in places.items()}
    return Carried(moved, list(state.determinations), list(state.cuff_ended_s), alarms, counters)


def _goes(rules: RuleSet, alarm: Alarm, at_other: Mapping[str, str]) -> bool:
    """Whether it is the patient's, or a device's that goes along, and more than a hold that runs."""
    rule = rules.named(alarm.rule)
    of_the_bed = rule.alarm_class == "technical" and applies(rule.context, None)
    stands = alarm.state in SHOWN or alarm.on or alarm.worst is not None
    return stands and not of_the_bed and (alarm.device is None or alarm.device in at_other)


def _counter(state: BedState, name: str) -> Counter:
    device = state.devices[name]
    if device.bound is None or device.volume_of != device.bound:
        return Counter(name, device.bound)
    return Counter(name, device.bound, device.volume_ml, device.volume_at_s, device.volume_doubtful)


# --- the old bed ------------------------------------------------------------------------------------------------------


def leave(state: BedState, rules: RuleSet, command: Command, args: MoveSession, at_s: float) -> Iterator[PendingEvent]:
    """The session ends here and goes on at the other bed. Raises Refused."""
    current, names = open_session(state), tuple(dict.fromkeys(args.devices or ()))
    if command.objection:
        raise Refused(command.objection)
    _may_leave(state, names, at_s)
    yield state.event(at_s, MovedTo(
        to=args.to, phase=current.phase, devices=names, delivered_mg=round(current.delivered_mg, 2),
        reason=args.reason.strip(), command=command.id, by=command.user))
    why = f"the patient goes to {args.to}"
    yield from _end_alarms(state, rules, f"goes on at {args.to}", at_s)
    yield from audio.end_pause(state, at_s, why)
    yield from shelf.clear(state, at_s, why)
    yield from interlock.forget(state, at_s, why)
    for name in names:
        device = state.devices[name]
        device.gone, device.away, device.off_until_s = Gone(args.to, device.bound, current.id), True, None
        device.is_guest, device.bound, device.volume_ml, device.volume_of = False, None, None, None
        device.pump, device.rate_ml_h, device.rate_at_s, device.alarms = None, None, 0.0, ()
        state.latest = {metric: one for metric, one in state.latest.items() if one.device != name}
    state.closed = [*state.closed, current.id][-KEPT_CLOSED:]
    state.session = None
    samples.forget_patient(state)


def _may_leave(state: BedState, names: Collection[str], at_s: float) -> None:
    """Raises Refused where the pump would be left infusing, or nobody could tell which pump goes on."""
    current, pump = open_session(state), channels.drug_pump(state)
    if interlock.is_waiting(state.stop):
        raise Refused("not_now: a stop of the pump is not confirmed yet; stop it at the pump first")
    infusing = RuleContext(state, at_s).infusing() if not state.no_pump else False
    if pump not in names:
        if infusing is True:
            raise Refused("not_now: the pump is infusing; stop it at the pump, or say that it is plugged over")
        if infusing is None and current.phase == "INFUSING":
            raise Refused("not_now: nobody knows whether the pump still infuses; say that it is plugged over, or end"
                          " the infusion first")
    elif pump is not None and state.devices[pump].bound is None and (
            infusing is True or (infusing is None and current.phase == "INFUSING")):
        raise Refused(f"not_now: the {pump} has no serial number, so nothing tells at the other bed whether it is the"
                      " same pump; stop it first, and go on there")


def _end_alarms(state: BedState, rules: RuleSet, goes_on: str, at_s: float) -> Iterator[PendingEvent]:
    """None of the patient's is left here; one of the bed's own stays."""
    for key, alarm in list(state.alarms.items()):
        rule = rules.named(alarm.rule)
        if rule.alarm_class == "technical" and applies(rule.context, None):
            continue
        if alarm.state in SHOWN and alarm.body is not None:
            body = replace(alarm.body, state="inactive", was=alarm.state, alarm_phase="end", command=UNSET,
                           text=f"{alarm.body.title}: {goes_on}")
            yield publish(state, rule, replace(alarm, state="inactive"), alarm.state,
                          RuleContext(state, at_s, alarm.device), body=body)
        state.alarms.pop(key)


# --- the new bed ------------------------------------------------------------------------------------------------------


def told(state: BedState, rules: RuleSet, given: Arrived | CameBack, at_s: float) -> Iterator[PendingEvent]:
    """What the edge tells a bed of another one."""
    if isinstance(given, Arrived):
        yield from arrive(state, rules, given, at_s)
        return
    for name in given.devices:
        if name in state.devices:
            state.devices[name].gone = None


def arrive(state: BedState, rules: RuleSet, given: Arrived, at_s: float) -> Iterator[PendingEvent]:
    """The session goes on here. Of what this bed's devices measured before, nothing is this patient's."""
    what = read(given.carried)
    yield from _end_alarms(state, rules, "not this patient's", at_s)
    samples.forget_patient(state)
    state.session = what.session
    state.determinations, state.cuff_ended_s = list(what.determinations), list(what.cuff_ended_s)
    state.closed = [one for one in state.closed if one != what.session.id]
    for name, counter in what.devices.items():
        if name in state.devices:
            _plug_in(state, state.devices[name], name, counter)
    yield state.event(at_s, MovedFrom(
        from_=given.from_bed, phase=what.session.phase, order=session.describe_order(what.session),
        baseline=session.describe_baseline(what.session),
        devices={name: counter.was for name, counter in what.devices.items()},
        delivered_mg=round(what.session.delivered_mg, 2), reason=given.reason, command=given.command, by=given.by,
        whose=given.whose or UNSET))
    yield from audio.end_pause(state, at_s, "another patient")
    yield from shelf.clear(state, at_s, "another patient")
    for alarm in what.alarms:
        yield from _take_over(state, rules, alarm, at_s)


def _plug_in(state: BedState, device: Device, name: str, counter: Counter) -> None:
    """From now on another device is on this line, and whatever the one before said is over."""
    state.latest = {metric: one for metric, one in state.latest.items() if one.device != name}
    device.pump, device.alarms, device.rate_ml_h, device.rate_at_s = None, (), None, 0.0
    device.is_guest, device.gone, device.known_at_s = True, None, None
    device.volume_ml, device.volume_at_s = counter.volume_ml, counter.volume_at_s
    device.volume_doubtful, device.volume_of = counter.volume_doubtful, counter.identity
    if counter.identity is not None:
        device.bound = counter.identity


def _take_over(state: BedState, rules: RuleSet, alarm: Alarm, at_s: float) -> Iterator[PendingEvent]:
    """An alarm of the patient's goes on here, as it stood: acknowledged where it was, told to whom it was."""
    key = alarm.rule if alarm.device is None else f"{alarm.rule}:{alarm.device}"
    state.alarm_count += 1
    own = f"{state.bed}.{key}.{state.alarm_count}"
    kept = replace(
        alarm, key=key, bed=state.bed, id=own if alarm.id else "", true_since_s=None,
        true_from_s=None, unknown_since_s=None, clear_since_s=None, no_data=False, no_data_since_s=None,
        worst=None if alarm.worst is None else replace(alarm.worst, alarm=own))
    state.alarms[key] = kept
    if kept.state not in SHOWN or alarm.body is None:
        return
    body: AlarmMoved = replace(alarm.body, alarm=own, device=alarm.device, was="inactive", alarm_phase="continue",
                               command=UNSET)
    yield publish(state, rules.named(alarm.rule), kept, "inactive", RuleContext(state, at_s, alarm.device), body=body)
    state.alarms[key] = replace(state.alarms[key], announced_s=kept.announced_s, climbed_s=kept.climbed_s,
                                told=kept.told, next_told=kept.next_told, reminded_s=kept.reminded_s)


# --- what goes along, afterwards --------------------------------------------------------------------------------------


def is_dropped(state: BedState, given: Input) -> bool:
    """Whether this comes from a device that went away with a patient."""
    return isinstance(given, Samples | PumpStatus | DeviceAlarmsReported) and is_foreign(state, given.device)


def over(states: Iterable[BedState]) -> dict[str, tuple[str, ...]]:
    """Devices, by bed, that went away with a patient whose session is over."""
    known = list(states)
    going_on = {one.session.id for one in known if one.session is not None}
    found = {one.bed: tuple(name for name, device in one.devices.items()
                            if device.gone is not None and device.gone.session not in going_on) for one in known}
    return {bed: names for bed, names in found.items() if names}


def is_foreign(state: BedState, name: str) -> bool:
    """Whether what comes on this device's line is still of the one that went away with a patient."""
    device = state.devices[name]
    return device.gone is not None and (device.gone.identity is None or device.identity == device.gone.identity)


def let_go(state: BedState) -> None:
    """The session is over: whichever device is on a line from now on is this bed's."""
    for device in state.devices.values():
        if device.is_guest:
            device.is_guest, device.bound = False, None
