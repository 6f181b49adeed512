"""`vigil` as a person types it: every wrong word gets one line that says what, where, and what to write instead."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import get_args

import pytest

from drivers.bounded import read_file
from drivers.contract import Effect
from edge.app.run import run_edge
from edge.cli import main
from edge.console.run import run_console
from edge.process import BadUsage
from tests.helpers.rule_files import FILE, HERE


def vigil(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "edge.cli", *arguments], capture_output=True, text=True, timeout=60,
                          check=False)


BAD = [
    (("dance",), "No such command 'dance'"),
    (("dan\nce",), "No such command 'dan\\nce'"),
    (("edge", "--config", "/nowhere/a\nb\u202e.toml"), r"/nowhere/a\nb\u202e.toml: cannot be read"),
    (("demo", "--beds", "none"), "--beds"),
    (("demo", "--scenario", "tragedy"), "no scenario is named 'tragedy'; there are story, calm, day"),
    (("edge", "--config", "/nowhere/edge.toml"), "/nowhere/edge.toml: cannot be read"),
    (("console", "--config", "/nowhere/console.toml"), "/nowhere/console.toml: cannot be read"),
    (("broker", "--host", "0.0.0.0"), "serves this machine only"),
    (("devices", "alaris"), "no driver is named 'alaris'"),
    (("rules", "check", "/nowhere"), "/nowhere: cannot be read"),
    (("rules", "test", str(FILE), "--stories", "/nowhere"), "--stories /nowhere: no such folder"),
    (("verify", "/nowhere/journal.db"), "/nowhere/journal.db"),
    (("replay", "/nowhere/journal.db"), "/nowhere/journal.db"),
    (("bench", "--sizes", "many"), "--sizes"),
    (("bench", "--sizes", "2000"), "from 1 to 1024"),
    (("bench", "--profile", "none"), "--profile none: there are four-reads, one-read"),
    (("bench", "--broker", "none"), "--broker none: there are embedded, mosquitto"),
    (("simulate", "teapot"), "teapot"),
    (("simulate", "nonin", "--keep", "somewhere"), "--rules, --keep, --protocol and --fault-free are for --cohort N"),
    (("simulate", "--cohort", "1", "--keep", "/dev/null"), "--keep /dev/null: File exists; give a folder that can be"),
    (("demo", "--port", "99999"), "65535"),
    (("demo", "--data", __file__), "no folder for data can be made there"),
    (("demo", "--data", "/tmp/is this real?"), "cannot stand in a port's address"),
    (("broker", "--port", "99999"), "65535"),
    (("probe", ""), "no port"),
    (("edge", "--check", "--config", "/dev/zero"), "/dev/zero: cannot be read (File too large); give --config"),
    (("rules", "check", "/dev/zero"), "/dev/zero: cannot be read (File too large); give the path of a rules.toml"),
    (("protocols", "check", "/tmp"), "/tmp: cannot be read (Is a directory); give the path of a protocols.toml"),
    (("simulate", "nonin", "--play", "/dev/zero"), "/dev/zero: cannot be read (File too large); give a file of lines"),
    (("simulate", "nonin", "--patient", "/dev/zero"), "/dev/zero: File too large"),
    *((("verify", place), "there is no journal at") for place in ("", ".", "/")),
    *((("audit", place), "no such file; give a console.db") for place in ("", ".", "/")),
    (("capture", "/dev/null", "/tmp", "--driver", "nonin"), "/tmp: cannot be written (File exists); give a file"),
]


class Typed:
    """`vigil` in this process: a new Python for each wrong word would take most of the fast tests' time."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self._monkeypatch, self._capsys = monkeypatch, capsys

    def __call__(self, *arguments: str, stdin: str = "") -> tuple[int, str, str]:
        """Exit code, output, complaints."""
        self._monkeypatch.setattr(sys, "argv", ["vigil", *arguments])
        self._monkeypatch.setattr(sys, "stdin", io.StringIO(stdin))
        with pytest.raises(SystemExit) as ended:
            main()
        assert isinstance(ended.value.code, int)
        return (ended.value.code, *self._capsys.readouterr())


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Typed:
    return Typed(monkeypatch, capsys)


@pytest.mark.parametrize(("arguments", "says"), BAD, ids=[" ".join(a) for a, _ in BAD])
def test_bad_usage_is_one_line_and_exit_2(typed: Typed, arguments: tuple[str, ...], says: str) -> None:
    code, out, err = typed(*arguments)
    assert (code, out) == (2, ""), err
    assert says in err
    assert len(err.strip().splitlines()) == 1, err


