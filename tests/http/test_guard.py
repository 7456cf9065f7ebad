"""Who may ask what: hosts that are served, pages that may call, and what a page of a stranger never gets."""

import json
import shutil
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.errors import AccessDenied
from service.http.asgi import Headers
from service.http.guard import Guard, guard_of, is_deliberate, read_asked
from service.settings import Settings
from tests.conftest import RunningServer, StartServer, wait_until
from tests.harness import web

_PAGE = "https://page.example"
_EVIL = "https://evil.example"
_ROW = "5.1,3.5,1.4,0.2"
_CSV = {"Content-Type": "text/csv"}
_JSON = {"Content-Type": "application/json"}
_CALL = {"Content-Type": "application/x-amz-json-1.1", "X-Amz-Target": "SageMaker.ListEndpoints"}
_PREDICTION = "/endpoints/iris/invocations"


@pytest.fixture(scope="module")
def open_server(start_server: StartServer) -> Iterator[RunningServer]:
    """A server that one page may call, as somebody copies its address, and that has one more name."""
    server = start_server(
        gateways=1, cors_origins=f"{_PAGE}:443/, https://other.example", allowed_hosts="*.models.example"
    )
    yield server
    server.stop()


def _ask(
    server: RunningServer,
    method: str,
    path: str,
    headers: Mapping[str, str],
    body: str | Iterator[bytes] = "",
) -> httpx.Response:
    return web.request(method, server.url + path, headers=dict(headers), content=body, timeout=20)


def _preflight(
    server: RunningServer, path: str, origin: str, method: str = "POST", **more: str
) -> httpx.Response:
    headers = {
        "Origin": origin,
        "Access-Control-Request-Method": method,
        "Access-Control-Request-Headers": "content-type,x-amzn-sagemaker-target-model,x-mine",
        **{name.replace("_", "-"): value for name, value in more.items()},
    }
    return web.options(server.url + path, headers=headers, timeout=10)


# ---- pages that a setting allows


@pytest.mark.parametrize("path", [_PREDICTION, "/invocations", "/models/a/invoke"])
def test_a_preflight_from_an_allowed_page_allows_a_prediction(open_server: RunningServer, path: str) -> None:
    answer = _preflight(open_server, path, _PAGE)
    assert answer.is_success
    assert answer.headers["access-control-allow-origin"] == _PAGE
    assert "POST" in answer.headers["access-control-allow-methods"]
    assert "x-amzn-sagemaker-target-model" in answer.headers["access-control-allow-headers"]
    assert "x-mine" in answer.headers["access-control-allow-headers"]
    assert "origin" in answer.headers["vary"].lower()
    assert not {"access-control-allow-credentials", "access-control-allow-private-network"} & set(
        answer.headers
    )
    private = _preflight(open_server, path, _PAGE, Access_Control_Request_Private_Network="true")
    assert private.headers["access-control-allow-private-network"] == "true"


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_an_allowed_page_reads_what_an_endpoint_takes(open_server: RunningServer, method: str) -> None:
    answer = _ask(open_server, method, "/endpoints/iris", {"Origin": _PAGE})
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == _PAGE
    assert method == "HEAD" or answer.json()["input"]["columns"]
    assert _preflight(open_server, "/endpoints/iris", _PAGE, "GET").is_success
    assert _ask(open_server, method, "/endpoints/iris", {"Origin": _EVIL}).status_code == 403


_CLOSED = ("/", "/models", "/models/a", "/status", "/metrics", "/openapi.json", "/endpoints/iris/experiment")


@pytest.mark.parametrize("path", [*_CLOSED, "/endpoints/iris/promote"])
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_nothing_but_predictions_is_opened_even_to_an_allowed_page(
    open_server: RunningServer, path: str, method: str
) -> None:
    for answer in (
        _preflight(open_server, path, _PAGE, method),
        _ask(open_server, method, path, {"Origin": _PAGE, **_CALL}),
    ):
        assert answer.status_code == 403
        assert not [name for name in answer.headers if name.startswith("access-control")]
        assert "SAGEBIRD_CORS_ORIGINS opens predictions, their outcomes and descriptions" in answer.text


