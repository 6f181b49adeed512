"""Problem documents: every refusal has a kind, a status and a remedy; what is left out is absent."""

from __future__ import annotations

import json
import re
from http import HTTPStatus
from pathlib import Path

import msgspec
import pytest

from edge.contract.problems import KINDS, kind_of_reason, of_reason, problem

ROOT = Path(__file__).parent.parent


def test_a_problem_says_what_and_what_to_do_and_leaves_out_what_it_has_not() -> None:
    told = json.loads(msgspec.json.encode(problem("no_such_bed", "no bed chair-9", where="bed")))
    assert told == {"type": "/problems/no_such_bed", "title": "No such bed", "status": 404, "detail": "no bed chair-9",
                    "remedy": "GET /api/beds lists the beds.", "where": "bed"}


@pytest.mark.parametrize(("reason", "kind", "status", "detail"), [
    ("moved_on", "moved_on", 409, "It has changed since you saw it"),
    ("already_acknowledged: by bob", "already_acknowledged", 409, "by bob"),
    ("not_now: the pump is still infusing; stop it at the pump first", "not_now", 409,
     "the pump is still infusing; stop it at the pump first"),
    ("bad_args: weight_kg must be a number, not 'x'", "bad_args", 422, "weight_kg must be a number, not 'x'"),
    ("weather: bad", "refused", 409, "bad"), ("", "refused", 409, "The edge refused the command"),
])
def test_a_refused_command_is_a_problem_of_the_kind_its_reason_names(reason: str, kind: str, status: int,
                                                                     detail: str) -> None:
    told = of_reason(reason)
    assert (told.type, told.status, told.detail) == (f"/problems/{kind}", status, detail)
    assert told.remedy


def test_every_kind_has_a_status_http_knows_and_words() -> None:
    for name, kind in KINDS.items():
        assert re.fullmatch(r"[a-z_]+", name)
        assert HTTPStatus(kind.status) and kind.title and kind.remedy.endswith(".")


CODES = {  # where the edge refuses, and how it writes that there
    "edge/core/commands.py": r'Refused\(f?"(\w+)', "edge/contract/commands.py": r'BadCommand\(\s*"(\w+)',
    "edge/stream/verifier.py": r'(?:return|_refusal\(raw,|Refusal\("", "",) f?"(\w+)',
    "edge/app/service.py": r'ok=False, reason=f?"(\w+)',
}


@pytest.mark.parametrize("source", CODES)
def test_every_code_the_edge_refuses_with_is_a_kind(source: str) -> None:
    codes = set(re.findall(CODES[source], (ROOT / source).read_text()))
    assert codes, "it refuses in another way now: mend the pattern"
    assert {code for code in codes if kind_of_reason(code) == "refused"} == set()
