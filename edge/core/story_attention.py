"""What a story says of attention: who is told of an alarm, what is reminded of, what sounds; and what a person does
with an alarm besides acknowledging it. `VERBS` can happen; `FORMS` can be expected."""

from __future__ import annotations

import re
from collections.abc import Callable

from edge.core.alarms import Alarm
from edge.core.audio import sounds
from edge.core.story_bed import StoryBed
from edge.core.story_verbs import Unreadable, number

FORMS = ('sound high|medium|low|none, RULE[:device] [not] told WHO, RULE[:device] [not] commented ["..."],'
         ' [not] shelved RULE[:device], [not] delegated WHO, [no] reminder ["..."], [no] information ["..."]')


def _pause(bed: StoryBed, _: list[str]) -> None:
    bed.command("audio_pause", {})


def _resume(bed: StoryBed, _: list[str]) -> None:
    bed.command("audio_resume", {})


def _shelve(bed: StoryBed, rest: list[str]) -> None:
    match rest:
        case [key, minutes, *why] if minutes.endswith("min") and why:
            alarm = _alarm(bed, key)
            bed.command("shelve", {"alarm": alarm.id, "seq": alarm.seq, "reason": " ".join(why),
                                   "minutes": number(minutes.removesuffix("min"), "minutes")})
        case _:
            raise Unreadable(f"write {VERBS['shelve'][0]}")


def _unshelve(bed: StoryBed, rest: list[str]) -> None:
    bed.command("unshelve", {"shelf": " ".join(rest)})


def _delegate(bed: StoryBed, rest: list[str]) -> None:
    match = re.fullmatch(r"(.+?) (\d+)min (.+)", " ".join(rest))
    if match is None:
        raise Unreadable(f"write {VERBS['delegate'][0]}")
    bed.command("delegate", {"to": match[1], "minutes": float(match[2]), "reason": match[3]})


def _undelegate(bed: StoryBed, _: list[str]) -> None:
    bed.command("undelegate", {})


def _comment(bed: StoryBed, rest: list[str]) -> None:
    match rest:
        case [key, *words] if words:
            bed.command("comment", {"alarm": _alarm(bed, key).id, "comment": " ".join(words)})
        case _:
            raise Unreadable(f"write {VERBS['comment'][0]}")


VERBS: dict[str, tuple[str, Callable[[StoryBed, list[str]], None]]] = {
    "pause-sound": ("pause-sound", _pause),
    "resume-sound": ("resume-sound", _resume),
    "shelve": ("shelve RULE[:device] 10min WHY", _shelve),
    "unshelve": ("unshelve RULE[:device]", _unshelve),
    "delegate": ("delegate nurse|prescriber|NAME 10min WHY", _delegate),
    "undelegate": ("undelegate", _undelegate),
    "comment": ("comment RULE[:device] WORDS", _comment),
}


def holds(bed: StoryBed, words: list[str], quoted: str) -> str | None:
    """Whether what `words` expect of attention is so: "" if it is, else what is; None where they expect nothing of it.
    Raises Unreadable."""
    state = bed.bedside.state
    match words:
        case ["sound", "high" | "medium" | "low" | "none" as wanted]:
            sound = sounds(state, bed.at_s)
            return "" if sound == wanted else f"sound {sound}"
        case [key, *_, "told", who] if words in ([key, "told", who], [key, "not", "told", who]):
            told = [one.who for one in _alarm(bed, key).told]
            return _is(who in told, "not" in words, f"{key} told {', '.join(told) or 'nobody'}")
        case [key, *_, "commented"] if words in ([key, "commented"], [key, "not", "commented"]):
            said = [one.text for one in _alarm(bed, key).comments]
            return _is(any(quoted in text for text in said), "not" in words, f"{key} commented {said}")
        case ["shelved", key] | ["not", "shelved", key]:
            return _is(key in state.shelves, "not" in words, f"shelved {', '.join(state.shelves) or 'nothing'}")
        case ["delegated", *who] | ["not", "delegated", *who] if who:
            to = state.delegation.to if state.delegation else "nobody"
            return _is(to == " ".join(who), words[0] == "not", f"delegated {to}")
        case ["reminder" | "information" as kind] | ["no", "reminder" | "information" as kind]:
            texts = [one.text for one in state.information if kind in ("information", one.what)]
            return _is(any(quoted in text for text in texts), words[0] == "no", f"{kind} {texts}")
    return None


def _is(so: bool, denied: bool, found: str) -> str:
    return "" if so is not denied else found


def _alarm(bed: StoryBed, key: str) -> Alarm:
    alarm = bed.alarms.get(key)
    if alarm is None or not alarm.id:
        raise Unreadable(f"no alarm {key} is known; it is RULE, or RULE:device for a rule that holds for each device")
    return alarm
