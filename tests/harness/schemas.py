"""Holds answers to what an OpenAPI document says of them."""

from collections.abc import Mapping
from typing import Any

_TYPES: dict[str, tuple[type, ...]] = {
    "array": (list,),
    "object": (dict,),
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "null": (type(None),),
}


_KNOWN_WORDS = {
    "type",
    "enum",
    "anyOf",
    "items",
    "minItems",
    "maxItems",
    "properties",
    "required",
    "additionalProperties",
    "description",
    "format",
}


def hold(
    value: Any, schema: Mapping[str, Any], document: Mapping[str, Any], *, exactly: bool = False
) -> None:
    """Hold a value to a schema, as far as the schemas of an OpenAPI document go.

    Where it is held `exactly`, an object has no member that its schema does not name.
    """
    if "$ref" in schema:
        schema = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    assert schema.keys() <= _KNOWN_WORDS
    if "anyOf" in schema:
        assert any(_holds(value, each, document, exactly=exactly) for each in schema["anyOf"]), (
            value,
            schema,
        )
    if "type" in schema:
        kinds = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
        assert isinstance(value, tuple(kind for name in kinds for kind in _TYPES[name])), (value, schema)
    assert value in schema.get("enum", [value])
    if isinstance(value, list):
        assert schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", len(value))
        for item in value:
            hold(item, schema.get("items", {}), document, exactly=exactly)
    if isinstance(value, dict):
        members = schema.get("properties", {})
        assert set(schema.get("required", ())) <= value.keys()
        others = schema.get("additionalProperties", not (exactly and members))
        assert others is not False or value.keys() <= members.keys(), (value.keys(), members.keys())
        for name, item in value.items():
            of_others = others if isinstance(others, Mapping) else {}
            hold(item, members.get(name, of_others), document, exactly=exactly)


def _holds(value: Any, schema: Mapping[str, Any], document: Mapping[str, Any], *, exactly: bool) -> bool:
    try:
        hold(value, schema, document, exactly=exactly)
    except AssertionError:
        return False
    return True
