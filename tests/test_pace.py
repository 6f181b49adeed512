"""How old the bytes of a stream may be, by how many come in how short a time: at once, after a gap, in a flood."""

from __future__ import annotations

import pytest

from edge.field.pace import ANYHOW_S, CHUNKED, EVEN_S, HELD_S, REOPENED_S, Flood, Pace


def test_what_came_at_once_is_no_pace_by_which_the_next_would_be_of_now() -> None:
    pace, late = Pace(10_000.0, 5.0, 1.0), []
    for turn in range(1, 700):
        at_s = turn * 0.05
        for count in (4096, 4096, 3808) if turn in (400, 500, 640) else (10,):  # a minute at once, as it is read
            if not pace.of_now(count, at_s, at_s, awaited=False):
                late.append(turn)
        pace.frame(20)
    assert [late.count(turn) for turn in (400, 500, 640)] == [3, 3, 3]


@pytest.mark.parametrize(("length", "count", "fits"), [
    (20, 780, True), (20, 820, False), (120, 960, True), (120, 961, False)])
def test_two_seconds_of_what_comes_usually_may_come_at_once_or_eight_frames_of_those_of_late(
        length: int, count: int, fits: bool) -> None:
    """400 bytes a second, which may become four times as many, but not at once; frames that were longer before it was
    told to send shorter ones count no more."""
    pace = Pace(10_000.0, 5.0, 1.0)
    for turn in range(1, 2000):
        assert pace.of_now(20, turn * 0.05, turn * 0.05, awaited=False) or turn < 3
        pace.frame(3000 if turn < 1900 else length)
    assert pace.of_now(count, 100.0, 100.0, awaited=False) is fits


EVEN = 20  # bytes each 0.05 s


def held_up(gap_s: float, faster: float, lasts_s: float, frame: int = 20, *, reopened: bool = False) -> list[bool]:
    """What is of now of a stream that stops for `gap_s`, and then comes so many times faster."""
    pace, told, turn = Pace(10_000.0, 60.0, 1.0), [], 0
    for turn in range(1, 400):
        assert pace.of_now(EVEN, turn * 0.05, turn * 0.05, awaited=False) or turn < 3
        pace.frame(frame)
    if reopened:
        pace.opened(turn * 0.05 + gap_s, turn * 0.05 + gap_s)
    for piece in range(round(lasts_s / 0.05)):
        at_s = turn * 0.05 + gap_s + piece * 0.05
        told.append(pace.of_now(round(EVEN * faster), at_s, at_s, awaited=False))
    return told


@pytest.mark.parametrize("faster", [1.1, 1.2, 1.9, 3.0])
def test_what_a_gap_owes_is_old_however_little_comes_at_once(faster: float) -> None:
    owed_s = 20.0 / (faster - 1.0)
    told = held_up(20.0, faster, owed_s + 5.0)
    caught_up = told.index(True) * 0.05
    assert caught_up == pytest.approx(owed_s, abs=2.0) and all(told[told.index(True):])


@pytest.mark.parametrize(("gap_s", "faster", "old_s"), [
    (20.0, 1.0, EVEN_S), (20.0, 0.5, EVEN_S), (HELD_S + 0.05, 1.0, EVEN_S), (HELD_S, 1.0, 0.0)])
def test_what_a_gap_has_lost_costs_some_seconds_more_and_a_short_one_nothing(
        gap_s: float, faster: float, old_s: float) -> None:
    assert held_up(gap_s, faster, 10.0).index(True) * 0.05 == pytest.approx(old_s)


def with_pauses(faster: float, on_s: float, off_s: float, seconds: float) -> list[bool]:
    """A stream that goes on `faster` after 20 s of nothing, with a pause of `off_s` after each `on_s`, in steps of 50
    ms: which of them are of now."""
    pace, told = Pace(10_000.0, 60.0, 1.0), []
    for turn in range(1, 400 + round(20 * (20.0 + seconds))):
        at_s = turn * 0.05
        behind_s = at_s - 40.0
        if at_s > 20.0 and (behind_s < 0 or behind_s % (on_s + off_s) >= on_s):
            continue
        pace.frame(10)
        of_now = pace.of_now(round(EVEN * (faster if behind_s >= 0 else 1.0)), at_s, at_s, awaited=False)
        told += [of_now] if behind_s >= 0 else []
    return told


def test_pauses_in_what_was_held_up_are_no_slower_pace() -> None:
    """A device that nobody heard was asked again and again to begin anew, and said nothing meanwhile."""
    assert not any(with_pauses(1.25, on_s=1.0, off_s=0.5, seconds=50.0))
    assert not all(with_pauses(1.0, on_s=1.0, off_s=0.5, seconds=3.0))
    assert with_pauses(1.0, on_s=1.0, off_s=0.5, seconds=6.0)[-1]


def test_a_line_on_which_all_comes_in_pieces_is_of_now_again_after_a_minute() -> None:
    told = with_pauses(1.0, on_s=0.05, off_s=0.3, seconds=80.0)
    assert told.index(True) * 0.35 == pytest.approx(CHUNKED * EVEN_S, abs=2 * EVEN_S)


@pytest.mark.parametrize(("gap_s", "faster", "old_s"), [
    (20.0, 1.0, REOPENED_S), (0.5, 1.0, REOPENED_S), (20.0, 1.1, ANYHOW_S), (20.0, 1.5, ANYHOW_S), (20.0, 3.0, 10.0)])
def test_what_was_kept_while_the_line_was_closed_is_old(gap_s: float, faster: float, old_s: float) -> None:
    """What comes faster for half a minute, and never ends, is of another device or another setting."""
    told = held_up(gap_s, faster, ANYHOW_S + 5.0, reopened=True)
    assert told.index(True) * 0.05 == pytest.approx(old_s, abs=0.2)
    assert all(told[told.index(True) + 40:])


def test_of_few_large_frames_nobody_can_say_how_fast_they_come() -> None:
    assert all(held_up(20.0, 1.2, 10.0, frame=1000))


@pytest.mark.parametrize("speed", [1.0, 72.0])
def test_two_seconds_in_which_this_process_stood_still_come_at_once_and_are_of_now(speed: float) -> None:
    """Real ones, however fast a recording is played; from when its pace is known."""
    pace = Pace(10_000.0, 60.0, speed)
    for turn in range(1, 400):
        real_s = turn * 0.05
        pace.of_now(round(EVEN * speed), real_s * speed, real_s, awaited=False)
        pace.frame(20)
    for real_s, count in ((21.9, 39 * EVEN), (21.95, EVEN)):
        assert pace.of_now(round(count * speed), real_s * speed, real_s, awaited=False)


@pytest.mark.parametrize(("pieces", "floods"), [
    ([(0.0, 16_384)], [False]),  # after a pause so many may come at once
    ([(0.0, 16_385)], [True]),
    ([(0.0, 16_384), (0.0, 1)], [False, True]),
    ([(0.0, 16_384), (0.1, 400), (0.1, 1)], [False, False, True]),  # four times 1000 bytes a second
    ([(0.0, 16_384), (0.1, 401), (0.1, 400)], [False, True, False]),  # what is thrown away takes no room
])
def test_more_than_four_lines_carry_is_a_flood(pieces: list[tuple[float, int]], floods: list[bool]) -> None:
    flood = Flood(1000.0)
    assert [flood.has(count, at_s) for at_s, count in pieces] == floods
