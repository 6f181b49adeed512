"""A capture plays back byte for byte, at its own times, with its own gaps; a bad file is refused in one clear line."""

from __future__ import annotations

import csv
from datetime import datetime, timedelta
from pathlib import Path
from typing import cast

import pytest

import drivers
import simulators
from drivers.contec_cms60 import AGREE, DRIVER
from drivers.contract import Decoded, Reading, Validity, Wave
from edge.model import Samples
from simulators.capture import FORM, SEAM_S, Capture, ReplayTwin
from simulators.contract import Twin
from tests.helpers.dialogue_run import DialogueRun, StillPatient
from tests.helpers.parts import sampled

GOLDEN = Path(__file__).parent / "golden"
SESSION = Capture.read(GOLDEN / "cms60c_session.jsonl")
ON_AIR = b"".join(record.data for record in SESSION.records if record.direction == "dev->host")


def line(ts: str, hex_: str, direction: str = "dev->host") -> str:
    return f'{{"n": 1, "dir": "{direction}", "ts": "{ts}", "hex": "{hex_}"}}\n'


def played(twin: ReplayTwin, seconds: float, dt_s: float) -> list[tuple[float, bytes]]:
    """What came, and by the end of which step."""
    steps = [((n + 1) * dt_s, twin.step(dt_s)) for n in range(round(seconds / dt_s))]
    return [(at_s, said) for at_s, said in steps if said]


def test_the_real_session_is_read_whole() -> None:
    assert len(SESSION.records) == 1148
    assert len(ON_AIR) == 10702
    assert SESSION.records[0].at_s == 0
    assert SESSION.records[-1].at_s == pytest.approx(689.266)


@pytest.mark.parametrize("dt_s", [0.0005, 0.016, 0.1, 3.0, 60.0])
def test_every_record_comes_whatever_the_step(dt_s: float) -> None:
    twin = ReplayTwin(SESSION)
    twin.connect()
    assert b"".join(said for _, said in played(twin, 60.0, dt_s)) == ON_AIR


def test_every_record_comes_at_its_own_time() -> None:
    twin = ReplayTwin(SESSION)
    twin.connect()
    spoken = [record for record in SESSION.records if record.direction == "dev->host"]
    now_s = 0.0
    for record in spoken:
        just_before_s = max(0.0, record.at_s - now_s - 0.0005)
        assert twin.step(just_before_s) == b""
        assert twin.step(record.at_s - now_s - just_before_s) == record.data
        now_s = record.at_s


def test_silent_before_anybody_connects_and_then_it_goes_on_whoever_opens_the_port_again() -> None:
    twin, other = ReplayTwin(SESSION), ReplayTwin(SESSION)
    assert twin.step(100.0) == b""
    twin.connect()
    other.connect()
    assert twin.step(17.0) == other.step(17.0)
    twin.connect()
    assert twin.step(5.0) == other.step(5.0) != b""


def test_it_hears_nothing() -> None:
    twin = ReplayTwin(SESSION)
    twin.connect()
    assert twin.feed(bytes.fromhex("7D 81 A2 80 80 80 80 80 80")) == b""
    assert twin.step(17.0)


def test_the_end_is_silence() -> None:
    twin = ReplayTwin(SESSION)
    twin.connect()
    assert twin.step(36.0)
    assert twin.step(3600.0) == b""


def test_once_it_is_over_a_link_that_opens_again_hears_nothing() -> None:
    twin = ReplayTwin(Capture.parse(line("10:00:00.000", "01 02") + line("10:00:01.000", "03")))
    twin.connect()
    assert b"".join(data for _, data in played(twin, 5, 0.5)) == b"\x01\x02\x03"
    twin.connect()
    assert played(twin, 60, 0.5) == []


def test_rewound_by_hand_it_plays_once_more() -> None:
    twin = ReplayTwin(Capture.parse(line("10:00:00.000", "01 02") + line("10:00:01.000", "03")))
    twin.connect()
    assert twin.step(5.0) == b"\x01\x02\x03"
    twin.hands["rewind"]()
    assert twin.step(0.5) == b"\x01\x02"
    twin.hands["rewind"]()
    assert twin.step(5.0) == b"\x01\x02\x03"
    assert twin.step(60.0) == b""
    twin.hands["rewind"]()
    twin.connect()  # by a new reader
    assert twin.step(5.0) == b"\x01\x02\x03"