def test_a_refused_preflight_names_the_setting_to_the_caller_and_in_the_log(
    open_server: RunningServer,
) -> None:
    answer = _preflight(open_server, _PREDICTION, _EVIL)
    assert answer.status_code == 403
    assert "access-control-allow-origin" not in answer.headers
    assert "SAGEBIRD_CORS_ORIGINS" in answer.text
    log = open_server.log.read_text()
    assert answer.headers["x-amzn-requestid"] in log
    assert f"Pages of {_EVIL} may not ask for predictions" in log
    assert _preflight(open_server, _PREDICTION, _PAGE, method="DELETE").status_code == 403


@pytest.mark.parametrize("body", [_ROW, "junk"], ids=["answer", "error"])
def test_a_page_may_read_the_answer_and_its_amazon_headers(open_server: RunningServer, body: str) -> None:
    answer = open_server.invoke("iris", body, Content_Type="text/csv", Origin=_PAGE)
    assert answer.headers["access-control-allow-origin"] == _PAGE
    assert "origin" in answer.headers["vary"].lower()
    exposed = {name.lower() for name in answer.headers["access-control-expose-headers"].split(", ")}
    assert {name for name in answer.headers if name.startswith("x-amzn")} <= exposed


# ---- pages of strangers


@pytest.mark.parametrize("origin", [_EVIL, "null", "file://", f"{_PAGE}.evil.example", "http://page.example"])
def test_another_pages_prediction_is_not_made(open_server: RunningServer, origin: str) -> None:
    for path in (_PREDICTION, "/invocations"):
        answer = _ask(open_server, "POST", path, {**_CSV, "Origin": origin}, _ROW)
        assert answer.status_code == 403
        assert "SAGEBIRD_CORS_ORIGINS" in answer.text
        assert "access-control-allow-origin" not in answer.headers
        assert "x-amzn-invoked-production-variant" not in answer.headers


def test_unless_it_is_set_no_page_may_call(samples: RunningServer) -> None:
    answer = samples.invoke("iris", _ROW, Content_Type="text/csv", Origin=_PAGE)
    assert (answer.status_code, answer.headers["x-amzn-errortype"]) == (403, "AccessDeniedException")
    assert "SAGEBIRD_CORS_ORIGINS" in answer.json()["Message"]
    assert _preflight(samples, "/invocations", _PAGE).status_code == 403


_BROWSER: tuple[dict[str, str], ...] = (
    {"Origin": _EVIL, "Sec-Fetch-Site": "cross-site"},
    {"Origin": "null", "Sec-Fetch-Site": "cross-site"},
    {"Origin": "http://localhost:3000", "Sec-Fetch-Site": "same-site"},
    {"Origin": _EVIL},
    {"Sec-Fetch-Site": "cross-site"},
)


@pytest.mark.parametrize("page", _BROWSER, ids=lambda page: "+".join(page.values()))
def test_a_strangers_page_registers_deletes_and_lists_nothing(
    open_server: RunningServer, page: dict[str, str]
) -> None:
    model = json.dumps({"model_name": "theirs", "url": str(open_server.models / "iris-logistic")})
    target = {"X-Amz-Target": "SageMaker.DeleteEndpoint"}
    for method, path, headers, body in (
        ("POST", "/models", {"Content-Type": "text/plain"}, model),
        ("POST", "/models", {}, model),
        ("POST", "/models", _JSON, model),
        ("DELETE", "/models/theirs", {}, ""),
        ("POST", "/", {**_CALL, **target}, '{"EndpointName": "iris"}'),
        ("POST", "/", {**_CALL}, "{}"),
        ("POST", "/", {"Content-Type": "application/x-www-form-urlencoded"}, "Action=GetCallerIdentity"),
        ("PUT", "/bucket/key", {}, "x"),
    ):
        answer = _ask(open_server, method, path, {**headers, **page}, body)
        assert answer.status_code == 403, (method, path, headers)
        assert "iris" not in answer.text
    assert "theirs" not in _ask(open_server, "GET", "/models", {}).text
    assert open_server.invoke("iris", _ROW, Content_Type="text/csv").status_code == 200


