"""Heads of HTTP requests: what they may look like and how long they may be; anything else is refused.

A head is judged as a whole, or before it is whole if nothing that could follow would save it. The verdict is
that of the bytes alone: how they were cut on their way makes no difference. No sockets and no bodies in here.
Source: RFC 9112 (HTTP/1.1), RFC 9110 (semantics).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from service.http.asgi import Headers

HEAD_END = b"\r\n\r\n"

_TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]++"
_LINE = re.compile(rb"(%b) ([\x21\x22\x24-\x7e]++) HTTP/([0-9])\.([0-9])\r\n" % _TOKEN)
_VERSION = re.compile(rb"%b [^ \r\n]+ HTTP/([0-9]+)(?:\.[0-9]+)?\r\n" % _TOKEN)
# What the value of a header must not hold is looked for in the whole head, which takes less time.
_FIELD = re.compile(rb"(?<=\n)(%b):[ \t]*+([^\r]*+)\r\n" % _TOKEN)
_UNSENDABLE = bytes((*range(9), 11, 12, *range(14, 32), 127))
_AUTHORITY = rb"(?:\[[0-9A-Za-z:.]+\]|(?:[0-9A-Za-z\-._~!$&'()*+,;=]|%%[0-9A-Fa-f]{2})*+)(?::[0-9]*+)?"
_HOST = re.compile(_AUTHORITY.replace(b"%%", b"%"))
_ABSOLUTE = re.compile(rb"https?://([^/?@]++)(/[^?]*+)?(\?.*+)?", re.IGNORECASE)
_MOST_EMPTY_LINES = 64
_EMPTY_LINES = re.compile(rb"(?:\r\n){0,%d}+" % (_MOST_EMPTY_LINES + 1))
_FIRST = re.compile(_TOKEN[:-2])
_SENDABLE = bytes(byte for byte in range(256) if byte not in _UNSENDABLE)
_SINGLE = ((b"host", "Host"), (b"content-length", "Content-Length"))
_MOST_HEADERS = 256
_MOST_DIGITS = 19
_SLASH = ord("/")


@dataclass(frozen=True, slots=True)
class HeadLimits:
    """How long a head may be, with the empty line behind it, and its first line, without its line break."""

    most_bytes: int = 65_536
    most_line_bytes: int = 16_384


class Refused(Exception):
    """What came is no request that can be answered; nothing more is read of its connection."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status
        self.sentence = sentence


class Head(NamedTuple):
    """A request but for its body.

    `length` is its body's, None if that is chunked; `fields` has one of each name of its headers.
    """

    method: bytes
    target: bytes
    version: str
    headers: Headers
    fields: Mapping[bytes, bytes]
    length: int | None
    expects: bool
    keep_alive: bool

    @property
    def path_and_query(self) -> tuple[bytes, bytes]:
        """Both as they were sent, without the `?`."""
        target = self.target
        if not target.startswith((b"/", b"*")):
            _, path, query = _split_absolute(target)
            target = path + query
        path, _, query = target.partition(b"?")
        return path, query


def read_head(data: bytes, limits: HeadLimits) -> Head:
    """Read a whole head, its last empty line included, that is not longer than the limit.

    Raises:
        Refused: it breaks a rule.
    """
    line = _LINE.match(data)
    if line is None or line.end() > limits.most_line_bytes + 2 or line[3] != b"1":
        raise _bad_line(data, limits)
    fields = _FIELD.findall(data, line.end() - 1)
    if len(fields) != data.count(b"\n") - 2 or len(data.translate(None, _UNSENDABLE)) < len(data):
        raise Refused(400, "A header line is malformed.")
    if len(fields) > _MOST_HEADERS:
        raise Refused(431, f"The request has more than {_MOST_HEADERS} headers.")
    headers = [(name.lower(), value.rstrip()) for name, value in fields]
    return _framed(line[1], line[2], line[4] == b"0", headers)


def _framed(method: bytes, target: bytes, is_old: bool, headers: Headers) -> Head:
    """The head with these headers, by what they say of where it goes and where it ends. Raises: Refused."""
    fields = dict(headers)
    if len(fields) != len(headers):
        _check_doubles(headers)
    host = fields.get(b"host")
    if host is None:
        if not is_old:
            raise Refused(400, "The request has no Host header.")
    elif not _HOST.fullmatch(host):
        raise Refused(400, "The Host header is malformed.")
    if target[0] != _SLASH or method == b"CONNECT":
        headers = _of_target(method, target, headers)
    length = _length(fields, headers, is_old)
    expects = b"expect" in fields and not is_old  # an old client cannot mean it. Source: RFC 9110, 10.1.1
    if expects:
        _check_expectations(headers)
    closes = is_old or (b"connection" in fields and b"close" in _tokens(b"connection", headers))
    version = "1.0" if is_old else "1.1"
    return Head(method, target, version, headers, fields, length, expects and length != 0, not closes)


def check_unfinished(data: bytes, seen: int, limits: HeadLimits) -> None:
    """Look at what is there of a head, of which `seen` bytes were looked at before.

    Raises:
        Refused: whatever comes, it will be refused.
    """
    if not _FIRST.match(data) and data != b"\r":
        raise Refused(400, "This is no HTTP request.")
    end = data.find(b"\n", 0, limits.most_line_bytes + 2) + 1
    if end == 0:
        if len(data) >= limits.most_line_bytes + 2:
            raise _long_line(limits)
        return
    if end > seen:
        line = _LINE.match(data)
        if line is None or line[3] != b"1":
            raise _bad_line(data, limits)
    if _has_bare_line_feed(data, max(end, seen), limits.most_bytes):
        raise Refused(400, "A header line is malformed.")
    if len(data) > limits.most_bytes:
        raise Refused(431, f"The head of the request is longer than {limits.most_bytes} bytes.")


