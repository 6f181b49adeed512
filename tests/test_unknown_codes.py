"""A code that no driver's table knows is never dropped silently: in each place where a protocol has codes, one that
nobody knows is shown raw, as an alarm, in the technician's count of what is not mapped, or in the refusal of its frame.
"""

from __future__ import annotations

import base64
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import xor
from pathlib import Path
from typing import cast

import pytest

import drivers
import simulators
from drivers import (
    alaris_gh,
    berry_pm6750,
    contec_cms60,
    fresenius_orchestra,
    graseby_3400,
    medibus,
    new_era,
    par_nibp,
    terumo_te,
)
from drivers.contract import BadFrame, DeviceAlarms, Identity, ModbusRequest, Request, Spec, unmapped_of
from drivers.dinamap_binary import crc
from drivers.ge_dri import framed as dri_framed
from drivers.intellivue.frames import framed as intellivue_framed
from drivers.kit.registers import packed
from drivers.modbus_map import spec_of
from drivers.suntech_advantage.frames import reply
from simulators.contract import TwinSpec
from simulators.modbus_map import MapTwin, twin_of
from tests.helpers.dialogue_run import StillPatient

SPECS = drivers.find()
CODELESS = {
    "contec_cms50": "every bit of its five bytes has its meaning",
    "nonin": "every bit that is not reserved has its meaning",
    "isco": "registers and coils at fixed places; a pump's type is told in the model",
}

MAPS = {"modbus_vitals", "vindum"}  # their registers: below


@dataclass(frozen=True)
class Unknown:
    """`raw` must be shown after `frame`."""

    driver: str
    raw: str
    frame: bytes
    request: str | None = None
    settings: tuple[tuple[str, str], ...] = ()

    def __str__(self) -> str:
        return f"{self.driver} {self.raw}"


def inf(flag: str = "-", mode: str = "SET", drug: str = "", log: str = "EVENT") -> bytes:
    return alaris_gh.encode(
        f"INF^8002-51740^{flag}^{mode}^12.50^ml/h^{drug}^1.234^ml^17.91^mmHg^03:54:01^{log}^127904")


NUMERICS = bytes.fromhex("6A575324 26 00 0E 61 48 00 000000 00 00 00 3C14081E05645514 32 01 00")


def capno(code: int, payload: bytes = b"", at: int | None = None, value: int = 0) -> bytes:
    """A Capnostream's message, with another byte at `at`."""
    said = bytearray(payload)
    if at is not None:
        said[at] = value
    body = bytes((len(said) + 1, code)) + said
    body += bytes((reduce(xor, body),))
    return b"\x85" + b"".join({0x80: b"\x80\x00", 0x85: b"\x80\x05"}.get(one, bytes((one,))) for one in body)


def block(number: int, status: int = 0, parameters: bytes = b"\x01\x00\x3c") -> bytes:
    """A DINAMAP's block."""
    said = bytes((status,)) + bytes(10) + parameters
    return bytes((number,)) + said + bytes((crc(said), crc(said) ^ 0xFF, number ^ 0xFF))


def dri(place: int = 132, status: int = 0, values: Sequence[int] = (), *, main: int = 0, kind: int = 1,
        class_: int = 0) -> bytes:
    """A DRI record with one group."""
    union = bytearray(270)
    struct.pack_into(f"<IH{len(values)}h", union, place, status, 0, *values)
    data = bytes(4) + bytes(union) + struct.pack("<HH", 0, class_ << 8)
    head = struct.pack("<HBBHIHHH", 40 + len(data), 1, 9, 0, 1_784_000_000, 0, 0, main)
    return dri_framed(head + struct.pack("<hBhB", 0, kind, 0, 0xFF) + bytes(18) + data)


def listed(*parts: bytes) -> bytes:
    """Count and length before what is listed."""
    return struct.pack(">HH", len(parts), sum(map(len, parts))) + b"".join(parts)


def attribute(number: int, value: str) -> bytes:
    data = bytes.fromhex(value)
    return struct.pack(">HH", number, len(data)) + data


def philips(operation: int, command: int, body: bytes) -> bytes:
    head = bytes.fromhex("E1000002") + struct.pack(">HHHHH", operation, 0, 1, command, len(body))
    return intellivue_framed(head + body)


