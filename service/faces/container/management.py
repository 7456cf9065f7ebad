"""`/ping`, `/execution-parameters` and the multi-model `/models` contract (contract A.1, A.5, A.7)."""

import os
from asyncio import to_thread
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol

import orjson
from fastapi import APIRouter, Request, Response

from service.errors import BadPayload, ClientGone, ModelFault, ModelNotFound, SagebirdError
from service.faces.container.face import answer_headers, describe_error, read_headers, to_call
from service.faces.container.strays import is_invoke, only_post
from service.faces.identity import caller_of
from service.hosting.host import Answer
from service.http.asgi import read_body
from service.http.failures import note_failure
from service.http.reply import Answered, Answering, Reply, whole
from service.http.request_ids import request_ids
from service.invoke.directory import registered_address
from service.invoke.invocation import Invocation, InvocationHead
from service.invoke.predict import InvocationOutcome, Prediction
from service.invoke.round import Round
from service.log import get_logger
from service.promise import request_id_of

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


AnswerInvocations = Callable[
    [Sequence[tuple[InvocationHead, Sequence[bytes]]]], list[list[InvocationOutcome]]
]
"""Answers invocations of several heads, as Predictor does. Raises nothing."""


def create_router(
    registered: Registered,
    answer: AnswerInvocations,
    rounds: Round,
    problems: Callable[[], list[str]],
    max_body_bytes: int,
) -> APIRouter:
    """The routes; `problems` says what keeps the default endpoint from answering.

    Predictions by what is `registered` are those of `answer`, in `rounds`.
    """
    router = APIRouter(tags=["container"])

    @router.get(
        "/ping",
        operation_id="ping",
        summary="Health as SageMaker asks for it: 200 when predictions can be answered",
    )
    async def ping() -> Response:
        found = problems()
        return Response("\n".join(found), 503 if found else 200, media_type="text/plain")

    @router.get(
        "/execution-parameters",
        operation_id="execution_parameters",
        summary="What batch transform may send at once",
    )
    async def execution_parameters() -> Response:
        document = {
            "MaxConcurrentTransforms": os.cpu_count() or 1,
            "BatchStrategy": "MULTI_RECORD",
            "MaxPayloadInMB": max(1, max_body_bytes // 2**20),
        }
        return _json(200, document)

    models = _ModelRoutes(registered, answer, rounds, max_body_bytes)
    one, invoke = "/models/{name:path}", "/models/{name:path}/invoke"
    for method, path, route, operation_id, summary in (
        ("GET", "/models", models.list_all, "list_models", "The models that were registered here"),
        ("POST", "/models", models.register, "register_model", "Load a model: {model_name, url}"),
        ("GET", one, models.describe, "describe_model", "One registered model"),
        ("DELETE", one, models.unregister, "unregister_model", "Unload a model"),
        ("POST", invoke, models.invoke, "predict_with_model", "A prediction by one registered model"),
    ):
        router.add_api_route(path, route, methods=[method], operation_id=operation_id, summary=summary)
    return router


class _ModelRoutes:
    """The `/models` contract. What reads the store only is no coroutine: FastAPI runs it in a thread.

    Each takes the request alone, as the pages do and for the same reason (people/pages.py).
    """

    def __init__(
        self, registered: Registered, answer: AnswerInvocations, rounds: Round, max_body_bytes: int
    ) -> None:
        self._registered = registered
        self._answer = answer
        self._round = rounds
        self._max_body_bytes = max_body_bytes
        self._new_id = request_ids()
        self._log = get_logger("sagebird.container")

    def list_all(self, request: Request) -> Response:
        next_page_token = request.query_params.get("next_page_token", "")
        if next_page_token and not _is_token(next_page_token):
            error = BadPayload("Parameter next_page_token is none that was given out.")
            return _response(self._refuse(error, "/models"))
        begin = int(next_page_token or 0)
        names = sorted(self._registered.names().items())
        document: dict[str, Any] = {
            "models": [{"modelName": name, "modelUrl": url} for name, url in names[begin : begin + _PAGE]]
        }
        if begin + _PAGE < len(names):
            document["nextPageToken"] = str(begin + _PAGE)
        return _json(200, document)

    def describe(self, request: Request) -> Response:
        name = request.path_params["name"]
        url = self._registered.names().get(name)
        if url is None and is_invoke(request.url.path):
            return only_post(request, self._new_id())
        if url is None:
            error = ModelNotFound(f"Model not found: {name}")
            return _response(self._refuse(error, request.url.path))
        return _json(200, {"modelName": name, "modelUrl": url})

    async def register(self, request: Request) -> Response:
        async def register() -> Response:
            name, url = _read_registration(
                await read_body(request.scope, request.receive, _MAX_DOCUMENT_BYTES)
            )
            await self._registered.register(name, url)
            return _json(200, {"status": f'Model "{name}" registered'})

        return await self._guarded(request, register())

    async def unregister(self, request: Request) -> Response:
        name = request.path_params["name"]

        async def unregister() -> Response:
            if is_invoke(request.url.path) and name not in await to_thread(self._registered.names):
                return only_post(request, self._new_id())
            await self._registered.unregister(name)
            return _json(200, {"status": f'Model "{name}" unregistered'})

        return await self._guarded(request, unregister())

    async def invoke(self, request: Request) -> Response:
        name = request.path_params["name"]

        async def invoke() -> Response:
            body = await read_body(request.scope, request.receive, self._max_body_bytes)
            call = to_call(read_headers(request.scope), b"")
            invocation = Invocation(caller_of(request.scope), registered_address(name), call)
            answering = Answering(InvocationHead(invocation), self._answer_all)
            return _response(await whole(await self._round.ask(answering, body)))

        return await self._guarded(request, invoke())

    def _answer_all(self, asked: Sequence[tuple[InvocationHead, Sequence[bytes]]]) -> list[list[Answered]]:
        return [
            [self._answered(outcome, f"{head.invocation.endpoint}/invoke") for outcome in outcomes]
            for (head, _), outcomes in zip(asked, self._answer(asked), strict=True)
        ]

    def _answered(self, outcome: InvocationOutcome, path: str) -> Answered:
        try:
            if isinstance(outcome, Prediction):
                return _to_reply(outcome.answer)
        except Exception as error:
            outcome = error
        return self._refuse(outcome, path) if isinstance(outcome, Exception) else self._finish(outcome, path)

    async def _finish(self, prediction: Awaitable[Prediction], path: str) -> Reply:
        try:
            return _to_reply((await prediction).answer)
        except Exception as error:
            return self._refuse(error, path, request_id_of(prediction))

    async def _guarded(self, request: Request, work: Awaitable[Response]) -> Response:
        """Run the work of one request; its errors become the bodies that multi-model-server sends."""
        try:
            return await work
        except ClientGone:
            return Response(status_code=499)
        except Exception as error:
            return _response(self._refuse(error, request.url.path))

    def _refuse(self, error: Exception, path: str, request_id: str = "") -> Reply:
        """The one place where these routes' errors become replies, each with its line in the log."""
        request_id = request_id or self._new_id()
        status, message = describe_error(error, request_id)
        code = error.code if isinstance(error, SagebirdError) else ""
        note_failure(self._log, error, request_id, status, code, path=path)
        error.__traceback__ = None  # its frames hold the body, and the error itself: a circle
        kind = error.__class__.__name__ if isinstance(error, ModelFault) else "InternalServerException"
        document = {"code": status, "type": _TYPES.get(status, kind), "message": message}
        headers = [(b"content-type", b"application/json"), (b"x-amzn-requestid", request_id.encode())]
        if status == 413:  # what is left of the body must not be taken for the next request
            headers.append((b"connection", b"close"))
        return Reply(status, headers, orjson.dumps(document))


def _to_reply(answer: Answer) -> Reply:
    return Reply(answer.status, answer_headers(answer), b"" if answer.status in (204, 304) else answer.body)


def _response(reply: Reply) -> Response:
    response = Response(reply.body, reply.status)
    response.raw_headers += reply.headers
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
