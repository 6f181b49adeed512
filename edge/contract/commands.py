"""What a person may ask of a bed: one struct a verb, with its roles, its limits and the words that go with them.

The edge and the console both convert with `parse`, and the page gets the limits from here: no number stands twice.
There is no verb that starts, sets or resumes a pump.

The limits of an order bound what can be *meant*: outside them a number was mistyped, or is in another unit. They are no
prescription; what a protocol allows is the protocol's. Usual are 0.5 mg/kg over 40 minutes (Am J Psychiatry
2013;170:1134, doi 10.1176/appi.ajp.2013.13030392): above 0.75 mg/kg or below 40 min, our choice, a person is asked once
more. An undiluted vial (50 or 100 mg/mL) lies above the highest concentration on purpose: the label of ketamine forbids
giving 100 mg/mL by vein undiluted.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Meta

from edge.contract.attention_verbs import CommentAlarm as CommentAlarm
from edge.contract.attention_verbs import Delegate as Delegate
from edge.contract.attention_verbs import Maintain as Maintain
from edge.contract.attention_verbs import MaintenanceOver as MaintenanceOver
from edge.contract.attention_verbs import Undelegate as Undelegate
from edge.contract.treatment_verbs import ArmInterlock as ArmInterlock
from edge.contract.treatment_verbs import DisarmInterlock as DisarmInterlock
from edge.contract.treatment_verbs import HoldTreatment as HoldTreatment
from edge.contract.treatment_verbs import MoveSession as MoveSession
from edge.contract.treatment_verbs import ReleaseHold as ReleaseHold
from edge.contract.treatment_verbs import SetLimit as SetLimit
from edge.contract.verb import MAX_LOT, MAX_PLANNED_MIN, Reason, WithReason, number, score, shown
from edge.contract.verb import MAX_NOTE as MAX_NOTE
from edge.contract.verb import MAX_PATIENT_NAME as MAX_PATIENT_NAME
from edge.contract.verb import MAX_REASON as MAX_REASON
from edge.contract.verb import MAX_SYMPTOM as MAX_SYMPTOM
from edge.contract.verb import NURSE as NURSE
from edge.contract.verb import Verb as Verb
from edge.contract.verb import says_why as says_why
from edge.vocabulary import ATTESTATIONS

ArgumentType = Literal["number", "whole", "text", "words", "flag"]
# where alarms of high priority stand as a session begins or ends: whose they are, and what was done about them
Whose = Annotated[str, Meta(max_length=MAX_REASON, pattern=r"\S", title="Whose are the alarms that stand")]


class StartSession(Verb, frozen=True, kw_only=True):
    """Open a session on a bed, by an order. `session` is the console's new id for it; no patient is named.

    A protocol whose pump gives the dose needs weight, dose by weight, duration and concentration; one whose dose a
    nurse gives by hand (nasal esketamine) needs `dose_mg` instead."""

    verb: ClassVar[str] = "start_session"

    session: Annotated[str, Meta(
        min_length=8, max_length=64, pattern=r"^[A-Za-z0-9-]*[A-Za-z0-9][A-Za-z0-9-]*(?!\n)$", title="Session",
        extra={"by": "console", "say": "an id of 8 to 64 letters and digits"})]
    weight_kg: Annotated[float, number("Weight", 35, 200, "kg", unless="dose_mg")] | None = None
    dose_mg_kg: Annotated[float, number(
        "Dose", 0.1, 1.0, "mg/kg", presets=(0.5, 0.75, 1), usual=(None, 0.75), unless="dose_mg")] | None = None
    duration_min: Annotated[float, number(
        "Duration", 30, 120, "min", presets=(40, 60), usual=(40, None), unless="dose_mg")] | None = None
    concentration_mg_ml: Annotated[float, number(
        "Concentration", 0.2, 10, "mg/mL", "an undiluted vial must never run", presets=(0.5, 1, 2),
        unless="dose_mg")] | None = None
    dose_mg: Annotated[float, number("Dose given by hand", 1, 500, "mg", presets=(56, 84))] | None = None
    protocol: Annotated[str, Meta(min_length=1, max_length=64, title="Protocol")] | None = None
    nibp_interval_min: Annotated[float, number("Cuff interval", 2, 30, "min", presets=(5, 10))] | None = None
    age_years: Annotated[float, number("Age", 18, 110, "years")] | None = None
    checklist: Annotated[bool, Meta(title="Checklist done")] | None = None
    first_session: Annotated[bool, Meta(title="First session of this patient")] | None = None
    hypertension: Annotated[bool, Meta(title="Hypertension in the history")] | None = None
    whose: Whose | None = None


class SetChecklist(Verb, frozen=True, kw_only=True):
    """Confirm the precheck's checklist, or take that back."""

    verb: ClassVar[str] = "checklist"

    done: Annotated[bool, Meta(title="Done")]


