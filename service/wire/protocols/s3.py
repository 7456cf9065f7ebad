"""S3's kind of REST-XML: which operation a request is, its members, and the reply. By botocore's model of s3.

Bodies that are objects pass by: who reads and writes those is no matter of a protocol.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from types import MappingProxyType
from typing import Any, Final

from service.errors import BucketFault, SerializationFault
from service.http.asgi import Headers
from service.http.reply import Reply
from service.wire import shapes
from service.wire.spec import Member, Operation, Service, Shape
from service.wire.xml_tree import Element, escaped, read_tree

_NAMESPACE: Final = "http://s3.amazonaws.com/doc/2006-03-01/"
_DECLARATION: Final = '<?xml version="1.0" encoding="UTF-8"?>\n'
_UNSENDABLE: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]|[^\x00-\xff]")
_COPY_SOURCE: Final = "x-amz-copy-source"

# Those that share another one's address: it has outlived them, or they are for hosts of their own.
_NEVER_MEANT: Final = frozenset(
    {
        "GetBucketLifecycle",
        "PutBucketLifecycle",
        "GetBucketNotification",
        "PutBucketNotification",
        "ListDirectoryBuckets",
        "WriteGetObjectResponse",
    }
)

# How the documents of replies begin, which no model says. Source: S3 API reference.
_ROOTS: Final = MappingProxyType(
    {
        "ListBuckets": "ListAllMyBucketsResult",
        "ListObjects": "ListBucketResult",
        "ListObjectsV2": "ListBucketResult",
        "ListObjectVersions": "ListVersionsResult",
        "CreateMultipartUpload": "InitiateMultipartUploadResult",
        "CompleteMultipartUpload": "CompleteMultipartUploadResult",
        "ListMultipartUploads": "ListMultipartUploadsResult",
        "ListParts": "ListPartsResult",
        "DeleteObjects": "DeleteResult",
        "GetObjectTagging": "Tagging",
        "GetBucketTagging": "Tagging",
        "GetObjectAcl": "AccessControlPolicy",
        "GetBucketAcl": "AccessControlPolicy",
        "GetBucketVersioning": "VersioningConfiguration",
        "GetBucketAccelerateConfiguration": "AccelerateConfiguration",
        "GetBucketRequestPayment": "RequestPaymentConfiguration",
        "GetBucketLogging": "BucketLoggingStatus",
        "GetBucketNotificationConfiguration": "NotificationConfiguration",
        "GetObjectAttributes": "GetObjectAttributesResponse",
        "GetBucketCors": "CORSConfiguration",
        "GetBucketLifecycleConfiguration": "LifecycleConfiguration",
        "GetBucketWebsite": "WebsiteConfiguration",
    }
)


@dataclass(frozen=True, slots=True)
class S3Asked:
    """A request but for its body: bucket and key are "" where it names none; header names in lower case."""

    method: str
    bucket: str
    key: str
    query: Mapping[str, str]
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class _Route:
    """How the requests of an operation look: what its model says has to be there."""

    name: str
    method: str
    level: int  # 0: the service, 1: a bucket, 2: an object
    flags: tuple[tuple[str, str], ...]
    queries: tuple[str, ...]
    copies: bool

    def fits(self, asked: S3Asked) -> bool:
        query = asked.query
        return (
            all(name in query and value in ("", query[name]) for name, value in self.flags)
            and all(name in query for name in self.queries)
            and (not self.copies or _COPY_SOURCE in asked.headers)
        )

    @property
    def weight(self) -> int:
        return 2 * len(self.flags) + len(self.queries) + self.copies


class S3Protocol:
    """S3 on the wire."""

    def __init__(self, spec: Service) -> None:
        self.spec = spec

    @cached_property
    def _routes(self) -> Mapping[tuple[str, int], list[_Route]]:
        found: dict[tuple[str, int], list[_Route]] = {}
        for operation in self.spec.operations.values():
            if operation.name not in _NEVER_MEANT:
                route = _route(operation)
                found.setdefault((route.method, route.level), []).append(route)
        for routes in found.values():
            routes.sort(key=lambda route: route.weight, reverse=True)
        return found

    def operation_of(self, asked: S3Asked) -> str:
        """What is asked for. Raises BucketFault: nothing has this method here."""
        level = 2 if asked.key else 1 if asked.bucket else 0
        for route in self._routes.get((asked.method, level), ()):
            if route.fits(asked):
                return route.name
        text = "The specified method is not allowed against this resource."
        raise BucketFault("MethodNotAllowed", text, Method=asked.method)

    def read(self, operation: str, asked: S3Asked, body: bytes) -> dict[str, Any]:
        """The members of a request, its body's too where that is a document. Raises BucketFault."""
        shape = self.spec.operations[operation].input
        fields: dict[str, Any] = {}
        for member in () if shape is None else shape.members.values():
            found = _found(member, asked)
            if found is not None:
                fields[member.name] = _parsed(member, found)
        payload = None if shape is None or shape.payload is None else shape.members[shape.payload]
        if payload is not None and body:
            fields[payload.name] = _read_payload(payload, body)
        return fields

    def write(self, operation: str, output: Mapping[str, Any]) -> Reply:
        """The reply that carries the output, but for a body that is an object. Raises BucketFault."""
        model = self.spec.operations[operation]
        shape = model.output
        if shape is None:
            return Reply(model.status, [], b"")
        headers: Headers = []
        for member in shape.members.values():
            value = output.get(member.name)
            if value is not None and member.location in ("header", "headers"):
                headers += _written(member, value)
        body = _write_body(operation, shape, output)
        if body:
            headers.append((b"Content-Type", b"application/xml"))
        return Reply(model.status, headers, body)


