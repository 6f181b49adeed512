"""Commands: what a nurse may ask of a bed, each checked against what is true now, and what follows or why not.

What a verb takes, with its limits, is `edge/contract/commands.py`; here stands only what depends on the bed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import msgspec
from msgspec import UNSET, UnsetType
from msgspec.structs import replace

from edge.contract.commands import (
    Acknowledge,
    AmendOrder,
    ArmInterlock,
    Attest,
    BadCommand,
    CheckIn,
    CloseSession,
    CommentAlarm,
    Delegate,
    DeviceBack,
    DeviceOff,
    DisarmInterlock,
    DrugChannel,
    EndInfusion,
    GiveDose,
    HoldTreatment,
    Maintain,
    MaintenanceOver,
    MeasureBp,
    MoveSession,
    OverrideGate,
    PauseAudio,
    Rebaseline,
    ReleaseHold,
    ResumeAudio,
    SayDissociation,
    SetChecklist,
    SetLimit,
    Shelve,
    StartSession,
    Undelegate,
    Unshelve,
    Verb,
    parse,
    says_why,
)
from edge.contract.events import (
    AudioMoved,
    CheckedIn,
    ChecklistSet,
    CommandRefused,
    DissociationMoved,
    DoseGiven,
    PendingEvent,
    PhaseMoved,
    SessionClosed,
    SessionOpened,
)
from edge.core import (
    attention,
    audio,
    dissociation,
    dosing,
    interlock,
    maintenance,
    moving,
    samples,
    session,
    session_commands,
    shelf,
    starting,
    treatment_commands,
)
from edge.core.alarms import ACTIVE, SHOWN, Alarm, move
from edge.core.context import RuleContext
from edge.core.entered import Spot
from edge.core.plausible import is_believed
from edge.core.protocols import beyond
from edge.core.refusal import Refused, open_session
from edge.core.rule import applies
from edge.core.rules import RuleSet
from edge.core.state import BedState, Determination, Dose, Order, Session
from edge.core.state import CheckIn as CheckInEntered
from edge.core.transitions import announce_anew, publish
from edge.model import Arrived, CameBack, Command, iso


def obey(
    state: BedState, rules: RuleSet, command: Command | Arrived | CameBack, at_s: float,
) -> Iterator[PendingEvent]:
    """Do what `command` asks, or say why not: always at least one event that names the command. Or what follows here
    from a command at another bed."""
    if not isinstance(command, Command):
        yield from moving.told(state, rules, command, at_s)
        return
    try:
        args = parse(command.verb, command.args)
        yield from _VERBS[type(args)](state, rules, command, args, at_s)
    except (BadCommand, Refused, shelf.NotShelved) as refused:
        yield state.event(at_s, CommandRefused(verb=command.verb, reason=str(refused), command=command.id,
                                               by=command.user))


def _start(
    state: BedState, rules: RuleSet, command: Command, args: StartSession, at_s: float,
) -> Iterator[PendingEvent]:
    if state.session is not None:
        raise Refused("session_open: close this bed's session first")
    if (held := next((name for name, one in state.devices.items() if one.maintenance is not None), None)) is not None:
        raise Refused(f"not_now: the {held} is in maintenance; end that first")
    if (gone := next((name for name, one in state.devices.items() if one.gone is not None), None)) is not None:
        raise Refused(f"not_now: the {gone} went to another bed with its patient; plug another one in, or say that it"
                      " is back")
    if args.session in state.closed:
        raise Refused("session_closed: this session is over; open a new one under an id of its own")
    name = args.protocol or state.protocols.first.id
    protocol = state.protocols.named(name)
    if protocol is None:
        raise Refused(f"bad_args: protocol {name!r} is not known; write one of {', '.join(state.protocols.by_id)}")
    wrong = beyond(protocol, {"dose_mg_kg": args.dose_mg_kg, "duration_min": args.duration_min,
                              "concentration_mg_ml": args.concentration_mg_ml}, args.dose_mg)
    if wrong is not None:
        raise Refused(f"bad_args: {wrong}")
    order = Order(
        protocol=name, weight_kg=args.weight_kg, dose_mg_kg=args.dose_mg_kg,
        duration_min=args.duration_min, concentration_mg_ml=args.concentration_mg_ml,
        nibp_interval_min=args.nibp_interval_min or (None if protocol.schedule.cuff else state.nibp_interval_s / 60),
        age_years=args.age_years, by_hand_mg=args.dose_mg, first_session=args.first_session,
        hypertension=args.hypertension,
    )
    whose = _word_on_high(state, args.whose)
    yield from _end_alarms(state, rules, at_s)  # whoever they were of, it is not this patient
    samples.forget_patient(state)
    state.session = Session(args.session, state.bed, order, "PRECHECK", at_s, at_s, command.user,
                            checklist=args.checklist is True)
    yield state.event(at_s, SessionOpened(phase="PRECHECK", order=session.describe_order(state.session),
                                          command=command.id, by=command.user, whose=whose))
    yield from announce_anew(state, rules, at_s)
    yield from audio.end_pause(state, at_s, "a new session")
    yield from shelf.clear(state, at_s, "a new session")


def _checklist(
    state: BedState, _: RuleSet, command: Command, args: SetChecklist, at_s: float,
) -> Iterator[PendingEvent]:
    state.session = replace(open_session(state), checklist=args.done)
    yield state.event(at_s, ChecklistSet(done=args.done, command=command.id, by=command.user))


def _check_in(state: BedState, _: RuleSet, command: Command, args: CheckIn, at_s: float) -> Iterator[PendingEvent]:
    current = open_session(state)
    entered = CheckInEntered(
        at_s, command.user, moaas=args.moaas, cadss=args.cadss, anxiety=args.anxiety, distress=args.distress,
        nausea=args.nausea, symptoms=tuple(args.symptoms or ()), note=(args.note or "").strip(),
        gone=tuple(args.gone or ()),
    )
    current = _with_measured(state, current, args, command.user, at_s)
    if args.says_how_it_is:
        current = replace(current, check_ins=(*current.check_ins, entered))
    state.session = current
    values = msgspec.structs.asdict(entered) | {"gone": entered.gone or UNSET} | {
        name: UNSET if (value := getattr(args, name)) is None else value for name in MEASURED}
    yield state.event(at_s, CheckedIn(command=command.id, by=command.user,
                                      **{key: value for key, value in values.items() if key not in ("at_s", "user")}))
    for moved, basis in dissociation.on_check_in(state, entered, at_s):
        yield state.event(at_s, DissociationMoved(state=moved, basis=basis, command=command.id, by=command.user))


SPOTS = ("spo2_pct", "resp_bpm", "pulse_bpm")  # each a reading of its own
MEASURED = (*SPOTS, "sbp_mmhg", "dbp_mmhg")  # what a check-in may carry besides how the patient is


def _with_measured(state: BedState, current: Session, args: CheckIn, user: str, at_s: float) -> Session:
    """With what was read or counted; a blood pressure is a determination. Raises Refused."""
    if args.sbp_mmhg is not None and args.dbp_mmhg is not None:
        if not is_believed(args.sbp_mmhg, args.dbp_mmhg, state.engine):
            raise Refused(f"bad_args: {args.sbp_mmhg}/{args.dbp_mmhg} mmHg is no blood pressure; read it again")
        samples.enter(state, Determination(at_s, args.sbp_mmhg, args.dbp_mmhg, by=user))
    for metric in SPOTS:
        value = getattr(args, metric)
        if value is not None:
            spot = Spot(at_s, value, user, metric, _measured_now(state, metric, at_s))
            current = replace(current, spots=(*current.spots, spot))
    return current if args.spo2_pct is None else replace(current, spo2_at_s=(*current.spo2_at_s, at_s))


def _measured_now(state: BedState, metric: str, at_s: float) -> tuple[str, float] | None:
    """What a device of this bed measures of it now, and which."""
    value = RuleContext(state, at_s).metric(metric)
    return None if value is None else (state.latest[metric].device, value)


def _give_dose(state: BedState, _: RuleSet, command: Command, args: GiveDose, at_s: float) -> Iterator[PendingEvent]:
    current, by_hand = open_session(state), state.protocol.by_hand
    if by_hand is None:
        raise Refused(f"not_now: under {current.order.protocol} a pump gives the dose")
    given = Dose(at_s - (args.minutes_ago or 0.0) * 60, args.devices * by_hand.device_mg, args.devices, command.user,
                 tuple(args.lots or ()))
    try:
        moved = dosing.give(state, given, at_s, args.reason or "")
    except dosing.NotGiven as refused:
        raise Refused(str(refused)) from None
    yield state.event(at_s, DoseGiven(
        devices=given.devices, mg=given.mg, lots=given.lots, given=iso(given.at_s),
        delivered_mg=round(open_session(state).delivered_mg, 2), command=command.id, by=command.user,
        reason=args.reason or UNSET))
    for phase, why in moved:
        yield session.phase_moved(state, phase, why, at_s)


def _acknowledge(
    state: BedState, rules: RuleSet, command: Command, args: Acknowledge, at_s: float,
) -> Iterator[PendingEvent]:
    """Silence for this occurrence, if it is still the one the nurse saw."""
    alarm = _seen(state, args.alarm, args.seq)
    if alarm.state == "acknowledged":
        raise Refused(f"already_acknowledged: by {alarm.by}")
    rule = rules.named(alarm.rule)
    moved = replace(alarm, state=move(alarm.state, "acknowledge", latch=rule.latch), acknowledged_at_s=at_s,
                    by=command.user, worst=None)
    state.alarms[alarm.key] = moved
    yield publish(state, rule, moved, alarm.state, RuleContext(state, at_s, alarm.device), command=command.id)


def _seen(state: BedState, name: str, seq: int) -> Alarm:
    """The alarm of this id, if it is still as the nurse saw it with event `seq`."""
    alarm = next((alarm for alarm in state.alarms.values() if alarm.id == name), None)
    if alarm is None or alarm.state not in SHOWN or not alarm.heard_seq <= seq <= alarm.seq:
        raise Refused("moved_on")
    return alarm


def _shelve(state: BedState, rules: RuleSet, command: Command, args: Shelve, at_s: float) -> Iterator[PendingEvent]:
    alarm = _seen(state, args.alarm, args.seq)
    rule = rules.named(alarm.rule)
    yield from shelf.shelve(state, alarm, rule.alarm_class, rule.title, command, args, at_s)


def _unshelve(state: BedState, _: RuleSet, command: Command, args: Unshelve, at_s: float) -> Iterator[PendingEvent]:
    yield from shelf.take_back(state, command, args, at_s)


def _pause(state: BedState, _: RuleSet, command: Command, args: PauseAudio, at_s: float) -> Iterator[PendingEvent]:
    state.audio_paused_until_s = at_s + state.engine.audio_pause_s
    yield state.event(at_s, AudioMoved(paused_until=iso(state.audio_paused_until_s), command=command.id,
                                       by=command.user))


def _resume(state: BedState, _: RuleSet, command: Command, args: ResumeAudio, at_s: float) -> Iterator[PendingEvent]:
    state.audio_paused_until_s = None
    yield state.event(at_s, AudioMoved(paused_until=None, command=command.id, by=command.user))


def _end_infusion(
    state: BedState, _: RuleSet, command: Command, args: EndInfusion, at_s: float,
) -> Iterator[PendingEvent]:
    current = open_session(state)
    if current.phase not in ("INFUSING", "PAUSED"):
        raise Refused(f"not_now: no infusion to end, the phase is {current.phase}")
    if RuleContext(state, at_s).infusing() is True:
        raise Refused("not_now: the pump is still infusing; stop it at the pump first")
    phase, why = session.end_infusion(state, at_s, (args.reason or "").strip() or "ended by the nurse")
    yield state.event(at_s, PhaseMoved(phase=phase, why=why, command=command.id, by=command.user))


def _close(
    state: BedState, rules: RuleSet, command: Command, args: CloseSession, at_s: float,
) -> Iterator[PendingEvent]:
    current, reason = open_session(state), (args.reason or "").strip()
    if RuleContext(state, at_s).infusing() is True:
        raise Refused("not_now: the pump is infusing; stop it at the pump first")
    unmet = session.open_points(state, at_s) if current.phase == "RECOVERY" else []
    if current.phase != "DISCHARGE_READY" and not reason:
        raise Refused("reason_needed: " + ("; ".join(unmet) or f"the session is in {current.phase}"))
    if unmet and state.protocol.course.persons_word and not says_why(reason):
        raise Refused(f"reason_needed: {reason!r} says nothing of what is open: {'; '.join(unmet)}."
                      " Write why the session ends all the same")
    whose = _word_on_high(state, args.whose)
    session.enter(state, "CLOSED", at_s, reason)
    yield state.event(at_s, SessionClosed(
        phase="CLOSED", from_=current.phase, reason=reason, unmet=tuple(unmet),
        delivered_mg=round(current.delivered_mg, 2), command=command.id, by=command.user, whose=whose))
    yield from _end_alarms(state, rules, at_s)
    yield from audio.end_pause(state, at_s, "the session is closed")
    yield from shelf.clear(state, at_s, "the session is closed")
    yield from interlock.forget(state, at_s, "the session is closed")
    moving.let_go(state)
    state.closed = [*state.closed, current.id][-moving.KEPT_CLOSED:]
    state.session = None
    samples.forget_patient(state)


def _word_on_high(state: BedState, whose: str | None) -> str | UnsetType:
    """What a person says of the alarms of high priority that stand: they never end by a session's end or beginning
    alone."""
    course = (state.protocol if state.session else state.protocols.first).course
    high = [alarm for alarm in state.alarms.values() if alarm.state in ACTIVE and alarm.priority == "high"
            and alarm.body is not None and alarm.body.alarm_class == "physiological"]
    if high and course.persons_word and not whose:
        texts = "; ".join(alarm.body.text for alarm in high if alarm.body)
        raise Refused(f"alarm_stands: {texts}: say in `whose` whose it is and what was done")
    return (whose or "").strip() or UNSET


def _end_alarms(state: BedState, rules: RuleSet, at_s: float) -> Iterator[PendingEvent]:
    """The patient's alarms end where a session ends or begins; a technical one stays if its rule applies on a bed
    without a session too (a lost link)."""
    for key, alarm in list(state.alarms.items()):
        rule = rules.named(alarm.rule)
        stays = rule.alarm_class == "technical" and applies(rule.context, None)
        if alarm.state in SHOWN and not stays:
            ended = replace(alarm, state="inactive", true_since_s=None, clear_since_s=None, acknowledged_at_s=None,
                            on=False, worst=None)
            yield publish(state, rule, ended, alarm.state, RuleContext(state, at_s, alarm.device))
        elif not stays:
            state.alarms.pop(key)


_VERBS: dict[type[Verb], Callable[..., Iterator[PendingEvent]]] = {
    StartSession: _start, SetChecklist: _checklist, CheckIn: _check_in, Acknowledge: _acknowledge,
    Shelve: _shelve, Unshelve: _unshelve, CommentAlarm: attention.comment,
    Delegate: attention.delegate, Undelegate: attention.undelegate,
    Maintain: maintenance.begin, MaintenanceOver: maintenance.end,
    PauseAudio: _pause, ResumeAudio: _resume, EndInfusion: _end_infusion,
    GiveDose: _give_dose, AmendOrder: session_commands.amend_order, OverrideGate: session_commands.override_gate,
    Rebaseline: session_commands.rebaseline, Attest: session_commands.attest,
    DeviceOff: session_commands.device_off, DeviceBack: session_commands.device_back, CloseSession: _close,
    DrugChannel: session_commands.name_drug_channel, MeasureBp: starting.measure_bp,
    SayDissociation: session_commands.say_dissociation,
    ArmInterlock: interlock.arm, DisarmInterlock: interlock.disarm, SetLimit: treatment_commands.set_limit,
    HoldTreatment: treatment_commands.hold, ReleaseHold: treatment_commands.release, MoveSession: moving.leave,
}
