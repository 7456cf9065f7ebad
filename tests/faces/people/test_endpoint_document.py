"""GET /endpoints/NAME describes an endpoint as it answers, by hand where schema.json says so."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.conftest import RunningServer, StartServer, copy_sample, wait_until
from tests.harness import web


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, start_server: StartServer) -> Iterator[RunningServer]:
    models = tmp_path_factory.mktemp("models")
    for name in ("iris-logistic", "bird-strike"):
        copy_sample(name, models / name)
    schema = {
        "columns": [
            "sepal length (cm)",
            "sepal width (cm)",
            "petal length (cm)",
            {"name": "petal width (cm)", "gaps": True},
        ]
    }
    (models / "iris-logistic" / "schema.json").write_text(json.dumps(schema))
    (models / "bird-strike" / "schema.json").write_text('{"columns": "all of them"}')
    server = start_server(models, gateways=1)
    yield server
    server.end()


def described(server: RunningServer, name: str) -> dict[str, Any]:
    answer = web.get(f"{server.url}/endpoints/{name}", timeout=60)
    assert answer.status_code == 200, answer.text
    document: dict[str, Any] = answer.json()
    return document


def test_every_sample_is_described_by_examples_that_work(samples: RunningServer) -> None:
    for name in ("iris", "bird-strike", "catalogue"):
        found = described(samples, name)
        assert found["name"] == name
        for content_type, body in found["input"]["examples"].items():
            headers = {"Content-Type": content_type}
            if found["models"]:
                headers["X-Amzn-SageMaker-Target-Model"] = found["models"][0]
                continue  # its example is of one of them: /status?target_model= has each one's own
            answer = web.post(samples.url + found["invocations"], content=body, headers=headers, timeout=60)
            assert answer.status_code == 200, (name, content_type, answer.text)


def test_columns_classes_and_variants_are_those_that_answer(samples: RunningServer) -> None:
    iris = described(samples, "iris")

    assert [variant["name"] for variant in iris["variants"]] == ["logistic", "forest"]
    assert iris["output"]["classes"] == [0, 1, 2]
    assert [column["type"] for column in iris["input"]["columns"]] == ["number"] * 4
    assert iris["default"] is True
    birds = described(samples, "bird-strike")
    words = {column["name"]: column["words"] for column in birds["input"]["columns"]}
    assert "large" in words["wildlife_size"]


def test_it_is_what_openapi_says(samples: RunningServer) -> None:
    api = web.get(f"{samples.url}/openapi.json", timeout=60).json()
    body = api["paths"]["/endpoints/iris/invocations"]["post"]["requestBody"]["content"]

    assert described(samples, "iris")["input"]["schema"] == body["application/json"]["schema"]
    assert "/endpoints/{name}" in api["paths"]


def test_what_is_not_there_is_told(samples: RunningServer) -> None:
    answer = web.get(f"{samples.url}/endpoints/nobody", timeout=60)

    assert (answer.status_code, answer.json()) == (404, {"message": "There is no endpoint nobody."})
    assert answer.headers["x-amzn-requestid"]


def test_schema_json_counts_more_than_what_is_learnt(server: RunningServer) -> None:
    wait_until(lambda: described(server, "iris-logistic")["input"]["columns"], 60)
    columns = described(server, "iris-logistic")["input"]["columns"]
    api = web.get(f"{server.url}/openapi.json", timeout=60).json()
    body = api["paths"]["/endpoints/iris-logistic/invocations"]["post"]["requestBody"]["content"]

    assert columns[3] == {"name": "petal width (cm)", "type": "number", "words": [], "gaps": True}
    told = json.dumps(body["application/json"]["schema"])
    assert told.count('["number", "null"]') == 2  # in rows and in records


def test_one_that_cannot_be_followed_is_a_note_of_its_model(server: RunningServer) -> None:
    def notes() -> list[str]:
        models = web.get(f"{server.url}/status", timeout=60).json()["models"]
        return [note for model in models if model["name"] == "bird-strike" for note in model["notes"]]

    why = "schema.json is not followed: columns must be a list of at most 1,000."
    wait_until(lambda: why in notes(), 60)
    assert described(server, "bird-strike")["status"] == "InService"
