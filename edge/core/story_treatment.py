"""What a story can say of a treatment besides its order: that its pump may be stopped, and was."""

from __future__ import annotations

from collections.abc import Callable

from msgspec import UNSET

from edge.core import views
from edge.core.story_bed import StoryBed
from edge.core.story_verbs import Unreadable, number


def holds(bed: StoryBed, words: list[str], quoted: str) -> str | None:
    """Whether it is as `words` have it: empty where it is, else how it is. None: no words of this module."""
    match words:
        case ["bed", name]:
            return "" if bed.name == name else f"bed {bed.name}"
        case ["next"] | ["no", "next"]:
            session = views.full(bed.bedside.state, bed.at_s).session
            texts = [] if session is None else [one.text for one in session.next]
            return "" if any(quoted in text for text in texts) is (words == ["next"]) else f"next {texts}"
        case ["interlock" | "stop" as which, word]:
            told = views.full(bed.bedside.state, bed.at_s).interlock
            said = ("off" if told is UNSET else told.state) if which == "interlock" else (
                "none" if told is UNSET or told.stop is None else told.stop.state)
            return "" if said == word else f"{which} {said}"
    return None


def _arm(bed: StoryBed, rest: list[str]) -> None:
    match rest:
        case [user]:
            bed.command("arm_interlock", {}, user=user)
        case _:
            raise Unreadable(f"write {VERBS['arm'][0]}")


def _disarm(bed: StoryBed, rest: list[str]) -> None:
    bed.command("disarm_interlock", {"reason": " ".join(rest)} if rest else {})


def _stop(bed: StoryBed, rest: list[str]) -> None:
    if rest not in (["obeyed"], ["ignored"]):
        raise Unreadable(f"write {VERBS['stop'][0]}")
    bed.obeys = rest == ["obeyed"]


def _limit(bed: StoryBed, rest: list[str]) -> None:
    match rest:
        case [name, "usual", *why] if why:
            bed.command("set_limit", {"limit": name, "reason": " ".join(why)}, role="prescriber")
        case [name, value, *why] if why:
            bed.command("set_limit", {"limit": name, "value": number(value, "a limit"), "reason": " ".join(why)},
                        role="prescriber")
        case _:
            raise Unreadable(f"write {VERBS['limit'][0]}")


def _hold(bed: StoryBed, rest: list[str]) -> None:
    bed.command("hold", {"reason": " ".join(rest)})


def _release(bed: StoryBed, _: list[str]) -> None:
    bed.command("unhold", {})


def _move(bed: StoryBed, rest: list[str]) -> None:
    if bed.other is None or "because" not in rest:
        raise Unreadable(f"write {VERBS['move'][0]}")
    what, why = rest[:rest.index("because")], rest[rest.index("because") + 1:]
    devices = {"devices": what[1:]} if what[:1] == ["with"] else {}
    if what[:1] not in ([], ["with"]):
        raise Unreadable(f"write {VERBS['move'][0]}")
    bed.move({"reason": " ".join(why), **devices})


VERBS: dict[str, tuple[str, Callable[[StoryBed, list[str]], None]]] = {
    "arm": ("arm USER (that certain alarms stop the pump: one asks for it, another arms it)", _arm),
    "disarm": ("disarm [WHY]", _disarm),
    "hold": ("hold WHY (a person holds the treatment)", _hold),
    "unhold": ("unhold (it may go on)", _release),
    "limit": ("limit NAME VALUE|usual WHY (of this patient, set by a prescriber)", _limit),
    "move": ("move [with DEVICE ...] because WHY (the patient goes to the other bed, and the devices that are named are"
             " plugged over), in a story that is given two beds", _move),
    "stop": ("stop obeyed|ignored (what a pump does that is told to stop)", _stop),
}
