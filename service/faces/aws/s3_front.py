"""The face of S3 in front of a real S3 server: each request goes on to it, signed by this server's key.

Clients are not sent there themselves: what they sign is signed for this server, by keys that the other one
does not know, and who may come in is asked at the front door. Bodies pass through in blocks, in both
directions; one that is found to be wrong here is never whole over there.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Final

import httpx

from service.clock import Clock
from service.control.s3.receiving import Promised
from service.domain.caller import Caller
from service.errors import BucketFault, ClientGone, SagebirdError
from service.faces.identity import caller_of
from service.http.asgi import Headers, Receive, Scope, Send, send_reply
from service.http.failures import note_failure
from service.http.reply import Asked
from service.http.request_ids import request_ids
from service.http.sandbox import sandbox
from service.log import get_logger
from service.object_settings import S3Server
from service.objects.buckets.digests import Digests
from service.wire.aws_chunked import AwsChunked
from service.wire.protocols.rest_xml import S3Faults
from service.wire.protocols.s3_places import bucket_of_host, split_path
from service.wire.s3_onward import BLOCK_BYTES, Onward, OnwardBody, body_of, frame, frame_trailers, onward

_MOST_TRANSFERS: Final = 256
_MOST_KNOWN: Final = 1024
_KNOWN_S: Final = 10.0
_LIMITS: Final = httpx.Limits(max_connections=_MOST_TRANSFERS, keepalive_expiry=4.0)
_TIMES: Final = httpx.Timeout(60.0, connect=5.0)
_NOT_ELSEWHERE: Final = ((b"cross-origin-resource-policy", b"same-origin"),)
_OF_THE_HOP: Final = frozenset(
    {b"connection", b"keep-alive", b"transfer-encoding", b"server", b"date", b"upgrade", b"trailer"}
)
_OWNERS: Final = (b"x-amz-expected-bucket-owner", b"x-amz-source-expected-bucket-owner")
_NOTHING: Final = OnwardBody(b"UNSIGNED-PAYLOAD", None)


class S3Front:
    """An ASGI application. Belongs to one event loop."""

    def __init__(
        self, server: S3Server, clock: Clock, bases: Sequence[str] = (), hidden: Sequence[str] = ()
    ) -> None:
        """Below the names `bases` a host may name a bucket; buckets that are `hidden` are not gone on to."""
        self._server = server
        self._clock = clock
        self._bases = bases
        self._hidden = frozenset(hidden)
        self._client: httpx.AsyncClient | None = None
        self._known: dict[str, tuple[bool, float]] = {}
        self._transfers = 0
        self._new_id = request_ids()
        self._log = get_logger("sagebird.s3")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, whatever happens; one log line if it failed here."""
        if self._transfers >= _MOST_TRANSFERS:
            await self._refuse(scope, send, BucketFault("SlowDown", "Please reduce your request rate."))
            return
        self._transfers += 1
        try:
            try:
                answer = await self._asked(scope, receive)
            except ClientGone:
                return
            except Exception as error:  # the one place where errors of this face become replies
                await self._refuse(scope, send, error)
                return
            await _pass_back(scope, answer, send)
        finally:
            self._transfers -= 1

    async def _asked(self, scope: Scope, receive: Receive) -> httpx.Response:
        """The answer of the server, whose body is to come. Raises SagebirdError."""
        headers = _of_others(scope["headers"], caller_of(scope))
        bucket, raw_key = await self._place(scope)
        body = body_of(dict(headers))
        if body is None:
            raise BucketFault("MissingContentLength", "You must provide the Content-Length HTTP header.")
        goes = self._onward(scope["method"], (bucket, raw_key), scope.get("query_string", b""), headers, body)
        if not body.length and not body.unpacks:
            await _check_body(receive)
            return await self._ask(goes, None)
        return await self._ask(goes, _bytes_of(receive, body, dict(headers)))

    def _onward(
        self, method: str, place: tuple[str, bytes], query: bytes, headers: Headers, body: OnwardBody
    ) -> Onward:
        now = self._clock.now().strftime("%Y%m%dT%H%M%SZ")
        return onward(method, place, query, headers, body, self._server, now)

    async def _ask(self, goes: Onward, content: AsyncIterator[bytes] | None) -> httpx.Response:
        """Raises BucketFault where no answer comes; what has no body is asked for twice then."""
        if self._client is None:
            self._client = httpx.AsyncClient(timeout=_TIMES, limits=_LIMITS, follow_redirects=False)
        request = httpx.Request(goes.method, goes.url, headers=goes.headers, content=content)
        try:
            try:
                return await self._client.send(request, stream=True)
            except (httpx.RemoteProtocolError, httpx.ReadError):  # a connection that was kept too long
                if content is not None:
                    raise
                return await self._client.send(request, stream=True)
        except httpx.HTTPError as error:
            text = f"The S3 server {self._server.endpoint} does not answer: please try again."
            raise BucketFault("ServiceUnavailable", text) from error

    async def _place(self, scope: Scope) -> tuple[str, bytes]:
        """Bucket and key as it came. Raises BucketFault."""
        raw: bytes = scope["raw_path"]
        first, _, raw_key = raw.removeprefix(b"/").partition(b"/")
        bucket = split_path(raw)[0]
        host = next((value for name, value in scope["headers"] if name == b"host"), b"")
        named = bucket_of_host(host.decode("latin-1"), self._bases)
        if named and ((scope["method"] == "PUT" and not first) or await self._has(named)):
            bucket, raw_key = named, raw.removeprefix(b"/")
        if any(part in (".", "..") for part in split_path(b"/x/" + raw_key)[1].split("/")):
            raise BucketFault("InvalidArgument", "A key may not have . or .. between its slashes here.")
        if bucket in self._hidden:
            raise BucketFault("NoSuchBucket", "The specified bucket does not exist", BucketName=bucket)
        return bucket, raw_key

    async def _has(self, bucket: str) -> bool:
        """Whether there is such a bucket, as far as was told lately. Raises BucketFault."""
        now_s = self._clock.monotonic()
        known = self._known.get(bucket)
        if known is None or known[1] < now_s:
            answer = await self._ask(self._onward("HEAD", (bucket, b""), b"", [], _NOTHING), None)
            await answer.aclose()
            if len(self._known) >= _MOST_KNOWN:
                self._known.clear()
            known = self._known[bucket] = (answer.status_code != 404, now_s + _KNOWN_S)
        return known[0]

    async def _refuse(self, scope: Scope, send: Send, error: Exception) -> None:
        """Reply to a request that failed, with its log line."""
        request_id, path = self._new_id(), scope["path"]
        reply = S3Faults(path).write_fault(error, Asked(scope["headers"], b"", request_id))
        code = error.code if isinstance(error, SagebirdError) else ""
        note_failure(self._log, error, request_id, reply.status, code, path=path, operation=scope["method"])
        body = b"" if scope["method"] == "HEAD" else reply.body
        await send_reply(send, reply.status, reply.headers, body)


