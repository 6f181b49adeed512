"""Replay: a journal's inputs through the core again. The same inputs and rules give the same events, always.

With other rules it answers "what would this threshold have done?".
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field

import msgspec

from edge.contract.events import Event, PendingEvent
from edge.core.bedside import Bedside
from edge.core.protocols import parse_protocols
from edge.core.rules import RuleSet, parse_rules
from edge.model import Configured, RecordedInput, Restored, canonical

OF_THE_EDGE = frozenset({"stream", "journal"})  # events that no bed concludes


class Replay:
    """Every bed of a journal, from its inputs. `rules`: judge by these instead of the recorded ones; `change`: and
    change them first."""

    def __init__(
        self, rules: RuleSet | None = None, change: Callable[[RuleSet], RuleSet] = lambda rules: rules,
    ) -> None:
        self.beds: dict[str, Bedside] = {}
        self._rules, self._change = rules, change

    def configure(self, given: Configured) -> None:
        """The edge (re)started with this configuration; what the beds remember is carried over."""
        rules = self._change(self._rules or parse_rules(given.rules, "the recorded rules"))
        protocols = parse_protocols(given.protocols, "the recorded protocols") if given.protocols else None
        before, self.beds = self.beds, {}
        for bed in given.beds:
            bedside = Bedside(bed.bed, bed.devices, rules, nibp_interval_s=bed.nibp_interval_s,
                              protocols=protocols, roles=bed.roles, starts=bed.starts, stops=bed.stops)
            if bed.bed in before:
                bedside.restore(before[bed.bed].snapshot())
            self.beds[bed.bed] = bedside

    def give(self, recorded: RecordedInput) -> list[PendingEvent]:
        """What follows from one recorded input. Raises KeyError for a bed that no configuration names."""
        if isinstance(recorded.input, Configured):
            self.configure(recorded.input)
            return []
        assert recorded.bed is not None
        return self.beds[recorded.bed].apply(recorded.input, recorded.at_s)


@dataclass(slots=True)
class Scope:
    """Which events of a record a replay can judge: those of which all that led to them is there. `whole`: the inputs
    begin with the first."""

    whole: bool = True
    judged: dict[str | None, RecordedInput] = field(default_factory=dict)  # of a part: beds, and from where on
    unjudged: int = 0
    last_unjudged: Event | None = None

    def judges(self, bed: str | None) -> bool:
        """Whether what `bed` remembers is known by now."""
        return self.whole or bed in self.judged

    def leave(self, event: Event) -> None:
        """It is not judged."""
        self.unjudged += 1
        if self.last_unjudged is None or event.seq > self.last_unjudged.seq:
            self.last_unjudged = event


def given(inputs: Iterable[RecordedInput], scope: Scope) -> Iterator[RecordedInput]:
    """Those of a journal's inputs that a replay is given, in order; `scope` is told from where on a bed is judged.

    A `Restored` is left out where a replay comes to it by itself. Of a part, each bed is told nothing before its first
    `Restored`; one that a later configuration brings is new.
    """
    beds: set[str] | None = None  # that were configured
    for recorded in inputs:
        if isinstance(recorded.input, Configured):
            now = {bed.bed for bed in recorded.input.beds}
            for bed in now - beds if beds is not None else ():
                scope.judged.setdefault(bed, recorded)
            beds = now | (beds or set())
        elif beds is None:
            continue
        elif isinstance(recorded.input, Restored):
            if not recorded.input.lost and scope.judges(recorded.bed):
                continue
            scope.judged.setdefault(recorded.bed, recorded)
        elif not scope.judges(recorded.bed):
            continue
        yield recorded


@dataclass(frozen=True, slots=True)
class Difference:
    """A place where the replay and the record part. One of the two is None where the other has something more."""

    n: int
    recorded: Event | None
    replayed: PendingEvent | None

    def __str__(self) -> str:
        event, pending = self.recorded, self.replayed
        was = f"event {event.seq} {event.kind} {brief(event.body)}" if event else "nothing"
        now = f"{pending.kind} {brief(pending.body)}" if pending else "nothing"
        return f"after input {self.n}: recorded {was}; replayed {now}"


def brief(body: object) -> str:
    """The words of an event's body that tell it apart."""
    fields = msgspec.to_builtins(body)
    names = ("rule", "state", "priority", "phase", "device", "change")
    return " ".join(str(fields[name]) for name in names if name in fields)


