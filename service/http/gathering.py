"""A body while it is received: little of it in memory, however many there are that never end.

What is more waits in a file (spool). Where there is no room for that, it stays in memory after all.
"""

from types import TracebackType

from service.http.spool import BLOCK_BYTES, Spool

_spool = Spool()


class Gathering:
    """The parts of one body, in their order; a context that lets go of them."""

    __slots__ = ("_away", "_has_room", "_held_bytes", "_parts", "size")

    def __init__(self, first: bytes = b"") -> None:
        self._parts = [first]
        self._held_bytes = self.size = len(first)
        self._away: list[int] = []
        self._has_room = True

    def __enter__(self) -> "Gathering":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._parts.clear()
        _spool.let_go(self._away)

    def add(self, part: bytes) -> None:
        """Take the next part; what is too much for memory is put away."""
        self._parts.append(part)
        self._held_bytes += len(part)
        self.size += len(part)
        if self._held_bytes > BLOCK_BYTES and self._has_room:
            self._put_away()

    def whole(self) -> bytes:
        """All parts joined, also those that were put away."""
        return b"".join((*map(_spool.get, self._away), *self._parts))

    def _put_away(self) -> None:
        held = b"".join(self._parts)
        begin = 0
        try:
            while begin + BLOCK_BYTES <= len(held):
                self._away.append(_spool.put(held[begin : begin + BLOCK_BYTES]))
                begin += BLOCK_BYTES
        except OSError:
            self._has_room = False
        self._parts = [held[begin:]]
        self._held_bytes = len(held) - begin
