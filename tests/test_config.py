"""A wrong configuration is refused with one line: where, what, what to write instead. A good one means what it says."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from drivers.contract import Driver, Line, Setting, Spec
from edge.config.files import ConfigError, ConsoleConfig, EdgeConfig, config_hash, load_console, load_edge
from edge.console.run import console_settings
from edge.toml_lines import key_lines, line_of


def _never(settings: Mapping[str, object]) -> Driver:
    if settings.get("window") == 13:
        raise ValueError("acme: a window of 13 and slow averaging do not go together")
    return None  # type: ignore[return-value]  # configuration only asks whether the settings are good


def _spec(name: str, *transports: str) -> Spec:
    settings = {"averaging": Setting("fast", "how it averages", ("fast", "slow")), "window": Setting(4, "beats")}
    return Spec(name, name, "oximeter", transports, "D", "", Line(9600), frozenset(), (), "", _never, settings)  # type: ignore[arg-type]


KNOWN = {"acme": _spec("acme", "serial", "tcp"), "busy": _spec("busy", "modbus+rtu", "modbus+tcp")}

GOOD = """\
[edge]
id = "clinic-1"
data = "data"
rules = "rules.toml"

[mqtt]
url = "mqtt://127.0.0.1:1883"

[[bed]]
id = "chair-1"
[[bed.device]]
id = "oximeter"
driver = "acme"
at = "serial:///dev/ttyS90?baud=19200"
settings = { averaging = "slow" }

