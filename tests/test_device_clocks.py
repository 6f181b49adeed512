"""A device's own clock never gives a number its age: one in the future, one that stands still and one that goes back
are gaps, or say nothing. Of every driver whose device sends a time; the others' say none.
"""

from __future__ import annotations

import random
import re
import struct
from collections import deque
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from functools import reduce
from operator import xor

import pytest

import drivers
import simulators
from drivers.ge_dri import framed as dri_framed
from drivers.intellivue.frames import framed as intellivue_framed
from drivers.intellivue.frames import payload_of
from drivers.kit.clocks import (
    AHEAD_S,
    BEHIND_S,
    EVEN_TIMES,
    GONE_S,
    MOVES,
    PROVEN_S,
    SETTLE_S,
    TIME_PROVEN_S,
    TOLD_S,
    Aged,
    Cadence,
    Clocked,
    GoesOn,
    InStep,
)
from tests.helpers.dialogue_run import START_S, STEP_S, DialogueRun, StillPatient
from tests.helpers.parts import sampled

SPECS = drivers.find()
YEARS_S, HOUR_S = 10 * 365 * 86400.0, 3600.0
BEFORE_S, MEANWHILE_S = 40.0, 60.0
STILL_S = 16.0  # from then on nothing that stands still is shown; a monitor is asked every 5 s
Clock = Callable[[float], float]  # the time a device would send, in its own seconds: what it sends instead


def text_date(form: str, pattern: bytes) -> Callable[[bytes, Clock], bytes]:
    """Rewrites the date in a line of text."""
    def rewritten(frame: bytes, clock: Clock) -> bytes:
        found = re.search(pattern, frame)
        if found is None:
            return frame
        then, zero = datetime.strptime(found[0].decode(), form), datetime(2000, 1, 1)
        now = zero + timedelta(seconds=clock((then - zero).total_seconds()))
        return frame.replace(found[0], now.strftime(form).encode())

    return rewritten


def dri(frame: bytes, clock: Clock) -> bytes:
    """Time, and where that stands still the number of the record too."""
    plain = bytearray(frame[1:-1].replace(b"\x7d\x5e", b"\x7e").replace(b"\x7d\x5d", b"\x7d")[:-1])
    (then,) = struct.unpack_from("<I", plain, 6)
    now = round(clock(then))
    struct.pack_into("<I", plain, 6, now & 0xFFFFFFFF)
    if clock(then) == clock(then + 1):
        plain[2] = 7
    return dri_framed(bytes(plain))


def philips(frame: bytes, clock: Clock) -> bytes:
    """The relative time of a reply to a poll, in 1/8000 s."""
    payload = bytearray(payload_of(frame))
    at = 30 if payload[4:6] == b"\0\5" else 28
    if payload[:4] != bytes.fromhex("E1000002") or payload[at - 8 : at - 6] != b"\xf1\x3b":
        return frame
    (then,) = struct.unpack_from(">I", payload, at)
    struct.pack_into(">I", payload, at, round(clock(then / 8000) * 8000) & 0xFFFFFFFF)
    return intellivue_framed(bytes(payload))


def capnostream(frame: bytes, clock: Clock) -> bytes:
    plain = bytearray(frame[1:-1].replace(b"\x80\x05", b"\x85").replace(b"\x80\x00", b"\x80"))
    if plain[1] != 1:
        return frame
    (then,) = struct.unpack_from(">I", plain, 2)
    struct.pack_into(">I", plain, 2, round(clock(then)) & 0xFFFFFFFF)
    plain.append(reduce(xor, plain))
    return b"\x85" + bytes(plain).replace(b"\x80", b"\x80\x00").replace(b"\x85", b"\x80\x05")


