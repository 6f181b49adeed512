"""The SunTech driver starts a cuff only when it may, reads each result once, and never takes one number for another."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.contract import ALARMS, REASONS, BadFrame, DeviceAlarms, Heard, Reading, Say, Validity
from drivers.cuff_schedule import Schedule
from drivers.suntech_advantage import (
    ABORT,
    BP_DATA,
    CUFF,
    DRIVER,
    SAYS,
    STARTS,
    STATUS,
    VERSION,
    VERSION_TEXT,
    Advantage,
)
from drivers.suntech_frames import DETERMINATION, ERRORS, LIMITS, encode, failed, reply
from edge.vocabulary import DETERMINATION as HOUSE_DETERMINATION
from edge.vocabulary import METRICS
from simulators.suntech_advantage import TWIN, AdvantageTwin, ack
from tests.golden_table import Row, heard, heard_json, said
from tests.talk import StillPatient, Talk

QUESTIONS = {question.name: question for question in DRIVER.says}
ROWS = heard("suntech_advantage")
GOOD = next(row.frame for row in ROWS if row.name.startswith("115/74"))
START = STARTS["adult"]
EMPTY = reply(bytes(2))
HEALTHY = reply(bytes(2))
UP = reply((150).to_bytes(2, "little"))


def new(**settings: object) -> Advantage:
    driver = DRIVER.driver(settings)
    assert isinstance(driver, Advantage)
    return driver


class Bench:
    """Asks and answers a driver by hand. House time moves 0.2 s with every question."""

    def __init__(self, **settings: object) -> None:
        self.driver = new(**{"start_s": 0.0, **settings})
        self.at_s = 1000.0
        self.greet()

    def greet(self) -> None:
        for say in self.driver.start():
            self.driver.hear(ack("K"), say if say is VERSION else None)

    def next(self) -> Say | None:
        self.at_s += 0.2
        question = self.driver.ask(self.at_s)
        assert question is None or isinstance(question, Say)
        return question

    def until(self, wanted: Say, answers: dict[Say, bytes], most: int = 2000) -> list[Heard]:
        """Answer whatever is asked until `wanted` is; what was heard on the way."""
        told: list[Heard] = []
        for _ in range(most):
            question = self.next()
            if question is wanted:
                return told
            if question is not None:
                assert question in answers, f"{question.name} was not expected before {wanted.name}"
                told += self.driver.hear(answers[question], question)
        raise AssertionError(f"{wanted.name} was never asked")

    def measuring(self) -> None:
        """Up to a started determination with the cuff up."""
        self.until(START, {STATUS: HEALTHY, CUFF: EMPTY})
        self.driver.hear(ack("O"), START)
        for _ in range(3):
            assert self.next() is CUFF
            self.driver.hear(UP, CUFF)

    def result(self, frame: bytes) -> list[Heard]:
        """A determination that ends with K and this result."""
        self.measuring()
        self.driver.hear(ack("K"), None)
        told = self.until(BP_DATA, {CUFF: EMPTY})
        return [*told, *self.driver.hear(frame, BP_DATA)]


def talk(**settings: object) -> tuple[Talk, AdvantageTwin, StillPatient]:
    patient = StillPatient()
    twin = AdvantageTwin(patient, 1)
    conversation = Talk(new(**settings), twin, DRIVER.line)
    conversation.open()
    return conversation, twin, patient


def determinations(conversation: Talk) -> list[tuple[float, tuple[Reading, ...]]]:
    """Every batch of the four readings; fails where they do not come together."""
    found = []
    for at_s, batch in conversation.heard:
        four = tuple(one for one in batch if isinstance(one, Reading) and one.metric in DETERMINATION)
        if four:
            assert tuple(one.metric for one in four) == DETERMINATION
            found.append((at_s, four))
    return found


def starts(conversation: Talk) -> list[float]:
    return conversation.times(START.name)


# --- the table --------------------------------------------------------------------------------------------------------


def test_everything_it_says_is_in_the_table_and_nothing_else() -> None:
    table = {(row.name, row.frame) for row in said("suntech_advantage")}
    assert {(say.name, say.frame) for say in DRIVER.says if isinstance(say, Say)} == table
    assert len(DRIVER.says) == len(table)


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_hears_what_the_table_says(row: Row) -> None:
    if row.asked == "result":
        assert heard_json(Bench().result(row.frame)) == row.expected
        return
    asked = QUESTIONS[row.asked] if row.asked else None
    if row.bad:
        with pytest.raises(BadFrame):
            new().hear(row.frame, asked)
    else:
        assert heard_json(new().hear(row.frame, asked)) == row.expected


def test_words_are_the_houses() -> None:
    assert {reason for reason, _ in ERRORS.values()} | {"implausible", "not_measured", "timeout"} <= REASONS
    assert {"overpressure", "fault", "attention"} <= ALARMS
    assert DRIVER.metrics <= set(METRICS)
    assert DETERMINATION == HOUSE_DETERMINATION
    assert {key: (METRICS[key].low, METRICS[key].high) for key in LIMITS} == LIMITS


def test_the_line_is_as_published() -> None:
    assert (DRIVER.line.baud, DRIVER.line.bits, DRIVER.line.parity, DRIVER.line.stop) == (9600, 8, "N", 1)
    assert (TWIN.baud, TWIN.bits, TWIN.parity, TWIN.stop) == (9600, 8, "N", 1)
    assert all(isinstance(say, Say) and say.gap_s >= 0.1 for say in SAYS)
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
                new().hear(bytes(flipped), asked)


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
       st.sampled_from([None, *SAYS]))
def test_arbitrary_bytes_raise_nothing_but_bad_frame(pieces: list[bytes], asked: Say | None) -> None:
    driver = new()
    for frame in [frame for piece in pieces for frame in [piece, *driver.framing.feed(piece)]]:
        if asked is not None:
            driver.answers(frame, asked)
        try:
            told = driver.hear(frame, asked)
        except BadFrame:
            continue
        assert not [one for one in told if isinstance(one, Reading) and one.metric in DETERMINATION]


FRAMES = [row.frame for row in ROWS]
MOVES = st.one_of(  # mostly a talk that goes well, with everything that can come in between
    st.just("answer"), st.just("answer"), st.just("answer"), st.sampled_from(["ask", "miss", "start", "jump"]),
    st.sampled_from([ack("K"), EMPTY, UP, GOOD, ack("O")]), st.sampled_from(FRAMES),
)


class Anyhow:
    """A driver to which things happen in any order; counts its starts and what it told."""

    def __init__(self) -> None:
        self.driver = new(start_s=0.0)
        self.driver.start()
        self.at_s = 0.0
        self.asked: Say | None = None
        self.begun: list[float] = []
        self.sbps: list[float | None] = []

    def move(self, move: str | bytes) -> None:
        """One thing happens."""
        self.at_s += 400.0 if move == "jump" else 0.2
        if move == "start":
            self.driver.start()
            self.asked = None
        if self.asked is None:
            question = self.driver.ask(self.at_s)
            assert question is None or isinstance(question, Say)
            self.asked = question
            self.begun += [self.at_s] if question is START else []
        if move == "miss" and self.asked is not None:
            told, self.asked = self.driver.unanswered(self.asked), None
            self.tell(told)
        elif move == "answer" and self.asked is not None:
            answers = {START: ack("O"), BP_DATA: GOOD, ABORT: ack("A"), CUFF: EMPTY, STATUS: HEALTHY}
            self.frame(answers.get(self.asked, ack("K")))
        elif isinstance(move, bytes):
            self.frame(move)

    def frame(self, frame: bytes) -> None:
        """A frame comes."""
        answered = self.asked is not None and self.driver.answers(frame, self.asked)
        try:
            told = self.driver.hear(frame, self.asked if answered else None)
        except BadFrame:
            return
        self.asked = None if answered else self.asked
        self.tell(told)

    def tell(self, told: Sequence[Heard]) -> None:
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


# --- when it starts ---------------------------------------------------------------------------------------------------


def test_the_first_pair_and_then_every_interval() -> None:
    conversation, twin, _ = talk()
    conversation.run(1280)
    times = starts(conversation)
    gaps = [later - earlier for earlier, later in pairwise(times)]
    assert 5.0 <= times[0] < 10.0
    assert gaps == pytest.approx([90, 300, 300, 300], abs=2.5)
    results = determinations(conversation)
    assert len(results) == len(times) == twin.completed
    assert {four for _, four in results} == {
        tuple(Reading(metric, value) for metric, value in zip(DETERMINATION, (122.0, 76.0, 91.0, 72.0), strict=True))
    }
    assert all(20 < at_s - began < 40 for began, (at_s, _) in zip(times, results, strict=True))
    assert (conversation.bad, conversation.missed) == (0, 0)


def test_the_cuff_is_watched_while_it_works() -> None:
    conversation, _, _ = talk()
    conversation.run(60)
    pressures = [one.value or 0.0 for _, one in conversation.readings("cuff_pressure_mmhg")]
    assert 155 <= max(pressures) <= 165
    asked = conversation.times(CUFF.name)
    assert min(later - earlier for earlier, later in pairwise(asked)) >= 0.2 - 1e-9
    every = [at_s for at_s, _ in conversation.said]
    assert min(later - earlier for earlier, later in pairwise(every)) >= 0.1 - 1e-9


def test_an_idle_module_is_asked_often_enough_to_be_missed() -> None:
    conversation, _, _ = talk()
    conversation.run(400)
    every = [at_s for at_s, _ in conversation.said]
    assert max(later - earlier for earlier, later in pairwise(every)) <= 2.1


@pytest.mark.parametrize("speed", [1.0, 10.0, 60.0])
def test_it_measures_at_any_speed_of_the_house(speed: float) -> None:
    conversation, twin, _ = talk()
    conversation.speed = speed
    conversation.run(1500)
    good = [four for _, four in determinations(conversation) if four[0].value == 122.0]
    assert len(good) >= 4
    assert len(good) <= twin.completed


def test_never_while_the_cuff_is_up() -> None:
    bench = Bench()
    bench.until(CUFF, {STATUS: HEALTHY})
    bench.driver.hear(reply((11).to_bytes(2, "little")), CUFF)
    for _ in range(50):
        assert bench.next() is CUFF
        bench.driver.hear(reply((11).to_bytes(2, "little")), CUFF)
    bench.until(START, {CUFF: reply((10).to_bytes(2, "little"))}, most=4)


@pytest.mark.parametrize("pressure", [reply((60).to_bytes(2, "little")), reply(b"\xff\xff")])
def test_a_cuff_that_stays_up_or_unknown_is_a_failed_determination(pressure: bytes) -> None:
    bench = Bench()
    told: list[Heard] = []
    for _ in range(200):
        question = bench.next()
        assert question in (CUFF, STATUS, None)
        if question is not None:
            told += bench.driver.hear(pressure if question is CUFF else HEALTHY, question)
    assert [one for one in told if one in failed("not_measured")] == list(failed("not_measured"))


def test_one_low_pressure_is_not_enough() -> None:
    """A late status looks like an empty cuff: one alone starts nothing."""
    bench = Bench()
    bench.until(CUFF, {STATUS: HEALTHY})
    for mmhg in (0, 80, 0, 80, 0, 80):
        bench.driver.hear(reply(mmhg.to_bytes(2, "little")), CUFF)
        assert bench.next() is CUFF


def test_never_before_the_modules_status_is_known() -> None:
    bench = Bench()
    question = bench.next()
    assert question is STATUS
    assert bench.driver.unanswered(question) == ()
    assert bench.next() is None
    bench.until(STATUS, {})


def test_a_module_that_does_not_know_the_status_question_still_measures() -> None:
    bench = Bench()
    bench.until(START, {STATUS: ack("N"), CUFF: EMPTY})


def test_a_busy_module_is_asked_again_later_and_then_given_up() -> None:
    bench = Bench()
    told: list[Heard] = []
    begun: list[float] = []
    for _ in range(13):
        told += bench.until(START, {STATUS: HEALTHY, CUFF: EMPTY})
        begun.append(bench.at_s)
        told += bench.driver.hear(ack("B"), START)
    assert all(later - earlier >= 5.0 for earlier, later in pairwise(begun))
    assert told[-4:] == list(failed("module_error"))


def test_a_sleeping_module_is_woken() -> None:
    bench = Bench()
    bench.until(START, {STATUS: HEALTHY, CUFF: EMPTY})
    assert bench.driver.hear(ack("S"), START) == ()
    bench.until(START, {STATUS: HEALTHY, CUFF: EMPTY}, most=10)


def test_two_failures_buy_the_limb_a_minute() -> None:
    conversation, twin, _ = talk()
    twin.hands["motion"]()
    conversation.run(900)
    ends = [at_s for at_s, _ in determinations(conversation)]
    begun = starts(conversation)
    pauses = [began - ended for ended, began in zip(ends, begun[1:], strict=False)]
    assert pauses[0] == pytest.approx(30, abs=3)
    assert pauses[1] >= 59
    assert all(pause >= 29.5 for pause in pauses)
    assert {four for _, four in determinations(conversation)} == {failed("artifact")}
    assert begun[4] - begun[3] >= 295  # from the fourth failure on, at the ordinary interval


def test_the_schedule_never_runs_behind_itself() -> None:
    schedule = Schedule(interval_s=300.0, first_pair_s=90.0, start_s=5.0)
    schedule.opened(0.0)
    schedule.began(5.0)
    schedule.ended(400.0, good=True)  # it took longer than the interval
    assert not schedule.due(429.9)
    assert schedule.due(430.0)
    schedule.opened(1000.0)  # and a line that comes back late
    assert not schedule.due(1004.9)
    schedule.began(1005.0)
    schedule.ended(1400.0, good=False)
    assert not schedule.due(1429.9)
    assert schedule.due(1430.0)
    schedule.ended(1800.0, good=False)
    assert not schedule.due(1859.9)
    assert schedule.due(1860.0)


# --- how it ends ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("hand", "reason"),
    [("leak", "cuff_leak"), ("loose", "cuff_leak"), ("motion", "artifact"), ("weak", "weak_pulse"),
     ("overpressure", "overpressure")],
)
def test_what_goes_wrong_at_the_cuff_is_told_once_with_its_reason(hand: str, reason: str) -> None:
    conversation, twin, _ = talk()
    twin.hands[hand]()
    conversation.run(60)
    assert [four for _, four in determinations(conversation)] == [failed(reason)]
    assert set(TWIN.hands) == set(twin.hands)


def test_a_patient_nobody_can_measure_gives_no_numbers() -> None:
    conversation, _, patient = talk()
    patient.map_mmhg = None
    conversation.run(60)
    assert [four for _, four in determinations(conversation)] == [failed("weak_pulse")]


def test_one_result_is_read_once_however_often_it_is_said() -> None:
    bench = Bench()
    assert len([one for one in bench.result(GOOD) if isinstance(one, Reading) and one.metric == "sbp_mmhg"]) == 1
    assert bench.driver.hear(GOOD, None) == ()
    assert bench.driver.hear(GOOD, BP_DATA) == ()
    assert bench.driver.hear(ack("K"), None) == ()
    for _ in range(100):
        question = bench.next()
        assert question in (STATUS, None)
        if question is not None:
            bench.driver.hear(HEALTHY, question)


def test_the_last_result_is_not_taken_for_a_cuff_that_never_rose() -> None:
    bench = Bench()
    bench.result(GOOD)
    bench.until(START, {STATUS: HEALTHY, CUFF: EMPTY})
    bench.driver.hear(ack("O"), START)
    bench.driver.hear(ack("K"), None)  # a late K of the determination before
    bench.until(BP_DATA, {CUFF: EMPTY})
    assert bench.driver.hear(GOOD, BP_DATA) == failed("not_measured")


@pytest.mark.parametrize(("letter", "reason"), [("A", "user_abort"), ("E", "module_error"), ("T", "timeout")])
def test_after_any_end_but_k_good_numbers_are_not_believed(letter: str, reason: str) -> None:
    bench = Bench()
    bench.measuring()
    bench.driver.hear(ack(letter), None)
    bench.until(BP_DATA, {CUFF: EMPTY})
    assert bench.driver.hear(GOOD, BP_DATA) == failed(reason)


def test_a_lost_end_mark_is_made_up_for_by_the_empty_cuff() -> None:
    bench = Bench()
    bench.measuring()
    polls = 0
    while (question := bench.next()) is CUFF:
        bench.driver.hear(reply((4).to_bytes(2, "little")), CUFF)
        polls += 1
    assert question is BP_DATA
    assert polls == 15
    assert Reading("sbp_mmhg", 115.0) in bench.driver.hear(GOOD, BP_DATA)


def test_a_cuff_that_never_rose_is_waited_for_and_then_aborted() -> None:
    """An empty cuff before it rose is no end: the module may be about to fill it, and holds the last result."""
    bench = Bench()
    bench.until(START, {STATUS: HEALTHY, CUFF: EMPTY})
    bench.driver.hear(ack("O"), START)
    bench.until(ABORT, {CUFF: EMPTY}, most=800)


def test_a_result_that_is_not_ready_is_asked_for_again() -> None:
    bench = Bench()
    bench.measuring()
    bench.driver.hear(ack("K"), None)
    bench.until(BP_DATA, {})
    assert bench.driver.hear(ack("B"), BP_DATA) == ()
    told = bench.until(BP_DATA, {CUFF: EMPTY})
    assert not [one for one in told if isinstance(one, Reading) and one.metric in DETERMINATION]
    assert Reading("sbp_mmhg", 115.0) in bench.driver.hear(GOOD, BP_DATA)


def test_a_determination_without_an_end_is_aborted_once() -> None:
    bench = Bench()
    bench.measuring()
    bench.until(ABORT, {CUFF: UP}, most=800)
    assert bench.driver.answers(ack("A"), ABORT)
    assert bench.driver.hear(ack("A"), ABORT) == failed("timeout")
    assert bench.driver.hear(ack("K"), None) == ()
    assert bench.next() in (STATUS, None)


# --- silence ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("after_s", [0.5, 6.0, 12.0, 30.0])
def test_a_module_that_falls_silent_fails_the_determination_once(after_s: float) -> None:
    conversation, twin, _ = talk()
    conversation.run(after_s)
    begun = len(starts(conversation))
    twin.hands["mute"]()
    conversation.run(40)
    assert [four for _, four in determinations(conversation)] in ([], [failed("timeout")])
    assert len(determinations(conversation)) >= begun
    assert len(starts(conversation)) <= 1
    twin.hands["unmute"]()
    conversation.run(120)
    assert determinations(conversation)[-1][1][0] == Reading("sbp_mmhg", 122.0)
    assert all(later - earlier >= 30.0 for earlier, later in pairwise(starts(conversation)))


def test_one_lost_cuff_pressure_does_not_end_a_determination() -> None:
    bench = Bench()
    bench.measuring()
    assert bench.next() is CUFF
    assert bench.driver.unanswered(CUFF) == ()
    assert bench.next() is CUFF
    bench.driver.hear(UP, CUFF)
    assert bench.next() is CUFF
    assert bench.driver.unanswered(CUFF) == ()
    assert bench.driver.unanswered(CUFF) == failed("timeout")


def test_a_line_opened_again_in_mid_determination_fails_it_and_starts_none_early() -> None:
    conversation, twin, _ = talk()
    conversation.run(15)
    assert twin.phase != "idle"
    conversation.open()
    opened_s = conversation.at_s
    conversation.run(70)
    assert determinations(conversation)[0][1] == failed("timeout")
    assert starts(conversation)[1] >= opened_s + 30
    assert [four[0].value for _, four in determinations(conversation)] == [None, 122.0]


def test_a_line_that_flaps_starts_nothing_more() -> None:
    conversation, _, _ = talk()
    conversation.run(150)
    begun = len(starts(conversation))
    for _ in range(20):
        conversation.open()
        conversation.run(7)
    assert len(starts(conversation)) == begun == 2


@pytest.mark.parametrize("spoiled", [3, 7])
def test_noise_on_the_line_never_makes_a_number(spoiled: int) -> None:
    conversation, twin, _ = talk()
    count = 0

    def spoil(data: bytes) -> bytes:
        nonlocal count
        count += bool(data)
        if not data or count % spoiled:
            return data
        return b"\x3e\x18" + data[:2] + bytes((data[2] ^ 0x10,)) + data[3:] + b"\xff\x3e"

    conversation.wire, conversation.every = spoil, 2
    conversation.run(3000)
    values = {four[0].value for _, four in determinations(conversation)}
    assert values <= {122.0, None}
    assert conversation.missed > 10
    assert all(later - earlier >= 30.0 for earlier, later in pairwise(starts(conversation)))
    assert twin.completed <= len(starts(conversation))


# --- holding ----------------------------------------------------------------------------------------------------------


def holding(conversation: Talk) -> bool:
    said = [one for _, batch in conversation.heard for one in batch if isinstance(one, DeviceAlarms)]
    return any(alarm.code == "overpressure" for alarm in said[-1].alarms)


def test_over_pressure_holds_until_the_module_was_unplugged() -> None:
    conversation, twin, _ = talk()
    twin.hands["overpressure"]()
    conversation.run(60)
    assert len(starts(conversation)) == 1
    assert holding(conversation)
    twin.hands["ok"]()  # the module is well again, and still nobody has looked
    conversation.run(1000)
    assert len(starts(conversation)) == 1
    assert holding(conversation)
    told = [four for _, four in determinations(conversation)]
    assert len(told) >= 4
    assert set(told) == {failed("overpressure")}  # each that was due and not done
    conversation.open()
    conversation.run(400)
    assert len(starts(conversation)) > 1
    assert not holding(conversation)


def test_a_module_that_was_switched_off_may_measure_again_and_one_that_stuttered_may_not() -> None:
    for silent_s, freed in ((4.0, False), (60.0, True)):
        conversation, twin, _ = talk()
        twin.hands["overpressure"]()
        conversation.run(60)
        twin.hands["ok"]()
        twin.hands["mute"]()
        conversation.run(silent_s)
        twin.hands["unmute"]()
        conversation.run(600)
        assert (len(starts(conversation)) > 1) is freed


@pytest.mark.parametrize("error", [88, 89, 91])
def test_a_module_whose_own_status_forbids_it_is_not_started(error: int) -> None:
    bench = Bench()
    sick = reply(bytes((error, 0)))
    told: list[Heard] = []
    for _ in range(200):
        question = bench.next()
        assert question in (STATUS, None)
        if question is not None:
            told += bench.driver.hear(sick, question)
    reason, _ = ERRORS[error]
    assert [one for one in told if isinstance(one, Reading)] == list(failed(reason))


# --- what it says, over a long and bad day ----------------------------------------------------------------------------


@pytest.mark.parametrize("version", [b"LX2.07", b"SB1.10"])
def test_says_nothing_but_the_table_over_a_long_day(version: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("simulators.suntech_advantage.VERSION_TEXT", (version, b""))
    conversation, twin, _ = talk()
    for hand in ("ok", "motion", "mute", "unmute", "leak", "ok", "overpressure", "ok", "weak", "ok"):
        twin.hands[hand]()
        conversation.run(330)
    conversation.open()
    conversation.run(600)
    everything = {say for _, say in conversation.said}
    assert everything <= set(DRIVER.says)
    assert len(starts(conversation)) > 5
    status = "status_sb" if version.startswith(b"SB") else "status"
    idle = {say.name for at_s, say in conversation.said if say.name.startswith("status") and at_s > 3000}
    assert idle == {status}
    assert not conversation.times("abort")


# --- the twin, as a program that is not ours sees it ------------------------------------------------------------------

EXCHANGES: list[tuple[str, str]] = [
    ("3A 00 C6", "3E 04 4B 73"),
    ("3A 79 10 03 3A", "3E 05 00 00 BD"),
    ("3A 79 11 00 3C", "3E 05 00 00 BD"),
    ("3A 79 05 00 48", "3E 05 00 00 BD"),
    ("3A 17 A0 00 0F", "3E 04 4B 73"),
    ("3A 79 01 00 4C", "3E 04 41 7D"),
    ("3A 8A 3C", "3E 04 4B 73"),
    ("3A 0C 00 01 01 B8", "3E 04 4B 73"),
    ("3A 04 01 C1", "3E 04 4B 73"),
    ("3A 79 02 03 48", "3E 06 00 00 00 BC"),
    ("3A 20 A6", "3E 04 4F 6F"),
    ("3A 87 3F", "3E 04 4F 6F"),
    ("3A 28 9E", "3E 04 4F 6F"),
]


def twin_of(seed: int = 1) -> AdvantageTwin:
    return AdvantageTwin(StillPatient(), seed)


def lived(twin: AdvantageTwin, seconds: float) -> bytes:
    return b"".join(twin.step(0.1) for _ in range(round(seconds * 10)))


@pytest.mark.parametrize(("host", "module"), EXCHANGES)
def test_the_twin_answers_at_every_split(host: str, module: str) -> None:
    sent = bytes.fromhex(host)
    for at in range(len(sent)):
        twin = twin_of()
        assert twin.feed(b"\x00\x79" + sent[:at]) + twin.feed(sent[at:]) == bytes.fromhex(module)


def test_the_twin_takes_about_half_a_minute() -> None:
    for sbp, dbp in ((90.0, 50.0), (120.0, 76.0), (200.0, 110.0)):
        twin = AdvantageTwin(StillPatient(sbp_mmhg=sbp, dbp_mmhg=dbp, map_mmhg=(sbp + 2 * dbp) / 3), 1)
        twin.feed(START.frame)
        assert lived(twin, 20) == b""
        assert lived(twin, 15) == ack("K")
        assert twin.feed(BP_DATA.frame)[2:6] == bytes((round(sbp), 0, round(dbp), 0))


def test_the_twin_refuses_what_it_cannot_do_now() -> None:
    twin = twin_of()
    twin.feed(START.frame)
    for busy in (START.frame, BP_DATA.frame, bytes.fromhex("3A17A0000F")):
        assert twin.feed(busy) == ack("B")
    assert twin.feed(ABORT.frame) == ack("A")
    assert twin.feed(START.frame) == ack("B")
    assert lived(twin, 0.5) == ack("K")
    assert twin.feed(BP_DATA.frame)[20] == 86
    assert twin.feed(encode(b"\x3a", b"\x79\x77\x00")) == ack("N")
    assert twin.feed(encode(b"\x3a", b"\x55")) == ack("D")
    assert twin.feed(encode(b"\x3a", bytes((0x17, 0xFF, 0xFF)))) == ack("E")


@pytest.mark.parametrize("sent", [START.frame[:-1] + b"\x00", b"\x3a\x20", b"\x20\xa6", b"\x3a\x79\x05\x00\x49"])
def test_the_twin_keeps_silent_on_a_wrong_sum(sent: bytes) -> None:
    twin = twin_of()
    assert twin.feed(sent) == b""
    assert twin.phase == "idle"
    assert twin.feed(b"\x00\x00\x00" + CUFF.frame) == EMPTY


def test_the_twin_sleeps_and_wakes() -> None:
    twin = twin_of()
    assert twin.feed(encode(b"\x3a", b"\x81")) == ack("K")
    assert twin.feed(CUFF.frame) == ack("S")
    assert twin.feed(CUFF.frame) == EMPTY


def test_the_twin_rises_falls_and_can_be_reset() -> None:
    twin = twin_of()
    twin.feed(START.frame)
    pressures = [twin.pressure_mmhg for _ in range(250) if twin.step(0.1) == b""]
    top = pressures.index(max(pressures))
    assert 4.5 < top / 10 < 6.5
    assert all(later <= earlier for earlier, later in pairwise(pressures[top:]))
    twin.feed(encode(b"\x3a", b"\x8a"))
    assert (twin.phase, twin.pressure_mmhg) == ("idle", 0.0)
    assert lived(twin, 60) == b""


def test_the_twin_that_is_mute_says_nothing_at_all() -> None:
    twin = twin_of()
    twin.feed(START.frame)
    twin.hands["mute"]()
    assert twin.feed(CUFF.frame) + lived(twin, 60) == b""
    twin.hands["unmute"]()
    assert twin.feed(BP_DATA.frame)[7] == 1


def test_each_measurement_of_the_twin_has_its_own_number() -> None:
    twin = twin_of()
    frames = []
    for _ in range(2):
        twin.feed(START.frame)
        lived(twin, 40)
        frames.append(twin.feed(BP_DATA.frame))
    assert frames[0] != frames[1]
    assert frames[0][2:8] == frames[1][2:8]
    assert VERSION_TEXT.frame == bytes.fromhex("3A7902400B")
    assert Validity.VALID in {one.validity for one in Bench().result(frames[0]) if isinstance(one, Reading)}
