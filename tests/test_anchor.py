"""Signed heads leave the box, to a file and to an address; and what they find, whatever was made of the record.

`VIGIL_TAMPER=1000` tries so many of each kind.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import socket
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from edge.app import anchor
from edge.app.anchor import Anchor
from edge.cli.records import verify_journal
from edge.config.box import AnchorTable
from edge.config.files import ConfigError, load_edge
from edge.contract.events import PendingEvent
from edge.contract.keys import public_text
from edge.contract.signing import Signer, hash_is_signed
from edge.journal import Journal
from edge.model import Tick
from edge.process import BadUsage
from tests.helpers.bodies import body
from tests.helpers.stream_world import CONSOLE_KEY, EDGE_KEY

MANY = int(os.environ.get("VIGIL_TAMPER", "0")) or 4
EVENTS = 12
AT_S = 1_700_000_000.0
SIGNER = Signer(EDGE_KEY, lambda: 1)


def sign(digest: str) -> str:
    return SIGNER.sign_hash("clinic-1", digest)


def opened(path: Path) -> Journal:
    return Journal.open(str(path), edge="clinic-1", boot="b1", wall=lambda: "now", sign=sign)


async def event(journal: Journal, text: str) -> tuple[int, str]:
    journal.record("chair-1", AT_S, Tick())
    appended = journal.append([PendingEvent("chair-1", None, AT_S, body("alarm", text=text))])
    await appended.stored
    return appended.events[-1].seq, appended.events[-1].hash


async def until(holds: Callable[[], object]) -> None:
    async with asyncio.timeout(5):
        while not holds():
            await asyncio.sleep(0.01)


@pytest_asyncio.fixture(loop_scope="session")
async def journal(tmp_path: Path) -> AsyncIterator[Journal]:
    journal = opened(tmp_path / "journal.db")
    yield journal
    await journal.close()


@asynccontextmanager
async def anchored(journal: Journal, monkeypatch: pytest.MonkeyPatch, **table: Any) -> AsyncIterator[Anchor]:
    """An anchor that looks again and again."""
    monkeypatch.setattr(anchor, "RETRY_S", 0.01)
    every = {**AnchorTable(file=Path("x")).model_dump(), "file": None, "every_s": 0.01}
    made = AnchorTable.model_construct(**{**every, **table})
    running = Anchor(made, "clinic-1", journal, sign, now=lambda: AT_S, changed=lambda: None)
    task = asyncio.ensure_future(running.run())
    try:
        yield running
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def heads(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


async def test_each_new_head_is_a_signed_line_of_the_file_and_no_line_is_doubled(
    journal: Journal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = tmp_path / "heads"
    async with anchored(journal, monkeypatch, file=path) as running:
        written = []
        for k in range(3):
            written.append(await event(journal, str(k)))
            await until(lambda: len(heads(path)) == len(written))
        await until(lambda: running.now().seq == 3)
        assert running.now().state == "ready"
    assert [(line["seq"], line["hash"]) for line in heads(path)] == written
    assert all(hash_is_signed(EDGE_KEY.verify_key, "clinic-1", line["hash"], line["sig"]) for line in heads(path))


async def test_what_cannot_be_delivered_is_said_and_tried_again_with_the_newest_head(
    journal: Journal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = tmp_path / "share" / "heads"
    await event(journal, "1")
    async with anchored(journal, monkeypatch, file=path) as running:
        await until(lambda: running.now().state == "failing")
        assert running.now().reason == f"{path}: No such file or directory"
        last = await event(journal, "2")
        path.parent.mkdir()
        await until(lambda: running.now().state == "ready")
    assert (heads(path)[-1]["seq"], heads(path)[-1]["hash"]) == last


@pytest.mark.parametrize(("answer", "says"), [
    ("503 Unavailable", "it answered 503"), ("302 Found\r\nLocation: /elsewhere", "it answered 302"),
    ("", "no HTTP comes")])
async def test_to_an_address_it_is_posted_with_its_token_until_it_is_taken(
    journal: Journal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: str, says: str,
) -> None:
    answers, came = [answer], list[bytes]()

    async def answered(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        size = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
        came.append(head + await reader.readexactly(size))
        said = answers[0] if answers else "200 OK"
        writer.write(f"HTTP/1.1 {said}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode() if said else b"\0\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answered, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    token = tmp_path / "token"
    token.write_text("s3cret\n")
    seq, digest = await event(journal, "1")
    async with anchored(journal, monkeypatch, url=f"http://127.0.0.1:{port}/heads", token_file=token) as running:
        await until(lambda: running.now().state == "failing")
        assert says in running.now().reason
        answers.clear()
        await until(lambda: running.now().state == "ready" and running.now().seq == seq)
    server.close()
    first, *lines = came[-1].split(b"\r\n")
    assert first == b"POST /heads HTTP/1.1"
    assert b"Authorization: Bearer s3cret" in lines
    assert json.loads(lines[-1])["hash"] == digest


async def test_an_address_where_nobody_listens_is_said(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        await event(journal, "1")
        async with anchored(journal, monkeypatch, url=f"http://127.0.0.1:{taken.getsockname()[1]}/") as running:
            await until(lambda: "Connection refused" in running.now().reason)


def test_without_one_it_is_off(journal: Journal) -> None:
    running = Anchor(None, "clinic-1", journal, sign, now=lambda: AT_S, changed=lambda: None)
    assert running.now().state == "off"


@pytest.mark.parametrize(("table", "says"), [
    ("", "lacks 'file' or 'url'"), ('url = "ftp://x/"', "is no address to send heads to"),
    ('url = "http://10.0.0.9/heads"', "unencrypted"), ('url = "http://user:word@localhost/"', "belongs in token_file"),
    ('file = "x"\nca = "y"', "are for TLS"), ('url = "https://x/"\ncert = "y"', "go together"),
    ('file = "x"\ntoken_file = "y"', "'token_file' is for 'url'"), ('file = "x"\nevery_s = 0', "every_s")])
def test_what_edge_toml_may_not_say_is_refused(tmp_path: Path, table: str, says: str) -> None:
    (tmp_path / "edge.toml").write_text(
        f'[edge]\nid = "clinic-1"\ndata = "."\nrules = "rules.toml"\n[anchor]\n{table}\n[[bed]]\nid = "chair-1"\n')
    with pytest.raises(ConfigError, match=says) as refused:
        load_edge(tmp_path / "edge.toml")
    assert refused.value.line in (5, 6, 7)


# --- what they find ---------------------------------------------------------------------------------------------------


def removed(path: Path) -> None:
    path.unlink(missing_ok=True)


async def written(path: Path, texts: list[str]) -> list[tuple[int, str]]:
    """A whole journal with these events, signed with the very key."""
    removed(path)
    journal = opened(path)
    said = [await event(journal, text) for text in texts]
    await journal.close()
    return said


def line(seq: int, digest: str) -> str:
    return json.dumps({"edge": "clinic-1", "seq": seq, "hash": digest, "sig": sign(digest), "at": "x"})


TEXTS = [f"text {k}" for k in range(EVENTS)]
RAW = {  # of a record as it is stored, by somebody with a text editor
    "edited": "UPDATE event SET body = replace(body, 'text', 'test') WHERE seq = :n",
    "removed": "DELETE FROM event WHERE seq = :n",
    "reordered": "UPDATE event SET seq = -seq WHERE seq IN (:n, :n + 1);"
                 "UPDATE event SET seq = CASE seq WHEN -:n THEN :n + 1 ELSE :n END WHERE seq < 0",
}


async def recomputed(path: Path, chance: random.Random) -> None:
    """All of it written anew, one event edited, left out, put in, or two changed round."""
    texts, at = list(TEXTS), chance.randrange(EVENTS - 1)
    match chance.randrange(4):
        case 0:
            texts[at] = "something else"
        case 1:
            del texts[at]
        case 2:
            texts.insert(at, "one more")
        case _:
            texts[at], texts[at + 1] = texts[at + 1], texts[at]
    await written(path, texts)


@pytest.mark.timeout(300 + MANY)
@pytest.mark.parametrize("kind", [*RAW, "cut off", "recomputed"])
async def test_whatever_was_made_of_the_record_is_found(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str,
) -> None:
    chance, path = random.Random(kind), tmp_path / "journal.db"
    noted = tmp_path / "heads"
    truth = await written(path, TEXTS)
    whole = path.read_bytes()
    noted.write_text("".join(line(seq, digest) + "\n" for seq, digest in truth))
    (tmp_path / "edge.pub").write_text(public_text(EDGE_KEY.verify_key) + "\n")
    assert verify_journal(str(path), head=str(noted)) == 0
    assert f"{EVENTS} events are as they were stored elsewhere" in capsys.readouterr().out
    for _ in range(MANY):
        n = chance.randrange(1, EVENTS)
        if kind == "recomputed":
            await recomputed(path, chance)
        elif kind == "cut off":
            await written(path, TEXTS[:n])
        else:
            path.write_bytes(whole)
            with sqlite3.connect(path, isolation_level=None) as raw:
                raw.execute("DROP TRIGGER event_no_update")
                raw.execute("DROP TRIGGER event_no_delete")
                for statement in RAW[kind].split(";"):
                    raw.execute(statement, {"n": n})
            raw.close()
        assert verify_journal(str(path), head=str(noted)) == 1, (kind, n)
        said = capsys.readouterr().out
        assert "the chain does not hold" in said


@pytest.mark.parametrize(("change", "says"), [
    (lambda line: "{}", "no head of a record"),
    (lambda line: json.dumps({**line, "edge": "clinic-2"}), "it has no head of clinic-1"),
    (lambda line: json.dumps({**line, "sig": Signer(CONSOLE_KEY, lambda: 1).sign_hash("clinic-1", line["hash"])}),
     "not signed by this edge's key"),
    (lambda line: json.dumps(line) + "\n" + json.dumps({**line, "hash": "0" * 64, "sig": sign("0" * 64)}),
     "two records bear")])
async def test_a_file_that_is_none_is_refused_in_one_line(tmp_path: Path, change: Any, says: str) -> None:
    path, noted = tmp_path / "journal.db", tmp_path / "heads"
    ((seq, digest),) = await written(path, ["one"])
    (tmp_path / "edge.pub").write_text(public_text(EDGE_KEY.verify_key) + "\n")
    noted.write_text(change(json.loads(line(seq, digest))))
    with pytest.raises(BadUsage, match=says) as refused:
        verify_journal(str(path), head=str(noted))
    assert "\n" not in str(refused.value)
