"""What every table of a configuration file is, a path in one, and what is on this machine."""

from __future__ import annotations

import ipaddress
import os
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationInfo


def from_file(path: Path, info: ValidationInfo) -> Path:
    """Relative to the file that names it, where that is known."""
    base = (info.context or {}).get("base")
    return Path(os.path.normpath(base / path.expanduser())) if isinstance(base, Path) else path


FilePath = Annotated[Path, Field(strict=False), AfterValidator(from_file)]


def on_loopback(host: str) -> bool:
    """Whether it is this machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:  # a name: anybody's
        return False


def _proxy(text: str) -> str:
    try:
        ipaddress.ip_network(text)
    except ValueError:
        raise ValueError(f"{text!r} is no address of a proxy; write 127.0.0.1, or a network as 10.0.0.0/24") from None
    return text


Proxy = Annotated[str, AfterValidator(_proxy)]


class Table(BaseModel):
    """Base of every table: strict, closed and unchangeable."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)
