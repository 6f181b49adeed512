"""What edge.toml says of the box itself: how it sounds, and where the heads of its record are noted."""

from __future__ import annotations

import re
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, model_validator

from edge.config.base import FilePath, Table, on_loopback


def _http_url(text: str) -> str:
    if not re.fullmatch(r"https?://([A-Za-z0-9._-]+|\[[0-9A-Fa-f:]+\])(:\d{1,5})?(/\S*)?", text):
        raise ValueError(f"{text!r} is no address to send heads to; write https://host/path (a password belongs in"
                         " token_file)")
    return text


def _host(url: str) -> str:
    return urlsplit(url).hostname or ""


class SounderTable(Table):
    """[sounder]: sound at the box itself, where no page may be heard (edge.app.sounder)."""

    use: Literal["alsa", "speaker", "command", "file"]
    device: str = "default"  # of alsa, as `aplay -L` lists them
    command: Annotated[tuple[str, ...], Field(strict=False)] = ()
    folder: FilePath | None = None

    @model_validator(mode="after")
    def _goes_together(self) -> SounderTable:
        if (self.use == "command") != bool(self.command):
            raise ValueError("'command' goes with use = \"command\"; write command = [\"/usr/bin/program\", ...] there")
        if (self.use == "file") != (self.folder is not None):
            raise ValueError("'folder' goes with use = \"file\"; write both or neither")
        return self


class AnchorTable(Table):
    """[anchor]: where the heads of the record are noted, outside of this box (edge.app.anchor)."""

    file: FilePath | None = None
    url: Annotated[str, AfterValidator(_http_url)] | None = None
    every_s: Annotated[float, Field(ge=1, le=86_400)] = 60.0
    plain_http: bool = False  # it may cross a network unencrypted: a head is no secret, but anybody may answer
    token_file: FilePath | None = None  # sent as "Authorization: Bearer"
    ca: FilePath | None = None
    cert: FilePath | None = None
    key: FilePath | None = None

    @model_validator(mode="after")
    def _goes_together(self) -> AnchorTable:
        if self.file is None and self.url is None:
            raise ValueError("[anchor] lacks 'file' or 'url'; write file = \"/mnt/share/clinic-1.heads\"")
        tls = self.url is not None and self.url.startswith("https:")
        if not tls and (self.ca or self.cert or self.key):
            raise ValueError("'ca', 'cert' and 'key' are for TLS; write url = \"https://...\" or remove them")
        if (self.cert is None) != (self.key is None):
            raise ValueError("'cert' and 'key' go together; write both or neither")
        if self.url is not None and not tls and not on_loopback(_host(self.url)) and not self.plain_http:
            raise ValueError(f"'url' would cross the network to {_host(self.url)} unencrypted; write https://, or"
                             " plain_http = true if that is meant")
        if self.token_file is not None and self.url is None:
            raise ValueError("'token_file' is for 'url'; write both, or remove it")
        return self
