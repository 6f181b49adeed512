"""Stories: a rule's test as plain text, read aloud by a nurse, run in milliseconds through the real `Bedside`.

    # what it shows
    given baseline 128/80, nibp 5, infusing
    10:00  bp 150/92
    15:00  bp 182/104      -> HTN-3 active high text "182/104 mmHg: severe"
    17:00  spo2 88 for 20s -> RES-2 active
    22:00  ack HTN-3       -> HTN-3 acknowledged

Times are minutes:seconds since the infusion started. Lines of === part the stories of a file. What goes on by itself
while a story says nothing (every second a tick, saturation, pulse, breathing, the pump; the cuff at each interval;
check-ins) is in `story_bed.py`; the first word about the cuff, the check-ins or the pump takes them over.

`given`, joined by commas: no session | precheck | infusing; protocol NAME (the cuff then by its schedule, unless nibp
is given; of one without a pump the whole dose is taken at 0:00, unless precheck is given); baseline S/D[/MEAN]; nibp
MIN; weight KG; dose MG_KG; dose_mg MG; duration MIN; concentration MG_ML; age YEARS; first yes|no;
hypertension yes|no; METRIC VALUE; two of each (oximeter-2 and cuff-2 as well); two pumps (pump-2 as well);
role PUMP drug|carrier (as edge.toml says it); cuff by wire (its cuff can be started over the wire); pumps may be
stopped (as edge.toml and their driver allow it); two beds (a second one with the same devices, for move); no oximeter;
background: quiet (only saturation, pulse and pump).

What can happen, joined by semicolons: the forms in `story_verbs.VERBS`, `story_attention.VERBS` and
`story_treatment.VERBS`, and METRIC VALUE, where METRIC is a metric's key with or without its unit.

What must hold then, after `->` (or the word `expect`), joined by commas:
    RULE[:device] STATE [PRIORITY] [no data] [text "..."]      STATE: pending active acknowledged latched inactive
    nothing                 no alarm is shown            request [text "..."]   a person was asked for something then
    phase PHASE             dissociation STATE           open "..."             what is open before the next step
    no request              not open "..."               dose MG, primed MG (to 0.1 mg)
    interlock off|asked|armed                            stop none|sent|not_sent|unconfirmed|confirmed
    bed story|story-2        where the patient is        [no] next "..."         what a person has to do next
    refused "..."           the command of this line was refused; one that is refused and not expected is a failure
    sound PRIORITY          what the bed sounds now, of all its alarms; none where it is quiet
    RULE[:device] [not] told WHO          a role, box or a name, since this alarm was announced
    RULE[:device] [not] commented ["..."]     [not] shelved RULE[:device]     [not] delegated WHO
    [no] reminder ["..."], [no] information ["..."]     what is said for information now
Quoted words must occur in what is shown. At the end, an alarm that became active and was nowhere expected is a failure.

`of`: the rule whose story it is. Then only its own family counts for `nothing` and at the end: the rule, its group, the
rules that name each other, and whatever the story names. A rule that a clinic adds breaks no story but its own.
A story leaves out what it does not speak of; so a rule over whether the bed is watched counts only where it is named,
or in a story of its family whose background is not quiet.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import get_args

from msgspec.structs import replace

from edge.core import story_attention, story_treatment, story_verbs
from edge.core.alarms import SHOWN, Alarm, family
from edge.core.bedside import Bedside
from edge.core.expression import nearest
from edge.core.protocol import Protocol, Protocols
from edge.core.protocols import as_in_0_1_0
from edge.core.rules import RuleSet
from edge.core.session import open_points
from edge.core.story_bed import (
    BED,
    DEVICES,
    OPENED_S,
    OTHER_BED,
    SECOND,
    SECOND_PUMP,
    T0,
    Heard,
    Pressure,
    Shown,
    StoryBed,
    device_of,
)
from edge.core.story_verbs import METRIC, Unreadable, number, pressure, show_metric
from edge.model import DeviceKind, Dissociation, Phase, PumpRole, Tick

_LINE = re.compile(r"(?:(\d+):(\d\d(?:\.\d+)?))\s*(.*?)\s*(?:(?:->|\bexpect\b)\s*(.+))?", re.DOTALL)
_PIECES = {mark: re.compile(rf'(?:[^{mark}"]|"[^"]*")+') for mark in ",;#"}
_EXPECTED = re.compile(r"(?P<key>\S+?)(?: (?P<state>pending|active|acknowledged|latched|inactive))?"
                       r"(?: (?P<priority>high|medium|low|none))?(?P<no_data> no data)?(?: text \"(?P<text>[^\"]*)\")?")
_SCENES = frozenset({"no session", "precheck", "infusing", "background: quiet", "two of each", "two pumps",
                     "cuff by wire", "pumps may be stopped", "two beds", "no oximeter"})
VERBS = story_verbs.VERBS | story_attention.VERBS | story_treatment.VERBS
_MG = 0.1  # so exactly a dose is expected: what a pump gives between two of its words
_ORDER = {"dose_mg": "dose_mg", "weight": "weight_kg", "dose": "dose_mg_kg", "duration": "duration_min",
          "age": "age_years", "concentration": "concentration_mg_ml", "nibp": "nibp_interval_min"}


class StoryError(ValueError):
    """A story that cannot be read, or did not come true: file, line, what, and what to write instead."""


Begun = dict[str, list[StoryBed]]  # by what is given: the bed before anything happens, at the start and minutes later


def run_story(text: str, name: str, rules: RuleSet, of: str | None = None, protocols: Protocols | None = None,
              heard: Heard | None = None, begun: Begun | None = None) -> StoryBed:
    """Tell the story in `text`, the story of the rule `of` (None: every rule's), by the first of `protocols` (None: as
    0.1.0); returns how it went. Raises StoryError at the first thing that did not come true; its line is counted from
    the start of `text`. `heard` is given each input of the bed, with its time. `begun` keeps the beginnings that are
    alike for further stories by the same rules and protocols."""
    story: _Story | None = None
    for line_number, raw in enumerate(text.splitlines(), 1):
        line = next(iter(_pieces(raw, "#")), "").strip() if not raw.lstrip().startswith("#") else ""
        if not line:
            continue
        try:
            if line.startswith("given "):
                words = line.removeprefix("given ")
                kept = None if begun is None or heard else begun.setdefault(words, [])
                bed = kept[0] if kept else _given(words, rules, protocols, heard)
                story = _Story(rules, of, bed, kept)
            elif story is None:
                raise Unreadable("a story starts with 'given ...'")
            else:
                story.happen(line)
        except Unreadable as wrong:
            raise StoryError(f"{name}:{line_number}: {wrong}") from None
    if story is None:
        raise StoryError(f"{name}: an empty story; write 'given ...' and what happens")
    surprise = sorted(key for key in story.bed.raised - story.expected if story.counts(key))
    if surprise:
        raise StoryError(f"{name}: nobody expected {', '.join(surprise)}")
    return story.bed


def stories_of(text: str) -> Iterator[str]:
    """The stories in one file: they are parted by lines of '==='. Each begins with as many empty lines as stand before
    it, so that its lines have the file's numbers."""
    before = 0
    for part in re.split(r"^===.*$", text, flags=re.MULTILINE):
        if part.strip():
            yield "\n" * before + part
        before += part.count("\n")


