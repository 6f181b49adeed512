"""A cuff that is started over the wire: when its next measurement is due, and that its driver does so."""

from __future__ import annotations

from math import inf
from typing import Any

import pytest

import drivers
from drivers.kit.schedules import Schedule
from edge.core import starting
from edge.core.bedside import Bedside
from edge.model import Boot, Command, LinkChanged, Sample, Samples, Tick
from tests.helpers.bed_story import DEVICES, ORDER, T0
from tests.helpers.rule_files import PROTOCOLS, RULES


def opened() -> Schedule:
    schedule = Schedule(interval_s=300.0, first_pair_s=90.0, start_s=5.0)
    schedule.opened(0.0)
    return schedule


def test_what_is_told_counts_and_the_pauses_are_kept() -> None:
    schedule = opened()
    schedule.told(2.0)
    assert not schedule.due(4.9) and schedule.due(5.0), "never at once after opening"
    schedule.began(5.0)
    schedule.ended(40.0, good=True)
    schedule.told(45.0)
    assert not schedule.due(69.9) and schedule.due(70.0), "30 s after the end of the last"
    schedule.told(160.0)
    assert not schedule.due(159.9) and schedule.due(160.0), "before its own 300 s"
    schedule.began(160.0)
    schedule.ended(180.0, good=False)
    schedule.ended(181.0, good=False)
    assert not schedule.due(240.9) and schedule.due(241.0), "60 s after a second failure"
    schedule.told(inf)
    assert not schedule.due(1e9)
    schedule.told(None)
    assert not schedule.due(459.9) and schedule.due(460.0), "its own again, from the last start"


def test_it_is_held_and_a_reopened_line_brings_no_burst() -> None:
    schedule = opened()
    schedule.told(10.0)
    schedule.held(10.0)
    assert not schedule.due(309.9) and schedule.due(310.0)
    schedule.opened(1000.0)
    assert not schedule.due(1004.9) and schedule.due(1005.0)


@pytest.mark.parametrize("name", sorted(name for name, spec in drivers.find().items()
                                        if any(one.effect == "start_cuff" for one in spec.requests)))
def test_every_driver_that_starts_a_cuff_can_be_told_when(name: str) -> None:
    assert drivers.find()[name].starts_cuff


class Bed:
    """A bed with two cuffs, the first started over the wire."""

    def __init__(self, *starts: str) -> None:
        self.bed = Bedside("chair-1", (*DEVICES, ("cuff-2", "nibp", "c")), RULES, protocols=PROTOCOLS,
                           starts=starts or ("cuff",))
        self.at_s = T0
        for name in self.bed.state.devices:
            self.give(LinkChanged(name, "live"))

    def give(self, given: Any) -> list[Any]:
        return self.bed.apply(given, self.at_s)

    def begin(self, **order: Any) -> Bed:
        self.command("start_session", **{**ORDER, **order})
        state = self.bed.state
        assert state.session is not None
        state.session = type(state.session)(**{
            name: getattr(state.session, name) for name in state.session.__struct_fields__} | {
                "phase": "INFUSING", "started_s": T0})
        self.give(Tick())
        return self

    def command(self, verb: str, **args: Any) -> list[Any]:
        return self.give(Command("c", "main", "nina", "nurse", "chair-1", verb, args))

    def bp(self, after_s: float, sbp: float | None, by: str = "cuff") -> Bed:
        self.at_s = T0 + after_s
        self.give(Samples(by, tuple(
            Sample("chair-1", by, metric, value, "valid" if value else "invalid", self.at_s)
            for metric, value in (("sbp_mmhg", sbp), ("dbp_mmhg", sbp and 75.0)))))
        self.give(Tick())
        return self

    def due(self, by: str = "cuff") -> float | None:
        due_s = dict(starting.starts(self.bed.state, self.at_s))[by]
        return due_s if due_s in (None, inf) else due_s - T0


def test_the_order_drives_the_cuff() -> None:
    bed = Bed().begin(nibp_interval_min=2)
    assert bed.due() == 120
    assert bed.bp(150, 120).due() == 270
    assert Bed().due() is None, "without a session: by its own schedule"
    assert Bed().begin().due() == 300, "what is not known of a patient counts as a risk"
    assert Bed().begin(age_years=40, first_session=False, hypertension=False).due() == 600


def test_a_failed_one_is_repeated_once() -> None:
    bed = Bed().begin(nibp_interval_min=5)
    assert bed.bp(320, None).due() == 320 + 60
    assert bed.bp(390, None).due() == 390 + 300
    assert bed.bp(700, 120).due() == 1000


def test_never_more_than_eight_in_a_quarter_of_an_hour() -> None:
    bed = Bed().begin(nibp_interval_min=2)
    for n in range(8):
        bed.bp(60 + n * 40, 120)
    assert bed.due() == 60 + 900
    bed.at_s = T0 + 940
    assert "too_soon: the arm needs a pause; the cuff can be started again in 20 s" in str(bed.command("measure_bp"))
    bed.at_s = T0 + 960
    bed.command("measure_bp")
    assert bed.due() == 960


def test_after_a_restart_it_is_due_once() -> None:
    bed = Bed().begin(nibp_interval_min=5).bp(300, 120)
    bed.at_s = T0 + 4000
    bed.give(Boot("b", 3000.0))
    bed.give(LinkChanged("cuff", "live"))
    assert bed.due() == 600, "overdue: once, as soon as the driver's pause after an opening lets it"
    assert bed.bp(4030, 120).due() == 4330


def test_one_cuff_is_started_at_a_time_and_the_other_takes_over() -> None:
    bed = Bed("cuff", "cuff-2").begin(nibp_interval_min=5)
    assert (bed.due("cuff"), bed.due("cuff-2")) == (300, inf)
    bed.give(LinkChanged("cuff", "lost"))
    assert (bed.due("cuff"), bed.due("cuff-2")) == (inf, 300)
    bed.give(LinkChanged("cuff-2", "lost"))
    assert (bed.due("cuff"), bed.due("cuff-2")) == (None, None)
    bed.give(LinkChanged("cuff", "live"))
    bed.command("device_off", device="cuff", minutes=5, reason="to the toilet")
    assert bed.due("cuff") == inf


def test_every_valid_determination_counts_whichever_cuff_took_it() -> None:
    bed = Bed().begin(nibp_interval_min=5)
    bed.bp(300, 120).bp(420, 190, by="cuff-2")
    assert [one.sbp_mmhg for one in bed.bed.state.determinations] == [120, 190]
    assert bed.bed.state.alarms["HTN-3"].state == "active"
    bed.bp(430, None, by="cuff")
    assert bed.bed.state.latest["sbp_mmhg"].valid_value == 190, "one that failed hides none"
