"""The query protocol of older services: a form goes in, XML comes out. Only as much as STS's one call needs.

Lists and nested members (`Tags.member.1.Key`) are not read; nothing served here has any.
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl
from xml.sax.saxutils import escape

from service.errors import UnknownOperation
from service.http.reply import Asked, Reply
from service.wire.faults import code_in_xml, fault_status, known_error, request_header

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
    try:
        fields = dict(parse_qsl(body.decode("latin-1"), max_num_fields=_MAX_FIELDS))
    except ValueError:
        return None
    action, version = fields.get("Action", ""), fields.get("Version", "")
    return QueryCall(action, version) if _NAME.fullmatch(action) else None


def is_form(content_type: bytes) -> bool:
    """Whether a body of this type is a form."""
    return content_type.partition(b";")[0].strip().lower() == _FORM


def word_fault(error: BaseException, call: QueryCall, request_id: str) -> tuple[int, bytes]:
    """Status and document of an error, as an answer to a call. Source: the common errors of every API."""
    known = known_error(error, request_id)
    code, status = code_in_xml(known), fault_status(known, known.code)
    if isinstance(known, UnknownOperation):
        code, status = "InvalidAction", 400
    side = "Sender" if status < 500 else "Receiver"
    return status, error_document(call, code, known.message, side, request_id)


class QueryFaults:
    """For every service that takes forms."""

    def write_fault(self, error: BaseException, asked: Asked) -> Reply:
        """The document that names the call, where the body is one."""
        call = read_call(dict(asked.headers).get(b"content-type", b""), asked.body) or QueryCall("", "")
        status, body = word_fault(error, call, asked.request_id)
        return Reply(status, [request_header(asked.request_id), CONTENT_TYPE], body)


class QueryProtocol(QueryFaults):
    """One service of a few operations, none of which takes a member or gives back more than texts."""

    def __init__(self, namespace: str, operations: Collection[str]) -> None:
        self._namespace = namespace
        self._operations = frozenset(operations)

    def models(self, operation: str) -> bool:
        """Whether it is one of those."""
        return operation in self._operations

    def read(self, operation: str, asked: Asked) -> Mapping[str, Any]:
        """No members."""
        del operation, asked
        return {}

    def write(self, operation: str, output: Mapping[str, Any], request_id: str) -> Reply:
        """The reply that carries texts. Source: botocore's model of sts; their order is theirs to choose."""
        inside = "".join(f"<{name}>{_text(value)}</{name}>" for name, value in output.items())
        document = (
            f'<{operation}Response xmlns="{self._namespace}">'
            f"<{operation}Result>{inside}</{operation}Result>"
            f"<ResponseMetadata><RequestId>{_text(request_id)}</RequestId></ResponseMetadata>"
            f"</{operation}Response>"
        )
        return Reply(200, [CONTENT_TYPE], document.encode("utf-8"))


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
