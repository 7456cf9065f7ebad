"""The runtime face by itself: which errors become which replies, and what is logged of them."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson
import pytest

from service.domain.caller import Caller
from service.domain.endpoint import ModelSource, Variant
from service.domain.traffic import Traffic
from service.errors import BadPayload, ModelNotReady, ModelTimeout, Unavailable
from service.faces.aws.runtime import RuntimeFace
from service.faces.identity import PASSAGE, Passage
from service.hosting.host import Answer, Call
from service.hosting.stopwatch import Stopwatch
from service.http.asgi import Message, Scope
from service.invoke.directory import Directory, Route, Target
from service.invoke.predict import Predictor
from service.invoke.round import Round
from service.observe.counts import Registry


@dataclass
class _Replica:
    """Answers with what it was given, or raises it."""

    outcome: Answer | Exception
    calls: list[Call] = field(default_factory=list)

    def short_way(self, call: Call, bodies: Sequence[bytes]) -> None:
        """It never answers at once."""

    def begin(self, call: Call, watch: Stopwatch) -> None:
        """Nor without a task."""

    async def invoke(self, call: Call, watch: Stopwatch) -> Answer:
        self.calls.append(call)
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return self.outcome


@dataclass(frozen=True)
class _Reply:
    status: int
    headers: dict[bytes, bytes]
    body: bytes


Ask = Callable[..., _Reply]
_ANSWER = Answer(b"1", "text/csv")


@pytest.fixture
def ask(tmp_path: Any) -> Ask:
    registry = Registry(tmp_path, "test")

    def ask(
        outcome: Answer | Exception = _ANSWER,
        path: str = "/endpoints/e/invocations",
        method: str = "POST",
        headers: tuple[tuple[bytes, bytes], ...] = (),
        parts: tuple[Message, ...] = ({"type": "http.request", "body": b"1"},),
        replica: _Replica | None = None,
    ) -> _Reply:
        variant = Variant("v", 1.0, ModelSource("/m"))
        target: Any = Target(variant, replica or _Replica(outcome), registry.invocation("e", "v"))  # type: ignore[arg-type]  # a stand-in
        route = Route("e", {(1, "v"): target}, {"v": target}, Traffic([((1, "v"), 1.0)]), multi=False)
        directory = Directory(1, {}, {"e": route}, "e")
        predictor = Predictor(lambda: directory, lambda: 0.5, registry)
        scope = {"type": "http", "method": method, "path": path, "headers": list(headers)}
        return asyncio.run(_converse(predictor, scope, list(parts)))

    return ask


async def _converse(predictor: Predictor, scope: Scope, parts: list[Message]) -> _Reply:
    face = RuntimeFace(predictor, Round(asyncio.get_running_loop()), 1000)
    scope[PASSAGE] = Passage(Caller("000000000000", "us-east-1"), face)
    sent: list[Message] = []

    async def receive() -> Message:
        return parts.pop(0)

    async def send(message: Message) -> None:
        sent.append(message)

    await face(scope, receive, send)
    if not sent:
        return _Reply(0, {}, b"")
    headers = {name.lower(): value for name, value in sent[0]["headers"]}
    return _Reply(sent[0]["status"], headers, sent[1]["body"])


def test_an_answer_carries_variant_type_length_and_request_id(ask: Ask) -> None:
    reply = ask(Answer(b"[1]", "application/json", "mine", 200, "new", "old"))
    assert (reply.status, reply.body) == (200, b"[1]")
    assert reply.headers.pop(b"x-amzn-requestid")
    assert reply.headers == {
        b"content-type": b"application/json",
        b"content-length": b"3",
        b"x-amzn-invoked-production-variant": b"v",
        b"x-amzn-sagemaker-custom-attributes": b"mine",
        b"x-amzn-sagemaker-new-session-id": b"new",
        b"x-amzn-sagemaker-closed-session-id": b"old",
    }


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (BadPayload("bad"), 424, b"ModelError"),
        (ModelNotReady("wait"), 429, b"ModelNotReadyException"),
        (Unavailable("full"), 503, b"ServiceUnavailable"),
        (KeyError("secret"), 500, b"InternalFailure"),
    ],
)
@pytest.mark.provenance("botocore")
def test_each_error_has_the_status_of_the_model(ask: Ask, error: Exception, status: int, code: bytes) -> None:
    reply = ask(error)
    assert (reply.status, reply.headers[b"x-amzn-errortype"]) == (status, code)
    assert orjson.loads(reply.body)["Message"]


@pytest.mark.parametrize(
    "outcome",
    [
        BadPayload("bad"),
        ModelTimeout("late"),
        ModelNotReady("wait"),
        Unavailable("full"),
        KeyError("secret"),
        Answer(b"7" * 1001, "text/csv"),
    ],
)
def test_an_error_of_a_variant_names_it(ask: Ask, outcome: Answer | Exception) -> None:
    reply = ask(outcome)
    assert reply.status >= 400
    assert reply.headers[b"x-amzn-invoked-production-variant"] == b"v"


def test_an_error_before_a_variant_was_picked_names_none(ask: Ask) -> None:
    reply = ask(headers=((b"x-amzn-sagemaker-target-variant", b"nobody"),))
    assert (reply.status, b"x-amzn-invoked-production-variant" in reply.headers) == (400, False)


def test_a_bug_tells_its_request_id_and_nothing_else(ask: Ask) -> None:
    reply = ask(KeyError("secret"))
    assert b"secret" not in reply.body
    assert reply.headers[b"x-amzn-requestid"] in reply.body


def test_a_client_that_left_gets_no_reply(ask: Ask) -> None:
    parts = ({"type": "http.request", "body": b"1", "more_body": True}, {"type": "http.disconnect"})
    assert ask(parts=parts).status == 0


def test_a_body_in_parts_reaches_the_model_whole(ask: Ask) -> None:
    replica = _Replica(Answer(b"", "text/csv"))
    parts = tuple(
        {"type": "http.request", "body": body, "more_body": more}
        for body, more in ((b"1,", True), (b"", True), (b"2", False))
    )
    ask(replica=replica, parts=parts, headers=((b"content-type", b"text/csv"),))
    assert (replica.calls[0].body, replica.calls[0].content_type) == (b"1,2", "text/csv")


@pytest.mark.parametrize("size", [1001, 20_000])
def test_a_body_over_the_limit_ends_the_connection(ask: Ask, size: int) -> None:
    part = {"type": "http.request", "body": b"7" * size}
    for reply in (ask(parts=(part,)), ask(parts=(part,), headers=((b"content-length", b"%d" % size),))):
        assert reply.status == 413
        assert reply.headers[b"connection"] == b"close"
        assert reply.body == b"HTTP content length exceeded 1000 bytes."


def test_an_answer_over_the_limit_is_a_model_error(ask: Ask) -> None:
    reply = ask(Answer(b"7" * 1001, "text/csv"))
    assert reply.status == 424
    document = orjson.loads(reply.body)
    assert document["ErrorCode"] == "INTERNAL_FAILURE_FROM_MODEL"
    assert "could not load the entire response body" in document["Message"]


@pytest.mark.parametrize(
    ("method", "path", "words"),
    [
        ("GET", "/endpoints/e/invocations", "There is nothing at GET"),
        ("POST", "/endpoints/e/nothing", "There is nothing at POST"),
        ("POST", "/endpoints/e/async-invocations", "InvokeEndpointAsync"),
        ("POST", "/endpoints/e/invocations-response-stream", "InvokeEndpointWithResponseStream"),
    ],
)
def test_what_is_not_served_says_so(ask: Ask, method: str, path: str, words: str) -> None:
    reply = ask(method=method, path=path)
    assert (reply.status, reply.headers[b"x-amzn-errortype"]) == (404, b"UnknownOperationException")
    assert words in orjson.loads(reply.body)["Message"]


def test_an_empty_name_is_refused_in_the_models_words(ask: Ask) -> None:
    assert ask(path="/endpoints//invocations").status == 400
