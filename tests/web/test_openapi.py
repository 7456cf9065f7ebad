"""The OpenAPI document: sound by structure, and its example requests work when sent."""

import json
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from service.invoke.catalogue import EndpointCard, ExampleRequest, VariantCard
from service.web.openapi import describe_api
from tests.conftest import RunningServer


@pytest.fixture(scope="module")
def document(samples: RunningServer) -> dict[str, Any]:
    found: dict[str, Any] = httpx.get(f"{samples.url}/openapi.json", timeout=10).json()
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


def test_every_example_request_works_as_the_page_sends_it(
    document: dict[str, Any], samples: RunningServer
) -> None:
    sent = 0
    for path, _, operation in _operations(document):
        if not path.endswith("/invocations"):
            continue
        content_type, content = next(iter(operation["requestBody"]["content"].items()))
        example = content["example"]
        headers = {
            parameter["name"]: parameter["example"]
            for parameter in operation["parameters"]
            if "example" in parameter
        }
        answer = httpx.post(
            samples.url + path,
            content=example if isinstance(example, str) else json.dumps(example),
            headers={"Content-Type": content_type, **headers},
            timeout=30,
        )
        assert answer.status_code == 200, (path, answer.text)
        sent += 1
    assert sent == 4


def test_required_headers_and_choices_are_told(document: dict[str, Any]) -> None:
    parameters = {
        parameter["name"]: parameter
        for parameter in document["paths"]["/endpoints/catalogue/invocations"]["post"]["parameters"]
    }
    target = parameters["X-Amzn-SageMaker-Target-Model"]
    assert target["required"] is True
    assert "digits" in target["schema"]["enum"]
    assert target["example"] in target["schema"]["enum"]
    variants = document["paths"]["/endpoints/iris/invocations"]["post"]["parameters"][0]["schema"]["enum"]
    assert variants == ["logistic", "forest"]


def _describe(*cards: EndpointCard) -> dict[str, Any]:
    return describe_api(FastAPI(title="t", version="0"), list(cards))


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
