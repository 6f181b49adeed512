"""The files of a demonstration: keys that know each other, accounts, and what edge.toml and console.toml say."""

from __future__ import annotations

import json
import random
import secrets
import shutil
import socket
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import drivers
from edge.demo.enrol import enrol
from edge.model import Role
from edge.process import BadUsage
from edge.stream.broker_access import access_text, made_users

EDGE, CONSOLE = "demo", "main"
ANY_TRIES = 20
_LOWEST_PORT = 10_000
_OUTGOING = Path("/proc/sys/net/ipv4/ip_local_port_range")  # ip(7)
_DEPLOY = Path(__file__).resolve().parents[2] / "deploy"


@dataclass(frozen=True, slots=True)
class Login:
    """An account made for this demonstration."""

    name: str
    password: str
    role: Role


@dataclass(slots=True)
class Site:
    """One edge with its simulators, and where both keep their things."""

    edge: str
    data: Path
    socket: Path
    twins: list[dict[str, Any]] = field(default_factory=list)

    @property
    def suffix(self) -> str:
        """What tells the names of its services from the first one's."""
        return self.edge.removeprefix(EDGE)

    @property
    def ports(self) -> Path:
        """The folder of links to the simulated serial ports."""
        return self.data / "ports"

    @property
    def beds(self) -> list[str]:
        """In the order of their numbers."""
        return sorted({twin["bed"] for twin in self.twins}, key=lambda bed: (len(bed), bed))


@dataclass(frozen=True, slots=True)
class Shared:
    """What edges and console of one demonstration have in common."""

    data: Path
    speed: float
    epoch: float
    mqtt_port: int
    http_port: int


def rules_file() -> Path:
    """The default rules: deploy/rules.toml of a checkout, or as they were installed with the package."""
    return _default("rules.toml")


def protocols_file() -> Path:
    """The default protocols, likewise."""
    return _default("protocols.toml")


def _default(name: str) -> Path:
    installed = Path(__file__).resolve().parents[1] / "defaults" / name
    return _DEPLOY / name if (_DEPLOY / name).is_file() else installed


class Ports:
    """The ports of one demonstration, for as long as it lives: a second one that starts meanwhile takes others.

    A service binds its port some time after it was chosen. Until then nothing on the port itself tells that it is
    taken, so a name in the kernel does (an abstract Unix socket, unix(7)), which goes with this process.
    """

    def __init__(self) -> None:
        self._names: list[socket.socket] = []

    def take(self, wanted: int | None = 0) -> int:
        """`wanted`, or, for None, 8080 where it is free, or any (0). Raises BadUsage where the wanted one is taken."""
        for port in [wanted] if wanted else _any_ports() if wanted == 0 else [8080, *_any_ports()]:
            try:
                return self._taken(port)
            except OSError as wrong:
                if wanted:
                    raise BadUsage(f"port {port} cannot be used ({wrong.strerror}); give another --port") from None
        raise BadUsage("this machine has no free port")

    def _taken(self, port: int) -> int:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            chosen: int = probe.getsockname()[1]
        name = socket.socket(socket.AF_UNIX)
        try:
            name.bind(f"\0vigil-demo-port-{chosen}")
        except OSError:
            name.close()
            raise
        self._names.append(name)
        return chosen

    def close(self) -> None:
        """The demonstration is over."""
        for name in self._names:
            name.close()


def _any_ports() -> list[int]:
    """Ports to try, below those that the kernel gives to outgoing connections.

    Who calls a service again and again while it is away is given such a port at times, and in the end the service's
    own: then it is connected to itself (TCP's simultaneous open), and the service finds its port taken.
    """
    first_outgoing = int(_OUTGOING.read_text().split()[0])
    if first_outgoing - _LOWEST_PORT < ANY_TRIES:
        return [0] * ANY_TRIES
    return random.sample(range(_LOWEST_PORT, first_outgoing), ANY_TRIES)


def free_port(wanted: int | None = 0) -> int:
    """A port that is free now: for whoever takes it at once. Raises BadUsage."""
    ports = Ports()
    try:
        return ports.take(wanted)
    finally:
        ports.close()


