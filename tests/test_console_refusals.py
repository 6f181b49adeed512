"""What the console will not take over HTTP, and the one clear line it says instead."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from edge.console.app import create_app
from edge.contract.commands import MAX_NOTE, MAX_REASON, BadCommand, parse
from edge.core import dissociation
from tests.helpers.console_server import COMMANDS, served
from tests.helpers.console_story import BED, settings
from tests.helpers.parts import sampled
from tests.helpers.schema import faults

PAGE = Path(__file__).parent.parent / "edge" / "console" / "web" / "src"
CHECK_IN, CONTRACT = PAGE / "checkin.tsx", PAGE / "contract.ts"

# --- a command's arguments --------------------------------------------------------------------------------------------

NOTHING: dict[str, Any] = {"moaas": None, "cadss": None, "anxiety": None, "distress": None, "nausea": None,
                           "symptoms": [], "note": ""}
EMPTY = "an empty check-in says nothing: enter a score, a symptom or a note"

# verb, args -> what is said; None: it is sent
ASKED: list[tuple[str, dict[str, Any], str | None]] = [
    ("check_in", {}, EMPTY),
    ("check_in", NOTHING, EMPTY),
    ("check_in", {"note": " \n "}, EMPTY),
    ("check_in", {"symptoms": []}, EMPTY),
    ("check_in", {"moaas": 0}, None),
    ("check_in", {**NOTHING, "nausea": 0}, None),
    ("check_in", {"note": "pale"}, None),
    ("check_in", {"symptoms": ["chest_pain", "dizziness"]}, None),
    ("check_in", {"symptoms": ["hiccups"]}, None),
    ("check_in", {"moaas": 5, "symptoms": ["chest_pain", "x" * 41]}, "'xxxxxxxxxx"),
    ("check_in", {"symptoms": [""]}, "'' is no symptom"),
    ("check_in", {"symptoms": [["chest_pain"]]}, "['chest_pain'] is no symptom"),
    ("check_in", {"symptoms": "chest_pain"}, "symptoms must be a list"),
    ("check_in", {"symptoms": {"chest_pain": True}}, "symptoms must be a list"),
    ("check_in", {"moaas": 5, "note": 7}, "note must be text"),
    ("check_in", {"moaas": 5, "note": ["pale"]}, "note must be text"),
    ("check_in", {"note": "ö" * MAX_NOTE}, None),
    ("check_in", {"note": "ö" * (MAX_NOTE + 1)}, "note must be at most 500 characters, not 501"),
    ("close_session", {}, None),  # whether a reason is needed, the edge knows
    ("close_session", {"reason": None}, None),
    ("close_session", {"reason": "Discharged"}, None),
    ("close_session", {"reason": "   "}, "reason must not be blank"),
    ("close_session", {"reason": ""}, "reason must not be blank"),
    ("close_session", {"reason": 5}, "reason must be text"),
    ("close_session", {"reason": "x" * MAX_REASON}, None),
    ("close_session", {"reason": "x" * (MAX_REASON + 1)}, "reason must be at most 200 characters, not 201"),
    ("end_infusion", {"reason": "\t"}, "reason must not be blank"),
    ("end_infusion", {"reason": "Distress"}, None),
]


ORDER = {"weight_kg": 70, "dose_mg_kg": 0.5, "duration_min": 40, "concentration_mg_ml": 1}
STARTS: list[dict[str, Any]] = [ORDER, *({**ORDER, name: None} for name in ORDER), {"dose_mg": 56}, {"dose_mg": None},
                                {**ORDER, "weight_kg": None, "dose_mg": 56}]


@pytest.mark.parametrize("args", STARTS)
def test_what_the_document_says_may_begin_a_session_and_nothing_else_does(tmp_path: Path, args: dict[str, Any]) -> None:
    schemas = create_app(settings(tmp_path)).openapi()["components"]["schemas"]
    fits = not list(faults(args, schemas["StartSession"], schemas))
    try:
        parse("start_session", {"session": "session-1", **args})
    except BadCommand:
        assert not fits
    else:
        assert fits


@pytest.mark.parametrize(("verb", "args", "said"), sampled(ASKED, 2))
async def test_what_no_honest_page_asks_is_refused_in_one_line_and_never_sent(
        tmp_path: Path, verb: str, args: dict[str, Any], said: str | None) -> None:
    async with served(tmp_path) as home:
        await home.login()
        answer = await home.command(verb, args)
        sent = [command.args for command, _ in home.wire.commands()]
        if said is None:
            assert (answer.status_code, sent) == (200, [args])
            return
        told = answer.json()
        assert (answer.status_code, told["ok"], sent) == (422, False, [])
        assert told["reason"].startswith(f"bad_args: {said}")
        assert "\n" not in told["reason"]


def test_a_strangers_word_is_quoted_short_and_on_one_line() -> None:
    with pytest.raises(BadCommand) as bad:
        parse("check_in", {"symptoms": ["x\n" * 500]})
    assert "\n" not in str(bad.value)
    assert len(str(bad.value)) < 250


def test_the_page_ticks_dissociation_by_the_word_the_core_listens_to() -> None:
    listed = re.search(r"export const SYMPTOMS: .*? = (\{.*?\});", CONTRACT.read_text())
    assert listed is not None
    assert dissociation.SYMPTOM in json.loads(listed[1])
    assert re.search(r"import \{[^}]*\bSYMPTOMS\b[^}]*\} from \"./contract.ts\"", CHECK_IN.read_text())


# --- bodies and addresses ---------------------------------------------------------------------------------------------

BAD_BODIES = [
    ("no JSON", b"{"), ("no verb", b"{}"), ("a list", b"[]"), ("one more field", b'{"verb":"audio_pause","x":1}'),
    ("args no object", b'{"verb":"audio_pause","args":[]}'),
    ("deep", b'{"verb":"audio_pause","args":{"a":' + b"[" * 20_000 + b"]" * 20_000 + b"}}"),
    ("no number", b'{"verb":"audio_pause","args":{"a":NaN}}'),
    ("half a character", b'{"verb":"audio_pause","args":{"a":"\\ud800"}}'),
    ("half a character in the verb", b'{"verb":"\\ud800"}'), ("not UTF-8", b'{"verb":"\xff"}'),
    ("a name that is none", b'{"verb":"start_session","args":{"patient":["x"]}}'),
    ("a name too long", b'{"verb":"start_session","args":{"patient":"' + b"x" * 81 + b'"}}'),
    ("a name of half a character", b'{"verb":"start_session","args":{"patient":"\\ud800"}}'),
    ("too large", b'{"verb":"audio_pause","args":{"a":"' + b"x" * 70_000 + b'"}}'),
]


async def test_a_body_that_is_none_of_ours_is_refused_in_one_line_and_sends_nothing(tmp_path: Path) -> None:
    async with served(tmp_path) as home:
        await home.login()
        for name, body in BAD_BODIES:
            answer = await home.http.post(COMMANDS, content=body, headers={
                "X-CSRF": home.csrf, "Content-Type": "application/json"})
            assert answer.status_code in (400, 413, 422), (name, answer.status_code, answer.text)
            said = answer.json()
            line = said.get("detail") or said.get("reason")
            assert isinstance(line, str), (name, said)
            assert "\n" not in line
        assert home.wire.commands() == []


# the character is counted as people count, from 1
NO_JSON = [(b"{", 2), (b"", None), (b"verb=x", 1), (b'{"verb": audio_pause}', 10)]


@pytest.mark.parametrize(("body", "at"), NO_JSON)
async def test_a_body_that_is_not_json_is_told_where(tmp_path: Path, body: bytes, at: int | None) -> None:
    async with served(tmp_path) as home:
        await home.login()
        answer = await home.http.post(COMMANDS, content=body, headers={
            "X-CSRF": home.csrf, "Content-Type": "application/json"})
        said = "body: Field required" if at is None else f"the body is not JSON (at character {at})"
        assert (answer.status_code, answer.json()["detail"], answer.json()["where"]) == (422, said, "body")


async def test_what_is_of_another_shape_is_told_in_words_that_are_not_a_programs(tmp_path: Path) -> None:
    async with served(tmp_path) as home:
        await home.login()
        for path, said in ((f"/api/beds/{BED}/history?minutes=x", "query.minutes: it must be a whole number"),
                           ("/api/beds/Chair%201/events", "path.bed: it has characters that may not stand there")):
            assert (await home.http.get(path)).json()["detail"] == said
        answer = await home.http.post(COMMANDS, json=[], headers={"X-CSRF": home.csrf})
        assert answer.json()["detail"] == "body: it must be a JSON object"


ODD = [
    ("GET", "/api/nowhere", 404), ("GET", "/nowhere", 404), ("GET", "/api/beds/chair-9/events", 404),
    ("GET", "/api/beds/Chair%201/events", 422), ("GET", "/api/beds/..%2f..%2fetc/events", 404),
    ("GET", f"/api/beds/{BED}/events?limit=0", 422), ("GET", f"/api/beds/{BED}/events?before=9999999999999999999", 422),
    ("GET", f"/api/beds/{BED}/history?minutes=1441", 422), ("GET", f"/api/beds/{BED}/history?metrics=a';--", 422),
    ("DELETE", "/api/beds", 405), ("GET", "/assets/..%2f..%2fapp.py", 404), ("GET", "/assets/nothing.js", 404),
]


async def test_what_is_not_there_or_not_asked_rightly_is_one_clear_line(tmp_path: Path) -> None:
    async with served(tmp_path) as home:
        await home.login()
        for method, path, expected in ODD:
            answer = await home.http.request(method, path)
            assert answer.status_code == expected, (path, answer.text)
            problem = answer.json()
            assert answer.headers["content-type"] == "application/problem+json", path
            assert (problem["status"], problem["instance"]) == (expected, answer.request.url.path), path
            assert problem["type"].startswith("/problems/")
            assert problem["title"] and problem["remedy"], path
            detail = problem["detail"]
            assert isinstance(detail, str), path
            assert detail, path
