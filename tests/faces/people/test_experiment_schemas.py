"""What /openapi.json says of A/B tests is what comes: users, ids, receipts, experiments, plans, refusals."""

import re
import shutil
from collections.abc import Mapping
from typing import Any

import orjson
import pytest
from fastapi import FastAPI

from service.errors import CallerError, NotAllowed, NotAuthenticated, Throttled
from service.experiments.class_quality import ClassQuality
from service.experiments.live_agreement import LiveTally
from service.experiments.number_quality import NumberQuality
from service.experiments.sums import count_up
from service.experiments.timeline import mark_of
from service.experiments.verdict import Question, judge
from service.faces.aws.denial import deny
from service.faces.people.experiment_schemas import EXPERIMENT_SCHEMAS
from service.faces.people.openapi import describe_api
from service.invoke.catalogue import EndpointCard, Manual, VariantCard
from tests.conftest import ROOT, RunningServer, StartServer, wait_until
from tests.harness import web
from tests.harness.schemas import hold

_DECLARED = """default_endpoint: shop
endpoints:
  shop:
    api_edits: true
    variants: {base: {model: iris-logistic, weight: 9}, good: {model: iris-forest, weight: 1}}
"""
_COMPONENTS = {"components": {"schemas": EXPERIMENT_SCHEMAS}}


@pytest.fixture(scope="module")
def shop(start_server: StartServer, tmp_path_factory: pytest.TempPathFactory) -> RunningServer:
    """A server whose endpoint has two variants that the API may promote."""
    models = tmp_path_factory.mktemp("models")
    for name in ("iris-logistic", "iris-forest"):
        shutil.copytree(ROOT / "models" / name, models / name)
    (models / "endpoints.yaml").write_text(_DECLARED)
    server = start_server(models, gateways=1, user_header="X-Visitor")
    server.wait_ready()
    return server


def _document(server: RunningServer) -> dict[str, Any]:
    found: dict[str, Any] = web.get(f"{server.url}/openapi.json", timeout=60).json()
    return found


def _held(document: dict[str, Any], method: str, action: str, answer: Any) -> dict[str, Any]:
    """The answer to `/endpoints/shop/ACTION`, once it is what the document says, to the last member."""
    told = document["paths"][f"/endpoints/{{name}}/{action}"][method]["responses"][str(answer.status_code)]
    hold(answer.json(), told["content"]["application/json"]["schema"], document, exactly=True)
    assert told["headers"].keys() >= {"x-amzn-RequestId"}
    found: dict[str, Any] = answer.json()
    return found


def test_a_call_names_its_user_and_its_answer_names_id_and_variant(shop: RunningServer) -> None:
    for path in ("/endpoints/shop/invocations", "/invocations"):
        operation = _document(shop)["paths"][path]["post"]
        parameters = {each["name"]: each["in"] for each in operation["parameters"]}
        assert parameters["X-Visitor"] == parameters["X-Amzn-SageMaker-Inference-Id"] == "header"
        assert "X-Sagebird-User" not in parameters

        answer = web.post(
            shop.url + path, content="5.1,3.5,1.4,0.2", timeout=60,
            headers={"Content-Type": "text/csv", "X-Visitor": "anna", "X-Amzn-SageMaker-Inference-Id": "7"},
        )  # fmt: skip

        told = operation["responses"]["200"]["headers"]
        assert {name.lower() for name in told} <= answer.headers.keys()
        assert "X-Amzn-SageMaker-Inference-Id" in told
        assert "x-Amzn-Invoked-Production-Variant" in told
        assert answer.headers["x-amzn-sagemaker-inference-id"] == "7"


def test_answers_about_experiments_are_what_the_document_says(shop: RunningServer) -> None:
    document, url = _document(shop), f"{shop.url}/endpoints/shop"
    report = {"inference_id": "8", "click": True}

    receipt = _held(document, "post", "outcomes", web.post(f"{url}/outcomes", json=report, timeout=60))
    assert receipt == {"counted": 0, "waiting": 1, "repeated": 0, "contradicting": 0}
    begun = web.post(f"{url}/promote", json={"variant": "good", "ramp": [5, 20, 50]}, timeout=60)
    assert _held(document, "post", "promote", begun)["skipped"] == [5]
    asked = web.post(f"{url}/experiment", json={"ask_both": 5}, timeout=60)
    assert _held(document, "post", "experiment", asked) == {"endpoint": "shop", "ask_both": 5}
    found = _held(document, "get", "experiment", web.get(f"{url}/experiment?window=day", timeout=60))
    assert found["ramp"]["state"] == "running"
    assert found["agreement"]["ask_both"] == 5
    policy = {"policy": "thompson", "outcome": "bought"}
    followed = _held(document, "post", "promote", web.post(f"{url}/promote", json=policy, timeout=60))
    assert "bought" in followed["note"]
    stopped = web.post(f"{url}/promote", json={"stop": True}, timeout=60)
    assert _held(document, "post", "promote", stopped)["stopped"] is True


