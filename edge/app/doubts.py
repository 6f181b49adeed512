"""What of a good edge.toml can still go wrong at the ports: names that may be another adapter's tomorrow."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from drivers.contract import Spec
from edge.config.files import EdgeConfig
from edge.config.places import places
from edge.field.port_names import unsure

NOTHING_TELLS = "; its protocol has no serial number, so nothing would tell another device there"


def warnings(path: Path, config: EdgeConfig, specs: Mapping[str, Spec]) -> Iterator[str]:
    """One line each, with file and line."""
    for bed, device, line in places(path, config):
        if (why := unsure(device.place.path)) != "":
            yield f"{path}:{line}: {bed.id}/{device.id}: {why}" + (NOTHING_TELLS if specs[device.spec].nameless else "")
