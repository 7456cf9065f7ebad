"""Service models as frozen values: operations, shapes, errors. Alone reads botocore's data, no protocol here.

Its files are read without its loader, whose import brings an HTTP client and takes longer than reading them.

`spec_patches.json` corrects botocore's model before it is read. It is a list of corrections, applied in
order: `service` (botocore's name), `op` (`add`, `replace` or `remove`), `path` (a JSON pointer into the
model; `-` ends a list), `value` (not for `remove`) and `why` (one sentence). The operations mean what
RFC 6902 says.
"""

import gzip
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from importlib import resources, util
from pathlib import Path
from types import MappingProxyType
from typing import Any

from service.errors import StartupError

_PATCHES = "spec_patches.json"
_ITEM, _KEY, _VALUE = "member", "key", "value"


@dataclass(frozen=True, slots=True, eq=False)
class Member:
    """One member of a structure, or the item, key or value of a list or map.

    `location` is None for the body, else uri, querystring, header, headers or statusCode. In XML it may be an
    `attribute` of what holds it.
    """

    name: str
    shape: "Shape"
    location: str | None
    wire_name: str
    timestamp_format: str | None
    attribute: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Shape:
    """One shape of the model; compared and hashed by identity, for shapes may hold themselves.

    `minimum` and `maximum` bound a length (string, blob, list, map) or a number. `payload` names the member
    that is the whole body. In XML nothing is around the items of a `flattened` list.
    """

    name: str
    kind: str
    members: Mapping[str, Member] = field(repr=False)
    required: tuple[str, ...] = ()
    minimum: float | None = None
    maximum: float | None = None
    pattern: str | None = None
    enum: tuple[str, ...] = ()
    payload: str | None = None
    sensitive: bool = False
    union: bool = False
    event_stream: bool = False
    flattened: bool = False

    @property
    def item(self) -> Member:
        """What a list holds."""
        return self.members[_ITEM]

    @property
    def key(self) -> Member:
        """The keys of a map."""
        return self.members[_KEY]

    @property
    def value(self) -> Member:
        """The values of a map."""
        return self.members[_VALUE]


@dataclass(frozen=True, slots=True, eq=False)
class ErrorShape:
    """An error that the model declares: `code` is what clients see, `status` its HTTP status."""

    name: str
    code: str
    status: int
    shape: Shape


@dataclass(frozen=True, slots=True, eq=False)
class Operation:
    """One operation: `path` is a template such as `/endpoints/{EndpointName}/invocations`."""

    name: str
    method: str
    path: str
    status: int
    input: Shape | None
    output: Shape | None
    errors: Mapping[str, ErrorShape] = field(repr=False)


@dataclass(frozen=True, slots=True, eq=False)
class Service:
    """One service; `error_shapes` (by code) holds every declared error, even one that no operation lists.

    Its XML is of `namespace`. Where it is `query_compatible`, other protocols tell the query protocol's codes
    of errors too.
    """

    name: str
    protocol: str
    json_version: str | None
    target_prefix: str | None
    operations: Mapping[str, Operation] = field(repr=False)
    error_shapes: Mapping[str, ErrorShape] = field(repr=False)
    namespace: str = ""
    query_compatible: bool = False


def load_service(name: str) -> Service:
    """The corrected model of botocore's service `name`, as shipped with botocore.

    Raises: StartupError if the installed botocore does not know the service or a correction does not fit it.
    """
    model = _read_model(name)
    patches = json.loads(resources.files("service.wire").joinpath(_PATCHES).read_text("utf-8"))
    patch_model(model, (patch for patch in patches if patch["service"] == name))
    return build_service(name, model)


def _read_model(name: str) -> dict[str, Any]:
    """The newest that botocore ships; a user's own ~/.aws/models must not change what this server speaks."""
    package = util.find_spec("botocore")
    folders = () if package is None else package.submodule_search_locations or ()
    versions = sorted(
        path for folder in folders for path in Path(folder, "data", name).glob("*/service-2.json*")
    )
    if not versions:
        raise StartupError(f"The installed botocore has no model of the service {name!r}.")
    content = versions[-1].read_bytes()
    model: dict[str, Any] = json.loads(gzip.decompress(content) if versions[-1].suffix == ".gz" else content)
    return model


def patch_model(model: dict[str, Any], patches: Iterable[Mapping[str, Any]]) -> None:
    """Correct `model` in place; the module's docstring says what a correction looks like.

    Raises: StartupError if a path leads nowhere.
    """
    for patch in patches:
        try:
            _patch_one(model, patch)
        except (LookupError, TypeError, ValueError) as error:
            raise StartupError(
                f"The model correction {patch['op']} {patch['path']} does not fit the installed botocore."
            ) from error


