"""HTTP at the front door: methods, slashes, HEAD, compressed bodies, and answers that are no pages."""

import gzip
import json
import zlib
from collections.abc import Callable, Iterator
from functools import cache

import httpx
import pytest

from tests.conftest import RunningServer, StartServer
from tests.harness import web

_ROW = b"5.1,3.5,1.4,0.2"
_CSV = {"Content-Type": "text/csv"}
_PREDICTION = "/endpoints/iris/invocations"
_LIMIT_BYTES = 50_000
_SCRIPT = """
def model_fn(model_dir):
    return None

def input_fn(body, content_type):
    return body if isinstance(body, str) else body.decode()

def predict_fn(text, model):
    return text

def output_fn(text, accept):
    kind, _, content = text.partition("|")
    return content, kind
"""


@pytest.fixture(scope="module")
def server(start_server: StartServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server with a model that answers what it is told, under the type that it is told."""
    models = tmp_path_factory.mktemp("echo")
    (models / "echo").mkdir()
    (models / "echo" / "inference.py").write_text(_SCRIPT)
    (models / "endpoints.yaml").write_text(
        "default_endpoint: echo\nendpoints: {echo: {variants: {v: {model: echo}}}}\n"
    )
    server = start_server(models, gateways=1, max_body_bytes=str(_LIMIT_BYTES))
    yield server
    server.stop()


def _echo(server: RunningServer, path: str, body: bytes, **headers: str) -> httpx.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return web.post(
        server.url + path, content=body, headers={"Content-Type": "text/plain", **named}, timeout=20
    )


# ---- methods and paths


@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE", "OPTIONS", "HEAD"])
@pytest.mark.parametrize("path", [_PREDICTION, "/invocations", f"{_PREDICTION}/"])
def test_another_method_than_post_is_told_how_it_is_done(
    samples: RunningServer, method: str, path: str
) -> None:
    answer = web.request(method, samples.url + path, timeout=10)
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
    if method != "HEAD":
        example = (
            f"curl {samples.url}/endpoints/iris/invocations -H 'Content-Type: text/csv' -d 5.1,3.5,1.4,0.2"
        )
        assert "send a POST" in answer.text
        assert example in answer.text


def test_an_endpoint_without_an_example_is_shown_with_a_file_of_input(server: RunningServer) -> None:
    answer = web.get(f"{server.url}/endpoints/echo/invocations", timeout=10)
    assert answer.status_code == 405
    assert (
        f"curl {server.url}/endpoints/echo/invocations -H 'Content-Type: text/csv' --data-binary @input.csv"
        in answer.text
    )


@pytest.mark.parametrize("path", [f"{_PREDICTION}/", "/invocations/"])
def test_a_trailing_slash_changes_nothing(samples: RunningServer, path: str) -> None:
    answer = web.post(samples.url + path, content=_ROW, headers=_CSV, timeout=10)
    assert (answer.status_code, answer.content) == (200, b"[0]")


@pytest.mark.parametrize(
    "path", ["/", "/docs", "/openapi.json", "/status", "/metrics", "/healthz", "/readyz", "/ping", "/models"]
)
def test_head_is_a_get_without_its_body(samples: RunningServer, path: str) -> None:
    with web.client(base_url=samples.url, timeout=10) as client:
        head, get = client.head(path), client.get(path)
        assert (head.status_code, head.content) == (get.status_code, b"")
        assert head.headers["content-type"] == get.headers["content-type"]
        assert path == "/ping" or int(head.headers["content-length"]) > 0


# ---- compressed bodies


@pytest.mark.parametrize("encoding", ["gzip", "x-gzip", "GZIP", "deflate", "identity"])
@pytest.mark.parametrize("path", [_PREDICTION, "/invocations"])
def test_a_compressed_body_is_read(samples: RunningServer, encoding: str, path: str) -> None:
    packed = {"deflate": zlib.compress(_ROW), "identity": _ROW}.get(encoding, gzip.compress(_ROW))
    answer = web.post(
        samples.url + path, content=packed, headers={**_CSV, "Content-Encoding": encoding}, timeout=10
    )
    assert (answer.status_code, answer.content) == (200, b"[0]")


def test_compressed_control_calls_and_registrations_are_read(samples: RunningServer) -> None:
    headers = {"X-Amz-Target": "SageMaker.DescribeEndpoint", "Content-Encoding": "gzip"}
    headers["Content-Type"] = "application/x-amz-json-1.1"
    body = gzip.compress(b'{"EndpointName": "iris"}')
    answer = web.post(f"{samples.url}/", content=body, headers=headers, timeout=10)
    assert answer.json()["EndpointName"] == "iris"
    model = gzip.compress(json.dumps({"model_name": "packed", "url": "no-such-model"}).encode())
    headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    answer = web.post(f"{samples.url}/models", content=model, headers=headers, timeout=10)
    assert answer.status_code == 404  # it was read: there is no such model


def test_members_and_pieces_are_put_together(server: RunningServer) -> None:
    text = b"text/plain|" + bytes(range(32, 127)) * 400
    packed = gzip.compress(text[:100]) + gzip.compress(text[100:])
    for body in (packed, gzip.compress(text, compresslevel=0)):
        answer = _echo(server, "/endpoints/echo/invocations", body, Content_Encoding="gzip")
        assert answer.content == text.partition(b"|")[2]

    def pieces() -> Iterator[bytes]:
        for at in range(0, len(packed), 7):
            yield packed[at : at + 7]

    headers = {"Content-Type": "text/plain", "Content-Encoding": "gzip"}
    answer = web.post(f"{server.url}/invocations", content=pieces(), headers=headers, timeout=20)
    assert answer.content == text.partition(b"|")[2]


_NOTHING = gzip.compress(b"") * (3 * _LIMIT_BYTES // 20)


@cache
def _bomb() -> bytes:
    """Made by who uses it: it takes a second."""
    return gzip.compress(bytes(200_000_000), compresslevel=9)


@pytest.mark.parametrize(
    "make",
    [_bomb, lambda: _NOTHING, lambda: gzip.compress(bytes(_LIMIT_BYTES + 1))],
    ids=["bomb", "nothing", "one over"],
)
@pytest.mark.parametrize("path", ["/endpoints/echo/invocations", "/invocations", "/models/echo/invoke"])
def test_a_body_that_unpacks_to_more_than_the_limit_is_413(
    server: RunningServer, path: str, make: Callable[[], bytes]
) -> None:
    body = make()
    before = _peak_bytes(server)
    answer = _echo(server, path, body, Content_Encoding="gzip")
    assert answer.status_code in ((413, 404) if "models" in path and body is _NOTHING else (413,))
    assert _peak_bytes(server) - before < 60_000_000
    assert _echo(server, "/invocations", b"text/plain|well").content == b"well"


def _peak_bytes(server: RunningServer) -> int:
    (gateway,) = server.gateways()
    with open(f"/proc/{gateway}/status", encoding="ascii") as file:
        peak = next(line for line in file if line.startswith("VmHWM"))
    return int(peak.split()[1]) * 1024


@pytest.mark.parametrize(
    "body",
    [b"no gzip at all", gzip.compress(_ROW)[:-9], gzip.compress(_ROW)[:5] + b"junk" * 9],
    ids=["no gzip", "cut off", "junk"],
)
@pytest.mark.parametrize("path", ["/endpoints/echo/invocations", "/invocations"])
def test_a_damaged_body_is_the_callers_fault(server: RunningServer, path: str, body: bytes) -> None:
    answer = _echo(server, path, body, Content_Encoding="gzip")
    assert answer.status_code == 400
    assert "compressed" in answer.text


@pytest.mark.parametrize("encoding", ["br", "zstd", "gzip, gzip", "compress", "\u00e9"])
@pytest.mark.parametrize("path", ["/endpoints/echo/invocations", "/invocations", "/", "/models"])
def test_another_encoding_is_415_and_says_what_is_read(
    server: RunningServer, path: str, encoding: str
) -> None:
    headers = [(b"Content-Type", b"application/json"), (b"Content-Encoding", encoding.encode("latin-1"))]
    answer = web.post(server.url + path, content=b"x", headers=headers, timeout=20)
    assert answer.status_code == 415
    assert answer.headers["accept-encoding"] == "gzip, deflate"
    assert "send gzip, deflate or none" in answer.text


# ---- answers that browsers must not take for pages of ours


@pytest.mark.parametrize(
    "kind",
    [
        "text/html",
        "TEXT/HTML; charset=utf-8",
        "application/xhtml+xml",
        "image/svg+xml",
        "text/xml",
        "multipart/x-mixed-replace",
        "text/javascript",
        "application/json, text/html",
        "nonsense",
    ],
)
@pytest.mark.parametrize("path", ["/endpoints/echo/invocations", "/invocations"])
def test_what_a_browser_could_show_as_a_page_runs_nothing(
    server: RunningServer, path: str, kind: str
) -> None:
    page = "<script>fetch('/models', {method: 'POST'})</script>"
    for _ in range(2):
        answer = _echo(server, path, f"{kind}|{page}".encode())
        assert (answer.status_code, answer.text) == (200, page)
        assert answer.headers["content-security-policy"].startswith("sandbox;")
        assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    "kind", ["application/json", "text/csv; charset=utf-8", "application/x-npy", "Text/Plain"]
)
def test_usual_answers_pay_for_none_of_it(server: RunningServer, kind: str) -> None:
    answer = _echo(server, "/endpoints/echo/invocations", f"{kind}|1".encode())
    assert not {"content-security-policy", "x-content-type-options"} & set(answer.headers)


@pytest.mark.parametrize(
    "path", ["/", "/docs", "/status", "/static/docs.js", "/nothing-here", "/models", _PREDICTION]
)
def test_every_page_says_that_nothing_foreign_may_run_in_it_or_around_it(
    samples: RunningServer, path: str
) -> None:
    answer = web.get(samples.url + path, headers={"Accept": "text/html"}, timeout=10)
    policy = dict(part.split(" ", 1) for part in answer.headers["content-security-policy"].split("; "))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert policy["frame-ancestors"] == policy["base-uri"] == policy["form-action"] == "'none'"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["x-frame-options"] == "DENY"
    assert answer.headers["cross-origin-resource-policy"] == "same-origin"
