"""The OpenAPI document: sound by structure, and its example requests work when sent."""

import json
from pathlib import Path
from typing import Any

import httpx
import joblib
import pandas as pd
import pytest
from fastapi import FastAPI
from sklearn.compose import ColumnTransformer
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from service.faces.people.openapi import describe_api
from service.invoke.catalogue import EndpointCard, ExampleRequest, Manual, VariantCard
from tests.conftest import RunningServer, StartServer
from tests.harness import web
from tests.harness.schemas import hold


@pytest.fixture(scope="module")
def document(samples: RunningServer) -> dict[str, Any]:
    found: dict[str, Any] = web.get(f"{samples.url}/openapi.json", timeout=10).json()
    return found


def _operations(document: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    return [
        (path, method, operation)
        for path, item in document["paths"].items()
        for method, operation in item.items()
    ]


def test_the_document_is_sound(document: dict[str, Any]) -> None:
    assert document["openapi"].startswith("3.")
    assert {"title", "version"} <= document["info"].keys()
    operations = _operations(document)
    names = [operation["operationId"] for _, _, operation in operations]
    assert len(names) == len(set(names))
    for path, method, operation in operations:
        assert path.startswith("/")
        assert method in ("get", "post", "delete")
        assert operation["responses"]
        for response in operation["responses"].values():
            assert response["description"]
        in_path = {p["name"] for p in operation.get("parameters", []) if p["in"] == "path"}
        assert in_path == {part.partition(":")[0] for part in _placeholders(path)}
        for parameter in operation.get("parameters", []):
            assert {"name", "in", "schema"} <= parameter.keys()
    assert _references(document) <= {
        f"#/components/schemas/{name}" for name in document.get("components", {}).get("schemas", {})
    }


@pytest.mark.parametrize(
    ("method", "path", "call", "status"),
    [
        ("get", "/models", {"params": {"next_page_token": "x"}}, 400),
        ("post", "/models", {"content": b"{"}, 400),
        ("post", "/models", {"json": {"model_name": "a", "url": "nowhere"}}, 404),
        ("post", "/models", {"content": b" " * (1 << 21)}, 413),
        ("get", "/models/{name}", {}, 404),
        ("delete", "/models/{name}", {}, 404),
        ("post", "/models/{name}/invoke", {"content": b"1,2"}, 404),
    ],
)
def test_errors_of_the_models_api_are_told_as_they_come(
    document: dict[str, Any],
    samples: RunningServer,
    method: str,
    path: str,
    call: dict[str, Any],
    status: int,
) -> None:
    told = document["paths"][path][method]["responses"]
    answer = web.request(method, samples.url + path.format(name="nobody"), timeout=10, **call)

    assert answer.status_code == status
    assert str(status) in told
    assert "422" not in told
    assert answer.json().keys() == document["components"]["schemas"]["ModelsError"]["properties"].keys()


def _placeholders(path: str) -> list[str]:
    return [part.partition("}")[0] for part in path.split("{")[1:]]


def _references(value: Any) -> set[str]:
    if isinstance(value, dict):
        own = {value["$ref"]} if isinstance(value.get("$ref"), str) else set()
        return own.union(*map(_references, value.values()))
    return set().union(*map(_references, value)) if isinstance(value, list) else set()


def test_every_endpoint_and_the_default_one_is_there(document: dict[str, Any]) -> None:
    assert document["paths"].keys() >= {
        "/endpoints/iris/invocations",
        "/endpoints/bird-strike/invocations",
        "/endpoints/catalogue/invocations",
        "/invocations",
        "/ping",
        "/models",
        "/models/{name}",
        "/models/{name}/invoke",
        "/metrics",
        "/readyz",
    }


def _predictions(document: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    return [
        (path, operation) for path, _, operation in _operations(document) if path.endswith("/invocations")
    ]


def test_every_example_request_works_and_is_what_its_schema_says(
    document: dict[str, Any], samples: RunningServer
) -> None:
    sent: dict[str, int] = {}
    for path, operation in _predictions(document):
        for content_type, content in operation["requestBody"]["content"].items():
            if "example" not in content:
                assert content_type in ("application/x-npy", "application/jsonlines"), (path, content_type)
                continue
            answer = _send(samples, path, operation, content_type, content["example"])
            assert answer.status_code == 200, (path, content_type, answer.text)
            hold(content["example"], content["schema"], document)
            told = operation["responses"]["200"]["content"]
            kind = answer.headers["content-type"].partition(";")[0]
            assert kind in told or "*/*" in told
            hold(answer.json(), told.get(kind, {"schema": {}})["schema"], document)
            sent[content_type] = sent.get(content_type, 0) + 1
    assert sent == {"text/csv": 4, "application/json": 4, "application/jsonlines": 2}


def _send(
    server: RunningServer, path: str, operation: dict[str, Any], content_type: str, body: Any
) -> httpx.Response:
    headers = {
        parameter["name"]: parameter["example"]
        for parameter in operation["parameters"]
        if "example" in parameter
    }
    text = body if isinstance(body, str) else json.dumps(body)
    return web.post(
        server.url + path, content=text, headers={"Content-Type": content_type, **headers}, timeout=30
    )


def test_the_answers_that_are_shown_are_what_comes(document: dict[str, Any], samples: RunningServer) -> None:
    shown = set()
    for path, operation in _predictions(document):
        told = operation["responses"]["200"]["content"].get("application/json", {})
        if "example" not in told:
            continue  # a model of a folder of many, that nobody called yet
        content_type, content = next(iter(operation["requestBody"]["content"].items()))
        assert _send(samples, path, operation, content_type, content["example"]).json() == told["example"]
        shown.add(path)
    always = {"/invocations", "/endpoints/iris/invocations", "/endpoints/bird-strike/invocations"}
    assert shown - {"/endpoints/catalogue/invocations"} == always


@pytest.mark.parametrize("body", ["[]", "junk", '{"a": 1}'])
def test_errors_have_the_shape_that_is_told(
    document: dict[str, Any], samples: RunningServer, body: str
) -> None:
    for path, operation in _predictions(document):
        answer = _send(samples, path, operation, "application/json", body)
        told = operation["responses"][str(answer.status_code)]["content"]
        kind = answer.headers["content-type"].partition(";")[0]
        assert kind in told, (path, answer.status_code)
        if kind == "application/json":
            hold(answer.json(), told[kind]["schema"], document)


def test_names_types_and_classes_come_from_the_models(document: dict[str, Any]) -> None:
    iris, strike = (
        document["paths"][f"/endpoints/{name}/invocations"]["post"] for name in ("iris", "bird-strike")
    )
    body = iris["requestBody"]["content"]["application/json"]["schema"]
    row, record = body["items"]["anyOf"]
    assert (body["type"], body["minItems"]) == ("array", 1)
    assert (row["minItems"], row["maxItems"], row["items"]) == (4, 4, {"type": "number"})
    assert record["required"][0] == "sepal length (cm)"
    answer = iris["responses"]["200"]["content"]
    assert answer["application/json"]["schema"] == {
        "type": "array",
        "items": {"type": "integer", "enum": [0, 1, 2]},
    }
    assert set(answer) == {"application/json", "text/csv", "application/jsonlines", "application/x-npy"}
    record = strike["requestBody"]["content"]["application/json"]["schema"]["items"]
    assert record["properties"]["wildlife_size"]["enum"] == ["small", "medium", "large", None]
    assert record["properties"]["speed_knots"] == {"type": ["number", "null"]}
    predictions = strike["responses"]["200"]["content"]["application/json"]["schema"]["properties"][
        "predictions"
    ]
    assert predictions["items"]["properties"]["damage"] == {"type": "string", "enum": ["no", "yes"]}


def test_required_headers_and_choices_are_told(document: dict[str, Any]) -> None:
    parameters = {
        parameter["name"]: parameter
        for parameter in document["paths"]["/endpoints/catalogue/invocations"]["post"]["parameters"]
    }
    target = parameters["X-Amzn-SageMaker-Target-Model"]
    assert target["required"] is True
    assert "digits" in target["schema"]["enum"]
    assert target["example"] in target["schema"]["enum"]
    iris = document["paths"]["/endpoints/iris/invocations"]["post"]["parameters"]
    told = {parameter["name"]: parameter["schema"] for parameter in iris}
    assert told["X-Amzn-SageMaker-Target-Variant"]["enum"] == ["logistic", "forest"]
    assert "application/json" in told["Accept"]["enum"]


def _describe(*cards: EndpointCard) -> dict[str, Any]:
    examples = {card.name: () if card.example is None else (card.example,) for card in cards}
    return describe_api(FastAPI(title="t", version="0"), list(cards), lambda name: Manual(examples[name]))


def _card(example: ExampleRequest | None, models: tuple[str, ...] = ()) -> EndpointCard:
    return EndpointCard("e", "InService", "", False, (VariantCard("v", 1, 1, "m"),), models, example)


def _content(document: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = document["paths"]["/endpoints/e/invocations"]["post"]["requestBody"]["content"]
    return found


def test_the_examples_type_comes_first_and_json_is_shown_as_json() -> None:
    content = _content(_describe(_card(ExampleRequest("[[1]]", "application/json"))))
    assert next(iter(content)) == "application/json"
    assert content["application/json"]["example"] == [[1]]


def test_an_example_that_is_no_json_is_shown_as_it_is() -> None:
    content = _content(_describe(_card(ExampleRequest("{", "application/json"))))
    assert content["application/json"]["example"] == "{"


def test_an_endpoint_without_an_example_still_has_its_types() -> None:
    content = _content(_describe(_card(None, ("a", "b"))))
    assert set(content) == {"text/csv", "application/json", "application/jsonlines", "application/x-npy"}
    assert not any("example" in item for item in content.values())


def test_models_of_texts_and_of_words_without_examples_are_described_too(
    start_server: StartServer, tmp_path: Path
) -> None:
    words = pd.DataFrame({"size": ["s", "l"] * 3, "speed": range(6)})
    encoder = ColumnTransformer([("size", OneHotEncoder(), ["size"])], remainder="passthrough")
    for name, model in (
        (
            "texts",
            make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(["good", "bad"] * 3, ["y", "n"] * 3),
        ),
        ("words", make_pipeline(encoder, LinearRegression()).fit(words, range(6))),
    ):
        (tmp_path / name).mkdir()
        joblib.dump(model, tmp_path / name / "model.joblib")
    (tmp_path / "endpoints.yaml").write_text(
        "endpoints: {texts: {variants: {v: {model: texts}}}, words: {variants: {v: {model: words}}}}"
    )
    server = start_server(tmp_path, gateways=1)
    server.wait_ready()
    found = web.get(f"{server.url}/openapi.json", timeout=30).json()
    sent = 0
    for path, operation in _predictions(found):
        for content_type, content in operation["requestBody"]["content"].items():
            if "example" in content:
                answer = _send(server, path, operation, content_type, content["example"])
                assert answer.status_code == 200, (path, content_type, answer.text)
                hold(content["example"], content["schema"], found)
                told = operation["responses"]["200"]["content"]["application/json"]["schema"]
                hold(answer.json(), told, found)
                sent += 1
    assert sent >= 4
    texts = found["paths"]["/endpoints/texts/invocations"]["post"]
    assert texts["requestBody"]["content"]["application/json"]["schema"]["items"] == {"type": "string"}
