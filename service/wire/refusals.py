"""Answers to requests of services that are not served, each in the form that the service's clients read."""

from xml.sax.saxutils import escape

from service.http.reply import Reply
from service.wire.query import QueryCall, error_document
from service.wire.shapes import render_json

XML_SERVICES = frozenset({"cloudfront", "route53"})
"""Services that speak XML at paths of their own. Source: botocore's models, protocol rest-xml."""

_CODE = "UnknownOperationException"
_XML = (b"Content-Type", b"application/xml")
_CBOR_TEXT = 0x60
_CBOR_SMALL = 24


def s3_refusal(message: str, path: str, request_id: str) -> Reply:
    """S3's own kind of document; nobody sends such a request again by himself. Source: S3's error codes."""
    identifier = escape(request_id)
    document = (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f"<Error><Code>NotImplemented</Code><Message>{_text(message)}</Message><Resource>{_text(path)}</Resource>"
        f"<RequestId>{identifier}</RequestId><HostId>{identifier}</HostId></Error>"
    )
    identifiers = [(name, request_id.encode("ascii")) for name in (b"x-amz-request-id", b"x-amz-id-2")]
    return Reply(501, [_XML, *identifiers], document.encode())


def xml_refusal(message: str, request_id: str) -> Reply:
    """For services that speak XML at paths of their own."""
    body = error_document(QueryCall("", ""), "InvalidAction", message, "Sender", request_id)
    return Reply(400, [(b"Content-Type", b"text/xml"), _identified(request_id)], body)


def rest_json_refusal(message: str, request_id: str) -> Reply:
    """For services that speak JSON at paths of their own."""
    headers = [
        (b"Content-Type", b"application/json"),
        (b"x-amzn-ErrorType", _CODE.encode()),
        _identified(request_id),
    ]
    return Reply(404, headers, render_json({"__type": _CODE, "message": message, "Message": message}))


def cbor_refusal(message: str, request_id: str) -> Reply:
    """For services that speak Smithy's RPC over CBOR: a map of two texts. Source: RFC 8949, 3."""
    headers = [
        (b"Content-Type", b"application/cbor"),
        (b"smithy-protocol", b"rpc-v2-cbor"),
        _identified(request_id),
    ]
    members = [("__type", _CODE), ("message", message)]
    body = bytes([0xA0 + len(members)]) + b"".join(_cbor(text) for pair in members for text in pair)
    return Reply(404, headers, body)


def _identified(request_id: str) -> tuple[bytes, bytes]:
    return b"x-amzn-RequestId", request_id.encode("ascii")


def _cbor(text: str) -> bytes:
    data = text.encode("utf-8", "replace")
    if len(data) < _CBOR_SMALL:
        return bytes([_CBOR_TEXT + len(data)]) + data
    return bytes([_CBOR_TEXT + _CBOR_SMALL + 1]) + len(data).to_bytes(2, "big") + data


def _text(value: str) -> str:
    return escape("".join(letter if letter.isprintable() else "?" for letter in value))
