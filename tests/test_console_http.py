"""Who may do what over HTTP: login, CSRF, Origin and role, and what a command comes to."""

from __future__ import annotations

import asyncio
import json
import socket
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from edge.console import accounts, audit, pages, patients
from edge.console.app import listening_at
from edge.console.security import HEADERS, Limiter
from edge.contract.commands import VERBS
from edge.contract.freshness import ConsoleFreshness
from edge.contract.payloads import Answer, CommandIn, command_topic, encode, event_topic
from edge.contract.signing import Verified, Verifier
from edge.model import iso
from tests.helpers.console_server import ANSWER, COMMANDS, ORIGIN, served
from tests.helpers.console_story import (
    BED,
    CONSOLE_KEY,
    EDGE,
    NURSE,
    START_S,
    STATE,
    STATUS,
    TECHNICIAN,
    VITALS,
    Journal,
    hear,
    numeric,
    state,
    status,
    vitals,
)

# --- coming in --------------------------------------------------------------------------------------------------------


async def test_a_login_gives_a_cookie_no_script_can_read_and_no_other_site_can_send(tmp_path: Path) -> None:
    async with served(tmp_path, secure_cookies=True) as home:
        answer = await home.login()
        assert (answer.status_code, answer.json()["role"]) == (200, "nurse")
        cookie = answer.headers["set-cookie"]
        for word in ("httponly", "samesite=strict", "secure", "path=/", "max-age=2592000"):
            assert word in cookie.lower(), word
        token = cookie.split("=", 1)[1].split(";")[0]
        files = b"".join(path.read_bytes() for path in tmp_path.iterdir())  # noqa: ASYNC240
        assert home.csrf.encode() in files, "what is stored can be found"
        assert token.encode() not in files, "of the token only its hash is stored"
        assert NURSE[1].encode() not in files
        assert b"$argon2id$" in files


async def test_a_login_ends_with_logout_with_its_twelve_hours_and_with_a_new_password(tmp_path: Path) -> None:
    async with served(tmp_path) as home:
        await home.login()
        me = (await home.http.get("/api/me")).json()
        assert me == {"name": "ann", "role": "nurse", "csrf": home.csrf, "locked": False, "now": iso(START_S),
                      "expires_at": iso(START_S + 12 * 3600), "lock_after_s": 12 * 3600}
        kept = dict(home.http.cookies)
        assert (await home.http.post("/api/logout", headers={"X-CSRF": home.csrf})).json() == {"ok": True}
        home.http.cookies.update(kept)
        assert (await home.http.get("/api/me")).status_code == 401, "the server has forgotten it, whoever kept it"
        home.http.cookies.clear()
        await home.login()
        home.clock.at_s += 12 * 3600 - 1
        assert (await home.http.get("/api/me")).status_code == 200
        home.clock.at_s += 2
        assert (await home.http.get("/api/me")).status_code == 401
        await home.login()
        assert (await home.http.get("/api/me")).status_code == 200
        home.console.store.now(accounts.put_account, "ann", "x", "nurse", START_S)
        assert (await home.http.get("/api/me")).status_code == 401


async def test_a_session_in_use_is_renewed_and_one_that_watches_is_locked_not_ended(tmp_path: Path) -> None:
    async with served(tmp_path) as home:
        await home.login()
        token = {"X-CSRF": home.csrf}
        home.clock.at_s += 11 * 3600
        renewed = (await home.http.post("/api/renew", headers=token)).json()
        assert renewed["expires_at"] == iso(START_S + 23 * 3600)
        home.clock.at_s = START_S + 23 * 3600 - 5
        user = home.console.store.now(accounts.user_of, home.http.cookies["vigil_session"], home.clock())
        assert user is not None
        page = home.console.join(user)
        await home.console.end_sessions()
        home.clock.at_s += 10
        await home.console.end_sessions()
        assert page.cut_code is None, "what it shows and sounds goes on"
        assert (await home.http.get("/api/me")).json()["locked"] is True
        assert (await home.http.get("/api/beds")).status_code == 200
        for path in ("/api/renew", COMMANDS):
            refused = await home.http.post(path, headers=token, json={"verb": "audio_pause", "args": {}})
            assert (refused.status_code, refused.json()["type"]) == (401, "/problems/locked")
        assert home.wire.commands() == []
        wrong = await home.http.post("/api/unlock", headers=token, json={"password": "guess"})
        assert (wrong.status_code, wrong.json()["type"]) == (401, "/problems/wrong_password")
        right = await home.http.post("/api/unlock", headers=token, json={"password": NURSE[1]})
        assert (right.status_code, right.json()["locked"]) == (200, False)
        assert (await home.command("audio_pause")).status_code == 200


