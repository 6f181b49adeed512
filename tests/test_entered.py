"""What a nurse enters with a check-in, and each rule that judges it: a table, at each limit and a unit short of it."""

from __future__ import annotations

import pytest

from edge.contract.commands import CheckIn
from edge.core.rules import parse_rules
from edge.core.stories import run_story
from tests.helpers.rule_files import FILE, PROTOCOLS, RULES

NONE = "-"
PROBE_OFF = "given infusing, background: quiet\n0:10  spo2 none sensor_off\n"
TABLE = """
spo2_pct   94  -       | 93  RES-1 low  | 90 RES-1 low | 89 RES-2 medium | 85 RES-2 medium | 84 RES-3 high
resp_bpm    8  -       |  7  RES-4 medium | 5 RES-4 medium | 4 RES-5 high | 0 RES-5 high
pulse_bpm 120  -       | 121 CAR-1 medium | 140 CAR-1 medium | 141 CAR-2 high | 55 - | 49 CAR-3 medium | 39 CAR-4 high
sbp_mmhg   179/109 -   | 150/110 HTN-2 medium | 180/100 HTN-3 high | 150/119 HTN-2 medium | 150/120 HTN-3 high
dbp_mmhg   80/60 -     | 79/60 CAR-5 high
moaas       4  -       |  3  SED-1 medium | 2 SED-1 medium | 1 SED-2 high | 0 SED-2 high
anxiety     6  -       |  7  DIS-3 medium | 10 DIS-3 medium
distress    6  -       |  7  DIS-3 medium | 10 DIS-3 medium
nausea     10  -
cadss      92  -
"""
ROWS = {line.split()[0]: line.split(None, 1)[1] for line in TABLE.strip().splitlines()}
NOT_NUMBERS = {"symptoms", "gone", "note"}  # symptoms: stories/SYM-1.txt, HTN-4.txt and DIS-3.txt


def test_the_table_has_every_number_that_can_be_entered() -> None:
    assert set(ROWS) == set(CheckIn.__struct_fields__) - NOT_NUMBERS


@pytest.mark.parametrize("key", ROWS)
def test_what_is_entered_raises_what_the_table_says_and_nothing_else(key: str) -> None:
    """`run_story` fails where an alarm sounds that the story does not name."""
    for cell in ROWS[key].split("|"):
        value, *expected = cell.split()
        alarm = "nothing" if expected == [NONE] else f"{expected[0]} active {expected[1]}"
        entered = f"{key}={value}" if "/" not in value else "sbp_mmhg={} dbp_mmhg={}".format(*value.split("/"))
        bed = run_story(f"{PROBE_OFF}0:15  check-in {entered} -> {alarm}\n",
                        key, RULES, protocols=PROTOCOLS)
        raised = {one.rule for one in bed.alarms.values() if one.state == "active"}
        assert raised == set(expected[:1]) - {NONE}, cell


def test_an_alarm_by_entry_says_who_entered_it_when_and_what_of_it_is_evidence() -> None:
    bed = run_story(f"{PROBE_OFF}0:15  check-in spo2_pct=84 -> RES-3 active\n", "said", RULES, protocols=PROTOCOLS)
    body = bed.alarms["RES-3"].body
    assert body is not None
    assert body.text == "SpO₂ 84 %: very low oxygen saturation, entered by nurse at 08:00 UTC"
    assert body.limit == "85 % for 10 s; one that a person enters counts at once"
    assert [(one.metric, one.value) for one in body.evidence] == [("spo2_pct", 84.0)]
    assert bed.bedside.state.latest["spo2_pct"].value is None  # no live number


def test_rules_that_do_not_say_for_how_long_look_at_no_entry() -> None:
    """As in 0.1.0: so a journal that was judged by such rules is judged alike."""
    silent = parse_rules("\n".join(line for line in FILE.read_text().splitlines() if "entered_for_s" not in line))
    run_story(f"{PROBE_OFF}0:15  check-in spo2_pct=84 -> nothing\n", "as before", silent, protocols=PROTOCOLS)


def test_a_blood_pressure_by_hand_is_a_determination_with_its_author_and_no_live_number() -> None:
    """It pairs with the cuff's, is due no more, ends what it raised, and leaves the cuff's own failures as they are."""
    story = ("given infusing, background: quiet\n0:10  bp failed cuff_leak; bp failed cuff_leak -> TEC-2:cuff active\n"
             "1:00  check-in sbp_mmhg=165 dbp_mmhg=90 -> HTN-2 inactive, TEC-2:cuff active\n"
             "2:00  check-in sbp_mmhg=165 dbp_mmhg=90 -> HTN-2 active medium text \"165/90 mmHg\", TEC-2:cuff active\n"
             "3:00  check-in sbp_mmhg=130 dbp_mmhg=80 -> HTN-2 latched\n"
             "4:00  check-in sbp_mmhg=100 dbp_mmhg=95 -> refused \"100/95 mmHg is no blood pressure\"\n"
             "4:10  check-in sbp_mmhg=100 -> refused \"two numbers\"\n")
    bed = run_story(story, "by hand", RULES, protocols=PROTOCOLS)
    body = bed.alarms["HTN-2"].body
    assert body is not None
    assert body.text.endswith(", entered by nurse at 08:02 UTC")
    assert bed.bedside.state.latest["sbp_mmhg"].value is None


NOW_SAID = [
    ("an entry beside a finger that measures is what raised it",
     "0:15  check-in spo2_pct=84 -> RES-3 active text \"SpO₂ 84 %\""),
    ("a finger that measures speaks for itself, whatever is entered beside it",
     "0:10  spo2 88\n0:40  check-in spo2_pct=87\n1:20  -> RES-2 active text \"SpO₂ 88 %\""),
    ("where nothing is measured any more, the entry is what is known",
     "0:10  spo2 88\n0:40  spo2 none sensor_off; check-in spo2_pct=86 -> RES-2 active\n"
     "1:20  -> RES-2 active text \"SpO₂ 86 %\", TEC-1:oximeter active"),
    ("an entry that ends it is what it says at its end",
     "0:10  spo2 none sensor_off\n0:15  check-in spo2_pct=89 -> RES-2 active\n"
     "0:20  check-in spo2_pct=95 -> RES-2 inactive text \"SpO₂ 95 %: 92 % or more again, entered by nurse\""),
]


@pytest.mark.parametrize(("why", "story"), NOW_SAID)
def test_an_alarm_says_the_number_that_it_rests_on(why: str, story: str) -> None:
    run_story(f"given infusing, background: quiet\n{story}\n", why, RULES, protocols=PROTOCOLS)