@pytest.mark.parametrize("verb", [("edge", "--check", "--config"), ("console", "--config"), ("rules", "check"),
                                  ("protocols", "check")])
def test_a_file_of_brackets_and_a_pipe_that_nobody_writes_to_are_one_line(
        typed: Typed, tmp_path: Path, verb: tuple[str, ...]) -> None:
    deep, pipe = tmp_path / "deep.toml", tmp_path / "pipe.toml"
    deep.write_text("a = " + 9000 * "[")
    os.mkfifo(pipe)
    code, out, err = typed(*verb, str(deep))
    says = f"{deep}:1: is not TOML: brackets in brackets in brackets; write key = value, with text in quotes\n"
    assert (code, out, err) == (2, "", f"vigil: {says}")
    code, out, err = typed(*verb, str(pipe))
    assert (code, out, err.startswith(f"vigil: {pipe}:1: "), err.count("\n")) == (2, "", True, 1)


def test_a_file_is_read_to_its_length_and_not_beyond(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"x" * 100)
    assert read_file(path, 100) == b"x" * 100
    with pytest.raises(OSError, match="File too large"):
        read_file(path, 99)


@pytest.mark.slow
def test_bad_usage_ends_the_process_so(tmp_path: Path) -> None:
    done = vigil("edge", "--config", str(tmp_path / "edge.toml"))
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (f"vigil: {tmp_path}/edge.toml: cannot be read (No such file or directory); give --config the"
                           " path of a file\n")


EDGE = """[edge]
id = "clinic-1"
data = "data"
rules = "rules.toml"
[mqtt]
url = "mqtt://127.0.0.1:1"
[[bed]]
id = "chair-1"
[[bed.device]]
id = "oximeter"
driver = "nonin"
at = "tcp://127.0.0.1:1"
"""
WRONG_EDGE = [
    ('at = "tcp://127.0.0.1:1"', 'at = "127.0.0.1:1"', "edge.toml:12: at:"),
    ('driver = "nonin"', 'drivr = "nonin"', "edge.toml:11: no key 'drivr' in [[bed.device]]; did you mean 'driver'?"),
    ('driver = "nonin"', 'driver = "nonim"', "edge.toml:11: no driver 'nonim'; did you mean 'nonin'?"),
    ('id = "chair-1"', 'id = "Chair 1"', "edge.toml:8: "),
    ('id = "chair-1"', 'nibp_interval_s = 5\nid = "chair-1"', "edge.toml:8: "),
    ('data = "data"', 'data = "rules.toml"', "rules.toml: no folder for data can be made there"),
    ('url = "mqtt://127.0.0.1:1"', 'url = "mqtts://127.0.0.1:1"\nca = "rules.toml"', "certificates cannot be used"),
    ('url = "mqtt://127.0.0.1:1"', 'url = "mqtts://127.0.0.1:1"\nca = "none.pem"', "certificates cannot be used"),
]


@pytest.mark.parametrize(("old", "new", "says"), WRONG_EDGE, ids=[new.splitlines()[0] for _, new, _ in WRONG_EDGE])
def test_a_wrong_edge_toml_is_named_with_its_line(tmp_path: Path, old: str, new: str, says: str) -> None:
    """Its only bed is wrong here, which must not read as if there were none."""
    assert old in EDGE
    (tmp_path / "rules.toml").write_text(FILE.read_text())
    (tmp_path / "edge.toml").write_text(EDGE.replace(old, new, 1))
    with pytest.raises(BadUsage) as wrong:
        run_edge(tmp_path / "edge.toml")
    assert says in str(wrong.value)
    assert "\n" not in str(wrong.value)


def test_an_edge_that_waits_makes_nothing_of_its_record_before_the_word_comes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "rules.toml").write_text(FILE.read_text())
    (tmp_path / "edge.toml").write_text(EDGE)
    began: list[str] = []

    def begin(name: str, work: object) -> int:
        began.append(name)
        return 0

    monkeypatch.setattr("edge.app.run.until_stopped", begin)
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    with pytest.raises(BadUsage, match="standard input has ended"):
        run_edge(tmp_path / "edge.toml", wait_for_go=True)
    assert began == []
    monkeypatch.setattr("sys.stdin", io.StringIO("go\n"))
    assert run_edge(tmp_path / "edge.toml", wait_for_go=True) == 0
    assert began == ["edge"]