def _route(operation: Operation) -> _Route:
    path, _, query = operation.path.partition("?")
    flags = tuple(
        (name, value) for name, _, value in (flag.partition("=") for flag in query.split("&") if flag)
    )
    level = 2 if "{Key" in path else 1 if "{Bucket" in path else 0
    shape = operation.input
    required = [] if shape is None else [shape.members[name] for name in shape.required]
    queries = tuple(member.wire_name for member in required if member.location == "querystring")
    copies = any(member.wire_name.lower() == _COPY_SOURCE for member in required)
    return _Route(operation.name, operation.method, level, flags, queries, copies)


# Requests


def _found(member: Member, asked: S3Asked) -> str | dict[str, str] | None:
    """What a request has of a member that is not in its body."""
    match member.location:
        case "uri":
            return asked.bucket if member.name == "Bucket" else asked.key
        case "querystring":
            return asked.query.get(member.wire_name)
        case "header":
            return asked.headers.get(member.wire_name.lower())
        case "headers":
            prefix = member.wire_name.lower()
            texts = asked.headers.items()
            return {name[len(prefix) :]: text for name, text in texts if name.startswith(prefix)}
        case _:
            return None


def _parsed(member: Member, found: str | dict[str, str]) -> Any:
    if isinstance(found, dict) or member.shape.kind == "string":
        return found
    if member.shape.kind == "list":
        return [text.strip() for text in found.split(",")]
    try:
        return shapes.parse_text(member.shape, found.strip(), member.wire_name)
    except SerializationFault:
        raise BucketFault(
            "InvalidArgument",
            f"Provided argument is not valid: {member.wire_name}.",
            ArgumentName=member.wire_name,
            ArgumentValue=found,
        ) from None


def _read_payload(payload: Member, body: bytes) -> Any:
    if payload.shape.kind in ("string", "blob"):
        return body.decode("utf-8", "replace") if payload.shape.kind == "string" else body
    try:
        return _from_element(payload.shape, read_tree(body))
    except (ValueError, SerializationFault):
        text = "The XML you provided was not well-formed or did not validate against our published schema"
        raise BucketFault("MalformedXML", text) from None