def test_a_loop_begins_again_after_its_seam() -> None:
    twin = ReplayTwin(Capture.parse(line("10:00:00.000", "01") + line("10:00:02.000", "02")), loop=True)
    twin.connect()
    assert [twin.step(0.5) for _ in range(12)] == [
        b"\x01", b"", b"", b"\x02", b"", b"\x01", b"", b"", b"", b"\x02", b"", b"\x01",
    ]
    assert SEAM_S == 1.0


def test_one_long_step_of_a_loop_plays_every_round() -> None:
    twin = ReplayTwin(Capture.parse(line("10:00:00.000", "01") + line("10:00:02.000", "02")), loop=True)
    twin.connect()
    assert twin.step(9.5) == bytes([1, 2] * 3 + [1])


def test_a_gap_inside_stays_a_gap() -> None:
    twin = ReplayTwin(Capture.parse(line("10:00:00.000", "01") + line("10:00:30.500", "02")))
    twin.connect()
    assert [at_s for at_s, _ in played(twin, 40.0, 0.5)] == [0.5, 30.5]


def test_midnight_may_lie_between() -> None:
    days = Capture.parse(line("23:59:59.500", "01") + line("00:00:00.25", "02") + line("23:00:00", "03")
                         + line("00:30:00", "04"))
    assert [record.at_s for record in days.records] == pytest.approx([0.0, 0.75, 82800.5, 88200.5])


def test_a_contec_is_known_by_what_its_host_says() -> None:
    start = "7D 81 A1 80 80 80 80 80 80"
    assert SESSION.asks_contec
    assert Capture.parse(line("10:00:00", start, "host->dev") + line("10:00:07", "01")).asks_contec
    assert not Capture.parse(line("10:00:00", "02 70 02 02 07 03", "host->dev") + line("10:00:07", start)).asks_contec


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("hello", "line 1: not JSON; write " + FORM),
        ("[1]", "line 1: not a JSON object; write " + FORM),
        ("\n" + line("10:00:00", "01") + '{"dir": "dev->host", "hex": "01"}', "line 3: 'ts' is missing or no text;"),
        (line("10:00:00", "01", "there"), "line 1: dir is 'there'; write \"dev->host\" or \"host->dev\""),
        (line("25:00:00", "01"), "line 1: ts is '25:00:00'; write a time of day"),
        (line("10:00:00", "0G"), "line 1: hex is '0G'; write pairs of hex digits"),
        (line("10:00:05", "01") + line("10:00:04", "01"), "line 2: time runs backwards; put the records in the order"),
        (line("10:00:05", "01", "host->dev"), "the device never speaks in it; give a file of lines like"),
        ("", "the device never speaks in it"),
        (" \n", "is empty, the device never speaks in it"),
        (line("10:00:00", "01") + line("10:00:01", "01")[:30], "line 2: is cut off; delete this line to play the rest"),
        (line("10:00:00", "01")[:30], "line 1: not JSON; write " + FORM),
        (line("10:00:00", "01") + "~~~\n" + line("10:00:01", "01"), "line 2: not JSON; write " + FORM),
        ("[" * 100000, "line 1: not JSON"),
    ],
)
def test_a_bad_file_is_refused_in_one_line(text: str, says: str, tmp_path: Path) -> None:
    path = tmp_path / "bad.jsonl"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"bad\.jsonl") as refusal:
        Capture.read(path)
    message = str(refusal.value)
    assert says in message
    assert "\n" not in message
    assert message.startswith(str(path))


def test_a_file_of_bytes_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "bin.jsonl").write_bytes(b"\xb3\x00" * 99)
    with pytest.raises(ValueError, match=r"bin\.jsonl: is no text; give a file of lines like"):
        Capture.read(tmp_path / "bin.jsonl")


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"none\.jsonl: cannot be read .*give a file of lines like"):
        Capture.read(tmp_path / "none.jsonl")


