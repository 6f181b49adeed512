"""`vigil simulate`: what it prints, what it refuses, what it obeys, and that its ports are real."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import simulators
from simulators.control import Control
from simulators.scenario import calm
from simulators.serve import command, run_simulate
from tests.helpers.stage_run import fakes, minutes, staged

ROOT = Path(__file__).parent.parent
MIMIC = Path(__file__).parent / "golden" / "mimic_s25047_numerics_1min.csv"
SESSION = MIMIC.with_name("cms60c_session.jsonl")


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
        (["nonin"], {"ports": MIMIC}, "is no folder"),
        (["nonin"], {"journal": MIMIC.parent}, "cannot be written"),
        (["isco"], {"faults": ["flip=9"]}, "--fault flip=9: the rate must be a number from 0 to 1"),
        (["isco"], {"patient": Path("/no/such.csv")}, "/no/such.csv: No such file"),
        (["isco"], {"play": MIMIC}, "isco has no byte stream"),
        ([], {"play": MIMIC}, "mimic_s25047_numerics_1min.csv, line 1: not JSON"),
        ([], {"play": SESSION, "scenario": "calm"}, "give --play or --scenario, not both"),
        (["nonin", "contec_cms60"], {"play": SESSION}, f"type: vigil simulate NAME --play {SESSION} (NAME is one of "),
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


def test_a_capture_that_shows_no_driver_is_refused_with_what_to_type(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    capture = tmp_path / "a day.jsonl"
    capture.write_text('{"dir": "dev->host", "ts": "21:26:20.953", "hex": "81 03 E8 00 6C"}\n')
    assert run_simulate([], play=capture) == 2
    err = capsys.readouterr().err
    assert f"type: vigil simulate NAME --play '{capture}' (NAME is one of " in err
    assert "nonin" in err and "isco" not in err
    assert err.count("\n") == 1


async def test_lines_on_standard_input_are_hands_and_nonsense_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    log: list[str] = []
    async with staged(calm(4), fakes(log)) as stage:
        control = Control(stage)
        command(control, b'{"do": "go"}')
        await minutes(stage, 4)
        assert log.count("start") == 2
        command(control, b'{"bed": "chair-1", "device": "oximeter", "do": "probe_off"}')
        assert log[-1] == "probe_off"
        before = stage.patients["chair-1"].sbp_mmhg or 0.0
        command(control, b'{"bed": "chair-1", "device": "patient", "do": "hypertension", "amount": 60, "over_s": 1}')
        await minutes(stage, 1)
        assert (stage.patients["chair-1"].sbp_mmhg or 0.0) > before + 50
        assert capsys.readouterr().err == ""
        for line in (
            b"go", b"[]", b'{"do": 7}', b'{"bed": "chair-9", "device": "pump", "do": "start"}', b"\xff",
            b'{"bed": "chair-1", "device": "pump", "do": "sing"}',
            b'{"bed": "chair-1", "device": "patient", "do": "hypertension", "amount": "much"}',
        ):
            command(control, line)
            err = capsys.readouterr().err
            assert err.startswith("vigil simulate: ")
            assert err.count("\n") == 1


START = "import sys; from pathlib import Path; from simulators.serve import run_simulate; sys.exit(run_simulate({}))"


async def first_line(process: asyncio.subprocess.Process) -> dict[str, list[dict[str, str]]]:
    assert process.stdout is not None
    said: dict[str, list[dict[str, str]]] = json.loads(await asyncio.wait_for(process.stdout.readline(), 20))
    return said


def started(arguments: str) -> asyncio.Future[asyncio.subprocess.Process]:
    pipe = subprocess.PIPE
    return asyncio.ensure_future(asyncio.create_subprocess_exec(
        sys.executable, "-c", START.format(arguments), stdin=pipe, stdout=pipe, stderr=pipe, cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    ))


@pytest.mark.slow
@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGINT])
async def test_json_is_one_line_and_a_signal_ends_it_well(ending: signal.Signals, tmp_path: Path) -> None:
    process = await started(f"['isco', 'nonin'], as_json=True, ports=Path({str(tmp_path)!r})")
    twins = (await first_line(process))["twins"]
    assert [(row["bed"], row["device"], row["driver"]) for row in twins] == [
        ("chair-1", "isco-tcp", "isco"), ("chair-1", "isco-rtu", "isco"), ("chair-1", "nonin", "nonin"),
    ]
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
@pytest.mark.parametrize("drivers", [["contec_cms60"], []], ids=["named", "shown by the capture"])
async def test_a_capture_is_played_on_its_drivers_line(drivers: list[str]) -> None:
    process = await started(f"{drivers}, as_json=True, play=Path({str(SESSION)!r})")
    (row,) = (await first_line(process))["twins"]
    assert row["driver"] == "contec_cms60"
    heard = await bytes_from(row["at"].removeprefix("serial://").partition("?")[0], 40)
    records = map(json.loads, SESSION.read_text(encoding="utf-8").splitlines())
    recorded = b"".join(bytes.fromhex(record["hex"]) for record in records if record["dir"] == "dev->host")
    assert len(heard) >= 40
    assert recorded.startswith(heard), "from its first byte"
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
