"""The stage and `vigil simulate`: real ports that strangers can speak to, and scenarios that happen when they say."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import struct
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from pymodbus.client import AsyncModbusSerialClient, AsyncModbusTcpClient
from pymodbus.client.base import ModbusBaseClient

import simulators
from drivers.contract import Heard, Pump, Read, Reading
from drivers.isco import Isco
from drivers.registers import packed
from edge.cli.simulate import command, run_simulate
from simulators.contract import Hands, ModbusTwin, Twin, TwinSpec
from simulators.isco import TWIN, IscoTwin
from simulators.patient import Patient
from simulators.scenario import CHAIRS, TROUBLE, Chair, Device, Scenario, calm, catalogue, start_min, story
from simulators.stage import Options, Row, Stage

ROOT = Path(__file__).parent.parent
MIMIC = Path(__file__).parent / "golden" / "mimic_s25047_numerics_1min.csv"


# --- scenarios --------------------------------------------------------------------------------------------------------


def test_the_doses_are_half_a_milligram_a_kilogram_over_forty_minutes() -> None:
    told = [(chair.weight_kg, round(chair.dose_ml, 3), round(chair.rate_ml_h, 3)) for chair in CHAIRS]
    assert told == [(70, 35, 52.5), (82, 41, 61.5), (58, 29, 43.5), (75, 37.5, 56.25)]


def test_the_chairs_of_the_story_stand_as_told() -> None:
    drivers = {chair.id: {d.id: (d.driver, d.transport) for d in chair.devices} for chair in story().chairs}
    cuff = ("suntech_advantage", "serial")
    assert drivers == {
        "chair-1": {"pump": ("alaris_gh", "serial"), "cuff": cuff, "oximeter": ("nonin", "serial")},
        "chair-2": {"pump": ("isco", "modbus+tcp"), "cuff": cuff, "oximeter": ("contec_cms60", "serial")},
        "chair-3": {"pump": ("isco", "modbus+rtu"), "cuff": cuff, "oximeter": ("nonin", "serial")},
        "chair-4": {"pump": ("alaris_gh", "serial"), "cuff": cuff, "oximeter": ("nonin", "serial")},
    }


def test_more_beds_bring_the_same_chairs_again_and_no_new_trouble() -> None:
    six = story(6)
    assert [chair.id for chair in six.chairs] == [f"chair-{n}" for n in range(1, 7)]
    assert six.chairs[4].devices == six.chairs[0].devices
    assert {step.bed for step in six.steps if step.do != "start"} == {"chair-1", "chair-2", "chair-3", "chair-4"}
    assert {step.do for step in story(1).steps} == {"start", "hypertension"}
    assert {step.do for step in calm(5).steps} == {"start"}


class Silent:
    """A monitor's twin that notes what is done to it."""

    def __init__(self, log: list[str]) -> None:
        self.hands: Hands = {name: partial(log.append, name) for name in ("probe_off", "probe_on")}

    def connect(self) -> None: ...

    def step(self, dt_s: float) -> bytes:
        return b""

    def feed(self, data: bytes) -> bytes:
        return b""


class SilentPump(Silent):
    """A pump's twin that infuses from when it is started."""

    def __init__(self, patient: Patient, log: list[str]) -> None:
        self.rate_ml_h = 0.0
        self.vtbi_ml = 0.0

        def start() -> None:
            log.append("start")
            patient.infuse(self.rate_ml_h)

        self.hands: Hands = {"program": partial(log.append, "program"), "start": start}


def fakes(log: list[str]) -> Mapping[str, TwinSpec]:
    def monitor(patient: Patient, seed: int) -> Twin:
        return Silent(log)

    def pump(patient: Patient, seed: int) -> Twin:
        return SilentPump(patient, log)

    names = ("suntech_advantage", "nonin", "contec_cms60")
    pumps = {"isco": TWIN, "alaris_gh": TwinSpec("alaris_gh", ("serial",), pump, hands=("program", "start"))}
    return pumps | {name: TwinSpec(name, ("serial",), monitor) for name in names}


