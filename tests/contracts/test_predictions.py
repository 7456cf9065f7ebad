"""Predictions over the wire: the same bytes, logs and counts whether the fast path answers or ASGI does."""

import io
import json
import re
from urllib.parse import urlsplit

import numpy as np
import pytest

from tests.conftest import RunningServer, StartServer, wait_until
from tests.contracts.http_server import WAIT_S, Talk, request
from tests.harness import web

_ROW = b"5.1,3.5,1.4,0.2"
_CSV = b"Content-Type: text/csv"
_ONE = b"X-Amzn-SageMaker-Target-Variant: logistic"
_VARYING = re.compile(rb"(x-amzn-requestid: |request id |Request id: )[0-9a-f]{8}-[0-9a-f-]{27}")


def _npy() -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.array([[5.1, 3.5, 1.4, 0.2]] * 3))
    return buffer.getvalue()


_BODIES: tuple[tuple[bytes, tuple[bytes, ...]], ...] = (
    (_ROW, (_CSV, _ONE)),
    (_ROW, (_CSV, _ONE, b"Accept: text/csv; output=probabilities")),
    (_ROW, (_CSV, _ONE, b"Accept: application/x-npy")),
    (b"[[5.1, 3.5, 1.4, 0.2], [6, 3, 5, 2]]", (_ONE,)),
    (b"[5.1,3.5,1.4,0.2]\n[6,3,5,2]\n", (b"Content-Type: application/jsonlines", _ONE)),
    (_npy(), (b"Content-Type: application/x-npy", _ONE)),
    (b"1,2", (_CSV, _ONE)),
    (b"1,2,x,4", (_CSV, _ONE)),
    (b"nan,1,2,3", (_CSV, _ONE)),
    (b"", (_CSV, _ONE)),
    (_ROW, (b"Content-Type: image/png", _ONE)),
    (_ROW, (_CSV, _ONE, b"Accept: image/png")),
    (_ROW, (_CSV, b"X-Amzn-SageMaker-Target-Variant: nobody")),
    (_ROW, (_CSV, b"X-Amzn-SageMaker-Target-Model: m")),
    (_ROW, (_CSV, _ONE, b"X-Amzn-SageMaker-Custom-Attributes: " + b"a" * 2000)),
    (_ROW, (_CSV, _ONE, b"X-Amzn-SageMaker-Inference-Id: " + b"a" * 100)),
    (_ROW, (_CSV, _ONE, b"Content-Type: text/plain")),
)
_PATHS = (
    "/endpoints/iris/invocations",
    "/invocations",
    "/endpoints/nobody/invocations",
    "/endpoints/bird-strike/invocations",
    "/endpoints/iris/async-invocations",
    "/endpoints/a_b/invocations",
)


@pytest.fixture(scope="module")
def pair(start_server: StartServer) -> tuple[RunningServer, RunningServer]:
    """A server with the fast path and one without; their quick models were measured."""
    servers = (start_server(gateways=1, fast_path="on"), start_server(gateways=1, fast_path="off"))
    for server in servers:
        for body, headers in _BODIES:
            for _ in range(3):
                _exchange(server, "/invocations", body, headers)
    return servers


def _exchange(server: RunningServer, path: str, body: bytes, headers: tuple[bytes, ...]) -> bytes:
    parts = urlsplit(server.url)
    with Talk.to((parts.hostname or "", parts.port or 0)) as talk:
        talk.send(request(body, *headers, path=path))
        _, head, answer = talk.answer()
    return _VARYING.sub(rb"\1ID", head + b"\r\n\r\n" + answer)


@pytest.mark.parametrize("path", _PATHS)
def test_both_ways_answer_the_same_bytes(pair: tuple[RunningServer, RunningServer], path: str) -> None:
    for body, headers in _BODIES:
        fast, slow = (_exchange(server, path, body, headers) for server in pair)
        assert fast == slow


def test_both_ways_log_and_count_alike(pair: tuple[RunningServer, RunningServer]) -> None:
    before = [_seen(server) for server in pair]
    for server in pair:
        for path in _PATHS:
            for body, headers in _BODIES:
                _exchange(server, path, body, headers)
    wait_until(lambda: _changes(pair, before)[0] == _changes(pair, before)[1], WAIT_S)
    assert sum(number for _, number in _changes(pair, before)[0]) >= len(_BODIES) * len(_PATHS)


def _changes(
    pair: tuple[RunningServer, RunningServer], before: list[dict[str, int]]
) -> list[list[tuple[str, int]]]:
    return [
        sorted((name, number - old.get(name, 0)) for name, number in _seen(server).items())
        for server, old in zip(pair, before, strict=True)
    ]


def _seen(server: RunningServer) -> dict[str, int]:
    """How often each failure was logged, and each counter of requests."""
    seen: dict[str, int] = {}
    for line in server.log.read_text().splitlines():
        if line.startswith("{") and (event := json.loads(line))["event"] == "request failed":
            name = f"{event['logger']} {event['level']} {event['path']} {event['status']} {event['reason']}"
            seen[name] = seen.get(name, 0) + 1
    for name, number in re.findall(
        r"^(sagebird_\w+_total\{.*\}) ([0-9.]+)$", web.get(f"{server.url}/metrics").text, re.MULTILINE
    ):
        if "model_load" not in name:
            seen[name] = int(float(number))
    return seen