[[bed]]
id = "chair-2"
[[bed.device]]
id = "one"
driver = "busy"
at = "modbus+rtu:///dev/ttyS91?unit=1"
[[bed.device]]
id = "two"
driver = "busy"
at = "modbus+rtu:///dev/ttyS91?unit=2"
"""


def find(folder: Path | None) -> Mapping[str, Spec]:
    """The drivers there are, as drivers.find gives them."""
    if folder is not None and not folder.is_dir():
        raise ValueError(f"{folder} is no folder; write the folder that holds the clinic's own drivers")
    return KNOWN


def _write(folder: Path, text: str) -> Path:
    path = folder / "edge.toml"
    path.write_text(text)
    return path


def test_a_good_file_means_what_it_says(tmp_path: Path) -> None:
    config = load_edge(_write(tmp_path, GOOD), find)
    assert config.edge.data == tmp_path / "data"
    assert config.edge.rules == tmp_path / "rules.toml"
    assert config.edge.command_key == tmp_path / "data" / "command.key"
    assert config.edge.journal == f"sqlite:///{tmp_path}/data/journal.db"
    assert (config.edge.consoles, config.edge.simulated, config.edge.speed) == (("main",), False, 1.0)
    assert (config.mqtt.host, config.mqtt.port, config.mqtt.tls) == ("127.0.0.1", 1883, False)
    assert [bed.nibp_interval_s for bed in config.bed] == [300.0, 300.0]
    assert config.bed[0].device[0].place.line(Line(9600)).baud == 19200
    assert config.bed[0].device[0].settings == {"averaging": "slow"}
    assert [device.place.unit for device in config.bed[1].device] == [1, 2]


# what is replaced in GOOD, by what, and the one line that answers
FAULTS = [
    ("[edge]\n", "[edge\n", "1: is not TOML: Expected ']' at the end of a table declaration; write key = value,"
     " with text in quotes"),
    ('id = "clinic-1"', 'id = "Clinic 1"', "2: id: 'Clinic 1' must be 1 to 32 of a-z, 0-9 and -"),
    ('id = "clinic-1"\n', "", "1: [edge] lacks 'id'; write id = ..."),
    ('data = "data"', "data = 7", "3: 'data' must be a path in quotes, not 7"),
    ('rules = "rules.toml"', 'rule = "rules.toml"', "4: no key 'rule' in [edge]; did you mean 'rules'?"),
    ('rules = "rules.toml"\n', "", "1: [edge] lacks 'rules'; write rules = ..."),
    ("[mqtt]", "simulatd = true\n[mqtt]", "6: no key 'simulatd' in [edge]; did you mean 'simulated'?"),
    ("[mqtt]", 'simulated = "yes"\n[mqtt]', "6: 'simulated' must be true or false, not 'yes'"),
    ("[mqtt]", "speed = 0\nsimulated = true\n[mqtt]", "6: 'speed' must be above 0, not 0"),
    ("[mqtt]", "speed = inf\nsimulated = true\n[mqtt]", "6: 'speed' must be a finite number, not inf"),
    ("[mqtt]", "speed = 60.0\n[mqtt]", "1: 'speed' other than 1 is for simulated devices; remove it, or write"
     " simulated = true"),
    ("[mqtt]", 'consoles = "main"\n[mqtt]', "6: 'consoles' must be a list in [ ], not 'main'"),
    ("[mqtt]", 'journal = "mysql://x"\n[mqtt]', "6: journal: 'mysql://x' is no database; write"
     " sqlite:///journal.db or postgresql+psycopg://host/name"),
    ('url = "mqtt://127.0.0.1:1883"', 'url = "127.0.0.1:1883"', "7: url: '127.0.0.1:1883' is no broker; write"
     " mqtt://host:1883 or mqtts://host:8883"),
    ('1883"\n', '1883"\nca = "ca.crt"\n', "6: 'ca', 'cert' and 'key' are for TLS; write url = \"mqtts://...\" or"
     " remove them"),
    ('"mqtt://127.0.0.1:1883"\n', '"mqtts://b"\ncert = "c.crt"\n', "6: 'cert' and 'key' go together; write both or"
     " neither"),
    ('1883"\n', '1883"\nuser = "u"\n', "6: 'user' and 'password_file' go together; write both or neither"),
    ('"mqtt://127.0.0.1:1883"\n', '"mqtt://10.1.2.3"\nuser = "u"\npassword_file = "p"\n', "6: 'password_file' would"
     ' cross the network to 10.1.2.3 unencrypted; write url = "mqtts://...", or plain_password = true if that is'
     " meant"),
    ("[mqtt]", 'drivers = "/nowhere"\n[mqtt]', "6: drivers: /nowhere is no folder; write the folder that holds the"
     " clinic's own drivers"),
    ("[mqtt]", 'console_keys = ["a"]\n[mqtt]', "6: 'console_keys' must be a table, not ['a']"),
    ('id = "chair-2"', 'id = "chair-1"', "18: bed 'chair-1' is there twice; give each bed its own id"),
    ('id = "two"', 'id = "one"', "24: bed 'chair-2' has two devices 'one'; give each its own id"),
    ('id = "chair-1"\n', 'id = "chair-1"\nnibp_interval_s = 5\n', "11: 'nibp_interval_s' must be at least 30, not 5"),
    ('id = "chair-1"\n', 'id = "chair-1"\nnibp_intervall_s = 600\n', "11: no key 'nibp_intervall_s' in [[bed]]; did you"
     " mean 'nibp_interval_s'?"),
    ('driver = "acme"', 'drivr = "acme"', "13: no key 'drivr' in [[bed.device]]; did you mean 'driver'?"),
    ('driver = "acme"\n', "", "11: [[bed.device]] lacks 'driver'; write driver = ..."),
    ('driver = "acme"', 'driver = "acmee"', "13: no driver 'acmee'; did you mean 'acme'?"),
    ('driver = "acme"', 'driver = "zzz"', "13: no driver 'zzz'; there is: acme, busy"),
    ('settings = { averaging = "slow" }', 'settings = { averaging = "sloow" }', "15: acme: setting 'averaging' must be"
     " one of fast, slow, not 'sloow'"),
    ('settings = { averaging = "slow" }', '[bed.device.settings]\naverage = "slow"', "16: acme has no setting"
     " 'average'; it has: averaging, window"),
    ('settings = { averaging = "slow" }', "settings = { window = 13 }", "15: acme: a window of 13 and slow averaging do"
     " not go together"),
    ('settings = { averaging = "slow" }', 'identity = ""', "15: 'identity' must not be empty; remove it or fill it in"),
    ("serial:///dev/ttyS90?baud=19200", "serial:/dev/ttyS90", "14: at: 'serial:/dev/ttyS90' is no place of a device;"
     " write one like serial:///dev/ttyUSB0"),
    ("?baud=19200", "?baud=fast", "14: at: baud must be a whole number from 50 to 4000000, not 'fast'"),
    ("?baud=19200", "?bauds=19200", "14: at: serial:// has no option 'bauds'; did you mean 'baud'?"),
    ("serial:///dev/ttyS90?baud=19200", "modbus+tcp://h", "14: driver 'acme' cannot be reached by modbus+tcp://; write"
     " serial://, tcp://"),
    ("ttyS90", "ttyS91", "22: /dev/ttyS91 is already used by chair-1/oximeter; give each device its own port"),
    ("unit=2", "unit=1", "26: unit 1 on /dev/ttyS91 is already chair-2/one; give each device its own ?unit="),
    ("unit=2", "unit=2&baud=19200", "26: /dev/ttyS91 is shared with chair-2/one; give both the same baud,"
     " bits, parity and stop"),
    ("unit=2", "unit=248", "26: at: unit must be a whole number from 1 to 247, not '248'"),
    (GOOD[GOOD.index("[[bed]]"):], "", "1: the file lacks 'bed'; write [[bed]]"),
    (GOOD[:GOOD.index("[mqtt]")], "edge = 7\n", "1: 'edge' must be a table; write [edge]"),
    (GOOD[GOOD.index("[[bed]]"):], "[bed]\nid = 'a'\n", "9: 'bed' must be a table; write [[bed]]"),
]


@pytest.mark.parametrize(("old", "new", "said"), FAULTS, ids=[said.split(";")[0][:60] for *_, said in FAULTS])
def test_a_fault_is_one_exact_line(tmp_path: Path, old: str, new: str, said: str) -> None:
    assert GOOD.count(old) >= 1
    path = _write(tmp_path, GOOD.replace(old, new, 1))
    with pytest.raises(ConfigError) as caught:
        load_edge(path, find)
    assert str(caught.value) == f"{path}:{said}"


def test_two_names_of_one_port_are_one_port(tmp_path: Path) -> None:
    port, alias = tmp_path / "ttyA", tmp_path / "by-id"
    port.touch()
    alias.symlink_to(port)
    text = GOOD.replace("/dev/ttyS90", str(port)).replace("modbus+rtu:///dev/ttyS91?unit=1", f"serial://{alias}", 1)
    with pytest.raises(ConfigError, match="is already used by chair-1/oximeter"):
        load_edge(_write(tmp_path, text))


def test_a_missing_file_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load_edge(tmp_path / "no.toml")
    said = "cannot be read (No such file or directory); give --config the path of a file"
    assert str(caught.value) == f"{tmp_path}/no.toml: {said}"


CONSOLE = 'edge = "clinic-1"\ndata = "/d"\nport = 0\norigins = ["https://a.example"]\n[mqtt]\nurl = "mqtts://[::1]"\n'


def test_a_good_console_file_means_what_it_says(tmp_path: Path) -> None:
    config = load_console(_write(tmp_path, CONSOLE))
    assert isinstance(config, ConsoleConfig)
    assert (config.name, config.edge, config.host, config.port) == ("main", "clinic-1", "127.0.0.1", 0)
    assert config.command_key == Path("/d/command.key")
    assert (config.origins, config.proxies) == (("https://a.example",), ())
    behind = CONSOLE.replace("/d", str(tmp_path)).replace("port = 0", 'proxies = ["10.0.0.0/24", "::1"]')
    path = _write(tmp_path, behind)
    assert console_settings(load_console(path), path).proxies == ("10.0.0.0/24", "::1")
    assert (config.mqtt.host, config.mqtt.port) == ("::1", 8883)


@pytest.mark.parametrize(("old", "new", "said"), [
    ("port = 0", "port = 70000", "3: 'port' must be at most 65535, not 70000"),
    ("port = 0", 'port = "80"', "3: 'port' must be a whole number, not '80'"),
    ('data = "/d"\n', "", "1: the file lacks 'data'; write data = ..."),
    ("[mqtt]\n", '[mqtt]\nhost = "0.0.0.0"\n', "6: no key 'host' in [mqtt]; write it above [mqtt], before the first"
     " table"),
    ("[mqtt]\n", "[mqtt]\nzzz = 1\n", "6: no key 'zzz' in [mqtt]; there is: ca, cert, key, password_file,"
     " plain_password, url, user"),
    ("https://a.example", "a.example", "4: origins: 'a.example' is no address a page comes from; write"
     " https://vigil.clinic.example"),
    ("port = 0", 'proxies = ["*"]', "3: proxies: '*' is no address of a proxy; write 127.0.0.1, or a network as"
     " 10.0.0.0/24"),
    ("port = 0", 'proxies = ["10.0.0.1/24"]', "3: proxies: '10.0.0.1/24' is no address of a proxy; write 127.0.0.1, or"
     " a network as 10.0.0.0/24"),
    ("[mqtt]", "[mqttt]", "5: no key 'mqttt' in the file; did you mean 'mqtt'?"),
])
def test_a_fault_in_the_console_file_is_one_exact_line(tmp_path: Path, old: str, new: str, said: str) -> None:
    path = _write(tmp_path, CONSOLE.replace(old, new, 1))
    with pytest.raises(ConfigError) as caught:
        load_console(path)
    assert str(caught.value) == f"{path}:{said}"


@pytest.mark.parametrize(("old", "new", "said"), [
    ('edge = "clinic-1"\n', "", "1: lacks 'edges'; write edges = [\"clinic-1\"]"),
    ("port = 0", 'edges = ["clinic-1"]', "1: 'edge' and 'edges' say the same; remove edge"),
    ('edge = "clinic-1"', 'edges = ["a", "a"]', "1: 'edges' names one edge twice; write each once"),
    ('edge = "clinic-1"', 'edges = ["a", "B"]', "1: edges: 'B' must be 1 to 32 of a-z, 0-9 and -"),
    ('edge = "clinic-1"', 'edges = "a"', "1: 'edges' must be a list in [ ], not 'a'"),
    ("port = 0", 'host = "0.0.0.0"', "3: host '0.0.0.0' would carry passwords and patients' names unencrypted; write"
     ' host = "127.0.0.1" behind a proxy with TLS (deploy/README.md), or plain_http = true if that is meant'),
    ("port = 0", 'host = "vigil.clinic.example"', "3: host 'vigil.clinic.example' would carry passwords and patients'"
     ' names unencrypted; write host = "127.0.0.1" behind a proxy with TLS (deploy/README.md), or plain_http = true if'
     " that is meant"),
    ("[mqtt]", '[simulation]\nlogins = "l"\n[mqtt]', "5: [simulation] is for simulated beds; remove it, or write"
     " simulated = true"),
    ("mqtts://[::1]", 'mqtt://broker"\nuser = "u"\npassword_file = "/p', "5: 'password_file' would cross the network to"
     ' broker unencrypted; write url = "mqtts://...", or plain_password = true if that is meant'),
])
def test_what_would_leave_this_machine_unencrypted_is_refused(tmp_path: Path, old: str, new: str, said: str) -> None:
    path = _write(tmp_path, CONSOLE.replace(old, new, 1))
    with pytest.raises(ConfigError) as caught:
        load_console(path)
    assert str(caught.value) == f"{path}:{said}"


@pytest.mark.parametrize(("old", "new"), [
    ("port = 0", 'host = "0.0.0.0"\nplain_http = true'),
    ("port = 0", 'host = "::1"'), ("port = 0", 'host = "127.9.9.9"'),
    ("port = 0", 'host = "localhost"'), ("mqtts://[::1]", 'mqtt://[::1]"\nuser = "u"\npassword_file = "/p'),
    ("mqtts://[::1]", 'mqtts://broker"\nuser = "u"\npassword_file = "/p'), ("mqtts://[::1]", "mqtt://broker"),
    ("mqtts://[::1]", 'mqtt://broker"\nplain_password = true\nuser = "u"\npassword_file = "/p'),
])
def test_unless_it_is_written_out_or_stays_here(tmp_path: Path, old: str, new: str) -> None:
    load_console(_write(tmp_path, CONSOLE.replace(old, new, 1)))


def test_one_console_may_serve_many_edges(tmp_path: Path) -> None:
    many = load_console(_write(tmp_path, CONSOLE.replace('edge = "clinic-1"', 'edges = ["clinic-1", "clinic-2"]')))
    one = load_console(_write(tmp_path, CONSOLE))
    assert (many.edge_ids, one.edge_ids) == (("clinic-1", "clinic-2"), ("clinic-1",))


def test_keys_stand_in_data_or_where_they_are_written(tmp_path: Path) -> None:
    edge = load_edge(_write(tmp_path, GOOD.replace("[mqtt]", 'console_keys = {main = "main.pub"}\n[mqtt]')))
    console = load_console(_write(tmp_path, CONSOLE.replace("port = 0", 'edge_keys = {clinic-1 = "clinic-1.pub"}')))
    assert (edge.edge.signing_key, edge.edge.console_keys) == (tmp_path / "data" / "edge.key", {"main": "main.pub"})
    assert (console.signing_key, console.edge_keys) == (Path("/d/console.key"), {"clinic-1": "clinic-1.pub"})


def test_a_byte_order_mark_is_no_fault(tmp_path: Path) -> None:
    """Windows' Notepad writes one; TOML has none."""
    path = tmp_path / "edge.toml"
    path.write_bytes(b"\xef\xbb\xbf" + GOOD.encode())
    assert load_edge(path, find).edge.id == "clinic-1"


