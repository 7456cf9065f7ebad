"""Bodies of requests that come compressed, unpacked a piece at a time and never beyond what may be read."""

import asyncio
import zlib
from typing import Any

from service.errors import PayloadTooLarge, UnsupportedEncoding, ValidationFault
from service.http.asgi import Message, Receive, Scope

_PIECE_BYTES = 1 << 18
_EITHER = 32 + zlib.MAX_WBITS  # a header of gzip or of zlib, which HTTP calls deflate (RFC 9110, 8.4.1)
_READ = frozenset({b"gzip", b"x-gzip", b"deflate"})
_PLAIN = frozenset({b"", b"identity"})
_OF_THE_PACKED = frozenset({b"content-encoding", b"content-length"})


def unpacked(encoding: bytes, scope: Scope, receive: Receive, limit_bytes: int) -> tuple[Scope, Receive]:
    """A request with this Content-Encoding, as if it had come without.

    Its length is not known any more, so whoever reads the body has to limit it; `limit_bytes` is for what
    comes in, which may unpack to nothing at all.

    Raises:
        UnsupportedEncoding: it is none that is read, or more than one.
    """
    name = encoding.strip().lower()
    if name in _PLAIN:
        return scope, receive
    if name not in _READ:
        shown = "".join(char if char.isprintable() else "?" for char in name[:100].decode("latin-1"))
        raise UnsupportedEncoding(f"The Content-Encoding {shown} is not read; send gzip, deflate or none.")
    headers = [header for header in scope["headers"] if header[0] not in _OF_THE_PACKED]
    most_bytes = limit_bytes + growth_bytes(limit_bytes)
    return {**scope, "headers": headers}, _Unpacking(receive, limit_bytes, most_bytes)


def growth_bytes(limit_bytes: int) -> int:
    """By how much a body of so many bytes may grow while it is packed, as what cannot be packed does."""
    return limit_bytes // 8 + 1024


class _Unpacking:
    """A `receive` that gives what another one's body unpacks to."""

    def __init__(self, receive: Receive, limit_bytes: int, most_bytes: int) -> None:
        self._receive = receive
        self._limit_bytes = limit_bytes
        self._most_bytes = most_bytes
        self._received = 0
        self._packed = b""
        self._more = True  # there is more to come
        self._full = False  # the last piece was as large as it may be, so that the decoder may hold more
        self._decoder: Any = None

    async def __call__(self) -> Message:
        """The next piece.

        Raises:
            PayloadTooLarge: too much came in.
            ValidationFault: it is not packed as its header says.
        """
        while True:
            if self._more and not self._packed and not self._full:
                message = await self._receive()
                if message["type"] != "http.request":
                    return message
                self._take(message)
            piece = self._unpack()
            if not self._more and not self._packed and not self._full:
                self._check_end()
                return {"type": "http.request", "body": piece, "more_body": False}
            await asyncio.sleep(0)  # others have their turn between two pieces
            if piece:
                return {"type": "http.request", "body": piece, "more_body": True}

    def _take(self, message: Message) -> None:
        self._packed = message.get("body", b"")
        self._more = message.get("more_body", False)
        self._received += len(self._packed)
        if self._received > self._most_bytes:
            raise PayloadTooLarge(self._limit_bytes)

    def _unpack(self) -> bytes:
        if not self._packed and not self._full:
            return b""
        if self._decoder is None or self._decoder.eof:  # gzip may hold several members, one after the other
            self._decoder = zlib.decompressobj(_EITHER)
        try:
            piece: bytes = self._decoder.decompress(self._packed, _PIECE_BYTES)
        except zlib.error:
            raise ValidationFault("The body is not compressed as its Content-Encoding says.") from None
        self._packed = self._decoder.unused_data if self._decoder.eof else self._decoder.unconsumed_tail
        self._full = len(piece) == _PIECE_BYTES and not self._decoder.eof
        return piece

    def _check_end(self) -> None:
        if self._decoder is not None and not self._decoder.eof:
            raise ValidationFault("The body is compressed, and its end is missing.")
