"""The MQTT contract: the design's own examples, round trips, topics, signatures, and the gate no bad command passes."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.contract import payloads as contract
from edge.contract.commands import VERBS
from edge.contract.events import GENESIS, Event, PendingEvent, numbered
from edge.contract.payloads import (
    Ack,
    AlarmNow,
    Answer,
    BadPayload,
    CommandIn,
    EventOut,
    State,
    Status,
    Topic,
    Vitals,
    Wave,
    command_payload,
    decode,
    decode_events,
    encode,
    event_out,
    events_payload,
    parse_topic,
    sign,
)
from edge.model import canonical, iso
from edge.stream.verifier import MAX_BYTES, CommandVerifier, Refusal
from tests.helpers.bodies import body

NOW_S = 1_770_000_000.0
KEY = b"the-key-of-this-edge-and-consoles"

# the JSON shapes of the design, word for word, broken into more lines
GOLDEN: list[tuple[type[contract.Payload], str]] = [
    (Vitals, """{"edge":"clinic-1","bed":"chair-1","at":"...","simulated":true,
 "numerics":{"spo2_pct":{"value":97,"at":"...","age_s":0.3,"stale":false,"validity":"valid","reason":null,"device":"oximeter"},
             "sbp_mmhg":{"value":null,"at":"...","age_s":12.0,"stale":false,"validity":"invalid","reason":"cuff_leak","device":"cuff"}},
 "pump":{"state":"infusing","device":"pump","at":"...","age_s":0.4,"stale":false}}"""),
    (EventOut, """{"seq":4711,"boot":"...","edge":"clinic-1","bed":"chair-1","session":"...","at":"...",
 "kind":"alarm","late":false,
 "body":{"rule":"HTN-3","alarm":"...","state":"active","was":"pending","priority":"high","class":"physiological","text":"...","why":"...","clears":"...",
         "evidence":[{"metric":"sbp_mmhg","value":184,"age_s":1.2}],"limit":"180"},"prev":"<hash>","hash":"<hash>"}"""),
    (State, """{"edge":"clinic-1","bed":"chair-1","at":"...","seq":4711,"boot":"...",
 "session":{"id":"...","phase":"INFUSING","dissociation":"open","started":"...","dose_mg":21.3},
 "alarms":[{"alarm":"...","rule":"HTN-3","state":"active","priority":"high","since":"...","seq":4711,"text":"..."}],
 "devices":[{"device":"pump","driver":"alaris_gh","identity":"8002-51740","link":"live","since":"...","frames":1042,"bad":3,"late":1}]}"""),
    (Status, """{"edge":"clinic-1","boot":"...","state":"alive","at":"...","version":"...",
 "config":"<hash>","beds":["chair-1"],"seq":4711}"""),
    (Ack, """{"console":"main","seq":4711,"boot":"..."}"""),
    (CommandIn, """{"id":"...","console":"main","user":"...","role":"nurse","bed":"chair-1","verb":"acknowledge",
 "args":{"alarm":"...","seq":4711},"issued":"...","expires":"...","nonce":"...","sig":"..."}"""),
    (Answer, """{"id":"...","ok":false,"reason":"moved_on","state":{"phase":"PAUSED"}}"""),
]


def _contains(whole: Any, part: Any) -> bool:
    """Whether `whole` says everything `part` says; fields with defaults may come on top."""
    if isinstance(part, dict):
        return isinstance(whole, dict) and all(key in whole and _contains(whole[key], part[key]) for key in part)
    if isinstance(part, list):
        return isinstance(whole, list) and len(whole) == len(part) and all(map(_contains, whole, part))
    return bool(whole == part)


@pytest.mark.parametrize(("kind", "text"), GOLDEN, ids=[kind.__name__ for kind, _ in GOLDEN])
def test_the_designs_example_is_read_and_written_without_loss(kind: type[contract.Payload], text: str) -> None:
    value = decode(kind, text.encode())
    written = encode(value)
    assert _contains(json.loads(written), json.loads(text))
    assert decode(kind, written) == value


@pytest.mark.parametrize(("kind", "text"), GOLDEN, ids=[kind.__name__ for kind, _ in GOLDEN])
def test_a_field_added_later_is_no_error(kind: type[contract.Payload], text: str) -> None:
    assert decode(kind, encode(json.loads(text) | {"added": {"later": [1]}})) == decode(kind, encode(json.loads(text)))


@pytest.mark.parametrize(
    ("kind", "payload"),
    [
        (Ack, b""), (Ack, b"\xff"), (Ack, b'{"console":"\xff","seq":1,"boot":""}'), (Ack, b"[" * 60_000),
        (Ack, b"null"), (Ack, b'{"console":"main","seq":"1","boot":""}'),
        (Ack, b'{"console":"main","seq":-1,"boot":""}'),
        (Ack, b'{"console":"main","boot":""}'), (Ack, b'{"console":"Main","seq":1,"boot":""}'),
        (Ack, b'{"console":"main\\n","seq":1,"boot":""}'), (dict[str, Any], b'{"a":' * 20_000),
        (Status, GOLDEN[3][1].replace("alive", "asleep").encode()),
        (Vitals, GOLDEN[0][1].replace('"valid"', '"fine"').encode()),
    ],
)
def test_what_is_not_the_contract_is_refused_with_one_kind_of_error(kind: type[Any], payload: bytes) -> None:
    with pytest.raises(BadPayload):
        decode(kind, payload)


def test_the_full_state_of_a_bed_survives_the_wire() -> None:
    alarm = {"alarm": "a", "rule": "R", "title": "t", "state": "acknowledged", "priority": "medium",
             "class": "technical", "since": "s", "seq": 9, "text": "x", "why": "w", "clears": "c", "limit": "180",
             "evidence": [{"metric": "sbp_mmhg", "value": 184.5, "age_s": 1.2}], "by": "ann",
             "was": "active", "device": "cuff", "acknowledged_at": "t", "no_data": True, "phase": "INFUSING",
             "dissociation": "observed", "superseded_by": "R2", "command": "c1"}
    session = {"id": "s", "phase": "RECOVERY", "phase_since": "t", "dissociation": "open",
               "dissociation_state": "observed", "dissociation_since": "t", "started": "t", "infusion_started": "t",
               "infusion_ended": None, "infused_s": 2400.5, "dose_mg": 35.1, "dose_mg_kg": 0.5,
               "primed_mg": 1.5, "after_end_mg": 0.5, "ready_min": 40.5,
               "order": {"protocol": "p", "weight_kg": 70.5, "dose_mg_kg": 0.5, "dose_mg": 35.25, "duration_min": 40.5,
                         "concentration_mg_ml": 0.7, "nibp_interval_min": 5.5},
               "baseline": {"sbp_mmhg": 121.5, "dbp_mmhg": 80.5, "determinations": 3, "quality": "pair",
                            "map_mmhg": 94.5, "pulse_bpm": 70.5, "spo2_pct": 98.5},
               "open": ["escort"], "check_in_due": "t", "bp_due": "t", "route": "nasal",
               "doses": [{"at": "t", "devices": 2, "mg": 56.5, "lots": ["A"], "user": "ann"}], "quiet": True,
               "open_items": [{"gate": "escort", "text": "escort", "since": "t", "at": "t", "override": ["prescriber"],
                               "overridden_by": "hall", "reason": "r"}],
               "estimate": {"model": "m", "blood_ng_ml": 1.5, "effect_ng_ml": 2.5, "degraded": True, "text": "t"},
               "next": [{"what": "bp", "text": "blood pressure", "at": "t"}],
               "held": {"by": "ann", "reason": "r", "at": "t"},
               "stays": [{"bed": "c", "from": "t", "until": "t"}],
               "limits": [{"limit": "l", "title": "t", "unit": "%", "usual": 94.5, "least": 90.5, "most": 97.5,
                           "value": 91.5, "by": "hall", "reason": "r", "at": "t"}],
               "attested": [{"what": "gait", "so": False, "at": "t", "user": "ann"}],
               "symptoms": ["seizure"], "checklist": True, "spo2_due": "t",
               "spo2_entered": {"pct": 93, "at": "t", "user": "ann"},
               "check_in": {"at": "t", "user": "ann", "moaas": 5, "cadss": 3, "anxiety": 1, "distress": None,
                            "nausea": 0, "symptoms": ["pale"], "note": "n"}}
    device = {"device": "pump", "kind": "pump", "driver": "d", "identity": None, "link": "silent", "since": "t",
              "reason": "no answer", "frames": 1, "bad": 2, "late": 3, "received": 9, "understood": 8, "dropped": 1,
              "alarms": [{"code": "c", "priority": "low", "raw": "07", "text": "t"}]}
    state = {"edge": "e", "bed": "b", "at": "t", "seq": 9, "boot": "x", "simulated": True, "session": session,
             "alarms": [alarm], "devices": [device], "audio_paused_until": "t",
             "alarm_limits": [{"metric": "m", "rule": "R", "title": "t", "priority": "low", "at": 93.5, "worse": -1,
                               "twice": True, "margin": 3.5}],
             "interlock": {"device": "pump", "state": "armed", "first": "ann", "second": "ben", "since": "t",
                           "until": None, "stop": {"state": "sent", "at": "t", "rule": "R", "text": "x"}},
             "request": {"text": "repeat", "since": "t"}, "gap": {"from": "t", "to": "t", "why": "slept"}}
    assert json.loads(encode(decode(State, encode(state)))) == state
    assert decode(AlarmNow, encode(alarm)).alarm_class == "technical"


def test_a_wave_has_gaps_and_no_silent_default_for_its_samples() -> None:
    wave = {"edge": "e", "bed": "b", "name": "pleth", "start": "t", "rate_hz": 75.5, "samples": [1, None, 3]}
    assert decode(Wave, encode(wave)).samples == [1, None, 3]
    with pytest.raises(BadPayload):
        decode(Wave, encode({key: value for key, value in wave.items() if key != "samples"}))


# --- events -----------------------------------------------------------------------------------------------------------


def chain(count: int) -> list[Event]:
    """Events 1 to `count` of a journal."""
    events: list[Event] = []
    for seq in range(1, count + 1):
        pending = PendingEvent(
            "chair-1", "s1", NOW_S + seq / 8, body("alarm", text="Blutdruck ↑")
        )
        prev = events[-1].hash if events else GENESIS
        events.append(numbered(pending, seq=seq, boot="boot", edge="clinic-1", wall=iso(NOW_S), prev=prev))
    return events


def test_one_event_or_a_list_is_read_alike_and_can_be_verified_by_its_reader() -> None:
    events = chain(3)
    (one,) = decode_events(encode(event_out(events[0], late=False)))
    several = decode_events(b" " + events_payload(events, late=True))
    assert (one.seq, one.late, one.prev) == (1, False, GENESIS)
    assert [(event.seq, event.late) for event in several] == [(1, True), (2, True), (3, True)]
    assert all(event.verify() for event in [one, *several])
    assert several[1].prev == several[0].hash


@pytest.mark.parametrize(
    ("field", "value"),
    [("seq", 2), ("boot", "other"), ("edge", "clinic-2"), ("bed", None), ("session", "s2"), ("at", iso(NOW_S)),
     ("at", "soon"), ("wall", ""), ("kind", "session"), ("body", msgspec.Raw(b'{"value":148.0}')), ("prev", "1" * 64),
     ("hash", "0" * 64), ("hash", "é")],
)
def test_an_event_changed_in_any_field_does_not_verify(field: str, value: Any) -> None:
    (event,) = decode_events(encode(event_out(chain(1)[0], late=False)))
    assert not msgspec.structs.replace(event, **{field: value}).verify()


def test_late_is_not_part_of_what_is_hashed() -> None:
    (event,) = decode_events(encode(event_out(chain(1)[0], late=True)))
    assert event.verify()


# --- topics -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("topic", "parsed"),
    [
        (contract.status_topic("clinic-1"), Topic("status", "clinic-1")),
        (contract.vitals_topic("e", "b-1"), Topic("vitals", "e", "b-1")),
        (contract.wave_topic("e", "b", "pleth"), Topic("wave", "e", "b", "pleth")),
        (contract.state_topic("e", "b"), Topic("state", "e", "b")),
        (contract.event_topic("e"), Topic("event", "e")),
        (contract.ack_topic("e", "main"), Topic("ack", "e", None, "main")),
        (contract.gone_topic("e", "main"), Topic("gone", "e", None, "main")),
        (contract.command_topic("e"), Topic("command", "e")),
        (contract.answer_topic("e", "main"), Topic("answer", "e", None, "main")),
        ("vigil/1/clinic-1/status", Topic("status", "clinic-1")),
        ("vigil/1/clinic-1/bed/chair-1/vitals", Topic("vitals", "clinic-1", "chair-1")),
        *((other, None) for other in (
            "", "vigil/1/e", "vigil/2/e/status", "vigil/1/E/status", "vigil/1//status", "vigil/1/e/status/",
            "vigil/1/" + "e" * 33 + "/status", "vigil/1/e/bed/b", "vigil/1/e/ack", "vigil/1/e/bed/+/state",
            "vigil/1/e/status\n", "vigil/1/e/bed/b/wave", "vigil/1/e/ack/a/b", "vigil/1/é/status", "x/1/e/event",
        )),
    ],
)
def test_topics_are_written_and_read_as_the_design_says(topic: str, parsed: Topic | None) -> None:
    assert parse_topic(topic) == parsed


# --- commands ---------------------------------------------------------------------------------------------------------


def command(key: bytes = KEY, **changed: Any) -> bytes:
    """A good command of a nurse, or one with these fields changed before it is signed."""
    fields: dict[str, Any] = {
        "id": "c1", "edge": "clinic-1", "console": "main", "user": "ann", "role": "nurse", "bed": "chair-1",
        "verb": "acknowledge", "args": {"alarm": "a", "seq": 4711}, "issued": iso(NOW_S), "expires": iso(NOW_S + 10),
        "nonce": "n1",
    }
    fields = {name: value for name, value in (fields | changed).items() if value is not ...}
    return encode(fields | {"sig": sign(fields, key)})


def reason(result: CommandIn | Refusal) -> str:
    return result.reason if isinstance(result, Refusal) else "accepted"


REFUSALS: list[tuple[str, bytes, float]] = [
    ("accepted", command(), NOW_S),
    ("accepted", command(), NOW_S + 9.999),
    ("accepted", command(), NOW_S - 30),
    ("accepted", command(edge=...), NOW_S),
    ("accepted", command(added="later"), NOW_S),
    ("expired", command(), NOW_S + 10),
    ("expired", command(expires=iso(NOW_S - 1)), NOW_S),
    ("not_yet", command(), NOW_S - 30.001),
    ("wrong_edge", command(edge="clinic-2"), NOW_S),
    ("forged", command(key=b"the-key-of-another-edge"), NOW_S),
    ("forged", command().replace(b"chair-1", b"chair-2"), NOW_S),
    ("forged", command().replace(b"nurse", b"technician"), NOW_S),
    ("forged", command(edge=...).replace(b'"id"', b'"edge":"clinic-1","id"'), NOW_S),
    ("forged", encode(json.loads(command()) | {"sig": ""}), NOW_S),
    ("forged", encode(json.loads(command()) | {"sig": "é"}), NOW_S),
    ("forged", encode(json.loads(command()) | {"added": "unsigned"}), NOW_S),
    ("forbidden", command(role="technician"), NOW_S),
    ("forbidden", command(role="technician", verb="audio_pause"), NOW_S),
    ("forbidden", command(verb="start_pump"), NOW_S),
    ("bad_shape", command(role="doctor"), NOW_S),
    ("bad_shape", command(bed="../chair"), NOW_S),
    ("bad_shape", command(issued="now"), NOW_S),
    ("bad_shape", command(expires="2026-02-02T02:40:10.000"), NOW_S),
    ("bad_shape", command(expires=iso(NOW_S + 86_401)), NOW_S),
    ("bad_shape", command(nonce=""), NOW_S),
    ("bad_shape", command(args=[1]), NOW_S),
    ("bad_shape", command(args={"x": "y" * MAX_BYTES}), NOW_S),
    ("bad_shape", b"", NOW_S),
    ("bad_shape", b"\xff" * 10, NOW_S),
    ("bad_shape", b"[]", NOW_S),
    ("bad_shape", b"{}", NOW_S),
    ("bad_shape", b'{"a":' * 10_000, NOW_S),
    ("bad_shape", b'{"id":7,"console":["main"]}', NOW_S),
]


@pytest.mark.parametrize(("expected", "payload", "at_s"), REFUSALS)
def test_the_gate_lets_in_only_what_is_whole_signed_timely_and_allowed(
    expected: str, payload: bytes, at_s: float
) -> None:
    checked = CommandVerifier(KEY, "clinic-1").check(payload, at_s)
    assert reason(checked).partition(":")[0] == expected
    anybody = expected in ("forged", "bad_shape", "expired")
    worthless = isinstance(checked, Refusal) and checked.worthless
    assert worthless is anybody, "what anybody may send never waits in the line of what only a console can"


def test_a_refusal_says_whom_to_tell_only_where_that_is_a_console() -> None:
    verifier = CommandVerifier(KEY, "clinic-1")
    refused = verifier.check(command(role="technician"), NOW_S)
    assert refused == Refusal("c1", "main", "forbidden")
    for console in ("#", "main/x", "", 7, "main\n"):
        bad = verifier.check(command(console=console), NOW_S)
        assert isinstance(bad, Refusal)
        assert bad.answer_to == ""


def test_a_replay_is_refused_as_long_as_it_could_work_and_forgotten_after() -> None:
    verifier = CommandVerifier(KEY, "clinic-1")
    assert reason(verifier.check(command(), NOW_S)) == "accepted"
    again = verifier.check(command(), NOW_S + 1)
    assert again == Refusal("c1", "main", "replayed")
    assert again.worthless, "whoever overheard a command may say it a thousand times"
    assert reason(verifier.check(command(id="c2", verb="audio_pause"), NOW_S + 1)) == "replayed"
    assert reason(verifier.check(command(), NOW_S + 10)) == "expired"
    for number in range(1000):
        at_s = NOW_S + 20 * number
        sent = command(nonce=f"x{number}", issued=iso(at_s), expires=iso(at_s + 10))
        assert reason(verifier.check(sent, at_s)) == "accepted"
    assert len(verifier._seen) == len(verifier._forget) == 1


def test_a_refused_command_does_not_use_up_its_nonce() -> None:
    verifier = CommandVerifier(KEY, "clinic-1")
    assert reason(verifier.check(command(key=b"the-key-of-another-edge"), NOW_S)) == "forged"
    assert reason(verifier.check(command(), NOW_S)) == "accepted"


def test_a_replay_over_a_restart_is_refused_by_what_the_journal_remembers() -> None:
    verifier = CommandVerifier(KEY, "clinic-1")
    verifier.remember(["n1"], NOW_S + 60)
    assert reason(verifier.check(command(), NOW_S)) == "replayed"
    assert reason(verifier.check(command(nonce="n2"), NOW_S)) == "accepted"


def test_a_key_too_short_to_protect_anything_is_no_key() -> None:
    with pytest.raises(ValueError, match="at least 16 bytes"):
        CommandVerifier(b"short", "clinic-1")


@given(st.integers(0, len(command()) * 8 - 1))
@settings(max_examples=300)
def test_a_command_with_one_bit_flipped_is_never_accepted_with_another_meaning(bit: int) -> None:
    payload = bytearray(command())
    payload[bit // 8] ^= 1 << bit % 8
    result = CommandVerifier(KEY, "clinic-1").check(bytes(payload), NOW_S)
    if isinstance(result, CommandIn):  # say, an added space: it must be the very same request
        assert canonical(json.loads(payload)) == canonical(json.loads(command()))


@given(st.binary(max_size=200) | st.dictionaries(st.text(), st.integers() | st.text() | st.floats()).map(encode))
def test_no_bytes_whatever_make_the_gate_raise(payload: bytes) -> None:
    assert reason(CommandVerifier(KEY, "clinic-1").check(payload, NOW_S)).startswith("bad_shape")


def test_the_console_signs_what_the_gate_checks() -> None:
    sent = command_payload(
        KEY, id="c9", edge="clinic-1", console="main", user="ann", role="nurse", bed="chair-1", verb="check_in",
        args={"moaa_s": 4, "note": "müde"}, issued_s=NOW_S, expires_s=NOW_S + 10, nonce="n9",
    )
    done = CommandVerifier(KEY, "clinic-1").check(sent, NOW_S)
    assert isinstance(done, CommandIn)
    assert (done.verb, done.args) == ("check_in", {"moaa_s": 4, "note": "müde"})


def test_no_verb_starts_or_sets_a_pump() -> None:
    assert set(VERBS) == {"acknowledge", "audio_pause", "audio_resume", "check_in", "start_session",
                                   "checklist", "end_infusion", "close_session", "give_dose", "shelve", "unshelve",
                          "amend_order", "override_gate", "rebaseline", "attest", "device_off", "device_back",
                          "comment", "delegate", "undelegate", "maintain", "maintenance_over", "measure_bp",
                          "drug_channel", "dissociation", "arm_interlock", "disarm_interlock", "set_limit",
                          "hold", "unhold", "move_session"}
    others = {verb: asked.roles for verb, asked in VERBS.items() if asked.roles != {"nurse", "prescriber"}}
    assert others == {"comment": {"nurse", "prescriber", "technician"}, "maintain": {"technician"},
                      "maintenance_over": {"nurse", "prescriber", "technician"}, "set_limit": {"prescriber"}}


# --- the document -----------------------------------------------------------------------------------------------------
