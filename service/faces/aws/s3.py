"""The face of S3: buckets and objects as boto3, the aws CLI and other clients ask for them.

Every request of S3 enters by `S3Face.__call__`, with its caller in the scope. Bodies that are objects pass
through in blocks, in both directions, and whatever waits for the disk does so in threads of this face's own.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, TypeVar

from service.clock import Clock, SystemClock
from service.control.s3.context import Receiving, S3Fields, S3Output
from service.control.s3.receiving import is_chunked
from service.control.s3.table import S3Operations
from service.domain.caller import Caller
from service.errors import BucketFault, ClientGone, PayloadTooLarge, SagebirdError
from service.faces.identity import caller_of
from service.http.asgi import Headers, Receive, Scope, Send, read_body, send_reply
from service.http.failures import note_failure
from service.http.reply import Asked, Reply
from service.http.request_ids import request_ids
from service.http.sandbox import sandbox
from service.log import get_logger
from service.wire.aws_chunked import AwsChunked
from service.wire.protocols.rest_xml import S3Faults
from service.wire.protocols.s3 import S3Asked, S3Protocol
from service.wire.protocols.s3_links import check_link
from service.wire.protocols.s3_places import asked_of, bucket_of_host, split_path

# So much is handed to a thread, or asked of one, at once: each time one is woken up costs some 100 us. Many
# transfers, each of which holds such a block, have smaller ones.
_BLOCK_BYTES: Final = 2 << 20
_FEW_TRANSFERS: Final = 16
_SMALL_BLOCK_BYTES: Final = 1 << 18
_MOST_PARTS: Final = 4096  # of a block: each costs memory, however small it is
_SMALL_PART_BYTES: Final = 1 << 16
_MOST_TRANSFERS: Final = 256
_MOST_DOCUMENT_BYTES: Final = 8 << 20  # 10,000 parts with their checksums
_THREADS: Final = 4
_SYSTEM: Final = SystemClock()

# Pages of other origins must not get hold of an object as a picture or a script either.
_NOT_ELSEWHERE: Final = ((b"cross-origin-resource-policy", b"same-origin"),)

_Result = TypeVar("_Result")


class S3Face:
    """An ASGI application."""

    def __init__(
        self,
        load: Callable[[], S3Protocol],
        operations: S3Operations,
        has_bucket: Callable[[str], bool],
        bases: Sequence[str] = (),
        clock: Clock = _SYSTEM,
    ) -> None:
        """The protocol is loaded for the first request; below the names `bases` a host may name a bucket."""
        self._clock = clock
        self._load = load
        self._protocol: S3Protocol | None = None
        self._operations = operations
        self._has_bucket = has_bucket
        self._bases = bases
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="s3")
        self._transfers = 0
        self._new_id = request_ids()
        self._log = get_logger("sagebird.s3")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, whatever happens; one log line if it failed."""
        request_id, operation = self._new_id(), ""
        if self._transfers >= _MOST_TRANSFERS:
            error = BucketFault("SlowDown", "Please reduce your request rate.")
            await _send_reply(scope, send, self._refuse(scope, operation, error, request_id))
            return
        self._transfers += 1
        output = S3Output()
        try:
            try:
                asked = self._asked(scope)
                protocol = self._protocol or await self._loaded()
                operation = protocol.operation_of(asked)
                output = await self._output(scope, protocol, operation, asked, receive)
                reply = protocol.write(operation, output.members)
                reply.headers.extend(_identified(request_id))
            except ClientGone:
                return
            except Exception as error:  # the one place where errors of S3 become replies
                await _send_reply(scope, send, self._refuse(scope, operation, error, request_id))
                return
            await self._send(scope, send, reply, output)
        finally:
            self._transfers -= 1
            if output.body is not None:
                output.body.close()

    async def _loaded(self) -> S3Protocol:
        self._protocol = await self._run(self._load)
        return self._protocol

    def _asked(self, scope: Scope) -> S3Asked:
        """What is asked, and about what. Raises BucketFault."""
        bucket, key = split_path(scope["raw_path"])
        host = next((value for name, value in scope["headers"] if name == b"host"), b"")
        named = bucket_of_host(host.decode("latin-1"), self._bases)
        if named and ((scope["method"] == "PUT" and not bucket) or self._has_bucket(named)):
            bucket, key = named, split_path(b"/" + scope["raw_path"])[1]
        asked = asked_of(scope, bucket, key)
        check_link(asked.query, self._clock.now())
        return asked

    async def _output(
        self, scope: Scope, protocol: S3Protocol, operation: str, asked: S3Asked, receive: Receive
    ) -> S3Output:
        caller = caller_of(scope)
        if self._operations.takes(operation):
            fields = protocol.read(operation, asked, b"")
            return await self._take(caller, operation, fields, asked.headers, receive)
        try:
            body = await read_body(scope, receive, _MOST_DOCUMENT_BYTES)
        except PayloadTooLarge:
            raise BucketFault("MaxMessageLengthExceeded", "Your request was too big.") from None
        if is_chunked(asked.headers):
            body = _unchunked(body)
        fields = protocol.read(operation, asked, body)
        return await self._run(self._operations.answer, caller, operation, fields)

    async def _take(
        self, caller: Caller, operation: str, fields: S3Fields, headers: Mapping[str, str], receive: Receive
    ) -> S3Output:
        """Have a body received while it comes. Raises BucketFault, ClientGone."""
        receiving = await self._run(self._operations.begin, caller, operation, fields, headers)
        try:
            chunks = AwsChunked() if is_chunked(headers) else None
            await self._feed(receiving, chunks, receive)
            return await self._run(receiving.finish, {} if chunks is None else chunks.trailers)
        finally:
            await asyncio.shield(self._run(receiving.abandon))

    async def _feed(self, receiving: Receiving, chunks: AwsChunked | None, receive: Receive) -> None:
        more, size = True, 0
        gathered: list[bytes] = []
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise ClientGone
            more, part = message.get("more_body", False), message.get("body", b"")
            parts = [part] if chunks is None else _of_chunks(chunks, part)
            gathered += parts
            size += sum(map(len, parts))
            is_full = size >= self._most_at_once or len(gathered) >= _MOST_PARTS
            if size and (is_full or not more):
                await self._run(_write, receiving, gathered, size)
                gathered, size = [], 0
        if chunks is not None and not chunks.is_whole:
            raise BucketFault("IncompleteBody", "The request body terminated unexpectedly")

    @property
    def _most_at_once(self) -> int:
        return _BLOCK_BYTES if self._transfers <= _FEW_TRANSFERS else _SMALL_BLOCK_BYTES

    async def _send(self, scope: Scope, send: Send, reply: Reply, output: S3Output) -> None:
        body = output.body
        if body is None:
            status = reply.status if output.status is None else output.status
            await _send_reply(scope, send, Reply(status, reply.headers, reply.body))
            return
        headers = [*reply.headers, *_NOT_ELSEWHERE, *sandbox(str(output.members.get("ContentType")))]
        await send({"type": "http.response.start", "status": output.status or 200, "headers": headers})
        at = output.start
        while at < output.end:
            block = await self._run(body.read, at, min(self._most_at_once, output.end - at))
            for start in range(0, len(block), _SMALL_BLOCK_BYTES):
                part = block[start : start + _SMALL_BLOCK_BYTES]
                at += len(part)
                await send({"type": "http.response.body", "body": part, "more_body": at < output.end})
                await asyncio.sleep(0)  # others have their turn, also where the client takes all at once
        if output.start == output.end:
            await send({"type": "http.response.body", "body": b""})

    def _refuse(self, scope: Scope, operation: str, error: Exception, request_id: str) -> Reply:
        """The reply to a request that failed, with its log line."""
        path = scope["path"]
        reply = S3Faults(path).write_fault(error, Asked(scope["headers"], b"", request_id))
        code = error.code if isinstance(error, SagebirdError) else ""
        note_failure(self._log, error, request_id, reply.status, code, path=path, operation=operation)
        return reply

    async def _run(self, function: Callable[..., _Result], *arguments: Any) -> _Result:
        return await asyncio.get_running_loop().run_in_executor(self._threads, function, *arguments)


