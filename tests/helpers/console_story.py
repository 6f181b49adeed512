"""An edge to play against the console in tests: its events, chained, and what it says on MQTT. No broker of its own."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
from nacl.signing import SigningKey

from edge.console import account_copy, accounts
from edge.console.accounts import ensure_user
from edge.console.link import NotConnected
from edge.console.service import Console
from edge.console.settings import Settings
from edge.contract.events import GENESIS, Event, PendingEvent, numbered
from edge.contract.payloads import (
    Ack,
    DeviceNow,
    EventOut,
    Numeric,
    ReloadNow,
    SessionNow,
    SpaceNow,
    State,
    Status,
    StorageNow,
    Vitals,
    Wave,
    decode,
    encode,
    event_out,
    events_payload,
    state_topic,
    status_topic,
    vitals_topic,
    wave_topic,
)
from edge.contract.signing import Signer
from edge.model import iso
from tests.helpers.bodies import body as event_body

EDGE = "clinic-1"
BED = "chair-1"
START_S = 1_800_000_000.0
EDGE_KEY, CONSOLE_KEY = SigningKey(b"e" * 32), SigningKey(b"c" * 32)
SIGNER = Signer(EDGE_KEY, itertools.count(1).__next__)
NURSE = ("ann", "a nurse's password")
TECHNICIAN = ("tom", "a technician's password")


@dataclass
class Clock:
    """A edge clock that a test turns."""

    at_s: float = START_S

    def __call__(self) -> float:
        return self.at_s


def settings(data: Path, clock: Callable[[], float] | None = None, **more: Any) -> Settings:
    """A console's settings on a told clock."""
    told: dict[str, Any] = {"name": "main", "edges": (EDGE,), "signing_key": CONSOLE_KEY} | more
    told.setdefault("edge_keys", dict.fromkeys(told["edges"], EDGE_KEY.verify_key))
    return Settings(data=data, now=clock or Clock(), **told)


_made: dict[Callable[..., object], dict[str, bytes]] = {}  # by name, the files of a console with two accounts


def with_users(told: Settings) -> Settings:
    """The same, with a nurse and a technician who can log in. Such a folder is made once a process, for each way
    to hash passwords; each later one that is new begins with a copy."""
    place = told.database
    made = _made.get(accounts._hasher)
    if isinstance(place, Path) and made and not any(place.with_name(name).exists() for name in made):
        place.parent.mkdir(parents=True, exist_ok=True)
        for name, whole in made.items():
            place.with_name(name).touch(mode=0o600)
            place.with_name(name).write_bytes(whole)
        return told
    is_new = isinstance(place, Path) and not place.exists()
    ensure_user(place, *NURSE, "nurse", START_S)
    ensure_user(place, *TECHNICIAN, "technician", START_S)
    if isinstance(place, Path) and is_new:
        _made[accounts._hasher] = {path.name: path.read_bytes() for path in
                                   (place, *account_copy.both(account_copy.beside(place))) if path.exists()}
    return told


@dataclass
class Wire:
    """What the console published, as a broker that is there or not would have taken it."""

    up: bool = True
    sent: list[tuple[str, bytes]] = field(default_factory=list)

    async def publish(self, topic: str, payload: bytes) -> None:
        """Takes it."""
        if not self.up:
            raise NotConnected("no broker", maybe_sent=False)
        self.sent.append((topic, payload))

    def acks(self) -> list[Ack]:
        """Every ack, oldest first."""
        return [decode(Ack, payload) for topic, payload in self.sent if "/ack/" in topic]


