"""A GE monitor: each determination once, no record twice, what its modules have, and its twin."""

from __future__ import annotations

import random
import struct
from collections.abc import Sequence
from itertools import pairwise

import pytest

from drivers.contract import BadFrame, Decoded, DeviceAlarms, Identity, Reading
from drivers.ge_dri import DRIVER, EVERY_S, ONCE, Cuff, FlagFraming, Group, framed
from simulators.cuff import FIRST_S
from simulators.ge_dri import DriTwin
from simulators.probe import SEARCH_S
from tests.helpers.dialogue_run import DialogueRun, StillPatient
from tests.helpers.golden_table import decoded_json, frames
from tests.helpers.oximeter_bench import all_of, listen, opened, spoiled, started

WORKED = next(row.frame for row in frames("ge_dri") if row.name == "worked_record")
NONE = -32767


def record(number: int = 1, time: int = 1_785_156_388, *changes: tuple[int, str, int]) -> bytes:
    """The worked record with another number, time, and values at places of its 270 bytes of groups."""
    plain = bytearray(WORKED[1:-1].replace(b"\x7d\x5e", b"\x7e").replace(b"\x7d\x5d", b"\x7d")[:-1])
    plain[2] = number
    struct.pack_into("<I", plain, 6, time)
    for at, form, value in changes:
        struct.pack_into("<" + form, plain, 44 + at, value)
    return framed(bytes(plain))


def of(items: Sequence[Decoded], metric: str) -> list[float | str | None]:
    found = [one for one in items if isinstance(one, Reading) and one.metric == metric]
    return [one.reason or one.validity.value if one.value is None else one.value for one in found]


def told(run: DialogueRun, metric: str) -> list[float | str | None]:
    return of(all_of(run), metric)


def test_a_driver_that_was_never_started_takes_each_record_of_the_table_at_its_word() -> None:
    for row in [row for row in frames("ge_dri") if not row.bad]:
        driver = DRIVER.driver()
        for _ in range(2):
            expected = [one for one in row.expected if "identity" not in one]
            found = decoded_json(driver.decode(row.frame, None))
            assert [one for one in found if "identity" not in one] == expected, row


def test_one_bad_byte_is_never_a_number() -> None:
    for broken in spoiled(WORKED):
        for frame in FlagFraming().feed(broken):
            assert frame == WORKED, broken


def test_the_end_of_noise_may_be_the_beginning_of_a_record_and_all_is_counted() -> None:
    framing = FlagFraming()
    assert framing.feed(b"\x7e\x01\x02" + WORKED + WORKED[1:] + b"\x7e\x7e" + WORKED) == [WORKED, WORKED]
    framing.flush()
    assert framing.dropped == 3 + len(WORKED) - 1 + 2
    assert framing.feed(b"\x7e" + b"\x01" * 5000 + WORKED * 2)[-1] == WORKED


# --- the determination ------------------------------------------------------------------------------------------------

VALUES, OTHER, GONE = (11800, 7200, 8800, 70), (13000, 8000, 9500, 75), (NONE, NONE, NONE, NONE)
WAS, MEASURES, OLD = (0, VALUES), (0x20, GONE), (0x100, VALUES)
Step = tuple[int, tuple[int, ...]]


@pytest.mark.parametrize(("what", "steps", "systolic"), [
    ("what stands there at the opening", [WAS, WAS], []),
    ("it measures", [WAS, MEASURES, MEASURES, WAS, WAS], [118.0]),
    ("it measures, the first it ever did", [(0, GONE), MEASURES, WAS], [118.0]),
    ("the opening fell into a measurement", [MEASURES, WAS], [118.0]),
    ("it was not seen to measure", [WAS, (0, OTHER), (0, OTHER)], [130.0]),
    ("nor that, and the numbers are the same", [WAS, OLD, WAS], [118.0]),
    ("it grows old", [WAS, MEASURES, WAS, OLD, OLD], [118.0]),
    ("it is cleared", [WAS, OLD, (0x100, GONE)], []),
    ("cleared without growing old", [WAS, (0, GONE)], []),
    ("it fails", [WAS, MEASURES, (0, GONE)], ["not_measured"]),
    ("it fails, and the old numbers come back", [OLD, (0x20, VALUES), OLD], ["not_measured"]),
    ("it cannot be", [WAS, MEASURES, (0, (11800, 7200, 12000, 70))], ["implausible"]),
])
def test_a_determination_counts_once(what: str, steps: Sequence[Step], systolic: list[float | str]) -> None:
    cuff = Cuff()
    assert of([one for label, values in steps for one in cuff.news(Group(3, label, values), 0, None)],
              "sbp_mmhg") == systolic