def own_family(rule_id: str, rules: RuleSet) -> frozenset[str]:
    """A rule, its group, and the rules that name each other with standing(...)."""
    rule = rules.named(rule_id)

    def names(one: str) -> set[str]:
        asked = {name for condition in rules.named(one).conditions.values() for name in condition.rules}
        return {other.id for other in rules.rules if asked & {other.id, family(other.id)}}

    group = {other.id for other in rules.rules if rule.group and other.group == rule.group}
    dependents = {other.id for other in rules.rules if rule_id in names(other.id)}
    return frozenset({rule_id} | group | names(rule_id) | dependents)


def _pieces(text: str, mark: str) -> list[str]:
    """What stands between the marks that are not within quotes."""
    return [piece.strip() for piece in _PIECES[mark].findall(text) if piece.strip()]


# --- given ------------------------------------------------------------------------------------------------------------


def _given(words: str, rules: RuleSet, protocols: Protocols | None, heard: Heard | None) -> StoryBed:
    given = _pieces(words, ",")
    named = [phrase.split()[1] for phrase in given if phrase.startswith("protocol ") and len(phrase.split()) == 2]
    protocol = _named(protocols, named[0]) if named else None
    order: dict[str, float | str] = {
        "weight_kg": 70.0, "dose_mg_kg": 0.5, "duration_min": 40.0, "concentration_mg_ml": 1.0}
    if protocol is None:
        order["nibp_interval_min"] = 5.0
    elif protocol.by_hand is None:
        order["protocol"] = protocol.id
    else:
        order = {"protocol": protocol.id, "dose_mg": protocol.by_hand.doses_mg[0]}
    shown = {"spo2_pct": Shown(97.0), "pulse_bpm": Shown(70.0)}
    baseline, is_quiet = Pressure(120.0, 75.0), "background: quiet" in given
    shown |= {} if is_quiet else {"resp_bpm": Shown(14.0)}
    for phrase in given:
        match phrase.split():
            case ["role", _, "drug" | "carrier"] | ["protocol", _]:
                pass
            case _ if phrase in _SCENES:
                pass
            case ["baseline", value]:
                baseline = pressure(value)
            case ["first" | "hypertension" as word, "yes" | "no" as said]:
                order["first_session" if word == "first" else word] = said == "yes"
            case [word, value] if word in _ORDER:
                order[_ORDER[word]] = number(value, word)
            case [word, value] if word in METRIC:
                shown[METRIC[word]] = Shown(number(value, word))
            case _:
                raise Unreadable(f"cannot read {phrase!r}; write no session, precheck, infusing, protocol NAME,"
                                 f" baseline S/D, {', '.join(_ORDER)}, METRIC VALUE or background: quiet")
    devices, shown = _devices(given, shown)
    interval_min = order.get("nibp_interval_min")
    starts, stops = _by_wire(given)
    beds = [Bedside(name, devices, rules, protocols=protocols, roles=_roles(given), starts=starts, stops=stops)
            for name in ((BED, OTHER_BED) if "two beds" in given else (BED,))]
    bed = StoryBed(beds[0], interval_min * 60 if isinstance(interval_min, float) else None, is_quiet,
                   shown=shown, pressure=baseline, other=None if beds[0] is beds[-1] else beds[-1], heard=heard)
    bed.connect()
    if "no session" in given:
        bed.at_s = bed.volume_at_s = T0
    else:
        _open_session(bed, order, "precheck" not in given)
    return bed


