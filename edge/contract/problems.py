"""Problem documents: what went wrong with a request, and what to do instead (RFC 9457, with `remedy` and `where`).

A problem has a kind, one of `KINDS`; its `type` is an address that never changes and that a program compares. `detail`
says what happened this time in one line; `remedy` what to do about it; `where` the argument, field or header meant.
A command that the edge refused is one too: the code before the colon of its reason is the kind (`of_reason`).
"""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from edge.contract.commands import MAX_PATIENT_NAME

MEDIA_TYPE = "application/problem+json"
ROOT = "/problems/"


class Problem(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One problem document, as it goes over HTTP. A member that says nothing is left out."""

    type: str
    title: str
    status: int
    detail: str
    remedy: str
    where: str = ""
    instance: str = ""


@dataclass(frozen=True, slots=True)
class ProblemKind:
    """What every problem of one kind has in common."""

    status: int
    title: str
    remedy: str


_RELOAD = "Reload the page and look again."
KINDS: dict[str, ProblemKind] = {
    # who asks
    "not_logged_in": ProblemKind(401, "Nobody is logged in", "Log in, then ask again."),
    "wrong_password": ProblemKind(401, "Wrong name or password", "Check both; an administrator can set a new one."),
    "no_accounts": ProblemKind(
        503, "This console has no accounts", "Watch at the devices; the technician makes them anew, as the console's"
        " user: vigil user --config console.toml NAME --role ROLE."),
    "locked": ProblemKind(401, "The screen is locked", "Enter your password to unlock it."),
    "too_many_attempts": ProblemKind(429, "Too many wrong passwords", "Wait a minute, then try again."),
    "too_many_reads": ProblemKind(
        429, "This account asks for too much at once", "Wait for what was asked before, then ask again."),
    "too_many_commands": ProblemKind(
        429, "This account asks faster than people do", "Wait two seconds, then ask again."),
    "forbidden": ProblemKind(403, "Your role may not do this", "Ask somebody whose role may."),
    "foreign_page": ProblemKind(403, "The request does not come from this console's page", "Use that page."),
    "no_token": ProblemKind(403, "The X-CSRF header is missing or wrong", "GET /api/me tells what to send."),
    # accounts
    "account_exists": ProblemKind(409, "There is an account of that name", "Write another name."),
    "account_disabled": ProblemKind(409, "The account is disabled already", "A new password enables it."),
    "last_administrator": ProblemKind(409, "Somebody must manage accounts", "Make another administrator first."),
    "no_such_account": ProblemKind(404, "No such account", "GET /api/accounts lists them."),
    # what is asked
    "not_found": ProblemKind(404, "No such address", "See /openapi.json for the addresses there are."),
    "no_such_bed": ProblemKind(404, "No such bed", "GET /api/beds lists the beds."),
    "ambiguous_bed": ProblemKind(
        409, "Several edges have a bed of that name", "Write /api/edges/EDGE/beds/BED/... instead."),
    "no_such_edge": ProblemKind(404, "No such edge", "GET /api/devices lists the edges."),
    "method_not_allowed": ProblemKind(
        405, "This address does not take that method", "See /openapi.json for those it takes."),
    "too_large": ProblemKind(413, "The request is too large", "Send less."),
    "not_json": ProblemKind(422, "The body is not JSON", "Send a JSON object."),
    "bad_request": ProblemKind(
        422, "The request is not of the shape it must have",
        "Correct what is named; /openapi.json says how it is written."),
    # a command, refused before it was sent
    "unknown_verb": ProblemKind(422, "No such command", "See /openapi.json for the commands there are."),
    "bad_args": ProblemKind(422, "The command cannot be meant", "Correct what is named, then ask again."),
    "bad_patient_name": ProblemKind(
        422, "The patient's name cannot be kept", f"Write a name of at most {MAX_PATIENT_NAME} characters."),
    "store_broken": ProblemKind(503, "The console's store does not work", "Free or mend its disk; it heals by itself."),
    "no_broker": ProblemKind(503, "The broker is not reached", "See the status line; it reconnects by itself."),
    "not_sent": ProblemKind(503, "Too much is asked at once", "Nothing was done. Wait a little, then ask again."),
    "no_answer": ProblemKind(504, "The edge did not answer", "Look whether it was done before you ask again."),
    # a command, refused by the edge: well formed, and not to be done as things stand (RFC 9110, 15.5.10)
    "moved_on": ProblemKind(409, "It has changed since you saw it", "Look at the bed again, then ask again."),
    "other_session": ProblemKind(409, "Another session is open at this bed", "Look who is there, then enter it anew."),
    "already_acknowledged": ProblemKind(409, "Somebody has acknowledged it already", "Nothing more to do."),
    "already_shelved": ProblemKind(409, "Somebody has shelved it already", "Nothing more to do."),
    "not_technical": ProblemKind(409, "Only an alarm of the equipment can be shelved", "Acknowledge it instead."),
    "too_urgent": ProblemKind(409, "An alarm of high priority cannot be shelved", "Acknowledge it instead."),
    "forged": ProblemKind(403, "The edge does not know this console's signature", "Name its key in edge.toml."),
    "wrong_edge": ProblemKind(409, "The command was meant for another edge", _RELOAD),
    "unknown_person": ProblemKind(409, "No such person treats patients here", "Write one who does, or a role."),
    "unknown_bed": ProblemKind(409, "The edge has no such bed", _RELOAD),
    "expired": ProblemKind(409, "The command came too late", "Look at the bed again, then ask again."),
    "not_yet": ProblemKind(409, "The command is dated in the future", "Set the clocks; see the status line."),
    "replayed": ProblemKind(409, "The command was done once already", _RELOAD),
    "bad_shape": ProblemKind(409, "The edge could not read the command", "Use console and edge of one version."),
    "no_session": ProblemKind(409, "No session is open on this bed", "Open a session first."),
    "session_open": ProblemKind(409, "A session is open on this bed", "Close it first."),
    "session_closed": ProblemKind(409, "This session is over", "Open a new one."),
    "reason_needed": ProblemKind(409, "A reason is needed", "Enter a reason, then ask again."),
    "not_allowed": ProblemKind(403, "Your role may not override this", "Ask whoever is named."),
    "alarm_stands": ProblemKind(409, "An alarm of high priority stands", "Say whose it is, and what was done."),
    "beyond_order": ProblemKind(409, "That is more than was ordered", "Amend the order first."),
    "too_soon": ProblemKind(409, "Too soon after the last one", "Wait for as long as is said."),
    "not_offered": ProblemKind(409, "This pump is not stopped from here", "Stop it at the pump."),
    "second_person": ProblemKind(409, "It takes two people", "Ask a colleague to arm it under their own name."),
    "not_now": ProblemKind(409, "Not in this phase", "Do first what is named."),
    "refused": ProblemKind(409, "The edge refused the command", _RELOAD),
    # simulated devices
    "hand_refused": ProblemKind(409, "The device cannot do that now", "Look at the device's display, then try again."),
    "simulators_silent": ProblemKind(503, "The simulators do not answer", "Wait; `vigil demo` starts them again."),
    # our own
    "internal": ProblemKind(500, "The console has an error of its own", "Tell the administrator; its log names it."),
}


def problem(kind: str, detail: str = "", *, where: str = "", instance: str = "", remedy: str = "",
            status: int | None = None) -> Problem:
    """A problem of `kind`, with the kind's words where none are given. Raises KeyError for a kind that is none."""
    of = KINDS[kind]
    return Problem(type=ROOT + kind, title=of.title, status=status or of.status, detail=detail or of.title,
                   remedy=remedy or of.remedy, where=where, instance=instance)


def kind_of_reason(reason: str) -> str:
    """The kind a refusal's reason names by the code before its colon; "refused" where that is none."""
    code = reason.partition(":")[0]
    return code if code in KINDS else "refused"


def of_reason(reason: str, *, instance: str = "") -> Problem:
    """A refused command as a problem: `moved_on`, `not_now: the pump is still infusing; stop it at the pump first`."""
    kind, detail = kind_of_reason(reason), reason.partition(":")[2].strip()
    return problem(kind, detail, instance=instance)
