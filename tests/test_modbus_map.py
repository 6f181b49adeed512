"""A register map in TOML is a driver and a twin: what it says of registers, and what it leads to."""

from __future__ import annotations

import math
import struct
from pathlib import Path
from typing import cast

import pytest

import drivers
import simulators
from drivers.contract import BadFrame, DeviceAlarms, Identity, ModbusRequest, Pump, Reading, SelfCheckFailed
from drivers.kit.registers import Field, Type, field_words, ordered, told
from drivers.modbus_map import MapDriver, spec_of
from drivers.modbus_map.encoding import put_value
from drivers.modbus_map.file import read_map
from drivers.modbus_map.tables import MapError
from simulators.modbus_map import MapTwin
from tests.helpers.dialogue_run import DialogueRun, StillPatient
from tests.helpers.register_maps import EXAMPLE, HEAD, PULSE, SPO2, a_map, driver_of, response, said

# --- one number -------------------------------------------------------------------------------------------------------

NUMBERS = [  # the registers, the keys of [[value]], and what it is: a value, or why there is none
    ("03E7", 'unit = "%"\nscale = 0.1\nrange = [0, 100]', 99.9),
    ("FFFF", 'unit = "%"\nscale = 0.1\nrange = [0, 100]\nnone = [0xFFFF]', "unavailable"),
    ("03E9", 'unit = "%"\nscale = 0.1\nrange = [0, 100]', "overflow"),
    ("03E8", 'unit = "%"\nscale = 0.1\nrange = [0, 100]', 100.0),
    ("FFFF", 'unit = "%"\ntype = "s16"\nrange = [0, 100]', "underflow"),
    ("FF9C", 'unit = "%"\ntype = "s16"\nscale = -0.5\nrange = [0, 100]', 50.0),
    ("0028", 'unit = "%"\noffset = 20\nrange = [0, 100]', 60.0),
    ("005F", 'unit = "1"\nscale = 0.01\nrange = [0, 1]', 95.0),
    ("6100", 'unit = "%"\nmask = 0xFF00\nrange = [0, 100]', 97.0),
    ("6100", 'unit = "%"\nwords = "BADC"\nrange = [0, 100]', 97.0),
    ("00000061", 'unit = "%"\ntype = "u32"\nrange = [0, 100]', 97.0),
    ("00610000", 'unit = "%"\ntype = "u32"\nwords = "CDAB"\nrange = [0, 100]', 97.0),
    ("42C20000", 'unit = "%"\ntype = "f32"\nrange = [0, 100]', 97.0),
    ("000042C2", 'unit = "%"\ntype = "f32"\nwords = "CDAB"\nrange = [0, 100]', 97.0),
    ("C2420000", 'unit = "%"\ntype = "f32"\nwords = "BADC"\nrange = [0, 100]', 97.0),
    ("0000C242", 'unit = "%"\ntype = "f32"\nwords = "DCBA"\nrange = [0, 100]', 97.0),
    ("000042C2", 'unit = "%"\ntype = "f32"\nrange = [0, 100]', "implausible"),  # the words the other way round
    ("C2420000", 'unit = "%"\ntype = "f32"\nrange = [0, 100]', "underflow"),  # -48.5, also a misreading
    ("7FC00000", 'unit = "%"\ntype = "f32"\nrange = [0, 100]', "implausible"),  # NaN
    ("7F800000", 'unit = "%"\ntype = "f32"\nrange = [0, 100]', "implausible"),  # infinity
    ("42C21A9F", 'unit = "%"\ntype = "f32"\nresolution = 0.1\nrange = [0, 100]', "implausible"),  # 97.0520
    ("42C23333", 'unit = "%"\ntype = "f32"\nresolution = 0.1\nrange = [0, 100]', 97.1),
    ("4058400000000000", 'unit = "%"\ntype = "f64"\nrange = [0, 100]', 97.0),
    ("C479F99A", 'unit = "%"\ntype = "f32"\nrange = [0, 100]\nnone = [-999.9]', "unavailable"),
    ("42C26666", 'unit = "%"\ntype = "f32"\nrange = [0, 97.2]', 97.2),  # 97.1999969 and 97.2000046 are its neighbours
    ("42C26667", 'unit = "%"\ntype = "f32"\nrange = [0, 97.2]', "overflow"),
]


