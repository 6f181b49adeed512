"""The language of stories: a verb for every fact, a background, and one line for what cannot be read or is not so."""

from __future__ import annotations

import pytest

from edge.core.facts import FACTS
from edge.core.rules import RuleSet, parse_rules
from edge.core.stories import Begun, StoryError, run_story, stories_of
from edge.core.story_bed import T0, StoryBed
from edge.model import Input, Samples, WatchPaused
from edge.vocabulary import DETERMINATION, METRICS
from tests.helpers.parts import sampled
from tests.helpers.rule_files import FILE, HERE, PROTOCOLS, RULES

RULE = """
[[rule]]
id = "{id}"
class = "technical"
priority = "low"
context = ["*"]
title = "{id}"
text = "{id}"
clears = "-"
why = "-"
source = "-"
when = "{when}"
"""


TABLES = """[engine]
unwatched_of_s = 60
[interlock]
confirm_s = 5
second_within_s = 120
stops = [{ rule = "ITS-1", priority = "medium" }]
"""


def rules(when: str, *more: str) -> RuleSet:
    return parse_rules(TABLES + RULE.format(id="T-1", when=when) + "\n".join(more)
                       + RULE.format(id="OTHER-1", when="pulse_bpm > 150")
                       + RULE.format(id="ITS-1", when="link_live() and pulse_bpm > 150")
                       .replace('"low"', '"medium"') + 'for_each = ["oximeter"]\n')


BEGUN: Begun = {}


def tell(text: str, by: RuleSet = RULES, of: str | None = None) -> StoryBed:
    return run_story(text, "story.txt", by, of, PROTOCOLS if "protocol" in text else None,
                     begun=BEGUN if by is RULES else None)


