"""The multi-model `/models` contract (A.7) over two gateways, and its routes by themselves."""

import asyncio
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx
import joblib
import numpy as np
import pytest
from fastapi import FastAPI
from sklearn.linear_model import LinearRegression

from service.domain.caller import Caller
from service.errors import ModelFault, ModelNotFound
from service.faces.container.management import create_router
from service.hosting.host import Answer
from service.invoke.invocation import InvocationHead
from service.invoke.predict import InvocationOutcome, Prediction
from service.invoke.round import Round
from tests.conftest import RunningServer, StartServer, copy_sample, wait_until
from tests.faces.called import called
from tests.harness import web

_SOMEONE = Caller("123456789012", "cn-north-1", "alice")
_ROW = "5.1,3.5,1.4,0.2"


@pytest.fixture(scope="module")
def holder(tmp_path_factory: pytest.TempPathFactory, start_server: StartServer) -> Iterator[RunningServer]:
    """Two gateways with 4 MB for models between them, started empty; each has 2 MB, less than `huge`."""
    models = tmp_path_factory.mktemp("holder")
    for name in ("iris-logistic", "breast-cancer"):
        copy_sample(name, models / name)
    (models / "broken").mkdir()
    (models / "broken" / "model.joblib").write_bytes(b"no model")
    (models / "huge").mkdir()
    huge = LinearRegression()
    huge.coef_, huge.intercept_, huge.n_features_in_ = np.ones(2_000_000), 0.0, 2_000_000
    joblib.dump(huge, models / "huge" / "model.joblib")
    server = start_server(models, model_memory="4MB")
    yield server
    server.stop()


@pytest.fixture
def client(holder: RunningServer) -> Iterator[httpx.Client]:
    """A client whose calls land on any gateway: no connection is kept. Leaves nothing registered."""
    limits = httpx.Limits(max_keepalive_connections=0)
    with web.client(base_url=holder.url, timeout=30, limits=limits) as client:
        yield client
        for model in client.get("/models").json()["models"]:
            client.delete(f"/models/{model['modelName']}")


def _register(client: httpx.Client, name: str, url: Path | str) -> httpx.Response:
    return client.post("/models", json={"model_name": name, "url": str(url)})


def _problem(answer: httpx.Response) -> tuple[int, str, str]:
    document = answer.json()
    assert set(document) == {"code", "type", "message"}
    assert document["code"] == answer.status_code
    return answer.status_code, document["type"], document["message"]


@pytest.mark.provenance("documented")
def test_ping_is_200_with_no_model_loaded(client: httpx.Client) -> None:
    assert client.get("/ping").status_code == 200


@pytest.mark.provenance("documented")
def test_a_model_is_registered_described_listed_invoked_and_unregistered(
    client: httpx.Client, holder: RunningServer
) -> None:
    url = str(holder.models / "iris-logistic")
    answer = _register(client, "9f2b", url)
    assert (answer.status_code, answer.json()) == (200, {"status": 'Model "9f2b" registered'})
    assert client.get("/models/9f2b").json() == {"modelName": "9f2b", "modelUrl": url}
    assert client.get("/models").json() == {"models": [{"modelName": "9f2b", "modelUrl": url}]}
    # As often as it takes to meet both gateways: what one was told, the other knows at once.
    for _ in range(30):
        answer = client.post("/models/9f2b/invoke", content=_ROW, headers={"Content-Type": "text/csv"})
        assert (answer.status_code, answer.content) == (200, b"[0]")
        assert answer.headers["content-type"] == "application/json"
    answer = client.delete("/models/9f2b")
    assert (answer.status_code, answer.json()) == (200, {"status": 'Model "9f2b" unregistered'})
    assert _problem(client.get("/models/9f2b")) == (404, "ModelNotFoundException", "Model not found: 9f2b")


def test_after_unregistering_every_gateway_forgets_the_name(
    client: httpx.Client, holder: RunningServer
) -> None:
    assert _register(client, "gone", holder.models / "iris-logistic").status_code == 200
    assert client.delete("/models/gone").status_code == 200
    misses = 0

    def missed_often() -> bool:
        nonlocal misses
        answer = client.post("/models/gone/invoke", content=_ROW, headers={"Content-Type": "text/csv"})
        misses = misses + 1 if answer.status_code == 404 else 0
        return misses >= 20

    wait_until(missed_often, 10)


