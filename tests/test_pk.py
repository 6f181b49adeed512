"""The estimate: as the published models give it, exact in its steps, from what was delivered, and never a judgement."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from edge.core import pk
from edge.core.bedside import Bedside
from edge.core.facts import FACTS
from edge.core.pk import advance, concentrations
from edge.core.protocol import PkModel
from edge.core.state import Pk
from tests.helpers.bed_story import DEVICES, ORDER, BedStory
from tests.helpers.rule_files import PROTOCOLS, RULES

KE0 = 0.693147 / 6.1
MODELS = {
    "clements250": PkModel("clements250", 1.7522, 0.0109, 0.0186, 0.0137, 0.1136),
    "domino": PkModel("domino", 0.063, 0.4381, 0.5921, 0.2470, KE0, 0.5900, 0.0146),
    "hijazi": PkModel("hijazi", 1.08, 0.0333, 0.0088, 0.0030, KE0),
}
# 70 kg, 35 mg over 40 min; computed independently (LSODA and a matrix exponential agree): minute, blood, effect site
GOLDEN = [
    ("clements250", 5, 33.20, 8.04), ("clements250", 10, 62.03, 25.93), ("clements250", 20, 109.48, 70.20),
    ("clements250", 30, 146.88, 112.38), ("clements250", 40, 177.31, 148.37), ("clements250", 50, 140.82, 152.60),
    ("clements250", 60, 115.42, 133.88), ("clements250", 80, 84.73, 97.37), ("clements250", 100, 68.43, 75.53),
    ("clements250", 120, 58.83, 63.05), ("clements250", 160, 47.67, 49.77),
    ("domino", 10, 181.81, 105.12), ("domino", 20, 209.58, 169.43), ("domino", 40, 240.33, 224.85),
    ("domino", 60, 55.11, 84.28), ("domino", 80, 45.81, 51.87), ("domino", 120, 35.83, 37.89),
    ("hijazi", 40, 225.34, 196.47), ("hijazi", 60, 99.65, 139.20), ("hijazi", 120, 13.15, 17.56),
]
EMPTY: tuple[float, ...] = (0.0, 0.0, 0.0, 0.0)


def test_the_model_of_the_shipped_protocols_is_the_one_that_is_checked_here() -> None:
    assert {one.pk for one in PROTOCOLS.by_id.values() if one.by_hand is None} == {MODELS["clements250"]}


def test_a_milligram_in_a_litre_is_1000_ng_ml() -> None:
    model = MODELS["clements250"]
    litres = model.v1_l_kg * 70
    assert concentrations(model, (litres, 0.0, 0.0, 2 * litres), 70) == pytest.approx((1000, 2000))


@pytest.mark.parametrize(("name", "minute", "blood", "effect"), GOLDEN)
def test_it_is_what_the_model_gives(name: str, minute: float, blood: float, effect: float) -> None:
    model = MODELS[name]
    amounts = advance(model, EMPTY, 0.875 * min(minute, 40), min(minute, 40) * 60)
    amounts = advance(model, amounts, 0.0, (minute - 40) * 60) if minute > 40 else amounts
    assert concentrations(model, amounts, 70) == pytest.approx((blood, effect), rel=0.005)


@pytest.mark.parametrize(("minute", "blood", "effect"), [
    (20, 109.48, 70.20), (30, 84.85, 86.45), (50, 165.44, 136.34), (60, 132.43, 142.16), (90, 81.42, 92.92),
    (120, 61.40, 66.41)])
def test_an_infusion_with_a_pause(minute: float, blood: float, effect: float) -> None:
    model, amounts, at = MODELS["clements250"], EMPTY, 0.0
    for until, rate in ((20.0, 0.875), (30.0, 0.0), (50.0, 0.875), (120.0, 0.0)):
        for_min = min(until, minute) - at
        if for_min > 0:
            amounts, at = advance(model, amounts, rate * for_min, for_min * 60), at + for_min
    assert concentrations(model, amounts, 70) == pytest.approx((blood, effect), rel=0.005)


@settings(max_examples=50)
@given(st.lists(st.integers(1, 600), min_size=1, max_size=8), st.floats(0.01, 5))
def test_a_steps_length_is_no_matter_and_twice_the_dose_is_twice_the_amount(steps: list[int], rate: float) -> None:
    model, amounts, total = MODELS["domino"], EMPTY, sum(steps)
    for step in steps:
        amounts = advance(model, amounts, rate * step / 60, step)
    assert amounts == pytest.approx(advance(model, EMPTY, rate * total / 60, total), rel=1e-9)
    assert advance(model, EMPTY, 2 * rate * total / 60, total) == pytest.approx(tuple(2 * a for a in amounts), rel=1e-9)


def test_nothing_is_lost_but_what_leaves_the_body() -> None:
    closed = PkModel("closed", 1.0, 0.0, 0.2, 0.1, 0.1, 0.3, 0.05)
    assert sum(advance(closed, EMPTY, 35, 2400)[:3]) == pytest.approx(35)


def test_a_bed_draws_it_from_what_its_pump_delivered_and_says_when_it_is_not_heard() -> None:
    story = BedStory()
    story.bed = Bedside("chair-1", DEVICES, RULES, protocols=PROTOCOLS)
    for device in story.bed.state.devices.values():
        device.link = "live"
    story.until(-10)
    story.command("start_session", **ORDER)
    story.bp(120, 75)
    story.until(-8).bp(120, 75)
    assert story.until(0).full()["session"]["estimate"] is None
    story.pump, story.rate_ml_h = "infusing", 52.5
    told = story.until(20).full()["session"]["estimate"]
    assert (told["model"], told["degraded"]) == ("clements250", False)
    assert (told["blood_ng_ml"], told["effect_ng_ml"]) == pytest.approx((109.5, 70.2), rel=0.02)
    assert "model estimate" in told["text"]
    story.pump = None  # it runs, and is not heard, for five minutes
    story.volume_ml += 5 * 52.5 / 60
    assert story.until(20.4).full()["session"]["estimate"]["degraded"] is False
    assert story.until(25).full()["session"]["estimate"]["degraded"] is True
    story.pump = "infusing"
    told = story.until(30).full()["session"]["estimate"]
    assert told["degraded"] is False
    assert (told["blood_ng_ml"], told["effect_ng_ml"]) == pytest.approx((146.9, 112.4), rel=0.02)


def test_it_is_shown_to_a_tenth_of_a_nanogram() -> None:
    story = BedStory()
    story.bed = Bedside("chair-1", DEVICES, RULES, protocols=PROTOCOLS)
    story.bed.state.session = replace(
        BedStory().infusing().session, pk=Pk(story.at_s, 0.0, (9.87654321, 1.0, 1.0, 1.23456789)))
    blood, effect, _ = pk.now(story.bed.state, story.session, story.at_s) or (0.0, 0.0, False)
    told = story.full()["session"]["estimate"]
    assert (told["blood_ng_ml"], told["effect_ng_ml"]) == (float(f"{blood:.1f}"), float(f"{effect:.1f}"))


def test_no_rule_and_no_gate_can_ask_for_it() -> None:
    assert not [name for name in FACTS if name.startswith(("pk", "estimate"))]
