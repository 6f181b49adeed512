"""The facts: everything that a condition, a story, an explanation or a document may name, each in one place.

A fact (`fact.py`) has a name, a unit, a sentence for people, and says how it is computed from the rule context. Beyond
that it says what alarms and their texts need to know of it: which metrics it looks at, how many determinations are its
evidence, the device's own alarms it passes on, why it is so (`reason`), and what must be kept for it (`account`). To
add a fact, add one entry; nothing else looks a fact up by its name.

Numbers are None, and truths are None, where nobody can know. Times are seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from edge.core import channels, delivery, dissociation, gates, oximetry, pairs, sources, treatment, unwatched
from edge.core.context import Number, RuleContext
from edge.core.fact import Account, Fact, Parameter, account_key
from edge.core.logic import Truth
from edge.core.state import Session
from edge.model import SILENCE, DeviceAlarm, iso
from edge.vocabulary import DETERMINATION, METRICS

# --- readings ---------------------------------------------------------------------------------------------------------


def _metric_facts() -> Iterable[Fact]:
    for key, metric in METRICS.items():
        yield Fact(key, metric.unit, metric.label, RuleContext.metric, of=(key,), decimals=metric.decimals,
                   metrics=(key,), sampled=True, reason=RuleContext.reason_of)


def _no_valid_s(context: RuleContext, metric: str) -> Number:
    """Since anybody could have seen one. A questionable reading is not valid: the rules cannot judge by it, and whoever
    relies on them must know. That the link came back is no news of the patient: it counts only for a device that has
    never said anything. A monitor that has never given it (a capnograph) is not asked for it where another device of
    this bed gives it, be that away as planned or without a finger: one cause, one alarm."""
    state = context.state
    if context.is_excused(metric):
        return 0.0
    latest = state.latest.get(metric)
    last_s = (latest.valid_at_s if latest else None) or 0.0
    giver = state.devices.get(latest.device) if latest else None
    device = context.this_device() or giver
    if device is not None and (device.away or (giver and giver is not device and device.never_gave(metric))):
        return 0.0
    live_s = device.since_s if device and device.link == "live" and not last_s else 0.0
    return context.at_s - max(last_s, state.boot_s, state.session.here_s if state.session else 0.0, live_s)


def _satseconds(context: RuleContext, metric: str, limit: float) -> Number:
    account = context.state.below.get(account_key(metric, limit))
    return account.points if account else 0.0


def _violations(context: RuleContext, metric: str, limit: float, window_s: float) -> Number:
    account = context.state.below.get(account_key(metric, limit))
    if account is None or not account.is_below:  # the third dip counts as it comes; having had three does not
        return 0.0
    return float(sum(context.at_s - at_s < window_s for at_s in account.entered_s))


def _rise_pct(context: RuleContext, metric: str) -> Number:
    session = context.state.session
    value, baseline = context.metric(metric), getattr(session.baseline, metric, None) if session else None
    return None if value is None or not baseline else 100.0 * (value - baseline) / baseline


def _fall_pct(context: RuleContext, metric: str) -> Number:
    rise_pct = _rise_pct(context, metric)
    return None if rise_pct is None else round(-rise_pct, 2)


def _reason_of_determination(context: RuleContext) -> str | None:
    return next(filter(None, map(context.reason_of, reversed(DETERMINATION))), None)


# --- devices ----------------------------------------------------------------------------------------------------------


def _link_down(context: RuleContext) -> Truth:
    """Before a device first came, only an open session makes its absence a loss."""
    device = context.this_device()
    if device is None:
        return None
    if device.link == "connecting":
        return device.ever_live or context.state.session is not None
    return device.link in SILENCE


def _link_live(context: RuleContext, kind: str | None = None) -> Truth:
    if kind is None:
        device = context.this_device()
        return None if device is None else device.link == "live"
    return any(device.link == "live" for device in context.state.devices.values() if device.kind == kind)


def _alarms_but(context: RuleContext, *codes: str) -> tuple[DeviceAlarm, ...]:
    device = context.this_device()
    return tuple(alarm for alarm in device.alarms if alarm.code not in codes) if device else ()


def _device_alarm(context: RuleContext, *codes: str) -> Truth:
    """A device that cannot be heard has the alarms it had, or others: nobody can know."""
    device = context.this_device()
    if device is None or (device.link != "live" and context.state.engine.unwatched_of_s):
        return None
    if any(alarm.code not in codes for alarm in device.alarms):
        return True
    return None if context.has_gone_quiet(device) else False


def _reason_gap(context: RuleContext) -> str | None:
    state = context.state
    return f"{_gap_s(context):.0f} s until {iso(state.boot_s)[11:16]} UTC" if state.gap_s else None


def _gap_s(context: RuleContext) -> float:
    """With the gaps close before it: of an edge that restarts every half minute no hold fills and no count rises."""
    return max(context.state.gap_s, context.state.gaps_s)


def _in_phase(context: RuleContext, *phases: str) -> Truth:
    session = context.state.session
    return session is not None and session.phase in phases


def _started_unready(context: RuleContext) -> Truth:
    session = context.state.session
    return session is not None and (session.unready_start or session.phase == "PRECHECK")


def _link_unstable(context: RuleContext) -> Truth:
    device = context.this_device()
    return None if device is None else device.link == "unstable"


def _own_alarm(context: RuleContext, *names: str) -> Truth:
    """For the bed as a whole there is none: what belongs to no device is nobody's."""
    return context.device is not None and any(context.active(name) for name in names)


