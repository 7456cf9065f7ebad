"""The log line of a failed request: who weighs what, what it tells, and that there is one writer of it."""

from pathlib import Path

import pytest

import service
from service.errors import (
    REQUEST_ID,
    BadPayload,
    ModelFailure,
    ModelNotFound,
    ModelTimeout,
    Unavailable,
    ValidationFault,
)
from service.http.failures import note_failure, note_stray, note_unanswered
from service.log import get_logger

_LOGGER = "sagebird.some.face"


def _fields(caplog: pytest.LogCaptureFixture) -> dict[str, object]:
    (record,) = caplog.records
    assert isinstance(record.msg, dict)
    return {name: record.msg[name] for name in record.msg if name not in ("time", "logger")}


@pytest.mark.parametrize(
    ("error", "level"),
    [
        (ValidationFault("no"), "info"),
        (BadPayload("no"), "info"),
        (ModelNotFound("no"), "info"),
        (ModelFailure("no"), "warning"),
        (ModelTimeout("no"), "warning"),
        (Unavailable("no"), "warning"),
    ],
)
def test_what_the_caller_cannot_mend_weighs_more(
    caplog: pytest.LogCaptureFixture, error: ValidationFault, level: str
) -> None:
    caplog.set_level("INFO", _LOGGER)
    note_failure(get_logger(_LOGGER), error, "id-1", 599, error.code, path="/p")
    assert _fields(caplog) == {
        "event": "request failed",
        "level": level,
        "request_id": "id-1",
        "path": "/p",
        "status": 599,
        "code": error.code,
        "reason": "no",
    }


def test_a_line_names_the_id_hides_environments_and_is_bounded(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", _LOGGER)
    told = f"See {REQUEST_ID}: Value '{{KEY=secret}}' at 'environment' failed. " + "x" * 9000
    note_failure(get_logger(_LOGGER), ValidationFault(told), "id-1", 400, "", path="/" + "p" * 9000)
    fields = _fields(caplog)
    reason, path = str(fields["reason"]), str(fields["path"])
    assert reason.startswith("See id-1: Value '***' at 'environment' failed. x")
    assert (len(reason), len(path)) == (500, 500)


def test_a_bug_comes_with_its_traceback_and_no_status(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", _LOGGER)
    bug = LookupError("what only the log is told")
    note_failure(get_logger(_LOGGER), bug, "id-1", 500, "", path="/p")
    fields = _fields(caplog)
    assert fields.pop("exc_info") is bug
    assert fields == {"event": "request failed", "level": "error", "request_id": "id-1", "path": "/p"}


def test_a_stray_is_told_as_other_failures_are(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", _LOGGER)
    note_stray(get_logger(_LOGGER), "id-1", 404, "nothing there", path="/p")
    told = {"request_id": "id-1", "path": "/p", "status": 404, "reason": "nothing there"}
    assert _fields(caplog) == {"event": "request failed", "level": "info", **told}


def test_a_request_that_nobody_knows_any_more_is_told_too(caplog: pytest.LogCaptureFixture) -> None:
    bug = LookupError()
    note_unanswered(bug, path="/p")
    assert _fields(caplog) == {"event": "request failed", "level": "error", "path": "/p", "exc_info": bug}


def test_the_line_has_one_writer() -> None:
    root = Path(service.__file__).parent
    writers = {
        str(file.relative_to(root))
        for file in root.rglob("*.py")
        if "request failed" in (text := file.read_text()) or "REQUEST_FAILED" in text
    }
    # The first counts the lines of a flood, the last one keeps some of them for people.
    assert writers == {"log.py", "http/failures.py", "observe/failures.py"}
