"""Heads of a record that were noted outside of its box, for `vigil verify --head`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from nacl.signing import VerifyKey

from edge.contract.payloads import BadPayload, NotedHead, decode
from edge.contract.signing import hash_is_signed
from edge.journal.database import JournalDamaged
from edge.journal.reader import Reader
from edge.process import BadUsage


def read_head(text: str) -> tuple[int, str]:
    """`SEQ:HASH` as number and hash. Raises BadUsage."""
    seq, _, digest = text.partition(":")
    if not seq.isdecimal() or not re.fullmatch("[0-9a-f]{64}", digest):
        raise BadUsage(f"--head {text}: write SEQ:HASH, as 4711:9f86d0... with the 64 hexadecimal digits of that event")
    return int(seq), digest


def noted_heads(head: str, journal: str, keys: Sequence[VerifyKey]) -> dict[int, str]:
    """`SEQ:HASH`, or the lines of a file that an edge's [anchor] wrote: hashes by number, of this journal's edge.
    Raises BadUsage, JournalError."""
    path = Path(head)
    if not path.is_file():
        return dict([read_head(head)])
    try:
        with Reader(journal) as reader:
            edge = reader.edge
    except JournalDamaged:
        return {}
    found: dict[int, str] = {}
    for number, line in enumerate(path.read_bytes().splitlines(), 1):
        try:
            noted = decode(NotedHead, line)
        except BadPayload as fault:
            raise BadUsage(f"--head {head}:{number}: no head of a record ({fault}); give a file as [anchor] writes it"
                           ) from None
        if noted.edge != edge:
            continue
        if keys and not any(hash_is_signed(key, edge, noted.hash, noted.sig) for key in keys):
            raise BadUsage(f"--head {head}:{number}: not signed by this edge's key: somebody else wrote it")
        if found.setdefault(noted.seq, noted.hash) != noted.hash:
            raise BadUsage(f"--head {head}:{number}: another head of event {noted.seq} than before: two records bear"
                           " this edge's name")
    if not found:
        raise BadUsage(f"--head {head}: it has no head of {edge}")
    return found
