"""What of a job is done, so that a job that is begun again goes on where it stopped.

An input is noted before an output gets its name, with the version that only that very output has. Who reads
the journal believes a line only if the output is of that version. So an output is never written twice, and
never taken for done when it is not, wherever the process was killed.
"""

from typing import Protocol

from service.jobs.outcome import FileReport
from service.objects.objects import ObjectPath


class Journal(Protocol):
    """Remembers which inputs are dealt with."""

    def find(self, name: str, output: ObjectPath) -> FileReport | None:
        """The report of an input that needs no more work."""
        ...

    def note(self, report: FileReport, version: str | None) -> None:
        """An output is about to get its name; or, without a version, its input failed. Raises ObjectFault."""
        ...


class NoJournal:
    """Remembers nothing: every run does everything."""

    def find(self, name: str, output: ObjectPath) -> FileReport | None:
        """None: nothing is known of any input, so each is worked on."""
        del name, output
        return None

    def note(self, report: FileReport, version: str | None) -> None:
        """Nothing is kept, for nobody goes on with the run."""
        del report, version
