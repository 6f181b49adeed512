"""Signed heads leave the box: the number and hash of the newest stored event, to a file or an address of the clinic's.

Whoever holds one finds a record whose end was cut off, or that was written anew as a whole: `vigil verify --head FILE`.
One JSON object a line, `{"edge","seq","hash","sig","at"}`; `sig` is the edge's signature over `hash`
(edge.contract.signing.hash_is_signed). What cannot be delivered is tried again with the newest head, for ever.
"""

from __future__ import annotations

import asyncio
import http.client
import logging
import os
import ssl
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from edge.config.box import AnchorTable
from edge.contract.payloads import AnchorNow, NotedHead
from edge.journal.journal import Journal
from edge.model import iso

ENDS_WITHIN_S = 10.0  # real seconds one delivery may take
RETRY_S = 10.0
log = logging.getLogger(__name__)


class NotDelivered(Exception):
    """One line that says why."""


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """An address that sends us elsewhere has taken nothing."""

    def redirect_request(self, *_: object) -> None:
        return None


class Anchor:
    """`run` it; `now` is for the status."""

    def __init__(
        self, table: AnchorTable | None, edge: str, journal: Journal, sign: Callable[[str], str], *,
        now: Callable[[], float], changed: Callable[[], None],
    ) -> None:
        """`sign` makes this edge's signature over a hash; `now` is edge time; `changed` sends the status. Raises
        OSError where its TLS files cannot be used."""
        self._table, self._edge, self._journal, self._sign = table, edge, journal, sign
        self._now, self._changed = now, changed
        self._fault: str | None = None
        self._since_s = now()
        self._seq = 0
        self._context = _context(table) if table is not None else None

    def now(self) -> AnchorNow:
        """As the status has it."""
        if self._table is None:
            return AnchorNow(state="off")
        return AnchorNow(state="failing" if self._fault else "ready", reason=self._fault or "", seq=self._seq,
                         since=iso(self._since_s))

    async def run(self) -> None:
        """For ever."""
        table = self._table
        while table is not None:
            wait_s = table.every_s
            head = self._journal.stored_head
            if head is not None and head[0] != self._seq:
                noted = NotedHead(edge=self._edge, seq=head[0], hash=head[1], sig=self._sign(head[1]),
                                  at=iso(self._now()))
                try:
                    await self._deliver(table, msgspec.json.encode(noted) + b"\n")
                except NotDelivered as fault:
                    self._said(str(fault))
                    wait_s = min(RETRY_S, table.every_s)
                else:
                    self._seq = head[0]
                    self._said(None)
            await asyncio.sleep(wait_s)
        await asyncio.Event().wait()

    async def _deliver(self, table: AnchorTable, line: bytes) -> None:
        """To both. A disk or a server that does not answer holds up nothing but this."""
        works: list[tuple[str, asyncio.Future[None]]] = []
        if table.file is not None:
            works.append((str(table.file), asyncio.ensure_future(asyncio.to_thread(_append, table.file, line))))
        if table.url is not None:
            works.append((table.url, asyncio.ensure_future(asyncio.to_thread(_post, table, line, self._context))))
        await asyncio.wait([work for _, work in works], timeout=ENDS_WITHIN_S + 1)
        for where, work in works:
            if not work.done():
                self._said(f"{where}: no answer")
        for (where, _), fault in zip(works, await asyncio.gather(
                *(work for _, work in works), return_exceptions=True), strict=True):
            if fault is not None:
                raise NotDelivered(f"{where}: {_words(fault)}") from fault

    def _said(self, fault: str | None) -> None:
        if fault == self._fault:
            return
        if fault:
            log.error("the head of the record is not delivered: %s", fault)
        elif self._fault:
            log.warning("the head of the record is delivered again")
        if bool(fault) != bool(self._fault):
            self._since_s = self._now()
        self._fault = fault
        self._changed()


def _words(fault: BaseException) -> str:
    match fault:
        case urllib.error.HTTPError():
            return f"it answered {fault.code}"
        case urllib.error.URLError(reason=reason):
            return str(reason)
        case OSError():
            return fault.strerror or str(fault) or type(fault).__name__
    return f"{type(fault).__name__} {fault}".strip()


def _append(path: Path, line: bytes) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        if os.write(fd, line) != len(line):
            raise OSError(28, "not all of it was written")
        os.fsync(fd)
    finally:
        os.close(fd)


def _post(table: AnchorTable, line: bytes, context: ssl.SSLContext | None) -> None:
    assert table.url is not None
    headers = {"Content-Type": "application/json"}
    if table.token_file is not None:
        headers["Authorization"] = f"Bearer {table.token_file.read_text().strip()}"
    handlers: list[Any] = [_NoRedirect, urllib.request.ProxyHandler({})]
    if context is not None:
        handlers.append(urllib.request.HTTPSHandler(context=context))
    try:
        request = urllib.request.Request(table.url, line, headers, method="POST")
        with urllib.request.build_opener(*handlers).open(request, timeout=ENDS_WITHIN_S):
            """It has taken it."""
    except http.client.HTTPException as fault:
        raise OSError(0, f"no HTTP comes from there ({type(fault).__name__})") from None


def _context(table: AnchorTable) -> ssl.SSLContext | None:
    if table.url is None or not table.url.startswith("https:"):
        return None
    context = ssl.create_default_context(cafile=table.ca)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if table.cert is not None:
        context.load_cert_chain(table.cert, table.key)
    return context