OF_METRICS = {
    key: (f"{key} >= {METRICS[key].high / 4:g}", "infusing", f"0:10 {key} {METRICS[key].high / 4:g}")
    for key in METRICS if key not in DETERMINATION
} | {
    "spo2_pct": ("spo2_pct < 90", "infusing", "0:10 spo2 88"),
    "pulse_bpm": ("pulse_bpm > 140", "infusing", "0:10 pulse 141"),
    "sbp_mmhg": ("sbp_mmhg >= 150", "infusing", "0:10 bp 150/80"),
    "dbp_mmhg": ("dbp_mmhg >= 90", "infusing", "0:10 bp 150/90"),
    "map_mmhg": ("map_mmhg >= 100", "infusing", "0:10 bp 150/80/100"),
}
CHECKED_IN = "0:10 check-in moaas=4 cadss=50 anxiety=7 distress=8 nausea=9 symptom=headache"
# fact: (condition, given, what happens so that it becomes true); before, it is not true
BECOMES_TRUE: dict[str, tuple[str, str, str]] = OF_METRICS | {
    "check_in.moaas": ("check_in.moaas == 4", "infusing", CHECKED_IN),
    "check_in.cadss": ("check_in.cadss == 50", "infusing", CHECKED_IN),
    "check_in.anxiety": ("check_in.anxiety == 7", "infusing", CHECKED_IN),
    "check_in.distress": ("check_in.distress == 8", "infusing", CHECKED_IN),
    "check_in.nausea": ("check_in.nausea == 9", "infusing", CHECKED_IN),
    "check_in.age_s": ("check_in.age_s >= 30", "infusing", CHECKED_IN),
    "check_in.upset": ("check_in.upset == 8", "infusing", CHECKED_IN),
    "symptom": ("symptom(seizure)", "infusing", "0:10 check-in moaas=5 symptom=seizure"),
    "symptom_within": ("symptom_within(600, seizure)", "infusing", "0:10 check-in moaas=5 symptom=seizure"),
    "dissociation_open": ("dissociation_open()", "infusing", CHECKED_IN),
    "session.delivered_mg": ("session.delivered_mg >= 1", "infusing", "1:20"),
    "session.infused_s": ("session.infused_s >= 70", "infusing", "1:20"),
    "mean_pressure": ("mean_pressure() >= 100", "infusing", "0:10 bp 140/85"),
    "device_reports": ("device_reports(no_breath)", "infusing", "0:10 alarm oximeter no_breath high"),
    "identical_s": ("identical_s() < 90", "infusing, perfusion_index 4", "0:10 pulse 71"),
    "fall_pct": ("fall_pct(pulse_bpm) > 25", "infusing", "0:10 pulse 52"),
    "cuff_failed_apart_s": ("cuff_failed_apart_s() <= 100", "infusing", "0:10 bp failed leak"),
    "gap_s": ("gap_s() > 5", "infusing", "0:10 restart 10s"),
    "since_gap_s": ("since_gap_s() < 600", "infusing", "0:10 restart 10s"),
    "phase": ("phase(PAUSED)", "infusing", "0:10 pump stopped"),
    "started_unready": ("started_unready()", "precheck", "0:10 checklist open"),
    "session.delivered_pct": ("session.delivered_pct >= 3", "infusing", "1:20"),
    "session.delivered_mg_kg": ("session.delivered_mg_kg >= 0.01", "infusing", "1:00"),
    "session.overrun_s": ("session.overrun_s >= -2330", "infusing", "1:20"),
    "pump.rate_pct": ("pump.rate_pct >= 200", "infusing", "0:10 rate 105"),
    "pump.rate_mg_kg_h": ("pump.rate_mg_kg_h >= 1.5", "infusing", "0:10 rate 105"),
    "programme_differs": ("programme_differs(5)", "infusing", "0:10 vtbi 37"),
    "session.ended_s": ("session.ended_s >= 5", "infusing", "0:10 pump stopped\n0:30 end-infusion enough"),
    "session.dissociation_s": ("session.dissociation_s >= 30", "infusing", CHECKED_IN),
    "session.phase_s": ("session.phase_s >= 70", "infusing", "1:20"),
    "pair": ("pair(sbp_mmhg >= 150)", "infusing", "0:20 bp 150/90\n1:25 bp 151/90"),
    "rise_pct": ("rise_pct(sbp_mmhg) >= 25", "infusing, baseline 120/75", "0:10 bp 150/80"),
    "no_valid_s": ("no_valid_s(spo2_pct) >= 15", "infusing", "0:10 spo2 none sensor_off"),
    "satseconds": ("satseconds(spo2_pct, 90) >= 50", "infusing", "0:10 spo2 85"),
    "violations": ("violations(spo2_pct, 90, 90) >= 2", "infusing", "0:10 spo2 89\n0:15 spo2 95\n0:20 spo2 89"),
    "failed_determinations": ("failed_determinations() >= 2", "infusing", "0:10 bp failed leak; bp failed leak"),
    "link_down": ("link_down()", "infusing", "0:10 link pump lost"),
    "link_live": ("not link_live(oximeter)", "infusing", "0:10 link oximeter silent"),
    "device_alarm": ("device_alarm(vtbi_done)", "infusing", "0:10 alarm pump occlusion high"),
    "last_two_bp": ("last_two_bp(sbp_mmhg >= 130)", "infusing",
                    "0:10 pump stopped\n0:20 end-infusion enough\n0:30 bp 130/80\n1:00 bp 131/80"),
    "last_bp.sbp_mmhg": ("last_bp.sbp_mmhg == 150", "infusing", "0:10 bp 150/90"),
    "last_bp.dbp_mmhg": ("last_bp.dbp_mmhg == 90", "infusing", "0:10 bp 150/90"),
    "alarm_shown": ("alarm_shown()", "infusing", "0:10 pulse 151 -> OTHER-1 active, ITS-1:oximeter active"),
    "session.started_s": ("session.started_s >= 70", "infusing", "1:20"),
    "checklist": ("not checklist()", "infusing", "0:10 checklist open"),
    "link_unstable": ("link_unstable()", "infusing", "0:10 link pump unstable"),
    "own_alarm": ("own_alarm('OTHER', 'ITS')", "infusing", "0:10 pulse 151 -> ITS-1:oximeter active, OTHER-1 active"),
    "unwatched_s": ("unwatched_s() > 30", "infusing", "0:10 pulse none sensor_off"),
    "watched_s": ("watched_s() < 1", "infusing", "0:10 pulse none sensor_off"),
    "standing": ("standing('OTHER')", "infusing", "0:10 pulse 151 -> OTHER-1 active"),
    "infusing": ("not infusing()", "infusing", "0:10 pump stopped"),
    "storage_failing": ("storage_failing()", "infusing", "0:10 storage failing"),
    "clock_skew_s": ("clock_skew_s() > 2", "infusing", "0:10 skew 3"),
    "unheard": ("unheard()", "infusing", "0:10 unheard"),
    "no_console": ("no_console()", "infusing", "0:10 unheard"),
    "record_damaged_s": ("record_damaged_s() < 600", "infusing", "0:10 record damaged"),
    "runs": ("runs()", "precheck", "0:10 pump infusing"),
    "no_word_s": ("no_word_s() >= 30", "infusing", "0:10 pump unknown"),
    "held": ("held()", "infusing", "0:10 hold she is anxious"),
    "stop_unconfirmed": ("stop_unconfirmed()", "infusing, pumps may be stopped",
                         "0:10 arm anna; arm ben; stop ignored\n"
                         "0:20 pulse 151 -> ITS-1:oximeter active, OTHER-1 active"),
    "stray_infusion": ("stray_infusion()", "protocol esketamine_rems", "0:10 pump infusing"),
    "attested": ("attested(gait)", "infusing", "0:10 attest gait yes"),
    "alarms.ended_s": ("alarms.ended_s < 90", "infusing",
                       "0:10 pulse 151 -> ITS-1:oximeter active, OTHER-1 active\n0:20 pulse 70"),
    "last_bp.apart_s": ("last_bp.apart_s == 20", "infusing", "0:10 bp 120/75\n0:30 bp 120/75"),
    "given_unready_s": ("given_unready_s() < 120", "protocol esketamine_rems, precheck",
                        "0:10 checklist open\n0:25 dose 1"),
    "bp_between": ("bp_between(10, 20)", "infusing", "0:10 bp 121/76"),
    "last_spo2.pct": ("last_spo2.pct == 95", "infusing, no oximeter", "0:20 check-in spo2_pct=95"),
    "last_spo2.age_s": ("last_spo2.age_s >= 60", "infusing, no oximeter", "0:20 check-in spo2_pct=95"),
    "measured_or_entered": ("measured_or_entered(pulse_bpm, 60) == 80", "infusing, no oximeter",
                            "0:20 check-in pulse_bpm=80"),
    "spo2_between": ("spo2_between(40, 80)", "infusing", "0:10"),
}
IS_TRUE: dict[str, tuple[str, str]] = {  # fact: (condition, given)
    "bp_overdue_s": ("bp_overdue_s() == 0", "infusing"),
    "spo2_overdue_s": ("spo2_overdue_s() == 0", "protocol esketamine_rems, no oximeter"),
    "differ": ("differ(spo2_pct, 60) == 0", "infusing"),  # a story's bed has one device of a kind
    "check_in.overdue_s": ("check_in.overdue_s == 0", "infusing"),
    "known": ("known(baseline.sbp_mmhg) and not known(session.ended_s)", "infusing"),
    "quiet_check_in": ("not quiet_check_in()", "infusing"),
    "baseline_pair": ("baseline_pair()", "infusing"),
    "last_bp.age_s": ("last_bp.age_s < 60", "infusing"),
    "nibp_pulse_bpm": ("nibp_pulse_bpm == 70", "infusing"),
    "baseline.sbp_mmhg": ("baseline.sbp_mmhg == 131", "infusing, baseline 131/82/97"),
    "baseline.dbp_mmhg": ("baseline.dbp_mmhg == 82", "infusing, baseline 131/82/97"),
    "baseline.map_mmhg": ("baseline.map_mmhg == 97", "infusing, baseline 131/82/97"),
    "baseline.pulse_bpm": ("baseline.pulse_bpm == 95", "infusing, pulse 95"),
    "baseline.spo2_pct": ("baseline.spo2_pct == 96", "infusing, spo2 96"),
    "session.weight_kg": ("session.weight_kg == 80", "infusing, weight 80"),
    "session.age_years": ("session.age_years == 66", "infusing, age 66"),
    "session.dose_mg_kg": ("session.dose_mg_kg == 0.75", "infusing, dose 0.75"),
    "session.dose_mg": ("session.dose_mg == 60", "infusing, dose 0.75, weight 80"),
    "session.duration_s": ("session.duration_s == 3600", "infusing, duration 60"),
    "dissociation.long_s": ("dissociation.long_s < 0", "protocol esketamine_rems"),
    "pump_asked": ("not pump_asked()", "infusing"),
    "by_hand": ("by_hand()", "protocol esketamine_rems"),
    "first_session": ("not first_session()", "infusing, first no"),
    "hypertension": ("hypertension()", "infusing, hypertension yes"),
    "session.nibp_interval_s": ("session.nibp_interval_s == 600", "infusing, nibp 10"),
}


