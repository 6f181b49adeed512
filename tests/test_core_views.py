"""What a bed shows: ages, what is stale, whose word it is, and what stands; each at its limit."""

from __future__ import annotations

from math import inf
from typing import Any

import pytest
from msgspec import UNSET
from msgspec.structs import replace

from edge.contract.payloads import AlarmNow, Signals
from edge.core import views
from edge.core.alarms import Alarm, Information, Told
from edge.core.entered import CheckIn, Held, Limit, Override, OwnLimit
from edge.core.protocol import Gate
from edge.core.session import OpenPoint
from edge.core.state import BedState, Determination, Device, LatestValue, Order, OwnValue, Pk, Session, Shelf
from edge.core.stopping import Interlock, Stop
from edge.core.upcoming import upcoming
from edge.model import AlarmState, LinkState, Phase, Priority, PumpRole, PumpState, SignalState, iso
from tests.helpers.bed_story import BedStory
from tests.helpers.rule_files import PROTOCOLS, RULES

NOW = 1_800_000_000.0
ORDER = Order("iv_racemic_40", 70, 0.5, 40, 1.0)


def bed(**change: Any) -> BedState:
    session = Session("s", "b", ORDER, "INFUSING", NOW, NOW - 3600, "nina", started_s=NOW - 3000)
    return BedState("b", engine=RULES.engine, protocols=PROTOCOLS, session=replace(session, **change))


@pytest.mark.parametrize(("before_s", "age_s", "stale"), [
    (-1, 0, False), (0, 0, False), (0.26, 0.3, False), (10, 10, False), (10.04, 10, True), (3600, 3600, True)])
def test_a_number_has_its_age_and_is_stale_after_ten_seconds(before_s: float, age_s: float, stale: bool) -> None:
    state = bed()
    state.latest["spo2_pct"] = LatestValue("a", 97, "valid", None, NOW - before_s)
    state.devices = {"a": Device("oximeter", "o", link="live"), "b": Device(
        "oximeter", "o", link="live", own={"spo2_pct": OwnValue(95, NOW - before_s, NOW)})}
    told = views.vitals(state, NOW)
    assert (told.numerics["spo2_pct"].age_s, told.numerics["spo2_pct"].stale) == (age_s, stale)
    assert told.others is not UNSET
    assert [(one.device, one.value, one.age_s, one.stale) for one in told.others] == [("b", 95, age_s, stale)]


@pytest.mark.parametrize(("link", "value", "source", "beside"), [
    ("live", 95, "a", True), ("lost", 95, "a", False), ("live", inf, "a", False), ("live", 95, "b", False),
    ("live", 95, None, False)])
def test_what_another_device_says_stands_beside_the_source(
    link: LinkState, value: float, source: str | None, beside: bool,
) -> None:
    state = bed()
    if source:
        state.latest["spo2_pct"] = LatestValue(source, 97, "valid", None, NOW)
    state.devices["b"] = Device("oximeter", "o", link=link, own={"spo2_pct": OwnValue(value, NOW, NOW)})
    assert (views.vitals(state, NOW).others is not UNSET) is beside


@pytest.mark.parametrize(("pumps", "shown"), [
    ([], None), ([(None, 0.0, None)], None), ([("infusing", 5.04, None)], ("a", "infusing", 5, False)),
    ([("infusing", 10, None)], ("a", "infusing", 10, False)),
    ([("infusing", 10.1, None)], ("a", "infusing", 10.1, True)),
    ([(None, 3, None)], ("a", "unknown", 3, True)), ([("stopped", -1, None)], ("a", "stopped", 0, False)),
    ([("stopped", 1, None), ("infusing", 2, None)], ("b", "infusing", 2, False)),
    ([("stopped", 1, None), ("paused", 2, None)], ("a", "stopped", 1, False)),
    ([("infusing", 1, "carrier"), ("stopped", 2, "drug")], ("b", "stopped", 2, False)),
])
def test_what_the_drug_s_pump_says(
    pumps: list[tuple[PumpState | None, float, PumpRole | None]], shown: tuple[str, str, float, bool] | None,
) -> None:
    state = bed()
    state.devices = {name: Device("pump", "p", pump=pump, role=role, pump_at_s=NOW - before_s if before_s else 0.0)
                     for name, (pump, before_s, role) in zip("ab", pumps, strict=False)}
    now = views.vitals(state, NOW).pump
    assert (None if now is None else (now.device, now.state, now.age_s, now.stale)) == shown


