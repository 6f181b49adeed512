"""A bed as the outside sees it: the numbers with their ages, and the full state, as types of the contract."""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite
from typing import Literal, Protocol

from msgspec import UNSET, UnsetType
from msgspec.structs import fields, replace

from edge.contract.payloads import (
    AlarmNow,
    AttestedNow,
    Bounds,
    BpNow,
    CauseNow,
    CheckInNow,
    CommentNow,
    DelegationNow,
    DeviceAlarmNow,
    DeviceNow,
    DoseNow,
    EstimateNow,
    FallenLevel,
    Gap,
    InformationNow,
    InterlockNow,
    LimitNow,
    MaintenanceNow,
    Numeric,
    OpenNow,
    OtherNumeric,
    ProtocolNow,
    PumpNow,
    Request,
    SessionNow,
    Shelved,
    Signals,
    SpotNow,
    State,
    StayNow,
    StopNow,
    ToldNow,
    Vitals,
)
from edge.contract.treatment_now import HeldNow
from edge.core import channels, oximetry, pk
from edge.core.alarms import SHOWN, Alarm, Delegation
from edge.core.context import RuleContext
from edge.core.dissociation import quiet_check_in
from edge.core.entered import Limit
from edge.core.protocol import OrderLimits, Protocols
from edge.core.session import OpenPoint, describe_baseline, describe_order, open_items
from edge.core.state import BedState, Device, Session, Shelf
from edge.core.stopping import Stop
from edge.core.upcoming import upcoming
from edge.model import PRIORITY_RANK, PumpRole, SignalState, iso
from edge.vocabulary import METRICS

GAP_LEAST_S = 1.0  # a bed is judged once a second: a shorter time was not missed


class Counts(Protocol):
    """What a link has counted since the edge started; the last three in bytes."""

    frames: int
    bad: int
    late: int
    received: int
    understood: int
    dropped: int


def _iso(at_s: float | None) -> str | None:
    return None if at_s is None else iso(at_s)


def vitals(state: BedState, at_s: float, *, edge: str = "", boot: str = "", simulated: bool = False) -> Vitals:
    """Every metric's latest value with its age; a stale one keeps its value and says so."""
    numerics = {}
    for metric, latest in state.latest.items():
        age_s = max(0.0, at_s - latest.at_s)
        numerics[metric] = Numeric(
            value=latest.value, at=iso(latest.at_s), age_s=round(age_s, 1),
            stale=age_s > state.stale_after_s(metric),
            validity=latest.validity, reason=latest.reason, device=latest.device)
    return Vitals(edge=edge, bed=state.bed, at=iso(at_s), simulated=simulated, numerics=numerics,
                  pump=_pump(state, at_s), boot=boot, others=_others(state, at_s))


def _others(state: BedState, at_s: float) -> tuple[OtherNumeric, ...] | UnsetType:
    """What devices say of metrics that have another source now, where they are connected."""
    found = []
    for name, device in state.devices.items():
        for metric, own in device.own.items() if device.link == "live" else ():
            latest = state.latest.get(metric)
            if latest is None or latest.device == name or not isfinite(own.value):
                continue
            age_s = max(0.0, at_s - own.at_s)
            found.append(OtherNumeric(metric=metric, value=own.value, at=iso(own.at_s), age_s=round(age_s, 1),
                                      stale=age_s > state.stale_after_s(metric), device=name))
    return tuple(found) or UNSET


def _pump(state: BedState, at_s: float) -> PumpNow | None:
    """What the drug's pump says; of two of which nobody has said which it is, one that infuses."""
    pumps = [(name, device) for name, device in state.devices.items()
             if device.kind == "pump" and device.pump_at_s and not channels.carries(state, name)]
    if not pumps:
        return None
    name, device = next((pump for pump in pumps if pump[1].pump == "infusing"), pumps[0])
    age_s = round(max(0.0, at_s - device.pump_at_s), 1)
    stale = device.pump is None or age_s > METRICS["rate_ml_h"].stale_after_s
    return PumpNow(state=device.pump or "unknown", device=name, at=iso(device.pump_at_s), age_s=age_s, stale=stale)


