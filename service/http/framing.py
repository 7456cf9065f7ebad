"""Where the body of a request ends: after so many bytes, or after its last chunk.

Each is given what was received and says which bytes of it are the body's, and from where on they are not its
own. Trailers and the extensions of chunks are passed over, within limits.
"""

import re
from typing import Protocol

from service.http.head import Refused, is_field

_MOST_LINE_BYTES = 1024
_MOST_TRAILER_BYTES = 16_384
# Chunks and other lines that are looked at before others have their turn.
_MOST_STEPS = 512
_SIZE = re.compile(rb"([0-9A-Fa-f]{1,15}+)(?:[ \t]*+;[^\x00-\x08\x0a-\x1f\x7f]*+)?\r\n")


class Body(Protocol):
    """A body that is being received."""

    is_whole: bool
    is_starved: bool
    """Whether it needs more than it was given; else ask again, after others had their turn."""

    def take(self, data: bytes, at: int) -> tuple[bytes, int]:
        """The body's bytes in `data` from `at` on, and where it has not looked yet. Raises: Refused."""
        ...

    @property
    def left(self) -> int:
        """How many bytes are to come at least."""
        ...


class Sized:
    """A body whose length was told."""

    __slots__ = ("is_starved", "is_whole", "left")

    def __init__(self, length: int) -> None:
        self.left = length
        self.is_whole = length == 0
        self.is_starved = True

    def take(self, data: bytes, at: int) -> tuple[bytes, int]:
        """See Body."""
        part = data[at : at + self.left]
        self.left -= len(part)
        self.is_whole = self.left == 0
        return part, at + len(part)


class Chunked:
    """A body in chunks."""

    __slots__ = ("_chunk", "_ends", "_parts", "_trailers", "is_starved", "is_whole", "left")

    def __init__(self) -> None:
        self.left = 0
        self.is_whole = False
        self.is_starved = True
        self._ends = False  # a chunk's line break is due
        self._trailers = -1  # bytes of them; none before the last chunk
        self._parts: list[bytes] = []

    def take(self, data: bytes, at: int) -> tuple[bytes, int]:
        """See Body."""
        self._parts = []
        self.is_starved = False
        for _ in range(_MOST_STEPS):
            before = at
            at = self._step(data, at)
            if self.is_whole or at == before:
                self.is_starved = True
                break
        parts, self._parts = self._parts, []
        return b"".join(parts), at

    def _step(self, data: bytes, at: int) -> int:
        """Take one thing; where the next begins, which is `at` if it is not there yet."""
        if self.left:
            part = data[at : at + self.left]
            self._parts.append(part)
            self.left -= len(part)
            self._ends = self.left == 0
            return at + len(part)
        if self._ends:
            return self._end_chunk(data, at)
        end = data.find(b"\n", at, at + _MOST_LINE_BYTES) + 1
        if end == 0:
            if len(data) - at >= _MOST_LINE_BYTES:
                raise Refused(400, f"A line of the chunked body is longer than {_MOST_LINE_BYTES} bytes.")
            return at
        if self._trailers < 0:
            self._begin_chunk(data, at, end)
        else:
            self._pass_trailer(data[at:end])
        return end

    def _begin_chunk(self, data: bytes, at: int, end: int) -> None:
        size = _SIZE.fullmatch(data, at, end)
        if size is None:
            raise Refused(400, "The chunked body is malformed.")
        self.left = int(size[1], 16)
        if self.left == 0:
            self._trailers = 0

    def _end_chunk(self, data: bytes, at: int) -> int:
        there = data[at : at + 2]
        if there == b"\r\n":
            self._ends = False
            return at + 2
        if there not in (b"", b"\r"):
            raise Refused(400, "The chunked body is malformed.")
        return at

    def _pass_trailer(self, line: bytes) -> None:
        if line == b"\r\n":
            self.is_whole = True
            return
        self._trailers += len(line)
        if self._trailers > _MOST_TRAILER_BYTES:
            raise Refused(431, f"The trailers are longer than {_MOST_TRAILER_BYTES} bytes.")
        if not is_field(line):
            raise Refused(400, "A trailer line is malformed.")


def body_of(length: int | None) -> Body:
    """The body of a request whose head says this of its length; None is chunked."""
    return Chunked() if length is None else Sized(length)
