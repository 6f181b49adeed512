"""Inputs that are some minutes old, packed: the lines that were hashed, of some hundred commits, in one zlib blob.

A commit writes its inputs as rows, so that they are on the disk at once. Later the rows of some hundred checkpoints
move into one segment, and of these checkpoints the last alone stays in its table, with its signature: the others follow
from the lines. What is packed is checked before, and again whenever it is opened: the chain must come to the checkpoint
that stayed. A segment whose body was let go of (retention) leaves that checkpoint to stand for it.

Body: `[[last_n, event_seq, event_hash], ...]` of its checkpoints (only `[last_n]` where no event came), then a line for
each input.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

import msgspec
from sqlalchemy import Connection, delete, func, insert, select, update

from edge.journal import chain
from edge.journal.chain import Checkpoint, InputRow, Wrong
from edge.journal.schema import CHECKPOINT, INPUT, SEGMENT, stored

ROWS = 2000  # inputs a segment has at least, where there are so many: minutes of a bed, seconds of thirty
LEVEL = 6  # of zlib
MOST_BYTES = 256 * 1024 * 1024  # of an opened body: more was never packed
_LINE = msgspec.json.Decoder(tuple[int, str, str | None, int, str, str])
_HEADS = msgspec.json.Decoder(list[list[int | str]])


class Segment(NamedTuple):
    """The checkpoints first_id..last_id and their inputs first_n..last_n, the last of which is of `at_ms`. `body` None:
    it was let go of."""

    first_n: int
    last_n: int
    first_id: int
    last_id: int
    at_ms: int
    body: bytes | None


class Retention(NamedTuple):
    """For how long inputs are kept, and at most how many bytes of them, packed. None: without end."""

    ms: int | None = None
    size: int | None = None


def covering(connection: Connection, checkpoint_id: int) -> Segment | None:
    """The segment with this checkpoint."""
    newest = select(SEGMENT).where(SEGMENT.c.first_id <= checkpoint_id).order_by(SEGMENT.c.first_id.desc()).limit(1)
    row = connection.execute(newest).first()
    return None if row is None or row.last_id < checkpoint_id else Segment(*row)


def last_packed(connection: Connection, base: Checkpoint) -> Checkpoint:
    """The last checkpoint of the last segment; `base` where there is none."""
    last = connection.execute(select(func.max(SEGMENT.c.last_id))).scalar()
    return base if last is None else kept(connection, last)


def kept(connection: Connection, checkpoint_id: int) -> Checkpoint:
    """The checkpoint that stayed for a segment. Raises Wrong."""
    row = connection.execute(stored(connection, CHECKPOINT).where(CHECKPOINT.c.id == checkpoint_id)).first()
    if row is None:
        raise Wrong(f"checkpoint {checkpoint_id} of packed inputs is missing")
    return chain.typed_checkpoint(row, checkpoint_id - 1)


def read(connection: Connection, segment: Segment, base: Checkpoint) -> Iterator[tuple[Checkpoint, list[InputRow]]]:
    """Each checkpoint of the segment with its inputs; only the last with that one where the body was let go of.

    Raises Wrong where they are not as written, with the last: whoever serves them, waits for it.
    """
    end = kept(connection, segment.last_id)
    if segment.body is None:
        yield end, []
        return
    before = base if segment.first_id == base.id + 1 else kept(connection, segment.first_id - 1)
    heads, lines = _opened(segment)
    used = 0
    for number, head in enumerate(heads, 1):
        checkpoint = _headed(segment, head, before)
        of_this = lines[used:used + checkpoint.last_n - before.last_n]
        used += len(of_this)
        hashing = chain.opened(checkpoint)
        for line in of_this:
            hashing.update(b"\n" + line)
        checkpoint = replace(checkpoint, hash=hashing.hexdigest())
        rows = [_row(line, n) for n, line in enumerate(of_this, before.last_n + 1)]
        if number == len(heads):
            checkpoint = replace(checkpoint, sig=end.sig)
            if checkpoint != end or used != len(lines):
                raise Wrong(f"packed inputs {segment.first_n}..{segment.last_n} do not match {end}")
        yield checkpoint, rows
        before = checkpoint
    if (before.id, before.last_n) != (segment.last_id, segment.last_n):
        raise Wrong(f"packed inputs {segment.first_n}..{segment.last_n} do not come to {end}")


def pack(connection: Connection, before: Checkpoint) -> Checkpoint:
    """Move the inputs of the checkpoints after `before`, ROWS or a little more, into one segment. Its last checkpoint;
    `before` where there are too few. The newest checkpoint stays out, however much it holds: by it, and the one before
    it, an opening knows the end. Raises Wrong, and changes nothing, where they are not as written."""
    heads: list[list[int | str]] = []
    lines: list[bytes] = []
    first, at_ms = before, 0
    newest = select(func.max(CHECKPOINT.c.id)).scalar_subquery()
    pages = stored(connection, CHECKPOINT).where(CHECKPOINT.c.id > before.id, CHECKPOINT.c.id < newest)
    pages = pages.order_by(CHECKPOINT.c.id).limit(ROWS)
    for row in connection.execute(pages).all():
        checkpoint = chain.read_checkpoint(row, before)
        found = connection.execute(select(INPUT).where(
            INPUT.c.n.between(checkpoint.first_n, checkpoint.last_n)).order_by(INPUT.c.n)).all()
        rows = [chain.read_input(each, n) for n, each in enumerate(found, checkpoint.first_n)]
        if len(rows) != checkpoint.last_n - before.last_n or chain.digest(checkpoint, rows) != checkpoint.hash:
            raise Wrong(f"{checkpoint} does not match")
        heads.append([checkpoint.last_n])
        if checkpoint.event_seq != before.event_seq:
            heads[-1] += [checkpoint.event_seq, checkpoint.event_hash]
        lines += [chain.line(each) for each in rows]
        at_ms = rows[-1][3] if rows else at_ms
        before = checkpoint
        if len(lines) >= ROWS:
            break
    if len(lines) < ROWS:
        return first
    segment = Segment(first.last_n + 1, before.last_n, first.id + 1, before.id, at_ms,
                      zlib.compress(msgspec.json.encode(heads) + b"".join(lines), LEVEL))
    connection.execute(insert(SEGMENT).values(tuple(segment)))
    connection.execute(delete(INPUT).where(INPUT.c.n.between(first.last_n + 1, before.last_n)))
    connection.execute(delete(CHECKPOINT).where(CHECKPOINT.c.id.between(first.id + 1, before.id - 1)))
    return before


def let_go(connection: Connection, keep: Retention, now_ms: int) -> None:
    """Of what is beyond `keep`, the oldest segments lose their bodies. Their last checkpoints stay."""
    whole = SEGMENT.c.body.is_not(None)
    oldest = select(SEGMENT.c.at_ms).where(whole).order_by(SEGMENT.c.first_n).limit(1)  # later ones are no older
    at_ms = connection.execute(oldest).scalar()
    if keep.ms is not None and at_ms is not None and at_ms < now_ms - keep.ms:
        connection.execute(update(SEGMENT).where(whole, SEGMENT.c.at_ms < now_ms - keep.ms).values(body=None))
    if keep.size is not None:
        size, upto = 0, None
        sizes = select(SEGMENT.c.first_n, func.length(SEGMENT.c.body)).where(whole).order_by(SEGMENT.c.first_n.desc())
        for first_n, length in connection.execute(sizes):
            size += length
            if size > keep.size:
                upto = first_n
                break
        if upto is not None:
            connection.execute(update(SEGMENT).where(whole, SEGMENT.c.first_n <= upto).values(body=None))


def _headed(segment: Segment, head: list[int | str], before: Checkpoint) -> Checkpoint:
    """The checkpoint that a head in a body tells of, after `before`; without its hash."""
    match head:
        case [int(last_n)] if last_n >= before.last_n:
            event_seq, event_hash = before.event_seq, before.event_hash
        case [int(last_n), int(event_seq), str(event_hash)] if last_n >= before.last_n:
            pass
        case _:
            raise Wrong(f"packed inputs {segment.first_n}..{segment.last_n}: their checkpoints do not fit")
    return Checkpoint(before.id + 1, before.last_n + 1, last_n, event_seq, event_hash, before.hash, "")


def _opened(segment: Segment) -> tuple[list[list[int | str]], list[bytes]]:
    words = f"packed inputs {segment.first_n}..{segment.last_n}"
    try:
        unpacked = zlib.decompressobj().decompress(segment.body or b"", MOST_BYTES)
        head, *lines = unpacked.split(b"\n")
        return _HEADS.decode(head), lines
    except (zlib.error, msgspec.MsgspecError) as fault:
        raise Wrong(f"{words} cannot be unpacked: {fault}") from None


def _row(line: bytes, n: int) -> InputRow:
    try:
        return chain.read_input(_LINE.decode(line), n)
    except (msgspec.MsgspecError, ValueError) as fault:
        raise Wrong(f"input {n}: {fault}") from None