@pytest.mark.parametrize(("raw", "keys", "expected"), NUMBERS, ids=[f"{raw} {keys[:40]}" for raw, keys, _ in NUMBERS])
def test_a_number(tmp_path: Path, raw: str, keys: str, expected: float | str) -> None:
    path = a_map(tmp_path, f'{HEAD}[[value]]\nmetric = "spo2_pct"\nholding = 7\n{keys}\n')
    words = struct.unpack(f">{len(raw) // 4}H", bytes.fromhex(raw))
    (reading,) = said(driver_of(path), {(3, 7 + place): word for place, word in enumerate(words)})
    assert isinstance(reading, Reading)
    if isinstance(expected, str):
        assert (reading.value, expected in (reading.validity.value, reading.reason)) == (None, True)
    else:
        assert reading.value == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize(("number", "type_", "step", "offset", "expected"), [
    (37.999998855, "f32", 1.0, 0.0, 38.0), (368 * 0.1, "u16", 0.1, 0.0, 36.8), (0.125 * 3, "s16", 0.125, 0.0, 0.375),
    (310.149993896, "f32", 1.0, -273.15, 37.0), (5 * 7.500616827, "u16", 7.500616827, 0.0, 37.5),
    (-50 * 0.07500616827, "s16", 0.07500616827, 0.0, -3.7503), (16777215.0, "f32", 1.0, 0.0, 16777220.0),
    (1234567.875, "f64", 1.0, 0.0, 1234567.875), (0.0, "f32", 1.0, 4.5, 4.5), (math.inf, "f32", 1.0, 0.0, math.inf)])
def test_a_number_has_the_digits_that_its_register_tells(
        number: float, type_: Type, step: float, offset: float, expected: float) -> None:
    assert told(number, type_, step, offset) == expected


POWERS = [  # the number's register, that of its power of ten, the keys, and what it is
    (978, 0xFFFF, "exponent = { holding = 8 }", 97.8), (9, 1, "exponent = { holding = 8 }", 90.0),
    (97, 0, "exponent = { holding = 8 }", 97.0), (9783, 0xFFFE, "exponent = { holding = 8, range = [-2, 0] }", 97.83),
    (9783, 0xFFFD, "exponent = { holding = 8, range = [-2, 0] }", "implausible"),
    (9, 1, "exponent = { holding = 8, range = [-2, 0] }", "implausible"),
    (978, 0x8000, "exponent = { holding = 8 }", "implausible"), (0xFFFF, 0, "exponent = { holding = 8 }", "overflow"),
    (0xFFFF, 9, "exponent = { holding = 8, range = [-2, 9] }\nnone = [0xFFFF]", "unavailable"),
    (978, 1, "decimals = { holding = 8 }", 97.8), (978, 7, "decimals = { holding = 8 }", "implausible"),
    (978, 0x2100, "decimals = { holding = 8, mask = 0x0F00 }", 97.8),
    (489, 0xFFFF, "exponent = { holding = 8 }\nscale = 2", 97.8),
    (978, 0xFFFF, "exponent = { holding = 8 }\nresolution = 0.2", 97.8),
    (977, 0xFFFF, "exponent = { holding = 8 }\nresolution = 0.2", "implausible"),
]


@pytest.mark.parametrize(("raw", "power", "keys", "expected"), POWERS)
def test_a_power_of_ten_is_read_with_its_number(
        tmp_path: Path, raw: int, power: int, keys: str, expected: float | str) -> None:
    value = f'[[value]]\nmetric = "spo2_pct"\nholding = 7\nunit = "%"\nrange = [0, 100]\n{keys}\n'
    (reading,) = said(driver_of(a_map(tmp_path, HEAD + value)), {(3, 7): raw, (3, 8): power})
    assert isinstance(reading, Reading)
    if isinstance(expected, str):
        assert (reading.value, expected in (reading.validity.value, reading.reason)) == (None, True)
    else:
        assert reading.value == expected


