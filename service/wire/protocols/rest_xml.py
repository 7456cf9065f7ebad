"""REST-XML, and S3's kind of it. Faults alone, for no service that speaks it is served."""

from xml.sax.saxutils import escape

from service.errors import UnknownOperation
from service.http.reply import Asked, Reply
from service.wire.faults import fault_status, known_error
from service.wire.protocols.query import QueryCall, word_fault

_XML = (b"Content-Type", b"application/xml")


class RestXmlFaults:
    """For services whose errors look as those of the query protocol do, such as CloudFront."""

    def write_fault(self, error: BaseException, asked: Asked) -> Reply:
        """Source: botocore's models, protocol rest-xml."""
        status, body = word_fault(error, QueryCall("", ""), asked.request_id)
        identifier = (b"x-amzn-RequestId", asked.request_id.encode("ascii"))
        return Reply(status, [(b"Content-Type", b"text/xml"), identifier], body)


class S3Faults:
    """For S3 and its kin; `path` is the resource that was asked for."""

    def __init__(self, path: str) -> None:
        self._path = path

    def write_fault(self, error: BaseException, asked: Asked) -> Reply:
        """S3's own kind of document; nobody repeats what is not implemented. Source: S3's error codes."""
        known = known_error(error, asked.request_id)
        code, status = known.code, fault_status(known, known.code)
        if isinstance(known, UnknownOperation):
            code, status = "NotImplemented", 501
        identifier = escape(asked.request_id)
        document = (
            '<?xml version="1.0" encoding="UTF-8"?>\n'
            f"<Error><Code>{code}</Code><Message>{_text(known.message)}</Message>"
            f"<Resource>{_text(self._path)}</Resource>"
            f"<RequestId>{identifier}</RequestId><HostId>{identifier}</HostId></Error>"
        )
        names = (b"x-amz-request-id", b"x-amz-id-2")
        return Reply(
            status, [_XML, *((name, asked.request_id.encode("ascii")) for name in names)], document.encode()
        )


def _text(value: str) -> str:
    return escape("".join(letter if letter.isprintable() else "?" for letter in value))