async def test_a_screen_nobody_touches_locks_as_soon_as_the_clinic_says(tmp_path: Path) -> None:
    async with served(tmp_path, lock_after_s=900.0) as home:
        await home.login()
        told = (await home.http.get("/api/me")).json()
        assert (told["lock_after_s"], told["expires_at"]) == (900.0, iso(START_S + 900))
        home.clock.at_s += 600
        assert (await home.http.post("/api/renew", headers={"X-CSRF": home.csrf})).json()["locked"] is False
        home.clock.at_s += 899
        assert (await home.http.get("/api/me")).json()["locked"] is False
        user = home.console.store.now(accounts.user_of, home.http.cookies["vigil_session"], home.clock())
        assert user is not None
        page = home.console.join(user)
        await home.console.end_sessions()
        home.clock.at_s += 1
        await home.console.end_sessions()
        assert page.cut_code is None, "what it shows and sounds goes on"
        assert (await home.http.get("/api/me")).json()["locked"] is True
        assert (await home.command("audio_pause")).status_code == 401


async def test_a_session_whose_time_is_up_ends_when_its_page_has_gone(tmp_path: Path) -> None:
    async with served(tmp_path) as home:
        await home.login()
        home.clock.at_s += 12 * 3600 - 1
        user = home.console.store.now(accounts.user_of, home.http.cookies["vigil_session"], home.clock())
        assert user is not None
        page = home.console.join(user)
        await home.console.end_sessions()
        home.console.leave(page)
        home.clock.at_s += 15 * 60 - 1
        assert (await home.http.get("/api/me")).json()["locked"] is True
        home.clock.at_s += 2
        assert (await home.http.get("/api/me")).status_code == 401


async def test_a_shift_lasts_as_long_on_a_fast_clock(tmp_path: Path) -> None:
    async with served(tmp_path, speed=60.0) as home:
        await home.login()
        home.clock.at_s += 60 * (12 * 3600 - 1)
        assert (await home.http.get("/api/me")).status_code == 200


async def test_wrong_passwords_run_out_and_right_ones_do_not(tmp_path: Path) -> None:
    async with served(tmp_path) as home:
        home.app.state.limiter = Limiter(burst=3, every_s=1e9)
        for _ in range(5):
            assert (await home.login()).status_code == 200
        tried = [(await home.login(("ann", "guess"))).status_code for _ in range(4)]
        assert tried == [401, 401, 401, 429]
        assert (await home.login()).status_code == 429, "also with the right one: the door is shut"
        assert (await home.login(TECHNICIAN)).status_code == 200, "for one name from one place"
        assert (await home.login(("nobody", "guess"))).json()["detail"] == "wrong name or password"


def test_guesses_come_back_with_time() -> None:
    limiter = Limiter(burst=2, every_s=6)
    assert [limiter.allow("a", at_s) for at_s in (0, 0, 0, 5.9, 6.1, 6.2)] == [True, True, False, False, True, False]


@pytest.mark.slow
def test_ensure_user_says_whether_it_changed_anything(tmp_path: Path) -> None:
    path = tmp_path / "console.db"
    assert accounts.ensure_user(path, "ann", "one", "nurse", START_S)
    assert not accounts.ensure_user(path, "ann", "one", "nurse", START_S)
    assert accounts.ensure_user(path, "ann", "two", "nurse", START_S)
    assert accounts.ensure_user(path, "ann", "two", "technician", START_S)
    with pytest.raises(ValueError, match="no role 'doctor'"):
        accounts.ensure_user(path, "ann", "two", "doctor", START_S)  # type: ignore[arg-type]


# --- the matrix -------------------------------------------------------------------------------------------------------

READS = ["/api/me", "/api/beds", f"/api/beds/{BED}/history", f"/api/beds/{BED}/events", "/api/devices"]


async def test_nobody_reads_without_a_login_and_both_roles_read_with_one(tmp_path: Path) -> None:
    async with served(tmp_path) as home:
        for path in READS:
            answer = await home.http.get(path)
            assert (answer.status_code, answer.json()["detail"]) == (401, "not logged in"), path
        for who in (NURSE, TECHNICIAN):
            await home.login(who)
            assert [(await home.http.get(path)).status_code for path in READS] == [200] * len(READS)


