"""Whether somebody hears the alarms: a console that lives, and a page that confirms. No I/O; told real seconds.

    lease          a console's acks come, or it is lost (edge.stream.consoles); with none nobody hears
    confirmation   each alarm that begins to sound, or rises, is confirmed by a page within CONFIRMED_WITHIN_S

Where one fails, the beds concerned are told why (the rule TEC-6 makes an alarm of it), and the box sounds.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from msgspec import UnsetType

from edge.contract.payloads import AlarmNow, State
from edge.model import PRIORITY_RANK, HeardChanged, Priority, Undelivered

CONFIRMED_WITHIN_S = 10.0  # real seconds
ARRIVES_WITHIN_S = 10.0  # so long after a start a console may need
NO_CONSOLE = "no console is there"
NO_PAGE = f"no page has confirmed for {CONFIRMED_WITHIN_S:g} s that it sounds"
# Which alarms sound at the box always, whatever a page says: that the record cannot be written, and that nobody hears.
AT_THE_BOX = frozenset({"TEC-6", "TEC-11"})
UNHEARD_RULE = "TEC-6"
HEARD = HeardChanged("")
THE_BOX = "box"  # in a ladder of rules.toml


@dataclass(slots=True)
class _Announced:
    """An alarm that began to sound, or rose to `priority`, at `since_s`. `seqs`: the events that moved it since."""

    priority: Priority
    since_s: float
    seqs: set[int] = field(default_factory=set)
    confirmed: bool = False


class Hearing:
    """Fed with what consoles say and what stands at the beds; `look` now and then."""

    def __init__(self, consoles: Iterable[str], beds: Iterable[str], at_s: float, confirms: bool = True) -> None:
        """`confirms`: whether pages are expected to confirm what they sound."""
        self._confirms = confirms
        self._live = dict.fromkeys(consoles, False)
        self._arrives_by_s = at_s + ARRIVES_WITHIN_S
        self._sounding: dict[str, list[AlarmNow]] = {bed: [] for bed in beds}
        self._announced: dict[tuple[str, str], _Announced] = {}
        self._told = dict.fromkeys(self._sounding, HEARD)
        self._says = False  # whether any of these is told that nobody may hear it

    def watch(self, beds: Collection[str]) -> None:
        """These beds are there from now on, and no others."""
        self._sounding = {bed: self._sounding.get(bed, []) for bed in beds}
        self._told = {bed: self._told.get(bed, HEARD) for bed in beds}
        self._announced = {key: one for key, one in self._announced.items() if key[0] in beds}

    def console(self, name: str, live: bool) -> None:
        """It came, or went."""
        self._live[name] = live
        if live:
            self._arrives_by_s = -math.inf  # it has arrived

    def sounded(self, *seqs: int) -> None:
        """Pages have confirmed that they sound these alarm events. One of another alarm says nothing of this one."""
        for one in self._announced.values():
            one.confirmed |= not one.seqs.isdisjoint(seqs)

    def sounded_up_to(self, seq: int) -> None:
        """The same of a console that tells only the highest."""
        for one in self._announced.values():
            one.confirmed |= min(one.seqs) <= seq

    def bed(self, state: State, at_s: float) -> None:
        """What stands there now; nothing at a bed that is not there any more."""
        if state.bed not in self._sounding:
            return
        sounding = [alarm for alarm in state.alarms if is_audible(alarm, state)]
        self._sounding[state.bed] = sounding
        gone = {key for key in self._announced if key[0] == state.bed} - {
            (state.bed, alarm.alarm) for alarm in sounding}
        for key in gone:
            del self._announced[key]
        for alarm in sounding:
            before = self._announced.get((state.bed, alarm.alarm))
            if before is None or PRIORITY_RANK[sound_of(alarm)] > PRIORITY_RANK[before.priority]:
                self._announced[(state.bed, alarm.alarm)] = _Announced(sound_of(alarm), at_s, {alarm.seq})
            else:
                before.priority = sound_of(alarm)
                if not before.confirmed:
                    before.seqs.add(alarm.seq)

    def look(self, at_s: float) -> dict[str, HeardChanged]:
        """The beds for which it has changed: why nobody may hear them, and which alarms; or that somebody does."""
        late = {key for key, one in self._announced.items()
                if self._confirms and not one.confirmed and at_s - one.since_s >= CONFIRMED_WITHIN_S}
        nobody = not any(self._live.values()) and at_s >= self._arrives_by_s
        if not nobody and not late and not self._says:  # nearly always, fifty times a second
            return {}
        now = {bed: self._heard(bed, nobody, {alarm for where, alarm in late if where == bed})
               for bed in self._sounding}
        changed = {bed: told for bed, told in now.items() if told != self._told[bed]}
        self._told, self._says = now, any(told != HEARD for told in now.values())
        return changed

    def _heard(self, bed: str, nobody: bool, late: set[str]) -> HeardChanged:
        """With no console all that sounds there is heard by nobody; else what no page has confirmed."""
        if not nobody and not late:
            return HEARD
        return HeardChanged(NO_CONSOLE if nobody else NO_PAGE, tuple(
            Undelivered(f"{alarm.rule}:{alarm.device}" if alarm.device else alarm.rule, sound_of(alarm), alarm.text)
            for alarm in self._sounding[bed] if alarm.rule != UNHEARD_RULE and (nobody or alarm.alarm in late)), nobody)

    def wanted(self) -> Priority:
        """What the box is to sound now."""
        heard: list[Priority] = ["none"]
        for sounding in self._sounding.values():
            unheard = any(alarm.rule == UNHEARD_RULE for alarm in sounding)
            heard += [sound_of(alarm) for alarm in sounding
                      if alarm.rule in AT_THE_BOX or unheard or is_told_to_the_box(alarm)]
        return max(heard, key=lambda priority: PRIORITY_RANK[priority])


def is_told_to_the_box(alarm: AlarmNow) -> bool:
    """Whether its ladder has come to the sounder of the box."""
    return not isinstance(alarm.told, UnsetType) and any(told.who == THE_BOX for told in alarm.told)


def is_audible(alarm: AlarmNow, state: State) -> bool:
    """Whether it is to be heard: active, or over where its sound latches; neither acknowledged, paused nor shelved."""
    if sound_of(alarm) == "none" or state.audio_paused_until is not None:
        return False
    return isinstance(alarm.signals, UnsetType) or alarm.signals.audio in ("on", "latched")


def sound_of(alarm: AlarmNow) -> Priority:
    """At which priority it sounds, a pause and a shelf aside."""
    if not isinstance(alarm.sound, UnsetType):
        return alarm.sound
    return alarm.priority if alarm.state == "active" else "none"