def _devices(given: list[str], shown: dict[str, Shown]) -> tuple[tuple[tuple[str, DeviceKind, str], ...],
                                                                 dict[str, Shown]]:
    """The bed's devices, and what of `shown` they show."""
    devices = DEVICES + (SECOND if "two of each" in given else ()) + ((SECOND_PUMP,) if "two pumps" in given else ())
    if "no oximeter" not in given:
        return devices, shown
    return (tuple(one for one in devices if one[1] != "oximeter"),
            {metric: one for metric, one in shown.items() if device_of(metric) != "oximeter"})


def _by_wire(given: list[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Whose cuff is started over the wire, and which pumps may be stopped over it."""
    return (("cuff",) if "cuff by wire" in given else (),
            ("pump", SECOND_PUMP[0]) if "pumps may be stopped" in given else ())


def _roles(given: list[str]) -> dict[str, PumpRole]:
    words = [phrase.split() for phrase in given if phrase.startswith("role ")]
    return {device: "drug" if role == "drug" else "carrier" for _, device, role in words}


def _named(protocols: Protocols | None, name: str) -> Protocol:
    known = protocols or as_in_0_1_0()
    found = known.by_id.get(name)
    if found is None:
        raise Unreadable(f"no protocol is named {name!r}{nearest(name, known.by_id)}")
    return found


def _open_session(bed: StoryBed, order: dict[str, float | str], infusing: bool) -> None:
    """A session with a baseline of two determinations, and the pump running if the story starts so."""
    assert bed.pressure is not None
    bed.command("start_session", {"session": "story-session", **order, "checklist": True})
    if bed.refusal:
        raise Unreadable(f"the session was refused: {bed.refusal}")
    for after_s in (10, 80):
        bed.pass_until(OPENED_S + after_s)
        bed.measure(bed.pressure)
    bed.pass_until(T0)
    bed.cuff_at_s = T0
    session = bed.bedside.state.session
    found = session.baseline if session else None
    if found is None or (found.sbp_mmhg, found.dbp_mmhg) != bed.pressure[:2]:
        raise Unreadable(f"{bed.pressure.sbp:g}/{bed.pressure.dbp:g} is no baseline: no heart makes such numbers")
    if bed.bedside.state.no_pump:
        if infusing:
            by_hand = bed.bedside.state.protocol.by_hand
            assert by_hand is not None and session is not None
            bed.command("give_dose", {"devices": round(session.order.dose_mg / by_hand.device_mg)})
        return
    asked = session.order if session else None
    rate_ml_h = asked.rate_ml_h if asked else None
    assert asked is not None and rate_ml_h is not None and asked.concentration_mg_ml is not None
    bed.rate_ml_h, bed.dose_ml = rate_ml_h, None if bed.is_quiet else asked.dose_mg / asked.concentration_mg_ml
    if infusing:
        bed.pump = "infusing"
        bed.go_on()


# --- what happens -----------------------------------------------------------------------------------------------------


def _begun(kept: list[StoryBed], at_s: float) -> StoryBed:
    """A bed to which nothing has happened, at most a minute before `at_s`; what is `kept` grows with it."""
    bed = next((bed for bed in reversed(kept) if bed.at_s < at_s), kept[0])
    while bed.at_s + 60 < at_s:
        bed = bed.copy()
        for _ in range(60):
            bed.pass_second()
        kept.append(bed)
    return bed.copy()


class _Story:
    """A story being run: its bed, the rules, and what it has stated that it expects."""

    def __init__(self, rules: RuleSet, of: str | None, bed: StoryBed, kept: list[StoryBed] | None) -> None:
        """`kept`: the beginnings of stories with the same bed, if they are to be kept."""
        self.rules, self.bed = rules, bed
        if kept is not None:
            kept[:] = kept or [bed]
            self.bed = bed.copy()
        self._kept = kept
        self.own = None if of is None else own_family(of, rules)
        self.expected: set[str] = set()

    def counts(self, key: str) -> bool:
        """Whether this alarm is the story's business."""
        rule = key.partition(":")[0]
        if rule in {one.partition(":")[0] for one in self.expected}:
            return True
        if any(condition.of_watching for condition in self.rules.named(rule).conditions.values()):
            return self.own is not None and rule in self.own and not self.bed.is_quiet
        return self.own is None or rule in self.own

    def happen(self, line: str) -> None:
        match = _LINE.fullmatch(line)
        if match is None:
            raise Unreadable(f"cannot read {line!r}; write 'MM:SS what -> expected'")
        at_s = T0 + int(match[1]) * 60 + float(match[2])
        if self._kept:
            self.bed, self._kept = _begun(self._kept, at_s), None
        if at_s < self.bed.at_s:
            raise Unreadable(f"{match[1]}:{match[2]} is in the past: it is {_clock(self.bed.at_s)} already")
        self.bed.pass_until(at_s)
        mark, self.bed.refusal = len(self.bed.pending_events), None
        for deed in _pieces(match[3], ";"):
            self._do(deed)
        refusal = self.bed.refusal
        if refusal is not None and "refused" not in (match[4] or ""):
            raise Unreadable(f"the command was refused: {refusal}; if that is the story, write -> refused \"...\"")
        self.bed.go_on()
        self.bed.give(Tick())
        asked = any(pending.kind == "request" for pending in self.bed.pending_events[mark:])
        for wanted in _pieces(match[4] or "", ","):
            self._expect(wanted.removeprefix("expect "), asked, refusal)

    def _do(self, deed: str) -> None:
        word, *rest = deed.split()
        if word in METRIC:
            show_metric(self.bed, METRIC[word], rest)
        elif word in VERBS:
            VERBS[word][1](self.bed, rest)
        else:
            raise Unreadable(f"cannot read {deed!r}{nearest(word, [*VERBS, *METRIC])}")

    def _expect(self, wanted: str, asked: bool, refusal: str | None) -> None:
        shown = sorted(key for key, alarm in self.bed.alarms.items() if alarm.state in SHOWN and self.counts(key))
        state = self.bed.bedside.state
        head, _, quoted = wanted.partition('"')
        quoted = quoted.removesuffix('"')
        match head.split():
            case ["nothing"]:
                _must(not shown, f"expected nothing, but {', '.join(shown)}")
            case ["request"] | ["request", "text"]:
                _must(asked, "expected a request, got none")
                text = str(state.request["text"]) if state.request else ""
                _must(quoted in text, f"expected a request that says {quoted!r}, found {text!r}")
            case ["no", "request"]:
                _must(not asked, f"expected no request, but {state.request['text'] if state.request else 'one'!r}")
            case ["phase", phase]:
                _among(phase, get_args(Phase))
                found = state.session.phase if state.session else "no session"
                _must(found == phase, f"expected phase {phase}, found {found}")
            case ["dissociation", period]:
                _among(period, get_args(Dissociation))
                now = state.session.dissociation if state.session else "no session"
                _must(now == period, f"expected dissociation {period}, found {now}")
            case ["dose" | "primed" as which, value]:
                session = state.session
                mg = 0.0 if session is None else session.delivered_mg if which == "dose" else session.primed_mg
                wanted_mg = number(value, which)
                _must(abs(mg - wanted_mg) <= _MG, f"expected {which} {wanted_mg:g} mg, found {mg:.2f} mg")
            case ["open"]:
                points = open_points(state, self.bed.at_s)
                _must(any(quoted in point for point in points), f"expected {quoted!r} to be open, found {points}")
            case ["not", "open"]:
                points = [point for point in open_points(state, self.bed.at_s) if quoted in point]
                _must(not points, f"expected {quoted!r} not to be open, found {points}")
            case ["refused"]:
                _must(refusal is not None and quoted in refusal, f"expected a refusal {quoted!r}, found {refusal!r}")
            case words:
                found_so = story_attention.holds(self.bed, words, quoted)
                if found_so is None:
                    found_so = story_treatment.holds(self.bed, words, quoted)
                if found_so is None:
                    self._expect_alarm(wanted, shown)
                else:
                    _must(not found_so, f"expected {wanted}, found {found_so}")

    def _expect_alarm(self, wanted: str, shown: list[str]) -> None:
        match = _EXPECTED.fullmatch(wanted)
        if match is None or not (match["state"] or match["text"]):
            raise Unreadable(f"cannot read {wanted!r}; write RULE[:device] STATE [PRIORITY] [no data] [text \"...\"],"
                             " nothing, request, phase P, dissociation D, open \"...\" or refused \"...\";"
                             f" of attention {story_attention.FORMS}")
        key = match["key"]
        rule, _, device = key.partition(":")
        known = {known.id for known in self.rules.rules}
        if rule not in known:
            raise Unreadable(f"no rule is named {rule!r}{nearest(rule, known)}")
        one = self.rules.named(rule)
        devices = sorted(self.bed.links) if one.for_each else []
        devices += [""] if one.for_bed or not one.for_each else []
        names = [f"{rule}:{name}".removesuffix(":") for name in devices]
        _must(device in devices, f"write {' or '.join(names)}, not {key}")
        self.expected.add(key)
        alarm = self.bed.alarms.get(key) or Alarm(key, rule, BED)
        fallen = next((one.worst for one in self.bed.alarms.values() if one.worst and one.worst.rule == rule), None)
        if fallen is not None and alarm.state not in SHOWN:  # a level that has fallen, and that nobody acknowledged
            alarm = replace(alarm, state="latched", priority=fallen.priority, body=fallen)
        said = alarm.body.text if alarm.body else ""
        right = (match["state"] in (None, alarm.state) and match["priority"] in (None, alarm.priority)
                 and (alarm.no_data or not match["no_data"]) and (match["text"] or "") in said)
        found = f"{key} {alarm.state} {alarm.priority}" + (" no data" if alarm.no_data else "")
        found += f' text "{said}"' if match["text"] else ""
        _must(right, f"expected {wanted}, found {found}; shown: {', '.join(shown) or 'nothing'}")


def _must(true: bool, otherwise: str) -> None:
    if not true:
        raise Unreadable(otherwise)


def _among(word: str, words: tuple[str, ...]) -> None:
    if word not in words:
        raise Unreadable(f"write one of {', '.join(words)}, not {word!r}")


def _clock(at_s: float) -> str:
    minutes, seconds = divmod(at_s - T0, 60)
    return f"{minutes:.0f}:{seconds:02.0f}"