def nonin(frame: bytes, clock: Clock) -> bytes:
    """TMR of a packet of format 7, thirds of a second in 14 bits."""
    if len(frame) != 125:
        return frame
    packet = bytearray(frame)
    thirds = round(clock((packet[28] << 7 | packet[33]) / 3) * 3) & 0x3FFF
    for number, value in ((5, thirds >> 7), (6, thirds & 0x7F)):
        packet[5 * number + 3] = value
        packet[5 * number + 4] = sum(packet[5 * number : 5 * number + 4]) & 0xFF
    return bytes(packet)


REWRITTEN: Mapping[str, Callable[[bytes, Clock], bytes]] = {
    "ge_dri": dri, "intellivue": philips, "capnostream": capnostream, "nonin": nonin,
    "masimo_ascii": text_date("%m/%d/%y %H:%M:%S", rb"\d\d/\d\d/\d\d \d\d:\d\d:\d\d"),
    "nellcor_ascii": text_date("%d-%b-%y %H:%M:%S", rb"\d\d-\w{3}-\d\d \d\d:\d\d:\d\d"),
}
NO_TIME: Mapping[str, str] = {  # why the others' have none
    "alaris_gh": "the number of a log entry is no time", "berry_pm6750": "none", "contec_cms50": "none",
    "contec_cms60": "stored data has one, and is never asked for", "fresenius_orchestra": "none",
    "dinamap": "seconds since the determination: test_driver_dinamap", "dinamap_binary": "a sequence, no time",
    "graseby_3400": "none", "isco": "none", "legato": "none", "medibus": "its time of day, asked for apart: GoesOn",
    "modbus_vitals": "a counter: test_modbus_map", "new_era": "none", "par_nibp": "seconds to its next, not used",
    "suntech_advantage": "none", "terumo_te": "none", "vindum": "none",
}


def test_a_device_sends_a_time_or_none() -> None:
    assert REWRITTEN.keys() | NO_TIME.keys() <= SPECS.keys()
    assert not REWRITTEN.keys() & NO_TIME.keys()


class Hand:
    """Sets the device's clock."""

    def __init__(self, name: str, *, stands: bool = False) -> None:
        spec = SPECS[name]
        self.ahead_s, self.stands = 0.0, stands
        self._stood_s: float | None = None
        self.patient = StillPatient()
        twin = simulators.find()[name].make(self.patient, 1)
        self.run = DialogueRun(spec, twin, wire=self._wire)
        cutting = spec.driver()
        cutting.on_open()
        self._cut, self._rewrite = cutting.framing, REWRITTEN[name]
        self.metric = next(one for one in ("pulse_bpm", "heart_rate_bpm") if one in spec.metrics)
        self.run.open()
        self.run.run(BEFORE_S)

    def _wire(self, data: bytes) -> bytes:
        return b"".join(self._rewrite(frame, self._clock) for frame in self._cut.feed(data))

    def _clock(self, then_s: float) -> float:
        if not self.stands:
            self._stood_s = None
            return then_s + self.ahead_s
        self._stood_s = then_s if self._stood_s is None else self._stood_s
        return self._stood_s

    def valid(self, since_s: float) -> list[float]:
        """When valid numbers came, each stamped with no other time than that."""
        found = []
        for at_s, sample in self.run.samples(self.metric):
            assert abs(sample.at_s - START_S - at_s) <= STEP_S, "a number has the age of its arrival"
            if sample.validity == "valid" and at_s > since_s:
                found.append(at_s)
        return found


@pytest.mark.parametrize("ahead_s", [YEARS_S, HOUR_S, -HOUR_S, -20.0])
@pytest.mark.parametrize("name", REWRITTEN)
def test_a_clock_that_is_set_costs_a_gap_at_most(name: str, ahead_s: float) -> None:
    hand = Hand(name)
    assert hand.valid(BEFORE_S - 10)
    hand.ahead_s = ahead_s
    hand.run.run(MEANWHILE_S)
    assert hand.valid(BEFORE_S + MEANWHILE_S - 10), "it goes on by its new clock"


