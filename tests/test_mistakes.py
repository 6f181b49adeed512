"""Mistakes of a clinic's engineer that can be read and would never do what was meant: refused in one line with file,
line and what to write instead. What a journal has recorded is replayed as it was.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from edge.app.files import read_protocols, read_rules
from edge.cli.protocols import check_protocols
from edge.core import mistakes
from edge.core.expression import compile_condition
from edge.core.mistakes import ends_as_it_begins
from edge.core.rules import parse_rules
from edge.core.wording import apart
from edge.process import BadUsage
from tests.helpers.rule_files import FILE, RULES

OWN = """
[[rule]]
id = "CO2-1"
title = "High end-tidal CO2"
class = "physiological"
priority = "medium"
context = ["INFUSING", "RECOVERY"]
when = "etco2_mmhg > 60"
hold_s = 30
clear = "etco2_mmhg < 55"
text = "EtCO2 {etco2_mmhg} mmHg: high"
clears = "below 55"
why = "Look at the breathing."
source = "The clinic's own."
"""
THIRD = """
[[protocol]]
id = "im_ketamine"
title = "Ketamine into the muscle"
like = "iv_racemic_40"
source = "The clinic's own."

[[protocol.schedule.cuff]]
when = "phase(INFUSING, PAUSED)"
every_min = 7

[[protocol.discharge]]
id = "after_the_end"
open = "not known(session.ended_s) or session.ended_s < 5400"
words = "90 minutes after the end"
"""
RULES_TEXT, PROTOCOLS_TEXT = FILE.read_text(), FILE.with_name("protocols.toml").read_text()


def refused(tmp_path: Path, name: str, text: str) -> str:
    """What is said of this file: the line's own text, and the words."""
    file = tmp_path / name
    file.write_text(text)
    with pytest.raises(BadUsage) as caught:
        (read_rules if name == "rules.toml" else read_protocols)(file)
    _, line, words = str(caught.value).removeprefix(str(tmp_path)).split(":", 2)
    return f"{text.splitlines()[int(line) - 1].split(' =')[0]}:{words}"


@pytest.mark.parametrize(("was", "now", "said"), [
    ("> 60", "> 60 mmHg", "when: CO2-1: cannot read 'etco2_mmhg > 60 mmHg': invalid syntax; write a number alone"),
    ("etco2_mmhg > 60", "etco2_mmhg = 60", "== for what must be the same"),
    ("etco2_mmhg > 60", "etco2_mmhg > 60 AND resp_bpm < 8", "write and, or, not, in small letters"),
    ("etco2_mmhg > 60", "etco2_mmhg ≥ 60", "write >= for ≥"),
    ("etco2_mmhg > 60", "(etco2_mmhg > 60", "close each bracket"),
    ("> 60", "> 60,5", "a comma parts 'etco2_mmhg > 60, 5'; write a point in a number, as in 0.5"),
    ('"etco2_mmhg > 60"', '"etco2_mmhg > 60', "when: is not TOML"),
    ("etco2_mmhg > 60", "rise_pct(etco2_mmhg) > 20", "when: CO2-1: rise_pct(etco2_mmhg): nobody takes a baseline"),
    ("> 60", "> 151", "'etco2_mmhg > 151': etCO₂ is from 0 to 150 mmHg; write a limit within that"),
    ("etco2_mmhg > 60", "link_down()", "when: CO2-1: link_down(...) asks a device, and this rule is of none; write"),
    ("etco2_mmhg > 60", "device_alarm()", "device_alarm(...) asks a device, and this rule is of none"),
    ("etco2_mmhg > 60", "etco2_mmhg > 60 and standing('CO2-1')", "CO2-1: it asks for its own alarm"),
    ("< 55", "< 62", "clear: CO2-1: clear is true while the rule's own condition is, at etCO₂ 61: the alarm would end"),
])
def test_of_a_rule_over_a_capnometer(was: str, now: str, said: str, tmp_path: Path) -> None:
    assert said in refused(tmp_path, "rules.toml", RULES_TEXT + OWN.replace(was, now, 1))


