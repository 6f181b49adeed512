"""Edge time goes on evenly, whatever happens to the machine's clock."""

from __future__ import annotations

import time
from dataclasses import dataclass

import pytest

from edge.clock import EdgeClock

NOON = 1_790_000_000.0


@dataclass
class Machine:
    """The two clocks of a machine: the wall clock can be stepped, the monotonic one cannot."""

    wall_s: float = NOON
    mono_s: float = 77.0

    def clock(self, speed: float = 1.0, epoch: float | None = None, not_before: float = 0.0) -> EdgeClock:
        return EdgeClock(speed, epoch, not_before=not_before, wall=lambda: self.wall_s, monotonic=lambda: self.mono_s)

    def passes(self, seconds: float) -> None:
        self.wall_s += seconds
        self.mono_s += seconds


STEPS_S = [-NOON, -86_400.0, -3600.0, -1.0, -0.001, 0.001, 1.0, 3600.0, 86_400.0, 370_000_000.0]


@pytest.mark.parametrize("step_s", STEPS_S)
def test_a_step_of_the_wall_clock_changes_nothing(step_s: float) -> None:
    machine = Machine()
    clock = machine.clock()
    machine.passes(10)
    machine.wall_s += step_s
    machine.passes(0.25)
    assert clock.now() == NOON + 10.25


def test_a_fast_clock_scales_what_passes_since_the_epoch() -> None:
    machine = Machine()
    early = machine.clock(speed=60, epoch=NOON - 1)
    machine.passes(2)
    late = machine.clock(speed=60, epoch=NOON - 1)  # another process, started later, agrees
    machine.passes(1)
    assert early.now() == late.now() == NOON - 1 + 4 * 60


def test_a_machine_that_slept_knows_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """A lid closed for 31 minutes: what was read before is 31 minutes old, whatever the other clocks say."""
    asked: list[int] = []
    since_boot_s = [500.0]

    def clock_gettime(which: int) -> float:
        asked.append(which)
        return since_boot_s[0]

    monkeypatch.setattr(time, "clock_gettime", clock_gettime)
    clock = EdgeClock(wall=lambda: NOON)
    before = clock.now()
    since_boot_s[0] += 31 * 60.0
    assert clock.now() - before == 31 * 60.0
    assert set(asked) == {time.CLOCK_BOOTTIME}


def test_a_fast_clock_without_an_epoch_starts_now() -> None:
    machine = Machine()
    clock = machine.clock(speed=10)
    machine.passes(3)
    assert clock.now() == NOON + 30


def test_a_machine_that_boots_in_the_past_goes_on_from_what_the_journal_knows() -> None:
    machine = Machine(wall_s=0.0)
    clock = machine.clock(not_before=NOON)
    assert clock.now() == NOON
    machine.passes(5)
    assert clock.now() == NOON + 5, "holds must run, not stand until 1970 has caught up"


@pytest.mark.parametrize(("passed_s", "seen_s"), [(0.0009, 0.0), (0.001, 0.001), (0.0019, 0.001), (0.25, 0.25)])
def test_answers_are_whole_milliseconds_rounded_down(passed_s: float, seen_s: float) -> None:
    machine = Machine()
    clock = machine.clock()
    machine.passes(passed_s)
    assert clock.now() == NOON + seen_s


def test_no_answer_is_smaller_than_an_earlier_one() -> None:
    machine = Machine()
    clock = machine.clock()
    machine.passes(5)
    before = clock.now()
    machine.mono_s -= 1  # what a monotonic clock never does, and a virtual machine once did
    assert clock.now() == before


def test_the_record_keeps_the_machines_own_time() -> None:
    machine = Machine()
    clock = machine.clock()
    machine.wall_s = 0.25
    assert clock.wall() == "1970-01-01T00:00:00.250Z"
    assert clock.real_s() == 77.0


@pytest.mark.parametrize("speed", [0.0, -1.0, float("inf"), float("nan")])
def test_time_neither_stands_nor_runs_backwards(speed: float) -> None:
    with pytest.raises(ValueError, match="speed must be a positive number"):
        EdgeClock(speed)