@pytest.mark.parametrize("name", REWRITTEN)
def test_what_stands_still_is_shown_no_more_and_says_why(name: str) -> None:
    hand = Hand(name)
    hand.stands = True
    hand.run.run(MEANWHILE_S)
    assert hand.valid(BEFORE_S + STILL_S) == []
    hand.stands = False
    hand.run.run(MEANWHILE_S)
    assert hand.valid(BEFORE_S + 2 * MEANWHILE_S - 10), "and again once it goes"


@pytest.mark.parametrize("name", ["masimo_ascii", "capnostream", "nonin"])
def test_a_clock_that_never_went_says_nothing(name: str) -> None:
    """One whose battery is empty, or whose model has none."""
    assert Hand(name, stands=True).valid(BEFORE_S - 10)


LATE_S = 30.0


@pytest.mark.parametrize("name", [name for name in REWRITTEN if SPECS[name].line.stream_bytes_s or name == "ge_dri"])
def test_a_line_that_comes_late_is_not_shown_for_as_long_as_it_does(name: str) -> None:
    """Something holds up all that comes for half a minute, and gives it out as evenly as it came."""
    hand, held, late_s = Hand(name), deque[tuple[float, bytes]](), LATE_S

    def wire(data: bytes) -> bytes:
        held.append((hand.run.at_s, data))
        came = b""
        while held and held[0][0] <= hand.run.at_s - late_s:
            came += held.popleft()[1]
        return came

    hand.run.wire = wire
    hand.run.run(LATE_S + 180)
    assert hand.valid(BEFORE_S + 1) == []
    late_s = 0.0  # it comes in time again
    hand.run.run(30)
    assert hand.valid(BEFORE_S + LATE_S + 180 + 10)


@pytest.mark.parametrize(("times", "faults"), [
    ([7] * 20, 0), ([1, 2, 3, 4, 4, 4, 4], 0), ([1, 2, 3, 4, 4, 4, 4, 4], 1), ([1, 2, 3, 3, 3, 3, 3, 3], 0),
    ([1, 2, 3, 4, 34], 0), ([1, 2, 3, 4, 35], 1), ([1, 2, 3, 4, 99, 100, 101, 102], 2), ([1, 2, 3, 4, 3, 5], 1),
    ([1, 2, 3, 4, 99, 5, 6], 1), ([60, 61, 62, 63, 0, 1], 0),
])
def test_when_a_message_is_not_of_now(times: list[int], faults: int) -> None:
    """At the limit and one step beyond: 30 s between two, three that stand still, the cycle of 64."""
    clock = Clocked(30, still=3, cycle=64 if 63 in times else None)
    assert sum(bool(clock.fault(float(one))) for one in times) == faults
    assert MOVES == 3


@pytest.mark.parametrize(("then", "fault"), [(900, False), (5, False), (4, False), (3, True)])
def test_after_the_line_was_away_any_time_may_have_passed(then: int, fault: bool) -> None:
    clock = Clocked(30, still=3)
    assert not any(clock.fault(float(one)) for one in (1, 2, 3, 4))
    clock.away()
    assert bool(clock.fault(float(then))) is fault


def faults(*messages: tuple[float, float]) -> list[bool]:
    """Which of these messages, by edge time and the device's, are not of now."""
    clock = InStep(cycle_s=1000.0)
    found = []
    for at_s, made_s in messages:
        clock.heard(at_s, 0.0)
        found.append(bool(clock.fault(made_s)))
    return found


@pytest.mark.parametrize(("at_s", "made_s", "fault"), [
    (110.0, 5.0 + AHEAD_S, False), (110.0, 5.0625 + AHEAD_S, True),
    (110.0, 5.0 - BEHIND_S, False), (110.0, 4.9375 - BEHIND_S, True)])
def test_how_far_from_the_edges_clock_a_message_of_now_may_be(at_s: float, made_s: float, fault: bool) -> None:
    """Where the device's clock begins anew, too."""
    assert faults((100.0, 995.0), (at_s, made_s)) == [False, fault]