@pytest.mark.parametrize(("was", "now", "said"), [
    ('clear = "spo2_pct >= 88"', 'clear = "spo2_pct >= 84"', "clear: RES-3: clear is true while"),
    ("sbp_least_mmhg = 40", "sbp_least_mmhg = 300", "sbp_least_mmhg: [engine]: sbp_least_mmhg must not be above"),
    ("most = 97\n", "most = 101\n", "spo2_low: 'spo2_pct < 101.0': SpO₂ is from 0 to 100 %; write a limit"),
    ("moves = [95]\n", "", "spo2_low: with 97 the alarm of RES-1 would end as it begins, at SpO₂ 95; name the number"),
    ("pair_apart_s = 60", "pair_apart_s = 601", "pair_apart_s must not be above pair_within_s"),
    ("[engine]\n", "[engine\n", "is not TOML: Expected ']'"),
    ("tier = 3", "tier = 0", "tier: HTN-1: it would hide HTN-3, more urgent and with a lower tier of group 'HTN'"),
    ('priority = "high", when = "session.overrun_s > 300"', 'priority = "medium", when = "session.overrun_s > 300"',
     "raise: INF-6: raise 1 is no more urgent than the rule itself, which is 'medium'"),
    ('id = "RES-3"\n', 'id = "RES-3"\nat_once_limit = "80"\n', "at_once_limit: RES-3: nothing raises it at once"),
    ('id = "RES-3"\n', 'id = "RES-3"\nfor_bed = true\n', "for_bed: RES-3: without for_each the alarm is the bed's"),
    ('id = "RES-3"\n', 'id = "RES-3"\nfor_each = ["oximeter"]\n', "group: RES-3: an alarm for each device is in no"),
    ('group = "RES"\ntier = 3\n', "tier = 3\n", "tier: RES-3: a tier is of a group; write the group, too"),
    ('id = "RES-3"\n', 'id = "RES-3"\ndevice_priority = true\n', "device_priority: RES-3: its condition passes no"),
    ("request = true\n", "request = true\nhold_s = 30\n", "hold_s: HTN-R: a request is made at once"),
    ("request = true\n", "", "priority: HTN-R: nobody would be told of an alarm without priority"),
])
def test_of_a_changed_default(was: str, now: str, said: str, tmp_path: Path) -> None:
    assert was in RULES_TEXT
    text = RULES_TEXT.replace("sbp_most_mmhg = 300", "sbp_most_mmhg = 299") if "= 300" in now else RULES_TEXT
    assert said in refused(tmp_path, "rules.toml", text.replace(was, now, 1))


@pytest.mark.parametrize(("was", "now", "said"), [
    ("session.ended_s < 5400", "session.ended_s < 90 min", "open: cannot read"),
    ('[[protocol.discharge]]', '[[protocol.discharge]]\nid = "after_the_end"\nopen = "dissociation_open()"\n'
     'words = "-"\n[[protocol.discharge]]', "id: the gate 'after_the_end' stands twice here"),
    ('[[protocol.discharge]]', '[[protocol.discharge]]\nid = "heavy"\nopen = "weight > 130"\nwords = "-"\n'
     '[[protocol.discharge]]', "open: no metric is named 'weight'"),
    ("[[protocol.schedule.cuff]]", "[protocol.order]\ndose_mg_kg = { low = 0.1, high = 2 }\n[[protocol.schedule.cuff]]",
     "dose_mg_kg: im_ketamine: an order's dose_mg_kg is from 0.1 to 1 mg/kg; write limits within that"),
    ("every_min = 7", "every_min = 7\nearly_min = 3", "early_min: im_ketamine: early_min is for the times of at_min"),
    ("[[protocol.schedule.cuff]]", "[[protocol.schedule.cuff]]\nevery_min = 5\n[[protocol.schedule.cuff]]",
     "[[protocol.schedule.cuff]]: im_ketamine: the row before this one has no when, so it always counts"),
    ("not known(session.ended_s)", "spo2_pct > 101", "open: im_ketamine: 'spo2_pct > 101': SpO₂ is from 0 to 100 %"),
    ("[[protocol.schedule.cuff]]",
     "[protocol.by_hand]\ndevice_mg = 28\ndoses_mg = [56, 60]\napart_s = 300\n[[protocol.schedule.cuff]]",
     "doses_mg: im_ketamine: 60 mg is no whole number of devices of 28 mg"),
    ("[[protocol.schedule.cuff]]",
     "[protocol.by_hand]\ndevice_mg = 28\ndoses_mg = [56, 56]\napart_s = 300\n[[protocol.schedule.cuff]]",
     "doses_mg: im_ketamine: 56 mg is here twice; write each dose once"),
    ("[[protocol.schedule.cuff]]",
     "[protocol.by_hand]\ndevice_mg = 28\ndoses_mg = [-28]\napart_s = 300\n[[protocol.schedule.cuff]]",
     "doses_mg: doses_mg must be a list of mg, each above 0, not [-28]"),
    ('like = "iv_racemic_40"', 'like = "iv_racemic_40"\nwithout = "spo2_low"',
     "without: without must be a list of gates, as in ['spo2_low']"),
    ("every_min = 7", "every_min = 1.9", "every_min: im_ketamine: a cuff may not measure so often: every 2 min"),
    ("every_min = 7", "at_min = [0, 5]\nearly_min = 5", "early_min: im_ketamine: early_min reaches from minute 5 back"),
    ("[[protocol.schedule.cuff]]", "[[protocol.schedule.check_in]]\nevery_min = 9\nordered = true\n"
     "[[protocol.schedule.cuff]]", "ordered: im_ketamine: an order has an interval of the cuff alone"),
    ('words = "90 minutes after the end"', 'words = "-"\noverride = ["technician"]',
     "override: im_ketamine: a technician cannot override a gate; write nurse or prescriber"),
    ("session.ended_s < 5400", "check_in.nausea > 10",
     "open: im_ketamine: 'check_in.nausea > 10': Nausea is a whole number from 0 to 10, so this is always so or never"),
    ("[[protocol.schedule.cuff]]", "[protocol.dissociation]\nback_moaas = 6\n[[protocol.schedule.cuff]]",
     "back_moaas: im_ketamine: back_moaas is a MOAA/S, of at most 5"),
    ("[[protocol.schedule.cuff]]", "[protocol.dissociation]\nmoaas_at_most = 5\n[[protocol.schedule.cuff]]",
     "moaas_at_most: im_ketamine: a MOAA/S of 5 would be both dissociation and a patient who is back"),
    ("[[protocol.schedule.cuff]]", "[protocol.dissociation]\nlong_after_s = 3599\n[[protocol.schedule.cuff]]",
     "[protocol.dissociation]: im_ketamine: closes_after_s must not be above long_after_s, which is 3599"),
    ("[[protocol.schedule.cuff]]", "[protocol.pk]\nname = '-'\nv1_l_kg = 1\nk10 = 0.1\nk12 = 0\nk21 = 0\nke0 = 0\n"
     "[[protocol.schedule.cuff]]", "ke0: im_ketamine: ke0 must be above 0"),
    ("[[protocol]]", "[[protocl]]", "[[protocl]]: no key 'protocl' here; write [[protocol]] tables"),
])
def test_of_a_protocol_of_ones_own(was: str, now: str, said: str, tmp_path: Path) -> None:
    assert said in refused(tmp_path, "protocols.toml", PROTOCOLS_TEXT + THIRD.replace(was, now, 1))


