"""A command that cannot be done now."""

from __future__ import annotations

from edge.core.state import BedState, Session


class Refused(Exception):
    """The command cannot be done; the message says why."""


def open_session(state: BedState) -> Session:
    """The session of this bed. Raises Refused where there is none."""
    if state.session is None:
        raise Refused("no_session: open a session on this bed first")
    return state.session