def test_a_burst_in_small_steps_is_not_of_now_nor_what_follows_until_both_clocks_have_gone_alike() -> None:
    burst = [(10.0, 10.0 + step / 10) for step in range(1, 600)]
    told = faults((10.0, 10.0), *burst, (10.0 + SETTLE_S - 0.1, 69.8 + SETTLE_S), (10.0 + SETTLE_S, 69.9 + SETTLE_S))
    assert told == [False] * 3 + [True] * 598 + [False]


def test_old_messages_among_those_of_now_neither_count_nor_move_what_is_punctual() -> None:
    told = faults((10.0, 10.0), (70.0, 70.0), (70.0, 11.0), (70.5, 70.5), (72.5, 13.5), (73.0, 73.0))
    assert told == [False, False, True, False, True, False]


def test_what_comes_late_is_old_for_as_long_as_it_does_and_a_clock_that_went_back_was_set() -> None:
    """The device's time goes on from one message to the next, whatever holds them up."""
    late = [(40.0 + at_s, 11.0 + at_s) for at_s in range(200)]
    assert faults((9.0, 9.0), (10.0, 10.0), *late) == [False] * 2 + [True] * 200
    assert faults((9.0, 9.0), (10.0, 10.0), *late, (240.0, 240.0)) == [False] * 2 + [True] * 200 + [False]
    gone_back = [(12.0, 2.0), (12.0 + SETTLE_S / 2, 2.0 + SETTLE_S / 2), (12.0 + SETTLE_S, 2.0 + SETTLE_S)]
    assert faults((9.0, 9.0), (10.0, 10.0), *gone_back) == [False] * 2 + [True] * 2 + [False]


@pytest.mark.parametrize(("silent_s", "went_s", "faults_of"), [
    (3600.0, 3540.0, [True, True, False]),  # set back by a minute while it was away
    (GONE_S + 9, GONE_S, [True, True, False]), (GONE_S + 9, GONE_S - 0.1, [True, True, True]),
    (GONE_S, 1.0, [True, True, True]),  # nothing is lacking: all of it is held up
])
def test_a_clock_that_comes_late_after_it_was_away_may_have_been_set(
        silent_s: float, went_s: float, faults_of: list[bool]) -> None:
    clock = InStep()
    again = [(10.0 + silent_s + more_s, 10.0 + went_s + more_s) for more_s in (0.0, SETTLE_S / 2, SETTLE_S)]
    told = []
    for at_s, made_s in [(9.0, 9.0), (10.0, 10.0), *again]:
        clock.heard(at_s, 0.0)
        told.append(bool(clock.fault(made_s)))
    assert told == [False, False, *faults_of]


@pytest.mark.parametrize("name", REWRITTEN)
def test_a_device_whose_clock_is_set_back_while_it_is_away_is_shown_again(name: str) -> None:
    hand = Hand(name)
    hand.run.wire = lambda data: b""
    hand.run.run(10 * MEANWHILE_S)
    hand.ahead_s, hand.run.wire = -2 * MEANWHILE_S, hand._wire
    hand.run.run(MEANWHILE_S)
    assert hand.valid(BEFORE_S + 11 * MEANWHILE_S - 10)


def test_a_clock_that_never_went_is_never_late_and_what_waited_here_is_of_now() -> None:
    assert not any(faults(*((float(at_s), 7.0) for at_s in range(100))))
    clock = InStep()
    for made_s, at_s, unsure_s, fault in ((0, 0, 0, False), (1, 1, 0, False), (2, 2 + BEHIND_S + 9, 9, False),
                                          (3, 3 + BEHIND_S + 9, 8, True)):
        clock.heard(at_s, unsure_s)
        assert bool(clock.fault(made_s)) is fault


@pytest.mark.parametrize(("name", "speed", "stalls_s"), sampled((
    (name, *one) for name in REWRITTEN if SPECS[name].line.stream_bytes_s for one in ((1.0, 1.0), (72.0, 0.4))), 3))
