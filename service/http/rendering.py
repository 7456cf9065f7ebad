"""The bytes of HTTP/1.1 replies that are whole when they are sent; what comes in parts is exchange.py's."""

from uvicorn.protocols.http.httptools_impl import STATUS_LINE

_NO_CONTENT, _NOT_MODIFIED = STATUS_LINE[204], STATUS_LINE[304]
_TEXT = b"content-type: text/plain; charset=utf-8\r\n"
FAILURE = b"Internal Server Error"
"""What a client is told whose request came to nothing by a bug of ours; the log has the reason."""


def render(status_line: bytes, common: bytes, lines: bytes, body: bytes, keep_alive: bool) -> bytes:
    """A reply, all of it: `common` are the lines that every reply has, `lines` its own.

    They are fit to be sent and say nothing of the body's length or of the connection.
    """
    if status_line is _NO_CONTENT or status_line is _NOT_MODIFIED:  # a client would take a body for more
        body, length = b"", b""
    else:
        length = b"content-length: %d\r\n" % len(body)
    end = b"\r\n" if keep_alive else b"connection: close\r\n\r\n"
    return b"".join((status_line, common, lines, length, end, body))


def render_refusal(status: int, common: bytes, sentence: str) -> bytes:
    """The answer to what is no request, behind which the connection is closed."""
    return render(STATUS_LINE[status], common, _TEXT, sentence.encode() + b"\n", keep_alive=False)


def render_failure(common: bytes) -> bytes:
    """The answer where ours cannot be written, behind which the connection is closed."""
    return render(STATUS_LINE[500], common, _TEXT, FAILURE, keep_alive=False)