@asynccontextmanager
async def staged(
    scenario: Scenario, twins: Mapping[str, TwinSpec], options: Options | None = None
) -> AsyncIterator[Stage]:
    stage = Stage(scenario, twins, asyncio.get_running_loop().time, options)
    try:
        await stage.open()
        yield stage
    finally:
        stage.close()


async def minutes(stage: Stage, count: int) -> dict[str, list[tuple[float, float]]]:
    """SBP and DBP of every bed at every minute after go, fifty at a time past real waiting."""
    told: dict[str, list[tuple[float, float]]] = {bed: [] for bed in stage.patients}
    for _ in range(count):
        stage.advance(60.0)
        for bed, patient in stage.patients.items():
            told[bed].append((patient.sbp_mmhg or 0.0, patient.dbp_mmhg or 0.0))
    return told


async def test_only_chair_1_gets_hypertensive_and_only_when_the_story_says() -> None:
    async with staged(story(), fakes([]), Options(seed=3)) as stage:
        before = await minutes(stage, 3)  # nothing happens before go
        stage.go()
        told = await minutes(stage, 60)
    for chair in CHAIRS:
        lowest = [min(row[side] for row in before[chair.id]) for side in (0, 1)]
        high = [n for n, row in enumerate(told[chair.id], 1) if row[0] >= 1.2 * lowest[0] or row[1] >= 1.2 * lowest[1]]
        if chair.id != "chair-1":
            assert high == []
            continue
        assert high[0] == 33  # infusion minute 30
        plateau = told["chair-1"][34:43]
        assert all(184 <= sbp <= 194 and 104 <= dbp <= 114 for sbp, dbp in plateau)
        assert all(sbp < 145 for sbp, _ in told["chair-1"][49:])


async def test_hands_and_plugs_act_at_their_minute(tmp_path: Path) -> None:
    log: list[str] = []
    async with staged(story(), fakes(log), Options(ports=tmp_path)) as stage:
        assert log.count("program") == 2
        cable = tmp_path / "chair-4-pump"
        stage.go()
        await minutes(stage, 3)
        assert "start" not in log
        await minutes(stage, 15)  # 18
        assert log.count("start") == 2
        assert "probe_off" not in log
        await minutes(stage, 1)
        assert "probe_off" in log
        await minutes(stage, 4)  # 23
        assert cable.is_symlink()
        await minutes(stage, 1)
        assert not cable.is_symlink()
        await minutes(stage, 2)
        assert cable.is_symlink()


async def test_the_isco_pumps_stop_by_themselves_about_minute_43() -> None:
    scenario = Scenario(calm().chairs[1:3], calm().steps[1:3])
    async with staged(scenario, fakes([])) as stage:
        stage.go()
        pumps = [stage.twin(chair.id, "pump") for chair in scenario.chairs]
        running = []
        for _ in range(50):
            await minutes(stage, 1)
            running.append([pump.coils[0] for pump in pumps if isinstance(pump, IscoTwin)])
    ends = [max(n for n, row in enumerate(running, 1) if row[pump]) for pump in (0, 1)]
    assert ends == [43, 43]
    assert start_min(1) == pytest.approx(3.2)


async def test_all_devices_of_a_chair_feel_the_same_patient() -> None:
    """What the pump gives, the cuff finds and the oximeter sees; a second pump gives to nobody they know."""
    felt: dict[str, list[Patient]] = {}

    def spying(name: str, spec: TwinSpec) -> TwinSpec:
        def make(patient: Patient, seed: int) -> Twin | ModbusTwin:
            felt.setdefault(name, []).append(patient)
            return spec.make(patient, seed)

        return replace(spec, make=make)

    twins = {name: spying(name, spec) for name, spec in simulators.find().items()}
    pump, second = Device("pump", "alaris_gh", "serial"), Device("second", "alaris_gh", "serial")
    devices = (pump, Device("cuff", "suntech_advantage", "serial"), second, Device("oximeter", "nonin", "serial"))
    async with staged(Scenario((Chair("chair-1", devices),)), twins) as stage:
        patient = stage.patients["chair-1"]
        assert felt["suntech_advantage"] == felt["nonin"] == [patient]
        assert felt["alaris_gh"][0] is patient
        assert felt["alaris_gh"][1] is not patient


