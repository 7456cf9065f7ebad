"""A table of odd heads, each close to one that is known: what looks alike must not be taken for it.

They are made of a signed request as boto3 sends it: each of its lines that vary from call to call is spelled,
doubled, folded, broken, moved and hidden in others. And there are lengths that a careless reader could take
for another, and lines that change what the rest means.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tests.contracts.http_server import HOT

BODY = b"5.1,3.5,1.4,0.2"
KEY = b"AKIDEXAMPLE/20261128/us-east-1/sagemaker/aws4_request"
_LINES = (
    f"POST {HOT} HTTP/1.1".encode(),
    b"Host: localhost:8080",
    b"Accept-Encoding: identity",
    b"Content-Type: text/csv",
    b"User-Agent: Boto3/1.42.1 md/Botocore#1.42.1 ua/2.1 os/linux md/arch#x86_64 lang/python#3.11.9",
    b"X-Amz-Date: 20261128T163000Z",
    b"Authorization: AWS4-HMAC-SHA256 Credential=%b, SignedHeaders=host;x-amz-date, Signature=%b"
    % (KEY, b"0123456789abcdef" * 4),
    b"X-Amz-Content-SHA256: %b" % (b"fedcba9876543210" * 4),
    b"amz-sdk-invocation-id: 1f6c2a3e-0f4a-4a7e-9a8e-2f6e3b4a7c11",
    b"amz-sdk-request: attempt=1",
    b"X-Amzn-Trace-Id: Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1",
    b"traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    b"Content-Length: %d" % len(BODY),
)
_FIRST = 5  # of the lines that vary
VARYING = _LINES[_FIRST:]


@dataclass(frozen=True)
class OddHead:
    """One request with an odd head."""

    name: str
    data: bytes


def signed(lines: Sequence[bytes] = VARYING, body: bytes = BODY) -> bytes:
    """A signed request with these lines at the end of its head."""
    return b"\r\n".join((*_LINES[:_FIRST], *lines, b"", body))


def table() -> list[OddHead]:
    """All of them."""
    odd = [*_lengths(), *_meanings()]
    for at, line in enumerate(VARYING):
        shown = line.partition(b":")[0].decode()
        odd += [OddHead(f"{shown} {how}", data) for how, data in _odd_lines(at, line)]
    names = [each.name for each in odd]
    assert len(set(names)) == len(names)
    return odd


def _with(at: int, *lines: bytes) -> bytes:
    """The request with other lines in the place of one."""
    return signed((*VARYING[:at], *lines, *VARYING[at + 1 :]))


def _odd_lines(at: int, line: bytes) -> Iterator[tuple[str, bytes]]:
    name, _, value = line.partition(b": ")
    middle = len(value) // 2
    for how, spelled in (("lower", name.lower()), ("upper", name.upper()), ("title", name.title())):
        yield f"in {how} case", _with(at, spelled + b": " + value)
    yield "swapped in case", _with(at, name.swapcase() + b": " + value)
    for how, between in (
        ("no blank", b":"),
        ("two blanks", b":  "),
        ("a tab", b":\t"),
        ("a blank before", b" : "),
        ("a return", b":\r"),
        ("a line feed", b":\n"),
        ("nothing", b""),
    ):
        yield f"with {how} in between", _with(at, name + between + value)
    for how, behind in (
        ("a blank", b" "),
        ("a tab", b"\t"),
        ("a NUL", b"\0"),
        ("a comma", b","),
        ("itself", b", " + value),
        ("a return", b"\r"),
        ("a letter", b"g"),
        ("a byte beyond ASCII", b"\xe4"),
    ):
        yield f"with {how} behind", _with(at, line + behind)
    for how, inside in (
        ("a NUL", b"\0"),
        ("a tab", b"\t"),
        ("a return", b"\r"),
        ("a line feed", b"\n"),
        ("a delete", b"\x7f"),
        ("a blank", b" "),
    ):
        yield f"with {how} inside", _with(at, name + b": " + value[:middle] + inside + value[middle:])
    for how, inside in (
        ("another length", b"\r\nContent-Length: 3\r\nA: "),
        ("no length", b"\r\ncontent-length: 0\r\nA: "),
        ("chunks", b"\r\nTransfer-Encoding: chunked\r\nA: "),
        ("an end", b"\r\nConnection: close\r\nA: "),
        ("a folded length", b"\r\nA: b\r\n Content-Length: 3\r\nA: "),
        ("the end of the head", b"\r\n\r\n"),
    ):
        broken = value[:middle] + inside
        yield f"with {how} inside", _with(at, name + b": " + broken + value[len(broken) :])
    for how, lines in (
        ("twice", (line, line)),
        ("twice, once empty", (line, name + b": ")),
        ("empty", (name + b": ",)),
        ("empty without a blank", (name + b":",)),
        ("missing", ()),
        ("folded", (name + b":", b" " + value)),
        ("folded in the middle", (name + b": " + value[:middle], b"\t" + value[middle:])),
        ("behind a fold", (b"A: b", b" " + line)),
        ("in another header", (b"X-Note: " + line,)),
        ("in another name", (b"X-" + line,)),
        ("without its line", (b"X-Note: a\n" + line,)),
        ("before another", (line, b"X-Note: 1")),
    ):
        yield how, _with(at, *lines)
    yield "first", signed((line, *VARYING[:at], *VARYING[at + 1 :]))
    yield "last", signed((*VARYING[:at], *VARYING[at + 1 :], line))
    yield "before the request", line + b"\r\n" + signed()
    yield "in the body", signed((*VARYING[:-1], b"Content-Length: %d" % (len(line) + 4)), line + b"\r\n\r\n")


def _lengths() -> Iterator[OddHead]:
    for value, body in (
        (b"0", b""),
        (b"00", b""),
        (b"1", b"1"),
        (b"015", BODY),
        (b"000000015", BODY),
        (b"15", BODY),
        (b"20", BODY + b"\r\n\r\n1"),
        (b"4", b"\r\n\r\n"),
        (b"65536", b"7" * 65_536),
        (b"65537", b"7" * 65_537),
        (b"99999", b"7" * 99_999),
        (b"", BODY),
        (b"+15", BODY),
        (b"-1", BODY),
        (b"1 5", BODY),
        (b"15,15", BODY),
        (b"15;", BODY),
        (b"0xf", BODY),
        (b"15.0", BODY),
        (b"1_5", BODY),
        (b"\xb2", BODY),
        (b"99999999999999999999", BODY),
        (b"14", BODY),  # the last byte begins what comes next
        (b"3", BODY),
    ):
        lines = (*VARYING[:-1], b"Content-Length: " + value)
        yield OddHead(f"length {value!r} of {len(body)}", signed(lines, body))
    for one, other in ((b"15", b"3"), (b"3", b"15"), (b"15", b"15"), (b"0", b"15"), (b"x", b"15")):
        for name in (b"Content-Length", b"content-length", b"CONTENT-LENGTH", b"Content-Length "):
            lines = (*VARYING[:-1], b"Content-Length: " + one, name + b": " + other)
            yield OddHead(f"lengths {one!r} and {name!r} {other!r}", signed(lines))


def _meanings() -> Iterator[OddHead]:
    for line in (
        b"Transfer-Encoding: chunked",
        b"transfer-encoding: identity",
        b"Transfer-Encoding : chunked",
        b"Expect: 100-continue",
        b"Expect: x",
        b"Connection: close",
        b"Connection: keep-alive",
        b"Content-Encoding: identity",
        b"Content-Encoding: aws-chunked",
        b"Origin: http://page",
        b"Sec-Fetch-Site: cross-site",
        b"Host: elsewhere",
        b"X-Amz-Security-Token: IQoJb3JpZ2luX2VjE",
        b" folded",
        b": nameless",
        b"",
    ):
        for at in (0, 3, len(VARYING)):
            lines = (*VARYING[:at], line, *VARYING[at:])
            yield OddHead(f"{line!r} at {at}", signed(lines))
    yield OddHead("behind an empty line", b"\r\n" + signed())
    for old, new in (
        (b"HTTP/1.1", b"HTTP/1.0"),
        (b"HTTP/1.1", b"HTTP/2.0"),
        (b"POST ", b"GET "),
        (b"POST ", b"post "),
        (b"/hot", b"/elsewhere"),
        (b"/hot", b"/hot?X-Amz-Signature=" + b"0" * 64),
        (b"/hot", b"http://localhost/hot"),
        (b"us-east-1", b"eu-west-1"),
        (b"/sagemaker/", b"/s3/"),
        (b"AKID", b"AKIA"),
        (b"Credential=", b"Credential="[:-1]),
        (b", Signature", b",Signature"),
        (b", Signature", b",  Signature"),
        (b"SHA256 Cred", b"SHA256  Cred"),
        (b"AWS4-HMAC-SHA256", b"AWS4-ECDSA-P256-SHA256"),
        (b"Signature=0", b"Signature=G"),
        (b"\r\n", b"\n"),
        (b"Host: localhost:8080", b"Host:localhost:8080"),
        (b"Host: localhost:8080\r\n", b""),
    ):
        yield OddHead(f"{new!r} for {old!r}", signed().replace(old, new))
