"""`/ping`, `/invocations` and `/execution-parameters` over real sockets, and the face's own words."""

import os
import shutil
from pathlib import Path

import httpx
import pytest

from service.errors import (
    BadPayload,
    ModelFailure,
    ModelFault,
    ModelNotReady,
    ModelTimeout,
    PayloadTooLarge,
    Unavailable,
    UnknownOperation,
    ValidationFault,
)
from service.faces.container.face import answer_headers, describe_error, read_headers, to_call
from service.hosting.host import Answer
from tests.conftest import ROOT, RunningServer, StartServer, wait_until
from tests.harness import web

_ROW = "5.1,3.5,1.4,0.2"


def _post(server: RunningServer, body: bytes | str, **headers: str) -> httpx.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return web.post(f"{server.url}/invocations", content=body, headers=named, timeout=30)


def test_the_default_endpoint_answers_and_names_its_variant(samples: RunningServer) -> None:
    answer = _post(samples, _ROW, Content_Type="text/csv")
    assert (answer.status_code, answer.content) == (200, b"[0]")
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-Amzn-Invoked-Production-Variant"] in ("logistic", "forest")
    assert answer.headers["x-amzn-RequestId"]


def test_no_content_type_is_read_as_json(samples: RunningServer) -> None:
    assert _post(samples, "[[5.1, 3.5, 1.4, 0.2]]").content == b"[0]"


def test_the_target_variant_header_picks_the_variant(samples: RunningServer) -> None:
    answer = _post(samples, _ROW, Content_Type="text/csv", X_Amzn_SageMaker_Target_Variant="forest")
    assert answer.headers["x-Amzn-Invoked-Production-Variant"] == "forest"


def test_target_headers_that_do_not_fit_are_400_with_a_sentence(samples: RunningServer) -> None:
    answer = _post(samples, _ROW, X_Amzn_SageMaker_Target_Model="m")
    assert answer.status_code == 400
    assert "is not a multi-model endpoint" in answer.text
    answer = _post(samples, _ROW, X_Amzn_SageMaker_Target_Variant="nobody")
    assert answer.status_code == 400
    assert answer.text == "Variant 'nobody' is not found in endpoint iris; its variants are logistic, forest."


@pytest.mark.parametrize(
    ("body", "headers", "status", "text"),
    [
        ("1,2", {"Content_Type": "text/csv"}, 400, "2 features"),
        ("<a/>", {"Content_Type": "text/xml"}, 415, "'text/xml'"),
        (_ROW, {"Content_Type": "text/csv", "Accept": "image/png"}, 406, "'image/png'"),
        (_ROW, {"Content_Type": "application/x-www-form-urlencoded"}, 415, "-H 'Content-Type: text/csv'"),
        (b"7" * 7_000_000, {"Content_Type": "text/csv"}, 413, "HTTP content length exceeded 6291456 bytes."),
    ],
)
def test_refusals_are_plain_text_with_the_containers_status(
    samples: RunningServer, body: bytes | str, headers: dict[str, str], status: int, text: str
) -> None:
    answer = _post(samples, body, **headers)
    assert answer.status_code == status
    assert text in answer.text
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert answer.headers["x-amzn-RequestId"]


@pytest.mark.provenance("documented")
def test_execution_parameters_are_what_batch_transform_asks_for(samples: RunningServer) -> None:
    answer = web.get(f"{samples.url}/execution-parameters", timeout=10)
    assert answer.json() == {
        "MaxConcurrentTransforms": os.cpu_count(),
        "BatchStrategy": "MULTI_RECORD",
        "MaxPayloadInMB": 6,
    }


