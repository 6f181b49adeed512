"""A device in maintenance: never where a session needs it; nothing of it is shown, counted or missed; it ends."""

from __future__ import annotations

from typing import Any

import pytest

from edge.contract.commands import Maintain
from edge.contract.events import DeviceReturned, InMaintenance
from edge.core import maintenance
from edge.core.bedside import Bedside
from edge.core.state import BedState, Device, LatestValue, Maintenance, Order, OwnValue, Session
from edge.model import Boot, Command, DeviceAlarm, DeviceKind, LinkChanged, PumpRole, PumpStatus, Role, iso
from tests.helpers.bed_story import DEVICES, ORDER, T0, BedStory
from tests.helpers.rule_files import PROTOCOLS, RULES

SECOND: tuple[str, DeviceKind, str] = ("oximeter-2", "oximeter", "o")
MONITOR: tuple[str, DeviceKind, str] = ("monitor", "monitor", "m")


def ask(story: BedStory, verb: str, role: Role = "technician", **args: Any) -> str:
    given = Command(f"c{story.seq}", "main", "tim", role, "chair-1", verb, args)
    return story.reason(story.give(given))


def maintain(story: BedStory, device: str = "oximeter", minutes: float = 10) -> str:
    return ask(story, "maintain", device=device, minutes=minutes, reason="a new probe")


def seconds(story: BedStory, count: int) -> None:
    story.until((story.at_s - T0 + count) / 60)


def ends(story: BedStory) -> list[str]:
    return [body.why for pending in story.pending_events if isinstance(body := pending.body, DeviceReturned)]


def test_nothing_of_it_is_shown_and_nothing_is_missed() -> None:
    story = BedStory()
    seconds(story, 5)
    assert story.vitals()["numerics"]["spo2_pct"]["value"] == 98
    assert maintain(story) == ""
    assert "spo2_pct" not in story.vitals()["numerics"], "what it said before is no patient's number either"
    story.spo2 = 60.0
    seconds(story, 30)
    story.give(LinkChanged("oximeter", "lost", "the cable is out"))
    seconds(story, 30)
    assert "spo2_pct" not in story.vitals()["numerics"] and story.full()["alarms"] == []
    (work,) = [one["maintenance"] for one in story.full()["devices"] if "maintenance" in one]
    assert (work["by"], work["reason"]) == ("tim", "a new probe")
    assert sum(isinstance(pending.body, InMaintenance) for pending in story.pending_events) == 1


@pytest.mark.parametrize(("after_s", "over"), [(59, []), (60, ["the time of its maintenance is over"])])
def test_it_ends_by_itself(after_s: int, over: list[str]) -> None:
    story = BedStory()
    maintain(story, minutes=1)
    seconds(story, after_s)
    assert ends(story) == over
    story.say("oximeter", spo2_pct=98.0)
    assert ("spo2_pct" in story.vitals()["numerics"]) is bool(over)


def test_a_pump_that_was_tested_gives_no_dose_by_that() -> None:
    story = BedStory()
    seconds(story, 5)
    maintain(story, "pump")
    story.volume_ml = 20.0
    seconds(story, 5)
    assert story.vitals()["pump"] is None
    assert ask(story, "maintenance_over", "nurse", device="pump") == ""
    story.opened()
    assert story.session.delivered_ml == 0.0
    assert story.full()["session"]["dose_mg"] == 0


@pytest.mark.parametrize("device", ["pump", "cuff", "oximeter"])
def test_what_the_session_needs_is_not_taken_from_it(device: str) -> None:
    story = BedStory().opened()
    assert maintain(story, device).startswith(f"not_now: the session at this bed needs the {device}")
    assert ends(story) == []


@pytest.mark.parametrize(("other", "sends", "device", "taken"), [
    (SECOND, "", "oximeter", True), (SECOND, "", "cuff", False),
    (MONITOR, "spo2_pct", "oximeter", True), (MONITOR, "sbp_mmhg", "oximeter", False),
    (MONITOR, "sbp_mmhg", "cuff", True), (MONITOR, "resp_bpm", "cuff", False),  # a capnograph covers nothing
    (MONITOR, "resp_bpm", "oximeter", False), (MONITOR, "", "oximeter", False),
    (MONITOR, "spo2_pct", "monitor", False), (MONITOR, "spo2_pct", "pump", False)])
def test_one_that_another_covers_may_be(other: tuple[str, DeviceKind, str], sends: str, device: str,
                                        taken: bool) -> None:
    story = BedStory(other).opened()
    if sends:
        story.say(other[0], **{sends: 97.0})
    assert (maintain(story, device) == "") is taken


def test_where_the_other_is_lost_it_ends_at_once() -> None:
    story = BedStory(SECOND).opened()
    assert maintain(story) == ""
    story.give(LinkChanged("oximeter-2", "lost", "the cable is out"))
    assert ends(story) == ["the session at this bed needs it"]


def test_no_session_begins_meanwhile_and_a_nurse_may_end_it() -> None:
    story = BedStory()
    maintain(story, "cuff")
    order = {"session": "session-9", "weight_kg": 70, "dose_mg_kg": 0.5, "duration_min": 40, "concentration_mg_ml": 1}
    assert story.reason(story.command("start_session", **order)) == (
        "not_now: the cuff is in maintenance; end that first")
    assert ask(story, "maintenance_over", "nurse", device="cuff") == ""
    assert story.reason(story.command("start_session", **order)) == ""