def test_a_power_of_ten_for_several_numbers_and_their_twin(tmp_path: Path) -> None:
    path = a_map(tmp_path, f"{HEAD}gap = 1\n{SPO2}exponent = {{ input = 8 }}\n{PULSE}exponent = {{ input = 8 }}\n")
    driver, twin = driver_of(path), MapTwin(read_map(path), StillPatient(spo2_pct=97.8, pulse_bpm=72.0))
    assert twin.raw == {(4, 5): 978, (4, 7): 720, (4, 8): 0xFFFF}
    assert [(request.address, request.count) for request in spec_of(path).requests
            if isinstance(request, ModbusRequest)] == [(5, 4)], "all in one, of one moment"
    assert [one.value for one in said(driver, twin.raw) if isinstance(one, Reading)] == [97.8, 72.0]


@pytest.mark.parametrize(("keys", "says"), [
    ("exponent = { input = 7 }\n", "5: spo2_pct at input 5 and its power of ten at input 7 are not read together; write"
                                   " gap = 1 in [device], where the device lets what lies between be read"),
    ("exponent = { holding = 6 }\n", "5: spo2_pct at input 5 and its power of ten at holding 6 are not read together;"
                                     " they are too far apart, or of two kinds"),
    ("exponent = { input = 900 }\n", "5: spo2_pct at input 5 and its power of ten at input 900 are not read together;"),
    ("exponent = { input = 6 }\ndecimals = { input = 6 }\n", "10: 'exponent' and 'decimals' say the same; write one"),
    ("exponent = { coil = 6 }\n", "9: exponent: is in a register of its own: write holding or input"),
    ("decimals = { input = 5 }\n", "9: decimals: is in a register of its own"),
    ("exponent = { input = 6, range = [-13, 0] }\n", "9: exponent: 'range' must be two whole numbers from -12 to 12"),
    ("exponent = { input = 6, range = [-0.5, 0] }\n", "9: exponent: 'range' must be two whole numbers from -12 to 12"),
    ("decimals = { input = 6, range = [-3, -1] }\n", "9: decimals: 'range' is never reached: input 6 is from 0 to"),
    ("exponent = { input = 6, type = \"f32\" }\n", "9: exponent: 'type' must be one of s16, u16, not 'f32'"),
    ("exponent = { input = 65536 }\n", "9: exponent: input 65536 is no address"),
    ("exponent = { input = 6, base = 2 }\n", "9: exponent: no key 'base' in exponent = { };"),
    ("exponent = -1\n", "9: 'exponent' must be a table in { }, not -1"),
    ("exponent = { input = 5 }\n", "9: exponent: input 5 (s16, 1 register) overlaps input 5 of spo2_pct"),
    ("exponent = { input = 6, range = [-9, -8] }\noffset = 101\n", "8: 'range' is never reached: input 5 (u16)"),
])
def test_a_power_of_ten_written_wrongly_is_one_line(tmp_path: Path, keys: str, says: str) -> None:
    path = a_map(tmp_path, HEAD + SPO2 + keys)
    with pytest.raises(MapError) as wrong:
        spec_of(path)
    assert str(wrong.value).startswith(f"{path}:{says}")
    assert "\n" not in str(wrong.value)


@pytest.mark.parametrize(("check", "raw", "says"), [
    ("equals = 3.1415927", "40490FDB", ""), ("equals = 3.1415927", "40490FDC", "holds 3.14159298, not 3.14159274"),
    ("range = [0.1, 0.3]", "3E99999A", ""), ("range = [0.1, 0.3]", "3E99999B", "holds 0.300000042"),
])
def test_a_check_of_a_float_is_of_the_float_that_the_register_can_hold(
        tmp_path: Path, check: str, raw: str, says: str) -> None:
    """3.1415927 has no float of 32 bits; the nearest is meant, and its neighbour is another number."""
    driver = driver_of(a_map(tmp_path, f'{HEAD}{SPO2}[[check]]\nname = "pi"\nholding = 1\ntype = "f32"\n{check}\n'))
    words = struct.unpack(">2H", bytes.fromhex(raw))
    registers = {(3, 1 + place): word for place, word in enumerate(words)}
    (request,) = [cast("ModbusRequest", one) for one in driver.on_open()]
    if not says:
        assert driver.decode(response(request, registers), request) == ()
        return
    with pytest.raises(SelfCheckFailed, match=says):
        driver.decode(response(request, registers), request)