async def test_speed_makes_them_live_faster() -> None:
    async with staged(Scenario(calm().chairs[1:2], calm().steps[1:2]), fakes([]), Options(speed=60.0)) as stage:
        stage.go()
        for _ in range(10):
            stage.advance(0.5)
        pump = stage.twin("chair-2", "pump")
        assert isinstance(pump, IscoTwin)
        assert pump.values[148] == pytest.approx(61.5 * (5 - 3.2) / 60, abs=0.02)


def test_every_hand_of_the_story_is_one_its_twin_has() -> None:
    twins = simulators.find()
    chairs = {chair.id: {device.id: device.driver for device in chair.devices} for chair in CHAIRS}
    plug = {"unplug", "replug", "mute", "unmute"}
    for step in (*TROUBLE, *calm().steps):
        if step.device != "patient":
            assert step.do in plug | {*twins[chairs[step.bed][step.device]].hands}


# --- strangers at the ports -------------------------------------------------------------------------------------------


def isco_at(transport: str, beds: int = 1) -> Scenario:
    return catalogue([f"isco:{transport}"], {"isco": TWIN}, beds)


@asynccontextmanager
async def running(scenario: Scenario, options: Options | None = None) -> AsyncIterator[Stage]:
    async with staged(scenario, {"isco": TWIN}, options) as stage:
        task = asyncio.ensure_future(stage.run())
        try:
            yield stage
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def drive(client: ModbusBaseClient, unit: int) -> None:
    """An independent master runs the pump as its reference does, and reads it back."""
    for coil in (47, 89, 13):
        assert not (await client.write_coil(coil, True, device_id=unit)).isError()
    assert not (await client.write_registers(12, [0x4120, 0x0000], device_id=unit)).isError()
    assert not (await client.write_coil(0, True, device_id=unit)).isError()
    await asyncio.sleep(0.1)
    actuals = await client.read_holding_registers(72, count=6, device_id=unit)
    told = client.convert_from_registers(actuals.registers, client.DATATYPE.FLOAT32)
    assert isinstance(told, list)
    assert told[1] == 10.0
    assert 499.0 < float(told[2]) < 500.0
    assert (await client.read_coils(109, count=6, device_id=unit)).bits[:6] == [True, False, False, False, False, False]
    assert (await client.read_holding_registers(170, count=2, device_id=unit)).exception_code == 2
    assert (await client.read_input_registers(72, count=2, device_id=unit)).exception_code == 1
    assert (await client.write_register(12, 1, device_id=unit)).exception_code == 1
    assert not (await client.write_coils(0, [False, False], device_id=unit)).isError()
    assert (await client.read_coils(0, count=1, device_id=unit)).bits[0] is False


def tcp_of(row: Row) -> tuple[int, int]:
    place, _, unit = row.at.removeprefix("modbus+tcp://127.0.0.1:").partition("?unit=")
    return int(place), int(unit)


@pytest.mark.slow
async def test_a_neutral_master_runs_the_pump_over_tcp() -> None:
    async with running(isco_at("modbus+tcp")) as stage:
        port, unit = tcp_of(stage.rows[0])
        client = AsyncModbusTcpClient("127.0.0.1", port=port, timeout=2, retries=0)
        assert await client.connect()
        await drive(client, unit)
        assert (await client.read_coils(0, count=1, device_id=unit + 1)).exception_code == 11
        client.close()


@pytest.mark.slow
async def test_a_neutral_master_runs_the_pump_over_rtu() -> None:
    async with running(isco_at("modbus+rtu")) as stage:
        path = stage.rows[0].at.removeprefix("modbus+rtu://").partition("?")[0]
        client = AsyncModbusSerialClient(path, baudrate=19200, timeout=2, retries=0)
        assert await client.connect()
        await drive(client, 1)
        client.close()