def _write(receiving: Receiving, parts: list[bytes], size: int) -> None:
    """Write what came in parts, of `size` bytes; many small ones at once. Raises BucketFault."""
    if size < len(parts) * _SMALL_PART_BYTES:
        parts = [b"".join(parts)]
    for part in parts:
        receiving.write(part)


async def _send_reply(scope: Scope, send: Send, reply: Reply) -> None:
    """Send a reply that is all there; one to HEAD has the length of what a GET would bring, and no body."""
    if scope["method"] == "HEAD":
        headers = [*reply.headers]
        if all(name.lower() != b"content-length" for name, _ in headers):
            headers.append((b"Content-Length", b"%d" % len(reply.body)))
        await send({"type": "http.response.start", "status": reply.status, "headers": headers})
        await send({"type": "http.response.body", "body": b""})
        return
    headers = [header for header in reply.headers if header[0].lower() != b"content-length"]
    await send_reply(send, reply.status, headers, reply.body)


def _identified(request_id: str) -> Headers:
    return [(name, request_id.encode("ascii")) for name in (b"x-amz-request-id", b"x-amz-id-2")]


def _of_chunks(chunks: AwsChunked, part: bytes) -> list[bytes]:
    try:
        return chunks.take(part)
    except ValueError as error:
        raise BucketFault(
            "InvalidRequest", f"The body is not in the chunks that it should be: {error}."
        ) from None


def _unchunked(body: bytes) -> bytes:
    chunks = AwsChunked()
    return b"".join(_of_chunks(chunks, body))
