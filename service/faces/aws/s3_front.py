"""The face of S3 in front of a real S3 server: each request goes on to it, signed by this server's key.

Clients are not sent there themselves: what they sign is signed for this server, by keys that the other one
does not know, and who may come in is asked at the front door. Bodies pass through in blocks, in both
directions; one that is found to be wrong here is never whole over there. Some servers replace an object as
soon as they are asked to: so they are asked once a small body is proven, and much of a large one is there.
"""

import asyncio
from collections.abc import AsyncIterator, Coroutine, Mapping, Sequence
from hashlib import sha256
from typing import Final
from urllib.parse import unquote

import httpx

from service.clock import Clock
from service.control.s3.receiving import Promised
from service.domain.caller import Caller
from service.errors import BucketFault, ClientGone, SagebirdError
from service.faces.aws.s3_answers import pass_back, without_hidden
from service.faces.identity import caller_of
from service.http.asgi import Headers, Receive, Scope, Send, send_reply
from service.http.failures import note_failure
from service.http.reply import Asked
from service.http.request_ids import request_ids
from service.log import get_logger
from service.object_settings import S3Server
from service.objects.buckets.digests import Digests
from service.objects.buckets.names import check_bucket_name, is_bucket_name
from service.wire import sigv4
from service.wire.aws_chunked import AwsChunked
from service.wire.protocols.rest_xml import S3Faults
from service.wire.protocols.s3_links import check_link
from service.wire.protocols.s3_places import bucket_of_host, read_query, split_path
from service.wire.s3_onward import (
    BLOCK_BYTES,
    Onward,
    OnwardBody,
    announced,
    body_of,
    frame,
    frame_trailers,
    onward,
    split_query,
)