def test_a_loop_that_stands_still_now_and_then_makes_nothing_late_or_early(
        name: str, speed: float, stalls_s: float) -> None:
    """Real seconds, and a recording that is played fast."""
    rng, until_s, held = random.Random(1), 0.0, b""

    def wire(data: bytes) -> bytes:
        nonlocal until_s, held
        held += data
        if run.real_s < until_s:
            return b""
        if rng.random() < 0.05:
            until_s = run.real_s + rng.random() * stalls_s
        came, held = held, b""
        return came

    run = DialogueRun(SPECS[name], simulators.find()[name].make(StillPatient(), 1), speed=speed, wire=wire)
    run.open()
    run.run(90.0 * speed**0.5)
    assert (run.bad, run.dialogue.state) == (0, "live")


def test_a_clock_that_drifts_stays_in_step() -> None:
    assert not any(faults(*((float(at_s), at_s * 1.0001) for at_s in range(0, 100_000, 100))))
    assert not any(faults(*((float(at_s), at_s * 0.9999) for at_s in range(0, 100_000, 100))))


def test_messages_that_come_a_little_late_now_and_then_are_all_of_now() -> None:
    """By up to a second; the earliest of them are punctual."""
    assert not any(faults(*((float(at_s), at_s - (at_s % 7) / 6) for at_s in range(7, 7000))))


OLD_S = 100.0
GOES = [(float(at), OLD_S + at) for at in range(0, 10, 2)]  # edge time, and the age that is told
LAST_S = GOES[-1][0]


@pytest.mark.parametrize(("what", "told", "asked_s", "holds"), [
    ("an age that goes on, at the limit", GOES, LAST_S + PROVEN_S, True),
    ("nothing since", GOES, LAST_S + PROVEN_S + 0.1, False),
    ("one that stands still", [*GOES, (LAST_S + 2, OLD_S + LAST_S)], LAST_S + 2, False),
    ("it was asked for again at once", [*GOES, (LAST_S + 1.5, OLD_S + LAST_S)], LAST_S + 2, True),
    ("an old one among those of now", [*GOES, (LAST_S + 2, OLD_S + 1)], LAST_S + 2, True),
    ("old ones, each as old as the last", [*GOES, *((LAST_S + n, OLD_S + n) for n in range(2, 12, 2))],
     LAST_S + 10, False),
    ("it goes on after it stood still", [*GOES, (LAST_S + 2, OLD_S + LAST_S), (LAST_S + 4, OLD_S + LAST_S + 4)],
     LAST_S + 4, True),
    ("a new result", [*GOES, (LAST_S + 2, 1.0), (LAST_S + 4, 3.0)], LAST_S + 4 + PROVEN_S, True),
    ("no result any more", [*GOES, (LAST_S + 2, None)], LAST_S + 99, True),
    ("one that never went", [(at_s, OLD_S) for at_s, _ in GOES], LAST_S + 99, True),
])
def test_an_age_proves_what_comes_as_long_as_it_goes_on(
        what: str, told: list[tuple[float, float | None]], asked_s: float, holds: bool) -> None:
    aged = Aged()
    for at_s, age_s in told:
        aged.told(age_s, at_s)
    assert aged.holds(asked_s) is holds


