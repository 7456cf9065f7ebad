"""Lines that a container's processes print, read as runner/printing marks them: whose they are, and the text.

Whatever is printed harms nobody: what is no mark of this container's own is text, and of a flood so many
lines are kept each second.
"""

import secrets
from collections.abc import Callable, Collection
from time import monotonic
from typing import Final, NamedTuple

from service.domain.log_places import KeepLine

_MARK: Final = b"\x1e"  # see runner/printing
_PART: Final = b"+"
_END: Final = b"\x1f"
_WORDS: Final = 3  # before the text: where it is to be kept, the request's id, the process
_MOST_BYTES: Final = 1 << 18
_MOST_OPEN: Final = 256
_MOST_LINES: Final = 4_000  # in each _INTERVAL_S
_INTERVAL_S: Final = 1.0


class _Line(NamedTuple):
    """A line's text, and where it is kept for which request."""

    text: bytes
    places: Collection[str]
    request: str = ""


class Printed:
    """What one container prints."""

    def __init__(self, keep: KeepLine | None = None, clock: Callable[[], float] = monotonic) -> None:
        """`keep` keeps its lines, if anybody does; `clock` tells seconds."""
        self.key = secrets.token_hex(8) if keep is not None else ""
        """What its processes mark their lines with, "" for not at all."""
        self.places: set[str] = set()
        """Where lines are kept that are of no call."""
        self._keep = keep
        self._clock = clock
        self._begin = _MARK + self.key.encode()
        self._open: dict[tuple[int, bytes], bytes] = {}  # lines that go on, by stream and mark
        self._lines = self._left_out = 0
        self._until_s = 0.0

    def read(self, line: bytes, stream: int = 0) -> bytes:
        """Have a line of a stream kept; its text, b"" where it goes on."""
        if self._keep is None:
            return line
        found = self._split(line, stream)
        if found is None:
            return b""
        shown = found.text.decode("utf-8", "replace").rstrip()
        if shown:
            self._count(found.places)
            if self._lines <= _MOST_LINES:
                for place in found.places:
                    self._keep(place, shown, found.request)
            else:
                self._left_out += 1
        return found.text

    def is_flooded(self) -> bool:
        """Whether no more lines are kept for the moment."""
        return self._keep is None or (self._lines >= _MOST_LINES and self._clock() < self._until_s)

    def leave_out(self, number: int, last: bytes, stream: int = 0) -> bytes:
        """So many lines are not kept; what the `last` of them says."""
        if self._keep is None:
            return last
        self._left_out += number
        found = self._split(last, stream)
        return b"" if found is None else found.text

    def _count(self, places: Collection[str]) -> None:
        """Count a line, and begin a new interval if it is time."""
        now_s = self._clock()
        if now_s >= self._until_s:
            self._lines, self._until_s = 0, now_s + _INTERVAL_S
            left_out, self._left_out = self._left_out, 0
            if self._keep is not None and left_out:
                for place in places:
                    self._keep(place, f"… and {left_out:,} more lines, which were left out", "")
        self._lines += 1

    def _split(self, line: bytes, stream: int) -> _Line | None:
        """None of a line that goes on."""
        if not line.startswith(self._begin):
            return _Line(line, self.places)
        marked = line[len(self._begin) :]
        words = marked[1:].split(_END, _WORDS)
        if len(words) <= _WORDS:
            return _Line(line, self.places)
        *named, text = words
        name = stream, _END.join(named)
        if before := self._open.pop(name, b""):
            text = before + text
        if marked[:1] == _PART and len(text) < _MOST_BYTES and len(self._open) < _MOST_OPEN:
            self._open[name] = text
            return None
        place, request, _process = (word.decode("latin-1") for word in named)
        return _Line(text, (place,), request)
