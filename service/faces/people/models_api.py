"""What the OpenAPI document says of `/models`: parameters, bodies, answers and errors of that contract."""

from typing import Any

_NAME = {"type": "string", "description": "What the model is called"}
_URL = {
    "type": "string",
    "description": "Where its files are: folder or archive, as s3://, file:// or path",
}


def _object(members: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": members, "required": list(members)}


SCHEMAS = {
    "ModelsError": _object(
        {
            "code": {"type": "integer", "description": "The status"},
            "type": {"type": "string", "description": "The name of the error"},
            "message": {"type": "string", "description": "What is wrong, in a sentence"},
        }
    ),
    "RegisteredModel": _object({"modelName": _NAME, "modelUrl": _URL}),
    "Registration": _object({"model_name": _NAME, "url": _URL}),
    "ModelStatus": _object({"status": {"type": "string", "description": "What was done, in a sentence"}}),
}


def _reference(schema: str) -> dict[str, Any]:
    return {"application/json": {"schema": {"$ref": f"#/components/schemas/{schema}"}}}


def in_query(name: str) -> dict[str, Any]:
    """A text that may be given behind the question mark of an address."""
    return {"name": name, "in": "query", "required": False, "schema": {"type": "string", "default": ""}}


_LIST = {
    "type": "object",
    "properties": {
        "models": {"type": "array", "items": {"$ref": "#/components/schemas/RegisteredModel"}},
        "nextPageToken": {"type": "string", "description": "Where the next page begins, if there is one"},
    },
    "required": ["models"],
}
_IN_PATH: dict[str, Any] = {"name": "name", "in": "path", "required": True, "schema": _NAME}
_PARAMETERS: dict[tuple[str, str], list[dict[str, Any]]] = {
    ("/models", "get"): [in_query("next_page_token")],
    ("/models/{name}", "get"): [_IN_PATH],
    ("/models/{name}", "delete"): [_IN_PATH],
    ("/models/{name}/invoke", "post"): [_IN_PATH],
}
_ANYTHING: dict[str, Any] = {"*/*": {"schema": {}}}
_ANSWERS: dict[tuple[str, str], dict[str, Any]] = {
    ("/models", "get"): {"application/json": {"schema": _LIST}},
    ("/models", "post"): _reference("ModelStatus"),
    ("/models/{name}", "get"): _reference("RegisteredModel"),
    ("/models/{name}", "delete"): _reference("ModelStatus"),
    ("/models/{name}/invoke", "post"): _ANYTHING,
}
_BODIES = {("/models", "post"): _reference("Registration"), ("/models/{name}/invoke", "post"): _ANYTHING}
_UNKNOWN = {404: "No model of this name is registered"}
_ERRORS: dict[tuple[str, str], dict[int, str]] = {
    ("/models", "get"): {400: "The page token is none that was given out"},
    ("/models", "post"): {
        400: "The body is not JSON with a model_name and a url",
        404: "There is no model at this place, or none that may be loaded",
        409: "The name is taken",
        413: "The body is over the limit",
        500: "The model does not load",
        507: "The model does not fit in memory",
    },
    ("/models/{name}", "get"): _UNKNOWN,
    ("/models/{name}", "delete"): _UNKNOWN,
    ("/models/{name}/invoke", "post"): {
        400: "The model refuses the body",
        **_UNKNOWN,
        406: "The model writes nothing that Accept names",
        413: "The body is over the limit",
        415: "The model does not read this Content-Type",
        500: "The model failed",
        503: "Too many calls are waiting",
        504: "The model gave no answer in time",
    },
}


def describe_models_api(paths: dict[str, Any]) -> None:
    """Put parameters, bodies, answers and errors into FastAPI's own paths of `/models`, which know none."""
    for (path, method), errors in _ERRORS.items():
        operation = paths.get(path, {}).get(method)
        if operation is None:
            continue
        if (path, method) in _PARAMETERS:
            operation["parameters"] = _PARAMETERS[path, method]
        if (path, method) in _BODIES:
            operation["requestBody"] = {"required": True, "content": _BODIES[path, method]}
        operation["responses"] = {
            "200": {"description": "Done", "content": _ANSWERS[path, method]},
            **{
                str(status): {"description": meaning, "content": _reference("ModelsError")}
                for status, meaning in errors.items()
            },
        }
