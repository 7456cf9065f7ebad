"""What is answered where there is nothing, and to methods that a path has no use for.

Source: docs/reference/errors.md.
"""

import re
from collections.abc import Iterable
from urllib.parse import quote

import orjson
from fastapi import FastAPI, Request, Response
from fastapi.responses import PlainTextResponse

from service.http.failures import note_stray
from service.http.request_ids import request_ids
from service.log import get_logger

_MOST_CHARS = 200
_TYPES = {404: "ResourceNotFoundException", 405: "MethodNotAllowedException"}
_ORDER = ("GET", "POST", "DELETE")
_INVOCATIONS = re.compile(r"(/endpoints/[^/]+)?/invocations/?")
_INVOKE = "/invoke"


def answer_strays(app: FastAPI) -> None:
    """Give an application's answers of 404 and 405 the shape of the face that was asked."""
    new_id = request_ids()

    async def missing(request: Request, error: Exception) -> Response:
        path = _shown(request)
        told = f"There is nothing at {request.method} {path}; / says what is served here."
        return stray(request, new_id(), 404, told)

    async def refuse(request: Request, error: Exception) -> Response:
        path = request.url.path
        if is_invoke(path) or _INVOCATIONS.fullmatch(path):
            return only_post(request, new_id())
        allowed = _allowed(app, request)
        told = f"{request.method} is not for {_shown(request)}, which answers {' and '.join(allowed)}."
        return stray(request, new_id(), 405, told, allowed)

    app.add_exception_handler(404, missing)
    app.add_exception_handler(405, refuse)


def is_invoke(path: str) -> bool:
    """Whether predictions of a registered model are asked for at a path."""
    return path.startswith("/models/") and path.endswith(_INVOKE) and len(path) > len("/models" + _INVOKE)


def only_post(request: Request, request_id: str) -> Response:
    """The answer to whoever asks for a prediction by another method: how one is asked for."""
    host = str(request.base_url).rstrip("/")
    told = (
        f"{request.method} asks for no prediction here: send a POST with the input as the body, for example "
        f"curl {host}{quote(request.url.path)} -H 'Content-Type: text/csv' --data-binary @request.csv"
    )
    return stray(request, request_id, 405, told, ["POST"])


def stray(request: Request, request_id: str, status: int, told: str, allowed: Iterable[str] = ()) -> Response:
    """A refusal that reached no route, with its line in the log."""
    path = request.url.path
    note_stray(get_logger("sagebird.container"), request_id, status, told, path=path)
    headers = {"x-amzn-RequestId": request_id}
    if status == 405:
        headers["Allow"] = ", ".join(allowed)
    if path == "/models" or path.startswith("/models/"):
        body = orjson.dumps({"code": status, "type": _TYPES[status], "message": told})
        return Response(body, status, headers, media_type="application/json")
    return PlainTextResponse(f"{told}\n", status, headers)


def _allowed(app: FastAPI, request: Request) -> list[str]:
    """The methods that some route has for the path; what is mounted holds files, which can be read."""
    routes = [route for route in app.routes if hasattr(route, "methods") or not hasattr(route, "app")]
    found = [
        method
        for method in _ORDER
        if any(route.matches({**request.scope, "method": method})[0].name == "FULL" for route in routes)
    ]
    return found or ["GET"]


def _shown(request: Request) -> str:
    return quote(request.url.path[:_MOST_CHARS], safe="/:@!$&'()*+,;=~")