def differences(
    inputs: Iterable[RecordedInput], events: Iterable[Event], rules: RuleSet | None = None, scope: Scope | None = None,
) -> Iterator[Difference]:
    """Replay `inputs` and compare with `events`, both in journal order.

    With the recorded rules the two must agree one by one, but for the events that are followed by a `Restored`: what
    led to them is not in the record. With other rules they are matched by what they say. `scope` (None: the inputs
    begin with the first) says in the end what was not judged; of a part, each bed is from its first `Restored` on.
    """
    scope = scope or Scope()
    replay = Replay(rules)
    of_beds = (event for event in events if event.bed is not None and event.kind not in OF_THE_EDGE)
    if rules is not None:
        yield from _loosely(replay, given(inputs, scope), list(of_beds), scope)
        return
    expected = _Ahead(of_beds, scope)
    n = 0
    for recorded in given(inputs, scope):
        n = recorded.n
        if isinstance(recorded.input, Restored):
            expected.pass_over(recorded.input.after_seq)
        for pending in replay.give(recorded):
            event = next(expected, None)
            if event is None or not same(pending, event):
                yield Difference(n, event, pending)
                return
            if pending.bed is not None:
                replay.beds[pending.bed].numbered([event])
    for event in expected:
        yield Difference(n, event, None)


class _Ahead(Iterator[Event]):
    """The events that `scope` judges, as they are read, one of them ahead: a month of them is more than memory should
    hold."""

    def __init__(self, events: Iterable[Event], scope: Scope) -> None:
        self._events, self._first, self._scope = iter(events), list[Event](), scope

    def __next__(self) -> Event:
        while True:
            event = self._read()
            if self._scope.judges(event.bed):
                return event
            self._scope.leave(event)

    def pass_over(self, seq: int) -> None:
        """Goes on behind event `seq`."""
        with suppress(StopIteration):
            while (event := self._read()).seq <= seq:
                self._scope.leave(event)
            self._first.append(event)

    def _read(self) -> Event:
        return self._first.pop() if self._first else next(self._events)


Waiting = dict[tuple[object, ...], list[Event]]


def _loosely(
    replay: Replay, inputs: Iterable[RecordedInput], events: list[Event], scope: Scope,
) -> Iterator[Difference]:
    waiting: Waiting = {}
    for event in events:
        waiting.setdefault(_likeness(event.bed, event.at_s, event.kind, event.body), []).append(event)
    heard_s: dict[str | None, float] = {}  # of each bed, the last
    for recorded in inputs:
        if isinstance(recorded.input, Restored):
            _leave_unheard(waiting, recorded.bed, heard_s.get(recorded.bed), recorded.input.after_seq, scope)
        heard_s[recorded.bed] = recorded.at_s
        for pending in replay.give(recorded):
            found = waiting.get(_likeness(pending.bed, pending.at_s, pending.kind, pending.body))
            if not found:
                yield Difference(recorded.n, None, pending)
                continue
            event = found.pop(0)
            if pending.bed is not None:
                replay.beds[pending.bed].numbered([event])
    for event in sorted((event for left in waiting.values() for event in left), key=lambda event: event.seq):
        if scope.judges(event.bed):
            yield Difference(0, event, None)
        else:
            scope.leave(event)


def _leave_unheard(waiting: Waiting, bed: str | None, after_s: float | None, upto: int, scope: Scope) -> None:
    """What a bed concluded after `after_s` (None: ever), up to event `upto`, of inputs that are not in the record."""
    for left in waiting.values():
        for event in [one for one in left if one.bed == bed and one.seq <= upto]:
            if after_s is None or event.at_s > after_s:
                left.remove(event)
                scope.leave(event)


def _likeness(bed: str | None, at_s: float, kind: str, body: object) -> tuple[object, ...]:
    fields = msgspec.to_builtins(body)
    return (bed, at_s, kind, *(fields.get(key) for key in ("rule", "state", "priority", "phase", "command", "device")))


def same(pending: PendingEvent, event: Event) -> bool:
    """Whether the two say the same, in their written form."""
    if (pending.kind, pending.bed, pending.session, pending.at_s) != (event.kind, event.bed, event.session, event.at_s):
        return False
    return canonical(pending.body).decode() == event.body_json
