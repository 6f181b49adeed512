"""Commands: what a nurse may ask of a bed, each checked against what is true now, and what follows or why not.

Arguments by verb (any other is refused):
    start_session  session protocol weight_kg dose_mg_kg duration_min concentration_mg_ml nibp_interval_min? age_years?
                   checklist?
    checklist      done
    check_in       moaas? cadss? anxiety? distress? nausea? symptoms? note?      (left out: not assessed)
    acknowledge    alarm seq
    audio_pause    -          audio_resume  -
    end_infusion   reason     close_session reason?
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import msgspec
from msgspec.structs import replace

from edge.contract.events import AsDict, EventKind, PendingEvent
from edge.core import audio, dissociation, samples, session
from edge.core.alarms import SHOWN, move
from edge.core.context import RuleContext
from edge.core.rule import applies
from edge.core.rules import RuleSet
from edge.core.state import BedState, CheckIn, Order, Session
from edge.core.transitions import announce_anew, publish
from edge.model import NOTE_MOST, REASON_MOST, WORD_MOST, Command, iso

Kind = EventKind
AUDIO_PAUSE_S = 120.0
KEPT_CLOSED = 200  # sessions whose ids are remembered, so that none is opened twice
_PLAUSIBLE: dict[str, tuple[float, float, str]] = {  # order entry: clinical.md 1.1
    "weight_kg": (35, 200, "kg"), "dose_mg_kg": (0.1, 1.0, "mg/kg"), "duration_min": (30, 120, "min"),
    "concentration_mg_ml": (0.2, 10, "mg/mL; an undiluted vial must never run"), "nibp_interval_min": (2, 30, "min"),
    "age_years": (18, 110, "years"),
}
ARGUMENTS: dict[str, frozenset[str]] = {
    "start_session": frozenset({"session", "protocol", "checklist", *_PLAUSIBLE}),
    "checklist": frozenset({"done"}),
    "check_in": frozenset({"moaas", "cadss", "anxiety", "distress", "nausea", "symptoms", "note"}),
    "acknowledge": frozenset({"alarm", "seq"}),
    "audio_pause": frozenset(), "audio_resume": frozenset(),
    "end_infusion": frozenset({"reason"}), "close_session": frozenset({"reason"}),
}
_SCALES = {"moaas": 5, "cadss": 92, "anxiety": 10, "distress": 10, "nausea": 10}


class Refused(Exception):
    """The command cannot be obeyed; its words say why."""


def obey(state: BedState, rules: RuleSet, command: Command, at_s: float) -> Iterator[PendingEvent]:
    """Do what `command` asks, or tell why not; always at least one draft that names the command."""
    verb = _VERBS.get(command.verb)
    try:
        if verb is None:
            raise Refused(f"unknown_verb: {command.verb}")
        unknown = sorted(set(command.args) - ARGUMENTS[command.verb])
        if unknown:  # a misspelt score would otherwise pass for one that was not assessed
            known = ", ".join(sorted(ARGUMENTS[command.verb])) or "none"
            raise Refused(f"bad_args: {', '.join(unknown)[:60]} is not one; {command.verb} takes {known}")
        yield from verb(state, rules, command, at_s)
    except Refused as refused:
        yield _draft(state, "command", at_s, command, {"ok": False, "verb": command.verb, "reason": str(refused)})


def _draft(state: BedState, kind: EventKind, at_s: float, command: Command, body: dict[str, Any]) -> PendingEvent:
    current = state.session
    body = {**body, "command": command.id, "by": command.user}
    return PendingEvent(state.bed, current.id if current else None, at_s, AsDict(kind, body))


def _open(state: BedState) -> Session:
    if state.session is None:
        raise Refused("no_session: open a session on this bed first")
    return state.session


def _number(args: Mapping[str, Any], name: str, *, needed: bool = True) -> float | None:
    value = args.get(name)
    if value is None and not needed:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Refused(f"bad_args: {name} must be a number, not {value!r}")
    low, high, unit = _PLAUSIBLE[name]
    if not low <= value <= high:
        raise Refused(f"bad_args: {name} must be from {low:g} to {high:g} {unit}, not {str(value)[:20]}")
    return float(value)


def _start(state: BedState, rules: RuleSet, command: Command, at_s: float) -> Iterator[PendingEvent]:
    if state.session is not None:
        raise Refused("session_open: close this bed's session first")
    args = command.args
    session_id = args.get("session")
    if not isinstance(session_id, str) or not 8 <= len(session_id) <= 64 or not session_id.replace("-", "").isalnum():
        raise Refused("bad_args: session must be an id of 8 to 64 letters and digits")
    if session_id in state.closed:
        raise Refused("session_closed: this session is over; open a new one under an id of its own")
    interval = _number(args, "nibp_interval_min", needed=False)
    numbers = {name: _number(args, name) for name in ("weight_kg", "dose_mg_kg", "duration_min", "concentration_mg_ml")}
    order = Order(
        protocol=str(args.get("protocol", "iv_racemic_40")), **{k: v for k, v in numbers.items() if v is not None},
        nibp_interval_min=interval if interval is not None else state.nibp_interval_s / 60,
        age_years=_number(args, "age_years", needed=False),
    )
    yield from _end_alarms(state, rules, at_s)  # whoever they were of, it is not this patient
    samples.forget_patient(state)
    state.session = Session(session_id, state.bed, order, "PRECHECK", at_s, at_s, command.user,
                            checklist=args.get("checklist") is True)
    yield _draft(state, "session", at_s, command, {
        "change": "opened", "phase": "PRECHECK", "order": session.describe_order(state.session)})
    yield from announce_anew(state, rules, at_s)
    yield from audio.end_pause(state, at_s, "a new session")


def _checklist(state: BedState, rules: RuleSet, command: Command, at_s: float) -> Iterator[PendingEvent]:
    current = _open(state)
    done = command.args.get("done")
    if not isinstance(done, bool):
        raise Refused("bad_args: done must be true or false")
    state.session = replace(current, checklist=done)
    yield _draft(state, "session", at_s, command, {"change": "checklist", "done": done})


def _check_in(state: BedState, rules: RuleSet, command: Command, at_s: float) -> Iterator[PendingEvent]:
    current = _open(state)
    scales: dict[str, int | None] = {}
    for name, highest in _SCALES.items():
        value = command.args.get(name)
        if value is not None and (isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= highest):
            raise Refused(f"bad_args: {name} must be a whole number from 0 to {highest}, or left out; not {value!r}")
        scales[name] = value
    symptoms = command.args.get("symptoms") or []
    if not isinstance(symptoms, list) or not all(isinstance(s, str) and s and len(s) <= WORD_MOST for s in symptoms):
        raise Refused(f"bad_args: symptoms must be a list of words of at most {WORD_MOST} characters")
    note = _text(command.args, "note", NOTE_MOST)
    if not symptoms and not note and all(score is None for score in scales.values()):
        raise Refused("bad_args: an empty check-in says nothing; enter a score, a symptom or a note")
    entered = CheckIn(at_s, command.user, **scales, symptoms=tuple(symptoms), note=note)
    state.session = replace(current, check_ins=(*current.check_ins, entered))
    body = {key: value for key, value in msgspec.to_builtins(entered).items() if key not in ("at_s", "user")}
    yield _draft(state, "check_in", at_s, command, body)
    for moved, basis in dissociation.on_check_in(state, entered, at_s):
        yield _draft(state, "dissociation", at_s, command, {"state": moved, "basis": basis})


def _text(args: Mapping[str, Any], name: str, most: int) -> str:
    """Words of a person, without the blanks around them; empty where none were given."""
    value = args.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise Refused(f"bad_args: {name} must be text, not {str(value)[:40]}")
    if len(value) > most:
        raise Refused(f"bad_args: {name} must be at most {most} characters, not {len(value)}")
    return value.strip()


def _acknowledge(state: BedState, rules: RuleSet, command: Command, at_s: float) -> Iterator[PendingEvent]:
    """Silence for this occurrence, if it is still the one the nurse saw (house.md 5)."""
    wanted, seq = command.args.get("alarm"), command.args.get("seq")
    alarm = next((a for a in state.alarms.values() if a.id == wanted and a.id), None)
    if alarm is None or alarm.state not in SHOWN:
        raise Refused("moved_on")
    if isinstance(seq, bool) or alarm.seq != seq:
        raise Refused("moved_on")
    if alarm.state == "acknowledged":
        raise Refused(f"already_acknowledged: by {alarm.by}")
    rule = rules.named(alarm.rule)
    moved = replace(alarm, state=move(alarm.state, "acknowledge", latch=rule.latch), acknowledged_at_s=at_s,
                    by=command.user)
    state.alarms[alarm.key] = moved
    yield publish(state, rule, moved, alarm.state, RuleContext(state, at_s, alarm.device), by=command.user,
                  command=command.id)


def _audio(state: BedState, rules: RuleSet, command: Command, at_s: float) -> Iterator[PendingEvent]:
    pause = command.verb == "audio_pause"
    state.audio_paused_until_s = at_s + AUDIO_PAUSE_S if pause else None
    yield _draft(state, "audio", at_s, command, {
        "paused_until": iso(state.audio_paused_until_s) if state.audio_paused_until_s else None})


def _end_infusion(state: BedState, rules: RuleSet, command: Command, at_s: float) -> Iterator[PendingEvent]:
    current = _open(state)
    if current.phase not in ("INFUSING", "PAUSED"):
        raise Refused(f"not_now: no infusion to end, the phase is {current.phase}")
    if RuleContext(state, at_s).infusing() is True:
        raise Refused("not_now: the pump is still infusing; stop it at the pump first")
    phase, why = session.end_infusion(state, at_s, _text(command.args, "reason", REASON_MOST) or "ended by the nurse")
    yield _draft(state, "phase", at_s, command, {"phase": phase, "why": why})


def _close(state: BedState, rules: RuleSet, command: Command, at_s: float) -> Iterator[PendingEvent]:
    current = _open(state)
    reason = _text(command.args, "reason", REASON_MOST)
    if RuleContext(state, at_s).infusing() is True:
        raise Refused("not_now: the pump is infusing; stop it at the pump first")
    unmet = session.open_points(state, at_s) if current.phase == "RECOVERY" else []
    if current.phase != "DISCHARGE_READY" and not reason:
        raise Refused("reason_needed: " + ("; ".join(unmet) or f"the session is in {current.phase}"))
    session.enter(state, "CLOSED", at_s, reason)
    yield _draft(state, "session", at_s, command, {
        "change": "closed", "phase": "CLOSED", "from": current.phase, "reason": reason, "unmet": unmet,
        "delivered_mg": round(current.delivered_mg, 2)})
    yield from _end_alarms(state, rules, at_s)
    yield from audio.end_pause(state, at_s, "the session is closed")
    state.closed = [*state.closed, current.id][-KEPT_CLOSED:]
    state.session = None
    samples.forget_patient(state)


def _end_alarms(state: BedState, rules: RuleSet, at_s: float) -> Iterator[PendingEvent]:
    """The patient's alarms end where a session ends or begins; a technical one stays if its rule applies on a bed
    without a session too (a lost link)."""
    for key, alarm in list(state.alarms.items()):
        rule = rules.named(alarm.rule)
        stays = rule.kind == "technical" and applies(rule.context, None)
        if alarm.state in SHOWN and not stays:
            ended = replace(alarm, state="inactive", true_since_s=None, over_since_s=None, acknowledged_at_s=None)
            yield publish(state, rule, ended, alarm.state, RuleContext(state, at_s, alarm.device))
        elif not stays:
            state.alarms.pop(key)


_VERBS: dict[str, Callable[[BedState, RuleSet, Command, float], Iterator[PendingEvent]]] = {
    "start_session": _start, "checklist": _checklist, "check_in": _check_in, "acknowledge": _acknowledge,
    "audio_pause": _audio, "audio_resume": _audio, "end_infusion": _end_infusion, "close_session": _close,
}
VERBS = tuple(_VERBS)