class GiveDose(Verb, frozen=True, kw_only=True):
    """The patient has taken the drug by hand, from `devices` devices of the protocol's strength, so many minutes ago
    (left out: now). It says what happened; nothing is started by it. Sooner after the last device than the protocol
    has them apart it needs a reason."""

    verb: ClassVar[str] = "give_dose"

    devices: Annotated[int, Meta(ge=1, le=6, title="Devices")]
    lots: Annotated[list[Annotated[str, Meta(min_length=1, max_length=MAX_LOT)]], Meta(
        title="Lot numbers", extra={"one": "lot number"})] | None = None
    minutes_ago: Annotated[float, number("Taken so long ago", 0, 60, "min")] | None = None
    reason: Reason | None = None


class CheckIn(Verb, frozen=True, kw_only=True):
    """What the nurse found; a score that is left out was not assessed. A symptom stands until a later check-in names
    it as `gone`."""

    verb: ClassVar[str] = "check_in"

    moaas: Annotated[int, score("MOAA/S", 5)] | None = None
    cadss: Annotated[int, score("CADSS", 92)] | None = None
    anxiety: Annotated[int, score("Anxiety", 10)] | None = None
    distress: Annotated[int, score("Distress", 10)] | None = None
    nausea: Annotated[int, score("Nausea", 10)] | None = None
    symptoms: Annotated[list[Annotated[str, Meta(min_length=1, max_length=MAX_SYMPTOM)]], Meta(
        title="Symptoms", extra={"one": "symptom"})] | None = None
    gone: Annotated[list[Annotated[str, Meta(min_length=1, max_length=MAX_SYMPTOM)]], Meta(
        title="Symptoms that are gone", extra={"one": "symptom"})] | None = None
    note: Annotated[str, Meta(max_length=MAX_NOTE, title="Note")] | None = None
    # read off a device that Vigil does not read: rules judge it, with its time and author; it is never a live number
    spo2_pct: Annotated[int, Meta(ge=30, le=100, title="SpO₂ read by hand", extra={"unit": "%"})] | None = None
    resp_bpm: Annotated[int, Meta(ge=0, le=60, title="Respiration counted", extra={"unit": "/min"})] | None = None
    pulse_bpm: Annotated[int, Meta(ge=0, le=300, title="Pulse counted", extra={"unit": "/min"})] | None = None
    sbp_mmhg: Annotated[int, Meta(ge=40, le=300, title="Systolic by hand", extra={"unit": "mmHg"})] | None = None
    dbp_mmhg: Annotated[int, Meta(ge=20, le=200, title="Diastolic by hand", extra={"unit": "mmHg"})] | None = None

    @property
    def says_how_it_is(self) -> bool:
        """Whether it is more than what was measured: alone, that is no look at the patient."""
        scores = (self.moaas, self.cadss, self.anxiety, self.distress, self.nausea)
        said = self.symptoms or self.gone or (self.note or "").strip()
        return bool(said) or any(score is not None for score in scores)

    def objection(self) -> tuple[str, str] | None:
        """An empty one says nothing."""
        if (self.sbp_mmhg is None) != (self.dbp_mmhg is None):
            return "bad_args", "a blood pressure is two numbers: enter systolic and diastolic"
        measured = (self.spo2_pct, self.resp_bpm, self.pulse_bpm, self.sbp_mmhg)
        if self.says_how_it_is or any(one is not None for one in measured):
            both = sorted(set(self.symptoms or ()) & set(self.gone or ()))
            return ("bad_args", f"{both[0]!r} cannot be there and gone; name it once") if both else None
        return "bad_args", "an empty check-in says nothing: enter a score, a symptom or a note"


