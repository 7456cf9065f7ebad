"""docs/reference/errors.md: a fault, asked of each face, has the status and shape that it shows."""

import gzip
import json
import re
from collections.abc import Callable, Iterator, Mapping

import httpx
import pytest

from tests.conftest import ROOT, RunningServer, StartServer
from tests.harness import web

_LIMIT_BYTES = 20_000
_CONTROL = {"Content-Type": "application/x-amz-json-1.1", "X-Amz-Target": "SageMaker.DescribeEndpoint"}
_EVIL = {"Origin": "http://evil.example"}
_CSV, _ROW = {"Content-Type": "text/csv"}, b"5.1,3.5,1.4,0.2"
_LARGE = b"1" * (_LIMIT_BYTES + 1)
_PATHS = {
    "runtime": "/endpoints/iris/invocations",
    "container": "/invocations",
    "models": "/models/own/invoke",
    "AWS": "/",
}
# Row of the table -> headers and body that bring it about, for the faces where one request can.
_FAULTS: Mapping[str, tuple[dict[str, str], bytes]] = {
    "the model refuses the body": (_CSV, b"junk"),
    "the model does not read this `Content-Type`": ({"Content-Type": "image/png"}, _ROW),
    "the model writes nothing that `Accept` names": ({**_CSV, "Accept": "image/png"}, _ROW),
    "the body is over the limit": (_CSV, _LARGE),
    "the `Content-Encoding` is not read (gzip and deflate are)": ({**_CSV, "Content-Encoding": "br"}, _ROW),
    "the body is not compressed as its `Content-Encoding` says": ({**_CSV, "Content-Encoding": "gzip"}, b"x"),
    "a host that is not served, a web page that may not ask": ({**_CSV, **_EVIL}, _ROW),
}


@pytest.fixture(scope="module")
def server(start_server: StartServer) -> Iterator[RunningServer]:
    """A server with small limits, and a model registered as `own`."""
    server = start_server(gateways=1, max_body_bytes=str(_LIMIT_BYTES))
    server.wait_ready()
    document = {"model_name": "own", "url": str(server.models / "iris-logistic")}
    assert web.post(f"{server.url}/models", json=document, timeout=30).status_code == 200
    yield server
    server.stop()


def _cells() -> Iterator[tuple[str, str, str]]:
    """What is wrong, the face, and what the table says of it."""
    page = (ROOT / "docs" / "reference" / "errors.md").read_text(encoding="utf-8")
    table = page[page.index("| what is wrong") :].partition("\n\n")[0].splitlines()
    for line in table[2:]:
        what, *cells = (cell.strip() for cell in line.strip("|").split("|"))
        yield from ((what, face, cell) for face, cell in zip(_PATHS, cells, strict=True) if cell)


_ASKED = [cell for cell in _cells() if cell[0] in _FAULTS]


def test_the_table_has_every_row_that_is_asked() -> None:
    assert {what for what, _, _ in _ASKED} == set(_FAULTS)


@pytest.mark.parametrize(
    ("what", "face", "said"), _ASKED, ids=[f"{what[:40]}-{face}" for what, face, _ in _ASKED]
)
def test_a_fault_is_answered_as_the_table_says(
    server: RunningServer, what: str, face: str, said: str
) -> None:
    headers, body = _FAULTS[what]
    if face == "AWS":
        headers = {**headers, **_CONTROL}
        body = _LARGE * 200 if body is _LARGE else body
    answer = web.post(server.url + _PATHS[face], content=body, headers=headers, timeout=30)
    status, *original = re.findall(r"\b\d{3}\b", said)
    assert answer.status_code == int(status), answer.text
    _SHAPES[face if answer.headers["content-type"] != "text/plain" else "container"](
        answer, re.findall(r"`(\w+(?:Error|Exception|Failure))`", said)
    )
    if original:
        assert answer.json()["OriginalStatusCode"] == int(original[0])


