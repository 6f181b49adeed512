"""What is hashed, how one record is chained to the next, and what a stored row must say to be believed.

Events are chained one by one (edge.contract.events.event_hash). Inputs are many, so each commit has one checkpoint (a
row of the table `seal`): a SHA-256 over the checkpoint before, the commit's inputs as stored, and the events' head. A
checkpoint binds the two records together: neither can lose its end without the other showing it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import msgspec

from edge.contract.events import GENESIS, Event, event_hash
from edge.model import RecordedInput, canonical, decode_input, encode

InputRow = tuple[int, str, str | None, int, str, str]  # n, boot, bed, at_ms, kind, body: the order of the columns


class Wrong(ValueError):
    """A stored row cannot be what was written; says in words why."""


class Unknown(ValueError):
    """A stored row is as it was written, but this version does not know what it says."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Closes one commit. `event_seq` and `event_hash` are the events' head with that commit in it."""

    id: int
    first_n: int
    last_n: int
    event_seq: int
    event_hash: str
    prev: str
    hash: str
    sig: str | None = None  # the edge's signature over `hash`; None in journals of 0.1.0

    def __str__(self) -> str:
        over = f"inputs {self.first_n}..{self.last_n}" if self.last_n >= self.first_n else "no inputs"
        return f"checkpoint {self.id} over {over}"


_COLUMNS = [int, int, int, int, str, str, str]  # the types of its columns, without the signature
START = Checkpoint(0, 1, 0, 0, GENESIS, GENESIS, GENESIS)  # before the first


class Base(msgspec.Struct, frozen=True):
    """What a record that does not begin with the first event goes on from: the last checkpoint that could be believed
    of the one before, its time, and where that one is kept and why."""

    checkpoint: Checkpoint = START
    at_ms: int = 0
    damaged_file: str = ""
    damage: str = ""


FIRST = Base()  # of a record that begins with the first event


def read_base(text: str | None) -> Base:
    """A stored base. Raises Wrong."""
    try:
        return FIRST if text is None else msgspec.json.decode(text, type=Base)
    except msgspec.MsgspecError as fault:
        raise Wrong(f"what the record goes on from cannot be read: {fault}") from None


class Hashing(Protocol):
    """A hash that is still being made."""

    def update(self, data: bytes, /) -> None:
        """Put in some more."""

    def hexdigest(self) -> str:
        """What it is so far."""
        ...


def opened(checkpoint: Checkpoint) -> Hashing:
    """The checkpoint's hash before its inputs are put in."""
    return hashlib.sha256(canonical({
        "id": checkpoint.id, "first_n": checkpoint.first_n, "last_n": checkpoint.last_n,
        "event_seq": checkpoint.event_seq, "event_hash": checkpoint.event_hash, "prev": checkpoint.prev}))


def line(row: InputRow) -> bytes:
    """One input as it goes into its checkpoint's hash. JSON holds no bare line feed, so lines cannot run together."""
    return b"\n" + encode(row)


def digest(checkpoint: Checkpoint, rows: Iterable[InputRow]) -> str:
    """The hash `checkpoint` must have over `rows`."""
    hashing = opened(checkpoint)
    for row in rows:
        hashing.update(line(row))
    return hashing.hexdigest()


def next_checkpoint(before: Checkpoint, rows: list[InputRow], event_seq: int, event_hash: str) -> Checkpoint:
    """The checkpoint after `before`, over `rows` (which go on where `before` ended)."""
    checkpoint = Checkpoint(
        before.id + 1, before.last_n + 1, before.last_n + len(rows), event_seq, event_hash, before.hash, "")
    return replace(checkpoint, hash=digest(checkpoint, rows))


def read_checkpoint(row: Sequence[Any], before: Checkpoint) -> Checkpoint:
    """A stored checkpoint that goes on where `before` ended; its hash is still to be checked. Raises Wrong."""
    checkpoint = typed_checkpoint(row, before.id)
    if checkpoint.id != before.id + 1:
        raise Wrong(f"checkpoint: gap after {before.id}: the next one is {checkpoint.id}")
    if checkpoint.prev != before.hash:
        raise Wrong(f"checkpoint {checkpoint.id}: prev does not match the hash of checkpoint {before.id}")
    if checkpoint.first_n != before.last_n + 1 or checkpoint.last_n < before.last_n:
        raise Wrong(f"{checkpoint} does not go on after input {before.last_n}")
    if checkpoint.event_seq < before.event_seq:
        raise Wrong(f"{checkpoint} says events end at {checkpoint.event_seq}, the one before said {before.event_seq}")
    return checkpoint