UNITS = [("rate_ml_h", "mL/min", 120.0), ("rate_ml_h", "uL/h", 0.002), ("volume_infused_ml", "L", 2000.0),
         ("line_pressure_mmhg", "kPa", 15.001234), ("line_pressure_mmhg", "bar", 1500.123), ("temp_c", "K", -271.15),
         ("temp_c", "F", -16.6667), ("time_remaining_s", "min", 120.0), ("resp_bpm", "Hz", 120.0)]


@pytest.mark.parametrize(("metric", "unit", "expected"), UNITS)
def test_a_unit_of_the_manual_becomes_the_metrics_own(
        tmp_path: Path, metric: str, unit: str, expected: float) -> None:
    path = a_map(tmp_path, f'{HEAD}[[value]]\nmetric = "{metric}"\nholding = 7\nunit = "{unit}"\nrange = [-9, 9000]\n')
    (reading,) = said(driver_of(path), {(3, 7): 2})
    assert isinstance(reading, Reading)
    assert reading.value == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("words", ["ABCD", "CDAB", "BADC", "DCBA", "big", "little"])
def test_an_order_of_words_is_its_own_way_back(words: str) -> None:
    assert ordered(ordered(bytes(range(8)), words), words) == bytes(range(8))
    assert field_words(Field("x", 0, "f32"), 97.0) == (0x42C2, 0)


# --- where things are -------------------------------------------------------------------------------------------------

ADDRESSES = [("pdu", "holding = 74", (3, 74)), ("from 1", "holding = 74", (3, 73)),
             ("modicon", "holding = 40001", (3, 0)), ("modicon", "input = 30075", (4, 74)),
             ("modicon", "holding = 400075", (3, 74))]


@pytest.mark.parametrize(("counted", "key", "place"), ADDRESSES)
def test_an_address_is_counted_as_the_manual_does(
        tmp_path: Path, counted: str, key: str, place: tuple[int, int]) -> None:
    path = a_map(tmp_path, f'{HEAD}addresses = "{counted}"\n' + SPO2.replace("input = 5", key))
    (request,) = spec_of(path).requests
    assert isinstance(request, ModbusRequest)
    assert (request.function, request.address, request.count) == (*place, 1)


@pytest.mark.parametrize(("gap", "spans"), [(0, [(0, 2), (5, 1), (300, 1)]), (3, [(0, 6), (300, 1)]),
                                            (2, [(0, 2), (5, 1), (300, 1)])])
def test_neighbours_are_read_in_one_request(tmp_path: Path, gap: int, spans: list[tuple[int, int]]) -> None:
    pulse = '[[value]]\nmetric = "pulse_bpm"\ninput = 0\ntype = "u32"\nunit = "bpm"\nrange = [20, 300]\n'
    resp = '[[value]]\nmetric = "resp_bpm"\ninput = 300\nunit = "bpm"\nrange = [0, 90]\n'
    path = a_map(tmp_path, f"{HEAD}gap = {gap}\n{SPO2}{pulse}{resp}")
    requests = [one for one in spec_of(path).requests if isinstance(one, ModbusRequest)]
    assert [(one.address, one.count) for one in requests] == spans
    assert {one.effect for one in requests} == {"read"}


# --- the example: a pump ----------------------------------------------------------------------------------------------


def pump() -> tuple[MapDriver, MapTwin]:
    driver, twin = driver_of(EXAMPLE), MapTwin(read_map(EXAMPLE), StillPatient(), 3)
    for request in driver.on_open():
        driver.decode(response(cast("ModbusRequest", request), twin.raw), request)
    return driver, twin


