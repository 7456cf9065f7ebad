"""Recent failures: what the log tells of requests that failed, kept by each process, read by any."""

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.errors import CredentialsMissing, ModelFailure, ValidationFault
from service.http.failures import note_failure
from service.log import get_logger
from service.observe.failures import MOST_FAILURES, RecentFailures, read_failures


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[RecentFailures]:
    handler = RecentFailures(tmp_path, "g0")
    logger = logging.getLogger("test.failures")
    logger.setLevel(logging.INFO)
    logger.addHandler(handler)
    yield handler
    logger.removeHandler(handler)


def fail(error: Exception, request_id: str = "id-1", status: int = 400) -> None:
    note_failure(
        get_logger("test.failures"), error, request_id, status, "Code", path="/endpoints/e/invocations"
    )


def test_a_failure_is_told_with_its_id_place_and_cause(kept: RecentFailures, tmp_path: Path) -> None:
    fail(ValidationFault("no such variant"))
    kept.write()
    (found,) = read_failures(tmp_path)
    assert (found.request_id, found.status, found.code) == ("id-1", 400, "Code")
    assert (found.where, found.reason) == ("/endpoints/e/invocations", "no such variant")
    assert found.at.startswith("20")


def test_a_page_that_finds_out_that_it_needs_a_key_has_not_failed(
    kept: RecentFailures, tmp_path: Path
) -> None:
    missing = CredentialsMissing("Say who you are.")
    for path in ("/dashboard/main", "/dashboard/live", "/endpoints/e/invocations"):
        note_failure(get_logger("test.failures"), missing, "id", 401, missing.code, path=path)
    refused = ValidationFault("no such variant")
    note_failure(get_logger("test.failures"), refused, "id", 400, "Code", path="/dashboard/main")
    kept.write()
    found = {(failure.where, failure.status) for failure in read_failures(tmp_path)}
    assert found == {("/endpoints/e/invocations", 401), ("/dashboard/main", 400)}


def test_a_bug_tells_its_kind_alone(kept: RecentFailures, tmp_path: Path) -> None:
    fail(ValueError("could not read 'the body of somebody'"))
    kept.write()
    (found,) = read_failures(tmp_path)
    assert found.reason == "a bug: ValueError, see the log"


def test_other_lines_of_the_log_are_no_failures(kept: RecentFailures, tmp_path: Path) -> None:
    get_logger("test.failures").warning("model may be off", reason="x")
    logging.getLogger("test.failures").warning("request failed")
    kept.write()
    assert read_failures(tmp_path) == []


def test_the_last_ones_of_all_processes_are_told_newest_first(kept: RecentFailures, tmp_path: Path) -> None:
    for number in range(MOST_FAILURES + 5):
        fail(ModelFailure("x" * 1000), f"id-{number}", 500)
    kept.write()
    found = read_failures(tmp_path)
    assert len(found) == MOST_FAILURES
    assert found[0].request_id == f"id-{MOST_FAILURES + 4}"
    assert len(found[0].reason) <= 300


def test_the_next_process_in_a_slot_goes_on_from_there(kept: RecentFailures, tmp_path: Path) -> None:
    fail(ValidationFault("one"))
    kept.write()
    RecentFailures(tmp_path, "g0").write()
    assert [failure.reason for failure in read_failures(tmp_path)] == ["one"]


def test_what_cannot_be_written_is_written_later(kept: RecentFailures, tmp_path: Path) -> None:
    obstacle = tmp_path / "g0.failing"
    obstacle.mkdir()
    fail(ValidationFault("one"))
    with pytest.raises(OSError, match="failing"):
        kept.write()
    obstacle.rmdir()
    kept.write()
    assert [failure.reason for failure in read_failures(tmp_path)] == ["one"]


def test_a_damaged_file_is_skipped(tmp_path: Path) -> None:
    (tmp_path / "g0.failures").write_bytes(b"{")
    (tmp_path / "g1.failures").write_bytes(b'[{"at": 1}]')
    assert read_failures(tmp_path) == []


def test_texts_that_are_no_utf8_can_be_written(kept: RecentFailures, tmp_path: Path) -> None:
    fail(ValidationFault("caf\udce9"))
    kept.write()
    assert read_failures(tmp_path)[0].reason == r"caf\udce9"
