"""The interlock: two people arm it, certain alarms stop the pump once, and its own word confirms that."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import drivers
from drivers.contract import Pump, StopDriver
from drivers.new_era import DRIVER, NewEra
from edge.app import beds
from edge.config.files import load_edge
from edge.contract.commands import VERBS
from edge.contract.events import InterlockMoved, PumpStop
from edge.core import interlock, views
from edge.core.alarms import Alarm
from edge.core.bedside import Bedside
from edge.core.interlock_table import Stopping
from edge.core.rules import RulesError, parse_rules
from edge.core.stories import run_story
from edge.core.story_bed import StoryBed
from edge.field.device_url import parse_device_url
from edge.field.devices import Devices
from edge.model import Command, LinkChanged, PumpStatus, Sample, Samples, Tick
from simulators.new_era import NewEraTwin
from tests.helpers.bed_story import DEVICES, ORDER, T0
from tests.helpers.dialogue_run import DialogueRun, StillPatient
from tests.helpers.rule_files import FILE, PROTOCOLS, RULES

GIVEN = "given infusing, pumps may be stopped, background: quiet\n"
ARMED = GIVEN + "1:00 arm anna; arm ben -> interlock armed\n"


def told(story: str) -> StoryBed:
    return run_story(story, "interlock", RULES, "TEC-14", PROTOCOLS)


def moves(bed: StoryBed) -> list[str]:
    bodies = [pending.body for pending in bed.pending_events]
    return [body.stop if isinstance(body, PumpStop) else body.state for body in bodies
            if isinstance(body, PumpStop | InterlockMoved)]


# --- the decision alone -----------------------------------------------------------------------------------------------

AT_ONCE = Stopping(frozenset({"RES-3"}), "high")
LATER = Stopping(frozenset({"HTN-3", "HTN-4"}), "high", 60)


def alarm(rule: str = "RES-3", **has: Any) -> Alarm:
    return Alarm(**{"key": rule, "rule": rule, "bed": "b", "id": "b.1", "state": "active", "priority": "high",
                    "announced_s": 100.0, **has})


@pytest.mark.parametrize(("one", "at_s", "stops"), [
    (alarm(), 100, True), (alarm(state="acknowledged"), 100, True), (alarm(priority="medium"), 100, False),
    (alarm(state="pending"), 100, False), (alarm(state="latched"), 100, False), (alarm(no_data=True), 100, False),
    (alarm(id="spent"), 100, False), (alarm("RES-2"), 100, False),
    (alarm("HTN-3"), 159, False), (alarm("HTN-3"), 160, True), (alarm("HTN-4"), 160, True),
    (alarm("HTN-2", priority="high"), 160, False), (alarm("HTN-3", state="acknowledged"), 160, False),
    (alarm("HTN-3", announced_s=None), 160, False),
])
def test_which_alarm_stops_a_pump(one: Alarm, at_s: float, stops: bool) -> None:
    assert (interlock.decide((AT_ONCE, LATER), [one], {"spent"}, at_s) is not None) is stops


# --- a bed ------------------------------------------------------------------------------------------------------------


def test_it_is_sent_once_and_told_for_as_long_as_it_may_be_sent() -> None:
    bed = told(ARMED + "1:30 stop ignored\n2:00 spo2 84\n2:20 -> RES-3 active, TEC-14 active, stop unconfirmed\n")
    assert moves(bed) == ["asked", "armed", "sent"]
    stop = bed.bedside.state.stop
    assert stop is not None
    for after_s, there in ((0, True), (4.9, True), (5, False)):
        assert interlock.stops(bed.bedside.state, stop.asked_s + after_s) == (
            [("pump", stop.asked_s, stop.asked_s + 5)] if there else [])


def test_what_is_said_of_it_in_the_record() -> None:
    assert moves(told(ARMED + "2:00 spo2 84\n2:30 disarm\n")) == ["asked", "armed", "sent", "confirmed", "disarmed"]
    unsent = "2:00 spo2 84\n2:08 link pump lost\n2:10 spo2 97\n2:30 -> stop none, TEC-14 inactive\n"
    assert moves(told(ARMED + unsent)) == ["asked", "armed", "not_sent", "withdrawn"]


def test_an_edge_that_restarts_while_a_stop_is_not_confirmed_does_not_forget_it() -> None:
    bed = told(ARMED + "1:30 stop ignored\n2:00 spo2 84\n2:10 -> stop sent, RES-3 active\n2:11 restart 30s\n"
               "3:00 -> stop unconfirmed, TEC-14 active, interlock off\n3:10 pump stopped -> stop confirmed\n")
    assert moves(bed).count("sent") == 1


def test_a_snapshot_in_the_middle_changes_nothing() -> None:
    bed = told(ARMED + "1:30 stop ignored\n2:00 spo2 84\n2:10 -> stop sent, RES-3 active\n")
    again = Bedside("story", (), RULES)
    before = bed.bedside.snapshot()
    again.restore(before)
    assert (again.state.stop, again.state.interlock) == (bed.bedside.state.stop, bed.bedside.state.interlock)
    assert views.full(again.state, bed.at_s).interlock == views.full(bed.bedside.state, bed.at_s).interlock


def test_it_is_off_where_edge_toml_is_read_again_and_says_so() -> None:
    bed = told(ARMED)
    bed.bedside.reconfigure(DEVICES, nibp_interval_s=300)
    bed.give(Tick())
    assert bed.bedside.state.interlock is None
    body = bed.pending_events[-1].body
    assert isinstance(body, InterlockMoved) and body.why == "the configuration has changed"


def test_nothing_starts_a_pump() -> None:
    assert not [verb for verb in VERBS if verb.startswith(("start_", "run", "resume_")) and verb != "start_session"]
    assert {request.effect for spec in drivers.find().values() if spec.kind == "pump" for request in spec.requests} == {
        "identify", "read", "stop_pump"}


# --- with the driver and the pump -------------------------------------------------------------------------------------


class Chair:
    """A bed whose pump is the twin, through its driver and dialogue."""

    def __init__(self) -> None:
        self.twin = NewEraTwin(StillPatient())
        self.run = DialogueRun(DRIVER, self.twin, may_stop=True)
        self.bed = Bedside("chair-1", (("device", "pump", "new_era"), *DEVICES[1:]), RULES, protocols=PROTOCOLS,
                           stops=("device",))
        self.seen = 0
        self.run.open()
        self.give(LinkChanged("oximeter", "live"), LinkChanged("cuff", "live"))

    def give(self, *inputs: Any) -> None:
        for one in inputs:
            self.bed.apply(one, T0 + self.run.at_s)

    def command(self, user: str, verb: str, **args: Any) -> None:
        self.give(Command("c", "main", user, "nurse", "chair-1", verb, args))

    def pass_s(self, seconds: int, spo2: float = 97.0) -> None:
        for _ in range(seconds):
            self.run.run(1)
            for at_s, one in self.run.inputs[self.seen:]:
                self.bed.apply(one, T0 + at_s)
            self.seen = len(self.run.inputs)
            at_s = T0 + self.run.at_s
            self.give(Samples("oximeter", tuple(
                Sample("chair-1", "oximeter", metric, value, "valid", at_s)
                for metric, value in (("spo2_pct", spo2), ("pulse_bpm", 70.0)))), Tick())
            for _, asked_s, until_s in interlock.stops(self.bed.state, at_s):
                assert isinstance(self.run.driver, StopDriver)
                self.run.driver.stop(asked_s, until_s + self.edge_s)

    @property
    def edge_s(self) -> float:
        """How far the clock of the dialogue's run is ahead of the bed's."""
        return 1_790_000_000.0 - T0


@pytest.fixture
def chair() -> Chair:
    one = Chair()
    one.command("anna", "start_session", **ORDER)
    one.twin.hands["program"]()
    one.twin.hands["start"]()
    one.pass_s(20)
    one.command("anna", "arm_interlock")
    one.command("ben", "arm_interlock")
    assert one.bed.state.interlock is not None and one.bed.state.interlock.armed_s is not None
    return one


def test_the_pump_is_stopped_and_its_own_word_confirms_it(chair: Chair) -> None:
    chair.pass_s(9, 84)
    assert chair.twin.running
    chair.pass_s(6, 84)
    assert not chair.twin.running and len(chair.run.times("STP")) == 1
    stop = chair.bed.state.stop
    assert stop is not None and stop.confirmed_s is not None and stop.confirmed_s - stop.asked_s <= 5
    assert "TEC-14" not in {one.rule for one in chair.bed.state.alarms.values() if one.state == "active"}
    chair.twin.hands["start"]()
    chair.pass_s(20, 84)
    assert chair.twin.running and len(chair.run.times("STP")) == 1, "whoever starts it again has decided"


def test_a_pump_that_ignores_it_is_an_alarm(chair: Chair) -> None:
    chair.twin.hands["ignore_stop"]()
    chair.pass_s(20, 84)
    assert chair.twin.running and len(chair.run.times("STP")) == 1
    assert chair.bed.state.alarms["TEC-14"].state == "active"
    said = [one.state for _, batch in chair.run.decoded[-9:] for one in batch if isinstance(one, Pump)]
    assert said[-1] == "infusing"


def test_a_pump_that_is_pulled_out_is_not_stopped_when_it_is_back(chair: Chair) -> None:
    chair.twin.hands["mute"]()
    chair.pass_s(30, 84)
    sent = len(chair.run.times("STP"))
    chair.twin.hands["unmute"]()
    chair.pass_s(30, 84)
    assert chair.twin.running and sent <= 1 and len(chair.run.times("STP")) == sent
    assert chair.bed.state.alarms["TEC-14"].state == "active"


# --- the edge ---------------------------------------------------------------------------------------------------------

EDGE_TOML = """[edge]
id = "e"
data = "data"
rules = "rules.toml"
{interlock}
[[bed]]
id = "chair-1"
[[bed.device]]
id = "pump"
driver = "new_era"
at = "tcp://127.0.0.1:4001"
[[bed.device]]
id = "carrier"
driver = "alaris_gh"
role = "carrier"
at = "tcp://127.0.0.1:4002"
"""


@pytest.mark.parametrize(("said", "stops"), [
    ("", ()), ('interlock = "off"', ()), ('interlock = "stop_only"', ("pump",))])
def test_edge_toml_says_whether_a_pump_may_be_stopped(tmp_path: Path, said: str, stops: tuple[str, ...]) -> None:
    (tmp_path / "edge.toml").write_text(EDGE_TOML.format(interlock=said))
    config = load_edge(tmp_path / "edge.toml", drivers.find)
    bed = beds.bedside(config.bed[0], config.edge, drivers.find(), RULES, PROTOCOLS)
    assert tuple(name for name, device in bed.state.devices.items() if device.stops) == stops
    assert beds.recorded(bed.state).stops == stops
    devices = [one for one in views.full(bed.state, 0).devices if one.stops is True]
    assert tuple(one.device for one in devices) == stops


@pytest.mark.parametrize("may_stop", [True, False])
def test_the_edge_tells_the_driver_and_no_other(may_stop: bool) -> None:
    state = told(ARMED + "2:00 spo2 84\n2:09 -> stop sent, RES-3 active\n").bedside.state
    field = Devices(now=lambda: 0.0)
    dialogue = field.add("story", "pump", DRIVER, parse_device_url("tcp://127.0.0.1:4001"), decoded=lambda *_: None,
                         wave=lambda *_: None, may_stop=may_stop)
    assert state.stop is not None
    beds.instruct(field, state, state.stop.asked_s)
    if not may_stop:
        assert dialogue.stopper is None
        return
    assert isinstance(dialogue.stopper, NewEra)
    request = dialogue.stopper.next_request(state.stop.asked_s + 1)
    assert request is not None and request.effect == "stop_pump"
    beds.instruct(field, state, state.stop.asked_s + 1)
    request = dialogue.stopper.next_request(state.stop.asked_s + 2)
    assert request is not None and request.effect == "read", "once"


# --- rules.toml -------------------------------------------------------------------------------------------------------

WRONG = [
    ('rule = "RES-3", priority = "high"', 'rule = "RES-9", priority = "high"', "no alarm is named 'RES-9'; did you"),
    ('rule = "RES-3", priority = "high"', 'rule = "HTN-R", priority = "high"', "no alarm is named 'HTN-R'"),
    ('rule = "RES-3", priority = "high"', 'rule = "RES-3", priority = "low"', "priority must be 'high' or 'medium'"),
    ("unacknowledged_s = 60", "unacknowledged_s = -1", "unacknowledged_s must be seconds, 0 to 600"),
    ("confirm_s = 5 ", "confirm_s = 0 ", "confirm_s must be seconds, more than 0"),
    ("second_within_s = 120", "", "needs second_within_s = "),
]


@pytest.mark.parametrize(("old", "new", "says"), WRONG)
def test_a_faulty_table_is_refused_with_its_line(old: str, new: str, says: str) -> None:
    text = FILE.read_text()
    assert old in text
    with pytest.raises(RulesError, match=f"^rules.toml:\\d+: .*{says}"):
        parse_rules(text.replace(old, new, 1))


def test_a_clinic_says_what_stops_a_pump() -> None:
    text = FILE.read_text().replace('{ rule = "RES-3", priority = "high" }', '{ rule = "RES-2", priority = "medium" }')
    story = ARMED + "2:00 spo2 89\n2:13 -> stop none\n2:14 -> RES-2 active medium, stop sent\n"
    run_story(story, "clinic", parse_rules(text), "TEC-14", PROTOCOLS)
    none = text[:text.index("[interlock]")] + text[text.index("[[rule]]"):]
    run_story(GIVEN + '1:00 arm anna -> refused "not_offered"\n', "clinic", parse_rules(none), "TEC-14", PROTOCOLS)


def test_a_pump_that_speaks_in_the_second_of_the_stop_has_not_confirmed_it() -> None:
    bed = told(ARMED + "1:30 stop ignored\n2:00 spo2 84\n2:09 -> stop sent, RES-3 active\n")
    bed.give(PumpStatus("pump", "stopped"))
    assert bed.bedside.state.stop is not None and bed.bedside.state.stop.confirmed_s is None
    bed.at_s += 0.5
    bed.give(PumpStatus("pump", "stopped"))
    assert bed.bedside.state.stop.confirmed_s == bed.at_s
