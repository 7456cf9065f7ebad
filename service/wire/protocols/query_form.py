"""Forms of the query protocol read into the members of an operation, by botocore's models.

A field's name is a path: `Dimensions.member.1.Name`. Lists and maps have their numbers in it, in any order.
"""

import re
from collections.abc import Mapping
from operator import itemgetter
from typing import Any, Final
from urllib.parse import parse_qsl

from service.errors import SerializationFault
from service.wire import shapes
from service.wire.spec import Member, Shape

_MOST_FIELDS: Final = 50_000
_MOST_LEVELS: Final = 32
_NUMBER: Final = re.compile(r"[1-9][0-9]{0,8}")

_Tree = dict[str, Any]
"""By the parts of names: texts, and trees again."""


def read_form(shape: Shape, body: bytes) -> dict[str, Any]:
    """The members of a structure that a form holds; fields that are none of them are left out.

    Raises: SerializationFault.
    """
    return _structure(shape, _read_tree(body), "")


def _read_tree(body: bytes) -> _Tree:
    try:
        fields = parse_qsl(
            body.decode("utf-8"), keep_blank_values=True, max_num_fields=_MOST_FIELDS, errors="strict"
        )
    except ValueError as error:
        raise SerializationFault("The request body is not a form that can be read.") from error
    root: _Tree = {}
    for name, value in fields:
        *above, last = name.split(".", _MOST_LEVELS)
        place = root
        for part in above:
            below = place.setdefault(part, {})
            if isinstance(below, str):
                raise SerializationFault(f"{name} stands below a value.")
            place = below
        if last in place:
            raise SerializationFault(f"{name} is given twice.")
        place[last] = value
    return root


def _structure(shape: Shape, tree: _Tree, path: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for member in shape.members.values():
        place = f"{path}.{member.name}" if path else member.name
        inside = tree.get(_name(member))
        if inside is not None:
            found[member.name] = _value(member.shape, inside, place)
    return found


def _name(member: Member) -> str:
    """What a member is called in a form: a flattened list goes by the name of its items."""
    shape = member.shape
    if shape.kind == "list" and shape.flattened and shape.item.wire_name != shape.item.name:
        return shape.item.wire_name
    return member.wire_name


def _value(shape: Shape, inside: _Tree | str, path: str) -> Any:
    if shape.kind not in ("structure", "list", "map"):
        return _scalar(shape, inside, path)
    if inside == "":
        return {} if shape.kind != "list" else []
    if isinstance(inside, str):
        raise SerializationFault(f"There is a value at '{path}' where none can be.")
    if shape.kind == "structure":
        return _structure(shape, inside, path)
    return _list(shape, inside, path) if shape.kind == "list" else _map(shape, inside, path)


def _list(shape: Shape, tree: _Tree, path: str) -> list[Any]:
    numbered = _numbered(tree if shape.flattened else tree.get(shape.item.wire_name, {}), path)
    return [_value(shape.item.shape, one, f"{path}.{number}.member") for number, one in numbered]


def _map(shape: Shape, tree: _Tree, path: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for number, one in _numbered(tree if shape.flattened else tree.get("entry", {}), path):
        pair: Mapping[str, Any] = one if isinstance(one, dict) else {}
        place = f"{path}.{number}"
        key = _scalar(shape.key.shape, pair.get(shape.key.wire_name, ""), place)
        found[key] = _value(shape.value.shape, pair.get(shape.value.wire_name, ""), place)
    return found


def _numbered(tree: _Tree | str, path: str) -> list[tuple[int, Any]]:
    """What stands below numbers, in their order."""
    if isinstance(tree, str):
        return []
    if not all(_NUMBER.fullmatch(number) for number in tree):
        raise SerializationFault(f"What stands below '{path}' has no numbers.")
    return sorted(((int(number), one) for number, one in tree.items()), key=itemgetter(0))


def _scalar(shape: Shape, inside: _Tree | str, path: str) -> Any:
    if not isinstance(inside, str):
        raise SerializationFault(f"There is more than a value at '{path}'.")
    if shape.kind in ("string", "character"):
        return inside
    if shape.kind == "blob":
        return shapes.read_blob(inside, path)
    return shapes.parse_text(shape, inside.strip(), path)
