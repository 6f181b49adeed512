"""What edge.toml and console.toml may say, and the one clear line when they say it wrongly.

Nothing is guessed and nothing is passed over: every table forbids keys it does not know (a mistyped limit that is
silently ignored is worse than no limit), types are strict, and a file is either wholly good or refused before anything
starts. Relative paths are relative to the file that names them.
"""

from __future__ import annotations

import hashlib
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, Field, ValidationError, ValidationInfo, model_validator

from drivers.bounded import read_file
from drivers.contract import Line, Spec
from edge.config.base import FilePath, Proxy, Table, from_file, on_loopback
from edge.config.box import AnchorTable, SounderTable
from edge.config.messages import causes, nearest, say
from edge.config.sharing import Taken, sharing_faults
from edge.config.stores import store_url
from edge.field.device_url import DeviceUrl, parse_device_url
from edge.model import MAX_BEDS, PumpRole
from edge.toml_lines import Where, key_lines, line_of, not_toml, parsed
from edge.vocabulary import METRICS

MAPPED = "modbus_map"  # the driver that is told by a file what the device is


class ConfigError(Exception):
    """A configuration that is refused: one line that says where, what is wrong, and what to write instead."""

    def __init__(self, path: Path, line: int | None, message: str) -> None:
        self.path, self.line, self.message = path, line, message
        super().__init__(f"{path}:{line}: {message}" if line else f"{path}: {message}")


# --- what may be said -------------------------------------------------------------------------------------------------


def _in_data(raw: Mapping[str, Any], name: str) -> str:
    data = raw.get("data")  # where it is wrong or missing, that is the fault to report
    return str(Path(data if isinstance(data, str | Path) else "") / name)


def _name(text: str) -> str:
    if not re.fullmatch(r"[a-z0-9-]{1,32}", text):
        raise ValueError(f"{text!r} must be 1 to 32 of a-z, 0-9 and -")
    return text


def _place(text: str) -> str:
    parse_device_url(text)
    return text


def _mqtt_url(text: str) -> str:
    match = re.fullmatch(r"mqtts?://([A-Za-z0-9._-]+|\[[0-9A-Fa-f:]+\])(?::(\d{1,5}))?/?", text)
    if not match or not 0 < int(match[2] or 1) < 65536:
        raise ValueError(f"{text!r} is no broker; write mqtt://host:1883 or mqtts://host:8883")
    return text


def _origin(text: str) -> str:
    if not re.fullmatch(r"https?://[A-Za-z0-9._-]+(:\d{1,5})?", text):
        raise ValueError(f"{text!r} is no address a page comes from; write https://vigil.clinic.example")
    return text


def _store_url(text: str, info: ValidationInfo) -> str:
    return store_url(text, lambda path: from_file(path, info))


Name = Annotated[str, AfterValidator(_name)]
DatabaseUrl = Annotated[str, AfterValidator(_place)]
MqttUrl = Annotated[str, AfterValidator(_mqtt_url)]
StoreUrl = Annotated[str, AfterValidator(_store_url)]
Origin = Annotated[str, AfterValidator(_origin)]
Speed = Annotated[float, Field(gt=0, le=10_000)]


def protocols_beside(rules: Path) -> Path | None:
    """The protocols.toml beside a rules.toml, where there is one."""
    beside = rules.with_name("protocols.toml")
    return beside if beside.is_file() else None


class Clocked(Table):
    """What services that share an edge clock must agree on."""

    data: FilePath
    command_key: FilePath  # the key that signs commands; default: command.key in `data`
    simulated: bool = False  # every value is watermarked: it can never pass for a patient's
    speed: Speed = 1.0  # edge seconds per real second; a demonstration's alone
    epoch: float | None = None  # when a fast clock and this machine's agree, seconds since 1970 UTC; None: at start

    @model_validator(mode="before")
    @classmethod
    def _beside_data(cls, raw: Any) -> Any:
        return {"command_key": _in_data(raw, "command.key"), **raw} if isinstance(raw, Mapping) else raw

    @model_validator(mode="after")
    def _check_clock(self) -> Clocked:
        if self.speed != 1 and not self.simulated:
            raise ValueError("'speed' other than 1 is for simulated devices; remove it, or write simulated = true")
        return self