@pytest.mark.parametrize(
    "kind", ["text/plain", "multipart/form-data; boundary=x", "Application/X-WWW-Form-URLEncoded"]
)
def test_what_a_form_can_send_changes_nothing_and_says_what_to_send(
    open_server: RunningServer, kind: str
) -> None:
    model = json.dumps({"model_name": "theirs", "url": str(open_server.models / "iris-logistic")})
    for path, headers in (("/models", {}), ("/", {"X-Amz-Target": "SageMaker.DeleteEndpoint"})):
        answer = _ask(open_server, "POST", path, {"Content-Type": kind, **headers}, model)
        assert answer.status_code == 403
        assert "Content-Type: application/json" in answer.text
    assert "theirs" not in _ask(open_server, "GET", "/models", {}).text


def test_programs_and_links_from_elsewhere_are_as_ever(open_server: RunningServer) -> None:
    answer = open_server.invoke("iris", _ROW, Content_Type="text/csv")
    assert answer.content == b"[0]"
    assert not [name for name in answer.headers if name.startswith("access-control")]
    assert _ask(open_server, "POST", "/", _CALL, "{}").status_code == 200
    link = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Accept": "text/html"}
    assert _ask(open_server, "GET", "/", link).status_code == 200
    forgotten = open_server.invoke("iris", _ROW, Content_Type="application/x-www-form-urlencoded")
    assert "add -H 'Content-Type: text/csv'" in forgotten.text  # as ever: curl -d without a type


def test_pages_of_this_server_may_call_all_of_it(open_server: RunningServer) -> None:
    for page in (
        {"Origin": open_server.url, "Sec-Fetch-Site": "same-origin"},
        {"Origin": open_server.url},
        {"Origin": "https://behind.a.proxy.example", "Sec-Fetch-Site": "same-origin"},
    ):
        answer = _ask(open_server, "POST", _PREDICTION, {**_CSV, **page}, _ROW)
        assert answer.content == b"[0]"
        assert "access-control-allow-origin" not in answer.headers
        assert _ask(open_server, "POST", "/", {**_CALL, **page}, "{}").status_code == 200


# ---- hosts


def _raw(server: RunningServer, host: str, path: str, body: bytes, *lines: str) -> tuple[int, bytes]:
    """Status and body of one POST with exactly this Host."""
    place = httpx.URL(server.url)
    head = [f"POST {path} HTTP/1.1", f"Host: {host}", *lines, "Connection: close"]
    head += [f"Content-Length: {len(body)}", "", ""]
    with socket.create_connection((place.host, place.port or 80), timeout=20) as connection:
        connection.sendall("\r\n".join(head).encode("latin-1") + body)
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    return int(answer.split()[1]), answer.partition(b"\r\n\r\n")[2]


_FOREIGN = (
    "evil.example",
    "evil.example:8080",
    "localhost.evil.example",
    "203.0.113.9",
    "[2001:db8::1]:80",
    "0.0.0.0",
)


