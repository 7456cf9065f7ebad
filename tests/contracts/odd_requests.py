"""A table of odd requests: their bytes, and the statuses of the answers to them and to a good one behind.

Where the first of them is the last status, the connection was closed: what stands behind is no request.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from tests.contracts.http_server import HOT

LONGEST_LINE = 16_384
LONGEST_HEAD = 65_536

_LAST = f"POST {HOT} HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: 4\r\n\r\nlast".encode()
_GOOD, _BAD = (200, 200), (400,)


@dataclass(frozen=True)
class Odd:
    """One odd request, with a good one behind it that asks for the end of the connection."""

    name: str
    data: bytes
    statuses: tuple[int, ...]

    @property
    def stream(self) -> bytes:
        """All bytes that the client sends."""
        return self.data + _LAST


def table() -> list[Odd]:
    """All of them."""
    groups = (_lines, _headers, _hosts, _lengths, _codings, _chunks, _offers, _versions, _limits)
    odd = [each for group in groups for each in group()]
    names = [each.name for each in odd]
    assert len(set(names)) == len(names)
    return odd


def _request(line: bytes, *headers: bytes, body: bytes = b"", host: bytes | None = b"Host: h") -> bytes:
    lines = [line, *([host] if host is not None else []), *headers]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def _post(*headers: bytes, body: bytes = b"", host: bytes | None = b"Host: h") -> bytes:
    return _request(f"POST {HOT} HTTP/1.1".encode(), *headers, body=body, host=host)


def _lines() -> Iterator[Odd]:
    for method in (
        b"GET",
        b"PUT",
        b"DELETE",
        b"OPTIONS",
        b"PATCH",
        b"TRACE",
        b"PROPFIND",
        b"post",
        b"M-SEARCH",
    ):
        yield Odd(f"method {method!r}", _request(method + b" /a HTTP/1.1"), _GOOD)
    for character in b"!#$%&'*+-.^_`|~":
        yield Odd(f"method with {chr(character)}", _request(b"A%c / HTTP/1.1" % character), _GOOD)
    for character in b'"(),/:;<=>?@[\\]{}\x00\x01\x7f\x80\xff':
        yield Odd(f"method with {character:#x}", _request(b"A%c / HTTP/1.1" % character), _BAD)
    for target in (
        b"/",
        b"/a?b",
        b"/?",
        b"/a%20b",
        b"/%",
        b"/%zz",
        b"//",
        b"/../..",
        b'/"<>^`{|}',
        b"/;a=b",
        b"/a??",
    ):
        yield Odd(f"target {target!r}", _request(b"GET " + target + b" HTTP/1.1"), _GOOD)
    for target in (
        b"http://h/a",
        b"HTTP://h:80/a?b",
        b"https://h",
        b"http://h?a",
        b"http://[::1]:1/",
        b"http://h/%41",
    ):
        yield Odd(f"target {target!r}", _request(b"GET " + target + b" HTTP/1.1"), _GOOD)
    yield Odd("target *", _request(b"OPTIONS * HTTP/1.1"), _GOOD)
    for target in (
        b"*",
        b"a",
        b"h:80",
        b"ftp://h/",
        b"http:///",
        b"http://a@b/",
        b"http://h /",
        b"?a",
        b"\\a",
        b"http:/h",
    ):
        yield Odd(f"target {target!r}", _request(b"GET " + target + b" HTTP/1.1"), _BAD)
    for character in b"#\x00\x01\x09\x0b\x1f\x7f\x80\xc3\xff":
        yield Odd(f"target with {character:#x}", _request(b"GET /a%cb HTTP/1.1" % character), _BAD)
    for name, line in (
        ("no target", b"GET HTTP/1.1"),
        ("an empty target", b"GET  HTTP/1.1"),
        ("two spaces", b"GET  / HTTP/1.1"),
        ("two spaces behind", b"GET /  HTTP/1.1"),
        ("a tab", b"GET\t/ HTTP/1.1"),
        ("a space before", b" GET / HTTP/1.1"),
        ("a space behind", b"GET / HTTP/1.1 "),
        ("three words", b"GET / / HTTP/1.1"),
        ("nothing", b"GET"),
        ("words", b"hello"),
        ("no version", b"GET /"),
        ("a status line", b"HTTP/1.1 200 OK"),
        ("TLS", b"\x16\x03\x01\x02\x00\x01\x00"),
    ):
        yield Odd(f"line with {name}", _request(line), _BAD)
    for number in (1, 2, 50):
        yield Odd(f"{number} empty lines before", b"\r\n" * number + _post(), _GOOD)
    yield Odd("very many empty lines before", b"\r\n" * 1000 + _post(), _BAD)
    yield Odd("a line feed before", b"\n" + _post(), _BAD)
    yield Odd("a return before", b"\r" + _post(), _BAD)
    yield Odd("line feeds only", _post().replace(b"\r\n", b"\n"), _BAD)
    yield Odd("returns only", _post().replace(b"\r\n", b"\r") + b"\r\n\r\n", _BAD)


def _versions() -> Iterator[Odd]:
    for version in (b"HTTP/2.0", b"HTTP/2", b"HTTP/3.0", b"HTTP/0.9", b"HTTP/9.1", b"HTTP/12.1"):
        yield Odd(f"version {version!r}", _request(b"GET / " + version), (505,))
    for version in (
        b"HTTP/1",
        b"HTTP/1.",
        b"HTTP/1.10",
        b"HTTP/.1",
        b"http/1.1",
        b"HTTPS/1.1",
        b"HTTP/a.b",
        b"HTTP 1.1",
    ):
        yield Odd(f"version {version!r}", _request(b"GET / " + version), _BAD)
    for version in (b"HTTP/1.2", b"HTTP/1.9"):
        yield Odd(f"version {version!r}", _request(b"GET / " + version), _GOOD)
    for name, host in (("a", b"Host: h"), ("no", None)):
        yield Odd(f"HTTP/1.0 with {name} Host", _request(b"GET / HTTP/1.0", host=host), (200,))
    yield Odd("HTTP/1.0 kept alive", _request(b"GET / HTTP/1.0", b"Connection: keep-alive"), (200,))
    yield Odd("HTTP/1.0 with chunks", _request(b"POST /hot HTTP/1.0", b"Transfer-Encoding: chunked"), _BAD)
    expecting = _request(b"POST /hot HTTP/1.0", b"Expect: x", b"Content-Length: 1", body=b"1")
    yield Odd("HTTP/1.0 that expects", expecting, (200,))
    yield Odd("the preface of HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", (505,))


def _headers() -> Iterator[Odd]:
    for line in (
        b"A:",
        b"A: ",
        b"A:b",
        b"A: \t b \t",
        b"a!#$%&'*+-.^_`|~1: b",
        b"A: \xe4\xff",
        b"A: b\tc",
        b"A: :",
        b'A: "',
        b"1: 2",
    ):
        yield Odd(f"header {line!r}", _post(line), _GOOD)
    for line in (
        b": b",
        b"A",
        b" A: b",
        b"\tA: b",
        b"A : b",
        b"A\t: b",
        b"A b: c",
        b"A\x00: b",
        b"\xe4: b",
        b"(A): b",
        b"A,B: c",
        b"A/B: c",
        b"A@: c",
        b"[A]: c",
    ):
        yield Odd(f"header {line!r}", _post(line), _BAD)
        yield Odd(f"header {line!r} behind another", _post(b"B: c", line, b"C: d"), _BAD)
    for character in (*range(9), *range(10, 32), 127):
        yield Odd(f"value with {character:#x}", _post(b"A: b%cc" % character), _BAD)
    yield Odd("a folded header", _post(b"A: b", b" c"), _BAD)
    yield Odd("a folded Host", _post(host=b"Host:\r\n h"), _BAD)
    yield Odd("a folded length", _post(b"Content-Length:\r\n 1", body=b"1"), _BAD)
    yield Odd("a bare line feed behind a header", _post(b"A: b\nB: c"), _BAD)
    yield Odd("a bare return behind a header", _post(b"A: b\rB: c"), _BAD)
    yield Odd("two returns", _post(b"A: b\r"), _BAD)
    yield Odd("the same header twice", _post(b"A: b", b"A: b"), _GOOD)
    for value in (b"close", b"Close", b"keep-alive, close", b"close ,x", b"\tclose"):
        yield Odd(f"Connection {value!r}", _post(b"Connection: " + value), (200,))
    yield Odd("Connection in two", _post(b"Connection: x", b"Connection: close"), (200,))
    for value in (b"keep-alive", b"", b",", b"closed", b"x-close"):
        yield Odd(f"Connection {value!r}", _post(b"Connection: " + value), _GOOD)


def _hosts() -> Iterator[Odd]:
    for value in (
        b"h",
        b"h:80",
        b"h:",
        b"127.0.0.1:8080",
        b"[::1]",
        b"[::1]:8080",
        b"a_b-c.example",
        b"",
        b"H",
        b"h.",
        b"%41",
        b"a" * 255,
    ):
        yield Odd(f"Host {value!r}", _post(host=b"Host: " + value), _GOOD)
    for value in (
        b"a b",
        b"a,b",
        b"a/b",
        b"http://a",
        b"a@b",
        b"a:b",
        b"a:80:80",
        b"[::1",
        b"::1]",
        b"[]",
        b"a?b",
        b"a#b",
        b"a\\b",
        b"%4",
        b"<a>",
        b"\xe4",
        b"a\x00",
        b"a:80 ,b",
    ):
        expected = (
            _GOOD if value == b"a,b" else _BAD
        )  # a comma may stand in a name. Source: RFC 3986, reg-name
        yield Odd(f"Host {value!r}", _post(host=b"Host: " + value), expected)
    yield Odd("no Host", _post(host=None), _BAD)
    yield Odd("two Hosts", _post(b"Host: i"), _BAD)
    yield Odd("two Hosts that are alike", _post(b"host: h"), _BAD)
    yield Odd("two Hosts in HTTP/1.0", _request(b"GET / HTTP/1.0", b"Host: h"), _BAD)
    yield Odd("no Host but a target with one", _request(b"GET http://h/ HTTP/1.1", host=None), _BAD)


def _lengths() -> Iterator[Odd]:
    for value, body in (
        (b"0", b""),
        (b"3", b"abc"),
        (b"003", b"abc"),
        (b" 3 ", b"abc"),
        (b"4", b"\r\n\r\n"),
        (b"1", b"\x00"),
    ):
        yield Odd(f"length {value!r} of {body!r}", _post(b"Content-Length: " + value, body=body), _GOOD)
    for value in (
        b"",
        b"-1",
        b"+3",
        b"3 3",
        b"3,3",
        b"3, 3",
        b"0x3",
        b"3.0",
        b"3e0",
        b"a",
        b"1_0",
        b"\xb2",
        b"9" * 20,
        b"9" * 5000,
    ):
        yield Odd(
            f"length {value[:25]!r} of {len(value)}", _post(b"Content-Length: " + value, body=b"abc"), _BAD
        )
    for one, other in ((b"3", b"3"), (b"3", b"4"), (b"0", b"3"), (b"3", b"")):
        lines = (b"Content-Length: " + one, b"content-length: " + other)
        yield Odd(f"lengths {one!r} and {other!r}", _post(*lines, body=b"abc"), _BAD)
    yield Odd("GET with a body", _request(b"GET / HTTP/1.1", b"Content-Length: 3", body=b"abc"), _GOOD)
    inner = _post()
    smuggled = _request(b"GET / HTTP/1.1", b"Content-Length: %d" % len(inner), body=inner)
    yield Odd("a request as a body", smuggled, _GOOD)


def _codings() -> Iterator[Odd]:
    body = b"3\r\nabc\r\n0\r\n\r\n"
    for value in (b"chunked", b"Chunked", b"CHUNKED ", b"\tchunked"):
        yield Odd(f"coding {value!r}", _post(b"Transfer-Encoding: " + value, body=body), _GOOD)
    for value in (
        b"gzip, chunked",
        b"gzip",
        b"identity",
        b"xchunked",
        b"chunkedx",
        b'"chunked"',
        b"chunked;a=b",
        b"deflate, gzip",
    ):
        yield Odd(f"coding {value!r}", _post(b"Transfer-Encoding: " + value, body=body), (501,))
    for value in (
        b"chunked, gzip",
        b"chunked, chunked",
        b"",
        b",",
        b"chunked,",
        b", chunked",
        b"chunked, identity",
    ):
        yield Odd(f"coding {value!r}", _post(b"Transfer-Encoding: " + value, body=body), _BAD)
    twice = (b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked")
    yield Odd("chunked in two headers", _post(*twice, body=body), _BAD)
    mixed = (b"Transfer-Encoding: gzip", b"Transfer-Encoding: chunked")
    yield Odd("codings in two headers", _post(*mixed, body=body), (501,))
    for length in (b"3", b"0", b"13", b"x"):
        lines = (b"Transfer-Encoding: chunked", b"Content-Length: " + length)
        yield Odd(f"chunked, and length {length!r}", _post(*lines, body=body), _BAD)
        yield Odd(f"length {length!r}, and chunked", _post(*lines[::-1], body=body), _BAD)
    yield Odd("a space before the colon", _post(b"Transfer-Encoding : chunked", body=body), _BAD)
    folded = b"Transfer-Encoding:\r\n chunked"
    yield Odd("a folded coding", _post(folded, body=body), _BAD)


def _chunks() -> Iterator[Odd]:
    def chunked(body: bytes) -> bytes:
        return _post(b"Transfer-Encoding: chunked", body=body)

    for body in (
        b"0\r\n\r\n",
        b"000\r\n\r\n",
        b"1\r\na\r\n0\r\n\r\n",
        b"A\r\n0123456789\r\n0\r\n\r\n",
        b"a\r\n0123456789\r\n0\r\n\r\n",
        b"1;x\r\na\r\n0\r\n\r\n",
        b'1;x=y;z="a b"\r\na\r\n0;last\r\n\r\n',
        b"1 ;x\r\na\r\n0\r\n\r\n",
        b"0\r\nA: b\r\n\r\n",
        b"0\r\nContent-Length: 5\r\nHost: x\r\n\r\n",
        b"4\r\n\r\n\r\n\r\n0\r\n\r\n",
        b"1\r\na\r\n" * 2000 + b"0\r\n\r\n",
    ):
        yield Odd(f"chunks {body[:30]!r} of {len(body)}", chunked(body), _GOOD)
    for body in (
        b"\r\n",
        b"x\r\n",
        b"-1\r\na\r\n0\r\n\r\n",
        b"+1\r\na\r\n0\r\n\r\n",
        b"0x1\r\na\r\n0\r\n\r\n",
        b" 1\r\na\r\n0\r\n\r\n",
        b"1 \r\na\r\n0\r\n\r\n",
        b"1\na\n0\n\n",
        b"1\r\na\n0\r\n\r\n",
        b"1\r\nab\r\n0\r\n\r\n",
        b"1\r\na0\r\n\r\n",
        b"2\r\na\r\n0\r\n\r\n",
        b"1;x\x00\r\na\r\n0\r\n\r\n",
        b"1;x\ny\r\na\r\n0\r\n\r\n",
        b"f" * 16 + b"\r\n",
        b"1;" + b"x" * 2000 + b"\r\na\r\n0\r\n\r\n",
        b"0\r\n: b\r\n\r\n",
        b"0\r\n A: b\r\n\r\n",
        b"0\r\nA : b\r\n\r\n",
        b"0\r\nA: b\x00\r\n\r\n",
        b"0\r\nA: b\n\r\n",
        b"0\r\nGET / HTTP/1.1\r\n\r\n",
    ):
        yield Odd(f"chunks {body[:30]!r} of {len(body)}", chunked(body), _BAD)
    yield Odd("many trailers", chunked(b"0\r\n" + b"A: b\r\n" * 4000 + b"\r\n"), (431,))


def _offers() -> Iterator[Odd]:
    h2c = (b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AAMAAABkAAQAAP__")
    websocket = (
        b"Connection: Upgrade",
        b"Upgrade: websocket",
        b"Sec-WebSocket-Key: dGhl",
        b"Sec-WebSocket-Version: 13",
    )
    inner = _post()
    for name, offer in (
        ("h2c", h2c),
        ("websocket", websocket),
        ("TLS", (b"Connection: upgrade", b"Upgrade: TLS/1.0")),
    ):
        yield Odd(f"an offer of {name}", _post(*offer), _GOOD)
        sized = (*offer, b"Content-Length: 3")
        yield Odd(f"an offer of {name} and a body", _post(*sized, body=b"abc"), _GOOD)
        hidden = (*offer, b"Content-Length: %d" % len(inner))
        yield Odd(f"an offer of {name} and a request as a body", _post(*hidden, body=inner), _GOOD)
        chunked = (*offer, b"Transfer-Encoding: chunked")
        yield Odd(f"an offer of {name} and chunks", _post(*chunked, body=b"3\r\nabc\r\n0\r\n\r\n"), _GOOD)
        yield Odd(f"GET with an offer of {name}", _request(b"GET / HTTP/1.1", *offer), _GOOD)
    for target in (b"h:443", b"/hot", b"h", b"http://h/", b"*"):
        yield Odd(f"CONNECT {target!r}", _request(b"CONNECT " + target + b" HTTP/1.1"), (501,))
    sized = (b"Content-Length: %d" % len(inner),)
    yield Odd("CONNECT with a body", _request(b"CONNECT h:1 HTTP/1.1", *sized, body=inner), (501,))
    for value in (b"x", b"100-continue, x", b"", b"200-ok", b"100-continue;a"):
        yield Odd(f"Expect {value!r}", _post(b"Expect: " + value), (417,))
    for value in (b"100-continue", b"100-Continue", b"100-continue, 100-continue"):
        yield Odd(f"Expect {value!r} and no body", _post(b"Expect: " + value), _GOOD)


def _limits() -> Iterator[Odd]:
    line = b"GET /%b HTTP/1.1"
    empty = len(line % b"")
    for length, statuses in ((LONGEST_LINE, _GOOD), (LONGEST_LINE + 1, (414,)), (LONGEST_HEAD * 2, (414,))):
        yield Odd(f"a line of {length}", _request(line % (b"a" * (length - empty))), statuses)
    empty = len(_post(b"A: "))
    for length, statuses in ((LONGEST_HEAD, _GOOD), (LONGEST_HEAD + 1, (431,)), (LONGEST_HEAD * 3, (431,))):
        yield Odd(f"a head of {length}", _post(b"A: " + b"a" * (length - empty)), statuses)
    for number, statuses in ((255, _GOOD), (256, (431,)), (5000, (431,))):
        yield Odd(f"{number} more headers", _post(*[b"A: b"] * number), statuses)
