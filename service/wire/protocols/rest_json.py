"""The REST-JSON protocol: an operation compiled once into a reader of requests and a writer of replies.

The hot path of every prediction. No routing and no framework in here: the gateway matches the path and hands
over its parts, the headers as ASGI gives them, and the body. Event streams are framed elsewhere; their reply
here ends with the headers.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from service.errors import PayloadTooLarge, SerializationFault, StartupError, ValidationFault
from service.http.reply import Asked, Reply
from service.wire import constraints, shapes
from service.wire.constraints import Checker
from service.wire.faults import error_code, fault_members, fault_status, known_error, request_header
from service.wire.shapes import Reader, Writer, render_json
from service.wire.spec import Member, Operation, Service, Shape

_JSON = (b"Content-Type", b"application/json")
_EVENT_STREAM = (b"Content-Type", b"application/vnd.amazon.eventstream")


@dataclass(frozen=True, slots=True)
class _TextField:
    """A member that travels as text, in a header or in the path; `parse` is None for a string."""

    name: str
    wire_name: str
    parse: Callable[[str], Any] | None


@dataclass(frozen=True, slots=True)
class RestJson:
    """One operation of a REST-JSON service; made by `compile_operation`."""

    _labels: tuple[_TextField, ...]
    _headers: Mapping[bytes, tuple[str, Callable[[str], Any] | None]]
    _read_body: Callable[[bytes, dict[str, Any]], None]
    _check: Checker
    _status: int
    _reply_headers: tuple[tuple[str, bytes, Callable[[Any], bytes]], ...]
    _write_body: Callable[[Mapping[str, Any], list[tuple[bytes, bytes]]], bytes]

    def read(
        self, path_values: Mapping[str, str], headers: Iterable[tuple[bytes, bytes]], body: bytes
    ) -> dict[str, Any]:
        """The request's members; the body is handed on, not copied.

        `path_values` is by the names in the operation's path, percent-decoded; header names are lower-case.

        Raises: ValidationFault with every violation; SerializationFault for text or JSON of the wrong type.
        """
        values: dict[str, Any] = {}
        for label in self._labels:
            part = path_values.get(label.wire_name)
            if part is not None:
                values[label.name] = part if label.parse is None else label.parse(part)
        known = self._headers
        for key, raw in headers:
            if key in known:
                name, parse = known[key]
                text = raw.decode("latin-1")
                if name in values:  # a header given twice is a list, says RFC 9110
                    text = f"{values[name]}, {text}"
                values[name] = text if parse is None else parse(text)
        self._read_body(body, values)
        constraints.check(self._check, values)
        return values

    def write(self, output: Mapping[str, Any]) -> Reply:
        """The reply that carries `output`, with the operation's status; the caller may extend its headers.

        Raises: ValidationFault for text that no header may hold: control characters, or beyond ISO-8859-1.
        """
        headers = [
            (wire_name, encode(value))
            for name, wire_name, encode in self._reply_headers
            if (value := output.get(name)) is not None
        ]
        body = self._write_body(output, headers)
        return Reply(self._status, headers, body)


def compile_operation(operation: Operation) -> RestJson:
    """The reader and writer of one operation.

    Raises: StartupError if the model puts a member where this protocol file does not look.
    """
    request = _members(operation, operation.input, {"uri", "header"})
    reply = _members(operation, operation.output, {"header"})
    return RestJson(
        _labels=tuple(
            _TextField(member.name, member.wire_name, _text_parser(member))
            for member in request
            if member.location == "uri"
        ),
        _headers={
            member.wire_name.lower().encode("ascii"): (member.name, _text_parser(member))
            for member in request
            if member.location == "header"
        },
        _read_body=_body_reader(operation.input),
        _check=constraints.compile_checker(operation.input) if operation.input else _accept,
        _status=operation.status,
        _reply_headers=tuple(
            (member.name, member.wire_name.encode("ascii"), _header_writer(member))
            for member in reply
            if member.location == "header"
        ),
        _write_body=_body_writer(operation.output),
    )


def _members(operation: Operation, shape: Shape | None, served: set[str]) -> list[Member]:
    members = list(shape.members.values()) if shape else []
    for member in members:
        if member.location is not None and member.location not in served:
            raise StartupError(
                f"{operation.name}: the member {member.name} travels in the {member.location}, "
                "which is not served yet."
            )
    return members


def _accept(value: Any, path: str) -> list[str]:
    return []


def _text_parser(member: Member) -> Callable[[str], Any] | None:
    if member.shape.kind == "string":
        return None
    shape, path = member.shape, constraints.wire_path(member.name)
    return lambda text: shapes.parse_text(shape, text, path)


# Requests


def _body_reader(shape: Shape | None) -> Callable[[bytes, dict[str, Any]], None]:
    if shape is None:
        return _ignore_body
    if shape.payload is None:
        in_body = any(member.location is None for member in shape.members.values())
        return _members_reader(shapes.compile_reader(shape)) if in_body else _ignore_body
    payload = shape.members[shape.payload]
    required = payload.name in shape.required
    if payload.shape.kind in {"blob", "string"}:
        return _raw_reader(payload, required)
    return _document_reader(payload.name, required, shapes.compile_reader(payload.shape))


def _ignore_body(body: bytes, values: dict[str, Any]) -> None:
    """For operations that take no body: what a client sends all the same is none of theirs."""


def _members_reader(read: Reader) -> Callable[[bytes, dict[str, Any]], None]:
    def read_members(body: bytes, values: dict[str, Any]) -> None:
        values.update(shapes.read_body(read, body))

    return read_members


def _raw_reader(payload: Member, required: bool) -> Callable[[bytes, dict[str, Any]], None]:
    name = payload.name
    is_text = payload.shape.kind == "string"

    def read_raw(body: bytes, values: dict[str, Any]) -> None:
        # HTTP cannot tell an empty body from none: a required one is then empty, an optional one absent.
        if body or required:
            values[name] = _decode(body) if is_text else body

    return read_raw


def _decode(body: bytes) -> str:
    try:
        return body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise SerializationFault("The request body is not valid UTF-8.") from error


def _document_reader(name: str, required: bool, read: Reader) -> Callable[[bytes, dict[str, Any]], None]:
    def read_document(body: bytes, values: dict[str, Any]) -> None:
        if body or required:
            values[name] = shapes.read_body(read, body)

    return read_document


# Replies


def _header_writer(member: Member) -> Callable[[Any], bytes]:
    kind = member.shape.kind
    if kind == "string":
        return _string_writer(member)
    if kind == "boolean":
        return lambda value: b"true" if value else b"false"
    if kind == "timestamp":
        return lambda value: _timestamp_text(value, member.timestamp_format or "rfc822")
    return lambda value: str(value).encode("ascii")


def _string_writer(member: Member) -> Callable[[str], bytes]:
    path, header = constraints.wire_path(member.name), member.wire_name

    def write_string(value: str) -> bytes:
        if value.isascii() and value.isprintable():
            return value.encode("ascii")
        # The value may be sensitive, and it is a container's as often as the caller's: it is not repeated.
        if any(character < " " or "\x7f" <= character <= "\x9f" or character > "\xff" for character in value):
            raise ValidationFault(
                f"Value at '{path}' can not be sent in the header {header}: "
                "it holds control characters or characters that are not in ISO-8859-1."
            )
        return value.encode("latin-1")

    return write_string


def _timestamp_text(value: datetime | float, timestamp_format: str) -> bytes:
    return str(shapes.write_timestamp(value, timestamp_format)).encode("ascii")


def _body_writer(shape: Shape | None) -> Callable[[Mapping[str, Any], list[tuple[bytes, bytes]]], bytes]:
    if shape is None:
        return _write_nothing
    if shape.payload is None:
        in_body = any(member.location is None for member in shape.members.values())
        return _members_writer(shapes.compile_writer(shape)) if in_body else _write_nothing
    payload = shape.members[shape.payload]
    if payload.shape.event_stream:
        return _write_event_stream
    if payload.shape.kind in {"blob", "string"}:
        return _raw_writer(payload.name)
    return _document_writer(payload.name, shapes.compile_writer(payload.shape))


def _write_nothing(output: Mapping[str, Any], headers: list[tuple[bytes, bytes]]) -> bytes:
    return b""


def _write_event_stream(output: Mapping[str, Any], headers: list[tuple[bytes, bytes]]) -> bytes:
    headers.append(_EVENT_STREAM)
    return b""


def _raw_writer(name: str) -> Callable[[Mapping[str, Any], list[tuple[bytes, bytes]]], bytes]:
    def write_raw(output: Mapping[str, Any], headers: list[tuple[bytes, bytes]]) -> bytes:
        body: bytes | str = output.get(name, b"")
        return body.encode("utf-8") if isinstance(body, str) else body

    return write_raw


def _members_writer(write: Writer) -> Callable[[Mapping[str, Any], list[tuple[bytes, bytes]]], bytes]:
    def write_members(output: Mapping[str, Any], headers: list[tuple[bytes, bytes]]) -> bytes:
        headers.append(_JSON)
        return shapes.write_body(write, output)

    return write_members


def _document_writer(
    name: str, write: Writer
) -> Callable[[Mapping[str, Any], list[tuple[bytes, bytes]]], bytes]:
    def write_document(output: Mapping[str, Any], headers: list[tuple[bytes, bytes]]) -> bytes:
        headers.append(_JSON)
        return shapes.write_body(write, output.get(name, {}))

    return write_document


# Faults


def fault_reply(error: BaseException, service: Service, request_id: str) -> Reply:
    """The answer of a service to an error; it never raises.

    `request_id` is the gateway's own: printable ASCII. Source: contract B.4 and C.13.
    """
    if isinstance(error, PayloadTooLarge):
        headers = [request_header(request_id), (b"Content-Type", b"text/plain")]
        return Reply(413, headers, error.message.encode("utf-8", "replace"))
    known = known_error(error, request_id)
    code = error_code(known, service)
    declared = service.error_shapes.get(code)
    headers = [
        request_header(request_id),
        (b"x-amzn-ErrorType", code.encode("ascii")),
        (b"Content-Type", b"application/json"),
    ]
    body = render_json(fault_members(known, declared, request_id))
    return Reply(fault_status(known, code, declared), headers, body)


class RestJsonFaults:
    """For services whose model is not read here: what clients of any of them understand."""

    def write_fault(self, error: BaseException, asked: Asked) -> Reply:
        """The code in a header and in the body, the message in either spelling."""
        known = known_error(error, asked.request_id)
        headers = [
            _JSON,
            (b"x-amzn-ErrorType", known.code.encode()),
            request_header(asked.request_id),
        ]
        members = {"__type": known.code, "message": known.message, "Message": known.message}
        return Reply(fault_status(known, known.code), headers, render_json(members))
