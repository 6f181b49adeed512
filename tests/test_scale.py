"""A driver's scale is computed from files: take one away, and the level goes with it."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import drivers
from drivers.contract import Agreement
from edge.app.scale import CARD, LEVELS, ROOT, Criterion, Evidence, Scale, scale_of
from edge.cli.catalogue import list_devices
from edge.field.acceptance import REPORT

NAME = "alaris_gh"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The files of one driver, good enough for silver."""
    for path in (f"drivers/{NAME}.py", f"simulators/{NAME}.py", f"tests/golden/{NAME}.txt"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / path, tmp_path / path)
    measured(tmp_path)
    return tmp_path


def measured(root: Path, **other: Any) -> None:
    told = {"sources": Evidence(drivers.find()[NAME], root).digest, "wrong": {"flip": 0}, "kept_late": 0.85,
            "noticed_s": 8.0, "live_again_s": 7.0, "logged": 1, "probe": ""}
    (root / "tests" / "measured").mkdir(exist_ok=True)
    (root / "tests" / "measured" / f"{NAME}.json").write_text(json.dumps(told | other))


def missing(root: Path) -> list[tuple[str, str]]:
    scale_of.cache_clear()
    return [(one.level, one.name) for one in scale_of(NAME, root).criteria if not one.met]


def test_each_level_needs_all_below_it() -> None:
    for number, level in enumerate(LEVELS):
        criteria = tuple(Criterion(one, "x", "missing" if one == level else "") for one in LEVELS)
        assert Scale(criteria).level == (LEVELS[number - 1] if number else "none")
    assert Scale(tuple(Criterion(one, "x") for one in LEVELS)).level == "platinum"


def test_a_driver_with_all_its_files_is_gold_and_waits_for_a_real_device(root: Path) -> None:
    scale_of.cache_clear()
    assert scale_of(NAME, root).level == "gold"
    assert {level for level, _ in missing(root)} == {"platinum"}


LIMITS: list[tuple[dict[str, Any], str | None]] = [
    ({"wrong": {"flip": 1}}, "no wrong value under any fault"),
    ({"kept_late": 0.84}, "85 % kept at one in ten late"),
    ({"noticed_s": 8.1}, "silence noticed in time"),
    ({"live_again_s": 7.1}, "live again in time"),
    ({"logged": 2}, "unavailable logged once"),
    ({"probe": "takes for its own nonin"}, "the probe recognises it, and takes no other for it"),
    ({}, None),
]


@pytest.mark.parametrize(("other", "criterion"), LIMITS)
def test_what_is_measured_counts_at_the_limit(root: Path, other: dict[str, Any], criterion: str | None) -> None:
    measured(root, **other)
    assert [name for level, name in missing(root) if level != "platinum"] == ([criterion] if criterion else [])


def test_a_driver_that_was_changed_since_is_measured_again(root: Path) -> None:
    with (root / "drivers" / f"{NAME}.py").open("a") as file:
        file.write("# another\n")
    scale_of.cache_clear()
    assert scale_of(NAME, root).level == "bronze"


@pytest.mark.parametrize(("path", "criterion"), [
    (f"tests/golden/{NAME}.txt", "golden frames"), (f"simulators/{NAME}.py", "twin")])
def test_without_a_file_there_is_no_level(root: Path, path: str, criterion: str) -> None:
    (root / path).unlink()
    assert ("bronze", criterion) in missing(root)
    assert scale_of(NAME, root).level == "none"


def test_a_driver_that_knows_a_clock_is_no_pure_codec(root: Path) -> None:
    with (root / "drivers" / f"{NAME}.py").open("a") as file:
        file.write("import time\n")
    assert ("bronze", "pure codec") in missing(root)


@pytest.mark.parametrize("name", drivers.find())
def test_each_driver_here_is_bronze_at_least(name: str) -> None:
    scale_of.cache_clear()
    assert [one.name for one in scale_of(name).criteria if one.level == "bronze" and not one.met] == []


def agreed(monkeypatch: pytest.MonkeyPatch, **other: Any) -> None:
    spec = replace(drivers.find()[NAME], **other)
    monkeypatch.setattr(drivers, "find", lambda: {NAME: spec})


CAPTURED = "C: captured from a real pump (MDDT)"
AGREEMENTS: list[tuple[tuple[Agreement, ...], bool]] = [
    ((Agreement("capture", CAPTURED),), True),
    ((), False),
    ((Agreement("capture", CAPTURED), Agreement("capture", "REAL, published official vector"),), False),
    ((Agreement("program", "D: late or doubled, never a sample"),), False),  # a row, but nothing is decoded from it
    ((Agreement("capture", CAPTURED.removesuffix(")")),), False),
]


@pytest.mark.parametrize(("agrees", "met"), AGREEMENTS)
def test_an_agreement_is_a_frame_of_the_golden_table_and_no_word(
    root: Path, monkeypatch: pytest.MonkeyPatch, agrees: tuple[Agreement, ...], met: bool
) -> None:
    agreed(monkeypatch, agrees=agrees)
    assert (("gold", "a real capture or a second implementation agrees") not in missing(root)) is met


@pytest.mark.parametrize("name", drivers.find())
def test_each_wiring_card_here_has_its_four_parts_in_order(name: str) -> None:
    spec = drivers.find()[name]
    begins = [line.partition(": ")[0] for line in spec.wiring.splitlines()]
    assert [one for one in begins if one in CARD] == list(CARD)
    line = spec.line
    assert f"{line.baud} {line.bits}{line.parity}{line.stop}" in spec.wiring.splitlines()[0], "as the driver sets it"
    scale_of.cache_clear()
    assert [one.why for one in scale_of(name).criteria if one.name == "wiring card"] == [""]


