"""What a person may ask: the limits of every argument at the limit and just beyond it, and the line that refuses."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.contract.commands import (
    MAX_NOTE,
    MAX_REASON,
    MAX_SYMPTOM,
    VERBS,
    Acknowledge,
    BadCommand,
    CheckIn,
    StartSession,
    arguments,
    parse,
)

ORDER: dict[str, Any] = {"session": "session-1", "weight_kg": 70, "dose_mg_kg": 0.5, "duration_min": 40,
                         "concentration_mg_ml": 1}

# verb, argument, the least and the most that can be meant, one step
LIMITS: list[tuple[str, str, float, float, float]] = [
    ("start_session", "weight_kg", 35, 200, 0.1), ("start_session", "dose_mg_kg", 0.1, 1, 0.01),
    ("start_session", "duration_min", 30, 120, 1), ("start_session", "concentration_mg_ml", 0.2, 10, 0.1),
    ("start_session", "nibp_interval_min", 2, 30, 1), ("start_session", "age_years", 18, 110, 1),
    ("check_in", "moaas", 0, 5, 1), ("check_in", "cadss", 0, 92, 1), ("check_in", "anxiety", 0, 10, 1),
    ("check_in", "distress", 0, 10, 1), ("check_in", "nausea", 0, 10, 1), ("start_session", "dose_mg", 1, 500, 1),
    ("shelve", "minutes", 1, 30, 1), ("give_dose", "devices", 1, 6, 1), ("give_dose", "minutes_ago", 0, 60, 1),
    ("amend_order", "weight_kg", 35, 200, 0.1), ("amend_order", "dose_mg_kg", 0.1, 1, 0.01),
    ("amend_order", "duration_min", 30, 120, 1), ("amend_order", "concentration_mg_ml", 0.2, 10, 0.1),
    ("amend_order", "dose_mg", 1, 500, 1), ("amend_order", "nibp_interval_min", 2, 30, 1),
    ("set_limit", "value", 0, 1000, 0.1), ("check_in", "spo2_pct", 30, 100, 1),
    ("check_in", "resp_bpm", 0, 60, 1), ("check_in", "pulse_bpm", 0, 300, 1),
    ("check_in", "sbp_mmhg", 40, 300, 1), ("check_in", "dbp_mmhg", 20, 200, 1),
    ("device_off", "minutes", 1, 10, 0.1), ("delegate", "minutes", 1, 60, 1), ("maintain", "minutes", 1, 60, 1),
]


@pytest.mark.parametrize(("verb", "name", "least", "most", "step"), LIMITS)
def test_a_number_is_taken_at_its_limit_and_refused_beyond(verb: str, name: str, least: float, most: float,
                                                            step: float) -> None:
    base = {"start_session": ORDER, "give_dose": {"devices": 1},
            "shelve": {"alarm": "a1", "seq": 1, "reason": "the patient walks"},
            "amend_order": {"prescriber": "Dr Hall", "reason": "no response yet", "weight_kg": 70},
            "delegate": {"to": "nina", "reason": "a second bed"},
            "maintain": {"device": "cuff", "minutes": 5, "reason": "a new hose"},
            "check_in": {"sbp_mmhg": 300, "dbp_mmhg": 20},
            "set_limit": {"limit": "spo2_low", "reason": "lung disease"},
            "device_off": {"device": "oximeter", "minutes": 5, "reason": "to the toilet"}}.get(verb, {})
    for value in (least, most):
        assert getattr(parse(verb, {**base, name: value}), name) == value
    for value in (least - step, most + step, float("nan"), 10**400):
        with pytest.raises(BadCommand, match=rf"bad_args: {name} must be .*from {least:g} to {most:g}") as bad:
            parse(verb, {**base, name: value})
        assert bad.value.where == name


def test_every_number_of_every_verb_is_in_the_table_above() -> None:
    bounded = {(verb, each.name) for verb in VERBS for each in arguments(verb) if each.most is not None}
    assert bounded == {(verb, name) for verb, name, *_ in LIMITS}


# verb, arguments, the line that refuses
REFUSED: list[tuple[str, dict[str, Any], str]] = [
    ("start_session", {**ORDER, "concentration_mg_ml": 50},
     "bad_args: concentration_mg_ml must be from 0.2 to 10 mg/mL, not 50; an undiluted vial must never run"),
    ("start_session", {**ORDER, "weight_kg": "70"}, "bad_args: weight_kg must be a number, not '70'"),
    ("start_session", {**ORDER, "weight_kg": True}, "bad_args: weight_kg must be a number, not True"),
    ("start_session", {**ORDER, "age_years": 17},
     "bad_args: age_years must be from 18 to 110 years, or left out, not 17"),
    ("start_session", {**ORDER, "session": "short"},
     "bad_args: session must be an id of 8 to 64 letters and digits, not 'short'"),
    ("start_session", {**ORDER, "checklist": "yes"},
     "bad_args: checklist must be true or false, or left out, not 'yes'"),
    ("start_session", {}, "bad_args: session must be an id of 8 to 64 letters and digits, not None"),
    ("checklist", {}, "bad_args: done must be true or false, not None"),
    ("check_in", {"moaas": 2.5}, "bad_args: moaas must be a whole number from 0 to 5, or left out, not 2.5"),
    ("check_in", {"moas": 3}, "bad_args: moas is not one; check_in takes anxiety, cadss, dbp_mmhg, distress, gone,"
                              " moaas, nausea, note, pulse_bpm, resp_bpm, sbp_mmhg, spo2_pct, symptoms"),
    ("check_in", {"symptoms": "dizzy"},
     "bad_args: symptoms must be a list of words of at most 40 characters, or left out, not 'dizzy'"),
    ("check_in", {"symptoms": ["pale", ""]},
     "bad_args: '' is no symptom; symptoms must be a list of words of at most 40 characters"),
    ("check_in", {"note": "x" * (MAX_NOTE + 1)}, "bad_args: note must be at most 500 characters, not 501"),
    ("check_in", {"note": " "}, "bad_args: an empty check-in says nothing: enter a score, a symptom or a note"),
    ("close_session", {"reason": " \t"}, "bad_args: reason must not be blank"),
    ("close_session", {"reason": "x" * (MAX_REASON + 1)}, "bad_args: reason must be at most 200 characters, not 201"),
    ("end_infusion", {"reason": 5}, "bad_args: reason must be text, or left out, not 5"),
    ("acknowledge", {"alarm": "a"}, "bad_args: seq must be a whole number from 0 up, not None"),
    ("audio_pause", {"seconds": 600}, "bad_args: seconds is not one; audio_pause takes none"),
    ("set_rate", {"rate_ml_h": 100},
     "unknown_verb: 'set_rate'; write one of acknowledge, amend_order, arm_interlock, attest, audio_pause, "
     "audio_resume, check_in, checklist, close_session, comment, delegate, device_back, device_off, disarm_interlock, "
     "dissociation, drug_channel, end_infusion, give_dose, hold, maintain, maintenance_over, measure_bp, "
     "move_session, override_gate, rebaseline, set_limit, shelve, start_session, undelegate, unhold, unshelve"),
    ("attest", {"what": "balance", "so": True},
     "bad_args: what must be one of escort, oriented, no_dissociation, gait, fluids, mood, not 'balance'"),
    ("attest", {"what": "escort"}, "bad_args: so must be true or false, not None"),
    ("override_gate", {"gate": "escort"}, "bad_args: reason must be text, not None"),
    ("amend_order", {"prescriber": "Dr Hall", "reason": "no response yet"},
     "bad_args: an amendment changes something: weight, dose, duration, concentration or cuff interval"),
    *(("rebaseline", {"reason": reason}, f"reason_needed: {reason!r} is no reason; say why, in words of your own")
      for reason in ("ok", "Discharged", " done. ", "N/A", "-", "Clinical  judgement")),
    ("comment", {"alarm": "a", "comment": "\u200b\u202e"}, "bad_args: comment must not be blank"),
    ("comment", {"alarm": "a", "comment": "x" * (MAX_NOTE + 1)},
     "bad_args: comment must be at most 500 characters, not 501"),
    *(("delegate", {"to": to, "minutes": 5, "reason": "lunch"},
       f"bad_args: to must be a nurse or a prescriber, by role or by name, not {to!r}")
      for to in ("technician", " Box", "nobody")),
    ("start_session", {"session": "session-1"}, "bad_args: weight_kg must be a number, not None"),
    ("give_dose", {"devices": 2, "lots": [""]},
     "bad_args: '' is no lot number; lots must be a list of words of at most 40 characters"),
]


@pytest.mark.parametrize(("verb", "args", "line"), REFUSED)
def test_what_cannot_be_meant_is_refused_in_one_line(verb: str, args: dict[str, Any], line: str) -> None:
    with pytest.raises(BadCommand) as bad:
        parse(verb, args)
    assert str(bad.value) == line


def test_what_is_left_out_is_none_and_null_is_left_out() -> None:
    assert parse("check_in", {"moaas": 4, "cadss": None}) == CheckIn(moaas=4)
    assert parse("start_session", ORDER) == StartSession(
        session="session-1", weight_kg=70, dose_mg_kg=0.5, duration_min=40, concentration_mg_ml=1)
    assert parse("start_session", {"session": "session-1", "dose_mg": 56}) == StartSession(
        session="session-1", dose_mg=56), "a dose given by hand needs no weight and no pump"
    assert parse("acknowledge", {"alarm": "a", "seq": 0}) == Acknowledge(alarm="a", seq=0)
    assert parse("check_in", {"symptoms": ["ö" * MAX_SYMPTOM], "note": "ö" * MAX_NOTE})
    assert parse("close_session", {"reason": "x" * MAX_REASON})


def test_a_whole_number_may_be_written_with_a_point() -> None:
    assert parse("check_in", {"cadss": 50.0}) == CheckIn(cadss=50)
    assert type(parse("acknowledge", {"alarm": "a", "seq": 7.0}).seq) is int  # type: ignore[attr-defined]


JSON = st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=600),
                    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3))
NAMES = sorted({each.name for verb in VERBS for each in arguments(verb)})


@pytest.mark.slow
@given(st.sampled_from([*VERBS, "", "x\n"]), st.dictionaries(st.sampled_from(NAMES) | st.text(max_size=9), JSON))
def test_whatever_comes_is_taken_or_refused_in_one_short_line(verb: str, args: dict[str, Any]) -> None:
    try:
        asked = parse(verb, args)
    except BadCommand as bad:
        line = str(bad)
        assert line.isprintable() and len(line) < 500
    else:
        assert type(asked) is VERBS[verb]


def test_only_who_treats_the_patient_may_ask_and_nothing_starts_or_sets_a_pump() -> None:
    others = {verb: asked.roles for verb, asked in VERBS.items() if asked.roles != {"nurse", "prescriber"}}
    assert others == {"comment": {"nurse", "prescriber", "technician"}, "maintain": {"technician"},
                      "maintenance_over": {"nurse", "prescriber", "technician"}, "set_limit": {"prescriber"}}
    assert not [verb for verb in VERBS if any(word in verb for word in ("rate", "pump", "bolus", "resume_infusion"))]
