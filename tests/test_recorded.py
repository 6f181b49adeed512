"""Two recordings of real life go the whole way, and their gaps arrive as gaps.

The oximeter: a real CMS60C session, played on its line byte for byte. The patient: 72 minutes of MIMIC numerics, felt
by the twins. Each goes through driver, link, bed, journal and MQTT, as separate processes over real ptys and TCP.
"""

from __future__ import annotations

import asyncio
import csv
import itertools
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from drivers.contec_cms60 import DRIVER as CONTEC
from drivers.contec_cms60 import REAL_TIME
from edge.model import PumpStatus, Sample, Samples, from_iso, iso
from edge.vocabulary import DETERMINATION, METRICS
from simulators.capture import Capture
from tests.helpers.bodies import body_of
from tests.helpers.edge_run import EdgeRun, edge_running

pytestmark = [pytest.mark.slow, pytest.mark.long]

GOLDEN = Path(__file__).parent / "golden"
SESSION, DECODED = GOLDEN / "cms60c_session.jsonl", GOLDEN / "cms60c_realtime_decoded.csv"
MIMIC = GOLDEN / "mimic_s25047_numerics_1min.csv"

Word = tuple[float | None, str, str | None]  # value, validity, reason
LEAP = ("questionable", "artifact")
NEW = ("questionable", "low_signal_quality")  # a number on a line without a sum, until it is said again
IMPLAUSIBLE: Word = (None, "invalid", "implausible")
LOWEST_DBP = 20.0  # below it, edge.core.plausible believes no determination


def word(said: Sample | dict[str, Any]) -> Word:
    if isinstance(said, Sample):
        return said.value, said.validity, said.reason
    return said["value"], said["validity"], said["reason"]


def news(words: Iterable[Word]) -> list[Word]:
    """Each word once for as long as it stays the same."""
    return [one for one, _ in itertools.groupby(words)]


def check_wire_tells_the_journal(run: EdgeRun) -> None:
    """Whatever MQTT says of a number, the journal has said of the same moment; and it carries the watermark.

    A pressure no patient can have (recorded: 74/10 mmHg) is in the journal as it was heard, and on no screen; a leap
    (recorded: 92 to 71 %) is on the screens as questionable until it is said again.
    """
    told: dict[tuple[str, str], set[Word]] = {}
    for recorded in run.recorded():
        if isinstance(recorded.input, Samples):
            for sample in recorded.input.samples:
                told.setdefault((sample.metric, iso(sample.at_s)), set()).add(word(sample))
    assert run.vitals()
    for heard in run.vitals():
        assert heard.said["simulated"] is True
        for metric, said in heard.said["numerics"].items():
            diastolic = {value for value, _, _ in told.get(("dbp_mmhg", said["at"]), ())}
            refused = metric in DETERMINATION and any(value is not None and value < LOWEST_DBP for value in diastolic)
            may = told[metric, said["at"]] | ({IMPLAUSIBLE} if refused else set())
            if metric == "spo2_pct" and word(said)[1:] == LEAP:
                assert (said["value"], "valid", None) in may
                continue
            assert word(said) in may, (metric, said)
            assert said["value"] is None or said["validity"] == "valid" or word(said)[1:] == NEW, (metric, said)


# --- the oximeter -----------------------------------------------------------------------------------------------------

SPEED = 3.0
OXIMETER = "contec-cms60"
OFF: Word = (None, "invalid", "sensor_off")
SEARCHING: Word = (None, "invalid", "searching")
NO_INDEX: Word = (None, "unavailable", None)
NO_STREAM: Word = (None, "unavailable", None)  # the device said that its stream is off
FIRST_WORDS = 17  # packets before the stream
LATENESS_S = 2.5  # edge time a busy machine may add; 0.8 s of real time


