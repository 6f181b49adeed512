"""Which devices a bed does without now: a pump where the dose is given by hand, and what was disconnected as planned.
Of these nothing is missed, and no rule speaks."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec.structs import replace

from edge.contract.events import DeviceReturned, PendingEvent
from edge.core import maintenance
from edge.core.state import BedState

OXIMETRY_EVERY_S = 60.0


def follow(state: BedState, at_s: float) -> Iterator[PendingEvent]:
    """Settle it as things are now; an event where a planned time is over."""
    state.no_pump = state.session is not None and state.protocol.by_hand is not None
    yield from maintenance.follow(state, at_s)
    for name, device in state.devices.items():
        if device.off_until_s is not None and (at_s >= device.off_until_s or state.session is None):
            device.off_until_s = None
            yield state.event(at_s, DeviceReturned(device=name, why="the planned time is over"))
        device.away = (device.off_until_s is not None or device.maintenance is not None or device.gone is not None
                       or (state.no_pump and device.kind == "pump"))


def note_taken(state: BedState, at_s: float) -> None:
    """Remember for the session when blood pressures were taken, and that there was a valid SpO2: once a minute."""
    session = state.session
    if session is None:
        return
    newest = state.determinations[-1].at_s if state.determinations else None
    if newest is not None and newest >= session.opened_s and newest not in session.bp_at_s[-1:]:
        session = state.session = replace(session, bp_at_s=(*session.bp_at_s, newest))
    spo2 = state.latest.get("spo2_pct")
    last_s = session.spo2_at_s[-1] if session.spo2_at_s else session.opened_s - OXIMETRY_EVERY_S
    if spo2 is not None and spo2.valid_at_s is not None and spo2.valid_at_s - last_s >= OXIMETRY_EVERY_S:
        state.session = replace(session, spo2_at_s=(*session.spo2_at_s, spo2.valid_at_s))
