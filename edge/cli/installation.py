"""`vigil init`: a clinic's folder to begin with. `vigil doctor`: what is wrong with one, and its remedy, one a line."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path

import drivers
from edge.app.run import read_protocols, read_rules
from edge.aside import GROUP, OTHERS
from edge.config.broker import mqtt_of
from edge.config.files import BedTable, ConfigError, EdgeConfig, MqttTable, load_console, load_edge
from edge.console.database import place_of
from edge.contract.keys import BadKey, pinned_keys
from edge.contract.vitals import ID_PATTERN
from edge.demo.configuration import protocols_file, rules_file
from edge.demo.enrol import enrol
from edge.field.port_names import unsure
from edge.field.ports import for_group
from edge.process import BadUsage
from edge.vocabulary import counted

ANSWERS_WITHIN_S = 2.0
LEAST_FREE = 1_000_000_000  # bytes: a month of a small clinic's record
EDGE_TOML = """\
# Which device, which driver, which port, which bed. `vigil edge --check --config edge.toml` checks it; every key is in
# deploy/edge.toml. Relative paths are relative to this file.

[edge]
id = "{edge}"
data = "data"                          # the record and the keys
rules = "rules.toml"                   # approved by the medical director, as protocols.toml
protocols = "protocols.toml"

[mqtt]
url = "mqtt://127.0.0.1:1883"          # vigil broker, on this machine
{beds}"""
BED = """
[[bed]]
id = "bed-{number}"
# [[bed.device]]                       # vigil probe PORT prints driver and at
# id = "oximeter"
# driver = "nonin"
# at = "serial:///dev/serial/by-id/..."
"""
CONSOLE_TOML = """\
# The console: pages for nurses and technicians. Every key is in deploy/console.toml.

name = "main"
edges = ["{edge}"]
data = "data"
# port = 8080

[mqtt]
url = "mqtt://127.0.0.1:1883"
"""
FIRST_USER = "vigil user --config {} NAME --role administrator"  # who makes the other accounts on the page
NEXT = """\
{folder}: edge.toml, console.toml, rules.toml, protocols.toml, and keys that know each other. Next:
1. vigil ports; vigil probe PORT       write what it prints at a bed in {folder}/edge.toml
2. {first_user}    who makes the other accounts on the page
3. vigil broker; vigil edge --config {folder}/edge.toml; vigil console --config {folder}/console.toml
4. vigil doctor {folder}               says what is missing or wrong"""


def make_installation(folder: Path, edge: str, beds: int) -> int:
    """`vigil init`: files that `vigil edge --check` passes. Raises BadUsage; nothing is overwritten."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise BadUsage(f"{folder}: is there already; give a folder that is empty or not there yet")
    if not re.match(ID_PATTERN, edge):
        raise BadUsage(f"--edge {edge!r}: must be 1 to 32 of a-z, 0-9 and -")
    text = EDGE_TOML.format(edge=edge, beds="".join(BED.format(number=number + 1) for number in range(beds)))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "data").mkdir(mode=0o700)
        shutil.copy(rules_file(), folder / "rules.toml")
        shutil.copy(protocols_file(), folder / "protocols.toml")
        (folder / "edge.toml").write_text(text)
        (folder / "console.toml").write_text(CONSOLE_TOML.format(edge=edge))
    except OSError as wrong:
        raise BadUsage(f"{folder}: cannot be made ({wrong.strerror}); give a folder that this user may write") from None
    enrol({edge: folder / "data"}, {"main": folder / "data"})
    print(NEXT.format(folder=folder, first_user=FIRST_USER.format(f"{folder}/console.toml")))
    return 0


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at: what it is, whether it is as it should be, and if not, what to do."""

    what: str
    good: bool
    remedy: str = ""


def see_installation(folder: Path, as_json: bool) -> int:
    """`vigil doctor`: 0 where all is as it should be, 1 where something is not. Raises BadUsage."""
    files = [folder / "edge.toml", folder / "console.toml"]
    if not any(file.is_file() for file in files):
        raise BadUsage(f"{folder}: has no edge.toml and no console.toml; give the folder of one, or: vigil init"
                       f" {folder}")
    found = [one for file, look in zip(files, (_edge, _console), strict=True) if file.is_file() for one in look(file)]
    faults = sum(not one.good for one in found)
    if as_json:
        print(json.dumps({"faults": faults, "findings": [asdict(one) for one in found]}))
    else:
        for one in found:
            print(f"{'ok   ' if one.good else 'FAULT'}  {one.what}" + (f"; {one.remedy}" if one.remedy else ""))
        print(f"{faults} of {len(found)} are not as they should be" if faults else "all is as it should be")
    return 1 if faults else 0


def _edge(file: Path) -> Iterator[Finding]:
    try:
        config = load_edge(file, drivers.find)
        rules, _ = read_rules(config.edge.rules)
        read_protocols(config.edge.protocols_file, rules)
    except (ConfigError, BadUsage) as wrong:
        yield Finding(str(wrong), False, "correct this line; the rest was not looked at")
        return
    yield Finding(f"{file}, {config.edge.rules.name} and protocols: good", True)
    data = config.edge.data
    yield from _folder(data)
    yield from _neighbours(file, data, config.edge.console_keys, config.edge.consoles, "console")
    yield from _broker(config.mqtt)
    yield from _devices(config)


def _console(file: Path) -> Iterator[Finding]:
    try:
        config = load_console(file)
    except ConfigError as wrong:
        yield Finding(str(wrong), False, "correct this line; the rest was not looked at")
        return
    yield Finding(f"{file}: good", True)
    yield from _folder(config.data)
    yield from _neighbours(file, config.data, config.edge_keys, config.edge_ids, "edge")
    yield from _broker(config.mqtt)
    place = place_of(config.database)
    if isinstance(place, Path):
        yield _accounts(file, place)


def _folder(data: Path) -> Iterator[Finding]:
    if not data.is_dir():
        yield Finding(f"{data}: no such folder", False, f"as the user the service runs as: mkdir -m 700 {data}")
    elif not os.access(data, os.W_OK):
        yield Finding(f"{data}: this user may not write there", False, "give it to the user the service runs as")
    else:
        free = shutil.disk_usage(data).free
        enough = free >= LEAST_FREE
        yield Finding(f"{data}: {free / 1e9:.1f} GB free", enough, "" if enough else "make room")
        yield from _private(data)


def _neighbours(file: Path, data: Path, given: dict[str, str], names: tuple[str, ...], kind: str) -> Iterator[Finding]:
    """The other side's public keys: without one nothing it says is believed."""
    try:
        pinned = pinned_keys(given, names, base=file.parent, data=data)
    except BadKey as wrong:
        yield Finding(f"{file}: {wrong}", False)
        return
    database = "console.db" if kind == "console" else "journal.db"
    for name in names:
        one_folder = len(names) == 1 and (data / database).is_file()  # both live here: edge.contract.keys.pin_neighbour
        good = name in pinned or one_folder
        yield Finding(f"public key of {kind} {name}", good, "" if good else (
            f"copy {kind}.pub of its data folder to {data}/keys/{name}.pub: what it says is not believed"))