async def polled(client: ModbusBaseClient, driver: Isco) -> list[Heard]:
    """One round of the driver's questions, asked by a neutral master."""
    told: list[Heard] = []
    while (question := driver.ask(0.0)) is not None:
        assert isinstance(question, Read)
        ask = client.read_coils if question.function == 1 else client.read_holding_registers
        answer = await ask(question.address, count=question.count, device_id=1)
        coils, words = packed(answer.bits[: question.count]), answer.registers
        told += driver.hear(coils if question.function == 1 else struct.pack(f">{len(words)}H", *words), question)
    return told


@pytest.mark.slow
@pytest.mark.parametrize("transport", ["modbus+tcp", "modbus+rtu"])
async def test_the_driver_hears_the_running_twin_through_a_neutral_master(transport: str) -> None:
    async with running(isco_at(transport)) as stage:
        row = stage.rows[0]
        stage.do(row.bed, row.device, "start")
        path = row.at.partition("://")[2].partition("?")[0]
        client: ModbusBaseClient = AsyncModbusSerialClient(path, baudrate=19200, timeout=2, retries=0)
        if transport == "modbus+tcp":
            client = AsyncModbusTcpClient("127.0.0.1", port=tcp_of(row)[0], timeout=2, retries=0)
        assert await client.connect()
        await asyncio.sleep(0.1)
        told = await polled(client, Isco())
        assert Reading("rate_ml_h", 52.5) in told
        assert Pump("infusing") in told
        client.close()


@pytest.mark.slow
async def test_hundreds_of_units_share_the_ports_and_each_answers_for_itself() -> None:
    async with running(isco_at("modbus+tcp", beds=256)) as stage:
        places = [tcp_of(row) for row in stage.rows]
        assert len(set(places)) == 256
        assert len({port for port, _ in places}) == 2
        for number in (0, 100, 246, 247, 255):
            port, unit = places[number]
            client = AsyncModbusTcpClient("127.0.0.1", port=port, timeout=2, retries=0)
            assert await client.connect()
            assert not (await client.write_registers(12, [0x4120, number], device_id=unit)).isError()
            client.close()
            pump = stage.twin(f"chair-{number + 1}", "isco-tcp")
            assert isinstance(pump, IscoTwin)
            assert list(pump.read(3, 12, 2)) == [0x4120, number]


