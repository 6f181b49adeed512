"""Programs that are not ours run the simulated ISCO pumps over TCP and RTU."""

from __future__ import annotations

import asyncio
import itertools
import shutil
import struct
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from pymodbus.client import AsyncModbusSerialClient, AsyncModbusTcpClient
from pymodbus.client.base import ModbusBaseClient

from drivers.contract import Decoded, ModbusRequest, Pump, Reading
from drivers.isco import Isco
from drivers.kit.registers import packed
from simulators.isco import TWIN, IscoTwin
from simulators.scenario import Scenario, catalogue
from simulators.stage import Options, Row, Stage
from tests.helpers.stage_run import staged


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


async def actuals(client: ModbusBaseClient, unit: int) -> list[float]:
    """The pump's three actual values; the second is its rate."""
    read = await client.read_holding_registers(72, count=6, device_id=unit)
    values = client.convert_from_registers(read.registers, client.DATATYPE.FLOAT32)
    assert isinstance(values, list)
    return [float(value) for value in values]


async def drive(client: ModbusBaseClient, unit: int) -> None:
    """An independent master runs the pump as its reference does, and reads it back."""
    for coil in (47, 89, 13):
        assert not (await client.write_coil(coil, True, device_id=unit)).isError()
    assert not (await client.write_registers(12, [0x4120, 0x0000], device_id=unit)).isError()
    assert not (await client.write_coil(0, True, device_id=unit)).isError()
    async with asyncio.timeout(5):
        while (shown := await actuals(client, unit))[1] != 10.0:
            await asyncio.sleep(0.01)
    assert 499.0 < shown[2] < 500.0
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


async def polled(client: ModbusBaseClient, driver: Isco, at_s: float) -> list[Decoded]:
    """One round of the driver's questions, asked by a neutral master."""
    told: list[Decoded] = []
    while (request := driver.next_request(at_s)) is not None:
        assert isinstance(request, ModbusRequest)
        ask = client.read_coils if request.function == 1 else client.read_holding_registers
        answer = await ask(request.address, count=request.count, device_id=1)
        coils, words = packed(answer.bits[: request.count]), answer.registers
        told += driver.decode(coils if request.function == 1 else struct.pack(f">{len(words)}H", *words), request)
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
        driver, at_s = Isco(), itertools.count()
        async with asyncio.timeout(5):  # its first rounds are questionable, until they agree with one another
            while Reading("rate_ml_h", 52.5) not in (told := await polled(client, driver, float(next(at_s)))):
                await asyncio.sleep(0.01)
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