@pytest.mark.provenance("documented")
def test_a_name_that_is_taken_is_409(client: httpx.Client, holder: RunningServer) -> None:
    assert _register(client, "a", holder.models / "iris-logistic").status_code == 200
    assert _problem(_register(client, "a", holder.models / "breast-cancer")) == (
        409,
        "ConflictStatusException",
        "Model a is already registered.",
    )


@pytest.mark.provenance("documented")
@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b'{"model_name": "a"}', "Parameter url is required."),
        (b'{"url": "a"}', "Parameter model_name is required."),
        (b'{"model_name": "", "url": "a"}', "Parameter model_name is required."),
        (b'{"model_name": 1, "url": "a"}', "Parameter model_name is required."),
        (b"[]", "The body must be a JSON object with model_name and url."),
        (b"{", "The body is not JSON"),
        (b"", "The body is not JSON"),
        (b"\xff", "The body is not JSON"),
        (b"[" * 100_000, "The body is not JSON"),
        (b'{"model_name": "' + b"n" * 1025 + b'", "url": "a"}', "model_name has more than 1024 characters."),
    ],
)
def test_a_registration_that_cannot_be_read_is_400(client: httpx.Client, body: bytes, message: str) -> None:
    status, kind, text = _problem(client.post("/models", content=body))
    assert (status, kind) == (400, "BadRequestException")
    assert text.startswith(message)


def test_a_registration_over_its_limit_is_413(client: httpx.Client) -> None:
    answer = client.post("/models", content=b" " * 1_500_000)
    assert _problem(answer)[:2] == (413, "RequestEntityTooLargeException")
    assert answer.headers["connection"] == "close"


@pytest.mark.parametrize("url", ["nothing", "/etc", "../../etc", "s3://bucket/key", "\x00"])
def test_a_place_that_is_no_model_of_ours_is_404(client: httpx.Client, url: str) -> None:
    assert _problem(_register(client, "a", url))[:2] == (404, "ModelNotFoundException")
    assert client.get("/models").json() == {"models": []}


def test_a_model_that_cannot_be_loaded_is_500_with_its_reason(
    client: httpx.Client, holder: RunningServer
) -> None:
    status, kind, text = _problem(_register(client, "a", holder.models / "broken"))
    assert (status, kind) == (500, "ModelFailure")
    assert "model.joblib cannot be read" in text
    assert client.get("/models/a").status_code == 404


@pytest.mark.provenance("documented")
def test_a_model_that_does_not_fit_is_507(client: httpx.Client, holder: RunningServer) -> None:
    assert _problem(_register(client, "a", holder.models / "huge"))[:2] == (
        507,
        "InsufficientStorageException",
    )


def test_an_unknown_model_is_404_for_every_verb(client: httpx.Client) -> None:
    for answer in (
        client.get("/models/nobody"),
        client.delete("/models/nobody"),
        client.post("/models/nobody/invoke", content=_ROW),
    ):
        assert _problem(answer) == (404, "ModelNotFoundException", "Model not found: nobody")


def test_a_refused_request_to_a_model_keeps_the_containers_status(
    client: httpx.Client, holder: RunningServer
) -> None:
    assert _register(client, "a", holder.models / "iris-logistic").status_code == 200
    refusals = (
        ("1,2", {"Content-Type": "text/csv"}, 400),
        (_ROW, {"Content-Type": "text/xml"}, 415),
        (_ROW, {"Content-Type": "text/csv", "Accept": "image/png"}, 406),
        (b"7" * 7_000_000, {"Content-Type": "text/csv"}, 413),
    )
    for body, headers, status in refusals:
        answer = client.post("/models/a/invoke", content=body, headers=headers)
        assert _problem(answer)[0] == status


@pytest.mark.parametrize("name", ["a/b", "a b", "é", "<b>", "../up", "a/invoke"])
def test_a_name_may_hold_what_a_url_must_escape(
    client: httpx.Client, holder: RunningServer, name: str
) -> None:
    url = str(holder.models / "iris-logistic")
    assert _register(client, name, url).status_code == 200
    path = "/models/" + "".join(f"%{byte:02X}" for byte in name.encode())
    assert client.get(path).json() == {"modelName": name, "modelUrl": url}
    answer = client.post(f"{path}/invoke", content=_ROW, headers={"Content-Type": "text/csv"})
    assert answer.content == b"[0]"
    assert client.delete(path).status_code == 200


