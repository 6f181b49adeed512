"""`vigil init` makes a folder that the edge takes; `vigil doctor` names what a folder lacks, and the remedy."""

from __future__ import annotations

import json
import os
import shutil
import socket
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from edge.app.run import check_edge
from edge.cli.installation import make_installation, see_installation
from edge.config.files import load_console
from edge.console.accounts import ensure_user
from edge.console.database import place_of
from edge.process import BadUsage

pytestmark = pytest.mark.slow


@pytest.fixture
def clinic(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    folder = tmp_path / "clinic"
    assert make_installation(folder, "clinic-7", 2) == 0
    capsys.readouterr()
    return folder


def lacks(folder: Path, capsys: pytest.CaptureFixture[str]) -> list[str]:
    """What the doctor says is missing, the folder's own path left out."""
    code = see_installation(folder, as_json=False)
    lines = capsys.readouterr().out.replace(f"{folder}/", "").splitlines()
    missing = [line.removeprefix("FAULT  ") for line in lines if line.startswith("FAULT")]
    assert code == (1 if missing else 0)
    return missing


def test_what_init_makes_the_edge_takes(clinic: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert check_edge(clinic / "edge.toml") == 0
    assert "good: 2 beds, 0 devices" in capsys.readouterr().out
    assert load_console(clinic / "console.toml").edge_ids == ("clinic-7",)
    assert (clinic / "data").stat().st_mode & 0o077 == 0
    assert (clinic / "data" / "edge.key").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(("edge", "there", "says"), [
    ("Clinic 7", False, "--edge 'Clinic 7': must be 1 to 32 of a-z, 0-9 and -"),
    ("clinic-7\n", False, "must be 1 to 32 of"),
    ("a" * 33, False, "must be 1 to 32 of"),
    ("clinic-7", True, "is there already; give a folder that is empty or not there yet"),
])
def test_what_init_refuses_leaves_nothing(tmp_path: Path, edge: str, there: bool, says: str) -> None:
    folder = tmp_path / "clinic"
    if there:
        folder.mkdir()
        (folder / "edge.toml").write_text("mine")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(BadUsage, match=says):
        make_installation(folder, edge, 1)
    assert sorted(tmp_path.rglob("*")) == before


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """An installation at which nothing is wrong: two devices, a broker, an account."""
    folder = tmp_path_factory.mktemp("made") / "clinic"
    make_installation(folder, "clinic-7", 1)
    master, slave = os.openpty()
    bed = '[[bed]]\nid = "{}"\n[[bed.device]]\nid = "o"\ndriver = "nonin"\nat = "{}"\n'
    beds = bed.format("a", f"serial://{os.ttyname(slave)}") + bed.format("b", "tcp://10.0.0.7:4001")
    with socket.create_server(("127.0.0.1", 0)) as broker:
        for name, more in (("edge.toml", beds), ("console.toml", "")):
            text = (folder / name).read_text().replace(":1883", f":{broker.getsockname()[1]}")
            (folder / name).write_text(text.split("\n[[bed]]")[0] + "\n" + more)
        ensure_user(place_of(load_console(folder / "console.toml").database), "tina", "long enough", "technician", 1.0)
        yield folder
    os.close(master)
    os.close(slave)


@pytest.fixture
def whole(made: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    return Path(shutil.copytree(made, tmp_path / "whole"))


def change(file: str, old: str, new: str) -> Callable[[Path], None]:
    def apply(folder: Path) -> None:
        text = (folder / file).read_text()
        assert old in text
        (folder / file).write_text(text.replace(old, new))

    return apply


FAULTS: list[tuple[Callable[[Path], object], list[str]]] = [  # what is done to it, and how each fault's line begins
    (lambda folder: None, []),
    (change("edge.toml", '"nonin"', '"nonim"'), ["edge.toml:17: no driver 'nonim'; did you mean 'nonin'?"]),
    (change("rules.toml", "hold_s = 15", "hold_s = -1"), ["rules.toml:"]),
    (change("protocols.toml", "[[protocol]]", "[[protocl]]"), ["protocols.toml:"]),
    (change("console.toml", "edges", "edgse"), ["console.toml:4: no key 'edgse'"]),
    (change("edge.toml", "serial:///dev/pts/", "serial:///dev/pts/9999"), ["a/o: /dev/pts/9999"]),
    (change("edge.toml", '[[bed]]\nid = "b"', '[[bed]]\nid = "c"\n[[bed]]\nid = "b"'), ["c: no device; vigil probe"]),
    (change("edge.toml", "mqtt://127.0.0.1:", "mqtt://127.0.0.1:1 # "), ["edge.toml:"]),
    (lambda folder: (folder / "data" / "console.db").write_bytes(b"x" * 99), ["data/console.db: cannot be read"]),
    (lambda folder: (folder / "data" / "console.db").chmod(0o644),  # the edge's folder, and the console's
     ["data/console.db: others may read it; chmod 600 "] * 2),
    (lambda folder: (folder / "data" / "keys" / "main.pub").write_text("x"),
     ["edge.toml: data/keys/main.pub is not an Ed25519 key"]),
    (lambda folder: (folder / "data" / "keys" / "clinic-7.pub").unlink(),
     ["public key of edge clinic-7; copy edge.pub of its data folder to data/keys/clinic-7.pub"]),
    (lambda folder: (folder / "edge.toml").unlink(), []),
]


@pytest.mark.parametrize("number", range(len(FAULTS)))
def test_each_fault_is_one_line_with_its_remedy(
        whole: Path, capsys: pytest.CaptureFixture[str], number: int) -> None:
    done, said = FAULTS[number]
    done(whole)
    found = lacks(whole, capsys)
    assert len(found) == len(said), found
    for line, begins in zip(found, said, strict=True):
        assert line.startswith(begins)


def test_a_group_that_may_read_is_said_once_more(whole: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (whole / "data" / "console.db").chmod(0o640)
    assert lacks(whole, capsys) == [], "somebody's purpose"
    see_installation(whole, as_json=False)
    assert "data/console.db: its group may read it; where nobody wants that: chmod 600 " in capsys.readouterr().out


def test_accounts_without_a_checksum_are_counted(whole: Path, capsys: pytest.CaptureFixture[str]) -> None:
    see_installation(whole, as_json=False)
    assert "1 account\n" in (said := capsys.readouterr().out), said
    with closing(sqlite3.connect(whole / "data" / "console.db")) as store:
        store.execute("UPDATE accounts SET sum = NULL")
        store.commit()
    assert lacks(whole, capsys) == [], "such an account works"
    see_installation(whole, as_json=False)
    said = capsys.readouterr().out
    assert "1 account, 1 without a checksum" in said
    assert "NAME gives a new password, and with it one: tina" in said


def test_an_installation_just_made(clinic: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("edge.toml", "console.toml"):
        (clinic / name).write_text((clinic / name).read_text().replace(":1883", ":1"))
    broker = ("broker mqtt://127.0.0.1:1: no connection (Connection refused); start vigil-broker or mosquitto, or"
              " correct [mqtt] url")
    probe = "no device; vigil probe PORT prints what to write as [[bed.device]]"
    user = "data/console.db: no account yet; vigil user --config console.toml NAME --role administrator"
    assert lacks(clinic, capsys) == [broker, f"bed-1: {probe}", f"bed-2: {probe}", broker, user]


def test_a_folder_without_any(tmp_path: Path) -> None:
    with pytest.raises(BadUsage, match=r"has no edge\.toml and no console\.toml; give the folder of one, or: vigil"):
        see_installation(tmp_path, as_json=False)


def test_as_json(clinic: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert see_installation(clinic, as_json=True) == 1
    told = json.loads(capsys.readouterr().out)
    assert told["faults"] == sum(not one["good"] for one in told["findings"])
    assert {"what", "good", "remedy"} == set(told["findings"][0])