def new_logins() -> list[Login]:
    """A nurse, a technician, a prescriber and an administrator, with passwords nobody has had."""
    roles: tuple[Role, ...] = ("nurse", "technician", "prescriber", "administrator")
    return [Login(role, secrets.token_urlsafe(9), role) for role in roles]


def write_console(shared: Shared, sites: Sequence[Site], logins: Sequence[Login]) -> Path:
    """console.toml, with every key it needs made and pinned. Its path."""
    enrol({site.edge: site.data for site in sites}, {CONSOLE: shared.data})
    private(shared.data / "logins.json", json.dumps([asdict(login) for login in logins]))
    sockets = ", ".join(f"{site.edge} = {json.dumps(str(site.socket))}" for site in sites)
    path = shared.data / "console.toml"
    path.write_text(
        f'name = "{CONSOLE}"\nedges = {json.dumps([site.edge for site in sites])}\n'
        f"data = {json.dumps(str(shared.data))}\n"
        f"port = {shared.http_port}\nsimulated = true\nspeed = {shared.speed}\nepoch = {shared.epoch}\n"
        f'{_mqtt(shared, f"console-{CONSOLE}")}'
        f'[simulation]\nsockets = {{ {sockets} }}\nlogins = "logins.json"\n')
    return path


def write_edge(shared: Shared, site: Site, first_cuff_s: float) -> Path:
    """edge.toml of one site, for the simulated devices at hand. Its path."""
    shutil.copy(rules_file(), site.data / "rules.toml")
    shutil.copy(protocols_file(), site.data / "protocols.toml")
    parts = [f'[edge]\nid = "{site.edge}"\ndata = {json.dumps(str(site.data))}\nrules = "rules.toml"\n'
             'protocols = "protocols.toml"\n'
             "simulated = true\n"
             f"speed = {shared.speed}\nepoch = {shared.epoch}\n"
             f'{_mqtt(shared, f"edge-{site.edge}")}']
    bed = None
    for twin in site.twins:
        if twin["bed"] != bed:
            bed = twin["bed"]
            parts.append(f'[[bed]]\nid = "{bed}"\n')
        parts.append(f'[[bed.device]]\nid = "{twin["device"]}"\ndriver = "{twin["driver"]}"\n'
                     f"at = {json.dumps(_at(twin))}\n")
        if "start_s" in drivers.find()[twin["driver"]].settings:
            parts.append(f"[bed.device.settings]\nstart_s = {first_cuff_s}\n")
    path = site.data / "edge.toml"
    path.write_text("".join(parts))
    return path


def private(path: Path, text: str) -> None:
    """Write a file that this user alone may read."""
    path.touch(mode=0o600)
    path.write_text(text)


def write_broker(shared: Shared, sites: Sequence[Site]) -> list[str]:
    """A password for each component and what each may read and write; whoever has none may look and, as ever, send
    commands, which are believed as far as they are signed. The arguments of `vigil broker`."""
    text, passwords = made_users([*(f"edge-{site.edge}" for site in sites), f"console-{CONSOLE}"])
    users, access = shared.data / "broker.passwords", shared.data / "broker.access"
    private(users, text)
    private(access, access_text({site.edge: [CONSOLE] for site in sites}, anonymous=True))
    for user, password in passwords.items():
        private(shared.data / f"{user}.mqtt", password + "\n")
    return ["broker", "--port", str(shared.mqtt_port), "--passwords", str(users), "--access", str(access)]


def _mqtt(shared: Shared, user: str) -> str:
    return (f'[mqtt]\nurl = "mqtt://127.0.0.1:{shared.mqtt_port}"\nuser = "{user}"\n'
            f"password_file = {json.dumps(str(shared.data / f'{user}.mqtt'))}\n")


def _at(twin: dict[str, Any]) -> str:
    """A pty by its link, which survives replugging; anything else as it is."""
    at: str = twin["at"]
    if not twin.get("port"):
        return at
    scheme, _, query = at.partition("?")
    return f"{scheme.split('://')[0]}://{twin['port']}" + (f"?{query}" if query else "")
