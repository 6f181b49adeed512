"""The ISCO driver says only what its table says, and hears what its table hears; its twin is the pump of the map."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymodbus.framer.rtu import FramerRTU

from drivers.contract import BadFrame, Decoded, DeviceAlarms, Identity, ModbusRequest, Pump, Reading, Request, Validity
from drivers.isco import DRIVER, Isco, units_block
from drivers.kit.registers import Block, Field, f32_words, packed, response_bytes, words_f32
from simulators.contract import Refused
from simulators.isco import IscoTwin
from simulators.modbus import ModbusLine, NoResponse
from simulators.patient import SimulatedPatient
from tests.helpers.golden_table import Row, frames

_LINES = (Path(__file__).parent / "golden" / "isco.rounds.txt").read_text(encoding="utf-8").splitlines()
ROUNDS = [[cell.strip() for cell in line.split("|")] for line in _LINES if not line.startswith("#")]


def words(told: Sequence[Decoded]) -> Iterator[str]:
    for item in told:
        match item:
            case Reading(metric, None, Validity.INVALID, reason):
                yield f"{metric}=!{reason}"
            case Reading(metric, float(value)):
                yield f"{metric}={round(value, 4):.12g}"
            case Pump(state):
                yield f"pump={state}"
            case DeviceAlarms(alarms):
                yield from (f"alarm={alarm.code}/{alarm.priority}" for alarm in alarms)
            case _:
                yield repr(item)


def one_round(driver: Isco, answers: dict[str, bytes], at_s: float = 0.0) -> list[Decoded]:
    """Ask until nothing more is due, answering from `answers`."""
    told: list[Decoded] = []
    while (request := driver.next_request(at_s)) is not None:
        frame = answers[request.name]
        assert driver.is_response(frame, request)
        told += driver.decode(frame, request)
    return told


def answers_of(
    coils: Sequence[int], dispensed: str, actuals: str, units: Sequence[int] | None = None
) -> dict[str, bytes]:
    bits = [int(coil in coils) for coil in range(142)]
    again = [int(coil in (coils if units is None else units)) for coil in range(84, 92)]
    return {
        "status": packed(bits), "units": packed(again),
        "dispensed": bytes.fromhex(dispensed).ljust(16, b"\0"), "actuals": bytes.fromhex(actuals),
    }


CALM = answers_of([0, 13, 86, 89, 109], "40A00000", "41780000 41200000 42290000")


# --- what it says -----------------------------------------------------------------------------------------------------


def test_it_reads_only() -> None:
    assert {request.function for request in DRIVER.requests if isinstance(request, ModbusRequest)} == {1, 3}


@pytest.mark.parametrize("pump", ["A", "B", "C", "D"])
def test_it_asks_nothing_that_is_not_declared(pump: str) -> None:
    driver = DRIVER.driver({"pump": pump})
    asked = [*driver.on_open()]
    while (request := driver.next_request(0.0)) is not None:
        asked.append(request)
    assert set(asked) <= set(DRIVER.requests)


def test_the_answers_of_a_round_all_have_different_lengths() -> None:
    driver = Isco()
    asked = [*driver.on_open()]
    while (request := driver.next_request(0.0)) is not None:
        asked.append(request)
    lengths = [response_bytes(request) for request in asked if isinstance(request, ModbusRequest)]
    assert len(asked) == 5
    assert len(set(lengths)) == len(lengths)


def test_a_round_is_asked_once_a_second_and_never_in_a_burst() -> None:
    driver = Isco()
    driver.on_open()
    times = [at_ms / 1000 for at_ms in range(0, 4000, 50) if driver.next_request(at_ms / 1000) is not None]
    assert len(times) == 16
    assert len(one_round(driver, CALM, 60.0)) > 0  # a minute later: one round, not fifty-six
    assert driver.next_request(60.5) is None


# --- what it hears ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("what", "coils", "dispensed", "actuals", "told"), ROUNDS, ids=[row[0] for row in ROUNDS])
def test_a_round_is_heard_as_the_table_says(what: str, coils: str, dispensed: str, actuals: str, told: str) -> None:
    answers = answers_of([int(coil) for coil in coils.split()], dispensed, actuals)
    assert " ".join(words(one_round(Isco(), answers))) == told


@pytest.mark.parametrize("row", frames("isco"), ids=str)
def test_an_answer_of_another_length_is_no_answer(row: Row) -> None:
    request = next(request for request in DRIVER.requests if request.name == row.request)
    assert Isco().is_response(row.frame, request) is not row.bad


def test_a_pump_whose_flow_is_never_answered_does_something_unknown_from_the_second_round_on() -> None:
    driver, told = Isco(), []
    for at_s in (0.0, 1.0, 2.0):
        while (request := driver.next_request(at_s)) is not None and request.name != "actuals":
            driver.decode(CALM[request.name], request)
        assert request is not None
        told.append(driver.on_timeout(request))
    assert told == [(), (Pump("unknown"),), (Pump("unknown"),)]
    one_round(driver, CALM, 3.0)
    assert driver.on_timeout(units_block().request) == ()


def test_the_printed_answer_is_what_the_table_has() -> None:
    printed = bytes.fromhex("01 03 0C 41780000 41200000 42290000 CE A3")
    assert FramerRTU.compute_CRC(printed[:-2]) == int.from_bytes(printed[-2:], "big")
    assert printed[3:-2] in {row.frame for row in frames("isco") if row.request == "actuals"}


def test_units_changed_between_the_numbers_and_now_are_no_numbers() -> None:
    changed = answers_of([0, 13, 86, 89, 109], "40A00000", "41780000 41200000 42290000", units=[86, 88])
    with pytest.raises(BadFrame, match="units"):
        one_round(Isco(), changed)


def test_an_answer_of_another_length_is_bad_and_ends_the_round() -> None:
    driver = Isco()
    status = driver.next_request(0.0)
    for name, frame in CALM.items():
        if name != "status":
            with pytest.raises(BadFrame):
                driver.decode(frame, status)
    assert driver.next_request(0.9) is None
    assert driver.next_request(1.0) == status


def test_after_a_missing_answer_nothing_of_that_round_is_told() -> None:
    driver = Isco()
    status, dispensed = driver.next_request(0.0), driver.next_request(0.0)
    assert status is not None
    assert dispensed is not None
    driver.decode(CALM["status"], status)
    assert list(driver.on_timeout(dispensed)) == []
    assert driver.next_request(0.5) is None
    late = next(request for request in DRIVER.requests if request.name == "units")
    assert list(driver.decode(CALM["units"], late)) == []
    assert "pump=infusing" in words(one_round(driver, CALM, 1.0))


@settings(deadline=None)
@given(st.sampled_from(DRIVER.requests), st.binary(max_size=40))
def test_no_bytes_make_it_do_anything_but_hear_or_refuse(request: Request, frame: bytes) -> None:
    driver = Isco()
    try:
        told = driver.decode(frame, request)
    except BadFrame:
        return
    assert all(isinstance(item, Reading | Pump | DeviceAlarms | Identity) for item in told)


def test_settings_pick_one_of_four_pumps() -> None:
    DRIVER.driver({"pump": "D"})
    with pytest.raises(ValueError, match="must be one of A, B, C, D"):
        DRIVER.driver({"pump": "E"})


# --- maps as data -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("field", "frame", "value"),
    [
        (Field("x", 0, "u16", 0.1), "00FA", 25.0),
        (Field("x", 0, "s16"), "FFFE", -2.0),
        (Field("x", 0, "u32"), "00010002", 65538.0),
        (Field("x", 0, "s32"), "FFFFFFFF", -1.0),
        (Field("x", 0, "u32", words="little"), "00020001", 65538.0),
        (Field("x", 0, "f32"), "41200000", 10.0),
    ],
)
def test_a_field_is_read_as_its_type_says(field: Field, frame: str, value: float) -> None:
    raw = bytes.fromhex(frame)
    block = Block(ModbusRequest("b", 3, 0, len(raw) // 2, effect="read"), (field,))
    assert block.decode(raw) == {"x": pytest.approx(value)}


def test_a_field_outside_its_block_is_refused_at_once() -> None:
    for field in (Field("x", 1, "f32"), Field("x", 0, "coil"), Field("x", 9, "u16")):
        with pytest.raises(ValueError, match="'x'"):
            Block(ModbusRequest("b", 3, 0, 2, effect="read"), (field,))


@settings(deadline=None)
@given(st.floats(width=32, allow_nan=False))
def test_a_float_survives_two_registers(value: float) -> None:
    assert words_f32(f32_words(value)) == value


# --- the twin ---------------------------------------------------------------------------------------------------------


def exchange(line: ModbusLine, request: str) -> str:
    return line.feed(bytes.fromhex(request)).hex(" ").upper()


def a_line() -> tuple[IscoTwin, ModbusLine]:
    twin = IscoTwin(SimulatedPatient(1))
    return twin, ModbusLine({1: twin}, "rtu", lambda: 0.0)


SEQUENCE = [  # the typical sequence and frames of the map's reference
    ("01 05 00 2F FF 00 BD F3", "01 05 00 2F FF 00 BD F3"),
    ("01 05 00 59 FF 00 5C 29", "01 05 00 59 FF 00 5C 29"),
    ("01 05 00 0D FF 00 1D F9", "01 05 00 0D FF 00 1D F9"),
    ("01 10 00 0C 00 02 04 41 20 00 00 E6 0C", "01 10 00 0C 00 02 81 CB"),
    ("01 05 00 00 FF 00 8C 3A", "01 05 00 00 FF 00 8C 3A"),
    ("01 01 00 6D 00 06 2D D5", "01 01 01 01 90 48"),
    ("01 05 00 00 00 00 CD CA", "01 05 00 00 00 00 CD CA"),
]


def test_the_twin_answers_the_printed_sequence() -> None:
    _, line = a_line()
    assert [exchange(line, request) for request, _ in SEQUENCE] == [answer for _, answer in SEQUENCE]


def test_the_twin_answers_however_the_bytes_are_cut() -> None:
    for cut in range(1, 8):
        _, line = a_line()
        request = bytes.fromhex(SEQUENCE[0][0])
        assert line.feed(request[:cut]) + line.feed(request[cut:]) == request


@pytest.mark.parametrize(
    ("function", "address", "count", "code"),
    [(2, 0, 8, 1), (4, 72, 6, 1), (3, 99, 2, 2), (3, 162, 2, 2), (3, 160, 4, 2), (3, 246, 1, 2), (1, 140, 3, 2)],
)
def test_the_twin_refuses_what_the_pump_refuses(function: int, address: int, count: int, code: int) -> None:
    with pytest.raises(Refused) as refused:
        IscoTwin(SimulatedPatient(1)).read(function, address, count)
    assert refused.value.code == code


def test_an_illegal_address_is_the_printed_exception_and_an_unknown_unit_is_silent() -> None:
    _, line = a_line()
    for request in (struct.pack(">BBHH", 1, 3, 300, 2), struct.pack(">BBHH", 9, 3, 72, 2)):
        crc = FramerRTU.compute_CRC(request).to_bytes(2, "big")
        answer = line.feed(request + crc)
        assert answer == (bytes.fromhex("01 83 02 C0 F1") if request[0] == 1 else b"")


@pytest.mark.parametrize(("function", "address"), [(6, 12), (5, 110), (15, 35), (16, 72), (16, 200)])
def test_the_twin_lets_nobody_write_what_is_read_only(function: int, address: int) -> None:
    with pytest.raises(Refused):
        IscoTwin(SimulatedPatient(1)).write(function, address, [1, 0])


def test_the_twin_runs_by_modbus_only_under_remote_control() -> None:
    twin = IscoTwin(SimulatedPatient(1))
    twin.write(5, 0, [1])
    assert twin.coils[0] == 0
    twin.write(5, 47, [1])
    assert twin.read(1, 46, 3) == [0, 1, 0]
    twin.write(5, 0, [1])
    assert twin.coils[0] == 1


def test_one_unit_is_set_and_the_same_flow_reads_in_it() -> None:
    twin = IscoTwin(SimulatedPatient(1))
    twin.write(16, 12, f32_words(60.0))
    for coil, shown in ((88, 1.0), (89, 60.0), (90, 1000.0), (91, 60000.0)):
        twin.write(5, coil, [1])
        assert sum(twin.read(1, 88, 4)) == 1
        assert words_f32(twin.read(3, 12, 2)) == pytest.approx(shown)


def test_a_set_point_clamps_to_the_absolute_maximum() -> None:
    twin = IscoTwin(SimulatedPatient(1))
    twin.write(16, 12, f32_words(1e9))
    assert twin.read(3, 12, 2) == twin.read(3, 202, 2)


def lived(twin: IscoTwin, seconds: int) -> list[float]:
    pressures = []
    for _ in range(seconds):
        twin.step(1.0)
        pressures.append(words_f32(twin.read(3, 72, 2)))
    return pressures


@pytest.mark.parametrize("shutdown", [1, 0])
def test_an_occluded_line_builds_up_and_stops_the_pump_only_if_shutdown_is_enabled(shutdown: int) -> None:
    twin = IscoTwin(SimulatedPatient(1))
    twin.write(5, 94, [shutdown])
    twin.hands["program"]()
    twin.hands["start"]()
    lived(twin, 5)
    twin.hands["occlude"]()
    rising = lived(twin, 30)
    assert all(later >= earlier for earlier, later in pairwise(rising))
    assert twin.coils[112] == 1
    assert twin.coils[0] == 1 - shutdown
    twin.hands["clear"]()
    lived(twin, 10)
    assert twin.coils[112] == 0


def test_the_twin_delivers_its_volume_into_the_patient_and_stops() -> None:
    patient = SimulatedPatient(1)
    twin = IscoTwin(patient)
    driver = Isco()
    twin.hands["program"]()
    twin.hands["start"]()
    lived(twin, 1)
    assert "pump=infusing" in words(one_round(driver, heard_from(twin)))
    lived(twin, 41 * 60)
    told = list(words(one_round(driver, heard_from(twin), 9999.0)))
    assert told[:3] == ["pump=stopped", "rate_ml_h=0", "volume_infused_ml=35"]
    assert "volume_remaining_ml=465" in told


def heard_from(twin: IscoTwin) -> dict[str, bytes]:
    return {
        request.name: packed(values) if request.function == 1 else struct.pack(f">{len(values)}H", *values)
        for request in (*DRIVER.requests[:4], DRIVER.requests[-1])
        if isinstance(request, ModbusRequest)
        for values in (twin.read(request.function, request.address, request.count),)
    }


def test_a_mute_twin_says_nothing() -> None:
    twin, line = a_line()
    twin.hands["mute"]()
    with pytest.raises(NoResponse):
        twin.read(3, 72, 6)
    assert exchange(line, "01 03 00 48 00 06 45 DE") == ""
    twin.hands["unmute"]()
    assert exchange(line, "01 03 00 48 00 06 45 DE") != ""