_MOST_TRANSFERS: Final = 256
_MOST_KNOWN: Final = 1024
_KNOWN_S: Final = 10.0
_LIMITS: Final = httpx.Limits(max_connections=_MOST_TRANSFERS, keepalive_expiry=4.0)
_TIMES: Final = httpx.Timeout(60.0, connect=5.0)
_ANSWERS: Final = range(200, 600)
_COPIED: Final = b"x-amz-copy-source"
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
        coming = _Coming(receive)
        try:
            await coming.while_there(self._answer(scope, coming, send))
        except ClientGone:
            return
        finally:
            self._transfers -= 1

    async def _answer(self, scope: Scope, coming: "_Coming", send: Send) -> None:
        try:
            answer = await self._asked(scope, coming)
        except ClientGone:
            return
        except Exception as error:  # the one place where errors of this face become replies
            await self._refuse(scope, send, error)
            return
        try:
            await pass_back(scope, answer, send)
        except httpx.HTTPError as error:  # the answer ends too early, which the client is to see
            self._log.warning("the S3 server broke off an answer", path=scope["path"], reason=str(error))

    async def _asked(self, scope: Scope, coming: "_Coming") -> httpx.Response:
        """The answer of the server, whose body is to come. Raises SagebirdError."""
        query, headers = _said(scope)
        said = dict(headers)
        asked = scope.get("query_string", b"")
        if b"Signature=" in asked:  # of any other query it is for the server to say whether it can be read
            check_link(read_query(asked), self._clock.now())
        bucket, raw_key = await self._place(scope)
        self._check_source(said.get(_COPIED))
        body = body_of(said)
        if body is None:
            raise BucketFault("MissingContentLength", "You must provide the Content-Length HTTP header.")
        goes = self._onward(scope["method"], (bucket, raw_key), query, headers, body)
        if not body.length and not body.unpacks:
            await _check_no_body(scope["method"], coming, body)
            return await self._shown(goes) if _lists_buckets(goes, bucket) else await self._ask(goes, None)
        blocks = _unpacked(coming, body, said) if body.unpacks else _plain(coming, body)
        return await self._ask(goes, await _begun(blocks))

    def _onward(
        self, method: str, place: tuple[str, bytes], query: bytes, headers: Headers, body: OnwardBody
    ) -> Onward:
        now = self._clock.now().strftime("%Y%m%dT%H%M%SZ")
        return onward(method, place, query, headers, body, self._server, now)

    async def _ask(self, goes: Onward, content: AsyncIterator[bytes] | bytes | None) -> httpx.Response:
        """Raises BucketFault where no answer comes; what has no body is asked for twice then."""
        if self._client is None:
            self._client = httpx.AsyncClient(timeout=_TIMES, limits=_LIMITS, follow_redirects=False)
        try:
            request = httpx.Request(goes.method, goes.url, headers=goes.headers, content=content)
            answer = await self._send(self._client, request, again=content is None)
        except httpx.InvalidURL:
            raise BucketFault("InvalidURI", "Couldn't parse the specified URI.") from None
        except httpx.LocalProtocolError as error:
            text = f"The request cannot go on as it is: {error}."
            raise BucketFault("InvalidRequest", text) from error
        except httpx.HTTPError as error:
            text = f"The S3 server {self._server.endpoint} does not answer: please try again."
            raise BucketFault("ServiceUnavailable", text) from error
        if answer.status_code not in _ANSWERS:
            await answer.aclose()
            text = f"The S3 server {self._server.endpoint} answers with no status of HTTP."
            raise BucketFault("ServiceUnavailable", text)
        return answer

    async def _shown(self, goes: Onward) -> httpx.Response:
        """The answer to a listing of buckets, without those that are hidden. Raises BucketFault."""
        answer = await self._ask(goes, None)
        try:
            return await without_hidden(answer, self._hidden)
        except httpx.HTTPError as error:
            text = f"The S3 server {self._server.endpoint} broke off its answer: please try again."
            raise BucketFault("ServiceUnavailable", text) from error

    async def _send(
        self, client: httpx.AsyncClient, request: httpx.Request, *, again: bool
    ) -> httpx.Response:
        try:
            return await client.send(request, stream=True)
        except (httpx.RemoteProtocolError, httpx.ReadError):  # a connection that was kept too long
            if not again:
                raise
            return await client.send(request, stream=True)

    async def _place(self, scope: Scope) -> tuple[str, bytes]:
        """Bucket and key as it came. Raises BucketFault."""
        raw: bytes = scope["raw_path"]
        first, _, raw_key = raw.removeprefix(b"/").partition(b"/")
        bucket = split_path(raw)[0]
        host = next((value for name, value in scope["headers"] if name == b"host"), b"")
        named = bucket_of_host(host.decode("latin-1"), self._bases)
        makes = scope["method"] == "PUT" and not first
        if named and (makes or (is_bucket_name(named) and await self._has(named))):
            bucket, raw_key = named, raw.removeprefix(b"/")
        if bucket or raw not in (b"", b"/"):  # what is named here ends up in an address
            check_bucket_name(bucket)
        if any(part in (".", "..") for part in split_path(b"/x/" + raw_key)[1].split("/")):
            raise BucketFault("InvalidArgument", "A key may not have . or .. between its slashes here.")
        self._check_shown(bucket)
        return bucket, raw_key

    def _check_source(self, source: bytes | None) -> None:
        """See that what is copied may be asked for as well. Raises BucketFault."""
        if source is None:
            return
        bucket = unquote(source.decode("latin-1")).removeprefix("/").partition("/")[0]
        if not bucket.startswith("arn:"):
            check_bucket_name(bucket)
        self._check_shown(bucket)

    def _check_shown(self, bucket: str) -> None:
        if bucket in self._hidden:
            raise BucketFault("NoSuchBucket", "The specified bucket does not exist", BucketName=bucket)

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


