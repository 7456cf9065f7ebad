"""The front door: who gets which request, and what draining adds."""

import asyncio
from typing import Any

import pytest

from service.domain.caller import Caller
from service.faces.front_door import Gateway
from service.faces.identity import OpenDoor, caller_of
from service.http.asgi import App, Headers, Message, Receive, Scope, Send
from service.http.guard import Guard


def _named(name: bytes) -> App:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        headers = [(b"x-face", name), (b"x-by", caller_of(scope).principal.encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": name})

    return app


def _signed(headers: Headers) -> Caller:
    return Caller("000000000000", "us-east-1", dict(headers).get(b"x-who", b"nobody").decode())


_FOR_S3 = b"AWS4-HMAC-SHA256 Credential=x/20260101/us-east-1/s3/aws4_request, Signature=0"


def _gateway(s3: App | None = None) -> Gateway:
    runtime, invocations, control, pages = map(_named, (b"runtime", b"invocations", b"control", b"pages"))
    return Gateway(runtime, invocations, control, pages, Guard("127.0.0.1"), OpenDoor(_signed), 1000, s3=s3)


def _ask(app: App, method: str, path: str, body: bytes = b"", **headers: bytes) -> list[Message]:
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": body}

    async def send(message: Message) -> None:
        sent.append(message)

    raw = [(name.replace("_", "-").encode(), value) for name, value in headers.items()]
    scope: dict[str, Any] = {"type": "http", "method": method, "path": path, "headers": raw}
    asyncio.run(_call(app, scope, receive, send))
    return sent


async def _call(app: App, scope: Scope, receive: Receive, send: Send) -> None:
    await app(scope, receive, send)


@pytest.mark.parametrize(
    ("method", "path", "face"),
    [
        ("POST", "/endpoints/e/invocations", b"runtime"),
        ("GET", "/endpoints/e", b"pages"),  # what it takes and gives
        ("DELETE", "/endpoints/e", b"runtime"),
        ("GET", "/endpoints/e/more", b"runtime"),
        ("GET", "/endpoints/e/invocations", b"pages"),
        ("DELETE", "/endpoints/e/async-invocations", b"pages"),
        ("POST", "/endpoints/e/async-invocations", b"runtime"),
        ("POST", "/endpoints/e/invocations/", b"runtime"),
        ("GET", "/endpoints", b"pages"),
        ("POST", "/invocations", b"invocations"),
        ("GET", "/invocations", b"pages"),
        ("POST", "/invocations/", b"invocations"),
        ("POST", "/", b"control"),
        ("GET", "/", b"pages"),
        ("POST", "/models", b"pages"),
    ],
)
def test_each_request_goes_to_its_face(method: str, path: str, face: bytes) -> None:
    assert _ask(_gateway(), method, path)[1]["body"] == face


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/"), ("PUT", "/docs/k"), ("POST", "/b/k"), ("HEAD", "/invocations/k")]
)
def test_what_is_signed_for_s3_goes_there_whatever_its_path_and_its_encoding(method: str, path: str) -> None:
    headers = {"authorization": _FOR_S3, "content_encoding": b"aws-chunked", "content_type": b"text/plain"}

    sent = _ask(_gateway(_named(b"s3")), method, path, **headers, x_who=b"alice")

    assert dict(sent[0]["headers"]) == {b"x-face": b"s3", b"x-by": b"alice"}
    assert b"NotImplemented" in _ask(_gateway(), "GET", "/b/k", authorization=_FOR_S3)[1]["body"]


@pytest.mark.parametrize("path", ["/b/k", "/endpoints/e/invocations"])
def test_no_page_of_another_origin_is_let_in_there(path: str) -> None:
    gateway = _gateway(_named(b"s3"))
    for method in ("GET", "PUT", "DELETE"):
        sent = _ask(gateway, method, path, authorization=_FOR_S3, origin=b"http://evil.example")
        assert sent[0]["status"] == 403


@pytest.mark.parametrize("path", ["/endpoints/e/invocations", "/invocations", "/", "/models/m/invoke"])
def test_each_face_is_told_whose_a_request_is(path: str) -> None:
    gateway = _gateway()
    for headers, who in (({"x_who": b"alice"}, b"alice"), ({}, b"nobody"), ({"x_who": b"bob"}, b"bob")):
        assert (b"x-by", who) in _ask(gateway, "POST", path, **headers)[0]["headers"]


def test_while_draining_every_answer_closes_its_connection() -> None:
    gateway = _gateway()
    assert (b"connection", b"close") not in _ask(gateway, "GET", "/")[0]["headers"]
    gateway.draining = True
    for method, path in (("GET", "/"), ("POST", "/"), ("POST", "/invocations"), ("POST", "/endpoints/e/x")):
        sent = _ask(gateway, method, path)
        assert (b"connection", b"close") in sent[0]["headers"]
        assert [name for name, _ in sent[0]["headers"]].count(b"connection") == 1
