"""Where the journal and the console's store may lie: a SQLite file or a PostgreSQL database."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from edge.postgres import shown_address


def store_url(text: str, from_file: Callable[[Path], Path]) -> str:
    """The address as it will be opened; a file's path is relative to the configuration (`from_file`). Raises
    ValueError, which shows no password."""
    if not re.match(r"(sqlite|postgresql)(\+\w+)?://", text):
        raise ValueError(f"{shown_address(text)!r} is no database; write sqlite:///journal.db or"
                         " postgresql+psycopg://host/name")
    head, slashes, tail = text.partition(":///")
    if head.startswith("sqlite") and slashes and tail and not tail.startswith(":memory:"):
        return f"{head}:///{from_file(Path(tail))}"
    return text
