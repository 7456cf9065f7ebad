"""What is known of a job while it runs and when it is over."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

COMPLETED: Final = "Completed"
FAILED: Final = "Failed"
STOPPED: Final = "Stopped"

Status = Literal["Completed", "Failed", "Stopped"]

_SHOWN: Final = 3
_MAX_REASON_CHARS: Final = 1024


@dataclass(frozen=True, slots=True)
class FileReport:
    """What became of one input; `error` is None where its output was written."""

    name: str
    rows_in: int
    rows_out: int
    rejected: int
    seconds: float
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a job is; bytes are those of the inputs as they are stored."""

    files: int
    files_total: int
    rows: int
    size_bytes: int
    total_bytes: int


@dataclass(frozen=True, slots=True)
class JobOutcome:
    """How a job ended; `reason` is None where it completed."""

    status: Status
    reason: str | None
    files: tuple[FileReport, ...]
    model: str
    seconds: float

    @property
    def failed(self) -> tuple[FileReport, ...]:
        """The inputs without an output."""
        return tuple(report for report in self.files if report.error is not None)

    @property
    def rows_out(self) -> int:
        """Rows of all outputs."""
        return sum(report.rows_out for report in self.files)


def describe_failures(files: Sequence[FileReport]) -> str:
    """One sentence or a few about the inputs that failed, at most 1024 characters (contract G)."""
    failed = [report for report in files if report.error is not None]
    shown = " ".join(str(report.error) for report in failed[:_SHOWN])
    more = len(failed) - _SHOWN
    text = f"{len(failed)} of {len(files)} files failed: {shown}" + (f" And {more} more." if more > 0 else "")
    return text if len(text) <= _MAX_REASON_CHARS else text[: _MAX_REASON_CHARS - 1] + "…"


def without_content(reason: str, name: str, instead: str) -> str:
    """Why the job of one input failed, without what its records hold: `instead` follows the place."""
    found = re.match(r"1 of 1 files failed: ", reason)
    if found is None:
        return reason  # nothing was read yet
    place = re.compile(re.escape(name) + r"(, record \d+)?: ").match(reason, found.end())
    return f"{found[0]}{place[0] if place else name + ': '}{instead}"