OF_A_DEVICE = {
    "link_down": "pump", "link_unstable": "pump", "device_alarm": "pump", "no_word_s": "pump", "runs": "pump",
    "identical_s": "oximeter",
    "own_alarm": "oximeter", "unwatched_s": "oximeter", "watched_s": "oximeter",
}


def test_every_fact_has_its_row() -> None:
    assert BECOMES_TRUE.keys() | IS_TRUE.keys() == FACTS.keys()


@pytest.mark.parametrize("fact", BECOMES_TRUE)
def test_a_story_can_make_every_fact_true(fact: str) -> None:
    when, given, happens = BECOMES_TRUE[fact]
    device = OF_A_DEVICE.get(fact)
    by = rules(when, f'for_each = ["{device}"]\n' if device else "")
    key = f"T-1:{device}" if device else "T-1"
    tell(f"given {given}\n0:09 -> {key} inactive\n{happens}\n1:30 -> {key} active", by, of="T-1")


@pytest.mark.parametrize("fact", IS_TRUE)
def test_a_story_can_set_what_it_starts_with(fact: str) -> None:
    when, given = IS_TRUE[fact]
    tell(f"given {given}\n0:02 -> T-1 active", rules(when))


BAD = [
    ("0:20 bp 150/90", 1, "a story starts with 'given ...'"),
    ("given nonsense", 1, "cannot read 'nonsense'; write no session, precheck, infusing, protocol NAME,"),
    ("given weight heavy", 1, "weight is a number, not 'heavy'"),
    ("given weight 20", 1, "the session was refused: bad_args: weight_kg must be from 35 to 200 kg"),
    ("given baseline 100/99, infusing", 1, "100/99 is no baseline"),
    ("given infusing\n\n# why\nbp 150/90", 4, "write 'MM:SS what -> expected'"),
    ("given infusing\n0:20 links pump lost", 2, "cannot read 'links pump lost'; did you mean 'link'?"),
    ("given infusing\n0:20 bp 150", 2, "a blood pressure is S/D or S/D/MEAN, not '150'"),
    ("given infusing\n0:20 bp", 2, "write bp S/D[/MEAN], bp failed REASON"),
    ("given infusing\n0:20 spo2 88 for long", 2, "write 'for 20s', not 'for long'"),
    ("given infusing\n0:20 spo2 low", 2, "spo2_pct is a number, not 'low'"),
    ("given infusing\n0:20 link cable lost", 2, "write link pump|cuff|oximeter connecting|live|"),
    ("given infusing\n0:20 pump runs", 2, "write pump infusing|stopped|paused|alarm|unknown, pump silent"),
    ("given infusing\n0:20 alarm pump occlusion urgent", 2, "high, medium or low, not 'urgent'"),
    ("given infusing\n0:20 check-in moaas", 2, "write check-in moaas=5 cadss=2"),
    ("given infusing\n0:20 check-in moas=5", 2, "the command was refused: bad_args"),
    ("given infusing\n0:20 shelve TEC-2:cuff 5min", 2, "write shelve RULE"),
    ("given infusing\n0:20 delegate", 2, "write delegate nurse|prescriber|NAME 10min WHY"),
    ("given infusing\n0:20 device cuff", 2, "write device NAME off 5min WHY or device NAME back"),
    ("given infusing\n0:20 ack HTN-3", 2, "no alarm HTN-3 to acknowledge"),
    ("given infusing, background: quiet\n1:20\n1:05 bp 150/90", 3, "1:05 is in the past: it is 1:20 already"),
    ("given infusing\n0:20 -> HTN-33 active", 2, "no rule is named 'HTN-33'; did you mean 'HTN-3'?"),
    ("given infusing\n0:20 -> TEC-4 active", 2, "write TEC-4:cuff or TEC-4:oximeter or TEC-4:pump, not TEC-4"),
    ("given infusing\n0:20 -> HTN-3 loud", 2, "cannot read 'HTN-3 loud'; write RULE[:device] STATE"),
    ("given infusing\n0:20 -> phase OVER", 2, "write one of PRECHECK, READY, INFUSING"),
    ("given infusing\n0:20 -> dissociation open", 2, "write one of none, expected, observed, resolving, resolved, not"),
    ("given infusing\n0:20 -> HTN-3 high", 2, "cannot read 'HTN-3 high'; write RULE[:device] STATE"),
    ("given infusing\n0:20 -> HTN-3:cuff active", 2, "write HTN-3, not HTN-3:cuff"),
    ("given protocol nasal", 1, "no protocol is named 'nasal'"),
    ("given protocol", 1, "cannot read 'protocol'"),
    ("given protocol esketamine_rems nasal", 1, "cannot read 'protocol esketamine_rems nasal'"),
    ("# nothing\n", 0, "story.txt: an empty story; write 'given ...' and what happens"),
    # and what is read, and is not so
    ("given infusing\n0:20 bp 190/90 -> nothing", 2, "expected nothing, but HTN-3"),
    ("given infusing\n0:20 bp 190/90 -> HTN-3 active low", 2, "expected HTN-3 active low, found HTN-3 active high"),
    ('given infusing\n0:20 bp 190/90 -> HTN-3 text "190/91"', 2, 'found HTN-3 active high text "Blood pressure 190/90'),
    ("given infusing\n0:20 bp 120/75 -> request", 2, "expected a request, got none"),
    ('given infusing\n0:20 bp 146/86 -> request text "at once"', 2, "expected a request that says 'at once', found"),
    ("given infusing, background: quiet\n0:20 -> dose 0.1\n0:21 -> dose 0.2", 3, "expected dose 0.2 mg, found 0.00 mg"),
    ("given infusing, background: quiet\n0:20 -> dose 0.1, primed 0.1\n0:21 -> primed 0.2", 3, "found 0.00 mg"),
    ("given no session\n0:10 -> dose 0.1, primed 0\n0:11 -> dose 0.2", 3, "expected dose 0.2 mg, found 0.00 mg"),
    ("given infusing\n1:00 -> dose 0.9, primed 0\n1:01 -> primed 0.9", 3, "expected primed 0.9 mg, found 0.00 mg"),
    ("given infusing\n0:20 -> HTN-3 active", 2, "found HTN-3 inactive none; shown: nothing"),
    ("given no session\n0:10 -> phase READY", 2, "expected phase READY, found no session"),
    ("given no session\n0:10 -> dissociation none", 2, "expected dissociation none, found no session"),
    ("given infusing\n0:20 bp 146/86 -> no request", 2, "expected no request, but 'Blood pressure 146/86"),
    ("given infusing\n0:20 -> shelved TEC-2:cuff", 2, "shelved nothing"),
    ("given infusing\n0:20 -> not delegated nobody", 2, "expected not delegated nobody, found delegated nobody"),
    ("given infusing\n0:20 -> sound high", 2, "expected sound high, found sound none"),
    ("given infusing\n0:20 bp 190/90 -> HTN-3 active, sound low", 2, "expected sound low, found sound high"),
    ("given infusing\n0:20 bp 190/90 -> HTN-3 not told nurse, HTN-3 told box", 2, "found HTN-3 told nurse"),
    ("given infusing\n0:20 bp 190/90 -> HTN-3 commented", 2, "expected HTN-3 commented, found HTN-3 commented []"),
    ("given infusing\n0:20 -> reminder", 2, "expected reminder, found reminder []"),
    ("given infusing\n0:20 -> bed story, bed story-2", 2, "expected bed story-2, found bed story"),
    ('given infusing\n0:20 -> next "end of the", next "home"', 2, "found next ['blood pressure'"),
    ("given infusing\n0:20 -> no next", 2, "expected no next, found next ['blood pressure'"),
    ("given infusing\n0:20 -> interlock armed", 2, "expected interlock armed, found interlock off"),
    ("given infusing\n0:20 -> stop sent", 2, "expected stop sent, found stop none"),
    ("given infusing\n0:20 -> phase RECOVERY", 2, "expected phase RECOVERY, found INFUSING"),
    ("given infusing\n5:00 -> dissociation none", 2, "expected dissociation none, found expected"),
    ('given precheck\n0:10 -> open "checklist"', 2, "expected 'checklist' to be open, found []"),
    ('given precheck\n0:10 checklist open -> not open "checklist"', 2, "expected 'checklist' not to be open, found ["),
    ('given infusing\n0:20 close-session -> refused "no_session"', 2, "a refusal 'no_session', found 'not_now"),
    ("given infusing\n0:20 bp 190/90 -> HTN-3 active no data", 2, "HTN-3 active no data, found HTN-3 active high"),
]