def _broker(mqtt: MqttTable) -> Iterator[Finding]:
    try:
        mqtt_of(mqtt)
        with socket.create_connection((mqtt.host, mqtt.port), ANSWERS_WITHIN_S):
            yield Finding(f"broker {mqtt.url}: takes connections", True)
    except BadUsage as wrong:
        yield Finding(str(wrong), False)
    except OSError as wrong:
        yield Finding(f"broker {mqtt.url}: no connection ({wrong.strerror or wrong})", False,
                      "start vigil-broker or mosquitto, or correct [mqtt] url")


def _devices(config: EdgeConfig) -> Iterator[Finding]:
    for bed in config.bed:
        if not bed.device:
            yield Finding(f"{bed.id}: no device", False, "vigil probe PORT prints what to write as [[bed.device]]")
        yield from _ports(bed)


def _ports(bed: BedTable) -> Iterator[Finding]:
    for device in bed.device:
        name, path = f"{bed.id}/{device.id}", device.place.path
        if not path:
            yield Finding(f"{name}: {device.at}, not opened here", True, f"vigil check '{device.at}' --driver"
                                                                         f" {device.map or device.driver} tries it")
        elif not os.path.exists(path):
            yield Finding(f"{name}: {path} is not there", False, "plug it in; vigil ports lists what is")
        elif not os.access(path, os.R_OK | os.W_OK):
            yield Finding(f"{name}: this user may not use {path}", False, for_group(path))
        else:
            why = unsure(path)
            yield Finding(f"{name}: {path} is there", not why, why)


def _accounts(file: Path, database: Path) -> Finding:
    """Whether somebody can log in."""
    remedy = FIRST_USER.format(file)
    if not database.is_file():
        return Finding(f"{database}: no account yet", False, remedy)
    try:
        with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as store:
            names = [str(name) for (name,) in store.execute("SELECT name FROM accounts ORDER BY name")]
            summed = any(column[1] == "sum" for column in store.execute("PRAGMA table_info(accounts)"))
            unsummed = [str(name) for (name,) in store.execute(
                "SELECT name FROM accounts WHERE sum IS NULL ORDER BY name")] if summed else names
    except sqlite3.Error as wrong:
        return Finding(f"{database}: cannot be read ({wrong})", False, "run this as the user the console runs as")
    found = f"{database}: {counted(len(names), 'account')}"
    if not unsummed:
        return Finding(found, bool(names), "" if names else remedy)
    return Finding(f"{found}, {len(unsummed)} without a checksum: what a bad disk made of one would be believed", True,
                   f"vigil user --config {file} NAME gives a new password, and with it one: {', '.join(unsummed)}")


def _private(data: Path) -> Iterator[Finding]:
    """Who can read a database there reads who did what, and, in a console's, patients' names."""
    for file in sorted(data.glob("*.db*")):
        mode = file.stat().st_mode
        if mode & OTHERS:
            yield Finding(f"{file}: others may read it", False, f"chmod 600 {file}")
        elif mode & GROUP:
            yield Finding(f"{file}: its group may read it", True, f"where nobody wants that: chmod 600 {file}")
