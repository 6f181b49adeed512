"""The simulators worked from outside: a socket that takes a person's hands as lines of JSON and answers each.

    -> {"do": "look"}                                                         <- {"ok": true, "beds": [...]}
    -> {"do": "live", "past_s": 3000}, before {"do": "go", "past_s": 3060}    <- {"ok": true}, when it is done
    -> {"bed": "chair-1", "device": "pump", "do": "start"}                    <- {"ok": true}
    -> {"bed": "chair-1", "device": "pump", "do": "program", "rate_ml_h": 52.5, "vtbi_ml": 35}
    -> {"bed": "chair-1", "device": "patient", "do": "desaturation", "amount": 12, "over_s": 30}
    -> {"bed": "chair-9", "device": "pump", "do": "start"}                    <- {"ok": false, "reason": "..."}

The same lines come on standard input (simulators/serve.py), where nothing is answered. A Unix socket, open to this user
alone: who may use it is a matter of the folder it lies in. `"by": "person"` marks the bed as worked by hand, which
`look` tells: a story that plays by itself leaves such a bed alone.
"""

from __future__ import annotations

import asyncio
import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from simulators.stage import Stage

LONGEST_LINE = 4096  # bytes
LONGEST_PATH = 100  # bytes; a Unix socket's name may have 107
_HAND = '{"bed": "chair-1", "device": "oximeter", "do": "probe_off"}'


class Control:
    """What lines of JSON do to a stage."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._by_hand: set[str] = set()

    def obey(self, line: bytes) -> dict[str, Any]:
        """Does what `line` says; what a look found, or nothing. Raises ValueError with one clear line."""
        try:
            asked = json.loads(line)
        except ValueError:
            asked = None
        if not isinstance(asked, dict) or not isinstance(asked.get("do"), str):
            shown = line[:80].decode(errors="replace")
            raise ValueError(f'not understood: {shown!r}; write {{"do": "go"}} or {_HAND}')
        if asked["do"] == "go":
            self._stage.go(*_numbers(asked, "past_s"))
            return {}
        if asked["do"] == "live":
            self._stage.live_until(*_numbers(asked, "past_s"))
            return {}
        if asked["do"] == "look":
            return {"beds": [bed | {"by_hand": bed["bed"] in self._by_hand} for bed in self._stage.look()]}
        bed, device = str(asked.get("bed")), str(asked.get("device"))
        if asked["do"] == "program" and "rate_ml_h" in asked:
            self._stage.program(bed, device, *_numbers(asked, "rate_ml_h", "vtbi_ml"))
        else:
            self._stage.do(bed, device, asked["do"], *_numbers(asked, "amount", "over_s"))
        if asked.get("by") == "person":
            self._by_hand.add(bed)
        return {}

    def answer(self, line: bytes) -> bytes:
        """`obey`, answered with one line."""
        try:
            said = {"ok": True, **self.obey(line)}
        except ValueError as wrong:
            said = {"ok": False, "reason": str(wrong)}
        return json.dumps(said).encode() + b"\n"


def _numbers(asked: dict[str, Any], *names: str) -> list[float]:
    found = [asked.get(name, 0.0) for name in names]
    if not all(isinstance(number, int | float) and not isinstance(number, bool) for number in found):
        raise ValueError(" and ".join(f'"{name}"' for name in names) + " must be numbers")
    return [float(number) for number in found]


async def serve_control(control: Control, path: Path) -> asyncio.Server:
    """Listens at `path`. Raises ValueError for a path no socket can have, OSError where it cannot be made."""
    if len(os.fsencode(path)) > LONGEST_PATH:
        raise ValueError(f"--control {path}: longer than {LONGEST_PATH} bytes; no socket can be named so, shorten it")

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, ValueError):  # who asks has gone; or never ends a line
            while line := await reader.readline():
                writer.write(control.answer(line))
                await writer.drain()
        writer.close()

    before = os.umask(0o177)
    try:
        return await asyncio.start_unix_server(serve, path, limit=LONGEST_LINE)
    finally:
        os.umask(before)