@pytest.mark.parametrize(("text", "line", "says"), BAD, ids=[f"{text!r}"[-30:] for text, _, _ in BAD])
def test_what_cannot_be_read_or_is_not_so_is_one_line(text: str, line: int, says: str) -> None:
    with pytest.raises(StoryError) as wrong:
        tell(text)
    assert str(wrong.value).startswith(f"story.txt:{line}: " if line else "story.txt: "), wrong.value
    assert says in str(wrong.value)
    assert "\n" not in str(wrong.value)


def test_a_check_in_is_entered_every_ten_minutes_by_itself() -> None:
    bed = tell("given infusing, nibp 30\n0:02")
    bed.at_s = T0 + 597
    for _ in range(5):
        bed.pass_second()
    assert bed.bedside.state.session is not None
    assert [one.at_s - T0 for one in bed.bedside.state.session.check_ins] == [600]


def test_lines_are_counted_from_the_start_of_the_file() -> None:
    first, second = stories_of("given infusing\n1:00\n===\n# two\ngiven infusing\n1:00 bp\n")
    tell(first)
    with pytest.raises(StoryError, match=r"story.txt:6: write bp"):
        tell(second)


def test_quoted_words_may_hold_the_marks_of_the_language() -> None:
    tell('given infusing\n0:20 bp 190/90 -> HTN-3 text "190/90 mmHg: severe", HTN-3 active  # "done"')
    with pytest.raises(StoryError, match="'a, b; c # d -> e'"):
        tell('given infusing\n0:20 -> open "a, b; c # d -> e"')