def polled(objects: str, *attributes: bytes) -> bytes:
    """An IntelliVue's reply to an extended poll: one context, one observation."""
    contexts = listed(b"\0\0" + listed(b"\0\1" + listed(*attributes)))
    reply_ = bytes(4) + struct.pack(">I", 8000) + bytes(8) + bytes.fromhex(objects) + b"\0\0" + contexts
    return philips(2, 7, bytes(6) + struct.pack(">HH", 0xF13B, len(reply_)) + reply_)


def masimo(alarm: str = "0000", exc: str = "000800", more: str = "") -> bytes:
    return (f"03/19/16 13:37:12 SN=0000093112 SPO2=098% BPM=097 PI=03.60% {more}ALARM={alarm} EXC={exc}\r\n").encode()


def terumo(doing: int = 0, bits: int = 0, result: int = 0) -> bytes:
    data = bytearray(40)
    data[2], data[5:8] = doing << 4, bits.to_bytes(3, "big")
    command = bytes((0, 1, 0, 0, result)) + (b"" if result else bytes(data))
    text = (f'<?xml version="1.0"?><REP><DEVID>{terumo_te.EXAMPLE}</DEVID>'
            f"<CMD>{base64.b64encode(command).decode()}</CMD></REP>")
    return terumo_te.framed(text)


def par(text: str) -> bytes:
    plain = text.encode()
    return b"\x02" + plain + par_nibp.checksum(plain) + b"\x03\r"


def graseby(text: str) -> bytes:
    plain = text.encode()
    return plain + graseby_3400.checksum(plain) + b"\r"


def result(status: int = 1, error: int = 0) -> bytes:
    """A SunTech module's BP data."""
    data = struct.pack("<HHBB8sHHB2s", 121, 76, 9, status, bytes(8), 72, 91, error, bytes(2))
    return reply(data)


