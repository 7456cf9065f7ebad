"""What of a job is done, so that a job that is begun again goes on where it stopped.

An input is noted before an output gets its name, and holds what only that very file is: device, inode, size
and time of change. Who reads the journal believes a line only if the output is that file. So an output is
never written twice, and never taken for done when it is not, wherever the process was killed.
"""

from typing import Protocol

from service.jobs.outcome import FileReport
from service.objects.beneath import Spot

Identity = tuple[int, int, int, int]
"""Device, inode, size in bytes, time of change in ns."""


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
        """None: nothing is known of any input, so each is worked on."""
        del name, output
        return None

    def note(self, report: FileReport, identity: Identity | None) -> None:
        """Nothing is kept, for nobody goes on with the run."""
        del report, identity