def test_what_is_right_is_taken_also_with_a_byte_order_mark(tmp_path: Path) -> None:
    (tmp_path / "rules.toml").write_text("\ufeff" + RULES_TEXT + OWN)
    (tmp_path / "protocols.toml").write_text(PROTOCOLS_TEXT + THIRD)
    assert read_rules(tmp_path / "rules.toml")[0].named("CO2-1")
    protocols, _ = read_protocols(tmp_path / "protocols.toml")
    assert protocols is not None and protocols.named("im_ketamine")


@pytest.mark.parametrize(("condition", "found"), [
    *((f"spo2_pct < {limit}", found) for limit, found in (  # what is in whole numbers is no part
        ("0", 0), ("0.9", 1), ("1", 0), ("1.5", 0), ("100", 0), ("100.5", 1), ("-1", 1))),
    *((f"satseconds(spo2_pct, {limit}) > 5", found) for limit, found in (("0", 0), ("100", 0), ("100.5", 1))),
    *((f"check_in.moaas {limit}", found) for limit, found in (
        ("> 0", 0), (">= 0", 1), ("< 0", 1), ("<= 0", 0), (">= 5", 0), ("> 5", 1), ("<= 5", 1), ("< 5", 0),
        ("< 6", 1), ("> -1", 1))),
    ("last_bp.sbp_mmhg > 300", 0), ("last_bp.sbp_mmhg > 301", 1), ("last_bp.age_s > 99999", 0),
    ("session.weight_kg > 34", 1), ("session.weight_kg > 35", 0), ("session.phase_s > 9", 0),
])
def test_what_can_never_be_answered_or_always_is_so(condition: str, found: int) -> None:
    assert len(list(mistakes.of_condition(compile_condition(condition), ()))) == found


@pytest.mark.parametrize(("condition", "said"), [
    ("etco2_mmhg > 0.6", "'etco2_mmhg > 0.6': etCO₂ is in whole mmHg; write a limit in that unit"),
    ("-1 > etco2_mmhg", "'-1 > etco2_mmhg': etCO₂ is from 0 to 150 mmHg"),
    ("sbp_mmhg >= 18", "'sbp_mmhg >= 18': SBP is from 40 to 300 mmHg"),
    ("baseline.sbp_mmhg > 400", "'baseline.sbp_mmhg > 400': SBP is"),
    ("pair(etco2_mmhg > 60)", "pair(...) is of blood pressures, and etco2_mmhg is measured apart"),
    ("device_reports(no_breth)", "no device has an alarm of that name; did you mean 'no_breath'?"),
    ("device_alarm(no_breth)", "device_alarm(no_breth): no device has an alarm"),
    ("link_live(oxymeter)", "no kind of device has that name; did you mean 'oximeter'?"),
    ("satseconds(spo2_pct, 101) > 5", "satseconds(spo2_pct, 101): SpO₂ is from 0 to 100 %"),
    ("check_in.moaas <= 6", "'check_in.moaas <= 6': MOAA/S is a whole number from 0 to 5"),
    ("check_in.moaas <= 5", "'check_in.moaas <= 5': MOAA/S is a whole number from 0 to 5"),
])
def test_what_is_said_of_a_condition(condition: str, said: str) -> None:
    (words,) = mistakes.of_condition(compile_condition(condition), ("no_breath",))
    assert said in words