# who, Origin, Sec-Fetch-Site, X-CSRF -> what comes; "-": the header is not sent
MATRIX = [
    ("nurse", ORIGIN, "same-origin", "right", 200),
    ("nurse", ORIGIN, "-", "right", 200),
    ("nurse", "-", "-", "right", 200),
    ("nurse", "https://desk.clinic", "-", "right", 200),
    ("nurse", "https://desk.clinic", "cross-site", "right", 200),
    ("nurse", ORIGIN, "same-origin", "-", 403),
    ("nurse", ORIGIN, "same-origin", "wrong", 403),
    ("nurse", "http://evil.test", "-", "right", 403),
    ("nurse", "http://evil.test", "cross-site", "right", 403),
    ("nurse", "http://console.test.evil.test", "-", "right", 403),
    ("nurse", "http://[::1", "-", "right", 403),
    ("nurse", "http://console.test:81", "-", "right", 403),
    ("nurse", "null", "-", "right", 403),
    ("nurse", "", "-", "right", 403),
    ("nurse", "-", "cross-site", "right", 403),
    ("nurse", "-", "same-site", "right", 403),
    ("technician", ORIGIN, "same-origin", "right", 403),
    ("nobody", ORIGIN, "same-origin", "right", 401),
    ("nobody", "http://evil.test", "cross-site", "right", 403),
]


async def test_only_a_nurse_on_our_own_page_commands(tmp_path: Path) -> None:
    async with served(tmp_path, origins=("https://desk.clinic",)) as home:
        for who, origin, site, csrf, expected in MATRIX:
            home.http.cookies.clear()
            home.wire.sent.clear()
            if who != "nobody":
                await home.login(NURSE if who == "nurse" else TECHNICIAN)
            told = {"right": home.csrf or "x", "wrong": "x" * 32, "-": "-"}[csrf]
            answer = await home.command("audio_pause", headers={
                "Origin": origin, "X-CSRF": told, "Sec-Fetch-Site": site})
            row = (who, origin, site, csrf)
            assert answer.status_code == expected, (row, answer.text)
            assert len(home.wire.commands()) == (expected == 200), row


async def test_another_sites_page_cannot_log_anybody_in_or_out(tmp_path: Path) -> None:
    async with served(tmp_path) as home:
        await home.login()
        evil = {"Origin": "http://evil.test", "X-CSRF": home.csrf}
        login = await home.http.post("/api/login", json={"name": NURSE[0], "password": NURSE[1]}, headers=evil)
        assert (login.status_code, (await home.http.post("/api/logout", headers=evil)).status_code) == (403, 403)
        assert (await home.http.post("/api/logout")).status_code == 403, "without the token"
        assert (await home.http.get("/api/me")).status_code == 200


WHOLE: dict[str, dict[str, Any]] = {
    "check_in": {"moaas": 5}, "acknowledge": {"alarm": "a-1", "seq": 7}, "checklist": {"done": True},
    "start_session": {"weight_kg": 70, "dose_mg_kg": 0.5, "duration_min": 40, "concentration_mg_ml": 1},
    "give_dose": {"devices": 2}, "override_gate": {"gate": "escort", "reason": "the ward sends somebody"},
    "amend_order": {"prescriber": "Dr Hall", "reason": "no response yet", "dose_mg_kg": 0.75},
    "rebaseline": {"reason": "the cuff was too large"}, "attest": {"what": "escort", "so": True},
    "device_off": {"device": "oximeter", "minutes": 5, "reason": "to the toilet"},
    "drug_channel": {"device": "pump"}, "dissociation": {"begun": True, "reason": "she floats above the bed"},
    "comment": {"alarm": "a-1", "comment": "pale, and cold"},
    "maintain": {"device": "cuff", "minutes": 5, "reason": "a new hose"}, "maintenance_over": {"device": "cuff"},
    "delegate": {"to": "prescriber", "minutes": 10, "reason": "a second bed"},
    "device_back": {"device": "oximeter"}, "unshelve": {"shelf": "a-1"},
    "shelve": {"alarm": "a-1", "seq": 7, "minutes": 10, "reason": "the patient walks"},
    "move_session": {"to": "chair-2", "reason": "the chair broke"},
    "hold": {"reason": "she feels unwell"}, "set_limit": {"limit": "spo2_low", "value": 91, "reason": "lung disease"},
}


