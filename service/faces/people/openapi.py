"""The OpenAPI document: FastAPI's own routes, and a path per endpoint with schemas and examples that work."""

import re
from collections.abc import Callable, Sequence
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from service.faces.people.experiment_schemas import EXPERIMENT_SCHEMAS
from service.faces.people.models_api import SCHEMAS, describe_models_api
from service.faces.people.schemas import (
    BUILT_IN,
    answer_content,
    request_example,
    request_schema,
    request_types,
)
from service.invoke.catalogue import EndpointCard, Manual
from service.settings import COOKIE, USER_HEADER

_TEXT = {"type": "string"}


def _text(description: str) -> dict[str, Any]:
    return {"type": "string", "description": description}


def _error(members: dict[str, Any], required: list[str]) -> dict[str, Any]:
    return {"type": "object", "properties": members, "required": required}


_MESSAGE = _text("What is wrong, in a sentence")
_ERRORS = {
    "Error": _error(
        {"Message": _MESSAGE, "ErrorCode": _text("Which rule is broken, where AWS names it")}, ["Message"]
    ),
    "ModelError": _error(
        {
            "Message": _MESSAGE,
            "OriginalMessage": _text("What the model's container answered"),
            "OriginalStatusCode": {
                "type": "integer",
                "description": "The container's status; 0: no answer in time",
            },
            "LogStreamArn": _text("Where AWS would keep the container's log"),
            "ErrorCode": _text("Which rule is broken, where AWS names it"),
        },
        ["Message", "OriginalMessage", "OriginalStatusCode"],
    ),
}
# Status -> what it means and which schema its body has, None for a text: docs/reference/errors.md has all.
# 413 is told in words: it alone is a text here, and beside it no typed client could read the others' Message.
_RUNTIME_ERRORS: dict[str, tuple[str, str | None]] = {
    "400": ("ValidationError: the request does not fit the endpoint", "Error"),
    "401": ("Keys are asked for, and there is none, or no good one: the name says which", "Error"),
    "403": (
        "AccessDeniedException: a host or a web page that may not ask, a key that does not allow it",
        "Error",
    ),
    "415": ("UnsupportedMediaTypeException: the Content-Encoding is not read", "Error"),
    "424": (
        "ModelError: the model refused the request or failed; OriginalStatusCode says which",
        "ModelError",
    ),
    "429": (
        "ThrottlingException: more requests than a rate allows; ModelNotReadyException: the target model is "
        "still loading",
        "Error",
    ),
    "500": ("InternalFailure: a bug; the log has it under the request id", "Error"),
    "503": ("ServiceUnavailable: too many calls are waiting", "Error"),
}
_CONTAINER_ERRORS: dict[str, tuple[str, str | None]] = {
    "400": ("The request does not fit the endpoint, or the model refuses its body", None),
    "403": ("A host or a web page that may not ask", None),
    "404": ("There is no such target model", None),
    "406": ("The model writes nothing that Accept names", None),
    "413": ("The body is over the limit", None),
    "415": ("The model does not read this Content-Type, or the Content-Encoding is not read", None),
    "429": ("The target model is still loading", None),
    "500": ("The model failed", None),
    "503": ("Too many calls are waiting", None),
    "504": ("The model gave no answer in time", None),
}


_OUTCOMES_BY = "by which outcomes are reported of the prediction"


def describe_api(
    app: FastAPI,
    cards: list[EndpointCard],
    manual_of: Callable[[str], Manual],
    user_header: str = USER_HEADER,
) -> dict[str, Any]:
    """The document for what is served at this moment; `user_header` is what SAGEBIRD_USER_HEADER names.

    How traffic is shared out is not in it: clients are made of it, and stay as they are when that changes.
    """
    document = get_openapi(
        title=app.title,
        version=app.version,
        routes=app.routes,
        description="Predictions by your models, as SageMaker's runtime API answers them.",
    )
    paths: dict[str, Any] = {}
    ids = _operation_ids([card.name for card in cards])
    for card in cards:
        invoke = {"operationId": ids[card.name], **_invoke(card, manual_of(card.name), user_header)}
        paths[f"/endpoints/{card.name}/invocations"] = {"post": invoke}
        if card.default:
            paths["/invocations"] = {"post": _by_contract(card, invoke)}
    own = document.get("paths", {})
    describe_models_api(own)
    document["paths"] = {**paths, **own}
    document["components"] = {"schemas": {**_ERRORS, **SCHEMAS, **EXPERIMENT_SCHEMAS}}
    return document


def _operation_ids(names: Sequence[str]) -> dict[str, str]:
    """What the operation of each endpoint is called: `bird-strike` has invoke_bird_strike.

    Names that come to the same are numbered, behind the one that is written so.
    """
    found: dict[str, list[str]] = {}
    for name in names:
        parts = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()
        found.setdefault(re.sub(r"[^a-z0-9]+", "_", parts).strip("_"), []).append(name)
    return {
        name: f"invoke_{snake}" if number == 1 else f"invoke_{snake}_no{number}"
        for snake, alike in found.items()
        for number, name in enumerate(
            sorted(alike, key=lambda name: (name != snake.replace("_", "-"), name)), 1
        )
    }


