"""The edge and the embedded broker as processes: each ends cleanly on SIGTERM or Ctrl-C, with exit code 0."""

from __future__ import annotations

import logging
import secrets
import signal
import sys
from collections.abc import Mapping
from functools import partial
from importlib.metadata import version as installed
from pathlib import Path
from time import sleep

from nacl.signing import VerifyKey

import drivers
from edge.app.doubts import warnings
from edge.app.files import read_protocols as read_protocols
from edge.app.files import read_rules as read_rules
from edge.app.recovery import recover
from edge.app.reload import Reloader
from edge.app.running import Running, answer, ask
from edge.app.service import EdgeService
from edge.app.supervisor import Supervisor
from edge.clock import EdgeClock, since_boot_s
from edge.config.broker import mqtt_of
from edge.config.files import ConfigError, EdgeConfig, EdgeTable, config_hash, load_edge
from edge.contract.keys import BadKey, Count, earlier_keys, own_key, pin_neighbour, pinned_keys
from edge.contract.mqtt import Mqtt
from edge.contract.signing import Signer
from edge.core.rules import RuleSet
from edge.journal.database import DatabaseUrl, JournalError
from edge.journal.journal import Journal
from edge.journal.last import Last
from edge.journal.segments import Retention
from edge.model import from_iso
from edge.process import BadUsage, command_key, keep_for_good, make_folder, until_stopped
from edge.vocabulary import counted

log = logging.getLogger(__name__)
ANSWERS_S, LOOK_S = 10.0, 0.05  # real seconds


def check_edge(path: Path) -> int:
    """`vigil edge --check`: 0 where this configuration would start. Raises BadUsage with its one line."""
    config, rules, _ = _read(path)
    read_protocols(config.edge.protocols_file, rules)
    for warning in warnings(path, config, drivers.find(config.edge.drivers, config.maps)):
        print(f"warning: {warning}")
    devices = sum(len(bed.device) for bed in config.bed)
    print(f"{path}: good: {counted(len(config.bed), 'bed')}, {counted(devices, 'device')}")
    return 0


def reload_edge(path: Path) -> int:
    """`vigil edge --reload`: the running edge reads edge.toml again, and this says what came of it. Raises BadUsage."""
    check_edge(path)
    data = load_edge(path).edge.data
    ask(data)
    until_s = since_boot_s() + ANSWERS_S
    while (again := answer(data)) is None:
        if since_boot_s() > until_s:
            raise BadUsage(f"the edge of {data} has been asked, and has said nothing for {ANSWERS_S:g} s; see its log")
        sleep(LOOK_S)
    if again.state == "refused":
        raise BadUsage(again.text)
    print(f"read again: {again.text}" + ("; this takes a restart" if again.state == "restart" else ""))
    return 0


def _read(path: Path) -> tuple[EdgeConfig, RuleSet, str]:
    try:
        config = load_edge(path, drivers.find)
    except ConfigError as wrong:
        raise BadUsage(str(wrong)) from None
    return config, *read_rules(config.edge.rules)


def run_edge(path: Path, wait_for_go: bool = False) -> int:
    """`vigil edge`. `wait_for_go`: it is ready to, and begins when a line comes on standard input. Raises BadUsage."""
    config, rules, text = _read(path)
    read_protocols(config.edge.protocols_file, rules)  # refused before anything is made
    make_folder(config.edge.data)
    key = command_key(config.edge.command_key, make=True)
    mqtt = mqtt_of(config.mqtt)
    try:
        count = Count(config.edge.signing_key.with_suffix(".count"), from_iso(EdgeClock().wall()))
        signer = Signer(own_key(config.edge.signing_key), count, earlier_keys(config.edge.signing_key))
        consoles = pinned_keys(config.edge.console_keys, config.edge.consoles, base=path.parent, data=config.edge.data)
        pin_neighbour(consoles, config.edge.consoles, config.edge.data, database="console.db", key="console.key")
    except (BadKey, OSError) as wrong:
        raise BadUsage(f"{path}: {wrong}") from None
    if wait_for_go and not sys.stdin.readline():
        raise BadUsage("--wait-for-go: standard input has ended, and no line came to begin")
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # until the Reloader waits for it: a start is not ended by it
    return until_stopped(
        "edge", lambda: _edge(path, config, rules, text, key, mqtt, config_hash(path), signer, consoles,
                              first=not count.was_used))


async def _edge(path: Path, config: EdgeConfig, rules: RuleSet, text: str, key: bytes, mqtt: Mqtt, digest: str,
                signer: Signer, consoles: Mapping[str, VerifyKey], *, first: bool) -> None:
    boot = secrets.token_hex(8)
    edge = config.edge
    protocols, protocols_text = read_protocols(edge.protocols_file, rules)
    wall = EdgeClock().wall
    try:
        journal = Journal.open(edge.journal, edge=edge.id, boot=boot, wall=wall,
                               sign=partial(signer.sign_hash, edge.id), holds=True, keep_inputs=_retention(edge),
                               last=_last(edge), signed=partial(signer.has_signed, edge.id))
    except JournalError as wrong:
        raise BadUsage(str(wrong)) from None
    clock = EdgeClock(edge.speed, edge.epoch, not_before=journal.head.at_s)
    try:
        recovered = await recover(journal, first=first)
        service = EdgeService(
            config, rules, text, drivers.find(edge.drivers, config.maps), clock=clock, journal=journal,
            recovered=recovered, boot=boot, version=installed("vigil"), config_hash=digest, key=key, mqtt=mqtt,
            signer=signer, console_keys=consoles, protocols=protocols, protocols_text=protocols_text)
        supervisor = Supervisor()
        reloader = Reloader(path, config, service, supervisor, clock.now, Running(edge.data))
        keep_for_good()
        await supervisor.run_all({**service.tasks(), "reload": reloader.run()})
    finally:
        if journal.failed is None:
            try:
                await journal.close()
            except JournalError as wrong:
                log.critical("what was kept in memory is lost: %s", wrong)


def _last(edge: EdgeTable) -> Last | None:
    """Where the journal is not on the disk of this box's own folder, it may be there later than this box."""
    path = DatabaseUrl(edge.journal).path
    return None if path is not None and path.parent == edge.data.resolve() else Last(edge.data / "last")


def _retention(edge: EdgeTable) -> Retention:
    size = None if edge.keep_inputs_mb is None else round(edge.keep_inputs_mb * 1e6)
    return Retention(round(edge.keep_inputs_days * 86_400_000), size)


def run_broker(host: str, port: int, passwords: Path | None = None, access: Path | None = None) -> int:
    """`vigil broker`. Raises BadUsage where it would leave loopback, or a file cannot be used."""
    from edge.stream.broker import BrokerFailed, serve

    try:
        return until_stopped("broker", lambda: serve(
            host, port, password_file=passwords, access_file=access, now=EdgeClock().wall))
    except BrokerFailed as wrong:
        raise BadUsage(str(wrong)) from None
