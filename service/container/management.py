"""`/ping`, `/execution-parameters` and the multi-model `/models` contract (contract A.1, A.5, A.7)."""

import os
from collections.abc import Callable
from typing import Any, Protocol
from uuid import uuid4

import orjson
from fastapi import APIRouter, Request, Response

from service.asgi import ClientGone, read_body
from service.container.face import answer_headers, describe_error, read_headers, to_call
from service.errors import BadPayload, ModelFault, SagebirdError
from service.hosting.model import Answer, Call
from service.log import get_logger

_PAGE = 100
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
        """Name -> where the model is."""
        ...

    async def register(self, name: str, url: str) -> None:
        """Load a model under a name. Raises ModelFault: 404 nothing there, 409 taken, 507 too large, 500 failed."""
        ...

    async def unregister(self, name: str) -> None:
        """Unload. Raises ModelNotFound."""
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
        text = "\n".join(found)
        return Response(text, 503 if found else 200, media_type="text/plain")

    @router.get("/execution-parameters", summary="What batch transform may send at once")
    async def execution_parameters() -> dict[str, Any]:
        return {
            "MaxConcurrentTransforms": os.cpu_count() or 1,
            "BatchStrategy": "MULTI_RECORD",
            "MaxPayloadInMB": max(1, max_body_bytes // 2**20),
        }

    @router.get("/models", summary="The models that were registered here")
    async def list_models(next_page_token: str = "") -> Response:
        names = sorted(registered.names().items())
        begin = int(next_page_token) if next_page_token.isdecimal() else 0
        page = [{"modelName": name, "modelUrl": url} for name, url in names[begin : begin + _PAGE]]
        document: dict[str, Any] = {"models": page}
        if begin + _PAGE < len(names):
            document["nextPageToken"] = str(begin + _PAGE)
        return _json(200, document)

    @router.post("/models", summary="Load a model: {model_name, url}")
    async def register_model(request: Request) -> Response:
        return await _guarded(_register(registered, request))

    @router.get("/models/{name}", summary="One registered model")
    async def describe_model(name: str) -> Response:
        url = registered.names().get(name)
        if url is None:
            return _problem(404, f"Model not found: {name}")
        return _json(200, {"modelName": name, "modelUrl": url})

    @router.delete("/models/{name}", summary="Unload a model")
    async def unregister_model(name: str) -> Response:
        async def unregister() -> Response:
            await registered.unregister(name)
            return _json(200, {"status": f'Model "{name}" unregistered'})

        return await _guarded(unregister())

    @router.post("/models/{name}/invoke", summary="A prediction by one registered model")
    async def invoke_model(name: str, request: Request) -> Response:
        async def invoke() -> Response:
            body = await read_body(request.scope, request.receive, max_body_bytes)
            answer = await registered.invoke(name, to_call(read_headers(request.scope), body))
            response = Response(answer.body, answer.status)
            response.raw_headers += [
                (name, value) for name, value in answer_headers(answer) if name != b"content-length"
            ]
            return response

        return await _guarded(invoke())

    return router


async def _register(registered: Registered, request: Request) -> Response:
    body = await read_body(request.scope, request.receive, 1 << 20)
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise BadPayload(f"The body is not JSON: {error}.") from None
    if not isinstance(document, dict):
        raise BadPayload("The body must be a JSON object with model_name and url.")
    for member in ("model_name", "url"):
        if not isinstance(document.get(member), str) or not document[member]:
            raise BadPayload(f"Parameter {member} is required.")
    name = document["model_name"]
    await registered.register(name, document["url"])
    return _json(200, {"status": f'Model "{name}" registered'})


async def _guarded(work: Any) -> Response:
    """Run the work of one request; its errors become the bodies that multi-model-server sends."""
    try:
        response: Response = await work
    except ClientGone:
        return Response(status_code=499)
    except Exception as error:  # the one place where these routes' errors become replies
        request_id = str(uuid4())
        status, message = describe_error(error, request_id)
        log = get_logger("sagebird.container")
        if isinstance(error, SagebirdError):
            log.info("request failed", request_id=request_id, status=status, reason=message[:500])
        else:
            log.error("request failed", request_id=request_id, exc_info=error)
        return _problem(status, message, error.__class__.__name__ if isinstance(error, ModelFault) else None)
    return response


def _problem(status: int, message: str, name: str | None = None) -> Response:
    return _json(
        status,
        {"code": status, "type": _TYPES.get(status, name or "InternalServerException"), "message": message},
    )


def _json(status: int, document: Any) -> Response:
    return Response(orjson.dumps(document), status, media_type="application/json")