def full(state: BedState, at_s: float, *, edge: str = "", boot: str = "", simulated: bool = False, seq: int = 0,
         counts: Mapping[str, Counts] | None = None, causes: Mapping[str, CauseNow] | None = None) -> State:
    """Session, alarms, devices and what is paused or asked: enough to paint the bed from nothing."""
    alarms = [alarm for alarm in state.alarms.values() if alarm.state in SHOWN]
    alarms.sort(key=lambda alarm: (-PRIORITY_RANK[alarm.priority], -alarm.since_s))
    paused, asked = state.audio_paused_until_s, state.request
    return State(
        edge=edge, bed=state.bed, at=iso(at_s), seq=seq, boot=boot, simulated=simulated,
        session=_session(state.session, state, at_s) if state.session is not None else None,
        alarms=[_alarm(alarm, state.shelves.get(alarm.key), (causes or {}).get(alarm.key, UNSET),
                       is_paused=paused is not None and paused > at_s)
                for alarm in alarms],
        devices=[_device(name, device, (counts or {}).get(name), _role(state, name))
                 for name, device in state.devices.items()],
        audio_paused_until=_iso(paused) if paused is not None and paused > at_s else None,
        request=Request(text=asked["text"], since=iso(asked["since_s"])) if asked else None,
        gap=_gap(state, at_s),
        shelved=tuple(map(_shelved, state.shelves.values())) or UNSET,
        delegation=_delegation(state.delegation),
        information=tuple(InformationNow(what=one.what, text=one.text, at=iso(one.at_s))
                          for one in state.information) or UNSET,
        interlock=_interlock(state, at_s))


def _interlock(state: BedState, at_s: float) -> InterlockNow | UnsetType:
    armed, stop = state.interlock, state.stop
    if armed is None:
        return UNSET if stop is None else InterlockNow(device=stop.device, state="off", stop=_stop(stop, at_s))
    until_s = None if armed.armed_s is not None else armed.until_s
    return InterlockNow(
        device=armed.device, state="asked" if armed.armed_s is None else "armed", first=armed.first,
        second=armed.second, since=iso(armed.asked_s if armed.armed_s is None else armed.armed_s), until=_iso(until_s),
        stop=None if stop is None else _stop(stop, at_s))


def _stop(stop: Stop, at_s: float) -> StopNow:
    waiting: Literal["sent", "not_sent"] = "not_sent" if stop.sent_s is None else "sent"
    now = "confirmed" if stop.confirmed_s is not None else "unconfirmed" if at_s >= stop.until_s else waiting
    return StopNow(state=now, at=iso(stop.confirmed_s or stop.sent_s or stop.asked_s), rule=stop.rule, text=stop.text)


def _delegation(given: Delegation | None) -> DelegationNow | UnsetType:
    return UNSET if given is None else DelegationNow(
        to=given.to, since=iso(given.since_s), until=iso(given.until_s), by=given.by, reason=given.reason)


def _shelved(shelf: Shelf) -> Shelved:
    return Shelved(shelf=shelf.key, rule=shelf.rule, title=shelf.title, device=shelf.device, since=iso(shelf.since_s),
                   until=iso(shelf.until_s), by=shelf.by, reason=shelf.reason)


def _alarm(alarm: Alarm, shelf: Shelf | None, cause: CauseNow | UnsetType, *, is_paused: bool) -> AlarmNow:
    """Where it stands, and what its newest event body of it."""
    body = alarm.body
    assert body is not None, "what is shown has been body"
    return AlarmNow(
        alarm=alarm.id, rule=alarm.rule, title=body.title, state=alarm.state, was=body.was, priority=alarm.priority,
        alarm_class=body.alarm_class, device=body.device, since=iso(alarm.since_s), seq=alarm.seq, text=body.text,
        why=body.why, clears=body.clears, limit=body.limit, evidence=body.evidence, by=alarm.by,
        acknowledged_at=_iso(alarm.acknowledged_at_s), no_data=alarm.no_data, phase=body.phase,
        dissociation=body.dissociation, superseded_by=body.superseded_by, command=body.command,
        level=body.level, alarm_phase=body.alarm_phase, worst=_fallen(alarm),
        no_data_since=UNSET if alarm.no_data_since_s is None else iso(alarm.no_data_since_s),
        text_at=iso(alarm.text_s) if alarm.text_s else UNSET,
        signals=_signals(alarm, is_paused=is_paused or shelf is not None, is_shelved=shelf is not None),
        shelved_until=UNSET if shelf is None else iso(shelf.until_s),
        told=tuple(ToldNow(who=one.who, at=iso(one.at_s)) for one in alarm.told) or UNSET,
        next_told=_next_told(alarm, is_shelved=shelf is not None),
        cause=cause, sound=UNSET if alarm.kept_sound == "none" else alarm.sound,
        comments=tuple(CommentNow(text=one.text, by=one.by, at=iso(one.at_s)) for one in alarm.comments) or UNSET)


