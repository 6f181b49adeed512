"""Protocols as data: read whole or refused by its line, obeyed by the session, and as 0.1.0 where there are none."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import msgspec
import pytest

from edge.cli.protocols import check_protocols, explain_protocols
from edge.contract.payloads import Bounds
from edge.core import views
from edge.core.bedside import Bedside
from edge.core.context import RuleContext
from edge.core.protocol import Protocol
from edge.core.protocols import ProtocolsError, as_in_0_1_0, condition_in_words, parse_protocols
from edge.model import LinkChanged, PumpStatus, Sample, Samples, Tick
from edge.process import BadUsage
from tests.helpers.bed_story import DEVICES, ORDER, BedStory
from tests.helpers.rule_files import FILE, RULES

PATH = FILE.with_name("protocols.toml")
TEXT = PATH.read_text()
SHIPPED = parse_protocols(TEXT)


def beside(text: str) -> BedStory:
    """A bed that runs by these protocols."""
    story = BedStory()
    story.bed = Bedside("chair-1", DEVICES, RULES, protocols=parse_protocols(text))
    return story


def told(protocol: Protocol) -> dict[str, Any]:
    fields: dict[str, Any] = msgspec.to_builtins(protocol)
    return {key: value for key, value in fields.items() if key not in ("id", "title", "source", "baseline_never")}


def test_the_first_protocol_runs_as_0_1_0_did_but_for_what_is_named_here() -> None:
    now, then = told(SHIPPED.first), told(as_in_0_1_0().first)
    for key, value in {"kvo_ml_h": 5.0, "kvo_part": 0.1, "unknown_rate_runs": True,
                       "persons_word": True, "drug_channel": True}.items():
        assert now["course"].pop(key) == value
        then["course"].pop(key)
    assert (now["dissociation"].pop("cadss_of_baseline"), then["dissociation"].pop("cadss_of_baseline")) == (2, None)
    estimate = {"opens_from_ng_ml": 50, "fades_below_ng_ml": 100, "closes_below_ng_ml": 75,
                "estimate_closes_after_s": 2400}
    assert {key: now["dissociation"].pop(key) for key in estimate} == estimate
    assert not any(then["dissociation"].pop(key) for key in estimate)
    for gate in (*now["ready"], *now["discharge"]):
        gate["override"] = ()
        gate["open"] = re.sub(r"measured_or_entered\((\w+), \d+\)", r"\1", gate["open"])  # 0.1.0 took no entry
        gate["words"] = gate["words"].partition(": measured now, or ")[0]
    gates = {gate["id"]: gate for gate in now.pop("ready")}
    assert gates.pop("no_baseline")["words"].startswith("no blood pressure of the last 30 minutes")
    assert gates.pop("drug_channel")["open"] == "pump_asked()"
    assert gates.pop("programme")["open"] == "programme_differs(5)"
    gates["blood_pressure"]["open"] = "not known(baseline.sbp_mmhg)"
    assert list(gates.values()) == list(then.pop("ready"))
    assert (now.pop("pk")["name"], then.pop("pk")) == ("clements250", None)
    assert len(now["schedule"].pop("cuff")) == 4, "0.1.0 had the cuff as ordered"
    then["schedule"].pop("cuff")
    assert len(now["schedule"].pop("oximetry")) == 2
    assert then["schedule"].pop("oximetry") == (), "0.1.0 asked for none"
    held = [gate["id"] for gate in now.pop("go_on")]
    assert held == ["held_blood_pressure", "held_check_in", "held_alarm"]
    assert then.pop("go_on") == (), "0.1.0 has no hold"
    more = now["discharge"][len(then["discharge"]):]
    assert [gate["id"] for gate in more] == ["alarms_lately", "blood_pressures_apart", "symptoms", "nausea", "anxiety",
                                             "oriented", "gait", "fluids", "escort", "mood"]
    now["discharge"] = now["discharge"][:len(then["discharge"])]
    assert now == then


def test_a_pressure_that_holds_the_start_makes_no_baseline() -> None:
    story = beside(TEXT)
    story.command("start_session", **ORDER)
    story.bp(160, 95)
    story.until(-12).bp(158, 94)
    assert story.session.baseline is None
    assert "no blood pressure of the last 30 minutes that can be a baseline: rest and measure again" in \
        story.full()["session"]["open"]
    story.until(-8).bp(132, 80)
    story.until(-6).bp(140, 90)
    story.until(-5.9)
    found = story.session.baseline
    assert found is not None
    assert (found.sbp_mmhg, found.dbp_mmhg, found.determinations) == (136, 85, 2)


def test_without_a_baseline_a_high_pressure_still_ends_where_its_limits_say() -> None:
    story = BedStory().infusing()
    assert story.bed.state.session is not None
    story.bed.state.session = msgspec.structs.replace(story.bed.state.session, baseline=None)
    shown = []
    for sbp, dbp in ((162, 94), (161, 94), (150, 90)):
        story.at_s += 300
        story.bp(sbp, dbp)
        shown.append({alarm["rule"]: alarm["state"] for alarm in story.full()["alarms"]}.get("HTN-2"))
    assert shown == [None, "active", "latched"]


@pytest.mark.parametrize(("rate_ml_h", "phase"), [(5.0, "RECOVERY"), (5.1, "INFUSING")])
def test_a_pump_that_keeps_the_vein_open_has_ended(rate_ml_h: float, phase: str) -> None:
    story = opened(TEXT, "iv_racemic_40", 39.5)
    assert story.session.phase == "INFUSING"
    story.rate_ml_h = rate_ml_h
    assert story.until(40).session.phase == phase


def test_a_pump_that_infuses_at_a_rate_nobody_can_read_infuses() -> None:
    phases = []
    for bed in (beside(TEXT), BedStory()):
        for device in ("pump", "cuff", "oximeter"):
            bed.give(LinkChanged(device, "live"))
        bed.command("start_session", **ORDER)
        bed.bp(120, 75)
        bed.at_s += 120
        bed.bp(120, 75)
        for _ in range(6):
            bed.at_s += 1
            bed.give(PumpStatus("pump", "infusing"))
            bed.give(Samples("pump", (Sample("chair-1", "pump", "rate_ml_h", None, "invalid", bed.at_s),)))
            bed.give(Tick())
        phases.append(bed.session.phase)
    assert phases[0] == "INFUSING"
    assert phases[1] != "INFUSING", "0.1.0 waited for a rate"


def test_a_rate_that_can_no_longer_be_read_is_not_the_one_that_was_read_before() -> None:
    story = opened(TEXT, "iv_racemic_40", 10)
    assert RuleContext(story.bed.state, story.at_s).rate_ml_h() == 52.5
    for _ in range(11):
        story.at_s += 1
        story.give(PumpStatus("pump", "infusing"))
        story.give(Samples("pump", (Sample("chair-1", "pump", "rate_ml_h", None, "invalid", story.at_s),)))
        assert RuleContext(story.bed.state, story.at_s).infusing() is True
        assert RuleContext(story.bed.state, story.at_s).rate_ml_h() is None


def test_an_unknown_protocol_is_refused_and_its_line_names_the_known_ones() -> None:
    story = beside(TEXT)
    reason = story.reason(story.command("start_session", **{**ORDER, "protocol": "esketamine"}))
    assert reason == ("bad_args: protocol 'esketamine' is not known; write one of iv_racemic_40, iv_racemic_40_q15,"
                      " iv_racemic_40_alone, iv_racemic_40_fixed, iv_racemic_pain, esketamine_rems")
    assert story.bed.state.session is None


def test_0_1_0_took_any_name() -> None:
    story = BedStory()
    assert story.reason(story.command("start_session", **{**ORDER, "protocol": "whatever"})) == ""


LIMITS = [("dose_mg_kg", 0.4, 0.39), ("dose_mg_kg", 0.6, 0.61), ("duration_min", 40, 39), ("duration_min", 60, 61),
          ("concentration_mg_ml", 0.5, 0.49), ("concentration_mg_ml", 2, 2.1)]
NARROW = (TEXT.replace("dose_mg_kg = { low = 0.1, high = 1.0 }", "dose_mg_kg = { low = 0.4, high = 0.6 }")
          .replace("duration_min = { low = 30, high = 120 }", "duration_min = { low = 40, high = 60 }")
          .replace("concentration_mg_ml = { low = 0.2, high = 10 }", "concentration_mg_ml = { low = 0.5, high = 2 }"))


@pytest.mark.parametrize(("key", "at_the_limit", "beyond"), LIMITS)
def test_an_order_beyond_the_limits_of_its_protocol_is_refused(key: str, at_the_limit: float, beyond: float) -> None:
    story = beside(NARROW)
    refused = story.reason(story.command("start_session", **{**ORDER, key: beyond}))
    assert refused.startswith(f"bad_args: {key} must be from ")
    assert refused.endswith(f"under iv_racemic_40, not {beyond:g}")
    assert story.reason(story.command("start_session", **{**ORDER, key: at_the_limit})) == ""


def opened(text: str, protocol: str, minutes: float = 45) -> BedStory:
    story = beside(text)
    for device in ("pump", "cuff", "oximeter"):
        story.bed.state.devices[device].link = "live"
    story.command("start_session", **{**ORDER, "protocol": protocol})
    story.bp(120, 75)
    story.until(-10).bp(120, 75)
    story.until(0).pump, story.rate_ml_h = "infusing", 52.5
    story.until(min(minutes, 40.1))
    if minutes > 40:
        story.pump = "stopped"
    return story.until(minutes)


@pytest.mark.slow
def test_each_session_runs_by_its_own_protocol() -> None:
    usual, alone, q15 = (opened(TEXT, name) for name in list(SHIPPED.by_id)[:3])
    for story in (usual, alone, q15):
        assert story.session.phase == "RECOVERY"
    assert "60 minutes after the end of the infusion" in usual.full()["session"]["open"]
    assert usual.bed.state.interval_s() == 600
    assert alone.bed.state.interval_s() == 900
    assert "120 minutes after the end of the infusion" in q15.full()["session"]["open"]


def test_a_clinics_own_gate_holds_the_start_with_its_own_words() -> None:
    story = beside(TEXT + """
