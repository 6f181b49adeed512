"""What a person does by hand in a clinic: the keys of edges and consoles are made, and each pins the other's."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path

from edge.contract.keys import own_key


def enrol(edges: dict[str, Path], consoles: dict[str, Path]) -> None:
    """Makes edge.key and console.key in the data folder of each name, and copies each public key to keys/NAME.pub in
    the data folder of every one on the other side. Raises OSError, BadKey."""
    _pin(edges, "edge.key", consoles.values())
    _pin(consoles, "console.key", edges.values())


def _pin(owners: dict[str, Path], file: str, others: Iterable[Path]) -> None:
    for name, data in owners.items():
        data.mkdir(parents=True, exist_ok=True)
        own_key(data / file)
        for other in others:
            (other / "keys").mkdir(parents=True, exist_ok=True)
            shutil.copy((data / file).with_suffix(".pub"), other / "keys" / f"{name}.pub")