def test_the_examples_an_installer_copies_are_good() -> None:
    deploy = Path(__file__).parents[1] / "deploy"
    assert isinstance(load_edge(deploy / "edge.toml"), EdgeConfig)
    assert isinstance(load_console(deploy / "console.toml"), ConsoleConfig)


def test_the_hash_is_of_the_bytes(tmp_path: Path) -> None:
    first = config_hash(_write(tmp_path, GOOD))
    assert len(first) == 64
    assert config_hash(_write(tmp_path, GOOD + "#")) != first


def test_every_one_key_mutant_is_refused_where_it_stands(tmp_path: Path) -> None:
    """R7: no mistyped key is passed over, wherever it stands."""
    lines = GOOD.splitlines(keepends=True)
    for number, line in enumerate(lines, 1):
        if "=" in line and not line.startswith("#"):
            mutant = "".join([*lines[: number - 1], "x" + line, *lines[number:]])
            with pytest.raises(ConfigError) as caught:
                load_edge(_write(tmp_path, mutant), find)
            assert caught.value.line
            assert caught.value.line <= number


def test_lines_are_found_past_long_texts_and_in_the_latest_table() -> None:
    text = 'a = """\nb = 1\n"""\n[[t]]\nx = 1\n[[t]]\n# c\n"x" = 2\n[t.u]\ny.z = 3\n'
    lines = key_lines(text)
    assert lines[("a",)] == 1
    assert ("b",) not in lines
    assert (lines[("t", 0, "x")], lines[("t", 1, "x")]) == (5, 8)
    assert lines[("t", 1, "u", "y", "z")] == 10
    assert line_of(lines, ("t", 1, "nowhere", "at", "all")) == 6