def console_in(folder: Path, text: str) -> Path:
    for name in ("data", "broken"):
        (folder / name).mkdir()
        (folder / name / "command.key").write_text("00" * 32)
    (folder / "broken" / "console.db").write_bytes(b"no database at all\n" * 1000)
    (folder / "file").write_text("no folder, and no certificate")
    (folder / "console.toml").write_text(f'edge = "clinic-1"\n{text}\n')
    return folder / "console.toml"


@pytest.mark.parametrize(("text", "says"), [
    ('data = "file"', "no folder for data can be made there"),
    ('data = "data"\n[mqtt]\nurl = "mqtts://127.0.0.1:1"\nca = "file"', "certificates cannot be used"),
], ids=["data", "ca"])
def test_a_wrong_console_toml_is_named(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(BadUsage) as wrong:
        run_console(console_in(tmp_path, text))
    assert says in str(wrong.value)


@pytest.mark.slow
@pytest.mark.parametrize(("verb", "text", "says"), [
    ("console", 'data = "data"\nhost = "203.0.113.1"\nplain_http = true', "cannot listen on 203.0.113.1"),
    ("console", 'data = "broken"', "console.db: cannot be used"),
    ("edge", EDGE.replace('data = "data"', 'data = "data"\njournal = "postgresql+nothing://x/y"'), "nothing"),
], ids=["host", "store", "journal"])
def test_a_service_that_cannot_start_says_why_in_one_line(tmp_path: Path, verb: str, text: str, says: str) -> None:
    file = console_in(tmp_path, text)
    if verb == "edge":
        file.write_text(text)
        (tmp_path / "rules.toml").write_text(FILE.read_text())
    done = vigil(verb, "--config", str(file))
    assert done.returncode == 2, done.stderr
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("vigil: ")]
    assert says in line
    assert "Traceback" not in done.stderr


RULES = [
    ('when = "spo2_pct < 90"', 'when = "spo2 < 90"', "RES-2: no metric is named 'spo2'; did you mean 'spo2_pct'?"),
    ('priority = "high"\ngroup', 'priority = "loud"\ngroup',
     "HTN-3: priority must be one of 'high', 'medium', 'low', 'none', not 'loud'"),
    ("hold_s = 15", "hold = 15", "RES-2: no key 'hold' in [[rule]]; did you mean 'hold_s'?"),
    ("hold_s = 15", "hold_s = -1", "RES-2: hold_s must be seconds, 0 or more, not -1"),
    ('context = ["*"]', 'context = ["ALWAYS"]', "HTN-3: context must be a list of"),
    ('id = "HTN-2"', 'id = "HTN-1"', "HTN-1: this id is used twice"),
    ("not standing('TEC-4')", "not standing('TEC-44')", "TEC-1: standing('TEC-44'): no rule or family has that name"),
    ("standing(HTN)", "standing(HTM)", "HTN-R: standing('HTM'): no rule or family has that name; did you mean 'HTN"),
    ("tier = 2", "tier = 1", "HTN-2: tier 1 of group 'HTN' is HTN-1's; give each its own"),
]


@pytest.mark.parametrize(("old", "new", "says"), RULES, ids=[new.splitlines()[0] for _, new, _ in RULES])
def test_a_bad_rule_is_named_with_its_line(typed: Typed, tmp_path: Path, old: str, new: str, says: str) -> None:
    file = tmp_path / "rules.toml"
    text = FILE.read_text()
    assert old in text
    file.write_text(text.replace(old, new, 1))
    code, _, err = typed("rules", "check", str(file))
    assert code == 2
    number = 1 + text[:text.index(old)].count("\n")
    assert err.startswith(f"vigil: {file}:{number}: {says}"), err


def test_what_an_older_file_of_rules_has_not_is_said(typed: Typed, tmp_path: Path) -> None:
    """A clinic's own numbers are its own; a file as it came has nothing to be said of."""
    file, text = tmp_path / "rules.toml", FILE.read_text().replace("hold_s = 15", "hold_s = 16")
    file.write_text(text)
    good = typed("rules", "check", str(file))[1]
    assert "unlike rules.toml" not in good and "RES-2: limit says 15, and what is asked is 16" in good
    for old, new in (("entered_for_s = 1200", ""), ("for_bed = true\ncontext", "context"),
                     (", 'PRO-7') > 30", ") > 30"), ('id = "PRO-9"', 'id = "MY-9"')):
        assert old in text
        text = text.replace(old, new, 1)
    file.write_text(text)
    code, out, _ = typed("rules", "check", str(file))
    said = [line.partition(" of this version: ")[2][:45] for line in out.splitlines() if "unlike rules.toml" in line]
    assert code == 0
    assert said == ["[engine] has no entered_for_s (1200 there)", "TEC-10 has no for_bed",
                    "TEC-10 asks something else in when: unwatched", "there is no PRO-9 (Oximetry overdue)"]