def _next_told(alarm: Alarm, *, is_shelved: bool) -> ToldNow | UnsetType:
    following = alarm.next_told
    if following is None or alarm.sound == "none" or is_shelved:
        return UNSET
    return ToldNow(who=following.who, at=iso(following.at_s))


def _fallen(alarm: Alarm) -> FallenLevel | UnsetType:
    worst = alarm.worst
    return UNSET if worst is None else FallenLevel(
        rule=worst.rule, title=worst.title, priority=worst.priority, text=worst.text)


def _signals(alarm: Alarm, *, is_paused: bool, is_shelved: bool) -> Signals:
    """The signals of an alarm condition, apart from it (BICEPS): a pause is of the sound alone; what is latched is
    seen, and heard where its sound latches, too; what is shelved is seen here, and neither heard nor told elsewhere; an
    acknowledgement quiets all three."""
    if alarm.state == "acknowledged":
        return Signals(audio="acknowledged", visual="acknowledged", remote="acknowledged")
    if alarm.state == "latched":
        kept: SignalState = "off" if alarm.sound == "none" else "paused" if is_paused else "latched"
        return Signals(audio=kept, visual="latched", remote="latched")
    return Signals(audio="paused" if is_paused else "on", visual="on",
                   remote="paused" if is_shelved else "on")


def _role(state: BedState, name: str) -> PumpRole | UnsetType:
    """What a pump of several gives, where that is known."""
    drug = channels.drug_pump(state)
    if state.devices[name].kind != "pump" or drug is None or len(channels.pumps_of(state)) < 2:
        return state.devices[name].role or UNSET
    return "drug" if drug == name else "carrier"


def _device(name: str, device: Device, counts: Counts | None, role: PumpRole | UnsetType) -> DeviceNow:
    counted = {} if counts is None else {
        "frames": counts.frames, "bad": counts.bad, "late": counts.late, "received": counts.received,
        "understood": counts.understood, "dropped": counts.dropped}
    now = DeviceNow(
        device=name, kind=device.kind, driver=device.driver, identity=device.identity, link=device.link,
        reason=device.reason, since=_iso(device.since_s or None), role=role,
        alarms=tuple(DeviceAlarmNow(code=body.code, priority=body.priority, raw=body.raw, text=body.text)
                     for body in device.alarms))
    if device.stops:
        now = replace(now, stops=True)
    if device.ask:
        now = replace(now, ask=True)
    if device.off_until_s is not None:
        now = replace(now, off_until=iso(device.off_until_s))
    if device.gone is not None:
        now = replace(now, gone_to=device.gone.to)
    if (work := device.maintenance) is not None:
        now = replace(now, maintenance=MaintenanceNow(since=iso(work.since_s), until=iso(work.until_s), by=work.by,
                                                      reason=work.reason))
    return replace(now, **counted)


def _gap(state: BedState, at_s: float) -> Gap | None:
    if not _shows_gap(state, at_s):
        return None
    return Gap(from_=iso(state.boot_s - state.gap_s), to=iso(state.boot_s), why=state.gap_why)


def _shows_gap(state: BedState, at_s: float) -> bool:
    """Whether a time in which nobody watched still matters: this session's, or a late one."""
    if state.gap_s < GAP_LEAST_S:
        return False
    is_of_session = state.session is not None and state.session.here_s <= state.boot_s
    return is_of_session or at_s - state.boot_s <= state.engine.gap_shown_s


