"""What every verb's struct is made of: its base, its roles, and the limits and words of an argument."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

import msgspec
from msgspec import Meta

from edge.model import Role

MAX_NOTE, MAX_REASON, MAX_SYMPTOM, MAX_LOT = 500, 200, 40, 40  # characters
MAX_PATIENT_NAME = 80  # of the name that comes with start_session, and stays in the console's store
MAX_PLANNED_MIN = 10  # that a device may be disconnected as planned
NURSE: frozenset[Role] = frozenset({"nurse", "prescriber"})  # whoever treats the patient
# reasons that are none: they say that it was done, and not why
SAYS_NOTHING = frozenset({
    "because", "clinical judgement", "close", "closed", "discharge", "discharged", "done", "finished", "fine", "n/a",
    "na", "no", "none", "nothing", "ok", "okay", "override", "overridden", "reason", "see notes", "unknown", "yes"})


def says_why(reason: str) -> bool:
    """Whether a reason is one. A default, or a word that only says that it was done, is none."""
    words = " ".join(reason.casefold().split()).strip(" .!-")
    return len(words) > 2 and words not in SAYS_NOTHING


def number(label: str, least: float, most: float, unit: str, remedy: str = "", presets: tuple[float, ...] = (),
            usual: tuple[float | None, float | None] = (None, None), unless: str = "") -> Meta:
    """`presets` are offered beside the keys; what lies outside `usual` is allowed, and read back with a caution.
    `unless`: it is needed, but for a command that has this other argument."""
    more = {"presets": presets, "usual_min": usual[0], "usual_max": usual[1], "unless": unless or None}
    said = {name: value for name, value in more.items() if value not in (None, ())}
    schema = {"x-" + name.replace("_", "-"): value for name, value in {"unit": unit, **said}.items()}
    return Meta(ge=least, le=most, title=label, extra={"unit": unit, "remedy": remedy, **said},
                extra_json_schema=schema)


def score(label: str, most: int) -> Meta:
    return Meta(ge=0, le=most, title=label)


Reason = Annotated[str, Meta(max_length=MAX_REASON, pattern=r"\S", title="Reason")]


class Verb(msgspec.Struct, frozen=True, kw_only=True):
    """Base of every verb's arguments. What is None was left out."""

    verb: ClassVar[str]
    roles: ClassVar[frozenset[Role]] = NURSE

    def objection(self) -> tuple[str, str] | None:
        """What is wrong with the arguments together, though each of them may be: a code and a line."""
        return None


class WithReason(Verb, frozen=True, kw_only=True):
    """Base of what is done against the rule of the house, or changes what is written: it says why."""

    reason: Reason

    def objection(self) -> tuple[str, str] | None:
        """A reason that says nothing is refused."""
        if says_why(self.reason):
            return None
        return "reason_needed", f"{shown(self.reason)} is no reason; say why, in words of your own"


def shown(value: Any) -> str:
    """A stranger's value in a line of ours: short, quoted, without line breaks."""
    if isinstance(value, int) and abs(value) >= 10**20:
        return "a number of more than 20 digits"
    return repr(value)[:40]
