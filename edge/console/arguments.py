"""What a nurse's command says beyond its verb: what no honest page sends is refused here, before it is signed.

The edge checks again and has the last word; here a client that is not our page gets its answer without a round trip,
and nothing is cut to length in silence.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from edge.model import NOTE_MOST, REASON_MOST, WORD_MOST

SCORES = ("moaas", "cadss", "anxiety", "distress", "nausea")

Args = Mapping[str, Any]


def objection(verb: str, args: Args) -> str | None:
    """Why `args` cannot be what `verb` takes, in one line that begins as the edge's own do; None: send it."""
    check = _CHECKS.get(verb)
    why = check(args) if check is not None else None
    return None if why is None else f"bad_args: {why}"


def _check_in(args: Args) -> str | None:
    note, symptoms = args.get("note"), args.get("symptoms")
    if note is not None and not isinstance(note, str):
        return "note must be text"
    if note is not None and len(note) > NOTE_MOST:
        return f"note must be at most {NOTE_MOST} characters, not {len(note)}"
    if symptoms is not None:
        if not isinstance(symptoms, list):
            return "symptoms must be a list"
        unfit = [each for each in symptoms if not isinstance(each, str) or not 0 < len(each) <= WORD_MOST]
        if unfit:
            return f"{_shown(unfit[0])} is no symptom; write a word of at most {WORD_MOST} characters"
    assessed = any(args.get(score) is not None for score in SCORES)
    if not assessed and not symptoms and not (note or "").strip():
        return "an empty check-in says nothing: enter a score, a symptom or a note"
    return None


def _reason(args: Args) -> str | None:
    reason = args.get("reason")
    if reason is None:  # whether one is needed depends on the session, which the edge knows
        return None
    if not isinstance(reason, str):
        return "reason must be text"
    if not reason.strip():
        return "reason must not be blank"
    return f"reason must be at most {REASON_MOST} characters, not {len(reason)}" if len(reason) > REASON_MOST else None


def _shown(value: Any) -> str:
    """A stranger's value in a line of ours: short, quoted, without line breaks."""
    return repr(value)[:40]


_CHECKS: dict[str, Callable[[Args], str | None]] = {
    "check_in": _check_in, "close_session": _reason, "end_infusion": _reason,
}