async def test_every_verb_by_every_role(tmp_path: Path) -> None:
    async with served(tmp_path) as home:
        boss = ("adam", "a long password")
        home.console.store.now(accounts.put_account, boss[0], accounts.hash_password(boss[1]), "administrator", START_S)
        for who, role in ((NURSE, "nurse"), (TECHNICIAN, "technician"), (boss, "administrator")):
            await home.login(who)
            for verb, asked in VERBS.items():
                answer = await home.command(verb, WHOLE.get(verb))
                assert answer.status_code == (200 if role in asked.roles else 403), (role, verb)
            for verb in ("start_pump", "set_rate", "", "ACKNOWLEDGE"):
                assert (await home.command(verb)).status_code == 422
        assert {command.verb for command, _ in home.wire.commands()} == set(VERBS) - {"set_limit"}, "a prescriber's"


# --- commands ---------------------------------------------------------------------------------------------------------


async def test_a_command_is_signed_short_lived_and_from_whoever_is_logged_in(tmp_path: Path) -> None:
    async with served(tmp_path, speed=60.0) as home:
        await home.login()
        for _ in range(2):
            answer = await home.command("acknowledge", {"alarm": "a-1", "seq": 7})
        assert answer.json() == {"ok": True, "reason": None, "state": None, "session": None}
        (one, raw), (two, _) = home.wire.commands()
        payloads = [payload for topic, payload in home.wire.sent if topic.endswith("/command")]
        verifier = Verifier(CONSOLE_KEY.verify_key, ConsoleFreshness("boot-1"))
        checked = [verifier.check(command_topic(EDGE), payload, 0.0) for payload in payloads]
        assert [type(each) for each in checked] == [Verified, Verified], "and the counter rises"
        assert list(raw)[-2:] == ["n", "sig"]
        assert (one.edge, one.console, one.user, one.role, one.bed, one.verb, one.args) == (
            EDGE, "main", "ann", "nurse", BED, "acknowledge", {"alarm": "a-1", "seq": 7})
        assert (one.issued, one.expires) == (iso(START_S), iso(START_S + 600)), "ten real seconds at sixty times"
        assert one.id != two.id
        assert one.nonce != two.nonce


REASONS = [
    ("moved_on", 409), ("already_acknowledged: by bob", 409), ("forbidden", 403), ("forged", 403), ("expired", 409),
    ("bad_args: weight_kg must be a number, not 'x'", 409), ("no_session: open a session on this bed first", 409),
    (None, 409),
]


@pytest.mark.parametrize(("reason", "expected"), REASONS)
async def test_a_refusal_reaches_the_nurse_with_its_reason(tmp_path: Path, reason: str | None, expected: int) -> None:
    async with served(tmp_path) as home:
        home.wire.reply = lambda command: Answer(id=command.id, ok=False, reason=reason, state={"seq": 8})
        await home.login()
        answer = await home.command("acknowledge", {"alarm": "a", "seq": 7})
        told = answer.json()
        assert answer.status_code == told["status"] == expected
        assert told.items() >= {"ok": False, "reason": reason or "refused", "session": None}.items()
        assert told["state"] == {"seq": 8}
        assert told["type"] == f"/problems/{(reason or 'refused').partition(':')[0]}"
        assert told["remedy"]


@pytest.mark.parametrize(("to", "expected"), [
    ("nurse", 200), ("prescriber", 200), (NURSE[0], 200), (TECHNICIAN[0], 409), ("0", 409)])
async def test_alarms_go_to_whoever_treats_patients_alone(tmp_path: Path, to: str, expected: int) -> None:
    async with served(tmp_path) as home:
        await home.login()
        answer = await home.command("delegate", {"to": to, "minutes": 10, "reason": "a second bed"})
        assert answer.status_code == expected, answer.text
        assert len(home.wire.commands()) == (expected == 200)
        assert expected == 200 or answer.json()["type"] == "/problems/unknown_person"


