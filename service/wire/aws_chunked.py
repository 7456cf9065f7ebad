"""Bodies in AWS's own chunks (Content-Encoding: aws-chunked), checksums behind the last one. No I/O here.

Source: S3 API reference, "Signature calculations … transferring payload in multiple chunks". Signatures of
chunks are told to whoever watches, and passed over where nobody does.
"""

import re
from typing import Protocol

_SIZE = re.compile(rb"([0-9A-Fa-f]{1,15})(?:;([\x20-\x7e]*))?\r\n")
_MOST_LINE_BYTES = 1024
_MOST_TRAILERS = 16


class ChunkWatch(Protocol):
    """Sees the chunks of a body go by, the empty one at its end too."""

    def begin(self, extension: bytes) -> None:
        """A chunk begins, whose line says this behind its length."""
        ...

    def add(self, data: bytes) -> None:
        """The next bytes of the chunk."""
        ...

    def end(self) -> None:
        """The chunk has all of its bytes."""
        ...


class AwsChunked:
    """Takes such a body in parts of any size, and gives what is in its chunks."""

    def __init__(self, watch: ChunkWatch | None = None) -> None:
        self._watch = watch
        self.trailers: dict[str, str] = {}
        self.is_whole = False
        self._rest = b""
        self._left = 0  # of the chunk at hand
        self._ends = False  # a chunk's line break is due
        self._is_last = False

    def take(self, data: bytes) -> list[bytes]:
        """The next bytes. Raises ValueError where it is no such body."""
        found: list[bytes] = []
        data, self._rest, at = self._rest + data, b"", 0
        while at < len(data):
            before = at
            at = self._step(data, at, found)
            if at == before:
                self._rest = data[at:]
                break
        return found

    def _step(self, data: bytes, at: int, found: list[bytes]) -> int:
        if self.is_whole:
            raise ValueError("more comes behind its end")
        if self._left:
            part = data[at : at + self._left]
            found.append(part)
            self._left -= len(part)
            self._ends = self._left == 0
            if self._watch is not None:
                self._watch.add(part)
                if self._ends:
                    self._watch.end()
            return at + len(part)
        if self._ends:
            if len(data) - at < 2:
                return at
            if data[at : at + 2] != b"\r\n":
                raise ValueError("a chunk is longer than it says")
            self._ends = False
            return at + 2
        return self._line(data, at)

    def _line(self, data: bytes, at: int) -> int:
        end = data.find(b"\n", at, at + _MOST_LINE_BYTES) + 1
        if end == 0:
            if len(data) - at >= _MOST_LINE_BYTES:
                raise ValueError("a line is too long")
            return at
        if self._is_last:
            self._trailer(data[at:end])
            return end
        size = _SIZE.fullmatch(data, at, end)
        if size is None:
            raise ValueError("a chunk does not say how long it is")
        self._left = int(size[1], 16)
        self._is_last = self._left == 0
        if self._watch is not None:
            self._watch.begin(size[2] or b"")
            if self._is_last:
                self._watch.end()
        return end

    def _trailer(self, line: bytes) -> None:
        text = line.decode("latin-1").strip()
        if not text:
            self.is_whole = True
            return
        name, found, value = text.partition(":")
        if not found or len(self.trailers) >= _MOST_TRAILERS:
            raise ValueError("what is behind the last chunk is no header")
        self.trailers[name.strip().lower()] = value.strip()
