"""A body while it is received: little of it in memory, however many there are that never end.

What is more waits in a file without a name, which the system clears away with the process. Where there is no
room for such files, or no folder for them, it stays in memory after all.
"""

from tempfile import TemporaryFile
from types import TracebackType
from typing import IO

_IN_MEMORY_BYTES = 1 << 18


class Gathering:
    """The parts of one body, in their order; a context that lets go of them."""

    __slots__ = ("_file", "_has_room", "_held_bytes", "_parts", "size")

    def __init__(self, first: bytes = b"") -> None:
        self._parts = [first]
        self._held_bytes = self.size = len(first)
        self._file: IO[bytes] | None = None
        self._has_room = True

    def __enter__(self) -> "Gathering":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._parts.clear()
        if self._file is not None:
            self._file.close()

    def add(self, part: bytes) -> None:
        """Take the next part; what is too much for memory goes to a file."""
        self._parts.append(part)
        self._held_bytes += len(part)
        self.size += len(part)
        if self._held_bytes > _IN_MEMORY_BYTES and self._has_room:
            self._put_away()

    def whole(self) -> bytes:
        """All parts joined, also those that were put away in a file."""
        if self._file is None:
            return b"".join(self._parts)
        self._file.seek(0)
        return b"".join((self._file.read(), *self._parts))

    def _put_away(self) -> None:
        held = b"".join(self._parts)
        written = 0
        try:
            if self._file is None:
                self._file = TemporaryFile(buffering=0)  # noqa: SIM115 - closed with the body
            written = self._file.write(held)
        except OSError:
            self._has_room = False
        if written < len(held):
            self._has_room = False
        self._parts = [held[written:]]
        self._held_bytes = len(held) - written