@pytest.mark.slow
async def test_a_unit_that_is_unplugged_or_mute_harms_no_other() -> None:
    async with running(isco_at("modbus+tcp", beds=2)) as stage:
        (port, first), (_, other) = (tcp_of(row) for row in stage.rows)
        client = AsyncModbusTcpClient("127.0.0.1", port=port, timeout=2, retries=0)
        assert await client.connect()
        stage.do("chair-1", "isco-tcp", "unplug")
        assert (await client.read_coils(0, count=1, device_id=first)).exception_code == 11
        assert not (await client.read_coils(0, count=1, device_id=other)).isError()
        stage.do("chair-1", "isco-tcp", "replug")
        assert not (await client.read_coils(0, count=1, device_id=first)).isError()
        client.close()


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("mbpoll") is None, reason="mbpoll is not installed")
async def test_mbpoll_reads_the_volume_over_tcp_and_rtu() -> None:
    async with running(catalogue(["isco"], {"isco": TWIN})) as stage:
        port, unit = tcp_of(stage.rows[0])
        path = stage.rows[1].at.removeprefix("modbus+rtu://").partition("?")[0]
        lines = (["-m", "tcp", "-p", str(port), "127.0.0.1"], ["-m", "rtu", "-b", "19200", "-P", "even", path])
        for line in lines:
            ask = ["mbpoll", "-1", "-0", "-B", "-a", str(unit), "-t", "4:float", "-r", "76", "-c", "1", *line]
            process = await asyncio.create_subprocess_exec(*ask, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
            said, _ = await process.communicate()
            assert process.returncode == 0, said.decode()
            assert b"500" in said


# --- the command ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("drivers", "options", "says"),
    [
        (["sonin"], {}, "no twin named 'sonin'"),
        (["isco", "isco"], {}, "named twice"),
        (["isco:serial"], {}, "isco has no transport 'serial'; it has: modbus+tcp, modbus+rtu"),
        (["isco"], {"scenario": "calm"}, "not both"),
        ([], {"scenario": "stormy"}, "--scenario stormy: there are story, calm"),
        ([], {"beds": 0}, "--beds 0"),
        (["isco"], {"speed": 0.0}, "--speed 0"),
        (["isco"], {"speed": float("nan")}, "--speed nan"),
        (["isco"], {"port": 70000}, "--port 70000"),
        (["isco"], {"faults": ["flip=9"]}, "--fault flip=9: the rate must be a number from 0 to 1"),
        (["isco"], {"patient": Path("/no/such.csv")}, "/no/such.csv: No such file"),
        (["isco"], {"play": MIMIC}, "isco has no byte stream"),
        ([], {"play": MIMIC}, "--play FILE needs the name of one driver"),
    ],
)
def test_bad_usage_is_one_clear_line_and_exit_2(
    capsys: pytest.CaptureFixture[str], drivers: list[str], options: dict[str, object], says: str
) -> None:
    assert run_simulate(drivers, **options) == 2  # type: ignore[arg-type]
    out, err = capsys.readouterr()
    assert out == ""
    assert says in err
    assert err.count("\n") == 1


async def test_lines_on_standard_input_are_hands_and_nonsense_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    log: list[str] = []
    async with staged(calm(4), fakes(log)) as stage:
        command(stage, b'{"do": "go"}')
        await minutes(stage, 4)
        assert log.count("start") == 2
        command(stage, b'{"bed": "chair-1", "device": "oximeter", "do": "probe_off"}')
        assert log[-1] == "probe_off"
        before = stage.patients["chair-1"].sbp_mmhg or 0.0
        command(stage, b'{"bed": "chair-1", "device": "patient", "do": "hypertension", "amount": 60, "over_s": 1}')
        await minutes(stage, 1)
        assert (stage.patients["chair-1"].sbp_mmhg or 0.0) > before + 50
        assert capsys.readouterr().err == ""
        for line in (
            b"go", b"[]", b'{"do": 7}', b'{"bed": "chair-9", "device": "pump", "do": "start"}', b"\xff",
            b'{"bed": "chair-1", "device": "pump", "do": "sing"}',
            b'{"bed": "chair-1", "device": "patient", "do": "hypertension", "amount": "much"}',
        ):
            command(stage, line)
            err = capsys.readouterr().err
            assert err.startswith("vigil simulate: ")
            assert err.count("\n") == 1


START = "import sys; from pathlib import Path; from edge.cli.simulate import run_simulate; sys.exit(run_simulate({}))"


async def first_line(process: asyncio.subprocess.Process) -> dict[str, list[dict[str, str]]]:
    assert process.stdout is not None
    said: dict[str, list[dict[str, str]]] = json.loads(await asyncio.wait_for(process.stdout.readline(), 20))
    return said


def started(arguments: str) -> asyncio.Future[asyncio.subprocess.Process]:
    pipe = subprocess.PIPE
    return asyncio.ensure_future(asyncio.create_subprocess_exec(
        sys.executable, "-c", START.format(arguments), stdin=pipe, stdout=pipe, stderr=pipe, cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    ))  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGINT])
