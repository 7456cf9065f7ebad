"""Outputs that were noted before they got their names: theirs, or another one."""

import json
import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from service.errors import LeaseLost, ObjectFault
from service.jobs.heartbeat import SILENT_S
from service.jobs.outcome import FileReport
from service.jobs.task_journal import TaskJournal
from service.objects.objects import ObjectPath
from service.objects.resolver import shared_folder
from service.store.tasks import TaskInput, TaskLease
from tests.jobs.house import House

REPORT = FileReport("a.csv", 3, 2, 1, 0.5)


def claim(house: House) -> TaskLease:
    lease = house.store.queue.claim(house.clock.now(), house.clock.monotonic(), SILENT_S)
    assert lease is not None
    house.store.queue.watch(house.clock.monotonic(), SILENT_S)
    return lease


@pytest.fixture
def lease(house: House) -> TaskLease:
    house.order()
    planning = claim(house)
    with house.store.change() as change:
        change.tasks.plan(planning, [[TaskInput("a.csv", "a.csv", 1)]])
    return claim(house)


def task_journal(house: House, lease: TaskLease) -> TaskJournal:
    return TaskJournal(house.store.queue, lease, house.clock)


def at(file: Path) -> ObjectPath:
    return shared_folder(file.parent) / file.name


def publish(house: House, lease: TaskLease, output: Path, text: bytes = b"2\n") -> None:
    with at(output).objects.write(output.name) as sink:
        sink.write(text)
        task_journal(house, lease).note(REPORT, sink.version)


def test_an_output_that_was_noted_and_is_there_is_done(
    house: House, lease: TaskLease, tmp_path: Path
) -> None:
    publish(house, lease, tmp_path / "a.csv.out")

    assert task_journal(house, lease).find("a.csv", at(tmp_path / "a.csv.out")) == REPORT
    assert task_journal(house, lease).find("b.csv", at(tmp_path / "b.csv.out")) is None


def test_an_output_that_is_another_file_is_not_done(house: House, lease: TaskLease, tmp_path: Path) -> None:
    output = tmp_path / "a.csv.out"
    publish(house, lease, output)
    copy = output.read_bytes()
    output.rename(tmp_path / "kept")
    output.write_bytes(copy)

    assert task_journal(house, lease).find("a.csv", at(output)) is None


def test_a_failed_input_needs_no_output(house: House, lease: TaskLease, tmp_path: Path) -> None:
    failed = FileReport("a.csv", 3, 0, 0, 0.5, "a.csv, record 1: why.")
    task_journal(house, lease).note(failed, None)

    assert task_journal(house, lease).find("a.csv", at(tmp_path / "a.csv.out")) == failed


def test_who_lost_the_lease_publishes_nothing(house: House, lease: TaskLease, tmp_path: Path) -> None:
    output = tmp_path / "a.csv.out"
    house.clock.advance(SILENT_S + 1)
    claim(house)

    with pytest.raises(LeaseLost):
        publish(house, lease, output)

    assert list(tmp_path.glob("*.out")) == []
    assert list(tmp_path.glob(".*part")) == []


def test_what_was_noted_but_not_named_never_gets_its_name_after_a_takeover(
    house: House, lease: TaskLease, tmp_path: Path
) -> None:
    output = tmp_path / "a.csv.out"

    def publish_late() -> None:
        with at(output).objects.write(output.name) as sink:
            sink.write(b"late\n")
            task_journal(house, lease).note(REPORT, sink.version)
            # Here the worker sleeps for long; another one sees that, and takes over.
            house.store.queue.watch(house.clock.monotonic(), SILENT_S)
            house.clock.advance(SILENT_S + 1)
            taken = claim(house)
            assert task_journal(house, taken).find("a.csv", at(output)) is None
            publish(house, taken, output)

    with pytest.raises(ObjectFault, match="cannot be written"):
        publish_late()

    assert output.read_bytes() == b"2\n"


def test_the_unfinished_file_of_another_job_is_left_alone(
    house: House, lease: TaskLease, tmp_path: Path
) -> None:
    output = tmp_path / "a.csv.out"
    publish(house, lease, output)
    output.unlink()

    with at(output).objects.write(output.name) as other:
        other.write(b"other\n")
        assert task_journal(house, lease).find("a.csv", at(output)) is None

    assert output.read_bytes() == b"other\n"


def test_an_output_that_an_earlier_release_noted_is_known_by_its_file(
    house: House, lease: TaskLease, tmp_path: Path
) -> None:
    output = tmp_path / "a.csv.out"
    publish(house, lease, output)
    status = output.stat()
    kept = [status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns]
    with closing(sqlite3.connect(house.data / "state.db")) as database, database:
        database.execute("UPDATE results SET identity = ?", (json.dumps(kept),))

    assert task_journal(house, lease).find("a.csv", at(output)) == REPORT
    os.utime(output, ns=(1, 1))
    assert task_journal(house, lease).find("a.csv", at(output)) is None