class Acknowledge(Verb, frozen=True, kw_only=True):
    """Acknowledge an alarm as it was seen: `seq` is the number of the event that moved it last."""

    verb: ClassVar[str] = "acknowledge"

    alarm: Annotated[str, Meta(min_length=1, max_length=200, title="Alarm")]
    seq: Annotated[int, Meta(ge=0, title="Number of the event seen")]


class Shelve(Verb, frozen=True, kw_only=True):
    """Do not sound a technical alarm of low or medium priority for some minutes, as it was seen. It stays on the
    screen, and comes back by itself."""

    verb: ClassVar[str] = "shelve"

    alarm: Annotated[str, Meta(min_length=1, max_length=200, title="Alarm")]
    seq: Annotated[int, Meta(ge=0, title="Number of the event seen")]
    minutes: Annotated[float, number("For", 1, 30, "min", presets=(5, 10, 15))]
    reason: Reason


class Unshelve(Verb, frozen=True, kw_only=True):
    """Let a shelved alarm sound again."""

    verb: ClassVar[str] = "unshelve"

    shelf: Annotated[str, Meta(min_length=1, max_length=200, title="Shelved alarm")]


class PauseAudio(Verb, frozen=True, kw_only=True):
    """Pause the bed's sound for two minutes."""

    verb: ClassVar[str] = "audio_pause"


class ResumeAudio(Verb, frozen=True, kw_only=True):
    """Let the bed sound again."""

    verb: ClassVar[str] = "audio_resume"


class AmendOrder(WithReason, frozen=True, kw_only=True):
    """Change this session's order, as `prescriber` ordered. What is left out stays; the order as it was is kept."""

    verb: ClassVar[str] = "amend_order"

    prescriber: Annotated[str, Meta(max_length=MAX_PATIENT_NAME, pattern=r"\S", title="Ordered by")]
    weight_kg: Annotated[float, number("Weight", 35, 200, "kg")] | None = None
    dose_mg_kg: Annotated[float, number("Dose", 0.1, 1.0, "mg/kg", usual=(None, 0.75))] | None = None
    duration_min: Annotated[float, number("Duration", 30, 120, "min", usual=(40, None))] | None = None
    concentration_mg_ml: Annotated[float, number(
        "Concentration", 0.2, 10, "mg/mL", "an undiluted vial must never run")] | None = None
    dose_mg: Annotated[float, number("Dose given by hand", 1, 500, "mg")] | None = None
    nibp_interval_min: Annotated[float, number("Cuff interval", 2, 30, "min")] | None = None

    def objection(self) -> tuple[str, str] | None:
        """Something must change."""
        amounts = (self.weight_kg, self.dose_mg_kg, self.duration_min, self.concentration_mg_ml, self.dose_mg,
                   self.nibp_interval_min)
        if all(amount is None for amount in amounts):
            return "bad_args", "an amendment changes something: weight, dose, duration, concentration or cuff interval"
        return super().objection()


class OverrideGate(WithReason, frozen=True, kw_only=True):
    """Go on although this gate is open. Who may says the protocol."""

    verb: ClassVar[str] = "override_gate"

    gate: Annotated[str, Meta(min_length=1, max_length=64, title="Gate")]


class Rebaseline(WithReason, frozen=True, kw_only=True):
    """Take the blood pressures of the last while as this patient's baseline, in place of the one that is frozen."""

    verb: ClassVar[str] = "rebaseline"


class Attest(Verb, frozen=True, kw_only=True):
    """A nurse has seen that it is so, or that it is not. What nobody has recorded is neither."""

    verb: ClassVar[str] = "attest"

    what: Annotated[str, Meta(
        pattern=f"^({'|'.join(ATTESTATIONS)})$(?!\\n)", title="What",
        extra={"say": f"one of {', '.join(ATTESTATIONS)}", "choices": tuple(ATTESTATIONS)})]
    so: Annotated[bool, Meta(title="It is so")]