def test_the_example_reads_a_pump() -> None:
    driver, twin = pump()
    for hand in ("program", "start"):
        twin.hands[hand]()
    twin.step(10.0)
    decoded = said(driver, twin.raw)
    values = {one.metric: one.value for one in decoded if isinstance(one, Reading)}
    assert values["rate_ml_h"] == pytest.approx(52.5)
    assert values["volume_infused_ml"] == pytest.approx(52.5 * 10 / 3600, abs=0.001)
    assert values["battery_pct"] == 80.0
    assert Pump("infusing") in decoded
    assert DeviceAlarms(()) in decoded


COARSE = """[device]
kind = "pump"
source = "a test"
[pump]
holding = 1
states = {{ 1 = "infusing" }}
[[value]]
metric = "rate_ml_h"
holding = 2
unit = "mL/h"
scale = 0.1
range = [0, 1200]
[[value]]
metric = "volume_infused_ml"
holding = 3
type = "{kind}"
unit = "mL"
{registers}
range = [0, 1000]
"""


@pytest.mark.parametrize(("kind", "step_ml", "registers"), [
    ("u16", 1.0, "scale = 1.0"), ("u16", 0.1, "scale = 0.1"), ("f32", 1.0, "resolution = 1.0")])
def test_a_pump_that_counts_coarsely_is_believed_from_the_start(
        tmp_path: Path, kind: str, step_ml: float, registers: str) -> None:
    path = a_map(tmp_path, COARSE.format(kind=kind, registers=registers))
    driver, doubtful = driver_of(path), []
    driver.on_open()
    for at_s in range(1200):
        raw = {(3, 1): 1, (3, 2): 525}
        counted = 52.5 * at_s / 3600 // step_ml
        held = struct.unpack(">2H", struct.pack(">f", counted * step_ml)) if kind == "f32" else (int(counted),)
        raw.update({(3, 3 + place): word for place, word in enumerate(held)})
        doubtful += [at_s for one in said(driver, raw, float(at_s))
                     if isinstance(one, Reading) and one.validity != "valid"]
    assert max(doubtful) == 1, "two rounds, before anything is believed"


ALARMS = [  # what the device holds, in the manual's counting, and the alarms it makes: code, raw
    ({}, []),
    ({(2, 0): 1}, [("occlusion", "discrete 1")]),
    ({(3, 207): 0x0001}, [("low_battery", "holding 208 bit 0")]),
    ({(3, 207): 0x0080}, []),  # the map says that this bit is no alarm
    ({(3, 207): 0x8000}, [("unknown", "holding 208 bit 15")]),
    ({(3, 208): 12}, [("syringe", "holding 209 = 12")]),
    ({(3, 208): 13}, [("unknown", "holding 209 = 13")]),
]


@pytest.mark.parametrize(("held", "alarms"), ALARMS)
def test_alarms_by_bit_and_by_code_and_none_is_dropped(
        held: dict[tuple[int, int], int], alarms: list[tuple[str, str]]) -> None:
    driver, twin = pump()
    (reported,) = [one for one in said(driver, {**twin.raw, **held}) if isinstance(one, DeviceAlarms)]
    assert [(alarm.code, alarm.raw) for alarm in reported.alarms] == alarms


@pytest.mark.parametrize(("code", "state"), [*enumerate(["stopped", "infusing", "paused", "alarm", "unknown"])])
def test_a_pumps_state_is_named_or_unknown(code: int, state: str) -> None:
    driver, twin = pump()
    assert [one.state for one in said(driver, {**twin.raw, (3, 206): code}) if isinstance(one, Pump)] == [state]


def test_a_flag_says_why_a_number_is_none() -> None:
    driver, twin = pump()
    readings = [one for one in said(driver, {**twin.raw, (2, 4): 1}) if isinstance(one, Reading)]
    assert [one.reason for one in readings if one.value is None] == ["sensor_disconnected"]