TABLE = [
    Unknown("alaris_gh", "flag X", inf(flag="X"), "INF"),
    Unknown("alaris_gh", "mode KVO", inf(mode="KVO"), "INF"),
    Unknown("alaris_gh", "drug KETAMINE", inf(drug="KETAMINE"), "INF"),
    Unknown("alaris_gh", "log ALARM", inf(log="ALARM"), "INF"),
    Unknown("alaris_gh", "syringe WAIT", alaris_gh.encode("SYRINGE_STATUS^BD PLASTIPAK^ 50^WAIT"), "SYRINGE_STATUS"),
    Unknown("alaris_gh", "AL_XYZZY", alaris_gh.encode("ALARM^AL_XYZZY^ ^"), "ALARM"),
    Unknown("alaris_gh", "message BOLUS", alaris_gh.encode("BOLUS^1")),
    Unknown("berry_pm6750", "type 42", berry_pm6750.encode(0x42, 1)),
    Unknown("berry_pm6750", "ECG 1F", berry_pm6750.encode(2, 0, 72, 14, 0, 0x1F)),
    Unknown("berry_pm6750", "NIBP 0E", berry_pm6750.encode(3, 0x0E << 2, 0, 120, 90, 80)),
    Unknown("berry_pm6750", "SpO2 09", berry_pm6750.encode(4, 9, 98, 72)),
    Unknown("berry_pm6750", "temperature 07", berry_pm6750.encode(5, 7, 36, 5)),
    Unknown("capnostream", "message 77", capno(0x77, b"\1\2")),
    Unknown("capnostream", "CO2 wave", capno(0x00, b"\1\x26\0\0")),
    Unknown("capnostream", "slow status 10", capno(1, NUMERICS, 9, 0x10)),
    Unknown("capnostream", "CO2 40", capno(1, NUMERICS, 13, 0x40)),
    Unknown("capnostream", "SpO2 80", capno(1, NUMERICS, 14, 0x80)),
    Unknown("capnostream", "module 20", capno(1, NUMERICS, 26, 0x20)),
    Unknown("capnostream", "no unit 9", capno(1, NUMERICS, 25, 9)),
    Unknown("contec_cms60", "packet 0A", contec_cms60.packet(0x0A, 1, 2)),
    Unknown("contec_cms60", "feedback to A1, reason 63", contec_cms60.packet(0x0B, 0xA1, 0x63)),
    Unknown("contec_cms60", "disconnect notice, reason 63", contec_cms60.packet(0x0D, 0x63)),
    Unknown("dinamap", "NA status 2", b" NA2xx 012121 76 91xx\r", "cuff"),
    Unknown("dinamap", "NA status 7", b" NA7xx 012121 76 91xx\r", "cuff"),
    Unknown("dinamap", "OA status 9", b" OA9 98xx\r", "spo2"),
    Unknown("dinamap", "RA status 7", b" RA7  72xx\r", "pulse"),
    Unknown("dinamap_binary", "block 43: 02 07 3c", block(43, parameters=b"\x02\x07\x3c")),
    Unknown("dinamap_binary", "status 80", block(43, 0x80)),
    Unknown("dinamap_binary", "parameters of other blocks", block(7)),
    Unknown("fresenius_orchestra", "value k", fresenius_orchestra.encode("1E;k3")),
    Unknown("fresenius_orchestra", "a 7F", fresenius_orchestra.encode("1E;a7F"), ),
    Unknown("fresenius_orchestra", "e 7F", fresenius_orchestra.encode("1E;e7F")),
    Unknown("fresenius_orchestra", "I 77", fresenius_orchestra.encode("1I;77"), "1LE;dr"),
    Unknown("fresenius_orchestra", "1M;x9", fresenius_orchestra.encode("1M;x9")),
    Unknown("fresenius_orchestra", "NAK 8", b"\x158"),
    Unknown("fresenius_orchestra", "2E;a1", fresenius_orchestra.encode("2E;a1")),
    Unknown("ge_dri", "main type 4", dri(main=4)),
    Unknown("ge_dri", "record 9", dri(kind=9)),
    Unknown("ge_dri", "record 1, class 3", dri(class_=3)),
    Unknown("ge_dri", "P1", dri(16, 1, (12000, 7000, 9000, 72))),
    Unknown("ge_dri", "T4", dri(110, 1, (3650,))),
    Unknown("ge_dri", "no number -32760", dri(118, 3, (-32760, 72))),
    Unknown("ge_dri", "heart rate of source 15", dri(0, 3 | 15 << 3, (72, 0, 0, 0, 14))),
    Unknown("graseby_3400", "WAIT", graseby("<OKCHCKWAIT>"), "CHCK"),
    Unknown("graseby_3400", "response GETX", graseby("<OKGETXSTBY>")),
    Unknown("intellivue", "4A15", polled("00010006", attribute(0x0950, "4A15 0000 0F20 00000078"))),
    Unknown("intellivue", "4BB8 in unit 0F20", polled("00010006", attribute(0x0950, "4BB8 0000 0F20 00000061"))),
    Unknown("intellivue", "wave 0102", polled("00010009", attribute(0x096E, "0102 0000 0002 0001"))),
    Unknown("intellivue", "poll of 00 01 00 2a", polled("0001002A")),
    Unknown("intellivue", "operation 3, command 7", philips(3, 7, bytes(2))),
    Unknown("intellivue", "event 0D99", philips(1, 1, bytes(10) + bytes.fromhex("0D99 0000"))),
    Unknown("intellivue", "action F199", philips(2, 7, bytes(6) + bytes.fromhex("F199 0000"))),
    Unknown("legato", "Command error: what", b"\nCommand error: what\r\n   irate\r\n\n:", "irate"),
    Unknown("masimo_ascii", "ALARM 100", masimo(alarm="0100")),
    Unknown("masimo_ascii", "EXC 200", masimo(exc="000A00")),
    Unknown("masimo_ascii", "EXC1 04", masimo(more="EXC1=0004 ")),
    Unknown("masimo_ascii", "SPNEW", masimo(more="SPNEW=12 ")),
    Unknown("medibus", "code 78", medibus.framed(1, 0x24, "78  12"), "measured_data"),
    Unknown("medibus", "F9 priority 3", medibus.framed(1, 0x27, "3F9SOMETHING NE"), "alarms"),
    Unknown("medibus", "command 5A", medibus.framed(0x1B, 0x5A)),
    Unknown("medibus", "response 66", medibus.framed(1, 0x66)),
    Unknown("nellcor_ascii", "QQ", b"29-Dec-17 07:18:43    99      66      12    QQ\r\n"),
    Unknown("new_era", "A?Z", b"\x0200A?Z\x03", "state"),
    Unknown("new_era", "error ?NEW", b"\x0200S?NEW\x03", "state"),
    Unknown("new_era", "00Q", b"\x0200Q\x03", "state"),
    Unknown("new_era", "00Q", new_era.safe(b"00Q"), "state (safe)", (("mode", "safe"),)),
    Unknown("par_nibp", "M77", par("S2;A0;C00;M77;P---------;R---;T    ;;")),
    Unknown("par_nibp", "C5", b"\x02120C5S3\x03\r"),
    Unknown("par_nibp", "K99", b"\x02K99\x03\r"),
    Unknown("suntech_advantage", "result with status 1, error 77", result(error=77), "bp_data"),
    Unknown("suntech_advantage", "result with status 6, error 0", result(status=6), "bp_data"),
    Unknown("suntech_advantage", "77", reply(bytes((77, 0))), "status"),
    Unknown("suntech_advantage", "acknowledgement 'Z'", reply(b"Z")),
    Unknown("terumo_te", "bit 9", terumo(bits=1 << 9), "status"),
    Unknown("terumo_te", "status 13", terumo(doing=13), "status"),
    Unknown("terumo_te", "77", terumo(result=0x77), "status"),
]


