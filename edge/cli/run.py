"""Running a service alone: edge, console. Each ends cleanly on SIGTERM or Ctrl-C, with exit code 0."""

from __future__ import annotations

import errno
import secrets
import socket
import sys
from collections.abc import Mapping
from importlib.metadata import version as installed
from pathlib import Path
from typing import cast

from sqlalchemy.exc import DBAPIError

import drivers
from drivers.contract import Spec
from edge.app.recovery import recover
from edge.app.service import EdgeService
from edge.app.supervisor import Supervisor
from edge.cli.process import BadUsage, command_key, log_to_stderr, make_folder, until_stopped
from edge.clock import EdgeClock
from edge.config.files import ConfigError, ConsoleConfig, EdgeConfig, MqttTable, config_hash, load_console, load_edge
from edge.console.settings import Settings, Tls
from edge.contract.mqtt import Mqtt
from edge.core.rules import RulesError, RuleSet, parse_rules
from edge.journal.database import JournalError
from edge.journal.journal import Journal
from edge.model import Role

MIN_PASSWORD = 10


def read_rules(path: Path) -> tuple[RuleSet, str]:
    """The rules in a file, and its text. Raises BadUsage."""
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as wrong:
        raise BadUsage(f"{path}: cannot be read ({wrong}); give the path of a rules.toml") from None
    try:
        return parse_rules(text, path), text
    except RulesError as wrong:
        raise BadUsage(str(wrong)) from None


def mqtt_of(table: MqttTable) -> Mqtt:
    """The broker as the stream knows it, with certificates that can be used. Raises BadUsage."""
    mqtt = Mqtt(table.host, table.port, table.user, _password(table), table.tls, table.ca, table.cert, table.key)
    try:
        mqtt.context()
    except OSError as wrong:
        files = ", ".join(str(file) for file in (table.ca, table.cert, table.key) if file) or "the system's own"
        raise BadUsage(f"[mqtt] certificates cannot be used ({files}: {wrong.strerror or wrong}); write the paths of"
                       " PEM files in ca, cert and key") from None
    return mqtt


def _password(table: MqttTable) -> str | None:
    if table.password_file is None:
        return None
    try:
        return table.password_file.read_text().strip()
    except OSError as wrong:
        raise BadUsage(f"{table.password_file}: no broker password ({wrong.strerror}); write it there") from None


def catalogue(folder: Path | None) -> Mapping[str, Spec]:
    """Every driver, with the clinic's own in `folder`. Raises ValueError."""
    if folder is not None:
        raise ValueError("drivers from a folder cannot be read yet; install them as a package instead")
    return drivers.find()


def run_edge(path: Path) -> int:
    """`vigil edge`. Raises BadUsage."""
    try:
        config = load_edge(path, catalogue)
    except ConfigError as wrong:
        raise BadUsage(str(wrong)) from None
    rules, text = read_rules(config.edge.rules)
    make_folder(config.edge.data)
    key = command_key(config.edge.command_key, make=True)
    mqtt = mqtt_of(config.mqtt)
    return until_stopped("edge", lambda: _edge(config, rules, text, key, mqtt, config_hash(path)))


async def _edge(config: EdgeConfig, rules: RuleSet, text: str, key: bytes, mqtt: Mqtt, digest: str) -> None:
    boot = secrets.token_hex(8)
    edge = config.edge
    wall = EdgeClock().wall
    try:
        journal = Journal.open(edge.journal, edge=edge.id, boot=boot, wall=wall)
    except JournalError as wrong:
        raise BadUsage(str(wrong)) from None
    clock = EdgeClock(edge.speed, edge.epoch, not_before=journal.head.at_s)
    try:
        recovered = await recover(journal)
        service = EdgeService(
            config, rules, text, drivers.find(), clock=clock, journal=journal, recovered=recovered, boot=boot,
            version=installed("vigil"), config_hash=digest, key=key, mqtt=mqtt)
        await Supervisor().run_all(service.tasks())
    finally:
        if journal.failed is None:
            await journal.close()


def run_console(path: Path) -> int:
    """`vigil console`. Raises BadUsage."""
    from edge.console.app import run
    from edge.console.store import Store
    from edge.console.tables import SchemaTooNew

    try:
        config = load_console(path)
    except ConfigError as wrong:
        raise BadUsage(str(wrong)) from None
    settings = console_settings(config)
    log_to_stderr("console")
    try:
        Store(settings.database).close()
    except (DBAPIError, SchemaTooNew) as wrong:
        why = wrong.orig if isinstance(wrong, DBAPIError) else wrong
        raise BadUsage(f"{settings.database}: cannot be used ({why}); it must belong to the user the console runs as. A"
                       " damaged one may be moved away: the edge sends again what it lacks") from None
    try:
        run(settings)
    except OSError as wrong:
        usage = _cannot_listen(path, config, wrong)
        if usage is None:
            raise
        raise usage from None
    return 0


def _cannot_listen(path: Path, config: ConsoleConfig, wrong: OSError) -> BadUsage | None:
    """What a person must write instead; None where it is another fault."""
    if wrong.errno == errno.EADDRINUSE:
        return BadUsage(f"{path}: port {config.port} of {config.host} is taken; write another port")
    if wrong.errno in (errno.EADDRNOTAVAIL, errno.EACCES) or isinstance(wrong, socket.gaierror):
        return BadUsage(f"{path}: cannot listen on {config.host} port {config.port} ({wrong.strerror}); write an"
                        " address of this machine and a free port")
    return None


def console_settings(config: ConsoleConfig) -> Settings:
    """What the console is told. Raises BadUsage."""
    clock = EdgeClock(config.speed, config.epoch)
    mqtt = config.mqtt
    make_folder(config.data)
    mqtt_of(mqtt)
    return Settings(
        config.name, config.edge_ids[0], config.data, command_key(config.command_key, make=False), clock.now,
        mqtt_host=mqtt.host, mqtt_port=mqtt.port, mqtt_user=mqtt.user, mqtt_password=_password(mqtt),
        tls=Tls(mqtt.ca, mqtt.cert, mqtt.key) if mqtt.tls else None, speed=config.speed, epoch=config.epoch or 0.0,
        host=config.host, port=config.port, origins=config.origins, simulated=config.simulated,
        secure_cookies=any(origin.startswith("https://") for origin in config.origins),
    )


def put_user(path: Path, name: str, role: str) -> int:
    """`vigil user`. Raises BadUsage."""
    from getpass import getpass

    from edge.console.accounts import ensure_user

    if role not in ("nurse", "technician"):
        raise BadUsage(f"--role must be nurse or technician, not {role!r}")
    try:
        config = load_console(path)
    except ConfigError as wrong:
        raise BadUsage(str(wrong)) from None
    if sys.stdin.isatty():
        password = getpass("password: ")
        if getpass("again: ") != password:
            raise BadUsage("the two passwords differ; try again")
    else:
        password = sys.stdin.readline().rstrip("\n")
    if len(password) < MIN_PASSWORD:
        raise BadUsage(f"a password needs at least {MIN_PASSWORD} characters")
    make_folder(config.data)
    made = ensure_user(config.data / "console.db", name, password, cast(Role, role), EdgeClock().now())
    print(f"{name}: {'made' if made else 'new password'}, {role}")
    return 0