def _patch_one(model: Any, patch: Mapping[str, Any]) -> None:
    *parents, last = [
        part.replace("~1", "/").replace("~0", "~") for part in patch["path"].removeprefix("/").split("/")
    ]
    holder = model
    for part in parents:
        holder = holder[int(part)] if isinstance(holder, list) else holder[part]
    operation = patch["op"]
    if operation == "add" and isinstance(holder, list):
        holder.insert(len(holder) if last == "-" else int(last), patch["value"])
        return
    at = int(last) if isinstance(holder, list) else last
    if operation != "add":
        holder[at]  # replace and remove need something there
    if operation == "remove":
        del holder[at]
    elif operation in {"add", "replace"}:
        holder[at] = patch["value"]
    else:
        raise ValueError(operation)


def build_service(name: str, model: Mapping[str, Any]) -> Service:
    """The values of a model in botocore's `service-2` format."""
    metadata = model["metadata"]
    shapes = _ShapeTable(model["shapes"])
    errors = {
        key: _error_shape(key, raw, shapes) for key, raw in model["shapes"].items() if raw.get("exception")
    }
    operations = {key: _operation(key, raw, shapes, errors) for key, raw in model["operations"].items()}
    return Service(
        name=name,
        protocol=metadata["protocol"],
        json_version=metadata.get("jsonVersion"),
        target_prefix=metadata.get("targetPrefix"),
        operations=MappingProxyType(operations),
        error_shapes=_by_code(errors.values()),
        namespace=metadata.get("xmlNamespace", ""),
        query_compatible="awsQueryCompatible" in metadata,
    )


def _operation(
    name: str, raw: Mapping[str, Any], shapes: "_ShapeTable", errors: Mapping[str, ErrorShape]
) -> Operation:
    return Operation(
        name=name,
        method=raw["http"]["method"],
        path=raw["http"]["requestUri"],
        status=raw["http"].get("responseCode", 200),
        input=shapes.optional(raw.get("input")),
        output=shapes.optional(raw.get("output")),
        errors=_by_code(errors[reference["shape"]] for reference in raw.get("errors", ())),
    )


def _by_code(errors: Iterable[ErrorShape]) -> Mapping[str, ErrorShape]:
    return MappingProxyType({error.code: error for error in errors})


def _error_shape(name: str, raw: Mapping[str, Any], shapes: "_ShapeTable") -> ErrorShape:
    trait = raw.get("error", {})
    status = trait.get("httpStatusCode", 500 if raw.get("fault") else 400)
    return ErrorShape(name, trait.get("code", name), status, shapes.shape(name))


class _ShapeTable:
    """Builds each shape once, when first asked for; one that holds itself meets its own unfinished value."""

    def __init__(self, raw: Mapping[str, Any]) -> None:
        self._raw = raw
        self._built: dict[str, Shape] = {}

    def shape(self, name: str) -> Shape:
        known = self._built.get(name)
        if known is not None:
            return known
        raw = self._raw[name]
        members: dict[str, Member] = {}
        shape = _shape(name, raw, MappingProxyType(members))
        self._built[name] = shape  # before the members: they may hold this very shape
        for key, reference in _references(raw):
            members[key] = self._member(key, reference)
        return shape

    def optional(self, reference: Mapping[str, Any] | None) -> Shape | None:
        return None if reference is None else self.shape(reference["shape"])

    def _member(self, name: str, reference: Mapping[str, Any]) -> Member:
        raw = self._raw[reference["shape"]]
        shape = self.shape(reference["shape"])
        if reference.get("flattened", False):  # here alone, whatever the shape says
            shape = replace(shape, flattened=True)
        return Member(
            name=name,
            shape=shape,
            location=reference.get("location"),
            wire_name=reference.get("locationName", name),
            timestamp_format=reference.get("timestampFormat", raw.get("timestampFormat")),
            attribute=reference.get("xmlAttribute", False),
        )


def _shape(name: str, raw: Mapping[str, Any], members: Mapping[str, Member]) -> Shape:
    return Shape(
        name=name,
        kind=raw["type"],
        members=members,
        required=tuple(raw.get("required", ())),
        minimum=raw.get("min"),
        maximum=raw.get("max"),
        pattern=raw.get("pattern"),
        enum=tuple(raw.get("enum", ())),
        payload=raw.get("payload"),
        sensitive=raw.get("sensitive", False),
        union=raw.get("union", False),
        event_stream=raw.get("eventstream", False),
        flattened=raw.get("flattened", False),
    )


def _references(raw: Mapping[str, Any]) -> Iterable[tuple[str, Mapping[str, Any]]]:
    if raw["type"] == "structure":
        return raw["members"].items()  # type: ignore[no-any-return]  # raw JSON
    return ((key, raw[key]) for key in (_ITEM, _KEY, _VALUE) if key in raw)
