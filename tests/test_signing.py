"""Who signs, who is believed: the attacker's table for everything that crosses a process border."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nacl.signing import SigningKey, VerifyKey

from edge.contract.freshness import AHEAD_S, MAX_N, ConsoleFreshness, Freshness, Memory
from edge.contract.keys import BadKey, Count, own_key, pin_neighbour, pinned_key, pinned_keys, public_text
from edge.contract.signing import Rejected, Signer, Verified, Verifier, hash_is_signed
from edge.model import iso

NOW = 1_800_000_000.0
STATUS, EVENT = "vigil/1/clinic-1/status", "vigil/1/clinic-1/event"
VITALS, STATE = "vigil/1/clinic-1/bed/bed-1/vitals", "vigil/1/clinic-1/bed/bed-1/state"


def signer(seed: bytes = b"e" * 32, first: int = 100) -> Signer:
    return Signer(SigningKey(seed), itertools.count(first).__next__)


def body(at_s: float = NOW, boot: str = "b1", **more: Any) -> bytes:
    return json.dumps({"boot": boot, "at": iso(at_s), **more}).encode()


class World:
    """One edge, and what a console that pins its key makes of what it hears."""

    def __init__(self, **of_edge: Any) -> None:
        self.edge = signer(**of_edge)
        self.verifier = Verifier(self.edge.public, Freshness())
        self.born = self.edge.sign(STATUS, body(state="alive"))

    def birth(self) -> Verified:
        heard = self.verifier.check(STATUS, self.born, 0.0)
        assert isinstance(heard, Verified)
        return heard

    def reason(self, topic: str, payload: bytes, now_s: float = 0.0) -> str:
        heard = self.verifier.check(topic, payload, now_s)
        return heard.reason if isinstance(heard, Rejected) else "believed"


def test_what_is_signed_ends_with_its_counter_and_signature_and_is_believed() -> None:
    world = World()
    assert world.birth().birth
    payload = world.edge.sign(VITALS, body(numerics={}))
    members = list(json.loads(payload))
    assert members[-2:] == ["n", "sig"]
    assert json.loads(payload)["n"] == 101
    heard = world.verifier.check(VITALS, payload, 0.0)
    assert isinstance(heard, Verified)
    assert heard.payload == payload
    assert not heard.birth
    assert not world.verifier.rejected


def resigned(payload: bytes, topic: str, **changed: Any) -> bytes:
    """What somebody else, with a key of his own, makes of a payload."""
    members = json.loads(payload) | changed
    n = members.pop("n")
    del members["sig"]
    return signer(b"x" * 32).sign(topic, json.dumps(members).encode(), n)


# what an attacker does to a genuine state of bed-1, and what it is called
FORGERIES: list[tuple[str, Callable[[bytes], tuple[str, bytes]], str]] = [
    ("no signature", lambda p: (STATE, body(seq=2**62, alarms=[])), "unsigned"),
    ("counter and no signature", lambda p: (STATE, b'{"boot":"b1","seq":1,"n":102}'), "unsigned"),
    ("a signature without a counter", lambda p: (STATE, p.replace(b',"n":101', b"")), "unsigned"),
    ("a signature of his own, seq 2^62", lambda p: (STATE, resigned(p, STATE, seq=2**62)), "forged"),
    ("one digit", lambda p: (STATE, p.replace(b'"seq": 7', b'"seq": 8')), "forged"),
    ("a space", lambda p: (STATE, p.replace(b'"seq": 7', b'"seq":  7')), "forged"),
    ("another counter", lambda p: (STATE, p.replace(b'"n":101', b'"n":109')), "forged"),
    ("a counter with a nought before it", lambda p: (STATE, p.replace(b'"n":101', b'"n":0101')), "unsigned"),
    ("a negative counter", lambda p: (STATE, p.replace(b'"n":101', b'"n":-101')), "unsigned"),
    ("a huge counter", lambda p: (STATE, p.replace(b'"n":101', b'"n":9007199254740992')), "unsigned"),
    ("a longer counter still", lambda p: (STATE, p.replace(b'"n":101', b'"n":' + b"9" * 400)), "unsigned"),
    ("a counter with a fraction", lambda p: (STATE, p.replace(b'"n":101', b'"n":101.0')), "unsigned"),
    ("a signature cut short", lambda p: (STATE, p[:-6] + b'"}'), "unsigned"),
    ("the end cut off", lambda p: (STATE, p[:-1]), "unsigned"),
    ("the signature not last", lambda p: (STATE, p[:-1] + b',"seq":8}'), "unsigned"),
    ("a second signature behind it", lambda p: (STATE, p[:-1] + b',"sig":"' + b"A" * 86 + b'=="}'), "unsigned"),
    ("a second pair behind it", lambda p: (STATE, p[:-1] + b',"n":109,"sig":"' + b"A" * 86 + b'=="}'), "forged"),
    ("a member before it all", lambda p: (STATE, b'{"alarms":[],' + p[1:]), "forged"),
    ("bytes after it", lambda p: (STATE, p + b"\n"), "unsigned"),
    ("nothing", lambda p: (STATE, b""), "unsigned"),
    ("nonsense", lambda p: (STATE, b"\xff" * 500), "unsigned"),
    ("bed 1's words under bed 2", lambda p: (STATE.replace("bed-1", "bed-2"), p), "forged"),
    ("this edge's under another", lambda p: (STATE.replace("clinic-1", "clinic-2"), p), "forged"),
    ("a state as a vitals", lambda p: (VITALS, p), "forged"),
    ("once more", lambda p: (STATE, p), "duplicate"),
]


@pytest.mark.parametrize(("what", "attack", "name"), FORGERIES, ids=[what for what, _, _ in FORGERIES])
def test_what_an_attacker_makes_of_a_genuine_payload(
    what: str, attack: Callable[[bytes], tuple[str, bytes]], name: str
) -> None:
    world = World()
    world.birth()
    genuine = world.edge.sign(STATE, body(seq=7, alarms=["HTN-3"]))
    assert world.reason(STATE, genuine) == "believed"
    assert world.reason(*attack(genuine)) == name
    assert dict(world.verifier.rejected) == {name: 1}
    assert world.reason(STATE, world.edge.sign(STATE, body(seq=8))) == "believed", "the genuine one is still heard"


def test_a_genuine_payload_of_an_older_time_is_no_news() -> None:
    world = World()
    world.birth()
    old, new = (world.edge.sign(VITALS, body(spo2=spo2)) for spo2 in (97, 80))
    assert [world.reason(VITALS, p) for p in (new, old, new)] == ["believed", "replayed", "duplicate"]


def test_vitals_dated_ahead_are_refused_and_the_next_genuine_ones_are_not() -> None:
    world = World()
    world.birth()
    said = world.edge.sign
    assert world.reason(VITALS, said(VITALS, body(NOW + 50)), 1.0) == "ahead"
    assert world.reason(VITALS, said(VITALS, body(NOW + 1)), 1.0) == "believed"
    assert world.reason(VITALS, said(VITALS, body(NOW + 1 + AHEAD_S)), 1.0) == "believed"
    assert world.reason(VITALS, said(VITALS, body(NOW + 1.001 + AHEAD_S)), 1.0) == "ahead"
    assert world.reason(STATUS, said(STATUS, body(NOW + 3600, state="alive")), 2.0) == "believed", "its clock's step"
    assert world.reason(VITALS, said(VITALS, body(NOW + 3600)), 2.0) == "believed"


def test_a_fast_clock_may_be_ahead_by_as_many_real_seconds() -> None:
    world = World()
    world.verifier.check(STATUS, world.edge.sign(STATUS, body(state="alive", speed=20)), 0.0)
    assert world.reason(VITALS, world.edge.sign(VITALS, body(NOW + 40 + 20 * AHEAD_S)), 2.0) == "believed"
    assert world.reason(VITALS, world.edge.sign(VITALS, body(NOW + 41 + 20 * AHEAD_S)), 2.0) == "ahead"


def test_nothing_is_believed_before_a_signed_status_and_nothing_of_another_boot() -> None:
    world = World()
    early, event = world.edge.sign(STATE, body()), world.edge.sign(EVENT, body())
    assert world.reason(STATE, early) == "other_boot"
    assert world.reason(EVENT, event) == "other_boot"
    assert world.reason(STATUS, world.edge.sign(STATUS, body(state="alive"))) == "believed"
    assert world.reason(STATE, early) == "believed", "what the broker kept for us of this very boot"
    assert world.reason(STATE, world.edge.sign(STATE, body(boot="b2"))) == "other_boot"
    assert world.reason(EVENT, world.edge.sign(EVENT, body(boot="b0"))) == "believed", "out of the backlog"


def test_a_boot_begins_with_a_newer_signed_status_only_and_ends_what_was_before() -> None:
    world = World()
    world.birth()
    old = [(topic, world.edge.sign(topic, body(state="alive"))) for topic in (STATUS, VITALS, EVENT)]
    restarted = World(first=5000)
    restarted.verifier = world.verifier
    forged = signer(b"x" * 32, first=9000).sign(STATUS, body(boot="b9", state="alive"))
    assert world.reason(STATUS, forged) == "forged"
    assert world.reason(STATE, world.edge.sign(STATE, body())) == "believed", "the true boot goes on"
    heard = world.verifier.check(STATUS, restarted.edge.sign(STATUS, body(NOW + 9, "b2", state="alive")), 9.0)
    assert isinstance(heard, Verified)
    assert heard.birth
    assert [world.reason(topic, payload, 9.0) for topic, payload in old] == ["other_boot", "other_boot", "replayed"]
    back = world.edge.sign(STATUS, body(NOW + 9, "b3", state="alive"), 4000)
    assert world.reason(STATUS, back, 9.0) == "other_boot", "a counter that goes back after a restart"


def test_two_boxes_with_one_key_are_told_from_what_is_left_of_an_older_boot() -> None:
    world, copy = World(), signer(first=7000)
    world.birth()
    will = world.edge.sign(STATUS, body(boot="b1", state="dead"))
    assert world.reason(STATUS, copy.sign(STATUS, body(NOW + 60, "b2", state="alive")), 60.0) == "believed"
    assert world.reason(STATUS, will, 60.0) == "other_boot"
    still = world.edge.sign(STATUS, body(NOW + 62, "b1", state="alive"))
    assert world.reason(STATUS, still, 62.0) == "other_boot", "not yet: it may have been on its way"
    assert world.reason(STATUS, world.edge.sign(STATUS, body(NOW + 66, "b1", state="alive")), 66.0) == "two_boxes"


def test_only_the_will_in_force_is_believed_and_only_once() -> None:
    world = World()
    say = world.edge.sign
    wills = []
    for _ in range(2):  # a connection: the will is set, then the birth names it
        n = world.edge.next_n()
        wills.append(say(STATUS, body(state="dead"), n))
        assert world.reason(STATUS, say(STATUS, body(state="alive", will=n))) == "believed"
    alive = say(STATUS, body(state="alive", will=n))
    assert world.reason(STATUS, alive) == "believed"
    assert [world.reason(STATUS, p) for p in (wills[0], wills[1], wills[1], alive)] == [
        "replayed", "believed", "replayed", "duplicate"]
    assert world.reason(STATUS, say(STATUS, body(state="dead"))) == "believed", "a clean stop is news"


def test_events_are_believed_each_for_itself_in_batches_and_halves_of_batches() -> None:
    world = World()
    world.birth()
    events = [world.edge.sign(EVENT, body(seq=seq)) for seq in range(6)]
    events[2] = events[2].replace(b'"seq": 2', b'"seq": 3')
    batch = b"[" + b",".join(events[:4]) + b"]"
    heard = world.verifier.check_events(EVENT, batch, 0.0)
    assert [h.reason if isinstance(h, Rejected) else h.payload for h in heard] == [
        events[0], events[1], "forged", events[3]]
    heard = world.verifier.check_events(EVENT, events[5], 0.0) + world.verifier.check_events(EVENT, events[4], 0.0)
    assert [type(h) for h in heard] == [Verified, Verified], "one may overtake another"
    assert {type(h) for h in world.verifier.check_events(EVENT, batch, 0.0)} == {Rejected}
    for nonsense in (b"[", b"[]", b"[1]", b"[" * 100_000, b'["x"]', b"[{}]"):
        assert {type(h) for h in world.verifier.check_events(EVENT, nonsense, 0.0)} == {Rejected}


def test_an_event_is_never_taken_twice_however_long_ago() -> None:
    world = World()
    world.birth()
    first = world.edge.sign(EVENT, body())
    assert world.reason(EVENT, first) == "believed"
    for _ in range(600):
        assert world.reason(EVENT, world.edge.sign(EVENT, body())) == "believed"
    assert world.reason(EVENT, first) == "replayed"


def test_a_console_that_starts_anew_does_not_believe_yesterday() -> None:
    world = World()
    world.birth()
    yesterday = [world.edge.sign(STATUS, body(state="alive")) for _ in range(2)]
    newer = World(first=5000)
    newer.verifier = world.verifier
    assert newer.reason(STATUS, newer.edge.sign(STATUS, body(NOW + 9, "b2", state="alive"))) == "believed"
    fresh = world.verifier.fresh
    assert isinstance(fresh, Freshness)
    assert fresh.memory == Memory("b2", 100, 5001, 0)
    newer.verifier = Verifier(newer.edge.public, Freshness(fresh.memory))
    assert [newer.reason(STATUS, p) for p in yesterday] == ["other_boot", "other_boot"]
    assert newer.reason(STATE, newer.edge.sign(STATE, body(boot="b2"))) == "believed"


def test_what_is_signed_and_is_no_payload_is_refused() -> None:
    world = World()
    world.birth()
    for wrong in (b'{"at":"tomorrow"}', b'{"boot":7}', b"[1]", b'{"at":"0000-01-01T00:00:00Z","boot":"b1"}'):
        assert world.reason(VITALS, world.edge.sign(VITALS, wrong)) == "bad_shape"


def test_a_console_is_believed_on_its_own_topics_and_alive_only_by_what_it_says_to_this_boot() -> None:
    console = signer(b"c" * 32)
    verifier = Verifier(console.public, ConsoleFreshness("b1"))
    main, command = "vigil/1/clinic-1/ack/main", "vigil/1/clinic-1/command"

    def reason(topic: str, payload: bytes) -> str:
        heard = verifier.check(topic, payload, 0.0)
        return heard.reason if isinstance(heard, Rejected) else "believed"

    old, new = (console.sign(main, json.dumps({"console": "main", "seq": s, "boot": "b1"}).encode()) for s in (7, 9))
    assert [reason(main, p) for p in (new, old, new)] == ["believed", "replayed", "duplicate"]
    assert reason(main.replace("main", "other"), new) == "forged"
    assert reason(main, console.sign(main, b'{"console":"main","seq":9,"boot":"b0"}')) == "other_boot"
    asked = [console.sign(command, b'{"verb":"acknowledge","state":{"x":1}}') for _ in range(2)]
    assert [reason(command, p) for p in (asked[1], asked[0], asked[0])] == ["believed", "believed", "duplicate"]


def test_an_events_hash_is_signed_apart_from_every_payload() -> None:
    edge = signer()
    sig = edge.sign_hash("clinic-1", "ab" * 32)
    assert hash_is_signed(edge.public, "clinic-1", "ab" * 32, sig)
    assert not hash_is_signed(edge.public, "clinic-2", "ab" * 32, sig)
    assert not hash_is_signed(edge.public, "clinic-1", "ac" * 32, sig)
    assert not hash_is_signed(signer(b"x" * 32).public, "clinic-1", "ab" * 32, sig)
    for wrong in ("", "x", sig[:-4], "é", sig * 2):
        assert not hash_is_signed(edge.public, "clinic-1", "ab" * 32, wrong)


@given(st.binary(max_size=300), st.sampled_from([VITALS, STATUS, EVENT, "x", ""]))
def test_no_bytes_at_all_make_it_raise(junk: bytes, topic: str) -> None:
    world = World()
    world.birth()
    assert isinstance(world.verifier.check(topic, junk, 0.0), Rejected)
    assert all(isinstance(h, Rejected) for h in world.verifier.check_events(topic, junk, 0.0))


# --- keys and counters ------------------------------------------------------------------------------------------------


def test_a_key_is_made_once_for_its_owner_alone_and_its_public_half_is_pinned(tmp_path: Path) -> None:
    made, again = own_key(tmp_path / "edge.key"), own_key(tmp_path / "edge.key")
    assert bytes(made) == bytes(again)
    assert (tmp_path / "edge.key").stat().st_mode & 0o777 == 0o600
    for written in ("edge.pub", str(tmp_path / "edge.pub"), public_text(made.verify_key)):
        assert pinned_key(written, tmp_path) == made.verify_key
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys" / "main.pub").write_text(public_text(made.verify_key) + "\n")
    assert pinned_keys({}, ["main", "other"], base=tmp_path, data=tmp_path) == {"main": made.verify_key}


def test_edge_and_console_of_one_folder_pin_each_other_whoever_starts_first(tmp_path: Path) -> None:
    """As 0.1.0's example files have it, which know nothing of keys."""
    pinned: dict[str, VerifyKey] = {}
    pin_neighbour(pinned, ["main"], tmp_path, database="console.db", key="console.key")
    assert pinned == {}, "no console lives here"
    (tmp_path / "console.db").touch()
    pin_neighbour(pinned, ["main"], tmp_path, database="console.db", key="console.key")
    theirs = own_key(tmp_path / "console.key").verify_key  # the console starts
    assert pinned == {"main": theirs}
    later: dict[str, VerifyKey] = {}
    pin_neighbour(later, ["main"], tmp_path, database="console.db", key="console.key")
    assert later == {"main": theirs}
    enrolled = {"main": SigningKey(b"x" * 32).verify_key}
    pin_neighbour(enrolled, ["main"], tmp_path, database="console.db", key="console.key")
    assert enrolled["main"] != theirs, "what was pinned by hand stays"
    several: dict[str, VerifyKey] = {}
    pin_neighbour(several, ["main", "second"], tmp_path, database="console.db", key="console.key")
    assert several == {}


