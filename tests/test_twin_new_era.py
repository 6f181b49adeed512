"""The New Era's twin as programs that are not ours see it: nesp_lib and labmcp-new-era, whose exchanges these are."""

from __future__ import annotations

from drivers.new_era import SAFE, safe
from simulators.contract import Hands
from simulators.new_era import TWIN, NewEraTwin, number
from tests.helpers.dialogue_run import StillPatient


def test_the_twin_gives_what_two_other_programs_said_to_each_other() -> None:
    twin = NewEraTwin(StillPatient())
    twin.reset()
    said = [("020a30534146333005dc03", "02093030413f52658603"), ("020a30534146333005dc03", "02073030 53aaa603"),
            ("0208305645524809 03", "0213303053 4e4531303030 56332e393233 964903"),
            ("020830535450b3f903", safe(b"00S").hex()), ("0209305341463059ad03", "0207303053aaa603")]
    heard = [twin.feed(bytes.fromhex(sent)) for sent, _ in said]
    assert heard == [bytes.fromhex(text.replace(" ", "")) for _, text in said]


def test_safe_mode_stops_the_pump_when_the_host_falls_silent() -> None:
    twin = NewEraTwin(StillPatient())
    twin.safe_s = 5
    twin.hands["start"]()
    twin.step(60.0)
    assert twin.running, "the time-out begins with the first valid packet"
    twin.feed(SAFE["state"].frame)
    assert twin.step(4.9) == b""
    assert twin.step(0.2) == safe(b"00A?T")
    assert not twin.running


def test_numbers_have_four_digits() -> None:
    assert [number(value) for value in (0.0, 5.0081, 52.5, 123.45, 1699.0, 12345.0)] == [
        "0.000", "5.008", "52.50", "123.5", "1699", "9999"]
    hands: Hands = NewEraTwin(StillPatient()).hands
    assert set(TWIN.hands) == set(hands)
