"""The SunTech driver's words: its table, bad bytes, any order of answers, and nothing said beyond the table."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.contract import ALARMS, REASONS, BadFrame, Decoded, FrameRequest, Reading
from drivers.kit.cuffs import DETERMINATION, LIMITS
from drivers.suntech_advantage import DRIVER
from drivers.suntech_advantage.frames import ERRORS
from drivers.suntech_advantage.requests import ABORT, BP_DATA, CUFF, REQUESTS, STARTS, STATUS
from edge.vocabulary import DETERMINATION as HOUSE_DETERMINATION
from edge.vocabulary import METRICS
from simulators.suntech_advantage import TWIN, ack
from tests.helpers.golden_table import Row, decoded_json
from tests.helpers.suntech_bench import EMPTY, GOOD, HEALTHY, ROWS, START, UP, Bench, new, starts, with_twin

# --- the table --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("row", [row for row in ROWS if row.request == "result"], ids=str)
def test_a_result_at_the_end_of_a_determination_says_what_its_row_says(row: Row) -> None:
    assert decoded_json(Bench().result(row.frame)) == row.expected


def test_a_started_driver_takes_no_result_for_a_determination_it_did_not_start() -> None:
    driver = new()
    driver.on_open()
    assert driver.decode(GOOD, BP_DATA) == ()


def test_words_are_the_houses() -> None:
    assert {reason for reason, _ in ERRORS.values()} | {"implausible", "not_measured", "timeout"} <= REASONS
    assert {"overpressure", "fault", "attention"} <= ALARMS
    assert DRIVER.metrics <= set(METRICS)
    assert DETERMINATION == HOUSE_DETERMINATION
    assert {key: (METRICS[key].low, METRICS[key].high) for key in LIMITS} == LIMITS


def test_the_line_is_as_published() -> None:
    assert (DRIVER.line.baud, DRIVER.line.bits, DRIVER.line.parity, DRIVER.line.stop) == (9600, 8, "N", 1)
    assert (TWIN.baud, TWIN.bits, TWIN.parity, TWIN.stop) == (9600, 8, "N", 1)
    assert all(isinstance(say, FrameRequest) and say.gap_s >= 0.1 for say in REQUESTS)
    assert CUFF.gap_s >= 0.2


@pytest.mark.parametrize(
    ("settings", "words"),
    [({"interval_s": 20.0}, "interval_s"), ({"first_pair_s": 10}, "first_pair_s"), ({"start_s": -1.0}, "start_s"),
     ({"patient": "dog"}, "adult, paediatric, neonate")],
)
def test_a_setting_that_cannot_be_is_refused_in_words(settings: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        DRIVER.driver(settings)


@pytest.mark.parametrize("patient", list(STARTS))
def test_the_start_fits_the_patient(patient: str) -> None:
    bench = Bench(patient=patient)
    bench.until(STARTS[patient], {STATUS: HEALTHY, CUFF: EMPTY})


# --- bad bytes --------------------------------------------------------------------------------------------------------


def test_any_single_bit_flipped_is_a_bad_frame() -> None:
    for frame, asked in ((GOOD, BP_DATA), (UP, CUFF), (ack("K"), None)):
        for bit in range(len(frame) * 8):
            flipped = bytearray(frame)
            flipped[bit // 8] ^= 1 << bit % 8
            with pytest.raises(BadFrame):
                new().decode(bytes(flipped), asked)


@pytest.mark.parametrize("row", [row for row in ROWS if not row.bad], ids=str)
def test_frames_are_cut_alike_at_every_split(row: Row) -> None:
    stream = b"\x00\x3e\x3enoise" + row.frame + b"\xff" + GOOD
    for at in range(len(stream) + 1):
        framing = new().framing
        assert framing.feed(stream[:at]) + framing.feed(stream[at:]) == [row.frame, GOOD]


def test_a_truncated_frame_does_not_swallow_the_next() -> None:
    framing = new().framing
    assert framing.feed(GOOD[:9] + UP + GOOD + UP) == [UP, GOOD, UP]


@given(st.lists(st.one_of(st.binary(max_size=80), st.sampled_from([row.frame for row in ROWS])), max_size=12),
       st.sampled_from([None, *REQUESTS]))
def test_arbitrary_bytes_raise_nothing_but_bad_frame(pieces: list[bytes], asked: FrameRequest | None) -> None:
    driver = new()
    driver.on_open()
    for frame in [frame for piece in pieces for frame in [piece, *driver.framing.feed(piece)]]:
        if asked is not None:
            driver.is_response(frame, asked)
        try:
            told = driver.decode(frame, asked)
        except BadFrame:
            continue
        assert not [one for one in told if isinstance(one, Reading) and one.metric in DETERMINATION]


FRAMES = [row.frame for row in ROWS]
MOVES = st.one_of(  # mostly a with_twin that goes well, with everything that can come in between
    st.just("answer"), st.just("answer"), st.just("answer"), st.sampled_from(["ask", "miss", "start", "jump"]),
    st.sampled_from([ack("K"), EMPTY, UP, GOOD, ack("O")]), st.sampled_from(FRAMES),
)


class Anyhow:
    """A driver to which things happen in any order; counts its starts and what it told."""

    def __init__(self) -> None:
        self.driver = new(start_s=0.0)
        self.driver.on_open()
        self.at_s = 0.0
        self.asked: FrameRequest | None = None
        self.begun: list[float] = []
        self.sbps: list[float | None] = []

    def move(self, move: str | bytes) -> None:
        """One thing happens."""
        self.at_s += 400.0 if move == "jump" else 0.2
        if move == "start":
            self.driver.on_open()
            self.asked = None
        if self.asked is None:
            request = self.driver.next_request(self.at_s)
            assert request is None or isinstance(request, FrameRequest)
            self.asked = request
            self.begun += [self.at_s] if request is START else []
        if move == "miss" and self.asked is not None:
            told, self.asked = self.driver.on_timeout(self.asked), None
            self.tell(told)
        elif move == "answer" and self.asked is not None:
            answers = {START: ack("O"), BP_DATA: GOOD, ABORT: ack("A"), CUFF: EMPTY, STATUS: HEALTHY}
            self.frame(answers.get(self.asked, ack("K")))
        elif isinstance(move, bytes):
            self.frame(move)

    def frame(self, frame: bytes) -> None:
        """A frame comes."""
        answered = self.asked is not None and self.driver.is_response(frame, self.asked)
        try:
            told = self.driver.decode(frame, self.asked if answered else None)
        except BadFrame:
            return
        self.asked = None if answered else self.asked
        self.tell(told)

    def tell(self, told: Sequence[Decoded]) -> None:
        """What was heard."""
        self.sbps += [one.value for one in told if isinstance(one, Reading) and one.metric == "sbp_mmhg"]


@given(st.lists(MOVES, max_size=150))
def test_in_any_order_of_things_a_number_needs_a_start(moves: list[str | bytes]) -> None:
    """Never more good results than starts, and starts 30 s apart, or 5 s where the module said it was busy."""
    anyhow = Anyhow()
    for move in moves:
        anyhow.move(move)
    assert len([sbp for sbp in anyhow.sbps if sbp is not None]) <= len(anyhow.begun)
    busy = {ack("B"), ack("S")} & {move for move in moves if isinstance(move, bytes)}
    assert busy or all(later - earlier >= 30.0 for earlier, later in pairwise(anyhow.begun))


def test_and_such_an_order_can_end_well() -> None:
    anyhow = Anyhow()
    for move in ("answer",) * 5 + (UP, ack("K"), "answer", "answer", "answer"):
        anyhow.move(move)
    assert [sbp for sbp in anyhow.sbps if sbp is not None] == [115.0]


# --- what it says, over a long and bad day ----------------------------------------------------------------------------


@pytest.mark.parametrize("version", [b"LX2.07", b"SB1.10"])
def test_says_nothing_but_the_table_over_a_long_day(version: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("simulators.suntech_advantage.VERSION_TEXT", (version, b""))
    run, twin, _ = with_twin()
    for hand in ("ok", "motion", "mute", "unmute", "leak", "ok", "overpressure", "ok", "weak", "ok"):
        twin.hands[hand]()
        run.run(330)
    run.open()
    run.run(600)
    everything = {say for _, say in run.sent}
    assert everything <= set(DRIVER.requests)
    assert len(starts(run)) > 5
    status = "status_sb" if version.startswith(b"SB") else "status"
    idle = {say.name for at_s, say in run.sent if say.name.startswith("status") and at_s > 3000}
    assert idle == {status}
    assert not run.times("abort")
