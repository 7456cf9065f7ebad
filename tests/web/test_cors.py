"""Calls from web pages: what a preflight is told, what a page may read, and silence where it is not set."""

from collections.abc import Iterator

import httpx
import pytest

from tests.conftest import RunningServer, StartServer

_PAGE = "https://page.example"
_ROW = "5.1,3.5,1.4,0.2"


@pytest.fixture(scope="module")
def open_server(start_server: StartServer) -> Iterator[RunningServer]:
    server = start_server(gateways=1, cors_origins=f"{_PAGE}, https://other.example")
    yield server
    server.stop()


def _preflight(server: RunningServer, path: str, origin: str, method: str = "POST") -> httpx.Response:
    headers = {
        "Origin": origin,
        "Access-Control-Request-Method": method,
        "Access-Control-Request-Headers": "content-type,x-amzn-sagemaker-target-model,x-mine",
    }
    return httpx.options(server.url + path, headers=headers, timeout=10)


@pytest.mark.parametrize("path", ["/endpoints/iris/invocations", "/invocations", "/status", "/models"])
def test_a_preflight_from_an_allowed_page_allows_the_call(open_server: RunningServer, path: str) -> None:
    answer = _preflight(open_server, path, _PAGE)
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == _PAGE
    assert {"GET", "POST", "OPTIONS"} <= set(answer.headers["access-control-allow-methods"].split(", "))
    assert "x-amzn-sagemaker-target-model" in answer.headers["access-control-allow-headers"]
    assert "x-mine" in answer.headers["access-control-allow-headers"]
    assert "access-control-allow-credentials" not in answer.headers


def test_a_preflight_from_another_page_or_for_another_method_is_refused(open_server: RunningServer) -> None:
    answer = _preflight(open_server, "/invocations", "https://evil.example")
    assert answer.status_code == 400
    assert "access-control-allow-origin" not in answer.headers
    assert _preflight(open_server, "/models/a", _PAGE, method="DELETE").status_code == 400


@pytest.mark.parametrize("body", [_ROW, "junk"], ids=["answer", "error"])
def test_a_page_may_read_the_answer_and_its_amazon_headers(open_server: RunningServer, body: str) -> None:
    answer = open_server.invoke("iris", body, Content_Type="text/csv", Origin=_PAGE)
    assert answer.headers["access-control-allow-origin"] == _PAGE
    assert "origin" in answer.headers["vary"].lower()
    exposed = {name.lower() for name in answer.headers["access-control-expose-headers"].split(", ")}
    assert {name for name in answer.headers if name.startswith("x-amzn")} <= exposed


def test_another_pages_call_is_answered_but_not_readable(open_server: RunningServer) -> None:
    answer = open_server.invoke("iris", _ROW, Content_Type="text/csv", Origin="https://evil.example")
    assert answer.status_code == 200
    assert "access-control-allow-origin" not in answer.headers


def test_calls_without_a_page_are_as_ever(open_server: RunningServer) -> None:
    answer = open_server.invoke("iris", _ROW, Content_Type="text/csv")
    assert answer.content == b"[0]"
    assert not [name for name in answer.headers if name.startswith("access-control")]


def test_unless_it_is_set_no_page_may_call(samples: RunningServer) -> None:
    answer = samples.invoke("iris", _ROW, Content_Type="text/csv", Origin=_PAGE)
    assert not [name for name in answer.headers if name.startswith("access-control")]
    assert _preflight(samples, "/invocations", _PAGE).status_code >= 400