class EdgeTable(Clocked):
    """[edge]: this box."""

    id: Name
    rules: FilePath
    protocols: FilePath | None = None  # default: protocols.toml beside the rules, where there is one
    interlock: Literal["off", "stop_only"] = "off"  # whether a pump may be stopped from here, once that is armed
    drivers: FilePath | None = None  # a folder with drivers of the clinic's own, beside those of the package
    acceptance: FilePath | None = None  # a folder of reports that `vigil check --reports` wrote, for the drivers' scale
    signing_key: FilePath  # this edge's private key; default: edge.key in `data`, made at the first start
    console_keys: dict[Name, str] = Field(default_factory=dict)  # console -> its public key, or the path of its .pub
    consoles: Annotated[tuple[Name, ...], Field(strict=False)] = ("main",)  # whose stored-up-to it waits for
    journal: StoreUrl  # default: SQLite, journal.db in `data`
    keep_inputs_days: Annotated[float, Field(ge=1, le=36_500)] = 30.0  # what devices said; events are kept for ever
    keep_inputs_mb: Annotated[float, Field(ge=10)] | None = None  # at most so much of it; None: no bound

    @property
    def protocols_file(self) -> Path | None:
        """The protocols to run by; None: as 0.1.0, one protocol whatever its name."""
        return self.protocols or protocols_beside(self.rules)

    @model_validator(mode="before")
    @classmethod
    def _journal_in_data(cls, raw: Any) -> Any:
        if not isinstance(raw, Mapping):
            return raw
        return {"journal": f"sqlite:///{_in_data(raw, 'journal.db')}", "signing_key": _in_data(raw, "edge.key"), **raw}


class MqttTable(Table):
    """[mqtt]: the broker. `ca`, `cert` and `key` belong to mqtts://."""

    url: MqttUrl = "mqtt://127.0.0.1:1883"
    ca: FilePath | None = None
    cert: FilePath | None = None
    key: FilePath | None = None
    user: str | None = None
    password_file: FilePath | None = None
    plain_password: bool = False  # a password may leave this machine unencrypted

    @model_validator(mode="after")
    def _goes_together(self) -> MqttTable:
        if not self.tls and (self.ca or self.cert or self.key):
            raise ValueError("'ca', 'cert' and 'key' are for TLS; write url = \"mqtts://...\" or remove them")
        if (self.cert is None) != (self.key is None):
            raise ValueError("'cert' and 'key' go together; write both or neither")
        if (self.user is None) != (self.password_file is None):
            raise ValueError("'user' and 'password_file' go together; write both or neither")
        if self.user and not self.tls and not on_loopback(self.host) and not self.plain_password:
            raise ValueError(f"'password_file' would cross the network to {self.host} unencrypted; write url ="
                             ' "mqtts://...", or plain_password = true if that is meant')
        return self

    @property
    def tls(self) -> bool:
        """Whether the way to the broker is encrypted."""
        return self.url.startswith("mqtts:")

    @property
    def host(self) -> str:
        """The broker's host, without the brackets of an IPv6 address."""
        return re.sub(r"(:\d+)?/?$", "", self.url.split("//", 1)[1]).strip("[]")

    @property
    def port(self) -> int:
        """The broker's port; 1883, or 8883 with TLS, where none is given."""
        match = re.search(r":(\d+)/?$", self.url.split("//", 1)[1].rpartition("]")[2])
        return int(match[1]) if match else (8883 if self.tls else 1883)


class DeviceTable(Table):
    """[[bed.device]]: one device at a bed."""

    id: Name
    driver: str
    at: DatabaseUrl
    map: FilePath | None = None  # the register map, where the driver is MAPPED
    identity: Annotated[str, Field(min_length=1)] | None = None
    role: PumpRole | None = None  # of a pump: whether it gives the drug, or carries
    settings: dict[str, Any] = Field(default_factory=dict)

    @property
    def place(self) -> DeviceUrl:
        """`at`, read."""
        return parse_device_url(self.at)

    @property
    def spec(self) -> str:
        """The name its driver is found by: a register map's is its path."""
        return self.driver if self.map is None else str(self.map)


class BedTable(Table):
    """[[bed]]: one bed; its label may be any text, as in "Chair 1"."""

    id: Name
    nibp_interval_s: Annotated[float, Field(ge=30, le=7200)] = 300.0
    device: Annotated[tuple[DeviceTable, ...], Field(strict=False)] = ()


