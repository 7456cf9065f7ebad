import json
import subprocess
import sys
from importlib import resources
from typing import Any

import pytest
from botocore.loaders import Loader

from service.errors import StartupError
from service.wire.spec import Service, Shape, build_service, load_service, patch_model


def _model(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = Loader().load_service_model(name, "service-2")
    return loaded


@pytest.mark.provenance("botocore")
def test_runtime_operations_have_their_paths_and_statuses(runtime: Service) -> None:
    paths = {name: (one.method, one.path, one.status) for name, one in runtime.operations.items()}
    assert paths["InvokeEndpoint"] == ("POST", "/endpoints/{EndpointName}/invocations", 200)
    assert paths["InvokeEndpointAsync"] == ("POST", "/endpoints/{EndpointName}/async-invocations", 202)
    assert paths["InvokeEndpointWithResponseStream"] == (
        "POST",
        "/endpoints/{EndpointName}/invocations-response-stream",
        200,
    )
    assert (runtime.protocol, runtime.target_prefix) == ("rest-json", None)


@pytest.mark.provenance("botocore")
def test_runtime_errors_have_the_statuses_of_the_contract(runtime: Service) -> None:
    declared = runtime.operations["InvokeEndpoint"].errors
    assert {code: error.status for code, error in declared.items()} == {
        "ValidationError": 400,
        "ModelError": 424,
        "ModelNotReadyException": 429,
        "InternalFailure": 500,
        "ServiceUnavailable": 503,
        "InternalDependencyException": 530,
    }
    assert runtime.error_shapes["ModelError"] is declared["ModelError"]
    assert runtime.error_shapes["InternalStreamFailure"].status == 500


@pytest.mark.provenance("botocore")
def test_every_operation_of_sagemaker_is_loaded(sagemaker: Service) -> None:
    model = _model("sagemaker")
    assert set(sagemaker.operations) == set(model["operations"])
    assert (sagemaker.protocol, sagemaker.json_version, sagemaker.target_prefix) == (
        "json",
        "1.1",
        "SageMaker",
    )
    for name, operation in sagemaker.operations.items():
        raw = model["operations"][name]
        assert (operation.input.name if operation.input else None) == raw.get("input", {}).get("shape")
        assert (operation.output.name if operation.output else None) == raw.get("output", {}).get("shape")


@pytest.mark.provenance("botocore")
def test_every_shape_of_sagemaker_says_what_the_model_says(sagemaker: Service) -> None:
    shapes = _model("sagemaker")["shapes"]
    reached = _reached(sagemaker)
    assert len(reached) > 2000
    for shape in reached:
        if shape.name.startswith("Validation"):
            continue
        raw = shapes[shape.name]
        assert shape.kind == raw["type"]
        assert list(shape.required) == raw.get("required", [])
        assert (shape.minimum, shape.maximum) == (raw.get("min"), raw.get("max"))
        assert (shape.pattern, list(shape.enum)) == (raw.get("pattern"), raw.get("enum", []))
        if shape.kind == "structure":
            members = {name: one.shape.name for name, one in shape.members.items()}
            assert members == {name: one["shape"] for name, one in raw["members"].items()}


def _reached(service: Service) -> set[Shape]:
    waiting = [
        shape for one in service.operations.values() for shape in (one.input, one.output) if shape is not None
    ]
    seen: set[Shape] = set()
    while waiting:
        shape = waiting.pop()
        if shape not in seen:
            seen.add(shape)
            waiting += [member.shape for member in shape.members.values()]
    return seen


def test_a_shape_that_holds_itself_is_one_value(sagemaker: Service) -> None:
    search = sagemaker.operations["Search"].input
    assert search is not None
    expression = search.members["SearchExpression"].shape
    assert expression.members["SubExpressions"].shape.item.shape is expression
    assert "SearchExpression" in repr(expression)


def test_lists_and_maps_name_what_they_hold(sagemaker: Service) -> None:
    model = sagemaker.operations["CreateModel"].input
    assert model is not None
    tags = model.members["Tags"].shape
    environment = model.members["PrimaryContainer"].shape.members["Environment"].shape
    assert tags.item.shape.name == "Tag"
    assert (environment.key.shape.kind, environment.value.shape.kind) == ("string", "string")


@pytest.mark.provenance("documented")
def test_the_control_plane_knows_the_validation_exception_it_never_declares(sagemaker: Service) -> None:
    error = sagemaker.error_shapes["ValidationException"]
    assert (error.status, list(error.shape.members)) == (400, ["message"])
    assert sagemaker.error_shapes["ResourceInUse"].status == 400


def test_every_shipped_correction_says_why() -> None:
    text = resources.files("service.wire").joinpath("spec_patches.json").read_text("utf-8")
    for patch in json.loads(text):
        assert patch["why"].endswith(".")
        assert patch["op"] in {"add", "replace", "remove"}


def test_corrections_add_replace_and_remove() -> None:
    model: dict[str, Any] = {"a": {"b/c": 1, "d": [1, 2, 3]}, "e": 0}
    patch_model(
        model,
        [
            {"op": "add", "path": "/a/x~0y", "value": 5},
            {"op": "replace", "path": "/a/b~1c", "value": 2},
            {"op": "add", "path": "/a/d/-", "value": 9},
            {"op": "add", "path": "/a/d/0", "value": 8},
            {"op": "replace", "path": "/a/d/1", "value": 7},
            {"op": "remove", "path": "/a/d/2"},
            {"op": "remove", "path": "/e"},
        ],
    )
    assert model == {"a": {"b/c": 2, "d": [8, 7, 3, 9], "x~y": 5}}


def test_a_correction_reaches_into_lists() -> None:
    model: dict[str, Any] = {"errors": [{"shape": "A"}]}
    patch_model(model, [{"op": "replace", "path": "/errors/0/shape", "value": "B"}])
    assert model == {"errors": [{"shape": "B"}]}


@pytest.mark.parametrize(
    "patch",
    [
        {"op": "replace", "path": "/nowhere", "value": 1},
        {"op": "remove", "path": "/list/7"},
        {"op": "add", "path": "/no/where", "value": 1},
        {"op": "add", "path": "/list/x", "value": 1},
        {"op": "move", "path": "/list"},
    ],
)
def test_a_correction_that_does_not_fit_stops_the_start(patch: dict[str, Any]) -> None:
    with pytest.raises(StartupError, match="does not fit"):
        patch_model({"list": [1]}, [patch])


def test_botocore_itself_is_not_imported() -> None:
    script = "import sys; from service.wire.spec import load_service; load_service('sagemaker-runtime')\n"
    script += "print([name for name in ('botocore', 'urllib3') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True)

    assert done.stdout == b"[]\n"


def test_a_service_that_botocore_lacks_stops_the_start() -> None:
    with pytest.raises(StartupError, match="no model of the service 'sage-thrasher'"):
        load_service("sage-thrasher")


def test_traits_of_a_member_win_over_those_of_its_shape() -> None:
    shapes = {
        "In": {
            "type": "structure",
            "required": ["At"],
            "members": {
                "At": {
                    "shape": "Time",
                    "timestampFormat": "rfc822",
                    "location": "header",
                    "locationName": "X-At",
                },
                "Plain": {"shape": "Time"},
            },
        },
        "Time": {"type": "timestamp", "timestampFormat": "iso8601"},
        "Bad": {"type": "structure", "members": {}, "exception": True, "error": {"code": "Worse"}},
    }
    operation = {
        "http": {"method": "GET", "requestUri": "/"},
        "input": {"shape": "In"},
        "errors": [{"shape": "Bad"}],
    }
    service = build_service(
        "x", {"metadata": {"protocol": "rest-json"}, "operations": {"Do": operation}, "shapes": shapes}
    )
    do = service.operations["Do"]
    assert do.input is not None
    at, plain = do.input.members["At"], do.input.members["Plain"]
    assert (at.timestamp_format, at.location, at.wire_name) == ("rfc822", "header", "X-At")
    assert (plain.timestamp_format, plain.location, plain.wire_name) == ("iso8601", None, "Plain")
    assert do.output is None
    assert do.errors["Worse"].status == 400