# --- the checks at connect --------------------------------------------------------------------------------------------

LIES = [  # how the registers lie, and what the link says
    ("words", "self-check 'largest rate': holding 101 holds 2.4604e-41, not 1200"),
    ("off_by_one", "self-check 'largest rate': holding 101 holds 0, not 1200"),
    ("other", "self-check 'largest rate': holding 101 holds 100, not 1200"),
]


@pytest.mark.parametrize(("lie", "why"), LIES)
def test_a_check_that_does_not_hold_lets_no_number_through_and_says_why(lie: str, why: str) -> None:
    spec, twin = spec_of(EXAMPLE), MapTwin(read_map(EXAMPLE), StillPatient(), 3)
    if lie == "words":
        twin.raw[3, 100], twin.raw[3, 101] = twin.raw[3, 101], twin.raw[3, 100]
    elif lie == "off_by_one":
        twin.raw[3, 100], twin.raw[3, 101] = 0, twin.raw[3, 100]
    else:
        put_value(twin.raw, read_map(EXAMPLE).checks[0].at, 100)
    run = DialogueRun(spec, twin)
    run.open()
    run.run(60)
    assert [sample for one in spec.metrics for _, sample in run.samples(one)] == []
    assert run.links()[-1][1] == "silent"
    assert run.links()[-1][2].startswith(why)
    twin.raw.update(MapTwin(read_map(EXAMPLE), StillPatient(), 3).raw)
    run.run(10)
    assert run.links()[-1][1] in ("live", "unstable")
    assert run.samples("rate_ml_h")


def test_the_serial_number_binds_it() -> None:
    driver, twin = driver_of(EXAMPLE), MapTwin(read_map(EXAMPLE), StillPatient(), 3)
    decoded = [one for request in driver.on_open()
               for one in driver.decode(response(cast("ModbusRequest", request), twin.raw), request)]
    assert decoded == [Identity("5003", "Acme 3000 syring")]


# --- the project's own profile ----------------------------------------------------------------------------------------


def vitals(twin: MapTwin | None = None) -> DialogueRun:
    run = DialogueRun(drivers.find()["modbus_vitals"],
                      twin or simulators.find()["modbus_vitals"].make(StillPatient(), 7))
    run.open()
    return run


def test_the_profile_shows_the_patient() -> None:
    run = vitals()
    run.run(130)
    assert {sample.value for _, sample in run.samples("spo2_pct")} == {98.0}
    assert run.dialogue.link.serial == "5007"
    assert run.bad == run.timeouts == 0


def test_a_determination_counts_once_and_the_one_before_the_opening_does_not() -> None:
    run = vitals()
    run.twin.hands["measure"]()
    run.run(130)
    assert [round(at_s / 60) for at_s, _ in run.samples("sbp_mmhg")] == [1, 2]
    run.open()
    run.run(30)
    assert len(run.samples("sbp_mmhg")) == 2


def test_a_feed_that_stands_still_is_silent_and_says_so() -> None:
    run = vitals()
    run.run(10)
    run.twin.hands["freeze"]()
    run.forget()
    run.run(30)
    assert max(at_s for at_s, _ in run.samples("spo2_pct")) < 16
    assert run.links()[-1][1:][0] == "silent"
    assert run.links()[-1][2].startswith("frozen: input 20 has held ")
    run.twin.hands["thaw"]()
    run.forget()
    run.run(10)
    assert run.samples("spo2_pct")


def test_a_probe_off_has_its_reason() -> None:
    run = vitals()
    run.twin.hands["probe_off"]()
    run.run(3)
    assert {(sample.value, sample.reason) for _, sample in run.samples("spo2_pct")} == {(None, "sensor_off")}


def test_a_response_that_was_not_requested_is_bad() -> None:
    driver = drivers.find()["modbus_vitals"].driver()
    with pytest.raises(BadFrame):
        driver.decode(bytes(2), None)
    with pytest.raises(SelfCheckFailed, match="it has not said who it is"):
        driver.decode(bytes(42), drivers.find()["modbus_vitals"].requests[1])
