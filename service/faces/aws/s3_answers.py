"""The answers of a real S3 server, as they are given on to who asked the face in front of it."""

import re
from collections.abc import Collection
from typing import Final

import httpx

from service.http.asgi import Headers, Scope, Send
from service.http.sandbox import sandbox
from service.wire.s3_onward import listed, without_buckets

_NOT_ELSEWHERE: Final = ((b"cross-origin-resource-policy", b"same-origin"),)
_OF_THE_HOP: Final = frozenset(
    {
        *(b"connection", b"keep-alive", b"transfer-encoding", b"server", b"date", b"upgrade", b"trailer"),
        *(b"proxy-connection", b"proxy-authenticate", b"set-cookie"),
    }
)
_NAME: Final = re.compile(rb"[!#$%&'*+\-.^_`|~0-9a-z]+")
_UNSENDABLE: Final = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")  # in values. Source: RFC 9110, 5.5
_OF_THE_BYTES: Final = frozenset({b"content-length", b"content-encoding", b"transfer-encoding", b"etag"})


async def pass_back(scope: Scope, answer: httpx.Response, send: Send) -> None:
    """Give the answer on, as it comes. Raises httpx.HTTPError where it breaks off."""
    try:
        headers = [(name.lower(), value) for name, value in answer.headers.raw]
        own: Headers = []
        if scope["method"] in ("GET", "HEAD"):
            own = [*_NOT_ELSEWHERE, *sandbox(answer.headers.get("content-type", ""))]
        replaced = _OF_THE_HOP.union(name for name, _ in own)
        replaced |= listed(b",".join(value for name, value in headers if name == b"connection"))
        if "transfer-encoding" in answer.headers:
            replaced |= {b"content-length"}
        kept = [
            (name, value) for name, value in headers if name not in replaced and _is_sendable(name, value)
        ]
        await send({"type": "http.response.start", "status": answer.status_code, "headers": [*kept, *own]})
        async for block in answer.aiter_raw():
            await send({"type": "http.response.body", "body": block, "more_body": True})
        await send({"type": "http.response.body", "body": b""})
    finally:
        await answer.aclose()


async def without_hidden(answer: httpx.Response, hidden: Collection[str]) -> httpx.Response:
    """A listing of buckets without those that are `hidden`, read whole. Raises httpx.HTTPError."""
    try:
        document = without_buckets(await answer.aread(), hidden)
    finally:
        await answer.aclose()
    raw = [(name, value) for name, value in answer.headers.raw if name.lower() not in _OF_THE_BYTES]
    headers = [*raw, (b"content-length", b"%d" % len(document))]
    # Given as a stream, since one that is there at once counts as read already.
    return httpx.Response(answer.status_code, headers=headers, stream=httpx.ByteStream(document))


def _is_sendable(name: bytes, value: bytes) -> bool:
    return bool(_NAME.fullmatch(name)) and not _UNSENDABLE.search(value)
