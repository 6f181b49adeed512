"""Two devices that nothing tells apart, away at the same time: each gives no number until a person has said whose it
is; and nobody is asked where nothing can have been mixed up."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial

import pytest

from edge.field.link_state import Link
from edge.field.together import ASKED, LONG_S, LOOK, Together


@dataclass
class Ward:
    """Oximeters of three beds that send a frame a second; one silent for 5 s is away."""

    links: dict[str, Link] = field(default_factory=dict)
    away: set[str] = field(default_factory=set)
    treated: set[str] = field(default_factory=set)
    real_s: float = 0.0

    def __post_init__(self) -> None:
        together = Together()
        for bed in ("chair-1", "chair-2", "chair-3"):
            link = self.links[bed] = Link(bed, "oximeter", 5.0, now=lambda: self.real_s)
            link.among(together.joins(f"{bed}/oximeter", "nonin", partial(self.treated.__contains__, bed)))
            link.opened(0.0)
        self.run(3)

    def run(self, seconds: int) -> None:
        for _ in range(seconds):
            self.real_s += 1.0
            for bed, link in self.links.items():
                if bed not in self.away:
                    link.received(4, self.real_s)
                    link.understood(4)
                    link.good([], self.real_s)
                link.passed(self.real_s)

    def out(self, *beds: str) -> None:
        """The cable at the device's end."""
        self.away |= set(beds)

    def back(self, *beds: str) -> None:
        self.away -= set(beds)

    def pulled(self, *beds: str) -> None:
        """The adapters, in and out again in a moment."""
        for bed in beds:
            self.links[bed].lost("hung up", self.real_s)
        for bed in beds:
            self.links[bed].opened(self.real_s)

    @property
    def asked(self) -> set[str]:
        """Whose link asks, and gives no number."""
        asks = {bed for bed, link in self.links.items() if link.changes[-1].ask}
        assert asks == {bed for bed, link in self.links.items() if link.state == "wrong_device"}
        assert not any(self.links[bed].up for bed in asks)
        return asks


def test_one_alone_is_asked_nothing() -> None:
    ward = Ward()
    for bed in ward.links:
        ward.out(bed)
        ward.run(20)
        ward.back(bed)
        ward.run(5)
    assert ward.asked == set()
    assert all(link.up for link in ward.links.values())


def test_two_that_were_away_together_are_asked_and_the_third_is_not() -> None:
    ward = Ward()
    ward.out("chair-1", "chair-2")
    ward.run(20)
    ward.back("chair-1", "chair-2")
    ward.run(5)
    assert ward.asked == {"chair-1", "chair-2"}
    assert ward.links["chair-1"].changes[-1].reason == f"away at the same time as chair-2/oximeter: {LOOK}"
    ward.links["chair-1"].confirm()
    ward.run(2)
    assert ward.asked == {"chair-2"}, "each is said for itself"
    assert ward.links["chair-1"].up
    ward.run(600)
    assert ward.asked == {"chair-2"}, "it is asked until somebody has"
    ward.links["chair-2"].confirm()
    ward.run(2)
    assert all(link.up for link in ward.links.values())


def test_one_that_is_back_first_may_already_be_the_other() -> None:
    ward = Ward()
    ward.out("chair-1")
    ward.run(10)
    ward.out("chair-2")
    ward.run(3)  # nobody knows yet that the second is away
    ward.back("chair-1")
    ward.run(30)
    assert ward.asked == set(), "as far as is known"
    ward.back("chair-2")
    ward.run(3)
    assert ward.asked == {"chair-2"}


def test_adapters_changed_in_a_moment() -> None:
    ward = Ward()
    ward.pulled("chair-2", "chair-3")
    ward.run(2)
    assert ward.asked == {"chair-2", "chair-3"}


def test_one_after_the_other_was_never_together() -> None:
    ward = Ward()
    ward.pulled("chair-2")
    ward.run(10)
    ward.pulled("chair-3")
    ward.run(2)
    assert ward.asked == set()


def test_one_that_goes_away_while_it_is_asked_is_still_asked() -> None:
    ward = Ward()
    ward.pulled("chair-1", "chair-2")
    ward.run(2)
    ward.out("chair-1")
    ward.run(20)
    ward.links["chair-2"].confirm()
    ward.back("chair-1")
    ward.run(2)
    assert ward.asked == {"chair-1"}


@pytest.mark.parametrize(("seconds", "treated", "asks"), [
    (LONG_S, set(), False), (LONG_S - 1, set(), True), (LONG_S, {"chair-1"}, True), (LONG_S, {"chair-3"}, False)])
def test_a_night_is_as_a_start_unless_somebody_is_treated(seconds: float, treated: set[str], asks: bool) -> None:
    """The last good frame came at 3 s, and the next one comes a second after they are switched on."""
    ward = Ward(treated=treated)
    ward.out("chair-1", "chair-2")
    ward.run(round(seconds) - 1)
    ward.back("chair-1", "chair-2")
    ward.run(5)
    assert ward.asked == ({"chair-1", "chair-2"} if asks else set())


@pytest.mark.parametrize(("stood_s", "asks"), [(8.0, False), (31.0 * 60, True)])
def test_an_edge_that_stood_still_hears_what_waits_and_one_that_slept_asks(stood_s: float, asks: bool) -> None:
    ward = Ward()
    ward.real_s += stood_s
    for link in ward.links.values():
        link.overslept(stood_s - 1.0, ward.real_s)
        link.passed(ward.real_s)
    ward.run(2)
    assert ward.asked == (set(ward.links) if asks else set())


@pytest.mark.parametrize("asked", [True, False])
def test_an_edge_that_starts_asks_what_was_asked_before_and_nothing_else(asked: bool) -> None:
    link = Link("chair-1", "oximeter", 5.0, now=lambda: 0.0)
    link.among(Together().joins("chair-1/oximeter", "nonin", bool, asked=asked))
    link.opened(0.0)
    link.received(4, 1.0)
    link.understood(4)
    link.good([], 1.0)
    assert (link.state, link.up) == (("wrong_device", False) if asked else ("live", True))
    assert link.changes[-1].reason == (ASKED if asked else "")