@pytest.fixture(scope="module")
async def session(tmp_path_factory: pytest.TempPathFactory) -> EdgeRun:
    """The session has been played to its end and past it, until its silence was an alarm.

    Its first 109 bytes say who the device is; then it is silent for fifteen seconds, before its stream begins.
    """
    data = tmp_path_factory.mktemp("session")
    async with edge_running(data, CONTEC.name, "--play", str(SESSION), speed=SPEED) as run:
        await run.until(lambda: run.numerics("spo2_pct"), 30, "the stream, 15 s after the first words")
        await run.until(lambda: any(e["body"]["state"] == "active" for e in run.events("alarm")), 30, "an alarm")
    return run


def frames() -> list[dict[str, str]]:
    """The session's real-time frames, decoded by somebody else, in their order."""
    with DECODED.open(newline="") as file:
        return list(csv.DictReader(file))


def frame_times() -> list[float]:
    """When each real-time frame was said, in seconds after the first."""
    stream = [record for record in Capture.read(SESSION).records if record.direction == "dev->host"
              and record.data[0] == REAL_TIME]
    return [record.at_s - stream[0].at_s for record in stream for _ in range(len(record.data) // 9)]


def meaning(frame: dict[str, str], metric: str) -> Word:
    if frame["probe_error"] == "1":
        return OFF
    if frame["searching"] == "1":
        return SEARCHING
    if metric == "perfusion_index_pct":
        return NO_INDEX if frame["pi_invalid"] == "1" else (int(frame["pi_x100"]) / 100, "valid", None)
    return float(frame["pr" if metric == "pulse_bpm" else "spo2"]), "valid", None


@pytest.mark.parametrize("metric", ["spo2_pct", "pulse_bpm", "perfusion_index_pct"])
def test_a_finger_that_is_out_is_a_reason_and_never_a_number(session: EdgeRun, metric: str) -> None:
    decoded, times = frames(), frame_times()
    assert len(decoded) == len(times) == 1177
    truth = [(times[at], meaning(frame, metric)) for at, frame in enumerate(decoded)]
    samples = list(itertools.dropwhile(lambda sample: word(sample) == NO_STREAM, session.samples(metric)))
    assert news(map(word, samples)) == news(words for _, words in truth)
    began_s = samples[0].at_s
    turned = [next(group) for _, group in itertools.groupby(samples, key=word)]
    due = [next(group) for _, group in itertools.groupby(truth, key=lambda each: each[1])]
    for sample, (due_s, _) in zip(turned, due, strict=True):
        assert sample.at_s - began_s == pytest.approx(due_s, abs=LATENESS_S)
    for before, after in itertools.pairwise(samples):  # and it is said anew every second, so that it has an age
        assert after.at_s - before.at_s <= 1.0 + LATENESS_S


def test_the_screens_are_told_so_too(session: EdgeRun) -> None:
    check_wire_tells_the_journal(session)
    for metric, value in (("spo2_pct", 97.0), ("pulse_bpm", 82.0), ("perfusion_index_pct", None)):
        words = [word(said) for _, said in session.numerics(metric)]
        words = list(itertools.dropwhile(lambda each: each == NO_STREAM, words))
        without = [each for each in words if each[1] == "invalid"]
        assert set(without) == {OFF, SEARCHING}, metric
        assert {each[0] for each in words[len(without):]} == {value}, "once found, it stays found"


def test_every_byte_of_the_session_was_understood(session: EdgeRun) -> None:
    device = session.device(OXIMETER)
    assert device is not None
    assert device["bad"] == 0
    assert device["late"] <= FIRST_WORDS, "what waited at the port when it was opened is late, and nothing else"
    understood = device["frames"] + device["late"]
    assert 1160 <= understood <= 1177 + FIRST_WORDS, "all but what the port forgot while it was being opened"
    pleth = [None if frame["probe_error"] == "1" else int(frame["pleth"]) for frame in frames()]
    at = total = 0
    for piece in session.waves("pleth"):
        found = next((i for i in range(at, len(pleth)) if pleth[i:i + len(piece)] == piece), None)
        assert found is not None, f"{piece} is nowhere in the session after sample {at}"
        at, total = found + len(piece), total + len(piece)
    assert total >= 0.8 * len(pleth)


def test_after_the_end_the_last_number_grows_old_and_the_link_says_why(session: EdgeRun) -> None:
    last = session.samples("spo2_pct")[-1]
    assert word(last) == (97.0, "valid", None)
    stale_after_s = METRICS["spo2_pct"].stale_after_s
    for at_s, said in session.numerics("spo2_pct"):
        assert from_iso(said["at"]) <= last.at_s, "nobody stamps it anew"
        age_s = at_s - from_iso(said["at"])
        assert said["age_s"] == pytest.approx(age_s, abs=0.06)
        assert said["stale"] == (age_s > stale_after_s)
    for metric in ("spo2_pct", "pulse_bpm", "perfusion_index_pct"):
        assert session.numerics(metric)[-1][1]["stale"] is True
    links = [(event, body_of(event)) for event in session.events_recorded("link")]
    silent = [event for (_, before), (event, now) in itertools.pairwise([(links[0][0], None), *links])
              if now is not None and now.state == "silent" and (before is None or before.state != "silent")]
    reason = f"nothing received for {CONTEC.line.silent_after_s:g} s"
    assert [body_of(event).reason for event in silent] == [reason] * 2, "before the stream, and after it"
    waited_s = (silent[1].at_s - last.at_s) / SPEED
    assert CONTEC.line.silent_after_s - 1 <= waited_s <= CONTEC.line.silent_after_s + LATENESS_S, "real seconds"
    alarms = [(e["body"]["rule"], e["body"]["state"], e["body"]["priority"]) for e in session.events("alarm")]
    assert alarms == [("TEC-4", "active", "low")], "the patient gave no cause for any"


def test_the_record_of_the_session_holds_and_replays(session: EdgeRun) -> None:
    session.check_record()


# --- the patient ------------------------------------------------------------------------------------------------------

FAST = 72.0  # 72 minutes in one
LATE_MIN = 1 + int(2.0 * FAST / 60)  # minutes that a machine takes up which is held up for two real seconds
MINUTE_S = 60.0
CUFF, PUMP, NONIN = "suntech-advantage", "isco-tcp", "nonin"
OFTEN = {"suntech_advantage": {"interval_s": 30.0, "first_pair_s": 30.0, "start_s": 0.0}}
NO_SIGNAL: Word = (None, "unavailable", "searching")
CUFF_READ_S = 90.0  # edge time from a cuff's end to its result in the record: the wire's real second and a bit


@pytest.fixture(scope="module")
async def patient(tmp_path_factory: pytest.TempPathFactory) -> EdgeRun:
    """The patient's 72 minutes, and one more in which there is nothing left to measure."""
    data = tmp_path_factory.mktemp("patient")
    simulate = ("--patient", str(MIMIC), "nonin", "suntech_advantage", "isco:modbus+tcp")
    async with edge_running(data, *simulate, speed=FAST, settings=OFTEN) as run:
        ends_s = run.began_s + (len(rows()) + 1) * MINUTE_S
        await asyncio.sleep((ends_s - run.clock.now()) / FAST)
    return run


def rows() -> list[dict[str, float | None]]:
    """The recording: one row a minute, None where a cell is empty."""
    with MIMIC.open(newline="") as file:
        found = [{key: float(cell) if cell else None for key, cell in row.items()} for row in csv.DictReader(file)]
    assert [row["minute"] for row in found] == list(range(72))
    return found


def signal(column: str) -> list[Word]:
    """What each minute has to become: a 0 there means that there was no signal, and so does the recording's end."""
    values = [row[column] for row in rows()]
    return [*((float(round(value)), "valid", None) if value else NO_SIGNAL for value in values), NO_SIGNAL]


def minute(run: EdgeRun, at_s: float) -> int:
    return max(int((at_s - run.began_s) / MINUTE_S), 0)  # before the beginning the devices feel the first


COLUMNS = [("spo2_pct", "SpO2_pct"), ("pulse_bpm", "PULSE_bpm")]


@pytest.mark.parametrize(("metric", "column"), COLUMNS)
def test_every_minute_is_told_as_recorded_and_its_gaps_as_gaps(patient: EdgeRun, metric: str, column: str) -> None:
    truth, everything = signal(column), patient.samples(metric)
    first = minute(patient, everything[0].at_s)
    assert first <= 2, "heard from the start"
    new = [sample.value for sample in everything if word(sample)[1:] == NEW]
    assert set(new) <= {value for value, *_ in truth}
    samples = [sample for sample in everything if word(sample)[1:] != NEW]
    assert len(new) < 0.3 * len(everything), "of the three packets of a second, the first of those that are new"
    strangers = [(minute(patient, sample.at_s), sample) for sample in samples if word(sample) not in truth]
    assert not strangers, "nobody recorded that"
    told = news(map(word, samples))
    assert told in [news(truth[at:]) for at in (first, max(first - 1, 0))]
    for sample in samples:
        now = minute(patient, sample.at_s)
        assert word(sample) in truth[max(now - LATE_MIN, 0):now + 1] or now >= len(truth), f"minute {now}: {sample}"
    heard = {minute(patient, sample.at_s) for sample in everything}
    assert heard >= set(range(first, len(rows()) + 1)), "a stream, without a hole"


@pytest.mark.parametrize(("metric", "column"), COLUMNS)
def test_the_screens_see_each_gap(patient: EdgeRun, metric: str, column: str) -> None:
    check_wire_tells_the_journal(patient)
    said = [(minute(patient, from_iso(numeric["at"])), word(numeric)) for _, numeric in patient.numerics(metric)]
    assert all(each[0] is None or each[0] > 0 for _, each in said)
    gaps = [at for at, each in enumerate(signal(column)) if each == NO_SIGNAL and at >= 2]
    assert gaps
    for gap in gaps:
        assert NO_SIGNAL in [each for at, each in said if at == gap], f"minute {gap} of {metric}"


def determinations(run: EdgeRun) -> list[tuple[float, dict[str, Word]]]:
    """Each frame that ended a cuff's cycle: when, and its four words."""
    return [(recorded.at_s, {sample.metric: word(sample) for sample in recorded.input.samples})
            for recorded in run.recorded()
            if isinstance(recorded.input, Samples) and any(s.metric == "sbp_mmhg" for s in recorded.input.samples)]


def pressures(row: dict[str, float | None]) -> list[Word] | None:
    """What a cuff has to say in this minute, in the order of DETERMINATION; None: there is nothing to find."""
    columns = ("NBPSys_mmHg", "NBPDias_mmHg", "NBPMean_mmHg", "PULSE_bpm")
    values = [value for column in columns if (value := row[column])]
    return [(float(round(value)), "valid", None) for value in values] if len(values) == len(columns) else None


def test_a_cuff_finds_what_was_recorded_or_fails_with_a_reason(patient: EdgeRun) -> None:
    recorded = [pressures(row) for row in rows()] + [None] * 3
    good = failed = 0
    for at_s, words in determinations(patient):
        assert set(words) == set(DETERMINATION)
        found = [words[metric] for metric in DETERMINATION]
        may = recorded[max(minute(patient, at_s - CUFF_READ_S), 0):minute(patient, at_s) + 1]
        if words["sbp_mmhg"][0] is None:
            assert set(found) == {(None, "invalid", "weak_pulse")}
            assert None in may, f"minute {minute(patient, at_s)}: there was a pressure to find"
            failed += 1
        else:
            assert found in may, f"minute {minute(patient, at_s)}: {found}"
            good += 1
    assert good >= 4 and failed >= 8, "the cuff met both kinds of minutes"


def test_the_absurd_passes_only_where_the_vocabulary_lets_it(patient: EdgeRun) -> None:
    for recorded in patient.recorded():
        if isinstance(recorded.input, Samples):
            for sample in recorded.input.samples:
                metric = METRICS[sample.metric]
                assert sample.value is None or metric.low <= sample.value <= metric.high, sample
    assert {277.0, 273.0} <= {sample.value for sample in patient.samples("pulse_bpm")}, "up to 321 it may be true"
    for name in (NONIN, CUFF, PUMP):
        device = patient.device(name)
        assert device is not None and (device["link"], device["bad"]) == ("live", 0), device


def test_a_real_desaturation_is_a_high_alarm_and_a_gap_does_not_end_it(patient: EdgeRun) -> None:
    events = [event for event in patient.events_recorded("alarm") if body_of(event).rule == "RES-3"
              and body_of(event).alarm_phase != "update"]
    # 71 % in minute 40, 97 % in 46, 65 % in 56, no signal in 58, 100 % in 60, 36 % in 70
    due = [("active", 40), ("latched", 46), ("active", 56), ("latched", 60), ("active", 70)]
    assert [body_of(event).state for event in events] == [state for state, _ in due]
    for event, (state, at) in zip(events, due, strict=True):
        assert at <= minute(patient, event.at_s) <= at + 1, f"{state} in minute {at}"
    first = events[0]
    assert body_of(first).priority == "high"
    assert first.at_s >= patient.began_s + 40 * MINUTE_S + 10, "held for 10 s first"
    assert body_of(first).evidence[0].metric == "spo2_pct" and body_of(first).evidence[0].value == 71
    heard = {event["seq"]: event for event in patient.events("alarm")}
    for event in events:
        assert heard[event.seq]["hash"] == event.hash and heard[event.seq]["body"] == json.loads(event.body_json)
    shown = [alarm for state in patient.states() for alarm in state["alarms"] if alarm["rule"] == "RES-3"]
    assert ("active", "high") in {(alarm["state"], alarm["priority"]) for alarm in shown}


ISCO_SETTLES = 4  # rounds
HELD_UP_S = 25.0  # a machine held up for a third of a second: at this speed a technical alarm is right then
OF_THIS_PATIENT = {"RES-1", "RES-2", "RES-3", "HTN-3", "CAR-1", "CAR-2", "CAR-3", "CAR-5"}  # a pulse of 277, 74/10 mmHg


def test_nothing_else_is_said_of_the_patient(patient: EdgeRun) -> None:
    active = [event for event in patient.events_recorded("alarm") if body_of(event).state == "active"]
    rules = {body_of(event).rule for event in active}
    technical = {rule for rule in rules if rule.startswith("TEC-")}
    assert rules - technical <= OF_THIS_PATIENT
    holes_s = [later.at_s - earlier.at_s for metric in ("spo2_pct", "rate_ml_h")
               for earlier, later in itertools.pairwise(patient.samples(metric))]
    assert not technical or max(holes_s) > HELD_UP_S, (technical, "and everything was heard")
    low = [event for event in active if body_of(event).rule == "RES-2"]
    assert low and minute(patient, low[0].at_s) >= 36, "88 % there, and never below 90 % before"
    pump = [recorded.input.state for recorded in patient.recorded() if isinstance(recorded.input, PumpStatus)]
    assert set(pump) == {"stopped"}
    rates = [word(sample) for sample in patient.samples("rate_ml_h")]
    assert set(rates[ISCO_SETTLES:]) == {(0.0, "valid", None)}
    assert {value for value, *_ in rates} == {0.0}, "before it has agreed with itself, questionable"
    assert {body_of(event).state for event in patient.events_recorded("link")} == {"live"}


def test_the_record_of_the_patient_holds_and_replays(patient: EdgeRun) -> None:
    patient.check_record()
