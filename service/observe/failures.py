"""The last requests that failed, with their ids and causes: what the log says of them, for people who look.

A handler of the log takes them down, so that nothing is shown that the log does not tell: no bodies and no
values of environments. Each process keeps its own in a file beside its counts, for whichever is asked.
"""

import logging
from collections import deque
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import orjson

from service.errors import CredentialsMissing
from service.log import REQUEST_FAILED, get_logger

MOST_FAILURES: Final = 50
"""How many each process remembers."""

_PLACES: Final = ("path", "operation", "endpoint")
_MOST_CHARS: Final = 300
_DASHBOARD: Final = "/dashboard"


@dataclass(frozen=True, slots=True)
class FailedRequest:
    """One request that failed; `at` is ISO 8601 in UTC, `status` 0 of a bug."""

    at: str
    request_id: str
    where: str
    status: int
    code: str
    reason: str


class RecentFailures(logging.Handler):
    """Remembers the failures that one process logs."""

    def __init__(self, metrics: Path, slot: str) -> None:
        """Goes on from what a process in the same slot left."""
        super().__init__()
        self._file = metrics / f"{slot}.failures"
        self._kept = deque(_read(self._file), MOST_FAILURES)
        self._is_written = True

    def emit(self, record: logging.LogRecord) -> None:
        """Remember a request that failed."""
        told = record.msg
        if isinstance(told, dict) and told.get("event") == REQUEST_FAILED and not _asks_for_a_key(told):
            self._kept.append(_failure(told))
            self._is_written = False

    def write(self) -> None:
        """Have other processes see them, if there are new ones. Raises OSError."""
        if self._is_written:
            return
        self._is_written = True
        temporary = self._file.with_suffix(".failing")
        try:
            temporary.write_bytes(orjson.dumps([asdict(failure) for failure in tuple(self._kept)]))
            temporary.replace(self._file)
        except OSError:
            self._is_written = False
            raise


def read_failures(metrics: Path) -> list[FailedRequest]:
    """The last failures of all processes, the newest first."""
    found = [failure for file in metrics.glob("*.failures") for failure in _read(file)]
    return sorted(found, key=lambda failure: failure.at, reverse=True)[:MOST_FAILURES]


def _asks_for_a_key(told: dict[str, Any]) -> bool:
    """Whether that is how the dashboard finds out that it has to ask its reader for a key."""
    return told.get("code") == CredentialsMissing.code and str(told.get("path", "")).startswith(_DASHBOARD)


def _failure(told: dict[str, Any]) -> FailedRequest:
    error = told.get("exc_info")
    reason = str(told.get("reason", "")) if error is None else f"a bug: {type(error).__name__}, see the log"
    return FailedRequest(
        str(told.get("time", "")),
        str(told.get("request_id", "")),
        _shown(next((str(told[name]) for name in _PLACES if told.get(name)), "")),
        int(told.get("status", 0)),
        str(told.get("code", "")),
        _shown(reason),
    )


def _shown(text: str) -> str:
    """A text that any encoder takes, not too long."""
    return text[:_MOST_CHARS].encode("utf-8", "backslashreplace").decode("utf-8")


def _read(file: Path) -> list[FailedRequest]:
    try:
        return [FailedRequest(**each) for each in orjson.loads(file.read_bytes())]
    except FileNotFoundError:
        return []
    except (OSError, TypeError, ValueError) as error:
        get_logger(__name__).warning("failures not read", path=str(file), reason=repr(error))
        return []