def test_expect_says_the_same_as_an_arrow() -> None:
    tell('given infusing\n0:20 bp 190/90\n0:21 expect HTN-3 active high text "190/90"\n0:22 -> expect HTN-3 active')


# --- what goes on by itself -------------------------------------------------------------------------------------------


def test_in_the_background_cuff_pump_and_check_ins_go_on() -> None:
    bed = tell("given protocol iv_racemic_40, infusing, baseline 118/70\n10:00")
    state = bed.bedside.state
    assert [(one.sbp_mmhg, one.dbp_mmhg, one.at_s - T0) for one in state.determinations[2:]] == [
        (118, 70, 300), (118, 70, 600)]
    assert state.session is not None
    assert [one.at_s - T0 for one in state.session.check_ins] == [600]
    assert state.session.delivered_mg == pytest.approx(35 / 2400 * 601, abs=0.001), "from the second before"
    assert state.session.opened_s == T0 - 120
    assert state.latest["resp_bpm"].value == 14


def heard_in(text: str) -> list[tuple[float, Input]]:
    """Every input of the story's bed, with its time after the infusion's start."""
    found: list[tuple[float, Input]] = []
    run_story(text, "story.txt", RULES, heard=lambda given, at_s: found.append((at_s - T0, given)))
    return found


def test_a_device_whose_cable_is_out_sends_nothing_and_one_without_a_number_sends_no_frame() -> None:
    heard = heard_in("given infusing, background: quiet\n0:10 link oximeter lost\n0:14")
    sent = [(at_s, one) for at_s, one in heard if isinstance(one, Samples) and at_s > 0]
    assert {one.device for at_s, one in sent if at_s > 10} == {"pump"}
    assert {one.device for _, one in sent} == {"pump", "oximeter"} and all(one.samples for _, one in sent)


