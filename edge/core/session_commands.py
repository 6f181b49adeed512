"""Commands that change what a session goes by, each with a reason and a name: the order, a gate, the baseline, what a
person has seen, and a device that is disconnected for a while.
"""

from __future__ import annotations

from collections.abc import Iterator

from msgspec.structs import replace

from edge.contract import events
from edge.contract.commands import (
    AmendOrder,
    Attest,
    DeviceBack,
    DeviceOff,
    DrugChannel,
    OverrideGate,
    Rebaseline,
    SayDissociation,
    says_why,
)
from edge.contract.events import PendingEvent
from edge.core import channels, dissociation, session
from edge.core.context import RuleContext
from edge.core.protocols import beyond
from edge.core.refusal import Refused, named_device, open_session
from edge.core.rules import RuleSet
from edge.core.state import Amendment, Attestation, BedState, Override
from edge.model import Command, iso

AMENDED = ("weight_kg", "dose_mg_kg", "duration_min", "concentration_mg_ml", "nibp_interval_min")


def amend_order(state: BedState, _: RuleSet, command: Command, args: AmendOrder, at_s: float) -> Iterator[PendingEvent]:
    """Another order from now on; the one before is kept. Another concentration corrects what was entered: the volume
    that is in counts by it, too."""
    current = open_session(state)
    was = current.order
    changed = {name: value for name in AMENDED if (value := getattr(args, name)) is not None}
    by_hand_mg = was.by_hand_mg if args.dose_mg is None else args.dose_mg
    order = replace(was, **changed, by_hand_mg=by_hand_mg)
    limited = {name: getattr(order, name) for name in ("dose_mg_kg", "duration_min", "concentration_mg_ml")}
    wrong = beyond(state.protocol, limited, by_hand_mg)
    if wrong is not None:
        raise Refused(f"bad_args: {wrong}")
    if order == was:
        raise Refused("bad_args: the order says so already")
    kept = Amendment(at_s, command.user, args.prescriber.strip(), args.reason.strip(), was)
    amended = state.session = replace(current, order=order, amendments=(*current.amendments, kept))
    yield state.event(at_s, events.OrderAmended(
        order=session.describe_order(amended), was=session.describe_order(current), prescriber=kept.prescriber,
        reason=kept.reason, command=command.id, by=command.user))


def override_gate(
    state: BedState, _: RuleSet, command: Command, args: OverrideGate, at_s: float,
) -> Iterator[PendingEvent]:
    """The gate holds this session no longer."""
    current = open_session(state)
    point = next((point for point in session.open_items(RuleContext(state, at_s)) if point.gate.id == args.gate), None)
    if point is None or point.override is not None:
        raise Refused(f"not_now: no gate {args.gate!r} is open")
    if command.role not in point.gate.override:
        who = " or ".join(point.gate.override)
        raise Refused(f"not_allowed: {point.words}: " + (f"only a {who} may override this" if who
                                                         else "nobody may override this"))
    entered = Override(args.gate, at_s, command.user, args.reason.strip())
    state.session = replace(current, overrides=(*current.overrides, entered))
    yield state.event(at_s, events.GateOverridden(
        gate=args.gate, text=point.words, reason=entered.reason, role=command.role, command=command.id,
        by=command.user))


def rebaseline(state: BedState, _: RuleSet, command: Command, args: Rebaseline, at_s: float) -> Iterator[PendingEvent]:
    """The blood pressures of the last while are the baseline now; one that could not be one is none here either."""
    current = open_session(state)
    found = session.baseline(state, at_s)
    if found is None:
        raise Refused("not_now: no blood pressure of the last while can be a baseline; measure two, at rest")
    changed = state.session = replace(current, baseline=found)
    baseline = session.describe_baseline(changed)
    assert baseline is not None
    yield state.event(at_s, events.BaselineSet(
        baseline=baseline, was=session.describe_baseline(current), reason=args.reason.strip(), command=command.id,
        by=command.user))