class DeviceOff(WithReason, frozen=True, kw_only=True):
    """A device is disconnected for a while, as planned. Nothing is missed of it until then; after that it is again."""

    verb: ClassVar[str] = "device_off"

    device: Annotated[str, Meta(min_length=1, max_length=64, title="Device")]
    minutes: Annotated[float, number("For", 1, MAX_PLANNED_MIN, "min", presets=(5, 10))]


class DeviceBack(Verb, frozen=True, kw_only=True):
    """A device that was disconnected as planned is back before its time; or one that may be another bed's is this
    bed's own."""

    verb: ClassVar[str] = "device_back"

    device: Annotated[str, Meta(min_length=1, max_length=64, title="Device")]


class DrugChannel(Verb, frozen=True, kw_only=True):
    """Of this bed's pumps this one gives the drug; the others carry. Once the infusion has begun it needs a reason."""

    verb: ClassVar[str] = "drug_channel"

    device: Annotated[str, Meta(min_length=1, max_length=64, title="Pump")]
    reason: Reason | None = None


class SayDissociation(WithReason, frozen=True, kw_only=True):
    """A nurse says that the dissociation period has begun, or that it is over, whatever the clock says."""

    verb: ClassVar[str] = "dissociation"

    begun: Annotated[bool, Meta(title="It has begun (no: it is over)")]


class MeasureBp(Verb, frozen=True, kw_only=True):
    """Measure the blood pressure now: the cuff is started where that is done over the wire; elsewhere the page asks."""

    verb: ClassVar[str] = "measure_bp"


class EndInfusion(Verb, frozen=True, kw_only=True):
    """The infusion is over although the dose is not complete."""

    verb: ClassVar[str] = "end_infusion"

    reason: Reason | None = None


class CloseSession(Verb, frozen=True, kw_only=True):
    """The patient leaves; a reason is needed where discharge criteria are unmet, and a word on whose they are where
    alarms of high priority stand."""

    verb: ClassVar[str] = "close_session"

    reason: Reason | None = None
    whose: Whose | None = None


VERBS: dict[str, type[Verb]] = {
    asked.verb: asked
    for asked in (Acknowledge, CommentAlarm, Delegate, Undelegate, Shelve, Unshelve, PauseAudio, ResumeAudio, CheckIn,
                  StartSession, SetChecklist, GiveDose, EndInfusion, CloseSession, AmendOrder, OverrideGate,
                  Rebaseline, Attest, DeviceOff, DeviceBack, DrugChannel, MeasureBp, SayDissociation, Maintain,
                  MaintenanceOver, ArmInterlock, DisarmInterlock, SetLimit,
                  HoldTreatment, ReleaseHold, MoveSession)
}


PING = "ping"  # no verb of a bed: its answer proves the way to the edge and back; any role may send it
OFFER = "offer"  # nor is this: what a console has stored and the edge's record has lost
OF_CONSOLES = frozenset({PING, OFFER})


class BadCommand(ValueError):
    """A command that cannot be meant, in one line: `code`, what is wrong and what to write instead. `where`: the
    argument, or "" where it is the whole of it."""

    def __init__(self, code: str, line: str, where: str = "") -> None:
        super().__init__(f"{code}: {line}")
        self.code = code
        self.where = where


@dataclass(frozen=True, slots=True)
class Argument:
    """One argument of a verb as its struct declares it: what a form needs to ask for it, and a refusal to name it."""

    name: str
    label: str
    type: ArgumentType
    optional: bool
    least: float | None = None
    most: float | None = None
    max_length: int | None = None  # characters; of `words`, of each
    unit: str = ""
    remedy: str = ""
    by: Literal["person", "console"] = "person"
    say: str = ""  # what it must be, where the limits do not say it well
    presets: tuple[float, ...] = ()  # offered beside the keys
    usual_min: float | None = None  # below or above what is usual it is allowed, and read back with a caution
    usual_max: float | None = None
    unless: str = ""  # it is needed, but where this other argument is given
    one: str = "symptom"  # what each of `words` is called
    choices: tuple[str, ...] = ()  # of `text`: it is one of these
    annotation: Any = None  # for msgspec

    def must_be(self) -> str:
        """What it must be, in words."""
        if self.say:
            return self.say
        if self.type == "number":
            return f"from {self.least:g} to {self.most:g} {self.unit}"
        if self.type == "whole":
            return f"a whole number from {self.least:g}" + (f" to {self.most:g}" if self.most is not None else " up")
        if self.type == "flag":
            return "true or false"
        return f"a list of words of at most {self.max_length} characters" if self.type == "words" else "text"