class Journal:
    """The edge's side of the events: each chained to the one before."""

    def __init__(self, boot: str = "boot-1", events: Sequence[Event] = (), edge: str = EDGE,
                 start_s: float = START_S) -> None:
        self.boot = boot
        self.start_s = start_s
        self.edge = edge
        self.events = list(events)

    def add(self, kind: Any = "alarm", bed: str | None = BED, **said: Any) -> EventOut:
        """One more event of this kind, or with this body."""
        body = event_body(kind, **said) if isinstance(kind, str) else kind
        prev = self.events[-1].hash if self.events else GENESIS
        seq = len(self.events) + 1
        pending = PendingEvent(bed, "session-1", self.start_s + seq, body)
        self.events.append(numbered(pending, seq=seq, boot=self.boot, edge=self.edge, wall=iso(START_S), prev=prev))
        return self.out(seq)

    def fill(self, upto: int) -> Journal:
        """Events up to number `upto`."""
        while len(self.events) < upto:
            self.add()
        return self

    def out(self, seq: int, late: bool = False) -> EventOut:
        """Event `seq` as it travels."""
        return event_out(self.events[seq - 1], late)

    def payload(self, first: int, last: int, late: bool = False) -> bytes:
        """Events `first` to `last` as one MQTT payload."""
        return events_payload(self.events[first - 1:last], late)

    def rewound(self, seq: int, boot: str) -> Journal:
        """The journal as a later boot finds it when all after `seq` was lost."""
        return Journal(boot, self.events[:seq], self.edge, self.start_s)


def status(at_s: float = START_S, *, boot: str = "boot-1", state: Any = "alive", seq: int = 1000,
           edge: str = EDGE, beds: Sequence[str] = (BED,), storage: StorageNow | None = None,
           space: SpaceNow | None = None, reload: ReloadNow | None = None) -> bytes:
    """A birth, heartbeat or death."""
    return encode(Status(edge=edge, boot=boot, state=state, at=iso(at_s), version="1", config="c", beds=list(beds),
                         seq=seq, storage=storage, space=space, reload=reload))


def state(at_s: float = START_S, *, boot: str = "boot-1", seq: int = 1, bed: str = BED, session: str | None = None,
          edge: str = EDGE, **more: Any) -> bytes:
    """A bed's state."""
    opened = None if session is None else SessionNow(id=session, phase="PRECHECK")
    device = DeviceNow(device="pump", kind="pump", driver="alaris_gh", identity="8002-51740", link="live",
                       since=iso(START_S))
    return encode(State(edge=edge, bed=bed, at=iso(at_s), seq=seq, boot=boot, session=opened, devices=[device], **more))


def numeric(value: float | None, at_s: float, **more: Any) -> Numeric:
    """One number, valid unless said otherwise."""
    told = {"validity": "valid", "age_s": 0.0, "stale": False, "device": "monitor"} | more
    return msgspec.convert({"value": value, "at": iso(at_s), **told}, Numeric)


def vitals(at_s: float = START_S, *, bed: str = BED, edge: str = EDGE, boot: str = "boot-1",
           **numerics: float | Numeric | None) -> bytes:
    """A bed's vitals."""
    told = {name: value if isinstance(value, Numeric) else numeric(value, at_s) for name, value in numerics.items()}
    return encode(Vitals(edge=edge, bed=bed, boot=boot, at=iso(at_s), simulated=True, numerics=told))


def wave(bed: str = BED, boot: str = "boot-1") -> bytes:
    """A chunk of a pleth."""
    return encode(Wave(edge=EDGE, bed=bed, boot=boot, at=iso(START_S), name="pleth", start=iso(START_S), rate_hz=75.0,
                       samples=[1, None, 3]))


STATUS, STATE, VITALS = status_topic(EDGE), state_topic(EDGE, BED), vitals_topic(EDGE, BED)
WAVE = wave_topic(EDGE, BED, "pleth")


def signed(topic: str, payload: bytes, signer: Signer = SIGNER) -> bytes:
    """What the edge sends for `payload` on `topic`: signed, each event of a list for itself."""
    if payload[:1] == b"[" and payload[-1:] == b"]":
        parts = msgspec.json.decode(payload, type=list[msgspec.Raw])
        return b"[" + b",".join(signer.sign(topic, bytes(part)) for part in parts) + b"]"
    return signer.sign(topic, payload)


def hear(console: Console, topic: str, payload: bytes, retained: bool = False) -> None:
    """The console hears `payload`, signed, from the edge that the topic names."""
    console.edges[topic.split("/")[2]].receive(topic, signed(topic, payload), retained)


def said(messages: Sequence[str], kind: str) -> list[dict[str, Any]]:
    """Those of the page's messages that are of this kind."""
    return [message for message in map(json.loads, messages) if message["t"] == kind]
