"""What the chain alone cannot show, somebody else's copy does: `vigil verify --against console.db` and `--head`."""

from __future__ import annotations

import random
import sqlite3
from pathlib import Path

import pytest
from nacl.signing import SigningKey

from edge.cli.records import verify_journal
from edge.console.events import append
from edge.console.store import Store
from edge.contract.events import Event, PendingEvent
from edge.contract.keys import public_text
from edge.contract.payloads import event_out
from edge.contract.signing import Signer
from edge.journal import Journal, Reader
from edge.model import Tick
from edge.process import BadUsage
from tests.helpers.bodies import body
from tests.helpers.journal_files import another
from tests.helpers.parts import sampled
from tests.helpers.stream_world import EDGE_KEY

pytestmark = pytest.mark.slow

EVENTS = 12
AT_S = 1_700_000_000.0


def removed(path: Path) -> None:
    path.unlink(missing_ok=True)


async def written(path: Path, texts: list[str], key: SigningKey = EDGE_KEY) -> list[Event]:
    """A journal with these events, one a commit."""
    signer = Signer(key, lambda: 1)
    removed(path)
    journal = Journal.open(str(path), edge="clinic-1", boot="b1", wall=lambda: "now",
                           sign=lambda digest: signer.sign_hash("clinic-1", digest))
    for k, text in enumerate(texts):
        journal.record("chair-1", AT_S + k, Tick())
        await journal.append([PendingEvent("chair-1", None, AT_S + k, body("alarm", text=text))]).stored
    await journal.close()
    with Reader(str(path)) as reader:
        return list(reader.events())


TEXTS = [f"text {k}" for k in range(EVENTS)]


@pytest.fixture
async def console(tmp_path: Path) -> Path:
    """A console's store with every event of the true journal."""
    events = await written(tmp_path / "true.db", TEXTS)
    store = Store(tmp_path / "console.db")
    await store.run(append, "clinic-1", [event_out(event, False) for event in events], None, AT_S)
    store.close()
    (tmp_path / "edge.pub").write_text(public_text(EDGE_KEY.verify_key) + "\n")
    return tmp_path / "console.db"


async def test_what_agrees_is_said_to(console: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert verify_journal(str(console.with_name("true.db")), against=console) == 0
    assert f"{EVENTS} events are as they were stored elsewhere, up to event {EVENTS}" in capsys.readouterr().out


@pytest.mark.parametrize("kept", range(EVENTS))
async def test_a_record_whose_end_was_cut_off_everywhere_is_found(
    console: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], kept: int,
) -> None:
    path = tmp_path / "journal.db"
    await written(path, TEXTS[:kept])
    assert verify_journal(str(path)) == 0, "by itself it is whole"
    assert verify_journal(str(path), against=console) == 1
    assert f"they end at {kept}, but {EVENTS} was stored elsewhere: the end is missing" in capsys.readouterr().out


@pytest.mark.parametrize("seed", sampled(((seed,) for seed in range(30)), 6))
async def test_a_record_written_anew_with_the_very_key_is_found(
    console: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], seed: int,
) -> None:
    chance, path, texts = random.Random(seed), tmp_path / "journal.db", list(TEXTS)
    at, other = chance.randrange(EVENTS), chance.randrange(EVENTS)
    match seed % 3:
        case 0:
            texts[at] = "something else"
        case 1:
            del texts[at]
            texts.append("one more")
        case _:
            other = (at + 1) % EVENTS
            texts[at], texts[other] = texts[other], texts[at]
    first = 1 + next(k for k, (now, then) in enumerate(zip(texts, TEXTS, strict=True)) if now != then)
    await written(path, texts)
    assert verify_journal(str(path)) == 0, "by itself it is whole, and signed"
    assert verify_journal(str(path), against=console) == 1
    assert f"event {first}: its hash is not the one that was stored elsewhere" in capsys.readouterr().out


async def test_a_damaged_row_of_the_console_accuses_nobody(console: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with sqlite3.connect(console) as raw:
        raw.execute(f"UPDATE events SET hash = {another('hash')} WHERE seq = 3")
        raw.execute("UPDATE events SET json = x'00' WHERE seq = 4")
    raw.close()
    assert verify_journal(str(console.with_name("true.db")), against=console) == 0
    assert f"{EVENTS - 2} events are as they were stored elsewhere" in capsys.readouterr().out


async def test_a_noted_head(console: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Reader(str(console.with_name("true.db"))) as reader:
        event = list(reader.events())[6]
    head, path = f"{event.seq}:{event.hash}", tmp_path / "journal.db"
    assert verify_journal(str(console.with_name("true.db")), head=head) == 0
    await written(path, TEXTS[:6])
    assert verify_journal(str(path), head=head) == 1
    await written(path, [*TEXTS[:6], "another", *TEXTS[7:]])
    assert verify_journal(str(path), head=head) == 1
    assert "event 7: its hash is not the one that was stored elsewhere" in capsys.readouterr().out


@pytest.mark.parametrize(("against", "head", "says"), [
    ("nowhere.db", None, "no such file; give a console.db"), ("true.db", None, "no console's store of this version"),
    (None, "7", "write SEQ:HASH"), (None, "x:" + 64 * "0", "write SEQ:HASH"), (None, "7:" + 63 * "0", "write SEQ:HASH"),
    ("console.db", "7:" + 64 * "0", "has another hash of event 7")])
async def test_bad_usage_is_one_line(
    console: Path, tmp_path: Path, against: str | None, head: str | None, says: str,
) -> None:
    with pytest.raises(BadUsage, match=says) as refused:
        verify_journal(str(tmp_path / "true.db"), against=tmp_path / against if against else None, head=head)
    assert "\n" not in str(refused.value)