def _stateless_s(context: RuleContext) -> Number:
    """Counted while the pump responds: while it sends nothing at all the count stands, and its link is what alarms."""
    pump = context.this_device()
    if pump is None:
        return None
    reported_s = max(pump.pump_at_s, max(pump.newest_s.values(), default=0.0))
    return max(0.0, reported_s - max(pump.known_at_s or pump.since_s, context.state.boot_s))


def _reason_stateless(context: RuleContext) -> str | None:
    pump = context.this_device()
    return "it does not say whether it runs" if pump is not None and pump.link == "live" else None


# --- the session ------------------------------------------------------------------------------------------------------


def _baseline(context: RuleContext, key: str) -> Number:
    session = context.state.session
    value: Number = getattr(session.baseline, key, None) if session else None
    return value


def _baseline_facts() -> Iterable[Fact]:
    for key in ("sbp_mmhg", "dbp_mmhg", "map_mmhg", "pulse_bpm", "spo2_pct"):
        yield Fact(f"baseline.{key}", METRICS[key].unit, f"the baseline {METRICS[key].label}", _baseline, of=(key,),
                   baselines=lambda key: (key,))


def _check_in_facts() -> Iterable[Fact]:
    sentences = {
        "moaas": "MOAA/S as last assessed", "cadss": "CADSS as last assessed",
        "anxiety": "anxiety as last assessed", "distress": "distress as last assessed",
        "nausea": "nausea as last assessed",
    }
    for key, sentence in sentences.items():
        yield Fact(f"check_in.{key}", "", sentence, treatment.score, of=(key,), of_person=True)

    def age_s(context: RuleContext) -> Number:
        session = context.state.session
        return context.at_s - session.check_ins[-1].at_s if session and session.check_ins else None

    yield Fact("check_in.age_s", "s", "the time since the last check-in", age_s, of_person=True)
    yield Fact("check_in.overdue_s", "s", "the time since the next check-in was due", treatment.check_in_overdue_s,
               reason=treatment.check_in_age_in_words, of_person=True)
    yield Fact("check_in.upset", "", "the worse of anxiety and distress as last assessed", treatment.upset,
               reason=treatment.upset_in_words, of_person=True)


