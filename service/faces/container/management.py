"""`/ping`, `/execution-parameters` and the multi-model `/models` contract (contract A.1, A.5, A.7)."""

import os
from asyncio import to_thread
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

import orjson
from fastapi import APIRouter, Request, Response

from service.errors import BadPayload, ClientGone, ModelFault, ModelNotFound, SagebirdError
from service.faces.container.face import answer_headers, describe_error, read_headers, to_call
from service.faces.container.strays import is_invoke, only_post
from service.hosting.host import Answer, Call
from service.http.asgi import read_body
from service.http.failures import note_failure
from service.http.request_ids import request_ids
from service.log import get_logger

_PAGE = 100
_TOKEN_DIGITS = 9
_MAX_DOCUMENT_BYTES = 1 << 20
_TYPES = {
    400: "BadRequestException",
    404: "ModelNotFoundException",
    409: "ConflictStatusException",
    413: "RequestEntityTooLargeException",
    507: "InsufficientStorageException",
}


class Registered(Protocol):
    """The models that the platform asked this container to hold, by the names it gave them."""

    def names(self) -> dict[str, str]:
        """Name -> where the model is. Blocks."""
        ...

    async def register(self, name: str, url: str) -> None:
        """Load a model under a name. Raises ModelFault: 404 nothing there, 409 taken, 507 too large, 500."""
        ...

    async def unregister(self, name: str) -> None:
        """Unload a model; its files stay where they are. Raises ModelNotFound."""
        ...

    async def invoke(self, name: str, call: Call) -> Answer:
        """Answer one call. Raises ModelFault."""
        ...


def create_router(
    registered: Registered, problems: Callable[[], list[str]], max_body_bytes: int
) -> APIRouter:
    """The routes; `problems` says what keeps the default endpoint from answering."""
    router = APIRouter(tags=["container"])

    @router.get("/ping", summary="Health as SageMaker asks for it: 200 when predictions can be answered")
    async def ping() -> Response:
        found = problems()
        return Response("\n".join(found), 503 if found else 200, media_type="text/plain")

    @router.get("/execution-parameters", summary="What batch transform may send at once")
    async def execution_parameters() -> dict[str, Any]:
        return {
            "MaxConcurrentTransforms": os.cpu_count() or 1,
            "BatchStrategy": "MULTI_RECORD",
            "MaxPayloadInMB": max(1, max_body_bytes // 2**20),
        }

    models = _ModelRoutes(registered, max_body_bytes)
    for method, path, route, summary in (
        ("GET", "/models", models.list_all, "The models that were registered here"),
        ("POST", "/models", models.register, "Load a model: {model_name, url}"),
        ("GET", "/models/{name:path}", models.describe, "One registered model"),
        ("DELETE", "/models/{name:path}", models.unregister, "Unload a model"),
        ("POST", "/models/{name:path}/invoke", models.invoke, "A prediction by one registered model"),
    ):
        router.add_api_route(path, route, methods=[method], summary=summary)
    return router


class _ModelRoutes:
    """The `/models` contract. What reads the store only is no coroutine: FastAPI runs it in a thread."""

    def __init__(self, registered: Registered, max_body_bytes: int) -> None:
        self._registered = registered
        self._max_body_bytes = max_body_bytes
        self._new_id = request_ids()
        self._log = get_logger("sagebird.container")

    def list_all(self, next_page_token: str = "") -> Response:
        if next_page_token and not _is_token(next_page_token):
            return self._refused(
                "/models", BadPayload("Parameter next_page_token is none that was given out.")
            )
        begin = int(next_page_token or 0)
        names = sorted(self._registered.names().items())
        document: dict[str, Any] = {
            "models": [{"modelName": name, "modelUrl": url} for name, url in names[begin : begin + _PAGE]]
        }
        if begin + _PAGE < len(names):
            document["nextPageToken"] = str(begin + _PAGE)
        return _json(200, document)

    def describe(self, name: str, request: Request) -> Response:
        url = self._registered.names().get(name)
        if url is None and is_invoke(request.url.path):
            return only_post(request, self._new_id())
        if url is None:
            return self._refused(request.url.path, ModelNotFound(f"Model not found: {name}"))
        return _json(200, {"modelName": name, "modelUrl": url})

    async def register(self, request: Request) -> Response:
        async def register() -> Response:
            name, url = _read_registration(
                await read_body(request.scope, request.receive, _MAX_DOCUMENT_BYTES)
            )
            await self._registered.register(name, url)
            return _json(200, {"status": f'Model "{name}" registered'})

        return await self._guarded(request, register())

    async def unregister(self, name: str, request: Request) -> Response:
        async def unregister() -> Response:
            if is_invoke(request.url.path) and name not in await to_thread(self._registered.names):
                return only_post(request, self._new_id())
            await self._registered.unregister(name)
            return _json(200, {"status": f'Model "{name}" unregistered'})

        return await self._guarded(request, unregister())

    async def invoke(self, name: str, request: Request) -> Response:
        async def invoke() -> Response:
            body = await read_body(request.scope, request.receive, self._max_body_bytes)
            answer = await self._registered.invoke(name, to_call(read_headers(request.scope), body))
            response = Response(b"" if answer.status == 204 else answer.body, answer.status)
            response.raw_headers += answer_headers(answer)
            return response

        return await self._guarded(request, invoke())

    async def _guarded(self, request: Request, work: Awaitable[Response]) -> Response:
        """Run the work of one request; its errors become the bodies that multi-model-server sends."""
        try:
            return await work
        except ClientGone:
            return Response(status_code=499)
        except Exception as error:  # the one place where these routes' errors become replies
            return self._refused(request.url.path, error)

    def _refused(self, path: str, error: Exception) -> Response:
        """The reply to a request that failed, with its line in the log."""
        request_id = self._new_id()
        status, message = describe_error(error, request_id)
        code = error.code if isinstance(error, SagebirdError) else ""
        note_failure(self._log, error, request_id, status, code, path=path)
        kind = error.__class__.__name__ if isinstance(error, ModelFault) else "InternalServerException"
        document = {"code": status, "type": _TYPES.get(status, kind), "message": message}
        response = _json(status, document)
        response.headers["x-amzn-RequestId"] = request_id
        if status == 413:  # what is left of the body must not be taken for the next request
            response.headers["connection"] = "close"
        return response


def _is_token(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) <= _TOKEN_DIGITS


def _read_registration(body: bytes) -> tuple[str, str]:
    """Name and place of the model to load. Raises BadPayload, worded as multi-model-server does."""
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise BadPayload(f"The body is not JSON: {error}.") from None
    if not isinstance(document, dict):
        raise BadPayload("The body must be a JSON object with model_name and url.")
    for member in ("model_name", "url"):
        if not isinstance(document.get(member), str) or not document[member]:
            raise BadPayload(f"Parameter {member} is required.")
    return document["model_name"], document["url"]


def _json(status: int, document: Any) -> Response:
    return Response(orjson.dumps(document), status, media_type="application/json")
