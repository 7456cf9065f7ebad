"""The OpenAPI document: FastAPI's own routes, and a path per endpoint with an example request that works."""

from typing import Any

import orjson
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from service.invoke.catalogue import EndpointCard, ExampleRequest

_REQUEST_TYPES = ("text/csv", "application/json", "application/jsonlines", "application/x-npy")
_ANSWERS = {
    "200": {
        "description": "The model's answer",
        "headers": {
            "x-Amzn-Invoked-Production-Variant": {
                "description": "The variant that answered",
                "schema": {"type": "string"},
            }
        },
    },
    "400": {"description": "ValidationError: the request does not fit the endpoint"},
    "424": {
        "description": "ModelError: the model refused the request or failed; OriginalStatusCode says which"
    },
    "429": {"description": "ModelNotReadyException: the target model is still loading"},
    "503": {"description": "ServiceUnavailable: too many calls are waiting"},
}


def describe_api(app: FastAPI, cards: list[EndpointCard]) -> dict[str, Any]:
    """The document for what is served at this moment."""
    document = get_openapi(
        title=app.title,
        version=app.version,
        routes=app.routes,
        description="Predictions by your models, as SageMaker's runtime API answers them.",
    )
    paths = {f"/endpoints/{card.name}/invocations": {"post": _invoke(card)} for card in cards}
    for card in cards:
        if card.default:
            paths["/invocations"] = {
                "post": {**_invoke(card), "operationId": "invocations", "tags": ["container"]}
            }
    document["paths"] = {**paths, **document.get("paths", {})}
    return document


def _invoke(card: EndpointCard) -> dict[str, Any]:
    shares = ", ".join(
        f"{variant.name} {variant.share:.0%}" for variant in card.variants if not variant.pending
    )
    return {
        "tags": ["predictions"],
        "operationId": f"invoke_{card.name}",
        "summary": f"Predict with {card.name} ({shares})",
        "parameters": _parameters(card),
        "requestBody": {"required": True, "content": _content(card)},
        "responses": _ANSWERS,
    }


def _content(card: EndpointCard) -> dict[str, Any]:
    """Request bodies; the type that the example has comes first, so that the page sends it."""
    example = card.example
    types = list(_REQUEST_TYPES)
    if example is not None:
        types = [example.content_type, *(name for name in types if name != example.content_type)]
    content: dict[str, Any] = {
        name: {
            "schema": {"type": "string", "format": "binary"}
            if name == "application/x-npy"
            else {"type": "string"}
        }
        for name in types
        if name != "application/json"
    }
    content["application/json"] = {"schema": {}}
    if example is not None:
        content[example.content_type]["example"] = _value(example)
    return {name: content[name] for name in types}


def _value(example: ExampleRequest) -> Any:
    if example.content_type != "application/json":
        return example.body
    try:
        return orjson.loads(example.body)
    except orjson.JSONDecodeError:
        return example.body


def _parameters(card: EndpointCard) -> list[dict[str, Any]]:
    variants = [variant.name for variant in card.variants if not variant.pending]
    parameters = [
        _header("X-Amzn-SageMaker-Target-Variant", "Ask this variant, whatever its weight", enum=variants)
    ]
    if card.models:
        example = card.example.target_model if card.example else card.models[0]
        parameters.insert(
            0,
            _header(
                "X-Amzn-SageMaker-Target-Model",
                "Which model answers",
                list(card.models),
                example,
                required=True,
            ),
        )
    return [*parameters, _header("X-Amzn-SageMaker-Custom-Attributes", "Passed to the model's own code")]


def _header(
    name: str,
    description: str,
    enum: list[str] | None = None,
    example: str | None = None,
    required: bool = False,
) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "string"}
    if enum:
        schema["enum"] = enum
    header: dict[str, Any] = {
        "name": name,
        "in": "header",
        "required": required,
        "description": description,
        "schema": schema,
    }
    if example is not None:
        header["example"] = example
    return header