def test_refusals_about_experiments_are_what_the_document_says(shop: RunningServer) -> None:
    document = _document(shop)
    for method, action, body, query, status in (
        ("post", "outcomes", {"inference_id": "8", "click": "maybe"}, "", 400),
        ("post", "promote", {"variant": "nobody"}, "", 400),
        ("post", "experiment", {"ask_both": 101}, "", 400),
        ("get", "experiment", None, "?control=nobody", 400),
    ):
        url = f"{shop.url}/endpoints/shop/{action}{query}"
        answer = web.request(method, url, json=body, timeout=60)
        assert answer.status_code == status, action
        assert _held(document, method, action, answer)["message"]
    asked: tuple[tuple[str, str, Any], ...] = (
        ("post", "outcomes", {"inference_id": "8", "click": 1}),
        ("post", "promote", {"stop": True}),
        ("post", "experiment", {"ask_both": 0}),
        ("get", "experiment", None),
    )
    for method, action, body in asked:
        answer = web.request(method, f"{shop.url}/endpoints/nobody/{action}", json=body, timeout=60)
        assert answer.status_code == 404, action
        assert _held(document, method, action, answer)["message"] == "There is no endpoint nobody."


@pytest.mark.parametrize(
    "error",
    [NotAuthenticated("no"), NotAllowed("no"), Throttled("no", 2.0)],
)
def test_refusals_of_the_front_door_are_what_the_document_says(
    shop: RunningServer, error: CallerError
) -> None:
    document = _document(shop)
    for action in ("outcomes", "promote", "experiment"):
        reply = deny(error, "POST", f"/endpoints/shop/{action}", [], "id")
        told = document["paths"][f"/endpoints/{{name}}/{action}"]["post"]["responses"][str(reply.status)]
        hold(orjson.loads(reply.body), told["content"]["application/json"]["schema"], document, exactly=True)
        assert (reply.status == 429) == ("Retry-After" in told["headers"])


def _shares(server: RunningServer) -> list[float]:
    found = web.get(f"{server.url}/endpoints/shop", timeout=60).json()
    return [each["share"] for each in found["variants"]]


def test_a_shift_of_traffic_changes_nothing_that_clients_are_made_of(shop: RunningServer) -> None:
    before = _document(shop)
    changed = web.post(f"{shop.url}/endpoints/shop/promote", json={"variant": "good"}, timeout=60)

    assert changed.status_code == 200
    wait_until(lambda: _shares(shop) == [0, 1])
    assert _document(shop)["paths"] == before["paths"]
    assert before["paths"]["/endpoints/shop/invocations"]["post"]["summary"] == "Predict with shop"


def test_what_is_known_of_outcomes_is_what_the_schemas_say() -> None:
    classes, numbers, tally = ClassQuality(("no", "yes")), NumberQuality(), LiveTally()
    for schema, value in (
        ("ClassQuality", classes.document()),
        ("NumberQuality", numbers.document()),
        ("AgreementPair", tally.document(("a", "b"), "b")),
    ):
        hold(value, EXPERIMENT_SCHEMAS[schema], _COMPONENTS, exactly=True)
    for label in ("no", "yes"):
        classes.add(label, "yes", (0.25, 0.75))
        numbers.add(float(len(label)), 2.5)
    tally.meet([("1", "2")], 100.0, None)
    clicks = {"a": [count_up(100, 500)], "b": [count_up(300, 500)]}
    verdict = orjson.loads(orjson.dumps(judge(Question("a", binary=True), clicks)))

    told: list[tuple[str, Mapping[str, Any]]] = [
        ("ClassQuality", classes.document()),
        ("NumberQuality", numbers.document()),
        ("AgreementPair", tally.document(("a", "b"), "b")),
        ("Verdict", verdict),
        ("Mark", mark_of(verdict, 100.0)),
    ]
    for name, found in told:
        hold(found, EXPERIMENT_SCHEMAS[name], _COMPONENTS, exactly=True)
    assert verdict["comparisons"][0]["decision"] == "better"


def _operations(*names: str, user_header: str = "X-Sagebird-User") -> dict[str, dict[str, Any]]:
    """The operation of each endpoint."""
    cards = [
        EndpointCard(name, "InService", "", False, (VariantCard("v", 1, 1, "m"),), (), None) for name in names
    ]
    found = describe_api(FastAPI(), cards, lambda _name: Manual(), user_header)
    return {name: found["paths"][f"/endpoints/{name}/invocations"]["post"] for name in names}


def test_each_endpoint_has_an_operation_that_can_be_a_name_in_code() -> None:
    names = ("bird-strike", "Bird-Strike", "BirdStrike", "bird--strike", "iris2", "a")
    ids = {name: each["operationId"] for name, each in _operations(*names).items()}

    assert ids["bird-strike"] == "invoke_bird_strike"
    assert sorted(ids.values()) == [
        "invoke_a",
        *("invoke_bird_strike", "invoke_bird_strike_no2", "invoke_bird_strike_no3", "invoke_bird_strike_no4"),
        "invoke_iris2",
    ]


def test_all_operations_have_names_of_one_kind(shop: RunningServer) -> None:
    ids = [each["operationId"] for path in _document(shop)["paths"].values() for each in path.values()]

    assert all(re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", each) for each in ids)
    assert len(ids) == len(set(ids))
    assert {"report_outcomes", "describe_experiment", "promote_variant", "invoke_shop"} <= set(ids)
    assert not [each for each in ids if each.endswith(("_get", "_post", "_delete"))]


def test_a_cookie_that_names_users_is_told_as_one() -> None:
    parameters = _operations("a", user_header="cookie:visitor")["a"]["parameters"]

    assert [each["in"] for each in parameters if each["name"] == "visitor"] == ["cookie"]