def _delivery_facts() -> Iterable[Fact]:
    yield Fact("pump.rate_pct", "%", "the rate of the pump against the ordered rate", delivery.rate_pct, decimals=0,
               metrics=("rate_ml_h",), reason=delivery.rate_in_words, of_pump=True)
    yield Fact("pump.rate_mg_kg_h", "mg/kg/h", "the rate of the pump", delivery.rate_mg_kg_h, decimals=2,
               metrics=("rate_ml_h",), reason=delivery.rate_in_words, of_pump=True)
    yield Fact("session.delivered_pct", "%", "the delivered dose against the ordered dose", delivery.delivered_pct,
               reason=delivery.delivered_in_words)
    yield Fact("session.delivered_mg_kg", "mg/kg", "the delivered dose", delivery.delivered_mg_kg, decimals=2,
               reason=delivery.delivered_in_words)
    yield Fact("session.overrun_s", "s", "the time infused beyond the ordered duration", delivery.overrun_s,
               reason=delivery.overrun_in_words)


_OfSession = Callable[[Session, RuleContext], Number]


def _dissociation_s(session: Session, context: RuleContext) -> Number:
    opened_s = session.dissociation_opened_s
    return None if opened_s is None or not session.is_open_period else context.at_s - opened_s


def _duration_s(session: Session, _: RuleContext) -> Number:
    return None if session.order.duration_min is None else session.order.duration_min * 60


def _long_open_s(context: RuleContext) -> Number:
    """Below 0 while it is not long yet."""
    session = context.state.session
    from_s = dissociation.counted_from_s(context.state, session) if session else None
    return None if from_s is None else context.at_s - from_s - context.state.protocol.dissociation.long_after_s


def _long_open_in_words(context: RuleContext) -> str | None:
    times, given = context.state.protocol.dissociation, "dose" if context.state.no_pump else "infusion"
    session = context.state.session
    from_s = dissociation.counted_from_s(context.state, session) if session else None
    since = f"since the {times.counted_from} of the {given}"
    return None if from_s is None else f"{(context.at_s - from_s) / 60:.0f} minutes {since}"


def _of_order(name: str) -> Callable[[RuleContext], Truth]:
    def asked(context: RuleContext) -> Truth:
        session = context.state.session
        found: Truth = getattr(session.order, name) if session else None
        return found

    return asked


_SESSION: tuple[tuple[str, str, str, _OfSession], ...] = (
    ("weight_kg", "kg", "the patient's weight", lambda session, _: session.order.weight_kg),
    ("age_years", "years", "the patient's age", lambda session, _: session.order.age_years),
    ("dose_mg_kg", "mg/kg", "the ordered dose", lambda session, _: session.order.dose_mg_kg),
    ("dose_mg", "mg", "the ordered dose", lambda session, _: session.order.dose_mg),
    ("duration_s", "s", "the ordered duration", _duration_s),
    ("delivered_mg", "mg", "the delivered dose", lambda session, _: session.delivered_mg),
    ("infused_s", "s", "the time infused", lambda session, _: session.infused_s),
    ("started_s", "s", "the time since the start of the infusion",
     lambda session, context: None if session.started_s is None else context.at_s - session.started_s),
    ("ended_s", "s", "the time since the end of the infusion",
     lambda session, context: None if session.ended_s is None else context.at_s - session.ended_s),
    ("nibp_interval_s", "s", "the blood pressure interval", lambda _, context: context.state.interval_s()),
    ("dissociation_s", "s", "the time since the dissociation period opened", _dissociation_s),
    ("phase_s", "s", "the time in this phase", lambda session, context: context.at_s - session.phase_since_s),
)


def _session_facts() -> Iterable[Fact]:
    for name, unit, sentence, of in _SESSION:
        def compute(context: RuleContext, of: _OfSession = of) -> Number:
            session = context.state.session
            return None if session is None else of(session, context)

        yield Fact(f"session.{name}", unit, sentence, compute)


# --- the registry -----------------------------------------------------------------------------------------------------

_SYMPTOMS = Parameter("symptom", many=True)
_METRIC, _LIMIT, _WINDOW = Parameter("metric"), Parameter("number", "limit"), Parameter("number", "seconds")