def _invoke(card: EndpointCard, manual: Manual, user_header: str) -> dict[str, Any]:
    return {
        "tags": ["predictions"],
        "summary": f"Predict with {card.name}",
        "description": "A body over the limit is answered by 413 and a sentence as text/plain.",
        "parameters": _parameters(card, manual, user_header),
        "requestBody": {"required": True, "content": _content(manual)},
        "responses": {"200": _answer(manual), **_errors(_RUNTIME_ERRORS, "x-amzn-ErrorType")},
    }


def _by_contract(card: EndpointCard, invoke: dict[str, Any]) -> dict[str, Any]:
    """The same call by the container's contract: its errors are sentences, and their statuses the model's."""
    return {
        **invoke,
        "operationId": "invocations",
        "summary": f"Predict with {card.name}, as a SageMaker container is called",
        "tags": ["container"],
        "responses": {"200": invoke["responses"]["200"], **_errors(_CONTAINER_ERRORS)},
    }


def _content(manual: Manual) -> dict[str, Any]:
    """Request bodies; the type that the example has comes first, so that the page sends it."""
    content: dict[str, Any] = {}
    for name in request_types(manual):
        content[name] = {"schema": request_schema(name, manual)}
        example = request_example(name, manual)
        if example is not None:
            content[name]["example"] = example
    return content


def _answer(manual: Manual) -> dict[str, Any]:
    return {
        "description": "The model's answer",
        "headers": {
            "x-Amzn-Invoked-Production-Variant": _response_header("The variant that answered"),
            "X-Amzn-SageMaker-Inference-Id": _response_header(f"Of a recorded call, {_OUTCOMES_BY}"),
            "x-amzn-RequestId": _response_header("By which the log is found"),
        },
        "content": answer_content(manual),
    }


def _errors(errors: dict[str, tuple[str, str | None]], header: str = "") -> dict[str, Any]:
    return {status: _problem(meaning, schema, header) for status, (meaning, schema) in errors.items()}


def _problem(meaning: str, schema: str | None, header: str) -> dict[str, Any]:
    told = {"x-amzn-RequestId": _response_header("By which the log is found")}
    if schema is None:
        return {"description": meaning, "headers": told, "content": {"text/plain": {"schema": _TEXT}}}
    if header:
        told[header] = _response_header("The name of the error")
    reference = {"$ref": f"#/components/schemas/{schema}"}
    return {"description": meaning, "headers": told, "content": {"application/json": {"schema": reference}}}


def _response_header(description: str) -> dict[str, Any]:
    return {"description": description, "schema": _TEXT}


def _parameters(card: EndpointCard, manual: Manual, user_header: str) -> list[dict[str, Any]]:
    variants = [variant.name for variant in card.variants if not variant.pending]
    scripted = manual.interface is not None and manual.interface.scripted
    accept = "The type of the answer"
    if not scripted:
        accept += (
            '; with `; output=probabilities` behind it, or `; output="predicted_label,probabilities"`, a '
            "classifier answers those"
        )
    parameters = [
        _header("Accept", accept, enum=[] if scripted else list(BUILT_IN)),
        _header("X-Amzn-SageMaker-Target-Variant", "Ask this variant, whatever its weight", enum=variants),
        _user(user_header),
        _header("X-Amzn-SageMaker-Inference-Id", f"What the call is named, {_OUTCOMES_BY}"),
        _header("X-Amzn-SageMaker-Custom-Attributes", "Passed to the model's own code"),
    ]
    if card.models:
        example = card.example.target_model if card.example else card.models[0]
        names = list(card.models)
        what = "Which model answers"
        parameters.insert(0, _header("X-Amzn-SageMaker-Target-Model", what, names, example, required=True))
    if card.containers:
        hostname, what = "X-Amzn-SageMaker-Target-Container-Hostname", "Which container answers"
        names = list(card.containers)
        parameters.insert(0, _header(hostname, what, names, names[0], required=True))
    return parameters


def _user(setting: str) -> dict[str, Any]:
    """The header or the cookie that says for which user a call is."""
    what = "For which user the call is, who then always has the same variant"
    if setting.lower().startswith(COOKIE):
        return {**_header(setting[len(COOKIE) :], what), "in": "cookie"}
    return _header(setting, what)


def _header(
    name: str,
    description: str,
    enum: list[str] | None = None,
    example: str | None = None,
    required: bool = False,
) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "string"}
    if enum:
        schema["enum"] = enum
    header: dict[str, Any] = {
        "name": name,
        "in": "header",
        "required": required,
        "description": description,
        "schema": schema,
    }
    if example is not None:
        header["example"] = example
    return header
