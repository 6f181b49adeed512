"""What the console's OpenAPI says beyond FastAPI's own: problem documents, and the arguments of each command."""

from __future__ import annotations

from typing import Any

import msgspec
from fastapi import FastAPI, Response
from fastapi.openapi.utils import get_openapi

from edge.contract.commands import MAX_PATIENT_NAME, VERBS, arguments
from edge.contract.problems import KINDS, MEDIA_TYPE, Problem
from edge.contract.seen import WITH_SOMETHING

Json = dict[str, Any]
REF = "#/components/schemas/{name}"
REFUSED_COMMAND = frozenset({403, 404, 409, 422, 503, 504})  # of a command: also what the edge said


def problems(*codes: int) -> dict[int | str, Json]:
    """The `responses` of a route that may be answered with these problems."""
    return {code: {
        "description": "; ".join(kind.title for kind in KINDS.values() if kind.status == code) or "Problem",
        "content": {MEDIA_TYPE: {"schema": {"$ref": REF.format(name="Problem")}}}} for code in codes}


def _asked(verb: str) -> Json:
    """A command's body: its verb, and the arguments that verb takes; they may be left out where none is needed."""
    needed = verb == "check_in" or any(not each.optional and each.by == "person" for each in arguments(verb))
    return {"type": "object", "additionalProperties": False, "required": ["verb", "args"] if needed else ["verb"],
            "properties": {
                "verb": {"const": verb}, "args": {"$ref": REF.format(name=VERBS[verb].__name__)},
                "session": {"type": ["string", "null"], "maxLength": 64, "description": "The one that was seen at the"
                            " bed; where another one is open there by now, nothing is sent."}}}


def _require_a_value(check_in: Json) -> None:
    """A check-in holds at least one score, symptom (there or gone) or note."""
    some: dict[str, Json] = {"note": {"type": "string", "pattern": r"\S"}, "symptoms": {"type": "array", "minItems": 1},
                            "gone": {"type": "array", "minItems": 1}}
    check_in["anyOf"] = [{"required": [name], "properties": {name: some.get(name, {"type": "integer"})}}
                         for name in check_in["properties"]]


COMMAND_BODY: Json = {"requestBody": {"required": True, "content": {"application/json": {
    "schema": {"oneOf": [_asked(verb) for verb in VERBS]}}}}}


def _components() -> Json:
    _, schemas = msgspec.json.schema_components([Problem, *VERBS.values()], ref_template=REF)
    for struct in VERBS.values():
        schemas[struct.__name__]["additionalProperties"] = False
        for argument in schemas[struct.__name__]["properties"].values():
            if "pattern" in argument:  # Python's way to say that no line end may follow
                argument["pattern"] = argument["pattern"].replace("(?!\\n)$", "$")
    for verb, name in ("comment", "comment"), ("delegate", "to"):  # kept without what cannot be seen
        schemas[VERBS[verb].__name__]["properties"][name]["pattern"] = WITH_SOMETHING
    _require_a_value(schemas[VERBS["check_in"].__name__])
    amended = schemas[VERBS["amend_order"].__name__]
    amended["anyOf"] = [{"required": [name], "properties": {name: {"type": "number"}}}
                        for name in amended["properties"] if name not in amended["required"]]
    start = schemas[VERBS["start_session"].__name__]
    start["properties"].pop("session")  # the console gives it
    start["required"] = []
    needed = [each for each in arguments("start_session") if each.unless]
    start["anyOf"] = [{"required": [each.name for each in needed],
                       "properties": {each.name: {"type": "number"} for each in needed}},
                      *({"required": [name], "properties": {name: {"type": "number"}}}
                        for name in dict.fromkeys(each.unless for each in needed))]
    start["properties"]["patient"] = {
        "anyOf": [{"type": "string", "maxLength": MAX_PATIENT_NAME}, {"type": "null"}], "default": None,
        "title": "Patient", "description": "A name or initials; it stays in this console."}
    refused = {"ok": {"const": False}, "reason": {"type": "string"}, "session": {"type": "null"},
               "state": {"anyOf": [{"type": "object"}, {"type": "null"}]}}
    schemas["CommandRefused"] = {
        "title": "CommandRefused", "description": "A problem, and what the edge said.",
        "anyOf": [{"$ref": REF.format(name="Problem")}, {
            "allOf": [{"$ref": REF.format(name="Problem")}, {"type": "object", "properties": refused}]}]}
    return dict(schemas)


def add_openapi(app: FastAPI) -> None:
    """The document of `app`, made once, with what FastAPI cannot know of our own types."""

    written_once: list[bytes] = []

    def document() -> Json:
        if app.openapi_schema is None:
            told = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
            told["components"]["schemas"] |= _components()
            _refused_commands(told)
            app.openapi_schema = told
        return app.openapi_schema

    app.openapi = document  # type: ignore[method-assign]

    @app.get("/openapi.json", include_in_schema=False)
    async def written() -> Response:
        """The document, written once: whoever asks for it again and again keeps no alarm waiting."""
        if not written_once:
            written_once.append(msgspec.json.encode(document()))
        return Response(written_once[0], media_type="application/json")


def _refused_commands(told: Json) -> None:
    for path, methods in told["paths"].items():
        if path.endswith("/commands"):
            for code, answer in methods["post"]["responses"].items():
                if code.isdigit() and int(code) in REFUSED_COMMAND:
                    answer["content"] = {MEDIA_TYPE: {"schema": {"$ref": REF.format(name="CommandRefused")}}}