async def test_no_answer_no_broker_and_a_broken_one_are_told_apart(tmp_path: Path,
                                                                     monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge.console.command_client.ANSWER_S", 0.05)
    async with served(tmp_path) as home:
        await home.login()
        home.wire.reply = lambda command: Answer(id="another", ok=True, nonce="another")
        silent = await home.command("audio_pause")
        home.wire.breaks = True
        broke = await home.command("audio_pause")
        home.wire.up = False
        down = await home.command("audio_pause")
        assert [(a.status_code, a.json()["reason"]) for a in (silent, broke, down)] == [
            (504, "no_answer"), (504, "no_answer"), (503, "no_broker")]


async def test_an_answer_is_for_its_own_command(tmp_path: Path) -> None:
    async with served(tmp_path) as home:
        await home.login()
        asked: list[CommandIn] = []

        def reply(command: CommandIn) -> None:
            asked.append(command)
            if len(asked) == 2:  # both wait: the later one is answered first
                for each in reversed(asked):
                    answer = Answer(id=each.id, ok=False, reason=each.verb, nonce=each.nonce, boot="boot-1")
                    hear(home.console, ANSWER, encode(answer), False)

        home.wire.reply = reply
        both = await asyncio.gather(home.command("audio_pause"), home.command("audio_resume"))
        assert [each.json()["reason"] for each in both] == ["audio_pause", "audio_resume"]


ORDER = WHOLE["start_session"]
CANARY = "Zebulon Quux-Ötzi"


async def test_a_patients_name_stays_in_the_store_and_comes_back_with_the_state(tmp_path: Path) -> None:
    async with served(tmp_path) as home:
        await home.login()
        answer = await home.command("start_session", {"patient": f" {CANARY} ", **ORDER, "session": "mine"})
        session = answer.json()["session"]
        [(command, _)] = home.wire.commands()
        assert command.args == {**ORDER, "session": session}
        assert len(session) == 32, "the server's own, whatever the page says"
        hear(home.console, STATE, state(START_S + 1, seq=2, session=session), False)
        [bed] = (await home.http.get("/api/beds")).json()
        assert (bed["state"]["patient"], bed["state"]["live"]) == (CANARY, True)
        assert home.console.store.now(patients.names) == {session: CANARY}
        everything = [payload for _, payload in home.wire.sent] + [
            json.dumps(home.console.store.now(audit.lines), ensure_ascii=False).encode(),
            (await home.http.get("/metrics")).content, (await home.http.get("/healthz")).content]
        assert not [each for each in everything if CANARY.split()[0].encode() in each]


async def test_the_name_of_a_session_that_was_refused_is_forgotten_and_one_unanswered_is_kept(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge.console.command_client.ANSWER_S", 0.05)
    async with served(tmp_path) as home:
        await home.login()
        home.wire.reply = lambda command: Answer(id=command.id, ok=False, reason="session_open: close it first")
        await home.command("start_session", {"patient": CANARY, **ORDER})
        assert (home.console.store.now(patients.names), home.console.patients) == ({}, {})
        home.wire.reply = lambda command: None
        assert (await home.command("start_session", {"patient": CANARY, **ORDER})).status_code == 504
        assert list(home.console.store.now(patients.names).values()) == [CANARY], "the session may well be open"


# --- reading ----------------------------------------------------------------------------------------------------------

async def test_every_answer_wears_its_headers(tmp_path: Path) -> None:
    async with served(tmp_path) as home:
        for path in ("/", "/login", f"/bed/{BED}", "/devices", "/api/me", "/healthz", "/nowhere", "/openapi.json"):
            answer = await home.http.get(path)
            assert {name: answer.headers[name] for name in HEADERS} == HEADERS, path
            assert "cache-control" in answer.headers
        assert "unsafe" not in HEADERS["Content-Security-Policy"]


def test_no_part_of_an_answer_waits_for_the_acknowledgement_of_the_one_before() -> None:
    with listening_at("127.0.0.1") as listener, socket.create_connection(listener.getsockname()):
        taken, _ = listener.accept()
        with taken:
            assert taken.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


async def test_a_trend_an_event_list_and_the_devices_are_what_was_heard(tmp_path: Path) -> None:
    async with served(tmp_path) as home:
        await home.login()
        for at in (0, 1, 40):
            hear(home.console, STATUS, status(START_S + at))
            hear(home.console, VITALS, vitals(START_S + at, spo2_pct=90 + at, bed=BED,
                                              sbp_mmhg=numeric(120, START_S)))
        hear(home.console, event_topic(EDGE), Journal().fill(3).payload(1, 3), False)
        await home.console.edges[EDGE].store_batch()
        await home.console.edges[EDGE].store_history()
        home.clock.at_s += 60
        trend = (await home.http.get(f"/api/beds/{BED}/history?minutes=120&metrics=spo2_pct")).json()
        assert trend["metrics"] == {"spo2_pct": [97, 91, None, 130]}
        assert [each["sbp_mmhg"] for each in trend["determinations"]] == [120]
        recent = (await home.http.get(f"/api/beds/{BED}/history?minutes=1&metrics=spo2_pct")).json()
        assert recent["metrics"]["spo2_pct"][-1] == 130
        listed = (await home.http.get(f"/api/beds/{BED}/events?limit=2&before=3")).json()
        assert [each["seq"] for each in listed] == [2, 1]
        rows = (await home.http.get("/api/devices")).json()
        assert (rows["edge"]["ok"], rows["edge"]["status"]["boot"]) == (True, "boot-1")
        assert [(bed["bed"], bed["live"], bed["devices"][0]["identity"]) for bed in rows["beds"]] == [
            (BED, True, "8002-51740")]


async def test_health_and_metrics_say_when_nothing_can_be_stored(tmp_path: Path) -> None:
    async with served(tmp_path) as home:
        well = await home.http.get("/healthz")
        assert (well.status_code, set(well.json()["hops"])) == (200, {"broker", "edge", "record", "console", "sound"})
        home.console.store.now(lambda connection: connection.exec_driver_sql("PRAGMA query_only=ON"))
        assert (await home.login()).status_code == 200, "nobody is locked out meanwhile (test_console_access.py)"
        assert (await home.http.get("/healthz")).status_code == 503
        text = (await home.http.get("/metrics")).text
        assert 'vigil_console_hop_ok{hop="console"} 0.0' in text
        assert 'vigil_console_hop_ok{hop="edge"} 1.0' in text


async def test_the_page_is_served_at_every_address_and_its_absence_is_explained(tmp_path: Path) -> None:
    app, static = FastAPI(), tmp_path / "static"
    pages.add_pages(app, static)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url=ORIGIN) as http:
        missing = await http.get("/")
        assert (missing.status_code, "build_page.py" in missing.text) == (503, True)
        assert (await http.get("/assets/a-1.js")).status_code == 404
        (static / "assets").mkdir(parents=True)
        (static / "index.html").write_text("<!doctype html>")
        (static / "assets" / "a-1.js").write_text("1")
        for path in ("/", "/login", "/devices", f"/bed/{BED}"):
            page = await http.get(path)
            assert (page.status_code, page.headers["cache-control"]) == (200, "no-cache"), path
        assert "immutable" in (await http.get("/assets/a-1.js")).headers["cache-control"]


async def test_the_openapi_names_every_route_with_its_shape(tmp_path: Path) -> None:
    async with served(tmp_path) as home:
        told = (await home.http.get("/openapi.json")).json()
        assert set(told["paths"]) == {
            "/api/login", "/api/logout", "/api/me", "/api/beds", "/api/beds/{bed}/history", "/api/beds/{bed}/events",
            "/api/devices", "/api/beds/{bed}/commands", "/healthz", "/metrics", "/api/renew", "/api/unlock",
            "/api/edges/{edge}/box", "/api/accounts", "/api/audit",
            *(f"/api/accounts/{what}" for what in ("add", "disable", "password")),
            *(f"/api/edges/{{edge}}/beds/{{bed}}/{what}" for what in ("history", "events", "commands"))}
        schema = told["paths"][COMMANDS.replace(BED, "{bed}")]["post"]["responses"]["409"]
        assert schema["content"]["application/problem+json"]["schema"]["$ref"].endswith("CommandRefused")


async def test_what_is_entered_for_one_patient_does_not_reach_the_next(tmp_path: Path) -> None:
    """A page that was cut off may not know yet that another session is open at its bed."""
    async with served(tmp_path) as home:
        async def commented(session: object) -> httpx.Response:
            said = {"verb": "comment", "args": {"alarm": "none", "comment": "calm"}, "session": session}
            return await home.http.post(COMMANDS, json=said, headers={"X-CSRF": home.csrf, "Origin": ORIGIN})

        await home.login()
        assert (await commented("s-1")).status_code == 200, "none is open: the edge decides"
        hear(home.console, STATE, state(START_S + 1, seq=2, session="s-2"))
        refused = await commented("s-1")
        assert (refused.status_code, refused.json()["type"]) == (409, "/problems/other_session")
        assert "another session is open at this bed now" in refused.json()["detail"]
        assert len(home.wire.commands()) == 1, "it is not sent"
        assert [(await commented(seen)).status_code for seen in ("s-2", None, 7)] == [200, 200, 422]
        await home.login(TECHNICIAN)
        assert (await commented("2026-11-30T10:00:00.000Z")).status_code == 200, "who is told of no session's id"