class EdgeConfig(Table):
    """edge.toml."""

    edge: EdgeTable
    sounder: SounderTable | None = None
    anchor: AnchorTable | None = None
    mqtt: MqttTable = Field(default_factory=MqttTable)
    bed: Annotated[tuple[BedTable, ...], Field(strict=False, min_length=1)]

    @property
    def maps(self) -> tuple[Path, ...]:
        """The register maps that devices name."""
        return tuple(dict.fromkeys(one.map for bed in self.bed for one in bed.device if one.map is not None))


class SimulationTable(Table):
    """[simulation]: where a demonstration's simulators listen, and its accounts."""

    sockets: dict[Name, FilePath] = Field(default_factory=dict)  # edge -> the socket of `vigil simulate --control`
    logins: FilePath | None = None  # a JSON list of name, password and role, offered to whoever opens the page


class ConsoleConfig(Clocked):
    """console.toml."""

    name: Name = "main"
    edges: Annotated[tuple[Name, ...], Field(strict=False)] = ()  # whose beds it shows
    edge: Name | None = None  # the same with one edge
    database: StoreUrl  # default: SQLite, console.db in `data`
    signing_key: FilePath  # this console's private key; default: console.key in `data`, made at the first start
    edge_keys: dict[Name, str] = Field(default_factory=dict)  # edge -> its public key, or the path of its .pub
    host: str = "127.0.0.1"
    plain_http: bool = False  # pages, passwords and patients' names may leave this machine unencrypted
    port: Annotated[int, Field(ge=0, le=65535)] = 8080
    lock_after_min: Annotated[float, Field(ge=5, le=720)] = 720  # nobody touches a screen for so long: it locks
    origins: Annotated[tuple[Origin, ...], Field(strict=False)] = ()  # other addresses pages may come from (a proxy's)
    proxies: Annotated[tuple[Proxy, ...], Field(strict=False)] = ()  # whose X-Forwarded-For is believed
    mqtt: MqttTable = Field(default_factory=MqttTable)
    simulation: SimulationTable = Field(default_factory=SimulationTable)

    @model_validator(mode="before")
    @classmethod
    def _in_its_data(cls, raw: Any) -> Any:
        if not isinstance(raw, Mapping):
            return raw
        return {"database": f"sqlite:///{_in_data(raw, 'console.db')}", "signing_key": _in_data(raw, "console.key"),
                **raw}

    @property
    def edge_ids(self) -> tuple[str, ...]:
        """Every edge it serves, however the file names them."""
        return self.edges or ((self.edge,) if self.edge else ())


# --- reading ----------------------------------------------------------------------------------------------------------

T = TypeVar("T", bound=Table)

# Finds the drivers: given the clinic's own folder of them (or None) and, where devices name some, their register maps.
# Raises ValueError with one line for what cannot be used.
Catalogue = Callable[..., Mapping[str, Spec]]


def load_edge(path: Path, known: Catalogue | None = None) -> EdgeConfig:
    """edge.toml, wholly checked, against the drivers in `known` where given. Raises ConfigError."""
    return _load(EdgeConfig, path, lambda config: _edge_faults(config, known))


def load_console(path: Path) -> ConsoleConfig:
    """console.toml, wholly checked. Raises ConfigError."""
    return _load(ConsoleConfig, path, _console_faults)


def config_hash(path: Path) -> str:
    """SHA-256 of the file's bytes, in hex. Raises ConfigError where it cannot be read."""
    return hashlib.sha256(_read(path)).hexdigest()


def _read(path: Path) -> bytes:
    try:
        return read_file(path)
    except OSError as error:
        raise ConfigError(path, None, f"cannot be read ({error.strerror}); give --config the path of a file") from None


def _load(model: type[T], path: Path, more: Callable[[T], Iterator[tuple[Where, str]]]) -> T:
    try:
        text = _read(path).decode("utf-8-sig")  # some editors put a byte order mark before the first line
        raw = parsed(text)
    except UnicodeDecodeError as error:
        raise ConfigError(path, None, f"is not UTF-8 text (byte {error.start}); save it as UTF-8") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(path, *not_toml(text, str(error))) from None
    lines = key_lines(text)
    try:
        config = model.model_validate(raw, context={"base": path.absolute().parent})
    except ValidationError as error:
        faults = [(line_of(lines, fault["loc"]), say(model, fault)) for fault in causes(error.errors())]
        raise ConfigError(path, *min(faults)) from None
    for where, message in more(config):
        raise ConfigError(path, line_of(lines, where), message)
    return config


# --- what only the whole file shows -----------------------------------------------------------------------------------