def _session(session: Session, state: BedState, at_s: float) -> SessionNow:
    points = open_items(RuleContext(state, at_s))
    return SessionNow(
        id=session.id, phase=session.phase, phase_since=iso(session.phase_since_s),
        dissociation="open" if session.is_open_period else "closed", dissociation_state=session.dissociation,
        dissociation_since=_iso(session.dissociation_since_s), started=iso(session.opened_s),
        infusion_started=_iso(session.started_s), infusion_ended=_iso(session.ended_s),
        infused_s=round(session.infused_s, 1), dose_mg=round(session.delivered_mg, 2),
        ready_min=_ready_min(session), dose_mg_kg=_rounded(session.order.mg_kg(session.delivered_mg)),
        primed_mg=round(session.primed_mg, 2),
        after_end_mg=round(session.after_end_ml * (session.order.concentration_mg_ml or 0.0), 2),
        order=replace(describe_order(session), nibp_interval_min=round(state.interval_s() / 60, 2)),
        baseline=describe_baseline(session),
        open=[point.words for point in points if point.override is None],
        check_in=_check_in(session), check_in_due=_iso(state.check_in_due_s()),
        symptoms=tuple(session.symptoms),
        quiet=quiet_check_in(state, at_s) is not None, route=state.protocol.route, bp_due=_iso(state.bp_due_s()),
        doses=tuple(DoseNow(at=iso(one.at_s), devices=one.devices, mg=one.mg, lots=one.lots, user=one.user)
                    for one in session.doses),
        open_items=tuple(_open(session, point) for point in points), next=upcoming(state, points, at_s),
        estimate=_estimate(session, state, at_s),
        held=None if session.held is None else HeldNow(
            by=session.held.by, reason=session.held.reason, at=iso(session.held.at_s)),
        limits=tuple(_limit(limit, session) for limit in state.limits),
        attested=tuple(AttestedNow(what=what, so=seen.so, at=iso(seen.at_s), user=seen.user)
                       for what, seen in session.attested.items()),
        stays=tuple(StayNow(bed=one.bed, from_=iso(one.from_s), until=iso(one.until_s)) for one in session.stays),
        checklist=session.checklist,
        spo2_due=UNSET if (due_s := oximetry.asked_s(RuleContext(state, at_s))) is None else iso(due_s),
        spo2_entered=UNSET if (spot := session.entered("spo2_pct")) is None else SpotNow(
            pct=spot.value, at=iso(spot.at_s), user=spot.by),
        bp_entered=_bp_entered(state))


def _bp_entered(state: BedState) -> BpNow | UnsetType:
    last = state.determinations[-1] if state.determinations else None
    return UNSET if last is None or last.by is None else BpNow(
        sbp_mmhg=round(last.sbp_mmhg), dbp_mmhg=round(last.dbp_mmhg), at=iso(last.at_s), user=last.by)


def _limit(limit: Limit, session: Session) -> LimitNow:
    now = LimitNow(limit=limit.id, title=limit.title, unit=limit.unit, usual=limit.number, least=limit.least,
                   most=limit.most)
    own = next((one for one in session.limits if one.limit == limit.id), None)
    return now if own is None else replace(now, value=own.value, by=own.by, reason=own.reason, at=iso(own.at_s))


def _ready_min(session: Session) -> float | None:
    """As the esketamine REMS form asks it: had there been no minimum stay, when would the patient have been ready?"""
    ready_s, started_s = session.but_for_the_stay_s, session.started_s
    return None if ready_s is None or started_s is None else round((ready_s - started_s) / 60, 1)


def _rounded(mg_kg: float | None) -> float | None:
    return None if mg_kg is None else round(mg_kg, 3)


def _estimate(session: Session, state: BedState, at_s: float) -> EstimateNow | None:
    found, model = pk.now(state, session, at_s), state.protocol.pk
    if found is None or model is None:
        return None
    return EstimateNow(model=model.name, blood_ng_ml=round(found[0], 1), effect_ng_ml=round(found[1], 1),
                       degraded=found[2])


def _open(session: Session, point: OpenPoint) -> OpenNow:
    override = point.override
    return OpenNow(
        gate=point.gate.id, text=point.words, since=_iso(session.open_since_s.get(point.gate.id)),
        at=_iso(point.at_s), override=point.gate.override, overridden_by=override.user if override else None,
        reason=override.reason if override else None)


def _check_in(session: Session) -> CheckInNow | None:
    if not session.check_ins:
        return None
    last = session.check_ins[-1]
    return CheckInNow(
        at=iso(last.at_s), user=last.user, moaas=last.moaas, cadss=last.cadss, anxiety=last.anxiety,
        distress=last.distress, nausea=last.nausea, symptoms=last.symptoms, note=last.note)


def protocols(known: Protocols) -> tuple[ProtocolNow, ...]:
    """Every protocol that may be chosen, in the order of the file."""
    return tuple(ProtocolNow(
        id=each.id, title=each.title, drug=each.drug, route=each.route,
        limits={name: Bounds(low=limits.low, high=limits.high) for name in (field.name for field in fields(OrderLimits))
                if (limits := getattr(each.order, name)) is not None},
        doses_mg=each.by_hand.doses_mg if each.by_hand else (),
        device_mg=each.by_hand.device_mg if each.by_hand else None) for each in known.by_id.values())