@pytest.mark.parametrize(("what", "times", "unsure_s", "bursts"), [
    ("one a second", [float(n) for n in range(20)], 1.0, 0), ("a little faster", [n / 1.25 for n in range(50)], 0.0, 0),
    ("a minute at once", [*range(10), *[10.0] * 60], 1.0, 58),
    ("two that waited here", [*range(10), 11.0, 11.0], 1.0, 0),
    ("a minute at the opening", [5.0] * 60, 1.0, 59), ("and then one a second", [*[5.0] * 60, 6.0, 7.0, 8.0], 1.0, 59),
    ("twice as often", [n / 2 for n in range(100)], 0.0, 50),
    ("two were lost", [*range(10), *range(12, 30)], 1.0, 0),
    ("three were lost, or held up: twelve seconds show which", [*range(10), *range(13, 60)], 1.0, EVEN_TIMES),
    ("held up for a minute, and a little too fast", [*range(10), *(70 + n / 1.06 for n in range(500))], 1.0, 500),
    ("as fast as a clock may be wrong", [*range(10), *(70 + n / 1.05 for n in range(500))], 1.0, EVEN_TIMES),
    ("and even again", [*range(10), *(70 + n / 1.2 for n in range(60)), *range(120, 150)], 1.0, 60 + EVEN_TIMES - 3),
])
def test_what_comes_more_often_than_its_device_sends_was_held_up(
        what: str, times: list[float], unsure_s: float, bursts: int) -> None:
    cadence = Cadence(1.0)
    assert cadence.told() == "now", "nobody says when"
    told = []
    for at_s in times:
        cadence.heard(at_s, unsure_s)
        told.append(cadence.told())
    assert len(told) - told.count("now") == bursts


def test_after_an_opening_that_is_not_the_first_twelve_seconds_are_unsure() -> None:
    cadence, told = Cadence(1.0), []
    for at_s in range(60):
        if at_s in (0, 5, 8):
            cadence.opened()
        cadence.heard(float(at_s), 1.0)
        told.append(cadence.told())
    assert told == ["now"] * 5 + ["unsure"] * (2 + EVEN_TIMES) + ["now"] * (53 - EVEN_TIMES)


GOING = [(float(at_s), 86_390.0 + at_s) for at_s in range(10)]  # once a second, for ten seconds before midnight
STILL_FOR = int(BEHIND_S + TOLD_S)


@pytest.mark.parametrize(("what", "told", "asked_s", "holds"), [
    ("one that never went", [(at_s, 7.0) for at_s in range(60)], 60.0, True),
    ("two steps are too few", [*GOING[:MOVES], (4.0, GOING[2][1] - 60)], 4.0, True),
    ("three show that it goes", [*GOING[:MOVES + 1], (4.0, GOING[3][1] - 60)], 4.0, False),
    ("it goes on over midnight", [*GOING, *((at_s, at_s - 10.0) for at_s in range(10, 20))], 20.0, True),
    ("it stands still", [*GOING, *((9.0 + more, GOING[9][1]) for more in range(1, STILL_FOR - 1))], 15.0, True),
    ("for too long", [*GOING, *((9.0 + more, GOING[9][1]) for more in range(1, STILL_FOR))], 15.0, False),
    ("at its first time after that it may be of one moment alone",
     [*GOING, *((9.0 + more, GOING[9][1]) for more in range(1, 9)), (18.0, 8.0)], 18.0, False),
    ("at its second it goes on", [*GOING, *((9.0 + more, GOING[9][1]) for more in range(1, 9)), (18.0, 8.0),
                                  (19.0, 9.0)], 19.0, True),
    ("summer time began", [*GOING, (10.0, 3600.0), (10.0 + SETTLE_S - 0.5, 3600.0 + SETTLE_S - 0.5)], 11.5, False),
    ("and goes on", [*GOING, (10.0, 3600.0), (10.0 + SETTLE_S, 3600.0 + SETTLE_S)], 12.0, True),
    ("it is told no more", GOING, 9.0 + TIME_PROVEN_S, True), ("since too long", GOING, 9.1 + TIME_PROVEN_S, False),
])
def test_a_time_that_is_asked_for_proves_what_comes_beside_it(
        what: str, told: list[tuple[float, float]], asked_s: float, holds: bool) -> None:
    clock = GoesOn(86_400.0)
    for at_s, made_s in told:
        clock.told(made_s % 86_400.0, at_s)
    assert clock.holds(asked_s) is holds
    clock.forget()
    assert clock.holds(asked_s)
