"""Every error over HTTP is a problem document (RFC 9457): what is wrong, where, and what to do instead."""

from __future__ import annotations

from typing import Any

import msgspec
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from edge.console.store import StoreBroken
from edge.contract.problems import MEDIA_TYPE, Problem, problem

OF_STATUS = {400: "not_json", 404: "not_found", 405: "method_not_allowed", 413: "too_large"}
WORDS = {"not_json": "the body is not text in UTF-8", "not_found": "no such address",
         "method_not_allowed": "this address does not take that method"}
PLAIN = {  # pydantic's own words where a person needs others
    "extra_forbidden": "there is no such field", "model_attributes_type": "it must be a JSON object",
    "int_parsing": "it must be a whole number", "union_tag_not_found": "its verb is missing",
    "string_pattern_mismatch": "it has characters that may not stand there",
}


class Refused(Exception):
    """A request that is answered with this problem."""

    def __init__(self, kind: str, detail: str = "", *, where: str = "", remedy: str = "",
                 headers: dict[str, str] | None = None) -> None:
        super().__init__(detail or kind)
        self.problem = problem(kind, detail, where=where, remedy=remedy)
        self.headers = headers


def response(of: Problem, request: Request, headers: Any = None) -> Response:
    """The problem as an answer to `request`."""
    told = msgspec.structs.replace(of, instance=request.url.path)
    return Response(msgspec.json.encode(told), told.status, headers, MEDIA_TYPE)


def add_handlers(app: FastAPI) -> None:
    """Every failure of `app`, ours or the framework's, is answered with a problem."""

    @app.exception_handler(Refused)
    async def refused(request: Request, error: Refused) -> Response:
        return response(error.problem, request, error.headers)

    @app.exception_handler(RequestValidationError)
    async def not_valid(request: Request, error: RequestValidationError) -> Response:
        first = error.errors()[0]
        if first["type"] == "json_invalid":
            at = first["loc"][-1] + 1
            return response(problem("not_json", f"the body is not JSON (at character {at})", where="body"), request)
        where = ".".join(str(part) for part in first["loc"] if part != "body") or "body"
        words = PLAIN.get(first["type"], first["msg"])
        return response(problem("bad_request", f"{where}: {words}", where=where), request)

    @app.exception_handler(HTTPException)
    async def by_status(request: Request, error: HTTPException) -> Response:
        kind = OF_STATUS.get(error.status_code, "bad_request" if error.status_code < 500 else "internal")
        detail = WORDS.get(kind, str(error.detail))
        of = msgspec.structs.replace(problem(kind, detail), status=error.status_code)
        return response(of, request, error.headers)

    @app.exception_handler(500)
    async def own_fault(request: Request, _: Exception) -> Response:
        return response(problem("internal"), request)  # what it was goes on into the log

    @app.exception_handler(StoreBroken)
    async def broken(request: Request, _: StoreBroken) -> Response:
        return response(problem("store_broken", "the console's store does not work now"), request)
