"""Which device is read for which bed, and that what it said keeps its own time on the way to the screens."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

import drivers
from edge.app.recovery import recover
from edge.app.service import EdgeService
from edge.clock import EdgeClock
from edge.config.files import load_edge
from edge.contract.mqtt import Mqtt
from edge.core.rules import parse_rules
from edge.field import devices
from edge.field.device_url import DeviceUrl
from edge.field.dialogue import Dialogue
from edge.journal.journal import Journal
from edge.journal.reader import Reader
from edge.model import LinkChanged, Sample, Samples, iso
from edge.stream.publisher import Stream
from tests.helpers.rule_files import FILE
from tests.helpers.stream_world import edge_signer

BED = """[[bed]]
id = "chair-{n}"
[[bed.device]]
id = "oximeter"
driver = "nonin"
at = "tcp://10.0.0.7:400{n}"
[[bed.device]]
id = "pump"
driver = "isco"
at = "modbus+tcp://10.0.0.9:502?unit={n}"
"""
EDGE = '[edge]\nid = "clinic-1"\ndata = "."\nrules = "rules.toml"\n' + BED.format(n=1) + BED.format(n=2)


class Wires:
    """Stands for connections and buses: which dialogue got which address, "bed/device" -> address."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.found: dict[str, str] = {}
        wires = self

        class Connection:
            def __init__(self, dialogue: Dialogue, at: DeviceUrl, **_: object) -> None:
                wires.found[f"{dialogue.bed}/{dialogue.device}"] = at.endpoint

        class Bus:
            def __init__(self, at: DeviceUrl, **_: object) -> None:
                self.endpoint = at.endpoint

            def add(self, unit: int, dialogue: Dialogue) -> None:
                wires.found[f"{dialogue.bed}/{dialogue.device}"] = f"{self.endpoint} unit {unit}"

        monkeypatch.setattr(devices, "Connection", Connection)
        monkeypatch.setattr(devices, "Bus", Bus)


async def service(folder: Path) -> tuple[EdgeService, Journal, EdgeClock]:
    (folder / "edge.toml").write_text(EDGE)
    (folder / "rules.toml").write_text(FILE.read_text())
    config, clock = load_edge(folder / "edge.toml"), EdgeClock()
    journal = Journal.open(config.edge.journal, edge="clinic-1", boot="b1", wall=lambda: "2026-01-01T00:00:00.000Z")
    built = EdgeService(
        config, parse_rules(FILE.read_text()), FILE.read_text(), drivers.find(), clock=clock, journal=journal,
        recovered=await recover(journal), boot="b1", version="0", config_hash="0", key=b"k" * 32,
        mqtt=Mqtt("127.0.0.1", 1), signer=edge_signer(), console_keys={})
    return built, journal, clock


async def test_each_bed_is_read_at_its_own_addresses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wires = Wires(monkeypatch)
    _, journal, _ = await service(tmp_path)
    await journal.close()
    ends = {name: address.rpartition("//")[2] for name, address in wires.found.items()}
    assert ends == {"chair-1/oximeter": "10.0.0.7:4001", "chair-2/oximeter": "10.0.0.7:4002",
                    "chair-1/pump": "10.0.0.9:502 unit 1", "chair-2/pump": "10.0.0.9:502 unit 2"}


async def test_a_reading_keeps_its_own_time_on_the_screen_and_in_the_journal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:
    Wires(monkeypatch)
    sent: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    monkeypatch.setattr(Stream, "vitals", lambda _, bed, payload: sent.put_nowait(json.loads(payload)))
    built, journal, clock = await service(tmp_path)
    at_s = round(clock.now() - 7.0, 3)
    built._decoded("chair-2", [LinkChanged("oximeter", "live"), Samples("oximeter", (
        Sample("chair-2", "oximeter", "spo2_pct", 97.0, "valid", at_s),))], at_s, False)
    async with asyncio.timeout(5):
        while not (vitals := await sent.get())["numerics"]:
            pass
    await journal.close()
    shown = vitals["numerics"]["spo2_pct"]
    assert (vitals["bed"], shown["at"]) == ("chair-2", iso(at_s))
    assert 7.0 <= shown["age_s"] < 12.0
    with Reader(str(tmp_path / "journal.db")) as reader:
        kept = [recorded for recorded in reader.inputs() if isinstance(recorded.input, Samples)]
    assert [(one.bed, one.at_s) for one in kept] == [("chair-2", at_s)]
    assert isinstance(kept[0].input, Samples) and kept[0].input.samples[0].at_s == at_s
