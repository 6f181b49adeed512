"""Where in its file each device of an edge.toml is written."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from edge.config.files import BedTable, DeviceTable, EdgeConfig
from edge.toml_lines import key_lines, line_of


def places(path: Path, config: EdgeConfig) -> Iterator[tuple[BedTable, DeviceTable, int | None]]:
    """Each device with its bed, and the line of its `at`."""
    lines = key_lines(path.read_bytes().decode("utf-8-sig"))
    for b, bed in enumerate(config.bed):
        for d, device in enumerate(bed.device):
            yield bed, device, line_of(lines, ("bed", b, "device", d, "at"))