@pytest.mark.parametrize(("what", "steps", "systolic"), [
    ("an old one at the opening", [(100, 60, WAS)], []),
    ("one of just now at the opening", [(100, 90, WAS)], [118.0]),
    ("at the opening, its time is none", [(100, 0, WAS), (105, 0, WAS)], []),
    ("a new one", [(100, 60, WAS), (105, 60, MEASURES), (110, 108, WAS), (115, 108, WAS)], [118.0]),
    ("the same numbers at another time", [(100, 60, WAS), (105, 104, WAS)], [118.0]),
    ("a failure", [(100, 60, WAS), (105, 60, MEASURES), (110, 60, OLD)], ["not_measured"]),
])
def test_where_the_monitor_says_when_it_measured_that_decides(
    what: str, steps: Sequence[tuple[int, int, Step]], systolic: list[float | str]
) -> None:
    cuff = Cuff()
    items = [one for now, taken, (label, values) in steps for one in cuff.news(Group(3, label, values), now, taken)]
    assert of(items, "sbp_mmhg") == systolic


def test_the_time_of_the_auxiliary_record_is_found() -> None:
    first = bytearray(WORKED[1:-1].replace(b"\x7d\x5e", b"\x7e").replace(b"\x7d\x5d", b"\x7d")[:-1])
    (time,) = struct.unpack_from("<I", first, 6)
    first += struct.pack("<I", time - 2) + bytes(110)
    struct.pack_into("<h", first, 0, len(first))
    struct.pack_into("<hBhB", first, 16, 0, 1, 278, 4)
    first[22:25] = b"\0\0\xff"
    assert of(listen(started(DRIVER), framed(bytes(first))), "sbp_mmhg") == [118.0]


# --- records ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("what", "records", "count"), [
    ("one after the other", [(1, 1000), (2, 1005), (3, 1010)], 3),
    ("twice", [(1, 1000), (1, 1000), (2, 1005)], 2),
    ("an older one, late", [(2, 1005), (1, 1000), (3, 1010)], 2),
    ("two in one second", [(1, 1000), (2, 1000)], 2),
    ("the clock was set back", [(1, 1000), (2, 900), (3, 905), (4, 910), (5, 915), (6, 920)], 3),
    ("old ones, some of them twice", [(9, 1000), (2, 900), (2, 900), (3, 905), (3, 905), (4, 910), (10, 1005)], 2),
    ("old ones, far apart", [(9, 1000), (2, 800), (3, 840), (4, 880), (5, 920), (6, 960)], 1),
    ("it began to count anew", [(255, 1000), (0, 1005)], 2),
])
def test_no_record_counts_twice_or_late(what: str, records: list[tuple[int, int]], count: int) -> None:
    items = listen(started(DRIVER), b"".join(record(number, time) for number, time in records))
    assert of(items, "spo2_pct") == [97.0] * count
    assert [one for one in items if isinstance(one, Identity)] == [Identity(None, "GE S/5, DRI level 9")]


def test_a_record_of_before_the_line_was_lost_says_nothing() -> None:
    driver = started(DRIVER)
    listen(driver, record(1, 1000) + record(2, 1005))
    driver.on_open()
    assert of(listen(driver, record(1, 1000) + record(2, 1005) + record(3, 1010)), "spo2_pct") == [97.0]


def test_a_module_that_is_pulled_out_leaves_no_number_and_one_that_was_never_there_says_nothing() -> None:
    driver = started(DRIVER)
    assert of(listen(driver, record(1, 1000)), "temp_c") == []
    gone = listen(driver, record(2, 1005, (118, "I", 0), (132, "I", 0), (0, "I", 0)))
    for metric in ("spo2_pct", "pulse_bpm", "etco2_mmhg", "heart_rate_bpm"):
        assert of(gone, metric) == ["sensor_disconnected"]
    assert of(gone, "temp_c") == []


