"""What a container's processes print, taken over into the log; whatever they print, it harms nobody."""

import asyncio
import fcntl
import os
from collections.abc import Callable
from contextlib import suppress
from time import monotonic

from service.hosting.containers.printed import Printed

_READ_BYTES = 1 << 16
_PIPE_BYTES = 1 << 18  # so that whoever prints need not wait while its pipe is at rest
_REST_S = 0.005
_MOST_LINE_CHARS = 4096
_MOST_LINES = 200  # in each _INTERVAL_S, the rest is counted
_INTERVAL_S = 5.0


class Lines:
    """One stream, told line by line."""

    def __init__(self, tell: Callable[[str], None], printed: Printed | None = None, stream: int = 0) -> None:
        """`tell` is told lines, without their ends; `printed` reads and keeps those of the container.

        `stream` is which of the container's this one is.
        """
        self._tell = tell
        self._printed = Printed() if printed is None else printed
        self._stream = stream
        self._rest = b""
        self._told = self._left_out = 0
        self._until_s = 0.0
        self.last: str = ""

    def add(self, data: bytes) -> None:
        """Take what was printed next."""
        whole, _, self._rest = (self._rest + data).rpartition(b"\n")
        if len(self._rest) > _READ_BYTES:
            whole, self._rest = whole + b"\n" + self._rest, b""
        if self._told >= _MOST_LINES and monotonic() <= self._until_s and self._printed.is_flooded():
            self._leave_out(whole)
        else:
            for line in filter(None, whole.split(b"\n")):
                self._take(self._printed.read(line, self._stream))

    def _leave_out(self, lines: bytes) -> None:
        """Count lines that are not told any more, and keep the last one: what a flood brings costs little."""
        if last := lines.rstrip():
            number = _count(last)
            self._left_out += number
            text = self._printed.leave_out(number, last.rpartition(b"\n")[2], self._stream)
            self.last = text[:_MOST_LINE_CHARS].decode("utf-8", "replace")

    def end(self) -> None:
        """Nothing more will come."""
        if self._rest:
            self._take(self._printed.read(self._rest, self._stream))
            self._rest = b""
        self._tell_left_out()

    def _take(self, line: bytes) -> None:
        text = line.decode("utf-8", "replace").rstrip()[:_MOST_LINE_CHARS]
        if not text:
            return
        self.last = text
        if (now_s := monotonic()) > self._until_s:
            self._tell_left_out()
            self._told, self._until_s = 0, now_s + _INTERVAL_S
        if self._told < _MOST_LINES:
            self._told += 1
            self._tell(text)
        else:
            self._left_out += 1

    def _tell_left_out(self) -> None:
        if self._left_out:
            self._tell(f"… and {self._left_out} more lines, which were left out")
            self._left_out = 0


def _count(lines: bytes) -> int:
    """How many there are that are not empty."""
    while b"\n\n" in lines:
        lines = lines.replace(b"\n\n", b"\n")
    return lines.strip(b"\n").count(b"\n") + 1


class Output:
    """Reads one pipe until all that may write to it are gone."""

    def __init__(
        self, tell: Callable[[str], None], printed: Printed | None = None, after: "Output | None" = None
    ) -> None:
        """See Lines. What comes `after` another one's is read when that is, behind it."""
        self._together: list[Output] = [] if after is None else after._together
        self._lines = Lines(tell, printed, len(self._together))
        self._together.append(self)
        self._loop = asyncio.get_running_loop()
        self._reader, self.writer = os.pipe()
        with suppress(OSError, AttributeError):  # not on every system, and not if somebody has many
            fcntl.fcntl(self.writer, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
        os.set_blocking(self._reader, False)
        self._read_on()

    @property
    def last(self) -> str:
        """The last line so far."""
        return self._lines.last

    def handed_over(self) -> None:
        """The other process has its copy of the writing end."""
        os.close(self.writer)
        self.writer = -1

    def close(self) -> None:
        """Read what is there, and no more."""
        for _ in range(_PIPE_BYTES // _READ_BYTES):
            if self._take() < _READ_BYTES:
                break
        self._end()

    def _read(self) -> None:
        """Take what came, and let more come: lines cost little by the hundred, and much one by one."""
        if 0 < sum(output._take() for output in self._together) < _READ_BYTES:
            for output in self._together:
                output._rest()
            self._loop.call_later(_REST_S, self._read_all_on)

    def _read_all_on(self) -> None:
        for output in self._together:
            output._read_on()

    def _rest(self) -> None:
        if self._reader >= 0:
            self._loop.remove_reader(self._reader)

    def _read_on(self) -> None:
        if self._reader >= 0:
            self._loop.add_reader(self._reader, self._read)

    def _take(self) -> int:
        """How many bytes were there; where nobody can write any more, that was all."""
        if self._reader < 0:
            return 0
        try:
            data = os.read(self._reader, _READ_BYTES)
        except BlockingIOError:
            return 0
        except OSError:
            data = b""
        if data:
            self._lines.add(data)
        else:
            self._end()
        return len(data)

    def _end(self) -> None:
        if self._reader < 0:
            return
        self._loop.remove_reader(self._reader)
        os.close(self._reader)
        self._reader = -1
        if self.writer >= 0:
            self.handed_over()
        self._lines.end()