async def test_json_is_one_line_and_a_signal_ends_it_well(ending: signal.Signals, tmp_path: Path) -> None:
    process = await started(f"['isco', 'nonin'], as_json=True, ports=Path({str(tmp_path)!r})")
    twins = (await first_line(process))["twins"]
    assert [(row["bed"], row["device"], row["driver"]) for row in twins] == [
        ("chair-1", "isco-tcp", "isco"), ("chair-1", "isco-rtu", "isco"), ("chair-1", "nonin", "nonin"),
    ]  # fmt: skip
    assert twins[0]["at"].startswith("modbus+tcp://127.0.0.1:")
    assert twins[0]["at"].endswith("?unit=1")
    assert twins[1]["at"].startswith("modbus+rtu:///dev/pts/")
    assert "?unit=1" in twins[1]["at"]
    assert twins[2]["at"].startswith("serial:///dev/pts/")
    assert twins[2]["at"].endswith("?baud=9600&parity=N&bits=8&stop=1")
    assert "port" not in twins[0]
    for row in twins[1:]:
        assert os.readlink(row["port"]) == row["at"].partition("://")[2].partition("?")[0]
    assert process.stdin is not None
    process.stdin.write(b'{"do":"go"}\nnonsense\n')
    await process.stdin.drain()
    assert process.stderr is not None
    assert b"nonsense" in await asyncio.wait_for(process.stderr.readline(), 10)
    process.send_signal(ending)
    said, complained = await asyncio.wait_for(process.communicate(), 10)
    assert (process.returncode, said, complained) == (0, b"", b"")
    assert os.listdir(tmp_path) == []


@pytest.mark.slow
async def test_without_names_there_is_a_twin_of_every_driver() -> None:
    process = await started("[], as_json=True")
    twins = (await first_line(process))["twins"]
    assert {row["driver"] for row in twins} == set(simulators.find())
    assert len({row["at"] for row in twins}) == len(twins)
    process.terminate()
    assert await asyncio.wait_for(process.wait(), 10) == 0


async def bytes_from(path: str, wanted: int) -> bytes:
    """The first `wanted` bytes that come out of a port."""
    port, heard = os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK), b""
    for _ in range(1000):
        try:
            heard += os.read(port, 4096)
        except BlockingIOError:
            await asyncio.sleep(0.01)
        if len(heard) >= wanted:
            break
    os.close(port)
    return heard


@pytest.mark.slow
async def test_a_capture_is_played_on_its_drivers_line() -> None:
    capture = MIMIC.with_name("cms60c_session.jsonl")
    process = await started(f"['contec_cms60'], as_json=True, play=Path({str(capture)!r})")
    (row,) = (await first_line(process))["twins"]
    heard = await bytes_from(row["at"].removeprefix("serial://").partition("?")[0], 90)
    records = map(json.loads, capture.read_text(encoding="utf-8").splitlines())
    recorded = b"".join(bytes.fromhex(record["hex"]) for record in records if record["dir"] == "dev->host")
    assert len(heard) >= 90
    assert heard[:90] in recorded
    process.terminate()
    assert await asyncio.wait_for(process.wait(), 10) == 0


@pytest.mark.slow
async def test_every_fault_on_the_wire_is_in_the_journal(tmp_path: Path) -> None:
    journal = tmp_path / "faults.jsonl"
    process = await started(
        f"['nonin'], as_json=True, faults=['garbage=1'], patient=Path({str(MIMIC)!r}), journal=Path({str(journal)!r})"
    )
    (row,) = (await first_line(process))["twins"]
    heard = await bytes_from(row["at"].removeprefix("serial://").partition("?")[0], 200)
    process.terminate()
    assert await asyncio.wait_for(process.wait(), 10) == 0
    lines = [json.loads(line) for line in journal.read_text(encoding="utf-8").splitlines()]
    assert {(line["bed"], line["device"], line["fault"]) for line in lines} == {("chair-1", "nonin", "garbage")}
    assert bytes.fromhex(lines[0]["hex"]) in heard


@pytest.mark.slow
async def test_a_taken_port_is_one_clear_line_and_exit_2() -> None:
    server = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    process = await started(f"['isco'], as_json=True, port={port}")
    said, complained = await asyncio.wait_for(process.communicate(), 20)
    server.close()
    assert (process.returncode, said) == (2, b"")
    assert complained.count(b"\n") == 1
    assert str(port).encode() in complained
