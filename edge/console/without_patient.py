"""What a screen gets that treats nobody: beds, devices and readings, and not who lies there or what was done to them.

A technician mends devices, and needs to know whether somebody is treated with one. Names, a session's id, orders,
check-ins and what a nurse wrote of a patient are no part of that. What may pass is listed, so that what the contract
gains later stays away until somebody lists it. What is written about a device or a technical alarm passes: that is for
the technician.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec
from msgspec import UNSET

from edge.contract.commands import NURSE
from edge.contract.payloads import AlarmNow, DelegationNow, EventOut, SessionNow, State, decode, encode
from edge.model import Role

KINDS = frozenset({"alarm", "audio", "boot", "device", "journal", "link", "shelf", "stream"})  # of events
_SESSION = ("phase", "phase_since", "dissociation", "dissociation_state", "dissociation_since", "started",
            "infusion_started", "infusion_ended", "infused_s", "route", "bp_due")
_STATE = ("edge", "bed", "at", "seq", "boot", "simulated", "devices", "audio_paused_until", "gap", "shelved",
          "alarm_limits", "interlock")


def sees_patients(role: Role) -> bool:
    """Whether whoever has this role sees who lies where: those who treat them."""
    return role in NURSE


def state_without(state: State) -> State:
    """A bed's state for a technician. The session's id is when it began: another one is still another one."""
    said = state.session
    session = None if said is None else SessionNow(
        id=said.started or "", **{name: getattr(said, name) for name in _SESSION})
    delegation = state.delegation
    return State(session=session, alarms=[_alarm(alarm) for alarm in state.alarms],
                 delegation=msgspec.structs.replace(delegation, reason="")
                 if isinstance(delegation, DelegationNow) else UNSET,
                 **{name: getattr(state, name) for name in _STATE})


def _alarm(alarm: AlarmNow) -> AlarmNow:
    return alarm if alarm.alarm_class == "technical" else msgspec.structs.replace(alarm, comments=UNSET)


def answer_without(state: dict[str, Any] | None) -> dict[str, Any] | None:
    """The state in an edge's answer to a command, for a technician; None where it is no state."""
    try:
        return None if state is None else msgspec.to_builtins(state_without(msgspec.convert(state, State)))
    except msgspec.ValidationError:
        return None


def event_without(event: EventOut) -> EventOut | None:
    """An event for a technician; None: it is a patient's alone. Its hash is of the whole, session and all."""
    return msgspec.structs.replace(event, session=None) if event.kind in KINDS else None


def events_without(stored: Iterable[bytes]) -> list[bytes]:
    """Stored events, as JSON, for a technician."""
    return [encode(less) for raw in stored if (less := event_without(decode(EventOut, raw))) is not None]