@pytest.mark.parametrize("host", _FOREIGN)
def test_a_foreign_host_is_refused_whatever_is_asked(open_server: RunningServer, host: str) -> None:
    for path in (
        "/",
        "/status",
        "/models",
        "/healthz",
        "/ping",
        "/static/home.css",
        "/endpoints/iris",
        "/nothing",
    ):
        answer = _ask(open_server, "GET", path, {"Host": host})
        assert (answer.status_code, "SAGEBIRD_ALLOWED_HOSTS" in answer.text) == (403, True), path
    for way in ("X-Usual: yes", "Content-Encoding: identity"):  # the fast way, and ASGI
        lines = ("Content-Type: text/csv", way)
        for path in (_PREDICTION, "/invocations"):
            for _ in range(2):  # the second time the head is known
                status, body = _raw(open_server, host, path, _ROW.encode(), *lines)
                assert (status, b"SAGEBIRD_ALLOWED_HOSTS" in body) == (403, True)
    status, body = _raw(open_server, host, "/", b"{}", *(f"{name}: {value}" for name, value in _CALL.items()))
    assert status == 403
    assert json.loads(body)["__type"] == "AccessDeniedException"
    form = "Content-Type: application/x-www-form-urlencoded"
    status, body = _raw(open_server, host, "/", b"Action=GetCallerIdentity&Version=2011-06-15", form)
    assert status == 403
    assert body.startswith(b"<ErrorResponse>")


@pytest.mark.parametrize(
    "host",
    [
        "LocalHost",
        "localhost:1",
        "app.localhost",
        "127.0.0.1",
        "127.8.8.8:9",
        "[::1]:8080",
        "a.MODELS.example",
    ],
)
def test_names_of_this_machine_and_those_of_the_setting_are_served(
    open_server: RunningServer, host: str
) -> None:
    for _ in range(2):
        assert _raw(open_server, host, _PREDICTION, _ROW.encode(), "Content-Type: text/csv") == (200, b"[0]")
    assert _ask(open_server, "GET", "/status", {"Host": host}).status_code == 200


def _serves(guard: Guard, *hosts: str) -> list[bool]:
    return [guard.serves(host.encode("latin-1")) for host in hosts]


def test_a_server_on_every_address_is_called_by_any_of_them_and_by_its_machines_name() -> None:
    guard = Guard("0.0.0.0", ("server",), own_names=("MyBox",))
    assert _serves(guard, "10.1.2.3:8080", "[fe80::1]", "localhost", "mybox", "server:8080") == [True] * 5
    assert _serves(guard, "evil.example", "server.evil.example", "other") == [False] * 3


def test_a_server_on_one_address_is_called_by_it() -> None:
    guard = Guard("192.168.1.5", own_names=("mybox",))
    assert _serves(guard, "192.168.1.5:8080", "localhost", "mybox") == [True] * 3
    assert _serves(guard, "192.168.1.6", "evil.example") == [False] * 2
    assert _serves(Guard("Models.lan"), "models.lan:8080", "127.0.0.1", "lan") == [True, True, False]
    assert _serves(Guard("127.0.0.1", own_names=("mybox",)), "mybox") == [False]  # nobody reaches it so


def test_names_below_are_not_the_name_itself_and_any_is_any() -> None:
    guard = Guard("127.0.0.1", ("*.models.example",))
    assert _serves(guard, "a.models.example", "a.b.models.example") == [True, True]
    assert _serves(guard, "models.example", "xmodels.example", "a.models.example.evil") == [False] * 3
    Guard("127.0.0.1", ("*",)).check_host([(b"host", b"anything.example")])


def test_who_sends_no_host_is_no_browser_and_two_hosts_must_both_be_served() -> None:
    guard = Guard("127.0.0.1")
    guard.check_host([(b"accept", b"*/*")])
    both: Headers = [(b"host", b"localhost"), (b"host", b"evil.example")]
    with pytest.raises(AccessDenied):
        guard.check_host(both)
    with pytest.raises(AccessDenied):
        guard.check_host([(b"host", b"a" * 5000)])


def _settings(tmp_path: Path, **values: Any) -> Settings:
    return Settings(models=tmp_path, data=tmp_path, auth="off", **values)


def test_sagemaker_s_own_container_is_called_by_any_name_unless_a_setting_says_which(tmp_path: Path) -> None:
    foreign: Headers = [(b"host", b"model-container.internal:8080")]
    guard_of(_settings(tmp_path, host="0.0.0.0"), contains=True).check_host(foreign)
    for settings, contains in (
        (_settings(tmp_path, host="127.0.0.1"), True),
        (_settings(tmp_path, host="0.0.0.0"), False),
        (_settings(tmp_path, host="0.0.0.0", allowed_hosts=("models.example",)), True),
    ):
        with pytest.raises(AccessDenied):
            guard_of(settings, contains=contains).check_host(foreign)


