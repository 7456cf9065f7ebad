"""The two service models, loaded once, and a way to write a small model down."""

from collections.abc import Callable
from typing import Any

import pytest

from service.wire.spec import Operation, Service, Shape, build_service, load_service

ShapeOf = Callable[..., Shape]
OperationOf = Callable[..., Operation]


@pytest.fixture(scope="session")
def runtime() -> Service:
    return load_service("sagemaker-runtime")


@pytest.fixture(scope="session")
def sagemaker() -> Service:
    return load_service("sagemaker")


@pytest.fixture(scope="session")
def operation_of() -> OperationOf:
    """An operation whose input (and output) is the first of the given shapes, in botocore's notation."""

    def build(output: str | None = None, **shapes: dict[str, Any]) -> Operation:
        operation: dict[str, Any] = {
            "http": {"method": "POST", "requestUri": "/{Name}"},
            "input": {"shape": next(iter(shapes))},
        }
        if output is not None:
            operation["output"] = {"shape": output}
        model = {"metadata": {"protocol": "rest-json"}, "operations": {"Do": operation}, "shapes": shapes}
        return build_service("test", model).operations["Do"]

    return build


@pytest.fixture(scope="session")
def shape_of(operation_of: OperationOf) -> ShapeOf:
    def build(**shapes: dict[str, Any]) -> Shape:
        shape = operation_of(**shapes).input
        assert shape is not None
        return shape

    return build