def test_the_real_session_through_the_driver_is_what_was_decoded() -> None:
    with (GOLDEN / "cms60c_realtime_decoded.csv").open(newline="") as file:
        decoded = list(csv.DictReader(file))
    driver = DRIVER.driver()
    driver.on_open()
    real_time: list[list[Decoded]] = []
    waves: list[int | None] = []
    shown: dict[str, Reading] = {}
    history: list[dict[str, Reading]] = []
    for frame in driver.framing.feed(ON_AIR):
        heard = list(driver.decode(frame, None))
        if frame[0] != 0x01:
            continue
        real_time.append(heard)
        shown |= {item.metric: item for item in heard if isinstance(item, Reading)}
        history.append(dict(shown))
        waves += [sample for item in heard if isinstance(item, Wave) for sample in item.samples]
    assert driver.framing.dropped == 0
    assert len(real_time) == len(decoded) == 1177
    for row, now, before in zip(decoded, history, [{}, *history], strict=False):
        for metric, column in (("spo2_pct", "spo2"), ("pulse_bpm", "pr")):
            reading = now[metric]
            if row["probe_error"] == "1":
                assert (reading.value, reading.validity, reading.reason) == (None, Validity.INVALID, "sensor_off")
            elif row["searching"] == "1":
                assert (reading.value, reading.validity, reading.reason) == (None, Validity.INVALID, "searching")
            elif before[metric].value is None and reading.value is None:
                assert 893 <= int(row["i"]) < 893 + AGREE - 1  # the first number waits until so many frames agree
            else:
                assert (reading.value, reading.validity) == (float(row[column]), Validity.VALID)
    expected = [None if row["probe_error"] == "1" else int(row["pleth"]) for row in decoded]
    assert waves == expected[: len(waves)]
    assert len(waves) == 1177 // 15 * 15
    without_number = [row for row in decoded if row["probe_error"] == "1" or row["searching"] == "1"]
    assert (len(without_number), len(decoded) - len(without_number)) == (893, 284)
    assert {(row["pr"], row["spo2"]) for row in decoded if row not in without_number} == {("82", "97")}


# --- every driver's device, recorded and played ---------------------------------------------------------------------

SPECS = {name: spec for name, spec in drivers.find().items() if not spec.transports[0].startswith("modbus")}
RECORDED_S, KEPT = 40.0, 0.9


class Recorded:
    """A twin, and what both sides say as a capture has it."""

    def __init__(self, twin: Twin) -> None:
        self.hands, self._twin = twin.hands, twin
        self.lines, self._now = "", datetime(2026, 1, 31, 10)

    def connect(self) -> None:
        self._twin.connect()

    def step(self, dt_s: float) -> bytes:
        self._now += timedelta(seconds=dt_s)
        return self._note("dev->host", self._twin.step(dt_s))

    def feed(self, data: bytes) -> bytes:
        self._note("host->dev", data)
        return self._note("dev->host", self._twin.feed(data))

    def _note(self, direction: str, data: bytes) -> bytes:
        if data:
            self.lines += line(f"{self._now:%H:%M:%S.%f}", data.hex(" "), direction)
        return data


def numbers(run: DialogueRun) -> list[tuple[str, float]]:
    run.open()
    run.run(RECORDED_S)
    return [(sample.metric, sample.value) for _, one in run.inputs if isinstance(one, Samples)
            for sample in one.samples if sample.value is not None]


@pytest.mark.parametrize("name", sampled(((name,) for name in SPECS), 4))
def test_what_is_played_gives_the_numbers_that_were_recorded(name: str) -> None:
    """Of a device that is asked, too, at whatever moment it is asked."""
    twin = Recorded(cast("Twin", simulators.find()[name].make(StillPatient(), 1)))
    for hand in ("program", "start"):
        twin.hands.get(hand, lambda: None)()
    told = numbers(DialogueRun(SPECS[name], twin))
    again = numbers(DialogueRun(SPECS[name], ReplayTwin(Capture.parse(twin.lines))))
    assert told
    assert len(again) >= KEPT * len(told)
    assert set(again) <= set(told)