def test_a_bad_rule_a_missing_operation_and_another_method(server: RunningServer) -> None:
    gone = web.post(f"{server.url}/endpoints/none/invocations", content=_ROW, timeout=30)
    assert (gone.status_code, gone.headers["x-amzn-errortype"]) == (400, "ValidationError")
    gone = web.post(f"{server.url}/models/none/invoke", content=_ROW, timeout=30)
    assert (gone.status_code, gone.json()["type"]) == (404, "ModelNotFoundException")
    packed = {**_CONTROL, "Content-Encoding": "gzip"}
    gone = web.post(
        server.url, content=gzip.compress(b'{"EndpointName": "none"}'), headers=packed, timeout=30
    )
    assert (gone.status_code, gone.json()["__type"]) == (400, "ValidationException")
    unknown = web.post(
        server.url, content=b"{}", headers={**_CONTROL, "X-Amz-Target": "SageMaker.Fly"}, timeout=30
    )
    assert (unknown.status_code, unknown.json()["__type"]) == (404, "UnknownOperationException")
    assert web.get(f"{server.url}/invocations", timeout=30).headers["allow"] == "POST"


@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE", "OPTIONS"])
def test_other_methods_of_a_registered_model_hear_how_it_is_called(
    server: RunningServer, method: str
) -> None:
    answer = web.request(method, f"{server.url}/models/own/invoke", timeout=30)
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
    _models(answer, ["MethodNotAllowedException"])
    assert f"curl {server.url}/models/own/invoke" in answer.json()["message"]
    assert web.get(f"{server.url}/models/own", timeout=30).status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "status", "allowed"),
    [
        ("PUT", "/models", 405, "GET, POST"),
        ("PATCH", "/models/own", 405, "GET, DELETE"),
        ("GET", "/models/none", 404, None),
        ("DELETE", "/models/none", 404, None),
        ("GET", "/models?next_page_token=x", 400, None),
        ("GET", "/nope", 404, None),
        ("GET", "/static/nope.js", 404, None),
        ("POST", "/ping", 405, "GET"),
        ("DELETE", "/", 405, "GET"),
        ("PUT", "/status", 405, "GET"),
        ("GET", "/invocations", 405, "POST"),
        ("PUT", "/endpoints/iris/invocations", 405, "POST"),
        ("X-Y", "/endpoints/iris/invocations", 405, "POST"),
        ("TRACE", "/endpoints/iris/invocations", 405, "POST"),
    ],
)
def test_what_is_not_there_is_told_in_the_shape_of_its_face_and_has_an_id(
    server: RunningServer, method: str, path: str, status: int, allowed: str | None
) -> None:
    answer = web.request(method, server.url + path, timeout=30)
    assert (answer.status_code, answer.headers.get("allow")) == (status, allowed)
    _SHAPES["models" if path.startswith("/models") else "container"](answer, [])
    assert re.fullmatch(r"[0-9a-f-]{36}", answer.headers["x-amzn-requestid"])


def _runtime(answer: httpx.Response, names: list[str]) -> None:
    members = {"OriginalMessage", "OriginalStatusCode", "LogStreamArn"} if names == ["ModelError"] else set()
    assert {"Message", *members} <= answer.json().keys()
    assert [answer.headers["x-amzn-errortype"]] == names


def _container(answer: httpx.Response, names: list[str]) -> None:
    assert answer.headers["content-type"].startswith("text/plain")
    assert answer.text.strip()


def _models(answer: httpx.Response, names: list[str]) -> None:
    document = json.loads(answer.content)
    assert document.keys() == {"code", "type", "message"}
    assert document["code"] == answer.status_code
    assert [document["type"]] == names or not names


def _aws(answer: httpx.Response, names: list[str]) -> None:
    document = json.loads(answer.content)
    assert {"__type", "message", "Message"} <= document.keys()
    assert [document["__type"]] == names == [answer.headers["x-amzn-errortype"]]


_SHAPES: Mapping[str, Callable[[httpx.Response, list[str]], None]] = {
    "runtime": _runtime,
    "container": _container,
    "models": _models,
    "AWS": _aws,
}