def test_the_rows_are_of_drivers_there_are_and_each_is_said_once() -> None:
    """Another driver has its own, if it has codes, in its golden table: no fourth file is touched for it."""
    rows = {row.driver for row in TABLE}
    assert len(rows) + len(CODELESS) + len(MAPS) == len(rows | CODELESS.keys() | MAPS)
    assert rows | CODELESS.keys() | MAPS <= SPECS.keys()


def shown(row: Unknown) -> list[str]:
    """What a technician is shown of its frame."""
    spec = SPECS[row.driver]
    driver, requests = spec.driver(dict(row.settings)), {one.name: one for one in spec.requests}
    request: Request | None = requests[row.request] if row.request else None
    words: list[str] = []
    assert driver.framing.feed(row.frame) == [row.frame], "one frame of its protocol"
    try:
        for one in driver.decode(row.frame, request):
            if isinstance(one, DeviceAlarms):
                words += [f"{alarm.raw} {alarm.text}" for alarm in one.alarms]
            elif isinstance(one, Identity):
                words.append(one.model or "")
    except BadFrame as refused:
        words.append(str(refused))
    return [*words, *unmapped_of(driver)]


@pytest.mark.parametrize("row", TABLE, ids=str)
def test_an_unknown_code_is_shown_raw(row: Unknown) -> None:
    assert any(row.raw in words for words in shown(row)), shown(row)


@pytest.mark.parametrize(("name", "change", "raw"), [
    ("modbus_vitals", {(4, 40): 1 << 9}, "bit 9"), ("vindum", {(4, 23): 1}, "bit 16"), ("vindum", {(3, 0): 7}, "= 7"),
])
def test_an_unknown_bit_or_code_of_a_register_map_is_shown_raw(
        name: str, change: Mapping[tuple[int, int], int], raw: str) -> None:
    assert raw in " ".join(shown_of_map(SPECS[name], simulators.find()[name], change))


def test_an_unknown_state_of_a_pump_s_register_map_is_counted(tmp_path: Path) -> None:
    """A coil has two; a register may hold any."""
    pump = tmp_path / "acme.toml"
    pump.write_text('[device]\nkind = "pump"\nsource = "a test"\n[[value]]\nmetric = "rate_ml_h"\ninput = 5\n'
                    'unit = "mL/h"\nrange = [0, 100]\n'
                    '[pump]\ninput = 6\nstates = { 0 = "stopped", 1 = "infusing" }\n')
    assert "state 7" in shown_of_map(spec_of(pump), twin_of(pump), {(4, 6): 7})
    assert "state 7" not in shown_of_map(spec_of(pump), twin_of(pump), {(4, 6): 1})


def shown_of_map(spec: Spec, made: TwinSpec, change: Mapping[tuple[int, int], int]) -> list[str]:
    """What a technician is shown of a device whose registers are its twin's but for `change`."""
    twin, driver = cast("MapTwin", made.make(StillPatient(), 1)), spec.driver()
    twin.step(0.5)
    raw, words = {**twin.raw, **change}, []
    requests = [*driver.on_open()]
    while requests or (due := driver.next_request(0.0)) is not None:
        request = cast("ModbusRequest", requests.pop(0) if requests else due)
        held = [raw.get((request.function, request.address + place), 0) for place in range(request.count)]
        frame = packed(held) if request.function in (1, 2) else struct.pack(f">{len(held)}H", *held)
        for one in driver.decode(frame, request):
            words += [alarm.raw for alarm in one.alarms] if isinstance(one, DeviceAlarms) else []
    return [*words, *unmapped_of(driver)]