@pytest.mark.parametrize("left_out", CARD)
def test_a_card_without_one_part_is_none(root: Path, monkeypatch: pytest.MonkeyPatch, left_out: str) -> None:
    agreed(monkeypatch, wiring="\n".join(f"{one}: {'x' * 40}" for one in CARD if one != left_out))
    assert ("gold", "wiring card") in missing(root)
    agreed(monkeypatch, wiring="\n".join(f"{one}: {'x' * 9 if one == left_out else 'x' * 40}" for one in CARD))
    assert ("gold", "wiring card") in missing(root)


@pytest.mark.parametrize(("wiring", "met"), [
    ("RS-232 socket. " * 9 + "Known limits: the alarm codes are read from their names.", True),
    ("RS-232 socket; much is unknown, unverified, not public. " * 3, False),
    ("RS-232 socket. " * 9 + "Known limits: none.", False),
])
def test_limits_stand_in_their_place(root: Path, monkeypatch: pytest.MonkeyPatch, wiring: str, met: bool) -> None:
    agreed(monkeypatch, wiring=wiring)
    assert (("gold", "known limitations") not in missing(root)) is met


def report(root: Path, folder: Path | None = None, **other: Any) -> None:
    told = dict.fromkeys(REPORT, None) | {
        "driver": NAME, "sources": Evidence(drivers.find()[NAME], root).driver_digest, "simulated": False, "fit": True,
        "faults": [], "began": "2026-01-31T09:00:00.000Z", "seconds": 72 * 3600.0, "back_s": 1.5,
        "counters": {"frames": 1}, "frames": [{}]}
    into = folder or root / "tests" / "acceptance"
    into.mkdir(exist_ok=True)
    (into / "one.json").write_text(json.dumps(told | other))


OF_PLATINUM = ("acceptance report of a real device, its cable pulled and put back", "72 h on a real device")


@pytest.mark.parametrize(("other", "lacks"), [
    ({}, ()), ({"seconds": 72 * 3600.0 - 1}, OF_PLATINUM[1:]), ({"fit": False}, OF_PLATINUM),
    ({"simulated": True}, OF_PLATINUM), ({"driver": "alaris_gh_2"}, OF_PLATINUM),
    ({"counters": {"frames": 0}}, OF_PLATINUM), ({"frames": []}, OF_PLATINUM),
    ({"faults": ["the link was silent"]}, OF_PLATINUM), ({"back_s": None}, OF_PLATINUM[:1]),
    ({"sources": "0123456789abcdef"}, OF_PLATINUM), ({"seconds": "259200"}, OF_PLATINUM), ({"began": 1}, OF_PLATINUM),
])
def test_platinum_is_two_documents_and_three_days_with_a_real_device(
    root: Path, monkeypatch: pytest.MonkeyPatch, other: dict[str, Any], lacks: tuple[str, ...]
) -> None:
    agreed(monkeypatch, documents=("rev. A", "rev. B"))
    report(root, **other)
    assert missing(root) == [("platinum", name) for name in lacks]
    scale_of.cache_clear()
    assert scale_of(NAME, root).level == ("gold" if lacks else "platinum")


def test_a_clinic_s_own_reports_count_from_the_folder_it_names(
    root: Path, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    agreed(monkeypatch, documents=("rev. A", "rev. B"))
    accepted = tmp_path_factory.mktemp("clinic") / "reports"
    report(root, accepted)
    assert missing(root) == [("platinum", name) for name in OF_PLATINUM]
    assert scale_of(NAME, root, accepted).level == "platinum"
    with (root / "drivers" / f"{NAME}.py").open("a") as file:
        file.write("# another\n")
    measured(root)
    scale_of.cache_clear()
    why = {one.name: one.why for one in scale_of(NAME, root, accepted).criteria}
    assert why[OF_PLATINUM[0]] == "one.json: the driver was changed since: check it again"


@pytest.mark.parametrize("text", [
    "", "no report", "[]", json.dumps({"driver": NAME, "simulated": False, "fit": True, "seconds": 72 * 3600.0})])
def test_what_somebody_typed_is_no_report(root: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    agreed(monkeypatch, documents=("rev. A", "rev. B"))
    report(root)
    (root / "tests" / "acceptance" / "one.json").write_text(text)
    assert missing(root) == [("platinum", name) for name in OF_PLATINUM]


@pytest.mark.parametrize(("documents", "met"), [(("A", "B"), True), (("A",), False), (("A", "A"), False), ((), False)])
def test_a_document_counts_once(
    root: Path, monkeypatch: pytest.MonkeyPatch, documents: tuple[str, ...], met: bool
) -> None:
    agreed(monkeypatch, documents=documents)
    assert (("platinum", "two makers' documents") not in missing(root)) is met


@pytest.mark.parametrize("name", drivers.find())
def test_each_agreement_here_is_borne_out_by_its_golden_table(name: str) -> None:
    found = Evidence(drivers.find()[name], ROOT)
    assert [why for one in found.spec.agrees if (why := found.unsupported(one))] == []


def test_vigil_devices_shows_it(capsys: pytest.CaptureFixture[str]) -> None:
    scale_of.cache_clear()
    list_devices(None, as_json=True)
    rows = json.loads(capsys.readouterr().out)
    assert {row["scale"] for row in rows} <= {*LEVELS}
    assert all(row["criteria"] for row in rows)
    list_devices(NAME, as_json=False)
    assert "by these files\n  bronze    yes pure codec" in capsys.readouterr().out