@pytest.mark.parametrize(("gap_s", "boot_s", "opened_s", "shown"), [
    (0.9, 60, 3600, False), (1, 60, 3600, True), (5, 3600, 3600, True), (5, 3601, 3600, False), (5, 1800, 900, True),
    (5, 1800.1, 900, False), (5, 1800, None, True), (5, 1801, None, False),
])
def test_a_time_in_which_nobody_watched_is_shown(
    gap_s: float, boot_s: float, opened_s: float | None, shown: bool,
) -> None:
    state = bed(opened_s=NOW - (opened_s or 0))
    state.boot_s, state.gap_s = NOW - boot_s, gap_s
    state.session = None if opened_s is None else state.session
    gap = views.full(state, NOW).gap
    assert (gap is not None) is shown
    if gap is not None:
        assert (gap.from_, gap.to) == (iso(NOW - boot_s - gap_s), iso(NOW - boot_s))


# --- an alarm ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def raised() -> Alarm:
    story = BedStory().infusing()
    story.bp(186, 100)
    return story.bed.state.alarms["HTN-3"]


def shown(*alarms: Alarm, shelved: bool = False, paused_s: float | None = None) -> list[AlarmNow]:
    state = bed()
    state.alarms = {alarm.key: alarm for alarm in alarms}
    state.audio_paused_until_s = None if paused_s is None else NOW + paused_s
    if shelved:
        state.shelves = {one.key: Shelf(one.key, one.rule, None, "", NOW, NOW + 60, "nina", "") for one in alarms}
    return views.full(state, NOW).alarms


def test_the_most_urgent_stands_first_and_of_those_the_newest(raised: Alarm) -> None:
    alarms = [replace(raised, key=key, id=key, priority=priority, since_s=since_s, state=state)
              for key, priority, since_s, state in (
                  ("old", "high", 1.0, "active"), ("low", "low", 9.0, "active"), ("new", "high", 2.0, "latched"),
                  ("over", "high", 3.0, "inactive"), ("medium", "medium", 4.0, "acknowledged"))]
    assert [one.alarm for one in shown(*alarms)] == ["new", "old", "medium", "low"]


ON, ACKNOWLEDGED = ("on", "on", "on"), ("acknowledged", "acknowledged", "acknowledged")


@pytest.mark.parametrize(("state", "kept", "shelved", "paused_s", "signals"), [
    ("active", "none", False, None, ON), ("active", "none", False, 0.5, ("paused", "on", "on")),
    ("active", "none", False, 0, ON), ("active", "none", True, None, ("paused", "on", "paused")),
    ("acknowledged", "none", False, 9, ACKNOWLEDGED), ("latched", "none", False, None, ("off", "latched", "latched")),
    ("latched", "high", False, None, ("latched", "latched", "latched")),
    ("latched", "high", False, 9, ("paused", "latched", "latched")),
    ("latched", "none", False, 9, ("off", "latched", "latched")),
])
def test_what_is_signalled(
    state: AlarmState, kept: Priority, shelved: bool, paused_s: float | None,
    signals: tuple[SignalState, SignalState, SignalState], raised: Alarm,
) -> None:
    (now,) = shown(replace(raised, state=state, kept_sound=kept), shelved=shelved, paused_s=paused_s)
    audio, visual, remote = signals
    assert now.signals == Signals(audio=audio, visual=visual, remote=remote)
    assert (now.sound, now.shelved_until) == (UNSET if kept == "none" else kept, iso(NOW + 60) if shelved else UNSET)


@pytest.mark.parametrize(("state", "shelved", "told"), [
    ("active", False, True), ("active", True, False), ("acknowledged", False, False), ("latched", False, False)])
def test_who_is_told_next_while_it_calls_for_somebody(
    state: AlarmState, shelved: bool, told: bool, raised: Alarm,
) -> None:
    (now,) = shown(replace(raised, state=state, next_told=Told("prescriber", NOW + 60)), shelved=shelved)
    assert (now.next_told is not UNSET) is told
    (now,) = shown(replace(raised, state=state, next_told=None))
    assert now.next_told is UNSET


def test_what_is_not_there_is_left_out(raised: Alarm) -> None:
    (now,) = shown(replace(raised, text_s=0.0, no_data_since_s=None, told=()))
    assert (now.text_at, now.no_data_since, now.told, now.comments) == (UNSET, UNSET, UNSET, UNSET)
    (now,) = shown(replace(raised, text_s=NOW, no_data_since_s=NOW))
    assert (now.text_at, now.no_data_since) == (iso(NOW), iso(NOW))