async def _pass_back(scope: Scope, answer: httpx.Response, send: Send) -> None:
    """Give the answer on, as it comes."""
    try:
        headers = [(name.lower(), value) for name, value in answer.headers.raw]
        own: Headers = []
        if scope["method"] in ("GET", "HEAD"):
            own = [*_NOT_ELSEWHERE, *sandbox(answer.headers.get("content-type", ""))]
        replaced = _OF_THE_HOP.union(name for name, _ in own)
        headers = [*((name, value) for name, value in headers if name not in replaced), *own]
        await send({"type": "http.response.start", "status": answer.status_code, "headers": headers})
        async for block in answer.aiter_raw():
            await send({"type": "http.response.body", "body": block, "more_body": True})
        await send({"type": "http.response.body", "body": b""})
    finally:
        await answer.aclose()


def _of_others(headers: Headers, caller: Caller) -> Headers:
    """Without what names the owner of buckets, who has another number over there. Raises BucketFault."""
    for name, value in headers:
        if name in _OWNERS and value.decode("latin-1") != caller.account:
            raise BucketFault("AccessDenied", "Access Denied")
    return [(name, value) for name, value in headers if name not in _OWNERS]


async def _check_body(receive: Receive) -> None:
    """Have the end of a request be seen, that it is the one that was signed. Raises CallerError."""
    async for _ in _received(receive):
        raise BucketFault("IncompleteBody", "The request has a body that it does not tell of.")


async def _received(receive: Receive) -> AsyncIterator[bytes]:
    """The parts of a body. Raises ClientGone, and CallerError for another body than was signed."""
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        more, part = message.get("more_body", False), message.get("body", b"")
        if part:
            yield part


async def _bytes_of(
    receive: Receive, body: OnwardBody, headers: Mapping[bytes, bytes]
) -> AsyncIterator[bytes]:
    """The bytes that go on. Of chunks the last ones do so once it is known that all of them are right."""
    if not body.unpacks:
        async for part in _received(receive):
            yield part
        return
    chunks, held = AwsChunked(), bytearray()
    known = {name.decode("latin-1"): value.decode("latin-1") for name, value in headers.items()}
    promised, size = Promised({}, known), 0
    digests = Digests(promised.names)
    async for part in _received(receive):
        for inside in _opened(chunks, part):
            digests.update(inside)
            size += len(inside)
            held += inside
        while len(held) > BLOCK_BYTES:
            block = bytes(held[:BLOCK_BYTES])
            del held[:BLOCK_BYTES]
            yield frame(block) if body.frames else block
    if not chunks.is_whole:
        raise BucketFault("IncompleteBody", "The request body terminated unexpectedly")
    promised.check(size, digests, chunks.trailers)
    if not body.frames:
        yield bytes(held)
        return
    last = frame(bytes(held)) + frame(b"") if held else frame(b"")
    yield last + frame_trailers(chunks.trailers)


def _opened(chunks: AwsChunked, part: bytes) -> list[bytes]:
    try:
        return chunks.take(part)
    except ValueError as error:
        text = f"The body is not in the chunks that it should be: {error}."
        raise BucketFault("InvalidRequest", text) from None
