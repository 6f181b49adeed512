"""`vigil simulate`: only the simulators, each reachable as a real device would be, until told to stop."""

from __future__ import annotations

import asyncio
import json
import os
import shlex
import signal
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TextIO

import simulators
from simulators.capture import Capture, ReplayTwin
from simulators.contract import Twin, TwinSpec
from simulators.control import Control, serve_control
from simulators.faults import parse
from simulators.modbus_map import twin_of
from simulators.recorded import RecordedPatient
from simulators.scenario import SCENARIOS, Scenario, catalogue
from simulators.stage import Options, Stage

_PIECE = 65536
CONTEC = "contec_cms60"  # whose host a capture shows by its command for the stream


def run_simulate(
    drivers: list[str],
    *,
    beds: int | None = None,
    scenario: str | None = None,
    faults: list[str] | None = None,
    seed: int = 0,
    speed: float = 1.0,
    play: Path | None = None,
    patient: Path | None = None,
    as_json: bool = False,
    ports: Path | None = None,
    wait_for_go: bool = False,
    port: int = 0,
    journal: Path | None = None,
    control: Path | None = None,
    folder: Path | None = None,
) -> int:
    """Serve the twins until SIGTERM or SIGINT (0). Bad usage is one line on stderr (2).

    `drivers` are names, or NAME:TRANSPORT; without them and without `scenario`, every twin there is stands at one bed.
    `play` is a capture put on the line of the one driver named, or of the one whose host speaks in it.
    `ports` is a folder for links to the ptys, `port` the first Modbus TCP port (0: any), `journal` a file that gets a
    line of JSON for every fault. Standard input takes lines of JSON: {"do": "go"}, and hands at devices; a Unix socket
    at `control` takes the same and answers (simulators/control.py). `folder` has twins of a clinic's own.
    """
    note: TextIO | None = None
    try:
        twins = dict(simulators.find(folder))
        drivers = [_mapped(driver, twins) for driver in drivers]
        drivers, instead = (drivers, {}) if play is None else _play(drivers, play, scenario, twins)
        plan = _plan(drivers, beds, scenario, twins)
        _check(speed, port, patient, ports)
        note = None if journal is None else _opened(journal)
        options = Options(
            seed=seed, speed=speed, faults=parse(faults or []), port=port, ports=ports, instead=instead, journal=note,
            patient=None if patient is None else lambda: RecordedPatient(patient),
        )
        asyncio.run(_serve(plan, twins, options, as_json, wait_for_go, control))
    except (ValueError, OSError) as error:
        print(f"vigil simulate: {error}", file=sys.stderr)
        return 2
    finally:
        _tidy(note, control)
    return 0


def _mapped(driver: str, twins: dict[str, TwinSpec]) -> str:
    """`driver`; or, where it is a register map's path, the name of the twin that the map makes. Raises ValueError."""
    path, dot, rest = driver.partition(".toml")
    if not dot:
        return driver
    twin = twin_of(Path(path + dot))
    twins[twin.name] = twin
    return twin.name + rest


def _tidy(note: TextIO | None, control: Path | None) -> None:
    if note is not None:
        note.close()
    if control is not None:
        control.unlink(missing_ok=True)


def _opened(journal: Path) -> TextIO:
    try:
        return journal.open("w", encoding="utf-8")
    except OSError as wrong:
        raise ValueError(f"--journal {journal}: cannot be written ({wrong.strerror}); give another file") from None


def _check(speed: float, port: int, patient: Path | None, ports: Path | None) -> None:
    if not 0 < speed < float("inf"):
        raise ValueError(f"--speed {speed:g}: must be above 0")
    if not 0 <= port <= 65535:
        raise ValueError(f"--port {port}: must be 0 to 65535")
    if ports is not None and ports.exists() and not ports.is_dir():
        raise ValueError(f"--ports {ports}: is no folder; give one, or a name that is not there yet")
    if patient is not None:
        RecordedPatient(patient)  # says now what is wrong with the file