FACTS: Mapping[str, Fact] = {fact.name: fact for fact in (
    *_metric_facts(), *_baseline_facts(), *_check_in_facts(), *_session_facts(),
    *_delivery_facts(), *oximetry.facts(), *gates.facts(),
    Fact("pair", "", "in both of two blood pressures in a row: {0}", pairs.pair, (Parameter("condition"),), truth=True,
         denied="not in both of two blood pressures in a row: {0}", determinations=2),
    Fact("mean_pressure", "mmHg", "the mean pressure, measured or estimated", sources.mean_pressure,
         metrics=("sbp_mmhg", "dbp_mmhg")),
    Fact("no_valid_s", "s", "the time without a valid {0}", _no_valid_s, (_METRIC,),
         reason=RuleContext.reason_of, lost=lambda metric: (metric,)),
    Fact("satseconds", "{}·s", "the sum of ({1} − {0}) × seconds below {1}", _satseconds, (_METRIC, _LIMIT),
         reason=lambda context, metric, _: context.reason_of(metric), account=Account),
    Fact("violations", "", "the count of times {0} went below {1} within {2} s", _violations,
         (_METRIC, _LIMIT, _WINDOW), reason=lambda context, metric, *_: context.reason_of(metric), account=Account),
    Fact("rise_pct", "%", "how far {0} is above its baseline", _rise_pct, (_METRIC,),
         reason=RuleContext.reason_of, baselines=lambda metric: (metric,)),
    Fact("fall_pct", "%", "how far {0} is below its baseline", _fall_pct, (_METRIC,),
         reason=RuleContext.reason_of, baselines=lambda metric: (metric,)),
    Fact("failed_determinations", "", "the count of failed blood pressure measurements in a row",
         lambda context: float(context.state.failed_determinations), reason=_reason_of_determination,
         lost=lambda: DETERMINATION),
    Fact("link_down", "", "the device cannot be reached", _link_down, truth=True,
         denied="the device can be reached", of_link=True, of_device=True),
    Fact("link_live", "", "the {0} is connected", _link_live,
         (Parameter("word", "kind", optional=True, absent="device"),), truth=True, denied="the {0} is not connected",
         of_link=True, of_device=True),
    Fact("link_unstable", "", "the device's connection comes and goes", _link_unstable, truth=True,
         denied="the device's connection does not come and go", of_link=True, of_device=True),
    Fact("own_alarm", "", "an alarm {0} of this device is active", _own_alarm, (Parameter("rule", many=True),),
         truth=True, denied="no alarm {0} of this device is active", of_device=True),
    *unwatched.FACTS,
    Fact("device_alarm", "", "the device has an alarm of its own{0}", _device_alarm,
         (Parameter("word", "code", many=True, optional=True, form=" other than {}"),), truth=True,
         denied="the device has no alarm of its own{0}", alarms=_alarms_but, of_device=True),
    Fact("device_reports", "", "a device reports {0}", sources.has_reported, (Parameter("word", "code", many=True),),
         truth=True, denied="no device reports {0}", reason=sources.reported_in_words),
    Fact("identical_s", "s", "the time for which the device has sent the same numbers", sources.identical_s,
         of_watching=True, of_device=True),
    Fact("differ", "{}", "the difference between two devices' {0} within {1} s", sources.differ,
         (_METRIC, _WINDOW), reason=sources.differ_in_words),
    Fact("bp_overdue_s", "s", "the time since the next blood pressure was due", sources.bp_overdue_s,
         reason=sources.bp_age_in_words, lost=lambda: DETERMINATION, of_watching=True),
    Fact("cuff_failed_apart_s", "s", "the time between the last valid SpO₂ and a failed blood pressure measurement",
         sources.cuff_failed_apart_s),
    Fact("gap_s", "s", "the time for which nobody watched before", _gap_s,
         names=lambda context: (iso(context.state.boot_s),), of_watching=True, reason=_reason_gap, of_box=True),
    Fact("since_gap_s", "s", "the time since watching went on", lambda context: context.at_s - context.state.boot_s,
         of_watching=True, of_box=True),
    Fact("phase", "", "the phase is {0}", _in_phase, (Parameter("phase", many=True),), truth=True,
         denied="the phase is not {0}"),
    Fact("started_unready", "", "the pump was started before the precheck was complete", _started_unready, truth=True,
         denied="the pump was not started before the precheck was complete"),
    Fact("standing", "", "an alarm {0} is active", lambda context, name: bool(context.active(name)),
         (Parameter("rule"),), truth=True, denied="no alarm {0} is active"),
    Fact("infusing", "", "the pump infuses", RuleContext.infusing, truth=True, denied="the pump does not infuse",
         of_pump=True),
    Fact("programme_differs", "",
         "the pump tells a programme whose dose differs by more than {0} % from the ordered dose",
         delivery.programme_differs, (Parameter("number", "percent"),), truth=True,
         denied="the pump tells no programme whose dose differs by more than {0} % from the ordered dose",
         reason=delivery.programme_in_words, of_pump=True),
    Fact("symptom", "", "a nurse has entered one of these symptoms, and not that it is gone: {0}",
         treatment.has_symptom, (_SYMPTOMS,), truth=True,
         denied="none of these symptoms is entered, or each is gone: {0}", reason=treatment.symptoms_in_words,
         names=treatment.standing_symptoms, of_person=True),
    Fact("symptom_within", "", "within the last {0} s a nurse has entered one of these symptoms, and not that it is"
         " gone: {1}", treatment.has_new_symptom, (Parameter("number", "seconds"), _SYMPTOMS), truth=True,
         denied="within the last {0} s none of these symptoms was entered, or each is gone: {1}",
         reason=lambda context, _, *names: treatment.symptoms_in_words(context, *names),
         names=lambda context, _, *names: treatment.standing_symptoms(context, *names), of_person=True),
    Fact("storage_failing", "", "the record cannot be written", lambda context: bool(context.state.storage_failing),
         truth=True, denied="the record can be written", reason=lambda context: context.state.storage_failing or None,
         of_box=True),
    Fact("unheard", "", "the alarms of this bed may be heard by nobody", lambda context: bool(context.state.unheard),
         truth=True, denied="the alarms of this bed are heard", reason=sources.unheard_in_words,
         alarms=sources.undelivered, of_box=True),
    Fact("no_console", "", "no console is there", lambda context: context.state.no_console, truth=True,
         denied="a console is there", of_box=True),
    Fact("clock_skew_s", "s", "the difference between the clocks of this box and of a console",
         lambda context: abs(context.state.skew_s), reason=sources.skewed, of_box=True),
    Fact("record_damaged_s", "s", "the time since the record was found damaged",
         lambda context: context.at_s - context.state.record_damaged_at_s,
         reason=lambda context: context.state.record_damage or None, of_box=True),
    Fact("known", "", "{0} is known", gates.known, (Parameter("quantity"),), truth=True, denied="{0} is not known"),
    Fact("checklist", "", "the checklist is confirmed", gates.checklist, truth=True,
         denied="the checklist is not confirmed", of_person=True),
    Fact("baseline_pair", "", "the baseline is of two blood pressures", gates.baseline_pair, truth=True,
         denied="the baseline is not of two blood pressures"),
    Fact("last_two_bp", "", "in the last two blood pressures, both after the infusion: {0}", gates.last_two_bp,
         (Parameter("condition"),), truth=True,
         denied="not in the last two blood pressures, both after the infusion: {0}", determinations=2),
    Fact("last_bp.sbp_mmhg", "mmHg", "the systolic pressure as last measured",
         lambda context: getattr(gates.last_bp(context), "sbp_mmhg", None)),
    Fact("last_bp.dbp_mmhg", "mmHg", "the diastolic pressure as last measured",
         lambda context: getattr(gates.last_bp(context), "dbp_mmhg", None)),
    Fact("last_bp.age_s", "s", "the time since the last blood pressure", gates.last_bp_age_s),
    Fact("quiet_check_in", "", "a fresh check-in shows a patient who is back", gates.is_quiet, truth=True,
         denied="no fresh check-in shows a patient who is back", of_person=True),
    Fact("alarm_shown", "", "an alarm of medium or high priority is shown", gates.alarm_shown, truth=True,
         denied="no alarm of medium or high priority is shown"),
    Fact("dissociation_open", "", "the dissociation period is open", treatment.period_open, truth=True,
         denied="the dissociation period is not open"),
    Fact("stray_infusion", "", "a pump infuses, though the dose is given by hand", gates.has_stray_pump, truth=True,
         denied="no pump infuses where the dose is given by hand", names=gates.stray_pumps,
         reason=lambda context: ", ".join(gates.stray_pumps(context)) or None),
    Fact("pump_asked", "", "nobody has said which pump gives the drug",
         lambda context: channels.is_asked(context.state), truth=True,
         denied="it is known which pump gives the drug", of_person=True,
         reason=lambda context: ", ".join(channels.pumps_of(context.state)) or None),
    Fact("runs", "", "this pump infuses", RuleContext.runs, truth=True, denied="this pump does not infuse",
         of_pump=True, of_device=True),
    Fact("attested", "", "a person has seen: {0}", gates.attested, (Parameter("attestation"),), truth=True,
         denied="nobody has recorded, or it is not so: {0}", of_person=True),
    Fact("alarms.ended_s", "s", "the time since an alarm of medium or high priority last ended", gates.alarm_ended_s),
    Fact("last_bp.apart_s", "s", "the time between the last two blood pressures", gates.last_two_bp_apart_s),
    Fact("dissociation.long_s", "s", "the time since the dissociation period has been long open", _long_open_s,
         reason=_long_open_in_words),
    Fact("first_session", "", "it is this patient's first session", _of_order("first_session"), truth=True,
         denied="it is not this patient's first session", of_person=True),
    Fact("hypertension", "", "the patient has hypertension in the history", _of_order("hypertension"), truth=True,
         denied="the patient has no hypertension in the history", of_person=True),
    Fact("by_hand", "", "the dose is given by hand", gates.is_by_hand, truth=True,
         denied="the dose is not given by hand"),
    Fact("given_unready_s", "s", "the time since a dose was given by hand before the precheck was complete",
         gates.given_unready_s, of_person=True),
    Fact("bp_between", "", "a blood pressure was taken from {0} to {1} s after the start", gates.bp_between,
         (Parameter("number", "seconds"), Parameter("number", "seconds")), truth=True,
         denied="no blood pressure was taken from {0} to {1} s after the start"),
    Fact("spo2_between", "", "SpO₂ was measured from {0} to {1} s after the start", gates.spo2_between,
         (Parameter("number", "seconds"), Parameter("number", "seconds")), truth=True,
         denied="SpO₂ was not measured from {0} to {1} s after the start"),
    Fact("held", "", "a person holds the treatment", treatment.is_held, truth=True,
         denied="nobody holds the treatment", reason=treatment.held_in_words),
    Fact("stop_unconfirmed", "", "the pump was to stop, and has not said in time that it stands still",
         delivery.stop_unconfirmed, truth=True, denied="no stop of the pump waits for its word",
         reason=delivery.stop_in_words),
    Fact("no_word_s", "s", "the time for which the pump has not said whether it runs", _stateless_s,
         reason=_reason_stateless, of_pump=True, of_device=True),
)}
FUNCTIONS: Mapping[str, Fact] = {
    name: fact for name, fact in FACTS.items() if name not in METRICS and "." not in name
}
OWNERS: tuple[str, ...] = tuple(dict.fromkeys(name.partition(".")[0] for name in FACTS if "." in name))