def typed_checkpoint(row: Sequence[Any], after: int) -> Checkpoint:
    """A stored checkpoint, the one after number `after`. Raises Wrong where a field has the wrong type."""
    values = tuple(row)
    if [type(value) for value in values] not in ([*_COLUMNS, str], [*_COLUMNS, type(None)]):
        raise Wrong(f"checkpoint after {after}: a field has the wrong type")
    return Checkpoint(*values)


def read_input(row: Sequence[Any], n: int) -> InputRow:
    """A stored input that must be number `n`. Its checkpoint says whether it is as written. Raises Wrong."""
    number, boot, bed, at_ms, kind, body = row
    if number != n:
        raise Wrong(f"input: gap after {n - 1}: the next one is {number}" if number > n
                    else f"input {number} is out of order: {n} should follow {n - 1}")
    if [type(value) for value in (number, boot, at_ms, kind, body)] != [int, str, int, str, str] or not (
            bed is None or type(bed) is str):
        raise Wrong(f"input {n}: a field has the wrong type")
    return number, boot, bed, at_ms, kind, body


def recorded(row: InputRow) -> RecordedInput:
    """The input a row holds. Raises Unknown when this version knows no such input."""
    n, boot, bed, at_ms, _kind, body = row
    try:
        return RecordedInput(n, boot, bed, at_ms / 1000, decode_input(body))
    except msgspec.MsgspecError as fault:
        raise Unknown(f"input {n} is none this version of vigil knows: {fault}") from fault


def told_event(row: Sequence[Any], seq: int, prev: str) -> Event:
    """What a stored row says as event `seq` after the event with hash `prev`, with the hash and link that follow from
    that; whether they are those that are stored is still to be checked. Raises Wrong."""
    number, boot, edge, bed, session, at_ms, wall, kind, text, before, stored, sig = row
    if number != seq:
        raise Wrong(f"event: gap after {seq - 1}: the next one is {number}" if number > seq
                    else f"event {number} is out of order: {seq} should follow {seq - 1}")
    given = [type(value) for value in (number, boot, edge, at_ms, wall, kind, text, before, stored)]
    if given != [int, str, str, int, str, str, str, str, str] or not (
            all(value is None or type(value) is str for value in (bed, session, sig))):
        raise Wrong(f"event {seq}: a field has the wrong type")
    try:
        body = msgspec.json.decode(text)
    except msgspec.MsgspecError:
        raise Wrong(f"event {seq}: its body is not JSON") from None
    # Byte for byte, or a space or a repeated key could be slipped into what the hash was made over.
    if not isinstance(body, dict) or canonical(body).decode() != text:
        raise Wrong(f"event {seq}: its body is not the JSON that was hashed")
    try:
        right = event_hash(seq=seq, boot=boot, edge=edge, bed=bed, session=session, at_s=at_ms / 1000, wall=wall,
                           kind=kind, body=body, prev=prev)
    except (ValueError, OverflowError, OSError):
        raise Wrong(f"event {seq}: its time is no time, so its hash does not match") from None
    return Event(seq, boot, edge, bed, session, at_ms / 1000, wall, kind, text, prev, right, sig)


def read_event(row: Sequence[Any], seq: int, prev: str) -> Event:
    """A stored event that must be number `seq`, chained to `prev`, with a hash that matches. Raises Wrong."""
    event = told_event(row, seq, prev)
    before, stored = row[9], row[10]
    if before != prev:
        raise Wrong(f"event {seq}: prev does not match the hash of event {seq - 1}")
    if stored != event.hash:
        raise Wrong(f"event {seq}: its hash does not match")
    return event


def snapshot_hash(bed: str, n: int, at_ms: int, body: bytes) -> str:
    """SHA-256 over all a snapshot says."""
    return hashlib.sha256(canonical({"bed": bed, "n": n, "at_ms": at_ms}) + b"\n" + body).hexdigest()