@pytest.mark.parametrize(("paused_s", "is_paused"), [(None, False), (0, False), (0.5, True)])
def test_a_pause_is_shown_until_it_is_over(paused_s: float | None, is_paused: bool) -> None:
    state = bed()
    assert views.full(state, NOW).request is None
    state.audio_paused_until_s = None if paused_s is None else NOW + paused_s
    state.request = {"text": "measure", "since_s": NOW}
    now = views.full(state, NOW)
    assert (now.audio_paused_until is not None) is is_paused
    assert now.request is not None and now.request.since == iso(NOW)


# --- the stop of a pump, and the rest ---------------------------------------------------------------------------------

ASKED = Interlock("pump", "anna", NOW - 9, NOW + 111)
STOP = Stop("pump", "a", "RES-3", "low", NOW - 3, NOW + 2)


@pytest.mark.parametrize(("armed", "stop", "state", "since_s", "until_s"), [
    (None, None, None, None, None), (None, STOP, "off", None, None), (ASKED, None, "asked", NOW - 9, NOW + 111),
    (replace(ASKED, second="ben", armed_s=NOW - 5), STOP, "armed", NOW - 5, None),
])
def test_whether_a_stop_is_armed(
    armed: Interlock | None, stop: Stop | None, state: str | None, since_s: float | None, until_s: float | None,
) -> None:
    of_bed = bed()
    of_bed.interlock, of_bed.stop = armed, stop
    now = views.full(of_bed, NOW).interlock
    assert (now is UNSET) is (state is None)
    if now is not UNSET:
        assert (now.device, now.state, now.stop is not None) == ("pump", state, stop is not None)
        assert now.since == (None if since_s is None else iso(since_s))
        assert now.until == (None if until_s is None else iso(until_s))


@pytest.mark.parametrize(("stop", "at_s", "state", "shown_s"), [
    (STOP, 0, "not_sent", -3), (replace(STOP, sent_s=NOW - 2), 0, "sent", -2),
    (replace(STOP, sent_s=NOW - 2), 1.9, "sent", -2),
    (replace(STOP, sent_s=NOW - 2), 2, "unconfirmed", -2), (STOP, 2, "unconfirmed", -3),
    (replace(STOP, sent_s=NOW - 2, confirmed_s=NOW - 1), 9, "confirmed", -1),
])
def test_how_a_stop_stands(stop: Stop, at_s: float, state: str, shown_s: float) -> None:
    of_bed = bed()
    of_bed.stop = stop
    now = views.full(of_bed, NOW + at_s).interlock
    assert now is not UNSET and now.stop is not None
    assert (now.stop.state, now.stop.at) == (state, iso(NOW + shown_s))


@pytest.mark.parametrize(("roles", "shown"), [
    ((None,), [UNSET]), (("drug",), ["drug"]), ((None, None), [UNSET, UNSET]), (("drug", None), ["drug", "carrier"]),
    ((None, "carrier"), ["drug", "carrier"]),
])
def test_what_each_pump_gives(roles: tuple[PumpRole | None, ...], shown: list[Any]) -> None:
    state = bed()
    state.devices = {f"pump-{n}": Device("pump", "p", role=role) for n, role in enumerate(roles)}
    state.devices["cuff"] = Device("nibp", "c", since_s=NOW)
    now = views.full(state, NOW).devices
    assert [one.role for one in now] == [*shown, UNSET]
    assert [one.since for one in now[-2:]] == [None, iso(NOW)]


def test_numbers_are_rounded_to_what_a_person_reads() -> None:
    state = bed(but_for_the_stay_s=NOW - 3000 + 94, delivered_ml=11.1111, primed_ml=1.2345, after_end_ml=2.3456,
                infused_s=61.26, pk=Pk(NOW, 11.1111, (9.87654, 0.0, 0.0, 8.76543)))
    now = views.full(state, NOW).session
    assert now is not None and now.estimate is not None
    assert (now.ready_min, now.dose_mg, now.dose_mg_kg, now.primed_mg, now.after_end_mg, now.infused_s) == (
        1.6, 11.11, 0.159, 1.23, 2.35, 61.3)
    assert (now.estimate.blood_ng_ml, now.estimate.effect_ng_ml) == (80.5, 71.5)
    order = replace(ORDER, weight_kg=None, concentration_mg_ml=None)
    unknown = views.full(bed(order=order, delivered_ml=9.0, after_end_ml=9.0), NOW).session
    assert unknown is not None
    assert (unknown.dose_mg_kg, unknown.after_end_mg, unknown.estimate, unknown.ready_min) == (None, 0, None, None)


