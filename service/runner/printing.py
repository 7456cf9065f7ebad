"""What a model's code prints, marked with the call for which it does so: its host knows whose each line is.

A marked line begins with MARK and the key of its container, which nobody has whose text is only passed on.
Behind it stand whether the line goes on in the next one, where it is to be kept, the id of the request and
the process. Lines that are written past Python, or at no call, are not marked.
"""

from __future__ import annotations

import errno
import io
import sys
from contextlib import suppress
from os import O_RDWR, devnull, fstat, getpid, set_inheritable, write
from os import open as open_file
from typing import Any

STANDARD = 3
"""So many descriptors are standard streams."""

MARK = b"\x1e"
_WHOLE, _PART = b".", b"+"
_END = b"\x1f"
_MOST_BYTES = 2048  # of a piece
_MOST_WORD_CHARS = 512  # of what it is marked with; so all of it is written in one step. Source: pipe(7)


class _Call:
    """The call that this process is at."""

    __slots__ = ("place", "request_id")

    def __init__(self) -> None:
        self.place = self.request_id = ""


class _Stream(io.RawIOBase):
    """One standard stream, below Python's buffers."""

    def __init__(self, number: int, begin: bytes, call: _Call) -> None:
        super().__init__()
        self._number = number
        self._file = _file_at(number)
        self._begin = begin
        self._call = call
        self._rest = b""

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._number

    def write(self, data: Any) -> int:
        given = bytes(data)
        if not self._call.place or self._is_elsewhere():
            _write_all(self._number, given)
            return len(given)
        *lines, rest = (self._rest + given).split(b"\n")
        for line in lines:
            self._write_piece(_WHOLE, self._write_parts(line))
        self._rest = self._write_parts(rest)
        return len(given)

    def end_line(self) -> None:
        """Write what had no end."""
        if self._rest:
            rest, self._rest = self._rest, b""
            if not self._is_elsewhere():  # else it is gone with the stream that it was meant for
                self._write_piece(_WHOLE, rest)

    def _is_elsewhere(self) -> bool:
        """Whether the model has put a file of its own in its place, which is to have no marks."""
        return _file_at(self._number) != self._file

    def _write_parts(self, line: bytes) -> bytes:
        """Write what is too long for one piece; the rest."""
        while len(line) > _MOST_BYTES:
            self._write_piece(_PART, line[:_MOST_BYTES])
            line = line[_MOST_BYTES:]
        return line

    def _write_piece(self, kind: bytes, piece: bytes) -> None:
        words = (self._call.place, self._call.request_id, str(getpid()))
        told = _END.join(word[:_MOST_WORD_CHARS].encode("latin-1", "replace") for word in words)
        _write_all(self._number, b"%b%b%b%b%b\n" % (self._begin, kind, told, _END, piece))


class Printing:
    """Both standard streams of a process."""

    def __init__(self, key: str = "") -> None:
        """`key` is that of the container, "" where nothing is to be marked."""
        self._marks = bool(key)
        self._call = _Call()
        self._raw = [_Stream(number, MARK + key.encode("ascii"), self._call) for number in (1, 2)]
        self._text = [
            io.TextIOWrapper(io.BufferedWriter(raw), "utf-8", "backslashreplace", line_buffering=True)
            for raw in self._raw
        ]

    def take_over(self) -> None:
        """Be what the model's code finds as its standard streams."""
        sys.stdout, sys.stderr = self._text

    def enter(self, place: str, request_id: str) -> None:
        """A call is begun whose lines are kept at a place, "" for nowhere."""
        if self._marks:
            self._call.place, self._call.request_id = place, request_id

    def leave(self) -> None:
        """It is over."""
        if self._call.place:
            for text, raw in zip(self._text, self._raw):
                with suppress(Exception):  # the model may have closed it, or nobody reads it any more
                    text.flush()
                    raw.end_line()
            self._call.place = ""


def _file_at(number: int) -> tuple[int, int] | None:
    """What a descriptor leads to, None for nothing."""
    try:
        found = fstat(number)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def fill_standard_streams() -> bool:
    """Have something at their descriptors, which the model may have closed: no print is to meet a caller.

    Whether one was missing.
    """
    filled = False
    for number in range(STANDARD):
        try:
            fstat(number)
        except OSError:
            # gets the lowest free number, which is this one
            set_inheritable(open_file(devnull, O_RDWR), True)
            filled = True
    return filled


def _write_all(number: int, data: bytes) -> None:
    while data:
        try:
            data = data[write(number, data) :]
        except OSError as error:
            if error.errno != errno.EBADF or not fill_standard_streams():
                raise