def _console_faults(config: ConsoleConfig) -> Iterator[tuple[Where, str]]:
    if not config.simulated and (config.simulation.sockets or config.simulation.logins):
        yield ("simulation",), "[simulation] is for simulated beds; remove it, or write simulated = true"
    if not config.edge_ids:
        yield (), "lacks 'edges'; write edges = [\"clinic-1\"]"
    if config.edges and config.edge:
        yield ("edge",), "'edge' and 'edges' say the same; remove edge"
    if len(set(config.edges)) < len(config.edges):
        yield ("edges",), "'edges' names one edge twice; write each once"
    if not on_loopback(config.host) and not config.plain_http:
        yield ("host",), (f"host {config.host!r} would carry passwords and patients' names unencrypted; write"
                          ' host = "127.0.0.1" behind a proxy with TLS (deploy/README.md), or plain_http = true if that'
                          " is meant")


def _edge_faults(config: EdgeConfig, catalogue: Catalogue | None) -> Iterator[tuple[Where, str]]:
    known: Mapping[str, Spec] | None = None
    if catalogue is not None:
        try:
            known = catalogue(config.edge.drivers)
        except ValueError as error:
            yield ("edge", "drivers"), f"drivers: {error}"
            return
    if len(config.bed) > MAX_BEDS:
        yield ("bed", MAX_BEDS), f"there are {len(config.bed)} beds; one edge has at most {MAX_BEDS}"
    beds: set[str] = set()
    taken: dict[str, Taken] = {}
    for b, bed in enumerate(config.bed):
        if bed.id in beds:
            yield ("bed", b, "id"), f"bed {bed.id!r} is there twice; give each bed its own id"
        beds.add(bed.id)
        devices: set[str] = set()
        drug = ""
        for d, device in enumerate(bed.device):
            where: Where = ("bed", b, "device", d)
            if device.role == "drug" and drug:
                yield (*where, "role"), f"{drug!r} gives the drug at bed {bed.id!r} already; write role = \"carrier\""
            drug = device.id if device.role == "drug" else drug
            if device.id in devices:
                yield (*where, "id"), f"bed {bed.id!r} has two devices {device.id!r}; give each its own id"
            devices.add(device.id)
            yield from _map_faults(where, device)
            if known is not None and catalogue is not None and device.map is not None:
                try:
                    known = {**known, **catalogue(None, (device.map,))}
                except ValueError as error:
                    yield (*where, "map"), f"map: {error}"
            if known is not None:
                yield from _driver_faults(where, device, known)
            spec = (known or {}).get(device.spec)
            line = device.place.line(spec.line if spec else Line(9600))
            mine = Taken(device.place, f"{bed.id}/{device.id}", (line.baud, line.bits, line.parity, line.stop))
            yield from sharing_faults((*where, "at"), mine, taken)


def _map_faults(where: Where, device: DeviceTable) -> Iterator[tuple[Where, str]]:
    if device.driver == MAPPED and device.map is None:
        yield (*where, "driver"), f"driver {MAPPED!r} reads by a register map; write map = \"device.toml\""
    if device.driver != MAPPED and device.map is not None:
        yield (*where, "map"), f"'map' is for driver = {MAPPED!r}; driver {device.driver!r} has its own"


def _driver_faults(where: Where, device: DeviceTable, known: Mapping[str, Spec]) -> Iterator[tuple[Where, str]]:
    spec = known.get(device.spec)
    if spec is None:
        yield (*where, "driver"), f"no driver {device.driver!r}; {nearest(device.driver, known)}"
        return
    if device.role is not None and spec.kind != "pump":
        yield (*where, "role"), f"'role' is for pumps; driver {device.driver!r} is of kind {spec.kind}; remove it"
    if unknown := sorted(spec.metrics - set(METRICS)):
        at = "".join(f"{spec.defined_at[one]}: " for one in unknown[:1] if one in spec.defined_at)
        yield (*where, "driver"), (f"{at}driver {device.driver!r} decodes {', '.join(unknown)}, which"
                                   " edge/vocabulary.py does not know; it knows: " + ", ".join(METRICS))
    if device.place.transport not in spec.transports:
        ways = ", ".join(f"{way}://" for way in spec.transports)
        yield (*where, "at"), f"driver {spec.name!r} cannot be reached by {device.place.transport}://; write {ways}"
    for name, value in device.settings.items():
        try:
            spec.driver({name: value})
        except ValueError as error:
            yield (*where, "settings", name), str(error)
    try:
        spec.driver(device.settings)
    except ValueError as error:
        yield (*where, "settings"), str(error)