def test_rules_are_said_in_words(typed: Typed) -> None:
    code, out, _ = typed("rules", "explain", str(FILE))
    assert code == 0
    assert "HTN-3  Severe hypertension: HIGH physiological alarm, always" in out


@pytest.fixture
def one_rule(tmp_path: Path) -> Path:
    """A rules.toml of TEC-3 alone, and its story beside it."""
    (rule,) = [rule for rule in FILE.read_text().split("[[rule]]") if 'id = "TEC-3"' in rule]
    alone = rule.replace('continues = ["TEC-10"]\n', "")
    (tmp_path / "rules.toml").write_text(f"[[rule]]{alone}")
    (tmp_path / "stories").mkdir()
    (tmp_path / "stories" / "TEC-3.txt").write_text((HERE / "stories" / "TEC-3.txt").read_text())
    return tmp_path / "rules.toml"


def test_the_stories_beside_a_rules_file_are_told(typed: Typed, one_rule: Path) -> None:
    """Those of the default rules are told in tests/test_stories.py."""
    assert typed("rules", "test", str(one_rule)) == (0, "1 rule, 0 without a true story\n", "")


def test_a_story_that_does_not_come_true_fails_with_its_line(typed: Typed, one_rule: Path, tmp_path: Path) -> None:
    (tmp_path / "TEC-3.txt").write_text("given infusing\n20:00 link pump lost\n20:05 -> TEC-3:pump active\n")
    code, _, err = typed("rules", "test", str(one_rule), "--stories", str(tmp_path))
    assert code == 1
    assert "TEC-3.txt:3: expected TEC-3:pump active, found TEC-3:pump pending" in err


def test_a_rule_without_a_story_is_named(typed: Typed, one_rule: Path, tmp_path: Path) -> None:
    code, _, err = typed("rules", "test", str(one_rule), "--stories", str(tmp_path))
    assert code == 1
    assert err == f"TEC-3: no story; write {tmp_path / 'TEC-3.txt'}\n"


def test_devices_say_everything_they_can_ever_say(typed: Typed) -> None:
    rows = json.loads(typed("devices", "--json")[1])
    oximeter = next(row for row in rows if row["name"] == "nonin")
    assert oximeter["codes"]["spo2_pct"] == {"ucum": "%", "mdc": 150456, "loinc": "59408-5"}
    names = {row["name"] for row in rows}
    assert {"alaris_gh", "contec_cms60", "isco", "nonin", "suntech_advantage"} <= names
    for row in rows:
        assert row["source"]
        assert row["grade"]
        assert all("hex" in said or "function" in said for said in row["says"]), "its name in 0.1.0"
        assert row["requests"] == row["says"]
        assert all(request["effect"] in get_args(Effect) for request in row["requests"])
    card = typed("devices", "alaris_gh")[1]
    assert "every request it can send to the device, and its effect there" in card
    assert "38400 8N1" in card


def test_ports_and_version(typed: Typed) -> None:
    assert isinstance(json.loads(typed("ports", "--json")[1]), list)
    project = tomllib.loads((HERE.parent / "pyproject.toml").read_text())["project"]
    assert typed("--version")[1].strip() == project["version"]


def test_an_account_needs_a_real_password(typed: Typed, tmp_path: Path) -> None:
    config = tmp_path / "console.toml"
    config.write_text('edge = "clinic-1"\ndata = "data"\n')
    code, _, err = typed("user", "--config", str(config), "nina", "--role", "doctor", stdin="a long enough one\n")
    assert (code, err) == (
        2, "vigil: --role must be one of nurse, technician, prescriber, administrator, not 'doctor'\n")
    assert "made, prescriber" in typed("user", "--config", str(config), "paul", "--role", "prescriber",
                                       stdin="a long enough one\n")[1]
    code, _, err = typed("user", "--config", str(config), "nina", stdin="short\n")
    assert code == 2
    assert "at least 10 characters" in err
    made = typed("user", "--config", str(config), "nina", stdin="a long enough one\n")
    assert made[:2] == (0, "nina: made, nurse\n")
    assert "a long enough one" not in (tmp_path / "data" / "console.db").read_bytes().decode("latin-1")
