"""What a person changes in a treatment besides its order: the limits of this patient; that it is held."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec.structs import replace

from edge.contract.events import LimitSet, PendingEvent, TreatmentHeld
from edge.contract.treatment_verbs import HoldTreatment, ReleaseHold, SetLimit
from edge.core import session
from edge.core.context import RuleContext
from edge.core.entered import Held, Limit, OwnLimit
from edge.core.refusal import SHOWN_CHARS, Refused, open_session
from edge.core.rules import RuleSet
from edge.core.state import BedState, Session
from edge.model import Command


def rules_of(rules: RuleSet, session: Session | None) -> RuleSet:
    """`rules` as they are for the patient of this session."""
    if session is None or not session.limits:
        return rules
    return rules.of_patient(tuple((one.limit, one.value) for one in session.limits))


def set_limit(state: BedState, rules: RuleSet, command: Command, args: SetLimit, at_s: float) -> Iterator[PendingEvent]:
    """From now on this patient's limit is another one, or the usual one again. Raises Refused."""
    current = open_session(state)
    limit = _limit(rules, args.limit)
    value = limit.number if args.value is None else args.value
    if not limit.least <= value <= limit.most:
        raise Refused(f"bad_args: {limit.title} must be from {limit.least:g} to {limit.most:g} {limit.unit}, not"
                      f" {value:g}; usual is {limit.number:g}")
    was = next((one.value for one in current.limits if one.limit == limit.id), limit.number)
    if was == value:
        raise Refused(f"not_now: {limit.title} is {value:g} {limit.unit} already")
    kept = tuple(one for one in current.limits if one.limit != limit.id)
    own = OwnLimit(limit.id, value, command.user, args.reason.strip(), at_s)
    state.session = replace(current, limits=kept if value == limit.number else (*kept, own))
    counted = {account.key for accounts in rules_of(rules, state.session).needs.accounts.values()
               for account in accounts}
    state.below = {key: below for key, below in state.below.items() if key in counted}
    yield state.event(at_s, LimitSet(
        limit=limit.id, title=limit.title, unit=limit.unit, value=value, was=was, usual=limit.number,
        reason=own.reason, command=command.id, by=command.user))


def _limit(rules: RuleSet, name: str) -> Limit:
    found = next((limit for limit in rules.limits if limit.id == name), None)
    if found is None:
        known = ", ".join(limit.id for limit in rules.limits) or "none"
        raise Refused(f"bad_args: no limit {name[:SHOWN_CHARS]!r} can be set for a patient; these can: {known}")
    return found


def hold(state: BedState, _: RuleSet, command: Command, args: HoldTreatment, at_s: float) -> Iterator[PendingEvent]:
    """It does not begin, or does not go on, until a person lets it. READY is left at once. Raises Refused."""
    current = open_session(state)
    if current.held is not None:
        raise Refused(f"not_now: it is {session.held_in_words(current.held)} already")
    if current.phase not in ("PRECHECK", "READY", "INFUSING", "PAUSED"):
        raise Refused(f"not_now: the dose is over, the phase is {current.phase}")
    asked = {gate.id for gate in state.protocol.go_on}  # who went on in spite of one did so for that time
    held = Held(command.user, args.reason.strip(), at_s)
    state.session = replace(current, held=held,
                            overrides=tuple(one for one in current.overrides if one.gate not in asked))
    yield state.event(at_s, TreatmentHeld(held=True, reason=held.reason, command=command.id, by=command.user))
    if current.phase == "READY":
        phase, why = session.enter(state, "PRECHECK", at_s, session.held_in_words(held))
        yield session.phase_moved(state, phase, why, at_s)


def release(state: BedState, _: RuleSet, command: Command, __: ReleaseHold, at_s: float) -> Iterator[PendingEvent]:
    """It may go on; during the infusion only with nothing open that the protocol asks for. Raises Refused."""
    current = open_session(state)
    if current.held is None:
        raise Refused("not_now: nobody holds the treatment")
    unmet = [point.words for point in session.open_items(RuleContext(state, at_s))
             if point.override is None and point.gate is not session.HELD]
    if unmet and current.phase not in ("PRECHECK", "READY"):  # before the start the gates themselves keep it
        raise Refused(f"not_now: before it goes on: {'; '.join(unmet)}")
    state.session = replace(current, held=None)
    yield state.event(at_s, TreatmentHeld(held=False, reason="", command=command.id, by=command.user))