def test_a_machine_that_slept_tells_its_bed_so_when_it_is_awake() -> None:
    heard = heard_in("given infusing, background: quiet\n0:10 pause 20s -> TEC-7 active")
    assert [(at_s, one.gap_s) for at_s, one in heard if isinstance(one, WatchPaused)] == [(30, 20)]


@pytest.mark.parametrize("given", ["infusing", "infusing, cuff by wire"])
def test_the_cuff_measures_when_it_is_due_and_never_before_the_start_or_in_a_quiet_background(given: str) -> None:
    def measured(text: str) -> list[float]:
        return [at_s for at_s, one in heard_in(text)
                if isinstance(one, Samples) and one.device == "cuff" and at_s > -30]

    assert measured(f"given {given}, nibp 2\n2:00") == [120]
    assert measured(f"given {given}, nibp 2, background: quiet\n2:00") == []


def test_a_second_pump_counts_what_it_gives_in_an_hour_and_each_event_has_its_number() -> None:
    bed = tell("given infusing, two pumps, role pump drug, role pump-2 carrier, background: quiet\n0:01")
    bed.second_pump, bed.second_rate_ml_h = "infusing", 360.0
    bed.pass_until(bed.at_s + 100)
    assert bed.second_ml == pytest.approx(10.0 - 0.1)
    assert bed.seq == len(bed.pending_events) > 0
    assert bed.other is None