def test_any_origin_may_be_allowed_and_still_reaches_predictions_only() -> None:
    guard = Guard("127.0.0.1", origins=("*",))
    asked = read_asked([(b"host", b"localhost"), (b"origin", b"null")])
    assert guard.check("POST", _PREDICTION, asked) == "*"
    with pytest.raises(AccessDenied, match="nothing else"):
        guard.check("POST", "/models", asked)
    with pytest.raises(AccessDenied, match="POST only"):
        guard.check("DELETE", _PREDICTION, asked)


def test_values_of_an_environment_are_in_no_page_and_in_no_log(open_server: RunningServer) -> None:
    secret = "s3cret-of-the-database"
    bucket = open_server.data / "s3" / "secrets"
    shutil.copytree(open_server.models / "iris-logistic", bucket / "model")
    container: dict[str, Any] = {
        "Image": "sagebird/sklearn",
        "ModelDataUrl": "s3://secrets/model/",
        "Environment": {"DB_PASSWORD": secret},
    }
    model = {"ModelName": "with-secret", "PrimaryContainer": container}
    variant = {
        "VariantName": "v",
        "ModelName": "with-secret",
        "InitialInstanceCount": 1,
        "InstanceType": "ml.m5.large",
    }
    for operation, document in (
        ("CreateModel", {**model, "ExecutionRoleArn": "arn:aws:iam::000000000000:role/any"}),
        ("CreateEndpointConfig", {"EndpointConfigName": "with-secret", "ProductionVariants": [variant]}),
        ("CreateEndpoint", {"EndpointName": "with-secret", "EndpointConfigName": "with-secret"}),
    ):
        answer = _ask(open_server, "POST", "/", _operation(operation), json.dumps(document))
        assert answer.status_code == 200, answer.text
    told = _ask(open_server, "POST", "/", _operation("DescribeModel"), '{"ModelName": "with-secret"}')
    assert secret in told.text  # as AWS tells whoever may call it
    container["Environment"] = {"DB_PASSWORD": secret * 100, "BAD NAME": secret}
    refused = _ask(open_server, "POST", "/", _operation("CreateModel"), json.dumps(model))
    assert secret in refused.text
    wait_until(lambda: open_server.invoke("with-secret", _ROW, Content_Type="text/csv").status_code == 200)
    for path in ("/", "/status", "/openapi.json", "/metrics", "/models", "/readyz"):
        for accept in ("text/html", "*/*"):
            assert secret not in _ask(open_server, "GET", path, {"Accept": accept}).text
    log = open_server.log.read_text()
    assert refused.headers["x-amzn-requestid"] in log
    assert "nvironment" in log
    assert secret not in log


def _operation(name: str) -> dict[str, str]:
    return {**_CALL, "X-Amz-Target": f"SageMaker.{name}"}


@pytest.mark.parametrize("header", [b"AWS4-HMAC-SHA256 Credential=a", b"AWS id:signature", b"bearer key"])
def test_programs_say_who_they_are(header: bytes) -> None:
    assert is_deliberate(header)


@pytest.mark.parametrize("header", [b"", b"Basic dTpw", b"Negotiate abc", b"Digest username=a", b"NTLM abc"])
def test_what_browsers_send_unasked_is_nobodys_word(header: bytes) -> None:
    assert not is_deliberate(header)


def test_a_form_with_what_browsers_send_unasked_is_a_form(open_server: RunningServer) -> None:
    form = {"Content-Type": "application/x-www-form-urlencoded", "Authorization": "Basic dTpw"}
    body = "Action=DeleteAlarms&Version=2010-08-01&AlarmNames.member.1=any"

    refused = web.post(open_server.url, content=body, headers=form)

    assert refused.status_code == 403
    assert "MissingAuthenticationToken" in refused.text
