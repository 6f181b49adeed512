"""A command that cannot be done now."""

from __future__ import annotations

from edge.core.state import BedState, Device, Session

SHOWN_CHARS = 40  # of a name that nothing here has

class Refused(Exception):
    """The command cannot be done; the message says why."""


def open_session(state: BedState) -> Session:
    """The session of this bed. Raises Refused where there is none."""
    if state.session is None:
        raise Refused("no_session: open a session on this bed first")
    return state.session


def named_device(state: BedState, name: str, bed: str = "this bed") -> Device:
    """The device of this bed; `bed`: what it is called. Raises Refused where it has none of that name."""
    if name not in state.devices:
        known = ", ".join(state.devices) or "none"
        raise Refused(f"bad_args: {bed} has no device {name[:SHOWN_CHARS]!r}; it has {known}")
    return state.devices[name]