@pytest.mark.parametrize(("when", "clear", "at"), [
    ("spo2_pct >= 100", "spo2_pct > 99", "SpO₂ 100"), ("resp_bpm <= 0", "resp_bpm < 1", "Respiration 0"),
    ("temp_c > 38", "temp_c < 38.1", ""), ("temp_c > 38", "temp_c < 38.2", "Temperature 38.1"),
])
def test_where_an_alarm_would_end_as_it_begins(when: str, clear: str, at: str) -> None:
    rule = replace(RULES.named("RES-2"), when=compile_condition(when), clear=compile_condition(clear))
    assert ends_as_it_begins(rule) == at


@pytest.mark.parametrize(("key", "step", "found"), [
    ("check_in", {"at_min": [0, 1]}, 0), ("check_in", {"at_min": [0, 1], "early_min": 0.9}, 0),
    ("check_in", {"at_min": [0, 1], "early_min": 1}, 1), ("check_in", {"every_min": 1}, 0),
    ("cuff", {"at_min": [0, 40]}, 0), ("cuff", {"every_min": 0}, 0), ("cuff", {"every_min": 0.5}, 1),
    ("cuff", {"every_min": 1.9}, 1), ("cuff", {"every_min": 2}, 0),
])
def test_of_a_schedule(key: str, step: dict[str, Any], found: int) -> None:
    assert len(list(mistakes._of_schedule([step], ("protocol", 0, "schedule", key), "own"))) == found


@pytest.mark.parametrize(("limits", "found"), [
    ({"low": 0.1, "high": 1}, 0), ({"low": 0.09, "high": 1}, 1), ({"low": 0.2, "high": 1.1}, 1),
    ({"low": 0.2, "high": 0.9}, 0)])
def test_of_the_limits_of_an_order(limits: dict[str, float], found: int) -> None:
    assert len(list(mistakes.of_protocols({"protocol": [{"id": "own", "order": {"dose_mg_kg": limits}}]}, ()))) == found


def test_the_least_that_is_believed_may_be_the_most() -> None:
    for least, where in ((300, []), (300.5, [("engine", "sbp_least_mmhg")])):
        rules = replace(RULES, engine=msgspec.structs.replace(RULES.engine, sbp_least_mmhg=least), rules=(), limits=())
        assert [where for where, _ in mistakes.of_rules(rules, ())] == where


def test_what_a_journal_has_recorded_is_not_refused() -> None:
    rules = parse_rules(RULES_TEXT + OWN.replace("< 55", "< 62"))
    assert ends_as_it_begins(rules.named("CO2-1")) == "etCO₂ 61"
    assert not any(ends_as_it_begins(rule) for rule in RULES)


def test_a_gate_asks_for_an_alarm_that_the_rules_have(tmp_path: Path) -> None:
    (tmp_path / "rules.toml").write_text(RULES_TEXT)
    file = tmp_path / "protocols.toml"
    for named, good in (("HTN", True), ("HTN-3", True), ("HTN-9", False)):
        file.write_text(PROTOCOLS_TEXT + THIRD.replace("session.ended_s < 5400", f"standing('{named}')"))
        assert read_protocols(file)[0], "what is not known is not refused"
        if good:
            assert check_protocols(file) == 0
            continue
        with pytest.raises(BadUsage, match=r"im_ketamine: no rule or family is named 'HTN-9'; did you mean"):
            check_protocols(file)


def test_words_that_name_another_number_than_is_asked_are_told() -> None:
    assert [line for rule in RULES for line in apart(rule)] == []
    for was, now, said in (
        ('when = "spo2_pct < 90"', 'when = "spo2_pct < 88"',
         "RES-2: limit says 90, and what is asked is 88: '90 % for 15 s'; change the words with the number"),
        ('clear = "pulse_bpm > 45"', 'clear = "pulse_bpm > 48"',
         "CAR-4: clears says 45, and what is asked is 48: 'above 45'; change the words with the number"),
        ("violations(spo2_pct, 90, 60)", "violations(spo2_pct, 90, 120)", "RES-2: at_once_limit says 60, and"),
    ):
        changed = parse_rules(RULES_TEXT.replace(was, now, 1))
        assert said in "\n".join(line for rule in changed for line in apart(rule))
