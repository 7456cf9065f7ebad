"""The query protocol of older services: a form goes in, XML comes out. How forms are read: query_form.py."""

import base64
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl
from xml.sax.saxutils import escape

from service.errors import UnknownOperation
from service.http.reply import Asked, Reply
from service.wire import constraints, shapes
from service.wire.constraints import Checker
from service.wire.faults import code_in_xml, error_code, fault_status, known_error, request_header
from service.wire.protocols.query_form import read_form
from service.wire.spec import Member, Operation, Service, Shape

CONTENT_TYPE = (b"Content-Type", b"text/xml")
_EC2_VERSION = "2016-11-15"
_FORM = b"application/x-www-form-urlencoded"
_MAX_FIELDS = 1000
_NAME = re.compile(r"[A-Za-z]\w{0,127}", re.ASCII)
_UNPRINTABLE = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True, slots=True)
class QueryCall:
    """What a form asks for: the operation, and by its date the interface that it belongs to."""

    action: str
    version: str


def read_call(content_type: bytes, body: bytes) -> QueryCall | None:
    """The call that a form is; None for any other body, and for a form that names no operation."""
    if not is_form(content_type):
        return None
    # Clients write these two first; what a stranger writes in their place is not read to its end.
    first = b"&".join(body.split(b"&", _MAX_FIELDS)[:_MAX_FIELDS])
    fields = dict(parse_qsl(first.decode("latin-1"), max_num_fields=_MAX_FIELDS))
    action, version = fields.get("Action", ""), fields.get("Version", "")
    return QueryCall(action, version) if _NAME.fullmatch(action) else None


def is_form(content_type: bytes) -> bool:
    """Whether a body of this type is a form."""
    return content_type.partition(b";")[0].strip().lower() == _FORM


def word_fault(
    error: BaseException, call: QueryCall, request_id: str, spec: Service | None = None
) -> tuple[int, bytes]:
    """Status and document of an error, as an answer to a call. Source: the common errors of every API."""
    known = known_error(error, request_id)
    declared = None if spec is None else spec.error_shapes.get(error_code(known, spec))
    code = code_in_xml(known) if declared is None else declared.code
    status = fault_status(known, known.code, declared)
    if isinstance(known, UnknownOperation):
        code, status = "InvalidAction", 400
    side = "Sender" if status < 500 else "Receiver"
    return status, error_document(call, code, known.message, side, request_id)


class QueryFaults:
    """For every service that takes forms."""

    def __init__(self, spec: Service | None = None) -> None:
        self._spec = spec

    def write_fault(self, error: BaseException, asked: Asked) -> Reply:
        """The document that names the call, where the body is one."""
        call = read_call(dict(asked.headers).get(b"content-type", b""), asked.body) or QueryCall("", "")
        status, body = word_fault(error, call, asked.request_id, self._spec)
        return Reply(status, [request_header(asked.request_id), CONTENT_TYPE], body)


class QueryProtocol(QueryFaults):
    """One service by botocore's model of it."""

    def __init__(self, spec: Service) -> None:
        super().__init__(spec)
        self.spec = spec
        self._checkers: dict[Shape, Checker] = {}

    def models(self, operation: str) -> bool:
        """Whether the service's model has an operation of that name."""
        return operation in self.spec.operations

    def read(self, operation: str, asked: Asked) -> Mapping[str, Any]:
        """The members of a form. Raises: SerializationFault; ValidationFault with every violation."""
        shape = self._operation(operation).input
        if shape is None:
            return {}
        values = read_form(shape, asked.body)
        constraints.check(constraints.compile_checker(shape, self._checkers), values)
        return values

    def write(self, operation: str, output: Mapping[str, Any], request_id: str) -> Reply:
        """The document that carries an output. Source: botocore's parser and its models' resultWrapper."""
        shape = self._operation(operation).output
        parts = [f'<{operation}Response xmlns="{self.spec.namespace}">']
        if shape is not None:
            parts.append(f"<{operation}Result>")
            _write_members(parts.append, shape, output)
            parts.append(f"</{operation}Result>")
        identifier = f"<RequestId>{_text(request_id)}</RequestId>"
        parts.append(f"<ResponseMetadata>{identifier}</ResponseMetadata></{operation}Response>")
        return Reply(200, [CONTENT_TYPE], "".join(parts).encode("utf-8"))

    def _operation(self, name: str) -> Operation:
        found = self.spec.operations.get(name)
        if found is None:
            raise UnknownOperation(f"{self.spec.name} has no operation {name}.")
        return found


def error_document(call: QueryCall, code: str, message: str, side: str, request_id: str) -> bytes:
    """The body of an error; `side` is Sender or Receiver. EC2 has a form of its own."""
    about = f"<Code>{_text(code)}</Code><Message>{_text(message)}</Message>"
    identifier = _text(request_id)
    if call.version == _EC2_VERSION:
        text = (
            f"<Response><Errors><Error>{about}</Error></Errors><RequestID>{identifier}</RequestID></Response>"
        )
    else:
        text = (
            f"<ErrorResponse><Error><Type>{side}</Type>{about}</Error>"
            f"<RequestId>{identifier}</RequestId></ErrorResponse>"
        )
    return text.encode("utf-8")


def _text(value: str) -> str:
    """Text that XML may hold: some characters it cannot even escape."""
    return escape(_UNPRINTABLE.sub("?", value))


def _write_members(add: Callable[[str], None], shape: Shape, value: Mapping[str, Any]) -> None:
    for member in shape.members.values():
        one = value.get(member.name)
        if one is not None:
            _write_member(add, member, one)


def _write_member(add: Callable[[str], None], member: Member, value: Any) -> None:
    shape, name = member.shape, member.wire_name
    if shape.kind == "list" and shape.flattened:
        own = shape.item.wire_name
        for one in value:
            _write_element(add, name if own == shape.item.name else own, shape.item, one)
    else:
        _write_element(add, name, member, value)


def _write_element(add: Callable[[str], None], name: str, member: Member, value: Any) -> None:
    shape = member.shape
    add(f"<{name}>")
    match shape.kind:
        case "structure":
            _write_members(add, shape, value)
        case "list":
            for one in value:
                _write_element(add, shape.item.wire_name, shape.item, one)
        case "map":
            for key, one in value.items():
                add("<entry>")
                _write_element(add, shape.key.wire_name, shape.key, key)
                _write_element(add, shape.value.wire_name, shape.value, one)
                add("</entry>")
        case _:
            add(_text(_scalar(member, value)))
    add(f"</{name}>")


def _scalar(member: Member, value: Any) -> str:
    match member.shape.kind:
        case "boolean":
            return "true" if value else "false"
        case "timestamp":
            return str(shapes.write_timestamp(value, member.timestamp_format or "iso8601"))
        case "blob":
            return base64.b64encode(value).decode("ascii")
        case _:
            return str(value)
