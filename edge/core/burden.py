"""What alarms ask of the people who hear them: raised, gained, lost, moved, missed; and the load of it all.

Pure: from the events that a replay gives (`core/replay.py`) under one way to judge (`core/arms.py`) to figures.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from msgspec import UNSET

from edge.contract.events import AlarmMoved, Event, MovedFrom, MovedTo, PendingEvent, SessionClosed, SessionOpened
from edge.core.alarms import ACTIVE
from edge.core.arms import Arm, looks_at_readings
from edge.core.replay import Replay, Scope, given
from edge.core.rules import RuleSet
from edge.model import PRIORITY_RANK, AlarmClass, Priority, RecordedInput

SAME_WITHIN_S = 60.0  # two alarms of one rule that begin so close are one, judged in two ways
MOVED_BY_S = 1.0  # by less, it did not move: an edge judges once a second
# The load that a person can bear, as in process control: ANSI/ISA-18.2-2016 and IEC 62682, 16.5; EEMUA 191.
SPAN_S = 600.0  # the load is counted in spans of ten minutes
BEARABLE = 1.0  # alarms in a span, on average: acceptable up to 1, manageable up to 2
FLOOD = 10  # more alarms than that in one span are a flood
FLOOD_SHARE = 0.01  # of the spans may be floods
CHATTERS, CHATTERS_WITHIN_S = 3, 60.0  # one rule at one bed so often within that time chatters
STALE_S = 24 * 3600.0  # an alarm that stands longer, or longer than its session, is stale
STALE_MOST = 5
PRIORITY_AIM = {"low": 0.80, "medium": 0.15, "high": 0.05}


@dataclass(frozen=True, slots=True)
class Raise:
    """An alarm at one level: it began, rose (somebody was called) or fell there. Times: edge clock, s."""

    bed: str
    session: str | None
    rule: str
    group: str  # the rules that are one alarm with it; the rule itself where it is alone
    device: str | None
    priority: Priority
    alarm_class: AlarmClass
    from_s: float
    until_s: float | None = None  # None: it still stands
    of_readings: bool = False  # it compares readings of a patient with a limit
    called: bool = True  # False: it fell to this rule's level, or goes on acknowledged under another name

    def overlaps(self, other: Raise) -> bool:
        """Whether there is a moment at which both stand."""
        return ((self.until_s is None or other.from_s <= self.until_s)
                and (other.until_s is None or self.from_s <= other.until_s))


@dataclass(slots=True)
class Stay:
    """One session on a bed. `until_s`: None while it is open."""

    bed: str
    from_s: float
    until_s: float | None = None


@dataclass(slots=True)
class Heard:
    """All alarms of one journal under one arm, in order, and the sessions in which."""

    raises: list[Raise] = field(default_factory=list)
    stays: dict[tuple[str, str], Stay] = field(default_factory=dict)  # by bed and session
    last_s: float = 0.0
    _standing: dict[tuple[str, str], int] = field(default_factory=dict)  # (bed, alarm) -> its place in `raises`

    def hear(self, event: PendingEvent | Event, rules: RuleSet) -> None:
        """Take in one event of a bed."""
        body = event.body
        self.last_s = max(self.last_s, event.at_s)
        if event.bed is None or event.session is None:
            pass
        elif isinstance(body, SessionOpened | MovedFrom):
            self.stays[event.bed, event.session] = Stay(event.bed, event.at_s)
        elif isinstance(body, SessionClosed | MovedTo) and (
                stay := self.stays.get((event.bed, event.session))) is not None:
            stay.until_s = event.at_s
        if isinstance(body, AlarmMoved) and event.bed is not None:
            self._alarm(event.bed, event.session, event.at_s, body, rules)

    def _alarm(self, bed: str, session: str | None, at_s: float, body: AlarmMoved, rules: RuleSet) -> None:
        key = (bed, body.alarm)
        begins = (body.state == "active" and body.was not in ACTIVE if body.alarm_phase is UNSET
                  else body.alarm_phase in ("start", "escalate"))
        falls = body.alarm_phase == "deescalate"
        if (begins or falls or body.state not in ACTIVE) and (place := self._standing.pop(key, None)) is not None:
            self.raises[place] = replace(self.raises[place], until_s=at_s)
        if begins or falls:
            rule, called = rules.named(body.rule), not falls and body.state == "active"
            self._standing[key] = len(self.raises)
            self.raises.append(Raise(bed, session, body.rule, rule.group or rule.id, body.device, body.priority,
                                     body.alarm_class, at_s, of_readings=looks_at_readings(rule), called=called))

    @property
    def patient_s(self) -> float:
        """How long there was a patient, over all beds."""
        return sum(self._until(stay) - stay.from_s for stay in self.stays.values())

    @property
    def attended_s(self) -> float:
        """How long there was a patient on at least one bed."""
        total, reached = 0.0, float("-inf")
        for stay in sorted(self.stays.values(), key=lambda stay: stay.from_s):
            until = self._until(stay)
            total += max(0.0, until - max(stay.from_s, reached))
            reached = max(reached, until)
        return total

    def _until(self, stay: Stay) -> float:
        return self.last_s if stay.until_s is None else stay.until_s

    def is_stale(self, raised: Raise) -> bool:
        """Whether an alarm stood longer than its session, or than a day."""
        until = self.last_s if raised.until_s is None else raised.until_s
        stay = self.stays.get((raised.bed, raised.session or ""))
        outlived = stay is not None and stay.until_s is not None and until > stay.until_s
        return outlived or until - raised.from_s > STALE_S


def listen(inputs: Iterable[RecordedInput], arms: Sequence[Arm], *, whole: bool) -> list[Heard]:
    """What each arm makes of one journal, read once. `whole`: the inputs begin with the first."""
    replays = [Replay(arm.rules, arm.change) for arm in arms]
    heard = [Heard() for _ in arms]
    for recorded in given(inputs, Scope(whole)):
        for arm, replay, ears in zip(arms, replays, heard, strict=True):
            ears.last_s = max(ears.last_s, recorded.at_s)
            for event in replay.give(arm.hear(recorded)):
                assert event.bed is not None
                ears.hear(event, replay.beds[event.bed].rules)
    return heard


# --- two arms ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Change:
    """An alarm that only one arm has, or that it has at another time."""

    kind: str  # gained, lost, moved
    raised: Raise
    by_s: float = 0.0  # moved: so much later (or, below 0, earlier)


def changes(before: Heard, after: Heard) -> list[Change]:
    """What `after` has otherwise than `before`, by time. Alarms of one rule, bed, session and device are matched in
    order, where both stand at one moment or they begin within a minute."""
    found: list[Change] = []
    left = _by_likeness(after.raises)
    for likeness, olds in _by_likeness(before.raises).items():
        news = left.pop(likeness, [])
        for old in olds:
            new = next((new for new in news
                        if new.overlaps(old) or abs(new.from_s - old.from_s) <= SAME_WITHIN_S), None)
            if new is None:
                found.append(Change("lost", old))
                continue
            news.remove(new)
            if abs(new.from_s - old.from_s) >= MOVED_BY_S:
                found.append(Change("moved", new, new.from_s - old.from_s))
        left[likeness] = news
    found += [Change("gained", new) for news in left.values() for new in news]
    return sorted(found, key=lambda change: (change.raised.from_s, change.raised.bed, change.raised.rule, change.kind))


def _by_likeness(raises: Iterable[Raise]) -> dict[tuple[str | None, ...], list[Raise]]:
    found: dict[tuple[str | None, ...], list[Raise]] = {}
    for raised in raises:
        if raised.called:
            found.setdefault((raised.bed, raised.session, raised.rule, raised.device), []).append(raised)
    return found


def is_event(raised: Raise, last_s: float, event_s: float) -> bool:
    """Whether it is of a patient's readings, in a session, and lasted. An event: a limit was broken for at least
    `event_s` by readings that can be judged by, which is what the arm without artefacts hears."""
    until = last_s if raised.until_s is None else raised.until_s
    return raised.of_readings and raised.session is not None and until - raised.from_s >= event_s


@dataclass(frozen=True, slots=True)
class Outcome:
    """What an arm made of the events of one journal."""

    missed: tuple[Raise, ...]  # events in which nothing of their kind was raised,
    too_low: tuple[Raise, ...]  # or nothing as urgent
    after_s: tuple[float, ...]  # of the others: from their beginning to an alarm as urgent
    of_no_event: int  # alarms of readings that called somebody, and overlap no event of their kind


def outcome(truth: Heard, arm: Heard, event_s: float) -> Outcome:
    """What `arm` made of the events that `truth` heard, the arm without artefacts."""
    events = [raised for raised in truth.raises if is_event(raised, truth.last_s, event_s)]
    missed, too_low, after_s = list[Raise](), list[Raise](), list[float]()
    for event in events:
        told = [raised for raised in arm.raises if _of_one_kind(raised, event) and raised.overlaps(event)]
        urgent = [max(0.0, raised.from_s - event.from_s) for raised in told
                  if PRIORITY_RANK[raised.priority] >= PRIORITY_RANK[event.priority]]
        if urgent:
            after_s.append(min(urgent))
        else:
            (too_low if told else missed).append(event)
    called = [raised for raised in arm.raises if raised.called and raised.of_readings and raised.session is not None]
    of_no_event = sum(not any(_of_one_kind(raised, event) and raised.overlaps(event) for event in events)
                      for raised in called)
    return Outcome(tuple(missed), tuple(too_low), tuple(after_s), of_no_event)


def _of_one_kind(one: Raise, other: Raise) -> bool:
    return (one.bed, one.session, one.group) == (other.bed, other.session, other.group)


# --- the load ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Load:
    """What one arm asks of who watches. Rates are of what was raised in sessions; shares are 0 to 1."""

    sessions: int
    patient_h: float
    raised: int
    outside_sessions: int
    an_hour: float  # alarms a patient and hour
    of_readings_an_hour: float  # those that compare a patient's readings with limits
    a_span: float  # alarms in ten minutes with a patient, over all beds
    flood_share: float  # of the spans with a patient
    chattering: int
    stale: int
    by_priority: dict[str, int]
    by_rule: dict[str, int]  # most frequent first
    top_ten_share: float


def load(journals: Sequence[Heard]) -> Load:
    """The load of one arm over several journals; one person hears all of a journal's beds."""
    inside = [(heard, raised) for heard in journals for raised in heard.raises if raised.session is not None]
    raises = [raised for _, raised in inside if raised.called]
    outside = sum(raised.session is None and raised.called for heard in journals for raised in heard.raises)
    patient_h = sum(heard.patient_s for heard in journals) / 3600
    attended_s = sum(heard.attended_s for heard in journals)
    spans = attended_s / SPAN_S
    floods = sum(_floods(heard) for heard in journals)
    by_rule = Counter(raised.rule for raised in raises)
    return Load(
        sessions=sum(len(heard.stays) for heard in journals), patient_h=patient_h, raised=len(raises),
        outside_sessions=outside, an_hour=_share(len(raises), patient_h),
        of_readings_an_hour=_share(sum(raised.of_readings for raised in raises), patient_h),
        a_span=_share(len(raises), spans), flood_share=_share(floods, max(spans, floods)),
        chattering=sum(_chatters(heard) for heard in journals),
        stale=sum(heard.is_stale(raised) for heard, raised in inside),
        by_priority={priority: sum(raised.priority == priority for raised in raises) for priority in PRIORITY_AIM},
        by_rule=dict(by_rule.most_common()),
        top_ten_share=_share(sum(count for _, count in by_rule.most_common(10)), len(raises)))


def _share(part: float, whole: float) -> float:
    return part / whole if whole else 0.0


def _floods(heard: Heard) -> int:
    """In how many spans of ten minutes, by the clock, there was a flood."""
    spans = Counter(int(raised.from_s // SPAN_S) for raised in _called_in_sessions(heard))
    return sum(count > FLOOD for count in spans.values())


def _chatters(heard: Heard) -> int:
    """How often one rule at one bed began to chatter."""
    found = 0
    for raises in _by_likeness(_called_in_sessions(heard)).values():
        found += sum(1 for _ in _bursts([raised.from_s for raised in raises]))
    return found


def _called_in_sessions(heard: Heard) -> Iterator[Raise]:
    return (raised for raised in heard.raises if raised.called and raised.session is not None)


def _bursts(times: Sequence[float]) -> Iterator[float]:
    """Where `times`, rising, first come CHATTERS within CHATTERS_WITHIN_S; each burst once."""
    burst = False
    for first, last in zip(times, times[CHATTERS - 1:], strict=False):
        was, burst = burst, last - first <= CHATTERS_WITHIN_S
        if burst and not was:
            yield first
