"""`/endpoints/NAME/…`: outcomes are reported, experiments looked at, variants promoted."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol

from fastapi import FastAPI, Request, Response

from service.domain.access_keys import Permission
from service.domain.caller import Caller
from service.errors import ClientGone, PayloadTooLarge
from service.faces.identity import caller_of
from service.faces.people.experiment_schemas import REPORT_BODY, answers, component
from service.faces.people.models_api import in_query
from service.http.asgi import read_body
from service.http.reply import Reply
from service.http.request_ids import request_ids
from service.media.types import JSON

MOST_BYTES = 1 << 20
"""The largest report of outcomes."""

_WISHES = ("outcome", "less", "worth", "control", "window")
_NAME: dict[str, Any] = {"name": "name", "in": "path", "required": True, "schema": {"type": "string"}}
_ASK_BOTH = {
    "type": "object",
    "properties": {"ask_both": {"type": "number", "description": "Percents of calls, 0 for none"}},
    "required": ["ask_both"],
}
_PROMOTION = {
    "type": "object",
    "properties": {
        "variant": {"type": "string"},
        "ramp": {
            "type": "array",
            "items": {"type": "number"},
            "description": "Percents, one after the other",
        },
        "pause_s": {"type": "number", "description": "Seconds between two of them"},
        "reason": {"type": "string"},
        "policy": {
            "type": "string",
            "enum": ["thompson", "top-two"],
            "description": "In place of a variant: traffic follows outcomes until it is stopped",
        },
        "outcome": {"type": "string", "description": "Which one decides; the most frequent"},
        "less": {"type": "boolean", "description": "Less of it is better"},
        "floor": {"type": "number", "description": "Percent that every variant keeps; 1"},
        "stop": {"type": "boolean", "description": "Ends a ramp or a policy where it is, instead"},
    },
}


class Experiments(Protocol):
    """Who keeps outcomes, and says what they are worth. Raises nothing."""

    async def report(self, endpoint: str, content_type: str, body: bytes, reporter: str = "") -> Reply:
        """Keep outcomes of an endpoint's predictions; `reporter` is a key that may not manage, "" if none."""
        ...

    async def experiment(self, endpoint: str, asked: Mapping[str, str]) -> Reply:
        """The document of an endpoint's experiment."""
        ...

    async def ask_both(self, caller: Caller, endpoint: str, body: bytes) -> Reply:
        """Have a share of calls asked of a second variant, too."""
        ...

    async def promote(self, caller: Caller, endpoint: str, body: bytes) -> Reply:
        """Give a variant all traffic, or begin to."""
        ...


def add_experiments(app: FastAPI, experiments: Experiments) -> None:
    """Add the routes."""
    new_id = request_ids()

    @app.post(
        "/endpoints/{name}/outcomes",
        tags=["experiments"],
        summary="Report what came of predictions: JSON, JSON lines or CSV",
        operation_id="report_outcomes",
        description="A body over 1 MiB is answered by 413 and a sentence as text/plain.",
        openapi_extra={
            "parameters": [_NAME],
            "requestBody": REPORT_BODY,
            "responses": answers(
                component("Receipt"), "What became of the outcomes, once they are safe on disk"
            ),
        },
    )
    async def report(request: Request) -> Response:
        content_type = request.headers.get("content-type", JSON)
        name, reporter = request.path_params["name"], _reporter(caller_of(request.scope))
        reply = await _with_body(request, lambda body: experiments.report(name, content_type, body, reporter))
        return _response(reply, new_id())

    @app.get(
        "/endpoints/{name}/experiment",
        tags=["experiments"],
        summary="What variants are worth: traffic, errors, outcomes with intervals, a sentence",
        operation_id="describe_experiment",
        openapi_extra={
            "parameters": [_NAME, *map(in_query, _WISHES)],
            "responses": answers(component("Experiment"), "What is known of the experiment"),
        },
    )
    async def experiment(request: Request) -> Response:
        reply = await experiments.experiment(request.path_params["name"], dict(request.query_params))
        return _response(reply, new_id())

    _add_changes(app, experiments, new_id)


def _add_changes(app: FastAPI, experiments: Experiments, new_id: Callable[[], str]) -> None:
    """Add the routes by which experiments are changed."""

    @app.post(
        "/endpoints/{name}/experiment",
        tags=["experiments"],
        summary="Have a share of calls asked of a second variant, too, in the background",
        operation_id="ask_both",
        openapi_extra={
            "parameters": [_NAME],
            "requestBody": {"required": True, "content": {JSON: {"schema": _ASK_BOTH}}},
            "responses": answers(component("AskedBoth"), "What holds now"),
        },
    )
    async def ask_both(request: Request) -> Response:
        caller, name = caller_of(request.scope), request.path_params["name"]
        reply = await _with_body(request, lambda body: experiments.ask_both(caller, name, body))
        return _response(reply, new_id())

    @app.post(
        "/endpoints/{name}/promote",
        tags=["experiments"],
        summary="Give a variant all traffic, at once or in steps, or have traffic follow outcomes",
        operation_id="promote_variant",
        openapi_extra={
            "parameters": [_NAME],
            "requestBody": {"required": True, "content": {JSON: {"schema": _PROMOTION}}},
            "responses": answers(component("Promoted"), "The plans of now, and what was done"),
        },
    )
    async def promote(request: Request) -> Response:
        caller, name = caller_of(request.scope), request.path_params["name"]
        reply = await _with_body(request, lambda body: experiments.promote(caller, name, body))
        return _response(reply, new_id())


def _reporter(caller: Caller) -> str:
    """The key of who may not manage: he is not to use up what others need."""
    return "" if Permission.MANAGE in caller.permissions.split() else caller.key_id


async def _with_body(request: Request, ask: Callable[[bytes], Awaitable[Reply]]) -> Reply:
    try:
        body = await read_body(request.scope, request.receive, MOST_BYTES)
    except PayloadTooLarge as error:
        return Reply(413, [(b"Content-Type", b"text/plain")], error.message.encode())
    except ClientGone:
        return Reply(400, [], b"")  # nobody reads it
    return await ask(body)


def _response(reply: Reply, request_id: str) -> Response:
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in reply.headers}
    return Response(reply.body, reply.status, {**headers, "x-amzn-RequestId": request_id})