_TYPES: dict[Any, ArgumentType] = {float: "number", int: "whole", str: "text", bool: "flag"}


@functools.cache
def arguments(verb: str) -> tuple[Argument, ...]:
    """What `verb` takes, in the order of its struct. Raises KeyError for a verb that is none."""
    hints = get_type_hints(VERBS[verb], include_extras=True)
    return tuple(_argument(field, hints[field.name]) for field in msgspec.structs.fields(VERBS[verb]))


def _argument(field: msgspec.structs.FieldInfo, hint: Any) -> Argument:
    annotated = hint if field.required else get_args(hint)[0]
    of, meta = get_args(annotated)
    words = get_origin(of) is list
    limits = get_args(get_args(of)[0])[1] if words else meta
    extra = meta.extra or {}
    unless = extra.get("unless", "")
    return Argument(
        field.name, meta.title, "words" if words else _TYPES[of], not field.required and not unless, meta.ge, meta.le,
        limits.max_length,
        extra.get("unit", ""), extra.get("remedy", ""), extra.get("by", "person"), extra.get("say", ""),
        extra.get("presets", ()), extra.get("usual_min"), extra.get("usual_max"), unless,
        extra.get("one", "symptom"), extra.get("choices", ()), annotated)


def parse(verb: str, args: Mapping[str, Any]) -> Verb:
    """`args` as the struct of `verb`. Raises BadCommand, and nothing else, whatever the values are."""
    if verb not in VERBS:
        raise BadCommand("unknown_verb", f"{verb[:40]!r}; write one of {', '.join(sorted(VERBS))}")
    takes = arguments(verb)
    unknown = sorted(set(args) - {argument.name for argument in takes})
    if unknown:  # a misspelt score would otherwise pass for one that was not assessed
        known = ", ".join(sorted(argument.name for argument in takes)) or "none"
        names = ", ".join(name if name.isascii() and name.isidentifier() else shown(name) for name in unknown)
        raise BadCommand("bad_args", f"{names[:60]} is not one; {verb} takes {known}", unknown[0])
    asked = VERBS[verb](**{argument.name: _converted(argument, args) for argument in takes})
    objection = asked.objection()
    if objection is not None:
        raise BadCommand(*objection)
    return asked


def _converted(argument: Argument, args: Mapping[str, Any]) -> Any:
    value = args.get(argument.name)
    if value is None and (argument.optional or args.get(argument.unless) is not None):
        return None
    if argument.type == "whole" and isinstance(value, float) and value.is_integer():
        value = int(value)  # in JSON Schema 50.0 is an integer (2020-12 Validation, 6.1.1)
    try:
        return msgspec.convert(value, argument.annotation)
    except msgspec.ValidationError:
        raise BadCommand("bad_args", _why(argument, value), argument.name) from None


def _why(argument: Argument, value: Any) -> str:
    """What is wrong with this value, and what to write instead."""
    name, most = argument.name, argument.max_length
    if argument.type == "text" and isinstance(value, str) and not argument.say:
        if most is not None and len(value) > most:
            return f"{name} must be at most {most} characters, not {len(value)}"
        return f"{name} must not be blank"
    if argument.type == "words" and isinstance(value, list):
        unfit = next(word for word in value if not isinstance(word, str) or not 0 < len(word) <= (most or 0))
        return f"{shown(unfit)} is no {argument.one}; {name} must be {argument.must_be()}"
    if argument.type == "number" and (isinstance(value, bool) or not isinstance(value, int | float)):
        return f"{name} must be a number, not {shown(value)}"
    left_out = ", or left out" if argument.optional else ""
    remedy = f"; {argument.remedy}" if argument.remedy else ""
    return f"{name} must be {argument.must_be()}{left_out}, not {shown(value)}{remedy}"
