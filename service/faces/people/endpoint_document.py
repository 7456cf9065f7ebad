"""GET /endpoints/NAME: what an endpoint takes and gives, for people and for programs that write clients."""

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote

import orjson
from fastapi import FastAPI, Request, Response

from service.faces.people.experiment_schemas import answers
from service.faces.people.pages import Served
from service.faces.people.schemas import answer_content, request_example, request_schema, request_types
from service.faces.people.shown import json_answer
from service.http.request_ids import request_ids
from service.invoke.catalogue import EndpointCard, Manual
from service.media.types import JSON

_TEXT: Final = {"type": "string"}
_COLUMN: Final = {
    "type": "object",
    "properties": {
        "name": _TEXT,
        "type": {"type": "string", "enum": ["number", "text"]},
        "words": {"type": "array", "items": _TEXT, "description": "The only texts that it may hold, if any"},
        "gaps": {"type": "boolean", "description": "Whether a value may be missing"},
    },
    "required": ["name", "type", "words", "gaps"],
}
_VARIANT: Final = {
    "type": "object",
    "properties": {
        "name": _TEXT,
        "model": _TEXT,
        "weight": {"type": "number"},
        "share": {"type": "number"},
    },
    "required": ["name", "model", "weight", "share"],
}
_SIDE: Final = {"content_types": {"type": "array", "items": _TEXT}, "schema": {"type": "object"}}
DESCRIPTION: Final = {
    "type": "object",
    "properties": {
        "name": _TEXT,
        "status": _TEXT,
        "default": {"type": "boolean"},
        "invocations": {"type": "string", "description": "Where it is asked, by POST"},
        "variants": {"type": "array", "items": _VARIANT},
        "models": {"type": "array", "items": _TEXT, "description": "Target models, if callers name one"},
        "input": {
            "type": "object",
            "properties": {
                "columns": {"type": "array", "items": _COLUMN},
                **_SIDE,
                "examples": {"type": "object", "additionalProperties": _TEXT},
            },
            "required": ["columns", "content_types", "schema", "examples"],
        },
        "output": {
            "type": "object",
            "properties": {"classes": {"type": "array", "items": {}}, **_SIDE},
            "required": ["classes", "content_types", "schema"],
        },
    },
    "required": ["name", "status", "default", "invocations", "variants", "models", "input", "output"],
}
"""The schema of the document."""
_NAME: Final = {"name": "name", "in": "path", "required": True, "schema": _TEXT}
_OPENAPI: Final[Mapping[str, Any]] = {
    "parameters": [_NAME],
    "responses": answers(DESCRIPTION, "The endpoint", own=[404]),
}


def add_endpoint_document(app: FastAPI, served: Served) -> None:
    """Add the route."""
    new_id = request_ids()

    @app.get(
        "/endpoints/{name}",
        tags=["predictions"],
        summary="What an endpoint takes and gives: columns, classes, examples that work",
        operation_id="describe_endpoint",
        openapi_extra={**_OPENAPI},
    )
    def describe(request: Request) -> Response:
        name = request.path_params["name"]
        card = served.endpoint(name)
        if card is None:
            answer = json_answer({"message": f"There is no endpoint {name}."})
            answer.status_code = 404
        else:
            answer = json_answer(describe_endpoint(card, served.manual(name)))
        answer.headers["x-amzn-RequestId"] = new_id()
        return answer


def describe_endpoint(card: EndpointCard, manual: Manual) -> dict[str, Any]:
    """The document."""
    interface, types, answers = manual.interface, request_types(manual), answer_content(manual)
    columns = () if interface is None else interface.columns
    examples = {each: request_example(each, manual) for each in types}
    return {
        "name": card.name,
        "status": card.status,
        "default": card.default,
        "invocations": f"/endpoints/{quote(card.name, safe='')}/invocations",
        "variants": [
            {"name": each.name, "model": each.model, "weight": each.weight, "share": each.share}
            for each in card.variants
            if not each.pending
        ],
        "models": list(card.models),
        "input": {
            "columns": [
                {
                    "name": each.name,
                    "type": "text" if each.text else "number",
                    "words": list(each.words),
                    "gaps": each.gaps,
                }
                for each in columns
            ],
            "content_types": types,
            "schema": request_schema(JSON, manual),
            "examples": {
                name: body if isinstance(body, str) else orjson.dumps(body).decode()
                for name, body in examples.items()
                if body is not None
            },
        },
        "output": {
            "classes": [] if interface is None else list(interface.labels),
            "content_types": list(answers),
            "schema": answers[JSON]["schema"] if JSON in answers else {},
        },
    }