[[protocol]]
id = "our_own"
title = "As iv_racemic_40_alone, with a gate of our own"
like = "iv_racemic_40_alone"
[[protocol.ready]]
id = "light"
open = "session.weight_kg < 45"
words = "weight below 45 kg: ask the prescriber; blood pressure was {last_bp}"
""")
    story.command("start_session", **{**ORDER, "protocol": "our_own", "weight_kg": 44})
    story.bp(121, 76)
    assert "weight below 45 kg: ask the prescriber; blood pressure was 121/76" in story.full()["session"]["open"]
    story.command("close_session", reason="another order")
    story.command("start_session", **{**ORDER, "protocol": "our_own", "session": "session-2", "weight_kg": 45})
    assert not any("weight" in words for words in story.full()["session"]["open"])


def test_a_snapshot_names_no_protocols_and_is_taken_up_by_those_of_the_file() -> None:
    story = opened(TEXT, "iv_racemic_40_q15")
    assert b"discharge_for_s" not in story.bed.snapshot()
    twin = Bedside("chair-1", DEVICES, RULES, protocols=parse_protocols(TEXT))
    twin.restore(story.bed.snapshot())
    assert twin.state == story.bed.state


FIRST = "[[protocol]]".join(TEXT.split("[[protocol]]")[:2])
OWN = FIRST + '''
[[protocol]]
id = "our_own"
title = "With gates of our own"
like = "iv_racemic_40"
'''
LAST = OWN.count("\n") + 1
GATE = '''
[[protocol.ready]]
id = "{}"
open = "session.weight_kg < 45"
words = "light"
'''


def test_a_gate_of_ones_own_takes_the_place_of_one_of_its_name_or_comes_after_all() -> None:
    base, mine = SHIPPED.first, parse_protocols(OWN + GATE.format("pulse") + GATE.format("light")).by_id["our_own"]
    assert [gate.id for gate in mine.ready] == [*(gate.id for gate in base.ready), "light"]
    assert [gate.id for gate in mine.ready if gate.words == "light"] == ["pulse", "light"]
    assert mine.discharge == base.discharge


@pytest.mark.parametrize(("low", "fine"), [(0.9, True), (1.0, True), (1.1, False)])
def test_a_limit_may_leave_one_value(low: float, fine: bool) -> None:
    text = FIRST.replace("low = 0.1, high = 1.0", f"low = {low}, high = 1.0")
    if fine:
        parse_protocols(text)
        return
    with pytest.raises(ProtocolsError, match="dose_mg_kg: low must not be above high"):
        parse_protocols(text)


BAD = [
    ("", "protocols.toml:1: write [[protocol]] tables"),
    ("[[protocol]]\nid = 3", "needs"),
    (FIRST.replace("complete = 0.97", "complete = 97"), "complete must be a part, above 0 and at most 1, not 97"),
    (FIRST.replace("pump_for_s = 3 ", "pump_fors = 3 "), "no key 'pump_fors' in [protocol.course]; did you mean"),
    (FIRST.replace('open = "not checklist()"', 'open = "not check_list()"'), "did you mean 'checklist'?"),
    (FIRST.replace("{moaas}", "{moas}"), "words name {moas}, which nothing fills in; did you mean 'moaas'?"),
    (TEXT.replace('id = "iv_racemic_40_q15"', 'id = "iv_racemic_40"'), "this id is used twice"),
    (TEXT.replace('like = "iv_racemic_40"', 'like = "iv_racemic"', 1), "no protocol above this one is named"),
    ('[[protocol]]\nid = "a"\nlike = "b"\n' + TEXT, "is named 'b'; write the one that is meant first"),
    (FIRST.replace("low = 0.1, high = 1.0", "low = 1.1, high = 1.0"), "dose_mg_kg: low must not be above high"),
    ("[[protocols]]\nid = 'x'", "write [[protocol]] tables"),
    (TEXT.replace('"pulse", "after', '"puls", "after'), "has no gate 'puls'; did you mean 'pulse'?"),
    (TEXT.replace("device_mg = 28", "device_mg = 0"), "device_mg must be mg, above 0, not 0"),
    (TEXT.replace("doses_mg = [56, 84]", "doses_mg = []"), "doses_mg must be a list of mg, each above 0, not []"),
    (TEXT.replace("at_min = [15, 30", "at_min = [30, 15"), "at_min must rise from each time to the next"),
    (TEXT.replace("every_min = 20", "ordered = true"), "needs every_min = minutes, or at_min"),
    (TEXT.replace("phase(RECOVERY, DISCHARGE_READY)", "phase(RECOVER)"), "no phase is named 'RECOVER'"),
    (TEXT.replace('route = "nasal"', 'route = "nose"'), "route must be one of 'intravenous', 'subcutaneous', 'nasal'"),
    (TEXT.replace("[protocol.by_hand]", "[protocol.order]\ndose_mg_kg = { low = 1, high = 2 }\n[protocol.by_hand]"),
     "a dose given by hand has no limits of a pump: take dose_mg_kg out"),
    ("not = [toml", "protocols.toml:1: is not TOML"),
    ("protocol = []", "write [[protocol]] tables"), ("protocol = 3", "write [[protocol]] tables"),
    ("protocol = [3]", "[[protocol]] must be a table"),
    ("more = 1\nless = 1\n" + FIRST, "protocols.toml:2: no key 'less' here; write [[protocol]] tables"),
    ('unknown = "iv_racemic"\n' + FIRST, "no protocol is named 'iv_racemic'; did you mean 'iv_racemic_40"),
    (OWN + "[protocol.schedule.cuff]\nevery_min = 5",
     "cuff must be a list of rows: write [[protocol.schedule.cuff]] for each"),
    (OWN + "[[protocol.schedule.cuf]]\nevery_min = 5", "no key 'cuf' in [protocol.schedule]; did you mean 'cuff'?"),
    *((f"{OWN}{line}", f"protocols.toml:{LAST}: {key} must be a list of gates: write [[protocol.{key}]] for each")
      for key, line in (("ready", "ready = 3"), ("discharge", "[protocol.discharge]"), ("go_on", "[protocol.go_on]"))),
    (OWN + "ready = [3]", "[[protocol.ready]] must be a table"),
    (OWN.replace('like = "iv_racemic_40"', "like = []"), "no protocol above this one is named []"),
    (OWN + GATE.format("pulse").replace('"pulse"', "[]"), "id must be text"),
    (OWN + GATE.format("light") * 2, "the gate 'light' stands twice here; give each its own id"),
    (FIRST.replace('id = "no_baseline"', 'id = "blood_pressure"'), "the gate 'blood_pressure' stands twice here"),
    (OWN + "without = 3", "without must be a list of gates, as in [3]"), (OWN + "schedule = 3", "must be a table"),
]


@pytest.mark.parametrize(("text", "says"), BAD)
def test_a_file_that_cannot_be_used_is_one_line_that_says_where_and_what(text: str, says: str) -> None:
    with pytest.raises(ProtocolsError) as refused:
        parse_protocols(text)
    assert says in str(refused.value)
    assert "\n" not in str(refused.value)


def test_the_command_line_checks_and_explains_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert check_protocols(PATH) == 0
    assert "good: iv_racemic_40, iv_racemic_40_q15, iv_racemic_40_alone" in capsys.readouterr().out
    assert explain_protocols(PATH) == 0
    out = capsys.readouterr().out
    assert "every 15 min, while the phase is RECOVERY, DISCHARGE_READY" in out
    assert "Order: 56 or 84 mg, given by hand in devices of 28 mg, 5 min apart." in out
    assert "120 minutes after the end of the infusion" in out
    broken = tmp_path / "protocols.toml"
    broken.write_text(TEXT.replace("complete = 0.97", "complete = 97"))
    with pytest.raises(BadUsage, match=r"protocols\.toml:\d+: complete must be"):
        check_protocols(broken)


def test_a_form_is_told_every_protocol_with_its_limits_or_its_doses() -> None:
    forms = {form.id: form for form in views.protocols(SHIPPED)}
    assert list(forms) == list(SHIPPED.by_id)
    infused, nasal = forms["iv_racemic_40"], forms["esketamine_rems"]
    assert (infused.drug, infused.route, infused.doses_mg) == ("ketamine", "intravenous", ())
    assert infused.limits == {"dose_mg_kg": Bounds(low=0.1, high=1.0), "duration_min": Bounds(low=30, high=120),
                              "concentration_mg_ml": Bounds(low=0.2, high=10)}
    assert (nasal.drug, nasal.route, nasal.limits) == ("esketamine", "nasal", {})
    assert (nasal.doses_mg, nasal.device_mg) == ((56, 84), 28)


@pytest.mark.parametrize(("condition", "words"), [
    ("spo2_pct < 0", "SpO₂ is below what can be measured"),
    ("spo2_pct >= 0", "SpO₂ is measured"), ("spo2_pct < 0 + 0", "SpO₂ is below 0 + 0 %"),
    ("spo2_pct > 0", "SpO₂ is above 0 %"),
    ("spo2_pct < 1", "SpO₂ is below 1 %"),
])
def test_a_reading_beyond_its_range_is_told_as_that(condition: str, words: str) -> None:
    assert condition_in_words(condition) == words
