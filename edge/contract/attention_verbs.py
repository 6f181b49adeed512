"""What a person may ask about alarms besides acknowledging them: comment on one, let somebody else be told first; and
put a device in maintenance. Read through `commands`."""

from __future__ import annotations

import unicodedata
from typing import Annotated, ClassVar

from msgspec import Meta

from edge.contract.seen import is_seen
from edge.contract.verb import MAX_NOTE, MAX_PATIENT_NAME, NURSE, Reason, Verb, number, shown
from edge.model import Role

# to whom no patient's alarms are delegated
NOBODY = frozenset({"administrator", "box", "nobody", "technician"})


def in_one_line(text: str) -> str:
    """What a person wrote, as it is kept and shown: composed (NFC), in one line, without characters that cannot be
    seen or that turn the direction of writing."""
    letters = (letter if is_seen(letter) else " " for letter in unicodedata.normalize("NFC", text))
    return " ".join("".join(letters).split())


class CommentAlarm(Verb, frozen=True, kw_only=True):
    """Say something about an alarm that stands, or that has just ended; it stays with the alarm and in the record."""

    verb: ClassVar[str] = "comment"
    roles: ClassVar[frozenset[Role]] = NURSE | {"technician"}

    alarm: Annotated[str, Meta(min_length=1, max_length=200, title="Alarm")]
    comment: Annotated[str, Meta(max_length=MAX_NOTE, pattern=r"\S", title="Comment")]

    def words(self) -> str:
        """The comment as it is kept."""
        return in_one_line(self.comment)

    def objection(self) -> tuple[str, str] | None:
        """What cannot be seen says nothing."""
        return None if self.words() else ("bad_args", "comment must not be blank")


class Delegate(Verb, frozen=True, kw_only=True):
    """For some minutes, alarms of this bed are told first to somebody else: a role, or a person by name. Whoever is
    first otherwise is told soon after, if nobody acknowledges; when the time is up it is as before."""

    verb: ClassVar[str] = "delegate"

    to: Annotated[str, Meta(max_length=MAX_PATIENT_NAME, pattern=r"\S", title="To (nurse, prescriber, or a name)")]
    minutes: Annotated[float, number("For", 1, 60, "min", presets=(5, 15, 30))]
    reason: Reason

    def who(self) -> str:
        """The role or the name as it is kept."""
        return in_one_line(self.to)

    def objection(self) -> tuple[str, str] | None:
        """Alarms of a patient go to whoever treats patients."""
        if not self.who():
            return "bad_args", "to must not be blank"
        if self.who().casefold() in NOBODY:
            return "bad_args", f"to must be a nurse or a prescriber, by role or by name, not {shown(self.to)}"
        return None


class Undelegate(Verb, frozen=True, kw_only=True):
    """Alarms of this bed are told first to whom they were before, from now on."""

    verb: ClassVar[str] = "undelegate"


class Maintain(Verb, frozen=True, kw_only=True):
    """A technician works on a device for some minutes: nothing of it is shown, counted or missed. Never while a session
    at this bed needs it."""

    verb: ClassVar[str] = "maintain"
    roles: ClassVar[frozenset[Role]] = frozenset({"technician"})

    device: Annotated[str, Meta(min_length=1, max_length=64, title="Device")]
    minutes: Annotated[float, number("For", 1, 60, "min", presets=(10, 30))]
    reason: Reason


class MaintenanceOver(Verb, frozen=True, kw_only=True):
    """A device is in use again before its time."""

    verb: ClassVar[str] = "maintenance_over"
    roles: ClassVar[frozenset[Role]] = NURSE | {"technician"}

    device: Annotated[str, Meta(min_length=1, max_length=64, title="Device")]
