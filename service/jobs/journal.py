"""What of a job is done, on disk, so that a job that is begun again goes on where it stopped.

A line is written before an output gets its name, and holds what only that very file is: device, inode, size
and time of change. Who reads the journal believes a line only if the output is that file. So an output is
never written twice, and never taken for done when it is not, wherever the process was killed.
"""

import os
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final, Protocol

import orjson

from service.errors import ObjectFault
from service.jobs.outcome import FileReport
from service.objects.beneath import Spot

Identity = tuple[int, int, int, int]
"""Device, inode, size in bytes, time of change in ns."""

_FAILED: Final = (0, 0, 0, 0)


class Journal(Protocol):
    """Remembers which inputs are dealt with."""

    def find(self, name: str, output: Spot) -> FileReport | None:
        """The report of an input that needs no more work."""
        ...

    def note(self, report: FileReport, identity: Identity | None) -> None:
        """An output is about to get its name; or, without identity, its input failed. Raises ObjectFault."""
        ...


class NoJournal:
    """Remembers nothing: every run does everything."""

    def find(self, name: str, output: Spot) -> FileReport | None:
        """Nothing is known."""
        del name, output
        return None

    def note(self, report: FileReport, identity: Identity | None) -> None:
        """Nothing is kept."""
        del report, identity


@dataclass(frozen=True, slots=True)
class _Line:
    report: FileReport
    identity: Identity


class FileJournal:
    """A journal in a file of one line per input; one process at a time may write it."""

    def __init__(self, path: Path) -> None:
        """Read what is there. Raises ObjectFault."""
        self._path = path
        self._lines: dict[str, _Line] = {}
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("ab")
            for text in path.read_bytes().split(b"\n"):
                with suppress(ValueError, KeyError, TypeError):  # the line that a kill cut off
                    self._read(text)
        except OSError as error:
            raise _fault(path, error) from error

    def find(self, name: str, output: Spot) -> FileReport | None:
        """The report of an input that failed, or whose output is there as it was written."""
        line = self._lines.get(name)
        if line is None or line.identity == _FAILED:
            return None if line is None else line.report
        try:
            status = output.status()
        except OSError:
            return None
        there = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)
        return line.report if there == line.identity else None

    def note(self, report: FileReport, identity: Identity | None) -> None:
        """Write a line, durably. Raises ObjectFault."""
        document = {"report": asdict(report), "identity": identity or _FAILED}
        try:
            self._file.write(b"\n" + orjson.dumps(document) + b"\n")
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as error:
            raise _fault(self._path, error) from error

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _read(self, text: bytes) -> None:
        document = orjson.loads(text)
        device, inode, size_bytes, changed_ns = document["identity"]
        report = FileReport(**document["report"])
        self._lines[report.name] = _Line(report, (device, inode, size_bytes, changed_ns))


def _fault(path: Path, error: OSError) -> ObjectFault:
    return ObjectFault(f"{path} cannot be written: {error.strerror or error}.", writing=True)