class _Coming:
    """What comes from a client: its body, and then the news that it left."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._is_whole = asyncio.Event()

    async def parts(self) -> AsyncIterator[bytes]:
        """The parts of the body. Raises ClientGone, and CallerError for another body than was signed."""
        more = True
        while more:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise ClientGone
            more, part = message.get("more_body", False), message.get("body", b"")
            if not more:
                self._is_whole.set()
            if part:
                yield part

    async def while_there(self, working: Coroutine[None, None, None]) -> None:
        """Have work done; it is given up when the client leaves behind its body. Raises ClientGone."""
        work, leaving = asyncio.create_task(working), asyncio.create_task(self._left())
        try:
            await asyncio.wait({work, leaving}, return_when=asyncio.FIRST_COMPLETED)
            if not work.done():
                raise ClientGone
            await work
        finally:
            work.cancel()
            leaving.cancel()
            await asyncio.gather(work, leaving, return_exceptions=True)

    async def _left(self) -> None:
        await self._is_whole.wait()
        while (await self._receive())["type"] != "http.disconnect":
            pass


def _said(scope: Scope) -> tuple[bytes, Headers]:
    """The query without a signature, and the headers with those of a presigned URL. Raises BucketFault."""
    query, hoisted = split_query(scope.get("query_string", b""))
    headers = [one for one in scope["headers"] if one[0] != sigv4.PAYLOAD or one[0] not in hoisted]
    given, caller = {name for name, _ in headers}, caller_of(scope)
    above = _of_others([*hoisted.items()], caller)
    return query, [*(one for one in above if one[0] not in given), *_of_others(headers, caller)]


def _of_others(headers: Headers, caller: Caller) -> Headers:
    """Without what names the owner of buckets, who has another number over there. Raises BucketFault."""
    for name, value in headers:
        if name in _OWNERS and value.decode("latin-1") != caller.account:
            raise BucketFault("AccessDenied", "Access Denied")
    return [(name, value) for name, value in headers if name not in _OWNERS]


def _lists_buckets(goes: Onward, bucket: str) -> bool:
    return goes.method == "GET" and not bucket


async def _check_no_body(method: str, coming: _Coming, body: OnwardBody) -> None:
    """Have the end of a request be seen, that it is the one that was signed. Raises CallerError."""
    async for _ in coming.parts():
        raise BucketFault("IncompleteBody", "The request has a body that it does not tell of.")
    if method in ("PUT", "POST") and body.is_hashed and body.payload != sigv4.NO_BODY:
        raise _other_hash()


async def _begun(blocks: AsyncIterator[bytes]) -> AsyncIterator[bytes] | bytes:
    """The bytes, once the first block of them is there: all of them, found to be right, if they are few."""
    first = bytearray()
    async for block in blocks:
        first += block
        if len(first) > BLOCK_BYTES:
            return _joined(bytes(first), blocks)
    return bytes(first)


async def _joined(first: bytes, blocks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    async for block in blocks:
        yield block


async def _plain(coming: _Coming, body: OnwardBody) -> AsyncIterator[bytes]:
    """The bytes as they come, the last of them once it is known that all of them are right."""
    digest, size, held = sha256(), 0, b""
    async for part in coming.parts():
        size += len(part)
        if body.length is not None and size > body.length:
            raise _other_length()
        if body.is_hashed:
            digest.update(part)
        if held:
            yield held
        held = part
    if size != body.length:
        raise _other_length()
    if body.is_hashed and digest.hexdigest().encode("ascii") != body.payload:
        raise _other_hash()
    yield held


async def _unpacked(
    coming: _Coming, body: OnwardBody, headers: Mapping[bytes, bytes]
) -> AsyncIterator[bytes]:
    """What is in the chunks, framed anew or not: the last of it once all of it is known to be right."""
    chunks, held = AwsChunked(), bytearray()
    known = {name.decode("latin-1"): value.decode("latin-1") for name, value in headers.items()}
    promised, size = Promised({}, known), 0
    digests = Digests(promised.names, sha256=bool(promised.sha256))
    async for part in coming.parts():
        for inside in _opened(chunks, part):
            digests.update(inside)
            size += len(inside)
            held += inside
        if promised.length is not None and size > promised.length:
            raise _other_length()
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
    names = [name.decode("latin-1") for name in announced(headers)]
    yield last + frame_trailers({name: chunks.trailers[name] for name in names})


def _other_length() -> BucketFault:
    text = "You did not provide the number of bytes specified by the Content-Length HTTP header"
    return BucketFault("IncompleteBody", text)


def _other_hash() -> BucketFault:
    text = "The provided 'x-amz-content-sha256' header does not match what was computed."
    return BucketFault("XAmzContentSHA256Mismatch", text)


def _opened(chunks: AwsChunked, part: bytes) -> list[bytes]:
    try:
        return chunks.take(part)
    except ValueError as error:
        text = f"The body is not in the chunks that it should be: {error}."
        raise BucketFault("InvalidRequest", text) from None
