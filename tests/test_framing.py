"""The framers cut alike however the bytes come, never raise, never grow, and count the bytes they drop."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.contract import Framing
from drivers.kit.framing import Counted, Delimited
from tests.helpers import golden_table

MAX = 20


def delimited() -> Delimited:
    return Delimited(b"!", b"\r", MAX, abort=b"\x1b")


def counted() -> Counted:
    """3E, length, data, sum 0; lengths 4 to 20."""

    def length(held: bytes) -> int | None:
        return None if len(held) < 2 else held[1] if held[1] >= 4 else 0

    return Counted(b"\x3e", length, MAX, lambda frame: sum(frame) & 0xFF == 0)


def whole(*data: int) -> bytes:
    frame = bytes((0x3E, len(data) + 3, *data))
    return frame + bytes((-sum(frame) & 0xFF,))


def fed(framing: Framing, *pieces: bytes) -> list[bytes]:
    return [frame for piece in pieces for frame in framing.feed(piece)]


def held(framing: Delimited | Counted) -> int:
    return len(framing._held)


@pytest.mark.parametrize(
    ("story", "data", "frames", "dropped"),
    [
        ("two frames", b"!A\r!B\r", [b"!A\r", b"!B\r"], 0),
        ("noise before", b"xyz!A\r", [b"!A\r"], 3),
        ("line feeds between", b"!A\r\n!B\r\n", [b"!A\r", b"!B\r"], 2),
        ("a frame that was broken off", b"!AB!C\r", [b"!C\r"], 3),
        ("escape drops what was begun", b"!AB\x1bC\r!D\r", [b"!D\r"], 6),
        ("escape alone", b"\x1b!D\r", [b"!D\r"], 1),
        ("the longest frame", b"!" + b"A" * (MAX - 2) + b"\r", [b"!" + b"A" * (MAX - 2) + b"\r"], 0),
        ("a byte too long", b"!" + b"A" * (MAX - 1) + b"\r!B\r", [b"!B\r"], MAX + 1),
        ("an end with no start", b"\r!B\r", [b"!B\r"], 1),
        ("no end yet", b"!AB", [], 0),
    ],
)
def test_between_two_marks(story: str, data: bytes, frames: list[bytes], dropped: int) -> None:
    framing = delimited()
    assert fed(framing, data) == frames, story
    assert framing.dropped == dropped, story


@pytest.mark.parametrize(
    ("story", "data", "frames", "dropped"),
    [
        ("two frames", whole(1) + whole(2, 3), [whole(1), whole(2, 3)], 0),
        ("noise before", b"xyz" + whole(1), [whole(1)], 3),
        ("a false start swallows nothing", b"\x3e\x07" + whole(1) + whole(2, 3), [whole(1), whole(2, 3)], 2),
        ("a start in the data", whole(0x3E, 0x04, 0x3E), [whole(0x3E, 0x04, 0x3E)], 0),
        ("a wrong sum", whole(1)[:-1] + b"\0" + whole(2), [whole(2)], 4),
        ("a length that cannot be", b"\x3e\x03\x3e\xff" + whole(2), [whole(2)], 4),
        ("not yet whole", whole(1)[:-1], [], 0),
    ],
)
def test_by_length(story: str, data: bytes, frames: list[bytes], dropped: int) -> None:
    framing = counted()
    assert fed(framing, data) == frames, story
    assert framing.dropped == dropped, story


STREAMS = [
    (delimited, b"no!A\r!BB!C\x1b\r\n!DDDD\r"),
    (counted, b"no" + whole(1) + b"\x3e\x09" + whole(2, 3) + whole(0x3E)),
]


@pytest.mark.parametrize(("make", "data"), STREAMS)
def test_cuts_alike_at_every_split(make: Callable[[], Framing], data: bytes) -> None:
    once = make()
    frames = fed(once, data)
    assert len(frames) >= 2
    for at in range(len(data) + 1):
        split = make()
        assert fed(split, data[:at], data[at:]) == frames
        assert split.dropped == once.dropped
    bytewise = make()
    assert fed(bytewise, *(data[at : at + 1] for at in range(len(data)))) == frames


@pytest.mark.parametrize("make", [delimited, counted])
def test_flush_forgets_what_is_incomplete(make: Callable[[], Framing]) -> None:
    framing = make()
    half, frame = (b"!AB", b"C\r") if make is delimited else (whole(1, 2)[:3], whole(1, 2)[3:])
    framing.feed(half)
    framing.flush()
    assert framing.feed(frame) == []
    framing.flush()
    assert framing.dropped == len(half + frame)


FRAGMENTS = st.one_of(
    st.binary(max_size=40),
    st.sampled_from([b"!", b"\r", b"\x1b", b"\x3e", b"!AB\r", whole(1), whole(7, 7, 7), b"\x3e\x14"]),
)


@given(st.lists(FRAGMENTS, max_size=30))
def test_any_bytes_in_any_pieces(pieces: list[bytes]) -> None:
    for make in (delimited, counted):
        framing, once = make(), make()
        frames: list[bytes] = []
        for piece in pieces:
            frames += framing.feed(piece)
            assert held(framing) <= MAX
        assert framing.dropped + held(framing) + sum(map(len, frames)) == sum(map(len, pieces)), "each byte, once"
        assert frames == fed(once, b"".join(pieces))
        assert all(len(frame) <= MAX for frame in frames)


def test_a_flood_is_not_kept() -> None:
    for make in (delimited, counted):
        framing = make()
        fed(framing, b"!\x3e\x14" * 20_000, b"\xff" * 20_000)
        assert held(framing) <= MAX
        assert fed(framing, b"\r" * MAX, b"!A\r" if make is delimited else whole(1))[-1:] == [
            b"!A\r" if make is delimited else whole(1)
        ]


@pytest.mark.parametrize("name", ["alaris_gh", "suntech_advantage"])
def test_a_golden_table_reads_in_the_order_it_is_written(name: str) -> None:
    rows = golden_table.rows(name)
    assert rows == sorted(rows, key=lambda row: row.line)
    assert all(first.name != second.name for first, second in pairwise(rows))
    assert {row.way for row in rows} == {">", "<"}
    assert len(golden_table.requests(name)) + len(golden_table.frames(name)) == len(rows)