@pytest.mark.parametrize(("verb", "device", "says"), [
    ("maintain", "s" * 41, f"bad_args: this bed has no device '{'s' * 40}'; it has pump, cuff, oximeter"),
    ("maintenance_over", "cuff", "not_now: the cuff is not in maintenance"),
    ("maintain", "pump", "not_now: the pump is in maintenance already, by tim")])
def test_what_is_refused(verb: str, device: str, says: str) -> None:
    story = BedStory()
    maintain(story, "pump")
    more: dict[str, Any] = {"minutes": 5, "reason": "a new hose"} if verb == "maintain" else {}
    assert ask(story, verb, device=device, **more) == says


def test_a_restart_does_not_end_it() -> None:
    story = BedStory()
    maintain(story)
    again = BedStory()
    vars(again).update(vars(story), bed=again.bed)
    again.bed.restore(story.bed.snapshot())
    again.give(Boot("boot-2", 20.0))
    again.give(LinkChanged("oximeter", "live"))
    seconds(again, 5)
    assert "spo2_pct" not in again.vitals()["numerics"]


NASAL: dict[str, Any] = {
    "session": "session-1", "protocol": "esketamine_rems", "weight_kg": 70, "dose_mg": 56, "checklist": True}


@pytest.mark.parametrize(("order", "needed"), [(ORDER, {"pump"}), (NASAL, set())])
def test_a_pump_is_needed_that_gives_the_drug(order: dict[str, Any], needed: set[str]) -> None:
    roles: dict[str, PumpRole] = {"pump": "drug", "pump-2": "carrier"}
    story = BedStory()
    story.bed = Bedside("chair-1", (*DEVICES, ("pump-2", "pump", "p")), RULES, protocols=PROTOCOLS, roles=roles)
    assert story.reason(story.command("start_session", **order)) == ""
    assert {name for name in roles if maintenance.is_needed(story.bed.state, name)} == needed


def test_what_a_device_in_maintenance_has_said_is_forgotten() -> None:
    now_s = T0
    pump = Device("pump", "p", link="live", identity="P1", pump="infusing", pump_at_s=now_s, known_at_s=now_s,
                  infused=True, rate_ml_h=5.0, rate_at_s=now_s, volume_ml=3.0, run_since_s=now_s, run_ml=0.5,
                  alarms=(DeviceAlarm("x", "low", "x", "x"),), own={"rate_ml_h": OwnValue(5.0, now_s, now_s)})
    state = BedState("b", devices={"pump": pump, "oximeter": Device("oximeter", "o", link="live")}, latest={
        metric: LatestValue(device, 5.0, "valid", None, now_s) for metric, device in (
            ("rate_ml_h", "pump"), ("spo2_pct", "oximeter"))})
    command = Command("c", "main", "tim", "technician", "b", "maintain", {})
    (said,) = maintenance.begin(state, RULES, command, Maintain(device="pump", minutes=30, reason="a new line"), now_s)
    assert isinstance(said.body, InMaintenance) and said.body.maintenance_until == iso(now_s + 1800)
    work = Maintenance(now_s, now_s + 1800, "tim", "a new line")
    assert state.devices["pump"] == Device("pump", "p", link="live", identity="P1", run_ml=0.5, maintenance=work,
                                           away=True)
    assert list(state.latest) == ["spo2_pct"]
    assert maintenance.is_dropped(state, PumpStatus("pump", "infusing"))
    assert not maintenance.is_dropped(state, PumpStatus("oximeter", "infusing"))
    assert not maintenance.is_dropped(state, LinkChanged("pump", "lost"))


LIVE: dict[str, Any] = {"link": "live"}
COVERS: list[tuple[str, DeviceKind, DeviceKind, dict[str, Any], bool]] = [  # whether the second is needed no more
    ("two of a kind", "oximeter", "oximeter", LIVE, True), ("of another kind", "oximeter", "nibp", LIVE, False),
    ("two monitors", "monitor", "monitor", LIVE, False), ("lost", "oximeter", "oximeter", {"link": "lost"}, False),
    ("in maintenance, too", "oximeter", "oximeter", LIVE | {"maintenance": Maintenance(T0, T0, "t", "x")}, False),
    ("away as planned", "oximeter", "oximeter", LIVE | {"off_until_s": T0}, False),
    ("a monitor that has sent it", "oximeter", "monitor", LIVE | {"newest_s": {"spo2_pct": T0}}, True),
    ("a monitor that has not", "oximeter", "monitor", LIVE | {"newest_s": {"sbp_mmhg": T0}}, False),
    ("a monitor for a cuff", "nibp", "monitor", LIVE | {"newest_s": {"sbp_mmhg": T0}}, True),
    ("a monitor that is lost", "nibp", "monitor", {"link": "lost", "newest_s": {"sbp_mmhg": T0}}, False),
]


@pytest.mark.parametrize(("kind", "by", "change", "covered"), [row[1:] for row in COVERS],
                         ids=[row[0] for row in COVERS])
def test_which_device_covers_another(kind: DeviceKind, by: DeviceKind, change: dict[str, Any], covered: bool) -> None:
    session = Session("s", "b", Order("iv_racemic_40", 70, 0.5, 40, 1.0), "INFUSING", T0, T0, "nina")
    state = BedState("b", protocols=PROTOCOLS, session=session, devices={
        "one": Device(kind, "x", link="live"), "other": Device(by, "y", **change)})
    assert maintenance.is_needed(state, "one") is not covered
    state.session = None
    assert not maintenance.is_needed(state, "one")