# ---- the routes by themselves


class _Shelf:
    """Models that exist by name only."""

    def __init__(self, names: list[str]) -> None:
        self.known = {name: f"/models/{name}" for name in names}

    def names(self) -> dict[str, str]:
        return self.known

    async def register(self, name: str, url: str) -> None:
        raise ModelFault("the machine is on fire", status=599)

    async def unregister(self, name: str) -> None:
        raise KeyError("a bug")

    def answer(
        self, asked: Sequence[tuple[InvocationHead, Sequence[bytes]]]
    ) -> list[list[InvocationOutcome]]:
        assert {head.invocation.caller for head, _ in asked} == {_SOMEONE}
        return [[self._outcome(head.invocation.registered) for _ in bodies] for head, bodies in asked]

    def _outcome(self, name: str | None) -> InvocationOutcome:
        if name not in self.known:
            return ModelNotFound(str(name))
        return Prediction(Answer(b"unseen", "text/plain", status=204), "AllTraffic")


def _app(shelf: _Shelf) -> httpx.AsyncClient:
    app, rounds = FastAPI(), Round(asyncio.get_running_loop())
    problems = ["Model m is loading."]
    app.include_router(create_router(shelf, shelf.answer, rounds, lambda: problems, 6 * 2**20))
    return httpx.AsyncClient(
        transport=httpx.ASGITransport(called(app, _SOMEONE)), base_url="http://shelf", timeout=10
    )


def _ask(shelf: _Shelf, method: str, path: str, **options: Any) -> httpx.Response:
    async def ask() -> httpx.Response:
        async with _app(shelf) as client:
            return await client.request(method, path, **options)

    return asyncio.run(ask())


@pytest.mark.usefixtures("hushed_by_nobody")
def test_routes_make_nothing_that_pydantic_would_warn_of() -> None:
    """Warnings are errors here."""
    shelf = _Shelf(["m"])
    for method, path in (("GET", "/models"), ("GET", "/models/m"), ("DELETE", "/models/m"), ("GET", "/ping")):
        assert _ask(shelf, method, path).status_code in (200, 500, 503)
    assert _ask(shelf, "GET", "/execution-parameters").json()["MaxPayloadInMB"] == 6
    assert _ask(shelf, "POST", "/models/m/invoke").status_code == 204


@pytest.mark.provenance("documented")
def test_a_long_list_comes_in_pages_of_a_hundred() -> None:
    shelf = _Shelf([f"m{number:03}" for number in range(250)])
    seen, token = [], ""
    while True:
        page = _ask(shelf, "GET", "/models", params={"next_page_token": token} if token else {}).json()
        seen.append([model["modelName"] for model in page["models"]])
        token = page.get("nextPageToken", "")
        if not token:
            break
    assert [len(page) for page in seen] == [100, 100, 50]
    assert [name for page in seen for name in page] == sorted(shelf.known)


def test_a_page_that_ends_the_list_exactly_has_no_next() -> None:
    assert "nextPageToken" not in _ask(_Shelf([str(n) for n in range(100)]), "GET", "/models").json()


@pytest.mark.parametrize("token", ["x", "-1", "9" * 5000, "٣", "1.5"])
def test_a_token_that_was_never_given_out_is_400(token: str) -> None:
    answer = _ask(_Shelf([]), "GET", "/models", params={"next_page_token": token})
    assert _problem(answer)[:2] == (400, "BadRequestException")


def test_problems_are_pings_text() -> None:
    answer = _ask(_Shelf([]), "GET", "/ping")
    assert (answer.status_code, answer.text) == (503, "Model m is loading.")


def test_a_bug_is_500_without_its_text() -> None:
    status, kind, text = _problem(_ask(_Shelf([]), "DELETE", "/models/a"))
    assert (status, kind) == (500, "InternalServerException")
    assert "a bug" not in text


def test_a_status_without_a_name_is_called_after_its_error() -> None:
    answer = _ask(_Shelf([]), "POST", "/models", json={"model_name": "a", "url": "b"})
    assert _problem(answer) == (599, "ModelFault", "the machine is on fire")


def test_an_answer_without_content_has_an_empty_body() -> None:
    answer = _ask(_Shelf(["a"]), "POST", "/models/a/invoke", content=b"1")
    assert (answer.status_code, answer.content) == (204, b"")
