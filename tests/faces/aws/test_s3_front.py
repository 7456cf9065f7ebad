"""The face of S3 in front of another server, which is a socket of the test: what goes there, and what not."""

import asyncio
import base64
import zlib
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any
from urllib.parse import quote

import pytest

from service.clock import SystemClock
from service.domain.caller import Caller
from service.faces.aws.s3_front import S3Front
from service.http.asgi import Headers, Message
from service.object_settings import S3Server
from service.wire.aws_chunked import AwsChunked
from service.wire.s3_onward import BLOCK_BYTES
from tests.faces.called import called

_OWN = Caller("000000000000", "us-east-1")
_HIDDEN = "hidden-bucket"
_OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"
_TRAILING = b"STREAMING-UNSIGNED-PAYLOAD-TRAILER"


@dataclass
class Upstream:
    """Another server, which answers every request alike; where it `holds` it then waits until it is left."""

    answer: bytes
    holds: bool = False
    heads: list[bytes] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    asked: asyncio.Event = field(default_factory=asyncio.Event)
    left: asyncio.Event = field(default_factory=asyncio.Event)
    port: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, one request."""
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            self.heads.append(head)
            lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
            size = int(lengths[0].partition(b":")[2]) if lengths else 0
            self.bodies.append(await reader.readexactly(size))
            self.asked.set()
            writer.write(self.answer)
            await writer.drain()
            if self.holds:
                await reader.read()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self.left.set()
            writer.close()

    def front(self, *, path_style: bool = True) -> S3Front:
        """The face in front of it."""
        server = S3Server(f"http://127.0.0.1:{self.port}", "us-east-1", "id", "secret", path_style=path_style)
        return S3Front(server, SystemClock(), hidden=[_HIDDEN])

    def sent(self) -> dict[bytes, bytes]:
        """The headers of the only request."""
        (head,) = self.heads
        pairs = (line.partition(b": ")[::2] for line in head.split(b"\r\n")[1:] if line)
        return {name.lower(): value for name, value in pairs}


@asynccontextmanager
async def upstream(answer: bytes = _OK, *, holds: bool = False) -> AsyncIterator[Upstream]:
    """Such a server."""
    found = Upstream(answer, holds)
    server = await asyncio.start_server(found.serve, "127.0.0.1", 0, limit=1 << 20)
    found.port = server.sockets[0].getsockname()[1]
    try:
        yield found
    finally:
        server.close()


@dataclass
class Answer:
    """What a client got; it is whole if its end came."""

    status: int = 0
    headers: dict[bytes, bytes] = field(default_factory=dict)
    body: bytes = b""
    is_whole: bool = False

    async def send(self, message: Message) -> None:
        """As ASGI has it."""
        if message["type"] == "http.response.start":
            self.status, self.headers = message["status"], dict(message["headers"])
        else:
            self.body += message.get("body", b"")
            self.is_whole = not message.get("more_body", False)


async def ask(
    front: S3Front,
    method: str,
    path: str,
    *,
    query: str = "",
    headers: Sequence[tuple[bytes, bytes]] = (),
    parts: Sequence[bytes | None] = (),
    leaves: asyncio.Event | None = None,
) -> Answer:
    """Ask; a part that is None stands for a client that is gone, as does `leaves` behind the body."""
    coming: list[Message] = [
        {"type": "http.request", "body": part, "more_body": True}
        if part is not None
        else {"type": "http.disconnect"}
        for part in parts
    ]
    coming.append({"type": "http.request", "body": b"", "more_body": False})

    async def receive() -> Message:
        if coming:
            return coming.pop(0)
        await (leaves or asyncio.Event()).wait()
        return {"type": "http.disconnect"}

    answer = Answer()
    given: Headers = list(headers)
    if all(name != b"host" for name, _ in given):
        given.append((b"host", b"127.0.0.1:8080"))
    scope = {
        **{"type": "http", "method": method, "path": path, "raw_path": path.encode("ascii")},
        **{"query_string": query.encode("ascii"), "headers": given},
    }
    await called(front, _OWN)(scope, receive, answer.send)
    return answer


def run(test: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(asyncio.wait_for(test(), 30.0))


def _hashed(body: bytes, length: int | None = None) -> list[tuple[bytes, bytes]]:
    size = len(body) if length is None else length
    digest = sha256(body).hexdigest().encode("ascii")
    return [(b"content-length", b"%d" % size), (b"x-amz-content-sha256", digest)]


def _presigned(**fields: str) -> str:
    fields |= {"X-Amz-Date": SystemClock().now().strftime("%Y%m%dT%H%M%SZ"), "X-Amz-Expires": "3600"}
    pairs = [f"{quote(name)}={quote(value)}" for name, value in fields.items()]
    return "&".join([*pairs, "X-Amz-Signature=00"])


@pytest.mark.parametrize("path_style", [True, False])
@pytest.mark.parametrize(
    "bucket",
    [
        *(
            "",
            ".",
            "..",
            "%2e",
            "ab",
            "a" * 64,
            "A-Bucket",
            "a_b",
            "a..b",
            "-ab",
            "ab-",
            "bkt%2Fs",
            "bkt%5Cs",
        ),
        *("127.0.0.1", "999.1.1.1", "127.0.0.1:1%2Fx", "127.0.0.1%3A1%23", "u@h", "u%40h%3A1%3F", "a%20b"),
        *(
            "[::1]",
            "b%0d%0aX-A:1",
            "bkt%0a",
            "%C3%A9bc",
            "b%00c",
            "bkt%3Fx",
            f"%2F{_HIDDEN}",
            f"{_HIDDEN}%2Fk",
        ),
    ],
)
def test_what_is_no_name_of_a_bucket_goes_nowhere(bucket: str, path_style: bool) -> None:
    async def test() -> None:
        async with upstream() as other:
            for path in (f"/{bucket}/{_HIDDEN}/k", f"/{bucket}/k"):
                answer = await ask(other.front(path_style=path_style), "GET", path)
                assert (answer.status, other.heads) == (400, [])
                assert b"<Code>InvalidBucketName</Code>" in answer.body

    run(test)


def test_a_host_that_names_no_bucket_goes_nowhere() -> None:
    async def test() -> None:
        async with upstream() as other:
            host = [(b"host", b"a_b.localhost"), (b"content-length", b"0")]
            answer = await ask(other.front(), "PUT", "/", headers=host)
            assert (answer.status, other.heads) == (400, [])

    run(test)


@pytest.mark.parametrize("bucket", ["bkt", "my.bucket", "a1-b", "a" * 63, "1.2.3", "1.2.3.4.5"])
def test_names_of_buckets_go_on(bucket: str) -> None:
    async def test() -> None:
        async with upstream() as other:
            assert (await ask(other.front(), "GET", f"/{bucket}/k")).body == b"hi"
            assert other.heads[0].startswith(f"GET /{bucket}/k HTTP".encode())

    run(test)


@pytest.mark.parametrize(
    "source", [f"{_HIDDEN}/k", f"/{_HIDDEN}/k", "hidden%2Dbucket/k", f"//{_HIDDEN}/k", f"./{_HIDDEN}/k"]
)
@pytest.mark.parametrize("in_query", [False, True])
def test_what_is_hidden_is_not_copied_either(source: str, in_query: bool) -> None:
    async def test() -> None:
        async with upstream() as other:
            headers = [] if in_query else [(b"x-amz-copy-source", source.encode())]
            query = _presigned(**{"x-amz-copy-source": source}) if in_query else ""
            answer = await ask(other.front(), "PUT", "/bkt/k", query=query, headers=headers)
            assert (answer.status in (400, 404), other.heads) == (True, [])

    run(test)


@pytest.mark.parametrize("size", [0, 5, BLOCK_BYTES, 2 * BLOCK_BYTES + 7])
def test_chunks_of_no_told_length_are_framed_anew(size: int) -> None:
    async def test() -> None:
        data, name = b"x" * size, b"x-amz-checksum-crc32"
        checksum = base64.b64encode(zlib.crc32(data).to_bytes(4, "big"))
        chunk = b"%x\r\n%b\r\n" % (size, data) if size else b""
        headers = [
            *((b"transfer-encoding", b"chunked"), (b"content-encoding", b"aws-chunked")),
            *((b"x-amz-content-sha256", _TRAILING), (b"x-amz-decoded-content-length", b"%d" % size)),
            (b"x-amz-trailer", name),
        ]
        parts = [chunk, b"0\r\n%b:%b\r\nx-amz-trailer-signature:00\r\n\r\n" % (name, checksum)]
        async with upstream() as other:
            answer = await ask(other.front(), "PUT", "/bkt/k", headers=headers, parts=parts)
            assert answer.status == 200
            chunks = AwsChunked()
            assert b"".join(chunks.take(other.bodies[0])) == data
            assert (chunks.is_whole, chunks.trailers) == (True, {name.decode(): checksum.decode()})
            assert b"transfer-encoding" not in other.sent()
        async with upstream() as other:
            wrong = [chunk, b"0\r\n%b:AAAAAQ==\r\n\r\n" % name]
            answer = await ask(other.front(), "PUT", "/bkt/k", headers=headers, parts=wrong)
            assert (answer.status, other.bodies) == (400, [])
            unknown = [*headers[:-1], (b"x-amz-trailer", b"x-amz-checksum-md9")]
            assert (await ask(other.front(), "PUT", "/bkt/k", headers=unknown, parts=parts)).status == 400

    run(test)


@pytest.mark.parametrize(
    "parts", [[None], [b"he", None], [b"hallo"], [b"hell"], [b"hellos"], [b"hello", b"s"]]
)
def test_a_small_body_that_is_not_whole_and_right_is_not_even_begun(parts: list[bytes | None]) -> None:
    async def test() -> None:
        async with upstream() as other:
            answer = await ask(other.front(), "PUT", "/bkt/k", headers=_hashed(b"hello"), parts=parts)
            assert (answer.status, other.heads) == (0 if None in parts else 400, [])

    run(test)


@pytest.mark.parametrize("end", ["another", "less", "more", "gone"])
def test_a_large_body_that_is_not_right_is_never_whole_over_there(end: str) -> None:
    async def test() -> None:
        block = b"x" * BLOCK_BYTES
        body = block * 3
        ends: dict[str, list[bytes | None]] = {
            **{"another": [b"y" * BLOCK_BYTES], "less": [b"x"]},
            **{"more": [block, b"x"], "gone": [None]},
        }
        async with upstream() as other:
            parts = [block, block, *ends[end]]
            await ask(other.front(), "PUT", "/bkt/k", headers=_hashed(body), parts=parts)
            if other.heads:
                await other.left.wait()
            assert other.bodies == []

    run(test)


def test_more_in_chunks_than_was_told_is_never_whole_over_there() -> None:
    async def test() -> None:
        size = BLOCK_BYTES * 2
        headers = [
            *((b"content-length", b"99"), (b"content-encoding", b"aws-chunked")),
            (b"x-amz-decoded-content-length", b"%d" % size),
        ]
        parts = [b"%x\r\n" % (size + 1), b"x" * size, b"x\r\n0\r\n\r\n"]
        async with upstream() as other:
            answer = await ask(other.front(), "PUT", "/bkt/k", headers=headers, parts=parts)
            if other.heads:
                await other.left.wait()
            assert (answer.status, other.bodies) == (400, [])

    run(test)


@pytest.mark.parametrize("size", [3, 2 * BLOCK_BYTES + 5])
def test_a_body_that_is_right_goes_on(size: int) -> None:
    async def test() -> None:
        body = b"x" * size
        parts = [body[at : at + 65_536] for at in range(0, size, 65_536)]
        async with upstream() as other:
            answer = await ask(other.front(), "PUT", "/bkt/k", headers=_hashed(body), parts=parts)
            assert (answer.status, answer.body, other.bodies) == (200, b"hi", [body])

    run(test)


@pytest.mark.parametrize(
    ("name", "value", "wanted"),
    [
        ("X-Amz-Expected-Bucket-Owner", "111111111111", (403, b"AccessDenied")),
        ("x-amz-source-expected-bucket-owner", "111111111111", (403, b"AccessDenied")),
        ("X-Amz-Content-Sha256", sha256(b"hello").hexdigest(), (400, b"XAmzContentSHA256Mismatch")),
        ("x-amz-meta-a", "x\r\nX-Evil: 1", (400, b"InvalidArgument")),
        ("x-amz-meta-a", "x\0", (400, b"InvalidArgument")),
        ("x-amz-meta- b", "1", (400, b"InvalidArgument")),
    ],
)
@pytest.mark.parametrize("body", [b"ab", b""])
def test_what_a_presigned_url_says_counts(
    name: str, value: str, wanted: tuple[int, bytes], body: bytes
) -> None:
    async def test() -> None:
        async with upstream() as other:
            query, headers = _presigned(**{name: value}), [(b"content-length", b"%d" % len(body))]
            answer = await ask(other.front(), "PUT", "/bkt/k", query=query, headers=headers, parts=[body])
            assert (answer.status, other.heads) == (wanted[0], [])
            assert wanted[1] in answer.body

    run(test)


def test_the_own_account_of_a_presigned_url_stays_here() -> None:
    async def test() -> None:
        async with upstream() as other:
            digest = sha256(b"ab").hexdigest()
            said = {"X-Amz-Expected-Bucket-Owner": _OWN.account, "X-Amz-Content-Sha256": digest}
            query = _presigned(**said, **{"x-amz-meta-a": " é "})
            headers = [(b"content-length", b"2"), (b"x-amz-content-sha256", b"UNSIGNED-PAYLOAD")]
            answer = await ask(other.front(), "PUT", "/bkt/k", query=query, headers=headers, parts=[b"ab"])
            assert (answer.status, other.bodies) == (200, [b"ab"])
            sent = other.sent()
            assert b"x-amz-expected-bucket-owner" not in sent
            assert (sent[b"x-amz-content-sha256"], sent[b"x-amz-meta-a"]) == (digest.encode(), "é".encode())

    run(test)


@pytest.mark.parametrize(
    "answer", [b"", b"HTTP/1.1 200 OK\r\n\r\nbegun", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n"]
)
@pytest.mark.parametrize("body", [b"", b"ab"])
def test_who_leaves_is_waited_for_no_longer(answer: bytes, body: bytes) -> None:
    async def test() -> None:
        async with upstream(answer, holds=True) as other:
            front = other.front()
            headers = _hashed(body)
            asking = asyncio.create_task(
                ask(front, "PUT", "/bkt/k", headers=headers, parts=[body], leaves=other.asked)
            )
            await asking
            await other.left.wait()
            assert front._transfers == 0

    run(test)


def test_headers_of_a_hop_go_no_further() -> None:
    answer = (
        b"HTTP/1.1 200 OK\r\nConnection: x-secret\r\nX-Secret: 1\r\nSet-Cookie: a=b\r\nX-Kept: 1\r\n"
        b"Proxy-Connection: close\r\nContent-Length: 2\r\n\r\nhi"
    )

    async def test() -> None:
        async with upstream(answer) as other:
            headers = [
                *((b"connection", b"X-Foo, x-amz-meta-a"), (b"x-foo", b"1"), (b"x-amz-meta-a", b"1")),
                *(
                    (b"proxy-connection", b"a"),
                    (b"http2-settings", b"a"),
                    (b"cookie", b"a"),
                    (b"x-api-key", b"a"),
                ),
            ]
            got = await ask(other.front(), "GET", "/bkt/k", headers=headers)
            assert got.body == b"hi"
            assert got.headers.keys() & {b"x-secret", b"set-cookie", b"proxy-connection", b"x-kept"} == {
                b"x-kept"
            }
            gone = {b"x-foo", b"proxy-connection", b"http2-settings", b"cookie", b"x-api-key"}
            assert not other.sent().keys() & gone
            assert other.sent()[b"x-amz-meta-a"] == b"1"

    run(test)


@pytest.mark.parametrize(
    "line", [b"999 No", b"600 No", b"101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade"]
)
def test_a_status_that_is_none_is_no_answer(line: bytes) -> None:
    async def test() -> None:
        async with upstream(b"HTTP/1.1 " + line + b"\r\nContent-Length: 2\r\n\r\nhi") as other:
            answer = await ask(other.front(), "GET", "/bkt/k")
            assert (answer.status, answer.is_whole) == (503, True)

    run(test)


def test_an_answer_that_breaks_off_is_not_made_whole() -> None:
    async def test() -> None:
        async with upstream(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nhi") as other:
            answer = await ask(other.front(), "GET", "/bkt/k")
            assert (answer.status, answer.body, answer.is_whole) == (200, b"hi", False)

    run(test)


def test_an_answer_of_two_lengths_has_the_one_of_its_chunks() -> None:
    answer = (
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
    )

    async def test() -> None:
        async with upstream(answer) as other:
            got = await ask(other.front(), "GET", "/bkt/k")
            assert (got.body, b"content-length" in got.headers) == (b"hello", False)

    run(test)


def test_an_address_that_is_too_long_is_told_so() -> None:
    async def test() -> None:
        async with upstream() as other:
            answer = await ask(other.front(), "GET", "/bkt/" + "!" * 30_000)
            assert (answer.status, other.heads) == (400, [])

    run(test)


def test_what_is_hidden_is_in_no_list_of_buckets() -> None:
    def bucket(name: str) -> str:
        return f"<Bucket><Name>{name}</Name><CreationDate>2026-01-01T00:00:00Z</CreationDate></Bucket>"

    def listing(*names: str) -> bytes:
        inside = "".join(map(bucket, names))
        return f"<ListAllMyBucketsResult><Buckets>{inside}</Buckets></ListAllMyBucketsResult>".encode()

    async def test() -> None:
        whole = listing("a", _HIDDEN, f"{_HIDDEN}-2")
        head = b"HTTP/1.1 200 OK\r\nContent-Type: application/xml\r\n"
        for length, body in (
            (b"Content-Length: %d\r\n\r\n" % len(whole), whole),
            (b"Transfer-Encoding: chunked\r\n\r\n", b"%x\r\n%b\r\n0\r\n\r\n" % (len(whole), whole)),
        ):
            async with upstream(head + length + body) as other:
                answer = await ask(other.front(), "GET", "/")
                assert (answer.status, answer.body) == (200, listing("a", f"{_HIDDEN}-2"))
                assert answer.headers[b"content-length"] == b"%d" % len(answer.body)
                assert answer.headers[b"content-type"] == b"application/xml"
        async with upstream(head + b"Content-Length: 99\r\n\r\n<ListAll") as other:
            assert (await ask(other.front(), "GET", "/")).status == 503

    run(test)