def _has_bare_line_feed(data: bytes, start: int, end: int) -> bool:
    """Whether a line feed in a part of `data`, which is not its beginning, follows no carriage return."""
    return data.count(b"\n", start, end) != data.count(b"\r\n", start - 1, end)


class HeadSearch:
    """Looks for the heads of one connection's requests, and at no byte of them twice."""

    __slots__ = ("_empty_lines", "_seen")

    def __init__(self) -> None:
        self._seen = 0  # bytes of an unfinished head that were looked at
        self._empty_lines = 0  # before it

    def find(self, data: bytes, at: int, limits: HeadLimits) -> tuple[int, int]:
        """Where the next head begins and ends that is not before `at`; it ends at 0 if it is not whole.

        Raises: Refused.
        """
        if data.startswith(b"\r\n", at):
            at = self._behind_empty_lines(data, at)
        end = data.find(HEAD_END, max(at, at + self._seen - 3)) + len(HEAD_END)
        if end < len(HEAD_END) or end - at > limits.most_bytes:
            if at < len(data):
                check_unfinished(data[at:] if at else data, self._seen, limits)
            self._seen = len(data) - at
            return at, 0
        self._seen = self._empty_lines = 0
        return at, end

    def _behind_empty_lines(self, data: bytes, at: int) -> int:
        """Some clients send empty lines before a head, but not many. Source: RFC 9112, 2.2."""
        found = _EMPTY_LINES.match(data, at)
        end = at if found is None else found.end()
        self._empty_lines += (end - at) // 2
        if self._empty_lines > _MOST_EMPTY_LINES:
            raise Refused(400, f"More than {_MOST_EMPTY_LINES} empty lines come before the request.")
        self._seen = 0
        return end


def is_field(line: bytes) -> bool:
    """Whether it is a well-formed header line, its line break included."""
    match = _FIELD.fullmatch(b"\n" + line, 1)
    return match is not None and b"\n" not in match[2] and not match[2].translate(None, _SENDABLE)


def _bad_line(data: bytes, limits: HeadLimits) -> Refused:
    if not _FIRST.match(data):
        return Refused(400, "This is no HTTP request.")
    if not 0 <= data.find(b"\n") <= limits.most_line_bytes + 1:
        return _long_line(limits)
    version = _VERSION.match(data)
    if version is not None and version[1] != b"1":
        return Refused(505, "This server speaks HTTP/1.1.")
    return Refused(400, "The request line is malformed.")


def _long_line(limits: HeadLimits) -> Refused:
    return Refused(414, f"The request line is longer than {limits.most_line_bytes} bytes.")


def _split_absolute(target: bytes) -> tuple[bytes, bytes, bytes]:
    found = _ABSOLUTE.fullmatch(target)
    if found is None:
        raise Refused(400, "The request target is malformed.")
    return found[1], found[2] or b"/", found[3] or b""


def _check_doubles(headers: Headers) -> None:
    """Of what says where a request goes and where it ends there is one. Raises: Refused."""
    for name, shown in _SINGLE:
        if sum(other == name for other, _ in headers) > 1:
            raise Refused(400, f"The request has more than one {shown} header.")


def _length(fields: Mapping[bytes, bytes], headers: Headers, is_old: bool) -> int | None:
    length = fields.get(b"content-length")
    if b"transfer-encoding" in fields:
        _check_codings(_tokens(b"transfer-encoding", headers), length is not None, is_old)
        return None
    if length is None:
        return 0
    if not length.isdigit() or len(length) > _MOST_DIGITS:
        raise Refused(400, "The Content-Length header is malformed.")
    return int(length)


def _check_codings(codings: list[bytes], is_sized: bool, is_old: bool) -> None:
    if is_sized:
        raise Refused(400, "The request has both Transfer-Encoding and Content-Length.")
    if is_old:
        raise Refused(400, "HTTP/1.0 has no Transfer-Encoding.")
    if codings == [b"chunked"]:
        return
    if b"" in codings or b"chunked" in codings[:-1]:
        raise Refused(400, "The Transfer-Encoding header is malformed: chunked comes last, and once.")
    raise Refused(501, "No Transfer-Encoding but chunked is read.")


def _check_expectations(headers: Headers) -> None:
    if any(token != b"100-continue" for token in _tokens(b"expect", headers)):
        raise Refused(417, "No expectation but 100-continue can be met.")


def _tokens(name: bytes, headers: Headers) -> list[bytes]:
    """What the headers of this name list, in lower case."""
    values = [value for other, value in headers if other == name]
    return [token.strip(b" \t").lower() for value in values for token in value.split(b",")]


def _of_target(method: bytes, target: bytes, headers: Headers) -> Headers:
    """The headers of a request whose target is not just a path; a host in the target replaces the header's.

    Raises: Refused.
    """
    if method == b"CONNECT":
        raise Refused(501, "This server is no proxy.")
    if target == b"*" and method == b"OPTIONS":
        return headers
    host, _, _ = _split_absolute(target)
    if not _HOST.fullmatch(host):
        raise Refused(400, "The request target is malformed.")
    return [(b"host", host), *(header for header in headers if header[0] != b"host")]