def test_a_displayed_record_cut_short_is_bad() -> None:
    plain = bytearray(WORKED[1:-1].replace(b"\x7d\x5e", b"\x7e").replace(b"\x7d\x5d", b"\x7d")[:-9])
    struct.pack_into("<h", plain, 0, len(plain))
    with pytest.raises(BadFrame, match="270 bytes"):
        DRIVER.driver().decode(framed(bytes(plain)), None)


# --- with its twin, through the dialogue ------------------------------------------------------------------------------


def test_twenty_minutes_of_numbers_and_determinations() -> None:
    run = opened(DRIVER, DriTwin(StillPatient()), 1200.0)
    assert (set(told(run, "spo2_pct")), set(told(run, "pulse_bpm"))) == ({98.0}, {72.0})
    assert (set(told(run, "heart_rate_bpm")), set(told(run, "resp_bpm"))) == ({72.0}, {14.0})
    assert (set(told(run, "etco2_mmhg")), set(told(run, "temp_c"))) == ({38.0}, {36.7})
    assert told(run, "sbp_mmhg") == [122.0] * 4
    times = [at_s for at_s, _ in run.readings("sbp_mmhg")]
    assert [round(later - earlier, -1) for earlier, later in pairwise(times)] == [300.0] * 3
    assert {request for _, request in run.sent} == {ONCE}
    assert len(run.sent) == pytest.approx(1200 / EVERY_S, abs=3)
    assert (run.bad, run.dialogue.counters.late, run.dialogue.state) == (0, 0, "live")


@pytest.mark.parametrize("hand", ["loose", "leak", "motion", "weak", "overpressure"])
def test_a_determination_that_fails_is_told(hand: str) -> None:
    twin = DriTwin(StillPatient())
    twin.hands[hand]()
    assert told(opened(DRIVER, twin, FIRST_S + 60), "sbp_mmhg") == ["not_measured"]


def test_finger_leads_and_breath_gone_leave_no_number() -> None:
    run = opened(DRIVER, DriTwin(StillPatient()), 20.0)
    for hand in ("probe_off", "sensor_out", "apnoea"):
        run.twin.hands[hand]()
    run.run(6.0)
    run.forget()
    run.run(20.0)
    for metric in ("spo2_pct", "pulse_bpm", "heart_rate_bpm"):
        assert set(told(run, metric)) == {"not_measured"}, metric
    assert (set(told(run, "etco2_mmhg")), set(told(run, "resp_bpm"))) == ({"invalid"}, {"invalid"})
    alarms = [one for one in all_of(opened(DRIVER, run.twin, 20.0)) if isinstance(one, DeviceAlarms)]  # type: ignore[arg-type]
    assert [[alarm.code for alarm in one.alarms] for one in alarms] == [["no_breath"]]
    for hand in ("probe_on", "sensor_in", "breathe"):
        run.twin.hands[hand]()
    run.run(SEARCH_S + 6)
    assert (told(run, "spo2_pct")[-1], told(run, "heart_rate_bpm")[-1], told(run, "resp_bpm")[-1]) == (98.0, 72.0, 14.0)


def test_records_that_come_by_themselves_are_read_too() -> None:
    """A former host told it to send them."""
    twin = DriTwin(StillPatient())
    run = opened(DRIVER, twin, 30.0)
    example = bytes.fromhex("7E 31" + " 00" * 20 + " FF" + " 00" * 18 + " 01 0A 00 00 00 00 00 00 00 3B 7E")
    assert twin.feed(example) == b""
    run.forget()
    run.run(100.0)
    assert len(told(run, "spo2_pct")) == pytest.approx(30, abs=2)
    assert (run.bad, run.dialogue.counters.late, run.dialogue.state) == (0, 0, "live")


def test_bytes_flipped_and_records_doubled_on_the_way_give_no_wrong_number() -> None:
    dice = random.Random(3)
    run = opened(DRIVER, DriTwin(StillPatient()))

    def wire(data: bytes) -> bytes:
        data = data * (2 if dice.random() < 0.2 else 1)
        return bytes(byte ^ (dice.random() < 0.001) << dice.randrange(8) for byte in data)

    run.wire = wire
    run.run(3000.0)
    assert {one for one in told(run, "spo2_pct") if isinstance(one, float)} == {98.0}
    assert len(told(run, "spo2_pct")) > 250
    assert {one for one in told(run, "sbp_mmhg") if isinstance(one, float)} == {122.0}
    assert len(told(run, "sbp_mmhg")) <= 10