@pytest.mark.provenance("documented")
def test_ping_is_503_while_the_default_endpoints_model_fails_and_200_after(
    start_server: StartServer, tmp_path: Path
) -> None:
    sample = ROOT / "models" / "iris-logistic" / "model.joblib"
    for name in ("main", "other"):
        (tmp_path / name).mkdir()
    shutil.copy(sample, tmp_path / "other" / "model.joblib")
    (tmp_path / "main" / "model.joblib").write_bytes(b"no model")
    (tmp_path / "endpoints.yaml").write_text(
        "default_endpoint: main\n"
        "endpoints: {main: {variants: {v: {model: main}}}, other: {variants: {v: {model: other}}}}\n"
    )
    server = start_server(tmp_path, wait=False, gateways=1)
    wait_until(lambda: _get(f"{server.url}/healthz") == 200, 60)
    wait_until(lambda: "Endpoint main is Failed" in web.get(f"{server.url}/readyz", timeout=5).text, 30)
    ping = web.get(f"{server.url}/ping", timeout=5)
    assert ping.status_code == 503
    assert "model.joblib cannot be read" in ping.text
    wait_until(lambda: server.invoke("other", _ROW, Content_Type="text/csv").status_code == 200, 20)

    finished = tmp_path / "new"
    shutil.copy(sample, finished)
    finished.replace(tmp_path / "main" / "model.joblib")
    wait_until(lambda: _get(f"{server.url}/ping") == 200, 60)
    assert _post(server, _ROW, Content_Type="text/csv").content == b"[0]"
    assert server.stop() == 0


def test_another_endpoints_failure_is_none_of_pings(start_server: StartServer, tmp_path: Path) -> None:
    for name in ("main", "broken"):
        (tmp_path / name).mkdir()
    shutil.copy(ROOT / "models" / "iris-logistic" / "model.joblib", tmp_path / "main")
    (tmp_path / "broken" / "model.joblib").write_bytes(b"no model")
    (tmp_path / "endpoints.yaml").write_text(
        "default_endpoint: main\n"
        "endpoints: {main: {variants: {v: {model: main}}}, broken: {variants: {v: {model: broken}}}}\n"
    )
    server = start_server(tmp_path, wait=False, gateways=1)
    wait_until(lambda: _get(f"{server.url}/ping") == 200, 60)
    wait_until(lambda: "Endpoint broken is Failed" in web.get(f"{server.url}/readyz", timeout=5).text)
    assert _get(f"{server.url}/readyz") == 200
    assert server.stop() == 0


def _get(url: str) -> int:
    try:
        return web.get(url, timeout=5).status_code
    except httpx.HTTPError:
        return 0


# ---- the words by themselves


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (PayloadTooLarge(5), 413),
        (ModelTimeout("slow"), 504),
        (ModelNotReady("wait"), 429),
        (Unavailable("full"), 503),
        (ValidationFault("wrong"), 400),
        (UnknownOperation("none"), 400),
        (BadPayload("bad"), 400),
        (ModelFailure("broken"), 500),
        (ModelFault("teapot", 418), 418),
    ],
)
def test_each_error_has_its_status_and_its_sentence(error: Exception, status: int) -> None:
    assert describe_error(error, "id")[0] == status
    assert describe_error(error, "id")[1]


def test_a_bug_says_its_request_id_and_nothing_else() -> None:
    assert describe_error(KeyError("secret"), "id-1") == (
        500,
        "Internal error; the log has the reason under request id id-1.",
    )


def test_a_call_is_made_of_the_headers_that_the_contract_knows() -> None:
    scope = {
        "headers": [
            (b"content-type", b"text/csv"),
            (b"accept", b"*/*"),
            (b"x-amzn-sagemaker-session-id", b"NEW_SESSION"),
            (b"x-amzn-sagemaker-custom-attributes", b"caf\xe9"),
            (b"authorization", b"secret"),
        ]
    }
    call = to_call(read_headers(scope), b"1")
    assert (call.body, call.content_type, call.accept, call.session_id) == (
        b"1",
        "text/csv",
        "*/*",
        "NEW_SESSION",
    )
    assert call.custom_attributes == "café"
    assert call.target_model is None
    assert b"authorization" not in read_headers(scope)


def test_values_that_no_header_can_hold_are_left_out() -> None:
    answer = Answer(b"", "text/plain\r\nX-Injected: 1", "a\nb", 200, "new", None)
    headers = answer_headers(answer)
    assert headers[0] == (b"x-amzn-sagemaker-new-session-id", b"new")
    # Without a type a browser would guess one.
    assert [name for name, _ in headers[1:]] == [b"x-content-type-options", b"content-security-policy"]


def test_letters_beyond_latin_1_are_replaced() -> None:
    assert answer_headers(Answer(b"", "text/plain", "\u20ac"))[1] == (
        b"x-amzn-sagemaker-custom-attributes",
        b"?",
    )