def _play(
    drivers: list[str], play: Path, scenario: str | None, twins: dict[str, TwinSpec]
) -> tuple[list[str], dict[str, Callable[[], Twin]]]:
    """The one driver on whose line the capture is played (named, or shown by the capture itself), and its twin."""
    if scenario is not None:
        raise ValueError("give --play or --scenario, not both: a scenario brings its own devices")
    streams = [name for name, twin in twins.items() if "serial" in twin.transports]
    named = [driver.partition(":")[0] for driver in drivers]
    if len(named) == 1 and named[0] in twins and named[0] not in streams:
        raise ValueError(f"--play: {named[0]} has no byte stream to play a capture on")
    capture = Capture.read(play)
    if not drivers and capture.asks_contec and CONTEC in streams:
        drivers = named = [CONTEC]
    if len(named) != 1:
        raise ValueError(f"--play FILE needs the name of one driver, whose line the capture is played on; type: vigil"
                         f" simulate NAME --play {shlex.quote(str(play))} (NAME is one of {', '.join(streams)})")
    return drivers, {named[0]: lambda: ReplayTwin(capture)}


def _plan(drivers: list[str], beds: int | None, scenario: str | None, twins: dict[str, TwinSpec]) -> Scenario:
    if beds is not None and beds < 1:
        raise ValueError(f"--beds {beds}: must be at least 1")
    if drivers and scenario is not None:
        raise ValueError("give driver names or --scenario, not both: a scenario brings its own devices")
    if scenario is not None and scenario not in SCENARIOS:
        raise ValueError(f"--scenario {scenario}: there are {', '.join(SCENARIOS)}")
    if scenario is not None:
        return SCENARIOS[scenario](beds)
    if not drivers and beds is not None:
        return SCENARIOS["calm"](beds)
    return catalogue(drivers or list(twins), twins, beds or 1)


async def _serve(
    plan: Scenario, twins: dict[str, TwinSpec], options: Options, as_json: bool, wait_for_go: bool,
    socket: Path | None,
) -> None:
    loop = asyncio.get_running_loop()
    stage = Stage(plan, twins, loop.time, options)
    control = Control(stage)
    try:
        await stage.open()
        if socket is not None:
            await serve_control(control, socket)
        running = asyncio.ensure_future(stage.run())
        for ending in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(ending, running.cancel)
        print(json.dumps({"twins": stage.table()}) if as_json else _table(stage), flush=True)
        if not wait_for_go:
            stage.go()
        _listen(loop, control)
        with suppress(asyncio.CancelledError):
            await running
    finally:
        stage.close()


def _table(stage: Stage) -> str:
    """One line a twin, in columns."""
    rows = [("bed", "device", "driver", "at", "port")]
    rows += [(row.bed, row.device, row.driver, row.at, row.port or "") for row in stage.rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)


def _listen(loop: asyncio.AbstractEventLoop, control: Control) -> None:
    """Hand every line of standard input to `command`. A thread, because a file or /dev/null cannot be waited for."""
    source = sys.stdin.fileno() if sys.stdin is not None else -1
    if source < 0 or (os.isatty(source) and os.tcgetpgrp(source) != os.getpgrp()):
        return  # in the background of a terminal, reading would stop us

    def read() -> None:
        held = b""
        with suppress(OSError, RuntimeError):  # the terminal hung up; the loop has ended
            while piece := os.read(source, _PIECE):
                *lines, held = (held + piece).split(b"\n")
                for line in lines:
                    loop.call_soon_threadsafe(command, control, line)

    threading.Thread(target=read, name="stdin", daemon=True).start()


def command(control: Control, line: bytes) -> None:
    """Do what `line` says; what cannot be done is one clear line on stderr."""
    if not line.strip():
        return
    try:
        control.obey(line)
    except ValueError as error:
        print(f"vigil simulate: {error}", file=sys.stderr, flush=True)