def test_a_key_that_cannot_be_used_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "open.key").write_text("x")
    (tmp_path / "open.key").chmod(0o644)
    (tmp_path / "bad.key").write_text("ed25519-secret:AAAA")
    (tmp_path / "bad.key").chmod(0o600)
    (tmp_path / "bad.pub").write_bytes(b"\xff\xfe")
    for name, content in (("noise.key", b"+\x9d"), ("spoilt.key", b"ed25519-secret:\x9dAAA")):
        (tmp_path / name).write_bytes(content)
        (tmp_path / name).chmod(0o600)

    def bad() -> Iterator[str]:
        for wrong in (lambda: own_key(tmp_path / "open.key"), lambda: own_key(tmp_path / "bad.key"),
                      lambda: pinned_key("nowhere.pub", tmp_path), lambda: pinned_key("bad.pub", tmp_path),
                      lambda: pinned_key("ed25519:%%%"), lambda: pinned_key("bad.key", tmp_path),
                      lambda: own_key(tmp_path / "noise.key"), lambda: own_key(tmp_path / "spoilt.key"),
                      lambda: pinned_key("ed25519:é")):
            with pytest.raises(BadKey) as error:
                wrong()
            yield str(error.value)

    found = list(bad())
    assert all("\n" not in line for line in found)
    assert "chmod 600" in found[0]
    assert "copy the other side's .pub file there" in found[2]


@pytest.mark.parametrize(("what", "later_s", "lost"), [
    ("a restart at once", 0.0, False), ("a clock set back a day", -86_400.0, False), ("the file is lost", 1.0, True)])
def test_counters_rise_over_restarts(tmp_path: Path, what: str, later_s: float, lost: bool) -> None:
    path = tmp_path / "edge.count"
    count = Count(path, NOW)
    assert not count.was_used
    given = [count() for _ in range(1000)]
    assert given == sorted(set(given))
    if lost:
        path.write_text("")
    again = Count(path, NOW + later_s)
    assert again.was_used and again() > given[-1]
    assert given[-1] < MAX_N


def test_counters_rise_where_the_disk_is_full(tmp_path: Path) -> None:
    count = Count(tmp_path / "no such folder" / "edge.count", NOW)
    assert count() < count()
