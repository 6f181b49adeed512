"""The console as a process, and its accounts from the command line."""

from __future__ import annotations

import errno
import logging
import socket
import sys
from getpass import getpass
from pathlib import Path
from time import sleep

from sqlalchemy.exc import DBAPIError, OperationalError

from edge.clock import EdgeClock
from edge.config.broker import mqtt_of, password_of
from edge.config.files import ConfigError, ConsoleConfig, load_console
from edge.console import app
from edge.console.accounts import change_now, ensure_user, opened, role_of
from edge.console.administration import NotChanged, disable
from edge.console.database import NoStore, SchemaTooNew, place_of, shown_place, words_of
from edge.console.settings import Settings, Tls
from edge.console.store import Store
from edge.contract.accounts import ROLES, password_objection
from edge.contract.keys import BadKey, own_key, pin_neighbour, pinned_keys
from edge.contract.problems import KINDS
from edge.process import BadUsage, keep_for_good, log_to_stderr, loop_first, make_folder

TRY_AGAIN_S = 2.0  # real seconds
BY = "vigil user"  # who changes accounts from the command line, for the audit
log = logging.getLogger(__name__)


def run_console(path: Path) -> int:
    """`vigil console`. Raises BadUsage."""
    try:
        config = load_console(path)
    except ConfigError as wrong:
        raise BadUsage(str(wrong)) from None
    settings = console_settings(config, path)
    log_to_stderr("console")
    loop_first()
    _open_once(settings)
    try:
        app.run(settings, lambda address: keep_for_good())
    except OSError as wrong:
        usage = _cannot_listen(path, config, wrong)
        if usage is None:
            raise
        raise usage from None
    return 0


def _open_once(settings: Settings) -> None:
    """What is wrong with the store is told before anything starts. A server that is not there yet is waited for at the
    first start of all; later the accounts are known without it."""
    place, told = settings.database, ""
    while True:
        try:
            Store(place, serves=settings.now, accounts=settings.account_copy).close()
            return
        except OperationalError as wrong:
            if isinstance(place, Path):
                raise _cannot_use(place, words_of(wrong)) from None
            if words_of(wrong) != told:
                told = words_of(wrong)
                log.error("%s: cannot be used (%s); trying again", shown_place(place), told)
        except (DBAPIError, SchemaTooNew, NoStore) as wrong:
            raise _cannot_use(place, words_of(wrong) if isinstance(wrong, DBAPIError) else str(wrong)) from None
        sleep(TRY_AGAIN_S)


def _cannot_use(place: Path | str, why: str) -> BadUsage:
    if not isinstance(place, Path):
        return BadUsage(f"{shown_place(place)}: cannot be used ({why}); write another address as `database`")
    return BadUsage(f"{place}: cannot be used ({why}); it must belong to the user the console runs as. A"
                    " damaged one may be moved away: the edge sends again what it lacks")


def _cannot_listen(path: Path, config: ConsoleConfig, wrong: OSError) -> BadUsage | None:
    """What a person must write instead; None where it is another fault."""
    if wrong.errno == errno.EADDRINUSE:
        return BadUsage(f"{path}: port {config.port} of {config.host} is taken; write another port")
    if wrong.errno in (errno.EADDRNOTAVAIL, errno.EACCES) or isinstance(wrong, socket.gaierror):
        return BadUsage(f"{path}: cannot listen on {config.host} port {config.port} ({wrong.strerror}); write an"
                        " address of this machine and a free port")
    return None


def console_settings(config: ConsoleConfig, path: Path) -> Settings:
    """What the console is told; `path` is its console.toml. Raises BadUsage."""
    clock = EdgeClock(config.speed, config.epoch)
    mqtt = config.mqtt
    make_folder(config.data)
    mqtt_of(mqtt)
    try:
        own = own_key(config.signing_key)
        edges = pinned_keys(config.edge_keys, config.edge_ids, base=path.parent, data=config.data)
        pin_neighbour(edges, config.edge_ids, config.data, database="journal.db", key="edge.key")
    except (BadKey, OSError) as wrong:
        raise BadUsage(f"{path}: {wrong}") from None
    return Settings(
        config.name, config.edge_ids, config.data, clock.now, own, edges,
        mqtt_host=mqtt.host, mqtt_port=mqtt.port, mqtt_user=mqtt.user, mqtt_password=password_of(mqtt),
        tls=Tls(mqtt.ca, mqtt.cert, mqtt.key) if mqtt.tls else None, speed=config.speed, epoch=config.epoch or 0.0,
        host=config.host, port=config.port, origins=config.origins, proxies=config.proxies, simulated=config.simulated,
        simulators=config.simulation.sockets, demo_logins=config.simulation.logins,
        lock_after_s=config.lock_after_min * 60.0,
        server=_server_of(config), secure_cookies=any(origin.startswith("https://") for origin in config.origins),
    )


def _server_of(config: ConsoleConfig) -> str | None:
    place = place_of(config.database)
    return place if isinstance(place, str) else None


def put_user(path: Path, name: str, role: str | None = None, disabled: bool = False) -> int:
    """`vigil user`: without a `role` an account keeps its own, and a new one is a nurse's. Raises BadUsage."""
    if role is not None and role not in ROLES:
        raise BadUsage(f"--role must be one of {', '.join(ROLES)}, not {role!r}")
    try:
        config = load_console(path)
    except ConfigError as wrong:
        raise BadUsage(str(wrong)) from None
    password = "" if disabled else _new_password()
    make_folder(config.data)
    place, now_s = place_of(config.database), EdgeClock().now()
    try:
        if disabled:
            with opened(place) as store:
                change_now(store, place, disable, BY, now_s, name)
            print(f"{name}: disabled; a new password lets it in again")
            return 0
        role = role or role_of(place, name) or "nurse"
        made = ensure_user(place, name, password, role, now_s, BY)
    except (DBAPIError, SchemaTooNew, NoStore) as wrong:
        raise _cannot_use(place, words_of(wrong) if isinstance(wrong, DBAPIError) else str(wrong)) from None
    except NotChanged as refused:
        kind, words = refused.args
        raise BadUsage(f"{words}: {KINDS[kind].remedy}") from None
    except ValueError as refused:
        raise BadUsage(str(refused)) from None
    print(f"{name}: {'made' if made else 'new password'}, {role}")
    return 0


def _new_password() -> str:
    """Asked twice, or one line on standard input. Raises BadUsage."""
    if sys.stdin.isatty():
        password = getpass("password: ")
        if getpass("again: ") != password:
            raise BadUsage("the two passwords differ; try again")
    else:
        password = sys.stdin.readline().rstrip("\n")
    if (no_password := password_objection(password)) is not None:
        raise BadUsage(no_password)
    return password