def _from_element(shape: Shape, element: Element) -> Any:
    if shape.kind == "structure":
        found = ((member.name, _from_member(member, element)) for member in shape.members.values())
        return {name: value for name, value in found if value is not None}
    if shape.kind == "list":
        return [_from_element(shape.item.shape, one) for one in element.of_name(shape.item.wire_name)]
    text = element.text if shape.kind == "string" else element.text.strip()
    return text if shape.kind == "string" else shapes.parse_text(shape, text, element.name)


def _from_member(member: Member, element: Element) -> Any:
    inside = list(element.of_name(member.wire_name))
    if member.shape.kind == "list" and member.shape.flattened:
        return [_from_element(member.shape.item.shape, one) for one in inside] or None
    return _from_element(member.shape, inside[0]) if inside else None


# Replies


def _written(member: Member, value: Any) -> Iterable[tuple[bytes, bytes]]:
    if member.location == "headers":
        return [_header(member.wire_name + name, text) for name, text in value.items()]
    return [_header(member.wire_name, _text_of(member, value, "rfc822"))]


def _header(name: str, text: str) -> tuple[bytes, bytes]:
    if _UNSENDABLE.search(text):
        raise BucketFault("InvalidArgument", f"What is to be sent as {name} is no value of a header.")
    return name.encode("latin-1"), text.encode("latin-1")


def _text_of(member: Member, value: Any, timestamps: str) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        return str(shapes.write_timestamp(value, member.timestamp_format or timestamps))
    return str(value)


def _write_body(operation: str, shape: Shape, output: Mapping[str, Any]) -> bytes:
    if operation == "GetBucketLocation":  # the one document that is nothing but a text
        place = escaped(output.get("LocationConstraint") or "")
        text = f'<LocationConstraint xmlns="{_NAMESPACE}">{place}</LocationConstraint>'
        return (_DECLARATION + text).encode()
    payload = None if shape.payload is None else shape.members[shape.payload]
    if payload is not None and payload.shape.kind != "structure":
        whole = output.get(payload.name) if payload.shape.kind == "string" else None
        return b"" if whole is None else str(whole).encode()
    if payload is not None:
        inside = output.get(payload.name)
        root = payload.wire_name
        return b"" if inside is None else _document(root, payload.shape, inside)
    root = _ROOTS.get(operation, "")
    if not root and all(member.location is not None for member in shape.members.values()):
        return b""
    return _document(root or f"{operation}Result", shape, output)


def _document(root: str, shape: Shape, value: Mapping[str, Any]) -> bytes:
    parts = [_DECLARATION, f'<{root} xmlns="{_NAMESPACE}">']
    _write_members(parts.append, shape, value)
    parts.append(f"</{root}>")
    return "".join(parts).encode()


def _write_members(add: Callable[[str], None], shape: Shape, value: Mapping[str, Any]) -> None:
    for member in shape.members.values():
        one = value.get(member.name)
        if one is not None and member.location is None and not member.attribute:
            _write_member(add, member, one)


def _write_member(add: Callable[[str], None], member: Member, value: Any) -> None:
    shape, name = member.shape, member.wire_name
    if shape.kind == "list":
        if not shape.flattened:
            add(f"<{name}>")
        for one in value:
            _write_element(add, name if shape.flattened else shape.item.wire_name, shape.item, one)
        if not shape.flattened:
            add(f"</{name}>")
        return
    _write_element(add, name, member, value)


def _write_element(add: Callable[[str], None], name: str, member: Member, value: Any) -> None:
    if member.shape.kind != "structure":
        add(f"<{name}>{escaped(_text_of(member, value, 'iso8601'))}</{name}>")
        return
    add(f"<{name}{_attributes(member.shape, value)}>")
    _write_members(add, member.shape, value)
    add(f"</{name}>")


def _attributes(shape: Shape, value: Mapping[str, Any]) -> str:
    """The members that are attributes, which are of XML Schema's own namespace."""
    found = [
        f' {member.wire_name}="{escaped(str(value[member.name]))}"'
        for member in shape.members.values()
        if member.attribute and member.name in value
    ]
    return "".join((' xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"', *found)) if found else ""