def attest(state: BedState, _: RuleSet, command: Command, args: Attest, at_s: float) -> Iterator[PendingEvent]:
    """A person has seen it."""
    current = open_session(state)
    seen = {**current.attested, args.what: Attestation(args.so, at_s, command.user)}
    state.session = replace(current, attested=seen)
    yield state.event(at_s, events.Attested(what=args.what, so=args.so, command=command.id, by=command.user))


def device_off(state: BedState, _: RuleSet, command: Command, args: DeviceOff, at_s: float) -> Iterator[PendingEvent]:
    """Nothing is missed of this device until then."""
    current, device = open_session(state), named_device(state, args.device)
    if device.kind == "pump" and channels.gives_drug(state, args.device) and current.phase in ("INFUSING", "PAUSED"):
        raise Refused("not_now: a pump is not done without while its dose is not over")
    device.off_until_s, device.away = at_s + args.minutes * 60, True
    yield state.event(at_s, events.DeviceAway(
        device=args.device, until=iso(device.off_until_s), reason=args.reason.strip(), command=command.id,
        by=command.user))


def device_back(state: BedState, _: RuleSet, command: Command, args: DeviceBack, at_s: float) -> Iterator[PendingEvent]:
    """It is missed again from now on; or it is this bed's own, where nothing but a person can tell."""
    device = named_device(state, args.device)
    if device.gone is not None:
        device.gone = None
    elif device.off_until_s is None and not device.ask:
        raise Refused(f"not_now: the {args.device} is not away as planned")
    why = "its cable was looked at: it is this bed's own" if device.ask else "it is back"
    device.off_until_s, device.ask = None, False
    yield state.event(at_s, events.DeviceReturned(device=args.device, why=why, command=command.id,
                                                  by=command.user))


def say_dissociation(
    state: BedState, _: RuleSet, command: Command, args: SayDissociation, at_s: float,
) -> Iterator[PendingEvent]:
    """The period opens or closes by a person's word, with the reason as its basis."""
    current = open_session(state)
    if current.started_s is None:
        raise Refused("not_now: nothing has been given yet")
    if args.begun == current.is_open_period and current.dissociation in ("observed", "none", "resolved"):
        raise Refused(f"not_now: the period {'is open' if args.begun else 'is not open'} already")
    if not args.begun and current.ended_s is None:
        raise Refused("not_now: the infusion is not over; the period ends after it at the earliest")
    moved = dissociation.by_hand(state, begun=args.begun, at_s=at_s)
    yield state.event(at_s, events.DissociationMoved(
        state=moved, basis=f"nurse: {args.reason.strip()}", command=command.id, by=command.user))


def name_drug_channel(
    state: BedState, _: RuleSet, command: Command, args: DrugChannel, at_s: float,
) -> Iterator[PendingEvent]:
    """From now on this pump moves the session. Where it runs already, its run began the infusion."""
    current, device = open_session(state), named_device(state, args.device)
    reason = (args.reason or "").strip()
    if device.kind != "pump":
        raise Refused(f"bad_args: the {args.device} is no pump; this bed's are {', '.join(channels.pumps_of(state))}")
    if current.order.by_hand_mg is not None:
        raise Refused(f"not_now: under {current.order.protocol} the dose is given by hand")
    was = channels.drug_pump(state)
    if was == args.device:
        raise Refused(f"not_now: the {args.device} is the drug's already")
    if current.started_s is not None and not says_why(reason):
        raise Refused("reason_needed: the infusion has begun; say why another pump gives the drug now")
    running = current.started_s is None and device.pump == "infusing"
    begun_s = device.run_since_s if running and (device.rate_ml_h or 0.0) > 0 else None
    primed_ml = current.primed_ml + device.run_ml if running else current.primed_ml
    state.session = replace(
        current, drug_pump=args.device, primed_ml=primed_ml, stopped_since_s=None,
        infusing_since_s=begun_s, infused_at_s=begun_s)
    for metric in [metric for metric, latest in state.latest.items()
                   if latest.device != args.device and latest.device in channels.pumps_of(state)]:
        del state.latest[metric]
    yield state.event(at_s, events.DrugChannelNamed(device=args.device, was=was, reason=reason, command=command.id,
                                                 by=command.user))