def test_of_what_is_entered_the_last_is_shown_and_what_is_not_there_is_left_out() -> None:
    state = bed(check_ins=tuple(CheckIn(NOW - before_s, "nina", moaas=5) for before_s in (90, 30)),
                order=replace(ORDER, nibp_interval_min=7.004), limits=(OwnLimit("spo2_low", 92, "nina", "x", NOW),))
    state.limits = (Limit("resp_low", "", "", "RES-4", 8, 6, 12), Limit("spo2_low", "", "", "RES-2", 90, 85, 94))
    state.devices["cuff"] = Device("nibp", "c", stops=True, ask=True)
    now = views.full(state, NOW)
    assert (now.shelved, now.information, now.devices[0].stops, now.devices[0].ask) == (UNSET, UNSET, True, True)
    assert now.session is not None and now.session.check_in is not None and now.session.order is not None
    assert (now.session.check_in.at, now.session.order.nibp_interval_min) == (iso(NOW - 30), 7)
    assert [one.value for one in now.session.limits] == [None, 92]
    assert (now.session.bp_entered, now.session.quiet) == (UNSET, False)
    state.determinations = [Determination(NOW - before_s, 120.4, 75, by="nina") for before_s in (90, 30)]
    state.information = (Information(NOW, "infusion_ended", "over"),)
    now = views.full(state, NOW)
    assert now.session is not None and now.session.bp_entered is not UNSET and now.information is not UNSET
    assert (now.session.bp_entered.at, now.session.bp_entered.sbp_mmhg) == (iso(NOW - 30), 120)
    state.determinations.append(Determination(NOW, 120, 75))
    now = views.full(state, NOW)
    assert now.session is not None and now.session.bp_entered is UNSET, "a cuff has measured since"
    over = views.full(bed(ended_s=NOW - 3600, check_ins=(CheckIn(NOW - 60, "nina", 5, 2, distress=1),)), NOW).session
    assert over is not None and over.quiet


# --- what is next -----------------------------------------------------------------------------------------------------

ANY = Gate("any", "spo2_pct < 94", "")
POINTS = [OpenPoint(ANY, "now", None, None), OpenPoint(ANY, "due", NOW, None), OpenPoint(ANY, "later", NOW + 0.5, None),
          OpenPoint(ANY, "never mind", NOW + 999, Override("any", NOW, "hall", "her own normal"))]
COURSE = PROTOCOLS.first.course
NEXT: list[tuple[Phase, dict[str, Any], list[tuple[str, str, float | None]]]] = [  # what, its words, and in how long
    ("PRECHECK", {}, [("precheck", "now", None), ("precheck", "due", None), ("precheck", "later", None)]),
    ("READY", {}, [("start", "start the pump", COURSE.ready_for_s)]),
    ("INFUSING", {"infused_s": 2399.0}, [("end", "end of the infusion", 1)]),
    ("INFUSING", {"infused_s": 2500.0}, [("end", "end of the infusion", 0)]),
    ("PAUSED", {}, []),
    ("PAUSED", {"stopped_since_s": NOW - 60}, [
        ("resume", "go on at the pump, or enter that the infusion has ended", COURSE.paused_for_s - 60)]),
    ("RECOVERY", {"ended_s": NOW - 60}, [
        ("leave", "now", None), ("leave", "due", None), ("leave", "may leave at the earliest", 301)]),
    ("DISCHARGE_READY", {"ended_s": NOW - 60}, [("close", "the patient may leave: close the session", None)]),
    ("INFUSING", {"infused_s": 2400.0, "held": Held("nina", "she is anxious", NOW)}, [
        ("held", "held by nina: she is anxious; stop the pump", None), ("end", "end of the infusion", 0)]),
    ("PAUSED", {"held": Held("nina", "she is anxious", NOW)}, [
        ("held", "held by nina: she is anxious; it goes on when a person says so", None)]),
]


@pytest.mark.parametrize(("phase", "change", "expected"), NEXT)
def test_what_is_next_at_a_bed(
    phase: Phase, change: dict[str, Any], expected: list[tuple[str, str, float | None]],
) -> None:
    state = bed(phase=phase, **change)
    found = [(one.what, one.text, one.at) for one in upcoming(state, POINTS, NOW) if one.what not in ("bp", "check_in")]
    assert found == [(what, text, None if in_s is None else iso(NOW + in_s)) for what, text, in_s in expected]