@pytest.mark.slow
def test_the_infusion_ends_by_itself_when_the_dose_is_in() -> None:
    tell("given infusing\n40:00 -> phase INFUSING\n40:10 -> phase RECOVERY")
    tell("given infusing, background: quiet\n41:00 -> phase INFUSING, DIS-4 active")


def test_a_quiet_background_has_no_cuff_no_check_ins_and_no_volume() -> None:
    bed = tell("given infusing, background: quiet\n11:00")
    state = bed.bedside.state
    assert state.session is not None
    assert (len(state.determinations), len(state.session.check_ins), state.session.delivered_mg) == (2, 0, 0)
    assert state.latest.keys() & {"spo2_pct", "resp_bpm"} == {"spo2_pct"}


def test_what_a_story_speaks_for_goes_on_no_more_until_it_is_given_back() -> None:
    state = tell("given infusing\n5:00 bp 121/76\n8:00 check-in moaas=5\n9:00 bp auto 122/77\n15:00").bedside.state
    found = [(one.sbp_mmhg, one.at_s - T0) for one in state.determinations[2:]]
    assert found == [(121, 300), (122, 540), (122, 840)]
    assert state.session is not None
    assert [one.at_s - T0 for one in state.session.check_ins] == [480]


# --- whose story it is ------------------------------------------------------------------------------------------------

OWN = RULE.format(id="CLINIC-1", when="pulse_bpm > 100")


def test_a_rule_that_a_clinic_adds_breaks_no_story_of_another() -> None:
    story = "given infusing, pulse 105\n0:20 bp 190/90 -> HTN-3 active\n3:00 bp 120/75 -> HTN-3 latched\n" \
            "3:30 ack HTN-3 -> nothing"
    with_own = parse_rules(FILE.read_text() + OWN)
    tell(story, with_own, of="HTN-3")
    with pytest.raises(StoryError, match="expected nothing, but CLINIC-1"):
        tell(story, with_own)


def test_one_that_joins_the_group_or_asks_for_the_rule_counts() -> None:
    story = "given infusing, pulse 105\n0:20 bp 190/90 -> HTN-3 active"
    joins = parse_rules(FILE.read_text() + OWN + 'group = "HTN"\ntier = 9\n')
    with pytest.raises(StoryError, match="expected HTN-3 active, found HTN-3 inactive"):
        tell(story, joins, of="HTN-3")
    asks = parse_rules(FILE.read_text() + RULE.format(id="CLINIC-2", when="standing('HTN-3')"))
    with pytest.raises(StoryError, match="nobody expected CLINIC-2"):
        tell(story, asks, of="HTN-3")


@pytest.mark.parametrize("rule", sampled([("RES-3",), ("HTN-2",), ("TEC-4",)], 3))
def test_the_default_stories_are_told_by_their_own_family_too(rule: str) -> None:
    with_own = parse_rules(FILE.read_text() + OWN.replace("pulse_bpm > 100", "pulse_bpm > 1"))
    first = next(stories_of((HERE / "stories" / f"{rule}.txt").read_text()))
    run_story(first, f"{rule}.txt", with_own, of=rule)


@pytest.mark.parametrize("page", ["README.md", "tests/README.md"])
def test_the_stories_that_documents_show_come_true(page: str) -> None:
    text = (FILE.parent.parent / page).read_text()
    shown = [block for block in text.split("```")[1::2] if "\ngiven " in block]
    assert shown
    for block in shown:
        tell(block)
